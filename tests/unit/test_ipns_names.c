/* tests/unit/test_ipns_names.c: names between simulated nodes: published, found, followed, kept, and what of it a restart leaves. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "meshsub/guard.h"
#include "names_world.h"

#define MS MSUB_SIM_MS
#define S MSUB_SIM_S
#define HOUR (3600 * S)
#define DAY_NS INT64_C(86400000000000)
#define RTT (20 * MS)
#define NONE ((msub_bytes){ NULL, 0 })

static names_world w;

static void begin(uint32_t nodes) {
  names_world_init(&w);
  names_world_start(&w, nodes);
}
static const names_change none_yet;
static const names_change *last_change(uint32_t i) { return w.node[i].n_log ? &w.node[i].log[w.node[i].n_log - 1] : &none_yet; }
static const msub_names_counts *count(uint32_t i) { return msub_names_count(w.node[i].n); }
static int resolve(uint32_t i, uint8_t key, uint64_t within, names_outcome *o) {
  *o = (names_outcome){ 0 };
  return msub_names_resolve(w.node[i].n, names_id(key), msub_sim_time(w.s) + within, names_now(&w, i), names_resolved, o, NULL, NULL);
}
static int get(uint32_t i, uint8_t key, msub_names_view *v) { return msub_names_get(w.node[i].n, names_id(key), names_now(&w, i)->wall_ns, v); }
static names_outcome publish(uint32_t i, uint8_t key, const char *value) {
  names_outcome o = { 0 };
  cr_assert_eq(names_publish(&w, i, key, value, &o), MSUB_OK);
  cr_assert_eq(o.calls, 0, "never from inside");
  names_run(&w, 10 * MS);
  cr_assert(o.calls == 1 && o.result == MSUB_OK, "%u %d", o.calls, o.result);
  return o;
}
static int put(uint32_t i, uint8_t key, msub_bytes record, bool publish_too, msub_ipns_fault *f) {
  return msub_names_put(w.node[i].n, names_id(key), record, publish_too, names_now(&w, i), NULL, NULL, f);
}

/* ---- found ---- */

/* One round trip from a connected holder, of which one half is the announcement that he does not wait for. */
Test(ipns_names, resolve) {
  begin(3);
  names_connect(&w, 0, 1);
  names_connect(&w, 2, 1); /* 1 is the listener of both */
  names_run(&w, S);
  publish(0, 1, "/ipfs/one");
  names_outcome o;
  uint64_t from = msub_sim_time(w.s);
  cr_assert_eq(resolve(1, 1, 5 * S, &o), MSUB_MORE);
  names_run(&w, S);
  cr_assert(o.calls == 1 && o.end == MSUB_NAMES_END_FOUND && strcmp(o.value, "/ipfs/one") == 0 && o.source == MSUB_NAMES_FETCH && o.asked >= 1);
  cr_assert(o.at - from <= RTT + 2 * MS, "one round trip: %llu us", (unsigned long long)(o.at - from) / 1000);
  msub_names_view v;
  cr_assert_eq(resolve(1, 1, 5 * S, &o), MSUB_OK, "it is known");
  cr_assert_eq(get(1, 1, &v), MSUB_OK);
  cr_assert(v.durable && !v.expired && v.source == MSUB_NAMES_FETCH && msub_bytes_eq(v.from, msub_sim_id(w.s, 0)) && v.flags == MSUB_NAMES_SUBSCRIBED);
  cr_assert_eq(v.received_ns / 1000000000, names_now(&w, 1)->wall_ns / 1000000000 - 1);
  /* An update is half a round trip away. */
  w.node[1].n_log = 0;
  names_outcome done = { 0 };
  cr_assert_eq(names_publish(&w, 0, 1, "/ipfs/two", &done), MSUB_OK);
  names_run(&w, S);
  cr_assert(done.calls == 1 && w.node[1].n_log == 1 && w.node[1].log[0].sequence == 1 && w.node[1].log[0].source == MSUB_NAMES_PUBSUB);
  cr_assert(w.node[1].log[0].at <= done.at + RTT / 2 + 2 * MS, "%llu us after the commit", (unsigned long long)(w.node[1].log[0].at - done.at) / 1000);
  /* A third one that knows only the follower gets the newest. */
  from = msub_sim_time(w.s);
  cr_assert_eq(resolve(2, 1, 5 * S, &o), MSUB_MORE);
  names_run(&w, S);
  cr_assert(o.calls == 1 && o.end == MSUB_NAMES_END_FOUND && strcmp(o.value, "/ipfs/two") == 0 && o.sequence == 1 && o.at - from <= RTT + 2 * MS);
  names_world_stop(&w);
}

/* Fetch on join, both ways of dialling, and before a peer announces anything. */
Test(ipns_names, fetch_on_join) {
  for (unsigned way = 0; way < 4; way++) {
    begin(2);
    bool holder_dials = way & 1, holder_is_in_topic = way & 2;
    if (holder_is_in_topic) publish(0, 1, "/ipfs/v");
    else cr_assert_eq(put(0, 1, names_record(&w, 1, "/ipfs/v", 0, DAY_NS), false, NULL), MSUB_OK);
    names_outcome o;
    cr_assert_eq(resolve(1, 1, 60 * S, &o), MSUB_MORE);
    names_run(&w, S);
    cr_assert(o.calls == 0);
    uint64_t from = msub_sim_time(w.s);
    if (holder_dials) names_connect(&w, 0, 1);
    else names_connect(&w, 1, 0);
    names_run(&w, 2 * S);
    cr_assert(o.calls == 1 && o.end == MSUB_NAMES_END_FOUND, "%u", way);
    /* We dial: a dial, a question. They dial: the question waits for what they announce, or for identify. */
    uint64_t most = holder_dials ? 3 * RTT : 2 * RTT;
    cr_assert(o.at - from <= most + 2 * MS, "%u: %llu us", way, (unsigned long long)(o.at - from) / 1000);
    cr_assert_eq(msub_fetch_count(w.node[0].fetch)->served, 1, "asked once: %u, %llu", way, (unsigned long long)msub_fetch_count(w.node[0].fetch)->served);
    names_world_stop(&w);
  }
}

