/* host/protect.h: whose connections are worth keeping, as the routers say (world.protect), and who makes room when a limit of
 * connections is reached.
 *
 * Known by peer id, whether the peer is connected or not: direct peers are protected before they come. */
#ifndef MSUB_HOST_PROTECT_H
#define MSUB_HOST_PROTECT_H
#include "host/conn.h"

#define MSUB__PROTECT_WHY "makes room for another one"

typedef struct msub__protected {
  msub_peer_id id;
  uint64_t hash;
  uint32_t topics;
  bool always;     /* a router says so of no topic: a direct peer */
  bool by_program;
} msub__protected;

/* Without memory the peer is not protected. */
void msub__protect(msub_host *h, msub_bytes peer_id, msub_topic t, bool on);
bool msub__protect_has(const msub_host *h, msub_bytes peer_id);
/* NOMEM. */
MSUB_MUST int msub__protect_by_program(msub_host *h, msub_bytes peer_id, bool on);
bool msub__protect_has_program(const msub_host *h, msub_bytes peer_id);
/* An open connection that may be closed to make room: not kept, of a peer that nobody protects, and not new; of these the
 * youngest, so that whoever comes in crowds displaces its own kind. Outbound: only those that were dialled on a hint. NULL: none. */
msub__conn *msub__protect_spare(const msub_host *h, bool outbound);
void msub__protect_fini(msub_host *h);
#endif
