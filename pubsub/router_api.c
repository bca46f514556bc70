/* pubsub/router_api.c: what a router may ask of the engine. */
#include "pubsub/engine.h"
#include <stdarg.h>
#include <stdio.h>

static msub__router *router(const msub_router *r) { return &r->engine->routers[r->index]; }
/* A session or topic of this router. */
static bool own(const msub_router *r, uint32_t handle) { return msub__handle_router(handle) == r->index; }
static msub__topic *topic(const msub_router *r, msub_topic t) { return own(r, t.v) ? msub__topic_of(r->engine, t) : NULL; }
static msub__session *session(const msub_router *r, msub_session s) {
  return own(r, s.v) ? msub__session_of(r->engine, s) : NULL;
}
static void *block(uint8_t *base, msub__place p) { return p.n ? base + p.at : NULL; }

/* ---- blocks ---- */

void *msub_r_state(const msub_router *r) { return block(router(r)->state, r->level->state); }
void *msub_r_peer(const msub_router *r, msub_session s) {
  msub__session *at = session(r, s);
  return at ? block((uint8_t *)at, r->level->peer) : NULL;
}
void *msub_r_session(const msub_router *r, msub_session s) {
  msub__session *at = session(r, s);
  return at ? block((uint8_t *)at, r->level->session) : NULL;
}
void *msub_r_topic(const msub_router *r, msub_topic t) {
  msub__topic *at = topic(r, t);
  return at ? block(msub__topic_blocks(at), r->level->topic) : NULL;
}
static void *link_block(const msub_router *r, const msub__topic *t, uint32_t i) {
  return block((uint8_t *)msub__link_at(r->engine, t, i), r->level->link);
}
void *msub_r_link(const msub_router *r, msub_session s, msub_topic t) {
  msub__topic *at = topic(r, t);
  if (!at || !session(r, s)) return NULL;
  uint32_t i = msub__link_find(r->engine, at, msub__handle_slot(s.v));
  return i == MSUB__NONE ? NULL : link_block(r, at, i);
}
void *msub_r_departed(const msub_router *r, msub_peer p) {
  uint8_t *b = msub__departed_block(r->engine, r->index, p.v);
  return b && r->level->peer.n ? b + (r->level->peer.at - router(r)->plan->peers_at) : NULL;
}
const void *msub_r_opts(const msub_router *r) { return r->level->opts; }
const msub_mem *msub_r_mem(const msub_router *r) { return msub__mem(r->engine); }

/* ---- asking ---- */

uint64_t msub_r_mono(const msub_router *r) { return r->engine->now.mono_ns; }

uint32_t msub_r_rand(msub_router *r, unsigned stream, uint32_t below) {
  const msub__router *at = router(r);
  uint32_t s = stream % MSUB__RNG_STREAMS, *counter = (uint32_t *)(void *)at->state + r->level->depth * MSUB__RNG_STREAMS + s;
  msub__rng g;
  /* Counted from the innermost level, so that a router draws the same when it is nested. */
  uint32_t level = at->plan->n_levels - 1 - r->level->depth;
  msub__rng_init(&g, r->engine->seed, (r->index * MSUB__LEVELS + level) * MSUB__RNG_STREAMS + s);
  g.counter = *counter;
  uint32_t x = msub__rng_below(&g, below);
  *counter = (uint32_t)g.counter;
  return x;
}

uint64_t msub_r_hash(const msub_router *r, msub_bytes b) { return msub__id_hash(r->engine, b); }

