/* pubsub/engine.h: the engine's structs, for the files of this folder.
 *
 *   msub_shared ── names, peers (strings as indexes), plans, configs
 *   msub_engine, one block:
 *     ┌──────┬───────────┬─────────────────────┬───────────────────────────────────────┐
 *     │ core │ routers[] │ handles[] (levels)  │ per router: streams, state blocks      │
 *     └──────┴───────────┴─────────────────────┴───────────────────────────────────────┘
 *       │        └ sessions (chunks that never move), topics (a block each), cache
 *       ├ config: options and world, one for all engines that agree in them
 *       ├ index: sessions by peer, topics by name, departed peers
 *       └ work: everything that an idle engine does without (seen, questions, conduct, deferred calls, scratch, counters)
 *
 *   session  ┌──────┬────────────────┬────────────────┬─────────────┬─────────────┐
 *            │ core │ outer.session  │ inner.session  │ outer.peer  │ inner.peer  │  the peer part is copied out and back
 *            └──────┴────────────────┴────────────────┴─────────────┴─────────────┘
 *   topic    ┌──────┬────────────────┬────────────────┐      links   ┌─────────────┬────────────┬────────────┬─ next ─
 *            │ core │ outer.topic    │ inner.topic    │ ──────────▶  │ slot, flags │ outer.link │ inner.link │
 *            └──────┴────────────────┴────────────────┘              └─────────────┴────────────┴────────────┴────────
 */
#ifndef MSUB_PUBSUB_ENGINE_H
#define MSUB_PUBSUB_ENGINE_H
#include "base/assert.h"
#include "base/deadline.h"
#include "base/log.h"
#include "base/ring.h"
#include "base/rng.h"
#include "meshsub/engine.h"
#include "meshsub/guard.h"
#include "meshsub/publish.h"
#include "meshsub/watch.h"
#include "meshsub/rpc.h"
#include "pubsub/intern.h"
#include "pubsub/limits.h"
#include "pubsub/mcache.h"
#include "pubsub/plan.h"
#include "pubsub/seen.h"

/* Options and world, shared by the engines that were made with the same ones. */
typedef struct msub__config {
  struct msub__config *next;
  size_t engines;
  msub_bytes key_field; /* owned */
  /* From here on compared as bytes: the struct is zeroed first. */
  msub_world_ops world;
  msub_verdict (*verify)(const void *wire, size_t n);
  msub_log log;
  uint64_t validate_timeout_ns, seen_ttl_ns;
  size_t seen_bytes, pending_bytes, max_rpc, max_message;
  const msub_plan *plans[MSUB__ROUTERS];
  msub_signing_opts signing;
  msub_validation_opts validation;
  uint32_t verify_cost_ns, pending_messages, n_routers;
  uint8_t sign; /* msub_sign_policy */
  bool go_parity, topic_counts;
  uint8_t graylisted_weight;
} msub__config;

#define MSUB__ID_DEFAULT 0u
#define MSUB__ID_NOBODY UINT8_MAX /* could not be noted: what it made is not shared */
typedef size_t (*msub__id_fn_ptr)(const msub_msg *m, uint8_t out[MSUB_MAX_ID]);
struct msub_shared {
  msub_mem mem;
  msub__hashkey key;
  msub__interns names, peers;
  struct msub_plan *plans;
  msub__config *configs;
  msub__id_fn_ptr *id_fns; /* message-id functions, by their index - 1 */
  uint32_t n_id_fns, cap_id_fns;
  size_t engines, messages, controls;
};

#define MSUB__FEW_TOPICS 4u
typedef struct msub__session {
  uint64_t link;
  uint64_t prefix;      /* conduct's key of its address, 0: none */
  uint32_t peer;        /* 0: the slot is free, then topic_bytes is the next free one */
  uint32_t topic_bytes;
  union { uint16_t few[MSUB__FEW_TOPICS], *many; } topics; /* slots of the topics that the peer announced */
  uint16_t n_topics;
  uint16_t resume_at;   /* a frame of which a part was handled: where to go on */
  uint16_t gen;
  uint8_t protocol : 4; /* index in the plan */
  uint8_t doublings : 4; /* of the room for topics; 0: they are in `few` */
  bool outbound : 1, agreed : 1, hello_due : 1, throttled : 1, returning : 1;
  bool first_due : 1; /* the next RPC that is taken is the first one of the peer's stream */
  bool shut : 1;        /* the lists refuse its peer, which is being disconnected */
} msub__session;
_Static_assert(sizeof(msub__session) <= 40, "there may be many");
_Static_assert(MSUB__PEER_TOPICS <= UINT16_MAX && MSUB__PUBLISH_ENTRIES <= UINT16_MAX, "they are counted in 16 bits");
_Static_assert(MSUB__PROTOCOLS <= 16 && MSUB__PEER_TOPICS <= MSUB__FEW_TOPICS << 15, "they are counted in four bits");
_Static_assert(MSUB__TOPICS <= UINT16_MAX + 1, "their slots have 16 bits");

