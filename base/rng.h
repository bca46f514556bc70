/* base/rng.h: counter-based generator (SplitMix64 of seed, stream and counter). One stream per purpose, so that a draw added
 * in one place does not shift the others; the state is two words and can be copied. Not for keys. */
#ifndef MSUB_BASE_RNG_H
#define MSUB_BASE_RNG_H
#include <stddef.h>
#include <stdint.h>

typedef struct msub__rng { uint64_t key, counter; } msub__rng;
void msub__rng_init(msub__rng *r, uint64_t seed, uint32_t stream);
uint64_t msub__rng_u64(msub__rng *r);
/* Uniform in 0 … below-1 without bias; below == 0 answers 0. */
uint32_t msub__rng_below(msub__rng *r, uint32_t below);
#endif
