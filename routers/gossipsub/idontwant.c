/* routers/gossipsub/idontwant.c: large messages are announced as not wanted to those who would send them to us as well, before
 * they are judged; what peers do not want is remembered for a few heartbeats and not sent to them.
 *
 * An id is remembered as a hash of (session, id), in the set of the heartbeat in which it was said. Sets are dropped whole:
 *
 *     set[now]  ◀─ new ones        set[now-1]        set[now-2]  ─▶ emptied when it becomes `now` again */
#include <string.h>
#include "routers/gossipsub/probe.h"

typedef struct set {
  uint64_t *slot; /* 0: free; at most half full */
  uint32_t n, cap;
} set;
struct msub__gs_unwanted {
  uint32_t n_sets, now;
  set set[];
};

/* ---- out ---- */

void msub__gs_idontwant_send(msub_router *r, msub_topic t, const msub_msg *m, msub_session from) {
  const msub__gs_topic *tt = msub__gs_topic_of(r, t);
  if (!tt || tt->mode != MSUB__GS_MESH || tt->n == 0 || m->data_n < msub__gs_params(r, t)->idontwant_bytes) return;
  bool owing = msub__gs_score_wants_any_copies(r, t);
  uint64_t hash = msub__gs_probes_out(tt) ? msub_r_hash(r, msub_id(m)) : 0;
  msub__gs_picks to;
  msub__gs_picks_init(&to);
  if (msub__gs_picks_room(r, &to, tt->n)) {
    for (uint32_t i = 0; i < tt->n; i++) {
      const msub__gs_session *ss = msub__gs_session_of(r, tt->s[i]);
      if (tt->s[i].v == from.v || !(ss->is & MSUB_F_IDONTWANT)) continue;
      if (hash && msub__gs_probe_is(tt, tt->s[i], hash)) continue;
      if (tt->partial && msub__gs_partial_skips_idontwant(r, tt->s[i], tt, msub_r_link(r, tt->s[i], t))) continue; /* it sends no whole ones */
      /* Who is asked to send nothing brings nothing, and P3 would blame it for that. */
      if (!owing || !msub__gs_score_wants_copies(r, tt->s[i], t)) msub__gs_picks_add(&to, tt->s[i]);
    }
    msub_bytes id = msub_id(m);
    msub_ctl_entry e = { .kind = MSUB_C_IDONTWANT, .ids = &id, .n_ids = 1 };
    if (to.n) (void)msub__gs_send(r, to.s, to.n, &e, 1, MSUB_LANE_CONTROL);
  }
  msub__gs_picks_fini(r, &to);
}

/* ---- in ---- */

static uint64_t key_of(const msub_router *r, msub_session s, msub_bytes id) {
  uint64_t h = msub_r_hash(r, id) ^ (uint64_t)s.v * UINT64_C(0x9e3779b97f4a7c15);
  h = (h ^ (h >> 32)) * UINT64_C(0xd6e8feb86659fd93);
  h ^= h >> 32;
  return h ? h : 1;
}

static bool has(const set *w, uint64_t key) {
  if (w->n == 0) return false;
  for (uint32_t mask = w->cap - 1, i = (uint32_t)key & mask; w->slot[i]; i = (i + 1) & mask)
    if (w->slot[i] == key) return true;
  return false;
}

static void put(set *w, uint64_t key) {
  uint32_t mask = w->cap - 1, i = (uint32_t)key & mask;
  while (w->slot[i]) i = (i + 1) & mask;
  w->slot[i] = key;
}

static void empty(msub_router *r, set *w) {
  msub__free(msub_r_mem(r), w->slot, w->cap * sizeof *w->slot);
  *w = (set){ 0 };
}

