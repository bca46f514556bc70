/* host/filter.h: the rules of msub_host_filter(). */
#ifndef MSUB_HOST_FILTER_H
#define MSUB_HOST_FILTER_H
#include "host/state.h"

enum { MSUB__FILTER_DIAL = 1, MSUB__FILTER_ACCEPT = 2 };
#define MSUB__FILTER_WHY "an address filter refuses it"

/* Counts what it refuses. An address that is not known is allowed. */
bool msub__ipfilter_allows(msub_host *h, const msub__tr_addr *at, unsigned what);
void msub__ipfilter_fini(msub_host *h);
#endif
