/* Peer scores by the default profile: whoever behaves is never below zero; whoever does not is out of the mesh, or not heard at all,
 * within a minute. Node 0 is ours where there is an attacker. */
#include "scenario.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define T "topic"

/* ---- scores ---- */

typedef struct scores {
  sc *c;
  double of[SC_NODES]; /* by node */
  double least;
} scores;
static scores at;
static void look(void *ud, msub_bytes id, const msub_peer_score *s) {
  scores *x = ud;
  uint32_t node = msub_sim_find(x->c->s, id);
  if (node < SC_NODES) x->of[node] = s->score;
  if (s->score < x->least) x->least = s->score;
}
static const scores *scores_at(sc *c, uint32_t node) {
  at.c = c;
  at.least = HUGE_VAL;
  memset(at.of, 0, sizeof at.of);
  msub_gossipsub_inspect a = { .peer = look, .ud = &at };
  OK(msub_command(sc_engine(c, node), 0, MSUB_GOSSIPSUB_INSPECT, &a, sizeof a, sc_now(c, node)));
  return &at;
}

/* ---- all are honest ---- */

enum { HONEST = 50 };
static void honest(sc *c, uint32_t publishers, unsigned per_s, size_t bytes) {
  uint32_t number = 0;
  size_t got = 0;
  /* Almost no jitter: the same peers are always behind the same others, and bring something only when an RPC was lost. */
  c->o.link = (msub_sim_link){ .latency_ns = 30 * MS, .jitter_ns = 3 * MS, .loss_ppm = 50000 };
  sc_begin(c);
  sc_add(c, HONEST);
  sc_join_range(c, 0, HONEST, T);
  OK(msub_sim_connect_random(c->s, 0, HONEST, 8));
  sc_run(c, 2 * SEC);
  for (unsigned s = 0; s < 600; s++) {
    for (unsigned k = 0; k < per_s; k++) {
      sc_publish(c, number % publishers, T, number, bytes);
      number++;
      sc_run(c, SEC / per_s);
    }
    got += c->n_got;
    c->n_got = 0;
    for (uint32_t i = 0; i < HONEST; i++) CHECK(scores_at(c, i)->least >= 0);
  }
  sc_run(c, 5 * SEC);
  CHECK_EQ(got + c->n_got, (size_t)number * HONEST);
}
static void several_small(sc *c) { honest(c, 5, 2, 100); }
static void one_small(sc *c) { honest(c, 1, 2, 100); }
static void several_large(sc *c) { honest(c, 5, 2, 2048); } /* from 1 KiB on there is IDONTWANT */
static void one_large(sc *c) { honest(c, 1, 2, 2048); }

/* ---- one attacker, or some, and a few honest nodes around ours ---- */

enum { OURS, OTHERS = 8, ATTACKER = OTHERS };
static void begin(sc *c, uint32_t attackers) {
  c->numbers = true;
  c->n.up_bytes_s = c->n.down_bytes_s = 0;
  sc_begin(c);
  sc_add(c, OTHERS);
  sc_join_range(c, 0, OTHERS, T);
  OK(msub_sim_connect_all(c->s, 0, OTHERS));
  for (uint32_t i = 0; i < attackers; i++) sc_add_raw(c, sc_v12);
}
/* The attackers connect and say what they are. */
static void arrive(sc *c, uint32_t attackers) {
  for (uint32_t i = ATTACKER; i < ATTACKER + attackers; i++) sc_connect(c, i, OURS);
  sc_run(c, 100 * MS);
  for (uint32_t i = ATTACKER; i < ATTACKER + attackers; i++) sc_raw_sub(c, i, OURS, T, true);
  sc_run(c, SEC);
}
static bool member(sc *c, uint32_t node) { return (sc_roles(c, OURS, node, T) & MSUB_ROLE_MESH) != 0; }
static double graylist(const sc *c) { return c->gs.score->thresholds.graylist; }

