/* meshsub/trace_peer.h (libmeshsub-host): what an engine does, sent to a peer that collects it, as go-libp2p-pubsub's RemoteTracer does: a
 * stream of /libp2p/pubsub/tracer/1.0.0, on it gzip, in it messages TraceEventBatch, each behind its length as a varint.
 *
 *   msub_trace_peer_opts to;  msub_trace_peer_opts_init(&to);
 *   to.exchange = msub_host_exchange(host);  to.peer_id = collector;
 *   msub_trace_peer_new(&to, &tracer);
 *   msub_host_keep(host, "/ip4/192.0.2.7/tcp/4001/p2p/12D3Koo…");               (the connection is the program's)
 *   static void on_trace(void *ud, msub_host *h, const msub_event *ev) { msub_trace_peer_add(tracer, msub_host_engine(h), ev); }
 *   …  msub_host_turn(host, ns);  msub_trace_peer_turn(tracer);                   (after each turn of the loop)
 *   msub_trace_peer_finish(tracer);   … turns, until msub_trace_peer_done(tracer) or for as long as one likes
 *   msub_host_free(host);  msub_trace_peer_free(tracer);
 *
 * Events are encoded at once into a bounded buffer; what finds it full is lost whole and counted. They go out when 16 are there, or the
 * oldest is a second old. Without a connection, or when the collector ends the stream, it is tried again; the batch that was under way is then lost
 * and counted, what had not begun is not.
 *
 * Threads: the one of the exchange. add may be called in any callback, turn and finish not. */
#ifndef MESHSUB_TRACE_PEER_H
#define MESHSUB_TRACE_PEER_H
#include "exchange.h"
#include "trace.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MSUB_TRACE_PROTOCOL "/libp2p/pubsub/tracer/1.0.0"

typedef struct msub_trace_peer msub_trace_peer;
typedef struct msub_trace_peer_opts {
  uint32_t size;          /* set by msub_trace_peer_opts_init */
  msub_exchange exchange; /* outlived only by its end: see above. Required */
  msub_bytes peer_id;     /* the collector's; copied. Required */
  size_t buffer_bytes;    /* encoded events that wait, at most: 2 MiB; 64 KiB … 1 GiB. Taken as it is needed */
  uint64_t retry_ns;      /* between two streams: 10 s; at least 1 ms. Without a connection it is looked every turn */
  const msub_mem *mem;    /* NULL: malloc; zlib's 260 KiB are its own */
} msub_trace_peer_opts;
MSUB_API void msub_trace_peer_opts_init(msub_trace_peer_opts *o);

typedef struct msub_trace_peer_counts {
  uint64_t events;  /* taken */
  uint64_t sent;    /* whole in the stream's hands */
  uint64_t lost;    /* found no room, or their stream ended first */
  uint64_t bytes;   /* compressed */
  uint64_t streams; /* opened */
} msub_trace_peer_counts;

/* INVAL: an option; NOMEM. */
MSUB_API int msub_trace_peer_new(const msub_trace_peer_opts *o, msub_trace_peer **out);
MSUB_API void msub_trace_peer_add(msub_trace_peer *t, const struct msub_engine *e, const msub_event *ev);
/* Opens the stream when there is a connection, and sends what is due. */
MSUB_API void msub_trace_peer_turn(msub_trace_peer *t);
/* What is there goes out, then the stream ends in order; nothing is taken any more. */
MSUB_API void msub_trace_peer_finish(msub_trace_peer *t);
MSUB_API bool msub_trace_peer_done(const msub_trace_peer *t); /* after finish: the stream has ended, or there is no way to the collector */
MSUB_API void msub_trace_peer_count(const msub_trace_peer *t, msub_trace_peer_counts *out);
/* STATE: its stream is still open. NULL is fine. */
MSUB_API int msub_trace_peer_free(msub_trace_peer *t);

#ifdef __cplusplus
}
#endif
#endif
