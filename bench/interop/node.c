#include "bench/interop/interop.h"
#include <arpa/inet.h>
#include <meshsub/rpc.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_RPC (10u << 20)
#define LANE (256u << 20)
#define CONNECT_NS 15000000000u
#define AGAIN_NS 200000000u /* between two tries: all nodes start at once, and one may not listen yet */

/* ---- the log ---- */

/* The time's form is the one that Python's fromisoformat() takes; no space after a colon, because lines are searched for as text. */
void node_log(const char *msg, json_t *fields) {
  char when[64];
  struct timespec now;
  struct tm parts;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &parts);
  size_t n = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(when + n, sizeof when - n, ".%09ldZ", now.tv_nsec);
  json_t *j = fields ? fields : json_object();
  json_object_set_new(j, "time", json_string(when));
  json_object_set_new(j, "msg", json_string(msg));
  json_dumpf(j, stdout, JSON_COMPACT);
  fputc('\n', stdout);
  json_decref(j);
}

static uint64_t get_u64(const uint8_t *p) {
  uint64_t v = 0;
  for (unsigned i = 0; i < 8; i++) v = v << 8 | p[i];
  return v;
}

/* Every arrival, copies too, before anything is judged. */
static void arrived(void *ud, msub_host *h, const msub_event *ev) {
  (void)ud;
  if (ev->kind != MSUB_T_RECV_RPC || !ev->frame.n || msub_rpc_scan(ev->frame, NULL, &(msub_rpc_counts){ 0 }) != MSUB_OK) return;
  msub_rpc_iter it;
  msub_rpc_part part;
  msub_rpc_begin(&it, ev->frame);
  for (msub_part kind; (kind = msub_rpc_next(&it, &part)) != MSUB_P_END;) {
    if (kind != MSUB_P_MESSAGE || part.msg.data.n < 8) continue;
    char id[24];
    snprintf(id, sizeof id, "%llu", (unsigned long long)get_u64(part.msg.data.p));
    json_t *j = json_object();
    json_object_set_new(j, "id", json_string(id));
    json_object_set_new(j, "from", json_peer(msub_peer_bytes(msub_engine_shared(msub_host_engine(h)), ev->peer)));
    json_object_set_new(j, "topic", json_stringn((const char *)part.msg.topic.p, part.msg.topic.n));
    node_log("Received Message", j);
  }
}

static void whole(peer *p, uint64_t group) {
  (void)p;
  json_t *j = json_object();
  json_object_set_new(j, "group", json_integer((json_int_t)group));
  node_log("All parts received", j);
}

/* ---- policy: ids, and the delay ---- */

static size_t first8(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  msub_bytes data = msub_data(m);
  size_t n = data.n < 8 ? data.n : 8;
  if (n) memcpy(out, data.p, n);
  return n;
}

static topic_state *state_of(interop *x, msub_topic t) {
  for (size_t i = 0; i < x->n_topics; i++)
    if (x->topics[i].t.v == t.v) return &x->topics[i];
  return NULL;
}

static msub_verdict delay(const msub_channel *c, const msub_msg *m, msub_session from, msub_token t) {
  (void)m, (void)from;
  interop *x = c->ctx;
  const topic_state *s = state_of(x, c->topic);
  if (!s || !s->delay_ns) return MSUB_ACCEPT;
  x->held = grow(x->held, x->n_held + 1, sizeof *x->held);
  x->held[x->n_held++] = (held){ t, mono_ns() + s->delay_ns };
  return MSUB_DEFER;
}

static void given_up(const msub_channel *c, msub_token t, int why) {
  interop *x = c->ctx;
  (void)why;
  for (size_t i = 0; i < x->n_held; i++)
    if (x->held[i].t.v == t.v) x->held[i--] = x->held[--x->n_held];
}

static const msub_channel_policy plain = { .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "interop", .message_id = first8,
                                           .admit = delay, .released = given_up, .defer_bytes = LANE };

