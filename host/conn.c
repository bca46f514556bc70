#include <string.h>
#include "base/assert.h"
#include "host/addrs.h"
#include "host/book.h"
#include "host/dialer.h"
#include "host/gate.h"
#include "host/identify.h"
#include "host/manager.h"
#include "host/peers.h"
#include "host/upgrade.h"

_Static_assert(MSUB__HOST_SEND_RECORDS + 1 <= MSUB__TRANSPORT_IOV,
               "one send carries what is raw and the records");

/* ---- making ---- */

static void timer_fired(msub__timer *t);

static bool number(msub_host *h, uint32_t tr, msub__conn *c) {
  if (tr >= h->by_tr_cap) {
    size_t cap = h->by_tr_cap ? h->by_tr_cap : 64;
    while (cap <= tr) cap *= 2;
    msub__conn **all =
        msub__realloc(&h->mem, h->by_tr, h->by_tr_cap * sizeof(msub__conn *), cap * sizeof(msub__conn *));
    if (!all) return false;
    memset(all + h->by_tr_cap, 0, (cap - h->by_tr_cap) * sizeof(msub__conn *));
    h->by_tr = all;
    h->by_tr_cap = cap;
  }
  h->by_tr[tr] = c;
  return true;
}

msub__conn *msub__conn_by_tr(const msub_host *h, uint32_t tr) {
  return tr < h->by_tr_cap ? h->by_tr[tr] : NULL;
}

int msub__conn_new(msub_host *h, uint32_t tr, bool outbound, msub__conn **out) {
  msub__conn *c = msub__zalloc(&h->mem, 1, sizeof *c);
  if (!c) return MSUB_ERR_NOMEM;
  if (!number(h, tr, c)) {
    msub__free(&h->mem, c, sizeof *c);
    return MSUB_ERR_NOMEM;
  }
  c->host = h;
  c->tr = tr;
  c->outbound = outbound;
  c->begun = h->now.mono_ns;
  msub__list_init(&c->in_dirty);
  msub__list_init(&c->in_ready);
  msub__list_init(&c->in_closing);
  msub__list_init(&c->of_peer);
  msub__list_init(&c->in_parked);
  msub__list_init(&c->writers);
  msub__list_init(&c->in_conns);
  msub__list_push(&h->conns, &c->in_conns);
  msub__timer_init(&c->timer, timer_fired);
  msub__timer_start(h->wheel, &c->timer, msub__deadline(c->begun, h->o.handshake_timeout_ns));
  if (!outbound) h->pending_in++;
  *out = c;
  return MSUB_OK;
}

void msub__conn_addr(const msub__conn *c, msub_multiaddr *out) {
  msub_bytes id = c->peer ? msub__peer_bytes(c->peer) : (msub_bytes){ NULL, 0 };
  msub__addr_multi(&c->remote, id, out);
}

void msub__conn_established(msub__conn *c, const msub__tr_addr *local, const msub__tr_addr *remote) {
  if (c->failed) return;
  c->local = *local;
  if (remote->n > 0) c->remote = *remote;
  msub__upgrade_begin(c);
  if (!c->failed) msub__conn_read(c);
}

/* ---- time ---- */

void msub__conn_rearm(msub__conn *c) {
  if (c->failed || c->over) return;
  uint64_t at = msub__deadline(c->begun, c->host->o.handshake_timeout_ns);
  if (c->state == MSUB__CONN_OPEN) at = msub__yamux_next_deadline(c->yamux);
  if (c->spare) at = msub__sooner(at, c->spare_at);
  if (c->sending) at = msub__sooner(at, msub__deadline(c->sent_at, c->host->o.write_timeout_ns));
  /* Most deadlines move back with every byte: the timer is moved only forward, and looks again when it fires.
   */
  if (!msub__timer_running(&c->timer) || at < c->timer.deadline)
    msub__timer_start(c->host->wheel, &c->timer, at);
}

static void look_later(msub__conn *c) {
  c->spare_at = msub__deadline(c->host->now.mono_ns, c->outbound ? MSUB__HOST_SPARE_NS : 10 * MSUB__HOST_SPARE_NS);
}

static void timer_fired(msub__timer *t) {
  msub__conn *c = MSUB__OF(t, msub__conn, timer);
  msub_host *h = c->host;
  uint64_t now = h->now.mono_ns;
  if (c->state < MSUB__CONN_OPEN) {
    if (msub__passed(msub__deadline(c->begun, h->o.handshake_timeout_ns), now)) {
      h->counts.handshakes_late++;
      msub__conn_fail(c, MSUB_ERR_TIMEOUT,
                      c->state == MSUB__CONN_DIALING ? "no connection in time"
                                                     : "the handshake took too long");
    }
  } else if (c->sending && msub__passed(msub__deadline(c->sent_at, h->o.write_timeout_ns), now)) {
    h->counts.slow_closed++;
    msub__conn_fail(c, MSUB_ERR_TIMEOUT, "the peer does not read");
  } else if (c->spare && msub__passed(c->spare_at, now)) {
    if (c->n_streams == 0 && msub__conn_idle(c)) msub__conn_fail(c, MSUB_OK, "the peer has another connection");
    look_later(c);
  } else if (msub__passed(msub__yamux_next_deadline(c->yamux), now)) {
    int err = msub__yamux_advance(c->yamux, now);
    if (err != MSUB_OK) msub__conn_fail(c, err, "the peer does not answer");
    for (size_t i = 0; i < c->peer->n_sess; i++) msub__lanes_trim(&c->peer->sess[i].lanes, &h->mem);
    msub__conn_dirty(c);
  }
  msub__conn_rearm(c);
}

