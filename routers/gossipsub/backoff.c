/* routers/gossipsub/backoff.c: who may not be grafted, and until when. An entry stands for (peer, topic), whoever pruned, and
 * outlives the session: it ends with the peer block, when it is swept, or with the router.
 *
 *     peer block ─▶ newest entry of the peer ─▶ next ─▶ …      index: hash of (peer, topic name) → entry
 *
 * Exact: an entry is over at its time; before we graft ourselves two heartbeats more, because the other clock runs differently.
 * With parity every entry counts until the sweep that follows its end by 2 s. */
#include "base/table.h"
#include "routers/gossipsub/gossipsub.h"

typedef struct entry {
  uint64_t until;
  uint32_t peer, name; /* peer 0: free; the name is held */
  uint32_t next;       /* index + 1 of the peer's next, or of the next free one */
} entry;
struct msub__gs_backoffs {
  entry *e;
  uint32_t n, cap, used, free; /* used: entries that ever were */
  uint32_t lost;
  msub__table index;
};
typedef struct key { uint32_t peer, name; } key;

static uint64_t hash_of(const msub_router *r, const key *k) { return msub_r_hash(r, (msub_bytes){ (const uint8_t *)k, sizeof *k }); }

static bool same(const void *ctx, uint32_t value, const void *k) {
  const entry *e = &((const struct msub__gs_backoffs *)ctx)->e[value];
  const key *want = k;
  return e->peer == want->peer && e->name == want->name;
}

static entry *find(const msub_router *r, key k) {
  struct msub__gs_backoffs *b = msub__gs_of(r)->backoffs;
  if (!b) return NULL;
  uint32_t i = msub__table_find(&b->index, hash_of(r, &k), same, b, &k);
  return i == MSUB__NONE ? NULL : &b->e[i];
}

static key key_of(const msub_router *r, msub_session s, msub_topic t) {
  return (key){ msub_r_session_peer(r, s).v, msub_r_name(r, t) };
}

static uint64_t slack(const msub_router *r) {
  return msub__gs_of(r)->parity ? MSUB__GS_SLACK_PARITY : 2 * msub__gs_opts(r)->heartbeat_ns;
}

/* A free entry's index; NONE: full or no memory. */
static uint32_t take(msub_router *r, struct msub__gs_backoffs *b) {
  if (b->free) {
    uint32_t i = b->free - 1;
    b->free = b->e[i].next;
    return i;
  }
  if (b->used == MSUB__GS_BACKOFFS) return MSUB__NONE;
  if (b->used == b->cap) {
    uint32_t cap = b->cap ? b->cap * 2 : 8;
    entry *bigger = msub__realloc(msub_r_mem(r), b->e, b->cap * sizeof *bigger, cap * sizeof *bigger);
    if (!bigger) return MSUB__NONE;
    b->e = bigger;
    b->cap = cap;
  }
  return b->used++;
}

static void put_back(struct msub__gs_backoffs *b, uint32_t i) {
  b->e[i] = (entry){ .next = b->free };
  b->free = i + 1;
}

static bool add(msub_router *r, msub_session s, key k, uint64_t until) {
  msub__gs *g = msub__gs_of(r);
  msub__gs_peer *p = msub_r_peer(r, s);
  if (!g->backoffs) g->backoffs = msub__zalloc(msub_r_mem(r), 1, sizeof *g->backoffs);
  struct msub__gs_backoffs *b = g->backoffs;
  if (!b || !p) return false;
  uint32_t i = take(r, b);
  if (i == MSUB__NONE || msub__table_insert(&b->index, msub_r_mem(r), hash_of(r, &k), i) != MSUB_OK) {
    if (i != MSUB__NONE) put_back(b, i);
    if (b->lost++ == 0) msub_r_log(r, MSUB_LOG_WARN, "gossipsub: a backoff could not be remembered, %u are", b->n);
    return false;
  }
  msub_r_name_hold(r, k.name);
  b->e[i] = (entry){ .until = until, .peer = k.peer, .name = k.name, .next = p->backoffs };
  p->backoffs = i + 1;
  b->n++;
  return true;
}

void msub__gs_backoff_until(msub_router *r, msub_session s, msub_topic t, uint64_t until) {
  key k = key_of(r, s, t);
  entry *e = find(r, k);
  if (e) {
    if (e->until < until) e->until = until;
    return;
  }
  if (!add(r, s, k, until)) return;
  msub__gs_link *l = msub_r_link(r, s, t);
  if (l) l->is |= MSUB__GS_BACKED;
}

void msub__gs_backoff_add(msub_router *r, msub_session s, msub_topic t, uint64_t ns) {
  if (ns || msub__gs_of(r)->parity) msub__gs_backoff_until(r, s, t, msub__deadline(msub_r_mono(r), ns));
}

