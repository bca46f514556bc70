#include <string.h>
#include "crypto/join.h"
#include "crypto/pbc.h"
#include "crypto/public_key.h"
#include "keys.pb-c.h"

#define IDENTITY_MAX 42u /* an encoded key up to this length is its own peer id */

size_t msub__public_key_encode(msub_key_type type, msub_bytes data, uint8_t *out, size_t cap) {
  Msub__Pb__PublicKey m = MSUB__PB__PUBLIC_KEY__INIT;
  m.type = (Msub__Pb__KeyType)type;
  m.data = msub__pbc_data(data);
  if (msub__pb__public_key__get_packed_size(&m) > cap) return 0;
  return msub__pb__public_key__pack(&m, out);
}

/* Only the deterministic encoding is a key: with two encodings of one key, one peer would have two ids. */
int msub_public_key_split(msub_bytes encoded, msub_key_type *type, msub_bytes *data) {
  uint64_t memory[(MSUB_PUBLIC_KEY_MAX + 512) / 8];
  uint8_t again[MSUB_PUBLIC_KEY_MAX];
  msub__arena arena;
  if (encoded.n == 0 || encoded.n > MSUB_PUBLIC_KEY_MAX) return MSUB_ERR_MALFORMED;
  msub__arena_init(&arena, memory, sizeof memory);
  ProtobufCAllocator allocator = msub__pbc(&arena);
  const Msub__Pb__PublicKey *m = msub__pb__public_key__unpack(&allocator, encoded.n, encoded.p);
  if (!m || (int)m->type < 0 || (int)m->type > MSUB_KEY_ECDSA) return MSUB_ERR_MALFORMED;
  size_t n = msub__public_key_encode((msub_key_type)m->type, msub__pbc_view(m->data), again, sizeof again);
  if (!msub_bytes_eq((msub_bytes){ again, n }, encoded)) return MSUB_ERR_MALFORMED;
  *type = (msub_key_type)m->type;
  *data = (msub_bytes){ encoded.p + encoded.n - m->data.len, m->data.len };
  return MSUB_OK;
}

static bool right_form(msub_key_type type, msub_bytes data) {
  switch (type) {
  case MSUB_KEY_ED25519: return data.n == 32;
  case MSUB_KEY_SECP256K1: return data.n == 33 && (data.p[0] == 2 || data.p[0] == 3);
  case MSUB_KEY_RSA:
  case MSUB_KEY_ECDSA: return data.n > 0;
  }
  return false;
}

int msub_public_key_peer_id(msub_bytes encoded, msub_peer_id *out) {
  msub_key_type type;
  msub_bytes data;
  int rc = msub_public_key_split(encoded, &type, &data);
  if (rc != MSUB_OK) return rc;
  if (!right_form(type, data)) return MSUB_ERR_MALFORMED;
  if (encoded.n <= IDENTITY_MAX) {
    out->n = (uint8_t)(2 + encoded.n);
    out->bytes[0] = 0x00;
    out->bytes[1] = (uint8_t)encoded.n;
    memcpy(out->bytes + 2, encoded.p, encoded.n);
  } else {
    out->n = 34;
    out->bytes[0] = 0x12;
    out->bytes[1] = 32;
    msub_sha256(encoded, out->bytes + 2);
  }
  return MSUB_OK;
}

msub_bytes msub_peer_id_public_key(msub_bytes peer_id) {
  if (msub_peer_id_check(peer_id) != MSUB_OK || peer_id.p[0] != 0x00) return (msub_bytes){ NULL, 0 };
  return (msub_bytes){ peer_id.p + 2, peer_id.n - 2 };
}

int msub_verify_parts_rsa(msub_bytes public_key, const msub_bytes *parts, size_t n, msub_bytes signature, unsigned rsa_bits) {
  msub_key_type type;
  msub_bytes data;
  msub__joined what;
  if (n > 4) return MSUB_ERR_INVAL;
  int rc = msub_public_key_split(public_key, &type, &data);
  if (rc == MSUB_OK) rc = msub__key_form(type, data, rsa_bits);
  if (rc == MSUB_OK) rc = msub__join(&what, parts, n);
  if (rc != MSUB_OK) return rc;
  rc = msub__verify(type, data, what.bytes, signature);
  msub__join_free(&what);
  return rc;
}

int msub_verify_parts(msub_bytes public_key, const msub_bytes *parts, size_t n, msub_bytes signature) {
  return msub_verify_parts_rsa(public_key, parts, n, signature, MSUB_RSA_BITS);
}

int msub_verify(msub_bytes public_key, msub_bytes what, msub_bytes signature) {
  return msub_verify_parts(public_key, &what, 1, signature);
}
