/* pubsub/engine.h: the engine's structs, for the files of this folder.
 *
 *   msub_shared ── names, peers (strings as indexes), plans
 *   msub_engine ── routers[] ── sessions (chunks of 4 that never move), topics (a block each)
 *                │                 │                                  │
 *                │                 └ topics it announced (slots)      └ links, sorted by session slot
 *                ├ seen, bad bytes
 *                ├ questions: messages under judgement
 *                ├ conduct: what peers and prefixes did
 *                └ inbox: deferred calls
 */
#ifndef MSUB_PUBSUB_ENGINE_H
#define MSUB_PUBSUB_ENGINE_H
#include "base/assert.h"
#include "base/deadline.h"
#include "base/log.h"
#include "base/ring.h"
#include "base/rng.h"
#include "meshsub/engine.h"
#include "meshsub/rpc.h"
#include "pubsub/intern.h"
#include "pubsub/limits.h"
#include "pubsub/seen.h"

struct msub_shared {
  msub_mem mem;
  msub__hashkey key;
  msub__interns names, peers;
  struct msub_plan *plans;
  size_t engines, messages, controls;
};

/* One router of a plan. */
struct msub_level {
  const msub_router_ops *ops;
  const void *opts;
  uint32_t state_n, session_n, topic_n, link_n;
};
struct msub_plan {
  struct msub_plan *next;
  struct msub_level level;
  msub_router_ops ops; /* the plug-in's table; members it does not have are NULL */
  uint32_t n_protocols;
  struct { char *id; uint16_t features; } protocols[MSUB__PROTOCOLS];
};

typedef struct msub__session {
  uint64_t link;
  uint64_t prefix;      /* conduct's key of its address, 0: none */
  uint32_t peer;        /* 0: the slot is free, then next_free counts */
  uint32_t next_free;
  uint32_t *topics;     /* slots of the topics that the peer announced */
  uint32_t n_topics, cap_topics, topic_bytes;
  uint32_t resume_at;   /* a frame of which a part was handled: where to go on */
  uint16_t gen;
  uint8_t protocol;     /* index in the plan */
  bool outbound, agreed, hello_due, throttled;
} msub__session;

typedef struct msub__link {
  uint32_t session;     /* slot */
  uint32_t flags;       /* MSUB_SUB_*, MSUB__LINK_STALE; the router's block follows */
} msub__link;
#define MSUB__LINK_STALE 0x80000000u /* announced on an older stream, not yet again */

typedef struct msub__validator { msub_validate_fn fn; void *ud; } msub__validator;
typedef struct msub__validators { msub__validator v[MSUB__VALIDATORS]; uint32_t n; } msub__validators;

typedef struct msub__topic {
  msub_topic handle;
  uint32_t name;
  uint32_t joins;
  const msub_channel_policy *policy;
  msub_channel_policy policy_copy; /* with members that the plug-in's table lacks as NULL */
  uint8_t *links;
  uint32_t n_links, cap_links;
  msub__validators *validators;
  bool in_router; /* router.join ran and leave has not */
} msub__topic;    /* the router's topic block follows, 8-aligned */

typedef struct msub__router {
  const struct msub_plan *plan;
  void *state;
  msub__session **chunks; /* of MSUB__CHUNK sessions */
  uint32_t n_sessions, cap_chunks, free_session; /* slots used so far, pointers; free list: slot + 1 */
  uint32_t live_sessions, session_stride;
  msub__topic **topics;   /* by slot; NULL: free */
  uint16_t *topic_gens;
  uint32_t *topic_free;
  uint32_t n_topics, cap_topics, n_topic_free, live_topics;
  uint32_t link_stride;
  bool up; /* init ran */
  msub__rng rng[MSUB__RNG_STREAMS];
} msub__router;
#define MSUB__CHUNK 4u

