/* Events as records and as lines of JSON: every kind with every field, lengths, what RPCs carry, hostile input to the reader. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gossipsub_world.h"
#include "meshsub/trace.h"

/* ---- an engine whose world writes down the last record of each kind ---- */

typedef struct kept { uint8_t record[8192]; size_t n; char line[2][16384]; } kept;
static kept last[MSUB_EVENTS];
static size_t records;

/* Encodes at every capacity that matters: what is needed does not depend on it, and nothing is written behind it. */
static size_t record_of(const msub_event *ev, bool all, uint8_t *out, size_t cap) {
  static uint8_t other[1 << 16];
  size_t n = msub_trace_record(w.e, ev, all, NULL, 0);
  cr_assert(n <= cap, "%zu bytes", n);
  for (int d = -1; d <= 1 && n > 0; d++) {
    size_t room = n + (size_t)d;
    memset(other, 0xa5, room + 8);
    cr_assert_eq(msub_trace_record(w.e, ev, all, other, room), n);
    for (size_t i = 0; i < 8; i++) cr_assert_eq(other[room + i], 0xa5, "written behind the end");
    if (d == 0) memcpy(out, other, n);
    if (d == 1) cr_assert_arr_eq(out, other, n);
  }
  return n;
}

static const char *line_of(const uint8_t *record, size_t n, msub_trace_style style, char *out, size_t cap) {
  msub_bytes r = { record, n };
  size_t len = msub_trace_json(r, style, NULL, 0);
  cr_assert(len > 0 && len < cap, "%zu chars", len);
  out[len - 1] = 7;
  cr_assert_eq(msub_trace_json(r, style, out, len - 1), len);
  cr_assert_eq(out[len - 1], 7, "written behind the end");
  cr_assert_eq(msub_trace_json(r, style, out, len), len);
  out[len] = 0;
  return out;
}

static void keep(void *ud, const msub_event *ev) {
  static uint8_t record[sizeof last->record];
  kept *k = &last[ev->kind];
  (void)ud;
  size_t strict = msub_trace_record(w.e, ev, false, NULL, 0);
  cr_assert_eq(strict > 0, ev->kind <= MSUB_T_PRUNE, "the format has thirteen kinds");
  k->n = record_of(ev, true, k->record, sizeof k->record);
  cr_assert_eq(record_of(ev, false, record, sizeof record), strict);
  if (strict) line_of(record, strict, MSUB_TRACE_TRACER, k->line[MSUB_TRACE_TRACER], sizeof k->line[0]);
  line_of(k->record, k->n, MSUB_TRACE_LINES, k->line[MSUB_TRACE_LINES], sizeof k->line[0]);
  records++;
}

static char node_text[MSUB_PEER_ID_TEXT], peer_text[MSUB_PEER_ID_TEXT], other_text[MSUB_PEER_ID_TEXT];
static msub_topic topic;

static void begin(void) {
  gs_init();
  w.ops.trace = keep;
  w.now.wall_ns = 1700000000123456789;
  o.mesh.dlazy = 0;
  gs_start();
  memset(last, 0, sizeof last);
  msub_peer_id one = world_peer_id(1), two = world_peer_id(2);
  msub_peer_id_text(msub_key_peer_id(w.key), node_text);
  msub_peer_id_text(msub_peer_id_bytes(&one), peer_text);
  msub_peer_id_text(msub_peer_id_bytes(&two), other_text);
}

/* "%" in the pattern: the rest of the line; N, P, Q stand for the ids of the node and of the first two peers. */
static void expect(msub_event_kind k, const char *pattern) {
  char want[4096], *to = want;
  for (const char *p = pattern; *p; p++) {
    const char *id = *p == '@' ? p[1] == 'N' ? node_text : p[1] == 'P' ? peer_text : other_text : NULL;
    if (id) to += sprintf(to, "%s", id), p++;
    else *to++ = *p;
  }
  *to = 0;
  cr_assert_str_eq(last[k].line[MSUB_TRACE_LINES], want);
}
#define HEAD(kind) "{\"ev\":\"" kind "\",\"ns\":1700000000123456789,\"node\":\"@N\""

