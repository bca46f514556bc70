/* host/metrics.c: the host's counters, and what waits in the lanes of all sessions. */
#include "host/session.h"
#include "host/peers.h"
#include "meshsub/metrics.h"

static void tell(const msub_metrics_opts *o, const char *name, msub_metric_kind kind, const char *label, const char *of, uint64_t value) {
  o->each(o->ud, &(msub_metric){ .name = name, .label = label, .value_of_label = of ? msub_str(of) : (msub_bytes){ NULL, 0 }, .kind = kind, .value = value });
}

static void queues(const msub_host *h, const msub_metrics_opts *o) {
  static const char *const lanes[MSUB_LANES] = { "control", "own", "forward", "gossip" };
  uint64_t sum[MSUB_LANES] = { 0 };
  for (size_t i = 0; i < h->n_peers; i++)
    for (size_t g = 0; g < h->peers[i]->n_sess; g++) {
      size_t bytes[MSUB_LANES];
      msub__lanes_by_lane(&h->peers[i]->sess[g].lanes, bytes);
      for (unsigned l = 0; l < MSUB_LANES; l++) sum[l] += bytes[l];
    }
  for (unsigned l = 0; l < MSUB_LANES; l++) tell(o, "gossipsub_queue_bytes", MSUB_METRIC_GAUGE, "lane", lanes[l], sum[l]);
}

/* MSUB_ERR_TIMEOUT is "timeout", MSUB_OK "ok". */
static void by_error(const msub_metrics_opts *o, const char *name, const uint64_t counts[MSUB_HOST_ERRORS]) {
  for (int i = 0; i < MSUB_HOST_ERRORS; i++) {
    char label[32];
    const char *text = i ? msub_err_name(-i) + sizeof "MSUB_ERR_" - 1 : "OK";
    size_t n = 0;
    for (; text[n] && n + 1 < sizeof label; n++) label[n] = (char)(text[n] >= 'A' && text[n] <= 'Z' ? text[n] + ('a' - 'A') : text[n]);
    label[n] = 0;
    tell(o, name, MSUB_METRIC_COUNTER, "reason", label, counts[i]);
  }
}

static void reasons(const msub_host_counts *c, const msub_metrics_opts *o) {
#define MSUB_X(of) tell(o, "host_accepts_refused_total", MSUB_METRIC_COUNTER, "reason", #of, c->refused.of);
  MSUB_HOST_REFUSALS(MSUB_X)
#undef MSUB_X
  by_error(o, "host_disconnects_total", c->closed_by);
  by_error(o, "host_handshake_failures_total", c->handshakes_failed_by);
  by_error(o, "host_dial_failures_total", c->dial_failed_by);
}

int msub_host_metrics(msub_host *h, const msub_metrics_opts *o) {
  int rc = msub_metrics(h->engine, o);
  if (rc == MSUB_ERR_INVAL || !(o->modules & MSUB_METRICS_HOST)) return rc;
  const msub_host_counts *c = msub_host_count(h);
#define MSUB_X(name) tell(o, "host_" #name "_total", MSUB_METRIC_COUNTER, NULL, NULL, c->name);
  MSUB_HOST_COUNTS(MSUB_X)
#undef MSUB_X
  reasons(c, o);
  tell(o, "host_connections", MSUB_METRIC_GAUGE, NULL, NULL, c->connections);
  tell(o, "host_half_open", MSUB_METRIC_GAUGE, NULL, NULL, c->half_open);
  tell(o, "host_streams", MSUB_METRIC_GAUGE, NULL, NULL, c->streams);
  if (h->o.max_bytes > 0) tell(o, "host_memory_bytes", MSUB_METRIC_GAUGE, NULL, NULL, c->memory_bytes);
  queues(h, o);
  return rc;
}
