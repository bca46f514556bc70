/* wire/noise_xx.h: the Noise protocol framework as far as Noise_XX_25519_ChaChaPoly_SHA256 needs it: cipher
 * state, symmetric state, handshake state, with any prologue and payloads. Source: Noise Protocol Framework,
 * revision 34, section 5. What libp2p makes of it is in noise.h; this header is for it and for known-answer
 * tests. */
#ifndef MSUB_WIRE_NOISE_XX_H
#define MSUB_WIRE_NOISE_XX_H
#include "base/mem.h"

#define MSUB__NOISE_KEY 32u
#define MSUB__NOISE_TAG 16u

/* The AEAD of one thread: OpenSSL's algorithm and contexts, fetched once and used for every connection. To
 * set the key anew costs 40 ns a record; contexts of its own would cost every connection about 2 KiB. */
typedef struct msub__noise_kit msub__noise_kit;
/* NOMEM, CRYPTO (OpenSSL has no such cipher). */
MSUB_MUST int msub__noise_kit_new(const msub_mem *mem, msub__noise_kit **out);
void msub__noise_kit_free(msub__noise_kit *k);

/* A key and the number of the next message. */
typedef struct msub__noise_cipher {
  uint8_t key[MSUB__NOISE_KEY];
  uint64_t nonce;
} msub__noise_cipher;
/* In place: n bytes at `data`, the tag goes behind them. CRYPTO: nonce 2^64-1 is reached or OpenSSL fails;
 * the nonce is unchanged. */
MSUB_MUST int msub__noise_encrypt(msub__noise_kit *k, msub__noise_cipher *c, msub_bytes ad, uint8_t *data,
                                  size_t n);
/* In place: n bytes of ciphertext and 16 of tag at `data`. CRYPTO: they do not verify; the nonce is unchanged
 * and the bytes at `data` are no plaintext. */
MSUB_MUST int msub__noise_decrypt(msub__noise_kit *k, msub__noise_cipher *c, msub_bytes ad, uint8_t *data,
                                  size_t n);

typedef struct msub__noise_xx {
  msub__noise_kit *kit;
  uint8_t s[MSUB__NOISE_KEY], e[MSUB__NOISE_KEY]; /* our secrets */
  uint8_t s_pub[MSUB__NOISE_KEY], e_pub[MSUB__NOISE_KEY];
  uint8_t rs[MSUB__NOISE_KEY], re[MSUB__NOISE_KEY]; /* the peer's public keys */
  uint8_t ck[MSUB__NOISE_KEY], h[MSUB__NOISE_KEY];
  msub__noise_cipher cipher;
  bool initiator, keyed;
  uint8_t step; /* messages done: 0 … 3 */
} msub__noise_xx;

/* CRYPTO: a secret yields no public key. */
MSUB_MUST int msub__noise_xx_init(msub__noise_xx *x, msub__noise_kit *kit, bool initiator,
                                  const uint8_t static_secret[32], const uint8_t ephemeral_secret[32],
                                  msub_bytes prologue);
void msub__noise_xx_wipe(msub__noise_xx *x);
/* What message number `step` is longer than its payload: 32, 96, 64. */
size_t msub__noise_xx_overhead(unsigned step);
/* Writes the next message without length prefix; room for payload.n + overhead. Returns its size. CRYPTO: an
 * all-zero shared secret; the handshake is over. */
MSUB_MUST int msub__noise_xx_write(msub__noise_xx *x, msub_bytes payload, uint8_t *out);
/* Reads the next message, decrypting in place; *payload is a view of it. MALFORMED: too short; CRYPTO. */
MSUB_MUST int msub__noise_xx_read(msub__noise_xx *x, uint8_t *message, size_t n, msub_bytes *payload);
/* After the third message: the two ciphers, and the handshake's secrets are wiped. */
MSUB_MUST int msub__noise_xx_split(msub__noise_xx *x, msub__noise_cipher *send, msub__noise_cipher *recv);
#endif
