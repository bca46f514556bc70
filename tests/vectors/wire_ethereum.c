/* tests/vectors/wire_ethereum.c: the message ids of wire.json under examples/ethereum_profile.h; and that its payloads come
 * back, or are refused before anything is allocated for them. */
#include "examples/ethereum_profile.h"
#include "tests/vectors/vectors.h"

static size_t id_of(msub_bytes topic, msub_bytes data, uint8_t out[MSUB_MAX_ID]) {
  msub_msg_view v = { .data = data, .topic = topic, .present = MSUB_HAS_DATA | MSUB_HAS_TOPIC };
  size_t n = msub_msg_encode(&v, NULL, 0);
  uint8_t *wire = malloc(n);
  if (!wire) abort();
  msub_msg_encode(&v, wire, n);
  msub_msg_borrowed m = { .m = { .wire_n = (uint32_t)n, .borrowed = true }, .wire = wire };
  n = ethereum_message_id(&m.m, out);
  free(wire);
  return n;
}

/* Out and in again, through buffers that are too small first; *block: freed by the caller. */
static bool there_and_back(msub_bytes data, msub_bytes *block) {
  static const msub_channel c;
  size_t n = ethereum_payload_out(&c, data, NULL, 0);
  if (n > 2 * ETHEREUM_PAYLOAD_MAX) abort();
  uint8_t *out = malloc(n), *in = malloc(data.n + 1);
  if (!out || !in) abort();
  *block = (msub_bytes){ out, ethereum_payload_out(&c, data, out, n) };
  bool ok = block->n <= n && ethereum_payload_in(&c, *block, in, data.n ? data.n - 1 : 0) == data.n &&
            ethereum_payload_in(&c, *block, in, data.n) == data.n && msub_bytes_eq((msub_bytes){ in, data.n }, data);
  free(in);
  return ok;
}

static bool known(const json_t *c) {
  msub_bytes data = vec_bytes(json_object_get(c, "data")), want = vec_bytes(json_object_get(c, "id"));
  msub_bytes topic = msub_str(json_string_value(json_object_get(c, "topic"))), block = { NULL, 0 };
  bool valid = strcmp(json_string_value(json_object_get(c, "domain")), "01000000") == 0, ok = true;
  uint8_t id[MSUB_MAX_ID];
  size_t n;
  if (valid) ok = there_and_back(data, &block);
  n = id_of(topic, valid ? block : data, id);
  ok = ok && msub_bytes_eq((msub_bytes){ id, n }, want);
  free((void *)(uintptr_t)block.p);
  vec_free(data);
  vec_free(want);
  return ok;
}

static void done(vec_tally *t, const char *name, bool ok) {
  json_t *c = json_pack("{s:s}", "name", name);
  vec_case(t, c, ok, "differs");
  json_decref(c);
}

/* G-13: what is no block is refused, and has the id of the bytes as they came; so is what claims more than it can hold. */
static bool refused(msub_bytes block) {
  static const uint8_t invalid[4];
  static uint8_t to[64];
  uint8_t id[MSUB_MAX_ID], want[20];
  size_t n;
  if (ethereum_length(block, &n) && snappy_validate_compressed_buffer((const char *)block.p, block.n) == SNAPPY_OK) return false;
  ethereum_hash(invalid, msub_str("t"), block, want);
  size_t r = ethereum_payload_in(NULL, block, to, sizeof to);
  if (r != SIZE_MAX && r <= sizeof to) return false; /* a false length may be believed until there is room for it */
  return id_of(msub_str("t"), block, id) == 20 && memcmp(id, want, 20) == 0;
}

int main(void) {
  static const uint8_t none[1], header[] = { 0x80 }, bomb[] = { 0x80, 0x80, 0x80, 0x05, 0x00 }, above[] = { 0x81, 0x80, 0x80, 0x05, 0x00 };
  static const uint8_t cut[] = { 0x10, 0x3c, 'a', 'b' }, far_copy[] = { 0x04, 0x0e, 0xff, 0xff };
  vec_tally t = { .file = "wire.json" };
  json_t *root = vec_load(t.file), *c;
  size_t i;
  json_array_foreach(json_object_get(root, "message_id_eth_altair"), i, c) vec_case(&t, c, known(c), "another id");
  done(&t, "no bytes at all", refused((msub_bytes){ none, 0 }));
  done(&t, "half a length", refused((msub_bytes){ header, sizeof header }));
  done(&t, "10 MiB out of a byte", refused((msub_bytes){ bomb, sizeof bomb }));
  done(&t, "one byte above 10 MiB", refused((msub_bytes){ above, sizeof above }));
  done(&t, "a literal that is cut off", refused((msub_bytes){ cut, sizeof cut }));
  done(&t, "a copy from before the beginning", refused((msub_bytes){ far_copy, sizeof far_copy }));

  /* The most that a payload may have, of the kind that compresses best, and one byte more. */
  msub_bytes big = { calloc(1, ETHEREUM_PAYLOAD_MAX + 1), ETHEREUM_PAYLOAD_MAX }, block;
  if (!big.p) abort();
  done(&t, "10 MiB of zeros", there_and_back(big, &block));
  free((void *)(uintptr_t)block.p);
  big.n++;
  done(&t, "one byte more than may be", ethereum_payload_out(NULL, big, NULL, 0) == SIZE_MAX);
  free((void *)(uintptr_t)big.p);
  json_decref(root);
  return vec_end(&t);
}
