/* host/transport/nng.c: TCP and WebSocket over NNG's byte streams.
 *
 *     loop's thread                    NNG's threads                       closer's thread
 *   ┌──────────────┐  send, recv   ┌────────────────────┐               ┌───────────────────────┐
 *   │ ops, next()  │ ────────────▶ │ do it, then call   │               │ aio_stop, stream_free,│
 *   │ all decisions│               │ on_rx, on_tx, …    │               │ aio_free: these wait  │
 *   └──────────────┘               └────────────────────┘               └───────────────────────┘
 *      ▲       │ what is over                │ put                            ▲        │ put (gone)
 *      │       └──────────────────── ends ───┼────────────────────────────────┘        │
 *      └──────────────────────────── events ◀┴─────────────────────────────────────────┘
 *
 * Callbacks put a node into `events` and do nothing else; the state of a connection is read and written by the loop alone.
 * Each node belongs to one operation of which one at most is under way, so no callback needs memory.
 *
 * NNG 1.5.2 dictates the rest:
 *   - a send may end after a part; the loop sends the remainder before anything else may be queued behind it
 *   - an operation begun after a local close never ends, and one that was under way is not relied on to end either: a
 *     connection that is over goes to the closer, which stops both operations, and its way back is what makes CLOSED
 *   - stopping an operation waits for its callback, so neither callbacks nor the loop do it
 *   - a timer of NNG's spins up to a millisecond: none is used
 *   - a dial may end well before the connection stands (see dialed)
 *   - accept fails at once when descriptors are out, and would for ever: the loop pauses it (see pause_accept) */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <nng/nng.h>
#include "base/assert.h"
#include "base/deadline.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/transport/accept_pause.h"
#include "host/transport/handoff.h"
#include "host/transport/read_buf.h"
#include "host/transport/slots.h"
#include "host/transport/transport.h"

#define MODULE "transport"
#define MAX_LISTENERS 256u

/* The words of the nodes: for the loop, then for the closer. */
enum { RX_DONE, TX_DONE, CONN_GONE, ACCEPT_DONE, LISTENER_GONE, END_CONN, END_DIALER, END_LISTENER, END_CLOSER };

typedef struct transport transport;
typedef enum conn_state { DIALING, OPEN, ENDING } conn_state;

typedef struct conn {
  transport *t;
  uint32_t id;
  conn_state state;
  bool ws;
  bool announced;    /* ACCEPTED or CONNECTED was fetched */
  bool result_unread;/* rx is, or was, a dial whose outcome the loop has not looked at */
  bool receiving, sending;
  int err;           /* of CLOSED or DIAL_FAILED */
  const char *text;
  uint64_t cookie;
  msub__tr_addr dest; /* of a dial */
  nng_stream *stream;
  nng_stream_dialer *dialer, *used_dialer; /* used: with the closer */
  nng_aio *rx, *tx;
  msub__read_buf buf;
  nng_iov iov[MSUB__TRANSPORT_IOV]; /* what of the send has not gone out: iov_at … iov_n */
  unsigned iov_at, iov_n;
  size_t send_n;
  msub__hand rx_node, tx_node, end_node, dialer_node;
} conn;

typedef struct listener {
  transport *t;
  uint32_t id;
  bool ending, ws;
  bool accepting; /* an accept is posted, or its outcome was not looked at */
  msub__accept_pause pause; /* not `accepting` during one */
  nng_stream_listener *nng;
  nng_aio *aio;
  msub__hand accept_node, end_node;
} listener;

struct transport {
  msub_mem mem;
  msub_log log;
  msub__handoff events; /* to the loop */
  msub__handoff ends;   /* to the closer */
  msub__hand *pending;  /* taken from events, not looked at */
  msub__hand stop_node;
  pthread_t closer;
  uint64_t now;
  uint64_t resume_at; /* of the first listener that waits; never later than true */
  msub__slots conns;
  listener *listeners[MAX_LISTENERS];
  msub__read_bufs bufs;
  int reserve; /* accept_pause.h */
};

/* Errors and addresses ---------------------------------------------------------------------------------------------- */

