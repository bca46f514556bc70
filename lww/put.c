/* lww/put.c: what comes in, and what the store says of it.
 *
 *   better than the winner ──┬─ an owner's: submitted, staged ──▶ durable: the winner, told, published
 *                            └─ else: the winner, told, forwarded; submitted ──▶ durable
 *                                                              └─ the store does not take it: in the list of the unsaved */
#include "lww/set.h"
#include "base/mem.h"
#include <string.h>

static bool same(const msub__lww_record *r, msub_bytes b) { return msub_bytes_eq(msub__lww_bytes(r), b); }

static int compare(const msub_lww *l, const msub__lww_entry *e, msub_bytes a, const msub__lww_record *b) {
  return l->ops.compare(l->o.type, msub__lww_name(e), a, msub__lww_bytes(b));
}

static void save_later(msub_lww *l, msub__lww_entry *e) {
  if (!msub__lww_stored(l) || !msub__list_empty(&e->unsaved)) return;
  msub__list_push(&l->unsaved, &e->unsaved);
  l->counts.unsaved++;
}
static void saved(msub_lww *l, msub__lww_entry *e) {
  if (msub__list_empty(&e->unsaved)) return;
  msub__list_remove(&e->unsaved);
  l->counts.unsaved--;
}

static void told_changed(const msub_lww *l, const msub__lww_entry *e) {
  msub_lww_view v = msub__lww_view_of(e);
  if (l->o.changed) l->o.changed(l->o.ud, msub__lww_name(e), &v);
}
static void told_stored(const msub_lww *l, const msub__lww_entry *e, msub_token user, int result) {
  if (l->o.stored && user.v) l->o.stored(l->o.ud, msub__lww_name(e), user, result);
}

static void alarms(msub_lww *l, const msub__lww_entry *e, msub_bytes record) {
  msub_bytes topic = msub__lww_name(e), old = msub__lww_bytes(e->winner);
  const void *type = l->o.type;
  if (l->ops.contradicts && l->ops.contradicts(type, topic, old, record)) {
    l->counts.equivocal++;
    if (l->o.alarm) l->o.alarm(l->o.ud, topic, MSUB_LWW_EQUIVOCAL, old, record);
  }
  uint64_t was = l->ops.sequence ? l->ops.sequence(type, topic, old) : 0, is = l->ops.sequence ? l->ops.sequence(type, topic, record) : 0;
  if (is > was && is - was > MSUB__LWW_JUMP) {
    l->counts.jumps++;
    if (l->o.alarm) l->o.alarm(l->o.ud, topic, MSUB_LWW_JUMP, old, record);
  }
}

static int refuse(uint64_t *count, int rc) {
  ++*count;
  return rc;
}

static int judge(msub_lww *l, const msub__lww_entry *e, msub_bytes record) {
  switch (l->ops.validate(l->o.type, msub__lww_name(e), record)) {
  case MSUB_ACCEPT: return MSUB_OK;
  case MSUB_REJECT: return refuse(&l->counts.invalid, MSUB_ERR_MALFORMED);
  default: return refuse(&l->counts.invalid, MSUB_ERR_UNSUPPORTED);
  }
}

/* An owner's record: submitted, and nobody is shown it. Takes r over. */
static int stage(msub_lww *l, msub__lww_entry *e, msub__lww_record *r, const msub_lww_how *how, msub_token user) {
  int rc = msub__lww_submit(l, e, r, true, how->publish, user);
  if (rc != MSUB_OK) {
    if (rc == MSUB_ERR_LIMIT) l->counts.full++;
    msub__lww_drop(l, r);
    return rc;
  }
  msub__lww_drop(l, e->staged);
  e->staged = r;
  msub__lww_recount(l, e);
  l->counts.waits++;
  return MSUB_LWW_WAITS;
}

/* The winner from now on, durable or not. Takes r over. store: it is to be submitted. */
static void enthrone(msub_lww *l, msub__lww_entry *e, msub__lww_record *r, bool durable, bool store, msub_token user) {
  int rc = store && msub__lww_stored(l) ? msub__lww_submit(l, e, r, false, false, user) : MSUB_OK;
  msub__lww_set_winner(l, e, r);
  e->durable = durable;
  l->counts.taken++;
  if (rc == MSUB_OK && (store || durable)) saved(l, e);
  else if (rc != MSUB_OK) save_later(l, e);
  if (rc != MSUB_OK) told_stored(l, e, user, rc);
  told_changed(l, e);
}

