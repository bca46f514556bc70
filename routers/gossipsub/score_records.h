/* routers/gossipsub/score_records.h: what became of a message, and who brought a copy.
 *
 *   ring, in order of arrival: │ hash, until, validated, status, peers ─┼─▶ peer ─▶ peer       index: hash → number
 *
 * A record that can change nothing any more (SETTLED) leaves the index at once, its place in the ring with the others before it. */
#ifndef MSUB_ROUTERS_GOSSIPSUB_SCORE_RECORDS_H
#define MSUB_ROUTERS_GOSSIPSUB_SCORE_RECORDS_H
#include "base/ring.h"
#include "base/table.h"

enum { MSUB__SR_OPEN, MSUB__SR_VALID, MSUB__SR_INVALID, MSUB__SR_IGNORED, MSUB__SR_THROTTLED, MSUB__SR_SETTLED };
typedef struct msub__sr_record {
  uint64_t hash, until, validated;
  uint32_t peers; /* index + 1 of the newest */
  uint8_t status;
} msub__sr_record;
typedef struct msub__sr_peer { uint32_t row, serial, next; } msub__sr_peer;
typedef struct msub__sr {
  msub__ring ring;
  msub__table index;
  uint32_t first, settled; /* numbers (modulo 2^31) of the front, and of the first that was not looked at by settle */
  msub__sr_peer *peers;
  uint32_t n_peers, cap_peers, free_peer;
} msub__sr;

void msub__sr_init(msub__sr *s);
void msub__sr_fini(msub__sr *s, const msub_mem *mem);
size_t msub__sr_bytes(const msub__sr *s);
size_t msub__sr_count(const msub__sr *s);
msub__sr_record *msub__sr_find(const msub__sr *s, uint64_t hash);
/* Made (open) if it is new; the pointer holds until the next one is made. NULL: no memory. */
msub__sr_record *msub__sr_get(msub__sr *s, const msub_mem *mem, uint64_t hash, uint64_t until);
bool msub__sr_noted(const msub__sr *s, const msub__sr_record *d, uint32_t row, uint32_t serial);
void msub__sr_note(msub__sr *s, const msub_mem *mem, msub__sr_record *d, uint32_t row, uint32_t serial);
void msub__sr_unnote(msub__sr *s, msub__sr_record *d);
/* Forgets those whose time is over. What a flood made grow is given back when there are none left. */
void msub__sr_expire(msub__sr *s, const msub_mem *mem, uint64_t now);
/* Valid ones whose window is over settle. */
void msub__sr_settle(msub__sr *s, const msub_mem *mem, uint64_t now, uint64_t window);
#endif
