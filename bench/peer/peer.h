/* meshsub-peer: one node (or several) driven by JSON lines on stdin and stdout, for benchmarks and interop
 * tests.
 *
 *   main.c      the loop          requests.c  what the driver asks
 *   node.c      hosts, topics, dialling       router.c    the router's cfg, mesh, direct peers, raw control
 *   trace.c     RPCs counted and written down     state.c     what is inside, as JSON
 *   counter.c   messages counted, credit sent     credit.c    credit received
 *   publish.c   closed and open loop              inbox.c     messages kept until asked for
 *   partial.c   partial messages                score.c     parameters of scores, and what they come to
 *   rendezvous.c  peers found through a point, and being one
 *   ipns.c      IPNS names over pubsub         registers.c  last writer wins, on a protocol of its own
 *
 * The protocol is described in docs/benchmarks.md. All of it runs on one thread, in one poll loop. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H
#include "cli/loop.h"
#include "cli/options.h"
#include "cli/text.h"
#include <meshsub/crypto.h>
#include <meshsub/gossipsub.h>
#include <meshsub/lww.h>
#include <meshsub/names.h>
#include <meshsub/partial.h>
#include <meshsub/randomsub.h>
#include <meshsub/rendezvous.h>
#include <meshsub/trace_file.h>
#include <sys/types.h>

#define PROGRAM "meshsub-peer"
#define PAYLOAD_HEADER 16 /* seed, message number (u32), time stamp (u64), big endian */
#define CREDIT_RECORD 16  /* seed, cumulative count: little-endian u64 */

typedef struct peer peer;

/* ---- counter.c: what was delivered ---- */
typedef struct counter {
  size_t size; /* of a counted payload; SIZE_MAX: none yet */
  uint8_t seed_bytes[4];
  uint32_t seed;
  bool keep_latencies;
  uint64_t n, expect, ack_every, next_report;
  uint64_t first_ns, last_ns;
  uint64_t *latencies;
  size_t latencies_cap;
  /* the credit channel, our end of it */
  char *address;
  int fd;
  uint8_t record[CREDIT_RECORD]; /* of which `sent` bytes are out; CREDIT_RECORD: all */
  size_t sent;
  uint64_t owed; /* a count that waits until the record is out; 0: none */
} counter;
void counter_init(counter *c);
void counter_free(counter *c);
/* NULL, or why not (static or in `quoted` buffers). */
const char *counter_reset(counter *c, const json_t *request);
/* One delivered message. */
void counter_add(counter *c, msub_bytes data);
bool counter_wants_write(const counter *c);
void counter_write(counter *c);
void counter_latencies(counter *c, json_t *reply);

/* ---- credit.c: how far the receivers are ---- */
#define CREDIT_CONNS 64
typedef struct credit_conn {
  int fd;
  size_t have;
  uint8_t bytes[CREDIT_RECORD];
  uint64_t seed, count;
} credit_conn;
typedef struct credit {
  int listener;
  uint16_t port;
  size_t n;
  credit_conn conns[CREDIT_CONNS];
} credit;
bool credit_open(credit *c);
void credit_close(credit *c);
void credit_accept(credit *c);
void credit_read(credit *c, size_t i);
void credit_drop_closed(credit *c);
/* What the k receivers that are furthest have all counted of this seed; false: there are fewer than k. */
bool credit_of(const credit *c, uint64_t seed, size_t k, uint64_t *count);

/* ---- publish.c ---- */
typedef struct publisher {
  bool running, refused;
  uint32_t seed;
  size_t size, receivers;
  uint64_t count, window, i;
  double rate;
  uint8_t *payload;
  msub_topic topic;
  uint64_t started, first_due, retries, late_ns;
  int timer; /* timerfd of the open loop */
} publisher;
const char *publisher_start(peer *p, const json_t *request);
/* Publishes what is due and allowed, a batch at most. true: more can go at once. */
bool publisher_work(peer *p);

/* ---- inbox.c ---- */
typedef struct kept {
  const msub_msg *m;
  msub_peer_id from;
} kept;
typedef struct inbox {
  kept *v;
  size_t n, limit, bytes;
  uint64_t dropped;
} inbox;
void inbox_add(inbox *b, const msub_msg *m, msub_bytes from);
void inbox_take(inbox *b, msub_shared *sh, const json_t *request, json_t *reply);
void inbox_clear(inbox *b, msub_shared *sh);

