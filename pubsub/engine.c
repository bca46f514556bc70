/* pubsub/engine.c: making, entering, leaving and ending an engine; time. */
#include "pubsub/engine.h"
#include <string.h>

/* ---- entering and leaving ---- */

int msub__enter(msub_engine *e, const msub_now *now) {
  if (e->inside || e->closing) return MSUB_ERR_STATE;
  if (!now) return MSUB_ERR_STATE; /* a deferred call from outside a callback */
  e->inside = true;
  if (now->mono_ns > e->now.mono_ns) e->now.mono_ns = now->mono_ns;
  e->now.wall_ns = now->wall_ns;
  return MSUB_OK;
}

void msub__leave(msub_engine *e) {
  if (e->work && e->work->inbox.n) msub__deferred_run(e);
  if (e->waiting && e->stirred) {
    msub__waits_check(e);
    if (e->work && e->work->inbox.n) msub__deferred_run(e);
  }
  e->inside = false;
}

/* ---- work ---- */

msub__work *msub__need_work(msub_engine *e) {
  if (e->work) return e->work;
  msub__work *w = msub__zalloc(msub__mem(e), 1, sizeof *w);
  if (!w) return NULL;
  msub__seen_init(&w->seen, e->cfg->seen_ttl_ns, e->cfg->seen_bytes);
  msub__ring_init(&w->inbox, sizeof(msub__call));
  w->counts.rpcs_in = e->early.rpcs_in;
  w->counts.rpcs_out = e->early.rpcs_out;
  w->counts.subscriptions_in = e->early.subscriptions_in;
  return e->work = w;
}

/* The three counters that move in an idle engine stand in the engine itself; any other one is worth the block. */
void msub__count_early(msub_engine *e, size_t member) {
  uint32_t *early = member == offsetof(msub_counts, rpcs_in)            ? &e->early.rpcs_in
                    : member == offsetof(msub_counts, rpcs_out)         ? &e->early.rpcs_out
                    : member == offsetof(msub_counts, subscriptions_in) ? &e->early.subscriptions_in
                                                                        : NULL;
  if (early && *early < UINT32_MAX) {
    ++*early;
    return;
  }
  msub__work *w = msub__need_work(e);
  if (w) ++*(uint64_t *)(void *)((uint8_t *)&w->counts + member);
}

void msub__count_reason(msub_engine *e, int reason) {
  msub__work *w = msub__need_work(e);
  if (w) w->reasons[reason]++;
}

/* ---- configs ---- */

static bool claimed_twice(const msub_engine_opts *o) {
  for (size_t a = 0; a < o->n_routers; a++)
    for (size_t b = a; b < o->n_routers; b++)
      for (uint32_t i = 0; i < o->routers[a]->n_protocols; i++)
        for (uint32_t k = a == b ? i + 1 : 0; k < o->routers[b]->n_protocols; k++)
          if (!o->routers[a]->protocols[i].weak && !o->routers[b]->protocols[k].weak &&
              strcmp(o->routers[a]->protocols[i].id, o->routers[b]->protocols[k].id) == 0)
            return true;
  return false;
}

static int check(const msub_engine_opts *o) {
  const msub_world_ops *w = o->world;
  if (o->size != sizeof *o || !w || w->abi != MSUB_ABI || !w->send || !w->disconnect || !w->deliver) return MSUB_ERR_INVAL;
  if (w->offload && !w->recall) return MSUB_ERR_INVAL;
  if (o->n_routers == 0 || o->n_routers > MSUB__ROUTERS || !o->routers) return MSUB_ERR_INVAL;
  if (o->self_id.n == 0 || o->self_id.n > 64) return MSUB_ERR_INVAL;
  if ((unsigned)o->sign >= MSUB_SIGN_POLICIES) return MSUB_ERR_INVAL;
  if ((o->sign == MSUB_STRICT_SIGN || o->sign == MSUB_LAX_SIGN) && !w->sign) return MSUB_ERR_INVAL;
  if (o->sign != MSUB_STRICT_NO_SIGN && o->sign != MSUB_STRICT_NO_SIGN_AUTHOR && !o->verify) return MSUB_ERR_INVAL;
  if (o->max_rpc > MSUB__RPC_BYTES_MAX || o->max_rpc < 1024 || o->max_message > o->max_rpc || o->max_message < 512)
    return MSUB_ERR_INVAL;
  if (o->seen_ttl_ns == 0 || o->pending_messages == 0 || o->validate_timeout_ns == 0) return MSUB_ERR_INVAL;
  if (o->validation.pending == 0 || o->validation.pending_per_topic == 0) return MSUB_ERR_INVAL;
  if (o->graylisted_weight == 0 || o->graylisted_weight > 100) return MSUB_ERR_INVAL;
  return claimed_twice(o) ? MSUB_ERR_CLAIMED : MSUB_OK;
}

