/* Patterns of topics: the whole name counts, whatever a pattern or a name is made of. */
#include "check.h"
#include "host/limits.h"
#include "meshsub/host.h"
#include <string.h>

static bool matches(const char *pattern, const char *name, size_t n) {
  msub_topic_pattern *p;
  CHECK(msub_topic_pattern_new(pattern, &p, NULL, 0) == MSUB_OK);
  bool yes = msub_topic_pattern_allows(p, (msub_bytes){ (const uint8_t *)name, n }, (msub_peer){ 0 });
  msub_topic_pattern_free(p);
  return yes;
}

static void names(void) {
  static const struct { const char *pattern, *name; bool yes; } cases[] = {
    { "news", "news", true },          { "news", "oldnews", false },     { "news", "newspaper", false },   { "a|bc", "bc", true },
    { "a|bc", "abc", false },          { "a|bc", "ab", false },          { "chat/[a-z]+", "chat/x", true }, { "chat/[a-z]+", "chat/", false },
    { "chat/[a-z]+", "chat/x1", false }, { "", "", true },               { "", "x", false },               { ".*", "", true },
    { ".*", "line\nline", true },      { "^x$", "x", true },             { "x{2,3}", "xxx", true },        { "x{2,3}", "xxxx", false },
    { "[^/]+/v1", "a/v1", true },      { "[^/]+/v1", "a/b/v1", false },  { "\\.", ".", true },             { "\\.", "x", false },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    CHECK(matches(cases[i].pattern, cases[i].name, strlen(cases[i].name)) == cases[i].yes);
  CHECK(!matches(".*", "a\0b", 3) && !matches("a", "a\0", 2)); /* C strings end there, names do not */
  CHECK(matches(".*", "\xff\xfe", 2));
}

static void bad(void) {
  static const char *const patterns[] = { "(", ")(", "a)(b", "[", "x{2", "*a(", "\\" };
  msub_topic_pattern *p;
  char why[64];
  unsigned refused = 0;
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
    int rc = msub_topic_pattern_new(patterns[i], &p, why, sizeof why);
    CHECK((rc == MSUB_ERR_INVAL && why[0]) || rc == MSUB_OK);
    if (rc == MSUB_OK) msub_topic_pattern_free(p); /* systems differ in a few of them */
    else refused++;
  }
  CHECK(refused >= 4);
  CHECK(msub_topic_pattern_new("a)(b", &p, why, sizeof why) == MSUB_ERR_INVAL);
  CHECK(msub_topic_pattern_new("(", &p, NULL, 0) == MSUB_ERR_INVAL && msub_topic_pattern_new("(", &p, why, 1) == MSUB_ERR_INVAL && !why[0]);
  msub_topic_pattern_free(NULL);
}

static void limits(void) {
  char text[MSUB__HOST_PATTERN + 2], name[MSUB__HOST_PATTERN_TOPIC + 2];
  msub_topic_pattern *p;
  memset(text, '.', sizeof text);
  for (size_t n = MSUB__HOST_PATTERN - 1; n <= MSUB__HOST_PATTERN + 1; n++) {
    text[n] = 0;
    int rc = msub_topic_pattern_new(text, &p, NULL, 0);
    CHECK(rc == (n <= MSUB__HOST_PATTERN ? MSUB_OK : MSUB_ERR_LIMIT));
    if (rc == MSUB_OK) msub_topic_pattern_free(p);
    text[n] = '.';
  }
  memset(name, 'x', sizeof name);
  for (size_t n = MSUB__HOST_PATTERN_TOPIC - 1; n <= MSUB__HOST_PATTERN_TOPIC + 1; n++)
    CHECK(matches("x*", name, n) == (n <= MSUB__HOST_PATTERN_TOPIC));
}

int main(void) {
  names();
  bad();
  limits();
  return 0;
}
