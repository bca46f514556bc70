/* tests/fuzz/fuzz_engine.c: the engine as a whole, with gossipsub (with the gater or without) and floodsub or randomsub, driven by a script.
 *
 * The input is a program of one-byte instructions with arguments: peers come and go, frames arrive (built from parts, or raw
 * bytes), time passes, verdicts come late, twice or never, sends are refused, allocations fail, the program joins, leaves,
 * publishes, asks. After each step the invariants must hold; at the end everything is freed and nothing is left. */
#include "meshsub/guard.h"
#include "meshsub/publish.h"
#include "meshsub/watch.h"
#include "meshsub/engine.h"
#include "meshsub/gossipsub.h"
#include "meshsub/randomsub.h"
#include "meshsub/rpc.h"
#include "tests/fuzz/script.h"

#define PEERS 12u
#define TOPICS 5u
#define TOKENS 64u

typedef struct state {
  msub_engine *e;
  msub_now now;
  msub_session sessions[2][PEERS]; /* by router */
  msub_topic topics[2][TOPICS];
  unsigned joins[2][TOPICS], relays[2][TOPICS], opens[2][TOPICS];
  msub_token waits[TOKENS];
  size_t n_waits;
  msub_batch *batch;
  msub_watch *watch;
  msub_token jobs[TOKENS], tokens[TOKENS], laters[TOKENS];
  size_t n_jobs, n_tokens, n_laters;
  const msub_msg *held;
  fuzz_mem mem;
  uint8_t answers;       /* bits that world and hooks answer with */
  uint8_t verdict;
  bool refuse, parity, gater, randomsub;
  script *s;
} state;
static state *g;

/* ---- world ---- */

static int w_send(void *w, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  state *x = w;
  CHECK(link < PEERS * 2 && s.v && lane < MSUB_LANES);
  CHECK(rpc->wire_size == msub_rpc_size(rpc) && (rpc->n_msgs || rpc->ctl));
  if (rpc->n_msgs == 0) CHECK(rpc->wire_size <= 16 * 1024);
  if (x->refuse) return MSUB_ERR_LIMIT;
  uint8_t *wire = malloc(rpc->wire_size + 1);
  CHECK(wire && msub_rpc_encode(rpc, wire) == rpc->wire_size);
  msub_rpc_counts n;
  CHECK(msub_rpc_scan((msub_bytes){ wire, rpc->wire_size }, NULL, &n) == MSUB_OK);
  CHECK(n.publish == rpc->n_msgs && n.subscriptions <= 100);
  free(wire);
  if (x->answers & 1 && rpc->ctl) CHECK(msub_dropped(x->e, s, rpc, MSUB_R_QUEUE_FULL, NULL) != MSUB_ERR_INVAL);
  return MSUB_OK;
}
static unsigned w_withdraw(void *w, uint64_t link, msub_bytes id) {
  (void)w;
  CHECK(link < PEERS * 2 && id.n && id.n <= MSUB_MAX_ID);
  return 0;
}
static bool w_room(void *w, uint64_t link, msub_lane lane, size_t bytes) {
  (void)link, (void)lane, (void)bytes;
  return !(((state *)w)->answers & 2);
}
static void w_disconnect(void *w, msub_peer p, int reason) {
  (void)w;
  CHECK(p.v && reason >= 0 && reason < MSUB_REASONS);
}
static bool w_deliver(void *w, msub_topic t, const msub_msg *m, msub_peer from) {
  state *x = w;
  (void)from;
  CHECK(t.v && m->refs && !m->borrowed && m->id_n);
  if (x->answers & 4) { /* a program that answers from inside */
    msub_token ticket;
    (void)msub_publish(x->e, t, msub_str("echo"), NULL, &ticket);
  }
  return !(x->answers & 8);
}
static int w_offload(void *w, const msub_job *j, msub_token t) {
  state *x = w;
  CHECK(j->fn && t.v);
  if (x->n_jobs == TOKENS || x->answers & 16) return MSUB_ERR_LIMIT;
  x->jobs[x->n_jobs++] = t;
  return MSUB_OK;
}
static bool w_recall(void *w, msub_token t) {
  state *x = w;
  for (size_t i = 0; i < x->n_jobs; i++)
    if (x->jobs[i].v == t.v) {
      if (x->answers & 32) return false; /* running */
      x->jobs[i] = x->jobs[--x->n_jobs];
      return true;
    }
  abort();
}
static int w_sign(void *w, const msub_bytes *parts, size_t n, uint8_t *out, size_t cap) {
  (void)w, (void)parts, (void)n;
  CHECK(cap >= 64);
  memset(out, 7, 64);
  return 64;
}
static void w_hint(void *w, msub_bytes peer, msub_bytes record) {
  (void)w;
  uint8_t sum = 0;
  for (size_t i = 0; i < peer.n; i++) sum ^= peer.p[i];
  for (size_t i = 0; i < record.n; i++) sum ^= record.p[i];
  (void)*(volatile uint8_t *)&sum;
}
static size_t w_record(void *w, msub_peer p, uint8_t *out, size_t cap) {
  state *x = w;
  CHECK(p.v);
  size_t n = x->answers & 64 ? 100 : 0;
  if (n > cap) return 0;
  memset(out, 0x42, n);
  return n;
}
static void w_trace(void *w, const msub_event *ev) {
  (void)w;
  CHECK(ev->kind < MSUB_EVENTS && ev->id.n <= MSUB_MAX_ID);
}
static const msub_world_ops world = { .abi = MSUB_ABI, .size = sizeof world, .send = w_send, .room = w_room, .withdraw = w_withdraw,
  .disconnect = w_disconnect, .deliver = w_deliver, .offload = w_offload, .recall = w_recall, .connect_hint = w_hint,
  .peer_record = w_record, .trace = w_trace, .sign = w_sign };

