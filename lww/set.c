/* lww/set.c: entries, records and what is stored of them.
 *
 *   key    prefix ‖ topic
 *   value  version 1 │ source 1 │ received 8, big endian │ record │ check 8: the beginning of SHA-256 over topic ‖ all before the check
 *
 * The check covers the topic, so a value that stands under another key is damaged, too. */
#include "lww/set.h"
#include "base/mem.h"
#include <string.h>

enum { VERSION = 1, HEAD = 10, CHECK = 8 };

void msub_lww_opts_init(msub_lww_opts *o) {
  *o = (msub_lww_opts){ .size = sizeof *o, .prefix = msub_str("lww/"), .token = { UINT64_C(0x6c7777) << 40 }, .high_water = true,
                        .limits = { .topics = 100000, .joined = 1024, .bytes = (size_t)64 << 20, .record = 10240, .waiting = 1024 } };
}
void msub_lww_how_init(msub_lww_how *h) { *h = (msub_lww_how){ .size = sizeof *h, .source = MSUB_LWW_GIVEN }; }

/* ---- records ---- */

static size_t block(const msub__lww_record *r) { return sizeof *r + r->n + r->from_n + r->id_n; }

int64_t msub__lww_expires(const msub_lww *l, msub_bytes topic, msub_bytes record, int64_t received) {
  int64_t at = l->ops.expires ? l->ops.expires(l->o.type, topic, record) : INT64_MAX;
  if (l->o.max_life_ns <= 0) return at;
  int64_t bound = received > INT64_MAX - l->o.max_life_ns ? INT64_MAX : received + l->o.max_life_ns;
  return at < bound ? at : bound;
}

static size_t id_of(const msub_lww *l, msub_bytes record, uint8_t out[MSUB_MAX_ID]) {
  if (!l->with_router) return 0;
  if (!l->ops.message_id) {
    msub_sha256(record, out);
    return 32;
  }
  const msub_msg_borrowed b = { { .wire_n = (uint32_t)record.n, .data_n = (uint32_t)record.n & 0xffffff, .present = 0, .borrowed = 1 }, record.p };
  size_t n = l->ops.message_id(&b.m, out);
  return n <= MSUB_MAX_ID ? n : 0;
}

msub__lww_record *msub__lww_record_new(msub_lww *l, msub_bytes topic, msub_bytes bytes, const msub__lww_origin *o) {
  uint8_t id[MSUB_MAX_ID];
  size_t id_n = id_of(l, bytes, id), from_n = o->from.n <= MSUB_PEER_ID_MAX ? o->from.n : 0;
  msub__lww_record *r = msub__alloc(&l->mem, sizeof *r + bytes.n + from_n + id_n);
  if (!r) return NULL;
  *r = (msub__lww_record){ .refs = 1, .n = (uint32_t)bytes.n, .received = o->received, .source = (uint8_t)o->source, .from_n = (uint8_t)from_n,
                           .id_n = (uint8_t)id_n, .restored = o->restored, .expires = msub__lww_expires(l, topic, bytes, o->received) };
  if (bytes.n) memcpy(r->bytes, bytes.p, bytes.n);
  if (from_n) memcpy(r->bytes + bytes.n, o->from.p, from_n);
  if (id_n) memcpy(r->bytes + bytes.n + from_n, id, id_n);
  l->counts.bytes += bytes.n;
  return r;
}
msub__lww_record *msub__lww_hold(msub__lww_record *r) {
  r->refs++;
  return r;
}
void msub__lww_drop(msub_lww *l, msub__lww_record *r) {
  if (!r || --r->refs) return;
  l->counts.bytes -= r->n;
  msub__free(&l->mem, r, block(r));
}

msub_lww_view msub__lww_view_of(const msub__lww_entry *e) {
  const msub__lww_record *r = e->winner;
  return (msub_lww_view){ .record = msub__lww_bytes(r), .source = (msub_lww_source)r->source, .restored = r->restored, .durable = e->durable,
                          .from = r->from_n ? msub__lww_from(r) : (msub_bytes){ NULL, 0 }, .received_ns = r->received, .expires_ns = r->expires };
}

/* ---- what is stored ---- */

