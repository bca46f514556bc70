#include <string.h>
#include "base/assert.h"
#include "host/exchange_state.h"

static const msub__stream_ops out_ops;

/* ---- protocols ---- */

msub__xproto *msub__xproto_find(const msub_host *h, msub_bytes protocol) {
  for (size_t i = 0; i < h->exchange.n_protos; i++) {
    msub__xproto *p = h->exchange.protos[i];
    if (msub_bytes_eq(protocol, (msub_bytes){ (const uint8_t *)p->text, p->n })) return p;
  }
  return NULL;
}

size_t msub__exchange_list(const msub_host *h, msub_bytes *out, size_t cap) {
  size_t n = h->exchange.n_protos < cap ? h->exchange.n_protos : cap;
  for (size_t i = 0; i < n; i++) out[i] = msub_str(h->exchange.protos[i]->text);
  return n;
}

/* ---- queues ---- */

static msub_bytes protocol_of(const msub__xqueue *q) {
  return (msub_bytes){ (const uint8_t *)q->protocol, q->protocol_n };
}

static msub__xqueue *queue_of(msub__peer *p, bool inbound, msub_bytes protocol) {
  for (msub__node *n = p->exchange.next; n != &p->exchange; n = n->next) {
    msub__xqueue *q = MSUB__OF(n, msub__xqueue, of_peer);
    if (q->inbound == inbound && msub_bytes_eq(protocol_of(q), protocol)) return q;
  }
  msub__xqueue *q = msub__zalloc(&p->host->mem, 1, sizeof *q + protocol.n + 1);
  if (!q) return NULL;
  q->peer = p;
  q->id = p->id;
  q->inbound = inbound;
  q->protocol_n = protocol.n;
  memcpy(q->protocol, protocol.p, protocol.n);
  msub__list_init(&q->running);
  msub__list_init(&q->waiting);
  msub__list_init(&q->in_stuck);
  msub__list_init(&q->of_peer);
  msub__list_push(&p->exchange, &q->of_peer);
  return q;
}

static void release_queue(msub_host *h, msub__xqueue *q) {
  if (--q->uses > 0) return;
  msub__list_remove(&q->of_peer);
  msub__list_remove(&q->in_stuck);
  msub__free(&h->mem, q, sizeof *q + q->protocol_n + 1);
}

/* ---- a stream's life ---- */

static void late(msub__timer *t) {
  msub_stream *st = MSUB__OF(t, msub_stream, timer);
  st->host->counts.exchange_late++;
  msub__xstream_end(st, MSUB_END_DEADLINE);
}

int msub__xstream_new(msub__peer *p, bool inbound, msub_bytes protocol, msub_stream **out) {
  msub_host *h = p->host;
  msub_stream *st = msub__zalloc(&h->mem, 1, sizeof *st);
  if (!st) return MSUB_ERR_NOMEM;
  st->q = queue_of(p, inbound, protocol);
  if (!st->q) {
    msub__free(&h->mem, st, sizeof *st);
    return MSUB_ERR_NOMEM;
  }
  st->q->uses++;
  st->host = h;
  msub__list_init(&st->in_queue);
  msub__list_init(&st->in_due);
  msub__list_init(&st->in_all);
  msub__list_push(&h->exchange.all, &st->in_all);
  msub__list_push(&st->q->waiting, &st->in_queue);
  msub__timer_init(&st->timer, late);
  *out = st;
  return MSUB_OK;
}

/* n bytes were written, or are lost. Streams of the peer that had no room get their turn. */
static void less_queued(msub_stream *st, size_t n) {
  msub__peer *p = st->q->peer;
  if (st->full && !st->ended) msub__xstream_mark(st);
  if (!p || n == 0) return;
  p->exchange_bytes -= n;
  if (!p->exchange_full || p->exchange_bytes > MSUB__HOST_EXCHANGE_PEER_BYTES / 2) return;
  p->exchange_full = false;
  for (msub__node *i = p->exchange.next; i != &p->exchange; i = i->next) {
    msub__xqueue *q = MSUB__OF(i, msub__xqueue, of_peer);
    msub__node *const lists[] = { &q->running, &q->waiting };
    for (size_t k = 0; k < 2; k++) {
      for (msub__node *x = lists[k]->next; x != lists[k]; x = x->next) {
        msub_stream *other = MSUB__OF(x, msub_stream, in_queue);
        if (other->full) msub__xstream_mark(other);
      }
    }
  }
}