Test(trace, every_kind_in_our_words) {
  begin();
  topic = world_join(&w, "news", &gs_ids);
  expect(MSUB_T_JOIN, HEAD("join") ",\"topic\":\"news\"}");
  msub_session a = gs_up(1, "/meshsub/1.2.0", true), b = gs_up(2, "/meshsub/1.2.0", true);
  expect(MSUB_T_ADD_PEER, HEAD("add_peer") ",\"peer\":\"@Q\",\"protocol\":\"/meshsub/1.2.0\"}");
  expect(MSUB_T_SEND_RPC, HEAD("send_rpc") ",\"peer\":\"@Q\",\"rpc\":{\"subscriptions\":[{\"subscribe\":true,\"topic\":\"news\"}]}}");
  world_subscribe(&w, a, "news", true);
  expect(MSUB_T_RECV_RPC, HEAD("recv_rpc") ",\"peer\":\"@P\",\"rpc\":{\"subscriptions\":[{\"subscribe\":true,\"topic\":\"news\"}]}}");
  world_subscribe(&w, b, "news", true);
  gs_from(a, MSUB_C_GRAFT, "news", NULL, 0);
  expect(MSUB_T_GRAFT, HEAD("graft") ",\"peer\":\"@P\",\"topic\":\"news\"}");
  expect(MSUB_T_RECV_RPC, HEAD("recv_rpc") ",\"peer\":\"@P\",\"rpc\":{\"control\":{\"graft\":[{\"topic\":\"news\"}]}}}");
  gs_message(a, "news", "m1", 10);
  expect(MSUB_T_RECV_RPC, HEAD("recv_rpc") ",\"peer\":\"@P\",\"rpc\":{\"messages\":[{\"id\":\"6d31\",\"topic\":\"news\"}]}}");
  expect(MSUB_T_DELIVER, HEAD("deliver") ",\"id\":\"6d31\",\"topic\":\"news\",\"peer\":\"@P\"}");
  gs_message(b, "news", "m1", 10);
  expect(MSUB_T_DUPLICATE, HEAD("duplicate") ",\"id\":\"6d31\",\"peer\":\"@Q\",\"topic\":\"news\"}");
  gs_from(b, MSUB_C_GRAFT, "news", NULL, 0);
  cr_assert_eq(gs_publish(topic, "own", 10), MSUB_OK);
  expect(MSUB_T_PUBLISH, HEAD("publish") ",\"id\":\"6f776e\",\"topic\":\"news\"}");
  expect(MSUB_T_DELIVER, HEAD("deliver") ",\"id\":\"6f776e\",\"topic\":\"news\",\"peer\":\"@N\"}");
  expect(MSUB_T_SEND_RPC, HEAD("send_rpc") ",\"peer\":\"@Q\",\"rpc\":{\"messages\":[{\"id\":\"6f776e\",\"topic\":\"news\"}]}}");
  w.refuse = true;
  gs_message(a, "news", "m2", 10);
  expect(MSUB_T_DROP_RPC, HEAD("drop_rpc") ",\"peer\":\"@Q\",\"rpc\":{\"messages\":[{\"id\":\"6d32\",\"topic\":\"news\"}]},\"reason\":\"QUEUE_FULL\"}");
  w.refuse = false;
  gs_from(b, MSUB_C_IHAVE, "news", "x yy", 0);
  expect(MSUB_T_RECV_RPC, HEAD("recv_rpc") ",\"peer\":\"@Q\",\"rpc\":{\"control\":{\"ihave\":[{\"topic\":\"news\",\"ids\":[\"78\",\"7979\"]}]}}}");
  expect(MSUB_T_SEND_RPC, last[MSUB_T_SEND_RPC].line[MSUB_TRACE_LINES]);
  cr_assert(strstr(last[MSUB_T_SEND_RPC].line[MSUB_TRACE_LINES], "\"rpc\":{\"control\":{\"iwant\":[{\"ids\":[\""), "%s",
            last[MSUB_T_SEND_RPC].line[MSUB_TRACE_LINES]);
  gs_from(b, MSUB_C_IDONTWANT, NULL, "zzz", 0);
  expect(MSUB_T_RECV_RPC, HEAD("recv_rpc") ",\"peer\":\"@Q\",\"rpc\":{\"control\":{\"idontwant\":[{\"ids\":[\"7a7a7a\"]}]}}}");
  gs_from(b, MSUB_C_PRUNE, "news", NULL, 60);
  expect(MSUB_T_PRUNE, HEAD("prune") ",\"peer\":\"@Q\",\"topic\":\"news\"}");
  expect(MSUB_T_RECV_RPC, HEAD("recv_rpc") ",\"peer\":\"@Q\",\"rpc\":{\"control\":{\"prune\":[{\"topic\":\"news\"}]}}}");
  msub_session_down(w.e, b, &w.now);
  expect(MSUB_T_REMOVE_PEER, HEAD("remove_peer") ",\"peer\":\"@Q\"}");
  msub_leave(w.e, topic, &w.now);
  expect(MSUB_T_LEAVE, HEAD("leave") ",\"topic\":\"news\"}");
  cr_assert(records > 20);
  world_stop(&w);
}

