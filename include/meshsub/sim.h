/* meshsub/sim.h (libmeshsub-sim): engines under virtual time: nodes, links and a queue of events in one thread, no
 * I/O. The same engines and routers run here as on the network, and a run can be repeated: equal calls with an equal
 * seed give an equal trace.
 *
 *   msub_sim_opts o;  msub_sim_opts_init(&o);  o.seed = 7;
 *   msub_sim *s;      msub_sim_new(&o, &s);
 *   msub_sim_router r = { &msub_floodsub, NULL };
 *   msub_sim_node_opts n;  msub_sim_node_opts_init(&n);  n.routers = &r;  n.n_routers = 1;  n.on_message = …;
 *   msub_sim_add(s, &n, 100, &first);                              nodes first … first + 99
 *   for each: msub_join(msub_sim_engine(s, i), 0, msub_str("topic"), NULL, NULL, msub_sim_now(s, i), &topic);
 *   msub_sim_connect_random(s, first, 100, 5);
 *   msub_sim_run_for(s, 2 * MSUB_SIM_S);
 *   msub_publish(msub_sim_engine(s, 3), topic3, data, msub_sim_now(s, 3), NULL);
 *   msub_sim_run_idle(s, 60 * MSUB_SIM_S);
 *
 * Order. What happens is an event with a time, a node where it happens (its destination) and a node that caused it
 * (its source). Events run in the order of (time, destination, source, number of the event at its source), whatever
 * the order in which they were made. Timers of the program come before what happens at the nodes at the same time.
 *
 * What travels. RPCs go from engine to engine by reference; nothing is encoded, the bytes that they would take on
 * the wire are counted exactly (length prefix included). With opts.wire each RPC is encoded, decoded, compared and
 * handed over as a frame; the trace is the same.
 *
 * Time. Nothing takes time but what the options say: links have a latency; bandwidth and processors are unlimited
 * until limited.
 *
 * Threads and re-entry: a msub_sim and all that belongs to it are one thread's. Callbacks of a node run inside its
 * events: they may make the calls below that are marked [anywhere], and the engine's [deferred] calls of the same
 * node. Calls into an engine take msub_sim_now(s, node) as their time, which is NULL inside a callback of that
 * engine. Timers of the program may do everything but run and free. */
#ifndef MESHSUB_SIM_H
#define MESHSUB_SIM_H
#include "discovery.h"
#include "engine.h"
#include "exchange.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MSUB_SIM_NOBODY UINT32_MAX /* in place of a node: the program */
#define MSUB_SIM_US UINT64_C(1000)
#define MSUB_SIM_MS UINT64_C(1000000)
#define MSUB_SIM_S UINT64_C(1000000000)

typedef struct msub_sim msub_sim;

/* ---- the simulation ---- */

/* One direction between two nodes. An RPC takes latency_ns + 0 … jitter_ns (uniform) and never overtakes another of
 * the same connection. Loss, in millionths: the RPC is gone as a whole and its sender's engine is told
 * (msub_dropped, MSUB_R_LOST) one latency later; what opens and closes connections, hellos, and announcements of
 * topics are never lost. Bytes of the exchange are delayed instead, by two latencies for each loss, at least 200 ms. */
typedef struct msub_sim_link {
  uint64_t latency_ns, jitter_ns;
  uint32_t loss_ppm;
} msub_sim_link;

