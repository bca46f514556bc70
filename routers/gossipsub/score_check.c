/* routers/gossipsub/score_check.c: whether a profile lets a peer that serves nobody on a topic keep its place there. */
#include <math.h>
#include "meshsub/score.h"

/* The most that a topic can bring a peer for ever. */
static double best(const msub_topic_score *t) {
  return t->weight * (t->time_in_mesh_cap * t->time_in_mesh_weight + t->first_message_deliveries_cap * t->first_message_deliveries_weight);
}

/* What one that forwards nothing has there for ever. P3b comes only when it leaves the mesh. */
static double silent(const msub_topic_score *t) {
  double deficit = t->mesh_message_deliveries_threshold;
  return t->weight * (t->time_in_mesh_cap * t->time_in_mesh_weight + deficit * deficit * t->mesh_message_deliveries_weight);
}

/* P1 only grows, P3 comes all at once: it is below 0 at the first refresh after the activation, or never. */
static uint64_t below_zero(const msub_topic_score *t, uint64_t interval, uint64_t heartbeat) {
  if (!(t->weight > 0) || !(t->mesh_message_deliveries_weight < 0)) return UINT64_MAX;
  uint64_t at = (t->mesh_message_deliveries_activation_ns / interval + 1) * interval;
  double p1 = t->time_in_mesh_quantum_ns ? (double)(at / t->time_in_mesh_quantum_ns) : 0, deficit = t->mesh_message_deliveries_threshold;
  if (p1 > t->time_in_mesh_cap) p1 = t->time_in_mesh_cap;
  if (p1 * t->time_in_mesh_weight + deficit * deficit * t->mesh_message_deliveries_weight >= 0) return UINT64_MAX;
  return (at + heartbeat - 1) / heartbeat;
}

/* A share lowers the threshold where a topic is quiet: with what the median member brings the deficit outweighs the rest. */
static double least_median(const msub_topic_score *t, double others) {
  double share = t->mesh_message_deliveries_share, cost = -t->weight * t->mesh_message_deliveries_weight;
  double rest = t->weight * t->time_in_mesh_cap * t->time_in_mesh_weight + others;
  if (!(share > 0) || !(cost > 0) || !isfinite(rest)) return 0;
  double deficit = sqrt(rest / cost);
  return deficit <= t->mesh_message_deliveries_threshold ? deficit / share : 0;
}

size_t msub_score_check(const msub_score_params *p, const msub_score_of_topic *topics, size_t n, bool any, uint64_t heartbeat_ns,
                        void (*found)(void *ud, const msub_score_finding *f), void *ud) {
  double all = 0, cap = p->topic_score_cap;
  uint64_t interval = p->decay_interval_ns ? p->decay_interval_ns : UINT64_C(1000000000);
  size_t refused = 0;
  for (size_t i = 0; i < n; i++) all += best(&topics[i].score);
  for (size_t i = 0; i < n; i++) {
    const msub_topic_score *t = &topics[i].score;
    double here = silent(t), others = all - best(t);
    if (any && all > 0) others = p->cap_what_is_positive && cap > 0 ? cap : HUGE_VAL;
    else if (p->cap_what_is_positive && cap > 0 && others > cap) others = cap;
    msub_score_finding f = { .topic = topics[i].topic, .here = here, .others = others, .heartbeats = below_zero(t, interval, heartbeat_ns ? heartbeat_ns : 1) };
    f.median = least_median(t, others);
    f.refused = here < 0 && here + others > 0;
    refused += f.refused;
    if (found) found(ud, &f);
  }
  return refused;
}