/* ---- trace.c: RPCs, with cfg.trace ---- */
#define TRACE_FILES 4
typedef struct traffic {
  uint64_t rpcs, messages, graft, prune, ihave, iwant, idontwant;
} traffic;
typedef struct trace {
  bool on;
  size_t limit; /* of RPCs kept; 0: only counted */
  traffic sent, received;
  uint64_t delivered, duplicates, dropped_rpcs, withdrawn, tests; /* tests: fields of the test extension */
  json_t *rpcs;
  uint64_t dropped; /* of the log */
  msub_trace_file *files[TRACE_FILES];
  size_t n_files;
} trace;
void trace_event(trace *t, msub_host *h, const msub_event *ev);
void trace_counters(const trace *t, json_t *reply);
void trace_take(trace *t, json_t *reply);
const char *trace_open(trace *t, const json_t *paths); /* NULL, or why not */
void trace_close(trace *t, json_t *reply); /* reply may be NULL: else its "files" are what was written */
void trace_clear(trace *t);

/* ---- partial.c: with cfg.partial ---- */
#define PARTIAL_GROUPS 1024
typedef struct part_group part_group;
typedef struct partials {
  bool on;
  msub_partial_ops ops;
  msub_channel_policy policy;
  part_group *g;
  size_t n;
  uint64_t refused; /* RPCs that were none of ours */
  void (*whole)(struct peer *p, uint64_t group); /* a group has its last part. NULL: nobody asks */
} partials;
/* cfg; sets the router's options. NULL, or why not. */
const char *partial_read(partials *x, const json_t *request, msub_gossipsub_opts *o);
/* The policy of topics: p (may be NULL), and how they take part. */
const msub_channel_policy *partial_policy(partials *x, const msub_channel_policy *p);
void partial_clear(partials *x);
const char *partial_add(peer *p, const json_t *request, json_t *reply);
const char *partial_publish(peer *p, const json_t *request, json_t *reply);
const char *partial_state(peer *p, const json_t *request, json_t *reply);

/* ---- score.c: with cfg.score ---- */
#define SCORE_ADDRESSES 64
typedef struct score_topic {
  char *name;
  msub_topic_score params;
} score_topic;
typedef struct score_config {
  msub_score_opts opts;
  msub_cidr allow[SCORE_ADDRESSES];
  score_topic *topics;
  size_t n_topics;
} score_config;
/* cfg; sets the router's options, to none without cfg.score. NULL, or why not. */
const char *score_read(score_config *s, const json_t *request, msub_gossipsub_opts *o);
/* The parameters of single topics, once the host is there. */
const char *score_topics(const score_config *s, msub_host *h);
void score_clear(score_config *s);
const char *score_report(const peer *p, json_t *reply);

/* ---- rendezvous.c: with cfg.rendezvous; the first node's ---- */
typedef struct rendezvous {
  msub_rendezvous *meet;
  msub_rendezvous_point *point;
  bool is_point;
  uint64_t min_ttl_s, max_ttl_s;
} rendezvous;
/* cfg, before the host; with the host. NULL, or why not. */
const char *rendezvous_read(rendezvous *r, const json_t *request, msub_discovery *d);
const char *rendezvous_start(rendezvous *r, msub_host *h);
uint64_t rendezvous_next(const rendezvous *r);
void rendezvous_turn(rendezvous *r);
void rendezvous_clear(rendezvous *r); /* after the host */
const char *rendezvous_counts(peer *p, const json_t *request, json_t *reply);

/* ---- ipns.c: with cfg.ipns; the first node's ---- */
typedef struct ipns ipns;
typedef struct ipns_state {
  ipns *x;      /* NULL: without */
  bool waiting; /* the request `op` is answered later */
  const char *op;
  json_t *id;
} ipns_state;
const char *ipns_start(peer *p, const json_t *request); /* with the host; NULL, or why not */
void ipns_stop(peer *p);                                /* before the host */
int ipns_fd(const ipns *x);                             /* readable: a turn is due; -1. x may be NULL, as below */
uint64_t ipns_next(const ipns *x);
void ipns_turn(ipns *x);
void ipns_event(ipns *x, msub_host *h, const msub_host_event *ev);
const char *ipns_key(peer *p, const json_t *request, json_t *reply);
const char *ipns_publish(peer *p, const json_t *request, json_t *reply);
const char *ipns_resolve(peer *p, const json_t *request, json_t *reply);
const char *ipns_record(peer *p, const json_t *request, json_t *reply);
const char *ipns_follow(peer *p, const json_t *request, json_t *reply);
const char *ipns_keep(peer *p, const json_t *request, json_t *reply);
const char *ipns_put(peer *p, const json_t *request, json_t *reply);
const char *ipns_names(peer *p, const json_t *request, json_t *reply);

