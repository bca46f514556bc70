#include "routers/gossipsub/peer_score.h"
#include <stdlib.h>
#include <string.h>
#include "base/assert.h"
#include "base/deadline.h"
#include "routers/gossipsub/limits.h"
#include "routers/gossipsub/score_origin.h"
#include "routers/gossipsub/score_records.h"

typedef struct row {
  double topic_sum, topic_debt; /* of all topics; with cap_what_is_positive: of those above 0, of those below. Hold unless DIRTY */
  double behaviour, app;
  double inherited, told; /* of its address; what its address was told of it */
  union {
    uint64_t until; /* of one that is not connected: when it is forgotten */
    double held;    /* of one that is HELD: the score before it changed */
  };
  uint32_t tag, serial;
  uint32_t first; /* its newest topic, see LINK */
  uint32_t addresses;
  uint8_t is;
} row;
/* DIRTY: the sums have changed; FELL: and not just risen. HELD: see msub__ps_hold(), of connected ones alone. */
enum { USED = 1, LIVE = 2, DIRTY = 4, FELL = 8, HELD = 16 };

/* Of a slot. ACTIVE: something in it is not 0, so it can count. */
enum { IN_MESH = 1, P3_ON = 2, SLOT_LIVE = 4, ACTIVE = 8 };

/* (topic, slot) in one word: 12 and 20 bits, slot + 1; 0: none. */
#define LINK(topic, slot) ((topic) << 20 | ((slot) + 1))
#define LINK_TOPIC(l) ((l) >> 20)
#define LINK_SLOT(l) (((l) & 0xfffffu) - 1)

typedef struct column {
  msub_topic_score p;
  double threshold; /* of P3, since the last refresh */
  uint32_t name; /* 0: free */
  bool near; /* a member is near to owing, at the last refresh */
  bool left, pinned, gone; /* gone: its owner has not heard yet */
  uint32_t n, cap, free_slot; /* slots; free ones are chained by next + 1 */
  uint8_t *block;             /* the arrays */
  double *p2, *p3, *p3b, *p4;
  uint64_t *graft;
  uint32_t *peer, *next;
  uint8_t *flags;
} column;
#define SLOT_BYTES (4 * sizeof(double) + sizeof(uint64_t) + 2 * sizeof(uint32_t) + 1)

struct msub__ps {
  msub_mem mem;
  const msub_score_params *p;
  row *rows; /* 0 is nobody's */
  uint32_t n_rows, cap_rows, free_row, serial;
  column *t; /* topic t is t[t - 1] */
  uint32_t n_topics, cap_topics;
  uint64_t refreshed;
  msub__sa addresses;
  msub__so origins;
  msub__sr records;
  bool parity, holds, held; /* held: of some row */
};

msub__ps *msub__ps_new(const msub_mem *mem, const msub_score_params *p, bool parity, msub__sa_hash hash, const void *ctx) {
  msub__ps *ps = msub__zalloc(mem, 1, sizeof *ps);
  if (!ps) return NULL;
  ps->mem = *mem;
  ps->p = p;
  ps->parity = parity;
  ps->addresses.hash = hash;
  ps->addresses.ctx = ctx;
  ps->n_rows = 1;
  msub__sr_init(&ps->records);
  return ps;
}

void msub__ps_free(msub__ps *ps) {
  if (!ps) return;
  msub_mem mem = ps->mem;
  for (uint32_t i = 0; i < ps->n_topics; i++) msub__free(&mem, ps->t[i].block, ps->t[i].cap * SLOT_BYTES);
  msub__free(&mem, ps->t, ps->cap_topics * sizeof *ps->t);
  msub__free(&mem, ps->rows, ps->cap_rows * sizeof *ps->rows);
  msub__sa_fini(&ps->addresses, &mem);
  msub__so_fini(&ps->origins, &mem);
  msub__sr_fini(&ps->records, &mem);
  msub__free(&mem, ps, sizeof *ps);
}

size_t msub__ps_bytes(const msub__ps *ps) {
  size_t n = sizeof *ps + ps->cap_rows * sizeof *ps->rows + ps->cap_topics * sizeof *ps->t + msub__sa_bytes(&ps->addresses) + msub__so_bytes(&ps->origins) +
             msub__sr_bytes(&ps->records);
  for (uint32_t i = 0; i < ps->n_topics; i++) n += ps->t[i].cap * SLOT_BYTES;
  return n;
}

/* ---- columns ---- */

static column *column_of(const msub__ps *ps, uint32_t topic) { return topic && topic <= ps->n_topics ? &ps->t[topic - 1] : NULL; }

static void lay_out(column *c, uint8_t *block, uint32_t cap) {
  c->block = block;
  c->p2 = (double *)(void *)block;
  c->p3 = c->p2 + cap;
  c->p3b = c->p3 + cap;
  c->p4 = c->p3b + cap;
  c->graft = (uint64_t *)(void *)(c->p4 + cap);
  c->peer = (uint32_t *)(void *)(c->graft + cap);
  c->next = c->peer + cap;
  c->flags = (uint8_t *)(c->next + cap);
}

