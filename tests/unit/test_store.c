#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "base/rng.h"
#include "store/tree.h"
#include "count_mem.h"
#include "store_suite.h"

/* ---- the memory store as a kit ---- */

static msub_now now = { 1000, 0 };
static count_mem heap;

static void opts_init(msub_store_memory_opts *o) {
  static msub_mem counted;
  counted = count_mem_of(&heap);
  msub_store_memory_opts_init(o);
  o->mem = &counted;
}

static void kit_open_with(store_kit *k, const msub_store_memory_opts *o) {
  msub_store_memory *m;
  cr_assert_eq(msub_store_memory_new(o, &now, &m), MSUB_OK);
  k->own = m;
  k->store = msub_store_memory_store(m);
}
static void kit_open(store_kit *k) {
  msub_store_memory_opts o;
  opts_init(&o);
  kit_open_with(k, &o);
}
static void kit_open_slow(store_kit *k) {
  kit_open(k);
  msub_store_memory_delay(k->own, 5000);
}
static void kit_crash(store_kit *k) {
  msub_store_memory *m;
  cr_assert_eq(msub_store_memory_crashed(k->own, &m), MSUB_OK);
  msub_store_memory_free(k->own);
  k->own = m;
  k->store = msub_store_memory_store(m);
}
static void kit_close(store_kit *k) {
  msub_store_memory_free(k->own);
  cr_assert_eq(heap.live_bytes, 0, "%zu bytes were not given back", heap.live_bytes);
}
static void kit_turn(store_kit *k) {
  now.mono_ns += 1000;
  k->store.ops->turn(k->store.s, &now);
}

static store_kit kit = { .open = kit_open, .crash = kit_crash, .close = kit_close, .turn = kit_turn };

Test(store, suite) {
  for (size_t i = 0; i < store_suite_n; i++) store_suite_run(&kit, &store_suite[i]);
}

Test(store, suite_with_delay) {
  kit.open = kit_open_slow;
  for (size_t i = 0; i < store_suite_n; i++) store_suite_run(&kit, &store_suite[i]);
}

static void in_kit(void (*run)(store_kit *k)) {
  store_case c = { "", run };
  store_suite_run(&kit, &c);
}

/* ---- delay ---- */

static void delay(store_kit *k) {
  const msub_store_ops *ops = k->store.ops;
  cr_assert_eq(ops->next_deadline(k->store.s), MSUB_NEVER);
  msub_store_memory_delay(k->own, 100);
  store_put(k, "a", "1", 1);
  cr_assert_eq(ops->next_deadline(k->store.s), 0, "the next turn is when its delay begins");
  ops->turn(k->store.s, &now);
  cr_assert_eq(ops->next_deadline(k->store.s), now.mono_ns + 100);
  msub_store_memory_delay(k->own, 0);
  store_put(k, "a", "2", 2); /* sooner durable, but not before the one before it */
  ops->turn(k->store.s, &now);
  cr_assert_eq(k->n_told, 0);
  now.mono_ns += 99;
  ops->turn(k->store.s, &now);
  cr_assert_eq(k->n_told, 0);
  now.mono_ns += 1;
  ops->turn(k->store.s, &now);
  cr_assert(k->n_told == 2 && k->told[0].token == 1 && k->told[1].token == 2);
}
Test(store, delay) { in_kit(delay); }

/* ---- failure ---- */

static void failure(store_kit *k) {
  store_put(k, "a", "1", 1);
  store_put(k, "b", "1", 2);
  msub_store_memory_fail(k->own, 1, MSUB_ERR_IO);
  store_put(k, "b", "2", 3); /* the one that still succeeds */
  store_put(k, "a", "3", 4);
  store_put(k, "c", "3", 5);
  store_put(k, "b", NULL, 6);
  msub_store_memory_fail(k->own, 0, MSUB_OK);
  store_put(k, "c", "4", 7);
  store_put(k, "a", "5", 8);
  cr_assert_str_eq(store_keys(k, ""), "a=5 c=4");
  store_settle(k, 8);
  for (size_t i = 0; i < 8; i++) {
    bool failed = i >= 3 && i < 6;
    cr_assert_eq(k->told[i].token, i + 1);
    cr_assert_eq(k->told[i].result, failed ? MSUB_ERR_IO : MSUB_OK, "batch %zu", i + 1);
  }
  cr_assert_str_eq(store_keys(k, ""), "a=5 b=2 c=4", "what failed is undone, what came later stands");
  kit_crash(k);
  cr_assert_str_eq(store_keys(k, ""), "a=5 b=2 c=4");
}
Test(store, failure) { in_kit(failure); }

