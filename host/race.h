/* host/race.h: one peer, several addresses: the first one that answers.
 *
 *   0        250 ms    500 ms
 *   addr 1 ─────────────────────────▶ connected: the others are given up
 *            addr 2 ──✗ refused: the next one at once
 *                     addr 3 ──────── …
 *
 * At most MSUB__HOST_RACE_FLYING attempts at a time, each of them a dial like any other. Addresses that have worked, or that the
 * program gave, go first; then the families take turns (RFC 8305, 4 and 5). */
#ifndef MSUB_HOST_RACE_H
#define MSUB_HOST_RACE_H
#include "host/dialer.h"

typedef struct msub__race {
  msub__node in_races;
  msub_host *host;
  msub_peer_id id;
  uint64_t cookie, until;
  msub__keep *keep;    /* whose it is; NULL: nobody's */
  bool hinted;         /* nobody asked for it by name: it may not take the place of another connection */
  uint8_t n, next, flying;
  msub__tr_addr at[MSUB__HOST_RACE_ADDRS];
  msub__timer timer;   /* of the next attempt */
  int err;             /* of the attempt that failed last */
  const char *text;
  /* How it ended: MSUB_OK, a connection stands; else why not. Called once, never inside msub__race_begin(). */
  void (*done)(msub_host *h, const struct msub__race *r, int err, const char *text);
  void *own;
} msub__race;

/* Adds an address to race->at unless it stands there or there is no room. */
void msub__race_add(msub__race *like, const msub__tr_addr *at);
/* Begins with a copy of `like`, of which id, cookie, keep, hinted, n, at, done and own are used. NOTFOUND: no address; NOMEM, LIMIT: nothing was
 * begun and done is not called. */
MSUB_MUST int msub__race_begin(msub_host *h, const msub__race *like);
/* What the book knows of a peer, in the order in which it is tried; `rested`: without addresses that failed lately. */
void msub__race_from_book(msub_host *h, msub__race *like, bool rested);
/* Whether a race to this peer is on. */
bool msub__race_under_way(const msub_host *h, msub_bytes peer_id);
/* Outcomes of its attempts (dialer.c). */
void msub__race_won(msub__race *r);
void msub__race_failed(msub__race *r, const msub__tr_addr *at, int err, const char *text);
/* Gives up all races to a peer. */
void msub__race_cancel(msub_host *h, msub_bytes peer_id);
void msub__race_fini(msub_host *h);
#endif
