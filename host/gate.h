/* host/gate.h: who may connect: by number, by address, by conduct. */
#ifndef MSUB_HOST_GATE_H
#define MSUB_HOST_GATE_H
#include "host/conn.h"

/* A connection was accepted. NULL: it may stay; else why not (static). Makes room by ending a pending
 * connection that has not said anything for a while. */
const char *msub__gate_accept(msub_host *h, const msub__tr_addr *remote);
/* The peer of c has proved its id. MSUB_OK, or an error with *why. */
MSUB_MUST int msub__gate_open(msub_host *h, const msub__conn *c, msub_bytes peer_id, const char **why);
#endif
