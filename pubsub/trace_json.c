/* pubsub/trace_json.c: a record as a line of JSON. A table says what each field of each message is called in either style. */
#include <string.h>
#include "meshsub/log.h"
#include "meshsub/peer_id.h"
#include "meshsub/trace.h"
#include "pubsub/rpc_wire.h"
#include "pubsub/trace_schema.h"

/* ---- the schema ---- */

typedef enum kind { K_TYPE, K_INT, K_BOOL, K_PEER, K_ID, K_TOPIC, K_TEXT, K_MESSAGE, K_FLAT } kind; /* FLAT: of our lines, its fields stand in the outer object */
typedef enum shape { S_EVENT, S_PUBLISH, S_REJECT, S_DUPLICATE, S_DELIVER, S_ADD, S_REMOVE, S_RECV, S_SEND, S_DROP, S_SENT, S_JOIN, S_LEAVE,
  S_MESH, S_RPC, S_MESSAGE, S_SUB, S_CONTROL, S_IHAVE, S_IDS, S_GRAFT, S_PRUNE, S_WITHDRAW, S_DEFER, S_FAULT, S_EXTENSION, SHAPES } shape;
typedef struct field {
  uint8_t number, kind, shape;
  bool list;
  const char *go, *ours; /* go NULL: not in the format */
} field;
typedef struct message { uint8_t n; field f[17]; } message;

