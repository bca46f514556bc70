#include <string.h>
#include "host/transport/slots.h"

#define FIRST 16u

static void free_arrays(const msub_mem *mem, void **at, uint32_t *ids, uint32_t cap) {
  msub__free(mem, at, cap * sizeof *at);
  msub__free(mem, ids, cap * sizeof *ids);
}

void msub__slots_fini(msub__slots *s, const msub_mem *mem) {
  free_arrays(mem, s->at, s->free_ids, s->cap);
  *s = (msub__slots){ 0 };
}

static int grow(msub__slots *s, const msub_mem *mem) {
  if (s->cap == MSUB__SLOTS_MAX) return MSUB_ERR_LIMIT;
  uint32_t cap = s->cap ? s->cap * 2 : FIRST;
  void **at = msub__zalloc(mem, cap, sizeof *at);
  uint32_t *ids = msub__zalloc(mem, cap, sizeof *ids);
  if (!at || !ids) {
    free_arrays(mem, at, ids, cap);
    return MSUB_ERR_NOMEM;
  }
  if (s->cap) memcpy(at, s->at, s->cap * sizeof *at);
  for (uint32_t id = cap; id > s->cap; id--) ids[s->n_free++] = id; /* none was free, else it would not grow */
  free_arrays(mem, s->at, s->free_ids, s->cap);
  s->at = at;
  s->free_ids = ids;
  s->cap = cap;
  return MSUB_OK;
}

int msub__slots_take(msub__slots *s, const msub_mem *mem, void *what, uint32_t *id) {
  if (s->n_free == 0) {
    int err = grow(s, mem);
    if (err) return err;
  }
  *id = s->free_ids[--s->n_free];
  s->at[*id - 1] = what;
  return MSUB_OK;
}

void msub__slots_give(msub__slots *s, uint32_t id) {
  s->at[id - 1] = NULL;
  s->free_ids[s->n_free++] = id;
}
