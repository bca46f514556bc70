#include "pubsub/engine.h"
#include <string.h>

struct msub_layout {
  msub_shared *sh;
  msub_plan *plan;
  uint32_t depth; /* of the level whose layout runs */
  int err;
};
typedef struct msub__plan_block { struct msub__plan_block *next; size_t n; } msub__plan_block;

static struct msub_level *level(msub_layout *l) { return &l->plan->level[l->depth]; }

static void block(msub_layout *l, msub__place *out, size_t n, size_t align, size_t max_align) {
  if (align == 0 || align > max_align || (align & (align - 1))) l->err = MSUB_ERR_INVAL;
  else if (n > MSUB__BLOCK_BYTES) l->err = MSUB_ERR_LIMIT;
  else out->n = (uint32_t)n;
}
void msub_layout_state(msub_layout *l, size_t n, size_t align) { block(l, &level(l)->state, n, align, 8); }
void msub_layout_peer(msub_layout *l, size_t n, size_t align) { block(l, &level(l)->peer, n, align, 8); }
void msub_layout_session(msub_layout *l, size_t n, size_t align) { block(l, &level(l)->session, n, align, 8); }
void msub_layout_topic(msub_layout *l, size_t n, size_t align) { block(l, &level(l)->topic, n, align, 8); }
void msub_layout_link(msub_layout *l, size_t n, size_t align) { block(l, &level(l)->link, n, align, 4); }

static int claim(msub_layout *l, const char *id, uint16_t features, bool weak) {
  msub_plan *p = l->plan;
  if (!id || !*id) return l->err = MSUB_ERR_INVAL;
  if (p->n_protocols == MSUB__PROTOCOLS) return l->err = MSUB_ERR_LIMIT;
  size_t n = strlen(id) + 1;
  char *copy = msub__alloc(&l->sh->mem, n);
  if (!copy) return l->err = MSUB_ERR_NOMEM;
  memcpy(copy, id, n);
  p->protocols[p->n_protocols].id = copy;
  p->protocols[p->n_protocols].weak = weak;
  p->protocols[p->n_protocols++].features = features;
  return MSUB_OK;
}
int msub_layout_protocol(msub_layout *l, const char *id, uint16_t features) { return claim(l, id, features, false); }
int msub_layout_protocol_weak(msub_layout *l, const char *id, uint16_t features) { return claim(l, id, features, true); }

int msub_layout_cache(msub_layout *l, unsigned windows, unsigned gossip, size_t bytes) {
  if (gossip == 0 || gossip > windows || windows > MSUB__CACHE_WINDOWS) return l->err = MSUB_ERR_INVAL;
  l->plan->windows = windows;
  l->plan->gossip_windows = gossip;
  l->plan->cache_bytes = bytes;
  return MSUB_OK;
}

void *msub_layout_alloc(msub_layout *l, size_t n) {
  size_t all;
  msub__plan_block *b = msub__add_size(n, sizeof(msub__plan_block), &all) ? msub__zalloc(&l->sh->mem, 1, all) : NULL;
  if (!b) {
    l->err = MSUB_ERR_NOMEM;
    return NULL;
  }
  b->n = all;
  b->next = l->plan->blocks;
  l->plan->blocks = b;
  return b + 1;
}

/* Copies the tables of a plug-in, as far as it has them, and has it lay itself out. */
static int add_level(msub_layout *l, uint32_t depth, const msub_router_ops *ops, const void *opts) {
  msub_plan *p = l->plan;
  if (depth == MSUB__LEVELS) return MSUB_ERR_LIMIT;
  if (!ops || ops->abi != MSUB_ABI || ops->size < offsetof(msub_router_ops, policy)) return MSUB_ERR_INVAL;
  memcpy(&p->ops[depth], ops, ops->size < sizeof *ops ? ops->size : sizeof *ops);
  struct msub_level *at = &p->level[depth];
  *at = (struct msub_level){ .ops = &p->ops[depth], .opts = opts, .plan = p, .depth = depth };
  const msub_channel_policy *policy = p->ops[depth].policy;
  if (policy) {
    if (policy->abi != MSUB_ABI) return MSUB_ERR_INVAL;
    memcpy(&p->policies[depth], policy, policy->size < sizeof *policy ? policy->size : sizeof *policy);
    at->policy = &p->policies[depth];
  }
  if (!p->ops[depth].layout || !p->ops[depth].name) return MSUB_ERR_INVAL;
  p->n_levels = depth + 1;
  uint32_t outer = l->depth;
  l->depth = depth;
  int rc = p->ops[depth].layout(l, opts);
  l->depth = outer;
  return rc != MSUB_OK ? rc : l->err;
}