Test(ipns_names, resolve_ends) {
  begin(4);
  names_outcome o;
  cr_assert_eq(resolve(0, 1, S, &o), MSUB_MORE);
  names_run(&w, 2 * S);
  cr_assert(o.calls == 1 && o.end == MSUB_NAMES_END_NOBODY && o.asked == 0 && count(0)->unresolved == 1);
  for (uint32_t i = 1; i < 4; i++) names_connect(&w, 0, i);
  names_run(&w, S);
  uint64_t from = msub_sim_time(w.s);
  cr_assert_eq(resolve(0, 2, 3 * S, &o), MSUB_MORE);
  names_run(&w, 4 * S);
  cr_assert(o.calls == 1 && o.end == MSUB_NAMES_END_NOTHING && o.asked == 3 && o.at >= from + 3 * S && o.at <= from + 3 * S + 2 * MS);
  /* Expired: the holder kept it, and does not serve it; who had it says since when. */
  cr_assert_eq(put(0, 3, names_record(&w, 3, "/ipfs/old", 4, 500000000), false, NULL), MSUB_OK);
  cr_assert_eq(put(1, 3, names_record(&w, 3, "/ipfs/old", 4, 500000000), true, NULL), MSUB_OK);
  names_run(&w, S);
  cr_assert_eq(resolve(2, 3, S, &o), MSUB_MORE);
  names_run(&w, 2 * S);
  cr_assert(o.end == MSUB_NAMES_END_NOTHING && o.asked > 0, "expired ones are not served: %s", msub_names_end_name((int)o.end));
  cr_assert_eq(resolve(0, 3, S, &o), MSUB_MORE);
  names_run(&w, 2 * S);
  cr_assert(o.end == MSUB_NAMES_END_EXPIRED && o.sequence == 4 && strcmp(o.value, "/ipfs/old") == 0);
  msub_names_view v;
  cr_assert(get(0, 3, &v) == MSUB_OK && v.expired);
  /* Whoever waits is woken by what is put here, too. */
  cr_assert_eq(resolve(0, 3, 5 * S, &o), MSUB_MORE);
  cr_assert_eq(put(0, 3, names_record(&w, 3, "/ipfs/new", 5, DAY_NS), false, NULL), MSUB_OK);
  names_run(&w, MS);
  cr_assert(o.calls == 1 && o.end == MSUB_NAMES_END_FOUND && strcmp(o.value, "/ipfs/new") == 0);
  /* Cancelled, and no name at all. */
  msub_token t;
  o = (names_outcome){ 0 };
  cr_assert_eq(msub_names_resolve(w.node[0].n, names_id(9), msub_sim_time(w.s) + S, names_now(&w, 0), names_resolved, &o, NULL, &t), MSUB_MORE);
  msub_names_cancel(w.node[0].n, t);
  msub_names_cancel(w.node[0].n, t);
  names_run(&w, 2 * S);
  cr_assert(o.calls == 0 && count(0)->resolving == 0);
  cr_assert_eq(msub_names_resolve(w.node[0].n, msub_str("no name"), MSUB_NEVER, names_now(&w, 0), names_resolved, &o, NULL, NULL), MSUB_ERR_MALFORMED);
  cr_assert_eq(msub_names_get(w.node[0].n, msub_str("no name"), 0, &v), MSUB_ERR_MALFORMED);
  for (int e = -1; e <= MSUB_NAMES_END_NOBODY + 1; e++) cr_assert(*msub_names_end_text(e) && *msub_names_end_name(e));
  cr_assert_str_eq(msub_names_source_name(MSUB_NAMES_PUBSUB), "pubsub");
  cr_assert_str_eq(msub_names_source_name(99), "unknown");
  cr_assert_str_eq(msub_names_alarm_text(-1), "unknown");
  names_world_stop(&w);
}

/* ---- published ---- */

Test(ipns_names, sequences) {
  begin(1);
  cr_assert_eq(publish(0, 1, "/ipfs/a").sequence, 0);
  cr_assert_eq(publish(0, 1, "/ipfs/a").sequence, 0, "the same value");
  cr_assert_eq(publish(0, 1, "/ipfs/b").sequence, 1);
  /* Two at once, before the first is durable. */
  names_outcome x = { 0 }, y = { 0 };
  cr_assert_eq(names_publish(&w, 0, 1, "/ipfs/c", &x), MSUB_OK);
  cr_assert_eq(names_publish(&w, 0, 1, "/ipfs/d", &y), MSUB_OK);
  names_run(&w, 20 * MS);
  cr_assert(x.calls == 1 && y.calls == 1 && x.result == MSUB_OK && y.result == MSUB_OK && y.sequence == 3);
  msub_names_view v;
  cr_assert(get(0, 1, &v) == MSUB_OK && v.record.sequence == 3 && v.source == MSUB_NAMES_OWN && v.durable && v.flags == (MSUB_NAMES_FOLLOWED | MSUB_NAMES_SUBSCRIBED));
  /* Named ones: not back, and not over the end. */
  msub_names_publish_opts p;
  msub_names_publish_opts_init(&p);
  p.value = msub_str("/ipfs/e");
  p.sequenced = true;
  p.sequence = 2;
  cr_assert_eq(msub_names_publish(w.node[0].n, names_key(1), &p, names_now(&w, 0), NULL, NULL), MSUB_ERR_MISMATCH);
  p.sequence = UINT64_MAX;
  cr_assert_eq(msub_names_publish(w.node[0].n, names_key(1), &p, names_now(&w, 0), NULL, NULL), MSUB_ERR_INVAL);
  p.sequence = UINT64_MAX / 2;
  p.lifetime_ns = S;
  p.v2_only = true;
  cr_assert_eq(msub_names_publish(w.node[0].n, names_key(1), &p, names_now(&w, 0), NULL, NULL), MSUB_OK);
  names_run(&w, 10 * MS);
  cr_assert_eq(names_publish(&w, 0, 1, "/ipfs/f", NULL), MSUB_ERR_LIMIT, "2^63 - 1 is the last");
  /* What expired counts. */
  p.sequence = 7;
  p.value = msub_str("/ipfs/g");
  cr_assert_eq(msub_names_publish(w.node[0].n, names_key(2), &p, names_now(&w, 0), NULL, NULL), MSUB_OK);
  names_run(&w, 3 * S);
  cr_assert(get(0, 2, &v) == MSUB_OK && v.expired);
  cr_assert_eq(publish(0, 2, "/ipfs/h").sequence, 8);
  p.value = NONE;
  cr_assert_eq(msub_names_publish(w.node[0].n, names_key(2), &p, names_now(&w, 0), NULL, NULL), MSUB_ERR_INVAL);
  names_world_stop(&w);
}

