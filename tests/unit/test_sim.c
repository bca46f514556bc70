/* The simulation's kernel: the queue, time, timers, order, chance, identities, graphs, the trace hash. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "sim/queue.h"
#include "sim_net.h"

/* ---- the queue ---- */

static int by_order(const void *a, const void *b) {
  const msub__sim_event *x = a, *y = b;
  if (x->time != y->time) return x->time < y->time ? -1 : 1;
  if (x->way != y->way) return x->way < y->way ? -1 : 1;
  return x->order < y->order ? -1 : x->order > y->order;
}
#define EVENTS 3000u
static void some_events(msub__sim_event *e) {
  msub__rng r;
  msub__rng_init(&r, 5, 0);
  for (uint32_t i = 0; i < EVENTS; i++)
    e[i] = (msub__sim_event){ msub__rng_below(&r, 40), msub__rng_below(&r, 9), (uint64_t)i << 8, i };
}

static msub__sim_event take(msub__simq *q) {
  const msub__sim_event *first = msub__simq_first(q);
  msub__sim_event ev = { 0 };
  if (!first) return ev;
  ev = *first;
  msub__simq_pop(q);
  return ev;
}

Test(sim_queue, gives_events_in_their_order_whatever_the_order_they_came_in) {
  msub_mem m = msub__mem_default();
  static msub__sim_event e[EVENTS], sorted[EVENTS];
  some_events(e);
  memcpy(sorted, e, sizeof e);
  qsort(sorted, EVENTS, sizeof *sorted, by_order);
  for (unsigned round = 0; round < 4; round++) {
    msub__simq q = { 0 };
    msub__rng r;
    msub__rng_init(&r, round, 1);
    for (uint32_t i = EVENTS; i > 1; i--) {
      uint32_t k = msub__rng_below(&r, i);
      msub__sim_event x = e[i - 1];
      e[i - 1] = e[k];
      e[k] = x;
    }
    for (uint32_t i = 0; i < EVENTS; i++) cr_assert_eq(msub__simq_push(&q, &m, &e[i]), MSUB_OK);
    for (uint32_t i = 0; i < EVENTS; i++) {
      msub__sim_event ev = take(&q);
      cr_assert_eq(memcmp(&ev, &sorted[i], sizeof ev), 0);
    }
    cr_assert_null(msub__simq_first(&q));
    msub__simq_fini(&q, &m);
  }
}

static bool odd(void *ctx, const msub__sim_event *ev) {
  (void)ctx;
  return ev->arg % 2;
}
Test(sim_queue, prune_takes_the_dead_and_keeps_the_order) {
  msub_mem m = msub__mem_default();
  static msub__sim_event e[EVENTS];
  msub__simq q = { 0 };
  some_events(e);
  for (uint32_t i = 0; i < EVENTS; i++) cr_assert_eq(msub__simq_push(&q, &m, &e[i]), MSUB_OK);
  cr_assert_eq(msub__simq_prune(&q, odd, NULL), EVENTS / 2);
  msub__sim_event last = { 0 };
  for (uint32_t i = 0; i < EVENTS / 2; i++) {
    msub__sim_event ev = take(&q);
    cr_assert(ev.arg % 2 == 0 && by_order(&last, &ev) <= 0);
    last = ev;
  }
  cr_assert_eq(msub__simq_count(&q), 0);
  msub__simq_fini(&q, &m);
}

/* ---- time and timers ---- */

typedef struct call { int what; uint32_t node; uint64_t at; } call;
static call calls[64];
static size_t n_calls;
static void note(void *ud, msub_sim *s, uint32_t node) {
  calls[n_calls++] = (call){ (int)(intptr_t)ud, node, msub_sim_time(s) };
}
static msub_sim *plain(uint32_t nodes) {
  static net w;
  net_init(&w, false);
  w.o.hash = false;
  net_start(&w, nodes);
  n_calls = 0;
  return w.s;
}
#define AT(s, node, t, what) cr_assert_eq(msub_sim_at(s, node, t, note, (void *)(intptr_t)(what), NULL), MSUB_OK)

