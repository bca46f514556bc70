/* What travels: latency, jitter, loss, bandwidth, lanes, the processor. */
#include <criterion/criterion.h>
#include <string.h>
#include "sim_net.h"

#define MS MSUB_SIM_MS
#define EQ(a, b) cr_assert_eq((a), (b), "%llu, not %llu", (unsigned long long)(a), (unsigned long long)(b))

/* `count` nodes with floodsub on topic t, node 0 connected to all others, everything announced. */
static void star(net *w, uint32_t count) {
  net_start(w, count);
  net_join_all(w, "t");
  cr_assert_eq(msub_sim_connect_star(w->s, 0, count), MSUB_OK);
  net_run(w, 5 * MSUB_SIM_S);
  for (uint32_t i = 1; i < count; i++) cr_assert(msub_sim_connected(w->s, 0, i));
}
static const msub_counts *counts(const net *w, uint32_t node) { return msub_count(msub_sim_engine(w->s, node)); }

Test(sim_links, a_message_takes_the_latency_of_its_link) {
  static net w;
  net_init(&w, false);
  star(&w, 3);
  uint64_t t = msub_sim_time(w.s);
  cr_assert_eq(net_publish(&w, 1, 7, 100), MSUB_OK);
  cr_assert_eq(msub_sim_run_idle(w.s, MSUB_SIM_S), MSUB_OK);
  EQ(net_find(&w, 0, 7)->at, t + 10 * MS);
  EQ(net_find(&w, 2, 7)->at, t + 20 * MS);
  cr_assert(net_find(&w, 2, 7)->from == 0 && net_find(&w, 0, 7)->from == 1 &&
            net_find(&w, 1, 7)->from == MSUB_SIM_NOBODY);
  EQ(msub_sim_time(w.s), t + 20 * MS);
  net_stop(&w);
}

