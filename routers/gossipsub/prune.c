/* routers/gossipsub/prune.c: a peer has put us out of its mesh. */
#include "routers/gossipsub/gossipsub.h"

/* Seconds as the reference turns them into nanoseconds: signed, and wrapping. */
static uint64_t wrapped(uint64_t now, uint64_t s) {
  uint64_t ns = s * MSUB__S;
  return ns <= INT64_MAX ? msub__deadline(now, ns) : msub__sat_sub_u64(now, (uint64_t)0 - ns);
}

static void back_off(msub_router *r, msub_session s, msub_topic t, uint64_t seconds) {
  const msub_gossipsub_opts *o = msub__gs_opts(r);
  if (seconds == 0) msub__gs_backoff_add(r, s, t, o->prune_backoff_ns);
  else if (msub__gs_of(r)->parity) msub__gs_backoff_until(r, s, t, wrapped(msub_r_mono(r), seconds));
  else msub__gs_backoff_add(r, s, t, msub__remote_seconds(seconds, o->max_backoff_ns));
}

void msub__gs_pruned(msub_router *r, msub_session s, const msub_ctl *c) {
  bool parity = msub__gs_of(r)->parity, px = false;
  for (uint32_t i = 0; i < c->n && !px; i++) px = c->e[i].kind == MSUB_C_PRUNE && c->e[i].n_px;
  /* By the score that it has before the PRUNE: what it owes to the mesh when it leaves does not count yet. */
  px = px && msub__gs_score_is(r, s, msub__gs_thresholds_of(r)->accept_px);
  for (uint32_t i = 0; i < c->n; i++) {
    const msub_ctl_entry *e = &c->e[i];
    if (e->kind != MSUB_C_PRUNE) continue;
    msub_topic t = msub_r_topic_of(r, e->topic_name);
    msub__gs_topic *tt = t.v ? msub__gs_topic_of(r, t) : NULL;
    if (!tt || tt->mode != MSUB__GS_MESH) continue;
    if (!msub__gs_mesh_remove(r, t, tt, s) && parity) {
      msub_r_trace(r, MSUB_T_PRUNE, t, msub_r_session_peer(r, s));
      msub__gs_score_prune(r, s, t);
    }
    back_off(r, s, t, e->backoff_s);
    if (px && e->n_px) msub__gs_px_take(r, e);
  }
}
