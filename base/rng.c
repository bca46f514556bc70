#include "base/rng.h"

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15) /* 2^64 / golden ratio: SplitMix64's step */

static uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

/* The stream goes through mix() before it meets the seed, so that (seed + 1, stream) and (seed, stream + 1)
 * share nothing. */
void msub__rng_init(msub__rng *r, uint64_t seed, uint32_t stream) {
  r->key = mix(mix(seed + GOLDEN) ^ mix(~(uint64_t)stream * GOLDEN));
  r->counter = 0;
}

uint64_t msub__rng_u64(msub__rng *r) { return mix(r->key + ++r->counter * GOLDEN); }

/* Lemire's multiplication method: the top half of draw * below; draws in the short last interval are made
 * again. */
uint32_t msub__rng_below(msub__rng *r, uint32_t below) {
  if (below == 0) return 0;
  uint64_t m = (msub__rng_u64(r) >> 32) * below;
  if ((uint32_t)m < below) {
    uint32_t threshold = (0u - below) % below;
    while ((uint32_t)m < threshold) m = (msub__rng_u64(r) >> 32) * below;
  }
  return (uint32_t)(m >> 32);
}
