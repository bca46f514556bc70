/* tests/fuzz/fuzz_multiaddr.c: the input as a binary multiaddr, as a peer id, and as text of both. What is
 * accepted comes back the same, and has one text and one binary form. */
#include <string.h>
#include "meshsub/peer_id.h"
#include "tests/fuzz/fuzz.h"

static void binary_address(msub_bytes in) {
  static char text[16 * MSUB_MULTIADDR_MAX];
  char small[32];
  msub_multiaddr back;
  msub_addr parts;
  int rc = msub_multiaddr_check(in);
  FUZZ_CHECK(msub_multiaddr_text(in, text, sizeof text) == rc);
  if (rc != MSUB_OK) {
    FUZZ_CHECK(msub_multiaddr_split(in, &parts) == MSUB_ERR_MALFORMED);
    return;
  }
  FUZZ_CHECK(msub_multiaddr_parse(text, &back) == MSUB_OK);
  FUZZ_CHECK(msub_bytes_eq((msub_bytes){ back.bytes, back.n }, in));
  rc = msub_multiaddr_text(in, small, sizeof small);
  FUZZ_CHECK(rc == (strlen(text) < sizeof small ? MSUB_OK : MSUB_ERR_LIMIT));

  rc = msub_multiaddr_split(in, &parts);
  FUZZ_CHECK(rc == MSUB_OK || rc == MSUB_ERR_UNSUPPORTED);
  if (rc == MSUB_OK) FUZZ_CHECK(parts.value.p > in.p && parts.value.p + parts.value.n <= in.p + in.n);
  static const uint8_t some_id[] = { 0, 1, 'x' };
  rc = msub_multiaddr_with_peer(&back, (msub_bytes){ some_id, sizeof some_id });
  FUZZ_CHECK(msub_multiaddr_check((msub_bytes){ back.bytes, back.n }) == MSUB_OK);
  FUZZ_CHECK(rc == MSUB_OK || msub_bytes_eq((msub_bytes){ back.bytes, back.n }, in));
}

static void text_address(const char *in) {
  static char text[16 * MSUB_MULTIADDR_MAX];
  msub_multiaddr a, b;
  if (msub_multiaddr_parse(in, &a) != MSUB_OK) return;
  FUZZ_CHECK(msub_multiaddr_text((msub_bytes){ a.bytes, a.n }, text, sizeof text) == MSUB_OK);
  FUZZ_CHECK(msub_multiaddr_parse(text, &b) == MSUB_OK);
  FUZZ_CHECK(a.n == b.n && memcmp(a.bytes, b.bytes, a.n) == 0);
}

static void peer_id(msub_bytes in, const char *in_text) {
  char text[MSUB_PEER_ID_TEXT];
  msub_peer_id id, back;
  msub_peer_id_text(in, text);
  if (msub_peer_id_check(in) == MSUB_OK) {
    FUZZ_CHECK(msub_peer_id_parse(text, &back) == MSUB_OK);
    FUZZ_CHECK(msub_bytes_eq(msub_peer_id_bytes(&back), in));
  }
  if (msub_peer_id_parse(in_text, &id) != MSUB_OK) return;
  FUZZ_CHECK(msub_peer_id_check(msub_peer_id_bytes(&id)) == MSUB_OK);
  FUZZ_CHECK(msub_peer_id_parse(msub_peer_id_text(msub_peer_id_bytes(&id), text), &back) == MSUB_OK);
  FUZZ_CHECK(msub_bytes_eq(msub_peer_id_bytes(&id), msub_peer_id_bytes(&back)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const msub_bytes in = { data, size };
  char *text = malloc(size + 1);
  if (!text) return 0;
  if (size > 0) memcpy(text, data, size);
  text[size] = 0;
  binary_address(in);
  text_address(text);
  peer_id(in, text);
  free(text);
  return 0;
}
