/* routers/gossipsub/gater.c: counters of messages by the address that they came from.
 *
 *     peer block ─▶ source        index: key → source      key: hash of the address, or of the id of a peer that has none
 *
 *     e[]  ┌ common ┐┌ in use ┐┌ kept ┐┌ free ┐ …          in use: peers are connected from there
 *     oldest ─▶ kept ─▶ … ◀─ newest                        by the time of their end, which comes in the order in which they are left
 *
 * The common one takes those for whom there is no place or no memory. A peer's key outlives its session for a while, so that who
 * leaves before the verdict on its messages does not get away with them. An outer router may keep operations from us: a session that was
 * not shown has no source and is always heard, one whose end was not shown ends with its peer block. */
#include "base/table.h"
#include "routers/gossipsub/gater.h"
#include "routers/gossipsub/gossipsub.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct source {
  double delivered, duplicates, ignored, rejected;
  uint64_t key;      /* 0: free, or the common one */
  uint64_t until;    /* of a kept one */
  uint32_t sessions; /* 0: kept */
  uint32_t prev, next; /* index + 1, of the kept ones; next: of the free ones */
} source;
struct msub__gs_gater {
  double validated, throttled;
  uint64_t last_throttled, next_decay;
  source *e;
  uint32_t used, cap, free, live; /* entries that ever were; live: with a key */
  uint32_t oldest, newest;
  msub__table index;
};
#define COMMON 0u

/* The peer block with the gater on. */
typedef struct gated { msub__gs_peer p; uint32_t source; /* index + 1; 0: no session */ uint64_t key; } gated;

static struct msub__gs_gater *gater_of(const msub_router *r) { return msub__gs_of(r)->gater; }
static const msub_gossipsub_gater *opts_of(const msub_router *r) { return &msub__gs_opts(r)->gater; }

/* ---- options ---- */

