/* routers/gossipsub/actions.c: GRAFTs and PRUNEs on their way out. Those of one peer go in one RPC; a PRUNE with peer exchange has
 * an RPC of its own. */
#include "routers/gossipsub/gossipsub.h"

#define ENTRIES 64 /* of an RPC */

void msub__gs_actions_init(msub__gs_actions *a) {
  a->a = a->few;
  a->n = 0;
  a->cap = sizeof a->few / sizeof *a->few;
}

static void release(msub_router *r, msub__gs_actions *a) {
  if (a->a != a->few) msub__free(msub_r_mem(r), a->a, a->cap * sizeof *a->a);
  msub__gs_actions_init(a);
}

void msub__gs_actions_fini(msub_router *r, msub__gs_actions *a) {
  msub__gs_actions_flush(r, a);
  release(r, a);
}

void msub__gs_act(msub_router *r, msub__gs_actions *a, msub_session s, msub_topic t, uint8_t kind, bool px, bool leaving) {
  if (a->n == a->cap) {
    size_t old = a->a == a->few ? 0 : a->cap * sizeof *a->a, cap = a->cap * 2;
    msub__gs_action *bigger = msub__alloc(msub_r_mem(r), cap * sizeof *bigger);
    if (bigger) {
      for (size_t i = 0; i < a->n; i++) bigger[i] = a->a[i];
      if (old) msub__free(msub_r_mem(r), a->a, old);
      a->a = bigger;
      a->cap = cap;
    } else msub__gs_actions_flush(r, a);
  }
  a->a[a->n++] = (msub__gs_action){ .s = s, .t = t, .kind = kind, .px = px && msub__gs_opts(r)->peer_exchange, .leaving = leaving };
}

/* Whole seconds, rounded up, so that nobody comes back too early; the reference rounds down. */
static uint64_t seconds(const msub_router *r, uint64_t ns) {
  return ns / MSUB__S + (ns % MSUB__S && !msub__gs_of(r)->parity ? 1 : 0);
}

static msub_ctl_entry entry_of(msub_router *r, const msub__gs_action *a, const msub__gs_session *ss) {
  const msub_gossipsub_opts *o = msub__gs_opts(r);
  msub_ctl_entry e = { .kind = a->kind, .topic_name = msub_r_name(r, a->t) };
  if (a->kind == MSUB_C_PRUNE && ss->is & MSUB_F_PX) e.backoff_s = seconds(r, a->leaving ? o->unsubscribe_backoff_ns : o->prune_backoff_ns);
  return e;
}

static void send_with_px(msub_router *r, const msub__gs_action *a, const msub__gs_session *ss) {
  msub_px px[MSUB__GS_PX_PEERS];
  uint8_t records[MSUB__GS_PX_BYTES];
  msub_ctl_entry e = entry_of(r, a, ss);
  e.n_px = (uint16_t)msub__gs_px_make(r, a->t, a->s, px, records);
  e.px = px;
  (void)msub__gs_send(r, &a->s, 1, &e, 1, MSUB_LANE_CONTROL);
}

static void send_chain(msub_router *r, const msub__gs_actions *a, size_t first) {
  msub_session s = a->a[first].s;
  const msub__gs_session *ss = msub__gs_session_of(r, s);
  msub_ctl_entry e[ENTRIES];
  size_t n = 0;
  for (size_t i = first + 1; i; i = a->a[i - 1].next) {
    const msub__gs_action *at = &a->a[i - 1];
    if (at->px && ss->is & MSUB_F_PX) {
      send_with_px(r, at, ss);
      continue;
    }
    if (n == ENTRIES) {
      (void)msub__gs_send(r, &s, 1, e, n, MSUB_LANE_CONTROL);
      n = 0;
    }
    e[n++] = entry_of(r, at, ss);
  }
  if (n) (void)msub__gs_send(r, &s, 1, e, n, MSUB_LANE_CONTROL);
}

void msub__gs_actions_flush(msub_router *r, msub__gs_actions *a) {
  for (size_t i = a->n; i-- > 0;) {
    msub__gs_session *ss = msub__gs_session_of(r, a->a[i].s);
    if (!ss) continue;
    a->a[i].next = ss->chain;
    ss->chain = (uint32_t)i + 1;
  }
  for (size_t i = 0; i < a->n; i++) {
    msub__gs_session *ss = msub__gs_session_of(r, a->a[i].s);
    if (!ss || ss->chain != i + 1) continue;
    ss->chain = 0;
    send_chain(r, a, i);
  }
  a->n = 0;
}

size_t msub__gs_send(msub_router *r, const msub_session *to, size_t n_to, const msub_ctl_entry *e, size_t n, msub_lane lane) {
  if (msub__gs_of(r)->retries)
    for (size_t i = 0; i < n_to; i++) msub__gs_retry(r, to[i]);
  return msub_r_send(r, to, n_to, e, n, lane);
}