size_t msub_r_links(const msub_router *r, msub_topic t) {
  msub__topic *at = topic(r, t);
  return at ? at->n_links : 0;
}
msub_session msub_r_link_session(const msub_router *r, msub_topic t, size_t i) {
  msub__topic *at = topic(r, t);
  if (!at || i >= at->n_links) return (msub_session){ 0 };
  return msub__session_handle(r->engine, r->index, msub__link_at(r->engine, at, (uint32_t)i)->session);
}
void *msub_r_link_at(const msub_router *r, msub_topic t, size_t i) {
  msub__topic *at = topic(r, t);
  return at && i < at->n_links ? link_block(r, at, (uint32_t)i) : NULL;
}
size_t msub_r_link_views(const msub_router *r, msub_topic t, size_t first, msub_link_view *out, size_t cap) {
  const msub__topic *at = topic(r, t);
  if (!at || first >= at->n_links) return 0;
  size_t n = at->n_links - first < cap ? at->n_links - first : cap, stride = router(r)->plan->link_stride;
  uint8_t *link = at->links + first * stride;
  for (size_t i = 0; i < n; i++, link += stride) {
    uint32_t slot = ((const msub__link *)(const void *)link)->session;
    msub__session *s = msub__session_at(r->engine, r->index, slot);
    out[i] = (msub_link_view){ { msub__handle(r->index, s->gen, slot) }, block(link, r->level->link), block((uint8_t *)s, r->level->peer) };
  }
  return n;
}
bool msub_r_link_view(const msub_router *r, msub_session s, msub_topic t, msub_link_view *out) {
  const msub__topic *at = topic(r, t);
  msub__session *of = session(r, s);
  uint32_t i = at && of ? msub__link_find(r->engine, at, msub__handle_slot(s.v)) : MSUB__NONE;
  if (i == MSUB__NONE) return false;
  *out = (msub_link_view){ s, link_block(r, at, i), block((uint8_t *)of, r->level->peer) };
  return true;
}
uint8_t msub_r_link_flags(const msub_router *r, msub_topic t, size_t i) {
  msub__topic *at = topic(r, t);
  return at && i < at->n_links ? (uint8_t)msub__link_at(r->engine, at, (uint32_t)i)->flags : 0;
}
bool msub_r_linked(const msub_router *r, msub_session s, msub_topic t) {
  msub__topic *at = topic(r, t);
  return at && session(r, s) && msub__link_find(r->engine, at, msub__handle_slot(s.v)) != MSUB__NONE;
}
bool msub_r_info(const msub_router *r, msub_session s, msub_session_info *out) {
  const msub__session *at = session(r, s);
  if (at) msub__session_info_of(r->engine, r->index, at, out);
  return at != NULL;
}
uint16_t msub_r_features(const msub_router *r, msub_session s) {
  const msub__session *at = session(r, s);
  return at ? router(r)->plan->protocols[at->protocol].features : 0;
}
bool msub_r_outbound(const msub_router *r, msub_session s) {
  const msub__session *at = session(r, s);
  return at && at->outbound;
}
size_t msub_r_sessions(const msub_router *r) { return router(r)->n_sessions; }
msub_session msub_r_session_at(const msub_router *r, size_t i) {
  if (i >= router(r)->n_sessions || msub__session_at(r->engine, r->index, (uint32_t)i)->peer == 0) return (msub_session){ 0 };
  return msub__session_handle(r->engine, r->index, (uint32_t)i);
}
msub_session msub_r_session_of(const msub_router *r, msub_peer p) {
  uint32_t slot = msub__session_find(r->engine, r->index, p.v);
  return slot == MSUB__NONE ? (msub_session){ 0 } : msub__session_handle(r->engine, r->index, slot);
}
msub_peer msub_r_session_peer(const msub_router *r, msub_session s) {
  const msub__session *at = session(r, s);
  return (msub_peer){ at ? at->peer : 0 };
}
size_t msub_r_topics(const msub_router *r) { return router(r)->n_topics; }
msub_topic msub_r_topic_at(const msub_router *r, size_t i) {
  const msub__topic *t = i < router(r)->n_topics ? router(r)->topics[i].t : NULL;
  return t ? t->handle : (msub_topic){ 0 };
}
bool msub_r_joined(const msub_router *r, msub_topic t) {
  const msub__topic *at = topic(r, t);
  return at && at->joins;
}
uint32_t msub_r_name(const msub_router *r, msub_topic t) {
  const msub__topic *at = topic(r, t);
  return at ? at->name : 0;
}
msub_bytes msub_r_name_bytes(const msub_router *r, uint32_t name) { return msub__intern_bytes(&r->engine->sh->names, name); }
msub_topic msub_r_topic_of(const msub_router *r, uint32_t name) {
  const msub__topic *t = msub__topic_find(r->engine, r->index, name);
  return t ? t->handle : (msub_topic){ 0 };
}
const void *msub_r_params(const msub_router *r, msub_topic t) {
  const msub__topic *at = topic(r, t);
  if (!at) return NULL;
  if (at->policy && at->policy->params) return at->policy->params;
  const msub_plan *p = router(r)->plan;
  for (uint32_t d = 0; d < p->n_levels; d++)
    if (p->level[d].policy && p->level[d].policy->params) return p->level[d].policy->params;
  return NULL;
}
bool msub_r_seen(const msub_router *r, msub_topic t, msub_bytes id) {
  const msub__topic *at = topic(r, t);
  const msub_engine *e = r->engine;
  return at && e->work && msub__seen_find(&e->work->seen, msub__fingerprint(e, at, id), e->now.mono_ns) != MSUB__UNSEEN;
}
bool msub_r_go_parity(const msub_router *r) { return r->engine->cfg->go_parity; }
msub_peer msub_r_peer_known(const msub_router *r, msub_bytes id) {
  msub_shared *sh = r->engine->sh;
  return (msub_peer){ id.n ? msub__intern_find(&sh->peers, &sh->key, id) : 0 };
}
msub_bytes msub_r_peer_id(const msub_router *r, msub_peer p) { return msub__intern_bytes(&r->engine->sh->peers, p.v); }
msub_peer msub_r_peer_hold(msub_router *r, msub_bytes id) {
  msub_shared *sh = r->engine->sh;
  return (msub_peer){ id.n && id.n <= 64 ? msub__intern_hold(&sh->peers, &sh->mem, &sh->key, id) : 0 };
}
void msub_r_peer_drop(msub_router *r, msub_peer p) {
  msub_shared *sh = r->engine->sh;
  if (p.v) msub__intern_drop(&sh->peers, &sh->mem, &sh->key, p.v);
}
uint32_t msub_r_name_intern(msub_router *r, msub_bytes name) {
  msub_shared *sh = r->engine->sh;
  return name.n <= MSUB__TOPIC_NAME ? msub__intern_hold(&sh->names, &sh->mem, &sh->key, name) : 0;
}
void msub_r_name_hold(msub_router *r, uint32_t name) {
  if (name) msub__intern_ref(&r->engine->sh->names, name);
}
void msub_r_name_drop(msub_router *r, uint32_t name) {
  msub_shared *sh = r->engine->sh;
  if (name) msub__intern_drop(&sh->names, &sh->mem, &sh->key, name);
}

