/* crypto/private_key.h: keys of the types that OpenSSL and libsecp256k1 sign with; key.c holds them. */
#ifndef MSUB_CRYPTO_PRIVATE_KEY_H
#define MSUB_CRYPTO_PRIVATE_KEY_H
#include "meshsub/crypto.h"

/* A private key's parts besides Ed25519: one of the two is set. */
typedef struct msub__private {
  struct evp_pkey_st *pkey;           /* RSA, ECDSA */
  struct secp256k1_context_struct *c; /* secp256k1, blinded for this key */
} msub__private;

/* From the data of a PrivateKey. secret (32 bytes): filled for secp256k1. public_data: the data of its PublicKey, *n on entry its room.
 * MALFORMED, UNSUPPORTED (length or curve), CRYPTO (its halves do not belong together), NOMEM. */
MSUB_MUST int msub__private_import(msub_key_type type, msub_bytes data, msub__private *out, uint8_t secret[32], uint8_t *public_data, size_t *n);
/* The data of a PrivateKey of a new key: RSA of that many bits, ECDSA on P-256, secp256k1. *n on entry the room. NOMEM, CRYPTO, LIMIT: too little room. */
MSUB_MUST int msub__private_generate(msub_key_type type, unsigned rsa_bits, uint8_t *data, size_t *n);
void msub__private_free(msub__private *k);
/* The data again; length, writes when cap suffices. 0: no memory. */
size_t msub__private_export(const msub__private *k, const uint8_t secret[32], uint8_t *out, size_t cap);
/* Length, or LIMIT, CRYPTO, NOMEM. */
int msub__private_sign(const msub__private *k, const uint8_t secret[32], msub_bytes what, uint8_t *out, size_t cap);

/* key.c, by the data of a PrivateKey (6,000 bytes hold any). */
#define MSUB__PRIVATE_DATA_MAX 6000u
MSUB_MUST int msub__key_from_data(msub_key_type type, msub_bytes data, msub_key **out);
size_t msub__key_data(const msub_key *k, uint8_t *out, size_t cap); /* the length; 0: no memory */
#endif
