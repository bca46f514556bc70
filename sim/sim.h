/* sim/sim.h: the parts of a simulation. sim.c owns the queue and time, node.c engines, conn.c connections and
 * sessions, link.c what travels, lanes.c what waits, world.c is what engines call.
 *
 *   msub_sim ── pages of nodes ── node ── halves: its ends of connections ── aux: sessions, lanes, negotiation
 *      │                            └──── net (bandwidth), cpu, streams, wants: when first used
 *      ├─ classes: what nodes that were added together share
 *      └─ queue of events ── packets: what travels, by reference
 *
 * An event belongs to its destination: its handler reads and writes that node, and reaches others by sending. What
 * it knows of the other end of a connection it was told. */
#ifndef MSUB_SIM_SIM_H
#define MSUB_SIM_SIM_H
#include "base/assert.h"
#include "base/buf.h"
#include "base/deadline.h"
#include "base/ring.h"
#include "base/rng.h"
#include "base/table.h"
#include "meshsub/rpc.h"
#include "meshsub/sim.h"
#include "sim/queue.h"

#define MSUB__SIM_ROUTERS 7u
#define MSUB__SIM_IDS 8u               /* protocol ids of a router */
#define MSUB__SIM_PAGE 256u            /* nodes */
#define MSUB__SIM_LANES (MSUB_LANES + 1) /* the hello goes first */
#define MSUB__SIM_HELLO MSUB_LANES
#define MSUB__SIM_REOPEN_TRIES 4u      /* a stream that the peer reset is opened again */
#define MSUB__SIM_REOPEN_NS (100 * MSUB__MS) /* before the first try, doubling */
#define MSUB__SIM_WINDOW (256u << 10)  /* bytes of a stream of the exchange under way, and written ahead */
#define MSUB__SIM_SEGMENT (16u << 10)
#define MSUB__SIM_SEGMENT_HEAD 12u     /* yamux's */
#define MSUB__SIM_AT_ONCE 4u           /* streams of a protocol served, and opened, at a time */
#define MSUB__SIM_CONN_STREAMS 512u    /* open in a connection, from one side */
#define MSUB__SIM_STREAM_NS (60 * MSUB__S)
#define MSUB__SIM_SERVICES 64u
#define MSUB__SIM_RETRANSMIT_NS (200 * MSUB__MS)
#define MSUB__SIM_RESENDS 10u          /* a segment that was lost so often arrives */
#define MSUB__SIM_ASK_NS MSUB__S       /* discovery is asked for a topic once in this time */
#define MSUB__SIM_RECORD_MAX 96u       /* bytes */
#define MSUB__SIM_WANTS 256u           /* topics of a node that discovery is asked for */
#define MSUB__SIM_SLAB_BYTES ((size_t)16384) /* of packets, made together */

typedef enum msub__sim_kind {
  MSUB__SIM_TIMER,   /* of an engine; arg: generation */
  MSUB__SIM_AT,      /* of the program; arg: slot and generation */
  MSUB__SIM_RPC,     /* a packet reached its destination … */
  MSUB__SIM_TAKE,    /* … and came through its downlink */
  MSUB__SIM_LOST,    /* the sender hears that a packet is gone */
  MSUB__SIM_CONNECT, /* arg: peer, and whether a hint says so */
  MSUB__SIM_DIAL, MSUB__SIM_ACCEPT, MSUB__SIM_REFUSE, MSUB__SIM_CLOSE,
  MSUB__SIM_DISCONNECT, /* arg: peer */
  MSUB__SIM_OFFER, MSUB__SIM_AGREED, MSUB__SIM_NA, MSUB__SIM_RESET,
  MSUB__SIM_REOPEN,
  MSUB__SIM_UPLINK, /* it has room for the next packet; arg: incarnation */
  MSUB__SIM_JOB,    /* the processor is done; arg: incarnation */
  MSUB__SIM_FOUND,
  MSUB__SIM_X_OPEN, MSUB__SIM_X_DATA, MSUB__SIM_X_TAKE, MSUB__SIM_X_WINDOW, MSUB__SIM_X_RESET, MSUB__SIM_X_NA,
  MSUB__SIM_X_FEED, MSUB__SIM_X_WRITABLE, MSUB__SIM_X_END, MSUB__SIM_X_DEADLINE /* arg: slot, generation of a stream */
} msub__sim_kind;