/* The "signature": good, bad or forged by the payload's first byte. */
static msub_verdict verify(const void *wire, size_t n) {
  msub_msg_view v;
  if (msub_msg_parse((msub_bytes){ wire, n }, &v) != MSUB_OK) return MSUB_REJECT;
  return v.data.n && v.data.p[0] % 7 == 3 ? MSUB_REJECT : v.data.n && v.data.p[0] % 7 == 4 ? MSUB_IGNORE : MSUB_ACCEPT;
}

/* ---- a policy with all hooks ---- */

static size_t p_id(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  msub_bytes d = msub_data(m);
  if (d.n > 2 && d.p[0] == 0xfe) return (size_t)d.p[1] + 100; /* sometimes too long: a fault */
  size_t n = d.n < 24 ? d.n : 24;
  if (n) memcpy(out, d.p, n);
  return n;
}
static void keep_token(msub_token *list, size_t *n, msub_token t) {
  CHECK(t.v);
  if (*n < TOKENS) list[(*n)++] = t;
  else list[t.v % TOKENS] = t;
}
static msub_verdict p_admit(const msub_channel *c, const msub_msg *m, msub_session from, msub_token t) {
  (void)c, (void)m, (void)from;
  msub_verdict v = (msub_verdict)(g->verdict % 7); /* 6 is no verdict */
  if (v == MSUB_DEFER || v == MSUB_PENDING) keep_token(g->tokens, &g->n_tokens, t);
  return v;
}
static void p_released(const msub_channel *c, msub_token t, int why) {
  (void)c;
  (void)t; /* 0: there was no room for a question at all */
  CHECK(why == MSUB_R_LEFT || why == MSUB_R_TIMEOUT || why == MSUB_R_GONE || why == MSUB_R_THROTTLED);
}
static void p_put(const msub_channel *c, const msub_msg *m) {
  (void)c;
  msub_msg_drop(msub_engine_shared(g->e), g->held);
  g->held = msub_msg_hold(m);
}
static msub_got p_get(const msub_channel *c, msub_bytes id, msub_token later, msub_cached *out) {
  (void)c;
  out->msg = g->held;
  out->payload = g->verdict & 1 ? id : msub_str("something else");
  msub_got got = (msub_got)(g->verdict % 5);
  if (got == MSUB_GOT_LATER && later.v) keep_token(g->laters, &g->n_laters, later);
  return got;
}
static size_t p_ids(const msub_channel *c, msub_bytes *ids, size_t max) {
  (void)c;
  if (g->verdict == 77) return max + 1;
  if (!g->held || !max) return 0;
  ids[0] = msub_id(g->held);
  return 1;
}
static void p_emit(const msub_channel *c, size_t want, msub_list *io) {
  (void)c, (void)want;
  if (g->verdict == 78) io->n = io->cap + 3;
  if (g->verdict == 79 && io->n) io->s[0].v ^= 0x00100000;
}
static bool p_may(const msub_channel *c, msub_session s) {
  (void)c;
  CHECK(s.v);
  return !(g->verdict & 16);
}
static void p_graft(const msub_channel *c, msub_session s, bool ours) {
  (void)ours;
  if (g->verdict & 32 && g->held) {
    msub_bytes id = msub_id(g->held);
    (void)msub_ask(c->engine, s, c->topic, &id, 1, NULL);
    (void)msub_offer(c->engine, s, c->topic, &id, 1, NULL);
  }
}
static bool p_deliver(const msub_channel *c, const msub_msg *m, msub_bytes payload, msub_peer from) {
  (void)c, (void)m, (void)from;
  uint8_t sum = 0;
  for (size_t i = 0; i < payload.n; i++) sum ^= payload.p[i];
  (void)*(volatile uint8_t *)&sum;
  return !(g->answers & 8);
}
static size_t p_out(const msub_channel *c, msub_bytes data, uint8_t *to, size_t cap) {
  (void)c;
  if (g->verdict == 80) return SIZE_MAX;
  if (data.n + 1 > cap) return data.n + 1;
  if (data.n) memcpy(to, data.p, data.n);
  to[data.n] = 'x';
  return data.n + 1;
}
static size_t p_in(const msub_channel *c, msub_bytes data, uint8_t *to, size_t cap) {
  (void)c;
  if (data.n == 0) return SIZE_MAX;
  if (data.n - 1 > cap) return data.n - 1;
  memcpy(to, data.p, data.n - 1);
  return data.n - 1;
}
#define HEAD .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .message_id = p_id
static const msub_channel_policy policies[TOPICS] = {
  { HEAD, .name = "plain", .sign = MSUB_SIGN_NEVER },
  { HEAD, .name = "judge", .admit = p_admit, .released = p_released, .defer_bytes = 300, .full = MSUB_FULL_REFUSE },
  { HEAD, .name = "cache", .cache_put = p_put, .cache_get = p_get, .gossip_ids = p_ids, .emit = p_emit, .may_graft = p_may,
    .on_graft = p_graft, .released = p_released, .open_ids = true, .full = MSUB_FULL_LATEST },
  { HEAD, .name = "payload", .payload_out = p_out, .payload_in = p_in, .deliver = p_deliver, .max_data = 200, .full = MSUB_FULL_LATEST,
    .sign = MSUB_SIGN_NEVER },
  { HEAD, .name = "signed", .sign = MSUB_SIGN_ALWAYS },
};
static const char *const names[TOPICS] = { "a", "b", "c", "d", "e" };

