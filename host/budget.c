#include "host/budget.h"

static void *take(void *ud, size_t n) {
  msub__budget *b = ud;
  size_t had = atomic_load_explicit(&b->used, memory_order_relaxed);
  for (;;) {
    if (had > b->max || n > b->max - had) {
      atomic_fetch_add_explicit(&b->refused, 1, memory_order_relaxed);
      return NULL;
    }
    if (atomic_compare_exchange_weak_explicit(&b->used, &had, had + n, memory_order_relaxed, memory_order_relaxed)) break;
  }
  void *p = b->in.alloc(b->in.ud, n);
  if (!p) atomic_fetch_sub_explicit(&b->used, n, memory_order_relaxed);
  return p;
}

static void give(void *ud, void *p, size_t n) {
  msub__budget *b = ud;
  if (p) atomic_fetch_sub_explicit(&b->used, n, memory_order_relaxed);
  b->in.free(b->in.ud, p, n);
}

void msub__budget_init(msub__budget *b, const msub_mem *in, size_t max, size_t used) {
  b->in = *in;
  b->max = max;
  atomic_init(&b->used, used);
  atomic_init(&b->refused, 0);
}

msub_mem msub__budget_mem(msub__budget *b) { return (msub_mem){ take, give, b }; }
