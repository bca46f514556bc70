/* Which parameters of the mesh go together, against what go-libp2p-pubsub accepts. Scores and the gater have none here yet. */
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

int main(void) {
  json_t *file = vec_load("go/params.json"), *c;
  vec_tally t = { .file = "go/params.json" };
  size_t i;
  json_array_foreach(json_object_get(file, "cases"), i, c) {
    if (strcmp(json_string_value(json_object_get(c, "kind")), "gossipsub") != 0) {
      t.cases++;
      t.skipped++;
      continue;
    }
    const char *why = fault(json_object_get(c, "params"));
    vec_case(&t, c, !why == json_boolean_value(json_object_get(c, "valid")), "ours says %s", why ? why : "fine");
  }
  json_decref(file);
  return vec_end(&t);
}
