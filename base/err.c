/* base/err.c: the error table and the ends of streams as functions, and the two helpers for byte views. */
#include <string.h>
#include "meshsub/base.h"
#include "meshsub/exchange.h"

const char *msub_err_name(int err) {
  switch (err) {
#define MSUB_X(name, value, cls, text)                                                                       \
  case value: return "MSUB_" #name;
    MSUB_ERR_MAP(MSUB_X)
#undef MSUB_X
  default: return "MSUB_ERR_UNKNOWN";
  }
}

const char *msub_err_text(int err) {
  switch (err) {
#define MSUB_X(name, value, cls, text)                                                                       \
  case value: return text;
    MSUB_ERR_MAP(MSUB_X)
#undef MSUB_X
  default: return "unknown error code";
  }
}

/* A code that is not in the table can only come from the caller. */
msub_err_class msub_err_class_of(int err) {
  switch (err) {
#define MSUB_X(name, value, cls, text)                                                                       \
  case value: return MSUB_CLASS_##cls;
    MSUB_ERR_MAP(MSUB_X)
#undef MSUB_X
  default: return MSUB_CLASS_CALLER;
  }
}

const char *msub_end_name(int why) {
  static const char *const names[] = { "finished", "reset", "deadline", "unsupported", "gone", "cancelled" };
  return why >= 0 && (size_t)why < sizeof names / sizeof *names ? names[why] : "unknown";
}

msub_bytes msub_str(const char *s) {
  if (!s) return (msub_bytes){ NULL, 0 };
  return (msub_bytes){ (const uint8_t *)s, strlen(s) };
}

bool msub_bytes_eq(msub_bytes a, msub_bytes b) {
  return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