static void drop_out(msub_stream *st) {
  size_t n = msub__buf_len(&st->out);
  msub__buf_fini(&st->out, &st->host->mem);
  less_queued(st, n);
}

void msub__xstream_free(msub_stream *st) {
  msub_host *h = st->host;
  drop_out(st);
  msub__timer_stop(h->wheel, &st->timer);
  if (st->runs) st->q->n_running--;
  msub__list_remove(&st->in_queue);
  msub__list_remove(&st->in_due);
  msub__list_remove(&st->in_all);
  release_queue(h, st->q);
  msub__free(&h->mem, st, sizeof *st);
}

void msub__xstream_mark(msub_stream *st) {
  msub_host *h = st->host;
  if (msub__list_empty(&st->in_due)) msub__list_push(&h->exchange.due, &st->in_due);
  if (!h->in_turn) msub__wake_signal(&h->wake);
}

void msub__xstream_end(msub_stream *st, msub_end why) {
  msub__stream *s = st->s;
  if (st->ended) return;
  st->ended = true;
  st->why = why;
  st->s = NULL;
  drop_out(st);
  msub__timer_stop(st->host->wheel, &st->timer);
  msub__xstream_mark(st);
  if (!s) return;
  s->own = NULL;
  msub__stream_reset(s, MSUB_OK);
}

size_t msub__xstream_room(const msub_stream *st) {
  const msub__peer *p = st->q->peer;
  size_t held = msub__buf_len(&st->out);
  if (st->ended || st->finished || !p || held >= MSUB__HOST_EXCHANGE_BYTES) return 0;
  size_t room = MSUB__HOST_EXCHANGE_BYTES - held;
  if (p->exchange_bytes < MSUB__HOST_EXCHANGE_PEER_BYTES) return room;
  /* The peer's budget is spent, maybe by streams that wait for this one: it must be able to go on. */
  return held == 0 ? MSUB__HOST_EXCHANGE_LEAST : 0;
}

/* ---- places ---- */

static void take_place(msub_stream *st) {
  msub__xqueue *q = st->q;
  msub__list_remove(&st->in_queue);
  msub__list_push(&q->running, &st->in_queue);
  q->n_running++;
  st->runs = true;
}

static void try_again(msub__xqueue *q) {
  msub_host *h = q->peer->host;
  if (msub__list_empty(&q->in_stuck)) msub__list_push(&h->exchange.stuck, &q->in_stuck);
  if (!msub__timer_running(&h->exchange.retry))
    msub__timer_start(h->wheel, &h->exchange.retry, msub__deadline(h->now.mono_ns, MSUB__HOST_EXCHANGE_RETRY_NS));
}

int msub__xstream_begin(msub_stream *st) {
  msub__xqueue *q = st->q;
  msub__conn *c = q->peer ? msub__peer_newest(q->peer) : NULL;
  if (!c) return MSUB_ERR_NOTFOUND;
  if (q->n_running >= MSUB__HOST_EXCHANGE_RUNNING) return MSUB_ERR_LIMIT;
  int err = msub__stream_dial(c, protocol_of(q), &out_ops, st, &st->s);
  if (err == MSUB_ERR_LIMIT) try_again(q);
  if (err != MSUB_OK) return err;
  msub__stream_deadline(st->s, MSUB_NEVER); /* ours holds for the negotiation too */
  take_place(st);
  st->host->counts.exchange_opened++;
  if (st->finished)
    msub__stream_finish(st->s);
  else
    msub__stream_wants_write(st->s);
  return MSUB_OK;
}

void msub__xstream_finish(msub_stream *st) {
  if (st->ended || st->finished) return;
  st->finished = true;
  if (st->s) msub__stream_finish(st->s);
}

static void told_finish(msub_stream *st) {
  if (st->h.on_finish)
    st->h.on_finish(st->word, st);
  else
    msub__xstream_finish(st);
}

