#include <string.h>
#include "base/assert.h"
#include "host/addrs.h"
#include "host/handlers.h"
#include "host/peers.h"
#include "host/session.h"

static const msub__stream_ops out_ops;
static const msub__stream_ops retired_ops;

static msub_host *host_of(const msub__sess *s) { return s->peer->host; }

/* ---- drops ---- */

static void dropped_full(void *ud, const msub_rpc *rpc) {
  msub__sess *s = ud;
  msub_host *h = host_of(s);
  h->counts.lane_dropped++;
  (void)msub_dropped(h->engine, s->handle, rpc, MSUB_R_QUEUE_FULL, msub__engine_now(h));
}

static void dropped_gone(void *ud, const msub_rpc *rpc) {
  msub__sess *s = ud;
  msub_host *h = host_of(s);
  h->counts.lane_dropped++;
  msub__enter(h);
  (void)msub_dropped(h->engine, s->handle, rpc, MSUB_R_GONE, &h->now);
  msub__leave(h);
}

/* ---- life ---- */

static void retry_now(msub__timer *t);

void msub__sess_init(msub__sess *s, msub__peer *p, const msub__group *g) {
  *s = (msub__sess){ .peer = p, .group = g };
  msub__timer_init(&s->retry, retry_now);
  msub__list_init(&s->inbound);
  msub__lanes_init(&s->lanes);
}

void msub__sess_fini(msub__sess *s) {
  msub_host *h = host_of(s);
  MSUB__INVARIANT(!s->out && !s->retired && s->n_inbound == 0);
  msub__timer_stop(h->wheel, &s->retry);
  msub__lanes_fini(&s->lanes, &h->mem, h->shared);
}

static void down(msub__sess *s) {
  msub_host *h = host_of(s);
  msub__timer_stop(h->wheel, &s->retry);
  if (!s->up) return;
  msub__lanes_drop(&s->lanes, &h->mem, h->shared, dropped_gone, s);
  msub__lanes_trim(&s->lanes, &h->mem);
  msub__enter(h);
  (void)msub_session_down(h->engine, s->handle, &h->now);
  msub__leave(h);
  s->up = s->agreed = false;
  s->handle = (msub_session){ 0 };
  s->newest = NULL;
  s->newest_seq = 0;
}

/* ---- offering ---- */

/* The first id from `from` on, going round, that was not refused and that the peer speaks, as far as it said.
 * group->n: none. */
static unsigned choose(const msub__sess *s, unsigned from) {
  const msub__identify *known = s->peer->known;
  for (unsigned k = 0; k < s->group->n; k++) {
    unsigned i = (from + k) % s->group->n;
    if (s->na & 1u << i) continue;
    if (!known || msub__identify_supports(known, s->group->ids[i])) return i;
  }
  return s->group->n;
}

/* Takes the old stream out of use. What is partly written there is written again on the next one, so nothing
 * more goes there; it ends when the next one is agreed. One that the peer has not answered yet ends at once:
 * it must not come to the peer's notice after the next one. */
static void retire(msub__sess *s) {
  msub__stream *old = s->out;
  if (s->retired) msub__stream_reset(s->retired, MSUB_OK);
  s->out = NULL;
  if (!old) return;
  old->ops = &retired_ops;
  if (s->agreed) {
    s->retired = old;
    msub__stream_deadline(old, MSUB__HOST_RETIRE_NS);
  } else {
    msub__stream_reset(old, MSUB_OK);
  }
  s->agreed = false;
}

static void retry_later(msub__sess *s) {
  msub_host *h = host_of(s);
  if (s->tries >= MSUB__HOST_REOPEN_TRIES) return;
  uint64_t pause = MSUB__HOST_REOPEN_NS << s->tries;
  s->tries++;
  msub__timer_start(h->wheel, &s->retry, msub__deadline(h->now.mono_ns, pause));
}

