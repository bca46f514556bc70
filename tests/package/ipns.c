/* A user of libmeshsub-lww: makes a record and reads it. */
#include <meshsub/ipns.h>
#include <stdio.h>

int main(void) {
  static const uint8_t seed[32] = { 1 };
  uint8_t record[MSUB_IPNS_RECORD_MAX];
  char name[MSUB_IPNS_NAME_TEXT];
  size_t n;
  msub_key *k;
  msub_ipns_record r;
  msub_ipns_new what = { .value = msub_str("/ipfs/bafkqaaa"), .sequence = 1, .eol = msub_ipns_time_of(2000000000), .ttl_ns = MSUB_IPNS_TTL_NS };
  if (msub_key_from_seed(seed, &k) != MSUB_OK || msub_ipns_make(k, &what, record, sizeof record, &n) != MSUB_OK) return 1;
  msub_ipns_fault f = msub_ipns_verify(msub_key_peer_id(k), (msub_bytes){ record, n }, 0, 0, &r);
  printf("%s: %s\n", msub_ipns_name_text(msub_key_peer_id(k), name), msub_ipns_fault_text(f));
  msub_key_free(k);
  return f == MSUB_IPNS_OK && r.sequence == 1 ? 0 : 1;
}
