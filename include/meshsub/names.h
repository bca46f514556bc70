/* meshsub/names.h (libmeshsub-lww): IPNS over pubsub: names are published, followed, found, kept and served, together with Kubo and Helia, and nothing of it is
 * lost by a restart.
 *
 *   msub_names_opts o;  msub_names_opts_init(&o);
 *   o.engine = msub_host_engine(host);  o.fetch = fetch;  o.store = store;
 *   msub_names_new(&o, msub_host_now(host), &names);
 *   …  msub_host_turn(host, ns);  msub_names_turn(names, msub_host_now(host));      after each turn; sleep at most until msub_names_next_deadline
 *
 *   resolve ─▶ known? ─ yes ─▶ here it is
 *                │ no
 *                ├─▶ joins /record/… (found by others, and by them found: discovery.h)
 *                ├─▶ fetch, from each peer that announces the topic, or that we dialled, or that speaks fetch
 *                └─▶ waits: whatever comes first and is valid, until the deadline
 *   publish ─▶ signed ─▶ in the store, durable ─▶ on the wire ─▶ again each minute, and signed anew each four hours
 *
 * A record is taken when it is better than the one there is: higher sequence, later end of life, greater bytes. One that has expired is neither answered nor sent, but
 * stays as a mark: nothing older than it is taken ever again.
 *
 * What is told to it: the program hands over who is connected and what they announce (msub_names_connected, _identified, _announced, _disconnected), and what the store
 * made durable (msub_names_durable), because each of these has one listener.
 *
 * Threads and re-entry: the engine's thread. No call but msub_names_get, _count and those that tell of something may be made from a callback of the engine, the exchange or the
 * store; done, and changed, may make every call but turn and free. `now` is the time of the turn, never NULL; wall_ns counts for records, mono_ns for everything else.
 * Sources: IPFS specifications "IPNS Record and Protocol" and "IPNS PubSub Router"; Kubo and Helia for what those leave open. */
#ifndef MESHSUB_NAMES_H
#define MESHSUB_NAMES_H
#include "engine.h"
#include "fetch.h"
#include "ipns.h"
#include "lww.h"
#include "store.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct msub_names msub_names;

/* ---- what is known of a name ---- */

/* Where a record came from. X(NAME, name) */
#define MSUB_NAMES_SOURCE_MAP(X) X(OWN, own) X(STORE, store) X(PUBSUB, pubsub) X(FETCH, fetch) X(PUT, put)
typedef enum msub_names_source {
#define MSUB_X(name, word) MSUB_NAMES_##name,
  MSUB_NAMES_SOURCE_MAP(MSUB_X)
#undef MSUB_X
} msub_names_source;
MSUB_API const char *msub_names_source_name(int source); /* "pubsub"; any int */

/* Flags of a name. */
enum {
  MSUB_NAMES_OWNED = 1,      /* its key was handed over by msub_names_own */
  MSUB_NAMES_FOLLOWED = 2,   /* by msub_names_follow */
  MSUB_NAMES_KEPT = 4,       /* by msub_names_keep */
  MSUB_NAMES_KEPT_OPEN = 8,  /* because a peer brought it (msub_names_keep_open) */
  MSUB_NAMES_SUBSCRIBED = 16 /* its topic is joined now */
};

/* Views until the next call. */
typedef struct msub_names_view {
  msub_bytes name;          /* a peer id */
  bool has_record;          /* false: nothing below counts but flags */
  msub_ipns_record record;  /* verified */
  msub_names_source source;
  msub_bytes from;          /* the peer that brought it; empty: none */
  int64_t received_ns;      /* wall clock */
  int64_t ends_ns;          /* wall clock: the record's end of life, or what msub_names_opts.most_life_ns makes of it; INT64_MAX: after 2262 */
  bool expired;
  bool durable;             /* it is in the store for good; always false without one */
  unsigned flags;
} msub_names_view;

/* ---- the object ---- */

/* Something odd that was seen. The record was taken, or not, by the usual order. X(NAME, text) */
#define MSUB_NAMES_ALARM_MAP(X)                                                                                     \
  X(SEQUENCE_JUMP, "the sequence went up by more than 2^32")                                                        \
  X(EQUIVOCATION, "two values with one sequence: its owner signed both")                                            \
  X(FAR_END, "its end of life is further off than a record is believed here")
typedef enum msub_names_alarm {
#define MSUB_X(name, text) MSUB_NAMES_##name,
  MSUB_NAMES_ALARM_MAP(MSUB_X)
#undef MSUB_X
} msub_names_alarm;
MSUB_API const char *msub_names_alarm_text(int alarm); /* any int */

