/* meshsub/world.h: what carries an engine: the libp2p host, virtual time, a fuzzer. The engine calls these operations; none of
 * them may call back into the engine except through the calls that engine.h marks [deferred].
 *
 * Threads: all of it on the engine's thread. */
#ifndef MESHSUB_WORLD_H
#define MESHSUB_WORLD_H
#include "log.h"
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
  /* The same for several jobs that have this function, where that is cheaper than one by one: verdicts[i] is that of args[i]. A world may
   * give it any number of jobs of its engines, one included, or none. NULL: there is only fn. */
  void (*many)(const msub_bytes *args, size_t n, msub_verdict *verdicts);
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
  X(LEFT, RESOURCE, "the topic was left")                                                                           \
  X(LOST, RESOURCE, "lost on its way")                                                                              \
  X(BLOCKED_PEER, RESOURCE, "the peer is blocked")                                                                  \
  X(BLOCKED_AUTHOR, RESOURCE, "the author is blocked")                                                              \
  X(NOT_ALLOWED, RESOURCE, "only peers of a list are allowed, and it is not on it")                                 \
  X(FILTERED, RESOURCE, "the topic's policy does not want this peer")                                               \
  X(FEEDBACK, PROVABLE, "the program found what the peer brought to be invalid")
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

/* What a trace tells. The first thirteen are those of go-libp2p-pubsub's trace format, in its order and with its numbers (trace.h makes its
 * records). SEND_RPC: the world took it into its queue. */
/* X(NAME, text, which members are set besides kind and router) */
#define MSUB_EVENT_MAP(X)                                                                                           \
  X(PUBLISH, "publish", topic, id)                                                                                  \
  X(REJECT, "reject", topic, id, peer, reason)                                                                      \
  X(DUPLICATE, "duplicate", topic, id, peer)                                                                        \
  X(DELIVER, "deliver", topic, id, peer)                                                                            \
  X(ADD_PEER, "add_peer", peer, text: protocol)                                                                     \
  X(REMOVE_PEER, "remove_peer", peer)                                                                               \
  X(RECV_RPC, "recv_rpc", peer, rpc or frame)                                                                       \
  X(SEND_RPC, "send_rpc", peer, rpc)                                                                                \
  X(DROP_RPC, "drop_rpc", peer, rpc, reason)                                                                        \
  X(JOIN, "join", topic)                                                                                            \
  X(LEAVE, "leave", topic)                                                                                          \
  X(GRAFT, "graft", peer, topic)                                                                                    \
  X(PRUNE, "prune", peer, topic)                                                                                    \
  X(WITHDRAW, "withdraw", peer, id, n)                                                                              \
  X(DEFER, "defer", topic, id, peer)                                                                                \
  X(FAULT, "fault", text: whose answer was nonsense, and which)                                                     \
  X(EXTENSION, "extension", peer, text: "test" or "partial"; of the latter topic, id: its group, n: its bytes)
typedef enum msub_event_kind {
#define MSUB_X(name, ...) MSUB_T_##name,
  MSUB_EVENT_MAP(MSUB_X)
#undef MSUB_X
  MSUB_EVENTS
} msub_event_kind;
typedef struct msub_event {
  msub_event_kind kind;
  uint32_t router; /* index */
  msub_peer peer;
  msub_topic topic;
  msub_bytes id, frame;
  const msub_rpc *rpc;
  int reason; /* a msub_reason */
  uint32_t n;
  const char *text;
} msub_event;
MSUB_API const char *msub_event_name(int kind); /* "publish"; any int */

/* Why a publish reached nobody, if it did. */
/* X(NAME, text) */
#define MSUB_REACH_MAP(X)                                                                                           \
  X(PEERS, "it reached peers")                                                                                      \
  X(NO_PEERS, "no peer has announced the topic")                                                                    \
  X(NOT_CHOSEN, "the router named none of the topic's peers")                                                       \
  X(QUEUES_FULL, "no queue took it")                                                                                \
  X(PUBLISHED_BEFORE, "its id was accepted before")                                                                 \
  X(LOCAL_ONLY, "it was for this node only")                                                                        \
  X(NOT_PUBLISHED, "it was refused, or given up: see err")
typedef enum msub_reach {
#define MSUB_X(name, text) MSUB_REACH_##name,
  MSUB_REACH_MAP(MSUB_X)
#undef MSUB_X
  MSUB_REACHES
} msub_reach;
MSUB_API const char *msub_reach_text(int reach); /* static; any int */

/* The outcome of a publish (or of msub_await() in publish.h). */
typedef struct msub_published {
  msub_token ticket;
  msub_topic topic;
  int err;                               /* as msub_publish() answers; TIMEOUT: too few peers came */
  uint32_t recipients, refused;          /* peers that took it; whose queue did not */
  msub_reach reach;
  msub_bytes id;                         /* of the message; empty: there was none. A view for the call */
} msub_published;

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
  /* Takes RPCs that hold exactly one message, the one with this id, out of the session's queue; returns how many. A forward is always such an
   * RPC. They are not reported as dropped. NULL: nothing is ever taken back. */
  unsigned (*withdraw)(void *w, uint64_t link, msub_bytes id);
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
  /* Peer exchange: a peer that may be worth dialling; record: its signed envelope as it came, unverified, or empty. NULL: not told. */
  void (*connect_hint)(void *w, msub_bytes peer_id, msub_bytes record);
  /* The signed record of a peer, for peer exchange: writes at most cap bytes; the length, 0: none held, or it is longer. NULL: none. */
  size_t (*peer_record)(void *w, msub_peer p, uint8_t *out, size_t cap);
  /* The peer is worth keeping connected for this topic (t.v == 0: whatever happens), or no longer. NULL: not told. */
  void (*protect)(void *w, msub_peer p, msub_topic t, bool on);
  /* The topic would do with n more peers: a world with discovery (discovery.h) looks for some. NULL: not told. */
  void (*want_peers)(void *w, msub_topic t, unsigned n);
  /* What happens, as it happens; views for the call. NULL: no cost. */
  void (*trace)(void *w, const msub_event *ev);
  /* Signs the pieces joined. Length of the signature or a negative error. At once; no I/O. Required under MSUB_STRICT_SIGN and MSUB_LAX_SIGN. */
  int (*sign)(void *w, const msub_bytes *parts, size_t n, uint8_t *out, size_t cap);
  /* The outcome of every publish, in more detail than result(), which is told as well; and that of msub_await(), which only this one
   * hears. p is a view for the call. NULL: not told. */
  void (*published)(void *w, const msub_published *p);
  /* Bytes of frames that wait for the session with this link, by lane; for msub_state(). false: it cannot tell. NULL: it never can. */
  bool (*queued)(void *w, uint64_t link, size_t bytes[MSUB_LANES]);
} msub_world_ops;

#ifdef __cplusplus
}
#endif
#endif
