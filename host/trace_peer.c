/* host/trace_peer.c: events to a collector.
 *
 *   event ─▶ record ─▶ front (bounded) ── swap ──▶ back ── a batch at a time ──▶ deflate ─▶ out ─▶ stream
 *
 * In both pieces stand entries of a TraceEventBatch: tag, length, record. Half of the bound each. */
#include <string.h>
#include <zlib.h>
#include "base/deadline.h"
#include "base/mem.h"
#include "meshsub/rpc.h"
#include "meshsub/trace_peer.h"

#define BUFFER_MIN ((size_t)64 << 10)
#define BUFFER_MAX ((size_t)1 << 30)
#define FIRST_BYTES ((size_t)4 << 10)
#define OUT_BYTES ((size_t)16 << 10)
#define BATCH_BYTES ((size_t)512 << 10) /* collectors read messages of 4 MiB at most; one record may be longer than this, and is a batch then */
#define BATCH_EVENTS 16u
#define BATCH_AGE MSUB__S
#define STREAM_NS (24 * 3600 * MSUB__S) /* then another one is opened */
#define ENTRY_TAG 0x0a
#define ENTRY_HEAD_MAX 11u

typedef struct piece {
  uint8_t *p;
  size_t n, cap;
  uint64_t events, since; /* since: when the first one came */
} piece;
/* HEAD, BODY: of the batch in hand. TAIL: the end of gzip. ENDING: all is written. */
typedef enum stage { IDLE, HEAD, BODY, TAIL, ENDING } stage;

struct msub_trace_peer {
  msub_mem mem;
  msub_exchange ex;
  uint8_t id[128], id_n;
  size_t bound; /* of a piece */
  uint64_t retry_ns, retry_at;
  msub_trace_peer_counts counts;
  piece front, back;
  size_t back_at; /* batches before are through */
  uint64_t batch_events;
  size_t batch_n;
  uint8_t head[MSUB_FRAME_PREFIX_MAX];
  uint8_t *record;
  size_t record_cap;
  msub_stream *stream;
  bool finishing, no_way;
  stage at;
  z_stream z;
  uint8_t out[OUT_BYTES];
  size_t out_n, out_at;
};

/* ---- out ---- */

/* Entries from back_at on that make the next batch. */
static void cut_batch(msub_trace_peer *t) {
  const piece *b = &t->back;
  size_t at = t->back_at;
  t->batch_events = 0;
  while (at < b->n) {
    uint64_t len;
    int k = msub_varint_get((msub_bytes){ b->p + at + 1, b->n - at - 1 }, &len);
    size_t entry = 1 + (size_t)k + (size_t)len;
    if (t->batch_events && at + entry - t->back_at > BATCH_BYTES) break;
    at += entry;
    t->batch_events++;
  }
  t->batch_n = at - t->back_at;
}

static bool ripe(const msub_trace_peer *t) {
  const piece *f = &t->front;
  return f->events >= BATCH_EVENTS || (f->events && (t->finishing || t->ex.ops->now(t->ex.x) - f->since >= BATCH_AGE));
}

/* The next thing to deflate; false: there is none now. */
static bool next_stage(msub_trace_peer *t) {
  if (t->at == HEAD) {
    t->at = BODY;
    t->z.next_in = t->back.p + t->back_at;
    t->z.avail_in = (uInt)t->batch_n;
    return true;
  }
  if (t->at == BODY) {
    t->at = IDLE;
    t->back_at += t->batch_n;
    t->back.events -= t->batch_events;
    t->counts.sent += t->batch_events;
  }
  if (t->back_at == t->back.n && ripe(t)) {
    piece done = t->back;
    t->back = t->front;
    t->front = (piece){ .p = done.p, .cap = done.cap };
    t->back_at = 0;
  }
  if (t->back_at < t->back.n) {
    cut_batch(t);
    t->at = HEAD;
    t->z.next_in = t->head;
    t->z.avail_in = (uInt)msub_varint_put(t->head, t->batch_n);
    return true;
  }
  if (!t->finishing) return false;
  if (t->at == IDLE) {
    t->at = TAIL;
    return true;
  }
  t->at = ENDING;
  t->ex.ops->finish(t->ex.x, t->stream);
  return false;
}

static void pump(msub_trace_peer *t) {
  while (t->stream && t->at != ENDING) {
    if (t->out_at < t->out_n) {
      size_t k = t->ex.ops->write(t->ex.x, t->stream, (msub_bytes){ t->out + t->out_at, t->out_n - t->out_at });
      t->out_at += k;
      t->counts.bytes += k;
      if (t->out_at < t->out_n) return; /* on_writable comes */
    }
    if (t->at == IDLE && !next_stage(t)) return;
    t->z.next_out = t->out;
    t->z.avail_out = (uInt)OUT_BYTES;
    int rc = deflate(&t->z, t->at == HEAD ? Z_NO_FLUSH : t->at == BODY ? Z_SYNC_FLUSH : Z_FINISH);
    t->out_n = OUT_BYTES - t->z.avail_out;
    t->out_at = 0;
    bool more = t->at == TAIL ? rc != Z_STREAM_END || t->out_n > 0 : t->z.avail_out == 0 || t->out_n > 0;
    if (!more && !next_stage(t)) return;
  }
}

