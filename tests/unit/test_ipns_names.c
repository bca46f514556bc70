/* tests/unit/test_ipns_names.c: names between simulated nodes: found, published, said again and signed anew, and what of it a restart leaves. */
#include "names_kit.h"

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