/* Five honest messages a second for `seconds`; every one comes to all. `some`: what the attacker does each second. */
static uint32_t next_number;
static void go_on(sc *c, unsigned seconds, void (*some)(sc *c, unsigned second)) {
  for (unsigned s = 0; s < seconds; s++) {
    if (some) some(c, s);
    for (unsigned k = 0; k < 5; k++) {
      c->n_got = 0;
      sc_publish(c, 1 + next_number % (OTHERS - 1), T, next_number, 100);
      sc_run(c, 200 * MS);
      ALL_GOT(c, OURS, OTHERS, next_number);
      next_number++;
    }
    c->n_heard = 0;
    const scores *x = scores_at(c, OURS);
    for (uint32_t i = 1; i < OTHERS; i++) CHECK(x->of[i] >= 0);
  }
}
/* Its messages are not read any more. */
static void is_graylisted(sc *c, uint32_t node) {
  CHECK(scores_at(c, OURS)->of[node] < graylist(c));
  CHECK(!member(c, node));
  sc_raw_message(c, node, OURS, T, 77777777, 100);
  sc_run(c, SEC);
  CHECK_EQ(sc_times(c, OURS, 77777777), 0);
}

static void silent(sc *c) {
  next_number = 1;
  begin(c, 1);
  arrive(c, 1);
  sc_raw_graft(c, ATTACKER, OURS, T);
  sc_run(c, SEC);
  CHECK(member(c, ATTACKER));
  go_on(c, 5, NULL);
  CHECK(member(c, ATTACKER)); /* nobody is judged by his first seconds */
  go_on(c, 53, NULL);
  CHECK(!member(c, ATTACKER) && sc_backoff(c, OURS, ATTACKER, T) > 0);
}

static void lies(sc *c, unsigned second) { sc_raw_message(c, ATTACKER, OURS, T, 1000000 + second, 100); }
static msub_verdict judge(void *ud, const msub_msg *m, msub_peer from, msub_token t, msub_job *job) {
  (void)ud, (void)from, (void)t, (void)job;
  const uint8_t *p = msub_data(m).p;
  return (p[0] << 16 | p[1] << 8 | p[2]) * 256 + p[3] >= 1000000 && p[0] < 4 ? MSUB_REJECT : MSUB_ACCEPT;
}
static void invalid(sc *c) {
  next_number = 1;
  begin(c, 1);
  OK(msub_validator(sc_engine(c, OURS), sc_topic(c, OURS, T), judge, NULL));
  arrive(c, 1);
  sc_raw_graft(c, ATTACKER, OURS, T);
  go_on(c, 5, lies);
  is_graylisted(c, ATTACKER);
  go_on(c, 55, lies);
  is_graylisted(c, ATTACKER); /* what it sends now is not judged, what was stays for minutes */
}

/* It leaves, so that it is in backoff, and wants in again. */
static void leave(sc *c) {
  sc_raw_graft(c, ATTACKER, OURS, T);
  sc_run(c, SEC);
  CHECK(member(c, ATTACKER));
  sc_raw_prune(c, ATTACKER, OURS, T, 60);
  sc_run(c, SEC);
  CHECK(!member(c, ATTACKER));
}
static void graft_often(sc *c, unsigned second) {
  (void)second;
  for (unsigned k = 0; k < 4; k++) sc_raw_graft(c, ATTACKER, OURS, T);
}
static void graft_flood(sc *c) {
  next_number = 1;
  begin(c, 1);
  arrive(c, 1);
  leave(c);
  go_on(c, 10, graft_often);
  is_graylisted(c, ATTACKER);
  go_on(c, 45, graft_often);
  is_graylisted(c, ATTACKER);
}
static unsigned let_in;
static void graft_at_times(sc *c, unsigned second) {
  if (second % 15 == 0) sc_raw_graft(c, ATTACKER, OURS, T);
  let_in += member(c, ATTACKER);
}
static void regraft_loop(sc *c) {
  next_number = 1;
  let_in = 0;
  begin(c, 1);
  arrive(c, 1);
  leave(c);
  go_on(c, 57, graft_at_times); /* a minute since it left */
  CHECK(let_in == 0 && !member(c, ATTACKER));
  CHECK(sc_backoff(c, OURS, ATTACKER, T) > 0); /* nor is it let in when the first backoff is over: each try begins it anew, */
  go_on(c, 113, graft_at_times);
  CHECK_EQ(let_in, 0);
  CHECK(scores_at(c, OURS)->of[ATTACKER] < 0); /* and they add up */
}

