/* meshsub/crypto.h (libmeshsub-crypto): identity keys, signatures, signed envelopes, hashes.
 * Sources: libp2p peer-ids, RFC 0002 (signed envelopes), RFC 0003 (peer routing records).
 * Threads: a msub_key is immutable after it is made; any number of threads may sign and verify with it. */
#ifndef MESHSUB_CRYPTO_H
#define MESHSUB_CRYPTO_H
#include "base.h"
#include "peer_id.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum msub_key_type { MSUB_KEY_RSA = 0, MSUB_KEY_ED25519 = 1, MSUB_KEY_SECP256K1 = 2, MSUB_KEY_ECDSA = 3 } msub_key_type;
#define MSUB_PUBLIC_KEY_MAX 2100 /* bytes of an encoded PublicKey: RSA of 8192 bits fits */
#define MSUB_SIG_MAX 1024
/* Bits of an RSA modulus. Below MIN and above MAX nobody in libp2p takes one; above MSUB_RSA_BITS a key is UNSUPPORTED unless a call says
 * otherwise: a verification of 8,192 bits costs four times as much as one of 4,096. The public exponent is odd, 3 … 2^31-1. */
#define MSUB_RSA_BITS_MIN 2048
#define MSUB_RSA_BITS 4096
#define MSUB_RSA_BITS_MAX 8192

typedef struct msub_key msub_key; /* a private key with its public half; memory is locked and wiped where the system lets it */

/* Makes a new Ed25519 key from the system's random source. NOMEM, IO. (Else only RSA and ECDSA signatures draw randomness, OpenSSL's own.) */
MSUB_API int msub_key_generate(msub_key **out);
/* The same of any type; rsa_bits is read for RSA only: a multiple of 8 within MSUB_RSA_BITS_MIN … MSUB_RSA_BITS_MAX, 0: 2,048. ECDSA is on P-256. RSA
 * takes some 100 ms, of 8,192 bits many seconds. INVAL: no such type or size; NOMEM, IO, CRYPTO: OpenSSL made none. */
MSUB_API int msub_key_generate_type(msub_key_type type, unsigned rsa_bits, msub_key **out);
/* From a libp2p PrivateKey protobuf. Ed25519: 64 bytes (seed, public) or 96 (public twice); secp256k1: 32 bytes; RSA: PKCS#1, 2,048 … 8,192
 * bits; ECDSA: ECPrivateKey on P-256, P-384 or P-521. The secrets of the last two are kept by OpenSSL, in memory that is wiped but not locked.
 * MALFORMED; UNSUPPORTED: another curve or length; CRYPTO: the public half does not match; NOMEM. */
MSUB_API int msub_key_import(msub_bytes private_protobuf, msub_key **out);
MSUB_API int msub_key_from_seed(const uint8_t seed[32], msub_key **out); /* Ed25519 */
/* The PrivateKey protobuf; returns the length needed, writes when cap suffices. Wipe it after use. */
MSUB_API size_t msub_key_export(const msub_key *k, uint8_t *out, size_t cap);
/* From PEM: PKCS#8 (what `openssl genpkey` writes and `ipfs key export --format=pem-pkcs8-cleartext`), plain or encrypted, PKCS#1, or
 * an EC key; of secp256k1 too. passphrase: empty when there is none. Bytes behind the key are left out. MALFORMED: no private key in PEM; NOTFOUND: it is encrypted and
 * no passphrase was given; CRYPTO: another passphrase, or the halves of the key do not match; UNSUPPORTED: another kind or length; NOMEM. */
MSUB_API int msub_key_from_pem(msub_bytes pem, msub_bytes passphrase, msub_key **out);
/* As PKCS#8 in PEM, without a NUL; with a passphrase (at most 1,024 bytes) encrypted by AES-256-CBC under PBKDF2-HMAC-SHA-256, 600,000 rounds.
 * Length needed, writes when cap suffices (16 KiB always does); 0: no memory, or a longer passphrase. Wipe it after use. */
MSUB_API size_t msub_key_to_pem(const msub_key *k, msub_bytes passphrase, char *out, size_t cap);
MSUB_API void msub_key_free(msub_key *k); /* wipes; NULL is fine */
MSUB_API msub_key_type msub_key_type_of(const msub_key *k);
MSUB_API msub_bytes msub_key_public(const msub_key *k);  /* encoded PublicKey, lives as long as k */
MSUB_API msub_bytes msub_key_peer_id(const msub_key *k); /* same */
/* Length of the signature (64 for Ed25519, at most 139 for ECDSA, 72 for secp256k1, the modulus for RSA), or a negative error; LIMIT: cap too
 * small (at least 64 always). ECDSA signatures differ each time, the others do not. */
MSUB_API int msub_key_sign(const msub_key *k, msub_bytes what, uint8_t *out, size_t cap);

