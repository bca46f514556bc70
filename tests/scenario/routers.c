/* Several routers in one engine, and routers inside routers. */
#include "forwarding.h"
#include "scenario.h"
#include <string.h>

#define SMALL 16
enum { GOSSIP, FLOOD }; /* indexes of the routers of a node with both */

/* Nodes 0-9 have both routers, 10-14 gossipsub (without floodsub's id), 15-19 floodsub. Nodes 0-9 join a topic by
 * one and another by the other router; names of one never meet those of the other, even if they are equal. */
static void several_routers(sc *c) {
  enum { BOTH = 10, ALL = 20 };
  c->gs.floodsub = false;
  sc_begin(c);
  c->routers[1] = (msub_sim_router){ &msub_floodsub, NULL };
  c->n.n_routers = 2;
  sc_add(c, BOTH);
  c->n.n_routers = 1;
  sc_add(c, 5);
  sc_add_floodsub(c, 5);
  for (uint32_t i = 0; i < ALL; i++) {
    if (i < 15) sc_join_by(c, i, GOSSIP, "mesh");
    if (i < BOTH) sc_join_by(c, i, FLOOD, "flood");
    if (i >= 15) sc_join(c, i, "flood");
  }
  /* A name of both: even nodes by gossipsub, odd ones by floodsub. */
  for (uint32_t i = 0; i < BOTH; i++) sc_join_by(c, i, i % 2 ? FLOOD : GOSSIP, "name");
  OK(msub_sim_connect_regular(c->s, 0, ALL, 9));
  OK(msub_sim_connect_all(c->s, 0, BOTH)); /* so that even and odd ones are whole */
  sc_run(c, 3 * SEC);

  CHECK(msub_sim_session(c->s, 0, 1, GOSSIP).v && msub_sim_session(c->s, 0, 1, FLOOD).v);
  for (uint32_t i = 0; i < ALL; i++)
    for (uint32_t k = 0; k < ALL; k++) {
      if (i == k || !msub_sim_connected(c->s, i, k)) continue;
      bool gossip = i < 15 && k < 15, flood = (i < BOTH || i >= 15) && (k < BOTH || k >= 15);
      unsigned mine = i >= 15 ? 0 : FLOOD;
      if (i < 15) CHECK_EQ(msub_sim_session(c->s, i, k, GOSSIP).v != 0, gossip);
      if (i < BOTH || i >= 15) CHECK_EQ(msub_sim_session(c->s, i, k, mine).v != 0, flood);
    }

  for (uint32_t i = 0; i < 10; i++) {
    OK(sc_try_publish(c, i, GOSSIP, "mesh", 100 + i, SMALL));
    OK(sc_try_publish(c, i, FLOOD, "flood", 200 + i, SMALL));
    OK(sc_try_publish(c, i, i % 2 ? FLOOD : GOSSIP, "name", 300 + i, SMALL));
    sc_run(c, 500 * MS);
  }
  sc_run(c, 3 * SEC);
  for (uint32_t i = 0; i < 10; i++) {
    ALL_GOT(c, 0, 15, 100 + i);
    ALL_GOT(c, 0, BOTH, 200 + i);
    ALL_GOT(c, 15, 5, 200 + i);
    for (uint32_t k = 0; k < ALL; k++) {
      if (k >= 15) CHECK_EQ(sc_times(c, k, 100 + i), 0);
      if (k >= 10 && k < 15) CHECK_EQ(sc_times(c, k, 200 + i), 0);
      CHECK_EQ(sc_times(c, k, 300 + i), k < BOTH && k % 2 == i % 2);
    }
  }
  for (size_t i = 0; i < c->n_got; i++) {
    const sc_got *g = &c->got[i];
    if (g->node >= BOTH) continue;
    if (strcmp(g->topic, "mesh") == 0) CHECK_EQ(g->router, GOSSIP);
    if (strcmp(g->topic, "flood") == 0) CHECK_EQ(g->router, FLOOD);
    if (strcmp(g->topic, "name") == 0) CHECK_EQ(g->router, g->node % 2 ? FLOOD : GOSSIP);
  }
}

