/* Which router a node runs, and with what: the options about it, checked and turned into the host's. */
#ifndef CLI_ROUTER_H
#define CLI_ROUTER_H
#include "cli/options.h"
#include <meshsub/gossipsub.h>
#include <meshsub/host.h>
#include <meshsub/randomsub.h>

typedef struct router_options {
  const char *name; /* NULL: gossipsub */
  text_list direct; /* addresses with /p2p */
  uint64_t d, dlo, dhi, heartbeat, network;
  bool d_given, dlo_given, dhi_given, heartbeat_given, network_given, px, gater;
  const char *gater_params; /* NULL: the defaults */
  /* made of them; the host's options point here */
  msub_gossipsub_opts gossipsub;
  msub_randomsub_opts randomsub;
  const msub_router_ops *ops[2];
  const void *opts[2];
  msub_peer_id *direct_ids;
  msub_bytes *direct_bytes;
} router_options;

/* Rows of an option table, for every command that runs a node. `r` is a router_options *. */
/* clang-format off */
#define ROUTER_OPTIONS(r)                                                                                    \
  { "--router", 0, OPT_TEXT, "NAME", "gossipsub (the default) or randomsub, which both serve\n"              \
    "floodsub peers as well, or floodsub.", &(r)->name, 0, 0, NULL },                                                                   \
  { "--direct", 0, OPT_LIST, "ADDR", "A direct peer, with /p2p/ID: connected to like --connect,\n"           \
    "never in a mesh, sent every message; it must do the same.\n"                                            \
    "Repeatable.", &(r)->direct, 0, 0, NULL },                                                               \
  { "--network", 0, OPT_NUMBER, "N", "randomsub: about how many nodes there are; a message goes to\n"        \
    "the square root of it. Default 36.", &(r)->network, 0, UINT32_MAX, &(r)->network_given }
/* And for one that lasts. */
#define MESH_OPTIONS(r)                                                                                      \
  { "--d", 0, OPT_NUMBER, "N", "Peers that a topic's mesh should have. Default 6.", &(r)->d, 0, 2048,        \
    &(r)->d_given },                                                                                         \
  { "--dlo", 0, OPT_NUMBER, "N", "With fewer it looks for more. Default 5, or by --d.", &(r)->dlo, 0, 2048,  \
    &(r)->dlo_given },                                                                                       \
  { "--dhi", 0, OPT_NUMBER, "N", "With so many it prunes down to --d. Default 12, or twice --d.",            \
    &(r)->dhi, 0, 4096, &(r)->dhi_given },                                                                   \
  { "--heartbeat", 0, OPT_DURATION, "TIME", "Between two looks at the mesh. Default 1s.", &(r)->heartbeat,   \
    0, 0, &(r)->heartbeat_given },                                                                           \
  { "--px", 0, OPT_FLAG, NULL, "Peer exchange: tell a peer that has to leave a full mesh of\n"               \
    "others.", &(r)->px, 0, 0, NULL },                                                                       \
  { "--gater", 0, OPT_MAYBE, "NAME=VALUE,...", "While there is no room to validate everything, hear less of\n"  \
    "those who sent little of use. Its parameters are in docs/cli.md.",                                       \
    &(r)->gater_params, 0, 0, &(r)->gater }
/* clang-format on */

/* Checks and makes. -1, or EXIT_USAGE. */
int router_make(router_options *r, const command *c);
/* Puts it into the host's options; r must outlive the host. */
void router_use(const router_options *r, msub_host_opts *o);
void router_free(router_options *r);

#endif
