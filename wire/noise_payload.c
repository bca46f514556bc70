/* wire/noise_payload.c: see noise_payload.h. */
#include "wire/noise_payload.h"
#include "crypto/pbc.h"
#include "noise.pb-c.h"

int msub__noise_payload_parse(msub_bytes in, void *memory, msub__noise_payload *out) {
  msub__arena arena;
  *out = (msub__noise_payload){ 0 };
  if (in.n > MSUB__NOISE_PAYLOAD_MAX) return MSUB_ERR_LIMIT;
  msub__arena_init(&arena, memory, MSUB__NOISE_PAYLOAD_ARENA);
  ProtobufCAllocator allocator = msub__pbc(&arena);
  const Msub__Wire__NoisePayload *m = msub__wire__noise_payload__unpack(&allocator, in.n, in.p);
  if (!m) return MSUB_ERR_MALFORMED;
  if (m->has_identity_key) out->key = msub__pbc_view(m->identity_key);
  if (m->has_identity_sig) out->signature = msub__pbc_view(m->identity_sig);
  for (size_t i = 0; m->extensions && i < m->extensions->n_stream_muxers; i++) {
    if (out->n_muxers < MSUB__NOISE_MUXERS_MAX)
      out->muxers[out->n_muxers++] = msub__pbc_view(m->extensions->stream_muxers[i]);
  }
  return MSUB_OK;
}

size_t msub__noise_payload_encode(const msub__noise_payload *p, uint8_t *out, size_t cap) {
  Msub__Wire__NoisePayload m = MSUB__WIRE__NOISE_PAYLOAD__INIT;
  Msub__Wire__NoiseExtensions ext = MSUB__WIRE__NOISE_EXTENSIONS__INIT;
  ProtobufCBinaryData muxers[MSUB__NOISE_MUXERS_MAX];
  m.has_identity_key = m.has_identity_sig = 1;
  m.identity_key = msub__pbc_data(p->key);
  m.identity_sig = msub__pbc_data(p->signature);
  if (p->n_muxers > 0) {
    for (size_t i = 0; i < p->n_muxers; i++) muxers[i] = msub__pbc_data(p->muxers[i]);
    ext.n_stream_muxers = p->n_muxers;
    ext.stream_muxers = muxers;
    m.extensions = &ext;
  }
  size_t n = msub__wire__noise_payload__get_packed_size(&m);
  if (n <= cap) msub__wire__noise_payload__pack(&m, out);
  return n;
}

static void signed_parts(const uint8_t static_key[32], msub_bytes parts[2]) {
  static const char prefix[] = "noise-libp2p-static-key:";
  parts[0] = (msub_bytes){ (const uint8_t *)prefix, sizeof prefix - 1 };
  parts[1] = (msub_bytes){ static_key, 32 };
}

int msub__noise_sign_static(const msub_key *identity, const uint8_t static_key[32],
                            uint8_t out[MSUB_SIG_MAX]) {
  msub_bytes parts[2];
  signed_parts(static_key, parts);
  return msub_key_sign_parts(identity, parts, 2, out, MSUB_SIG_MAX);
}

int msub__noise_check_static(const msub__noise_payload *p, const uint8_t static_key[32], unsigned rsa_bits) {
  msub_bytes parts[2];
  signed_parts(static_key, parts);
  return msub_verify_parts_rsa(p->key, parts, 2, p->signature, rsa_bits);
}
