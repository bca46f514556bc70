/* crypto/verify.c: the signatures of the four key types. Sources: libp2p specification "peer ids and keys" (RSA: PKCS#1 v1.5 with SHA-256,
 * at least 2,048 bits; ECDSA and secp256k1: ASN.1 signature over SHA-256), RFC 8017, RFC 5480, SEC 1. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <secp256k1.h>
#include <sodium.h>
#include <string.h>
#include "crypto/der.h"
#include "crypto/public_key.h"

/* ---- forms ---- */

/* SEQUENCE { rsaEncryption, NULL }, as it stands in a SubjectPublicKeyInfo. */
static const uint8_t rsa_algorithm[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00 };
/* id-ecPublicKey; the curve's OID follows. */
static const uint8_t ec_algorithm[] = { 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01 };
static const struct { uint8_t oid[10]; uint8_t n, coordinate; } curves[] = {
  { { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 }, 10, 32 }, /* P-256 */
  { { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 }, 7, 48 },                    /* P-384 */
  { { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23 }, 7, 66 },                    /* P-521 */
};

/* SubjectPublicKeyInfo { algorithm, key }; the key without the count of unused bits, which is 0. */
static bool take_info(msub_bytes data, msub_bytes *algorithm, msub_bytes *key) {
  msub_bytes info;
  if (!msub__der_take(&data, MSUB__DER_SEQUENCE, &info) || data.n) return false;
  if (!msub__der_take(&info, MSUB__DER_SEQUENCE, algorithm)) return false;
  if (!msub__der_take(&info, MSUB__DER_BIT_STRING, key) || info.n || key->n < 1 || key->p[0] != 0) return false;
  *key = (msub_bytes){ key->p + 1, key->n - 1 };
  return true;
}

static size_t bits_of(msub_bytes magnitude) {
  if (magnitude.n == 0) return 0;
  size_t bits = 8 * magnitude.n;
  for (unsigned top = magnitude.p[0]; top < 0x80; top <<= 1) bits--;
  return bits;
}

static int rsa_form(msub_bytes data, unsigned rsa_bits) {
  msub_bytes algorithm, key, pair, n, e;
  if (!take_info(data, &algorithm, &key) || !msub_bytes_eq(algorithm, (msub_bytes){ rsa_algorithm, sizeof rsa_algorithm })) return MSUB_ERR_CRYPTO;
  if (!msub__der_take(&key, MSUB__DER_SEQUENCE, &pair) || key.n) return MSUB_ERR_CRYPTO;
  if (!msub__der_take_unsigned(&pair, &n) || !msub__der_take_unsigned(&pair, &e) || pair.n) return MSUB_ERR_CRYPTO;
  size_t bits = bits_of(n);
  if (bits < MSUB_RSA_BITS_MIN || bits > MSUB_RSA_BITS_MAX || !(n.p[n.n - 1] & 1)) return MSUB_ERR_CRYPTO;
  /* A long exponent makes a verification as dear as a signature. */
  if (bits_of(e) < 2 || bits_of(e) > 31 || !(e.p[e.n - 1] & 1)) return MSUB_ERR_CRYPTO;
  return bits > rsa_bits ? MSUB_ERR_UNSUPPORTED : MSUB_OK;
}

static int ecdsa_form(msub_bytes data) {
  msub_bytes algorithm, key;
  if (!take_info(data, &algorithm, &key)) return MSUB_ERR_CRYPTO;
  if (algorithm.n <= sizeof ec_algorithm || memcmp(algorithm.p, ec_algorithm, sizeof ec_algorithm) != 0) return MSUB_ERR_CRYPTO;
  msub_bytes curve = { algorithm.p + sizeof ec_algorithm, algorithm.n - sizeof ec_algorithm };
  for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
    if (msub_bytes_eq(curve, (msub_bytes){ curves[i].oid, curves[i].n }))
      return key.n == 1 + 2 * (size_t)curves[i].coordinate && key.p[0] == 4 ? MSUB_OK : MSUB_ERR_CRYPTO;
  return MSUB_ERR_UNSUPPORTED;
}