typedef struct msub__link {
  uint32_t session : 20; /* slot */
  uint32_t flags : 12;   /* MSUB_SUB_*, MSUB__LINK_STALE; the levels' blocks follow */
} msub__link;
#define MSUB__LINK_FLAGS 0xfffu
#define MSUB__LINK_STALE 0x800u /* announced on an older stream, not yet again */

typedef struct msub__validator {
  msub_validate_fn fn; /* NULL: it was taken away */
  void *ud;
  void (*concluded)(void *ud, const msub_msg *m, msub_peer from, msub_verdict v);
  uint32_t concurrency, pending;
  uint8_t timeout;     /* index in the questions' lists */
  bool pends;          /* it has said PENDING */
} msub__validator;
typedef struct msub__validators { msub__validator v[MSUB__VALIDATORS]; uint32_t n; } msub__validators; /* their places stay: cases count them */

/* What few topics need. */
typedef struct msub__topic_extra {
  msub__validators *validators; /* NULL: none */
  uint32_t validating;          /* messages that wait for a validator */
  const msub_msg *latest; /* rule LATEST: the newest that was not taken */
  uint32_t latest_from;
  size_t deferred_bytes;
  msub_topic_counts *counts; /* NULL: they are off */
} msub__topic_extra;

typedef struct msub__topic {
  msub_topic handle;
  uint32_t name;
  uint32_t joins, opens; /* joins: relays included */
  const msub_channel_policy *policy; /* the program's */
  void *ctx;
  uint8_t *links;
  uint32_t n_links, cap_links;
  uint32_t cached_first, cached_last, cached; /* its messages in the cache: numbers of entries, how many */
  uint32_t relays;       /* of the joins, those to which nothing is delivered */
  uint16_t hooks;        /* a bit for each that somebody has: msub__hook() */
  uint8_t id_fn;
  uint8_t signing;                            /* MSUB__S_*; 0: strict anonymous */
  bool policy_owned, in_router;               /* in_router: join ran and leave has not */
  bool peers_filtered;                        /* somebody has may_peer */
  msub__topic_extra *extra;
} msub__topic;    /* the levels' topic blocks follow, 8-aligned */

typedef struct msub__topic_slot { msub__topic *t; uint32_t next_free; uint16_t gen; } msub__topic_slot;

typedef struct msub__router {
  const msub_plan *plan;
  msub_router *handles;   /* of its levels, outermost first */
  uint8_t *state;         /* streams, then the levels' state blocks */
  msub__session **chunks; /* msub__chunk_of() */
  msub__topic_slot *topics;
  msub__mcache *cache;    /* made with its first message */
  uint32_t n_sessions, cap_chunks, free_session, live_sessions; /* slots used so far; pointers; free list: slot + 1 */
  uint32_t n_topics, cap_topics, free_topic, live_topics;
  uint32_t session_stride; /* the plan's */
  uint8_t levels_up;      /* init ran on so many, from inside out */
} msub__router;
/* Slots of sessions stand in chunks: small ones first, for most engines have few, then larger ones, for their overhead counts.
 *
 *   chunk  0      1      …  15        16          17          18 …
 *         ┌──────┬──────┬──┬─────────┬───────────┬───────────┬──────
 *   slots │ 0-3  │ 4-7  │  │ 60-63   │  64-95    │  96-127   │ …
 *         └──────┴──────┴──┴─────────┴───────────┴───────────┴────── */
#define MSUB__CHUNK_FEW 4u
#define MSUB__CHUNK_MANY 32u
#define MSUB__SMALL_CHUNKS 16u
#define MSUB__SMALL_SLOTS (MSUB__SMALL_CHUNKS * MSUB__CHUNK_FEW)
_Static_assert(MSUB__SMALL_SLOTS % MSUB__CHUNK_MANY == 0, "large chunks begin at a multiple of their size");
static inline uint32_t msub__chunk_of(uint32_t slot) {
  return slot < MSUB__SMALL_SLOTS ? slot / MSUB__CHUNK_FEW : slot / MSUB__CHUNK_MANY + MSUB__SMALL_CHUNKS - MSUB__SMALL_SLOTS / MSUB__CHUNK_MANY;
}
static inline uint32_t msub__place_in_chunk(uint32_t slot) { return slot % (slot < MSUB__SMALL_SLOTS ? MSUB__CHUNK_FEW : MSUB__CHUNK_MANY); }
static inline uint32_t msub__chunk_slots(uint32_t chunk) { return chunk < MSUB__SMALL_CHUNKS ? MSUB__CHUNK_FEW : MSUB__CHUNK_MANY; }

typedef enum msub__question_state { MSUB__Q_FREE, MSUB__Q_JOB, MSUB__Q_PROGRAM, MSUB__Q_DEFERRED, MSUB__Q_LATER, MSUB__Q_ABANDONED } msub__question_state;
#define MSUB__STAGE_SIGNATURE 0u
#define MSUB__STAGE_VALIDATORS 1u
#define MSUB__STAGE_ADMIT UINT32_MAX
/* A message on its way through the stages: the signature, then the validators from 1 on (the engine's places, then the topic's), then the
 * channel's admit. */
