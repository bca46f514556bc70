/* tests/unit/test_rpc.c: encoder, limits of the scan, iterators, signed bytes, frames. What bytes decode to
 * is the vectors' business, and that nothing is misread the differential test's. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "meshsub/rpc.h"
#include "tests/unit/rpc_random.h"

/* ---- helpers ---- */

typedef struct block {
  uint8_t p[4096];
  size_t n;
} block;
static msub_bytes view(const block *b) { return (msub_bytes){ b->p, b->n }; }

/* Hex with blanks between. */
static block hex(const char *s) {
  block b = { .n = 0 };
  for (unsigned v; *s; s += 2) {
    while (*s == ' ') s++;
    if (sscanf(s, "%2x", &v) != 1) break;
    b.p[b.n++] = (uint8_t)v;
  }
  return b;
}
static bool is(const uint8_t *p, size_t n, const char *want) {
  block b = hex(want);
  return msub_bytes_eq((msub_bytes){ p, n }, view(&b));
}

static int scan(const block *b, msub_rpc_limits lim, msub_rpc_counts *c) {
  return msub_rpc_scan(view(b), &lim, c);
}

/* An allocator that counts, and that must not be asked for more than `max` at once. */
typedef struct counting {
  size_t now, peak, calls, largest;
  bool fail;
} counting;
static void *counting_alloc(void *ud, size_t n) {
  counting *c = ud;
  if (c->fail) return NULL;
  c->calls++;
  c->now += n;
  if (c->now > c->peak) c->peak = c->now;
  if (n > c->largest) c->largest = n;
  return malloc(n);
}
static void counting_free(void *ud, void *p, size_t n) {
  counting *c = ud;
  c->now -= n;
  free(p);
}
static msub_mem counting_mem(counting *c) { return (msub_mem){ counting_alloc, counting_free, c }; }

/* ---- writing ---- */

Test(rpc, control_vectors) {
  const msub_bytes id1[] = { msub_str("id1") }, test = msub_str("test"), none = { NULL, 0 };
  const struct {
    msub_ctl_entry e;
    msub_bytes topic;
    const char *frame; /* with its length */
  } cases[] = {
    { { .kind = MSUB_C_SUB }, test, "0e 0a0c 0801 120474657374 1800 2000" },
    { { .kind = MSUB_C_UNSUB }, test, "0e 0a0c 0800 120474657374 1800 2000" },
    { { .kind = MSUB_C_SUB, .flags = MSUB_SUB_REQUESTS_PARTIAL },
      test,
      "0e 0a0c 0801 120474657374 1801 2000" },
    { { .kind = MSUB_C_SUB, .flags = MSUB_SUB_SENDS_PARTIAL }, test, "0e 0a0c 0801 120474657374 1800 2001" },
    { { .kind = MSUB_C_GRAFT }, test, "0a 1a08 1a06 0a0474657374" },
    { { .kind = MSUB_C_GRAFT }, none, "06 1a04 1a02 0a00" },
    { { .kind = MSUB_C_PRUNE, .backoff_s = 60 }, test, "0c 1a0a 2208 0a0474657374 183c" },
    { { .kind = MSUB_C_PRUNE }, test, "0a 1a08 2206 0a0474657374" },
    { { .kind = MSUB_C_IHAVE, .ids = id1, .n_ids = 1 }, test, "0f 1a0d 0a0b 0a0474657374 1203696431" },
    { { .kind = MSUB_C_IWANT, .ids = id1, .n_ids = 1 }, none, "09 1a07 1205 0a03696431" },
    { { .kind = MSUB_C_IDONTWANT, .ids = id1, .n_ids = 1 }, none, "09 1a07 2a05 0a03696431" },
  };
  uint8_t out[64];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t n = msub_ctl_encode(&cases[i].e, &cases[i].topic, 1, NULL, 0), prefix = msub_varint_size(n);
    cr_assert(n + prefix <= sizeof out);
    (void)msub_varint_put(out, n);
    cr_expect_eq(msub_ctl_encode(&cases[i].e, &cases[i].topic, 1, out + prefix, n), n, "%s", cases[i].frame);
    cr_expect(is(out, prefix + n, cases[i].frame), "%s", cases[i].frame);
    memset(out, 0xee, sizeof out);
    cr_expect_eq(msub_ctl_encode(&cases[i].e, &cases[i].topic, 1, out, n - 1), n);
    cr_expect_eq(out[0], 0xee, "a byte short of room: nothing is written (%s)", cases[i].frame);
  }
  cr_expect_eq(msub_ctl_encode(NULL, NULL, 0, out, sizeof out), 0, "no entries: not even an empty control");

  static const char *const extensions[] = { "1a02 3200", "1a04 3202 5001", "1a07 3205 9091e21801",
                                            "1a09 3207 5001 9091e21801" };
  for (unsigned i = 0; i < 4; i++) {
    size_t n = msub_ext_encode(i & 1, i & 2, out, sizeof out);
    cr_expect(is(out, n, extensions[i]), "%s", extensions[i]);
    memset(out, 0xee, sizeof out);
    cr_expect_eq(msub_ext_encode(i & 1, i & 2, out, n - 1), n);
    cr_expect_eq(out[0], 0xee);
  }
  cr_expect(is(out, msub_test_encode(out, sizeof out), "9291e218 00"));
  msub_rpc_part part = { .has_topic = true,
                         .topic = msub_str("t"),
                         .has_group = true,
                         .group = msub_str("g"),
                         .has_part_message = true,
                         .has_parts_metadata = true,
                         .parts_metadata = msub_str("m") };
  cr_expect(is(out, msub_partial_encode(&part, out, sizeof out), "520b 0a0174 120167 1a00 22016d"));
  part.has_part_message = false;
  cr_expect(is(out, msub_partial_encode(&part, out, sizeof out), "5209 0a0174 120167 22016d"));
}

