/* meshsub/watch.h: which peers come to a topic and leave it, as events that a program fetches when it likes. (world.topic_peer tells
 * the same as it happens.)
 *
 *   msub_watch_begin(engine, topic, NULL, NULL, &w);
 *   while (msub_watch_next(w, &ev) == MSUB_OK) …
 *
 * A watch begins with the peers that are there, as joins. Events come in order, and are coalesced: a peer that joins and leaves before
 * anybody looks is not mentioned, nor one that leaves and comes back. Source: go-libp2p-pubsub's TopicEventHandler. */
#ifndef MESHSUB_WATCH_H
#define MESHSUB_WATCH_H
#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct msub_watch msub_watch;
typedef struct msub_peer_event {
  msub_peer peer; /* valid until the next call with this watch; msub_peer_bytes() has its id */
  bool joined;
  uint32_t lost;  /* events before this one that there was no room for: ask msub_topic_peers() */
} msub_peer_event;

/* Begins to watch a joined, relayed or opened topic. ready (may be NULL) is called when an event comes to a watch that had none; it may make
 * the engine's [deferred] calls and all of these but end. The watch dies with its engine if it is not ended before. STALE: no member of the topic; LIMIT: 64 watches; NOMEM. Any
 * time, callbacks too. */
MSUB_API int msub_watch_begin(msub_engine *e, msub_topic t, void (*ready)(void *ud, msub_watch *w), void *ud, msub_watch **out);
/* The next event. NOTFOUND: there is none. STALE: the topic was left, and everything before that has been told. At most 16,384 events wait; more
 * are lost and counted in the next one that is told. Any time. */
MSUB_API int msub_watch_next(msub_watch *w, msub_peer_event *out);
/* NULL is fine. Nothing is told after it. Any time but inside ready. */
MSUB_API void msub_watch_end(msub_watch *w);

#ifdef __cplusplus
}
#endif
#endif
