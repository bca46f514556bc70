/* The node under test and its scripted peers. Time is virtual and stands still while the node works; what it sends to a
 * peer is observed when the peer's writer takes it, which is at once unless the peer is blocked:
 *
 *     send ─▶ ┌ control lane ──────┐ ─▶ writer holds one ─▶ stopped while blocked
 *             ├ everything else    ┤
 *             └ outbound_queue RPCs┘ full: refused */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "meshsub/crypto.h"
#include "meshsub/engine.h"
#include "meshsub/gossipsub.h"
#include "meshsub/guard.h"
#include "meshsub/partial.h"
#include "meshsub/rpc.h"
#include "pubsub/engine.h"
#include "routers/gossipsub/gossipsub.h"
#include "tests/vectors/go_control.h"
#include "tests/vectors/score_params.h"

/* The beginning of the case. Late enough for expiries that wrap to hours before it. */
#define BASE_NS UINT64_C(8000000000000000000)
#define PEERS 64
#define TOPICS 16

typedef struct queued { msub_bytes frame; struct queued *next; } queued;
typedef struct peer {
  const char *name, *protocol;
  bool out, blocked, connected;
  double app;
  uint8_t address[16];
  size_t address_n;
  msub_session s;
  size_t waiting;         /* RPCs in the lanes */
  queued *held, *lane[2]; /* held: by the writer */
} peer;
typedef struct topic { const char *name; msub_topic h; unsigned members; bool open; } topic;
typedef struct node {
  gc_run *run;
  gc_arena *a;
  gc_ids ids;
  int64_t t;
  msub_shared *sh;
  const msub_plan *plan;
  msub_engine *e;
  msub_gossipsub_opts opts;
  msub_bytes direct[PEERS];
  msub_score_opts score;
  msub_cidr allow[16];
  peer peers[PEERS];
  size_t n_peers, queue;
  topic topics[TOPICS];
  size_t n_topics;
  msub_rpc_limits limits;
  const json_t *partial;    /* modes of topics */
  gc_list unwanted;         /* ids of all IDONTWANTs of the script */
  const json_t *denies;     /* the peer filter: names by topic; NULL: none */
  msub_bytes allowed[TOPICS]; /* the subscription filter */
  msub_topic_list topics_allowed;
  const char *own_rejected; /* why the last own publish was */
  bool watched;
} node;

static msub_now now_of(const node *w) {
  return (msub_now){ BASE_NS + (uint64_t)w->t * MSUB__MS, INT64_C(946684800000000000) + w->t * 1000000 };
}
static int64_t ms_of(uint64_t ns) {
  return ns >= BASE_NS ? (int64_t)((ns - BASE_NS) / MSUB__MS) : -(int64_t)((BASE_NS - ns) / MSUB__MS);
}

static gc_instant *instant(node *w) {
  gc_run *r = w->run;
  if (r->n && r->at[r->n - 1].t == w->t) return &r->at[r->n - 1];
  if (r->n == r->cap) {
    size_t cap = r->cap ? r->cap * 2 : 16;
    gc_instant *bigger = gc_alloc(w->a, cap * sizeof *bigger);
    if (r->n) memcpy(bigger, r->at, r->n * sizeof *bigger);
    r->at = bigger;
    r->cap = cap;
  }
  r->at[r->n] = (gc_instant){ .t = w->t };
  return &r->at[r->n++];
}

static void tell(node *w, const char *what) { gc_add(w->a, &instant(w)->trace, what); }
static const char *peer_name(const node *w, msub_peer p) {
  return gc_name_of(w->a, &w->ids, msub_peer_bytes(w->sh, p));
}
static const char *id_text(const node *w, msub_bytes id) {
  return gc_text(w->a, "%.*s", (int)id.n, id.n ? (const char *)id.p : "");
}

/* ---- the outbound queue ---- */

static void observed(node *w, const peer *p, msub_bytes frame) {
  gc_items *sent = &instant(w)->sent;
  gc_items_of_frame(w->a, &w->ids, frame, p->name, (unsigned)sent->n, sent); /* the number rises from RPC to RPC */
}

static void push(queued **list, queued *q) {
  while (*list) list = &(*list)->next;
  *list = q;
}

