#include "pubsub/engine.h"
#include <string.h>

struct msub_layout {
  msub_shared *sh;
  msub_plan *plan;
  int err;
};

static void block(msub_layout *l, uint32_t *out, size_t n, size_t align, size_t max_align) {
  if (align == 0 || align > max_align || (align & (align - 1))) l->err = MSUB_ERR_INVAL;
  else if (n > MSUB__BLOCK_BYTES) l->err = MSUB_ERR_LIMIT;
  else *out = (uint32_t)n;
}
void msub_layout_state(msub_layout *l, size_t n, size_t align) { block(l, &l->plan->level.state_n, n, align, 8); }
void msub_layout_session(msub_layout *l, size_t n, size_t align) { block(l, &l->plan->level.session_n, n, align, 8); }
void msub_layout_topic(msub_layout *l, size_t n, size_t align) { block(l, &l->plan->level.topic_n, n, align, 8); }
void msub_layout_link(msub_layout *l, size_t n, size_t align) { block(l, &l->plan->level.link_n, n, align, 4); }

int msub_layout_protocol(msub_layout *l, const char *id, uint16_t features) {
  msub_plan *p = l->plan;
  if (!id || !*id) return l->err = MSUB_ERR_INVAL;
  if (p->n_protocols == MSUB__PROTOCOLS) return l->err = MSUB_ERR_LIMIT;
  size_t n = strlen(id) + 1;
  char *copy = msub__alloc(&l->sh->mem, n);
  if (!copy) return l->err = MSUB_ERR_NOMEM;
  memcpy(copy, id, n);
  p->protocols[p->n_protocols].id = copy;
  p->protocols[p->n_protocols++].features = features;
  return MSUB_OK;
}

static void drop(msub_shared *sh, msub_plan *p) {
  for (uint32_t i = 0; i < p->n_protocols; i++) msub__free(&sh->mem, p->protocols[i].id, strlen(p->protocols[i].id) + 1);
  msub__free(&sh->mem, p, sizeof *p);
}

int msub_plan_new(msub_shared *sh, const msub_router_ops *ops, const void *opts, const msub_plan **out) {
  if (!ops || ops->abi != MSUB_ABI || ops->size < offsetof(msub_router_ops, init)) return MSUB_ERR_INVAL;
  msub_plan *p = msub__zalloc(&sh->mem, 1, sizeof *p);
  if (!p) return MSUB_ERR_NOMEM;
  memcpy(&p->ops, ops, ops->size < sizeof p->ops ? ops->size : sizeof p->ops);
  p->level.ops = &p->ops;
  p->level.opts = opts;
  msub_layout l = { sh, p, MSUB_OK };
  int rc = p->ops.layout && p->ops.publish && p->ops.name ? p->ops.layout(&l, opts) : MSUB_ERR_INVAL;
  if (rc == MSUB_OK) rc = l.err;
  if (rc == MSUB_OK && p->n_protocols == 0) rc = MSUB_ERR_INVAL;
  if (rc != MSUB_OK) {
    drop(sh, p);
    return rc;
  }
  p->next = sh->plans;
  sh->plans = p;
  *out = p;
  return MSUB_OK;
}
