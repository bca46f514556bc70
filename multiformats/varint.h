/* multiformats/varint.h: the varint of the multiformats specifications: at most nine bytes, and minimal. The
 * lenient one of protobuf is msub_varint_get() in meshsub/rpc.h. */
#ifndef MSUB_MULTIFORMATS_VARINT_H
#define MSUB_MULTIFORMATS_VARINT_H
#include "meshsub/base.h"

/* Takes a varint off the front of *in; false: it is cut, padded or too long, and *in is as before. */
MSUB_MUST bool msub__uvarint_take(msub_bytes *in, uint64_t *v);
#endif