Test(rpc, control_of_many_entries) {
  const msub_px px[] = { { msub_str("A"), { NULL, 0 } }, { msub_str("B"), msub_str("rec") } };
  const msub_bytes ids[] = { msub_str("x"), msub_str("yy") };
  const msub_ctl_entry e[] = {
    { .kind = MSUB_C_IDONTWANT, .ids = ids, .n_ids = 1 },
    { .kind = MSUB_C_PRUNE, .px = px, .n_px = 2, .backoff_s = 300 },
    { .kind = MSUB_C_UNSUB },
    { .kind = MSUB_C_GRAFT },
    { .kind = MSUB_C_SUB },
    { .kind = MSUB_C_IHAVE, .ids = ids, .n_ids = 2 },
    { .kind = MSUB_C_GRAFT },
  };
  const msub_bytes names[] = { { NULL, 0 },   msub_str("p"), msub_str("u"), msub_str("g1"),
                               msub_str("s"), msub_str("h"), msub_str("g2") };
  block b = { .n = 0 };
  b.n = msub_ctl_encode(e, names, sizeof e / sizeof *e, b.p, sizeof b.p);
  cr_expect(is(b.p, b.n,
               "0a09 0800 120175 1800 2000  0a09 0801 120173 1800 2000"
               "1a34  0a0a 0a0168 120178 12027979  1a04 0a026731  1a04 0a026732"
               "2215 0a0170 1203 0a0141 1208 0a0142 1203726563 18ac02  2a03 0a0178"),
            "entries of a kind together, fields ascending");
  uint8_t again[4096];
  cr_expect_eq(msub_rpc_canonical(view(&b), again, sizeof again), b.n);
  cr_expect_arr_eq(again, b.p, b.n, "what we write is canonical");

  msub_rpc_counts c;
  cr_assert_eq(scan(&b, (msub_rpc_limits){ 0 }, &c), MSUB_OK);
  cr_expect(c.subscriptions == 2 && c.ihave == 1 && c.iwant == 0 && c.graft == 2 && c.prune == 1 &&
            c.idontwant == 1 && c.ids == 3 && c.px == 2 && c.publish == 0 && c.unknown == 0 &&
            c.control_bytes == b.n && !c.why);
}

Test(rpc, messages_first_control_last) {
  const uint8_t a[] = { 0x12, 1, 'a', 0x22, 1, 't' }, ctl_wire[] = { 0x1a, 0 };
  uint8_t big[300] = { 0x12, 0xa9, 0x02 };
  const msub_msg_borrowed m1 = { { .wire_n = sizeof a, .borrowed = true }, a }, m2 = { { .wire_n = sizeof big, .borrowed = true }, big };
  const msub_msg *msgs[] = { &m1.m, &m2.m };
  const msub_ctl ctl = { .wire = ctl_wire, .wire_n = sizeof ctl_wire };
  msub_rpc rpc = { .msgs = msgs, .n_msgs = 2, .ctl = &ctl };
  uint8_t out[512];
  size_t n = msub_rpc_size(&rpc);
  cr_assert_eq(n, 2 + sizeof a + 3 + sizeof big + 2);
  cr_expect_eq(msub_rpc_encode(&rpc, out), n);
  cr_expect(is(out, 11, "1206 120161 220174 12ac02"));
  cr_expect(is(out + n - 2, 2, "1a00"));
  rpc = (msub_rpc){ .ctl = NULL };
  cr_expect(msub_rpc_size(&rpc) == 0 && msub_rpc_encode(&rpc, out) == 0, "an empty RPC is no bytes");
}

