/* meshsub/engine.h: the pubsub engine. Start here.
 *
 * An engine speaks libp2p's pubsub protocols for one node: it keeps topics, peers and what was seen, judges messages, and asks a
 * router (router.h) who gets them. It does no I/O: a *world* (world.h) feeds it frames and time and carries what it sends. The
 * host of libmeshsub-host (host.h) is such a world on TCP.
 *
 * The life of a message that a peer sends:
 *
 *   msub_receive(frame)
 *     scan            every length and count against its limit, before anything is created         → MALFORMED, LIMIT
 *     accept_from     the router may take control only, or nothing, from this peer; the rest is counted as unheard
 *     subscriptions   topics that the peer announces; router hears remote_join, remote_leave
 *     each message:
 *       channel       a topic that nobody here joined: dropped, counted
 *       id            the channel's message-id function
 *       seen?         yes: router.duplicate(). One look-up, no allocation
 *       pending?      same id and same bytes as one being judged: one more sender of it
 *       copy          once, into a block of its own size
 *       signature     policy of the engine; verified at once or by world.offload (then PENDING)
 *       arrived       router.arrived()
 *       validators    in order of registration; each may answer PENDING
 *       verdict       ACCEPT: world.deliver, seen, router.validated, router.publish → world.send
 *                     IGNORE: seen · REJECT: seen as invalid · THROTTLED: not seen, it may come again
 *     control         router.control()
 *
 * and of an own publish: msub_publish → encode, sign → id → validators → verdict as above.
 *
 * Nothing that an unverified message claims (its id least of all) can suppress another message: seen is written only after the
 * signature was verified, and a message under judgement is matched by its bytes.
 *
 * Threads: an engine belongs to one thread, and so does the msub_shared behind it; nothing here locks.
 * Re-entry: callbacks (operations of worlds and routers, validators) may make the calls marked [deferred], with now == NULL.
 * Arguments are checked and bytes are copied at once, the effect follows in order before the outermost call returns; after 256
 * of them the rest waits and msub_next_deadline() answers "now". Inbox full: LIMIT, and nothing happened. Every other call from
 * a callback answers STATE, and so does a deferred one that brings a time. */
#ifndef MESHSUB_ENGINE_H
#define MESHSUB_ENGINE_H
#include "log.h"
#include "router.h"
#include "world.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct msub_shared msub_shared; /* allocator, hash keys, peer ids, topic names, plans: once for many engines */
typedef struct msub_plan msub_plan;     /* a router with its options, laid out; owned by the shared */
typedef struct msub_engine msub_engine;

/* ---- the shared ---- */

/* mem: NULL for malloc; copied. entropy: 32 unpredictable bytes (a simulation: bytes of its seed); they key every hash table
 * that peers can fill. NOMEM. */
MSUB_API int msub_shared_new(const msub_mem *mem, const uint8_t entropy[32], msub_shared **out);
/* STATE: an engine of it, or a message of it, is still alive. NULL is fine. */
MSUB_API int msub_shared_free(msub_shared *sh);
/* Lays a router with what it nests out. `opts` (may be NULL) must outlive the plan, which lives as long as the shared. INVAL: no
 * layout, wrong abi, no protocol; LIMIT: 8 protocols, 4 levels, or blocks above 64 KiB; NOMEM; or what layout answered. */
MSUB_API int msub_plan_new(msub_shared *sh, const msub_router_ops *ops, const void *opts, const msub_plan **out);
/* The protocol ids that its router claimed, newest first; NULL past the end. */
MSUB_API const char *msub_plan_protocol(const msub_plan *p, size_t i);
/* Topic names and peer ids behind their indexes; empty view: unknown. Valid while something holds the name or the peer. */
MSUB_API msub_bytes msub_name_bytes(const msub_shared *sh, uint32_t name);
MSUB_API msub_bytes msub_peer_bytes(const msub_shared *sh, msub_peer p);
/* Keeps a peer's index valid beyond its session; STALE. Each hold needs a drop. */
MSUB_API int msub_peer_hold(msub_shared *sh, msub_peer p);
MSUB_API void msub_peer_drop(msub_shared *sh, msub_peer p);

/* ---- the engine ---- */

