/* multistream-select: both machines against each other and against hostile input. Ids in the messages are
 * rows of the project's list of known mistakes in this protocol. */
#include <criterion/criterion.h>
#include <string.h>
#include "wire/multistream.h"

static msub_bytes str(const char *s) { return (msub_bytes){ (const uint8_t *)s, strlen(s) }; }

/* A growing piece of input. */
typedef struct script {
  uint8_t p[65536];
  size_t n;
} script;
static script *put(script *s, const char *token) {
  s->n += msub__mss_encode(str(token), s->p + s->n, sizeof s->p - s->n);
  return s;
}
static script *raw(script *s, const void *p, size_t n) {
  memcpy(s->p + s->n, p, n);
  s->n += n;
  return s;
}

static const char *accepted;
static unsigned asked;
static bool accepts(void *ud, msub_bytes token) {
  (void)ud;
  asked++;
  return accepted && token.n == strlen(accepted) && memcmp(token.p, accepted, token.n) == 0;
}

/* Shows `in` as a caller does: what was not used is shown again with `step` more bytes. Returns the last
 * event. */
static msub__mss_event feed(msub__mss *m, const script *in, size_t step, size_t *used) {
  msub__mss_event e = MSUB__MSS_MORE;
  *used = 0;
  for (size_t have = step < in->n ? step : in->n;; have = have + step < in->n ? have + step : in->n) {
    size_t n;
    e = msub__mss_input(m, (msub_bytes){ in->p + *used, have - *used }, &n);
    cr_assert(n <= have - *used, "used more than there is");
    *used += n;
    cr_assert(e != MSUB__MSS_MORE || have - *used <= MSUB__MSS_LINE_MAX + 2, "a caller must keep too much");
    if (e != MSUB__MSS_MORE || have == in->n) return e;
  }
}

static size_t drain(msub__mss *m, script *out) {
  size_t n = msub__mss_output(m, out->p + out->n, sizeof out->p - out->n);
  out->n += n;
  return n;
}

static bool output_is(msub__mss *m, const script *want) {
  script got = { .n = 0 };
  drain(m, &got);
  return got.n == want->n && memcmp(got.p, want->p, got.n) == 0;
}

Test(multistream, both_machines_agree) {
  static const char *const names[] = { "/a/1.0.0", "/b/1.0.0", "/c/1.0.0", "/d/1.0.0" };
  static const size_t steps[] = { 1, 2, 3, 7, 1000 };
  msub_bytes proposals[4];
  for (size_t i = 0; i < 4; i++) proposals[i] = str(names[i]);
  for (size_t n = 1; n <= 4; n++) {
    for (size_t hit = 0; hit <= n; hit++) {
      for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
        msub__mss d, l;
        script to_l = { .n = 0 }, to_d = { .n = 0 };
        size_t at_l = 0, at_d = 0, used;
        msub__mss_event ed = MSUB__MSS_MORE, el = MSUB__MSS_MORE;
        accepted = hit < n ? names[hit] : NULL;
        cr_assert_eq(msub__mss_dial(&d, proposals, n), MSUB_OK);
        msub__mss_listen(&l, accepts, NULL);
        for (int round = 0; round < 200 && ed != MSUB__MSS_FAILED && !(ed == MSUB__MSS_AGREED && el == ed);
             round++) {
          drain(&d, &to_l);
          size_t have = at_l + steps[k] * (size_t)(round + 1);
          if (have > to_l.n) have = to_l.n;
          el = msub__mss_input(&l, (msub_bytes){ to_l.p + at_l, have - at_l }, &used);
          at_l += used;
          drain(&l, &to_d);
          ed = msub__mss_input(&d, (msub_bytes){ to_d.p + at_d, to_d.n - at_d }, &used);
          at_d += used;
        }
        if (hit < n) {
          cr_assert(ed == MSUB__MSS_AGREED && el == MSUB__MSS_AGREED && d.index == hit,
                    "n %zu hit %zu step %zu", n, hit, steps[k]);
          cr_assert(at_l == to_l.n && at_d == to_d.n);
        } else {
          cr_assert(ed == MSUB__MSS_FAILED && el == MSUB__MSS_MORE, "nothing in common: the dialer fails");
        }
      }
    }
  }
}