static bool scratch(msub_lww *l, size_t n) {
  if (n <= l->scratch_cap) return true;
  uint8_t *p = msub__alloc(&l->mem, n);
  if (!p) return false;
  msub__free(&l->mem, l->scratch, l->scratch_cap);
  l->scratch = p;
  l->scratch_cap = n;
  return true;
}

static msub_bytes key_of(const msub_lww *l, msub_bytes topic, uint8_t out[128 + MSUB__LWW_TOPIC]) {
  memcpy(out, l->prefix, l->o.prefix.n);
  memcpy(out + l->o.prefix.n, topic.p, topic.n);
  return (msub_bytes){ out, l->o.prefix.n + topic.n };
}

static void check_of(const uint8_t *p, size_t n, uint8_t out[CHECK]) {
  uint8_t hash[32];
  msub_sha256((msub_bytes){ p, n }, hash);
  memcpy(out, hash, CHECK);
}

static bool value_make(msub_lww *l, msub_bytes topic, const msub__lww_record *r, msub_bytes *out) {
  size_t n = HEAD + r->n;
  if (!scratch(l, topic.n + n + CHECK)) return false;
  uint8_t *p = l->scratch + topic.n;
  memcpy(l->scratch, topic.p, topic.n);
  p[0] = VERSION;
  p[1] = r->source;
  for (unsigned i = 0; i < 8; i++) p[2 + i] = (uint8_t)((uint64_t)r->received >> (56 - 8 * i));
  memcpy(p + HEAD, r->bytes, r->n);
  check_of(l->scratch, topic.n + n, p + n);
  *out = (msub_bytes){ p, n + CHECK };
  return true;
}

bool msub__lww_value_read(msub_lww *l, msub_bytes topic, msub_bytes value, msub__lww_stored_record *out) {
  uint8_t check[CHECK];
  if (value.n < HEAD + CHECK || value.n > HEAD + CHECK + l->o.limits.record || value.p[0] != VERSION || value.p[1] > MSUB_LWW_GIVEN) return false;
  size_t n = value.n - CHECK;
  if (!scratch(l, topic.n + n)) return false;
  memcpy(l->scratch, topic.p, topic.n);
  memcpy(l->scratch + topic.n, value.p, n);
  check_of(l->scratch, topic.n + n, check);
  if (memcmp(check, value.p + n, CHECK) != 0) return false;
  uint64_t received = 0;
  for (unsigned i = 0; i < 8; i++) received = received << 8 | value.p[2 + i];
  *out = (msub__lww_stored_record){ { value.p + HEAD, n - HEAD }, (msub_lww_source)value.p[1], (int64_t)received };
  return true;
}

int msub__lww_load(msub_lww *l, msub_bytes topic, msub__lww_stored_record *out) {
  uint8_t key[128 + MSUB__LWW_TOPIC];
  msub_bytes value;
  if (!msub__lww_stored(l)) return MSUB_ERR_NOTFOUND;
  int rc = l->o.store.ops->get(l->o.store.s, key_of(l, topic, key), &value);
  if (rc == MSUB_OK && !msub__lww_value_read(l, topic, value, out)) rc = MSUB_ERR_MALFORMED;
  if (rc != MSUB_OK && rc != MSUB_ERR_NOTFOUND) l->counts.damaged++;
  return rc;
}

int msub__lww_submit(msub_lww *l, msub__lww_entry *e, msub__lww_record *r, bool owner, bool publish, msub_token user) {
  uint8_t key[128 + MSUB__LWW_TOPIC];
  msub_store_op op = { .put = r != NULL, .key = key_of(l, msub__lww_name(e), key) };
  if (l->waiting.n >= l->o.limits.waiting) return MSUB_ERR_LIMIT;
  if (r && !value_make(l, msub__lww_name(e), r, &op.value)) return MSUB_ERR_NOMEM;
  msub__lww_waiting *w = msub__ring_push(&l->waiting, &l->mem);
  if (!w) return MSUB_ERR_NOMEM;
  uint64_t token = l->o.token.v | (++l->last_token & UINT64_C(0xffffffffff));
  int rc = l->o.store.ops->submit(l->o.store.s, &op, 1, (msub_token){ token });
  if (rc != MSUB_OK) {
    l->waiting.n--; /* the last one, which was pushed just now */
    l->counts.store_failed++;
    return rc;
  }
  *w = (msub__lww_waiting){ token, e, r ? msub__lww_hold(r) : NULL, user, owner, publish };
  e->pins++;
  l->counts.waiting = l->waiting.n;
  return MSUB_OK;
}