typedef struct reason { int err; const char *text; } reason;

static reason reason_of(int nng_err) {
  switch (nng_err) {
  case NNG_ECONNSHUT:
  case NNG_ECLOSED: return (reason){ MSUB_ERR_CLOSED, "closed by the peer" };
  case NNG_ECONNRESET: return (reason){ MSUB_ERR_CLOSED, "reset by the peer" };
  case NNG_ECONNABORTED: return (reason){ MSUB_ERR_CLOSED, "aborted" };
  case NNG_ECONNREFUSED: return (reason){ MSUB_ERR_REFUSED, "connection refused" };
  case NNG_ETIMEDOUT: return (reason){ MSUB_ERR_TIMEOUT, "connection timed out" };
  case NNG_EUNREACHABLE: return (reason){ MSUB_ERR_IO, "network or host unreachable" };
  case NNG_EADDRINVAL: return (reason){ MSUB_ERR_IO, "address not available" };
  case NNG_EADDRINUSE: return (reason){ MSUB_ERR_REFUSED, "address in use" };
  case NNG_EPERM: return (reason){ MSUB_ERR_IO, "permission denied" };
  case NNG_ENOFILES: return (reason){ MSUB_ERR_IO, "out of file descriptors" };
  case NNG_ENOMEM: return (reason){ MSUB_ERR_IO, "out of memory in the system" };
  case NNG_EPROTO: return (reason){ MSUB_ERR_IO, "the other side does not speak WebSocket" };
  default: return (reason){ MSUB_ERR_IO, "input or output failed" };
  }
}

static bool format_url(const msub__tr_addr *a, char *out, size_t cap) {
  char ip[INET6_ADDRSTRLEN];
  if ((a->n != 4 && a->n != 16) || !inet_ntop(a->n == 4 ? AF_INET : AF_INET6, a->ip, ip, sizeof ip)) return false;
  /* Not tcp4: and tcp6: — with a family given, the resolver refuses addresses of it when no interface but loopback is up. */
  int n = snprintf(out, cap, a->n == 4 ? "%s://%s:%" PRIu16 "%s" : "%s://[%s]:%" PRIu16 "%s", a->ws ? "ws" : "tcp", ip, a->port, a->ws ? "/" : "");
  return n > 0 && (size_t)n < cap;
}

/* An IPv4 peer of a dual-stack listener is an IPv4 peer: limits by prefix must not see two kinds of it. */
static msub__tr_addr addr_of(nng_stream *s, const char *which, bool ws) {
  static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
  msub__tr_addr a = { .ws = ws };
  nng_sockaddr sa;
  memset(&sa, 0, sizeof sa);
  if (nng_stream_get_addr(s, which, &sa) != 0) return a;
  if (sa.s_family == NNG_AF_INET) {
    a.n = 4;
    a.port = ntohs(sa.s_in.sa_port);
    memcpy(a.ip, &sa.s_in.sa_addr, 4);
  } else if (sa.s_family == NNG_AF_INET6) {
    a.port = ntohs(sa.s_in6.sa_port);
    bool is_mapped = memcmp(sa.s_in6.sa_addr, mapped, sizeof mapped) == 0;
    a.n = is_mapped ? 4 : 16;
    memcpy(a.ip, sa.s_in6.sa_addr + (is_mapped ? 12 : 0), a.n);
  }
  return a;
}

/* Connections ------------------------------------------------------------------------------------------------------- */

static void on_rx(void *arg) { conn *c = arg; msub__handoff_put(&c->t->events, &c->rx_node); }
static void on_tx(void *arg) { conn *c = arg; msub__handoff_put(&c->t->events, &c->tx_node); }
static void on_accept(void *arg) { listener *l = arg; msub__handoff_put(&l->t->events, &l->accept_node); }

static conn *find(const transport *t, uint32_t id) { return msub__slots_find(&t->conns, id); }

static void conn_free(conn *c) {
  transport *t = c->t;
  msub__read_buf_give(&t->bufs, &t->mem, &c->buf);
  msub__slots_give(&t->conns, c->id);
  msub__free(&t->mem, c, sizeof *c);
}

