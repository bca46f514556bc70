/* host/handlers.h: which protocols a peer may open to us. */
#ifndef MSUB_HOST_HANDLERS_H
#define MSUB_HOST_HANDLERS_H
#include "host/stream.h"

/* The operations of a protocol that this connection may open now, NULL: none; *id: its text, which lives as
 * long as the host. */
const msub__stream_ops *msub__handlers_find(const msub__conn *c, msub_bytes token, msub_bytes *id);
/* Is this a protocol of the host itself or of one of its routers? */
bool msub__handlers_own(const msub_host *h, msub_bytes id);
/* Everything that we serve, for identify; the last *of_exchange are the program's. Returns how many. */
size_t msub__handlers_list(const msub_host *h, msub_bytes *out, size_t cap, size_t *of_exchange);
/* The router whose protocol this is, or NULL. */
const msub__group *msub__handlers_group(const msub_host *h, msub_bytes id);
#endif
