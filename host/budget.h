/* host/budget.h: an allocator in front of another one, which answers NULL above a sum. Any thread. */
#ifndef MSUB_HOST_BUDGET_H
#define MSUB_HOST_BUDGET_H
#include <stdatomic.h>
#include <stdint.h>
#include "meshsub/base.h"

typedef struct msub__budget {
  msub_mem in;
  size_t max;
  atomic_size_t used;
  _Atomic uint64_t refused;
} msub__budget;

/* used: what is there already. b must stay where it is as long as the allocator is used. */
void msub__budget_init(msub__budget *b, const msub_mem *in, size_t max, size_t used);
msub_mem msub__budget_mem(msub__budget *b);
#endif
