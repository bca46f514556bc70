/* Partial messages in whole networks: holes that are filled, gossip of groups, all pairs of modes, a flood. */
#include "scenario.h"
#include "meshsub/partial.h"
#include <stdlib.h>
#include <string.h>

#define T "topic"
enum { PARTS = 64, PART = 256, MOST = 40 };

/* A node's message: a bitmap of the parts that it has; of content the first byte would do, but bytes are what is counted. */
typedef struct owner {
  sc *c;
  uint32_t node;
  uint64_t have;
  unsigned takes, refused;
  bool lazy;
} owner;
static owner owners[MOST];
typedef struct known { uint64_t has, told; uint8_t spoke, said; } known;
static const msub_bytes group = { (const uint8_t *)"group", 5 };

static void put64(uint8_t *p, uint64_t x) {
  for (unsigned i = 0; i < 8; i++) p[i] = (uint8_t)(x >> 8 * i);
}
static uint64_t get64(const uint8_t *p) {
  uint64_t x = 0;
  for (unsigned i = 0; i < 8; i++) x |= (uint64_t)p[i] << 8 * i;
  return x;
}
static unsigned count(uint64_t x) {
  unsigned n = 0;
  for (; x; x &= x - 1) n++;
  return n;
}
static void give(const msub_channel *c, msub_bytes g, msub_partial_peer *p, msub_partial_out *out) {
  static uint8_t message[8 + PARTS * PART], metadata[8];
  const owner *o = c->ctx;
  known *k = p->state;
  (void)g;
  uint64_t send = p->requests && (k->spoke || !o->lazy) ? o->have & ~k->has : 0;
  if (send) {
    put64(message, send);
    out->message = (msub_bytes){ message, 8 + count(send) * (size_t)PART };
    k->has |= send;
  }
  if (k->said && k->told == o->have && k->spoke) return;
  put64(metadata, o->have);
  out->metadata = (msub_bytes){ metadata, 8 };
  k->told = o->have;
  k->said = 1;
}
static void gossip(const msub_channel *c, msub_bytes g, msub_partial_peer *p, msub_partial_out *out) {
  static uint8_t metadata[8];
  const owner *o = c->ctx;
  known *k = p->state;
  (void)g;
  put64(metadata, o->have);
  out->metadata = (msub_bytes){ metadata, 8 };
  k->told = o->have;
  k->said = 1;
}
static msub_verdict take(const msub_channel *c, msub_bytes g, msub_partial_peer *p, msub_bytes message, msub_bytes metadata) {
  owner *o = c->ctx;
  known *k = p->state;
  uint64_t before = o->have;
  o->takes++;
  if (!msub_bytes_eq(g, group)) return MSUB_IGNORE;
  if ((message.n && (message.n < 8 || message.n != 8 + count(get64(message.p)) * (size_t)PART)) || (metadata.n && metadata.n != 8)) {
    o->refused++;
    return MSUB_REJECT;
  }
  if (message.n) {
    o->have |= get64(message.p);
    k->has |= get64(message.p);
  }
  if (metadata.n) {
    k->has |= get64(metadata.p);
    k->spoke = 1;
  }
  if (o->have != before || k->has != o->have || !k->said) (void)msub_partial_publish(c->engine, c->topic, g, NULL, NULL, 0, NULL);
  return MSUB_ACCEPT;
}

#define OPS(m) { .abi = MSUB_ABI, .size = sizeof(msub_partial_ops), .mode = m, .state_bytes = sizeof(known), .take = take, .give = give, .gossip = gossip }
static const msub_partial_ops modes[] = { OPS(MSUB_PARTIAL_NONE), OPS(MSUB_PARTIAL_SUPPORTS), OPS(MSUB_PARTIAL_REQUESTS) };
static msub_channel_policy policies[3];

