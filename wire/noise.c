/* wire/noise.c: see noise.h. */
#include "wire/noise.h"
#include <sodium.h>
#include <string.h>
#include "base/assert.h"
#include "wire/noise_payload.h"
#include "wire/noise_state.h"

_Static_assert(MSUB__NOISE_MUXERS_MAX <= INT8_MAX && MSUB_PUBLIC_KEY_MAX <= UINT16_MAX,
               "they have to fit msub__noise");

int msub__noise_new(const msub__noise_options *o, msub__noise **out) {
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  if (!o->kit || !o->identity || !o->static_secret || !o->ephemeral_secret ||
      o->expect.n > MSUB_PEER_ID_MAX || o->n_muxers > MSUB__NOISE_MUXERS_MAX)
    return MSUB_ERR_INVAL;
  msub__noise *n = msub__zalloc(&mem, 1, sizeof *n);
  msub__noise_hs *hs = msub__zalloc(&mem, 1, sizeof *hs);
  int err = n && hs ? MSUB_OK : MSUB_ERR_NOMEM;
  if (!err)
    err = msub__noise_xx_init(&hs->xx, o->kit, o->initiator, o->static_secret, o->ephemeral_secret,
                              (msub_bytes){ 0 });
  if (err) {
    msub__free(&mem, hs, sizeof *hs);
    msub__free(&mem, n, sizeof *n);
    return err;
  }
  hs->identity = o->identity;
  hs->muxers = o->muxers;
  hs->n_muxers = o->n_muxers;
  hs->initiator = o->initiator;
  hs->key_types = o->key_types ? o->key_types : ~0u;
  hs->rsa_bits = o->rsa_bits ? o->rsa_bits : MSUB_RSA_BITS;
  hs->expect.n = (uint8_t)o->expect.n;
  if (o->expect.n > 0) memcpy(hs->expect.bytes, o->expect.p, o->expect.n);
  n->mem = mem;
  n->kit = o->kit;
  n->hs = hs;
  n->muxer = -1;
  n->turn = o->initiator ? MSUB__NOISE_WRITE : MSUB__NOISE_READ;
  *out = n;
  return MSUB_OK;
}

static void end_handshake(msub__noise *n) {
  if (!n->hs) return;
  msub__noise_xx_wipe(&n->hs->xx);
  msub__free(&n->mem, n->hs, sizeof *n->hs);
  n->hs = NULL;
}

static int fail(msub__noise *n, int err) {
  end_handshake(n);
  sodium_memzero(&n->send, sizeof n->send);
  sodium_memzero(&n->recv, sizeof n->recv);
  n->turn = MSUB__NOISE_FAILED;
  return err;
}

void msub__noise_free(msub__noise *n) {
  if (!n) return;
  fail(n, 0);
  msub__free(&n->mem, n->key, n->key_n);
  msub_mem mem = n->mem;
  msub__free(&mem, n, sizeof *n);
}

msub__noise_turn msub__noise_turn_of(const msub__noise *n) { return (msub__noise_turn)n->turn; }

static int ready(msub__noise *n) {
  int err = msub__noise_xx_split(&n->hs->xx, &n->send, &n->recv);
  if (err) return fail(n, err);
  end_handshake(n);
  n->turn = MSUB__NOISE_READY;
  return MSUB_OK;
}

static void put_length(uint8_t *at, size_t n) {
  at[0] = (uint8_t)(n >> 8);
  at[1] = (uint8_t)n;
}

static size_t get_length(const uint8_t *at) { return (size_t)at[0] << 8 | at[1]; }

/* ---- the handshake ---- */

static int own_payload(msub__noise_hs *hs, uint8_t out[MSUB__NOISE_PAYLOAD_MAX], size_t *n) {
  uint8_t signature[MSUB_SIG_MAX];
  int got = msub__noise_sign_static(hs->identity, hs->xx.s_pub, signature);
  if (got < 0) return got;
  msub__noise_payload p = { .key = msub_key_public(hs->identity),
                            .signature = { signature, (size_t)got },
                            .n_muxers = hs->n_muxers };
  for (size_t i = 0; i < hs->n_muxers; i++) p.muxers[i] = hs->muxers[i];
  *n = msub__noise_payload_encode(&p, out, MSUB__NOISE_PAYLOAD_MAX);
  return *n <= MSUB__NOISE_PAYLOAD_MAX ? MSUB_OK : MSUB_ERR_CRYPTO;
}

