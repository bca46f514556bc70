/* host/host.c: the loop. */
#define _GNU_SOURCE /* ppoll, getrandom */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "host/addrs.h"
#include "host/dialer.h"
#include "host/discovery.h"
#include "host/exchange.h"
#include "host/gate.h"
#include "host/hints.h"
#include "host/lookup.h"
#include "host/neighbours.h"
#include "host/peers.h"
#include "host/shelf.h"
#include "host/upgrade.h"
#include "host/world.h"

/* ---- time, random bytes, events ---- */

uint64_t msub__mono(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * MSUB__S + (uint64_t)t.tv_nsec;
}

void msub__tick(msub_host *h) {
  struct timespec wall;
  uint64_t now = msub__mono();
  (void)clock_gettime(CLOCK_REALTIME, &wall);
  if (now > h->now.mono_ns) h->now.mono_ns = now;
  h->now.wall_ns = (int64_t)wall.tv_sec * (int64_t)MSUB__S + wall.tv_nsec;
}

int msub__random(uint8_t *out, size_t n) {
  for (size_t at = 0; at < n;) {
    ssize_t got = getrandom(out + at, n - at, 0);
    if (got < 0 && errno != EINTR) return MSUB_ERR_IO;
    if (got > 0) at += (size_t)got;
  }
  return MSUB_OK;
}

void msub__emit(msub_host *h, const msub_host_event *ev) {
  if (h->o.on_event) h->o.on_event(h->o.ud, h, ev);
}

void msub__report(msub_host *h, msub_bytes peer_id, const msub__tr_addr *at, int reason, unsigned weight) {
  if (h->in_engine) return;
  msub__enter(h);
  (void)msub_report(h->engine, peer_id, msub__ip(at), reason, weight, &h->now);
  msub__leave(h);
}

msub__block *msub__block_take(msub_host *h) {
  msub__block *b = h->spare;
  if (b) {
    h->spare = b->next;
    h->n_spare--;
  } else {
    b = msub__alloc(&h->mem, sizeof *b);
  }
  if (b) {
    b->next = NULL;
    b->n = 0;
  }
  return b;
}

void msub__block_give(msub_host *h, msub__block *b) {
  if (!b) return;
  if (h->n_spare >= MSUB__HOST_SPARE_BLOCKS) {
    msub__free(&h->mem, b, sizeof *b);
    return;
  }
  b->next = h->spare;
  h->spare = b;
  h->n_spare++;
}

/* ---- the loop ---- */

static void accepted(msub_host *h, const msub__tr_event *ev) {
  msub__conn *c;
  h->counts.accepted++;
  const char *why = msub__gate_accept(h, &ev->remote);
  if (why || msub__conn_new(h, ev->conn, false, &c) != MSUB_OK) {
    h->counts.accept_refused++;
    msub__gate_refused(h, why);
    MSUB__LOG(h->log, MSUB_LOG_DEBUG, "host", "a connection was refused: %s", why ? why : "out of memory");
    h->tr->close(h->tr_self, ev->conn);
    return;
  }
  c->remote = ev->remote;
  int err = msub__upgrade_new(c, NULL);
  if (err != MSUB_OK) msub__conn_fail(c, err, "out of memory");
  msub__conn_established(c, &ev->local, &ev->remote);
}

static void transport_event(msub_host *h, const msub__tr_event *ev) {
  if (ev->kind == MSUB__TR_ACCEPTED) {
    accepted(h, ev);
    return;
  }
  if (ev->kind == MSUB__TR_ACCEPT_PAUSED) {
    h->counts.accept_paused++;
    return;
  }
  msub__conn *c = msub__conn_by_tr(h, ev->conn);
  if (!c) return; /* refused at the gate */
  switch (ev->kind) {
  case MSUB__TR_CONNECTED: msub__conn_established(c, &ev->local, &ev->remote); break;
  case MSUB__TR_READABLE: msub__conn_readable(c, ev->data, ev->n); break;
  case MSUB__TR_SENT: msub__conn_sent(c); break;
  case MSUB__TR_DIAL_FAILED:
  case MSUB__TR_CLOSED: msub__conn_gone(c, ev->err, ev->text); break;
  default: break;
  }
}

