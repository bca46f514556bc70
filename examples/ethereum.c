/* examples/ethereum.c: blocks as Ethereum's consensus clients gossip them, among ten nodes in virtual time. ethereum_profile.h has the
 * policy: snappy on the wire, the altair ids, the mesh of the specification.
 *
 *   cc -I.. ethereum.c $(pkg-config --cflags --libs meshsub-sim meshsub-crypto snappy) -o ethereum && ./ethereum
 *
 * One node publishes a block; then a stranger's payload that is no snappy block, and a bomb that claims to become 10 MiB, are refused by
 * everybody. Exit status 1: somebody got something else. */
#include "examples/ethereum_profile.h"
#include <meshsub/sim.h>
#include <stdio.h>

enum { NODES = 10, STRANGER = NODES, ALL, BLOCK = 120000 };
static const char topic_name[] = "/eth2/6a95a1a9/beacon_block/ssz_snappy";

static uint8_t block[BLOCK];
static unsigned whole, other;
static size_t on_the_wire;
static uint8_t id[20];

/* The policy as it stands, and a hook of the program's own beside it. */
static bool deliver(const msub_channel *c, const msub_msg *m, msub_bytes payload, msub_peer from) {
  (void)c, (void)from;
  if (payload.n == BLOCK && memcmp(payload.p, block, BLOCK) == 0) whole++;
  else other++;
  on_the_wire = msub_data(m).n;
  memcpy(id, msub_id(m).p, sizeof id);
  return true;
}
/* What a stranger sends goes out as it is. */
static size_t as_it_is(const msub_channel *c, msub_bytes data, uint8_t *to, size_t cap) {
  (void)c;
  if (data.n <= cap) memcpy(to, data.p, data.n);
  return data.n;
}

static bool run(msub_sim *s) {
  static msub_channel_policy policy, strange;
  static const uint8_t garbage[] = { 0xde, 0xad, 0xbe, 0xef }, bomb[] = { 0x80, 0x80, 0x80, 0x05, 0x00 };
  msub_topic topics[ALL];
  policy = strange = ethereum_policy;
  policy.deliver = deliver;
  strange.payload_out = as_it_is;
  for (uint32_t i = 0; i < ALL; i++) {
    msub_engine *e = msub_sim_engine(s, i);
    const msub_now *now = msub_sim_now(s, i);
    int err = i == STRANGER ? msub_open(e, 0, msub_str(topic_name), &strange, NULL, now, &topics[i])
                            : msub_join(e, 0, msub_str(topic_name), &policy, NULL, now, &topics[i]);
    if (err != MSUB_OK) return false;
    for (uint32_t k = 0; k < i; k++) msub_sim_connect(s, i, k, 0);
  }
  msub_sim_run_until(s, 3 * MSUB_SIM_S);
  for (size_t i = 0; i < BLOCK; i++) block[i] = (uint8_t)(i % 251 ? i / 1000 : i);
  int err = msub_publish(msub_sim_engine(s, 0), topics[0], (msub_bytes){ block, BLOCK }, msub_sim_now(s, 0), NULL);
  msub_sim_run_until(s, 5 * MSUB_SIM_S);
  printf("a block of %d bytes, %zu on the wire, reached %u of %d nodes\nits id: ", BLOCK, on_the_wire, whole, NODES);
  for (size_t i = 0; i < sizeof id; i++) printf("%02x", id[i]);
  putchar('\n');
  if (err != MSUB_OK || whole != NODES || other || on_the_wire >= BLOCK / 4) return false;

  msub_publish(msub_sim_engine(s, STRANGER), topics[STRANGER], (msub_bytes){ garbage, sizeof garbage }, msub_sim_now(s, STRANGER), NULL);
  msub_publish(msub_sim_engine(s, STRANGER), topics[STRANGER], (msub_bytes){ bomb, sizeof bomb }, msub_sim_now(s, STRANGER), NULL);
  msub_sim_run_until(s, 8 * MSUB_SIM_S);
  uint64_t refused = 0;
  for (uint32_t i = 0; i < NODES; i++) refused += msub_count_reason(msub_sim_engine(s, i), MSUB_R_REJECTED);
  printf("two payloads that are no snappy blocks: refused %u times, delivered %u times\n", (unsigned)refused, other);
  return refused >= 2 && other == 0;
}

int main(void) {
  msub_gossipsub_opts g;
  msub_engine_opts e;
  msub_sim_opts o;
  msub_sim_node_opts n;
  msub_sim *s;
  ethereum_gossipsub_opts(&g);
  const msub_sim_router router = { &msub_gossipsub, &g };
  msub_sim_opts_init(&o);
  msub_sim_node_opts_init(&n);
  n.routers = &router;
  n.n_routers = 1;
  msub_engine_opts_init(&e);
  ethereum_engine_opts(&e);
  n.engine = &e;
  if (msub_sim_new(&o, &s) != MSUB_OK || msub_sim_add(s, &n, ALL, NULL) != MSUB_OK) return 1;
  bool good = run(s);
  good = msub_sim_free(s) == MSUB_OK && good;
  puts(good ? "as it should be" : "NOT as it should be");
  return good ? 0 : 1;
}