/* Tells the engine, which sends its hello from inside. */
static int engage(msub__sess *s, msub__conn *c) {
  msub_host *h = host_of(s);
  const char *protocol = (const char *)s->group->ids[s->proto].p;
  uint64_t link = (uint64_t)(uintptr_t)s;
  int err;
  s->capturing = true;
  msub__enter(h);
  if (s->up) {
    (void)msub_session_address(h->engine, s->handle, msub__ip(&c->remote), &h->now);
    err = msub_session_offer(h->engine, s->handle, protocol, link, &h->now);
  } else {
    msub_session_opts o = { .peer_id = msub__peer_bytes(s->peer),
                            .protocol = protocol,
                            .address = msub__ip(&c->remote),
                            .link = link,
                            .outbound = c->outbound };
    err = msub_session_up(h->engine, &o, &h->now, &s->handle);
  }
  msub__leave(h);
  s->capturing = false;
  return err;
}

static void offer(msub__sess *s, msub__conn *c) {
  msub_host *h = host_of(s);
  msub__stream *stream = NULL;
  if (h->stopping) return;
  msub__timer_stop(h->wheel, &s->retry);
  int err = msub__stream_dial(c, s->group->ids[s->proto], &out_ops, s, &stream);
  if (err != MSUB_OK) {
    if (!s->out) retry_later(s);
    return;
  }
  retire(s);
  msub__lanes_restart(&s->lanes, &h->mem, h->shared);
  s->out = stream;
  s->refused = false;
  err = engage(s, c);
  if (err == MSUB_OK) {
    s->up = true;
    msub__stream_wants_write(stream);
    return;
  }
  MSUB__LOG(h->log, MSUB_LOG_INFO, "host", "no pubsub session: %s", msub_err_text(err));
  msub__lanes_restart(&s->lanes, &h->mem, h->shared);
  if (s->out == stream) msub__stream_reset(stream, err);
}

void msub__sess_start(msub__sess *s, msub__conn *c, msub_bytes prefer) {
  if (c->failed) return;
  if (s->out && s->out->conn == c) return;
  s->tries = s->na = s->fins = 0;
  unsigned i = choose(s, 0);
  if (s->up && s->out && s->proto < s->group->n) i = s->proto; /* it moves, with the id that it has */
  for (unsigned k = 0; k < s->group->n && prefer.n > 0; k++) {
    if (msub_bytes_eq(s->group->ids[k], prefer)) i = k;
  }
  s->refused = i == s->group->n;
  if (s->refused) return;
  s->proto = (uint8_t)i;
  offer(s, c);
}

static void retry_now(msub__timer *t) {
  msub__sess *s = MSUB__OF(t, msub__sess, retry);
  msub__conn *c = msub__peer_newest(s->peer);
  unsigned i = choose(s, s->proto);
  if (!c || s->out || i == s->group->n) return;
  s->proto = (uint8_t)i;
  offer(s, c);
}

void msub__sess_identified(msub__sess *s, msub__conn *c) {
  if (s->out || msub__timer_running(&s->retry)) return;
  for (unsigned i = 0; i < s->group->n; i++) {
    if (!msub__identify_supports(s->peer->known, s->group->ids[i])) continue;
    msub__sess_start(s, c, s->group->ids[i]);
    return;
  }
}

/* Our hello again, on the stream that stands: a peer that has just lost the stream it had for us may have
 * forgotten, with it, what we had announced. (go-libp2p-pubsub does when its stream dies after ours was
 * replaced; then it opens the one that brings us here.) A few in a row, and never behind one that waits. */
static void hello_again(msub__sess *s) {
  msub_host *h = host_of(s);
  if (h->now.mono_ns - s->hello_at > MSUB__HOST_HELLO_NS) s->hellos = 0;
  if (s->hellos >= MSUB__HOST_HELLOS || msub__lanes_pending(&s->lanes, false) > 0) return;
  s->hellos++;
  s->hello_at = h->now.mono_ns;
  s->capturing = true;
  msub__enter(h);
  int err = msub_session_hello(h->engine, s->handle, &h->now);
  msub__leave(h);
  s->capturing = false;
  if (err == MSUB_OK) msub__stream_wants_write(s->out);
}