/* With both operations allocated and no stream. */
static int conn_new(transport *t, conn **out) {
  conn *c = msub__zalloc(&t->mem, 1, sizeof *c);
  if (!c) return MSUB_ERR_NOMEM;
  c->t = t;
  c->rx_node = (msub__hand){ .owner = c, .what = RX_DONE };
  c->tx_node = (msub__hand){ .owner = c, .what = TX_DONE };
  c->dialer_node = (msub__hand){ .owner = c, .what = END_DIALER };
  c->end_node = (msub__hand){ .owner = c, .what = END_CONN };
  int err = MSUB_ERR_NOMEM;
  if (nng_aio_alloc(&c->rx, on_rx, c) == 0 && nng_aio_alloc(&c->tx, on_tx, c) == 0) err = msub__slots_take(&t->conns, &t->mem, c, &c->id);
  if (err != MSUB_OK) {
    if (c->rx) nng_aio_free(c->rx); /* never used: does not wait */
    if (c->tx) nng_aio_free(c->tx);
    msub__free(&t->mem, c, sizeof *c);
    return err;
  }
  *out = c;
  return MSUB_OK;
}

/* From here on nothing is begun on the connection and nothing that ends on it counts. */
static void end_conn(conn *c, reason why) {
  if (c->state == ENDING) return;
  c->state = ENDING;
  c->err = why.err;
  c->text = why.text;
  if (c->stream) nng_stream_close(c->stream); /* the peer hears of it now; does not wait */
  msub__handoff_put(&c->t->ends, &c->end_node);
}

/* A stream that no connection was made of. Freeing is left to NNG's own reaper. */
static void drop_stream(nng_stream *s) {
  if (!s) return;
  nng_stream_close(s);
  nng_stream_free(s);
}

/* The closer -------------------------------------------------------------------------------------------------------- */

/* The stream of an accept or a dial that went well without the loop hearing of it in time. */
static nng_stream *unread_stream(nng_aio *aio, bool unread) {
  return unread && nng_aio_result(aio) == 0 ? nng_aio_get_output(aio, 0) : NULL;
}

static void finish_conn(conn *c) {
  if (c->dialer) nng_stream_dialer_close(c->dialer);
  nng_aio_stop(c->rx);
  nng_aio_stop(c->tx);
  if (c->stream) nng_stream_free(c->stream);
  drop_stream(unread_stream(c->rx, c->result_unread));
  if (c->dialer) nng_stream_dialer_free(c->dialer);
  nng_aio_free(c->rx);
  nng_aio_free(c->tx);
  c->end_node.what = CONN_GONE;
  msub__handoff_put(&c->t->events, &c->end_node);
}

static void finish_listener(listener *l) {
  nng_aio_stop(l->aio);
  drop_stream(unread_stream(l->aio, l->accepting));
  nng_stream_listener_free(l->nng);
  nng_aio_free(l->aio);
  l->end_node.what = LISTENER_GONE;
  msub__handoff_put(&l->t->events, &l->end_node);
}

/* In order, so a connection's used dialer is freed before the connection is. */
static void *closer(void *arg) {
  transport *t = arg;
  for (;;) {
    msub__hand *h = msub__handoff_wait(&t->ends);
    while (h) {
      msub__hand *next = h->next;
      switch (h->what) {
      case END_CONN: finish_conn(h->owner); break;
      case END_DIALER: nng_stream_dialer_free(((conn *)h->owner)->used_dialer); break;
      case END_LISTENER: finish_listener(h->owner); break;
      default: return NULL; /* END_CLOSER is the last there is */
      }
      h = next;
    }
  }
}

/* Signals are the program's business: the closer, and NNG's threads, which its first call starts, get none. */
static bool start_threads(transport *t) {
  sigset_t all, before;
  (void)sigfillset(&all);
  if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0) return false;
  nng_aio *first = NULL;
  bool ok = nng_aio_alloc(&first, NULL, NULL) == 0;
  if (ok) nng_aio_free(first);
  ok = ok && pthread_create(&t->closer, NULL, closer, t) == 0;
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return ok;
}