typedef struct msub__case {
  const msub_msg *m;       /* NULL in a LATER */
  uint64_t fp;             /* of (topic, id) */
  msub_topic topic;
  uint32_t from[MSUB__SENDERS]; /* peers; of a LATER: who asked */
  uint32_t n_from;         /* 0: own */
  uint32_t stage;
  msub_token ticket;
  bool own, local;         /* local: for this node only */
  bool ignored;            /* a validator said IGNORE; the others still run, they may reject */
} msub__case;
typedef struct msub__question {
  msub__case c;
  uint64_t deadline;       /* NEVER in DEFERRED */
  uint8_t *id;             /* of a LATER: its length, then its bytes */
  uint32_t prev, next;     /* by deadline, or among the deferred; or free list */
  uint32_t gen;
  uint8_t state;
  uint8_t timeout;         /* which of the timed lists it is in */
  uint8_t validator;       /* the place + 1 of the one that it is counted for; 0: none */
} msub__question;
typedef struct msub__question_list { uint32_t oldest, newest; } msub__question_list; /* indexes + 1; 0: none */
/* Questions with another timeout than the engine's: a list for each, so that each is in the order of its deadlines. */
typedef struct msub__timeouts { uint64_t ns[MSUB__TIMEOUTS - 1]; msub__question_list list[MSUB__TIMEOUTS - 1]; uint32_t n; } msub__timeouts;
typedef struct msub__questions {
  msub__question *q;
  uint32_t n, cap, free, live, deferred;
  msub__question_list timed, kept; /* kept: DEFERRED */
  msub__timeouts *timeouts;        /* NULL: there is only the engine's */
  size_t bytes;            /* of the messages in it, without the deferred ones */
  msub__table by_fp;
} msub__questions;

typedef struct msub__record {
  uint64_t key, last_ns, until_ns;
  uint32_t points; /* thousandths of a point */
  uint32_t strikes;
} msub__record;
typedef struct msub__conduct {
  msub__record *e;
  uint32_t n, cap;
  msub__table table;
} msub__conduct;

/* Peer blocks of peers that went away. */
typedef struct msub__departed_peer { uint64_t until; uint32_t peer, router; uint8_t *block; } msub__departed_peer;
typedef struct msub__departed {
  msub__departed_peer *e;
  uint32_t n, cap;
  uint64_t sweep_at;
} msub__departed;

/* Ids whose message is in a policy's own cache: which topic to ask. A ring, oldest out first. */
typedef struct msub__offer { uint64_t fp; msub_topic topic; } msub__offer;
typedef struct msub__offers {
  msub__offer *e;
  uint32_t n, cap, next;
  msub__table table;
  msub_topic open[MSUB__OPEN_TOPICS]; /* joined topics with open_ids */
  uint32_t n_open;
} msub__offers;

typedef enum msub__call_kind { MSUB__CALL_JOIN, MSUB__CALL_LEAVE, MSUB__CALL_CLOSE, MSUB__CALL_PUBLISH, MSUB__CALL_COMPLETE, MSUB__CALL_DROPPED,
  MSUB__CALL_DISCONNECT, MSUB__CALL_ASK, MSUB__CALL_OFFER, MSUB__CALL_SUPPLY, MSUB__CALL_REDELIVER, MSUB__CALL_COMMAND, MSUB__CALL_PUBLISH_AS,
  MSUB__CALL_PUBLISH_WITH, MSUB__CALL_AWAIT, MSUB__CALL_BATCH, MSUB__CALL_LIST, MSUB__CALL_FEEDBACK } msub__call_kind;
typedef struct msub__call {
  msub__call_kind kind;
  int arg;              /* verdict, reason, command */
  msub_topic topic;
  msub_session session;
  msub_peer peer;
  msub_token token;
  uint32_t router, n_ids; /* of a command; ids packed in bytes: length, bytes, … */
  uint8_t *bytes;
  size_t n_bytes;
  bool has;             /* SUPPLY: there is something */
  bool anyway, local;   /* PUBLISH_WITH */
  uint32_t min_peers;
  uint64_t ns;          /* a time to wait */
  const msub_msg **msgs; /* of a dropped RPC, or supplied; held */
  size_t n_msgs;
  const msub_ctl *ctl;
  size_t wire_size;
  msub_batch *batch;    /* BATCH; the scheduler stands in it */
} msub__call;

/* A publish, or a program, that waits until a topic is ready. */
typedef struct msub__wait {
  msub_topic topic;
  uint32_t min_peers;
  uint64_t deadline;
  msub_token ticket;
  uint8_t *data;
  size_t n;
  bool publishes, anyway, local;
} msub__wait;

/* Peers that are blocked or allowed. */
typedef struct msub__listed { uint64_t key, until; } msub__listed;
typedef struct msub__lists {
  msub__listed *e;
  uint32_t n, cap;
  msub__table table;
  uint64_t next; /* when one ends */
  bool only;     /* whoever is not allowed is refused */
} msub__lists;

