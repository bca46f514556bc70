/* base/checked.h: arithmetic on numbers that a peer sent. Everything saturates or says that it did not fit. */
#ifndef MSUB_BASE_CHECKED_H
#define MSUB_BASE_CHECKED_H
#include "meshsub/base.h"

static inline bool msub__add_size(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool msub__mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool msub__add_u32(uint32_t a, uint32_t b, uint32_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline uint64_t msub__sat_add_u64(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }
static inline uint64_t msub__sat_sub_u64(uint64_t a, uint64_t b) { return a < b ? 0 : a - b; }
static inline uint64_t msub__sat_mul_u64(uint64_t a, uint64_t b) {
  uint64_t r;
  return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}
#endif
