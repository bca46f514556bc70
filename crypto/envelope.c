#include "crypto/envelope.h"
#include "crypto/join.h"
#include "crypto/pbc.h"
#include "envelope.pb-c.h"
#include "meshsub/pb.h"

/* protobuf-c says whether the message is one, the cursor where its fields stand: the last of a kind counts.
 */
int msub_envelope_parse(msub_bytes in, msub_envelope *out) {
  uint64_t memory[(MSUB__ENVELOPE_MAX + 2048) / 8];
  msub__arena arena;
  msub_pb_field f;
  *out = (msub_envelope){ .public_key = { NULL, 0 } };
  if (in.n == 0 || in.n > MSUB__ENVELOPE_MAX) return MSUB_ERR_MALFORMED;
  msub__arena_init(&arena, memory, sizeof memory);
  ProtobufCAllocator allocator = msub__pbc(&arena);
  if (!msub__pb__envelope__unpack(&allocator, in.n, in.p)) return MSUB_ERR_MALFORMED;
  while (in.n > 0) {
    if (!msub_pb_next(&in, &f)) return MSUB_ERR_MALFORMED;
    if (!f.is_bytes) continue;
    if (f.number == 1) out->public_key = f.bytes;
    if (f.number == 2) out->payload_type = f.bytes;
    if (f.number == 3) out->payload = f.bytes;
    if (f.number == 5) out->signature = f.bytes;
  }
  return MSUB_OK;
}

/* What the signature covers: domain, type and payload, each behind its length. */
static int signed_bytes(msub__joined *j, msub_bytes domain, msub_bytes type, msub_bytes payload) {
  const msub_bytes pieces[3] = { domain, type, payload };
  uint8_t lengths[3][MSUB_FRAME_PREFIX_MAX];
  msub_bytes parts[6];
  for (size_t i = 0; i < 3; i++) {
    parts[2 * i] = (msub_bytes){ lengths[i], msub_varint_put(lengths[i], pieces[i].n) };
    parts[2 * i + 1] = pieces[i];
  }
  return msub__join(j, parts, 6);
}

int msub_envelope_verify(const msub_envelope *e, msub_bytes domain) {
  msub__joined what;
  int rc = signed_bytes(&what, domain, e->payload_type, e->payload);
  if (rc != MSUB_OK) return rc;
  rc = msub_verify(e->public_key, what.bytes, e->signature);
  msub__join_free(&what);
  return rc;
}

size_t msub_envelope_seal(const msub_key *k, msub_bytes domain, msub_bytes type, msub_bytes payload,
                          uint8_t *out, size_t cap) {
  uint8_t signature[MSUB_SIG_MAX];
  msub__joined what;
  if (signed_bytes(&what, domain, type, payload) != MSUB_OK) return 0;
  int n = msub_key_sign(k, what.bytes, signature, sizeof signature);
  msub__join_free(&what);
  if (n < 0) return 0;
  Msub__Pb__Envelope m = MSUB__PB__ENVELOPE__INIT;
  m.public_key = msub__pbc_data(msub_key_public(k));
  m.has_payload_type = type.n > 0;
  m.payload_type = msub__pbc_data(type);
  m.has_payload = payload.n > 0;
  m.payload = msub__pbc_data(payload);
  m.signature = msub__pbc_data((msub_bytes){ signature, (size_t)n });
  size_t need = msub__pb__envelope__get_packed_size(&m);
  if (need > MSUB__ENVELOPE_MAX) return 0;
  return need <= cap ? msub__pb__envelope__pack(&m, out) : need;
}
