/* validators/allow.c: a sorted array of peer ids. The program alone changes it, so nobody else decides what a look-up costs. */
#include "base/mem.h"
#include "meshsub/peer_id.h"
#include "meshsub/validators.h"
#include <string.h>

struct msub_allowlist {
  msub_mem mem;
  msub_shared *shared;
  msub_peer_id *ids;
  uint32_t n, cap, max;
  bool authors, senders;
  msub_verdict verdict;
};

void msub_allowlist_opts_init(msub_allowlist_opts *o) {
  *o = (msub_allowlist_opts){ .size = sizeof *o, .authors = true, .verdict = MSUB_IGNORE, .max_peers = 4096 };
}

int msub_allowlist_new(const msub_allowlist_opts *o, msub_allowlist **out) {
  *out = NULL;
  if (o->size != sizeof *o || !(o->authors || o->senders) || (o->senders && !o->shared) || o->max_peers == 0) return MSUB_ERR_INVAL;
  if (o->verdict != MSUB_IGNORE && o->verdict != MSUB_REJECT && o->verdict != MSUB_THROTTLED) return MSUB_ERR_INVAL;
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  msub_allowlist *a = msub__zalloc(&mem, 1, sizeof *a);
  if (!a) return MSUB_ERR_NOMEM;
  *a = (msub_allowlist){ .mem = mem, .shared = o->shared, .max = o->max_peers, .authors = o->authors, .senders = o->senders, .verdict = o->verdict };
  *out = a;
  return MSUB_OK;
}

void msub_allowlist_free(msub_allowlist *a) {
  if (!a) return;
  msub_mem mem = a->mem;
  msub__free(&mem, a->ids, a->cap * sizeof *a->ids);
  msub__free(&mem, a, sizeof *a);
}

static int compare(const msub_peer_id *have, msub_bytes id) {
  size_t n = have->n < id.n ? have->n : id.n;
  int c = n ? memcmp(have->bytes, id.p, n) : 0;
  return c ? c : (have->n > id.n) - (have->n < id.n);
}

/* Where it is, or would be. */
static uint32_t place_of(const msub_allowlist *a, msub_bytes id, bool *there) {
  uint32_t lo = 0, hi = a->n;
  *there = false;
  while (lo < hi) {
    uint32_t mid = lo + (hi - lo) / 2;
    int c = compare(&a->ids[mid], id);
    if (c == 0) *there = true;
    if (c < 0) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

int msub_allowlist_add(msub_allowlist *a, msub_bytes id) {
  bool there;
  if (msub_peer_id_check(id) != MSUB_OK || id.n > MSUB_PEER_ID_MAX) return MSUB_ERR_INVAL;
  uint32_t at = place_of(a, id, &there);
  if (there) return MSUB_OK;
  if (a->n == a->max) return MSUB_ERR_LIMIT;
  if (a->n == a->cap) {
    uint32_t cap = a->cap ? a->cap * 2 : 16;
    msub_peer_id *ids = msub__realloc(&a->mem, a->ids, a->cap * sizeof *ids, cap * sizeof *ids);
    if (!ids) return MSUB_ERR_NOMEM;
    a->ids = ids;
    a->cap = cap;
  }
  memmove(&a->ids[at + 1], &a->ids[at], (a->n - at) * sizeof *a->ids);
  a->ids[at].n = (uint8_t)id.n;
  memcpy(a->ids[at].bytes, id.p, id.n);
  a->n++;
  return MSUB_OK;
}

int msub_allowlist_remove(msub_allowlist *a, msub_bytes id) {
  bool there;
  uint32_t at = place_of(a, id, &there);
  if (!there) return MSUB_ERR_NOTFOUND;
  a->n--;
  memmove(&a->ids[at], &a->ids[at + 1], (a->n - at) * sizeof *a->ids);
  return MSUB_OK;
}

size_t msub_allowlist_count(const msub_allowlist *a) { return a->n; }

static msub_verdict judge(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job) {
  const msub_allowlist *a = ud;
  (void)token, (void)job;
  bool there = true;
  if (from.v == 0) return MSUB_ACCEPT;
  if (a->authors) (void)place_of(a, msub_from(m), &there);
  if (there && a->senders) (void)place_of(a, msub_peer_bytes(a->shared, from), &there);
  return there ? MSUB_ACCEPT : a->verdict;
}

msub_validator_opts msub_allowlist_validator(msub_allowlist *a) {
  msub_validator_opts o;
  msub_validator_opts_init(&o);
  o.name = "allow";
  o.fn = judge;
  o.ud = a;
  return o;
}
