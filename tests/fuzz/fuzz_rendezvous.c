/* tests/fuzz/fuzz_rendezvous.c: the input as a message of the rendezvous protocol. What is understood points into the input, and written again it says the
 * same; a whole answer written in pieces as a point does says what it was made of. */
#include <stdlib.h>
#include <string.h>
#include "tests/fuzz/fuzz.h"
#include "wire/rendezvous.h"

#define ROOM (1u << 21)
static uint8_t *room(void) {
  static uint8_t *out;
  if (!out && !(out = malloc(ROOM))) abort();
  return out;
}

static void inside(msub_bytes in, msub_bytes part) { FUZZ_CHECK(part.n == 0 || (part.p >= in.p && part.p + part.n <= in.p + in.n)); }

static void same(const msub__rv_message *a, const msub__rv_message *b) {
  FUZZ_CHECK(a->type == b->type && a->status == b->status && a->ttl == b->ttl && a->limit == b->limit);
  FUZZ_CHECK(msub_bytes_eq(a->ns, b->ns) && msub_bytes_eq(a->record, b->record) && msub_bytes_eq(a->cookie, b->cookie));
}

/* Registrations and the end of the part, around them the head. */
static void in_pieces(const msub__rv_message *m) {
  uint8_t head[MSUB__RV_HEAD], *out = room() + MSUB__RV_HEAD;
  msub__rv_message one, back, again;
  size_t n = 0;
  for (msub_bytes rest = m->part; msub__rv_registration(&rest, &one);) {
    size_t more = msub__rv_encode_registration(one.ns, one.record, one.ttl, NULL, 0);
    FUZZ_CHECK(more < ROOM / 2 - n && msub__rv_encode_registration(one.ns, one.record, one.ttl, out + n, more) == more);
    n += more;
  }
  size_t tail = msub__rv_encode_discovered(m->status, m->cookie, NULL, 0);
  FUZZ_CHECK(msub__rv_encode_discovered(m->status, m->cookie, out + n, tail) == tail);
  n += tail;
  size_t h = msub__rv_encode_head(n, head);
  FUZZ_CHECK(h <= MSUB__RV_HEAD);
  memcpy(out - h, head, h);
  FUZZ_CHECK(msub__rv_parse((msub_bytes){ out - h, h + n }, &back) == MSUB_OK);
  same(m, &back);
  msub_bytes rest = m->part, there = back.part;
  while (msub__rv_registration(&rest, &one)) {
    FUZZ_CHECK(msub__rv_registration(&there, &again));
    FUZZ_CHECK(msub_bytes_eq(one.ns, again.ns) && msub_bytes_eq(one.record, again.record) && one.ttl == again.ttl);
  }
  FUZZ_CHECK(!msub__rv_registration(&there, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const msub_bytes in = { data, size };
  msub__rv_message m, back, one;
  if (size > ROOM / 4 || msub__rv_parse(in, &m) != MSUB_OK) return 0;
  inside(in, m.ns);
  inside(in, m.record);
  inside(in, m.cookie);
  inside(in, m.part);
  size_t left = m.part.n;
  for (msub_bytes rest = m.part; msub__rv_registration(&rest, &one); left = rest.n) {
    inside(m.part, one.ns);
    inside(m.part, one.record);
    FUZZ_CHECK(rest.n < left); /* it comes to an end */
  }
  if (m.type == MSUB__RV_DISCOVER_RESPONSE) {
    in_pieces(&m);
    return 0;
  }
  size_t n = msub__rv_encode(&m, NULL, 0);
  FUZZ_CHECK(n < ROOM && msub__rv_encode(&m, room(), n) == n && msub__rv_parse((msub_bytes){ room(), n }, &back) == MSUB_OK);
  same(&m, &back);
  return 0;
}