Test(multistream, dialer) {
  msub_bytes one[] = { str("/meshsub/1.1.0") }, two[] = { str("/meshsub/1.2.0"), str("/meshsub/1.1.0") };
  msub__mss m;
  script in, want;
  size_t used;

  cr_assert_eq(msub__mss_dial(&m, one, 0), MSUB_ERR_INVAL);
  cr_assert_eq(msub__mss_dial(&m, (msub_bytes[]){ str("") }, 1), MSUB_ERR_INVAL);
  cr_assert_eq(msub__mss_dial(&m, (msub_bytes[]){ str("/a\n/b") }, 1), MSUB_ERR_INVAL);
  char longest[MSUB__MSS_TOKEN_MAX + 2];
  memset(longest, 'x', sizeof longest);
  longest[MSUB__MSS_TOKEN_MAX + 1] = 0;
  cr_assert_eq(msub__mss_dial(&m, (msub_bytes[]){ str(longest) }, 1), MSUB_ERR_INVAL);
  longest[MSUB__MSS_TOKEN_MAX] = 0;
  cr_assert_eq(msub__mss_dial(&m, (msub_bytes[]){ str(longest) }, 1), MSUB_OK);
  want.n = 0;
  cr_assert(output_is(&m, put(put(&want, MSUB__MSS_HEADER), longest)), "length in two bytes");

  /* header and proposal leave in one flight; the rest after the acceptance is the protocol's */
  for (size_t step = 1; step < 60; step++) {
    cr_assert_eq(msub__mss_dial(&m, one, 1), MSUB_OK);
    cr_assert(msub__mss_may_send_early(&m));
    want.n = 0;
    cr_assert(output_is(&m, put(put(&want, MSUB__MSS_HEADER), "/meshsub/1.1.0")));
    in.n = 0;
    put(put(&in, MSUB__MSS_HEADER), "/meshsub/1.1.0");
    size_t negotiated = in.n;
    raw(&in, "\x05hello", 6);
    cr_assert_eq(feed(&m, &in, step, &used), MSUB__MSS_AGREED);
    cr_assert_eq(used, negotiated, "bytes after the token are handed back");
    cr_assert_eq(msub__mss_input(&m, (msub_bytes){ in.p + used, 6 }, &used), MSUB__MSS_AGREED);
    cr_assert_eq(used, 0);
  }

  /* M-03: early data and then na: the stream fails, nothing that was sent early reaches another protocol */
  cr_assert_eq(msub__mss_dial(&m, one, 1), MSUB_OK);
  want.n = in.n = 0;
  drain(&m, &want);
  cr_assert_eq(feed(&m, put(put(&in, MSUB__MSS_HEADER), "na"), 1000, &used), MSUB__MSS_FAILED, "M-03");
  cr_assert_eq(msub__mss_dial(&m, two, 2), MSUB_OK);
  cr_assert(!msub__mss_may_send_early(&m), "M-03: with two proposals nothing may be sent early");

  /* na: the next proposal, and only then */
  want.n = in.n = 0;
  cr_assert(output_is(&m, put(put(&want, MSUB__MSS_HEADER), "/meshsub/1.2.0")), "one proposal at a time");
  cr_assert_eq(feed(&m, put(put(&in, MSUB__MSS_HEADER), "na"), 1000, &used), MSUB__MSS_NEXT);
  want.n = in.n = 0;
  cr_assert(output_is(&m, put(&want, "/meshsub/1.1.0")));
  cr_assert_eq(feed(&m, put(&in, "na"), 1000, &used), MSUB__MSS_FAILED,
               "M-07: fails at once, waits for nobody");
  cr_assert_eq(msub__mss_input(&m, (msub_bytes){ in.p, in.n }, &used), MSUB__MSS_FAILED, "stays failed");
  cr_assert_not_null(m.why);

  static const struct {
    const char *id, *lines[4];
    bool drained;
  } bad[] = {
    { "M-05 wrong header", { "/multistream/2.0.0" }, true },
    { "M-05 no header", { "/meshsub/1.2.0" }, true },
    { "M-05 header twice", { MSUB__MSS_HEADER, MSUB__MSS_HEADER }, true },
    { "M-02 an answer to nothing", { MSUB__MSS_HEADER, "/x" }, true },
    { "M-02 the other proposal", { MSUB__MSS_HEADER, "/meshsub/1.1.0" }, true },
    { "M-06 answers before the question", { MSUB__MSS_HEADER, "na", "na", "na" }, false },
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    for (size_t step = 1; step < 40; step += 13) {
      cr_assert_eq(msub__mss_dial(&m, two, 2), MSUB_OK);
      want.n = in.n = 0;
      if (bad[i].drained) drain(&m, &want);
      for (size_t k = 0; k < 4 && bad[i].lines[k]; k++) put(&in, bad[i].lines[k]);
      cr_assert_eq(feed(&m, &in, step, &used), MSUB__MSS_FAILED, "%s", bad[i].id);
    }
  }
}

