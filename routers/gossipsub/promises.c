#include "routers/gossipsub/promises.h"
#include "base/assert.h"
#include "routers/gossipsub/limits.h"

/* peer MSUB__NONE: kept, or released; only its place is left. */
typedef struct promise { uint64_t hash, until; uint32_t peer; } promise;
typedef struct key { uint64_t hash; uint32_t peer; } key; /* peer MSUB__NONE: anybody's */

#define NUMBER(n) ((n) & INT32_MAX)
static promise *at(const msub__promises *p, uint32_t number) { return msub__ring_at(&p->ring, NUMBER(number - p->first)); }
static bool same(const void *ctx, uint32_t number, const void *key_) {
  const promise *q = at(ctx, number);
  const key *k = key_;
  return q->hash == k->hash && (k->peer == MSUB__NONE || q->peer == k->peer);
}

void msub__promises_init(msub__promises *p) {
  *p = (msub__promises){ 0 };
  msub__ring_init(&p->ring, sizeof(promise));
}
void msub__promises_fini(msub__promises *p, const msub_mem *mem) {
  msub__ring_fini(&p->ring, mem);
  msub__table_fini(&p->index, mem);
}
size_t msub__promises_count(const msub__promises *p) { return p->index.n; }

static void end(msub__promises *p, uint32_t number) {
  promise *q = at(p, number);
  if (q->peer == MSUB__NONE) return;
  (void)msub__table_remove(&p->index, q->hash, number);
  q->peer = MSUB__NONE;
}

static void pop(msub__promises *p) {
  end(p, p->first);
  msub__ring_pop(&p->ring);
  p->first = NUMBER(p->first + 1);
}

void msub__promises_add(msub__promises *p, const msub_mem *mem, uint64_t hash, uint32_t peer, uint64_t until) {
  key k = { hash, peer };
  if (msub__table_find(&p->index, hash, same, p, &k) != MSUB__NONE) return;
  if (p->ring.n == MSUB__GS_PROMISES) pop(p);
  if (msub__table_reserve(&p->index, mem) != MSUB_OK) return;
  promise *q = msub__ring_push(&p->ring, mem);
  if (!q) return;
  *q = (promise){ hash, until, peer };
  int rc = msub__table_insert(&p->index, mem, hash, NUMBER(p->first + p->ring.n - 1));
  MSUB__INVARIANT(rc == MSUB_OK);
}

void msub__promises_keep(msub__promises *p, uint64_t hash) {
  key k = { hash, MSUB__NONE };
  for (uint32_t n; (n = msub__table_find(&p->index, hash, same, p, &k)) != MSUB__NONE;) end(p, n);
}

void msub__promises_release(msub__promises *p, uint32_t peer) {
  for (uint32_t i = 0; i < p->ring.n && p->index.n; i++)
    if (((const promise *)msub__ring_at(&p->ring, i))->peer == peer) end(p, NUMBER(p->first + i));
}

uint32_t msub__promises_broken(msub__promises *p, const msub_mem *mem, uint64_t now) {
  while (p->ring.n) {
    const promise *q = msub__ring_front(&p->ring);
    uint32_t peer = q->peer;
    if (peer != MSUB__NONE && q->until >= now) return MSUB__NONE;
    pop(p);
    if (peer != MSUB__NONE) return peer;
  }
  if (p->ring.cap) { /* what a flood made grow is given back */
    msub__promises_fini(p, mem);
    msub__promises_init(p);
  }
  return MSUB__NONE;
}
