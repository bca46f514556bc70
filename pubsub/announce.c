/* pubsub/announce.c: control that leaves: whatever a router sends, subscriptions, hellos. Encoded once, however many get it, and
 * split so that every part is taken by any stock peer. */
#include "pubsub/engine.h"
#include "pubsub/rpc_split.h"

/* A part that is refused by one target is lost for that target only: its router hears of it. */
typedef struct sending {
  msub_engine *e;
  unsigned ri;
  const msub_session *to;
  size_t n_to;
  msub_lane lane;
  bool *failed; /* by target */
} sending;

static bool part(void *ud, const msub__fragment *f) {
  sending *x = ud;
  const msub_ctl *c = f->too_large ? NULL : msub__ctl_new(x->e->sh, f->load.e, f->load.n);
  if (!c) {
    MSUB__LOGE(x->e, MSUB_LOG_ERROR, f->too_large ? "a control entry of %zu bytes is not sent: no peer takes it" : "no memory for control of %zu bytes",
               f->size);
    for (size_t i = 0; i < x->n_to; i++) x->failed[i] = true;
    return true;
  }
  msub_rpc rpc = { NULL, 0, c, c->wire_n };
  for (size_t i = 0; i < x->n_to; i++)
    if (!msub__session_of(x->e, x->to[i]) || !msub__send(x->e, x->ri, msub__handle_slot(x->to[i].v), &rpc, x->lane)) x->failed[i] = true;
  msub_ctl_drop(x->e->sh, c);
  return true;
}

#define TARGETS 64u /* at a time; more are served in several rounds, each of which encodes anew */

static const msub__split_limits limits = { .frame_bytes = MSUB__SEND_CONTROL_BYTES, .control_bytes = MSUB__SEND_CONTROL_BYTES,
                                           .subscriptions = MSUB__SEND_SUBSCRIPTIONS, .idontwant_ids = MSUB__SEND_IDONTWANT };

size_t msub__send_control(msub_engine *e, unsigned ri, const msub_session *to, size_t n_to, const msub_ctl_entry *entries, size_t n, msub_lane lane) {
  msub_bytes few[MSUB__SEND_SUBSCRIPTIONS], *names = few;
  if (n == 0 || (n > MSUB__SEND_SUBSCRIPTIONS && !(names = msub__zalloc(msub__mem(e), n, sizeof *names)))) return 0;
  for (size_t i = 0; i < n; i++) names[i] = msub__name_of(e, entries[i].topic_name);
  msub__load load = { .e = entries, .names = names, .n = n };
  size_t took = 0;
  for (size_t at = 0; at < n_to; at += TARGETS) {
    bool failed[TARGETS] = { false };
    sending x = { e, ri, to + at, n_to - at < TARGETS ? n_to - at : TARGETS, lane, failed };
    msub__rpc_split(&load, &limits, part, &x);
    for (size_t i = 0; i < x.n_to; i++) took += !failed[i];
  }
  if (names != few) msub__free(msub__mem(e), names, n * sizeof *names);
  return took;
}

void msub__announce(msub_engine *e, const msub__topic *t, bool joined) {
  unsigned ri = msub__handle_router(t->handle.v);
  const msub__router *r = &e->routers[ri];
  if (r->live_sessions == 0) return;
  msub_ctl_entry entry = { .kind = joined ? MSUB_C_SUB : MSUB_C_UNSUB, .topic_name = t->name };
  if (joined) entry.flags = MSUB__ASK(e, ri, announce, 0, t->handle);
  const msub_ctl *c = msub__ctl_new(e->sh, &entry, 1);
  if (!c) {
    MSUB__LOGE(e, MSUB_LOG_ERROR, "no memory to announce a topic");
    return;
  }
  msub_rpc rpc = { NULL, 0, c, c->wire_n };
  for (uint32_t s = 0; s < r->n_sessions; s++)
    if (msub__session_at(e, ri, s)->peer) msub__send(e, ri, s, &rpc, MSUB_LANE_CONTROL);
  msub_ctl_drop(e->sh, c);
}

void msub__send_hello(msub_engine *e, unsigned ri, uint32_t slot) {
  msub_ctl_entry entries[MSUB__SEND_SUBSCRIPTIONS];
  msub_session to = msub__session_handle(e, ri, slot);
  size_t n = 0;
  const msub__router *r = &e->routers[ri];
  for (uint32_t i = 0; i < r->n_topics; i++) {
    const msub__topic *t = r->topics[i].t;
    if (!t || !t->in_router) continue;
    if (n == MSUB__SEND_SUBSCRIPTIONS) {
      msub__send_control(e, ri, &to, 1, entries, n, MSUB_LANE_CONTROL);
      n = 0;
    }
    entries[n++] = (msub_ctl_entry){ .kind = MSUB_C_SUB, .topic_name = t->name, .flags = MSUB__ASK(e, ri, announce, 0, t->handle) };
  }
  if (n) msub__send_control(e, ri, &to, 1, entries, n, MSUB_LANE_CONTROL);
}
