/* pubsub/serve.c: answers to IWANT: out of the sliding window, or of a policy's cache, now or later. IWANT names no topic, so ids
 * that are in a policy's cache are remembered with their topic; topics with open_ids are asked besides. */
#include "pubsub/engine.h"
#include <string.h>

/* ---- putting ---- */

static void gone(void *ud, uint32_t topic_name, uint32_t next) {
  msub__router *r = ud;
  msub_engine *e = r->handles->engine;
  msub__topic *t = msub__topic_find(e, r->handles->index, topic_name);
  MSUB__INVARIANT(t && t->cached);
  t->cached_first = next;
  t->cached--;
  msub__topic_release(e, t);
}

static void remember(msub_engine *e, const msub__topic *t, msub_bytes id);

void msub__cache_put(msub_engine *e, msub__topic *t, const msub_msg *m) {
  msub_channel c;
  const msub_channel_policy *p = MSUB__HOOK(e, t, cache_put, &c);
  if (p) {
    remember(e, t, msub_id(m));
    p->cache_put(&c, m);
    return;
  }
  msub__router *r = &e->routers[msub__handle_router(t->handle.v)];
  if (r->plan->windows == 0) return;
  if (!r->cache) r->cache = msub__mcache_new(e->sh, r->plan->windows, r->plan->gossip_windows, r->plan->cache_bytes, gone, r);
  if (!r->cache) return;
  uint64_t evicted = 0;
  uint32_t number = msub__mcache_put(r->cache, m, t->cached > 0, t->cached_last, &evicted);
  MSUB__COUNT_N(e, cache_evicted, evicted);
  if (number == MSUB__NONE) return;
  MSUB__COUNT(e, cached);
  if (t->cached++ == 0) t->cached_first = number;
  t->cached_last = number;
}

/* ---- which topic an id belongs to ---- */

static uint64_t id_print(const msub_engine *e, msub_bytes id) { return msub__hash(&e->sh->key, id); }
static bool same_print(const void *ctx, uint32_t i, const void *key) {
  return ((const msub__offers *)ctx)->e[i].fp == *(const uint64_t *)key;
}

static void remember(msub_engine *e, const msub__topic *t, msub_bytes id) {
  msub__work *w = msub__need_work(e);
  if (!w || id.n == 0) return;
  msub__offers *o = &w->offers;
  const msub_mem *m = msub__mem(e);
  uint64_t fp = id_print(e, id);
  uint32_t i = msub__table_find(&o->table, fp, same_print, o, &fp);
  if (i != MSUB__NONE) {
    o->e[i].topic = t->handle;
    return;
  }
  if (o->n == o->cap && o->cap < MSUB__OFFERS) {
    uint32_t cap = o->cap ? o->cap * 2 : 64;
    msub__offer *p = msub__realloc(m, o->e, o->cap * sizeof *p, cap * sizeof *p);
    if (!p) return;
    o->e = p;
    o->cap = cap;
  }
  if (msub__table_reserve(&o->table, m) != MSUB_OK) return;
  if (o->n < o->cap) i = o->n++;
  else { /* the oldest goes */
    i = o->next;
    o->next = (o->next + 1) % o->cap;
    msub__table_remove(&o->table, o->e[i].fp, i);
  }
  o->e[i] = (msub__offer){ fp, t->handle };
  int rc = msub__table_insert(&o->table, m, fp, i);
  MSUB__INVARIANT(rc == MSUB_OK);
}

void msub__offered(msub_engine *e, const msub__topic *t, const msub_bytes *ids, size_t n) {
  msub_channel c;
  if (!MSUB__HOOK(e, t, cache_get, &c)) return;
  for (size_t i = 0; i < n; i++) remember(e, t, ids[i]);
}

void msub__open_topic(msub_engine *e, const msub__topic *t, bool on) {
  if (!e->work && (!on || !msub__open_ids(e, t))) return;
  msub__work *w = msub__need_work(e);
  if (!w) return;
  msub__offers *o = &w->offers;
  for (uint32_t i = 0; !on && i < o->n_open; i++)
    if (o->open[i].v == t->handle.v) {
      o->open[i] = o->open[--o->n_open];
      return;
    }
  if (!on || !msub__open_ids(e, t)) return;
  if (o->n_open == MSUB__OPEN_TOPICS) MSUB__LOGE(e, MSUB_LOG_WARN, "more than 64 topics have open ids: this one is not asked for them");
  else o->open[o->n_open++] = t->handle;
}

