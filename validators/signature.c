/* The signature policy's heavy half: one message, verified by itself. Source: pubsub specification "Message Signing", and what go does:
 * neither signature nor key is signed. */
#include "meshsub/crypto.h"
#include "meshsub/rpc.h"
#include <stdlib.h>

#define ON_STACK 4096

static int verify_bytes(msub_bytes key, msub_bytes what, msub_bytes signature, unsigned rsa_bits) {
  msub_bytes parts[2] = { msub_str("libp2p-pubsub:"), what };
  return msub_verify_parts_rsa(key, parts, 2, signature, rsa_bits);
}

static int verify(const msub_msg_view *v, msub_bytes key, unsigned rsa_bits) {
  if (v->prefix_n) return verify_bytes(key, (msub_bytes){ v->raw.p, v->prefix_n }, v->signature, rsa_bits);
  /* Fields out of order, padded or unknown: what was signed has to be written down. */
  uint8_t small[ON_STACK];
  size_t n = msub_msg_signed_bytes(v, NULL, 0);
  uint8_t *p = n <= sizeof small ? small : malloc(n);
  if (!p) return MSUB_ERR_NOMEM;
  msub_msg_signed_bytes(v, p, n);
  int rc = verify_bytes(key, (msub_bytes){ p, n }, v->signature, rsa_bits);
  if (p != small) free(p);
  return rc;
}

/* An identity multihash of a key that is too long for one: not the author's peer id, though some take it for that. */
static bool long_identity(msub_bytes from) {
  size_t head = from.n > 2 && from.p[1] & 0x80 ? 3 : 2;
  msub_key_type type;
  msub_bytes data;
  if (from.n <= head || from.p[0] != 0x00 || (head == 3 && from.p[2] & 0x80)) return false;
  size_t n = head == 2 ? from.p[1] : (size_t)(from.p[1] & 0x7f) | (size_t)from.p[2] << 7;
  return n == from.n - head && msub_public_key_split((msub_bytes){ from.p + head, n }, &type, &data) == MSUB_OK;
}

static msub_verdict judge(msub_bytes wire, unsigned rsa_bits) {
  msub_msg_view v;
  if (msub_msg_parse(wire, &v) != MSUB_OK || v.signature.n == 0) return MSUB_REJECT;
  if (msub_peer_id_check(v.from) != MSUB_OK) return long_identity(v.from) ? MSUB_IGNORE : MSUB_REJECT;
  msub_bytes key = msub_peer_id_public_key(v.from);
  if (v.present & MSUB_HAS_KEY) { /* the key must be the author's */
    msub_peer_id id;
    if (msub_public_key_peer_id(v.key, &id) != MSUB_OK || !msub_bytes_eq(msub_peer_id_bytes(&id), v.from)) return MSUB_REJECT;
    key = v.key;
  }
  if (key.n == 0) return MSUB_REJECT;
  switch (verify(&v, key, rsa_bits)) {
  case MSUB_OK: return MSUB_ACCEPT;
  case MSUB_ERR_UNSUPPORTED: return MSUB_IGNORE;
  case MSUB_ERR_NOMEM: return MSUB_THROTTLED;
  default: return MSUB_REJECT;
  }
}

msub_verdict msub_signature_verify(const void *wire, size_t n) { return judge((msub_bytes){ wire, n }, MSUB_RSA_BITS); }
msub_verdict msub_signature_verify_rsa8192(const void *wire, size_t n) { return judge((msub_bytes){ wire, n }, MSUB_RSA_BITS_MAX); }

size_t msub_id_sha256(const msub_msg *m, uint8_t out[128]) {
  msub_sha256(msub_data(m), out);
  return 32;
}
