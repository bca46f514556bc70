#include "routers/gossipsub/probe.h"
#include <string.h>

enum {
  MISSED = 8, BROUGHT = 3, OWES = 60,
  SUSPECT = 16, /* not in good standing from here on */
  PROVEN = 120, /* heartbeats for which a probe that was met speaks for a member */
  GOOD = 2,     /* so many others have to be in good standing for anything to count */
  PAUSES = 6
};

enum { PENDING = 1, REPAIRED = 2 };     /* msub__gs_probe.is */
enum { NO_PROBES = 1, PROBES = 2 };     /* msub__gs_topic.probing */
typedef msub__gs_standing standing;
typedef msub__gs_probe probe;

static size_t size_of(uint32_t cap) { return sizeof(struct msub__gs_probes) + cap * sizeof(standing); }

/* ---- what is out ---- */

static void end(msub_router *r, struct msub__gs_probes *ps, uint32_t k) {
  msub__free(msub_r_mem(r), ps->out[k].id, ps->out[k].id_n);
  ps->out[k] = ps->out[--ps->n_out];
  msub__gs_of(r)->probes_out--;
}

/* Hashes the id only for whom something is out. */
static uint32_t find_id(const msub_router *r, const struct msub__gs_probes *ps, msub_session s, msub_bytes id) {
  uint64_t hash = 0;
  bool hashed = false;
  for (uint32_t k = 0; k < ps->n_out; k++) {
    if (ps->out[k].to.v != s.v || ps->out[k].id_n != id.n) continue;
    if (!hashed) hash = msub_r_hash(r, id);
    hashed = true;
    if (ps->out[k].hash == hash) return k;
  }
  return ps->n_out;
}

static uint32_t find(const struct msub__gs_probes *ps, msub_session s, uint64_t hash) {
  uint32_t k = 0;
  while (k < ps->n_out && (ps->out[k].to.v != s.v || ps->out[k].hash != hash)) k++;
  return k;
}

static void end_all_of(msub_router *r, struct msub__gs_probes *ps, msub_session s) {
  for (uint32_t k = ps->n_out; k-- > 0;)
    if (ps->out[k].to.v == s.v) end(r, ps, k);
}

/* ---- beside the members ---- */

void msub__gs_probe_free(msub_router *r, msub__gs_topic *tt) {
  struct msub__gs_probes *ps = tt->probes;
  if (!ps) return;
  while (ps->n_out) end(r, ps, ps->n_out - 1);
  msub__free(msub_r_mem(r), ps, size_of(ps->cap));
  tt->probes = NULL;
}

/* For n members. */
static struct msub__gs_probes *room(msub_router *r, msub__gs_topic *tt, uint32_t n) {
  struct msub__gs_probes *ps = tt->probes;
  if (ps && n <= ps->cap) return ps;
  uint32_t cap = tt->cap < n ? n : tt->cap;
  struct msub__gs_probes *more = msub__zalloc(msub_r_mem(r), 1, size_of(cap));
  if (!more) return NULL;
  if (ps) {
    memcpy(more, ps, size_of(ps->cap));
    msub__free(msub_r_mem(r), ps, size_of(ps->cap));
  }
  more->cap = cap;
  return tt->probes = more;
}

void msub__gs_probe_insert(msub_router *r, msub__gs_topic *tt, uint32_t place) {
  if (!tt->probes) return;
  struct msub__gs_probes *ps = room(r, tt, tt->n + 1u);
  if (!ps) {
    msub__gs_probe_free(r, tt);
    return;
  }
  memmove(&ps->of[place + 1], &ps->of[place], (tt->n - place) * sizeof *ps->of);
  ps->of[place] = (standing){ 0 };
}

void msub__gs_probe_remove(msub_router *r, msub__gs_topic *tt, uint32_t place, msub_session s) {
  struct msub__gs_probes *ps = tt->probes;
  if (!ps) return;
  end_all_of(r, ps, s);
  memmove(&ps->of[place], &ps->of[place + 1], (tt->n - place) * sizeof *ps->of);
}

/* ---- standing ---- */

static uint8_t less(uint8_t level) { return level > BROUGHT ? (uint8_t)(level - BROUGHT) : 0; }
static uint8_t more(uint8_t level) { return level < OWES ? (uint8_t)(level + MISSED) : level; }

static void count(standing *m, uint32_t author, bool brought) {
  if (!brought && !m->of_suspect) m->suspect = author;
  m->level = brought ? less(m->level) : more(m->level);
  if (author && m->suspect == author) m->of_suspect = brought ? less(m->of_suspect) : more(m->of_suspect);
}

/* ---- choosing ---- */

