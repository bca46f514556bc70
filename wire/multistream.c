/* wire/multistream.c: see multistream.h. Lines are judged in the caller's buffer; only answers have a buffer
 * here. */
#include "wire/multistream.h"
#include "base/assert.h"
#include <string.h>

enum { DIAL_WAIT, LISTEN_WAIT, AGREED, FAILED };

static const msub_bytes header = { (const uint8_t *)MSUB__MSS_HEADER, sizeof MSUB__MSS_HEADER - 1 };
static const msub_bytes not_available = { (const uint8_t *)"na", 2 };
static const msub_bytes list = { (const uint8_t *)"ls", 2 };

/* Header, every "na" and the longest answer: what a listener may have pending at most. A dialer has less. */
_Static_assert(sizeof((msub__mss *)0)->out >= 20 + 4 * MSUB__MSS_PROPOSALS_MAX + MSUB__MSS_TOKEN_MAX + 3,
               "the output must hold a whole negotiation");
_Static_assert(MSUB__MSS_LINE_MAX < 1u << 14, "two bytes of length are enough");

static bool same(msub_bytes a, msub_bytes b) { return a.n == b.n && memcmp(a.p, b.p, a.n) == 0; }

size_t msub__mss_encode(msub_bytes token, uint8_t *out, size_t cap) {
  size_t line = token.n + 1, at = 0, need = line + (line < 128 ? 1 : 2);
  MSUB__INVARIANT(line <= MSUB__MSS_LINE_MAX);
  if (cap < need) return need;
  if (line < 128) {
    out[at++] = (uint8_t)line;
  } else {
    out[at++] = (uint8_t)(line | 0x80);
    out[at++] = (uint8_t)(line >> 7);
  }
  memcpy(out + at, token.p, token.n);
  out[at + token.n] = '\n';
  return need;
}

static void queue(msub__mss *m, msub_bytes token) {
  if (m->out_at == m->out_n) m->out_at = m->out_n = 0;
  size_t n = msub__mss_encode(token, m->out + m->out_n, sizeof m->out - m->out_n);
  MSUB__INVARIANT(n <= sizeof m->out - m->out_n);
  m->out_n = (uint16_t)(m->out_n + n);
}

static msub__mss_event fail(msub__mss *m, const char *why) {
  m->state = FAILED;
  m->why = why;
  return MSUB__MSS_FAILED;
}

int msub__mss_dial(msub__mss *m, const msub_bytes *proposals, size_t n) {
  if (n == 0 || n > MSUB__MSS_PROPOSALS_MAX) return MSUB_ERR_INVAL;
  for (size_t i = 0; i < n; i++) {
    msub_bytes p = proposals[i];
    if (p.n == 0 || p.n > MSUB__MSS_TOKEN_MAX || memchr(p.p, '\n', p.n)) return MSUB_ERR_INVAL;
  }
  *m = (msub__mss){ .proposals = proposals, .n = (uint8_t)n, .state = DIAL_WAIT };
  queue(m, header);
  queue(m, proposals[0]);
  return MSUB_OK;
}

void msub__mss_listen(msub__mss *m, bool (*accepts)(void *ud, msub_bytes token), void *ud) {
  *m = (msub__mss){ .accepts = accepts, .ud = ud, .state = LISTEN_WAIT };
  queue(m, header);
}

/* The line at the front of `in`: bytes it takes with its length, 0: not whole yet, -1: malformed (m->why is
 * set). */
static int line_at(msub__mss *m, msub_bytes in, msub_bytes *token) {
  if (in.n == 0) return 0;
  size_t n = in.p[0], at = 1;
  if (n & 0x80) {
    if (in.n < 2) return 0;
    /* a third byte would mean 16384 or more; a zero one says what one byte less says */
    if (in.p[1] & 0x80) return fail(m, "a line is longer than 1024 bytes"), -1;
    if (in.p[1] == 0) return fail(m, "a length is not minimal"), -1;
    n = (n & 0x7f) | (size_t)in.p[1] << 7;
    at = 2;
  }
  if (n == 0) return fail(m, "an empty line"), -1;
  if (n > MSUB__MSS_LINE_MAX) return fail(m, "a line is longer than 1024 bytes"), -1;
  if (in.n - at < n) return 0;
  if (in.p[at + n - 1] != '\n') return fail(m, "a line without newline"), -1;
  *token = (msub_bytes){ in.p + at, n - 1 };
  return (int)(at + n);
}

static msub__mss_event answered(msub__mss *m, msub_bytes token) {
  /* An answer to a proposal that has not left yet was made up; taking it could also overfill the output. */
  if (msub__mss_pending(m) > 0) return fail(m, "an answer came before the proposal was sent");
  if (same(token, m->proposals[m->index])) {
    m->state = AGREED;
    return MSUB__MSS_AGREED;
  }
  if (!same(token, not_available)) return fail(m, "the answer is neither the proposal nor na");
  if (m->index + 1 == m->n) return fail(m, "every proposal was refused");
  m->index++;
  queue(m, m->proposals[m->index]);
  return MSUB__MSS_NEXT;
}

static msub__mss_event proposed(msub__mss *m, msub_bytes token) {
  if (same(token, header)) return fail(m, "the header came twice");
  if (m->index == MSUB__MSS_PROPOSALS_MAX) return fail(m, "more than 16 proposals");
  m->index++;
  if (token.n <= MSUB__MSS_TOKEN_MAX && !same(token, list) && m->accepts(m->ud, token)) {
    queue(m, token);
    m->state = AGREED;
    return MSUB__MSS_AGREED;
  }
  queue(m, not_available);
  return MSUB__MSS_MORE;
}

msub__mss_event msub__mss_input(msub__mss *m, msub_bytes in, size_t *used) {
  *used = 0;
  if (m->state == AGREED) return MSUB__MSS_AGREED;
  if (m->state == FAILED) return MSUB__MSS_FAILED;
  for (;;) {
    msub_bytes token;
    int n = line_at(m, (msub_bytes){ in.p + *used, in.n - *used }, &token);
    if (n < 0) return MSUB__MSS_FAILED;
    if (n == 0) return MSUB__MSS_MORE;
    *used += (size_t)n;
    if (!m->header_seen) {
      if (!same(token, header)) return fail(m, "the first line is not /multistream/1.0.0");
      m->header_seen = true;
      continue;
    }
    msub__mss_event e = m->state == DIAL_WAIT ? answered(m, token) : proposed(m, token);
    if (e != MSUB__MSS_MORE) return e;
  }
}

size_t msub__mss_output(msub__mss *m, uint8_t *out, size_t cap) {
  size_t n = msub__mss_pending(m);
  if (n > cap) n = cap;
  if (n == 0) return 0;
  memcpy(out, m->out + m->out_at, n);
  m->out_at = (uint16_t)(m->out_at + n);
  return n;
}
