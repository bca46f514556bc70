#include <string.h>
#include "host/book_value.h"
#include "host/manager.h"
#include "host/shelf.h"

#define PAUSES 6u      /* doublings of the delay after failures */

typedef struct msub__shelf {
  msub_host *host;
  msub__timer timer;
  msub__node dirty, gone; /* entries */
  unsigned n_gone, failures;
  bool loading;
  unsigned n_read;
  size_t last_n; /* of the key read last */
  uint8_t last[MSUB_STORE_KEY_MAX];
} msub__shelf;

/* ---- time ---- */

uint64_t msub__shelf_until(const msub_now *now, int64_t wall_ns, uint64_t ttl_ns) {
  if (wall_ns <= now->wall_ns) {
    uint64_t behind = (uint64_t)now->wall_ns - (uint64_t)wall_ns;
    return behind >= MSUB__HOST_BOOK_CLOCK_NS ? 0 : msub__deadline(now->mono_ns, MSUB__HOST_BOOK_CLOCK_NS - behind);
  }
  uint64_t ahead = (uint64_t)wall_ns - (uint64_t)now->wall_ns;
  return msub__deadline(now->mono_ns, msub__sat_add_u64(ahead < ttl_ns ? ahead : ttl_ns, MSUB__HOST_BOOK_CLOCK_NS));
}

int64_t msub__shelf_wall(const msub_now *now, uint64_t until_ns) {
  uint64_t left = msub__sat_sub_u64(until_ns, now->mono_ns);
  int64_t ns = left > INT64_MAX ? INT64_MAX : (int64_t)left, wall;
  if (__builtin_add_overflow(now->wall_ns, ns - (int64_t)MSUB__HOST_BOOK_CLOCK_NS, &wall)) return INT64_MAX;
  return wall;
}

/* ---- writing ---- */

static size_t write_key(const msub__book_entry *e, uint8_t *out) { return msub__book_value_key(&e->id, out); }

/* 0: all of it is over. */
static size_t write_value(const msub_host *h, const msub__book_entry *e, uint8_t *out) {
  msub__book_value v = { .id = e->id, .from = e->from, .record = { e->record, e->record_n } };
  for (unsigned i = 0; i < e->n; i++) {
    const msub__book_addr *a = &e->addrs[i];
    bool said = !msub__passed(a->said_until, h->now.mono_ns), proved = !msub__passed(a->proved_until, h->now.mono_ns);
    if (!said && !proved) continue;
    v.addrs[v.n].at = a->at;
    v.addrs[v.n].said = said;
    v.addrs[v.n].proved = proved;
    v.addrs[v.n].is_signed = said && a->is_signed && e->record_n > 0;
    if (said) v.addrs[v.n].said_until = msub__shelf_wall(&h->now, a->said_until);
    if (proved) v.addrs[v.n].proved_until = msub__shelf_wall(&h->now, a->proved_until);
    v.n++;
  }
  return v.n > 0 ? msub__book_value_write(&v, out) : 0;
}

static void wait(msub_host *h) {
  msub__shelf *s = h->shelf;
  unsigned pauses = s->failures < PAUSES ? s->failures : PAUSES;
  if (!msub__timer_running(&s->timer)) msub__timer_start(h->wheel, &s->timer, msub__deadline(h->now.mono_ns, msub__sat_mul_u64(h->o.book.delay_ns, UINT64_C(1) << pauses)));
}

static void failed(msub_host *h, int err) {
  h->shelf->failures++;
  h->counts.book_failed++;
  MSUB__LOG(h->log, MSUB_LOG_WARN, "host", "what is known of peers cannot be stored: %s", msub_err_text(err));
}

static void written(msub_host *h, msub__book_entry *e, bool away) {
  if (away) {
    h->shelf->n_gone--;
    msub__book_free_entry(h, e);
    return;
  }
  msub__list_remove(&e->in_shelf);
  e->stored = true;
  e->stored_at = h->now.mono_ns;
  h->counts.book_written++;
}

