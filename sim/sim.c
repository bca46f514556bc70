/* sim/sim.c: time, the queue, the program's timers, chance. */
#include "sim/sim.h"
#include <string.h>

#define PRUNE_AT 1024u /* timers called off that are worth a walk over the queue */

/* ---- options ---- */

void msub_sim_opts_init(msub_sim_opts *o) {
  *o = (msub_sim_opts){ .size = sizeof *o,
                        .seed = 1,
                        .start_mono_ns = MSUB_SIM_S,
                        .start_wall_ns = INT64_C(1704067200000000000),
                        .link = { MSUB_SIM_MS, 0, 0 },
                        .latency_floor_ns = MSUB_SIM_US,
                        .rendezvous_ns = 50 * MSUB_SIM_MS,
                        .hash = true };
}

int msub_sim_new(const msub_sim_opts *o, msub_sim **out) {
  if (!o || o->size != sizeof *o) return MSUB_ERR_INVAL;
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  msub_sim *s = msub__zalloc(&mem, 1, sizeof *s);
  if (!s) return MSUB_ERR_NOMEM;
  s->mem = mem;
  s->o = *o;
  s->o.mem = NULL;
  if (s->o.latency_floor_ns == 0) s->o.latency_floor_ns = 1;
  if (o->log) s->log = *o->log;
  s->now = (msub_now){ o->start_mono_ns, o->start_wall_ns };
  s->current = MSUB_SIM_NOBODY;
  uint8_t entropy[32];
  for (unsigned i = 0; i < 4; i++) {
    uint64_t z = msub__sim_mix(o->seed + i);
    msub__sim_put(entropy + 8 * i, z);
  }
  msub__hashkey_init(&s->key, entropy);
  int err = msub_shared_new(&s->mem, entropy, &s->sh);
  if (err != MSUB_OK) {
    msub__free(&mem, s, sizeof *s);
    return err;
  }
  *out = s;
  return MSUB_OK;
}

static bool in_callback(const msub_sim *s) { return s->running || s->inside; }

static bool has_packet(msub__sim_kind k) {
  switch (k) {
  case MSUB__SIM_TIMER:
  case MSUB__SIM_AT:
  case MSUB__SIM_CONNECT:
  case MSUB__SIM_DISCONNECT:
  case MSUB__SIM_REOPEN:
  case MSUB__SIM_UPLINK:
  case MSUB__SIM_JOB:
  case MSUB__SIM_X_FEED:
  case MSUB__SIM_X_WRITABLE:
  case MSUB__SIM_X_END:
  case MSUB__SIM_X_DEADLINE: return false;
  default: return true;
  }
}

static msub__sim_packet *packet_of(uint64_t arg) { return (msub__sim_packet *)(uintptr_t)arg; }

int msub_sim_free(msub_sim *s) {
  if (!s) return MSUB_OK;
  if (in_callback(s)) return MSUB_ERR_STATE;
  s->closing = true;
  for (uint32_t i = 0; i < s->n_nodes; i++) {
    msub__sim_node *n = msub__sim_node_at(s, i);
    if (n->up) msub__sim_down(n, false);
  }
  for (const msub__sim_event *ev; (ev = msub__simq_first(&s->q));) {
    msub__sim_event e = *ev;
    msub__simq_pop(&s->q);
    if (has_packet((msub__sim_kind)(e.order & 0xff))) msub__sim_packet_free(s, packet_of(e.arg));
  }
  for (uint32_t i = 0; i < s->n_nodes; i++) {
    msub__sim_node *n = msub__sim_node_at(s, i);
    msub__free(&s->mem, n->halves, n->cap_halves * sizeof *n->halves);
    msub__rc_drop(&s->mem, n->id);
    msub__free(&s->mem, n->ip, n->ip_n);
    msub__sim_wants_fini(n);
    memset(n, 0, sizeof *n);
  }
  for (uint32_t i = 0; i < s->cap_pages && s->pages; i++)
    msub__free(&s->mem, s->pages[i], MSUB__SIM_PAGE * sizeof **s->pages);
  msub__free(&s->mem, s->pages, s->cap_pages * sizeof *s->pages);
  s->pages = NULL;
  s->n_nodes = s->cap_pages = 0;
  for (uint32_t i = 0; i < s->cap_peers; i++)
    if (s->peers[i]) msub_peer_drop(s->sh, (msub_peer){ i });
  msub__free(&s->mem, s->peers, s->cap_peers * sizeof *s->peers);
  s->peers = NULL;
  s->cap_peers = 0;
  if (msub_shared_free(s->sh) != MSUB_OK) return MSUB_ERR_STATE; /* a message of the program's */
  msub__sim_topics_fini(s);
  while (s->classes) {
    msub__sim_class *c = s->classes;
    s->classes = c->next;
    msub__free(&s->mem, c, sizeof *c);
  }
  while (s->plans) {
    struct msub__sim_plan *p = s->plans;
    s->plans = p->next;
    msub__free(&s->mem, p, sizeof *p);
  }
  while (s->slabs) {
    struct msub__sim_slab *slab = s->slabs;
    s->slabs = slab->next;
    msub__free(&s->mem, slab, MSUB__SIM_SLAB_BYTES);
  }
  msub__free(&s->mem, s->ats, s->cap_ats * sizeof *s->ats);
  msub__free(&s->mem, s->scratch, s->scratch_n);
  msub__table_fini(&s->by_id, &s->mem);
  msub__simq_fini(&s->q, &s->mem);
  msub_mem mem = s->mem;
  msub__free(&mem, s, sizeof *s);
  return MSUB_OK;
}