/* ---- the scan ---- */

Test(rpc, scan_limits) {
  block b = hex("0a0508011201740a0508001201741206120161220174120712026161220174"
                "1a140a09 0a0174 1204696431321207 0a03616263 0a00 5203 0a0174");
  msub_rpc_counts c;
  cr_assert_eq(scan(&b, (msub_rpc_limits){ 0 }, &c), MSUB_OK, "no limits: accepted");
  cr_assert_eq(msub_rpc_scan(view(&b), NULL, &c), MSUB_OK);
  cr_expect_null(c.why);
  /* Two entries of 2 + 6 and 2 + 7 bytes with 2 and 3 bytes of data and its length; partial is left out. */
  cr_expect_eq(c.control_bytes, 7 + 7 + (8 - 2) + (9 - 3) + 22, "%zu", c.control_bytes);

  /* Each limit: below, at, above what the RPC has. */
  const struct {
    size_t member, has;
    const char *why;
  } cases[] = {
    { offsetof(msub_rpc_limits, frame_bytes), b.n, "frame_bytes" },
    { offsetof(msub_rpc_limits, control_bytes), c.control_bytes, "control_bytes" },
    { offsetof(msub_rpc_limits, publish), 2, "publish" },
    { offsetof(msub_rpc_limits, message_bytes), 7, "message_bytes" },
    { offsetof(msub_rpc_limits, subscriptions), 2, "subscriptions" },
    { offsetof(msub_rpc_limits, id_bytes), 4, "id_bytes" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (int d = -1; d <= 1; d++) {
      msub_rpc_limits lim = { 0 };
      size_t value = cases[i].has + (size_t)d;
      memcpy((char *)&lim + cases[i].member, &value, sizeof value);
      int err = scan(&b, lim, &c);
      cr_expect_eq(err, d < 0 ? MSUB_ERR_LIMIT : MSUB_OK, "%s %+d: %s", cases[i].why, d, msub_err_name(err));
      if (d < 0)
        cr_expect_str_eq(c.why ? c.why : "", cases[i].why);
      else
        cr_expect_null(c.why, "%s", cases[i].why);
    }
  }
}

Test(rpc, G_28_scan_names_what_is_malformed) {
  const struct {
    const char *rpc, *why;
  } cases[] = {
    { "0a", "field" },
    { "00 01", "field" },
    { "0f 01", "field" },
    { "0b 13 14 0c 01", "field" },
    { "0a02ffff", "subscription" },
    { "1204ffffffff", "publish" },
    { "10 00", "publish in another wire type" },
    { "13 14", "publish in another wire type" },
    { "1a02 0a05", "control" },
    { "1a04 0a02 0a05", "ihave" },
    { "1a04 1202 0a05", "iwant" },
    { "1a04 1a02 0a05", "graft" },
    { "1a04 2202 1205", "prune" },
    { "1a06 2204 1202 0a05", "prune" },
    { "1a04 2a02 0a05", "idontwant" },
    { "1a04 3202 50ff", "extensions" },
    { "5202ffff", "partial" },
    { "9291e21802ffff", "test extension" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    block b = hex(cases[i].rpc);
    msub_rpc_counts c;
    int err = scan(&b, (msub_rpc_limits){ 0 }, &c);
    cr_expect_eq(err, MSUB_ERR_MALFORMED, "%s: %s", cases[i].rpc, msub_err_name(err));
    cr_expect_str_eq(c.why ? c.why : "", cases[i].why, "%s", cases[i].rpc);
  }
  msub_rpc_counts c;
  cr_expect_eq(msub_rpc_scan((msub_bytes){ NULL, 0 }, NULL, &c), MSUB_OK, "no bytes at all are an empty RPC");
}

Test(rpc, groups_end) {
  msub_rpc_counts c;
  for (unsigned depth = 99; depth <= 101; depth++) {
    block b = { .n = 0 };
    for (unsigned i = 0; i < depth; i++) b.p[b.n++] = 0x3b; /* field 7 */
    for (unsigned i = 0; i < depth; i++) b.p[b.n++] = 0x3c;
    cr_expect_eq(scan(&b, (msub_rpc_limits){ 0 }, &c), depth <= 100 ? MSUB_OK : MSUB_ERR_MALFORMED,
                 "depth %u", depth);
    cr_expect_eq(c.unknown, depth <= 100, "the whole group is one unknown field");
  }
  size_t n = 1 << 20;
  uint8_t *open = malloc(n);
  cr_assert_not_null(open);
  memset(open, 0x3b, n);
  cr_expect_eq(msub_rpc_scan((msub_bytes){ open, n }, NULL, &c), MSUB_ERR_MALFORMED,
               "a mebibyte of beginnings");
  free(open);
}

/* The linker sends the library's calls here (rpc.cmake: --wrap). */
static size_t heap_calls;
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);
void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n) {
  heap_calls++;
  return __real_malloc(n);
}
void *__wrap_calloc(size_t count, size_t n) {
  heap_calls++;
  return __real_calloc(count, n);
}
void *__wrap_realloc(void *p, size_t n) {
  heap_calls++;
  return __real_realloc(p, n);
}

