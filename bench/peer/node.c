#include "bench/peer/peer.h"
#include <meshsub/crypto.h>
#include <stdlib.h>
#include <string.h>

#define DIALS_AT_ONCE 16

/* ---- message ids of anonymous topics ---- */

static size_t id_header16(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  msub_bytes data = msub_data(m);
  size_t n = data.n < 16 ? data.n : 16;
  if (n) memcpy(out, data.p, n);
  return n;
}

static size_t id_sha256_20(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  uint8_t digest[32];
  msub_sha256(msub_data(m), digest);
  memcpy(out, digest, 20);
  return 20;
}

static const msub_channel_policy header16 = {
  .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "header16", .message_id = id_header16
};
static const msub_channel_policy sha256_20 = {
  .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "sha256_20", .message_id = id_sha256_20
};

/* ---- cfg ---- */

static const char *config_policy(config *c, const json_t *q) {
  const char *policy = text_of(q, "policy", flag_of(q, "signed", false) ? "strict_sign" : "strict_no_sign");
  const char *msgid = text_of(q, "msgid", "header16");
  static const struct { const char *name; msub_sign_policy sign; } policies[] = {
    { "strict_sign", MSUB_STRICT_SIGN }, { "strict_no_sign", MSUB_STRICT_NO_SIGN }, { "lax_sign", MSUB_LAX_SIGN },
    { "lax_no_sign", MSUB_LAX_NO_SIGN }, { "strict_no_sign_author", MSUB_STRICT_NO_SIGN_AUTHOR },
    { "go_no_sign", MSUB_STRICT_NO_SIGN_AUTHOR }, /* the same, as the peer protocol says it */
  };
  size_t k = 0;
  while (k < sizeof policies / sizeof *policies && strcmp(policy, policies[k].name) != 0) k++;
  if (k == sizeof policies / sizeof *policies)
    return "policy: strict_sign, strict_no_sign, strict_no_sign_author (go_no_sign), lax_sign and lax_no_sign are supported";
  c->sign = policies[k].sign;
  if (strcmp(msgid, "header16") == 0)
    c->policy = &header16;
  else if (strcmp(msgid, "sha256_20") == 0)
    c->policy = &sha256_20;
  else
    return "msgid: header16 and sha256_20 are supported";
  if (c->sign != MSUB_STRICT_NO_SIGN) c->policy = NULL;
  return NULL;
}

const char *node_config(config *c, const json_t *q) {
  *c = (config){ .listen = "/ip4/127.0.0.1/tcp/0", .transport = text_of(q, "transport", NULL) };
  const char *why = config_policy(c, q);
  if (why) return why;
  static const char *const types[] = { "rsa", "ed25519", "secp256k1", "ecdsa" }; /* in the order of msub_key_type */
  size_t type = 0;
  while (type < sizeof types / sizeof *types && strcmp(text_of(q, "key_type", "ed25519"), types[type]) != 0) type++;
  if (type == sizeof types / sizeof *types) return "key_type: ed25519, secp256k1, ecdsa and rsa are made";
  c->key_type = (msub_key_type)type;
  if (json_object_get(q, "listen")) c->listen = text_of(q, "listen", NULL);
  c->key_hex = text_of(q, "key", NULL);
  c->queue = number_of(q, "queue", 4096);
  c->max_message = number_of(q, "max_msg", 1u << 20);
  c->nodes = number_of(q, "nodes", 1);
  c->threads = number_of(q, "threads", 0);
  c->inbox = number_of(q, "inbox", 4096);
  c->seen_ns = number_of(q, "seen_ms", 120000) * 1000000;
  c->rpc_log = number_of(q, "rpc_log", 0);
  c->mdns = flag_of(q, "mdns", false);
  c->trace_files = json_object_get(q, "trace_files");
  c->trace = flag_of(q, "trace", false) || c->rpc_log || c->trace_files;
  if (c->queue < 1 || c->queue > 1u << 20) return "queue: 1 to 1048576";
  if (c->max_message < 4096 || c->max_message > 16u << 20) return "max_msg: 4096 to 16777216";
  if (c->nodes < 1 || c->nodes > 10000) return "nodes: 1 to 10000";
  if (c->threads > 64) return "threads: at most 64";
  if (c->inbox > 1u << 20) return "inbox: at most 1048576";
  if (c->rpc_log > 1u << 20) return "rpc_log: at most 1048576";
  if (c->key_hex && c->nodes > 1) return "key: one key cannot serve several nodes";
  json_t *protocols = json_object_get(q, "protocols"), *each;
  size_t i;
  if (!json_array_size(protocols)) return NULL;
  c->protocols = take((json_array_size(protocols) + 1) * sizeof *c->protocols);
  json_array_foreach(protocols, i, each) {
    if (!json_is_string(each)) return "protocols: not a list of texts";
    c->protocols[i] = json_string_value(each);
  }
  return NULL;
}

