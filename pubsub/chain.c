/* pubsub/chain.c: operations as an outer level forwards them: the level's own, or the first further in that has it. */
#include "pubsub/engine.h"

/* The first handle from r on whose level has the operation, or NULL. */
#define FIRST(r, op) \
  const struct msub_level *l = (r)->level; \
  const uint32_t n = l->plan->n_levels; \
  uint32_t d = l->depth; \
  while (d < n && !l->plan->ops[d].op) d++; \
  msub_router *at = d < n ? (r) + (d - l->depth) : NULL
#define DO(r, op, ...) \
  do { \
    FIRST(r, op); \
    if (at) at->level->ops->op(at, __VA_ARGS__); \
  } while (0)
#define ANSWER(r, op, dflt, ...) \
  do { \
    FIRST(r, op); \
    return at ? at->level->ops->op(at, __VA_ARGS__) : (dflt); \
  } while (0)

int msub_x_session_up(msub_router *r, msub_session s, const msub_session_info *i) { ANSWER(r, session_up, MSUB_OK, s, i); }
void msub_x_session_agreed(msub_router *r, msub_session s, const msub_session_info *i) { DO(r, session_agreed, s, i); }
void msub_x_session_down(msub_router *r, msub_session s) { DO(r, session_down, s); }
uint64_t msub_x_retain(msub_router *r, msub_session s) { ANSWER(r, retain, 0, s); }
int msub_x_join(msub_router *r, msub_topic t) { ANSWER(r, join, MSUB_OK, t); }
void msub_x_leave(msub_router *r, msub_topic t) { DO(r, leave, t); }
void msub_x_remote_join(msub_router *r, msub_session s, msub_topic t, uint8_t flags) { DO(r, remote_join, s, t, flags); }
void msub_x_remote_leave(msub_router *r, msub_session s, msub_topic t, bool down) { DO(r, remote_leave, s, t, down); }
uint8_t msub_x_announce(msub_router *r, msub_topic t) { ANSWER(r, announce, 0, t); }
msub_accept msub_x_accept_from(msub_router *r, msub_session s) { ANSWER(r, accept_from, MSUB_FROM_ALL, s); }
void msub_x_arrived(msub_router *r, msub_topic t, const msub_msg *m, msub_session from) { DO(r, arrived, t, m, from); }
void msub_x_validated(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t count, msub_verdict v, int reason) {
  DO(r, validated, t, m, from, count, v, reason);
}
void msub_x_duplicate(msub_router *r, msub_topic t, msub_bytes id, msub_session from) { DO(r, duplicate, t, id, from); }
void msub_x_control(msub_router *r, msub_session s, const msub_ctl *c, bool more) { DO(r, control, s, c, more); }
void msub_x_publish(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out) { DO(r, publish, t, m, from, out); }
int msub_x_ask(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t count) {
  ANSWER(r, ask, MSUB_ERR_UNSUPPORTED, s, t, ids, count);
}
int msub_x_offer(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t count) {
  ANSWER(r, offer, MSUB_ERR_UNSUPPORTED, s, t, ids, count);
}
void msub_x_dropped(msub_router *r, msub_session s, const msub_rpc *rpc, int reason) { DO(r, dropped, s, rpc, reason); }
bool msub_x_ready(msub_router *r, msub_topic t, uint32_t peers) { ANSWER(r, ready, msub_r_links(r, t) >= peers, t, peers); }
size_t msub_x_snapshot(msub_router *r, msub_topic t, msub_peer_state *out, size_t cap) { ANSWER(r, snapshot, 0, t, out, cap); }
int msub_x_command(msub_router *r, uint32_t what, const void *arg, size_t bytes) { ANSWER(r, command, MSUB_ERR_UNSUPPORTED, what, arg, bytes); }
int msub_x_scores(msub_router *r, void (*each)(void *ud, const struct msub_peer_score *s), void *ud) { ANSWER(r, scores, MSUB_ERR_UNSUPPORTED, each, ud); }
bool msub_x_graylisted(msub_router *r, msub_peer p) { ANSWER(r, graylisted, false, p); }
void msub_x_feedback(msub_router *r, msub_topic t, msub_peer p, bool useful) { DO(r, feedback, t, p, useful); }
uint64_t msub_x_next_deadline(msub_router *r) {
  FIRST(r, next_deadline);
  return at ? at->level->ops->next_deadline(at) : MSUB_NEVER;
}
void msub_x_address_changed(msub_router *r, msub_session s, msub_bytes address) { DO(r, address_changed, s, address); }
void msub_x_unheard(msub_router *r, msub_session s, size_t count) { DO(r, unheard, s, count); }
void msub_x_advance(msub_router *r) {
  FIRST(r, advance);
  if (at) at->level->ops->advance(at);
}
uint8_t msub_x_hello(msub_router *r, msub_session s) { ANSWER(r, hello, 0, s); }
bool msub_x_extension(msub_router *r, msub_session s, const msub_ctl_entry *e) { ANSWER(r, extension, false, s, e); }
