#include "meshsub/dag_cbor.h"
#include <string.h>

enum { UINT, NINT, BYTES, TEXT, ARRAY, MAP, TAG, OTHER }; /* major types */
#define LINK_TAG 42u

/* ---- reading ---- */

/* The head's argument. info: the low five bits of the first byte, which tell how long it is. */
static bool take_head(msub_bytes *in, unsigned *major, unsigned *info, uint64_t *n) {
  if (in->n == 0) return false;
  uint8_t first = in->p[0];
  size_t more = 0;
  *major = first >> 5;
  *info = first & 31;
  *n = *info;
  if (*info > 27) return false; /* 28 … 30 are nothing, 31 is an indefinite length */
  if (*info >= 24) {
    more = (size_t)1 << (*info - 24);
    if (in->n - 1 < more) return false;
    *n = 0;
    for (size_t i = 0; i < more; i++) *n = *n << 8 | in->p[1 + i];
    /* The shortest: what fits in half as many bytes should have been there. Of OTHER it is a float or no number at all. */
    if (*major != OTHER && (more == 1 ? *n < 24 : *n >> (more * 4) == 0)) return false;
  }
  *in = (msub_bytes){ in->p + 1 + more, in->n - 1 - more };
  return true;
}

static bool take_bytes(msub_bytes *in, uint64_t n, msub_bytes *out) {
  if (n > in->n) return false;
  *out = (msub_bytes){ in->p, (size_t)n };
  *in = (msub_bytes){ in->p + n, in->n - (size_t)n };
  return true;
}

/* RFC 3629: no overlong forms, no surrogates, nothing above 10ffff. */
static bool is_utf8(msub_bytes b) {
  for (size_t i = 0; i < b.n;) {
    uint8_t c = b.p[i];
    size_t more = c < 0x80 ? 0 : c >= 0xc2 && c <= 0xdf ? 1 : c >= 0xe0 && c <= 0xef ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 4;
    if (more == 4 || b.n - i <= more) return false;
    for (size_t k = 1; k <= more; k++)
      if ((b.p[i + k] & 0xc0) != 0x80) return false;
    if (more >= 2) {
      uint8_t next = b.p[i + 1];
      if ((c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) || (c == 0xf0 && next < 0x90) || (c == 0xf4 && next > 0x8f)) return false;
    }
    i += 1 + more;
  }
  return true;
}

static bool take_other(unsigned info, uint64_t n, msub_cbor_item *out) {
  if (info == 20 || info == 21) {
    out->type = MSUB_CBOR_BOOL;
    out->n = info - 20;
    return true;
  }
  if (info == 22) {
    out->type = MSUB_CBOR_NULL;
    out->n = 0;
    return true;
  }
  if (info != 27 || (n >> 52 & 0x7ff) == 0x7ff) return false; /* half and single ones, not-a-numbers and infinities */
  _Static_assert(sizeof(double) == sizeof(uint64_t), "a double has 64 bits");
  out->type = MSUB_CBOR_FLOAT;
  memcpy(&out->real, &n, sizeof n);
  out->n = 0;
  return true;
}

static bool take_link(msub_bytes *in, uint64_t tag, msub_cbor_item *out) {
  unsigned major, info;
  uint64_t n;
  if (tag != LINK_TAG || !take_head(in, &major, &info, &n) || major != BYTES || !take_bytes(in, n, &out->bytes)) return false;
  if (out->bytes.n < 2 || out->bytes.p[0] != 0) return false; /* the multibase prefix of binary, then a CID */
  out->bytes = (msub_bytes){ out->bytes.p + 1, out->bytes.n - 1 };
  out->type = MSUB_CBOR_LINK;
  out->n = 0;
  return true;
}

int msub_cbor_next(msub_bytes *in, msub_cbor_item *out) {
  static const msub_cbor_type types[] = { MSUB_CBOR_UINT, MSUB_CBOR_NINT, MSUB_CBOR_BYTES, MSUB_CBOR_TEXT, MSUB_CBOR_ARRAY, MSUB_CBOR_MAP };
  unsigned major, info;
  *out = (msub_cbor_item){ 0 };
  if (!take_head(in, &major, &info, &out->n)) return MSUB_ERR_MALFORMED;
  if (major == TAG) return take_link(in, out->n, out) ? MSUB_OK : MSUB_ERR_MALFORMED;
  if (major == OTHER) return take_other(info, out->n, out) ? MSUB_OK : MSUB_ERR_MALFORMED;
  out->type = types[major];
  if (major == ARRAY) return out->n <= in->n ? MSUB_OK : MSUB_ERR_MALFORMED; /* an item has a byte at least */
  if (major == MAP) return out->n <= in->n / 2 ? MSUB_OK : MSUB_ERR_MALFORMED;
  if (major == BYTES || major == TEXT) {
    if (!take_bytes(in, out->n, &out->bytes) || (major == TEXT && !is_utf8(out->bytes))) return MSUB_ERR_MALFORMED;
    out->n = 0;
  }
  return MSUB_OK;
}

int msub_cbor_key_order(msub_bytes a, msub_bytes b) {
  if (a.n != b.n) return a.n < b.n ? -1 : 1;
  return a.n ? memcmp(a.p, b.p, a.n) : 0;
}

/* An array or a map that is being skipped. */
typedef struct level {
  uint64_t left;   /* items, of a map keys and values */
  msub_bytes last; /* key */
  msub_bytes keys; /* of a map: from its first key on; to look for one that came before */
  uint64_t read;   /* keys */
  bool map, disordered;
} level;

