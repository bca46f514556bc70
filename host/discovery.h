/* host/discovery.h: the program's discovery (meshsub/discovery.h), asked for topics whose router wants more peers. What it finds
 * is dialled as hints are.
 *
 *   world.want_peers ──▶ entry of the topic ──▶ find(), at most once a second ── no more wanted, or left ──▶ cancel()
 *   joined, left ──────▶                   ──▶ advertise()
 *
 * The engine's calls only note what is to be done; the program's functions are called from msub__discovery_step(). */
#ifndef MSUB_HOST_DISCOVERY_H
#define MSUB_HOST_DISCOVERY_H
#include "host/state.h"

typedef struct msub__sought {
  msub__node in_due;
  msub__timer timer; /* the next moment at which something may change */
  msub_host *host;
  uint64_t hash;
  uint32_t index;  /* in h->seek.all */
  unsigned wanted; /* 0: nothing to ask for */
  unsigned joins;  /* a name may be joined through several routers */
  bool advertised, asked;
  uint64_t asked_at, wanted_at; /* asked_at 0: never */
  size_t n;
  char name[];
} msub__sought;

/* Taken from the options; ops of an older header are shorter. INVAL: there is no find. */
MSUB_MUST int msub__discovery_init(msub_host *h);
void msub__discovery_want(msub_host *h, msub_bytes topic, unsigned n);
void msub__discovery_joined(msub_host *h, msub_bytes topic, bool on);
void msub__discovery_step(msub_host *h);
/* Somebody new of no topic (neighbours.h): taken when a topic has asked lately. */
void msub__discovery_offer(msub_host *h, msub_bytes peer_id, msub_bytes addr);
/* h->stopping has changed: while it is on, nothing is advertised or sought. */
void msub__discovery_stops(msub_host *h);
/* While the host stops. true: the discovery still has something under way. */
MSUB_MUST bool msub__discovery_winds_up(msub_host *h);
/* Takes everything back. */
void msub__discovery_fini(msub_host *h);
#endif