/* Judges what has waited long enough; returns when the next one will have. */
static uint64_t release(interop *x) {
  uint64_t now = mono_ns(), next = MSUB_NEVER;
  for (size_t i = 0; i < x->n_held;) {
    if (x->held[i].due > now) {
      if (x->held[i].due < next) next = x->held[i].due;
      i++;
      continue;
    }
    msub_token t = x->held[i].t;
    x->held[i] = x->held[--x->n_held];
    (void)msub_complete(msub_host_engine(x->self.host), t, MSUB_ACCEPT, msub_host_now(x->self.host));
    i = 0; /* what that began may have changed the list */
  }
  return next;
}

/* ---- the host ---- */

msub_key *node_key(uint64_t number) {
  uint8_t seed[32] = { 0 };
  msub_key *k = NULL;
  for (unsigned i = 0; i < 8; i++) seed[i] = (uint8_t)(number >> 8 * i);
  return msub_key_from_seed(seed, &k) == MSUB_OK ? k : NULL;
}

static bool delivered(void *ud, msub_host *h, msub_topic t, const msub_msg *m, msub_bytes from) {
  (void)ud, (void)h, (void)t, (void)m, (void)from;
  return true;
}

static void happened(void *ud, msub_host *h, const msub_host_event *ev) {
  interop *x = ud;
  (void)h;
  if (ev->cookie == 0) return;
  if (ev->kind == MSUB_EV_DIAL_FAILED) x->failed++;
  if (ev->kind == MSUB_EV_DIAL_FAILED || ev->kind == MSUB_EV_CONNECTED) x->dials++;
}

static void log_line(void *ud, msub_log_level level, const char *module, const char *line) {
  (void)ud, (void)level;
  fprintf(stderr, PROGRAM ": %s: %s\n", module, line);
}

const char *node_start(interop *x, const msub_gossipsub_opts *o) {
  static const msub_router_ops *routers[] = { &msub_gossipsub, NULL };
  const void *opts[] = { o, NULL };
  const char *why = NULL;
  msub_host_opts h;
  msub_host_opts_init(&h);
  h.key = x->self.key;
  h.routers = routers;
  h.router_opts = opts;
  h.engine.sign = MSUB_STRICT_NO_SIGN;
  h.engine.max_rpc = MAX_RPC;
  h.engine.max_message = MAX_RPC - 8;
  for (int i = 0; i < MSUB_LANES; i++) h.lane_bytes[i] = LANE;
  /* An experiment's nodes may share an address; and nothing is to be trimmed. */
  h.max_inbound = h.max_outbound = h.max_pending_inbound = h.max_per_ip = h.max_per_net = h.max_dials = 100000;
  h.high_water = h.low_water = 0;
  h.ud = x;
  h.on_message = delivered;
  h.on_event = happened;
  h.on_trace = arrived;
  h.log = (msub_log){ .fn = log_line, .level = MSUB_LOG_ERROR };
  int err = msub_host_new(&h, &x->self.host, &why);
  if (err != MSUB_OK) return why ? why : msub_err_text(err);
  char at[40];
  snprintf(at, sizeof at, "/ip4/0.0.0.0/tcp/%d", INTEROP_PORT);
  err = msub_host_listen(x->self.host, at, &why);
  if (err != MSUB_OK) return why ? why : msub_err_text(err);
  static char none[1], *no_topics[] = { none }; /* requests of parts name theirs */
  x->p.topics = no_topics;
  x->p.nodes = &x->self;
  x->p.n_nodes = 1;
  x->p.partials.whole = whole;
  x->p.policy = partial_policy(&x->p.partials, &plain);
  return NULL;
}

void node_stop(interop *x) {
  msub_host_free(x->self.host);
  msub_key_free(x->self.key);
  for (size_t i = 0; i < x->n_topics; i++) free(x->topics[i].name);
  free(x->held);
  partial_clear(&x->p.partials);
}

/* One sleep and what is due then. */
static void step(interop *x, uint64_t until) {
  struct pollfd fd = { 0 };
  uint64_t next = release(x);
  wait_and_turn(x->self.host, &fd, 1, next < until ? next : until);
  fflush(stdout);
}

void node_run(interop *x, uint64_t until) {
  while (mono_ns() < until) step(x, until);
}

/* ---- connections ---- */

