/* host/stream.h: one yamux stream from its opening to its end: negotiation, then the protocol's own
 * operations.
 *
 *   inbound   yamux opens ─▶ multistream listener ─▶ a handler says yes to the id ─▶ ops of that protocol
 *   outbound  stream_dial ─▶ header and id wait in `out`, the protocol's first bytes may follow at once ─▶
 * agreed, or refused
 *
 * An operation may reset its own stream (msub__stream_reset) or mark its connection as failed; both are safe,
 * and after a reset the stream must not be touched. */
#ifndef MSUB_HOST_STREAM_H
#define MSUB_HOST_STREAM_H
#include "host/conn.h"
#include "wire/multistream.h"

typedef struct msub__stream_ops {
  const char *name;
  void (*on_agreed)(msub__stream *s, msub_bytes protocol);
  void (*on_refused)(msub__stream *s);               /* outbound: "na"; NULL: reset */
  size_t (*on_data)(msub__stream *s, msub_bytes in); /* after agreement. Bytes taken; NULL: all, unread */
  void (*on_fin)(msub__stream *s);                   /* the peer wrote its last byte; NULL: nothing */
  void (*on_end)(msub__stream *s,
                 int why);             /* the last call in any case: frees `own`; NULL: nothing to free */
  void (*on_timeout)(msub__stream *s); /* the stream's timer; NULL: reset */
  /* Bytes behind those in `out` that could be sent now, and the next n of them. NULL: there is only `out`. */
  size_t (*pending)(const msub__stream *s);
  void (*pull)(msub__stream *s, uint8_t *dst, size_t n);
  /* The peer's window is used up although bytes wait (true), or has grown again (false). */
  void (*on_blocked)(msub__stream *s, bool blocked);
} msub__stream_ops;

struct msub__stream {
  msub__conn *conn;
  msub__ystream *y;
  const msub__stream_ops *ops; /* inbound: NULL until agreed */
  void *own;                   /* the protocol's */
  msub__mss *mss;              /* until agreed */
  msub_bytes proposal;
  msub__buf out;
  msub__node writing; /* in conn->writers */
  msub__timer timer;  /* of the negotiation, then the protocol's */
  uint64_t seq;       /* order of opening, over all connections */
  bool inbound, fin, blocked;
};

/* Callbacks of every connection's yamux session. */
extern const msub__yamux_ops msub__stream_yamux_ops;

/* Opens a stream and proposes one protocol. protocol: outlives the negotiation. LIMIT, CLOSED, NOMEM. */
MSUB_MUST int msub__stream_dial(msub__conn *c, msub_bytes protocol, const msub__stream_ops *ops, void *own,
                                msub__stream **out);
/* Queues bytes. NOMEM: nothing was queued. */
MSUB_MUST int msub__stream_write(msub__stream *s, msub_bytes b);
/* There is something to pull. */
void msub__stream_wants_write(msub__stream *s);
/* Nothing more comes from us after what is queued. */
void msub__stream_finish(msub__stream *s);
/* Ends it at once; on_end(why) is called from inside. */
void msub__stream_reset(msub__stream *s, int why);
/* A rule of the protocol was broken: counted, reported, reset. */
void msub__stream_fault(msub__stream *s, const char *what);
void msub__stream_deadline(msub__stream *s, uint64_t after_ns); /* MSUB_NEVER: none */
/* For the writer. */
size_t msub__stream_pending(const msub__stream *s);
void msub__stream_pull(msub__stream *s, uint8_t *dst, size_t n);
#endif