/* One batch: keys that go, which a full store still takes, or values. false: nothing is left to do, or the store took nothing. */
static bool write_some(msub_host *h) {
  msub__shelf *s = h->shelf;
  bool away = !msub__list_empty(&s->gone);
  msub__node *list = away ? &s->gone : &s->dirty;
  msub_store_op ops[MSUB__HOST_BOOK_BATCH];
  msub__book_entry *of[MSUB__HOST_BOOK_BATCH];
  size_t n = 0, each = MSUB__BOOK_KEY_MAX + (away ? 0 : MSUB__BOOK_VALUE_MAX);
  for (msub__node *k = list->next; k != list && n < MSUB__HOST_BOOK_BATCH; k = k->next) of[n++] = MSUB__OF(k, msub__book_entry, in_shelf);
  if (n == 0) return false;
  uint8_t *bytes = msub__alloc(&h->mem, n * each);
  for (size_t i = 0; bytes && i < n; i++) {
    uint8_t *at = bytes + i * each;
    size_t value = away ? 0 : write_value(h, of[i], at + MSUB__BOOK_KEY_MAX);
    ops[i] = (msub_store_op){ value > 0, { at, write_key(of[i], at) }, { value > 0 ? at + MSUB__BOOK_KEY_MAX : NULL, value } };
  }
  int err = bytes ? h->o.store.ops->submit(h->o.store.s, ops, n, (msub_token){ 0 }) : MSUB_ERR_NOMEM;
  msub__free(&h->mem, bytes, n * each);
  if (err != MSUB_OK) {
    failed(h, err);
    return false;
  }
  s->failures = 0;
  for (size_t i = 0; i < n; i++) written(h, of[i], away);
  return !msub__list_empty(&s->dirty) || !msub__list_empty(&s->gone);
}

static void due(msub__timer *t) {
  msub__shelf *s = MSUB__OF(t, msub__shelf, timer);
  msub_host *h = s->host;
  if (h->stopping) return;
  if (s->loading || !write_some(h)) {
    if (!msub__list_empty(&s->dirty) || !msub__list_empty(&s->gone)) wait(h);
    return;
  }
  msub__timer_start(h->wheel, t, h->now.mono_ns + 1); /* the next batch, in a turn of its own */
}

void msub__shelf_changed(msub_host *h, msub__book_entry *e, bool new_to_us) {
  if (!h->shelf || !msub__list_empty(&e->in_shelf)) return;
  if (!new_to_us && e->stored && e->stored_at && !msub__passed(msub__deadline(e->stored_at, h->o.book.said_ns / 8), h->now.mono_ns)) return;
  msub__list_push(&h->shelf->dirty, &e->in_shelf);
  wait(h);
}

void msub__shelf_gone(msub_host *h, msub__book_entry *e) {
  msub__shelf *s = h->shelf;
  msub__list_remove(&e->in_shelf);
  if (!s || !e->stored || s->n_gone == MSUB__HOST_BOOK_PEERS) {
    if (s && e->stored) h->counts.book_failed++; /* the store has taken nothing for long: it is read at the next start */
    msub__book_free_entry(h, e);
    return;
  }
  msub__list_push(&s->gone, &e->in_shelf);
  s->n_gone++;
  wait(h);
}

/* ---- reading ---- */

typedef struct reading {
  msub_host *h;
  unsigned n, n_bad;
  bool more;
  struct { size_t n; uint8_t key[MSUB_STORE_KEY_MAX]; } bad[MSUB__HOST_BOOK_LOAD]; /* that go */
} reading;

static bool in_record(const msub_peer_record *r, const msub__tr_addr *at) {
  msub__tr_addr other;
  for (size_t i = 0; i < r->n_addrs; i++) {
    if (msub__book_parse(r->addrs[i], msub_peer_id_bytes(&r->peer), &other) && msub__tr_addr_same(&other, at)) return true;
  }
  return false;
}

