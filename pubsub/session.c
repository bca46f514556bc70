/* pubsub/session.c: sessions (peer, router): slots that never move, subscriptions of peers, the world's calls about them. */
#include "pubsub/engine.h"
#include <string.h>


typedef struct session_key { unsigned ri; uint32_t peer; } session_key;
static uint64_t session_hash(unsigned ri, uint32_t peer) { return msub__index_hash(MSUB__INDEX_SESSION, ri, peer); }
static bool same_session(const void *ctx, uint32_t value, const void *key) {
  const session_key *k = key;
  return (value & ~0xfffffu) == (MSUB__INDEX_SESSION | k->ri << 20) && msub__session_at(ctx, k->ri, value & 0xfffff)->peer == k->peer;
}
uint32_t msub__session_find(const msub_engine *e, unsigned ri, uint32_t peer) {
  if (peer == 0 || e->routers[ri].live_sessions == 0) return MSUB__NONE;
  session_key k = { ri, peer };
  uint32_t v = msub__table_find(&e->index, session_hash(ri, peer), same_session, e, &k);
  return v == MSUB__NONE ? MSUB__NONE : v & 0xfffff;
}

void msub__session_info_of(const msub_engine *e, unsigned ri, const msub__session *s, msub_session_info *out) {
  const struct msub_plan *p = e->routers[ri].plan;
  *out = (msub_session_info){ .peer = { s->peer }, .protocol = p->protocols[s->protocol].id,
                              .features = p->protocols[s->protocol].features, .outbound = s->outbound, .agreed = s->agreed,
                              .returning = s->returning };
}

/* The router that claims a protocol, and its place there. A firm claim counts before a weak one. */
static bool claims(const msub_engine *e, const char *protocol, unsigned *ri, uint8_t *at) {
  bool found = false;
  for (unsigned i = 0; i < e->n_routers; i++)
    for (uint32_t k = 0; k < e->routers[i].plan->n_protocols; k++) {
      bool weak = e->routers[i].plan->protocols[k].weak;
      if ((found && weak) || strcmp(e->routers[i].plan->protocols[k].id, protocol) != 0) continue;
      *ri = i;
      *at = (uint8_t)k;
      found = true;
      if (!weak) return true;
    }
  return found;
}

/* A zeroed slot, or NONE. */
static uint32_t take_slot(msub_engine *e, unsigned ri, int *err) {
  msub__router *r = &e->routers[ri];
  const msub_mem *m = msub__mem(e);
  *err = MSUB_OK;
  if (r->free_session) {
    uint32_t slot = r->free_session - 1;
    r->free_session = msub__session_at(e, ri, slot)->topic_bytes;
    return slot;
  }
  *err = MSUB_ERR_LIMIT;
  if (r->n_sessions >= MSUB__SLOTS) return MSUB__NONE;
  *err = MSUB_ERR_NOMEM;
  uint32_t chunk = msub__chunk_of(r->n_sessions);
  if (msub__place_in_chunk(r->n_sessions) == 0) {
    if (chunk == r->cap_chunks) {
      uint32_t cap = r->cap_chunks ? r->cap_chunks * 2 : 2;
      msub__session **p = msub__realloc(m, r->chunks, r->cap_chunks * sizeof *p, cap * sizeof *p);
      if (!p) return MSUB__NONE;
      r->chunks = p;
      r->cap_chunks = cap;
    }
    r->chunks[chunk] = msub__zalloc(m, msub__chunk_slots(chunk), r->plan->session_stride);
    if (!r->chunks[chunk]) return MSUB__NONE;
  }
  *err = MSUB_OK;
  return r->n_sessions++;
}

static uint32_t room_for_topics(const msub__session *s) { return MSUB__FEW_TOPICS << s->doublings; }

static void free_slot(msub_engine *e, unsigned ri, uint32_t slot) {
  msub__router *r = &e->routers[ri];
  msub__session *s = msub__session_at(e, ri, slot);
  if (s->doublings) msub__free(msub__mem(e), s->topics.many, room_for_topics(s) * sizeof *s->topics.many);
  uint16_t gen = s->gen;
  memset(s, 0, r->plan->session_stride);
  s->gen = gen;
  s->topic_bytes = r->free_session;
  r->free_session = slot + 1;
}

/* ---- what a peer announces ---- */

static void topic_event(msub_engine *e, const msub__topic *t, uint32_t peer, bool joined) {
  e->stirred = true;
  if (e->watching && !e->silent) msub__watch_tell(e, t->handle, peer, joined);
  if (t->joins && MSUB__WORLD(e)->topic_peer && !e->silent) MSUB__WORLD(e)->topic_peer(e->w, t->handle, (msub_peer){ peer }, joined);
}

