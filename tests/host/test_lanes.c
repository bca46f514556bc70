/* tests/host/test_lanes.c: the queues of a session: order, bounds, the four rules, what happens when a stream
 * breaks. */
#include <string.h>
#include "base/mem.h"
#include "check.h"
#include "host/lanes.h"
#include "meshsub/rpc.h"

/* Messages that outlive every reference: what counts is that the references are given back. */
#define MANY 1000000u
#define BYTES (1u << 16)
static uint8_t bytes[BYTES];
/* An owned one: what is sent stands behind the head. Good for the next eight calls. */
static msub_msg *message(uint32_t n) {
  static struct whole { msub_msg m; uint8_t wire[BYTES]; } pool[8];
  static unsigned next;
  struct whole *w = &pool[next++ % 8];
  w->m = (msub_msg){ .refs = MANY, .wire_n = n };
  memcpy(w->wire, bytes, BYTES);
  return &w->m;
}
static msub_ctl control(uint32_t n) { return (msub_ctl){ .refs = MANY, .wire = bytes, .wire_n = n }; }

static msub_mem mem;
static unsigned told;
static size_t told_bytes;
static void dropped(void *ud, const msub_rpc *rpc) {
  (void)ud;
  told++;
  told_bytes += rpc->wire_size;
}

static msub_rpc rpc_of(const msub_msg *const *msgs, size_t n, const msub_ctl *ctl) {
  msub_rpc r = { .msgs = msgs, .n_msgs = n, .ctl = ctl };
  r.wire_size = msub_rpc_size(&r);
  return r;
}

static msub__lanes_bounds bounds(size_t each, msub_overflow rule) {
  msub__lanes_bounds b;
  for (unsigned i = 0; i < MSUB_LANES; i++) {
    b.bytes[i] = each;
    b.rule[i] = rule;
  }
  return b;
}

static msub__lanes_answer push(msub__lanes *l, const msub__lanes_bounds *b, unsigned lane,
                               const msub_msg *m) {
  msub_rpc r = rpc_of(&m, 1, NULL);
  return msub__lanes_push(l, &mem, NULL, b, lane, &r, dropped, NULL);
}

static size_t frame_of(uint32_t message_n) {
  const msub_msg m = { .wire_n = message_n }, *p = &m;
  msub_rpc r = rpc_of(&p, 1, NULL);
  return r.wire_size + msub_varint_size(r.wire_size);
}

/* What is pulled in pieces of any size is what the codec writes. */
static void test_bytes(void) {
  msub_msg *a = message(1), *b = message(127), *c = message(300);
  msub_ctl x = control(40);
  const msub_msg *one[] = { c }, *three[] = { a, b, c };
  msub_rpc rpcs[] = { rpc_of(one, 1, NULL), rpc_of(three, 3, &x), rpc_of(NULL, 0, &x), rpc_of(one, 1, &x) };
  uint8_t want[4096], got[4096];
  size_t n = 0;
  for (size_t i = 0; i < sizeof rpcs / sizeof *rpcs; i++) {
    n += msub_varint_put(want + n, rpcs[i].wire_size);
    n += msub_rpc_encode(&rpcs[i], want + n);
  }
  msub__lanes_bounds big = bounds(1u << 20, MSUB_OVERFLOW_DROP_NEWEST);
  for (size_t piece = 1; piece < n + 2; piece++) {
    msub__lanes l;
    msub__lanes_init(&l);
    for (size_t i = 0; i < sizeof rpcs / sizeof *rpcs; i++) {
      CHECK(msub__lanes_push(&l, &mem, NULL, &big, MSUB_LANE_OWN, &rpcs[i], dropped, NULL) ==
            MSUB__LANES_TAKEN);
    }
    CHECK(msub__lanes_pending(&l, true) == n && msub__lanes_pending(&l, false) == 0);
    for (size_t at = 0; at < n;) {
      size_t k = n - at < piece ? n - at : piece;
      msub__lanes_pull(&l, &mem, NULL, got + at, k);
      at += k;
      CHECK(msub__lanes_pending(&l, true) == n - at);
    }
    CHECK(memcmp(want, got, n) == 0);
    msub__lanes_fini(&l, &mem, NULL);
  }
  CHECK(a->refs == MANY && b->refs == MANY && c->refs == MANY && x.refs == MANY && told == 0);
}