/* What is sent and taken. "Author" is from and the sequence number. Messages of others that obey are taken; one that does not is rejected.
 *
 *                          sent              without a signature       with a signature
 *   STRICT_SIGN            author, signed    rejected                  verified
 *   STRICT_NO_SIGN         neither           taken when anonymous      rejected
 *   STRICT_NO_SIGN_AUTHOR  author            taken                     rejected
 *   LAX_SIGN               author, signed    taken                     verified
 *   LAX_NO_SIGN            author            taken                     verified
 *
 * STRICT_NO_SIGN is the specification's: none of from, seqno, signature, key is sent, and a message that has one of them, even empty, is
 * rejected. The last three are for networks that run them already. STRICT_NO_SIGN_AUTHOR is what go-libp2p-pubsub does under StrictNoSign
 * as long as it has an author. With all three anybody can write a message in anybody's name; with the default id (author and number) such a
 * message also takes the place of the real one. Give the topic an id function over the data, or sign strictly, where that matters.
 * Sources: pubsub specification "Signature Policy Options", go-libp2p-pubsub sign.go. */
typedef enum msub_sign_policy { MSUB_STRICT_SIGN, MSUB_STRICT_NO_SIGN, MSUB_STRICT_NO_SIGN_AUTHOR, MSUB_LAX_SIGN, MSUB_LAX_NO_SIGN } msub_sign_policy;
#define MSUB_SIGN_POLICIES 5

/* Of messages that are signed or numbered. */
typedef struct msub_signing_opts {
  /* Verifies n messages at once, wires[i] a whole encoded Message, as msub_engine_opts.verify would one: for a library that verifies batches
   * faster than one by one. A world with threads gives it what waits, at most 64 a time; without offload() it is not used. NULL: none, the default (libsodium verifies one by
   * one). Pure, any thread. */
  void (*verify_many)(const msub_bytes *wires, size_t n, msub_verdict *verdicts);
  /* The next sequence number of an own message: OK and *number, above every one before; or the error that the publish answers. At once; no
   * call into the engine. NULL: a counter that begins at the wall clock in nanoseconds and goes up by one, so that a restart repeats none
   * while the clock does not go back. msub_numbers_next of author.h keeps it in a store. */
  int (*next_seqno)(void *ud, uint64_t *number);
  void *seqno_ud;
} msub_signing_opts;

/* How many messages may wait for validators that said PENDING. One more is THROTTLED, and counted in validators_full; verifications are
 * bounded by pending_messages, and so is all of it. A validator has a bound of its own besides (msub_validator_opts.concurrency). */
typedef struct msub_validation_opts {
  uint32_t pending;           /* of the engine; 4,096 */
  uint32_t pending_per_topic; /* 1,024 */
} msub_validation_opts;

typedef struct msub_engine_opts {
  uint32_t size;              /* set by msub_engine_opts_init */
  const msub_world_ops *world;
  void *w;                    /* handed to every operation of world */
  const msub_plan *const *routers; /* 1 … 7 plans; a protocol id belongs to one of them */
  size_t n_routers;
  uint64_t seed;              /* of the engine's random streams */
  msub_bytes self_id;         /* own peer id; copied. A message whose author it is is never taken from others */
  msub_sign_policy sign;      /* of topics whose policy does not say */
  msub_bytes key_field;       /* encoded public key, for the field `key`, when self_id does not hold it; copied */
  /* Verifies a whole encoded Message, signature over the rest included: msub_signature_verify of libmeshsub-crypto. Required
   * under the policies that verify. Pure, any thread; ACCEPT, REJECT, or IGNORE where implementations honestly differ. */
  msub_verdict (*verify)(const void *wire, size_t n);
  uint32_t verify_cost_ns;    /* hint for simulated nodes; default 40,000 */
  bool go_parity;             /* match the reference implementation's quirks and work limits (docs/conformance.md) */
  uint64_t seen_ttl_ns;       /* 120 s */
  size_t seen_bytes;          /* 32 MiB; the oldest go first */
  uint64_t validate_timeout_ns; /* 10 s, then IGNORE */
  uint32_t pending_messages;  /* open questions at most; 4,096 */
  size_t pending_bytes;       /* of messages under judgement; 16 MiB */
  size_t max_rpc;             /* bytes of an RPC in and out; 1 MiB, at most 16 MiB */
  size_t max_message;         /* bytes of an encoded Message; 1 MiB, at most max_rpc - 8 */
  const msub_log *log;        /* NULL: silent; copied */
  msub_signing_opts signing;
  msub_validation_opts validation;
  bool topic_counts;          /* counts by topic, for msub_metrics() and msub_topic_count(): false. 96 bytes a topic that is joined or opened */
  /* A provable fault (docs/architecture.md, Conduct) of a peer that a router's score has graylisted counts this many times: 2; 1 … 100, 1: the score
   * has no say. A score alone disconnects nobody, and a good one forgives nothing. With go_parity: 1. */
  uint8_t graylisted_weight;
} msub_engine_opts;
MSUB_API void msub_engine_opts_init(msub_engine_opts *o);