/* One rule: where it is broken, says of which field and value. */
static const char *rule(bool holds, const char *text, char *where, const char *field, double value) {
  if (!holds && where) snprintf(where, 96, "%s %.17g", field, value);
  return holds ? NULL : text;
}
#define RULE(field, holds, text)                                                                             \
  do {                                                                                                       \
    double x = (double)(o->field);                                                                           \
    const char *broken = rule(isfinite(x) && (holds), "gater: " text, where, "gater." #field, x);           \
    if (broken) return broken;                                                                               \
  } while (0)

const char *msub_gossipsub_gater_fault(const msub_gossipsub_gater *o, char where[96]) {
  if (!o->on) return NULL;
  RULE(threshold, x > 0, "threshold > 0");
  RULE(global_decay, x > 0 && x < 1, "0 < global_decay < 1");
  RULE(source_decay, x > 0 && x < 1, "0 < source_decay < 1");
  RULE(decay_to_zero, x > 0 && x < 1, "0 < decay_to_zero < 1");
  RULE(decay_interval_ns, o->decay_interval_ns >= MSUB__S, "decay_interval_ns >= 1 s");
  RULE(quiet_ns, o->quiet_ns >= MSUB__S, "quiet_ns >= 1 s");
  RULE(duplicate_weight, x > 0, "duplicate_weight > 0");
  RULE(ignore_weight, x >= 1, "ignore_weight >= 1");
  RULE(reject_weight, x >= 1, "reject_weight >= 1");
  RULE(n_topics, o->n_topics <= MSUB__GS_GATER_TOPICS, "n_topics <= 1024");
  RULE(n_topics, !o->n_topics || o->topics, "topics with n_topics");
  for (size_t i = 0; i < o->n_topics; i++) {
    RULE(topics[i].topic.n, o->topics[i].topic.n && o->topics[i].topic.p, "every one of topics has a name");
    RULE(topics[i].weight, x >= 0, "topics: weight >= 0");
  }
  return NULL;
}

size_t msub__gs_gater_block(const msub_gossipsub_gater *o) { return o->on ? sizeof(gated) - sizeof(msub__gs_peer) : 0; }

/* What a delivery on the topic counts. The topic block remembers where its weight stands. */
static double weight_of(const msub_router *r, msub_topic t) {
  const msub_gossipsub_gater *o = opts_of(r);
  msub__gs_topic *tt = msub__gs_topic_of(r, t);
  if (!o->n_topics || !tt) return 1;
  if (!tt->weight) {
    msub_bytes name = msub_r_name_bytes(r, msub_r_name(r, t));
    size_t i = 0;
    while (i < o->n_topics && !msub_bytes_eq(o->topics[i].topic, name)) i++;
    tt->weight = (uint16_t)(i + 1);
  }
  double w = tt->weight <= o->n_topics ? o->topics[tt->weight - 1].weight : 0;
  return w > 0 ? w : 1;
}

/* ---- sources ---- */

/* A path to ourselves is shared by whoever comes along it. */
static bool is_loopback(msub_bytes a) {
  static const uint8_t loopback6[16] = { [15] = 1 };
  return a.n == 4 ? a.p[0] == 127 : memcmp(a.p, loopback6, 16) == 0;
}

static uint64_t key_of(const msub_router *r, msub_peer p, msub_bytes a) {
  static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
  bool parity = msub__gs_of(r)->parity;
  uint8_t b[1 + 64];
  if (a.n == 16 && memcmp(a.p, mapped, sizeof mapped) == 0) a = (msub_bytes){ a.p + 12, 4 };
  if (a.n != 4 && a.n != 16) a.n = 0;
  if (a.n && !parity && is_loopback(a)) a.n = 0;
  if (a.n == 16 && !parity) a.n = 8; /* one customer has all of it */
  b[0] = (uint8_t)a.n;
  if (!a.n) a = msub_r_peer_id(r, p);
  if (a.n > 64) a.n = 64;
  memcpy(b + 1, a.p, a.n);
  uint64_t key = msub_r_hash(r, (msub_bytes){ b, 1 + a.n });
  return key ? key : 1;
}

static bool same(const void *ctx, uint32_t value, const void *key) {
  return ((const struct msub__gs_gater *)ctx)->e[value].key == *(const uint64_t *)key;
}
static uint32_t find(const struct msub__gs_gater *g, uint64_t key) { return msub__table_find(&g->index, key, same, g, &key); }

static void keep(struct msub__gs_gater *g, uint32_t i, uint64_t until) {
  source *s = &g->e[i];
  s->until = until;
  s->prev = g->newest;
  s->next = 0;
  if (g->newest) g->e[g->newest - 1].next = i + 1;
  else g->oldest = i + 1;
  g->newest = i + 1;
}
static void unkeep(struct msub__gs_gater *g, uint32_t i) {
  const source *s = &g->e[i];
  if (s->prev) g->e[s->prev - 1].next = s->next;
  else g->oldest = s->next;
  if (s->next) g->e[s->next - 1].prev = s->prev;
  else g->newest = s->prev;
}

static void drop_oldest(struct msub__gs_gater *g) {
  uint32_t i = g->oldest - 1;
  unkeep(g, i);
  (void)msub__table_remove(&g->index, g->e[i].key, i);
  g->e[i] = (source){ .next = g->free };
  g->free = i + 1;
  g->live--;
}

/* A place for a new source; COMMON: there is none. */
static uint32_t take(msub_router *r, struct msub__gs_gater *g) {
  if (!g->free && g->used == 1 + MSUB__GS_GATER_SOURCES && g->oldest) drop_oldest(g);
  if (g->free) {
    uint32_t i = g->free - 1;
    g->free = g->e[i].next;
    return i;
  }
  if (g->used == 1 + MSUB__GS_GATER_SOURCES) return COMMON;
  if (g->used == g->cap) {
    source *bigger = msub__realloc(msub_r_mem(r), g->e, g->cap * sizeof *bigger, 2 * (size_t)g->cap * sizeof *bigger);
    if (!bigger) return COMMON;
    g->e = bigger;
    g->cap *= 2;
  }
  return g->used++;
}

static uint32_t find_or_make(msub_router *r, struct msub__gs_gater *g, uint64_t key) {
  uint32_t i = find(g, key);
  if (i != MSUB__NONE) return i;
  i = msub__table_reserve(&g->index, msub_r_mem(r)) == MSUB_OK ? take(r, g) : COMMON;
  if (i == COMMON) return i;
  g->e[i] = (source){ .key = key };
  int rc = msub__table_insert(&g->index, msub_r_mem(r), key, i);
  MSUB__INVARIANT(rc == MSUB_OK);
  g->live++;
  keep(g, i, msub_r_mono(r));
  return i;
}

static void leave(msub_router *r, gated *b) {
  struct msub__gs_gater *g = gater_of(r);
  if (!b->source) return;
  uint32_t i = b->source - 1;
  b->source = 0;
  if (--g->e[i].sessions == 0 && i != COMMON) keep(g, i, msub__deadline(msub_r_mono(r), opts_of(r)->retain_ns));
}

static void enter(msub_router *r, gated *b, uint64_t key) {
  struct msub__gs_gater *g = gater_of(r);
  leave(r, b);
  uint32_t i = find_or_make(r, g, key);
  if (g->e[i].sessions++ == 0 && i != COMMON) unkeep(g, i);
  b->source = i + 1;
  b->key = key;
}

/* Of a peer, connected or gone; NULL: nothing is known. */
static source *source_of(const msub_router *r, msub_peer p) {
  struct msub__gs_gater *g = gater_of(r);
  msub_session s = msub_r_session_of(r, p);
  const gated *b = s.v ? msub_r_peer(r, s) : msub_r_departed(r, p);
  uint32_t i = !b ? MSUB__NONE : b->source ? b->source - 1 : b->key ? find(g, b->key) : MSUB__NONE;
  return i == MSUB__NONE ? NULL : &g->e[i];
}

/* ---- sessions ---- */

int msub__gs_gater_init(msub_router *r) {
  const msub_gossipsub_gater *o = opts_of(r);
  if (!o->on) return MSUB_OK;
  struct msub__gs_gater *g = msub__zalloc(msub_r_mem(r), 1, sizeof *g);
  msub__gs_of(r)->gater = g;
  if (!g) return MSUB_ERR_NOMEM;
  g->e = msub__zalloc(msub_r_mem(r), 4, sizeof *g->e);
  if (!g->e) return MSUB_ERR_NOMEM;
  g->cap = 4;
  g->used = 1 + COMMON;
  g->next_decay = msub__deadline(msub_r_mono(r), o->decay_interval_ns);
  return MSUB_OK;
}

void msub__gs_gater_fini(msub_router *r) {
  struct msub__gs_gater *g = gater_of(r);
  if (!g) return;
  msub__free(msub_r_mem(r), g->e, g->cap * sizeof *g->e);
  msub__table_fini(&g->index, msub_r_mem(r));
  msub__free(msub_r_mem(r), g, sizeof *g);
  msub__gs_of(r)->gater = NULL;
}

void msub__gs_gater_up(msub_router *r, msub_session s, msub_bytes address) {
  if (!gater_of(r)) return;
  enter(r, msub_r_peer(r, s), key_of(r, msub_r_session_peer(r, s), address));
}

void msub__gs_gater_moved(msub_router *r, msub_session s, msub_bytes address) {
  if (!gater_of(r)) return;
  gated *b = msub_r_peer(r, s);
  uint64_t key = key_of(r, msub_r_session_peer(r, s), address);
  if (key != b->key || !b->source) enter(r, b, key);
}

uint64_t msub__gs_gater_down(msub_router *r, msub_session s) {
  if (!gater_of(r)) return 0;
  gated *b = msub_r_peer(r, s);
  leave(r, b);
  return b->key ? msub__deadline(msub_r_mono(r), MSUB__GS_GATER_LATE) : 0;
}

void msub__gs_gater_forget(msub_router *r, msub__gs_peer *p) {
  if (gater_of(r)) leave(r, (gated *)(void *)p);
}

/* ---- hearing ---- */

static double odds(const msub_router *r, const source *s) {
  const struct msub__gs_gater *g = gater_of(r);
  const msub_gossipsub_gater *o = opts_of(r);
  if (!(g->throttled > 0) || msub_r_mono(r) - g->last_throttled > o->quiet_ns) return 1;
  if (g->validated > 0 && g->throttled / g->validated < o->threshold) return 1;
  if (!s) return 1;
  double total = s->delivered + o->duplicate_weight * s->duplicates + o->ignore_weight * s->ignored + o->reject_weight * s->rejected;
  return total > 0 ? (1 + s->delivered) / (1 + total) : 1;
}

double msub__gs_gater_odds(const msub_router *r, msub_peer p) { return gater_of(r) ? odds(r, source_of(r, p)) : 1; }

bool msub__gs_gater_hears(msub_router *r, msub_session s) {
  const struct msub__gs_gater *g = gater_of(r);
  if (!g || !(g->throttled > 0)) return true;
  const uint32_t range = UINT32_C(1) << 31;
  const gated *b = msub_r_peer(r, s);
  double p = odds(r, b->source ? &g->e[b->source - 1] : NULL);
  return p >= 1 || msub_r_rand(r, MSUB__GS_RNG_GATER, range) < p * range;
}

void msub__gs_gater_arrived(msub_router *r) {
  struct msub__gs_gater *g = gater_of(r);
  if (g) g->validated++;
}

static void throttled(msub_router *r, struct msub__gs_gater *g) {
  g->throttled++;
  g->last_throttled = msub_r_mono(r);
}

void msub__gs_gater_validated(msub_router *r, msub_topic t, const msub_peer *from, size_t n, msub_verdict v, int reason) {
  struct msub__gs_gater *g = gater_of(r);
  if (!g) return;
  source *s = n ? source_of(r, from[0]) : NULL;
  if (v == MSUB_THROTTLED || reason == MSUB_R_TIMEOUT) throttled(r, g); /* nobody's fault but ours */
  else if (s && v == MSUB_ACCEPT) s->delivered += weight_of(r, t);
  else if (s && v == MSUB_REJECT) s->rejected++;
  else if (s && v == MSUB_IGNORE && reason != MSUB_R_LEFT) s->ignored++;
  for (size_t i = 1; i < n; i++)
    if ((s = source_of(r, from[i]))) s->duplicates++;
}

void msub__gs_gater_duplicate(msub_router *r, msub_session from) {
  struct msub__gs_gater *g = gater_of(r);
  const gated *b = g ? msub_r_peer(r, from) : NULL;
  if (b && b->source) g->e[b->source - 1].duplicates++;
}

/* ---- time ---- */

static void fade(double *x, double by, double to_zero) {
  *x *= by;
  if (*x < to_zero) *x = 0;
}

void msub__gs_gater_decay(msub_router *r) {
  struct msub__gs_gater *g = gater_of(r);
  const msub_gossipsub_gater *o = opts_of(r);
  fade(&g->validated, o->global_decay, o->decay_to_zero);
  fade(&g->throttled, o->global_decay, o->decay_to_zero);
  for (uint32_t i = 0; i < g->used; i++) {
    source *s = &g->e[i];
    if (!s->sessions && i != COMMON) continue;
    fade(&s->delivered, o->source_decay, o->decay_to_zero);
    fade(&s->duplicates, o->source_decay, o->decay_to_zero);
    fade(&s->ignored, o->source_decay, o->decay_to_zero);
    fade(&s->rejected, o->source_decay, o->decay_to_zero);
  }
  while (g->oldest && g->e[g->oldest - 1].until < msub_r_mono(r)) drop_oldest(g);
}

uint64_t msub__gs_gater_deadline(const msub_router *r) {
  const struct msub__gs_gater *g = gater_of(r);
  return g ? g->next_decay : MSUB_NEVER;
}

void msub__gs_gater_advance(msub_router *r) {
  struct msub__gs_gater *g = gater_of(r);
  uint64_t now = msub_r_mono(r), interval = opts_of(r)->decay_interval_ns;
  if (!g || !msub__passed(g->next_decay, now)) return;
  /* Missed ones are not made up for. */
  g->next_decay = msub__deadline(g->next_decay + (now - g->next_decay) / interval * interval, interval);
  msub__gs_gater_decay(r);
}

/* ---- telling ---- */

int msub__gs_gater_tell(msub_router *r, const void *arg, size_t n) {
  const struct msub__gs_gater *g = gater_of(r);
  msub_gossipsub_gate *to;
  if (!g) return MSUB_ERR_UNSUPPORTED;
  if (n != sizeof to) return MSUB_ERR_INVAL;
  memcpy(&to, arg, n);
  msub_peer p = msub_r_peer_known(r, to->peer);
  const source *s = p.v ? source_of(r, p) : NULL;
  if (!s) return MSUB_ERR_NOTFOUND;
  *to = (msub_gossipsub_gate){ .peer = to->peer, .odds = odds(r, s), .validated = g->validated, .throttled = g->throttled,
                               .delivered = s->delivered, .duplicates = s->duplicates, .ignored = s->ignored, .rejected = s->rejected,
                               .sessions = s->sessions, .addresses = g->live };
  return MSUB_OK;
}