/* A control of ids of 20 bytes, n bytes in all. */
static void id_flood(uint8_t *frame, size_t n) {
  uint8_t *p = frame;
  *p++ = 0x1a;
  p += msub_varint_put(p, n - 5);
  *p++ = 0x12;
  p += msub_varint_put(p, n - 10);
  for (; p + 22 <= frame + n; p += 22) {
    p[0] = 0x0a;
    p[1] = 20;
    memset(p + 2, 7, 20);
  }
  if (p < frame + n) { /* the rest: one shorter id */
    p[0] = 0x0a;
    p[1] = (uint8_t)(frame + n - p - 2);
  }
}

Test(rpc, G_09_nothing_is_allocated) {
  size_t n = 10485760, ids = 0, before;
  uint8_t *frame = malloc(n), *out = malloc(n);
  cr_assert(frame && out);
  cr_assert_geq(heap_calls, 2, "the calls are counted");
  id_flood(frame, n);
  msub_rpc_counts c;
  msub_rpc_iter it;
  static msub_rpc_part p;
  msub_bytes id;
  before = heap_calls;
  cr_assert_eq(msub_rpc_scan((msub_bytes){ frame, n }, NULL, &c), MSUB_OK);
  msub_rpc_begin(&it, (msub_bytes){ frame, n });
  while (msub_rpc_next(&it, &p))
    if (p.kind == MSUB_P_IWANT)
      while (msub_ids_next(&p.ids, &id)) ids++;
  cr_expect_eq(msub_rpc_canonical((msub_bytes){ frame, n }, out, n), n);
  cr_expect(ids == c.ids && ids > 470000, "%zu ids", ids);
  cr_expect_eq(heap_calls, before, "G-09: half a million ids, no allocation");
  free(frame);
  free(out);

  static rpc_random random = { .state = 7 };
  static uint8_t space[RPC_RANDOM_MAX];
  before = heap_calls;
  for (int run = 0; run < 20000; run++) {
    msub_bytes in = rpc_random_next(&random);
    if (msub_rpc_scan(in, NULL, &c) != MSUB_OK) continue;
    msub_rpc_begin(&it, in);
    while (msub_rpc_next(&it, &p))
      if (p.kind == MSUB_P_MESSAGE) (void)msub_msg_signed_bytes(&p.msg, space, sizeof space);
    (void)msub_rpc_canonical(in, space, sizeof space);
  }
  cr_expect_eq(heap_calls, before, "G-09: whatever the RPC, no allocation");
}

/* A 10 MB frame of half a million ids is refused for its size of control, one of 100,000 entries for their
 * number. */
Test(rpc, G_14_floods_are_refused_early) {
  size_t n = 10u << 20;
  uint8_t *frame = malloc(n);
  cr_assert_not_null(frame);
  msub_rpc_counts c;
  msub_rpc_limits lim = { .frame_bytes = 16u << 20, .control_bytes = 512u << 10, .publish = 5000 };

  id_flood(frame, n);
  cr_expect_eq(msub_rpc_scan((msub_bytes){ frame, n }, &lim, &c), MSUB_ERR_LIMIT);
  cr_expect_str_eq(c.why, "control_bytes", "G-09: refused by size");
  cr_expect_eq(c.ids, 0, "G-09: before a single id was looked at");

  for (size_t i = 0; i < 100000; i++) memcpy(frame + 6 * i, "\x12\x04\x12\x02hi", 6);
  cr_expect_eq(msub_rpc_scan((msub_bytes){ frame, 600000 }, &lim, &c), MSUB_ERR_LIMIT);
  cr_expect_str_eq(c.why, "publish", "G-14: refused by number");
  cr_expect_eq(c.publish, 5001, "G-14: at the first entry too many");
  free(frame);
}

