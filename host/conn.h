/* host/conn.h: one TCP connection from dial or accept to its end.
 *
 *   DIALING ─▶ SECURITY ──▶ HANDSHAKE ──▶ (MUXER) ──▶ OPEN ──▶ CLOSED
 *    connect    multistream  Noise XX      multistream  yamux    reaped; waits for the transport's last word
 *               /noise                     inside Noise,
 *                                          only when Noise did not settle it
 *
 * Bytes in:   transport's buffer ─┬─ a whole record lies in it: opened in place ─┬─▶ plain ─▶ yamux
 *                                 └─ a part of one: collected in `part` ─────────┘
 * Bytes out:  raw (before Noise stands), then records: yamux control and Data frames, sealed in place
 * (writer.c)
 *
 * The transport's buffer is given back (recv) when all of it was used, so a connection whose yamux does not
 * read makes TCP push back. */
#ifndef MSUB_HOST_CONN_H
#define MSUB_HOST_CONN_H
#include "base/buf.h"
#include "host/state.h"

typedef enum msub__conn_state {
  MSUB__CONN_DIALING,
  MSUB__CONN_SECURITY,
  MSUB__CONN_HANDSHAKE,
  MSUB__CONN_MUXER,
  MSUB__CONN_OPEN,
  MSUB__CONN_CLOSED
} msub__conn_state;

struct msub__upgrade;
struct msub__dial;
struct msub__keep;

struct msub__conn {
  msub_host *host;
  msub__node in_conns, in_dirty, in_ready, in_closing;
  msub__node of_peer;   /* in peer->conns */
  msub__node in_parked; /* inbound: has spoken, waits until its handshake may begin */
  uint32_t tr;          /* the transport's number */
  msub__conn_state state;
  bool outbound, failed;
  bool admitted; /* inbound: its handshake is under way (gate.h) */
  bool hinted;   /* dialled on a hint */
  bool spare;    /* both dialled at once, and the other connection is the one that stays: closed when no stream is left on it */
  bool credit;   /* a recv is outstanding */
  bool sending;
  bool over;     /* CLOSED was fetched: nothing goes in or out any more, what has come is still handled */
  msub__tr_addr local, remote;
  msub__peer *peer;                          /* once OPEN */
  struct msub__dial *dial;                   /* while it is the outcome of one */
  struct msub__keep *keep;                   /* kept by msub_host_keep */
  uint64_t begun, heard_at, opened, sent_at, spare_at; /* heard_at 0: nothing has come; spare_at: when a spare one is looked at */
  msub__timer timer; /* the handshake's deadline, later yamux's and the write timeout */

  struct msub__upgrade *up; /* until OPEN */
  msub__noise *noise;
  msub__yamux *yamux;

  uint8_t *in; /* the transport's buffer: what was not used yet */
  size_t in_n;
  msub__block *part; /* a record that is not whole, or the one that `plain` lies in */
  uint8_t *plain;
  size_t plain_n;

  msub__buf raw;       /* to be sent before any record */
  msub__node writers;  /* streams with something to write, the next one first */
  msub__block *flying; /* what the transport is sending */
  size_t flying_n;
  msub__stream *current; /* whose callback runs; NULL when that stream was freed meanwhile */
  unsigned n_streams;
  uint8_t identify_in, push_in, ping_in; /* streams of these kinds that the peer has open */

  int why; /* of its end: an error, its text, whether it is told as handshake failure */
  const char *text;
};

/* NOMEM; IO: no number of the transport's. */
MSUB_MUST int msub__conn_new(msub_host *h, uint32_t tr, bool outbound, msub__conn **out);
msub__conn *msub__conn_by_tr(const msub_host *h, uint32_t tr);

/* The transport's events. */
void msub__conn_established(msub__conn *c, const msub__tr_addr *local, const msub__tr_addr *remote);
void msub__conn_readable(msub__conn *c, uint8_t *data, size_t n);
void msub__conn_sent(msub__conn *c);
void msub__conn_gone(msub__conn *c, int err,
                     const char *text); /* CLOSED or DIAL_FAILED was fetched; c is freed, now or when over */

/* Ends it at the next safe moment; the first reason stays. text: static. */
void msub__conn_fail(msub__conn *c, int err, const char *text);
void msub__conn_reap(msub_host *h);                        /* all that failed */
void msub__conn_close_all(msub_host *h, const char *text); /* and reaps them */
void msub__conn_free(msub__conn *c);

/* Noise and yamux stand (upgrade.c). */
void msub__conn_open(msub__conn *c);

/* reader.c */
void msub__conn_read(msub__conn *c);   /* uses what is there, then asks for more */
void msub__conn_resume(msub__conn *c); /* yamux may read again: later in this turn */
/* It is over: ends it once nothing of what had come is left. */
void msub__conn_last_words(msub__conn *c);
/* writer.c */
void msub__conn_dirty(msub__conn *c);
void msub__conn_flush(msub__conn *c);
void msub__conn_flush_all(msub_host *h);
bool msub__conn_idle(const msub__conn *c); /* nothing waits to be written */
/* Sets the timer for what comes first. */
void msub__conn_rearm(msub__conn *c);

/* The multiaddress of the other side, with /p2p when it is known. */
void msub__conn_addr(const msub__conn *c, msub_multiaddr *out);
#endif
