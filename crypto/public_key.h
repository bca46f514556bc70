/* crypto/public_key.h: what the key files share. */
#ifndef MSUB_CRYPTO_PUBLIC_KEY_H
#define MSUB_CRYPTO_PUBLIC_KEY_H
#include "meshsub/crypto.h"

/* The deterministic encoding of a public key; returns its length, 0: over cap. */
size_t msub__public_key_encode(msub_key_type type, msub_bytes data, uint8_t *out, size_t cap);
#endif