static int note_topic(msub_engine *e, msub__session *s, uint32_t topic_slot) {
  uint32_t cap = room_for_topics(s);
  if (s->n_topics == cap) {
    const msub_mem *m = msub__mem(e);
    uint16_t *p = msub__alloc(m, 2 * cap * sizeof *p);
    if (!p) return MSUB_ERR_NOMEM;
    memcpy(p, msub__session_topics(s), cap * sizeof *p);
    if (s->doublings) msub__free(m, s->topics.many, cap * sizeof *p);
    s->topics.many = p;
    s->doublings++;
  }
  msub__session_topics(s)[s->n_topics++] = (uint16_t)topic_slot;
  return MSUB_OK;
}

void msub__session_subscribe(msub_engine *e, unsigned ri, uint32_t slot, msub_bytes name, uint32_t flags) {
  msub__session *s = msub__session_at(e, ri, slot);
  MSUB__COUNT(e, subscriptions_in);
  if (e->filtering && !msub__filter_allows(e, name, s->peer)) {
    MSUB__COUNT(e, subscriptions_filtered);
    return;
  }
  msub__topic *t = msub__topic_find(e, ri, msub__intern_find(&e->sh->names, &e->sh->key, name));
  if (t) {
    uint32_t i = msub__link_find(e, t, slot);
    if (i != MSUB__NONE) { /* a repetition: its flags count, it is no longer stale */
      bool changed = (msub__link_at(e, t, i)->flags & ~MSUB__LINK_STALE) != flags;
      msub__link_at(e, t, i)->flags = flags & MSUB__LINK_FLAGS;
      if (changed) MSUB__CALL(e, ri, remote_join, msub__session_handle(e, ri, slot), t->handle, (uint8_t)flags);
      return;
    }
  }
  int err = MSUB_ERR_LIMIT;
  if (name.n > MSUB__TOPIC_NAME || s->n_topics >= MSUB__PEER_TOPICS || s->topic_bytes + name.n > MSUB__PEER_TOPIC_BYTES ||
      (!t && !(t = msub__topic_get(e, ri, name, &err)))) {
    MSUB__COUNT(e, subscriptions_over_limit);
    return;
  }
  msub__link *l = note_topic(e, s, msub__handle_slot(t->handle.v)) == MSUB_OK ? msub__link_add(e, t, slot) : NULL;
  if (!l) { /* no memory: as if it had not been announced */
    if (s->n_topics && msub__session_topics(s)[s->n_topics - 1] == msub__handle_slot(t->handle.v)) s->n_topics--;
    MSUB__COUNT(e, subscriptions_over_limit);
    msub__topic_release(e, t);
    return;
  }
  l->flags = flags & MSUB__LINK_FLAGS;
  s->topic_bytes += (uint32_t)name.n;
  MSUB__CALL(e, ri, remote_join, msub__session_handle(e, ri, slot), t->handle, (uint8_t)flags);
  topic_event(e, t, s->peer, true);
  msub_channel c;
  const msub_channel_policy *p = t->joins ? MSUB__HOOK(e, t, on_peer_join, &c) : NULL;
  if (p) p->on_peer_join(&c, msub__session_handle(e, ri, slot));
}

/* Ends the link of the i-th topic of the session. */
static void unlink_topic(msub_engine *e, unsigned ri, uint32_t slot, uint32_t i, bool down) {
  msub__session *s = msub__session_at(e, ri, slot);
  uint16_t *topics = msub__session_topics(s);
  msub__topic *t = e->routers[ri].topics[topics[i]].t;
  MSUB__CALL(e, ri, remote_leave, msub__session_handle(e, ri, slot), t->handle, down);
  msub__link_remove(e, t, msub__link_find(e, t, slot));
  s->topic_bytes -= (uint32_t)msub__intern_bytes(&e->sh->names, t->name).n;
  topics[i] = topics[--s->n_topics];
  topic_event(e, t, s->peer, false);
  msub__topic_release(e, t);
}

void msub__session_unsubscribe(msub_engine *e, unsigned ri, uint32_t slot, msub_bytes name) {
  msub__session *s = msub__session_at(e, ri, slot);
  MSUB__COUNT(e, subscriptions_in);
  msub__topic *t = msub__topic_find(e, ri, msub__intern_find(&e->sh->names, &e->sh->key, name));
  if (!t || msub__link_find(e, t, slot) == MSUB__NONE) return;
  for (uint32_t i = 0; i < s->n_topics; i++)
    if (msub__session_topics(s)[i] == msub__handle_slot(t->handle.v)) {
      unlink_topic(e, ri, slot, i, false);
      return;
    }
}

