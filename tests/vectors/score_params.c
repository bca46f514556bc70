#include "tests/vectors/score_params.h"
#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double real(const json_t *j, const char *key) {
  const json_t *v = json_object_get(j, key);
  if (json_is_string(v)) return strtod(json_string_value(v), NULL); /* "NaN", "+Inf" */
  return json_number_value(v);
}
static bool duration(const json_t *j, const char *key, uint64_t *ns) {
  double ms = real(j, key);
  *ns = ms < 0 ? UINT64_MAX : (uint64_t)(ms * 1e6 + 0.5);
  return ms >= 0;
}

bool vec_topic_score(const json_t *j, msub_topic_score *t) {
  *t = (msub_topic_score){ .weight = real(j, "topic_weight") };
#define REAL(f) t->f = real(j, #f)
  REAL(time_in_mesh_weight);
  REAL(time_in_mesh_cap);
  REAL(first_message_deliveries_weight);
  REAL(first_message_deliveries_decay);
  REAL(first_message_deliveries_cap);
  REAL(mesh_message_deliveries_weight);
  REAL(mesh_message_deliveries_decay);
  REAL(mesh_message_deliveries_cap);
  REAL(mesh_message_deliveries_threshold);
  REAL(mesh_failure_penalty_weight);
  REAL(mesh_failure_penalty_decay);
  REAL(invalid_message_deliveries_weight);
  REAL(invalid_message_deliveries_decay);
#undef REAL
  bool ok = duration(j, "time_in_mesh_quantum_ms", &t->time_in_mesh_quantum_ns);
  ok &= duration(j, "mesh_message_deliveries_window_ms", &t->mesh_message_deliveries_window_ns);
  return ok & duration(j, "mesh_message_deliveries_activation_ms", &t->mesh_message_deliveries_activation_ns);
}

size_t vec_address(const char *text, uint8_t out[16]) {
  bool six = strchr(text, ':') != NULL;
  if (inet_pton(six ? AF_INET6 : AF_INET, text, out) != 1) abort();
  return six ? 16 : 4;
}

bool vec_score_params(const json_t *j, msub_score_params *p, msub_cidr *allow, size_t cap) {
  *p = (msub_score_params){ 0 };
#define REAL(f) p->f = real(j, #f)
  REAL(topic_score_cap);
  REAL(app_specific_weight);
  REAL(ip_colocation_factor_weight);
  REAL(behaviour_penalty_weight);
  REAL(behaviour_penalty_threshold);
  REAL(behaviour_penalty_decay);
  REAL(decay_to_zero);
#undef REAL
  p->ip_colocation_factor_threshold = (uint32_t)real(j, "ip_colocation_factor_threshold");
  size_t i;
  json_t *v;
  json_array_foreach(json_object_get(j, "ip_colocation_factor_whitelist"), i, v) {
    char text[64];
    snprintf(text, sizeof text, "%s", json_string_value(v));
    char *slash = strchr(text, '/');
    if (!slash || i >= cap) abort();
    *slash = 0;
    allow[i] = (msub_cidr){ .bits = (uint8_t)atoi(slash + 1) };
    allow[i].n = (uint8_t)vec_address(text, allow[i].address);
    p->ip_allow = allow;
    p->n_ip_allow = i + 1;
  }
  bool ok = duration(j, "decay_interval_ms", &p->decay_interval_ns);
  ok &= duration(j, "retain_score_ms", &p->retain_ns);
  return ok & duration(j, "seen_msg_ttl_ms", &p->record_ttl_ns);
}

void vec_score_thresholds(const json_t *j, msub_score_thresholds *t) {
  *t = (msub_score_thresholds){ .skip_atomic = json_is_true(json_object_get(j, "skip_atomic_validation")), .gossip = real(j, "gossip"),
                                .publish = real(j, "publish"), .graylist = real(j, "graylist"), .accept_px = real(j, "accept_px"),
                                .opportunistic_graft = real(j, "opportunistic_graft") };
}
