/* wire/yamux_time.c: entering and leaving a session, its end, and everything that happens because time
 * passes. */
#include "base/assert.h"
#include "wire/yamux_state.h"

#define SHARED_POLL_NS (50 * MSUB__MS) /* when others have to drain, nobody tells us that they did */

bool msub__yamux_charge(bucket *b, uint64_t now_ns, uint32_t burst, uint32_t per_s) {
  uint64_t each = MSUB__S / per_s, from = b->full_at > now_ns ? b->full_at : now_ns;
  uint64_t full_at = msub__deadline(from, each);
  if (full_at - now_ns > burst * each) return false;
  b->full_at = full_at;
  return true;
}

int msub__yamux_fatal(msub__yamux *y, int err, int64_t code) {
  y->err = err;
  y->goaway_due = code >= 0;
  if (code >= 0) y->goaway_code = (uint32_t)code;
  return err;
}

static bool buffers_full(const msub__yamux *y) { return msub__yamux_allowance(y) == 0; }

/* Starts and stops the two clocks of standing still. */
static void watch(msub__yamux *y) {
  if (!msub__yamux_control_full(y))
    y->full_until = MSUB_NEVER;
  else if (y->full_until == MSUB_NEVER)
    y->full_until = msub__deadline(y->now_ns, MSUB__YAMUX_WRITE_NS);
  if (!buffers_full(y))
    y->drain_until = MSUB_NEVER;
  else if (y->drain_until == MSUB_NEVER)
    y->drain_until = msub__deadline(y->now_ns, MSUB__YAMUX_DRAIN_NS);
}

void msub__yamux_enter(msub__yamux *y, uint64_t now_ns) {
  MSUB__INVARIANT(!y->busy);
  y->busy = true;
  if (now_ns > y->now_ns) y->now_ns = now_ns;
}

/* Serves the read() calls that were made inside callbacks: one pass, so that an owner who asks but takes
 * nothing cannot keep us here. */
static void serve_asked(msub__yamux *y) {
  uint32_t id = 0;
  for (msub__ystream *s; y->n_asked > 0 && (s = msub__yamux_after(y, id)) != NULL;) {
    id = s->id;
    if (!(s->flags & Y_ASKED)) continue;
    s->flags &= (uint16_t)~Y_ASKED;
    y->n_asked--;
    msub__yamux_show(s);
  }
}

void msub__yamux_leave(msub__yamux *y) {
  if (!y->err) serve_asked(y);
  y->busy = false;
  msub__node *n;
  while ((n = msub__list_first(&y->graves)) != NULL) msub__yamux_destroy(MSUB__OF(n, msub__ystream, node));
  watch(y);
}

/* ---- the timer ---- */

/* Whether a ping is under way and not a byte has come since: every byte is a sign of life. */
static bool in_doubt(const msub__yamux *y) { return y->ping != PING_NONE && y->heard_ns <= y->ping_ns; }

static uint64_t alive_until(const msub__yamux *y) {
  return in_doubt(y) ? msub__deadline(y->ping_ns, MSUB__YAMUX_PONG_NS)
                     : msub__deadline(y->heard_ns, MSUB__YAMUX_KEEPALIVE_NS);
}

uint64_t msub__yamux_next_deadline(const msub__yamux *y) {
  if (y->err) return MSUB_NEVER;
  if (y->n_asked > 0) return y->now_ns;
  if (msub__yamux_control_full(y) != (y->full_until != MSUB_NEVER))
    return y->now_ns; /* changed by the owner's calls */
  uint64_t t = msub__sooner(alive_until(y), y->sweep_ns);
  t = msub__sooner(t, msub__sooner(y->full_until, y->drain_until));
  if (y->pong_due && !msub__passed(y->pong_free_ns, y->now_ns)) t = msub__sooner(t, y->pong_free_ns);
  if (y->shared && buffers_full(y)) t = msub__sooner(t, msub__deadline(y->now_ns, SHARED_POLL_NS));
  return t;
}

static void reset_fullest(msub__yamux *y) {
  msub__ystream *fullest = NULL;
  for (uint32_t i = 0; i < y->n; i++) {
    if (!fullest || msub__buf_len(&y->streams[i]->unread) > msub__buf_len(&fullest->unread))
      fullest = y->streams[i];
  }
  y->drain_until = MSUB_NEVER; /* the next one gets its time too */
  if (!fullest || msub__buf_len(&fullest->unread) == 0) return;
  y->counts.reset_by_limit++;
  msub__yamux_end(fullest, MSUB_ERR_LIMIT, true);
}

/* Resets what has been half open for too long, and finds when to look again. */
static void sweep(msub__yamux *y) {
  uint32_t id = 0;
  y->sweep_ns = MSUB_NEVER;
  for (msub__ystream *s; (s = msub__yamux_after(y, id)) != NULL;) {
    id = s->id;
    if (!(s->flags & (Y_UNACKED | Y_FIN_SENT))) continue;
    uint64_t end = msub__deadline(s->since_ns, MSUB__YAMUX_HALF_OPEN_NS);
    if (msub__passed(end, y->now_ns)) {
      y->counts.reset_by_limit++;
      msub__yamux_end(s, MSUB_ERR_TIMEOUT, true);
    } else {
      y->sweep_ns = msub__sooner(y->sweep_ns, end); /* on_end may have made it sooner too */
    }
  }
}

int msub__yamux_advance(msub__yamux *y, uint64_t now_ns) {
  if (y->busy) return MSUB_ERR_STATE;
  if (y->err) return y->err;
  msub__yamux_enter(y, now_ns);
  watch(y);
  if (msub__passed(y->full_until, y->now_ns)) {
    msub__yamux_fatal(y, MSUB_ERR_TIMEOUT, -1);
  } else if (msub__passed(alive_until(y), y->now_ns)) {
    if (in_doubt(y)) msub__yamux_fatal(y, MSUB_ERR_TIMEOUT, -1);
    y->ping = PING_NONE; /* one that was never answered while other bytes came */
    msub__yamux_ping(y);
  }
  if (!y->err && msub__passed(y->drain_until, y->now_ns)) reset_fullest(y);
  if (!y->err && msub__passed(y->sweep_ns, y->now_ns)) sweep(y);
  msub__yamux_leave(y);
  return y->err;
}