static void fill_config(msub__config *c, const msub_engine_opts *o) {
  memset(c, 0, sizeof *c);
  memcpy(&c->world, o->world, o->world->size < sizeof c->world ? o->world->size : sizeof c->world);
  c->verify = o->verify;
  if (o->log) c->log = *o->log;
  c->validate_timeout_ns = o->validate_timeout_ns;
  c->seen_ttl_ns = o->seen_ttl_ns;
  c->seen_bytes = o->seen_bytes;
  c->pending_bytes = o->pending_bytes;
  c->max_rpc = o->max_rpc;
  c->max_message = o->max_message;
  for (size_t i = 0; i < o->n_routers; i++) c->plans[i] = o->routers[i];
  c->verify_cost_ns = o->verify_cost_ns;
  c->pending_messages = o->pending_messages;
  c->n_routers = (uint32_t)o->n_routers;
  c->sign = (uint8_t)o->sign;
  c->signing = o->signing;
  c->validation = o->validation;
  c->go_parity = o->go_parity;
  c->topic_counts = o->topic_counts;
  c->graylisted_weight = o->graylisted_weight;
}

#define COMPARED offsetof(msub__config, world)
/* The config with these contents; looked for among the newest few only, so that a program with a config for each engine does not
 * search them all. NULL: no memory. */
static msub__config *hold_config(msub_shared *sh, const msub_engine_opts *o) {
  msub__config want;
  fill_config(&want, o);
  msub__config *c = sh->configs;
  for (unsigned i = 0; c && i < 8; i++, c = c->next)
    if (memcmp((const uint8_t *)c + COMPARED, (const uint8_t *)&want + COMPARED, sizeof want - COMPARED) == 0 &&
        msub_bytes_eq(c->key_field, o->key_field)) {
      c->engines++;
      return c;
    }
  c = msub__alloc(&sh->mem, sizeof *c);
  if (!c) return NULL;
  *c = want;
  c->engines = 1;
  if (o->key_field.n) {
    uint8_t *key = msub__alloc(&sh->mem, o->key_field.n);
    if (!key) {
      msub__free(&sh->mem, c, sizeof *c);
      return NULL;
    }
    memcpy(key, o->key_field.p, o->key_field.n);
    c->key_field = (msub_bytes){ key, o->key_field.n };
  }
  c->next = sh->configs;
  sh->configs = c;
  return c;
}

static void drop_config(msub_shared *sh, msub__config *c) {
  if (--c->engines) return;
  msub__config **at = &sh->configs;
  while (*at != c) at = &(*at)->next;
  *at = c->next;
  msub__free(&sh->mem, (void *)(uintptr_t)c->key_field.p, c->key_field.n);
  msub__free(&sh->mem, c, sizeof *c);
}

/* ---- life ---- */

static size_t engine_bytes(const msub__config *c) {
  size_t n = sizeof(msub_engine) + c->n_routers * sizeof(msub__router);
  for (uint32_t i = 0; i < c->n_routers; i++) n += c->plans[i]->n_levels * sizeof(msub_router) + c->plans[i]->state_n;
  return n;
}

/* The block's parts behind the core. */
static void lay_out(msub_engine *e) {
  msub_router *handle = (msub_router *)(void *)(e->routers + e->n_routers);
  for (uint32_t ri = 0; ri < e->n_routers; ri++) {
    msub__router *r = &e->routers[ri];
    r->plan = e->cfg->plans[ri];
    r->session_stride = r->plan->session_stride;
    r->handles = handle;
    for (uint32_t d = 0; d < r->plan->n_levels; d++) *handle++ = (msub_router){ e, &r->plan->level[d], ri };
  }
  uint8_t *state = (uint8_t *)handle;
  for (uint32_t ri = 0; ri < e->n_routers; ri++) {
    e->routers[ri].state = state;
    state += e->routers[ri].plan->state_n;
  }
}