/* Of several the one of the highest rank is asked; 0: it cannot be. */
static unsigned rank(msub_router *r, msub_topic t, const msub__gs_topic *tt, uint32_t i, uint32_t author) {
  const standing *m = &tt->probes->of[i];
  const msub__gs_link *l = tt->apart ? msub_r_link(r, tt->s[i], t) : NULL;
  if (m->age < MSUB__GS_PROBE_AGE || (l && l->is & MSUB__GS_APART)) return 0;
  if (m->of_suspect && m->suspect == author) return 3;
  return m->level || m->of_suspect ? 2 : 1;
}

/* Asked for each message; the answer changes with the profile alone (score.c). */
static bool has_none(msub_router *r, msub_topic t, msub__gs_topic *tt) {
  if (!tt->probing) tt->probing = msub__gs_score_probe_penalty(r, t) > 0 ? PROBES : NO_PROBES;
  return tt->probing == NO_PROBES;
}

void msub__gs_probe_begin(msub_router *r, msub_topic t, const msub_msg *m, msub_session from) {
  msub__gs_topic *tt = msub__gs_topic_of(r, t);
  if (!from.v || !tt || tt->mode != MSUB__GS_MESH || tt->n <= GOOD || tt->partial || has_none(r, t, tt)) return;
  uint64_t now = msub_r_mono(r);
  if (tt->probes && (now < tt->probes->next || tt->probes->n_out == MSUB__GS_PROBES)) return;
  msub_bytes id = msub_id(m);
  if (id.n == 0 || id.n > MSUB_MAX_ID || tt->n < msub__gs_params(r, t)->dlo) return;
  struct msub__gs_probes *ps = room(r, tt, tt->n);
  if (!ps) return;
  msub_peer writer = msub_r_peer_known(r, msub_from(m));
  msub_session own = writer.v ? msub_r_session_of(r, writer) : (msub_session){ 0 };
  uint32_t author = msub_from(m).n ? (uint32_t)msub_r_hash(r, msub_from(m)) | 1 : 0, best = tt->n;
  /* Every second message may go to anybody, so that one suspect does not hide others. */
  uint32_t draw = msub_r_rand(r, MSUB__GS_RNG_PROBE, 2u * tt->n);
  unsigned most = 0, second = draw & 1 ? 2 : 1;
  for (uint32_t k = 0, i = draw / 2; k < tt->n; k++, i = i + 1 == tt->n ? 0 : i + 1) {
    unsigned rk = tt->s[i].v == own.v ? 0 : rank(r, t, tt, i, author);
    if (rk == 2) rk = second;
    if (rk <= most) continue;
    most = rk;
    best = i;
  }
  ps->next = msub__deadline(now, MSUB__GS_PROBE_EVERY);
  if (best == tt->n) return;
  /* It counts for whoever is chosen that it was the first: who always is would be tested with what was lost alone. It proves nothing: without
   * authors it may be the peer's own message. */
  if (tt->s[best].v == from.v) {
    count(&ps->of[best], author, true);
    return;
  }
  probe *p = &ps->out[ps->n_out];
  *p = (probe){ .id = msub__alloc(msub_r_mem(r), id.n), .id_n = (uint8_t)id.n, .hash = msub_r_hash(r, id), .when = now, .to = tt->s[best], .author = author, .is = PENDING };
  if (!p->id) return;
  memcpy(p->id, id.p, id.n);
  ps->n_out++;
  msub__gs_of(r)->probes_out++;
}

bool msub__gs_probe_is(const msub__gs_topic *tt, msub_session s, uint64_t hash) { return find(tt->probes, s, hash) < tt->probes->n_out; }

bool msub__gs_probe_sent(msub_router *r, msub__gs_topic *tt, msub_session s, uint64_t hash) {
  struct msub__gs_probes *ps = tt->probes;
  uint32_t k = find(ps, s, hash);
  if (k == ps->n_out) return false;
  ps->out[k].is &= (uint8_t)~PENDING;
  ps->out[k].when = msub_r_mono(r);
  return true;
}

/* ---- what becomes of it ---- */

static standing *standing_of(const msub__gs_topic *tt, msub_session s) {
  for (uint32_t i = 0; i < tt->n; i++)
    if (tt->s[i].v == s.v) return &tt->probes->of[i];
  return NULL;
}

static void judge(msub_router *r, msub__gs_topic *tt, uint32_t k, bool brought) {
  struct msub__gs_probes *ps = tt->probes;
  uint32_t author = ps->out[k].author;
  standing *m = standing_of(tt, ps->out[k].to);
  end(r, ps, k);
  if (!m) return;
  count(m, author, brought);
  if (brought) m->proven = PROVEN;
}

