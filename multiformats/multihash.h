/* multiformats/multihash.h: <code> <length> <digest>. Strict: minimal varints, nothing cut, nothing left
 * over. */
#ifndef MSUB_MULTIFORMATS_MULTIHASH_H
#define MSUB_MULTIFORMATS_MULTIHASH_H
#include "meshsub/base.h"

#define MSUB__MH_IDENTITY 0x00u
#define MSUB__MH_SHA2_256 0x12u
#define MSUB__MH_DIGEST_MAX 128u

typedef struct msub__multihash {
  uint64_t code;
  msub_bytes digest;
} msub__multihash;
/* Takes a multihash off the front of *in. MALFORMED: also a digest over MSUB__MH_DIGEST_MAX, or a sha2-256
 * one that has not 32 bytes; *in is then unspecified. */
MSUB_MUST int msub__multihash_take(msub_bytes *in, msub__multihash *out);
/* The same for bytes that are one multihash and nothing else. */
MSUB_MUST int msub__multihash_parse(msub_bytes in, msub__multihash *out);
#endif
