/* host/transport/slots.h: the numbers of a transport's connections. A number is never 0 and is free again when it is given back. */
#ifndef MSUB_HOST_SLOTS_H
#define MSUB_HOST_SLOTS_H
#include "base/mem.h"

#define MSUB__SLOTS_MAX (UINT32_C(1) << 20)

typedef struct msub__slots {
  void **at; /* by number - 1; NULL: free */
  uint32_t *free_ids;
  uint32_t cap, n_free;
} msub__slots;
void msub__slots_fini(msub__slots *s, const msub_mem *mem);
MSUB_MUST int msub__slots_take(msub__slots *s, const msub_mem *mem, void *what, uint32_t *id); /* LIMIT, NOMEM */
void msub__slots_give(msub__slots *s, uint32_t id);
static inline void *msub__slots_find(const msub__slots *s, uint32_t id) { return id >= 1 && id <= s->cap ? s->at[id - 1] : NULL; }
#endif
