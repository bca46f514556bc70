/* pubsub/msg_wire.c: one Message: parsing, what its signature covers, encoding. */
#include "pubsub/rpc_wire.h"

#define SIGNED_FIELDS (MSUB_HAS_FROM | MSUB_HAS_DATA | MSUB_HAS_SEQNO | MSUB_HAS_TOPIC)
#define ALL_FIELDS (SIGNED_FIELDS | MSUB_HAS_SIGNATURE | MSUB_HAS_KEY)
#define TOPIC 4
#define KEY 6

/* The view's fields are an array, indexed by number. */
_Static_assert(offsetof(msub_msg_view, key) - offsetof(msub_msg_view, from) == (KEY - 1) * sizeof(msub_bytes),
               "");
static inline msub_bytes *field_of(msub_msg_view *v, uint32_t number) {
  void *at = (char *)v + offsetof(msub_msg_view, from) + (number - 1) * sizeof(msub_bytes);
  return at;
}

int msub_msg_parse(msub_bytes raw, msub_msg_view *out) {
  const uint8_t *p = raw.p, *end = msub__end(raw), *prefix = raw.p;
  uint32_t seen = 0; /* bit per number */
  bool exact = true; /* fields 1 to 4 stand before all others, as an encoder writes them */
  bool unknown = false;
  memset(field_of(out, 1), 0, KEY * sizeof(msub_bytes));
  while (p < end) {
    const uint8_t *at = p;
    uint32_t tag;
    p = msub__rd_tag(p, end, &tag);
    if (!p) return MSUB_ERR_MALFORMED;
    uint32_t number = tag >> 3;
    const uint8_t *value = p;
    if ((tag & 7) != MSUB__LEN || number > KEY) {
      p = msub__skip_value(p, end, tag);
      if (!p) return MSUB_ERR_MALFORMED;
      unknown = true;
      continue;
    }
    msub_bytes f;
    p = msub__rd_len(p, end, &f);
    if (!p) return MSUB_ERR_MALFORMED;
    *field_of(out, number) = f;
    if (number <= TOPIC) {
      /* Nothing of this number or a higher one before, and nothing padded: a padded varint ends in a zero
       * byte. */
      exact &= (seen >> number) == 0 && value == at + 1 && (f.p == value + 1 || f.p[-1] != 0);
      prefix = p;
    }
    seen |= 1u << number;
  }
  out->raw = raw;
  size_t prefix_n = (size_t)(prefix - raw.p);
  out->prefix_n = exact && !unknown && prefix_n <= UINT32_MAX ? (uint32_t)prefix_n : 0;
  out->present = (uint8_t)(seen >> 1);
  out->has_unknown = unknown;
  return MSUB_OK;
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
