#include <criterion/criterion.h>
#include <limits.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/deadline.h"
#include "base/log.h"
#include "base/ring.h"
#include "base/rng.h"
#include "base/table.h"
#include "tests/hex.h"

/* An allocator that counts what is out and fails when told to. */
typedef struct meter {
  size_t bytes, calls;
  bool fail;
} meter;
static void *meter_alloc(void *ud, size_t n) {
  meter *m = ud;
  if (m->fail) return NULL;
  void *p = malloc(n);
  if (p) m->bytes += n;
  m->calls++;
  return p;
}
static void meter_free(void *ud, void *p, size_t n) {
  meter *m = ud;
  m->bytes -= n;
  free(p);
}
static msub_mem metered(meter *m) { return (msub_mem){ .alloc = meter_alloc, .free = meter_free, .ud = m }; }

Test(base, errors) {
  cr_assert_str_eq(msub_err_name(MSUB_ERR_LIMIT), "MSUB_ERR_LIMIT");
  cr_assert_str_eq(msub_err_name(MSUB_OK), "MSUB_OK");
  cr_assert_str_eq(msub_err_text(MSUB_ERR_NOMEM), "out of memory");
  cr_assert_eq(msub_err_class_of(MSUB_ERR_NOMEM), MSUB_CLASS_RESOURCE);
  cr_assert_eq(msub_err_class_of(MSUB_ERR_MALFORMED), MSUB_CLASS_PEER);
  cr_assert_eq(msub_err_class_of(MSUB_OK), MSUB_CLASS_NONE);
  const int odd[] = { 1, -16, INT_MIN, INT_MAX };
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    cr_assert_str_eq(msub_err_name(odd[i]), "MSUB_ERR_UNKNOWN");
    cr_assert_not_null(msub_err_text(odd[i]));
    cr_assert_eq(msub_err_class_of(odd[i]), MSUB_CLASS_CALLER);
  }
  const msub_bytes none = { NULL, 0 };
  cr_assert(msub_bytes_eq(msub_str(""), none));
  cr_assert(msub_bytes_eq(msub_str(NULL), none));
  cr_assert(msub_bytes_eq(msub_str("ab"), msub_str("ab")));
  cr_assert_not(msub_bytes_eq(msub_str("ab"), msub_str("ac")));
  cr_assert_not(msub_bytes_eq(msub_str("ab"), msub_str("abc")));
}

Test(base, G_33_escape) {
  char out[64];
  const msub_bytes odd = { (const uint8_t *)"a\n\"\\\x7f\xff", 6 };
  cr_assert_str_eq(msub_escape(out, sizeof out, odd), "a\\x0a\\\"\\\\\\x7f\\xff");
  cr_assert_str_eq(msub_escape(out, sizeof out, (msub_bytes){ NULL, 0 }), "");
  cr_assert_str_eq(msub_escape(out, 7, msub_str("abcdef")), "abcdef", "it just fits");
  cr_assert_str_eq(msub_escape(out, 6, msub_str("abcdef")), "ab...");
  cr_assert_str_eq(msub_escape(out, 8, msub_str("a\n\n")), "a...", "an escape is not cut in two");
  for (size_t cap = 0; cap < 32; cap++) { /* never beyond cap, always ended */
    memset(out, '#', sizeof out);
    msub_escape(out, cap, msub_str("xyz\x01\"\\\x02 and so on, longer than the buffer"));
    cr_assert_eq(out[cap], '#');
    if (cap > 0) cr_assert_not_null(memchr(out, 0, cap));
    if (cap > 4) cr_assert_str_eq(out + strlen(out) - 3, "...", "cap %zu", cap);
  }
}

static char last_line[2048];
static void keep_line(void *ud, msub_log_level level, const char *module, const char *line) {
  (void)level;
  (*(int *)ud)++;
  cr_assert_str_eq(module, "test");
  strncpy(last_line, line, sizeof last_line - 1);
}

