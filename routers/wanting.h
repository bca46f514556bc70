/* routers/wanting.h: routers without a mesh say when a joined topic has too few peers: at once, and then once a second as long as that is so. */
#ifndef MSUB_ROUTERS_WANTING_H
#define MSUB_ROUTERS_WANTING_H
#include "meshsub/router.h"

typedef struct msub__wanting { uint64_t at, last; } msub__wanting; /* at: of the next look; last: of the one before, 0: there was none */

void msub__wanting_init(msub__wanting *w);
/* A topic may have too few peers now. */
void msub__wanting_soon(msub_router *r, msub__wanting *w);
/* When it is time: tells the world of the joined topics that have fewer than `enough` peers. */
void msub__wanting_look(msub_router *r, msub__wanting *w, size_t enough);
#endif
