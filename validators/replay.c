/* validators/replay.c: which sequence numbers of each author were accepted.
 *
 *   top ── 63 below it as bits;  of an author who is not under the rule yet besides:  the last 8 numbers, one by one
 *
 * In the store, below the prefix and the author's id: version, flags, run, how many recent ones, top, bits, the recent ones; big-endian. */
#include "base/assert.h"
#include "base/list.h"
#include "base/table.h"
#include "meshsub/rpc.h"
#include "meshsub/validators.h"
#include <string.h>

#define ID_MAX 64u
#define PREFIX_MAX 128u
#define WINDOW 64u
#define RECENT 8u
#define RUN 4u                      /* ascending steps that show a counter */
#define STEP (UINT64_C(1) << 56)    /* two years in nanoseconds; of random numbers one step in 256 is so short */
#define VERSION 1u
#define VALUE_MAX (4 + 16 + 8 * RECENT)
#define CLEAN 64u                   /* keys that are taken away at a time */

typedef struct author {
  msub__node node; /* in its list, the least recent first */
  uint64_t top, bits;
  uint64_t recent[RECENT];
  uint8_t n_recent, next, run, shown, id_n;
  uint8_t id[ID_MAX];
} author;

struct msub_replay {
  msub_mem mem;
  msub_store store;
  msub_token token;
  msub_replay_rule rule;
  msub__hashkey key;
  msub__table table;
  author **a;
  uint32_t n, cap, max, prefix_n;
  msub__node lists[2]; /* by `shown` */
  msub_replay_counts counts;
  uint8_t prefix[PREFIX_MAX];
};

void msub_replay_opts_init(msub_replay_opts *o) {
  *o = (msub_replay_opts){ .size = sizeof *o, .max_authors = 16384, .prefix = msub_str("msub/replay/"), .token = { UINT64_C(0x7265706c6179) } };
}

/* ---- the rule ---- */

static bool known(const author *a, uint64_t n) {
  if (a->bits && n <= a->top) {
    if (a->top - n >= WINDOW && a->shown) return true;
    if (a->top - n < WINDOW && a->bits >> (a->top - n) & 1) return true;
  }
  for (unsigned i = 0; i < a->n_recent; i++)
    if (a->recent[i] == n) return true;
  return false;
}

static void mark(author *a, uint64_t n) {
  if (n > a->top) {
    a->bits = n - a->top >= WINDOW ? 0 : a->bits << (n - a->top);
    a->top = n;
  }
  if (a->top - n < WINDOW) a->bits |= UINT64_C(1) << (a->top - n);
}

/* An accepted number. A counter goes up by short steps, and what it has sent before comes from within the window. */
static void note(author *a, uint64_t n, msub_replay_rule rule) {
  if (a->shown) {
    mark(a, n);
    return;
  }
  bool near = a->bits == 0 || (n > a->top ? n - a->top <= STEP : a->top - n < WINDOW);
  if (!near) a->run = 0;
  else if (a->bits && n > a->top) a->run++;
  if (!near || a->bits == 0) a->top = n, a->bits = 1;
  else mark(a, n);
  a->recent[a->next] = n;
  a->next = (uint8_t)((a->next + 1) % RECENT);
  if (a->n_recent < RECENT) a->n_recent++;
  if (a->run < RUN && rule == MSUB_REPLAY_SHOWN) return;
  a->shown = 1;
  a->n_recent = 0;
}

/* ---- the table ---- */

static bool same(const void *ctx, uint32_t i, const void *key) {
  const author *a = ((author *const *)ctx)[i];
  return msub_bytes_eq((msub_bytes){ a->id, a->id_n }, *(const msub_bytes *)key);
}
static uint32_t find(const msub_replay *r, msub_bytes id) { return msub__table_find(&r->table, msub__hash(&r->key, id), same, r->a, &id); }

static msub_bytes key_of(const msub_replay *r, msub_bytes id, uint8_t out[PREFIX_MAX + ID_MAX]) {
  memcpy(out, r->prefix, r->prefix_n);
  memcpy(out + r->prefix_n, id.p, id.n);
  return (msub_bytes){ out, r->prefix_n + id.n };
}

/* Whoever has to make room; its place is the new one's. */
static uint32_t forget(msub_replay *r) {
  msub__node *first = r->lists[msub__list_empty(&r->lists[0])].next;
  author *a = MSUB__OF(first, author, node);
  msub_bytes id = { a->id, a->id_n };
  uint32_t i = find(r, id);
  uint8_t key[PREFIX_MAX + ID_MAX];
  MSUB__INVARIANT(i != MSUB__NONE);
  if (r->store.ops) {
    msub_store_op op = { false, key_of(r, id, key), { NULL, 0 } };
    if (r->store.ops->submit(r->store.s, &op, 1, r->token) != MSUB_OK) r->counts.not_written++;
  }
  (void)msub__table_remove(&r->table, msub__hash(&r->key, id), i);
  msub__list_remove(&a->node);
  r->counts.forgotten++;
  return i;
}

