/* A5: heartbeats with nothing cached: the steady ones, and the first, which builds the mesh. A6: with a full cache. A7: scores. */
#include "bench/engine/engine.h"
#include <stdlib.h>
#include <string.h>

#define TICK 1000000000u

static double steady(size_t peers, size_t topics, const msub_score_opts *score) {
  rig r;
  rig_init(&r);
  r.gossip.score = score;
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
double run_a5_10(void) { return steady(1000, 10, NULL); }
double run_a5_100(void) { return steady(1000, 100, NULL); }
double run_a5_scored(void) { return steady(1000, 100, &msub_gossipsub_default_score); }
double run_a5_10k(void) { return steady(10000, 100, NULL); }

double run_a5_first(void) {
  rig r;
  rig_init(&r);
  r.gossip.score = NULL;
  rig_start(&r, 100, false);
  rig_peers(&r, 1000, 100, false);
  double from = thread_cpu();
  rig_pass(&r, TICK);
  double ms = (thread_cpu() - from) * 1e3;
  rig_free(&r);
  return ms;
}

/* 400 new messages before each heartbeat: 2,000 in the five windows, of which those of three are announced. Seconds in the last n. */
enum { NEW = 400 };
static double cached(unsigned n) {
  enum { TOPICS = 100, EACH = 1200, FILL = 5 };
  rig r;
  rig_init(&r);
  rig_start(&r, TOPICS, false);
  rig_peers(&r, 1000, TOPICS, false);
  for (int i = 0; i < FILL; i++) rig_pass(&r, TICK);
  uint8_t *frame = malloc(EACH), *counter;
  uint64_t id = 0;
  double spent = 0;
  if (!frame) abort();
  for (unsigned i = 0; i < n + FILL; i++) {
    for (int k = 0; k < NEW; k++) {
      size_t size = rig_message(frame, EACH, (size_t)(k % TOPICS), 1024, &counter);
      id++;
      memcpy(counter, &id, sizeof id);
      rig_receive(&r, r.peers[id % 1000], (msub_bytes){ frame, size });
    }
    double from = thread_cpu();
    rig_pass(&r, TICK);
    if (i >= FILL) spent += thread_cpu() - from;
  }
  free(frame);
  rig_free(&r);
  return spent;
}
double run_a6(void) { return cached(20) * 1e3 / 20; }
void work_a6(unsigned n) { (void)cached(n / NEW); }

/* Every peer is in every mesh; then none is any more, and what it did is forgotten. Heartbeats are out of the way. */
static double refreshes(bool full) {
  enum { N = 20, TOPICS = 100 };
  rig r;
  rig_init(&r);
  r.gossip.mesh.dhi = 2000;
  r.gossip.heartbeat_ns = r.gossip.heartbeat_delay_ns = UINT64_C(3600000000000);
  rig_start(&r, TOPICS, false);
  rig_peers(&r, 1000, TOPICS, false);
  for (size_t p = 0; p < r.n_peers; p++)
    for (size_t t = 0; t < TOPICS; t++) {
      msub_ctl_entry e[2] = { { .kind = MSUB_C_GRAFT }, { .kind = MSUB_C_PRUNE, .backoff_s = 60 } };
      rig_control(&r, r.peers[p], e, full ? 1 : 2, msub_str(rig_topic(t)));
    }
  for (int i = 0; i < 3; i++) rig_pass(&r, TICK);
  double from = thread_cpu();
  for (int i = 0; i < N; i++) rig_pass(&r, TICK);
  double ms = (thread_cpu() - from) * 1e3 / N;
  rig_free(&r);
  return ms;
}
double run_a7_full(void) { return refreshes(true); }
double run_a7_unchanged(void) { return refreshes(false); }