/* ---- reading ---- */

Test(rpc, parts_in_wire_order_merged_last) {
  block b = hex("5203 0a0174  1a05 1a030a0161  5001  1206 120164 220174  0a02 0801  1a06 3204 5001 7001"
                "9291e218 02 0805  1a05 0a03 0a0168  5205 1200 22016d");
  static const msub_part want[] = { MSUB_P_GRAFT, MSUB_P_UNKNOWN, MSUB_P_MESSAGE,    MSUB_P_SUBSCRIPTION,
                                    MSUB_P_IHAVE, MSUB_P_CONTROL, MSUB_P_EXTENSIONS, MSUB_P_PARTIAL,
                                    MSUB_P_TEST,  MSUB_P_END };
  msub_rpc_counts c;
  msub_rpc_iter it, place;
  msub_rpc_part p, again;
  msub_unknown u;
  msub_field f;
  cr_assert_eq(scan(&b, (msub_rpc_limits){ 0 }, &c), MSUB_OK);
  cr_expect_eq(c.unknown, 3);
  msub_rpc_begin(&it, view(&b));
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
    place = it;
    cr_assert_eq(msub_rpc_next(&it, &p), want[i], "part %zu", i);
    cr_expect_eq(p.kind, want[i]);
    cr_expect_eq(msub_rpc_next(&place, &again), want[i], "a copy of the walk is a place to come back to");
    switch (p.kind) {
    case MSUB_P_GRAFT: cr_expect(p.has_topic && msub_bytes_eq(p.topic, msub_str("a"))); break;
    case MSUB_P_UNKNOWN:
      cr_expect(is(p.raw.p, p.raw.n, "5001") && p.field.number == 10 && p.field.type == 0 &&
                p.field.value.n == 1);
      break;
    case MSUB_P_MESSAGE:
      cr_expect(p.msg.present == (MSUB_HAS_DATA | MSUB_HAS_TOPIC) &&
                msub_bytes_eq(p.msg.data, msub_str("d")));
      break;
    case MSUB_P_SUBSCRIPTION:
      cr_expect(p.has_subscribe && p.subscribe && !p.has_topic && !p.topic.p && !p.has_requests_partial &&
                !p.has_sends_partial);
      break;
    case MSUB_P_IHAVE: {
      msub_bytes id;
      cr_expect(msub_bytes_eq(p.topic, msub_str("h")) && !msub_ids_next(&p.ids, &id));
      break;
    }
    case MSUB_P_EXTENSIONS:
      cr_expect(p.has_ext_partial && p.ext_partial && !p.has_ext_test);
      msub_unknown_begin(&u, view(&b), &p);
      cr_expect(msub_unknown_next(&u, &f) && f.number == 14 && !msub_unknown_next(&u, &f));
      break;
    case MSUB_P_PARTIAL:
      cr_expect(msub_bytes_eq(p.topic, msub_str("t")) && p.has_group && p.group.n == 0 &&
                    !p.has_part_message && msub_bytes_eq(p.parts_metadata, msub_str("m")),
                "merged from both ends of the RPC; empty is not absent");
      break;
    case MSUB_P_TEST:
      msub_unknown_begin(&u, view(&b), &p);
      cr_expect(msub_unknown_next(&u, &f) && f.number == 1 && f.value.n == 1 && !msub_unknown_next(&u, &f));
      break;
    default: break;
    }
  }
  cr_expect_eq(msub_rpc_next(&it, &p), MSUB_P_END, "the end stays the end");
}

