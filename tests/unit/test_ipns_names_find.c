/* tests/unit/test_ipns_names_find.c: names whose holders nobody is connected to, found through a rendezvous point; many names; what goes on by itself. */
#include <stdlib.h>
#include <time.h>
#include "meshsub/rendezvous.h"
#include "names_kit.h"

static msub_rendezvous *rv[4];
static msub_rendezvous_point *point;

static msub_discovery discovery(void *ud, msub_sim *s, uint32_t node) {
  (void)ud, (void)s;
  msub_bytes id = names_id(200);
  msub_rendezvous_opts o;
  msub_rendezvous_opts_init(&o);
  o.points = &id;
  o.n_points = 1;
  cr_assert_eq(msub_rendezvous_new(&o, &rv[node]), MSUB_OK);
  return msub_rendezvous_discovery(rv[node]);
}
static size_t record(void *ud, msub_record_dialect d, uint8_t *out, size_t cap) {
  const names_node *n = ud;
  msub_multiaddr a;
  cr_assert_eq(msub_multiaddr_parse("/ip4/10.0.0.1/tcp/4001", &a), MSUB_OK);
  msub_bytes addr = { a.bytes, a.n };
  return msub_peer_record_seal(names_key((uint8_t)(200 + n->no)), 1, &addr, 1, d, out, cap);
}
static void each_turn(void *ud, uint32_t i) {
  (void)ud;
  if (i) msub_rendezvous_turn(rv[i]);
}

/* Node 0 is the point, 1 holds the name, 2 looks for it; 3 is a holder that comes later. All that happens between is counted in round trips: the question to the point, a dial
 * (one here; on a network TCP and a handshake make it three, with hello and fetch in the flight that follows), the fetch. */
Test(ipns_names_find, through_a_point) {
  names_world_init(&w);
  w.no.discovery = discovery;
  w.no.dial_hints = true;
  w.each_turn = each_turn;
  names_world_start(&w, 4);
  msub_rendezvous_point_opts po;
  msub_rendezvous_point_opts_init(&po);
  po.exchange = msub_sim_exchange(w.s, 0);
  cr_assert_eq(msub_rendezvous_point_new(&po, &point), MSUB_OK);
  for (uint32_t i = 1; i < 4; i++) cr_assert_eq(msub_rendezvous_start(rv[i], msub_sim_exchange(w.s, i), names_id((uint8_t)(200 + i)), record, &w.node[i]), MSUB_OK);
  for (uint32_t i = 1; i < 4; i++) names_connect(&w, i, 0);
  names_run(&w, S);
  names_outcome p = { 0 }, o = { 0 };
  cr_assert_eq(names_publish(&w, 1, 1, "/ipfs/found", &p), MSUB_OK);
  names_run(&w, 5 * S);
  cr_assert_eq(p.result, MSUB_OK);
  msub_rendezvous_point_counts pc;
  msub_rendezvous_point_count(point, &pc);
  cr_assert_eq(pc.registrations, 1);
  cr_assert_not(msub_sim_connected(w.s, 1, 2));
  uint64_t from = msub_sim_time(w.s);
  cr_assert_eq(msub_names_resolve(w.node[2].n, names_id(1), from + 10 * S, names_now(&w, 2), names_resolved, &o, NULL, NULL), MSUB_MORE);
  names_run(&w, 3 * S);
  cr_assert(o.calls == 1 && o.end == MSUB_NAMES_END_FOUND && strcmp(o.value, "/ipfs/found") == 0, "%s", msub_names_end_name((int)o.end));
  /* Four of the simulation's, and two more for the handshake of a real dial: six of the ten that it may take. */
  cr_assert_leq(o.at - from, 4 * RTT + 5 * MS, "%llu us", (unsigned long long)(o.at - from) / 1000);
  /* The seeker is findable by now, so the third one finds it although the publisher is gone. */
  names_stop(&w, 1);
  cr_assert_eq(msub_sim_crash(w.s, 1), MSUB_OK);
  names_run(&w, 3 * S);
  from = msub_sim_time(w.s);
  o = (names_outcome){ 0 };
  cr_assert_eq(msub_names_resolve(w.node[3].n, names_id(1), from + 10 * S, names_now(&w, 3), names_resolved, &o, NULL, NULL), MSUB_MORE);
  names_run(&w, 11 * S);
  cr_assert(o.end == MSUB_NAMES_END_FOUND && o.at - from <= 4 * RTT + 5 * MS, "%s %llu us", msub_names_end_name((int)o.end), (unsigned long long)(o.at - from) / 1000);
  for (uint32_t i = 0; i < 4; i++) names_stop(&w, i);
  names_run(&w, 30 * S);
  w.each_turn = NULL;
  names_world_stop(&w);
  for (uint32_t i = 1; i < 4; i++) cr_assert_eq(msub_rendezvous_free(rv[i]), MSUB_OK);
  cr_assert_eq(msub_rendezvous_point_free(point), MSUB_OK);
}

