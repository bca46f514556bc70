#include <string.h>
#include "meshsub/rpc.h"
#include "multiformats/ip.h"
#include "multiformats/multiaddr.h"
#include "meshsub/multibase.h"
#include "multiformats/multihash.h"
#include "multiformats/varint.h"

static const msub__ma_proto protos[] = {
  { MSUB__MA_CODE_IP4, MSUB__MA_IP4, 4, "ip4" },
  { MSUB__MA_CODE_TCP, MSUB__MA_PORT, 2, "tcp" },
  { MSUB__MA_CODE_IP6, MSUB__MA_IP6, 16, "ip6" },
  { 0x2a, MSUB__MA_NAME, -1, "ip6zone" },
  { 0x2b, MSUB__MA_BYTE, 1, "ipcidr" },
  { MSUB__MA_CODE_DNS, MSUB__MA_NAME, -1, "dns" },
  { MSUB__MA_CODE_DNS4, MSUB__MA_NAME, -1, "dns4" },
  { MSUB__MA_CODE_DNS6, MSUB__MA_NAME, -1, "dns6" },
  { MSUB__MA_CODE_DNSADDR, MSUB__MA_NAME, -1, "dnsaddr" },
  { 0x0111, MSUB__MA_PORT, 2, "udp" },
  { 0x0118, MSUB__MA_NONE, 0, "webrtc-direct" },
  { 0x0119, MSUB__MA_NONE, 0, "webrtc" },
  { 0x0122, MSUB__MA_NONE, 0, "p2p-circuit" },
  { MSUB__MA_CODE_UNIX, MSUB__MA_PATH, -1, "unix" },
  { MSUB__MA_CODE_P2P, MSUB__MA_PEER, -1, "p2p" },
  { 0x01c0, MSUB__MA_NONE, 0, "tls" },
  { 0x01c1, MSUB__MA_NAME, -1, "sni" },
  { 0x01c6, MSUB__MA_NONE, 0, "noise" },
  { 0x01cc, MSUB__MA_NONE, 0, "quic" },
  { 0x01cd, MSUB__MA_NONE, 0, "quic-v1" },
  { 0x01d1, MSUB__MA_NONE, 0, "webtransport" },
  { 0x01d2, MSUB__MA_CERT, -1, "certhash" },
  { MSUB__MA_CODE_WS, MSUB__MA_NONE, 0, "ws" },
  { 0x01de, MSUB__MA_NONE, 0, "wss" },
  { 0x01e0, MSUB__MA_NONE, 0, "http" },
  { 0x0309, MSUB__MA_NAME, -1, "memory" },
};

static const msub__ma_proto *by_code(uint64_t code) {
  for (size_t i = 0; i < sizeof protos / sizeof *protos; i++) {
    if (protos[i].code == code) return &protos[i];
  }
  return NULL;
}

static const msub__ma_proto *by_name(msub_bytes name) {
  if (msub_bytes_eq(name, msub_str("ipfs"))) return by_code(MSUB__MA_CODE_P2P); /* its old name */
  for (size_t i = 0; i < sizeof protos / sizeof *protos; i++) {
    if (msub_bytes_eq(name, msub_str(protos[i].name))) return &protos[i];
  }
  return NULL;
}

/* ---- values ---- */

/* Names and paths go into log lines, terminals and look-ups: nothing but visible ASCII, as DNS has it on the
 * wire. */
static bool name_ok(msub_bytes v) {
  if (v.n == 0 || v.n > 255) return false;
  for (size_t i = 0; i < v.n; i++) {
    if (v.p[i] <= 0x20 || v.p[i] > 0x7e || v.p[i] == '/') return false;
  }
  return true;
}

static bool path_ok(msub_bytes v) {
  if (v.n < 2 || v.p[0] != '/') return false;
  for (size_t i = 0; i < v.n; i++) {
    if (v.p[i] < 0x20 || v.p[i] == 0x7f) return false;
  }
  return true;
}

