#include <string.h>
#include "base/assert.h"
#include "host/handlers.h"
#include "host/stream.h"

static msub__stream *stream_of(msub__timer *t) { return MSUB__OF(t, msub__stream, timer); }

/* ---- life ---- */

static void free_mss(msub__stream *s) {
  msub__free(&s->conn->host->mem, s->mss, sizeof *s->mss);
  s->mss = NULL;
}

static void stream_free(msub__stream *s) {
  msub__conn *c = s->conn;
  if (c->current == s) c->current = NULL;
  msub__timer_stop(c->host->wheel, &s->timer);
  msub__list_remove(&s->writing);
  msub__buf_fini(&s->out, &c->host->mem);
  free_mss(s);
  c->n_streams--;
  c->host->counts.streams--;
  msub__free(&c->host->mem, s, sizeof *s);
}

static void ended(msub__stream *s, int why) {
  if (s->ops && s->ops->on_end) s->ops->on_end(s, why);
  stream_free(s);
}

void msub__stream_reset(msub__stream *s, int why) {
  s->conn->host->counts.streams_reset++;
  msub__yamux_reset(s->y);
  msub__conn_dirty(s->conn);
  ended(s, why);
}

void msub__stream_fault(msub__stream *s, const char *what) {
  msub__conn *c = s->conn;
  msub_host *h = c->host;
  h->counts.protocol_faults++;
  MSUB__LOG(h->log, MSUB_LOG_INFO, "stream", "%s: %s", s->ops ? s->ops->name : "negotiation", what);
  msub__report(h, msub__noise_peer_id(c->noise), &c->remote, MSUB_R_MALFORMED_STREAM,
               MSUB__HOST_BLAME_STREAM);
  msub__stream_reset(s, MSUB_ERR_MALFORMED);
}

static void timed_out(msub__timer *t) {
  msub__stream *s = stream_of(t);
  if (!s->mss && s->ops && s->ops->on_timeout)
    s->ops->on_timeout(s);
  else
    msub__stream_reset(s, MSUB_ERR_TIMEOUT);
}

void msub__stream_deadline(msub__stream *s, uint64_t after_ns) {
  msub_host *h = s->conn->host;
  msub__timer_start(h->wheel, &s->timer,
                    after_ns == MSUB_NEVER ? MSUB_NEVER : msub__deadline(h->now.mono_ns, after_ns));
}

static msub__stream *stream_new(msub__conn *c) {
  msub_host *h = c->host;
  msub__stream *s = msub__zalloc(&h->mem, 1, sizeof *s);
  if (!s) return NULL;
  s->mss = msub__alloc(&h->mem, sizeof *s->mss);
  if (!s->mss) {
    msub__free(&h->mem, s, sizeof *s);
    return NULL;
  }
  s->conn = c;
  s->seq = ++h->stream_seq;
  msub__list_init(&s->writing);
  msub__timer_init(&s->timer, timed_out);
  c->n_streams++;
  h->counts.streams++;
  msub__stream_deadline(s, h->o.negotiate_timeout_ns);
  return s;
}

/* ---- writing ---- */

void msub__stream_wants_write(msub__stream *s) {
  if (s->blocked) return;
  if (msub__list_empty(&s->writing)) msub__list_push(&s->conn->writers, &s->writing);
  msub__conn_dirty(s->conn);
}

int msub__stream_write(msub__stream *s, msub_bytes b) {
  int err = msub__buf_append(&s->out, &s->conn->host->mem, b);
  if (err == MSUB_OK) msub__stream_wants_write(s);
  return err;
}

void msub__stream_finish(msub__stream *s) {
  s->fin = true;
  msub__stream_wants_write(s);
}

size_t msub__stream_pending(const msub__stream *s) {
  size_t n = msub__buf_len(&s->out);
  return s->ops && s->ops->pending ? n + s->ops->pending(s) : n;
}

void msub__stream_pull(msub__stream *s, uint8_t *dst, size_t n) {
  msub_bytes own = msub__buf_unread(&s->out);
  size_t k = own.n < n ? own.n : n;
  if (k > 0) {
    memcpy(dst, own.p, k);
    msub__buf_consume(&s->out, k);
    if (k == own.n) msub__buf_fini(&s->out, &s->conn->host->mem);
  }
  if (k < n) s->ops->pull(s, dst + k, n - k);
}

/* ---- negotiation ---- */

static bool accepts(void *ud, msub_bytes token) {
  msub__stream *s = ud;
  return msub__handlers_find(s->conn, token, &s->proposal) != NULL;
}

static int drain(msub__stream *s) {
  uint8_t line[sizeof s->mss->out];
  size_t n = msub__mss_output(s->mss, line, sizeof line);
  return n > 0 ? msub__stream_write(s, (msub_bytes){ line, n }) : MSUB_OK;
}

/* The last line read was "na": a refusal, and no fault. */
static bool refused(msub_bytes used) {
  static const uint8_t na[] = { 3, 'n', 'a', '\n' };
  return used.n >= sizeof na && memcmp(used.p + used.n - sizeof na, na, sizeof na) == 0;
}