Test(sim, timers_run_at_their_time_the_programs_first_then_by_node) {
  msub_sim *s = plain(3);
  uint64_t t = msub_sim_time(s);
  cr_assert_eq(t, MSUB_SIM_S);
  AT(s, 2, t + 5, 1);
  AT(s, 0, t + 5, 2);
  AT(s, MSUB_SIM_NOBODY, t + 5, 3);
  AT(s, 2, t + 5, 4);
  AT(s, 1, t + 4, 5);
  AT(s, 1, 0, 6); /* the past: now */
  cr_assert_eq(msub_sim_run_until(s, t + 100), MSUB_OK);
  const int order[] = { 6, 5, 3, 2, 1, 4 };
  const uint64_t times[] = { 0, 4, 5, 5, 5, 5 };
  cr_assert_eq(n_calls, 6);
  for (size_t i = 0; i < 6; i++)
    cr_assert(calls[i].what == order[i] && calls[i].at == t + times[i], "%zu: %d", i, calls[i].what);
  cr_assert_eq(msub_sim_time(s), t + 100);
  cr_assert_eq(msub_sim_at(s, 3, t, note, NULL, NULL), MSUB_ERR_INVAL);
  cr_assert_eq(msub_sim_at(s, 0, t, NULL, NULL, NULL), MSUB_ERR_INVAL);
  cr_assert_eq(msub_sim_free(s), MSUB_OK);
}

Test(sim, a_cancelled_timer_does_not_run_and_leaves_the_queue) {
  msub_sim *s = plain(1);
  msub_sim_timer a, b;
  cr_assert_eq(msub_sim_at(s, 0, 2 * MSUB_SIM_S, note, NULL, &a), MSUB_OK);
  cr_assert_eq(msub_sim_at(s, 0, 3 * MSUB_SIM_S, note, NULL, &b), MSUB_OK);
  cr_assert(msub_sim_cancel(s, a));
  cr_assert(!msub_sim_cancel(s, a) && !msub_sim_cancel(s, (msub_sim_timer){ 0 }));
  cr_assert_eq(msub_sim_run_for(s, 5 * MSUB_SIM_S), MSUB_OK);
  cr_assert(n_calls == 1 && calls[0].at == 3 * MSUB_SIM_S && !msub_sim_cancel(s, b));
  for (int i = 0; i < 100000; i++) { /* far away, so that only sweeping can take them out */
    cr_assert_eq(msub_sim_at(s, 0, 1000 * MSUB_SIM_S, note, NULL, &a), MSUB_OK);
    cr_assert(msub_sim_cancel(s, a));
  }
  cr_assert_lt(msub_sim_count(s)->queued, 5000);
  cr_assert_eq(msub_sim_run_idle(s, MSUB_SIM_S), MSUB_OK);
  cr_assert_eq(msub_sim_run_for(s, 2000 * MSUB_SIM_S), MSUB_OK);
  cr_assert_eq(n_calls, 1);
  cr_assert_eq(msub_sim_free(s), MSUB_OK);
}

static void nested(void *ud, msub_sim *s, uint32_t node) {
  note(ud, s, node);
  cr_assert_eq(msub_sim_run_for(s, 1), MSUB_ERR_STATE);
  cr_assert_eq(msub_sim_free(s), MSUB_ERR_STATE);
  if (n_calls < 5) cr_assert_eq(msub_sim_at(s, node, msub_sim_time(s) + MSUB_SIM_S, nested, ud, NULL), MSUB_OK);
}
static void stop(void *ud, msub_sim *s, uint32_t node) {
  note(ud, s, node);
  msub_sim_stop(s);
}
Test(sim, a_timer_may_set_the_next_one_and_a_run_can_be_stopped) {
  msub_sim *s = plain(1);
  cr_assert_eq(msub_sim_at(s, MSUB_SIM_NOBODY, 0, nested, NULL, NULL), MSUB_OK);
  cr_assert_eq(msub_sim_run_idle(s, 100 * MSUB_SIM_S), MSUB_OK);
  cr_assert(n_calls == 5 && msub_sim_time(s) == 5 * MSUB_SIM_S);
  cr_assert_eq(msub_sim_at(s, MSUB_SIM_NOBODY, 0, stop, NULL, NULL), MSUB_OK);
  AT(s, 0, 6 * MSUB_SIM_S, 1);
  cr_assert_eq(msub_sim_run_for(s, 10 * MSUB_SIM_S), MSUB_OK);
  cr_assert(n_calls == 6 && msub_sim_time(s) == 5 * MSUB_SIM_S);
  cr_assert_eq(msub_sim_run_idle(s, MSUB_SIM_S / 2), MSUB_ERR_LIMIT);
  cr_assert_eq(msub_sim_time(s), 5 * MSUB_SIM_S + MSUB_SIM_S / 2);
  cr_assert_eq(msub_sim_free(s), MSUB_OK);
}

