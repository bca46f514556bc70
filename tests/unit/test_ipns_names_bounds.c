/* tests/unit/test_ipns_names_bounds.c: names: how many topics, names and questions there are at most; no memory, no store, options. */
#include "names_kit.h"

/* ---- bounds ---- */

/* Topics are collected by last use; what is followed stays, what is looked for goes before what is only kept stays out. */
Test(ipns_names, topics_by_last_use) {
  names_world_init(&w);
  w.node[0].o.max_subscribed = 4;
  w.node[0].o.idle_ns = HOUR;
  w.step = 20 * MS;
  names_world_start(&w, 1);
  names_outcome o[8];
  for (uint8_t k = 1; k <= 4; k++) cr_assert_eq(resolve(0, k, 100 * MS, &o[k]), MSUB_MORE);
  cr_assert_eq(resolve(0, 5, 100 * MS, &o[5]), MSUB_ERR_LIMIT, "each is waited for");
  cr_assert(count(0)->names == 4 && count(0)->subscribed == 4);
  names_run(&w, S);
  cr_assert_eq(resolve(0, 1, 100 * MS, &o[1]), MSUB_MORE); /* used again: 2 is the oldest now */
  names_run(&w, S);
  cr_assert_eq(resolve(0, 5, 100 * MS, &o[5]), MSUB_MORE);
  msub_names_view v;
  cr_assert(get(0, 2, &v) == MSUB_ERR_NOTFOUND && v.flags == 0 && count(0)->left_full == 1 && count(0)->names == 4);
  (void)get(0, 1, &v);
  cr_assert_eq(v.flags, MSUB_NAMES_SUBSCRIBED);
  names_run(&w, S);
  for (uint8_t k = 11; k <= 14; k++) cr_assert_eq(msub_names_follow(w.node[0].n, names_id(k), names_now(&w, 0), NULL, NULL), MSUB_OK);
  cr_assert_eq(msub_names_follow(w.node[0].n, names_id(11), names_now(&w, 0), NULL, NULL), MSUB_OK, "twice is once");
  cr_assert_eq(msub_names_follow(w.node[0].n, names_id(15), names_now(&w, 0), NULL, NULL), MSUB_ERR_LIMIT);
  cr_assert_eq(names_publish(&w, 0, 16, "/ipfs/x", NULL), MSUB_ERR_LIMIT);
  cr_assert_eq(msub_names_own(w.node[0].n, names_key(16), names_now(&w, 0)), MSUB_ERR_LIMIT);
  cr_assert_eq(resolve(0, 6, S, &o[6]), MSUB_ERR_LIMIT);
  cr_assert(count(0)->names == 4 && count(0)->followed == 4 && count(0)->subscribed == 4);
  /* A kept one is served, and not joined. */
  cr_assert_eq(put(0, 7, names_record(&w, 7, "/ipfs/k", 0, 3 * DAY_NS), false, NULL), MSUB_OK);
  cr_assert_eq(msub_names_keep(w.node[0].n, names_id(7), names_now(&w, 0), NULL, NULL), MSUB_OK);
  cr_assert(get(0, 7, &v) == MSUB_OK && v.flags == MSUB_NAMES_KEPT);
  cr_assert_eq(msub_names_unfollow(w.node[0].n, names_id(12), names_now(&w, 0), NULL, NULL), MSUB_OK);
  cr_assert_eq(resolve(0, 6, 100 * MS, &o[6]), MSUB_MORE, "in the place of the one that is not followed any more");
  /* What nobody asks for is left, and forgotten; what is followed and kept is not. */
  cr_assert_eq(put(0, 8, names_record(&w, 8, "/ipfs/loose", 0, 3 * DAY_NS), false, NULL), MSUB_OK);
  w.step = S;
  names_run(&w, 2 * HOUR);
  cr_assert(count(0)->subscribed == 3 && count(0)->left_idle == 1 && count(0)->names == 4, "%llu %llu %llu", (unsigned long long)count(0)->subscribed,
            (unsigned long long)count(0)->left_idle, (unsigned long long)count(0)->names);
  cr_assert(get(0, 8, &v) == MSUB_ERR_NOTFOUND && get(0, 7, &v) == MSUB_OK);
  names_world_stop(&w);
}

