/* base/ring.h: a growing FIFO of fixed-size items in one array.
 *
 *          head                      The array doubles while it is small, then it grows by a quarter, so that
 *     ┌──┬──┬──┬──┬──┬──┬──┬──┐      little of a long one is unused.
 *     │ e│ f│ g│  │ a│ b│ c│ d│
 *     └──┴──┴──┴──┴──┴──┴──┴──┘ */
#ifndef MSUB_BASE_RING_H
#define MSUB_BASE_RING_H
#include "base/assert.h"
#include "base/mem.h"

typedef struct msub__ring {
  uint8_t *items;
  uint32_t cap, head, n;
  uint32_t item; /* size of an item in bytes */
} msub__ring;
void msub__ring_init(msub__ring *r, uint32_t item_size);
void msub__ring_fini(msub__ring *r, const msub_mem *m);
/* Space for one item at the end, uninitialised; NULL when there is no memory or 2^31 items are in it. */
void *msub__ring_push(msub__ring *r, const msub_mem *m);
static inline void *msub__ring_place(const msub__ring *r, uint32_t i) { /* i <= n */
  uint32_t k = r->head + i; /* below 2^32: both are below 2^31 */
  return r->items + (size_t)(k < r->cap ? k : k - r->cap) * r->item;
}
void *msub__ring_front(const msub__ring *r);            /* NULL when empty */
static inline void *msub__ring_at(const msub__ring *r, uint32_t i) { /* i < n, 0 is the front */
  MSUB__INVARIANT(i < r->n);
  return msub__ring_place(r, i);
}
void msub__ring_pop(msub__ring *r);                     /* must not be empty */
#endif
