/* tests/fuzz/fuzz_partial.c: extensions and partial messages. The input is a script: peers of all versions come, go and open new
 * streams, announce extensions in time, late or twice, write about groups, the program publishes from outside and from its hooks,
 * time passes, sends are refused and lost, allocations fail. Bounds hold after each step; at the end nothing is left. */
#include "meshsub/engine.h"
#include "meshsub/gossipsub.h"
#include "meshsub/partial.h"
#include "meshsub/rpc.h"
#include "routers/gossipsub/limits.h"
#include "tests/fuzz/script.h"

#define PEERS 10u
#define TOPICS 3u
#define STATE 24u

typedef struct state {
  msub_engine *e;
  msub_now now;
  msub_session sessions[PEERS];
  msub_topic topics[TOPICS];
  unsigned joins[TOPICS], opens[TOPICS];
  fuzz_mem mem;
  uint8_t answers; /* bits that world and hooks answer with */
  bool refuse;
} state;
static state *g;
static const char *const names[TOPICS] = { "requests", "supports", "whole" };

/* ---- world ---- */

static int w_send(void *w, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  state *x = w;
  CHECK(link < PEERS && s.v && lane < MSUB_LANES && rpc->wire_size == msub_rpc_size(rpc) && (rpc->n_msgs || rpc->ctl));
  if (x->refuse) return MSUB_ERR_LIMIT;
  uint8_t *wire = malloc(rpc->wire_size + 1);
  CHECK(wire && msub_rpc_encode(rpc, wire) == rpc->wire_size);
  msub_rpc_counts n;
  CHECK(msub_rpc_scan((msub_bytes){ wire, rpc->wire_size }, NULL, &n) == MSUB_OK && n.unknown == 0);
  CHECK(n.extensions <= 1 && n.partial <= 1 && n.test <= 1 && n.control <= 1);
  if (n.partial || n.test) CHECK(n.partial + n.test == 1 && !n.control && !n.subscriptions && !n.publish);
  free(wire);
  if (x->answers & 1 && rpc->ctl) CHECK(msub_dropped(x->e, s, rpc, x->answers & 2 ? MSUB_R_LOST : MSUB_R_GONE, NULL) != MSUB_ERR_INVAL);
  return MSUB_OK;
}
static void w_disconnect(void *w, msub_peer p, int reason) { (void)w, (void)p, (void)reason; }
static bool w_deliver(void *w, msub_topic t, const msub_msg *m, msub_peer from) {
  (void)w, (void)t, (void)m, (void)from;
  return true;
}
static const msub_world_ops world = { .abi = MSUB_ABI, .size = sizeof world, .send = w_send, .disconnect = w_disconnect, .deliver = w_deliver };

/* ---- the program ---- */

static void give(const msub_channel *c, msub_bytes group, msub_partial_peer *p, msub_partial_out *out) {
  static uint8_t bytes[300];
  (void)c;
  CHECK(group.n && group.n <= MSUB__GS_PARTIAL_ID && p->peer.v && p->state);
  CHECK(((uintptr_t)p->state & 7) == 0);
  memset(p->state, 0x5a, STATE);
  if (g->answers & 4) out->message = (msub_bytes){ bytes, 1u + g->answers };
  if (g->answers & 8) out->metadata = (msub_bytes){ bytes, 1u + g->answers % 7u };
}
static msub_verdict take(const msub_channel *c, msub_bytes group, msub_partial_peer *p, msub_bytes message, msub_bytes metadata) {
  (void)message, (void)metadata;
  CHECK(group.n && group.n <= MSUB__GS_PARTIAL_ID && p->peer.v && p->state);
  const uint8_t *s = p->state;
  for (unsigned i = 0; i < STATE; i++) CHECK(s[i] == s[0] && (s[i] == 0 || s[i] == 0x5a || s[i] == 0x33));
  memset(p->state, 0x33, STATE);
  if (g->answers & 16) (void)msub_partial_publish(c->engine, c->topic, group, NULL, NULL, 0, NULL);
  if (g->answers & 32) (void)msub_leave(c->engine, c->topic, NULL);
  return g->answers & 64 ? MSUB_REJECT : MSUB_ACCEPT;
}
static size_t data_id(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  msub_bytes d = msub_data(m);
  size_t n = d.n < 8 ? d.n : 8;
  if (n) memcpy(out, d.p, n);
  return n;
}
#define OPS(m) { .abi = MSUB_ABI, .size = sizeof(msub_partial_ops), .mode = m, .state_bytes = STATE, .take = take, .give = give, .gossip = give }
static const msub_partial_ops requests = OPS(MSUB_PARTIAL_REQUESTS), supports = OPS(MSUB_PARTIAL_SUPPORTS);
#define POLICY(o) { .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "fuzz", .message_id = data_id, .partial = o }
static const msub_channel_policy policies[TOPICS] = { POLICY(&requests), POLICY(&supports), POLICY(NULL) };