Test(base, log) {
  int lines = 0;
  msub_log log = { .fn = keep_line, .ud = &lines, .level = MSUB_LOG_INFO };
  MSUB__LOG(&log, MSUB_LOG_INFO, "test", "%d peers\nof %s", 3, "x");
  cr_assert_str_eq(last_line, "3 peers?of x");
  MSUB__LOG(&log, MSUB_LOG_DEBUG, "test", "not this one");
  cr_assert_eq(lines, 1);
  MSUB__LOG(&log, MSUB_LOG_ERROR, "test", "%3000d", 1);
  cr_assert_eq(strlen(last_line), 1023);
  cr_assert_str_eq(last_line + 1020, "...");
  const msub_log *none = NULL;
  MSUB__LOG(none, MSUB_LOG_ERROR, "test", "nobody listens");
  cr_assert_eq(lines, 2);
}

Test(base, memory) {
  meter t = { 0 };
  msub_mem m = metered(&t);
  cr_assert_null(msub__zalloc(&m, SIZE_MAX / 2, 3), "the product overflows");
  cr_assert_null(msub__alloc(&m, 0));
  uint8_t *p = msub__zalloc(&m, 4, 8);
  for (size_t i = 0; i < 32; i++) cr_assert_eq(p[i], 0);
  memset(p, 7, 32);
  t.fail = true;
  cr_assert_null(msub__realloc(&m, p, 32, 64));
  cr_assert_eq(p[31], 7, "untouched");
  t.fail = false;
  p = msub__realloc(&m, p, 32, 64);
  cr_assert_eq(p[31], 7);
  p = msub__realloc(&m, p, 64, 8);
  cr_assert_eq(p[7], 7);
  msub__free(&m, p, 8);
  msub__free(&m, NULL, 8);
  cr_assert_eq(t.bytes, 0, "sized frees add up");
}

Test(base, arena) {
  enum { ALIGN = _Alignof(max_align_t) };
  _Alignas(max_align_t) uint8_t memory[4 * ALIGN];
  msub__arena a;
  msub__arena_init(&a, memory + 1, sizeof memory - 1);
  uint8_t *one = msub__arena_alloc(&a, 1), *two = msub__arena_alloc(&a, ALIGN);
  cr_assert_eq((uintptr_t)one % ALIGN, 0);
  cr_assert_eq(two, one + ALIGN);
  cr_assert_null(msub__arena_alloc(&a, SIZE_MAX));
  cr_assert_null(msub__arena_alloc(&a, ALIGN + 1));
  cr_assert(a.full);
  cr_assert_not_null(msub__arena_alloc(&a, ALIGN));
  cr_assert_null(msub__arena_alloc(&a, 1));
  msub__arena_init(&a, NULL, 0);
  cr_assert_null(msub__arena_alloc(&a, 1));
}

Test(base, ring) {
  meter t = { 0 };
  msub_mem m = metered(&t);
  msub__ring r;
  msub__rng rng;
  msub__rng_init(&rng, 1, 1);
  msub__ring_init(&r, sizeof(uint32_t));
  cr_assert_null(msub__ring_front(&r));
  uint32_t in = 0, out = 0;
  for (int step = 0; step < 20000; step++) {
    if (msub__rng_below(&rng, 100) < (step < 10000 ? 60u : 40u)) {
      uint32_t *p = msub__ring_push(&r, &m);
      cr_assert_not_null(p);
      *p = in++;
    } else if (out < in) {
      cr_assert_eq(*(uint32_t *)msub__ring_front(&r), out);
      msub__ring_pop(&r);
      out++;
    }
    cr_assert_eq(r.n, in - out);
    if (r.n) cr_assert_eq(*(uint32_t *)msub__ring_at(&r, r.n - 1), in - 1);
  }
  while (r.n < r.cap) *(uint32_t *)msub__ring_push(&r, &m) = in++;
  t.fail = true;
  cr_assert_null(msub__ring_push(&r, &m));
  cr_assert_eq(*(uint32_t *)msub__ring_at(&r, r.n - 1), in - 1, "a failed push changes nothing");
  msub__ring_fini(&r, &m);
  cr_assert_eq(t.bytes, 0);
}

