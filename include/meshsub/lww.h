/* meshsub/lww.h (libmeshsub-lww): persistent topics on which the last writer wins: a register set, and two ways to share it with peers.
 *
 *   A topic has at most one record, its *winner*. What a record is says msub_lww_ops: which are valid, and which of two wins. All who have the same
 *   records have the same winner, whatever the order in which they came; so nobody has to keep more than one, and a newcomer needs only that.
 *
 *      msub_lww_put ──┐                      ┌────────────────── msub_lww ──────────────────┐
 *      a peer's ──────┼▶ valid? expired? ──▶ │ topic ─▶ entry { winner, staged }   in memory │──▶ changed()
 *      message        │  better? room?       │ (joined, or not stored yet)                   │──▶ published, forwarded
 *      fetched … ─────┘   │ no: counted      │        prefix ‖ topic ─▶ record   in the store│──▶ stored()
 *                         ▼                  └──────────────────────────────────────────────┘
 *                       REFUSED …
 *
 *   staged   an owner's record that has to be durable before its first byte leaves: nobody is shown it until then
 *
 * Winners of topics that are not joined live in the store only, so a hundred thousand of them take no memory.
 *
 * Sharing. With the *policy*, on a topic of any router, for peers that know nothing of this: ids are the network's, an equal or a worse record is ignored,
 * newcomers are for other means (fetch.h), and a record that is served again is a new message of ours. With the *router*, on a protocol of its own: the id of
 * a message is its record's hash, peers tell each other their winner when they meet and when they come into each other's mesh, and who sends a loser is
 * answered with the winner. docs/lww.md has the rules and what tests them.
 *
 *   msub_lww_new(&opts) → msub_lww_join(topic) … msub_lww_put() … msub_lww_leave() → msub_lww_free()
 *
 * Ownership: bytes that go in are copied. A view holds until the next call into the set, and of a topic that is not joined until the next call into its store.
 * Threads: the engine's. Re-entry: callbacks may make every call but join, leave and free; what they publish goes out when the engine's call ends. */
#ifndef MESHSUB_LWW_H
#define MESHSUB_LWW_H
#include "crypto.h"
#include "engine.h"
#include "gossipsub.h"
#include "store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a type of records ---- */

/* Everything is pure: no clock, no state; `type` is the program's word and outlives the set. But validate, all functions are shown valid records only. */
typedef struct msub_lww_ops {
  uint32_t abi, size; /* MSUB_ABI, sizeof(msub_lww_ops) */
  const char *name;   /* for logs; static */
  /* Is it a record of this topic? ACCEPT, REJECT, or IGNORE where implementations honestly differ. A record of another topic is none. Any thread. Required. */
  msub_verdict (*validate)(const void *type, msub_bytes topic, msub_bytes record);
  /* > 0: a wins, < 0: b wins, 0: the bytes are the same. A total order, or winners depend on who came first. Required. */
  int (*compare)(const void *type, msub_bytes topic, msub_bytes a, msub_bytes b);
  /* Unix ns up to which it is valid. [INT64_MAX: for ever] */
  int64_t (*expires)(const void *type, msub_bytes topic, msub_bytes record);
  /* What its author counts up; only for alarms. [none] */
  uint64_t (*sequence)(const void *type, msub_bytes topic, msub_bytes record);
  /* Did one author sign two different things under one sequence? a and b differ. Only for alarms. [no] */
  bool (*contradicts)(const void *type, msub_bytes topic, msub_bytes a, msub_bytes b);
  /* validate() for an encoded pubsub Message, which names its topic; run in the world's pool (msub_job). msub_lww_validate_message() does it with a constant
   * type. [validate() runs on the engine's thread] */
  msub_verdict (*validate_message)(const void *wire, size_t n);
  uint32_t cost_ns;   /* of one; a hint for simulated nodes [100,000] */
  /* The id of a record on the router's own protocol, 1 … MSUB_MAX_ID bytes; reads msub_data() and nothing else. [SHA-256 of the record] */
  size_t (*message_id)(const msub_msg *m, uint8_t out[MSUB_MAX_ID]);
} msub_lww_ops;
/* For a validate_message of one line. */
MSUB_API msub_verdict msub_lww_validate_message(const msub_lww_ops *ops, const void *type, const void *wire, size_t n);

/* ---- the set ---- */

typedef struct msub_lww msub_lww;

