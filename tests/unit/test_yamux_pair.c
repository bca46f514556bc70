/* Two yamux sessions back to back over a pipe that may be thin, with everything that both owners can do in
 * random order. Every stream carries bytes that tell their place, so a gap, a repetition or a mixed-up stream
 * is seen at once. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "wire/yamux.h"

#define PIPE_MAX 262144u

typedef struct pipe {
  uint8_t p[PIPE_MAX];
  size_t at, n, cap;
} pipe;
typedef struct end end;

/* One side of a stream as its owner sees it. */
typedef struct app {
  end *e;
  msub__ystream *s;         /* NULL: over */
  uint64_t tag_out, tag_in; /* what the bytes of each direction look like */
  size_t sent, got, want;   /* want: bytes to send in all */
  size_t echo;              /* received and not yet sent back */
  bool paused, echoes, finished, fin_seen, ended;
  int why;
  struct app *other; /* the same stream at the other end */
} app;

struct end {
  msub__yamux *y;
  pipe *out;
  end *peer;
  app *apps[4096];
  unsigned n, live_in, live_out;
  bool echoing, random_takes;
  msub__rng rng;
  uint64_t now;
};

static uint8_t byte_at(uint64_t tag, size_t i) {
  return (uint8_t)((tag * 167 + i * 13 + (i >> 8) * 7 + (i >> 16)) & 0xff);
}

static app *new_app(end *e, msub__ystream *s) {
  app *a = calloc(1, sizeof *a);
  cr_assert(e->n < 4096);
  e->apps[e->n++] = a;
  a->e = e;
  a->s = s;
  return a;
}

static void finish_pairing(app *a, app *b, uint32_t id) {
  a->other = b;
  b->other = a;
  a->tag_out = b->tag_in = id * 2u;
  a->tag_in = b->tag_out = id * 2u + 1;
}

static bool on_open(void *ud, msub__ystream *s, void **word) {
  end *e = ud;
  app *a = new_app(e, s);
  for (unsigned i = 0; i < e->peer->n; i++) {
    app *p = e->peer->apps[i];
    if (!p->other && p->s && msub__yamux_id(p->s) == msub__yamux_id(s))
      finish_pairing(p, a, msub__yamux_id(s));
  }
  if (!a->other) { /* its opener has reset it meanwhile */
    finish_pairing(a, a, msub__yamux_id(s));
    a->tag_in = msub__yamux_id(s) * 2u;
    a->tag_out = a->tag_in + 1;
  }
  a->echoes = e->echoing;
  *word = a;
  e->live_in++;
  return true;
}

static void over(app *a, bool inbound, int why) {
  a->s = NULL;
  a->ended = true;
  a->why = why;
  if (inbound)
    a->e->live_in--;
  else
    a->e->live_out--;
}

static size_t on_data(void *ud, msub__ystream *s, msub_bytes in) {
  end *e = ud;
  app *a = msub__yamux_word(s);
  cr_assert(a && a->s == s && !a->fin_seen, "Y-11 data behind the end");
  if (a->paused) return 0;
  if (a->echoes && a->echo > 65536) return 0; /* an echo keeps little, and so holds its peer back */
  size_t n = e->random_takes ? msub__rng_below(&e->rng, (uint32_t)in.n + 1) : in.n;
  size_t right = 0;
  while (right < n && in.p[right] == byte_at(a->tag_in, a->got + right)) right++;
  cr_assert_eq(right, n, "Y-11 a hole in stream %u at %zu", msub__yamux_id(s), a->got + right);
  a->got += n;
  if (a->echoes) a->echo += n;
  if (e->random_takes && msub__rng_below(&e->rng, 200) == 0) {
    bool inbound = msub__yamux_is_inbound(s);
    msub__yamux_reset(s);
    over(a, inbound, MSUB_ERR_STATE);
  }
  return n;
}

static void on_fin(void *ud, msub__ystream *s) {
  (void)ud;
  app *a = msub__yamux_word(s);
  a->fin_seen = true;
  if (a->other != a) cr_assert_eq(a->got, a->other->sent, "everything came before the end");
}

