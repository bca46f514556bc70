/* pubsub/metrics.c: counters under their public names. */
#include "meshsub/metrics.h"
#include <string.h>
#include "pubsub/engine.h"

#define MAX_TOPICS 4096u
#define MAX_PROTOCOLS (MSUB__ROUTERS * MSUB__PROTOCOLS)

void msub_metrics_opts_init(msub_metrics_opts *o) { *o = (msub_metrics_opts){ .size = sizeof *o, .modules = MSUB_METRICS_ALL, .max_topics = 64 }; }

static void tell(const msub_metrics_opts *o, const char *name, msub_metric_kind kind, const char *label, msub_bytes of, uint64_t value) {
  o->each(o->ud, &(msub_metric){ .name = name, .label = label, .value_of_label = of, .kind = kind, .value = value });
}
static const msub_bytes NOTHING = { NULL, 0 };

/* ---- engine ---- */

static void engine_metrics(const msub_engine *e, const msub_metrics_opts *o) {
  const msub_counts *c = msub_count(e);
  msub_usage u;
#define MSUB_X(name) tell(o, "gossipsub_" #name "_total", MSUB_METRIC_COUNTER, NULL, NOTHING, c->name);
  MSUB_COUNTS(MSUB_X)
#undef MSUB_X
  for (int r = MSUB_R_NONE + 1; r < MSUB_REASONS; r++)
    tell(o, "gossipsub_reasons_total", MSUB_METRIC_COUNTER, "reason", msub_str(msub_reason_name(r)), msub_count_reason(e, r));
  msub_usage_of(e, &u);
#define MSUB_X(name) tell(o, "gossipsub_" #name, MSUB_METRIC_GAUGE, NULL, NOTHING, u.name);
  MSUB_X(messages) MSUB_X(names) MSUB_X(peers) MSUB_X(sessions) MSUB_X(questions) MSUB_X(seen) MSUB_X(seen_bytes)
#undef MSUB_X
}

/* ---- routers ---- */

/* Sessions by the protocol of our stream to them: every protocol that the engine speaks has a value. */
static void protocols(const msub_engine *e, const msub_metrics_opts *o) {
  const char *id;
  for (size_t i = 0; i < MAX_PROTOCOLS && (id = msub_engine_protocol(e, i)); i++) {
    uint64_t n = 0;
    for (unsigned ri = 0; ri < e->n_routers; ri++)
      for (uint32_t slot = 0; slot < e->routers[ri].n_sessions; slot++) {
        const msub__session *s = msub__session_at(e, ri, slot);
        n += s->peer && strcmp(e->routers[ri].plan->protocols[s->protocol].id, id) == 0;
      }
    tell(o, "gossipsub_peers_per_protocol", MSUB_METRIC_GAUGE, "protocol", msub_str(id), n);
  }
}

static void router_metrics(const msub_engine *e, const msub_metrics_opts *o) {
  uint64_t cached = 0;
  protocols(e, o);
  for (unsigned ri = 0; ri < e->n_routers; ri++)
    for (uint32_t i = 0; i < e->routers[ri].n_topics; i++)
      if (e->routers[ri].topics[i].t) cached += e->routers[ri].topics[i].t->cached;
  tell(o, "gossipsub_topics", MSUB_METRIC_GAUGE, NULL, NOTHING, msub__topic_count(e));
  tell(o, "gossipsub_mcache_size", MSUB_METRIC_GAUGE, NULL, NOTHING, cached);
}

/* ---- topics ---- */

enum { STATUS, PEERS, MESH, CACHED, GAUGES };
static const char *const gauges[GAUGES] = { "gossipsub_topic_subscription_status", "gossipsub_topic_peers_counts", "gossipsub_mesh_peer_counts",
                                            "gossipsub_topic_cached" };
static const char *const counters[] = {
#define MSUB_X(name, base) "gossipsub_" base "_total",
  MSUB_TOPIC_COUNTS(MSUB_X)
#undef MSUB_X
};
#define COUNTERS (sizeof counters / sizeof *counters)
_Static_assert(sizeof(msub_topic_counts) == COUNTERS * sizeof(uint64_t), "one number each");