Test(base, buffer) {
  meter t = { 0 };
  msub_mem m = metered(&t);
  msub__buf b = { 0 };
  msub__rng rng;
  msub__rng_init(&rng, 2, 1);
  cr_assert_eq(msub__buf_unread(&b).n, 0);
  cr_assert_not_null(msub__buf_reserve(&b, &m, 0));
  uint8_t next_in = 0, next_out = 0, chunk[300];
  size_t most = 0;
  for (int step = 0; step < 20000; step++) {
    size_t n = msub__rng_below(&rng, 300);
    if (msub__rng_below(&rng, 2)) {
      for (size_t i = 0; i < n; i++) chunk[i] = next_in++;
      cr_assert_eq(msub__buf_append(&b, &m, (msub_bytes){ chunk, n }), MSUB_OK);
    } else {
      msub_bytes have = msub__buf_unread(&b);
      n = n > have.n || msub__rng_below(&rng, 4) == 0 ? have.n : n;
      for (size_t i = 0; i < n; i++) cr_assert_eq(have.p[i], next_out++);
      msub__buf_consume(&b, n);
    }
    if (msub__buf_len(&b) > most) most = msub__buf_len(&b);
  }
  cr_assert_leq(b.cap, 4 * most, "room stays in proportion");
  size_t len = msub__buf_len(&b);
  t.fail = true;
  cr_assert_null(msub__buf_reserve(&b, &m, 1 << 20));
  cr_assert_null(msub__buf_reserve(&b, &m, SIZE_MAX - 1));
  cr_assert_eq(msub__buf_len(&b), len);
  msub__buf_fini(&b, &m);
  cr_assert_eq(msub__buf_len(&b), 0);

  t.fail = false;
  msub__rc *r = msub__rc_new(&m, msub_str("hello"));
  cr_assert_eq(r->n, 5);
  cr_assert_eq(memcmp(r->bytes, "hello", 5), 0);
  msub__rc_drop(&m, msub__rc_hold(r));
  cr_assert_eq(r->refs, 1);
  msub__rc_drop(&m, r);
  msub__rc_drop(&m, NULL);
  cr_assert_eq(t.bytes, 0);
}

Test(base, random) {
  msub__rng a, b, copy;
  msub__rng_init(&a, 42, 0);
  msub__rng_init(&b, 42, 1);
  copy = a;
  size_t same = 0;
  for (int i = 0; i < 1000; i++) {
    uint64_t x = msub__rng_u64(&a);
    same += x == msub__rng_u64(&b);
    cr_assert_eq(x, msub__rng_u64(&copy), "same state, same numbers");
  }
  cr_assert_eq(same, 0, "streams share nothing");
  /* The numbers are part of every recorded simulation: they must not change. */
  msub__rng_init(&a, 1, 2);
  cr_assert_eq(msub__rng_u64(&a), UINT64_C(0xb1f29bff14d3e4b1));
  cr_assert_eq(msub__rng_u64(&a), UINT64_C(0xd63f366b883453fa));
  cr_assert_eq(msub__rng_below(&a, 0), 0);
  cr_assert_eq(msub__rng_below(&a, 1), 0);
  unsigned seen[7] = { 0 };
  for (int i = 0; i < 70000; i++) seen[msub__rng_below(&a, 7)]++;
  for (int i = 0; i < 7; i++) cr_assert(seen[i] > 9500 && seen[i] < 10500, "%d: %u", i, seen[i]);
  const uint32_t large = UINT32_C(0xc0000000); /* three quarters: a biased draw would show at once */
  unsigned low = 0;
  for (int i = 0; i < 30000; i++) {
    uint32_t x = msub__rng_below(&a, large);
    cr_assert_lt(x, large);
    low += x < large / 3;
  }
  cr_assert(low > 9500 && low < 10500, "%u", low);
}

/* ---- table ---- */

static bool same_number(const void *ctx, uint32_t value, const void *key) {
  return ((const uint64_t *)ctx)[value] == *(const uint64_t *)key;
}
static msub_bytes number(const uint64_t *k) { return (msub_bytes){ (const uint8_t *)k, sizeof *k }; }

/* The mean distance of entries from their home slots. */
static double displacement(const msub__table *t) {
  double sum = 0;
  for (uint32_t i = 0; i < t->cap; i++) {
    if (t->slots[i].value != MSUB__NONE) {
      uint32_t home = msub__table_home(t, t->slots[i].tag);
      sum += i >= home ? i - home : i + t->cap - home;
    }
  }
  return sum / t->n;
}