/* ---- what peers say ---- */

static void receive(state *x, unsigned p, const msub_ctl_entry *e, const msub_bytes *of, size_t n) {
  static uint8_t buf[4096];
  size_t len = msub_ctl_encode(e, of, n, buf, sizeof buf);
  CHECK(len <= sizeof buf);
  int rc = msub_receive(x->e, x->sessions[p], (msub_bytes){ buf, len }, &x->now);
  CHECK(rc == MSUB_OK || rc == MSUB_ERR_STALE);
}

/* An RPC of up to four parts: subscription, graft, extensions, partial, test. */
static void say(state *x, script *s, unsigned p) {
  static uint8_t group[MSUB__GS_PARTIAL_ID + 4], bytes[400];
  msub_ctl_entry e[4];
  msub_bytes of[4], parts[3];
  size_t n = 0;
  bool partial = false, test = false;
  for (unsigned left = 1u + byte(s) % 4; left; left--) {
    uint8_t what = byte(s), how = byte(s);
    of[n] = msub_str(names[how % TOPICS]);
    e[n] = (msub_ctl_entry){ .kind = MSUB_C_SUB, .flags = (uint8_t)(how >> 4 & 3) };
    switch (what % 6) {
    case 0: e[n].kind = how & 64 ? MSUB_C_UNSUB : MSUB_C_SUB; break;
    case 1: e[n].kind = how & 64 ? MSUB_C_PRUNE : MSUB_C_GRAFT; break;
    case 2: e[n].kind = MSUB_C_EXTENSIONS; break;
    case 3:
      if (test) continue;
      test = true;
      e[n].kind = MSUB_C_TEST;
      break;
    default:
      if (partial) continue;
      partial = true;
      group[0] = byte(s);
      parts[0] = (msub_bytes){ group, what & 128 ? MSUB__GS_PARTIAL_ID - 1u + (how >> 6) : 1u };
      parts[1] = (msub_bytes){ bytes, what & 32 ? byte(s) : 0 };
      parts[2] = (msub_bytes){ bytes, what & 64 ? byte(s) % 9u : 0 };
      e[n].kind = MSUB_C_PARTIAL;
      e[n].ids = parts;
      e[n].n_ids = 3;
    }
    n++;
  }
  if (n) receive(x, p, e, of, n);
}

static void raw(state *x, script *s, unsigned p) {
  size_t n;
  uint8_t *frame = block(s, &n);
  while (msub_receive(x->e, x->sessions[p], (msub_bytes){ frame, n }, &x->now) == MSUB_MORE) {}
  free(frame);
}

/* ---- steps ---- */

static const char *const ids[] = { "/meshsub/1.3.0", "/meshsub/1.3.0", "/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0", "/floodsub/1.0.0" };

static void connect(state *x, unsigned p, uint8_t how) {
  uint8_t id[4] = { 0, 2, 1, (uint8_t)p };
  msub_session_opts o = { .peer_id = { id, 4 }, .protocol = ids[how % 6], .link = p, .outbound = how & 64, .agreed = !(how & 128) };
  msub_session s;
  if (msub_session_up(x->e, &o, &x->now, &s) == MSUB_OK) x->sessions[p] = s;
}

static void publish(state *x, script *s, msub_topic t) {
  static uint8_t group[MSUB__GS_PARTIAL_ID];
  msub_peer to[4];
  uint8_t how = byte(s);
  group[0] = byte(s);
  size_t n = how & 1 ? how % 5u : 0;
  for (size_t i = 0; i < n; i++) to[i] = msub_session_peer(x->e, x->sessions[byte(s) % PEERS]);
  (void)msub_partial_publish(x->e, t, (msub_bytes){ group, how & 2 ? sizeof group : 1u }, how & 4 ? give : NULL, how & 1 ? to : NULL, n, &x->now);
}