/* Listening --------------------------------------------------------------------------------------------------------- */

static void post_accept(listener *l) {
  l->accepting = true;
  nng_stream_listener_accept(l->nng, l->aio);
}

static bool pause_accept(listener *l, const char *text, msub__tr_event *out) {
  bool first = msub__accept_failed(&l->pause, l->t->now);
  l->t->resume_at = msub__sooner(l->t->resume_at, l->pause.resume_at);
  if (!first) return false;
  *out = (msub__tr_event){ .kind = MSUB__TR_ACCEPT_PAUSED, .listener = l->id, .err = MSUB_ERR_LIMIT, .text = text };
  return true;
}

static void resume_accepts(transport *t) {
  t->resume_at = MSUB_NEVER;
  for (unsigned i = 0; i < MAX_LISTENERS; i++) {
    listener *l = t->listeners[i];
    if (!l || l->ending || l->accepting) continue;
    if (!msub__passed(l->pause.resume_at, t->now)) {
      t->resume_at = msub__sooner(t->resume_at, l->pause.resume_at);
      continue;
    }
    msub__reserve_give(&t->reserve);
    post_accept(l);
  }
}

static bool accepted(listener *l, msub__tr_event *out) {
  transport *t = l->t;
  if (l->ending) return false; /* the closer looks at it */
  int rv = nng_aio_result(l->aio);
  l->accepting = false;
  if (rv != 0) return pause_accept(l, reason_of(rv).text, out);
  nng_stream *s = nng_aio_get_output(l->aio, 0);
  if (!msub__reserve_take(&t->reserve)) {
    drop_stream(s);
    return pause_accept(l, reason_of(NNG_ENOFILES).text, out);
  }
  if (msub__accept_worked(&l->pause)) MSUB__LOG(&t->log, MSUB_LOG_INFO, MODULE, "accepting again");
  msub__tr_addr remote = addr_of(s, NNG_OPT_REMADDR, l->ws);
  conn *c = NULL;
  /* Without a remote address it was reset in the backlog. */
  bool ok = remote.n != 0 && conn_new(t, &c) == MSUB_OK;
  if (ok) {
    c->stream = s;
    c->ws = l->ws;
    c->state = OPEN;
    c->announced = true;
    *out = (msub__tr_event){ .kind = MSUB__TR_ACCEPTED, .conn = c->id, .listener = l->id, .remote = remote,
                             .local = addr_of(s, NNG_OPT_LOCADDR, l->ws) };
  } else {
    drop_stream(s);
  }
  post_accept(l);
  return ok;
}

static void end_listener(listener *l) {
  if (l->ending) return;
  l->ending = true;
  nng_stream_listener_close(l->nng);
  msub__handoff_put(&l->t->ends, &l->end_node);
}

static int op_listen(void *self, const msub__tr_addr *at, uint32_t *id, uint16_t *port, const char **why) {
  transport *t = self;
  char url[80];
  *why = "invalid address";
  if (!format_url(at, url, sizeof url)) return MSUB_ERR_INVAL;
  unsigned i = 0;
  while (i < MAX_LISTENERS && t->listeners[i]) i++;
  *why = "too many listeners";
  if (i == MAX_LISTENERS) return MSUB_ERR_LIMIT;
  *why = "out of memory";
  listener *l = msub__zalloc(&t->mem, 1, sizeof *l);
  if (!l) return MSUB_ERR_NOMEM;
  l->t = t;
  l->ws = at->ws;
  l->id = i + 1;
  l->accept_node = (msub__hand){ .owner = l, .what = ACCEPT_DONE };
  l->end_node = (msub__hand){ .owner = l, .what = END_LISTENER };
  int bound = 0;
  int rv = nng_aio_alloc(&l->aio, on_accept, l);
  if (rv == 0) rv = nng_stream_listener_alloc(&l->nng, url);
  if (rv == 0) rv = nng_stream_listener_set_bool(l->nng, NNG_OPT_TCP_NODELAY, true);
  if (rv == 0) rv = nng_stream_listener_listen(l->nng);
  if (rv == 0) rv = nng_stream_listener_get_int(l->nng, NNG_OPT_TCP_BOUND_PORT, &bound);
  if (rv != 0) {
    if (l->nng) nng_stream_listener_free(l->nng);
    if (l->aio) nng_aio_free(l->aio);
    msub__free(&t->mem, l, sizeof *l);
    reason r = reason_of(rv);
    *why = r.text;
    return r.err;
  }
  t->listeners[i] = l;
  (void)msub__reserve_take(&t->reserve);
  *id = l->id;
  *port = (uint16_t)bound;
  *why = NULL;
  post_accept(l);
  return MSUB_OK;
}

