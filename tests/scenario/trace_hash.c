/* Prints the trace hash of a fixed simulation in which a bit of everything happens. It is the same for every
 * compiler and every level of optimisation: trace_hash.cmake builds this program in four ways and compares. */
#include <stdio.h>
#include <stdlib.h>
#include "meshsub/gossipsub.h"
#include "meshsub/sim.h"

#define MUST(c) ((c) ? (void)0 : (fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #c), exit(1)))
enum { GOSSIP = 60, FLOOD = 10, ALL = GOSSIP + FLOOD };

static msub_topic topics[ALL];

static void join(msub_sim *s, uint32_t node) {
  MUST(msub_join(msub_sim_engine(s, node), 0, msub_str("topic"), NULL, NULL, msub_sim_now(s, node),
                 &topics[node]) == MSUB_OK);
}

static void link_of(void *ud, uint32_t from, uint32_t to, msub_sim_link *io) {
  (void)ud;
  io->latency_ns += (uint64_t)((from * 7 + to * 13) % 40) * MSUB_SIM_MS;
}

int main(void) {
  static uint8_t data[3000];
  msub_sim_opts o;
  msub_sim_opts_init(&o);
  o.seed = 2024;
  o.link = (msub_sim_link){ 5 * MSUB_SIM_MS, 3 * MSUB_SIM_MS, 30000 };
  o.link_of = link_of;
  msub_gossipsub_opts gs;
  msub_gossipsub_opts_init(&gs);
  gs.peer_exchange = true;
  const msub_sim_router gossipsub = { &msub_gossipsub, &gs }, floodsub = { &msub_floodsub, NULL };
  msub_sim_node_opts n;
  msub_sim_node_opts_init(&n);
  n.n_routers = 1;
  n.dial_hints = n.rendezvous = true;
  n.up_bytes_s = 500000;
  n.down_bytes_s = 2000000;
  n.cpu_ppm = 1000000;
  msub_sim *s;
  MUST(msub_sim_new(&o, &s) == MSUB_OK);
  n.routers = &gossipsub;
  MUST(msub_sim_add(s, &n, GOSSIP, NULL) == MSUB_OK);
  n.routers = &floodsub;
  MUST(msub_sim_add(s, &n, FLOOD, NULL) == MSUB_OK);
  for (uint32_t i = 0; i < ALL; i++) join(s, i);
  MUST(msub_sim_connect_random(s, 0, ALL, 4) == MSUB_OK);
  MUST(msub_sim_run_for(s, 5 * MSUB_SIM_S) == MSUB_OK);
  uint32_t sent = 0;
  for (uint32_t i = 0; i < 100; i++) {
    uint32_t node = msub_sim_rand(s, MSUB_SIM_NOBODY, 1, ALL);
    data[0] = (uint8_t)i;
    if (i % 10 == 5) {
      MUST(msub_sim_crash(s, node) == MSUB_OK);
      MUST(msub_sim_run_for(s, MSUB_SIM_S) == MSUB_OK);
      MUST(msub_sim_restart(s, node) == MSUB_OK);
      join(s, node);
      for (uint32_t k = 1; k < 4; k++) MUST(msub_sim_connect(s, node, (node + k * 11) % ALL, 0) == MSUB_OK);
    } else {
      size_t size = 10 + msub_sim_rand(s, MSUB_SIM_NOBODY, 2, sizeof data - 10);
      sent += msub_publish(msub_sim_engine(s, node), topics[node], (msub_bytes){ data, size }, msub_sim_now(s, node),
                           NULL) == MSUB_OK;
    }
    MUST(msub_sim_run_for(s, 100 * MSUB_SIM_MS) == MSUB_OK);
  }
  MUST(msub_sim_run_for(s, 10 * MSUB_SIM_S) == MSUB_OK);
  const msub_sim_counts *c = msub_sim_count(s);
  MUST(sent > 80 && c->lost > 0 && c->hints_dialled > 0 && c->jobs > 0);
  uint8_t hash[16];
  msub_sim_hash(s, hash);
  for (unsigned i = 0; i < sizeof hash; i++) printf("%02x", hash[i]);
  printf(" %llu events, %llu bytes\n", (unsigned long long)(c->rpcs + c->timers), (unsigned long long)c->bytes);
  MUST(msub_sim_free(s) == MSUB_OK);
  return 0;
}
