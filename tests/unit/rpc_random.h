/* tests/unit/rpc_random.h: random RPCs from a seed: well-formed ones with odd but legal encodings, and
 * mutations of them. */
#ifndef MSUB_TESTS_RPC_RANDOM_H
#define MSUB_TESTS_RPC_RANDOM_H
#include "meshsub/base.h"

#define RPC_RANDOM_MAX 8192
typedef struct rpc_random {
  uint64_t state;
  uint8_t bytes[RPC_RANDOM_MAX];
} rpc_random;
/* The next RPC, in r->bytes. */
msub_bytes rpc_random_next(rpc_random *r);
#endif
