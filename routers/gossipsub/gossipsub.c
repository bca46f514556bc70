/* routers/gossipsub/gossipsub.c: the router's table, its layout and the life of its blocks. */
#include <stddef.h>
#include "routers/gossipsub/probe.h"

static int layout(msub_layout *l, const void *opts) {
  const msub_gossipsub_opts *o = opts ? opts : &msub__gs_defaults;
  if (msub_gossipsub_opts_fault(o)) return MSUB_ERR_INVAL;
  _Static_assert(sizeof(msub__gs_session) <= 24 && sizeof(msub__gs_peer) <= 8 && sizeof(msub__gs_scored_link) <= 8, "blocks are small");
  msub_layout_state(l, sizeof(msub__gs), _Alignof(msub__gs));
  if (o->gater.on) msub_layout_peer(l, sizeof(msub__gs_peer) + msub__gs_gater_block(&o->gater), 8);
  else msub_layout_peer(l, o->score ? sizeof(msub__gs_peer) : offsetof(msub__gs_peer, row), _Alignof(msub__gs_peer));
  msub_layout_session(l, sizeof(msub__gs_session), _Alignof(msub__gs_session));
  msub_layout_topic(l, sizeof(msub__gs_topic), _Alignof(msub__gs_topic));
  if (o->score) msub_layout_link(l, sizeof(msub__gs_scored_link), _Alignof(msub__gs_scored_link));
  else msub_layout_link(l, sizeof(msub__gs_link), _Alignof(msub__gs_link));
  const msub_gossipsub_protocol *p = o->protocols ? o->protocols : msub__gs_defaults.protocols;
  size_t n = o->protocols ? o->n_protocols : msub__gs_defaults.n_protocols;
  int rc = MSUB_OK;
  for (size_t i = 0; i < n && rc == MSUB_OK; i++) rc = msub_layout_protocol(l, p[i].id, p[i].features);
  if (o->floodsub && rc == MSUB_OK) rc = msub_layout_protocol_weak(l, "/floodsub/1.0.0", 0);
  return rc == MSUB_OK ? msub_layout_cache(l, o->history, o->history_gossip, o->cache_bytes) : rc;
}

static void fini(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  while (g->n_active) {
    msub_topic t = g->active[g->n_active - 1];
    msub__gs_topic *tt = msub__gs_topic_of(r, t);
    if (tt) {
      msub__gs_probe_free(r, tt);
      msub__free(msub_r_mem(r), tt->s, tt->cap * sizeof *tt->s); /* sessions may be gone by now */
      tt->s = NULL;
      tt->n = tt->cap = 0;
    }
    g->n_active--;
  }
  msub__free(msub_r_mem(r), g->active, g->cap_active * sizeof *g->active);
  g->active = NULL;
  g->cap_active = 0;
  msub__gs_ext_fini(r);
  msub__gs_ihave_fini(r);
  msub__gs_retry_fini(r);
  msub__gs_asks_fini(r);
  msub__gs_served_fini(r);
  msub__gs_unwanted_fini(r);
  msub__gs_backoff_fini(r);
  msub__gs_direct_fini(r);
  msub__gs_gater_fini(r);
  msub__gs_score_fini(r);
}

static int init(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  const msub_gossipsub_opts *o = msub__gs_opts(r);
  g->parity = o->go_parity || msub_r_go_parity(r);
  g->next_heartbeat = msub__deadline(msub_r_mono(r), o->heartbeat_delay_ns);
  g->began = msub_r_mono(r);
  int rc = msub__gs_direct_init(r);
  if (rc == MSUB_OK) rc = msub__gs_gater_init(r);
  if (rc != MSUB_OK) fini(r);
  return rc;
}

static int session_up(msub_router *r, msub_session s, const msub_session_info *i) {
  msub__gs_session *ss = msub__gs_session_of(r, s);
  ss->is = (uint8_t)(i->features & MSUB__GS_FEATURES);
  if (i->outbound) ss->is |= MSUB__GS_IS_OUT;
  if (msub__gs_is_direct(r, i->peer)) ss->is |= MSUB__GS_IS_DIRECT;
  msub__gs_score_up(r, s, i);
  msub__gs_gater_up(r, s, i->address);
  return MSUB_OK;
}

/* Out of all meshes, because the peer cannot be in one any more. */
static void out_of_meshes(msub_router *r, msub_session s, bool down) {
  const msub__gs *g = msub__gs_of(r);
  const msub__gs_session *ss = msub__gs_session_of(r, s);
  for (uint32_t i = 0; ss->member_of && i < g->n_active; i++) {
    msub__gs_topic *tt = msub__gs_topic_of(r, g->active[i]);
    if (tt && tt->mode == MSUB__GS_MESH) (void)(down ? msub__gs_mesh_lost : msub__gs_mesh_remove)(r, g->active[i], tt, s);
    else if (tt) (void)msub__gs_member_remove(r, g->active[i], tt, s);
  }
}

