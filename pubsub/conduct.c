/* pubsub/conduct.c: the one place that decides on misbehaviour. Provable faults cost points; a budget of 100 comes back at one point
 * in six seconds. Half of it spent: the peer gets half the room for judgement. All of it: the peer is disconnected and stays out, one
 * minute at first, doubling to an hour. An address prefix (/32, /64) has four times the budget of a peer. Keys are 64-bit hashes
 * under the shared's secret, so the record outlives the session and holds nothing else. */
#include "pubsub/engine.h"
#include <string.h>

#define POINT 1000u
#define BUDGET (100u * POINT)
#define PREFIX_FACTOR 4u
#define RECOVER_NS (6 * MSUB__S) /* per point */
#define COOL_DOWN_NS (60 * MSUB__S)
#define STRIKES_MAX 6u           /* 64 minutes, cut to an hour */

static uint64_t peer_key(const msub_engine *e, msub_bytes id) { return msub__hash2(&e->sh->key, 1, id) | 1; }

uint64_t msub__conduct_prefix(const msub_engine *e, msub_bytes a) {
  static const uint8_t loopback6[16] = { [15] = 1 };
  if (a.n == 4) return a.p[0] == 127 ? 0 : msub__hash2(&e->sh->key, 2, a) | 1;
  if (a.n != 16 || memcmp(a.p, loopback6, 16) == 0) return 0;
  return msub__hash2(&e->sh->key, 3, (msub_bytes){ a.p, 8 }) | 1;
}

static bool same_key(const void *ctx, uint32_t value, const void *key) {
  return ((const msub__conduct *)ctx)->e[value].key == *(const uint64_t *)key;
}
static uint32_t find(const msub__conduct *c, uint64_t key) {
  return c->table.n ? msub__table_find(&c->table, msub__mix(key), same_key, c, &key) : MSUB__NONE;
}

static uint32_t now_points(const msub__record *r, uint64_t now_ns) {
  uint64_t back = msub__sat_sub_u64(now_ns, r->last_ns) / (RECOVER_NS / POINT);
  return back >= r->points ? 0 : r->points - (uint32_t)back;
}

/* The record that is missed least: free of cool-down, fewest points. */
static uint32_t least(const msub__conduct *c, uint64_t now_ns) {
  uint32_t best = 0;
  uint64_t best_cost = UINT64_MAX;
  for (uint32_t i = 0; i < c->n; i++) {
    uint64_t cost = now_points(&c->e[i], now_ns) + (c->e[i].until_ns > now_ns ? UINT32_MAX : 0);
    if (cost < best_cost) {
      best = i;
      best_cost = cost;
    }
  }
  return best;
}

/* The record of a key, made when it is new; NULL: no memory. */
static msub__record *record(msub_engine *e, uint64_t key) {
  if (!msub__need_work(e)) return NULL;
  msub__conduct *c = &e->work->conduct;
  uint32_t i = find(c, key);
  if (i != MSUB__NONE) return &c->e[i];
  if (msub__table_reserve(&c->table, msub__mem(e)) != MSUB_OK) return NULL;
  if (c->n == MSUB__CONDUCT_ENTRIES) {
    i = least(c, e->now.mono_ns);
    msub__table_remove(&c->table, msub__mix(c->e[i].key), i);
  } else {
    if (c->n == c->cap) {
      uint32_t cap = c->cap ? c->cap * 2 : 16;
      msub__record *p = msub__realloc(msub__mem(e), c->e, c->cap * sizeof *p, cap * sizeof *p);
      if (!p) return NULL;
      c->e = p;
      c->cap = cap;
    }
    i = c->n++;
  }
  c->e[i] = (msub__record){ .key = key, .last_ns = e->now.mono_ns };
  int rc = msub__table_insert(&c->table, msub__mem(e), msub__mix(key), i);
  MSUB__INVARIANT(rc == MSUB_OK);
  return &c->e[i];
}

