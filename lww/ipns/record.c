/* lww/ipns/record.c: records, read and judged.
 *
 *   bytes ─ envelope (protobuf) ─ key of the name ─ document (DAG-CBOR) ─ signature ─ copies for old readers ─ validity ─ now */
#include "meshsub/dag_cbor.h"
#include "meshsub/ipns.h"
#include "meshsub/pb.h"
#include <string.h>

#define PREFIX "ipns-signature:"
#define PREFIX_N (sizeof PREFIX - 1)

const char *msub_ipns_fault_name(msub_ipns_fault f) {
  switch (f) {
#define MSUB_X(name, word, text) case MSUB_IPNS_##name: return #word;
    MSUB_IPNS_FAULT_MAP(MSUB_X)
#undef MSUB_X
  }
  return "unknown";
}
const char *msub_ipns_fault_text(msub_ipns_fault f) {
  switch (f) {
#define MSUB_X(name, word, text) case MSUB_IPNS_##name: return text;
    MSUB_IPNS_FAULT_MAP(MSUB_X)
#undef MSUB_X
  }
  return "unknown";
}

/* ---- the envelope: the last of repeated fields counts, another wire type is another field ---- */

enum { VALUE = 1, SIGNATURE_V1, VALIDITY_TYPE, VALIDITY, SEQUENCE, TTL, PUBLIC_KEY, SIGNATURE_V2, DATA, FIELDS };
typedef struct envelope {
  msub_bytes bytes[FIELDS];
  uint64_t number[FIELDS];
} envelope;

static bool read_envelope(msub_bytes in, envelope *e) {
  static const bool is_number[FIELDS] = { [VALIDITY_TYPE] = true, [SEQUENCE] = true, [TTL] = true };
  *e = (envelope){ 0 };
  while (in.n) {
    msub_pb_field f;
    if (!msub_pb_next(&in, &f)) return false;
    if (f.number >= FIELDS || f.number == 0) continue;
    if (is_number[f.number]) {
      if (!f.bytes.p) e->number[f.number] = f.varint;
    } else if (f.is_bytes) e->bytes[f.number] = f.bytes;
  }
  return true;
}

static msub_ipns_fault find_key(msub_bytes name, msub_bytes in_record, msub_bytes *key) {
  if (!in_record.n) {
    *key = msub_peer_id_public_key(name);
    return key->n ? MSUB_IPNS_OK : MSUB_IPNS_NO_PUBLIC_KEY;
  }
  msub_peer_id id;
  if (msub_public_key_peer_id(in_record, &id) != MSUB_OK) return MSUB_IPNS_BAD_PUBLIC_KEY;
  *key = in_record;
  return msub_bytes_eq(msub_peer_id_bytes(&id), name) ? MSUB_IPNS_OK : MSUB_IPNS_PUBLIC_KEY_MISMATCH;
}

/* ---- the document ---- */

static msub_ipns_fault read_document(msub_bytes in, msub_ipns_record *r, uint64_t *validity_type) {
  static const struct { const char *key; msub_cbor_type type; } fields[] = {
    { "Value", MSUB_CBOR_BYTES }, { "Validity", MSUB_CBOR_BYTES }, { "Sequence", MSUB_CBOR_UINT }, { "ValidityType", MSUB_CBOR_UINT }, { "TTL", MSUB_CBOR_UINT } };
  enum { N = sizeof fields / sizeof *fields, OPTIONAL = N - 1 };
  msub_cbor_item map, got[N];
  bool has[N] = { false };
  if (msub_cbor_check(in, false) != MSUB_OK || msub_cbor_next(&in, &map) != MSUB_OK || map.type != MSUB_CBOR_MAP) return MSUB_IPNS_BAD_CBOR;
  for (uint64_t i = 0; i < map.n; i++) {
    msub_cbor_item key;
    msub_bytes value;
    if (msub_cbor_next(&in, &key) != MSUB_OK || msub_cbor_skip(&in, false, &value) != MSUB_OK) return MSUB_IPNS_BAD_CBOR;
    size_t k = 0;
    while (k < N && !msub_bytes_eq(key.bytes, msub_str(fields[k].key))) k++;
    if (k == N) continue; /* signed, and nobody's business */
    if (msub_cbor_next(&value, &got[k]) != MSUB_OK || got[k].type != fields[k].type) return MSUB_IPNS_BAD_FIELD_TYPE;
    has[k] = true;
  }
  for (size_t k = 0; k < OPTIONAL; k++)
    if (!has[k]) return MSUB_IPNS_MISSING_FIELD;
  r->value = got[0].bytes;
  r->validity = got[1].bytes;
  r->sequence = got[2].n;
  *validity_type = got[3].n;
  r->has_ttl = has[OPTIONAL];
  r->ttl_ns = r->has_ttl ? got[OPTIONAL].n : MSUB_IPNS_TTL_NS;
  return MSUB_IPNS_OK;
}

