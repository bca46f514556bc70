/* floodsub: every message to every peer of its topic, except where it came from and its author.
 * Source: the pubsub specification; /floodsub/1.0.0 has no text of its own. */
#include "meshsub/router.h"

#define ENOUGH 5 /* peers of a topic that make a publish worth it, as go-libp2p-pubsub counts them */

static int layout(msub_layout *l, const void *opts) {
  (void)opts;
  return msub_layout_protocol(l, "/floodsub/1.0.0", 0);
}

static void publish(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out) {
  msub_peer author = msub_r_peer_known(r, msub_from(m));
  size_t n = msub_r_links(r, t);
  for (size_t i = 0; i < n; i++) {
    msub_session s = msub_r_link_session(r, t, i);
    if (s.v == from.v) continue;
    if (author.v && msub_r_session_peer(r, s).v == author.v) continue;
    if (!msub_list_add(out, s)) return;
  }
}

static bool ready(msub_router *r, msub_topic t, uint32_t n) {
  size_t peers = msub_r_links(r, t);
  return peers >= n || peers >= ENOUGH;
}

const msub_router_ops msub_floodsub = { .abi = MSUB_ABI, .size = sizeof(msub_router_ops), .name = "floodsub", .layout = layout,
                                        .publish = publish, .ready = ready };