Test(trace, kinds_beside_the_format) {
  begin();
  topic = world_join(&w, "news", &gs_ids);
  msub_session a = gs_up(1, "/meshsub/1.2.0", true);
  msub_peer p = msub_session_peer(w.e, a);
  msub_event ev = { .kind = MSUB_T_WITHDRAW, .peer = p, .id = msub_str("m"), .n = 3 };
  keep(NULL, &ev);
  expect(MSUB_T_WITHDRAW, HEAD("withdraw") ",\"peer\":\"@P\",\"id\":\"6d\",\"n\":3}");
  ev = (msub_event){ .kind = MSUB_T_DEFER, .peer = p, .id = msub_str("m"), .topic = topic };
  keep(NULL, &ev);
  expect(MSUB_T_DEFER, HEAD("defer") ",\"id\":\"6d\",\"topic\":\"news\",\"peer\":\"@P\"}");
  ev = (msub_event){ .kind = MSUB_T_FAULT, .text = "a \"policy\"\n" };
  keep(NULL, &ev);
  expect(MSUB_T_FAULT, HEAD("fault") ",\"whose\":\"a \\\"policy\\\"\\u000a\"}");
  ev = (msub_event){ .kind = MSUB_T_EXTENSION, .peer = p, .text = "partial", .topic = topic, .id = msub_str("g"), .n = 7 };
  keep(NULL, &ev);
  expect(MSUB_T_EXTENSION, HEAD("extension") ",\"peer\":\"@P\",\"extension\":\"partial\",\"topic\":\"news\",\"group\":\"67\",\"bytes\":7}");
  ev.kind = MSUB_EVENTS;
  cr_assert_eq(msub_trace_record(w.e, &ev, true, NULL, 0), 0);
  world_stop(&w);
}