/* ---- all of it ---- */

static msub_ipns_fault check_signature(const msub_ipns_record *r, unsigned rsa_bits) {
  uint8_t signed_bytes[PREFIX_N + MSUB_IPNS_RECORD_MAX]; /* in one piece it needs no memory */
  memcpy(signed_bytes, PREFIX, PREFIX_N);
  memcpy(signed_bytes + PREFIX_N, r->data.p, r->data.n);
  msub_bytes all = { signed_bytes, PREFIX_N + r->data.n };
  switch (msub_verify_parts_rsa(r->public_key, &all, 1, r->signature, rsa_bits ? rsa_bits : MSUB_RSA_BITS)) {
  case MSUB_OK: return MSUB_IPNS_OK;
  case MSUB_ERR_UNSUPPORTED: return MSUB_IPNS_UNSUPPORTED_KEY;
  case MSUB_ERR_MALFORMED: return MSUB_IPNS_BAD_PUBLIC_KEY;
  default: return MSUB_IPNS_SIGNATURE;
  }
}

static bool copies_agree(const envelope *e, const msub_ipns_record *r, uint64_t validity_type) {
  if (!e->bytes[VALUE].n && !e->bytes[SIGNATURE_V1].n) return true;
  return msub_bytes_eq(e->bytes[VALUE], r->value) && msub_bytes_eq(e->bytes[VALIDITY], r->validity) && e->number[VALIDITY_TYPE] == validity_type &&
         e->number[SEQUENCE] == r->sequence && e->number[TTL] == (r->has_ttl ? r->ttl_ns : 0);
}

bool msub_ipns_expired(const msub_ipns_record *r, int64_t now) {
  msub_ipns_time t = msub_ipns_time_of(now);
  return t.s != r->eol.s ? t.s > r->eol.s : t.ns > r->eol.ns;
}

static msub_ipns_fault open_record(msub_bytes bytes, envelope *e, msub_ipns_record *r) {
  *r = (msub_ipns_record){ .bytes = bytes };
  if (bytes.n > MSUB_IPNS_RECORD_MAX) return MSUB_IPNS_TOO_LARGE;
  if (!read_envelope(bytes, e)) return MSUB_IPNS_BAD_PROTOBUF;
  r->data = e->bytes[DATA];
  r->signature = e->bytes[SIGNATURE_V2];
  return !r->data.n ? MSUB_IPNS_MISSING_DATA : !r->signature.n ? MSUB_IPNS_MISSING_SIGNATURE : MSUB_IPNS_OK;
}

static msub_ipns_fault check_rest(const envelope *e, msub_ipns_record *r, uint64_t validity_type) {
  if (!copies_agree(e, r, validity_type)) return MSUB_IPNS_V1_V2_MISMATCH;
  if (validity_type != 0) return MSUB_IPNS_UNKNOWN_VALIDITY_TYPE;
  return msub_ipns_time_parse(r->validity, &r->eol) == MSUB_OK ? MSUB_IPNS_OK : MSUB_IPNS_BAD_VALIDITY;
}

msub_ipns_fault msub_ipns_read(msub_bytes bytes, msub_ipns_record *r) {
  envelope e;
  uint64_t validity_type;
  msub_ipns_fault f = open_record(bytes, &e, r);
  if (f == MSUB_IPNS_OK) f = read_document(r->data, r, &validity_type);
  if (f != MSUB_IPNS_OK) return f;
  r->public_key = e.bytes[PUBLIC_KEY];
  return check_rest(&e, r, validity_type);
}

msub_ipns_fault msub_ipns_verify(msub_bytes name, msub_bytes bytes, int64_t now, unsigned rsa_bits, msub_ipns_record *r) {
  envelope e;
  uint64_t validity_type;
  if (msub_peer_id_check(name) != MSUB_OK) return MSUB_IPNS_BAD_NAME;
  msub_ipns_fault f = open_record(bytes, &e, r);
  if (f == MSUB_IPNS_OK) f = find_key(name, e.bytes[PUBLIC_KEY], &r->public_key);
  if (f == MSUB_IPNS_OK) f = read_document(r->data, r, &validity_type);
  if (f == MSUB_IPNS_OK) f = check_signature(r, rsa_bits);
  if (f == MSUB_IPNS_OK) f = check_rest(&e, r, validity_type);
  return f == MSUB_IPNS_OK && msub_ipns_expired(r, now) ? MSUB_IPNS_EXPIRED : f;
}