/* Nothing leaves, and nobody here is shown it, before the store has it. */
Test(ipns_names, durable_before_the_first_byte) {
  begin(2);
  names_connect(&w, 0, 1);
  cr_assert_eq(msub_names_follow(w.node[1].n, names_id(1), names_now(&w, 1), NULL, NULL), MSUB_OK);
  names_run(&w, S);
  msub_store_memory_hang(w.node[0].store, true);
  names_outcome o = { 0 };
  cr_assert_eq(names_publish(&w, 0, 1, "/ipfs/a", &o), MSUB_OK);
  names_run(&w, 5 * S);
  msub_names_view v;
  cr_assert(o.calls == 0 && w.node[1].n_log == 0 && get(0, 1, &v) == MSUB_ERR_NOTFOUND && get(1, 1, &v) == MSUB_ERR_NOTFOUND);
  msub_store_memory_hang(w.node[0].store, false);
  names_run(&w, S);
  cr_assert(o.calls == 1 && o.result == MSUB_OK && o.durable && w.node[1].n_log == 1);
  /* A store that fails: the publisher hears of it, and the others see nothing. */
  msub_store_memory_fail(w.node[0].store, 0, MSUB_ERR_IO);
  o = (names_outcome){ 0 };
  cr_assert_eq(names_publish(&w, 0, 1, "/ipfs/b", &o), MSUB_OK);
  names_run(&w, S);
  cr_assert(o.calls == 1 && o.result == MSUB_ERR_IO && w.node[1].n_log == 1 && count(0)->store_failed > 0);
  cr_assert(get(0, 1, &v) == MSUB_OK && v.record.sequence == 0, "what was there stands");
  msub_store_memory_fail(w.node[0].store, 0, MSUB_OK);
  cr_assert_eq(publish(0, 1, "/ipfs/b").sequence, 1);
  names_run(&w, S);
  cr_assert(w.node[1].n_log == 2 && last_change(1)->sequence == 1);
  /* A follower shows it before its own commit, and says so. */
  msub_store_memory_hang(w.node[1].store, true);
  publish(0, 1, "/ipfs/c");
  names_run(&w, S);
  cr_assert(w.node[1].n_log == 3 && !last_change(1)->durable && get(1, 1, &v) == MSUB_OK && !v.durable);
  msub_store_memory_hang(w.node[1].store, false);
  names_run(&w, S);
  cr_assert(get(1, 1, &v) == MSUB_OK && v.durable);
  names_world_stop(&w);
}

/* Killed after so many milliseconds: what was acknowledged is there, and no sequence comes twice with another value. */
Test(ipns_names, P_12_killed_at_each_point) {
  for (unsigned after = 0; after < 30; after++) {
    begin(2);
    w.step = MS / 4;
    names_connect(&w, 0, 1);
    cr_assert_eq(msub_names_follow(w.node[1].n, names_id(1), names_now(&w, 1), NULL, NULL), MSUB_OK);
    names_run(&w, 100 * MS);
    names_outcome o[3] = { { 0 } };
    static const char *const values[] = { "/ipfs/0", "/ipfs/1", "/ipfs/2" };
    for (unsigned k = 0; k < 3; k++) {
      cr_assert_eq(names_publish(&w, 0, 1, values[k], &o[k]), MSUB_OK);
      names_run(&w, after * MS / 4);
    }
    uint64_t acked = 0, any = 0, seen = 0;
    for (unsigned k = 0; k < 3; k++) {
      if (!o[k].calls) continue;
      any = 1;
      acked = o[k].sequence;
    }
    names_crash(&w, 0);
    names_run(&w, 100 * MS); /* what was on the wire arrives */
    seen = w.node[1].n_log ? last_change(1)->sequence : 0;
    msub_names_view v;
    int rc = get(0, 1, &v);
    cr_assert(!any || (rc == MSUB_OK && v.record.sequence >= acked && (v.flags & MSUB_NAMES_FOLLOWED) && v.source == MSUB_NAMES_STORE), "%u", after);
    cr_assert(w.node[1].n_log == 0 || (rc == MSUB_OK && v.record.sequence >= seen), "nobody saw what is lost: %u", after);
    names_connect(&w, 0, 1);
    names_outcome next = publish(0, 1, "/ipfs/after");
    names_run(&w, 200 * MS);
    cr_assert(!w.node[1].n_log || next.sequence > seen || (rc != MSUB_OK && seen == 0), "%u: %llu, and %llu was seen", after, (unsigned long long)next.sequence, (unsigned long long)seen);
    cr_assert(w.node[1].n_log && last_change(1)->sequence == next.sequence && memcmp(last_change(1)->value, "/ipfs/after", 11) == 0, "%u", after);
    names_world_stop(&w);
  }
}

