/* meshsub/world.h: what carries an engine: the libp2p host, virtual time, a fuzzer. The engine calls these operations; none of
 * them may call back into the engine except through the calls that engine.h marks [deferred].
 *
 * Threads: all of it on the engine's thread. */
#ifndef MESHSUB_WORLD_H
#define MESHSUB_WORLD_H
#include "message.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A pure function over pinned bytes: no clock, no state, any thread. `arg` (n bytes) stays valid until the engine was told the
 * outcome by msub_complete(), or recall() answered true. cost_hint_ns: what a simulated node is charged for it. */
typedef struct msub_job {
  msub_verdict (*fn)(const void *arg, size_t n);
  const void *arg;
  size_t n;
  uint32_t cost_hint_ns;
} msub_job;

/* Why the engine wants a peer gone (disconnect) or what a world reports (msub_report). Class: only provable reasons blame. */
/* X(NAME, class, text) */
#define MSUB_REASON_MAP(X)                                                                                          \
  X(NONE, RESOURCE, "none")                                                                                         \
  X(MALFORMED_RPC, PROVABLE, "malformed RPC")                                                                       \
  X(RPC_OVER_LIMIT, PROVABLE, "RPC over a wire limit")                                                              \
  X(MALFORMED_STREAM, PROVABLE, "malformed multistream, yamux or identify data")                                    \
  X(HANDSHAKE, DISPUTED, "the handshake failed")                                                                    \
  X(INVALID_SIGNATURE, DISPUTED, "a signature does not verify")                                                     \
  X(FORBIDDEN_FIELD, DISPUTED, "a field that the signature policy forbids, or lacks one that it demands")           \
  X(SELF_ORIGIN, DISPUTED, "a message that claims to be ours came from somebody else")                              \
  X(REJECTED, DISPUTED, "a validator rejected the message")                                                         \
  X(INVALID_AGAIN, DISPUTED, "a copy of a message known to be invalid")                                             \
  X(IGNORED, RESOURCE, "a validator ignored the message")                                                           \
  X(THROTTLED, RESOURCE, "no room to validate or deliver")                                                          \
  X(TIMEOUT, RESOURCE, "the validator's deadline passed")                                                           \
  X(BAD_SEQNO, RESOURCE, "a sequence number that is not 8 bytes long")                                              \
  X(BAD_ID, RESOURCE, "the message-id function refused the message")                                                \
  X(QUEUE_FULL, RESOURCE, "the outbound queue is full")                                                             \
  X(TOO_LARGE, RESOURCE, "larger than the peer or the topic takes")                                                 \
  X(GONE, RESOURCE, "the session ended")                                                                            \
  X(FLOOD, PROVABLE, "more than the protocol's budget")                                                             \
  X(REQUESTED, RESOURCE, "the program asked for it")                                                                \
  X(LEFT, RESOURCE, "the topic was left")
typedef enum msub_reason {
#define MSUB_X(name, cls, text) MSUB_R_##name,
  MSUB_REASON_MAP(MSUB_X)
#undef MSUB_X
  MSUB_REASONS
} msub_reason;
typedef enum msub_blame { MSUB_BLAME_PROVABLE, MSUB_BLAME_DISPUTED, MSUB_BLAME_RESOURCE } msub_blame;
MSUB_API const char *msub_reason_text(int reason); /* static; any int */
MSUB_API const char *msub_reason_name(int reason); /* "MALFORMED_RPC": for counters and logs */
MSUB_API msub_blame msub_reason_blame(int reason);

typedef struct msub_world_ops {
  uint32_t abi, size; /* MSUB_ABI, sizeof(msub_world_ops) */
  /* Takes all of rpc or nothing. `link` is the word that the world brought with msub_session_up(). rpc is valid during the call; the world holds
   * (msub_msg_hold, msub_ctl_hold) what it keeps. OK, or LIMIT: a refusal is a drop that the router hears of at once. What the
   * world drops later it reports with msub_dropped(). Required. */
  int (*send)(void *w, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane);
  /* Would send() take an own message of this many bytes? Asked before an own publish, for every peer of the topic; one "false" and
   * msub_publish() answers LIMIT with nothing done, so that a program can wait and lose nothing. A world answers true for a peer
   * that takes no bytes at all: it must not hold up the others. NULL: always true. */
  bool (*room)(void *w, uint64_t link, msub_lane lane, size_t bytes);
  /* Ends every connection of the peer, for a msub_reason. msub_session_down() comes later, never from inside. Required. */
  void (*disconnect)(void *w, msub_peer p, int reason);
  /* A message was accepted on a topic that the program joined. from.v == 0: an own publish. The world may hold m. false: FULL;
   * the channel's rule decides (channel.h). Required. */
  bool (*deliver)(void *w, msub_topic t, const msub_msg *m, msub_peer from);
  /* Runs the job elsewhere and answers with msub_complete(t). LIMIT: no room, the message is THROTTLED. NULL: jobs run at once. */
  int (*offload)(void *w, const msub_job *j, msub_token t);
  /* true: the job never reads its bytes again and no completion follows. false: it is running; the engine keeps the bytes
   * pinned until msub_complete(), whose verdict no longer counts. Never blocks. Required with offload. */
  bool (*recall)(void *w, msub_token t);
  /* Outcome of a publish: error or OK, and the number of peers that took it. The ticket is the one msub_publish() gave. NULL: not told. */
  void (*result)(void *w, msub_token ticket, int err, uint32_t recipients);
  /* A peer announced (joined) or gave up a topic that the program joined. NULL: not told. */
  void (*topic_peer)(void *w, msub_topic t, msub_peer p, bool joined);
  /* Signs the pieces joined. Length of the signature or a negative error. At once; no I/O. Required under MSUB_STRICT_SIGN. */
  int (*sign)(void *w, const msub_bytes *parts, size_t n, uint8_t *out, size_t cap);
} msub_world_ops;

#ifdef __cplusplus
}
#endif
#endif
