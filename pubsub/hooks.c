/* pubsub/hooks.c: whose hook, and whose word, counts for a topic: the program's policy, the levels' from outside in, the default. */
#include "pubsub/engine.h"
#include "meshsub/partial.h"
#include <string.h>

void msub__note_hooks(const msub_engine *e, msub__topic *t) {
  unsigned hooks = e->routers[msub__handle_router(t->handle.v)].plan->hooks;
  for (unsigned h = 0; t->policy && h < MSUB__HOOKS; h++) hooks |= (unsigned)msub__policy_has(t->policy, h) << h;
  t->hooks = (uint16_t)hooks;
}

const msub_channel_policy *msub__find_hook(const msub_engine *e, const msub__topic *t, unsigned hook, msub_channel *c) {
  const msub__router *r = &e->routers[msub__handle_router(t->handle.v)];
  *c = (msub_channel){ .engine = (msub_engine *)(uintptr_t)e, .r = r->handles, .topic = t->handle, .ctx = t->ctx };
  if (t->policy && msub__policy_has(t->policy, hook)) return t->policy;
  uint8_t level = r->plan->hook[hook];
  if (level == MSUB__NO_LEVEL) return NULL;
  c->r = r->handles + level;
  c->ctx = NULL;
  return r->plan->level[level].policy;
}

/* The i-th policy that may have a word about the topic; NULL: past the end. */
static const msub_channel_policy *voice(const msub_engine *e, const msub__topic *t, uint32_t *i) {
  const msub_plan *p = e->routers[msub__handle_router(t->handle.v)].plan;
  for (;;) {
    uint32_t at = (*i)++;
    if (at > p->n_levels) return NULL;
    const msub_channel_policy *policy = at == 0 ? t->policy : p->level[at - 1].policy;
    if (policy) return policy;
  }
}

msub_full msub__full_rule(const msub_engine *e, const msub__topic *t) {
  const msub_channel_policy *p;
  for (uint32_t i = 0; (p = voice(e, t, &i)) != NULL;)
    if (p->full != MSUB_FULL_DEFAULT) return p->full;
  return MSUB_FULL_DROP;
}

uint8_t msub__signing(const msub_engine *e, const msub__topic *t) {
  static const uint8_t rules[MSUB_SIGN_POLICIES] = {
    [MSUB_STRICT_SIGN] = MSUB__S_AUTHOR | MSUB__S_SIGN | MSUB__S_DEMAND | MSUB__S_VERIFY,
    [MSUB_STRICT_NO_SIGN] = 0,
    [MSUB_STRICT_NO_SIGN_AUTHOR] = MSUB__S_AUTHOR,
    [MSUB_LAX_SIGN] = MSUB__S_AUTHOR | MSUB__S_SIGN | MSUB__S_VERIFY,
    [MSUB_LAX_NO_SIGN] = MSUB__S_AUTHOR | MSUB__S_VERIFY,
  };
  static const uint8_t of_channel[] = {
    [MSUB_SIGN_ALWAYS] = MSUB_STRICT_SIGN, [MSUB_SIGN_NEVER] = MSUB_STRICT_NO_SIGN, [MSUB_SIGN_AUTHOR] = MSUB_STRICT_NO_SIGN_AUTHOR,
    [MSUB_SIGN_LAX] = MSUB_LAX_SIGN, [MSUB_SIGN_LAX_NEVER] = MSUB_LAX_NO_SIGN,
  };
  const msub_channel_policy *p;
  for (uint32_t i = 0; (p = voice(e, t, &i)) != NULL;)
    if (p->sign > MSUB_SIGN_DEFAULT && p->sign <= MSUB_SIGN_LAX_NEVER) return rules[of_channel[p->sign]];
  return rules[e->cfg->sign];
}

size_t msub__max_data(const msub_engine *e, const msub__topic *t) {
  const msub_channel_policy *p;
  for (uint32_t i = 0; (p = voice(e, t, &i)) != NULL;)
    if (p->max_data) return p->max_data < e->cfg->max_message ? p->max_data : e->cfg->max_message;
  return e->cfg->max_message;
}

size_t msub__defer_bytes(const msub_engine *e, const msub__topic *t) {
  const msub_channel_policy *p;
  for (uint32_t i = 0; (p = voice(e, t, &i)) != NULL;)
    if (p->defer_bytes) return p->defer_bytes;
  return MSUB__DEFER_BYTES;
}

bool msub__open_ids(const msub_engine *e, const msub__topic *t) {
  const msub_channel_policy *p;
  for (uint32_t i = 0; (p = voice(e, t, &i)) != NULL;)
    if (p->open_ids) return true;
  return false;
}

const char *msub__policy_name(const msub_channel_policy *p) { return p && p->name ? p->name : "a policy without a name"; }

void msub__fault(msub_engine *e, const char *whose, const char *what) {
  MSUB__COUNT(e, faults);
  MSUB__LOGE(e, MSUB_LOG_WARN, "%s: %s", whose, what);
  MSUB__TRACE(e, 0, .kind = MSUB_T_FAULT, .text = whose);
}

/* ---- as routers call them ---- */

static msub__topic *topic(msub_router *r, msub_topic t) {
  return msub__handle_router(t.v) == r->index ? msub__topic_of(r->engine, t) : NULL;
}

