/* routers/gossipsub/iwant.c: a peer asks for messages; the cache answers, a few times each. */
#include "routers/gossipsub/gossipsub.h"

void msub__gs_iwant(msub_router *r, msub_session s, const msub_ctl *c) {
  const msub__gs *g = msub__gs_of(r);
  msub__gs_session *ss = msub__gs_session_of(r, s);
  if (msub__gs_score(r, s) < msub__gs_thresholds_of(r)->gossip) return;
  bool first = true;
  for (uint32_t i = 0; i < c->n; i++) {
    if (c->e[i].kind != MSUB_C_IWANT) continue;
    for (uint32_t k = 0; k < c->e[i].n_ids; k++) {
      msub_bytes id = c->e[i].ids[k];
      if (!g->parity && ss->looked++ >= MSUB__GS_LOOKED) {
        ss->looked = MSUB__GS_LOOKED;
        return;
      }
      if (id.n == 0 || id.n > MSUB_MAX_ID || msub__gs_unwanted(r, s, ss, id)) continue;
      if (first) msub__gs_retry(r, s);
      first = false;
      (void)msub_r_serve(r, s, id, msub__gs_opts(r)->retransmissions);
    }
  }
}