/* The length of the next frame tells which RPC it is. */
static size_t next_frame(msub__lanes *l) {
  static uint8_t out[BYTES];
  uint64_t n;
  msub__lanes_pull(l, &mem, NULL, out, 2);
  int used = msub_varint_get((msub_bytes){ out, 2 }, &n);
  CHECK(used == 2);
  msub__lanes_pull(l, &mem, NULL, out, (size_t)n);
  return (size_t)n + 2;
}

static void test_order(void) {
  msub__lanes l;
  msub__lanes_init(&l);
  msub__lanes_bounds big = bounds(1u << 20, MSUB_OVERFLOW_DROP_NEWEST);
  msub_msg *m[5];
  static const unsigned lane[] = { MSUB_LANE_GOSSIP, MSUB_LANE_FORWARD, MSUB_LANE_OWN, MSUB_LANE_CONTROL,
                                   MSUB__LANE_HELLO };
  for (unsigned i = 0; i < 5; i++) {
    m[i] = message(200 + i);
    CHECK(push(&l, &big, lane[i], m[i]) == MSUB__LANES_TAKEN);
  }
  for (unsigned i = 5; i-- > 0;) CHECK(next_frame(&l) == frame_of(200 + i));
  CHECK(msub__lanes_pending(&l, true) == 0);
  /* begun is finished first */
  uint8_t byte[1];
  CHECK(push(&l, &big, MSUB_LANE_GOSSIP, m[0]) == MSUB__LANES_TAKEN);
  msub__lanes_pull(&l, &mem, NULL, byte, 1);
  CHECK(push(&l, &big, MSUB_LANE_CONTROL, m[3]) == MSUB__LANES_TAKEN);
  uint8_t rest[512];
  msub__lanes_pull(&l, &mem, NULL, rest, frame_of(200) - 1);
  CHECK(next_frame(&l) == frame_of(203));
  msub__lanes_fini(&l, &mem, NULL);
}

/* A broken stream: its hello is gone, what was begun comes again whole, behind the next hello. */
static void test_restart(void) {
  msub__lanes l;
  msub__lanes_init(&l);
  msub__lanes_bounds big = bounds(1u << 20, MSUB_OVERFLOW_DROP_NEWEST);
  msub_msg *hello = message(200), *begun = message(210), *next = message(220);
  uint8_t out[512];
  CHECK(push(&l, &big, MSUB__LANE_HELLO, hello) == MSUB__LANES_TAKEN);
  CHECK(msub__lanes_pending(&l, false) == frame_of(200));
  msub__lanes_pull(&l, &mem, NULL, out, 10); /* a part of the hello */
  CHECK(push(&l, &big, MSUB_LANE_OWN, begun) == MSUB__LANES_TAKEN);
  CHECK(push(&l, &big, MSUB_LANE_OWN, next) == MSUB__LANES_TAKEN);
  msub__lanes_restart(&l, &mem, NULL);
  CHECK(hello->refs == MANY && msub__lanes_pending(&l, false) == 0);
  CHECK(push(&l, &big, MSUB__LANE_HELLO, hello) == MSUB__LANES_TAKEN);
  CHECK(next_frame(&l) == frame_of(200));
  msub__lanes_pull(&l, &mem, NULL, out, 10); /* a part of `begun` */
  msub__lanes_restart(&l, &mem, NULL);
  msub__lanes_restart(&l, &mem, NULL);
  CHECK(push(&l, &big, MSUB__LANE_HELLO, hello) == MSUB__LANES_TAKEN);
  CHECK(msub__lanes_pending(&l, false) == frame_of(200));
  CHECK(next_frame(&l) == frame_of(200) && next_frame(&l) == frame_of(210) &&
        next_frame(&l) == frame_of(220));
  CHECK(told == 0 && hello->refs == MANY && begun->refs == MANY && next->refs == MANY);
  /* the end: what was taken is told, the hello is not */
  CHECK(push(&l, &big, MSUB__LANE_HELLO, hello) == MSUB__LANES_TAKEN);
  CHECK(push(&l, &big, MSUB_LANE_OWN, begun) == MSUB__LANES_TAKEN);
  msub__lanes_drop(&l, &mem, NULL, dropped, NULL);
  CHECK(told == 1 && begun->refs == MANY && hello->refs == MANY && msub__lanes_queued(&l) == 0);
  told = 0;
  msub__lanes_fini(&l, &mem, NULL);
}

