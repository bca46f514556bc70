/* pubsub/router_api.c: what a router may ask of the engine. */
#include "pubsub/engine.h"

static const struct msub_level *level(const msub_router *r) { return r->level; }

void *msub_r_state(const msub_router *r) { return r->engine->routers[msub__router_index(r)].state; }
const void *msub_r_opts(const msub_router *r) { return level(r)->opts; }
uint64_t msub_r_mono(const msub_router *r) { return r->engine->now.mono_ns; }

/* A session or topic of this router. */
static bool own(const msub_router *r, uint32_t handle) { return msub__handle_router(handle) == msub__router_index(r); }
static msub__topic *topic(const msub_router *r, msub_topic t) { return own(r, t.v) ? msub__topic_of(r->engine, t) : NULL; }
static msub__session *session(const msub_router *r, msub_session s) {
  return own(r, s.v) ? msub__session_of(r->engine, s) : NULL;
}

void *msub_r_session(const msub_router *r, msub_session s) {
  msub__session *at = session(r, s);
  return at && level(r)->session_n ? msub__session_block(r->engine, at) : NULL;
}
void *msub_r_topic(const msub_router *r, msub_topic t) {
  msub__topic *at = topic(r, t);
  return at && level(r)->topic_n ? msub__topic_block(at) : NULL;
}
static void *link_block(const msub_router *r, const msub__topic *t, uint32_t i) {
  return level(r)->link_n ? msub__link_at(r->engine, t, i) + 1 : NULL;
}
void *msub_r_link(const msub_router *r, msub_session s, msub_topic t) {
  msub__topic *at = topic(r, t);
  if (!at || !session(r, s)) return NULL;
  uint32_t i = msub__link_find(r->engine, at, msub__handle_slot(s.v));
  return i == MSUB__NONE ? NULL : link_block(r, at, i);
}
size_t msub_r_links(const msub_router *r, msub_topic t) {
  msub__topic *at = topic(r, t);
  return at ? at->n_links : 0;
}
msub_session msub_r_link_session(const msub_router *r, msub_topic t, size_t i) {
  msub__topic *at = topic(r, t);
  if (!at || i >= at->n_links) return (msub_session){ 0 };
  return msub__session_handle(r->engine, msub__router_index(r), msub__link_at(r->engine, at, (uint32_t)i)->session);
}
void *msub_r_link_at(const msub_router *r, msub_topic t, size_t i) {
  msub__topic *at = topic(r, t);
  return at && i < at->n_links ? link_block(r, at, (uint32_t)i) : NULL;
}
uint32_t msub_r_rand(msub_router *r, unsigned stream, uint32_t below) {
  return msub__rng_below(&r->engine->routers[msub__router_index(r)].rng[stream % MSUB__RNG_STREAMS], below);
}
bool msub_r_info(const msub_router *r, msub_session s, msub_session_info *out) {
  const msub__session *at = session(r, s);
  if (at) msub__session_info_of(r->engine, msub__router_index(r), at, out);
  return at != NULL;
}
bool msub_r_joined(const msub_router *r, msub_topic t) {
  const msub__topic *at = topic(r, t);
  return at && at->joins;
}
msub_peer msub_r_peer_known(const msub_router *r, msub_bytes id) {
  msub_shared *sh = r->engine->sh;
  return (msub_peer){ id.n ? msub__intern_find(&sh->peers, &sh->key, id) : 0 };
}
msub_peer msub_r_session_peer(const msub_router *r, msub_session s) {
  const msub__session *at = session(r, s);
  return (msub_peer){ at ? at->peer : 0 };
}
