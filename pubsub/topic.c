/* pubsub/topic.c: topics of an engine, their links (peers that announced them), joining and leaving. */
#include "pubsub/engine.h"
#include <string.h>

static size_t topic_head(void) { return (sizeof(msub__topic) + 7) & ~(size_t)7; }
uint8_t *msub__topic_blocks(msub__topic *t) { return (uint8_t *)t + topic_head(); }
static size_t topic_bytes(const msub__router *r) { return topic_head() + r->plan->topic_n; }

static uint64_t topic_hash(unsigned ri, uint32_t name) { return msub__index_hash(MSUB__INDEX_TOPIC, ri, name); }

typedef struct topic_key { unsigned ri; uint32_t name; } topic_key;
static bool same_topic(const void *ctx, uint32_t value, const void *key) {
  const msub_engine *e = ctx;
  const topic_key *k = key;
  return (value & ~0xfffffu) == (MSUB__INDEX_TOPIC | k->ri << 20) && e->routers[k->ri].topics[value & 0xfffff].t->name == k->name;
}

msub__topic *msub__topic_find(const msub_engine *e, unsigned ri, uint32_t name) {
  if (name == 0 || e->routers[ri].live_topics == 0) return NULL;
  topic_key k = { ri, name };
  uint32_t v = msub__table_find(&e->index, topic_hash(ri, name), same_topic, e, &k);
  return v == MSUB__NONE ? NULL : e->routers[ri].topics[v & 0xfffff].t;
}

size_t msub__topic_count(const msub_engine *e) {
  size_t n = 0;
  for (size_t i = 0; i < e->n_routers; i++) n += e->routers[i].live_topics;
  return n;
}

static int grow_topics(msub_engine *e, msub__router *r) {
  uint32_t cap = r->cap_topics ? r->cap_topics * 2 : 2;
  msub__topic_slot *p = msub__realloc(msub__mem(e), r->topics, r->cap_topics * sizeof *p, cap * sizeof *p);
  if (!p) return MSUB_ERR_NOMEM;
  memset(p + r->cap_topics, 0, (cap - r->cap_topics) * sizeof *p);
  r->topics = p;
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
  if (r->free_topic == 0 && r->n_topics == r->cap_topics && grow_topics(e, r) != MSUB_OK) return NULL;
  if (msub__table_reserve(&e->index, m) != MSUB_OK) return NULL;
  t = msub__zalloc(m, 1, topic_bytes(r));
  if (!t) return NULL;
  t->name = msub__intern_hold(&sh->names, m, &sh->key, name);
  if (t->name == 0) {
    msub__free(m, t, topic_bytes(r));
    return NULL;
  }
  uint32_t slot = r->free_topic ? r->free_topic - 1 : r->n_topics++;
  msub__topic_slot *at = &r->topics[slot];
  if (r->free_topic) r->free_topic = at->next_free;
  at->gen = (uint16_t)(at->gen % 511 + 1); /* 1 … 511: a handle is never 0 */
  at->t = t;
  t->handle.v = msub__handle(ri, at->gen, slot);
  msub__note_hooks(e, t);
  r->live_topics++;
  int rc = msub__table_insert(&e->index, m, topic_hash(ri, t->name), MSUB__INDEX_TOPIC | (uint32_t)ri << 20 | slot);
  MSUB__INVARIANT(rc == MSUB_OK);
  *err = MSUB_OK;
  return t;
}

msub__topic_extra *msub__topic_extra_of(msub_engine *e, msub__topic *t) {
  if (!t->extra) t->extra = msub__zalloc(msub__mem(e), 1, sizeof *t->extra);
  return t->extra;
}

/* What belongs to the membership: policy, validators, a message kept for the program. */
static void free_membership(msub_engine *e, msub__topic *t) {
  const msub_mem *m = msub__mem(e);
  if (t->policy_owned) msub__free(m, (void *)(uintptr_t)t->policy, sizeof *t->policy);
  t->policy = NULL;
  msub__note_hooks(e, t);
  t->policy_owned = t->peers_filtered = false;
  t->ctx = NULL;
  if (t->extra) {
    msub_msg_drop(e->sh, t->extra->latest);
    msub__intern_drop(&e->sh->peers, m, &e->sh->key, t->extra->latest_from);
    msub__validators_free(e, t->extra->validators);
    msub__free(m, t->extra->counts, sizeof *t->extra->counts);
    msub__free(m, t->extra, sizeof *t->extra);
  }
  t->extra = NULL;
}