/* max_names: the oldest that nobody wants goes; with nothing of that kind the newcomer is refused. */
Test(ipns_names, names_up_to_the_bound) {
  names_world_init(&w);
  w.node[0].o.max_names = 3;
  names_world_start(&w, 1);
  for (uint8_t k = 1; k <= 3; k++) {
    cr_assert_eq(put(0, k, names_record(&w, k, "/ipfs/v", 0, DAY_NS), false, NULL), MSUB_OK);
    names_run(&w, 10 * MS);
  }
  cr_assert_eq(count(0)->names, 3);
  cr_assert_eq(put(0, 4, names_record(&w, 4, "/ipfs/v", 0, DAY_NS), false, NULL), MSUB_OK);
  msub_names_view v;
  cr_assert(count(0)->names == 3 && get(0, 1, &v) == MSUB_ERR_NOTFOUND && get(0, 4, &v) == MSUB_OK && count(0)->evicted == 1);
  for (uint8_t k = 2; k <= 4; k++) cr_assert_eq(msub_names_keep(w.node[0].n, names_id(k), names_now(&w, 0), NULL, NULL), MSUB_OK);
  cr_assert_eq(put(0, 5, names_record(&w, 5, "/ipfs/v", 0, DAY_NS), false, NULL), MSUB_ERR_LIMIT);
  cr_assert_eq(msub_names_follow(w.node[0].n, names_id(6), names_now(&w, 0), NULL, NULL), MSUB_ERR_LIMIT);
  names_run(&w, S);
  names_crash(&w, 0);
  cr_assert(count(0)->names == 3 && count(0)->kept == 3);
  for (uint8_t k = 2; k <= 4; k++) cr_assert_eq(get(0, k, &v), MSUB_OK);
  names_world_stop(&w);
}

/* At most so many questions at a time, in all and to one peer; one deadline; who does not speak it is asked once. */
static unsigned most_of_peer, open_now;
static void *slow_open(void *ud, msub_stream *s, msub_bytes peer_id) {
  (void)s, (void)peer_id;
  if (++open_now > most_of_peer) most_of_peer = open_now;
  return ud;
}
static size_t slow_data(void *word, msub_stream *s, msub_bytes b) {
  (void)word, (void)s;
  return b.n;
}
static void slow_finish(void *word, msub_stream *s) { (void)word, (void)s; }
static void slow_end(void *word, msub_stream *s, msub_end why) {
  (void)word, (void)s, (void)why;
  open_now--;
}
static const msub_stream_handler slow = { .abi = MSUB_ABI, .size = sizeof(msub_stream_handler), .on_open = slow_open, .on_data = slow_data, .on_finish = slow_finish, .on_end = slow_end };

Test(ipns_names, P_11_fetch_limits) {
  names_world_init(&w);
  w.node[0].o.fetches = 5;
  w.node[0].o.fetches_of_peer = 3;
  w.node[0].o.fetch_ns = 2 * S;
  w.node[0].o.fetches_early = 8;
  w.node[0].o.fetches_waiting = 30;
  names_world_start(&w, 4);
  /* 1 answers nobody; 2 speaks no fetch; 3 has it. */
  names_stop(&w, 1);
  names_stop(&w, 2);
  names_run(&w, S);
  msub_exchange x = msub_sim_exchange(w.s, 1);
  cr_assert_eq(x.ops->serve(x.x, MSUB_FETCH_PROTOCOL, &slow, &w), MSUB_OK);
  most_of_peer = open_now = 0;
  cr_assert_eq(put(3, 1, names_record(&w, 1, "/ipfs/v", 0, DAY_NS), false, NULL), MSUB_OK);
  for (uint8_t k = 20; k < 40; k++) cr_assert_eq(msub_names_follow(w.node[0].n, names_id(k), names_now(&w, 0), NULL, NULL), MSUB_OK);
  for (uint32_t i = 1; i < 4; i++) names_connect(&w, 0, i);
  names_run(&w, 100 * MS);
  const msub_names_counts *c = count(0);
  cr_assert(c->fetching <= 4 && most_of_peer == 2, "one place is left: %llu, %u", (unsigned long long)c->fetching, most_of_peer);
  cr_assert(msub_names_next_deadline(w.node[0].n) > names_now(&w, 0)->mono_ns, "and nothing turns round it");
  cr_assert(msub_fetch_count(w.node[0].fetch)->asked <= 3 + 3 + 8, "of a peer that announced nothing at most eight, and of one that does not speak it no more than go at once: %llu", (unsigned long long)msub_fetch_count(w.node[0].fetch)->asked);
  /* Somebody waits: those questions go before the others, into the place that is left. */
  names_outcome o, none[3];
  for (uint8_t k = 0; k < 3; k++) cr_assert_eq(resolve(0, (uint8_t)(30 + k), 60 * S, &none[k]), MSUB_MORE);
  names_run(&w, 100 * MS);
  cr_assert(c->fetching <= 5 && most_of_peer == 3, "%llu, %u", (unsigned long long)c->fetching, most_of_peer);
  uint64_t from = msub_sim_time(w.s);
  cr_assert_eq(resolve(0, 1, 30 * S, &o), MSUB_MORE);
  names_run(&w, 3 * S);
  cr_assert(o.end == MSUB_NAMES_END_FOUND && o.at - from <= RTT + 2 * MS, "%llu us", (unsigned long long)(o.at - from) / 1000);
  names_run(&w, 10 * S);
  cr_assert(c->fetching == 0 && open_now == 0 && c->fetch_failed >= 8, "deadlines: %llu", (unsigned long long)c->fetch_failed);
  cr_assert_eq(c->fetch_dropped, 0);
  /* More than may wait is left. */
  for (uint8_t k = 40; k < 90; k++) cr_assert_eq(msub_names_follow(w.node[0].n, names_id(k), names_now(&w, 0), NULL, NULL), MSUB_OK);
  cr_assert(c->fetch_dropped > 0);
  /* The peer leaves with all of that. */
  msub_sim_disconnect(w.s, 0, 1, 0);
  msub_sim_disconnect(w.s, 0, 3, 0);
  names_run(&w, S);
  cr_assert(c->fetching == 0);
  names_world_stop(&w);
}

