/* base/deadline.h: points in monotonic time. The only place where a duration is added to a time; every sum saturates just
 * below MSUB_NEVER, so "very late" never becomes "never" or "already over". */
#ifndef MSUB_BASE_DEADLINE_H
#define MSUB_BASE_DEADLINE_H
#include "base/checked.h"

#define MSUB__MS UINT64_C(1000000)
#define MSUB__S UINT64_C(1000000000)

static inline uint64_t msub__deadline(uint64_t now_ns, uint64_t after_ns) {
  uint64_t t = msub__sat_add_u64(now_ns, after_ns);
  return t == MSUB_NEVER ? MSUB_NEVER - 1 : t;
}
/* A duration given by a peer, in seconds, clamped to cap_ns before any arithmetic. */
static inline uint64_t msub__remote_seconds(uint64_t s, uint64_t cap_ns) {
  uint64_t ns = msub__sat_mul_u64(s, MSUB__S);
  return ns > cap_ns ? cap_ns : ns;
}
static inline bool msub__passed(uint64_t deadline_ns, uint64_t now_ns) { return deadline_ns <= now_ns; }
static inline uint64_t msub__sooner(uint64_t a, uint64_t b) { return a < b ? a : b; }
#endif
