/* pubsub/wait.c: publishes with conditions, and programs that wait until a topic is ready. What waits is looked at at the end of a
 * call in which a topic may have become ready (engine.stirred): a peer announced it, a mesh changed, a heartbeat passed. */
#include "pubsub/engine.h"
#include <string.h>

msub__extras *msub__need_extras(msub_engine *e) {
  if (!e->extras) e->extras = msub__zalloc(msub__mem(e), 1, sizeof *e->extras);
  return e->extras;
}

void msub_publish_opts_init(msub_publish_opts *o) { *o = (msub_publish_opts){ .size = sizeof *o }; }

/* ---- the list ---- */

static void measure(msub_engine *e) {
  msub__extras *x = e->extras;
  x->waits_deadline = MSUB_NEVER;
  for (uint32_t i = 0; i < x->n_waits; i++) x->waits_deadline = msub__sooner(x->waits_deadline, x->waits[i].deadline);
  e->waiting = x->n_waits > 0;
}

/* Takes one out; its data are the caller's. */
static msub__wait take_out(msub_engine *e, uint32_t i) {
  msub__extras *x = e->extras;
  msub__wait w = x->waits[i];
  memmove(&x->waits[i], &x->waits[i + 1], (x->n_waits - i - 1) * sizeof w);
  x->n_waits--;
  x->wait_bytes -= w.n;
  measure(e);
  return w;
}

static int put_in(msub_engine *e, const msub__call *c, bool publishes) {
  msub__extras *x = msub__need_extras(e);
  if (!x) return MSUB_ERR_NOMEM;
  if (x->n_waits == MSUB__WAITS || c->n_bytes > MSUB__WAIT_BYTES - x->wait_bytes) return MSUB_ERR_LIMIT;
  const msub_mem *m = msub__mem(e);
  if (x->n_waits == x->cap_waits) {
    uint32_t cap = x->cap_waits ? x->cap_waits * 2 : 4;
    msub__wait *p = msub__realloc(m, x->waits, x->cap_waits * sizeof *p, cap * sizeof *p);
    if (!p) return MSUB_ERR_NOMEM;
    x->waits = p;
    x->cap_waits = cap;
  }
  uint8_t *copy = c->n_bytes ? msub__alloc(m, c->n_bytes) : NULL;
  if (c->n_bytes && !copy) return MSUB_ERR_NOMEM;
  if (copy) memcpy(copy, c->bytes, c->n_bytes);
  x->waits[x->n_waits++] = (msub__wait){ .topic = c->topic, .min_peers = c->min_peers, .deadline = msub__deadline(e->now.mono_ns, c->ns),
                                         .ticket = c->token, .data = copy, .n = c->n_bytes, .publishes = publishes, .anyway = c->anyway,
                                         .local = c->local };
  x->wait_bytes += c->n_bytes;
  measure(e);
  return MSUB_OK;
}

static bool ready(msub_engine *e, const msub__topic *t, uint32_t n) {
  return MSUB__ASK(e, msub__handle_router(t->handle.v), ready, t->n_links >= n, t->handle, n);
}

static void tell(msub_engine *e, msub_token ticket, msub_topic t, int err, uint32_t peers) {
  msub_published p = { .ticket = ticket, .topic = t, .err = err, .recipients = peers, .reach = peers ? MSUB_REACH_PEERS : MSUB_REACH_NO_PEERS };
  if (err != MSUB_OK) p.reach = MSUB_REACH_NOT_PUBLISHED;
  if (MSUB__WORLD(e)->published && !e->silent) MSUB__WORLD(e)->published(e->w, &p);
}

/* Publishes, and tells the outcome when that was refused before it became a message, which nobody else tells. */
static void publish_and_tell(msub_engine *e, msub_topic t, msub_bytes data, msub_token ticket, bool local) {
  uint64_t before = msub_count(e)->published;
  int rc = msub__publish(e, t, data, ticket, local);
  if (rc != MSUB_OK && msub_count(e)->published == before)
    msub__tell_published(e, &(msub_published){ .ticket = ticket, .topic = t, .err = rc, .reach = MSUB_REACH_NOT_PUBLISHED });
}