/* What most engines do without; made when one of these is used. */
typedef struct msub__extras {
  msub__wait *waits;       /* in the order in which they were asked for */
  uint32_t n_waits, cap_waits;
  size_t wait_bytes;
  uint64_t waits_deadline; /* the earliest */
  msub_batch *batches;     /* all of the engine */
  msub_batch *batching;    /* the one that is being published; NULL: none */
  msub_watch *watches;     /* in the order in which they began */
  uint32_t n_batches, n_watches;
  msub__lists lists;
  msub_topic_filter filter;
  void *filter_ud, *inspect_ud;
  msub_inspect_fn inspect;
} msub__extras;

typedef struct msub__work {
  msub_counts counts;
  uint64_t reasons[MSUB_REASONS];
  msub__seen seen;
  uint64_t *bad;         /* ring of hashes of messages with a bad signature */
  uint32_t n_bad, next_bad;
  msub__questions questions;
  msub__conduct conduct;
  msub__offers offers;
  msub__validators *validators; /* NULL: none */
  uint32_t validating;          /* messages that wait for a validator */
  uint32_t concluders;          /* validators that want to know outcomes */
  msub__ring inbox;
  size_t inbox_bytes;
  msub_session *scratch; /* recipients of one message */
  size_t scratch_cap;
  const struct msub_author *as; /* of the message that is being published; NULL: the node itself */
  uint8_t *encoded, *payload; /* an own message is encoded in one, a transformed payload stands in the other */
  size_t encoded_cap, payload_cap;
  struct msub__control_scratch *control_scratch;
  struct { msub_bytes id; uint64_t hash; } about; /* the message that is being taken: many want to know the hash of its id */
  msub_topic last;         /* of the last message */
  msub_published *outcome; /* whoever calls wants to know; NULL: nobody */
  uint8_t outcome_id[MSUB_MAX_ID];
} msub__work;

struct msub_engine {
  msub_shared *sh;
  const msub__config *cfg;
  void *w;
  msub_now now;
  msub__work *work;      /* NULL until it is needed */
  msub__extras *extras;  /* likewise */
  msub__table index;     /* values: MSUB__INDEX_* | router << 20 | slot */
  msub__departed departed;
  uint64_t seed, seqno, tickets;
  uint32_t self;         /* peer index of self_id */
  uint32_t n_routers;
  struct { uint32_t rpcs_in, rpcs_out, subscriptions_in; } early; /* counted before there is a work */
  bool inside, closing, silent; /* silent: the program is told nothing any more */
  bool waiting, stirred;        /* something waits for a topic to be ready; one may have become so */
  bool watching, listing, filtering, inspecting; /* what of the extras is in use */
  bool peers_filtered;          /* a topic has had may_peer */
  msub__router routers[];
};
#define MSUB__INDEX_SESSION 0u
#define MSUB__INDEX_TOPIC (1u << 23)
#define MSUB__INDEX_DEPARTED (1u << 24)
_Static_assert(MSUB__SLOTS <= 1u << 20 && MSUB__ROUTERS <= 7, "index values hold router and slot");

/* What a signature policy comes to. */
#define MSUB__S_AUTHOR 1u /* our messages have an author and a number */
#define MSUB__S_SIGN 2u   /* and a signature */
#define MSUB__S_DEMAND 4u /* those of others must have one */
#define MSUB__S_VERIFY 8u /* they may; it is verified */
static inline bool msub__verifies(const msub__topic *t, const msub_msg *m) {
  return t->signing & MSUB__S_VERIFY && m->present & MSUB_HAS_SIGNATURE;
}

/* ---- handles ---- */
static inline uint32_t msub__handle(unsigned router, uint16_t gen, uint32_t slot) {
  return (uint32_t)router << 29 | (uint32_t)gen << 20 | slot;
}
static inline unsigned msub__handle_router(uint32_t v) { return v >> 29; }
static inline uint16_t msub__handle_gen(uint32_t v) { return (uint16_t)(v >> 20 & 0x1ff); }
static inline uint32_t msub__handle_slot(uint32_t v) { return v & 0xfffff; }
static inline uint64_t msub__mix(uint64_t x) {
  x ^= x >> 30;
  x *= UINT64_C(0xbf58476d1ce4e5b9);
  x ^= x >> 27;
  x *= UINT64_C(0x94d049bb133111eb);
  return x ^ x >> 31;
}
static inline const msub_mem *msub__mem(const msub_engine *e) { return &e->sh->mem; }
/* Of a message id. While a message is taken it is worked out once. */
static inline uint64_t msub__id_hash(const msub_engine *e, msub_bytes id) {
  const msub__work *w = e->work;
  return w && id.p == w->about.id.p && id.n == w->about.id.n ? w->about.hash : msub__hash(&e->sh->key, id);
}
static inline msub_bytes msub__name_of(const msub_engine *e, uint32_t name) { return msub__intern_bytes(&e->sh->names, name); }
#define MSUB__LOGE(e, lv, ...) MSUB__LOG(&(e)->cfg->log, lv, "engine", __VA_ARGS__)
#define MSUB__WORLD(e) (&(e)->cfg->world)

