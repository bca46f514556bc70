/* validators/rate.c: token buckets as one number each: the time at which the bucket is full again. A message may pass while that is less
 * than a whole bucket away, and moves it on by one interval. */
#include "base/deadline.h"
#include "base/table.h"
#include "meshsub/validators.h"
#include <string.h>

#define LOOKS 16u /* places that are looked at for one whose bucket is full again */

typedef struct bucket { uint64_t full_at; uint32_t key; } bucket;
typedef struct buckets {
  bucket *b;
  uint32_t n, cap, max, hand;
  uint64_t interval, span; /* span: all tokens but one */
  msub__table table;
} buckets;

struct msub_rate {
  msub_mem mem;
  const msub_engine *engine;
  buckets senders, topics;
  msub_verdict verdict;
  uint64_t refused;
};

void msub_rate_opts_init(msub_rate_opts *o) {
  *o = (msub_rate_opts){ .size = sizeof *o, .sender_interval_ns = 10000000, .sender_burst = 200, .topic_burst = 1000, .max_senders = 4096,
                         .max_topics = 1024, .verdict = MSUB_THROTTLED };
}

static bool set(buckets *b, uint64_t interval, uint32_t burst, uint32_t max) {
  if (burst == 0 || max == 0 || interval > UINT64_MAX / 4 / burst) return false;
  *b = (buckets){ .max = max, .interval = interval, .span = interval * (burst - 1) };
  return true;
}

int msub_rate_new(const msub_rate_opts *o, msub_rate **out) {
  msub_rate r = { .mem = o->mem ? *o->mem : msub__mem_default(), .engine = o->engine, .verdict = o->verdict };
  *out = NULL;
  if (o->size != sizeof *o || !o->engine || (o->verdict != MSUB_THROTTLED && o->verdict != MSUB_IGNORE)) return MSUB_ERR_INVAL;
  if (!set(&r.senders, o->sender_interval_ns, o->sender_burst, o->max_senders) ||
      !set(&r.topics, o->topic_interval_ns, o->topic_burst, o->max_topics))
    return MSUB_ERR_INVAL;
  *out = msub__alloc(&r.mem, sizeof r);
  if (!*out) return MSUB_ERR_NOMEM;
  **out = r;
  return MSUB_OK;
}

static void fini(const msub_mem *m, buckets *b) {
  msub__free(m, b->b, b->cap * sizeof *b->b);
  msub__table_fini(&b->table, m);
}

void msub_rate_free(msub_rate *r) {
  if (!r) return;
  msub_mem mem = r->mem;
  fini(&mem, &r->senders);
  fini(&mem, &r->topics);
  msub__free(&mem, r, sizeof *r);
}

/* Keys are numbers that the engine gives: nobody can choose them to collide. */
static uint64_t hash_of(uint32_t key) {
  uint64_t x = (key + 1) * UINT64_C(0x9e3779b97f4a7c15);
  return (x ^ x >> 32) * UINT64_C(0xbf58476d1ce4e5b9);
}
static bool same(const void *ctx, uint32_t i, const void *key) { return ((const bucket *)ctx)[i].key == *(const uint32_t *)key; }

/* The place of the one that makes room. */
static uint32_t evict(buckets *b, uint64_t now) {
  uint32_t at = b->hand % b->n;
  for (uint32_t k = 0; k < LOOKS && k < b->n; k++) {
    uint32_t i = (b->hand + k) % b->n;
    if (b->b[i].full_at <= now) {
      at = i;
      break;
    }
  }
  b->hand = at + 1;
  (void)msub__table_remove(&b->table, hash_of(b->b[at].key), at);
  return at;
}

/* NULL: no memory. */
static bucket *bucket_of(const msub_mem *m, buckets *b, uint32_t key, uint64_t now) {
  uint32_t i = msub__table_find(&b->table, hash_of(key), same, b->b, &key);
  if (i != MSUB__NONE) return &b->b[i];
  if (msub__table_reserve(&b->table, m) != MSUB_OK) return NULL;
  if (b->n == b->max) i = evict(b, now);
  else {
    if (b->n == b->cap) {
      uint32_t cap = b->cap ? b->cap * 2 : 16;
      if (cap > b->max) cap = b->max;
      bucket *more = msub__realloc(m, b->b, b->cap * sizeof *more, cap * sizeof *more);
      if (!more) return NULL;
      b->b = more;
      b->cap = cap;
    }
    i = b->n++;
  }
  b->b[i] = (bucket){ now, key };
  return msub__table_insert(&b->table, m, hash_of(key), i) == MSUB_OK ? &b->b[i] : NULL;
}

static bool has_token(const buckets *b, const bucket *k, uint64_t now) { return k->full_at <= now || k->full_at - now <= b->span; }
static void spend(const buckets *b, bucket *k, uint64_t now) { k->full_at = msub__deadline(k->full_at > now ? k->full_at : now, b->interval); }

static msub_verdict judge(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job) {
  msub_rate *r = ud;
  (void)token, (void)job;
  if (from.v == 0) return MSUB_ACCEPT;
  uint64_t now = msub_engine_now(r->engine)->mono_ns;
  bucket *s = r->senders.interval ? bucket_of(&r->mem, &r->senders, from.v, now) : NULL;
  bucket *t = r->topics.interval ? bucket_of(&r->mem, &r->topics, m->topic_name, now) : NULL;
  bool no_memory = (r->senders.interval && !s) || (r->topics.interval && !t);
  if (no_memory || (s && !has_token(&r->senders, s, now)) || (t && !has_token(&r->topics, t, now))) {
    r->refused++;
    return r->verdict;
  }
  if (s) spend(&r->senders, s, now);
  if (t) spend(&r->topics, t, now);
  return MSUB_ACCEPT;
}

msub_validator_opts msub_rate_validator(msub_rate *r) {
  msub_validator_opts o;
  msub_validator_opts_init(&o);
  o.name = "rate";
  o.fn = judge;
  o.ud = r;
  return o;
}
uint64_t msub_rate_refused(const msub_rate *r) { return r->refused; }
