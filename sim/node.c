/* sim/node.c: nodes: identity, engine, timers, crash and restart. */
#include "sim/sim.h"
#include <string.h>

#define ID_BYTES 38u /* an identity multihash of an Ed25519 key, or what looks like one */

/* ---- options ---- */

void msub_sim_node_opts_init(msub_sim_node_opts *o) {
  *o = (msub_sim_node_opts){ .size = sizeof *o,
                             .lane_bytes = { 64 << 10, 4 << 20, 256 << 10, 64 << 10 },
                             .up_queue = 16 << 20,
                             .down_queue = 16 << 20,
                             .cpu_queue = 4096,
                             .max_hint_dials = 8 };
}

/* ---- identity ---- */

/* The number stands at the end; before it comes what no other seed has. */
static size_t make_id(const msub_sim *s, uint32_t no, uint8_t out[64]) {
  static const uint8_t head[6] = { 0x00, 0x24, 0x08, 0x01, 0x12, 0x20 };
  memcpy(out, head, sizeof head);
  for (unsigned i = 0; i < 4; i++) {
    uint64_t z = msub__sim_mix(s->o.seed ^ msub__sim_mix(((uint64_t)no << 2) + i));
    for (unsigned k = 0; k < 8; k++, z >>= 8) out[6 + 8 * i + k] = (uint8_t)z;
  }
  for (unsigned k = 0; k < 4; k++) out[ID_BYTES - 1 - k] = (uint8_t)(no >> 8 * k);
  return ID_BYTES;
}

msub_bytes msub__sim_id(const msub__sim_node *n, uint8_t made[64]) {
  if (n->id) return (msub_bytes){ n->id->bytes, n->id->n };
  return (msub_bytes){ made, make_id(n->sim, n->no, made) };
}

msub_bytes msub_sim_id(const msub_sim *s, uint32_t node) {
  const msub__sim_node *n = msub__sim_node_of_no(s, node);
  return n ? msub__sim_id(n, ((msub_sim *)(uintptr_t)s)->id) : (msub_bytes){ NULL, 0 };
}

static bool same_id(const void *ctx, uint32_t value, const void *key) {
  const msub__sim_node *n = msub__sim_node_at(ctx, value);
  return msub_bytes_eq((msub_bytes){ n->id->bytes, n->id->n }, *(const msub_bytes *)key);
}

uint32_t msub_sim_find(const msub_sim *s, msub_bytes id) {
  uint8_t made[64];
  if (id.n == ID_BYTES) {
    uint32_t no = 0;
    for (unsigned k = 4; k-- > 0;) no = no << 8 | id.p[ID_BYTES - 1 - k];
    const msub__sim_node *n = msub__sim_node_of_no(s, no);
    if (n && !n->id && msub_bytes_eq((msub_bytes){ made, make_id(s, no, made) }, id)) return no;
  }
  uint32_t no = s->by_id.n ? msub__table_find(&s->by_id, msub__hash(&s->key, id), same_id, s, &id) : MSUB__NONE;
  return no == MSUB__NONE ? MSUB_SIM_NOBODY : no;
}

/* A handle, once seen, is held, so that it goes on naming the same peer. */
uint32_t msub_sim_node_of(msub_sim *s, msub_peer p) {
  if (p.v < s->cap_peers && s->peers[p.v]) return s->peers[p.v] - 1;
  if (p.v == 0) return MSUB_SIM_NOBODY;
  uint32_t no = msub_sim_find(s, msub_peer_bytes(s->sh, p));
  if (no == MSUB_SIM_NOBODY) return no;
  if (p.v >= s->cap_peers) {
    uint32_t cap = s->cap_peers ? s->cap_peers : 64;
    while (cap <= p.v) cap *= 2;
    uint32_t *peers = msub__realloc(&s->mem, s->peers, s->cap_peers * sizeof *peers, cap * sizeof *peers);
    if (!peers) return no;
    memset(peers + s->cap_peers, 0, (cap - s->cap_peers) * sizeof *peers);
    s->peers = peers;
    s->cap_peers = cap;
  }
  if (msub_peer_hold(s->sh, p) == MSUB_OK) s->peers[p.v] = no + 1;
  return no;
}

