/* tests/fuzz/fuzz_score.c: parameters of scores, and what a peer can make of them.
 *
 * The input: parameters (any numbers: none, infinite, next to every bound), then a script of events for a table of scores. Parameters are
 * refused with the field that is wrong, by the router too, or whatever happens afterwards leaves every score a finite number, every
 * counter at or below its cap, every total at or below the cap of the topics and what is none of theirs. What the checker says of a peer
 * that forwards nothing is played on a table of its own, and has to come true. */
#include <float.h>
#include <math.h>
#include "base/deadline.h"
#include "meshsub/engine.h"
#include "meshsub/gossipsub.h"
#include "meshsub/router.h"
#include "routers/gossipsub/limits.h"
#include "routers/gossipsub/peer_score.h"
#include "tests/fuzz/script.h"

#define PEERS 6u
#define TOPICS 3u
#define YEAR (365 * 24 * 3600 * MSUB__S)

/* ---- parameters ---- */

static double number(script *s) {
  static const double odd[] = { 0, -0.0, 1, -1, 0.5, 0.9, 0.01, 1e-3, 2, 10, 100, -10, -100, 0.999999, 1e9, -1e9, DBL_MIN, -DBL_MIN, DBL_EPSILON, 1 - DBL_EPSILON,
                                1 + DBL_EPSILON, 1e15, -1e15, MSUB_SCORE_MAX, -MSUB_SCORE_MAX, 1.01 * MSUB_SCORE_MAX, -1.01 * MSUB_SCORE_MAX, DBL_MAX, -DBL_MAX,
                                (double)INFINITY, -(double)INFINITY, (double)NAN };
  uint8_t how = byte(s);
  if (how < 96) return odd[how % (sizeof odd / sizeof *odd)];
  if (how < 160) return (int8_t)byte(s);
  if (how < 240) return word(s) / 65536.0 * (how & 1 ? -1 : 1);
  uint64_t bits = 0;
  double v;
  for (int i = 0; i < 8; i++) bits = bits << 8 | byte(s);
  memcpy(&v, &bits, sizeof v);
  return v;
}
/* Most that a script says should be taken, or nothing happens: the sign and range that the field wants, unless `any`. */
static double fit(script *s, bool any, double lo, double hi) {
  double v = number(s);
  if (any || (v >= lo && v <= hi)) return v;
  if (-v >= lo && -v <= hi) return -v;
  return hi < 0 || lo < 0 ? lo / 2 : hi / 2;
}
static uint64_t duration(script *s) {
  static const uint64_t odd[] = { 0, 1, MSUB__S - 1, MSUB__S, MSUB__S + 1, 2 * MSUB__S, 10 * MSUB__S, 100 * MSUB__S, YEAR - 1, YEAR, YEAR + 1, UINT64_MAX / 2, UINT64_MAX };
  uint8_t how = byte(s);
  return how < 64 ? odd[how % (sizeof odd / sizeof *odd)] : (uint64_t)word(s) * (how & 1 ? MSUB__MS : MSUB__S / 4);
}
static double decay(script *s, bool any) { return fit(s, any, DBL_MIN, 1 - DBL_EPSILON); }

