#include "store_suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"

void store_broken(const char *what, const char *file, int line) {
  fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
  abort();
}

/* ---- helpers ---- */

static void on_durable(void *ud, msub_token token, int result) {
  store_kit *k = ud;
  STORE_CHECK(k->n_told < sizeof k->told / sizeof *k->told);
  k->told[k->n_told].token = token.v;
  k->told[k->n_told++].result = result;
}

void store_suite_run(store_kit *k, const store_case *c) {
  k->n_told = 0;
  k->open(k);
  k->store.ops->listen(k->store.s, on_durable, k);
  c->run(k);
  k->close(k);
}

static void crash(store_kit *k) {
  k->crash(k);
  k->n_told = 0;
  k->store.ops->listen(k->store.s, on_durable, k);
}

static int submit(store_kit *k, const msub_store_op *ops, size_t n, uint64_t token) {
  return k->store.ops->submit(k->store.s, ops, n, (msub_token){ token });
}

void store_put(store_kit *k, const char *key, const char *value, uint64_t token) {
  msub_store_op op = { value != NULL, msub_str(key), msub_str(value) };
  STORE_CHECK(submit(k, &op, 1, token) == MSUB_OK);
}

bool store_is(store_kit *k, const char *key, const char *value) {
  msub_bytes v = { NULL, 0 };
  int err = k->store.ops->get(k->store.s, msub_str(key), &v);
  if (!value) return err == MSUB_ERR_NOTFOUND;
  return err == MSUB_OK && msub_bytes_eq(v, msub_str(value));
}

void store_settle(store_kit *k, size_t n_told) {
  for (unsigned i = 0; i < 10000 && k->n_told < n_told; i++) k->turn(k);
  STORE_CHECK(k->n_told == n_told);
}

typedef struct text {
  char s[4096];
  size_t n;
} text;

static bool add_key(void *ud, msub_bytes key, msub_bytes value) {
  text *t = ud;
  int n = snprintf(t->s + t->n, sizeof t->s - t->n, "%s%.*s=%.*s", t->n ? " " : "", (int)key.n, (const char *)key.p,
                   (int)value.n, (const char *)value.p);
  STORE_CHECK(n > 0 && (size_t)n < sizeof t->s - t->n);
  t->n += (size_t)n;
  return true;
}

const char *store_keys(store_kit *k, const char *prefix) {
  static text t;
  t = (text){ .n = 0 };
  STORE_CHECK(k->store.ops->iterate(k->store.s, msub_str(prefix), add_key, &t) == MSUB_OK);
  return t.s;
}

static bool keys_are(store_kit *k, const char *prefix, const char *wanted) {
  const char *got = store_keys(k, prefix);
  if (strcmp(got, wanted) != 0) fprintf(stderr, "keys of \"%s\": \"%s\", not \"%s\"\n", prefix, got, wanted);
  return strcmp(got, wanted) == 0;
}

static uint64_t append(store_kit *k, const char *record) {
  uint64_t offset = UINT64_MAX;
  STORE_CHECK(k->store.ops->log_append(k->store.s, msub_str(record), &offset) == MSUB_OK);
  return offset;
}

static bool record_is(store_kit *k, uint64_t offset, const char *record) {
  msub_bytes r = { NULL, 0 };
  int err = k->store.ops->log_read(k->store.s, offset, &r);
  if (!record) return err == MSUB_ERR_NOTFOUND;
  return err == MSUB_OK && msub_bytes_eq(r, msub_str(record));
}

static bool range_is(store_kit *k, uint64_t first, uint64_t next) {
  uint64_t f, n;
  k->store.ops->log_range(k->store.s, &f, &n);
  return f == first && n == next;
}

static void sync_log(store_kit *k, uint64_t token) {
  STORE_CHECK(k->store.ops->log_sync(k->store.s, (msub_token){ token }) == MSUB_OK);
}

/* ---- keys ---- */

static void reads_see_submitted(store_kit *k) {
  STORE_CHECK(store_is(k, "a", NULL));
  store_put(k, "a", "1", 1);
  STORE_CHECK(store_is(k, "a", "1") && k->n_told == 0);
  store_put(k, "a", "2", 2);
  STORE_CHECK(store_is(k, "a", "2"));
  store_put(k, "a", NULL, 3);
  STORE_CHECK(store_is(k, "a", NULL));
  store_settle(k, 3);
  STORE_CHECK(store_is(k, "a", NULL) && keys_are(k, "", ""));
  store_put(k, "a", "", 4); /* an empty value is a value */
  STORE_CHECK(store_is(k, "a", ""));
}