Test(rpc, ids_and_peer_exchange) {
  /* Ids with a topic, an unknown field and a wrong wire type between; an empty id is an id. */
  block b = hex("1a32 0a16 120161 0a0178 1200 1005 7a0102 12026262 0a0179 5001"
                "2218 1208 0a0141 1203726563  1200  1207 7001 1200 0a0142  18ac02");
  msub_rpc_counts c;
  msub_rpc_iter it;
  msub_rpc_part p;
  msub_bytes id;
  msub_px px;
  cr_assert_eq(scan(&b, (msub_rpc_limits){ 0 }, &c), MSUB_OK, "%s", c.why);
  cr_expect(c.ids == 3 && c.px == 3 && c.unknown == 4);
  msub_rpc_begin(&it, view(&b));
  cr_assert_eq(msub_rpc_next(&it, &p), MSUB_P_IHAVE);
  cr_expect(msub_bytes_eq(p.topic, msub_str("y")), "the last topic wins");
  cr_expect(msub_ids_next(&p.ids, &id) && msub_bytes_eq(id, msub_str("a")));
  cr_expect(msub_ids_next(&p.ids, &id) && id.n == 0 && id.p != NULL);
  cr_expect(msub_ids_next(&p.ids, &id) && msub_bytes_eq(id, msub_str("bb")));
  cr_expect(!msub_ids_next(&p.ids, &id) && !msub_ids_next(&p.ids, &id));

  cr_assert_eq(msub_rpc_next(&it, &p), MSUB_P_PRUNE);
  cr_expect(p.has_backoff && p.backoff_s == 300 && !p.has_topic && p.topic.p == NULL);
  cr_expect(msub_px_next(&p.px, &px) && msub_bytes_eq(px.peer_id, msub_str("A")) &&
            msub_bytes_eq(px.record, msub_str("rec")));
  cr_expect(msub_px_next(&p.px, &px) && px.peer_id.p == NULL && px.record.p == NULL && p.px.raw.n == 0,
            "an entry of nothing");
  cr_expect(msub_px_next(&p.px, &px) && msub_bytes_eq(px.peer_id, msub_str("B")) && px.record.p != NULL &&
            px.record.n == 0);
  msub_unknown u;
  msub_field f;
  msub_unknown_of_px(&u, &p.px);
  cr_expect(msub_unknown_next(&u, &f) && f.number == 14 && f.type == 0 && !msub_unknown_next(&u, &f));
  cr_expect(!msub_px_next(&p.px, &px));
}

/* On bytes that no scan has seen the walk ends, inside. The mutated half of the random RPCs is mostly
 * malformed. */
Test(rpc, walking_unscanned_bytes_stays_inside) {
  static rpc_random random = { .state = 99 };
  for (int run = 0; run < 20000; run++) {
    msub_bytes in = rpc_random_next(&random);
    msub_rpc_iter it;
    msub_rpc_part p;
    size_t parts = 0;
    msub_rpc_begin(&it, in);
    while (msub_rpc_next(&it, &p)) {
      msub_bytes id;
      msub_px px;
      parts++;
      cr_assert(parts <= in.n + 4);
      if (p.kind == MSUB_P_IHAVE || p.kind == MSUB_P_IWANT || p.kind == MSUB_P_IDONTWANT)
        while (msub_ids_next(&p.ids, &id)) cr_assert(id.p >= in.p && id.p + id.n <= in.p + in.n);
      if (p.kind == MSUB_P_PRUNE)
        while (msub_px_next(&p.px, &px))
          cr_assert(p.px.raw.p >= in.p && p.px.raw.p + p.px.raw.n <= in.p + in.n);
    }
    cr_assert(msub_rpc_canonical(in, NULL, 0) <= in.n);
  }
}

/* ---- what a signature covers ---- */