static void read_topic(script *s, msub_topic_score *t) {
  uint8_t how = byte(s), on = byte(s);
  bool any = how & 1;
  const double big = MSUB_SCORE_MAX;
  *t = (msub_topic_score){ .skip_atomic = how & 2, .weight = fit(s, any, 0, big) };
  if (on & 1 || any) {
    t->time_in_mesh_weight = fit(s, any, 0, big);
    t->time_in_mesh_quantum_ns = duration(s);
    t->time_in_mesh_cap = fit(s, any, DBL_MIN, big);
  }
  if (on & 2 || any) {
    t->first_message_deliveries_weight = fit(s, any, 0, big);
    t->first_message_deliveries_decay = decay(s, any);
    t->first_message_deliveries_cap = fit(s, any, DBL_MIN, big);
  }
  if (on & 4 || any) {
    t->mesh_message_deliveries_weight = fit(s, any, -big, 0);
    t->mesh_message_deliveries_decay = decay(s, any);
    t->mesh_message_deliveries_cap = fit(s, any, DBL_MIN, big);
    t->mesh_message_deliveries_threshold = fit(s, any, DBL_MIN, big);
    t->mesh_message_deliveries_window_ns = duration(s);
    t->mesh_message_deliveries_activation_ns = duration(s);
    t->mesh_message_deliveries_share = how & 4 ? fit(s, any, 0, 1) : 0;
  }
  if (on & 8 || any) {
    t->mesh_failure_penalty_weight = fit(s, any, -big, 0);
    t->mesh_failure_penalty_decay = decay(s, any);
    t->mesh_probe_penalty = how & 8 && t->mesh_failure_penalty_weight < 0 ? fit(s, any, 0, big) : 0;
  }
  if (on & 16 || any) {
    t->invalid_message_deliveries_weight = fit(s, any, -big, 0);
    t->invalid_message_deliveries_decay = decay(s, any);
  }
}

static void read_params(script *s, msub_score_params *p, msub_cidr allow[2]) {
  uint8_t how = byte(s);
  bool any = how & 1;
  const double big = MSUB_SCORE_MAX;
  *p = (msub_score_params){ .skip_atomic = how & 2, .cap_what_is_positive = how & 4 };
  p->topic_score_cap = how & 8 ? fit(s, any, 0, big) : 0;
  p->app_specific_weight = fit(s, any, -big, big);
  if (how & 16 || any) {
    p->ip_colocation_factor_weight = fit(s, any, -big, 0);
    p->ip_colocation_factor_threshold = how & 128 ? UINT32_MAX : byte(s);
  }
  for (size_t i = 0; i < 2 && how & 64; i++) {
    uint8_t b = byte(s);
    allow[i] = (msub_cidr){ .address = { 10, 0, 0, b }, .n = b & 1 ? 4 : b & 2 ? 16 : 5, .bits = b >> 1 };
    p->ip_allow = allow;
    p->n_ip_allow++;
  }
  if (how & 32 || any) {
    p->behaviour_penalty_weight = fit(s, any, -big, 0);
    p->behaviour_penalty_threshold = fit(s, any, 0, big);
    p->behaviour_penalty_decay = decay(s, any);
  }
  p->decay_interval_ns = duration(s);
  p->decay_to_zero = decay(s, any);
  p->retain_ns = duration(s);
  p->record_ttl_ns = duration(s);
}

static void read_thresholds(script *s, msub_score_thresholds *t) {
  uint8_t how = byte(s);
  bool any = how & 1;
  const double big = MSUB_SCORE_MAX;
  *t = (msub_score_thresholds){ .skip_atomic = how & 2 };
  t->gossip = fit(s, any, -big, 0);
  t->publish = how & 4 ? t->gossip : fit(s, any, -big, 0);
  t->graylist = how & 8 ? t->publish : fit(s, any, -big, 0);
  t->accept_px = fit(s, any, 0, big);
  t->opportunistic_graft = fit(s, any, 0, big);
}

/* A fault names its field and value; without a place for them it is the same. */
static bool fine(const char *why, const char *again, const char where[96]) {
  CHECK((why == NULL) == (again == NULL));
  if (!why) return true;
  CHECK(strcmp(why, again) == 0 && *why && memchr(where, 0, 96) && strchr(where, ' '));
  return false;
}

/* The router takes what the rules take, and nothing else. */
static void plan(const msub_score_opts *o, const msub_topic_score *t, bool good) {
  fuzz_mem m = { 0 };
  msub_mem mem = { fuzz_alloc, fuzz_free, &m };
  uint8_t entropy[32] = { 1 };
  msub_shared *sh;
  const msub_plan *plan;
  msub_gossipsub_opts go;
  msub_gossipsub_opts_init(&go);
  go.score = o;
  go.mesh.score = t;
  CHECK(msub_shared_new(&mem, entropy, &sh) == MSUB_OK);
  CHECK((msub_plan_new(sh, &msub_gossipsub, &go, &plan) == MSUB_OK) == good);
  CHECK(msub_shared_free(sh) == MSUB_OK);
  fuzz_mem_empty(&m);
}

