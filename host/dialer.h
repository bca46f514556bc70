/* host/dialer.h: dials, a few at a time, and addresses that are kept connected.
 *
 *   dial ──▶ queued ──▶ (max_dials at a time) transport, upgrade ──▶ CONNECTED or DIAL_FAILED
 *
 *   keep ──▶ dials ──▶ connected ──▶ lost ──▶ dials at once, then after 1 s, doubling with jitter
 *              ▲                                        │ a connection that lived a minute starts the pauses
 * anew └────────────────────────────────────────┘
 */
#ifndef MSUB_HOST_DIALER_H
#define MSUB_HOST_DIALER_H
#include "host/conn.h"

typedef struct msub__keep {
  msub__node in_keeps;
  msub_host *host;
  msub_multiaddr addr;
  msub__tr_addr at;    /* n == 0: addr has a name, which is looked up each time */
  msub_peer_id expect; /* n == 0: by address */
  msub__timer timer;
  unsigned losses; /* in a row */
  bool busy;       /* a dial of it is queued or on its way */
} msub__keep;

typedef struct msub__dial {
  msub__node in_dials; /* while queued */
  msub_multiaddr addr; /* as it was given */
  msub__tr_addr at;
  msub_peer_id expect;
  uint64_t cookie;
  msub__keep *keep;
  struct msub__race *race; /* its outcome is told to race.c and to nobody else */
  bool hinted;             /* on a hint: it does not take the place of another connection */
  bool quiet;              /* given up: its end is told to nobody */
} msub__dial;

MSUB_MUST int msub__dialer_add(msub_host *h, const char *text, uint64_t cookie);
MSUB_MUST int msub__dialer_keep(msub_host *h, const char *text);
/* A copy of it waits for its turn. LIMIT, NOMEM. */
MSUB_MUST int msub__dialer_queue(msub_host *h, const msub__dial *like);
/* Takes d out of the queue when it is an attempt of that race. */
void msub__dialer_drop_attempt(msub_host *h, msub__dial *d, const struct msub__race *r);
/* The event DIAL_FAILED, of what d says. Attempts are counted where they fail. */
void msub__dialer_tell(msub_host *h, const msub__dial *d, int err, const char *text);
/* A dial of the program or of a keep failed for good: tells it, and keeps on. */
void msub__dialer_over(msub_host *h, const msub__dial *d, int err, const char *text);
/* Stops keeping a peer. */
bool msub__dialer_forget(msub_host *h, msub_bytes peer_id);
/* Starts queued dials while there is room. true: more could be started at once. */
bool msub__dialer_pump(msub_host *h);
/* The outcome of c's dial. */
void msub__dialer_connected(msub__conn *c);
void msub__dialer_failed(msub__conn *c, int err, const char *text);
/* The last connection of a peer ended after `lived_ns`. k: whose it was, NULL when it was not made for one.
 */
void msub__dialer_lost(msub_host *h, msub__keep *k, msub_bytes peer_id, uint64_t lived_ns);
void msub__dialer_fini(msub_host *h);
#endif
