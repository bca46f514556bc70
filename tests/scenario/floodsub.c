/* floodsub alone: the reference's network tests of it. */
#include "scenario.h"

#define T "foobar"

static void random_graph(sc *c) {
  sc_begin(c);
  sc_add_floodsub(c, 20);
  sc_join_range(c, 0, 20, T);
  OK(msub_sim_connect_dense(c->s, 0, 20));
  sc_run(c, SEC);
  sc_traffic(c, 0, 20, T, 1, 100);
}

static void chain(sc *c) {
  sc_begin(c);
  sc_add_floodsub(c, 6);
  OK(msub_sim_connect_line(c->s, 0, 6));
  sc_open(c, 0, T);
  sc_join_range(c, 1, 5, T);
  sc_run(c, SEC);
  sc_publish(c, 0, T, 1, 16);
  sc_run(c, SEC);
  ALL_GOT(c, 1, 5, 1);
  const sc_got *g = sc_find(c, 5, 1);
  CHECK(g && g->from == 4);
}

/* Each copy goes over each link once, and none goes back. */
static void tree(sc *c) {
  enum { NODES = 10 };
  uint64_t in = 0;
  sc_begin(c);
  sc_add_floodsub(c, NODES);
  sc_join_range(c, 0, NODES, T);
  OK(msub_sim_connect_tree(c->s, 0, NODES, 2));
  sc_run(c, SEC);
  for (uint32_t i = 0; i < NODES; i++)
    CHECK_EQ(msub_topic_peers(sc_engine(c, i), sc_topic(c, i, T)), msub_sim_connections(c->s, i));
  sc_publish(c, NODES - 1, T, 1, 16);
  sc_publish(c, 4, T, 2, 16);
  sc_run(c, SEC);
  ALL_GOT(c, 0, NODES, 1);
  ALL_GOT(c, 0, NODES, 2);
  for (uint32_t i = 0; i < NODES; i++) in += msub_count(sc_engine(c, i))->messages_in;
  CHECK_EQ(in, 2 * (NODES - 1));
}

const sc_scenario sc_scenarios[] = { { "floodsub", random_graph }, { "floodsub-multihops", chain }, { "floodsub-tree", tree },
                                     { NULL, NULL } };
