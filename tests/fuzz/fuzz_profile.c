/* tests/fuzz/fuzz_profile.c: a profile of score parameters out of a file that anybody may have written: cli/yaml.c and cli/profile.c.
 *
 * The input is the file. What is refused is refused with a text, and a line within the file; what is read holds at most so many topics,
 * names and prefixes, is judged without a number that is none, and is freed whole. Read twice it says the same twice. */
#include <math.h>
#include <string.h>
#include "cli/profile.h"
#include "tests/fuzz/fuzz.h"

static unsigned lines_of(msub_bytes text) { /* libyaml counts more breaks than these */
  unsigned n = 1;
  for (size_t i = 0; i < text.n; i++) n += text.p[i] == '\n' || text.p[i] == '\r' || text.p[i] >= 0x80;
  return n + 1;
}

static void finding(void *ud, const msub_score_finding *f) {
  size_t *n = ud;
  ++*n;
  FUZZ_CHECK(f->topic && !isnan(f->here) && !isnan(f->others) && !isnan(f->median));
}

static void judge(const profile *p) {
  char where[512];
  size_t n = 0;
  memset(where, 'x', sizeof where);
  const char *why = profile_fault(p, where);
  if (why) {
    FUZZ_CHECK(*why && memchr(where, 0, sizeof where) && *where);
    return;
  }
  size_t refused = msub_score_check(&p->opts.params, p->topics, p->n, p->opts.params.topic != NULL, 1000000000, finding, &n);
  FUZZ_CHECK(n == p->n && refused <= n);
}

static bool read_one(msub_bytes text, doc_fault *f) {
  profile p;
  bool good = profile_read(text, &p, f);
  if (good) {
    FUZZ_CHECK(p.n <= p.n_names && p.n_names <= PROFILE_TOPICS && p.opts.params.n_ip_allow <= 64);
    for (size_t i = 0; i < p.n; i++) FUZZ_CHECK(p.topics[i].topic && *p.topics[i].topic && strlen(p.topics[i].topic) <= 256);
    judge(&p);
    profile_free(&p);
  }
  FUZZ_CHECK(p.names == NULL && p.topics == NULL && p.n == 0);
  return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  msub_bytes text = { data, size };
  doc_fault f = { 0 }, again = { 0 };
  bool good = read_one(text, &f);
  if (!good) FUZZ_CHECK(f.text[0] && memchr(f.text, 0, sizeof f.text) && f.line <= lines_of(text));
  /* Reading has no memory of its own. */
  FUZZ_CHECK(read_one(text, &again) == good);
  if (!good) FUZZ_CHECK(f.line == again.line && strcmp(f.text, again.text) == 0);
  return 0;
}