static void session_agreed(msub_router *r, msub_session s, const msub_session_info *i) {
  msub__gs_session *ss = msub__gs_session_of(r, s);
  uint8_t features = (uint8_t)(i->features & MSUB__GS_FEATURES), changed = (uint8_t)((ss->is ^ features) & MSUB__GS_FEATURES);
  if (msub__gs_of(r)->ext) msub__gs_ext_agreed(r, s);
  if (!changed) return;
  ss->is ^= changed;
  if (!(changed & MSUB_F_MESH)) return;
  if (!(features & MSUB_F_MESH)) out_of_meshes(r, s, false); /* it was offered more than it speaks */
  msub__gs_reclassify(r, s);
}

static void session_down(msub_router *r, msub_session s) {
  out_of_meshes(r, s, true);
  if (msub__gs_session_of(r, s)->is & MSUB__GS_IS_RETRY) msub__gs_retry_forget(r, s);
  if (msub__gs_of(r)->ext) msub__gs_ext_down(r, s);
  msub__gs_score_down(r, s);
  (void)msub__gs_gater_down(r, s);
}

static uint64_t retain(msub_router *r, msub_session s) {
  const msub__gs_peer *p = msub_r_peer(r, s);
  uint64_t until = msub__gs_backoff_last(r, p), score = msub__gs_score_until(r, p, msub_r_session_peer(r, s)), gater = msub__gs_gater_down(r, s);
  if (score > until) until = score;
  return gater > until ? gater : until;
}

static void forget(msub_router *r, msub_peer p, void *block) {
  msub__gs_backoff_forget(r, block);
  msub__gs_gater_forget(r, block);
  msub__gs_score_forget(r, p, block);
}

static void remote_join(msub_router *r, msub_session s, msub_topic t, uint8_t flags) {
  msub__gs_link *l = msub_r_link(r, s, t);
  msub__gs_topic *tt = msub__gs_topic_of(r, t);
  const msub__gs_session *ss = msub__gs_session_of(r, s);
  uint64_t until;
  uint8_t partial = 0;
  if (flags & MSUB_SUB_REQUESTS_PARTIAL) partial = MSUB__GS_REQUESTS | MSUB__GS_SENDS; /* who wants parts can send them */
  else if (flags & MSUB_SUB_SENDS_PARTIAL) partial = MSUB__GS_SENDS;
  l->is = (uint8_t)((l->is & ~(MSUB__GS_REQUESTS | MSUB__GS_SENDS)) | partial);
  if (l->is & MSUB__GS_LINKED) return;
  l->is |= MSUB__GS_LINKED;
  if (ss->is & MSUB__GS_IS_OUT) l->is |= MSUB__GS_OUT;
  if (!(ss->is & MSUB_F_MESH) || ss->is & MSUB__GS_IS_DIRECT) l->is |= MSUB__GS_APART;
  if (msub__gs_is_member(tt, s)) l->is |= MSUB__GS_MEMBER;
  if (msub__gs_backoff_find(r, s, t, &until)) l->is |= MSUB__GS_BACKED;
  if (l->is & MSUB__GS_APART) tt->apart++;
  if (l->is & MSUB__GS_OUT && !(l->is & MSUB__GS_MEMBER)) tt->out_free++;
}

static void remote_leave(msub_router *r, msub_session s, msub_topic t, bool down) {
  msub__gs_topic *tt = msub__gs_topic_of(r, t);
  msub__gs_link *l = msub_r_link(r, s, t);
  const bool fanout = tt->mode == MSUB__GS_FANOUT, last = msub_r_links(r, t) == 1;
  /* A peer that gave the topic up has no use for a place in its mesh; the reference waits for its PRUNE, in the fanout for the
   * next heartbeat. */
  if (l->is & MSUB__GS_MEMBER && (down || !msub__gs_of(r)->parity || (fanout && last))) {
    if (fanout) (void)msub__gs_member_remove(r, t, tt, s);
    else if (down) (void)msub__gs_mesh_lost(r, t, tt, s);
    else (void)msub__gs_mesh_remove(r, t, tt, s);
  }
  if (l->is & MSUB__GS_APART) tt->apart--;
  if (l->is & MSUB__GS_OUT && !(l->is & MSUB__GS_MEMBER)) tt->out_free--;
  if (tt->groups) msub__gs_partial_unlink(r, s, t);
  msub__gs_advertised_unlink(r, s, t, l);
  *l = (msub__gs_link){ 0 };
  if (fanout && last && tt->n) msub__gs_members_free(r, t, tt); /* those who stayed: a topic without links may go */
}