/* ---- a table ---- */

typedef struct state {
  fuzz_mem mem;
  msub__ps *ps;
  const msub_score_params *p;
  msub_topic_score t[TOPICS];
  uint32_t row[PEERS], hints[PEERS][TOPICS];
  double app[PEERS];
  uint64_t now;
} state;

static uint64_t hash(const void *ctx, msub_bytes b) {
  (void)ctx;
  uint64_t h = 7;
  for (size_t i = 0; i < b.n; i++) h = h * 31 + b.p[i];
  return h;
}

static void invariants(state *x) {
  for (unsigned i = 0; i < PEERS; i++) {
    msub_peer_score s;
    msub_peer_topic_score t[TOPICS + 1];
    double sum = 0, above = 0, below = 0, cap = x->p->topic_score_cap;
    uint32_t row = msub__ps_row(x->ps, x->row[i], i + 1);
    if (!msub__ps_look(x->ps, row, &s, t, TOPICS + 1)) continue;
    CHECK(isfinite(s.score) && isfinite(s.behaviour_penalty) && s.behaviour_penalty >= 0 && s.ip_colocation_factor >= 0 && s.n_topics <= TOPICS);
    for (size_t k = 0; k < s.n_topics; k++) {
      const msub_topic_score *p = &x->t[t[k].topic_name - 1];
      CHECK(isfinite(t[k].score) && t[k].first_message_deliveries >= 0 && t[k].mesh_message_deliveries >= 0 && t[k].mesh_failure_penalty >= 0 && t[k].invalid_message_deliveries >= 0);
      CHECK(isfinite(t[k].mesh_failure_penalty) && isfinite(t[k].invalid_message_deliveries));
      CHECK(t[k].first_message_deliveries <= fmax(p->first_message_deliveries_cap, 0) && t[k].mesh_message_deliveries <= fmax(p->mesh_message_deliveries_cap, 0));
      sum += t[k].score;
      if (t[k].score > 0) above += t[k].score;
      else below += t[k].score;
    }
    if (cap > 0) sum = x->p->cap_what_is_positive ? fmin(above, cap) + below : fmin(sum, cap);
    double other = s.score - x->app[i] * x->p->app_specific_weight, scale = fabs(sum) + above - below + fabs(x->app[i] * x->p->app_specific_weight);
    CHECK(other <= sum + 1e-9 * scale + DBL_MIN); /* P6 and P7 only take */
    CHECK(msub__ps_at_least(x->ps, row, s.score) && !msub__ps_at_least(x->ps, row, s.score + 1 + 1e-9 * fabs(s.score)));
  }
}

static void addresses(state *x, unsigned peer, uint8_t how) {
  uint8_t bytes[3][16] = { { 10, 0, 0, how & 3 }, { 0x20, 1, 0xd, 0xb8, 0, 0, 0, how & 12 }, { 127, 0, 0, 1 } };
  msub_bytes a[3] = { { bytes[0], 4 }, { bytes[1], 16 }, { bytes[2], 4 } };
  if (how & 128) msub__ps_moved(x->ps, x->row[peer], a, how >> 4 & 3, x->now);
  else msub__ps_addresses(x->ps, x->row[peer], a, how >> 4 & 3);
}

