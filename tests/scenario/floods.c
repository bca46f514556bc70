/* A peer that sends more than anybody needs: memory and work stay bounded, the others go on, and when it is gone
 * nothing is left. And what looks like a flood but is what stock peers send: it is taken. */
#include "scenario.h"
#include <stdlib.h>
#include <string.h>

#define T "topic"
enum { OURS, ATTACKER, HONEST, NODES = 4 };
static size_t baseline;
static uint32_t next_number;

static uint64_t live_frames(const sc *c) { return msub_count(sc_engine(c, OURS))->rpcs_in; }

/* Node 0 is ours, node 1 the attacker, 2 and 3 are honest; all are in the topic. */
static void begin(sc *c) {
  c->numbers = true;
  c->n.up_bytes_s = c->n.down_bytes_s = 0;
  sc_begin(c);
  sc_add(c, 1);
  sc_add_raw(c, sc_v12);
  sc_add(c, NODES - HONEST);
  sc_join(c, OURS, T);
  sc_join_range(c, HONEST, NODES - HONEST, T);
  for (uint32_t i = 1; i < NODES; i++) sc_connect(c, i, OURS);
  sc_run(c, 100 * MS);
  sc_raw_sub(c, ATTACKER, OURS, T, true);
  sc_run(c, 3 * SEC);
  baseline = sc_memory();
  next_number = 1000000;
}

/* Honest traffic through node 0 goes on. */
static void honest(sc *c) {
  c->n_got = 0;
  sc_publish(c, HONEST, T, next_number, 100);
  sc_run(c, 50 * MS);
  CHECK_EQ(sc_times(c, HONEST + 1, next_number), 1);
  next_number++;
}

/* Ten seconds of it, a tenth each time. */
static void flood(sc *c, void (*some)(sc *c, unsigned round), size_t most) {
  size_t peak = 0;
  for (unsigned round = 0; round < 100; round++) {
    if (msub_sim_connected(c->s, ATTACKER, OURS)) some(c, round);
    honest(c);
    sc_run(c, 50 * MS);
    if (sc_memory() > peak) peak = sc_memory();
    c->n_heard = c->n_heard > 500000 ? 0 : c->n_heard; /* what it hears is no concern of ours */
  }
  size_t more = peak > baseline ? peak - baseline : 0;
  if (more > most) fprintf(stderr, "%zu bytes more: ", more);
  CHECK(more <= most);
}

/* The attacker is gone, and what was kept because of it with its time. */
static void over(sc *c) {
  OK(msub_sim_disconnect(c->s, ATTACKER, OURS, 0));
  sc_run(c, 200 * SEC);
  honest(c);
  size_t left = sc_memory() > baseline ? sc_memory() - baseline : 0;
  if (left > 256 << 10) fprintf(stderr, "%zu bytes are left: ", left);
  CHECK(left <= 256 << 10);
}

/* ---- floods ---- */

static void many_ihaves(sc *c, unsigned round) {
  static uint32_t ids[5000];
  for (unsigned k = 0; k < 5; k++) {
    for (uint32_t i = 0; i < 5000; i++) ids[i] = (round * 5 + k) * 5000 + i;
    sc_raw_ids(c, ATTACKER, OURS, MSUB_C_IHAVE, T, ids, 5000);
  }
}
static void ihave(sc *c) {
  begin(c);
  flood(c, many_ihaves, 4 << 20);
  unsigned asked = sc_heard_count(c, ATTACKER, MSUB_C_IWANT, NULL, SC_ANY);
  CHECK(asked > 0 && asked <= 11 * 5000); /* of the 2,500,000: so many in a heartbeat at most */
  over(c);
}

static void many_iwants(sc *c, unsigned round) {
  static uint32_t ids[5000];
  for (uint32_t i = 0; i < 5000; i++) ids[i] = i % 2 ? 7 : round * 5000 + i;
  for (unsigned k = 0; k < 5; k++) sc_raw_ids(c, ATTACKER, OURS, MSUB_C_IWANT, NULL, ids, 5000);
}
static void iwant(sc *c) {
  c->prune_grafts = true;
  begin(c);
  sc_publish(c, OURS, T, 7, 1000);
  flood(c, many_iwants, 4 << 20);
  CHECK(sc_heard_count(c, ATTACKER, SC_MESSAGE, T, 7) <= c->gs.retransmissions);
  over(c);
}