typedef enum msub__question_state { MSUB__Q_FREE, MSUB__Q_JOB, MSUB__Q_PROGRAM, MSUB__Q_ABANDONED } msub__question_state;
/* A message on its way through the stages: 0 signature, then the validators. */
typedef struct msub__case {
  const msub_msg *m;
  uint64_t fp;             /* of (topic, id) */
  msub_topic topic;
  uint32_t from[MSUB__SENDERS]; /* peers */
  uint32_t n_from;         /* 0: own */
  uint32_t stage;
  msub_token ticket;
  bool own;
  bool ignored;            /* a validator said IGNORE; the others still run, they may reject */
} msub__case;
typedef struct msub__question {
  msub__case c;
  uint64_t deadline;
  uint32_t prev, next;     /* by deadline; or free list */
  uint32_t gen;
  uint8_t state;
} msub__question;
typedef struct msub__questions {
  msub__question *q;
  uint32_t n, cap, free, live, oldest, newest; /* indexes + 1; 0: none */
  size_t bytes;            /* of the messages in it */
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

typedef enum msub__call_kind { MSUB__CALL_JOIN, MSUB__CALL_LEAVE, MSUB__CALL_PUBLISH, MSUB__CALL_COMPLETE, MSUB__CALL_DROPPED,
  MSUB__CALL_DISCONNECT } msub__call_kind;
typedef struct msub__call {
  msub__call_kind kind;
  int arg;              /* verdict, reason */
  msub_topic topic;
  msub_session session;
  msub_peer peer;
  msub_token token;
  uint8_t *bytes;       /* payload of a publish */
  size_t n_bytes;
  const msub_msg **msgs; /* of a dropped RPC, held */
  size_t n_msgs;
  const msub_ctl *ctl;
  size_t wire_size;
} msub__call;

struct msub_engine {
  msub_shared *sh;
  const msub_world_ops *world;
  msub_world_ops world_copy;
  void *w;
  msub_now now;
  bool inside, closing;
  bool go_parity;
  msub_sign_policy sign;
  msub_verdict (*verify)(const void *wire, size_t n);
  uint32_t verify_cost_ns;
  uint64_t validate_timeout_ns;
  uint32_t pending_messages;
  size_t pending_bytes, max_rpc, max_message;
  uint32_t self;         /* peer index of self_id */
  uint8_t *key_field;
  size_t key_field_n;
  uint64_t seqno, tickets;
  msub_log log;

  msub__router routers[MSUB__ROUTERS];
  msub_router handles[MSUB__ROUTERS];
  size_t n_routers;
  msub__table sessions_by_peer, topics_by_name;
  msub__seen seen;
  uint64_t *bad;         /* ring of hashes of messages with a bad signature */
  uint32_t n_bad, next_bad;
  msub__questions questions;
  msub__conduct conduct;
  msub__validators validators;
  msub__ring inbox;
  size_t inbox_bytes;
  msub_session *scratch; /* recipients of one message */
  size_t scratch_cap;
  uint8_t *encoded;      /* an own message is encoded here */
  size_t encoded_cap;
  struct msub__control_scratch *control_scratch;
  msub_counts counts;
  uint64_t reasons[MSUB_REASONS];
};

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
static inline unsigned msub__router_index(const msub_router *r) { return (unsigned)(r - r->engine->handles); }
static inline const msub_router_ops *msub__ops(const msub_engine *e, unsigned ri) { return &e->routers[ri].plan->ops; }
#define MSUB__LOGE(e, lv, ...) MSUB__LOG(&(e)->log, lv, "engine", __VA_ARGS__)

/* ---- engine.c: entering and leaving ---- */
/* OK, or STATE from a callback or while closing. */
MSUB_MUST int msub__enter(msub_engine *e, const msub_now *now);
void msub__leave(msub_engine *e); /* runs deferred calls */

/* ---- session.c ---- */
msub__session *msub__session_at(const msub_engine *e, unsigned ri, uint32_t slot);
msub__session *msub__session_of(const msub_engine *e, msub_session s); /* NULL: stale */
msub_session msub__session_handle(const msub_engine *e, unsigned ri, uint32_t slot);
uint32_t msub__session_find(const msub_engine *e, unsigned ri, uint32_t peer); /* slot or MSUB__NONE */
void *msub__session_block(const msub_engine *e, msub__session *s);
void msub__session_info_of(const msub_engine *e, unsigned ri, const msub__session *s, msub_session_info *out);
void msub__session_end(msub_engine *e, unsigned ri, uint32_t slot);
/* The peer announced or gave up a topic. */
void msub__session_subscribe(msub_engine *e, unsigned ri, uint32_t slot, msub_bytes topic, uint32_t flags);
void msub__session_unsubscribe(msub_engine *e, unsigned ri, uint32_t slot, msub_bytes topic);
/* The hello was read: what was not announced again ends. */
void msub__session_hello_read(msub_engine *e, unsigned ri, uint32_t slot);

/* ---- topic.c ---- */
msub__topic *msub__topic_of(const msub_engine *e, msub_topic t); /* NULL: stale */
msub__topic *msub__topic_find(const msub_engine *e, unsigned ri, uint32_t name);
/* Finds or makes. NULL: *err is NOMEM or LIMIT. */
msub__topic *msub__topic_get(msub_engine *e, unsigned ri, msub_bytes name, int *err);
void msub__topic_release(msub_engine *e, msub__topic *t); /* frees it when nobody needs it */
void *msub__topic_block(msub__topic *t);
static inline msub__link *msub__link_at(const msub_engine *e, const msub__topic *t, uint32_t i) {
  return (msub__link *)(void *)(t->links + (size_t)i * e->routers[msub__handle_router(t->handle.v)].link_stride);
}
uint32_t msub__link_find(const msub_engine *e, const msub__topic *t, uint32_t slot); /* index or MSUB__NONE */
msub__link *msub__link_add(msub_engine *e, msub__topic *t, uint32_t slot);          /* zeroed; NULL: no memory */
void msub__link_remove(msub_engine *e, msub__topic *t, uint32_t index);
size_t msub__topic_count(const msub_engine *e);
int msub__join_effect(msub_engine *e, msub_topic t);
void msub__leave_effect(msub_engine *e, msub_topic t);
void msub__topics_fini(msub_engine *e);

/* ---- message.c ---- */
/* A message of wire and id; NULL: no memory. The fields are located by v (views into wire's original). */
const msub_msg *msub__msg_new(msub_shared *sh, const msub_msg_view *v, uint32_t name, const void *id_fn, msub_bytes id);
/* A borrowed one on the caller's stack; false: a field is longer than any message's may be. */
bool msub__msg_borrow(msub_msg *m, const msub_msg_view *v, uint32_t name);
/* The id by the topic's function or the default; 0: it has none. */
size_t msub__message_id(const msub__topic *t, const msub_msg *m, uint8_t out[MSUB_MAX_ID]);
const msub_ctl *msub__ctl_new(msub_shared *sh, const msub_ctl_entry *e, size_t n);
static inline msub_msg *msub__msg_mutable(const msub_msg *m) { return (msub_msg *)(uintptr_t)m; }

/* ---- publish.c ---- */
int msub__publish(msub_engine *e, msub_topic t, msub_bytes data, msub_token ticket);
bool msub__send(msub_engine *e, unsigned ri, uint32_t slot, const msub_rpc *rpc, msub_lane lane);
/* Sends an accepted message to whom the router names. Recipients that took it. */
uint32_t msub__forward(msub_engine *e, const msub__case *c);
/* Tells all joined topics of the session's router. */
void msub__send_hello(msub_engine *e, unsigned ri, uint32_t slot);
void msub__announce(msub_engine *e, const msub__topic *t, bool joined);

/* ---- verdict.c ---- */
/* Runs the stages from c->stage on. Takes over the case's reference to m. OK: concluded or pending; else the publisher's error. */
int msub__judge(msub_engine *e, msub__case *c);
/* The answer of the stage that the case stood at; the same contract. */
int msub__resume(msub_engine *e, msub__case *c, msub_verdict v);
/* An outcome; gives the reference to m back. */
int msub__conclude(msub_engine *e, msub__case *c, msub_verdict v, int reason);
uint64_t msub__fingerprint(const msub_engine *e, const msub__topic *t, msub_bytes id);

/* ---- question.c ---- */
/* Opens a question about the case (which is copied, its peers held). 0: no room. */
msub_token msub__question_open(msub_engine *e, const msub__case *c, msub__question_state st);
/* Another sender of bytes under judgement: true: they are. */
bool msub__question_copy(msub_engine *e, uint64_t fp, msub_bytes wire, uint32_t peer);
bool msub__question_room(const msub_engine *e, size_t bytes, bool throttled);
int msub__question_answer(msub_engine *e, msub_token t, msub_verdict v);
void msub__question_cancel(msub_engine *e, msub_token t); /* just opened, never asked */
void msub__questions_of_topic(msub_engine *e, msub_topic t); /* it was left */
void msub__questions_expire(msub_engine *e);
uint64_t msub__questions_deadline(const msub_engine *e);
bool msub__questions_recall_all(msub_engine *e); /* false: a job still runs */
void msub__questions_fini(msub_engine *e);

/* ---- validator.c ---- */
/* The i-th validator of the topic, the engine's before its own; NULL: there are no more. */
const msub__validator *msub__validator_at(const msub_engine *e, const msub__topic *t, uint32_t i);

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
