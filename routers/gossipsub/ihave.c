/* routers/gossipsub/ihave.c: a peer tells what it has; what we lack is asked for in one IWANT, in a random order, so that nobody
 * decides what comes first. */
#include "routers/gossipsub/gossipsub.h"

#define FEW 64

/* May IHAVEs of this RPC be looked at? Counts the RPC once. */
static bool allowed(msub_router *r, msub_session s, msub__gs_session *ss, const msub_ctl *c) {
  msub__gs *g = msub__gs_of(r);
  bool any = g->parity; /* the reference counts every RPC with a control part */
  for (uint32_t i = 0; i < c->n && !any; i++) any = c->e[i].kind == MSUB_C_IHAVE;
  if (!any || msub__gs_score(r, s) < msub__gs_thresholds_of(r)->gossip) return false;
  uint16_t most = msub__gs_opts(r)->max_ihave_messages;
  if (!(g->rpc_is & MSUB__GS_RPC_IHAVE)) {
    g->rpc_is |= MSUB__GS_RPC_IHAVE;
    if (ss->ihaves == UINT16_MAX) return false;
    ss->ihaves++;
  }
  return ss->ihaves <= most;
}

static size_t most_of_one(const msub_router *r) {
  return msub__gs_of(r)->parity ? msub__gs_opts(r)->max_ihave_length : MSUB__GS_IHAVE_IDS;
}
static uint32_t most_asked(const msub_router *r) {
  uint32_t n = msub__gs_opts(r)->max_ihave_length;
  return msub__gs_of(r)->parity || n < MSUB__GS_IHAVE_ASKED ? n : MSUB__GS_IHAVE_ASKED;
}
static size_t looked_at(const msub_router *r, const msub_ctl_entry *e) {
  size_t most = most_of_one(r);
  return e->n_ids < most ? e->n_ids : most;
}

/* Its topic, if it is an IHAVE of one that we joined. */
static bool is_of_ours(const msub_router *r, const msub_ctl_entry *e, msub_topic *t) {
  if (e->kind != MSUB_C_IHAVE || !e->topic_name) return false;
  *t = msub_r_topic_of(r, e->topic_name);
  const msub__gs_topic *tt = t->v ? msub__gs_topic_of(r, *t) : NULL;
  return tt && tt->mode == MSUB__GS_MESH;
}

/* The ids that are new to us. */
static size_t unseen(msub_router *r, msub__gs_session *ss, const msub_ctl *c, msub_bytes *out) {
  bool bounded = !msub__gs_of(r)->parity;
  size_t n = 0;
  for (uint32_t i = 0; i < c->n; i++) {
    msub_topic t;
    if (!is_of_ours(r, &c->e[i], &t)) continue;
    for (size_t k = 0, ids = looked_at(r, &c->e[i]); k < ids; k++) {
      msub_bytes id = c->e[i].ids[k];
      if (bounded && ss->looked++ >= MSUB__GS_LOOKED) {
        ss->looked = MSUB__GS_LOOKED;
        return n;
      }
      if (id.n && id.n <= MSUB_MAX_ID && !msub_r_seen(r, t, id)) out[n++] = id;
    }
  }
  return n;
}

/* Moves those that are asked for to the front; how many. */
static size_t choose(msub_router *r, msub_session s, msub_bytes *ids, size_t n, size_t most) {
  size_t chosen = 0;
  for (size_t i = 0; i < n && chosen < most; i++) {
    size_t k = i + msub_r_rand(r, MSUB__GS_RNG_IWANT, (uint32_t)(n - i));
    msub_bytes id = ids[k];
    ids[k] = ids[i];
    uint64_t hash = msub_r_hash(r, id);
    if (!msub__gs_may_ask(r, s, hash)) continue;
    msub__gs_asked(r, s, hash);
    ids[chosen++] = id;
  }
  return chosen;
}

void msub__gs_ihave(msub_router *r, msub_session s, const msub_ctl *c) {
  msub__gs_session *ss = msub__gs_session_of(r, s);
  if (!allowed(r, s, ss, c) || ss->asked >= most_asked(r)) return;
  size_t most = 0;
  for (uint32_t i = 0; i < c->n; i++)
    if (c->e[i].kind == MSUB_C_IHAVE) most += looked_at(r, &c->e[i]);
  msub_bytes few[FEW], *ids = most > FEW ? msub__zalloc(msub_r_mem(r), most, sizeof *ids) : few;
  if (!ids) return; /* no memory: the peer will say it again */
  size_t n = choose(r, s, ids, unseen(r, ss, c, ids), most_asked(r) - ss->asked);
  if (n) {
    ss->asked = (uint16_t)(ss->asked + n);
    msub_ctl_entry e = { .kind = MSUB_C_IWANT, .ids = ids, .n_ids = (uint32_t)n };
    (void)msub__gs_send(r, &s, 1, &e, 1, MSUB_LANE_CONTROL);
    msub__gs_score_asked(r, s, ids, n);
  }
  if (ids != few) msub__free(msub_r_mem(r), ids, most * sizeof *ids);
}
