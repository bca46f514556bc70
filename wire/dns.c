#include <string.h>
#include "wire/dns.h"

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c; }
static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static void put16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v; }

/* ---- names ---- */

/* With room for the empty label. */
static bool add_label(msub__dns_name *name, const uint8_t *label, size_t n) {
  if (n == 0 || n > MSUB__DNS_LABEL || name->n + 1 + n + 1 > MSUB__DNS_NAME) return false;
  name->bytes[name->n++] = (uint8_t)n;
  memcpy(name->bytes + name->n, label, n);
  name->n = (uint8_t)(name->n + n);
  return true;
}

int msub__dns_name_from(msub_bytes text, msub__dns_name *out) {
  out->n = 0;
  if (text.n > 0 && text.p[text.n - 1] == '.') text.n--;
  for (size_t at = 0; at <= text.n;) {
    size_t end = at;
    while (end < text.n && text.p[end] != '.') end++;
    if (!add_label(out, text.p + at, end - at)) return MSUB_ERR_MALFORMED;
    at = end + 1;
  }
  out->bytes[out->n++] = 0;
  return MSUB_OK;
}

int msub__dns_name_under(msub_bytes label, const msub__dns_name *parent, msub__dns_name *out) {
  msub__dns_name made = { .n = 0 };
  if (!add_label(&made, label.p, label.n) || made.n + parent->n > MSUB__DNS_NAME) return MSUB_ERR_LIMIT;
  memcpy(made.bytes + made.n, parent->bytes, parent->n);
  made.n = (uint8_t)(made.n + parent->n);
  *out = made;
  return MSUB_OK;
}

bool msub__dns_name_eq(const msub__dns_name *a, const msub__dns_name *b) {
  if (a->n != b->n) return false;
  for (size_t i = 0; i < a->n; i++) {
    if (lower(a->bytes[i]) != lower(b->bytes[i])) return false; /* lengths are below 'A' */
  }
  return true;
}

/* ---- reading ---- */

/* Every pointer has to lead in front of the place where the part that it ends began, so that this ends. */
static bool read_name(msub_bytes in, size_t *at, msub__dns_name *out) {
  size_t from = *at, part = *at;
  bool jumped = false;
  out->n = 0;
  for (;;) {
    if (from >= in.n) return false;
    uint8_t n = in.p[from];
    if (n >= 0xc0) {
      if (in.n - from < 2) return false;
      size_t to = (size_t)(n & 0x3f) << 8 | in.p[from + 1];
      if (!jumped) *at = from + 2;
      if (to < MSUB__DNS_HEAD || to >= part) return false;
      jumped = true;
      from = part = to;
      continue;
    }
    if (n > MSUB__DNS_LABEL || in.n - from - 1 < n) return false;
    from++;
    if (n == 0) break;
    if (!add_label(out, in.p + from, n)) return false;
    from += n;
  }
  out->bytes[out->n++] = 0;
  if (!jumped) *at = from;
  return true;
}

int msub__dns_open(msub__dns_reader *r, msub_bytes message) {
  if (message.n < MSUB__DNS_HEAD) return MSUB_ERR_MALFORMED;
  *r = (msub__dns_reader){ .in = message, .at = MSUB__DNS_HEAD, .id = get16(message.p), .flags = get16(message.p + 2) };
  for (size_t i = 0; i < 4; i++) r->left[i] = get16(message.p + 4 + 2 * i);
  return MSUB_OK;
}

static bool read_record(msub__dns_reader *r, msub__dns_section section, msub__dns_record *out) {
  msub_bytes in = r->in;
  size_t fixed = section == MSUB__DNS_QUESTION ? 4 : 10;
  if (!read_name(in, &r->at, &out->name) || in.n - r->at < fixed) return false;
  const uint8_t *p = in.p + r->at;
  r->at += fixed;
  out->section = section;
  out->type = get16(p);
  out->class = get16(p + 2);
  out->ttl = 0;
  out->data = (msub_bytes){ NULL, 0 };
  if (section == MSUB__DNS_QUESTION) return true;
  size_t n = get16(p + 8);
  if (in.n - r->at < n) return false;
  out->ttl = (uint32_t)get16(p + 4) << 16 | get16(p + 6);
  out->data = (msub_bytes){ in.p + r->at, n };
  r->at += n;
  return true;
}

bool msub__dns_next(msub__dns_reader *r, msub__dns_record *out) {
  unsigned section = 0;
  while (section < 4 && r->left[section] == 0) section++;
  if (r->bad || section == 4) return false;
  r->left[section]--;
  if (read_record(r, (msub__dns_section)section, out)) return true;
  r->bad = true;
  return false;
}

int msub__dns_data_name(const msub__dns_reader *r, const msub__dns_record *rec, size_t skip, msub__dns_name *out) {
  if (rec->data.n <= skip) return MSUB_ERR_MALFORMED;
  size_t at = (size_t)(rec->data.p - r->in.p) + skip, end = at - skip + rec->data.n;
  return read_name(r->in, &at, out) && at == end ? MSUB_OK : MSUB_ERR_MALFORMED;
}

bool msub__dns_take_text(msub_bytes *data, msub_bytes *text) {
  if (data->n == 0 || data->n - 1 < data->p[0]) return false;
  *text = (msub_bytes){ data->p + 1, data->p[0] };
  *data = (msub_bytes){ text->p + text->n, data->n - 1 - text->n };
  return true;
}

/* ---- writing ---- */

void msub__dns_begin(msub__dns_writer *w, uint8_t *out, size_t cap, uint16_t id, uint16_t flags) {
  *w = (msub__dns_writer){ .out = out, .cap = cap, .full = cap < MSUB__DNS_HEAD };
  if (w->full) return;
  memset(out, 0, MSUB__DNS_HEAD);
  put16(out, id);
  put16(out + 2, flags);
  w->n = MSUB__DNS_HEAD;
}

static bool room(msub__dns_writer *w, size_t n) {
  if (!w->full && w->cap - w->n >= n) return true;
  w->full = true;
  return false;
}

static uint8_t *head(msub__dns_writer *w, msub__dns_section section, const msub__dns_name *name, uint16_t type, uint16_t class) {
  uint8_t *count = w->out + 4 + 2 * (size_t)section, *p = w->out + w->n;
  put16(count, (uint16_t)(get16(count) + 1));
  memcpy(p, name->bytes, name->n);
  put16(p + name->n, type);
  put16(p + name->n + 2, class);
  return p + name->n + 4;
}

void msub__dns_ask(msub__dns_writer *w, const msub__dns_name *name, uint16_t type, uint16_t class) {
  if (!room(w, name->n + 4u)) return;
  w->n = (size_t)(head(w, MSUB__DNS_QUESTION, name, type, class) - w->out);
}

bool msub__dns_add(msub__dns_writer *w, msub__dns_section section, const msub__dns_name *name, uint16_t type, uint16_t class, uint32_t ttl,
                   msub_bytes data) {
  if (data.n > UINT16_MAX || !room(w, name->n + 10u + data.n)) {
    w->full = true;
    return false;
  }
  uint8_t *p = head(w, section, name, type, class);
  put16(p, (uint16_t)(ttl >> 16));
  put16(p + 2, (uint16_t)ttl);
  put16(p + 4, (uint16_t)data.n);
  if (data.n > 0) memcpy(p + 6, data.p, data.n);
  w->n = (size_t)(p + 6 + data.n - w->out);
  return true;
}