void msub__offers_fini(msub_engine *e) {
  msub__free(msub__mem(e), e->work->offers.e, e->work->offers.cap * sizeof *e->work->offers.e);
  msub__table_fini(&e->work->offers.table, msub__mem(e));
}

/* ---- answering ---- */

/* how: NULL: nobody counts bytes. */
static int answer(msub_engine *e, unsigned ri, uint32_t slot, const msub_msg *m, msub_serving *how) {
  msub_rpc rpc = { &m, 1, NULL, msub__message_rpc_size(m) };
  const size_t n = rpc.wire_size;
  const bool metered = how && how->bytes;
  if (metered && n > how->left && how->left < how->bytes) {
    MSUB__COUNT(e, asks_over_bytes);
    return MSUB_ERR_LIMIT;
  }
  if (!msub__send(e, msub__session_at(e, ri, slot), msub__session_handle(e, ri, slot), &rpc, MSUB_LANE_GOSSIP)) return MSUB_ERR_REFUSED;
  if (metered) how->left -= n < how->left ? n : how->left;
  MSUB__COUNT(e, served);
  return MSUB_OK;
}

/* What a policy answered: a message, or a payload to be wrapped. */
static int answer_with(msub_engine *e, msub__topic *t, uint32_t slot, msub_bytes id, const msub_cached *got, msub_serving *how) {
  unsigned ri = msub__handle_router(t->handle.v);
  msub_channel c;
  const char *whose = msub__policy_name(MSUB__HOOK(e, t, cache_get, &c));
  if (got->msg) {
    if (!got->msg->borrowed && msub_bytes_eq(msub_id(got->msg), id)) return answer(e, ri, slot, got->msg, how);
    msub__fault(e, whose, "the cache answered with a message that has another id");
    MSUB__COUNT(e, unservable);
    return MSUB_ERR_NOTFOUND;
  }
  int err;
  const msub_msg *m = msub__wrap(e, t, got->payload, id, &err);
  if (!m) {
    if (err == MSUB_ERR_INVAL) msub__fault(e, whose, "the cache answered with a payload whose message has another id");
    MSUB__COUNT(e, unservable);
    return MSUB_ERR_NOTFOUND;
  }
  err = answer(e, ri, slot, m, how);
  msub_msg_drop(e->sh, m);
  return err;
}

/* NOTFOUND: this topic's policy does not have it. */
static int ask_policy(msub_engine *e, msub__topic *t, uint32_t slot, msub_bytes id, msub_serving *how) {
  msub_channel c;
  const msub_channel_policy *p = t->joins || t->opens ? MSUB__HOOK(e, t, cache_get, &c) : NULL;
  unsigned ri = msub__handle_router(t->handle.v);
  if (!p || (t->peers_filtered && !msub__may_peer(e, t, msub__session_handle(e, ri, slot)))) return MSUB_ERR_NOTFOUND;
  msub_topic h = t->handle;
  msub_token later = msub__question_later(e, h, msub__session_at(e, ri, slot)->peer, id);
  msub_cached got = { NULL, { NULL, 0 } };
  msub_got kind = p->cache_get(&c, id, later, &got);
  if (kind == MSUB_GOT_LATER && later.v) return MSUB_OK;
  if (later.v) msub__question_cancel(e, later);
  if (kind == MSUB_GOT_LATER) {
    if (p->released) p->released(&c, later, MSUB_R_THROTTLED);
    return MSUB_ERR_NOTFOUND;
  }
  t = msub__topic_of(e, h);
  if (!t || (kind != MSUB_GOT_MSG && kind != MSUB_GOT_PAYLOAD) || (kind == MSUB_GOT_MSG && !got.msg)) return MSUB_ERR_NOTFOUND;
  if (kind == MSUB_GOT_PAYLOAD) got.msg = NULL;
  return answer_with(e, t, slot, id, &got, how);
}

/* What the cache counts a peer by: its number goes to somebody else when it leaves, before the messages do. */
static uint32_t asker_of(const msub_engine *e, unsigned ri, uint32_t slot) {
  return (uint32_t)(msub__hash(&e->sh->key, msub_peer_bytes(e->sh, (msub_peer){ msub__session_at(e, ri, slot)->peer })) >> 32);
}