static int order_u64(uint64_t a, uint64_t b) { return (a > b) - (a < b); }

int msub_ipns_order(const msub_ipns_record *a, const msub_ipns_record *b) {
  int o = order_u64(a->sequence, b->sequence);
  if (o == 0) o = (a->eol.s > b->eol.s) - (a->eol.s < b->eol.s);
  if (o == 0) o = order_u64(a->eol.ns, b->eol.ns);
  if (o) return o;
  size_t n = a->bytes.n < b->bytes.n ? a->bytes.n : b->bytes.n;
  o = n ? memcmp(a->bytes.p, b->bytes.p, n) : 0;
  return o ? o : order_u64(a->bytes.n, b->bytes.n);
}

/* ---- making one ---- */

typedef struct writer { uint8_t *p; size_t cap, n; } writer;

static void put(writer *w, const void *p, size_t n) {
  if (w->n <= w->cap && n <= w->cap - w->n) memcpy(w->p + w->n, p, n);
  w->n += n;
}
static void put_varint(writer *w, uint64_t v) {
  uint8_t b[10];
  put(w, b, msub_varint_put(b, v));
}
static void put_bytes(writer *w, unsigned field, msub_bytes b) {
  put_varint(w, field << 3 | 2);
  put_varint(w, b.n);
  if (b.n) put(w, b.p, b.n);
}
static void put_number(writer *w, unsigned field, uint64_t v) {
  put_varint(w, field << 3);
  put_varint(w, v);
}

static size_t make_document(const msub_ipns_new *what, msub_bytes validity, uint8_t *out, size_t cap) {
  msub_cbor_out o = { out, cap, 0 };
  msub_cbor_put_map(&o, 5);
  msub_cbor_put_text(&o, msub_str("TTL"));
  msub_cbor_put_uint(&o, what->ttl_ns);
  msub_cbor_put_text(&o, msub_str("Value"));
  msub_cbor_put_bytes(&o, what->value);
  msub_cbor_put_text(&o, msub_str("Sequence"));
  msub_cbor_put_uint(&o, what->sequence);
  msub_cbor_put_text(&o, msub_str("Validity"));
  msub_cbor_put_bytes(&o, validity);
  msub_cbor_put_text(&o, msub_str("ValidityType"));
  msub_cbor_put_uint(&o, 0);
  return o.n;
}

int msub_ipns_make(const msub_key *k, const msub_ipns_new *what, uint8_t *out, size_t cap, size_t *n) {
  uint8_t document[MSUB_IPNS_RECORD_MAX], sig1[MSUB_SIG_MAX], sig2[MSUB_SIG_MAX];
  char validity[31];
  if (what->sequence > INT64_MAX || what->value.n == 0 || msub_ipns_time_text(what->eol, validity) != MSUB_OK) return MSUB_ERR_INVAL;
  if (what->value.n > MSUB_IPNS_RECORD_MAX) return MSUB_ERR_LIMIT;
  const msub_bytes until = msub_str(validity);
  size_t data_n = make_document(what, until, document, sizeof document);
  if (data_n > sizeof document) return MSUB_ERR_LIMIT;
  msub_bytes data = { document, data_n }, v2[] = { msub_str(PREFIX), data }, v1[] = { what->value, until, msub_str("EOL") };
  int n2 = msub_key_sign_parts(k, v2, 2, sig2, sizeof sig2), n1 = 0;
  if (n2 < 0) return n2;
  if (!what->v2_only) n1 = msub_key_sign_parts(k, v1, 3, sig1, sizeof sig1);
  if (n1 < 0) return n1;
  writer w = { out, cap < MSUB_IPNS_RECORD_MAX ? cap : MSUB_IPNS_RECORD_MAX, 0 };
  if (!what->v2_only) {
    put_bytes(&w, VALUE, what->value);
    put_bytes(&w, SIGNATURE_V1, (msub_bytes){ sig1, (size_t)n1 });
    put_number(&w, VALIDITY_TYPE, 0);
    put_bytes(&w, VALIDITY, until);
    put_number(&w, SEQUENCE, what->sequence);
    put_number(&w, TTL, what->ttl_ns);
  }
  if (!msub_peer_id_public_key(msub_key_peer_id(k)).n) put_bytes(&w, PUBLIC_KEY, msub_key_public(k));
  put_bytes(&w, SIGNATURE_V2, (msub_bytes){ sig2, (size_t)n2 });
  put_bytes(&w, DATA, data);
  *n = w.n;
  return w.n <= w.cap ? MSUB_OK : MSUB_ERR_LIMIT;
}
