/* meshsub/randomsub.h: the randomsub router: a message goes to random peers of its topic, about the square root of the network's
 * size of them. Protocol /randomsub/1.0.0 and (unless another router has it) /floodsub/1.0.0.
 *
 *   msub_randomsub_opts o;  msub_randomsub_opts_init(&o);  o.network = 2000;
 *   msub_plan_new(shared, &msub_randomsub, &o, &plan);
 *
 * Recipients of a message, own or forwarded, are peers of the topic, without its author and who sent it:
 *
 *   - every peer that speaks floodsub: nobody else may pass it on to them;
 *   - of those that speak randomsub, max(6, ceil(sqrt(network))) chosen anew for each message, or all if there are no more.
 *
 * While a joined topic has fewer peers than that number, more are wanted.
 *
 * There is neither a mesh nor gossip: what the chosen ones do not pass on is lost. Source: go-libp2p-pubsub's randomsub, which is
 * its only description. */
#ifndef MESHSUB_RANDOMSUB_H
#define MESHSUB_RANDOMSUB_H
#include "router.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Nests and is nested like any other router. Options: msub_randomsub_opts, or NULL for the defaults. msub_ready(t, n): the topic has
 * n peers (0: 6), or 6 that speak randomsub. */
MSUB_API extern const msub_router_ops msub_randomsub;

/* Lowest number of randomsub peers that get a message. */
#define MSUB_RANDOMSUB_LEAST 6u

typedef struct msub_randomsub_opts {
  uint32_t size;    /* set by msub_randomsub_opts_init */
  uint32_t network; /* nodes in the network, as estimated: 36, for which the square root is the least of 6. Any value */
  bool floodsub;    /* claims /floodsub/1.0.0, too, unless another router of the engine does: true */
} msub_randomsub_opts;
/* The defaults above. */
MSUB_API void msub_randomsub_opts_init(msub_randomsub_opts *o);
/* NULL: fine; else the rule that does not hold, as text. msub_plan_new() answers INVAL then. */
MSUB_API const char *msub_randomsub_opts_fault(const msub_randomsub_opts *o);

#ifdef __cplusplus
}
#endif
#endif
