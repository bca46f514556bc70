/* pubsub/watch.c: peers that come to a topic and leave it, for a program that looks when it likes. */
#include "pubsub/engine.h"

typedef struct change { uint32_t peer; bool joined; } change; /* the peer is held */
struct msub_watch {
  msub_engine *e;
  msub_watch *next;
  msub_topic topic;
  void (*ready)(void *ud, msub_watch *w);
  void *ud;
  msub__ring changes;
  uint32_t shown; /* the peer of the last event; held */
  uint32_t lost;
  bool closed;    /* the membership is over */
};

static void drop_peer(msub_engine *e, uint32_t peer) {
  if (peer) msub__intern_drop(&e->sh->peers, msub__mem(e), &e->sh->key, peer);
}

static bool append(msub_watch *w, uint32_t peer, bool joined) {
  change *c = w->changes.n < MSUB__WATCH_EVENTS ? msub__ring_push(&w->changes, msub__mem(w->e)) : NULL;
  if (!c) {
    if (w->lost < UINT32_MAX) w->lost++;
    return false;
  }
  *c = (change){ peer, joined };
  msub__intern_ref(&w->e->sh->peers, peer);
  return true;
}

/* Takes the peer's event out if nobody has seen it yet; false: there is none. */
static bool unsaid(msub_watch *w, uint32_t peer) {
  uint32_t i = 0;
  while (i < w->changes.n && ((change *)msub__ring_at(&w->changes, i))->peer != peer) i++;
  if (i == w->changes.n) return false;
  for (; i > 0; i--) *(change *)msub__ring_at(&w->changes, i) = *(change *)msub__ring_at(&w->changes, i - 1);
  msub__ring_pop(&w->changes);
  drop_peer(w->e, peer);
  return true;
}

void msub__watch_tell(msub_engine *e, msub_topic t, uint32_t peer, bool joined) {
  uint32_t n = e->extras->n_watches; /* one that begins meanwhile has begun with this peer */
  for (msub_watch *w = e->extras->watches; n--; w = w->next) {
    if (w->topic.v != t.v || w->closed || unsaid(w, peer)) continue;
    bool first = w->changes.n == 0;
    if (append(w, peer, joined) && first && w->ready && !e->silent) w->ready(w->ud, w);
  }
}

void msub__watches_of_topic(msub_engine *e, msub_topic t) {
  for (msub_watch *w = e->extras->watches; w; w = w->next)
    if (w->topic.v == t.v) w->closed = true;
}

static void release(msub_watch *w) {
  msub_engine *e = w->e;
  msub_watch **at = &e->extras->watches;
  while (*at != w) at = &(*at)->next;
  *at = w->next;
  e->extras->n_watches--;
  e->watching = e->extras->n_watches > 0;
  for (uint32_t i = 0; i < w->changes.n; i++) drop_peer(e, ((change *)msub__ring_at(&w->changes, i))->peer);
  drop_peer(e, w->shown);
  msub__ring_fini(&w->changes, msub__mem(e));
  msub__free(msub__mem(e), w, sizeof *w);
}
void msub_watch_end(msub_watch *w) {
  if (w) release(w);
}
void msub__watches_fini(msub_engine *e) {
  while (e->extras->watches) release(e->extras->watches);
}

int msub_watch_begin(msub_engine *e, msub_topic h, void (*ready)(void *ud, msub_watch *w), void *ud, msub_watch **out) {
  const msub__topic *t = msub__topic_of(e, h);
  if (!t || (t->joins == 0 && t->opens == 0)) return MSUB_ERR_STALE;
  msub__extras *x = msub__need_extras(e);
  if (!x) return MSUB_ERR_NOMEM;
  if (x->n_watches == MSUB__WATCHES) return MSUB_ERR_LIMIT;
  msub_watch *w = msub__zalloc(msub__mem(e), 1, sizeof *w);
  if (!w) return MSUB_ERR_NOMEM;
  *w = (msub_watch){ .e = e, .topic = h, .ready = ready, .ud = ud };
  msub__ring_init(&w->changes, sizeof(change));
  msub_watch **at = &x->watches; /* at the end: watches hear of a peer in the order in which they began */
  while (*at) at = &(*at)->next;
  *at = w;
  x->n_watches++;
  e->watching = true;
  unsigned ri = msub__handle_router(h.v);
  for (uint32_t i = 0; i < t->n_links; i++) (void)append(w, msub__session_at(e, ri, msub__link_at(e, t, i)->session)->peer, true);
  *out = w;
  return MSUB_OK;
}

int msub_watch_next(msub_watch *w, msub_peer_event *out) {
  drop_peer(w->e, w->shown);
  w->shown = 0;
  if (w->changes.n == 0) return w->closed ? MSUB_ERR_STALE : MSUB_ERR_NOTFOUND;
  change c = *(change *)msub__ring_front(&w->changes);
  msub__ring_pop(&w->changes);
  w->shown = c.peer;
  *out = (msub_peer_event){ { c.peer }, c.joined, w->lost };
  w->lost = 0;
  return MSUB_OK;
}
