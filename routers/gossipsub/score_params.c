/* routers/gossipsub/score_params.c: which score parameters go together. The rules are those of the reference; a duration that cannot be
 * is one of over a year. */
#include <math.h>
#include <stdio.h>
#include "base/deadline.h"
#include "routers/gossipsub/limits.h"
#include "meshsub/score.h"

#define YEAR (365 * 24 * 3600 * MSUB__S)

/* One rule: true when it is broken, and then says where. */
static bool broken(bool bad, char *where, const char *field, double value) {
  if (bad && where) snprintf(where, 96, "%s %.17g", field, value);
  return bad;
}
#define RULE(holds, field, text)                                                         \
  do {                                                                                   \
    if (broken(!isfinite((double)(field)) || !(holds), where, name_of(#field), (double)(field))) return text; \
    if (broken(fabs((double)(field)) > MSUB_SCORE_MAX, where, name_of(#field), (double)(field))) return "at most 1e30"; \
  } while (0)
/* "t->weight" is the field "weight". */
static const char *name_of(const char *expression) {
  const char *name = expression;
  for (const char *p = expression; *p; p++)
    if (*p == '>') name = p + 1;
  return name;
}
static bool nil(double x) { return fpclassify(x) == FP_ZERO; }
static bool inside(double x) { return x > 0 && x < 1; }

static const char *time_in_mesh(const msub_topic_score *t, char *where) {
  bool on = !nil(t->time_in_mesh_weight);
  if (t->skip_atomic && !on && t->time_in_mesh_quantum_ns == 0 && nil(t->time_in_mesh_cap)) return NULL;
  RULE(t->time_in_mesh_quantum_ns != 0, t->time_in_mesh_quantum_ns, "must not be 0");
  RULE(t->time_in_mesh_quantum_ns <= YEAR, t->time_in_mesh_quantum_ns, "at most 365 days");
  RULE(t->time_in_mesh_weight >= 0, t->time_in_mesh_weight, "must not be negative");
  RULE(!on || t->time_in_mesh_cap > 0, t->time_in_mesh_cap, "must be above 0");
  return NULL;
}

static const char *first_deliveries(const msub_topic_score *t, char *where) {
  bool on = !nil(t->first_message_deliveries_weight);
  if (t->skip_atomic && !on && nil(t->first_message_deliveries_decay) && nil(t->first_message_deliveries_cap)) return NULL;
  RULE(t->first_message_deliveries_weight >= 0, t->first_message_deliveries_weight, "must not be negative");
  RULE(!on || inside(t->first_message_deliveries_decay), t->first_message_deliveries_decay, "between 0 and 1");
  RULE(!on || t->first_message_deliveries_cap > 0, t->first_message_deliveries_cap, "must be above 0");
  return NULL;
}

static const char *mesh_deliveries(const msub_topic_score *t, char *where) {
  bool on = !nil(t->mesh_message_deliveries_weight);
  if (t->skip_atomic && !on && nil(t->mesh_message_deliveries_decay) && nil(t->mesh_message_deliveries_cap) &&
      nil(t->mesh_message_deliveries_threshold) && nil(t->mesh_message_deliveries_share) && t->mesh_message_deliveries_window_ns == 0 && t->mesh_message_deliveries_activation_ns == 0)
    return NULL;
  RULE(t->mesh_message_deliveries_weight <= 0, t->mesh_message_deliveries_weight, "must not be positive");
  RULE(!on || inside(t->mesh_message_deliveries_decay), t->mesh_message_deliveries_decay, "between 0 and 1");
  RULE(!on || t->mesh_message_deliveries_cap > 0, t->mesh_message_deliveries_cap, "must be above 0");
  RULE(!on || t->mesh_message_deliveries_threshold > 0, t->mesh_message_deliveries_threshold, "must be above 0");
  RULE(t->mesh_message_deliveries_window_ns <= YEAR, t->mesh_message_deliveries_window_ns, "at most 365 days");
  RULE(t->mesh_message_deliveries_activation_ns <= YEAR, t->mesh_message_deliveries_activation_ns, "at most 365 days");
  RULE(t->mesh_message_deliveries_share >= 0 && t->mesh_message_deliveries_share <= 1, t->mesh_message_deliveries_share, "between 0 and 1");
  RULE(!on || t->mesh_message_deliveries_activation_ns >= MSUB__S, t->mesh_message_deliveries_activation_ns, "at least 1 s");
  return NULL;
}

static const char *failure(const msub_topic_score *t, char *where) {
  bool on = !nil(t->mesh_failure_penalty_weight);
  RULE(t->mesh_probe_penalty >= 0, t->mesh_probe_penalty, "must not be negative");
  RULE(nil(t->mesh_probe_penalty) || t->mesh_failure_penalty_weight < 0, t->mesh_probe_penalty, "without mesh_failure_penalty_weight it costs nothing: make it 0");
  if (t->skip_atomic && !on && nil(t->mesh_failure_penalty_decay)) return NULL;
  RULE(t->mesh_failure_penalty_weight <= 0, t->mesh_failure_penalty_weight, "must not be positive");
  RULE(!on || inside(t->mesh_failure_penalty_decay), t->mesh_failure_penalty_decay, "between 0 and 1");
  return NULL;
}

static const char *invalid(const msub_topic_score *t, char *where) {
  if (t->skip_atomic && nil(t->invalid_message_deliveries_weight) && nil(t->invalid_message_deliveries_decay)) return NULL;
  RULE(t->invalid_message_deliveries_weight <= 0, t->invalid_message_deliveries_weight, "must not be positive");
  RULE(inside(t->invalid_message_deliveries_decay), t->invalid_message_deliveries_decay, "between 0 and 1");
  return NULL;
}

const char *msub_topic_score_fault(const msub_topic_score *t, char where[96]) {
  RULE(t->weight >= 0, t->weight, "must not be negative");
  const char *why = time_in_mesh(t, where);
  if (!why) why = first_deliveries(t, where);
  if (!why) why = mesh_deliveries(t, where);
  if (!why) why = failure(t, where);
  return why ? why : invalid(t, where);
}

static const char *colocation(const msub_score_params *p, char *where) {
  if (p->skip_atomic && nil(p->ip_colocation_factor_weight) && p->ip_colocation_factor_threshold == 0) return NULL;
  RULE(p->ip_colocation_factor_weight <= 0, p->ip_colocation_factor_weight, "must not be positive");
  RULE(nil(p->ip_colocation_factor_weight) || p->ip_colocation_factor_threshold >= 1, p->ip_colocation_factor_threshold, "at least 1");
  RULE(p->n_ip_allow <= MSUB__GS_ALLOW && (p->n_ip_allow == 0 || p->ip_allow), p->n_ip_allow, "at most 64 addresses");
  for (size_t i = 0; i < p->n_ip_allow; i++) {
    const msub_cidr *c = &p->ip_allow[i];
    RULE(c->n == 4 || c->n == 16, c->n, "an address has 4 or 16 bytes");
    RULE(c->bits <= 8 * c->n, c->bits, "a prefix is no longer than its address");
  }
  return NULL;
}

static const char *behaviour(const msub_score_params *p, char *where) {
  bool on = !nil(p->behaviour_penalty_weight);
  if (p->skip_atomic && !on && nil(p->behaviour_penalty_decay)) return NULL;
  RULE(p->behaviour_penalty_weight <= 0, p->behaviour_penalty_weight, "must not be positive");
  RULE(!on || inside(p->behaviour_penalty_decay), p->behaviour_penalty_decay, "between 0 and 1");
  RULE(p->behaviour_penalty_threshold >= 0, p->behaviour_penalty_threshold, "must not be negative");
  return NULL;
}

const char *msub_score_params_fault(const msub_score_params *p, char where[96]) {
  RULE(p->topic_score_cap >= 0, p->topic_score_cap, "must not be negative");
  RULE(true, p->app_specific_weight, "must be a number");
  const char *why = colocation(p, where);
  if (!why) why = behaviour(p, where);
  if (why) return why;
  if (!p->skip_atomic || p->decay_interval_ns != 0 || !nil(p->decay_to_zero)) {
    RULE(p->decay_interval_ns >= MSUB__S, p->decay_interval_ns, "at least 1 s");
    RULE(p->decay_interval_ns <= YEAR, p->decay_interval_ns, "at most 365 days");
    RULE(inside(p->decay_to_zero), p->decay_to_zero, "between 0 and 1");
  }
  RULE(p->address_share >= 0 && p->address_share <= 1, p->address_share, "0 to 1");
  RULE(p->address_most >= 0, p->address_most, "must not be negative");
  RULE(!(p->address_share > 0) || inside(p->address_decay), p->address_decay, "between 0 and 1");
  RULE(p->retain_ns <= YEAR, p->retain_ns, "at most 365 days");
  RULE(p->record_ttl_ns <= YEAR, p->record_ttl_ns, "at most 365 days");
  return p->topic ? msub_topic_score_fault(p->topic, where) : NULL;
}

const char *msub_score_thresholds_fault(const msub_score_thresholds *t, char where[96]) {
  if (!t->skip_atomic || !nil(t->gossip) || !nil(t->publish) || !nil(t->graylist)) {
    RULE(t->gossip <= 0, t->gossip, "must not be positive");
    RULE(t->publish <= 0, t->publish, "must not be positive");
    RULE(t->publish <= t->gossip, t->publish, "publish <= gossip");
    RULE(t->graylist <= 0, t->graylist, "must not be positive");
    RULE(t->graylist <= t->publish, t->graylist, "graylist <= publish");
  }
  RULE(t->accept_px >= 0, t->accept_px, "must not be negative");
  RULE(t->opportunistic_graft >= 0, t->opportunistic_graft, "must not be negative");
  return NULL;
}

double msub_score_decay(uint64_t over_ns, uint64_t interval_ns, double to_zero) {
  uint64_t ticks = interval_ns ? over_ns / interval_ns : 0;
  return ticks ? pow(to_zero, 1 / (double)ticks) : 0;
}