static int consider(msub_lww *l, msub__lww_entry *e, msub_bytes record, const msub_lww_how *how, int64_t wall, msub_token user) {
  const msub__lww_record *w = e->winner;
  const bool wait = how->durable_first && msub__lww_stored(l);
  if (e->staged && same(e->staged, record)) return refuse(&l->counts.same, MSUB_LWW_WAITS);
  if (w && same(w, record)) {
    if (w->expires <= wall) return refuse(&l->counts.expired, MSUB_ERR_TIMEOUT);
    if (wait && !e->durable) return stage(l, e, msub__lww_hold(e->winner), how, user);
    return refuse(&l->counts.same, MSUB_LWW_SAME);
  }
  int rc = how->validated ? MSUB_OK : judge(l, e, record);
  if (rc != MSUB_OK) return rc;
  if (msub__lww_expires(l, msub__lww_name(e), record, wall) <= wall) return refuse(&l->counts.expired, MSUB_ERR_TIMEOUT);
  if (w) alarms(l, e, record);
  w = e->winner; /* an alarm may have brought another one */
  if (w && (l->o.high_water || w->expires > wall) && compare(l, e, record, w) <= 0) return refuse(&l->counts.worse, MSUB_ERR_REFUSED);
  /* What beats the winner, but not the owner's record that waits, is shown meanwhile; in the store the other one stands already. */
  bool beats_staged = !e->staged || compare(l, e, record, e->staged) > 0;
  if (!beats_staged && wait) return refuse(&l->counts.worse, MSUB_ERR_REFUSED);
  if (!e->counted && l->counts.topics >= l->o.limits.topics) return refuse(&l->counts.full, MSUB_ERR_LIMIT);
  if (l->counts.bytes + record.n > l->o.limits.bytes + (w && !wait ? w->n : 0)) return refuse(&l->counts.full, MSUB_ERR_LIMIT);
  msub__lww_record *r = msub__lww_record_new(l, msub__lww_name(e), record, &(msub__lww_origin){ how->source, how->from, wall, false });
  if (!r) return MSUB_ERR_NOMEM;
  if (wait) return stage(l, e, r, how, user);
  enthrone(l, e, r, false, beats_staged, user);
  return MSUB_LWW_TAKEN;
}

int msub__lww_take(msub_lww *l, msub_bytes topic, msub_bytes record, const msub_lww_how *how, int64_t wall, msub_token user) {
  if (topic.n == 0 || topic.n > MSUB__LWW_TOPIC) return MSUB_ERR_INVAL;
  if (record.n > l->o.limits.record) return refuse(&l->counts.full, MSUB_ERR_LIMIT);
  msub__lww_entry *e = msub__lww_entry_get(l, topic);
  if (!e) return MSUB_ERR_NOMEM;
  int rc = consider(l, e, record, how, wall, user);
  msub__lww_unpin(l, e);
  return rc;
}

int msub_lww_put(msub_lww *l, msub_bytes topic, msub_bytes record, const msub_lww_how *how, const msub_now *now, msub_token token) {
  if (how->size != sizeof *how || how->source > MSUB_LWW_GIVEN) return MSUB_ERR_INVAL;
  int rc = msub__lww_take(l, topic, record, how, now->wall_ns, token);
  if (!how->publish || (rc != MSUB_LWW_TAKEN && rc != MSUB_LWW_SAME)) return rc;
  if (rc == MSUB_LWW_SAME) (void)msub_lww_rebroadcast(l, topic, now); /* not more often than that allows */
  else {
    msub__lww_entry *e = msub__lww_find(l, topic);
    if (e) msub__lww_publish(l, e, now);
  }
  return rc;
}

/* ---- the store's answers ---- */

/* What was staged becomes the winner, unless a better one came meanwhile. true: it stands, and is to be published. */
static bool promote(msub_lww *l, msub__lww_entry *e, msub__lww_record *r, bool durable) {
  const msub__lww_record *w = e->winner;
  if (w == r) {
    e->durable = durable;
    return true;
  }
  bool stands = w && (l->o.high_water || w->expires > r->received);
  if (stands && compare(l, e, msub__lww_bytes(r), w) <= 0) return false;
  enthrone(l, e, msub__lww_hold(r), durable, false, (msub_token){ 0 });
  return true;
}

