/* routers/gossipsub/mesh.c: who comes into a mesh and leaves it when we say so, joining and leaving a topic included. */
#include "routers/gossipsub/gossipsub.h"

bool msub__gs_mesh_add(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_session s, bool ours) {
  if (!msub__gs_member_add(r, t, tt, s)) return false;
  msub_peer p = msub_r_session_peer(r, s);
  msub_r_trace(r, MSUB_T_GRAFT, t, p);
  msub_r_protect(r, p, t, true);
  msub__gs_score_graft(r, s, t);
  msub_h_on_graft(r, t, s, ours);
  return true;
}

bool msub__gs_mesh_lost(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_session s) {
  if (!msub__gs_member_remove(r, t, tt, s)) return false;
  msub_peer p = msub_r_session_peer(r, s);
  msub_r_trace(r, MSUB_T_PRUNE, t, p);
  msub_r_protect(r, p, t, false);
  return true;
}

bool msub__gs_mesh_remove(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_session s) {
  if (!msub__gs_mesh_lost(r, t, tt, s)) return false;
  msub__gs_score_prune(r, s, t);
  return true;
}

/* Not before the peer has agreed on a protocol: it may speak none that has a mesh, or never answer. */
static bool graft(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_session s, msub__gs_actions *a) {
  msub_session_info i;
  if (!msub_r_info(r, s, &i) || !i.agreed) return false;
  if (!msub_h_may_graft(r, t, s) || !msub__gs_mesh_add(r, t, tt, s, true)) return false;
  msub__gs_act(r, a, s, t, MSUB_C_GRAFT, false, false);
  return true;
}

size_t msub__gs_graft_some(msub_router *r, msub_topic t, msub__gs_topic *tt, msub__gs_picks *from, size_t want, msub__gs_actions *a) {
  size_t got = 0;
  for (size_t i = 0; i < from->n && got < want; i++)
    if (graft(r, t, tt, msub__gs_picks_draw(r, from, i, MSUB__GS_RNG_GRAFT), a)) got++;
  return got;
}

void msub__gs_prune(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_session s, bool px, msub__gs_actions *a) {
  if (!msub__gs_mesh_remove(r, t, tt, s)) return;
  msub__gs_backoff_add(r, s, t, msub__gs_opts(r)->prune_backoff_ns);
  msub__gs_act(r, a, s, t, MSUB_C_PRUNE, px, false);
}

/* The members of the fanout come first: they have got our messages so far. */
static void graft_fanout(msub_router *r, msub_topic t, msub__gs_topic *tt, const msub__gs_picks *fanout, size_t want, msub__gs_actions *a) {
  for (size_t i = 0; i < fanout->n && tt->n < want; i++) {
    msub_session s = fanout->s[i];
    if (!msub__gs_score_is(r, s, 0) || msub__gs_backoff_blocks(r, s, t, msub_r_link(r, s, t))) continue;
    (void)graft(r, t, tt, s, a);
  }
}

int msub__gs_join(msub_router *r, msub_topic t) {
  msub__gs_topic *tt = msub__gs_topic_of(r, t);
  const msub_gossipsub_mesh *own = msub_r_params(r, t);
  const char *fault = own ? msub__gs_mesh_fault(own) : NULL;
  if (fault) {
    msub_r_log(r, MSUB_LOG_ERROR, "gossipsub: the topic's mesh parameters do not hold: %s", fault);
    return MSUB_ERR_INVAL;
  }
  char where[96];
  if (own && own->score && (fault = msub_topic_score_fault(own->score, where))) {
    msub_r_log(r, MSUB_LOG_ERROR, "gossipsub: the topic's score parameters: %s: %s", where, fault);
    return MSUB_ERR_INVAL;
  }
  int rc = msub__gs_partial_begin(r, t, tt);
  if (rc != MSUB_OK) return rc;
  if (!msub__gs_activate(r, t)) return MSUB_ERR_NOMEM;
  const msub_gossipsub_mesh *m = msub__gs_params(r, t);
  size_t want = m->d || !msub__gs_of(r)->parity ? m->d : SIZE_MAX; /* the reference takes 0 for no limit here */
  msub__gs_picks fanout, candidates;
  msub__gs_picks_init(&fanout);
  msub__gs_picks_init(&candidates);
  if (tt->mode == MSUB__GS_FANOUT) {
    if (want > m->d) want = tt->n; /* but whoever has a fanout of all has nobody to add */
    if (msub__gs_picks_room(r, &fanout, tt->n))
      for (uint32_t i = 0; i < tt->n; i++) msub__gs_picks_add(&fanout, tt->s[i]);
    msub__gs_members_free(r, t, tt);
  }
  tt->mode = MSUB__GS_MESH;
  msub__gs_actions a;
  msub__gs_actions_init(&a);
  graft_fanout(r, t, tt, &fanout, want, &a);
  if (tt->n < want) {
    msub__gs_candidates(r, t, MSUB__GS_MIND_BACKOFF, 0, &candidates);
    msub__gs_graft_some(r, t, tt, &candidates, want - tt->n, &a);
  }
  msub__gs_actions_fini(r, &a);
  msub__gs_picks_fini(r, &fanout);
  msub__gs_picks_fini(r, &candidates);
  if (tt->n < m->dlo) (void)msub_r_want_peers(r, t, (unsigned)m->d - tt->n); /* now: whoever joins may be waiting for what peers have */
  return MSUB_OK;
}

void msub__gs_leave(msub_router *r, msub_topic t) {
  msub__gs_topic *tt = msub__gs_topic_of(r, t);
  if (tt->mode != MSUB__GS_MESH) return;
  msub__gs_actions a;
  msub__gs_actions_init(&a);
  while (tt->n) {
    msub_session s = tt->s[tt->n - 1];
    msub__gs_backoff_add(r, s, t, msub__gs_opts(r)->unsubscribe_backoff_ns);
    (void)msub__gs_mesh_remove(r, t, tt, s);
    msub__gs_act(r, &a, s, t, MSUB_C_PRUNE, true, true);
    msub__gs_actions_flush(r, &a); /* one after the other, as the reference: its peer exchange goes by what the scores are after those before */
  }
  msub__gs_score_leave(r, t);
  tt->mode = MSUB__GS_NONE;
  msub__gs_partial_end(r, t, tt);
  msub__gs_deactivate(r, t);
  msub__gs_actions_fini(r, &a);
}
