/* pubsub/msg_wire.c: one Message: parsing, what its signature covers, encoding. */
#include "pubsub/rpc_wire.h"

#define SIGNED_FIELDS (MSUB_HAS_FROM | MSUB_HAS_DATA | MSUB_HAS_SEQNO | MSUB_HAS_TOPIC)
#define ALL_FIELDS (SIGNED_FIELDS | MSUB_HAS_SIGNATURE | MSUB_HAS_KEY)
#define SEQNO 3
#define TOPIC 4
#define KEY 6

bool msub__msg_walk(msub_bytes raw, msub_msg_view *out, size_t *excepted, size_t *unknown) {
  msub_bytes f[KEY + 1] = { { NULL, 0 } };
  const uint8_t *p = raw.p, *end = msub__end(raw), *first_data_end = NULL, *first_data = NULL,
                *prefix = raw.p;
  unsigned present = 0;
  uint32_t last = 0; /* number of the last field; behind the topic it no longer matters */
  bool exact = true; /* so far, fields 1 to 4 are as an encoder writes them */
  size_t n_unknown = 0;
  while (p < end) {
    const uint8_t *at = p;
    uint32_t tag;
    p = msub__rd_tag(p, end, &tag);
    if (!p) return false;
    uint32_t number = tag >> 3;
    const uint8_t *value = p;
    if ((tag & 7) != MSUB__LEN || number > KEY) {
      p = msub__skip_value(p, end, tag);
      if (!p) return false;
      n_unknown++;
      continue;
    }
    p = msub__rd_len(p, end, &f[number]);
    if (!p) return false;
    present |= 1u << number;
    if (number == 2 && !first_data) {
      first_data = value;
      first_data_end = p;
    }
    if (number <= TOPIC) {
      /* A padded varint ends in a zero byte. */
      exact = exact && number > last && value == at + 1 && (f[number].p == value + 1 || f[number].p[-1] != 0);
      last = number;
      prefix = p;
    } else {
      last = TOPIC + 1;
    }
  }
  if (excepted) *excepted = first_data ? (size_t)(first_data_end - first_data) : 0;
  if (unknown) *unknown += n_unknown;
  size_t prefix_n = (size_t)(prefix - raw.p);
  out->raw = raw;
  out->from = f[1];
  out->data = f[2];
  out->seqno = f[SEQNO];
  out->topic = f[TOPIC];
  out->signature = f[5];
  out->key = f[KEY];
  out->prefix_n = exact && n_unknown == 0 && prefix_n <= UINT32_MAX ? (uint32_t)prefix_n : 0;
  out->present = (uint8_t)(present >> 1);
  out->has_unknown = n_unknown != 0;
  return true;
}

int msub_msg_parse(msub_bytes raw, msub_msg_view *out) {
  return msub__msg_walk(raw, out, NULL, NULL) ? MSUB_OK : MSUB_ERR_MALFORMED;
}

/* The fields of `which`, and the unknown ones; out NULL: only counts. */
static size_t put_fields(const msub_msg_view *v, unsigned which, bool with_unknown, uint8_t *out) {
  const msub_bytes f[KEY] = { v->from, v->data, v->seqno, v->topic, v->signature, v->key };
  size_t n = 0;
  for (unsigned i = 0; i < KEY; i++) {
    if (!(which & v->present & 1u << i)) continue;
    uint32_t tag = MSUB__TAG(i + 1, MSUB__LEN);
    n += msub__field_size(tag, f[i].n);
    if (out) out = msub__wr_field(out, tag, f[i]);
  }
  if (!with_unknown) return n;
  msub__walk w;
  msub__field u;
  msub__walk_begin(&w, v->raw, MSUB__S_MSG);
  while (msub__walk_next(&w, &u)) {
    if (msub__is_known(MSUB__S_MSG, u.tag)) continue;
    msub_bytes value = { u.value, (size_t)(u.end - u.value) };
    n += msub__varint_size(u.tag) + value.n;
    if (out) out = msub__wr_bytes(msub__wr_varint(out, u.tag), value);
  }
  return n;
}

static size_t encode(const msub_msg_view *v, unsigned which, bool with_unknown, uint8_t *out, size_t cap) {
  size_t n = put_fields(v, which, with_unknown, NULL);
  if (out && n <= cap) (void)put_fields(v, which, with_unknown, out);
  return n;
}

size_t msub_msg_signed_bytes(const msub_msg_view *v, uint8_t *out, size_t cap) {
  if (v->prefix_n > 0) {
    if (out && v->prefix_n <= cap) memcpy(out, v->raw.p, v->prefix_n);
    return v->prefix_n;
  }
  return encode(v, SIGNED_FIELDS, v->has_unknown, out, cap);
}

size_t msub_msg_canonical(const msub_msg_view *v, uint8_t *out, size_t cap) {
  return encode(v, ALL_FIELDS, v->has_unknown, out, cap);
}

size_t msub_msg_encode(const msub_msg_view *v, uint8_t *out, size_t cap) {
  return encode(v, ALL_FIELDS, false, out, cap);
}