bool msub__gs_backoff_find(const msub_router *r, msub_session s, msub_topic t, uint64_t *until) {
  const msub__gs_peer *p = msub_r_peer(r, s);
  const entry *e = p && p->backoffs ? find(r, key_of(r, s, t)) : NULL;
  if (e) *until = e->until;
  return e != NULL;
}

bool msub__gs_backoff_blocks(msub_router *r, msub_session s, msub_topic t, msub__gs_link *l) {
  uint64_t until;
  if (l && !(l->is & MSUB__GS_BACKED)) return false;
  if (!msub__gs_backoff_find(r, s, t, &until)) {
    if (l) l->is &= (uint8_t)~MSUB__GS_BACKED;
    return false;
  }
  return msub__gs_of(r)->parity || !msub__passed(msub__deadline(until, slack(r)), msub_r_mono(r));
}

/* Takes entry i out of the table; the chain is the caller's. */
static void end(msub_router *r, struct msub__gs_backoffs *b, uint32_t i) {
  key k = { b->e[i].peer, b->e[i].name };
  (void)msub__table_remove(&b->index, hash_of(r, &k), i);
  put_back(b, i);
  b->n--;
  msub_r_name_drop(r, k.name);
}

static void unchain(msub_router *r, struct msub__gs_backoffs *b, uint32_t i) {
  msub_peer peer = { b->e[i].peer };
  msub_session s = msub_r_session_of(r, peer);
  msub__gs_peer *p = s.v ? msub_r_peer(r, s) : msub_r_departed(r, peer);
  MSUB__INVARIANT(p);
  uint32_t *at = &p->backoffs;
  while (*at != i + 1) {
    MSUB__INVARIANT(*at);
    at = &b->e[*at - 1].next;
  }
  *at = b->e[i].next;
}

static void release_if_empty(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  struct msub__gs_backoffs *b = g->backoffs;
  if (!b || b->n) return;
  msub__table_fini(&b->index, msub_r_mem(r));
  msub__free(msub_r_mem(r), b->e, b->cap * sizeof *b->e);
  msub__free(msub_r_mem(r), b, sizeof *b);
  g->backoffs = NULL;
}

void msub__gs_backoff_sweep(msub_router *r) {
  struct msub__gs_backoffs *b = msub__gs_of(r)->backoffs;
  uint64_t now = msub_r_mono(r), more = slack(r);
  for (uint32_t i = 0; b && i < b->used; i++) {
    if (!b->e[i].peer || msub__deadline(b->e[i].until, more) >= now) continue;
    unchain(r, b, i);
    end(r, b, i);
  }
  release_if_empty(r);
}

uint64_t msub__gs_backoff_last(const msub_router *r, const msub__gs_peer *p) {
  const struct msub__gs_backoffs *b = msub__gs_of(r)->backoffs;
  uint64_t last = 0;
  if (!p->backoffs) return 0;
  for (uint32_t i = p->backoffs; i; i = b->e[i - 1].next)
    if (b->e[i - 1].until > last) last = b->e[i - 1].until;
  last = msub__deadline(last, slack(r));
  if (!msub__gs_of(r)->parity) return last;
  /* with parity it counts until it is swept, also one that ended long ago because its time wrapped */
  uint64_t now = msub_r_mono(r);
  return msub__deadline(last > now ? last : now, (MSUB__GS_SWEEP_TICKS + 1) * msub__gs_opts(r)->heartbeat_ns);
}

void msub__gs_backoff_forget(msub_router *r, msub__gs_peer *p) {
  struct msub__gs_backoffs *b = msub__gs_of(r)->backoffs;
  while (p->backoffs) {
    uint32_t i = p->backoffs - 1;
    p->backoffs = b->e[i].next;
    end(r, b, i);
  }
  release_if_empty(r);
}

void msub__gs_backoff_fini(msub_router *r) {
  struct msub__gs_backoffs *b = msub__gs_of(r)->backoffs;
  for (uint32_t i = 0; b && i < b->used; i++)
    if (b->e[i].peer) end(r, b, i);
  release_if_empty(r);
}

bool msub__gs_backoff_next(const msub_router *r, msub_topic t, size_t *at, msub_peer *p, uint64_t *until) {
  const struct msub__gs_backoffs *b = msub__gs_of(r)->backoffs;
  uint32_t name = msub_r_name(r, t);
  for (; b && *at < b->used; ++*at) {
    const entry *e = &b->e[*at];
    if (!e->peer || e->name != name) continue;
    *p = (msub_peer){ e->peer };
    *until = e->until;
    ++*at;
    return true;
  }
  return false;
}
