#include "engine_world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(c) ((c) ? (void)0 : (fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #c), abort()))

msub_mem world_mem(world *w) { return count_mem_of(&w->mem); }

/* ---- operations ---- */

static int send(void *ud, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  world *w = ud;
  if (w->refuse) return MSUB_ERR_LIMIT;
  MUST(w->n_sent < WORLD_MAX && msub_rpc_size(rpc) == rpc->wire_size);
  world_sent *at = &w->sent[w->n_sent++];
  *at = (world_sent){ s, link, lane, malloc(rpc->wire_size + 1), rpc->wire_size };
  MUST(msub_rpc_encode(rpc, at->rpc) == at->n);
  return MSUB_OK;
}
static bool room(void *ud, uint64_t link, msub_lane lane, size_t bytes) {
  (void)link, (void)lane, (void)bytes;
  return !((world *)ud)->no_room;
}
static void disconnect(void *ud, msub_peer p, int reason) {
  world *w = ud;
  MUST(w->n_disconnected < WORLD_MAX);
  w->disconnected[w->n_disconnected++] = p;
  w->disconnect_reason = reason;
}
static bool deliver(void *ud, msub_topic t, const msub_msg *m, msub_peer from) {
  world *w = ud;
  (void)t;
  if (w->full) return false;
  MUST(w->n_delivered < WORLD_MAX);
  w->delivered_from[w->n_delivered] = from;
  w->delivered[w->n_delivered++] = msub_msg_hold(m);
  if (w->on_deliver) w->on_deliver(w, m);
  return true;
}
static int offload(void *ud, const msub_job *j, msub_token t) {
  world *w = ud;
  if (w->n_jobs >= w->jobs_max) return MSUB_ERR_LIMIT;
  w->jobs[w->n_jobs++] = (world_job){ *j, t, false };
  return MSUB_OK;
}
static bool recall(void *ud, msub_token t) {
  world *w = ud;
  for (size_t i = 0; i < w->n_jobs; i++)
    if (w->jobs[i].token.v == t.v) {
      if (w->jobs[i].running) return false;
      w->jobs[i] = w->jobs[--w->n_jobs];
      return true;
    }
  return false;
}
static void result(void *ud, msub_token t, int err, uint32_t n) {
  world *w = ud;
  MUST(w->n_results < WORLD_MAX);
  w->results[w->n_results++] = (world_result){ t.v, err, n };
}
static void published(void *ud, const msub_published *p) {
  world *w = ud;
  MUST(w->n_published < WORLD_MAX && p->id.n <= MSUB_MAX_ID && p->reach < MSUB_REACHES);
  world_published *at = &w->published[w->n_published++];
  at->p = *p;
  if (p->id.n) memcpy(at->id, p->id.p, p->id.n);
  at->p.id.p = at->id;
}
static void topic_peer(void *ud, msub_topic t, msub_peer p, bool joined) {
  world *w = ud;
  MUST(w->n_peer_events < WORLD_MAX);
  w->peer_events[w->n_peer_events++] = (world_peer_event){ t, p, joined };
}
static int sign(void *ud, const msub_bytes *parts, size_t n, uint8_t *out, size_t cap) {
  return msub_key_sign_parts(((world *)ud)->key, parts, n, out, cap);
}

/* What was sent counts as queued until the test clears it. */
static unsigned withdraw(void *ud, uint64_t link, msub_bytes id) {
  world *w = ud;
  unsigned taken = 0;
  for (size_t i = 0; i < w->n_sent; i++) {
    msub_rpc_counts n;
    msub_rpc_iter it;
    msub_rpc_part part;
    msub_bytes frame = { w->sent[i].rpc, w->sent[i].n };
    if (w->sent[i].link != link || msub_rpc_scan(frame, NULL, &n) != MSUB_OK || n.publish != 1 || n.control || n.subscriptions) continue;
    msub_rpc_begin(&it, frame);
    if (msub_rpc_next(&it, &part) != MSUB_P_MESSAGE || !w->id_of || !msub_bytes_eq(w->id_of(&part.msg), id)) continue;
    free(w->sent[i].rpc);
    memmove(&w->sent[i], &w->sent[i + 1], (--w->n_sent - i) * sizeof w->sent[0]);
    i--;
    taken++;
  }
  return taken;
}
static void connect_hint(void *ud, msub_bytes peer, msub_bytes record) {
  world *w = ud;
  MUST(w->n_hints < 256 && peer.n <= 64);
  world_hint *h = &w->hints[w->n_hints++];
  h->peer_n = peer.n;
  h->record_n = record.n;
  if (peer.n) memcpy(h->peer, peer.p, peer.n);
  if (record.n) memcpy(h->record, record.p, record.n < 64 ? record.n : 64);
}
static size_t peer_record(void *ud, msub_peer p, uint8_t *out, size_t cap) {
  (void)ud;
  if (cap < 2) return 0;
  out[0] = 'R';
  out[1] = (uint8_t)p.v;
  return 2;
}
static void protect(void *ud, msub_peer p, msub_topic t, bool on) {
  world *w = ud;
  MUST(w->n_protects < WORLD_MAX);
  w->protects[w->n_protects++] = (world_protect){ p, t, on };
}
static void want_peers(void *ud, msub_topic t, unsigned n) {
  (void)t;
  ((world *)ud)->wanted_peers = n;
}
static void trace(void *ud, const msub_event *ev) {
  MUST(ev->kind < MSUB_EVENTS);
  ((world *)ud)->events[ev->kind]++;
}