/* ---- the chain: an operation runs on the outermost level that has it ---- */
#define MSUB__HAS(e, ri, op) ((e)->routers[ri].plan->entry.op != MSUB__NO_LEVEL)
#define MSUB__AT(e, ri, op) (&(e)->routers[ri].handles[(e)->routers[ri].plan->entry.op])
#define MSUB__OPS(e, ri, op) ((e)->routers[ri].plan->level[(e)->routers[ri].plan->entry.op].ops)
/* Calls a void operation, or nothing; calls one with a value, or answers dflt. The first argument (the handle) is filled in. */
#define MSUB__CALL(e, ri, op, ...) \
  do { \
    if (MSUB__HAS(e, ri, op)) MSUB__OPS(e, ri, op)->op(MSUB__AT(e, ri, op), __VA_ARGS__); \
  } while (0)
#define MSUB__ASK(e, ri, op, dflt, ...) (MSUB__HAS(e, ri, op) ? MSUB__OPS(e, ri, op)->op(MSUB__AT(e, ri, op), __VA_ARGS__) : (dflt))

/* ---- hooks.c: a hook of the topic's channel, by the usual look-up ---- */
_Static_assert(MSUB__HOOKS <= 16, "msub__topic.hooks has a bit for each");
const msub_channel_policy *msub__find_hook(const msub_engine *e, const msub__topic *t, unsigned hook, msub_channel *c);
/* NULL: nobody has it. *c is filled in when it is found. */
static inline const msub_channel_policy *msub__hook(const msub_engine *e, const msub__topic *t, unsigned hook, msub_channel *c) {
  return t->hooks >> hook & 1 ? msub__find_hook(e, t, hook, c) : NULL;
}
#define MSUB__HOOK(e, t, name, c) msub__hook(e, t, MSUB__H_##name, c)
void msub__note_hooks(const msub_engine *e, msub__topic *t); /* its policy has changed */
msub_full msub__full_rule(const msub_engine *e, const msub__topic *t);
uint8_t msub__signing(const msub_engine *e, const msub__topic *t); /* by policy and option; t->signing keeps the answer */
size_t msub__max_data(const msub_engine *e, const msub__topic *t);
size_t msub__defer_bytes(const msub_engine *e, const msub__topic *t);
bool msub__open_ids(const msub_engine *e, const msub__topic *t);
/* Somebody's answer was nonsense: counted, logged and traced. */
void msub__fault(msub_engine *e, const char *whose, const char *what);
/* Names of who a fault of the topic's hooks is. */
const char *msub__policy_name(const msub_channel_policy *p);

/* ---- engine.c: entering and leaving ---- */
/* OK, or STATE from a callback or while closing. */
MSUB_MUST int msub__enter(msub_engine *e, const msub_now *now);
void msub__leave(msub_engine *e); /* runs deferred calls */
msub__work *msub__need_work(msub_engine *e); /* NULL: no memory */
void msub__count_early(msub_engine *e, size_t member);
#define MSUB__COUNT_N(e, name, by) \
  do { \
    if ((e)->work) (e)->work->counts.name += (by); \
    else for (uint64_t msub__i = (by); msub__i; msub__i--) msub__count_early(e, offsetof(msub_counts, name)); \
  } while (0)
#define MSUB__COUNT(e, name) MSUB__COUNT_N(e, name, 1u)
void msub__count_reason(msub_engine *e, int reason);
#define MSUB__COUNT_TOPIC(t, name, by) \
  do { \
    if ((t)->extra && (t)->extra->counts) (t)->extra->counts->name += (by); \
  } while (0)

/* ---- trace.c ---- */
#define MSUB__TRACED(e) (MSUB__WORLD(e)->trace != NULL && !(e)->silent)
void msub__trace(msub_engine *e, unsigned ri, msub_event ev);
#define MSUB__TRACE(e, ri, ...) \
  do { \
    if (MSUB__TRACED(e)) msub__trace(e, ri, (msub_event){ __VA_ARGS__ }); \
  } while (0)