int msub__noise_output(msub__noise *n, uint8_t *out, size_t cap) {
  uint8_t payload[MSUB__NOISE_PAYLOAD_MAX];
  size_t payload_n = 0;
  if (n->turn != MSUB__NOISE_WRITE) return MSUB_ERR_STATE;
  if (cap < MSUB__NOISE_HANDSHAKE_MAX) return MSUB_ERR_LIMIT;
  if (n->hs->xx.step > 0) { /* the first message is in the clear and says nothing */
    int err = own_payload(n->hs, payload, &payload_n);
    if (err) return fail(n, err);
  }
  int size = msub__noise_xx_write(&n->hs->xx, (msub_bytes){ payload, payload_n }, out + MSUB__NOISE_HEAD);
  if (size < 0) return fail(n, size);
  put_length(out, (size_t)size);
  n->turn = MSUB__NOISE_READ;
  if (n->hs->xx.step == 3) {
    int err = ready(n);
    if (err) return err;
  }
  return size + (int)MSUB__NOISE_HEAD;
}

static bool has(const msub_bytes *list, size_t n, msub_bytes what, size_t *at) {
  for (size_t i = 0; i < n; i++) {
    if (msub_bytes_eq(list[i], what)) {
      *at = i;
      return true;
    }
  }
  return false;
}

/* The first of the initiator's list that the responder lists too, as an index in ours. */
static int8_t choose(const msub__noise_hs *hs, const msub__noise_payload *theirs) {
  size_t at;
  const msub_bytes *first = hs->initiator ? hs->muxers : theirs->muxers;
  const msub_bytes *second = hs->initiator ? theirs->muxers : hs->muxers;
  size_t first_n = hs->initiator ? hs->n_muxers : theirs->n_muxers;
  size_t second_n = hs->initiator ? theirs->n_muxers : hs->n_muxers;
  for (size_t i = 0; i < first_n; i++) {
    if (has(second, second_n, first[i], &at)) return (int8_t)(hs->initiator ? i : at);
  }
  return -1;
}

/* Everything that the peer claims is proved here, before the caller can see any of it. */
static int prove(msub__noise *n, msub_bytes payload) {
  uint64_t memory[MSUB__NOISE_PAYLOAD_ARENA / 8];
  msub__noise_payload p;
  const msub__noise_hs *hs = n->hs;
  int err = msub__noise_payload_parse(payload, memory, &p);
  msub_key_type type;
  msub_bytes data;
  if (!err) err = msub_public_key_split(p.key, &type, &data);
  if (!err && !(hs->key_types & 1u << type)) err = MSUB_ERR_UNSUPPORTED; /* before it costs a verification */
  if (!err) err = msub_public_key_peer_id(p.key, &n->peer);
  if (!err) err = msub__noise_check_static(&p, hs->xx.rs, hs->rsa_bits);
  if (err) return err;
  msub_bytes id = msub_peer_id_bytes(&n->peer);
  if (hs->expect.n > 0 && !msub_bytes_eq(id, msub_peer_id_bytes(&hs->expect))) return MSUB_ERR_MISMATCH;
  if (msub_peer_id_public_key(id).n == 0) {
    n->key = msub__alloc(&n->mem, p.key.n);
    if (!n->key) return MSUB_ERR_NOMEM;
    n->key_n = (uint16_t)p.key.n;
    memcpy(n->key, p.key.p, p.key.n);
  }
  n->muxer = choose(hs, &p);
  return MSUB_OK;
}

