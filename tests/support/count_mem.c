#include "count_mem.h"
#include <stdio.h>
#include <stdlib.h>

static void *count_alloc(void *ud, size_t n) {
  count_mem *c = ud;
  c->allocs++;
  if (c->fail_after && --c->fail_after == 0) return NULL;
  void *p = malloc(n ? n : 1);
  if (p) {
    c->live_bytes += n;
    c->live_blocks++;
  }
  return p;
}

static void count_free(void *ud, void *p, size_t n) {
  count_mem *c = ud;
  if (!p) return;
  if (c->live_bytes < n || c->live_blocks == 0) {
    fprintf(stderr, "a block of %zu bytes is freed, with %zu bytes in %zu blocks alive\n", n, c->live_bytes, c->live_blocks);
    abort();
  }
  c->live_bytes -= n;
  c->live_blocks--;
  free(p);
}

msub_mem count_mem_of(count_mem *c) { return (msub_mem){ count_alloc, count_free, c }; }
