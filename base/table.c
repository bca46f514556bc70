/* base/table.c. The home slot of an entry is where its tag stands among all tags: both halves of the work, finding and growing,
 * need nothing but the tag, so the table never asks for a hash again; and as entries stand about in the order of their tags at any
 * capacity, growing reads the old array and writes the new one from front to back. */
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <string.h>
#include "base/assert.h"
#include "base/checked.h"
#include "base/table.h"

#define FIRST_CAP 8u
#define SMALL 64u
#define MAX_CAP (UINT32_C(1) << 31)

_Static_assert(sizeof(((msub__hashkey *)0)->secret) >= XXH3_SECRET_SIZE_MIN, "XXH3 needs a longer secret");

void msub__hashkey_init(msub__hashkey *k, const uint8_t entropy[32]) {
  XXH_errorcode rc = XXH3_generateSecret(k->secret, sizeof k->secret, entropy, 32);
  MSUB__INVARIANT(rc == XXH_OK);
}

uint64_t msub__hash(const msub__hashkey *k, msub_bytes b) {
  return XXH3_64bits_withSecret(b.p, b.n, k->secret, sizeof k->secret);
}

uint64_t msub__hash2(const msub__hashkey *k, uint64_t word, msub_bytes b) { return msub__hash_join(word, msub__hash(k, b)); }

/* How far it is from slot a on to slot b. */
static uint32_t way(const msub__table *t, uint32_t a, uint32_t b) { return b >= a ? b - a : b + t->cap - a; }

void msub__table_fini(msub__table *t, const msub_mem *m) {
  msub__free(m, t->slots, msub__table_bytes(t));
  *t = (msub__table){ 0 };
}

static void put(msub__table *t, msub__slot s) {
  uint32_t i = msub__table_home(t, s.tag);
  while (t->slots[i].value != MSUB__NONE) i = msub__table_after(t, i);
  t->slots[i] = s;
}

/* Doubles while it is small, then grows by a quarter: the fuller, the less it costs an entry. */
static uint32_t next_cap(uint32_t cap) {
  if (cap == 0) return FIRST_CAP;
  uint32_t more = cap < SMALL ? cap * 2 : cap + cap / 4;
  return more < MAX_CAP ? more : MAX_CAP;
}

int msub__table_reserve(msub__table *t, const msub_mem *m) {
  if (t->n < (uint64_t)t->cap * 3 / 4) return MSUB_OK;
  if (t->cap >= MAX_CAP) return MSUB_ERR_LIMIT;
  msub__table bigger = { .cap = next_cap(t->cap), .n = t->n };
  size_t bytes;
  if (!msub__mul_size(bigger.cap, sizeof(msub__slot), &bytes)) return MSUB_ERR_LIMIT;
  bigger.slots = msub__alloc(m, bytes);
  if (!bigger.slots) return MSUB_ERR_NOMEM;
  memset(bigger.slots, 0xff, bytes); /* value MSUB__NONE: empty */
  for (uint32_t i = 0; i < t->cap; i++) {
    if (t->slots[i].value != MSUB__NONE) put(&bigger, t->slots[i]);
  }
  msub__free(m, t->slots, msub__table_bytes(t));
  *t = bigger;
  return MSUB_OK;
}

int msub__table_insert(msub__table *t, const msub_mem *m, uint64_t hash, uint32_t value) {
  MSUB__INVARIANT(value != MSUB__NONE);
  int rc = msub__table_reserve(t, m);
  if (rc != MSUB_OK) return rc;
  put(t, (msub__slot){ .tag = msub__table_tag(hash), .value = value });
  t->n++;
  return MSUB_OK;
}

static msub__slot *entry(const msub__table *t, uint64_t hash, uint32_t value) {
  if (t->n == 0 || value == MSUB__NONE) return NULL;
  uint32_t tag = msub__table_tag(hash);
  for (uint32_t i = msub__table_home(t, tag); t->slots[i].value != MSUB__NONE; i = msub__table_after(t, i)) {
    if (t->slots[i].tag == tag && t->slots[i].value == value) return &t->slots[i];
  }
  return NULL;
}

bool msub__table_remove(msub__table *t, uint64_t hash, uint32_t value) {
  msub__slot *s = entry(t, hash, value);
  if (!s) return false;
  uint32_t hole = (uint32_t)(s - t->slots);
  /* Whatever stands behind the hole and may stand in it moves there: no tombstones. */
  for (uint32_t i = msub__table_after(t, hole); t->slots[i].value != MSUB__NONE; i = msub__table_after(t, i)) {
    if (way(t, msub__table_home(t, t->slots[i].tag), i) >= way(t, hole, i)) {
      t->slots[hole] = t->slots[i];
      hole = i;
    }
  }
  t->slots[hole] = (msub__slot){ .tag = 0, .value = MSUB__NONE };
  t->n--;
  return true;
}

bool msub__table_update(msub__table *t, uint64_t hash, uint32_t old, uint32_t value) {
  MSUB__INVARIANT(value != MSUB__NONE);
  msub__slot *s = entry(t, hash, old);
  if (!s) return false;
  s->value = value;
  return true;
}

size_t msub__table_bytes(const msub__table *t) { return (size_t)t->cap * sizeof(msub__slot); }