msub_bytes msub__sim_ip(const msub__sim_node *n, uint8_t made[4]) {
  if (n->ip) return (msub_bytes){ n->ip, n->ip_n };
  made[0] = 10;
  made[1] = (uint8_t)(n->no >> 16);
  made[2] = (uint8_t)(n->no >> 8);
  made[3] = (uint8_t)n->no;
  return (msub_bytes){ made, 4 };
}

int msub_sim_address(msub_sim *s, uint32_t node, msub_bytes ip) {
  msub__sim_node *n = msub__sim_node_of_no(s, node);
  if (!n || (ip.n != 4 && ip.n != 16)) return MSUB_ERR_INVAL;
  uint8_t *p = msub__alloc(&s->mem, ip.n);
  if (!p) return MSUB_ERR_NOMEM;
  memcpy(p, ip.p, ip.n);
  msub__free(&s->mem, n->ip, n->ip_n);
  n->ip = p;
  n->ip_n = (uint8_t)ip.n;
  return MSUB_OK;
}

/* ---- classes ---- */

static int plan_of(msub_sim *s, const msub_sim_router *r, const msub_plan **out) {
  for (const struct msub__sim_plan *p = s->plans; p; p = p->next)
    if (p->r.ops == r->ops && p->r.opts == r->opts) {
      *out = p->plan;
      return MSUB_OK;
    }
  struct msub__sim_plan *p = msub__zalloc(&s->mem, 1, sizeof *p);
  if (!p) return MSUB_ERR_NOMEM;
  int err = msub_plan_new(s->sh, r->ops, r->opts, &p->plan);
  if (err != MSUB_OK) {
    msub__free(&s->mem, p, sizeof *p);
    return err;
  }
  p->r = *r;
  p->next = s->plans;
  s->plans = p;
  *out = p->plan;
  return MSUB_OK;
}

static int class_new(msub_sim *s, const msub_sim_node_opts *o, msub__sim_class **out) {
  msub__sim_class *c = msub__zalloc(&s->mem, 1, sizeof *c);
  if (!c) return MSUB_ERR_NOMEM;
  int err = MSUB_OK;
  c->o = *o;
  if (o->raw) {
    memcpy(&c->raw, o->raw, o->raw->size < sizeof c->raw ? o->raw->size : sizeof c->raw);
    for (; c->n_ids < MSUB__SIM_ROUTERS && o->raw_protocols[c->n_ids]; c->n_ids++)
      c->ids[c->n_ids] = (msub__sim_ids){ .id = { o->raw_protocols[c->n_ids] }, .n = 1 };
    if (c->n_ids == 0 || (c->n_ids == MSUB__SIM_ROUTERS && o->raw_protocols[c->n_ids])) err = MSUB_ERR_INVAL;
  } else {
    msub_engine_opts_init(&c->engine);
    if (o->engine) c->engine = *o->engine;
    if (!c->engine.verify) c->engine.verify = msub_sim_verify;
    for (size_t i = 0; i < o->n_routers && err == MSUB_OK; i++) err = plan_of(s, &o->routers[i], &c->plans[i]);
  }
  if (err != MSUB_OK) {
    msub__free(&s->mem, c, sizeof *c);
    return err;
  }
  c->o.routers = NULL;
  c->o.engine = NULL;
  c->o.raw = NULL;
  c->o.raw_protocols = NULL;
  c->o.id = (msub_bytes){ NULL, 0 };
  msub__sim_world(c, s, &c->ops);
  *out = c;
  return MSUB_OK;
}

static void learn_ids(msub__sim_class *c, const msub_engine *e) {
  c->n_ids = (uint32_t)c->o.n_routers;
  for (uint32_t r = 0; r < c->n_ids; r++) {
    msub__sim_ids *ids = &c->ids[r];
    for (const char *id; ids->n < MSUB__SIM_IDS && (id = msub_engine_router_protocol(e, r, ids->n));)
      ids->id[ids->n++] = id;
  }
}

/* ---- life ---- */

static int start(msub__sim_node *n) {
  msub_sim *s = n->sim;
  n->lives++;
  n->armed = MSUB_NEVER;
  n->timer++;
  if (n->c->raw.abi) {
    n->up = true;
    return MSUB_OK;
  }
  uint8_t made[64];
  msub_engine_opts o = n->c->engine;
  o.world = &n->c->ops;
  o.w = n;
  o.routers = n->c->plans;
  o.n_routers = n->c->o.n_routers;
  o.self_id = msub__sim_id(n, made);
  o.seed = msub__sim_mix(s->o.seed ^ msub__sim_mix(((uint64_t)n->lives << 32) + n->no + 1));
  int err = msub_engine_new(s->sh, &o, &s->now, &n->e);
  if (err != MSUB_OK) {
    n->e = NULL;
    return err;
  }
  n->up = true;
  msub__sim_touch(n);
  return MSUB_OK;
}