/* it knows the ids of large messages, of which it was told nothing. */
static void many_known(sc *c, unsigned round) {
  uint32_t ids[10];
  sc_publish(c, OURS, T, 5000 + round, 10000);
  for (uint32_t i = 0; i < 10; i++) ids[i] = 5000 + round - i % (round + 1);
  for (unsigned k = 0; k < 10; k++) sc_raw_ids(c, ATTACKER, OURS, MSUB_C_IWANT, NULL, ids, 10);
}
static void iwant_amplification(sc *c) {
  c->prune_grafts = true;
  begin(c);
  sc_raw_sub(c, ATTACKER, OURS, T, false);
  sc_run(c, 100 * MS);
  c->n_heard = 0;
  flood(c, many_known, 4 << 20);
  CHECK_EQ(sc_heard_count(c, ATTACKER, SC_MESSAGE, NULL, SC_ANY), 0);
  const msub_counts *n = msub_count(sc_engine(c, OURS));
  CHECK(n->asks_unadvertised > 1000 && n->served == 0 && n->blamed == 0);
  over(c);
}

static void many_grafts(sc *c, unsigned round) {
  char name[32];
  for (unsigned k = 0; k < 200; k++) sc_raw_graft(c, ATTACKER, OURS, T);
  for (unsigned k = 0; k < 200; k++) {
    snprintf(name, sizeof name, "unknown %u", round * 200 + k);
    sc_raw_graft(c, ATTACKER, OURS, name);
  }
}
static void graft(sc *c) {
  c->prune_grafts = true; /* so that it is in backoff from the beginning */
  begin(c);
  CHECK(!(sc_roles(c, OURS, ATTACKER, T) & MSUB_ROLE_MESH));
  flood(c, many_grafts, 4 << 20);
  CHECK(!(sc_roles(c, OURS, ATTACKER, T) & MSUB_ROLE_MESH));
  msub_usage u;
  msub_usage_of(sc_engine(c, OURS), &u);
  CHECK_EQ(u.topics, 1);
  over(c);
}

static void many_prunes(sc *c, unsigned round) {
  static msub_px px[1000];
  static uint8_t ids[1000][40];
  char name[32];
  for (unsigned i = 0; i < 1000; i++) {
    memset(ids[i], 0, sizeof ids[i]);
    ids[i][0] = (uint8_t)round, ids[i][1] = (uint8_t)i, ids[i][2] = (uint8_t)(i >> 8);
    px[i] = (msub_px){ .peer_id = { ids[i], sizeof ids[i] }, .record = msub_str("no record at all") };
  }
  const char *t = T;
  sc_raw_ctl(c, ATTACKER, OURS, &(msub_ctl_entry){ .kind = MSUB_C_PRUNE, .backoff_s = UINT64_MAX - round, .n_px = 1000,
                                                   .px = px }, &t, 1);
  for (unsigned k = 0; k < 200; k++) {
    snprintf(name, sizeof name, "unknown %u", round * 200 + k);
    sc_raw_prune(c, ATTACKER, OURS, name, round);
  }
}
static void prune(sc *c) {
  c->n.dial_hints = true;
  begin(c);
  flood(c, many_prunes, 4 << 20);
  CHECK(msub_sim_count(c->s)->hints <= 100 * 16); /* of the 100,000 */
  uint64_t left = sc_backoff(c, OURS, ATTACKER, T);
  CHECK(left > 0 && left <= c->gs.max_backoff_ns);
  over(c);
}

static void many_idontwants(sc *c, unsigned round) {
  uint32_t ids[100];
  for (unsigned k = 0; k < 300; k++) {
    for (uint32_t i = 0; i < 100; i++) ids[i] = (round * 300 + k) * 100 + i;
    sc_raw_ids(c, ATTACKER, OURS, MSUB_C_IDONTWANT, NULL, ids, 100);
  }
}
static void idontwant(sc *c) {
  begin(c);
  flood(c, many_idontwants, 4 << 20);
  over(c);
}

static void many_subscriptions(sc *c, unsigned round) {
  static uint8_t buf[1 << 20];
  static msub_ctl_entry e[2000];
  static msub_bytes names[2000];
  static char text[2000][64];
  for (unsigned i = 0; i < 2000; i++) {
    e[i] = (msub_ctl_entry){ .kind = round % 3 == 2 ? MSUB_C_UNSUB : MSUB_C_SUB };
    snprintf(text[i], sizeof text[i], "a topic that only one peer has, number %u",
             round / 3 * 4000 + round % 2 * 2000 + i);
    names[i] = msub_str(text[i]);
  }
  size_t n = msub_ctl_encode(e, names, 2000, buf, sizeof buf);
  OK(msub_sim_raw_send(c->s, ATTACKER, OURS, NULL, (msub_bytes){ buf, n }));
}
static void subscriptions(sc *c) {
  begin(c);
  flood(c, many_subscriptions, 4 << 20);
  msub_usage u;
  msub_usage_of(sc_engine(c, OURS), &u);
  CHECK(u.topics <= 1025);
  over(c);
}

