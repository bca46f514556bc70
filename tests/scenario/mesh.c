/* The mesh: the behaviours of the reference's own network tests, without scores. */
#include "scenario.h"
#include <string.h>

#define T "foobar"
#define SMALL 16

/* `n` gossipsub nodes on topic T, connected at random, with two seconds to settle. */
static void network(sc *c, uint32_t n, bool dense) {
  sc_begin(c);
  sc_add(c, n);
  sc_join_range(c, 0, n, T);
  OK(dense ? msub_sim_connect_dense(c->s, 0, n) : msub_sim_connect_sparse(c->s, 0, n));
  sc_run(c, 2 * SEC);
}

static void sparse(sc *c) {
  network(c, 20, false);
  sc_traffic(c, 0, 20, T, 1, 100);
}

static void dense(sc *c) {
  network(c, 20, true);
  sc_traffic(c, 0, 20, T, 1, 100);
}

/* Messages with pauses, so that gossip runs among them. */
static void gossip(sc *c) {
  network(c, 20, true);
  for (uint32_t i = 0; i < 100; i++) {
    c->n_got = 0;
    sc_publish(c, sc_rand(c, 20), T, i, SMALL);
    sc_run(c, 250 * MS);
    ALL_GOT(c, 0, 20, i);
  }
  sc_run(c, 2 * SEC);
}

/* A tenth of all RPCs is lost, and a mesh of two does not make up for that: gossip does. */
static void gossip_repairs_loss(sc *c) {
  c->o.link.loss_ppm = 100000;
  c->gs.mesh = (msub_gossipsub_mesh){ .d = 2, .dlo = 2, .dhi = 3, .dscore = 1, .dlazy = 6, .gossip_factor_ppm = 250000,
                                      .idontwant_bytes = 1024 };
  network(c, 20, true);
  for (uint32_t i = 0; i < 100; i++) {
    sc_publish(c, sc_rand(c, 20), T, i, SMALL);
    sc_run(c, 250 * MS);
  }
  sc_run(c, 5 * SEC);
  uint64_t served = 0;
  for (uint32_t i = 0; i < 20; i++) served += msub_count(sc_engine(c, i))->served;
  CHECK(served > 20 && msub_sim_count(c->s)->lost > 100);
  for (uint32_t i = 0; i < 100; i++) ALL_GOT(c, 0, 20, i);
}

/* Node 0 publishes by its fanout to six; thirteen others, who know node 0 only of these, come later and get all by
 * gossip. */
static void gossip_propagation(sc *c) {
  enum { FIRST = 7, ALL = 20 };
  sc_begin(c);
  sc_add(c, ALL);
  OK(msub_sim_connect_dense(c->s, 0, FIRST));
  OK(msub_sim_connect_dense(c->s, FIRST, ALL - FIRST));
  for (uint32_t i = FIRST; i < ALL; i++) sc_connect(c, 0, i);
  sc_join_range(c, 1, FIRST - 1, T);
  sc_open(c, 0, T);
  sc_run(c, SEC);
  for (uint32_t i = 0; i < 10; i++) sc_publish(c, 0, T, i, SMALL);
  sc_run(c, 100 * MS);
  for (uint32_t i = 0; i < 10; i++) ALL_GOT(c, 1, FIRST - 1, i);
  sc_join_range(c, FIRST, ALL - FIRST, T);
  sc_run(c, 10 * SEC);
  for (uint32_t i = 0; i < 10; i++) ALL_GOT(c, FIRST, ALL - FIRST, i);
  CHECK(sc_total(c, 0) == 0);
}

static void ten_messages(sc *c, uint32_t first, uint32_t n) {
  for (uint32_t i = 0; i < 10; i++) {
    sc_publish(c, first + sc_rand(c, n), T, 1000 + i, SMALL);
    sc_run(c, 300 * MS);
  }
  sc_run(c, 3 * SEC);
  for (uint32_t i = 0; i < 10; i++) ALL_GOT(c, first, n, 1000 + i);
}

static void prune(sc *c) {
  network(c, 20, true);
  for (uint32_t i = 0; i < 5; i++) sc_leave(c, i, T);
  sc_run(c, 100 * MS);
  ten_messages(c, 5, 15);
  for (uint32_t i = 0; i < 5; i++) CHECK_EQ(sc_total(c, i), 0);
}

static void remove_peer(sc *c) {
  network(c, 20, true);
  for (uint32_t i = 0; i < 5; i++) OK(msub_sim_crash(c->s, i));
  sc_run(c, 2 * SEC);
  ten_messages(c, 5, 15);
}