typedef struct msub_names_opts {
  uint32_t size;             /* set by msub_names_opts_init */
  const msub_mem *mem;       /* NULL: malloc */
  msub_engine *engine;       /* outlives it. Required */
  unsigned router;           /* index into the engine's routers: 0. A stock gossipsub, for foreign peers */
  msub_fetch *fetch;         /* outlives it; "/ipns/" is served there. Required */
  msub_store store;          /* ops NULL: in memory only. Outlives it; its turns are its owner's */
  const char *prefix;        /* of its keys in the store: "ipns/"; at most 64 bytes; outlives it */
  uint64_t seed;             /* of jitter and hash tables; 1. Unpredictable where strangers can reach the node */
  bool rsa8192;              /* names of RSA keys up to MSUB_RSA_BITS_MAX instead of MSUB_RSA_BITS; false */
  /* Limits. */
  unsigned max_names;        /* 100,000; 1 … 10,000,000 */
  unsigned max_subscribed;   /* topics joined at a time: 1,000; 1 … 10,000. Own and followed names first, then what was used last; kept ones last */
  unsigned max_resolving;    /* 1,024; 1 … 65,536 */
  unsigned fetches;          /* under way at a time: 64; 1 … 1,024 */
  unsigned fetches_of_peer;  /* of these, at one peer: 4; 1 … 64. Of more than one, here and in all, the last is for what a resolve waits for */
  unsigned fetches_early;    /* names that a peer is asked for that has announced none of them: 64; 1 … 1,024 */
  unsigned fetches_waiting;  /* in all: 65,536; 1 … 1,048,576 */
  uint64_t fetch_ns;         /* from open to last byte: 10 s */
  /* Times. */
  uint64_t rebroadcast_ns;   /* 60 s, and up to a tenth more; at least 1 s */
  uint64_t margin_ns;        /* so near to its end a record is not sent any more: 5 s */
  uint64_t idle_ns;          /* a topic that nobody asked for so long is left, unless it is owned, followed or kept: 48 h */
  uint64_t most_life_ns;     /* a record is believed at most so long after it came: 366 days; MSUB_NEVER: as long as it says */
  uint64_t lifetime_ns;      /* of own records: 48 h */
  uint64_t republish_first_ns, republish_ns, republish_failed_ns; /* 1 min after own or start; then each 4 h; 5 min after a failure */
  /* The keeper that is open: what one peer may have kept here. One more takes the place of the oldest of the same peer. */
  unsigned names_of_peer;    /* 1,000 */
  size_t bytes_of_peer;      /* 1 MiB of records */
  /* Callbacks. Each may be NULL. */
  void *ud;
  /* A better record is there; from msub_names_turn() only. Shown before it is durable, unless it is our own. Of several at once the last. */
  void (*changed)(void *ud, const msub_names_view *v);
  /* other: the record that lost or was there before; of FAR_END empty. May come while the engine handles a message: it must only look. */
  void (*alarm)(void *ud, msub_names_alarm what, msub_bytes name, msub_bytes record, msub_bytes other);
} msub_names_opts;
MSUB_API void msub_names_opts_init(msub_names_opts *o);

/* Reads the store: names that were followed, kept or owned are subscribed and served again. INVAL: an option; MALFORMED: what stands in the store is of a later version;
 * CLAIMED: somebody serves "/ipns/"; NOMEM, IO. */
MSUB_API int msub_names_new(const msub_names_opts *o, const msub_now *now, msub_names **out);
/* Leaves its topics; nothing is told any more. Not from a callback. Before the engine and the fetch are freed. NULL is fine. */
MSUB_API void msub_names_free(msub_names *n, const msub_now *now);
/* Does what is due, and calls back. */
MSUB_API void msub_names_turn(msub_names *n, const msub_now *now);
MSUB_API uint64_t msub_names_next_deadline(const msub_names *n); /* monotonic; 0: now; MSUB_NEVER */
/* To be called by the store's listener. true: the token was ours. */
MSUB_API bool msub_names_durable(msub_names *n, msub_token token, int result);
/* The registers under it (lww.h). */
MSUB_API msub_lww *msub_names_lww(msub_names *n);

/* ---- peers, told by the program ---- */

/* From any callback. Authenticated; outbound: we dialled. Such a peer is asked for what we look for in the next turn: our hello is on the wire by then, and identify need not be. */
MSUB_API void msub_names_connected(msub_names *n, msub_bytes peer_id, bool outbound);
MSUB_API void msub_names_identified(msub_names *n, msub_bytes peer_id, bool speaks_fetch); /* MSUB_FETCH_PROTOCOL is among its protocols */
MSUB_API void msub_names_announced(msub_names *n, msub_topic t, msub_bytes peer_id); /* MSUB_EV_TOPIC_JOIN, of whatever topic */
MSUB_API void msub_names_disconnected(msub_names *n, msub_bytes peer_id); /* its last connection ended */

