#include <string.h>
#include "host/ping.h"

/* ---- answering ---- */

static void serve_agreed(msub__stream *s, msub_bytes protocol) {
  (void)protocol;
  s->own = s->conn;
  s->conn->ping_in++;
  msub__stream_deadline(s, MSUB__HOST_PING_IDLE_NS);
}

/* Whole pings only. A peer that sends more and more of them without reading an echo has gone too far. */
static size_t serve_data(msub__stream *s, msub_bytes in) {
  size_t n = in.n - in.n % MSUB__PING_BYTES;
  if (n == 0) return 0;
  if (msub__buf_len(&s->out) + n > MSUB__HOST_PING_QUEUED) {
    msub__stream_reset(s, MSUB_ERR_LIMIT);
    return in.n;
  }
  if (msub__stream_write(s, (msub_bytes){ in.p, n }) != MSUB_OK) {
    msub__stream_reset(s, MSUB_ERR_NOMEM);
    return in.n;
  }
  msub__stream_deadline(s, MSUB__HOST_PING_IDLE_NS);
  return n;
}

static void serve_fin(msub__stream *s) { msub__stream_finish(s); }
static void serve_end(msub__stream *s, int why) {
  (void)why;
  if (s->own) s->conn->ping_in--;
}

const msub__stream_ops msub__ping_serve_ops = {
  .name = "ping", .on_agreed = serve_agreed, .on_data = serve_data, .on_fin = serve_fin, .on_end = serve_end
};

/* ---- asking ---- */

typedef struct ping {
  void (*done)(void *ud, uint64_t rtt_ns);
  void *ud;
  uint64_t sent;
  size_t got;
  uint8_t bytes[MSUB__PING_BYTES];
} ping;

/* The clock is read here: what the turn did before must not count. */
static void send_now(msub__stream *s) {
  ping *p = s->own;
  msub__tick(s->conn->host);
  p->sent = s->conn->host->now.mono_ns;
}

static void ask_agreed(msub__stream *s, msub_bytes protocol) {
  (void)protocol;
  ping *p = s->own;
  send_now(s);
  msub__stream_deadline(s, MSUB__HOST_PING_NS);
  if (msub__stream_write(s, (msub_bytes){ p->bytes, sizeof p->bytes }) != MSUB_OK)
    msub__stream_reset(s, MSUB_ERR_NOMEM);
}

static void tell(ping *p, uint64_t rtt) {
  void (*done)(void *, uint64_t) = p->done;
  p->done = NULL;
  if (done) done(p->ud, rtt);
}

static size_t ask_data(msub__stream *s, msub_bytes in) {
  ping *p = s->own;
  msub_host *h = s->conn->host;
  size_t n = in.n;
  if (n > MSUB__PING_BYTES - p->got || memcmp(p->bytes + p->got, in.p, n) != 0) {
    msub__stream_fault(s, "the echo is not what was sent");
    return in.n;
  }
  p->got += n;
  if (p->got < MSUB__PING_BYTES) return n;
  msub__tick(h);
  msub__stream_finish(s);
  tell(p, h->now.mono_ns - p->sent);
  return n;
}

static void ask_fin(msub__stream *s) {
  ping *p = s->own;
  if (p->done) msub__stream_reset(s, MSUB_ERR_CLOSED);
}

static void ask_end(msub__stream *s, int why) {
  (void)why;
  ping *p = s->own;
  if (!p) return;
  s->own = NULL;
  s->conn->host->n_pings--;
  tell(p, MSUB_NEVER);
  msub__free(&s->conn->host->mem, p, sizeof *p);
}

static const msub__stream_ops ask_ops = {
  .name = "ping", .on_agreed = ask_agreed, .on_data = ask_data, .on_fin = ask_fin, .on_end = ask_end
};

int msub__ping_send(msub__conn *c, void (*done)(void *ud, uint64_t rtt_ns), void *ud) {
  msub_host *h = c->host;
  msub__stream *s;
  if (h->n_pings >= MSUB__HOST_PINGS) return MSUB_ERR_LIMIT;
  ping *p = msub__zalloc(&h->mem, 1, sizeof *p);
  if (!p) return MSUB_ERR_NOMEM;
  *p = (ping){ .done = done, .ud = ud };
  int err = msub__random(p->bytes, sizeof p->bytes);
  if (err == MSUB_OK) err = msub__stream_dial(c, msub_str(MSUB__PING_ID), &ask_ops, p, &s);
  if (err != MSUB_OK) {
    msub__free(&h->mem, p, sizeof *p);
    return err;
  }
  h->n_pings++;
  return MSUB_OK;
}