static void settle(msub_lww *l, const msub__lww_waiting *w, int result) {
  msub__lww_entry *e = w->e;
  bool ok = result == MSUB_OK, out = false;
  if (ok) l->counts.stored++;
  else l->counts.store_failed++;
  if (w->owner) {
    if (e->staged == w->r) {
      msub__lww_drop(l, e->staged);
      e->staged = NULL;
    }
    if (ok || l->o.on_store_failure_publish) out = promote(l, e, w->r, ok);
    if (!ok && e->winner && !e->durable) save_later(l, e);
    msub__lww_recount(l, e);
  } else if (e->winner == w->r) {
    if (ok && w->r) e->durable = true;
    if (!ok) save_later(l, e);
  }
  told_stored(l, e, w->user, result);
  if (out && w->publish && l->o.engine) msub__lww_publish(l, e, NULL);
}

bool msub_lww_durable(msub_lww *l, msub_token token, int result) {
  if ((token.v & ~UINT64_C(0xffffffffff)) != l->o.token.v) return false;
  const msub__lww_waiting *front = msub__ring_front(&l->waiting);
  if (!front || front->token != token.v) return true; /* stores tell in order, so it is one of a set that was here before */
  msub__lww_waiting w = *front;
  msub__ring_pop(&l->waiting);
  l->counts.waiting = l->waiting.n;
  settle(l, &w, result);
  msub__lww_drop(l, w.r);
  msub__lww_unpin(l, w.e);
  if (result == MSUB_OK && l->counts.unsaved && l->waiting.n <= l->o.limits.waiting / 2) (void)msub_lww_flush(l);
  return true;
}

size_t msub_lww_flush(msub_lww *l) {
  for (size_t n = (size_t)l->counts.unsaved; n; n--) {
    msub__node *first = msub__list_first(&l->unsaved);
    if (!first) break;
    msub__lww_entry *e = MSUB__OF(first, msub__lww_entry, unsaved);
    if (msub__lww_submit(l, e, e->winner, false, false, (msub_token){ 0 }) != MSUB_OK) break;
    saved(l, e);
  }
  return (size_t)l->counts.unsaved;
}

/* ---- forgetting ---- */

int msub_lww_forget(msub_lww *l, msub_bytes topic) {
  if (topic.n == 0 || topic.n > MSUB__LWW_TOPIC) return MSUB_ERR_NOTFOUND;
  msub__lww_entry *e = msub__lww_entry_get(l, topic);
  if (!e) return MSUB_ERR_NOMEM;
  int rc = e->staged ? MSUB_ERR_STATE : e->winner ? MSUB_OK : MSUB_ERR_NOTFOUND;
  if (rc == MSUB_OK && msub__lww_stored(l)) rc = msub__lww_submit(l, e, NULL, false, false, (msub_token){ 0 });
  if (rc == MSUB_OK) {
    msub__lww_set_winner(l, e, NULL);
    e->durable = false;
    saved(l, e);
  }
  msub__lww_unpin(l, e);
  return rc;
}

typedef struct sweeping {
  msub_lww *l;
  int64_t wall;
  size_t n, max;
  uint8_t *names; /* each behind its length, 2 bytes */
  size_t names_n, names_cap;
  bool full;
} sweeping;

static bool collect(void *ud, msub_bytes topic, const msub_lww_view *v) {
  sweeping *s = ud;
  if (v->expires_ns > s->wall) return true;
  if (s->n == s->max) return false;
  if (s->names_n + 2 + topic.n > s->names_cap) {
    size_t cap = s->names_cap ? s->names_cap * 2 : 4096;
    uint8_t *p = msub__realloc(&s->l->mem, s->names, s->names_cap, cap);
    if (!p) return false;
    s->names = p;
    s->names_cap = cap;
  }
  s->names[s->names_n] = (uint8_t)(topic.n >> 8);
  s->names[s->names_n + 1] = (uint8_t)topic.n;
  memcpy(s->names + s->names_n + 2, topic.p, topic.n);
  s->names_n += 2 + topic.n;
  s->n++;
  return true;
}

size_t msub_lww_sweep(msub_lww *l, size_t max, const msub_now *now) {
  sweeping s = { .l = l, .wall = now->wall_ns, .max = max };
  size_t n = 0;
  if (l->o.high_water || max == 0) return 0;
  (void)msub_lww_iterate(l, collect, &s);
  for (size_t at = 0; at < s.names_n;) {
    msub_bytes topic = { s.names + at + 2, (size_t)s.names[at] << 8 | s.names[at + 1] };
    at += 2 + topic.n;
    if (msub_lww_forget(l, topic) == MSUB_OK) n++;
  }
  msub__free(&l->mem, s.names, s.names_cap);
  return n;
}
