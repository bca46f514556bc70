/* routers/gossipsub/extensions.c: which extensions both sides have announced. What a side announced lives exactly as long as the
 * stream that carried it: a new hello of ours, and a new first RPC of the peer's, begin afresh. */
#include "routers/gossipsub/extensions.h"
#include <string.h>

#define LATE_PENALTY 10u /* as the reference */

static uint32_t slot_of(msub_session s) { return s.v & 0xfffffu; }

msub__gs_ext_session *msub__gs_ext_of(const msub_router *r, msub_session s) {
  const struct msub__gs_ext *x = msub__gs_of(r)->ext;
  if (!x || slot_of(s) >= x->n_slots) return NULL;
  msub__gs_ext_session *at = &x->by_slot[slot_of(s)];
  return at->session == s.v ? at : NULL;
}

struct msub__gs_ext *msub__gs_ext_need(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  if (!g->ext) g->ext = msub__zalloc(msub_r_mem(r), 1, sizeof *g->ext);
  return g->ext;
}

/* NULL: no memory. */
static msub__gs_ext_session *make(msub_router *r, msub_session s) {
  struct msub__gs_ext *x = msub__gs_ext_need(r);
  if (!x) return NULL;
  if (slot_of(s) >= x->n_slots) {
    uint32_t n = x->n_slots ? x->n_slots * 2 : 4;
    while (n <= slot_of(s)) n *= 2;
    msub__gs_ext_session *more = msub__realloc(msub_r_mem(r), x->by_slot, x->n_slots * sizeof *more, n * sizeof *more);
    if (!more) return NULL;
    memset(more + x->n_slots, 0, (n - x->n_slots) * sizeof *more);
    x->by_slot = more;
    x->n_slots = n;
  }
  msub__gs_ext_session *at = &x->by_slot[slot_of(s)];
  if (at->session != s.v) *at = (msub__gs_ext_session){ .session = s.v };
  return at;
}

static uint8_t ours(const msub_router *r) {
  const msub_gossipsub_extensions *o = &msub__gs_opts(r)->extensions;
  return (uint8_t)((o->partial ? MSUB_EXT_PARTIAL : 0) | (o->test ? MSUB_EXT_TEST : 0));
}

static bool in_use(const msub__gs_ext_session *x, uint8_t which) { return x && x->agreed && (x->said & x->theirs & which); }

bool msub__gs_partial_with(const msub_router *r, msub_session s) { return in_use(msub__gs_ext_of(r, s), MSUB_EXT_PARTIAL); }

static void greet(msub_router *r, msub_session s, msub__gs_ext_session *x) {
  if (x->tested || !in_use(x, MSUB_EXT_TEST)) return;
  x->tested = true;
  msub_ctl_entry e = { .kind = MSUB_C_TEST };
  (void)msub__gs_send(r, &s, 1, &e, 1, MSUB_LANE_CONTROL);
}

uint8_t msub__gs_hello(msub_router *r, msub_session s) {
  uint8_t flags = ours(r);
  msub_session_info i;
  if (!flags || !msub_r_info(r, s, &i)) return 0;
  msub__gs_ext_session *x = make(r, s);
  if (!x) return 0;
  msub__gs_partial_forget(r, s); /* what was sent on an older stream may not have got there */
  x->said = i.features & MSUB_F_EXTENSIONS ? flags : 0;
  x->agreed = i.agreed;
  x->tested = false;
  return x->said;
}

void msub__gs_ext_agreed(msub_router *r, msub_session s) {
  msub__gs_ext_session *x = msub__gs_ext_of(r, s);
  if (!x) return;
  x->agreed = true;
  greet(r, s, x);
}

bool msub__gs_extension(msub_router *r, msub_session s, const msub_ctl_entry *e) {
  if (e->kind == MSUB_C_EXTENSIONS && e->flags & MSUB_EXT_LATE) {
    msub__gs_score_penalty(r, s, LATE_PENALTY);
    return false;
  }
  if (!ours(r)) return false;
  msub__gs_ext_session *x = msub__gs_ext_of(r, s);
  if (e->kind == MSUB_C_EXTENSIONS) {
    if (!x && e->flags) x = make(r, s);
    if (!x) return false;
    msub__gs_partial_forget(r, s);
    x->theirs = e->flags;
    x->tested = false; /* it may have forgotten ours, too: the reference sends it again */
    greet(r, s, x);
    return true;
  }
  if (!x) {
    if (e->kind == MSUB_C_PARTIAL && msub__gs_of(r)->ext) msub__gs_of(r)->ext->counts.of_no_use++;
    return false;
  }
  if (e->kind == MSUB_C_PARTIAL) return msub__gs_partial_in(r, s, x, e);
  return x->theirs & ours(r) & MSUB_EXT_TEST;
}

void msub__gs_ext_down(msub_router *r, msub_session s) {
  msub__gs_ext_session *x = msub__gs_ext_of(r, s);
  if (!x) return;
  msub__gs_partial_forget(r, s);
  x->session = 0;
}

void msub__gs_ext_fini(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  if (!g->ext) return;
  msub__gs_partial_fini(r);
  msub__free(msub_r_mem(r), g->ext->by_slot, g->ext->n_slots * sizeof *g->ext->by_slot);
  msub__free(msub_r_mem(r), g->ext, sizeof *g->ext);
  g->ext = NULL;
}
