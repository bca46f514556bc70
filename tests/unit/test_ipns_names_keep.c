/* tests/unit/test_ipns_names_keep.c: names that are kept because a peer announced them. */
#include "names_kit.h"

/* ---- the keeper ---- */

static bool heard(void *ud, msub_bytes topic, msub_peer p) {
  const names_node *n = ud;
  return !n->n || msub_names_heard(n->n, topic, p);
}
static void listen_to_topics(uint32_t i) {
  static const msub_topic_filter f = { .abi = MSUB_ABI, .size = sizeof f, .name = "names", .allows = heard };
  cr_assert_eq(msub_filter_topics(msub_sim_engine(w.s, w.node[i].no), &f, &w.node[i]), MSUB_OK);
}

/* Node 0 is an open keeper, and the nodes after it up to `last` dial it. */
static void open_keeper(uint32_t last) {
  listen_to_topics(0);
  msub_names_keep_open(w.node[0].n, true);
  for (uint32_t i = 1; i <= last; i++) names_connect(&w, i, 0);
  names_run(&w, S);
}

/* An open keeper keeps what peers announce, each within its own quota; what one floods it with puts out nobody else's. */
Test(ipns_names, keep_open) {
  names_world_init(&w);
  w.node[0].o.names_of_peer = 5;
  w.node[0].o.idle_ns = HOUR;
  names_world_start(&w, 4);
  w.step = 4 * MS;
  open_keeper(2);
  for (uint8_t k = 1; k <= 3; k++) cr_assert_eq(put(1, k, names_record(&w, k, "/ipfs/honest", 0, DAY_NS), true, NULL), MSUB_OK);
  names_run(&w, S);
  const msub_names_counts *c = count(0);
  cr_assert(c->kept_open == 3 && c->opened == 3 && c->names == 3, "%llu", (unsigned long long)c->kept_open);
  for (uint8_t k = 100; k < 120; k++) {
    cr_assert_eq(put(2, k, names_record(&w, k, "/ipfs/flood", 0, DAY_NS), true, NULL), MSUB_OK);
    names_run(&w, 100 * MS);
  }
  cr_assert(c->kept_open == 8 && c->evicted == 15 && c->names == 8, "%llu %llu", (unsigned long long)c->kept_open, (unsigned long long)c->evicted);
  msub_names_view v;
  for (uint8_t k = 1; k <= 3; k++) cr_assert(get(0, k, &v) == MSUB_OK && (v.flags & MSUB_NAMES_KEPT_OPEN), "%u", k);
  for (uint8_t k = 100; k < 120; k++) cr_assert_eq(get(0, k, &v), k < 115 ? MSUB_ERR_NOTFOUND : MSUB_OK, "%u: the oldest of the same peer go", k);
  /* A name that nobody has a record of leaves nothing. */
  cr_assert_eq(msub_names_follow(w.node[2].n, names_id(200), names_now(&w, 2), NULL, NULL), MSUB_OK);
  names_run(&w, S);
  cr_assert_eq(c->names, 8);
  /* One that is announced before there is a record of it is asked for again. */
  cr_assert_eq(put(2, 200, names_record(&w, 200, "/ipfs/late", 0, DAY_NS), true, NULL), MSUB_OK);
  names_run(&w, 2 * S);
  cr_assert(get(0, 200, &v) == MSUB_OK && (v.flags & MSUB_NAMES_KEPT_OPEN));
  cr_assert_eq(c->names, 8);
  /* Not for ever. */
  cr_assert_eq(msub_names_follow(w.node[2].n, names_id(201), names_now(&w, 2), NULL, NULL), MSUB_OK);
  uint64_t asked = msub_fetch_count(w.node[0].fetch)->asked;
  names_run(&w, 30 * S);
  asked = msub_fetch_count(w.node[0].fetch)->asked - asked;
  cr_assert(asked == 4 && c->names == 8, "%llu", (unsigned long long)asked);
  /* Both are gone, and the keeper is restarted: a third one has it from there. An update reaches it as before. */
  names_crash(&w, 0);
  c = count(0);
  cr_assert(c->kept_open == 8 && c->subscribed == 8, "%llu %llu", (unsigned long long)c->kept_open, (unsigned long long)c->subscribed);
  names_connect(&w, 3, 0);
  names_outcome o;
  cr_assert_eq(resolve(3, 2, 2 * S, &o), MSUB_MORE);
  names_run(&w, S);
  cr_assert(o.end == MSUB_NAMES_END_FOUND && strcmp(o.value, "/ipfs/honest") == 0);
  cr_assert_eq(put(3, 2, names_record(&w, 2, "/ipfs/update", 1, DAY_NS), true, NULL), MSUB_OK);
  names_run(&w, S);
  cr_assert(get(0, 2, &v) == MSUB_OK && v.record.sequence == 1 && v.source == MSUB_NAMES_PUBSUB);
  /* Quotas hold after a restart, too: peer 2 comes with more. */
  listen_to_topics(0);
  msub_names_keep_open(w.node[0].n, true);
  names_connect(&w, 2, 0);
  cr_assert_eq(put(2, 130, names_record(&w, 130, "/ipfs/flood", 0, DAY_NS), true, NULL), MSUB_OK);
  names_run(&w, 2 * S);
  cr_assert(c->kept_open <= 8 && get(0, 1, &v) == MSUB_OK && get(0, 3, &v) == MSUB_OK, "%llu", (unsigned long long)c->kept_open);
  /* What ended long ago goes by itself. */
  w.step = 10 * S;
  names_run(&w, 27 * HOUR);
  cr_assert(c->kept_open == 0, "%llu", (unsigned long long)c->kept_open);
  names_world_stop(&w);
}