static void on_end(void *ud, msub__ystream *s, int why) {
  (void)ud;
  app *a = msub__yamux_word(s);
  cr_assert(!a->ended, "once");
  cr_assert(why != MSUB_OK || (a->fin_seen && a->finished), "an orderly end has two ends");
  over(a, msub__yamux_is_inbound(s), why);
}

static const msub__yamux_ops ops = { on_open, on_data, on_fin, on_end, NULL, NULL, NULL };

static void pair(end *a, end *b, size_t cap, uint64_t seed, bool random_takes) {
  end *both[2] = { a, b };
  memset(a, 0, sizeof *a);
  memset(b, 0, sizeof *b);
  for (int i = 0; i < 2; i++) {
    end *e = both[i];
    e->out = calloc(1, sizeof *e->out);
    e->out->cap = cap;
    e->peer = both[!i];
    e->random_takes = random_takes;
    e->now = MSUB__S;
    msub__rng_init(&e->rng, seed, (uint32_t)i);
    msub__yamux_options o = { .ops = &ops, .ud = e, .initiator = i == 0 };
    cr_assert_eq(msub__yamux_new(&o, e->now, &e->y), MSUB_OK);
  }
}

static void unpair(end *a, end *b) {
  end *both[2] = { a, b };
  for (int i = 0; i < 2; i++) {
    cr_assert_eq(msub__yamux_close(both[i]->y, MSUB_ERR_CLOSED), MSUB_OK);
    cr_assert(both[i]->live_in == 0 && both[i]->live_out == 0);
    msub__yamux_free(both[i]->y);
    for (unsigned k = 0; k < both[i]->n; k++) free(both[i]->apps[k]);
    free(both[i]->out);
  }
}

static size_t room(const pipe *p) { return p->cap - p->n; }
static uint8_t *reserve(pipe *p, size_t n) {
  if (p->at + p->n + n > PIPE_MAX) {
    memmove(p->p, p->p + p->at, p->n);
    p->at = 0;
  }
  return p->p + p->at + p->n;
}

static void check_counts(const end *e) {
  msub__yamux_counts c;
  msub__yamux_count(e->y, &c);
  cr_assert(c.inbound == e->live_in && c.outbound == e->live_out,
            "Y-09 counters equal the table: %u %u, %u %u", c.inbound, e->live_in, c.outbound, e->live_out);
  cr_assert(c.buffered <= MSUB__YAMUX_BUFFERED_MAX && c.unacked <= c.outbound);
}

static void control_out(end *e) {
  size_t n = room(e->out);
  e->out->n += msub__yamux_output(e->y, e->now, reserve(e->out, n), n);
}

/* A Data frame of stream a, as long as window, pipe and what it has to say allow. */
static bool data_out(app *a, size_t most) {
  end *e = a->e;
  if (!a->s || a->finished) return false;
  size_t n = a->echoes ? a->echo : a->want - a->sent, fits = room(e->out);
  if (fits <= MSUB__YAMUX_HEADER) return false;
  fits -= MSUB__YAMUX_HEADER;
  if (n > msub__yamux_room(a->s)) n = msub__yamux_room(a->s);
  if (n > fits) n = fits;
  if (n > most) n = most;
  if (n > MSUB__YAMUX_FRAME_MAX) n = MSUB__YAMUX_FRAME_MAX;
  if (n == 0) return false;
  uint8_t *p = reserve(e->out, MSUB__YAMUX_HEADER + n);
  cr_assert_eq(msub__yamux_data_header(a->s, p, (uint32_t)n), MSUB_OK);
  for (size_t i = 0; i < n; i++) p[MSUB__YAMUX_HEADER + i] = byte_at(a->tag_out, a->sent + i);
  e->out->n += MSUB__YAMUX_HEADER + n;
  a->sent += n;
  if (a->echoes) a->echo -= n;
  return true;
}

static bool bytes_in(end *e, size_t most) {
  pipe *p = e->peer->out;
  size_t n = p->n < most ? p->n : most, used;
  if (n == 0 || !msub__yamux_reading(e->y)) return false;
  int err = msub__yamux_input(e->y, e->now, (msub_bytes){ p->p + p->at, n }, &used);
  cr_assert_eq(err, MSUB_OK, "%s", msub_err_name(err));
  p->at += used;
  p->n -= used;
  return used > 0;
}