/* ---- life ---- */

void world_init(world *w, uint8_t seed) {
  memset(w, 0, sizeof *w);
  uint8_t bytes[32];
  memset(bytes, seed, sizeof bytes);
  MUST(msub_key_from_seed(bytes, &w->key) == MSUB_OK);
  w->ops = (msub_world_ops){ .abi = MSUB_ABI, .size = sizeof(msub_world_ops), .send = send, .room = room, .withdraw = withdraw,
                             .disconnect = disconnect, .deliver = deliver, .offload = offload, .recall = recall, .result = result,
                             .topic_peer = topic_peer, .connect_hint = connect_hint, .peer_record = peer_record, .protect = protect,
                             .trace = trace, .sign = sign, .published = published };
  w->jobs_max = WORLD_MAX;
  w->now = (msub_now){ 1000000000, INT64_C(1700000000000000000) };
  msub_engine_opts_init(&w->opts);
  w->opts.verify = msub_signature_verify;
}

void world_wants(world *w) { w->ops.want_peers = want_peers; }

int world_try_start(world *w, const msub_router_ops *router, const msub_mem *mem) {
  static const uint8_t entropy[32] = { 1, 2, 3 };
  int rc = msub_shared_new(mem, entropy, &w->sh);
  if (rc == MSUB_OK) rc = msub_plan_new(w->sh, router ? router : &msub_floodsub, w->router_opts, &w->plan);
  if (rc != MSUB_OK) return rc;
  w->opts.world = &w->ops;
  w->opts.w = w;
  w->opts.routers = &w->plan;
  w->opts.n_routers = 1;
  w->opts.self_id = msub_key_peer_id(w->key);
  if (!w->opts.seed) w->opts.seed = 7;
  return msub_engine_new(w->sh, &w->opts, &w->now, &w->e);
}

void world_start(world *w, const msub_router_ops *router) {
  msub_mem mem = world_mem(w);
  MUST(world_try_start(w, router, &mem) == MSUB_OK);
}

void world_clear(world *w) {
  for (size_t i = 0; i < w->n_sent; i++) free(w->sent[i].rpc);
  for (size_t i = 0; i < w->n_delivered; i++) msub_msg_drop(w->sh, w->delivered[i]);
  w->n_sent = w->n_delivered = w->n_peer_events = w->n_results = w->n_published = w->n_disconnected = 0;
}

void world_stop(world *w) {
  w->mem.fail_after = 0;
  world_clear(w);
  if (w->e) MUST(msub_engine_free(w->e) == MSUB_OK);
  MUST(msub_shared_free(w->sh) == MSUB_OK);
  msub_key_free(w->key);
  MUST(w->mem.live_bytes == 0 && w->mem.live_blocks == 0);
}

int world_run_job(world *w, size_t i) {
  world_job j = w->jobs[i];
  memmove(&w->jobs[i], &w->jobs[i + 1], (w->n_jobs - i - 1) * sizeof j);
  w->n_jobs--;
  return msub_complete(w->e, j.token, j.job.fn(j.job.arg, j.job.n), &w->now);
}
void world_run_jobs(world *w) {
  while (w->n_jobs) MUST(world_run_job(w, 0) == MSUB_OK);
}

/* ---- peers and messages ---- */