/* Killed and restarted: followed, kept and own names are served, and followed again, unasked. */
Test(ipns_names, restart) {
  begin(3);
  names_connect(&w, 0, 1);
  names_run(&w, S);
  publish(0, 1, "/ipfs/own");
  cr_assert_eq(put(0, 2, names_record(&w, 2, "/ipfs/kept", 3, DAY_NS), false, NULL), MSUB_OK);
  names_outcome o[3] = { { 0 } };
  cr_assert_eq(msub_names_follow(w.node[0].n, names_id(3), names_now(&w, 0), names_done, &o[0]), MSUB_OK);
  cr_assert_eq(msub_names_keep(w.node[0].n, names_id(2), names_now(&w, 0), names_done, &o[1]), MSUB_OK);
  cr_assert_eq(msub_names_follow(w.node[0].n, names_id(4), names_now(&w, 0), names_done, &o[2]), MSUB_OK);
  names_run(&w, S);
  for (unsigned k = 0; k < 3; k++) cr_assert(o[k].calls == 1 && o[k].result == MSUB_OK);
  cr_assert_eq(msub_names_unfollow(w.node[0].n, names_id(4), names_now(&w, 0), NULL, NULL), MSUB_OK);
  cr_assert_eq(msub_names_unfollow(w.node[0].n, names_id(4), names_now(&w, 0), NULL, NULL), MSUB_ERR_NOTFOUND);
  cr_assert_eq(msub_names_unkeep(w.node[0].n, names_id(9), names_now(&w, 0), NULL, NULL), MSUB_ERR_NOTFOUND);
  names_run(&w, S);
  names_crash(&w, 0);
  cr_assert(count(0)->followed == 2 && count(0)->kept == 1 && count(0)->subscribed == 3);
  msub_names_view v;
  cr_assert(get(0, 1, &v) == MSUB_OK && v.source == MSUB_NAMES_STORE && v.durable);
  cr_assert(get(0, 2, &v) == MSUB_OK && (v.flags & MSUB_NAMES_KEPT) && v.record.sequence == 3);
  /* A node that never met the publisher; the dial and a round trip. */
  uint64_t from = msub_sim_time(w.s);
  names_outcome r;
  names_connect(&w, 2, 0);
  cr_assert_eq(resolve(2, 1, 5 * S, &r), MSUB_MORE);
  names_run(&w, S);
  cr_assert(r.end == MSUB_NAMES_END_FOUND && strcmp(r.value, "/ipfs/own") == 0 && r.at - from <= 2 * RTT + 2 * MS);
  cr_assert_eq(resolve(2, 2, 5 * S, &r), MSUB_MORE);
  names_run(&w, S);
  cr_assert(r.end == MSUB_NAMES_END_FOUND && strcmp(r.value, "/ipfs/kept") == 0);
  /* The followed one is followed. */
  cr_assert_eq(put(2, 3, names_record(&w, 3, "/ipfs/news", 1, DAY_NS), true, NULL), MSUB_OK);
  names_run(&w, S);
  cr_assert(w.node[0].n_log == 1 && memcmp(last_change(0)->value, "/ipfs/news", 10) == 0);
  names_world_stop(&w);
}

/* ---- again and again ---- */

Test(ipns_names, rebroadcast) {
  names_world_init(&w);
  w.no.on_message = NULL;
  names_world_start(&w, 2);
  w.step = 50 * MS;
  publish(0, 1, "/ipfs/a");
  cr_assert_eq(put(0, 2, names_record(&w, 2, "/ipfs/ends", 0, 122000000000), true, NULL), MSUB_OK);
  names_run(&w, 59 * S);
  cr_assert_eq(count(0)->rebroadcast, 0);
  names_run(&w, 8 * S);
  cr_assert_eq(count(0)->rebroadcast, 2, "a minute, and a tenth more at most: %llu", (unsigned long long)count(0)->rebroadcast);
  names_run(&w, 66 * S); /* the other one ends in that time, and is not sent near its end */
  cr_assert(count(0)->rebroadcast >= 3 && count(0)->rebroadcast + count(0)->rebroadcast_skipped == 4);
  uint64_t before = count(0)->rebroadcast, skipped = count(0)->rebroadcast_skipped;
  names_run(&w, 10 * 63 * S);
  cr_assert(count(0)->rebroadcast - before >= 9 && count(0)->rebroadcast - before <= 11 && count(0)->rebroadcast_skipped - skipped >= 9);
  /* Without fetch (nobody was told of the peer) the minute is what repairs. */
  w.told = false;
  msub_names_free(w.node[1].n, names_now(&w, 1));
  w.node[1].n = NULL;
  msub_fetch_free(w.node[1].fetch);
  names_run(&w, S);
  names_start(&w, 1);
  names_connect(&w, 0, 1);
  cr_assert_eq(msub_names_follow(w.node[1].n, names_id(1), names_now(&w, 1), NULL, NULL), MSUB_OK);
  uint64_t from = msub_sim_time(w.s);
  names_run(&w, 70 * S);
  cr_assert(w.node[1].n_log >= 1 && w.node[1].log[0].at - from <= 67 * S);
  names_world_stop(&w);
}

Test(ipns_names, republish) {
  begin(2);
  w.step = S;
  names_connect(&w, 0, 1);
  cr_assert_eq(msub_names_follow(w.node[1].n, names_id(1), names_now(&w, 1), NULL, NULL), MSUB_OK);
  publish(0, 1, "/ipfs/a");
  cr_assert_eq(msub_names_own(w.node[0].n, names_key(1), names_now(&w, 0)), MSUB_OK);
  cr_assert_eq(msub_names_own(w.node[0].n, names_key(1), names_now(&w, 0)), MSUB_ERR_CLAIMED);
  cr_assert_eq(msub_names_own(w.node[0].n, names_key(2), names_now(&w, 0)), MSUB_OK); /* never published */
  names_run(&w, 30 * S);
  msub_names_view v;
  cr_assert_eq(get(0, 1, &v), MSUB_OK);
  int64_t end = v.ends_ns;
  cr_assert_eq(count(0)->republished, 0);
  names_run(&w, 40 * S);
  cr_assert(count(0)->republished == 1 && get(0, 1, &v) == MSUB_OK && v.record.sequence == 0 && v.ends_ns > end && (v.flags & MSUB_NAMES_OWNED));
  cr_assert(last_change(1)->ends == v.ends_ns && last_change(1)->sequence == 0, "the same sequence, a later end");
  w.step = 30 * S;
  names_run(&w, 4 * HOUR + 60 * S);
  cr_assert_eq(count(0)->republished, 2);
  /* The store fails: again five minutes later. */
  msub_store_memory_fail(w.node[0].store, 0, MSUB_ERR_IO);
  names_run(&w, 4 * HOUR + 4 * 60 * S);
  cr_assert(count(0)->republished == 2 && count(0)->republish_failed == 1, "%llu, %llu", (unsigned long long)count(0)->republished, (unsigned long long)count(0)->republish_failed);
  msub_store_memory_fail(w.node[0].store, 0, MSUB_OK);
  names_run(&w, 7 * 60 * S);
  cr_assert_eq(count(0)->republished, 3);
  cr_assert_eq(msub_names_disown(w.node[0].n, names_id(1)), MSUB_OK);
  cr_assert_eq(msub_names_disown(w.node[0].n, names_id(1)), MSUB_ERR_NOTFOUND);
  names_run(&w, 9 * HOUR);
  cr_assert_eq(count(0)->republished, 3);
  names_world_stop(&w);
}

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