/* What was fetched is told to the topic at once, not in a minute. */
Test(ipns_names_find, a_better_fetched_record_is_published) {
  names_world_init(&w);
  names_world_start(&w, 3);
  /* 2 follows and is connected to 1 only; 0 holds it. */
  w.told = false;
  names_connect(&w, 1, 2);
  for (uint32_t i = 1; i < 3; i++) cr_assert_eq(msub_names_follow(w.node[i].n, names_id(1), names_now(&w, i), NULL, NULL), MSUB_OK);
  names_run(&w, 2 * S);
  cr_assert_eq(msub_names_put(w.node[0].n, names_id(1), names_record(&w, 1, "/ipfs/v", 3, DAY_NS), false, names_now(&w, 0), NULL, NULL, NULL), MSUB_OK);
  uint64_t from = msub_sim_time(w.s);
  names_connect(&w, 1, 0);
  names_run(&w, S);
  cr_assert(w.node[1].n_log == 1 && w.node[1].log[0].source == MSUB_NAMES_FETCH);
  cr_assert(w.node[2].n_log == 1 && w.node[2].log[0].source == MSUB_NAMES_PUBSUB && w.node[2].log[0].at - from <= 3 * RTT);
  names_world_stop(&w);
}

/* Two that share a key, apart: whoever is ahead wins, and after they meet both have it. */
Test(ipns_names_find, two_writers) {
  static const struct { unsigned a, b; const char *winner; } cases[] = { { 6, 5, "/ipfs/a5" }, { 7, 9, "/ipfs/b8" }, { 4, 4, NULL } };
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    names_world_init(&w);
    names_world_start(&w, 2);
    char text[32];
    for (unsigned i = 0; i < cases[k].a; i++) {
      snprintf(text, sizeof text, "/ipfs/a%u", i);
      cr_assert_eq(names_publish(&w, 0, 1, text, NULL), MSUB_OK);
      names_run(&w, 10 * MS);
    }
    for (unsigned i = 0; i < cases[k].b; i++) {
      snprintf(text, sizeof text, "/ipfs/b%u", i);
      cr_assert_eq(names_publish(&w, 1, 1, text, NULL), MSUB_OK);
      names_run(&w, 10 * MS);
    }
    names_connect(&w, 0, 1);
    names_run(&w, S);
    msub_names_view v[2];
    for (uint32_t i = 0; i < 2; i++) cr_assert_eq(msub_names_get(w.node[i].n, names_id(1), names_now(&w, i)->wall_ns, &v[i]), MSUB_OK);
    cr_assert(msub_bytes_eq(v[0].record.bytes, v[1].record.bytes), "%zu", k);
    cr_assert(!cases[k].winner || (v[0].record.value.n == strlen(cases[k].winner) && memcmp(v[0].record.value.p, cases[k].winner, v[0].record.value.n) == 0), "%zu", k);
    /* The next one of either is above both. */
    names_outcome o = { 0 };
    cr_assert_eq(names_publish(&w, 0, 1, "/ipfs/next", &o), MSUB_OK);
    names_run(&w, S);
    cr_assert_eq(o.sequence, (cases[k].a > cases[k].b ? cases[k].a : cases[k].b), "%zu", k);
    cr_assert(msub_names_get(w.node[1].n, names_id(1), names_now(&w, 1)->wall_ns, &v[1]) == MSUB_OK && v[1].record.sequence == o.sequence);
    names_world_stop(&w);
  }
}

