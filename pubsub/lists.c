/* pubsub/lists.c: peers that are blocked, and those that are allowed. Keys are 64-bit hashes under the shared's secret, as in conduct.c. */
#include "pubsub/engine.h"

#define SWEEP_NS MSUB__S /* least time between sweeps, so that many entries with many ends cost no more */

static uint64_t key_of(const msub_engine *e, msub_bytes id, bool allowed) { return msub__hash2(&e->sh->key, allowed ? 5 : 4, id) | 1; }

static bool same_key(const void *ctx, uint32_t value, const void *key) { return ((const msub__lists *)ctx)->e[value].key == *(const uint64_t *)key; }
static uint32_t find(const msub__lists *l, uint64_t key) { return l->n ? msub__table_find(&l->table, msub__mix(key), same_key, l, &key) : MSUB__NONE; }

/* Until when; 0: not on the list now. */
static uint64_t until_of(const msub_engine *e, msub_bytes id, bool allowed, uint64_t now_ns) {
  const msub__lists *l = &e->extras->lists;
  uint32_t i = find(l, key_of(e, id, allowed));
  return i == MSUB__NONE || msub__passed(l->e[i].until, now_ns) ? 0 : l->e[i].until;
}

int msub__list_refuses(const msub_engine *e, msub_bytes id, uint64_t now_ns, uint64_t *until_ns) {
  uint64_t until = 0;
  int why = MSUB_R_NONE;
  if (e->listing && id.n) {
    until = until_of(e, id, false, now_ns);
    if (until) why = MSUB_R_BLOCKED_PEER;
    else if (e->extras->lists.only && !until_of(e, id, true, now_ns)) {
      why = MSUB_R_NOT_ALLOWED;
      until = MSUB_NEVER;
    }
  }
  if (until_ns) *until_ns = until;
  return why;
}

bool msub__list_blocks(const msub_engine *e, msub_bytes id) { return e->listing && id.n && until_of(e, id, false, e->now.mono_ns); }

bool msub_blocked(const msub_engine *e, msub_bytes id, const msub_now *now) {
  return e->listing && id.n && until_of(e, id, false, now ? now->mono_ns : e->now.mono_ns);
}

/* ---- sessions ---- */

/* Marks the peer's sessions by what the lists say; the first one that is shut now has the peer disconnected. */
static void judge(msub_engine *e, uint32_t peer) {
  int why = msub__list_refuses(e, msub__intern_bytes(&e->sh->peers, peer), e->now.mono_ns, NULL);
  bool ends = false;
  for (unsigned ri = 0; ri < e->n_routers; ri++) {
    uint32_t slot = msub__session_find(e, ri, peer);
    if (slot == MSUB__NONE) continue;
    msub__session *s = msub__session_at(e, ri, slot);
    ends = ends || (why && !s->shut);
    s->shut = why != MSUB_R_NONE;
  }
  if (!ends) return;
  MSUB__COUNT(e, disconnects);
  MSUB__WORLD(e)->disconnect(e->w, (msub_peer){ peer }, why);
}

static void judge_all(msub_engine *e) {
  for (unsigned ri = 0; ri < e->n_routers; ri++)
    for (uint32_t s = 0; s < e->routers[ri].n_sessions; s++)
      if (msub__session_at(e, ri, s)->peer) judge(e, msub__session_at(e, ri, s)->peer);
}

/* ---- the lists ---- */

static void measure(msub_engine *e) {
  msub__lists *l = &e->extras->lists;
  e->listing = l->n || l->only;
  l->next = MSUB_NEVER;
  for (uint32_t i = 0; i < l->n; i++) l->next = msub__sooner(l->next, l->e[i].until);
}

static void remove_at(msub_engine *e, uint32_t i) {
  msub__lists *l = &e->extras->lists;
  msub__table_remove(&l->table, msub__mix(l->e[i].key), i);
  uint32_t last = --l->n;
  if (i == last) return;
  l->e[i] = l->e[last];
  msub__table_update(&l->table, msub__mix(l->e[i].key), last, i);
}

static bool sweep(msub_engine *e) {
  msub__lists *l = &e->extras->lists;
  uint32_t before = l->n;
  for (uint32_t i = l->n; i-- > 0;)
    if (msub__passed(l->e[i].until, e->now.mono_ns)) remove_at(e, i);
  measure(e);
  return l->n < before;
}