/* ---- session.c ---- */
static inline msub__session *msub__session_at(const msub_engine *e, unsigned ri, uint32_t slot) {
  const msub__router *r = &e->routers[ri];
  return (msub__session *)(void *)((uint8_t *)r->chunks[msub__chunk_of(slot)] + (size_t)msub__place_in_chunk(slot) * r->session_stride);
}
static inline msub__session *msub__session_of(const msub_engine *e, msub_session h) { /* NULL: stale */
  unsigned ri = msub__handle_router(h.v);
  uint32_t slot = msub__handle_slot(h.v);
  if (ri >= e->n_routers || slot >= e->routers[ri].n_sessions) return NULL;
  msub__session *s = msub__session_at(e, ri, slot);
  return s->peer && s->gen == msub__handle_gen(h.v) ? s : NULL; /* no slot in use has generation 0, as {0} has */
}
static inline msub_session msub__session_handle(const msub_engine *e, unsigned ri, uint32_t slot) {
  return (msub_session){ msub__handle(ri, msub__session_at(e, ri, slot)->gen, slot) };
}
uint32_t msub__session_find(const msub_engine *e, unsigned ri, uint32_t peer); /* slot or MSUB__NONE */
static inline uint16_t *msub__session_topics(msub__session *s) { return s->doublings ? s->topics.many : s->topics.few; }
void msub__session_info_of(const msub_engine *e, unsigned ri, const msub__session *s, msub_session_info *out);
void msub__session_end(msub_engine *e, unsigned ri, uint32_t slot);
/* The peer announced or gave up a topic. name: its index when it is known, else 0. */
void msub__session_subscribe(msub_engine *e, unsigned ri, uint32_t slot, msub_bytes topic, uint32_t flags);
void msub__session_unsubscribe(msub_engine *e, unsigned ri, uint32_t slot, msub_bytes topic);
/* The hello was read: what was not announced again ends. */
void msub__session_hello_read(msub_engine *e, unsigned ri, uint32_t slot);

/* ---- departed.c ---- */
uint64_t msub__index_hash(uint32_t kind, unsigned ri, uint32_t key);
/* Keeps the peer part of a session that ends, as long as its router wants. */
void msub__depart(msub_engine *e, unsigned ri, uint32_t slot, uint64_t until);
/* Copies it back into a new session; false: it was not kept. */
bool msub__return(msub_engine *e, unsigned ri, uint32_t slot);
uint8_t *msub__departed_block(const msub_engine *e, unsigned ri, uint32_t peer); /* NULL: not kept */
void msub__departed_sweep(msub_engine *e);
void msub__departed_fini(msub_engine *e);

/* ---- topic.c ---- */
static inline msub__topic *msub__topic_of(const msub_engine *e, msub_topic h) { /* NULL: stale */
  unsigned ri = msub__handle_router(h.v);
  uint32_t slot = msub__handle_slot(h.v);
  if (ri >= e->n_routers || slot >= e->routers[ri].n_topics) return NULL;
  msub__topic *t = e->routers[ri].topics[slot].t;
  return t && t->handle.v == h.v ? t : NULL;
}
msub__topic *msub__topic_find(const msub_engine *e, unsigned ri, uint32_t name);
/* Finds or makes. NULL: *err is NOMEM or LIMIT. */
msub__topic *msub__topic_get(msub_engine *e, unsigned ri, msub_bytes name, int *err);
void msub__topic_release(msub_engine *e, msub__topic *t); /* frees it when nobody needs it */
uint8_t *msub__topic_blocks(msub__topic *t);
msub__topic_extra *msub__topic_extra_of(msub_engine *e, msub__topic *t); /* made when needed; NULL: no memory */
static inline msub__link *msub__link_at(const msub_engine *e, const msub__topic *t, uint32_t i) {
  return (msub__link *)(void *)(t->links + (size_t)i * e->routers[msub__handle_router(t->handle.v)].plan->link_stride);
}
uint32_t msub__link_find(const msub_engine *e, const msub__topic *t, uint32_t slot); /* index or MSUB__NONE */
msub__link *msub__link_add(msub_engine *e, msub__topic *t, uint32_t slot);          /* zeroed; NULL: no memory */
void msub__link_remove(msub_engine *e, msub__topic *t, uint32_t index);
size_t msub__topic_count(const msub_engine *e);
static inline bool msub__listens(const msub__topic *t) { return t->joins > t->relays; } /* is there somebody to deliver to? */
int msub__join_effect(msub_engine *e, msub_topic t);
void msub__leave_effect(msub_engine *e, msub_topic t);
void msub__close_effect(msub_engine *e, msub_topic t);
void msub__topics_fini(msub_engine *e);

/* ---- message.c ---- */
/* A message of wire and id; NULL: no memory. The fields are those of `like` (borrowed, or owned). */
const msub_msg *msub__msg_new(msub_shared *sh, const msub_msg *like, uint8_t id_fn, msub_bytes id);
/* A borrowed one on the caller's stack; false: a field is longer than any message's may be. */
bool msub__msg_borrow(msub_msg_borrowed *m, const msub_msg_view *v, uint32_t name);
/* The id by the topic's function or the default; 0: it has none. */
size_t msub__message_id(msub_engine *e, const msub__topic *t, const msub_msg *m, uint8_t out[MSUB_MAX_ID]);
uint8_t msub__id_fn(msub_engine *e, const msub__topic *t); /* for t->id_fn, at the beginning of a membership */
/* Control entries in a block of their own, ids and px copied (those of a shared entry held), encoded. NULL: no memory. */
const msub_ctl *msub__ctl_new(msub_shared *sh, const msub_ctl_entry *e, size_t n);
/* One entry, which says itself that it is shared (`of`). */
const msub_ctl *msub__ctl_shared(msub_shared *sh, const msub_ctl_entry *e);
static inline msub_msg *msub__msg_mutable(const msub_msg *m) { return (msub_msg *)(uintptr_t)m; }
static inline size_t msub__message_rpc_size(const msub_msg *m) { return 1 + msub_varint_size(m->wire_n) + m->wire_n; }

