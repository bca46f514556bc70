/* A yamux session under test with an owner that writes down what it is told, and hand-made frames to feed it.
 */
#ifndef MSUB_TESTS_YAMUX_PEER_H
#define MSUB_TESTS_YAMUX_PEER_H
#include <criterion/criterion.h>
#include <string.h>
#include "wire/yamux.h"

enum { DATA, WINDOW, PING, GOAWAY };
enum { SYN = 1, ACK = 2, FIN = 4, RST = 8 };

typedef struct owner {
  msub__yamux *y;
  msub__ystream *last; /* opened last by the peer */
  unsigned opens, fins, ends, writables, pongs, goaways;
  int why; /* of the last end */
  uint32_t goaway_code;
  size_t got;  /* bytes taken */
  size_t take; /* at most so many per call */
  bool refuse, reset_on_open, reset_on_data, finish_on_fin, ask_again;
  uint64_t now;
} owner;

static bool own_open(void *ud, msub__ystream *s, void **word) {
  owner *o = ud;
  o->opens++;
  o->last = s;
  *word = o;
  if (o->reset_on_open) msub__yamux_reset(s);
  return !o->refuse;
}
static size_t own_data(void *ud, msub__ystream *s, msub_bytes in) {
  owner *o = ud;
  size_t n = in.n < o->take ? in.n : o->take;
  o->got += n;
  if (o->reset_on_data) msub__yamux_reset(s);
  if (o->ask_again) msub__yamux_read(s);
  return n;
}
static void own_fin(void *ud, msub__ystream *s) {
  owner *o = ud;
  o->fins++;
  if (o->finish_on_fin) msub__yamux_finish(s);
}
static void own_end(void *ud, msub__ystream *s, int why) {
  owner *o = ud;
  cr_assert_not_null(s);
  o->ends++;
  o->why = why;
}
static void own_writable(void *ud, msub__ystream *s) {
  (void)s;
  ((owner *)ud)->writables++;
}
static void own_pong(void *ud, uint64_t rtt) {
  cr_assert(rtt > 0);
  ((owner *)ud)->pongs++;
}
static void own_goaway(void *ud, uint32_t code) {
  owner *o = ud;
  o->goaways++;
  o->goaway_code = code;
}
static const msub__yamux_ops own_ops = { own_open,     own_data, own_fin,   own_end,
                                         own_writable, own_pong, own_goaway };

static inline void owner_new(owner *o, bool initiator, msub__yamux_shared *shared) {
  *o = (owner){ .take = SIZE_MAX, .now = 1000 * MSUB__S };
  msub__yamux_options opt = { .ops = &own_ops, .ud = o, .shared = shared, .initiator = initiator };
  cr_assert_eq(msub__yamux_new(&opt, o->now, &o->y), MSUB_OK);
}

static inline void header(uint8_t h[12], uint8_t type, uint16_t flags, uint32_t id, uint32_t length) {
  const uint8_t all[12] = { 0,
                            type,
                            (uint8_t)(flags >> 8),
                            (uint8_t)flags,
                            (uint8_t)(id >> 24),
                            (uint8_t)(id >> 16),
                            (uint8_t)(id >> 8),
                            (uint8_t)id,
                            (uint8_t)(length >> 24),
                            (uint8_t)(length >> 16),
                            (uint8_t)(length >> 8),
                            (uint8_t)length };
  memcpy(h, all, 12);
}

static inline int feed_bytes(owner *o, const void *p, size_t n) {
  size_t used;
  int err = msub__yamux_input(o->y, o->now, (msub_bytes){ p, n }, &used);
  cr_assert(used <= n);
  cr_assert(err || used == n || !msub__yamux_reading(o->y), "it stops only when it says so");
  return err;
}
static inline int feed(owner *o, uint8_t type, uint16_t flags, uint32_t id, uint32_t length) {
  uint8_t h[12];
  header(h, type, flags, id, length);
  return feed_bytes(o, h, 12);
}
/* A Data frame with its body. */
static inline int feed_data(owner *o, uint16_t flags, uint32_t id, uint32_t n) {
  static const uint8_t zeros[2 << 20];
  int err = feed(o, DATA, flags, id, n);
  return err || n == 0 ? err : feed_bytes(o, zeros, n);
}

typedef struct sent {
  uint8_t type;
  uint16_t flags;
  uint32_t id, length;
} sent;
/* The next control frame; type 255: none. */
static inline sent next_sent(owner *o) {
  uint8_t h[12];
  size_t pending = msub__yamux_pending(o->y), n = msub__yamux_output(o->y, o->now, h, 12);
  if (n == 0) return (sent){ .type = 255 };
  cr_assert(n == 12 && h[0] == 0 && pending >= 12);
#define U32(at)                                                                                              \
  ((uint32_t)h[at] << 24 | (uint32_t)h[(at) + 1] << 16 | (uint32_t)h[(at) + 2] << 8 | h[(at) + 3])
  return (sent){ h[1], (uint16_t)(h[2] << 8 | h[3]), U32(4), U32(8) };
#undef U32
}
static inline bool sent_is(owner *o, uint8_t type, uint16_t flags, uint32_t id, uint32_t length) {
  sent s = next_sent(o);
  return s.type == type && s.flags == flags && s.id == id && s.length == length;
}
static inline void flush(owner *o) {
  while (next_sent(o).type != 255) {}
}
static inline msub__yamux_counts counts(const owner *o) {
  msub__yamux_counts c;
  msub__yamux_count(o->y, &c);
  return c;
}
#endif
