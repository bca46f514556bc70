/* host/ping.h: /ipfs/ping/1.0.0: 32 bytes, echoed. */
#ifndef MSUB_HOST_PING_H
#define MSUB_HOST_PING_H
#include "host/stream.h"

#define MSUB__PING_ID "/ipfs/ping/1.0.0"
#define MSUB__PING_BYTES 32u

extern const msub__stream_ops msub__ping_serve_ops;
/* One ping; done(ud, round trip) or done(ud, MSUB_NEVER), exactly once and never from inside. LIMIT, NOMEM,
 * CLOSED. */
MSUB_MUST int msub__ping_send(msub__conn *c, void (*done)(void *ud, uint64_t rtt_ns), void *ud);
#endif