int msub__key_form(msub_key_type type, msub_bytes data, unsigned rsa_bits) {
  switch (type) {
  case MSUB_KEY_ED25519: return data.n == 32 ? MSUB_OK : MSUB_ERR_CRYPTO;
  case MSUB_KEY_SECP256K1: return data.n == 33 && (data.p[0] == 2 || data.p[0] == 3) ? MSUB_OK : MSUB_ERR_CRYPTO;
  case MSUB_KEY_RSA: return rsa_form(data, rsa_bits);
  case MSUB_KEY_ECDSA: return ecdsa_form(data);
  }
  return MSUB_ERR_CRYPTO;
}

/* ---- verification ---- */

static int with_openssl(msub_bytes data, msub_bytes what, msub_bytes signature) {
  const uint8_t *at = data.p;
  EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)data.n);
  EVP_MD_CTX *md = EVP_MD_CTX_new();
  int rc = md ? MSUB_ERR_CRYPTO : MSUB_ERR_NOMEM;
  if (md && key && at == data.p + data.n && EVP_DigestVerifyInit_ex(md, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
      EVP_DigestVerify(md, signature.p, signature.n, what.p, what.n) == 1)
    rc = MSUB_OK;
  EVP_MD_CTX_free(md);
  EVP_PKEY_free(key);
  ERR_clear_error(); /* a queue of the thread's, which is not ours alone */
  return rc;
}

/* SEQUENCE { r, s }. Bytes behind it are left out: other implementations take them too, so their carrier must not be to blame. */
static bool ecdsa_signature(msub_bytes *signature) {
  msub_bytes rest = *signature, pair, r, s;
  if (!msub__der_take(&rest, MSUB__DER_SEQUENCE, &pair)) return false;
  signature->n -= rest.n;
  return msub__der_take_unsigned(&pair, &r) && msub__der_take_unsigned(&pair, &s) && pair.n == 0;
}

static int with_secp256k1(msub_bytes data, msub_bytes what, msub_bytes signature) {
  secp256k1_pubkey key;
  secp256k1_ecdsa_signature sig;
  uint8_t digest[32];
  const secp256k1_context *c = secp256k1_context_static;
  if (signature.n < 8 || signature.n > 72 || !secp256k1_ec_pubkey_parse(c, &key, data.p, data.n)) return MSUB_ERR_CRYPTO;
  if (!secp256k1_ecdsa_signature_parse_der(c, &sig, signature.p, signature.n)) return MSUB_ERR_CRYPTO;
  secp256k1_ecdsa_signature_normalize(c, &sig, &sig); /* the upper half of s is taken everywhere in libp2p */
  msub_sha256(what, digest);
  return secp256k1_ecdsa_verify(c, &sig, digest, &key) ? MSUB_OK : MSUB_ERR_CRYPTO;
}

int msub__verify(msub_key_type type, msub_bytes data, msub_bytes what, msub_bytes signature) {
  switch (type) {
  case MSUB_KEY_ED25519:
    if (signature.n != crypto_sign_BYTES) return MSUB_ERR_CRYPTO;
    return crypto_sign_verify_detached(signature.p, what.p, what.n, data.p) ? MSUB_ERR_CRYPTO : MSUB_OK;
  case MSUB_KEY_SECP256K1: return with_secp256k1(data, what, signature);
  case MSUB_KEY_ECDSA: return ecdsa_signature(&signature) ? with_openssl(data, what, signature) : MSUB_ERR_CRYPTO;
  case MSUB_KEY_RSA: return signature.n > 0 ? with_openssl(data, what, signature) : MSUB_ERR_CRYPTO;
  }
  return MSUB_ERR_CRYPTO;
}
