/* crypto/pem.c: private keys in PEM. Sources: RFC 7468 (PEM), RFC 5958 (PKCS#8), RFC 8018 (PBES2), RFC 8410 (Ed25519), RFC 5915 (EC keys).
 *
 *   PEM ──OpenSSL──▶ EVP_PKEY ──▶ data of a libp2p PrivateKey ──▶ msub__key_from_data(): every check of an import applies
 *   key ──▶ data ──▶ EVP_PKEY ──▶ PKCS#8 ──▶ PEM, plain or encrypted */
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <string.h>
#include "crypto/private_key.h"

#define PEM_MAX 16384u          /* an encrypted RSA key of 8,192 bits takes less */
#define ITERATIONS 600000       /* of PBKDF2 with HMAC-SHA-256, OWASP's figure of 2023 */
#define CURVE "secp256k1"

/* ---- from PEM ---- */

typedef struct asked {
  msub_bytes passphrase;
  bool was; /* the text is encrypted */
} asked;

static int give_passphrase(char *out, int cap, int writing, void *ud) {
  asked *a = ud;
  (void)writing;
  a->was = true;
  if (a->passphrase.n == 0 || a->passphrase.n > (size_t)cap) return -1;
  memcpy(out, a->passphrase.p, a->passphrase.n);
  return (int)a->passphrase.n;
}

static bool is_curve(const EVP_PKEY *k) {
  char name[80];
  size_t n;
  return EVP_PKEY_get_utf8_string_param(k, OSSL_PKEY_PARAM_GROUP_NAME, name, sizeof name, &n) == 1 && strcmp(name, CURVE) == 0;
}

/* Fills data (cap bytes) as a PrivateKey of libp2p has it; its length, or 0. */
static size_t to_data(const EVP_PKEY *k, msub_key_type *type, uint8_t *data, size_t cap) {
  size_t half = 32;
  BIGNUM *scalar = NULL;
  int n;
  switch (EVP_PKEY_get_base_id(k)) {
  case EVP_PKEY_ED25519:
    *type = MSUB_KEY_ED25519;
    if (cap < 64 || EVP_PKEY_get_raw_private_key(k, data, &half) != 1 || half != 32) return 0;
    return EVP_PKEY_get_raw_public_key(k, data + 32, &half) == 1 && half == 32 ? 64 : 0;
  case EVP_PKEY_EC:
    if (is_curve(k)) {
      *type = MSUB_KEY_SECP256K1;
      n = EVP_PKEY_get_bn_param(k, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) == 1 ? BN_bn2binpad(scalar, data, 32) : -1;
      BN_clear_free(scalar);
      return n == 32 ? 32 : 0;
    }
    *type = MSUB_KEY_ECDSA;
    break;
  case EVP_PKEY_RSA: *type = MSUB_KEY_RSA; break;
  default: return 0;
  }
  n = i2d_PrivateKey(k, NULL);
  if (n <= 0 || (size_t)n > cap) return 0;
  return i2d_PrivateKey(k, &data) == n ? (size_t)n : 0;
}

int msub_key_from_pem(msub_bytes pem, msub_bytes passphrase, msub_key **out) {
  uint8_t data[MSUB__PRIVATE_DATA_MAX];
  asked a = { passphrase, false };
  msub_key_type type = MSUB_KEY_ED25519;
  *out = NULL;
  if (pem.n == 0 || pem.n > PEM_MAX) return MSUB_ERR_MALFORMED;
  BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
  if (!in) return MSUB_ERR_NOMEM;
  EVP_PKEY *k = PEM_read_bio_PrivateKey(in, NULL, give_passphrase, &a);
  BIO_free(in);
  int rc = MSUB_ERR_MALFORMED;
  if (k) {
    size_t n = to_data(k, &type, data, sizeof data);
    rc = n ? msub__key_from_data(type, (msub_bytes){ data, n }, out) : MSUB_ERR_UNSUPPORTED;
    sodium_memzero(data, sizeof data);
  } else if (a.was) {
    rc = passphrase.n == 0 ? MSUB_ERR_NOTFOUND : MSUB_ERR_CRYPTO;
  }
  EVP_PKEY_free(k);
  ERR_clear_error();
  return rc;
}

/* ---- to PEM ---- */

static EVP_PKEY *curve_key(msub_bytes scalar, msub_bytes compressed) {
  OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
  BIGNUM *d = BN_secure_new();
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
  EVP_PKEY *k = NULL;
  OSSL_PARAM *params = NULL;
  bool ok = b && d && ctx && BN_bin2bn(scalar.p, (int)scalar.n, d) && OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, CURVE, 0) &&
            OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, d) &&
            OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, compressed.p, compressed.n) && (params = OSSL_PARAM_BLD_to_param(b)) &&
            EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &k, EVP_PKEY_KEYPAIR, params) == 1;
  OSSL_PARAM_free(params);
  OSSL_PARAM_BLD_free(b);
  EVP_PKEY_CTX_free(ctx);
  BN_clear_free(d);
  return ok ? k : NULL;
}

static EVP_PKEY *from_data(const msub_key *k, msub_bytes data) {
  const uint8_t *at = data.p;
  msub_key_type type;
  msub_bytes public_data;
  switch (msub_key_type_of(k)) {
  case MSUB_KEY_ED25519: return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, data.p, 32);
  case MSUB_KEY_SECP256K1:
    return msub_public_key_split(msub_key_public(k), &type, &public_data) == MSUB_OK ? curve_key(data, public_data) : NULL;
  case MSUB_KEY_RSA: return d2i_PrivateKey(EVP_PKEY_RSA, NULL, &at, (long)data.n);
  case MSUB_KEY_ECDSA: return d2i_PrivateKey(EVP_PKEY_EC, NULL, &at, (long)data.n);
  }
  return NULL;
}

static bool write_pem(BIO *out, const EVP_PKEY *k, msub_bytes passphrase) {
  PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(k);
  if (!info) return false;
  bool ok;
  if (passphrase.n == 0) {
    ok = PEM_write_bio_PKCS8_PRIV_KEY_INFO(out, info) == 1;
  } else {
    X509_SIG *sealed = PKCS8_encrypt(-1, EVP_aes_256_cbc(), (const char *)passphrase.p, (int)passphrase.n, NULL, 0, ITERATIONS, info);
    ok = sealed && PEM_write_bio_PKCS8(out, sealed) == 1;
    X509_SIG_free(sealed);
  }
  PKCS8_PRIV_KEY_INFO_free(info);
  return ok;
}

size_t msub_key_to_pem(const msub_key *key, msub_bytes passphrase, char *out, size_t cap) {
  uint8_t data[MSUB__PRIVATE_DATA_MAX];
  char *text;
  size_t n = msub__key_data(key, data, sizeof data), size = 0;
  if (n == 0 || n > sizeof data || passphrase.n > PEM_BUFSIZE) return 0;
  EVP_PKEY *k = from_data(key, (msub_bytes){ data, n });
  sodium_memzero(data, sizeof data);
  BIO *to = BIO_new(BIO_s_secmem());
  if (k && to && write_pem(to, k, passphrase)) {
    long len = BIO_get_mem_data(to, &text);
    size = len > 0 ? (size_t)len : 0;
    if (size > 0 && size <= cap) memcpy(out, text, size);
  }
  BIO_free(to);
  EVP_PKEY_free(k);
  ERR_clear_error();
  return size;
}