typedef struct row {
  msub_bytes name;
  uint64_t gauge[GAUGES];
  msub_topic_counts counts;
} row;

static uint64_t in_mesh(msub_engine *e, const msub__topic *t) {
  unsigned ri = msub__handle_router(t->handle.v);
  msub_peer_state few[64], *all = few;
  size_t cap = 64, n = MSUB__ASK(e, ri, snapshot, 0, t->handle, few, cap);
  uint64_t members = 0;
  if (n > cap) {
    all = msub__zalloc(msub__mem(e), n, sizeof *all);
    cap = n;
    if (!all) return 0;
    n = MSUB__ASK(e, ri, snapshot, 0, t->handle, all, cap);
  }
  for (size_t i = 0; i < n && i < cap; i++) members += (all[i].roles & MSUB_ROLE_MESH) != 0;
  if (all != few) msub__free(msub__mem(e), all, cap * sizeof *all);
  return members;
}

static void add_topic(msub_engine *e, const msub__topic *t, row *to) {
  const msub_topic_counts *c = t->extra ? t->extra->counts : NULL;
  to->gauge[STATUS] += t->joins > 0;
  to->gauge[PEERS] += t->n_links;
  to->gauge[MESH] += in_mesh(e, t);
  to->gauge[CACHED] += t->cached;
  if (!c) return;
#define MSUB_X(name, base) to->counts.name += c->name;
  MSUB_TOPIC_COUNTS(MSUB_X)
#undef MSUB_X
}

static uint64_t counter_of(const row *r, size_t i) {
  uint64_t v;
  memcpy(&v, (const uint8_t *)&r->counts + i * sizeof v, sizeof v);
  return v;
}

static int topic_metrics(msub_engine *e, const msub_metrics_opts *o) {
  size_t n = 0, rest = 0;
  row *rows = msub__zalloc(msub__mem(e), o->max_topics + 1, sizeof *rows), *other = rows ? &rows[o->max_topics] : NULL;
  if (!rows) return MSUB_ERR_NOMEM;
  other->name = msub_str("other");
  for (unsigned ri = 0; ri < e->n_routers; ri++)
    for (uint32_t i = 0; i < e->routers[ri].n_topics; i++) {
      const msub__topic *t = e->routers[ri].topics[i].t;
      if (!t || (t->joins == 0 && t->opens == 0)) continue;
      row *to = n < o->max_topics ? &rows[n++] : other;
      if (to == other) rest++;
      else to->name = msub__name_of(e, t->name);
      add_topic(e, t, to);
    }
  for (size_t g = 0; g < GAUGES; g++) {
    for (size_t i = 0; i < n; i++) tell(o, gauges[g], MSUB_METRIC_GAUGE, "topic", rows[i].name, rows[i].gauge[g]);
    if (rest) tell(o, gauges[g], MSUB_METRIC_GAUGE, "topic", other->name, other->gauge[g]);
  }
  for (size_t c = 0; e->cfg->topic_counts && c < COUNTERS; c++) {
    for (size_t i = 0; i < n; i++) tell(o, counters[c], MSUB_METRIC_COUNTER, "topic", rows[i].name, counter_of(&rows[i], c));
    if (rest) tell(o, counters[c], MSUB_METRIC_COUNTER, "topic", other->name, counter_of(other, c));
  }
  msub__free(msub__mem(e), rows, (o->max_topics + 1) * sizeof *rows);
  return MSUB_OK;
}

int msub_metrics(msub_engine *e, const msub_metrics_opts *o) {
  if (o->size != sizeof *o || !o->each || o->max_topics > MAX_TOPICS || o->modules & ~(unsigned)MSUB_METRICS_ALL) return MSUB_ERR_INVAL;
  if (o->modules & MSUB_METRICS_ENGINE) engine_metrics(e, o);
  if (o->modules & MSUB_METRICS_ROUTERS) router_metrics(e, o);
  if (!(o->modules & MSUB_METRICS_TOPICS)) return MSUB_OK;
  return e->inside ? MSUB_ERR_STATE : topic_metrics(e, o); /* a router in the middle of something is not asked */
}
