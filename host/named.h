/* host/named.h: a dial to an address with a name in it: look-up, then a race for each peer that it leads to, one after the other, until
 * one connection stands. */
#ifndef MSUB_HOST_NAMED_H
#define MSUB_HOST_NAMED_H
#include "host/dialer.h"

/* like: addr, expect, cookie, keep. LIMIT, NOMEM, IO: nothing was begun. Else its end is told as that of any dial. */
MSUB_MUST int msub__named_begin(msub_host *h, const msub__dial *like);
/* Gives up those that are kept by k, or (k NULL) that go to this peer: without a word. */
void msub__named_cancel(msub_host *h, const msub__keep *k, msub_bytes peer_id);
void msub__named_fini(msub_host *h);
#endif