static void promise(sc *c, unsigned second) {
  uint32_t ids[4];
  for (uint32_t i = 0; i < 4; i++) ids[i] = 2000000 + second * 4 + i;
  for (unsigned k = 0; k < 4; k++) sc_raw_ids(c, ATTACKER, OURS, MSUB_C_IHAVE, T, &ids[k], 1);
}
static void promises(sc *c) {
  next_number = 1;
  begin(c, 1);
  arrive(c, 1);
  sc_raw_graft(c, ATTACKER, OURS, T);
  go_on(c, 3, promise);
  CHECK(member(c, ATTACKER)); /* an IWANT may be answered for three seconds */
  go_on(c, 7, promise);
  is_graylisted(c, ATTACKER);
  go_on(c, 50, promise);
  CHECK(scores_at(c, OURS)->of[ATTACKER] < c->gs.score->thresholds.gossip && !member(c, ATTACKER)); /* nor is it believed: no promise is added */
}

/* Many of one address, or of one IPv6 network. P6 is off for up to ten. */
enum { SYBILS = 24 };
static void sybils(sc *c, const uint8_t *ip, size_t n, bool all_one, unsigned many, bool out) {
  next_number = 1;
  begin(c, many);
  for (uint32_t i = 0; i < many; i++) {
    uint8_t a[16];
    memcpy(a, ip, n);
    if (!all_one) a[n - 1] = (uint8_t)i, a[n - 2] = (uint8_t)(i * 7);
    OK(msub_sim_address(c->s, ATTACKER + i, (msub_bytes){ a, n }));
  }
  arrive(c, many);
  for (uint32_t i = ATTACKER; i < ATTACKER + many; i++) sc_raw_graft(c, i, OURS, T);
  go_on(c, 3, NULL);
  unsigned in = 0;
  for (uint32_t i = ATTACKER; i < ATTACKER + many; i++) {
    in += member(c, i);
    CHECK((scores_at(c, OURS)->of[i] < graylist(c)) == out);
  }
  CHECK(out ? in == 0 : in > 0);
}
static const uint8_t ip4[4] = { 192, 0, 2, 1 }, ip6[16] = { 0x20, 0x01, 0x0d, 0xb8, 1, 2, 3, 4 };
static void sybils_ip4(sc *c) { sybils(c, ip4, 4, true, SYBILS, true); }
static void sybils_ip6(sc *c) { sybils(c, ip6, 16, false, SYBILS, true); }
static void household_ip4(sc *c) { sybils(c, ip4, 4, true, 10, false); }
static void household_ip6(sc *c) { sybils(c, ip6, 16, false, 10, false); }

/* One address, and another id whenever the last one is not heard any more. The first has a place in the mesh and three invalid messages, each later
 * one none and two. An honest peer behind the same NAT that was there before is not touched; one that comes after them loses the mesh for a while, hears
 * gossip all the time, is heard, and then is a member like any. */
