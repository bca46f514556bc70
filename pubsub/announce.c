/* pubsub/announce.c: control that leaves: whatever a router sends, subscriptions, hellos. Encoded once, however many get it, and
 * split so that every part is taken by any stock peer. */
#include "pubsub/engine.h"
#include "pubsub/rpc_split.h"
#include <string.h>

/* A part that is refused by one target is lost for that target only: its router hears of it. */
typedef struct sending {
  msub_engine *e;
  const msub_session *to;
  size_t n_to;
  msub_lane lane;
  bool *failed; /* by target */
} sending;

/* The extensions stand behind the subscriptions of their fragment. */
static const msub_ctl *with_extensions(msub_engine *e, const msub__load *load) {
  msub_ctl_entry all[MSUB__SEND_SUBSCRIPTIONS + 1];
  MSUB__INVARIANT(load->n <= MSUB__SEND_SUBSCRIPTIONS);
  if (load->n) memcpy(all, load->e, load->n * sizeof *all);
  uint8_t flags = (uint8_t)((load->ext_partial ? MSUB_EXT_PARTIAL : 0) | (load->ext_test ? MSUB_EXT_TEST : 0));
  all[load->n] = (msub_ctl_entry){ .kind = MSUB_C_EXTENSIONS, .flags = flags };
  return msub__ctl_new(e->sh, all, load->n + 1);
}

static bool send_to(msub_engine *e, msub_session to, const msub_rpc *rpc, msub_lane lane) {
  const msub__session *s = msub__session_of(e, to);
  return s && msub__send(e, s, to, rpc, lane);
}

static bool part(void *ud, const msub__fragment *f) {
  sending *x = ud;
  const msub_ctl *c = NULL;
  if (!f->too_large) c = f->load.ext ? with_extensions(x->e, &f->load) : msub__ctl_new(x->e->sh, f->load.e, f->load.n);
  if (!c) {
    MSUB__LOGE(x->e, MSUB_LOG_ERROR, f->too_large ? "a control entry of %zu bytes is not sent: no peer takes it" : "no memory for control of %zu bytes",
               f->size);
    for (size_t i = 0; i < x->n_to; i++) x->failed[i] = true;
    return true;
  }
  msub_rpc rpc = { NULL, 0, c, c->wire_n };
  for (size_t i = 0; i < x->n_to; i++)
    if (!send_to(x->e, x->to[i], &rpc, x->lane)) x->failed[i] = true;
  msub_ctl_drop(x->e->sh, c);
  return true;
}

#define TARGETS 64u /* at a time; more are served in several rounds, each of which encodes anew */

static const msub__split_limits limits = { .frame_bytes = MSUB__SEND_CONTROL_BYTES, .control_bytes = MSUB__SEND_CONTROL_BYTES,
                                           .subscriptions = MSUB__SEND_SUBSCRIPTIONS, .idontwant_ids = MSUB__SEND_IDONTWANT };

/* A PARTIAL or a TEST: as large as a message may be, and never cut. */
static size_t send_alone(msub_engine *e, const msub_session *to, size_t n_to, const msub_ctl_entry *entry, msub_lane lane) {
  size_t bytes = 0, took = 0;
  if (entry->kind == MSUB_C_PARTIAL && entry->n_ids != 3) return 0;
  for (uint32_t i = 0; i < entry->n_ids; i++) bytes += entry->ids[i].n < e->cfg->max_rpc ? entry->ids[i].n : e->cfg->max_rpc;
  const msub_ctl *c = bytes < e->cfg->max_rpc ? msub__ctl_new(e->sh, entry, 1) : NULL;
  if (c && c->wire_n <= e->cfg->max_rpc) {
    msub_rpc rpc = { NULL, 0, c, c->wire_n };
    for (size_t i = 0; i < n_to; i++) took += send_to(e, to[i], &rpc, lane);
  } else {
    MSUB__LOGE(e, MSUB_LOG_WARN, "a partial message of %zu bytes is not sent: %s", bytes, c || bytes >= e->cfg->max_rpc ? "no peer takes it" : "no memory");
  }
  msub_ctl_drop(e->sh, c);
  return took;
}

