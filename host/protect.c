#include <string.h>
#include "host/peers.h"
#include "host/protect.h"

static bool same(const void *ctx, uint32_t value, const void *key) {
  const msub_host *h = ctx;
  return msub_bytes_eq(msub_peer_id_bytes(&h->guard.all[value].id), *(const msub_bytes *)key);
}

static uint32_t find(const msub_host *h, msub_bytes id) {
  return msub__table_find(&h->guard.index, msub__hash(&h->hashkey, id), same, h, &id);
}

bool msub__protect_has(const msub_host *h, msub_bytes peer_id) { return find(h, peer_id) != MSUB__NONE; }

static msub__protected *add(msub_host *h, msub_bytes id) {
  msub__guard *g = &h->guard;
  if (g->n == g->cap) {
    uint32_t cap = g->cap ? g->cap * 2 : 16;
    msub__protected *all = msub__realloc(&h->mem, g->all, g->cap * sizeof *all, cap * sizeof *all);
    if (!all) return NULL;
    g->all = all;
    g->cap = cap;
  }
  msub__protected *p = &g->all[g->n];
  *p = (msub__protected){ .hash = msub__hash(&h->hashkey, id), .id = msub_peer_id_of(id) };
  if (msub__table_insert(&g->index, &h->mem, p->hash, g->n) != MSUB_OK) return NULL;
  g->n++;
  return p;
}

static void take_out(msub_host *h, uint32_t i) {
  msub__guard *g = &h->guard;
  (void)msub__table_remove(&g->index, g->all[i].hash, i);
  uint32_t last = --g->n;
  if (i == last) return;
  (void)msub__table_update(&g->index, g->all[last].hash, last, i);
  g->all[i] = g->all[last];
}

static void settle(msub_host *h, const msub__protected *p) {
  if (!p->always && !p->by_program && p->topics == 0) take_out(h, (uint32_t)(p - h->guard.all));
}

void msub__protect(msub_host *h, msub_bytes peer_id, msub_topic t, bool on) {
  if (peer_id.n == 0 || peer_id.n > MSUB_PEER_ID_MAX) return;
  uint32_t i = find(h, peer_id);
  msub__protected *p = i != MSUB__NONE ? &h->guard.all[i] : on ? add(h, peer_id) : NULL;
  if (!p) return;
  if (t.v == 0)
    p->always = on;
  else if (on)
    p->topics++;
  else if (p->topics > 0)
    p->topics--;
  settle(h, p);
}

int msub__protect_by_program(msub_host *h, msub_bytes peer_id, bool on) {
  uint32_t i = find(h, peer_id);
  msub__protected *p = i != MSUB__NONE ? &h->guard.all[i] : on ? add(h, peer_id) : NULL;
  if (!p) return on ? MSUB_ERR_NOMEM : MSUB_OK;
  p->by_program = on;
  settle(h, p);
  return MSUB_OK;
}

bool msub__protect_has_program(const msub_host *h, msub_bytes peer_id) {
  uint32_t i = find(h, peer_id);
  return i != MSUB__NONE && h->guard.all[i].by_program;
}

msub__conn *msub__protect_spare(const msub_host *h, bool outbound) {
  msub__conn *best = NULL;
  for (msub__node *n = h->conns.next; n != &h->conns; n = n->next) {
    msub__conn *c = MSUB__OF(n, msub__conn, in_conns);
    if (c->state != MSUB__CONN_OPEN || c->failed || c->outbound != outbound || c->keep) continue;
    if (outbound && !c->hinted) continue;
    if (h->now.mono_ns - c->opened < h->o.grace_ns || (best && c->opened < best->opened)) continue;
    if (!msub__protect_has(h, msub__peer_bytes(c->peer))) best = c;
  }
  return best;
}

void msub__protect_fini(msub_host *h) {
  msub__free(&h->mem, h->guard.all, h->guard.cap * sizeof *h->guard.all);
  msub__table_fini(&h->guard.index, &h->mem);
}
