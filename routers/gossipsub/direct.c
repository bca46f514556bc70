/* routers/gossipsub/direct.c: direct peers: agreed between two operators, always served, never in a mesh. */
#include <string.h>
#include "routers/gossipsub/gossipsub.h"

struct msub__gs_directs {
  uint64_t first_call; /* NEVER once it is over */
  uint32_t n, cap;
  msub_peer peer[]; /* held */
};
static size_t size_of(uint32_t cap) { return sizeof(struct msub__gs_directs) + cap * sizeof(msub_peer); }

static uint32_t find(const struct msub__gs_directs *d, msub_peer p) {
  for (uint32_t i = 0; d && i < d->n; i++)
    if (d->peer[i].v == p.v) return i;
  return UINT32_MAX;
}

bool msub__gs_is_direct(const msub_router *r, msub_peer p) { return find(msub__gs_of(r)->directs, p) != UINT32_MAX; }

static int add(msub_router *r, msub_bytes id, msub_peer *out) {
  msub__gs *g = msub__gs_of(r);
  msub_peer p = msub_r_peer_hold(r, id);
  if (!p.v) return MSUB_ERR_NOMEM;
  *out = p;
  if (msub__gs_is_direct(r, p)) {
    msub_r_peer_drop(r, p);
    return MSUB_OK;
  }
  struct msub__gs_directs *d = g->directs;
  if (!d || d->n == d->cap) {
    uint32_t cap = d ? d->cap * 2 : 4;
    if (d && d->n == MSUB__GS_DIRECT) {
      msub_r_peer_drop(r, p);
      return MSUB_ERR_LIMIT;
    }
    struct msub__gs_directs *bigger = msub__realloc(msub_r_mem(r), d, d ? size_of(d->cap) : 0, size_of(cap));
    if (!bigger) {
      msub_r_peer_drop(r, p);
      return MSUB_ERR_NOMEM;
    }
    if (!d) {
      bigger->n = 0;
      bigger->first_call = MSUB_NEVER;
    }
    bigger->cap = cap;
    g->directs = d = bigger;
  }
  d->peer[d->n++] = p;
  msub_r_protect(r, p, (msub_topic){ 0 }, true);
  return MSUB_OK;
}

int msub__gs_direct_init(msub_router *r) {
  const msub_gossipsub_opts *o = msub__gs_opts(r);
  msub_peer p;
  int rc = MSUB_OK;
  for (size_t i = 0; i < o->n_direct && rc == MSUB_OK; i++) rc = add(r, o->direct[i], &p);
  if (rc == MSUB_OK && msub__gs_of(r)->directs) msub__gs_of(r)->directs->first_call = msub__deadline(msub_r_mono(r), MSUB__GS_DIRECT_DELAY);
  return rc;
}

static void call(msub_router *r, msub_peer p) {
  if (!msub_r_session_of(r, p).v) msub_r_connect_hint(r, msub_r_peer_id(r, p), (msub_bytes){ NULL, 0 });
}

void msub__gs_direct_connect(msub_router *r) {
  const struct msub__gs_directs *d = msub__gs_of(r)->directs;
  for (uint32_t i = 0; d && i < d->n; i++) call(r, d->peer[i]);
}

uint64_t msub__gs_direct_deadline(const msub_router *r) {
  const struct msub__gs_directs *d = msub__gs_of(r)->directs;
  return d ? d->first_call : MSUB_NEVER;
}

void msub__gs_direct_advance(msub_router *r) {
  struct msub__gs_directs *d = msub__gs_of(r)->directs;
  if (!d || !msub__passed(d->first_call, msub_r_mono(r))) return;
  d->first_call = MSUB_NEVER;
  msub__gs_direct_connect(r);
}

void msub__gs_reclassify(msub_router *r, msub_session s) {
  const msub__gs_session *ss = msub__gs_session_of(r, s);
  bool apart = !(ss->is & MSUB_F_MESH) || ss->is & MSUB__GS_IS_DIRECT;
  size_t n = msub_r_topics(r);
  for (size_t i = 0; i < n; i++) {
    msub_topic t = msub_r_topic_at(r, i);
    msub__gs_link *l = t.v ? msub_r_link(r, s, t) : NULL;
    if (!l || !(l->is & MSUB__GS_LINKED) || !!(l->is & MSUB__GS_APART) == apart) continue;
    msub__gs_topic *tt = msub__gs_topic_of(r, t);
    l->is ^= MSUB__GS_APART;
    if (apart) tt->apart++;
    else tt->apart--;
  }
}

/* Out of every mesh and fanout; the reference leaves it where it is. */
static void leave_meshes(msub_router *r, msub_session s) {
  const msub__gs *g = msub__gs_of(r);
  msub__gs_actions a;
  msub__gs_actions_init(&a);
  for (uint32_t i = 0; i < g->n_active; i++) {
    msub__gs_topic *tt = msub__gs_topic_of(r, g->active[i]);
    if (!tt) continue;
    if (tt->mode == MSUB__GS_FANOUT) (void)msub__gs_member_remove(r, g->active[i], tt, s);
    else if (msub__gs_mesh_remove(r, g->active[i], tt, s)) msub__gs_act(r, &a, s, g->active[i], MSUB_C_PRUNE, false, false);
  }
  msub__gs_actions_fini(r, &a);
}

static void mark(msub_router *r, msub_peer p, bool on) {
  msub_session s = msub_r_session_of(r, p);
  msub__gs_session *ss = s.v ? msub__gs_session_of(r, s) : NULL;
  if (!ss || !!(ss->is & MSUB__GS_IS_DIRECT) == on) return;
  ss->is ^= MSUB__GS_IS_DIRECT;
  if (on && !msub__gs_of(r)->parity) leave_meshes(r, s);
  msub__gs_reclassify(r, s);
}

int msub__gs_command(msub_router *r, uint32_t what, const void *arg, size_t n) {
  msub__gs *g = msub__gs_of(r);
  msub_bytes id = { arg, n };
  if (what == MSUB_GOSSIPSUB_GATE) return msub__gs_gater_tell(r, arg, n);
  if (what != MSUB_GOSSIPSUB_ADD_DIRECT && what != MSUB_GOSSIPSUB_REMOVE_DIRECT) {
    int rc = msub__gs_partial_command(r, what, arg, n);
    return rc == MSUB_ERR_UNSUPPORTED ? msub__gs_score_command(r, what, arg, n) : rc;
  }
  if (n == 0) return MSUB_ERR_INVAL;
  if (what == MSUB_GOSSIPSUB_ADD_DIRECT) {
    msub_peer p;
    int rc = add(r, id, &p);
    if (rc != MSUB_OK) return rc;
    mark(r, p, true);
    if (!g->parity) call(r, p);
    return MSUB_OK;
  }
  msub_peer p = msub_r_peer_known(r, id);
  uint32_t i = p.v ? find(g->directs, p) : UINT32_MAX;
  if (i == UINT32_MAX) return MSUB_ERR_NOTFOUND;
  struct msub__gs_directs *d = g->directs;
  memmove(&d->peer[i], &d->peer[i + 1], (d->n - i - 1) * sizeof *d->peer);
  d->n--;
  mark(r, p, false);
  msub_r_protect(r, p, (msub_topic){ 0 }, false);
  msub_r_peer_drop(r, p);
  return MSUB_OK;
}

void msub__gs_direct_fini(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  struct msub__gs_directs *d = g->directs;
  if (!d) return;
  for (uint32_t i = 0; i < d->n; i++) msub_r_peer_drop(r, d->peer[i]);
  msub__free(msub_r_mem(r), d, size_of(d->cap));
  g->directs = NULL;
}
