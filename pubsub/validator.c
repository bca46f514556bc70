/* pubsub/validator.c: who judges messages besides the signature.
 *
 *   place  0 … 7   the engine's          A place stays its validator's as long as a message waits for it; what was taken away
 *          8 … 15  the topic's           leaves a hole, which is closed when nobody waits.
 */
#include "pubsub/engine.h"
#include <string.h>

void msub_validator_opts_init(msub_validator_opts *o) {
  *o = (msub_validator_opts){ .size = sizeof *o, .name = "validator", .concurrency = MSUB__VALIDATING_TOPIC };
}

static void close_holes(msub__validators *v) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < v->n; i++)
    if (v->v[i].pending) return;
  for (uint32_t i = 0; i < v->n; i++)
    if (v->v[i].fn) v->v[n++] = v->v[i];
  v->n = n;
}

/* Where the list of the topic, or of the engine, hangs. */
static int list_of(msub_engine *e, msub_topic h, bool make, msub__validators ***out) {
  msub__topic *t = h.v ? msub__topic_of(e, h) : NULL;
  if (h.v && (!t || (t->joins == 0 && t->opens == 0))) return MSUB_ERR_STALE;
  msub__topic_extra *x = t ? make ? msub__topic_extra_of(e, t) : t->extra : NULL;
  if (!msub__need_work(e) || (make && t && !x)) return MSUB_ERR_NOMEM;
  if (t && !x) return MSUB_ERR_NOTFOUND;
  *out = x ? &x->validators : &e->work->validators;
  if (make && !**out) **out = msub__zalloc(msub__mem(e), 1, sizeof ***out);
  return **out ? MSUB_OK : make ? MSUB_ERR_NOMEM : MSUB_ERR_NOTFOUND;
}

int msub_validator_add(msub_engine *e, msub_topic h, const msub_validator_opts *o) {
  if (e->inside) return MSUB_ERR_STATE;
  if (o->size != sizeof *o || !o->fn || o->concurrency == 0) return MSUB_ERR_INVAL;
  msub__validators **at;
  int rc = list_of(e, h, true, &at);
  if (rc != MSUB_OK) return rc;
  msub__validators *v = *at;
  if (v->n == MSUB__VALIDATORS) close_holes(v);
  if (v->n == MSUB__VALIDATORS) return MSUB_ERR_LIMIT;
  int timeout = msub__question_timeout(e, o->timeout_ns);
  if (timeout < 0) return timeout == -1 ? MSUB_ERR_LIMIT : MSUB_ERR_NOMEM;
  v->v[v->n++] = (msub__validator){ .fn = o->fn, .ud = o->ud, .concluded = o->concluded, .concurrency = o->concurrency,
                                    .timeout = (uint8_t)timeout };
  if (o->concluded) e->work->concluders++;
  return MSUB_OK;
}

int msub_validator(msub_engine *e, msub_topic h, msub_validate_fn f, void *ud) {
  msub_validator_opts o;
  msub_validator_opts_init(&o);
  o.fn = f;
  o.ud = ud;
  return msub_validator_add(e, h, &o);
}

int msub_validator_remove(msub_engine *e, msub_topic h, msub_validate_fn f, void *ud) {
  if (e->inside) return MSUB_ERR_STATE;
  msub__validators **at;
  int rc = list_of(e, h, false, &at);
  if (rc != MSUB_OK) return rc;
  msub__validators *v = *at;
  for (uint32_t i = 0; i < v->n; i++) {
    if (!f || v->v[i].fn != f || v->v[i].ud != ud) continue;
    if (v->v[i].concluded) e->work->concluders--;
    v->v[i].fn = NULL;
    v->v[i].concluded = NULL;
    close_holes(v);
    return MSUB_OK;
  }
  return MSUB_ERR_NOTFOUND;
}

void msub__validators_free(msub_engine *e, msub__validators *v) {
  if (!v) return;
  for (uint32_t i = 0; i < v->n; i++)
    if (v->v[i].concluded) e->work->concluders--;
  msub__free(msub__mem(e), v, sizeof *v);
}

static msub__validators *lists(const msub_engine *e, const msub__topic *t, unsigned which) {
  return which == 0 ? e->work ? e->work->validators : NULL : t && t->extra ? t->extra->validators : NULL;
}

msub__validator *msub__validator_next(const msub_engine *e, const msub__topic *t, uint32_t *place) {
  for (unsigned which = 0; which < 2; which++) {
    msub__validators *v = lists(e, t, which);
    uint32_t first = which * MSUB__VALIDATORS;
    if (*place < first) *place = first;
    for (; v && *place - first < v->n; ++*place)
      if (v->v[*place - first].fn) return &v->v[*place - first];
  }
  return NULL;
}

bool msub__validator_room(const msub_engine *e, const msub__topic *t, const msub__validator *v) {
  return v->pending < v->concurrency && e->work->validating < e->cfg->validation.pending &&
         (!t->extra || t->extra->validating < e->cfg->validation.pending_per_topic);
}

void msub__validator_count(msub_engine *e, msub__topic *t, uint32_t place, bool more) {
  msub__validators *v = lists(e, t, place / MSUB__VALIDATORS);
  uint32_t *counts[3] = { &e->work->validating, t && t->extra ? &t->extra->validating : NULL, v ? &v->v[place % MSUB__VALIDATORS].pending : NULL };
  for (unsigned i = 0; i < 3; i++)
    if (counts[i] && (more || *counts[i])) *counts[i] += more ? 1u : UINT32_MAX; /* a membership that began anew counts from 0 */
}

void msub__validators_concluded(msub_engine *e, const msub__topic *t, const msub__case *c, msub_verdict verdict) {
  for (unsigned which = 0; which < 2; which++) {
    const msub__validators *v = lists(e, t, which);
    for (uint32_t i = 0; v && i < v->n; i++)
      if (v->v[i].concluded) v->v[i].concluded(v->v[i].ud, c->m, (msub_peer){ c->n_from ? c->from[0] : 0 }, verdict);
  }
}