static void prepare(sc *c, uint32_t nodes) {
  c->numbers = true;
  c->gs.extensions.partial = c->gs.extensions.test = true;
  c->n.lane_bytes[MSUB_LANE_FORWARD] = 4 << 20;
  for (unsigned m = 0; m < 3; m++) {
    policies[m] = c->policy;
    policies[m].partial = &modes[m];
  }
  sc_begin(c);
  sc_add(c, nodes);
  memset(owners, 0, sizeof owners);
  for (uint32_t i = 0; i < nodes; i++) owners[i] = (owner){ .c = c, .node = i };
}
static void join(sc *c, uint32_t node, msub_partial_mode mode) {
  msub_topic t;
  OK(msub_join(sc_engine(c, node), 0, msub_str(T), &policies[mode], &owners[node], sc_now(c, node), &t));
}
static void offer(sc *c, uint32_t node) {
  OK(msub_partial_publish(sc_engine(c, node), sc_topic(c, node, T), group, NULL, NULL, 0, sc_now(c, node)));
}
static uint64_t sent(const sc *c, uint32_t nodes) {
  uint64_t n = 0;
  for (uint32_t i = 0; i < nodes; i++) n += msub_sim_traffic_of(c->s, i).bytes_out;
  return n;
}
static msub_partial_usage usage(sc *c, uint32_t node) {
  msub_partial_usage u;
  OK(msub_partial_usage_of(sc_engine(c, node), 0, sc_now(c, node), &u));
  return u;
}

/* Every node lacks a quarter of the parts, each another one: all get all, with less bytes than the whole message takes. */
static void fills_holes(sc *c) {
  for (unsigned lazy = 0; lazy < 2; lazy++) {
    if (lazy) OK(msub_sim_free(c->s));
    c->n_got = 0;
    prepare(c, MOST);
    sc_join_range(c, 0, MOST, "whole");
    for (uint32_t i = 0; i < MOST; i++) {
      owners[i].lazy = true;
      owners[i].have = ~(UINT64_C(0xffff) << i % 49);
      join(c, i, MSUB_PARTIAL_REQUESTS);
    }
    if (!lazy) { /* one has all, the others nothing, and it does not wait until it is asked */
      for (uint32_t i = 0; i < MOST; i++) owners[i].have = i ? 0 : UINT64_MAX;
      owners[0].lazy = false;
    }
    OK(msub_sim_connect_regular(c->s, 0, MOST, 10));
    sc_run(c, 5 * SEC);
    uint64_t idle = sent(c, MOST);
    sc_run(c, 3 * SEC);
    idle = sent(c, MOST) - idle;
    uint64_t before = sent(c, MOST);
    sc_publish(c, 0, "whole", 1, PARTS * PART);
    sc_run(c, 3 * SEC);
    ALL_GOT(c, 0, MOST, 1);
    uint64_t whole = sent(c, MOST) - before - idle;
    before = sent(c, MOST);
    if (lazy) for (uint32_t i = 0; i < MOST; i++) offer(c, i);
    else offer(c, 0);
    sc_run(c, 3 * SEC);
    for (uint32_t i = 0; i < MOST; i++) CHECK(owners[i].have == UINT64_MAX && owners[i].refused == 0);
    uint64_t parts = sent(c, MOST) - before - idle;
    if (lazy && parts * 3 > whole * 2) fprintf(stderr, "%llu bytes instead of %llu: ", (unsigned long long)parts, (unsigned long long)whole);
    if (lazy) CHECK(parts * 3 < whole * 2);
    sc_run(c, 5 * SEC);
    for (uint32_t i = 0; i < MOST; i++) CHECK(usage(c, i).groups == 0 && usage(c, i).states == 0);
  }
}

/* No mesh: the heartbeat tells of the group, and nothing was in the cache. */
static void by_gossip(sc *c) {
  c->gs.mesh.d = c->gs.mesh.dlo = c->gs.mesh.dhi = c->gs.mesh.dout = c->gs.mesh.dscore = 0;
  prepare(c, 30);
  for (uint32_t i = 0; i < 30; i++) {
    owners[i].lazy = true;
    owners[i].have = i ? 0 : UINT64_MAX;
    join(c, i, MSUB_PARTIAL_REQUESTS);
  }
  OK(msub_sim_connect_all(c->s, 0, 30));
  sc_run(c, 3 * SEC);
  for (unsigned beat = 0; beat < 8; beat++) {
    offer(c, 0);
    sc_run(c, 1 * SEC);
  }
  for (uint32_t i = 0; i < 30; i++) CHECK(owners[i].have == UINT64_MAX);
}

