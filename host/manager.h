/* host/manager.h: how many connections there are. Above high_water some are closed until low_water are left:
 *
 *   spared     kept addresses, peers that the program protects, connections younger than grace_ns
 *   first      of the others those of the least value (the sum of their tags), of equal ones the youngest: whoever comes in crowds
 *              displaces its own kind
 *   last       peers that a router protects (mesh, direct), and only as far as high_water
 *
 * Below min_peers known peers are dialled, a few at a time. */
#ifndef MSUB_HOST_MANAGER_H
#define MSUB_HOST_MANAGER_H
#include "host/peers.h"

typedef struct msub__tag {
  char name[MSUB__HOST_TAG_NAME];
  int32_t value;
  uint64_t half_life_ns, since; /* half_life 0: it stays */
} msub__tag;

void msub__manager_init(msub_host *h); /* before anything can fail */
/* A connection opened or ended. */
void msub__manager_changed(msub_host *h);
/* The sum of a peer's tags now. */
int64_t msub__manager_value(const msub__peer *p);
void msub__manager_forget(msub__peer *p);
void msub__manager_fini(msub_host *h);
#endif