static void op_unlisten(void *self, uint32_t id) {
  transport *t = self;
  if (id >= 1 && id <= MAX_LISTENERS && t->listeners[id - 1]) end_listener(t->listeners[id - 1]);
}

/* Dialing ----------------------------------------------------------------------------------------------------------- */

static int op_dial(void *self, const msub__tr_addr *to, uint64_t cookie, uint32_t *id) {
  transport *t = self;
  char url[80];
  if (to->port == 0 || !format_url(to, url, sizeof url)) return MSUB_ERR_INVAL;
  conn *c;
  int err = conn_new(t, &c);
  if (err) return err;
  int rv = nng_stream_dialer_alloc(&c->dialer, url);
  if (rv == 0) rv = nng_stream_dialer_set_bool(c->dialer, NNG_OPT_TCP_NODELAY, true);
  if (rv != 0) {
    if (c->dialer) nng_stream_dialer_free(c->dialer); /* not used yet: does not wait */
    nng_aio_free(c->rx);
    nng_aio_free(c->tx);
    conn_free(c);
    return rv == NNG_ENOMEM ? MSUB_ERR_NOMEM : MSUB_ERR_IO;
  }
  c->state = DIALING;
  c->cookie = cookie;
  c->dest = *to;
  c->ws = to->ws;
  c->result_unread = true;
  *id = c->id;
  nng_stream_dialer_dial(c->dialer, c->rx);
  return MSUB_OK;
}

static bool stands(conn *c, msub__tr_event *out) {
  c->state = OPEN;
  c->announced = true;
  msub__tr_addr remote = addr_of(c->stream, NNG_OPT_REMADDR, c->ws);
  *out = (msub__tr_event){ .kind = MSUB__TR_CONNECTED, .conn = c->id, .cookie = c->cookie,
                           .remote = remote.n ? remote : c->dest, .local = addr_of(c->stream, NNG_OPT_LOCADDR, c->ws) };
  return true;
}

/* NNG watches the socket before it connects it. The hang-up that the system reports of a socket that is not connected yet may
 * reach NNG a little later, and then passes for the outcome of the dial: there is a stream, and the connection does not stand.
 * It has no remote address then. An empty send ends when it stands, or when it failed. */
static bool dialed(conn *c, msub__tr_event *out) {
  int rv = nng_aio_result(c->rx);
  c->result_unread = false;
  if (rv != 0) {
    end_conn(c, reason_of(rv));
    return false;
  }
  c->stream = nng_aio_get_output(c->rx, 0);
  c->used_dialer = c->dialer;
  c->dialer = NULL;
  msub__handoff_put(&c->t->ends, &c->dialer_node);
  if (addr_of(c->stream, NNG_OPT_REMADDR, c->ws).n != 0) return stands(c, out);
  (void)nng_aio_set_iov(c->tx, 0, NULL);
  nng_stream_send(c->stream, c->tx);
  return false;
}

/* The empty send is over. Of an error NNG keeps no more than that there was one. */
static bool stands_or_not(conn *c, msub__tr_event *out) {
  int rv = nng_aio_result(c->tx);
  if (rv == 0) return stands(c, out);
  bool lost = rv == NNG_ECLOSED || rv == NNG_ECONNSHUT;
  end_conn(c, lost ? (reason){ MSUB_ERR_REFUSED, "connection refused or not possible" } : reason_of(rv));
  return false;
}

/* Bytes ------------------------------------------------------------------------------------------------------------- */

