#include <string.h>
#include "host/book.h"
#include "host/discovery.h"
#include "host/hints.h"
#include "host/neighbours.h"
#include "host/places.h"

/* ---- the topics ---- */

static bool is_on(const msub_host *h) { return h->seek.ops.find || h->find.n > 0 || h->near.mdns; }

static msub_bytes name_of(const msub__sought *s) { return (msub_bytes){ (const uint8_t *)s->name, s->n }; }

static bool same(const void *ctx, uint32_t value, const void *key) {
  const msub_host *h = ctx;
  return msub_bytes_eq(name_of(h->seek.all[value]), *(const msub_bytes *)key);
}

static msub__sought *find(const msub_host *h, msub_bytes topic) {
  uint32_t i = msub__table_find(&h->seek.index, msub__hash(&h->hashkey, topic), same, h, &topic);
  return i == MSUB__NONE ? NULL : h->seek.all[i];
}

static void mark(msub__sought *s) {
  msub_host *h = s->host;
  if (msub__list_empty(&s->in_due)) msub__list_push(&h->seek.due, &s->in_due);
  if (!h->in_turn) msub__wake_signal(&h->wake);
}

static void fired(msub__timer *t) { mark(MSUB__OF(t, msub__sought, timer)); }

static msub__sought *add(msub_host *h, msub_bytes topic) {
  msub__seek *k = &h->seek;
  if (k->n == k->cap) {
    uint32_t cap = k->cap ? k->cap * 2 : 16;
    msub__sought **all = msub__realloc(&h->mem, k->all, k->cap * sizeof *all, cap * sizeof *all);
    if (!all) return NULL;
    k->all = all;
    k->cap = cap;
  }
  msub__sought *s = msub__zalloc(&h->mem, 1, sizeof *s + topic.n);
  if (!s) return NULL;
  s->n = topic.n;
  if (topic.n > 0) memcpy(s->name, topic.p, topic.n);
  s->hash = msub__hash(&h->hashkey, topic);
  s->index = k->n;
  s->host = h;
  msub__list_init(&s->in_due);
  msub__timer_init(&s->timer, fired);
  if (msub__table_insert(&k->index, &h->mem, s->hash, s->index) != MSUB_OK) {
    msub__free(&h->mem, s, sizeof *s + s->n);
    return NULL;
  }
  k->all[k->n++] = s;
  return s;
}

static void take_out(msub_host *h, msub__sought *s) {
  msub__seek *k = &h->seek;
  (void)msub__table_remove(&k->index, s->hash, s->index);
  msub__sought *last = k->all[--k->n];
  if (last != s) {
    (void)msub__table_update(&k->index, last->hash, last->index, s->index);
    last->index = s->index;
    k->all[last->index] = last;
  }
  msub__list_remove(&s->in_due);
  msub__timer_stop(h->wheel, &s->timer);
  msub__free(&h->mem, s, sizeof *s + s->n);
}

/* ---- the engine's side ---- */

void msub__discovery_want(msub_host *h, msub_bytes topic, unsigned n) {
  if (!is_on(h) || n == 0) return;
  msub__sought *s = find(h, topic);
  if (!s && !(s = add(h, topic))) return;
  s->wanted = n;
  s->wanted_at = h->now.mono_ns;
  mark(s);
}

void msub__discovery_joined(msub_host *h, msub_bytes topic, bool on) {
  if (!is_on(h)) return;
  msub__sought *s = find(h, topic);
  if (!s && (!on || !(s = add(h, topic)))) return;
  if (on)
    s->joins++;
  else if (s->joins > 0)
    s->joins--;
  if (s->joins == 0) s->wanted = 0; /* nobody listens any more */
  mark(s);
}

/* ---- the program's side ---- */

static void found(void *ud, msub_bytes peer_id, msub_bytes addr) {
  msub_host *h = ud;
  msub__tr_addr at;
  h->counts.found++;
  if (addr.n == 0)
    msub__hints_add(h, peer_id, (msub_bytes){ NULL, 0 }, NULL);
  else if (msub__book_parse(addr, peer_id, &at))
    msub__hints_add(h, peer_id, (msub_bytes){ NULL, 0 }, &at);
}