static int init_router(msub_engine *e, unsigned ri) {
  msub__router *r = &e->routers[ri];
  for (uint32_t d = r->plan->n_levels; d-- > 0;) {
    int rc = r->plan->ops[d].init ? r->plan->ops[d].init(&r->handles[d]) : MSUB_OK;
    if (rc != MSUB_OK) return rc;
    r->levels_up++;
  }
  return MSUB_OK;
}

static void fini_router(msub_engine *e, unsigned ri) {
  msub__router *r = &e->routers[ri];
  for (uint32_t d = r->plan->n_levels - r->levels_up; d < r->plan->n_levels; d++)
    if (r->plan->ops[d].fini) r->plan->ops[d].fini(&r->handles[d]);
  r->levels_up = 0;
}

static void free_work(msub_engine *e) {
  msub__work *w = e->work;
  const msub_mem *m = msub__mem(e);
  if (!w) return;
  msub__seen_fini(&w->seen, m);
  msub__free(m, w->bad, MSUB__BAD_BYTES * sizeof *w->bad);
  msub__questions_fini(e);
  msub__validators_free(e, w->validators);
  msub__conduct_fini(e);
  msub__offers_fini(e);
  msub__deferred_fini(e);
  msub__control_fini(e);
  msub__free(m, w->scratch, w->scratch_cap * sizeof *w->scratch);
  msub__free(m, w->encoded, w->encoded_cap);
  msub__free(m, w->payload, w->payload_cap);
  msub__free(m, w, sizeof *w);
  e->work = NULL;
}

static void destroy(msub_engine *e) {
  msub_shared *sh = e->sh;
  const msub_mem *m = &sh->mem;
  msub__departed_fini(e);
  for (unsigned ri = 0; ri < e->n_routers; ri++) fini_router(e, ri);
  for (unsigned ri = 0; ri < e->n_routers; ri++) {
    msub__router *r = &e->routers[ri];
    if (r->cache) msub__mcache_free(r->cache, sh);
    r->cache = NULL;
  }
  msub__topics_fini(e);
  for (unsigned ri = 0; ri < e->n_routers; ri++) {
    msub__router *r = &e->routers[ri];
    for (uint32_t i = 0; r->n_sessions && i <= msub__chunk_of(r->n_sessions - 1); i++)
      msub__free(m, r->chunks[i], (size_t)msub__chunk_slots(i) * r->plan->session_stride);
    msub__free(m, r->chunks, r->cap_chunks * sizeof *r->chunks);
  }
  msub__extras_fini(e);
  free_work(e);
  msub__table_fini(&e->index, m);
  msub__intern_drop(&sh->peers, m, &sh->key, e->self);
  msub__config *c = (msub__config *)(uintptr_t)e->cfg;
  size_t n = engine_bytes(c);
  msub__free(m, e, n);
  drop_config(sh, c);
  sh->engines--;
}

int msub_engine_new(msub_shared *sh, const msub_engine_opts *o, const msub_now *now, msub_engine **out) {
  int rc = check(o);
  if (rc != MSUB_OK) return rc;
  msub__config *cfg = hold_config(sh, o);
  if (!cfg) return MSUB_ERR_NOMEM;
  msub_engine *e = msub__zalloc(&sh->mem, 1, engine_bytes(cfg));
  if (!e) {
    drop_config(sh, cfg);
    return MSUB_ERR_NOMEM;
  }
  e->sh = sh;
  sh->engines++;
  e->cfg = cfg;
  e->n_routers = cfg->n_routers;
  e->w = o->w;
  e->now = *now;
  e->seed = o->seed;
  e->seqno = (uint64_t)now->wall_ns;
  lay_out(e);
  e->self = msub__intern_hold(&sh->peers, &sh->mem, &sh->key, o->self_id);
  if (e->self == 0) rc = MSUB_ERR_NOMEM;
  e->inside = true; /* init is a callback */
  for (unsigned ri = 0; rc == MSUB_OK && ri < e->n_routers; ri++) rc = init_router(e, ri);
  if (rc != MSUB_OK) {
    destroy(e);
    return rc;
  }
  msub__leave(e);
  *out = e;
  return MSUB_OK;
}

int msub_engine_free(msub_engine *e) {
  if (!e) return MSUB_OK;
  if (e->inside) return MSUB_ERR_STATE;
  e->closing = true;
  e->silent = true;
  e->inside = true;
  bool idle = !e->work || msub__questions_recall_all(e);
  for (unsigned ri = 0; ri < e->n_routers; ri++)
    for (uint32_t s = 0; s < e->routers[ri].n_sessions; s++)
      if (msub__session_at(e, ri, s)->peer) msub__session_end(e, ri, s);
  e->inside = false;
  if (!idle) return MSUB_ERR_STATE;
  destroy(e);
  return MSUB_OK;
}