/* A hundred thousand names that are kept, a thousand of them joined: what they take here, beside the store. Signatures are not looked at again in a store of our own, so that it is
 * enough that they have the right length. */
Test(ipns_names_find, a_hundred_thousand, .timeout = 120) {
  enum { N = 100000 };
  names_world_init(&w);
  w.store_bytes = (size_t)512 << 20;
  names_world_start(&w, 2);
  msub_lww *l = msub_names_lww(w.node[0].n);
  msub_store s = w.node[0].o.store;
  uint8_t copy[MSUB_IPNS_RECORD_MAX];
  msub_bytes r = names_record(&w, 1, "/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", 0, DAY_NS);
  memcpy(copy, r.p, r.n);
  msub_lww_how how;
  msub_lww_how_init(&how);
  how.validated = true;
  uint8_t id[38] = { 0, 36, 8, 1, 18, 32 };
  for (uint32_t i = 0; i < N; i++) {
    char topic[MSUB_IPNS_TOPIC_TEXT];
    memcpy(id + 6, &i, 4);
    cr_assert_eq(msub_lww_put(l, msub_str(msub_ipns_topic((msub_bytes){ id, sizeof id }, topic)), (msub_bytes){ copy, r.n }, &how, names_now(&w, 0), (msub_token){ 0 }), MSUB_LWW_TAKEN);
    uint8_t key[64] = "ipns/n/", value[6] = { 1, MSUB_NAMES_KEPT };
    memcpy(key + 7, id, sizeof id);
    msub_store_op op = { true, { key, 7 + sizeof id }, { value, sizeof value } };
    cr_assert_eq(s.ops->submit(s.s, &op, 1, (msub_token){ UINT64_C(0x6e616d65) << 32 }), MSUB_OK);
    if (i % 200 == 199) names_run(&w, 4 * MS);
  }
  names_run(&w, S);
  names_stop(&w, 0);
  names_stop(&w, 1);
  names_run(&w, S);
  cr_assert_eq(w.mem.live_bytes, 0, "%zu bytes", w.mem.live_bytes);
  clock_t from = clock();
  names_start(&w, 0);
  double ms = (double)(clock() - from) * 1e3 / CLOCKS_PER_SEC;
  const msub_names_counts *c = msub_names_count(w.node[0].n);
  cr_assert(c->names == N && c->kept == N && c->subscribed == 1000, "%llu %llu %llu", (unsigned long long)c->names, (unsigned long long)c->kept, (unsigned long long)c->subscribed);
  cr_log_info("%zu bytes for %d names, %zu at most; the start took %.0f ms", w.mem.live_bytes, N, (size_t)64 << 20, ms);
  cr_assert_leq(w.mem.live_bytes, (size_t)64 << 20);
  /* Each is served. */
  names_start(&w, 1);
  names_connect(&w, 1, 0);
  names_run(&w, S);
  for (uint32_t i = 7; i < N; i += N / 20) {
    msub_names_view v;
    memcpy(id + 6, &i, 4);
    cr_assert_eq(msub_names_get(w.node[0].n, (msub_bytes){ id, sizeof id }, names_now(&w, 0)->wall_ns, &v), MSUB_OK);
    cr_assert(v.source == MSUB_NAMES_STORE && (v.flags & MSUB_NAMES_KEPT) && !v.expired);
    names_outcome o = { 0 };
    cr_assert_eq(msub_names_resolve(w.node[1].n, (msub_bytes){ id, sizeof id }, msub_sim_time(w.s) + S, names_now(&w, 1), names_resolved, &o, NULL, NULL), MSUB_MORE);
    names_run(&w, 100 * MS);
    cr_assert_eq(c->served, i / (N / 20) + 1); /* whose signature is another name's, as the other end finds */
  }
  names_world_stop(&w);
}
