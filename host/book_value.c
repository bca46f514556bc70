#include <string.h>
#include "host/addrs.h"
#include "host/book_value.h"

enum { VERSION = 1, WS = 1, IN_RECORD = 2, SAID = 4, PROVED = 8 };
#define PREFIX_N (sizeof MSUB__BOOK_PREFIX - 1)

/* ---- writing ---- */

static uint8_t *put(uint8_t *at, const void *bytes, size_t n) {
  if (n > 0) memcpy(at, bytes, n);
  return at + n;
}

static uint8_t *put_time(uint8_t *at, int64_t t) {
  for (int shift = 56; shift >= 0; shift -= 8) *at++ = (uint8_t)((uint64_t)t >> shift);
  return at;
}

size_t msub__book_value_key(const msub_peer_id *id, uint8_t out[MSUB__BOOK_KEY_MAX]) {
  return (size_t)(put(put(out, MSUB__BOOK_PREFIX, PREFIX_N), id->bytes, id->n) - out);
}

size_t msub__book_value_write(const msub__book_value *v, uint8_t out[MSUB__BOOK_VALUE_MAX]) {
  uint8_t *at = out;
  *at++ = VERSION;
  *at++ = v->from.n;
  at = put(at, v->from.ip, v->from.n);
  *at++ = (uint8_t)v->n;
  for (unsigned i = 0; i < v->n; i++) {
    const msub__tr_addr *a = &v->addrs[i].at;
    *at++ = (uint8_t)((a->ws ? WS : 0) | (v->addrs[i].is_signed ? IN_RECORD : 0) | (v->addrs[i].said ? SAID : 0) | (v->addrs[i].proved ? PROVED : 0));
    *at++ = a->n;
    at = put(at, a->ip, a->n);
    *at++ = (uint8_t)(a->port >> 8);
    *at++ = (uint8_t)a->port;
    if (v->addrs[i].said) at = put_time(at, v->addrs[i].said_until);
    if (v->addrs[i].proved) at = put_time(at, v->addrs[i].proved_until);
  }
  return (size_t)(put(at, v->record.p, v->record.n) - out);
}

/* ---- reading ---- */

static bool get(msub_bytes *in, void *out, size_t n) {
  if (in->n < n) return false;
  memcpy(out, in->p, n);
  *in = (msub_bytes){ in->p + n, in->n - n };
  return true;
}

static bool get_time(msub_bytes *in, int64_t *out) {
  uint8_t bytes[8];
  uint64_t t = 0;
  if (!get(in, bytes, sizeof bytes)) return false;
  for (unsigned i = 0; i < sizeof bytes; i++) t = t << 8 | bytes[i];
  *out = (int64_t)t;
  return true;
}

static bool get_ip(msub_bytes *in, msub__tr_addr *a) { return get(in, &a->n, 1) && (a->n == 4 || a->n == 16) && get(in, a->ip, a->n); }

static bool get_addr(msub_bytes *in, msub__book_value *v, unsigned i) {
  uint8_t flags, port[2];
  if (!get(in, &flags, 1) || flags >= 2 * PROVED || !get_ip(in, &v->addrs[i].at) || !get(in, port, 2)) return false;
  v->addrs[i].at.ws = flags & WS;
  v->addrs[i].at.port = (uint16_t)(port[0] << 8 | port[1]);
  v->addrs[i].is_signed = flags & IN_RECORD;
  v->addrs[i].said = flags & SAID;
  v->addrs[i].proved = flags & PROVED;
  if (v->addrs[i].at.port == 0 || !(flags & (SAID | PROVED)) || (flags & IN_RECORD && !(flags & SAID))) return false;
  for (unsigned k = 0; k < i; k++) {
    if (msub__tr_addr_same(&v->addrs[k].at, &v->addrs[i].at)) return false;
  }
  return (!v->addrs[i].said || get_time(in, &v->addrs[i].said_until)) && (!v->addrs[i].proved || get_time(in, &v->addrs[i].proved_until));
}

static bool get_network(msub_bytes *in, msub__book_value *v) {
  if (in->n == 0 || in->p[0] == 0) return get(in, &v->from.n, 1);
  if (!get_ip(in, &v->from)) return false;
  msub__tr_addr net = msub__network(&v->from);
  return msub__tr_addr_same(&net, &v->from);
}

bool msub__book_value_read(msub_bytes key, msub_bytes value, msub__book_value *out) {
  uint8_t version, n;
  bool in_record = false;
  *out = (msub__book_value){ .n = 0 };
  if (key.n < PREFIX_N || memcmp(key.p, MSUB__BOOK_PREFIX, PREFIX_N) != 0) return false;
  msub_bytes id = { key.p + PREFIX_N, key.n - PREFIX_N };
  if (id.n > MSUB_PEER_ID_MAX || msub_peer_id_check(id) != MSUB_OK) return false;
  out->id = msub_peer_id_of(id);
  if (!get(&value, &version, 1) || version != VERSION || !get_network(&value, out)) return false;
  if (!get(&value, &n, 1) || n == 0 || n > MSUB__HOST_BOOK_ADDRS) return false;
  for (; out->n < n; out->n++) {
    if (!get_addr(&value, out, out->n)) return false;
    in_record |= out->addrs[out->n].is_signed;
  }
  out->record = value;
  return value.n <= MSUB__HOST_BOOK_RECORD && !(in_record && value.n == 0);
}
