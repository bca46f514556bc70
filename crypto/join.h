/* crypto/join.h: several pieces as one contiguous run, which is what signing takes. */
#ifndef MSUB_CRYPTO_JOIN_H
#define MSUB_CRYPTO_JOIN_H
#include "meshsub/base.h"

typedef struct msub__joined {
  msub_bytes bytes;
  uint8_t *heap;       /* NULL: not needed */
  uint8_t small[1024]; /* most pieces that are signed are short */
} msub__joined;
/* NOMEM. Views one piece, copies several; to be freed only after MSUB_OK. */
MSUB_MUST int msub__join(msub__joined *j, const msub_bytes *parts, size_t n);
void msub__join_free(msub__joined *j);
#endif