static void graft(sc *c) {
  sc_begin(c);
  sc_add(c, 20);
  OK(msub_sim_connect_sparse(c->s, 0, 20));
  sc_run(c, SEC);
  for (uint32_t i = 0; i < 20; i++) {
    sc_join(c, i, T);
    sc_run(c, 100 * MS);
  }
  sc_run(c, SEC);
  sc_traffic(c, 0, 20, T, 1, 100);
}

/* A control lane that takes hardly a GRAFT: what does not go now goes with what is sent next. */
static void graft_prune_retry(sc *c) {
  enum { NODES = 10, TOPICS = 35 };
  char name[16];
  c->n.lane_bytes[MSUB_LANE_CONTROL] = 200;
  c->n.up_bytes_s = 20000;
  sc_begin(c);
  sc_add(c, NODES);
  OK(msub_sim_connect_dense(c->s, 0, NODES));
  sc_run(c, SEC);
  for (unsigned t = 0; t < TOPICS; t++) {
    snprintf(name, sizeof name, "topic%u", t);
    sc_join_range(c, 0, NODES, name);
  }
  sc_run(c, 30 * SEC);
  CHECK(msub_sim_count(c->s)->refused > 0);
  for (uint32_t t = 0; t < TOPICS; t++) {
    snprintf(name, sizeof name, "topic%u", t);
    sc_publish(c, sc_rand(c, NODES), name, t, SMALL);
    sc_run(c, 500 * MS);
  }
  sc_run(c, 5 * SEC);
  for (uint32_t t = 0; t < TOPICS; t++) ALL_GOT(c, 0, NODES, t);
}

/* Five topics are joined while a flood of messages fills the lanes. */
static void control_piggyback(sc *c) {
  enum { NODES = 10, FLOOD = 10000 };
  char name[16];
  c->n.lane_bytes[MSUB_LANE_FORWARD] = 4096;
  sc_begin(c);
  sc_add(c, NODES);
  OK(msub_sim_connect_dense(c->s, 0, NODES));
  sc_join_range(c, 0, NODES, "flood");
  sc_run(c, SEC);
  uint32_t took = 0;
  for (uint32_t i = 0; i < FLOOD; i++) {
    took += sc_try_publish(c, sc_rand(c, NODES), 0, "flood", 1000000 + i, 32) == MSUB_OK;
    if (i % 10 == 0) sc_run(c, MS);
    if (i % 2000 == 1000) {
      snprintf(name, sizeof name, "topic%u", i / 2000);
      sc_join_range(c, 0, NODES, name);
    }
    c->n_got = 0;
  }
  CHECK(took > FLOOD / 2 && msub_sim_count(c->s)->refused > 0);
  sc_run(c, 5 * SEC);
  c->n_got = 0;
  for (uint32_t t = 0; t < 5; t++) {
    snprintf(name, sizeof name, "topic%u", t);
    sc_publish(c, sc_rand(c, NODES), name, t, SMALL);
  }
  sc_run(c, 3 * SEC);
  for (uint32_t t = 0; t < 5; t++) ALL_GOT(c, 0, NODES, t);
}

static void mixed(sc *c) {
  sc_begin(c);
  sc_add(c, 20);
  sc_add_floodsub(c, 10);
  sc_join_range(c, 0, 30, T);
  OK(msub_sim_connect_sparse(c->s, 0, 30));
  sc_run(c, 2 * SEC);
  sc_traffic(c, 0, 30, T, 1, 100);
}

static void multihops(sc *c) {
  sc_begin(c);
  sc_add(c, 6);
  OK(msub_sim_connect_line(c->s, 0, 6));
  sc_open(c, 0, T);
  sc_join_range(c, 1, 5, T);
  sc_run(c, 2 * SEC);
  sc_publish(c, 0, T, 1, SMALL);
  sc_run(c, SEC);
  CHECK_EQ(sc_times(c, 5, 1), 1);
  const sc_got *g = sc_find(c, 5, 1);
  CHECK(g && g->from == 4);
}

static bool has_peers(const sc *c, uint32_t node, const uint32_t *peers, size_t n) {
  msub_topic t = sc_topic(c, node, "fizzbuzz");
  if (msub_topic_peers(sc_engine(c, node), t) != n) return false;
  for (size_t i = 0; i < n; i++) {
    bool there = false;
    for (size_t k = 0; k < n; k++)
      there |= msub_sim_node_of(c->s, msub_topic_peer(sc_engine(c, node), t, k)) == peers[i];
    if (!there) return false;
  }
  return true;
}
/*  0 ─ 1 ─ 2 ─ 3
 *  │   └─ 4
 *  5 ─ 6 ─ 7
 *  └─ 8 ─ 9         */