/* INVAL: a required member is missing or out of range; CLAIMED: two routers claim one protocol id; NOMEM; what init answered. */
MSUB_API int msub_engine_new(msub_shared *sh, const msub_engine_opts *o, const msub_now *now, msub_engine **out);
/* Recalls every job and ends every session (no world calls but recall). STATE: from a callback, or a job still runs: then the engine takes
 * nothing but msub_complete(), and free is called again after it. NULL is fine. */
MSUB_API int msub_engine_free(msub_engine *e);
/* Protocol ids of all routers, newest first within each; NULL past the end. What the world offers and accepts. */
MSUB_API const char *msub_engine_protocol(const msub_engine *e, size_t i);
/* Those of one router (index into opts.routers), without what it gave up to another one. */
MSUB_API const char *msub_engine_router_protocol(const msub_engine *e, unsigned router, size_t i);
MSUB_API msub_shared *msub_engine_shared(const msub_engine *e);

/* ---- from the world, never from a callback (STATE) ---- */

typedef struct msub_session_opts {
  msub_bytes peer_id;   /* authenticated by the world */
  const char *protocol; /* the id that the world offers on its stream to the peer */
  msub_bytes address;   /* 4 or 16 bytes of IP, or empty; for limits by prefix */
  uint64_t link;        /* the world's word for send() */
  bool outbound;        /* we dialled the connection */
  bool agreed;          /* the peer has already confirmed the protocol */
} msub_session_opts;
/* Begins the session (peer, router of the protocol). The hello — all joined topics of the router — is sent from inside, split to
 * the limits. CLAIMED: the peer has a session with this router already (use msub_session_offer); UNSUPPORTED: nobody claims the
 * protocol; REFUSED: in cool-down, blocked or not allowed (guard.h), or the router refused; LIMIT, NOMEM. */
MSUB_API int msub_session_up(msub_engine *e, const msub_session_opts *o, const msub_now *now, msub_session *out);
/* The world offers a protocol on a new stream: after `na` (the next id), or when its stream broke or a newer connection is used.
 * The hello is sent anew. `link` replaces the old one. UNSUPPORTED: the id belongs to another router. */
MSUB_API int msub_session_offer(msub_engine *e, msub_session s, const char *protocol, uint64_t link, const msub_now *now);
/* The session's streams belong to another connection, with this address of the peer (as in msub_session_opts); called before
 * msub_session_offer(). Limits by prefix go by it from now on, and the router hears address_changed
 * (gossipsub's scores: score.h). INVAL: a length that no IP has. */
MSUB_API int msub_session_address(msub_engine *e, msub_session s, msub_bytes address, const msub_now *now);
/* Says the hello again on the stream that stands, for a peer that may have forgotten it: the topics, not the extensions, which
 * are said once in a stream. STALE. */
MSUB_API int msub_session_hello(msub_engine *e, msub_session s, const msub_now *now);
/* The peer confirmed the offered id. */
MSUB_API int msub_session_agreed(msub_engine *e, msub_session s, const msub_now *now);
/* The peer opened a new stream to us: its next RPC is a hello. What it announced before holds until that RPC was read; then what
 * was not announced again ends. */
MSUB_API int msub_session_inbound(msub_engine *e, msub_session s, const msub_now *now);
/* The peer's newest stream to us ended: everything that it announced ends. */
MSUB_API int msub_session_inbound_gone(msub_engine *e, msub_session s, const msub_now *now);
MSUB_API int msub_session_down(msub_engine *e, msub_session s, const msub_now *now);