/* false: it is no entry of ours. */
static bool take(msub_host *h, msub_bytes key, msub_bytes value, bool *over) {
  msub__book_value v;
  msub_peer_record r = { .n_addrs = 0 };
  msub__book_entry e = { .n = 0 };
  if (!msub__book_value_read(key, value, &v)) return false;
  msub_bytes id = msub_peer_id_bytes(&v.id);
  if (msub_bytes_eq(id, h->self) || (v.record.n > 0 && msub_peer_record_open(v.record, id, &r) != MSUB_OK)) return false;
  e.id = v.id;
  e.from = v.from;
  for (unsigned i = 0; i < v.n; i++) {
    msub__book_addr a = { .at = v.addrs[i].at, .is_signed = v.addrs[i].is_signed };
    if (a.is_signed && !in_record(&r, &a.at)) return false;
    if (v.addrs[i].said) a.said_until = msub__shelf_until(&h->now, v.addrs[i].said_until, h->o.book.said_ns);
    if (v.addrs[i].proved) a.proved_until = msub__shelf_until(&h->now, v.addrs[i].proved_until, h->o.book.proved_ns);
    a.is_signed &= a.said_until != 0;
    if (!a.said_until && !a.proved_until) continue;
    e.proved |= msub__book_proved(&a);
    e.addrs[e.n++] = a;
  }
  *over = e.n == 0;
  if (*over) return true;
  if (!msub__book_restore(h, &e, v.record.n > 0 ? &r : NULL, v.record)) return false;
  h->counts.book_loaded++;
  return true;
}

static bool read_one(void *ud, msub_bytes key, msub_bytes value) {
  reading *r = ud;
  msub__shelf *s = r->h->shelf;
  size_t both = key.n < s->last_n ? key.n : s->last_n;
  int order = both > 0 ? memcmp(key.p, s->last, both) : 0;
  if (order < 0 || (order == 0 && key.n <= s->last_n) || key.n > MSUB_STORE_KEY_MAX) return true; /* it was read before */
  if (r->n == MSUB__HOST_BOOK_LOAD || s->n_read == MSUB__HOST_BOOK_READ) {
    r->more = s->n_read < MSUB__HOST_BOOK_READ;
    return false;
  }
  memcpy(s->last, key.p, key.n);
  s->last_n = key.n;
  s->n_read++;
  r->n++;
  bool over = false, good = take(r->h, key, value, &over);
  if (good && !over) return true;
  r->h->counts.book_passed_over += !good;
  memcpy(r->bad[r->n_bad].key, key.p, key.n);
  r->bad[r->n_bad++].n = key.n;
  return true;
}

bool msub__shelf_step(msub_host *h) {
  if (!h->shelf || !h->shelf->loading) return false;
  reading r = { .h = h };
  msub_store_op ops[MSUB__HOST_BOOK_LOAD];
  int err = h->o.store.ops->iterate(h->o.store.s, msub_str(MSUB__BOOK_PREFIX), read_one, &r);
  if (err != MSUB_OK) {
    h->counts.book_failed++;
    MSUB__LOG(h->log, MSUB_LOG_WARN, "host", "what was known of peers cannot be read: %s", msub_err_text(err));
  }
  for (unsigned i = 0; i < r.n_bad; i++) ops[i] = (msub_store_op){ .key = { r.bad[i].key, r.bad[i].n } };
  if (r.n_bad > 0 && h->o.store.ops->submit(h->o.store.s, ops, r.n_bad, (msub_token){ 0 }) != MSUB_OK) h->counts.book_failed++;
  h->shelf->loading = err == MSUB_OK && r.more;
  if (!h->shelf->loading) msub__manager_changed(h);
  return h->shelf->loading;
}

/* ---- beginning and end ---- */

int msub__shelf_new(msub_host *h) {
  if (!h->o.store.ops || !h->o.book.stored) return MSUB_OK;
  h->shelf = msub__zalloc(&h->mem, 1, sizeof *h->shelf);
  if (!h->shelf) return MSUB_ERR_NOMEM;
  h->shelf->host = h;
  msub__timer_init(&h->shelf->timer, due);
  msub__list_init(&h->shelf->dirty);
  msub__list_init(&h->shelf->gone);
  h->shelf->loading = true;
  return MSUB_OK;
}

void msub__shelf_finish(msub_host *h) {
  msub__shelf *s = h->shelf;
  if (!s) return;
  while (!s->loading && write_some(h)) {}
  msub__timer_stop(h->wheel, &s->timer);
  for (msub__node *n; (n = msub__list_first(&s->gone));) msub__book_free_entry(h, MSUB__OF(n, msub__book_entry, in_shelf));
  while (!msub__list_empty(&s->dirty)) msub__list_remove(s->dirty.next);
  msub__free(&h->mem, s, sizeof *s);
  h->shelf = NULL;
}
