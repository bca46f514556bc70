#include "pubsub/mcache.h"
#include "base/ring.h"
#include "pubsub/engine.h"
#include <string.h>

/* 12 bytes: an entry without padding. */
typedef struct __attribute__((packed, aligned(4))) entry {
  const msub_msg *m;
  uint32_t next; /* number of the topic's next one; counts when it is not its last */
} entry;
typedef struct asker { uint32_t number, peer, times, next; } asker; /* next: of the same message, index + 1 */

struct msub__mcache {
  struct msub_shared *sh;
  msub__mcache_gone gone;
  void *ud;
  msub__ring ring;
  msub__table index;     /* hash of id → number */
  uint32_t first;        /* number of the front; numbers wrap */
  unsigned windows, gossip;
  uint32_t window, counts[MSUB__CACHE_WINDOWS]; /* the newest window; how many entries stand in each */
  size_t bytes, max_bytes;
  asker *askers;         /* a heap of records with a free list, and an index (number, peer) → record */
  uint32_t n_askers, cap_askers, free_asker, asked; /* asked: messages with askers */
  msub__table by_asker, first_asker;                /* number → first record */
};

/* Numbers count modulo 2^31, so that none of them is the table's "none". */
#define NUMBER(n) ((n) & INT32_MAX)
static entry *at(const msub__mcache *c, uint32_t number) { return msub__ring_at(&c->ring, NUMBER(number - c->first)); }
static uint64_t id_hash(const msub__mcache *c, msub_bytes id) { return msub__hash(&c->sh->key, id); }
static uint64_t number_hash(uint32_t number, uint32_t peer) { return msub__mix((uint64_t)number << 32 | peer); }
/* What a message costs: its block and its share of the tables. */
static size_t cost(const msub_msg *m) { return sizeof *m + m->wire_n + m->id_n + sizeof(entry) + 2 * sizeof(msub__slot); }

typedef struct id_key { msub_bytes id; uint32_t topic_name; } id_key; /* 0: any topic */
static bool same_id(const void *ctx, uint32_t number, const void *key) {
  const msub_msg *m = at(ctx, number)->m;
  const id_key *k = key;
  return (k->topic_name == 0 || m->topic_name == k->topic_name) && msub_bytes_eq(msub_id(m), k->id);
}

msub__mcache *msub__mcache_new(struct msub_shared *sh, unsigned windows, unsigned gossip, size_t max_bytes, msub__mcache_gone gone, void *ud) {
  msub__mcache *c = msub__zalloc(&sh->mem, 1, sizeof *c);
  if (!c) return NULL;
  c->sh = sh;
  c->gone = gone;
  c->ud = ud;
  c->windows = windows;
  c->gossip = gossip;
  c->max_bytes = max_bytes;
  msub__ring_init(&c->ring, sizeof(entry));
  return c;
}

/* ---- askers ---- */

static bool same_asker(const void *ctx, uint32_t i, const void *key) {
  const asker *a = &((const msub__mcache *)ctx)->askers[i], *k = key;
  return a->number == k->number && a->peer == k->peer;
}
static bool same_number(const void *ctx, uint32_t i, const void *key) {
  return ((const msub__mcache *)ctx)->askers[i].number == *(const uint32_t *)key;
}

static void forget_askers(msub__mcache *c, uint32_t number) {
  if (c->asked == 0) return;
  uint32_t i = msub__table_find(&c->first_asker, number_hash(number, 0), same_number, c, &number);
  if (i == MSUB__NONE) return;
  msub__table_remove(&c->first_asker, number_hash(number, 0), i);
  for (uint32_t next = i + 1; next;) {
    asker *a = &c->askers[next - 1];
    uint32_t me = next - 1;
    next = a->next;
    msub__table_remove(&c->by_asker, number_hash(a->number, a->peer), me);
    a->next = c->free_asker;
    c->free_asker = me + 1;
  }
  c->asked--;
}