/* A peer that announces the topic while it owes the answer to an early question is asked once more when that one failed. */
Test(ipns_names, asked_again_when_announced) {
  names_world_init(&w);
  w.node[0].o.fetch_ns = 2 * S;
  names_world_start(&w, 2);
  names_stop(&w, 1);
  names_run(&w, S);
  msub_exchange x = msub_sim_exchange(w.s, 1);
  cr_assert_eq(x.ops->serve(x.x, MSUB_FETCH_PROTOCOL, &slow, &w), MSUB_OK);
  cr_assert_eq(msub_names_follow(w.node[0].n, names_id(1), names_now(&w, 0), NULL, NULL), MSUB_OK);
  names_connect(&w, 0, 1);
  names_run(&w, 200 * MS);
  const msub_fetch_counts *f = msub_fetch_count(w.node[0].fetch);
  cr_assert(f->asked == 1 && open_now == 1, "%llu", (unsigned long long)f->asked);
  char text[MSUB_IPNS_TOPIC_TEXT];
  msub_topic t;
  cr_assert_eq(msub_join(msub_sim_engine(w.s, 1), 0, msub_str(msub_ipns_topic(names_id(1), text)), NULL, NULL, msub_sim_now(w.s, 1), &t), MSUB_OK);
  names_run(&w, S);
  cr_assert_eq(f->asked, 1, "one question at a time");
  names_run(&w, 10 * S);
  cr_assert(f->asked == 2 && f->failed == 2 && open_now == 0, "%llu", (unsigned long long)f->asked);
  names_world_stop(&w);
}

/* ---- memory ---- */

