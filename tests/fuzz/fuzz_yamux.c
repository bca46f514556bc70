/* A yamux session under a script of frames from the peer and calls of its owner. Input: a byte of options,
 * then operations of one byte and its arguments. What must hold is checked after every operation. */
#include <string.h>
#include "tests/fuzz/fuzz.h"
#include "base/mem.h"
#include "wire/yamux.h"

#define STREAMS 64

typedef struct owner {
  msub__yamux *y;
  msub__ystream *s[STREAMS]; /* by place; NULL: free */
  unsigned in, out;
  const uint8_t *p, *end;
  uint64_t now;
} owner;

static uint8_t byte(owner *o) { return o->p < o->end ? *o->p++ : 0; }

static void note(owner *o, msub__ystream *s) {
  for (size_t i = 0; i < STREAMS; i++) {
    if (o->s[i]) continue;
    o->s[i] = s;
    msub__yamux_set_word(s, &o->s[i]);
    if (msub__yamux_is_inbound(s))
      o->in++;
    else
      o->out++;
    return;
  }
  FUZZ_CHECK(0);
}

static void forget(owner *o, msub__ystream *s) {
  msub__ystream **at = msub__yamux_word(s);
  FUZZ_CHECK(*at == s);
  *at = NULL;
  if (msub__yamux_is_inbound(s))
    o->in--;
  else
    o->out--;
}

static bool has_room(const owner *o) { return o->in + o->out < STREAMS; }

/* Something that the owner may do at any time, callbacks included. */
static void act(owner *o, msub__ystream *s, uint8_t what) {
  uint8_t h[MSUB__YAMUX_HEADER];
  msub__ystream *fresh;
  switch (what % 12) {
  case 0: {
    size_t room = msub__yamux_room(s);
    uint32_t n = byte(o) * 64u;
    int err = msub__yamux_data_header(s, h, n);
    FUZZ_CHECK((err == MSUB_OK) == (n > 0 && n <= room));
    FUZZ_CHECK(err || msub__yamux_room(s) == room - n);
    break;
  }
  case 1: msub__yamux_finish(s); break;
  case 2:
    forget(o, s);
    msub__yamux_reset(s);
    break;
  case 3: msub__yamux_read(s); break;
  case 4: msub__yamux_announce(s); break;
  case 5: msub__yamux_ping(o->y); break;
  case 6:
    if (has_room(o) && msub__yamux_open(o->y, NULL, &fresh) == MSUB_OK) note(o, fresh);
    break;
  case 7:
    if (byte(o) == 1) msub__yamux_goaway(o->y, 0);
    break;
  default: break;
  }
}

static bool on_open(void *ud, msub__ystream *s, void **word) {
  owner *o = ud;
  uint8_t b = byte(o);
  if (!has_room(o) || b % 8 == 0) return false;
  note(o, s);
  *word = msub__yamux_word(s);
  act(o, s, b / 8);
  return true;
}
static size_t on_data(void *ud, msub__ystream *s, msub_bytes in) {
  owner *o = ud;
  FUZZ_CHECK(in.n > 0);
  uint8_t b = byte(o);
  volatile uint8_t sum = 0; /* every byte must be there to be read */
  size_t n = b < 64 ? 0 : b < 128 ? in.n / 2 : in.n;
  if (b % 4 == 0) act(o, s, b / 4);
  for (size_t i = 0; i < in.n; i += 997) sum = (uint8_t)(sum + in.p[i]);
  return n;
}
static void on_fin(void *ud, msub__ystream *s) { act(ud, s, byte(ud)); }
static void on_end(void *ud, msub__ystream *s, int why) {
  (void)why;
  forget(ud, s);
  msub__yamux_finish(s);
  msub__yamux_reset(s);
  msub__yamux_read(s);
  FUZZ_CHECK(msub__yamux_room(s) == 0);
}
static void on_writable(void *ud, msub__ystream *s) { act(ud, s, byte(ud)); }
static void on_pong(void *ud, uint64_t rtt) {
  (void)ud;
  FUZZ_CHECK(rtt > 0);
}
static void on_goaway(void *ud, uint32_t code) { (void)ud, (void)code; }
static const msub__yamux_ops ops = { on_open, on_data, on_fin, on_end, on_writable, on_pong, on_goaway };

