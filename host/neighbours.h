/* host/neighbours.h: peers of the local network (mdns.h): remembered until their time is over, handed out when a topic's router wants peers, and at once
 * while one does. */
#ifndef MSUB_HOST_NEIGHBOURS_H
#define MSUB_HOST_NEIGHBOURS_H
#include "host/state.h"

/* As the options say. IO, NOMEM; *why says what failed. */
MSUB_MUST int msub__neighbours_init(msub_host *h, const char **why);
void msub__neighbours_listen(msub_host *h); /* the listeners are others */
/* Takes what was heard. */
void msub__neighbours_step(msub_host *h);
/* Hands out who is known; not again within MSUB__HOST_FIND_NS, except those that are new. */
void msub__neighbours_find(msub_host *h, void (*found)(void *ud, msub_bytes peer_id, msub_bytes addr));
/* An address by the word of `sender`: what step does with each. */
struct msub__mdns_place;
void msub__neighbours_learn(msub_host *h, const struct msub__mdns_place *p, const msub__tr_addr *sender);
void msub__neighbours_fini(msub_host *h);
#endif