void msub__sim_down(msub__sim_node *n, bool tell) {
  msub_sim *s = n->sim;
  msub_engine *e = n->e;
  n->up = false;
  n->e = NULL;
  n->timer++;
  n->armed = MSUB_NEVER;
  msub__sim_x_gone(n, MSUB_SIM_NOBODY);
  msub__sim_x_fini(n);
  msub__sim_halves_down(n, tell);
  msub__sim_wants_stop(n);
  n->hint_dials = 0;
  if (e && msub_engine_free(e) != MSUB_OK) { /* a job is running: it ends now */
    for (uint32_t i = 0; n->cpu && i < n->cpu->running && i < n->cpu->jobs.n; i++) {
      const msub__sim_task *t = msub__ring_at(&n->cpu->jobs, i);
      (void)msub_complete(e, t->token, MSUB_IGNORE, &s->now);
    }
    int err = msub_engine_free(e);
    MSUB__INVARIANT(err == MSUB_OK);
  }
  msub__sim_cpu_stop(n);
  if (n->net) {
    msub__ring_fini(&n->net->line, &s->mem);
    msub__free(&s->mem, n->net, sizeof *n->net);
    n->net = NULL;
  }
}

int msub_sim_crash(msub_sim *s, uint32_t node) {
  msub__sim_node *n = msub__sim_node_of_no(s, node);
  if (!n) return MSUB_ERR_INVAL;
  if (!n->up || n->inside || n->outside) return MSUB_ERR_STATE;
  msub__sim_down(n, true);
  return MSUB_OK;
}
int msub_sim_restart(msub_sim *s, uint32_t node) {
  msub__sim_node *n = msub__sim_node_of_no(s, node);
  if (!n) return MSUB_ERR_INVAL;
  return n->up ? MSUB_ERR_STATE : start(n);
}
bool msub_sim_up(const msub_sim *s, uint32_t node) {
  const msub__sim_node *n = msub__sim_node_of_no(s, node);
  return n && n->up;
}

/* ---- adding ---- */

static int page_for(msub_sim *s, uint32_t no) {
  uint32_t page = no / MSUB__SIM_PAGE;
  if (page >= s->cap_pages) {
    uint32_t cap = s->cap_pages ? s->cap_pages * 2 : 4;
    msub__sim_node **p = msub__realloc(&s->mem, s->pages, s->cap_pages * sizeof *p, cap * sizeof *p);
    if (!p) return MSUB_ERR_NOMEM;
    memset(p + s->cap_pages, 0, (cap - s->cap_pages) * sizeof *p);
    s->pages = p;
    s->cap_pages = cap;
  }
  if (!s->pages[page]) s->pages[page] = msub__zalloc(&s->mem, MSUB__SIM_PAGE, sizeof(msub__sim_node));
  return s->pages[page] ? MSUB_OK : MSUB_ERR_NOMEM;
}

static int own_id(msub__sim_node *n, msub_bytes id) {
  msub_sim *s = n->sim;
  if (id.n == 0) return MSUB_OK;
  if (id.n > sizeof s->id) return MSUB_ERR_INVAL;
  if (msub_sim_find(s, id) != MSUB_SIM_NOBODY) return MSUB_ERR_CLAIMED;
  int err = msub__table_reserve(&s->by_id, &s->mem);
  n->id = err == MSUB_OK ? msub__rc_new(&s->mem, id) : NULL;
  if (!n->id) return MSUB_ERR_NOMEM;
  return msub__table_insert(&s->by_id, &s->mem, msub__hash(&s->key, id), n->no);
}

static void forget_node(msub__sim_node *n) {
  msub_sim *s = n->sim;
  if (n->up) msub__sim_down(n, false);
  if (n->id) msub__table_remove(&s->by_id, msub__hash(&s->key, (msub_bytes){ n->id->bytes, n->id->n }), n->no);
  msub__rc_drop(&s->mem, n->id);
  msub__sim_wants_fini(n);
  n->id = NULL;
}

