/* What a program lets in: lists of peers, topic filters, inspectors, a topic's peers; feedback; watches. Against the in-memory world. */
#include "engine_world.h"
#include "meshsub/gossipsub.h"
#include "meshsub/guard.h"
#include "meshsub/watch.h"
#include "pubsub/limits.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define SEC 1000000000ull

static world w;
static void begin(const msub_router_ops *router) { world_start_plain(&w, router); }
static int receive(msub_session s, const char *topic, const char *data) { return world_plain(&w, s, topic, data); }
static void pass(uint64_t ns) { world_pass(&w, ns); }
static uint8_t buf[1 << 16];

static msub_bytes id_of(uint8_t seed) {
  static msub_peer_id ids[256];
  ids[seed] = world_peer_id(seed);
  return msub_peer_id_bytes(&ids[seed]);
}
static int up(uint8_t seed, msub_session *s) {
  msub_session_opts o = { .peer_id = id_of(seed), .protocol = msub_plan_protocol(w.plan, 0), .link = seed };
  return msub_session_up(w.e, &o, &w.now, s);
}
static uint64_t reason(int r) { return msub_count_reason(w.e, r); }
static const msub_counts *counts(void) { return msub_count(w.e); }
static int sent_to(uint64_t link) {
  int n = 0;
  for (size_t i = 0; i < w.n_sent; i++) {
    msub_rpc_iter it;
    msub_rpc_part part;
    if (w.sent[i].link != link) continue;
    msub_rpc_begin(&it, (msub_bytes){ w.sent[i].rpc, w.sent[i].n });
    while (msub_rpc_next(&it, &part) != MSUB_P_END) n += part.kind == MSUB_P_MESSAGE;
  }
  return n;
}

/* ---- lists ---- */

/* blacklist_test.go: Blacklist, 2 and 3: a peer blocked while it is connected, before it connects, and one whose block ends. */
Test(guard, block) {
  begin(NULL);
  msub_session a = world_peer(&w, 2), b = world_peer(&w, 3), again;
  msub_topic t = world_join(&w, "t", &world_data_ids);
  receive(a, "t", "before");
  cr_assert_eq(w.n_delivered, 1);
  cr_assert_eq(msub_block(w.e, id_of(2), 10 * SEC, &w.now), MSUB_OK);
  cr_assert(w.n_disconnected == 1 && w.disconnect_reason == MSUB_R_BLOCKED_PEER && w.disconnected[0].v == msub_session_peer(w.e, a).v);
  cr_assert(msub_blocked(w.e, id_of(2), &w.now) && !msub_blocked(w.e, id_of(3), &w.now));

  /* Until the world has ended the session: messages are refused, the rest is not looked at. */
  receive(a, "t", "during");
  world_subscribe(&w, a, "t", true);
  cr_assert(w.n_delivered == 1 && reason(MSUB_R_BLOCKED_PEER) == 1 && w.events[MSUB_T_REJECT] == 1 && msub_topic_peers(w.e, t) == 0);
  receive(b, "t", "during");
  cr_assert_eq(w.n_delivered, 2, "what was refused suppresses nothing");
  cr_assert_eq(msub_block(w.e, id_of(2), 10 * SEC, &w.now), MSUB_OK);
  cr_assert_eq(w.n_disconnected, 1, "it is on its way out");
  cr_assert_eq(msub_session_down(w.e, a, &w.now), MSUB_OK);
  uint64_t until = 0;
  cr_assert_eq(up(2, &again), MSUB_ERR_REFUSED);
  cr_assert(msub_allows(w.e, id_of(2), (msub_bytes){ NULL, 0 }, &w.now, &until) == MSUB_ERR_REFUSED && until == w.now.mono_ns + 10 * SEC);
  cr_assert_eq(counts()->blamed, 0, "nobody is blamed");

  /* The end, to the nanosecond. */
  pass(10 * SEC - 1);
  cr_assert_eq(up(2, &again), MSUB_ERR_REFUSED);
  pass(1);
  cr_assert_eq(up(2, &again), MSUB_OK);
  receive(again, "t", "after");
  cr_assert_eq(w.n_delivered, 3);

  /* For ever, until it is ended. */
  cr_assert_eq(msub_block(w.e, id_of(4), MSUB_NEVER, &w.now), MSUB_OK);
  pass(1000000 * SEC);
  cr_assert_eq(up(4, &again), MSUB_ERR_REFUSED);
  cr_assert_eq(msub_unblock(w.e, id_of(4), &w.now), MSUB_OK);
  cr_assert_eq(msub_unblock(w.e, id_of(4), &w.now), MSUB_ERR_NOTFOUND);
  cr_assert_eq(up(4, &again), MSUB_OK);

  /* One that is unblocked before the world has disconnected it is heard again. */
  cr_assert_eq(msub_block(w.e, id_of(4), SEC, &w.now), MSUB_OK);
  receive(again, "t", "deaf");
  cr_assert_eq(msub_unblock(w.e, id_of(4), &w.now), MSUB_OK);
  receive(again, "t", "heard");
  cr_assert_eq(w.n_delivered, 4);
  cr_assert_eq(msub_block(w.e, (msub_bytes){ NULL, 0 }, SEC, &w.now), MSUB_ERR_INVAL);
  cr_assert_eq(msub_block(w.e, id_of(4), 0, &w.now), MSUB_ERR_INVAL);
  cr_assert_eq(msub_block(w.e, id_of(4), SEC, NULL), MSUB_ERR_STATE);
  uint8_t long_id[65] = { 1 };
  cr_assert_eq(msub_block(w.e, (msub_bytes){ long_id, 65 }, SEC, &w.now), MSUB_ERR_INVAL);
  world_stop(&w);
}