/* Its time has come, or err says why it will not. */
static void end(msub_engine *e, msub__wait *w, int err) {
  const msub__topic *t = msub__topic_of(e, w->topic);
  if (!w->publishes) tell(e, w->ticket, w->topic, err, err == MSUB_OK ? t->n_links : 0);
  else if (err == MSUB_OK || (err == MSUB_ERR_TIMEOUT && w->anyway))
    publish_and_tell(e, w->topic, (msub_bytes){ w->data, w->n }, w->ticket, w->local);
  else msub__tell_published(e, &(msub_published){ .ticket = w->ticket, .topic = w->topic, .err = err, .reach = MSUB_REACH_NOT_PUBLISHED });
  msub__free(msub__mem(e), w->data, w->n);
}

void msub__waits_check(msub_engine *e) {
  msub__extras *x = e->extras;
  e->stirred = false;
  for (uint32_t i = 0; i < x->n_waits;) {
    const msub__wait *at = &x->waits[i];
    const msub__topic *t = msub__topic_of(e, at->topic);
    bool is_ready = t && ready(e, t, at->min_peers);
    if (t && !is_ready && !msub__passed(at->deadline, e->now.mono_ns)) {
      i++;
      continue;
    }
    msub__wait w = take_out(e, i);
    uint32_t left = x->n_waits;
    end(e, &w, !t ? MSUB_ERR_STALE : is_ready ? MSUB_OK : MSUB_ERR_TIMEOUT);
    if (x->n_waits < left) i = 0; /* who was told has given others up */
  }
}

void msub__waits_of_topic(msub_engine *e, msub_topic t) {
  msub__extras *x = e->extras;
  for (uint32_t i = 0; i < x->n_waits;) {
    if (x->waits[i].topic.v != t.v) {
      i++;
      continue;
    }
    msub__wait w = take_out(e, i);
    uint32_t left = x->n_waits;
    end(e, &w, MSUB_ERR_STALE);
    if (x->n_waits < left) i = 0;
  }
}

int msub_cancel(msub_engine *e, msub_token ticket) {
  for (uint32_t i = 0; e->waiting && ticket.v && i < e->extras->n_waits; i++)
    if (e->extras->waits[i].ticket.v == ticket.v) {
      msub__wait w = take_out(e, i);
      msub__free(msub__mem(e), w.data, w.n);
      return MSUB_OK;
    }
  return MSUB_ERR_NOTFOUND;
}

void msub__extras_fini(msub_engine *e) {
  msub__extras *x = e->extras;
  if (!x) return;
  while (x->n_waits) {
    msub__wait w = take_out(e, x->n_waits - 1);
    msub__free(msub__mem(e), w.data, w.n);
  }
  msub__free(msub__mem(e), x->waits, x->cap_waits * sizeof *x->waits);
  msub__batches_fini(e);
  msub__watches_fini(e);
  msub__lists_fini(e);
  msub__free(msub__mem(e), x, sizeof *x);
  e->extras = NULL;
}

/* ---- the calls ---- */

static bool is_member(const msub__topic *t) { return t && (t->joins || t->opens); }

/* Publishes now or keeps it. OK: told, or will be; else why it is neither. */
static int publish_with(msub_engine *e, const msub__call *c) {
  const msub__topic *t = msub__topic_of(e, c->topic);
  if (!is_member(t)) return MSUB_ERR_STALE;
  if (c->min_peers && !ready(e, t, c->min_peers)) {
    if (c->ns) return put_in(e, c, true);
    if (!c->anyway) return MSUB_ERR_TIMEOUT;
  }
  return msub__publish(e, c->topic, (msub_bytes){ c->bytes, c->n_bytes }, c->token, c->local);
}