static void by_pair(void *ud, uint32_t from, uint32_t to, msub_sim_link *io) {
  cr_assert_eq(*(int *)ud, 5);
  io->latency_ns += (from * 10 + to) * MS;
}
Test(sim_links, a_latency_may_be_a_function_of_the_pair) {
  static net w;
  int five = 5;
  net_init(&w, false);
  w.o.link_of = by_pair;
  w.o.ud = &five;
  star(&w, 3);
  uint64_t t = msub_sim_time(w.s);
  cr_assert_eq(net_publish(&w, 1, 7, 100), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  EQ(net_find(&w, 0, 7)->at, t + 20 * MS);
  EQ(net_find(&w, 2, 7)->at, t + 32 * MS);
  net_stop(&w);
}

Test(sim_links, a_latency_is_raised_to_the_floor) {
  static net w;
  net_init(&w, false);
  w.o.link.latency_ns = 0;
  w.o.latency_floor_ns = 3 * MS;
  star(&w, 2);
  uint64_t t = msub_sim_time(w.s);
  cr_assert_eq(net_publish(&w, 1, 7, 100), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  EQ(net_find(&w, 0, 7)->at, t + 3 * MS);
  net_stop(&w);
}

Test(sim_links, jitter_adds_and_nothing_overtakes) {
  static net w;
  net_init(&w, false);
  w.o.link.jitter_ns = 40 * MS;
  star(&w, 2);
  uint64_t t = msub_sim_time(w.s), last = 0;
  for (uint8_t i = 0; i < 100; i++) cr_assert_eq(net_publish(&w, 1, i, 100), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  EQ(net_count(&w, 0), 100);
  for (uint8_t i = 0; i < 100; i++) {
    uint64_t at = net_find(&w, 0, i)->at;
    cr_assert(at >= t + 10 * MS && at <= t + 50 * MS && at >= last);
    last = at;
  }
  cr_assert_gt(last, t + 45 * MS);
  net_stop(&w);
}

/* ---- loss ---- */

static uint32_t loss;
static void lossy(void *ud, uint32_t from, uint32_t to, msub_sim_link *io) {
  (void)ud, (void)from, (void)to;
  io->loss_ppm = loss;
}
Test(sim_links, what_is_lost_is_told_to_the_sender_a_latency_later) {
  static net w;
  net_init(&w, false);
  w.o.link_of = lossy;
  loss = 1000000;
  star(&w, 2); /* connections and hellos get through */
  EQ(msub_topic_peers(msub_sim_engine(w.s, 0), w.t[0]), 1);
  cr_assert_eq(net_publish(&w, 1, 7, 100), MSUB_OK);
  net_run(&w, 10 * MS - 1);
  EQ(counts(&w, 1)->dropped, 0);
  net_run(&w, 1);
  EQ(counts(&w, 1)->dropped, 1);
  EQ(msub_sim_count(w.s)->lost, 1);
  net_run(&w, MSUB_SIM_S);
  cr_assert_null(net_find(&w, 0, 7));
  loss = 500000;
  for (unsigned i = 0; i < 200; i++) cr_assert_eq(net_publish(&w, 1, (uint8_t)i, 100), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  cr_assert(net_count(&w, 0) > 70 && net_count(&w, 0) < 130);
  EQ(net_count(&w, 0) + counts(&w, 1)->dropped, 201);
  net_stop(&w);
}

Test(sim_links, what_is_lost_when_its_session_is_over_is_forgotten) {
  static net w;
  net_init(&w, false);
  w.o.link_of = lossy;
  loss = 1000000;
  star(&w, 2);
  cr_assert_eq(net_publish(&w, 1, 7, 100), MSUB_OK);
  cr_assert_eq(msub_sim_disconnect(w.s, 1, 0, 0), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  EQ(counts(&w, 1)->dropped, 0);
  net_stop(&w);
}

/* ---- bandwidth ---- */

static size_t frame_of(net *w, uint32_t node, uint32_t to, uint8_t first, size_t n) {
  uint64_t was = msub_sim_traffic_of(w->s, node).bytes_out;
  cr_assert_eq(net_publish(w, node, first, n), MSUB_OK);
  net_run(w, MSUB_SIM_S);
  cr_assert_not_null(net_find(w, to, first));
  return (size_t)(msub_sim_traffic_of(w->s, node).bytes_out - was);
}

Test(sim_links, an_uplink_sends_one_thing_after_the_other) {
  static net w;
  net_init(&w, false);
  w.n.up_bytes_s = 1000000;
  star(&w, 2);
  size_t size = frame_of(&w, 1, 0, 200, 9000);
  cr_assert(size > 9100 && size < 9300); /* data, author, topic, signature */
  uint64_t t = msub_sim_time(w.s);
  for (uint8_t i = 0; i < 10; i++) cr_assert_eq(net_publish(&w, 1, i, 9000), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  for (uint8_t i = 0; i < 10; i++) EQ(net_find(&w, 0, i)->at, t + 10 * MS + (uint64_t)(i + 1) * size * 1000);
  net_stop(&w);
}

Test(sim_links, a_full_lane_refuses_and_room_says_so_before) {
  static net w;
  net_init(&w, false);
  w.n.up_bytes_s = 100000;
  w.n.lane_bytes[MSUB_LANE_OWN] = 30000;
  star(&w, 2);
  int err = MSUB_OK;
  unsigned took = 0;
  for (uint8_t i = 0; i < 20 && err == MSUB_OK; i++) {
    err = net_publish(&w, 1, i, 5000);
    took += err == MSUB_OK;
  }
  cr_assert(err == MSUB_ERR_LIMIT && took >= 5 && took <= 7, "%u", took);
  EQ(counts(&w, 1)->refused, 0); /* nothing was begun that could not be done */
  net_run(&w, MSUB_SIM_S);
  EQ(net_count(&w, 0), took);
  cr_assert_eq(net_publish(&w, 1, 100, 60000), MSUB_OK); /* an empty lane takes any size */
  net_run(&w, MSUB_SIM_S);
  cr_assert_not_null(net_find(&w, 0, 100));
  net_stop(&w);
}

Test(sim_links, a_full_lane_loses_what_is_forwarded_and_the_node_has_a_bound_too) {
  for (unsigned node_bound = 0; node_bound < 2; node_bound++) {
    static net w;
    net_init(&w, false);
    net_start(&w, 0);
    net_add(&w, 1); /* node 0 publishes without limits */
    w.n.up_bytes_s = 100000;
    if (node_bound) w.n.up_queue = 30000;
    else w.n.lane_bytes[MSUB_LANE_FORWARD] = 30000;
    net_add(&w, 2);
    net_join_all(&w, "t");
    cr_assert_eq(msub_sim_connect_line(w.s, 0, 3), MSUB_OK);
    net_run(&w, MSUB_SIM_S);
    for (uint8_t i = 0; i < 20; i++) cr_assert_eq(net_publish(&w, 0, i, 5000), MSUB_OK);
    net_run(&w, 5 * MSUB_SIM_S);
    EQ(net_count(&w, 1), 20);
    cr_assert(net_count(&w, 2) >= 5 && net_count(&w, 2) <= 7, "%u", net_count(&w, 2));
    EQ(counts(&w, 1)->refused, 20 - net_count(&w, 2));
    EQ(msub_sim_count(w.s)->refused, 20 - net_count(&w, 2));
    net_stop(&w);
  }
}

Test(sim_links, control_goes_before_what_was_published_earlier) {
  static net w;
  net_init(&w, false);
  w.n.up_bytes_s = 100000;
  star(&w, 2);
  for (uint8_t i = 0; i < 10; i++) cr_assert_eq(net_publish(&w, 1, i, 10000), MSUB_OK);
  net_join(&w, 1, "other"); /* announced behind a second of messages */
  net_run(&w, 200 * MS);
  cr_assert_leq(net_count(&w, 0), 2);
  msub_topic other = msub_topic_named(msub_sim_engine(w.s, 0), 0, msub_str("other"));
  EQ(msub_topic_peers(msub_sim_engine(w.s, 0), other), 1);
  net_run(&w, 2 * MSUB_SIM_S);
  EQ(net_count(&w, 0), 10);
  net_stop(&w);
}

Test(sim_links, peers_take_turns_on_an_uplink) {
  static net w;
  net_init(&w, false);
  w.n.up_bytes_s = 100000;
  star(&w, 4);
  for (uint8_t i = 0; i < 5; i++) cr_assert_eq(net_publish(&w, 0, i, 10000), MSUB_OK);
  net_run(&w, 5 * MSUB_SIM_S);
  for (uint32_t n = 1; n < 4; n++)
    for (uint8_t i = 1; i < 5; i++) cr_assert_lt(net_find(&w, n, i - 1)->at, net_find(&w, n % 3 + 1, i)->at);
  net_stop(&w);
}

Test(sim_links, a_downlink_is_a_queue_and_what_does_not_fit_is_lost) {
  static net w;
  net_init(&w, false);
  net_start(&w, 0);
  w.n.down_bytes_s = 1000000;
  w.n.down_queue = 50000;
  net_add(&w, 1);
  w.n.down_bytes_s = 0;
  net_add(&w, 2);
  net_join_all(&w, "t");
  cr_assert_eq(msub_sim_connect_star(w.s, 0, 3), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  size_t size = frame_of(&w, 1, 0, 200, 9000);
  uint64_t t = msub_sim_time(w.s);
  for (uint8_t i = 0; i < 2; i++) cr_assert_eq(net_publish(&w, i + 1, i, 9000), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  for (uint8_t i = 0; i < 2; i++) EQ(net_find(&w, 0, i)->at, t + 10 * MS + (uint64_t)(i + 1) * size * 1000);
  for (uint8_t i = 10; i < 20; i++) cr_assert_eq(net_publish(&w, 1, i, 9000), MSUB_OK);
  net_run(&w, 10 * MS + 1);
  EQ(msub_sim_count(w.s)->lost_down, 5);
  EQ(counts(&w, 1)->dropped, 0);
  net_run(&w, MSUB_SIM_S);
  EQ(counts(&w, 1)->dropped, 5);
  EQ(net_count(&w, 0), 1 + 2 + 5);
  net_stop(&w);
}

/* ---- what is queued can be taken back ---- */

static msub_session victim;
static int layout(msub_layout *l, const void *opts) { return msub_layout_nest(l, &msub_floodsub, opts); }
static int command(msub_router *r, uint32_t what, const void *arg, size_t n) {
  (void)what;
  return (int)msub_r_withdraw(r, victim, (msub_bytes){ arg, n });
}
static const msub_router_ops taker = { .abi = MSUB_ABI, .size = sizeof(msub_router_ops), .name = "taker",
                                       .layout = layout, .command = command };
static uint8_t ids[8][MSUB_MAX_ID];
static size_t id_n;
static bool keep_id(void *ud, msub_sim *s, uint32_t node, msub_topic t, const msub_msg *m, uint32_t from) {
  (void)ud, (void)s, (void)t, (void)from;
  if (node != 1) return true;
  id_n = msub_id(m).n;
  memcpy(ids[msub_data(m).p[0]], msub_id(m).p, id_n);
  return true;
}

Test(sim_links, a_queued_message_is_withdrawn_a_sent_one_is_not) {
  static net w;
  net_init(&w, false);
  w.routers[0].ops = &taker;
  w.n.on_message = keep_id;
  w.n.up_bytes_s = 100000;
  star(&w, 2);
  msub_engine *e = msub_sim_engine(w.s, 1);
  victim = msub_sim_session(w.s, 1, 0, 0);
  for (uint8_t i = 0; i < 5; i++) cr_assert_eq(net_publish(&w, 1, i, 10000), MSUB_OK);
  EQ(msub_command(e, 0, 1, ids[0], id_n, msub_sim_now(w.s, 1)), 0); /* on the wire */
  EQ(msub_command(e, 0, 1, ids[2], id_n, msub_sim_now(w.s, 1)), 1);
  EQ(msub_command(e, 0, 1, ids[2], id_n, msub_sim_now(w.s, 1)), 0);
  EQ(msub_command(e, 0, 1, ids[4], id_n, msub_sim_now(w.s, 1)), 1);
  net_run(&w, 2 * MSUB_SIM_S);
  EQ(counts(&w, 0)->delivered, 3);
  EQ(counts(&w, 1)->dropped, 0);
  EQ(msub_sim_count(w.s)->withdrawn, 2);
  net_stop(&w);
}

/* ---- the processor ---- */

static void with_cpu(net *w, uint32_t ppm) {
  net_init(w, false);
  w->engine.verify_cost_ns = 2 * MS;
  net_start(w, 1);
  w->n.cpu_ppm = ppm;
  w->n.cpu_queue = 8;
  net_add(w, 1);
  net_join_all(w, "t");
  cr_assert_eq(msub_sim_connect_line(w->s, 0, 2), MSUB_OK);
  net_run(w, MSUB_SIM_S);
}

Test(sim_links, jobs_take_their_cost_one_after_the_other) {
  static net w;
  with_cpu(&w, 1500000);
  uint64_t t = msub_sim_time(w.s);
  for (uint8_t i = 0; i < 5; i++) cr_assert_eq(net_publish(&w, 0, i, 100), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  for (uint8_t i = 0; i < 5; i++) EQ(net_find(&w, 1, i)->at, t + 10 * MS + (uint64_t)(i + 1) * 3 * MS);
  EQ(msub_sim_count(w.s)->jobs, 5);
  net_stop(&w);
}

static unsigned batches, largest, verified;
static void verify_many(const msub_bytes *wires, size_t n, msub_verdict *verdicts) {
  batches++;
  if (n > largest) largest = (unsigned)n;
  for (size_t i = 0; i < n; i++, verified++) verdicts[i] = msub_sim_verify(wires[i].p, wires[i].n);
}

/* What waits when the processor is free goes in one call; the price is the same, and so is each verdict. */
Test(sim_links, verifications_go_in_batches) {
  static net w;
  net_init(&w, false);
  w.engine.verify_cost_ns = 2 * MS;
  w.engine.signing.verify_many = verify_many;
  net_start(&w, 1);
  w.n.cpu_ppm = 1000000;
  net_add(&w, 1);
  net_join_all(&w, "t");
  cr_assert_eq(msub_sim_connect_line(w.s, 0, 2), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  uint64_t t = msub_sim_time(w.s);
  for (uint8_t i = 0; i < 100; i++) cr_assert_eq(net_publish(&w, 0, i, 100), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  EQ(net_count(&w, 1), 100);
  EQ(net_find(&w, 1, 0)->at, t + 10 * MS + 2 * MS); /* the first one alone, */
  EQ(net_find(&w, 1, 1)->at, t + 10 * MS + 2 * MS + 64 * 2 * MS); /* then 64, then the rest */
  EQ(net_find(&w, 1, 99)->at, t + 10 * MS + 200 * MS);
  EQ(batches, 2);
  EQ(largest, 64);
  EQ(verified, 99);
  /* A node that leaves while a batch runs. */
  for (uint8_t i = 100; i < 110; i++) cr_assert_eq(net_publish(&w, 0, i, 100), MSUB_OK);
  net_run(&w, 13 * MS);
  cr_assert_eq(msub_leave(msub_sim_engine(w.s, 1), w.t[1], msub_sim_now(w.s, 1)), MSUB_OK);
  msub_usage u;
  msub_usage_of(msub_sim_engine(w.s, 1), &u);
  EQ(u.questions, 9);
  cr_assert_eq(msub_sim_crash(w.s, 1), MSUB_OK);
  net_stop(&w);
}

Test(sim_links, a_processor_with_a_full_queue_refuses_jobs) {
  static net w;
  with_cpu(&w, 1000000);
  for (uint8_t i = 0; i < 20; i++) cr_assert_eq(net_publish(&w, 0, i, 100), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  EQ(net_count(&w, 1), 9); /* one that runs, eight that wait */
  EQ(counts(&w, 1)->throttled, 11);
  EQ(msub_sim_count(w.s)->jobs_refused, 11);
  net_stop(&w);
}

Test(sim_links, jobs_of_a_left_topic_are_recalled_but_the_running_one) {
  static net w;
  with_cpu(&w, 1000000);
  for (uint8_t i = 0; i < 5; i++) cr_assert_eq(net_publish(&w, 0, i, 100), MSUB_OK);
  net_run(&w, 11 * MS);
  msub_usage u;
  cr_assert_eq(msub_leave(msub_sim_engine(w.s, 1), w.t[1], msub_sim_now(w.s, 1)), MSUB_OK);
  msub_usage_of(msub_sim_engine(w.s, 1), &u);
  EQ(u.questions, 1);
  net_run(&w, MSUB_SIM_S);
  msub_usage_of(msub_sim_engine(w.s, 1), &u);
  EQ(u.questions, 0);
  EQ(net_count(&w, 1), 0);
  net_stop(&w);
}

Test(sim_links, a_node_crashes_with_a_job_running) {
  static net w;
  with_cpu(&w, 1000000);
  for (uint8_t i = 0; i < 5; i++) cr_assert_eq(net_publish(&w, 0, i, 100), MSUB_OK);
  net_run(&w, 11 * MS);
  cr_assert_eq(msub_sim_crash(w.s, 1), MSUB_OK);
  cr_assert_eq(msub_sim_restart(w.s, 1), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  for (uint8_t i = 0; i < 5; i++) cr_assert_eq(net_publish(&w, 0, i, 100), MSUB_OK);
  EQ(net_count(&w, 1), 0);
  net_stop(&w);
}

/* ---- accounting ---- */

Test(sim_links, bytes_and_events_are_counted) {
  static net w;
  net_init(&w, false);
  star(&w, 2);
  msub_sim_counts a = *msub_sim_count(w.s);
  msub_sim_traffic x = msub_sim_traffic_of(w.s, 0), y = msub_sim_traffic_of(w.s, 1);
  cr_assert_eq(net_publish(&w, 1, 1, 1000), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  msub_sim_counts b = *msub_sim_count(w.s);
  uint64_t in = msub_sim_traffic_of(w.s, 0).bytes_in - x.bytes_in;
  /* publish: tag, length; from 2 + 38, data 3 + 1000, seqno 2 + 8, topic 2 + 1, signature 2 + 64; frame: length 2 */
  EQ(in, 2 + 1 + 2 + 40 + 1003 + 10 + 3 + 66);
  EQ(in, msub_sim_traffic_of(w.s, 1).bytes_out - y.bytes_out);
  EQ(b.bytes - a.bytes, in);
  cr_assert(b.rpcs - a.rpcs == 1 && b.sent - a.sent == 1 && b.timers == a.timers && b.steps == a.steps);
  net_stop(&w);
}