/* Finds or makes; NULL: no memory. */
static author *author_of(msub_replay *r, msub_bytes id) {
  uint32_t i = find(r, id);
  if (i != MSUB__NONE) return r->a[i];
  if (msub__table_reserve(&r->table, &r->mem) != MSUB_OK) return NULL;
  if (r->n == r->max) i = forget(r);
  else {
    if (r->n == r->cap) {
      uint32_t cap = r->cap ? r->cap * 2 : 16;
      author **more = msub__realloc(&r->mem, r->a, r->cap * sizeof *more, cap * sizeof *more);
      if (!more) return NULL;
      r->a = more;
      r->cap = cap;
    }
    r->a[r->n] = msub__alloc(&r->mem, sizeof **r->a);
    if (!r->a[r->n]) return NULL;
    i = r->n++;
  }
  author *a = r->a[i];
  memset(a, 0, sizeof *a);
  a->id_n = (uint8_t)id.n;
  memcpy(a->id, id.p, id.n);
  msub__list_init(&a->node);
  int rc = msub__table_insert(&r->table, &r->mem, msub__hash(&r->key, id), i);
  MSUB__INVARIANT(rc == MSUB_OK);
  return a;
}

static void touch(msub_replay *r, author *a) {
  msub__list_remove(&a->node);
  msub__list_push(&r->lists[a->shown], &a->node);
}

/* ---- the store ---- */

static void put64(uint8_t *to, uint64_t v) {
  for (unsigned i = 0; i < 8; i++) to[i] = (uint8_t)(v >> (56 - 8 * i));
}
static uint64_t get64(const uint8_t *p) {
  uint64_t v = 0;
  for (unsigned i = 0; i < 8; i++) v = v << 8 | p[i];
  return v;
}

static void save(msub_replay *r, const author *a) {
  uint8_t key[PREFIX_MAX + ID_MAX], value[VALUE_MAX] = { VERSION, a->shown, a->run, a->n_recent };
  if (!r->store.ops) return;
  put64(value + 4, a->top);
  put64(value + 12, a->bits);
  for (unsigned i = 0; i < a->n_recent; i++) /* the oldest first */
    put64(value + 20 + 8 * i, a->recent[(a->next + RECENT - a->n_recent + i) % RECENT]);
  msub_store_op op = { true, key_of(r, (msub_bytes){ a->id, a->id_n }, key), { value, 20 + 8u * a->n_recent } };
  if (r->store.ops->submit(r->store.s, &op, 1, r->token) != MSUB_OK) r->counts.not_written++;
}

typedef struct loading {
  msub_replay *r;
  bool no_memory;
  msub_store_op ops[CLEAN]; /* keys that are to go */
  uint8_t keys[CLEAN][PREFIX_MAX + ID_MAX];
  size_t n;
} loading;

static bool load(void *ud, msub_bytes key, msub_bytes value) {
  loading *l = ud;
  msub_replay *r = l->r;
  msub_bytes id = { key.p + r->prefix_n, key.n - r->prefix_n };
  const uint8_t *v = value.p;
  bool good = id.n > 0 && id.n <= ID_MAX && value.n >= 20 && v[0] == VERSION && v[1] <= 1 && v[2] <= RUN && v[3] <= RECENT && value.n == 20 + 8u * v[3];
  if (!good) r->counts.bad_records++;
  if (!good || (r->n == r->max && find(r, id) == MSUB__NONE)) {
    if (key.n > sizeof l->keys[0]) return true;
    memcpy(l->keys[l->n], key.p, key.n);
    l->ops[l->n] = (msub_store_op){ false, { l->keys[l->n], key.n }, { NULL, 0 } };
    return ++l->n < CLEAN;
  }
  author *a = author_of(r, id);
  if (!a) {
    l->no_memory = true;
    return false;
  }
  *a = (author){ .node = a->node, .top = get64(v + 4), .bits = get64(v + 12), .n_recent = v[3], .next = (uint8_t)(v[3] % RECENT), .run = v[2],
                 .shown = v[1], .id_n = a->id_n };
  memcpy(a->id, id.p, id.n);
  for (unsigned i = 0; i < a->n_recent; i++) a->recent[i] = get64(v + 20 + 8 * i);
  msub__list_init(&a->node);
  msub__list_push(&r->lists[a->shown], &a->node);
  return true;
}