/* ---- what peers may do ---- */

/* A peer that serves whatever it likes under any key. */
static uint8_t lie[3 * MSUB_IPNS_RECORD_MAX];
static size_t lie_n;
static int lookup_lie(void *ud, msub_bytes peer_id, msub_bytes key, msub_bytes *value) {
  (void)ud, (void)peer_id, (void)key;
  *value = (msub_bytes){ lie, lie_n };
  return MSUB_OK;
}
static void tell_lie(msub_bytes b) { memcpy(lie, b.p, lie_n = b.n); }

static void liar_at_1(void) {
  begin(2);
  names_stop(&w, 1);
  names_run(&w, S);
  cr_assert_eq(msub_fetch_new(NULL, msub_sim_exchange(w.s, 1), &w.node[1].fetch), MSUB_OK);
  cr_assert_eq(msub_fetch_serve(w.node[1].fetch, NONE, lookup_lie, NULL), MSUB_OK);
  names_connect(&w, 0, 1);
  names_run(&w, S);
}
static void no_liar(void) {
  msub_fetch_free(w.node[1].fetch);
  names_world_stop(&w);
}
static msub_ipns_fault asked_the_liar(uint8_t key) {
  names_outcome o;
  msub_names_view v;
  cr_assert_eq(resolve(0, key, 200 * MS, &o), MSUB_MORE);
  names_run(&w, 300 * MS);
  cr_assert(o.calls == 1 && o.end == MSUB_NAMES_END_INVALID && o.asked == 1, "%s", msub_names_end_name((int)o.end));
  cr_assert_eq(get(0, key, &v), MSUB_ERR_NOTFOUND);
  return o.fault;
}

/* P-01, P-03, P-06: what comes back is judged by the name that was asked for, before anything is done with it. */
Test(ipns_names, P_06_answers_of_a_liar) {
  liar_at_1();
  tell_lie(names_record(&w, 2, "/ipfs/valid for another", 0, DAY_NS));
  cr_assert_eq(asked_the_liar(1), MSUB_IPNS_SIGNATURE);
  msub_bytes good = names_record(&w, 1, "/ipfs/v", 3, DAY_NS);
  tell_lie(good);
  lie[lie_n - 20] ^= 1;
  cr_assert(asked_the_liar(1) != MSUB_IPNS_OK);
  tell_lie(good);
  lie_n = MSUB_IPNS_RECORD_MAX + 1;
  cr_assert_eq(asked_the_liar(1), MSUB_IPNS_TOO_LARGE);
  lie_n = sizeof lie;
  cr_assert_eq(asked_the_liar(1), MSUB_IPNS_TOO_LARGE);
  memset(lie, 0xff, lie_n = 100);
  cr_assert_eq(asked_the_liar(1), MSUB_IPNS_BAD_PROTOBUF);
  names_outcome o;
  lie_n = 0; /* an empty answer is none */
  cr_assert_eq(resolve(0, 1, 200 * MS, &o), MSUB_MORE);
  names_run(&w, 300 * MS);
  cr_assert_eq(o.end, MSUB_NAMES_END_NOTHING);
  tell_lie(names_record(&w, 1, "/ipfs/v", 3, -1000000000));
  cr_assert_eq(resolve(0, 1, 200 * MS, &o), MSUB_MORE);
  names_run(&w, 300 * MS);
  cr_assert(o.end == MSUB_NAMES_END_NOTHING && count(0)->fetched_expired == 1);
  cr_assert_eq(count(0)->fetched_invalid, 5);
  no_liar();
}

/* P-01, P-03, P-05 for puts: each has its own word, and nothing of it is kept. */
Test(ipns_names, P_05_bad_puts) {
  begin(1);
  msub_ipns_fault f;
  msub_names_view v;
  uint8_t copy[MSUB_IPNS_RECORD_MAX + 1] = { 0 };
  msub_bytes good = names_record(&w, 1, "/ipfs/v", 3, DAY_NS);
  memcpy(copy, good.p, good.n);
  for (size_t i = 0; i < good.n * 8; i++) { /* each bit */
    copy[i / 8] ^= (uint8_t)(1 << i % 8);
    int rc = put(0, 1, (msub_bytes){ copy, good.n }, false, &f);
    cr_assert(rc == MSUB_ERR_MALFORMED && f != MSUB_IPNS_OK, "bit %zu: %d, %s", i, rc, msub_ipns_fault_name(f));
    copy[i / 8] ^= (uint8_t)(1 << i % 8);
  }
  cr_assert(put(0, 1, (msub_bytes){ copy, sizeof copy }, false, &f) == MSUB_ERR_MALFORMED && f == MSUB_IPNS_TOO_LARGE);
  cr_assert(put(0, 2, good, false, &f) == MSUB_ERR_MALFORMED && f == MSUB_IPNS_SIGNATURE, "of another name");
  cr_assert(put(0, 1, NONE, false, &f) == MSUB_ERR_MALFORMED);
  cr_assert(msub_names_put(w.node[0].n, msub_str("/ipns/x"), good, false, names_now(&w, 0), NULL, NULL, &f) == MSUB_ERR_MALFORMED && f == MSUB_IPNS_BAD_NAME);
  cr_assert(msub_names_put(w.node[0].n, NONE, good, false, names_now(&w, 0), NULL, NULL, &f) == MSUB_ERR_MALFORMED && f == MSUB_IPNS_BAD_NAME);
  cr_assert(put(0, 1, names_record(&w, 1, "/ipfs/v", 3, -1000000000), false, &f) == MSUB_ERR_TIMEOUT && f == MSUB_IPNS_EXPIRED);
  cr_assert(count(0)->names == 0 && get(0, 1, &v) == MSUB_ERR_NOTFOUND);
  names_outcome o[2] = { { 0 } };
  cr_assert_eq(msub_names_put(w.node[0].n, names_id(1), names_record(&w, 1, "/ipfs/v", 3, DAY_NS), true, names_now(&w, 0), names_done, &o[0], &f), MSUB_OK);
  names_run(&w, 10 * MS);
  cr_assert(o[0].calls == 1 && o[0].durable && o[0].source == MSUB_NAMES_PUT);
  cr_assert(put(0, 1, names_record(&w, 1, "/ipfs/w", 2, DAY_NS), true, &f) == MSUB_ERR_MISMATCH && f == MSUB_IPNS_OK, "older than the one kept");
  names_world_stop(&w);
}

