#include "store/versions.h"
#include <string.h>
#include "base/assert.h"

typedef msub__entry entry;
typedef msub__version version;

/* ---- memory that counts ---- */

void *msub__versions_take(msub__versions *v, size_t n) {
  void *p = msub__alloc(&v->mem, n);
  if (p) v->bytes += n;
  return p;
}

void msub__versions_give(msub__versions *v, void *p, size_t n) {
  if (!p) return;
  v->bytes -= n;
  msub__free(&v->mem, p, n);
}

bool msub__versions_fit(const msub__versions *v, size_t n) {
  return v->bytes <= v->max_bytes && n <= v->max_bytes - v->bytes;
}

/* ---- keys ---- */

entry *msub__entry_of(const msub__tree_node *n) {
  return (entry *)(void *)((char *)(uintptr_t)n - offsetof(entry, node));
}

entry *msub__versions_find(const msub__versions *v, msub_bytes key) {
  msub__tree_node *n = msub__tree_find(v->keys, key);
  return n ? msub__entry_of(n) : NULL;
}

static entry *entry_new(msub__versions *v, msub_bytes key) {
  entry *e = msub__versions_take(v, sizeof *e + key.n);
  if (!e) return NULL;
  *e = (entry){ .node = { .key = { e->key, key.n } } };
  memcpy(e->key, key.p, key.n);
  msub__tree_insert(&v->keys, &e->node);
  return e;
}

static void free_version(msub__versions *v, version *x) {
  if (x) msub__versions_give(v, x, sizeof *x + x->n);
}

/* One use less; the entry goes when nothing is left of it. */
static void let_go(msub__versions *v, entry *e) {
  e->uses--;
  if (e->uses > 0 || e->durable) return;
  msub__tree_remove(&v->keys, &e->node);
  msub__versions_give(v, e, sizeof *e + e->node.key.n);
}

const version *msub__entry_shown(const entry *e) { return e->last ? e->last : e->durable; }

/* ---- batches ---- */

static int check_op(const msub_store_op *op) {
  if (op->key.n == 0 || op->key.n > MSUB_STORE_KEY_MAX) return MSUB_ERR_LIMIT;
  return op->put && op->value.n > MSUB_STORE_VALUE_MAX ? MSUB_ERR_LIMIT : MSUB_OK;
}

/* A version that is in no chain yet. */
static version *version_new(msub__versions *v, const msub_store_op *op, entry *e) {
  size_t n = op->put ? op->value.n : 0;
  version *x = msub__versions_take(v, sizeof *x + n);
  if (!x) return NULL;
  *x = (version){ .of = e, .put = op->put, .n = n };
  if (n > 0) memcpy(x->bytes, op->value.p, n);
  e->uses++;
  return x;
}

static int add_op(msub__versions *v, const msub_store_op *op, version **out) {
  entry *e = msub__versions_find(v, op->key);
  *out = NULL;
  if (v->keep && !e && !op->put) return MSUB_OK; /* never there, whatever becomes of the batches that wait */
  size_t need = sizeof(version) + op->value.n + (e ? 0 : sizeof *e + op->key.n);
  if ((op->put || !v->keep) && !msub__versions_fit(v, need)) return MSUB_ERR_LIMIT; /* a store full for good can still be made emptier */
  bool made = !e;
  if (made && !(e = entry_new(v, op->key))) return MSUB_ERR_NOMEM;
  *out = version_new(v, op, e);
  if (*out) return MSUB_OK;
  if (made) {
    e->uses = 1;
    let_go(v, e);
  }
  return MSUB_ERR_NOMEM;
}

int msub__batch_new(msub__versions *v, const msub_store_op *ops, size_t n, version **out) {
  version *batch = NULL, **end = &batch;
  int err = MSUB_OK;
  for (size_t i = 0; i < n && err == MSUB_OK; i++) err = check_op(&ops[i]);
  if (err != MSUB_OK) return err;
  for (size_t i = 0; i < n && err == MSUB_OK; i++) {
    err = add_op(v, &ops[i], end);
    if (*end) end = &(*end)->in_batch;
  }
  if (err != MSUB_OK) {
    msub__batch_drop(v, batch);
    return err;
  }
  *out = batch;
  return MSUB_OK;
}

void msub__batch_drop(msub__versions *v, version *batch) {
  for (version *x = batch, *next; x; x = next) {
    next = x->in_batch;
    entry *e = x->of;
    free_version(v, x);
    let_go(v, e);
  }
}

void msub__batch_show(version *batch) {
  for (version *x = batch; x; x = x->in_batch) {
    entry *e = x->of;
    if (e->last)
      e->last->newer = x;
    else
      e->oldest = x;
    e->last = x;
  }
}

static void settle(msub__versions *v, version *x, bool ok) {
  entry *e = x->of;
  bool stays = ok && v->keep && x->put;
  MSUB__INVARIANT(e->oldest == x);
  e->oldest = x->newer;
  if (!e->oldest) e->last = NULL;
  if (ok && v->keep) {
    free_version(v, e->durable);
    e->durable = stays ? x : NULL;
  }
  if (!stays) free_version(v, x);
  let_go(v, e);
}

void msub__batch_settle(msub__versions *v, version *batch, bool ok) {
  for (version *x = batch, *next; x; x = next) {
    next = x->in_batch;
    settle(v, x, ok);
  }
}

void msub__versions_fini(msub__versions *v) {
  while (v->keys) {
    entry *e = msub__entry_of(v->keys);
    free_version(v, e->durable);
    e->durable = NULL;
    e->uses = 1;
    let_go(v, e);
  }
}