typedef enum msub_lww_source { /* how a record came; stored with it */
  MSUB_LWW_OWN,     /* made here */
  MSUB_LWW_PUBSUB,  /* a peer's message */
  MSUB_LWW_FETCHED, /* asked for */
  MSUB_LWW_GIVEN    /* handed over by somebody: HTTP, a file */
} msub_lww_source;

typedef struct msub_lww_view {
  msub_bytes record;
  msub_lww_source source;
  bool restored;       /* read from the store */
  bool durable;        /* the store has told that it is kept; never true without one */
  msub_bytes from;     /* peer id of who brought it; empty: nobody, or it was read from the store */
  int64_t received_ns; /* Unix ns */
  int64_t expires_ns;  /* Unix ns; INT64_MAX: never. A winner stays after it as the mark that nothing worse is taken (high_water) */
} msub_lww_view;

typedef enum msub_lww_alarm {
  MSUB_LWW_JUMP,      /* the sequence went up by more than 2^32 at once */
  MSUB_LWW_EQUIVOCAL  /* one author, one sequence, two contents; both records are the evidence */
} msub_lww_alarm;

typedef struct msub_lww_limits {
  uint32_t topics;     /* with a winner, in memory or stored: 100,000 */
  uint32_t joined;     /* 1,024 */
  size_t bytes;        /* of records in memory: 64 MiB */
  size_t record;       /* of one record: 10,240; at most 1 MiB */
  uint32_t waiting;    /* records that are submitted and not told durable yet: 1,024 */
} msub_lww_limits;

typedef struct msub_lww_opts {
  uint32_t size;            /* set by msub_lww_opts_init */
  const msub_mem *mem;      /* NULL: malloc */
  const msub_lww_ops *ops;  /* required; outlives the set */
  const void *type;         /* handed to ops */
  msub_engine *engine;      /* outlives the set. NULL: nothing is shared, join answers STATE */
  unsigned router;          /* its index in the engine. One that is msub_lww_router belongs to one set (CLAIMED) */
  msub_store store;         /* outlives the set. ops NULL: in memory only */
  msub_bytes prefix;        /* of its keys: 1 … 128 bytes, copied; "lww/". Every other user of the store keeps away from keys that begin so */
  /* Of its submits, with the low 40 bits 0: no other user of the store has such a token; "lww" in the high bytes. A set that follows another one whose submits
   * are not all told needs another token. */
  msub_token token;
  uint8_t entropy[32];      /* unpredictable bytes: they key the table of topics, whose names strangers may choose (as in msub_shared_new()) */
  msub_lww_limits limits;
  /* true: an expired winner stays as a mark, through restarts too, and nothing worse than it is ever taken again, or a peer that kept an old record could
   * bring it back. false: what is expired is as good as nothing. */
  bool high_water;
  /* What becomes of an owner's record that the store would not take. true: it is the winner and published all the same, not durable. false: it is dropped. stored() is
   * told the error either way. */
  bool on_store_failure_publish;
  int64_t max_life_ns;      /* a record is taken as expired so long after it came, whatever it says itself: 0, no such bound */
  void *ud;                 /* handed to what follows; each may be NULL */
  void (*changed)(void *ud, msub_bytes topic, const msub_lww_view *winner); /* another winner. Before it is forwarded */
  /* The record of a put that was TAKEN or WAITS is durable (OK), or is not for now; of those with a token.v other than 0, once. What was beaten meanwhile is told,
   * too; not told: without a store. An error may be told before the put returns. */
  void (*stored)(void *ud, msub_bytes topic, msub_token token, int result);
  void (*alarm)(void *ud, msub_bytes topic, msub_lww_alarm what, msub_bytes winner, msub_bytes other);
} msub_lww_opts;
MSUB_API void msub_lww_opts_init(msub_lww_opts *o);
/* Looks through what is stored under the prefix: counts it, passes over and counts what is damaged. INVAL: a required option is missing or out of range;
 * CLAIMED; STATE: from a callback of the engine; IO, NOMEM. */
MSUB_API int msub_lww_new(const msub_lww_opts *o, msub_lww **out);
/* Leaves its topics. What waits for the store is not told any more. Before the engine and the store. NULL is fine. */
MSUB_API void msub_lww_free(msub_lww *l);
/* To be called by the store's listener for every token, in a turn of the store: false, the token is of somebody else. From here owners' records go out. */
MSUB_API bool msub_lww_durable(msub_lww *l, msub_token token, int result);

/* ---- records ---- */