static int send(void *ud, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  node *w = ud;
  peer *p = &w->peers[link];
  GC_MUST(p->s.v == s.v || p->s.v == 0);
  GC_MUST(msub_rpc_size(rpc) == rpc->wire_size);
  uint8_t *frame = gc_alloc(w->a, rpc->wire_size);
  (void)msub_rpc_encode(rpc, frame);
  if (w->watched)
    gc_items_of_frame(w->a, &w->ids, (msub_bytes){ frame, rpc->wire_size }, p->name, 0, &instant(w)->offered);
  if (p->held && p->waiting == w->queue) return MSUB_ERR_LIMIT;
  queued *q = gc_alloc(w->a, sizeof *q);
  *q = (queued){ { frame, rpc->wire_size }, NULL };
  if (!p->blocked) observed(w, p, q->frame);
  else if (!p->held) p->held = q;
  else {
    push(&p->lane[lane == MSUB_LANE_CONTROL ? 0 : 1], q);
    p->waiting++;
  }
  return MSUB_OK;
}

static void unblock(node *w, peer *p) {
  queued *q;
  p->blocked = false;
  for (q = p->held; q; q = q->next) observed(w, p, q->frame);
  for (unsigned l = 0; l < 2; l++)
    for (q = p->lane[l]; q; q = q->next) observed(w, p, q->frame);
  p->held = p->lane[0] = p->lane[1] = NULL;
  p->waiting = 0;
}

/* ---- what the engine tells ---- */

static void disconnect(void *ud, msub_peer p, int reason) {
  node *w = ud;
  tell(w, gc_text(w->a, "disconnect %s %s", peer_name(w, p), msub_reason_name(reason)));
}

static bool deliver(void *ud, msub_topic t, const msub_msg *m, msub_peer from) {
  (void)ud, (void)t, (void)m, (void)from; /* not of a topic that is only relayed: the trace tells of all */
  return true;
}

/* A host dials whoever has no record, or one that holds: its own, with its signature. */
static void connect_hint(void *ud, msub_bytes id, msub_bytes record) {
  node *w = ud;
  msub_peer_record r = { .n_addrs = 0 };
  if (record.p && msub_peer_record_open(record, id, &r) != MSUB_OK) return;
  tell(w, gc_text(w->a, "dial %s %zu", gc_name_of(w->a, &w->ids, id), r.n_addrs));
}

static const char *reason_text(int reason) {
  switch (reason) {
  case MSUB_R_REJECTED: return "validation failed";
  case MSUB_R_IGNORED: return "validation ignored";
  case MSUB_R_SELF_ORIGIN: return "self originated message";
  default: return msub_reason_name(reason);
  }
}

static void trace(void *ud, const msub_event *ev) {
  node *w = ud;
  gc_items dropped = { NULL, 0, 0 };
  switch (ev->kind) {
  case MSUB_T_DELIVER:
    if (ev->peer.v) tell(w, gc_text(w->a, "deliver %s %s", id_text(w, ev->id), peer_name(w, ev->peer)));
    break;
  case MSUB_T_DUPLICATE:
    if (ev->peer.v) tell(w, gc_text(w->a, "duplicate %s %s", id_text(w, ev->id), peer_name(w, ev->peer)));
    break;
  case MSUB_T_REJECT:
    if (ev->peer.v)
      tell(w, gc_text(w->a, "reject %s %s %s", id_text(w, ev->id), peer_name(w, ev->peer), reason_text(ev->reason)));
    else w->own_rejected = reason_text(ev->reason);
    break;
  case MSUB_T_DROP_RPC: {
    uint8_t *frame = gc_alloc(w->a, ev->rpc->wire_size);
    (void)msub_rpc_encode(ev->rpc, frame);
    gc_items_of_frame(w->a, &w->ids, (msub_bytes){ frame, ev->rpc->wire_size }, "", 0, &dropped);
    for (size_t i = 0; i < dropped.n; i++)
      tell(w, gc_text(w->a, "drop %s %s", peer_name(w, ev->peer), gc_item_text(w->a, &dropped.i[i])));
    break;
  }
  case MSUB_T_EXTENSION:
    if (strcmp(ev->text, "test") == 0) tell(w, gc_text(w->a, "test_ext_received %s", peer_name(w, ev->peer)));
    else
      tell(w, gc_text(w->a, "partial_received %s %s %s", peer_name(w, ev->peer),
                      id_text(w, msub_name_bytes(w->sh, msub_topic_name(w->e, ev->topic))), id_text(w, ev->id)));
    break;
  case MSUB_T_FAULT: tell(w, gc_text(w->a, "fault of %s", ev->text)); break;
  default: break;
  }
}