/* Blocked with nobody of that name connected, then it is harmless: G-17 of the reference's history was a crash here. */
Test(guard, G_17_block_while_connecting) {
  begin(NULL);
  world_join(&w, "t", &world_data_ids);
  cr_assert_eq(msub_block(w.e, id_of(9), SEC, &w.now), MSUB_OK);
  msub_session s = world_peer(&w, 2);
  cr_assert_eq(msub_block(w.e, id_of(2), SEC, &w.now), MSUB_OK);
  cr_assert_eq(msub_session_agreed(w.e, s, &w.now), MSUB_OK);
  cr_assert_eq(msub_session_inbound(w.e, s, &w.now), MSUB_OK);
  world_subscribe(&w, s, "t", true);
  cr_assert_eq(msub_session_inbound_gone(w.e, s, &w.now), MSUB_OK);
  cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
  cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_ERR_STALE);
  pass(2 * SEC);
  world_stop(&w);
}

Test(guard, block_an_author) {
  world_init(&w, 1);
  w.ops.offload = NULL;
  w.ops.recall = NULL;
  world_start(&w, NULL);
  msub_session a = world_peer(&w, 2);
  world_join(&w, "t", NULL);
  cr_assert_eq(msub_block(w.e, id_of(5), 5 * SEC, &w.now), MSUB_OK);
  msub_bytes rpc = { buf, world_signed_rpc(buf, sizeof buf, 5, 1, "t", msub_str("x")) };
  cr_assert_eq(world_receive(&w, a, rpc), MSUB_OK);
  cr_assert(w.n_delivered == 0 && reason(MSUB_R_BLOCKED_AUTHOR) == 1 && w.n_disconnected == 0 && counts()->blamed == 0);
  pass(5 * SEC);
  cr_assert_eq(world_receive(&w, a, rpc), MSUB_OK);
  cr_assert_eq(w.n_delivered, 1, "its id was not marked");
  world_stop(&w);
}

Test(guard, allow_only) {
  begin(NULL);
  msub_session a = world_peer(&w, 2), b = world_peer(&w, 3), s;
  world_join(&w, "t", &world_data_ids);
  cr_assert_eq(msub_allow(w.e, id_of(2), 10 * SEC, &w.now), MSUB_OK);
  receive(b, "t", "1");
  cr_assert(w.n_delivered == 1 && w.n_disconnected == 0, "the list alone changes nothing");
  cr_assert_eq(msub_allow_only(w.e, true, &w.now), MSUB_OK);
  cr_assert(w.n_disconnected == 1 && w.disconnected[0].v == msub_session_peer(w.e, b).v && w.disconnect_reason == MSUB_R_NOT_ALLOWED);
  receive(a, "t", "2");
  receive(b, "t", "3");
  cr_assert_eq(w.n_delivered, 2);
  cr_assert_eq(up(4, &s), MSUB_ERR_REFUSED);
  cr_assert_eq(msub_allow(w.e, id_of(4), 5 * SEC, &w.now), MSUB_OK);
  cr_assert_eq(up(4, &s), MSUB_OK);
  /* Its time is over: it goes. Both lists: blocked. */
  pass(5 * SEC);
  cr_assert(w.n_disconnected == 2 && w.disconnected[1].v == msub_session_peer(w.e, s).v);
  cr_assert_eq(msub_block(w.e, id_of(2), SEC, &w.now), MSUB_OK);
  cr_assert(w.n_disconnected == 3 && w.disconnect_reason == MSUB_R_BLOCKED_PEER);
  pass(SEC);
  receive(a, "t", "4");
  cr_assert_eq(w.n_delivered, 3, "the block is over, the permission is not");
  cr_assert_eq(msub_disallow(w.e, id_of(2), &w.now), MSUB_OK);
  cr_assert_eq(msub_disallow(w.e, id_of(2), &w.now), MSUB_ERR_NOTFOUND);
  cr_assert_eq(w.n_disconnected, 4);
  cr_assert_eq(msub_allow_only(w.e, false, &w.now), MSUB_OK);
  receive(a, "t", "5");
  cr_assert_eq(w.n_delivered, 4, "everybody is welcome again");
  world_stop(&w);
}

