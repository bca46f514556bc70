/* randomsub: the reference's network tests of it, and one with a network that its rule is made for. */
#include "scenario.h"
#include "meshsub/randomsub.h"

#define T "foobar"

static msub_randomsub_opts opts;
static uint32_t add(sc *c, uint32_t count, uint32_t network) {
  msub_randomsub_opts_init(&opts);
  opts.network = network;
  c->routers[0] = (msub_sim_router){ &msub_randomsub, &opts };
  return sc_add(c, count);
}

/* Ten messages of different nodes; how many of the deliveries, in per cent. No node gets one twice. */
static unsigned delivered(sc *c, uint32_t nodes) {
  unsigned n = 0;
  for (uint32_t i = 0; i < 10; i++) {
    sc_publish(c, i * nodes / 10, T, i + 1, 16);
    sc_run(c, SEC);
    for (uint32_t k = 0; k < nodes; k++) {
      CHECK(sc_times(c, k, i + 1) <= 1);
      n += sc_times(c, k, i + 1);
    }
  }
  return 10 * n / nodes;
}

static void small(sc *c) {
  sc_begin(c);
  add(c, 10, 10);
  OK(msub_sim_connect_all(c->s, 0, 10));
  sc_join_range(c, 0, 10, T);
  sc_run(c, SEC);
  CHECK(delivered(c, 10) >= 70);
}

static void big(sc *c) {
  sc_begin(c);
  add(c, 50, 50);
  OK(msub_sim_connect_random(c->s, 0, 50, 12));
  sc_join_range(c, 0, 50, T);
  sc_run(c, SEC);
  CHECK(delivered(c, 50) >= 70);
}

/* Ten nodes of floodsub, thirty of randomsub. */
static void mixed(sc *c) {
  sc_begin(c);
  sc_add_floodsub(c, 10);
  add(c, 30, 30);
  OK(msub_sim_connect_random(c->s, 0, 40, 12));
  sc_join_range(c, 0, 40, T);
  sc_run(c, SEC);
  CHECK(delivered(c, 40) >= 70);
  for (uint32_t i = 0; i < 10; i++) CHECK(sc_total(c, i) >= 9); /* whoever has it tells all of them */
}

static void enough_peers(sc *c) {
  sc_begin(c);
  sc_add_floodsub(c, 10);
  add(c, 30, 30);
  OK(msub_sim_connect_random(c->s, 0, 40, 12));
  sc_join_range(c, 0, 40, T);
  for (uint32_t i = 10; i < 40; i++) CHECK(!msub_ready(sc_engine(c, i), sc_topic(c, i, T), 0));
  sc_run(c, SEC);
  for (uint32_t i = 10; i < 40; i++) {
    CHECK(msub_ready(sc_engine(c, i), sc_topic(c, i, T), 0));
    CHECK(msub_ready(sc_engine(c, i), sc_topic(c, i, T), 10));
  }
}

/* 400 nodes that know 60 others each and tell 20 of them: every message costs about 20 copies a node instead of 60,
 * and arrives nearly everywhere. */
static void square_root(sc *c) {
  enum { NODES = 400 };
  uint64_t copies = 0;
  sc_begin(c);
  add(c, NODES, NODES);
  OK(msub_sim_connect_random(c->s, 0, NODES, 30));
  sc_join_range(c, 0, NODES, T);
  sc_run(c, SEC);
  CHECK(delivered(c, NODES) >= 99);
  for (uint32_t i = 0; i < NODES; i++) copies += msub_count(sc_engine(c, i))->messages_in;
  CHECK(copies <= 20u * NODES * 10 && copies >= 17u * NODES * 10);
}

const sc_scenario sc_scenarios[] = { { "randomsub-small", small },
                                     { "randomsub-big", big },
                                     { "randomsub-mixed", mixed },
                                     { "randomsub-enough-peers", enough_peers },
                                     { "randomsub-square-root", square_root },
                                     { NULL, NULL } };
