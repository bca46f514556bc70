#include "pubsub/seen.h"
#include "base/assert.h"
#include "base/deadline.h"
#include <string.h>

#define SEGMENT 512u /* entries: 8 KiB, so that a quiet engine stays small */
#define SWEEP 8u

/* Numbers count modulo 2^31, so that none of them is the table's "none". */
#define NUMBER(n) ((n) & INT32_MAX)

static msub__seen_entry *entry(const msub__seen *s, uint32_t number) {
  uint32_t at = NUMBER(number - s->first) + s->offset;
  return &s->segments[(s->first_segment + at / SEGMENT) & (s->cap_segments - 1)][at % SEGMENT];
}

#define STATE UINT64_C(3)
static bool over(const msub__seen_entry *e, uint64_t now_ns) { return msub__passed(e->expiry & ~STATE, now_ns); }

static bool same(const void *ctx, uint32_t value, const void *key) {
  const msub__seen *s = ctx;
  const uint64_t *fp = key;
  return entry(s, value)->fp == *fp;
}

/* The most entries whose ring and index fit: the index doubles, so the best of its sizes is looked for. */
static uint32_t entries_within(size_t max_bytes) {
  size_t best = SEGMENT;
  for (size_t slots = 16; slots <= ((size_t)1 << 30) && slots * sizeof(msub__slot) < max_bytes; slots *= 2) {
    size_t n = (max_bytes - slots * sizeof(msub__slot)) / sizeof(msub__seen_entry);
    if (n > slots / 4 * 3) n = slots / 4 * 3;
    if (n > best) best = n;
  }
  return (uint32_t)best;
}

void msub__seen_init(msub__seen *s, uint64_t ttl_ns, size_t max_bytes) {
  memset(s, 0, sizeof *s);
  s->ttl_ns = ttl_ns;
  s->max_entries = entries_within(max_bytes);
}

void msub__seen_fini(msub__seen *s, const msub_mem *m) {
  for (uint32_t i = 0; i < s->n_segments; i++)
    msub__free(m, s->segments[(s->first_segment + i) & (s->cap_segments - 1)], SEGMENT * sizeof(msub__seen_entry));
  msub__free(m, s->segments, s->cap_segments * sizeof *s->segments);
  msub__table_fini(&s->index, m);
  *s = (msub__seen){ .ttl_ns = s->ttl_ns, .max_entries = s->max_entries };
}

size_t msub__seen_bytes(const msub__seen *s) {
  return (size_t)s->n_segments * SEGMENT * sizeof(msub__seen_entry) + s->cap_segments * sizeof *s->segments +
         msub__table_bytes(&s->index);
}

static uint32_t find(const msub__seen *s, uint64_t fp) {
  return s->index.n ? msub__table_find(&s->index, fp, same, s, &fp) : MSUB__NONE;
}

msub__seen_state msub__seen_find(const msub__seen *s, uint64_t fp, uint64_t now_ns) {
  uint32_t number = find(s, fp);
  if (number == MSUB__NONE) return MSUB__UNSEEN;
  const msub__seen_entry *e = entry(s, number);
  return over(e, now_ns) ? MSUB__UNSEEN : (msub__seen_state)(e->expiry & STATE);
}

static void pop(msub__seen *s, const msub_mem *m) {
  const msub__seen_entry *e = entry(s, s->first);
  msub__table_remove(&s->index, e->fp, s->first); /* absent when a newer entry took its place */
  s->first = NUMBER(s->first + 1);
  if (++s->offset == SEGMENT || s->first == s->next) {
    msub__free(m, s->segments[s->first_segment], SEGMENT * sizeof(msub__seen_entry));
    s->segments[s->first_segment] = NULL;
    s->first_segment = (s->first_segment + 1) & (s->cap_segments - 1);
    s->n_segments--;
    s->offset = 0;
    MSUB__INVARIANT(s->first != s->next || s->n_segments == 0);
  }
}

void msub__seen_sweep(msub__seen *s, const msub_mem *m, uint64_t now_ns, unsigned max) {
  while (max-- && s->first != s->next && over(entry(s, s->first), now_ns)) pop(s, m);
}

static int grow(msub__seen *s, const msub_mem *m) {
  uint32_t cap = s->cap_segments ? s->cap_segments * 2 : 4;
  msub__seen_entry **p = msub__zalloc(m, cap, sizeof *p);
  if (!p) return MSUB_ERR_NOMEM;
  for (uint32_t i = 0; i < s->n_segments; i++) p[i] = s->segments[(s->first_segment + i) & (s->cap_segments - 1)];
  msub__free(m, s->segments, s->cap_segments * sizeof *p);
  s->segments = p;
  s->cap_segments = cap;
  s->first_segment = 0;
  return MSUB_OK;
}

/* Room for one more entry behind the last one. */
static int room(msub__seen *s, const msub_mem *m) {
  uint32_t at = msub__seen_count(s) + s->offset;
  if (at < s->n_segments * SEGMENT) return MSUB_OK;
  if (s->n_segments == s->cap_segments) {
    int rc = grow(s, m);
    if (rc != MSUB_OK) return rc;
  }
  msub__seen_entry *seg = msub__alloc(m, SEGMENT * sizeof *seg);
  if (!seg) return MSUB_ERR_NOMEM;
  s->segments[(s->first_segment + s->n_segments++) & (s->cap_segments - 1)] = seg;
  return MSUB_OK;
}

int msub__seen_add(msub__seen *s, const msub_mem *m, uint64_t fp, msub__seen_state state, uint64_t now_ns, uint64_t *evicted) {
  msub__seen_sweep(s, m, now_ns, SWEEP);
  uint32_t old = find(s, fp);
  if (old != MSUB__NONE) {
    if (!over(entry(s, old), now_ns)) {
      if (state == MSUB__SEEN_ACCEPTED) entry(s, old)->expiry |= MSUB__SEEN_ACCEPTED;
      return MSUB_OK;
    }
    msub__table_remove(&s->index, fp, old);
  }
  while (msub__seen_count(s) >= s->max_entries) {
    pop(s, m);
    (*evicted)++;
  }
  int rc = msub__table_reserve(&s->index, m);
  if (rc == MSUB_OK) rc = room(s, m);
  if (rc != MSUB_OK) return rc;
  uint64_t expiry = (msub__deadline(now_ns, s->ttl_ns) & ~STATE) | state;
  uint32_t at = msub__seen_count(s) + s->offset;
  s->segments[(s->first_segment + at / SEGMENT) & (s->cap_segments - 1)][at % SEGMENT] =
      (msub__seen_entry){ fp, expiry };
  rc = msub__table_insert(&s->index, m, fp, s->next);
  MSUB__INVARIANT(rc == MSUB_OK);
  s->next = NUMBER(s->next + 1);
  return MSUB_OK;
}
