/* Publishing without subscribing, and direct peers. */
#include "scenario.h"

#define T "foobar"
#define SMALL 16
enum { NODES = 20 };

/* Node 0 publishes only; the others are subscribed. */
static void network(sc *c, uint32_t n) {
  sc_begin(c);
  sc_add(c, n);
  sc_join_range(c, 1, n - 1, T);
  sc_open(c, 0, T);
  OK(msub_sim_connect_dense(c->s, 0, n));
  sc_run(c, 2 * SEC);
}
static void publish(sc *c, uint32_t first, uint32_t count, uint32_t from) {
  for (uint32_t i = 0; i < count; i++) {
    c->n_got = 0;
    sc_publish(c, 0, T, first + i, SMALL);
    sc_run(c, 100 * MS);
    ALL_GOT(c, from, NODES - from, first + i);
    CHECK_EQ(sc_times(c, 0, first + i), from == 0);
  }
}

static void fanout(sc *c) {
  network(c, NODES);
  publish(c, 1, 100, 1);
  CHECK_EQ(sc_with_role(c, 0, T, MSUB_ROLE_FANOUT), 6);
  sc_join(c, 0, T);
  sc_run(c, SEC);
  CHECK(sc_with_role(c, 0, T, MSUB_ROLE_FANOUT) == 0 && sc_with_role(c, 0, T, MSUB_ROLE_MESH) >= 5);
  publish(c, 200, 100, 0);
}

static void fanout_only(sc *c) {
  network(c, NODES);
  publish(c, 1, 10, 1);
  for (uint32_t i = 1; i < NODES; i++) {
    msub_topic t = sc_topic(c, i, T);
    for (size_t k = 0; k < msub_topic_peers(sc_engine(c, i), t); k++)
      CHECK(msub_sim_node_of(c->s, msub_topic_peer(sc_engine(c, i), t, k)) != 0); /* never announced */
  }
}

static void fanout_maintenance(sc *c) {
  network(c, NODES);
  publish(c, 1, 100, 1);
  for (uint32_t i = 1; i < NODES; i++) sc_leave(c, i, T);
  sc_run(c, 500 * MS);
  sc_join_range(c, 1, NODES - 1, T);
  sc_run(c, SEC);
  publish(c, 200, 100, 1);
}

static void fanout_expiry(sc *c) {
  c->gs.fanout_ttl_ns = SEC;
  network(c, 10);
  for (uint32_t i = 0; i < 5; i++) sc_publish(c, 0, T, i, SMALL);
  sc_run(c, 100 * MS);
  for (uint32_t i = 0; i < 5; i++) ALL_GOT(c, 1, 9, i);
  CHECK(sc_with_role(c, 0, T, MSUB_ROLE_FANOUT) > 0);
  sc_run(c, 2 * SEC);
  CHECK_EQ(sc_with_role(c, 0, T, MSUB_ROLE_FANOUT), 0);
}

/* ---- direct peers ---- */

static uint8_t ids[3][64];
static msub_bytes direct[3];
static msub_gossipsub_opts with[3];

/* Three nodes, 0 connected to both others; 1 and 2 have each other as direct peers. */
static void three(sc *c) {
  c->n.dial_hints = true;
  c->gs.direct_ticks = 2;
  sc_begin(c);
  for (unsigned i = 0; i < 3; i++) {
    with[i] = c->gs;
    snprintf((char *)ids[i], sizeof ids[i], "the id of direct node %u", i);
    direct[i] = msub_str((const char *)ids[i]);
  }
  with[1].direct = &direct[2];
  with[2].direct = &direct[1];
  with[1].n_direct = with[2].n_direct = 1;
  for (unsigned i = 0; i < 3; i++) {
    c->n.id = direct[i];
    c->routers[0].opts = &with[i];
    sc_add(c, 1);
  }
  sc_connect(c, 0, 1);
  sc_connect(c, 0, 2);
  sc_run(c, 2500 * MS);
}