static void fetched(void *ud, int result, msub_bytes value) {
  names_outcome *o = ud;
  (void)value;
  o->calls++;
  o->result = result;
}
/* Fields for old readers prove nothing, and must not say anything else than what is signed. */
Test(ipns_names, P_02_old_fields) {
  begin(1);
  msub_ipns_fault f;
  uint8_t full[MSUB_IPNS_RECORD_MAX], copy[MSUB_IPNS_RECORD_MAX];
  size_t n;
  msub_ipns_new what = { .value = msub_str("/ipfs/v"), .sequence = 5, .eol = msub_ipns_time_of(names_now(&w, 0)->wall_ns + DAY_NS), .ttl_ns = 7 };
  cr_assert_eq(msub_ipns_make(names_key(1), &what, full, sizeof full, &n), MSUB_OK);
  /* Each field alone: its last byte is another one; the data is left as it is. */
  unsigned tried = 0;
  for (size_t at = 0; at < n;) {
    unsigned number = full[at] >> 3, type = full[at] & 7;
    size_t end = at + 1;
    if (type == 2) {
      size_t len = full[end] & 0x7f;
      if (full[end++] & 0x80) len |= (size_t)full[end++] << 7;
      end += len;
    } else {
      while (full[end] & 0x80) end++;
      end++;
    }
    memcpy(copy, full, n);
    copy[end - 1] ^= 1;
    bool counts = number == 1 || (number >= 3 && number <= 6);
    if (counts) {
      tried++;
      cr_assert(put(0, 1, (msub_bytes){ copy, n }, false, &f) == MSUB_ERR_MALFORMED && f == MSUB_IPNS_V1_V2_MISMATCH, "field %u: %s", number, msub_ipns_fault_name(f));
    }
    /* Without data, or without its signature, it is nothing, however good the old signature. */
    if (number >= 8) {
      memcpy(copy, full, at);
      memcpy(copy + at, full + end, n - end);
      cr_assert(put(0, 1, (msub_bytes){ copy, n - (end - at) }, false, &f) == MSUB_ERR_MALFORMED, "%u", number);
      cr_assert_eq(f, number == 8 ? MSUB_IPNS_MISSING_SIGNATURE : MSUB_IPNS_MISSING_DATA);
    }
    at = end;
  }
  cr_assert_eq(tried, 5);
  cr_assert_eq(put(0, 1, (msub_bytes){ full, n }, false, &f), MSUB_OK);
  cr_assert_eq(put(0, 2, names_record(&w, 2, "/ipfs/v", 5, DAY_NS), false, &f), MSUB_OK, "without them it is good");
  names_world_stop(&w);
}

/* 10,240 bytes, and one more or less, by put and by fetch. */
Test(ipns_names, P_03_sizes) {
  static char value[MSUB_IPNS_RECORD_MAX];
  static uint8_t out[MSUB_IPNS_RECORD_MAX + 1];
  liar_at_1();
  for (int over = -1; over <= 1; over++) {
    msub_ipns_fault f;
    size_t n = 0, want = (size_t)((int)MSUB_IPNS_RECORD_MAX + over), value_n = 10000;
    memset(value, 'x', sizeof value);
    uint8_t key = (uint8_t)(10 + over);
    msub_ipns_new what = { .eol = msub_ipns_time_of(names_now(&w, 0)->wall_ns + DAY_NS), .v2_only = true };
    for (unsigned k = 0; n != (over > 0 ? want - 1 : want); k++) {
      cr_assert_lt(k, 10);
      what.value = (msub_bytes){ (const uint8_t *)value, value_n };
      cr_assert_eq(msub_ipns_make(names_key(key), &what, out, MSUB_IPNS_RECORD_MAX, &n), MSUB_OK);
      value_n += (over > 0 ? want - 1 : want) - n;
    }
    if (over > 0) { /* an unknown field makes it larger, and is no fault as such */
      value_n -= 2;
      what.value.n = value_n;
      cr_assert_eq(msub_ipns_make(names_key(key), &what, out, MSUB_IPNS_RECORD_MAX, &n), MSUB_OK);
      out[n] = 15 << 3;
      out[n + 1] = 0x80;
      out[n + 2] = 0;
      n += 3;
    }
    cr_assert_eq(n, want);
    cr_assert_eq(put(0, key, (msub_bytes){ out, n }, false, &f), over > 0 ? MSUB_ERR_MALFORMED : MSUB_OK, "%+d: %s", over, msub_ipns_fault_name(f));
    if (over > 0) cr_assert_eq(f, MSUB_IPNS_TOO_LARGE);
    tell_lie((msub_bytes){ out, n });
    names_outcome o;
    msub_names_view v;
    int rc = resolve(0, key, 200 * MS, &o);
    names_run(&w, 300 * MS);
    if (over > 0) cr_assert(o.end == MSUB_NAMES_END_INVALID && o.fault == MSUB_IPNS_TOO_LARGE && get(0, key, &v) == MSUB_ERR_NOTFOUND);
    else cr_assert(rc == MSUB_OK && get(0, key, &v) == MSUB_OK && v.record.bytes.n == n);
  }
  no_liar();
}

