/* The picture of an engine in one call, and its numbers under their names. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "gossipsub_world.h"
#include "meshsub/metrics.h"
#include "meshsub/state.h"

/* ---- the picture ---- */

typedef struct seen {
  unsigned engines, routers, sessions, topics, scores, order; /* order: of the last part: 1 engine … 5 score */
  size_t mesh, fanout, backoff, announced, queued[MSUB_LANES];
  double score_sum;
  uint32_t joined;
  int inside; /* what a call that is not allowed inside answered */
} seen;
static seen s;

static void at(unsigned part) {
  cr_assert(part >= s.order || (part == 2 && s.order == 5), "part %u behind %u", part, s.order);
  s.order = part;
}
static void nothing_much(void *ud, const msub_metric *m) {
  (void)ud;
  cr_assert(strstr(m->name, "topic_") == NULL, "%s", m->name);
}
static void on_engine(void *ud, const msub_state_engine *e) {
  (void)ud;
  at(1);
  s.engines++;
  cr_assert(msub_bytes_eq(e->self_id, msub_key_peer_id(w.key)) && e->n_routers == 1 && e->now.mono_ns == w.now.mono_ns);
  cr_assert_eq(e->counts->rpcs_in, msub_count(w.e)->rpcs_in);
  s.inside = msub_advance(w.e, &w.now);
  msub_metrics_opts mo;
  msub_metrics_opts_init(&mo);
  mo.each = nothing_much;
  cr_assert_eq(msub_metrics(w.e, &mo), MSUB_ERR_STATE);
  mo.modules = MSUB_METRICS_ENGINE | MSUB_METRICS_ROUTERS;
  cr_assert_eq(msub_metrics(w.e, &mo), MSUB_OK);
}
static void on_router(void *ud, const msub_state_router *r) {
  (void)ud;
  at(2);
  s.routers++;
  cr_assert(strcmp(r->name, "gossipsub") == 0 && r->scores && r->router == 0 && r->sessions == 8);
}
static bool queued(void *ud, uint64_t link, size_t bytes[MSUB_LANES]) {
  (void)ud;
  for (unsigned l = 0; l < MSUB_LANES; l++) bytes[l] = link * 10 + l;
  return link % 2 == 0;
}
static void on_session(void *ud, const msub_state_session *x) {
  (void)ud;
  at(3);
  s.sessions++;
  cr_assert(x->peer_id.n && strcmp(x->protocol, "/meshsub/1.2.0") == 0 && x->agreed && x->outbound && x->topics == 2);
  for (unsigned l = 0; x->has_queues && l < MSUB_LANES; l++) s.queued[l] += x->queued[l];
}
static void on_topic(void *ud, const msub_state_topic *t) {
  (void)ud;
  at(4);
  s.topics++;
  s.joined += t->joins;
  s.announced += t->announced;
  cr_assert(t->name.n == 1 && t->now_ns == w.now.mono_ns && t->n_peers >= t->announced);
  for (size_t i = 0; i < t->n_peers; i++) {
    s.mesh += (t->peers[i].roles & MSUB_ROLE_MESH) != 0;
    s.fanout += (t->peers[i].roles & MSUB_ROLE_FANOUT) != 0;
    s.backoff += (t->peers[i].roles & MSUB_ROLE_BACKOFF) != 0 && t->peers[i].backoff_ns > t->now_ns;
  }
}
static void on_score(void *ud, uint32_t router, msub_bytes peer_id, const msub_peer_score *p) {
  (void)ud;
  at(5);
  s.scores++;
  s.score_sum += p->score;
  cr_assert(router == 0 && peer_id.n && p->connected);
}
static const msub_state_visitor everything = { sizeof everything, NULL, on_engine, on_router, on_session, on_topic, on_score };

static void network(void) {
  gs_init();
  o.score = &msub_gossipsub_default_score;
  w.ops.queued = queued;
  w.opts.topic_counts = true;
  gs_start();
  msub_topic a = world_join(&w, "a", &gs_ids), b;
  cr_assert_eq(msub_open(w.e, 0, msub_str("b"), &gs_ids, NULL, &w.now, &b), MSUB_OK);
  gs_crowd(NULL, 1, 8, "/meshsub/1.2.0", true, "a");
  for (uint8_t i = 1; i <= 8; i++) world_subscribe(&w, gs_peer[i], "b", true);
  gs_heartbeat();
  cr_assert_eq(gs_publish(b, "m", 10), MSUB_OK);
  gs_from(gs_peer[1], MSUB_C_PRUNE, "a", NULL, 60);
  gs_from(gs_peer[2], MSUB_C_PRUNE, "a", NULL, 60);
  gs_message(gs_peer[3], "a", "x", 100);
  gs_message(gs_peer[4], "a", "x", 100);
  (void)a;
}

