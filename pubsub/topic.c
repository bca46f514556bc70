/* pubsub/topic.c: topics of an engine, their links (peers that announced them), joining and leaving. */
#include "pubsub/engine.h"
#include <string.h>

static size_t topic_head(void) { return (sizeof(msub__topic) + 7) & ~(size_t)7; }
void *msub__topic_block(msub__topic *t) { return (uint8_t *)t + topic_head(); }
static size_t topic_bytes(const msub__router *r) { return topic_head() + r->plan->level.topic_n; }

static uint64_t topic_hash(unsigned ri, uint32_t name) { return msub__mix((uint64_t)name << 3 | ri); }

typedef struct topic_key { unsigned ri; uint32_t name; } topic_key;
/* A value of the table is router << 20 | slot. */
static bool same_topic(const void *ctx, uint32_t value, const void *key) {
  const msub_engine *e = ctx;
  const topic_key *k = key;
  return value >> 20 == k->ri && e->routers[k->ri].topics[value & 0xfffff]->name == k->name;
}

msub__topic *msub__topic_find(const msub_engine *e, unsigned ri, uint32_t name) {
  if (name == 0 || e->topics_by_name.n == 0) return NULL;
  topic_key k = { ri, name };
  uint32_t v = msub__table_find(&e->topics_by_name, topic_hash(ri, name), same_topic, e, &k);
  return v == MSUB__NONE ? NULL : e->routers[ri].topics[v & 0xfffff];
}

msub__topic *msub__topic_of(const msub_engine *e, msub_topic t) {
  unsigned ri = msub__handle_router(t.v);
  if (t.v == 0 || ri >= e->n_routers) return NULL;
  const msub__router *r = &e->routers[ri];
  uint32_t slot = msub__handle_slot(t.v);
  if (slot >= r->n_topics || !r->topics[slot] || r->topics[slot]->handle.v != t.v) return NULL;
  return r->topics[slot];
}

size_t msub__topic_count(const msub_engine *e) {
  size_t n = 0;
  for (size_t i = 0; i < e->n_routers; i++) n += e->routers[i].live_topics;
  return n;
}

static int grow_topics(msub_engine *e, msub__router *r) {
  uint32_t cap = r->cap_topics ? r->cap_topics * 2 : 4;
  const msub_mem *m = msub__mem(e);
  msub__topic **topics = msub__zalloc(m, cap, sizeof *topics);
  uint16_t *gens = msub__zalloc(m, cap, sizeof *gens);
  uint32_t *freed = msub__zalloc(m, cap, sizeof *freed);
  if (!topics || !gens || !freed) {
    msub__free(m, topics, cap * sizeof *topics);
    msub__free(m, gens, cap * sizeof *gens);
    msub__free(m, freed, cap * sizeof *freed);
    return MSUB_ERR_NOMEM;
  }
  if (r->cap_topics) {
    memcpy(topics, r->topics, r->n_topics * sizeof *topics);
    memcpy(gens, r->topic_gens, r->n_topics * sizeof *gens);
    memcpy(freed, r->topic_free, r->n_topic_free * sizeof *freed);
    msub__free(m, r->topics, r->cap_topics * sizeof *topics);
    msub__free(m, r->topic_gens, r->cap_topics * sizeof *gens);
    msub__free(m, r->topic_free, r->cap_topics * sizeof *freed);
  }
  r->topics = topics;
  r->topic_gens = gens;
  r->topic_free = freed;
  r->cap_topics = cap;
  return MSUB_OK;
}

msub__topic *msub__topic_get(msub_engine *e, unsigned ri, msub_bytes name, int *err) {
  msub_shared *sh = e->sh;
  const msub_mem *m = msub__mem(e);
  msub__router *r = &e->routers[ri];
  msub__topic *t = msub__topic_find(e, ri, msub__intern_find(&sh->names, &sh->key, name));
  if (t) return t;
  *err = MSUB_ERR_LIMIT;
  if (r->live_topics >= MSUB__TOPICS || sh->names.bytes + name.n > MSUB__TOPIC_BYTES) return NULL;
  *err = MSUB_ERR_NOMEM;
  if (r->n_topic_free == 0 && r->n_topics == r->cap_topics && grow_topics(e, r) != MSUB_OK) return NULL;
  if (msub__table_reserve(&e->topics_by_name, m) != MSUB_OK) return NULL;
  t = msub__zalloc(m, 1, topic_bytes(r));
  if (!t) return NULL;
  t->name = msub__intern_hold(&sh->names, m, &sh->key, name);
  if (t->name == 0) {
    msub__free(m, t, topic_bytes(r));
    return NULL;
  }
  uint32_t slot = r->n_topic_free ? r->topic_free[--r->n_topic_free] : r->n_topics++;
  r->topic_gens[slot] = (uint16_t)(r->topic_gens[slot] % 511 + 1); /* 1 … 511: a handle is never 0 */
  t->handle.v = msub__handle(ri, r->topic_gens[slot], slot);
  r->topics[slot] = t;
  r->live_topics++;
  int rc = msub__table_insert(&e->topics_by_name, m, topic_hash(ri, t->name), (uint32_t)ri << 20 | slot);
  MSUB__INVARIANT(rc == MSUB_OK);
  *err = MSUB_OK;
  return t;
}