/* One RPC without its length prefix. OK. MSUB_MORE: 512 messages of it were handled; call again in a later turn with the same
 * frame, and with no other of this session before. MALFORMED, LIMIT: nothing of it was taken, the peer was reported; the world
 * resets the stream. STALE. */
#define MSUB_MORE 1
MSUB_API int msub_receive(msub_engine *e, msub_session s, msub_bytes frame, const msub_now *now);
/* The same for a world whose engines share one msub_shared and that encodes nothing: rpc as another engine's send() brought it.
 * Messages are held, not copied. There is no MORE. */
MSUB_API int msub_receive_rpc(msub_engine *e, msub_session s, const msub_rpc *rpc, const msub_now *now);
/* A hint that an RPC for s comes soon: brings its memory near. Any time, no effect otherwise. */
MSUB_API void msub_prefetch(const msub_engine *e, msub_session s);
/* When msub_advance() wants to be called next; MSUB_NEVER. */
MSUB_API uint64_t msub_next_deadline(msub_engine *e);
MSUB_API int msub_advance(msub_engine *e, const msub_now *now);
/* A fault below the engine (a msub_reason); weight 1 … 100, 100 is the whole budget of a peer. The engine may answer with
 * world.disconnect from inside. address as in msub_session_opts. */
MSUB_API int msub_report(msub_engine *e, msub_bytes peer_id, msub_bytes address, int reason, unsigned weight, const msub_now *now);
/* May this peer, or this address (either may be empty), connect? OK; REFUSED: in cool-down, blocked or not allowed until *until_ns (may be NULL). */
MSUB_API int msub_allows(const msub_engine *e, msub_bytes peer_id, msub_bytes address, const msub_now *now, uint64_t *until_ns);

/* ---- [deferred]: anybody, from callbacks with now == NULL ---- */

/* Joins a topic through a router (index into opts.routers) and announces it. The handle is good at once. p (may be NULL) must
 * outlive the membership; ctx is handed to its hooks. Joining again counts; each join needs a leave, the first one's policy stays. INVAL: name
 * longer than 256 bytes, no id function for anonymous messages, or nothing to sign or verify with where the topic demands it; REFUSED: the topic
 * filter (guard.h); LIMIT; NOMEM. */
MSUB_API int msub_join(msub_engine *e, unsigned router, msub_bytes name, const msub_channel_policy *p, void *ctx, const msub_now *now, msub_topic *out);
MSUB_API int msub_leave(msub_engine *e, msub_topic t, const msub_now *now);
/* Opens a topic to publish on it without joining: nobody is told, nothing is delivered; a gossipsub router keeps a fanout for it. The policy
 * is the one of whoever came first, join or open. Counts like joins; errors as msub_join(). */
MSUB_API int msub_open(msub_engine *e, unsigned router, msub_bytes name, const msub_channel_policy *p, void *ctx, const msub_now *now, msub_topic *out);
MSUB_API int msub_close(msub_engine *e, msub_topic t, const msub_now *now);
/* Joins a topic to forward its messages without having them delivered: announced, in the mesh and judged (validators, admit) like any
 * joined one; payload_in and deliver are not called, msub_joined() does not list it. Counts beside joins, so that a topic may be both: then
 * the joins' program gets the messages. Each relay needs an unrelay. Errors as msub_join(), msub_leave(). */
MSUB_API int msub_relay(msub_engine *e, unsigned router, msub_bytes name, const msub_channel_policy *p, void *ctx, const msub_now *now, msub_topic *out);
MSUB_API int msub_unrelay(msub_engine *e, msub_topic t, const msub_now *now);
/* Publishes on a joined, relayed or opened topic. `ticket` names it in world.result(), which is told of every publish that became a message (NULL from outside a callback: as ticket 0). From outside a callback the result is also the
 * return value: OK, or REFUSED (a validator said no), LIMIT (too large, or no room in a queue), NOMEM. A publish that reaches
 * nobody is OK with 0 recipients. With conditions, with a counted outcome, and several together: publish.h. */
MSUB_API int msub_publish(msub_engine *e, msub_topic t, msub_bytes data, const msub_now *now, msub_token *ticket);
/* Asks a peer for messages by their ids (IWANT), or tells it of some (IHAVE), at once, through the topic's router. Ids are copied.
 * UNSUPPORTED: the router has no such thing, or the peer does not speak it; INVAL: an id longer than MSUB_MAX_ID; STALE, LIMIT.
 * A peer may answer only for what it announced: gossipsub here does, but on topics with open_ids (channel.h). */