Test(rpc, signed_bytes) {
  const char *plain = "0a03000141 12026869 1a080000000000000001 220474657374";
  const struct {
    const char *raw, *covered;
    bool prefix;
  } cases[] = {
    { "0a03000141 12026869 1a080000000000000001 220474657374", plain, true },
    { "0a03000141 12026869 1a080000000000000001 220474657374 2a02aabb 3201cc", plain, true },
    { "0a03000141 12026869 1a080000000000000001 220474657374 3201cc 2a02aabb 2a00", plain, true },
    { "2a02aabb 0a03000141 12026869 1a080000000000000001 220474657374", plain, false },
    { "220474657374 0a03000141 12026869 1a080000000000000001", plain, false },
    { "0a03000141 1201ff 12026869 1a080000000000000001 220474657374", plain, false },
    { "8a0003000141 12026869 1a080000000000000001 220474657374", plain, false },
    { "0a03000141 1282006869 1a080000000000000001 220474657374", plain, false },
    { "0a03000141 12026869 1a080000000000000001 220474657374 2a810041", plain, true },
    { "0a03000141 12026869 2a02aabb 1a080000000000000001 220474657374", plain, false },
    { "1200 220174 2a0141", "1200 220174", true },
    { "2a0141 3201cc", "", false },
    { "", "", false },
    /* Unknown fields are covered, behind the known ones; their tags become minimal, their values do not. */
    { "120168 220174 5001 2a0141", "120168 220174 5001", false },
    { "5001 120168 220174 fa008100 41", "120168 220174 5001 7a8100 41", false },
    { "120168 1005 220174", "120168 220174 1005", false },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    block raw = hex(cases[i].raw);
    msub_msg_view v;
    uint8_t out[128];
    cr_assert_eq(msub_msg_parse(view(&raw), &v), MSUB_OK, "%s", cases[i].raw);
    size_t n = msub_msg_signed_bytes(&v, out, sizeof out);
    cr_expect(is(out, n, cases[i].covered), "%s", cases[i].raw);
    cr_expect_eq(v.prefix_n, cases[i].prefix ? n : 0, "%s", cases[i].raw);
    cr_expect_leq(n, raw.n);
    if (n == 0) continue;
    memset(out, 0xee, sizeof out);
    cr_expect(msub_msg_signed_bytes(&v, out, n - 1) == n && out[0] == 0xee,
              "a byte short of room: nothing is written");
  }
  block cut = hex("0a03000141 1205 6869");
  msub_msg_view v;
  cr_expect_eq(msub_msg_parse(view(&cut), &v), MSUB_ERR_MALFORMED);

  /* What is encoded from fields parses to the same fields, and is its own canonical form. */
  block raw = hex("2a0141 220174 0a00 120168");
  uint8_t a[64], b[64];
  cr_assert_eq(msub_msg_parse(view(&raw), &v), MSUB_OK);
  size_t n = msub_msg_encode(&v, a, sizeof a);
  cr_expect(is(a, n, "0a00 120168 220174 2a0141"));
  cr_expect_eq(msub_msg_canonical(&v, b, sizeof b), n);
  cr_expect_arr_eq(a, b, n);
}

/* ---- frames ---- */

/* Three frames: 3 bytes, 0 bytes (skipped), 300 bytes. */
static size_t three_frames(uint8_t *out) {
  size_t n = msub_varint_put(out, 3);
  memcpy(out + n, "abc", 3);
  n += 3;
  n += msub_varint_put(out + n, 0);
  n += msub_varint_put(out + n, 300);
  for (size_t i = 0; i < 300; i++) out[n++] = (uint8_t)i;
  n += msub_varint_put(out + n, 1);
  out[n++] = 'z';
  return n;
}

Test(rpc, frames_in_any_pieces) {
  uint8_t stream[400];
  static const size_t lengths[] = { 3, 300, 1 };
  size_t n = three_frames(stream);
  for (size_t piece = 1; piece <= n; piece++) {
    counting c = { 0 };
    msub_mem mem = counting_mem(&c);
    msub_frames f;
    msub_bytes frame;
    size_t got = 0;
    msub_frames_init(&f, &mem, 300, 0);
    for (size_t at = 0; at < n; at += piece) {
      msub_bytes in = { stream + at, n - at < piece ? n - at : piece };
      msub_frames_feed(&f, in);
      int r;
      while ((r = msub_frames_next(&f, &frame)) == 1) {
        cr_assert_lt(got, 3);
        cr_assert_eq(frame.n, lengths[got], "piece %zu", piece);
        if (got == 1) cr_expect(frame.p[0] == 0 && frame.p[299] == 43);
        if (piece == n)
          cr_expect(frame.p >= stream && frame.p < stream + n, "whole in what was fed: no copy");
        got++;
      }
      cr_assert_eq(r, 0);
      cr_expect_eq(msub_frames_rest(&f).n, 0);
    }
    cr_expect_eq(got, 3, "piece %zu", piece);
    cr_expect(!msub_frames_inside(&f));
    if (piece == n) cr_expect_eq(c.calls, 0, "no copy, no allocation");
    cr_expect_leq(c.peak, 1024 + 300, "piece %zu: %zu", piece, c.peak);
    msub_frames_fini(&f);
    cr_expect_eq(c.now, 0);
  }
}

