/* wire/noise_xx.c: see noise_xx.h. X25519, SHA-256 and HMAC by libsodium (they cannot fail and allocate
 * nothing), the AEAD by OpenSSL (2.4 times as fast on full records). */
#include "wire/noise_xx.h"
#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>
#include "base/assert.h"

struct msub__noise_kit {
  msub_mem mem;
  EVP_CIPHER *algorithm;
  EVP_CIPHER_CTX *seal, *open;
};

/* ---- the AEAD ---- */

void msub__noise_kit_free(msub__noise_kit *k) {
  if (!k) return;
  EVP_CIPHER_CTX_free(k->seal);
  EVP_CIPHER_CTX_free(k->open);
  EVP_CIPHER_free(k->algorithm);
  msub_mem mem = k->mem;
  msub__free(&mem, k, sizeof *k);
}

int msub__noise_kit_new(const msub_mem *mem, msub__noise_kit **out) {
  msub_mem m = mem ? *mem : msub__mem_default();
  msub__noise_kit *k = msub__zalloc(&m, 1, sizeof *k);
  if (!k) return MSUB_ERR_NOMEM;
  k->mem = m;
  k->algorithm = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
  k->seal = EVP_CIPHER_CTX_new();
  k->open = EVP_CIPHER_CTX_new();
  if (!k->algorithm || !k->seal || !k->open || sodium_init() < 0 ||
      !EVP_EncryptInit_ex2(k->seal, k->algorithm, NULL, NULL, NULL) ||
      !EVP_DecryptInit_ex2(k->open, k->algorithm, NULL, NULL, NULL)) {
    msub__noise_kit_free(k);
    return MSUB_ERR_CRYPTO;
  }
  *out = k;
  return MSUB_OK;
}

/* 32 zero bits, then the number little-endian. */
static void nonce_bytes(uint64_t nonce, uint8_t iv[12]) {
  memset(iv, 0, 4);
  for (unsigned i = 0; i < 8; i++) iv[4 + i] = (uint8_t)(nonce >> (8 * i));
}

int msub__noise_encrypt(msub__noise_kit *k, msub__noise_cipher *c, msub_bytes ad, uint8_t *data, size_t n) {
  uint8_t iv[12];
  int got;
  if (c->nonce == UINT64_MAX) return MSUB_ERR_CRYPTO; /* reserved: to count on would use a nonce twice */
  MSUB__INVARIANT(n <= INT32_MAX && ad.n <= INT32_MAX);
  nonce_bytes(c->nonce, iv);
  if (!EVP_EncryptInit_ex2(k->seal, NULL, c->key, iv, NULL) ||
      (ad.n > 0 && !EVP_EncryptUpdate(k->seal, NULL, &got, ad.p, (int)ad.n)) ||
      (n > 0 && !EVP_EncryptUpdate(k->seal, data, &got, data, (int)n)) ||
      !EVP_EncryptFinal_ex(k->seal, data + n, &got) ||
      !EVP_CIPHER_CTX_ctrl(k->seal, EVP_CTRL_AEAD_GET_TAG, (int)MSUB__NOISE_TAG, data + n))
    return MSUB_ERR_CRYPTO;
  c->nonce++;
  return MSUB_OK;
}

int msub__noise_decrypt(msub__noise_kit *k, msub__noise_cipher *c, msub_bytes ad, uint8_t *data, size_t n) {
  uint8_t iv[12];
  int got;
  if (c->nonce == UINT64_MAX) return MSUB_ERR_CRYPTO;
  MSUB__INVARIANT(n <= INT32_MAX && ad.n <= INT32_MAX);
  nonce_bytes(c->nonce, iv);
  /* OpenSSL compares the tag in constant time. */
  if (!EVP_DecryptInit_ex2(k->open, NULL, c->key, iv, NULL) ||
      !EVP_CIPHER_CTX_ctrl(k->open, EVP_CTRL_AEAD_SET_TAG, (int)MSUB__NOISE_TAG, data + n) ||
      (ad.n > 0 && !EVP_DecryptUpdate(k->open, NULL, &got, ad.p, (int)ad.n)) ||
      (n > 0 && !EVP_DecryptUpdate(k->open, data, &got, data, (int)n)) ||
      !EVP_DecryptFinal_ex(k->open, data + n, &got))
    return MSUB_ERR_CRYPTO;
  c->nonce++;
  return MSUB_OK;
}

