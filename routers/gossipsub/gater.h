/* routers/gossipsub/gater.h: who is heard while there is no room to validate everything. msub_gossipsub_gater says what is counted and
 * how an RPC fares. Without the gater there is no struct: every call answers at once. */
#ifndef MSUB_ROUTERS_GOSSIPSUB_GATER_H
#define MSUB_ROUTERS_GOSSIPSUB_GATER_H
#include "meshsub/gossipsub.h"

struct msub__gs_peer;

size_t msub__gs_gater_block(const msub_gossipsub_gater *o); /* bytes that it needs in a peer block, behind msub__gs_peer */

int msub__gs_gater_init(msub_router *r);
void msub__gs_gater_fini(msub_router *r);
void msub__gs_gater_up(msub_router *r, msub_session s, msub_bytes address);
void msub__gs_gater_moved(msub_router *r, msub_session s, msub_bytes address);
/* The session ends; again is fine. Returns until when the peer block is to be kept, 0: it is not. */
uint64_t msub__gs_gater_down(msub_router *r, msub_session s);
void msub__gs_gater_forget(msub_router *r, struct msub__gs_peer *block);

bool msub__gs_gater_hears(msub_router *r, msub_session s); /* its RPC, whole; draws */
double msub__gs_gater_odds(const msub_router *r, msub_peer p); /* that it does, connected or not */
void msub__gs_gater_arrived(msub_router *r);
void msub__gs_gater_validated(msub_router *r, msub_topic t, const msub_peer *from, size_t n, msub_verdict v, int reason);
void msub__gs_gater_duplicate(msub_router *r, msub_session from);

uint64_t msub__gs_gater_deadline(const msub_router *r);
void msub__gs_gater_advance(msub_router *r);
void msub__gs_gater_decay(msub_router *r); /* one step */
int msub__gs_gater_tell(msub_router *r, const void *arg, size_t n); /* MSUB_GOSSIPSUB_GATE */

#endif