static void check(const owner *o, const msub__yamux_shared *shared) {
  msub__yamux_counts c;
  msub__yamux_count(o->y, &c);
  FUZZ_CHECK(c.inbound == o->in && c.outbound == o->out && c.unacked <= c.outbound);
  FUZZ_CHECK(c.buffered <= MSUB__YAMUX_BUFFERED_MAX && shared->buffered == c.buffered);
  FUZZ_CHECK(msub__yamux_pending(o->y) <= MSUB__YAMUX_PENDING_MAX);
  size_t unread = 0;
  for (size_t i = 0; i < STREAMS; i++) unread += o->s[i] ? msub__yamux_unread(o->s[i]) : 0;
  FUZZ_CHECK(unread == c.buffered);
}

/* A frame whose id and length are likely to matter. */
static size_t frame(owner *o, uint8_t *out) {
  uint8_t type = byte(o), flags = byte(o), id = byte(o), len = byte(o), fill = byte(o);
  static const uint32_t lengths[] = { 0,          1,         100,      16384,          131072,
                                      262144,     262145,    1u << 20, (1u << 20) + 1, 0x7fffffff,
                                      0xfffbffff, UINT32_MAX };
  uint32_t length = len < 240 ? len : lengths[len % 12];
  memset(out, 0, 12);
  out[0] = type == 255;
  out[1] = type % 5 == 4 ? (uint8_t)(type / 5) : type % 5;
  out[2] = flags == 255;
  out[3] = flags & 15;
  out[7] = id % 32;
  out[8] = (uint8_t)(length >> 24);
  out[9] = (uint8_t)(length >> 16);
  out[10] = (uint8_t)(length >> 8);
  out[11] = (uint8_t)length;
  size_t body = out[1] == 0 && length <= 1u << 19 && fill >= 32 ? length : fill;
  if (out[1] == 0) {
    memset(out + 12, fill, body);
    return 12 + body;
  }
  return 12;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  static uint8_t input[12 + (1 << 19)], output[4096];
  owner o = { .p = data, .end = data + n, .now = 5 };
  msub__yamux_shared shared = { 0 };
  uint8_t options = byte(&o);
  if (options & 2) shared.max = 100000;
  msub__yamux_options opt = {
    .ops = &ops, .ud = &o, .shared = &shared, .initiator = options & 1, .max_inbound = options & 4 ? 3 : 0
  };
  FUZZ_CHECK(msub__yamux_new(&opt, o.now, &o.y) == MSUB_OK);
  int dead = MSUB_OK;
  while (o.p < o.end && !dead) {
    uint8_t op = byte(&o);
    size_t used, size = 0;
    switch (op % 8) {
    case 0:
    case 1:
    case 2:
    case 3: size = frame(&o, input); break;
    case 4:
      while (size < op / 8u && o.p < o.end) input[size++] = byte(&o);
      break;
    case 5:
      used = msub__yamux_output(o.y, o.now, output, op * 16u);
      FUZZ_CHECK(used % 12 == 0 && used <= op * 16u);
      break;
    case 6:
      o.now += op < 128 ? MSUB__MS * byte(&o) : MSUB__S * byte(&o);
      dead = msub__yamux_advance(o.y, o.now);
      break;
    default:
      if (o.s[op / 8])
        act(&o, o.s[op / 8], byte(&o));
      else if (has_room(&o)) {
        msub__ystream *s;
        if (msub__yamux_open(o.y, NULL, &s) == MSUB_OK) note(&o, s);
      }
    }
    for (size_t at = 0; at < size && !dead && msub__yamux_reading(o.y); at += used) {
      dead = msub__yamux_input(o.y, o.now, (msub_bytes){ input + at, size - at }, &used);
      FUZZ_CHECK(used <= size - at && (used > 0 || dead || !msub__yamux_reading(o.y)));
    }
    check(&o, &shared);
  }
  if (dead) {
    size_t used;
    FUZZ_CHECK(msub__yamux_input(o.y, o.now, (msub_bytes){ data, n }, &used) == dead && used == 0);
    FUZZ_CHECK(msub__yamux_output(o.y, o.now, output, sizeof output) <= 12);
  }
  if (options & 8) {
    FUZZ_CHECK(msub__yamux_close(o.y, MSUB_ERR_CLOSED) == MSUB_OK);
    FUZZ_CHECK(o.in == 0 && o.out == 0);
  }
  msub__yamux_free(o.y);
  FUZZ_CHECK(shared.buffered == 0);
  return 0;
}