enum { /* msub__sim_packet.flags */
  MSUB__SIM_DIALLER = 1, /* the sender dialled the connection */
  MSUB__SIM_FIRST = 2,   /* the first of its stream */
  MSUB__SIM_BYTES = 4,   /* u.bytes: a frame made by hand, or bytes of the exchange … */
  MSUB__SIM_PARTS = 32,  /* … messages and control, held. Neither: nothing is held */
  MSUB__SIM_OPENER = 8,  /* the sender opened the stream */
  MSUB__SIM_FIN = 16,
  MSUB__SIM_KEEP = 64    /* neither lost nor refused: a hello, an announcement */
};

/* What travels. It is addressed by the number of the receiver's half and valid for one connection only. */
typedef struct msub__sim_packet {
  struct msub__sim_packet *next; /* free ones */
  uint32_t half, from, to, from_half, conn;
  uint8_t k, stream, flags, lane; /* k: pair of routers; stream: how often one was opened */
  uint32_t wire;                  /* bytes without length prefix */
  uint32_t n;                     /* messages; of the exchange: number of the stream */
  union {
    const msub_msg *one;
    const msub_msg **many;
    msub__rc *bytes;
    const char *id;
    uint64_t word;
  } u;
  const msub_ctl *ctl;
} msub__sim_packet;

typedef struct msub__sim_lanes {
  msub__ring q[MSUB__SIM_LANES]; /* of packets */
  size_t bytes[MSUB__SIM_LANES]; /* of frames */
} msub__sim_lanes;

/* Our stream and the peer's between a pair of routers, where there is more to know than that both stand. */
typedef struct msub__sim_stream {
  bool waits;       /* not agreed, or broken: what is sent stays in the lanes */
  bool dead;        /* nothing will carry it */
  uint8_t offered;  /* index into the router's ids */
  uint8_t stream, tries;
  bool in_ok;       /* the peer's stream is agreed … */
  uint8_t in_stream;
  uint16_t in_reset; /* … we reset its stream number in_reset - 1 */
} msub__sim_stream;

typedef struct msub__sim_aux {
  msub_session s[MSUB__SIM_ROUTERS]; /* [0] stands in the half */
  uint8_t mine[MSUB__SIM_ROUTERS];   /* as well */
  msub__sim_lanes *lanes[MSUB__SIM_ROUTERS];
  msub__sim_stream st[MSUB__SIM_ROUTERS];
  uint8_t turn; /* whose lanes are looked at first */
  bool waiting; /* stands in the uplink's line */
  bool x_next;
  uint32_t x_last; /* slot of the stream that sent last */
} msub__sim_aux;

typedef enum msub__sim_state { MSUB__SIM_CLOSED, MSUB__SIM_DIALLING, MSUB__SIM_UP } msub__sim_state;

/* One end of a connection. It stays behind when it is closed, until what was sent has arrived: what follows must not
 * overtake it. */
typedef struct msub__sim_half {
  uint64_t last; /* when what was sent last arrives */
  uint32_t peer, peer_half, conn;
  msub_session s; /* of the first pair */
  msub__sim_aux *aux;
  uint8_t state, n_pairs;
  uint8_t mine;     /* our router of the first pair */
  uint8_t fresh;    /* bit k: the next packet is the first of its stream */
  uint8_t in_first; /* bit k: the first packet was lost on our downlink */
  bool outbound, hint;
} msub__sim_half;

typedef struct msub__sim_ids { const char *id[MSUB__SIM_IDS]; uint32_t n; } msub__sim_ids;
typedef struct msub__sim_pair { uint8_t mine, theirs; } msub__sim_pair;

/* What nodes that were added together share. */
typedef struct msub__sim_class {
  struct msub__sim_class *next;
  msub_sim_node_opts o;
  msub_engine_opts engine;
  msub_sim_raw raw;
  const msub_plan *plans[MSUB__SIM_ROUTERS];
  msub__sim_ids ids[MSUB__SIM_ROUTERS]; /* of each router, or one per raw protocol */
  uint32_t n_ids;
  msub_world_ops ops;
} msub__sim_class;

typedef struct msub__sim_net {
  bool busy;
  msub__ring line;  /* numbers of halves with something to send, in turn */
  size_t up_bytes;  /* waiting */
  uint64_t down_free; /* when the downlink has taken what came so far */
  size_t down_bytes;
} msub__sim_net;

