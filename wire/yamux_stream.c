/* wire/yamux_stream.c: the table of streams, and a stream's life from opening to its last byte. */
#include <string.h>
#include "base/assert.h"
#include "wire/yamux_state.h"

/* The place of the first id that is not below `id`. */
static uint32_t place(const msub__yamux *y, uint32_t id) {
  uint32_t lo = 0, hi = y->n;
  if (hi > 0 && y->streams[hi - 1]->id < id) return hi;
  while (lo < hi) {
    uint32_t mid = lo + (hi - lo) / 2;
    if (y->streams[mid]->id < id)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo;
}

msub__ystream *msub__yamux_find(const msub__yamux *y, uint32_t id) {
  uint32_t at = place(y, id);
  return at < y->n && y->streams[at]->id == id ? y->streams[at] : NULL;
}

msub__ystream *msub__yamux_after(const msub__yamux *y, uint32_t id) {
  uint32_t at = id < UINT32_MAX ? place(y, id + 1) : y->n;
  return at < y->n ? y->streams[at] : NULL;
}

msub__ystream *msub__yamux_add(msub__yamux *y, uint32_t id, uint16_t flags) {
  if (y->n == y->cap) {
    uint32_t cap = y->cap ? y->cap * 2 : 4;
    msub__ystream **grown =
        msub__realloc(&y->mem, y->streams, y->cap * sizeof(msub__ystream *), cap * sizeof(msub__ystream *));
    if (!grown) return NULL;
    y->streams = grown;
    y->cap = cap;
  }
  msub__ystream *s = msub__alloc(&y->mem, sizeof *s);
  if (!s) return NULL;
  *s = (msub__ystream){ .y = y,
                        .id = id,
                        .flags = flags,
                        .window = MSUB__YAMUX_WINDOW,
                        .recv_left = MSUB__YAMUX_WINDOW,
                        .send_left = MSUB__YAMUX_WINDOW,
                        .epoch_ns = y->now_ns,
                        .since_ns = y->now_ns };
  msub__list_init(&s->node);
  uint32_t at = place(y, id);
  memmove(y->streams + at + 1, y->streams + at, (y->n - at) * sizeof(msub__ystream *));
  y->streams[at] = s;
  y->n++;
  if (flags & Y_INBOUND)
    y->counts.inbound++;
  else
    y->counts.outbound++;
  if (flags & Y_UNACKED) y->counts.unacked++;
  return s;
}

static void take_out(msub__ystream *s) {
  msub__yamux *y = s->y;
  uint32_t at = place(y, s->id);
  MSUB__INVARIANT(at < y->n && y->streams[at] == s);
  y->n--;
  memmove(y->streams + at, y->streams + at + 1, (y->n - at) * sizeof(msub__ystream *));
  if (s->flags & Y_INBOUND)
    y->counts.inbound--;
  else
    y->counts.outbound--;
  if (s->flags & Y_UNACKED) y->counts.unacked--;
  if (s->flags & Y_ASKED) y->n_asked--;
  if (y->body == s) y->body = NULL; /* the rest of its frame is dropped: a reader must never see a gap */
}

void msub__yamux_mark(msub__ystream *s, uint16_t due) {
  s->flags |= due;
  if (s->flags & Y_LISTED) return;
  s->flags |= Y_LISTED;
  msub__list_push(&s->y->due, &s->node);
  s->y->n_due++;
}

void msub__yamux_unmark(msub__ystream *s, uint16_t due) {
  s->flags &= (uint16_t)~due;
  if (!(s->flags & Y_LISTED) || (s->flags & Y_DUE)) return;
  s->flags &= (uint16_t)~Y_LISTED;
  msub__list_remove(&s->node);
  s->y->n_due--;
}

void msub__yamux_unbuffer(msub__ystream *s, size_t n) {
  msub__yamux *y = s->y;
  MSUB__INVARIANT(n <= y->buffered);
  y->buffered -= n;
  if (y->shared) {
    MSUB__INVARIANT(n <= y->shared->buffered);
    y->shared->buffered -= n;
  }
}

void msub__yamux_destroy(msub__ystream *s) {
  msub__yamux *y = s->y;
  msub__list_remove(&s->node);
  msub__buf_fini(&s->unread, &y->mem);
  msub__free(&y->mem, s, sizeof *s);
}

void msub__yamux_kill(msub__ystream *s, bool rst) {
  msub__yamux *y = s->y;
  take_out(s);
  msub__yamux_unbuffer(s, msub__buf_len(&s->unread));
  if (y->showing != s) msub__buf_fini(&s->unread, &y->mem); /* a callback may still look at its bytes */
  bool told = !(s->flags & Y_SYN);
  s->flags |= Y_DEAD;
  msub__yamux_unmark(s, Y_DUE);
  if (rst && told)
    msub__yamux_mark(s, Y_RST);
  else if (y->busy)
    msub__list_push(&y->graves, &s->node);
  else
    msub__yamux_destroy(s);
}

void msub__yamux_end(msub__ystream *s, int why, bool rst) {
  msub__yamux *y = s->y;
  MSUB__INVARIANT(y->busy && y->showing == NULL);
  msub__yamux_kill(s, rst);
  y->ops->on_end(y->ud, s, why);
}

void msub__yamux_credit(msub__ystream *s) {
  if (s->flags & (Y_FIN_SEEN | Y_CREDIT | Y_DEAD)) return;
  size_t taken = s->window - s->recv_left - msub__buf_len(&s->unread);
  if (taken >= s->window / 2) msub__yamux_mark(s, Y_CREDIT);
}

void msub__yamux_settle_fin(msub__ystream *s) {
  msub__yamux *y = s->y;
  if ((s->flags & (Y_FIN_SEEN | Y_FIN_TOLD)) == Y_FIN_SEEN && msub__buf_len(&s->unread) == 0) {
    s->flags |= Y_FIN_TOLD;
    msub__yamux_unmark(s, Y_CREDIT); /* nothing more comes */
    y->ops->on_fin(y->ud, s);
    if (s->flags & Y_DEAD) return;
  }
  if ((s->flags & Y_FIN_SENT) && (s->flags & Y_FIN_TOLD)) msub__yamux_end(s, MSUB_OK, false);
}

void msub__yamux_show(msub__ystream *s) {
  msub__yamux *y = s->y;
  msub_bytes all = msub__buf_unread(&s->unread);
  if (all.n > 0) {
    y->showing = s;
    size_t taken = y->ops->on_data(y->ud, s, all);
    y->showing = NULL;
    if (s->flags & Y_DEAD) {
      msub__buf_fini(&s->unread, &y->mem);
      return;
    }
    MSUB__INVARIANT(taken <= all.n);
    msub__buf_consume(&s->unread, taken);
    msub__yamux_unbuffer(s, taken);
    if (taken == all.n) msub__buf_fini(&s->unread, &y->mem); /* an idle stream keeps no buffer */
    msub__yamux_credit(s);
  }
  msub__yamux_settle_fin(s);
}
