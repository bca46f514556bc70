#include "meshsub/log.h"

/* Chars that byte c takes, written to out (room for 4). */
static size_t escape_byte(char *out, uint8_t c) {
  static const char hex[] = "0123456789abcdef";
  if (c == '\\' || c == '"') {
    out[0] = '\\';
    out[1] = (char)c;
    return 2;
  }
  if (c >= 0x20 && c <= 0x7e) {
    out[0] = (char)c;
    return 1;
  }
  out[0] = '\\';
  out[1] = 'x';
  out[2] = hex[c >> 4];
  out[3] = hex[c & 15];
  return 4;
}

char *msub_escape(char *out, size_t cap, msub_bytes in) {
  if (cap == 0) return out;
  size_t used = 0;
  size_t mark = 0; /* the last place where "..." and the NUL still fit */
  for (size_t i = 0; i < in.n; i++) {
    char unit[4];
    size_t n = escape_byte(unit, in.p[i]);
    if (n >= cap - used) {
      for (used = mark; used + 1 < cap && used < mark + 3; used++) out[used] = '.';
      break;
    }
    for (size_t j = 0; j < n; j++) out[used + j] = unit[j];
    used += n;
    if (used + 4 <= cap) mark = used;
  }
  out[used] = 0;
  return out;
}
