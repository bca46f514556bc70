/* wire/multistream.h: multistream-select 1.0 as two machines without I/O and without allocation: the side
 * that proposes (dialer) and the side that answers (listener). Source: multiformats multistream-select
 * specification. Both are carried the same way:
 *
 *   1. write what msub__mss_output() yields, whenever it yields something;
 *   2. show the machine all bytes that came and were not used yet; it answers with an event and with how
 *      many it used. Keep the rest and show it again in front of what comes next: a machine keeps no
 *      input. A line that is not whole uses nothing, so at most MSUB__MSS_LINE_MAX + 2 bytes have to be
 *      kept.
 *
 * On AGREED the bytes after those used belong to the protocol. Output that is still there on AGREED (a
 * listener's answer) must be written before the protocol's own. Give the whole a deadline:
 * a machine knows no time.
 *
 *   dialer     header, proposal ──►
 *              ◄── header, the proposal: AGREED
 *              ◄── header, "na": NEXT, the next proposal is in the output; FAILED, when there is none
 *   listener   ◄── header, proposals
 *              header, "na" for each that is not ours, at last the proposal: AGREED ──►
 */
#ifndef MSUB_WIRE_MULTISTREAM_H
#define MSUB_WIRE_MULTISTREAM_H
#include "wire/limits.h"

#define MSUB__MSS_HEADER "/multistream/1.0.0"

typedef enum msub__mss_event {
  MSUB__MSS_MORE,   /* nothing decided: come back with more bytes */
  MSUB__MSS_NEXT,   /* dialer: refused; the next proposal is in the output. Call again: input may be left */
  MSUB__MSS_AGREED, /* dialer: on proposal `index`. Listener: on the token that `accepts` said yes to */
  MSUB__MSS_FAILED  /* see `why`; reset the stream or close the connection at once, never wait */
} msub__mss_event;

/* Members are read-only. `index`: the proposal under way (dialer), proposals answered so far (listener). */
typedef struct msub__mss {
  const msub_bytes *proposals;                 /* dialer */
  bool (*accepts)(void *ud, msub_bytes token); /* listener */
  void *ud;
  const char *why; /* static text, when FAILED */
  uint8_t state, index, n;
  bool header_seen;
  uint16_t out_at, out_n;
  uint8_t out[256]; /* header, 16 times "na" and one answer fit: never more than that is pending */
} msub__mss;

/* Proposes `proposals` in this order. The array and its texts stay the caller's and must outlive the
 * negotiation. INVAL: none, more than MSUB__MSS_PROPOSALS_MAX, an empty one, one longer than
 * MSUB__MSS_TOKEN_MAX, or one with a newline in it. Header and first proposal are in the output at once, in
 * one piece. */
MSUB_MUST int msub__mss_dial(msub__mss *m, const msub_bytes *proposals, size_t n);
/* Whether the protocol's own bytes may follow the proposal without waiting for the answer: with one proposal
 * only. If it is refused the stream fails, so nothing that was sent early can reach another protocol. */
static inline bool msub__mss_may_send_early(const msub__mss *m) { return m->n == 1; }

/* Answers. `accepts` is asked once per proposal, with a view of the token without its newline, and must not
 * call the machine; the token it says yes to is agreed. "ls" and tokens longer than MSUB__MSS_TOKEN_MAX are
 * refused without asking. */
void msub__mss_listen(msub__mss *m, bool (*accepts)(void *ud, msub_bytes token), void *ud);

/* One step: *used bytes of `in` are done with (set in every case). After AGREED and FAILED every call answers
 * the same. */
msub__mss_event msub__mss_input(msub__mss *m, msub_bytes in, size_t *used);

/* Moves up to cap bytes of pending output to `out`; returns how many. Never fails. */
size_t msub__mss_output(msub__mss *m, uint8_t *out, size_t cap);
static inline size_t msub__mss_pending(const msub__mss *m) { return (size_t)m->out_n - m->out_at; }

/* One message (length, token, newline) for fixed exchanges and tests. Returns the length needed; writes when
 * cap suffices. */
size_t msub__mss_encode(msub_bytes token, uint8_t *out, size_t cap);
#endif