Test(base, table) {
  enum { KEYS = 4000 };
  static uint64_t keys[KEYS], hashes[KEYS];
  static bool in[KEYS];
  uint8_t entropy[32] = { 1 };
  meter t = { 0 };
  msub_mem m = metered(&t);
  msub__table table = { 0 };
  msub__hashkey hk;
  msub__rng rng;
  msub__hashkey_init(&hk, entropy);
  msub__rng_init(&rng, 3, 1);
  for (int i = 0; i < KEYS; i++) {
    keys[i] = msub__rng_u64(&rng);
    hashes[i] = msub__hash(&hk, number(&keys[i]));
    if (i % 5 == 0)
      hashes[i] &= UINT64_C(0x0fffffffffffffff); /* crowds, with runs around the end of the array */
    if (i % 7 == 0) hashes[i] |= UINT64_C(0xffff000000000000);
  }
  cr_assert_eq(msub__table_find(&table, 1, same_number, keys, &keys[0]), MSUB__NONE);
  cr_assert_not(msub__table_remove(&table, 1, 1));
  uint32_t count = 0;
  for (int step = 0; step < 60000; step++) {
    uint32_t i = msub__rng_below(&rng, KEYS);
    uint32_t found = msub__table_find(&table, hashes[i], same_number, keys, &keys[i]);
    cr_assert_eq(found, in[i] ? i : MSUB__NONE);
    if (in[i]) {
      cr_assert(msub__table_remove(&table, hashes[i], i));
      cr_assert_not(msub__table_remove(&table, hashes[i], i));
      count--;
    } else {
      cr_assert_eq(msub__table_insert(&table, &m, hashes[i], i), MSUB_OK);
      count++;
    }
    in[i] = !in[i];
    cr_assert_eq(table.n, count);
    cr_assert_leq((uint64_t)table.n * 4, (uint64_t)table.cap * 3, "load at most three quarters");
  }
  for (uint32_t i = 0; i < KEYS; i++) {
    uint32_t found = msub__table_find(&table, hashes[i], same_number, keys, &keys[i]);
    cr_assert_eq(found, in[i] ? i : MSUB__NONE);
  }
  cr_assert_eq(msub__table_bytes(&table), t.bytes);

  /* A new value for an entry. */
  uint32_t i = 0;
  while (!in[i]) i++;
  cr_assert(msub__table_update(&table, hashes[i], i, 77777));
  cr_assert_not(msub__table_update(&table, hashes[i], i, 1));
  cr_assert(msub__table_remove(&table, hashes[i], 77777));

  /* Without memory: nothing changes; after a reserve an insert needs none. */
  while (table.n < table.cap * 3 / 4) {
    cr_assert_eq(msub__table_insert(&table, &m, msub__rng_u64(&rng), 5), MSUB_OK);
  }
  uint32_t full = table.n;
  t.fail = true;
  cr_assert_eq(msub__table_insert(&table, &m, 1, 1), MSUB_ERR_NOMEM);
  cr_assert_eq(table.n, full);
  t.fail = false;
  cr_assert_eq(msub__table_reserve(&table, &m), MSUB_OK);
  t.fail = true;
  cr_assert_eq(msub__table_insert(&table, &m, 1, 1), MSUB_OK);
  msub__table_fini(&table, &m);
  cr_assert_eq(t.bytes, 0);
}

