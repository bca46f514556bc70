/* host/exchange.h: the exchange (meshsub/exchange.h) over streams of this host's connections.
 *
 *   inbound    agreed ─▶ waits, unread ──── one of 4 places ────▶ on_open ─▶ on_data … ─▶ on_end
 *   outbound   open() ─▶ waits ── one of 4 places ─▶ dialled, its bytes right behind the proposal ─▶ … ─▶ on_end
 *
 * A queue holds the streams of one protocol, peer and direction: those that run and those that wait for a place.
 *
 * Bytes and the peer's end are told where they come from yamux, where nothing of the program's is on the stack.
 * Everything else is marked on the stream and told by msub__exchange_step(): no operation calls back, whoever calls
 * it, and no stream dies under a callback. */
#ifndef MSUB_HOST_EXCHANGE_H
#define MSUB_HOST_EXCHANGE_H
#include "host/stream.h"

/* The operations for a served protocol; NULL: none. *id: its text, valid until it is served no longer. */
const msub__stream_ops *msub__exchange_find(const msub_host *h, msub_bytes token, msub_bytes *id);
/* Protocols that are served, for identify. Returns how many. */
size_t msub__exchange_list(const msub_host *h, msub_bytes *out, size_t cap);
/* Makes the calls that are due. true: more are. */
bool msub__exchange_step(msub_host *h);
/* The last connection of p is gone. */
void msub__exchange_peer_gone(msub__peer *p);

void msub__exchange_init(msub_host *h);
/* Ends what is left, telling everybody. All connections are closed. */
void msub__exchange_fini(msub_host *h);
#endif