/* Two nodes of each pair of modes; both directions: a message arrives exactly once, whole or in parts. */
static void pairwise(sc *c) {
  uint32_t node = 0;
  prepare(c, 18);
  for (unsigned a = 0; a < 3; a++)
    for (unsigned b = 0; b < 3; b++, node += 2) {
      join(c, node, (msub_partial_mode)a);
      join(c, node + 1, (msub_partial_mode)b);
      sc_connect(c, node, node + 1);
    }
  sc_run(c, 3 * SEC);
  for (uint32_t i = 0; i < 18; i++) {
    uint32_t other = i ^ 1, number = 100 + i;
    unsigned mine = i % 2 ? i / 2 % 3 : i / 6, theirs = i % 2 ? i / 6 : i / 2 % 3;
    bool in_parts = mine != MSUB_PARTIAL_NONE && theirs == MSUB_PARTIAL_REQUESTS;
    owners[i].have = UINT64_MAX;
    owners[other].have = 0;
    c->n_got = 0;
    sc_publish(c, i, T, number, 2000);
    if (mine != MSUB_PARTIAL_NONE) offer(c, i);
    sc_run(c, 2 * SEC);
    CHECK_EQ(sc_times(c, other, number), !in_parts);
    CHECK_EQ(owners[other].have == UINT64_MAX, in_parts);
    sc_run(c, 6 * SEC); /* the group is over */
  }
  for (uint32_t i = 0; i < 18; i++) CHECK_EQ(msub_count(sc_engine(c, i))->extensions_late, 0);
}

/* Endless groups, of great size, from a peer that speaks by hand: bounded, and the honest go on. */
static void flood(sc *c) {
  static const char *const v13[] = { "/meshsub/1.3.0", NULL };
  enum { OURS, HONEST, ATTACKER };
  c->n.up_bytes_s = c->n.down_bytes_s = 0; /* nothing waits in the links */
  prepare(c, 2);
  sc_add_raw(c, v13);
  for (uint32_t i = 0; i < 2; i++) {
    owners[i].lazy = true;
    join(c, i, MSUB_PARTIAL_REQUESTS);
    sc_connect(c, i, 1 - i);
  }
  sc_connect(c, ATTACKER, OURS);
  sc_run(c, 1 * SEC);
  sc_raw_ctl(c, ATTACKER, OURS, &(msub_ctl_entry){ .kind = MSUB_C_EXTENSIONS, .flags = MSUB_EXT_PARTIAL }, (const char *const[]){ NULL }, 1);
  sc_raw_sub(c, ATTACKER, OURS, T, true);
  sc_run(c, 2 * SEC);
  size_t baseline = sc_memory(), peak = 0;
  static uint8_t big[200 << 10];
  uint32_t number = 0;
  for (unsigned round = 0; round < 50; round++) {
    for (unsigned i = 0; i < 200; i++) {
      number++;
      msub_bytes parts[3] = { { (const uint8_t *)&number, 4 }, { big, i % 50 ? 10 : sizeof big }, { big, 9 } };
      sc_raw_ctl(c, ATTACKER, OURS, &(msub_ctl_entry){ .kind = MSUB_C_PARTIAL, .ids = parts, .n_ids = 3 }, (const char *const[]){ T }, 1);
    }
    sc_run(c, 100 * MS);
    if (sc_memory() > peak) peak = sc_memory();
    msub_partial_usage u = usage(c, OURS);
    CHECK(u.foreign <= 9 && u.states <= 20 && u.bytes < 16384); /* eight of it, one of the honest */
    if (round % 10) continue;
    owners[OURS].have = 0;
    owners[HONEST].have = UINT64_MAX;
    offer(c, HONEST);
    sc_run(c, 5 * SEC);
    CHECK(owners[OURS].have == UINT64_MAX);
  }
  if (peak - baseline >= 4u << 20) fprintf(stderr, "%zu bytes more: ", peak - baseline);
  CHECK(peak - baseline < 4u << 20);
  CHECK(usage(c, OURS).over_groups > 5000);
  CHECK(msub_sim_connected(c->s, ATTACKER, OURS));
  OK(msub_sim_disconnect(c->s, ATTACKER, OURS, 0));
  sc_run(c, 10 * SEC);
  CHECK(usage(c, OURS).groups == 0 && usage(c, OURS).states == 0);
}

const sc_scenario sc_scenarios[] = { { "partial-fills-holes", fills_holes },
                                     { "partial-gossip", by_gossip },
                                     { "partial-pairwise", pairwise },
                                     { "partial-flood", flood },
                                     { NULL, NULL } };