/* ---- callbacks ---- */

static bool delivered(void *ud, msub_host *h, msub_topic t, const msub_msg *m, msub_bytes from) {
  peer *p = ((peer_node *)ud)->peer;
  (void)h;
  if (t.v == p->counted.v) counter_add(&p->counter, msub_data(m));
  inbox_add(&p->inbox, m, from);
  return true;
}

/* Of further nodes: an application that only reads. */
static bool ignored(void *ud, msub_host *h, msub_topic t, const msub_msg *m, msub_bytes from) {
  (void)ud, (void)h, (void)t, (void)m, (void)from;
  return true;
}

static void published(void *ud, msub_host *h, msub_token ticket, int err, uint32_t recipients) {
  (void)h, (void)ticket;
  if (err == MSUB_OK) ((peer_node *)ud)->peer->recipients = recipients;
}

static void traced(void *ud, msub_host *h, const msub_event *ev) {
  trace_event(&((peer_node *)ud)->peer->trace, h, ev);
}

static void happened(void *ud, msub_host *h, const msub_host_event *ev) {
  peer_node *n = ud;
  dial *d = &n->peer->dial;
  if (n == &n->peer->nodes[0]) ipns_event(n->peer->ipns.x, h, ev);
  bool failed = ev->kind == MSUB_EV_DIAL_FAILED;
  if (!n->dialling || ev->cookie != d->cookie || (!failed && ev->kind != MSUB_EV_CONNECTED)) return;
  n->dialling = false;
  d->in_flight--;
  if (failed && !*d->error)
    snprintf(d->error, sizeof d->error, "%s", ev->text && *ev->text ? ev->text : msub_err_text(ev->err));
}

static void log_line(void *ud, msub_log_level level, const char *module, const char *line) {
  (void)ud, (void)level;
  fprintf(stderr, PROGRAM ": %s: %s\n", module, line);
}

/* ---- starting ---- */

static const char *make_key(peer_node *n, const config *c) {
  if (!c->key_hex) return msub_key_generate_type(c->key_type, 0, &n->key) == MSUB_OK ? NULL : "no key can be made";
  uint8_t *bytes;
  size_t len;
  if (!read_hex(c->key_hex, &bytes, &len)) return "key: not hex";
  int err = msub_key_import((msub_bytes){ bytes, len }, &n->key);
  explicit_bzero(bytes, len);
  free(bytes);
  return err == MSUB_OK ? NULL : "key: no libp2p private key that can sign here";
}

/* Nothing below `queue` messages may be lost, whatever they are; and everybody here is 127.0.0.1. */
static void set_limits(msub_host_opts *o, const config *c) {
  size_t bytes = c->queue * 4096;
  for (int i = 0; i < MSUB_LANES; i++)
    if (o->lane_bytes[i] < bytes) o->lane_bytes[i] = bytes;
  if (o->engine.pending_messages < c->queue) o->engine.pending_messages = (uint32_t)c->queue;
  if (o->engine.pending_bytes < bytes) o->engine.pending_bytes = bytes;
  if (o->verify_queue < c->queue) o->verify_queue = c->queue;
  o->engine.max_rpc = c->max_message;
  o->engine.max_message = c->max_message - 8;
  o->engine.seen_ttl_ns = c->seen_ns;
  o->max_inbound = o->max_outbound = o->max_pending_inbound = o->max_per_ip = o->max_per_net = o->max_dials =
      100000;
  o->count_loopback = false;
}

static const char *check_protocols(const peer_node *n, const config *c) {
  for (size_t i = 0; c->protocols && c->protocols[i]; i++)
    if (!router_speaks(n, c->protocols[i])) return "protocols: the router does not speak one of them";
  return NULL;
}

static const char *start_one(peer_node *n, const config *c, bool first) {
  const char *why = make_key(n, c);
  if (why) return why;
  msub_host_opts o;
  msub_host_opts_init(&o);
  set_limits(&o, c);
  o.key = n->key;
  o.ud = n;
  if (c->transport) o.transport = c->transport;
  o.protocols = c->protocols;
  o.routers = n->peer->router.ops;
  o.router_opts = n->peer->router.opts;
  if (first && n->peer->trace.on) o.on_trace = traced;
  if (first) o.mdns.on = c->mdns;
  if (first) o.discovery = n->peer->discovery;
  o.engine.sign = c->sign;
  o.verify_threads = (unsigned)c->threads;
  o.on_message = first ? delivered : ignored;
  o.on_event = happened;
  o.on_result = published;
  o.log = (msub_log){ .fn = log_line, .level = getenv("MESHSUB_DEBUG") ? MSUB_LOG_DEBUG : MSUB_LOG_ERROR };
  int err = msub_host_new(&o, &n->host, &why);
  if (err != MSUB_OK) return why ? why : msub_err_text(err);
  why = check_protocols(n, c);
  if (!why && first) why = rendezvous_start(&n->peer->rendezvous, n->host);
  if (!why && c->listen && (err = msub_host_listen(n->host, c->listen, &why)) != MSUB_OK)
    return why ? why : msub_err_text(err);
  const router_config *r = &n->peer->router;
  for (size_t i = 0; !why && i < r->n_direct; i++)
    if (msub_host_keep(n->host, r->direct_addrs[i]) != MSUB_OK)
      why = "direct: an address that cannot be dialled";
  return why ? why : score_topics(&r->score, n->host);
}