Test(state, one_picture) {
  network();
  s = (seen){ 0 };
  cr_assert_eq(msub_state(w.e, &everything, &w.now), MSUB_OK);
  cr_assert_eq(s.inside, MSUB_ERR_STATE, "nothing happens meanwhile");
  cr_assert(s.engines == 1 && s.routers == 1 && s.sessions == 8 && s.topics == 2 && s.scores == 8, "%u %u %u %u %u", s.engines, s.routers, s.sessions,
            s.topics, s.scores);
  cr_assert(s.joined == 1 && s.announced == 16);
  cr_assert(s.mesh == gs_count(msub_topic_named(w.e, 0, msub_str("a")), MSUB_ROLE_MESH) && s.mesh >= 4, "%zu", s.mesh);
  cr_assert(s.fanout == gs_count(msub_topic_named(w.e, 0, msub_str("b")), MSUB_ROLE_FANOUT) && s.fanout >= 5, "%zu", s.fanout);
  cr_assert_eq(s.backoff, 2);
  for (unsigned l = 0; l < MSUB_LANES; l++) cr_assert_eq(s.queued[l], (2 + 4 + 6 + 8) * 10 + 4 * l);
  /* nobody has to look at everything */
  msub_state_visitor nothing = { .size = sizeof nothing };
  cr_assert_eq(msub_state(w.e, &nothing, &w.now), MSUB_OK);
  nothing.size--;
  cr_assert_eq(msub_state(w.e, &nothing, &w.now), MSUB_ERR_INVAL);
  cr_assert_eq(msub_state(w.e, &everything, NULL), MSUB_ERR_STATE);
  world_stop(&w);
}

/* ---- the numbers ---- */

typedef struct metric { char name[96], label[16], of[300]; msub_metric_kind kind; uint64_t value; } metric;
static metric list[4096];
static size_t n_list;

static void each(void *ud, const msub_metric *m) {
  (void)ud;
  cr_assert(n_list < sizeof list / sizeof *list && m->value_of_label.n < sizeof list->of);
  metric *to = &list[n_list++];
  *to = (metric){ .kind = m->kind, .value = m->value };
  (void)snprintf(to->name, sizeof to->name, "%s", m->name);
  if (m->label) (void)snprintf(to->label, sizeof to->label, "%s", m->label);
  if (m->value_of_label.n) memcpy(to->of, m->value_of_label.p, m->value_of_label.n);
}
static const metric *find(const char *name, const char *of) {
  const metric *found = NULL;
  for (size_t i = 0; i < n_list; i++)
    if (strcmp(list[i].name, name) == 0 && strcmp(list[i].of, of) == 0) {
      cr_assert_null(found, "%s twice", name);
      found = &list[i];
    }
  return found;
}
static uint64_t value(const char *name, const char *of) {
  const metric *m = find(name, of);
  cr_assert(m, "no %s{%s}", name, of);
  return m->value;
}
static void gather(unsigned modules, size_t topics) {
  msub_metrics_opts mo;
  msub_metrics_opts_init(&mo);
  mo.modules = modules;
  mo.max_topics = topics;
  mo.each = each;
  n_list = 0;
  cr_assert_eq(msub_metrics(w.e, &mo), MSUB_OK);
}

