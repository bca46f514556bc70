/* wire/noise.h: the libp2p secure channel /noise: Noise_XX_25519_ChaChaPoly_SHA256 with an empty prologue,
 * the peer's identity proved in the handshake payload, and the stream muxer chosen on the way. Without I/O,
 * clock or random source: the caller passes the keys. Source: libp2p noise specification r5; the handshake
 * proper is in noise_xx.h.
 *
 *   initiator  WRITE ─ e ──────────────────────► READ   responder
 *              READ  ◄────────── e,ee,s,es,(id) ─ WRITE      (id): identity key, signature, muxers
 *              WRITE ─ s,se,(id) ──────────────► READ
 *              READY                              READY
 *
 *   before READY: msub__noise_turn_of() says whose turn it is; msub__noise_output() or msub__noise_input()
 *   when READY:   msub__noise_seal() and msub__noise_open() on whole records, in place
 *
 * Every error ends the connection, at once and without a word to the peer; the object then answers only
 * errors. Give the handshake one deadline (MSUB__UPGRADE_NS) as a whole. */
#ifndef MSUB_WIRE_NOISE_H
#define MSUB_WIRE_NOISE_H
#include "meshsub/crypto.h"
#include "wire/limits.h"
#include "wire/noise_xx.h"

typedef struct msub__noise msub__noise;

typedef struct msub__noise_options {
  const msub_mem *mem;      /* copied; NULL: malloc */
  msub__noise_kit *kit;     /* cipher context shared by the connections of a thread; outlives them */
  const msub_key *identity; /* outlives the handshake */
  msub_bytes expect;        /* the peer id that was dialled; empty: anyone. Copied */
  const msub_bytes *muxers; /* what we offer, in our order; outlives the handshake */
  size_t n_muxers;          /* 0: no extension is sent */
  bool initiator;
  /* 32 bytes each from the system's random source, fresh for every connection; copied, wipe yours. */
  const uint8_t *static_secret, *ephemeral_secret;
  unsigned key_types; /* bit 1 << msub_key_type: whose keys are taken; 0: all */
  unsigned rsa_bits;  /* of the largest RSA key that is taken; 0: MSUB_RSA_BITS */
} msub__noise_options;

/* NOMEM; INVAL: something is missing; CRYPTO: the secrets yield no key. */
MSUB_MUST int msub__noise_new(const msub__noise_options *o, msub__noise **out);
/* Wipes all secrets; NULL is fine. */
void msub__noise_free(msub__noise *n);

typedef enum msub__noise_turn {
  MSUB__NOISE_WRITE,
  MSUB__NOISE_READ,
  MSUB__NOISE_READY,
  MSUB__NOISE_FAILED
} msub__noise_turn;
msub__noise_turn msub__noise_turn_of(const msub__noise *n);

/* Room that any handshake message fits in, length prefix included. */
#define MSUB__NOISE_HANDSHAKE_MAX (2u + 96u + MSUB__NOISE_PAYLOAD_MAX + 16u)
/* On WRITE: writes the next handshake message with its length prefix. Returns its size; LIMIT: cap <
 * MSUB__NOISE_HANDSHAKE_MAX (nothing happened); STATE: not our turn; CRYPTO, NOMEM: the object has FAILED. */
MSUB_MUST int msub__noise_output(msub__noise *n, uint8_t *out, size_t cap);
/* On READ: takes one whole handshake message from the front of `in`; *used is 0 when it is not whole yet (at
 * most MSUB__NOISE_HANDSHAKE_MAX bytes have to be kept). Bytes behind it belong to the next turn: show them
 * again. MALFORMED, CRYPTO (bad tag, key or signature), UNSUPPORTED (identity key of a kind that cannot be
 * checked), MISMATCH (another peer than expected), LIMIT (over MSUB__NOISE_PAYLOAD_MAX), NOMEM: FAILED.
 * STATE: not the peer's turn. */
MSUB_MUST int msub__noise_input(msub__noise *n, msub_bytes in, size_t *used);

/* When READY; before that empty, so that nothing of an unproved peer can be used. Live as long as n. */
msub_bytes msub__noise_peer_id(const msub__noise *n);
msub_bytes msub__noise_peer_key(const msub__noise *n); /* encoded PublicKey */
/* When READY: the index in o->muxers of the first entry of the initiator's list that the responder lists too,
 * or -1: nothing in common or no extension sent; then the caller negotiates with multistream inside the
 * channel, as go does. */
int msub__noise_muxer(const msub__noise *n);

/* ---- records ----
 *
 *   record:  │ length, 2 bytes │ ciphertext, as long as the plaintext │ tag, 16 bytes │
 */
#define MSUB__NOISE_HEAD 2u      /* where the plaintext begins */
#define MSUB__NOISE_OVERHEAD 18u /* what a record is longer than its plaintext */
/* Encrypts in place: plain_n bytes of plaintext stand at record + 2, room for plain_n + MSUB__NOISE_OVERHEAD.
 * Returns the size of the record. LIMIT: plain_n > MSUB__NOISE_PLAIN_MAX (nothing happened). STATE: not
 * READY. CRYPTO: FAILED, also when MSUB__NOISE_RECORDS_MAX records have been sent. */
MSUB_MUST int msub__noise_seal(msub__noise *n, uint8_t *record, size_t plain_n);
/* The size of the record that begins with `in`: 0: more bytes are needed to know; otherwise 18 … 65537, or
 * MALFORMED (shorter than its tag). */
int msub__noise_record_size(msub_bytes in);
/* Decrypts one whole record in place; *plain then points into it. An empty plaintext is legal. CRYPTO,
 * MALFORMED: FAILED; no plaintext of this or any later record comes out. */
MSUB_MUST int msub__noise_open(msub__noise *n, uint8_t *record, size_t record_n, uint8_t **plain,
                               size_t *plain_n);

/* Bytes held for this connection now, for memory accounting. */
size_t msub__noise_bytes(const msub__noise *n);
#endif