static void failure_of_all(store_kit *k) {
  store_put(k, "a", "1", 1);
  store_settle(k, 1);
  msub_store_memory_fail(k->own, 0, MSUB_ERR_IO);
  const msub_store_op ops[] = { { true, msub_str("a"), msub_str("2") },
                                { true, msub_str("new"), msub_str("2") },
                                { false, msub_str("a"), { NULL, 0 } },
                                { true, msub_str("a"), msub_str("3") } };
  cr_assert_eq(k->store.ops->submit(k->store.s, ops, 4, (msub_token){ 2 }), MSUB_OK);
  cr_assert_str_eq(store_keys(k, ""), "a=3 new=2");
  uint64_t at;
  cr_assert_eq(k->store.ops->log_append(k->store.s, msub_str("r"), &at), MSUB_OK);
  cr_assert_eq(k->store.ops->log_sync(k->store.s, (msub_token){ 3 }), MSUB_OK);
  store_settle(k, 3);
  cr_assert(k->told[1].result == MSUB_ERR_IO && k->told[2].result == MSUB_ERR_IO);
  cr_assert_str_eq(store_keys(k, ""), "a=1");
  /* The record stays, and is durable with the next sync. */
  msub_bytes r;
  cr_assert_eq(k->store.ops->log_read(k->store.s, 0, &r), MSUB_OK);
  msub_store_memory *crashed;
  cr_assert_eq(msub_store_memory_crashed(k->own, &crashed), MSUB_OK);
  uint64_t first, next;
  msub_store s = msub_store_memory_store(crashed);
  s.ops->log_range(s.s, &first, &next);
  cr_assert(first == 0 && next == 0);
  msub_store_memory_free(crashed);
  msub_store_memory_fail(k->own, 0, MSUB_OK);
  cr_assert_eq(k->store.ops->log_sync(k->store.s, (msub_token){ 4 }), MSUB_OK);
  store_settle(k, 4);
  kit_crash(k);
  cr_assert_eq(k->store.ops->log_read(k->store.s, 0, &r), MSUB_OK);
}
Test(store, failure_of_all) { in_kit(failure_of_all); }

/* Failures anywhere between successes: the state is that of the batches that succeeded. */
static void failure_at_random(store_kit *k) {
  enum { KEYS = 12 };
  static int fate[4096], key[4096], value[4096];
  msub__rng r;
  msub__rng_init(&r, 11, 0);
  size_t n = 0, told = 0;
  int durable[KEYS];
  memset(durable, 0xff, sizeof durable);
  for (unsigned round = 0; round < 3000; round++) {
    if (msub__rng_below(&r, 3) && n - told < 100) {
      fate[n] = msub__rng_below(&r, 2) ? MSUB_ERR_IO : MSUB_OK;
      key[n] = (int)msub__rng_below(&r, KEYS);
      value[n] = msub__rng_below(&r, 4) ? (int)msub__rng_below(&r, 10) : -1;
      char name[2] = { (char)('a' + key[n]), 0 }, text[2] = { (char)('0' + value[n]), 0 };
      msub_store_memory_fail(k->own, 0, fate[n]);
      store_put(k, name, value[n] < 0 ? NULL : text, n);
      n++;
    } else {
      kit_turn(k);
    }
    for (; told < k->n_told; told++) {
      cr_assert(k->told[told].token == told && k->told[told].result == fate[told]);
      if (fate[told] == MSUB_OK) durable[key[told]] = value[told];
    }
    int shown[KEYS];
    memcpy(shown, durable, sizeof shown);
    for (size_t i = told; i < n; i++) shown[key[i]] = value[i];
    for (int i = 0; i < KEYS; i++) {
      char name[2] = { (char)('a' + i), 0 }, text[2] = { (char)('0' + shown[i]), 0 };
      cr_assert(store_is(k, name, shown[i] < 0 ? NULL : text), "round %u, key %s", round, name);
    }
  }
}
Test(store, failure_at_random) { in_kit(failure_at_random); }