static app *open_app(end *e, size_t want) {
  msub__ystream *s;
  if (msub__yamux_open(e->y, NULL, &s) != MSUB_OK) return NULL;
  app *a = new_app(e, s);
  a->want = want;
  a->tag_out = msub__yamux_id(s) * 2u;
  a->tag_in = a->tag_out + 1;
  msub__yamux_set_word(s, a);
  e->live_out++;
  return a;
}

static void finish(app *a) {
  if (!a->s || a->finished) return;
  a->finished = true;
  msub__yamux_finish(a->s);
}

/* Y-09, Y-11: hundreds of seeds, each with a mixture of its own. */
static unsigned orderly, reset_ones;
static size_t carried;
static void random_run(uint64_t seed, unsigned steps) {
  static end a, b;
  msub__rng r;
  msub__rng_init(&r, seed, 9);
  pair(&a, &b, 40 + msub__rng_below(&r, 60000), seed, true);
  unsigned resets = 1 + msub__rng_below(&r, 30), pauses = 1 + msub__rng_below(&r, 20);
  for (unsigned step = 0; step < steps; step++) {
    end *e = msub__rng_below(&r, 2) ? &a : &b;
    app *x = e->n ? e->apps[msub__rng_below(&r, e->n)] : NULL;
    a.now = b.now = a.now + msub__rng_below(&r, 60) * MSUB__MS;
    switch (msub__rng_below(&r, 12)) {
    case 0:
      if (e->n < 2000)
        open_app(e, msub__rng_below(&r, 3) ? msub__rng_below(&r, 5000) : msub__rng_below(&r, 1000000));
      break;
    case 1:
    case 2:
    case 3:
      if (x && x->s && !x->finished) {
        if (x->want == 0) x->want = msub__rng_below(&r, 100000);
        data_out(x, 1 + msub__rng_below(&r, 20000));
        if (x->sent == x->want) finish(x);
      }
      break;
    case 4:
    case 5: control_out(e); break;
    case 6:
    case 7:
    case 8: bytes_in(e, 1 + msub__rng_below(&r, 50000)); break;
    case 9:
      if (x && x->s && msub__rng_below(&r, resets) == 0) {
        bool inbound = msub__yamux_is_inbound(x->s);
        msub__yamux_reset(x->s);
        over(x, inbound, MSUB_ERR_STATE);
      } else if (x) {
        finish(x);
      }
      break;
    case 10:
      if (x && x->s) {
        x->paused = msub__rng_below(&r, pauses) == 0;
        msub__yamux_read(x->s);
      }
      break;
    default:
      if (msub__yamux_next_deadline(e->y) <= e->now) cr_assert_eq(msub__yamux_advance(e->y, e->now), MSUB_OK);
      if (x && x->s && msub__rng_below(&r, 4) == 0) msub__yamux_announce(x->s);
      if (msub__rng_below(&r, 50) == 0) msub__yamux_ping(e->y);
    }
    check_counts(&a);
    check_counts(&b);
  }
  /* now everybody takes, sends what is left and finishes: every stream comes to an end, orderly or by a reset
   */
  a.random_takes = b.random_takes = false;
  a.out->cap = b.out->cap = PIPE_MAX / 2;
  for (unsigned round = 0; round < 4000 && a.live_in + a.live_out + b.live_in + b.live_out > 0; round++) {
    end *both[2] = { &a, &b };
    for (int k = 0; k < 2; k++) {
      end *e = both[k];
      e->now += MSUB__MS;
      control_out(e);
      for (unsigned i = 0; i < e->n; i++) {
        app *x = e->apps[i];
        x->paused = false;
        if (x->s) msub__yamux_read(x->s);
        if (x->s && x->want < x->sent) x->want = x->sent;
        while (data_out(x, MSUB__YAMUX_FRAME_MAX)) {}
        if (x->s && x->sent >= x->want) finish(x);
      }
      control_out(e);
      while (bytes_in(e->peer, PIPE_MAX)) {}
      cr_assert_eq(msub__yamux_advance(e->y, e->now), MSUB_OK);
      check_counts(e);
    }
  }
  cr_assert(a.live_in + a.live_out + b.live_in + b.live_out == 0, "seed %llu: %u %u %u %u streams are left",
            (unsigned long long)seed, a.live_in, a.live_out, b.live_in, b.live_out);
  for (unsigned i = 0; i < a.n; i++) {
    app *x = a.apps[i];
    if (x->why == MSUB_OK)
      orderly++;
    else
      reset_ones++;
    carried += x->got;
    if (x->why != MSUB_OK || !x->other || x->other == x) continue;
    cr_assert(x->other->why != MSUB_OK || (x->got == x->other->sent && x->sent == x->other->got),
              "bytes are conserved");
  }
  unpair(&a, &b);
}

