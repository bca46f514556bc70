/* meshsub/publish.h: publishing with conditions, waiting for peers, and batches. Plain publishing is msub_publish() of engine.h.
 *
 *     msub_publish_with(min_peers, wait_ns)        msub_await(min_peers, wait_ns)
 *        ready? ── yes ─▶ published                   ready? ── yes ─▶ told at once
 *          │ no                                         │ no
 *          ▼                                            ▼
 *        kept, copied ── a peer joins, is grafted … ─▶ published / told
 *          └─ the deadline ─▶ TIMEOUT, or published all the same (anyway)
 *
 *     msub_batch_add ×n ─▶ msub_batch_publish ─▶ every message is made, judged and routed; then a scheduler says in which order the
 *                                                copies go into the queues
 *
 * Threads and re-entry as engine.h. Sources: publish options and batches as go-libp2p-pubsub has them, the counted outcome as
 * js-libp2p has it; waiting on the subscriber's side is neither's. */
#ifndef MESHSUB_PUBLISH_H
#define MESHSUB_PUBLISH_H
#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- one message ---- */

typedef struct msub_publish_opts {
  uint32_t size;      /* set by msub_publish_opts_init */
  uint32_t min_peers; /* published when it would reach so many, by the router's word (msub_ready()): 0, at once */
  uint64_t wait_ns;   /* how long it may wait for that: 0, not at all */
  bool anyway;        /* when they did not come in time it is published all the same: false, the outcome is TIMEOUT */
  bool local_only;    /* judged and delivered to this node's own program; no peer gets it, nor hears of it by gossip: false */
} msub_publish_opts;
MSUB_API void msub_publish_opts_init(msub_publish_opts *o);

/* Publishes with options (NULL: the defaults, as msub_publish()). The data are copied while they wait. *out (may be NULL) is the outcome
 * as far as it is known on return; its views hold until the next call into the engine.
 * From outside a callback: OK: published. MSUB_MORE: it waits, or a validator has yet to answer; world.published tells the outcome, by
 * out->ticket. TIMEOUT: not ready, and wait_ns is 0. LIMIT: 256 waits or 16 MiB of data wait already. Else as msub_publish().
 * From a callback (now == NULL): OK, and out has the ticket; the outcome is told later. INVAL: the options' size. [deferred] */
MSUB_API int msub_publish_with(msub_engine *e, msub_topic t, msub_bytes data, const msub_publish_opts *o, const msub_now *now,
                               msub_published *out);

/* ---- readiness ---- */

/* Tells when a publish on a joined, relayed or opened topic would reach n peers (msub_ready()): world.published with the ticket, err OK
 * and recipients: the peers that have announced the topic; or TIMEOUT after wait_ns, STALE when the topic was left first. After a join this is
 * how a subscriber knows that it is connected. OK: the answer is coming (maybe before this returns); STALE, LIMIT as above, NOMEM. [deferred] */
MSUB_API int msub_await(msub_engine *e, msub_topic t, uint32_t n, uint64_t wait_ns, const msub_now *now, msub_token *ticket);
/* Gives up a publish that waits, or an await: nothing more is told of it. NOTFOUND: it waits no more. Any time, callbacks too. */
MSUB_API int msub_cancel(msub_engine *e, msub_token ticket);

/* ---- batches ---- */

/* Messages that belong together, the pieces of a block, say. Published one after the other all copies of the first piece would go out
 * before the second, which nobody could pass on until then; in a batch different peers get different pieces first. */
typedef struct msub_batch msub_batch;

/* A copy that is to be sent. Those of a message stand together, in the router's order. */
typedef struct msub_batch_send {
  uint32_t message;      /* of the batch */
  uint32_t copy, copies; /* the copy-th of so many of this message */
  uint32_t bytes;        /* on the wire */
  msub_session to;
} msub_batch_send;
typedef struct msub_scheduler {
  uint32_t abi, size; /* MSUB_ABI, sizeof(msub_scheduler) */
  const char *name;   /* for logs and faults; static */
  /* Writes into order (room for n) indexes of sends, first to go first, and returns how many. What it leaves out follows at the end, in
   * the order given; an index that is named twice or out of range is a fault (msub_counts.faults) and skipped. Pure: no call of the engine. */
  size_t (*order)(void *ud, const msub_batch_send *sends, size_t n, uint32_t *order);
} msub_scheduler;
/* The default. In rounds, the message with the fewest copies out first: one copy of every message, then the second of each … and in
 * every round the messages begin with different peers. */
MSUB_API extern const msub_scheduler msub_round_robin;
/* Message by message, as single publishes would go. */
MSUB_API extern const msub_scheduler msub_in_order;

/* An empty batch; it dies with its engine if it is not freed before. NOMEM, LIMIT: 64 batches. Any time, callbacks too. */
MSUB_API int msub_batch_new(msub_engine *e, msub_batch **out);
/* STATE: its publishing is still ahead (it was asked for in a callback). NULL is fine. Any time. */
MSUB_API int msub_batch_free(msub_batch *b);
/* Copies a message into the batch; nothing else happens yet. The ticket (may be NULL) is the one of its outcome. STALE: no such topic, or not
 * a member of it; LIMIT: 4,096 messages, 64 MiB, or longer than the topic takes; STATE: published, or about to be; NOMEM. Any time. */
MSUB_API int msub_batch_add(msub_batch *b, msub_topic t, msub_bytes data, msub_token *ticket);
/* Makes, judges and routes the messages in the order of their adding, then sends the copies in the scheduler's order (NULL: msub_round_robin; it
 * must outlive the call, or in a callback the batch). One that a validator has yet to answer is sent alone when the answer comes. Each
 * outcome is told by world.published and kept in the batch.
 * OK: every message has its outcome (from a callback: will have). LIMIT: a queue has no room for the topic's messages together; nothing was
 * done (from a callback: the outcomes say LIMIT), the batch may be published again. STATE: published before; INVAL: the scheduler's abi. [deferred] */
MSUB_API int msub_batch_publish(msub_batch *b, const msub_scheduler *s, void *ud, const msub_now *now);
MSUB_API size_t msub_batch_count(const msub_batch *b);
/* The outcome of the i-th message, as long as the batch lives; its id when it was sent. NULL: not published yet, or past the end. err MSUB_MORE: a validator has yet to answer. */
MSUB_API const msub_published *msub_batch_result(const msub_batch *b, size_t i);

#ifdef __cplusplus
}
#endif
#endif
