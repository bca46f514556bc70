/* meshsub/metrics.h: every number that an engine counts, under names that dashboards know, one by one. What is done with them (an
 * exporter, a log line) is the program's business. Counters are plain integers that the engine keeps anyway; they are put together when they
 * are asked for.
 *
 * Names begin with gossipsub_; where rust-libp2p has the same metric it has the same base name (topic_peers_counts,
 * mesh_peer_counts, topic_msg_recv_counts, …). Counters end in _total. A metric has at most one label. The values of one metric come one
 * after the other, as text formats want it.
 *
 *   ENGINE   gossipsub_<name>_total for every name of MSUB_COUNTS; gossipsub_reasons_total{reason}; gossipsub_<name> for what is alive
 *            (messages, names, peers, sessions, questions, seen, seen_bytes)
 *   ROUTERS  gossipsub_peers_per_protocol{protocol}, gossipsub_topics, gossipsub_mcache_size
 *   TOPICS   {topic}: topic_subscription_status, topic_peers_counts, mesh_peer_counts, topic_cached; with msub_engine_opts.topic_counts
 *            those of MSUB_TOPIC_COUNTS as well
 *   HOST     host_<name>_total for every name of MSUB_HOST_COUNTS; host_connections, host_half_open, host_streams;
 *            gossipsub_queue_bytes{lane}; host_accepts_refused_total{reason} for every name of MSUB_HOST_REFUSALS;
 *            host_disconnects_total{reason}, host_handshake_failures_total{reason}, host_dial_failures_total{reason} by error: the names of
 *            base.h in lower case without MSUB_ERR_, and "ok"
 *
 * Threads: the engine's. Re-entry: also from a callback, except for TOPICS. */
#ifndef MESHSUB_METRICS_H
#define MESHSUB_METRICS_H
#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MSUB_METRICS_ENGINE = 1, MSUB_METRICS_ROUTERS = 2, MSUB_METRICS_TOPICS = 4, MSUB_METRICS_HOST = 8, MSUB_METRICS_ALL = 15 };
typedef enum msub_metric_kind { MSUB_METRIC_COUNTER, MSUB_METRIC_GAUGE } msub_metric_kind;
typedef struct msub_metric {
  const char *name;  /* static */
  const char *label; /* NULL: none; static */
  msub_bytes value_of_label; /* any bytes for a topic: escape them. A view for the call */
  msub_metric_kind kind;
  uint64_t value;
} msub_metric;

typedef struct msub_metrics_opts {
  uint32_t size;       /* set by msub_metrics_opts_init */
  unsigned modules;    /* MSUB_METRICS_*; all */
  size_t max_topics;   /* topics that get a label of their own, of those that the program joined or opened; the rest is summed under "other".
                        * 64; at most 4,096 */
  void (*each)(void *ud, const msub_metric *m);
  void *ud;
} msub_metrics_opts;
MSUB_API void msub_metrics_opts_init(msub_metrics_opts *o);
/* INVAL: no each, or a number out of range; STATE (TOPICS from a callback), NOMEM: the topics are left out, the rest was told. HOST is
 * nothing here. */
MSUB_API int msub_metrics(msub_engine *e, const msub_metrics_opts *o);

/* In libmeshsub-host: the same with HOST. */
struct msub_host;
MSUB_API int msub_host_metrics(struct msub_host *h, const msub_metrics_opts *o);

#ifdef __cplusplus
}
#endif
#endif
