/* routers/gossipsub/control.c: a control part of a peer. All its PRUNEs leave in one RPC at the end. */
#include "routers/gossipsub/gossipsub.h"

void msub__gs_roll(const msub__gs *g, msub__gs_session *ss) {
  if (ss->tick == g->tick) return;
  ss->tick = g->tick;
  ss->asked = ss->looked = ss->ihaves = ss->idontwants = ss->unwanted = ss->refused = 0;
}

void msub__gs_control(msub_router *r, msub_session s, const msub_ctl *c, bool more) {
  msub__gs *g = msub__gs_of(r);
  msub__gs_session *ss = msub__gs_session_of(r, s);
  if (!g->rpc_open) {
    g->serial++;
    g->rpc_is = 0;
    g->rpc_unwanted = 0;
    g->rpc_name = 0;
  }
  g->rpc_open = more;
  /* Whoever speaks no mesh protocol has no control part to send; the reference takes it all the same. */
  if (!ss || (!(ss->is & MSUB_F_MESH) && !g->parity)) return;
  msub__gs_roll(g, ss);
  msub__gs_actions a;
  msub__gs_actions_init(&a);
  msub__gs_ihave(r, s, c, more);
  msub__gs_iwant(r, s, c);
  msub__gs_graft(r, s, c, &a);
  msub__gs_pruned(r, s, c);
  msub__gs_idontwant(r, s, c);
  msub__gs_actions_fini(r, &a);
}

/* ---- calls of the program or of an outer router ---- */

static int speaks(const msub_router *r, msub_session s) {
  const msub__gs_session *ss = msub__gs_session_of(r, s);
  if (!ss) return MSUB_ERR_STALE;
  return ss->is & MSUB_F_MESH ? MSUB_OK : MSUB_ERR_UNSUPPORTED;
}

static int say(msub_router *r, msub_session s, uint8_t kind, uint32_t name, const msub_bytes *ids, size_t n, msub_lane lane) {
  int rc = speaks(r, s);
  if (rc != MSUB_OK || n == 0) return rc;
  msub_ctl_entry e = { .kind = kind, .topic_name = name, .ids = ids, .n_ids = (uint32_t)n };
  return msub__gs_send(r, &s, 1, &e, 1, lane) == 1 ? MSUB_OK : MSUB_ERR_LIMIT;
}

int msub__gs_ask(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n) {
  (void)t;
  int rc = say(r, s, MSUB_C_IWANT, 0, ids, n, MSUB_LANE_CONTROL);
  for (size_t i = 0; rc == MSUB_OK && i < n; i++) msub__gs_asked(r, s, msub_r_hash(r, ids[i]));
  return rc;
}

int msub__gs_offer(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n) {
  int rc = speaks(r, s);
  if (rc != MSUB_OK || n == 0) return rc;
  if (!msub__gs_offered(r, s, t)) return MSUB_ERR_LIMIT;
  return say(r, s, MSUB_C_IHAVE, msub_r_name(r, t), ids, n, MSUB_LANE_GOSSIP);
}
