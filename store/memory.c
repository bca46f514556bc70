/* store/memory.c: the store of tests, simulations and programs that need no disk.
 *
 *   key ── durable value ── versions of batches that wait, oldest first ──▶ reads see the last one
 *
 *   queue   batch │ sync │ batch │ … ──▶ turn(): the front one is due: its versions become the durable values,
 *                                        or, when it fails, they are taken out; then on_durable
 *
 *   log     ├─ kept for a crash ─┤├─────── read ───────┤
 *           durable.first        first   durable.next  next
 *
 * What waits is settled in order, so the versions of the front batch are the oldest ones of their keys, and taking
 * them out leaves those of later batches as they are. */
#include <string.h>
#include "base/assert.h"
#include "base/deadline.h"
#include "base/mem.h"
#include "base/ring.h"
#include "meshsub/store.h"
#include "store/tree.h"

#define KEY_MAX 512u
#define VALUE_MAX ((size_t)16 << 20)

typedef struct entry entry;

typedef struct version {
  struct version *newer;    /* of the same key */
  struct version *in_batch; /* the next one of its batch */
  entry *of;
  bool put; /* false: the key goes */
  size_t n;
  uint8_t bytes[];
} version;

struct entry {
  msub__tree_node node;
  version *durable;       /* NULL: not there */
  version *oldest, *last; /* that wait; NULL: none */
  size_t uses;            /* versions that wait, or are about to */
  uint8_t key[];
};

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
  version *batch; /* in the order of the batch */
  range log;      /* of a sync: as it was then */
} waiting;

struct msub_store_memory {
  msub_mem mem;
  msub_store_memory_opts o;
  uint64_t delay;
  uint64_t fail_after; /* batches and syncs that still succeed */
  int fail_with;       /* 0: all do */
  bool hang, in_turn;
  size_t bytes;
  msub__tree_node *keys;
  msub__ring queue; /* waiting */
  uint32_t dated;   /* of these have a due time */
  msub__ring log;   /* record; the front one has offset `durable.first` */
  range shown, durable;
  void (*listener)(void *ud, msub_token token, int result);
  void *listener_ud;
};

/* ---- memory that counts ---- */

static void *take(msub_store_memory *m, size_t n) {
  void *p = msub__alloc(&m->mem, n);
  if (p) m->bytes += n;
  return p;
}

static void give(msub_store_memory *m, void *p, size_t n) {
  if (!p) return;
  m->bytes -= n;
  msub__free(&m->mem, p, n);
}

static bool fits(const msub_store_memory *m, size_t n) {
  return m->bytes <= m->o.max_bytes && n <= m->o.max_bytes - m->bytes;
}

/* ---- keys ---- */

static entry *entry_of(const msub__tree_node *n) {
  return (entry *)(void *)((char *)(uintptr_t)n - offsetof(entry, node));
}

static entry *find(const msub_store_memory *m, msub_bytes key) {
  msub__tree_node *n = msub__tree_find(m->keys, key);
  return n ? entry_of(n) : NULL;
}

static entry *entry_new(msub_store_memory *m, msub_bytes key) {
  entry *e = take(m, sizeof *e + key.n);
  if (!e) return NULL;
  *e = (entry){ .node = { .key = { e->key, key.n } } };
  memcpy(e->key, key.p, key.n);
  msub__tree_insert(&m->keys, &e->node);
  return e;
}

static void free_version(msub_store_memory *m, version *v) {
  if (v) give(m, v, sizeof *v + v->n);
}

/* One use less; the entry goes when nothing is left of it. */
static void let_go(msub_store_memory *m, entry *e) {
  e->uses--;
  if (e->uses > 0 || e->durable) return;
  msub__tree_remove(&m->keys, &e->node);
  give(m, e, sizeof *e + e->node.key.n);
}

/* What a read sees; NULL: no such key. */
static const version *visible(const entry *e) {
  const version *v = e->last ? e->last : e->durable;
  return v && v->put ? v : NULL;
}

static int get(void *s, msub_bytes key, msub_bytes *value) {
  const entry *e = find(s, key);
  const version *v = e ? visible(e) : NULL;
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
  const version *v = visible(entry_of(n));
  return !v || w->fn(w->ud, n->key, (msub_bytes){ v->bytes, v->n });
}

static int iterate(void *s, msub_bytes prefix, bool (*fn)(void *ud, msub_bytes key, msub_bytes value), void *ud) {
  const msub_store_memory *m = s;
  walker w = { fn, ud };
  (void)msub__tree_walk(m->keys, prefix, visit, &w);
  return MSUB_OK;
}

/* ---- batches ---- */

static int check_op(const msub_store_op *op) {
  if (op->key.n == 0 || op->key.n > KEY_MAX) return MSUB_ERR_LIMIT;
  return op->put && op->value.n > VALUE_MAX ? MSUB_ERR_LIMIT : MSUB_OK;
}

/* A version that is in no chain yet. */
static version *version_new(msub_store_memory *m, const msub_store_op *op, entry *e) {
  size_t n = op->put ? op->value.n : 0;
  version *v = take(m, sizeof *v + n);
  if (!v) return NULL;
  *v = (version){ .of = e, .put = op->put, .n = n };
  if (n > 0) memcpy(v->bytes, op->value.p, n);
  e->uses++;
  return v;
}

