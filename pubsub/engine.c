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
  msub__deferred_run(e);
  e->inside = false;
}

/* ---- life ---- */

static bool claimed_twice(const msub_engine_opts *o) {
  for (size_t a = 0; a < o->n_routers; a++)
    for (size_t b = a; b < o->n_routers; b++)
      for (uint32_t i = 0; i < o->routers[a]->n_protocols; i++)
        for (uint32_t k = a == b ? i + 1 : 0; k < o->routers[b]->n_protocols; k++)
          if (strcmp(o->routers[a]->protocols[i].id, o->routers[b]->protocols[k].id) == 0) return true;
  return false;
}

static int check(const msub_engine_opts *o) {
  const msub_world_ops *w = o->world;
  if (o->size != sizeof *o || !w || w->abi != MSUB_ABI || !w->send || !w->disconnect || !w->deliver) return MSUB_ERR_INVAL;
  if (w->offload && !w->recall) return MSUB_ERR_INVAL;
  if (o->n_routers == 0 || o->n_routers > MSUB__ROUTERS || !o->routers) return MSUB_ERR_INVAL;
  if (o->self_id.n == 0 || o->self_id.n > 64) return MSUB_ERR_INVAL;
  if (o->sign == MSUB_STRICT_SIGN && (!w->sign || !o->verify)) return MSUB_ERR_INVAL;
  if (o->max_rpc > MSUB__RPC_BYTES_MAX || o->max_rpc < 1024 || o->max_message > o->max_rpc || o->max_message < 512)
    return MSUB_ERR_INVAL;
  if (o->seen_ttl_ns == 0 || o->pending_messages == 0 || o->validate_timeout_ns == 0) return MSUB_ERR_INVAL;
  return claimed_twice(o) ? MSUB_ERR_CLAIMED : MSUB_OK;
}

static uint32_t round8(size_t n) { return (uint32_t)((n + 7) & ~(size_t)7); }

static int set_up_router(msub_engine *e, unsigned ri, const msub_plan *p, uint64_t seed) {
  msub__router *r = &e->routers[ri];
  r->plan = p;
  r->session_stride = round8(round8(sizeof(msub__session)) + p->level.session_n);
  r->link_stride = (uint32_t)(sizeof(msub__link) + ((p->level.link_n + 3) & ~3u));
  for (uint32_t k = 0; k < MSUB__RNG_STREAMS; k++) msub__rng_init(&r->rng[k], seed, ri * MSUB__RNG_STREAMS + k);
  if (p->level.state_n && !(r->state = msub__zalloc(msub__mem(e), 1, p->level.state_n))) return MSUB_ERR_NOMEM;
  int rc = p->ops.init ? p->ops.init(&e->handles[ri]) : MSUB_OK;
  r->up = rc == MSUB_OK;
  return rc;
}

static void destroy(msub_engine *e) {
  msub_shared *sh = e->sh;
  const msub_mem *m = &sh->mem;
  for (unsigned ri = 0; ri < e->n_routers; ri++)
    if (e->routers[ri].up && e->routers[ri].plan->ops.fini) e->routers[ri].plan->ops.fini(&e->handles[ri]);
  msub__topics_fini(e);
  for (unsigned ri = 0; ri < e->n_routers; ri++) {
    msub__router *r = &e->routers[ri];
    for (uint32_t i = 0; i * MSUB__CHUNK < r->n_sessions; i++)
      msub__free(m, r->chunks[i], (size_t)MSUB__CHUNK * r->session_stride);
    msub__free(m, r->chunks, r->cap_chunks * sizeof *r->chunks);
    if (r->plan) msub__free(m, r->state, r->plan->level.state_n);
  }
  msub__table_fini(&e->sessions_by_peer, m);
  msub__seen_fini(&e->seen, m);
  msub__free(m, e->bad, MSUB__BAD_BYTES * sizeof *e->bad);
  msub__questions_fini(e);
  msub__conduct_fini(e);
  msub__deferred_fini(e);
  msub__control_fini(e);
  msub__free(m, e->scratch, e->scratch_cap * sizeof *e->scratch);
  msub__free(m, e->encoded, e->encoded_cap);
  msub__free(m, e->key_field, e->key_field_n);
  msub__intern_drop(&sh->peers, m, &sh->key, e->self);
  sh->engines--;
  msub__free(m, e, sizeof *e);
}