static msub_verdict validator(void *ud, const msub_msg *m, msub_peer from, msub_token t, msub_job *job) {
  (void)ud, (void)from;
  uint8_t first = msub_data(m).n ? msub_data(m).p[0] : 0;
  if (first == 0x70) {
    job->fn = verify;
    return MSUB_PENDING;
  }
  if (first == 0x71) {
    keep_token(g->tokens, &g->n_tokens, t);
    return MSUB_PENDING;
  }
  return first == 0x72 ? MSUB_REJECT : first == 0x73 ? MSUB_THROTTLED : first == 0x74 ? (msub_verdict)42 : MSUB_ACCEPT;
}

/* ---- frames ---- */

/* Appends an entry out of the script to the RPC that is being built. */
static size_t message(script *s, uint8_t *out) {
  uint8_t data[64], from[4] = { 0, 2, 1, 0 }, seqno[8] = { 0 }, sig[64] = { 1 };
  size_t n = byte(s) % sizeof data;
  for (size_t i = 0; i < n; i++) data[i] = byte(s);
  uint8_t how = byte(s);
  msub_msg_view v = { .data = { data, n }, .topic = msub_str(names[how % TOPICS]), .present = MSUB_HAS_DATA | MSUB_HAS_TOPIC };
  if (how & 16 || how % TOPICS == 4) {
    from[3] = how >> 5;
    seqno[7] = byte(s);
    v.from = (msub_bytes){ from, 4 };
    v.seqno = (msub_bytes){ seqno, how & 64 ? 8u : 7u };
    v.signature = (msub_bytes){ sig, 64 };
    v.present |= MSUB_HAS_FROM | MSUB_HAS_SEQNO | MSUB_HAS_SIGNATURE;
  }
  uint8_t body[300];
  size_t len = msub_msg_encode(&v, body, sizeof body), at = 0;
  CHECK(len <= sizeof body);
  out[at++] = 0x12;
  at += msub_varint_put(out + at, len);
  memcpy(out + at, body, len);
  return at + len;
}

