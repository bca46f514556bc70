/* msub_score_check: by numbers made by hand, and against the table of scores. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>
#include "meshsub/gossipsub.h"
#include "routers/gossipsub/peer_score.h"
#include "base/mem.h"
#include "base/deadline.h"

#define CLOSE(a, b) cr_assert_float_eq(a, b, 1e-9, "%s is %.17g", #a, (double)(a))

static msub_score_finding found[16];
static size_t n_found;
static void note(void *ud, const msub_score_finding *f) {
  (void)ud;
  found[n_found++] = *f;
}
static size_t check(const msub_score_params *p, const msub_score_of_topic *t, size_t n, bool any, uint64_t heartbeat) {
  n_found = 0;
  size_t refused = msub_score_check(p, t, n, any, heartbeat, note, NULL);
  cr_assert_eq(n_found, n);
  return refused;
}

/* P1: at most 10 x 0.5 = 5; P2: at most 50 x 2 = 100. */
static const msub_topic_score pays = {
  .weight = 1, .time_in_mesh_weight = 0.5, .time_in_mesh_quantum_ns = MSUB__S, .time_in_mesh_cap = 10,
  .first_message_deliveries_weight = 2, .first_message_deliveries_decay = 0.9, .first_message_deliveries_cap = 50,
  .invalid_message_deliveries_weight = -1, .invalid_message_deliveries_decay = 0.9,
};
/* Twice as much as: P1 at most 40 x 0.25 = 10; P3 4 x 4 x -3 = -48. */
static const msub_topic_score owes = {
  .weight = 2, .time_in_mesh_weight = 0.25, .time_in_mesh_quantum_ns = MSUB__S, .time_in_mesh_cap = 40,
  .mesh_message_deliveries_weight = -3, .mesh_message_deliveries_decay = 0.9, .mesh_message_deliveries_cap = 100,
  .mesh_message_deliveries_threshold = 4, .mesh_message_deliveries_activation_ns = 20 * MSUB__S,
  .invalid_message_deliveries_weight = -1, .invalid_message_deliveries_decay = 0.9,
};
static const msub_score_params plain = { .decay_interval_ns = MSUB__S, .decay_to_zero = 0.01, .retain_ns = MSUB__S };

Test(score_check, numbers) {
  msub_score_params p = plain;
  msub_score_of_topic t[3] = { { "pays", pays }, { "owes", owes }, { "owes too", owes } };

  /* Alone: nothing elsewhere, so -76 is -76. */
  cr_assert_eq(check(&p, &t[1], 1, false, MSUB__S), 0);
  CLOSE(found[0].here, -76);
  CLOSE(found[0].others, 0);
  cr_assert_eq(found[0].heartbeats, 21);
  cr_assert_str_eq(found[0].topic, "owes");

  /* -76 + 105 > 0: refused; "pays" asks for nothing, so it is never left, and is not refused. */
  cr_assert_eq(check(&p, t, 2, false, MSUB__S), 1);
  CLOSE(found[0].here, 5);
  CLOSE(found[0].others, 20);
  cr_assert(!found[0].refused && found[0].heartbeats == UINT64_MAX);
  CLOSE(found[1].others, 105);
  cr_assert(found[1].refused && found[1].heartbeats == 21);

  /* Each of two is measured by all others: 105 + 20. */
  cr_assert_eq(check(&p, t, 3, false, MSUB__S), 2);
  CLOSE(found[1].others, 125);

  /* The cap on the sum is no remedy: 1 is above 0. That of what is positive is: 76 is what is owed. */
  p.topic_score_cap = 1;
  cr_assert_eq(check(&p, t, 2, false, MSUB__S), 1);
  CLOSE(found[1].others, 105);
  p.cap_what_is_positive = true;
  p.topic_score_cap = 76;
  cr_assert_eq(check(&p, t, 2, false, MSUB__S), 0);
  CLOSE(found[1].others, 76);
  p.topic_score_cap = 76.001;
  cr_assert_eq(check(&p, t, 2, false, MSUB__S), 1);
  p.topic_score_cap = 200; /* the topics do not reach it */
  check(&p, t, 2, false, MSUB__S);
  CLOSE(found[1].others, 105);
  p.topic_score_cap = 0; /* none */
  cr_assert_eq(check(&p, t, 2, false, MSUB__S), 1);

  /* Any number of such topics: no bound, but for the cap of what is positive. */
  p.cap_what_is_positive = false;
  p.topic_score_cap = 10;
  cr_assert_eq(check(&p, &t[1], 1, true, MSUB__S), 1);
  cr_assert(isinf(found[0].others));
  p.cap_what_is_positive = true;
  cr_assert_eq(check(&p, &t[1], 1, true, MSUB__S), 0);
  CLOSE(found[0].others, 10);
  msub_score_of_topic nothing = { "nothing", owes };
  nothing.score.time_in_mesh_weight = 0; /* others of its kind bring nothing */
  p.cap_what_is_positive = false;
  cr_assert_eq(check(&p, &nothing, 1, true, MSUB__S), 0);
  CLOSE(found[0].others, 0);
}