/* None of the counters is forgotten: the list of the header against what comes. */
Test(state, every_counter_has_a_metric) {
  network();
  gather(MSUB_METRICS_ALL, 64);
  const msub_counts *c = msub_count(w.e);
  size_t counters = 0;
#define MSUB_X(name) \
  cr_assert_eq(value("gossipsub_" #name "_total", ""), c->name, #name); \
  counters++;
  MSUB_COUNTS(MSUB_X)
#undef MSUB_X
  cr_assert_eq(counters * sizeof(uint64_t), sizeof(msub_counts));
  for (int r = 1; r < MSUB_REASONS; r++) cr_assert_eq(value("gossipsub_reasons_total", msub_reason_name(r)), msub_count_reason(w.e, r));
  /* those of one name stand together, and the name says what they are */
  for (size_t i = 0; i < n_list; i++) {
    size_t n = strlen(list[i].name);
    bool total = n > 6 && strcmp(list[i].name + n - 6, "_total") == 0;
    cr_assert_eq(total, list[i].kind == MSUB_METRIC_COUNTER, "%s", list[i].name);
    for (size_t k = i + 1; k < n_list; k++)
      cr_assert(strcmp(list[i].name, list[k].name) != 0 || strcmp(list[k - 1].name, list[k].name) == 0, "%s", list[k].name);
  }
  cr_assert_eq(value("gossipsub_peers_per_protocol", "/meshsub/1.2.0"), 8);
  cr_assert_eq(value("gossipsub_peers_per_protocol", "/meshsub/1.1.0"), 0);
  cr_assert_eq(value("gossipsub_topics", ""), 2);
  cr_assert_eq(value("gossipsub_sessions", ""), 8);
  world_stop(&w);
}

Test(state, counts_of_topics) {
  network();
  gather(MSUB_METRICS_TOPICS, 64);
  cr_assert_null(find("gossipsub_rpcs_in_total", ""), "another module");
  cr_assert_eq(value("gossipsub_topic_subscription_status", "a"), 1);
  cr_assert_eq(value("gossipsub_topic_subscription_status", "b"), 0);
  cr_assert_eq(value("gossipsub_topic_peers_counts", "a"), 8);
  cr_assert_eq(value("gossipsub_mesh_peer_counts", "a"), gs_count(msub_topic_named(w.e, 0, msub_str("a")), MSUB_ROLE_MESH));
  cr_assert_eq(value("gossipsub_topic_msg_published_total", "b"), 1);
  cr_assert_eq(value("gossipsub_topic_msg_published_total", "a"), 0);
  cr_assert_eq(value("gossipsub_topic_msg_recv_counts_unfiltered_total", "a"), 2);
  cr_assert_eq(value("gossipsub_topic_msg_recv_counts_total", "a"), 1);
  cr_assert_eq(value("gossipsub_duplicate_messages_per_topic_total", "a"), 1);
  cr_assert_eq(value("gossipsub_accepted_messages_per_topic_total", "a"), 1);
  cr_assert_eq(value("gossipsub_accepted_messages_per_topic_total", "b"), 1);
  uint64_t out = value("gossipsub_topic_msg_sent_counts_total", "a") + value("gossipsub_topic_msg_sent_counts_total", "b");
  cr_assert(out == msub_count(w.e)->messages_out && out > 0);
  cr_assert_gt(value("gossipsub_topic_msg_recv_bytes_unfiltered_total", "a"), 200);
  cr_assert_gt(value("gossipsub_topic_msg_sent_bytes_total", "b"), 10);
  const msub_topic_counts *c = msub_topic_count(w.e, msub_topic_named(w.e, 0, msub_str("a")));
  cr_assert(c && c->messages_in == 2 && c->first == 1 && c->rejected == 0 && c->ignored == 0 && c->throttled == 0);
  cr_assert_null(msub_topic_count(w.e, (msub_topic){ 0 }));
  world_stop(&w);
}

/* Topics above the cap are summed; what they sum to does not depend on the cap. */
Test(state, cap_of_topics) {
  static const char *const names[] = { "gossipsub_topic_subscription_status", "gossipsub_topic_peers_counts", "gossipsub_topic_msg_published_total" };
  network();
  for (unsigned i = 0; i < 20; i++) {
    char name[3] = { 't', (char)('a' + i), 0 };
    cr_assert_eq(gs_publish(world_join(&w, name, &gs_ids), name, 10), MSUB_OK);
  }
  uint64_t sums[3] = { 0 };
  static const size_t caps[] = { 0, 1, 21, 22, 23, 64, 4096 };
  for (size_t k = 0; k < sizeof caps / sizeof *caps; k++) {
    gather(MSUB_METRICS_TOPICS, caps[k]);
    cr_assert_eq(find(names[0], "other") != NULL, caps[k] < 22);
    for (unsigned m = 0; m < 3; m++) {
      uint64_t sum = 0, labels = 0;
      for (size_t i = 0; i < n_list; i++)
        if (strcmp(list[i].name, names[m]) == 0) {
          sum += list[i].value;
          labels++;
        }
      cr_assert_eq(labels, caps[k] < 22 ? caps[k] + 1 : 22);
      if (k == 0) sums[m] = sum;
      cr_assert_eq(sum, sums[m]);
    }
  }
  cr_assert(sums[0] == 21 && sums[1] == 16 && sums[2] == 21);
  msub_metrics_opts mo;
  msub_metrics_opts_init(&mo);
  cr_assert_eq(msub_metrics(w.e, &mo), MSUB_ERR_INVAL, "nobody to tell");
  mo.each = each;
  mo.max_topics = 4097;
  cr_assert_eq(msub_metrics(w.e, &mo), MSUB_ERR_INVAL);
  mo.max_topics = 1;
  mo.modules = MSUB_METRICS_ALL + 1;
  cr_assert_eq(msub_metrics(w.e, &mo), MSUB_ERR_INVAL);
  mo.size = 0;
  cr_assert_eq(msub_metrics(w.e, &mo), MSUB_ERR_INVAL);
  world_stop(&w);
}

/* Off, there is nothing to count in. */
Test(state, topic_counts_are_off_by_default) {
  gs_init();
  gs_start();
  msub_topic t = world_join(&w, "a", &gs_ids);
  cr_assert_null(msub_topic_count(w.e, t));
  gather(MSUB_METRICS_TOPICS, 64);
  cr_assert(find("gossipsub_topic_peers_counts", "a") && !find("gossipsub_topic_msg_published_total", "a"));
  world_stop(&w);
}
