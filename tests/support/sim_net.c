#include "sim_net.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(c) ((c) ? (void)0 : (fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #c), abort()))

msub_mem net_mem(net *w) { return count_mem_of(&w->mem); }

static bool on_message(void *ud, msub_sim *s, uint32_t node, msub_topic t, const msub_msg *m, uint32_t from) {
  net *w = ud;
  (void)t;
  if (w->full) return false;
  MUST(w->n_got < NET_LOG && msub_sim_now(s, node) == NULL);
  w->got[w->n_got++] = (net_got){ node, from, msub_sim_time(s), msub_data(m).n, msub_data(m).n ? msub_data(m).p[0]
                                  : 0 };
  return true;
}

static void on_connection(void *ud, msub_sim *s, uint32_t node, msub_sim_what what, uint32_t peer, bool outbound) {
  net *w = ud;
  MUST(w->n_conn < NET_LOG);
  w->conn[w->n_conn++] = (net_conn){ node, peer, msub_sim_time(s), what, outbound };
}

void net_init(net *w, bool gossipsub) {
  memset(w, 0, sizeof *w);
  msub_sim_opts_init(&w->o);
  w->o.seed = 11;
  w->o.link.latency_ns = 10 * MSUB_SIM_MS;
  msub_sim_node_opts_init(&w->n);
  msub_gossipsub_opts_init(&w->gs);
  msub_engine_opts_init(&w->engine);
  w->routers[0] = gossipsub ? (msub_sim_router){ &msub_gossipsub, &w->gs } : (msub_sim_router){ &msub_floodsub, NULL };
  w->n.routers = w->routers;
  w->n.n_routers = 1;
  w->n.engine = &w->engine;
  w->n.ud = w;
  w->n.on_message = on_message;
  w->n.on_connection = on_connection;
}

void net_add(net *w, uint32_t count) {
  uint32_t first;
  MUST(w->count + count <= NET_MAX && msub_sim_add(w->s, &w->n, count, &first) == MSUB_OK && first == w->count);
  w->count += count;
}

void net_start(net *w, uint32_t count) {
  msub_mem mem = net_mem(w);
  w->o.mem = &mem;
  MUST(msub_sim_new(&w->o, &w->s) == MSUB_OK);
  w->o.mem = NULL;
  if (count) net_add(w, count);
}

void net_join(net *w, uint32_t node, const char *topic) {
  MUST(msub_join(msub_sim_engine(w->s, node), 0, msub_str(topic), NULL, NULL, msub_sim_now(w->s, node),
                 &w->t[node]) == MSUB_OK);
}
void net_join_all(net *w, const char *topic) {
  for (uint32_t i = 0; i < w->count; i++) net_join(w, i, topic);
}

int net_publish(net *w, uint32_t node, uint8_t first, size_t n) {
  uint8_t *p = calloc(1, n ? n : 1);
  MUST(p);
  p[0] = first;
  int err = msub_publish(msub_sim_engine(w->s, node), w->t[node], (msub_bytes){ p, n }, msub_sim_now(w->s, node), NULL);
  free(p);
  return err;
}

void net_run(net *w, uint64_t ns) { MUST(msub_sim_run_for(w->s, ns) == MSUB_OK); }

unsigned net_count(const net *w, uint32_t node) {
  unsigned n = 0;
  for (size_t i = 0; i < w->n_got; i++) n += w->got[i].node == node;
  return n;
}
const net_got *net_find(const net *w, uint32_t node, uint8_t first) {
  for (size_t i = 0; i < w->n_got; i++)
    if (w->got[i].node == node && w->got[i].first == first) return &w->got[i];
  return NULL;
}
uint64_t net_hash(const net *w) {
  uint8_t h[16];
  uint64_t x = 0;
  msub_sim_hash(w->s, h);
  for (unsigned i = 0; i < 8; i++) x = x << 8 | (h[i] ^ h[8 + i]);
  return x;
}

void net_stop(net *w) {
  MUST(msub_sim_free(w->s) == MSUB_OK);
  MUST(w->mem.live_bytes == 0 && w->mem.live_blocks == 0);
}