/* Adds points; true: the budget is spent, the cool-down runs. */
static bool charge(msub_engine *e, uint64_t key, unsigned weight, uint32_t budget, bool *half) {
  msub__record *r = key ? record(e, key) : NULL;
  if (!r) return false;
  r->points = now_points(r, e->now.mono_ns) + weight * POINT;
  r->last_ns = e->now.mono_ns;
  *half = r->points >= budget / 2;
  if (r->points < budget) return false;
  if (r->until_ns <= e->now.mono_ns) {
    uint64_t stay = COOL_DOWN_NS << (r->strikes < STRIKES_MAX ? r->strikes : STRIKES_MAX);
    r->until_ns = msub__deadline(e->now.mono_ns, stay > 3600 * MSUB__S ? 3600 * MSUB__S : stay);
    r->strikes++;
  }
  r->points = 0;
  return true;
}

static void throttle_sessions(msub_engine *e, uint32_t peer) {
  for (unsigned ri = 0; ri < e->n_routers; ri++) {
    uint32_t slot = msub__session_find(e, ri, peer);
    if (slot != MSUB__NONE) msub__session_at(e, ri, slot)->throttled = true;
  }
}

/* What the score says: who is not heard any more by any router of this engine has less of a budget. Nobody has more: a score is earned by
 * messages, and does not pay for broken frames. */
static unsigned factor(msub_engine *e, uint32_t peer) {
  if (e->cfg->go_parity || e->cfg->graylisted_weight == 1 || !peer) return 1;
  for (unsigned ri = 0; ri < e->n_routers; ri++)
    if (MSUB__ASK(e, ri, graylisted, false, (msub_peer){ peer })) return e->cfg->graylisted_weight;
  return 1;
}

void msub__blame_id(msub_engine *e, msub_bytes id, uint64_t prefix, int reason, unsigned weight) {
  MSUB__COUNT(e, blamed);
  msub__count_reason(e, reason);
  if (msub_reason_blame(reason) != MSUB_BLAME_PROVABLE) return;
  bool half = false, unused = false;
  uint32_t peer = id.n ? msub__intern_find(&e->sh->peers, &e->sh->key, id) : 0;
  bool spent = id.n && charge(e, peer_key(e, id), weight * factor(e, peer), BUDGET, &half);
  charge(e, prefix, weight, BUDGET * PREFIX_FACTOR, &unused); /* a stranger's score is not the neighbours' affair */
  if (half && peer) throttle_sessions(e, peer);
  if (!spent || !peer) return;
  MSUB__COUNT(e, disconnects);
  MSUB__WORLD(e)->disconnect(e->w, (msub_peer){ peer }, reason);
}

void msub__blame(msub_engine *e, uint32_t peer, uint64_t prefix, int reason, unsigned weight) {
  msub__blame_id(e, msub__intern_bytes(&e->sh->peers, peer), prefix, reason, weight);
}

uint64_t msub__conduct_until(const msub_engine *e, msub_bytes id, uint64_t prefix) {
  uint64_t until = 0;
  if (!e->work) return 0;
  const msub__conduct *c = &e->work->conduct;
  uint32_t i = id.n ? find(c, peer_key(e, id)) : MSUB__NONE;
  if (i != MSUB__NONE) until = c->e[i].until_ns;
  i = prefix ? find(c, prefix) : MSUB__NONE;
  if (i != MSUB__NONE && c->e[i].until_ns > until) until = c->e[i].until_ns;
  return until;
}

void msub__conduct_fini(msub_engine *e) {
  msub__free(msub__mem(e), e->work->conduct.e, e->work->conduct.cap * sizeof *e->work->conduct.e);
  msub__table_fini(&e->work->conduct.table, msub__mem(e));
}

int msub_report(msub_engine *e, msub_bytes peer_id, msub_bytes address, int reason, unsigned weight, const msub_now *now) {
  if (reason < 0 || reason >= MSUB_REASONS || weight == 0 || weight > 100) return MSUB_ERR_INVAL;
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  msub__blame_id(e, peer_id, msub__conduct_prefix(e, address), reason, weight);
  msub__leave(e);
  return MSUB_OK;
}

int msub_allows(const msub_engine *e, msub_bytes peer_id, msub_bytes address, const msub_now *now, uint64_t *until_ns) {
  uint64_t until = msub__conduct_until(e, peer_id, msub__conduct_prefix(e, address)), listed = 0;
  if (now) (void)msub__list_refuses(e, peer_id, now->mono_ns, &listed);
  if (listed > until) until = listed;
  if (until_ns) *until_ns = until;
  return now && until > now->mono_ns ? MSUB_ERR_REFUSED : MSUB_OK;
}
