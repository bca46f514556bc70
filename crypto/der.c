#include "crypto/der.h"

bool msub__der_take(msub_bytes *in, unsigned tag, msub_bytes *content) {
  if (in->n < 2 || in->p[0] != tag) return false;
  size_t head = 2, n = in->p[1];
  if (n >= 0x80) {
    size_t bytes = n & 0x7f;
    if (bytes < 1 || bytes > 2 || in->n < 2 + bytes) return false; /* indefinite, or longer than anything here */
    head += bytes;
    n = bytes == 1 ? in->p[2] : (size_t)in->p[2] << 8 | in->p[3];
    if (n < (bytes == 1 ? 0x80u : 0x100u)) return false;
  }
  if (in->n - head < n) return false;
  *content = (msub_bytes){ in->p + head, n };
  *in = (msub_bytes){ in->p + head + n, in->n - head - n };
  return true;
}

bool msub__der_take_unsigned(msub_bytes *in, msub_bytes *magnitude) {
  msub_bytes c;
  if (!msub__der_take(in, MSUB__DER_INTEGER, &c) || c.n == 0 || c.p[0] & 0x80) return false;
  if (c.n > 1 && c.p[0] == 0 && !(c.p[1] & 0x80)) return false;
  if (c.p[0] == 0) c = (msub_bytes){ c.p + 1, c.n - 1 };
  *magnitude = c;
  return true;
}
