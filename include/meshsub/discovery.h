/* meshsub/discovery.h: finding peers of a topic, as a world asks for it: when a router says that a topic has too few
 * (msub_world_ops.want_peers), the world calls find(); what is found goes to the world's own found function, which dials within its limits.
 *
 * Threads: the world's thread; implementations that wait for a network answer later, through found(). */
#ifndef MESHSUB_DISCOVERY_H
#define MESHSUB_DISCOVERY_H
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct msub_discovery_ops {
  uint32_t abi, size; /* MSUB_ABI, sizeof(msub_discovery_ops) */
  /* The program joined (on) or left the topic: make us findable under this name, or no longer. NULL: not told. */
  void (*advertise)(void *d, msub_bytes topic, bool on);
  /* n more peers of the topic are wanted. Asked again (at most once a second and topic) as long as that is so; an implementation bounds
   * its own work. found(found_ud, peer_id, addr): a peer; addr: a binary multiaddr, or empty when only the id is known; may be called
   * from inside, and until cancel. Required. */
  void (*find)(void *d, msub_bytes topic, unsigned n, void (*found)(void *found_ud, msub_bytes peer_id, msub_bytes addr), void *found_ud);
  void (*cancel)(void *d, msub_bytes topic); /* no more wanted; NULL: not told */
  /* The world stops in order, and everything advertised has been taken back: starts what that takes. Called again and again until it answers
   * false: nothing is under way. A host waits a second at most, for all that it has to do at its end. NULL: not waited for. */
  bool (*wind_up)(void *d);
} msub_discovery_ops;
typedef struct msub_discovery { const msub_discovery_ops *ops; void *d; } msub_discovery;

#ifdef __cplusplus
}
#endif
#endif