static const msub_world_ops ops = { .abi = MSUB_ABI, .size = sizeof ops, .send = send, .disconnect = disconnect,
                                    .deliver = deliver,
                                    .connect_hint = connect_hint, .trace = trace };

/* ---- policies of the cases ---- */

/* The data up to the first zero byte. */
static size_t message_id(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  msub_bytes d = msub_data(m);
  size_t n = 0;
  for (; n < d.n && n < MSUB_MAX_ID && d.p[n]; n++) out[n] = d.p[n];
  return n;
}
static const msub_channel_policy policy = { .abi = MSUB_ABI, .size = sizeof policy, .name = "control",
                                            .message_id = message_id };

/* The case's peer filter; ctx is the node. */
static bool may_peer(const msub_channel *c, msub_session s) {
  node *w = c->ctx;
  msub_bytes name = msub_name_bytes(w->sh, msub_topic_name(w->e, c->topic));
  gc_list names = gc_names(w->a, gc_get(w->denies, id_text(w, name)));
  return !gc_has(&names, peer_name(w, msub_session_peer(w->e, s)));
}
static const msub_channel_policy filtering = { .abi = MSUB_ABI, .size = sizeof filtering, .name = "filtering",
                                               .message_id = message_id, .may_peer = may_peer };
/* With partial messages that nobody reads or writes. */
static const msub_partial_ops supports = { .abi = MSUB_ABI, .size = sizeof supports, .mode = MSUB_PARTIAL_SUPPORTS };
static const msub_partial_ops requests = { .abi = MSUB_ABI, .size = sizeof requests, .mode = MSUB_PARTIAL_REQUESTS };
static const msub_channel_policy supporting = { .abi = MSUB_ABI, .size = sizeof supporting, .name = "control",
                                                .message_id = message_id, .partial = &supports };
static const msub_channel_policy requesting = { .abi = MSUB_ABI, .size = sizeof requesting, .name = "control",
                                                .message_id = message_id, .partial = &requests };
static const msub_channel_policy *policy_of(const node *w, const char *topic_name) {
  const char *mode = json_string_value(gc_get(w->partial, topic_name));
  if (!mode) return w->denies ? &filtering : &policy;
  GC_MUST(strcmp(mode, "requests") == 0 || strcmp(mode, "supports") == 0);
  return *mode == 'r' ? &requesting : &supporting;
}

static msub_verdict validate(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job) {
  (void)ud, (void)token, (void)job;
  msub_bytes id = msub_id(m);
  if (id.n < 3) return MSUB_ACCEPT;
  if (memcmp(id.p, "bad", 3) == 0) return MSUB_REJECT;
  if (memcmp(id.p, "ign", 3) == 0 || (memcmp(id.p, "loc", 3) == 0 && from.v)) return MSUB_IGNORE;
  return MSUB_ACCEPT;
}

/* ---- set-up ---- */

