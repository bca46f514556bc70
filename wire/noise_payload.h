/* wire/noise_payload.h: what stands in the second and third handshake message: identity key, its signature
 * over the static key, and the list of stream muxers. */
#ifndef MSUB_WIRE_NOISE_PAYLOAD_H
#define MSUB_WIRE_NOISE_PAYLOAD_H
#include "meshsub/crypto.h"
#include "wire/limits.h"

typedef struct msub__noise_payload {
  msub_bytes key, signature;
  msub_bytes muxers[MSUB__NOISE_MUXERS_MAX];
  size_t n_muxers; /* further entries are left out */
} msub__noise_payload;

/* Working memory of a parse: a payload of the greatest legal size fits several times. */
#define MSUB__NOISE_PAYLOAD_ARENA 16384u
/* The views point into `memory` (MSUB__NOISE_PAYLOAD_ARENA bytes, aligned for any type). LIMIT: over
 * MSUB__NOISE_PAYLOAD_MAX. MALFORMED: no protobuf, or one that wants more memory. */
MSUB_MUST int msub__noise_payload_parse(msub_bytes in, void *memory, msub__noise_payload *out);
/* Length needed; writes when cap suffices. */
size_t msub__noise_payload_encode(const msub__noise_payload *p, uint8_t *out, size_t cap);

/* Signs and checks "noise-libp2p-static-key:" and the static key. sign: the signature's length or a negative
 * error. */
MSUB_MUST int msub__noise_sign_static(const msub_key *identity, const uint8_t static_key[32],
                                      uint8_t out[MSUB_SIG_MAX]);
MSUB_MUST int msub__noise_check_static(const msub__noise_payload *p, const uint8_t static_key[32], unsigned rsa_bits);
#endif
