/* routers/gossipsub/score_origin.h: what peers owed when they left, by the address they came from (IPv4 /32, IPv6 /64).
 *
 *   oldest ─▶ debt, until ─▶ … ─▶ newest        index: address → number. A debt falls in a straight line to nothing at `until`. */
#ifndef MSUB_ROUTERS_GOSSIPSUB_SCORE_ORIGIN_H
#define MSUB_ROUTERS_GOSSIPSUB_SCORE_ORIGIN_H
#include "routers/gossipsub/score_address.h"

typedef struct msub__so {
  msub__table index;
  struct msub__so_entry *at;
  uint32_t n, cap, free, oldest, newest; /* of the list and the free ones: index + 1, 0: none */
} msub__so;

void msub__so_fini(msub__so *so, const msub_mem *mem);
size_t msub__so_bytes(const msub__so *so);
uint32_t msub__so_count(const msub__so *so);
double msub__so_debt(const msub__so *so, const msub__sa *sa, msub_bytes prefix, uint64_t now); /* ≥ 0 */
/* Adds a debt to what is left of an earlier one, up to `most`. Full: the address that has been quiet longest goes. Without memory it is not kept. */
void msub__so_add(msub__so *so, const msub__sa *sa, const msub_mem *mem, msub_bytes prefix, double debt, double most, uint64_t now, uint64_t retain_ns);
void msub__so_expire(msub__so *so, const msub__sa *sa, const msub_mem *mem, uint64_t now);
#endif
