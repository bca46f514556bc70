/* host/upgrade.h: from a TCP connection to Noise and yamux.
 *
 *   dialer    header, /noise, e ──────────────▶   (one flight: only one proposal, so e may go early)
 *             ◀────────────── header, /noise, e,ee,s,es,(id)
 *             s,se,(id), first yamux frames ──▶
 *
 * The muxer is settled inside the handshake; a peer that says nothing there is asked by multistream inside
 * the channel. */
#ifndef MSUB_HOST_UPGRADE_H
#define MSUB_HOST_UPGRADE_H
#include "host/conn.h"
#include "wire/multistream.h"

typedef struct msub__upgrade {
  msub__mss mss;
  msub__buf keep; /* a line or message that is not whole */
  msub_bytes muxer;
  msub_bytes proposal;
  msub_peer_id expect; /* n == 0: anyone */
} msub__upgrade;

/* Prepares; `expect` may be NULL. NOMEM. */
MSUB_MUST int msub__upgrade_new(msub__conn *c, const msub_peer_id *expect);
void msub__upgrade_free(msub__conn *c);
/* TCP stands: our first words. */
void msub__upgrade_begin(msub__conn *c);
/* Takes bytes (before MUXER: as they came; in MUXER: decrypted) until they are used or the state changes its
 * kind. Returns how many. */
size_t msub__upgrade_input(msub__conn *c, msub_bytes in);
#endif