/* A stream negotiates one protocol: what follows the agreement is that protocol's, even if it looks like a negotiation, and nothing is
 * proposed inside what was sent early. */
Test(multistream, M_04_no_negotiation_inside_another) {
  static const char id[] = "/meshsub/1.1.0";
  accepted = id;
  for (size_t step = 1; step < 90; step++)
    for (unsigned dials = 0; dials < 2; dials++) {
      msub__mss m;
      msub_bytes one = str(id);
      script in = { .n = 0 }, out = { .n = 0 };
      size_t used, more;
      if (dials) {
        cr_assert_eq(msub__mss_dial(&m, &one, 1), MSUB_OK);
        drain(&m, &out);
      } else msub__mss_listen(&m, accepts, NULL);
      put(put(&in, MSUB__MSS_HEADER), id);
      size_t negotiated = in.n;
      put(put(put(&in, MSUB__MSS_HEADER), "/noise"), id);
      asked = 0;
      cr_assert_eq(feed(&m, &in, step, &used), MSUB__MSS_AGREED);
      cr_assert_eq(used, negotiated);
      cr_assert_eq(msub__mss_input(&m, (msub_bytes){ in.p + used, in.n - used }, &more), MSUB__MSS_AGREED);
      cr_assert(more == 0 && asked == !dials, "it has its protocol, and looks at nothing more");
      out.n = 0;
      drain(&m, &out);
      if (dials) cr_assert_eq(out.n, 0, "nor says anything");
      else cr_assert_eq(out.n, negotiated, "but its one answer");
    }
}