/* ---- hang, bounds ---- */

static void hang(store_kit *k) {
  store_put(k, "a", "1", 1);
  msub_store_memory_hang(k->own, true);
  store_put(k, "a", "2", 2);
  for (int i = 0; i < 10; i++) kit_turn(k);
  cr_assert_eq(k->n_told, 0);
  cr_assert_eq(k->store.ops->next_deadline(k->store.s), MSUB_NEVER);
  cr_assert(store_is(k, "a", "2"));
  msub_store_memory *crashed;
  cr_assert_eq(msub_store_memory_crashed(k->own, &crashed), MSUB_OK);
  store_kit other = { .store = msub_store_memory_store(crashed) };
  cr_assert_str_eq(store_keys(&other, ""), "");
  msub_store_memory_free(crashed);
  msub_store_memory_hang(k->own, false);
  store_settle(k, 2);
}
Test(store, hang) { in_kit(hang); }

static void waiting_is_bounded(store_kit *k) {
  msub_store_op op = { true, msub_str("k"), msub_str("v") };
  for (uint64_t i = 0; i < 1024; i++)
    cr_assert_eq(k->store.ops->submit(k->store.s, &op, 1, (msub_token){ i }), MSUB_OK);
  op.value = msub_str("w");
  cr_assert_eq(k->store.ops->submit(k->store.s, &op, 1, (msub_token){ 9 }), MSUB_ERR_LIMIT);
  cr_assert_eq(k->store.ops->log_sync(k->store.s, (msub_token){ 9 }), MSUB_ERR_LIMIT);
  cr_assert(store_is(k, "k", "v"));
  store_settle(k, 1024);
  cr_assert_eq(k->store.ops->submit(k->store.s, &op, 1, (msub_token){ 9 }), MSUB_OK);
}
Test(store, waiting_is_bounded) { in_kit(waiting_is_bounded); }

static void kit_open_small(store_kit *k) {
  msub_store_memory_opts o;
  opts_init(&o);
  o.max_bytes = 10000;
  kit_open_with(k, &o);
}
static void bytes_are_bounded(store_kit *k) {
  static uint8_t big[6000];
  msub_store_op op = { true, msub_str("k"), { big, sizeof big } };
  uint64_t at;
  cr_assert_eq(k->store.ops->submit(k->store.s, &op, 1, (msub_token){ 1 }), MSUB_OK);
  cr_assert_eq(k->store.ops->submit(k->store.s, &op, 1, (msub_token){ 2 }), MSUB_ERR_LIMIT, "the old value is still needed");
  cr_assert_eq(k->store.ops->log_append(k->store.s, op.value, &at), MSUB_ERR_LIMIT);
  cr_assert_eq(k->store.ops->log_append(k->store.s, (msub_bytes){ big, 3000 }, &at), MSUB_OK);
  store_put(k, "k", NULL, 3); /* always possible */
  store_settle(k, 2);
  cr_assert_eq(k->store.ops->submit(k->store.s, &op, 1, (msub_token){ 4 }), MSUB_OK);
  cr_assert_eq(k->store.ops->log_truncate(k->store.s, 1), MSUB_OK);
  cr_assert_eq(k->store.ops->log_append(k->store.s, (msub_bytes){ big, 3000 }, &at), MSUB_ERR_LIMIT,
               "a crash would still need the first one");
  cr_assert_eq(k->store.ops->log_sync(k->store.s, (msub_token){ 5 }), MSUB_OK);
  store_settle(k, 4);
  cr_assert_eq(k->store.ops->log_append(k->store.s, (msub_bytes){ big, 3000 }, &at), MSUB_OK);
  cr_assert_eq(at, 1);
}
Test(store, bytes_are_bounded) {
  kit.open = kit_open_small;
  in_kit(bytes_are_bounded);
}