enum { IDS = 8, BEFORE = ATTACKER + IDS, AFTER };
static uint32_t wicked;
static void rotate(sc *c) {
  next_number = 1;
  begin(c, IDS);
  OK(msub_validator(sc_engine(c, OURS), sc_topic(c, OURS, T), judge, NULL));
  sc_add(c, 2);
  sc_join_range(c, BEFORE, 2, T);
  for (uint32_t i = ATTACKER; i <= AFTER; i++) OK(msub_sim_address(c->s, i, (msub_bytes){ ip4, 4 }));
  for (uint32_t i = OURS; i < OTHERS; i++) sc_connect(c, BEFORE, i);
  go_on(c, 2, NULL);
  for (wicked = ATTACKER; wicked < BEFORE; wicked++) {
    bool first = wicked == ATTACKER;
    sc_connect(c, wicked, OURS);
    sc_run(c, 100 * MS);
    sc_raw_sub(c, wicked, OURS, T, true);
    sc_raw_graft(c, wicked, OURS, T);
    sc_run(c, 100 * MS);
    double now = scores_at(c, OURS)->of[wicked];
    CHECK(first ? now >= 0 : now < -9 && now >= -10);
    CHECK_EQ(member(c, wicked), first);
    unsigned sent = 0;
    for (; scores_at(c, OURS)->of[wicked] >= graylist(c); sent++) {
      CHECK(sent < 4);
      sc_raw_message(c, wicked, OURS, T, 1000000 + wicked * 10 + sent, 100);
      sc_run(c, 10 * MS);
    }
    CHECK_EQ(sent, first ? 3 : 2);
    OK(msub_sim_disconnect(c->s, wicked, OURS, 0));
    go_on(c, 2, NULL);
    CHECK(scores_at(c, OURS)->of[BEFORE] >= 0);
  }
  for (uint32_t i = OURS; i < OTHERS; i++) sc_connect(c, AFTER, i);
  sc_run(c, 100 * MS);
  double least = scores_at(c, OURS)->of[AFTER];
  CHECK(least < 0 && least >= -c->gs.score->params.address_most && least > c->gs.score->thresholds.gossip);
  CHECK(!member(c, AFTER));
  unsigned back = 0;
  for (; back < 95 && !(scores_at(c, OURS)->of[AFTER] >= 0); back++) {
    go_on(c, 1, NULL);
    CHECK(scores_at(c, OURS)->of[AFTER] >= least);
  }
  CHECK(back < 95);
  go_on(c, 5, NULL);
  c->n_got = 0;
  sc_publish(c, AFTER, T, next_number, 100);
  sc_run(c, 2 * SEC);
  CHECK_EQ(sc_times(c, OURS, next_number), 1);
  next_number++;
}

/* Signed topics: a signature that is none, by an author who is somebody else. */
static void forge(sc *c, unsigned second) {
  static uint8_t wire[1024];
  uint8_t data[8] = { 0, 0, 0, 1, 0, 0, 0, (uint8_t)second }, seqno[8] = { 0, 0, 0, 0, 0, 0, 1, (uint8_t)second }, bad[64] = { 1 };
  msub_msg_view v = { .from = msub_sim_id(c->s, 1), .seqno = { seqno, 8 }, .signature = { bad, 64 }, .data = { data, 8 }, .topic = msub_str(T),
                      .present = MSUB_HAS_DATA | MSUB_HAS_TOPIC | MSUB_HAS_FROM | MSUB_HAS_SEQNO | MSUB_HAS_SIGNATURE };
  size_t n = msub_msg_encode(&v, NULL, 0), head = 1 + msub_varint_size(n);
  wire[0] = 0x12;
  msub_varint_put(wire + 1, n);
  msub_msg_encode(&v, wire + head, n);
  OK(msub_sim_raw_send(c->s, ATTACKER, OURS, NULL, (msub_bytes){ wire, head + n }));
}
static void forged(sc *c) {
  c->n.up_bytes_s = c->n.down_bytes_s = 0;
  sc_begin(c);
  sc_add(c, OTHERS);
  sc_join_range(c, 0, OTHERS, T);
  OK(msub_sim_connect_all(c->s, 0, OTHERS));
  sc_add_raw(c, sc_v12);
  arrive(c, 1);
  sc_raw_graft(c, ATTACKER, OURS, T);
  next_number = 1;
  go_on(c, 5, forge);
  CHECK(scores_at(c, OURS)->of[ATTACKER] < graylist(c) && !member(c, ATTACKER));
  CHECK(scores_at(c, OURS)->of[1] >= 0); /* whose name it used */
  go_on(c, 50, forge);
  CHECK(scores_at(c, OURS)->of[ATTACKER] < graylist(c));
}

