/* meshsub/guard.h: what a program lets in: which peers, which topics, which RPCs; and what it thinks of a peer afterwards. Everything here
 * is off until it is used. What is let in is then judged as engine.h says.
 *
 *     a peer       lists                 may it have a session?                  msub_block, msub_allow
 *     an RPC       inspector             may it be read?                         msub_inspector
 *     a topic      topic filter          do we keep that a peer announced it?    msub_filter_topics
 *     a message    lists, again          is its sender or its author blocked?
 *     a topic's peer   the channel's may_peer (channel.h)
 *
 * Threads and re-entry as engine.h. */
#ifndef MESHSUB_GUARD_H
#define MESHSUB_GUARD_H
#include "engine.h"
#include "rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- peers ---- */

/* Blocks a peer for a time (MSUB_NEVER: until msub_unblock()); blocking again sets the time anew. Its sessions are ended by
 * world.disconnect (reason BLOCKED_PEER), msub_session_up() and msub_allows() answer REFUSED, and of what it sends until it is gone only
 * messages are looked at, to be refused with that reason. Messages that it wrote and others bring are refused with BLOCKED_AUTHOR; who brings them
 * is not blamed. INVAL: no id, longer than 64 bytes, or 0 ns; LIMIT: 16,384 entries of both lists; NOMEM. [deferred] */
MSUB_API int msub_block(msub_engine *e, msub_bytes peer_id, uint64_t for_ns, const msub_now *now);
/* Ends it. NOTFOUND (from a callback: not told). [deferred] */
MSUB_API int msub_unblock(msub_engine *e, msub_bytes peer_id, const msub_now *now);
/* Puts a peer on the list of those that are allowed, and takes it off. The list counts only while msub_allow_only() is on: then
 * other peers are refused and disconnected (NOT_ALLOWED), and so is one whose time is over. Messages that others wrote are taken all the same. A peer that is blocked,
 * too, is blocked. Errors as above. [deferred] */
MSUB_API int msub_allow(msub_engine *e, msub_bytes peer_id, uint64_t for_ns, const msub_now *now);
MSUB_API int msub_disallow(msub_engine *e, msub_bytes peer_id, const msub_now *now);
MSUB_API int msub_allow_only(msub_engine *e, bool on, const msub_now *now); /* [deferred] */
/* Is the peer blocked at this time? Any time; nothing happens. */
MSUB_API bool msub_blocked(const msub_engine *e, msub_bytes peer_id, const msub_now *now);

/* ---- topics ---- */

/* Which topics count. Of an announcement that is not allowed nothing is kept (msub_counts.subscriptions_filtered), and the program's own
 * join, relay or open answers REFUSED. What a peer gives up is not asked about. */
typedef struct msub_topic_filter {
  uint32_t abi, size;   /* MSUB_ABI, sizeof(msub_topic_filter) */
  const char *name;     /* for logs; static */
  /* p.v == 0: an own topic. Pure, quick: a peer can have it called for 2,048 topics of an RPC. NULL: every topic */
  bool (*allows)(void *ud, msub_bytes topic, msub_peer p);
  uint32_t max_per_rpc; /* an RPC with more announcements is dropped as a whole (msub_counts.rpcs_filtered): 0, only the engine's limit */
} msub_topic_filter;
/* Sets the filter, which is copied; NULL: none. What has been announced or joined before stays. Not from a callback (STATE). INVAL: abi. */
MSUB_API int msub_filter_topics(msub_engine *e, const msub_topic_filter *f, void *ud);
/* A list of topics, for `allows` with a msub_topic_list as ud; it is searched one by one. Patterns: msub_topic_pattern of host.h. */
typedef struct msub_topic_list { const msub_bytes *topics; size_t n; } msub_topic_list;
MSUB_API bool msub_topic_list_allows(void *ud, msub_bytes topic, msub_peer p);

/* ---- RPCs ---- */

/* An RPC that has passed the limits and is about to be read. Walk it with msub_rpc_begin() and msub_rpc_next() (rpc.h). Views for the call. */
typedef struct msub_inspection {
  msub_session session;
  msub_peer peer;
  msub_bytes frame; /* without its length */
  const msub_rpc_counts *counts;
} msub_inspection;
/* MSUB_R_NONE: go on. Any other msub_reason: nothing of it is read, traced or counted but rpcs_inspected_out and the reason; nobody is
 * blamed (see msub_feedback()). Answers that are no reason are a fault, and the RPC is dropped. */
typedef int (*msub_inspect_fn)(void *ud, const msub_inspection *i);
/* Sets the inspector; NULL: none. Not from a callback (STATE). In worlds that do not encode every RPC is encoded for it. */
MSUB_API int msub_inspector(msub_engine *e, msub_inspect_fn f, void *ud);

/* ---- afterwards ---- */

/* What a peer brought on a topic turned out to be useful, or invalid, after it was accepted: a program may know only later. The topic's
 * router is told (gossipsub with scores: a first delivery, or an invalid message); `invalid` costs the peer five points of its budget besides
 * (reason FEEDBACK; 20 of them in a short time, and it is disconnected). t.v == 0: of no topic in particular, then no router is told. The peer may have left. INVAL: no
 * such opinion; STALE: unknown topic or peer. [deferred] */
typedef enum msub_opinion { MSUB_USEFUL, MSUB_INVALID } msub_opinion;
MSUB_API int msub_feedback(msub_engine *e, msub_topic t, msub_peer p, msub_opinion o, const msub_now *now);

#ifdef __cplusplus
}
#endif
#endif
