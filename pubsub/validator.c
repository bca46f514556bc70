#include "pubsub/engine.h"

int msub_validator(msub_engine *e, msub_topic h, msub_validate_fn f, void *ud) {
  if (e->inside) return MSUB_ERR_STATE;
  if (!f) return MSUB_ERR_INVAL;
  msub__validators *v = &e->validators;
  if (h.v) {
    msub__topic *t = msub__topic_of(e, h);
    if (!t || t->joins == 0) return MSUB_ERR_STALE;
    if (!t->validators) t->validators = msub__zalloc(msub__mem(e), 1, sizeof *t->validators);
    if (!t->validators) return MSUB_ERR_NOMEM;
    v = t->validators;
  }
  if (v->n == MSUB__VALIDATORS) return MSUB_ERR_LIMIT;
  v->v[v->n++] = (msub__validator){ f, ud };
  return MSUB_OK;
}

const msub__validator *msub__validator_at(const msub_engine *e, const msub__topic *t, uint32_t i) {
  if (i < e->validators.n) return &e->validators.v[i];
  i -= e->validators.n;
  return t->validators && i < t->validators->n ? &t->validators->v[i] : NULL;
}