/* Keys that are no names are answered by NOT_FOUND, whatever they look like. */
Test(ipns_names, P_05_keys_of_other_kinds) {
  begin(2);
  names_connect(&w, 1, 0);
  cr_assert_eq(put(0, 1, names_record(&w, 1, "/ipfs/v", 3, DAY_NS), false, NULL), MSUB_OK);
  names_run(&w, S);
  uint8_t key[MSUB_IPNS_KEY_MAX + 1];
  size_t n = msub_ipns_key(names_id(1), key);
  struct { msub_bytes key; int want; } cases[] = {
    { { key, n }, MSUB_OK }, { { key, n - 1 }, MSUB_ERR_NOTFOUND }, { { key, n + 1 }, MSUB_ERR_NOTFOUND }, { { key, 6 }, MSUB_ERR_NOTFOUND }, { { key, 1 }, MSUB_ERR_NOTFOUND },
    { { key + 6, n - 6 }, MSUB_ERR_NOTFOUND }, { msub_str("/pk/x"), MSUB_ERR_NOTFOUND }, { msub_str("foo"), MSUB_ERR_NOTFOUND }, { msub_str("/ipns/"), MSUB_ERR_NOTFOUND }
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    names_outcome o = { 0 };
    key[n] = 1;
    cr_assert_eq(msub_fetch_get(w.node[1].fetch, msub_sim_id(w.s, 0), cases[i].key, msub_sim_time(w.s) + S, fetched, &o, NULL), MSUB_OK);
    names_run(&w, 200 * MS);
    cr_assert(o.calls == 1 && o.result == cases[i].want, "%zu: %d", i, o.result);
  }
  cr_assert(count(0)->served == 1);
  names_world_stop(&w);
}
/* An old record is not taken, here or after a restart, even when the newest has expired. */
Test(ipns_names, P_12_no_roll_back) {
  begin(2);
  names_connect(&w, 0, 1);
  cr_assert_eq(msub_names_follow(w.node[0].n, names_id(1), names_now(&w, 0), NULL, NULL), MSUB_OK);
  names_run(&w, S);
  cr_assert_eq(put(0, 1, names_record(&w, 1, "/ipfs/new", 9, 2 * (int64_t)S), true, NULL), MSUB_OK);
  names_run(&w, S);
  for (unsigned round = 0; round < 2; round++) {
    cr_assert_eq(put(0, 1, names_record(&w, 1, "/ipfs/old", 8, DAY_NS), true, NULL), MSUB_ERR_MISMATCH);
    cr_assert_eq(put(1, 1, names_record(&w, 1, "/ipfs/old", 8 - round, DAY_NS), true, NULL), round ? MSUB_ERR_MISMATCH : MSUB_OK, "this one never saw the new one");
    names_run(&w, 3 * S); /* by then it has expired */
    msub_names_view v;
    cr_assert(get(0, 1, &v) == MSUB_OK && v.record.sequence == 9 && v.expired, "%llu", (unsigned long long)v.record.sequence);
    if (round == 0) names_crash(&w, 0);
    names_connect(&w, 0, 1);
    names_run(&w, S);
  }
  names_outcome o;
  cr_assert_eq(resolve(0, 1, 200 * MS, &o), MSUB_MORE);
  names_run(&w, S);
  cr_assert_eq(o.end, MSUB_NAMES_END_EXPIRED, "rather than the old one");
  names_world_stop(&w);
}

/* A TTL is a hint of the owner's: it never makes an answer live longer than its record, or than the reader lets it. */
Test(ipns_names, P_04_time_to_live) {
  begin(1);
  msub_names_view v;
  static const struct { uint64_t ttl, most; int64_t ends_in, after; uint64_t want; } cases[] = {
    { 300000000000, UINT64_MAX, DAY_NS, 0, 300000000000 },
    { 300000000000, 60000000000, DAY_NS, 0, 60000000000 },
    { INT64_MAX, UINT64_MAX, DAY_NS, 0, 86400000000000 },
    { INT64_MAX, UINT64_MAX, DAY_NS, DAY_NS - 1, 1 },
    { INT64_MAX, UINT64_MAX, DAY_NS, DAY_NS, 0 },
    { INT64_MAX, UINT64_MAX, DAY_NS, DAY_NS + 1, 0 },
    { 0, UINT64_MAX, DAY_NS, 0, 0 },
  };
  int64_t now = names_now(&w, 0)->wall_ns;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    msub_names_publish_opts p;
    msub_names_publish_opts_init(&p);
    p.value = msub_str("/ipfs/v");
    p.ttl_ns = cases[i].ttl;
    p.lifetime_ns = (uint64_t)cases[i].ends_in;
    cr_assert_eq(msub_names_publish(w.node[0].n, names_key((uint8_t)(i + 1)), &p, names_now(&w, 0), NULL, NULL), MSUB_OK);
    int64_t at = names_now(&w, 0)->wall_ns;
    names_run(&w, 10 * MS);
    cr_assert_eq(get(0, (uint8_t)(i + 1), &v), MSUB_OK);
    cr_assert_eq(msub_names_fresh_ns(&v, at + cases[i].after, cases[i].most), cases[i].want, "%zu", i);
  }
  msub_names_publish_opts p;
  msub_names_publish_opts_init(&p);
  p.value = msub_str("/ipfs/v");
  p.ttl_ns = UINT64_C(1) << 63;
  cr_assert_eq(msub_names_publish(w.node[0].n, names_key(99), &p, names_now(&w, 0), NULL, NULL), MSUB_ERR_INVAL);
  v = (msub_names_view){ .has_record = false };
  cr_assert_eq(msub_names_fresh_ns(&v, now, UINT64_MAX), 0);
  v = (msub_names_view){ .has_record = true, .ends_ns = INT64_MAX, .record = { .ttl_ns = UINT64_MAX } };
  cr_assert_eq(msub_names_fresh_ns(&v, INT64_MIN, 5), 5);
  names_world_stop(&w);
}