/* A record for a pair that has none; NULL: no memory, or the bound. */
static asker *new_asker(msub__mcache *c, uint32_t number, uint32_t peer) {
  const msub_mem *m = &c->sh->mem;
  if (msub__table_reserve(&c->by_asker, m) != MSUB_OK || msub__table_reserve(&c->first_asker, m) != MSUB_OK) return NULL;
  uint32_t i;
  if (c->free_asker) {
    i = c->free_asker - 1;
    c->free_asker = c->askers[i].next;
  } else {
    if (c->n_askers == c->cap_askers) {
      if (c->n_askers >= MSUB__CACHE_ASKERS) return NULL;
      uint32_t cap = c->cap_askers ? c->cap_askers * 2 : 16;
      asker *p = msub__realloc(m, c->askers, c->cap_askers * sizeof *p, cap * sizeof *p);
      if (!p) return NULL;
      c->askers = p;
      c->cap_askers = cap;
    }
    i = c->n_askers++;
  }
  c->askers[i] = (asker){ number, peer, 0, 0 };
  uint32_t head = msub__table_find(&c->first_asker, number_hash(number, 0), same_number, c, &number);
  int rc;
  if (head == MSUB__NONE) {
    rc = msub__table_insert(&c->first_asker, m, number_hash(number, 0), i);
    c->asked++;
  } else { /* behind the head, so that the index of heads stays as it is */
    c->askers[i].next = c->askers[head].next;
    c->askers[head].next = i + 1;
    rc = MSUB_OK;
  }
  MSUB__INVARIANT(rc == MSUB_OK);
  rc = msub__table_insert(&c->by_asker, m, number_hash(number, peer), i);
  MSUB__INVARIANT(rc == MSUB_OK);
  return &c->askers[i];
}

/* ---- in and out ---- */

static uint32_t *count_of(msub__mcache *c, uint32_t age) { return &c->counts[(c->window - age) % MSUB__CACHE_WINDOWS]; }

/* How many shifts ago it came. */
static uint32_t age_of(const msub__mcache *c, uint32_t number) {
  uint32_t newer = c->ring.n - 1 - NUMBER(number - c->first), age = 0;
  for (; newer >= c->counts[(c->window - age) % MSUB__CACHE_WINDOWS]; age++) newer -= c->counts[(c->window - age) % MSUB__CACHE_WINDOWS];
  return age;
}

static void pop(msub__mcache *c) {
  entry e = *(entry *)msub__ring_front(&c->ring);
  forget_askers(c, c->first);
  msub__table_remove(&c->index, id_hash(c, msub_id(e.m)), c->first);
  uint32_t age = c->windows - 1;
  while (*count_of(c, age) == 0) age--;
  --*count_of(c, age);
  msub__ring_pop(&c->ring);
  c->first = NUMBER(c->first + 1);
  c->bytes -= cost(e.m);
  if (c->gone) c->gone(c->ud, e.m->topic_name, e.next);
  msub_msg_drop(c->sh, e.m);
}

uint32_t msub__mcache_put(msub__mcache *c, const msub_msg *m, bool chain, uint32_t last, uint64_t *evicted) {
  id_key k = { msub_id(m), m->topic_name };
  uint64_t h = id_hash(c, k.id);
  size_t n = cost(m);
  if (n > c->max_bytes || msub__table_find(&c->index, h, same_id, c, &k) != MSUB__NONE) return MSUB__NONE;
  while (c->bytes + n > c->max_bytes) {
    if (chain && last == c->first) chain = false; /* the one to stand behind goes as well */
    pop(c);
    (*evicted)++;
  }
  if (msub__table_reserve(&c->index, &c->sh->mem) != MSUB_OK) return MSUB__NONE;
  entry *e = msub__ring_push(&c->ring, &c->sh->mem);
  if (!e) return MSUB__NONE;
  *e = (entry){ msub_msg_hold(m), 0 };
  uint32_t number = NUMBER(c->first + c->ring.n - 1);
  int rc = msub__table_insert(&c->index, &c->sh->mem, h, number);
  MSUB__INVARIANT(rc == MSUB_OK);
  if (chain) at(c, last)->next = number;
  ++*count_of(c, 0);
  c->bytes += n;
  return number;
}