static void blocks_in_deliver(world *x, const msub_msg *m) {
  (void)m;
  cr_assert_eq(msub_block(x->e, id_of(2), SEC, NULL), MSUB_OK);
  cr_assert_eq(msub_feedback(x->e, (msub_topic){ 0 }, x->delivered_from[0], MSUB_USEFUL, NULL), MSUB_OK);
}
Test(guard, block_from_a_callback) {
  begin(NULL);
  msub_session a = world_peer(&w, 2);
  world_join(&w, "t", &world_data_ids);
  w.on_deliver = blocks_in_deliver;
  receive(a, "t", "x");
  cr_assert(w.n_disconnected == 1 && msub_blocked(w.e, id_of(2), &w.now) && counts()->feedback_useful == 1);
  world_stop(&w);
}

static void nth_id(uint8_t id[8], uint32_t i) {
  for (int k = 0; k < 8; k++) id[k] = (uint8_t)(i >> 4 * k);
}
Test(guard, limit_of_lists) {
  begin(NULL);
  uint8_t id[8];
  for (uint32_t i = 0; i + 1 < MSUB__LISTED; i++) {
    nth_id(id, i);
    cr_assert_eq((i % 2 ? msub_block : msub_allow)(w.e, (msub_bytes){ id, 8 }, (i < 100 ? 1 : 2) * SEC, &w.now), MSUB_OK);
  }
  nth_id(id, 1u << 20);
  cr_assert_eq(msub_block(w.e, (msub_bytes){ id, 8 }, 2 * SEC, &w.now), MSUB_OK, "at MSUB__LISTED");
  nth_id(id, 1u << 21);
  cr_assert_eq(msub_block(w.e, (msub_bytes){ id, 8 }, SEC, &w.now), MSUB_ERR_LIMIT);
  nth_id(id, 1);
  cr_assert_eq(msub_block(w.e, (msub_bytes){ id, 8 }, SEC, &w.now), MSUB_OK, "a known one is no new entry");
  w.now.mono_ns += SEC; /* those that are over make room without a sweep before */
  nth_id(id, 1u << 21);
  cr_assert_eq(msub_block(w.e, (msub_bytes){ id, 8 }, SEC, &w.now), MSUB_OK);
  for (uint32_t i = 1; i < MSUB__LISTED - 1; i += 2) {
    nth_id(id, i);
    cr_assert_eq(msub_blocked(w.e, (msub_bytes){ id, 8 }, &w.now), i >= 100);
  }
  pass(5 * SEC);
  cr_assert_eq(msub_next_deadline(w.e), MSUB_NEVER, "all are over and gone");
  world_stop(&w);
}

/* ---- topic filters ---- */

static struct { unsigned asked, own; } f;
static bool allows_short(void *ud, msub_bytes topic, msub_peer p) {
  (void)ud;
  if (p.v) f.asked++;
  else f.own++;
  return topic.n < 3;
}
static size_t subscriptions(uint8_t *out, size_t cap, const char *const *names, size_t n) { /* "-x": gives x up */
  msub_ctl_entry e[64];
  msub_bytes b[64];
  for (size_t i = 0; i < n; i++) {
    bool off = names[i][0] == '-';
    e[i] = (msub_ctl_entry){ .kind = off ? MSUB_C_UNSUB : MSUB_C_SUB };
    b[i] = msub_str(names[i] + off);
  }
  return msub_ctl_encode(e, b, n, out, cap);
}
static size_t peers_of(const char *topic) { return msub_topic_peers(w.e, msub_topic_named(w.e, 0, msub_str(topic))); }

