/* host/exchange_state.h: what exchange.c (the streams) and exchange_ops.c (the program's calls) share. */
#ifndef MSUB_HOST_EXCHANGE_STATE_H
#define MSUB_HOST_EXCHANGE_STATE_H
#include "host/exchange.h"
#include "host/peers.h"

/* The streams of one protocol, peer and direction. Lives as long as one of them does. */
typedef struct msub__xqueue {
  msub__peer *peer;   /* NULL: gone, nothing begins any more */
  msub__node of_peer; /* in peer->exchange */
  msub__node running, waiting;
  msub__node in_stuck; /* the connection had no stream for us: tried again soon */
  unsigned n_running, uses;
  bool inbound;
  msub_peer_id id;
  size_t protocol_n;
  char protocol[];
} msub__xqueue;

struct msub_stream {
  msub_host *host;
  msub__xqueue *q;
  msub__node in_queue, in_due, in_all;
  msub__stream *s; /* NULL: not begun, or over */
  msub_stream_handler h;
  void *word;
  msub__timer timer; /* its deadline */
  msub__buf out;
  bool runs;     /* has a place */
  bool told;     /* the program knows of it */
  bool fin_came; /* while it waited */
  bool finished; /* by us */
  bool stopped;  /* on_data left bytes */
  bool asked;    /* want_read since */
  bool full;     /* write left bytes */
  bool ended;
  msub_end why;
};

/* A protocol that is served. */
typedef struct msub__xproto {
  msub_stream_handler h;
  void *ud;
  size_t n;
  char text[];
} msub__xproto;

msub__xproto *msub__xproto_find(const msub_host *h, msub_bytes protocol);
/* Behind those that wait; NOMEM. */
MSUB_MUST int msub__xstream_new(msub__peer *p, bool inbound, msub_bytes protocol, msub_stream **out);
void msub__xstream_free(msub_stream *st); /* tells nobody */
/* Something is to be told or done. */
void msub__xstream_mark(msub_stream *st);
/* Its end is due, for the first reason that is given. The yamux stream is reset when it is still there. */
void msub__xstream_end(msub_stream *st, msub_end why);
/* Gives it a place, when there is one, and dials. LIMIT: it waits. NOTFOUND, NOMEM, CLOSED: nothing has begun. */
MSUB_MUST int msub__xstream_begin(msub_stream *st);
void msub__xstream_finish(msub_stream *st);
/* Bytes that write() takes now. */
size_t msub__xstream_room(const msub_stream *st);

extern const msub_exchange_ops msub__exchange_ops;
#endif