static void set_params(msub_gossipsub_opts *o, const json_t *params) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)params, key, value) {
    json_int_t v = json_integer_value(value);
    uint16_t n = (uint16_t)(v > 0 ? v : 0); /* a negative Dout asks for as many outbound members as 0: none */
    uint64_t ns = (uint64_t)v * MSUB__MS;
#define IS(name, member, as) \
  if (strcmp(key, name) == 0) { \
    o->member = as; \
    continue; \
  }
    IS("D", mesh.d, n)
    IS("Dlo", mesh.dlo, n)
    IS("Dhi", mesh.dhi, n)
    IS("Dscore", mesh.dscore, n)
    IS("Dout", mesh.dout, n)
    IS("HistoryLength", history, (uint8_t)n)
    IS("HistoryGossip", history_gossip, (uint8_t)n)
    IS("GossipRetransmission", retransmissions, (uint8_t)n)
    IS("MaxIHaveLength", max_ihave_length, n)
    IS("MaxIHaveMessages", max_ihave_messages, n)
    IS("MaxIDontWantMessages", max_idontwant_messages, n)
    IS("DirectConnectTicks", direct_ticks, n)
    IS("OpportunisticGraftTicks", opportunistic_ticks, n)
    IS("Dlazy", mesh.dlazy, n)
    IS("GossipFactor", mesh.gossip_factor_ppm, (uint32_t)(json_number_value(value) * 1e6))
    IS("PrunePeers", prune_peers, n)
    IS("MaxIDontWantLength", max_idontwant_length, n)
    IS("IDontWantMessageThreshold", mesh.idontwant_bytes, n)
    IS("IDontWantMessageTTL", idontwant_ttl, (uint8_t)n)
    IS("OpportunisticGraftPeers", opportunistic_peers, n)
    IS("UnsubscribeBackoff_ms", unsubscribe_backoff_ns, ns)
    IS("IWantFollowupTime_ms", iwant_followup_ns, ns)
    IS("FanoutTTL_ms", fanout_ttl_ns, ns)
    IS("PruneBackoff_ms", prune_backoff_ns, ns)
    IS("GraftFloodThreshold_ms", graft_flood_ns, ns)
#undef IS
    GC_MUST(strcmp(key, "Connectors") == 0); /* dials at a time: of the host */
  }
}

static void set_scores(node *w, const json_t *config) {
  GC_MUST(vec_score_params(gc_get(config, "score_params"), &w->score.params, w->allow, 16));
  if (gc_get(config, "thresholds")) vec_score_thresholds(gc_get(config, "thresholds"), &w->score.thresholds);
  w->score.params.skip_atomic = w->score.thresholds.skip_atomic = true;
  w->opts.score = &w->score;
}

/* The topics of the score parameters, before anything happens. */
static void score_topics(node *w, const json_t *config) {
  const char *name;
  json_t *params;
  msub_now now = now_of(w);
  json_object_foreach(gc_get(gc_get(config, "score_params"), "topics"), name, params) {
    msub_gossipsub_topic_score s = { .topic = msub_str(name) };
    GC_MUST(vec_topic_score(params, &s.params));
    s.params.skip_atomic = true;
    GC_MUST(msub_command(w->e, 0, MSUB_GOSSIPSUB_TOPIC_SCORE, &s, sizeof s, &now) == MSUB_OK);
  }
}

/* Without one in the case each peer has an address of its own. */
static void set_address(peer *p, size_t number, const char *text) {
  char own[32];
  snprintf(own, sizeof own, "10.9.%zu.%zu", number / 250, number % 250 + 1);
  p->address_n = vec_address(text ? text : own, p->address);
}

