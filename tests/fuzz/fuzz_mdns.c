/* tests/fuzz/fuzz_mdns.c: the input as a message of the local network: what is taken from it is an address that TCP reaches, private or the sender's, with a peer id; and what
 * we would say of it is understood again. */
#include <string.h>
#include "host/addrs.h"
#include "host/mdns_message.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const uint8_t sender[4] = { 93, 91, 0, 4 };
  static msub__mdns_heard heard, again;
  static const uint8_t random[MSUB__MDNS_LABEL] = { 1, 2, 3 };
  uint8_t out[MSUB__MDNS_OUT];
  msub__mdns_label label;
  const msub_bytes from = { sender, 4 };
  msub__mdns_label_make(random, &label);
  if (!msub__mdns_understand((msub_bytes){ data, size }, from, &label, &heard)) {
    FUZZ_CHECK(heard.n == 0 && !heard.asks && !heard.asks_services);
    return 0;
  }
  FUZZ_CHECK(heard.n <= MSUB__HOST_MDNS_PLACES);
  for (unsigned i = 0; i < heard.n; i++) {
    const msub__mdns_place *p = &heard.places[i];
    msub_bytes ip = { p->at.ip, p->at.n };
    FUZZ_CHECK((ip.n == 4 || ip.n == 16) && p->at.port > 0 && p->ttl_s <= MSUB__HOST_MDNS_TTL_S);
    FUZZ_CHECK(msub__mdns_private(ip) || msub_bytes_eq(ip, from));
    FUZZ_CHECK(msub_peer_id_check(msub_peer_id_bytes(&p->id)) == MSUB_OK);
    size_t n = msub__mdns_answer(&label, msub_peer_id_bytes(&p->id), &p->at, 1, p->ttl_s, out);
    FUZZ_CHECK(n > 0 && msub__mdns_understand((msub_bytes){ out, n }, from, &label, &again));
    FUZZ_CHECK(again.n == 1 && again.refused == 0 && msub__tr_addr_same(&again.places[0].at, &p->at));
    FUZZ_CHECK(msub_bytes_eq(msub_peer_id_bytes(&again.places[0].id), msub_peer_id_bytes(&p->id)) && again.places[0].ttl_s == p->ttl_s);
  }
  return 0;
}