/* ---- no memory ---- */

static bool one_life(size_t fail) {
  msub_store_memory_opts o;
  msub_store_memory *m, *crashed;
  opts_init(&o);
  heap.fail_after = fail;
  bool whole = false;
  if (msub_store_memory_new(&o, &now, &m) == MSUB_OK) {
    msub_store s = msub_store_memory_store(m);
    const msub_store_op ops[] = { { true, msub_str("a"), msub_str("1") },
                                  { true, msub_str("b"), msub_str("1") },
                                  { true, msub_str("a"), msub_str("2") } };
    uint64_t at;
    int err = s.ops->submit(s.s, ops, 3, (msub_token){ 1 });
    cr_assert(err == MSUB_OK || err == MSUB_ERR_NOMEM);
    msub_bytes v;
    bool there = s.ops->get(s.s, msub_str("a"), &v) == MSUB_OK, other = s.ops->get(s.s, msub_str("b"), &v) == MSUB_OK;
    cr_assert(there == (err == MSUB_OK) && other == there, "all or nothing");
    whole = err == MSUB_OK;
    whole &= s.ops->log_append(s.s, msub_str("record"), &at) == MSUB_OK;
    whole &= s.ops->log_sync(s.s, (msub_token){ 2 }) == MSUB_OK;
    now.mono_ns++;
    s.ops->turn(s.s, &now);
    if (msub_store_memory_crashed(m, &crashed) == MSUB_OK)
      msub_store_memory_free(crashed);
    else
      whole = false;
    heap.fail_after = 0;
    const msub_store_op more = { true, msub_str("c"), msub_str("1") };
    cr_assert_eq(s.ops->submit(s.s, &more, 1, (msub_token){ 3 }), MSUB_OK, "it is still usable");
    s.ops->turn(s.s, &now);
    msub_store_memory_free(m);
  }
  heap.fail_after = 0;
  cr_assert_eq(heap.live_bytes, 0);
  return whole;
}
Test(store, every_allocation_fails_once) {
  size_t n = 1;
  while (!one_life(n)) n++;
  cr_assert_gt(n, 10);
}

Test(store, options) {
  msub_store_memory_opts o;
  msub_store_memory *m;
  msub_store_memory_opts_init(&o);
  cr_assert(o.max_bytes == 64u << 20 && o.max_waiting == 1024 && o.delay_ns == 0);
  o.size--;
  cr_assert_eq(msub_store_memory_new(&o, &now, &m), MSUB_ERR_INVAL);
  msub_store_memory_free(NULL);
}

/* ---- the tree ---- */

enum { NODES = 3000 };
static struct { msub__tree_node node; uint8_t key[4]; bool in; } nodes[NODES];

static unsigned check_tree(const msub__tree_node *t) {
  if (!t) return 0;
  unsigned l = check_tree(t->kid[0]), r = check_tree(t->kid[1]);
  cr_assert(t->height == (l > r ? l : r) + 1, "a height is wrong");
  cr_assert(l <= r + 1 && r <= l + 1, "not balanced");
  return t->height;
}

typedef struct order_check { const msub__tree_node *last; size_t n; } order_check;
static bool ascending(void *ud, const msub__tree_node *n) {
  order_check *c = ud;
  cr_assert(!c->last || memcmp(c->last->key.p, n->key.p, 4) < 0);
  c->last = n;
  c->n++;
  return true;
}

