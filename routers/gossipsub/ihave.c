/* routers/gossipsub/ihave.c: a peer tells what it has; what we lack is asked for in one IWANT, in a random order, so that nobody
 * decides what comes first. */
#include "routers/gossipsub/gossipsub.h"

#define FEW 64

/* May IHAVEs of this RPC be looked at? Counts the RPC once. */
static bool allowed(msub_router *r, msub_session s, msub__gs_session *ss, const msub_ctl *c) {
  msub__gs *g = msub__gs_of(r);
  bool any = g->parity; /* the reference counts every RPC with a control part */
  for (uint32_t i = 0; i < c->n && !any; i++) any = c->e[i].kind == MSUB_C_IHAVE;
  if (!any || !msub__gs_score_is(r, s, msub__gs_thresholds_of(r)->gossip)) return false;
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

/* Its topic, if it is an IHAVE of one that we joined. */
static bool is_of_ours(msub_router *r, msub_session s, const msub_ctl_entry *e, msub_topic *t) {
  if (e->kind != MSUB_C_IHAVE || !e->topic_name) return false;
  *t = msub_r_topic_of(r, e->topic_name);
  const msub__gs_topic *tt = t->v ? msub__gs_topic_of(r, *t) : NULL;
  return tt && tt->mode == MSUB__GS_MESH && msub_h_may_peer(r, *t, s);
}

/* How many ids of the entry are looked at. The first of a call may go on with the last of the call before. */
static size_t looked_at(msub_router *r, const msub_ctl_entry *e, bool first) {
  msub__gs *g = msub__gs_of(r);
  if (!first || g->rpc_name != e->topic_name) g->rpc_ids = 0;
  g->rpc_name = e->topic_name;
  size_t most = most_of_one(r) - g->rpc_ids, n = e->n_ids < most ? e->n_ids : most;
  g->rpc_ids += (uint32_t)n;
  return n;
}

/* ---- what we lack: on the stack, or on the heap when it is much or the RPC goes on ---- */

struct msub__gs_wants {
  size_t n, cap;
  msub_bytes id[];
};
typedef struct list {
  size_t n, cap;
  msub_bytes *id, few[FEW];
} list;
static size_t size_of(size_t cap) { return sizeof(struct msub__gs_wants) + cap * sizeof(msub_bytes); }

static void begin(msub_router *r, list *l) {
  struct msub__gs_wants *w = msub__gs_of(r)->wants;
  l->n = w ? w->n : 0;
  l->cap = w ? w->cap : FEW;
  l->id = w ? w->id : l->few;
}

/* Room for `more` ids; false: no memory. */
static bool room(msub_router *r, list *l, size_t more, bool keep) {
  msub__gs *g = msub__gs_of(r);
  if (l->n + more <= l->cap && (!keep || g->wants)) return true;
  size_t cap = l->cap * 2 > l->n + more ? l->cap * 2 : l->n + more;
  struct msub__gs_wants *w = msub__alloc(msub_r_mem(r), size_of(cap));
  if (!w) return false;
  for (size_t i = 0; i < l->n; i++) w->id[i] = l->id[i];
  msub__gs_ihave_fini(r);
  w->cap = cap;
  g->wants = w;
  l->id = w->id;
  l->cap = cap;
  return true;
}

void msub__gs_ihave_fini(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  if (g->wants) msub__free(msub_r_mem(r), g->wants, size_of(g->wants->cap));
  g->wants = NULL;
}

/* Adds the ids that are new to us. */
static void unseen(msub_router *r, msub_session s, msub__gs_session *ss, const msub_ctl *c, list *l, bool more) {
  bool bounded = !msub__gs_of(r)->parity;
  for (uint32_t i = 0; i < c->n; i++) {
    msub_topic t;
    if (!is_of_ours(r, s, &c->e[i], &t)) continue;
    size_t n = looked_at(r, &c->e[i], i == 0);
    if (!room(r, l, n, more)) return; /* the peer will say it again */
    for (size_t k = 0; k < n; k++) {
      msub_bytes id = c->e[i].ids[k];
      if (bounded && ss->looked++ >= MSUB__GS_LOOKED) {
        ss->looked = MSUB__GS_LOOKED;
        return;
      }
      if (id.n && id.n <= MSUB_MAX_ID && !msub_r_seen(r, t, id)) l->id[l->n++] = id;
    }
  }
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

void msub__gs_ihave(msub_router *r, msub_session s, const msub_ctl *c, bool more) {
  msub__gs *g = msub__gs_of(r);
  msub__gs_session *ss = msub__gs_session_of(r, s);
  list l;
  begin(r, &l);
  if (allowed(r, s, ss, c) && ss->asked < most_asked(r)) unseen(r, s, ss, c, &l, more);
  if (more) {
    if (g->wants) g->wants->n = l.n;
    return;
  }
  size_t n = choose(r, s, l.id, l.n, most_asked(r) - ss->asked);
  if (n) {
    ss->asked = (uint16_t)(ss->asked + n);
    msub_ctl_entry e = { .kind = MSUB_C_IWANT, .ids = l.id, .n_ids = (uint32_t)n };
    (void)msub__gs_send(r, &s, 1, &e, 1, MSUB_LANE_CONTROL);
    msub__gs_score_asked(r, s, l.id, n);
  }
  msub__gs_ihave_fini(r);
}