void msub__session_hello_read(msub_engine *e, unsigned ri, uint32_t slot) {
  msub__session *s = msub__session_at(e, ri, slot);
  s->hello_due = false;
  for (uint32_t i = s->n_topics; i-- > 0;) {
    msub__topic *t = e->routers[ri].topics[msub__session_topics(s)[i]].t;
    if (msub__link_at(e, t, msub__link_find(e, t, slot))->flags & MSUB__LINK_STALE) unlink_topic(e, ri, slot, i, false);
  }
}

/* ---- the world's calls ---- */

/* The slot, the peer block and the peer's index of a session that is over. */
static void give_back(msub_engine *e, unsigned ri, uint32_t slot) {
  uint32_t peer = msub__session_at(e, ri, slot)->peer;
  msub__table_remove(&e->index, session_hash(ri, peer), MSUB__INDEX_SESSION | (uint32_t)ri << 20 | slot);
  e->routers[ri].live_sessions--;
  uint64_t until = MSUB__ASK(e, ri, retain, 0, msub__session_handle(e, ri, slot));
  msub__depart(e, ri, slot, until);
  free_slot(e, ri, slot);
  msub__intern_drop(&e->sh->peers, msub__mem(e), &e->sh->key, peer);
}

static int begin(msub_engine *e, unsigned ri, uint8_t at, const msub_session_opts *o, msub_session *out) {
  msub_shared *sh = e->sh;
  const msub_mem *m = msub__mem(e);
  int err;
  uint32_t peer = msub__intern_hold(&sh->peers, m, &sh->key, o->peer_id);
  if (peer == 0) return MSUB_ERR_NOMEM;
  if (msub__session_find(e, ri, peer) != MSUB__NONE) err = MSUB_ERR_CLAIMED;
  else err = msub__table_reserve(&e->index, m);
  uint32_t slot = err == MSUB_OK ? take_slot(e, ri, &err) : MSUB__NONE;
  if (slot == MSUB__NONE) {
    msub__intern_drop(&sh->peers, m, &sh->key, peer);
    return err;
  }
  msub__session *s = msub__session_at(e, ri, slot);
  s->gen = (uint16_t)(s->gen % 511 + 1);
  s->topic_bytes = 0;
  s->peer = peer;
  s->link = o->link;
  s->protocol = at & 0xfu;
  s->outbound = o->outbound;
  s->agreed = o->agreed;
  s->prefix = msub__conduct_prefix(e, o->address);
  s->first_due = true;
  err = msub__table_insert(&e->index, m, session_hash(ri, peer), MSUB__INDEX_SESSION | (uint32_t)ri << 20 | slot);
  MSUB__INVARIANT(err == MSUB_OK);
  e->routers[ri].live_sessions++;
  s->returning = msub__return(e, ri, slot);
  msub_session h = msub__session_handle(e, ri, slot);
  msub_session_info info;
  msub__session_info_of(e, ri, s, &info);
  info.address = o->address;
  if (MSUB__ASK(e, ri, session_up, MSUB_OK, h, &info) != MSUB_OK) {
    give_back(e, ri, slot);
    return MSUB_ERR_REFUSED;
  }
  MSUB__TRACE(e, ri, .kind = MSUB_T_ADD_PEER, .peer = { peer }, .text = info.protocol);
  *out = h;
  msub__send_hello(e, ri, slot, false);
  return MSUB_OK;
}

int msub_session_up(msub_engine *e, const msub_session_opts *o, const msub_now *now, msub_session *out) {
  unsigned ri = 0;
  uint8_t at = 0;
  if (!o || !o->protocol || o->peer_id.n == 0 || o->peer_id.n > 64) return MSUB_ERR_INVAL;
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  if (!claims(e, o->protocol, &ri, &at)) rc = MSUB_ERR_UNSUPPORTED;
  else if (msub__conduct_until(e, o->peer_id, msub__conduct_prefix(e, o->address)) > e->now.mono_ns) rc = MSUB_ERR_REFUSED;
  else if (msub__list_refuses(e, o->peer_id, e->now.mono_ns, NULL)) rc = MSUB_ERR_REFUSED;
  else rc = begin(e, ri, at, o, out);
  msub__leave(e);
  return rc;
}

int msub_session_offer(msub_engine *e, msub_session h, const char *protocol, uint64_t link, const msub_now *now) {
  unsigned ri = 0;
  uint8_t at = 0;
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  msub__session *s = msub__session_of(e, h);
  if (!s) rc = MSUB_ERR_STALE;
  else if (!protocol || !claims(e, protocol, &ri, &at) || ri != msub__handle_router(h.v)) rc = MSUB_ERR_UNSUPPORTED;
  else {
    s->protocol = at & 0xfu;
    s->link = link;
    s->agreed = false;
    msub__send_hello(e, ri, msub__handle_slot(h.v), false);
  }
  msub__leave(e);
  return rc;
}

