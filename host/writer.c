/* host/writer.c: what a connection has to say, as noise records.
 *
 *   record   │ len │ yamux control frames │ header │ ≤ 16 KiB of a stream │ header │ … next stream │ … │
 * control (FIN) │ tag │
 *
 * Streams take turns frame by frame. A record is filled in place and sealed in place: what a stream pulls
 * from its lanes is copied once, into the record. While a send is outstanding nothing is built, so that what
 * comes meanwhile shares the next one. */
#include <string.h>
#include "base/assert.h"
#include "host/conn.h"
#include "host/session.h"
#include "host/stream.h"

#define SMALL_FRAME 512u /* a rest of a record that is not worth a frame's header, when more is to come */

void msub__conn_dirty(msub__conn *c) {
  if (c->failed || !msub__list_empty(&c->in_dirty)) return;
  msub__list_push(&c->host->dirty, &c->in_dirty);
  if (!c->host->in_turn) msub__wake_signal(&c->host->wake); /* the program published between two turns */
}

/* One Data frame of a stream. Returns its bytes; 0: it has nothing to say or may not speak, and is out of the
 * list. */
static size_t put_frame(msub__conn *c, msub__stream *s, uint8_t *dst, size_t cap) {
  size_t n = msub__stream_pending(s), room = msub__yamux_room(s->y);
  bool last = n <= room;
  msub__list_remove(&s->writing);
  if (n > 0 && room == 0) {
    s->blocked = true;
    if (!s->mss && s->ops->on_blocked) s->ops->on_blocked(s, true);
    return 0;
  }
  if (n > room) n = room;
  if (n > MSUB__YAMUX_FRAME_MAX) n = MSUB__YAMUX_FRAME_MAX, last = false;
  if (n > cap - MSUB__YAMUX_HEADER) n = cap - MSUB__YAMUX_HEADER, last = false;
  if (n > 0) {
    int err = msub__yamux_data_header(s->y, dst, (uint32_t)n);
    MSUB__INVARIANT(err == MSUB_OK);
    msub__stream_pull(s, dst + MSUB__YAMUX_HEADER, n);
  }
  if (last && s->fin)
    msub__yamux_finish(s->y);
  else if (msub__stream_pending(s) > 0)
    msub__list_push(&c->writers, &s->writing);
  return n > 0 ? n + MSUB__YAMUX_HEADER : 0;
}

/* Plaintext of the next record. */
static size_t fill(msub__conn *c, uint8_t *dst, size_t cap) {
  uint64_t now = c->host->now.mono_ns;
  size_t at = msub__yamux_output(c->yamux, now, dst, cap);
  for (msub__node *n; (n = msub__list_first(&c->writers)) && cap - at > MSUB__YAMUX_HEADER;) {
    msub__stream *s = MSUB__OF(n, msub__stream, writing);
    size_t rest = cap - at - MSUB__YAMUX_HEADER;
    if (at > 0 && rest < SMALL_FRAME && msub__stream_pending(s) > rest) break;
    at += put_frame(c, s, dst + at, cap - at);
  }
  return at + msub__yamux_output(c->yamux, now, dst + at, cap - at); /* FINs of what was put */
}

static void give_back(msub_host *h, msub__block *list) {
  for (msub__block *next; list; list = next) {
    next = list->next;
    msub__block_give(h, list);
  }
}

/* The next block to send; NULL: nothing more, or the connection failed. */
static msub__block *next_block(msub__conn *c) {
  msub_bytes raw = msub__buf_unread(&c->raw);
  if (raw.n == 0 && c->state != MSUB__CONN_OPEN) return NULL;
  msub__block *b = msub__block_take(c->host);
  if (!b) {
    msub__conn_fail(c, MSUB_ERR_NOMEM, "out of memory");
    return NULL;
  }
  if (raw.n > 0) {
    b->n = raw.n < sizeof b->bytes ? raw.n : sizeof b->bytes;
    memcpy(b->bytes, raw.p, b->n);
    msub__buf_consume(&c->raw, b->n);
    if (b->n == raw.n) msub__buf_fini(&c->raw, &c->host->mem);
    return b;
  }
  size_t n = fill(c, b->bytes + MSUB__NOISE_HEAD, MSUB__NOISE_PLAIN_MAX);
  int size = n > 0 ? msub__noise_seal(c->noise, b->bytes, n) : 0;
  if (size <= 0) {
    msub__block_give(c->host, b);
    if (size < 0) msub__conn_fail(c, size, "a record could not be sealed");
    return NULL;
  }
  b->n = (size_t)size;
  c->host->counts.records_out++;
  return b;
}

void msub__conn_flush(msub__conn *c) {
  msub_host *h = c->host;
  if (c->sending || c->failed || c->state == MSUB__CONN_DIALING) return;
  msub_bytes iov[MSUB__HOST_SEND_RECORDS + 1];
  msub__block *first = NULL, **last = &first;
  size_t n = 0, bytes = 0;
  size_t most = MSUB__HOST_SEND_RECORDS + (msub__buf_len(&c->raw) > 0); /* what stands before the records is none */
  for (msub__block *b; n < most && (b = next_block(c)); n++) {
    iov[n] = (msub_bytes){ b->bytes, b->n };
    bytes += b->n;
    *last = b;
    last = &b->next;
  }
  if (n == 0) return;
  int err = c->failed ? MSUB_ERR_CLOSED : h->tr->send(h->tr_self, c->tr, iov, n);
  if (err != MSUB_OK) {
    give_back(h, first);
    /* STALE: the transport has already closed it and says so in an event */
    if (err != MSUB_ERR_STALE) msub__conn_fail(c, err, "writing failed");
    return;
  }
  c->sending = true;
  c->flying = first;
  c->flying_n = bytes;
  c->sent_at = h->now.mono_ns;
  h->counts.writes++;
  msub__conn_rearm(c);
}

void msub__conn_flush_all(msub_host *h) {
  for (msub__node *n; (n = msub__list_first(&h->dirty));) {
    msub__conn *c = MSUB__OF(n, msub__conn, in_dirty);
    msub__list_remove(n);
    if (c->over) {
      msub__conn_last_words(c);
      continue;
    }
    msub__conn_flush(c);
    if (c->peer) msub__sess_flushed(c);
    if (c->state == MSUB__CONN_OPEN && !c->failed && !c->credit && msub__yamux_reading(c->yamux))
      msub__conn_resume(c);
  }
}

void msub__conn_sent(msub__conn *c) {
  c->host->counts.bytes_out += c->flying_n;
  c->sending = false;
  c->flying_n = 0;
  give_back(c->host, c->flying);
  c->flying = NULL;
  if (c->failed) return;
  if (c->peer) msub__sess_sent(c);
  msub__conn_rearm(c);
  msub__conn_dirty(c);
}

bool msub__conn_idle(const msub__conn *c) {
  if (c->over) return true;
  if (c->sending || msub__buf_len(&c->raw) > 0) return false;
  if (c->state != MSUB__CONN_OPEN) return true;
  return msub__list_empty(&c->writers) && msub__yamux_pending(c->yamux) == 0;
}