static void many_messages(sc *c, unsigned round) {
  for (uint32_t i = 0; i < 200; i++)
    sc_raw_message(c, ATTACKER, OURS, i % 2 ? T : "not joined", 5000000 + round * 200 + i, 1000);
  /* the same one again and again */
  for (uint32_t i = 0; i < 200; i++) sc_raw_message(c, ATTACKER, OURS, T, 5000000, 1000);
}
static void messages(sc *c) {
  c->gs.cache_bytes = 1 << 20;
  c->engine.seen_bytes = 64 << 10;
  begin(c);
  flood(c, many_messages, 8 << 20);
  over(c);
}

/* ---- what stock peers send ---- */

static void large_ihave_is_taken(sc *c) {
  static uint8_t ids[5000][45], buf[512 << 10];
  static msub_bytes views[5000];
  begin(c);
  for (uint32_t i = 0; i < 5000; i++) {
    for (unsigned k = 0; k < 4; k++) ids[i][k] = (uint8_t)(i >> (24 - 8 * k));
    views[i] = (msub_bytes){ ids[i], sizeof ids[i] };
  }
  msub_bytes name = msub_str(T);
  size_t n = msub_ctl_encode(&(msub_ctl_entry){ .kind = MSUB_C_IHAVE, .n_ids = 5000, .ids = views }, &name, 1, buf,
                             sizeof buf);
  CHECK(n > 230000 && n <= sizeof buf);
  OK(msub_sim_raw_send(c->s, ATTACKER, OURS, NULL, (msub_bytes){ buf, n }));
  uint64_t was = live_frames(c);
  sc_run(c, SEC);
  CHECK(live_frames(c) > was && msub_count(sc_engine(c, OURS))->rpcs_over_limit == 0 &&
        msub_sim_count(c->s)->resets == 0);
  CHECK(sc_heard_count(c, ATTACKER, MSUB_C_IWANT, NULL, SC_ANY) >= 500);
}

static void large_hello_is_taken(sc *c) {
  begin(c);
  many_subscriptions(c, 0); /* 2,000 subscriptions in one RPC of 100 kB */
  sc_run(c, SEC);
  CHECK(msub_sim_count(c->s)->resets == 0 && msub_sim_connected(c->s, ATTACKER, OURS));
  msub_usage u;
  msub_usage_of(sc_engine(c, OURS), &u);
  CHECK(u.topics > 1000);
}

/* 5,000 messages in an RPC, as an answer to an IWANT may be. */
static void large_answer_is_taken(sc *c) {
  static uint8_t buf[1 << 20];
  begin(c);
  size_t at = 0;
  for (uint32_t i = 0; i < 5000; i++) {
    uint8_t data[16] = { (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
    msub_msg_view v = { .data = { data, sizeof data }, .topic = msub_str(T),
                        .present = MSUB_HAS_DATA | MSUB_HAS_TOPIC };
    size_t n = msub_msg_encode(&v, NULL, 0);
    buf[at++] = 0x12;
    at += msub_varint_put(buf + at, n);
    at += msub_msg_encode(&v, buf + at, sizeof buf - at);
  }
  OK(msub_sim_raw_send(c->s, ATTACKER, OURS, NULL, (msub_bytes){ buf, at }));
  sc_run(c, SEC);
  CHECK_EQ(sc_total(c, OURS), 5000);
  CHECK_EQ(sc_total(c, HONEST), 5000);
  for (uint32_t i = 0; i < 5000; i++) CHECK_EQ(c->got[i].number, i);
}

/* Two engines that never graft: all that one has goes to the other by IHAVE and IWANT. */
static bool never(const msub_channel *c, msub_session s) {
  (void)c, (void)s;
  return false;
}
static void gossip_alone(sc *c) {
  c->numbers = true;
  c->n.up_bytes_s = c->n.down_bytes_s = 0;
  c->gs.go_parity = true; /* asks for all at once */
  sc_begin(c);
  sc_add(c, 2);
  c->policy.may_graft = never;
  sc_join_range(c, 0, 2, T);
  sc_connect(c, 0, 1);
  sc_run(c, SEC);
  for (uint32_t i = 0; i < 3000; i++) sc_publish(c, 0, T, i, 20);
  sc_run(c, 3 * SEC);
  CHECK_EQ(sc_total(c, 1), 3000);
  CHECK_EQ(msub_count(sc_engine(c, 0))->served, 3000);
}

const sc_scenario sc_scenarios[] = { { "flood-ihave", ihave },
                                     { "flood-iwant", iwant },
                                     { "iwant-amplification", iwant_amplification },
                                     { "flood-graft", graft },
                                     { "flood-prune", prune },
                                     { "flood-idontwant", idontwant },
                                     { "flood-subscriptions", subscriptions },
                                     { "flood-messages", messages },
                                     { "large-ihave", large_ihave_is_taken },
                                     { "large-hello", large_hello_is_taken },
                                     { "large-answer", large_answer_is_taken },
                                     { "gossip-alone", gossip_alone },
                                     { NULL, NULL } };
