/* tests/hex.h: hex literals as bytes. */
#ifndef MSUB_TESTS_HEX_H
#define MSUB_TESTS_HEX_H
#include <stdlib.h>
#include <string.h>
#include "meshsub/base.h"

static inline int test_hex_digit(char c) {
  static const char digits[] = "0123456789abcdef";
  const char *at = c ? strchr(digits, c) : NULL;
  return at ? (int)(at - digits) : -1;
}

/* Memory that lives as long as the test program, of exactly n bytes, so that a step beyond it is seen. */
static inline uint8_t *test_keep(size_t n) {
  static struct kept {
    struct kept *next;
    uint8_t bytes[];
  } * all;
  struct kept *k = malloc(sizeof *k + n);
  if (!k) abort();
  k->next = all;
  all = k;
  return k->bytes;
}

/* Lower-case hex as bytes; aborts on anything else. */
static inline msub_bytes test_hex(const char *hex) {
  size_t n = strlen(hex) / 2;
  uint8_t *p = test_keep(n);
  if (strlen(hex) % 2) abort();
  for (size_t i = 0; i < n; i++) {
    int hi = test_hex_digit(hex[2 * i]), lo = test_hex_digit(hex[2 * i + 1]);
    if (hi < 0 || lo < 0) abort();
    p[i] = (uint8_t)(hi << 4 | lo);
  }
  return (msub_bytes){ p, n };
}

/* Hex of bytes, in one of four buffers used in turn. Cut at 512 bytes. */
static inline const char *test_unhex(msub_bytes b) {
  static char text[4][1025];
  static unsigned turn;
  char *out = text[turn++ % 4];
  size_t n = b.n > 512 ? 512 : b.n;
  for (size_t i = 0; i < n; i++) {
    out[2 * i] = "0123456789abcdef"[b.p[i] >> 4];
    out[2 * i + 1] = "0123456789abcdef"[b.p[i] & 15];
  }
  out[2 * n] = 0;
  return out;
}
#endif
