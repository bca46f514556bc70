/* pubsub/departed.c: the peer blocks of peers that went away, for as long as their router wants; bounded, what expires soonest
 * goes first. The peer's index is held meanwhile, so that tables of routers may go by it. */
#include "pubsub/engine.h"
#include <string.h>

#define SWEEP_NS MSUB__S /* the table is gone through this often at most */

uint64_t msub__index_hash(uint32_t kind, unsigned ri, uint32_t key) { return msub__mix((uint64_t)key << 32 | kind | ri << 20); }

typedef struct departed_key { uint32_t router, peer; } departed_key;
static bool same(const void *ctx, uint32_t value, const void *key) {
  const msub_engine *e = ctx;
  const departed_key *k = key;
  if (!(value & MSUB__INDEX_DEPARTED)) return false;
  const msub__departed_peer *p = &e->departed.e[value & 0xfffff];
  return p->router == k->router && p->peer == k->peer;
}
static uint32_t find(const msub_engine *e, unsigned ri, uint32_t peer) {
  if (e->departed.n == 0) return MSUB__NONE;
  departed_key k = { ri, peer };
  uint32_t v = msub__table_find(&e->index, msub__index_hash(MSUB__INDEX_DEPARTED, ri, peer), same, e, &k);
  return v == MSUB__NONE ? MSUB__NONE : v & 0xfffff;
}

uint8_t *msub__departed_block(const msub_engine *e, unsigned ri, uint32_t peer) {
  uint32_t i = find(e, ri, peer);
  return i == MSUB__NONE ? NULL : e->departed.e[i].block;
}

static uint32_t value_of(const msub_engine *e, uint32_t i) { return MSUB__INDEX_DEPARTED | e->departed.e[i].router << 20 | i; }

/* Takes entry i out; its block is freed, its peer given back. */
static void remove_entry(msub_engine *e, uint32_t i) {
  msub__departed *d = &e->departed;
  msub__departed_peer p = d->e[i];
  msub__table_remove(&e->index, msub__index_hash(MSUB__INDEX_DEPARTED, p.router, p.peer), value_of(e, i));
  uint32_t last = --d->n;
  if (i != last) {
    uint32_t old = value_of(e, last);
    d->e[i] = d->e[last];
    msub__table_update(&e->index, msub__index_hash(MSUB__INDEX_DEPARTED, d->e[i].router, d->e[i].peer), old, value_of(e, i));
  }
  msub__free(msub__mem(e), p.block, e->routers[p.router].plan->peers_n);
  msub__intern_drop(&e->sh->peers, msub__mem(e), &e->sh->key, p.peer);
}

/* Tells every level that the block ends. */
static void forget(msub_engine *e, unsigned ri, uint32_t peer, uint8_t *peers) {
  const msub__router *r = &e->routers[ri];
  for (uint32_t d = 0; d < r->plan->n_levels; d++) {
    const struct msub_level *l = &r->plan->level[d];
    if (l->ops->forget) l->ops->forget(&r->handles[d], (msub_peer){ peer }, l->peer.n ? peers + (l->peer.at - r->plan->peers_at) : NULL);
  }
}

static void expire(msub_engine *e, uint32_t i) {
  forget(e, e->departed.e[i].router, e->departed.e[i].peer, e->departed.e[i].block);
  remove_entry(e, i);
}

static uint32_t soonest(const msub__departed *d) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < d->n; i++)
    if (d->e[i].until < d->e[best].until) best = i;
  return best;
}

static bool keep(msub_engine *e, unsigned ri, const msub__session *s, uint64_t until) {
  msub__departed *d = &e->departed;
  const msub_mem *m = msub__mem(e);
  uint32_t n = e->routers[ri].plan->peers_n;
  if (until <= e->now.mono_ns || e->closing || n == 0) return false;
  if (d->n == MSUB__DEPARTED) expire(e, soonest(d));
  if (d->n == d->cap) {
    uint32_t cap = d->cap ? d->cap * 2 : 4;
    msub__departed_peer *p = msub__realloc(m, d->e, d->cap * sizeof *p, cap * sizeof *p);
    if (!p) return false;
    d->e = p;
    d->cap = cap;
  }
  uint8_t *block = msub__alloc(m, n);
  if (!block || msub__table_reserve(&e->index, m) != MSUB_OK) {
    msub__free(m, block, n);
    return false;
  }
  memcpy(block, (const uint8_t *)s + e->routers[ri].plan->peers_at, n);
  d->e[d->n] = (msub__departed_peer){ until, s->peer, ri, block };
  msub__intern_ref(&e->sh->peers, s->peer);
  int rc = msub__table_insert(&e->index, m, msub__index_hash(MSUB__INDEX_DEPARTED, ri, s->peer), value_of(e, d->n));
  MSUB__INVARIANT(rc == MSUB_OK);
  if (d->n++ == 0 || until < d->sweep_at) d->sweep_at = until;
  return true;
}

void msub__depart(msub_engine *e, unsigned ri, uint32_t slot, uint64_t until) {
  msub__session *s = msub__session_at(e, ri, slot);
  if (!keep(e, ri, s, until)) forget(e, ri, s->peer, (uint8_t *)s + e->routers[ri].plan->peers_at);
}

bool msub__return(msub_engine *e, unsigned ri, uint32_t slot) {
  msub__session *s = msub__session_at(e, ri, slot);
  uint32_t i = find(e, ri, s->peer);
  if (i == MSUB__NONE) return false;
  memcpy((uint8_t *)s + e->routers[ri].plan->peers_at, e->departed.e[i].block, e->routers[ri].plan->peers_n);
  remove_entry(e, i);
  return true;
}

void msub__departed_sweep(msub_engine *e) {
  msub__departed *d = &e->departed;
  if (d->n == 0 || d->sweep_at > e->now.mono_ns) return;
  uint64_t next = MSUB_NEVER;
  for (uint32_t i = d->n; i-- > 0;) {
    if (msub__passed(d->e[i].until, e->now.mono_ns)) expire(e, i);
    else next = msub__sooner(next, d->e[i].until);
  }
  uint64_t soon = msub__deadline(e->now.mono_ns, SWEEP_NS);
  d->sweep_at = next < soon ? soon : next;
}

void msub__departed_fini(msub_engine *e) {
  while (e->departed.n) expire(e, e->departed.n - 1);
  msub__free(msub__mem(e), e->departed.e, e->departed.cap * sizeof *e->departed.e);
  e->departed = (msub__departed){ NULL, 0, 0, 0 };
}