/* Bounded in bytes too: what a relay reads in one round has to fit into its lanes. */
static bool transport_events(msub_host *h) {
  msub__tr_event ev;
  size_t bytes = 0;
  for (unsigned i = 0; i < MSUB__HOST_STEP_EVENTS && bytes < MSUB__HOST_STEP_BYTES; i++) {
    if (!h->tr->next(h->tr_self, h->now.mono_ns, &ev)) return false;
    transport_event(h, &ev);
    if (ev.kind == MSUB__TR_READABLE) bytes += ev.n;
  }
  return true;
}

static bool calls(msub_host *h) {
  msub__call call[MSUB__HOST_STEP_CALLS];
  size_t n = msub__inbox_take(&h->inbox, call, MSUB__HOST_STEP_CALLS);
  for (size_t i = 0; i < n; i++) call[i].fn(h, call[i].arg);
  return n == MSUB__HOST_STEP_CALLS;
}

static bool ready(msub_host *h) {
  msub__node now;
  if (msub__list_empty(&h->ready)) return false;
  msub__list_insert(&h->ready, &now);
  msub__list_remove(&h->ready);
  for (msub__node *n; (n = msub__list_first(&now));) {
    msub__list_remove(n);
    msub__conn_read(MSUB__OF(n, msub__conn, in_ready));
  }
  return !msub__list_empty(&h->ready);
}

static bool advance(msub_host *h) {
  if (!msub__passed(msub_next_deadline(h->engine), h->now.mono_ns)) return false;
  msub__enter(h);
  (void)msub_advance(h->engine, &h->now);
  msub__leave(h);
  return msub__passed(msub_next_deadline(h->engine), h->now.mono_ns);
}

/* One bounded round. true: more is waiting. */
static bool step(msub_host *h) {
  bool more = transport_events(h);
  more |= calls(h);
  more |= msub__world_verdicts(h);
  more |= msub__wheel_advance(h->wheel, h->now.mono_ns, MSUB__HOST_STEP_TIMERS);
  more |= msub__pubsub_in_resume(h);
  more |= ready(h);
  more |= advance(h);
  more |= msub__shelf_step(h);
  msub__lookup_step(h);
  msub__neighbours_step(h);
  msub__discovery_step(h);
  msub__hints_pump(h);
  more |= msub__dialer_pump(h);
  more |= msub__exchange_step(h);
  msub__conn_reap(h);
  msub__conn_flush_all(h);
  msub__conn_reap(h);
  return more || !msub__list_empty(&h->ready) || !msub__list_empty(&h->dirty) || !msub__list_empty(&h->exchange.due) ||
         !msub__list_empty(&h->seek.due);
}

bool msub_host_turn(msub_host *h, uint64_t max_ns) {
  if (h->in_turn || h->in_engine) return false;
  h->in_turn = true;
  msub__tick(h);
  uint64_t end = msub__deadline(h->now.mono_ns, max_ns);
  if (atomic_load_explicit(&h->wake.set, memory_order_acquire)) msub__wake_clear(&h->wake);
  bool more;
  do {
    more = step(h);
    msub__tick(h);
  } while (more && !msub__passed(end, h->now.mono_ns));
  if (more) msub__wake_signal(&h->wake);
  h->in_turn = false;
  return more;
}

int msub_host_fd(const msub_host *h) { return h->fd; }

uint64_t msub_host_next_deadline(msub_host *h) {
  uint64_t at = msub__sooner(msub__wheel_next(h->wheel), msub_next_deadline(h->engine));
  return msub__sooner(at, h->tr->next_deadline(h->tr_self));
}