static void tree(sc *c) {
  static const uint32_t edges[][2] = { { 0, 1 }, { 1, 2 }, { 1, 4 }, { 2, 3 }, { 0, 5 }, { 5, 6 }, { 5, 8 }, { 6, 7 },
                                       { 8, 9 } };
  sc_begin(c);
  sc_add(c, 10);
  for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) sc_connect(c, edges[i][0], edges[i][1]);
  sc_join_range(c, 0, 10, "fizzbuzz");
  sc_run(c, 2 * SEC);
  CHECK(has_peers(c, 0, (const uint32_t[]){ 1, 5 }, 2));
  CHECK(has_peers(c, 1, (const uint32_t[]){ 0, 2, 4 }, 3));
  CHECK(has_peers(c, 2, (const uint32_t[]){ 1, 3 }, 2));
  sc_publish(c, 9, "fizzbuzz", 1, SMALL);
  sc_publish(c, 3, "fizzbuzz", 2, SMALL);
  sc_run(c, SEC);
  ALL_GOT(c, 0, 10, 1);
  ALL_GOT(c, 0, 10, 2);
}

/* The centre keeps no mesh: it prunes everybody, and tells them of the others. */
static void star(sc *c, bool px, bool flood) {
  enum { NODES = 20 };
  static msub_gossipsub_opts centre;
  c->gs.peer_exchange = px;
  c->gs.mesh.flood_publish = flood;
  c->n.dial_hints = true;
  c->n.max_hint_dials = 128;
  centre = c->gs;
  if (px) centre.mesh.d = centre.mesh.dlo = centre.mesh.dhi = centre.mesh.dout = centre.mesh.dscore = 0;
  sc_begin(c);
  c->routers[0].opts = &centre;
  sc_add(c, 1);
  c->routers[0].opts = &c->gs;
  sc_add(c, NODES - 1);
  OK(msub_sim_connect_star(c->s, 0, NODES));
  sc_run(c, SEC);
  sc_join_range(c, 0, NODES, T);
  sc_run(c, 10 * SEC);
}
static void star_peer_exchange(sc *c) {
  star(c, true, true);
  for (uint32_t i = 1; i < 20; i++) CHECK(msub_sim_connections(c->s, i) > 1);
  CHECK(msub_sim_count(c->s)->hints_dialled > 0 && msub_sim_count(c->s)->hints_bad == 0);
  for (uint32_t i = 0; i < 20; i++) {
    sc_publish(c, i, T, i, SMALL);
    sc_run(c, SEC);
  }
  sc_run(c, 2 * SEC);
  for (uint32_t i = 0; i < 20; i++) ALL_GOT(c, 0, 20, i);
}
static void star_flood_publish(sc *c) {
  star(c, false, true);
  for (uint32_t i = 1; i < 20; i++) CHECK_EQ(msub_sim_connections(c->s, i), 1);
  for (uint32_t i = 0; i < 20; i++) sc_publish(c, 0, T, i, SMALL);
  sc_run(c, 50 * MS); /* no gossip needed */
  for (uint32_t i = 0; i < 20; i++) ALL_GOT(c, 0, 20, i);
}

static void enough_peers(sc *c) {
  sc_begin(c);
  sc_add(c, 20);
  sc_join_range(c, 0, 20, T);
  sc_run(c, SEC);
  CHECK(!msub_ready(sc_engine(c, 0), sc_topic(c, 0, T), 0));
  OK(msub_sim_connect_dense(c->s, 0, 20));
  sc_run(c, 3 * SEC);
  CHECK(msub_ready(sc_engine(c, 0), sc_topic(c, 0, T), 0));
}

/* dhi peers of the topic and all of them in the mesh: two heartbeats later exactly d are left. */
static void prune_mesh_correctly(sc *c) {
  c->gs.mesh.dhi = 8;
  sc_begin(c);
  sc_add(c, 9);
  sc_join_range(c, 0, 9, T);
  OK(msub_sim_connect_star(c->s, 0, 9));
  sc_run(c, 3 * SEC);
  CHECK_EQ(sc_with_role(c, 0, T, MSUB_ROLE_MESH), 6);
}

