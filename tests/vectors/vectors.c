#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/vectors/vectors.h"

static _Noreturn void give_up(const char *what, const char *detail) {
  (void)fprintf(stderr, "%s: %s\n", what, detail);
  exit(2);
}

json_t *vec_load(const char *name) {
  const char *dir = getenv("MESHSUB_VECTORS");
  char path[4096];
  json_error_t err;
  int n = snprintf(path, sizeof path, "%s/%s", dir ? dir : MSUB_VECTORS_DIR, name);
  if (n < 0 || (size_t)n >= sizeof path) give_up(name, "the path is too long");
  json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &err);
  if (!root) give_up(path, err.text);
  return root;
}

static unsigned digit(char c) {
  if (c >= '0' && c <= '9') return (unsigned)(c - '0');
  if (c >= 'a' && c <= 'f') return (unsigned)(c - 'a' + 10);
  give_up("vectors", "not lower-case hex");
}

msub_bytes vec_bytes(const json_t *hex) {
  const char *s = json_string_value(hex);
  if (!s || strlen(s) % 2 != 0) give_up("vectors", "a hex string is missing or odd");
  size_t n = strlen(s) / 2;
  uint8_t *p = malloc(n); /* of 0 bytes: a block that nothing may be read from */
  if (!p) give_up("vectors", "out of memory");
  for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(digit(s[2 * i]) << 4 | digit(s[2 * i + 1]));
  return (msub_bytes){ p, n };
}

void vec_free(msub_bytes b) {
  union {
    const uint8_t *given;
    void *owned;
  } u = { b.p };
  free(u.owned);
}

json_t *vec_hex(msub_bytes b) {
  static const char digits[] = "0123456789abcdef";
  char *s = malloc(2 * b.n + 1);
  if (!s) give_up("vectors", "out of memory");
  for (size_t i = 0; i < b.n; i++) {
    s[2 * i] = digits[b.p[i] >> 4];
    s[2 * i + 1] = digits[b.p[i] & 15];
  }
  s[2 * b.n] = 0;
  json_t *j = json_string(s);
  free(s);
  return j;
}

void vec_case(vec_tally *t, const json_t *c, bool ok, const char *fmt, ...) {
  t->cases++;
  if (ok) {
    t->equal++;
    return;
  }
  const char *name = json_string_value(json_object_get(c, "name"));
  va_list args;
  va_start(args, fmt);
  (void)printf("%s: ", name ? name : "(unnamed)");
  (void)vprintf(fmt, args);
  (void)printf("\n");
  va_end(args);
}

int vec_end(const vec_tally *t) {
  (void)printf("%s: %u cases, %u equal, %u by rule, %u skipped\n", t->file, t->cases, t->equal, t->by_rule,
               t->skipped);
  return t->cases > 0 && t->equal + t->by_rule + t->skipped == t->cases ? 0 : 1;
}