/* ---- publish.c ---- */
int msub__publish(msub_engine *e, msub_topic t, msub_bytes data, msub_token ticket, bool local);
int msub__publish_as(msub_engine *e, const msub__call *c); /* c->bytes: a packed author, then the data */
bool msub__publish_room(const msub_engine *e, const msub__topic *t, size_t bytes); /* do all queues take so much? */
void msub__tell_published(msub_engine *e, const msub_published *p);
/* Wraps a payload as a message of this topic by this node. NULL: *err says why (the id it has is not `want`: INVAL). want.n == 0: any. */
const msub_msg *msub__wrap(msub_engine *e, msub__topic *t, msub_bytes data, msub_bytes want, int *err);
bool msub__send(msub_engine *e, const msub__session *s, msub_session h, const msub_rpc *rpc, msub_lane lane); /* h: its handle */
/* Sends an accepted message to whom the router names; out: whom it reached. */
void msub__forward(msub_engine *e, const msub__case *c, msub_published *out);
msub_reach msub__reach_of(const msub__topic *t, const msub_published *p);
msub_list msub__scratch(msub_engine *e, size_t need); /* an empty list; cap may be less than need without memory */
uint8_t *msub__room(msub_engine *e, uint8_t **p, size_t *cap, size_t n); /* grows a buffer of work; NULL: no memory, the buffer is gone */

/* ---- wait.c: what waits until a topic is ready ---- */
msub__extras *msub__need_extras(msub_engine *e); /* NULL: no memory */
void msub__waits_check(msub_engine *e);          /* at the end of a call that stirred */
void msub__waits_of_topic(msub_engine *e, msub_topic t); /* the membership is over */
int msub__publish_with_effect(msub_engine *e, const msub__call *c);
int msub__await_effect(msub_engine *e, const msub__call *c);
void msub__extras_fini(msub_engine *e);

/* ---- watch.c ---- */
void msub__watch_tell(msub_engine *e, msub_topic t, uint32_t peer, bool joined);
void msub__watches_of_topic(msub_engine *e, msub_topic t); /* the membership is over */
void msub__watches_fini(msub_engine *e);

/* ---- lists.c ---- */
/* A msub_reason, NONE when the peer may have a session; until when (may be NULL): NEVER, or 0. */
int msub__list_refuses(const msub_engine *e, msub_bytes id, uint64_t now_ns, uint64_t *until_ns);
bool msub__list_blocks(const msub_engine *e, msub_bytes id);
void msub__lists_expire(msub_engine *e);
int msub__list_effect(msub_engine *e, const msub__call *c);
void msub__lists_fini(msub_engine *e);

/* ---- guard.c ---- */
bool msub__filter_allows(const msub_engine *e, msub_bytes topic, uint32_t peer); /* e->filtering */
/* e->inspecting: may it be read? */
bool msub__inspected(msub_engine *e, msub_session h, uint32_t peer, msub_bytes frame, const msub_rpc_counts *n);
bool msub__inspected_rpc(msub_engine *e, msub_session h, uint32_t peer, const msub_rpc *rpc);
bool msub__may_peer(const msub_engine *e, const msub__topic *t, msub_session s);
/* A router's recipient: the reference filters the mesh only. */
static inline bool msub__may_get(const msub_engine *e, const msub__topic *t, msub_session s) {
  return !t->peers_filtered || e->cfg->go_parity || msub__may_peer(e, t, s);
}
bool msub__may_have(const msub_engine *e, unsigned ri, uint32_t slot, uint32_t name); /* a message of this topic; e->peers_filtered */
int msub__feedback_effect(msub_engine *e, const msub__call *c);

/* ---- batch.c ---- */
/* An accepted own message of the batch that is being published: its copies are noted. false: it is of none. */
bool msub__batch_takes(msub_engine *e, const msub__case *c);
void msub__batch_deferred(msub_batch *b);
void msub__batches_fini(msub_engine *e);

/* ---- announce.c: control that leaves ---- */
/* To each session, encoded once, split. How many took all of it. */
size_t msub__send_control(msub_engine *e, const msub_session *to, size_t n_to, const msub_ctl_entry *entries, size_t n, msub_lane lane);
/* Tells all joined topics of the session's router. again: on the same stream, without the extensions. */
void msub__send_hello(msub_engine *e, unsigned ri, uint32_t slot, bool again);
void msub__announce(msub_engine *e, const msub__topic *t, bool joined);

/* ---- verdict.c ---- */
/* Who brought it: {0}: we ourselves; MSUB_SESSION_GONE. */
msub_session msub__case_from(const msub_engine *e, const msub__case *c);
/* Runs the stages from c->stage on. Takes over the case's reference to m. OK: concluded or pending; else the publisher's error. */
int msub__judge(msub_engine *e, msub__case *c);
/* The answer of the stage that the case stood at; the same contract. */
int msub__resume(msub_engine *e, msub__case *c, msub_verdict v);
/* An outcome; gives the reference to m back. */
int msub__conclude(msub_engine *e, msub__case *c, msub_verdict v, int reason);
uint64_t msub__fingerprint(const msub_engine *e, const msub__topic *t, msub_bytes id);

