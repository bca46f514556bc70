/* crypto/pbc.h: protobuf-c over an arena (base/arena.h). A message that wants more memory than the arena has
 * fails to unpack, so a small hostile input cannot become a large tree. Nothing has to be freed. */
#ifndef MSUB_CRYPTO_PBC_H
#define MSUB_CRYPTO_PBC_H
#include <protobuf-c/protobuf-c.h>
#include <string.h>
#include "base/arena.h"

static inline void *msub__pbc_alloc(void *arena, size_t n) { return msub__arena_alloc(arena, n); }
static inline void msub__pbc_free(void *arena, void *p) {
  (void)arena;
  (void)p;
}
static inline ProtobufCAllocator msub__pbc(msub__arena *a) {
  return (ProtobufCAllocator){ .alloc = msub__pbc_alloc, .free = msub__pbc_free, .allocator_data = a };
}

static inline msub_bytes msub__pbc_view(ProtobufCBinaryData d) { return (msub_bytes){ d.data, d.len }; }
/* For packing only: protobuf-c has no const there. */
static inline ProtobufCBinaryData msub__pbc_data(msub_bytes b) {
  ProtobufCBinaryData d = { .len = b.n, .data = NULL };
  memcpy(&d.data, &b.p, sizeof b.p);
  return d;
}
#endif
