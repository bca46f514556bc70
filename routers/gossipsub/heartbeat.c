/* routers/gossipsub/heartbeat.c: what happens once an interval, in the reference's order. */
#include "routers/gossipsub/probe.h"

/* Members whose score fell below 0 go, without peer exchange. */
static void drop_bad(msub_router *r, msub_topic t, msub__gs_topic *tt, msub__gs_actions *a) {
  for (uint32_t i = tt->n; i-- > 0;)
    if (!msub__gs_score_is(r, tt->s[i], 0)) msub__gs_prune(r, t, tt, tt->s[i], false, a);
}

static void fill(msub_router *r, msub_topic t, msub__gs_topic *tt, const msub_gossipsub_mesh *m, msub__gs_actions *a) {
  msub__gs_picks c;
  msub__gs_picks_init(&c);
  msub__gs_candidates(r, t, MSUB__GS_MIND_BACKOFF, 0, &c);
  (void)msub__gs_graft_some(r, t, tt, &c, (size_t)m->d - tt->n, a);
  msub__gs_picks_fini(r, &c);
  if (tt->n < m->dlo) (void)msub_r_want_peers(r, t, (unsigned)m->d - tt->n);
}

/* Highest score first; equal ones stay as they are. Nearly sorted input, as without scores, costs one pass. */
static void sort_by_score(msub_router *r, msub__gs_picks *p) {
  for (size_t i = 1; i < p->n; i++) {
    msub_session s = p->s[i];
    double score = msub__gs_score(r, s);
    size_t k = i;
    for (; k > 0 && msub__gs_score(r, p->s[k - 1]) < score; k--) p->s[k] = p->s[k - 1];
    p->s[k] = s;
  }
}

static void shuffle(msub_router *r, msub__gs_picks *p, size_t from) {
  for (size_t i = from; i + 1 < p->n; i++) (void)msub__gs_picks_draw(r, p, i, MSUB__GS_RNG_PRUNE);
}

static void to_front(msub__gs_picks *p, size_t i) {
  msub_session s = p->s[i];
  for (; i > 0; i--) p->s[i] = p->s[i - 1];
  p->s[0] = s;
}

/* Among the first d there are dout outbound ones, as far as there are any. */
static void keep_outbound(msub_router *r, msub__gs_picks *p, const msub_gossipsub_mesh *m) {
  size_t d = m->d < p->n ? m->d : p->n, outbound = 0;
  for (size_t i = 0; i < d; i++) outbound += msub_r_outbound(r, p->s[i]);
  if (outbound >= m->dout) return;
  size_t have = outbound, need = m->dout - outbound;
  for (size_t i = 1; i < d && have; i++)
    if (msub_r_outbound(r, p->s[i])) {
      to_front(p, i);
      have--;
    }
  for (size_t i = d; i < p->n && need; i++)
    if (msub_r_outbound(r, p->s[i])) {
      to_front(p, i);
      need--;
    }
}

/* Too many: the dscore best stay, the rest of d is random but for the outbound quota. */
static void cut(msub_router *r, msub_topic t, msub__gs_topic *tt, const msub_gossipsub_mesh *m, msub__gs_actions *a) {
  msub__gs_picks p;
  msub__gs_picks_init(&p);
  if (msub__gs_picks_room(r, &p, tt->n)) {
    for (uint32_t i = 0; i < tt->n; i++) msub__gs_picks_add(&p, tt->s[i]);
    shuffle(r, &p, 0);
    sort_by_score(r, &p);
    shuffle(r, &p, m->dscore);
    keep_outbound(r, &p, m);
    for (size_t i = m->d; i < p.n; i++) msub__gs_prune(r, t, tt, p.s[i], true, a);
  }
  msub__gs_picks_fini(r, &p);
}

static void fill_outbound(msub_router *r, msub_topic t, msub__gs_topic *tt, const msub_gossipsub_mesh *m, msub__gs_actions *a) {
  msub__gs_picks c;
  msub__gs_picks_init(&c);
  msub__gs_candidates(r, t, MSUB__GS_MIND_BACKOFF | MSUB__GS_ONLY_OUT, 0, &c);
  (void)msub__gs_graft_some(r, t, tt, &c, (size_t)m->dout - tt->outbound, a);
  msub__gs_picks_fini(r, &c);
}

static void keep_mesh(msub_router *r, msub_topic t, msub__gs_topic *tt, msub__gs_actions *a) {
  const msub_gossipsub_mesh *m = msub__gs_params(r, t);
  const msub_gossipsub_opts *o = msub__gs_opts(r);
  drop_bad(r, t, tt, a);
  if (tt->n < m->dlo) fill(r, t, tt, m, a);
  if (tt->n >= m->dhi && tt->n > m->d) cut(r, t, tt, m, a);
  if (tt->n >= m->dlo && tt->outbound < m->dout && tt->out_free) fill_outbound(r, t, tt, m, a);
  if (o->opportunistic_ticks && msub__gs_of(r)->tick % o->opportunistic_ticks == 0 && tt->n > 1)
    msub__gs_opportunistic_graft(r, t, tt, a);
}

void msub__gs_heartbeat(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  g->tick++;
  g->hints = 0;
  if (g->tick % MSUB__GS_SWEEP_TICKS == 0) msub__gs_backoff_sweep(r);
  msub__gs_unwanted_rotate(r);
  msub__gs_asks_expire(r);
  if (g->served || g->adverts) msub__gs_served_heartbeat(r);
  msub__gs_score_heartbeat(r);
  msub__gs_probe_heartbeat(r);
  if (g->tick % msub__gs_opts(r)->direct_ticks == 0) msub__gs_direct_connect(r);

  msub__gs_actions a;
  msub__gs_gossip gossip = { 0 };
  msub__gs_actions_init(&a);
  for (uint32_t i = 0; i < g->n_active; i++) {
    msub__gs_topic *tt = msub__gs_topic_of(r, g->active[i]);
    if (!tt || tt->mode != MSUB__GS_MESH) continue;
    msub__gs_score_hold(r, true);
    keep_mesh(r, g->active[i], tt, &a);
    msub__gs_score_hold(r, false);
    msub__gs_gossip_emit(r, &gossip, g->active[i]);
  }
  msub__gs_fanout_heartbeat(r, &gossip);
  msub__gs_score_release(r);
  msub__gs_gossip_flush(r, &gossip); /* a peer's GRAFT and PRUNE come after its IHAVE, as the reference's */
  msub__gs_actions_fini(r, &a);
  msub__gs_retry_all(r);
  msub_h_shift(r);
  if (g->ext) msub__gs_partial_heartbeat(r);
}