void msub__sess_heard(msub__sess *s, msub__conn *c, msub_bytes protocol) {
  if (s->out && s->agreed) {
    hello_again(s);
  } else if (!s->out) {
    msub__sess_start(s, c, protocol);
  }
}

void msub__sess_unheard(msub__sess *s) {
  if (s->n_inbound == 0 && s->refused && !s->out) down(s);
}

void msub__sess_conn_gone(msub__sess *s) {
  if (!s->up || s->out) return;
  msub__conn *c = msub__peer_newest(s->peer);
  if (!c) {
    if (s->peer->n_conns == 0) down(s);
    return;
  }
  s->tries = s->fins = 0;
  if (!s->refused) offer(s, c);
}

/* ---- the stream out ---- */

static void out_agreed(msub__stream *stream, msub_bytes protocol) {
  msub__sess *s = stream->own;
  msub_host *h = host_of(s);
  s->agreed = true;
  s->agreed_at = h->now.mono_ns;
  if (s->retired) msub__stream_finish(s->retired);
  msub__enter(h);
  (void)msub_session_agreed(h->engine, s->handle, &h->now);
  msub__leave(h);
  msub__stream_wants_write(stream);
  msub_host_event ev = { .kind = MSUB_EV_PUBSUB,
                         .peer_id = msub__peer_bytes(s->peer),
                         .outbound = stream->conn->outbound,
                         .text = (const char *)protocol.p };
  msub__emit(h, &ev);
}

/* "na": the next id, or nothing more until something new happens. */
static void out_refused(msub__stream *stream) {
  msub__sess *s = stream->own;
  msub__conn *c = stream->conn;
  s->na |= (uint8_t)(1u << s->proto);
  unsigned next = choose(s, 0);
  s->refused = next == s->group->n;
  stream->ops = &retired_ops; /* it must not count as broken */
  s->out = NULL;
  msub__stream_reset(stream, MSUB_ERR_UNSUPPORTED);
  if (!s->refused) {
    s->proto = (uint8_t)next;
    offer(s, c);
  } else if (s->n_inbound == 0) {
    down(s);
  }
}

static void out_broke(msub__sess *s, const msub__conn *c, bool by_fin) {
  msub_host *h = host_of(s);
  bool steady = s->agreed && h->now.mono_ns - s->agreed_at >= MSUB__HOST_STEADY_NS;
  s->out = NULL;
  s->blocked_at = 0;
  /* Ended without an answer: it may have been the hello after an id that the peer does not know. */
  if (!s->agreed && !c->failed) s->proto = (uint8_t)((s->proto + 1) % s->group->n);
  s->agreed = false;
  if (steady) s->tries = s->fins = 0;
  if (by_fin) s->fins++;
  msub__lanes_restart(&s->lanes, &h->mem, h->shared);
  if (s->up && !s->refused && !c->failed) retry_later(s); /* with its connection: conn_gone goes on at once */
}

static void out_end(msub__stream *stream, int why) {
  (void)why;
  msub__sess *s = stream->own;
  if (s->out != stream) return;
  out_broke(s, stream->conn, false);
}

/* Nothing is ever read from our own stream: its end, or a byte, means that the peer gave it up. But one that
 * closes its half of every stream as soon as it agreed only says that it will not write: after two of them
 * the stream is used as it is. */
static size_t out_data(msub__stream *stream, msub_bytes in) {
  msub__stream_reset(stream, MSUB_ERR_CLOSED);
  return in.n;
}

static void out_fin(msub__stream *stream) {
  msub__sess *s = stream->own;
  if (stream->fin || s->fins >= 2) return;
  out_broke(s, stream->conn, true);
  msub__stream_reset(stream, MSUB_ERR_CLOSED);
}

static size_t out_pending(const msub__stream *stream) {
  const msub__sess *s = stream->own;
  return msub__lanes_pending(&s->lanes, s->agreed);
}