Test(guard, topic_filter) {
  memset(&f, 0, sizeof f);
  begin(NULL);
  msub_session a = world_peer(&w, 2);
  const msub_topic_filter filter = { .abi = MSUB_ABI, .size = sizeof filter, .name = "short", .allows = allows_short, .max_per_rpc = 4 };
  msub_topic t = world_join(&w, "long before", &world_data_ids), x;
  world_subscribe(&w, a, "long before", true);
  cr_assert_eq(msub_filter_topics(w.e, &filter, NULL), MSUB_OK);
  cr_assert_eq(peers_of("long before"), 1, "what was there stays");

  static const char *const mixed[] = { "t", "long", "u" }, *const five[] = { "1", "2", "3", "4", "5" }, *const four[] = { "1", "2", "-t", "-long" };
  uint8_t rpc[512];
  cr_assert_eq(world_receive(&w, a, (msub_bytes){ rpc, subscriptions(rpc, sizeof rpc, mixed, 3) }), MSUB_OK);
  cr_assert(peers_of("t") == 1 && peers_of("u") == 1 && peers_of("long") == 0 && counts()->subscriptions_filtered == 1 && f.asked == 3);
  uint64_t rpcs = counts()->rpcs_in;
  cr_assert_eq(world_receive(&w, a, (msub_bytes){ rpc, subscriptions(rpc, sizeof rpc, five, 5) }), MSUB_OK);
  cr_assert(peers_of("1") == 0 && counts()->rpcs_filtered == 1 && counts()->rpcs_in == rpcs, "too many void it all");
  cr_assert_eq(world_receive(&w, a, (msub_bytes){ rpc, subscriptions(rpc, sizeof rpc, four, 4) }), MSUB_OK);
  cr_assert(peers_of("1") == 1 && peers_of("t") == 0);
  cr_assert_eq(counts()->blamed, 0);

  /* Own topics, all three ways. */
  cr_assert_eq(msub_join(w.e, 0, msub_str("long"), &world_data_ids, NULL, &w.now, &x), MSUB_ERR_REFUSED);
  cr_assert_eq(msub_open(w.e, 0, msub_str("long"), &world_data_ids, NULL, &w.now, &x), MSUB_ERR_REFUSED);
  cr_assert_eq(msub_relay(w.e, 0, msub_str("long"), &world_data_ids, NULL, &w.now, &x), MSUB_ERR_REFUSED);
  cr_assert_eq(msub_join(w.e, 0, msub_str("ok"), &world_data_ids, NULL, &w.now, &x), MSUB_OK);
  cr_assert_eq(f.own, 4);
  cr_assert_eq(msub_publish(w.e, t, msub_str("goes on"), &w.now, NULL), MSUB_OK);

  /* A new stream: what was announced before the filter is asked about, and ends. */
  cr_assert_eq(msub_session_inbound(w.e, a, &w.now), MSUB_OK);
  world_subscribe(&w, a, "long before", true);
  cr_assert_eq(peers_of("long before"), 0);

  cr_assert_eq(msub_filter_topics(w.e, NULL, NULL), MSUB_OK);
  world_subscribe(&w, a, "long", true);
  cr_assert_eq(peers_of("long"), 1);
  const msub_topic_filter bad = { .abi = MSUB_ABI + 1, .size = sizeof bad };
  cr_assert_eq(msub_filter_topics(w.e, &bad, NULL), MSUB_ERR_INVAL);
  world_stop(&w);
}

Test(guard, topic_list) {
  begin(NULL);
  msub_session a = world_peer(&w, 2);
  const msub_bytes names[] = { msub_str("t"), { (const uint8_t *)"u\0x", 3 } };
  msub_topic_list list = { names, 2 };
  const msub_topic_filter filter = { .abi = MSUB_ABI, .size = sizeof filter, .name = "list", .allows = msub_topic_list_allows };
  cr_assert_eq(msub_filter_topics(w.e, &filter, &list), MSUB_OK);
  msub_topic x;
  cr_assert_eq(msub_join(w.e, 0, msub_str("u"), &world_data_ids, NULL, &w.now, &x), MSUB_ERR_REFUSED, "whole names only");
  cr_assert_eq(msub_join(w.e, 0, names[1], &world_data_ids, NULL, &w.now, &x), MSUB_OK);
  cr_assert_eq(msub_join(w.e, 0, msub_str(""), &world_data_ids, NULL, &w.now, &x), MSUB_ERR_REFUSED);
  world_subscribe(&w, a, "t", true);
  world_subscribe(&w, a, "tt", true);
  cr_assert(peers_of("t") == 1 && peers_of("tt") == 0);
  world_stop(&w);
}