typedef struct msub_sim_opts {
  uint32_t size;            /* set by msub_sim_opts_init */
  const msub_mem *mem;      /* NULL: malloc. Everything comes from it, the engines included; copied */
  uint64_t seed;            /* of everything random; 1 */
  uint64_t start_mono_ns;   /* time at the beginning: 1 s … */
  int64_t start_wall_ns;    /* … and 2024-01-01 */
  msub_sim_link link;       /* of every pair: 1 ms, no jitter, no loss */
  /* Asked for each thing sent, `io` holds opts.link; a function of its arguments and of what the program changes in
   * timers of its own. from, to: nodes. NULL: opts.link. */
  void (*link_of)(void *ud, uint32_t from, uint32_t to, msub_sim_link *io);
  /* what is below it is raised to it: 1 µs; at least 1 ns. The larger, the more can run in parallel one day */
  uint64_t latency_floor_ns;
  uint64_t crash_notice_ns; /* so long, beyond the latency, peers of a crashed node do not notice: 0 */
  uint64_t rendezvous_ns;   /* what a query of the rendezvous takes: 50 ms */
  bool wire;                /* encode, decode, compare: false */
  /* protocol ids are offered one by one, newest first, a round trip each; false: both sides know at once */
  bool negotiate;
  bool hash;                /* keep the trace hash: true */
  void *ud;                 /* handed to link_of and on_trace */
  /* every event of every engine; views for the call */
  void (*on_trace)(void *ud, msub_sim *s, uint32_t node, const msub_event *ev);
  const msub_log *log;      /* NULL: silent; copied */
} msub_sim_opts;
MSUB_API void msub_sim_opts_init(msub_sim_opts *o);

/* INVAL: opts.size is not this header's; NOMEM. */
MSUB_API int msub_sim_new(const msub_sim_opts *o, msub_sim **out);
/* Ends all nodes at once. STATE: from a callback; or the program holds messages: the nodes are gone, drop the
 * messages and free again. NULL is fine. */
MSUB_API int msub_sim_free(msub_sim *s);
MSUB_API msub_shared *msub_sim_shared(const msub_sim *s);

/* ---- nodes ---- */

typedef struct msub_sim_router { const msub_router_ops *ops; const void *opts; } msub_sim_router;

typedef enum msub_sim_what {
  MSUB_SIM_CONNECTED,    /* peer, outbound */
  MSUB_SIM_DISCONNECTED, /* peer */
  MSUB_SIM_DIAL_FAILED   /* peer: it is down, has no room, or has us in cool-down */
} msub_sim_what;

/* A node without an engine, which speaks frames by hand: a test's peer, an attacker. Each of its protocols is a
 * stream of its own. */
typedef struct msub_sim_raw {
  uint32_t abi, size; /* MSUB_ABI, sizeof(msub_sim_raw) */
  /* A peer's session with us: `protocol` is the id that it speaks to us. up == false: it ended. NULL: not told. */
  void (*on_session)(void *ud, msub_sim *s, uint32_t node, uint32_t peer, const char *protocol, bool up);
  /* An RPC, without its length prefix. Required. */
  void (*on_frame)(void *ud, msub_sim *s, uint32_t node, uint32_t peer, const char *protocol, msub_bytes frame);
  /* The peer reset our stream: what we sent was malformed or over a limit. The next frame opens a new one. NULL: not
   * told. */
  void (*on_reset)(void *ud, msub_sim *s, uint32_t node, uint32_t peer, const char *protocol);
} msub_sim_raw;

