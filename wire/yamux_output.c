/* wire/yamux_output.c: frames to the peer. Control frames are made at the moment they are written, from what
 * is due. */
#include <string.h>
#include "base/assert.h"
#include "wire/yamux_state.h"

static void put32(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)(v >> 24);
  p[1] = (uint8_t)(v >> 16);
  p[2] = (uint8_t)(v >> 8);
  p[3] = (uint8_t)v;
}

static void put_header(uint8_t *out, uint8_t type, uint16_t flags, uint32_t id, uint32_t length) {
  out[0] = 0;
  out[1] = type;
  out[2] = (uint8_t)(flags >> 8);
  out[3] = (uint8_t)flags;
  put32(out + 4, id);
  put32(out + 8, length);
}

static bool may_pong(const msub__yamux *y) { return y->pong_due && msub__passed(y->pong_free_ns, y->now_ns); }

size_t msub__yamux_pending(const msub__yamux *y) {
  if (y->closed) return 0;
  size_t frames = y->goaway_due ? 1 : 0;
  if (!y->err) frames += (may_pong(y) ? 1u : 0u) + (y->ping == PING_DUE ? 1u : 0u) + y->n_refused + y->n_due;
  return frames * MSUB__YAMUX_HEADER;
}

/* The one frame that s owes. s may be gone afterwards. */
static void stream_control(msub__ystream *s, uint8_t *out) {
  uint16_t flags = 0;
  uint32_t delta = 0;
  if (s->flags & Y_RST) {
    put_header(out, TYPE_WINDOW, FLAG_RST, s->id, 0);
    msub__yamux_unmark(s, Y_RST);
    msub__yamux_destroy(s);
    return;
  }
  if (s->flags & Y_SYN) flags |= FLAG_SYN;
  if (s->flags & Y_ACK) flags |= FLAG_ACK;
  if (s->flags & Y_FIN) flags |= FLAG_FIN;
  if (s->flags & Y_CREDIT) delta = msub__yamux_renew(s);
  put_header(out, TYPE_WINDOW, flags, s->id, delta);
  if (s->flags & Y_FIN) s->flags |= Y_FIN_SENT;
  msub__yamux_unmark(s, Y_DUE | Y_SYN);
  msub__yamux_settle_fin(s);
}

/* The next frame; false: there is none. */
static bool next(msub__yamux *y, uint8_t *out) {
  msub__node *first = msub__list_first(&y->due);
  if (y->goaway_due) {
    y->goaway_due = false;
    put_header(out, TYPE_GOAWAY, 0, 0, y->goaway_code);
  } else if (y->err) {
    return false;
  } else if (may_pong(y)) {
    y->pong_due = false;
    y->pong_free_ns = msub__deadline(y->now_ns, MSUB__YAMUX_PING_GAP_NS);
    put_header(out, TYPE_PING, FLAG_ACK, 0, y->pong_value);
  } else if (y->ping == PING_DUE) {
    y->ping = PING_SENT;
    y->ping_ns = y->now_ns;
    put_header(out, TYPE_PING, FLAG_SYN, 0, ++y->ping_value);
  } else if (y->n_refused > 0) {
    put_header(out, TYPE_WINDOW, FLAG_RST, y->refused[0], 0);
    y->n_refused--;
    memmove(y->refused, y->refused + 1, y->n_refused * sizeof y->refused[0]);
  } else if (first) {
    stream_control(MSUB__OF(first, msub__ystream, node), out);
  } else {
    return false;
  }
  return true;
}

size_t msub__yamux_output(msub__yamux *y, uint64_t now_ns, uint8_t *out, size_t cap) {
  size_t at = 0;
  if (y->busy || y->closed) return 0;
  msub__yamux_enter(y, now_ns);
  while (cap - at >= MSUB__YAMUX_HEADER && next(y, out + at)) at += MSUB__YAMUX_HEADER;
  msub__yamux_leave(y);
  return at;
}

size_t msub__yamux_room(const msub__ystream *s) {
  return s->y->err || (s->flags & (Y_FIN | Y_FIN_SENT | Y_DEAD)) ? 0 : s->send_left;
}

int msub__yamux_data_header(msub__ystream *s, uint8_t out[MSUB__YAMUX_HEADER], uint32_t n) {
  uint16_t flags = 0;
  if (s->y->err || (s->flags & (Y_FIN | Y_FIN_SENT | Y_DEAD))) return MSUB_ERR_STATE;
  if (n == 0) return MSUB_ERR_INVAL;
  if (n > s->send_left || n > MSUB__YAMUX_FRAME_MAX) return MSUB_ERR_LIMIT;
  if (s->flags & Y_SYN) flags |= FLAG_SYN;
  if (s->flags & Y_ACK) flags |= FLAG_ACK;
  put_header(out, TYPE_DATA, flags, s->id, n);
  s->send_left -= n;
  msub__yamux_unmark(s, Y_SYN | Y_ANNOUNCE | Y_ACK);
  return MSUB_OK;
}