/* ---- deliver.c ---- */
typedef enum msub__delivery { MSUB__TAKEN, MSUB__FULL_DROPPED, MSUB__FULL_REFUSED, MSUB__BAD_PAYLOAD } msub__delivery;
msub__delivery msub__deliver(msub_engine *e, msub__topic *t, const msub_msg *m, uint32_t from);
void msub__redeliver(msub_engine *e, msub_topic t);
void msub__drop_latest(msub_engine *e, msub__topic_extra *x);

/* ---- question.c ---- */
/* Opens a question about the case (which is copied, its peers held). 0: no room. */
msub_token msub__question_open(msub_engine *e, const msub__case *c, msub__question_state st, unsigned timeout);
/* The list for this timeout; -1: there are too many different ones; -2: no memory. 0 ns: the engine's. */
int msub__question_timeout(msub_engine *e, uint64_t ns);
void msub__question_counted(msub_engine *e, msub_token t, unsigned validator); /* it waits for the validator of this place */
/* A LATER about an id, asked by a session's peer. 0: no room. */
msub_token msub__question_later(msub_engine *e, msub_topic t, uint32_t peer, msub_bytes id);
/* Another sender of bytes under judgement: true: they are. */
bool msub__question_copy(msub_engine *e, uint64_t fp, msub_bytes wire, uint32_t peer);
bool msub__question_room(const msub_engine *e, size_t bytes, bool throttled);
/* The open one turns into a DEFERRED; false: over the topic's quota. */
bool msub__question_defer(msub_engine *e, msub_token t);
int msub__question_answer(msub_engine *e, msub_token t, msub_verdict v);
/* Takes a LATER out: false: STALE. id: 1 + MSUB_MAX_ID bytes, filled with its length and bytes. */
bool msub__question_supplied(msub_engine *e, msub_token t, msub_topic *topic, uint32_t *peer, uint8_t *id);
void msub__question_cancel(msub_engine *e, msub_token t); /* just opened, never asked */
void msub__questions_of_topic(msub_engine *e, msub_topic t); /* it was left */
void msub__questions_expire(msub_engine *e);
uint64_t msub__questions_deadline(const msub_engine *e);
bool msub__questions_recall_all(msub_engine *e); /* false: a job still runs */
void msub__questions_fini(msub_engine *e);

/* ---- serve.c: IWANT's answers ---- */
void msub__cache_put(msub_engine *e, msub__topic *t, const msub_msg *m);
int msub__serve(msub_router *r, uint32_t slot, msub_bytes id, msub_serving *how);
int msub__supply(msub_engine *e, msub_token t, const msub_cached *c); /* NULL: nothing */
/* IHAVE went out with these ids: the topic's policy may be asked for them. */
void msub__offered(msub_engine *e, const msub__topic *t, const msub_bytes *ids, size_t n);
void msub__open_topic(msub_engine *e, const msub__topic *t, bool on);
void msub__offers_fini(msub_engine *e);

/* ---- validator.c ---- */
/* The validator at *place or behind it, the engine's before the topic's own; NULL: there are no more. */
msub__validator *msub__validator_next(const msub_engine *e, const msub__topic *t, uint32_t *place);
/* May one more message wait for it? */
bool msub__validator_room(const msub_engine *e, const msub__topic *t, const msub__validator *v);
/* One more waits, or one less. t: NULL when it is gone. */
void msub__validator_count(msub_engine *e, msub__topic *t, uint32_t place, bool more);
void msub__validators_concluded(msub_engine *e, const msub__topic *t, const msub__case *c, msub_verdict v);
void msub__validators_free(msub_engine *e, msub__validators *v);

/* ---- conduct.c ---- */
void msub__conduct_fini(msub_engine *e);
uint64_t msub__conduct_prefix(const msub_engine *e, msub_bytes address); /* 0: none, or loopback */
/* Notes it. Disconnects the peer when its budget is spent. peer or prefix may be 0. */
void msub__blame(msub_engine *e, uint32_t peer, uint64_t prefix, int reason, unsigned weight);
void msub__blame_id(msub_engine *e, msub_bytes peer_id, uint64_t prefix, int reason, unsigned weight);
uint64_t msub__conduct_until(const msub_engine *e, msub_bytes peer_id, uint64_t prefix);

/* ---- deferred.c ---- */
MSUB_MUST int msub__deferred_push(msub_engine *e, const msub__call *c, msub_bytes payload);
void msub__deferred_run(msub_engine *e);
void msub__deferred_fini(msub_engine *e);

/* ---- control.c ---- */
void msub__control(msub_engine *e, unsigned ri, uint32_t slot, msub_bytes frame);
void msub__control_fini(msub_engine *e);
#endif
