/* pubsub/plan.h: a router chain with its options, laid out once for all engines that use it.
 *
 *   level[0] outer: ops, opts, places of its blocks      entry.op: the outermost level that has the operation
 *   level[1] inner: …                                    hook[h]:  the outermost level whose policy has the hook
 */
#ifndef MSUB_PUBSUB_PLAN_H
#define MSUB_PUBSUB_PLAN_H
#include "meshsub/engine.h"
#include "pubsub/limits.h"

#define MSUB__NO_LEVEL 255u

#define MSUB__OPS_MAP(X)                                                                                            \
  X(session_up) X(session_agreed) X(session_down) X(retain) X(join) X(leave) X(remote_join) X(remote_leave) X(announce)      \
  X(accept_from) X(arrived) X(validated) X(duplicate) X(control) X(publish) X(ask) X(offer) X(dropped) X(ready) X(snapshot)  \
  X(command) X(next_deadline) X(advance) X(address_changed) X(unheard) X(hello) X(extension) X(feedback) X(scores) X(graylisted)
#define MSUB__HOOKS_MAP(X)                                                                                          \
  X(message_id) X(payload_out) X(payload_in) X(cache_put) X(cache_get) X(gossip_ids) X(shift) X(emit) X(may_graft)  \
  X(on_graft) X(on_peer_join) X(admit) X(released) X(deliver) X(may_peer)
enum {
#define MSUB_X(name) MSUB__H_##name,
  MSUB__HOOKS_MAP(MSUB_X)
#undef MSUB_X
  MSUB__HOOKS
};

/* Where a block lies in what holds it, and its size; 0: there is none. */
typedef struct msub__place { uint32_t at, n; } msub__place;
struct msub_level {
  const msub_router_ops *ops; /* the copy in the plan */
  const void *opts;
  const msub_channel_policy *policy; /* NULL: none */
  const struct msub_plan *plan;
  msub__place state, peer, session, topic, link;
  uint32_t depth;
};

struct msub_plan {
  struct msub_plan *next;
  uint32_t n_levels;
  struct msub_level level[MSUB__LEVELS];
  msub_router_ops ops[MSUB__LEVELS];          /* the plug-ins' tables; members that one does not have are NULL */
  msub_channel_policy policies[MSUB__LEVELS]; /* likewise */
  struct {
#define MSUB_X(name) uint8_t name;
    MSUB__OPS_MAP(MSUB_X)
#undef MSUB_X
  } entry;
  uint8_t hook[MSUB__HOOKS];
  unsigned hooks; /* a bit for each that a level has */
  uint32_t state_n, session_stride, peers_at, peers_n, topic_n, link_stride;
  unsigned windows, gossip_windows; /* of the message cache; 0: there is none */
  size_t cache_bytes;
  uint32_t n_protocols;
  struct { char *id; uint16_t features; bool weak; } protocols[MSUB__PROTOCOLS];
  struct msub__plan_block *blocks; /* msub_layout_alloc */
};
/* Does this policy have the hook? */
bool msub__policy_has(const msub_channel_policy *p, unsigned hook);
void msub__plan_drop(msub_shared *sh, struct msub_plan *p);
#endif