/* Has one of the first n keys these bytes? All of them have been read once, so they are well formed. */
static bool had_key(msub_bytes keys, uint64_t n, msub_bytes key) {
  for (uint64_t i = 0; i < n; i++) {
    msub_cbor_item k;
    if (msub_cbor_next(&keys, &k) != MSUB_OK || msub_bytes_eq(k.bytes, key)) return true;
    uint64_t below = 1; /* its value */
    while (below) {
      msub_cbor_item v;
      if (msub_cbor_next(&keys, &v) != MSUB_OK) return true;
      below--;
      if (v.type == MSUB_CBOR_ARRAY) below += v.n;
      if (v.type == MSUB_CBOR_MAP) below += 2 * v.n;
    }
  }
  return false;
}

static int key(level *l, const msub_cbor_item *i, bool sorted) {
  if (i->type != MSUB_CBOR_TEXT) return MSUB_ERR_MALFORMED;
  if (l->read && msub_cbor_key_order(l->last, i->bytes) >= 0) l->disordered = true;
  if (l->disordered) {
    if (sorted) return MSUB_ERR_MALFORMED;
    if (l->read >= MSUB_CBOR_UNSORTED) return MSUB_ERR_LIMIT;
    if (had_key(l->keys, l->read, i->bytes)) return MSUB_ERR_MALFORMED;
  }
  l->last = i->bytes;
  l->read++;
  return MSUB_OK;
}

int msub_cbor_skip(msub_bytes *in, bool sorted, msub_bytes *whole) {
  level at[MSUB_CBOR_DEPTH];
  unsigned depth = 0;
  const uint8_t *from = in->p;
  do {
    msub_cbor_item i;
    level *l = depth ? &at[depth - 1] : NULL;
    bool is_key = l && l->map && l->left % 2 == 0;
    int rc = msub_cbor_next(in, &i);
    if (rc == MSUB_OK && is_key) rc = key(l, &i, sorted);
    if (rc != MSUB_OK) return rc;
    if (l) l->left--;
    if (i.type == MSUB_CBOR_ARRAY || i.type == MSUB_CBOR_MAP) {
      if (depth == MSUB_CBOR_DEPTH) return MSUB_ERR_LIMIT;
      bool map = i.type == MSUB_CBOR_MAP;
      at[depth++] = (level){ .left = map ? 2 * i.n : i.n, .keys = *in, .map = map };
    }
    while (depth && at[depth - 1].left == 0) depth--;
  } while (depth);
  if (whole) *whole = (msub_bytes){ from, (size_t)(in->p - from) };
  return MSUB_OK;
}

int msub_cbor_check(msub_bytes in, bool sorted) {
  int rc = msub_cbor_skip(&in, sorted, NULL);
  return rc == MSUB_OK && in.n ? MSUB_ERR_MALFORMED : rc;
}

/* ---- writing ---- */

static void put(msub_cbor_out *o, const uint8_t *p, size_t n) {
  if (n && o->n <= o->cap && n <= o->cap - o->n) memcpy(o->p + o->n, p, n);
  o->n += n;
}

/* wide: all eight bytes of the argument, as a float has. */
static void put_head(msub_cbor_out *o, unsigned major, uint64_t n, bool wide) {
  uint8_t b[9];
  unsigned more = wide || n > UINT32_MAX ? 8 : n > UINT16_MAX ? 4 : n > UINT8_MAX ? 2 : n >= 24 ? 1 : 0;
  unsigned info = more == 8 ? 27 : more == 4 ? 26 : more == 2 ? 25 : more == 1 ? 24 : (unsigned)n;
  b[0] = (uint8_t)(major << 5 | info);
  for (unsigned i = 0; i < more; i++) b[1 + i] = (uint8_t)(n >> (8 * (more - 1 - i)));
  put(o, b, 1 + more);
}

void msub_cbor_put_uint(msub_cbor_out *o, uint64_t v) { put_head(o, UINT, v, false); }
void msub_cbor_put_nint(msub_cbor_out *o, uint64_t n) { put_head(o, NINT, n, false); }
void msub_cbor_put_bytes(msub_cbor_out *o, msub_bytes b) {
  put_head(o, BYTES, b.n, false);
  put(o, b.p, b.n);
}
void msub_cbor_put_text(msub_cbor_out *o, msub_bytes b) {
  put_head(o, TEXT, b.n, false);
  put(o, b.p, b.n);
}
void msub_cbor_put_array(msub_cbor_out *o, uint64_t items) { put_head(o, ARRAY, items, false); }
void msub_cbor_put_map(msub_cbor_out *o, uint64_t pairs) { put_head(o, MAP, pairs, false); }
void msub_cbor_put_link(msub_cbor_out *o, msub_bytes cid) {
  static const uint8_t binary = 0;
  put_head(o, TAG, LINK_TAG, false);
  put_head(o, BYTES, (uint64_t)cid.n + 1, false);
  put(o, &binary, 1);
  put(o, cid.p, cid.n);
}
void msub_cbor_put_bool(msub_cbor_out *o, bool v) { put_head(o, OTHER, v ? 21 : 20, false); }
void msub_cbor_put_null(msub_cbor_out *o) { put_head(o, OTHER, 22, false); }
void msub_cbor_put_float(msub_cbor_out *o, double v) {
  uint64_t n;
  memcpy(&n, &v, sizeof n);
  put_head(o, OTHER, n, true);
}
