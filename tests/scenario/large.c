/* A thousand nodes with 20 links each, a hundred messages: every node gets each once. */
#include "scenario.h"
#include <stdlib.h>
#include <time.h>

#define T "blocks"
enum { NODES = 1000, DEGREE = 20, MESSAGES = 100, BYTES = 1024, HOPS = 64 };

static uint8_t hop[MESSAGES][NODES]; /* 1: the publisher; 0: not yet */
static uint64_t sent[MESSAGES], latency[MESSAGES * NODES];
static size_t n_latency;

static bool got(sc *c, const sc_got *g) {
  CHECK(g->number < MESSAGES && hop[g->number][g->node] == 0);
  hop[g->number][g->node] = g->from == MSUB_SIM_NOBODY ? 1 : (uint8_t)(hop[g->number][g->from] + 1);
  if (g->from != MSUB_SIM_NOBODY) latency[n_latency++] = g->at - sent[g->number];
  c->n_got--; /* not kept */
  return true;
}

static int by_size(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static void thousand(sc *c) {
  c->n.up_bytes_s = c->n.down_bytes_s = 0;
  c->o.link.latency_ns = 20 * MS;
  c->on_got = got;
  n_latency = 0;
  for (unsigned m = 0; m < MESSAGES; m++)
    for (unsigned i = 0; i < NODES; i++) hop[m][i] = 0;
  sc_begin(c);
  sc_add(c, NODES);
  sc_join_range(c, 0, NODES, T);
  OK(msub_sim_connect_regular(c->s, 0, NODES, DEGREE));
  clock_t begun = clock();
  sc_run(c, 5 * SEC);
  for (uint32_t m = 0; m < MESSAGES; m++) {
    sent[m] = msub_sim_time(c->s);
    sc_publish(c, sc_rand(c, NODES), T, m, BYTES);
    sc_run(c, 100 * MS);
  }
  sc_run(c, 5 * SEC);
  double cpu = (double)(clock() - begun) / CLOCKS_PER_SEC;

  uint64_t duplicates = 0;
  unsigned hops[HOPS] = { 0 };
  for (uint32_t m = 0; m < MESSAGES; m++)
    for (uint32_t i = 0; i < NODES; i++) {
      CHECK(hop[m][i] > 0 && hop[m][i] < HOPS);
      hops[hop[m][i] - 1]++;
    }
  for (uint32_t i = 0; i < NODES; i++) duplicates += msub_count(sc_engine(c, i))->duplicates;
  qsort(latency, n_latency, sizeof *latency, by_size);
  const msub_sim_counts *n = msub_sim_count(c->s);
  printf("%u nodes, %u links each, %u messages of %u bytes%s\n", NODES, DEGREE, MESSAGES, BYTES,
         c->o.wire ? ", as frames" : "");
  printf("  deliveries %zu, duplicates per delivery %.2f, ", n_latency, (double)duplicates / (double)n_latency);
  printf("ms p50 %.0f p99 %.0f max %.0f\n", (double)latency[n_latency / 2] / 1e6,
         (double)latency[n_latency * 99 / 100] / 1e6, (double)latency[n_latency - 1] / 1e6);
  printf("  hops");
  for (unsigned h = 1; h < HOPS; h++)
    if (hops[h]) printf(" %u:%u", h, hops[h]);
  printf("\n  events %llu (RPCs %llu, timers %llu), steps %llu, ", (unsigned long long)(n->rpcs + n->timers),
         (unsigned long long)n->rpcs, (unsigned long long)n->timers, (unsigned long long)n->steps);
  printf("%.2f CPU s, %.2f M events and %.0f k deliveries per CPU s\n", cpu, (double)(n->rpcs + n->timers) / cpu / 1e6,
         (double)n_latency / cpu / 1e3);
  CHECK(latency[n_latency - 1] <= 300 * MS);
}

const sc_scenario sc_scenarios[] = { { "thousand-nodes", thousand }, { NULL, NULL } };