Test(sim, wall_time_goes_with_the_other_one) {
  msub_sim *s = plain(1);
  msub_now a = *msub_sim_now(s, 0);
  cr_assert_eq(msub_sim_run_for(s, 77), MSUB_OK);
  msub_now b = *msub_sim_now(s, 0);
  cr_assert(b.mono_ns - a.mono_ns == 77 && b.wall_ns - a.wall_ns == 77);
  cr_assert_eq(msub_sim_free(s), MSUB_OK);
}

/* ---- chance ---- */

#define DRAWS 8u
#define OWNERS 5u
static void draw_all(uint32_t out[OWNERS][MSUB_SIM_STREAMS][DRAWS], bool in_turn) {
  msub_sim *s = plain(OWNERS - 1);
  for (unsigned x = 0; x < OWNERS * MSUB_SIM_STREAMS * DRAWS; x++) {
    unsigned n, k, i;
    if (in_turn) {
      n = x % OWNERS;
      k = x / OWNERS % MSUB_SIM_STREAMS;
      i = x / OWNERS / MSUB_SIM_STREAMS;
    } else {
      i = x % DRAWS;
      k = x / DRAWS % MSUB_SIM_STREAMS;
      n = x / DRAWS / MSUB_SIM_STREAMS;
    }
    out[n][k][i] = msub_sim_rand(s, n == OWNERS - 1 ? MSUB_SIM_NOBODY : n, k, 1u << 30);
  }
  cr_assert_eq(msub_sim_free(s), MSUB_OK);
}

Test(sim, streams_of_nodes_and_program_are_apart_and_repeat) {
  static uint32_t a[OWNERS][MSUB_SIM_STREAMS][DRAWS], b[OWNERS][MSUB_SIM_STREAMS][DRAWS];
  draw_all(a, false);
  draw_all(b, true);
  cr_assert_eq(memcmp(a, b, sizeof a), 0);
  for (unsigned x = 0; x < OWNERS * MSUB_SIM_STREAMS; x++)
    for (unsigned y = 0; y < x; y++)
      cr_assert_neq(memcmp(a[x / MSUB_SIM_STREAMS][x % MSUB_SIM_STREAMS], a[y / MSUB_SIM_STREAMS][y % MSUB_SIM_STREAMS],
                           sizeof a[0][0]), 0);
}

/* ---- nodes ---- */