/* Whichever allocation fails: an error, or it comes right by itself; nothing is lost that was told, and nothing is left over. */
static void a_life(bool *failed, size_t fail_after) {
  names_world_init(&w);
  names_world_start(&w, 2);
  names_connect(&w, 0, 1);
  names_run(&w, 200 * MS);
  w.mem.fail_after = fail_after;
  names_outcome o = { 0 }, r = { 0 };
  int rc = names_publish(&w, 0, 1, "/ipfs/a", &o);
  names_run(&w, 100 * MS);
  int rs = msub_names_resolve(w.node[1].n, names_id(1), msub_sim_time(w.s) + S, names_now(&w, 1), names_resolved, &r, NULL, NULL);
  names_run(&w, 100 * MS);
  int rk = msub_names_keep(w.node[1].n, names_id(2), names_now(&w, 1), NULL, NULL);
  (void)put(1, 3, names_record(&w, 3, "/ipfs/put", 0, DAY_NS), true, NULL);
  names_run(&w, 2 * S);
  *failed = w.mem.fail_after == 0;
  w.mem.fail_after = 0;
  cr_assert(rc == MSUB_OK || (*failed && rc == MSUB_ERR_NOMEM), "%zu: %d", fail_after, rc);
  cr_assert(rs == MSUB_MORE || rs == MSUB_OK || (*failed && rs == MSUB_ERR_NOMEM), "%zu: %d", fail_after, rs);
  cr_assert(rk == MSUB_OK || (*failed && rk == MSUB_ERR_NOMEM), "%zu: %d", fail_after, rk);
  cr_assert(o.calls == (rc == MSUB_OK), "%zu", fail_after);
  cr_assert(r.calls == (rs == MSUB_MORE), "%zu", fail_after);
  /* And then all is well. */
  names_outcome again = { 0 };
  cr_assert_eq(names_publish(&w, 0, 1, "/ipfs/b", &again), MSUB_OK, "%zu", fail_after);
  names_run(&w, 2 * S);
  cr_assert(again.calls == 1 && again.result == MSUB_OK, "%zu: %d", fail_after, again.result);
  rs = msub_names_resolve(w.node[1].n, names_id(1), msub_sim_time(w.s) + S, names_now(&w, 1), names_resolved, &r, NULL, NULL);
  names_run(&w, 2 * S);
  cr_assert(rs == MSUB_OK || r.end == MSUB_NAMES_END_FOUND, "%zu: %d %s", fail_after, rs, msub_names_end_name((int)r.end));
  names_world_stop(&w);
}
Test(ipns_names, no_memory, .timeout = 120) {
  size_t n = 1;
  for (bool failed = true; failed; n++) a_life(&failed, n);
  cr_assert(n > 30, "%zu allocations", n);
}
Test(ipns_names, no_memory_at_the_start) {
  for (size_t n = 1;; n++) {
    names_world_init(&w);
    names_world_start(&w, 1);
    publish(0, 1, "/ipfs/a");
    cr_assert_eq(msub_names_keep(w.node[0].n, names_id(2), names_now(&w, 0), NULL, NULL), MSUB_OK);
    names_run(&w, S);
    names_stop(&w, 0);
    names_run(&w, S);
    w.mem.fail_after = n;
    int rc = names_try_start(&w, 0);
    bool failed = w.mem.fail_after == 0;
    w.mem.fail_after = 0;
    cr_assert(rc == MSUB_OK || (failed && rc == MSUB_ERR_NOMEM), "%zu: %d", n, rc);
    if (rc != MSUB_OK) {
      names_run(&w, S);
      names_start(&w, 0);
    }
    msub_names_view v;
    cr_assert(get(0, 1, &v) == MSUB_OK && count(0)->followed == 1 && count(0)->kept == 1 && count(0)->subscribed == 2, "%zu", n);
    names_world_stop(&w);
    if (!failed) break;
    cr_assert_lt(n, 200);
  }
}

/* Into the store of a node that is stopped; durable. */
static void write_row(msub_store s, const msub_store_op *op) {
  cr_assert_eq(s.ops->submit(s.s, op, 1, (msub_token){ 1 }), MSUB_OK);
  s.ops->listen(s.s, NULL, NULL);
  names_run(&w, S);
  s.ops->turn(s.s, names_now(&w, 0));
  names_run(&w, S);
  s.ops->turn(s.s, names_now(&w, 0));
}