static const char *address(uint64_t number, char out[160]) {
  char name[32], ip[INET_ADDRSTRLEN];
  struct addrinfo *found = NULL, hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
  snprintf(name, sizeof name, "node%llu", (unsigned long long)number);
  if (getaddrinfo(name, NULL, &hints, &found) != 0 || !found) return "connect: a node's name is not known";
  inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr, ip, sizeof ip);
  freeaddrinfo(found);
  msub_key *k = node_key(number);
  if (!k) return "no memory";
  snprintf(out, 160, "/ip4/%s/tcp/%d/p2p/%s", ip, INTEROP_PORT, peer_text(msub_key_peer_id(k)));
  msub_key_free(k);
  return NULL;
}

const char *node_connect(interop *x, uint64_t number) {
  char at[160];
  uint64_t end = mono_ns() + CONNECT_NS;
  const char *why = address(number, at);
  while (!why) {
    unsigned ended = x->dials, failed = x->failed;
    int err = msub_host_dial(x->self.host, at, number + 1);
    if (err != MSUB_OK) return msub_err_text(err);
    while (x->dials == ended && mono_ns() < end) step(x, end);
    if (x->dials != ended && x->failed == failed) return NULL;
    if (mono_ns() + AGAIN_NS >= end) why = "connect: a node cannot be reached";
    node_run(x, mono_ns() + AGAIN_NS);
  }
  return why;
}

/* ---- topics ---- */

topic_state *node_topic_state(interop *x, const char *name) {
  for (size_t i = 0; i < x->n_topics; i++)
    if (strcmp(x->topics[i].name, name) == 0) return &x->topics[i];
  if (x->n_topics == INTEROP_TOPICS) return NULL;
  topic_state *s = &x->topics[x->n_topics++];
  *s = (topic_state){ .name = strdup(name), .of = x };
  return s;
}

const char *node_subscribe(interop *x, const char *topic, bool partial) {
  topic_state *s = node_topic_state(x, topic);
  if (!s) return "too many topics";
  if (s->joined) return NULL;
  int err = msub_join(msub_host_engine(x->self.host), 0, msub_str(topic), partial ? x->p.policy : &plain, x, msub_host_now(x->self.host), &s->t);
  s->joined = err == MSUB_OK;
  return s->joined ? NULL : msub_err_text(err);
}

const char *node_publish(interop *x, const char *topic, uint64_t id, size_t size) {
  topic_state *s = node_topic_state(x, topic);
  if (!s) return "too many topics";
  if (size < 8 || size > MAX_RPC - 1024) return "publish: messageSizeBytes: 8 to 10484736";
  if (!s->joined && !s->open) { /* a fanout publish */
    int err = msub_open(msub_host_engine(x->self.host), 0, msub_str(topic), &plain, x, msub_host_now(x->self.host), &s->t);
    if (err != MSUB_OK) return msub_err_text(err);
    s->open = true;
  }
  uint8_t *data = take(size);
  memset(data, 0, size);
  for (unsigned i = 0; i < 8; i++) data[i] = (uint8_t)(id >> 8 * (7 - i));
  int err = msub_publish(msub_host_engine(x->self.host), s->t, (msub_bytes){ data, size }, msub_host_now(x->self.host), NULL);
  free(data);
  return err == MSUB_OK ? NULL : msub_err_text(err);
}

/* ---- what partial.c asks of the program around it ---- */

const membership *node_topic(const peer *p, const char *name) {
  static membership m;
  const interop *x = (const interop *)(const void *)p;
  for (size_t i = 0; i < x->n_topics; i++)
    if (x->topics[i].joined && strcmp(x->topics[i].name, name) == 0) {
      m = (membership){ x->topics[i].name, x->topics[i].t };
      return &m;
    }
  return NULL;
}
const char *text_of(const json_t *q, const char *name, const char *otherwise) {
  const char *v = json_string_value(json_object_get(q, name));
  return v ? v : otherwise;
}
uint64_t number_of(const json_t *q, const char *name, uint64_t otherwise) {
  const json_t *v = json_object_get(q, name);
  return json_is_number(v) && json_number_value(v) >= 0 ? (uint64_t)json_number_value(v) : otherwise;
}
bool flag_of(const json_t *q, const char *name, bool otherwise) {
  const json_t *v = json_object_get(q, name);
  return v && !json_is_null(v) ? json_is_true(v) : otherwise;
}
