/* routers/gossipsub/score_address.h: how many peers stand at an address (P6). An IPv6 address counts as itself and as its /64. Loopback and
 * what is allowed count nowhere. */
#ifndef MSUB_ROUTERS_GOSSIPSUB_SCORE_ADDRESS_H
#define MSUB_ROUTERS_GOSSIPSUB_SCORE_ADDRESS_H
#include "base/table.h"
#include "meshsub/score.h"

/* An address of one peer: chained from *head, 0: none. */
typedef struct msub__sa_ref { uint32_t at, next; } msub__sa_ref;
typedef uint64_t (*msub__sa_hash)(const void *ctx, msub_bytes b); /* that no peer can predict */
typedef struct msub__sa {
  msub__sa_hash hash;
  const void *ctx;
  msub__table index; /* address → number in `at` */
  struct msub__sa_entry { uint8_t address[16]; uint8_t n; uint32_t peers; } *at;
  msub__sa_ref *refs;
  uint32_t n_at, cap_at, free_at, n_refs, cap_refs, free_ref; /* free ones: chained by index + 1 */
} msub__sa;

void msub__sa_fini(msub__sa *sa, const msub_mem *mem);
/* Adds an address of a peer. Without memory it does not count. */
void msub__sa_add(msub__sa *sa, const msub_mem *mem, const msub_score_params *p, uint32_t *head, msub_bytes address);
void msub__sa_remove(msub__sa *sa, uint32_t *head); /* all of the peer's */
double msub__sa_factor(const msub__sa *sa, uint32_t head, uint32_t threshold);
/* One address of a peer after the other, as those behind it share it: IPv4 whole, of IPv6 the first eight bytes. *at: its head at first. */
bool msub__sa_prefix(const msub__sa *sa, uint32_t *at, msub_bytes *prefix);
size_t msub__sa_bytes(const msub__sa *sa);
#endif
