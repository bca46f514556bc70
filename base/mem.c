#include <stdlib.h>
#include <string.h>
#include "base/checked.h"
#include "base/mem.h"

static void *libc_alloc(void *ud, size_t n) {
  (void)ud;
  return malloc(n);
}

static void libc_free(void *ud, void *p, size_t n) {
  (void)ud;
  (void)n;
  free(p);
}

msub_mem msub__mem_default(void) { return (msub_mem){ .alloc = libc_alloc, .free = libc_free, .ud = NULL }; }

void *msub__alloc(const msub_mem *m, size_t n) { return n == 0 ? NULL : m->alloc(m->ud, n); }

void *msub__zalloc(const msub_mem *m, size_t count, size_t size) {
  size_t n;
  if (!msub__mul_size(count, size, &n)) return NULL;
  void *p = msub__alloc(m, n);
  if (p) memset(p, 0, n);
  return p;
}

void msub__free(const msub_mem *m, void *p, size_t n) {
  if (p) m->free(m->ud, p, n);
}

void *msub__realloc(const msub_mem *m, void *p, size_t old_n, size_t new_n) {
  void *q = msub__alloc(m, new_n);
  if (!q) return NULL;
  size_t keep = old_n < new_n ? old_n : new_n;
  if (p && keep > 0) memcpy(q, p, keep);
  msub__free(m, p, old_n);
  return q;
}