/* ---- open ---- */

static int yamux_new(msub__conn *c) {
  msub__yamux_options o = { .mem = &c->host->mem,
                            .ops = &msub__stream_yamux_ops,
                            .ud = c,
                            .shared = &c->host->unread,
                            .initiator = c->outbound };
  return msub__yamux_new(&o, c->host->now.mono_ns, &c->yamux);
}

static void emit_connected(msub__conn *c, uint64_t cookie) {
  msub_multiaddr addr;
  msub__conn_addr(c, &addr);
  msub_host_event ev = { .kind = MSUB_EV_CONNECTED,
                         .peer_id = msub__peer_bytes(c->peer),
                         .addr = { addr.bytes, addr.n },
                         .outbound = c->outbound,
                         .cookie = cookie };
  msub__emit(c->host, &ev);
}

/* Two peers that dial each other at once have two connections, and need one. Both sides choose the same: the one that the
 * lesser peer id dialled. Nothing is lost by it: streams of ours move as they do to any newer connection, the peer's are its own business,
 * and what is left without any is closed. */
static void choose(msub__conn *c) {
  const msub_host *h = c->host;
  msub_bytes id = msub__peer_bytes(c->peer);
  for (msub__node *n = c->peer->conns.next; n != &c->peer->conns; n = n->next) {
    msub__conn *other = MSUB__OF(n, msub__conn, of_peer);
    if (other == c || other->failed || other->outbound == c->outbound || h->now.mono_ns - other->opened >= MSUB__HOST_AT_ONCE_NS) continue;
    size_t least = h->self.n < id.n ? h->self.n : id.n;
    int order = memcmp(h->self.p, id.p, least);
    bool we_are_lesser = order != 0 ? order < 0 : h->self.n < id.n;
    msub__conn *spare = c->outbound == we_are_lesser ? other : c;
    spare->spare = true;
    look_later(spare);
    msub__conn_rearm(spare);
    return;
  }
}

void msub__conn_open(msub__conn *c) {
  msub_host *h = c->host;
  msub_bytes id = msub__noise_peer_id(c->noise);
  const char *why = "out of memory";
  int err = msub__gate_open(h, c, id, &why);
  if (err == MSUB_OK) err = yamux_new(c);
  if (err == MSUB_OK && (err = msub__peers_attach(h, c, id)) != MSUB_OK) {
    msub__yamux_free(c->yamux);
    c->yamux = NULL;
  }
  if (err != MSUB_OK) {
    msub__conn_fail(c, err, why ? why : "out of memory");
    return;
  }
  msub__gate_left(c);
  c->state = MSUB__CONN_OPEN;
  c->opened = h->now.mono_ns;
  *(c->outbound ? &h->outbound : &h->inbound) += 1;
  msub__upgrade_free(c);
  msub__timer_stop(h->wheel, &c->timer);
  msub__peer *p = c->peer;
  if (p->n_conns > h->o.max_per_peer)
    msub__conn_fail(msub__peer_oldest(p), MSUB_ERR_LIMIT, "replaced by a newer connection");
  choose(c);
  if (c->outbound) msub__book_worked(h, id, &c->remote);
  msub__manager_changed(h);
  uint64_t cookie = c->dial ? c->dial->cookie : 0;
  if (c->dial) msub__dialer_connected(c);
  emit_connected(c, cookie);
  /* Our hello leaves with the first bytes of the session; what the peer speaks is learnt on the way. */
  for (size_t i = 0; i < p->n_sess && !c->failed && !c->spare; i++)
    msub__sess_start(&p->sess[i], c, (msub_bytes){ NULL, 0 });
  if (!c->failed && !c->spare) msub__identify_ask(c);
  msub__conn_dirty(c);
}

/* ---- end ---- */

void msub__conn_fail(msub__conn *c, int err, const char *text) {
  if (c->failed) return;
  c->failed = true;
  c->why = err;
  c->text = text;
  msub__list_remove(&c->in_dirty);
  msub__list_remove(&c->in_ready);
  msub__list_push(&c->host->closing, &c->in_closing);
  if (!c->host->in_turn) msub__wake_signal(&c->host->wake);
}

static void emit_disconnected(msub_host *h, msub__conn *c, msub_bytes id, bool last) {
  msub_multiaddr addr;
  msub__addr_multi(&c->remote, id, &addr);
  msub_host_event ev = { .kind = MSUB_EV_DISCONNECTED,
                         .peer_id = id,
                         .addr = { addr.bytes, addr.n },
                         .outbound = c->outbound,
                         .last = last,
                         .err = c->why,
                         .text = c->text };
  msub__emit(h, &ev);
}

