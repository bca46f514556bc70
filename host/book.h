/* host/book.h: where peers can be reached: addresses by authenticated peer id, also of those that are gone.
 *
 * Who says so: the program, when it dials an address with /p2p; our own outbound connections; the peer itself, by identify
 * or in its signed record. Nobody can say anything of somebody else.
 *
 *   proved   the program gave it, or our connection to it stood       for opts.book.proved_ns after that
 *   said     by the peer, in its record (signed) or beside it         for opts.book.said_ns after that
 *
 * Times are monotonic, so what the wall clock does means nothing while the host runs. As long as a peer is connected, what is known of it
 * is renewed.
 *
 * Bounded: of peers of which something is proved the one that was neither learned of nor asked for longest makes room, but the others go
 * first. Those have a part of the book only, and each network through which they come a part of that: a crowd displaces its own kind. */
#ifndef MSUB_HOST_BOOK_H
#define MSUB_HOST_BOOK_H
#include "host/conn.h"

typedef enum msub__book_source { MSUB__BOOK_SAID, MSUB__BOOK_SIGNED, MSUB__BOOK_PROVED } msub__book_source;

typedef struct msub__book_addr {
  msub__tr_addr at;
  bool is_signed; /* it stands in the record */
  uint64_t said_until, proved_until; /* 0: it is not */
  uint8_t failures;    /* in a row, when nobody but ourselves wanted to go there … */
  uint64_t rest_until; /* … and so long it is left alone */
} msub__book_addr;

typedef struct msub__book_entry {
  msub__node in_order; /* of the peers like it */
  msub__node in_shelf; /* shelf.h: what has to be written, or taken away */
  msub_peer_id id;
  uint64_t hash;
  uint32_t index;
  bool proved;         /* one of its addresses is */
  bool stored;         /* there may be a value in the store */
  uint64_t stored_at;  /* 0: never */
  msub__tr_addr from;  /* the network through which it was heard of; n == 0: none */
  bool has_seq;
  uint64_t seq;        /* of its newest record */
  uint8_t *record;     /* which is kept if there is a store and it is not too long */
  size_t record_n;
  unsigned n;
  msub__book_addr addrs[MSUB__HOST_BOOK_ADDRS]; /* the newest first */
} msub__book_entry;

static inline bool msub__book_proved(const msub__book_addr *a) { return a->proved_until != 0; }

/* from: the peer of the connection over which it was said; NULL: nobody but us. */
void msub__book_add(msub_host *h, msub_bytes peer_id, const msub__tr_addr *at, msub__book_source source, const msub__tr_addr *from);
/* A verified record of the peer: its addresses are said and signed, and those of an older record are not any more. false: it is older than one
 * that was there before, and nothing happened. */
bool msub__book_certify(msub_host *h, const msub_peer_record *r, msub_bytes envelope, const msub__tr_addr *from);
/* Our connection to it stands: the address is proved and does not rest. */
void msub__book_worked(msub_host *h, msub_bytes peer_id, const msub__tr_addr *at);
/* An attempt to reach it there failed: the address rests, longer each time. A connection ends that. */
void msub__book_failed(msub_host *h, msub_bytes peer_id, const msub__tr_addr *at);
/* Without what is over by now. NULL: not known. */
const msub__book_entry *msub__book_find(msub_host *h, msub_bytes peer_id);
/* As it was in the store: what is there is left as it is, nobody makes room. false: there was none. (shelf.c) */
bool msub__book_restore(msub_host *h, const msub__book_entry *like, const msub_peer_record *r, msub_bytes envelope);
/* The address behind a binary multiaddress that TCP can reach directly. false: there is none, or it is of another peer. */
bool msub__book_parse(msub_bytes multiaddr, msub_bytes peer_id, msub__tr_addr *out);
void msub__book_free_entry(msub_host *h, msub__book_entry *e);
void msub__book_init(msub_host *h);  /* before anything can fail */
void msub__book_start(msub_host *h); /* the host stands */
void msub__book_fini(msub_host *h);
#endif