MSUB_API int msub_ask(msub_engine *e, msub_session s, msub_topic t, const msub_bytes *ids, size_t n, const msub_now *now);
MSUB_API int msub_offer(msub_engine *e, msub_session s, msub_topic t, const msub_bytes *ids, size_t n, const msub_now *now);
/* The answer to cache_get's LATER; c NULL: there is nothing. The payload is copied, the message held. STALE: answered, over, or the peer is gone. */
MSUB_API int msub_supply(msub_engine *e, msub_token t, const msub_cached *c, const msub_now *now);
/* The program has room again: offers the message that a topic with rule LATEST holds, if there is one. */
MSUB_API int msub_redeliver(msub_engine *e, msub_topic t, const msub_now *now);
/* A router's own call, see the router's header (gossipsub.h). arg (n bytes) is copied. UNSUPPORTED, or what the router answers (deferred: not told). */
MSUB_API int msub_command(msub_engine *e, unsigned router, uint32_t what, const void *arg, size_t n, const msub_now *now);
/* The answer to an offloaded job, of a validator that said PENDING, or of admit's DEFER and PENDING. STALE: answered, timed out, or its topic was left. */
MSUB_API int msub_complete(msub_engine *e, msub_token t, msub_verdict v, const msub_now *now);
/* The world lost an RPC that send() had taken. */
MSUB_API int msub_dropped(msub_engine *e, msub_session s, const msub_rpc *rpc, int reason, const msub_now *now);
MSUB_API int msub_disconnect(msub_engine *e, msub_peer p, int reason, const msub_now *now);

/* ---- validators ---- */

/* Judges a message that is authentic. ACCEPT, IGNORE, REJECT, THROTTLED at once. PENDING with job->fn set: the engine has the
 * world run that job (fn, arg and n are the validator's; what arg points to must stay as it is until the job is done; NULL arg: the
 * encoded message). PENDING without: the program answers with msub_complete(token) within the timeout. from.v == 0: an own publish. */
typedef msub_verdict (*msub_validate_fn)(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job);
/* Appends a validator to a joined topic (t.v == 0: to every topic, before the topics' own). Not from a callback. LIMIT: 8 each. */
MSUB_API int msub_validator(msub_engine *e, msub_topic t, msub_validate_fn f, void *ud);

typedef struct msub_validator_opts {
  uint32_t size;        /* set by msub_validator_opts_init */
  const char *name;     /* for logs; static; "validator" */
  msub_validate_fn fn;  /* required */
  void *ud;             /* handed to both */
  uint64_t timeout_ns;  /* of its PENDING, then IGNORE, and an answer that comes later is STALE: 0, the engine's validate_timeout_ns */
  /* Messages that wait for this validator at a time: 1,024. One more is THROTTLED; a validator that has said PENDING before is not asked of it. */
  uint32_t concurrency;
  /* What became of a message that was authentic, by all stages: ACCEPT, IGNORE, REJECT or THROTTLED; also of one that ended before this
   * validator was asked. For a validator that keeps a record of what was accepted. NULL: not told. */
  void (*concluded)(void *ud, const msub_msg *m, msub_peer from, msub_verdict v);
} msub_validator_opts;
MSUB_API void msub_validator_opts_init(msub_validator_opts *o);
/* As msub_validator(), with options. INVAL: no function, no concurrency; LIMIT: also for the 8th different timeout of an engine; STALE; NOMEM. */
MSUB_API int msub_validator_add(msub_engine *e, msub_topic t, const msub_validator_opts *o);
/* Takes the first validator with this function and word away again. Messages that wait for its answer go on when it comes. Not from a callback
 * (STATE). NOTFOUND, STALE. A topic's validators end with the membership by themselves. */
MSUB_API int msub_validator_remove(msub_engine *e, msub_topic t, msub_validate_fn f, void *ud);
/* The time of the call into the engine that is running, or of the last one: what a validator or a hook goes by. */
MSUB_API const msub_now *msub_engine_now(const msub_engine *e);

/* ---- looking ---- */