/* ---- time ---- */

uint64_t msub_next_deadline(msub_engine *e) {
  if (e->closing) return MSUB_NEVER;
  if (e->work && e->work->inbox.n) return e->now.mono_ns;
  uint64_t t = e->work ? msub__questions_deadline(e) : MSUB_NEVER;
  if (e->departed.n) t = msub__sooner(t, e->departed.sweep_at);
  if (e->waiting) t = msub__sooner(t, e->extras->waits_deadline);
  if (e->listing) t = msub__sooner(t, e->extras->lists.next);
  for (unsigned ri = 0; ri < e->n_routers; ri++)
    if (MSUB__HAS(e, ri, next_deadline)) t = msub__sooner(t, MSUB__OPS(e, ri, next_deadline)->next_deadline(MSUB__AT(e, ri, next_deadline)));
  return t;
}

int msub_advance(msub_engine *e, const msub_now *now) {
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  if (e->work) {
    msub__questions_expire(e);
    msub__seen_sweep(&e->work->seen, msub__mem(e), e->now.mono_ns, 64);
  }
  msub__departed_sweep(e);
  if (e->listing) msub__lists_expire(e);
  e->stirred = true; /* heartbeats fill meshes */
  for (unsigned ri = 0; ri < e->n_routers; ri++)
    if (MSUB__HAS(e, ri, advance) &&
        (!MSUB__HAS(e, ri, next_deadline) ||
         msub__passed(MSUB__OPS(e, ri, next_deadline)->next_deadline(MSUB__AT(e, ri, next_deadline)), e->now.mono_ns)))
      MSUB__OPS(e, ri, advance)->advance(MSUB__AT(e, ri, advance));
  msub__leave(e);
  return MSUB_OK;
}

/* ---- looking ---- */

const char *msub_plan_protocol(const msub_plan *p, size_t i) { return i < p->n_protocols ? p->protocols[i].id : NULL; }

/* Has another router of the engine a firm claim on the weak one? */
static bool given_up(const msub_engine *e, unsigned ri, uint32_t i) {
  if (!e->routers[ri].plan->protocols[i].weak) return false;
  for (unsigned other = 0; other < e->n_routers; other++) {
    const msub_plan *p = e->routers[other].plan;
    for (uint32_t k = 0; k < p->n_protocols; k++)
      if (strcmp(p->protocols[k].id, e->routers[ri].plan->protocols[i].id) == 0 && (!p->protocols[k].weak || other < ri)) return true;
  }
  return false;
}

const char *msub_engine_router_protocol(const msub_engine *e, unsigned ri, size_t i) {
  const msub_plan *p = ri < e->n_routers ? e->routers[ri].plan : NULL;
  for (uint32_t k = 0; p && k < p->n_protocols; k++)
    if (!given_up(e, ri, k) && i-- == 0) return p->protocols[k].id;
  return NULL;
}
const char *msub_engine_protocol(const msub_engine *e, size_t i) {
  for (unsigned ri = 0; ri < e->n_routers; ri++) {
    size_t n = 0;
    while (msub_engine_router_protocol(e, ri, n)) n++;
    if (i < n) return msub_engine_router_protocol(e, ri, i);
    i -= n;
  }
  return NULL;
}
const msub_now *msub_engine_now(const msub_engine *e) { return &e->now; }
msub_shared *msub_engine_shared(const msub_engine *e) { return e->sh; }

const msub_counts *msub_count(const msub_engine *e) {
  static const msub_counts none;
  msub__work *w = msub__need_work((msub_engine *)(uintptr_t)e);
  return w ? &w->counts : &none;
}
uint64_t msub_count_reason(const msub_engine *e, int reason) {
  return !e->work || reason < 0 || reason >= MSUB_REASONS ? 0 : e->work->reasons[reason];
}
void msub_usage_of(const msub_engine *e, msub_usage *out) {
  *out = (msub_usage){ .messages = e->sh->messages, .names = e->sh->names.live, .peers = e->sh->peers.live,
                       .sessions = msub_session_count(e), .topics = msub__topic_count(e) };
  if (!e->work) return;
  out->questions = e->work->questions.live;
  out->seen = msub__seen_count(&e->work->seen);
  out->seen_bytes = msub__seen_bytes(&e->work->seen);
}