/* ---- looking ---- */

/* What is known now: no I/O but of the store's memory, and nobody is asked. OK: there is a record, which may have expired; NOTFOUND: there is none (*out has the flags of a name
 * that is followed or kept all the same); MALFORMED: no peer id. */
MSUB_API int msub_names_get(msub_names *n, msub_bytes name, int64_t wall_ns, msub_names_view *out);

/* How long an answer may be cached from now on: its TTL, but not beyond its end, and not longer than `most`. 0: it has expired, or there is none. For HTTP. */
MSUB_API uint64_t msub_names_fresh_ns(const msub_names_view *v, int64_t wall_ns, uint64_t most_ns);

/* How a resolve ended. X(NAME, name, text) */
#define MSUB_NAMES_END_MAP(X)                                                                                       \
  X(FOUND, found, "found")                                                                                          \
  X(NOTHING, nothing, "nothing found")                                                                              \
  X(EXPIRED, expired, "expired since")                                                                              \
  X(INVALID, invalid, "invalid answers only")                                                                       \
  X(NOBODY, nobody, "nothing found: no peer could be asked")
typedef enum msub_names_end {
#define MSUB_X(name, word, text) MSUB_NAMES_END_##name,
  MSUB_NAMES_END_MAP(MSUB_X)
#undef MSUB_X
} msub_names_end;
MSUB_API const char *msub_names_end_name(int end); /* any int */
MSUB_API const char *msub_names_end_text(int end);
/* v: of FOUND the record; of EXPIRED the one that was; else NULL. fault: of INVALID, of the last such answer. asked: peers that were asked for it. */
typedef struct msub_names_resolved {
  msub_names_end end;
  const msub_names_view *v;
  msub_ipns_fault fault;
  unsigned asked;
} msub_names_resolved;
typedef void (*msub_names_resolve_done)(void *ud, const msub_names_resolved *r);
/* OK: it is known and valid, *known is filled in, done is not called. MSUB_MORE: it is looked for, and done is called once, in a turn, at the latest at the deadline; the topic
 * stays joined as long as msub_names_opts.idle_ns says. known and token may be NULL. MALFORMED: no peer id; LIMIT: max_resolving, or every topic is taken by own and followed
 * names; NOMEM. */
MSUB_API int msub_names_resolve(msub_names *n, msub_bytes name, uint64_t deadline_mono_ns, const msub_now *now, msub_names_resolve_done done, void *ud,
                                msub_names_view *known, msub_token *token);
MSUB_API void msub_names_cancel(msub_names *n, msub_token token); /* done is not called; of one that is over nothing happens */

/* The names with all of these flags (0: every one that is known), in no order, until fn answers false. fn must not call back but get. */
MSUB_API void msub_names_iterate(msub_names *n, unsigned flags, int64_t wall_ns, bool (*fn)(void *ud, const msub_names_view *v), void *ud);

/* ---- publishing ---- */

/* result: OK: durable (with a store) and on its way; else why not. v: the record, with OK. */
typedef void (*msub_names_done)(void *ud, int result, const msub_names_view *v);

typedef struct msub_names_publish_opts {
  uint32_t size;        /* set by msub_names_publish_opts_init */
  msub_bytes value;     /* "/ipfs/…"; not empty, at most 4,096 bytes */
  uint64_t lifetime_ns; /* from now; 0: msub_names_opts.lifetime_ns; at most 100 years */
  uint64_t ttl_ns;      /* MSUB_IPNS_TTL_NS */
  bool sequenced;       /* `sequence` counts; else: the one before when the value is the same, one more when it is another, 0 for the first */
  uint64_t sequence;    /* at most 2^63 - 1 */
  bool v2_only;
} msub_names_publish_opts;
MSUB_API void msub_names_publish_opts_init(msub_names_publish_opts *o);
/* Signs and publishes. The topic is joined, and the name followed, so that a restart serves it again. Record and sequence are durable before the first byte leaves; that no peer is
 * there is no error: whoever comes asks, or is told within a minute. done (may be NULL) is called once, in a turn, when the answer is OK. MISMATCH: the one there is is better
 * (a sequence that was named); LIMIT: max_names, the sequence is at its end, or every topic is taken; INVAL: an option, value or time; CRYPTO, NOMEM, IO. */
