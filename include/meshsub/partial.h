/* meshsub/partial.h: partial messages (an extension of gossipsub 1.3): a message in parts, of which peers give each other what
 * they lack. Source: libp2p/specs pubsub/gossipsub partial-messages; what it leaves open as go-libp2p-pubsub.
 *
 *   topic ──▶ group ──▶ peer ──▶ state           a group is a message to be: its id (1 … 128 bytes) is known before it is whole
 *
 * What a part is, and how parts and lists of parts are written, is the program's business. It tells the router, per topic, how it
 * takes part (msub_channel_policy.partial at msub_join() or msub_open(), and msub_gossipsub_opts.extensions.partial for all):
 *
 *   REQUESTS   we want parts: peers that can send parts send us no whole messages, but RPCs with parts (`message`) and with what they
 *              have and want (`metadata`)
 *   SUPPORTS   we send parts to those who want them, and get metadata, never parts. Others get whole messages as ever
 *
 * One RPC carries a message, metadata or both. Eager is: `give` answers with a message although nobody asked. Lazy is: it answers
 * with metadata, and with a message to peers whose metadata said that they lack parts.
 *
 *   msub_partial_publish(e, t, group, …)      for each peer of the mesh (or fanout) where one side wants what the other one sends, direct
 *                                             ones, and whoever wrote about the group:
 *     ──▶ give(c, group, peer, out)           what goes to it now, by peer->state; the program keeps there what it knows of the peer
 *   peer's RPC ──▶ take(c, group, peer, …)    merge, note the peer's metadata in peer->state; if anything is new, publish again
 *   heartbeat ──▶ gossip(c, group, peer, out) peers that have not heard of one of our groups: in the mesh since, or outside it
 *
 * State is a block of state_bytes for each peer of each group; it begins as zeroes, and ends with the group, with the peer's stream
 * or ours (what was said then may be lost), or when it gives the topic up. What `give` writes there counts only if the RPC was
 * taken: after a full queue it is as before; after one that got lost later it is zeroes.
 *
 * A group lives for `ttl` heartbeats after the last publish. One that a peer began lives as long; 255 of a topic, 8 of a peer in a
 * topic, 2,048 in all. Groups of ours: 4,096 in all, minus those. A peer's RPCs of a heartbeat beyond 1,024, or 8 MiB, are ignored. Whatever is
 * over a limit is counted (msub_counts.partials_refused, msub_partial_usage) and nobody is blamed.
 *
 * Threads and re-entry: hooks run on the engine's thread inside a call into the engine. They may make the calls that engine.h marks
 * [deferred], msub_partial_publish() among them. */
#ifndef MESHSUB_PARTIAL_H
#define MESHSUB_PARTIAL_H
#include "channel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum msub_partial_mode { MSUB_PARTIAL_NONE, MSUB_PARTIAL_SUPPORTS, MSUB_PARTIAL_REQUESTS } msub_partial_mode;

typedef struct msub_partial_peer {
  msub_peer peer;
  bool requests; /* it wants parts. A message for one that does not is left out, metadata goes */
  bool sends;    /* it can send parts, too; a peer that requests always can */
  bool member;   /* of our mesh or fanout */
  void *state;   /* state_bytes, aligned to 8; NULL without. For the call */
} msub_partial_peer;

/* Views that hold until the router has sent the RPC, which is before the next hook is called: a buffer of the program's will do.
 * Both empty: nothing goes. Together with group and topic at most max_rpc (1 MiB); more is not sent. */
typedef struct msub_partial_out { msub_bytes message, metadata; } msub_partial_out;
typedef void (*msub_partial_fn)(const msub_channel *c, msub_bytes group, msub_partial_peer *p, msub_partial_out *out);

typedef struct msub_partial_ops {
  uint32_t abi, size;     /* MSUB_ABI, sizeof(msub_partial_ops) */
  msub_partial_mode mode; /* NONE: as without this table */
  uint16_t state_bytes;   /* at most 1,024 */
  uint8_t ttl;            /* heartbeats; at least 3 */
  /* What a peer wrote about a group: either may be empty. IGNORE: of no use. REJECT: it is wrong, and provably by this peer: costs it
   * behaviour score. [ACCEPT] */
  msub_verdict (*take)(const msub_channel *c, msub_bytes group, msub_partial_peer *p, msub_bytes message, msub_bytes metadata);
  msub_partial_fn give;   /* what goes to a peer when the group is published. Required, unless each publish brings its own */
  msub_partial_fn gossip; /* what a peer hears of one of our groups in a heartbeat [nothing] */
} msub_partial_ops;

/* Publishes what we have of a group. Its life begins anew; with `give` (NULL: the topic's own) each peer of the group is offered what
 * goes to it. `to`, n_to: only to these connected peers, in the mesh or not, at most 1,024; NULL: to all, see above. A topic that was
 * opened and not joined gets a fanout. [deferred] INVAL: no group id, or too long; no partial messages on this topic; too many peers.
 * LIMIT: too many groups. NOMEM, STALE. A peer that the topic may not have (may_peer of channel.h) is passed over, named or not. */
MSUB_API int msub_partial_publish(struct msub_engine *e, msub_topic t, msub_bytes group, msub_partial_fn give, const msub_peer *to, size_t n_to,
                                  const msub_now *now);

/* What a router holds now, and what it refused since it began: groups and states over a limit, RPCs of a peer beyond its share,
 * those of no use (no such topic, extension not announced, a group id of a wrong length, a peer that the topic may not have), and REJECTs of the program. sent, unsent:
 * RPCs that were taken, that a queue refused. */
typedef struct msub_partial_usage {
  size_t groups, foreign, states, bytes;
  uint64_t sent, unsent, over_groups, over_states, over_share, of_no_use, rejected;
} msub_partial_usage;
/* Not from a callback (STATE). UNSUPPORTED: the router (index into opts.routers) has no partial messages. */
MSUB_API int msub_partial_usage_of(struct msub_engine *e, unsigned router, const msub_now *now, msub_partial_usage *out);

#ifdef __cplusplus
}
#endif
#endif
