/* Which parameters of the mesh go together, against what go-libp2p-pubsub accepts. Scores have none here yet. */
#include <string.h>
#include "meshsub/gossipsub.h"
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

int main(void) {
  json_t *file = vec_load("go/params.json"), *c;
  vec_tally t = { .file = "go/params.json" };
  size_t i;
  json_array_foreach(json_object_get(file, "cases"), i, c) {
    const char *kind = json_string_value(json_object_get(c, "kind"));
    bool gater = strcmp(kind, "gater") == 0;
    if (!gater && strcmp(kind, "gossipsub") != 0) {
      t.cases++;
      t.skipped++;
      continue;
    }
    const char *why = (gater ? gater_fault : fault)(json_object_get(c, "params"));
    vec_case(&t, c, !why == json_boolean_value(json_object_get(c, "valid")), "ours says %s", why ? why : "fine");
  }
  json_decref(file);
  return vec_end(&t);
}