/* One peer that speaks two of our protocols on a stream each. */
static void one_peer_of_two_routers(sc *c) {
  static const char *const both[] = { "/meshsub/1.1.0", "/floodsub/1.0.0", NULL };
  c->numbers = true;
  c->gs.floodsub = false;
  sc_begin(c);
  c->routers[1] = (msub_sim_router){ &msub_floodsub, NULL };
  c->n.n_routers = 2;
  sc_add(c, 1);
  uint32_t raw = sc_add_raw(c, both);
  sc_join_by(c, 0, GOSSIP, "mesh");
  sc_join_by(c, 0, FLOOD, "flood");
  sc_connect(c, raw, 0);
  sc_run(c, SEC);
  /* Each hello names the topics of its router, on its own stream. */
  CHECK(sc_heard_count(c, raw, MSUB_C_SUB, "mesh", SC_ANY) == 1 &&
        sc_heard_count(c, raw, MSUB_C_SUB, "flood", SC_ANY) == 1);
  uint8_t buf[256];
  msub_bytes names[2] = { msub_str("mesh"), msub_str("flood") };
  msub_ctl_entry subs[2] = { { .kind = MSUB_C_SUB }, { .kind = MSUB_C_SUB } };
  size_t n = msub_ctl_encode(subs, names, 2, buf, sizeof buf);
  OK(msub_sim_raw_send(c->s, raw, 0, both[0], (msub_bytes){ buf, n })); /* both names on the stream of one router */
  sc_run(c, SEC);
  CHECK_EQ(msub_topic_peers(sc_engine(c, 0), sc_topic_of(c, 0, GOSSIP, "mesh")), 1);
  CHECK_EQ(msub_topic_peers(sc_engine(c, 0), sc_topic_of(c, 0, FLOOD, "flood")), 0);
  OK(sc_try_publish(c, 0, FLOOD, "flood", 1, SMALL));
  OK(sc_try_publish(c, 0, GOSSIP, "mesh", 2, SMALL));
  sc_run(c, SEC);
  CHECK(sc_heard_count(c, raw, SC_MESSAGE, "flood", 1) == 0 && sc_heard_count(c, raw, SC_MESSAGE, "mesh", 2) == 1);
  OK(msub_sim_raw_send(c->s, raw, 0, both[1], (msub_bytes){ buf, n }));
  sc_run(c, SEC);
  OK(sc_try_publish(c, 0, FLOOD, "flood", 3, SMALL));
  sc_run(c, SEC);
  CHECK_EQ(sc_heard_count(c, raw, SC_MESSAGE, "flood", 3), 1);
  CHECK_EQ(sc_times(c, 0, 3), 1);
}

/* ---- nesting ---- */

static msub_gossipsub_opts inner;
static int forward_only(msub_layout *l, const void *opts) {
  (void)opts;
  return msub_layout_nest(l, &msub_gossipsub, &inner);
}
static const msub_router_ops silent = { .abi = MSUB_ABI, .size = sizeof(msub_router_ops), .name = "silent",
                                        .layout = forward_only };

static const forwarding_opts by_hand = { .inner = &msub_gossipsub, .inner_opts = &inner };

/* A member goes away and comes back, and so does a connection. */
static void nested_run(sc *c, const msub_router_ops *outer, const void *opts, uint8_t hash[16]) {
  enum { ALL = 20, GOES = 3 };
  uint32_t other = 0;
  sc_begin(c);
  inner = c->gs;
  if (outer) c->routers[0] = (msub_sim_router){ outer, opts };
  sc_add(c, ALL);
  sc_join_range(c, 0, ALL, "foobar");
  OK(msub_sim_connect_sparse(c->s, 0, ALL));
  sc_run(c, 2 * SEC);
  while (other < ALL && !msub_sim_connected(c->s, GOES, other)) other++;
  for (uint32_t i = 0; i < 30; i++) {
    if (i == 10) sc_leave(c, GOES, "foobar");
    if (i == 12) OK(msub_sim_disconnect(c->s, GOES, other, 0));
    if (i == 16) sc_connect(c, GOES, other);
    if (i == 18) sc_join(c, GOES, "foobar");
    sc_publish(c, i % ALL, "foobar", i, 2000);
    sc_run(c, 300 * MS);
  }
  sc_run(c, 12 * SEC); /* past the backoff of leaving */
  for (uint32_t i = 0; i < 30; i++) {
    ALL_GOT(c, 0, GOES, i);
    ALL_GOT(c, GOES + 1, ALL - GOES - 1, i);
    if (i < 10 || i >= 20) ALL_GOT(c, GOES, 1, i);
  }
  msub_sim_hash(c->s, hash);
}

static uint8_t bare[16];
static void nested_bare(sc *c) { nested_run(c, NULL, NULL, bare); }
static void same_as_bare(sc *c, const msub_router_ops *outer, const void *opts) {
  uint8_t mine[16];
  nested_run(c, outer, opts, mine);
  CHECK(memcmp(mine, bare, 16) == 0);
}
static void nested_silent(sc *c) { same_as_bare(c, &silent, NULL); }
static void nested_by_hand(sc *c) { same_as_bare(c, &forwarding, &by_hand); }

const sc_scenario sc_scenarios[] = { { "several-routers", several_routers },
                                     { "one-peer-of-two-routers", one_peer_of_two_routers },
                                     { "nested-bare", nested_bare },
                                     { "nested-silent", nested_silent },
                                     { "nested-by-hand", nested_by_hand },
                                     { NULL, NULL } };