static void set_up(node *w, const json_t *c, uint64_t seed) {
  static const uint8_t entropy[32] = { 3 };
  const json_t *config = gc_get(c, "config"), *one;
  size_t i;
  msub_gossipsub_opts_go_parity(&w->opts);
  set_params(&w->opts, gc_get(config, "params"));
  w->opts.mesh.flood_publish = json_is_true(gc_get(config, "flood_publish"));
  w->opts.peer_exchange = json_is_true(gc_get(config, "peer_exchange"));
  if (gc_get(config, "score_params")) set_scores(w, config);
  gc_list direct = gc_names(w->a, gc_get(config, "direct"));
  for (i = 0; i < direct.n; i++) w->direct[w->opts.n_direct++] = gc_id_of(w->a, &w->ids, direct.s[i]);
  w->opts.direct = w->direct;
  w->opts.extensions.test = json_is_true(gc_get(config, "test_extension"));
  w->partial = gc_get(config, "partial");
  w->opts.extensions.partial = w->partial != NULL;
  w->queue = (size_t)json_integer_value(gc_get(config, "outbound_queue"));
  if (w->queue == 0) w->queue = 32;
  w->limits.control_bytes = (size_t)json_integer_value(gc_get(config, "max_control_message_size"));

  json_array_foreach(gc_get(c, "peers"), i, one) {
    gc_list names = gc_names(w->a, gc_at(one, 0));
    for (size_t k = 0; k < names.n; k++) {
      GC_MUST(w->n_peers < PEERS);
      peer *p = &w->peers[w->n_peers++];
      *p = (peer){ .name = names.s[k], .protocol = json_string_value(gc_at(one, 1)),
                   .out = strcmp(json_string_value(gc_at(one, 2)), "out") == 0 };
      set_address(p, w->n_peers, json_string_value(gc_at(one, 3)));
    }
  }

  msub_engine_opts o;
  msub_engine_opts_init(&o);
  o.world = &ops;
  o.w = w;
  o.routers = &w->plan;
  o.n_routers = 1;
  o.seed = seed;
  o.self_id = gc_id_of(w->a, &w->ids, "self");
  const char *sign = json_string_value(gc_get(config, "policy"));
  GC_MUST(!sign || strcmp(sign, "LaxNoSign") == 0);
  gc_authors = sign != NULL;
  o.sign = sign ? MSUB_LAX_NO_SIGN : MSUB_STRICT_NO_SIGN;
  o.verify = msub_signature_verify;
  o.go_parity = true;
  json_int_t max = json_integer_value(gc_get(config, "max_message_size"));
  if (max) o.max_rpc = o.max_message = (size_t)max;
  msub_now now = now_of(w);
  GC_MUST(msub_shared_new(NULL, entropy, &w->sh) == MSUB_OK);
  GC_MUST(msub_plan_new(w->sh, &msub_gossipsub, &w->opts, &w->plan) == MSUB_OK);
  GC_MUST(msub_engine_new(w->sh, &o, &now, &w->e) == MSUB_OK);
  if (json_is_true(gc_get(config, "validator")))
    GC_MUST(msub_validator(w->e, (msub_topic){ 0 }, validate, NULL) == MSUB_OK);
  score_topics(w, config);
  w->denies = gc_get(config, "peer_filter_denies");
  gc_list allow = gc_names(w->a, gc_get(config, "subscription_allow"));
  GC_MUST(allow.n <= TOPICS);
  for (i = 0; i < allow.n; i++) w->allowed[i] = msub_str(allow.s[i]);
  w->topics_allowed = (msub_topic_list){ w->allowed, allow.n };
  const msub_topic_filter f = { .abi = MSUB_ABI, .size = sizeof f, .name = "control", .allows = msub_topic_list_allows,
                                .max_per_rpc = (uint32_t)json_integer_value(gc_get(config, "subscription_limit")) };
  if (allow.n) GC_MUST(msub_filter_topics(w->e, &f, &w->topics_allowed) == MSUB_OK);
}

/* ---- the script ---- */

static peer *peer_of(node *w, const char *name) {
  for (size_t i = 0; i < w->n_peers; i++)
    if (strcmp(w->peers[i].name, name) == 0) return &w->peers[i];
  gc_fail(__FILE__, __LINE__, "the case has this peer");
}

static topic *topic_of(node *w, const char *name) {
  for (size_t i = 0; i < w->n_topics; i++)
    if (strcmp(w->topics[i].name, name) == 0) return &w->topics[i];
  GC_MUST(w->n_topics < TOPICS);
  w->topics[w->n_topics] = (topic){ .name = name };
  return &w->topics[w->n_topics++];
}

static void receive(node *w, peer *p, const json_t *rpc) {
  msub_bytes frame = gc_frame(w->a, &w->ids, rpc);
  msub_now now = now_of(w);
  msub_rpc_counts n;
  if (frame.n == 0 || !p->connected) return; /* an empty frame is skipped by the stream's reader */
  /* The greatest control part is a constant of the engine; the world reads with the case's. */
  int rc = msub_rpc_scan(frame, &w->limits, &n);
  if (rc == MSUB_OK)
    while ((rc = msub_receive(w->e, p->s, frame, &now)) == MSUB_MORE) {}
  if (rc == MSUB_OK) return;
  tell(w, gc_text(w->a, "reset_inbound %s", p->name));
  GC_MUST(msub_session_inbound_gone(w->e, p->s, &now) == MSUB_OK);
}