static int add_op(msub_store_memory *m, const msub_store_op *op, version **out) {
  entry *e = find(m, op->key);
  *out = NULL;
  if (!e && !op->put) return MSUB_OK; /* never there, whatever becomes of the batches that wait */
  size_t need = sizeof(version) + op->value.n + (e ? 0 : sizeof *e + op->key.n);
  if (op->put && !fits(m, need)) return MSUB_ERR_LIMIT; /* a full store can still be made emptier */
  bool made = !e;
  if (made && !(e = entry_new(m, op->key))) return MSUB_ERR_NOMEM;
  *out = version_new(m, op, e);
  if (*out) return MSUB_OK;
  if (made) {
    e->uses = 1;
    let_go(m, e);
  }
  return MSUB_ERR_NOMEM;
}

static void drop_batch(msub_store_memory *m, version *batch) {
  for (version *v = batch, *next; v; v = next) {
    next = v->in_batch;
    entry *e = v->of;
    free_version(m, v);
    let_go(m, e);
  }
}

static void show_batch(version *batch) {
  for (version *v = batch; v; v = v->in_batch) {
    entry *e = v->of;
    if (e->last)
      e->last->newer = v;
    else
      e->oldest = v;
    e->last = v;
  }
}

/* Room in the queue; what it holds is filled in by the caller, who cannot fail any more. */
static int queue_slot(msub_store_memory *m, waiting **out) {
  if (m->queue.n >= m->o.max_waiting) return MSUB_ERR_LIMIT;
  *out = msub__ring_push(&m->queue, &m->mem);
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
  version *batch = NULL, **end = &batch;
  int err = MSUB_OK;
  for (size_t i = 0; i < n && err == MSUB_OK; i++) err = check_op(&ops[i]);
  if (err != MSUB_OK) return err;
  for (size_t i = 0; i < n && err == MSUB_OK; i++) {
    err = add_op(m, &ops[i], end);
    if (*end) end = &(*end)->in_batch;
  }
  waiting *w = NULL;
  if (err == MSUB_OK) err = queue_slot(m, &w);
  if (err != MSUB_OK) {
    drop_batch(m, batch);
    return err;
  }
  show_batch(batch);
  *w = (waiting){ .token = token, .delay = m->delay, .result = fate(m), .batch = batch };
  return MSUB_OK;
}

/* The oldest version of its key becomes the durable one, or is gone as if it had never been. */
static void settle_version(msub_store_memory *m, version *v, bool ok) {
  entry *e = v->of;
  MSUB__INVARIANT(e->oldest == v);
  e->oldest = v->newer;
  if (!e->oldest) e->last = NULL;
  if (ok) {
    free_version(m, e->durable);
    e->durable = v->put ? v : NULL;
  }
  if (!ok || !v->put) free_version(m, v);
  let_go(m, e);
}

/* ---- the log ---- */

static int log_append(void *s, msub_bytes bytes, uint64_t *offset) {
  msub_store_memory *m = s;
  if (bytes.n > m->o.max_bytes || !fits(m, bytes.n + sizeof(record))) return MSUB_ERR_LIMIT;
  uint8_t *p = bytes.n > 0 ? take(m, bytes.n) : NULL;
  if (bytes.n > 0 && !p) return MSUB_ERR_NOMEM;
  record *r = msub__ring_push(&m->log, &m->mem);
  if (!r) {
    give(m, p, bytes.n);
    return MSUB_ERR_NOMEM;
  }
  if (bytes.n > 0) memcpy(p, bytes.p, bytes.n);
  *r = (record){ p, bytes.n };
  m->bytes += sizeof *r;
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
  give(m, r->p, r->n);
  m->bytes -= sizeof *r;
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
  for (version *v = w->batch, *next; v; v = next) {
    next = v->in_batch;
    settle_version(m, v, ok);
  }
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

static const msub_store_ops ops = { .abi = MSUB_ABI,
                                    .size = sizeof(msub_store_ops),
                                    .get = get,
                                    .iterate = iterate,
                                    .submit = submit,
                                    .log_append = log_append,
                                    .log_sync = log_sync,
                                    .log_read = log_read,
                                    .log_iterate = log_iterate,
                                    .log_truncate = log_truncate,
                                    .log_range = log_range,
                                    .listen = listen,
                                    .turn = turn,
                                    .next_deadline = next_deadline };

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
  m->mem = mem;
  m->o = *o;
  m->o.mem = &m->mem;
  m->delay = o->delay_ns;
  msub__ring_init(&m->queue, sizeof(waiting));
  msub__ring_init(&m->log, sizeof(record));
  *out = m;
  return MSUB_OK;
}

static void free_keys(msub_store_memory *m) {
  while (m->keys) {
    entry *e = entry_of(m->keys);
    free_version(m, e->durable);
    e->durable = NULL;
    e->uses = 1;
    let_go(m, e);
  }
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
  free_keys(m);
  while (m->log.n > 0) drop_record(m);
  MSUB__INVARIANT(m->bytes == 0);
  msub__ring_fini(&m->queue, &m->mem);
  msub__ring_fini(&m->log, &m->mem);
  msub_mem mem = m->mem;
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
  const version *v = entry_of(n)->durable;
  version *copy;
  if (!v) return true;
  msub_store_op op = { true, n->key, { v->bytes, v->n } };
  c->err = add_op(c->to, &op, &copy);
  if (c->err != MSUB_OK) return false;
  show_batch(copy);
  settle_version(c->to, copy, true);
  return true;
}

int msub_store_memory_crashed(const msub_store_memory *m, msub_store_memory **out) {
  copier c = { NULL, MSUB_OK };
  msub_store_memory_opts o = m->o;
  msub_now never = { 0, 0 };
  uint64_t offset;
  c.err = msub_store_memory_new(&o, &never, &c.to);
  if (c.err != MSUB_OK) return c.err;
  (void)msub__tree_walk(m->keys, (msub_bytes){ NULL, 0 }, copy_key, &c);
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
