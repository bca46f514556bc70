/* meshsub/serve.h: for routers (router.h) that handle IWANT themselves, because they know which topic an id is of. */
#ifndef MESHSUB_SERVE_H
#define MESHSUB_SERVE_H
#include "router.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Answers an IWANT for one id out of the topic's policy (cache_get of channel.h), now or when it supplies it: as msub_r_serve(), but without the look-up of ids
 * and not counted by peer. OK, NOTFOUND, REFUSED: the queue did not take it (dropped() was told); STALE. In operations of the router. */
MSUB_API int msub_r_serve_topic(msub_router *r, msub_session s, msub_topic t, msub_bytes id);

#ifdef __cplusplus
}
#endif
#endif
