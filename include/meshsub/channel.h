/* meshsub/channel.h: how one topic behaves. A policy is a const vtable that the program hands over at msub_join(), or that a
 * router brings for all its topics (msub_router_ops.policy).
 *
 * Every hook may be NULL. It is looked up in this order, and the first one found is the only one called:
 *
 *     the program's policy of the topic → the router levels' policies, from outside in → the default, in [brackets] below
 *
 * Data members are looked up the same way; 0 means "not said here".
 *
 * Threads and re-entry: hooks run on the engine's thread, inside a call into the engine. They may make the calls that engine.h
 * marks [deferred]; a hook of a router may use the msub_r_* calls of its level, too. A hook that answers nonsense (an id that is
 * too long, a session that does not exist) is counted in msub_counts.faults, logged with the policy's name, and its answer is
 * taken as "nothing". */
#ifndef MESHSUB_CHANNEL_H
#define MESHSUB_CHANNEL_H
#include "message.h"

#ifdef __cplusplus
extern "C" {
#endif

struct msub_engine;
struct msub_router;
struct msub_partial_ops;

/* A list of sessions: the engine's scratch, valid for the call. */
typedef struct msub_list { msub_session *s; size_t n, cap; } msub_list;
/* Appends; false: it is full (which cannot happen for the peers of one topic). */
static inline bool msub_list_add(msub_list *l, msub_session s) {
  if (l->n == l->cap) return false;
  l->s[l->n++] = s;
  return true;
}

/* What a hook is told of where it runs; lives for the call. */
typedef struct msub_channel {
  struct msub_engine *engine;
  struct msub_router *r; /* the level whose policy the hook is of; of a program's policy the outermost level */
  msub_topic topic;
  void *ctx;             /* the program's word at msub_join(); NULL in a router's policy */
} msub_channel;

/* What "false" of deliver means. DROP: the newest is lost to this program, counted, and still forwarded. LATEST: the engine
 * keeps the newest message that was not taken, in place of an older one, and offers it again at msub_redeliver(). REFUSE: the
 * message becomes THROTTLED: nothing is marked, so another copy of it is judged afresh. */
typedef enum msub_full { MSUB_FULL_DEFAULT, MSUB_FULL_DROP, MSUB_FULL_LATEST, MSUB_FULL_REFUSE } msub_full;

/* Which messages a topic takes and makes. ALWAYS: author, sequence number and signature are sent, demanded and verified. NEVER:
 * none of them is sent, and a message that has one is rejected; needs a message_id. AUTHOR, LAX and LAX_NEVER: STRICT_NO_SIGN_AUTHOR,
 * LAX_SIGN and LAX_NO_SIGN of engine.h, where their risks stand. DEFAULT: as msub_engine_opts.sign says. */
typedef enum msub_channel_sign {
  MSUB_SIGN_DEFAULT, MSUB_SIGN_ALWAYS, MSUB_SIGN_NEVER, MSUB_SIGN_AUTHOR, MSUB_SIGN_LAX, MSUB_SIGN_LAX_NEVER
} msub_channel_sign;

/* The answer of cache_get. NONE. MSG: out->msg, a message that the policy holds (the engine holds it again if it needs to).
 * PAYLOAD: out->payload, as it travels (payload_out is not applied), is copied on return and wrapped in a new message: anonymous, or by this node with a new sequence number
 * and signature, as the topic's signing says; its id must come out as the one that was asked for. LATER: msub_supply(later). */
typedef enum msub_got { MSUB_GOT_NONE, MSUB_GOT_MSG, MSUB_GOT_PAYLOAD, MSUB_GOT_LATER } msub_got;
typedef struct msub_cached {
  const msub_msg *msg;
  msub_bytes payload;
} msub_cached;

typedef struct msub_channel_policy {
  uint32_t abi, size;     /* MSUB_ABI, sizeof(msub_channel_policy) */
  const char *name;       /* for logs and faults; static */
  msub_full full;         /* [DROP] */
  msub_channel_sign sign; /* [the engine's] */
  /* Ids of the topic are known from elsewhere: peers may ask for what was not announced to them (gossipsub.h: advertised_only), and cache_get
   * also answers for ids that were never put or offered; at most 64 topics of an engine are asked for those. */
  bool open_ids;
  uint32_t defer_bytes;   /* of deferred messages at a time [256 KiB]; one more: THROTTLED */
  size_t max_data;        /* longest payload, as it travels, to publish and to take [the engine's max_message] */
  const void *params;     /* parameters of the topic for its router, which says what they are (gossipsub.h); must outlive the membership */

  /* The id of a message: writes at most MSUB_MAX_ID bytes and returns how many; 0: the message has no id and is ignored. Total,
   * pure and bounded, and on purpose without a context: two engines with the same function share its results. `m` may be
   * borrowed. [from ‖ seqno, as go-libp2p-pubsub; of anonymous messages there is none and msub_join() answers INVAL] */
  size_t (*message_id)(const msub_msg *m, uint8_t out[MSUB_MAX_ID]);

  /* The payload's transformation (compression, say): out of our own publishes before they become a message; of a message on
   * its way to deliver. Writes into `to` (cap bytes) and returns the length; more than cap: called again with that much room,
   * at most max_data for out, 16 MiB for in; SIZE_MAX: cannot be done: the publish is refused, the message is rejected. Pure. [as it is] */
  size_t (*payload_out)(const msub_channel *c, msub_bytes data, uint8_t *to, size_t cap);
  size_t (*payload_in)(const msub_channel *c, msub_bytes data, uint8_t *to, size_t cap);

  /* The cache out of which IWANT is answered and IHAVE is made. put: an accepted message (hold it to keep it). get: see msub_got;
   * `later` is good until msub_supply() or for 10 s. gossip_ids: up to `max` ids to announce, newest first; views that hold until the next
   * call into the policy. shift: a heartbeat passed. [the router's sliding window] */
  void (*cache_put)(const msub_channel *c, const msub_msg *m);
  msub_got (*cache_get)(const msub_channel *c, msub_bytes id, msub_token later, msub_cached *out);
  size_t (*gossip_ids)(const msub_channel *c, msub_bytes *ids, size_t max);
  void (*shift)(const msub_channel *c);

  /* To whom gossip goes. io: candidates in, targets out (any subset, any order; `want` is what the router would take).
   * [`want` of them at random] mesh_too: the candidates are to hold mesh members as well. */
  void (*emit)(const msub_channel *c, size_t want, msub_list *io);
  bool emit_mesh_too;

  /* may_graft: may this peer be in the topic's mesh? Asked before we graft and when a GRAFT comes (a refused one is pruned) [yes].
   * on_graft: it is in now; ours: we grafted. on_peer_join: it announced the topic. [nothing] */
  bool (*may_graft)(const msub_channel *c, msub_session s);
  void (*on_graft)(const msub_channel *c, msub_session s, bool ours);
  void (*on_peer_join)(const msub_channel *c, msub_session s);

  /* The last judgement, after the validators; own publishes too (from.v == 0; a sender who is gone: MSUB_SESSION_GONE of router.h). ACCEPT, IGNORE, REJECT, THROTTLED at once. DEFER:
   * the engine keeps the message (within defer_bytes, else THROTTLED) and the policy keeps the token, without a deadline, until
   * msub_complete(). PENDING: the same under the validator's deadline, then IGNORE. [ACCEPT] */
  msub_verdict (*admit)(const msub_channel *c, const msub_msg *m, msub_session from, msub_token t);
  /* A token (of admit or cache_get) that the engine gave up: `why` is a msub_reason: LEFT, TIMEOUT, GONE (the engine is freed), or THROTTLED (over
   * the quota; told before admit's caller goes on). [nothing] */
  void (*released)(const msub_channel *c, msub_token t, int why);
  /* An accepted message for the program; payload: what payload_in made of it. false: FULL. [the world's deliver] */
  bool (*deliver)(const msub_channel *c, const msub_msg *m, msub_bytes payload, msub_peer from);

  const struct msub_partial_ops *partial; /* messages in parts (partial.h); must outlive the membership [whole messages only] */
  /* May this peer be one of the topic's at all? One that may not is in no mesh and no fanout, gets no message and no gossip of the topic, is not
   * named in peer exchange; its messages, GRAFT, IHAVE and IWANT of the topic are ignored without an answer, and so are parts of messages, either way. That it announced the topic is
   * known all the same. Asked often, so quick; the same answer as long as the peer stays. [yes] */
  bool (*may_peer)(const msub_channel *c, msub_session s);
} msub_channel_policy;

#ifdef __cplusplus
}
#endif
#endif
