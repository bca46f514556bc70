#include "host/transport/read_buf.h"

static const size_t BYTES[MSUB__READ_SIZES] = { 4096, MSUB__TRANSPORT_READ };
static const unsigned KEEP[MSUB__READ_SIZES] = { 64, 16 };

typedef struct msub__spare_buf { struct msub__spare_buf *next; } spare_buf;

static uint8_t *take(msub__read_bufs *all, const msub_mem *mem, unsigned size) {
  spare_buf *b = all->spare[size];
  if (!b) return msub__alloc(mem, BYTES[size]);
  all->spare[size] = b->next;
  all->n_spare[size]--;
  return (uint8_t *)b;
}

void msub__read_buf_give(msub__read_bufs *all, const msub_mem *mem, msub__read_buf *b) {
  uint8_t *p = b->p;
  b->p = NULL;
  if (!p) return;
  if (all->n_spare[b->size] == KEEP[b->size]) {
    msub__free(mem, p, BYTES[b->size]);
    return;
  }
  spare_buf *s = (spare_buf *)(void *)p; /* aligned: it begins a block of the allocator's */
  s->next = all->spare[b->size];
  all->spare[b->size] = s;
  all->n_spare[b->size]++;
}

bool msub__read_buf_have(msub__read_bufs *all, const msub_mem *mem, msub__read_buf *b) {
  if (b->p && b->size == b->want) return true;
  uint8_t *p = take(all, mem, b->want);
  if (!p) return b->p != NULL;
  msub__read_buf_give(all, mem, b);
  b->p = p;
  b->size = b->want;
  return true;
}

size_t msub__read_buf_cap(const msub__read_buf *b) { return BYTES[b->size]; }

void msub__read_buf_learn(msub__read_buf *b, size_t n) {
  if (n == BYTES[b->size]) b->want = MSUB__READ_LARGE;
  else if (n <= BYTES[MSUB__READ_SMALL]) b->want = MSUB__READ_SMALL;
}

void msub__read_bufs_fini(msub__read_bufs *all, const msub_mem *mem) {
  for (unsigned size = 0; size < MSUB__READ_SIZES; size++) {
    for (spare_buf *b = all->spare[size], *next; b; b = next) {
      next = b->next;
      msub__free(mem, b, BYTES[size]);
    }
  }
  *all = (msub__read_bufs){ 0 };
}