typedef struct msub_sim_node_opts {
  uint32_t size;                    /* set by msub_sim_node_opts_init */
  const msub_sim_router *routers;   /* 1 … 7; ops and opts must outlive the simulation. Equal pairs share a plan */
  size_t n_routers;
  /* The engine's options; NULL: its defaults. world, w, routers, self_id, seed are set by the simulation; verify
   * NULL: msub_sim_verify. Copied, what it points to is not. */
  const msub_engine_opts *engine;
  const msub_sim_raw *raw;          /* in place of routers and engine */
  const char *const *raw_protocols; /* NULL-terminated, at most 7; must outlive the simulation */
  /* peer id; only for one node at a time. Empty: made from the seed and the node's number; copied */
  msub_bytes id;
  /* Bandwidth, bytes a second; 0: unlimited. Going up, RPCs stand in four lanes per session, more urgent ones first,
   * sessions in turn, the exchange in between; a full lane or a full node answers LIMIT (not to announcements of
   * topics), an empty lane takes one RPC of any size (not if the node is full). Coming down they stand in one queue;
   * an RPC that does not fit is lost as by loss. */
  uint64_t up_bytes_s, down_bytes_s;
  size_t lane_bytes[MSUB_LANES];    /* 64 KiB, 4 MiB, 256 KiB, 64 KiB; for whatever has to wait */
  size_t up_queue, down_queue;      /* bytes of a node: 16 MiB each */
  /* Processor: jobs of the engine take their cost_hint_ns times cpu_ppm / 1,000,000, one after the other. 0: they
   * take no time. */
  uint32_t cpu_ppm;
  unsigned cpu_queue;               /* jobs waiting; one more is refused: 4,096 */
  unsigned max_connections;         /* a dial that comes beyond it is refused, hints are not followed: 0, any number */
  /* Hints of peers (peer exchange, direct peers) and what discovery finds are dialled; a hint with a record that is
   * not the one of its peer is refused. */
  bool dial_hints;                  /* false */
  unsigned max_hint_dials;          /* under way at a time: 8 */
  bool rendezvous;                  /* the simulation's own discovery: topics of all nodes with this option. false */
  /* another one; asked once, when the node is added. NULL: none */
  msub_discovery (*discovery)(void *ud, msub_sim *s, uint32_t node);
  /* Callbacks; each may be NULL. ud is shared by the nodes added together. from, peer: nodes; MSUB_SIM_NOBODY: the
   * node itself. */
  void *ud;
  /* false: FULL */
  bool (*on_message)(void *ud, msub_sim *s, uint32_t node, msub_topic t, const msub_msg *m, uint32_t from);
  void (*on_result)(void *ud, msub_sim *s, uint32_t node, msub_token ticket, int err, uint32_t recipients);
  void (*on_published)(void *ud, msub_sim *s, uint32_t node, const msub_published *p); /* the same in detail, and of msub_await() */
  void (*on_topic_peer)(void *ud, msub_sim *s, uint32_t node, msub_topic t, uint32_t peer, bool joined);
  void (*on_connection)(void *ud, msub_sim *s, uint32_t node, msub_sim_what what, uint32_t peer, bool outbound);
  void (*on_protect)(void *ud, msub_sim *s, uint32_t node, uint32_t peer, msub_topic t, bool on);
  /* NULL: a checksum of 64 bytes that msub_sim_verify() knows. */
  int (*sign)(void *ud, msub_sim *s, uint32_t node, const msub_bytes *parts, size_t n, uint8_t *out, size_t cap);
} msub_sim_node_opts;
MSUB_API void msub_sim_node_opts_init(msub_sim_node_opts *o);

/* Adds `count` nodes; they get the numbers *first, *first + 1, …; connected to nobody. INVAL, NOMEM, CLAIMED (a peer
 * id), or what plans and engines answer. After an error none was added. Not from a callback of a node (STATE). */
MSUB_API int msub_sim_add(msub_sim *s, const msub_sim_node_opts *o, uint32_t count, uint32_t *first);
MSUB_API uint32_t msub_sim_nodes(const msub_sim *s);
/* The node's engine: NULL for one that is down, or has none. */
MSUB_API msub_engine *msub_sim_engine(const msub_sim *s, uint32_t node);
/* The time argument for a call into the node's engine, valid until time goes on: ask for it for each call. The
 * engine's timers are looked at after it. [anywhere] */
MSUB_API const msub_now *msub_sim_now(msub_sim *s, uint32_t node);
MSUB_API msub_bytes msub_sim_id(const msub_sim *s, uint32_t node); /* valid until the next call of it */
/* The node with this peer id, or behind this handle of msub_sim_shared(); MSUB_SIM_NOBODY. [anywhere] */
MSUB_API uint32_t msub_sim_find(const msub_sim *s, msub_bytes id);
MSUB_API uint32_t msub_sim_node_of(msub_sim *s, msub_peer p);
/* The session of `node` with `peer` through a router (index); {0}: none. [anywhere] */
MSUB_API msub_session msub_sim_session(const msub_sim *s, uint32_t node, uint32_t peer, unsigned router);
/* 4 or 16 bytes of IP, from the next connection on. Default 10.x.y.z, unique. INVAL, NOMEM. */
MSUB_API int msub_sim_address(msub_sim *s, uint32_t node, msub_bytes ip);