static bool value_ok(const msub__ma_proto *p, msub_bytes v) {
  msub__multihash h;
  switch ((msub__ma_kind)p->kind) {
  case MSUB__MA_NAME: return name_ok(v);
  case MSUB__MA_PATH: return path_ok(v);
  case MSUB__MA_PEER: return msub_peer_id_check(v) == MSUB_OK;
  case MSUB__MA_CERT: return msub__multihash_parse(v, &h) == MSUB_OK;
  case MSUB__MA_NONE:
  case MSUB__MA_IP4:
  case MSUB__MA_IP6:
  case MSUB__MA_BYTE:
  case MSUB__MA_PORT: break; /* every value of the right size */
  }
  return true;
}

/* Text of a value (which is not empty) to bytes; the number of bytes, 0: malformed. */
static size_t value_parse(const msub__ma_proto *p, msub_bytes text, uint8_t out[MSUB_MULTIADDR_MAX]) {
  uint32_t number;
  size_t n;
  switch ((msub__ma_kind)p->kind) {
  case MSUB__MA_IP4: return msub__ip4_parse(text, out) ? 4 : 0;
  case MSUB__MA_IP6: return msub__ip6_parse(text, out) ? 16 : 0;
  case MSUB__MA_BYTE:
    if (!msub__decimal_parse(text, 255, &number)) return 0;
    out[0] = (uint8_t)number;
    return 1;
  case MSUB__MA_PORT:
    if (!msub__decimal_parse(text, 65535, &number)) return 0;
    out[0] = (uint8_t)(number >> 8);
    out[1] = (uint8_t)number;
    return 2;
  case MSUB__MA_CERT: return msub_multibase_decode(text, out, MSUB_MULTIADDR_MAX, &n) == MSUB_OK ? n : 0;
  case MSUB__MA_PEER: {
    char id_text[2 * MSUB_PEER_ID_MAX + 32];
    msub_peer_id id;
    if (text.n >= sizeof id_text) return 0;
    memcpy(id_text, text.p, text.n);
    id_text[text.n] = 0;
    if (msub_peer_id_parse(id_text, &id) != MSUB_OK) return 0;
    memcpy(out, id.bytes, id.n);
    return id.n;
  }
  case MSUB__MA_NAME:
  case MSUB__MA_PATH:
    if (text.n > MSUB_MULTIADDR_MAX) return 0;
    memcpy(out, text.p, text.n);
    return text.n;
  case MSUB__MA_NONE: break;
  }
  return 0;
}

/* ---- text out ---- */

typedef struct writer {
  char *p;
  size_t n, cap; /* one char of cap is kept for the NUL */
} writer;

static bool write_bytes(writer *w, const void *p, size_t n) {
  if (n >= w->cap - w->n) return false;
  memcpy(w->p + w->n, p, n);
  w->n += n;
  return true;
}

static bool write_value(writer *w, const msub__ma_proto *p, msub_bytes v) {
  char small[MSUB_PEER_ID_TEXT];
  size_t n = 0;
  switch ((msub__ma_kind)p->kind) {
  case MSUB__MA_NONE: return true;
  case MSUB__MA_PATH: return write_bytes(w, v.p, v.n); /* brings its slash */
  case MSUB__MA_NAME: return write_bytes(w, "/", 1) && write_bytes(w, v.p, v.n);
  case MSUB__MA_CERT:
    if (!write_bytes(w, "/", 1)) return false;
    if (msub_multibase_encode('u', v, w->p + w->n, w->cap - w->n - 1, &n) != MSUB_OK) return false;
    w->n += n;
    return true;
  case MSUB__MA_IP4: n = msub__ip4_text(v.p, small); break;
  case MSUB__MA_IP6: n = msub__ip6_text(v.p, small); break;
  case MSUB__MA_BYTE: n = msub__decimal_text(v.p[0], small); break;
  case MSUB__MA_PORT: n = msub__decimal_text((uint32_t)v.p[0] << 8 | v.p[1], small); break;
  case MSUB__MA_PEER: n = strlen(msub_peer_id_text(v, small)); break;
  }
  return write_bytes(w, "/", 1) && write_bytes(w, small, n);
}

