/* wire/yamux_window.c: how much a peer may have on its way to us, and how much of it we keep.
 *
 *   window of a stream   ├─ unread ─┤├─ taken, no credit yet ─┤├─ recv_left: the peer may send ─┤
 *
 * Two bounds work together. Windows are credit: it is given back only for bytes that were taken. But all
 * streams' windows together are more than a connection may hold, so at the connection's bound, and at that of
 * all connections, reading from the socket stops. */
#include "wire/yamux_state.h"

#define SHARED_FLOOR 4096u /* every session may hold a line of negotiation, whatever the others do */

size_t msub__yamux_allowance(const msub__yamux *y) {
  size_t own = y->buffered < MSUB__YAMUX_BUFFERED_MAX ? MSUB__YAMUX_BUFFERED_MAX - y->buffered : 0;
  if (!y->shared) return own;
  /* A session may hold as much as is free: x more for us are x less free, so half of the difference. One
   * sixteenth is kept back for the floors of a thousand sessions. */
  size_t max = y->shared->max ? y->shared->max : MSUB__YAMUX_SHARED_MAX;
  size_t total = max - max / 16, held = y->shared->buffered;
  size_t left = held < total ? total - held : 0;
  size_t fair = left > y->buffered ? (left - y->buffered) / 2 : 0;
  size_t least = y->buffered < SHARED_FLOOR ? SHARED_FLOOR - y->buffered : 0;
  if (fair < least) fair = least;
  return own < fair ? own : fair;
}

/* One more frame of the peer's must fit with what it makes due, and so must a ping, a pong and a GoAway. */
bool msub__yamux_control_full(const msub__yamux *y) {
  return y->n_refused == REFUSED_MAX ||
         msub__yamux_pending(y) + 4 * MSUB__YAMUX_HEADER > MSUB__YAMUX_PENDING_MAX;
}

bool msub__yamux_reading(const msub__yamux *y) {
  return !y->err && !msub__yamux_control_full(y) && msub__yamux_allowance(y) > 0;
}

/* A window that turned over in a few round trips was what held the peer back. */
static void grow(msub__ystream *s) {
  msub__yamux *y = s->y;
  if (s->window >= MSUB__YAMUX_WINDOW_MAX || y->buffered >= MSUB__YAMUX_BUFFERED_CALM) return;
  if (y->rtt_ns == 0 || y->now_ns - y->rtt_at_ns > MSUB__YAMUX_RTT_NS) msub__yamux_ping(y);
  if (y->rtt_ns > 0 && y->now_ns - s->epoch_ns < msub__sat_mul_u64(4, y->rtt_ns)) s->window *= 2;
}

uint32_t msub__yamux_renew(msub__ystream *s) {
  grow(s);
  s->epoch_ns = s->y->now_ns;
  uint32_t delta = s->window - s->recv_left - (uint32_t)msub__buf_len(&s->unread);
  s->recv_left += delta;
  return delta;
}