/* What is no record, or one too many, is taken away; again as long as there is more of it than goes at a time. */
static int load_all(msub_replay *r) {
  loading *l = msub__alloc(&r->mem, sizeof *l);
  if (!l) return MSUB_ERR_NOMEM;
  int rc;
  do {
    for (uint32_t i = 0; i < r->n; i++) msub__list_remove(&r->a[i]->node); /* they are met again */
    *l = (loading){ .r = r };
    rc = r->store.ops->iterate(r->store.s, (msub_bytes){ r->prefix, r->prefix_n }, load, l);
    if (rc == MSUB_OK && l->no_memory) rc = MSUB_ERR_NOMEM;
    if (rc == MSUB_OK && l->n && r->store.ops->submit(r->store.s, l->ops, l->n, r->token) != MSUB_OK) r->counts.not_written++, l->n = 0;
  } while (rc == MSUB_OK && l->n == CLEAN);
  msub__free(&r->mem, l, sizeof *l);
  return rc;
}

bool msub_replay_durable(msub_replay *r, msub_token token, int result) {
  if (token.v != r->token.v) return false;
  if (result != MSUB_OK) r->counts.not_written++;
  return true;
}

/* ---- life ---- */

int msub_replay_new(const msub_replay_opts *o, msub_replay **out) {
  *out = NULL;
  if (o->size != sizeof *o || !o->entropy || o->max_authors == 0 || o->prefix.n > PREFIX_MAX || (unsigned)o->rule > MSUB_REPLAY_ALWAYS) return MSUB_ERR_INVAL;
  if (o->store.ops && (o->store.ops->abi != MSUB_ABI || o->prefix.n == 0 || o->token.v == 0)) return MSUB_ERR_INVAL;
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  msub_replay *r = msub__zalloc(&mem, 1, sizeof *r);
  if (!r) return MSUB_ERR_NOMEM;
  r->mem = mem;
  r->store = o->store;
  r->token = o->token;
  r->rule = o->rule;
  r->max = o->max_authors;
  r->prefix_n = (uint32_t)o->prefix.n;
  if (o->prefix.n) memcpy(r->prefix, o->prefix.p, o->prefix.n);
  msub__hashkey_init(&r->key, o->entropy);
  msub__list_init(&r->lists[0]);
  msub__list_init(&r->lists[1]);
  int rc = r->store.ops ? load_all(r) : MSUB_OK;
  if (rc != MSUB_OK) {
    msub_replay_free(r);
    return rc;
  }
  *out = r;
  return MSUB_OK;
}

void msub_replay_free(msub_replay *r) {
  if (!r) return;
  msub_mem mem = r->mem;
  for (uint32_t i = 0; i < r->n; i++) msub__free(&mem, r->a[i], sizeof *r->a[i]);
  msub__free(&mem, r->a, r->cap * sizeof *r->a);
  msub__table_fini(&r->table, &mem);
  msub__free(&mem, r, sizeof *r);
}

void msub_replay_count(const msub_replay *r, msub_replay_counts *out) {
  *out = r->counts;
  out->authors = r->n;
  for (uint32_t i = 0; i < r->n; i++) out->shown += r->a[i]->shown;
}

/* ---- the validator ---- */

/* A message that is counted: of a verified author, with a number. */
static bool counted(const msub_msg *m) {
  return m->present & MSUB_HAS_SIGNATURE && m->seqno_n == 8 && m->from_n > 0 && m->from_n <= ID_MAX;
}

static msub_verdict judge(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job) {
  msub_replay *r = ud;
  (void)token, (void)job;
  if (from.v == 0) return MSUB_ACCEPT;
  if (!counted(m)) {
    if (r->rule == MSUB_REPLAY_SHOWN) return MSUB_ACCEPT;
    r->counts.not_counted++;
    return MSUB_IGNORE;
  }
  uint32_t i = find(r, msub_from(m));
  if (i == MSUB__NONE || !known(r->a[i], get64(msub_seqno(m).p))) return MSUB_ACCEPT;
  r->counts.replayed++;
  return MSUB_IGNORE;
}

static void concluded(void *ud, const msub_msg *m, msub_peer from, msub_verdict v) {
  msub_replay *r = ud;
  if (v != MSUB_ACCEPT || from.v == 0 || !counted(m)) return;
  author *a = author_of(r, msub_from(m));
  if (!a) return; /* as if it had been forgotten */
  note(a, get64(msub_seqno(m).p), r->rule);
  touch(r, a);
  save(r, a);
}

msub_validator_opts msub_replay_validator(msub_replay *r) {
  msub_validator_opts o;
  msub_validator_opts_init(&o);
  o.name = "replay";
  o.fn = judge;
  o.ud = r;
  o.concluded = concluded;
  return o;
}
