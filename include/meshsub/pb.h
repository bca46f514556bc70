/* meshsub/pb.h: a cursor over protobuf bytes that yields the fields one by one as views, for callers
 * that have to know where a value stands. Header only, so that every library can have it. */
#ifndef MESHSUB_PB_H
#define MESHSUB_PB_H
#include "rpc.h"
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct msub_pb_field {
  uint32_t number;
  bool is_bytes;    /* wire type 2; otherwise 0, 1 or 5 */
  uint64_t varint;  /* of wire type 0 */
  msub_bytes bytes; /* of wire types 1, 2 and 5 */
} msub_pb_field;

static inline bool msub_pb_varint(msub_bytes *in, uint64_t *v) {
  int used = msub_varint_get(*in, v);
  if (used <= 0) return false;
  in->p += used;
  in->n -= (size_t)used;
  return true;
}

/* Takes a field off the front of *in, which must not be empty; false: malformed (groups and field number 0
 * too). */
static inline bool msub_pb_next(msub_bytes *in, msub_pb_field *f) {
  uint64_t tag, n;
  memset(f, 0, sizeof *f);
  if (!msub_pb_varint(in, &tag) || tag >> 3 == 0 || tag >> 3 > (UINT32_C(1) << 29) - 1) return false;
  f->number = (uint32_t)(tag >> 3);
  switch (tag & 7) {
  case 0: return msub_pb_varint(in, &f->varint);
  case 1: n = 8; break;
  case 2:
    f->is_bytes = true;
    if (!msub_pb_varint(in, &n)) return false;
    break;
  case 5: n = 4; break;
  default: return false;
  }
  if (n > in->n) return false;
  f->bytes.p = in->p;
  f->bytes.n = (size_t)n;
  in->p += n;
  in->n -= (size_t)n;
  return true;
}

#ifdef __cplusplus
}
#endif
#endif