static void told_later_and_in_order(store_kit *k) {
  for (uint64_t i = 1; i <= 50; i++) {
    if (i % 3 == 0)
      sync_log(k, i);
    else
      store_put(k, "k", "v", i);
    STORE_CHECK(k->n_told == 0); /* never from inside */
  }
  STORE_CHECK(k->store.ops->next_deadline(k->store.s) != MSUB_NEVER);
  store_settle(k, 50);
  for (size_t i = 0; i < 50; i++) STORE_CHECK(k->told[i].token == i + 1 && k->told[i].result == MSUB_OK);
  STORE_CHECK(k->store.ops->next_deadline(k->store.s) == MSUB_NEVER);
  k->turn(k);
  STORE_CHECK(k->n_told == 50); /* once */
}

static void batches_are_whole(store_kit *k) {
  const msub_store_op ops[] = { { true, msub_str("a"), msub_str("1") },
                                { true, msub_str("b"), msub_str("1") },
                                { true, msub_str("a"), msub_str("2") }, /* the later one of two counts */
                                { true, msub_str("c"), msub_str("1") },
                                { false, msub_str("c"), { NULL, 0 } },
                                { false, msub_str("never"), { NULL, 0 } } };
  STORE_CHECK(submit(k, ops, sizeof ops / sizeof *ops, 1) == MSUB_OK);
  STORE_CHECK(keys_are(k, "", "a=2 b=1"));
  store_settle(k, 1);
  STORE_CHECK(keys_are(k, "", "a=2 b=1"));
  STORE_CHECK(submit(k, NULL, 0, 2) == MSUB_OK); /* nothing, after all that stands before */
  store_settle(k, 2);
  /* one bad entry: nothing of it */
  const msub_store_op bad[] = { { true, msub_str("d"), msub_str("1") }, { true, { NULL, 0 }, msub_str("1") } };
  STORE_CHECK(submit(k, bad, 2, 3) == MSUB_ERR_LIMIT);
  STORE_CHECK(keys_are(k, "", "a=2 b=1"));
  k->turn(k);
  STORE_CHECK(k->n_told == 2);
}

static void limits(store_kit *k) {
  static uint8_t key[MSUB_STORE_KEY_MAX + 1];
  memset(key, 'k', sizeof key);
  msub_store_op op = { true, { key, MSUB_STORE_KEY_MAX }, msub_str("v") };
  STORE_CHECK(submit(k, &op, 1, 1) == MSUB_OK);
  op.key.n = MSUB_STORE_KEY_MAX + 1;
  STORE_CHECK(submit(k, &op, 1, 2) == MSUB_ERR_LIMIT);
  op.put = false;
  STORE_CHECK(submit(k, &op, 1, 2) == MSUB_ERR_LIMIT);
  size_t most = MSUB_STORE_VALUE_MAX;
  uint8_t *big = calloc(most + 1, 1);
  STORE_CHECK(big);
  op = (msub_store_op){ true, msub_str("big"), { big, most } };
  STORE_CHECK(submit(k, &op, 1, 3) == MSUB_OK);
  op.value.n = most + 1;
  STORE_CHECK(submit(k, &op, 1, 4) == MSUB_ERR_LIMIT);
  store_settle(k, 2);
  msub_bytes v;
  STORE_CHECK(k->store.ops->get(k->store.s, msub_str("big"), &v) == MSUB_OK && v.n == most);
  free(big);
}

static bool stop_at_third(void *ud, msub_bytes key, msub_bytes value) {
  unsigned *n = ud;
  (void)key;
  (void)value;
  return ++*n < 3;
}

static void iterates_in_order(store_kit *k) {
  static const char *const keys[] = { "b", "ab", "a", "abc", "\x7f", "b\xff", "ac", "c", "aa", "a\x01" };
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) store_put(k, keys[i], "1", i);
  STORE_CHECK(keys_are(k, "", "a=1 a\x01=1 aa=1 ab=1 abc=1 ac=1 b=1 b\xff=1 c=1 \x7f=1"));
  STORE_CHECK(keys_are(k, "a", "a=1 a\x01=1 aa=1 ab=1 abc=1 ac=1"));
  STORE_CHECK(keys_are(k, "ab", "ab=1 abc=1") && keys_are(k, "b\xff", "b\xff=1"));
  STORE_CHECK(keys_are(k, "abcd", "") && keys_are(k, "zz", ""));
  store_put(k, "ab", NULL, 90);
  store_put(k, "abb", "2", 91);
  STORE_CHECK(keys_are(k, "ab", "abb=2 abc=1"));
  unsigned n = 0;
  STORE_CHECK(k->store.ops->iterate(k->store.s, msub_str(""), stop_at_third, &n) == MSUB_OK && n == 3);
  store_settle(k, 12);
  STORE_CHECK(keys_are(k, "ab", "abb=2 abc=1"));
}