/* Of the peer from now on; the engine keeps it while it knows the peer. */
static void set_app(node *w, peer *p, double value) {
  msub_now now = now_of(w);
  msub_gossipsub_app_score a = { gc_id_of(w->a, &w->ids, p->name), value };
  p->app = value;
  if (p->connected) GC_MUST(msub_command(w->e, 0, MSUB_GOSSIPSUB_APP_SCORE, &a, sizeof a, &now) == MSUB_OK);
}

static void open_out(node *w, peer *p) {
  msub_now now = now_of(w);
  msub_session_opts o = { .peer_id = gc_id_of(w->a, &w->ids, p->name), .protocol = p->protocol,
                          .link = (uint64_t)(p - w->peers),
                          .outbound = p->out, .agreed = true, .address = { p->address, p->address_n } };
  GC_MUST(!p->connected && msub_session_up(w->e, &o, &now, &p->s) == MSUB_OK);
  p->connected = true;
  if (p->app < 0 || p->app > 0) set_app(w, p, p->app);
}

static void of_peer(node *w, const char *op, peer *p, const json_t *rpc) {
  msub_now now = now_of(w);
  msub_bytes id = gc_id_of(w->a, &w->ids, p->name);
  if (strcmp(op, "connect") == 0) {
    open_out(w, p);
    GC_MUST(msub_session_inbound(w->e, p->s, &now) == MSUB_OK);
    if (rpc) receive(w, p, rpc);
  } else if (strcmp(op, "rpc") == 0) receive(w, p, rpc);
  else if (strcmp(op, "close_in") == 0) GC_MUST(msub_session_inbound_gone(w->e, p->s, &now) == MSUB_OK);
  else if (strcmp(op, "app_score") == 0) set_app(w, p, json_number_value(rpc));
  else if (strcmp(op, "block") == 0) p->blocked = true;
  else if (strcmp(op, "unblock") == 0) unblock(w, p);
  else if (strcmp(op, "direct_add") == 0)
    GC_MUST(msub_command(w->e, 0, MSUB_GOSSIPSUB_ADD_DIRECT, id.p, id.n, &now) == MSUB_OK);
  else if (strcmp(op, "direct_remove") == 0)
    GC_MUST(msub_command(w->e, 0, MSUB_GOSSIPSUB_REMOVE_DIRECT, id.p, id.n, &now) == MSUB_OK);
  else {
    GC_MUST(strcmp(op, "disconnect") == 0);
    GC_MUST(msub_session_down(w->e, p->s, &now) == MSUB_OK);
    peer gone = { .name = p->name, .protocol = p->protocol, .out = p->out, .app = p->app, .address_n = p->address_n };
    memcpy(gone.address, p->address, sizeof gone.address);
    *p = gone;
  }
}

static void open_topic(node *w, topic *t) {
  msub_now now = now_of(w);
  if (t->members || t->open) return;
  GC_MUST(msub_open(w->e, 0, msub_str(t->name), policy_of(w, t->name), w, &now, &t->h) == MSUB_OK);
  t->open = true;
}

static void publish(node *w, topic *t, const json_t *step) {
  msub_now now = now_of(w);
  const char *id = json_string_value(gc_at(step, 3));
  size_t n = (size_t)json_integer_value(gc_at(step, 4)), have = strlen(id);
  uint8_t *data = gc_alloc(w->a, n > have ? n : have);
  memcpy(data, id, have);
  open_topic(w, t);
  w->own_rejected = NULL;
  int rc = msub_publish(w->e, t->h, (msub_bytes){ data, n > have ? n : have }, &now, NULL);
  const char *why = w->own_rejected ? w->own_rejected : msub_err_name(rc);
  if (rc != MSUB_OK) tell(w, gc_text(w->a, "publish_error %s %s", id, why));
}

static void of_topic(node *w, const char *op, topic *t, const json_t *step) {
  msub_now now = now_of(w);
  bool relays = strcmp(op, "relay") == 0;
  if (relays || strcmp(op, "join") == 0) {
    GC_MUST((relays ? msub_relay : msub_join)(w->e, 0, msub_str(t->name), policy_of(w, t->name), w, &now, &t->h) == MSUB_OK);
    t->members++;
  } else if (strcmp(op, "unrelay") == 0 || strcmp(op, "leave") == 0) {
    GC_MUST((strcmp(op, "leave") == 0 ? msub_leave : msub_unrelay)(w->e, t->h, &now) == MSUB_OK);
    t->members--;
  } else {
    GC_MUST(strcmp(op, "publish") == 0);
    publish(w, t, step);
  }
}

