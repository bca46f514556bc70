/* routers/gossipsub/candidates.c: which peers of a topic may come into its mesh or fanout, and a random one of them. */
#include "routers/gossipsub/gossipsub.h"
#include "routers/gossipsub/peer_score.h"
#include "routers/gossipsub/score.h"

void msub__gs_picks_init(msub__gs_picks *p) {
  p->s = p->few;
  p->n = 0;
  p->cap = sizeof p->few / sizeof *p->few;
}

void msub__gs_picks_fini(msub_router *r, msub__gs_picks *p) {
  if (p->s != p->few) msub__free(msub_r_mem(r), p->s, p->cap * sizeof *p->s);
  msub__gs_picks_init(p);
}

bool msub__gs_picks_room(msub_router *r, msub__gs_picks *p, size_t n) {
  p->n = 0;
  if (n <= p->cap) return true;
  msub__gs_picks_fini(r, p);
  msub_session *s = msub__zalloc(msub_r_mem(r), n, sizeof *s);
  if (!s) return false;
  p->s = s;
  p->cap = n;
  return true;
}

void msub__gs_picks_add(msub__gs_picks *p, msub_session s) {
  MSUB__INVARIANT(p->n < p->cap);
  p->s[p->n++] = s;
}

msub_session msub__gs_picks_draw(msub_router *r, msub__gs_picks *p, size_t i, unsigned stream) {
  size_t k = i + msub_r_rand(r, stream, (uint32_t)(p->n - i));
  msub_session s = p->s[k];
  p->s[k] = p->s[i];
  p->s[i] = s;
  return s;
}

void msub__gs_candidates(msub_router *r, msub_topic t, unsigned how, double floor, msub__gs_picks *out) {
  if (!msub__gs_picks_room(r, out, msub_r_links(r, t))) return;
  uint8_t without = (uint8_t)(MSUB__GS_APART | (how & MSUB__GS_MEMBERS_TOO ? 0 : MSUB__GS_MEMBER));
  bool filtered = !(how & MSUB__GS_UNFILTERED) && msub_h_peers_filtered(r, t);
  msub__ps *scores = msub__gs_scores_table(r);
  msub_link_view v[64];
  for (size_t first = 0, n; (n = msub_r_link_views(r, t, first, v, sizeof v / sizeof *v)) > 0; first += n)
    for (size_t i = 0; i < n; i++) {
      msub__gs_link *l = v[i].link;
      msub_session s = v[i].session;
      if (how & MSUB__GS_ONLY_OUT && !(l->is & MSUB__GS_OUT)) continue;
      if (l->is & without) {
        bool direct = l->is & MSUB__GS_APART && msub__gs_session_of(r, s)->is & MSUB_F_MESH;
        if (!(how & MSUB__GS_DIRECT_TOO) || !direct) continue;
      }
      if (filtered && !msub_h_may_peer(r, t, s)) continue;
      uint32_t row = scores ? ((const msub__gs_peer *)v[i].peer)->row : 0;
      if (how & MSUB__GS_ABOVE ? (scores ? msub__ps_score(scores, row) : 0) <= floor : (scores ? !msub__ps_at_least(scores, row, floor) : 0 < floor)) continue;
      if (how & MSUB__GS_MIND_BACKOFF && l->is & MSUB__GS_BACKED && msub__gs_backoff_blocks(r, s, t, l)) continue;
      msub__gs_picks_add(out, s);
    }
}