/* An entry that goes as it is, as most do. false: it may have to be cut, or there is no memory. */
static bool send_whole(msub_engine *e, const msub_session *to, size_t n_to, const msub_ctl_entry *entry, msub_lane lane, size_t *took) {
  if (entry->kind >= MSUB_C_EXTENSIONS || entry->n_ids > MSUB__SEND_IDONTWANT) return false;
  const msub_ctl *c = msub__ctl_new(e->sh, entry, 1);
  bool fits = c && c->wire_n <= MSUB__SEND_CONTROL_BYTES;
  *took = 0;
  if (fits) {
    msub_rpc rpc = { NULL, 0, c, c->wire_n };
    for (size_t i = 0; i < n_to; i++) *took += send_to(e, to[i], &rpc, lane);
  }
  msub_ctl_drop(e->sh, c);
  return fits;
}

size_t msub__send_control(msub_engine *e, const msub_session *to, size_t n_to, const msub_ctl_entry *entries, size_t n, msub_lane lane) {
  msub_bytes few[MSUB__SEND_SUBSCRIPTIONS + 1], *names = few;
  size_t took = 0;
  if (n == 1 && entries->kind > MSUB_C_EXTENSIONS) return send_alone(e, to, n_to, entries, lane);
  if (n == 1 && send_whole(e, to, n_to, entries, lane, &took)) return took;
  if (n == 0 || (n > MSUB__SEND_SUBSCRIPTIONS + 1 && !(names = msub__zalloc(msub__mem(e), n, sizeof *names)))) return 0;
  for (size_t i = 0; i < n; i++) names[i] = msub__name_of(e, entries[i].topic_name);
  const msub_ctl_entry *last = &entries[n - 1];
  bool ext = last->kind == MSUB_C_EXTENSIONS;
  msub__load load = { .e = entries, .names = names, .n = n - ext, .ext = ext, .ext_partial = ext && last->flags & MSUB_EXT_PARTIAL,
                      .ext_test = ext && last->flags & MSUB_EXT_TEST };
  took = 0;
  for (size_t at = 0; at < n_to; at += TARGETS) {
    bool failed[TARGETS] = { false };
    sending x = { e, to + at, n_to - at < TARGETS ? n_to - at : TARGETS, lane, failed };
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
    if (msub__session_at(e, ri, s)->peer) msub__send(e, msub__session_at(e, ri, s), msub__session_handle(e, ri, s), &rpc, MSUB_LANE_CONTROL);
  msub_ctl_drop(e->sh, c);
}

void msub__send_hello(msub_engine *e, unsigned ri, uint32_t slot, bool again) {
  msub_ctl_entry entries[MSUB__SEND_SUBSCRIPTIONS + 1];
  msub_session to = msub__session_handle(e, ri, slot);
  size_t n = 0;
  const msub__router *r = &e->routers[ri];
  uint8_t ext = again ? 0 : MSUB__ASK(e, ri, hello, 0, to);
  for (uint32_t i = 0; i < r->n_topics; i++) {
    const msub__topic *t = r->topics[i].t;
    if (!t || !t->in_router) continue;
    if (n == MSUB__SEND_SUBSCRIPTIONS) {
      if (ext) entries[n++] = (msub_ctl_entry){ .kind = MSUB_C_EXTENSIONS, .flags = ext };
      msub__send_control(e, &to, 1, entries, n, MSUB_LANE_CONTROL);
      ext = 0;
      n = 0;
    }
    entries[n++] = (msub_ctl_entry){ .kind = MSUB_C_SUB, .topic_name = t->name, .flags = MSUB__ASK(e, ri, announce, 0, t->handle) };
  }
  if (ext) entries[n++] = (msub_ctl_entry){ .kind = MSUB_C_EXTENSIONS, .flags = ext };
  if (n) msub__send_control(e, &to, 1, entries, n, MSUB_LANE_CONTROL);
}