/* A keeper that has two names of a peer, as many as it may: 1 and 2, soon. */
static void begin_full(int64_t life) {
  names_world_init(&w);
  w.node[0].o.names_of_peer = 2;
  names_world_start(&w, 2);
  w.step = 4 * MS;
  open_keeper(1);
  for (uint8_t k = 1; k <= 2; k++) cr_assert_eq(put(1, k, names_record(&w, k, "/ipfs/v", 0, life), true, NULL), MSUB_OK);
}

/* What the program follows or keeps counts in no quota, whoever brought it. */
Test(ipns_names, keep_open_and_followed) {
  begin_full(DAY_NS);
  names_run(&w, S);
  cr_assert_eq(count(0)->kept_open, 2);
  cr_assert_eq(msub_names_follow(w.node[0].n, names_id(1), names_now(&w, 0), NULL, NULL), MSUB_OK);
  cr_assert_eq(msub_names_keep(w.node[0].n, names_id(2), names_now(&w, 0), NULL, NULL), MSUB_OK);
  cr_assert_eq(count(0)->kept_open, 0);
  for (unsigned life = 0; life < 2; life++) {
    for (uint8_t k = 0; k < 6; k++) {
      cr_assert_eq(put(1, (uint8_t)(100 + 10 * life + k), names_record(&w, (uint8_t)(100 + 10 * life + k), "/ipfs/flood", 0, DAY_NS), true, NULL), MSUB_OK);
      names_run(&w, 200 * MS);
    }
    msub_names_view v;
    cr_assert(count(0)->kept_open == 2 && get(0, 1, &v) == MSUB_OK && (v.flags & MSUB_NAMES_FOLLOWED) && get(0, 2, &v) == MSUB_OK && (v.flags & MSUB_NAMES_KEPT), "%u", life);
    if (life) break;
    names_crash(&w, 0);
    open_keeper(1);
  }
  names_world_stop(&w);
}

/* A store that takes nothing more, and names that somebody waits for: the quota holds, and it ends. */
Test(ipns_names, keep_open_and_a_store_that_is_full) {
  begin_full((int64_t)S);
  names_run(&w, 2 * S);
  const msub_names_counts *c = count(0);
  names_outcome o[2];
  for (uint8_t k = 1; k <= 2; k++) cr_assert_eq(resolve(0, k, 60 * S, &o[k - 1]), MSUB_MORE, "it has expired");
  cr_assert_eq(c->kept_open, 2);
  msub_store_memory_hang(w.node[0].store, true);
  msub_store s = msub_store_memory_store(w.node[0].store);
  const msub_store_op op = { true, msub_str("other"), msub_str("v") };
  while (s.ops->submit(s.s, &op, 1, (msub_token){ 1 }) == MSUB_OK) continue;
  uint64_t refused = c->open_refused;
  cr_assert_eq(put(1, 3, names_record(&w, 3, "/ipfs/v", 0, DAY_NS), true, NULL), MSUB_OK);
  names_run(&w, S);
  cr_assert(c->open_refused > refused && c->kept_open == 2, "%llu", (unsigned long long)c->kept_open);
  msub_store_memory_hang(w.node[0].store, false);
  names_world_stop(&w);
}

/* However many peers come, names that somebody asks for have room: three quarters of all is what an open keeper takes. */
Test(ipns_names, keep_open_leaves_room) {
  names_world_init(&w);
  w.node[0].o.max_names = 8;
  names_world_start(&w, 3);
  w.step = 4 * MS;
  open_keeper(2);
  for (uint8_t k = 0; k < 10; k++) {
    cr_assert_eq(put(1u + k % 2u, (uint8_t)(100 + k), names_record(&w, (uint8_t)(100 + k), "/ipfs/flood", 0, DAY_NS), true, NULL), MSUB_OK);
    names_run(&w, 200 * MS);
    cr_assert_eq(count(0)->kept_open, k < 6 ? k + 1u : 6, "%u", k);
  }
  cr_assert_eq(count(0)->open_refused, 4);
  for (uint8_t k = 1; k <= 2; k++) cr_assert_eq(put(0, k, names_record(&w, k, "/ipfs/mine", 0, DAY_NS), false, NULL), MSUB_OK);
  cr_assert_eq(count(0)->names, 8);
  names_world_stop(&w);
}
