/* host/mdns.h: the local network's multicast, on a thread of its own: 224.0.0.251 and ff02::fb, port 5353, on every interface that is up and can do it.
 *
 *   thread: asks (at the start, after 1, 2, 4 … 60 s, and when told to), answers (at most once a second on an interface), reads ──▶ queue ──▶ loop: take
 *
 * All is said in both families, as far as an interface has an address of them. Messages from outside the interface's network are left alone. The
 * interfaces are looked at again with every question. Link-local addresses of IPv6 are neither told nor taken: they mean something with a zone only, and
 * that is another one at each end. */
#ifndef MSUB_HOST_MDNS_H
#define MSUB_HOST_MDNS_H
#include "host/mdns_message.h"

typedef struct msub__mdns msub__mdns;
typedef struct msub__mdns_counts {
  uint64_t asked, answered;    /* messages sent, on each interface and in each family */
  uint64_t malformed, refused; /* messages: malformed or over MSUB__HOST_MDNS_PACKET; addresses not believed, and messages from elsewhere */
  uint64_t zoneless;           /* link-local addresses of IPv6 that were told, and left out */
  uint64_t dropped;            /* addresses that found the queue full; seconds with too many messages */
} msub__mdns_counts;

/* self: our id; copied. wake(wake_ud): there is something to take; any thread. IO, NOMEM; *why says what failed. */
MSUB_MUST int msub__mdns_new(msub_bytes self, void (*wake)(void *ud), void *wake_ud, msub__mdns **out, const char **why);
void msub__mdns_free(msub__mdns *m); /* says good-bye. NULL is fine */
/* Where we listen, the unspecified address too; at most MSUB__HOST_LISTENERS. It is told to all at once. */
void msub__mdns_listen(msub__mdns *m, const msub__tr_addr *at, size_t n);
void msub__mdns_ask(msub__mdns *m); /* soon */
/* Something may have to be taken or counted since the last call; costs next to nothing. */
MSUB_MUST bool msub__mdns_news(msub__mdns *m);
/* The next place that somebody told, and who did, without port. false: none is left. */
MSUB_MUST bool msub__mdns_take(msub__mdns *m, msub__mdns_place *out, msub__tr_addr *sender);
uint64_t msub__mdns_next_pause(uint64_t pause); /* between two questions, behind a pause of `pause` */
void msub__mdns_count(msub__mdns *m, msub__mdns_counts *out);
#endif