/* The node is gone at once, with everything it knew and what its links had not sent; peers lose their connections.
 * STATE: from one of its callbacks, or it is down. */
MSUB_API int msub_sim_crash(msub_sim *s, uint32_t node);
/* A new engine with the same identity and options, connected to nobody, joined to nothing. STATE: it is up; or as
 * msub_engine_new(). */
MSUB_API int msub_sim_restart(msub_sim *s, uint32_t node);
MSUB_API bool msub_sim_up(const msub_sim *s, uint32_t node);

/* Sends a frame (without length prefix; copied) from a node without an engine. protocol: one of its own; NULL: the
 * first that runs with the peer. NOTFOUND: no session; NOMEM; LIMIT. [anywhere] */
MSUB_API int msub_sim_raw_send(msub_sim *s, uint32_t node, uint32_t peer, const char *protocol, msub_bytes frame);

/* ---- connections ---- */

/* `a` dials `b` at a time (the past: now). One latency later b has the connection, after another one a. Each router
 * gets a session with a router of the other side that speaks one of its protocols. Nothing happens if they are
 * connected, or one of them is down then; when both dial at once, one connection remains. INVAL: no such nodes;
 * NOMEM. [anywhere] */
MSUB_API int msub_sim_connect(msub_sim *s, uint32_t a, uint32_t b, uint64_t at_mono_ns);
/* `a` closes its connection with `b` at a time; b knows one latency later. [anywhere] */
MSUB_API int msub_sim_disconnect(msub_sim *s, uint32_t a, uint32_t b, uint64_t at_mono_ns);
/* Has `a` a connection with `b`, as a sees it? */
MSUB_API bool msub_sim_connected(const msub_sim *s, uint32_t a, uint32_t b);
MSUB_API size_t msub_sim_connections(const msub_sim *s, uint32_t node);
MSUB_API uint32_t msub_sim_connection(const msub_sim *s, uint32_t node, size_t i); /* the i-th peer */

/* Connections among the nodes first … first + n - 1, dialled now; the draws are the program's. */
MSUB_API int msub_sim_connect_all(msub_sim *s, uint32_t first, uint32_t n);
/* each node dials so many different others */
MSUB_API int msub_sim_connect_random(msub_sim *s, uint32_t first, uint32_t n, uint32_t dials);
/* each has so many; n * degree even, degree < n */
MSUB_API int msub_sim_connect_regular(msub_sim *s, uint32_t first, uint32_t n, uint32_t degree);
MSUB_API int msub_sim_connect_sparse(msub_sim *s, uint32_t first, uint32_t n);                   /* 3 dials each */
MSUB_API int msub_sim_connect_dense(msub_sim *s, uint32_t first, uint32_t n);                    /* 10 dials each */
MSUB_API int msub_sim_connect_line(msub_sim *s, uint32_t first, uint32_t n);
MSUB_API int msub_sim_connect_tree(msub_sim *s, uint32_t first, uint32_t n, uint32_t children);  /* breadth first */
/* the others dial the first */
MSUB_API int msub_sim_connect_star(msub_sim *s, uint32_t first, uint32_t n);

/* ---- the exchange ---- */

/* Streams of the node to its connected peers (exchange.h). A stream buffers 256 KiB each way. Served protocols end
 * with a crash. */
MSUB_API msub_exchange msub_sim_exchange(msub_sim *s, uint32_t node);

/* ---- time ---- */

typedef struct msub_sim_timer { uint64_t v; } msub_sim_timer;
/* Calls fn at a time (the past: now), once. node: where it happens; the callback may touch this node only.
 * MSUB_SIM_NOBODY: a timer of the program, which may touch all. timer: NULL, or what cancels it. NOMEM. [anywhere] */
MSUB_API int msub_sim_at(msub_sim *s, uint32_t node, uint64_t at_mono_ns,
                         void (*fn)(void *ud, msub_sim *s, uint32_t node), void *ud,
                         msub_sim_timer *timer);
