/* host/gate.h: who may connect: by number, by address, by conduct.
 *
 *   accepted ──▶ silent ── first bytes ──▶ parked ── a place is free ──▶ handshake ──▶ open
 *
 * max_pending_inbound handshakes are under way at a time; many more may wait in front of them, because many
 * honest peers may come at once. When all places are taken, a silent connection makes room for a new one, and
 * a handshake that stands still for one that waits. */
#ifndef MSUB_HOST_GATE_H
#define MSUB_HOST_GATE_H
#include "host/conn.h"

/* A connection was accepted. NULL: it may stay; else why not (static). */
const char *msub__gate_accept(msub_host *h, const msub__tr_addr *remote);
/* Counts, by the rule, what it answered; NULL: the connection was let in, and there was no memory for it. */
void msub__gate_refused(msub_host *h, const char *why);
/* Bytes of c came. false: it is parked, and is read later. */
bool msub__gate_handshake(msub__conn *c);
/* c is not pending any more. */
void msub__gate_left(msub__conn *c);
/* The host's timer while connections are parked. */
void msub__gate_fired(msub__timer *t);
/* The peer of c has proved its id. MSUB_OK, or an error with *why. */
MSUB_MUST int msub__gate_open(msub_host *h, const msub__conn *c, msub_bytes peer_id, const char **why);
#endif
