/* store/memory.c: the store of tests, simulations and programs that need no disk. Keys: versions.h.
 *
 *   queue   batch │ sync │ batch │ … ──▶ turn(): the front one is due: its versions become the durable values,
 *                                        or, when it fails, they are taken out; then on_durable
 *
 *   log     ├─ kept for a crash ─┤├─────── read ───────┤
 *           durable.first        first   durable.next  next */

#include <string.h>
#include "base/assert.h"
#include "base/deadline.h"
#include "base/mem.h"
#include "base/ring.h"
#include "meshsub/store.h"
#include "store/versions.h"

typedef struct record {
  uint8_t *p;
  size_t n;
} record;

typedef struct range {
  uint64_t first, next;
} range;

typedef struct waiting {
  msub_token token;
  uint64_t delay, due; /* due: set by the first turn that sees it */
  int result;
  bool sync;
  msub__version *batch; /* in the order of the batch */
  range log;      /* of a sync: as it was then */
} waiting;

struct msub_store_memory {
  msub__versions v;
  msub_store_memory_opts o;
  uint64_t delay;
  uint64_t fail_after; /* batches and syncs that still succeed */
  int fail_with;       /* 0: all do */
  bool hang, in_turn;
  msub__ring queue; /* waiting */
  uint32_t dated;   /* of these have a due time */
  msub__ring log;   /* record; the front one has offset `durable.first` */
  range shown, durable;
  void (*listener)(void *ud, msub_token token, int result);
  void *listener_ud;
};

/* ---- keys ---- */

static const msub__version *visible(const msub__entry *e) {
  const msub__version *v = msub__entry_shown(e);
  return v && v->put ? v : NULL;
}

static int get(void *s, msub_bytes key, msub_bytes *value) {
  const msub_store_memory *m = s;
  const msub__entry *e = msub__versions_find(&m->v, key);
  const msub__version *v = e ? visible(e) : NULL;
  if (!v) return MSUB_ERR_NOTFOUND;
  *value = (msub_bytes){ v->bytes, v->n };
  return MSUB_OK;
}

typedef struct walker {
  bool (*fn)(void *ud, msub_bytes key, msub_bytes value);
  void *ud;
} walker;

static bool visit(void *ud, const msub__tree_node *n) {
  const walker *w = ud;
  const msub__version *v = visible(msub__entry_of(n));
  return !v || w->fn(w->ud, n->key, (msub_bytes){ v->bytes, v->n });
}

static int iterate(void *s, msub_bytes prefix, bool (*fn)(void *ud, msub_bytes key, msub_bytes value), void *ud) {
  const msub_store_memory *m = s;
  walker w = { fn, ud };
  (void)msub__tree_walk(m->v.keys, prefix, visit, &w);
  return MSUB_OK;
}

/* ---- batches ---- */

/* Room in the queue; what it holds is filled in by the caller, who cannot fail any more. */
static int queue_slot(msub_store_memory *m, waiting **out) {
  if (m->queue.n >= m->o.max_waiting) return MSUB_ERR_LIMIT;
  *out = msub__ring_push(&m->queue, &m->v.mem);
  return *out ? MSUB_OK : MSUB_ERR_NOMEM;
}

static int fate(msub_store_memory *m) {
  if (m->fail_with == 0) return MSUB_OK;
  if (m->fail_after == 0) return m->fail_with;
  m->fail_after--;
  return MSUB_OK;
}

static int submit(void *s, const msub_store_op *ops, size_t n, msub_token token) {
  msub_store_memory *m = s;
  msub__version *batch;
  waiting *w;
  int err = msub__batch_new(&m->v, ops, n, &batch);
  if (err != MSUB_OK) return err;
  err = queue_slot(m, &w);
  if (err != MSUB_OK) {
    msub__batch_drop(&m->v, batch);
    return err;
  }
  msub__batch_show(batch);
  *w = (waiting){ .token = token, .delay = m->delay, .result = fate(m), .batch = batch };
  return MSUB_OK;
}

/* ---- the log ---- */

