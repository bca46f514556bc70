/* tests/fuzz/fuzz_book_value.c: what a host's store holds of a peer (host/book_value.c), as a failing disk or another program may have
 * left it: a byte with the length of the key, the key, and the value.
 *
 * What is read is within its bounds, lies inside the input, and written again is the same bytes. */
#include <string.h>
#include "host/book_value.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static msub__book_value v;
  uint8_t key[MSUB__BOOK_KEY_MAX], value[MSUB__BOOK_VALUE_MAX];
  size_t n = size > 0 ? data[0] : 0;
  if (size == 0 || n > size - 1) return 0;
  const msub_bytes k = { data + 1, n }, in = { data + 1 + n, size - 1 - n };
  if (!msub__book_value_read(k, in, &v)) return 0;
  FUZZ_CHECK(v.n >= 1 && v.n <= MSUB__HOST_BOOK_ADDRS && msub_peer_id_check(msub_peer_id_bytes(&v.id)) == MSUB_OK);
  FUZZ_CHECK(v.record.n <= MSUB__HOST_BOOK_RECORD && (v.record.n == 0 || v.record.p + v.record.n == data + size));
  for (unsigned i = 0; i < v.n; i++) {
    FUZZ_CHECK((v.addrs[i].at.n == 4 || v.addrs[i].at.n == 16) && v.addrs[i].at.port != 0 && (v.addrs[i].said || v.addrs[i].proved));
    FUZZ_CHECK(!v.addrs[i].is_signed || (v.addrs[i].said && v.record.n > 0));
  }
  const msub_bytes key_again = { key, msub__book_value_key(&v.id, key) }, again = { value, msub__book_value_write(&v, value) };
  FUZZ_CHECK(key_again.n <= sizeof key && again.n <= sizeof value && msub_bytes_eq(key_again, k) && msub_bytes_eq(again, in));
  return 0;
}