static void out_pull(msub__stream *stream, uint8_t *dst, size_t n) {
  msub__sess *s = stream->own;
  msub_host *h = host_of(s);
  msub__lanes_pull(&s->lanes, &h->mem, h->shared, dst, n);
}

static void slow(msub__sess *s, const char *text) {
  msub__conn *c = s->out ? s->out->conn : msub__peer_newest(s->peer);
  if (!c || c->failed) return;
  host_of(s)->counts.slow_closed++;
  msub__conn_fail(c, MSUB_ERR_TIMEOUT, text);
}

/* Since when the peer has taken nothing; now, when nothing stands in front of it. */
static uint64_t stuck_since(const msub__sess *s) {
  const msub__conn *c = s->out->conn;
  uint64_t since = c->sending ? c->sent_at : host_of(s)->now.mono_ns;
  return s->blocked_at && s->blocked_at < since ? s->blocked_at : since;
}

static bool control_over(const msub__sess *s) {
  return s->lanes.bytes[MSUB_LANE_CONTROL] > host_of(s)->o.lane_bytes[MSUB_LANE_CONTROL];
}

/* A control lane over its bound in front of a peer that takes nothing: for a moment. */
static void look_after_control(msub__sess *s) {
  if (!s->agreed || !control_over(s)) return;
  uint64_t now = host_of(s)->now.mono_ns, stuck = now - stuck_since(s);
  if (stuck > MSUB__HOST_CONTROL_GRACE_NS)
    slow(s, "the peer is too slow for its control messages");
  else if (s->blocked_at || s->out->conn->sending)
    msub__stream_deadline(s->out, MSUB__HOST_CONTROL_GRACE_NS - stuck + 1);
}

static void out_timeout(msub__stream *stream) {
  msub__sess *s = stream->own;
  msub_host *h = host_of(s);
  uint64_t blocked = s->blocked_at ? h->now.mono_ns - s->blocked_at : 0;
  if (s->blocked_at && blocked >= h->o.write_timeout_ns) {
    slow(s, "the peer does not read its pubsub stream");
    return;
  }
  msub__stream_deadline(stream, s->blocked_at ? h->o.write_timeout_ns - blocked : MSUB_NEVER);
  look_after_control(s);
}

static void out_blocked(msub__stream *stream, bool blocked) {
  msub__sess *s = stream->own;
  msub_host *h = host_of(s);
  s->blocked_at = blocked ? h->now.mono_ns : 0;
  msub__stream_deadline(stream, blocked ? h->o.write_timeout_ns : MSUB_NEVER);
}

static const msub__stream_ops out_ops = { .name = "pubsub out",
                                          .on_agreed = out_agreed,
                                          .on_refused = out_refused,
                                          .on_data = out_data,
                                          .on_fin = out_fin,
                                          .on_end = out_end,
                                          .on_timeout = out_timeout,
                                          .pending = out_pending,
                                          .pull = out_pull,
                                          .on_blocked = out_blocked };

void msub__sess_finish(msub__sess *s) {
  if (s->out && s->agreed) msub__stream_finish(s->out);
}

bool msub__sess_finishing(const msub__sess *s) { return s->out && s->out->fin && !s->out->conn->over; }

static void retired_end(msub__stream *stream, int why) {
  (void)why;
  msub__sess *s = stream->own;
  if (s->retired == stream) s->retired = NULL;
}
static const msub__stream_ops retired_ops = { .name = "pubsub out, replaced", .on_end = retired_end };

/* ---- sending ---- */

static msub__lanes_bounds bounds_of(const msub_host *h) {
  msub__lanes_bounds b;
  memcpy(b.bytes, h->o.lane_bytes, sizeof b.bytes);
  memcpy(b.rule, h->o.lane_rule, sizeof b.rule);
  /* Control may stand over its bound for a moment: msub__sess_flushed() looks after that. */
  size_t hard = b.bytes[MSUB_LANE_CONTROL];
  b.bytes[MSUB_LANE_CONTROL] =
      hard > SIZE_MAX / MSUB__HOST_CONTROL_HARD ? SIZE_MAX : hard * MSUB__HOST_CONTROL_HARD;
  return b;
}