int msub_layout_nest(msub_layout *l, const msub_router_ops *inner, const void *opts) {
  if (l->plan->n_levels != l->depth + 1) return l->err = MSUB_ERR_INVAL; /* it has one */
  int rc = add_level(l, l->depth + 1, inner, opts);
  if (rc != MSUB_OK) l->err = rc;
  return rc;
}

/* ---- places ---- */

static uint32_t round8(size_t n) { return (uint32_t)((n + 7) & ~(size_t)7); }

static uint32_t put(msub__place *p, uint32_t at) {
  p->at = at;
  return at + round8(p->n);
}

static void place_blocks(msub_plan *p) {
  uint32_t state = round8((size_t)p->n_levels * MSUB__RNG_STREAMS * sizeof(uint32_t));
  uint32_t session = round8(sizeof(msub__session)), topic = 0, link = (uint32_t)sizeof(msub__link);
  for (uint32_t i = 0; i < p->n_levels; i++) {
    state = put(&p->level[i].state, state);
    session = put(&p->level[i].session, session);
    topic = put(&p->level[i].topic, topic);
    p->level[i].link.at = link;
    link += (p->level[i].link.n + 3) & ~3u;
  }
  p->peers_at = session;
  for (uint32_t i = 0; i < p->n_levels; i++) session = put(&p->level[i].peer, session);
  p->state_n = state;
  p->peers_n = session - p->peers_at;
  p->session_stride = session;
  p->topic_n = topic;
  p->link_stride = link;
}

bool msub__policy_has(const msub_channel_policy *p, unsigned hook) {
  switch (hook) {
#define MSUB_X(name) \
  case MSUB__H_##name: return p->name != NULL;
    MSUB__HOOKS_MAP(MSUB_X)
#undef MSUB_X
  default: return false;
  }
}

static void find_entries(msub_plan *p) {
  memset(&p->entry, (int)MSUB__NO_LEVEL, sizeof p->entry);
  memset(p->hook, (int)MSUB__NO_LEVEL, sizeof p->hook);
  for (uint32_t i = p->n_levels; i-- > 0;) {
#define MSUB_X(name) \
  if (p->ops[i].name) p->entry.name = (uint8_t)i;
    MSUB__OPS_MAP(MSUB_X)
#undef MSUB_X
    for (unsigned h = 0; p->level[i].policy && h < MSUB__HOOKS; h++)
      if (msub__policy_has(p->level[i].policy, h)) p->hook[h] = (uint8_t)i;
  }
  for (unsigned h = 0; h < MSUB__HOOKS; h++) p->hooks |= (unsigned)(p->hook[h] != MSUB__NO_LEVEL) << h;
}

void msub__plan_drop(msub_shared *sh, msub_plan *p) {
  for (uint32_t i = 0; i < p->n_protocols; i++) msub__free(&sh->mem, p->protocols[i].id, strlen(p->protocols[i].id) + 1);
  while (p->blocks) {
    msub__plan_block *b = p->blocks;
    p->blocks = b->next;
    msub__free(&sh->mem, b, b->n);
  }
  msub__free(&sh->mem, p, sizeof *p);
}

int msub_plan_new(msub_shared *sh, const msub_router_ops *ops, const void *opts, const msub_plan **out) {
  msub_plan *p = msub__zalloc(&sh->mem, 1, sizeof *p);
  if (!p) return MSUB_ERR_NOMEM;
  msub_layout l = { sh, p, 0, MSUB_OK };
  int rc = add_level(&l, 0, ops, opts);
  if (rc == MSUB_OK) {
    place_blocks(p);
    find_entries(p);
    if (p->n_protocols == 0) rc = MSUB_ERR_INVAL;
    if (p->session_stride > MSUB__BLOCK_BYTES || p->state_n > MSUB__BLOCK_BYTES) rc = MSUB_ERR_LIMIT;
  }
  if (rc != MSUB_OK) {
    msub__plan_drop(sh, p);
    return rc;
  }
  p->next = sh->plans;
  sh->plans = p;
  *out = p;
  return MSUB_OK;
}
