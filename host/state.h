/* host/state.h: the host itself, as its files share it.
 *
 *   host ──┬── listeners
 *          ├── conns: every connection from dial or accept to CLOSED         by transport number: by_tr
 *          │     └── streams (owned by the yamux session of their connection)
 *          ├── peers: one per authenticated peer id, while it has a connection
 *          │     ├── its connections, oldest first
 *          │     └── a session per router: our stream out, its lanes, the peer's streams in
 *          └── engine
 *
 * Nothing is torn down where it fails: a connection that has to go is marked and put in `closing`, and the
 * loop reaps it when no callback of yamux, of the engine or of the program is on the stack. */
#ifndef MSUB_HOST_STATE_H
#define MSUB_HOST_STATE_H
#include <stdatomic.h>
#include "base/list.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/table.h"
#include "base/wheel.h"
#include "host/budget.h"
#include "host/inbox.h"
#include "host/limits.h"
#include "host/pool.h"
#include "host/transport/transport.h"
#include "meshsub/host.h"
#include "meshsub/rpc.h"
#include "wire/noise.h"
#include "wire/yamux.h"

typedef struct msub__conn msub__conn;
typedef struct msub__peer msub__peer;
typedef struct msub__sess msub__sess;
typedef struct msub__stream msub__stream;

/* The protocol ids of one router, in the order in which we offer them. */
#define MSUB__GROUP_IDS 8u
typedef struct msub__group {
  msub_bytes ids[MSUB__GROUP_IDS]; /* NUL-terminated: texts of the plan */
  uint8_t n;
} msub__group;
#define MSUB__GROUPS 7u

typedef struct msub__listener {
  uint32_t tr;
  msub__tr_addr at; /* with the real port */
} msub__listener;

/* exchange.h */
struct msub__xproto;
typedef struct msub__exchange {
  struct msub__xproto *protos[MSUB__HOST_EXCHANGE_PROTOCOLS]; /* served, in the order in which they were added */
  size_t n_protos;
  msub__node all, due; /* streams; those with something to be told */
  msub__node stuck;    /* queues that try again */
  msub__timer retry;
} msub__exchange;

/* book.h, hints.h, discovery.h, protect.h */
struct msub__book_entry;
typedef struct msub__book {
  msub__table index;
  msub__node said, proved; /* entries, the one to go first */
  unsigned n_said;
  msub__timer timer;
  struct msub__book_entry *entries[MSUB__HOST_BOOK_PEERS];
  uint32_t n;
} msub__book;
typedef struct msub__hints {
  msub__node waiting, dialled;
  unsigned n_waiting, n_dialled;
} msub__hints;
struct msub__sought;
typedef struct msub__seek {
  msub_discovery_ops ops; /* find NULL: there is no discovery */
  void *d;
  msub__table index;
  struct msub__sought **all;
  uint32_t n, cap;
  msub__node due;
} msub__seek;
struct msub__dns;
typedef struct msub__names { /* dns.h, lookup.h, named.h */
  struct msub__dns *dns; /* made when the first name is looked up */
  msub__node lookups, orphans, named;
  unsigned n_lookups, n_named;
} msub__names;
typedef struct msub__ipfilter_rule { /* filter.h */
  uint8_t ip[16], n, bits, what;
  bool allow;
} msub__ipfilter_rule;
typedef struct msub__ipfilter {
  msub__ipfilter_rule *rules;
  size_t n;
} msub__ipfilter;
typedef struct msub__observation { /* observed.h */
  msub__tr_addr at, by;
  uint64_t when;
} msub__observation;
typedef struct msub__observed {
  msub__observation all[MSUB__HOST_OBSERVED];
  unsigned n;
} msub__observed;
struct msub__find_at;
typedef struct msub__find { /* places.h */
  struct msub__find_at *all;
  size_t n;
  uint64_t last; /* 0: never */
} msub__find;
struct msub__neighbour;
struct msub__mdns;
typedef struct msub__near { /* neighbours.h */
  struct msub__mdns *mdns; /* NULL: it is off */
  struct msub__neighbour *all;
  size_t n;
  uint64_t last, dropped; /* last 0: never */
} msub__near;
struct msub__protected;
typedef struct msub__guard {
  msub__table index;
  struct msub__protected *all;
  uint32_t n, cap;
} msub__guard;

/* A record on its way out, or one that is being collected. */
#define MSUB__BLOCK_BYTES (MSUB__NOISE_HEAD + MSUB__NOISE_MESSAGE_MAX)
typedef struct msub__block {
  struct msub__block *next;
  size_t n;
  uint8_t bytes[MSUB__BLOCK_BYTES];
} msub__block;

