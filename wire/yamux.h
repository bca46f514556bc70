/* wire/yamux.h: a yamux session, either role, without I/O, clock or thread. Source: libp2p yamux
 * specification (hashicorp's); behaviour where it is silent: go-yamux.
 *
 *   socket → noise → input(bytes) → callbacks: on_open on_data on_fin on_end on_writable on_pong on_goaway
 *   output(out) → control frames ┐
 *   data_header(stream, n)       ┴→ noise → socket
 *
 * The payload of a Data frame is put behind its header by the caller and never passes through here.
 *
 * The owner's loop, per connection:
 *
 *   readable:   if msub__yamux_reading(y): read, decrypt, msub__yamux_input();
 *               keep what it did not use and show it again later
 *   writable:   msub__yamux_output(), then for each stream with something to send:
 *               n = min(have, msub__yamux_room(s), MSUB__YAMUX_FRAME_MAX),
 *               msub__yamux_data_header(s, head, n), the n bytes.
 *               Frames must reach the wire in the order of these calls.
 *   timer:      msub__yamux_next_deadline(), msub__yamux_advance()
 *   an error:   msub__yamux_output() once more (it may hold a GoAway),
 *               msub__yamux_close(), msub__yamux_free()
 *
 * **Streams.** A msub__ystream * is valid from msub__yamux_open() or on_open until on_end returns, or until
 * the owner resets it. on_end comes exactly once for every stream that the owner did not reset itself, from
 * input, read, output, advance or close.
 *
 *   read side:  on_data … on_fin          closes with the peer's FIN, once all data was taken
 *   write side: data_header … finish()    closes when output() has written our FIN
 *   both:       on_end(MSUB_OK); or, at any time, on_end(an error):
 *               reset by the peer (CLOSED), by a limit (LIMIT), half open for too long (TIMEOUT),
 *               against the rules (MALFORMED), or close()'s reason
 *
 * **Re-entry.** A callback may call open, announce, finish, reset, read, room, data_header, set_word, ping,
 * goaway on any stream of the session; none of these calls back (read, called inside a callback, delivers
 * after it). input, output, advance, close answer STATE (output: 0) inside a callback; free is not allowed
 * there.
 *
 * **Back-pressure.** on_data answers how many bytes it took. What it left is kept, counted and shown again,
 * in one piece together with what came since, at the next arrival for this stream or after
 * msub__yamux_read(). Credit for the peer is given only for bytes taken. A reader that needs more bytes at
 * once than the window (a large frame) must take them into a buffer of its own, else the stream stands
 * still. */
#ifndef MSUB_WIRE_YAMUX_H
#define MSUB_WIRE_YAMUX_H
#include "base/mem.h"
#include "wire/limits.h"

#define MSUB__YAMUX_ID "/yamux/1.0.0"
#define MSUB__YAMUX_HEADER 12u

typedef struct msub__yamux msub__yamux;
typedef struct msub__ystream msub__ystream;

/* Codes of a GoAway; others exist and mean an ordinary end. */
enum { MSUB__GOAWAY_NORMAL = 0, MSUB__GOAWAY_PROTOCOL = 1, MSUB__GOAWAY_INTERNAL = 2 };

typedef struct msub__yamux_ops {
  /* The peer opens s. true: accepted; *word becomes the stream's word. false: refused with RST, s is gone.
   * Data that came with the opening follows by on_data. NULL: all are refused. */
  bool (*on_open)(void *ud, msub__ystream *s, void **word);
  /* Unread bytes of s, at least one; a view that dies with the call. Returns how many are taken, from the
   * front. */
  size_t (*on_data)(void *ud, msub__ystream *s, msub_bytes in);
  void (*on_fin)(void *ud, msub__ystream *s);
  void (*on_end)(void *ud, msub__ystream *s, int why);
  void (*on_writable)(void *ud, msub__ystream *s); /* room(s) has grown; may be NULL */
  void (*on_pong)(void *ud, uint64_t rtt_ns);      /* may be NULL */
  void (*on_goaway)(void *ud, uint32_t code);      /* the peer takes no more streams; may be NULL */
} msub__yamux_ops;

/* Unread bytes of all sessions that point here. Zero-initialised by the owner, one thread. When they near
 * `max`, the sessions that hold most stop reading first: each may hold as much as is still free, so one that
 * holds nothing is never stopped. */
typedef struct msub__yamux_shared {
  size_t buffered, max;
} msub__yamux_shared; /* max 0: MSUB__YAMUX_SHARED_MAX */

typedef struct msub__yamux_options {
  const msub_mem *mem;        /* copied; NULL: malloc */
  const msub__yamux_ops *ops; /* outlives the session */
  void *ud;
  msub__yamux_shared *shared; /* may be NULL */
  uint32_t max_inbound;       /* 0: MSUB__YAMUX_INBOUND_MAX */
  bool initiator;             /* the side that dialled: odd ids */
} msub__yamux_options;