int msub_multiaddr_text(msub_bytes b, char *out, size_t cap) {
  int rc = msub_multiaddr_check(b);
  if (rc != MSUB_OK) return rc;
  if (cap == 0) return MSUB_ERR_LIMIT;
  writer w = { .p = out, .n = 0, .cap = cap };
  const msub__ma_proto *p;
  msub_bytes v;
  while (b.n > 0 && msub__ma_take(&b, &p, &v)) {
    if (!write_bytes(&w, "/", 1) || !write_bytes(&w, p->name, strlen(p->name)) || !write_value(&w, p, v)) {
      out[0] = 0;
      return MSUB_ERR_LIMIT;
    }
  }
  out[w.n] = 0;
  return MSUB_OK;
}

/* ---- binary ---- */

bool msub__ma_take(msub_bytes *in, const msub__ma_proto **proto, msub_bytes *value) {
  uint64_t code, n;
  if (!msub__uvarint_take(in, &code) || !(*proto = by_code(code))) return false;
  if ((*proto)->size >= 0) {
    n = (uint64_t)(*proto)->size;
  } else if (!msub__uvarint_take(in, &n)) {
    return false;
  }
  if (n > in->n) return false;
  *value = (msub_bytes){ in->p, (size_t)n };
  *in = (msub_bytes){ in->p + n, in->n - (size_t)n };
  /* In text nothing can follow a path, so nothing may in binary. */
  return value_ok(*proto, *value) && !((*proto)->kind == MSUB__MA_PATH && in->n > 0);
}

int msub__ma_append(msub_multiaddr *a, uint16_t code, msub_bytes value) {
  const msub__ma_proto *p = by_code(code);
  if (!p) return MSUB_ERR_INVAL;
  size_t length_n = p->size < 0 ? msub_varint_size(value.n) : 0;
  size_t room = MSUB_MULTIADDR_MAX - a->n, head = msub_varint_size(code) + length_n;
  if (room < head || room - head < value.n) return MSUB_ERR_LIMIT;
  uint8_t *out = a->bytes + a->n;
  out += msub_varint_put(out, code);
  if (length_n) out += msub_varint_put(out, value.n);
  if (value.n > 0) memcpy(out, value.p, value.n);
  a->n = (uint16_t)(a->n + head + value.n);
  return MSUB_OK;
}

int msub_multiaddr_check(msub_bytes b) {
  const msub__ma_proto *p;
  msub_bytes v;
  if (b.n == 0 || b.n > MSUB_MULTIADDR_MAX) return MSUB_ERR_MALFORMED;
  while (b.n > 0) {
    if (!msub__ma_take(&b, &p, &v)) return MSUB_ERR_MALFORMED;
  }
  return MSUB_OK;
}

/* ---- text in ---- */

/* Takes "/word" off the front. */
static bool take_word(msub_bytes *t, msub_bytes *word) {
  if (t->n == 0 || t->p[0] != '/') return false;
  size_t end = 1;
  while (end < t->n && t->p[end] != '/') end++;
  *word = (msub_bytes){ t->p + 1, end - 1 };
  *t = (msub_bytes){ t->p + end, t->n - end };
  return word->n > 0;
}

static int parse_component(msub_bytes *t, msub_multiaddr *out) {
  uint8_t bytes[MSUB_MULTIADDR_MAX];
  msub_bytes word, value = { bytes, 0 };
  if (!take_word(t, &word)) return MSUB_ERR_MALFORMED;
  const msub__ma_proto *p = by_name(word);
  if (!p) return MSUB_ERR_MALFORMED;
  if (p->kind != MSUB__MA_NONE) {
    if (p->kind == MSUB__MA_PATH) {
      word = *t;
      *t = (msub_bytes){ NULL, 0 };
    } else if (!take_word(t, &word)) {
      return MSUB_ERR_MALFORMED;
    }
    value.n = word.n > 0 ? value_parse(p, word, bytes) : 0;
    if (value.n == 0 || !value_ok(p, value)) return MSUB_ERR_MALFORMED;
  }
  return msub__ma_append(out, p->code, value) == MSUB_OK ? MSUB_OK : MSUB_ERR_MALFORMED;
}

int msub_multiaddr_parse(const char *text, msub_multiaddr *out) {
  msub_bytes t = msub_str(text);
  out->n = 0;
  if (t.n == 0) return MSUB_ERR_MALFORMED;
  while (t.n > 0) {
    int rc = parse_component(&t, out);
    if (rc != MSUB_OK) return rc;
  }
  return MSUB_OK;
}