static int log_append(void *s, msub_bytes bytes, uint64_t *offset) {
  msub_store_memory *m = s;
  if (bytes.n > MSUB_STORE_VALUE_MAX || bytes.n > m->o.max_bytes || !msub__versions_fit(&m->v, bytes.n + sizeof(record))) return MSUB_ERR_LIMIT;
  uint8_t *p = bytes.n > 0 ? msub__versions_take(&m->v, bytes.n) : NULL;
  if (bytes.n > 0 && !p) return MSUB_ERR_NOMEM;
  record *r = msub__ring_push(&m->log, &m->v.mem);
  if (!r) {
    msub__versions_give(&m->v, p, bytes.n);
    return MSUB_ERR_NOMEM;
  }
  if (bytes.n > 0) memcpy(p, bytes.p, bytes.n);
  *r = (record){ p, bytes.n };
  m->v.bytes += sizeof *r;
  *offset = m->shown.next++;
  return MSUB_OK;
}

static int log_sync(void *s, msub_token token) {
  msub_store_memory *m = s;
  waiting *w = NULL;
  int err = queue_slot(m, &w);
  if (err != MSUB_OK) return err;
  *w = (waiting){ .token = token, .delay = m->delay, .result = fate(m), .sync = true, .log = m->shown };
  return MSUB_OK;
}

static msub_bytes record_at(const msub_store_memory *m, uint64_t offset) {
  const record *r = msub__ring_at(&m->log, (uint32_t)(offset - m->durable.first));
  return (msub_bytes){ r->p, r->n };
}

static int log_read(void *s, uint64_t offset, msub_bytes *out) {
  const msub_store_memory *m = s;
  if (offset < m->shown.first || offset >= m->shown.next) return MSUB_ERR_NOTFOUND;
  *out = record_at(m, offset);
  return MSUB_OK;
}

static int log_iterate(void *s, uint64_t from, bool (*fn)(void *ud, uint64_t offset, msub_bytes record), void *ud) {
  const msub_store_memory *m = s;
  if (from < m->shown.first) from = m->shown.first;
  for (uint64_t at = from; at < m->shown.next; at++) {
    if (!fn(ud, at, record_at(m, at))) break;
  }
  return MSUB_OK;
}

static int log_truncate(void *s, uint64_t first) {
  msub_store_memory *m = s;
  if (first > m->shown.next) return MSUB_ERR_INVAL;
  if (first > m->shown.first) m->shown.first = first;
  return MSUB_OK;
}

static void log_range(void *s, uint64_t *first, uint64_t *next) {
  const msub_store_memory *m = s;
  *first = m->shown.first;
  *next = m->shown.next;
}

static void drop_record(msub_store_memory *m) {
  record *r = msub__ring_front(&m->log);
  msub__versions_give(&m->v, r->p, r->n);
  m->v.bytes -= sizeof *r;
  msub__ring_pop(&m->log);
}

static void settle_log(msub_store_memory *m, range log) {
  while (m->durable.first < log.first) {
    drop_record(m);
    m->durable.first++;
  }
  m->durable.next = log.next;
}

/* ---- turns ---- */

static void listen(void *s, void (*on_durable)(void *ud, msub_token token, int result), void *ud) {
  msub_store_memory *m = s;
  m->listener = on_durable;
  m->listener_ud = ud;
}

static void settle(msub_store_memory *m, const waiting *w) {
  bool ok = w->result == MSUB_OK;
  msub__batch_settle(&m->v, w->batch, ok);
  if (w->sync && ok) settle_log(m, w->log);
}

/* A submission brings no time, so the first turn after it is when its delay begins. */
static void date(msub_store_memory *m, uint64_t now_ns) {
  for (; m->dated < m->queue.n; m->dated++) {
    waiting *w = msub__ring_at(&m->queue, m->dated);
    w->due = msub__deadline(now_ns, w->delay);
  }
}

static void turn(void *s, const msub_now *now) {
  msub_store_memory *m = s;
  if (m->in_turn) return;
  m->in_turn = true;
  date(m, now->mono_ns);
  for (uint32_t n = m->dated; n > 0 && !m->hang; n--) { /* what is submitted meanwhile has to wait for the next turn */
    waiting w = *(waiting *)msub__ring_front(&m->queue);
    if (!msub__passed(w.due, now->mono_ns)) break;
    msub__ring_pop(&m->queue);
    m->dated--;
    settle(m, &w);
    if (m->listener) m->listener(m->listener_ud, w.token, w.result);
  }
  m->in_turn = false;
}

