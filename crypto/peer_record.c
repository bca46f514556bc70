#include "crypto/envelope.h"
#include "crypto/pbc.h"
#include "meshsub/pb.h"
#include "peer_record.pb-c.h"

#define RECORD_ARENA 49152u /* a record with some hundred addresses; one with more is refused */

static const struct dialect {
  const char *domain, *type;
} dialects[] = {
  [MSUB_RECORD_GO] = { "libp2p-peer-record", "\x03\x01" },
  [MSUB_RECORD_RFC] = { "libp2p-routing-state", "/libp2p/routing-state-record" },
};

static bool find_dialect(msub_bytes type, msub_record_dialect *out) {
  for (unsigned i = 0; i < 2; i++) {
    if (!msub_bytes_eq(type, msub_str(dialects[i].type))) continue;
    *out = (msub_record_dialect)i;
    return true;
  }
  return false;
}

/* The multiaddr of an AddressInfo; empty: it has none. */
static msub_bytes address_of(msub_bytes info) {
  msub_bytes found = { NULL, 0 };
  msub_pb_field f;
  while (info.n > 0 && msub_pb_next(&info, &f)) {
    if (f.number == 1 && f.is_bytes) found = f.bytes;
  }
  return found;
}

/* protobuf-c says whether the payload is a record, the cursor where its fields stand. */
static int parse(msub_bytes payload, msub_peer_record *out, msub_bytes *peer_id) {
  uint64_t memory[RECORD_ARENA / 8];
  msub__arena arena;
  msub_pb_field f;
  msub__arena_init(&arena, memory, sizeof memory);
  ProtobufCAllocator allocator = msub__pbc(&arena);
  const Msub__Pb__PeerRecord *m = msub__pb__peer_record__unpack(&allocator, payload.n, payload.p);
  if (!m) return MSUB_ERR_MALFORMED;
  out->seq = m->has_seq ? m->seq : 0;
  while (payload.n > 0) {
    if (!msub_pb_next(&payload, &f)) return MSUB_ERR_MALFORMED;
    if (f.number == 1 && f.is_bytes) *peer_id = f.bytes;
    if (f.number != 3 || !f.is_bytes || out->n_addrs == MSUB_RECORD_ADDRS) continue;
    msub_bytes addr = address_of(f.bytes);
    if (msub_multiaddr_check(addr) == MSUB_OK) out->addrs[out->n_addrs++] = addr;
  }
  return MSUB_OK;
}

/* The one id that comes out is the one of the key that signed: the record's own and the expected one are only
 * compared with it. The expectation comes first, because it costs no signature check. */
int msub_peer_record_open(msub_bytes envelope, msub_bytes expect, msub_peer_record *out) {
  msub_envelope e;
  msub_bytes claimed = { NULL, 0 };
  out->n_addrs = 0;
  int rc = msub_envelope_parse(envelope, &e);
  if (rc != MSUB_OK) return rc;
  if (!find_dialect(e.payload_type, &out->dialect)) return MSUB_ERR_MALFORMED;
  rc = msub_public_key_peer_id(e.public_key, &out->peer);
  if (rc != MSUB_OK) return rc;
  msub_bytes id = msub_peer_id_bytes(&out->peer);
  if (expect.n > 0 && !msub_bytes_eq(expect, id)) return MSUB_ERR_MISMATCH;
  rc = msub_envelope_verify(&e, msub_str(dialects[out->dialect].domain));
  if (rc != MSUB_OK) return rc;
  rc = parse(e.payload, out, &claimed);
  if (rc != MSUB_OK) return rc;
  return msub_bytes_eq(claimed, id) ? MSUB_OK : MSUB_ERR_MISMATCH;
}

size_t msub_peer_record_seal(const msub_key *k, uint64_t seq, const msub_bytes *addrs, size_t n,
                             msub_record_dialect d, uint8_t *out, size_t cap) {
  Msub__Pb__PeerRecord__AddressInfo infos[MSUB_RECORD_ADDRS];
  Msub__Pb__PeerRecord__AddressInfo *list[MSUB_RECORD_ADDRS];
  uint8_t payload[MSUB__ENVELOPE_MAX];
  Msub__Pb__PeerRecord m = MSUB__PB__PEER_RECORD__INIT;
  if (n > MSUB_RECORD_ADDRS || (unsigned)d > MSUB_RECORD_RFC) return 0;
  for (size_t i = 0; i < n; i++) {
    msub__pb__peer_record__address_info__init(&infos[i]);
    infos[i].has_multiaddr = true;
    infos[i].multiaddr = msub__pbc_data(addrs[i]);
    list[i] = &infos[i];
  }
  m.peer_id = msub__pbc_data(msub_key_peer_id(k));
  m.has_seq = seq != 0;
  m.seq = seq;
  m.n_addresses = n;
  m.addresses = list;
  size_t size = msub__pb__peer_record__get_packed_size(&m);
  if (size > sizeof payload) return 0;
  msub__pb__peer_record__pack(&m, payload);
  return msub_envelope_seal(k, msub_str(dialects[d].domain), msub_str(dialects[d].type),
                            (msub_bytes){ payload, size }, out, cap);
}
