/* identify: any bytes as an answer of framed messages, as one message, and as a push; what is kept must be
 * encodable and come back. */
#include <stdlib.h>
#include <string.h>
#include "tests/fuzz/fuzz.h"
#include "wire/identify.h"

static int collect(const uint8_t *data, size_t n, size_t step, msub__identify **out) {
  msub__identify_reader r;
  int err = MSUB_OK;
  msub__identify_reader_init(&r, NULL);
  for (size_t at = 0; at < n && !err; at += step)
    err = msub__identify_reader_input(&r, (msub_bytes){ data + at, n - at < step ? n - at : step });
  if (!err) return msub__identify_reader_finish(&r, out);
  msub__identify_reader_fini(&r);
  return err;
}

static bool same_list(const msub_bytes *a, const msub_bytes *b, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (!msub_bytes_eq(a[i], b[i])) return false;
  }
  return true;
}

static void check(const msub__identify *id) {
  FUZZ_CHECK(id->n_protocols <= MSUB__IDENTIFY_PROTOCOLS_MAX && id->n_addrs <= MSUB__IDENTIFY_ADDRS_MAX);
  FUZZ_CHECK(id->agent.n <= MSUB__IDENTIFY_VERSION_MAX && id->block <= 2 * MSUB__IDENTIFY_MERGED_MAX);
  for (size_t i = 0; i < id->n_addrs; i++) FUZZ_CHECK(msub_multiaddr_check(id->addrs[i]) == MSUB_OK);
  static const uint8_t peer[38] = { 0, 36, 8, 1, 18, 32, 9 };
  msub_peer_record record;
  FUZZ_CHECK(msub__identify_record(id, (msub_bytes){ peer, 38 }, &record) != MSUB_OK);
  (void)msub__identify_key_ok(id, (msub_bytes){ peer, 38 });
  (void)msub__identify_observed(id);

  msub__identify_own own = { .key = id->key,
                             .observed = id->observed,
                             .protocol_version = id->protocol_version,
                             .agent = id->agent,
                             .record = id->record,
                             .protocols = id->protocols,
                             .addrs = id->addrs,
                             .n_protocols = id->n_protocols,
                             .n_addrs = id->n_addrs };
  uint8_t out[MSUB__IDENTIFY_OWN_MAX];
  int n = msub__identify_encode(NULL, &own, out, sizeof out);
  FUZZ_CHECK(n > 0 || n == MSUB_ERR_LIMIT);
  if (n < 0) return;
  msub__identify *again;
  FUZZ_CHECK(collect(out, (size_t)n, 100, &again) == MSUB_OK);
  FUZZ_CHECK(msub_bytes_eq(again->key, id->key) && msub_bytes_eq(again->record, id->record));
  FUZZ_CHECK(again->n_protocols == id->n_protocols &&
             same_list(again->protocols, id->protocols, id->n_protocols));
  FUZZ_CHECK(again->n_addrs <= id->n_addrs && same_list(again->addrs, id->addrs, again->n_addrs));
  msub__identify_free(NULL, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  msub__identify *whole = NULL, *bytes = NULL, *push = NULL, *merged = NULL;
  int a = collect(data, n, SIZE_MAX / 2, &whole), b = collect(data, n, 1, &bytes);
  FUZZ_CHECK(a == b);
  int c = msub__identify_decode(NULL, (msub_bytes){ data, n }, &push);
  if (!a) check(whole);
  if (!c) check(push);
  if (!c && msub__identify_merge(NULL, a ? NULL : whole, push, &merged) == MSUB_OK) {
    FUZZ_CHECK((merged->present & push->present) == push->present);
    check(merged);
  }
  msub__identify_free(NULL, whole);
  msub__identify_free(NULL, bytes);
  msub__identify_free(NULL, push);
  msub__identify_free(NULL, merged);
  return 0;
}
