/* Which parameters go together, and what the decay helper computes, against go-libp2p-pubsub.
 *
 * Rules: a negative duration cannot be written here (they are unsigned), so what it leads to is not compared; nor is the absence of the function
 * for the application's score, which here is a command. */
#include <string.h>
#include "meshsub/gossipsub.h"
#include "score_params.h"
#include "vectors.h"

static uint16_t degree(const json_t *params, const char *name) { return (uint16_t)json_integer_value(json_object_get(params, name)); }

static const char *fault(const json_t *p) {
  msub_gossipsub_opts o;
  msub_gossipsub_opts_init(&o);
  o.mesh.d = degree(p, "D");
  o.mesh.dlo = degree(p, "Dlo");
  o.mesh.dhi = degree(p, "Dhi");
  o.mesh.dscore = degree(p, "Dscore");
  o.mesh.dout = degree(p, "Dout");
  o.history = (uint8_t)degree(p, "history_length");
  o.history_gossip = (uint8_t)degree(p, "history_gossip");
  return msub_gossipsub_opts_fault(&o);
}

static double number(const json_t *p, const char *name) { return json_number_value(json_object_get(p, name)); }
static uint64_t ns(const json_t *p, const char *name) { return (uint64_t)number(p, name) * 1000000; }

static const char *gater_fault(const json_t *p) {
  msub_gossipsub_opts o;
  msub_gossipsub_opts_init(&o);
  o.gater = (msub_gossipsub_gater){ .on = true, .threshold = number(p, "threshold"), .global_decay = number(p, "global_decay"),
    .source_decay = number(p, "source_decay"), .decay_to_zero = number(p, "decay_to_zero"), .decay_interval_ns = ns(p, "decay_interval_ms"),
    .quiet_ns = ns(p, "quiet_ms"), .retain_ns = ns(p, "retain_stats_ms"), .duplicate_weight = number(p, "duplicate_weight"),
    .ignore_weight = number(p, "ignore_weight"), .reject_weight = number(p, "reject_weight") };
  return msub_gossipsub_opts_fault(&o);
}

static bool skips(const json_t *c) { return json_is_true(json_object_get(c, "skip_atomic_validation")); }

/* false: it cannot be written. */
static bool score_fault(const json_t *c, const char *kind, const char **why, char *where) {
  const json_t *params = json_object_get(c, "params"), *v;
  const char *topic;
  msub_topic_score t;
  if (strcmp(kind, "topic_score") == 0) {
    if (!vec_topic_score(params, &t)) return false;
    t.skip_atomic = skips(c);
    *why = msub_topic_score_fault(&t, where);
    return true;
  }
  msub_score_params p;
  msub_cidr allow[16];
  if (!vec_score_params(params, &p, allow, 16) || (json_is_true(json_object_get(c, "app_function_missing")) && !skips(c))) return false;
  p.skip_atomic = skips(c);
  *why = msub_score_params_fault(&p, where);
  json_object_foreach(json_object_get((json_t *)(uintptr_t)params, "topics"), topic, v) {
    if (!vec_topic_score(v, &t)) return false;
    t.skip_atomic = p.skip_atomic;
    if (!*why) *why = msub_topic_score_fault(&t, where);
  }
  return true;
}

static double decay(const json_t *c) {
  return msub_score_decay((uint64_t)json_integer_value(json_object_get(c, "decay_ms")) * 1000000,
                          (uint64_t)json_integer_value(json_object_get(c, "base_ms")) * 1000000, json_number_value(json_object_get(c, "to_zero")));
}

int main(void) {
  json_t *file = vec_load("go/params.json"), *c;
  vec_tally t = { .file = "go/params.json" };
  size_t i;
  json_array_foreach(json_object_get(file, "cases"), i, c) {
    const char *kind = json_string_value(json_object_get(c, "kind")), *why = NULL;
    const json_t *params = json_object_get(c, "params");
    char where[96] = "";
    if (strcmp(kind, "decay") == 0) {
      double ours = decay(c), theirs = json_number_value(json_object_get(c, "result"));
      vec_case(&t, c, (ours - theirs) * (ours - theirs) <= 1e-24 * theirs * theirs, "%.17g", ours);
      continue;
    }
    if (strcmp(kind, "gossipsub") == 0) {
      why = fault(params);
    } else if (strcmp(kind, "gater") == 0) {
      why = gater_fault(params);
    } else if (strcmp(kind, "thresholds") == 0) {
      msub_score_thresholds th;
      vec_score_thresholds(params, &th);
      why = msub_score_thresholds_fault(&th, where);
    } else if (!score_fault(c, kind, &why, where)) {
      t.cases++;
      t.by_rule++;
      continue;
    }
    vec_case(&t, c, !why == json_boolean_value(json_object_get(c, "valid")), "ours says %s: %s", where, why ? why : "fine");
  }
  json_decref(file);
  return vec_end(&t);
}
