/* base/arena.h: a bump allocator over memory of the caller's, usually an array on the stack. It never grows:
 * what a hostile message can make a decoder allocate is bounded by the array, and one that wants more fails
 * as a whole. Nothing is freed. */
#ifndef MSUB_BASE_ARENA_H
#define MSUB_BASE_ARENA_H
#include "meshsub/base.h"

typedef struct msub__arena {
  uint8_t *p;
  size_t n, used;
  bool full; /* a request did not fit */
} msub__arena;
void msub__arena_init(msub__arena *a, void *memory, size_t n);
void *msub__arena_alloc(msub__arena *a, size_t n); /* aligned for any type; NULL when it does not fit */
#endif
