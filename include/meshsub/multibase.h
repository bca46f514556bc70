/* meshsub/multibase.h: bytes as text in the bases that libp2p and IPFS write. Decoding is strict: every
 * text that is accepted is the one that encoding would give.
 *
 *   f base16 lower   b base32 lower, no padding   k base36 lower   z base58btc   u base64url, no padding
 *
 * Source: multiformats multibase specification. Pure: any thread. */
#ifndef MESHSUB_MULTIBASE_H
#define MESHSUB_MULTIBASE_H
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Base 36 and 58 take quadratic time, so they take no more than this: far above every id and key. */
#define MSUB_RADIX_BYTES_MAX 256u

/* Without a prefix. Encoding writes no NUL; *n is the number of chars. INVAL: no such base. LIMIT: over cap,
 * or over MSUB_RADIX_BYTES_MAX in base 36 and 58. Decoding: MALFORMED as well. */
MSUB_API MSUB_MUST int msub_base_encode(char base, msub_bytes in, char *out, size_t cap, size_t *n);
MSUB_API MSUB_MUST int msub_base_decode(char base, msub_bytes text, uint8_t *out, size_t cap, size_t *n);
/* With the prefix. */
MSUB_API MSUB_MUST int msub_multibase_encode(char base, msub_bytes in, char *out, size_t cap, size_t *n);
MSUB_API MSUB_MUST int msub_multibase_decode(msub_bytes text, uint8_t *out, size_t cap, size_t *n);

#ifdef __cplusplus
}
#endif
#endif
