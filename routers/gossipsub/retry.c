/* routers/gossipsub/retry.c: GRAFTs and PRUNEs that were dropped on the way out. They are sent again before the next thing that
 * goes to the peer and at the end of each heartbeat, if they are still true. A PRUNE goes without its peer exchange then. */
#include "routers/gossipsub/gossipsub.h"

#define ENTRIES 64 /* of an RPC */

typedef struct entry {
  uint32_t session; /* 0: done */
  uint32_t name;    /* held */
  uint32_t backoff_s, tick, next;
  uint8_t kind;
} entry;
struct msub__gs_retries {
  uint32_t n, cap;
  entry *e;
};

static void release(msub_router *r, struct msub__gs_retries *q) {
  msub__free(msub_r_mem(r), q->e, q->cap * sizeof *q->e);
  msub__free(msub_r_mem(r), q, sizeof *q);
}

/* Takes over the hold on the name; false: it does not. */
static bool append(msub_router *r, entry e) {
  msub__gs *g = msub__gs_of(r);
  if (!g->retries) g->retries = msub__zalloc(msub_r_mem(r), 1, sizeof *g->retries);
  struct msub__gs_retries *q = g->retries;
  if (!q || q->n == MSUB__GS_RETRIES) return false;
  if (q->n == q->cap) {
    uint32_t cap = q->cap ? q->cap * 2 : 4;
    entry *bigger = msub__realloc(msub_r_mem(r), q->e, q->cap * sizeof *bigger, cap * sizeof *bigger);
    if (!bigger) return false;
    q->e = bigger;
    q->cap = cap;
  }
  q->e[q->n++] = e;
  return true;
}

static void keep(msub_router *r, msub_session s, msub__gs_session *ss, const msub_ctl_entry *c) {
  msub__gs *g = msub__gs_of(r);
  entry e = { .session = s.v, .name = c->topic_name, .kind = c->kind, .tick = g->tick,
              .backoff_s = c->backoff_s < UINT32_MAX ? (uint32_t)c->backoff_s : UINT32_MAX };
  for (uint32_t i = 0; ss->is & MSUB__GS_IS_RETRY && g->retries && i < g->retries->n; i++) {
    entry *old = &g->retries->e[i];
    if (old->session != s.v || old->name != e.name) continue;
    *old = e; /* the newest word of a topic is the one that counts */
    return;
  }
  msub_r_name_hold(r, e.name);
  if (append(r, e)) ss->is |= MSUB__GS_IS_RETRY;
  else msub_r_name_drop(r, e.name);
}

void msub__gs_dropped(msub_router *r, msub_session s, const msub_rpc *rpc, int reason) {
  msub__gs_session *ss = msub__gs_session_of(r, s);
  if (!ss || !rpc->ctl || reason == MSUB_R_GONE) return;
  for (uint32_t i = 0; i < rpc->ctl->n; i++) {
    const msub_ctl_entry *e = &rpc->ctl->e[i];
    if ((e->kind == MSUB_C_GRAFT || e->kind == MSUB_C_PRUNE) && e->topic_name) keep(r, s, ss, e);
    if (e->kind == MSUB_C_PARTIAL) msub__gs_partial_dropped(r, s, e);
    for (uint32_t k = 0; e->kind == MSUB_C_IWANT && k < e->n_ids; k++) msub__gs_unasked(r, s, e->ids[k]);
  }
}

/* A GRAFT while the peer is in the mesh, a PRUNE while it is not. */
static bool is_true(const msub_router *r, const entry *e) {
  msub_topic t = msub_r_topic_of(r, e->name);
  const msub__gs_topic *tt = t.v ? msub__gs_topic_of(r, t) : NULL;
  bool in = tt && tt->mode == MSUB__GS_MESH && msub__gs_is_member(tt, (msub_session){ e->session });
  return in == (e->kind == MSUB_C_GRAFT);
}

static msub_ctl_entry as_sent(const entry *e) {
  return (msub_ctl_entry){ .kind = e->kind, .topic_name = e->name, .backoff_s = e->backoff_s };
}

