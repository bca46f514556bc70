/* host/places.h: the addresses of msub_host_opts.find_at: where peers are found for any topic, without a discovery of the program's. */
#ifndef MSUB_HOST_PLACES_H
#define MSUB_HOST_PLACES_H
#include "host/state.h"

/* From the options. INVAL, LIMIT, NOMEM; *why says what is wrong. */
MSUB_MUST int msub__places_init(msub_host *h, const char **why);
/* Hands out whom the addresses lead to, later those behind names; not again within MSUB__HOST_FIND_NS. */
void msub__places_find(msub_host *h, void (*found)(void *ud, msub_bytes peer_id, msub_bytes addr));
void msub__places_fini(msub_host *h); /* before lookup.h's */
#endif