const char *nodes_start(peer *p, const config *c) {
  p->nodes = take(c->nodes * sizeof *p->nodes);
  p->policy = partial_policy(&p->partials, c->policy);
  p->max_message = c->max_message;
  p->inbox.limit = c->inbox;
  p->trace.on = c->trace;
  p->trace.limit = c->rpc_log;
  const char *bad = c->trace_files ? trace_open(&p->trace, c->trace_files) : NULL;
  if (bad) return bad;
  for (size_t i = 0; i < c->nodes; i++) {
    peer_node *n = &p->nodes[p->n_nodes++];
    n->peer = p;
    const char *why = start_one(n, c, i == 0);
    if (why) return why;
  }
  return NULL;
}

void nodes_stop(peer *p) {
  if (p->n_nodes && p->nodes[0].host)
    inbox_clear(&p->inbox, msub_engine_shared(msub_host_engine(p->nodes[0].host)));
  ipns_stop(p);
  registers_stop(p);
  for (size_t i = 0; i < p->n_nodes; i++) {
    peer_node *n = &p->nodes[i];
    if (i == 0 && n->host && p->discovery.ops) { /* in order: it takes its registrations back */
      msub_host_stop(n->host);
      (void)msub_host_run(n->host);
    }
    msub_host_free(n->host);
    msub_key_free(n->key);
    for (size_t k = 0; k < n->n_topics; k++) free(n->topics[k].name);
    free(n->topics);
  }
  free(p->nodes);
  p->nodes = NULL;
  p->n_nodes = 0;
  rendezvous_clear(&p->rendezvous);
  p->discovery = (msub_discovery){ 0 };
  router_clear(&p->router);
  trace_clear(&p->trace);
  partial_clear(&p->partials);
  p->counted.v = 0;
}

/* ---- topics ---- */

static membership *find(const peer_node *n, const char *name) {
  for (size_t i = 0; i < n->n_topics; i++)
    if (strcmp(n->topics[i].name, name) == 0) return &n->topics[i];
  return NULL;
}

const membership *node_topic(const peer *p, const char *name) { return find(&p->nodes[0], name); }

const char *nodes_subscribe(peer *p, const char *topic) {
  for (size_t i = 0; i < p->n_nodes; i++) {
    peer_node *n = &p->nodes[i];
    if (find(n, topic)) continue;
    msub_topic t;
    int err =
        msub_join(msub_host_engine(n->host), 0, msub_str(topic), p->policy, p, msub_host_now(n->host), &t);
    if (err != MSUB_OK) return msub_err_text(err);
    n->topics = grow(n->topics, n->n_topics + 1, sizeof *n->topics);
    n->topics[n->n_topics++] = (membership){ strdup(topic), t };
    if (i == 0 && strcmp(topic, p->topics[0]) == 0) p->counted = t;
  }
  return NULL;
}

const char *nodes_unsubscribe(peer *p, const char *topic) {
  for (size_t i = 0; i < p->n_nodes; i++) {
    peer_node *n = &p->nodes[i];
    membership *m = find(n, topic);
    if (!m) return "not subscribed";
    int err = msub_leave(msub_host_engine(n->host), m->t, msub_host_now(n->host));
    if (err != MSUB_OK) return msub_err_text(err);
    if (m->t.v == p->counted.v && i == 0) p->counted.v = 0;
    free(m->name);
    *m = n->topics[--n->n_topics];
  }
  return NULL;
}

/* ---- dialling ---- */

const char *dial_begin(peer *p, const char *addr) {
  dial *d = &p->dial;
  if (!addr) return "addr is missing";
  *d = (dial){ .running = true, .addr = strdup(addr), .cookie = d->cookie + 1 };
  return NULL;
}

bool dial_work(peer *p) {
  dial *d = &p->dial;
  if (!d->running) return false;
  while (d->next < p->n_nodes && d->in_flight < DIALS_AT_ONCE) {
    peer_node *n = &p->nodes[d->next++];
    n->dialling = true;
    d->in_flight++;
    int err = msub_host_dial(n->host, d->addr, d->cookie);
    if (err == MSUB_OK) continue;
    n->dialling = false;
    d->in_flight--;
    if (!*d->error) snprintf(d->error, sizeof d->error, "%s", msub_err_text(err));
  }
  if (d->in_flight || d->next < p->n_nodes) return false;
  free(d->addr);
  d->addr = NULL;
  d->running = false;
  return true;
}
