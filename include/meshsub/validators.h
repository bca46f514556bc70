/* meshsub/validators.h: validators that programs do not have to write: replayed sequence numbers, size, rate, allow list. Each gives a
 * msub_validator_opts, which the program may change and hands to msub_validator_add() (engine.h), for a topic or for all:
 *
 *   msub_replay *r;  msub_replay_new(&o, &r);
 *   msub_validator_opts v = msub_replay_validator(r);
 *   msub_validator_add(e, topic, &v);
 *
 * They use public headers only, answer at once, and take what a message's author, number and data are from msub_from(), msub_seqno() and
 * msub_data(). Own publishes pass them, but for the size. Their objects outlive the validators; an object belongs to one thread and may
 * serve several topics and engines of it. */
#ifndef MESHSUB_VALIDATORS_H
#define MESHSUB_VALIDATORS_H
#include "engine.h"
#include "store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- size ---- */

/* Data of another length get the verdict: IGNORE, or REJECT where every node of the topic has the same rule (else those are blamed who pass
 * on what they may). msub_channel_policy.max_data is a bound ahead of the signature. */
typedef struct msub_size_rule {
  size_t min, max; /* bytes of the data, inclusive */
  msub_verdict verdict;
} msub_size_rule;
MSUB_API msub_validator_opts msub_size_validator(const msub_size_rule *rule); /* the rule is read at each message */

/* ---- allow list ---- */

/* Peers whose messages are taken; of the others they get the verdict. */
typedef struct msub_allowlist msub_allowlist;
typedef struct msub_allowlist_opts {
  uint32_t size;         /* set by msub_allowlist_opts_init */
  const msub_mem *mem;   /* NULL: malloc */
  bool authors, senders; /* who has to be on the list: the author (true), the peer that brought the message (false); both: both */
  msub_shared *shared;   /* of the engines; required with senders */
  msub_verdict verdict;  /* IGNORE, REJECT or THROTTLED; IGNORE */
  uint32_t max_peers;    /* on the list; 4,096 */
} msub_allowlist_opts;
MSUB_API void msub_allowlist_opts_init(msub_allowlist_opts *o);
MSUB_API int msub_allowlist_new(const msub_allowlist_opts *o, msub_allowlist **out); /* INVAL, NOMEM */
MSUB_API void msub_allowlist_free(msub_allowlist *a);                            /* NULL is fine */
/* Takes effect with the next message; any time. OK, also when it is there already; INVAL: no peer id; LIMIT, NOMEM. */
MSUB_API int msub_allowlist_add(msub_allowlist *a, msub_bytes peer_id);
MSUB_API int msub_allowlist_remove(msub_allowlist *a, msub_bytes peer_id); /* NOTFOUND */
MSUB_API size_t msub_allowlist_count(const msub_allowlist *a);
MSUB_API msub_validator_opts msub_allowlist_validator(msub_allowlist *a);

/* ---- rate ---- */

/* Token buckets in the engine's time, one for each peer that brings messages and one for each topic. A message needs a token of both; the
 * first `burst` are there, and one more every interval. Copies that others bring count for nobody: they are duplicates before. */
typedef struct msub_rate msub_rate;
typedef struct msub_rate_opts {
  uint32_t size;         /* set by msub_rate_opts_init */
  const msub_mem *mem;   /* NULL: malloc */
  const msub_engine *engine; /* whose time counts. Required */
  uint64_t sender_interval_ns, topic_interval_ns; /* a token each: 10 ms (100/s), and 0: no bound */
  uint32_t sender_burst, topic_burst;             /* 200, 1,000 */
  uint32_t max_senders, max_topics;               /* remembered: 4,096, 1,024. Beyond, one that is full again is forgotten, else one at its turn */
  msub_verdict verdict;  /* of a message too much: THROTTLED (it may come again), IGNORE; THROTTLED */
} msub_rate_opts;
MSUB_API void msub_rate_opts_init(msub_rate_opts *o);
MSUB_API int msub_rate_new(const msub_rate_opts *o, msub_rate **out); /* INVAL, NOMEM */
MSUB_API void msub_rate_free(msub_rate *r);
MSUB_API msub_validator_opts msub_rate_validator(msub_rate *r);
MSUB_API uint64_t msub_rate_refused(const msub_rate *r); /* messages that found no token */

/* ---- replayed numbers ---- */

/* An old signed message is as valid as it was, so it can be sent around again when the engine's seen set (120 s) has forgotten it. This
 * validator remembers the numbers of each author: the highest one and which of the 63 below it were accepted, so that messages may
 * overtake one another. Its only refusal is IGNORE: whoever passes on an old message has done nothing wrong.
 *
 * Only what was accepted in the end counts as seen: a message that another stage throttled is taken when it comes again.
 *
 * MSUB_REPLAY_SHOWN, the default: an author is under the rule once its highest accepted number went up four times by at most 2^56 each while
 * no number came from below the window, as with counters and not with random numbers; before that only single numbers are remembered, the
 * last 8 at least. MSUB_REPLAY_ALWAYS: from the first message on,
 * for topics whose authors all count; what has no verified author or no number of 8 bytes is ignored. What is not signed is never
 * remembered: anybody could use up somebody else's numbers. Sources: the basic sequence validator of go-libp2p-pubsub, which has no window and
 * ignores all that is not higher; security experience with authors that draw numbers at random. */
typedef enum msub_replay_rule { MSUB_REPLAY_SHOWN, MSUB_REPLAY_ALWAYS } msub_replay_rule;
typedef struct msub_replay msub_replay;
typedef struct msub_replay_opts {
  uint32_t size;          /* set by msub_replay_opts_init */
  const msub_mem *mem;    /* NULL: malloc */
  const uint8_t *entropy; /* 32 unpredictable bytes, copied; they key the table of authors. Required */
  msub_replay_rule rule;
  uint32_t max_authors;   /* remembered, in memory and store: 16,384, about 180 bytes each. The one heard least recently goes, those first that are not under the rule */
  msub_store store;       /* ops NULL: nothing outlives the process. Outlives the object */
  msub_bytes prefix;      /* of its keys there; at most 128 bytes, copied; "msub/replay/" */
  msub_token token;       /* of its submits: no other user of the store has it; "replay" as bytes */
} msub_replay_opts;
MSUB_API void msub_replay_opts_init(msub_replay_opts *o);
/* Reads what the store has. INVAL, NOMEM, IO. Records that are none are counted and left out. */
MSUB_API int msub_replay_new(const msub_replay_opts *o, msub_replay **out);
MSUB_API void msub_replay_free(msub_replay *r);
MSUB_API msub_validator_opts msub_replay_validator(msub_replay *r);
/* To be called by the store's listener. true: the token was the validator's. Each accepted message is a submit; nothing waits for it, so a
 * crash may bring back the last ones that were not durable. */
MSUB_API bool msub_replay_durable(msub_replay *r, msub_token token, int result);
typedef struct msub_replay_counts {
  uint64_t replayed;    /* ignored: accepted before, or below the window */
  uint64_t not_counted; /* ignored under ALWAYS: no verified author, or no number */
  uint64_t forgotten;   /* authors that others took the place of */
  uint64_t not_written; /* the store did not take it, or lost it; the author's next message writes it again */
  uint64_t bad_records; /* found in the store */
  uint32_t authors, shown; /* now; those under the rule */
} msub_replay_counts;
MSUB_API void msub_replay_count(const msub_replay *r, msub_replay_counts *out);

#ifdef __cplusplus
}
#endif
#endif