static bool widen(msub__ps *ps, column *c) {
  uint32_t cap = c->cap < 32 ? c->cap + 8 : c->cap + c->cap / 8;
  if (c->cap >= MSUB__GS_SCORED_LINKS) return false;
  if (cap > MSUB__GS_SCORED_LINKS) cap = MSUB__GS_SCORED_LINKS;
  column wide = *c;
  uint8_t *block = msub__alloc(&ps->mem, cap * SLOT_BYTES);
  if (!block) return false;
  lay_out(&wide, block, cap);
  wide.cap = cap;
  if (c->n) {
    memcpy(wide.p2, c->p2, c->n * sizeof *c->p2);
    memcpy(wide.p3, c->p3, c->n * sizeof *c->p3);
    memcpy(wide.p3b, c->p3b, c->n * sizeof *c->p3b);
    memcpy(wide.p4, c->p4, c->n * sizeof *c->p4);
    memcpy(wide.graft, c->graft, c->n * sizeof *c->graft);
    memcpy(wide.peer, c->peer, c->n * sizeof *c->peer);
    memcpy(wide.next, c->next, c->n * sizeof *c->next);
    memcpy(wide.flags, c->flags, c->n * sizeof *c->flags);
  }
  msub__free(&ps->mem, c->block, c->cap * SLOT_BYTES);
  *c = wide;
  return true;
}

static bool find_slot(const msub__ps *ps, uint32_t r, uint32_t topic, const uint32_t *hint, uint32_t *slot) {
  const column *c = &ps->t[topic - 1];
  if (hint && *hint && *hint <= c->n && c->peer[*hint - 1] == r) {
    *slot = *hint - 1;
    return true;
  }
  for (uint32_t l = ps->rows[r].first; l;) {
    *slot = LINK_SLOT(l);
    if (LINK_TOPIC(l) == topic) return true;
    l = ps->t[LINK_TOPIC(l) - 1].next[*slot];
  }
  return false;
}

/* The slot of a row in a scored topic, made if it is new; false: not scored, nobody, no memory. */
static bool slot_of(msub__ps *ps, uint32_t r, uint32_t topic, uint32_t *hint, uint32_t *slot) {
  column *c = column_of(ps, topic);
  if (!c || r == 0 || r >= ps->n_rows || !(ps->rows[r].is & USED)) return false;
  if (!find_slot(ps, r, topic, hint, slot)) {
    if (c->free_slot) {
      *slot = c->free_slot - 1;
      c->free_slot = c->next[*slot];
    } else {
      if (c->n == c->cap && !widen(ps, c)) return false;
      *slot = c->n++;
    }
    uint32_t k = *slot;
    row *w = &ps->rows[r];
    c->p2[k] = c->p3[k] = c->p3b[k] = c->p4[k] = 0;
    c->graft[k] = 0;
    c->peer[k] = r;
    c->flags[k] = w->is & LIVE ? SLOT_LIVE : 0;
    c->next[k] = w->first;
    w->first = LINK(topic, k);
  }
  if (hint) *hint = *slot + 1;
  return true;
}

/* Whole quanta. The quotient of doubles is the exact one as long as both are below 2^53, and much faster than that of integers. */
static double quanta(uint64_t ns, uint64_t quantum) {
  if (quantum == 0) return 0;
  return ns < UINT64_C(1) << 53 ? (double)(int64_t)((double)ns / (double)quantum) : (double)(ns / quantum);
}

/* One peer's part in a topic, in the reference's order of adding. */
static inline double slot_score(const msub__ps *ps, const column *c, uint32_t k) {
  const msub_topic_score *p = &c->p;
  double sum = 0;
  if (c->flags[k] & IN_MESH) {
    uint64_t in = ps->refreshed > c->graft[k] ? ps->refreshed - c->graft[k] : 0;
    double p1 = quanta(in, p->time_in_mesh_quantum_ns);
    if (p1 > p->time_in_mesh_cap) p1 = p->time_in_mesh_cap;
    sum += p1 * p->time_in_mesh_weight;
  }
  sum += c->p2[k] * p->first_message_deliveries_weight;
  if (c->flags[k] & P3_ON && c->p3[k] < c->threshold) {
    double deficit = c->threshold - c->p3[k];
    sum += deficit * deficit * p->mesh_message_deliveries_weight;
  }
  sum += c->p3b[k] * p->mesh_failure_penalty_weight;
  sum += c->p4[k] * c->p4[k] * p->invalid_message_deliveries_weight;
  return sum * p->weight;
}

static void add_topic(const msub__ps *ps, row *w, double score) {
  if (ps->p->cap_what_is_positive && score < 0) w->topic_debt += score;
  else w->topic_sum += score;
}
static double of_topics(const msub__ps *ps, const row *w) {
  return (ps->p->topic_score_cap > 0 && w->topic_sum > ps->p->topic_score_cap ? ps->p->topic_score_cap : w->topic_sum) + w->topic_debt;
}