/* ---- the symmetric state ---- */

static msub_bytes view(const uint8_t *p, size_t n) { return (msub_bytes){ p, n }; }

static void mix_hash(msub__noise_xx *x, msub_bytes data) {
  crypto_hash_sha256_state s;
  crypto_hash_sha256_init(&s);
  crypto_hash_sha256_update(&s, x->h, sizeof x->h);
  if (data.n > 0) crypto_hash_sha256_update(&s, data.p, data.n);
  crypto_hash_sha256_final(&s, x->h);
}

static void hmac(const uint8_t key[32], msub_bytes a, uint8_t last, uint8_t out[32]) {
  crypto_auth_hmacsha256_state s;
  crypto_auth_hmacsha256_init(&s, key, 32);
  if (a.n > 0) crypto_auth_hmacsha256_update(&s, a.p, a.n);
  if (last > 0) crypto_auth_hmacsha256_update(&s, &last, 1);
  crypto_auth_hmacsha256_final(&s, out);
  sodium_memzero(&s, sizeof s);
}

/* HKDF with two outputs (the framework's section 4.3). `a` and `b` may be the chaining key itself. */
static void hkdf(const uint8_t ck[32], msub_bytes input, uint8_t a[32], uint8_t b[32]) {
  uint8_t temp[32];
  hmac(ck, input, 0, temp);
  hmac(temp, view(NULL, 0), 1, a);
  hmac(temp, view(a, 32), 2, b);
  sodium_memzero(temp, sizeof temp);
}

static int mix_dh(msub__noise_xx *x, const uint8_t secret[32], const uint8_t public_key[32]) {
  uint8_t shared[32];
  /* fails for an all-zero result: a small-order point would make the key known to everybody */
  if (crypto_scalarmult_curve25519(shared, secret, public_key) != 0) return MSUB_ERR_CRYPTO;
  hkdf(x->ck, view(shared, sizeof shared), x->ck, x->cipher.key);
  x->cipher.nonce = 0;
  x->keyed = true;
  sodium_memzero(shared, sizeof shared);
  return MSUB_OK;
}

/* n bytes at `data` in place; *size: what they have become, longer by the tag once there is a key. */
static int encrypt_and_hash(msub__noise_xx *x, uint8_t *data, size_t n, size_t *size) {
  if (x->keyed) {
    int err = msub__noise_encrypt(x->kit, &x->cipher, view(x->h, sizeof x->h), data, n);
    if (err) return err;
    n += MSUB__NOISE_TAG;
  }
  mix_hash(x, view(data, n));
  *size = n;
  return MSUB_OK;
}

/* n bytes with their tag, if there is a key, at `data` in place. */
static int decrypt_and_hash(msub__noise_xx *x, uint8_t *data, size_t n) {
  uint8_t before[32];
  memcpy(before, x->h, sizeof before);
  mix_hash(x, view(data, n)); /* over the ciphertext, so before it is overwritten */
  if (!x->keyed) return MSUB_OK;
  return msub__noise_decrypt(x->kit, &x->cipher, view(before, sizeof before), data, n - MSUB__NOISE_TAG);
}

/* ---- the pattern ---- */

int msub__noise_xx_init(msub__noise_xx *x, msub__noise_kit *kit, bool initiator,
                        const uint8_t static_secret[32], const uint8_t ephemeral_secret[32],
                        msub_bytes prologue) {
  static const char name[] = "Noise_XX_25519_ChaChaPoly_SHA256";
  _Static_assert(sizeof name - 1 == sizeof x->h, "a name of hash length is used as it is");
  *x = (msub__noise_xx){ .kit = kit, .initiator = initiator };
  memcpy(x->s, static_secret, sizeof x->s);
  memcpy(x->e, ephemeral_secret, sizeof x->e);
  memcpy(x->h, name, sizeof x->h);
  memcpy(x->ck, name, sizeof x->ck);
  mix_hash(x, prologue);
  if (crypto_scalarmult_curve25519_base(x->s_pub, x->s) != 0 ||
      crypto_scalarmult_curve25519_base(x->e_pub, x->e) != 0) {
    msub__noise_xx_wipe(x);
    return MSUB_ERR_CRYPTO;
  }
  return MSUB_OK;
}