void msub__mcache_shift(msub__mcache *c) {
  while (*count_of(c, c->windows - 1)) pop(c);
  c->window++;
}

void msub__mcache_free(msub__mcache *c, struct msub_shared *sh) {
  c->gone = NULL;
  while (c->ring.n) pop(c);
  msub__ring_fini(&c->ring, &sh->mem);
  msub__table_fini(&c->index, &sh->mem);
  msub__table_fini(&c->by_asker, &sh->mem);
  msub__table_fini(&c->first_asker, &sh->mem);
  msub__free(&sh->mem, c->askers, c->cap_askers * sizeof *c->askers);
  msub__free(&sh->mem, c, sizeof *c);
}

/* ---- asking ---- */

static uint32_t find(const msub__mcache *c, msub_bytes id) {
  id_key k = { id, 0 };
  return c->index.n ? msub__table_find(&c->index, id_hash(c, id), same_id, c, &k) : MSUB__NONE;
}

const msub_msg *msub__mcache_get(const msub__mcache *c, msub_bytes id) {
  uint32_t number = find(c, id);
  return number == MSUB__NONE ? NULL : at(c, number)->m;
}

const msub_msg *msub__mcache_ask(msub__mcache *c, msub_bytes id, uint32_t peer, uint32_t *times) {
  uint32_t number = find(c, id);
  *times = 0;
  if (number == MSUB__NONE) return NULL;
  asker k = { number, peer, 0, 0 };
  uint32_t i = c->asked ? msub__table_find(&c->by_asker, number_hash(number, peer), same_asker, c, &k) : MSUB__NONE;
  asker *a = i == MSUB__NONE ? new_asker(c, number, peer) : &c->askers[i];
  /* Who cannot be counted is not served again and again. */
  *times = a ? (a->times < UINT32_MAX ? ++a->times : a->times) : UINT32_MAX;
  return at(c, number)->m;
}

void msub__mcache_unask(msub__mcache *c, msub_bytes id, uint32_t peer) {
  uint32_t number = find(c, id);
  if (number == MSUB__NONE || !c->asked) return;
  asker k = { number, peer, 0, 0 };
  uint32_t i = msub__table_find(&c->by_asker, number_hash(number, peer), same_asker, c, &k);
  if (i != MSUB__NONE && c->askers[i].times) c->askers[i].times--;
}

const msub_msg *msub__mcache_age(const msub__mcache *c, msub_bytes id, uint32_t *age) {
  uint32_t number = find(c, id);
  if (number == MSUB__NONE) return NULL;
  *age = age_of(c, number);
  return at(c, number)->m;
}

size_t msub__mcache_gossip(const msub__mcache *c, uint32_t first, uint32_t n, msub_bytes *ids, size_t max) {
  size_t per_window[MSUB__CACHE_WINDOWS] = { 0 }, start[MSUB__CACHE_WINDOWS], total = 0;
  uint32_t number = first;
  for (uint32_t i = 0; i < n; i++, number = at(c, number)->next) per_window[age_of(c, number)]++;
  for (unsigned age = 0; age < c->gossip; age++) {
    start[age] = total;
    total += per_window[age];
  }
  number = first;
  for (uint32_t i = 0; i < n; i++, number = at(c, number)->next) {
    uint32_t age = age_of(c, number);
    if (age < c->gossip && start[age] < max) ids[start[age]] = msub_id(at(c, number)->m);
    if (age < c->gossip) start[age]++;
  }
  return total < max ? total : max;
}

size_t msub__mcache_count(const msub__mcache *c) { return c->ring.n; }
size_t msub__mcache_counters(const msub__mcache *c) { return c->asked; }