Test(base, G_12_keyed_hash) {
  uint8_t entropy[2][32] = { { 1 }, { 2 } };
  msub__hashkey a, b;
  msub__hashkey_init(&a, entropy[0]);
  msub__hashkey_init(&b, entropy[1]);
  cr_assert_neq(memcmp(a.secret, b.secret, sizeof a.secret), 0, "G-12: the key differs between runs");
  uint8_t text[64] = { 0 };
  for (size_t n = 0; n <= sizeof text; n++) {
    const msub_bytes v = { text, n };
    cr_assert_eq(msub__hash(&a, v), msub__hash(&a, v));
    cr_assert_neq(msub__hash(&a, v), msub__hash(&b, v), "G-12: length %zu", n);
    cr_assert_neq(msub__hash2(&a, 1, v), msub__hash2(&a, 2, v));
    cr_assert_neq(msub__hash2(&a, 1, v), msub__hash2(&b, 1, v));
    cr_assert_neq(msub__hash2(&a, 0, v), msub__hash(&a, v));
  }
  cr_assert_neq(msub__hash2(&a, 'a', msub_str("b")), msub__hash2(&a, 'b', msub_str("a")));
  cr_assert_eq(msub__hash(&a, (msub_bytes){ NULL, 0 }), msub__hash(&a, msub_str("")));

  /* G-12: keys that were chosen to collide under one secret are ordinary keys under another. */
  enum { CHOSEN = 5000, HOMES = 1024 };
  static uint64_t chosen[CHOSEN];
  msub_mem m = msub__mem_default();
  msub__table known = { 0 }, fresh = { 0 };
  uint32_t n = 0;
  for (uint64_t k = 0; n < CHOSEN; k++) {
    if (msub__hash(&a, number(&k)) >> 32 < UINT32_MAX / HOMES) chosen[n++] = k;
  }
  for (uint32_t i = 0; i < CHOSEN; i++) {
    cr_assert_eq(msub__table_insert(&known, &m, msub__hash(&a, number(&chosen[i])), i), MSUB_OK);
    cr_assert_eq(msub__table_insert(&fresh, &m, msub__hash(&b, number(&chosen[i])), i), MSUB_OK);
  }
  cr_assert_gt(displacement(&known), 100, "the attack works against a known key");
  cr_assert_lt(displacement(&fresh), 3, "G-12: and not against an unknown one: %f", displacement(&fresh));
  msub__table_fini(&known, &m);
  msub__table_fini(&fresh, &m);
}

/* Whatever a peer says, a sum of times neither wraps nor becomes "never", and is monotone in both parts. */
Test(base, G_02_sums_of_times) {
  const uint64_t edges[] = { 0,
                             1,
                             MSUB__MS,
                             MSUB__S,
                             3600 * MSUB__S,
                             UINT64_MAX / 2,
                             UINT64_MAX - MSUB__S,
                             UINT64_MAX - 2,
                             UINT64_MAX - 1,
                             UINT64_MAX };
  const size_t count = sizeof edges / sizeof *edges;
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < count; j++) {
      uint64_t now = edges[i], backoff = edges[j];
      uint64_t d = msub__deadline(now, backoff);
      cr_assert(d >= now || now == MSUB_NEVER, "G-02: %zu %zu", i, j);
      cr_assert_neq(d, MSUB_NEVER, "G-02");
      for (size_t k = 0; k < count; k++) {
        uint64_t slack = msub__deadline(d, edges[k]);
        cr_assert_geq(slack, d, "G-02: slack only makes it later");
        if (edges[k] >= backoff) cr_assert_geq(msub__deadline(now, edges[k]), d, "G-02: monotone");
      }
      uint64_t ns = msub__remote_seconds(edges[i], 3600 * MSUB__S);
      cr_assert_leq(ns, 3600 * MSUB__S, "G-02: clamped before any sum");
      cr_assert_eq(ns, edges[i] >= 3600 ? 3600 * MSUB__S : edges[i] * MSUB__S, "G-02");
    }
  }
}

Test(base, numbers) {
  size_t z;
  uint32_t w;
  cr_assert_not(msub__add_size(SIZE_MAX, 1, &z));
  cr_assert_not(msub__mul_size(SIZE_MAX, 2, &z));
  cr_assert_not(msub__add_u32(UINT32_MAX, 1, &w));
  cr_assert_eq(msub__sat_sub_u64(1, 2), 0);
  cr_assert_eq(msub__sat_add_u64(UINT64_MAX - 1, 2), UINT64_MAX);
  cr_assert_eq(msub__sat_mul_u64(UINT64_C(1) << 63, 2), UINT64_MAX);
  cr_assert(msub__passed(5, 5));
  cr_assert_not(msub__passed(6, 5));
  cr_assert_eq(msub__sooner(3, MSUB_NEVER), 3);
}
