/* crypto/private_key.c. Sources: libp2p specification "peer ids and keys": RSA private keys are PKCS#1, ECDSA ones ECPrivateKey of RFC 5915,
 * secp256k1 ones 32 bytes. */
#include "crypto/private_key.h"
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <secp256k1.h>
#include <sodium.h>
#include <string.h>
#include "crypto/public_key.h"

static int import_secp256k1(msub_bytes data, msub__private *out, uint8_t secret[32], uint8_t *public_data, size_t *n) {
  secp256k1_pubkey public_key;
  uint8_t blind[32];
  if (data.n != 32) return MSUB_ERR_MALFORMED;
  if (!secp256k1_ec_seckey_verify(secp256k1_context_static, data.p)) return MSUB_ERR_MALFORMED;
  out->c = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
  if (!out->c) return MSUB_ERR_NOMEM;
  msub_sha256(data, blind); /* against side channels; anything that nobody knows will do */
  bool ok = secp256k1_context_randomize(out->c, blind) && secp256k1_ec_pubkey_create(out->c, &public_key, data.p) &&
            secp256k1_ec_pubkey_serialize(out->c, public_data, n, &public_key, SECP256K1_EC_COMPRESSED);
  sodium_memzero(blind, sizeof blind);
  memcpy(secret, data.p, 32);
  return ok ? MSUB_OK : MSUB_ERR_CRYPTO;
}

static int import_pkey(int kind, msub_key_type type, msub_bytes data, msub__private *out, uint8_t *public_data, size_t *n) {
  static const uint8_t probe[] = { 'm', 's' };
  const uint8_t *at = data.p;
  uint8_t *der = NULL, signature[MSUB_SIG_MAX];
  out->pkey = d2i_PrivateKey(kind, NULL, &at, (long)data.n);
  if (!out->pkey || at != data.p + data.n) return MSUB_ERR_MALFORMED;
  int len = i2d_PUBKEY(out->pkey, &der);
  int rc = len <= 0 ? MSUB_ERR_NOMEM : (size_t)len > *n ? MSUB_ERR_UNSUPPORTED : MSUB_OK;
  if (rc == MSUB_OK) {
    memcpy(public_data, der, *n = (size_t)len);
    rc = msub__key_form(type, (msub_bytes){ der, *n }, MSUB_RSA_BITS_MAX);
    if (rc == MSUB_ERR_CRYPTO) rc = MSUB_ERR_UNSUPPORTED; /* too short or too long, or a point in another form */
  }
  OPENSSL_free(der);
  if (rc != MSUB_OK) return rc;
  int got = msub__private_sign(out, NULL, (msub_bytes){ probe, sizeof probe }, signature, sizeof signature);
  if (got < 0) return got == MSUB_ERR_NOMEM ? got : MSUB_ERR_CRYPTO;
  return msub__verify(type, (msub_bytes){ public_data, *n }, (msub_bytes){ probe, sizeof probe }, (msub_bytes){ signature, (size_t)got });
}

int msub__private_import(msub_key_type type, msub_bytes data, msub__private *out, uint8_t secret[32], uint8_t *public_data, size_t *n) {
  *out = (msub__private){ NULL, NULL };
  if (data.n == 0 || data.n > INT_MAX) return MSUB_ERR_MALFORMED;
  int rc = type == MSUB_KEY_SECP256K1 ? import_secp256k1(data, out, secret, public_data, n)
                                      : import_pkey(type == MSUB_KEY_RSA ? EVP_PKEY_RSA : EVP_PKEY_EC, type, data, out, public_data, n);
  ERR_clear_error();
  if (rc != MSUB_OK) msub__private_free(out);
  return rc;
}

int msub__private_generate(msub_key_type type, unsigned rsa_bits, uint8_t *data, size_t *n) {
  if (type == MSUB_KEY_SECP256K1) {
    if (*n < 32) return MSUB_ERR_LIMIT;
    do randombytes_buf(data, 32);
    while (!secp256k1_ec_seckey_verify(secp256k1_context_static, data)); /* one in 2^127 is none */
    *n = 32;
    return MSUB_OK;
  }
  EVP_PKEY *pkey = type == MSUB_KEY_RSA ? EVP_RSA_gen(rsa_bits) : EVP_EC_gen("P-256");
  int len = pkey ? i2d_PrivateKey(pkey, NULL) : 0, rc = len > 0 ? MSUB_OK : MSUB_ERR_CRYPTO;
  if (rc == MSUB_OK && (size_t)len > *n) rc = MSUB_ERR_LIMIT;
  if (rc == MSUB_OK) *n = (size_t)i2d_PrivateKey(pkey, &data);
  EVP_PKEY_free(pkey);
  ERR_clear_error();
  return rc;
}

void msub__private_free(msub__private *k) {
  EVP_PKEY_free(k->pkey);
  if (k->c) secp256k1_context_destroy(k->c);
  *k = (msub__private){ NULL, NULL };
}

size_t msub__private_export(const msub__private *k, const uint8_t secret[32], uint8_t *out, size_t cap) {
  if (k->c) {
    if (cap >= 32) memcpy(out, secret, 32);
    return 32;
  }
  int n = i2d_PrivateKey(k->pkey, NULL);
  if (n > 0 && (size_t)n <= cap) n = i2d_PrivateKey(k->pkey, &out);
  ERR_clear_error();
  return n > 0 ? (size_t)n : 0;
}

static int sign_secp256k1(const msub__private *k, const uint8_t secret[32], msub_bytes what, uint8_t *out, size_t cap) {
  secp256k1_ecdsa_signature sig;
  uint8_t digest[32];
  size_t n = cap;
  msub_sha256(what, digest);
  if (!secp256k1_ecdsa_sign(k->c, &sig, digest, secret, NULL, NULL)) return MSUB_ERR_CRYPTO; /* RFC 6979: the same bytes each time */
  return secp256k1_ecdsa_signature_serialize_der(k->c, out, &n, &sig) ? (int)n : MSUB_ERR_LIMIT;
}

int msub__private_sign(const msub__private *k, const uint8_t secret[32], msub_bytes what, uint8_t *out, size_t cap) {
  if (k->c) return sign_secp256k1(k, secret, what, out, cap);
  int size = EVP_PKEY_get_size(k->pkey);
  if (size <= 0 || (size_t)size > cap) return MSUB_ERR_LIMIT;
  EVP_MD_CTX *md = EVP_MD_CTX_new();
  if (!md) return MSUB_ERR_NOMEM;
  size_t n = cap;
  bool ok = EVP_DigestSignInit_ex(md, NULL, "SHA256", NULL, NULL, k->pkey, NULL) == 1 && EVP_DigestSign(md, out, &n, what.p, what.n) == 1;
  EVP_MD_CTX_free(md);
  ERR_clear_error();
  return ok ? (int)n : MSUB_ERR_CRYPTO;
}
