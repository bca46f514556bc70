#include <string.h>
#include "meshsub/multibase.h"

#define RADIX_CHARS_MAX (MSUB_RADIX_BYTES_MAX * 2) /* base 36 takes 1.55 chars a byte */

typedef struct base {
  char prefix;
  unsigned bits; /* per char; 0: a radix that is no power of two */
  unsigned radix;
  char alphabet[65];
} base;

static const base bases[] = {
  { 'f', 4, 16, "0123456789abcdef" },
  { 'b', 5, 32, "abcdefghijklmnopqrstuvwxyz234567" },
  { 'k', 0, 36, "0123456789abcdefghijklmnopqrstuvwxyz" },
  { 'z', 0, 58, "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz" },
  { 'u', 6, 64, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" },
};

static const base *find(char prefix) {
  for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
    if (bases[i].prefix == prefix) return &bases[i];
  }
  return NULL;
}

static int digit(const base *b, uint8_t c) {
  const char *at = c ? memchr(b->alphabet, c, b->radix) : NULL;
  return at ? (int)(at - b->alphabet) : -1;
}

/* ---- radix 2^bits ---- */

static int bits_encode(const base *b, msub_bytes in, char *out, size_t cap, size_t *n) {
  uint32_t acc = 0;
  unsigned have = 0;
  size_t used = 0;
  if (in.n > SIZE_MAX / 8 || (in.n * 8 + b->bits - 1) / b->bits > cap) return MSUB_ERR_LIMIT;
  for (size_t i = 0; i < in.n; i++) {
    acc = acc << 8 | in.p[i];
    for (have += 8; have >= b->bits; have -= b->bits) {
      out[used++] = b->alphabet[acc >> (have - b->bits) & (b->radix - 1)];
    }
    acc &= (1u << have) - 1;
  }
  if (have > 0) out[used++] = b->alphabet[acc << (b->bits - have) & (b->radix - 1)];
  *n = used;
  return MSUB_OK;
}

static int bits_decode(const base *b, msub_bytes text, uint8_t *out, size_t cap, size_t *n) {
  uint32_t acc = 0;
  unsigned have = 0;
  size_t used = 0;
  for (size_t i = 0; i < text.n; i++) {
    int d = digit(b, text.p[i]);
    if (d < 0) return MSUB_ERR_MALFORMED;
    acc = acc << b->bits | (uint32_t)d;
    have += b->bits;
    if (have < 8) continue;
    have -= 8;
    if (used == cap) return MSUB_ERR_LIMIT;
    out[used++] = (uint8_t)(acc >> have);
    acc &= (1u << have) - 1;
  }
  /* What is left is the filling of the last char: less than a char, and zero. */
  if (have >= b->bits || acc != 0) return MSUB_ERR_MALFORMED;
  *n = used;
  return MSUB_OK;
}

/* ---- other radices: one long number, big end first; each leading zero byte is a leading zero digit ---- */

static size_t leading(msub_bytes in, uint8_t zero) {
  size_t n = 0;
  while (n < in.n && in.p[n] == zero) n++;
  return n;
}

/* digits (little end first, *used of them) = digits * from + carry, in radix `to`. */
static void multiply_add(uint8_t *digits, size_t *used, unsigned to, unsigned from, unsigned carry) {
  for (size_t j = 0; j < *used; j++) {
    carry += digits[j] * from;
    digits[j] = (uint8_t)(carry % to);
    carry /= to;
  }
  for (; carry > 0; carry /= to) digits[(*used)++] = (uint8_t)(carry % to);
}

static int radix_encode(const base *b, msub_bytes in, char *out, size_t cap, size_t *n) {
  uint8_t digits[RADIX_CHARS_MAX];
  size_t used = 0;
  if (in.n > MSUB_RADIX_BYTES_MAX) return MSUB_ERR_LIMIT;
  size_t zeros = leading(in, 0);
  for (size_t i = zeros; i < in.n; i++) multiply_add(digits, &used, b->radix, 256, in.p[i]);
  if (zeros + used > cap) return MSUB_ERR_LIMIT;
  for (size_t i = 0; i < zeros; i++) out[i] = b->alphabet[0];
  for (size_t i = 0; i < used; i++) out[zeros + i] = b->alphabet[digits[used - 1 - i]];
  *n = zeros + used;
  return MSUB_OK;
}

static int radix_decode(const base *b, msub_bytes text, uint8_t *out, size_t cap, size_t *n) {
  uint8_t bytes[RADIX_CHARS_MAX];
  size_t used = 0;
  if (text.n > RADIX_CHARS_MAX) return MSUB_ERR_LIMIT;
  size_t zeros = leading(text, (uint8_t)b->alphabet[0]);
  for (size_t i = zeros; i < text.n; i++) {
    int d = digit(b, text.p[i]);
    if (d < 0) return MSUB_ERR_MALFORMED;
    multiply_add(bytes, &used, 256, b->radix, (unsigned)d);
  }
  if (zeros + used > cap || zeros + used > MSUB_RADIX_BYTES_MAX) return MSUB_ERR_LIMIT;
  for (size_t i = 0; i < zeros; i++) out[i] = 0;
  for (size_t i = 0; i < used; i++) out[zeros + i] = bytes[used - 1 - i];
  *n = zeros + used;
  return MSUB_OK;
}

/* ---- the interface ---- */

int msub_base_encode(char prefix, msub_bytes in, char *out, size_t cap, size_t *n) {
  const base *b = find(prefix);
  if (!b) return MSUB_ERR_INVAL;
  return b->bits ? bits_encode(b, in, out, cap, n) : radix_encode(b, in, out, cap, n);
}

int msub_base_decode(char prefix, msub_bytes text, uint8_t *out, size_t cap, size_t *n) {
  const base *b = find(prefix);
  if (!b) return MSUB_ERR_INVAL;
  return b->bits ? bits_decode(b, text, out, cap, n) : radix_decode(b, text, out, cap, n);
}

int msub_multibase_encode(char prefix, msub_bytes in, char *out, size_t cap, size_t *n) {
  if (cap == 0) return MSUB_ERR_LIMIT;
  int rc = msub_base_encode(prefix, in, out + 1, cap - 1, n);
  if (rc != MSUB_OK) return rc;
  out[0] = prefix;
  *n += 1;
  return MSUB_OK;
}

int msub_multibase_decode(msub_bytes text, uint8_t *out, size_t cap, size_t *n) {
  if (text.n == 0 || !find((char)text.p[0])) return MSUB_ERR_MALFORMED;
  return msub_base_decode((char)text.p[0], (msub_bytes){ text.p + 1, text.n - 1 }, out, cap, n);
}