/* ---- entries ---- */

static bool same_name(const void *ctx, uint32_t i, const void *key) {
  const msub_lww *l = ctx;
  return msub_bytes_eq(msub__lww_name(l->entries[i]), *(const msub_bytes *)key);
}

msub__lww_entry *msub__lww_find(const msub_lww *l, msub_bytes topic) {
  uint32_t i = msub__table_find(&l->table, msub__hash(&l->key, topic), same_name, l, &topic);
  return i == MSUB__NONE ? NULL : l->entries[i];
}

static msub__lww_entry *entry_new(msub_lww *l, msub_bytes topic) {
  if (l->n == l->cap) {
    uint32_t cap = l->cap ? l->cap * 2 : 16;
    msub__lww_entry **p = msub__realloc(&l->mem, l->entries, l->cap * sizeof *p, cap * sizeof *p);
    if (!p) return NULL;
    l->entries = p;
    l->cap = cap;
  }
  if (msub__table_reserve(&l->table, &l->mem) != MSUB_OK) return NULL;
  msub__lww_entry *e = msub__zalloc(&l->mem, 1, sizeof *e + topic.n);
  if (!e) return NULL;
  msub__list_init(&e->unsaved);
  e->hash = msub__hash(&l->key, topic);
  e->index = l->n;
  e->name_n = (uint16_t)topic.n;
  memcpy(e->name, topic.p, topic.n);
  int rc = msub__table_insert(&l->table, &l->mem, e->hash, l->n);
  MSUB__INVARIANT(rc == MSUB_OK);
  l->entries[l->n++] = e;
  return e;
}

static void entry_free(msub_lww *l, msub__lww_entry *e) {
  msub__lww_entry *last = l->entries[l->n - 1];
  e->joined = false;
  msub__lww_index(l, e);
  msub__table_remove(&l->table, e->hash, e->index);
  if (last != e) {
    if (last->by_id) msub__table_update(&l->ids, msub__hash(&l->key, msub__lww_id(last->winner)), last->index, e->index);
    msub__table_update(&l->table, last->hash, last->index, e->index);
    last->index = e->index;
    l->entries[e->index] = last;
  }
  l->n--;
  if (!msub__list_empty(&e->unsaved)) l->counts.unsaved--;
  msub__list_remove(&e->unsaved);
  msub__lww_drop(l, e->winner);
  msub__lww_drop(l, e->staged);
  msub__free(&l->mem, e, sizeof *e + e->name_n);
}

msub__lww_entry *msub__lww_entry_get(msub_lww *l, msub_bytes topic) {
  msub__lww_entry *e = msub__lww_find(l, topic);
  if (!e) {
    msub__lww_stored_record s;
    bool stored = msub__lww_load(l, topic, &s) == MSUB_OK;
    msub__lww_record *r = NULL;
    if (stored) {
      r = msub__lww_record_new(l, topic, s.record, &(msub__lww_origin){ s.source, { NULL, 0 }, s.received, true });
      if (!r) return NULL;
    }
    if (!(e = entry_new(l, topic))) {
      msub__lww_drop(l, r);
      return NULL;
    }
    e->winner = r;
    e->durable = e->counted = stored;
  }
  e->pins++;
  return e;
}

void msub__lww_unpin(msub_lww *l, msub__lww_entry *e) {
  if (--e->pins || e->joined || e->staged || !msub__list_empty(&e->unsaved)) return;
  if (e->winner && !msub__lww_stored(l)) return;
  entry_free(l, e);
}

void msub__lww_recount(msub_lww *l, msub__lww_entry *e) {
  bool is = e->winner || e->staged;
  if (is == e->counted) return;
  l->counts.topics += is ? 1 : UINT64_MAX;
  e->counted = is;
}

