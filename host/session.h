/* host/session.h: pubsub between us and one peer through one router: the stream that we open, with its lanes,
 * and the streams that the peer opens.
 *
 *                 opened with a hello in the same flight; the lanes wait for the peer's yes
 *   (nothing) ──▶ offered ───────────────────────────────────────────────▶ agreed: lanes flow
 *                    │ na: next id on a new stream; none left: refused        │
 *                    └──────────── broken, or a newer connection ◀────────────┘
 *                                  offered again, after a pause or at once
 *
 * A refused id costs a stream, not a second proposal on it: the hello that went along would be read as one.
 *
 * Towards the engine: up with the first offer, `offer` with each further one, down when the peer's last
 * connection is gone or every id was refused. The peer's streams: the one opened last counts (its first frame
 * is a hello), frames of older ones are handled until they end. */
#ifndef MSUB_HOST_SESSION_H
#define MSUB_HOST_SESSION_H
#include "host/lanes.h"
#include "host/stream.h"

struct msub__sess {
  msub__peer *peer;
  const msub__group *group;
  msub_session handle;
  bool up;
  bool capturing; /* the engine is in session_up or session_offer: what it sends is hello */
  bool agreed;
  bool refused;                             /* no id is left to offer */
  uint8_t proto;                            /* the id offered last */
  uint8_t na;                               /* bit i: id i was refused */
  uint8_t tries;                            /* to reopen, in a row */
  uint8_t hellos;                           /* repeated since hello_at */
  uint8_t fins;                             /* streams in a row that the peer half-closed at once */
  msub__stream *out;                        /* NULL: none, or waiting for `retry` */
  msub__stream *retired;                    /* the one before; let go when out is agreed */
  uint64_t agreed_at, hello_at, blocked_at; /* blocked_at 0: not */
  msub__timer retry;
  msub__lanes lanes;

  msub__node inbound; /* the peer's streams, oldest first */
  unsigned n_inbound;
  struct msub__pubsub_in *newest; /* whose first frame came last in order of opening; NULL: none */
  uint64_t newest_seq;
  struct msub__pubsub_in
      *half; /* in the middle of a frame (MSUB_MORE): no other may be shown to the engine */
};

void msub__sess_init(msub__sess *s, msub__peer *p, const msub__group *g);
void msub__sess_fini(msub__sess *s);

/* A connection of the peer opened, the peer opened a pubsub stream, or identify tells of a protocol: begins
 * when there is no stream. On a connection that is newer than the stream's the stream moves there. prefer: an
 * id of the group, or empty. */
void msub__sess_start(msub__sess *s, msub__conn *c, msub_bytes prefer);
/* Identify has news. */
void msub__sess_identified(msub__sess *s, msub__conn *c);
/* A connection ended, its streams too. Goes on with another one, or down. */
void msub__sess_conn_gone(msub__sess *s);
/* The peer opened a new stream to us. */
void msub__sess_heard(msub__sess *s, msub__conn *c, msub_bytes protocol);
/* One of the peer's streams ended: without any, and with every id refused, there is nothing left. */
void msub__sess_unheard(msub__sess *s);

/* The host stops: our stream ends behind what is queued. */
void msub__sess_finish(msub__sess *s);
/* The peer has not read all of it, or not said so by ending its side. */
bool msub__sess_finishing(const msub__sess *s);

/* world.send. */
int msub__sess_send(msub__sess *s, const msub_rpc *rpc, msub_lane lane);
/* world.room. */
bool msub__sess_room(msub__sess *s, msub_lane lane, size_t bytes);
/* world.withdraw. */
unsigned msub__sess_withdraw(msub__sess *s, msub_bytes id);
/* Of all sessions whose stream is on c: what was written has left; the flush is over. */
void msub__sess_sent(msub__conn *c);
void msub__sess_flushed(msub__conn *c);

/* The peer's streams (pubsub_in.c). */
extern const msub__stream_ops msub__pubsub_in_ops;
typedef struct msub__pubsub_in {
  msub__stream *stream;
  msub__sess *sess;
  msub__node of_sess, in_resume;
  msub_frames frames;
  uint8_t *held; /* a copy of the frame that the engine has not finished; NULL: it lies in frames, or there is
                    none */
  msub_bytes frame;
  bool heard; /* a frame has come */
  bool fin;   /* the peer's last byte was read, the last frame is not finished */
} msub__pubsub_in;
/* Goes on where streams stopped. true: some stopped again and wait for the next turn. */
bool msub__pubsub_in_resume(msub_host *h);
/* A stream on c stopped before the end of what has come. */
bool msub__pubsub_in_waiting(const msub__conn *c);
/* Too much is being verified: streams stop reading. */
bool msub__pubsub_in_throttled(const msub_host *h);
#endif
