/* tests/fuzz/fuzz_ipns.c: the input as a record of the name that its first byte chooses, and as DAG-CBOR. What a record says points into the
 * input; what is strict stays strict when it is read without minding the order of keys. */
#include <string.h>
#include "meshsub/dag_cbor.h"
#include "meshsub/ipns.h"
#include "tests/fuzz/fuzz.h"

static void inside(msub_bytes in, msub_bytes part) { FUZZ_CHECK(part.n == 0 || (part.p >= in.p && part.p + part.n <= in.p + in.n)); }

static void cbor(msub_bytes in) {
  int sorted = msub_cbor_check(in, true), any = msub_cbor_check(in, false);
  FUZZ_CHECK(sorted != MSUB_OK || any == MSUB_OK);
  msub_bytes rest = in, whole;
  if (msub_cbor_skip(&rest, false, &whole) != MSUB_OK) return;
  FUZZ_CHECK(whole.p == in.p && whole.n + rest.n == in.n && whole.n > 0);
  msub_cbor_item i;
  for (msub_bytes at = whole; at.n; inside(in, i.bytes)) FUZZ_CHECK(msub_cbor_next(&at, &i) == MSUB_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  /* Of the keys ed_a of tests/vectors/ipns.json, and of nobody: sha2-256 of nothing that is known. */
  static const uint8_t inlined[] = { 0x00, 0x24, 0x08, 0x01, 0x12, 0x20, 0x1e, 0xd1, 0xe8, 0xfa, 0xe2, 0xc4, 0xa1, 0x44, 0xb8, 0xbe, 0x8f, 0xd4, 0xb4,
                                     0x7b, 0xf3, 0xd3, 0xb3, 0x4b, 0x87, 0x1c, 0x3c, 0xac, 0xf6, 0x01, 0x0f, 0x0e, 0x42, 0xd4, 0x74, 0xfc, 0xe2, 0x7e };
  static const uint8_t hashed[34] = { 0x12, 0x20, 1, 2, 3 };
  if (size == 0) return 0;
  msub_bytes in = { data + 1, size - 1 }, name = { inlined, sizeof inlined };
  if (data[0] & 1) name = (msub_bytes){ hashed, sizeof hashed };
  msub_ipns_record r;
  msub_ipns_fault f = msub_ipns_verify(name, in, 0, 0, &r);
  if (f == MSUB_IPNS_OK || f == MSUB_IPNS_EXPIRED) {
    inside(in, r.value);
    inside(in, r.validity);
    inside(in, r.data);
    inside(in, r.signature);
    FUZZ_CHECK(msub_ipns_order(&r, &r) == 0);
  }
  FUZZ_CHECK(*msub_ipns_fault_text(f));
  msub_ipns_time t;
  char text[31];
  if (msub_ipns_time_parse(in, &t) == MSUB_OK && msub_ipns_time_text(t, text) == MSUB_OK) {
    msub_ipns_time back;
    FUZZ_CHECK(msub_ipns_time_parse(msub_str(text), &back) == MSUB_OK && back.s == t.s && back.ns == t.ns);
  }
  cbor(in);
  return 0;
}