/* ---- doing ---- */

size_t msub_r_send(msub_router *r, const msub_session *to, size_t n_to, const msub_ctl_entry *e, size_t n, msub_lane lane) {
  return msub__send_control(r->engine, to, n_to, e, n, lane);
}
const msub_ctl *msub_r_ctl_new(msub_router *r, const msub_ctl_entry *e) {
  bool list = e->kind == MSUB_C_IHAVE || e->kind == MSUB_C_IWANT || e->kind == MSUB_C_IDONTWANT;
  return list ? msub__ctl_shared(r->engine->sh, e) : NULL;
}
void msub_r_ctl_drop(msub_router *r, const msub_ctl *c) { msub_ctl_drop(r->engine->sh, c); }
int msub_r_serve_within(msub_router *r, msub_session s, msub_bytes id, msub_serving *how) {
  return session(r, s) ? msub__serve(r, msub__handle_slot(s.v), id, how) : MSUB_ERR_STALE;
}
int msub_r_serve(msub_router *r, msub_session s, msub_bytes id, unsigned max_times) {
  msub_serving how = { .max_times = max_times };
  return msub_r_serve_within(r, s, id, &how);
}
unsigned msub_r_withdraw(msub_router *r, msub_session s, msub_bytes id) {
  const msub__session *at = session(r, s);
  const msub_world_ops *w = MSUB__WORLD(r->engine);
  if (!at || !w->withdraw) return 0;
  unsigned n = w->withdraw(r->engine->w, at->link, id);
  if (n) {
    MSUB__COUNT_N(r->engine, withdrawn, n);
    MSUB__TRACE(r->engine, r->index, .kind = MSUB_T_WITHDRAW, .peer = { at->peer }, .id = id, .n = n);
  }
  return n;
}
void msub_r_connect_hint(msub_router *r, msub_bytes peer_id, msub_bytes record) {
  const msub_world_ops *w = MSUB__WORLD(r->engine);
  if (w->connect_hint) w->connect_hint(r->engine->w, peer_id, record);
}
size_t msub_r_peer_record(msub_router *r, msub_peer p, uint8_t *out, size_t cap) {
  const msub_world_ops *w = MSUB__WORLD(r->engine);
  size_t n = w->peer_record ? w->peer_record(r->engine->w, p, out, cap) : 0;
  if (n <= cap) return n;
  msub__fault(r->engine, "the world", "peer_record answered more bytes than there is room for");
  return 0;
}
void msub_r_protect(msub_router *r, msub_peer p, msub_topic t, bool on) {
  const msub_world_ops *w = MSUB__WORLD(r->engine);
  if (w->protect && !r->engine->silent) w->protect(r->engine->w, p, t, on);
}
bool msub_r_want_peers(msub_router *r, msub_topic t, unsigned n) {
  const msub_world_ops *w = MSUB__WORLD(r->engine);
  if (w->want_peers && topic(r, t)) w->want_peers(r->engine->w, t, n);
  return w->want_peers != NULL;
}
bool msub_r_traced(const msub_router *r) { return MSUB__TRACED(r->engine); }
void msub_r_trace(msub_router *r, msub_event_kind k, msub_topic t, msub_peer p) {
  MSUB__TRACE(r->engine, r->index, .kind = k, .topic = t, .peer = p);
}
void msub_r_log(msub_router *r, msub_log_level level, const char *fmt, ...) {
  const msub_log *l = &r->engine->cfg->log;
  if (!l->fn || level > l->level) return;
  char text[512];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  msub__log_write(l, level, r->level->ops->name, "%s", text);
}
