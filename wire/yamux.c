/* wire/yamux.c: the session as its owner sees it: making and ending it, opening and closing streams. */
#include "wire/yamux.h"
#include "base/assert.h"
#include "wire/yamux_state.h"

int msub__yamux_new(const msub__yamux_options *o, uint64_t now_ns, msub__yamux **out) {
  const msub__yamux_ops *ops = o->ops;
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  if (!ops || !ops->on_data || !ops->on_fin || !ops->on_end) return MSUB_ERR_INVAL;
  msub__yamux *y = msub__alloc(&mem, sizeof *y);
  if (!y) return MSUB_ERR_NOMEM;
  *y = (msub__yamux){ .mem = mem,
                      .ops = ops,
                      .ud = o->ud,
                      .shared = o->shared,
                      .initiator = o->initiator,
                      .max_inbound = o->max_inbound ? o->max_inbound : MSUB__YAMUX_INBOUND_MAX,
                      .next_id = o->initiator ? 1 : 2,
                      .now_ns = now_ns,
                      .heard_ns = now_ns,
                      .full_until = MSUB_NEVER,
                      .drain_until = MSUB_NEVER,
                      .sweep_ns = MSUB_NEVER };
  msub__list_init(&y->due);
  msub__list_init(&y->graves);
  *out = y;
  return MSUB_OK;
}

static void destroy_all(msub__node *list) {
  msub__node *n;
  while ((n = msub__list_first(list)) != NULL) msub__yamux_destroy(MSUB__OF(n, msub__ystream, node));
}

int msub__yamux_close(msub__yamux *y, int why) {
  if (y->busy) return MSUB_ERR_STATE;
  if (y->closed) return MSUB_OK;
  if (!y->err) y->err = MSUB_ERR_CLOSED;
  msub__yamux_enter(y, y->now_ns);
  while (y->n > 0) msub__yamux_end(y->streams[0], why, false);
  y->busy = false;
  y->closed = true;
  destroy_all(&y->due); /* the owner's own resets */
  destroy_all(&y->graves);
  y->n_due = 0;
  return MSUB_OK;
}

void msub__yamux_free(msub__yamux *y) {
  if (!y) return;
  MSUB__INVARIANT(!y->busy);
  while (y->n > 0) msub__yamux_kill(y->streams[y->n - 1], false);
  destroy_all(&y->due);
  msub__free(&y->mem, y->streams, y->cap * sizeof(msub__ystream *));
  msub_mem mem = y->mem;
  msub__free(&mem, y, sizeof *y);
}

/* ---- streams ---- */

static void half_open_from_now(msub__ystream *s) {
  msub__yamux *y = s->y;
  s->since_ns = y->now_ns;
  y->sweep_ns = msub__sooner(y->sweep_ns, msub__deadline(y->now_ns, MSUB__YAMUX_HALF_OPEN_NS));
}

int msub__yamux_open(msub__yamux *y, void *word, msub__ystream **out) {
  if (y->err || y->goaway_seen || y->goaway_said || y->next_id > UINT32_MAX - 2) return MSUB_ERR_CLOSED;
  if (y->counts.outbound >= MSUB__YAMUX_OUTBOUND_MAX || y->counts.unacked >= MSUB__YAMUX_UNACKED_MAX)
    return MSUB_ERR_LIMIT;
  msub__ystream *s = msub__yamux_add(y, y->next_id, Y_SYN | Y_UNACKED);
  if (!s) return MSUB_ERR_NOMEM;
  y->next_id += 2;
  s->word = word;
  half_open_from_now(s);
  y->counts.opened++;
  *out = s;
  return MSUB_OK;
}

void msub__yamux_announce(msub__ystream *s) {
  if ((s->flags & (Y_SYN | Y_DEAD)) == Y_SYN) msub__yamux_mark(s, Y_ANNOUNCE);
}

void msub__yamux_finish(msub__ystream *s) {
  if (s->flags & (Y_FIN | Y_FIN_SENT | Y_DEAD)) return;
  msub__yamux_mark(s, Y_FIN);
  half_open_from_now(s);
}

void msub__yamux_reset(msub__ystream *s) {
  if (!(s->flags & Y_DEAD)) msub__yamux_kill(s, true);
}

void msub__yamux_read(msub__ystream *s) {
  msub__yamux *y = s->y;
  if (y->err || (s->flags & (Y_DEAD | Y_ASKED))) return;
  if (y->busy) {
    s->flags |= Y_ASKED;
    y->n_asked++;
    return;
  }
  msub__yamux_enter(y, y->now_ns);
  msub__yamux_show(s);
  msub__yamux_leave(y);
}

void *msub__yamux_word(const msub__ystream *s) { return s->word; }
void msub__yamux_set_word(msub__ystream *s, void *word) { s->word = word; }
uint32_t msub__yamux_id(const msub__ystream *s) { return s->id; }
msub__yamux *msub__yamux_of(const msub__ystream *s) { return s->y; }
bool msub__yamux_is_inbound(const msub__ystream *s) { return s->flags & Y_INBOUND; }
size_t msub__yamux_unread(const msub__ystream *s) { return msub__buf_len(&s->unread); }

/* ---- the session ---- */

void msub__yamux_goaway(msub__yamux *y, uint32_t code) {
  if (y->err || y->goaway_said) return;
  y->goaway_said = y->goaway_due = true;
  y->goaway_code = code;
}

void msub__yamux_ping(msub__yamux *y) {
  if (y->err || y->ping != PING_NONE) return;
  y->ping = PING_DUE;
  y->ping_ns = y->now_ns;
}

uint64_t msub__yamux_rtt(const msub__yamux *y) { return y->rtt_ns; }

void msub__yamux_count(const msub__yamux *y, msub__yamux_counts *out) {
  *out = y->counts;
  out->buffered = y->buffered;
  out->bytes = sizeof *y + y->cap * sizeof(msub__ystream *) + y->n * sizeof(msub__ystream);
  for (uint32_t i = 0; i < y->n; i++) out->bytes += y->streams[i]->unread.cap;
  for (msub__node *n = y->due.next; n != &y->due; n = n->next) {
    /* a reset stream that waits for its RST to be written */
    if (MSUB__OF(n, msub__ystream, node)->flags & Y_DEAD) out->bytes += sizeof(msub__ystream);
  }
}
