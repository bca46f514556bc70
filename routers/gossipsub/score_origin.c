#include "routers/gossipsub/score_origin.h"
#include <string.h>
#include "base/assert.h"
#include "base/deadline.h"
#include "routers/gossipsub/limits.h"

typedef struct msub__so_entry {
  double debt; /* when it was noted */
  uint64_t since, until;
  uint32_t before, after;
  uint8_t prefix[8], n;
} entry;

static bool same(const void *ctx, uint32_t value, const void *key) {
  const entry *e = &((const msub__so *)ctx)->at[value];
  const msub_bytes *a = key;
  return e->n == a->n && memcmp(e->prefix, a->p, a->n) == 0;
}

static uint32_t find(const msub__so *so, const msub__sa *sa, msub_bytes prefix) {
  return so->index.n ? msub__table_find(&so->index, sa->hash(sa->ctx, prefix), same, so, &prefix) : MSUB__NONE;
}

static double left_of(const entry *e, uint64_t now) {
  if (now >= e->until || e->until <= e->since) return 0;
  return e->debt * ((double)(e->until - now) / (double)(e->until - e->since));
}

double msub__so_debt(const msub__so *so, const msub__sa *sa, msub_bytes prefix, uint64_t now) {
  uint32_t i = find(so, sa, prefix);
  return i == MSUB__NONE ? 0 : left_of(&so->at[i], now);
}

static void unlink_entry(msub__so *so, const entry *e) {
  *(e->before ? &so->at[e->before - 1].after : &so->oldest) = e->after;
  *(e->after ? &so->at[e->after - 1].before : &so->newest) = e->before;
}

static void drop(msub__so *so, const msub__sa *sa, uint32_t i) {
  entry *e = &so->at[i];
  (void)msub__table_remove(&so->index, sa->hash(sa->ctx, (msub_bytes){ e->prefix, e->n }), i);
  unlink_entry(so, e);
  e->after = so->free;
  so->free = i + 1;
}

static uint32_t made(msub__so *so, const msub__sa *sa, const msub_mem *mem, msub_bytes prefix) {
  if (so->index.n == MSUB__GS_ORIGINS) drop(so, sa, so->oldest - 1);
  if (msub__table_reserve(&so->index, mem) != MSUB_OK) return MSUB__NONE;
  uint32_t i;
  if (so->free) {
    i = so->free - 1;
    so->free = so->at[i].after;
  } else {
    if (so->n == so->cap) {
      uint32_t cap = so->cap ? so->cap * 2 : 8;
      entry *more = msub__realloc(mem, so->at, so->cap * sizeof *more, cap * sizeof *more);
      if (!more) return MSUB__NONE;
      so->at = more;
      so->cap = cap;
    }
    i = so->n++;
  }
  so->at[i] = (entry){ .n = (uint8_t)prefix.n };
  memcpy(so->at[i].prefix, prefix.p, prefix.n);
  int rc = msub__table_insert(&so->index, mem, sa->hash(sa->ctx, prefix), i);
  MSUB__INVARIANT(rc == MSUB_OK);
  return i;
}

void msub__so_add(msub__so *so, const msub__sa *sa, const msub_mem *mem, msub_bytes prefix, double debt, double most, uint64_t now, uint64_t retain_ns) {
  MSUB__INVARIANT(prefix.n == 4 || prefix.n == 8);
  uint32_t i = find(so, sa, prefix);
  if (i != MSUB__NONE) unlink_entry(so, &so->at[i]);
  else if ((i = made(so, sa, mem, prefix)) == MSUB__NONE) return;
  entry *e = &so->at[i];
  debt += left_of(e, now);
  e->debt = debt < most ? debt : most;
  e->since = now;
  e->until = msub__deadline(now, retain_ns);
  e->before = so->newest;
  e->after = 0;
  *(so->newest ? &so->at[so->newest - 1].after : &so->oldest) = i + 1;
  so->newest = i + 1;
}

void msub__so_expire(msub__so *so, const msub__sa *sa, const msub_mem *mem, uint64_t now) {
  while (so->oldest && so->at[so->oldest - 1].until <= now) drop(so, sa, so->oldest - 1); /* all are kept equally long */
  if (so->cap && !so->oldest) msub__so_fini(so, mem);
}

uint32_t msub__so_count(const msub__so *so) { return so->index.n; }
size_t msub__so_bytes(const msub__so *so) { return so->cap * sizeof *so->at + msub__table_bytes(&so->index); }

void msub__so_fini(msub__so *so, const msub_mem *mem) {
  msub__table_fini(&so->index, mem);
  msub__free(mem, so->at, so->cap * sizeof *so->at);
  *so = (msub__so){ 0 };
}