static void durable_survives(store_kit *k) {
  store_put(k, "a", "1", 1);
  store_put(k, "b", "1", 2);
  store_settle(k, 2);
  store_put(k, "a", NULL, 3);
  store_put(k, "c", "1", 4);
  store_settle(k, 4);
  crash(k);
  STORE_CHECK(keys_are(k, "", "b=1 c=1"));
  store_put(k, "b", "2", 1);
  store_settle(k, 1);
  crash(k);
  STORE_CHECK(keys_are(k, "", "b=2 c=1"));
}

/* What was not told may be there or not, but whole and in order. */
static void batches_survive_whole(store_kit *k) {
  for (uint64_t i = 1; i <= 20; i++) {
    char n[8];
    (void)snprintf(n, sizeof n, "%u", (unsigned)i);
    const msub_store_op ops[] = { { true, msub_str("x"), msub_str(n) }, { true, msub_str("y"), msub_str(n) } };
    STORE_CHECK(submit(k, ops, 2, i) == MSUB_OK);
    if (i == 10) store_settle(k, 10);
  }
  crash(k);
  unsigned found = 0;
  for (unsigned i = 10; i <= 20; i++) {
    char n[12];
    (void)snprintf(n, sizeof n, "%u", i);
    STORE_CHECK(store_is(k, "x", n) == store_is(k, "y", n));
    found += store_is(k, "x", n);
  }
  STORE_CHECK(found == 1);
}

/* ---- the log ---- */

static bool collect(void *ud, uint64_t offset, msub_bytes record) {
  text *t = ud;
  int n = snprintf(t->s + t->n, sizeof t->s - t->n, "%s%llu=%.*s", t->n ? " " : "", (unsigned long long)offset,
                   (int)record.n, record.n ? (const char *)record.p : "");
  t->n += (size_t)n;
  return t->n < 40;
}

static bool log_is(store_kit *k, uint64_t from, const char *wanted) {
  text t = { .n = 0 };
  STORE_CHECK(k->store.ops->log_iterate(k->store.s, from, collect, &t) == MSUB_OK);
  if (strcmp(t.s, wanted) != 0) fprintf(stderr, "log: \"%s\", not \"%s\"\n", t.s, wanted);
  return strcmp(t.s, wanted) == 0;
}

static void log_has_offsets(store_kit *k) {
  STORE_CHECK(range_is(k, 0, 0) && record_is(k, 0, NULL));
  STORE_CHECK(append(k, "zero") == 0 && append(k, "one") == 1 && append(k, "") == 2);
  STORE_CHECK(range_is(k, 0, 3));
  STORE_CHECK(record_is(k, 0, "zero") && record_is(k, 2, "") && record_is(k, 3, NULL) && record_is(k, UINT64_MAX, NULL));
  STORE_CHECK(log_is(k, 0, "0=zero 1=one 2=") && log_is(k, 1, "1=one 2=") && log_is(k, 3, "") && log_is(k, UINT64_MAX, ""));
}

static void log_is_truncated(store_kit *k) {
  for (unsigned i = 0; i < 5; i++) (void)append(k, "r");
  STORE_CHECK(k->store.ops->log_truncate(k->store.s, 3) == MSUB_OK);
  STORE_CHECK(range_is(k, 3, 5) && record_is(k, 2, NULL) && record_is(k, 3, "r"));
  STORE_CHECK(log_is(k, 0, "3=r 4=r"));
  STORE_CHECK(k->store.ops->log_truncate(k->store.s, 1) == MSUB_OK && range_is(k, 3, 5));
  STORE_CHECK(k->store.ops->log_truncate(k->store.s, 6) == MSUB_ERR_INVAL && range_is(k, 3, 5));
  STORE_CHECK(k->store.ops->log_truncate(k->store.s, 5) == MSUB_OK && range_is(k, 5, 5));
  STORE_CHECK(append(k, "s") == 5 && record_is(k, 5, "s"));
  sync_log(k, 1);
  store_settle(k, 1);
  crash(k);
  STORE_CHECK(range_is(k, 5, 6) && record_is(k, 5, "s"));
}

static void synced_survives(store_kit *k) {
  (void)append(k, "a");
  (void)append(k, "b");
  sync_log(k, 1);
  store_settle(k, 1);
  (void)append(k, "c");
  store_put(k, "key", "1", 2); /* a batch says nothing of the log */
  store_settle(k, 2);
  crash(k);
  uint64_t first, next;
  k->store.ops->log_range(k->store.s, &first, &next);
  STORE_CHECK(first == 0 && (next == 2 || next == 3));
  STORE_CHECK(record_is(k, 0, "a") && record_is(k, 1, "b") && store_is(k, "key", "1"));
  STORE_CHECK(append(k, "d") == next);
}

/* ---- callbacks ---- */

static unsigned chained;
static void chain(void *ud, msub_token token, int result) {
  store_kit *k = ud;
  STORE_CHECK(result == MSUB_OK && token.v == ++chained);
  STORE_CHECK(store_is(k, "n", chained % 2 ? "odd" : "even"));
  if (chained < 10) store_put(k, "n", chained % 2 ? "even" : "odd", chained + 1);
  (void)append(k, "told");
}

