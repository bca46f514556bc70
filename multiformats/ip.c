#include <string.h>
#include "multiformats/ip.h"

bool msub__decimal_parse(msub_bytes text, uint32_t max, uint32_t *out) {
  uint64_t v = 0;
  if (text.n == 0 || text.n > 10 || (text.n > 1 && text.p[0] == '0')) return false;
  for (size_t i = 0; i < text.n; i++) {
    if (text.p[i] < '0' || text.p[i] > '9') return false;
    v = v * 10 + (uint64_t)(text.p[i] - '0');
  }
  if (v > max) return false;
  *out = (uint32_t)v;
  return true;
}

size_t msub__decimal_text(uint32_t v, char out[10]) {
  char reversed[10];
  size_t n = 0;
  do reversed[n++] = (char)('0' + v % 10);
  while (v /= 10);
  for (size_t i = 0; i < n; i++) out[i] = reversed[n - 1 - i];
  return n;
}

/* The part of *text up to the next `separator`, taken off with it; *last: there was none. */
static msub_bytes take_part(msub_bytes *text, uint8_t separator, bool *last) {
  size_t n = 0;
  while (n < text->n && text->p[n] != separator) n++;
  msub_bytes part = { text->p, n };
  *last = n == text->n;
  *text = *last ? (msub_bytes){ NULL, 0 } : (msub_bytes){ text->p + n + 1, text->n - n - 1 };
  return part;
}

bool msub__ip4_parse(msub_bytes text, uint8_t out[4]) {
  for (unsigned i = 0; i < 4; i++) {
    bool last;
    uint32_t v;
    msub_bytes part = take_part(&text, '.', &last);
    if (last != (i == 3) || !msub__decimal_parse(part, 255, &v)) return false;
    out[i] = (uint8_t)v;
  }
  return true;
}

size_t msub__ip4_text(const uint8_t ip[4], char out[MSUB__IP4_TEXT]) {
  size_t n = 0;
  for (unsigned i = 0; i < 4; i++) {
    char number[10];
    size_t digits = msub__decimal_text(ip[i], number);
    if (i > 0) out[n++] = '.';
    memcpy(out + n, number, digits);
    n += digits;
  }
  return n;
}

static bool parse_group(msub_bytes part, uint8_t out[2]) {
  uint32_t v = 0;
  if (part.n == 0 || part.n > 4) return false;
  for (size_t i = 0; i < part.n; i++) {
    uint8_t c = part.p[i];
    uint32_t d;
    if (c >= '0' && c <= '9')
      d = c - (uint32_t)'0';
    else if (c >= 'a' && c <= 'f')
      d = c - (uint32_t)'a' + 10;
    else if (c >= 'A' && c <= 'F')
      d = c - (uint32_t)'A' + 10;
    else
      return false;
    v = v << 4 | d;
  }
  out[0] = (uint8_t)(v >> 8);
  out[1] = (uint8_t)v;
  return true;
}

/* Groups separated by colons, the last of which may be an IPv4 address. Answers the bytes written, or -1. */
static int parse_groups(msub_bytes text, uint8_t *out, size_t cap) {
  size_t n = 0;
  if (text.n == 0) return 0;
  for (bool last = false; !last;) {
    msub_bytes part = take_part(&text, ':', &last);
    if (last && part.n > 0 && memchr(part.p, '.', part.n)) {
      if (cap - n < 4 || !msub__ip4_parse(part, out + n)) return -1;
      n += 4;
    } else {
      if (cap - n < 2 || !parse_group(part, out + n)) return -1;
      n += 2;
    }
  }
  return (int)n;
}

bool msub__ip6_parse(msub_bytes text, uint8_t out[16]) {
  size_t gap = 0; /* where "::" is */
  while (gap + 1 < text.n && !(text.p[gap] == ':' && text.p[gap + 1] == ':')) gap++;
  if (gap + 1 >= text.n) return parse_groups(text, out, 16) == 16;
  uint8_t head[16], tail[16];
  msub_bytes before = { text.p, gap }, after = { text.p + gap + 2, text.n - gap - 2 };
  if (before.n > 0 && memchr(before.p, '.', before.n)) return false;
  int h = parse_groups(before, head, 16);
  int t = parse_groups(after, tail, 16);
  if (h < 0 || t < 0 || h + t > 14) return false;
  memset(out, 0, 16);
  memcpy(out, head, (size_t)h);
  memcpy(out + 16 - t, tail, (size_t)t);
  return true;
}

static size_t group_text(const uint8_t g[2], char *out) {
  static const char hex[] = "0123456789abcdef";
  unsigned v = (unsigned)g[0] << 8 | g[1];
  size_t n = 0;
  for (unsigned shift = 16; shift > 0;) {
    shift -= 4;
    if (n > 0 || shift == 0 || v >> shift) out[n++] = hex[v >> shift & 15];
  }
  return n;
}

size_t msub__ip6_text(const uint8_t ip[16], char out[MSUB__IP6_TEXT]) {
  static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
  if (memcmp(ip, mapped, sizeof mapped) == 0) {
    memcpy(out, "::ffff:", 7);
    return 7 + msub__ip4_text(ip + 12, out + 7);
  }
  /* The longest run of zero groups, the first of equals; a single one is not shortened. */
  unsigned gap = 8, gap_n = 1;
  for (unsigned i = 0, run = 0; i < 8; i++) {
    run = ip[2 * i] == 0 && ip[2 * i + 1] == 0 ? run + 1 : 0;
    if (run > gap_n) {
      gap_n = run;
      gap = i + 1 - run;
    }
  }
  size_t n = 0;
  for (unsigned i = 0; i < 8;) {
    if (i == gap) {
      out[n++] = ':';
      out[n++] = ':';
      i += gap_n;
      continue;
    }
    if (i > 0 && i != gap + gap_n) out[n++] = ':';
    n += group_text(ip + (size_t)2 * i, out + n);
    i++;
  }
  return n;
}