static void send(msub_router *r, msub_session s, const msub_ctl_entry *e, size_t n, const uint32_t *names, size_t n_names) {
  if (n) (void)msub_r_send(r, &s, 1, e, n, MSUB_LANE_CONTROL); /* dropped again: kept again */
  for (size_t i = 0; i < n_names; i++) msub_r_name_drop(r, names[i]);
}

void msub__gs_retry(msub_router *r, msub_session s) {
  msub__gs *g = msub__gs_of(r);
  msub__gs_session *ss = msub__gs_session_of(r, s);
  if (!ss || !(ss->is & MSUB__GS_IS_RETRY)) return;
  msub_ctl_entry e[ENTRIES];
  uint32_t names[ENTRIES], left = 0;
  size_t n = 0, n_names = 0;
  ss->is &= (uint8_t)~MSUB__GS_IS_RETRY;
  struct msub__gs_retries *q = g->retries;
  for (uint32_t i = 0; q && i < q->n; i++) {
    entry at = q->e[i];
    if (at.session != s.v || n_names == ENTRIES) {
      if (at.session == s.v) ss->is |= MSUB__GS_IS_RETRY;
      q->e[left++] = at;
      continue;
    }
    names[n_names++] = at.name;
    if (is_true(r, &at)) e[n++] = as_sent(&at);
  }
  if (q) q->n = left;
  if (q && left == 0) {
    g->retries = NULL;
    release(r, q);
  }
  send(r, s, e, n, names, n_names);
}

void msub__gs_retry_all(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  struct msub__gs_retries *q = g->retries;
  if (!q) return;
  g->retries = NULL;
  for (uint32_t i = q->n; i-- > 0;) {
    msub_session s = { q->e[i].session };
    msub__gs_session *ss = msub__gs_session_of(r, s);
    if (!ss) continue;
    ss->is &= (uint8_t)~MSUB__GS_IS_RETRY;
    q->e[i].next = ss->chain;
    ss->chain = i + 1;
  }
  for (uint32_t i = 0; i < q->n; i++) {
    msub_session s = { q->e[i].session };
    msub__gs_session *ss = msub__gs_session_of(r, s);
    if (!ss) {
      if (s.v) msub_r_name_drop(r, q->e[i].name);
      continue;
    }
    if (ss->chain != i + 1) continue;
    ss->chain = 0;
    msub_ctl_entry e[ENTRIES];
    uint32_t names[ENTRIES];
    size_t n = 0, n_names = 0;
    for (uint32_t k = i + 1; k; k = q->e[k - 1].next) {
      entry *at = &q->e[k - 1];
      /* What was dropped a moment ago waits: the queue is as full as it was. The reference tries at once, and asks not. */
      if (!g->parity && at->tick == g->tick && append(r, *at)) {
        ss->is |= MSUB__GS_IS_RETRY;
        at->session = 0;
        continue;
      }
      names[n_names++] = at->name;
      if (g->parity || is_true(r, at)) e[n++] = as_sent(at);
      at->session = 0;
      if (n_names < ENTRIES) continue;
      send(r, s, e, n, names, n_names);
      n = n_names = 0;
    }
    send(r, s, e, n, names, n_names);
  }
  release(r, q);
}

void msub__gs_retry_forget(msub_router *r, msub_session s) {
  msub__gs *g = msub__gs_of(r);
  struct msub__gs_retries *q = g->retries;
  uint32_t left = 0;
  if (!q) return;
  for (uint32_t i = 0; i < q->n; i++) {
    if (q->e[i].session == s.v) msub_r_name_drop(r, q->e[i].name);
    else q->e[left++] = q->e[i];
  }
  q->n = left;
  if (left) return;
  g->retries = NULL;
  release(r, q);
}

void msub__gs_retry_fini(msub_router *r) {
  struct msub__gs_retries *q = msub__gs_of(r)->retries;
  if (!q) return;
  for (uint32_t i = 0; i < q->n; i++) msub_r_name_drop(r, q->e[i].name);
  msub__gs_of(r)->retries = NULL;
  release(r, q);
}
