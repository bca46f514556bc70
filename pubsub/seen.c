#include "pubsub/seen.h"
#include "base/assert.h"
#include "base/deadline.h"
#include <string.h>

#define SEGMENT 512u /* entries: 8 KiB, so that a quiet engine stays small */
#define SWEEP 8u

#define NUMBER(n) ((n) & 0xffffffu)
#define MOST 0xfffff0u /* entries */
#define EMPTY UINT32_MAX
#define FIRST_SLOTS 16u

static msub__seen_entry *entry(const msub__seen *s, uint32_t number) {
  uint32_t at = NUMBER(number - s->first) + s->offset;
  return &s->segments[(s->first_segment + at / SEGMENT) & (s->cap_segments - 1)][at % SEGMENT];
}

#define STATE UINT64_C(3)
static bool over(const msub__seen_entry *e, uint64_t now_ns) { return msub__passed(e->expiry & ~STATE, now_ns); }

/* ---- the index ---- */

/* 0 … 254, so that no slot is EMPTY. */
static uint32_t slot_of(uint64_t fp, uint32_t number) { return (uint32_t)((fp >> 56) % 255) << 24 | number; }
static uint32_t home(const msub__seen *s, uint64_t fp) { return (uint32_t)fp & (s->index_cap - 1); }

/* The place of the entry of this fingerprint, or EMPTY. */
static uint32_t find_slot(const msub__seen *s, uint64_t fp) {
  if (s->index_n == 0) return EMPTY;
  uint32_t tag = slot_of(fp, 0);
  for (uint32_t i = home(s, fp);; i = (i + 1) & (s->index_cap - 1)) {
    uint32_t slot = s->index[i];
    if (slot == EMPTY) return EMPTY;
    if ((slot & ~0xffffffu) == tag && entry(s, NUMBER(slot))->fp == fp) return i;
  }
}

static void put_slot(msub__seen *s, uint64_t fp, uint32_t number) {
  uint32_t i = home(s, fp);
  while (s->index[i] != EMPTY) i = (i + 1) & (s->index_cap - 1);
  s->index[i] = slot_of(fp, number);
  s->index_n++;
}

/* Closes the gap: what stands behind moves up as far as its home allows. */
static void free_slot(msub__seen *s, uint32_t gap) {
  uint32_t mask = s->index_cap - 1;
  for (uint32_t i = (gap + 1) & mask; s->index[i] != EMPTY; i = (i + 1) & mask) {
    uint32_t want = home(s, entry(s, NUMBER(s->index[i]))->fp);
    if (((i - want) & mask) < ((i - gap) & mask)) continue;
    s->index[gap] = s->index[i];
    gap = i;
  }
  s->index[gap] = EMPTY;
  s->index_n--;
}

/* Room for one more slot. */
static int reserve(msub__seen *s, const msub_mem *m) {
  if (s->index_n < s->index_cap - s->index_cap / 4) return MSUB_OK;
  uint32_t cap = s->index_cap ? s->index_cap * 2 : FIRST_SLOTS;
  uint32_t *index = msub__alloc(m, (size_t)cap * sizeof *index);
  if (!index) return MSUB_ERR_NOMEM;
  memset(index, 0xff, (size_t)cap * sizeof *index);
  msub__free(m, s->index, (size_t)s->index_cap * sizeof *index);
  s->index = index;
  s->index_cap = cap;
  s->index_n = 0;
  for (uint32_t i = 0; i < msub__seen_count(s); i++) {
    const msub__seen_entry *e = entry(s, NUMBER(s->first + i));
    if (e->expiry) put_slot(s, e->fp, NUMBER(s->first + i)); /* 0: a newer entry took its place */
  }
  return MSUB_OK;
}

/* The most entries whose ring and index fit: the index doubles, so the best of its sizes is looked for. */
static uint32_t entries_within(size_t max_bytes) {
  size_t best = SEGMENT;
  for (size_t slots = 16; slots <= ((size_t)1 << 30) && slots * sizeof(uint32_t) < max_bytes; slots *= 2) {
    /* Segments with their pointers, whose array doubles; the first and the last one may be used in part. */
    size_t segments = (max_bytes - slots * sizeof(uint32_t)) / (SEGMENT * sizeof(msub__seen_entry) + 2 * sizeof(void *));
    size_t n = segments > 1 ? (segments - 1) * SEGMENT : 0;
    if (n > slots / 4 * 3) n = slots / 4 * 3;
    if (n > best) best = n;
  }
  return best < MOST ? (uint32_t)best : MOST;
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
  msub__free(m, s->index, (size_t)s->index_cap * sizeof *s->index);
  *s = (msub__seen){ .ttl_ns = s->ttl_ns, .max_entries = s->max_entries };
}

size_t msub__seen_bytes(const msub__seen *s) {
  return (size_t)s->n_segments * SEGMENT * sizeof(msub__seen_entry) + s->cap_segments * sizeof *s->segments +
         (size_t)s->index_cap * sizeof *s->index;
}

static msub__seen_entry *find(const msub__seen *s, uint64_t fp) {
  uint32_t slot = find_slot(s, fp);
  return slot == EMPTY ? NULL : entry(s, NUMBER(s->index[slot]));
}

msub__seen_state msub__seen_find(const msub__seen *s, uint64_t fp, uint64_t now_ns) {
  const msub__seen_entry *e = find(s, fp);
  return !e || over(e, now_ns) ? MSUB__UNSEEN : (msub__seen_state)(e->expiry & STATE);
}

static void pop(msub__seen *s, const msub_mem *m) {
  const msub__seen_entry *e = entry(s, s->first);
  if (e->expiry) free_slot(s, find_slot(s, e->fp)); /* 0: a newer entry took its place */
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
  msub__seen_entry *old = find(s, fp);
  if (old && !over(old, now_ns)) {
    if (state == MSUB__SEEN_ACCEPTED) old->expiry |= MSUB__SEEN_ACCEPTED;
    return MSUB_OK;
  }
  if (old) {
    free_slot(s, find_slot(s, fp));
    old->expiry = 0;
  }
  while (msub__seen_count(s) >= s->max_entries) {
    pop(s, m);
    (*evicted)++;
  }
  int rc = reserve(s, m);
  if (rc == MSUB_OK) rc = room(s, m);
  if (rc != MSUB_OK) return rc;
  uint64_t expiry = (msub__deadline(now_ns, s->ttl_ns) & ~STATE) | state;
  uint32_t at = msub__seen_count(s) + s->offset;
  s->segments[(s->first_segment + at / SEGMENT) & (s->cap_segments - 1)][at % SEGMENT] =
      (msub__seen_entry){ fp, expiry };
  uint32_t number = s->next;
  s->next = NUMBER(s->next + 1);
  put_slot(s, fp, number);
  return MSUB_OK;
}