static size_t on_data(void *word, msub_stream *s, msub_bytes b) {
  (void)word, (void)s;
  return b.n; /* a collector has nothing to say */
}
static void on_writable(void *word, msub_stream *s) {
  (void)s;
  pump(word);
}
static void on_finish(void *word, msub_stream *s) {
  msub_trace_peer *t = word;
  if (t->at != ENDING) t->ex.ops->reset(t->ex.x, s); /* it takes no more */
}
static void on_end(void *word, msub_stream *s, msub_end why) {
  msub_trace_peer *t = word;
  (void)s, (void)why;
  t->stream = NULL;
  if (t->at == HEAD || t->at == BODY) {
    t->counts.lost += t->batch_events;
    t->back.events -= t->batch_events;
    t->back_at += t->batch_n;
  }
  t->no_way = t->finishing;
  t->at = IDLE;
  t->retry_at = t->ex.ops->now(t->ex.x) + t->retry_ns;
}
static const msub_stream_handler handler = { .abi = MSUB_ABI, .size = sizeof handler, .on_data = on_data, .on_finish = on_finish, .on_writable = on_writable,
                                             .on_end = on_end };

void msub_trace_peer_turn(msub_trace_peer *t) {
  if (!t->stream && !(t->finishing && t->no_way)) {
    uint64_t now = t->ex.ops->now(t->ex.x);
    if (!t->finishing && now < t->retry_at) return;
    int rc = t->ex.ops->open(t->ex.x, (msub_bytes){ t->id, t->id_n }, MSUB_TRACE_PROTOCOL, now + STREAM_NS, &handler, t, &t->stream);
    if (rc != MSUB_OK) t->stream = NULL;
    t->no_way = rc != MSUB_OK;
    if (rc == MSUB_OK) {
      (void)deflateReset(&t->z);
      t->z.avail_in = 0;
      t->out_n = t->out_at = 0;
      t->counts.streams++;
    }
  }
  pump(t);
}

/* ---- in ---- */

static uint8_t *room(msub_trace_peer *t, size_t n) {
  if (n <= t->record_cap) return t->record;
  size_t more = n < 1024 ? 1024 : n + n / 2;
  msub__free(&t->mem, t->record, t->record_cap);
  t->record = msub__alloc(&t->mem, more);
  t->record_cap = t->record ? more : 0;
  return t->record;
}

static bool append(msub_trace_peer *t, msub_bytes record) {
  piece *f = &t->front;
  size_t most = record.n + ENTRY_HEAD_MAX;
  if (most > t->bound - f->n) return false;
  if (most > f->cap - f->n) {
    size_t cap = f->cap ? f->cap : FIRST_BYTES;
    while (cap < f->n + most) cap *= 2;
    if (cap > t->bound) cap = t->bound;
    uint8_t *p = msub__realloc(&t->mem, f->p, f->cap, cap);
    if (!p) return false;
    f->p = p;
    f->cap = cap;
  }
  if (!f->events++) f->since = t->ex.ops->now(t->ex.x);
  f->p[f->n++] = ENTRY_TAG;
  f->n += msub_varint_put(f->p + f->n, record.n);
  memcpy(f->p + f->n, record.p, record.n);
  f->n += record.n;
  return true;
}

void msub_trace_peer_add(msub_trace_peer *t, const struct msub_engine *e, const msub_event *ev) {
  if (t->finishing) return;
  size_t n = msub_trace_record(e, ev, false, t->record, t->record_cap);
  if (n == 0) return;
  bool fits = n <= t->bound;
  if (fits && n > t->record_cap && (fits = room(t, n) != NULL)) n = msub_trace_record(e, ev, false, t->record, t->record_cap);
  if (fits && append(t, (msub_bytes){ t->record, n })) t->counts.events++;
  else t->counts.lost++;
}

/* ---- its life ---- */

void msub_trace_peer_opts_init(msub_trace_peer_opts *o) {
  *o = (msub_trace_peer_opts){ .size = sizeof *o, .buffer_bytes = (size_t)2 << 20, .retry_ns = 10 * MSUB__S };
}

int msub_trace_peer_new(const msub_trace_peer_opts *o, msub_trace_peer **out) {
  if (o->size != sizeof *o || !o->exchange.ops || !o->peer_id.n || o->peer_id.n > sizeof ((msub_trace_peer *)0)->id || o->buffer_bytes < BUFFER_MIN ||
      o->buffer_bytes > BUFFER_MAX || o->retry_ns < MSUB__MS || o->retry_ns > 365 * 24 * 3600 * MSUB__S)
    return MSUB_ERR_INVAL;
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  msub_trace_peer *t = msub__zalloc(&mem, 1, sizeof *t);
  if (!t) return MSUB_ERR_NOMEM;
  if (deflateInit2(&t->z, 4, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) { /* 16: a gzip head */
    msub__free(&mem, t, sizeof *t);
    return MSUB_ERR_NOMEM;
  }
  t->mem = mem;
  t->ex = o->exchange;
  memcpy(t->id, o->peer_id.p, o->peer_id.n);
  t->id_n = (uint8_t)o->peer_id.n;
  t->bound = o->buffer_bytes / 2;
  t->retry_ns = o->retry_ns;
  *out = t;
  return MSUB_OK;
}

void msub_trace_peer_finish(msub_trace_peer *t) {
  t->finishing = true;
  msub_trace_peer_turn(t);
}

bool msub_trace_peer_done(const msub_trace_peer *t) { return t->finishing && !t->stream; }

void msub_trace_peer_count(const msub_trace_peer *t, msub_trace_peer_counts *out) {
  *out = t->counts;
  if (msub_trace_peer_done(t)) out->lost += t->front.events + t->back.events;
}

int msub_trace_peer_free(msub_trace_peer *t) {
  if (!t) return MSUB_OK;
  if (t->stream) return MSUB_ERR_STATE;
  msub_mem mem = t->mem;
  (void)deflateEnd(&t->z);
  msub__free(&mem, t->front.p, t->front.cap);
  msub__free(&mem, t->back.p, t->back.cap);
  msub__free(&mem, t->record, t->record_cap);
  msub__free(&mem, t, sizeof *t);
  return MSUB_OK;
}
