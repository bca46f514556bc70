#include <string.h>
#include "base/assert.h"
#include "base/checked.h"
#include "base/ring.h"

#define FIRST_CAP 8u
#define SMALL 64u
#define MAX_CAP (UINT32_C(1) << 31)

void msub__ring_init(msub__ring *r, uint32_t item_size) {
  MSUB__INVARIANT(item_size > 0);
  *r = (msub__ring){ .item = item_size };
}

void msub__ring_fini(msub__ring *r, const msub_mem *m) {
  msub__free(m, r->items, (size_t)r->cap * r->item);
  *r = (msub__ring){ .item = r->item };
}

/* A bigger array in which the front stands at 0. */
static bool grow(msub__ring *r, const msub_mem *m) {
  if (r->cap >= MAX_CAP) return false;
  uint32_t cap = r->cap < SMALL ? r->cap * 2 : r->cap + r->cap / 4;
  if (r->cap == 0) cap = FIRST_CAP;
  if (cap > MAX_CAP) cap = MAX_CAP;
  size_t bytes;
  if (!msub__mul_size(cap, r->item, &bytes)) return false;
  uint8_t *items = msub__alloc(m, bytes);
  if (!items) return false;
  if (r->n > 0) {
    uint32_t first = r->cap - r->head < r->n ? r->cap - r->head : r->n;
    memcpy(items, msub__ring_place(r, 0), (size_t)first * r->item);
    if (first < r->n) memcpy(items + (size_t)first * r->item, r->items, (size_t)(r->n - first) * r->item);
  }
  msub__free(m, r->items, (size_t)r->cap * r->item);
  r->items = items;
  r->cap = cap;
  r->head = 0;
  return true;
}

void *msub__ring_push(msub__ring *r, const msub_mem *m) {
  if (r->n == r->cap && !grow(r, m)) return NULL;
  return msub__ring_place(r, r->n++);
}

void *msub__ring_front(const msub__ring *r) { return r->n ? msub__ring_place(r, 0) : NULL; }

void msub__ring_pop(msub__ring *r) {
  MSUB__INVARIANT(r->n > 0);
  if (++r->head == r->cap) r->head = 0;
  r->n--;
}