int msub__sess_send(msub__sess *s, const msub_rpc *rpc, msub_lane lane) {
  msub_host *h = host_of(s);
  if (!s->capturing && !s->out && !msub__timer_running(&s->retry))
    return MSUB_ERR_LIMIT; /* nothing will carry it */
  msub__lanes_bounds b = bounds_of(h);
  unsigned l = s->capturing ? MSUB__LANE_HELLO : (unsigned)lane;
  /* A full lane may only be waiting for the end of this turn. */
  if (!msub__lanes_fits(&s->lanes, &b, l, rpc) && s->out && s->agreed && !s->out->conn->sending)
    msub__conn_flush(s->out->conn);
  msub__lanes_answer a = msub__lanes_push(&s->lanes, &h->mem, h->shared, &b, l, rpc, dropped_full, s);
  if (a == MSUB__LANES_TAKEN) {
    if (s->out) msub__stream_wants_write(s->out);
    /* A stream that is blocked is not visited otherwise. */
    if (s->out && lane == MSUB_LANE_CONTROL && control_over(s)) msub__conn_dirty(s->out->conn);
    return MSUB_OK;
  }
  if (a == MSUB__LANES_TOO_SLOW) slow(s, "the peer is too slow");
  if (a == MSUB__LANES_NOMEM && lane == MSUB_LANE_CONTROL && s->out) {
    msub__conn_fail(s->out->conn, MSUB_ERR_NOMEM, "out of memory"); /* control must not get lost */
  }
  h->counts.lane_dropped++;
  return MSUB_ERR_LIMIT;
}

/* Takes nothing at all: whoever waits for it waits for ever. */
static bool stalled(const msub__sess *s) {
  uint64_t now = host_of(s)->now.mono_ns;
  if (!s->out) return !msub__timer_running(&s->retry);
  const msub__conn *c = s->out->conn;
  return (c->sending && now - c->sent_at > MSUB__HOST_STALLED_NS) ||
         (s->blocked_at && now - s->blocked_at > MSUB__HOST_STALLED_NS);
}

bool msub__sess_room(msub__sess *s, msub_lane lane, size_t bytes) {
  msub_host *h = host_of(s);
  msub_overflow rule = h->o.lane_rule[lane];
  if (rule == MSUB_OVERFLOW_DROP_OLDEST || rule == MSUB_OVERFLOW_DISCONNECT) return true;
  msub__lanes_bounds b = bounds_of(h);
  msub_rpc rpc = { NULL, 0, NULL, bytes };
  if (!msub__lanes_fits(&s->lanes, &b, lane, &rpc) && s->out && s->agreed && !s->out->conn->sending)
    msub__conn_flush(s->out->conn);
  if (msub__lanes_fits(&s->lanes, &b, lane, &rpc)) return true;
  if (rule == MSUB_OVERFLOW_BY_LANE && s->lanes.bytes[MSUB_LANE_FORWARD] + s->lanes.bytes[MSUB_LANE_GOSSIP] > bytes)
    return true;
  return stalled(s);
}

unsigned msub__sess_withdraw(msub__sess *s, msub_bytes id) {
  msub_host *h = host_of(s);
  unsigned n = msub__lanes_withdraw(&s->lanes, &h->mem, h->shared, id);
  h->counts.withdrawn += n;
  return n;
}

void msub__sess_sent(msub__conn *c) {
  for (size_t i = 0; i < c->peer->n_sess; i++) {
    msub__sess *s = &c->peer->sess[i];
    if (s->out && s->out->conn == c) msub__lanes_sent(&s->lanes);
  }
}

void msub__sess_flushed(msub__conn *c) {
  for (size_t i = 0; i < c->peer->n_sess && !c->failed; i++) {
    msub__sess *s = &c->peer->sess[i];
    if (s->out && s->out->conn == c) look_after_control(s);
  }
}
