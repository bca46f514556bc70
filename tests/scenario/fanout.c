/* Publishing without subscribing, and direct peers. */
#include "meshsub/publish.h"
#include "scenario.h"
#include <string.h>

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

/* 100 pieces of one message, published together by one of 20 nodes: all arrive everywhere. */
static void batch(sc *c) {
  network(c, NODES);
  msub_batch *b;
  OK(msub_batch_new(sc_engine(c, 1), &b));
  for (uint32_t i = 0; i < 100; i++) {
    uint8_t data[64] = { 0, 0, (uint8_t)((1000 + i) >> 8), (uint8_t)(1000 + i) }; /* its number, as sc_publish() writes it */
    OK(msub_batch_add(b, sc_topic(c, 1, T), (msub_bytes){ data, sizeof data }, NULL));
  }
  OK(msub_batch_publish(b, NULL, NULL, sc_now(c, 1)));
  sc_run(c, 2 * SEC);
  for (uint32_t i = 0; i < 100; i++) {
    CHECK(msub_batch_result(b, i)->recipients > 0);
    ALL_GOT(c, 1, NODES - 1, 1000 + i);
  }
  OK(msub_batch_free(b));
}

/* A chain of five in which only the ends have joined: those between relay, and get nothing themselves. */
static void relay_chain(sc *c) {
  sc_begin(c);
  sc_add(c, 5);
  sc_join(c, 0, T);
  sc_join(c, 4, T);
  for (uint32_t i = 1; i < 4; i++) {
    msub_topic t;
    OK(msub_relay(sc_engine(c, i), 0, msub_str(T), c->numbers ? &c->policy : NULL, NULL, sc_now(c, i), &t));
  }
  for (uint32_t i = 0; i < 4; i++) sc_connect(c, i, i + 1);
  sc_run(c, 3 * SEC);
  sc_publish(c, 0, T, 1, SMALL);
  sc_publish(c, 4, T, 2, SMALL);
  sc_run(c, SEC);
  ALL_GOT(c, 4, 1, 1);
  ALL_GOT(c, 0, 1, 2);
  for (uint32_t i = 1; i < 4; i++) CHECK_EQ(sc_total(c, i), 0);
  for (uint32_t i = 1; i < 4; i++) OK(msub_unrelay(sc_engine(c, i), sc_topic(c, i, T), sc_now(c, i)));
  sc_run(c, SEC);
  sc_publish(c, 0, T, 3, SMALL);
  sc_run(c, 5 * SEC);
  CHECK_EQ(sc_times(c, 4, 3), 0);
}

/* Two of three nodes let only each other into the topic; the third is connected to the first and has joined. */
static bool not_the_third(const msub_channel *c, msub_session s) {
  const sc *x = c->ctx;
  return msub_sim_node_of(x->s, msub_session_peer(c->engine, s)) != 2;
}
static void peer_filter(sc *c) {
  static msub_channel_policy p;
  sc_begin(c);
  sc_add(c, 3);
  p = (msub_channel_policy){ .abi = MSUB_ABI, .size = sizeof p, .name = "closed", .may_peer = not_the_third };
  if (c->numbers) p.message_id = c->policy.message_id, p.sign = c->policy.sign;
  for (uint32_t i = 0; i < 2; i++) {
    msub_topic t;
    OK(msub_join(sc_engine(c, i), 0, msub_str(T), &p, c, sc_now(c, i), &t));
  }
  sc_join(c, 2, T);
  sc_connect(c, 0, 1);
  sc_connect(c, 0, 2);
  sc_run(c, 3 * SEC);
  for (uint32_t i = 0; i < 3; i++) sc_publish(c, i, T, i, SMALL);
  sc_run(c, 5 * SEC);
  for (uint32_t i = 0; i < 2; i++) {
    ALL_GOT(c, 0, 2, i);
    CHECK_EQ(sc_times(c, 2, i), 0);
    CHECK_EQ(sc_times(c, i, 2), 0);
  }
}

/* Protocol ids of one's own, with the features of 1.2 and of 1.1: they speak the newest that both have, and no stock id. */
static void own_protocols(sc *c) {
  static const msub_gossipsub_protocol both[] = { { "/own/2.0.0", MSUB_F_MESH | MSUB_F_PX | MSUB_F_IDONTWANT }, { "/own/1.0.0", MSUB_F_MESH | MSUB_F_PX } };
  sc_begin(c);
  c->gs.protocols = both;
  c->gs.n_protocols = 2;
  c->gs.floodsub = false;
  sc_add(c, 2);
  static msub_gossipsub_opts older, stock; /* nodes with other options have plans of their own */
  older = c->gs;
  older.protocols = &both[1];
  older.n_protocols = 1;
  msub_gossipsub_opts_init(&stock);
  c->routers[0].opts = &older;
  sc_add(c, 1);
  c->routers[0].opts = &stock;
  sc_add(c, 1);
  c->routers[0].opts = &c->gs;
  sc_join_range(c, 0, 4, T);
  for (uint32_t i = 1; i < 4; i++) sc_connect(c, 0, i);
  sc_run(c, 3 * SEC);
  msub_engine *e = sc_engine(c, 0);
  CHECK(strcmp(msub_session_protocol(e, msub_sim_session(c->s, 0, 1, 0)), "/own/2.0.0") == 0);
  CHECK(strcmp(msub_session_protocol(e, msub_sim_session(c->s, 0, 2, 0)), "/own/1.0.0") == 0);
  CHECK(msub_sim_session(c->s, 0, 3, 0).v == 0); /* nothing in common: connected, and no session */
  sc_publish(c, 0, T, 1, 2000);
  sc_run(c, 2 * SEC);
  ALL_GOT(c, 0, 3, 1);
  CHECK_EQ(sc_times(c, 3, 1), 0);
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
                                     { "batch", batch },
                                     { "relay-chain", relay_chain },
                                     { "peer-filter", peer_filter },
                                     { "own-protocols", own_protocols },
                                     { "fanout-maintenance", fanout_maintenance },
                                     { "fanout-expiry", fanout_expiry },
                                     { "direct-peers", direct_peers },
                                     { "direct-peers-dynamic", direct_peers_dynamic },
                                     { "direct-peers-fanout", direct_peers_fanout },
                                     { NULL, NULL } };