/* Options and stores that are nonsense. */
Test(ipns_names, options) {
  begin(1);
  names_stop(&w, 0);
  names_run(&w, S);
  msub_names_opts good = w.node[0].o;
#define BAD(change)                                                                                                 \
  do {                                                                                                              \
    w.node[0].o = good;                                                                                             \
    w.node[0].o.change;                                                                                             \
    cr_assert_eq(names_try_start(&w, 0), MSUB_ERR_INVAL, #change);                                                  \
    names_run(&w, 10 * MS);                                                                                         \
  } while (0)
  BAD(size = 1);
  BAD(prefix = NULL);
  BAD(prefix = "");
  BAD(prefix = "12345678901234567890123456789012345678901234567890123456789012345");
  BAD(max_names = 0);
  BAD(max_names = 10000001);
  BAD(max_subscribed = 0);
  BAD(max_subscribed = 10001);
  BAD(max_resolving = 0);
  BAD(max_resolving = 65537);
  BAD(fetches = 0);
  BAD(fetches = 1025);
  BAD(fetches_of_peer = 0);
  BAD(fetches_of_peer = 65);
  BAD(fetches_early = 0);
  BAD(fetches_early = 1025);
  BAD(fetches_waiting = 0);
  BAD(fetches_waiting = 1048577);
  BAD(fetch_ns = 0);
  BAD(rebroadcast_ns = S - 1);
  BAD(idle_ns = 0);
  BAD(most_life_ns = 0);
  BAD(lifetime_ns = 0);
  BAD(names_of_peer = 0);
  BAD(bytes_of_peer = 0);
  w.node[0].o = good;
  names_start(&w, 0);
  names_outcome o = { 0 };
  msub_names_publish_opts p;
  msub_names_publish_opts_init(&p);
  uint8_t longest[4097];
  memset(longest, 'x', sizeof longest);
  p.value = (msub_bytes){ longest, 4096 };
  cr_assert_eq(msub_names_publish(w.node[0].n, names_key(1), &p, names_now(&w, 0), names_done, &o), MSUB_OK);
  p.value.n++;
  cr_assert_eq(msub_names_publish(w.node[0].n, names_key(1), &p, names_now(&w, 0), names_done, &o), MSUB_ERR_INVAL);
  p.value.n = 10;
  p.lifetime_ns = UINT64_MAX;
  cr_assert_eq(msub_names_publish(w.node[0].n, names_key(1), &p, names_now(&w, 0), names_done, &o), MSUB_ERR_INVAL);
  names_run(&w, S);
  cr_assert(o.calls == 1 && o.result == MSUB_OK);
  /* A row of a later version is not guessed at; a damaged one is passed over. */
  names_stop(&w, 0);
  msub_store s = msub_store_memory_store(w.node[0].store);
  uint8_t key[64] = "ipns/n/", value[6] = { 1, MSUB_NAMES_KEPT };
  memcpy(key + 7, names_id(9).p, names_id(9).n);
  msub_store_op op = { true, { key, 7 + names_id(9).n }, { value, 3 } };
  write_row(s, &op);
  names_start(&w, 0);
  cr_assert(count(0)->kept == 0 && count(0)->names == 1);
  names_stop(&w, 0);
  value[0] = 2;
  write_row(s, &op);
  cr_assert_eq(names_try_start(&w, 0), MSUB_ERR_MALFORMED);
  names_world_stop(&w);
}

/* Without a store everything works as long as the process does. */
Test(ipns_names, in_memory_only) {
  names_world_init(&w);
  w.stores = false;
  names_world_start(&w, 2);
  names_connect(&w, 0, 1);
  names_run(&w, S);
  names_outcome o = publish(0, 1, "/ipfs/a"), f = { 0 };
  cr_assert(!o.durable);
  cr_assert_eq(msub_names_follow(w.node[1].n, names_id(1), names_now(&w, 1), names_done, &f), MSUB_OK);
  names_run(&w, S);
  cr_assert(f.calls == 1 && w.node[1].n_log == 1);
  cr_assert_eq(publish(0, 1, "/ipfs/b").sequence, 1);
  names_run(&w, S);
  cr_assert(last_change(1)->sequence == 1);
  names_world_stop(&w);
}

static bool collect(void *ud, const msub_names_view *v) {
  unsigned *n = ud;
  cr_assert(v->name.n > 0);
  n[v->has_record]++;
  return n[0] + n[1] < 4;
}
Test(ipns_names, iterate) {
  begin(1);
  publish(0, 1, "/ipfs/a");
  for (uint8_t k = 2; k < 6; k++) cr_assert_eq(msub_names_follow(w.node[0].n, names_id(k), names_now(&w, 0), NULL, NULL), MSUB_OK);
  cr_assert_eq(put(0, 6, names_record(&w, 6, "/ipfs/v", 0, DAY_NS), false, NULL), MSUB_OK);
  unsigned all[2] = { 0 }, none[2] = { 0 };
  int64_t now = names_now(&w, 0)->wall_ns;
  msub_names_iterate(w.node[0].n, MSUB_NAMES_FOLLOWED, now, collect, all);
  cr_assert(all[0] + all[1] == 4 && all[1] == 1, "until it says so");
  msub_names_iterate(w.node[0].n, MSUB_NAMES_KEPT, now, collect, none);
  cr_assert_eq(none[0] + none[1], 0);
  cr_assert_eq(count(0)->names, 6);
  names_world_stop(&w);
}
