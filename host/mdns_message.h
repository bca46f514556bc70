/* host/mdns_message.h: what stands in the messages by which libp2p nodes find each other on a local network (libp2p/specs, discovery/mdns). Without I/O.
 *
 *   question   _p2p._udp.local PTR
 *   answer     _p2p._udp.local PTR LABEL._p2p._udp.local; with it TXT "dnsaddr=ADDR/p2p/ID" … of that name, and SRV and A or AAAA, without which programs on
 *              go-libp2p believe nothing. LABEL is random: it tells nobody who we are. */
#ifndef MSUB_HOST_MDNS_MESSAGE_H
#define MSUB_HOST_MDNS_MESSAGE_H
#include "host/limits.h"
#include "host/transport/transport.h"
#include "meshsub/peer_id.h"

#define MSUB__MDNS_LABEL 32u
#define MSUB__MDNS_OUT 1400u /* bytes of what we send: a frame of Ethernet takes it */

typedef struct msub__mdns_label { uint8_t bytes[MSUB__MDNS_LABEL]; } msub__mdns_label;
/* Letters and digits. */
void msub__mdns_label_make(const uint8_t random[MSUB__MDNS_LABEL], msub__mdns_label *out);

size_t msub__mdns_question(uint8_t out[MSUB__MDNS_OUT]);
/* What is at `addrs`; those that have no room are left out. ttl_s 0: it is not there any more. 0: there is nothing to say. */
size_t msub__mdns_answer(const msub__mdns_label *label, msub_bytes self, const msub__tr_addr *addrs, size_t n, uint32_t ttl_s, uint8_t out[MSUB__MDNS_OUT]);
/* For tools that ask which services there are: _services._dns-sd._udp.local PTR. */
size_t msub__mdns_services(uint8_t out[MSUB__MDNS_OUT]);

typedef struct msub__mdns_place {
  msub_peer_id id;
  msub__tr_addr at;
  uint32_t ttl_s; /* at most MSUB__HOST_MDNS_TTL_S; 0: gone */
} msub__mdns_place;
typedef struct msub__mdns_heard {
  bool asks, asks_services;
  unsigned n, refused, zoneless; /* refused: addresses that are not believed, or one too many; zoneless: link-local ones of IPv6 */
  msub__mdns_place places[MSUB__HOST_MDNS_PLACES];
} msub__mdns_heard;
/* Of a message from `sender` (4 or 16 bytes). Believed are addresses that are private, and the sender's own: nobody can send us to others' machines. Link-local ones of IPv6 are left out. Those that TCP over IP does not reach
 * are read over. label: a question that knows our answer already does not ask. false: malformed. */
MSUB_MUST bool msub__mdns_understand(msub_bytes message, msub_bytes sender, const msub__mdns_label *label, msub__mdns_heard *out);
/* How many messages are looked at: MSUB__HOST_MDNS_PACKETS in a second. */
typedef struct msub__mdns_budget { uint64_t since; unsigned n; } msub__mdns_budget;
/* There is one left; it is taken when `take`. When there is none, there is again at since + 1 s. */
bool msub__mdns_budget_has(msub__mdns_budget *b, uint64_t now_ns, bool take);
/* Of private use on the local network: RFC 1918, 3927, 4193. */
bool msub__mdns_private(msub_bytes ip);
bool msub__mdns_link_local(msub_bytes ip); /* of IPv6: fe80::/10 */
#endif