static int add_one(msub_sim *s, msub__sim_class *c, msub_bytes id) {
  int err = page_for(s, s->n_nodes);
  if (err != MSUB_OK) return err;
  uint32_t no = s->n_nodes++;
  msub__sim_node *n = msub__sim_node_at(s, no);
  *n = (msub__sim_node){ .sim = s, .c = c, .no = no, .armed = MSUB_NEVER };
  err = own_id(n, id);
  if (err == MSUB_OK && (c->o.rendezvous || c->o.discovery)) err = msub__sim_wants_new(n);
  if (err == MSUB_OK) err = start(n);
  if (err == MSUB_OK && n->e && c->n_ids == 0) learn_ids(c, n->e);
  if (err != MSUB_OK) {
    forget_node(n);
    s->n_nodes--;
  }
  return err;
}

int msub_sim_add(msub_sim *s, const msub_sim_node_opts *o, uint32_t count, uint32_t *first) {
  if (!o || o->size != sizeof *o || count == 0 || count > UINT32_MAX - 2 - s->n_nodes) return MSUB_ERR_INVAL;
  if (o->raw ? o->raw->abi != MSUB_ABI || !o->raw->on_frame || !o->raw_protocols || o->n_routers
             : o->n_routers == 0 || o->n_routers > MSUB__SIM_ROUTERS || !o->routers)
    return MSUB_ERR_INVAL;
  if (o->id.n && count != 1) return MSUB_ERR_INVAL;
  if (o->engine && o->engine->size != sizeof *o->engine) return MSUB_ERR_INVAL;
  if (s->inside || s->closing) return MSUB_ERR_STATE;
  msub__sim_class *c;
  int err = class_new(s, o, &c);
  if (err != MSUB_OK) return err;
  uint32_t was = s->n_nodes;
  for (uint32_t i = 0; i < count && err == MSUB_OK; i++) err = add_one(s, c, o->id);
  if (err != MSUB_OK) {
    while (s->n_nodes > was) {
      forget_node(msub__sim_node_at(s, s->n_nodes - 1));
      s->n_nodes--;
    }
    s->touched = NULL; /* the new ones are gone; others have no reason to be there outside a run … */
    for (uint32_t i = 0; i < was; i++) { /* … except by msub_sim_now() */
      msub__sim_node *n = msub__sim_node_at(s, i);
      if (!n->touched) continue;
      n->touched = false;
      msub__sim_touch(n);
    }
    msub__free(&s->mem, c, sizeof *c);
    return err;
  }
  c->next = s->classes;
  s->classes = c;
  if (first) *first = was;
  return MSUB_OK;
}

/* ---- the program's hands ---- */

msub_engine *msub_sim_engine(const msub_sim *s, uint32_t node) {
  const msub__sim_node *n = msub__sim_node_of_no(s, node);
  return n ? n->e : NULL;
}

const msub_now *msub_sim_now(msub_sim *s, uint32_t node) {
  msub__sim_node *n = msub__sim_node_of_no(s, node);
  if (!n) return &s->now;
  if (n->inside) return NULL;
  msub__sim_touch(n);
  return &s->now;
}

msub_sim_traffic msub_sim_traffic_of(const msub_sim *s, uint32_t node) {
  const msub__sim_node *n = msub__sim_node_of_no(s, node);
  return n ? n->traffic : (msub_sim_traffic){ 0, 0, 0, 0 };
}

/* ---- the engine's timers ---- */

/* One timer of a node counts: the earliest that was asked for. An earlier one makes those before it stale; a later
 * one waits until this one has fired. */
void msub__sim_rearm(msub__sim_node *n) {
  if (!n->e) return;
  uint64_t d = msub_next_deadline(n->e);
  if (d >= n->armed) return;
  if (d < n->sim->now.mono_ns) d = n->sim->now.mono_ns;
  n->armed = d;
  msub__sim_self(n, d, MSUB__SIM_TIMER, ++n->timer);
}

void msub__sim_timer(msub__sim_node *n, uint32_t gen) {
  msub_sim *s = n->sim;
  if (gen != n->timer || !n->e) {
    s->counts.steps++;
    return;
  }
  n->armed = MSUB_NEVER;
  if (msub_next_deadline(n->e) <= s->now.mono_ns) {
    s->counts.timers++;
    (void)msub_advance(n->e, &s->now);
  } else {
    s->counts.steps++;
  }
  msub__sim_touch(n);
}