/* L-1, L and L+1 bytes in a lane that is not empty. */
static void test_bounds(void) {
  msub_msg *first = message(1000), *second = message(1000);
  size_t two = 2 * frame_of(1000);
  for (size_t limit = two - 1; limit <= two + 1; limit++) {
    msub__lanes l;
    msub__lanes_init(&l);
    msub__lanes_bounds b = bounds(limit, MSUB_OVERFLOW_DROP_NEWEST);
    CHECK(push(&l, &b, MSUB_LANE_OWN, first) == MSUB__LANES_TAKEN);
    CHECK(push(&l, &b, MSUB_LANE_OWN, second) == (limit < two ? MSUB__LANES_FULL : MSUB__LANES_TAKEN));
    msub__lanes_fini(&l, &mem, NULL);
  }
  /* an empty lane takes one of any size, and what is flying counts in the forwarded one */
  msub__lanes l;
  msub__lanes_init(&l);
  static uint8_t out[BYTES];
  msub__lanes_bounds b = bounds(3 * frame_of(1000), MSUB_OVERFLOW_DROP_NEWEST);
  msub_msg *large = message(60000);
  CHECK(push(&l, &b, MSUB_LANE_FORWARD, large) == MSUB__LANES_TAKEN);
  CHECK(push(&l, &b, MSUB_LANE_FORWARD, first) == MSUB__LANES_FULL);
  msub__lanes_drop(&l, &mem, NULL, NULL, NULL);
  for (unsigned i = 0; i < 3; i++) CHECK(push(&l, &b, MSUB_LANE_FORWARD, first) == MSUB__LANES_TAKEN);
  msub__lanes_pull(&l, &mem, NULL, out, 2 * frame_of(1000));
  CHECK(push(&l, &b, MSUB_LANE_FORWARD, first) == MSUB__LANES_FULL);
  msub__lanes_sent(&l);
  CHECK(push(&l, &b, MSUB_LANE_FORWARD, first) == MSUB__LANES_TAKEN);
  CHECK(push(&l, &b, MSUB_LANE_FORWARD, first) == MSUB__LANES_TAKEN);
  CHECK(push(&l, &b, MSUB_LANE_FORWARD, first) == MSUB__LANES_FULL);
  msub__lanes_fini(&l, &mem, NULL);
  CHECK(told == 0 && first->refs == MANY);
}

static void test_rules(void) {
  msub_msg *m = message(1000), *large = message(5000);
  size_t f = frame_of(1000);
  msub__lanes l;
  /* oldest: as many as it takes */
  msub__lanes_init(&l);
  msub__lanes_bounds b = bounds(8 * f, MSUB_OVERFLOW_DROP_OLDEST);
  for (unsigned i = 0; i < 8; i++) CHECK(push(&l, &b, MSUB_LANE_OWN, m) == MSUB__LANES_TAKEN && told == 0);
  CHECK(push(&l, &b, MSUB_LANE_OWN, large) == MSUB__LANES_TAKEN);
  CHECK(told == 5 && l.q[MSUB_LANE_OWN].n == 4);
  msub__lanes_fini(&l, &mem, NULL);
  /* by lane: gossip goes, then forwarded, then the newest is refused */
  told = 0;
  msub__lanes_init(&l);
  b = bounds(2 * f, MSUB_OVERFLOW_BY_LANE);
  for (unsigned i = 0; i < 2; i++) {
    CHECK(push(&l, &b, MSUB_LANE_GOSSIP, m) == MSUB__LANES_TAKEN);
    CHECK(push(&l, &b, MSUB_LANE_FORWARD, m) == MSUB__LANES_TAKEN);
    CHECK(push(&l, &b, MSUB_LANE_OWN, m) == MSUB__LANES_TAKEN);
  }
  CHECK(told == 0);
  for (unsigned i = 1; i <= 4; i++) {
    CHECK(push(&l, &b, MSUB_LANE_OWN, m) == MSUB__LANES_TAKEN && told == i);
    CHECK(l.q[MSUB_LANE_GOSSIP].n == (i < 2 ? 2 - i : 0));
  }
  CHECK(push(&l, &b, MSUB_LANE_OWN, m) == MSUB__LANES_FULL && told == 4 && l.q[MSUB_LANE_OWN].n == 6);
  msub__lanes_fini(&l, &mem, NULL);
  /* disconnect */
  msub__lanes_init(&l);
  b = bounds(f, MSUB_OVERFLOW_DISCONNECT);
  CHECK(push(&l, &b, MSUB_LANE_CONTROL, m) == MSUB__LANES_TAKEN);
  CHECK(push(&l, &b, MSUB_LANE_CONTROL, m) == MSUB__LANES_TOO_SLOW);
  msub__lanes_fini(&l, &mem, NULL);
  CHECK(m->refs == MANY && large->refs == MANY);
  told = 0;
}