static msub_key *key_of(uint8_t seed) {
  uint8_t bytes[32];
  msub_key *k;
  memset(bytes, seed, sizeof bytes);
  MUST(msub_key_from_seed(bytes, &k) == MSUB_OK);
  return k;
}
msub_peer_id world_peer_id(uint8_t seed) {
  msub_key *k = key_of(seed);
  msub_peer_id id = { .n = (uint8_t)msub_key_peer_id(k).n };
  memcpy(id.bytes, msub_key_peer_id(k).p, id.n);
  msub_key_free(k);
  return id;
}
msub_session world_peer(world *w, uint8_t seed) {
  msub_peer_id id = world_peer_id(seed);
  msub_session_opts o = { .peer_id = msub_peer_id_bytes(&id), .protocol = msub_plan_protocol(w->plan, 0), .link = seed };
  msub_session s = { 0 };
  MUST(msub_session_up(w->e, &o, &w->now, &s) == MSUB_OK);
  return s;
}
msub_topic world_join(world *w, const char *topic, const msub_channel_policy *p) {
  msub_topic t = { 0 };
  MUST(msub_join(w->e, 0, msub_str(topic), p, NULL, &w->now, &t) == MSUB_OK);
  return t;
}
int world_receive(world *w, msub_session s, msub_bytes frame) {
  int rc;
  while ((rc = msub_receive(w->e, s, frame, &w->now)) == MSUB_MORE) {}
  return rc;
}
int world_subscribe(world *w, msub_session s, const char *topic, bool on) {
  uint8_t buf[600];
  msub_ctl_entry e = { .kind = on ? MSUB_C_SUB : MSUB_C_UNSUB };
  msub_bytes name = msub_str(topic);
  return world_receive(w, s, (msub_bytes){ buf, msub_ctl_encode(&e, &name, 1, buf, sizeof buf) });
}

static size_t as_rpc(uint8_t *out, size_t cap, const msub_msg_view *v) {
  size_t n = msub_msg_encode(v, NULL, 0), head = 1 + msub_varint_size(n);
  MUST(head + n <= cap);
  out[0] = 0x12;
  msub_varint_put(out + 1, n);
  msub_msg_encode(v, out + head, cap - head);
  return head + n;
}
size_t world_signed_rpc(uint8_t *out, size_t cap, uint8_t author, uint64_t seqno, const char *topic, msub_bytes data) {
  msub_key *k = key_of(author);
  uint8_t number[8], sig[64], *plain = malloc(cap);
  for (int i = 7; i >= 0; i--, seqno >>= 8) number[i] = (uint8_t)seqno;
  msub_msg_view v = { .from = msub_key_peer_id(k), .data = data, .seqno = { number, 8 }, .topic = msub_str(topic),
                      .present = MSUB_HAS_FROM | MSUB_HAS_DATA | MSUB_HAS_SEQNO | MSUB_HAS_TOPIC };
  size_t n = msub_msg_encode(&v, plain, cap);
  msub_bytes parts[2] = { msub_str("libp2p-pubsub:"), { plain, n } };
  MUST(n <= cap && msub_key_sign_parts(k, parts, 2, sig, sizeof sig) == 64);
  v.signature = (msub_bytes){ sig, 64 };
  v.present |= MSUB_HAS_SIGNATURE;
  n = as_rpc(out, cap, &v);
  free(plain);
  msub_key_free(k);
  return n;
}
size_t world_plain_rpc(uint8_t *out, size_t cap, const char *topic, msub_bytes data) {
  msub_msg_view v = { .data = data, .topic = msub_str(topic), .present = MSUB_HAS_DATA | MSUB_HAS_TOPIC };
  return as_rpc(out, cap, &v);
}
void world_start_plain(world *w, const msub_router_ops *router) {
  world_init(w, 1);
  w->opts.sign = MSUB_STRICT_NO_SIGN;
  world_start(w, router);
}
int world_plain(world *w, msub_session s, const char *topic, const char *data) {
  static uint8_t frame[1 << 16];
  return world_receive(w, s, (msub_bytes){ frame, world_plain_rpc(frame, sizeof frame, topic, msub_str(data)) });
}
void world_pass(world *w, uint64_t ns) {
  for (uint64_t end = w->now.mono_ns + ns;;) {
    uint64_t next = msub_next_deadline(w->e);
    if (next > end) next = end;
    if (next > w->now.mono_ns) {
      w->now.wall_ns += (int64_t)(next - w->now.mono_ns);
      w->now.mono_ns = next;
    }
    MUST(msub_advance(w->e, &w->now) == MSUB_OK);
    if (w->now.mono_ns >= end && msub_next_deadline(w->e) > end) return;
  }
}
size_t world_id_of_data(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  msub_bytes d = msub_data(m);
  size_t n = d.n < MSUB_MAX_ID ? d.n : MSUB_MAX_ID;
  if (n) memcpy(out, d.p, n);
  return n;
}
const msub_channel_policy world_data_ids = { .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "data",
                                             .message_id = world_id_of_data };