static void leave_backoff(sc *c) {
  sc_begin(c);
  sc_add(c, 2);
  sc_join_range(c, 0, 2, T);
  sc_connect(c, 0, 1);
  sc_run(c, 2 * SEC);
  CHECK(sc_roles(c, 0, 1, T) & MSUB_ROLE_MESH && sc_roles(c, 1, 0, T) & MSUB_ROLE_MESH);
  sc_leave(c, 0, T);
  sc_run(c, SEC);
  for (uint32_t i = 0; i < 2; i++) {
    uint64_t left = sc_backoff(c, i, 1 - i, T);
    CHECK(left > 8 * SEC && left <= 10 * SEC);
  }
}

/* 1 is in backoff, since 0 has left the topic once; 2 is not. */
static void join_backoff(sc *c) {
  sc_begin(c);
  sc_add(c, 3);
  sc_connect(c, 0, 1);
  sc_connect(c, 0, 2);
  sc_join_range(c, 0, 2, T);
  sc_run(c, 2 * SEC);
  CHECK(sc_roles(c, 0, 1, T) & MSUB_ROLE_MESH);
  sc_leave(c, 0, T);
  sc_join(c, 2, T);
  sc_run(c, SEC);
  sc_join(c, 0, T);
  sc_run(c, SEC);
  CHECK(sc_roles(c, 0, 2, T) & MSUB_ROLE_MESH);
  CHECK(!(sc_roles(c, 0, 1, T) & MSUB_ROLE_MESH) && sc_backoff(c, 0, 1, T) > 0);
  sc_run(c, 30 * SEC);
  CHECK(sc_roles(c, 0, 1, T) & MSUB_ROLE_MESH);
}

static void multiple_graft_topics(sc *c) {
  static const char *const topics[] = { "one", "two", "three" };
  c->numbers = true;
  sc_begin(c);
  sc_add(c, 1);
  uint32_t raw = sc_add_raw(c, sc_v11);
  for (unsigned i = 0; i < 3; i++) sc_join(c, 0, topics[i]);
  sc_connect(c, raw, 0);
  sc_run(c, SEC);
  for (unsigned i = 0; i < 3; i++) CHECK(!(sc_roles(c, 0, raw, topics[i]) & MSUB_ROLE_MESH));
  const msub_ctl_entry e[] = { { .kind = MSUB_C_GRAFT }, { .kind = MSUB_C_GRAFT }, { .kind = MSUB_C_GRAFT } };
  sc_raw_ctl(c, raw, 0, e, topics, 3);
  sc_run(c, 100 * MS);
  for (unsigned i = 0; i < 3; i++) CHECK(sc_roles(c, 0, raw, topics[i]) & MSUB_ROLE_MESH);
}

static void publish_duplicate(sc *c) {
  c->numbers = true;
  sc_begin(c);
  sc_add(c, 3);
  sc_join_range(c, 0, 3, T);
  OK(msub_sim_connect_line(c->s, 0, 3));
  sc_run(c, 2 * SEC);
  for (unsigned i = 0; i < 2; i++) {
    sc_publish(c, 0, T, 5, SMALL); /* no error the second time */
    sc_run(c, SEC);
  }
  ALL_GOT(c, 0, 3, 5);
  sc_publish(c, 2, T, 5, SMALL); /* nor where somebody else's is known */
  sc_run(c, SEC);
  ALL_GOT(c, 0, 3, 5);
}

const sc_scenario sc_scenarios[] = { { "sparse", sparse },
                                     { "dense", dense },
                                     { "gossip", gossip },
                                     { "gossip-repairs-loss", gossip_repairs_loss },
                                     { "gossip-propagation", gossip_propagation },
                                     { "prune", prune },
                                     { "graft", graft },
                                     { "remove-peer", remove_peer },
                                     { "graft-prune-retry", graft_prune_retry },
                                     { "control-piggyback", control_piggyback },
                                     { "mixed-with-floodsub", mixed },
                                     { "multihops", multihops },
                                     { "tree", tree },
                                     { "star-peer-exchange", star_peer_exchange },
                                     { "star-flood-publish", star_flood_publish },
                                     { "enough-peers", enough_peers },
                                     { "prune-mesh-correctly", prune_mesh_correctly },
                                     { "leave-backoff", leave_backoff },
                                     { "join-backoff", join_backoff },
                                     { "multiple-graft-topics", multiple_graft_topics },
                                     { "publish-duplicate", publish_duplicate },
                                     { NULL, NULL } };