/* Counters since the engine began; read them at any time. */
#define MSUB_COUNTS(X)                                                                                              \
  X(rpcs_in) X(rpcs_malformed) X(rpcs_over_limit) X(messages_in) X(unwanted) X(duplicates) X(copies_pending) X(bad_bytes_again)     \
  X(delivered) X(delivery_full) X(accepted) X(ignored) X(rejected) X(throttled) X(timeouts) X(published)                      \
  X(rpcs_out) X(messages_out) X(refused) X(dropped) X(subscriptions_in) X(subscriptions_over_limit)                  \
  X(seen_evicted) X(inbox_full) X(stale) X(disconnects) X(blamed) X(faults) X(deferred) X(cached) X(cache_evicted) X(served) X(withdrawn) \
  X(ids_over_limit) X(unservable) X(unheard) X(extensions_late) X(partials_in) X(partials_refused)                    \
  X(subscriptions_filtered) X(rpcs_filtered) X(rpcs_inspected_out) X(feedback_useful) X(feedback_invalid) X(validators_full) \
  X(asks_over_bytes) X(asks_unadvertised)
typedef struct msub_counts {
#define MSUB_X(name) uint64_t name;
  MSUB_COUNTS(MSUB_X)
#undef MSUB_X
} msub_counts;
/* Counters of one topic since it was joined or opened, with msub_engine_opts.topic_counts. X(name, base name in metrics.h) */
#define MSUB_TOPIC_COUNTS(X)                                                                                        \
  X(published, "topic_msg_published") X(messages_in, "topic_msg_recv_counts_unfiltered") X(bytes_in, "topic_msg_recv_bytes_unfiltered") \
  X(first, "topic_msg_recv_counts") X(duplicates, "duplicate_messages_per_topic") X(accepted, "accepted_messages_per_topic")           \
  X(ignored, "ignored_messages_per_topic") X(rejected, "rejected_messages_per_topic") X(throttled, "throttled_messages_per_topic")     \
  X(messages_out, "topic_msg_sent_counts") X(bytes_out, "topic_msg_sent_bytes")
typedef struct msub_topic_counts {
#define MSUB_X(name, base) uint64_t name;
  MSUB_TOPIC_COUNTS(MSUB_X)
#undef MSUB_X
} msub_topic_counts;
MSUB_API const msub_topic_counts *msub_topic_count(const msub_engine *e, msub_topic t); /* NULL: stale, or not counted; a view until the next call */
MSUB_API const msub_counts *msub_count(const msub_engine *e);
MSUB_API uint64_t msub_count_reason(const msub_engine *e, int reason); /* messages that ended with it, or reports of it */

MSUB_API size_t msub_topic_peers(const msub_engine *e, msub_topic t); /* sessions that announced it */
MSUB_API msub_peer msub_topic_peer(const msub_engine *e, msub_topic t, size_t i); /* i < msub_topic_peers */
MSUB_API bool msub_ready(msub_engine *e, msub_topic t, uint32_t n);   /* the router's word; not from a callback (false) */
/* The router's view of a topic's peers (mesh, fanout, …): how many; writes at most cap. Not from a callback (0). */
MSUB_API size_t msub_snapshot(msub_engine *e, msub_topic t, msub_peer_state *out, size_t cap);
MSUB_API uint32_t msub_topic_name(const msub_engine *e, msub_topic t);
MSUB_API msub_topic msub_topic_named(const msub_engine *e, unsigned router, msub_bytes name); /* {0}: nobody here or there knows it */
MSUB_API size_t msub_joined(const msub_engine *e, msub_topic *out, size_t cap); /* number of joined topics */
MSUB_API size_t msub_session_count(const msub_engine *e);
MSUB_API msub_peer msub_session_peer(const msub_engine *e, msub_session s);
/* The id that our stream to the peer runs (offered or agreed); NULL: stale. */
MSUB_API const char *msub_session_protocol(const msub_engine *e, msub_session s);
/* Messages alive plus names and peers known: what must be back to the baseline when everybody is gone. */
typedef struct msub_usage { size_t messages, names, peers, sessions, topics, questions, seen, seen_bytes; } msub_usage;
MSUB_API void msub_usage_of(const msub_engine *e, msub_usage *out);

#ifdef __cplusplus
}
#endif
#endif