/* ---- registers.c: with cfg.router "lww"; the first node's ---- */
const char *registers_start(peer *p); /* with the host; NULL, or why not */
void registers_stop(peer *p);         /* before the host */
const char *register_join(peer *p, const json_t *request, json_t *reply);
const char *register_put(peer *p, const json_t *request, json_t *reply);
const char *register_get(peer *p, const json_t *request, json_t *reply);

/* ---- router.c ---- */
typedef struct router_config {
  const char *name;
  const msub_router_ops *inner;
  bool raw; /* the driver may send control entries */
  msub_gossipsub_opts gossipsub;
  score_config score;
  msub_randomsub_opts randomsub;
  msub_lww_router_opts lww;
  const msub_router_ops *ops[2]; /* for the host, with opts beside */
  const void *opts[2];
  char **direct_addrs;
  msub_peer_id *direct_ids;
  msub_bytes *direct_bytes;
  size_t n_direct;
} router_config;

/* ---- node.c ---- */
typedef struct membership {
  char *name;
  msub_topic t;
} membership;
typedef struct peer_node {
  peer *peer;
  msub_key *key;
  msub_host *host;
  membership *topics;
  size_t n_topics;
  bool dialling, busy; /* busy: the host has more to do */
} peer_node;
typedef struct dial {
  bool running;
  char *addr;
  uint64_t cookie;
  size_t next, in_flight;
  char error[300];
} dial;
/* The cfg of `start`. Strings belong to the request. */
typedef struct config {
  const char *listen, *transport;
  msub_sign_policy sign;
  const msub_channel_policy *policy;
  const char **protocols; /* NULL: all */
  const char *key_hex;
  msub_key_type key_type; /* of the keys that are made */
  size_t queue, max_message, nodes, threads, inbox, rpc_log;
  uint64_t seen_ns;
  bool trace, mdns;
  const json_t *trace_files;
} config;
const char *node_config(config *c, const json_t *request);
const char *nodes_start(peer *p, const config *c);
void nodes_stop(peer *p);
/* All nodes. NULL, or why not. */
const char *nodes_subscribe(peer *p, const char *topic);
const char *nodes_unsubscribe(peer *p, const char *topic);
const char *dial_begin(peer *p, const char *addr);
/* Begins more dials; true when the last one has ended: then `error` is its outcome. */
bool dial_work(peer *p);
/* Joined by the first node or NULL. */
const membership *node_topic(const peer *p, const char *name);

/* ---- state.c: the first node as a picture and as numbers ---- */
const char *state_request(peer *p, const json_t *request, json_t *reply);
const char *metrics_request(peer *p, const json_t *request, json_t *reply);

struct peer {
  lines in;
  bool started, quit;
  json_t *dial_id; /* of the request that waits for its dials; no other one is read meanwhile */
  peer_node *nodes;
  size_t n_nodes;
  char **topics; /* cfg.topics */
  size_t n_topics;
  const msub_channel_policy *policy;
  size_t max_message;
  router_config router; /* outlives the nodes */
  rendezvous rendezvous;
  msub_discovery discovery; /* of cfg.rendezvous */
  ipns_state ipns;
  msub_lww *registers; /* NULL: without */
  trace trace;
  partials partials;
  msub_topic counted;  /* topics[0] of the first node, once joined */
  uint32_t recipients; /* of the last publish */
  dial dial;
  counter counter;
  credit credit;
  publisher publisher;
  inbox inbox;
};

/* ---- router.c ---- */
/* The cfg of `start`. NULL, or why not. */
const char *router_read(router_config *c, const json_t *request);
void router_clear(router_config *c);
bool router_speaks(const peer_node *n, const char *protocol);
/* The first node's view of a topic (m may be NULL). */
void router_mesh(const peer *p, const membership *m, json_t *reply);
const char *router_add_direct(peer *p, const char *addr);
const char *router_control(peer *p, const json_t *request);
/* The id behind /p2p. */
bool addr_peer(const char *addr, msub_peer_id *out);

/* ---- requests.c ---- */
/* Answers one line. */
void request_line(peer *p, msub_bytes line);
void reply(const char *op, json_t *id, json_t *fields, const char *error);
/* An event; fatal ones end the run of the driver. */
void event(const char *name, json_t *fields);
void event_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Members of a request; the default when absent or null. */
const char *text_of(const json_t *request, const char *name, const char *otherwise);
uint64_t number_of(const json_t *request, const char *name, uint64_t otherwise);
bool flag_of(const json_t *request, const char *name, bool otherwise);

#endif