static void free_topic(msub_engine *e, msub__topic *t) {
  unsigned ri = msub__handle_router(t->handle.v);
  uint32_t slot = msub__handle_slot(t->handle.v);
  msub__router *r = &e->routers[ri];
  const msub_mem *m = msub__mem(e);
  msub__table_remove(&e->topics_by_name, topic_hash(ri, t->name), (uint32_t)ri << 20 | slot);
  msub__intern_drop(&e->sh->names, m, &e->sh->key, t->name);
  msub__free(m, t->links, (size_t)t->cap_links * r->link_stride);
  msub__free(m, t->validators, sizeof *t->validators);
  msub__free(m, t, topic_bytes(r));
  r->topics[slot] = NULL;
  r->topic_free[r->n_topic_free++] = slot;
  r->live_topics--;
}

void msub__topic_release(msub_engine *e, msub__topic *t) {
  if (t->joins == 0 && t->n_links == 0 && !t->in_router) free_topic(e, t);
}

void msub__topics_fini(msub_engine *e) {
  for (size_t i = 0; i < e->n_routers; i++) {
    msub__router *r = &e->routers[i];
    for (uint32_t s = 0; s < r->n_topics; s++)
      if (r->topics[s]) free_topic(e, r->topics[s]);
    msub__free(msub__mem(e), r->topics, r->cap_topics * sizeof *r->topics);
    msub__free(msub__mem(e), r->topic_gens, r->cap_topics * sizeof *r->topic_gens);
    msub__free(msub__mem(e), r->topic_free, r->cap_topics * sizeof *r->topic_free);
  }
  msub__table_fini(&e->topics_by_name, msub__mem(e));
}

/* ---- links: sorted by session slot ---- */