/* ---- samples ---- */

static void append(json_t *list, const char *text) { (void)json_array_append_new(list, json_string(text)); }

static void put_peer(node *w, json_t *lists, const char *topic_name, msub_peer p) {
  json_t *l = gc_get(lists, topic_name);
  if (!l) (void)json_object_set_new(lists, topic_name, l = json_array());
  append(l, peer_name(w, p));
}

static void sample_topic(node *w, json_t *state, const msub__topic *t) {
  json_t *mesh = gc_get(state, "mesh"), *fanout = gc_get(state, "fanout"), *backoff = gc_get(state, "backoff");
  const char *name = id_text(w, msub_name_bytes(w->sh, t->name));
  msub_peer_state s[2 * PEERS];
  size_t n = msub_snapshot(w->e, t->handle, s, 2 * PEERS);
  GC_MUST(n <= 2 * PEERS);
  if (t->joins) (void)json_object_set_new(mesh, name, json_array());
  for (size_t i = 0; i < n; i++) {
    if (s[i].roles & MSUB_ROLE_MESH) put_peer(w, mesh, name, s[i].peer);
    if (s[i].roles & MSUB_ROLE_FANOUT) put_peer(w, fanout, name, s[i].peer);
    if (s[i].roles & MSUB_ROLE_BACKOFF)
      append(backoff, gc_text(w->a, "%s %" PRId64 " %s", name, ms_of(s[i].backoff_ns), peer_name(w, s[i].peer)));
  }
  for (size_t i = 0; i < msub_topic_peers(w->e, t->handle); i++)
    put_peer(w, gc_get(state, "topics"), name, msub_topic_peer(w->e, t->handle, i));
}

static size_t unwanted_of(const node *w, const peer *p) {
  msub_router *r = w->e->routers[0].handles;
  size_t n = 0;
  const msub__gs_session *ss = p->connected ? msub__gs_session_of(r, p->s) : NULL;
  for (size_t i = 0; ss && i < w->unwanted.n; i++) n += msub__gs_unwanted(r, p->s, ss, msub_str(w->unwanted.s[i]));
  return n;
}

typedef struct scores { node *w; json_t *out; } scores;
static void put_score(void *ud, msub_bytes id, const msub_peer_score *s) {
  scores *all = ud;
  if (s->score < 0 || s->score > 0) (void)json_object_set_new(all->out, gc_name_of(all->w->a, &all->w->ids, id), json_real(s->score));
}

static void sample(node *w) {
  json_t *state =
      json_pack("{s:{},s:{},s:[],s:{},s:{},s:{}}", "mesh", "fanout", "backoff", "topics", "unwanted", "score");
  const msub__router *r = &w->e->routers[0];
  for (size_t i = 0; i < w->n_topics; i++) open_topic(w, &w->topics[i]); /* its backoffs outlive it, but cannot be asked for then */
  for (uint32_t i = 0; i < r->n_topics; i++)
    if (r->topics[i].t) sample_topic(w, state, r->topics[i].t);
  for (size_t i = 0; i < w->n_peers; i++) {
    size_t n = unwanted_of(w, &w->peers[i]);
    if (n) (void)json_object_set_new(gc_get(state, "unwanted"), w->peers[i].name, json_integer((json_int_t)n));
  }
  scores all = { w, gc_get(state, "score") };
  msub_gossipsub_inspect inspect = { put_score, &all };
  msub_now now = now_of(w);
  if (w->opts.score) GC_MUST(msub_command(w->e, 0, MSUB_GOSSIPSUB_INSPECT, &inspect, sizeof inspect, &now) == MSUB_OK);
  gc_instant *at = instant(w);
  GC_MUST(!at->state);
  at->state = state;
}