/* The same RPC as another engine of the shared would hand it over, without bytes. */
static msub_ctl_entry entry(uint8_t kind, const char *topic) {
  return (msub_ctl_entry){ .kind = kind, .topic_name = msub_topic_name(w.e, msub_topic_named(w.e, 0, msub_str(topic))) };
}
static int receive_ctl(msub_session s, const msub_ctl_entry *e, uint32_t n) {
  uint8_t wire[512];
  msub_bytes names[8];
  for (uint32_t i = 0; i < n; i++) names[i] = msub_name_bytes(w.sh, e[i].topic_name);
  msub_ctl c = { .refs = 1, .n = n, .e = e, .wire = wire, .wire_n = (uint32_t)msub_ctl_encode(e, names, n, wire, sizeof wire) };
  msub_rpc rpc = { NULL, 0, &c, c.wire_n };
  return msub_receive_rpc(w.e, s, &rpc, &w.now);
}
static unsigned inspected;
static int drops_subscriptions(void *ud, const msub_inspection *i) {
  (void)ud;
  inspected++;
  return i->counts->subscriptions ? MSUB_R_FLOOD : MSUB_R_NONE;
}
Test(guard, structured_rpcs) {
  begin(NULL);
  inspected = 0;
  msub_session a = world_peer(&w, 2), b = world_peer(&w, 3);
  world_join(&w, "t", &world_data_ids);
  world_join(&w, "u", &world_data_ids);
  const msub_topic_filter filter = { .abi = MSUB_ABI, .size = sizeof filter, .name = "one", .max_per_rpc = 1 };
  msub_ctl_entry both[2] = { entry(MSUB_C_SUB, "t"), entry(MSUB_C_SUB, "u") };
  cr_assert_eq(msub_filter_topics(w.e, &filter, NULL), MSUB_OK);
  cr_assert_eq(receive_ctl(a, both, 2), MSUB_OK);
  cr_assert(peers_of("t") == 0 && counts()->rpcs_filtered == 1);
  cr_assert_eq(receive_ctl(a, both, 1), MSUB_OK);
  cr_assert_eq(peers_of("t"), 1);
  cr_assert_eq(msub_inspector(w.e, drops_subscriptions, NULL), MSUB_OK);
  cr_assert_eq(receive_ctl(b, both, 1), MSUB_OK);
  cr_assert(peers_of("t") == 1 && inspected == 1 && reason(MSUB_R_FLOOD) == 1 && counts()->rpcs_inspected_out == 1);
  cr_assert_eq(msub_inspector(w.e, NULL, NULL), MSUB_OK);
  cr_assert_eq(msub_block(w.e, id_of(3), SEC, &w.now), MSUB_OK);
  cr_assert_eq(receive_ctl(b, both, 1), MSUB_OK);
  cr_assert_eq(peers_of("t"), 1);
  world_stop(&w);
}

/* ---- inspector ---- */

static struct { unsigned n; int answer; msub_session s; msub_peer p; msub_rpc_counts counts; char data[16]; } in;
static int inspect(void *ud, const msub_inspection *i) {
  cr_assert_eq(ud, &in);
  in.n++;
  in.s = i->session;
  in.p = i->peer;
  in.counts = *i->counts;
  msub_rpc_iter it;
  msub_rpc_part part;
  msub_rpc_begin(&it, i->frame);
  while (msub_rpc_next(&it, &part) != MSUB_P_END)
    if (part.kind == MSUB_P_MESSAGE && part.msg.data.n < sizeof in.data) {
      memcpy(in.data, part.msg.data.p, part.msg.data.n);
      in.data[part.msg.data.n] = 0;
    }
  return in.answer;
}
Test(guard, inspector) {
  memset(&in, 0, sizeof in);
  begin(NULL);
  msub_session a = world_peer(&w, 2);
  world_join(&w, "t", &world_data_ids);
  cr_assert_eq(msub_inspector(w.e, inspect, &in), MSUB_OK);
  receive(a, "t", "seen");
  cr_assert(in.n == 1 && in.s.v == a.v && in.p.v == msub_session_peer(w.e, a).v && in.counts.publish == 1 && strcmp(in.data, "seen") == 0);
  cr_assert_eq(w.n_delivered, 1);
  in.answer = MSUB_R_FLOOD;
  uint64_t before = counts()->rpcs_in;
  size_t traced = w.events[MSUB_T_RECV_RPC];
  receive(a, "t", "dropped");
  cr_assert(w.n_delivered == 1 && counts()->rpcs_inspected_out == 1 && reason(MSUB_R_FLOOD) == 1 && counts()->rpcs_in == before);
  cr_assert(w.events[MSUB_T_RECV_RPC] == traced && counts()->blamed == 0 && w.n_disconnected == 0);
  world_subscribe(&w, a, "t", true);
  cr_assert(peers_of("t") == 0 && in.n == 3);
  in.answer = MSUB_REASONS;
  receive(a, "t", "nonsense");
  cr_assert(w.n_delivered == 1 && counts()->faults == 1 && counts()->rpcs_inspected_out == 3);
  /* A malformed one is not shown. */
  cr_assert_eq(world_receive(&w, a, (msub_bytes){ (const uint8_t *)"\x0a\x05", 2 }), MSUB_ERR_MALFORMED);
  cr_assert_eq(in.n, 4);
  /* One of many turns is shown once. */
  in.answer = MSUB_R_NONE;
  size_t n = 0;
  for (unsigned i = 0; i <= MSUB__PUBLISH_TURN; i++) {
    char text[8];
    (void)snprintf(text, sizeof text, "m%u", i);
    n += world_plain_rpc(buf + n, sizeof buf - n, "t", msub_str(text));
  }
  cr_assert_eq(world_receive(&w, a, (msub_bytes){ buf, n }), MSUB_OK);
  cr_assert(in.n == 5 && w.n_delivered == 2u + MSUB__PUBLISH_TURN);
  cr_assert_eq(msub_inspector(w.e, NULL, NULL), MSUB_OK);
  receive(a, "t", "unseen");
  cr_assert_eq(in.n, 5);
  world_stop(&w);
}

