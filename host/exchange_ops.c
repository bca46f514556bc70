/* host/exchange_ops.c: the exchange as the program calls it. */
#include <string.h>
#include "host/exchange_state.h"
#include "host/handlers.h"
#include "host/identify.h"

/* A handler of an older header is shorter: what it lacks is NULL. */
static bool take_handler(const msub_stream_handler *from, msub_stream_handler *to) {
  if (from->abi != MSUB_ABI || from->size < offsetof(msub_stream_handler, on_open)) return false;
  memset(to, 0, sizeof *to);
  memcpy(to, from, from->size < sizeof *to ? from->size : sizeof *to);
  return to->on_data && to->on_end;
}

static bool is_protocol(msub_bytes id) {
  return id.n > 0 && id.n <= MSUB__MSS_TOKEN_MAX && !memchr(id.p, '\n', id.n);
}

/* ---- serving ---- */

/* Streams that are open stay; those that wait were promised nothing. */
static void unserve(msub_host *h, const msub__xproto *p) {
  for (size_t i = 0; i < h->n_peers; i++) {
    msub__node *all = &h->peers[i]->exchange;
    for (msub__node *n = all->next; n != all; n = n->next) {
      msub__xqueue *q = MSUB__OF(n, msub__xqueue, of_peer);
      if (!q->inbound || q->protocol_n != p->n || memcmp(q->protocol, p->text, p->n) != 0) continue;
      for (msub__node *x = q->waiting.next; x != &q->waiting; x = x->next)
        msub__xstream_end(MSUB__OF(x, msub_stream, in_queue), MSUB_END_RESET);
    }
  }
}

static int op_serve(void *x, const char *protocol, const msub_stream_handler *handler, void *ud) {
  msub_host *h = x;
  msub__exchange *e = &h->exchange;
  msub_bytes id = msub_str(protocol);
  msub_stream_handler copy;
  if (!is_protocol(id)) return MSUB_ERR_INVAL;
  msub__xproto *p = msub__xproto_find(h, id);
  if (!handler) {
    if (!p) return MSUB_OK;
    size_t at = 0;
    while (e->protos[at] != p) at++;
    memmove(e->protos + at, e->protos + at + 1, (--e->n_protos - at) * sizeof *e->protos);
    unserve(h, p);
    msub__free(&h->mem, p, sizeof *p + p->n + 1);
    msub__identify_changed(h);
    return MSUB_OK;
  }
  if (p || msub__handlers_own(h, id)) return MSUB_ERR_CLAIMED;
  if (!take_handler(handler, &copy) || !copy.on_open) return MSUB_ERR_INVAL;
  if (e->n_protos == MSUB__HOST_EXCHANGE_PROTOCOLS) return MSUB_ERR_LIMIT;
  p = msub__zalloc(&h->mem, 1, sizeof *p + id.n + 1);
  if (!p) return MSUB_ERR_NOMEM;
  p->h = copy;
  p->ud = ud;
  p->n = id.n;
  memcpy(p->text, id.p, id.n);
  e->protos[e->n_protos++] = p;
  msub__identify_changed(h);
  return MSUB_OK;
}

/* ---- asking ---- */

static int op_open(void *x, msub_bytes peer_id, const char *protocol, uint64_t deadline_ns,
                   const msub_stream_handler *handler, void *word, msub_stream **out) {
  msub_host *h = x;
  msub_bytes id = msub_str(protocol);
  msub_stream_handler copy;
  msub_stream *st;
  if (!is_protocol(id) || !handler || !take_handler(handler, &copy)) return MSUB_ERR_INVAL;
  msub__peer *p = msub__peers_find(h, peer_id);
  if (!p || !msub__peer_newest(p)) return MSUB_ERR_NOTFOUND;
  int err = msub__xstream_new(p, false, id, &st);
  if (err != MSUB_OK) return err;
  st->h = copy;
  st->word = word;
  bool first = msub__list_first(&st->q->waiting) == &st->in_queue;
  err = first ? msub__xstream_begin(st) : MSUB_ERR_LIMIT;
  if (err != MSUB_OK && err != MSUB_ERR_LIMIT) {
    msub__xstream_free(st);
    return err == MSUB_ERR_CLOSED ? MSUB_ERR_NOTFOUND : err;
  }
  st->told = true;
  msub__timer_start(h->wheel, &st->timer, deadline_ns);
  *out = st;
  return MSUB_OK;
}

/* ---- streams ---- */

static size_t op_write(void *x, msub_stream *st, msub_bytes b) {
  msub_host *h = x;
  msub__peer *p = st->q->peer;
  if (st->ended || st->finished || !p) return 0;
  size_t n = msub__xstream_room(st);
  if (n > b.n) n = b.n;
  if (n > 0 && msub__buf_append(&st->out, &h->mem, (msub_bytes){ b.p, n }) != MSUB_OK) {
    msub__xstream_end(st, MSUB_END_RESET);
    return 0;
  }
  p->exchange_bytes += n;
  if (n < b.n) {
    st->full = true;
    p->exchange_full |= p->exchange_bytes >= MSUB__HOST_EXCHANGE_PEER_BYTES;
  }
  if (n > 0 && st->s) msub__stream_wants_write(st->s);
  return n;
}

static void op_want_read(void *x, msub_stream *st) {
  (void)x;
  if (st->ended) return;
  st->asked = true;
  msub__xstream_mark(st);
}

static void op_finish(void *x, msub_stream *st) {
  (void)x;
  msub__xstream_finish(st);
}

static void op_reset(void *x, msub_stream *st) {
  (void)x;
  msub__xstream_end(st, MSUB_END_CANCELLED);
}

static void op_deadline(void *x, msub_stream *st, uint64_t deadline_ns) {
  msub_host *h = x;
  if (!st->ended) msub__timer_start(h->wheel, &st->timer, deadline_ns);
}

static uint64_t op_now(void *x) {
  msub_host *h = x;
  if (!h->in_turn && !h->in_engine) msub__tick(h);
  return h->now.mono_ns;
}

const msub_exchange_ops msub__exchange_ops = { .abi = MSUB_ABI,
                                               .size = sizeof(msub_exchange_ops),
                                               .serve = op_serve,
                                               .open = op_open,
                                               .write = op_write,
                                               .want_read = op_want_read,
                                               .finish = op_finish,
                                               .reset = op_reset,
                                               .deadline = op_deadline,
                                               .now = op_now };

msub_exchange msub_host_exchange(msub_host *h) { return (msub_exchange){ &msub__exchange_ops, h }; }
