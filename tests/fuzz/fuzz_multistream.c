/* Both multistream machines on any bytes. The first byte picks the role; the rest comes in one piece, byte by
 * byte and with the output drained or not, and all must judge alike. */
#include <string.h>
#include "tests/fuzz/fuzz.h"
#include "wire/multistream.h"

static bool accepts(void *ud, msub_bytes token) {
  (void)ud;
  return token.n > 2 && token.p[1] == 'm';
}

typedef struct result {
  msub__mss_event event;
  size_t used, index;
} result;

static result run(const uint8_t *data, size_t n, unsigned role, size_t step, bool drain) {
  static const msub_bytes proposals[] = { { (const uint8_t *)"/meshsub/1.2.0", 14 },
                                          { (const uint8_t *)"/meshsub/1.1.0", 14 },
                                          { (const uint8_t *)"/floodsub/1.0.0", 15 } };
  msub__mss m;
  result r = { MSUB__MSS_MORE, 0, 0 };
  uint8_t out[64];
  if (role == 0)
    msub__mss_listen(&m, accepts, NULL);
  else
    FUZZ_CHECK(msub__mss_dial(&m, proposals, role) == MSUB_OK);
  size_t have = 0;
  do {
    have = n - have < step ? n : have + step;
    do {
      size_t used;
      if (drain) {
        while (msub__mss_output(&m, out, sizeof out) > 0) {}
      }
      r.event = msub__mss_input(&m, (msub_bytes){ data + r.used, have - r.used }, &used);
      FUZZ_CHECK(used <= have - r.used);
      r.used += used;
      FUZZ_CHECK(m.index <= MSUB__MSS_PROPOSALS_MAX && msub__mss_pending(&m) <= sizeof m.out);
      FUZZ_CHECK((r.event == MSUB__MSS_FAILED) == (m.why != NULL));
    } while (r.event == MSUB__MSS_NEXT);
    FUZZ_CHECK(r.event != MSUB__MSS_MORE || have - r.used <= MSUB__MSS_LINE_MAX + 2);
  } while (r.event == MSUB__MSS_MORE && have < n);
  r.index = m.index;
  return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  if (n < 1) return 0;
  unsigned role = data[0] % 4;
  for (int drain = 0; drain < 2; drain++) {
    result whole = run(data + 1, n - 1, role, SIZE_MAX, drain), bytes = run(data + 1, n - 1, role, 1, drain);
    FUZZ_CHECK(whole.event == bytes.event && whole.index == bytes.index);
    FUZZ_CHECK(whole.event == MSUB__MSS_FAILED || whole.used == bytes.used);
  }
  return 0;
}