static const message schema[SHAPES] = {
  [S_EVENT] = { 17, { { 1, K_TYPE, 0, false, "type", "ev" }, { 3, K_INT, 0, false, "timestamp", "ns" },
    { 2, K_PEER, 0, false, "peerID", "node" }, { 4, K_FLAT, S_PUBLISH, false, "publishMessage", NULL },
    { 5, K_FLAT, S_REJECT, false, "rejectMessage", NULL }, { 6, K_FLAT, S_DUPLICATE, false, "duplicateMessage", NULL },
    { 7, K_FLAT, S_DELIVER, false, "deliverMessage", NULL }, { 8, K_FLAT, S_ADD, false, "onNewOutboundStream", NULL },
    { 9, K_FLAT, S_REMOVE, false, "onClosedOutboundStream", NULL }, { 10, K_FLAT, S_RECV, false, "recvRPC", NULL },
    { 11, K_FLAT, S_SEND, false, "sendRPC", NULL }, { 12, K_FLAT, S_DROP, false, "dropRPC", NULL },
    { 13, K_FLAT, S_JOIN, false, "join", NULL }, { 14, K_FLAT, S_LEAVE, false, "leave", NULL },
    { 15, K_FLAT, S_MESH, false, "graft", NULL }, { 16, K_FLAT, S_MESH, false, "prune", NULL },
    { 17, K_FLAT, S_SENT, false, "sendRPCCompleted", NULL } } },
  [S_PUBLISH] = { 2, { { 1, K_ID, 0, false, "messageID", "id" }, { 2, K_TOPIC, 0, false, "topic", "topic" } } },
  [S_REJECT] = { 5, { { 1, K_ID, 0, false, "messageID", "id" }, { 2, K_PEER, 0, false, "receivedFrom", "peer" },
    { 3, K_TEXT, 0, false, "reason", "why" }, { 4, K_TOPIC, 0, false, "topic", "topic" },
    { MSUB__TRACE_REASON, K_TEXT, 0, false, NULL, "reason" } } },
  [S_DUPLICATE] = { 3, { { 1, K_ID, 0, false, "messageID", "id" }, { 2, K_PEER, 0, false, "receivedFrom", "peer" },
    { 3, K_TOPIC, 0, false, "topic", "topic" } } },
  [S_DELIVER] = { 3, { { 1, K_ID, 0, false, "messageID", "id" }, { 2, K_TOPIC, 0, false, "topic", "topic" },
    { 3, K_PEER, 0, false, "receivedFrom", "peer" } } },
  [S_ADD] = { 2, { { 1, K_PEER, 0, false, "peerID", "peer" }, { 2, K_TEXT, 0, false, "proto", "protocol" } } },
  [S_REMOVE] = { 1, { { 1, K_PEER, 0, false, "peerID", "peer" } } },
  [S_RECV] = { 2, { { 1, K_PEER, 0, false, "receivedFrom", "peer" }, { 2, K_MESSAGE, S_RPC, false, "meta", "rpc" } } },
  [S_SEND] = { 2, { { 1, K_PEER, 0, false, "sendTo", "peer" }, { 2, K_MESSAGE, S_RPC, false, "meta", "rpc" } } },
  [S_DROP] = { 3, { { 1, K_PEER, 0, false, "sendTo", "peer" }, { 2, K_MESSAGE, S_RPC, false, "meta", "rpc" },
    { MSUB__TRACE_REASON, K_TEXT, 0, false, NULL, "reason" } } },
  [S_SENT] = { 3, { { 1, K_PEER, 0, false, "sendTo", "peer" }, { 2, K_MESSAGE, S_RPC, false, "meta", "rpc" },
    { 3, K_INT, 0, false, "writeDurationNanos", "took_ns" } } },
  [S_JOIN] = { 1, { { 1, K_TOPIC, 0, false, "topic", "topic" } } },
  [S_LEAVE] = { 1, { { 2, K_TOPIC, 0, false, "topic", "topic" } } },
  [S_MESH] = { 2, { { 1, K_PEER, 0, false, "peerID", "peer" }, { 2, K_TOPIC, 0, false, "topic", "topic" } } },
  [S_RPC] = { 3, { { 1, K_MESSAGE, S_MESSAGE, true, "messages", "messages" }, { 2, K_MESSAGE, S_SUB, true, "subscription", "subscriptions" },
    { 3, K_MESSAGE, S_CONTROL, false, "control", "control" } } },
  [S_MESSAGE] = { 2, { { 1, K_ID, 0, false, "messageID", "id" }, { 2, K_TOPIC, 0, false, "topic", "topic" } } },
  [S_SUB] = { 2, { { 1, K_BOOL, 0, false, "subscribe", "subscribe" }, { 2, K_TOPIC, 0, false, "topic", "topic" } } },
  [S_CONTROL] = { 5, { { 1, K_MESSAGE, S_IHAVE, true, "ihave", "ihave" }, { 2, K_MESSAGE, S_IDS, true, "iwant", "iwant" },
    { 3, K_MESSAGE, S_GRAFT, true, "graft", "graft" }, { 4, K_MESSAGE, S_PRUNE, true, "prune", "prune" },
    { 5, K_MESSAGE, S_IDS, true, "idontwant", "idontwant" } } },
  [S_IHAVE] = { 2, { { 1, K_TOPIC, 0, false, "topic", "topic" }, { 2, K_ID, 0, true, "messageIDs", "ids" } } },
  [S_IDS] = { 1, { { 1, K_ID, 0, true, "messageIDs", "ids" } } },
  [S_GRAFT] = { 1, { { 1, K_TOPIC, 0, false, "topic", "topic" } } },
  [S_PRUNE] = { 2, { { 1, K_TOPIC, 0, false, "topic", "topic" }, { 2, K_PEER, 0, true, "peers", "peers" } } },
  [S_WITHDRAW] = { 3, { { 1, K_PEER, 0, false, NULL, "peer" }, { 2, K_ID, 0, false, NULL, "id" }, { 3, K_INT, 0, false, NULL, "n" } } },
  [S_DEFER] = { 3, { { 1, K_ID, 0, false, NULL, "id" }, { 2, K_TOPIC, 0, false, NULL, "topic" }, { 3, K_PEER, 0, false, NULL, "peer" } } },
  [S_EXTENSION] = { 5, { { 1, K_PEER, 0, false, NULL, "peer" }, { 2, K_TEXT, 0, false, NULL, "extension" }, { 3, K_TOPIC, 0, false, NULL, "topic" },
    { 4, K_ID, 0, false, NULL, "group" }, { 5, K_INT, 0, false, NULL, "bytes" } } },
  [S_FAULT] = { 1, { { 1, K_TEXT, 0, false, NULL, "whose" } } },
};
/* The events that are ours alone: they would not fit behind the table's numbers. */
static const struct { unsigned number; shape shape; } ours[] = {
  { MSUB__TRACE_OURS + MSUB_T_WITHDRAW + 4, S_WITHDRAW }, { MSUB__TRACE_OURS + MSUB_T_DEFER + 4, S_DEFER },
  { MSUB__TRACE_OURS + MSUB_T_FAULT + 4, S_FAULT }, { MSUB__TRACE_OURS + MSUB_T_EXTENSION + 4, S_EXTENSION }
};

/* ---- text ---- */

