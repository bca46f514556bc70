/* routers/gossipsub/members.c: the members of a topic's mesh or fanout: one sorted array of sessions. A session may be a member
 * without having announced the topic (it has no link then), so the array is the truth and the link's flag only its shadow. */
#include "routers/gossipsub/probe.h"
#include <string.h>

#define FIRST_CAP 8u

/* Where s stands, or would stand. */
static uint32_t place(const msub__gs_topic *tt, msub_session s) {
  uint32_t lo = 0, hi = tt->n;
  while (lo < hi) {
    uint32_t mid = (lo + hi) / 2;
    if (tt->s[mid].v < s.v) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

bool msub__gs_is_member(const msub__gs_topic *tt, msub_session s) {
  uint32_t at = place(tt, s);
  return at < tt->n && tt->s[at].v == s.v;
}

bool msub__gs_member_add(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_session s) {
  msub__gs_session *ss = msub__gs_session_of(r, s);
  uint32_t at = place(tt, s);
  if (!ss || tt->n == MSUB__GS_MEMBERS || (at < tt->n && tt->s[at].v == s.v)) return false;
  if (tt->n == tt->cap) {
    uint32_t cap = tt->cap ? tt->cap * 2u : FIRST_CAP;
    msub_session *bigger = msub__realloc(msub_r_mem(r), tt->s, tt->cap * sizeof *bigger, cap * sizeof *bigger);
    if (!bigger) return false;
    tt->s = bigger;
    tt->cap = (uint16_t)cap;
  }
  msub__gs_probe_insert(r, tt, at);
  memmove(&tt->s[at + 1], &tt->s[at], (tt->n - at) * sizeof *tt->s);
  tt->s[at] = s;
  tt->n++;
  ss->member_of++;
  if (ss->is & MSUB__GS_IS_OUT) tt->outbound++;
  msub__gs_link *l = msub_r_link(r, s, t);
  if (l) {
    l->is |= MSUB__GS_MEMBER;
    if (l->is & MSUB__GS_OUT) tt->out_free--;
  }
  return true;
}

bool msub__gs_member_remove(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_session s) {
  uint32_t at = place(tt, s);
  if (at == tt->n || tt->s[at].v != s.v) return false;
  memmove(&tt->s[at], &tt->s[at + 1], (tt->n - at - 1u) * sizeof *tt->s);
  tt->n--;
  msub__gs_probe_remove(r, tt, at, s);
  msub__gs_session *ss = msub__gs_session_of(r, s);
  MSUB__INVARIANT(ss && ss->member_of > 0);
  ss->member_of--;
  if (ss->is & MSUB__GS_IS_OUT) tt->outbound--;
  msub__gs_link *l = msub_r_link(r, s, t);
  if (l) {
    l->is &= (uint8_t)~MSUB__GS_MEMBER;
    if (l->is & MSUB__GS_OUT) tt->out_free++;
  }
  if (tt->n == 0) {
    msub__free(msub_r_mem(r), tt->s, tt->cap * sizeof *tt->s);
    tt->s = NULL;
    tt->cap = 0;
    msub__gs_probe_free(r, tt);
  }
  return true;
}

void msub__gs_members_free(msub_router *r, msub_topic t, msub__gs_topic *tt) {
  while (tt->n) (void)msub__gs_member_remove(r, t, tt, tt->s[tt->n - 1]);
}

bool msub__gs_activate(msub_router *r, msub_topic t) {
  msub__gs *g = msub__gs_of(r);
  for (uint32_t i = 0; i < g->n_active; i++)
    if (g->active[i].v == t.v) return true;
  if (g->n_active == g->cap_active) {
    uint32_t cap = g->cap_active ? g->cap_active * 2 : 2;
    msub_topic *bigger = msub__realloc(msub_r_mem(r), g->active, g->cap_active * sizeof *bigger, cap * sizeof *bigger);
    if (!bigger) return false;
    g->active = bigger;
    g->cap_active = cap;
  }
  g->active[g->n_active++] = t;
  return true;
}

void msub__gs_deactivate(msub_router *r, msub_topic t) {
  msub__gs *g = msub__gs_of(r);
  for (uint32_t i = 0; i < g->n_active; i++)
    if (g->active[i].v == t.v) {
      memmove(&g->active[i], &g->active[i + 1], (g->n_active - i - 1) * sizeof *g->active);
      g->n_active--;
      return;
    }
}
