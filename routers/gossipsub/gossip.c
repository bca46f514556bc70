/* routers/gossipsub/gossip.c: IHAVE to some of the peers outside the mesh. A heartbeat gathers who hears of which topic, then
 * sends: a list of ids that several hear whole is encoded once. */
#include <string.h>
#include "routers/gossipsub/gossipsub.h"

#define ENTRIES 64 /* IHAVEs of an RPC */
#define FEW 64     /* ids of a topic */

typedef struct msub__gs_told {
  msub_session s; /* 0: has got it */
  uint32_t subject, next;
} told;
typedef struct msub__gs_subject {
  uint32_t name;
  size_t first_id, n_ids, first_told, n_told;
  const msub_ctl *shared; /* the IHAVE that all hear alike; NULL: not made */
} subject;

static bool grow(msub_router *r, void **p, size_t *cap, size_t need, size_t item) {
  if (need <= *cap) return true;
  size_t more = *cap ? *cap * 2 : 16;
  while (more < need) more *= 2;
  void *q = msub__realloc(msub_r_mem(r), *p, *cap * item, more * item);
  if (!q) return false;
  *p = q;
  *cap = more;
  return true;
}

static bool room_for_told(msub_router *r, msub__gs_gossip *g, size_t n) {
  void *p = g->told;
  bool ok = grow(r, &p, &g->cap_told, n, sizeof(told));
  g->told = p;
  return ok;
}
static bool room_for_subject(msub_router *r, msub__gs_gossip *g, size_t n) {
  void *p = g->subject;
  bool ok = grow(r, &p, &g->cap_subjects, n, sizeof(subject));
  g->subject = p;
  return ok;
}
static bool room_for_bytes(msub_router *r, msub__gs_gossip *g, size_t n) {
  void *p = g->ids;
  bool ok = grow(r, &p, &g->cap_bytes, n, 1);
  g->ids = p;
  return ok;
}

/* Copies the ids of the topic: views into a policy do not outlast the next call into it. */
static bool take_ids(msub_router *r, msub__gs_gossip *g, const msub_bytes *ids, size_t n) {
  size_t bytes = 0;
  for (size_t i = 0; i < n; i++) bytes += 1 + ids[i].n;
  if (!room_for_bytes(r, g, g->n_bytes + bytes)) return false;
  for (size_t i = 0; i < n; i++) {
    g->ids[g->n_bytes] = (uint8_t)ids[i].n;
    memcpy(&g->ids[g->n_bytes + 1], ids[i].p, ids[i].n);
    g->n_bytes += 1 + ids[i].n;
  }
  g->n_ids += n;
  return true;
}

/* All ids that the topic has to announce, up to the limit; how many. */
static size_t collect_ids(msub_router *r, msub__gs_gossip *g, msub_topic t) {
  size_t n = 0, taken = 0;
  for (size_t cap = 8 * FEW; !taken; cap *= 8) {
    if (cap > MSUB__GS_GOSSIP_IDS) cap = MSUB__GS_GOSSIP_IDS;
    msub_bytes *ids = msub__zalloc(msub_r_mem(r), cap, sizeof *ids);
    if (!ids) return 0;
    n = msub_h_gossip_ids(r, t, ids, cap);
    bool all = n < cap || cap == MSUB__GS_GOSSIP_IDS;
    if (all && n) taken = take_ids(r, g, ids, n) ? n : 0;
    msub__free(msub_r_mem(r), ids, cap * sizeof *ids);
    if (all) break;
  }
  return taken;
}

static bool note(msub_router *r, msub__gs_gossip *g, msub_topic t, subject s, const msub_list *to) {
  if (!room_for_told(r, g, g->n_told + to->n) || !room_for_subject(r, g, g->n_subjects + 1)) return false;
  for (size_t i = 0; i < to->n; i++)
    if (msub__gs_advertised(r, to->s[i], t)) g->told[g->n_told++] = (told){ to->s[i], (uint32_t)g->n_subjects, 0 };
  s.n_told = g->n_told - s.first_told;
  if (!s.n_told) return false;
  g->subject[g->n_subjects++] = s;
  return true;
}

void msub__gs_gossip_emit(msub_router *r, msub__gs_gossip *g, msub_topic t) {
  if (msub_r_links(r, t) == 0) return;
  if (g->n_bytes > MSUB__GS_GOSSIP_BYTES || g->n_told > MSUB__GS_GOSSIP_TOLD) msub__gs_gossip_flush(r, g);
  /* Most topics have few ids or none. A long list is fetched when somebody is there to hear it. */
  msub_bytes few[FEW];
  size_t bytes = g->n_bytes, first = g->n_ids, n = msub_h_gossip_ids(r, t, few, FEW);
  msub__gs_topic *tt = msub__gs_topic_of(r, t);
  bool partial = tt->partial != 0;
  if ((n == 0 && !tt->groups) || (n && n < FEW && !take_ids(r, g, few, n))) return;
  const msub_gossipsub_mesh *m = msub__gs_params(r, t);
  msub__gs_picks c;
  msub__gs_picks_init(&c);
  unsigned how = (msub_h_emit_mesh_too(r, t) ? MSUB__GS_MEMBERS_TOO : 0u) | (msub__gs_of(r)->parity ? MSUB__GS_UNFILTERED : 0u);
  msub__gs_candidates(r, t, how, msub__gs_thresholds_of(r)->gossip, &c);
  size_t share = (size_t)((uint64_t)c.n * m->gossip_factor_ppm / 1000000);
  size_t want = share > m->dlazy ? share : m->dlazy;
  msub_list to = { c.s, c.n, c.cap };
  if (c.n) msub_h_emit(r, t, want < c.n ? want : c.n, &to);
  if (partial) msub__gs_partial_gossip(r, t, tt, &to);
  if (to.n && n == FEW) n = collect_ids(r, g, t);
  if (!to.n || !n || !note(r, g, t, (subject){ msub_r_name(r, t), first, n, g->n_told, 0, NULL }, &to)) {
    g->n_bytes = bytes;
    g->n_ids = first;
  }
  msub__gs_picks_fini(r, &c);
}

