/* wire/yamux_input.c: frames from the peer. A frame is judged whole, by its header, before it changes
 * anything. */
#include "base/assert.h"
#include "wire/yamux_state.h"

typedef struct frame {
  uint8_t type;
  uint16_t flags;
  uint32_t id, length;
} frame;

static uint32_t get32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int wrong(msub__yamux *y) { return msub__yamux_fatal(y, MSUB_ERR_MALFORMED, MSUB__GOAWAY_PROTOCOL); }
static int too_much(msub__yamux *y) { return msub__yamux_fatal(y, MSUB_ERR_LIMIT, MSUB__GOAWAY_PROTOCOL); }

static int charge_empty(msub__yamux *y) {
  y->counts.stray++;
  bool ok = msub__yamux_charge(&y->empties, y->now_ns, MSUB__YAMUX_EMPTY_BURST, MSUB__YAMUX_EMPTY_PER_S);
  return ok ? MSUB_OK : too_much(y);
}

static int charge_reset(msub__yamux *y) {
  bool ok = msub__yamux_charge(&y->resets, y->now_ns, MSUB__YAMUX_RESET_BURST, MSUB__YAMUX_RESET_PER_S);
  return ok ? MSUB_OK : too_much(y);
}

/* The body of f goes to s; NULL: it is dropped. */
static void expect_body(msub__yamux *y, const frame *f, msub__ystream *s) {
  y->body = s;
  y->body_left = f->type == TYPE_DATA ? f->length : 0;
  y->body_fin = s && (f->flags & FLAG_FIN);
}

/* What f does to a stream that exists and is not reset by it. */
static int apply(msub__yamux *y, const frame *f, msub__ystream *s, bool opened) {
  bool changed = opened || f->length > 0;
  if (s->flags & Y_UNACKED) { /* any answer shows that the peer knows the stream */
    s->flags &= (uint16_t)~Y_UNACKED;
    y->counts.unacked--;
    changed = true;
  }
  if (f->type == TYPE_WINDOW && f->length > 0) {
    MSUB__INVARIANT(msub__add_u32(s->send_left, f->length, &s->send_left)); /* judged before */
    if (!opened && y->ops->on_writable && !(s->flags & (Y_FIN | Y_FIN_SENT))) {
      y->ops->on_writable(y->ud, s);
      if (s->flags & Y_DEAD) return MSUB_OK;
    }
  }
  if (f->type == TYPE_DATA && f->length > 0) {
    if (s->flags & Y_FIN_SEEN) { /* bytes behind the end */
      expect_body(y, f, NULL);
      msub__yamux_end(s, MSUB_ERR_MALFORMED, true);
      return charge_reset(y);
    }
    expect_body(y, f, s);
    return MSUB_OK;
  }
  if ((f->flags & FLAG_FIN) && !(s->flags & Y_FIN_SEEN)) {
    s->flags |= Y_FIN_SEEN;
    changed = true;
    msub__yamux_settle_fin(s);
  }
  return changed ? MSUB_OK : charge_empty(y);
}

static int refuse(msub__yamux *y, const frame *f) {
  MSUB__INVARIANT(y->n_refused < REFUSED_MAX); /* else reading would have stopped */
  y->refused[y->n_refused++] = f->id;
  y->counts.refused++;
  expect_body(y, f, NULL);
  return charge_reset(y);
}

static int opening(msub__yamux *y, const frame *f) {
  bool own_id = (f->id & 1) == (y->initiator ? 1u : 0u);
  uint32_t credit;
  if (own_id || msub__yamux_find(y, f->id)) return wrong(y);
  if (f->type == TYPE_DATA && f->length > MSUB__YAMUX_WINDOW) return wrong(y);
  if (f->type == TYPE_WINDOW && !msub__add_u32(MSUB__YAMUX_WINDOW, f->length, &credit)) return wrong(y);
  if (f->flags & FLAG_RST) { /* opened and taken back in one frame */
    expect_body(y, f, NULL);
    return charge_reset(y);
  }
  if (y->goaway_said || !y->ops->on_open || y->counts.inbound >= y->max_inbound) return refuse(y, f);
  msub__ystream *s = msub__yamux_add(y, f->id, Y_INBOUND);
  if (!s) return MSUB_ERR_NOMEM;
  msub__yamux_mark(s, Y_ACK);
  bool accepted = y->ops->on_open(y->ud, s, &s->word);
  if (!accepted && !(s->flags & Y_DEAD)) msub__yamux_kill(s, true);
  if (s->flags & Y_DEAD) {
    y->counts.refused++;
    expect_body(y, f, NULL);
    return charge_reset(y);
  }
  y->counts.accepted++;
  return apply(y, f, s, true);
}

static int stray(msub__yamux *y, const frame *f) {
  if (f->type == TYPE_DATA && f->length > MSUB__YAMUX_STRAY_MAX) return wrong(y);
  expect_body(y, f, NULL);
  if (f->length > 0) {
    y->counts.stray++;
    return MSUB_OK;
  }
  /* ends that crossed a reset of ours are honest, however many streams we reset at once */
  return f->flags & (FLAG_ACK | FLAG_FIN | FLAG_RST) ? charge_reset(y) : charge_empty(y);
}