Test(yamux_pair, random_interleavings, .timeout = 120) {
  for (uint64_t seed = 1; seed <= 60; seed++) random_run(seed, 3000);
  cr_log_info("%u orderly, %u reset, %zu MB", orderly, reset_ones, carried >> 20);
  cr_assert(orderly > 5000 && reset_ones > 500 && carried > (size_t)100 << 20, "%u %u %zu", orderly,
            reset_ones, carried);
}

/* Y-10: 64 streams of 1 MiB each way, echoed, through pipes of 10 KB. */
Test(yamux_pair, echo_through_a_thin_pipe, .timeout = 120) {
  static end a, b;
  pair(&a, &b, 10000, 7, false);
  b.echoing = true;
  for (unsigned i = 0; i < 64; i++) cr_assert_not_null(open_app(&a, 1 << 20));
  unsigned round = 0;
  for (; round < 200000 && a.live_out + b.live_in > 0; round++) {
    end *both[2] = { &a, &b };
    for (int k = 0; k < 2; k++) {
      end *e = both[k];
      e->now += MSUB__MS / 10;
      control_out(e);
      for (unsigned i = 0; i < e->n; i++) {
        app *x = e->apps[(i + round) % e->n];
        while (data_out(x, 3000)) {}
        if (!x->echoes && x->sent == x->want) finish(x);
        if (x->echoes && x->s && x->echo <= 65536) msub__yamux_read(x->s);
        if (x->echoes && x->fin_seen && x->echo == 0) finish(x);
      }
      while (bytes_in(e->peer, 1000)) {}
    }
  }
  cr_assert(a.live_out == 0 && b.live_in == 0, "Y-10 no deadlock");
  for (unsigned i = 0; i < 64; i++) {
    app *x = a.apps[i];
    cr_assert(x->why == MSUB_OK && x->sent == 1 << 20 && x->got == 1 << 20, "Y-10 stream %u: %zu %zu", i,
              x->sent, x->got);
  }
  unpair(&a, &b);
}

/* Y-12: one stream that nobody reads and 63 that are read: these are not slowed down. */
Test(yamux_pair, one_slow_reader, .timeout = 120) {
  for (int slow = 0; slow < 2; slow++) {
    static end a, b;
    static unsigned rounds[2];
    pair(&a, &b, 200000, 7, false);
    for (unsigned i = 0; i < 64; i++) cr_assert_not_null(open_app(&a, i ? 1 << 19 : 1 << 21));
    for (rounds[slow] = 0; rounds[slow] < 100000; rounds[slow]++) {
      unsigned left = 0;
      control_out(&a);
      for (unsigned i = 0; i < a.n; i++) data_out(a.apps[(i + rounds[slow]) % a.n], 3000);
      for (unsigned i = 1; i < a.n; i++) left += !a.apps[i]->other || a.apps[i]->other->got < a.apps[i]->want;
      while (bytes_in(&b, 65536)) {}
      if (slow && a.apps[0]->other) a.apps[0]->other->paused = true;
      control_out(&b);
      while (bytes_in(&a, 65536)) {}
      check_counts(&b);
      if (left == 0) break;
    }
    if (slow) {
      msub__yamux_counts c;
      msub__yamux_count(b.y, &c);
      cr_assert(c.buffered <= MSUB__YAMUX_WINDOW_MAX, "Y-12 a stream keeps at most its window: %zu",
                c.buffered);
      cr_assert(rounds[1] < 2 * rounds[0] && rounds[1] < 99999, "Y-12 %u rounds, %u with a slow reader",
                rounds[0], rounds[1]);
    }
    unpair(&a, &b);
  }
}