static int op_recv(void *self, uint32_t id) {
  conn *c = find(self, id);
  if (!c || c->state == ENDING) return MSUB_ERR_STALE;
  if (c->state != OPEN || c->receiving) return MSUB_ERR_STATE;
  if (!msub__read_buf_have(&c->t->bufs, &c->t->mem, &c->buf)) return MSUB_ERR_NOMEM;
  nng_iov iov = { .iov_buf = c->buf.p, .iov_len = msub__read_buf_cap(&c->buf) };
  if (nng_aio_set_iov(c->rx, 1, &iov) != 0) return MSUB_ERR_NOMEM;
  c->receiving = true;
  nng_stream_recv(c->stream, c->rx);
  return MSUB_OK;
}

static bool received(conn *c, msub__tr_event *out) {
  int rv = nng_aio_result(c->rx);
  size_t n = nng_aio_count(c->rx);
  c->receiving = false;
  if (rv != 0 || n == 0) {
    end_conn(c, reason_of(rv ? rv : NNG_ECONNSHUT));
    return false;
  }
  msub__read_buf_learn(&c->buf, n);
  *out = (msub__tr_event){ .kind = MSUB__TR_READABLE, .conn = c->id, .data = c->buf.p, .n = n };
  return true;
}

static int send_rest(conn *c) {
  if (nng_aio_set_iov(c->tx, c->iov_n - c->iov_at, &c->iov[c->iov_at]) != 0) return MSUB_ERR_NOMEM;
  nng_stream_send(c->stream, c->tx);
  return MSUB_OK;
}

static int op_send(void *self, uint32_t id, const msub_bytes *iov, size_t n) {
  conn *c = find(self, id);
  if (!c || c->state == ENDING) return MSUB_ERR_STALE;
  if (c->state != OPEN || c->sending) return MSUB_ERR_STATE;
  if (n > MSUB__TRANSPORT_IOV) return MSUB_ERR_INVAL;
  size_t total = 0;
  unsigned pieces = 0;
  for (size_t i = 0; i < n; i++) {
    if (iov[i].n == 0) continue;
    if (iov[i].n > MSUB__TRANSPORT_SEND - total) return MSUB_ERR_INVAL;
    total += iov[i].n;
    /* NNG's type lacks the const; it only reads them. */
    c->iov[pieces++] = (nng_iov){ .iov_buf = (void *)(uintptr_t)iov[i].p, .iov_len = iov[i].n };
  }
  if (total == 0) return MSUB_ERR_INVAL;
  c->iov_at = 0;
  c->iov_n = pieces;
  c->send_n = total;
  int err = send_rest(c);
  c->sending = err == MSUB_OK;
  return err;
}

static bool sent(conn *c, msub__tr_event *out) {
  int rv = nng_aio_result(c->tx);
  if (rv != 0) {
    end_conn(c, reason_of(rv));
    return false;
  }
  size_t n = nng_aio_count(c->tx);
  while (c->iov_at < c->iov_n && n >= c->iov[c->iov_at].iov_len) n -= c->iov[c->iov_at++].iov_len;
  if (c->iov_at < c->iov_n) {
    nng_iov *v = &c->iov[c->iov_at];
    v->iov_buf = (uint8_t *)v->iov_buf + n;
    v->iov_len -= n;
    if (send_rest(c) != MSUB_OK) end_conn(c, reason_of(NNG_ENOMEM));
    return false;
  }
  c->sending = false;
  *out = (msub__tr_event){ .kind = MSUB__TR_SENT, .conn = c->id, .n = c->send_n };
  return true;
}

static void op_close(void *self, uint32_t id) {
  conn *c = find(self, id);
  if (c) end_conn(c, (reason){ MSUB_OK, "closed by us" });
}

static bool gone(conn *c, msub__tr_event *out) {
  *out = (msub__tr_event){ .kind = c->announced ? MSUB__TR_CLOSED : MSUB__TR_DIAL_FAILED, .conn = c->id,
                           .cookie = c->cookie, .err = c->err, .text = c->text };
  conn_free(c);
  return true;
}

/* The loop's side --------------------------------------------------------------------------------------------------- */