Test(sim, nodes_have_ids_that_find_them) {
  static net w;
  net_init(&w, false);
  net_start(&w, 3);
  w.n.id = msub_str("an id of its own");
  net_add(&w, 1);
  w.n.id = (msub_bytes){ NULL, 0 };
  net_add(&w, 1);
  for (uint32_t i = 0; i < 5; i++) {
    cr_assert_eq(msub_sim_find(w.s, msub_sim_id(w.s, i)), i);
    for (uint32_t k = 0; k < i; k++) {
      uint8_t copy[64];
      msub_bytes a = msub_sim_id(w.s, i);
      memcpy(copy, a.p, a.n);
      a.p = copy;
      cr_assert(!msub_bytes_eq(a, msub_sim_id(w.s, k)));
    }
  }
  cr_assert_eq(msub_sim_find(w.s, msub_str("an id of its own")), 3);
  cr_assert_eq(msub_sim_find(w.s, msub_str("somebody else")), MSUB_SIM_NOBODY);
  w.n.id = msub_str("an id of its own");
  uint32_t first;
  cr_assert_eq(msub_sim_add(w.s, &w.n, 1, &first), MSUB_ERR_CLAIMED);
  w.n.id = msub_str("x");
  cr_assert_eq(msub_sim_add(w.s, &w.n, 2, &first), MSUB_ERR_INVAL);
  w.n.id = (msub_bytes){ NULL, 0 };
  w.n.n_routers = 0;
  cr_assert_eq(msub_sim_add(w.s, &w.n, 1, &first), MSUB_ERR_INVAL);
  cr_assert(msub_sim_nodes(w.s) == 5 && msub_sim_id(w.s, 9).n == 0 && !msub_sim_engine(w.s, 9));
  net_stop(&w);
}

static const msub_msg *held;
static bool hold(void *ud, msub_sim *s, uint32_t node, msub_topic t, const msub_msg *m, uint32_t from) {
  (void)ud, (void)s, (void)node, (void)t;
  cr_assert_eq(from, MSUB_SIM_NOBODY);
  held = msub_msg_hold(m);
  return true;
}
Test(sim, what_the_program_holds_is_dropped_before_the_simulation_goes) {
  static net w;
  net_init(&w, false);
  w.n.on_message = hold;
  net_start(&w, 1);
  net_join(&w, 0, "t");
  cr_assert_eq(net_publish(&w, 0, 1, 10), MSUB_OK);
  cr_assert_eq(msub_sim_free(w.s), MSUB_ERR_STATE);
  cr_assert(msub_data(held).n == 10 && msub_sim_nodes(w.s) == 0);
  msub_msg_drop(msub_sim_shared(w.s), held);
  net_stop(&w);
}

/* ---- graphs ---- */

static void degrees(msub_sim *s, size_t *lo, size_t *hi, size_t *sum) {
  *lo = SIZE_MAX;
  *hi = *sum = 0;
  for (uint32_t i = 0; i < msub_sim_nodes(s); i++) {
    size_t d = msub_sim_connections(s, i);
    if (d < *lo) *lo = d;
    if (d > *hi) *hi = d;
    *sum += d;
    for (size_t k = 0; k < d; k++) {
      uint32_t p = msub_sim_connection(s, i, k);
      cr_assert(p != i && msub_sim_connected(s, i, p) && msub_sim_connected(s, p, i));
    }
  }
}
#define GRAPH(nodes, connect, low, high, edges)                                        \
  do {                                                                                 \
    static net w;                                                                      \
    size_t lo, hi, sum;                                                                \
    net_init(&w, false);                                                               \
    net_start(&w, nodes);                                                              \
    cr_assert_eq(connect, MSUB_OK);                                                    \
    net_run(&w, MSUB_SIM_S);                                                           \
    degrees(w.s, &lo, &hi, &sum);                                                      \
    cr_assert(lo == (low) && hi == (high) && sum == 2 * (size_t)(edges), "%zu %zu %zu", lo, hi, sum); \
    cr_assert_eq(msub_sim_count(w.s)->connections, (edges));                           \
    net_stop(&w);                                                                      \
  } while (0)

Test(sim, graphs_have_the_shape_that_was_asked_for) {
  GRAPH(10, msub_sim_connect_all(w.s, 0, 10), 9, 9, 45);
  GRAPH(10, msub_sim_connect_line(w.s, 0, 10), 1, 2, 9);
  GRAPH(10, msub_sim_connect_star(w.s, 0, 10), 1, 9, 9);
  GRAPH(7, msub_sim_connect_tree(w.s, 0, 7, 2), 1, 3, 6);
  GRAPH(60, msub_sim_connect_regular(w.s, 0, 60, 20), 20, 20, 600);
  GRAPH(5, msub_sim_connect_regular(w.s, 0, 5, 4), 4, 4, 10);
  GRAPH(1, msub_sim_connect_all(w.s, 0, 1), 0, 0, 0);
}