/* An encoded PublicKey: type and raw data as views. MALFORMED. */
MSUB_API int msub_public_key_split(msub_bytes encoded, msub_key_type *type, msub_bytes *data);
/* The peer id of an encoded PublicKey of any of the four types: identity multihash up to 42 bytes, sha2-256 above. */
MSUB_API int msub_public_key_peer_id(msub_bytes encoded, msub_peer_id *out);
/* The encoded PublicKey inside an identity peer id, as a view; empty when the id is a hash. */
MSUB_API msub_bytes msub_peer_id_public_key(msub_bytes peer_id);
/* OK, CRYPTO (does not verify; a key or signature of the wrong form too), UNSUPPORTED (a key that this build leaves alone: RSA above
 * MSUB_RSA_BITS, ECDSA on another curve than P-256, P-384, P-521), MALFORMED.
 * A public key in any but its deterministic encoding is MALFORMED: one key has one peer id. NOMEM: long input in several parts.
 * Ed25519 by libsodium: small-order and non-canonical keys are refused. RSA and ECDSA keys are strict DER (SubjectPublicKeyInfo), secp256k1
 * ones compressed points. Pure: any thread. */
MSUB_API int msub_verify(msub_bytes public_key, msub_bytes what, msub_bytes signature);
/* The same over several pieces joined ("libp2p-pubsub:" and the message, say). n <= 4. */
MSUB_API int msub_verify_parts(msub_bytes public_key, const msub_bytes *parts, size_t n, msub_bytes signature);
/* The same with another bound for RSA: rsa_bits, MSUB_RSA_BITS_MIN … MSUB_RSA_BITS_MAX. */
MSUB_API int msub_verify_parts_rsa(msub_bytes public_key, const msub_bytes *parts, size_t n, msub_bytes signature, unsigned rsa_bits);
MSUB_API int msub_key_sign_parts(const msub_key *k, const msub_bytes *parts, size_t n, uint8_t *out, size_t cap);
/* msub_key_sign_parts() in the form that msub_publish_opts.sign (engine.h) takes; key: a msub_key, as sign_ud. */
MSUB_API int msub_key_signer(void *key, const msub_bytes *parts, size_t n, uint8_t *out, size_t cap);

MSUB_API void msub_sha256(msub_bytes in, uint8_t out[32]);

/* Signed envelopes. Views into the input. */
typedef struct msub_envelope { msub_bytes public_key, payload_type, payload, signature; } msub_envelope;
MSUB_API int msub_envelope_parse(msub_bytes in, msub_envelope *out);  /* MALFORMED; checks no signature */
MSUB_API int msub_envelope_verify(const msub_envelope *e, msub_bytes domain);
/* Length needed; writes when cap suffices; 0: signing failed, or the envelope would be over 16 KiB (what parse accepts). */
MSUB_API size_t msub_envelope_seal(const msub_key *k, msub_bytes domain, msub_bytes type, msub_bytes payload, uint8_t *out, size_t cap);

/* Peer records in both dialects: MSUB_RECORD_GO (domain "libp2p-peer-record", type 03 01; what go, js and nim write) and
 * MSUB_RECORD_RFC (domain "libp2p-routing-state", type "/libp2p/routing-state-record"; rust's default). */
typedef enum msub_record_dialect { MSUB_RECORD_GO, MSUB_RECORD_RFC } msub_record_dialect;
#define MSUB_RECORD_ADDRS 64
typedef struct msub_peer_record {
  msub_peer_id peer;      /* verified: equals the id of the envelope's key */
  uint64_t seq;
  size_t n_addrs;         /* at most MSUB_RECORD_ADDRS; more are left out */
  msub_bytes addrs[MSUB_RECORD_ADDRS]; /* views into the envelope; malformed ones are left out */
  msub_record_dialect dialect;
} msub_peer_record;
/* Verifies the envelope in either dialect and the binding key = peer id. `expect`: when not empty the id must be this one. MALFORMED, CRYPTO, MISMATCH, UNSUPPORTED (key type). */
MSUB_API int msub_peer_record_open(msub_bytes envelope, msub_bytes expect, msub_peer_record *out);
/* As msub_envelope_seal; 0 also for more than MSUB_RECORD_ADDRS addresses. */
MSUB_API size_t msub_peer_record_seal(const msub_key *k, uint64_t seq, const msub_bytes *addrs, size_t n, msub_record_dialect d, uint8_t *out, size_t cap);

/* Signature policy of pubsub messages (validators/signature.c): verifies a whole encoded Message: `from` is a peer id, `key` (when
 * there) is its key, the signature covers "libp2p-pubsub:" and the message without signature and key. For msub_engine_opts.verify.
 * ACCEPT; REJECT; IGNORE where honest implementations differ: a key that msub_verify() leaves alone; an author that is written as an identity
 * multihash although its key is too long for one. THROTTLED: no memory. Pure, any thread. No library of this build verifies signatures in batches, so there is no
 * function for msub_engine_opts.verify_many here. */
MSUB_API msub_verdict msub_signature_verify(const void *wire, size_t n);
/* The same with RSA keys up to MSUB_RSA_BITS_MAX. */
MSUB_API msub_verdict msub_signature_verify_rsa8192(const void *wire, size_t n);
struct msub_msg;
/* A message-id function for channels (channel.h): SHA-256 of the data, 32 bytes. The default of the programs for anonymous topics. */
MSUB_API size_t msub_id_sha256(const struct msub_msg *m, uint8_t out[128]);

#ifdef __cplusplus
}
#endif
#endif
