#include "cli/state.h"
#include <meshsub/state.h>

typedef struct view {
  json_t *out, *routers, *sessions, *topics, *scores;
  const msub_shared *sh;
} view;

static json_t *number(uint64_t n) { return json_integer((json_int_t)n); }
static const char *const lanes[MSUB_LANES] = { "control", "own", "forward", "gossip" };

static void on_engine(void *ud, const msub_state_engine *s) {
  view *v = ud;
  json_object_set_new(v->out, "peer", json_peer(s->self_id));
  json_object_set_new(v->out, "ns", number((uint64_t)s->now.wall_ns));
  json_t *usage = json_object();
  json_object_set_new(usage, "messages", number(s->usage.messages));
  json_object_set_new(usage, "names", number(s->usage.names));
  json_object_set_new(usage, "peers", number(s->usage.peers));
  json_object_set_new(usage, "sessions", number(s->usage.sessions));
  json_object_set_new(usage, "topics", number(s->usage.topics));
  json_object_set_new(usage, "questions", number(s->usage.questions));
  json_object_set_new(usage, "seen", number(s->usage.seen));
  json_object_set_new(usage, "seen_bytes", number(s->usage.seen_bytes));
  json_object_set_new(v->out, "usage", usage);
}

static void on_router(void *ud, const msub_state_router *s) {
  view *v = ud;
  json_t *j = json_object();
  json_object_set_new(j, "router", number(s->router));
  json_object_set_new(j, "name", json_string(s->name));
  json_object_set_new(j, "sessions", number(s->sessions));
  json_object_set_new(j, "topics", number(s->topics));
  json_array_append_new(v->routers, j);
}

static void on_session(void *ud, const msub_state_session *s) {
  view *v = ud;
  json_t *j = json_object(), *queued = json_object();
  json_object_set_new(j, "router", number(s->router));
  json_object_set_new(j, "peer", json_peer(s->peer_id));
  json_object_set_new(j, "protocol", json_string(s->protocol));
  json_object_set_new(j, "agreed", json_boolean(s->agreed));
  json_object_set_new(j, "outbound", json_boolean(s->outbound));
  json_object_set_new(j, "topics", number(s->topics));
  for (unsigned l = 0; s->has_queues && l < MSUB_LANES; l++) json_object_set_new(queued, lanes[l], number(s->queued[l]));
  json_object_set_new(j, "queued", queued);
  json_array_append_new(v->sessions, j);
}

static void on_topic(void *ud, const msub_state_topic *s) {
  static const struct { uint32_t role; const char *name; } roles[] = { { MSUB_ROLE_MESH, "mesh" }, { MSUB_ROLE_FANOUT, "fanout" },
    { MSUB_ROLE_DIRECT, "direct" }, { MSUB_ROLE_OUTBOUND, "outbound" } };
  view *v = ud;
  json_t *j = json_object(), *peers = json_array();
  json_object_set_new(j, "router", number(s->router));
  set_name(j, "topic", s->name);
  json_object_set_new(j, "joins", number(s->joins));
  json_object_set_new(j, "opens", number(s->opens));
  json_object_set_new(j, "announced", number(s->announced));
  json_object_set_new(j, "cached", number(s->cached));
  for (size_t i = 0; i < s->n_peers; i++) {
    const msub_peer_state *p = &s->peers[i];
    json_t *one = json_object(), *list = json_array();
    json_object_set_new(one, "peer", json_peer(msub_peer_bytes(v->sh, p->peer)));
    for (size_t r = 0; r < sizeof roles / sizeof *roles; r++)
      if (p->roles & roles[r].role) json_array_append_new(list, json_string(roles[r].name));
    json_object_set_new(one, "roles", list);
    if (p->roles & MSUB_ROLE_BACKOFF) json_object_set_new(one, "backoff_ms", number(p->backoff_ns > s->now_ns ? (p->backoff_ns - s->now_ns) / 1000000 : 0));
    json_object_set_new(one, "score", json_real(p->score));
    json_array_append_new(peers, one);
  }
  json_object_set_new(j, "peers", peers);
  json_array_append_new(v->topics, j);
}

static void on_score(void *ud, uint32_t router, msub_bytes peer_id, const msub_peer_score *s) {
  view *v = ud;
  json_t *j = json_object(), *topics = json_array();
  json_object_set_new(j, "router", number(router));
  json_object_set_new(j, "peer", json_peer(peer_id));
  json_object_set_new(j, "connected", json_boolean(s->connected));
  json_object_set_new(j, "score", json_real(s->score));
  json_object_set_new(j, "app_specific", json_real(s->app_specific));
  json_object_set_new(j, "ip_colocation_factor", json_real(s->ip_colocation_factor));
  json_object_set_new(j, "inherited", json_real(s->inherited));
  json_object_set_new(j, "behaviour_penalty", json_real(s->behaviour_penalty));
  for (size_t i = 0; i < s->n_topics; i++) {
    const msub_peer_topic_score *t = &s->topics[i];
    json_t *one = json_object();
    set_name(one, "topic", msub_name_bytes(v->sh, t->topic_name));
    json_object_set_new(one, "in_mesh", json_boolean(t->in_mesh));
    json_object_set_new(one, "time_in_mesh_ns", number(t->time_in_mesh_ns));
    json_object_set_new(one, "first_message_deliveries", json_real(t->first_message_deliveries));
    json_object_set_new(one, "mesh_message_deliveries", json_real(t->mesh_message_deliveries));
    json_object_set_new(one, "mesh_failure_penalty", json_real(t->mesh_failure_penalty));
    json_object_set_new(one, "invalid_message_deliveries", json_real(t->invalid_message_deliveries));
    json_object_set_new(one, "score", json_real(t->score));
    json_array_append_new(topics, one);
  }
  json_object_set_new(j, "topics", topics);
  json_array_append_new(v->scores, j);
}

int state_json(msub_host *h, json_t *out) {
  view v = { out, json_array(), json_array(), json_array(), json_array(), msub_engine_shared(msub_host_engine(h)) };
  msub_state_visitor visit = { .size = sizeof visit, .ud = &v, .engine = on_engine, .router = on_router, .session = on_session, .topic = on_topic,
                               .score = on_score };
  int err = msub_state(msub_host_engine(h), &visit, msub_host_now(h));
  json_object_set_new(out, "routers", v.routers);
  json_object_set_new(out, "sessions", v.sessions);
  json_object_set_new(out, "topics", v.topics);
  json_object_set_new(out, "scores", v.scores);
  return err;
}