/* An inbound stream gets its place: the program hears of it. */
static void serve(msub_stream *st) {
  msub_host *h = st->host;
  const msub__xproto *p = msub__xproto_find(h, protocol_of(st->q));
  if (!p) {
    msub__xstream_end(st, MSUB_END_RESET);
    return;
  }
  take_place(st);
  h->counts.exchange_served++;
  st->h = p->h;
  st->word = p->h.on_open(p->ud, st, msub_peer_id_bytes(&st->q->id));
  if (!st->word) {
    msub__xstream_end(st, MSUB_END_RESET);
    return;
  }
  st->told = true;
  if (st->ended) return;
  if (st->fin_came) {
    told_finish(st);
  } else if (msub__yamux_unread(st->s->y) > 0) { /* came while it waited */
    st->asked = true;
    msub__xstream_mark(st);
  }
}

static bool alive(const msub__xqueue *q) { return q->peer && msub__peer_newest(q->peer); }

/* Those that wait, as far as there is room. */
static void fill_places(msub_host *h, msub__xqueue *q) {
  msub__node *n;
  q->uses++; /* nobody frees it under us */
  while (q->n_running < MSUB__HOST_EXCHANGE_RUNNING && alive(q) && (n = msub__list_first(&q->waiting))) {
    msub_stream *st = MSUB__OF(n, msub_stream, in_queue);
    if (st->ended) {
      msub__list_remove(n);
    } else if (q->inbound) {
      serve(st);
    } else {
      int err = msub__xstream_begin(st);
      if (err == MSUB_ERR_LIMIT) break;
      if (err != MSUB_OK) {
        msub__list_remove(n);
        msub__xstream_end(st, err == MSUB_ERR_NOMEM ? MSUB_END_RESET : MSUB_END_GONE);
      }
    }
  }
  release_queue(h, q);
}

static void retry(msub__timer *t) {
  msub_host *h = MSUB__OF(t, msub_host, exchange.retry);
  msub__exchange *x = &h->exchange;
  msub__node now;
  if (msub__list_empty(&x->stuck)) return;
  msub__list_insert(&x->stuck, &now);
  msub__list_remove(&x->stuck);
  for (msub__node *n; (n = msub__list_first(&now));) {
    msub__xqueue *q = MSUB__OF(n, msub__xqueue, in_stuck);
    msub__list_remove(n);
    fill_places(h, q);
  }
}

/* ---- what is due ---- */

static void read_again(msub_stream *st) {
  msub__conn *c = st->s->conn;
  st->asked = st->stopped = false;
  if (c->failed) return;
  msub__yamux_read(st->s->y);
  if (!c->failed && !c->credit && msub__yamux_reading(c->yamux)) msub__conn_resume(c);
  msub__conn_dirty(c); /* credit for the peer */
}

static void bury(msub_stream *st) {
  msub__xqueue *q = st->q;
  if (st->told) st->h.on_end(st->word, st, st->why);
  q->uses++;
  msub_host *h = st->host;
  msub__xstream_free(st);
  fill_places(h, q);
  release_queue(h, q);
}

static void tend(msub_stream *st) {
  if (!st->ended && st->told && st->asked && st->s) read_again(st);
  size_t held = msub__buf_len(&st->out);
  if (!st->ended && st->full && held <= MSUB__HOST_EXCHANGE_BYTES / 2 && msub__xstream_room(st) > 0) {
    st->full = false;
    if (st->h.on_writable) st->h.on_writable(st->word, st);
  }
  if (!st->ended) return;
  msub__list_remove(&st->in_due);
  bury(st);
}

bool msub__exchange_step(msub_host *h) {
  msub__node now, *due = &h->exchange.due;
  if (msub__list_empty(due)) return false;
  msub__list_insert(due, &now); /* takes the whole list: what is marked meanwhile waits for the next round */
  msub__list_remove(due);
  for (msub__node *n; (n = msub__list_first(&now));) {
    msub__list_remove(n);
    tend(MSUB__OF(n, msub_stream, in_due));
  }
  return !msub__list_empty(due);
}

/* ---- yamux's side ---- */

static size_t stream_data(msub__stream *s, msub_bytes in) {
  msub_stream *st = s->own;
  if (!st->told || st->stopped) return 0;
  size_t n = st->h.on_data(st->word, st, in);
  if (st->ended) return in.n;
  if (n < in.n) st->stopped = true;
  return n < in.n ? n : in.n;
}

