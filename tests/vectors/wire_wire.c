/* tests/vectors/wire_wire.c: the Noise payload and multistream entries of wire.json, both ways. */
#include <sodium.h>
#include <string.h>
#include "tests/vectors/vectors.h"
#include "wire/multistream.h"
#include "wire/noise_payload.h"

static void done(vec_tally *t, const char *name, bool ok) {
  json_t *c = json_pack("{s:s}", "name", name);
  vec_case(t, c, ok, "differs");
  json_decref(c);
}

static bool any(void *ud, msub_bytes token) {
  (void)ud, (void)token;
  return true;
}

/* The token encodes to the vector, and the vector is read as the token. */
static bool line(const char *token, const json_t *hex) {
  msub_bytes want = vec_bytes(hex), it = msub_str(token), header;
  uint8_t out[64], first[64];
  msub__mss m;
  size_t used, n = msub__mss_encode(it, out, sizeof out);
  bool ok = n <= sizeof out && msub_bytes_eq((msub_bytes){ out, n }, want);
  header = (msub_bytes){ first, msub__mss_encode(msub_str(MSUB__MSS_HEADER), first, sizeof first) };
  msub__mss_listen(&m, any, NULL);
  bool is_header = strcmp(token, MSUB__MSS_HEADER) == 0, is_list = strcmp(token, "ls") == 0;
  if (!is_header) ok = ok && msub__mss_input(&m, header, &used) == MSUB__MSS_MORE && used == header.n;
  msub__mss_event e = is_header || is_list ? MSUB__MSS_MORE : MSUB__MSS_AGREED;
  ok = ok && msub__mss_input(&m, want, &used) == e && used == want.n;
  vec_free(want);
  return ok;
}

static bool payload(const json_t *hex, msub_bytes static_key, msub_bytes signature, bool muxer) {
  uint64_t memory[MSUB__NOISE_PAYLOAD_ARENA / 8];
  uint8_t out[512];
  msub__noise_payload p;
  msub_bytes in = vec_bytes(hex);
  bool ok = msub__noise_payload_parse(in, memory, &p) == MSUB_OK && p.n_muxers == (muxer ? 1u : 0u);
  ok = ok && (!muxer || msub_bytes_eq(p.muxers[0], msub_str("/yamux/1.0.0")));
  ok = ok && msub_bytes_eq(p.signature, signature) && msub__noise_check_static(&p, static_key.p, MSUB_RSA_BITS) == MSUB_OK;
  size_t n = msub__noise_payload_encode(&p, out, sizeof out);
  ok = ok && n <= sizeof out && msub_bytes_eq((msub_bytes){ out, n }, in);
  vec_free(in);
  return ok;
}

int main(void) {
  vec_tally t = { .file = "wire.json" };
  json_t *root = vec_load(t.file), *noise = json_object_get(root, "noise_payload"), *hex;
  const char *token;
  json_object_foreach(json_object_get(root, "multistream"), token, hex) done(&t, token, line(token, hex));

  msub_bytes secret = vec_bytes(json_object_get(noise, "static_private"));
  msub_bytes public_key = vec_bytes(json_object_get(noise, "static_public"));
  msub_bytes signature = vec_bytes(json_object_get(noise, "signature"));
  uint8_t derived[32];
  done(&t, "noise static_public",
       secret.n == 32 && crypto_scalarmult_curve25519_base(derived, secret.p) == 0 &&
           msub_bytes_eq((msub_bytes){ derived, 32 }, public_key));
  done(&t, "noise payload", payload(json_object_get(noise, "payload"), public_key, signature, false));
  done(&t, "noise payload_with_yamux",
       payload(json_object_get(noise, "payload_with_yamux"), public_key, signature, true));
  vec_free(secret);
  vec_free(public_key);
  vec_free(signature);
  json_decref(root);
  return vec_end(&t);
}