static bool add(msub_router *r, set *w, uint64_t key) {
  if (w->n == MSUB__GS_UNWANTED) return false;
  if (2 * (w->n + 1) > w->cap) {
    set bigger = { .n = w->n, .cap = w->cap ? w->cap * 2 : 16 };
    bigger.slot = msub__zalloc(msub_r_mem(r), bigger.cap, sizeof *bigger.slot);
    if (!bigger.slot) return false;
    for (uint32_t i = 0; i < w->cap; i++)
      if (w->slot[i]) put(&bigger, w->slot[i]);
    msub__free(msub_r_mem(r), w->slot, w->cap * sizeof *w->slot);
    *w = bigger;
  }
  put(w, key);
  w->n++;
  return true;
}

static size_t size_of(uint32_t n_sets) { return sizeof(struct msub__gs_unwanted) + n_sets * sizeof(set); }

static void remember(msub_router *r, msub_session s, msub__gs_session *ss, msub_bytes id) {
  msub__gs *g = msub__gs_of(r);
  if (!g->unwanted) {
    uint32_t n = msub__gs_opts(r)->idontwant_ttl;
    if (n == 0) return;
    g->unwanted = msub__zalloc(msub_r_mem(r), 1, size_of(n));
    if (!g->unwanted) return;
    g->unwanted->n_sets = n;
  }
  set *w = &g->unwanted->set[g->unwanted->now];
  uint64_t key = key_of(r, s, id);
  ss->is |= MSUB__GS_IS_UNWANTED;
  ss->unwanted_tick = (uint8_t)g->tick;
  if (has(w, key) || ss->unwanted >= MSUB__GS_UNWANTED_PEER) return;
  if (add(r, w, key)) ss->unwanted++;
}

void msub__gs_idontwant(msub_router *r, msub_session s, const msub_ctl *c) {
  msub__gs *g = msub__gs_of(r);
  msub__gs_session *ss = msub__gs_session_of(r, s);
  const msub_gossipsub_opts *o = msub__gs_opts(r);
  for (uint32_t i = 0; i < c->n; i++) {
    if (c->e[i].kind != MSUB_C_IDONTWANT) continue;
    if (!(g->rpc_is & MSUB__GS_RPC_IDONTWANT)) {
      g->rpc_is |= MSUB__GS_RPC_IDONTWANT;
      if (ss->idontwants == UINT16_MAX) return;
      ss->idontwants++;
    }
    if (ss->idontwants > o->max_idontwant_messages) return;
    for (uint32_t k = 0; k < c->e[i].n_ids && g->rpc_unwanted < o->max_idontwant_length; k++) {
      msub_bytes id = c->e[i].ids[k];
      g->rpc_unwanted++;
      if (id.n > MSUB_MAX_ID) continue;
      remember(r, s, ss, id);
      if (!g->parity) (void)msub_r_withdraw(r, s, id); /* a copy that has not left yet */
    }
  }
}

bool msub__gs_unwanted(const msub_router *r, msub_session s, const msub__gs_session *ss, msub_bytes id) {
  const msub__gs *g = msub__gs_of(r);
  const struct msub__gs_unwanted *u = g->unwanted;
  if (!u || !(ss->is & MSUB__GS_IS_UNWANTED) || (uint8_t)((uint8_t)g->tick - ss->unwanted_tick) >= u->n_sets) return false;
  uint64_t key = key_of(r, s, id);
  for (uint32_t i = 0; i < u->n_sets; i++)
    if (has(&u->set[i], key)) return true;
  return false;
}

void msub__gs_unwanted_rotate(msub_router *r) {
  struct msub__gs_unwanted *u = msub__gs_of(r)->unwanted;
  if (!u) return;
  u->now = (u->now + 1) % u->n_sets;
  empty(r, &u->set[u->now]);
  for (uint32_t i = 0; i < u->n_sets; i++)
    if (u->set[i].n) return;
  msub__gs_unwanted_fini(r);
}

void msub__gs_unwanted_fini(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  struct msub__gs_unwanted *u = g->unwanted;
  if (!u) return;
  for (uint32_t i = 0; i < u->n_sets; i++) empty(r, &u->set[i]);
  msub__free(msub_r_mem(r), u, size_of(u->n_sets));
  g->unwanted = NULL;
}