static void stream_fin(msub__stream *s) {
  msub_stream *st = s->own;
  if (st->told)
    told_finish(st);
  else
    st->fin_came = true;
}

static void stream_end(msub__stream *s, int why) {
  msub_stream *st = s->own;
  if (!st) return;
  st->s = NULL;
  if (s->conn->failed)
    msub__xstream_end(st, MSUB_END_GONE);
  else
    msub__xstream_end(st, why == MSUB_OK ? MSUB_END_FINISHED : MSUB_END_RESET);
}

static void out_refused(msub__stream *s) { msub__xstream_end(s->own, MSUB_END_UNSUPPORTED); }

static size_t stream_pending(const msub__stream *s) {
  const msub_stream *st = s->own;
  return st ? msub__buf_len(&st->out) : 0;
}

static void stream_pull(msub__stream *s, uint8_t *dst, size_t n) {
  msub_stream *st = s->own;
  msub_bytes b = msub__buf_unread(&st->out);
  MSUB__INVARIANT(n <= b.n);
  memcpy(dst, b.p, n);
  msub__buf_consume(&st->out, n);
  if (n == b.n) msub__buf_fini(&st->out, &st->host->mem);
  less_queued(st, n);
}

static void in_agreed(msub__stream *s, msub_bytes protocol) {
  msub_host *h = s->conn->host;
  msub_stream *st;
  if (msub__xstream_new(s->conn->peer, true, protocol, &st) != MSUB_OK) {
    msub__stream_reset(s, MSUB_ERR_NOMEM);
    return;
  }
  st->s = s;
  s->own = st;
  msub__timer_start(h->wheel, &st->timer, msub__deadline(h->now.mono_ns, MSUB__HOST_EXCHANGE_NS));
  if (st->q->n_running >= MSUB__HOST_EXCHANGE_RUNNING) h->counts.exchange_waited++;
  fill_places(h, st->q);
}

static const msub__stream_ops out_ops = { .name = "exchange",
                                          .on_refused = out_refused,
                                          .on_data = stream_data,
                                          .on_fin = stream_fin,
                                          .on_end = stream_end,
                                          .pending = stream_pending,
                                          .pull = stream_pull };
static const msub__stream_ops in_ops = { .name = "exchange",
                                         .on_agreed = in_agreed,
                                         .on_data = stream_data,
                                         .on_fin = stream_fin,
                                         .on_end = stream_end,
                                         .pending = stream_pending,
                                         .pull = stream_pull };

const msub__stream_ops *msub__exchange_find(const msub_host *h, msub_bytes token, msub_bytes *id) {
  const msub__xproto *p = msub__xproto_find(h, token);
  if (!p) return NULL;
  *id = (msub_bytes){ (const uint8_t *)p->text, p->n };
  return &in_ops;
}

/* ---- ends ---- */

void msub__exchange_peer_gone(msub__peer *p) {
  for (msub__node *n; (n = msub__list_first(&p->exchange));) {
    msub__xqueue *q = MSUB__OF(n, msub__xqueue, of_peer);
    q->uses++;
    msub__list_remove(n);
    msub__list_remove(&q->in_stuck);
    for (msub__node *x = q->waiting.next; x != &q->waiting; x = x->next)
      msub__xstream_end(MSUB__OF(x, msub_stream, in_queue), MSUB_END_GONE);
    q->peer = NULL;
    release_queue(p->host, q);
  }
}

void msub__exchange_init(msub_host *h) {
  msub__list_init(&h->exchange.due);
  msub__list_init(&h->exchange.all);
  msub__list_init(&h->exchange.stuck);
  msub__timer_init(&h->exchange.retry, retry);
}

void msub__exchange_fini(msub_host *h) {
  while (!msub__list_empty(&h->exchange.all)) {
    for (msub__node *n = h->exchange.all.next; n != &h->exchange.all; n = n->next)
      msub__xstream_end(MSUB__OF(n, msub_stream, in_all), MSUB_END_GONE);
    (void)msub__exchange_step(h);
  }
  if (h->wheel) msub__timer_stop(h->wheel, &h->exchange.retry);
  while (h->exchange.n_protos > 0) {
    msub__xproto *p = h->exchange.protos[--h->exchange.n_protos];
    msub__free(&h->mem, p, sizeof *p + p->n + 1);
  }
}
