#include <string.h>
#include "meshsub/pb.h"
#include "wire/rendezvous.h"

/* ---- reading ---- */

/* Numbers of fields: of a part in the message, and of what stands in each part; 0: not there. */
typedef struct layout { uint8_t part, ns, record, ttl, limit, cookie, status, registrations; } layout;
static const layout layouts[] = {
  [MSUB__RV_REGISTER] = { .part = 2, .ns = 1, .record = 2, .ttl = 3 },
  [MSUB__RV_REGISTER_RESPONSE] = { .part = 3, .status = 1, .ttl = 3 },
  [MSUB__RV_UNREGISTER] = { .part = 4, .ns = 1 },
  [MSUB__RV_DISCOVER] = { .part = 5, .ns = 1, .limit = 2, .cookie = 3 },
  [MSUB__RV_DISCOVER_RESPONSE] = { .part = 6, .registrations = 1, .cookie = 2, .status = 3 },
};
#define TYPES (sizeof layouts / sizeof *layouts)

static bool is_varint(const msub_pb_field *f) { return !f->is_bytes && f->bytes.p == NULL; }

static bool read_part(const layout *l, msub_bytes in, msub__rv_message *out) {
  msub_pb_field f;
  while (in.n > 0) {
    if (!msub_pb_next(&in, &f)) return false;
    if (f.is_bytes) {
      if (f.number == l->ns) out->ns = f.bytes;
      else if (f.number == l->record) out->record = f.bytes;
      else if (f.number == l->cookie) out->cookie = f.bytes;
    } else if (is_varint(&f)) {
      if (f.number == l->ttl) out->ttl = f.varint, out->has_ttl = true;
      else if (f.number == l->limit) out->limit = f.varint;
      else if (f.number == l->status) out->status = f.varint;
    }
  }
  return true;
}

int msub__rv_parse(msub_bytes in, msub__rv_message *out) {
  msub_pb_field f;
  bool typed = false, there = false;
  *out = (msub__rv_message){ 0 };
  for (msub_bytes rest = in; rest.n > 0;) {
    if (!msub_pb_next(&rest, &f)) return MSUB_ERR_MALFORMED;
    if (f.number != 1 || !is_varint(&f)) continue;
    if (f.varint >= TYPES) return MSUB_ERR_MALFORMED;
    out->type = (msub__rv_type)f.varint;
    typed = true;
  }
  if (!typed) return MSUB_ERR_MALFORMED;
  const layout *l = &layouts[out->type];
  for (msub_bytes rest = in; rest.n > 0;) {
    if (!msub_pb_next(&rest, &f)) return MSUB_ERR_MALFORMED;
    if (f.number != l->part || !f.is_bytes) continue;
    if (!read_part(l, f.bytes, out)) return MSUB_ERR_MALFORMED;
    out->part = f.bytes;
    there = true;
  }
  return there ? MSUB_OK : MSUB_ERR_MALFORMED;
}

bool msub__rv_registration(msub_bytes *rest, msub__rv_message *out) {
  msub_pb_field f;
  while (rest->n > 0 && msub_pb_next(rest, &f)) {
    if (f.number != layouts[MSUB__RV_DISCOVER_RESPONSE].registrations || !f.is_bytes) continue;
    *out = (msub__rv_message){ .type = MSUB__RV_REGISTER };
    if (read_part(&layouts[MSUB__RV_REGISTER], f.bytes, out)) return true;
  }
  return false;
}

/* ---- writing ---- */

/* Counts on when there is no room. */
typedef struct sink { uint8_t *p; size_t n, cap; } sink;

static void put_bytes(sink *s, msub_bytes b) {
  if (b.n > 0 && s->n <= s->cap && b.n <= s->cap - s->n) memcpy(s->p + s->n, b.p, b.n);
  s->n += b.n;
}
static void put_varint(sink *s, uint64_t v) {
  uint8_t b[10];
  put_bytes(s, (msub_bytes){ b, msub_varint_put(b, v) });
}
static void put_number(sink *s, unsigned field, uint64_t v) {
  put_varint(s, (uint64_t)field << 3);
  put_varint(s, v);
}
static void put_field(sink *s, unsigned field, msub_bytes b) {
  put_varint(s, (uint64_t)field << 3 | 2);
  put_varint(s, b.n);
  put_bytes(s, b);
}

static void put_part(sink *s, const msub__rv_message *m) {
  const layout *l = &layouts[m->type];
  bool response = l->status > 0;
  if (l->status == 1) put_number(s, 1, m->status);
  if (l->ns && m->ns.n > 0) put_field(s, l->ns, m->ns);
  if (l->record && m->record.n > 0) put_field(s, l->record, m->record);
  if (l->limit && m->limit > 0) put_number(s, l->limit, m->limit);
  if (l->cookie && m->cookie.n > 0) put_field(s, l->cookie, m->cookie);
  if (l->ttl && (m->ttl > 0 || (response && m->status == MSUB__RV_OK))) put_number(s, l->ttl, m->ttl);
  if (l->status > 1) put_number(s, l->status, m->status);
}

size_t msub__rv_encode(const msub__rv_message *m, uint8_t *out, size_t cap) {
  sink size = { 0 }, s = { out, 0, cap };
  put_part(&size, m);
  put_number(&s, 1, m->type);
  put_varint(&s, (uint64_t)layouts[m->type].part << 3 | 2);
  put_varint(&s, size.n);
  put_part(&s, m);
  return s.n;
}

size_t msub__rv_encode_registration(msub_bytes ns, msub_bytes record, uint64_t ttl, uint8_t *out, size_t cap) {
  msub__rv_message m = { .type = MSUB__RV_REGISTER, .ns = ns, .record = record, .ttl = ttl };
  sink size = { 0 }, s = { out, 0, cap };
  put_part(&size, &m);
  put_varint(&s, (uint64_t)layouts[MSUB__RV_DISCOVER_RESPONSE].registrations << 3 | 2);
  put_varint(&s, size.n);
  put_part(&s, &m);
  return s.n;
}

size_t msub__rv_encode_discovered(uint64_t status, msub_bytes cookie, uint8_t *out, size_t cap) {
  msub__rv_message m = { .type = MSUB__RV_DISCOVER_RESPONSE, .status = status, .cookie = cookie };
  sink s = { out, 0, cap };
  put_part(&s, &m);
  return s.n;
}

size_t msub__rv_encode_head(size_t part, uint8_t *out) {
  sink s = { out, 0, MSUB__RV_HEAD };
  put_number(&s, 1, MSUB__RV_DISCOVER_RESPONSE);
  put_varint(&s, (uint64_t)layouts[MSUB__RV_DISCOVER_RESPONSE].part << 3 | 2);
  put_varint(&s, part);
  return s.n;
}