static void step(state *x, script *s) {
  uint8_t op = byte(s), a = byte(s);
  unsigned i = a % PEERS, k = (a >> 4) % TOPICS;
  uint32_t topic = msub__ps_topic_find(x->ps, k + 1), *hint = a & 8 ? &x->hints[i][k] : NULL;
  uint32_t row = x->row[i] = msub__ps_row(x->ps, x->row[i], i + 1);
  uint64_t until;
  switch (op % 18) {
  case 0:
    if ((x->row[i] = msub__ps_up(x->ps, row, i + 1)) != 0) msub__ps_app(x->ps, x->row[i], x->app[i]);
    break;
  case 1: x->row[i] = msub__ps_down(x->ps, row, x->now, &until); break;
  case 2: msub__ps_graft(x->ps, row, topic, hint, x->now); break;
  case 3: msub__ps_prune(x->ps, row, topic, hint); break;
  case 4:
    for (unsigned n = 1u + byte(s) % 8u; n; n--) msub__ps_deliver(x->ps, word(s) & 31, row, topic, hint, x->now);
    break;
  case 5: msub__ps_duplicate(x->ps, byte(s) & 31, row, topic, hint, x->now); break;
  case 6: msub__ps_again(x->ps, byte(s) & 31, row, topic, hint, x->now); break;
  case 7: msub__ps_reject(x->ps, byte(s) & 31, row, topic, hint, x->now, (msub__ps_verdict)(op / 18 % 5)); break;
  case 8: msub__ps_validate(x->ps, byte(s) & 31, x->now); break;
  case 9: msub__ps_useful(x->ps, row, topic, hint); break;
  case 10: msub__ps_penalty(x->ps, row, byte(s)); break;
  case 11: {
    double v = number(s);
    if (!isfinite(v) || fabs(v) > MSUB_SCORE_MAX) break; /* the command refuses it */
    x->app[i] = v;
    msub__ps_app(x->ps, row, v);
    break;
  }
  case 12: addresses(x, i, byte(s)); break;
  case 13: { /* parameters that change while it runs */
    msub_topic_score t;
    read_topic(s, &t);
    if (msub_topic_score_fault(&t, NULL) || !msub__ps_topic(x->ps, k + 1, &t)) break;
    x->t[k] = t;
    break;
  }
  case 14: msub__ps_topic_left(x->ps, topic, a & 8); break;
  case 15: x->mem.fail_in = a & 15; break;
  default:
    for (unsigned n = 1u + (op & 64 ? byte(s) : 0); n; n--) {
      x->now += op & 16 ? x->p->decay_interval_ns : word(s) * MSUB__MS;
      msub__ps_refresh(x->ps, x->now);
      while (msub__ps_topic_gone(x->ps)) {}
    }
    msub__ps_gc(x->ps, x->now);
    msub__ps_settle(x->ps, x->now);
    break;
  }
}

static void play(script *s, const msub_score_params *p, const msub_topic_score *t, bool parity) {
  state x = { .p = p, .now = MSUB__S };
  msub_mem mem = { fuzz_alloc, fuzz_free, &x.mem };
  CHECK((x.ps = msub__ps_new(&mem, p, parity, hash, NULL)) != NULL);
  for (uint32_t k = 0; k < TOPICS; k++) {
    x.t[k] = t[k];
    CHECK(msub__ps_topic(x.ps, k + 1, &t[k]) == k + 1);
  }
  while (s->p < s->end) {
    step(&x, s);
    x.mem.fail_in &= 15;
    invariants(&x);
  }
  CHECK(msub__ps_bytes(x.ps) == x.mem.live);
  msub__ps_free(x.ps);
  fuzz_mem_empty(&x.mem);
}

/* ---- what the checker says comes true ---- */

typedef struct told { msub_score_finding f[TOPICS]; size_t n; } told;
static void note(void *ud, const msub_score_finding *f) {
  told *x = ud;
  CHECK(x->n < TOPICS && !isnan(f->here) && !isnan(f->others) && !isnan(f->median) && f->median >= 0 && isfinite(f->here));
  x->f[x->n++] = *f;
}

