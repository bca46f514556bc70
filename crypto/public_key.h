/* crypto/public_key.h: what the key files share. */
#ifndef MSUB_CRYPTO_PUBLIC_KEY_H
#define MSUB_CRYPTO_PUBLIC_KEY_H
#include "meshsub/crypto.h"

/* The deterministic encoding of a public key; returns its length, 0: over cap. */
size_t msub__public_key_encode(msub_key_type type, msub_bytes data, uint8_t *out, size_t cap);

/* A key's data: the form that its type demands, judged before any library sees it. OK; CRYPTO: no such key; UNSUPPORTED: one that others
 * may check: an RSA modulus above rsa_bits and up to MSUB_RSA_BITS_MAX, a curve besides P-256, P-384 and P-521. */
int msub__key_form(msub_key_type type, msub_bytes data, unsigned rsa_bits);
/* OK or CRYPTO; NOMEM. The key's form was found OK. */
int msub__verify(msub_key_type type, msub_bytes data, msub_bytes what, msub_bytes signature);
#endif