msub_shared *msub_sim_shared(const msub_sim *s) { return s->sh; }
uint64_t msub_sim_time(const msub_sim *s) { return s->now.mono_ns; }
uint32_t msub_sim_nodes(const msub_sim *s) { return s->n_nodes; }

/* ---- chance ---- */

void msub__sim_put(uint8_t out[8], uint64_t z) {
  for (unsigned i = 0; i < 8; i++) out[i] = (uint8_t)(z >> 8 * i);
}

uint64_t msub__sim_mix(uint64_t z) {
  z += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

/* Of a stream only the number of draws is kept. */
static msub__rng stream_of(const msub_sim *s, const msub__sim_node *n, unsigned stream) {
  msub__rng r;
  msub__rng_init(&r, n ? msub__sim_mix(s->o.seed ^ msub__sim_mix((uint64_t)n->no + 1)) : s->o.seed, stream);
  r.counter = n ? n->rng[stream] : s->rng[stream];
  return r;
}
uint64_t msub__sim_draw(msub_sim *s, msub__sim_node *n, unsigned stream) {
  msub__rng r = stream_of(s, n, stream);
  uint64_t x = msub__rng_u64(&r);
  *(n ? &n->rng[stream] : &s->rng[stream]) = r.counter;
  return x;
}
uint32_t msub__sim_below(msub_sim *s, msub__sim_node *n, unsigned stream, uint32_t below) {
  msub__rng r = stream_of(s, n, stream);
  uint32_t x = msub__rng_below(&r, below);
  *(n ? &n->rng[stream] : &s->rng[stream]) = r.counter;
  return x;
}
uint32_t msub_sim_rand(msub_sim *s, uint32_t node, unsigned stream, uint32_t below) {
  return msub__sim_below(s, msub__sim_node_of_no(s, node), stream % MSUB_SIM_STREAMS, below);
}

/* ---- events ---- */

void msub__sim_nomem(msub_sim *s) { s->err = MSUB_ERR_NOMEM; }

static bool keeps_quiet(msub__sim_kind k) { return k == MSUB__SIM_TIMER || k == MSUB__SIM_X_DEADLINE; }

bool msub__sim_push(msub_sim *s, uint64_t at, uint32_t from, uint32_t to, msub__sim_kind k, uint64_t arg) {
  uint64_t *events = from == MSUB_SIM_NOBODY ? &s->events : &msub__sim_node_at(s, from)->events;
  msub__sim_event ev = { .time = at < s->now.mono_ns ? s->now.mono_ns : at,
                         .way = (uint64_t)(to + 1) << 32 | (uint32_t)(from + 1), /* nobody: 0, before all nodes */
                         .order = ++*events << 8 | (uint64_t)k,
                         .arg = arg };
  if (msub__simq_push(&s->q, &s->mem, &ev) != MSUB_OK) {
    msub__sim_nomem(s);
    return false;
  }
  if (keeps_quiet(k)) s->quiet++;
  if (s->q.n > s->counts.queued_max) s->counts.queued_max = s->q.n;
  return true;
}

/* ---- timers of the program ---- */

int msub_sim_at(msub_sim *s, uint32_t node, uint64_t at_mono_ns, void (*fn)(void *ud, msub_sim *s, uint32_t node),
                void *ud, msub_sim_timer *timer) {
  if (!fn || (node != MSUB_SIM_NOBODY && node >= s->n_nodes)) return MSUB_ERR_INVAL;
  if (!s->free_at && s->n_ats == s->cap_ats) {
    uint32_t cap = s->cap_ats ? s->cap_ats * 2 : 16;
    msub__sim_at *p = msub__realloc(&s->mem, s->ats, s->cap_ats * sizeof *p, cap * sizeof *p);
    if (!p) return MSUB_ERR_NOMEM;
    s->ats = p;
    s->cap_ats = cap;
  }
  uint32_t slot;
  if (s->free_at) {
    slot = s->free_at - 1;
    s->free_at = s->ats[slot].next_free;
  } else {
    slot = s->n_ats++;
    s->ats[slot].gen = 0;
  }
  msub__sim_at *a = &s->ats[slot];
  *a = (msub__sim_at){ .fn = fn, .ud = ud, .node = node, .gen = a->gen + 1, .set = true };
  uint64_t id = (uint64_t)slot << 32 | a->gen;
  int err = s->err;
  if (!msub__sim_push(s, at_mono_ns, s->current, node, MSUB__SIM_AT, id)) {
    s->err = err; /* the caller hears of it */
    a->set = false;
    a->next_free = s->free_at;
    s->free_at = slot + 1;
    return MSUB_ERR_NOMEM;
  }
  if (timer) timer->v = id + ((uint64_t)1 << 32); /* 0 is none */
  return MSUB_OK;
}

static msub__sim_at *at_of(const msub_sim *s, uint64_t id) {
  uint32_t slot = (uint32_t)(id >> 32);
  if (slot >= s->n_ats) return NULL;
  msub__sim_at *a = &s->ats[slot];
  return a->set && a->gen == (uint32_t)id ? a : NULL;
}
static void at_release(msub_sim *s, msub__sim_at *a) {
  a->set = false;
  a->next_free = s->free_at;
  s->free_at = (uint32_t)(a - s->ats) + 1;
}
static bool called_off(void *ctx, const msub__sim_event *ev) {
  return (ev->order & 0xff) == MSUB__SIM_AT && !at_of(ctx, ev->arg);
}

bool msub_sim_cancel(msub_sim *s, msub_sim_timer t) {
  msub__sim_at *a = t.v ? at_of(s, t.v - ((uint64_t)1 << 32)) : NULL;
  if (!a) return false;
  at_release(s, a);
  s->quiet++;
  s->dead++;
  if (s->dead >= PRUNE_AT && s->dead > s->q.n / 2) {
    size_t gone = msub__simq_prune(&s->q, called_off, s);
    s->quiet -= gone;
    s->dead -= gone;
  }
  return true;
}

static void run_at(msub_sim *s, uint64_t id) {
  msub__sim_at *a = at_of(s, id);
  if (!a) {
    s->quiet--;
    s->dead--;
    return;
  }
  msub__sim_at it = *a;
  at_release(s, a);
  it.fn(it.ud, s, it.node);
}

/* ---- running ---- */

void msub__sim_touch(msub__sim_node *n) {
  if (n->touched) return;
  n->touched = true;
  n->touch = n->sim->touched;
  n->sim->touched = n;
}

static void settle(msub_sim *s) {
  while (s->touched) {
    msub__sim_node *n = s->touched;
    s->touched = n->touch;
    n->touched = false;
    msub__sim_rearm(n);
  }
}

static void dispatch(msub_sim *s, const msub__sim_event *ev) {
  msub__sim_kind k = (msub__sim_kind)(ev->order & 0xff);
  uint32_t from = (uint32_t)ev->way - 1, to = (uint32_t)(ev->way >> 32) - 1;
  if (k == MSUB__SIM_AT) {
    s->counts.steps++;
    run_at(s, ev->arg);
    return;
  }
  msub__sim_node *n = msub__sim_node_at(s, to);
  msub__sim_packet *p = has_packet(k) ? packet_of(ev->arg) : NULL;
  switch (k) {
  case MSUB__SIM_RPC: msub__sim_arrived(n, p); return;
  case MSUB__SIM_TAKE: msub__sim_take(n, p); return;
  case MSUB__SIM_TIMER: msub__sim_timer(n, (uint32_t)ev->arg); return;
  default: s->counts.steps++; break;
  }
  switch (k) {
  case MSUB__SIM_LOST: msub__sim_lost(n, p); break;
  case MSUB__SIM_CONNECT: msub__sim_connecting(n, (uint32_t)ev->arg, ev->arg >> 32); break;
  case MSUB__SIM_DIAL: msub__sim_dialled(n, p); break;
  case MSUB__SIM_ACCEPT: msub__sim_accepted(n, p); break;
  case MSUB__SIM_REFUSE: msub__sim_refused(n, p); break;
  case MSUB__SIM_CLOSE: msub__sim_closed(n, p); break;
  case MSUB__SIM_DISCONNECT: msub__sim_disconnecting(n, (uint32_t)ev->arg); break;
  case MSUB__SIM_OFFER: msub__sim_offered(n, p); break;
  case MSUB__SIM_AGREED: msub__sim_agreed(n, p); break;
  case MSUB__SIM_NA: msub__sim_na(n, p); break;
  case MSUB__SIM_RESET: msub__sim_was_reset(n, p); break;
  case MSUB__SIM_REOPEN: msub__sim_reopen(n, ev->arg); break;
  case MSUB__SIM_UPLINK: if (n->lives == (uint32_t)ev->arg) msub__sim_uplink(n); break;
  case MSUB__SIM_JOB: msub__sim_job(n, ev->arg); break;
  case MSUB__SIM_FOUND: msub__sim_found(n, p); break;
  default: msub__sim_x_event(n, from, k, ev->arg); break;
  }
}

/* Until a time, or until nothing is under way. */
static int run(msub_sim *s, uint64_t until, bool idle) {
  if (in_callback(s)) return MSUB_ERR_STATE;
  if (s->err != MSUB_OK) return s->err;
  s->running = true;
  s->stop = false;
  settle(s);
  while (!s->stop && s->err == MSUB_OK) {
    const msub__sim_event *first = msub__simq_first(&s->q);
    if (!first || first->time > until || (idle && s->q.n == s->quiet)) break;
    msub__sim_event ev = *first;
    msub__simq_pop(&s->q);
    if (keeps_quiet((msub__sim_kind)(ev.order & 0xff))) s->quiet--;
    s->now.wall_ns += (int64_t)(ev.time - s->now.mono_ns);
    s->now.mono_ns = ev.time;
    s->current = (uint32_t)(ev.way >> 32) - 1;
    dispatch(s, &ev);
    s->current = MSUB_SIM_NOBODY;
    if (s->touched) settle(s);
  }
  s->running = false;
  return s->err;
}

int msub_sim_run_until(msub_sim *s, uint64_t mono_ns) {
  int err = run(s, mono_ns, false);
  if (err == MSUB_OK && !s->stop && mono_ns > s->now.mono_ns) {
    s->now.wall_ns += (int64_t)(mono_ns - s->now.mono_ns);
    s->now.mono_ns = mono_ns;
  }
  return err;
}
int msub_sim_run_for(msub_sim *s, uint64_t ns) { return msub_sim_run_until(s, msub__deadline(s->now.mono_ns, ns)); }

int msub_sim_run_idle(msub_sim *s, uint64_t at_most_ns) {
  uint64_t until = msub__deadline(s->now.mono_ns, at_most_ns);
  int err = run(s, until, true);
  if (err != MSUB_OK || s->stop || s->q.n == s->quiet) return err;
  s->now.wall_ns += (int64_t)(until - s->now.mono_ns);
  s->now.mono_ns = until;
  return MSUB_ERR_LIMIT;
}
void msub_sim_stop(msub_sim *s) { s->stop = true; }

const msub_sim_counts *msub_sim_count(msub_sim *s) {
  s->counts.queued = s->q.n;
  return &s->counts;
}