typedef struct msub_lww_how {
  uint32_t size;           /* set by msub_lww_how_init */
  msub_lww_source source;  /* MSUB_LWW_GIVEN */
  msub_bytes from;         /* peer id; empty */
  bool publish;            /* on its topic, if that is joined: false. Else it is kept only */
  bool durable_first;      /* an owner's: nothing of it leaves, and nobody is shown it, before it is durable: false. Without a store it means nothing */
  bool validated;          /* ops.validate has said ACCEPT of it: false */
} msub_lww_how;
MSUB_API void msub_lww_how_init(msub_lww_how *h);

/* What put answers when it is no error. SAME: these bytes stand already; with `publish` they are published again as msub_lww_rebroadcast() does. WAITS: it is better,
 * and becomes the winner when it is durable (durable_first). */
enum { MSUB_LWW_TAKEN = 0, MSUB_LWW_SAME = 1, MSUB_LWW_WAITS = 2 };
/* Takes a record if it is better than the winner. REFUSED: the winner, or one that waits, is better; TIMEOUT: it is expired; MALFORMED: validate said REJECT,
 * UNSUPPORTED: IGNORE; LIMIT: longer than limits.record, no room for another topic, or too much waits for the store; INVAL: no topic, or one of more than
 * 256 bytes; NOMEM. With durable_first also what the store's submit answers; without, a store that fails is no error: the record is in memory, view.durable
 * stays false, and msub_lww_flush() tries again. token: see stored(). [deferred, but with the time always] */
MSUB_API int msub_lww_put(msub_lww *l, msub_bytes topic, msub_bytes record, const msub_lww_how *how, const msub_now *now, msub_token token);
/* The winner; one that is expired too: see expires_ns. NOTFOUND; IO: the store cannot be read; MALFORMED: what is stored is damaged. */
MSUB_API int msub_lww_get(msub_lww *l, msub_bytes topic, msub_lww_view *out);
/* Forgets winner and mark, here and in the store; the topic stays joined. NOTFOUND; STATE: one waits that has to be durable first; or what the submit answers: then it stays. */
MSUB_API int msub_lww_forget(msub_lww *l, msub_bytes topic);
/* All topics with a winner, stored ones first; fn must not call into the set. Until fn answers false. OK, IO. */
MSUB_API int msub_lww_iterate(msub_lww *l, bool (*fn)(void *ud, msub_bytes topic, const msub_lww_view *winner), void *ud);
/* Submits what the store has not taken so far. How many are left that it does not take. */
MSUB_API size_t msub_lww_flush(msub_lww *l);
/* Without high_water: forgets at most `max` records that are expired; how many. With it: 0. Looks through the whole store. */
MSUB_API size_t msub_lww_sweep(msub_lww *l, size_t max, const msub_now *now);

/* X(name): since it began. What came is: taken, same, worse, expired, invalid (validate), full (limits), waits.
 * stored: told durable; store_failed: refused by the store or told an error; damaged: stored values that are none, passed over. jumps, equivocal: alarms.
 * resent: published again; unsent: publishes that the engine refused. The rest is of the router: announced: IHAVE sent, but those of the heartbeat; asked: IWANT
 * sent; answered: winners sent to who asked; corrected: winners sent to who had brought a loser; unknown: IHAVE and IWANT of what is not shared here, or not with that
 * peer; over_limit: those beyond what a peer gets in a second. */
#define MSUB_LWW_COUNTS(X)                                                                                          \
  X(taken) X(same) X(worse) X(expired) X(invalid) X(full) X(waits) X(stored) X(store_failed) X(damaged) X(jumps) X(equivocal) X(resent) X(unsent) \
  X(announced) X(asked) X(answered) X(corrected) X(unknown) X(over_limit)
typedef struct msub_lww_counts {
#define MSUB_X(name) uint64_t name;
  MSUB_LWW_COUNTS(MSUB_X)
#undef MSUB_X
  uint64_t topics, joined, bytes, waiting, unsaved; /* now; unsaved: in memory, and the store has not taken them */
} msub_lww_counts;
MSUB_API const msub_lww_counts *msub_lww_count(const msub_lww *l); /* live */

/* ---- topics that are shared ---- */

/* Joins the topic on the set's router with the policy that belongs there, has its records verified in the world's pool, and brings its winner from the store into memory. Joining
 * again is OK and counts once. INVAL: a name longer than 256 bytes, with msub_lww_router 127; LIMIT: limits.joined; STATE: no engine, or from a callback; else as msub_join(). */