/* The first index whose slot is not below. */
static uint32_t lower_bound(const msub_engine *e, const msub__topic *t, uint32_t slot) {
  uint32_t lo = 0, hi = t->n_links;
  if (hi && msub__link_at(e, t, hi - 1)->session < slot) return hi; /* peers mostly come in order */
  while (lo < hi) {
    uint32_t mid = lo + (hi - lo) / 2;
    if (msub__link_at(e, t, mid)->session < slot) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

uint32_t msub__link_find(const msub_engine *e, const msub__topic *t, uint32_t slot) {
  uint32_t i = lower_bound(e, t, slot);
  return i < t->n_links && msub__link_at(e, t, i)->session == slot ? i : MSUB__NONE;
}

msub__link *msub__link_add(msub_engine *e, msub__topic *t, uint32_t slot) {
  size_t stride = e->routers[msub__handle_router(t->handle.v)].link_stride;
  if (t->n_links == t->cap_links) {
    uint32_t cap = t->cap_links ? t->cap_links * 2 : 4;
    uint8_t *p = msub__realloc(msub__mem(e), t->links, t->cap_links * stride, cap * stride);
    if (!p) return NULL;
    t->links = p;
    t->cap_links = cap;
  }
  uint32_t i = lower_bound(e, t, slot);
  uint8_t *at = t->links + i * stride;
  memmove(at + stride, at, (t->n_links - i) * stride);
  memset(at, 0, stride);
  t->n_links++;
  msub__link *l = msub__link_at(e, t, i);
  l->session = slot;
  return l;
}

void msub__link_remove(msub_engine *e, msub__topic *t, uint32_t i) {
  size_t stride = e->routers[msub__handle_router(t->handle.v)].link_stride;
  memmove(t->links + i * stride, t->links + (i + 1) * stride, (t->n_links - i - 1) * stride);
  t->n_links--;
}

/* ---- joining and leaving ---- */

int msub__join_effect(msub_engine *e, msub_topic h) {
  msub__topic *t = msub__topic_of(e, h);
  if (!t || t->joins == 0 || t->in_router) return MSUB_OK; /* left again before its turn came */
  unsigned ri = msub__handle_router(h.v);
  t->in_router = true;
  msub__announce(e, t, true);
  const msub_router_ops *ops = msub__ops(e, ri);
  return ops->join ? ops->join(&e->handles[ri], h) : MSUB_OK;
}

void msub__leave_effect(msub_engine *e, msub_topic h) {
  msub__topic *t = msub__topic_of(e, h);
  if (!t || t->joins != 0) return;
  unsigned ri = msub__handle_router(h.v);
  msub__questions_of_topic(e, h);
  if (t->in_router) {
    msub__announce(e, t, false);
    const msub_router_ops *ops = msub__ops(e, ri);
    if (ops->leave) ops->leave(&e->handles[ri], h);
    t->in_router = false;
  }
  msub__free(msub__mem(e), t->validators, sizeof *t->validators);
  t->validators = NULL;
  t->policy = NULL;
  msub__topic_release(e, t);
}

int msub_join(msub_engine *e, unsigned ri, msub_bytes name, const msub_channel_policy *p, const msub_now *now, msub_topic *out) {
  if (ri >= e->n_routers || name.n > MSUB__TOPIC_NAME || (p && p->abi != MSUB_ABI)) return MSUB_ERR_INVAL;
  if (e->sign == MSUB_STRICT_NO_SIGN && (!p || !p->message_id)) return MSUB_ERR_INVAL;
  bool deferred = now == NULL;
  if (deferred ? !e->inside : e->inside) return MSUB_ERR_STATE;
  if (!deferred) {
    int rc = msub__enter(e, now);
    if (rc != MSUB_OK) return rc;
  }
  int rc = MSUB_OK;
  msub__topic *t = msub__topic_get(e, ri, name, &rc);
  if (t) {
    if (t->joins == 0 && p) {
      memset(&t->policy_copy, 0, sizeof t->policy_copy);
      memcpy(&t->policy_copy, p, p->size < sizeof *p ? p->size : sizeof *p);
      t->policy = &t->policy_copy;
    }
    bool first = t->joins++ == 0;
    *out = t->handle;
    if (first && deferred) {
      rc = msub__deferred_push(e, &(msub__call){ .kind = MSUB__CALL_JOIN, .topic = t->handle }, (msub_bytes){ NULL, 0 });
      if (rc != MSUB_OK) {
        t->joins = 0;
        msub__topic_release(e, t);
      }
    } else if (first) {
      rc = msub__join_effect(e, t->handle);
    }
  }
  if (!deferred) msub__leave(e);
  return rc;
}

int msub_leave(msub_engine *e, msub_topic h, const msub_now *now) {
  if (now == NULL ? !e->inside : e->inside) return MSUB_ERR_STATE;
  msub__topic *t = msub__topic_of(e, h);
  if (!t || t->joins == 0) return MSUB_ERR_STALE;
  if (now == NULL) {
    if (t->joins == 1) {
      int rc = msub__deferred_push(e, &(msub__call){ .kind = MSUB__CALL_LEAVE, .topic = h }, (msub_bytes){ NULL, 0 });
      if (rc != MSUB_OK) return rc;
    }
    t->joins--;
    return MSUB_OK;
  }
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  if (--t->joins == 0) msub__leave_effect(e, h);
  msub__leave(e);
  return MSUB_OK;
}

/* ---- looking ---- */

uint32_t msub_topic_name(const msub_engine *e, msub_topic h) {
  const msub__topic *t = msub__topic_of(e, h);
  return t ? t->name : 0;
}
size_t msub_topic_peers(const msub_engine *e, msub_topic h) {
  const msub__topic *t = msub__topic_of(e, h);
  return t ? t->n_links : 0;
}
msub_peer msub_topic_peer(const msub_engine *e, msub_topic h, size_t i) {
  const msub__topic *t = msub__topic_of(e, h);
  if (!t || i >= t->n_links) return (msub_peer){ 0 };
  return (msub_peer){ msub__session_at(e, msub__handle_router(h.v), msub__link_at(e, t, (uint32_t)i)->session)->peer };
}
size_t msub_joined(const msub_engine *e, msub_topic *out, size_t cap) {
  size_t n = 0;
  for (size_t ri = 0; ri < e->n_routers; ri++)
    for (uint32_t s = 0; s < e->routers[ri].n_topics; s++) {
      const msub__topic *t = e->routers[ri].topics[s];
      if (!t || t->joins == 0) continue;
      if (n < cap) out[n] = t->handle;
      n++;
    }
  return n;
}
bool msub_ready(msub_engine *e, msub_topic h, uint32_t n) {
  const msub__topic *t = msub__topic_of(e, h);
  if (!t || e->inside) return false;
  unsigned ri = msub__handle_router(h.v);
  const msub_router_ops *ops = msub__ops(e, ri);
  return ops->ready ? ops->ready(&e->handles[ri], h, n) : t->n_links >= n;
}