Test(store, tree) {
  msub__tree_node *root = NULL;
  msub__rng r;
  size_t in = 0;
  msub__rng_init(&r, 3, 0);
  for (unsigned i = 0; i < NODES; i++) {
    nodes[i].key[0] = (uint8_t)(i >> 16);
    nodes[i].key[1] = (uint8_t)(i >> 8);
    nodes[i].key[2] = (uint8_t)i;
    nodes[i].node.key = (msub_bytes){ nodes[i].key, 4 };
  }
  for (unsigned i = 0; i < NODES; i++) { /* ascending: the worst order for a tree that does not balance */
    msub__tree_insert(&root, &nodes[i].node);
    nodes[i].in = true;
    in++;
  }
  cr_assert_leq(check_tree(root), 17);
  for (unsigned round = 0; round < 20000; round++) {
    unsigned i = msub__rng_below(&r, NODES);
    msub__tree_node *found = msub__tree_find(root, nodes[i].node.key);
    cr_assert_eq(found, nodes[i].in ? &nodes[i].node : NULL);
    if (nodes[i].in)
      msub__tree_remove(&root, &nodes[i].node), in--;
    else
      msub__tree_insert(&root, &nodes[i].node), in++;
    nodes[i].in = !nodes[i].in;
    if (round % 100) continue;
    order_check c = { NULL, 0 };
    (void)check_tree(root);
    cr_assert(msub__tree_walk(root, (msub_bytes){ NULL, 0 }, ascending, &c) && c.n == in);
    c = (order_check){ NULL, 0 };
    uint8_t prefix[2] = { 0, (uint8_t)msub__rng_below(&r, 12) };
    (void)msub__tree_walk(root, (msub_bytes){ prefix, 2 }, ascending, &c);
    size_t want = 0;
    for (unsigned k = 0; k < NODES; k++) want += nodes[k].in && k >> 8 == prefix[1];
    cr_assert_eq(c.n, want);
  }
  for (unsigned i = 0; i < NODES; i++) {
    if (nodes[i].in) msub__tree_remove(&root, &nodes[i].node);
  }
  cr_assert_null(root);
}

/* ---- at the edges of each call ---- */

static msub_store edge;
static unsigned edge_told;
static void told_inside(void *ud, msub_token token, int result) {
  const msub_now then = { 5, 0 };
  (void)ud, (void)token;
  cr_assert_eq(result, MSUB_OK);
  edge_told++;
  edge.ops->turn(edge.s, &then); /* nothing: it is under way */
}
static bool first_record(void *ud, uint64_t offset, msub_bytes record) {
  (void)ud, (void)record;
  return offset == 0;
}

Test(store, edges) {
  static uint8_t large[MSUB_STORE_VALUE_MAX + 1];
  msub_store_memory_opts o;
  msub_store_memory *m;
  const msub_now then = { 1, 0 };
  msub_bytes v;
  uint64_t at;
  msub_store_memory_opts_init(&o);
  o.mem = NULL; /* malloc */
  cr_assert_eq(msub_store_memory_new(&o, &then, &m), MSUB_OK);
  edge = msub_store_memory_store(m);
  msub_store_op both[] = { { true, msub_str("a"), msub_str("1") }, { false, msub_str("a"), { NULL, 0 } } };
  cr_assert_eq(edge.ops->submit(edge.s, &both[0], 1, (msub_token){ 1 }), MSUB_OK);
  edge.ops->turn(edge.s, &then); /* nobody listens */
  cr_assert_eq(edge.ops->get(edge.s, msub_str("a"), &v), MSUB_OK);
  edge.ops->listen(edge.s, told_inside, NULL);
  cr_assert_eq(edge.ops->submit(edge.s, &both[1], 1, (msub_token){ 2 }), MSUB_OK);
  cr_assert_eq(edge.ops->get(edge.s, msub_str("a"), &v), MSUB_ERR_NOTFOUND, "taken away, and not durably yet");
  cr_assert_eq(edge.ops->log_append(edge.s, (msub_bytes){ large, sizeof large }, &at), MSUB_ERR_LIMIT);
  for (unsigned i = 0; i < 3; i++) cr_assert_eq(edge.ops->log_append(edge.s, msub_str("r"), &at), MSUB_OK);
  cr_assert_eq(edge.ops->log_iterate(edge.s, 0, first_record, NULL), MSUB_OK);
  edge.ops->turn(edge.s, &then);
  cr_assert_eq(edge_told, 1);
  msub_store_memory_free(m);
  o.max_bytes = 10; /* less than a record takes */
  cr_assert_eq(msub_store_memory_new(&o, &then, &m), MSUB_OK);
  edge = msub_store_memory_store(m);
  cr_assert_eq(edge.ops->log_append(edge.s, (msub_bytes){ large, 11 }, &at), MSUB_ERR_LIMIT);
  msub_store_memory_free(m);
}