typedef struct text {
  char *p;
  size_t n, cap;
  msub_trace_style style;
  bool comma; /* something stands in this object */
} text;

static void put(text *t, const char *s, size_t n) {
  if (t->n <= t->cap && n <= t->cap - t->n) memcpy(t->p + t->n, s, n);
  t->n += n;
}
static void put_str(text *t, const char *s) { put(t, s, strlen(s)); }
static void put_number(text *t, uint64_t v, bool is_signed) {
  char digits[24], *p = digits + sizeof digits;
  bool minus = is_signed && v >> 63;
  if (minus) v = 0 - v;
  do *--p = (char)('0' + v % 10);
  while ((v /= 10) != 0);
  if (minus) *--p = '-';
  put(t, p, (size_t)(digits + sizeof digits - p));
}

/* Bytes of the UTF-8 sequence that p begins with; 0: none. Surrogates and what is written too long are none. */
static size_t utf8(const uint8_t *p, size_t n) {
  static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
  size_t len = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
  if (len < 2) return len;
  if (len > n) return 0;
  uint32_t c = p[0] & (0x7fu >> len);
  for (size_t i = 1; i < len; i++) {
    if (p[i] >> 6 != 2) return 0;
    c = c << 6 | (p[i] & 0x3f);
  }
  return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}
static bool is_utf8(msub_bytes b) {
  for (size_t i = 0, n; i < b.n; i += n)
    if ((n = utf8(b.p + i, b.n - i)) == 0) return false;
  return true;
}

static void put_string(text *t, msub_bytes b) {
  static const char hex[] = "0123456789abcdef";
  put(t, "\"", 1);
  for (size_t i = 0, n; i < b.n; i += n) {
    n = utf8(b.p + i, b.n - i);
    if (n == 0) {
      put_str(t, "\\ufffd");
      n = 1;
    } else if (b.p[i] == '"' || b.p[i] == '\\') {
      put(t, (const char[]){ '\\', (char)b.p[i] }, 2);
    } else if (b.p[i] < 0x20 || b.p[i] == 0x7f) {
      put(t, (const char[]){ '\\', 'u', '0', '0', hex[b.p[i] >> 4], hex[b.p[i] & 15] }, 6);
    } else {
      put(t, (const char *)b.p + i, n);
    }
  }
  put(t, "\"", 1);
}

static void put_hex(text *t, msub_bytes b) {
  static const char hex[] = "0123456789abcdef";
  put(t, "\"", 1);
  for (size_t i = 0; i < b.n; i++) put(t, (const char[]){ hex[b.p[i] >> 4], hex[b.p[i] & 15] }, 2);
  put(t, "\"", 1);
}

static void put_base64(text *t, msub_bytes b) {
  static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  put(t, "\"", 1);
  for (size_t i = 0; i < b.n; i += 3) {
    size_t left = b.n - i;
    uint32_t v = (uint32_t)b.p[i] << 16 | (left > 1 ? (uint32_t)b.p[i + 1] << 8 : 0) | (left > 2 ? b.p[i + 2] : 0);
    put(t, (const char[]){ digit[v >> 18], digit[v >> 12 & 63], left > 1 ? digit[v >> 6 & 63] : '=', left > 2 ? digit[v & 63] : '=' }, 4);
  }
  put(t, "\"", 1);
}

/* ---- fields ---- */

static void object(text *t, const message *m, msub_bytes body, bool flat);

static int kind_of(uint64_t type) {
  for (int k = 0; k < MSUB_EVENTS; k++)
    if (msub__trace_type((msub_event_kind)k) == type) return k;
  return -1; /* "unknown" */
}

static void put_value(text *t, const field *f, uint64_t v, msub_bytes b) {
  char peer[MSUB_PEER_ID_TEXT];
  switch ((kind)f->kind) {
  case K_TYPE:
    if (t->style == MSUB_TRACE_TRACER) put_number(t, v, false);
    else put_string(t, msub_str(v == MSUB__TRACE_SENT ? "sent_rpc" : msub_event_name(kind_of(v))));
    break;
  case K_INT: put_number(t, v, true); break;
  case K_BOOL: put_str(t, v ? "true" : "false"); break;
  case K_PEER:
    if (t->style == MSUB_TRACE_TRACER) put_base64(t, b);
    else put_string(t, msub_str(msub_peer_id_text(b, peer)));
    break;
  case K_ID:
    if (t->style == MSUB_TRACE_TRACER) put_base64(t, b);
    else put_hex(t, b);
    break;
  case K_TOPIC:
    if (t->style == MSUB_TRACE_LINES && !is_utf8(b)) put_hex(t, b);
    else put_string(t, b);
    break;
  case K_TEXT: put_string(t, b); break;
  case K_MESSAGE:
  case K_FLAT: object(t, &schema[f->shape], b, false); break;
  }
}

