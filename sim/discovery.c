/* sim/discovery.c: peers of a topic: when to ask a discovery, the simulation's own one, and the records of peers. */
#include "sim/sim.h"
#include <string.h>

/* ---- records ---- */

size_t msub__sim_record(const msub_sim *s, msub_bytes id, uint8_t out[MSUB__SIM_RECORD_MAX]) {
  static const char head[] = "record of ";
  size_t at = sizeof head - 1;
  if (id.n > 64) return 0;
  memcpy(out, head, at);
  if (id.n) memcpy(out + at, id.p, id.n);
  at += id.n;
  uint64_t z = msub__hash(&s->key, id);
  for (unsigned i = 0; i < 8; i++, z >>= 8) out[at++] = (uint8_t)z;
  return at;
}

/* ---- the rendezvous: who has joined what ---- */

static msub__sim_topic *topic_of(msub_sim *s, msub_bytes name, bool make) {
  msub__sim_topic *t = s->topics;
  while (t && !msub_bytes_eq((msub_bytes){ t->name->bytes, t->name->n }, name)) t = t->next;
  if (t || !make) return t;
  t = msub__zalloc(&s->mem, 1, sizeof *t);
  if (t) t->name = msub__rc_new(&s->mem, name);
  if (!t || !t->name) {
    msub__free(&s->mem, t, sizeof *t);
    msub__sim_nomem(s);
    return NULL;
  }
  t->next = s->topics;
  s->topics = t;
  return t;
}

/* Members are sorted, so that who joined first makes no difference. */
static size_t place_of(const msub__sim_topic *t, uint32_t no) {
  size_t lo = 0, hi = t->n;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (t->members[mid] < no) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}

static void rendezvous_advertise(void *d, msub_bytes topic, bool on) {
  msub__sim_node *n = d;
  msub_sim *s = n->sim;
  msub__sim_topic *t = topic_of(s, topic, on);
  if (!t) return;
  size_t i = place_of(t, n->no);
  bool there = i < t->n && t->members[i] == n->no;
  if (on == there) return;
  if (!on) {
    memmove(t->members + i, t->members + i + 1, (--t->n - i) * sizeof *t->members);
    return;
  }
  if (t->n == t->cap) {
    size_t cap = t->cap ? t->cap * 2 : 8;
    uint32_t *p = msub__realloc(&s->mem, t->members, t->cap * sizeof *p, cap * sizeof *p);
    if (!p) {
      msub__sim_nomem(s);
      return;
    }
    t->members = p;
    t->cap = cap;
  }
  memmove(t->members + i + 1, t->members + i, (t->n++ - i) * sizeof *t->members);
  t->members[i] = n->no;
}

static void rendezvous_find(void *d, msub_bytes topic, unsigned count,
                            void (*found)(void *found_ud, msub_bytes peer_id, msub_bytes addr), void *found_ud) {
  msub__sim_node *n = d;
  msub_sim *s = n->sim;
  (void)found, (void)found_ud; /* known */
  msub__sim_packet *p = msub__sim_packet_new(s);
  if (p) p->u.bytes = msub__rc_new(&s->mem, topic);
  if (!p || !p->u.bytes) {
    if (p) msub__sim_packet_free(s, p);
    msub__sim_nomem(s);
    return;
  }
  p->flags = MSUB__SIM_BYTES;
  p->n = count;
  if (!msub__sim_self(n, msub__deadline(s->now.mono_ns, s->o.rendezvous_ns), MSUB__SIM_FOUND, (uint64_t)(uintptr_t)p))
    msub__sim_packet_free(s, p);
}

static const msub_discovery_ops rendezvous = { .abi = MSUB_ABI,
                                               .size = sizeof(msub_discovery_ops),
                                               .advertise = rendezvous_advertise,
                                               .find = rendezvous_find };

static void found(void *ud, msub_bytes peer_id, msub_bytes addr) {
  msub__sim_node *n = ud;
  (void)addr;
  uint32_t peer = msub_sim_find(n->sim, peer_id);
  n->sim->counts.hints++;
  if (peer == MSUB_SIM_NOBODY) n->sim->counts.hints_bad++;
  else msub__sim_hint(n, peer);
}

/* The rendezvous answers: members from a random one on, without those that are connected. */
void msub__sim_found(msub__sim_node *n, msub__sim_packet *p) {
  msub_sim *s = n->sim;
  const msub__sim_topic *t = n->up ? topic_of(s, (msub_bytes){ p->u.bytes->bytes, p->u.bytes->n }, false) : NULL;
  if (t && t->n) {
    size_t start = msub__sim_below(s, n, MSUB__SIM_RNG_FIND, (uint32_t)t->n);
    uint32_t left = p->n;
    for (size_t i = 0; i < t->n && left > 0; i++) {
      uint32_t no = t->members[(start + i) % t->n];
      uint8_t id[64];
      if (no == n->no || msub__sim_half_to(n, no, true)) continue;
      left--;
      found(n, msub__sim_id(msub__sim_node_at(s, no), id), (msub_bytes){ NULL, 0 });
    }
  }
  msub__sim_packet_free(s, p);
}