MSUB_API int msub_lww_join(msub_lww *l, msub_bytes topic, const msub_now *now, msub_topic *out);
/* keep: without a store the winner stays; else it goes with the membership (with a store it stays stored either way). NOTFOUND: not joined by msub_lww_join(). */
MSUB_API int msub_lww_leave(msub_lww *l, msub_bytes topic, bool keep, const msub_now *now);
/* The policy of a stock topic. msub_lww_join() uses it; a program that joins by itself hands it to msub_join() with the set as ctx, and has records verified
 * on the engine's thread. Records are published by msub_lww_put(): what msub_publish() brings is refused unless it is the winner. */
MSUB_API const msub_channel_policy *msub_lww_policy(void);
/* Publishes the winner again, as a new message: at most one a second a topic goes out again, else LIMIT. With
 * msub_lww_router nothing needs to be repeated: OK, and all the topic's peers hear of it anew in the next heartbeats. NOTFOUND: no winner, or not joined; TIMEOUT: it is expired. [as put] */
MSUB_API int msub_lww_rebroadcast(msub_lww *l, msub_bytes topic, const msub_now *now);

/* ---- the router ---- */

/* Shares a set's topics on a protocol of its own. Nests gossipsub, whose meshes carry the records; what gossip means is its own:
 *
 *   hello, GRAFT ───▶ IHAVE(topic, id of the winner), both ways          heartbeat ──▶ the same, to peers that are not known to have it, mesh members too
 *   IHAVE of another record ───▶ IWANT(id), and our IHAVE                IHAVE of a record that lost ──▶ our IHAVE
 *   join, GRAFT without a winner ───▶ IWANT(00 ‖ topic)                  "your winner, unless it is the one that you know me to have"
 *   a loser ───▶ not forwarded; the winner to its sender                 the winner again ──▶ nothing
 *
 * A topic's name has at most 127 bytes, so that 00 ‖ topic is an id; that it might be a record's, too, does not matter: it is looked up as a topic first. Messages
 * are anonymous. What a peer gets and may ask is bounded by the second. A topic is joined by msub_lww_join(); msub_join() alone answers NOTFOUND.
 * One router of a plan serves one set in each engine: the set that names it. */
typedef struct msub_lww_router_opts {
  uint32_t size;                         /* set by msub_lww_router_opts_init */
  const char *protocol;                  /* "/meshsub-lww/1.0.0". Only who speaks it is a peer */
  const msub_gossipsub_opts *gossipsub;  /* of the router inside: but protocols, floodsub and iwant.advertised_only. NULL: the defaults, without mesh_probe_penalty: who has
                                          * a better record does not forward, and must not be punished for it */
} msub_lww_router_opts;
MSUB_API void msub_lww_router_opts_init(msub_lww_router_opts *o);
MSUB_API extern const msub_router_ops msub_lww_router; /* options: a msub_lww_router_opts, or NULL */

/* ---- the signed register ---- */

/* A record type for programs that need no more: an author's key, a counter, bytes. The higher counter wins, then the greater record, byte by byte.
 *
 *   version 1 │ counter 8 │ key length 2 │ PublicKey │ value length 4 │ value │ signature          numbers big endian; version: 1
 *
 * Signed is "meshsub-lww-register:" ‖ length of the topic, 2 ‖ topic ‖ all before the signature, so a record is good on one topic only. It never expires. */
typedef struct msub_lww_register { /* views into the record */
  msub_bytes key;          /* encoded PublicKey, in its one encoding */
  msub_peer_id author;     /* its peer id */
  uint64_t counter;
  msub_bytes value, signature, signed_part;
} msub_lww_register;
/* What it says, whoever says it: the signature is not looked at. MALFORMED. */
MSUB_API int msub_lww_register_read(msub_bytes record, msub_lww_register *out);
/* OK and *n, its length. INVAL: the topic; LIMIT: cap too small; or what signing answers. Any of the four types of keys. */
MSUB_API int msub_lww_register_make(const msub_key *k, msub_bytes topic, uint64_t counter, msub_bytes value, uint8_t *out, size_t cap, size_t *n);
/* Who may write: the one author whose peer id, as base58btc text, the topic's name ends in, behind a "/". type: NULL. Verified in the world's pool. */
MSUB_API extern const msub_lww_ops msub_lww_register_ops;
/* Who may write: whoever is listed, any topic. type: a msub_lww_authors; NULL, or an empty list: nobody. Verified on the engine's thread, because a
 * job has no type; a program whose list is constant writes a validate_message of its own. */
typedef struct msub_lww_authors { const msub_bytes *ids; size_t n; } msub_lww_authors; /* peer ids */
MSUB_API extern const msub_lww_ops msub_lww_register_listed_ops;

#ifdef __cplusplus
}
#endif
#endif
