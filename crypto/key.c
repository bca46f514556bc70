#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/join.h"
#include "crypto/pbc.h"
#include "crypto/private_key.h"
#include "crypto/public_key.h"
#include "keys.pb-c.h"

#define PRIVATE_KEY_MAX MSUB__PRIVATE_DATA_MAX /* bytes of an encoded PrivateKey: RSA of 8192 bits fits */

_Static_assert(crypto_sign_SECRETKEYBYTES == 64, "seed, then public key");

struct msub_key {
  uint8_t secret[crypto_sign_SECRETKEYBYTES]; /* Ed25519: seed, then public key; secp256k1: 32 bytes */
  msub__private other;                        /* of the types besides Ed25519; OpenSSL keeps the secrets of its own */
  uint8_t public_key[MSUB_PUBLIC_KEY_MAX];
  uint16_t public_n;
  uint8_t type;
  bool locked; /* in guarded memory */
  msub_peer_id id;
};

static msub_key *key_new(void) {
  bool locked = true;
  msub_key *k = sodium_malloc(sizeof *k);
  if (!k) { /* guarded pages are a scarce thing */
    locked = false;
    k = malloc(sizeof *k);
  }
  if (!k) return NULL;
  memset(k, 0, sizeof *k);
  k->locked = locked;
  return k;
}

void msub_key_free(msub_key *k) {
  if (!k) return;
  bool locked = k->locked;
  msub__private_free(&k->other);
  sodium_memzero(k, sizeof *k);
  if (locked)
    sodium_free(k);
  else
    free(k);
}

/* The public half and the id; the key is the caller's, or gone. */
static int finish(msub_key *k, msub_key_type type, msub_bytes public_data, msub_key **out) {
  k->type = (uint8_t)type;
  k->public_n = (uint16_t)msub__public_key_encode(type, public_data, k->public_key, sizeof k->public_key);
  int rc = k->public_n ? msub_public_key_peer_id(msub_key_public(k), &k->id) : MSUB_ERR_UNSUPPORTED;
  if (rc != MSUB_OK) {
    msub_key_free(k);
    return rc;
  }
  *out = k;
  return MSUB_OK;
}

int msub_key_from_seed(const uint8_t seed[32], msub_key **out) {
  *out = NULL;
  if (sodium_init() < 0) return MSUB_ERR_IO;
  msub_key *k = key_new();
  if (!k) return MSUB_ERR_NOMEM;
  uint8_t raw[crypto_sign_PUBLICKEYBYTES];
  crypto_sign_seed_keypair(raw, k->secret, seed);
  return finish(k, MSUB_KEY_ED25519, (msub_bytes){ raw, sizeof raw }, out);
}

int msub_key_generate(msub_key **out) {
  uint8_t seed[crypto_sign_SEEDBYTES];
  *out = NULL;
  if (sodium_init() < 0) return MSUB_ERR_IO;
  randombytes_buf(seed, sizeof seed);
  int rc = msub_key_from_seed(seed, out);
  sodium_memzero(seed, sizeof seed);
  return rc;
}

/* Ed25519 private data: the seed and its public key, once or twice. */
static int import_ed25519(msub_bytes data, msub_key **out) {
  if (data.n != 64 && data.n != 96) return MSUB_ERR_MALFORMED;
  int rc = msub_key_from_seed(data.p, out);
  if (rc != MSUB_OK) return rc;
  for (size_t at = 32; at < data.n; at += 32) {
    if (sodium_memcmp((*out)->secret + 32, data.p + at, 32) != 0) rc = MSUB_ERR_CRYPTO;
  }
  if (rc != MSUB_OK) {
    msub_key_free(*out);
    *out = NULL;
  }
  return rc;
}

static int import_other(msub_key_type type, msub_bytes data, msub_key **out) {
  uint8_t public_data[MSUB_PUBLIC_KEY_MAX];
  size_t n = sizeof public_data;
  if (sodium_init() < 0) return MSUB_ERR_IO;
  msub_key *k = key_new();
  if (!k) return MSUB_ERR_NOMEM;
  int rc = msub__private_import(type, data, &k->other, k->secret, public_data, &n);
  if (rc == MSUB_OK) return finish(k, type, (msub_bytes){ public_data, n }, out);
  msub_key_free(k);
  return rc;
}