typedef struct msub__sim_task { msub_job job; msub_token token; } msub__sim_task;
#define MSUB__SIM_MANY 64u /* jobs that are run by one call, as by the host's pool */
typedef struct msub__sim_cpu {
  msub__ring jobs; /* the first one is running */
  uint32_t running; /* jobs of its front */
} msub__sim_cpu;

typedef struct msub__sim_want { msub_topic topic; uint32_t name; uint64_t next; bool active; } msub__sim_want;
typedef struct msub__sim_wants {
  msub_discovery d;
  msub__sim_want *w;
  size_t n, cap;
} msub__sim_wants;

enum { MSUB__SIM_RNG_LINK = MSUB_SIM_STREAMS, MSUB__SIM_RNG_FIND, MSUB__SIM_RNGS };

typedef struct msub__sim_node {
  msub_sim *sim;
  msub_engine *e;
  const msub__sim_class *c;
  uint32_t no;
  uint32_t inside;  /* callbacks of the engine on the stack */
  uint32_t outside; /* other callbacks of the node */
  uint32_t lives;   /* how often it was started */
  uint64_t events;  /* made by this node */
  uint64_t armed;   /* the engine's timer in the queue … */
  uint32_t timer;   /* … and its generation */
  uint32_t dials, hint_dials;
  uint32_t n_halves, cap_halves, n_up;
  bool up, hello, touched;
  uint8_t ip_n;
  msub__sim_half *halves;
  struct msub__sim_node *touch;
  uint64_t hash[2], traced;
  uint64_t rng[MSUB__SIM_RNGS]; /* draws made */
  msub_sim_traffic traffic;
  msub__rc *id; /* NULL: made from the number */
  uint8_t *ip;
  msub__sim_net *net;
  msub__sim_cpu *cpu;
  struct msub__sim_x *x;
  msub__sim_wants *wants;
} msub__sim_node;

typedef struct msub__sim_at {
  void (*fn)(void *ud, msub_sim *s, uint32_t node);
  void *ud;
  uint32_t node, gen, next_free;
  bool set;
} msub__sim_at;

typedef struct msub__sim_topic {
  struct msub__sim_topic *next;
  msub__rc *name;
  uint32_t *members;
  size_t n, cap;
} msub__sim_topic;

struct msub_sim {
  msub_mem mem;
  msub_sim_opts o;
  msub_log log;
  msub_shared *sh;
  msub_now now;
  uint64_t stop_at;
  msub__simq q;
  size_t quiet, dead; /* events in the queue that keep nothing going; timers of the program that were called off */
  msub__sim_node **pages;
  uint32_t n_nodes, cap_pages;
  msub__sim_class *classes;
  struct msub__sim_plan { struct msub__sim_plan *next; msub_sim_router r; const msub_plan *plan; } *plans;
  uint64_t events;      /* made by the program */
  uint64_t rng[MSUB__SIM_RNGS];
  uint32_t current;     /* the node whose event runs, or MSUB_SIM_NOBODY */
  uint32_t inside;      /* callbacks on the stack, of all nodes */
  bool running, stop, closing;
  int err;              /* an event was lost for want of memory */
  msub__sim_node *touched;
  msub__sim_packet *packets;
  struct msub__sim_slab { struct msub__sim_slab *next; } *slabs;
  msub__sim_at *ats;
  uint32_t n_ats, cap_ats, free_at; /* free_at: number + 1 */
  uint32_t *peers; /* peer handle → node + 1; held in the shared */
  uint32_t cap_peers;
  msub__hashkey key;
  msub__table by_id; /* nodes with an id of their own */
  uint8_t *scratch;
  size_t scratch_n;
  uint8_t id[64];
  msub__sim_topic *topics;
  msub_sim_counts counts;
};

/* ---- sim.c ---- */

