/* routers/gossipsub/px.c: peer exchange. Who is put out of a full mesh is told of other peers of the topic; what we are told goes
 * to the world as hints, with the signed records unverified: it dials, so it judges. */
#include "routers/gossipsub/gossipsub.h"

size_t msub__gs_px_make(msub_router *r, msub_topic t, msub_session target, msub_px *px, uint8_t *buf) {
  msub__gs_picks c;
  msub__gs_picks_init(&c);
  msub__gs_candidates(r, t, MSUB__GS_MEMBERS_TOO | (msub__gs_of(r)->parity ? MSUB__GS_DIRECT_TOO : 0), 0, &c);
  size_t n = 0, used = 0;
  for (size_t i = 0; i < c.n && n < msub__gs_opts(r)->prune_peers; i++) {
    msub_session s = msub__gs_picks_draw(r, &c, i, MSUB__GS_RNG_PX);
    if (s.v == target.v) continue;
    msub_peer p = msub_r_session_peer(r, s);
    size_t size = msub_r_peer_record(r, p, buf + used, MSUB__GS_PX_BYTES - used);
    px[n++] = (msub_px){ msub_r_peer_id(r, p), { size ? buf + used : NULL, size } };
    used += size;
  }
  msub__gs_picks_fini(r, &c);
  return n;
}

void msub__gs_px_take(msub_router *r, const msub_ctl_entry *e) {
  msub__gs *g = msub__gs_of(r);
  uint16_t order[MSUB__GS_PX_PEERS * 8];
  size_t n = e->n_px, most = msub__gs_opts(r)->prune_peers;
  if (n > sizeof order / sizeof *order) n = sizeof order / sizeof *order;
  for (size_t i = 0; i < n; i++) order[i] = (uint16_t)i;
  for (size_t i = 0; i < n && i < most && g->hints < MSUB__GS_HINTS; i++) {
    if (n > most) { /* a random choice, as the sender could have put its own first */
      size_t k = i + msub_r_rand(r, MSUB__GS_RNG_PX, (uint32_t)(n - i));
      uint16_t swap = order[k];
      order[k] = order[i];
      order[i] = swap;
    }
    const msub_px *p = &e->px[order[i]];
    if (p->peer_id.n == 0 || (p->record.p && p->record.n == 0)) continue;
    msub_peer known = msub_r_peer_known(r, p->peer_id);
    if (known.v && msub_r_session_of(r, known).v) continue;
    g->hints++;
    msub_r_connect_hint(r, p->peer_id, p->record);
  }
}