/* A member of all meshes that forwards nothing on topic k, and its best on the others. */
static void silent(const msub_score_params *p, const msub_topic_score *t, const told *said, unsigned k) {
  fuzz_mem m = { 0 };
  msub_mem mem = { fuzz_alloc, fuzz_free, &m };
  const uint64_t interval = p->decay_interval_ns, heartbeat = MSUB__S;
  const msub_score_finding *f = &said->f[k];
  msub__ps *ps = msub__ps_new(&mem, p, false, hash, NULL);
  CHECK(ps);
  uint32_t row = msub__ps_up(ps, 0, 1);
  for (uint32_t i = 0; i < TOPICS; i++) {
    CHECK(msub__ps_topic(ps, i + 1, &t[i]) == i + 1);
    msub__ps_graft(ps, row, i + 1, NULL, 0);
  }
  uint64_t first = (t[k].mesh_message_deliveries_activation_ns / interval + 1) * interval;
  const uint64_t at[] = { first, 2 * first, 2 * YEAR / interval * interval + first };
  for (size_t n = 0; n < sizeof at / sizeof *at; n++) {
    msub__ps_refresh(ps, at[n]);
    for (uint32_t i = 0; i < TOPICS; i++)
      for (unsigned d = 0; d < 200 && i != k; d++) msub__ps_useful(ps, row, i + 1, NULL);
    msub_peer_score s;
    msub_peer_topic_score of[TOPICS];
    CHECK(msub__ps_look(ps, row, &s, of, TOPICS) && s.n_topics == TOPICS);
    double here = 0;
    for (uint32_t i = 0; i < TOPICS; i++)
      if (of[i].topic_name == k + 1) here = of[i].score;
    double scale = 1e-9 * (fabs(f->here) + (isfinite(f->others) ? fabs(f->others) : 0)) + DBL_MIN;
    CHECK(here <= fmax(f->here, 0) + scale || f->here < 0);
    if (f->here < 0 && !f->refused) CHECK(s.score <= scale || n == 0); /* others + here are what it can have at most, once P3 counts */
    if (f->heartbeats != UINT64_MAX && n == 0) CHECK(here < 0 && f->heartbeats >= first / heartbeat); /* then it is pruned */
  }
  msub__ps_free(ps);
  fuzz_mem_empty(&m);
}

static void check(const msub_score_params *p, const msub_topic_score *t, bool any) {
  static const char *const names[TOPICS] = { "a", "b", "c" };
  msub_score_of_topic of[TOPICS];
  told said = { .n = 0 };
  bool share = false;
  for (unsigned k = 0; k < TOPICS; k++) {
    of[k] = (msub_score_of_topic){ names[k], t[k] };
    share |= t[k].mesh_message_deliveries_share > 0;
  }
  size_t refused = msub_score_check(p, of, TOPICS, any, MSUB__S, note, &said);
  CHECK(said.n == TOPICS);
  for (unsigned k = 0; k < TOPICS; k++) {
    refused -= said.f[k].refused;
    if (!share) silent(p, t, &said, k); /* with a share it depends on what the others bring */
  }
  CHECK(refused == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  script s = { data, data + size };
  msub_score_opts o;
  msub_cidr allow[2];
  msub_topic_score t[TOPICS];
  char where[96];
  uint8_t how = byte(&s);
  bool good = true;
  read_params(&s, &o.params, allow);
  read_thresholds(&s, &o.thresholds);
  for (unsigned k = 0; k < TOPICS; k++) {
    read_topic(&s, &t[k]);
    memset(where, 'x', sizeof where);
    const char *why = msub_topic_score_fault(&t[k], where);
    if (!fine(why, msub_topic_score_fault(&t[k], NULL), where)) t[k] = (msub_topic_score){ .skip_atomic = true, .weight = 1 };
  }
  o.params.topic = how & 1 ? &t[0] : NULL;
  memset(where, 'x', sizeof where);
  const char *why = msub_score_params_fault(&o.params, where);
  good &= fine(why, msub_score_params_fault(&o.params, NULL), where);
  memset(where, 'x', sizeof where);
  bool levels = fine(msub_score_thresholds_fault(&o.thresholds, where), msub_score_thresholds_fault(&o.thresholds, NULL), where);
  plan(&o, how & 2 ? &t[1] : NULL, good && levels);
  if (!good || o.params.decay_interval_ns == 0) return 0;
  check(&o.params, t, how & 4);
  play(&s, &o.params, t, how & 8);
  return 0;
}