static size_t control(script *s, uint8_t *out, size_t cap) {
  uint8_t ids[40][6];
  msub_bytes views[40], name;
  msub_px px[3];
  uint8_t kind = byte(s);
  msub_ctl_entry e = { .kind = kind % 7, .flags = kind >> 6, .ids = views, .px = px };
  e.n_ids = byte(s) % 40;
  for (uint32_t i = 0; i < e.n_ids; i++) {
    memset(ids[i], 0, sizeof ids[i]);
    ids[i][0] = byte(s);
    views[i] = (msub_bytes){ ids[i], 1u + ids[i][0] % 6 };
  }
  if (e.kind == MSUB_C_PRUNE) {
    e.backoff_s = (uint64_t)byte(s) << (byte(s) % 57);
    e.n_px = kind % 3;
    for (uint16_t i = 0; i < e.n_px; i++) px[i] = (msub_px){ { ids[0], 4 }, { ids[0], 6 } };
    memset(ids[0], 9, sizeof ids[0]);
  }
  if (e.kind <= MSUB_C_UNSUB || e.kind == MSUB_C_GRAFT || e.kind == MSUB_C_PRUNE) e.n_ids = 0;
  name = msub_str(names[byte(s) % TOPICS]);
  size_t n = msub_ctl_encode(&e, &name, 1, NULL, 0);
  if (n > cap) return 0;
  return msub_ctl_encode(&e, &name, 1, out, cap);
}

static void frame(state *x, script *s, msub_session to) {
  uint8_t rpc[4096];
  size_t n = 0;
  for (unsigned parts = 1u + byte(s) % 4; parts && n + 1200 < sizeof rpc; parts--)
    n += byte(s) & 1 ? message(s, rpc + n) : control(s, rpc + n, sizeof rpc - n);
  int rc;
  while ((rc = msub_receive(x->e, to, (msub_bytes){ rpc, n }, &x->now)) == MSUB_MORE) {}
  CHECK(rc == MSUB_OK || rc == MSUB_ERR_STALE || rc == MSUB_ERR_LIMIT || rc == MSUB_ERR_MALFORMED);
}

static void raw(state *x, script *s, msub_session to) {
  size_t n;
  uint8_t *frame = block(s, &n);
  while (msub_receive(x->e, to, (msub_bytes){ frame, n }, &x->now) == MSUB_MORE) {}
  free(frame);
}

/* ---- steps ---- */

static void connect(state *x, unsigned ri, unsigned p, uint8_t how) {
  static const char *const ids[2][4] = { { "/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0", "/meshsub/1.2.0" },
                                         { "/floodsub/1.0.0", "/floodsub/1.0.0", "/floodsub/1.0.0", "/floodsub/1.0.0" } };
  uint8_t id[8] = { 0, 2, 1, (uint8_t)p }, ip[4] = { 10, 0, 0, (uint8_t)(p / 3) };
  const char *protocol = ri == 1 && x->randomsub && !(how & 2) ? "/randomsub/1.0.0" : ids[ri][how & 3];
  msub_session_opts o = { .peer_id = { id, 4 }, .protocol = protocol, .address = { ip, how & 4 ? 4u : 0u }, .link = p * 2 + ri,
                          .outbound = how & 8, .agreed = how & 16 };
  msub_session s;
  int rc = msub_session_up(x->e, &o, &x->now, &s);
  if (rc == MSUB_OK) x->sessions[ri][p] = s;
  else CHECK(rc == MSUB_ERR_CLAIMED || rc == MSUB_ERR_REFUSED || rc == MSUB_ERR_NOMEM || rc == MSUB_ERR_LIMIT || rc == MSUB_ERR_UNSUPPORTED);
}

