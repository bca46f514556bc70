#include <string.h>
#include "host/book.h"
#include "host/discovery.h"
#include "host/hints.h"
#include "host/peers.h"
#include "host/protect.h"
#include "host/world.h"

static int send(void *w, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  msub_host *h = w;
  (void)s;
  msub__enter(h);
  int err = msub__sess_send((msub__sess *)(uintptr_t)link, rpc, lane);
  msub__leave(h);
  return err;
}

static bool room(void *w, uint64_t link, msub_lane lane, size_t bytes) {
  msub_host *h = w;
  msub__enter(h);
  bool yes = msub__sess_room((msub__sess *)(uintptr_t)link, lane, bytes);
  msub__leave(h);
  return yes;
}

static bool queued(void *w, uint64_t link, size_t bytes[MSUB_LANES]) {
  (void)w;
  msub__lanes_by_lane(&((const msub__sess *)(uintptr_t)link)->lanes, bytes);
  return true;
}

static unsigned withdraw(void *w, uint64_t link, msub_bytes id) {
  (void)w;
  return msub__sess_withdraw((msub__sess *)(uintptr_t)link, id);
}

static void disconnect(void *w, msub_peer peer, int reason) {
  msub_host *h = w;
  msub__peer *p = msub__peers_find(h, msub_peer_bytes(h->shared, peer));
  if (p) msub__peer_close(p, MSUB_ERR_REFUSED, msub_reason_text(reason));
}

static bool deliver(void *w, msub_topic t, const msub_msg *m, msub_peer from) {
  msub_host *h = w;
  if (!h->o.on_message) return true;
  msub_bytes id = { NULL, 0 };
  if (from.v != 0) id = msub_peer_bytes(h->shared, from);
  msub__enter(h);
  bool taken = h->o.on_message(h->o.ud, h, t, m, id);
  msub__leave(h);
  return taken;
}

/* ---- verification ---- */

static int offload(void *w, const msub_job *j, msub_token t) {
  msub_host *h = w;
  if (msub__pool_submit(h->pool, 0, t, j) != MSUB_OK) {
    h->counts.verify_full++;
    return MSUB_ERR_LIMIT;
  }
  h->counts.verify_jobs++;
  if (msub__pool_inside(h->pool) == 1) h->pool_job_max = 0;
  if (j->n > h->pool_job_max) h->pool_job_max = j->n;
  return MSUB_OK;
}

static bool recall(void *w, msub_token t) {
  msub_host *h = w;
  return msub__pool_recall(h->pool, 0, t);
}

bool msub__world_verdicts(msub_host *h) {
  msub__verdict v;
  for (unsigned i = 0; i < MSUB__HOST_STEP_VERDICTS; i++) {
    if (!msub__pool_next(h->pool, &v)) return false;
    msub__enter(h);
    (void)msub_complete(h->engine, v.token, v.verdict, &h->now);
    msub__leave(h);
  }
  return true;
}

/* ---- the rest ---- */

static void result(void *w, msub_token ticket, int err, uint32_t recipients) {
  msub_host *h = w;
  if (!h->o.on_result) return;
  msub__enter(h);
  h->o.on_result(h->o.ud, h, ticket, err, recipients);
  msub__leave(h);
}

static void published(void *w, const msub_published *p) {
  msub_host *h = w;
  if (!h->o.on_published) return;
  msub__enter(h);
  h->o.on_published(h->o.ud, h, p);
  msub__leave(h);
}

static void topic_peer(void *w, msub_topic t, msub_peer p, bool joined) {
  msub_host *h = w;
  msub_host_event ev = { .kind = joined ? MSUB_EV_TOPIC_JOIN : MSUB_EV_TOPIC_LEAVE,
                         .peer_id = msub_peer_bytes(h->shared, p),
                         .topic = t };
  msub__enter(h);
  msub__emit(h, &ev);
  msub__leave(h);
}

/* ---- peers ---- */

static void connect_hint(void *w, msub_bytes peer_id, msub_bytes record) {
  msub_host *h = w;
  if (h->o.dial_hints) msub__hints_add(h, peer_id, record, NULL);
}

static size_t peer_record(void *w, msub_peer peer, uint8_t *out, size_t cap) {
  msub_host *h = w;
  const msub__peer *p = msub__peers_find(h, msub_peer_bytes(h->shared, peer));
  if (!p) return 0;
  msub_bytes record = p->record;
  const msub__book_entry *e = record.n == 0 ? msub__book_find(h, msub__peer_bytes(p)) : NULL;
  if (e) record = (msub_bytes){ e->record, e->record_n }; /* it only told an older one */
  if (record.n > cap || record.n == 0) return 0;
  memcpy(out, record.p, record.n);
  return record.n;
}

static void protect(void *w, msub_peer p, msub_topic t, bool on) {
  msub_host *h = w;
  msub__protect(h, msub_peer_bytes(h->shared, p), t, on);
}

static msub_bytes name_of(const msub_host *h, msub_topic t) {
  return msub_name_bytes(h->shared, msub_topic_name(h->engine, t));
}

static void want_peers(void *w, msub_topic t, unsigned n) {
  msub_host *h = w;
  msub__discovery_want(h, name_of(h, t), n);
}

static void trace(void *w, const msub_event *ev) {
  msub_host *h = w;
  if (ev->kind == MSUB_T_JOIN || ev->kind == MSUB_T_LEAVE)
    msub__discovery_joined(h, name_of(h, ev->topic), ev->kind == MSUB_T_JOIN);
  if (!h->o.on_trace) return;
  msub__enter(h);
  h->o.on_trace(h->o.ud, h, ev);
  msub__leave(h);
}

static int sign(void *w, const msub_bytes *parts, size_t n, uint8_t *out, size_t cap) {
  msub_host *h = w;
  return msub_key_sign_parts(h->o.key, parts, n, out, cap);
}

#define OPS                                                                                                  \
  .abi = MSUB_ABI, .size = sizeof(msub_world_ops), .send = send, .room = room, .withdraw = withdraw,         \
  .disconnect = disconnect, .deliver = deliver, .offload = offload, .recall = recall, .result = result,      \
  .topic_peer = topic_peer, .connect_hint = connect_hint, .peer_record = peer_record, .protect = protect,    \
  .sign = sign, .queued = queued, .published = published
const msub_world_ops msub__host_world = { OPS };
const msub_world_ops msub__host_world_traced = { OPS, .want_peers = want_peers, .trace = trace };