/* ---- a topic's peers ---- */

static msub_session outcast;
static bool not_the_outcast(const msub_channel *c, msub_session s) {
  (void)c;
  return s.v != outcast.v;
}
static msub_channel_policy closed_policy(void) {
  msub_channel_policy p = world_data_ids;
  p.may_peer = not_the_outcast;
  return p;
}
/* GossipSubPeerFilter, with a router that knows no mesh: the engine keeps messages apart itself. */
Test(guard, may_peer) {
  static msub_channel_policy p;
  p = closed_policy();
  begin(NULL);
  msub_session a = world_peer(&w, 2), b = world_peer(&w, 3);
  outcast = b;
  msub_topic t = world_join(&w, "t", &p);
  world_join(&w, "open", &world_data_ids);
  world_subscribe(&w, a, "t", true);
  world_subscribe(&w, b, "t", true);
  cr_assert_eq(peers_of("t"), 2);
  cr_assert_eq(msub_publish(w.e, t, msub_str("own"), &w.now, NULL), MSUB_OK);
  cr_assert(sent_to(2) == 1 && sent_to(3) == 0);
  receive(b, "t", "from b");
  cr_assert(w.n_delivered == 1 && reason(MSUB_R_FILTERED) == 1 && counts()->blamed == 0);
  receive(a, "t", "from a");
  cr_assert(w.n_delivered == 2 && sent_to(3) == 0);
  receive(b, "open", "elsewhere");
  cr_assert_eq(w.n_delivered, 3, "other topics are not concerned");
  world_stop(&w);
}

/* ---- feedback ---- */

static struct { unsigned useful, invalid; msub_topic t; msub_peer p; } told;
static void feedback(msub_router *r, msub_topic t, msub_peer p, bool useful) {
  (void)r;
  if (useful) told.useful++;
  else told.invalid++;
  told.t = t;
  told.p = p;
}
static int layout(msub_layout *l, const void *opts) {
  (void)opts;
  return msub_layout_protocol(l, "/feedback/1.0.0", 0);
}
Test(guard, feedback) {
  const msub_router_ops ops = { .abi = MSUB_ABI, .size = sizeof ops, .name = "feedback", .layout = layout, .feedback = feedback };
  memset(&told, 0, sizeof told);
  begin(&ops);
  msub_session a = world_peer(&w, 2);
  msub_peer p = msub_session_peer(w.e, a);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  cr_assert_eq(msub_feedback(w.e, t, p, MSUB_USEFUL, &w.now), MSUB_OK);
  cr_assert(told.useful == 1 && told.t.v == t.v && told.p.v == p.v && counts()->feedback_useful == 1 && counts()->blamed == 0);
  for (unsigned i = 1; i < 20; i++) cr_assert_eq(msub_feedback(w.e, t, p, MSUB_INVALID, &w.now), MSUB_OK);
  cr_assert(told.invalid == 19 && counts()->feedback_invalid == 19 && reason(MSUB_R_FEEDBACK) == 19 && w.n_disconnected == 0);
  cr_assert_eq(msub_feedback(w.e, (msub_topic){ 0 }, p, MSUB_INVALID, &w.now), MSUB_OK);
  cr_assert(w.n_disconnected == 1 && w.disconnect_reason == MSUB_R_FEEDBACK && told.invalid == 19, "the twentieth ends it; of no topic no router hears");

  /* Of a peer that has left: as long as somebody holds it. */
  cr_assert_eq(msub_peer_hold(w.sh, p), MSUB_OK);
  cr_assert_eq(msub_session_down(w.e, a, &w.now), MSUB_OK);
  cr_assert_eq(msub_feedback(w.e, t, p, MSUB_USEFUL, &w.now), MSUB_OK);
  cr_assert_eq(told.useful, 2);
  msub_peer_drop(w.sh, p);
  cr_assert_eq(msub_feedback(w.e, t, p, MSUB_USEFUL, &w.now), MSUB_ERR_STALE);
  cr_assert_eq(msub_feedback(w.e, t, (msub_peer){ 0 }, MSUB_USEFUL, &w.now), MSUB_ERR_STALE);
  cr_assert_eq(msub_feedback(w.e, (msub_topic){ 77 }, p, MSUB_USEFUL, &w.now), MSUB_ERR_STALE);
  cr_assert_eq(msub_feedback(w.e, t, p, (msub_opinion)7, &w.now), MSUB_ERR_INVAL);
  cr_assert_eq(msub_feedback(w.e, t, p, MSUB_USEFUL, NULL), MSUB_ERR_STATE);
  world_stop(&w);
}

