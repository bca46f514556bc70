/* meshsub/exchange.h: byte streams on protocol ids of one's own, next to pubsub. Each world implements it (the host over
 * libp2p streams, virtual time over its links); user-space protocols are written against it and run in both.
 *
 * Flow: open() → [write]… → finish() …, on the other side on_open → [on_data]… → on_finish …; both directions end on their own.
 * One deadline covers everything from open to the last byte.
 *
 * Limits: of each protocol, at most 4 requests of a peer are served at a time; further streams wait unread (their deadline
 * runs), none is reset for being early. open() has at most 4 of a protocol open to a peer, the others wait for their turn.
 *
 * Threads and re-entry: the world's thread. All operations may be called from any callback; no callback runs inside open(). */
#ifndef MESHSUB_EXCHANGE_H
#define MESHSUB_EXCHANGE_H
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct msub_stream msub_stream; /* the world's; dies when on_end returns */

/* FINISHED: both directions ended in order. RESET: the peer, or a limit. DEADLINE. UNSUPPORTED: the peer does not speak the
 * protocol. GONE: the connection was lost, or there was none. CANCELLED: our own reset. */
typedef enum msub_end { MSUB_END_FINISHED, MSUB_END_RESET, MSUB_END_DEADLINE, MSUB_END_UNSUPPORTED, MSUB_END_GONE, MSUB_END_CANCELLED } msub_end;
MSUB_API const char *msub_end_name(int why); /* any int */

typedef struct msub_stream_handler {
  uint32_t abi, size; /* MSUB_ABI, sizeof(msub_stream_handler) */
  /* Inbound only: the word for this stream, handed to the others; NULL: it is reset, and nothing else is called. Required to serve. */
  void *(*on_open)(void *ud, msub_stream *s, msub_bytes peer_id);
  /* Returns the bytes taken; fewer than b.n: the rest comes again after want_read(). Required. */
  size_t (*on_data)(void *word, msub_stream *s, msub_bytes b);
  void (*on_finish)(void *word, msub_stream *s);   /* the peer sends no more; we still may. NULL: as if it had called finish() */
  void (*on_writable)(void *word, msub_stream *s); /* after a write that did not take all */
  void (*on_end)(void *word, msub_stream *s, msub_end why); /* exactly once, always the last call. Required */
} msub_stream_handler;

typedef struct msub_exchange_ops {
  uint32_t abi, size;
  /* Serves a protocol; h NULL: no longer (streams that are open stay). h and ud must outlive it. CLAIMED, LIMIT (64 protocols), NOMEM. */
  int (*serve)(void *x, const char *protocol, const msub_stream_handler *h, void *ud);
  /* Opens a stream to a connected peer; bytes may be written at once. deadline: monotonic ns. Failures that show later are on_end's; at once: NOTFOUND (no connection), NOMEM, INVAL. */
  int (*open)(void *x, msub_bytes peer_id, const char *protocol, uint64_t deadline_mono_ns, const msub_stream_handler *h, void *word,
              msub_stream **out);
  size_t (*write)(void *x, msub_stream *s, msub_bytes b); /* copied; how many were taken. Fewer: on_writable comes */
  void (*want_read)(void *x, msub_stream *s);
  void (*finish)(void *x, msub_stream *s); /* no more from us */
  void (*reset)(void *x, msub_stream *s);  /* on_end follows, not from inside */
  /* Moves the deadline of an inbound stream closer than the world's own 60 s, or of any stream. */
  void (*deadline)(void *x, msub_stream *s, uint64_t deadline_mono_ns);
  uint64_t (*now)(void *x); /* monotonic ns of this turn */
} msub_exchange_ops;
/* What user-space code is handed. */
typedef struct msub_exchange { const msub_exchange_ops *ops; void *x; } msub_exchange;

#ifdef __cplusplus
}
#endif
#endif