/* May the session ask for it? A topic with open_ids has ids that peers know from elsewhere. */
static bool may_ask(msub_router *h, uint32_t slot, const msub__topic *t, uint32_t name, uint32_t age, const msub_serving *how) {
  msub_engine *e = h->engine;
  if (!how->may || how->may(h, msub__session_handle(e, h->index, slot), name, age) || (t && msub__open_ids(e, t))) return true;
  MSUB__COUNT(e, asks_unadvertised);
  return false;
}

/* A message of the cache is asked for; NULL: it is not there. */
static int ask_cache(msub_router *h, msub__mcache *c, uint32_t slot, msub_bytes id, msub_serving *how, const msub_msg **found) {
  msub_engine *e = h->engine;
  unsigned ri = h->index;
  uint32_t times, age, asker = asker_of(e, ri, slot);
  if (how->may && (*found = msub__mcache_age(c, id, &age))) {
    uint32_t name = (*found)->topic_name;
    if (!may_ask(h, slot, msub__topic_find(e, ri, name), name, age, how)) return MSUB_ERR_NOTFOUND;
  }
  const msub_msg *m = *found = msub__mcache_ask(c, id, asker, &times);
  if (!m || (e->peers_filtered && !msub__may_have(e, ri, slot, m->topic_name))) return MSUB_ERR_NOTFOUND;
  if (how->max_times && times > how->max_times) return MSUB_ERR_LIMIT;
  int rc = answer(e, ri, slot, m, how);
  if (rc == MSUB_ERR_LIMIT) msub__mcache_unask(c, id, asker);
  return rc;
}

int msub__serve(msub_router *h, uint32_t slot, msub_bytes id, msub_serving *how) {
  msub_engine *e = h->engine;
  unsigned ri = h->index;
  msub__router *r = &e->routers[ri];
  if (id.n == 0 || id.n > MSUB_MAX_ID) return MSUB_ERR_NOTFOUND;
  const msub_msg *m = NULL;
  int cached = r->cache ? ask_cache(h, r->cache, slot, id, how, &m) : MSUB_ERR_NOTFOUND;
  if (m) return cached;
  if (!e->work) return MSUB_ERR_NOTFOUND;
  msub__offers *o = &e->work->offers;
  uint64_t fp = id_print(e, id);
  uint32_t i = o->n ? msub__table_find(&o->table, fp, same_print, o, &fp) : MSUB__NONE;
  msub__topic *t = i == MSUB__NONE ? NULL : msub__topic_of(e, o->e[i].topic);
  if (t && msub__handle_router(t->handle.v) == ri && may_ask(h, slot, t, t->name, MSUB_AGE_UNKNOWN, how)) {
    int rc = ask_policy(e, t, slot, id, how);
    if (rc != MSUB_ERR_NOTFOUND) return rc;
  }
  for (uint32_t k = 0; k < o->n_open; k++) {
    msub__topic *open = msub__topic_of(e, o->open[k]);
    if (!open || open == t || msub__handle_router(open->handle.v) != ri) continue;
    int rc = ask_policy(e, open, slot, id, how);
    if (rc != MSUB_ERR_NOTFOUND) return rc;
  }
  return MSUB_ERR_NOTFOUND;
}

int msub_r_serve_topic(msub_router *r, msub_session s, msub_topic h, msub_bytes id) {
  bool own = msub__handle_router(s.v) == r->index && msub__handle_router(h.v) == r->index;
  msub__topic *t = own ? msub__topic_of(r->engine, h) : NULL;
  if (!t || !msub__session_of(r->engine, s)) return MSUB_ERR_STALE;
  return id.n == 0 || id.n > MSUB_MAX_ID ? MSUB_ERR_NOTFOUND : ask_policy(r->engine, t, msub__handle_slot(s.v), id, NULL);
}

int msub__supply(msub_engine *e, msub_token token, const msub_cached *c) {
  msub_topic h;
  uint32_t peer;
  uint8_t id[1 + MSUB_MAX_ID];
  if (!msub__question_supplied(e, token, &h, &peer, id)) {
    MSUB__COUNT(e, stale);
    return MSUB_ERR_STALE;
  }
  msub__topic *t = msub__topic_of(e, h);
  uint32_t slot = t ? msub__session_find(e, msub__handle_router(h.v), peer) : MSUB__NONE;
  msub__intern_drop(&e->sh->peers, msub__mem(e), &e->sh->key, peer);
  if (slot == MSUB__NONE) return MSUB_ERR_STALE;
  return c ? answer_with(e, t, slot, (msub_bytes){ id + 1, id[0] }, c, NULL) : MSUB_OK;
}
