/* floodsub: every message to every peer of its topic, except where it came from and its author.
 * Source: the pubsub specification; /floodsub/1.0.0 has no text of its own. */
#include "meshsub/router.h"
#include "routers/wanting.h"

#define ENOUGH 5 /* peers of a topic that make a publish worth it, and below which more are wanted, as go-libp2p-pubsub counts them */

static int layout(msub_layout *l, const void *opts) {
  (void)opts;
  msub_layout_state(l, sizeof(msub__wanting), 8);
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

/* ---- peers are wanted ---- */

static int init(msub_router *r) {
  msub__wanting_init(msub_r_state(r));
  return MSUB_OK;
}
static int join(msub_router *r, msub_topic t) {
  if (msub_r_links(r, t) < ENOUGH) msub__wanting_soon(r, msub_r_state(r));
  return MSUB_OK;
}
/* The link is still there. */
static void remote_leave(msub_router *r, msub_session s, msub_topic t, bool down) {
  (void)s, (void)down;
  if (msub_r_links(r, t) <= ENOUGH && msub_r_joined(r, t)) msub__wanting_soon(r, msub_r_state(r));
}
static uint64_t next_deadline(msub_router *r) { return ((const msub__wanting *)msub_r_state(r))->at; }
static void advance(msub_router *r) { msub__wanting_look(r, msub_r_state(r), ENOUGH); }

const msub_router_ops msub_floodsub = { .abi = MSUB_ABI, .size = sizeof(msub_router_ops), .name = "floodsub", .layout = layout,
                                        .init = init, .join = join, .remote_leave = remote_leave, .publish = publish, .ready = ready,
                                        .next_deadline = next_deadline, .advance = advance };
