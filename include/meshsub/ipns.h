/* meshsub/ipns.h (libmeshsub-lww): IPNS names and records: made, read, verified and compared as boxo and the specification do.
 *
 *   name      a peer id: the multihash of a public key                        "k51qzi5uqu5d…", "12D3Koo…", "Qm…"
 *   record    protobuf ─ data: DAG-CBOR { TTL, Value, Sequence, Validity, ValidityType }
 *                      ─ signatureV2 of "ipns-signature:" and data            what counts
 *                      ─ value, validity, … and signatureV1                   copies for old readers: they have to agree, and prove nothing
 *
 *   bytes ─▶ msub_ipns_verify(name, bytes, now) ─▶ MSUB_IPNS_OK and a msub_ipns_record of views into them
 *   a, b  ─▶ msub_ipns_order(a, b) ─▶ who wins
 *
 * Nothing here reads a clock or keeps anything. Pure: any thread; a verification is 80 microseconds and more, so give it to a pool.
 * Sources: IPFS specifications, "IPNS Record and Protocol" and "IPNS over PubSub"; where they leave it open, boxo. */
#ifndef MESHSUB_IPNS_H
#define MESHSUB_IPNS_H
#include "crypto.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MSUB_IPNS_RECORD_MAX 10240u /* bytes of a record; looked at before anything is parsed */
#define MSUB_IPNS_TTL_NS UINT64_C(300000000000) /* of a record that has none */
#define MSUB_IPNS_KEY_MAX (6 + MSUB_PEER_ID_MAX) /* bytes of a routing key */
#define MSUB_IPNS_TOPIC_TEXT 112    /* chars of a topic, NUL included */
#define MSUB_IPNS_NAME_TEXT 128     /* chars of a name, NUL included */

/* ---- names ---- */

/* From text, with or without "/ipns/" in front: base58btc, or a CIDv1 of codec libp2p-key in base36, base32, base16 or base58btc. MALFORMED. */
MSUB_API int msub_ipns_name_parse(const char *text, msub_peer_id *out);
/* As the field writes it, a CIDv1 in base36, NUL-terminated. Returns out; of bytes that are no peer id "". */
MSUB_API char *msub_ipns_name_text(msub_bytes name, char out[MSUB_IPNS_NAME_TEXT]);
/* The routing key: "/ipns/" and the name's bytes; binary. What a fetch asks for. Returns its length; 0: no peer id. */
MSUB_API size_t msub_ipns_key(msub_bytes name, uint8_t out[MSUB_IPNS_KEY_MAX]);
MSUB_API int msub_ipns_key_parse(msub_bytes key, msub_peer_id *out); /* MALFORMED */
/* The pubsub topic: "/record/" and the routing key in base64url without padding, NUL-terminated. Returns out; of bytes that are no peer id "". */
MSUB_API char *msub_ipns_topic(msub_bytes name, char out[MSUB_IPNS_TOPIC_TEXT]);
MSUB_API int msub_ipns_topic_parse(msub_bytes topic, msub_peer_id *out); /* MALFORMED: no topic of a name */

/* ---- records ---- */

/* Why a record is not taken, by the order in which it is looked at. X(NAME, name, text) */
#define MSUB_IPNS_FAULT_MAP(X)                                                                                      \
  X(OK, ok, "valid")                                                                                                \
  X(BAD_NAME, bad_name, "no name: a routing key is /ipns/ and a peer id")                                           \
  X(TOO_LARGE, too_large, "larger than 10,240 bytes")                                                               \
  X(BAD_PROTOBUF, bad_protobuf, "its protobuf is malformed")                                                        \
  X(MISSING_DATA, missing_data, "it has no data, only fields of before 2021 that prove nothing")                    \
  X(MISSING_SIGNATURE, missing_signature_v2, "it has no signatureV2")                                               \
  X(BAD_PUBLIC_KEY, bad_public_key, "its public key is malformed")                                                  \
  X(PUBLIC_KEY_MISMATCH, public_key_mismatch, "its public key is of another name")                                  \
  X(NO_PUBLIC_KEY, no_public_key, "the name is a hash, and the record does not bring the key")                      \
  X(UNSUPPORTED_KEY, unsupported_key, "a key of this kind or size is not taken here")                               \
  X(BAD_CBOR, bad_cbor, "its data is not DAG-CBOR")                                                                 \
  X(MISSING_FIELD, missing_field, "its data lacks Value, Sequence, Validity or ValidityType")                       \
  X(BAD_FIELD_TYPE, bad_field_type, "a field of its data has another type than it should")                          \
  X(SIGNATURE, signature, "signed by another key, or changed since")                                                \
  X(V1_V2_MISMATCH, v1_v2_mismatch, "its fields for old readers say something else than its data")                  \
  X(UNKNOWN_VALIDITY_TYPE, unknown_validity_type, "a validity type that nobody knows")                              \
  X(BAD_VALIDITY, bad_validity, "its end of life is no RFC 3339 time")                                              \
  X(EXPIRED, expired, "expired")