/* ---- watches ---- */

static struct { unsigned n; } rings;
static void ring(void *ud, msub_watch *x) {
  (void)ud, (void)x;
  rings.n++;
}
/* "+2" or "-2", the peer being the one with that seed; "": there is none, "!": over. */
static const char *next(msub_watch *x) {
  static char text[8];
  msub_peer_event ev;
  int rc = msub_watch_next(x, &ev);
  if (rc != MSUB_OK) return rc == MSUB_ERR_STALE ? "!" : "";
  unsigned seed = 2;
  while (seed < 100 && !msub_bytes_eq(msub_peer_bytes(w.sh, ev.peer), id_of((uint8_t)seed))) seed++;
  (void)snprintf(text, sizeof text, "%c%u%s", ev.joined ? '+' : '-', seed, ev.lost ? "?" : "");
  return text;
}
#define NEXT(x, want) \
  do { \
    const char *got = next(x); \
    cr_assert(strcmp(got, want) == 0, "got '%s', wanted '%s'", got, want); \
  } while (0)

Test(guard, watch) {
  rings.n = 0;
  begin(NULL);
  msub_session a = world_peer(&w, 2), b = world_peer(&w, 3), c = world_peer(&w, 4);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  world_subscribe(&w, a, "t", true);
  msub_watch *x, *y;
  cr_assert_eq(msub_watch_begin(w.e, t, ring, NULL, &x), MSUB_OK);
  NEXT(x, "+2"); /* those who are there */
  NEXT(x, "");
  cr_assert_eq(rings.n, 0);
  world_subscribe(&w, b, "t", true);
  world_subscribe(&w, c, "t", true);
  cr_assert_eq(rings.n, 1, "one ring for many");
  world_subscribe(&w, b, "t", true);
  NEXT(x, "+3");
  NEXT(x, "+4");
  NEXT(x, "");

  /* Left by unsubscribing, by closing, by being thrown out: told once each. */
  world_subscribe(&w, a, "t", false);
  cr_assert_eq(msub_session_down(w.e, b, &w.now), MSUB_OK);
  cr_assert_eq(msub_block(w.e, id_of(4), SEC, &w.now), MSUB_OK);
  cr_assert_eq(msub_session_down(w.e, c, &w.now), MSUB_OK);
  NEXT(x, "-2");
  NEXT(x, "-3"); /* its session is gone, its name is not */
  NEXT(x, "-4");
  NEXT(x, "");

  /* Joined and left, or left and back, is nothing to tell. */
  world_subscribe(&w, a, "t", true);
  world_subscribe(&w, a, "t", false);
  NEXT(x, "");
  world_subscribe(&w, a, "t", true);
  NEXT(x, "+2");
  b = world_peer(&w, 3);
  world_subscribe(&w, b, "t", true);
  world_subscribe(&w, a, "t", false);
  world_subscribe(&w, a, "t", true);
  NEXT(x, "+3");
  NEXT(x, "");

  /* A second watch has a view of its own; one that ended hears nothing. */
  cr_assert_eq(msub_watch_begin(w.e, t, NULL, NULL, &y), MSUB_OK);
  NEXT(y, "+2");
  NEXT(y, "+3");
  msub_watch_end(x);
  msub_watch_end(NULL);
  world_subscribe(&w, b, "t", false);
  NEXT(y, "-3");

  /* What was before the leaving is told, then it is over. */
  world_subscribe(&w, a, "t", false);
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  NEXT(y, "-2");
  NEXT(y, "!");
  NEXT(y, "!");
  cr_assert_eq(msub_watch_begin(w.e, t, NULL, NULL, &x), MSUB_ERR_STALE);
  /* Opened topics have peers, too. */
  cr_assert_eq(msub_open(w.e, 0, msub_str("o"), &world_data_ids, NULL, &w.now, &t), MSUB_OK);
  cr_assert_eq(msub_watch_begin(w.e, t, NULL, NULL, &x), MSUB_OK);
  world_subscribe(&w, a, "o", true);
  NEXT(x, "+2");
  world_stop(&w); /* watches die with their engine */
}