Test(score_check, heartbeats) {
  msub_score_params p = plain;
  msub_score_of_topic t = { "t", owes };
  /* P3 counts at the first refresh after the activation of 20 s: at 21 s. */
  check(&p, &t, 1, false, 700 * UINT64_C(1000000));
  cr_assert_eq(found[0].heartbeats, 30);
  p.decay_interval_ns = 12 * MSUB__S;
  check(&p, &t, 1, false, MSUB__S); /* 24 s */
  cr_assert_eq(found[0].heartbeats, 24);
  p.decay_interval_ns = 20 * MSUB__S; /* at 20 s it is not over 20 s yet */
  check(&p, &t, 1, false, MSUB__S);
  cr_assert_eq(found[0].heartbeats, 40);
  /* What is owed against what it has by then: at 21 s 21 x 0.25 = 5.25. */
  p = plain;
  t.score.mesh_message_deliveries_weight = -5.25 / 16;
  check(&p, &t, 1, false, MSUB__S);
  cr_assert_eq(found[0].heartbeats, UINT64_MAX);
  t.score.mesh_message_deliveries_weight = -5.26 / 16;
  check(&p, &t, 1, false, MSUB__S);
  cr_assert_eq(found[0].heartbeats, 21);
  cr_assert(found[0].here > 0 && !found[0].refused); /* it is pruned before it has the full 10 */
  t.score.weight = 0;
  check(&p, &t, 1, false, MSUB__S);
  cr_assert_eq(found[0].heartbeats, UINT64_MAX);
  CLOSE(found[0].here, 0);
}

Test(score_check, share) {
  msub_score_params p = plain;
  msub_score_of_topic t[2] = { { "pays", pays }, { "owes", owes } };
  p.cap_what_is_positive = true;
  p.topic_score_cap = 34;
  t[1].score.mesh_message_deliveries_share = 0.25;
  cr_assert_eq(check(&p, t, 2, false, MSUB__S), 0);
  CLOSE(found[1].median, sqrt((20 + 34) / 6.0) / 0.25); /* a deficit of 3 owes 6 x 9 = 54: 12 messages */
  CLOSE(found[1].median, 12);
  CLOSE(found[0].median, 0);
  p.topic_score_cap = 77;
  cr_assert_eq(check(&p, t, 2, false, MSUB__S), 1);
  CLOSE(found[1].median, 0); /* more traffic would not help */
  p.topic_score_cap = 0;
  check(&p, &t[1], 1, true, MSUB__S);
  CLOSE(found[0].median, 0);
  check(&p, t, 2, false, 0); /* a heartbeat of 0 divides nothing */
}

/* The subnets of examples/profiles/ethereum-2022.yaml, from the client's formulae: 195.3125 messages a slot, a fiftieth of which is asked
 * for, forgotten within 128 slots. */
