#include "pubsub/engine.h"

int msub_validator(msub_engine *e, msub_topic h, msub_validate_fn f, void *ud) {
  if (e->inside) return MSUB_ERR_STATE;
  if (!f) return MSUB_ERR_INVAL;
  msub__validators *v;
  if (h.v) {
    msub__topic *t = msub__topic_of(e, h);
    if (!t || (t->joins == 0 && t->opens == 0)) return MSUB_ERR_STALE;
    msub__topic_extra *x = msub__topic_extra_of(e, t);
    if (!x) return MSUB_ERR_NOMEM;
    v = &x->validators;
  } else {
    msub__work *w = msub__need_work(e);
    if (!w) return MSUB_ERR_NOMEM;
    v = &w->validators;
  }
  if (v->n == MSUB__VALIDATORS) return MSUB_ERR_LIMIT;
  v->v[v->n++] = (msub__validator){ f, ud };
  return MSUB_OK;
}

const msub__validator *msub__validator_at(const msub_engine *e, const msub__topic *t, uint32_t i) {
  const msub__validators *all = e->work ? &e->work->validators : NULL;
  if (all && i < all->n) return &all->v[i];
  if (all) i -= all->n;
  return t->extra && i < t->extra->validators.n ? &t->extra->validators.v[i] : NULL;
}
