/* routers/gossipsub/snapshot.c: what the router thinks of the peers of a topic, and whether a publish would reach enough of them. */
#include "routers/gossipsub/gossipsub.h"

static uint32_t without_mesh_protocol(msub_router *r, msub_topic t, const msub__gs_topic *tt) {
  uint32_t found = 0;
  if (tt->apart == 0) return 0;
  for (size_t i = 0, n = msub_r_links(r, t); i < n; i++) {
    const msub__gs_session *ss = msub__gs_session_of(r, msub_r_link_session(r, t, i));
    found += !(ss->is & MSUB_F_MESH);
  }
  return found;
}

bool msub__gs_ready(msub_router *r, msub_topic t, uint32_t n) {
  const msub__gs_topic *tt = msub__gs_topic_of(r, t);
  if (!tt) return false;
  const msub_gossipsub_mesh *m = msub__gs_params(r, t);
  uint32_t others = without_mesh_protocol(r, t, tt), members = tt->mode == MSUB__GS_MESH ? tt->n : 0;
  if (tt->mode != MSUB__GS_MESH && !msub__gs_of(r)->parity) { /* a fanout is made when it is needed, of d peers at most */
    size_t links = msub_r_links(r, t) - others;
    if (n == 0) n = m->dlo;
    return links + others >= n || (!m->flood_publish && links >= m->d && m->d);
  }
  if (n == 0) n = m->dlo;
  return others + members >= n || members >= m->dhi;
}

static uint32_t roles(const msub__gs_topic *tt, const msub__gs_session *ss, bool member) {
  uint32_t is = 0;
  if (member) is |= tt->mode == MSUB__GS_FANOUT ? MSUB_ROLE_FANOUT : MSUB_ROLE_MESH;
  if (ss->is & MSUB__GS_IS_DIRECT) is |= MSUB_ROLE_DIRECT;
  if (ss->is & MSUB__GS_IS_OUT) is |= MSUB_ROLE_OUTBOUND;
  return is;
}

static bool counts(const msub_router *r, uint64_t until) { return msub__gs_of(r)->parity || !msub__passed(until, msub_r_mono(r)); }

static msub_peer_state state(msub_router *r, msub_topic t, const msub__gs_topic *tt, msub_session s, bool member) {
  msub_peer_state out = { .peer = msub_r_session_peer(r, s), .roles = roles(tt, msub__gs_session_of(r, s), member),
                          .score = msub__gs_score(r, s) };
  uint64_t until;
  if (msub__gs_backoff_find(r, s, t, &until) && counts(r, until)) {
    out.roles |= MSUB_ROLE_BACKOFF;
    out.backoff_ns = until;
  }
  return out;
}

size_t msub__gs_snapshot(msub_router *r, msub_topic t, msub_peer_state *out, size_t cap) {
  const msub__gs_topic *tt = msub__gs_topic_of(r, t);
  size_t n = 0;
  if (!tt) return 0;
  for (size_t i = 0, links = msub_r_links(r, t); i < links; i++, n++) {
    msub_session s = msub_r_link_session(r, t, i);
    if (n < cap) out[n] = state(r, t, tt, s, msub__gs_is_member(tt, s));
  }
  for (uint32_t i = 0; i < tt->n; i++) { /* members that did not announce the topic */
    if (msub_r_linked(r, tt->s[i], t)) continue;
    if (n < cap) out[n] = state(r, t, tt, tt->s[i], true);
    n++;
  }
  msub_peer p;
  uint64_t until;
  for (size_t at = 0; msub__gs_backoff_next(r, t, &at, &p, &until);) { /* and those in backoff that are neither */
    msub_session s = msub_r_session_of(r, p);
    if (!counts(r, until) || (s.v && (msub_r_linked(r, s, t) || msub__gs_is_member(tt, s)))) continue;
    if (n < cap) out[n] = (msub_peer_state){ .peer = p, .roles = MSUB_ROLE_BACKOFF, .backoff_ns = until };
    n++;
  }
  return n;
}

typedef struct showing {
  void (*each)(void *ud, const msub_peer_score *s);
  void *ud;
} showing;
static void show(void *ud, msub_bytes peer_id, const msub_peer_score *s) {
  const showing *to = ud;
  (void)peer_id;
  to->each(to->ud, s);
}

int msub__gs_show_scores(msub_router *r, void (*each)(void *ud, const msub_peer_score *s), void *ud) {
  showing to = { each, ud };
  msub_gossipsub_inspect how = { .peer = show, .ud = &to };
  int rc = msub__gs_score_command(r, MSUB_GOSSIPSUB_INSPECT, &how, sizeof how);
  return rc == MSUB_ERR_UNSUPPORTED ? MSUB_OK : rc; /* there are none to be shown */
}
