/* routers/gossipsub/score_default.c: the profile that is on unless a program says otherwise. docs/scoring.md gives the reasons. */
#include "base/deadline.h"
#include "meshsub/gossipsub.h"

/* 0.01^(1/n): a counter is gone after n seconds. */
#define DECAY_60S 0.92611872812879370
#define DECAY_10MIN 0.99235416379101480

static const msub_topic_score topic = {
  .weight = 1,
  .time_in_mesh_weight = 0.01,
  .time_in_mesh_quantum_ns = 1 * MSUB__S,
  .time_in_mesh_cap = 100,
  .first_message_deliveries_weight = 0.05,
  .first_message_deliveries_decay = DECAY_60S,
  .first_message_deliveries_cap = 20,
  .mesh_message_deliveries_weight = -0.75,
  .mesh_message_deliveries_decay = DECAY_10MIN,
  .mesh_message_deliveries_cap = 1000,
  .mesh_message_deliveries_threshold = 4,
  .mesh_message_deliveries_window_ns = 2 * MSUB__S,
  .mesh_message_deliveries_activation_ns = 30 * MSUB__S,
  .mesh_message_deliveries_share = 0.01,
  .mesh_failure_penalty_weight = -0.25,
  .mesh_failure_penalty_decay = DECAY_60S,
  .mesh_probe_penalty = 64,
  .invalid_message_deliveries_weight = -20,
  .invalid_message_deliveries_decay = DECAY_10MIN,
};

const msub_score_opts msub_gossipsub_default_score = {
  .params = {
    .topic_score_cap = 10,
    .cap_what_is_positive = true,
    .app_specific_weight = 1,
    .ip_colocation_factor_weight = -5,
    .ip_colocation_factor_threshold = 10,
    .behaviour_penalty_weight = -10,
    .behaviour_penalty_threshold = 6,
    .behaviour_penalty_decay = DECAY_10MIN,
    .address_share = 0.25,
    .address_most = 10,
    .address_decay = DECAY_60S,
    .decay_interval_ns = 1 * MSUB__S,
    .decay_to_zero = 0.01,
    .retain_ns = 3600 * MSUB__S,
    .topic = &topic,
  },
  .thresholds = { .gossip = -20, .publish = -40, .graylist = -80, .opportunistic_graft = 1.1 },
};