static void pass(state *x, uint64_t ns) {
  x->now.mono_ns += ns;
  x->now.wall_ns += (int64_t)ns;
  CHECK(msub_advance(x->e, &x->now) == MSUB_OK);
}

static void answer(state *x, uint8_t which, uint8_t v) {
  msub_token *list = which & 1 ? x->tokens : x->jobs;
  size_t *n = which & 1 ? &x->n_tokens : &x->n_jobs;
  if (!*n) return;
  size_t i = (which >> 1) % *n;
  msub_token t = list[i];
  if (!(which & 1) || !(v & 8)) list[i] = list[--*n]; /* a token may be answered twice, a job not */
  int rc = msub_complete(x->e, t, (msub_verdict)(v % 7), &x->now);
  CHECK(rc == MSUB_OK || rc == MSUB_ERR_STALE);
}

static bool allows(void *ud, msub_bytes topic, msub_peer p) {
  (void)p;
  return topic.n == 0 || (topic.p[0] + ((state *)ud)->answers) % 3;
}
static int inspect(void *ud, const msub_inspection *i) {
  msub_rpc_iter it;
  msub_rpc_part part;
  size_t n = 0;
  msub_rpc_begin(&it, i->frame);
  while (msub_rpc_next(&it, &part) != MSUB_P_END) n += part.kind == MSUB_P_MESSAGE;
  CHECK(n == i->counts->publish && i->peer.v && i->session.v);
  return ((state *)ud)->answers & 128 ? MSUB_R_FLOOD : MSUB_R_NONE;
}
static void note_wait(state *x, msub_token t) { x->waits[x->n_waits++ % TOKENS] = t; }

