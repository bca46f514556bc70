/* tests/support/forwarding.h: a router that nests another one and forwards every operation by hand, but for one if a test says so.
 * It has blocks of its own, so that those of the inner router lie elsewhere than without it. */
#ifndef MSUB_TESTS_FORWARDING_H
#define MSUB_TESTS_FORWARDING_H
#include "meshsub/router.h"

#define FORWARDING_OPS(X) \
  X(session_up) X(session_agreed) X(session_down) X(retain) X(join) X(leave) X(remote_join) X(remote_leave) X(announce) \
  X(accept_from) X(arrived) X(validated) X(duplicate) X(control) X(publish) X(ask) X(offer) X(dropped) X(ready) X(snapshot) \
  X(command) X(next_deadline) X(advance) X(address_changed) X(unheard) X(hello) X(extension)
typedef enum forwarding_op {
  KEEPS_NONE,
#define X(op) KEEPS_##op,
  FORWARDING_OPS(X)
#undef X
} forwarding_op;

typedef struct forwarding_opts {
  const msub_router_ops *inner;
  const void *inner_opts;
  forwarding_op keeps; /* not forwarded: answered as if nobody had it */
} forwarding_opts;
extern const msub_router_ops forwarding;
#endif
