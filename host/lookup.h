/* host/lookup.h: a multiaddress with a name in it becomes addresses that can be dialled.
 *
 *   /dns|dns4|dns6/NAME/tcp/PORT[/p2p/ID]  ──▶ look-up of A, AAAA ──▶ a place for each
 *   /dnsaddr/NAME[/tcp/PORT][/p2p/ID]      ──▶ TXT of _dnsaddr.NAME: "dnsaddr=ADDR", of which those count that end as the question does;
 *                                              each of them may be a name again
 *
 * Bounded: so many names for one address, so many steps from one dnsaddr to another, so many answers and places; more are left out. */
#ifndef MSUB_HOST_LOOKUP_H
#define MSUB_HOST_LOOKUP_H
#include "host/dns.h"
#include "host/state.h"

typedef struct msub__place {
  msub__tr_addr at;
  msub_peer_id id; /* n == 0: not said */
} msub__place;

typedef struct msub__lookup msub__lookup;
/* err: OK (n > 0), NOTFOUND, TIMEOUT, IO, MALFORMED. The places are views. Called once, from msub__lookup_step() or a timer. */
typedef void (*msub__lookup_done)(void *own, int err, const char *text, const msub__place *places, size_t n);
/* UNSUPPORTED: no name; LIMIT: too many at a time; NOMEM, IO. */
MSUB_MUST int msub__lookup_begin(msub_host *h, msub_bytes multiaddr, msub__lookup_done done, void *own, msub__lookup **out);
void msub__lookup_cancel(msub__lookup *l); /* done is not called */
void msub__lookup_step(msub_host *h);
void msub__lookup_fini(msub_host *h); /* all have been cancelled */
#endif