bool msub_h_partial(msub_router *r, msub_topic h, msub_channel *c, msub_partial_ops *out) {
  const msub__topic *t = topic(r, h);
  const msub_partial_ops *ops = NULL;
  *out = (msub_partial_ops){ .abi = 0 };
  if (!t) return false;
  *c = (msub_channel){ .engine = r->engine, .r = r->engine->routers[r->index].handles, .topic = h, .ctx = t->ctx };
  if (t->policy) ops = t->policy->partial;
  const msub_plan *p = r->level->plan;
  for (uint32_t d = 0; !ops && d < p->n_levels; d++) {
    if (!p->level[d].policy || !p->level[d].policy->partial) continue;
    ops = p->level[d].policy->partial;
    c->r = r->engine->routers[r->index].handles + d;
    c->ctx = NULL;
  }
  if (!ops || ops->abi != MSUB_ABI) return false;
  memcpy(out, ops, ops->size < sizeof *out ? ops->size : sizeof *out);
  return true;
}

/* The first `want` of the candidates in a random order: the default of emit. */
static void some_at_random(msub_router *r, size_t want, msub_list *io) {
  for (size_t i = 0; i < want && i + 1 < io->n; i++) {
    size_t k = i + msub_r_rand(r, MSUB__RNG_STREAMS - 1, (uint32_t)(io->n - i));
    msub_session s = io->s[i];
    io->s[i] = io->s[k];
    io->s[k] = s;
  }
  if (io->n > want) io->n = want;
}

void msub_h_emit(msub_router *r, msub_topic h, size_t want, msub_list *io) {
  msub__topic *t = topic(r, h);
  if (!t) {
    io->n = 0;
    return;
  }
  msub_channel c;
  const msub_channel_policy *p = MSUB__HOOK(r->engine, t, emit, &c);
  if (!p) {
    some_at_random(r, want, io);
    return;
  }
  p->emit(&c, want, io);
  if (io->n > io->cap) {
    msub__fault(r->engine, msub__policy_name(p), "emit answered more targets than there is room for");
    io->n = 0;
  }
  size_t good = 0;
  for (size_t i = 0; i < io->n; i++)
    if (msub__session_of(r->engine, io->s[i]) && msub__handle_router(io->s[i].v) == r->index) io->s[good++] = io->s[i];
  if (good != io->n) msub__fault(r->engine, msub__policy_name(p), "emit named a session that does not exist");
  io->n = good;
}

bool msub_h_emit_mesh_too(msub_router *r, msub_topic h) {
  msub__topic *t = topic(r, h);
  msub_channel c;
  const msub_channel_policy *p = t ? MSUB__HOOK(r->engine, t, emit, &c) : NULL;
  return p && p->emit_mesh_too;
}

size_t msub_h_gossip_ids(msub_router *r, msub_topic h, msub_bytes *ids, size_t max) {
  msub__topic *t = topic(r, h);
  if (!t) return 0;
  msub_channel c;
  const msub_channel_policy *p = MSUB__HOOK(r->engine, t, gossip_ids, &c);
  if (!p) {
    const msub__router *at = &r->engine->routers[r->index];
    return at->cache ? msub__mcache_gossip(at->cache, t->cached_first, t->cached, ids, max) : 0;
  }
  size_t n = p->gossip_ids(&c, ids, max), good = 0;
  if (n > max) {
    msub__fault(r->engine, msub__policy_name(p), "gossip_ids answered more ids than there is room for");
    return 0;
  }
  for (size_t i = 0; i < n; i++)
    if (ids[i].n && ids[i].n <= MSUB_MAX_ID) ids[good++] = ids[i];
  if (good != n) msub__fault(r->engine, msub__policy_name(p), "gossip_ids answered an id that is empty or longer than 128 bytes");
  msub__offered(r->engine, t, ids, good);
  return good;
}

bool msub_h_may_graft(msub_router *r, msub_topic h, msub_session s) {
  msub__topic *t = topic(r, h);
  msub_channel c;
  const msub_channel_policy *p = t ? MSUB__HOOK(r->engine, t, may_graft, &c) : NULL;
  return !p || p->may_graft(&c, s);
}

bool msub_h_peers_filtered(msub_router *r, msub_topic h) {
  const msub__topic *t = topic(r, h);
  return t && t->peers_filtered;
}
bool msub_h_may_peer(msub_router *r, msub_topic h, msub_session s) {
  msub__topic *t = topic(r, h);
  return !t || !t->peers_filtered || msub__may_peer(r->engine, t, s);
}

void msub_h_on_graft(msub_router *r, msub_topic h, msub_session s, bool ours) {
  msub__topic *t = topic(r, h);
  msub_channel c;
  const msub_channel_policy *p = t ? MSUB__HOOK(r->engine, t, on_graft, &c) : NULL;
  if (p) p->on_graft(&c, s, ours);
}

void msub_h_shift(msub_router *r) {
  msub_engine *e = r->engine;
  msub__router *at = &e->routers[r->index];
  for (uint32_t i = 0; i < at->n_topics; i++) {
    msub__topic *t = at->topics[i].t;
    msub_channel c;
    const msub_channel_policy *p = t && t->joins ? MSUB__HOOK(e, t, shift, &c) : NULL;
    if (p) p->shift(&c);
  }
  if (at->cache) msub__mcache_shift(at->cache);
}