static void unindex(msub_lww *l, msub__lww_entry *e) {
  if (e->by_id) msub__table_remove(&l->ids, msub__hash(&l->key, msub__lww_id(e->winner)), e->index);
  e->by_id = false;
}
void msub__lww_index(msub_lww *l, msub__lww_entry *e) {
  unindex(l, e);
  if (!l->with_router || !e->joined || !e->winner || e->winner->id_n == 0) return;
  /* Without memory the winner can still be had by the topic's name. */
  e->by_id = msub__table_insert(&l->ids, &l->mem, msub__hash(&l->key, msub__lww_id(e->winner)), e->index) == MSUB_OK;
}

typedef struct id_lookup {
  msub_bytes id;
  bool (*fits)(void *ud, const msub__lww_entry *e);
  void *ud;
} id_lookup;
static bool same_id(const void *ctx, uint32_t i, const void *key) {
  const msub__lww_entry *e = ((const msub_lww *)ctx)->entries[i];
  const id_lookup *k = key;
  return msub_bytes_eq(msub__lww_id(e->winner), k->id) && k->fits(k->ud, e);
}
msub__lww_entry *msub__lww_by_id(const msub_lww *l, msub_bytes id, bool (*fits)(void *ud, const msub__lww_entry *e), void *ud) {
  const id_lookup k = { id, fits, ud };
  uint32_t i = msub__table_find(&l->ids, msub__hash(&l->key, id), same_id, l, &k);
  return i == MSUB__NONE ? NULL : l->entries[i];
}

void msub__lww_set_winner(msub_lww *l, msub__lww_entry *e, msub__lww_record *r) {
  unindex(l, e);
  msub__lww_drop(l, e->winner);
  e->winner = r;
  msub__lww_index(l, e);
  msub__lww_recount(l, e);
}

/* ---- the set ---- */

static bool count_stored(void *ud, msub_bytes key, msub_bytes value) {
  msub_lww *l = ud;
  msub_bytes topic = { key.p + l->o.prefix.n, key.n - l->o.prefix.n };
  msub__lww_stored_record s;
  bool ok = topic.n && topic.n <= MSUB__LWW_TOPIC && msub__lww_value_read(l, topic, value, &s);
  if (ok) l->counts.topics++;
  else l->counts.damaged++;
  return true;
}

static bool fine(const msub_lww_opts *o) {
  const msub_lww_limits *m = &o->limits;
  return o->size == sizeof *o && o->ops && o->ops->abi == MSUB_ABI && o->ops->size >= offsetof(msub_lww_ops, expires) && o->ops->validate && o->ops->compare &&
         o->prefix.n && o->prefix.n <= 128 && (o->token.v & UINT64_C(0xffffffffff)) == 0 && m->topics && m->joined && m->record && m->record <= (size_t)1 << 20 &&
         m->bytes >= m->record && m->waiting && o->max_life_ns >= 0;
}

/* A router that is not ours knows nothing of it. */
static int attach(msub_lww *l) {
  const msub_lww *self = l;
  int rc = msub_command(l->o.engine, l->o.router, MSUB__LWW_ATTACH, &self, sizeof self, msub_engine_now(l->o.engine));
  l->with_router = rc == MSUB_OK;
  if (l->with_router && l->ops.message_id)
    l->own = (msub_channel_policy){ .abi = MSUB_ABI, .size = sizeof l->own, .name = l->ops.name, .message_id = l->ops.message_id };
  return rc == MSUB_ERR_UNSUPPORTED ? MSUB_OK : rc;
}

int msub_lww_new(const msub_lww_opts *o, msub_lww **out) {
  if (!fine(o)) return MSUB_ERR_INVAL;
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  msub_lww *l = msub__zalloc(&mem, 1, sizeof *l);
  if (!l) return MSUB_ERR_NOMEM;
  l->mem = mem;
  l->o = *o;
  memcpy(l->prefix, o->prefix.p, o->prefix.n);
  l->o.prefix.p = l->prefix;
  memcpy(&l->ops, o->ops, o->ops->size < sizeof l->ops ? o->ops->size : sizeof l->ops);
  msub__hashkey_init(&l->key, o->entropy);
  msub__ring_init(&l->waiting, sizeof(msub__lww_waiting));
  msub__list_init(&l->unsaved);
  /* The longest that a value can be, so that a stored one that is sound is never taken for damaged for want of memory. */
  int rc = msub__lww_stored(l) && !scratch(l, MSUB__LWW_TOPIC + HEAD + l->o.limits.record + CHECK) ? MSUB_ERR_NOMEM : MSUB_OK;
  if (rc == MSUB_OK && o->engine) rc = attach(l);
  if (rc == MSUB_OK && msub__lww_stored(l)) rc = l->o.store.ops->iterate(l->o.store.s, l->o.prefix, count_stored, l);
  if (rc != MSUB_OK) {
    msub_lww_free(l);
    return rc;
  }
  *out = l;
  return MSUB_OK;
}