static inline msub__sim_node *msub__sim_node_at(const msub_sim *s, uint32_t no) {
  return &s->pages[no / MSUB__SIM_PAGE][no % MSUB__SIM_PAGE];
}
static inline msub__sim_node *msub__sim_node_of_no(const msub_sim *s, uint32_t no) {
  return no < s->n_nodes ? msub__sim_node_at(s, no) : NULL;
}
/* false: no memory, which the simulation remembers. from, to: nodes, or MSUB_SIM_NOBODY. */
bool msub__sim_push(msub_sim *s, uint64_t at, uint32_t from, uint32_t to, msub__sim_kind k, uint64_t arg);
static inline bool msub__sim_self(msub__sim_node *n, uint64_t at, msub__sim_kind k, uint64_t arg) {
  return msub__sim_push(n->sim, at, n->no, n->no, k, arg);
}
void msub__sim_nomem(msub_sim *s);
uint64_t msub__sim_draw(msub_sim *s, msub__sim_node *n, unsigned stream); /* 64 random bits; n NULL: the program's */
uint32_t msub__sim_below(msub_sim *s, msub__sim_node *n, unsigned stream, uint32_t below);
uint64_t msub__sim_mix(uint64_t z);
void msub__sim_put(uint8_t out[8], uint64_t z); /* the same bytes on every machine */
/* The engine was, or will be, called: its timers are looked at after this event. */
void msub__sim_touch(msub__sim_node *n);
/* Around callbacks: out of the engine, or others of the node. */
static inline void msub__sim_in(msub__sim_node *n) { n->inside++, n->sim->inside++; }
static inline void msub__sim_out(msub__sim_node *n) { n->inside--, n->sim->inside--; }
static inline void msub__sim_call(msub__sim_node *n) { n->outside++, n->sim->inside++; }
static inline void msub__sim_back(msub__sim_node *n) { n->outside--, n->sim->inside--; }

/* ---- node.c ---- */

msub_bytes msub__sim_id(const msub__sim_node *n, uint8_t made[64]);
msub_bytes msub__sim_ip(const msub__sim_node *n, uint8_t made[4]);
void msub__sim_timer(msub__sim_node *n, uint32_t gen);
void msub__sim_rearm(msub__sim_node *n);
void msub__sim_down(msub__sim_node *n, bool tell); /* tell: peers */

/* ---- conn.c ---- */

size_t msub__sim_match(const msub__sim_class *dialler, const msub__sim_class *other,
                       msub__sim_pair out[MSUB__SIM_ROUTERS]);
msub__sim_half *msub__sim_half_to(const msub__sim_node *n, uint32_t peer, bool up);
static inline msub_session msub__sim_session(const msub__sim_half *h, unsigned k) {
  return k == 0 ? h->s : h->aux->s[k];
}
static inline unsigned msub__sim_mine(const msub__sim_half *h, unsigned k) {
  return k == 0 ? h->mine : h->aux->mine[k];
}
/* The half that a packet belongs to; NULL: the connection is gone. `back`: the packet is one that this node had
 * sent. */
msub__sim_half *msub__sim_half_of(const msub__sim_node *n, const msub__sim_packet *p, bool back);
msub__sim_aux *msub__sim_aux_of(msub__sim_node *n, msub__sim_half *h); /* made when there is none; NULL: no memory */
void msub__sim_connecting(msub__sim_node *n, uint32_t peer, bool hint);
void msub__sim_dialled(msub__sim_node *n, msub__sim_packet *p);
void msub__sim_accepted(msub__sim_node *n, msub__sim_packet *p);
void msub__sim_refused(msub__sim_node *n, msub__sim_packet *p);
void msub__sim_closed(msub__sim_node *n, msub__sim_packet *p);
void msub__sim_disconnecting(msub__sim_node *n, uint32_t peer);
void msub__sim_offered(msub__sim_node *n, msub__sim_packet *p);
void msub__sim_agreed(msub__sim_node *n, msub__sim_packet *p);
void msub__sim_na(msub__sim_node *n, msub__sim_packet *p);
void msub__sim_was_reset(msub__sim_node *n, msub__sim_packet *p);
void msub__sim_reopen(msub__sim_node *n, uint64_t arg);
void msub__sim_halves_down(msub__sim_node *n, bool tell); /* a crash */
/* Dials a peer because of a hint, within the limits. */
void msub__sim_hint(msub__sim_node *n, uint32_t peer);

/* ---- link.c ---- */

