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

/* Bytes of lower-case hex in memory of their own, which the test leaves to the end of the process. Aborts on
 * anything else. */
static inline msub_bytes test_hex(const char *hex) {
  size_t n = strlen(hex) / 2;
  uint8_t *p = malloc(n + 1);
  if (!p || strlen(hex) % 2) abort();
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