/* ---- opportunistic grafting: a mesh of peers that forward nothing is opened to ones that do ---- */

enum { GOOD = 10, IDLE = 40 };
static msub_score_opts idle_score;
static msub_topic_score idle_topic;
static void opportunistic(sc *c) {
  next_number = 1;
  c->numbers = true;
  c->n.up_bytes_s = c->n.down_bytes_s = 0;
  /* Only what was brought first counts, as in the reference's test: nobody is thrown out. */
  idle_topic = (msub_topic_score){ .weight = 1, .time_in_mesh_weight = 0.0002777, .time_in_mesh_quantum_ns = SEC, .time_in_mesh_cap = 3600,
    .first_message_deliveries_weight = 100, .first_message_deliveries_decay = 0.99997, .first_message_deliveries_cap = 1000,
    .invalid_message_deliveries_decay = 0.99997 };
  idle_score = (msub_score_opts){ .params = { .app_specific_weight = 1, .decay_interval_ns = SEC, .decay_to_zero = 0.01, .retain_ns = 10 * SEC, .topic = &idle_topic },
    .thresholds = { .gossip = -10, .publish = -100, .graylist = -10000, .opportunistic_graft = 1 } };
  c->gs.score = &idle_score;
  c->gs.mesh.flood_publish = true;
  c->gs.opportunistic_ticks = 2;
  sc_begin(c);
  sc_add(c, GOOD);
  for (unsigned i = 0; i < IDLE; i++) sc_add_raw(c, sc_v12);
  sc_join_range(c, 0, GOOD, T);
  for (uint32_t i = GOOD; i < GOOD + IDLE; i++)
    for (uint32_t k = 0; k < GOOD; k++) sc_connect(c, i, k);
  sc_run(c, SEC);
  for (uint32_t i = GOOD; i < GOOD + IDLE; i++)
    for (uint32_t k = 0; k < GOOD; k++) {
      sc_raw_sub(c, i, k, T, true);
      sc_raw_graft(c, i, k, T);
    }
  sc_run(c, 2 * SEC);
  for (uint32_t k = 0; k < GOOD; k++) CHECK(sc_with_role(c, k, T, MSUB_ROLE_MESH) >= 5);
  OK(msub_sim_connect_all(c->s, 0, GOOD));
  sc_run(c, SEC);
  for (unsigned s = 0; s < 60; s++) {
    for (unsigned k = 0; k < 10; k++) {
      sc_publish(c, k, T, next_number++, 100);
      sc_run(c, 100 * MS);
    }
    c->n_heard = 0;
  }
  for (uint32_t k = 0; k < GOOD; k++) {
    unsigned good = 0;
    for (uint32_t i = 0; i < GOOD; i++) good += i != k && (sc_roles(c, k, i, T) & MSUB_ROLE_MESH);
    CHECK(good >= 3);
  }
}

const sc_scenario sc_scenarios[] = { { "score-several-small", several_small },
                                     { "score-one-small", one_small },
                                     { "score-several-large", several_large },
                                     { "score-one-large", one_large },
                                     { "score-silent", silent },
                                     { "score-invalid", invalid },
                                     { "score-graft-flood", graft_flood },
                                     { "score-regraft-loop", regraft_loop },
                                     { "score-promises", promises },
                                     { "score-sybils-ip4", sybils_ip4 },
                                     { "score-sybils-ip6", sybils_ip6 },
                                     { "score-household-ip4", household_ip4 },
                                     { "score-household-ip6", household_ip6 },
                                     { "score-forged", forged },
                                     { "score-rotate", rotate },
                                     { "score-opportunistic-graft", opportunistic },
                                     { NULL, NULL } };
