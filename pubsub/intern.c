#include "pubsub/intern.h"
#include "base/assert.h"
#include <string.h>

typedef struct key { const msub__interns *t; msub_bytes b; } key;

static bool same(const void *ctx, uint32_t value, const void *k) {
  const msub__interns *t = ctx;
  const msub_bytes *b = k;
  return t->e[value].n == b->n && (b->n == 0 || memcmp(t->e[value].p, b->p, b->n) == 0);
}

void msub__interns_fini(msub__interns *t, const msub_mem *m) {
  for (uint32_t i = 1; i < t->n; i++)
    if (t->e[i].refs) msub__free(m, t->e[i].p, t->e[i].n);
  msub__free(m, t->e, t->cap * sizeof *t->e);
  msub__table_fini(&t->table, m);
  memset(t, 0, sizeof *t);
}

uint32_t msub__intern_find(const msub__interns *t, const msub__hashkey *k, msub_bytes b) {
  if (t->live == 0) return 0;
  uint32_t i = msub__table_find(&t->table, msub__hash(k, b), same, t, &b);
  return i == MSUB__NONE ? 0 : i;
}

/* A free entry's index, or 0. */
static uint32_t take(msub__interns *t, const msub_mem *m) {
  if (t->free) {
    uint32_t i = t->free;
    t->free = t->e[i].n;
    return i;
  }
  if (t->n > MSUB__INTERNS) return 0;
  if (t->n == t->cap) {
    uint32_t cap = t->cap ? t->cap * 2 : 8;
    msub__string *e = msub__realloc(m, t->e, t->cap * sizeof *e, cap * sizeof *e);
    if (!e) return 0;
    t->e = e;
    t->cap = cap;
    if (t->n == 0) memset(&t->e[t->n++], 0, sizeof *e); /* index 0 names nothing */
  }
  return t->n++;
}

uint32_t msub__intern_hold(msub__interns *t, const msub_mem *m, const msub__hashkey *k, msub_bytes b) {
  uint64_t h = msub__hash(k, b);
  uint32_t i = t->live ? msub__table_find(&t->table, h, same, t, &b) : MSUB__NONE;
  if (i != MSUB__NONE) {
    t->e[i].refs++;
    return i;
  }
  if (b.n > UINT32_MAX || msub__table_reserve(&t->table, m) != MSUB_OK) return 0;
  uint8_t *p = b.n ? msub__alloc(m, b.n) : NULL;
  if (b.n && !p) return 0;
  i = take(t, m);
  if (i == 0) {
    msub__free(m, p, b.n);
    return 0;
  }
  if (b.n) memcpy(p, b.p, b.n);
  t->e[i] = (msub__string){ p, (uint32_t)b.n, 1 };
  int rc = msub__table_insert(&t->table, m, h, i);
  MSUB__INVARIANT(rc == MSUB_OK);
  t->live++;
  t->bytes += b.n;
  return i;
}

void msub__intern_ref(msub__interns *t, uint32_t i) {
  MSUB__INVARIANT(i && i < t->n && t->e[i].refs);
  t->e[i].refs++;
}

void msub__intern_drop(msub__interns *t, const msub_mem *m, const msub__hashkey *k, uint32_t i) {
  if (i == 0) return;
  MSUB__INVARIANT(i < t->n && t->e[i].refs);
  if (--t->e[i].refs) return;
  msub_bytes b = { t->e[i].p, t->e[i].n };
  msub__table_remove(&t->table, msub__hash(k, b), i);
  t->live--;
  t->bytes -= b.n;
  msub__free(m, t->e[i].p, b.n);
  t->e[i] = (msub__string){ NULL, t->free, 0 };
  t->free = i;
}