msub__sim_packet *msub__sim_packet_new(msub_sim *s);
void msub__sim_packet_free(msub_sim *s, msub__sim_packet *p);
msub_rpc msub__sim_view(const msub__sim_packet *p); /* of one without MSUB__SIM_BYTES */
static inline size_t msub__sim_frame(size_t wire) { return wire + msub_varint_size(wire); }
/* Addresses a packet to the other end. */
void msub__sim_address(const msub__sim_node *n, const msub__sim_half *h, msub__sim_packet *p);
/* Sends one that is small and never lost; it is used up. */
void msub__sim_tell(msub__sim_node *n, msub__sim_half *h, msub__sim_kind k, msub__sim_packet *p, uint64_t later);
/* Takes an RPC over: OK, or LIMIT with the packet still the caller's. */
int msub__sim_send(msub__sim_node *n, uint32_t half, unsigned k, msub__sim_packet *p);
void msub__sim_flush(msub__sim_node *n, msub__sim_half *h); /* the lanes of a half may go on */
void msub__sim_uplink(msub__sim_node *n);
void msub__sim_up_wants(msub__sim_node *n, msub__sim_half *h); /* it has something for the uplink */
void msub__sim_arrived(msub__sim_node *n, msub__sim_packet *p);
void msub__sim_take(msub__sim_node *n, msub__sim_packet *p);
void msub__sim_lost(msub__sim_node *n, msub__sim_packet *p);
bool msub__sim_room(const msub__sim_node *n, uint32_t half, unsigned k, msub_lane lane, size_t bytes);
unsigned msub__sim_withdraw(msub__sim_node *n, uint32_t half, unsigned k, msub_bytes id);
msub_sim_link msub__sim_link(const msub__sim_node *n, uint32_t to);
uint64_t msub__sim_latency(msub__sim_node *n, const msub_sim_link *l); /* with jitter */
/* When the downlink is through with so many bytes that came now. */
uint64_t msub__sim_down_until(msub__sim_node *n, size_t bytes);
uint64_t msub__sim_wire_ns(size_t bytes, uint64_t bytes_s);

/* ---- lanes.c ---- */

bool msub__sim_lanes_fit(const msub__sim_lanes *l, const size_t bounds[MSUB_LANES], unsigned lane, size_t bytes);
/* false: no memory */
MSUB_MUST bool msub__sim_lanes_push(msub__sim_lanes *l, const msub_mem *m, unsigned lane, msub__sim_packet *p);
msub__sim_packet *msub__sim_lanes_next(msub__sim_lanes *l, bool hello_only); /* the most urgent one; NULL: none */
/* bytes that it frees */
size_t msub__sim_lanes_withdraw(msub__sim_lanes *l, msub_sim *s, msub_bytes id, unsigned *count);
size_t msub__sim_lanes_bytes(const msub__sim_lanes *l);
void msub__sim_lanes_fini(msub__sim_lanes *l, msub_sim *s);

/* ---- world.c ---- */

void msub__sim_world(const msub__sim_class *c, const msub_sim *s, msub_world_ops *out);
void msub__sim_job(msub__sim_node *n, uint64_t lives);
void msub__sim_cpu_stop(msub__sim_node *n);

/* ---- trace.c ---- */

void msub__sim_trace(msub__sim_node *n, const msub_event *ev);

/* ---- wire.c ---- */

/* The RPC as a frame that says the same; NULL: no memory. In the simulation's scratch. */
const uint8_t *msub__sim_encoded(msub_sim *s, const msub_rpc *rpc);
/* does not come back if they differ */
void msub__sim_compare(const msub_sim *s, const msub_rpc *rpc, msub_bytes frame);

/* ---- exchange.c ---- */

extern const msub_exchange_ops msub__sim_exchange_ops;
void msub__sim_x_event(msub__sim_node *n, uint32_t from, msub__sim_kind k, uint64_t arg);
bool msub__sim_x_wants(msub__sim_node *n, const msub__sim_half *h); /* something to send to this peer? */
size_t msub__sim_x_send(msub__sim_node *n, msub__sim_half *h);      /* sends one segment; its bytes on the wire */
/* the connection is gone; MSUB_SIM_NOBODY: all are, now */
void msub__sim_x_gone(msub__sim_node *n, uint32_t peer);
void msub__sim_x_fini(msub__sim_node *n);

/* ---- discovery.c ---- */

/* what peer exchange carries of a peer */
size_t msub__sim_record(const msub_sim *s, msub_bytes id, uint8_t out[MSUB__SIM_RECORD_MAX]);

int msub__sim_wants_new(msub__sim_node *n);
void msub__sim_wants_fini(msub__sim_node *n);
void msub__sim_wants_stop(msub__sim_node *n); /* a crash */
void msub__sim_advertise(msub__sim_node *n, msub_topic t, bool on);
void msub__sim_want_peers(msub__sim_node *n, msub_topic t, unsigned count);
void msub__sim_found(msub__sim_node *n, msub__sim_packet *p);
void msub__sim_topics_fini(msub_sim *s);
#endif