int msub__publish_with_effect(msub_engine *e, const msub__call *c) {
  uint64_t before = msub_count(e)->published;
  int rc = publish_with(e, c);
  if (rc != MSUB_OK && msub_count(e)->published == before)
    msub__tell_published(e, &(msub_published){ .ticket = c->token, .topic = c->topic, .err = rc, .reach = MSUB_REACH_NOT_PUBLISHED });
  return rc;
}

int msub_publish_with(msub_engine *e, msub_topic t, msub_bytes data, const msub_publish_opts *o, const msub_now *now, msub_published *out) {
  msub_publish_opts plain;
  msub_publish_opts_init(&plain);
  if (!o) o = &plain;
  if (o->size != sizeof *o) return MSUB_ERR_INVAL;
  if (now == NULL ? !e->inside : e->inside) return MSUB_ERR_STATE;
  msub__call c = { .kind = MSUB__CALL_PUBLISH_WITH, .topic = t, .token = { ++e->tickets }, .min_peers = o->min_peers, .ns = o->wait_ns,
                   .anyway = o->anyway, .local = o->local_only };
  msub_published is = { .ticket = c.token, .topic = t, .err = MSUB_MORE, .reach = MSUB_REACH_NOT_PUBLISHED };
  const msub__topic *at = msub__topic_of(e, t);
  if (!is_member(at)) return MSUB_ERR_STALE;
  if (data.n > MSUB__PAYLOAD_BYTES || (data.n > e->cfg->max_message && !MSUB__HOOK(e, at, payload_out, &(msub_channel){ 0 }))) return MSUB_ERR_LIMIT;
  int rc;
  if (!now) {
    rc = msub__deferred_push(e, &c, data);
    if (rc == MSUB_OK && out) *out = is;
    return rc;
  }
  rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  c.bytes = (uint8_t *)(uintptr_t)data.p;
  c.n_bytes = data.n;
  msub__work *w = msub__need_work(e);
  if (w) w->outcome = &is;
  rc = w ? publish_with(e, &c) : MSUB_ERR_NOMEM;
  if (w) w->outcome = NULL;
  if (is.err == MSUB_MORE && rc != MSUB_OK) is.err = rc;
  if (rc == MSUB_OK && is.err == MSUB_MORE) rc = MSUB_MORE;
  msub__leave(e);
  if (out) *out = is;
  return rc;
}

int msub__await_effect(msub_engine *e, const msub__call *c) {
  const msub__topic *t = msub__topic_of(e, c->topic);
  int rc = is_member(t) ? MSUB_OK : MSUB_ERR_STALE;
  if (rc == MSUB_OK && !ready(e, t, c->min_peers)) {
    if (c->ns) rc = put_in(e, c, false);
    else tell(e, c->token, c->topic, MSUB_ERR_TIMEOUT, 0);
  } else if (rc == MSUB_OK) tell(e, c->token, c->topic, MSUB_OK, t->n_links);
  if (rc != MSUB_OK && c->has) tell(e, c->token, c->topic, rc, 0); /* deferred: nobody sees the answer */
  return rc;
}

int msub_await(msub_engine *e, msub_topic t, uint32_t n, uint64_t wait_ns, const msub_now *now, msub_token *ticket) {
  if (now == NULL ? !e->inside : e->inside) return MSUB_ERR_STATE;
  if (!is_member(msub__topic_of(e, t))) return MSUB_ERR_STALE;
  msub__call c = { .kind = MSUB__CALL_AWAIT, .topic = t, .token = { ++e->tickets }, .min_peers = n, .ns = wait_ns, .has = now == NULL };
  if (ticket) *ticket = c.token;
  if (!now) return msub__deferred_push(e, &c, (msub_bytes){ NULL, 0 });
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  rc = msub__await_effect(e, &c);
  msub__leave(e);
  return rc;
}