static void pass(state *x, uint64_t ms) {
  x->now.mono_ns += ms * 1000000;
  x->now.wall_ns += (int64_t)ms * 1000000;
  CHECK(msub_advance(x->e, &x->now) == MSUB_OK);
}

static void step(state *x, script *s) {
  uint8_t op = byte(s), a = byte(s);
  unsigned p = a % PEERS, t = a % TOPICS;
  msub_session to = x->sessions[p];
  switch (op % 16) {
  case 0: connect(x, p, byte(s)); break;
  case 1: (void)msub_session_down(x->e, to, &x->now); break;
  case 2: (void)msub_session_offer(x->e, to, ids[byte(s) % 6], p, &x->now); break;
  case 3: (void)msub_session_agreed(x->e, to, &x->now); break;
  case 4: (void)(a & 128 ? msub_session_hello(x->e, to, &x->now) : msub_session_inbound(x->e, to, &x->now)); break;
  case 5: (void)msub_session_inbound_gone(x->e, to, &x->now); break;
  case 6: case 7: case 8: say(x, s, p); break;
  case 9: raw(x, s, p); break;
  case 10:
    if (a & 128) (void)msub_open(x->e, 0, msub_str(names[t]), &policies[t], NULL, &x->now, &x->topics[t]);
    else (void)msub_join(x->e, 0, msub_str(names[t]), &policies[t], NULL, &x->now, &x->topics[t]);
    break;
  case 11: (void)(a & 128 ? msub_close(x->e, x->topics[t], &x->now) : msub_leave(x->e, x->topics[t], &x->now)); break;
  case 12: publish(x, s, x->topics[t]); break;
  case 13: pass(x, (uint64_t)byte(s) * 50); break;
  case 14: x->answers = byte(s); break;
  default:
    x->refuse = a & 1;
    x->mem.fail_in = a & 2 ? byte(s) : 0;
    (void)msub_publish(x->e, x->topics[t], (msub_bytes){ &a, 1 }, &x->now, NULL);
  }
}

static void invariants(state *x) {
  msub_partial_usage u;
  int rc = msub_partial_usage_of(x->e, 0, &x->now, &u);
  CHECK(rc == MSUB_OK);
  CHECK(u.foreign <= u.groups && u.foreign <= TOPICS * MSUB__GS_PARTIAL_FOREIGN && u.states <= u.groups * PEERS);
  CHECK(u.groups <= 2 * 256 * 2 + TOPICS * MSUB__GS_PARTIAL_FOREIGN);
  if (u.groups == 0) CHECK(u.states == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  script s = { data, data + size };
  state x = { .now = { 1000000000, INT64_C(1700000000000000000) } };
  g = &x;
  msub_mem mem = { fuzz_alloc, fuzz_free, &x.mem };
  uint8_t entropy[32] = { 3 }, how = byte(&s);
  msub_shared *sh;
  const msub_plan *plan;
  CHECK(msub_shared_new(&mem, entropy, &sh) == MSUB_OK);
  msub_gossipsub_opts go;
  msub_gossipsub_opts_init(&go);
  if (how & 1) msub_gossipsub_opts_go_parity(&go);
  go.extensions.partial = !(how & 2);
  go.extensions.test = !(how & 4);
  go.mesh.d = 4, go.mesh.dlo = 3, go.mesh.dhi = 6, go.mesh.dscore = 2, go.mesh.dout = 1;
  CHECK(msub_plan_new(sh, &msub_gossipsub, &go, &plan) == MSUB_OK);
  msub_engine_opts o;
  msub_engine_opts_init(&o);
  o.world = &world;
  o.w = &x;
  o.routers = &plan;
  o.n_routers = 1;
  o.seed = how;
  o.self_id = (msub_bytes){ (const uint8_t *)"\0\2\1\xff", 4 };
  o.sign = MSUB_STRICT_NO_SIGN;
  o.go_parity = how & 1;
  CHECK(msub_engine_new(sh, &o, &x.now, &x.e) == MSUB_OK);
  while (s.p < s.end) {
    step(&x, &s);
    x.mem.fail_in = how & 8 ? x.mem.fail_in : 0;
    invariants(&x);
  }
  x.mem.fail_in = 0;
  CHECK(msub_engine_free(x.e) == MSUB_OK && msub_shared_free(sh) == MSUB_OK);
  fuzz_mem_empty(&x.mem);
  return 0;
}