/* What the mesh of every topic and the fanout are now. */
static void watch(node *w) {
  const msub__router *r = &w->e->routers[0];
  if (!w->watched) return;
  json_t *mesh = json_object(), *fanout = json_object();
  for (uint32_t i = 0; i < r->n_topics; i++) {
    const msub__topic *t = r->topics[i].t;
    msub_peer_state s[2 * PEERS];
    if (!t) continue;
    const char *name = id_text(w, msub_name_bytes(w->sh, t->name));
    size_t n = msub_snapshot(w->e, t->handle, s, 2 * PEERS);
    if (t->joins) (void)json_object_set_new(mesh, name, json_array());
    for (size_t k = 0; k < n; k++) {
      if (s[k].roles & MSUB_ROLE_MESH) put_peer(w, mesh, name, s[k].peer);
      if (s[k].roles & MSUB_ROLE_FANOUT) put_peer(w, fanout, name, s[k].peer);
    }
  }
  gc_instant *at = instant(w);
  json_decref(at->peers);
  at->peers = json_pack("{s:o,s:o}", "mesh", mesh, "fanout", fanout);
}

static void note_unwanted(node *w, const json_t *script) {
  json_t *step, *entry;
  size_t i, k;
  json_array_foreach(script, i, step)
    json_array_foreach(gc_get(gc_at(step, 3), "idontwant"), k, entry) {
      gc_list ids = gc_names(w->a, entry);
      for (size_t n = 0; n < ids.n; n++)
        if (!gc_has(&w->unwanted, ids.s[n])) gc_add(w->a, &w->unwanted, ids.s[n]);
    }
}

/* ---- time ---- */

/* What the engine itself does, up to and including `until`. */
static void advance(node *w, int64_t until) {
  uint64_t at, end = BASE_NS + (uint64_t)until * MSUB__MS;
  while ((at = msub_next_deadline(w->e)) <= end) {
    int64_t t = ms_of(at);
    GC_MUST(at == BASE_NS + (uint64_t)t * MSUB__MS && t >= w->t);
    w->t = t;
    msub_now now = now_of(w);
    GC_MUST(msub_advance(w->e, &now) == MSUB_OK);
    watch(w);
  }
  w->t = until;
}

static void run_step(node *w, const json_t *step) {
  static const char *const topic_ops[] = { "join", "leave", "relay", "unrelay", "publish" };
  const char *op = json_string_value(gc_at(step, 1));
  const json_t *what = gc_at(step, 2);
  if (strcmp(op, "state") == 0) {
    sample(w);
    return;
  }
  for (size_t i = 0; i < sizeof topic_ops / sizeof *topic_ops; i++)
    if (strcmp(op, topic_ops[i]) == 0) {
      of_topic(w, op, topic_of(w, json_string_value(what)), step);
      return;
    }
  gc_list names = gc_names(w->a, what);
  for (size_t i = 0; i < names.n; i++) of_peer(w, op, peer_of(w, names.s[i]), gc_at(step, 3));
}

static void replay(const json_t *c, uint64_t seed, bool watched, gc_run *out) {
  *out = (gc_run){ .n = 0 };
  node *w = calloc(1, sizeof *w);
  GC_MUST(w);
  w->run = out;
  w->a = &out->arena;
  w->watched = watched;
  set_up(w, c, seed);
  note_unwanted(w, gc_get(c, "script"));
  json_t *step;
  size_t i;
  json_array_foreach(gc_get(c, "script"), i, step) {
    advance(w, json_integer_value(gc_at(step, 0)));
    run_step(w, step);
    watch(w);
  }
  advance(w, json_integer_value(gc_get(c, "end")));
  GC_MUST(msub_engine_free(w->e) == MSUB_OK && msub_shared_free(w->sh) == MSUB_OK);
  free(w);
}

void gc_replay(const json_t *c, uint64_t seed, gc_run *out) { replay(c, seed, false, out); }
void gc_watch(const json_t *c, uint64_t seed, gc_run *out) { replay(c, seed, true, out); }

void gc_run_free(gc_run *r) {
  for (size_t i = 0; i < r->n; i++) {
    json_decref(r->at[i].state);
    json_decref(r->at[i].peers);
  }
  gc_free(&r->arena);
  *r = (gc_run){ .n = 0 };
}