static void free_topic(msub_engine *e, msub__topic *t) {
  unsigned ri = msub__handle_router(t->handle.v);
  uint32_t slot = msub__handle_slot(t->handle.v);
  msub__router *r = &e->routers[ri];
  const msub_mem *m = msub__mem(e);
  free_membership(e, t);
  msub__table_remove(&e->index, topic_hash(ri, t->name), MSUB__INDEX_TOPIC | (uint32_t)ri << 20 | slot);
  msub__intern_drop(&e->sh->names, m, &e->sh->key, t->name);
  msub__free(m, t->links, (size_t)t->cap_links * r->plan->link_stride);
  msub__free(m, t, topic_bytes(r));
  r->topics[slot].t = NULL;
  r->topics[slot].next_free = r->free_topic;
  r->free_topic = slot + 1;
  r->live_topics--;
}

void msub__topic_release(msub_engine *e, msub__topic *t) {
  if (t->joins == 0 && t->opens == 0 && t->n_links == 0 && t->cached == 0 && !t->in_router) free_topic(e, t);
}

void msub__topics_fini(msub_engine *e) {
  for (size_t i = 0; i < e->n_routers; i++) {
    msub__router *r = &e->routers[i];
    for (uint32_t s = 0; s < r->n_topics; s++)
      if (r->topics[s].t) free_topic(e, r->topics[s].t);
    msub__free(msub__mem(e), r->topics, r->cap_topics * sizeof *r->topics);
  }
}

/* ---- links: sorted by session slot ---- */

/* The index of the first link whose slot is not below; *is: it is this slot's. Slots rise, so that of the i-th link is i at least: a
 * link stands at its slot where all peers have the topic, and at the end when it is the newest one. */
static uint32_t lower_bound(const msub_engine *e, const msub__topic *t, uint32_t slot, bool *is) {
  size_t stride = e->routers[msub__handle_router(t->handle.v)].plan->link_stride;
  const uint8_t *links = t->links;
  uint32_t lo = 0, hi = slot < t->n_links ? slot + 1 : t->n_links;
#define SLOT_OF(i) (((const msub__link *)(const void *)(links + (i) * stride))->session)
  *is = false;
  if (hi == 0) return 0;
  uint32_t last = SLOT_OF(hi - 1);
  if (last <= slot) return *is = last == slot, hi - *is;
  for (hi--; lo < hi;) {
    uint32_t mid = lo + (hi - lo) / 2;
    if (SLOT_OF(mid) < slot) lo = mid + 1;
    else hi = mid;
  }
  *is = SLOT_OF(lo) == slot;
#undef SLOT_OF
  return lo;
}

uint32_t msub__link_find(const msub_engine *e, const msub__topic *t, uint32_t slot) {
  bool is;
  uint32_t i = lower_bound(e, t, slot, &is);
  return is ? i : MSUB__NONE;
}

msub__link *msub__link_add(msub_engine *e, msub__topic *t, uint32_t slot) {
  size_t stride = e->routers[msub__handle_router(t->handle.v)].plan->link_stride;
  if (t->n_links == t->cap_links) {
    uint32_t cap = t->cap_links + (t->cap_links < 16 ? 4 : t->cap_links / 4); /* most topics have few, and many engines may be there */
    uint8_t *p = msub__realloc(msub__mem(e), t->links, t->cap_links * stride, cap * stride);
    if (!p) return NULL;
    t->links = p;
    t->cap_links = cap;
  }
  bool is;
  uint32_t i = lower_bound(e, t, slot, &is);
  uint8_t *at = t->links + i * stride;
  memmove(at + stride, at, (t->n_links - i) * stride);
  memset(at, 0, stride);
  t->n_links++;
  msub__link *l = msub__link_at(e, t, i);
  l->session = slot & (MSUB__SLOTS - 1);
  return l;
}

void msub__link_remove(msub_engine *e, msub__topic *t, uint32_t i) {
  size_t stride = e->routers[msub__handle_router(t->handle.v)].plan->link_stride;
  memmove(t->links + i * stride, t->links + (i + 1) * stride, (t->n_links - i - 1) * stride);
  t->n_links--;
}

/* ---- joining and leaving ---- */

/* The membership is over when nobody joins or opens it any more. */
static void end_membership(msub_engine *e, msub__topic *t) {
  if (t->joins || t->opens) return;
  if (e->waiting) msub__waits_of_topic(e, t->handle);
  if (e->watching) msub__watches_of_topic(e, t->handle);
  msub__open_topic(e, t, false);
  free_membership(e, t);
  msub__topic_release(e, t);
}

