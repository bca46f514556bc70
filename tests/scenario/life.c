/* How peers come and go: joining before there is anybody, restarts, publishing at once. */
#include "scenario.h"

#define T "foobar"
#define SMALL 16

static void join_before_connecting(sc *c) {
  sc_begin(c);
  sc_add(c, 10);
  sc_join_range(c, 0, 10, T);
  sc_run(c, 10 * SEC);
  OK(msub_sim_connect_line(c->s, 0, 10));
  sc_run(c, 2 * SEC);
  for (uint32_t i = 0; i < 10; i++) CHECK_EQ(sc_with_role(c, i, T, MSUB_ROLE_MESH), i == 0 || i == 9 ? 1 : 2);
  sc_publish(c, 0, T, 1, SMALL);
  sc_run(c, SEC);
  ALL_GOT(c, 0, 10, 1);
}

/* The middle of a line goes and comes back with the same identity: first when its peers have noticed, then before
 * they could. */
static void restart(sc *c, uint64_t notice) {
  c->o.crash_notice_ns = notice;
  sc_begin(c);
  sc_add(c, 3);
  sc_join_range(c, 0, 3, T);
  OK(msub_sim_connect_line(c->s, 0, 3));
  sc_run(c, 2 * SEC);
  for (uint32_t round = 1; round <= 3; round++) {
    sc_publish(c, 0, T, round, SMALL);
    sc_run(c, SEC);
    ALL_GOT(c, 0, 3, round);
    OK(msub_sim_crash(c->s, 1));
    sc_run(c, SEC);
    OK(msub_sim_restart(c->s, 1));
    sc_join(c, 1, T);
    sc_connect(c, 1, 0);
    sc_connect(c, 1, 2);
    sc_run(c, 3 * SEC);
    CHECK(sc_roles(c, 0, 1, T) & MSUB_ROLE_MESH && sc_roles(c, 1, 0, T) & MSUB_ROLE_MESH);
    CHECK_EQ(msub_session_count(sc_engine(c, 0)), 1);
  }
  sc_publish(c, 1, T, 100, SMALL); /* its sequence numbers go on */
  sc_run(c, SEC);
  ALL_GOT(c, 0, 3, 100);
}
static void restart_noticed(sc *c) { restart(c, 0); }
static void restart_unnoticed(sc *c) { restart(c, 60 * SEC); }

/* Publishing right after subscribing: what peers cannot know yet goes to those who are known, or waits for gossip. */
static void publish_after_subscribing(sc *c) {
  sc_begin(c);
  sc_add(c, 20);
  OK(msub_sim_connect_dense(c->s, 0, 20));
  sc_join_range(c, 1, 19, T);
  sc_run(c, 2 * SEC);
  sc_join(c, 0, T);
  sc_publish(c, 0, T, 1, SMALL);
  sc_run(c, SEC);
  ALL_GOT(c, 0, 20, 1);
  /* All at once: nobody has been told of anybody, and gossip makes up for it. */
  sc_join_range(c, 0, 20, "other");
  sc_publish(c, 7, "other", 2, SMALL);
  sc_run(c, 5 * SEC);
  ALL_GOT(c, 0, 20, 2);
}

/* Partner by partner the whole network is replaced; nothing is left of those who went. */
static void churn(sc *c) {
  enum { NODES = 20 };
  sc_begin(c);
  sc_add(c, NODES);
  sc_join_range(c, 0, NODES, T);
  OK(msub_sim_connect_dense(c->s, 0, NODES));
  sc_run(c, 2 * SEC);
  for (uint32_t i = 0; i < NODES; i++) {
    OK(msub_sim_crash(c->s, i));
    sc_run(c, 500 * MS);
    OK(msub_sim_restart(c->s, i));
    sc_join(c, i, T);
    for (unsigned k = 0; k < 5; k++) {
      uint32_t peer = sc_rand(c, NODES);
      if (peer != i) sc_connect(c, i, peer);
    }
    sc_run(c, 2 * SEC);
    sc_publish(c, sc_rand(c, NODES), T, i, SMALL);
    sc_run(c, 2 * SEC);
    ALL_GOT(c, 0, NODES, i);
  }
  for (uint32_t i = 0; i < NODES; i++) CHECK_EQ(msub_session_count(sc_engine(c, i)), msub_sim_connections(c->s, i));
}

const sc_scenario sc_scenarios[] = { { "join-before-connecting", join_before_connecting },
                                     { "restart-noticed", restart_noticed },
                                     { "restart-unnoticed", restart_unnoticed },
                                     { "publish-after-subscribing", publish_after_subscribing },
                                     { "churn", churn },
                                     { NULL, NULL } };
