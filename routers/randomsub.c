/* routers/randomsub.c: random peers of the topic, about the square root of the network's size of them, and every floodsub peer.
 *
 *   out   ┌ as it came ┬ floodsub peers ┬ drawn ┬ the rest of the randomsub peers ┐
 *         └────────────┴────────────────┴───────┴────── cut off ──────────────────┘ */
#include "meshsub/randomsub.h"
#include "routers/wanting.h"

enum { F_RANDOM = 1 }; /* feature: the peer speaks randomsub */
enum { RNG_PEERS };

static const msub_randomsub_opts defaults = { .size = sizeof(msub_randomsub_opts), .network = 36, .floodsub = true };
void msub_randomsub_opts_init(msub_randomsub_opts *o) { *o = defaults; }
const char *msub_randomsub_opts_fault(const msub_randomsub_opts *o) {
  return o->size == sizeof *o ? NULL : "size is what msub_randomsub_opts_init() sets";
}

static int layout(msub_layout *l, const void *opts) {
  const msub_randomsub_opts *o = opts ? opts : &defaults;
  if (msub_randomsub_opts_fault(o)) return MSUB_ERR_INVAL;
  msub_layout_state(l, sizeof(msub__wanting), 8);
  int rc = msub_layout_protocol(l, "/randomsub/1.0.0", F_RANDOM);
  return rc == MSUB_OK && o->floodsub ? msub_layout_protocol_weak(l, "/floodsub/1.0.0", 0) : rc;
}

/* How many randomsub peers get a message: ceil(sqrt(network)), at least 6. */
static size_t target(const msub_router *r) {
  const msub_randomsub_opts *o = msub_r_opts(r);
  uint64_t network = o ? o->network : defaults.network, root = 0;
  for (uint64_t bit = UINT64_C(1) << 15; bit; bit >>= 1)
    if ((root + bit) * (root + bit) <= network) root += bit;
  if (root * root < network) root++;
  return root > MSUB_RANDOMSUB_LEAST ? (size_t)root : MSUB_RANDOMSUB_LEAST;
}

static void swap(msub_session *a, msub_session *b) {
  msub_session c = *a;
  *a = *b;
  *b = c;
}

static void publish(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out) {
  msub_peer author = msub_r_peer_known(r, msub_from(m));
  size_t links = msub_r_links(r, t), first = out->n;
  for (size_t i = 0; i < links; i++) {
    msub_session s = msub_r_link_session(r, t, i);
    if (s.v == from.v || (author.v && msub_r_session_peer(r, s).v == author.v)) continue;
    if (!msub_list_add(out, s)) return;
    if (!(msub_r_features(r, s) & F_RANDOM)) swap(&out->s[first++], &out->s[out->n - 1]);
  }
  size_t n = out->n - first, want = target(r);
  if (n <= want) return;
  for (size_t i = 0; i < want; i++) swap(&out->s[first + i], &out->s[first + i + msub_r_rand(r, RNG_PEERS, (uint32_t)(n - i))]);
  out->n = first + want;
}

static bool ready(msub_router *r, msub_topic t, uint32_t n) {
  size_t links = msub_r_links(r, t), random = 0;
  if (links >= (n ? n : MSUB_RANDOMSUB_LEAST)) return true;
  for (size_t i = 0; i < links; i++) random += (msub_r_features(r, msub_r_link_session(r, t, i)) & F_RANDOM) != 0;
  return random >= MSUB_RANDOMSUB_LEAST;
}

/* ---- peers are wanted ---- */

static int init(msub_router *r) {
  msub__wanting_init(msub_r_state(r));
  return MSUB_OK;
}
static int join(msub_router *r, msub_topic t) {
  if (msub_r_links(r, t) < target(r)) msub__wanting_soon(r, msub_r_state(r));
  return MSUB_OK;
}
/* The link is still there. */
static void remote_leave(msub_router *r, msub_session s, msub_topic t, bool down) {
  (void)s, (void)down;
  if (msub_r_links(r, t) <= target(r) && msub_r_joined(r, t)) msub__wanting_soon(r, msub_r_state(r));
}
static uint64_t next_deadline(msub_router *r) { return ((const msub__wanting *)msub_r_state(r))->at; }
static void advance(msub_router *r) { msub__wanting_look(r, msub_r_state(r), target(r)); }

const msub_router_ops msub_randomsub = { .abi = MSUB_ABI, .size = sizeof(msub_router_ops), .name = "randomsub", .layout = layout,
                                         .init = init, .join = join, .remote_leave = remote_leave, .publish = publish, .ready = ready,
                                         .next_deadline = next_deadline, .advance = advance };