int msub__join_effect(msub_engine *e, msub_topic h) {
  msub__topic *t = msub__topic_of(e, h);
  if (!t || t->joins == 0 || t->in_router) return MSUB_OK; /* left again before its turn came */
  unsigned ri = msub__handle_router(h.v);
  t->in_router = true;
  MSUB__TRACE(e, ri, .kind = MSUB_T_JOIN, .topic = h);
  msub__announce(e, t, true);
  e->stirred = true;
  int rc = MSUB__ASK(e, ri, join, MSUB_OK, h);
  if (rc != MSUB_OK) { /* the router will not have it: as if it had never been joined */
    t->joins = t->relays = 0;
    t->in_router = false;
    msub__announce(e, t, false);
    MSUB__TRACE(e, ri, .kind = MSUB_T_LEAVE, .topic = h);
    end_membership(e, t);
  }
  return rc;
}

void msub__leave_effect(msub_engine *e, msub_topic h) {
  msub__topic *t = msub__topic_of(e, h);
  if (!t || t->joins != 0) return;
  unsigned ri = msub__handle_router(h.v);
  if (e->work) msub__questions_of_topic(e, h);
  if (t->in_router) {
    msub__announce(e, t, false);
    MSUB__CALL(e, ri, leave, h);
    t->in_router = false;
    MSUB__TRACE(e, ri, .kind = MSUB_T_LEAVE, .topic = h);
  }
  end_membership(e, t);
}

/* Takes over the program's policy for a topic that has no member yet. INVAL: what its signature policy needs is missing. */
static int adopt(msub_engine *e, msub__topic *t, const msub_channel_policy *p, void *ctx) {
  if (p && p->size < sizeof *p) { /* of an older header: members that it lacks are NULL */
    msub_channel_policy *copy = msub__zalloc(msub__mem(e), 1, sizeof *copy);
    if (!copy) return MSUB_ERR_NOMEM;
    memcpy(copy, p, p->size);
    t->policy = copy;
    t->policy_owned = true;
  } else {
    t->policy = p;
  }
  t->ctx = ctx;
  msub__note_hooks(e, t);
  t->signing = msub__signing(e, t);
  t->id_fn = msub__id_fn(e, t);
  t->peers_filtered = MSUB__HOOK(e, t, may_peer, &(msub_channel){ 0 }) != NULL;
  if (t->peers_filtered) e->peers_filtered = true;
  if (t->signing == 0 && t->id_fn == MSUB__ID_DEFAULT) return MSUB_ERR_INVAL;
  if (t->signing & MSUB__S_VERIFY && !e->cfg->verify) return MSUB_ERR_INVAL;
  if (t->signing & MSUB__S_SIGN && !MSUB__WORLD(e)->sign) return MSUB_ERR_INVAL;
  if (!e->cfg->topic_counts) return MSUB_OK;
  msub__topic_extra *x = msub__topic_extra_of(e, t);
  if (x) x->counts = msub__zalloc(msub__mem(e), 1, sizeof *x->counts);
  return x && x->counts ? MSUB_OK : MSUB_ERR_NOMEM;
}

typedef enum membership { JOIN, RELAY, OPEN } membership;

/* Joins, relays or opens: the counts that it is about go up by one. */
static int become_member(msub_engine *e, unsigned ri, msub_bytes name, const msub_channel_policy *p, void *ctx, membership how, bool deferred,
                         msub_topic *out) {
  int rc = MSUB_OK;
  if (e->filtering && !msub__filter_allows(e, name, 0)) return MSUB_ERR_REFUSED;
  msub__topic *t = msub__topic_get(e, ri, name, &rc);
  if (!t) return rc;
  if (t->joins == 0 && t->opens == 0) {
    rc = adopt(e, t, p, ctx);
    if (rc != MSUB_OK) {
      free_membership(e, t);
      msub__topic_release(e, t);
      return rc;
    }
    msub__open_topic(e, t, true);
  }
  uint32_t *count = how == OPEN ? &t->opens : &t->joins;
  bool first = (*count)++ == 0;
  if (how == RELAY) t->relays++;
  *out = t->handle;
  if (how == OPEN || !first) return MSUB_OK;
  if (!deferred) return msub__join_effect(e, t->handle);
  rc = msub__deferred_push(e, &(msub__call){ .kind = MSUB__CALL_JOIN, .topic = t->handle }, (msub_bytes){ NULL, 0 });
  if (rc != MSUB_OK) {
    t->joins = t->relays = 0;
    end_membership(e, t);
  }
  return rc;
}

static int member_call(msub_engine *e, unsigned ri, msub_bytes name, const msub_channel_policy *p, void *ctx, membership how, const msub_now *now,
                       msub_topic *out) {
  if (ri >= e->n_routers || name.n > MSUB__TOPIC_NAME || (p && p->abi != MSUB_ABI)) return MSUB_ERR_INVAL;
  if (now == NULL) return e->inside && !e->closing ? become_member(e, ri, name, p, ctx, how, true, out) : MSUB_ERR_STATE;
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  rc = become_member(e, ri, name, p, ctx, how, false, out);
  msub__leave(e);
  return rc;
}

