/* base/table.h: keyed hash index. It maps a 64-bit hash to a number that the owner chose (an index into an array of its own);
 * the owner compares keys. Open addressing, linear probing, backward-shift deletion, 8 bytes a slot, load <= 3/4, of a large
 * table that grew >= 3/5: 10.7 to 13.3 bytes an entry.
 *
 *     slots   ┌──────┬───────┐┌──────┬───────┐┌──────┬───────┐
 *             │ tag  │ value ││  0   │ empty ││ tag  │ value │ …      tag: upper half of the hash
 *             └──────┴───────┘└──────┴───────┘└──────┴───────┘
 *
 * Hashes are XXH3 under a secret drawn by the world, so a peer cannot choose keys that collide. Never iterate a table where
 * the order could reach the wire: keep an array beside it. */
#ifndef MSUB_BASE_TABLE_H
#define MSUB_BASE_TABLE_H
#include "base/mem.h"

#define MSUB__NONE UINT32_MAX
typedef struct msub__hashkey { uint8_t secret[192]; } msub__hashkey;
/* Expands 32 bytes of entropy to the secret. */
void msub__hashkey_init(msub__hashkey *k, const uint8_t entropy[32]);
uint64_t msub__hash(const msub__hashkey *k, msub_bytes b);
uint64_t msub__hash2(const msub__hashkey *k, uint64_t word, msub_bytes b); /* of (word, bytes): keys of two parts */
/* The same, of the bytes' hash. Nobody outside knows that one, so nobody can choose the two parts such that they meet. */
static inline uint64_t msub__hash_join(uint64_t word, uint64_t hash) {
  uint64_t x = hash ^ (word + 1) * UINT64_C(0x9e3779b97f4a7c15);
  return x ^ x >> 32;
}

typedef struct msub__slot { uint32_t tag, value; } msub__slot;
typedef struct msub__table {
  msub__slot *slots;
  uint32_t cap, n;
} msub__table;
static inline uint32_t msub__table_home(const msub__table *t, uint32_t tag) { return (uint32_t)((uint64_t)tag * t->cap >> 32); }
typedef bool (*msub__eq)(const void *ctx, uint32_t value, const void *key);
void msub__table_fini(msub__table *t, const msub_mem *m);
static inline uint32_t msub__table_tag(uint64_t hash) { return (uint32_t)(hash >> 32); }
static inline uint32_t msub__table_after(const msub__table *t, uint32_t i) { return i + 1 < t->cap ? i + 1 : 0; }
/* The value whose entry eq() confirms, or MSUB__NONE. Here, so that a caller's eq() costs no call. */
static inline uint32_t msub__table_find(const msub__table *t, uint64_t hash, msub__eq eq, const void *ctx, const void *key) {
  if (t->n == 0) return MSUB__NONE;
  uint32_t tag = msub__table_tag(hash);
  for (uint32_t i = msub__table_home(t, tag);; i = msub__table_after(t, i)) {
    const msub__slot *s = &t->slots[i];
    if (s->value == MSUB__NONE) return MSUB__NONE;
    if (s->tag == tag && eq(ctx, s->value, key)) return s->value;
  }
}
/* Makes room for one more; after it the next insert cannot fail. NOMEM, LIMIT (2^31 entries). */
MSUB_MUST int msub__table_reserve(msub__table *t, const msub_mem *m);
/* The caller has made sure that the key is not there. */
MSUB_MUST int msub__table_insert(msub__table *t, const msub_mem *m, uint64_t hash, uint32_t value);
/* Removes the entry with this hash and value; false: there was none. */
bool msub__table_remove(msub__table *t, uint64_t hash, uint32_t value);
/* Gives the entry (hash, old) a new value; false: there was none. */
bool msub__table_update(msub__table *t, uint64_t hash, uint32_t old, uint32_t value);
size_t msub__table_bytes(const msub__table *t);
#endif