Test(sim, random_graphs_dial_as_often_as_said) {
  static net w;
  size_t lo, hi, sum;
  net_init(&w, false);
  net_start(&w, 40);
  cr_assert_eq(msub_sim_connect_random(w.s, 0, 40, 40), MSUB_ERR_INVAL);
  cr_assert_eq(msub_sim_connect_regular(w.s, 0, 39, 3), MSUB_ERR_INVAL);
  cr_assert_eq(msub_sim_connect_all(w.s, 30, 11), MSUB_ERR_INVAL);
  cr_assert_eq(msub_sim_connect_sparse(w.s, 0, 40), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  degrees(w.s, &lo, &hi, &sum);
  cr_assert(lo >= 3 && sum <= 2 * 40 * 3 && sum >= 2 * 40 * 3 - 40);
  net_stop(&w);
}

/* ---- the trace ---- */

typedef struct run_opts { uint64_t seed; bool gossipsub, wire, backwards, traced; } run_opts;
static size_t traced;
static void on_trace(void *ud, msub_sim *s, uint32_t node, const msub_event *ev) {
  (void)ud;
  cr_assert(ev->kind < MSUB_EVENTS && node < msub_sim_nodes(s));
  if (ev->peer.v) cr_assert_lt(msub_sim_node_of(s, ev->peer), msub_sim_nodes(s));
  traced++;
}
static uint64_t a_run(run_opts r) {
  static net w;
  net_init(&w, r.gossipsub);
  w.o.seed = r.seed;
  w.o.wire = r.wire;
  w.o.link.jitter_ns = MSUB_SIM_MS;
  w.o.link.loss_ppm = 20000;
  if (r.traced) w.o.on_trace = on_trace;
  net_start(&w, 20);
  for (uint32_t i = 0; i < 20; i++) net_join(&w, r.backwards ? 19 - i : i, "t");
  for (uint32_t i = 0; i < 40; i++) {
    uint32_t k = r.backwards ? 39 - i : i, a = k % 20, b = (a + 1 + k / 20 * 6) % 20;
    cr_assert_eq(msub_sim_connect(w.s, a, b, 2 * MSUB_SIM_S + k / 20 * MSUB_SIM_MS), MSUB_OK);
  }
  net_run(&w, 5 * MSUB_SIM_S);
  for (uint8_t i = 0; i < 10; i++) {
    cr_assert_eq(net_publish(&w, (uint32_t)i * 2, i, 2000), MSUB_OK);
    net_run(&w, 300 * MSUB_SIM_MS);
  }
  net_run(&w, 3 * MSUB_SIM_S);
  cr_assert_gt(msub_sim_count(w.s)->lost, 0);
  for (uint32_t i = 0; i < 20; i++) cr_assert_geq(net_count(&w, i), 9); /* some got lost */
  uint64_t h = net_hash(&w);
  net_stop(&w);
  return h;
}

Test(sim, equal_seeds_equal_traces_in_both_forms_and_in_any_order_of_calls) {
  for (unsigned g = 0; g < 2; g++) {
    uint64_t h = a_run((run_opts){ .seed = 3, .gossipsub = g });
    cr_assert_neq(h, 0);
    cr_assert_eq(h, a_run((run_opts){ .seed = 3, .gossipsub = g }));
    cr_assert_eq(h, a_run((run_opts){ .seed = 3, .gossipsub = g, .wire = true }),
                 "router %u: the frames tell something else", g);
    cr_assert_eq(h, a_run((run_opts){ .seed = 3, .gossipsub = g, .backwards = true }));
    traced = 0;
    cr_assert_eq(h, a_run((run_opts){ .seed = 3, .gossipsub = g, .traced = true }));
    cr_assert_gt(traced, 1000);
    cr_assert_neq(h, a_run((run_opts){ .seed = 4, .gossipsub = g }));
  }
}
