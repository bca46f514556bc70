/* tests/fuzz/fuzz_peer_record.c: the input as an envelope, as keys, and as a record under a good signature
 * (which no mutation would find by itself). What is accepted can be sealed again and says the same. */
#include <string.h>
#include "meshsub/crypto.h"
#include "tests/fuzz/fuzz.h"

#define ROOM 17000

static const msub_key *own_key(void) {
  static msub_key *k;
  static const uint8_t seed[32] = { 1, 2, 3 };
  if (!k && msub_key_from_seed(seed, &k) != MSUB_OK) abort();
  return k;
}

static void keys(msub_bytes in) {
  msub_key_type type;
  msub_bytes data;
  msub_peer_id id;
  msub_key *k;
  uint8_t out[128];
  int rc = msub_public_key_split(in, &type, &data);
  if (rc == MSUB_OK) FUZZ_CHECK(data.n == 0 || (data.p >= in.p && data.p + data.n == in.p + in.n));
  if (msub_public_key_peer_id(in, &id) == MSUB_OK) {
    FUZZ_CHECK(rc == MSUB_OK && msub_peer_id_check(msub_peer_id_bytes(&id)) == MSUB_OK);
    msub_bytes inside = msub_peer_id_public_key(msub_peer_id_bytes(&id));
    FUZZ_CHECK(inside.n == 0 || msub_bytes_eq(inside, in));
  }
  if (msub_key_import(in, &k) == MSUB_OK) {
    msub_key *again;
    size_t n = msub_key_export(k, out, sizeof out);
    FUZZ_CHECK(n <= sizeof out && msub_key_import((msub_bytes){ out, n }, &again) == MSUB_OK);
    FUZZ_CHECK(msub_bytes_eq(msub_key_peer_id(k), msub_key_peer_id(again)));
    msub_key_free(again);
    msub_key_free(k);
  }
}

static void envelope(msub_bytes in) {
  static msub_peer_record r;
  msub_envelope e;
  if (msub_envelope_parse(in, &e) == MSUB_OK) {
    FUZZ_CHECK(e.payload.n == 0 || (e.payload.p >= in.p && e.payload.p + e.payload.n <= in.p + in.n));
    (void)msub_envelope_verify(&e, msub_str("libp2p-peer-record"));
  }
  (void)msub_peer_record_open(in, (msub_bytes){ NULL, 0 }, &r);
}

/* Record fields 2 and 3 of the input behind the right peer id, and the input as a whole payload. */
static void signed_record(msub_bytes payload, msub_record_dialect d) {
  static uint8_t first[ROOM], second[ROOM];
  static msub_peer_record r, again;
  static const char *const domains[] = { "libp2p-peer-record", "libp2p-routing-state" };
  static const char *const types[] = { "\x03\x01", "/libp2p/routing-state-record" };
  size_t n =
      msub_envelope_seal(own_key(), msub_str(domains[d]), msub_str(types[d]), payload, first, sizeof first);
  FUZZ_CHECK(n <= sizeof first);
  if (n == 0 || msub_peer_record_open((msub_bytes){ first, n }, (msub_bytes){ NULL, 0 }, &r) != MSUB_OK)
    return;
  FUZZ_CHECK(r.dialect == d && msub_bytes_eq(msub_peer_id_bytes(&r.peer), msub_key_peer_id(own_key())));
  n = msub_peer_record_seal(own_key(), r.seq, r.addrs, r.n_addrs, d, second, sizeof second);
  FUZZ_CHECK(n > 0 && n <= sizeof second);
  FUZZ_CHECK(msub_peer_record_open((msub_bytes){ second, n }, msub_key_peer_id(own_key()), &again) ==
             MSUB_OK);
  FUZZ_CHECK(again.seq == r.seq && again.n_addrs == r.n_addrs);
  for (size_t i = 0; i < r.n_addrs; i++) FUZZ_CHECK(msub_bytes_eq(r.addrs[i], again.addrs[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const msub_bytes in = { data, size };
  static uint8_t record[ROOM];
  const msub_bytes id = msub_key_peer_id(own_key());
  keys(in);
  envelope(in);
  signed_record(in, MSUB_RECORD_GO);
  if (size > ROOM - 64) return 0;
  record[0] = 0x0a;
  record[1] = (uint8_t)id.n;
  memcpy(record + 2, id.p, id.n);
  if (size > 0) memcpy(record + 2 + id.n, data, size);
  signed_record((msub_bytes){ record, 2 + id.n + size }, size % 2 ? MSUB_RECORD_GO : MSUB_RECORD_RFC);
  return 0;
}