static void close_open(msub__conn *c) {
  msub_host *h = c->host;
  msub_peer_id id = c->peer->id;
  *(c->outbound ? &h->outbound : &h->inbound) -= 1;
  (void)msub__yamux_close(c->yamux, MSUB_ERR_CLOSED);
  h->counts.connections_closed++;
  msub__count_by(h->counts.closed_by, c->why);
  msub__keep *keep = c->keep;
  msub__peer *p = c->peer;
  bool last = msub__peers_detach(c);
  if (last) {
    msub__dialer_lost(h, keep, msub_peer_id_bytes(&id), h->now.mono_ns - c->opened);
  } else if (keep) {
    msub__conn *other = msub__peer_newest(p);
    if (other && !other->keep) other->keep = keep;
  }
  c->keep = NULL;
  msub__manager_changed(h);
  emit_disconnected(h, c, msub_peer_id_bytes(&id), last);
}

static void close_pending(msub__conn *c) {
  msub_host *h = c->host;
  msub__gate_left(c);
  if (c->state == MSUB__CONN_DIALING && c->why == MSUB_OK) c->why = MSUB_ERR_CLOSED;
  if (c->state != MSUB__CONN_DIALING) {
    h->counts.handshakes_failed++;
    msub__count_by(h->counts.handshakes_failed_by, c->why);
    MSUB__LOG(h->log, MSUB_LOG_DEBUG, "host", "a handshake failed: %s", c->text);
    bool blames = c->why == MSUB_ERR_CRYPTO || c->why == MSUB_ERR_MALFORMED;
    if (blames)
      msub__report(h, (msub_bytes){ NULL, 0 }, &c->remote, MSUB_R_HANDSHAKE, MSUB__HOST_BLAME_HANDSHAKE);
  }
  if (c->dial) msub__dialer_failed(c, c->why == MSUB_OK ? MSUB_ERR_CLOSED : c->why, c->text);
}

/* Gives up everything but the number and what the transport still reads from; all of it when it is over. */
static void reap(msub__conn *c) {
  msub_host *h = c->host;
  msub__list_remove(&c->in_closing);
  msub__list_remove(&c->in_conns);
  msub__timer_stop(h->wheel, &c->timer);
  if (c->state == MSUB__CONN_OPEN)
    close_open(c);
  else
    close_pending(c);
  c->state = MSUB__CONN_CLOSED;
  msub__yamux_free(c->yamux);
  msub__noise_free(c->noise);
  c->yamux = NULL;
  c->noise = NULL;
  msub__upgrade_free(c);
  msub__buf_fini(&c->raw, &h->mem);
  msub__block_give(h, c->part);
  c->part = NULL;
  c->in = c->plain = NULL;
  c->in_n = c->plain_n = 0;
  if (c->over)
    msub__conn_free(c);
  else
    h->tr->close(h->tr_self, c->tr);
}

void msub__conn_reap(msub_host *h) {
  for (msub__node *n; (n = msub__list_first(&h->closing));) reap(MSUB__OF(n, msub__conn, in_closing));
}

void msub__conn_close_all(msub_host *h, const char *text) {
  for (msub__node *n = h->conns.next; n != &h->conns; n = n->next) {
    msub__conn_fail(MSUB__OF(n, msub__conn, in_conns), MSUB_OK, text);
  }
  msub__conn_reap(h);
}

void msub__conn_free(msub__conn *c) {
  msub_host *h = c->host;
  MSUB__INVARIANT(c->state == MSUB__CONN_CLOSED && c->n_streams == 0);
  for (msub__block *b = c->flying, *next; b; b = next) {
    next = b->next;
    msub__block_give(h, b);
  }
  if (!c->over) h->by_tr[c->tr] = NULL;
  msub__free(&h->mem, c, sizeof *c);
}

/* What a peer sent before it closed was sent: streams that had stopped (too much is being verified, or the
 * engine has not finished a frame) go on without the transport. */
static bool outlives(msub__conn *c, int err, const char *text) {
  if (c->state != MSUB__CONN_OPEN || c->failed || err != MSUB_ERR_CLOSED || !msub__pubsub_in_waiting(c))
    return false;
  c->host->by_tr[c->tr] = NULL; /* the number may be used again */
  c->over = c->credit = c->sending = true;
  c->sent_at = c->host->now.mono_ns;
  c->why = err;
  c->text = text;
  c->in = c->plain = NULL; /* they may lie in the transport's buffer */
  c->in_n = c->plain_n = 0;
  msub__timer_stop(c->host->wheel, &c->timer);
  return true;
}

void msub__conn_last_words(msub__conn *c) {
  if (!msub__pubsub_in_waiting(c)) msub__conn_fail(c, c->why, c->text);
}

void msub__conn_gone(msub__conn *c, int err, const char *text) {
  if (outlives(c, err, text)) return;
  if (c->state != MSUB__CONN_CLOSED) {
    msub__conn_fail(c, err == MSUB_OK ? MSUB_ERR_CLOSED : err, text);
    reap(c);
  }
  msub__conn_free(c);
}