static msub_watch *rung, *begun;
static void fetch(void *ud, msub_watch *x) {
  msub_peer_event ev;
  (void)ud;
  cr_assert_eq(msub_watch_next(x, &ev), MSUB_OK);
  rings.n++;
  rung = x;
  if (!begun) cr_assert_eq(msub_watch_begin(w.e, msub_topic_named(w.e, 0, msub_str("t")), NULL, NULL, &begun), MSUB_OK);
}
Test(guard, watch_from_its_callback) {
  rings.n = 0;
  begin(NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_watch *x;
  cr_assert_eq(msub_watch_begin(w.e, t, fetch, NULL, &x), MSUB_OK);
  for (uint8_t i = 2; i < 5; i++) world_subscribe(&w, world_peer(&w, i), "t", true);
  cr_assert(rings.n == 3 && rung == x, "it was empty each time");
  NEXT(x, "");
  NEXT(begun, "+2"); /* began with the peer that rang, and was not told of it again */
  NEXT(begun, "+3");
  NEXT(begun, "+4");
  NEXT(begun, "");
  world_stop(&w);
}

static int takes(void *ud, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  (void)ud, (void)link, (void)s, (void)rpc, (void)lane;
  return MSUB_OK;
}
static void no_event(void *ud, msub_topic t, msub_peer p, bool joined) { (void)ud, (void)t, (void)p, (void)joined; }
Test(guard, limits_of_watches) {
  world_init(&w, 1);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  w.ops.send = takes;
  w.ops.topic_peer = no_event;
  world_start(&w, NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_watch *x, *first = NULL;
  for (unsigned i = 0; i + 1 < MSUB__WATCHES; i++) {
    cr_assert_eq(msub_watch_begin(w.e, t, NULL, NULL, &x), MSUB_OK);
    if (!first) first = x;
  }
  cr_assert_eq(msub_watch_begin(w.e, t, NULL, NULL, &x), MSUB_OK, "at MSUB__WATCHES");
  msub_watch *none;
  cr_assert_eq(msub_watch_begin(w.e, t, NULL, NULL, &none), MSUB_ERR_LIMIT);
  world_stop(&w);

  /* Events that wait: one below MSUB__WATCH_EVENTS, exactly, and one above. */
  world_init(&w, 1);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  w.ops.send = takes;
  w.ops.topic_peer = no_event;
  world_start(&w, NULL);
  t = world_join(&w, "t", &world_data_ids);
  for (uint32_t i = 0; i <= MSUB__WATCH_EVENTS; i++) {
    uint8_t id[8];
    nth_id(id, i);
    msub_session_opts o = { .peer_id = { id, 8 }, .protocol = msub_plan_protocol(w.plan, 0), .link = i };
    msub_session s;
    cr_assert_eq(msub_session_up(w.e, &o, &w.now, &s), MSUB_OK);
    world_subscribe(&w, s, "t", true);
    if (i + 3 < MSUB__WATCH_EVENTS + 1) continue; /* watches that begin with so many, up to one too many */
    cr_assert_eq(msub_watch_begin(w.e, t, NULL, NULL, &x), MSUB_OK);
    msub_peer_event ev;
    uint32_t n = 0, lost = 0;
    while (msub_watch_next(x, &ev) == MSUB_OK) {
      n++;
      lost += ev.lost;
    }
    cr_assert_eq(n, i + 1 <= MSUB__WATCH_EVENTS ? i + 1 : MSUB__WATCH_EVENTS);
    cr_assert_eq(lost, i + 1 <= MSUB__WATCH_EVENTS ? 0 : 1);
  }
  world_stop(&w);
}

/* Nothing leaks and nothing breaks without memory. */
Test(guard, without_memory) {
  for (size_t fail = 1; fail < 40; fail++) {
    begin(NULL);
    msub_topic t = world_join(&w, "t", &world_data_ids);
    msub_session a = world_peer(&w, 2);
    const msub_topic_filter filter = { .abi = MSUB_ABI, .size = sizeof filter, .name = "all" };
    msub_watch *x;
    w.mem.fail_after = fail;
    (void)msub_block(w.e, id_of(7), SEC, &w.now);
    (void)msub_allow(w.e, id_of(8), SEC, &w.now);
    (void)msub_filter_topics(w.e, &filter, NULL);
    (void)msub_inspector(w.e, inspect, &in);
    (void)msub_watch_begin(w.e, t, NULL, NULL, &x);
    in.answer = MSUB_R_NONE;
    (void)world_subscribe(&w, a, "t", true);
    (void)receive(a, "t", "x");
    (void)msub_feedback(w.e, t, msub_session_peer(w.e, a), MSUB_INVALID, &w.now);
    w.mem.fail_after = 0;
    pass(3 * SEC);
    world_stop(&w);
  }
}
