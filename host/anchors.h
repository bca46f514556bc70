/* host/anchors.h: peers that are dialled first after a restart, so that who filled our address tables meanwhile does not choose our neighbours
 * (Heilman et al., "Eclipse attacks on Bitcoin's peer-to-peer network", 2015, countermeasure 3).
 *
 *   every minute: the oldest outbound connections to peers of a mesh ──▶ store, when they are not what stands there
 *   start:        store ──▶ book and dialer, before anything that is found
 *
 * Nobody gets there by connecting to us, and a stored one stays until a better one is there. A record: key "anchor/" and the peer id;
 * value version (1), flags (1: WebSocket), length of the address, address, port (big endian). */
#ifndef MSUB_HOST_ANCHORS_H
#define MSUB_HOST_ANCHORS_H
#include "host/state.h"

void msub__anchors_init(msub_host *h);  /* before anything can fail */
void msub__anchors_start(msub_host *h); /* the host stands */
void msub__anchors_fini(msub_host *h);
#endif
