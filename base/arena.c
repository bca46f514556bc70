#include <stdalign.h>
#include "base/arena.h"

void msub__arena_init(msub__arena *a, void *memory, size_t n) {
  *a = (msub__arena){ .p = memory, .n = n, .used = 0, .full = false };
}

void *msub__arena_alloc(msub__arena *a, size_t n) {
  const size_t align = alignof(max_align_t);
  size_t skip = (size_t)(-((uintptr_t)a->p + a->used) & (align - 1));
  if (skip > a->n - a->used || n > a->n - a->used - skip) {
    a->full = true;
    return NULL;
  }
  void *p = a->p + a->used + skip;
  a->used += skip + n;
  return p;
}
