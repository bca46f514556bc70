/* What is inside the first node, as JSON: msub_state() and msub_host_metrics(). */
#include "bench/peer/peer.h"
#include "cli/state.h"
#include <meshsub/metrics.h>

const char *state_request(peer *p, const json_t *q, json_t *out) {
  (void)q;
  int err = state_json(p->nodes[0].host, out);
  return err == MSUB_OK ? NULL : msub_err_text(err);
}

/* {name: value}, or {name: {value of the label: value}} */
static void on_metric(void *ud, const msub_metric *m) {
  json_t *out = ud;
  if (!m->label) {
    json_object_set_new(out, m->name, json_integer((json_int_t)m->value));
    return;
  }
  json_t *by = json_object_get(out, m->name), *name = json_name(m->value_of_label);
  if (!by) json_object_set_new(out, m->name, by = json_object());
  json_object_set_new(by, json_string_value(name), json_integer((json_int_t)m->value));
  json_decref(name);
}

const char *metrics_request(peer *p, const json_t *q, json_t *out) {
  msub_metrics_opts o;
  (void)q;
  msub_metrics_opts_init(&o);
  o.each = on_metric;
  o.ud = json_object();
  int err = msub_host_metrics(p->nodes[0].host, &o);
  json_object_set_new(out, "metrics", o.ud);
  return err == MSUB_OK ? NULL : msub_err_text(err);
}