/* ---- sending ---- */

/* An IHAVE of the subject; of a long list each peer hears a part of its own. */
static msub_ctl_entry ihave(msub_router *r, subject *s, msub_bytes *ids) {
  size_t max = msub__gs_opts(r)->max_ihave_length, n = s->n_ids;
  if (s->shared) return s->shared->e[0];
  ids += s->first_id;
  if (n > max) {
    for (size_t i = 0; i < max; i++) {
      size_t k = i + msub_r_rand(r, MSUB__GS_RNG_GOSSIP, (uint32_t)(n - i));
      msub_bytes id = ids[k];
      ids[k] = ids[i];
      ids[i] = id;
    }
    n = max;
  }
  msub_ctl_entry e = { .kind = MSUB_C_IHAVE, .topic_name = s->name, .ids = ids, .n_ids = (uint32_t)n };
  if (n == s->n_ids && s->n_told > 1) s->shared = msub_r_ctl_new(r, &e);
  return s->shared ? s->shared->e[0] : e;
}

static msub__gs_session *hears(msub_router *r, msub_session s) {
  msub__gs_session *ss = msub__gs_session_of(r, s);
  return ss && ss->is & MSUB_F_MESH ? ss : NULL;
}

/* Who hears of more topics than SHARED_IHAVES gets all of them in RPCs of its own. */
static void send_merged(msub_router *r, msub__gs_gossip *g, msub_bytes *ids) {
  for (size_t i = g->n_told; i-- > 0;) {
    msub__gs_session *ss = hears(r, g->told[i].s);
    if (!ss) continue;
    g->told[i].next = ss->chain;
    ss->chain = (uint32_t)i + 1;
  }
  for (size_t i = 0; i < g->n_told; i++) {
    msub_session s = g->told[i].s;
    msub__gs_session *ss = hears(r, s);
    if (!ss || ss->chain != i + 1) continue;
    ss->chain = 0;
    size_t n = 0;
    for (size_t k = i + 1; k; k = g->told[k - 1].next) n++;
    if (n <= MSUB__GS_SHARED_IHAVES) continue;
    msub_ctl_entry e[ENTRIES];
    n = 0;
    for (size_t k = i + 1; k; k = g->told[k - 1].next) {
      g->told[k - 1].s.v = 0;
      e[n++] = ihave(r, &g->subject[g->told[k - 1].subject], ids);
      if (n < ENTRIES && g->told[k - 1].next) continue;
      (void)msub__gs_send(r, &s, 1, e, n, MSUB_LANE_GOSSIP);
      n = 0;
    }
  }
}

static void send_shared(msub_router *r, msub__gs_gossip *g, msub_bytes *ids) {
  msub__gs_picks to;
  msub__gs_picks_init(&to);
  for (size_t i = 0; i < g->n_subjects; i++) {
    subject *s = &g->subject[i];
    bool whole = s->n_ids <= msub__gs_opts(r)->max_ihave_length;
    if (!msub__gs_picks_room(r, &to, s->n_told)) continue;
    for (size_t k = s->first_told; k < s->first_told + s->n_told; k++)
      if (g->told[k].s.v && hears(r, g->told[k].s)) msub__gs_picks_add(&to, g->told[k].s);
    for (size_t k = 0, step = whole ? to.n : 1; k < to.n; k += step) {
      msub_ctl_entry e = ihave(r, s, ids);
      (void)msub__gs_send(r, &to.s[k], step, &e, 1, MSUB_LANE_GOSSIP);
    }
  }
  msub__gs_picks_fini(r, &to);
}

void msub__gs_gossip_flush(msub_router *r, msub__gs_gossip *g) {
  msub_bytes *ids = g->n_told ? msub__zalloc(msub_r_mem(r), g->n_ids, sizeof *ids) : NULL;
  if (ids) {
    const uint8_t *p = g->ids;
    for (size_t i = 0; i < g->n_ids; i++, p += 1 + *p) ids[i] = (msub_bytes){ p + 1, *p };
    if (g->n_subjects > MSUB__GS_SHARED_IHAVES) send_merged(r, g, ids);
    send_shared(r, g, ids);
    for (size_t i = 0; i < g->n_subjects; i++) msub_r_ctl_drop(r, g->subject[i].shared);
    msub__free(msub_r_mem(r), ids, g->n_ids * sizeof *ids);
  }
  msub__free(msub_r_mem(r), g->told, g->cap_told * sizeof(told));
  msub__free(msub_r_mem(r), g->subject, g->cap_subjects * sizeof(subject));
  msub__free(msub_r_mem(r), g->ids, g->cap_bytes);
  *g = (msub__gs_gossip){ 0 };
}