/* The order is total: whatever comes first, all have the same in the end. */
Test(ipns_names, P_13_order) {
  static const struct { const char *value; uint64_t sequence; int64_t ends; } r[] = {
    { "/ipfs/a", 1, DAY_NS }, { "/ipfs/b", 1, DAY_NS }, { "/ipfs/c", 1, 2 * DAY_NS }, { "/ipfs/d", 2, DAY_NS / 2 }, { "/ipfs/e", 2, DAY_NS / 2 }
  };
  uint64_t rng = 1;
  char first[64] = "";
  for (unsigned round = 0; round < 12; round++) {
    begin(1);
    unsigned order[5] = { 0, 1, 2, 3, 4 };
    for (unsigned i = 4; i > 0; i--) {
      rng = rng * 6364136223846793005u + 1442695040888963407u;
      unsigned k = (unsigned)(rng >> 33) % (i + 1), t = order[i];
      order[i] = order[k];
      order[k] = t;
    }
    for (unsigned i = 0; i < 5; i++) (void)put(0, 1, names_record(&w, 1, r[order[i]].value, r[order[i]].sequence, r[order[i]].ends), false, NULL);
    msub_names_view v;
    cr_assert(get(0, 1, &v) == MSUB_OK && v.record.sequence == 2);
    if (!round) memcpy(first, v.record.value.p, v.record.value.n);
    cr_assert(memcmp(first, v.record.value.p, v.record.value.n) == 0, "%u", round);
    names_run(&w, S);
    cr_assert(w.node[0].alarms[MSUB_NAMES_EQUIVOCATION] > 0 && count(0)->equivocations == w.node[0].alarms[MSUB_NAMES_EQUIVOCATION]);
    names_world_stop(&w);
  }
}

/* Far ends are cut, jumps and contradictions are reported. */
Test(ipns_names, P_13_bounds) {
  names_world_init(&w);
  for (uint32_t i = 0; i < 2; i++) w.node[i].o.most_life_ns = 2 * HOUR;
  names_world_start(&w, 2);
  w.step = 10 * MS;
  names_connect(&w, 0, 1);
  names_run(&w, S);
  cr_assert_eq(put(0, 1, names_record(&w, 1, "/ipfs/far", 0, 200 * 365 * DAY_NS), true, NULL), MSUB_OK);
  names_run(&w, S);
  msub_names_view v;
  int64_t now = names_now(&w, 0)->wall_ns;
  cr_assert(get(0, 1, &v) == MSUB_OK && !v.expired && v.ends_ns <= now + (int64_t)(2 * HOUR) && v.ends_ns > now + (int64_t)HOUR);
  cr_assert(w.node[0].alarms[MSUB_NAMES_FAR_END] == 1 && count(0)->far_ends == 1);
  names_outcome o;
  cr_assert_eq(resolve(1, 1, S, &o), MSUB_MORE);
  names_run(&w, S);
  cr_assert_eq(o.end, MSUB_NAMES_END_FOUND, "it is passed on as it is");
  w.step = 10 * S;
  names_run(&w, 3 * HOUR);
  cr_assert(get(0, 1, &v) == MSUB_OK && v.expired, "and believed for two hours");
  w.step = 10 * MS;
  cr_assert_eq(put(0, 2, names_record(&w, 2, "/ipfs/a", 0, (int64_t)HOUR), true, NULL), MSUB_OK);
  cr_assert_eq(put(0, 2, names_record(&w, 2, "/ipfs/b", UINT64_C(1) << 32, (int64_t)HOUR), true, NULL), MSUB_OK);
  cr_assert_eq(count(0)->jumps, 0, "2^32 is no jump yet");
  cr_assert_eq(put(0, 2, names_record(&w, 2, "/ipfs/c", (UINT64_C(1) << 33) + 1, (int64_t)HOUR), true, NULL), MSUB_OK);
  cr_assert(count(0)->jumps == 1 && w.node[0].alarms[MSUB_NAMES_SEQUENCE_JUMP] == 1);
  cr_assert_eq(count(0)->equivocations, 0);
  (void)put(0, 2, names_record(&w, 2, "/ipfs/d", (UINT64_C(1) << 33) + 1, (int64_t)HOUR / 2), true, NULL);
  cr_assert(count(0)->equivocations == 1 && w.node[0].alarms[MSUB_NAMES_EQUIVOCATION] == 1);
  /* Renewed is not contradicted. */
  cr_assert_eq(put(0, 2, names_record(&w, 2, "/ipfs/c", (UINT64_C(1) << 33) + 1, (int64_t)HOUR + 5), true, NULL), MSUB_OK);
  cr_assert_eq(count(0)->equivocations, 1);
  names_world_stop(&w);
}

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
  p.value = (msub_bytes){ lie, 4096 };
  memset(lie, 'x', sizeof lie);
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
  cr_assert_eq(s.ops->submit(s.s, &op, 1, (msub_token){ 1 }), MSUB_OK);
  s.ops->listen(s.s, NULL, NULL);
  names_run(&w, S);
  s.ops->turn(s.s, names_now(&w, 0));
  names_run(&w, S);
  s.ops->turn(s.s, names_now(&w, 0));
  names_start(&w, 0);
  cr_assert(count(0)->kept == 0 && count(0)->names == 1);
  names_stop(&w, 0);
  value[0] = 2;
  cr_assert_eq(s.ops->submit(s.s, &op, 1, (msub_token){ 1 }), MSUB_OK);
  s.ops->listen(s.s, NULL, NULL);
  names_run(&w, S);
  s.ops->turn(s.s, names_now(&w, 0));
  names_run(&w, S);
  s.ops->turn(s.s, names_now(&w, 0));
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

/* What the program follows or keeps counts in no quota, whoever brought it. */
Test(ipns_names, keep_open_and_followed) {
  names_world_init(&w);
  w.node[0].o.names_of_peer = 2;
  names_world_start(&w, 2);
  w.step = 4 * MS;
  open_keeper(1);
  for (uint8_t k = 1; k <= 2; k++) cr_assert_eq(put(1, k, names_record(&w, k, "/ipfs/v", 0, DAY_NS), true, NULL), MSUB_OK);
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
  names_world_init(&w);
  w.node[0].o.names_of_peer = 2;
  names_world_start(&w, 2);
  w.step = 4 * MS;
  open_keeper(1);
  for (uint8_t k = 1; k <= 2; k++) cr_assert_eq(put(1, k, names_record(&w, k, "/ipfs/v", 0, (int64_t)S), true, NULL), MSUB_OK);
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