static void direct_peers(sc *c) {
  three(c);
  CHECK(msub_sim_connected(c->s, 1, 2));
  sc_join_range(c, 0, 3, T);
  sc_run(c, SEC);
  for (uint32_t i = 0; i < 3; i++) sc_publish(c, i, T, i, SMALL);
  sc_run(c, SEC);
  for (uint32_t i = 0; i < 3; i++) ALL_GOT(c, 0, 3, i);
  OK(msub_sim_disconnect(c->s, 1, 2, 0));
  sc_run(c, 100 * MS);
  CHECK(!msub_sim_connected(c->s, 1, 2));
  sc_run(c, 5 * SEC);
  CHECK(msub_sim_connected(c->s, 1, 2));
  for (uint32_t i = 0; i < 3; i++) sc_publish(c, i, T, 10 + i, SMALL);
  sc_run(c, SEC);
  for (uint32_t i = 0; i < 3; i++) ALL_GOT(c, 0, 3, 10 + i);
  CHECK_EQ(sc_roles(c, 1, 2, T) & (MSUB_ROLE_MESH | MSUB_ROLE_DIRECT), MSUB_ROLE_DIRECT);
}

static void direct_peers_dynamic(sc *c) {
  c->n.dial_hints = true;
  c->gs.direct_ticks = 2;
  sc_begin(c);
  sc_add(c, 2);
  sc_join_range(c, 0, 2, T);
  sc_connect(c, 0, 1);
  sc_run(c, 2 * SEC);
  msub_bytes id = msub_sim_id(c->s, 1);
  CHECK(sc_roles(c, 0, 1, T) == (MSUB_ROLE_MESH | MSUB_ROLE_OUTBOUND));
  OK(msub_command(sc_engine(c, 0), 0, MSUB_GOSSIPSUB_ADD_DIRECT, id.p, id.n, sc_now(c, 0)));
  sc_run(c, 2 * SEC);
  CHECK_EQ(sc_roles(c, 0, 1, T) & (MSUB_ROLE_MESH | MSUB_ROLE_DIRECT), MSUB_ROLE_DIRECT);
  sc_publish(c, 0, T, 1, SMALL);
  sc_run(c, SEC);
  CHECK_EQ(sc_times(c, 1, 1), 1);
  OK(msub_sim_disconnect(c->s, 1, 0, 0));
  sc_run(c, 5 * SEC);
  CHECK(msub_sim_connected(c->s, 0, 1));
  id = msub_sim_id(c->s, 1);
  OK(msub_command(sc_engine(c, 0), 0, MSUB_GOSSIPSUB_REMOVE_DIRECT, id.p, id.n, sc_now(c, 0)));
  CHECK_EQ(sc_roles(c, 0, 1, T) & MSUB_ROLE_DIRECT, 0);
  OK(msub_sim_disconnect(c->s, 1, 0, 0));
  sc_run(c, 5 * SEC);
  CHECK(!msub_sim_connected(c->s, 0, 1));
}

static void direct_peers_fanout(sc *c) {
  three(c);
  sc_join(c, 0, T);
  sc_join(c, 2, T);
  sc_open(c, 1, T);
  sc_run(c, SEC);
  for (uint32_t i = 0; i < 10; i++) sc_publish(c, 1, T, i, SMALL);
  sc_run(c, SEC);
  for (uint32_t i = 0; i < 10; i++) CHECK(sc_times(c, 0, i) == 1 && sc_times(c, 2, i) == 1);
  CHECK_EQ(sc_roles(c, 1, 2, T) & (MSUB_ROLE_FANOUT | MSUB_ROLE_DIRECT), MSUB_ROLE_DIRECT);
  CHECK(sc_roles(c, 1, 0, T) & MSUB_ROLE_FANOUT);
  sc_join(c, 1, T);
  sc_run(c, 2 * SEC);
  CHECK_EQ(sc_roles(c, 1, 2, T) & (MSUB_ROLE_MESH | MSUB_ROLE_DIRECT), MSUB_ROLE_DIRECT);
  CHECK(sc_roles(c, 1, 0, T) & MSUB_ROLE_MESH);
}

const sc_scenario sc_scenarios[] = { { "fanout", fanout },
                                     { "fanout-only", fanout_only },
                                     { "fanout-maintenance", fanout_maintenance },
                                     { "fanout-expiry", fanout_expiry },
                                     { "direct-peers", direct_peers },
                                     { "direct-peers-dynamic", direct_peers_dynamic },
                                     { "direct-peers-fanout", direct_peers_fanout },
                                     { NULL, NULL } };
