/* host/hints.h: peers that somebody else says are worth dialling: a router (peer exchange, direct peers: world.connect_hint) or
 * the program's discovery.
 *
 *   hint ──▶ waits (at most max_hints) ──▶ 8 at a time: its addresses (race.h), for 30 s ──▶ connected, or given up
 *
 * Addresses: those of the signed record, which is verified here; the one that discovery found; those of the book. Peers that
 * are connected, in cool-down, or we, are passed over. The outcome is counted; only a connection is an event. */
#ifndef MSUB_HOST_HINTS_H
#define MSUB_HOST_HINTS_H
#include "host/conn.h"

typedef struct msub__hint {
  msub__node in_list;
  msub_peer_id id;
  uint8_t *record; /* the envelope, unverified; until it is dialled */
  size_t record_n;
  uint8_t n;
  msub__tr_addr at[MSUB__HOST_HINT_ADDRS];
} msub__hint;

/* record, at: empty and NULL when there is none. */
void msub__hints_add(msub_host *h, msub_bytes peer_id, msub_bytes record, const msub__tr_addr *at);
/* Begins what can begin. */
void msub__hints_pump(msub_host *h);
void msub__hints_fini(msub_host *h);
#endif