/* NOMEM, INVAL. */
MSUB_MUST int msub__yamux_new(const msub__yamux_options *o, uint64_t now_ns, msub__yamux **out);
/* on_end(why) for every stream, in order of their ids; the session then only answers CLOSED. Pending output
 * is dropped. STATE in a callback. */
int msub__yamux_close(msub__yamux *y, int why);
void msub__yamux_free(msub__yamux *y); /* calls nobody; NULL is fine; not from a callback */

/* ---- bytes in ---- */

/* Handles the bytes that came, in order; *used of them are done with (set in every case). Less than all are
 * used only when msub__yamux_reading() has become false, or on an error. NOMEM: nothing is lost, the same
 * rest may be shown again later. Every other error is the end of the connection and stays: MALFORMED (against
 * the protocol), LIMIT (too many resets or empty frames), CLOSED (the peer sent a GoAway with an error code),
 * TIMEOUT. Then output() holds the GoAway that is due, if any. */
MSUB_MUST int msub__yamux_input(msub__yamux *y, uint64_t now_ns, msub_bytes in, size_t *used);
/* false: do not read from the socket now: unread bytes or control frames that wait to be written are at their
 * limit. Ask again after taking (read), after output, and at the next deadline. */
bool msub__yamux_reading(const msub__yamux *y);
/* The owner can take again: shows s its unread bytes (on_data, on_fin), at once or, inside a callback, after
 * it. */
void msub__yamux_read(msub__ystream *s);

/* ---- bytes out ---- */

/* Writes whole control frames, at most cap bytes; returns the bytes. Call it again while it fills cap and
 * before every batch of Data frames. */
size_t msub__yamux_output(msub__yamux *y, uint64_t now_ns, uint8_t *out, size_t cap);
/* Bytes that output() has to write now. */
size_t msub__yamux_pending(const msub__yamux *y);
/* Payload bytes that s may send now: the peer's window. 0 after finish(). */
size_t msub__yamux_room(const msub__ystream *s);
/* The header of a Data frame of n bytes, which the caller puts right behind it. LIMIT: n is over room(s) or
 * MSUB__YAMUX_FRAME_MAX; INVAL: n is 0; STATE: finished. */
MSUB_MUST int msub__yamux_data_header(msub__ystream *s, uint8_t out[MSUB__YAMUX_HEADER], uint32_t n);

/* ---- streams ---- */

/* A new stream. The peer hears of it with its first Data frame, or by announce(). LIMIT:
 * MSUB__YAMUX_OUTBOUND_MAX or MSUB__YAMUX_UNACKED_MAX are open (try again later); CLOSED: the peer sent
 * GoAway, or we did, or ids are used up; NOMEM. */
MSUB_MUST int msub__yamux_open(msub__yamux *y, void *word, msub__ystream **out);
/* Opens it on the wire now (an empty WindowUpdate) although there is nothing to write yet. */
void msub__yamux_announce(msub__ystream *s);
/* No more data from us; everything meant to be sent has had its data_header. Twice is fine. */
void msub__yamux_finish(msub__ystream *s);
/* Ends s in both directions at once; s is gone when this returns, on_end does not come. */
void msub__yamux_reset(msub__ystream *s);
void *msub__yamux_word(const msub__ystream *s);
void msub__yamux_set_word(msub__ystream *s, void *word);
uint32_t msub__yamux_id(const msub__ystream *s);
msub__yamux *msub__yamux_of(const msub__ystream *s);
bool msub__yamux_is_inbound(const msub__ystream *s);
/* Unread bytes that are kept for s. */
size_t msub__yamux_unread(const msub__ystream *s);

/* ---- the session ---- */

/* Announces that we take no more streams; those that are open go on. Further ones are refused. */
void msub__yamux_goaway(msub__yamux *y, uint32_t code);
/* Measures the round trip; on_pong tells. Nothing when one is under way. */
void msub__yamux_ping(msub__yamux *y);
uint64_t msub__yamux_rtt(const msub__yamux *y); /* smoothed, in ns; 0: not known */

/* When advance() has something to do next; MSUB_NEVER is possible. */
uint64_t msub__yamux_next_deadline(const msub__yamux *y);
/* Keepalive, the limits in time. OK, or TIMEOUT: the peer is dead (no pong, or it does not read); close. */
MSUB_MUST int msub__yamux_advance(msub__yamux *y, uint64_t now_ns);

/* What is going on, for metrics and tests. */
typedef struct msub__yamux_counts {
  uint32_t inbound, outbound; /* open streams */
  uint32_t unacked;           /* outbound ones the peer has not acknowledged */
  size_t buffered, bytes;     /* unread bytes; all memory held */
  uint64_t opened, accepted, refused, reset_by_peer, reset_by_limit, stray, pings_dropped;
} msub__yamux_counts;
void msub__yamux_count(const msub__yamux *y, msub__yamux_counts *out);
#endif
