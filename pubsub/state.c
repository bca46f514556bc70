/* pubsub/state.c: everything that an engine knows, shown to a visitor in one call. */
#include "meshsub/state.h"
#include "pubsub/engine.h"

typedef struct tour {
  msub_engine *e;
  const msub_state_visitor *v;
  unsigned ri;
  msub_peer_state *peers; /* scratch */
  size_t cap;
} tour;

static void show_engine(const tour *t) {
  const msub_engine *e = t->e;
  msub_state_engine s = { .self_id = msub__intern_bytes(&e->sh->peers, e->self), .now = e->now, .n_routers = e->n_routers, .counts = msub_count(e) };
  msub_usage_of(e, &s.usage);
  t->v->engine(t->v->ud, &s);
}

static void show_router(const tour *t) {
  const msub__router *r = &t->e->routers[t->ri];
  msub_state_router s = { .router = t->ri, .name = r->plan->ops[0].name, .sessions = r->live_sessions, .topics = r->live_topics,
                          .scores = MSUB__HAS(t->e, t->ri, scores) };
  t->v->router(t->v->ud, &s);
}

static void show_sessions(const tour *t) {
  const msub_engine *e = t->e;
  for (uint32_t slot = 0; slot < e->routers[t->ri].n_sessions; slot++) {
    const msub__session *s = msub__session_at(e, t->ri, slot);
    if (!s->peer) continue;
    msub_session h = msub__session_handle(e, t->ri, slot);
    msub_state_session out = { .router = t->ri, .session = h, .peer_id = msub__intern_bytes(&e->sh->peers, s->peer),
                               .protocol = msub_session_protocol(e, h), .agreed = s->agreed, .outbound = s->outbound, .topics = s->n_topics };
    out.has_queues = MSUB__WORLD(e)->queued && MSUB__WORLD(e)->queued(e->w, s->link, out.queued);
    t->v->session(t->v->ud, &out);
  }
}

/* The router's view of a topic, however long it is; false: no memory. */
static bool look(tour *t, msub_topic h, size_t *n) {
  *n = MSUB__ASK(t->e, t->ri, snapshot, 0, h, t->peers, t->cap);
  if (*n <= t->cap) return true;
  size_t cap = *n + *n / 2;
  msub__free(msub__mem(t->e), t->peers, t->cap * sizeof *t->peers);
  t->peers = msub__zalloc(msub__mem(t->e), cap, sizeof *t->peers);
  t->cap = t->peers ? cap : 0;
  return t->peers && (*n = MSUB__ASK(t->e, t->ri, snapshot, 0, h, t->peers, t->cap)) <= t->cap;
}

static int show_topics(tour *t) {
  const msub_engine *e = t->e;
  for (uint32_t slot = 0; slot < e->routers[t->ri].n_topics; slot++) {
    const msub__topic *at = e->routers[t->ri].topics[slot].t;
    size_t n = 0;
    if (!at) continue;
    if (!look(t, at->handle, &n)) return MSUB_ERR_NOMEM;
    msub_state_topic s = { .router = t->ri, .topic = at->handle, .name = msub__name_of(e, at->name), .joins = at->joins, .opens = at->opens,
                           .announced = at->n_links, .cached = at->cached, .peers = t->peers, .n_peers = n, .now_ns = e->now.mono_ns };
    t->v->topic(t->v->ud, &s);
  }
  return MSUB_OK;
}

static void each_score(void *ud, const msub_peer_score *s) {
  const tour *t = ud;
  t->v->score(t->v->ud, t->ri, msub__intern_bytes(&t->e->sh->peers, s->peer), s);
}

static int show(tour *t) {
  const msub_state_visitor *v = t->v;
  msub_engine *e = t->e;
  int rc = MSUB_OK;
  if (v->engine) show_engine(t);
  for (t->ri = 0; t->ri < e->n_routers && rc == MSUB_OK; t->ri++) {
    if (v->router) show_router(t);
    if (v->session) show_sessions(t);
    if (v->topic) rc = show_topics(t);
    if (rc == MSUB_OK && v->score && MSUB__HAS(e, t->ri, scores)) rc = MSUB__OPS(e, t->ri, scores)->scores(MSUB__AT(e, t->ri, scores), each_score, t);
  }
  return rc;
}

int msub_state(msub_engine *e, const msub_state_visitor *v, const msub_now *now) {
  if (v->size != sizeof *v) return MSUB_ERR_INVAL;
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  tour t = { .e = e, .v = v };
  rc = show(&t);
  msub__free(msub__mem(e), t.peers, t.cap * sizeof *t.peers);
  msub__leave(e);
  return rc;
}