typedef struct msub__anchor {
  msub_peer_id id;
  msub__tr_addr at;
} msub__anchor;

struct msub_host {
  msub_mem mem;
  msub__budget budget; /* in front of the program's, with max_bytes */
  msub_host_opts
      o; /* the pointers in it that are not said to outlive the host are not used after msub_host_new */
  const msub_log *log;
  msub_bytes self;
  char *agent;
  size_t agent_n;
  msub_now now;
  msub__hashkey hashkey;
  msub__rng rng;

  msub__wheel *wheel;
  msub__wake wake;
  int fd; /* what the loop sleeps on: the wake's, or the transport's */
  /* Written by any thread, so it stands apart: gcc reads neighbouring flags of the loop's in one go. */
  atomic_bool stop;
  msub__inbox inbox;
  bool has_inbox;
  msub__pool *pool;
  size_t pool_job_max; /* the largest job since the pool was last empty */
  const msub_transport_ops *tr;
  void *tr_self;
  msub__noise_kit *kit;
  msub__yamux_shared unread;

  msub_shared *shared;
  msub_engine *engine;
  msub__group groups[MSUB__GROUPS];
  size_t n_groups;
  unsigned in_engine; /* a call into the engine, or one of its callbacks, is on the stack */
  bool in_turn, stopping;

  msub__listener listeners[MSUB__HOST_LISTENERS];
  size_t n_listeners;
  msub__conn **by_tr;
  size_t by_tr_cap;
  msub__node conns;                /* all that are not closed yet */
  msub__node dirty;                /* something to write */
  msub__node ready;                /* input that was not used when it came */
  msub__node closing;              /* to be reaped */
  msub__node resume;               /* inbound pubsub streams that stopped in the middle */
  msub__node parked;               /* inbound ones whose handshake waits */
  msub__timer gate;                /* runs while there are such */
  unsigned pending_in, handshakes; /* inbound, not open yet; of these: under way */
  unsigned inbound, outbound;      /* open */

  msub__peer **peers; /* dense */
  size_t n_peers, peers_cap;
  msub__table peer_index;

  msub__exchange exchange;
  msub__book book;
  struct msub__shelf *shelf; /* NULL: there is no store */
  msub__hints hints;
  msub__seek seek;
  msub__find find;
  msub__near near;
  msub__guard guard;
  struct { msub__timer timer; unsigned dialling; } manager; /* manager.h */
  struct {
    msub__timer timer;
    msub__anchor all[MSUB__HOST_ANCHORS]; /* what stands in the store */
    unsigned n;
  } anchors; /* anchors.h */
  msub__node dials, keeps, races;
  msub__names names;
  msub__ipfilter filter;
  msub__observed observed;
  unsigned n_dials_queued, n_dials, n_keeps;
  unsigned n_pings;

  msub__block *spare;
  unsigned n_spare;
  uint64_t stream_seq;
  uint64_t record_seq;      /* of our signed peer record */
  struct { msub__timer timer; uint64_t told_at; } push; /* identify.h */
  msub_multiaddr addr_view; /* of msub_host_peer_at */
  msub_host_counts counts;
};

uint64_t msub__mono(void); /* CLOCK_MONOTONIC */
/* Reads both clocks; monotonic time never goes back. */
void msub__tick(msub_host *h);
/* Fills with bytes of the system's random source. IO. */
MSUB_MUST int msub__random(uint8_t *out, size_t n);

/* Around every call into the engine and every callback out of it. */
static inline void msub__enter(msub_host *h) { h->in_engine++; }
static inline void msub__leave(msub_host *h) { h->in_engine--; }
/* The time argument of a deferred call that may come from either side. */
static inline const msub_now *msub__engine_now(const msub_host *h) { return h->in_engine ? NULL : &h->now; }

/* One more of this error (any int). */
static inline void msub__count_by(uint64_t counts[MSUB_HOST_ERRORS], int err) { counts[err <= 0 && err > -MSUB_HOST_ERRORS ? -err : -MSUB_ERR_INVAL]++; }

void msub__emit(msub_host *h, const msub_host_event *ev);
/* A fault below the engine. Not from inside the engine. */
void msub__report(msub_host *h, msub_bytes peer_id, const msub__tr_addr *at, int reason, unsigned weight);

/* The call behind msub_host_publish(); its argument is malloc's. */
void msub__publish_now(msub_host *h, void *arg);

/* Blocks: a few stay for the next send, so that idle connections hold none. NULL: no memory. */
msub__block *msub__block_take(msub_host *h);
void msub__block_give(msub_host *h, msub__block *b);
#endif