/* What a program may do besides: relays, conditions, batches, lists, filters, watches. */
static void program(state *x, script *s, uint8_t a, unsigned ri, unsigned p, unsigned t) {
  msub_topic topic = x->topics[ri][t];
  msub_peer peer = msub_session_peer(x->e, x->sessions[ri][p]);
  uint8_t id[4] = { 0, 2, 1, (uint8_t)p };
  msub_bytes who = { id, 4 };
  uint64_t ns = (uint64_t)word(s) * 10000000;
  switch (byte(s) % 10) {
  case 0:
    if (msub_relay(x->e, ri, msub_str(names[t]), &policies[t], NULL, &x->now, &topic) == MSUB_OK) {
      x->topics[ri][t] = topic;
      x->relays[ri][t]++;
    }
    break;
  case 1:
    if (x->relays[ri][t] && msub_unrelay(x->e, topic, &x->now) == MSUB_OK) x->relays[ri][t]--;
    break;
  case 2: {
    msub_publish_opts o;
    msub_published out;
    msub_publish_opts_init(&o);
    o.min_peers = a & 3;
    o.wait_ns = ns;
    o.anyway = a & 4;
    o.local_only = a & 8;
    int rc = msub_publish_with(x->e, topic, msub_str("with"), &o, &x->now, &out);
    if (rc == MSUB_OK || rc == MSUB_MORE) CHECK(out.err == rc && out.reach < MSUB_REACHES);
    if (rc == MSUB_MORE) note_wait(x, out.ticket);
    break;
  }
  case 3: {
    msub_token ticket;
    if (msub_await(x->e, topic, a & 3, ns, &x->now, &ticket) == MSUB_OK) note_wait(x, ticket);
    break;
  }
  case 4: (void)msub_cancel(x->e, x->waits[a % TOKENS]); break;
  case 5:
    if (!x->batch && msub_batch_new(x->e, &x->batch) != MSUB_OK) x->batch = NULL;
    else if (a & 3) (void)msub_batch_add(x->batch, topic, (msub_bytes){ (const uint8_t *)&ns, 1u + a % 8 }, NULL);
    else if (a & 64) {
      if (msub_batch_publish(x->batch, a & 128 ? &msub_in_order : NULL, NULL, &x->now) == MSUB_OK)
        for (size_t i = 0; i < msub_batch_count(x->batch); i++) CHECK(msub_batch_result(x->batch, i)->reach < MSUB_REACHES);
    } else {
      CHECK(msub_batch_free(x->batch) == MSUB_OK);
      x->batch = NULL;
    }
    break;
  case 6: {
    int rc = a & 1 ? msub_block(x->e, who, ns + 1, &x->now) : a & 2 ? msub_unblock(x->e, who, &x->now) : a & 4 ? msub_allow(x->e, who, ns + 1, &x->now)
             : a & 8 ? msub_disallow(x->e, who, &x->now) : msub_allow_only(x->e, a & 16, &x->now);
    if (rc == MSUB_OK && a & 1) CHECK(msub_blocked(x->e, who, &x->now) && msub_allows(x->e, who, (msub_bytes){ NULL, 0 }, &x->now, NULL) == MSUB_ERR_REFUSED);
    break;
  }
  case 7: {
    const msub_topic_filter f = { .abi = MSUB_ABI, .size = sizeof f, .name = "fuzz", .allows = allows, .max_per_rpc = a & 4 ? 3 : 0 };
    (void)msub_filter_topics(x->e, a & 3 ? &f : NULL, x);
    (void)msub_inspector(x->e, a & 8 ? inspect : NULL, x);
    break;
  }
  case 8: (void)msub_feedback(x->e, a & 1 ? topic : (msub_topic){ 0 }, peer, a & 2 ? MSUB_USEFUL : MSUB_INVALID, &x->now); break;
  default: {
    msub_peer_event ev;
    if (!x->watch && msub_watch_begin(x->e, topic, NULL, NULL, &x->watch) != MSUB_OK) x->watch = NULL;
    else if (a & 7) {
      if (msub_watch_next(x->watch, &ev) == MSUB_OK) CHECK(msub_peer_bytes(msub_engine_shared(x->e), ev.peer).n);
    } else {
      msub_watch_end(x->watch);
      x->watch = NULL;
    }
    break;
  }
  }
}

