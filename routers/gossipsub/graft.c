/* routers/gossipsub/graft.c: a peer wants into a mesh. Who is refused gets a PRUNE. */
#include "routers/gossipsub/gossipsub.h"

typedef enum verdict { SILENT, PLAIN, WITH_PX, TAKEN } verdict; /* no answer; PRUNE; PRUNE with peer exchange; it is in */

/* It came too early. The backoff begins anew. */
static verdict too_early(msub_router *r, msub_session s, msub_topic t, uint64_t until) {
  const msub_gossipsub_opts *o = msub__gs_opts(r);
  uint64_t now = msub_r_mono(r);
  /* soon after the PRUNE, that is: until - prune_backoff + graft_flood lies ahead */
  bool flood = msub__sat_add_u64(now, o->prune_backoff_ns) < msub__sat_add_u64(until, o->graft_flood_ns);
  msub__gs_score_penalty(r, s, flood ? 2 : 1);
  msub__gs_backoff_add(r, s, t, o->prune_backoff_ns);
  return PLAIN;
}

static verdict refuse(msub_router *r, msub_session s, msub_topic t, verdict how) {
  msub__gs_backoff_add(r, s, t, msub__gs_opts(r)->prune_backoff_ns);
  return how;
}

static verdict judge(msub_router *r, msub_session s, msub__gs_session *ss, msub_topic t, msub__gs_topic *tt, bool bad) {
  uint64_t until;
  if (msub__gs_is_member(tt, s)) return TAKEN;
  if (ss->is & MSUB__GS_IS_DIRECT) return PLAIN;
  if (msub__gs_backoff_find(r, s, t, &until) && !msub__passed(until, msub_r_mono(r))) return too_early(r, s, t, until);
  if (bad) return refuse(r, s, t, PLAIN);
  if (tt->n >= msub__gs_params(r, t)->dhi && !(ss->is & MSUB__GS_IS_OUT)) return refuse(r, s, t, WITH_PX);
  if (!msub_h_may_graft(r, t, s)) return refuse(r, s, t, PLAIN);
  return msub__gs_mesh_add(r, t, tt, s, false) ? TAKEN : refuse(r, s, t, PLAIN);
}

void msub__gs_graft(msub_router *r, msub_session s, const msub_ctl *c, msub__gs_actions *a) {
  msub__gs *g = msub__gs_of(r);
  msub__gs_session *ss = msub__gs_session_of(r, s);
  bool bad = !msub__gs_score_is(r, s, 0), px = true; /* px: the reference's one flag for the whole RPC */
  size_t first = a->n;
  for (uint32_t i = 0; i < c->n; i++) {
    if (c->e[i].kind != MSUB_C_GRAFT) continue;
    msub_topic t = msub_r_topic_of(r, c->e[i].topic_name);
    msub__gs_topic *tt = t.v ? msub__gs_topic_of(r, t) : NULL;
    if (!tt || tt->mode != MSUB__GS_MESH) {
      px = false;
      continue;
    }
    if (!msub_h_may_peer(r, t, s)) continue; /* without an answer, as the reference */
    if (!g->parity && tt->answered == g->serial) continue; /* said in this RPC before */
    verdict v = judge(r, s, ss, t, tt, bad);
    if (v == TAKEN) continue;
    if (v == PLAIN) px = false;
    if (!g->parity) {
      tt->answered = g->serial;
      if (ss->refused >= MSUB__GS_REFUSALS) continue;
      ss->refused++;
    }
    msub__gs_act(r, a, s, t, MSUB_C_PRUNE, v == WITH_PX, false);
  }
  if (g->parity && !px)
    for (size_t i = first; i < a->n; i++) a->a[i].px = false;
}