int msub__noise_input(msub__noise *n, msub_bytes in, size_t *used) {
  uint8_t message[MSUB__NOISE_HANDSHAKE_MAX];
  msub_bytes payload;
  *used = 0;
  if (n->turn != MSUB__NOISE_READ) return MSUB_ERR_STATE;
  if (in.n < MSUB__NOISE_HEAD) return MSUB_OK;
  size_t size = get_length(in.p);
  /* judged by the length alone: nothing is waited for that would be refused */
  size_t least = msub__noise_xx_overhead(n->hs->xx.step);
  if (size < least) return fail(n, MSUB_ERR_MALFORMED);
  if (size > least + MSUB__NOISE_PAYLOAD_MAX) return fail(n, MSUB_ERR_LIMIT);
  if (in.n - MSUB__NOISE_HEAD < size) return MSUB_OK;
  memcpy(message, in.p + MSUB__NOISE_HEAD, size);
  int err = msub__noise_xx_read(&n->hs->xx, message, size, &payload);
  /* a payload of the first message is in the clear and proves nothing: it is hashed and otherwise ignored */
  if (!err && n->hs->xx.step > 1) err = prove(n, payload);
  if (err) return fail(n, err);
  *used = MSUB__NOISE_HEAD + size;
  n->turn = MSUB__NOISE_WRITE;
  return n->hs->xx.step == 3 ? ready(n) : MSUB_OK;
}

msub_bytes msub__noise_peer_id(const msub__noise *n) {
  return n->turn == MSUB__NOISE_READY ? msub_peer_id_bytes(&n->peer) : (msub_bytes){ 0 };
}

msub_bytes msub__noise_peer_key(const msub__noise *n) {
  if (n->turn != MSUB__NOISE_READY) return (msub_bytes){ 0 };
  return n->key ? (msub_bytes){ n->key, n->key_n } : msub_peer_id_public_key(msub_peer_id_bytes(&n->peer));
}

int msub__noise_muxer(const msub__noise *n) { return n->turn == MSUB__NOISE_READY ? n->muxer : -1; }

/* ---- records ---- */

int msub__noise_seal(msub__noise *n, uint8_t *record, size_t plain_n) {
  if (n->turn != MSUB__NOISE_READY) return MSUB_ERR_STATE;
  if (plain_n > MSUB__NOISE_PLAIN_MAX) return MSUB_ERR_LIMIT;
  if (n->send.nonce >= MSUB__NOISE_RECORDS_MAX) return fail(n, MSUB_ERR_CRYPTO);
  int err = msub__noise_encrypt(n->kit, &n->send, (msub_bytes){ 0 }, record + MSUB__NOISE_HEAD, plain_n);
  if (err) return fail(n, err);
  put_length(record, plain_n + MSUB__NOISE_TAG);
  return (int)(plain_n + MSUB__NOISE_OVERHEAD);
}

int msub__noise_record_size(msub_bytes in) {
  if (in.n < MSUB__NOISE_HEAD) return 0;
  size_t size = get_length(in.p);
  return size < MSUB__NOISE_TAG ? MSUB_ERR_MALFORMED : (int)(MSUB__NOISE_HEAD + size);
}

int msub__noise_open(msub__noise *n, uint8_t *record, size_t record_n, uint8_t **plain, size_t *plain_n) {
  if (n->turn != MSUB__NOISE_READY) return MSUB_ERR_STATE;
  if (record_n < MSUB__NOISE_OVERHEAD || get_length(record) != record_n - MSUB__NOISE_HEAD)
    return fail(n, MSUB_ERR_MALFORMED);
  if (n->recv.nonce >= MSUB__NOISE_RECORDS_MAX) return fail(n, MSUB_ERR_CRYPTO);
  size_t size = record_n - MSUB__NOISE_OVERHEAD;
  int err = msub__noise_decrypt(n->kit, &n->recv, (msub_bytes){ 0 }, record + MSUB__NOISE_HEAD, size);
  if (err) { /* what does not verify was decrypted all the same */
    sodium_memzero(record, record_n);
    return fail(n, err);
  }
  *plain = record + MSUB__NOISE_HEAD;
  *plain_n = size;
  return MSUB_OK;
}

size_t msub__noise_bytes(const msub__noise *n) { return sizeof *n + n->key_n + (n->hs ? sizeof *n->hs : 0); }