void msub__sim_topics_fini(msub_sim *s) {
  while (s->topics) {
    msub__sim_topic *t = s->topics;
    s->topics = t->next;
    msub__rc_drop(&s->mem, t->name);
    msub__free(&s->mem, t->members, t->cap * sizeof *t->members);
    msub__free(&s->mem, t, sizeof *t);
  }
}

/* ---- asking ---- */

int msub__sim_wants_new(msub__sim_node *n) {
  n->wants = msub__zalloc(&n->sim->mem, 1, sizeof *n->wants);
  if (!n->wants) return MSUB_ERR_NOMEM;
  n->wants->d = n->c->o.discovery ? n->c->o.discovery(n->c->o.ud, n->sim, n->no) : (msub_discovery){ &rendezvous, n };
  const msub_discovery_ops *ops = n->wants->d.ops;
  if (!ops || ops->abi != MSUB_ABI || ops->size < offsetof(msub_discovery_ops, cancel)) return MSUB_ERR_INVAL;
  return ops->find ? MSUB_OK : MSUB_ERR_INVAL;
}

void msub__sim_wants_fini(msub__sim_node *n) {
  if (!n->wants) return;
  msub__free(&n->sim->mem, n->wants->w, n->wants->cap * sizeof *n->wants->w);
  msub__free(&n->sim->mem, n->wants, sizeof *n->wants);
  n->wants = NULL;
}

static msub_bytes name_of(const msub__sim_node *n, msub_topic t) {
  return msub_name_bytes(n->sim->sh, msub_topic_name(n->e, t));
}

static void cancel(const msub__sim_wants *w, msub__sim_want *at, msub_bytes name) {
  bool has = w->d.ops->size >= sizeof(msub_discovery_ops) && w->d.ops->cancel;
  if (at->active && has) w->d.ops->cancel(w->d.d, name);
  at->active = false;
}

void msub__sim_wants_stop(msub__sim_node *n) {
  msub__sim_wants *w = n->wants;
  if (!w || n->sim->closing) return;
  w->n = 0;
  if (w->d.ops != &rendezvous) return; /* it did not leave: it crashed, and who searches may be told of it in vain */
  for (msub__sim_topic *t = n->sim->topics; t; t = t->next) {
    size_t i = place_of(t, n->no);
    if (i < t->n && t->members[i] == n->no)
      memmove(t->members + i, t->members + i + 1, (--t->n - i) * sizeof *t->members);
  }
}

static msub__sim_want *want_of(msub__sim_wants *w, msub_topic t) {
  for (size_t i = 0; i < w->n; i++)
    if (w->w[i].topic.v == t.v) return &w->w[i];
  return NULL;
}

void msub__sim_advertise(msub__sim_node *n, msub_topic t, bool on) {
  msub__sim_wants *w = n->wants;
  msub__sim_want *at = want_of(w, t);
  if (!on && at) {
    cancel(w, at, name_of(n, t));
    *at = w->w[--w->n];
  }
  if (!w->d.ops->advertise) return;
  msub__sim_in(n);
  w->d.ops->advertise(w->d.d, name_of(n, t), on);
  msub__sim_out(n);
}

void msub__sim_want_peers(msub__sim_node *n, msub_topic t, unsigned count) {
  msub_sim *s = n->sim;
  msub__sim_wants *w = n->wants;
  msub__sim_want *at = want_of(w, t);
  if (count == 0) {
    if (at) cancel(w, at, name_of(n, t));
    return;
  }
  if (!at) {
    if (w->n == MSUB__SIM_WANTS) return;
    if (w->n == w->cap) {
      size_t cap = w->cap ? w->cap * 2 : 4;
      msub__sim_want *p = msub__realloc(&s->mem, w->w, w->cap * sizeof *p, cap * sizeof *p);
      if (!p) return; /* it will be asked for again */
      w->w = p;
      w->cap = cap;
    }
    at = &w->w[w->n++];
    *at = (msub__sim_want){ .topic = t };
  }
  if (s->now.mono_ns < at->next) return;
  at->next = msub__deadline(s->now.mono_ns, MSUB__SIM_ASK_NS);
  at->active = true;
  msub__sim_in(n);
  w->d.ops->find(w->d.d, name_of(n, t), count, found, n);
  msub__sim_out(n);
}