/* Asked for every RPC: what is switched off is asked about by a pointer, and who is direct last. */
static msub_accept accept_from(msub_router *r, msub_session s) {
  msub_accept a = MSUB_FROM_ALL;
  if (!msub__gs_score_is(r, s, msub__gs_thresholds_of(r)->graylist)) a = MSUB_FROM_NONE;
  else if (msub__gs_of(r)->gater && !msub__gs_gater_hears(r, s)) a = MSUB_FROM_CONTROL;
  return a != MSUB_FROM_ALL && msub__gs_session_of(r, s)->is & MSUB__GS_IS_DIRECT ? MSUB_FROM_ALL : a;
}

static void arrived(msub_router *r, msub_topic t, const msub_msg *m, msub_session from) {
  if (!msub__gs_of(r)->parity && msub__gs_of(r)->scores) msub__gs_probe_begin(r, t, m, from);
  msub__gs_idontwant_send(r, t, m, from);
  msub__gs_score_arrived(r, t, m, from);
  if (msub__gs_of(r)->gater) msub__gs_gater_arrived(r);
}

static void validated(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t n, msub_verdict v, int reason) {
  msub__gs_score_validated(r, t, m, from, n, v, reason);
  if (msub__gs_of(r)->probes_out) msub__gs_probe_validated(r, t, m, from, n, v == MSUB_ACCEPT);
  if (msub__gs_of(r)->gater) msub__gs_gater_validated(r, t, from, n, v, reason);
}

static void duplicate(msub_router *r, msub_topic t, msub_bytes id, msub_session from) {
  msub__gs_score_duplicate(r, t, id, from);
  if (msub__gs_of(r)->probes_out) msub__gs_probe_copy(r, t, id, from);
  if (msub__gs_of(r)->gater) msub__gs_gater_duplicate(r, from);
}

static void address_changed(msub_router *r, msub_session s, msub_bytes address) {
  msub__gs_score_moved(r, s, address);
  msub__gs_gater_moved(r, s, address);
}

/* What it may have promised it cannot keep any more. */
static void unheard(msub_router *r, msub_session s, size_t n) {
  (void)n;
  msub__gs_score_throttled(r, s);
  if (msub__gs_of(r)->probes_out) msub__gs_probe_unheard(r, s);
}

static uint64_t next_deadline(msub_router *r) {
  uint64_t beat = msub__sooner(msub__gs_of(r)->next_heartbeat, msub__gs_direct_deadline(r));
  return msub__sooner(beat, msub__sooner(msub__gs_score_deadline(r), msub__gs_gater_deadline(r)));
}

static void advance(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  uint64_t now = msub_r_mono(r), interval = msub__gs_opts(r)->heartbeat_ns;
  msub__gs_direct_advance(r);
  msub__gs_gater_advance(r);
  msub__gs_score_advance(r);
  if (!msub__passed(g->next_heartbeat, now)) return;
  /* Missed ones are not made up for. */
  uint64_t late = (now - g->next_heartbeat) / interval;
  g->next_heartbeat = msub__deadline(g->next_heartbeat + late * interval, interval);
  msub__gs_heartbeat(r);
}

const msub_router_ops msub_gossipsub = {
  .abi = MSUB_ABI,
  .size = sizeof(msub_router_ops),
  .name = "gossipsub",
  .layout = layout,
  .init = init,
  .fini = fini,
  .session_up = session_up,
  .session_agreed = session_agreed,
  .session_down = session_down,
  .retain = retain,
  .forget = forget,
  .join = msub__gs_join,
  .leave = msub__gs_leave,
  .remote_join = remote_join,
  .remote_leave = remote_leave,
  .accept_from = accept_from,
  .arrived = arrived,
  .validated = validated,
  .duplicate = duplicate,
  .control = msub__gs_control,
  .publish = msub__gs_publish,
  .ask = msub__gs_ask,
  .offer = msub__gs_offer,
  .dropped = msub__gs_dropped,
  .ready = msub__gs_ready,
  .snapshot = msub__gs_snapshot,
  .command = msub__gs_command,
  .next_deadline = next_deadline,
  .advance = advance,
  .address_changed = address_changed,
  .feedback = msub__gs_score_feedback,
  .unheard = unheard,
  .announce = msub__gs_announce,
  .hello = msub__gs_hello,
  .extension = msub__gs_extension,
  .scores = msub__gs_show_scores,
  .graylisted = msub__gs_graylisted,
};