MSUB_API int msub_names_publish(msub_names *n, const msub_key *key, const msub_names_publish_opts *what, const msub_now *now, msub_names_done done, void *ud);
/* The key of an own name, for the republisher: it must stay until disown or free. The name is followed. Signs nothing now. CLAIMED: is there already; LIMIT: 1,000 keys; NOMEM. */
MSUB_API int msub_names_own(msub_names *n, const msub_key *key, const msub_now *now);
MSUB_API int msub_names_disown(msub_names *n, msub_bytes name); /* no longer signed anew; it stays followed. NOTFOUND */

/* A record that somebody else signed: an import, or HTTP. publish: it is told to the topic, which is joined; false: only kept in the store. fault (may be NULL): why it is invalid.
 * OK, done as above (its result may be IO: the store failed, and the record counts in memory only); MALFORMED: it is invalid, see *fault, or no name; TIMEOUT: it has
 * expired; MISMATCH: the one there is is better, or the same; LIMIT; NOMEM. */
MSUB_API int msub_names_put(msub_names *n, msub_bytes name, msub_bytes record, bool publish, const msub_now *now, msub_names_done done, void *ud, msub_ipns_fault *fault);

/* ---- following and keeping, over restarts ---- */

/* Follows: the topic stays joined, updates are told by changed. Twice is once. done (may be NULL): the wish itself is durable; its v is NULL. MALFORMED, LIMIT (max_subscribed of such, max_names),
 * NOMEM, IO. Ends: NOTFOUND. */
MSUB_API int msub_names_follow(msub_names *n, msub_bytes name, const msub_now *now, msub_names_done done, void *ud);
MSUB_API int msub_names_unfollow(msub_names *n, msub_bytes name, const msub_now *now, msub_names_done done, void *ud);
/* Keeps: what is known of the name stays and is served, whoever is gone; its topic is joined while there is room. A kept name is never collected. Else as follow. */
MSUB_API int msub_names_keep(msub_names *n, msub_bytes name, const msub_now *now, msub_names_done done, void *ud);
MSUB_API int msub_names_unkeep(msub_names *n, msub_bytes name, const msub_now *now, msub_names_done done, void *ud);
/* Keeps any valid name that a peer announces, within quotas (names_of_peer, bytes_of_peer; and three quarters of max_names of all peers). The wish is the program's, at each start; what was kept stays. Names are met through
 * msub_names_heard. */
MSUB_API void msub_names_keep_open(msub_names *n, bool on);
/* For msub_topic_filter.allows (guard.h) with the names as ud: a peer announced a topic. Answers true always. A program with a filter of its own calls it from there. */
MSUB_API bool msub_names_heard(void *names, msub_bytes topic, msub_peer p);

/* ---- counts ---- */

/* From msub_names_turn and the calls. published, republished: own; republish_failed. rebroadcast: messages sent again; rebroadcast_skipped: expired, or nearly. fetched: answers that
 * brought something better; fetched_same: the same or worse; fetched_none: NOT_FOUND; fetched_invalid; fetched_expired; fetch_failed; fetch_dropped: not asked, too many wait. taken: better
 * records of every source; by_pubsub, by_put, of these. worse, expired, invalid: refused, of fetches and puts (those of pubsub: msub_lww_count). served, served_none: what peers asked for. resolved: by what they found out;
 * unresolved. joined, left: topics; left_idle, left_full: of these. evicted: names; opened, open_refused: kept because a peer brought them. jumps, equivocations, far_ends: alarms.
 * store_failed: what was not made durable. */
#define MSUB_NAMES_COUNTS(X)                                                                                        \
  X(published) X(republished) X(republish_failed) X(rebroadcast) X(rebroadcast_skipped)                             \
  X(fetched) X(fetched_same) X(fetched_none) X(fetched_invalid) X(fetched_expired) X(fetch_failed) X(fetch_dropped) \
  X(taken) X(by_pubsub) X(by_put) X(worse) X(expired) X(invalid) X(served) X(served_none) X(resolved) X(unresolved) \
  X(joined) X(left) X(left_idle) X(left_full) X(evicted) X(opened) X(open_refused)                                  \
  X(jumps) X(equivocations) X(far_ends) X(store_failed)
typedef struct msub_names_counts {
#define MSUB_X(name) uint64_t name;
  MSUB_NAMES_COUNTS(MSUB_X)
#undef MSUB_X
  uint64_t names, followed, kept, kept_open, owned, subscribed, resolving, fetching; /* now */
} msub_names_counts;
MSUB_API const msub_names_counts *msub_names_count(const msub_names *n); /* live */

#ifdef __cplusplus
}
#endif
#endif