void msub__discovery_offer(msub_host *h, msub_bytes peer_id, msub_bytes addr) {
  bool wanted = false;
  for (uint32_t i = 0; i < h->seek.n && !wanted; i++) wanted = h->seek.all[i]->asked;
  if (wanted) found(h, peer_id, addr);
}

static void tell_joined(msub_host *h, msub__sought *s) {
  bool on = s->joins > 0 && !h->stopping;
  if (on == s->advertised) return;
  s->advertised = on;
  if (h->seek.ops.advertise) h->seek.ops.advertise(h->seek.d, name_of(s), on);
}

static void cancel(msub_host *h, msub__sought *s) {
  s->asked = false;
  if (h->seek.ops.cancel) h->seek.ops.cancel(h->seek.d, name_of(s));
}

static void ask(msub_host *h, msub__sought *s) {
  unsigned n = s->wanted;
  s->wanted = 0;
  s->asked = true;
  s->asked_at = h->now.mono_ns;
  h->counts.sought++;
  msub__places_find(h, found);
  msub__neighbours_find(h, found);
  if (h->seek.ops.find) h->seek.ops.find(h->seek.d, name_of(s), n, found, h);
}

/* When there is something to do again. */
static uint64_t again_at(const msub__sought *s) {
  uint64_t soonest = s->asked_at ? msub__deadline(s->asked_at, MSUB__HOST_SEEK_NS) : 0;
  if (s->wanted > 0) return soonest;
  return s->asked ? msub__deadline(s->wanted_at, MSUB__HOST_SEEK_LAPSE_NS) : soonest; /* not sooner after a return either */
}

static void tend(msub_host *h, msub__sought *s) {
  uint64_t now = h->now.mono_ns;
  bool left = s->advertised && (s->joins == 0 || h->stopping);
  if (h->stopping) s->wanted = 0;
  tell_joined(h, s);
  if (s->wanted > 0 && msub__passed(again_at(s), now))
    ask(h, s);
  else if (s->wanted == 0 && s->asked && (left || h->stopping || msub__passed(again_at(s), now)))
    cancel(h, s);
  if (s->joins == 0 && s->wanted == 0 && !s->asked && msub__passed(again_at(s), now))
    take_out(h, s);
  else if (s->wanted > 0 || s->asked || s->joins == 0)
    msub__timer_start(h->wheel, &s->timer, again_at(s));
}

void msub__discovery_step(msub_host *h) {
  msub__node now, *due = &h->seek.due;
  if (msub__list_empty(due)) return;
  msub__list_insert(due, &now); /* takes the whole list: what is marked meanwhile waits for the next round */
  msub__list_remove(due);
  for (msub__node *n; (n = msub__list_first(&now));) {
    msub__list_remove(n);
    tend(h, MSUB__OF(n, msub__sought, in_due));
  }
}

void msub__discovery_stops(msub_host *h) {
  for (uint32_t i = 0; i < h->seek.n; i++) mark(h->seek.all[i]);
}

bool msub__discovery_winds_up(msub_host *h) { return h->seek.ops.wind_up && h->seek.ops.wind_up(h->seek.d); }

/* ---- making, ending ---- */

int msub__discovery_init(msub_host *h) {
  const msub_discovery_ops *ops = h->o.discovery.ops;
  msub__list_init(&h->seek.due);
  if (!ops) return MSUB_OK;
  if (ops->abi != MSUB_ABI || ops->size < offsetof(msub_discovery_ops, advertise)) return MSUB_ERR_INVAL;
  memcpy(&h->seek.ops, ops, ops->size < sizeof *ops ? ops->size : sizeof *ops);
  h->seek.d = h->o.discovery.d;
  return h->seek.ops.find ? MSUB_OK : MSUB_ERR_INVAL;
}

void msub__discovery_fini(msub_host *h) {
  while (h->seek.n > 0) {
    msub__sought *s = h->seek.all[h->seek.n - 1];
    s->joins = 0;
    tell_joined(h, s);
    if (s->asked) cancel(h, s);
    take_out(h, s);
  }
  msub__free(&h->mem, h->seek.all, h->seek.cap * sizeof *h->seek.all);
  msub__table_fini(&h->seek.index, &h->mem);
}
