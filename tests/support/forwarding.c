#include "forwarding.h"

static bool keeps(const msub_router *r, forwarding_op op) {
  return ((const forwarding_opts *)msub_r_opts(r))->keeps == op;
}
#define DO(op, ...)                                                                                          \
  do {                                                                                                       \
    if (!keeps(r, KEEPS_##op)) msub_x_##op(msub_r_inner(r), __VA_ARGS__);                                    \
  } while (0)
#define ANSWER(op, dflt, ...) return keeps(r, KEEPS_##op) ? (dflt) : msub_x_##op(msub_r_inner(r), __VA_ARGS__)

static int layout(msub_layout *l, const void *opts) {
  const forwarding_opts *o = opts;
  msub_layout_state(l, 16, 8);
  msub_layout_peer(l, 8, 8);
  msub_layout_session(l, 24, 8);
  msub_layout_topic(l, 8, 8);
  msub_layout_link(l, 4, 4);
  return msub_layout_nest(l, o->inner, o->inner_opts);
}

static int session_up(msub_router *r, msub_session s, const msub_session_info *i) {
  ANSWER(session_up, MSUB_OK, s, i);
}
static void session_agreed(msub_router *r, msub_session s, const msub_session_info *i) { DO(session_agreed, s, i); }
static void session_down(msub_router *r, msub_session s) { DO(session_down, s); }
static uint64_t retain(msub_router *r, msub_session s) { ANSWER(retain, 0, s); }
static int join(msub_router *r, msub_topic t) { ANSWER(join, MSUB_OK, t); }
static void leave(msub_router *r, msub_topic t) { DO(leave, t); }
static void remote_join(msub_router *r, msub_session s, msub_topic t, uint8_t flags) { DO(remote_join, s, t, flags); }
static void remote_leave(msub_router *r, msub_session s, msub_topic t, bool down) { DO(remote_leave, s, t, down); }
static uint8_t announce(msub_router *r, msub_topic t) { ANSWER(announce, 0, t); }
static msub_accept accept_from(msub_router *r, msub_session s) { ANSWER(accept_from, MSUB_FROM_ALL, s); }
static void arrived(msub_router *r, msub_topic t, const msub_msg *m, msub_session from) { DO(arrived, t, m, from); }
static void validated(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t n, msub_verdict v,
                      int reason) {
  DO(validated, t, m, from, n, v, reason);
}
static void duplicate(msub_router *r, msub_topic t, msub_bytes id, msub_session from) { DO(duplicate, t, id, from); }
static void control(msub_router *r, msub_session s, const msub_ctl *c, bool more) { DO(control, s, c, more); }
static void publish(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out) {
  DO(publish, t, m, from, out);
}
static int ask(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n) {
  ANSWER(ask, MSUB_ERR_UNSUPPORTED, s, t, ids, n);
}
static int offer(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n) {
  ANSWER(offer, MSUB_ERR_UNSUPPORTED, s, t, ids, n);
}
static void dropped(msub_router *r, msub_session s, const msub_rpc *rpc, int reason) { DO(dropped, s, rpc, reason); }
static bool ready(msub_router *r, msub_topic t, uint32_t n) { ANSWER(ready, msub_r_links(r, t) >= n, t, n); }
static size_t snapshot(msub_router *r, msub_topic t, msub_peer_state *out, size_t cap) {
  ANSWER(snapshot, 0, t, out, cap);
}
static void address_changed(msub_router *r, msub_session s, msub_bytes address) { DO(address_changed, s, address); }
static void unheard(msub_router *r, msub_session s, size_t n) { DO(unheard, s, n); }
static int command(msub_router *r, uint32_t what, const void *arg, size_t n) {
  ANSWER(command, MSUB_ERR_UNSUPPORTED, what, arg, n);
}
static uint64_t next_deadline(msub_router *r) {
  return keeps(r, KEEPS_next_deadline) ? MSUB_NEVER : msub_x_next_deadline(msub_r_inner(r));
}
static void advance(msub_router *r) {
  if (!keeps(r, KEEPS_advance)) msub_x_advance(msub_r_inner(r));
}
static uint8_t hello(msub_router *r, msub_session s) { ANSWER(hello, 0, s); }
static bool extension(msub_router *r, msub_session s, const msub_ctl_entry *e) { ANSWER(extension, false, s, e); }

const msub_router_ops forwarding = { .abi = MSUB_ABI,
                                     .size = sizeof(msub_router_ops),
                                     .name = "forwarding",
                                     .layout = layout,
#define X(op) .op = op,
                                     FORWARDING_OPS(X)
#undef X
};