int msub_key_generate_type(msub_key_type type, unsigned rsa_bits, msub_key **out) {
  *out = NULL;
  if (type == MSUB_KEY_ED25519) return msub_key_generate(out);
  if (type != MSUB_KEY_RSA && type != MSUB_KEY_SECP256K1 && type != MSUB_KEY_ECDSA) return MSUB_ERR_INVAL;
  if (rsa_bits == 0) rsa_bits = MSUB_RSA_BITS_MIN;
  if (type == MSUB_KEY_RSA && (rsa_bits < MSUB_RSA_BITS_MIN || rsa_bits > MSUB_RSA_BITS_MAX || rsa_bits % 8)) return MSUB_ERR_INVAL;
  if (sodium_init() < 0) return MSUB_ERR_IO;
  uint8_t data[PRIVATE_KEY_MAX];
  size_t n = sizeof data;
  int rc = msub__private_generate(type, rsa_bits, data, &n);
  if (rc == MSUB_OK) rc = import_other(type, (msub_bytes){ data, n }, out);
  sodium_memzero(data, sizeof data);
  return rc;
}

int msub__key_from_data(msub_key_type type, msub_bytes data, msub_key **out) {
  *out = NULL;
  return type == MSUB_KEY_ED25519 ? import_ed25519(data, out) : import_other(type, data, out);
}

int msub_key_import(msub_bytes private_protobuf, msub_key **out) {
  uint64_t memory[(PRIVATE_KEY_MAX + 512) / 8];
  msub__arena arena;
  int rc;
  *out = NULL;
  if (private_protobuf.n == 0 || private_protobuf.n > PRIVATE_KEY_MAX) return MSUB_ERR_MALFORMED;
  msub__arena_init(&arena, memory, sizeof memory);
  ProtobufCAllocator allocator = msub__pbc(&arena);
  const Msub__Pb__PrivateKey *m =
      msub__pb__private_key__unpack(&allocator, private_protobuf.n, private_protobuf.p);
  if (!m || (int)m->type < 0 || (int)m->type > MSUB_KEY_ECDSA)
    rc = MSUB_ERR_MALFORMED;
  else
    rc = msub__key_from_data((msub_key_type)m->type, msub__pbc_view(m->data), out);
  sodium_memzero(memory, arena.used);
  return rc;
}

size_t msub__key_data(const msub_key *k, uint8_t *out, size_t cap) {
  if (k->type != MSUB_KEY_ED25519) return msub__private_export(&k->other, k->secret, out, cap);
  if (cap >= sizeof k->secret) memcpy(out, k->secret, sizeof k->secret);
  return sizeof k->secret;
}

size_t msub_key_export(const msub_key *k, uint8_t *out, size_t cap) {
  Msub__Pb__PrivateKey m = MSUB__PB__PRIVATE_KEY__INIT;
  uint8_t data[PRIVATE_KEY_MAX];
  msub_bytes secret = { data, msub__key_data(k, data, sizeof data) };
  if (secret.n == 0 || secret.n > sizeof data) return 0;
  m.type = (Msub__Pb__KeyType)k->type;
  m.data = msub__pbc_data(secret);
  size_t n = msub__pb__private_key__get_packed_size(&m);
  if (n <= cap) n = msub__pb__private_key__pack(&m, out);
  sodium_memzero(data, secret.n);
  return n;
}

msub_key_type msub_key_type_of(const msub_key *k) { return (msub_key_type)k->type; }

msub_bytes msub_key_public(const msub_key *k) { return (msub_bytes){ k->public_key, k->public_n }; }
msub_bytes msub_key_peer_id(const msub_key *k) { return msub_peer_id_bytes(&k->id); }

int msub_key_sign_parts(const msub_key *k, const msub_bytes *parts, size_t n, uint8_t *out, size_t cap) {
  msub__joined what;
  if (n > 4) return MSUB_ERR_INVAL;
  if (cap < crypto_sign_BYTES) return MSUB_ERR_LIMIT;
  int rc = msub__join(&what, parts, n);
  if (rc != MSUB_OK) return rc;
  if (k->type == MSUB_KEY_ED25519) {
    crypto_sign_detached(out, NULL, what.bytes.p, what.bytes.n, k->secret);
    rc = crypto_sign_BYTES;
  } else {
    rc = msub__private_sign(&k->other, k->secret, what.bytes, out, cap);
  }
  msub__join_free(&what);
  return rc;
}

int msub_key_signer(void *key, const msub_bytes *parts, size_t n, uint8_t *out, size_t cap) {
  return msub_key_sign_parts(key, parts, n, out, cap);
}

int msub_key_sign(const msub_key *k, msub_bytes what, uint8_t *out, size_t cap) {
  return msub_key_sign_parts(k, &what, 1, out, cap);
}