void msub__lists_expire(msub_engine *e) {
  msub__lists *l = &e->extras->lists;
  if (!msub__passed(l->next, e->now.mono_ns)) return;
  if (sweep(e)) judge_all(e);
  uint64_t soonest = msub__deadline(e->now.mono_ns, SWEEP_NS);
  if (l->next < soonest) l->next = soonest;
}

static int put(msub_engine *e, uint64_t key, uint64_t until) {
  msub__lists *l = &e->extras->lists;
  const msub_mem *m = msub__mem(e);
  uint32_t i = find(l, key);
  if (i == MSUB__NONE) {
    if (l->n == MSUB__LISTED) (void)sweep(e);
    if (l->n == MSUB__LISTED) return MSUB_ERR_LIMIT;
    if (l->n == l->cap) {
      uint32_t cap = l->cap ? l->cap * 2 : 16;
      msub__listed *p = msub__realloc(m, l->e, l->cap * sizeof *p, cap * sizeof *p);
      if (!p) return MSUB_ERR_NOMEM;
      l->e = p;
      l->cap = cap;
    }
    if (msub__table_reserve(&l->table, m) != MSUB_OK) return MSUB_ERR_NOMEM;
    i = l->n++;
    int rc = msub__table_insert(&l->table, m, msub__mix(key), i);
    MSUB__INVARIANT(rc == MSUB_OK);
  }
  l->e[i] = (msub__listed){ key, until };
  measure(e);
  return MSUB_OK;
}

void msub__lists_fini(msub_engine *e) {
  msub__lists *l = &e->extras->lists;
  msub__free(msub__mem(e), l->e, l->cap * sizeof *l->e);
  msub__table_fini(&l->table, msub__mem(e));
}

/* ---- the calls ---- */

enum { BLOCK, UNBLOCK, ALLOW, DISALLOW, ONLY, ANYBODY };

int msub__list_effect(msub_engine *e, const msub__call *c) {
  if (!msub__need_extras(e)) return MSUB_ERR_NOMEM;
  msub__lists *l = &e->extras->lists;
  if (c->arg == ONLY || c->arg == ANYBODY) {
    l->only = c->arg == ONLY;
    measure(e);
    judge_all(e);
    return MSUB_OK;
  }
  msub_bytes id = { c->bytes, c->n_bytes };
  uint64_t key = key_of(e, id, c->arg == ALLOW || c->arg == DISALLOW);
  if (c->arg == BLOCK || c->arg == ALLOW) {
    int rc = put(e, key, c->ns == MSUB_NEVER ? MSUB_NEVER : msub__deadline(e->now.mono_ns, c->ns));
    if (rc != MSUB_OK) return rc;
  } else {
    uint32_t i = find(l, key);
    if (i == MSUB__NONE) return MSUB_ERR_NOTFOUND;
    remove_at(e, i);
    measure(e);
  }
  uint32_t peer = msub__intern_find(&e->sh->peers, &e->sh->key, id);
  if (peer) judge(e, peer);
  return MSUB_OK;
}

static int change(msub_engine *e, int what, msub_bytes id, uint64_t ns, const msub_now *now) {
  if (what < ONLY && (id.n == 0 || id.n > 64 || ns == 0)) return MSUB_ERR_INVAL;
  msub__call c = { .kind = MSUB__CALL_LIST, .arg = what, .ns = ns };
  if (!now) return e->inside ? msub__deferred_push(e, &c, id) : MSUB_ERR_STATE;
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  c.bytes = (uint8_t *)(uintptr_t)id.p;
  c.n_bytes = id.n;
  rc = msub__list_effect(e, &c);
  msub__leave(e);
  return rc;
}
int msub_block(msub_engine *e, msub_bytes id, uint64_t ns, const msub_now *now) { return change(e, BLOCK, id, ns, now); }
int msub_unblock(msub_engine *e, msub_bytes id, const msub_now *now) { return change(e, UNBLOCK, id, 1, now); }
int msub_allow(msub_engine *e, msub_bytes id, uint64_t ns, const msub_now *now) { return change(e, ALLOW, id, ns, now); }
int msub_disallow(msub_engine *e, msub_bytes id, const msub_now *now) { return change(e, DISALLOW, id, 1, now); }
int msub_allow_only(msub_engine *e, bool on, const msub_now *now) { return change(e, on ? ONLY : ANYBODY, (msub_bytes){ NULL, 0 }, 1, now); }
