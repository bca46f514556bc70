/* host/observed.h: our addresses as peers see them, by identify. What one peer says is no news: a network (/24 of IPv4, /48 of IPv6) has
 * one statement, its last, and an address is believed when MSUB__HOST_OBSERVERS networks say it. */
#ifndef MSUB_HOST_OBSERVED_H
#define MSUB_HOST_OBSERVED_H
#include "host/conn.h"

void msub__observed_hear(const msub__conn *c, msub_bytes multiaddr);
/* Adds what is believed to the n addresses in out, of which there may be cap. Returns how many there are then. */
size_t msub__observed_add_to(const msub_host *h, msub_multiaddr *out, size_t cap, size_t n);
#endif
