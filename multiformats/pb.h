/* multiformats/pb.h: a cursor over protobuf bytes that yields the fields one by one as views, for callers
 * that have to know where a value stands. Header only, so that every library can have it. */
#ifndef MSUB_MULTIFORMATS_PB_H
#define MSUB_MULTIFORMATS_PB_H
#include "meshsub/rpc.h"

typedef struct msub__pb_field {
  uint32_t number;
  bool is_bytes;    /* wire type 2; otherwise 0, 1 or 5 */
  uint64_t varint;  /* of wire type 0 */
  msub_bytes bytes; /* of wire types 1, 2 and 5 */
} msub__pb_field;

static inline bool msub__pb_varint(msub_bytes *in, uint64_t *v) {
  int used = msub_varint_get(*in, v);
  if (used <= 0) return false;
  *in = (msub_bytes){ in->p + used, in->n - (size_t)used };
  return true;
}

/* Takes a field off the front of *in, which must not be empty; false: malformed (groups and field number 0
 * too). */
static inline bool msub__pb_next(msub_bytes *in, msub__pb_field *f) {
  uint64_t tag, n;
  *f = (msub__pb_field){ 0 };
  if (!msub__pb_varint(in, &tag) || tag >> 3 == 0 || tag >> 3 > (UINT32_C(1) << 29) - 1) return false;
  f->number = (uint32_t)(tag >> 3);
  switch (tag & 7) {
  case 0: return msub__pb_varint(in, &f->varint);
  case 1: n = 8; break;
  case 2:
    f->is_bytes = true;
    if (!msub__pb_varint(in, &n)) return false;
    break;
  case 5: n = 4; break;
  default: return false;
  }
  if (n > in->n) return false;
  f->bytes = (msub_bytes){ in->p, (size_t)n };
  *in = (msub_bytes){ in->p + n, in->n - (size_t)n };
  return true;
}
#endif
