/* host/book.h: where peers can be reached: addresses by authenticated peer id, also of those that are gone. Bounded: the
 * peer that was neither learned of nor asked for longest makes room.
 *
 * Who says so: the program, when it dials an address with /p2p; our own outbound connections; the peer itself, by identify
 * or in its signed record. Nobody can say anything of somebody else. */
#ifndef MSUB_HOST_BOOK_H
#define MSUB_HOST_BOOK_H
#include "host/conn.h"

typedef struct msub__book_addr {
  msub__tr_addr at;
  bool proved; /* the program gave it, or it has worked */
  uint8_t failures;    /* in a row, when nobody but ourselves wanted to go there … */
  uint64_t rest_until; /* … and so long it is left alone */
} msub__book_addr;

typedef struct msub__book_entry {
  msub__node in_order;
  msub_peer_id id;
  uint64_t hash;
  uint32_t index;
  unsigned n;
  msub__book_addr addrs[MSUB__HOST_BOOK_ADDRS]; /* the newest first */
} msub__book_entry;

void msub__book_add(msub_host *h, msub_bytes peer_id, const msub__tr_addr *at, bool proved);
/* Our connection to it stands: the address is proved and does not rest. */
void msub__book_worked(msub_host *h, msub_bytes peer_id, const msub__tr_addr *at);
/* An attempt to reach it there failed: the address rests, longer each time. A connection ends that. */
void msub__book_failed(msub_host *h, msub_bytes peer_id, const msub__tr_addr *at);
/* NULL: not known. */
const msub__book_entry *msub__book_find(msub_host *h, msub_bytes peer_id);
/* The address behind a binary multiaddress that TCP can reach directly. false: there is none, or it is of another peer. */
bool msub__book_parse(msub_bytes multiaddr, msub_bytes peer_id, msub__tr_addr *out);
void msub__book_fini(msub_host *h);
#endif