void msub_lww_free(msub_lww *l) {
  if (!l) return;
  msub__lww_leave_all(l);
  const msub_lww *self = l;
  if (l->with_router) (void)msub_command(l->o.engine, l->o.router, MSUB__LWW_DETACH, &self, sizeof self, msub_engine_now(l->o.engine));
  while (l->waiting.n) {
    const msub__lww_waiting *w = msub__ring_front(&l->waiting);
    msub__lww_drop(l, w->r);
    msub__ring_pop(&l->waiting);
  }
  while (l->n) entry_free(l, l->entries[l->n - 1]);
  msub__ring_fini(&l->waiting, &l->mem);
  msub__table_fini(&l->table, &l->mem);
  msub__table_fini(&l->ids, &l->mem);
  msub__free(&l->mem, l->entries, l->cap * sizeof *l->entries);
  msub__free(&l->mem, l->scratch, l->scratch_cap);
  msub_mem mem = l->mem;
  msub__free(&mem, l, sizeof *l);
}

const msub_lww_counts *msub_lww_count(const msub_lww *l) { return &l->counts; }

/* ---- looking ---- */

static msub_lww_view stored_view(const msub_lww *l, msub_bytes topic, const msub__lww_stored_record *s) {
  return (msub_lww_view){ .record = s->record, .source = s->source, .restored = true, .durable = true, .received_ns = s->received,
                          .expires_ns = msub__lww_expires(l, topic, s->record, s->received) };
}

int msub_lww_get(msub_lww *l, msub_bytes topic, msub_lww_view *out) {
  if (topic.n == 0 || topic.n > MSUB__LWW_TOPIC) return MSUB_ERR_NOTFOUND;
  const msub__lww_entry *e = msub__lww_find(l, topic);
  if (e) {
    if (!e->winner) return MSUB_ERR_NOTFOUND;
    *out = msub__lww_view_of(e);
    return MSUB_OK;
  }
  msub__lww_stored_record s;
  int rc = msub__lww_load(l, topic, &s);
  if (rc == MSUB_OK) *out = stored_view(l, topic, &s);
  return rc;
}

typedef struct walk {
  msub_lww *l;
  bool (*fn)(void *ud, msub_bytes topic, const msub_lww_view *winner);
  void *ud;
  bool over;
} walk;
static bool each_stored(void *ud, msub_bytes key, msub_bytes value) {
  walk *w = ud;
  msub_bytes topic = { key.p + w->l->o.prefix.n, key.n - w->l->o.prefix.n };
  msub__lww_stored_record s;
  if (msub__lww_find(w->l, topic)) return true; /* what is in memory comes later */
  if (topic.n == 0 || topic.n > MSUB__LWW_TOPIC || !msub__lww_value_read(w->l, topic, value, &s)) return true;
  msub_lww_view v = stored_view(w->l, topic, &s);
  w->over = !w->fn(w->ud, topic, &v);
  return !w->over;
}

int msub_lww_iterate(msub_lww *l, bool (*fn)(void *ud, msub_bytes topic, const msub_lww_view *winner), void *ud) {
  walk w = { l, fn, ud, false };
  int rc = msub__lww_stored(l) ? l->o.store.ops->iterate(l->o.store.s, l->o.prefix, each_stored, &w) : MSUB_OK;
  for (uint32_t i = 0; rc == MSUB_OK && !w.over && i < l->n; i++) {
    if (!l->entries[i]->winner) continue;
    msub_lww_view v = msub__lww_view_of(l->entries[i]);
    w.over = !fn(ud, msub__lww_name(l->entries[i]), &v);
  }
  return rc;
}
