#include "routers/gossipsub/score_address.h"
#include <string.h>
#include "base/assert.h"
#include "routers/gossipsub/limits.h"

typedef struct msub__sa_entry entry;

static bool in_prefix(const msub_cidr *c, msub_bytes a) {
  if (c->n != a.n) return false;
  for (unsigned i = 0; i < c->bits; i += 8) {
    unsigned left = c->bits - i, mask = left >= 8 ? 0xff : 0xff00u >> left & 0xff;
    if ((c->address[i / 8] ^ a.p[i / 8]) & mask) return false;
  }
  return true;
}

static bool is_loopback(msub_bytes a) {
  static const uint8_t loop6[16] = { [15] = 1 };
  return a.n == 4 ? a.p[0] == 127 : memcmp(a.p, loop6, 16) == 0;
}

static bool allowed(const msub_score_params *p, msub_bytes a) {
  for (size_t i = 0; i < p->n_ip_allow; i++)
    if (in_prefix(&p->ip_allow[i], a)) return true;
  return false;
}

static bool same(const void *ctx, uint32_t value, const void *key) {
  const entry *e = &((const msub__sa *)ctx)->at[value];
  const msub_bytes *a = key;
  return e->n == a->n && memcmp(e->address, a->p, a->n) == 0;
}

/* The array with room for half as many more; NULL: no memory. */
static void *grown(const msub_mem *mem, void *p, uint32_t *cap, size_t size) {
  uint32_t more = *cap ? *cap + *cap / 2 : 8;
  void *q = msub__realloc(mem, p, *cap * size, more * size);
  if (q) *cap = more;
  return q;
}

/* The entry of an address, made if it is new. */
static uint32_t entry_of(msub__sa *sa, const msub_mem *mem, msub_bytes a) {
  uint64_t hash = sa->hash(sa->ctx, a);
  uint32_t i = msub__table_find(&sa->index, hash, same, sa, &a);
  if (i != MSUB__NONE) return i;
  if (msub__table_reserve(&sa->index, mem) != MSUB_OK) return MSUB__NONE;
  if (sa->free_at) {
    i = sa->free_at - 1;
    sa->free_at = sa->at[i].peers;
  } else {
    if (sa->n_at == sa->cap_at) {
      entry *more = grown(mem, sa->at, &sa->cap_at, sizeof *more);
      if (!more) return MSUB__NONE;
      sa->at = more;
    }
    i = sa->n_at++;
  }
  sa->at[i] = (entry){ .n = (uint8_t)a.n };
  memcpy(sa->at[i].address, a.p, a.n);
  int rc = msub__table_insert(&sa->index, mem, hash, i);
  MSUB__INVARIANT(rc == MSUB_OK);
  return i;
}

/* Has the peer this entry already? It counts once there, and is charged for each connection. */
static bool has(const msub__sa *sa, uint32_t head, uint32_t at, unsigned *n) {
  bool found = false;
  *n = 0;
  for (uint32_t k = head; k; k = sa->refs[k - 1].next, ++*n) found |= sa->refs[k - 1].at == at;
  return found;
}

static void drop_entry(msub__sa *sa, uint32_t i) {
  entry *e = &sa->at[i];
  (void)msub__table_remove(&sa->index, sa->hash(sa->ctx, (msub_bytes){ e->address, e->n }), i);
  e->peers = sa->free_at;
  sa->free_at = i + 1;
}

static void add(msub__sa *sa, const msub_mem *mem, uint32_t *head, msub_bytes a) {
  uint32_t i = entry_of(sa, mem, a), k;
  unsigned n;
  if (i == MSUB__NONE) return;
  bool again = has(sa, *head, i, &n);
  bool room = n < 2 * MSUB__GS_PEER_ADDRESSES; /* of IPv6 each counts twice */
  if (room && !sa->free_ref && sa->n_refs == sa->cap_refs) {
    msub__sa_ref *more = grown(mem, sa->refs, &sa->cap_refs, sizeof *more);
    room = more != NULL;
    if (room) sa->refs = more;
  }
  if (!room) {
    if (sa->at[i].peers == 0) drop_entry(sa, i);
    return;
  }
  if (sa->free_ref) {
    k = sa->free_ref - 1;
    sa->free_ref = sa->refs[k].next;
  } else {
    k = sa->n_refs++;
  }
  sa->refs[k] = (msub__sa_ref){ i, *head };
  *head = k + 1;
  if (!again) sa->at[i].peers++;
}

void msub__sa_add(msub__sa *sa, const msub_mem *mem, const msub_score_params *p, uint32_t *head, msub_bytes a) {
  if ((a.n != 4 && a.n != 16) || is_loopback(a)) return;
  if (!allowed(p, a)) add(sa, mem, head, a);
  if (a.n != 16) return;
  uint8_t base[16] = { 0 };
  memcpy(base, a.p, 8);
  msub_bytes net = { base, 16 };
  if (!allowed(p, net)) add(sa, mem, head, net);
}

void msub__sa_remove(msub__sa *sa, uint32_t *head) {
  while (*head) {
    uint32_t k = *head - 1, at = sa->refs[k].at;
    unsigned n;
    *head = sa->refs[k].next;
    sa->refs[k].next = sa->free_ref;
    sa->free_ref = k + 1;
    if (!has(sa, *head, at, &n) && --sa->at[at].peers == 0) drop_entry(sa, at);
  }
}

double msub__sa_factor(const msub__sa *sa, uint32_t head, uint32_t threshold) {
  /* In the order of adding, as the sum of squares is exact anyway up to 2^53. */
  double sum = 0;
  for (uint32_t k = head; k; k = sa->refs[k - 1].next) {
    uint32_t peers = sa->at[sa->refs[k - 1].at].peers;
    if (peers <= threshold) continue;
    double surplus = peers - threshold;
    sum += surplus * surplus;
  }
  return sum;
}

bool msub__sa_prefix(const msub__sa *sa, uint32_t *at, msub_bytes *prefix) {
  static const uint8_t none[8] = { 0 };
  while (*at) {
    uint32_t i = sa->refs[*at - 1].at;
    const entry *e = &sa->at[i];
    *at = sa->refs[*at - 1].next;
    /* A /64 stands behind its address, if that is not allowed; alone it is no address of the peer's. Once more: it is both. */
    bool network = e->n == 16 && memcmp(e->address + 8, none, 8) == 0;
    if (network && (!*at || sa->refs[*at - 1].at != i)) continue;
    *prefix = (msub_bytes){ e->address, e->n == 4 ? 4u : 8u };
    return true;
  }
  return false;
}

size_t msub__sa_bytes(const msub__sa *sa) {
  return sa->cap_at * sizeof *sa->at + sa->cap_refs * sizeof *sa->refs + msub__table_bytes(&sa->index);
}

void msub__sa_fini(msub__sa *sa, const msub_mem *mem) {
  msub__table_fini(&sa->index, mem);
  msub__free(mem, sa->at, sa->cap_at * sizeof *sa->at);
  msub__free(mem, sa->refs, sa->cap_refs * sizeof *sa->refs);
  sa->at = NULL;
  sa->refs = NULL;
}