static bool is_number(const field *f) { return f->kind == K_TYPE || f->kind == K_INT || f->kind == K_BOOL; }

/* Behind the next field with this tag; NULL: there is none before the end, or before bytes that are malformed. */
static const uint8_t *find(const uint8_t *p, const uint8_t *end, uint32_t tag, uint64_t *v, msub_bytes *b) {
  while (p && p < end) {
    uint32_t found;
    p = msub__rd_tag(p, end, &found);
    if (!p) return NULL;
    if (found != tag) {
      p = msub__skip_value(p, end, found);
      continue;
    }
    return (tag & 7) == MSUB__VARINT ? msub__rd_varint(p, end, v) : msub__rd_len(p, end, b);
  }
  return NULL;
}

static void put_name(text *t, const field *f, msub_bytes b) {
  const char *name = t->style == MSUB_TRACE_TRACER ? f->go : f->ours;
  if (t->comma) put(t, ",", 1);
  t->comma = true;
  put(t, "\"", 1);
  put_str(t, name);
  if (t->style == MSUB_TRACE_LINES && f->kind == K_TOPIC && !is_utf8(b)) put_str(t, "_hex");
  put_str(t, "\":");
}

/* A singular field: of several the last one counts. */
static void put_field(text *t, const field *f, msub_bytes body) {
  uint32_t tag = MSUB__TAG(f->number, is_number(f) ? MSUB__VARINT : MSUB__LEN);
  const uint8_t *end = msub__end(body), *p = body.p;
  uint64_t v = 0;
  msub_bytes b = { NULL, 0 };
  bool flat = f->kind == K_FLAT && t->style == MSUB_TRACE_LINES, any = false;
  if (!flat && !(t->style == MSUB_TRACE_TRACER ? f->go : f->ours)) return;
  if (f->list) {
    for (bool first = true; (p = find(p, end, tag, &v, &b)); first = false) {
      if (first) put_name(t, f, b);
      put(t, first ? "[" : ",", 1);
      put_value(t, f, v, b);
      any = true;
    }
    if (any) put(t, "]", 1);
    return;
  }
  while ((p = find(p, end, tag, &v, &b))) any = true;
  if (!any || (b.n == 0 && (f->kind == K_PEER || f->kind == K_ID))) return; /* empty bytes are left out, as go does */
  if (flat) {
    object(t, &schema[f->shape], b, true);
    return;
  }
  put_name(t, f, b);
  put_value(t, f, v, b);
}

static void object(text *t, const message *m, msub_bytes body, bool flat) {
  bool outer = t->comma;
  if (!flat) {
    put(t, "{", 1);
    t->comma = false;
  }
  for (unsigned i = 0; i < m->n; i++) put_field(t, &m->f[i], body);
  if (m == &schema[S_EVENT] && t->style == MSUB_TRACE_LINES)
    for (unsigned i = 0; i < sizeof ours / sizeof *ours; i++)
      put_field(t, &(field){ (uint8_t)ours[i].number, K_FLAT, (uint8_t)ours[i].shape, false, NULL, NULL }, body);
  if (flat) return;
  put(t, "}", 1);
  t->comma = outer;
}

/* All fields of the outermost level can be read, and it has a type. */
static bool is_record(msub_bytes b) {
  const uint8_t *p = b.p, *end = msub__end(b);
  bool typed = false;
  uint32_t tag;
  if (b.n == 0 || b.n > MSUB__TRACE_BYTES) return false;
  while (p && p < end) {
    p = msub__rd_tag(p, end, &tag);
    typed = typed || (p && tag == MSUB__TAG(1, MSUB__VARINT));
    if (p) p = msub__skip_value(p, end, tag);
  }
  return p && typed;
}

size_t msub_trace_json(msub_bytes record, msub_trace_style style, char *out, size_t cap) {
  text t = { .p = out, .cap = out ? cap : 0, .style = style };
  if (!is_record(record)) return 0;
  object(&t, &schema[S_EVENT], record, false);
  return t.n;
}