Test(trace, reasons) {
  static const struct { int reason; const char *why; } cases[] = {
    { MSUB_R_FORBIDDEN_FIELD, "unexpected auth info" }, { MSUB_R_INVALID_SIGNATURE, "invalid signature" },
    { MSUB_R_SELF_ORIGIN, "self originated message" }, { MSUB_R_REJECTED, "validation failed" }, { MSUB_R_IGNORED, "validation ignored" },
    { MSUB_R_TIMEOUT, "validation ignored" }, { MSUB_R_THROTTLED, "validation throttled" }, { MSUB_R_BAD_ID, NULL }, { MSUB_R_TOO_LARGE, NULL } };
  begin();
  topic = world_join(&w, "news", &gs_ids);
  msub_peer p = msub_session_peer(w.e, gs_up(1, "/meshsub/1.2.0", true));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char want[512];
    msub_event ev = { .kind = MSUB_T_REJECT, .peer = p, .topic = topic, .id = msub_str("m"), .reason = cases[i].reason };
    keep(NULL, &ev);
    (void)snprintf(want, sizeof want, HEAD("reject") ",\"id\":\"6d\",\"peer\":\"@P\",\"why\":\"%s\",\"topic\":\"news\",\"reason\":\"%s\"}",
                   cases[i].why ? cases[i].why : msub_reason_text(cases[i].reason), msub_reason_name(cases[i].reason));
    expect(MSUB_T_REJECT, want);
  }
  world_stop(&w);
  /* where signatures are demanded it is the signature that is missing */
  world_init(&w, 250);
  w.ops.trace = keep;
  world_start(&w, NULL);
  topic = world_join(&w, "news", NULL);
  uint8_t rpc[256];
  size_t n = world_plain_rpc(rpc, sizeof rpc, "news", msub_str("data"));
  world_receive(&w, world_peer(&w, 1), (msub_bytes){ rpc, n });
  cr_assert(strstr(last[MSUB_T_REJECT].line[MSUB_TRACE_LINES], "\"why\":\"missing signature\""), "%s", last[MSUB_T_REJECT].line[MSUB_TRACE_LINES]);
  world_stop(&w);
}

/* As go's JSON tracer writes them; the program of the interop test compares whole files. */
Test(trace, tracer_lines) {
  begin();
  topic = world_join(&w, "n\xff<\"", &gs_ids);
  const char *line = last[MSUB_T_JOIN].line[MSUB_TRACE_TRACER];
  cr_assert(strstr(line, "{\"type\":9,\"timestamp\":1700000000123456789,\"peerID\":\"") == line, "%s", line);
  cr_assert(strstr(line, ",\"join\":{\"topic\":\"n\\ufffd<\\\"\"}}"), "%s", line);
  cr_assert(strstr(last[MSUB_T_JOIN].line[MSUB_TRACE_LINES], ",\"topic_hex\":\"6eff3c22\"}"));
  msub_event ev = { .kind = MSUB_T_PUBLISH, .topic = topic };
  static const char *const base64[] = { "", "bQ==", "bW0=", "bW1t", "bW1tbQ==" };
  for (size_t n = 0; n < 5; n++) {
    char want[64];
    ev.id = (msub_bytes){ (const uint8_t *)"mmmm", n };
    keep(NULL, &ev);
    (void)snprintf(want, sizeof want, n ? "\"publishMessage\":{\"messageID\":\"%s\",\"topic\":" : "\"publishMessage\":{%s\"topic\":", base64[n]);
    cr_assert(strstr(last[MSUB_T_PUBLISH].line[MSUB_TRACE_TRACER], want), "%s", last[MSUB_T_PUBLISH].line[MSUB_TRACE_TRACER]);
  }
  /* Leave.topic is 2, Join.topic 1 */
  msub_leave(w.e, topic, &w.now);
  const uint8_t *r = last[MSUB_T_LEAVE].record;
  size_t n = last[MSUB_T_LEAVE].n;
  cr_assert(r[n - 6] == 0x12 && r[n - 5] == 4, "the topic of a LEAVE stands in field 2");
  r = last[MSUB_T_JOIN].record;
  n = last[MSUB_T_JOIN].n;
  cr_assert(r[n - 6] == 0x0a && r[n - 5] == 4);
  world_stop(&w);
}

/* ---- bounds ---- */

