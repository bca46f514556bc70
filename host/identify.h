/* host/identify.h: /ipfs/id/1.0.0 both ways and /ipfs/id/push/1.0.0 both ways. */
#ifndef MSUB_HOST_IDENTIFY_H
#define MSUB_HOST_IDENTIFY_H
#include "host/stream.h"
#include "wire/identify.h"

extern const msub__stream_ops msub__identify_serve_ops;
extern const msub__stream_ops msub__identify_push_ops;
/* Asks the peer, once per connection. A peer that does not answer costs nothing but the answer. */
void msub__identify_ask(msub__conn *c);
/* What we say of ourselves is not what it was: who listens to pushes is told, once for all that changes within a second. */
void msub__identify_changed(msub_host *h);
void msub__identify_init(msub_host *h);
/* Our next signed record gets a higher number. */
void msub__record_renew(msub_host *h);
#endif
