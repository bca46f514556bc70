/* tests/support/sim_net.h: a simulated network whose nodes write down what they get. */
#ifndef MSUB_TESTS_SIM_NET_H
#define MSUB_TESTS_SIM_NET_H
#include "meshsub/gossipsub.h"
#include "meshsub/sim.h"
#include "count_mem.h"

#define NET_MAX 64
#define NET_LOG 4096
typedef struct net_got { uint32_t node, from; uint64_t at; size_t n; uint8_t first; } net_got;
typedef struct net_conn { uint32_t node, peer; uint64_t at; msub_sim_what what; bool outbound; } net_conn;

typedef struct net {
  msub_sim *s;
  msub_sim_opts o;           /* a test may change it before net_start */
  msub_sim_node_opts n;
  msub_sim_router routers[2];
  msub_engine_opts engine;
  msub_gossipsub_opts gs;
  uint32_t count;
  msub_topic t[NET_MAX];
  net_got got[NET_LOG];
  size_t n_got;
  net_conn conn[NET_LOG];
  size_t n_conn;
  bool full;                 /* on_message answers false */
  count_mem mem;
} net;

void net_init(net *w, bool gossipsub);
void net_start(net *w, uint32_t count); /* makes the simulation and so many nodes */
void net_add(net *w, uint32_t count);
void net_join(net *w, uint32_t node, const char *topic); /* t[node] */
void net_join_all(net *w, const char *topic);
int net_publish(net *w, uint32_t node, uint8_t first, size_t n); /* n bytes, the first one given */
void net_run(net *w, uint64_t ns);
unsigned net_count(const net *w, uint32_t node); /* messages that a node got */
const net_got *net_find(const net *w, uint32_t node, uint8_t first); /* NULL */
uint64_t net_hash(const net *w);
void net_stop(net *w); /* frees; checks that nothing is left */
msub_mem net_mem(net *w); /* counts into w->mem */
#endif