typedef enum msub_ipns_fault {
#define MSUB_X(name, word, text) MSUB_IPNS_##name,
  MSUB_IPNS_FAULT_MAP(MSUB_X)
#undef MSUB_X
} msub_ipns_fault;
MSUB_API const char *msub_ipns_fault_name(msub_ipns_fault f); /* "expired" */
MSUB_API const char *msub_ipns_fault_text(msub_ipns_fault f);

/* A moment to the nanosecond, of years 0 … 9999. ns: 0 … 999,999,999. */
typedef struct msub_ipns_time { int64_t s; uint32_t ns; } msub_ipns_time;

/* Views into the record's bytes. */
typedef struct msub_ipns_record {
  msub_bytes bytes;      /* all of it */
  msub_bytes value;      /* a path as "/ipfs/…", or a binary CID of old writers: not checked */
  uint64_t sequence, ttl_ns;
  bool has_ttl;          /* false: ttl_ns is MSUB_IPNS_TTL_NS */
  msub_ipns_time eol;    /* valid up to here */
  msub_bytes validity;   /* the same as it was written */
  msub_bytes public_key; /* the encoded PublicKey that it was verified with; may lie in `name` */
  msub_bytes data, signature;
} msub_ipns_record;

/* All of it, in the order of the specification; the first fault is answered. now: wall clock, Unix ns; only EXPIRED depends on it. With
 * BAD_VALIDITY and all before it `out` is unspecified; with EXPIRED it is filled in. rsa_bits: MSUB_RSA_BITS_MIN … MAX, 0: MSUB_RSA_BITS. */
MSUB_API msub_ipns_fault msub_ipns_verify(msub_bytes name, msub_bytes bytes, int64_t now, unsigned rsa_bits, msub_ipns_record *out);
/* To be shown: what a record says, whoever may have said it. Neither name nor signature is looked at, nor the time; public_key is what the record brings, or
 * empty. Never trust any of it. */
MSUB_API msub_ipns_fault msub_ipns_read(msub_bytes bytes, msub_ipns_record *out);
MSUB_API bool msub_ipns_expired(const msub_ipns_record *r, int64_t now);
/* Which of two valid records of a name stands: > 0: a, < 0: b, 0: they are the same bytes. Higher sequence, then later end of life to the
 * nanosecond, then the greater bytes (as boxo; js stops before that). */
MSUB_API int msub_ipns_order(const msub_ipns_record *a, const msub_ipns_record *b);

typedef struct msub_ipns_new {
  msub_bytes value;      /* not empty; "/ipfs/…" */
  uint64_t sequence;     /* at most 2^63 - 1: stock readers hold it in 63 bits */
  msub_ipns_time eol;
  uint64_t ttl_ns;
  bool v2_only;          /* without the copies for old readers */
} msub_ipns_new;
/* Makes and signs a record, byte for byte what js-ipns makes; *n: its length. The public key is in it when the name is a hash. INVAL: sequence,
 * time or value; LIMIT: over `cap` or MSUB_IPNS_RECORD_MAX; CRYPTO, NOMEM: signing failed. */
MSUB_API int msub_ipns_make(const msub_key *k, const msub_ipns_new *what, uint8_t *out, size_t cap, size_t *n);

/* RFC 3339: 0 and more digits of a fraction, of which nine count; "Z" or an offset. MALFORMED. */
MSUB_API int msub_ipns_time_parse(msub_bytes text, msub_ipns_time *out);
/* With nine digits and "Z", NUL-terminated: 30 chars. INVAL: outside years 0 … 9999, or ns too large. */
MSUB_API int msub_ipns_time_text(msub_ipns_time t, char out[31]);
MSUB_API msub_ipns_time msub_ipns_time_of(int64_t unix_ns);

#ifdef __cplusplus
}
#endif
#endif