/* RPCs as full as the engine takes them: the record is as short as the header promises. */
Test(trace, lengths) {
  static uint8_t frame[1 << 20], out[1 << 22];
  static const struct { const char *what, *unit; size_t unit_n; } cases[] = {
    { "empty ids of an IWANT", "\x1a\x04\x12\x02\x0a\x00", 6 }, { "empty GRAFTs", "\x1a\x02\x1a\x00", 4 }, { "messages", "\x12\x06\x12\x01\x61\x22\x01\x74", 8 },
    { "messages of nobody's topic", "\x12\x03\x12\x01\x61", 5 }, { "subscriptions", "\x0a\x05\x08\x01\x12\x01\x74", 7 },
    { "prunes", "\x1a\x0a\x22\x08\x0a\x01\x74\x12\x03\x0a\x01\x70", 12 }, { "unknown fields", "\x7a\x00", 2 } };
  begin();
  world_join(&w, "t", &gs_ids);
  msub_peer p = msub_session_peer(w.e, gs_up(1, "/meshsub/1.2.0", true));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (size_t count = 0; count <= 5000; count = count * 3 + 1) {
      size_t n = count * cases[i].unit_n;
      for (size_t k = 0; k < count; k++) memcpy(frame + k * cases[i].unit_n, cases[i].unit, cases[i].unit_n);
      msub_rpc_counts c;
      cr_assert_eq(msub_rpc_scan((msub_bytes){ frame, n }, NULL, &c), MSUB_OK, "%s", cases[i].what);
      msub_event ev = { .kind = MSUB_T_RECV_RPC, .peer = p, .frame = { frame, n } };
      size_t need = msub_trace_record(w.e, &ev, false, out, sizeof out);
      cr_assert(need >= 60 && need <= 160 + 2 * n + 160 * c.publish, "%zu %s: %zu bytes of %zu", count, cases[i].what, need, n);
      size_t small = msub_trace_record(w.e, &ev, false, out, need / 2);
      cr_assert_eq(small, need);
      cr_assert_eq(msub_trace_record(w.e, &ev, false, out, need), need);
      size_t chars = msub_trace_json((msub_bytes){ out, need }, MSUB_TRACE_LINES, NULL, 0);
      cr_assert(chars > 0, "%s", cases[i].what);
    }
  }
  world_stop(&w);
}

/* The reader is given anything. */
Test(trace, reader_takes_anything) {
  static char text[1 << 16];
  begin();
  topic = world_join(&w, "news", &gs_ids);
  msub_session a = gs_up(1, "/meshsub/1.2.0", true);
  world_subscribe(&w, a, "news", true);
  gs_from(a, MSUB_C_PRUNE, "news", NULL, 60);
  cr_assert_eq(msub_trace_json((msub_bytes){ NULL, 0 }, MSUB_TRACE_LINES, NULL, 0), 0);
  kept *k = &last[MSUB_T_RECV_RPC];
  for (size_t n = 0; n < k->n; n++) { /* cut */
    uint8_t *cut = malloc(n + 1);
    memcpy(cut, k->record, n);
    size_t len = msub_trace_json((msub_bytes){ cut, n }, MSUB_TRACE_LINES, text, sizeof text);
    cr_assert(len < 400);
    free(cut);
  }
  uint32_t seed = 1;
  for (unsigned i = 0; i < 20000; i++) { /* spoilt */
    uint8_t r[512];
    memcpy(r, k->record, k->n);
    for (int c = 0; c < 3; c++) {
      seed = seed * 1664525 + 1013904223;
      r[(seed >> 8) % k->n] = (uint8_t)(seed >> 24);
    }
    for (int style = 0; style < 2; style++) {
      size_t len = msub_trace_json((msub_bytes){ r, k->n }, (msub_trace_style)style, text, sizeof text);
      cr_assert(len <= 8 * k->n + 400, "%zu", len);
      for (size_t j = 0; j < len; j++) cr_assert((uint8_t)text[j] >= 0x20, "a control character");
    }
  }
  /* a record of go's that we never make */
  static const uint8_t sent[] = { 0x08, 13, 0x18, 5, 0x8a, 0x01, 5, 0x0a, 1, 'p', 0x18, 9 };
  line_of(sent, sizeof sent, MSUB_TRACE_TRACER, text, sizeof text);
  cr_assert_str_eq(text, "{\"type\":13,\"timestamp\":5,\"sendRPCCompleted\":{\"sendTo\":\"cA==\",\"writeDurationNanos\":9}}");
  line_of(sent, sizeof sent, MSUB_TRACE_LINES, text, sizeof text);
  cr_assert_str_eq(text, "{\"ev\":\"sent_rpc\",\"ns\":5,\"peer\":\"70\",\"took_ns\":9}");
  world_stop(&w);
}