Test(score_check, subnets) {
  double d = pow(0.01, 1 / 128.0), threshold = 195.3125 / 50 / (1 - d) * d, p1 = 10;
  msub_topic_score subnet = { .weight = 1 / 64.0, .time_in_mesh_weight = p1 / 300, .time_in_mesh_quantum_ns = 12 * MSUB__S, .time_in_mesh_cap = 300,
    .first_message_deliveries_weight = 40, .first_message_deliveries_decay = 0.9, .first_message_deliveries_cap = 1,
    .mesh_message_deliveries_weight = -1 / 64.0, .mesh_message_deliveries_threshold = threshold, .mesh_message_deliveries_decay = d,
    .mesh_message_deliveries_cap = 16 * threshold, .mesh_message_deliveries_activation_ns = 204 * MSUB__S,
    .invalid_message_deliveries_weight = -6880, .invalid_message_deliveries_decay = 0.9 };
  msub_topic_score block = subnet;
  block.weight = 0.5;
  block.mesh_message_deliveries_weight = 0;
  msub_score_params p = plain;
  p.topic_score_cap = 53.75;
  p.decay_interval_ns = 12 * MSUB__S;
  msub_score_of_topic t[2] = { { "subnet", subnet }, { "block", block } };
  cr_assert_eq(check(&p, t, 2, false, 700 * UINT64_C(1000000)), 1);
  cr_assert_float_eq(found[0].here, (10 - 106.632 * 106.632 / 64) / 64, 1e-4);
  CLOSE(found[0].others, 25);
  cr_assert_eq(found[0].heartbeats, 309); /* 216 s / 0.7 s */
}

static uint64_t hash(const void *ctx, msub_bytes b) {
  (void)ctx;
  return b.n;
}

/* A peer in two meshes that serves one of them as well as can be and the other not at all: the table has it as the check foretells, while
 * the sum stays what it is. */
Test(score_check, as_the_table_has_it) {
  msub_mem mem = msub__mem_default();
  for (unsigned round = 0; round < 4; round++) {
    msub_score_params p = plain;
    msub_score_of_topic t[2] = { { "pays", pays }, { "owes", owes } };
    p.topic_score_cap = round == 0 ? 0 : round == 1 ? 20 : 50;
    p.cap_what_is_positive = round == 2;
    if (round == 3) t[0].score.first_message_deliveries_cap = 1; /* 7 elsewhere: it falls below 0 */
    bool refused = check(&p, t, 2, false, MSUB__S) > 0;
    msub__ps *ps = msub__ps_new(&mem, &p, false, hash, NULL);
    uint32_t row = msub__ps_up(ps, 0, 1), a = msub__ps_topic(ps, 1, &t[0].score), b = msub__ps_topic(ps, 2, &t[1].score);
    cr_assert(row && a && b);
    msub__ps_graft(ps, row, a, NULL, 0);
    msub__ps_graft(ps, row, b, NULL, 0);
    uint64_t below = UINT64_MAX;
    msub_peer_score s;
    msub_peer_topic_score topics[4];
    for (uint64_t second = 1; second <= 200; second++) {
      for (unsigned i = 0; i < 100; i++) msub__ps_first(ps, row, a, NULL);
      msub__ps_refresh(ps, second * MSUB__S);
      cr_assert(msub__ps_look(ps, row, &s, topics, 4) && s.n_topics == 2);
      double there = topics[0].topic_name == 2 ? topics[0].score : topics[1].score;
      if (there < 0 && below == UINT64_MAX) below = second;
    }
    for (unsigned i = 0; i < 100; i++) msub__ps_first(ps, row, a, NULL); /* up to the cap */
    double sum = found[1].here + found[1].others;
    if (!p.cap_what_is_positive && p.topic_score_cap > 0 && sum > p.topic_score_cap) sum = p.topic_score_cap;
    CLOSE(msub__ps_score(ps, row), sum);
    cr_assert_eq(refused, msub__ps_score(ps, row) > 0, "round %u", round);
    cr_assert_eq(below, found[1].heartbeats);
    msub__ps_free(ps);
  }
}

Test(score_check, default_profile) {
  const msub_score_params *p = &msub_gossipsub_default_score.params;
  msub_score_of_topic t = { "any", *p->topic };
  cr_assert_null(msub_score_params_fault(p, NULL));
  cr_assert_null(msub_score_thresholds_fault(&msub_gossipsub_default_score.thresholds, NULL));
  cr_assert_eq(check(p, &t, 1, true, MSUB__S), 0);
  cr_assert(found[0].here + found[0].others < 0 && found[0].heartbeats < 60);
}