static uint64_t next_deadline(const void *s) {
  const msub_store_memory *m = s;
  if (m->queue.n == 0 || m->hang) return MSUB_NEVER;
  return m->dated < m->queue.n ? 0 : ((const waiting *)msub__ring_front(&m->queue))->due;
}

static const msub_store_ops ops = MSUB__STORE_OPS;

/* ---- life ---- */

void msub_store_memory_opts_init(msub_store_memory_opts *o) {
  *o = (msub_store_memory_opts){ .size = sizeof *o, .max_bytes = (size_t)64 << 20, .max_waiting = 1024 };
}

int msub_store_memory_new(const msub_store_memory_opts *o, const msub_now *now, msub_store_memory **out) {
  (void)now;
  if (o->size != sizeof *o) return MSUB_ERR_INVAL;
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  msub_store_memory *m = msub__zalloc(&mem, 1, sizeof *m);
  if (!m) return MSUB_ERR_NOMEM;
  m->v = (msub__versions){ .mem = mem, .keep = true, .max_bytes = o->max_bytes };
  m->o = *o;
  m->o.mem = &m->v.mem;
  m->delay = o->delay_ns;
  msub__ring_init(&m->queue, sizeof(waiting));
  msub__ring_init(&m->log, sizeof(record));
  *out = m;
  return MSUB_OK;
}

void msub_store_memory_free(msub_store_memory *m) {
  if (!m) return;
  MSUB__INVARIANT(!m->in_turn);
  for (waiting *w; (w = msub__ring_front(&m->queue));) {
    waiting lost = *w;
    lost.result = MSUB_ERR_CLOSED;
    msub__ring_pop(&m->queue);
    settle(m, &lost);
  }
  msub__versions_fini(&m->v);
  while (m->log.n > 0) drop_record(m);
  MSUB__INVARIANT(m->v.bytes == 0);
  msub__ring_fini(&m->queue, &m->v.mem);
  msub__ring_fini(&m->log, &m->v.mem);
  msub_mem mem = m->v.mem;
  msub__free(&mem, m, sizeof *m);
}

msub_store msub_store_memory_store(msub_store_memory *m) { return (msub_store){ &ops, m }; }

void msub_store_memory_delay(msub_store_memory *m, uint64_t delay_ns) { m->delay = delay_ns; }

void msub_store_memory_fail(msub_store_memory *m, uint64_t n, int err) {
  m->fail_after = n;
  m->fail_with = err;
}

void msub_store_memory_hang(msub_store_memory *m, bool on) { m->hang = on; }

/* ---- a crash ---- */

typedef struct copier {
  msub_store_memory *to;
  int err;
} copier;

static bool copy_key(void *ud, const msub__tree_node *n) {
  copier *c = ud;
  const msub__version *v = msub__entry_of(n)->durable;
  msub__version *copy;
  if (!v) return true;
  msub_store_op op = { true, n->key, { v->bytes, v->n } };
  c->err = msub__batch_new(&c->to->v, &op, 1, &copy);
  if (c->err != MSUB_OK) return false;
  msub__batch_show(copy);
  msub__batch_settle(&c->to->v, copy, true);
  return true;
}

int msub_store_memory_crashed(const msub_store_memory *m, msub_store_memory **out) {
  copier c = { NULL, MSUB_OK };
  msub_store_memory_opts o = m->o;
  msub_now never = { 0, 0 };
  uint64_t offset;
  c.err = msub_store_memory_new(&o, &never, &c.to);
  if (c.err != MSUB_OK) return c.err;
  (void)msub__tree_walk(m->v.keys, (msub_bytes){ NULL, 0 }, copy_key, &c);
  c.to->shown = c.to->durable = (range){ m->durable.first, m->durable.first };
  for (uint64_t at = m->durable.first; at < m->durable.next && c.err == MSUB_OK; at++)
    c.err = log_append(c.to, record_at(m, at), &offset);
  if (c.err != MSUB_OK) {
    msub_store_memory_free(c.to);
    return c.err;
  }
  c.to->durable = c.to->shown;
  *out = c.to;
  return MSUB_OK;
}
