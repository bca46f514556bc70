/* host/world.h: the host as the engine's world. */
#ifndef MSUB_HOST_WORLD_H
#define MSUB_HOST_WORLD_H
#include "host/state.h"
extern const msub_world_ops msub__host_world; /* nobody listens, or looks for peers */
extern const msub_world_ops msub__host_world_traced; /* somebody does */
/* Brings verdicts of the pool to the engine. true: more wait. */
bool msub__world_verdicts(msub_host *h);
#endif