static const msub__stream_ops turned_away_ops = { .name = "refused" };

/* After "na" anything may follow: what a dialer had sent early, for a protocol that we do not speak. It is no
 * fault, and the "na" has to reach the dialer, so the stream is not reset before that. */
static void turn_away(msub__stream *s) {
  free_mss(s);
  s->ops = &turned_away_ops;
  s->conn->host->counts.streams_refused++;
  msub__stream_finish(s);
  msub__stream_deadline(s, MSUB__HOST_REFUSED_NS);
}

static void negotiation_failed(msub__stream *s, msub_bytes used) {
  if (s->inbound && s->mss->index > 0 && drain(s) == MSUB_OK)
    turn_away(s);
  else if (s->inbound || !refused(used))
    msub__stream_fault(s, s->mss->why);
  else if (s->ops->on_refused)
    s->ops->on_refused(s);
  else
    msub__stream_reset(s, MSUB_ERR_UNSUPPORTED);
}

static void agreed(msub__stream *s) {
  free_mss(s);
  msub__stream_deadline(s, MSUB_NEVER);
  if (s->inbound) {
    s->ops = msub__handlers_find(s->conn, s->proposal, &s->proposal);
    MSUB__INVARIANT(s->ops);
  }
  if (s->ops->on_agreed) s->ops->on_agreed(s, s->proposal);
}

/* One round of the machine. Returns the bytes used; afterwards conn->current says whether the stream is still
 * there. */
static size_t negotiate(msub__stream *s, msub_bytes in, bool *more) {
  size_t used = 0;
  msub__mss_event e = msub__mss_input(s->mss, in, &used);
  *more = e == MSUB__MSS_MORE;
  if (e == MSUB__MSS_FAILED) {
    negotiation_failed(s, (msub_bytes){ in.p, used });
  } else if (drain(s) != MSUB_OK) {
    msub__stream_reset(s, MSUB_ERR_NOMEM);
  } else if (e == MSUB__MSS_AGREED) {
    agreed(s);
  }
  return used;
}

int msub__stream_dial(msub__conn *c, msub_bytes protocol, const msub__stream_ops *ops, void *own,
                      msub__stream **out) {
  msub__stream *s = stream_new(c);
  if (!s) return MSUB_ERR_NOMEM;
  s->proposal = protocol;
  int err = msub__mss_dial(s->mss, &s->proposal, 1);
  if (err == MSUB_OK) err = msub__yamux_open(c->yamux, s, &s->y);
  if (err == MSUB_OK && (err = drain(s)) != MSUB_OK) msub__yamux_reset(s->y);
  if (err != MSUB_OK) {
    stream_free(s);
    return err;
  }
  s->ops = ops;
  s->own = own;
  *out = s;
  return MSUB_OK;
}

/* ---- yamux's callbacks ---- */

static bool on_open(void *ud, msub__ystream *y, void **word) {
  msub__conn *c = ud;
  if (c->failed) return false;
  msub__stream *s = stream_new(c);
  if (!s) {
    c->host->counts.streams_refused++;
    return false;
  }
  s->inbound = true;
  s->y = y;
  msub__mss_listen(s->mss, accepts, s);
  *word = s;
  return true;
}

static size_t on_data(void *ud, msub__ystream *y, msub_bytes in) {
  msub__conn *c = ud;
  msub__stream *s = msub__yamux_word(y);
  size_t at = 0;
  bool more = false;
  if (c->failed) return in.n;
  c->current = s;
  while (c->current && s->mss && !more) at += negotiate(s, (msub_bytes){ in.p + at, in.n - at }, &more);
  if (!c->current) return in.n;
  if (!s->mss && at < in.n) {
    if (s->ops->on_data)
      at += s->ops->on_data(s, (msub_bytes){ in.p + at, in.n - at });
    else
      at = in.n;
  }
  bool there = c->current != NULL;
  c->current = NULL;
  return there ? at : in.n;
}

static void on_fin(void *ud, msub__ystream *y) {
  msub__conn *c = ud;
  msub__stream *s = msub__yamux_word(y);
  if (c->failed) return;
  if (s->mss && s->inbound && s->mss->index > 0)
    turn_away(s); /* it had but this one proposal: our "na" has to reach it */
  else if (s->mss)
    msub__stream_reset(s, MSUB_ERR_CLOSED);
  else if (s->ops->on_fin)
    s->ops->on_fin(s);
}

static void on_end(void *ud, msub__ystream *y, int why) {
  (void)ud;
  ended(msub__yamux_word(y), why);
}

static void on_writable(void *ud, msub__ystream *y) {
  (void)ud;
  msub__stream *s = msub__yamux_word(y);
  if (!s->blocked) return;
  s->blocked = false;
  if (!s->mss && s->ops->on_blocked) s->ops->on_blocked(s, false);
  if (msub__stream_pending(s) > 0 || s->fin) msub__stream_wants_write(s);
}

const msub__yamux_ops msub__stream_yamux_ops = {
  .on_open = on_open, .on_data = on_data, .on_fin = on_fin, .on_end = on_end, .on_writable = on_writable
};
