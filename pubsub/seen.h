/* pubsub/seen.h: which messages were seen: salted 64-bit fingerprints of (topic, id) with exact expiry.
 *
 *   ring of segments, oldest first           index: open addressing, 4 bytes a slot
 *   ┌────────────────┐ ┌────────────────┐    ┌─────┬────────┐
 *   │ fp, expiry │ … │ │ fp, expiry │ … │ ◀─ │ tag │ number │ …      tag: 8 bits of the fingerprint, so that a slot of
 *   └────────────────┘ └────────────────┘    └─────┴────────┘        something else is seldom followed into the ring
 *     first …                     … next
 *
 * All entries live equally long, so the order of insertion is the order of expiry; an entry past its time counts as absent even
 * before it is swept. 16 bytes an entry and 4 a slot at a load of at most 3/4. The salt is the shared's hash key: a peer cannot
 * make an id that collides with another one; 2^-64 times the number of live ids is the chance of a false "seen". */
#ifndef MSUB_PUBSUB_SEEN_H
#define MSUB_PUBSUB_SEEN_H
#include "base/table.h"

typedef struct msub__seen_entry { uint64_t fp, expiry; } msub__seen_entry; /* lowest two bits of expiry: msub__seen_state */
typedef struct msub__seen {
  msub__seen_entry **segments; /* ring of pointers */
  uint32_t cap_segments, first_segment, n_segments;
  uint32_t first, next; /* numbers of the oldest entry and of the next one; they wrap at 2^24 */
  uint32_t offset;      /* of `first` in its segment */
  uint32_t *index;      /* slots: 8 bits of fingerprint, number */
  uint32_t index_cap, index_n;
  uint64_t ttl_ns;
  uint32_t max_entries;
} msub__seen;
/* SEEN: and ignored. */
typedef enum msub__seen_state { MSUB__UNSEEN, MSUB__SEEN, MSUB__SEEN_INVALID, MSUB__SEEN_ACCEPTED } msub__seen_state;

void msub__seen_init(msub__seen *s, uint64_t ttl_ns, size_t max_bytes);
void msub__seen_fini(msub__seen *s, const msub_mem *m);
msub__seen_state msub__seen_find(const msub__seen *s, uint64_t fp, uint64_t now_ns);
/* Remembers fp until now + ttl; a live entry keeps its time, and its state unless it is accepted now. Sweeps a few that are over. *evicted counts what had to go
 * early because of the bound. NOMEM: not remembered. */
MSUB_MUST int msub__seen_add(msub__seen *s, const msub_mem *m, uint64_t fp, msub__seen_state state, uint64_t now_ns, uint64_t *evicted);
/* Sweeps at most max entries that are over. */
void msub__seen_sweep(msub__seen *s, const msub_mem *m, uint64_t now_ns, unsigned max);
static inline uint32_t msub__seen_count(const msub__seen *s) { return (s->next - s->first) & 0xffffff; }
size_t msub__seen_bytes(const msub__seen *s);
#endif
