/* routers/gossipsub/asks.c: IWANTs that were sent and may still be answered: at most iwant_concurrent peers are asked for a
 * message at a time, and no peer twice. First in, first out: all wait equally long. */
#include "base/ring.h"
#include "base/table.h"
#include "routers/gossipsub/gossipsub.h"

typedef struct ask {
  uint64_t hash, until;
  uint32_t session; /* 0: did not get there */
  uint32_t serial;  /* of the RPC that made us ask */
} ask;
struct msub__gs_asks {
  msub__ring ring;
  uint32_t first;    /* number of the front; numbers are modulo 2^31 */
  msub__table index; /* hash → number, one for each peer asked */
};
#define MODULO 0x7fffffffu

typedef struct want { /* what the look-up looks for, and what it found */
  uint64_t hash, now;
  uint32_t session, serial;
  unsigned *peers; /* asked for it */
  bool *same;      /* this one is among them */
  bool parity;     /* only what this RPC has asked for counts */
} want;

static ask *at(const struct msub__gs_asks *a, uint32_t number) { return msub__ring_at(&a->ring, (number - a->first) & MODULO); }

static bool look(const void *ctx, uint32_t value, const void *key) {
  const want *w = key;
  const ask *k = at(ctx, value);
  if (k->hash != w->hash || msub__passed(k->until, w->now)) return false;
  if (w->parity && k->serial != w->serial) return false;
  ++*w->peers;
  if (k->session == w->session) *w->same = true;
  return false; /* to the end of the chain */
}

bool msub__gs_may_ask(const msub_router *r, msub_session s, uint64_t hash) {
  const msub__gs *g = msub__gs_of(r);
  if (!g->asks) return true;
  unsigned peers = 0, most = msub__gs_opts(r)->iwant_concurrent;
  bool same = false;
  want w = { hash, msub_r_mono(r), s.v, g->serial, &peers, &same, g->parity };
  (void)msub__table_find(&g->asks->index, hash, look, g->asks, &w);
  return !same && (g->parity || most == 0 || peers < most);
}

static void pop(struct msub__gs_asks *a) {
  const ask *k = msub__ring_front(&a->ring);
  (void)msub__table_remove(&a->index, k->hash, a->first);
  msub__ring_pop(&a->ring);
  a->first = (a->first + 1) & MODULO;
}

void msub__gs_asked(msub_router *r, msub_session s, uint64_t hash) {
  msub__gs *g = msub__gs_of(r);
  const msub_mem *mem = msub_r_mem(r);
  if (!g->asks) {
    g->asks = msub__zalloc(mem, 1, sizeof *g->asks);
    if (!g->asks) return; /* the same may be asked for once more */
    msub__ring_init(&g->asks->ring, sizeof(ask));
  }
  struct msub__gs_asks *a = g->asks;
  if (a->ring.n == MSUB__GS_ASKS) pop(a);
  if (msub__table_reserve(&a->index, mem) != MSUB_OK) return;
  ask *k = msub__ring_push(&a->ring, mem);
  if (!k) return;
  *k = (ask){ hash, msub__deadline(msub_r_mono(r), msub__gs_opts(r)->iwant_followup_ns), s.v, g->serial };
  int rc = msub__table_insert(&a->index, mem, hash, (a->first + a->ring.n - 1) & MODULO);
  MSUB__INVARIANT(rc == MSUB_OK);
}

static bool is_asked(const void *ctx, uint32_t value, const void *key) {
  const want *w = key;
  const ask *k = at(ctx, value);
  return k->hash == w->hash && k->session == w->session;
}

void msub__gs_unasked(msub_router *r, msub_session s, msub_bytes id) {
  struct msub__gs_asks *a = msub__gs_of(r)->asks;
  if (!a) return;
  want w = { .hash = msub_r_hash(r, id), .session = s.v };
  uint32_t i = msub__table_find(&a->index, w.hash, is_asked, a, &w);
  if (i == MSUB__NONE) return;
  at(a, i)->session = 0;
  (void)msub__table_remove(&a->index, w.hash, i);
}

void msub__gs_asks_expire(msub_router *r) {
  struct msub__gs_asks *a = msub__gs_of(r)->asks;
  if (!a) return;
  uint64_t now = msub_r_mono(r);
  while (a->ring.n && msub__passed(((const ask *)msub__ring_front(&a->ring))->until, now)) pop(a);
  if (a->ring.n == 0) msub__gs_asks_fini(r);
}

void msub__gs_asks_fini(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  if (!g->asks) return;
  msub__ring_fini(&g->asks->ring, msub_r_mem(r));
  msub__table_fini(&g->asks->index, msub_r_mem(r));
  msub__free(msub_r_mem(r), g->asks, sizeof *g->asks);
  g->asks = NULL;
}