MSUB_API bool msub_sim_cancel(msub_sim *s, msub_sim_timer t); /* false: it ran, or was cancelled [anywhere] */
MSUB_API uint64_t msub_sim_time(const msub_sim *s);           /* monotonic ns [anywhere] */

/* Runs all events up to a time, this one included, which is the time then. OK. NOMEM: an event was lost for want of
 * memory, and nothing that follows means anything: free the simulation. STATE: from a callback. */
MSUB_API int msub_sim_run_until(msub_sim *s, uint64_t mono_ns);
MSUB_API int msub_sim_run_for(msub_sim *s, uint64_t ns);
/* Runs until nothing is under way: no RPC, job, bytes of a stream, dial or timer of the program; timers of engines
 * and deadlines alone do not count. At most so long. LIMIT: the time was up before. */
MSUB_API int msub_sim_run_idle(msub_sim *s, uint64_t at_most_ns);
/* Ends the run after the event that is on. [anywhere] */
MSUB_API void msub_sim_stop(msub_sim *s);

/* ---- chance ---- */

#define MSUB_SIM_STREAMS 4
/* Uniform in 0 … below-1 from a stream (0 … 3) of the node, or of the program (MSUB_SIM_NOBODY). Streams share
 * nothing: a draw from one changes no other. [anywhere] */
MSUB_API uint32_t msub_sim_rand(msub_sim *s, uint32_t node, unsigned stream, uint32_t below);

/* ---- looking ---- */

/* rpcs + timers are the events: RPCs handed to engines (and raw nodes), and calls of msub_advance() that were due. steps:
 * everything else that the queue held. bytes: of the frames handed over. sent: RPCs that left; refused: by full lanes; lost,
 * lost_down: on links, in front of downlinks. hints: peers named by engines and discovery; hints_bad: a wrong record, or nobody
 * has the id. wanted: calls of want_peers, by nodes with discovery. streams: opened, of the exchange. resets: of pubsub streams, by a receiver;
 * refused_offers: sessions that an engine did not take. */
#define MSUB_SIM_COUNTS(X)                                                                                          \
  X(rpcs) X(timers) X(steps) X(bytes) X(sent) X(refused) X(lost) X(lost_down) X(withdrawn)                          \
  X(dials) X(dials_failed) X(connections) X(disconnections)                                                         \
  X(hints) X(hints_dialled) X(hints_bad) X(hints_over_limit) X(wanted)                                              \
  X(jobs) X(jobs_refused) X(streams) X(streams_unfinished) X(resets) X(refused_offers)
typedef struct msub_sim_counts {
#define MSUB_X(name) uint64_t name;
  MSUB_SIM_COUNTS(MSUB_X)
#undef MSUB_X
  uint64_t queued, queued_max; /* events in the queue now, and at most */
} msub_sim_counts;
MSUB_API const msub_sim_counts *msub_sim_count(msub_sim *s);
/* frames, length prefix included */
typedef struct msub_sim_traffic { uint64_t rpcs_in, rpcs_out, bytes_in, bytes_out; } msub_sim_traffic;
MSUB_API msub_sim_traffic msub_sim_traffic_of(const msub_sim *s, uint32_t node);

/* The trace so far as 16 bytes: of every event of every engine its kind, time, peers as node numbers, topic, ids,
 * sizes, in the order of each node; equal for equal behaviour, whatever the machine, the compiler, and opts.wire.
 * Zeroes without opts.hash. */
MSUB_API void msub_sim_hash(const msub_sim *s, uint8_t out[16]);

/* For msub_engine_opts.verify: accepts messages whose signature is the checksum that nodes without a sign function
 * make. It proves nothing. Pure. */
MSUB_API msub_verdict msub_sim_verify(const void *wire, size_t n);
/* That checksum, for raw nodes: 64 bytes. */
MSUB_API void msub_sim_checksum(const msub_bytes *parts, size_t n, uint8_t out[64]);

#ifdef __cplusplus
}
#endif
#endif
