/* The gater inside running nodes: a flood of messages that are not worth their validation, with it and without. */
#include "scenario.h"

#define T "topic"
enum { GATED, DEFAULT, OPEN, FLOODER, TWIN, NEIGHBOUR, HONEST, NODES };
enum { BAD = 1000000 }; /* numbers from here on are rejected */
static msub_gossipsub_opts gated, by_default;

/* A validation takes 10 ms: a hundred in a second. */
static msub_verdict judge(const void *wire, size_t n) {
  msub_msg_view v;
  if (msub_msg_parse((msub_bytes){ wire, n }, &v) != MSUB_OK || v.data.n < 4) return MSUB_REJECT;
  return (v.data.p[0] << 16 | v.data.p[1] << 8 | v.data.p[2]) * 256 + v.data.p[3] >= BAD ? MSUB_REJECT : MSUB_ACCEPT;
}
static msub_verdict validator(void *ud, const msub_msg *m, msub_peer from, msub_token t, msub_job *job) {
  (void)ud, (void)m, (void)from, (void)t;
  *job = (msub_job){ .fn = judge, .cost_hint_ns = 10 * MS };
  return MSUB_PENDING;
}

static void add_victim(sc *c, const msub_gossipsub_opts *o) {
  c->routers[0].opts = o;
  c->engine.pending_messages = 20;
  c->n.cpu_ppm = 1000000;
  uint32_t i = sc_add(c, 1);
  sc_join(c, i, T);
  OK(msub_validator(sc_engine(c, i), sc_topic(c, i, T), validator, NULL));
}

static msub_gossipsub_gate gate(sc *c, uint32_t peer) {
  msub_gossipsub_gate g = { .peer = msub_sim_id(c->s, peer) }, *to = &g;
  OK(msub_command(sc_engine(c, GATED), 0, MSUB_GOSSIPSUB_GATE, &to, sizeof to, sc_now(c, GATED)));
  return g;
}

/* 400 bad messages a second from one peer, five good ones from another, for twenty seconds. */
static void gater(sc *c) {
  static const uint8_t flooders[4] = { 192, 0, 2, 1 }, neighbours[4] = { 192, 0, 2, 2 };
  c->gs.score = NULL; /* which would have the flooder ignored altogether */
  c->numbers = true;
  c->n.up_bytes_s = c->n.down_bytes_s = 0;
  sc_begin(c);
  gated = by_default = c->gs;
  gated.gater.on = by_default.gater.on = true;
  gated.gater.threshold = 0.01;
  add_victim(c, &gated);
  add_victim(c, &by_default);
  add_victim(c, &c->gs);
  c->routers[0].opts = &c->gs;
  c->engine.pending_messages = 4096;
  c->n.cpu_ppm = 0;
  for (uint32_t i = FLOODER; i <= NEIGHBOUR; i++) {
    sc_add_raw(c, sc_v12);
    OK(msub_sim_address(c->s, i, (msub_bytes){ i == NEIGHBOUR ? neighbours : flooders, 4 }));
  }
  sc_add(c, 1);
  sc_join(c, HONEST, T);
  for (uint32_t i = FLOODER; i < NODES; i++)
    for (uint32_t k = GATED; k <= OPEN; k++) sc_connect(c, i, k);
  sc_run(c, 100 * MS);
  for (uint32_t i = FLOODER; i <= NEIGHBOUR; i++)
    for (uint32_t k = GATED; k <= OPEN; k++) sc_raw_sub(c, i, k, T, true);
  sc_run(c, 3 * SEC);

  uint32_t bad = BAD, good = 0, late = 0; /* late: from the second second on */
  unsigned got = 0, got_by_default = 0, got_open = 0;
  for (unsigned step = 0; step < 2000; step++) {
    for (unsigned k = 0; k < 4; k++, bad++)
      for (uint32_t i = GATED; i <= OPEN; i++) sc_raw_message(c, FLOODER, i, T, bad, 16);
    if (step % 20 == 10) sc_publish(c, HONEST, T, ++good, 16);
    if (step == 200) late = good;
    sc_run(c, 10 * MS);
  }
  sc_run(c, SEC);
  for (uint32_t i = 1; i <= good; i++) {
    got += i > late && sc_times(c, GATED, i) == 1;
    got_by_default += i > late && sc_times(c, DEFAULT, i) == 1;
    got_open += i > late && sc_times(c, OPEN, i) == 1;
    for (uint32_t k = GATED; k <= OPEN; k++) CHECK(sc_times(c, k, i) <= 1);
  }
  CHECK_EQ(got, good - late); /* served whole */
  CHECK(got_by_default * 20 > 19 * (good - late));
  CHECK(got_open * 2 < good - late); /* of the one that hears everybody most is lost */
  uint64_t sent = bad - BAD, unheard = msub_count(sc_engine(c, GATED))->unheard;
  CHECK(unheard > sent * 9 / 10 && unheard < sent);
  /* By default a third of what is judged may find no room before anybody is cut off. */
  CHECK(msub_count(sc_engine(c, DEFAULT))->unheard > sent / 2);
  CHECK_EQ(msub_count(sc_engine(c, OPEN))->unheard, 0);
  CHECK(msub_count(sc_engine(c, GATED))->throttled * 10 < msub_count(sc_engine(c, OPEN))->throttled);
  for (size_t i = 0; i < c->n_got; i++) CHECK(c->got[i].number < BAD);
  CHECK(gate(c, FLOODER).rejected > 50 && gate(c, FLOODER).odds < 0.002 && gate(c, FLOODER).sessions == 2);
  CHECK(gate(c, HONEST).delivered >= got && gate(c, HONEST).odds > 0.9 && gate(c, NEIGHBOUR).odds > 0.9);

  /* For its control it is heard; who comes from the same address fares like it, others do not. */
  sc_raw_graft(c, FLOODER, GATED, T);
  for (uint32_t i = 0; i < 5; i++) {
    sc_raw_message(c, FLOODER, GATED, T, 10000 + i, 16);
    sc_raw_message(c, TWIN, GATED, T, 20000 + i, 16);
    sc_raw_message(c, NEIGHBOUR, GATED, T, 30000 + i, 16);
    sc_run(c, 100 * MS);
    CHECK(!sc_find(c, GATED, 10000 + i) && !sc_find(c, GATED, 20000 + i));
    CHECK_EQ(sc_times(c, GATED, 30000 + i), 1);
  }
  CHECK(sc_roles(c, GATED, FLOODER, T) & MSUB_ROLE_MESH);

  /* It went, and comes back: the same. A minute without a message that found no room: everybody is heard. */
  OK(msub_sim_disconnect(c->s, FLOODER, GATED, 0));
  sc_run(c, SEC);
  sc_connect(c, FLOODER, GATED);
  sc_run(c, SEC);
  CHECK(gate(c, FLOODER).odds < 0.002);
  sc_run(c, 65 * SEC);
  CHECK(gate(c, FLOODER).odds > 0.999);
  sc_raw_message(c, FLOODER, GATED, T, 11000, 16);
  sc_raw_message(c, TWIN, GATED, T, 21000, 16);
  sc_run(c, SEC);
  CHECK(sc_times(c, GATED, 11000) == 1 && sc_times(c, GATED, 21000) == 1);
}

const sc_scenario sc_scenarios[] = { { "gater", gater }, { NULL, NULL } };