static void forget_listener(listener *l) {
  transport *t = l->t;
  t->listeners[l->id - 1] = NULL;
  msub__free(&t->mem, l, sizeof *l);
}

/* One node is at most one event. */
static bool look_at(const msub__hand *h, msub__tr_event *out) {
  conn *c = h->owner;
  switch (h->what) {
  case ACCEPT_DONE: return accepted(h->owner, out);
  case LISTENER_GONE: forget_listener(h->owner); return false;
  case CONN_GONE: return gone(c, out);
  case TX_DONE: return c->state == DIALING ? stands_or_not(c, out) : c->state == OPEN && sent(c, out);
  default: return c->state == DIALING ? dialed(c, out) : c->state == OPEN && received(c, out);
  }
}

static bool op_next(void *self, uint64_t now_mono_ns, msub__tr_event *out) {
  transport *t = self;
  t->now = now_mono_ns;
  if (msub__passed(t->resume_at, now_mono_ns)) resume_accepts(t);
  for (;;) {
    if (!t->pending) t->pending = msub__handoff_take(&t->events);
    msub__hand *h = t->pending;
    if (!h) return false;
    t->pending = h->next; /* first: looking at it may begin the next operation, which puts the node again */
    if (look_at(h, out)) return true;
  }
}

static uint64_t op_next_deadline(void *self) {
  const transport *t = self;
  return t->pending ? 0 : t->resume_at;
}

static int op_init(void **self, const msub_mem *mem, void (*wake)(void *ud), void *wake_ud, const msub_log *log) {
  msub_mem m = mem ? *mem : msub__mem_default();
  transport *t = msub__zalloc(&m, 1, sizeof *t);
  if (!t) return MSUB_ERR_NOMEM;
  t->mem = m;
  if (log) t->log = *log;
  t->reserve = -1;
  t->resume_at = MSUB_NEVER;
  t->stop_node.what = END_CLOSER;
  if (msub__handoff_init(&t->events, wake, wake_ud) != MSUB_OK) goto no_events;
  if (msub__handoff_init(&t->ends, NULL, NULL) != MSUB_OK) goto no_ends;
  if (!start_threads(t)) goto no_threads;
  *self = t;
  return MSUB_OK;
no_threads:
  msub__handoff_fini(&t->ends);
no_ends:
  msub__handoff_fini(&t->events);
no_events:
  msub__free(&m, t, sizeof *t);
  return MSUB_ERR_NOMEM;
}

/* NNG's own threads stay: they are one set for the process and may serve others. */
static void op_fini(void *self) {
  transport *t = self;
  for (unsigned i = 0; i < MAX_LISTENERS; i++)
    if (t->listeners[i]) end_listener(t->listeners[i]);
  for (uint32_t id = 1; id <= t->conns.cap; id++)
    if (find(t, id)) end_conn(find(t, id), (reason){ MSUB_OK, "closed by us" });
  msub__handoff_put(&t->ends, &t->stop_node);
  (void)pthread_join(t->closer, NULL);
  for (unsigned i = 0; i < MAX_LISTENERS; i++)
    if (t->listeners[i]) forget_listener(t->listeners[i]);
  for (uint32_t id = 1; id <= t->conns.cap; id++)
    if (find(t, id)) conn_free(find(t, id));
  msub__read_bufs_fini(&t->bufs, &t->mem);
  msub__reserve_give(&t->reserve);
  msub__slots_fini(&t->conns, &t->mem);
  msub__handoff_fini(&t->ends);
  msub__handoff_fini(&t->events);
  msub_mem m = t->mem;
  msub__free(&m, t, sizeof *t);
}

const msub_transport_ops msub__transport_nng = {
  .abi = MSUB_ABI,
  .size = sizeof(msub_transport_ops),
  .name = "nng",
  .init = op_init,
  .fini = op_fini,
  .listen = op_listen,
  .unlisten = op_unlisten,
  .dial = op_dial,
  .send = op_send,
  .recv = op_recv,
  .close = op_close,
  .next = op_next,
  .next_deadline = op_next_deadline,
};