static void step(state *x, script *s) {
  uint8_t op = byte(s), a = byte(s);
  unsigned ri = a & 1, p = (a >> 1) % PEERS, t = (a >> 1) % TOPICS;
  msub_session to = x->sessions[ri][p];
  msub_topic topic = x->topics[ri][t];
  msub_bytes name = msub_str(names[t]);
  if (op >= 244) {
    program(x, s, a, ri, p, t);
    return;
  }
  switch (op % 24) {
  case 0: connect(x, ri, p, byte(s)); break;
  case 1: (void)msub_session_down(x->e, to, &x->now); break;
  case 2:
    if (a & 64) {
      uint8_t ip[16] = { 10, 0, 0, a >> 6 };
      CHECK(msub_session_address(x->e, to, (msub_bytes){ ip, a & 128 ? 16 : 4 }, &x->now) != MSUB_ERR_INVAL);
    }
    (void)msub_session_agreed(x->e, to, &x->now);
    break;
  case 3: (void)msub_session_inbound(x->e, to, &x->now); break;
  case 4: (void)msub_session_inbound_gone(x->e, to, &x->now); break;
  case 5: case 6: case 7: case 8: frame(x, s, to); break;
  case 9: raw(x, s, to); break;
  case 10:
    if (msub_join(x->e, ri, name, &policies[t], NULL, &x->now, &topic) == MSUB_OK) {
      x->topics[ri][t] = topic;
      x->joins[ri][t]++;
    }
    break;
  case 11:
    if (x->joins[ri][t] && msub_leave(x->e, topic, &x->now) == MSUB_OK) x->joins[ri][t]--;
    break;
  case 12:
    if (msub_open(x->e, ri, name, &policies[t], NULL, &x->now, &topic) == MSUB_OK) {
      x->topics[ri][t] = topic;
      x->opens[ri][t]++;
    }
    break;
  case 13:
    if (x->opens[ri][t] && msub_close(x->e, topic, &x->now) == MSUB_OK) x->opens[ri][t]--;
    break;
  case 14: {
    uint8_t data[40];
    size_t n = byte(s) % sizeof data;
    for (size_t i = 0; i < n; i++) data[i] = byte(s);
    (void)msub_publish(x->e, topic, (msub_bytes){ data, n }, &x->now, NULL);
    break;
  }
  case 15: pass(x, (uint64_t)word(s) * 1000000); break;
  case 16: pass(x, (uint64_t)word(s) * 1000000000); break;
  case 17: answer(x, a, byte(s)); break;
  case 18: x->answers = byte(s); break;
  case 19: x->verdict = byte(s); break;
  case 20: x->refuse = a & 1; break;
  case 21: x->mem.fail_in = a % 32; break;
  case 22: {
    uint8_t id[3] = { byte(s), byte(s), 0 };
    msub_bytes b = { id, 1u + a % 3 };
    (void)(a & 64 ? msub_ask(x->e, to, topic, &b, 1, &x->now) : msub_offer(x->e, to, topic, &b, 1, &x->now));
    (void)msub_redeliver(x->e, topic, &x->now);
    break;
  }
  default: {
    uint8_t id[8] = { 0, 2, 1, (uint8_t)p };
    msub_cached c = { a & 2 ? x->held : NULL, msub_str("payload") };
    if (x->n_laters) (void)msub_supply(x->e, x->laters[a % x->n_laters], a & 4 ? NULL : &c, &x->now);
    (void)msub_command(x->e, 0, 1u + (a & 1), id, 4, &x->now);
    msub_validator(x->e, a & 8 ? topic : (msub_topic){ 0 }, validator, NULL);
    (void)msub_report(x->e, (msub_bytes){ id, 4 }, (msub_bytes){ NULL, 0 }, 1 + a % (MSUB_REASONS - 1), 1u + a % 100, &x->now);
    break;
  }
  }
}

static void gate(const state *x) {
  uint32_t addresses = UINT32_MAX;
  for (unsigned p = 0; p < PEERS; p++) {
    uint8_t id[4] = { 0, 2, 1, (uint8_t)p };
    msub_gossipsub_gate told = { .peer = { id, 4 } }, *to = &told;
    int rc = msub_command(x->e, 0, MSUB_GOSSIPSUB_GATE, &to, sizeof to, &x->now);
    CHECK(rc == (x->gater ? MSUB_OK : MSUB_ERR_UNSUPPORTED) || (x->gater && rc == MSUB_ERR_NOTFOUND));
    if (rc != MSUB_OK) {
      CHECK(!x->gater || msub_session_peer(x->e, x->sessions[0][p]).v == 0); /* who is connected is known */
      continue;
    }
    CHECK(told.odds > 0 && told.odds <= 1 && told.validated >= 0 && told.throttled >= 0 && told.validated < 1e9 && told.throttled < 1e9);
    CHECK(told.delivered >= 0 && told.duplicates >= 0 && told.ignored >= 0 && told.rejected >= 0);
    CHECK(told.delivered + told.duplicates + told.ignored + told.rejected < 1e9 && told.sessions <= PEERS);
    if (msub_session_peer(x->e, x->sessions[0][p]).v) CHECK(told.sessions > 0);
    CHECK(addresses == UINT32_MAX || addresses == told.addresses);
    addresses = told.addresses;
  }
}