/* It is late: the member gets the message, and later its judgement. */
static void hand_over(msub_router *r, probe *p) {
  msub_bytes id = { p->id, p->id_n };
  if (p->is & REPAIRED) return;
  p->is |= REPAIRED;
  if (!msub__gs_unwanted(r, p->to, msub__gs_session_of(r, p->to), id)) (void)msub_r_serve(r, p->to, id, 0);
}

void msub__gs_probe_copy(msub_router *r, msub_topic t, msub_bytes id, msub_session from) {
  msub__gs_topic *tt = msub__gs_topic_of(r, t);
  if (!msub__gs_probes_out(tt)) return;
  uint32_t k = find_id(r, tt->probes, from, id);
  if (k == tt->probes->n_out) return;
  probe *p = &tt->probes->out[k];
  /* So late it may be because we were tested with this message, too, and are waited for in our turn. */
  if (!(p->is & PENDING) && msub__passed(msub__deadline(p->when, MSUB__GS_PROBE_LATE), msub_r_mono(r))) hand_over(r, p);
  judge(r, tt, k, true);
}

void msub__gs_probe_validated(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t n, bool accepted) {
  msub__gs_topic *tt = msub__gs_topic_of(r, t);
  if (!msub__gs_probes_out(tt) || m->borrowed) return;
  if (accepted) {
    for (size_t i = 1; i < n; i++) msub__gs_probe_copy(r, t, msub_id(m), msub_r_session_of(r, from[i]));
    return;
  }
  uint64_t hash = msub_r_hash(r, msub_id(m));
  for (uint32_t k = tt->probes->n_out; k-- > 0;)
    if (tt->probes->out[k].hash == hash) end(r, tt->probes, k);
}

void msub__gs_probe_unheard(msub_router *r, msub_session s) {
  const msub__gs *g = msub__gs_of(r);
  for (uint32_t i = 0; i < g->n_active; i++) {
    const msub__gs_topic *tt = msub__gs_topic_of(r, g->active[i]);
    if (tt && tt->probes) end_all_of(r, tt->probes, s);
  }
}

static void wait(msub_router *r, msub__gs_topic *tt, uint32_t k) {
  struct msub__gs_probes *ps = tt->probes;
  probe *p = &ps->out[k];
  uint64_t now = msub_r_mono(r);
  if (p->is & PENDING) {
    if (msub__passed(msub__deadline(p->when, MSUB__GS_PROBE_PENDING), now)) end(r, ps, k); /* no verdict, or nothing was forwarded */
    return;
  }
  if (msub__passed(msub__deadline(p->when, MSUB__GS_PROBE_REPAIR), now)) hand_over(r, p);
  if (msub__passed(msub__deadline(p->when, MSUB__GS_PROBE_WAIT), now)) judge(r, tt, k, false);
}

/* Nobody forwards as far as we see: it is not they who are odd. */
static void give_up(msub_router *r, msub__gs_topic *tt) {
  struct msub__gs_probes *ps = tt->probes;
  ps->next = msub__deadline(msub_r_mono(r), MSUB__GS_PROBE_PAUSE << ps->pauses);
  if (ps->pauses < PAUSES) ps->pauses++;
  for (uint32_t i = 0; i < tt->n; i++) ps->of[i].level = ps->of[i].of_suspect = 0;
}

static bool good(const standing *m) { return m->proven && m->level < SUSPECT; }

static void heartbeat(msub_router *r, msub_topic t, msub__gs_topic *tt) {
  struct msub__gs_probes *ps = tt->probes;
  uint32_t n_good = 0;
  for (uint32_t k = ps->n_out; k-- > 0;) wait(r, tt, k);
  for (uint32_t i = 0; i < tt->n; i++) {
    standing *m = &ps->of[i];
    if (m->age < UINT8_MAX) m->age++;
    if (m->proven) m->proven--;
    n_good += good(m);
  }
  for (uint32_t i = 0; i < tt->n; i++) {
    standing *m = &ps->of[i];
    if (m->level < OWES && m->of_suspect < OWES) continue;
    if (n_good - good(m) < GOOD) {
      give_up(r, tt);
      return;
    }
    ps->pauses = 0;
    n_good -= good(m);
    *m = (standing){ 0 };
    msub__gs_score_owes(r, tt->s[i], t);
  }
}

void msub__gs_probe_heartbeat(msub_router *r) {
  const msub__gs *g = msub__gs_of(r);
  for (uint32_t i = 0; i < g->n_active; i++) {
    msub__gs_topic *tt = msub__gs_topic_of(r, g->active[i]);
    if (tt && tt->probes) heartbeat(r, g->active[i], tt);
  }
}