static int stream_frame(msub__yamux *y, const frame *f) {
  uint32_t credit;
  if (f->id == 0) return wrong(y);
  if (f->flags & FLAG_SYN) return opening(y, f);
  msub__ystream *s = msub__yamux_find(y, f->id);
  if (!s || (s->flags & Y_SYN)) return stray(y, f);
  if (f->type == TYPE_DATA && f->length > s->recv_left) return wrong(y);
  if (f->type == TYPE_WINDOW && !msub__add_u32(s->send_left, f->length, &credit)) return wrong(y);
  if (f->flags & FLAG_RST) {
    expect_body(y, f, NULL);
    y->counts.reset_by_peer++;
    msub__yamux_end(s, MSUB_ERR_CLOSED, false);
    return charge_reset(y);
  }
  return apply(y, f, s, false);
}

static int ping_frame(msub__yamux *y, const frame *f) {
  if (f->flags & FLAG_SYN) {
    if (y->pong_due) {
      y->counts.pings_dropped++;
    } else {
      y->pong_due = true;
      y->pong_value = f->length;
    }
    return MSUB_OK;
  }
  if (y->ping != PING_SENT || f->length != y->ping_value) return charge_empty(y);
  uint64_t took = y->now_ns - y->ping_ns;
  if (took == 0) took = 1; /* 0 means unknown */
  y->ping = PING_NONE;
  y->rtt_ns = y->rtt_ns ? y->rtt_ns / 2 + took / 2 + 1 : took;
  y->rtt_at_ns = y->now_ns;
  if (y->ops->on_pong) y->ops->on_pong(y->ud, took);
  return MSUB_OK;
}

static int goaway_frame(msub__yamux *y, const frame *f) {
  bool again = y->goaway_seen;
  y->goaway_seen = true;
  if (!again && y->ops->on_goaway) y->ops->on_goaway(y->ud, f->length);
  bool failed = f->length == MSUB__GOAWAY_PROTOCOL || f->length == MSUB__GOAWAY_INTERNAL;
  if (failed) return msub__yamux_fatal(y, MSUB_ERR_CLOSED, -1);
  return again ? charge_empty(y) : MSUB_OK;
}

static int frame_came(msub__yamux *y) {
  const uint8_t *h = y->head;
  frame f = {
    .type = h[1], .flags = (uint16_t)(h[2] << 8 | h[3]), .id = get32(h + 4), .length = get32(h + 8)
  };
  /* who speaks another version or language does not understand a GoAway either */
  if (h[0] != 0 || f.type > TYPE_GOAWAY) return msub__yamux_fatal(y, MSUB_ERR_MALFORMED, -1);
  int err = f.type == TYPE_PING     ? ping_frame(y, &f)
            : f.type == TYPE_GOAWAY ? goaway_frame(y, &f)
                                    : stream_frame(y, &f);
  if (err != MSUB_ERR_NOMEM)
    y->head_n = 0; /* without memory nothing has happened: the header waits for another try */
  return err;
}

/* Bytes of the body at the front of `in`; *used: how many are done with. 0 and MSUB_OK: nothing more may be
 * kept. */
static int body_came(msub__yamux *y, msub_bytes in, size_t *used) {
  msub__ystream *s = y->body;
  size_t n = in.n < y->body_left ? in.n : y->body_left, taken = 0, kept = 0;
  int err = MSUB_OK;
  if (!s) {
    y->body_left -= (uint32_t)n;
    *used = n;
    return MSUB_OK;
  }
  bool waiting = msub__buf_len(&s->unread) > 0;
  if (!waiting) { /* the common case: straight from the input */
    taken = y->ops->on_data(y->ud, s, (msub_bytes){ in.p, n });
    if (y->body != s) { /* reset by its owner meanwhile */
      y->body_left -= (uint32_t)n;
      *used = n;
      return MSUB_OK;
    }
    MSUB__INVARIANT(taken <= n);
  }
  if (taken < n) {
    size_t allowed = msub__yamux_allowance(y);
    kept = n - taken < allowed ? n - taken : allowed;
    err = msub__buf_append(&s->unread, &y->mem, (msub_bytes){ in.p + taken, kept });
    if (err) kept = 0;
    y->buffered += kept;
    if (y->shared) y->shared->buffered += kept;
  }
  *used = taken + kept;
  y->body_left -= (uint32_t)*used;
  s->recv_left -= (uint32_t)*used;
  if (y->body_left == 0 && y->body_fin) s->flags |= Y_FIN_SEEN;
  if (waiting && kept > 0) {
    msub__yamux_show(s);
  } else {
    msub__yamux_credit(s);
    msub__yamux_settle_fin(s);
  }
  return err;
}

int msub__yamux_input(msub__yamux *y, uint64_t now_ns, msub_bytes in, size_t *used) {
  int err = MSUB_OK;
  *used = 0;
  if (y->busy) return MSUB_ERR_STATE;
  if (y->err) return y->err;
  msub__yamux_enter(y, now_ns);
  if (in.n > 0) y->heard_ns = y->now_ns;
  while (!err) {
    if (y->body_left > 0) {
      size_t n;
      if (*used == in.n) break;
      err = body_came(y, (msub_bytes){ in.p + *used, in.n - *used }, &n);
      *used += n;
      if (n == 0) break;
    } else if (y->head_n < MSUB__YAMUX_HEADER) {
      if (*used == in.n) break;
      y->head[y->head_n++] = in.p[(*used)++];
    } else if (msub__yamux_control_full(y)) {
      break;
    } else {
      err = frame_came(y);
    }
  }
  msub__yamux_leave(y);
  return err;
}
