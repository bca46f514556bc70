/* A5: heartbeats with nothing cached: the steady ones, and the first, which builds the mesh. */
#include "bench/engine/engine.h"
#include <stdlib.h>

#define TICK 1000000000u

static double steady(size_t peers, size_t topics) {
  rig r;
  rig_init(&r);
  rig_start(&r, topics, false);
  rig_peers(&r, peers, topics, false);
  for (int i = 0; i < 20; i++) rig_pass(&r, TICK);
  enum { N = 50 };
  double from = thread_cpu();
  for (int i = 0; i < N; i++) rig_pass(&r, TICK);
  double ms = (thread_cpu() - from) * 1e3 / N;
  rig_free(&r);
  return ms;
}
double run_a5_10(void) { return steady(1000, 10); }
double run_a5_100(void) { return steady(1000, 100); }
double run_a5_10k(void) { return steady(10000, 100); }

double run_a5_first(void) {
  rig r;
  rig_init(&r);
  rig_start(&r, 100, false);
  rig_peers(&r, 1000, 100, false);
  double from = thread_cpu();
  rig_pass(&r, TICK);
  double ms = (thread_cpu() - from) * 1e3;
  rig_free(&r);
  return ms;
}
