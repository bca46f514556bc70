/* host/addrs.h: addresses between the transport, multiaddresses and the text that people see. */
#ifndef MSUB_HOST_ADDRS_H
#define MSUB_HOST_ADDRS_H
#include "host/state.h"

/* The address as 4 or 16 bytes; an IPv4 address inside an IPv6 one comes out as IPv4. Empty: not known. */
msub_bytes msub__ip(const msub__tr_addr *a);
bool msub__ip_loopback(msub_bytes ip);
/* The first `bits` bits are the same, and the kind too. */
bool msub__ip_same(msub_bytes a, msub_bytes b, unsigned bits);
/* The prefix of a network: 24 bits, or 48 of IPv6. */
unsigned msub__net_bits(msub_bytes ip);
bool msub__net_same(const msub__tr_addr *a, const msub__tr_addr *b);
/* The bits of its network, and no port; n == 0 when the address is not known. */
msub__tr_addr msub__network(const msub__tr_addr *a);

/* /ip4|ip6/…/tcp/… and, when peer_id is not empty, /p2p/…. n == 0 when the address is not known. */
void msub__addr_multi(const msub__tr_addr *a, msub_bytes peer_id, msub_multiaddr *out);
/* From text; *id stays empty (n == 0) when there is no /p2p. MALFORMED, UNSUPPORTED (*why says what). */
MSUB_MUST int msub__addr_parse(const char *text, msub_multiaddr *whole, msub__tr_addr *at, msub_peer_id *id,
                               const char **why);

/* The same for a dial: with a name at->n is 0 (lookup.h). */
MSUB_MUST int msub__addr_target(const char *text, msub_multiaddr *whole, msub__tr_addr *at, msub_peer_id *id, const char **why);

/* Where we can be reached, for identify: the listen addresses, an unspecified one as the addresses of this
 * machine. Returns how many. */
size_t msub__addr_own(const msub_host *h, msub_multiaddr *out, size_t cap);
#endif
