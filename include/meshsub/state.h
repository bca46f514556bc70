/* meshsub/state.h: the whole picture of an engine at one moment, for a debugging page or a bug report: routers, sessions with what is
 * queued for them, topics with mesh, fanout and backoffs, scores.
 *
 * One call shows all of it, and nothing happens between its parts: what is in a mesh in one is connected in another. It costs a walk over
 * everything that is known: for people, not for every message.
 *
 * Threads and re-entry: the engine's thread. The visitor runs inside the engine, so it may ask what engine.h offers for looking and make calls
 * marked [deferred], which take effect after the last part. */
#ifndef MESHSUB_STATE_H
#define MESHSUB_STATE_H
#include "engine.h"
#include "score.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct msub_state_engine {
  msub_bytes self_id;
  msub_now now;
  size_t n_routers;
  msub_usage usage;
  const msub_counts *counts;
} msub_state_engine;
typedef struct msub_state_router {
  uint32_t router;          /* index */
  const char *name;         /* of its outermost level */
  size_t sessions, topics;
  bool scores;              /* it tells scores */
} msub_state_router;
typedef struct msub_state_session {
  uint32_t router;
  msub_session session;
  msub_bytes peer_id;
  const char *protocol;     /* of our stream: offered, or agreed */
  bool agreed, outbound;
  size_t topics;            /* that the peer announced */
  bool has_queues;          /* the world can tell what waits */
  size_t queued[MSUB_LANES]; /* bytes of frames, by lane */
} msub_state_session;
typedef struct msub_state_topic {
  uint32_t router;
  msub_topic topic;
  msub_bytes name;
  uint32_t joins, opens;    /* by the program; both 0: only peers announced it, or it is still cached */
  size_t announced;         /* peers that announced it */
  size_t cached;            /* its messages in the cache */
  const msub_peer_state *peers; /* the router's view: who announced it, who is in mesh or fanout, whom a backoff keeps out */
  size_t n_peers;
  uint64_t now_ns;          /* monotonic: peers[i].backoff_ns is compared with it */
} msub_state_topic;

/* Members may be NULL. Views hold for the call. Order: the engine; then router by router the router, its sessions, its topics, its scores. */
typedef struct msub_state_visitor {
  uint32_t size; /* sizeof(msub_state_visitor) */
  void *ud;
  void (*engine)(void *ud, const msub_state_engine *s);
  void (*router)(void *ud, const msub_state_router *s);
  void (*session)(void *ud, const msub_state_session *s);
  void (*topic)(void *ud, const msub_state_topic *s);
  void (*score)(void *ud, uint32_t router, msub_bytes peer_id, const msub_peer_score *s);
} msub_state_visitor;
/* INVAL: size; STATE: from a callback; NOMEM: what was shown is not all. */
MSUB_API int msub_state(msub_engine *e, const msub_state_visitor *v, const msub_now *now);

#ifdef __cplusplus
}
#endif
#endif