static void calls_from_on_durable(store_kit *k) {
  chained = 0;
  k->store.ops->listen(k->store.s, chain, k);
  store_put(k, "n", "odd", 1);
  unsigned turns = 0;
  for (; chained < 10 && turns < 10000; turns++) {
    unsigned before = chained;
    k->turn(k);
    STORE_CHECK(chained <= before + 1); /* in a later turn */
  }
  STORE_CHECK(chained == 10 && range_is(k, 0, 10));
}

/* ---- against a model ---- */

enum { MODEL_KEYS = 40 };
typedef struct model {
  int now[MODEL_KEYS];     /* what reads see; -1: not there */
  int durable[MODEL_KEYS]; /* what was told */
  struct { int key[4], value[4]; unsigned n; } waits[64];
  unsigned first, end;
} model;

static void name_of(char out[8], int key) { (void)snprintf(out, 8, "k%02d", key); }

static void model_check(store_kit *k, const int want[MODEL_KEYS]) {
  char all[1024];
  size_t n = 0;
  all[0] = '\0';
  for (int i = 0; i < MODEL_KEYS; i++) {
    char key[8];
    name_of(key, i);
    if (want[i] >= 0)
      n += (size_t)snprintf(all + n, sizeof all - n, "%s%s=%d", n ? " " : "", key, want[i]);
    char value[16];
    (void)snprintf(value, sizeof value, "%d", want[i]);
    STORE_CHECK(store_is(k, key, want[i] >= 0 ? value : NULL));
  }
  STORE_CHECK(keys_are(k, "", all));
}

static void model_told(model *m, store_kit *k, size_t *seen) {
  for (; *seen < k->n_told; ++*seen) {
    STORE_CHECK(k->told[*seen].result == MSUB_OK && m->first != m->end);
    for (unsigned i = 0; i < m->waits[m->first % 64].n; i++)
      m->durable[m->waits[m->first % 64].key[i]] = m->waits[m->first % 64].value[i];
    m->first++;
  }
}

static void model_submit(model *m, store_kit *k, msub__rng *r) {
  char keys[4][8], values[4][8];
  msub_store_op ops[4];
  unsigned n = 1 + msub__rng_below(r, 4), slot = m->end % 64;
  m->waits[slot].n = n;
  for (unsigned i = 0; i < n; i++) {
    int key = (int)msub__rng_below(r, MODEL_KEYS), value = msub__rng_below(r, 3) ? (int)msub__rng_below(r, 100) : -1;
    name_of(keys[i], key);
    (void)snprintf(values[i], sizeof values[i], "%d", value);
    ops[i] = (msub_store_op){ value >= 0, msub_str(keys[i]), value >= 0 ? msub_str(values[i]) : (msub_bytes){ NULL, 0 } };
    m->now[key] = m->waits[slot].value[i] = value;
    m->waits[slot].key[i] = key;
  }
  STORE_CHECK(submit(k, ops, n, m->end) == MSUB_OK);
  m->end++;
}

static void like_a_model(store_kit *k) {
  model m = { .first = 0 };
  msub__rng r;
  size_t seen = 0;
  msub__rng_init(&r, 7, 0);
  for (int i = 0; i < MODEL_KEYS; i++) m.now[i] = m.durable[i] = -1;
  for (unsigned round = 0; round < 1500; round++) {
    switch (msub__rng_below(&r, 8)) {
    case 0:
    case 1:
    case 2:
    case 3:
      if (m.end - m.first < 60) model_submit(&m, k, &r);
      break;
    case 4: model_check(k, m.now); break;
    case 5:
    case 6: k->turn(k); break;
    default:
      if (msub__rng_below(&r, 20) > 0) break;
      store_settle(k, seen + (m.end - m.first)); /* then the outcome of a crash is certain */
      model_told(&m, k, &seen);
      crash(k);
      seen = 0;
      model_check(k, m.durable);
      break;
    }
    model_told(&m, k, &seen);
  }
}

const store_case store_suite[] = { { "reads see what was submitted", reads_see_submitted },
                                   { "told later and in order", told_later_and_in_order },
                                   { "batches are whole", batches_are_whole },
                                   { "limits", limits },
                                   { "iterates in order", iterates_in_order },
                                   { "durable survives", durable_survives },
                                   { "batches survive whole", batches_survive_whole },
                                   { "log has offsets", log_has_offsets },
                                   { "log is truncated", log_is_truncated },
                                   { "synced survives", synced_survives },
                                   { "calls from on_durable", calls_from_on_durable },
                                   { "like a model", like_a_model } };
const size_t store_suite_n = sizeof store_suite / sizeof *store_suite;
