/* routers/gossipsub/publish.c: who gets a message.
 *
 *   own, flood_publish          every peer of the topic with a score that will do
 *   else                        direct peers and those without mesh protocol
 *                             + the mesh, or the fanout when the topic is not joined
 *
 * Not the sender, not the author, not a member that we want to see it from (probe.h), nobody who said IDONTWANT (the reference asks for
 * that only in the mesh), and nobody who requests partial messages where we send them. The reference sends nothing where nobody has
 * announced the topic, mesh or not. */
#include "routers/gossipsub/probe.h"

typedef struct job {
  msub_router *r;
  msub_bytes id;
  msub_session from, author;
  msub_list *out;
  const msub__gs_topic *partial; /* NULL: we send no parts on this topic */
  msub_topic t;
} job;

static void add(const job *j, msub_session s, bool ask) {
  if (s.v == j->from.v || s.v == j->author.v) return;
  const msub__gs_session *ss = msub__gs_session_of(j->r, s);
  if (!ss || (ask && ss->is & MSUB__GS_IS_UNWANTED && msub__gs_unwanted(j->r, s, ss, j->id))) return;
  if (j->partial && msub__gs_partial_instead(j->r, s, j->partial, msub_r_link(j->r, s, j->t))) return;
  (void)msub_list_add(j->out, s);
}

static bool takes_own(msub_router *r, msub_session s, const msub__gs_session *ss) {
  return ss->is & MSUB__GS_IS_DIRECT || msub__gs_score_is(r, s, msub__gs_thresholds_of(r)->publish);
}

static void everybody(const job *j, msub_topic t, bool ask) {
  size_t n = msub_r_links(j->r, t);
  for (size_t i = 0; i < n; i++) {
    msub_session s = msub_r_link_session(j->r, t, i);
    if (takes_own(j->r, s, msub__gs_session_of(j->r, s))) add(j, s, ask);
  }
}

static void beside_the_mesh(const job *j, msub_topic t, bool ask) {
  size_t n = msub_r_links(j->r, t);
  for (size_t i = 0; i < n; i++) {
    const msub__gs_link *l = msub_r_link_at(j->r, t, i);
    if (!(l->is & MSUB__GS_APART)) continue;
    msub_session s = msub_r_link_session(j->r, t, i);
    if (takes_own(j->r, s, msub__gs_session_of(j->r, s))) add(j, s, ask);
  }
}

static void members(const job *j, msub_topic t, msub__gs_topic *tt) {
  uint64_t hash = j->from.v && msub__gs_probes_out(tt) ? msub_r_hash(j->r, j->id) : 0;
  for (uint32_t i = 0; i < tt->n; i++) {
    if (hash && msub__gs_probe_sent(j->r, tt, tt->s[i], hash)) continue;
    const msub__gs_link *l = tt->apart ? msub_r_link(j->r, tt->s[i], t) : NULL;
    /* Those apart have got it, but for a member whose score would not do beside the mesh. */
    if (!l || !(l->is & MSUB__GS_APART) || !takes_own(j->r, tt->s[i], msub__gs_session_of(j->r, tt->s[i]))) add(j, tt->s[i], true);
  }
}

void msub__gs_publish(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out) {
  const msub__gs *g = msub__gs_of(r);
  msub__gs_topic *tt = msub__gs_topic_of(r, t);
  msub_peer author = msub_r_peer_known(r, msub_from(m));
  job j = { r, msub_id(m), from, author.v ? msub_r_session_of(r, author) : (msub_session){ 0 }, out, NULL, t };
  size_t first = out->n;
  if (g->parity && msub_r_links(r, t) == 0) return;
  bool own = from.v == 0;
  if (own && tt->mode == MSUB__GS_NONE) tt->partial = msub__gs_announce(r, t); /* opened, without a fanout so far */
  if (tt->partial) j.partial = tt;
  if (own && msub__gs_params(r, t)->flood_publish) everybody(&j, t, !g->parity);
  else {
    if (tt->apart) beside_the_mesh(&j, t, !g->parity);
    if (tt->mode != MSUB__GS_MESH && own) msub__gs_fanout_use(r, t, tt);
    members(&j, t, tt);
  }
  for (size_t i = first; g->retries && i < out->n; i++) msub__gs_retry(r, out->s[i]);
}