Test(rpc, G_11_frames_believe_no_length) {
  static const struct {
    const char *stream;
    int err;
  } cases[] = {
    { "e907", MSUB_ERR_LIMIT },                     /* 1001 */
    { "8080808008", MSUB_ERR_LIMIT },               /* 2^31 */
    { "ffffffffffffffff7f", MSUB_ERR_LIMIT },       /* 2^63 - 1 */
    { "80808080808080808001", MSUB_ERR_MALFORMED }, /* 2^63 */
    { "ffffffffffffffffff01", MSUB_ERR_MALFORMED },
    { "8000", MSUB_ERR_MALFORMED },
    { "838000 616263", MSUB_ERR_MALFORMED },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    counting c = { 0 };
    msub_mem mem = counting_mem(&c);
    msub_frames f;
    msub_bytes frame;
    block b = hex(cases[i].stream);
    msub_frames_init(&f, &mem, 1000, 0);
    msub_frames_feed(&f, view(&b));
    cr_expect_eq(msub_frames_next(&f, &frame), cases[i].err, "G-11: %s", cases[i].stream);
    cr_expect_eq(msub_frames_next(&f, &frame), cases[i].err, "G-11: %s again", cases[i].stream);
    cr_expect_eq(c.calls, 0, "G-11: %s: nothing allocated", cases[i].stream);
    msub_frames_fini(&f);
  }

  /* The longest allowed length, then one byte after the other: memory follows the bytes. */
  counting c = { 0 };
  msub_mem mem = counting_mem(&c);
  msub_frames f;
  msub_bytes frame;
  uint8_t prefix[10];
  msub_frames_init(&f, &mem, 1u << 20, 0);
  msub_frames_feed(&f, (msub_bytes){ prefix, msub_varint_put(prefix, 1u << 20) });
  cr_assert_eq(msub_frames_next(&f, &frame), 0);
  cr_expect(msub_frames_inside(&f) && msub_frames_held(&f) == 0, "G-11: announced, nothing held");
  for (size_t i = 1; i < 20000; i++) {
    msub_frames_feed(&f, (msub_bytes){ prefix, 1 });
    cr_assert_eq(msub_frames_next(&f, &frame), 0);
    cr_assert_leq(msub_frames_held(&f), 1024 + 2 * i, "G-11: %zu bytes came, %zu held", i,
                  msub_frames_held(&f));
  }
  cr_expect_lt(c.peak, 64u << 10, "G-11: old and new buffer together");
  msub_frames_fini(&f);
  cr_expect_eq(c.now, 0);
}

Test(rpc, frames_give_their_buffer_back) {
  counting c = { 0 };
  msub_mem mem = counting_mem(&c);
  msub_frames f;
  msub_bytes frame;
  static uint8_t big[100003];
  size_t at = msub_varint_put(big, 100000);
  msub_frames_init(&f, &mem, 0, 0);
  msub_frames_feed(&f, (msub_bytes){ big, 50000 });
  cr_assert_eq(msub_frames_next(&f, &frame), 0);
  msub_frames_feed(&f, (msub_bytes){ big + 50000, 50000 + at });
  cr_assert_eq(msub_frames_next(&f, &frame), 1);
  cr_expect(frame.n == 100000 && msub_frames_held(&f) == 100000, "never more than the frame");
  cr_assert_eq(msub_frames_next(&f, &frame), 0);
  cr_expect_eq(msub_frames_held(&f), 0, "an idle stream holds no large buffer");

  c.fail = true;
  msub_frames_feed(&f, (msub_bytes){ big, 10 });
  cr_expect_eq(msub_frames_next(&f, &frame), MSUB_ERR_NOMEM);
  c.fail = false;
  cr_expect_eq(msub_frames_next(&f, &frame), MSUB_ERR_NOMEM, "bytes are lost, so the stream stays broken");
  msub_frames_fini(&f);
  cr_expect_eq(c.now, 0);
}

Test(rpc, frames_go_parity) {
  static const struct {
    const char *stream;
    int frames, last;
  } cases[] = {
    { "8000 0161", 1, 0 },                       /* the padded zero is swallowed */
    { "8000 8000 0161", 0, MSUB_ERR_MALFORMED }, /* once */
    { "8000 00 8000 0161", 1, 0 },               /* a good length in between starts anew */
    { "8000 0161 8000 0162", 2, 0 },
    { "808080808080808080 0161", 1, 0 }, /* nine bytes that go on */
    { "808080808080808080 8000", 0, MSUB_ERR_MALFORMED },
    { "8000 0b", 0, MSUB_ERR_LIMIT },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    block b = hex(cases[i].stream);
    msub_frames f;
    msub_bytes frame;
    int r, got = 0;
    msub_frames_init(&f, NULL, 10, MSUB_FRAMES_GO_PARITY);
    msub_frames_feed(&f, view(&b));
    while ((r = msub_frames_next(&f, &frame)) == 1) got++;
    cr_expect(got == cases[i].frames && r == cases[i].last, "%s: %d frames, then %d", cases[i].stream, got,
              r);
    msub_frames_fini(&f);
  }
}