void msub__noise_xx_wipe(msub__noise_xx *x) { sodium_memzero(x, sizeof *x); }

size_t msub__noise_xx_overhead(unsigned step) {
  static const uint8_t overhead[] = { MSUB__NOISE_KEY, 2 * MSUB__NOISE_KEY + 2 * MSUB__NOISE_TAG,
                                      MSUB__NOISE_KEY + 2 * MSUB__NOISE_TAG };
  MSUB__INVARIANT(step < 3);
  return overhead[step];
}

/* One token of a pattern: a public key of ours or theirs, or a shared secret of the two letters' keys,
 * initiator's first. */
typedef enum { END, E, S, EE, ES, SE } token;
static const token pattern[3][5] = { { E }, { E, EE, S, ES }, { S, SE } };

static int mix_token(msub__noise_xx *x, token t) {
  /* es: the initiator's ephemeral with the responder's static; se the other way round */
  bool own_ephemeral = t == EE || (t == ES) == x->initiator;
  bool their_ephemeral = t == EE || (t == SE) == x->initiator;
  return mix_dh(x, own_ephemeral ? x->e : x->s, their_ephemeral ? x->re : x->rs);
}

int msub__noise_xx_write(msub__noise_xx *x, msub_bytes payload, uint8_t *out) {
  size_t at = 0, n;
  int err = MSUB_OK;
  MSUB__INVARIANT(x->step < 3 && (x->step % 2 == 0) == x->initiator);
  for (const token *t = pattern[x->step]; *t != END && !err; t++) {
    if (*t == E) {
      memcpy(out + at, x->e_pub, sizeof x->e_pub);
      mix_hash(x, view(x->e_pub, sizeof x->e_pub));
      at += sizeof x->e_pub;
    } else if (*t == S) {
      memcpy(out + at, x->s_pub, sizeof x->s_pub);
      err = encrypt_and_hash(x, out + at, sizeof x->s_pub, &n);
      at += err ? 0 : n;
    } else {
      err = mix_token(x, *t);
    }
  }
  if (err) return err;
  if (payload.n > 0) memcpy(out + at, payload.p, payload.n);
  err = encrypt_and_hash(x, out + at, payload.n, &n);
  if (err) return err;
  x->step++;
  return (int)(at + n);
}

int msub__noise_xx_read(msub__noise_xx *x, uint8_t *message, size_t n, msub_bytes *payload) {
  size_t at = 0;
  int err = MSUB_OK;
  MSUB__INVARIANT(x->step < 3 && (x->step % 2 == 1) == x->initiator);
  if (n < msub__noise_xx_overhead(x->step)) return MSUB_ERR_MALFORMED;
  for (const token *t = pattern[x->step]; *t != END && !err; t++) {
    if (*t == E) {
      memcpy(x->re, message + at, sizeof x->re);
      mix_hash(x, view(x->re, sizeof x->re));
      at += sizeof x->re;
    } else if (*t == S) {
      err = decrypt_and_hash(x, message + at, sizeof x->rs + MSUB__NOISE_TAG);
      memcpy(x->rs, message + at, sizeof x->rs);
      at += sizeof x->rs + MSUB__NOISE_TAG;
    } else {
      err = mix_token(x, *t);
    }
  }
  if (!err) err = decrypt_and_hash(x, message + at, n - at);
  if (err) return err;
  *payload = view(message + at, n - at - (x->keyed ? MSUB__NOISE_TAG : 0));
  x->step++;
  return MSUB_OK;
}

int msub__noise_xx_split(msub__noise_xx *x, msub__noise_cipher *send, msub__noise_cipher *recv) {
  if (x->step != 3) return MSUB_ERR_STATE;
  msub__noise_cipher *first = x->initiator ? send : recv, *second = x->initiator ? recv : send;
  hkdf(x->ck, view(NULL, 0), first->key, second->key);
  first->nonce = second->nonce = 0;
  msub__noise_xx_wipe(x);
  return MSUB_OK;
}