static void invariants(const state *x) {
  gate(x);
  msub_usage u;
  msub_usage_of(x->e, &u);
  CHECK(u.sessions <= 2 * PEERS && u.topics <= 2 * 2000);
  const msub_counts *c = msub_count(x->e);
  CHECK(c->delivered + c->delivery_full >= c->delivered);
  for (unsigned ri = 0; ri < 2; ri++)
    for (unsigned t = 0; t < TOPICS; t++) {
      msub_topic h = msub_topic_named(x->e, ri, msub_str(names[t]));
      if (h.v == 0) {
        CHECK(x->joins[ri][t] == 0 && x->relays[ri][t] == 0 && x->opens[ri][t] == 0);
        continue;
      }
      if (x->joins[ri][t] || x->relays[ri][t] || x->opens[ri][t]) CHECK(h.v == x->topics[ri][t].v);
      size_t n = msub_topic_peers(x->e, h), mesh = 0;
      CHECK(n <= PEERS);
      msub_peer_state st[PEERS * 4];
      size_t k = msub_snapshot(x->e, h, st, PEERS * 4);
      for (size_t i = 0; i < k && i < PEERS * 4; i++) {
        CHECK(st[i].peer.v);
        if (st[i].roles & MSUB_ROLE_MESH) mesh++;
        if (!x->parity) CHECK((st[i].roles & (MSUB_ROLE_MESH | MSUB_ROLE_DIRECT)) != (MSUB_ROLE_MESH | MSUB_ROLE_DIRECT));
      }
      CHECK(mesh <= PEERS && (mesh == 0 || x->joins[ri][t] || x->relays[ri][t]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  script s = { data, data + size };
  state x = { .now = { 1000000000, INT64_C(1700000000000000000) }, .s = &s };
  g = &x;
  msub_mem mem = { fuzz_alloc, fuzz_free, &x.mem };
  uint8_t entropy[32] = { 3 };
  msub_shared *sh;
  const msub_plan *plans[2];
  CHECK(msub_shared_new(&mem, entropy, &sh) == MSUB_OK);
  msub_gossipsub_opts go;
  msub_gossipsub_opts_init(&go);
  uint8_t how = byte(&s);
  x.parity = how & 1;
  if (how & 1) msub_gossipsub_opts_go_parity(&go);
  if (how & 2) msub_gossipsub_opts_v10(&go);
  go.peer_exchange = how & 4;
  static const msub_gossipsub_topic_weight weights[] = { { { (const uint8_t *)"a", 1 }, 0 }, { { (const uint8_t *)"e", 1 }, 7.5 } };
  go.gater.on = x.gater = how & 8;
  x.randomsub = how & 16;
  go.gater.threshold = 0.01;
  go.gater.retain_ns = UINT64_C(20000000000);
  go.gater.topics = weights;
  go.gater.n_topics = 2;
  go.mesh.d = 4, go.mesh.dlo = 3, go.mesh.dhi = 6, go.mesh.dscore = 2, go.mesh.dout = how & 2 ? 0 : 1;
  go.mesh.idontwant_bytes = 10;
  go.cache_bytes = 4000;
  CHECK(msub_plan_new(sh, &msub_gossipsub, &go, &plans[0]) == MSUB_OK);
  CHECK(msub_plan_new(sh, x.randomsub ? &msub_randomsub : &msub_floodsub, NULL, &plans[1]) == MSUB_OK);
  msub_engine_opts o;
  msub_engine_opts_init(&o);
  o.world = &world;
  o.w = &x;
  o.routers = plans;
  o.n_routers = 2;
  o.seed = how;
  o.self_id = (msub_bytes){ (const uint8_t *)"\0\2\1\xff", 4 };
  o.verify = verify;
  o.go_parity = how & 1;
  o.pending_messages = 20;
  o.pending_bytes = 2000;
  o.seen_bytes = 20000;
  CHECK(msub_engine_new(sh, &o, &x.now, &x.e) == MSUB_OK);
  while (s.p < s.end) {
    step(&x, &s);
    invariants(&x);
  }
  x.mem.fail_in = 0;
  msub_msg_drop(sh, x.held);
  x.held = NULL;
  x.verdict = 0;
  while (msub_engine_free(x.e) == MSUB_ERR_STATE) { /* jobs that run: they end now */
    CHECK(x.n_jobs);
    (void)msub_complete(x.e, x.jobs[--x.n_jobs], MSUB_ACCEPT, &x.now);
  }
  CHECK(msub_shared_free(sh) == MSUB_OK);
  fuzz_mem_empty(&x.mem);
  return 0;
}
