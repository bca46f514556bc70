#include "routers/gossipsub/score_records.h"
#include "base/assert.h"
#include "routers/gossipsub/limits.h"

#define NUMBER(n) ((n) & INT32_MAX)
static msub__sr_record *at(const msub__sr *s, uint32_t number) { return msub__ring_at(&s->ring, NUMBER(number - s->first)); }
static bool same(const void *ctx, uint32_t number, const void *key) { return at(ctx, number)->hash == *(const uint64_t *)key; }

void msub__sr_init(msub__sr *s) {
  *s = (msub__sr){ 0 };
  msub__ring_init(&s->ring, sizeof(msub__sr_record));
}

void msub__sr_fini(msub__sr *s, const msub_mem *mem) {
  msub__ring_fini(&s->ring, mem);
  msub__table_fini(&s->index, mem);
  msub__free(mem, s->peers, s->cap_peers * sizeof *s->peers);
  s->peers = NULL;
}

size_t msub__sr_bytes(const msub__sr *s) {
  return s->ring.cap * sizeof(msub__sr_record) + msub__table_bytes(&s->index) + s->cap_peers * sizeof *s->peers;
}
size_t msub__sr_count(const msub__sr *s) { return s->index.n; }

msub__sr_record *msub__sr_find(const msub__sr *s, uint64_t hash) {
  uint32_t n = msub__table_find(&s->index, hash, same, s, &hash);
  return n == MSUB__NONE ? NULL : at(s, n);
}

void msub__sr_unnote(msub__sr *s, msub__sr_record *d) {
  if (!d->peers) return;
  uint32_t last = d->peers;
  while (s->peers[last - 1].next) last = s->peers[last - 1].next;
  s->peers[last - 1].next = s->free_peer;
  s->free_peer = d->peers;
  d->peers = 0;
}

static void pop(msub__sr *s) {
  msub__sr_record *d = msub__ring_front(&s->ring);
  if (d->status != MSUB__SR_SETTLED) {
    (void)msub__table_remove(&s->index, d->hash, s->first);
    msub__sr_unnote(s, d);
  }
  msub__ring_pop(&s->ring);
  if (s->settled == s->first) s->settled = NUMBER(s->first + 1);
  s->first = NUMBER(s->first + 1);
}

msub__sr_record *msub__sr_get(msub__sr *s, const msub_mem *mem, uint64_t hash, uint64_t until) {
  msub__sr_record *d = msub__sr_find(s, hash);
  if (d) return d;
  if (s->ring.n == MSUB__GS_RECORDS) pop(s);
  if (msub__table_reserve(&s->index, mem) != MSUB_OK || !(d = msub__ring_push(&s->ring, mem))) return NULL;
  *d = (msub__sr_record){ .hash = hash, .until = until };
  int rc = msub__table_insert(&s->index, mem, hash, NUMBER(s->first + s->ring.n - 1));
  MSUB__INVARIANT(rc == MSUB_OK);
  return d;
}

bool msub__sr_noted(const msub__sr *s, const msub__sr_record *d, uint32_t row, uint32_t serial) {
  for (uint32_t k = d->peers; k; k = s->peers[k - 1].next)
    if (s->peers[k - 1].row == row && s->peers[k - 1].serial == serial) return true;
  return false;
}

void msub__sr_note(msub__sr *s, const msub_mem *mem, msub__sr_record *d, uint32_t row, uint32_t serial) {
  uint32_t k = s->free_peer;
  if (k) {
    s->free_peer = s->peers[k - 1].next;
  } else {
    if (s->n_peers == s->cap_peers) {
      uint32_t cap = s->cap_peers ? s->cap_peers * 2 : 16;
      msub__sr_peer *more = cap <= MSUB__GS_RECORD_PEERS ? msub__realloc(mem, s->peers, s->cap_peers * sizeof *more, cap * sizeof *more) : NULL;
      if (!more) return;
      s->peers = more;
      s->cap_peers = cap;
    }
    k = ++s->n_peers;
  }
  s->peers[k - 1] = (msub__sr_peer){ row, serial, d->peers };
  d->peers = k;
}

static void give_back(msub__sr *s, const msub_mem *mem) {
  if (s->ring.n || !s->ring.cap) return;
  msub__sr_fini(s, mem);
  msub__sr_init(s);
}

void msub__sr_expire(msub__sr *s, const msub_mem *mem, uint64_t now) {
  while (s->ring.n && ((const msub__sr_record *)msub__ring_front(&s->ring))->until < now) pop(s);
  give_back(s, mem);
}

void msub__sr_settle(msub__sr *s, const msub_mem *mem, uint64_t now, uint64_t window) {
  for (; NUMBER(s->settled - s->first) < s->ring.n; s->settled = NUMBER(s->settled + 1)) {
    msub__sr_record *d = at(s, s->settled);
    if (d->status == MSUB__SR_VALID) {
      if (now - d->validated <= window) break;
      (void)msub__table_remove(&s->index, d->hash, s->settled);
      msub__sr_unnote(s, d);
      d->status = MSUB__SR_SETTLED;
    }
  }
  while (s->ring.n && ((const msub__sr_record *)msub__ring_front(&s->ring))->status == MSUB__SR_SETTLED) pop(s);
  give_back(s, mem);
}