int msub_session_address(msub_engine *e, msub_session h, msub_bytes address, const msub_now *now) {
  if (address.n != 0 && address.n != 4 && address.n != 16) return MSUB_ERR_INVAL;
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  msub__session *s = msub__session_of(e, h);
  if (!s) rc = MSUB_ERR_STALE;
  else {
    s->prefix = msub__conduct_prefix(e, address);
    MSUB__CALL(e, msub__handle_router(h.v), address_changed, h, address);
  }
  msub__leave(e);
  return rc;
}

int msub_session_hello(msub_engine *e, msub_session h, const msub_now *now) {
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  if (!msub__session_of(e, h)) rc = MSUB_ERR_STALE;
  else msub__send_hello(e, msub__handle_router(h.v), msub__handle_slot(h.v), true);
  msub__leave(e);
  return rc;
}

int msub_session_agreed(msub_engine *e, msub_session h, const msub_now *now) {
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  msub__session *s = msub__session_of(e, h);
  if (!s) rc = MSUB_ERR_STALE;
  else {
    unsigned ri = msub__handle_router(h.v);
    s->agreed = true;
    e->stirred = true;
    msub_session_info info;
    msub__session_info_of(e, ri, s, &info);
    MSUB__CALL(e, ri, session_agreed, h, &info);
  }
  msub__leave(e);
  return rc;
}

static void mark_stale(msub_engine *e, unsigned ri, uint32_t slot) {
  msub__session *s = msub__session_at(e, ri, slot);
  for (uint32_t i = 0; i < s->n_topics; i++) {
    msub__topic *t = e->routers[ri].topics[msub__session_topics(s)[i]].t;
    msub__link_at(e, t, msub__link_find(e, t, slot))->flags |= MSUB__LINK_STALE;
  }
}

int msub_session_inbound(msub_engine *e, msub_session h, const msub_now *now) {
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  msub__session *s = msub__session_of(e, h);
  if (!s) rc = MSUB_ERR_STALE;
  else {
    mark_stale(e, msub__handle_router(h.v), msub__handle_slot(h.v));
    s->hello_due = s->first_due = true;
    s->resume_at = 0;
  }
  msub__leave(e);
  return rc;
}

int msub_session_inbound_gone(msub_engine *e, msub_session h, const msub_now *now) {
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  msub__session *s = msub__session_of(e, h);
  if (!s) rc = MSUB_ERR_STALE;
  else {
    s->resume_at = 0;
    unsigned ri = msub__handle_router(h.v);
    while (s->n_topics) unlink_topic(e, ri, msub__handle_slot(h.v), s->n_topics - 1u, false);
    s->first_due = true;
    msub_ctl_entry none = { .kind = MSUB_C_EXTENSIONS };
    (void)MSUB__ASK(e, ri, extension, false, h, &none);
  }
  msub__leave(e);
  return rc;
}

void msub__session_end(msub_engine *e, unsigned ri, uint32_t slot) {
  msub__session *s = msub__session_at(e, ri, slot);
  while (s->n_topics) unlink_topic(e, ri, slot, s->n_topics - 1u, true);
  MSUB__CALL(e, ri, session_down, msub__session_handle(e, ri, slot));
  MSUB__TRACE(e, ri, .kind = MSUB_T_REMOVE_PEER, .peer = { s->peer });
  give_back(e, ri, slot);
}

int msub_session_down(msub_engine *e, msub_session h, const msub_now *now) {
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  if (!msub__session_of(e, h)) rc = MSUB_ERR_STALE;
  else msub__session_end(e, msub__handle_router(h.v), msub__handle_slot(h.v));
  msub__leave(e);
  return rc;
}

/* ---- looking ---- */

size_t msub_session_count(const msub_engine *e) {
  size_t n = 0;
  for (size_t i = 0; i < e->n_routers; i++) n += e->routers[i].live_sessions;
  return n;
}
msub_peer msub_session_peer(const msub_engine *e, msub_session h) {
  const msub__session *s = msub__session_of(e, h);
  return (msub_peer){ s ? s->peer : 0 };
}
const char *msub_session_protocol(const msub_engine *e, msub_session h) {
  const msub__session *s = msub__session_of(e, h);
  return s ? e->routers[msub__handle_router(h.v)].plan->protocols[s->protocol].id : NULL;
}