/* Sleeps until there is work, or a deadline. IO. */
static int wait(msub_host *h, uint64_t until) {
  struct pollfd fd = { .fd = h->fd, .events = POLLIN };
  uint64_t at = msub__sooner(msub_host_next_deadline(h), until), now = msub__mono();
  uint64_t ns = at > now ? at - now : 0;
  struct timespec t = { .tv_sec = (time_t)(ns / MSUB__S), .tv_nsec = (long)(ns % MSUB__S) };
  if (ns / MSUB__S > INT_MAX) t.tv_sec = INT_MAX;
  int n = ppoll(&fd, 1, at == MSUB_NEVER ? NULL : &t, NULL);
  return n < 0 && errno != EINTR ? MSUB_ERR_IO : MSUB_OK;
}

/* ---- the end of a run ---- */

static bool quiet(const msub_host *h) {
  for (msub__node *n = h->conns.next; n != &h->conns; n = n->next) {
    if (!msub__conn_idle(MSUB__OF(n, msub__conn, in_conns))) return false;
  }
  for (size_t i = 0; i < h->n_peers; i++) {
    for (size_t g = 0; g < h->peers[i]->n_sess; g++) {
      if (msub__sess_finishing(&h->peers[i]->sess[g])) return false;
    }
  }
  return true;
}

static void finish_streams(msub_host *h) {
  for (size_t i = 0; i < h->n_peers; i++) {
    for (size_t g = 0; g < h->peers[i]->n_sess; g++) msub__sess_finish(&h->peers[i]->sess[g]);
  }
}

static void say_goodbye(msub_host *h) {
  for (msub__node *n = h->conns.next; n != &h->conns; n = n->next) {
    msub__conn *c = MSUB__OF(n, msub__conn, in_conns);
    if (c->state != MSUB__CONN_OPEN || c->failed) continue;
    msub__yamux_goaway(c->yamux, MSUB__GOAWAY_NORMAL);
    msub__conn_dirty(c);
  }
}

static void turn_until_quiet(msub_host *h, uint64_t end) {
  for (;;) {
    bool more = msub_host_turn(h, MSUB__HOST_RUN_TURN_NS), busy = msub__discovery_winds_up(h);
    if ((!busy && quiet(h)) || msub__passed(end, msub__mono())) return;
    if (!more && wait(h, end) != MSUB_OK) return;
  }
}

/* What is queued goes out, and the peers have read it when they end their side of our pubsub streams: a peer
 * that is closed on before may lose what it has not read. Connections that are still being made are given up
 * at once. */
static void wind_up(msub_host *h) {
  uint64_t end = msub__deadline(msub__mono(), MSUB__HOST_STOP_NS);
  h->stopping = true;
  while (h->n_listeners > 0) h->tr->unlisten(h->tr_self, h->listeners[--h->n_listeners].tr);
  for (msub__node *n = h->conns.next; n != &h->conns; n = n->next) {
    msub__conn *c = MSUB__OF(n, msub__conn, in_conns);
    if (c->state != MSUB__CONN_OPEN) msub__conn_fail(c, MSUB_OK, "the host stops");
  }
  finish_streams(h);
  msub__discovery_stops(h);
  turn_until_quiet(h, end);
  say_goodbye(h);
  turn_until_quiet(h, end);
  msub__tick(h);
  msub__conn_close_all(h, "the host stops");
  h->stopping = false;
  msub__discovery_stops(h); /* it may be run again */
  atomic_store(&h->stop, false);
}

int msub_host_run(msub_host *h) {
  int err = MSUB_OK;
  if (h->in_turn || h->in_engine) return MSUB_ERR_STATE;
  while (err == MSUB_OK && !atomic_load_explicit(&h->stop, memory_order_acquire)) {
    if (!msub_host_turn(h, MSUB__HOST_RUN_TURN_NS)) err = wait(h, MSUB_NEVER);
  }
  wind_up(h);
  return err;
}

void msub_host_stop(msub_host *h) {
  atomic_store_explicit(&h->stop, true, memory_order_release);
  msub__wake_signal(&h->wake);
}
