#include "meshsub/rpc.h"
#include "multiformats/varint.h"

size_t msub_varint_size(uint64_t v) {
  unsigned bits = 64u - (unsigned)__builtin_clzll(v | 1);
  return (bits + 6) / 7;
}

size_t msub_varint_put(uint8_t *out, uint64_t v) {
  size_t n = 0;
  for (; v >= 0x80; v >>= 7) out[n++] = (uint8_t)(v | 0x80);
  out[n++] = (uint8_t)v;
  return n;
}

int msub_varint_get(msub_bytes in, uint64_t *v) {
  uint64_t r = 0;
  for (unsigned i = 0; i < 10; i++) {
    if (i == in.n) return 0;
    uint8_t b = in.p[i];
    if (i == 9 && b > 1) return -1;
    r |= (uint64_t)(b & 0x7f) << (7 * i);
    if (b < 0x80) {
      *v = r;
      return (int)i + 1;
    }
  }
  return -1;
}

bool msub__uvarint_take(msub_bytes *in, uint64_t *v) {
  uint64_t r;
  int used = msub_varint_get(*in, &r);
  if (used <= 0 || used > 9 || (size_t)used != msub_varint_size(r)) return false;
  *in = (msub_bytes){ in->p + used, in->n - (size_t)used };
  *v = r;
  return true;
}
