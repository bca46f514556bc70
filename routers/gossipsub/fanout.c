/* routers/gossipsub/fanout.c: peers of a topic that we publish on without having joined it. Backoff and may_graft do not matter
 * here: nobody is grafted. */
#include "routers/gossipsub/gossipsub.h"

static void fill(msub_router *r, msub_topic t, msub__gs_topic *tt, size_t want) {
  msub__gs_picks c;
  msub__gs_picks_init(&c);
  msub__gs_candidates(r, t, 0, msub__gs_thresholds_of(r)->publish, &c);
  for (size_t i = 0; i < c.n && tt->n < want; i++)
    (void)msub__gs_member_add(r, t, tt, msub__gs_picks_draw(r, &c, i, MSUB__GS_RNG_FANOUT));
  msub__gs_picks_fini(r, &c);
}

void msub__gs_fanout_use(msub_router *r, msub_topic t, msub__gs_topic *tt) {
  const bool parity = msub__gs_of(r)->parity, begins = tt->mode == MSUB__GS_NONE;
  if (begins) {
    if (!msub__gs_activate(r, t)) return; /* the message reaches nobody; the next one tries again */
    tt->mode = MSUB__GS_FANOUT;
    (void)msub__gs_partial_begin(r, t, tt);
  }
  tt->last_publish = msub_r_mono(r);
  size_t d = msub__gs_params(r, t)->d;
  if (tt->n == 0) fill(r, t, tt, d || !parity ? d : SIZE_MAX); /* 0 means all, as the reference has it */
  if (parity && begins && tt->n == 0) msub__gs_fanout_end(r, t, tt); /* nor does it begin with nobody */
}

void msub__gs_fanout_end(msub_router *r, msub_topic t, msub__gs_topic *tt) {
  msub__gs_members_free(r, t, tt);
  tt->mode = MSUB__GS_NONE;
  msub__gs_partial_end(r, t, tt);
  msub__gs_deactivate(r, t);
}

void msub__gs_fanout_heartbeat(msub_router *r, msub__gs_gossip *gossip) {
  msub__gs *g = msub__gs_of(r);
  uint64_t now = msub_r_mono(r), ttl = msub__gs_opts(r)->fanout_ttl_ns;
  for (uint32_t i = 0; i < g->n_active;) {
    msub_topic t = g->active[i];
    msub__gs_topic *tt = msub__gs_topic_of(r, t);
    if (!tt) { /* nobody knows the topic any more */
      msub__gs_deactivate(r, t);
      continue;
    }
    if (tt->mode == MSUB__GS_FANOUT && msub__deadline(tt->last_publish, ttl) < now) {
      msub__gs_fanout_end(r, t, tt);
      continue;
    }
    i++;
    if (tt->mode != MSUB__GS_FANOUT) continue;
    double floor = msub__gs_thresholds_of(r)->publish;
    msub__gs_score_hold(r, true);
    for (uint32_t k = tt->n; k-- > 0;)
      if (!msub__gs_score_is(r, tt->s[k], floor) || (g->parity && !msub_r_linked(r, tt->s[k], t))) (void)msub__gs_member_remove(r, t, tt, tt->s[k]);
    size_t d = msub__gs_params(r, t)->d;
    if (tt->n < d) fill(r, t, tt, d);
    msub__gs_score_hold(r, false);
    msub__gs_gossip_emit(r, gossip, t);
  }
}