/* Messages of different ids: the id stands behind the encoded bytes. */
static msub_msg *with_id(uint32_t n) {
  msub_msg *m = message(n);
  m->id_n = 8;
  return m;
}

static void test_withdraw(void) {
  msub_msg *m = with_id(1000), *other = with_id(2000), *third = with_id(3000);
  msub_ctl x = control(40);
  const msub_msg *two[] = { m, other };
  msub_rpc both = rpc_of(two, 2, NULL), with_ctl = rpc_of(two, 1, &x);
  msub__lanes l;
  msub__lanes_init(&l);
  msub__lanes_bounds b = bounds(1u << 20, MSUB_OVERFLOW_DROP_NEWEST);
  CHECK(msub__lanes_withdraw(&l, &mem, NULL, msub_id(m)) == 0);
  for (unsigned lane = MSUB_LANE_OWN; lane < MSUB_LANES; lane++) {
    CHECK(push(&l, &b, lane, m) == MSUB__LANES_TAKEN);
    CHECK(push(&l, &b, lane, other) == MSUB__LANES_TAKEN);
    CHECK(push(&l, &b, lane, m) == MSUB__LANES_TAKEN);
    CHECK(push(&l, &b, lane, third) == MSUB__LANES_TAKEN);
  }
  CHECK(msub__lanes_push(&l, &mem, NULL, &b, MSUB_LANE_OWN, &both, dropped, NULL) == MSUB__LANES_TAKEN);
  CHECK(msub__lanes_push(&l, &mem, NULL, &b, MSUB_LANE_OWN, &with_ctl, dropped, NULL) == MSUB__LANES_TAKEN);
  size_t before = msub__lanes_pending(&l, true);
  CHECK(msub__lanes_withdraw(&l, &mem, NULL, msub_id(m)) == 6);
  CHECK(before - msub__lanes_pending(&l, true) == 6 * frame_of(1000));
  CHECK(msub__lanes_withdraw(&l, &mem, NULL, msub_id(m)) == 0);
  CHECK(next_frame(&l) == frame_of(2000) && next_frame(&l) == frame_of(3000));
  CHECK(next_frame(&l) == both.wire_size + 2 && next_frame(&l) == with_ctl.wire_size + 2);
  /* begun: it is finished; begun on a stream that broke: it was to be written anew */
  CHECK(push(&l, &b, MSUB_LANE_OWN, m) == MSUB__LANES_TAKEN);
  uint8_t out[8];
  msub__lanes_pull(&l, &mem, NULL, out, 8);
  CHECK(msub__lanes_withdraw(&l, &mem, NULL, msub_id(m)) == 0);
  msub__lanes_restart(&l, &mem, NULL);
  CHECK(msub__lanes_withdraw(&l, &mem, NULL, msub_id(m)) == 1);
  for (unsigned lane = MSUB_LANE_FORWARD; lane < MSUB_LANES; lane++)
    CHECK(next_frame(&l) == frame_of(2000) && next_frame(&l) == frame_of(3000));
  CHECK(msub__lanes_pending(&l, true) == 0 && told == 0);
  CHECK(m->refs == MANY && other->refs == MANY && third->refs == MANY && x.refs == MANY);
  msub__lanes_fini(&l, &mem, NULL);
}

int main(void) {
  mem = msub__mem_default();
  for (size_t i = 0; i < BYTES; i++) bytes[i] = (uint8_t)(i * 7 + 1);
  test_bytes();
  test_order();
  test_restart();
  test_bounds();
  test_rules();
  test_withdraw();
  return 0;
}