int msub_join(msub_engine *e, unsigned ri, msub_bytes name, const msub_channel_policy *p, void *ctx, const msub_now *now, msub_topic *out) {
  return member_call(e, ri, name, p, ctx, JOIN, now, out);
}
int msub_relay(msub_engine *e, unsigned ri, msub_bytes name, const msub_channel_policy *p, void *ctx, const msub_now *now, msub_topic *out) {
  return member_call(e, ri, name, p, ctx, RELAY, now, out);
}
int msub_open(msub_engine *e, unsigned ri, msub_bytes name, const msub_channel_policy *p, void *ctx, const msub_now *now, msub_topic *out) {
  return member_call(e, ri, name, p, ctx, OPEN, now, out);
}

/* One join less, or one relay. */
static int depart(msub_engine *e, msub_topic h, bool relay, const msub_now *now) {
  if (now == NULL ? !e->inside : e->inside) return MSUB_ERR_STATE;
  msub__topic *t = msub__topic_of(e, h);
  if (!t || (relay ? t->relays == 0 : !msub__listens(t))) return MSUB_ERR_STALE;
  int rc = MSUB_OK;
  if (now) rc = msub__enter(e, now);
  else if (t->joins == 1) rc = msub__deferred_push(e, &(msub__call){ .kind = MSUB__CALL_LEAVE, .topic = h }, (msub_bytes){ NULL, 0 });
  if (rc != MSUB_OK) return rc;
  if (relay) t->relays--;
  t->joins--;
  if (!msub__listens(t) && t->extra) msub__drop_latest(e, t->extra); /* nobody is left to take it */
  if (!now) return MSUB_OK;
  if (t->joins == 0) msub__leave_effect(e, h);
  msub__leave(e);
  return MSUB_OK;
}
int msub_leave(msub_engine *e, msub_topic h, const msub_now *now) { return depart(e, h, false, now); }
int msub_unrelay(msub_engine *e, msub_topic h, const msub_now *now) { return depart(e, h, true, now); }

void msub__close_effect(msub_engine *e, msub_topic h) {
  msub__topic *t = msub__topic_of(e, h);
  if (!t || t->opens != 0 || t->joins != 0 || t->in_router) return;
  if (e->work) msub__questions_of_topic(e, h);
  end_membership(e, t);
}

int msub_close(msub_engine *e, msub_topic h, const msub_now *now) {
  if (now == NULL ? !e->inside : e->inside) return MSUB_ERR_STATE;
  msub__topic *t = msub__topic_of(e, h);
  if (!t || t->opens == 0) return MSUB_ERR_STALE;
  if (now == NULL) {
    if (t->opens == 1) {
      int rc = msub__deferred_push(e, &(msub__call){ .kind = MSUB__CALL_CLOSE, .topic = h }, (msub_bytes){ NULL, 0 });
      if (rc != MSUB_OK) return rc;
    }
    t->opens--;
    return MSUB_OK;
  }
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  if (--t->opens == 0) msub__close_effect(e, h);
  msub__leave(e);
  return MSUB_OK;
}

/* ---- looking ---- */

const msub_topic_counts *msub_topic_count(const msub_engine *e, msub_topic h) {
  const msub__topic *t = msub__topic_of(e, h);
  return t && t->extra ? t->extra->counts : NULL;
}
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
      const msub__topic *t = e->routers[ri].topics[s].t;
      if (!t || !msub__listens(t)) continue;
      if (n < cap) out[n] = t->handle;
      n++;
    }
  return n;
}
msub_topic msub_topic_named(const msub_engine *e, unsigned ri, msub_bytes name) {
  const msub__topic *t = ri < e->n_routers ? msub__topic_find(e, ri, msub__intern_find(&e->sh->names, &e->sh->key, name)) : NULL;
  return t ? t->handle : (msub_topic){ 0 };
}
bool msub_ready(msub_engine *e, msub_topic h, uint32_t n) {
  const msub__topic *t = msub__topic_of(e, h);
  if (!t || e->inside) return false;
  return MSUB__ASK(e, msub__handle_router(h.v), ready, t->n_links >= n, h, n);
}
size_t msub_snapshot(msub_engine *e, msub_topic h, msub_peer_state *out, size_t cap) {
  if (!msub__topic_of(e, h) || e->inside) return 0;
  return MSUB__ASK(e, msub__handle_router(h.v), snapshot, 0, h, out, cap);
}