Test(multistream, listener) {
  msub__mss m;
  script in, want;
  size_t used;
  accepted = "/meshsub/1.1.0";

  for (size_t step = 1; step < 70; step++) {
    msub__mss_listen(&m, accepts, NULL);
    in.n = want.n = 0;
    put(put(put(put(&in, MSUB__MSS_HEADER), "/meshsub/1.3.0"), "ls"), "/meshsub/1.1.0");
    size_t negotiated = in.n;
    raw(&in, "early", 5);
    asked = 0;
    cr_assert_eq(feed(&m, &in, step, &used), MSUB__MSS_AGREED);
    cr_assert_eq(used, negotiated, "optimistic bytes are handed back");
    cr_assert_eq(asked, 2, "M-01: ls is no proposal");
    cr_assert(output_is(&m, put(put(put(put(&want, MSUB__MSS_HEADER), "na"), "na"), accepted)),
              "M-01: ls gets na");
  }

  /* M-06: 16 proposals, not 17; all answers fit the output although nothing was drained */
  for (unsigned n = 15; n <= 17; n++) {
    msub__mss_listen(&m, accepts, NULL);
    in.n = 0;
    put(&in, MSUB__MSS_HEADER);
    for (unsigned i = 0; i < n; i++) put(&in, "/x");
    cr_assert_eq(feed(&m, &in, 1000, &used), n <= 16 ? MSUB__MSS_MORE : MSUB__MSS_FAILED, "M-06: %u", n);
  }
  char longest[MSUB__MSS_TOKEN_MAX + 1];
  memset(longest, 'x', sizeof longest);
  longest[MSUB__MSS_TOKEN_MAX] = 0;
  msub__mss_listen(&m, accepts, NULL);
  in.n = want.n = 0;
  put(&in, MSUB__MSS_HEADER);
  put(&want, MSUB__MSS_HEADER);
  for (unsigned i = 0; i < 15; i++) {
    put(&in, "ls");
    put(&want, "na");
  }
  put(&in, longest);
  put(&want, longest);
  accepted = longest;
  cr_assert_eq(feed(&m, &in, 1000, &used), MSUB__MSS_AGREED);
  cr_assert(output_is(&m, &want), "the longest legal negotiation fits the output");

  static const struct {
    const char *id, *lines[4];
  } bad[] = {
    { "M-05 wrong header", { "/multistream/1.0.1" } },
    { "M-05 proposal without header", { "/meshsub/1.1.0" } },
    { "M-05 na without header", { "na" } },
    { "M-05 header twice", { MSUB__MSS_HEADER, MSUB__MSS_HEADER } },
    { "M-05 header later", { MSUB__MSS_HEADER, "/x", MSUB__MSS_HEADER } },
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    msub__mss_listen(&m, accepts, NULL);
    in.n = 0;
    for (size_t k = 0; k < 4 && bad[i].lines[k]; k++) put(&in, bad[i].lines[k]);
    cr_assert_eq(feed(&m, &in, 1, &used), MSUB__MSS_FAILED, "%s", bad[i].id);
  }
}

/* M-01, M-02: every form of length and line, for both machines, in one piece and byte by byte. */
Test(multistream, lines) {
  static const struct {
    const char *what;
    size_t line;
    const char *prefix;
    size_t prefix_n;
    bool newline, ok;
  } cases[] = {
    { "M-02 empty message", 0, "\x00", 1, false, false },
    { "M-01 one byte: the newline alone", 1, "\x01", 1, true, true },
    { "M-02 without newline", 5, "\x05", 1, false, false },
    { "M-01 127", 127, "\x7f", 1, true, true },
    { "M-01 128", 128, "\x80\x01", 2, true, true },
    { "M-01 1023", 1023, "\xff\x07", 2, true, true },
    { "M-01 1024", 1024, "\x80\x08", 2, true, true },
    { "M-01 1024 without newline", 1024, "\x80\x08", 2, false, false },
    { "M-01 1025", 1025, "\x81\x08", 2, true, false },
    { "M-01 2^14", 16384, "\x80\x80\x01", 3, true, false },
    { "M-01 padded in two bytes", 3, "\x83\x00", 2, true, false },
    { "M-01 padded in three bytes", 3, "\x83\x80\x00", 3, true, false },
    { "M-01 ten bytes", 3, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, true, false },
    { "M-01 eleven bytes", 3, "\x83\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11, true, false },
  };
  accepted = NULL;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    for (int byte_by_byte = 0; byte_by_byte < 2; byte_by_byte++) {
      msub__mss m;
      static script in;
      size_t used;
      in.n = 0;
      put(&in, MSUB__MSS_HEADER);
      raw(&in, cases[i].prefix, cases[i].prefix_n);
      memset(in.p + in.n, 'a', cases[i].line);
      in.n += cases[i].line;
      if (cases[i].newline) in.p[in.n - 1] = '\n';
      msub__mss_listen(&m, accepts, NULL);
      msub__mss_event e = feed(&m, &in, byte_by_byte ? 1 : 100000, &used);
      cr_assert_eq(e, cases[i].ok ? MSUB__MSS_MORE : MSUB__MSS_FAILED, "%s", cases[i].what);
      cr_assert(!cases[i].ok || used == in.n, "%s", cases[i].what);
    }
  }
}