int msub_engine_new(msub_shared *sh, const msub_engine_opts *o, const msub_now *now, msub_engine **out) {
  int rc = check(o);
  if (rc != MSUB_OK) return rc;
  msub_engine *e = msub__zalloc(&sh->mem, 1, sizeof *e);
  if (!e) return MSUB_ERR_NOMEM;
  e->sh = sh;
  sh->engines++;
  size_t world_n = o->world->size < sizeof e->world_copy ? o->world->size : sizeof e->world_copy;
  memcpy(&e->world_copy, o->world, world_n);
  e->world = &e->world_copy;
  e->w = o->w;
  e->now = *now;
  e->go_parity = o->go_parity;
  e->sign = o->sign;
  e->verify = o->verify;
  e->verify_cost_ns = o->verify_cost_ns;
  e->validate_timeout_ns = o->validate_timeout_ns;
  e->pending_messages = o->pending_messages;
  e->pending_bytes = o->pending_bytes;
  e->max_rpc = o->max_rpc;
  e->max_message = o->max_message;
  e->seqno = (uint64_t)now->wall_ns;
  if (o->log) e->log = *o->log;
  msub__seen_init(&e->seen, o->seen_ttl_ns, o->seen_bytes);
  msub__ring_init(&e->inbox, sizeof(msub__call));
  e->self = msub__intern_hold(&sh->peers, &sh->mem, &sh->key, o->self_id);
  if (e->self == 0) rc = MSUB_ERR_NOMEM;
  if (rc == MSUB_OK && o->key_field.n) {
    e->key_field = msub__alloc(&sh->mem, o->key_field.n);
    if (e->key_field) {
      memcpy(e->key_field, o->key_field.p, o->key_field.n);
      e->key_field_n = o->key_field.n;
    } else {
      rc = MSUB_ERR_NOMEM;
    }
  }
  e->inside = true; /* init is a callback */
  for (unsigned ri = 0; rc == MSUB_OK && ri < o->n_routers; ri++) {
    e->handles[ri] = (msub_router){ e, &o->routers[ri]->level };
    e->n_routers = ri + 1;
    rc = set_up_router(e, ri, o->routers[ri], o->seed);
  }
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
  e->inside = true;
  bool idle = msub__questions_recall_all(e);
  for (unsigned ri = 0; ri < e->n_routers; ri++)
    for (uint32_t s = 0; s < e->routers[ri].n_sessions; s++)
      if (msub__session_at(e, ri, s)->peer) {
        e->world_copy.topic_peer = NULL; /* the program is told nothing any more */
        msub__session_end(e, ri, s);
      }
  e->inside = false;
  if (!idle) return MSUB_ERR_STATE;
  destroy(e);
  return MSUB_OK;
}

/* ---- time ---- */

uint64_t msub_next_deadline(msub_engine *e) {
  if (e->closing) return MSUB_NEVER;
  if (e->inbox.n) return e->now.mono_ns;
  uint64_t t = msub__questions_deadline(e);
  for (unsigned ri = 0; ri < e->n_routers; ri++) {
    const msub_router_ops *ops = msub__ops(e, ri);
    if (ops->next_deadline) t = msub__sooner(t, ops->next_deadline(&e->handles[ri]));
  }
  return t;
}

int msub_advance(msub_engine *e, const msub_now *now) {
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  msub__questions_expire(e);
  msub__seen_sweep(&e->seen, msub__mem(e), e->now.mono_ns, 4096);
  for (unsigned ri = 0; ri < e->n_routers; ri++) {
    const msub_router_ops *ops = msub__ops(e, ri);
    if (ops->advance && (!ops->next_deadline || msub__passed(ops->next_deadline(&e->handles[ri]), e->now.mono_ns)))
      ops->advance(&e->handles[ri]);
  }
  msub__leave(e);
  return MSUB_OK;
}

/* ---- looking ---- */

const char *msub_plan_protocol(const msub_plan *p, size_t i) { return i < p->n_protocols ? p->protocols[i].id : NULL; }

const char *msub_engine_protocol(const msub_engine *e, size_t i) {
  for (unsigned ri = 0; ri < e->n_routers; ri++) {
    const msub_plan *p = e->routers[ri].plan;
    if (i < p->n_protocols) return p->protocols[i].id;
    i -= p->n_protocols;
  }
  return NULL;
}
msub_shared *msub_engine_shared(const msub_engine *e) { return e->sh; }
const msub_counts *msub_count(const msub_engine *e) { return &e->counts; }
uint64_t msub_count_reason(const msub_engine *e, int reason) {
  return reason < 0 || reason >= MSUB_REASONS ? 0 : e->reasons[reason];
}
void msub_usage_of(const msub_engine *e, msub_usage *out) {
  *out = (msub_usage){ .messages = e->sh->messages, .names = e->sh->names.live, .peers = e->sh->peers.live,
                       .sessions = msub_session_count(e), .topics = msub__topic_count(e), .questions = e->questions.live,
                       .seen = msub__seen_count(&e->seen), .seen_bytes = msub__seen_bytes(&e->seen) };
}