static void mark(msub__ps *ps, uint32_t r, column *c, uint32_t slot, uint8_t how) {
  c->flags[slot] |= ACTIVE;
  ps->rows[r].is |= how;
}

static int rising(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* At most the topic's share of what the median member of the mesh has; of a mesh larger than any should be, of every k-th member. */
static double threshold(const column *c) {
  enum { SAMPLE = 63 };
  const msub_topic_score *p = &c->p;
  double has[SAMPLE], most = p->mesh_message_deliveries_threshold;
  uint32_t members = 0, n = 0, at = 0;
  if (!(p->mesh_message_deliveries_share > 0) || !(p->mesh_message_deliveries_weight < 0 || p->mesh_failure_penalty_weight < 0)) return most;
  for (uint32_t k = 0; k < c->n; k++) members += c->flags[k] & IN_MESH;
  if (members == 0) return 0;
  uint32_t step = (members + SAMPLE - 1) / SAMPLE;
  for (uint32_t k = 0; k < c->n; k++)
    if (c->flags[k] & IN_MESH && at++ % step == 0) has[n++] = c->p3[k];
  qsort(has, n, sizeof *has, rising);
  double share = has[n / 2] * p->mesh_message_deliveries_share;
  return share < most ? share : most;
}

/* ---- rows ---- */

uint32_t msub__ps_row(const msub__ps *ps, uint32_t r, uint32_t tag) {
  return r && r < ps->n_rows && ps->rows[r].is & USED && ps->rows[r].tag == tag ? r : 0;
}

uint64_t msub__ps_until(const msub__ps *ps, uint32_t r) { return ps->rows[r].until; }

static void live(msub__ps *ps, uint32_t r, bool on) {
  row *w = &ps->rows[r];
  w->is = (uint8_t)(on ? w->is | LIVE : w->is & ~LIVE);
  for (uint32_t l = w->first; l;) {
    column *c = &ps->t[LINK_TOPIC(l) - 1];
    uint32_t k = LINK_SLOT(l);
    c->flags[k] = (uint8_t)(on ? c->flags[k] | SLOT_LIVE : c->flags[k] & ~SLOT_LIVE);
    l = c->next[k];
  }
}

uint32_t msub__ps_up(msub__ps *ps, uint32_t old, uint32_t tag) {
  uint32_t r = msub__ps_row(ps, old, tag);
  if (!r) {
    if (ps->free_row) {
      r = ps->free_row;
      ps->free_row = ps->rows[r].first;
    } else {
      if (ps->n_rows >= ps->cap_rows) {
        uint32_t cap = ps->cap_rows < 32 ? ps->cap_rows + 8 : ps->cap_rows + ps->cap_rows / 4;
        row *more = cap < UINT32_MAX / 2 ? msub__realloc(&ps->mem, ps->rows, ps->cap_rows * sizeof *more, cap * sizeof *more) : NULL;
        if (!more) return 0;
        ps->rows = more;
        ps->cap_rows = cap;
      }
      r = ps->n_rows++;
    }
    ps->rows[r] = (row){ .tag = tag, .serial = ++ps->serial, .is = USED };
  }
  live(ps, r, true);
  return r;
}

void msub__ps_forget(msub__ps *ps, uint32_t r) {
  if (r == 0 || r >= ps->n_rows || !(ps->rows[r].is & USED)) return;
  row *w = &ps->rows[r];
  for (uint32_t l = w->first; l;) {
    column *c = &ps->t[LINK_TOPIC(l) - 1];
    uint32_t k = LINK_SLOT(l);
    l = c->next[k];
    c->peer[k] = 0;
    c->flags[k] = 0;
    c->next[k] = c->free_slot;
    c->free_slot = k + 1;
  }
  msub__sa_remove(&ps->addresses, &w->addresses);
  *w = (row){ .first = ps->free_row };
  ps->free_row = r;
}

/* Out of the mesh: what it owes stays with it. */
static void out(const msub__ps *ps, column *c, uint32_t k) {
  if (c->flags[k] & P3_ON && c->p3[k] < c->threshold) {
    double deficit = c->threshold - c->p3[k];
    c->p3b[k] += deficit * deficit;
  }
  c->flags[k] = (uint8_t)(c->flags[k] & ~(ps->parity ? IN_MESH : IN_MESH | P3_ON));
}

static double behaviour_of(const msub_score_params *p, const row *w) {
  double excess = w->behaviour - p->behaviour_penalty_threshold;
  return excess > 0 ? excess * excess * p->behaviour_penalty_weight : 0;
}

/* The part of what it did itself that others of its address will answer for; what was told before is not told again. */
static void tell_origins(msub__ps *ps, row *w, uint64_t now) {
  const msub_score_params *p = ps->p;
  if (ps->parity || !(p->address_share > 0)) return;
  double debt = -(of_topics(ps, w) + behaviour_of(p, w)) * p->address_share;
  if (debt > p->address_most) debt = p->address_most;
  if (!(debt > w->told)) return;
  msub_bytes prefix;
  for (uint32_t at = w->addresses; msub__sa_prefix(&ps->addresses, &at, &prefix);)
    msub__so_add(&ps->origins, &ps->addresses, &ps->mem, prefix, debt - w->told, p->address_most, now, p->retain_ns);
  w->told = debt;
}

void msub__ps_inherit(msub__ps *ps, uint32_t r, uint64_t now) {
  if (ps->parity || !msub__so_count(&ps->origins) || r == 0 || r >= ps->n_rows || !(ps->rows[r].is & USED)) return;
  row *w = &ps->rows[r];
  msub_bytes prefix;
  for (uint32_t at = w->addresses; msub__sa_prefix(&ps->addresses, &at, &prefix);) {
    double debt = msub__so_debt(&ps->origins, &ps->addresses, prefix, now) - w->told; /* its own it has anyway */
    if (debt > -w->inherited) w->inherited = -debt;
  }
}

uint32_t msub__ps_origins(const msub__ps *ps) { return msub__so_count(&ps->origins); }

uint32_t msub__ps_down(msub__ps *ps, uint32_t r, uint64_t now, uint64_t *until) {
  *until = 0;
  if (r == 0 || r >= ps->n_rows || !(ps->rows[r].is & USED)) return 0;
  ps->rows[r].is = (uint8_t)(ps->rows[r].is & ~HELD);
  if (msub__ps_score(ps, r) > 0) {
    msub__ps_forget(ps, r);
    return 0;
  }
  row *w = &ps->rows[r];
  tell_origins(ps, w, now);
  live(ps, r, false);
  for (uint32_t l = w->first; l;) {
    column *c = &ps->t[LINK_TOPIC(l) - 1];
    uint32_t k = LINK_SLOT(l);
    c->p2[k] = 0;
    if (c->flags[k] & IN_MESH) out(ps, c, k);
    mark(ps, r, c, k, DIRTY | FELL);
    l = c->next[k];
  }
  *until = w->until = msub__deadline(now, ps->p->retain_ns);
  return r;
}

void msub__ps_addresses(msub__ps *ps, uint32_t r, const msub_bytes *a, size_t n) {
  if (r == 0 || r >= ps->n_rows || !(ps->rows[r].is & USED)) return;
  uint32_t old = ps->rows[r].addresses;
  ps->rows[r].addresses = 0;
  for (size_t i = 0; i < n; i++) msub__sa_add(&ps->addresses, &ps->mem, ps->p, &ps->rows[r].addresses, a[i]);
  msub__sa_remove(&ps->addresses, &old);
}

static bool same_origins(const msub__ps *ps, uint32_t a, uint32_t b) {
  msub_bytes at_a, at_b;
  for (;;) {
    bool more_a = msub__sa_prefix(&ps->addresses, &a, &at_a), more_b = msub__sa_prefix(&ps->addresses, &b, &at_b);
    if (!more_a || !more_b) return more_a == more_b;
    if (!msub_bytes_eq(at_a, at_b)) return false;
  }
}

/* To the addresses that it leaves as when it goes, from those that it has then as when it comes. */
void msub__ps_moved(msub__ps *ps, uint32_t r, const msub_bytes *a, size_t n, uint64_t now) {
  if (r == 0 || r >= ps->n_rows || !(ps->rows[r].is & USED)) return;
  row *w = &ps->rows[r];
  const bool owes = !(msub__ps_score(ps, r) > 0);
  uint32_t old = w->addresses, here = 0;
  for (size_t i = 0; i < n; i++) msub__sa_add(&ps->addresses, &ps->mem, ps->p, &here, a[i]);
  const bool moved = !same_origins(ps, old, here);
  if (moved && owes) tell_origins(ps, w, now);
  w->addresses = here;
  msub__sa_remove(&ps->addresses, &old);
  if (moved) msub__ps_inherit(ps, r, now);
}

void msub__ps_app(msub__ps *ps, uint32_t r, double value) {
  if (r && r < ps->n_rows) ps->rows[r].app = value;
}

void msub__ps_penalty(msub__ps *ps, uint32_t r, double n) {
  if (r && r < ps->n_rows) ps->rows[r].behaviour += n;
}

/* With P5 to P7 as they are now. */
static double total(const msub__ps *ps, const row *w) {
  const msub_score_params *p = ps->p;
  double score = of_topics(ps, w);
  score += w->app * p->app_specific_weight;
  if (w->addresses) score += msub__sa_factor(&ps->addresses, w->addresses, p->ip_colocation_factor_threshold) * p->ip_colocation_factor_weight;
  score += behaviour_of(p, w);
  return score + w->inherited;
}

double msub__ps_score(msub__ps *ps, uint32_t r) {
  if (r == 0 || r >= ps->n_rows || !(ps->rows[r].is & USED)) return 0;
  row *w = &ps->rows[r];
  if (w->is & HELD && ps->holds) return w->held;
  if (w->is & DIRTY) {
    w->topic_sum = w->topic_debt = 0;
    for (uint32_t l = w->first; l;) {
      const column *c = &ps->t[LINK_TOPIC(l) - 1];
      add_topic(ps, w, slot_score(ps, c, LINK_SLOT(l)));
      l = c->next[LINK_SLOT(l)];
    }
    w->is = (uint8_t)(w->is & ~(DIRTY | FELL));
  }
  return total(ps, w);
}

bool msub__ps_at_least(msub__ps *ps, uint32_t r, double floor) {
  if (r == 0 || r >= ps->n_rows || !(ps->rows[r].is & USED)) return 0 >= floor;
  if (!(ps->rows[r].is & (FELL | HELD)) && total(ps, &ps->rows[r]) >= floor) return true;
  return msub__ps_score(ps, r) >= floor;
}

static void hold(msub__ps *ps, uint32_t r) {
  row *w = &ps->rows[r];
  if (!ps->holds || (w->is & (LIVE | HELD)) != LIVE) return;
  w->held = msub__ps_score(ps, r);
  w->is |= HELD;
  ps->held = true;
}

void msub__ps_hold(msub__ps *ps, bool on) { ps->holds = on; }

void msub__ps_release(msub__ps *ps) {
  for (uint32_t r = 1; ps->held && r < ps->n_rows; r++) ps->rows[r].is = (uint8_t)(ps->rows[r].is & ~HELD);
  ps->holds = ps->held = false;
}

/* ---- topics ---- */

uint32_t msub__ps_topic_find(const msub__ps *ps, uint32_t name) {
  for (uint32_t i = 0; i < ps->n_topics; i++)
    if (ps->t[i].name == name && !ps->t[i].gone) return i + 1;
  return 0;
}

void msub__ps_topic_left(msub__ps *ps, uint32_t topic, bool left) {
  column *c = column_of(ps, topic);
  if (c) c->left = left;
}

void msub__ps_topic_pin(msub__ps *ps, uint32_t topic) { ps->t[topic - 1].pinned = true; }
bool msub__ps_topic_pinned(const msub__ps *ps, uint32_t topic) { return ps->t[topic - 1].pinned; }
size_t msub__ps_topics(const msub__ps *ps) { return ps->n_topics; }
uint32_t msub__ps_topic_name(const msub__ps *ps, uint32_t topic) { return topic <= ps->n_topics ? ps->t[topic - 1].name : MSUB__NONE; }

uint32_t msub__ps_topic_gone(msub__ps *ps) {
  for (uint32_t i = 0; i < ps->n_topics; i++) {
    if (!ps->t[i].gone) continue;
    uint32_t name = ps->t[i].name;
    ps->t[i] = (column){ 0 };
    return name;
  }
  return 0;
}

const msub_topic_score *msub__ps_topic_params(const msub__ps *ps, uint32_t topic) {
  const column *c = column_of(ps, topic);
  return c ? &c->p : NULL;
}

/* Counters that count for nothing may have any cap and decay. They must stay numbers all the same: infinity times no weight is none. */
static double kept(double decay) { return decay < 1 ? decay : 1; }
static double positive(double cap) { return cap > 0 ? cap : 0; }
static msub_topic_score own(const msub_topic_score *p) {
  msub_topic_score t = *p;
  t.first_message_deliveries_decay = kept(p->first_message_deliveries_decay);
  t.first_message_deliveries_cap = positive(p->first_message_deliveries_cap);
  t.mesh_message_deliveries_decay = kept(p->mesh_message_deliveries_decay);
  t.mesh_message_deliveries_cap = positive(p->mesh_message_deliveries_cap);
  t.mesh_failure_penalty_decay = kept(p->mesh_failure_penalty_decay);
  return t;
}

/* Lower caps cut what is above them. */
static void change(msub__ps *ps, column *c, const msub_topic_score *p) {
  for (uint32_t k = 0; k < c->n; k++) {
    if (c->peer[k] == 0) continue;
    if (p->first_message_deliveries_cap < c->p.first_message_deliveries_cap && c->p2[k] > p->first_message_deliveries_cap)
      c->p2[k] = p->first_message_deliveries_cap;
    if (p->mesh_message_deliveries_cap < c->p.mesh_message_deliveries_cap && c->p3[k] > p->mesh_message_deliveries_cap)
      c->p3[k] = p->mesh_message_deliveries_cap;
    ps->rows[c->peer[k]].is |= DIRTY | FELL;
  }
  c->p = *p;
  c->threshold = threshold(c);
}

uint32_t msub__ps_topic(msub__ps *ps, uint32_t name, const msub_topic_score *given) {
  const msub_topic_score p = own(given);
  uint32_t topic = msub__ps_topic_find(ps, name);
  if (topic) {
    change(ps, &ps->t[topic - 1], &p);
    return topic;
  }
  for (topic = 1; topic <= ps->n_topics; topic++)
    if (ps->t[topic - 1].name == 0) {
      ps->t[topic - 1] = (column){ .p = p, .name = name };
      ps->t[topic - 1].threshold = threshold(&ps->t[topic - 1]);
      return topic;
    }
  if (ps->n_topics == MSUB__GS_SCORED_TOPICS) return 0;
  if (ps->n_topics == ps->cap_topics) {
    uint32_t cap = ps->cap_topics ? ps->cap_topics * 2 : 1;
    column *more = msub__realloc(&ps->mem, ps->t, ps->cap_topics * sizeof *more, cap * sizeof *more);
    if (!more) return 0;
    ps->t = more;
    ps->cap_topics = cap;
  }
  column *c = &ps->t[ps->n_topics++];
  *c = (column){ .p = p, .name = name };
  c->threshold = threshold(c);
  return ps->n_topics;
}

/* ---- what happens ---- */

void msub__ps_graft(msub__ps *ps, uint32_t r, uint32_t topic, uint32_t *hint, uint64_t now) {
  uint32_t k;
  if (!slot_of(ps, r, topic, hint, &k)) return;
  column *c = &ps->t[topic - 1];
  hold(ps, r);
  c->graft[k] = now;
  c->flags[k] = (uint8_t)((c->flags[k] | IN_MESH) & ~P3_ON);
  mark(ps, r, c, k, DIRTY | FELL);
}

void msub__ps_prune(msub__ps *ps, uint32_t r, uint32_t topic, uint32_t *hint) {
  uint32_t k;
  if (!slot_of(ps, r, topic, hint, &k)) return;
  column *c = &ps->t[topic - 1];
  hold(ps, r);
  out(ps, c, k);
  mark(ps, r, c, k, DIRTY | FELL);
}

static void count_p3(column *c, uint32_t k) {
  c->p3[k] += 1;
  if (c->p3[k] > c->p.mesh_message_deliveries_cap) c->p3[k] = c->p.mesh_message_deliveries_cap;
}

static void count_p2(column *c, uint32_t k) {
  c->p2[k] += 1;
  if (c->p2[k] > c->p.first_message_deliveries_cap) c->p2[k] = c->p.first_message_deliveries_cap;
}

void msub__ps_useful(msub__ps *ps, uint32_t r, uint32_t topic, uint32_t *hint) {
  uint32_t k;
  if (!slot_of(ps, r, topic, hint, &k)) return;
  count_p2(&ps->t[topic - 1], k);
  mark(ps, r, &ps->t[topic - 1], k, DIRTY);
}

void msub__ps_first(msub__ps *ps, uint32_t r, uint32_t topic, uint32_t *hint) {
  uint32_t k;
  if (!slot_of(ps, r, topic, hint, &k)) return;
  column *c = &ps->t[topic - 1];
  count_p2(c, k);
  if (c->flags[k] & IN_MESH) count_p3(c, k);
  mark(ps, r, c, k, DIRTY);
}

void msub__ps_copy(msub__ps *ps, uint32_t r, uint32_t topic, uint32_t *hint) {
  uint32_t k;
  if (!slot_of(ps, r, topic, hint, &k)) return;
  column *c = &ps->t[topic - 1];
  if (!(c->flags[k] & IN_MESH)) return;
  count_p3(c, k);
  mark(ps, r, c, k, DIRTY);
}

void msub__ps_invalid(msub__ps *ps, uint32_t r, uint32_t topic, uint32_t *hint) {
  uint32_t k;
  if (!slot_of(ps, r, topic, hint, &k)) return;
  column *c = &ps->t[topic - 1];
  c->p4[k] += 1;
  mark(ps, r, c, k, DIRTY | FELL);
}

void msub__ps_owes(msub__ps *ps, uint32_t r, uint32_t topic, uint32_t *hint, double n) {
  uint32_t k;
  if (!slot_of(ps, r, topic, hint, &k)) return;
  ps->t[topic - 1].p3b[k] += n;
  mark(ps, r, &ps->t[topic - 1], k, DIRTY | FELL);
}

static bool near_owing(const column *c, uint32_t k) { return c->flags[k] & IN_MESH && c->p3[k] < 2 * c->threshold; }

bool msub__ps_any_near_owing(const msub__ps *ps, uint32_t topic) {
  const column *c = column_of(ps, topic);
  return c && c->near;
}

bool msub__ps_near_owing(const msub__ps *ps, uint32_t r, uint32_t topic, const uint32_t *hint) {
  const column *c = column_of(ps, topic);
  uint32_t k;
  return c && c->near && r && r < ps->n_rows && find_slot(ps, r, topic, hint, &k) && near_owing(c, k);
}

/* ---- records ---- */

static uint64_t record_until(const msub__ps *ps, uint64_t now) {
  return msub__deadline(now, ps->p->record_ttl_ns ? ps->p->record_ttl_ns : 120 * MSUB__S);
}

void msub__ps_validate(msub__ps *ps, uint64_t hash, uint64_t now) {
  (void)msub__sr_get(&ps->records, &ps->mem, hash, record_until(ps, now));
}

/* The row of somebody noted in a record, if it is still the same peer. */
static uint32_t noted(const msub__ps *ps, const msub__sr_peer *s) {
  return s->row && s->row < ps->n_rows && ps->rows[s->row].serial == s->serial ? s->row : 0; /* without memory nobody has a row */
}

void msub__ps_deliver(msub__ps *ps, uint64_t hash, uint32_t r, uint32_t topic, uint32_t *hint, uint64_t now) {
  msub__ps_first(ps, r, topic, hint);
  msub__sr_record *d = msub__sr_get(&ps->records, &ps->mem, hash, record_until(ps, now));
  if (!d || d->status != MSUB__SR_OPEN) return;
  d->status = MSUB__SR_VALID;
  d->validated = now;
  for (uint32_t k = d->peers; k; k = ps->records.peers[k - 1].next) {
    uint32_t other = noted(ps, &ps->records.peers[k - 1]);
    if (other != r) msub__ps_copy(ps, other, topic, NULL);
  }
}

static void copy_of(msub__ps *ps, msub__sr_record *d, uint32_t r, uint32_t topic, uint32_t *hint, uint64_t now) {
  uint32_t serial = r && r < ps->n_rows ? ps->rows[r].serial : 0;
  const column *c = column_of(ps, topic);
  if (!d || msub__sr_noted(&ps->records, d, r, serial)) return;
  switch (d->status) {
  case MSUB__SR_OPEN: msub__sr_note(&ps->records, &ps->mem, d, r, serial); return;
  case MSUB__SR_VALID:
    msub__sr_note(&ps->records, &ps->mem, d, r, serial);
    if (c && now - d->validated <= c->p.mesh_message_deliveries_window_ns) msub__ps_copy(ps, r, topic, hint);
    return;
  case MSUB__SR_INVALID: msub__ps_invalid(ps, r, topic, hint); return;
  default: return;
  }
}

void msub__ps_duplicate(msub__ps *ps, uint64_t hash, uint32_t r, uint32_t topic, uint32_t *hint, uint64_t now) {
  copy_of(ps, msub__sr_get(&ps->records, &ps->mem, hash, record_until(ps, now)), r, topic, hint, now);
}
void msub__ps_again(msub__ps *ps, uint64_t hash, uint32_t r, uint32_t topic, uint32_t *hint, uint64_t now) {
  copy_of(ps, msub__sr_find(&ps->records, hash), r, topic, hint, now);
}

void msub__ps_reject(msub__ps *ps, uint64_t hash, uint32_t r, uint32_t topic, uint32_t *hint, uint64_t now, msub__ps_verdict v) {
  if (v == MSUB__PS_NOTHING) return;
  if (v == MSUB__PS_FORGED) {
    msub__ps_invalid(ps, r, topic, hint);
    return;
  }
  msub__sr_record *d = msub__sr_get(&ps->records, &ps->mem, hash, record_until(ps, now));
  if (!d || d->status != MSUB__SR_OPEN) return;
  if (v != MSUB__PS_INVALID) {
    d->status = v == MSUB__PS_IGNORED ? MSUB__SR_IGNORED : MSUB__SR_THROTTLED;
  } else {
    d->status = MSUB__SR_INVALID;
    msub__ps_invalid(ps, r, topic, hint);
    for (uint32_t k = d->peers; k; k = ps->records.peers[k - 1].next) msub__ps_invalid(ps, noted(ps, &ps->records.peers[k - 1]), topic, NULL);
  }
  msub__sr_unnote(&ps->records, d);
}

size_t msub__ps_records(const msub__ps *ps) { return msub__sr_count(&ps->records); }
void msub__ps_gc(msub__ps *ps, uint64_t now) {
  msub__sr_expire(&ps->records, &ps->mem, now);
  msub__so_expire(&ps->origins, &ps->addresses, &ps->mem, now);
}

void msub__ps_settle(msub__ps *ps, uint64_t now) {
  uint64_t window = 0;
  for (uint32_t i = 0; i < ps->n_topics; i++)
    if (ps->t[i].p.mesh_message_deliveries_window_ns > window) window = ps->t[i].p.mesh_message_deliveries_window_ns;
  msub__sr_settle(&ps->records, &ps->mem, now, window);
}

/* ---- time ---- */

/* Takes a column that nobody needs out of all rows. */
static void retire(msub__ps *ps, column *c) {
  uint32_t topic = (uint32_t)(c - ps->t) + 1;
  for (uint32_t k = 0; k < c->n; k++) {
    if (c->peer[k] == 0) continue;
    uint32_t *l = &ps->rows[c->peer[k]].first;
    while (*l != LINK(topic, k)) l = &ps->t[LINK_TOPIC(*l) - 1].next[LINK_SLOT(*l)];
    *l = c->next[k];
  }
  msub__free(&ps->mem, c->block, c->cap * SLOT_BYTES);
  *c = (column){ .name = c->name, .gone = true };
}

/* One column: what is connected decays, then all of it is summed up. */
static void refresh_column(msub__ps *ps, column *c, double zero, uint64_t now) {
  const msub_topic_score *p = &c->p;
  bool counts = false;
  for (uint32_t k = 0; k < c->n; k++) {
    uint8_t f = c->flags[k];
    if (!(f & ACTIVE)) continue;
    counts = true;
    if (f & SLOT_LIVE) {
      double p2 = c->p2[k] * p->first_message_deliveries_decay, p3 = c->p3[k] * p->mesh_message_deliveries_decay,
             p3b = c->p3b[k] * p->mesh_failure_penalty_decay, p4 = c->p4[k] * p->invalid_message_deliveries_decay;
      if (p2 < zero) p2 = 0;
      if (p3 < zero) p3 = 0;
      if (p3b < zero) p3b = 0;
      if (p4 < zero) p4 = 0;
      c->p2[k] = p2;
      c->p3[k] = p3;
      c->p3b[k] = p3b;
      c->p4[k] = p4;
      if (f & IN_MESH && now - c->graft[k] > p->mesh_message_deliveries_activation_ns) c->flags[k] = f = f | P3_ON;
      if (!(f & (IN_MESH | P3_ON)) && !(p2 > 0 || p3 > 0 || p3b > 0 || p4 > 0)) c->flags[k] = (uint8_t)(f & ~ACTIVE);
    }
  }
  c->threshold = threshold(c);
  c->near = false;
  if (c->threshold > 0 && p->mesh_message_deliveries_weight < 0)
    for (uint32_t k = 0; k < c->n && !c->near; k++) c->near = near_owing(c, k);
  for (uint32_t k = 0; k < c->n; k++)
    if (c->flags[k] & ACTIVE) add_topic(ps, &ps->rows[c->peer[k]], slot_score(ps, c, k));
  if (c->left && !c->pinned && !counts) retire(ps, c);
}

void msub__ps_refresh(msub__ps *ps, uint64_t now) {
  double zero = ps->p->decay_to_zero;
  for (uint32_t r = 1; r < ps->n_rows; r++) {
    row *w = &ps->rows[r];
    if (!(w->is & USED)) continue;
    if (!(w->is & LIVE) && w->until < now) {
      msub__ps_forget(ps, r);
      continue;
    }
    w->topic_sum = w->topic_debt = 0;
    w->is = (uint8_t)(w->is & ~(DIRTY | FELL));
    if (!(w->is & LIVE)) continue;
    if (w->inherited < 0) {
      w->inherited *= ps->p->address_decay;
      if (w->inherited > -zero) w->inherited = 0;
    }
    if (!(w->behaviour > 0)) continue;
    w->behaviour *= kept(ps->p->behaviour_penalty_decay);
    if (w->behaviour < zero) w->behaviour = 0;
  }
  ps->refreshed = now;
  for (uint32_t i = 0; i < ps->n_topics; i++) refresh_column(ps, &ps->t[i], zero, now);
}

/* ---- to look at ---- */

uint32_t msub__ps_rows(const msub__ps *ps) { return ps->n_rows - 1; }

bool msub__ps_look(msub__ps *ps, uint32_t r, msub_peer_score *out, msub_peer_topic_score *t, size_t cap) {
  if (r == 0 || r >= ps->n_rows || !(ps->rows[r].is & USED)) return false;
  const row *w = &ps->rows[r];
  *out = (msub_peer_score){ .peer = w->tag, .connected = w->is & LIVE, .score = msub__ps_score(ps, r), .app_specific = w->app,
                            .ip_colocation_factor = msub__sa_factor(&ps->addresses, w->addresses, ps->p->ip_colocation_factor_threshold),
                            .behaviour_penalty = w->behaviour, .topics = t, .inherited = w->inherited };
  for (uint32_t l = w->first; l && out->n_topics < cap;) {
    const column *c = &ps->t[LINK_TOPIC(l) - 1];
    uint32_t k = LINK_SLOT(l);
    bool in = c->flags[k] & IN_MESH;
    t[out->n_topics++] = (msub_peer_topic_score){
      .topic_name = c->name, .in_mesh = in, .mesh_message_deliveries_active = c->flags[k] & P3_ON,
      .time_in_mesh_ns = in && ps->refreshed > c->graft[k] ? ps->refreshed - c->graft[k] : 0,
      .first_message_deliveries = c->p2[k], .mesh_message_deliveries = c->p3[k], .mesh_failure_penalty = c->p3b[k],
      .invalid_message_deliveries = c->p4[k], .score = slot_score(ps, c, k) };
    l = c->next[k];
  }
  return true;
}
