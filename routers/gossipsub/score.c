/* routers/gossipsub/score.c: between the router and the table of scores: whose row, which topic, which of the engine's outcomes is what. */
#include "routers/gossipsub/score.h"
#include "routers/gossipsub/gossipsub.h"
#include "routers/gossipsub/peer_score.h"
#include "routers/gossipsub/promises.h"

struct msub__gs_scores {
  msub__ps *ps;
  msub__promises promises; /* by row */
  uint64_t next_refresh;
};

static const msub_score_opts *opts_of(const msub_router *r) { return msub__gs_opts(r)->score; }
static uint64_t interval(const msub_router *r) {
  uint64_t ns = opts_of(r)->params.decay_interval_ns;
  return ns ? ns : MSUB__S;
}
static uint64_t hash_address(const void *ctx, msub_bytes b) { return msub_r_hash(ctx, b); }

/* An idle engine has no table. NULL: scores are off, or no memory; then this peer has 0. */
static struct msub__gs_scores *need(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  if (!opts_of(r) || g->scores) return g->scores;
  struct msub__gs_scores *sc = msub__zalloc(msub_r_mem(r), 1, sizeof *sc);
  if (!sc) return NULL;
  sc->ps = msub__ps_new(msub_r_mem(r), &opts_of(r)->params, g->parity, hash_address, r);
  if (!sc->ps) {
    msub__free(msub_r_mem(r), sc, sizeof *sc);
    return NULL;
  }
  msub__promises_init(&sc->promises);
  uint64_t passed = (msub_r_mono(r) - g->began) / interval(r); /* the phase is that of the router's beginning */
  sc->next_refresh = msub__deadline(g->began + passed * interval(r), interval(r));
  return g->scores = sc;
}

void msub__gs_score_fini(msub_router *r) {
  msub__gs *g = msub__gs_of(r);
  struct msub__gs_scores *sc = g->scores;
  if (!sc) return;
  for (uint32_t i = 1, name; (name = msub__ps_topic_name(sc->ps, i)) != MSUB__NONE; i++)
    if (name) msub_r_name_drop(r, name);
  msub__ps_free(sc->ps);
  msub__promises_fini(&sc->promises, msub_r_mem(r));
  msub__free(msub_r_mem(r), sc, sizeof *sc);
  g->scores = NULL;
}

/* ---- whose row ---- */

/* Of a session: its row is there as long as it. */
static uint32_t row_of(const msub_router *r, msub_session s) {
  const msub__gs_peer *p = msub_r_peer(r, s);
  return p ? p->row : 0;
}

/* Of a peer that may have gone: its row may have, too. */
static uint32_t row_of_peer(const msub_router *r, msub_peer p) {
  msub_session s = msub_r_session_of(r, p);
  const msub__gs_peer *b = s.v ? msub_r_peer(r, s) : msub_r_departed(r, p);
  return b ? msub__ps_row(msub__gs_of(r)->scores->ps, b->row, p.v) : 0;
}

/* Where the slot of (session, topic) is kept. */
static uint32_t *hint_of(const msub_router *r, msub_session s, msub_topic t) {
  msub__gs_scored_link *l = s.v ? msub_r_link(r, s, t) : NULL;
  return l ? &l->slot : NULL;
}

/* ---- which topic ---- */

enum { UNKNOWN = 0, UNSCORED = UINT16_MAX };

static uint32_t topic_of(msub_router *r, msub_topic t) {
  msub__gs_topic *tt = msub__gs_topic_of(r, t);
  msub__ps *ps = msub__gs_of(r)->scores->ps;
  if (!tt) return 0;
  if (tt->score) return tt->score == UNSCORED ? 0 : tt->score;
  uint32_t name = msub_r_name(r, t), topic = msub__ps_topic_find(ps, name);
  bool joined = tt->mode == MSUB__GS_MESH;
  if (!joined) return topic;
  if (!topic || !msub__ps_topic_pinned(ps, topic)) {
    const msub_gossipsub_mesh *own = msub_r_params(r, t);
    const msub_topic_score *p = own && own->score ? own->score : opts_of(r)->params.topic;
    bool made = !topic;
    topic = p ? msub__ps_topic(ps, name, p) : 0;
    if (topic && made) msub_r_name_hold(r, name);
  }
  if (topic) msub__ps_topic_left(ps, topic, false);
  tt->score = topic ? (uint16_t)topic : UNSCORED;
  return topic;
}

void msub__gs_score_leave(msub_router *r, msub_topic t) {
  msub__gs *g = msub__gs_of(r);
  msub__gs_topic *tt = msub__gs_topic_of(r, t);
  if (!g->scores || !tt) return;
  if (tt->score && tt->score != UNSCORED) msub__ps_topic_left(g->scores->ps, tt->score, true);
  tt->score = UNKNOWN;
  tt->probing = 0;
}

/* ---- what is asked ---- */

msub__ps *msub__gs_scores_table(const msub_router *r) {
  const struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  return sc ? sc->ps : NULL;
}

double msub__gs_score(msub_router *r, msub_session s) {
  const struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  return sc ? msub__ps_score(sc->ps, row_of(r, s)) : 0;
}

bool msub__gs_score_is(msub_router *r, msub_session s, double floor) {
  const struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  return sc ? msub__ps_at_least(sc->ps, row_of(r, s), floor) : 0 >= floor;
}

bool msub__gs_graylisted(msub_router *r, msub_peer p) {
  const struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (!sc || msub__gs_of(r)->parity || msub__gs_is_direct(r, p)) return false;
  uint32_t row = row_of_peer(r, p);
  return row && !msub__ps_at_least(sc->ps, row, opts_of(r)->thresholds.graylist);
}

const msub_score_thresholds *msub__gs_thresholds_of(const msub_router *r) {
  static const msub_score_thresholds none = { 0 };
  return opts_of(r) ? &opts_of(r)->thresholds : &none;
}

bool msub__gs_score_wants_any_copies(msub_router *r, msub_topic t) {
  const struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  return sc && !msub__gs_of(r)->parity && msub__ps_any_near_owing(sc->ps, topic_of(r, t));
}

bool msub__gs_score_wants_copies(msub_router *r, msub_session s, msub_topic t) {
  const struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  return sc && msub__ps_near_owing(sc->ps, row_of(r, s), topic_of(r, t), hint_of(r, s, t));
}

double msub__gs_score_probe_penalty(msub_router *r, msub_topic t) {
  const struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  const msub_topic_score *p = sc ? msub__ps_topic_params(sc->ps, topic_of(r, t)) : NULL;
  return p ? p->mesh_probe_penalty : 0;
}

/* ---- what happened ---- */

void msub__gs_score_owes(msub_router *r, msub_session s, msub_topic t) {
  const struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (sc) msub__ps_owes(sc->ps, row_of(r, s), topic_of(r, t), hint_of(r, s, t), msub__gs_score_probe_penalty(r, t));
}


void msub__gs_score_up(msub_router *r, msub_session s, const msub_session_info *i) {
  struct msub__gs_scores *sc = need(r);
  if (!sc) return;
  msub__gs_peer *p = msub_r_peer(r, s);
  uint32_t old = msub__ps_row(sc->ps, p->row, i->peer.v);
  p->row = msub__ps_up(sc->ps, old, i->peer.v);
  if (p->row && p->row != old) msub__promises_release(&sc->promises, p->row); /* of whoever had the row before */
  msub__ps_addresses(sc->ps, p->row, &i->address, i->address.n ? 1 : 0);
  msub__ps_inherit(sc->ps, p->row, msub_r_mono(r));
}

void msub__gs_score_moved(msub_router *r, msub_session s, msub_bytes address) {
  const struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (sc) msub__ps_moved(sc->ps, row_of(r, s), &address, address.n ? 1 : 0, msub_r_mono(r));
}

void msub__gs_score_down(msub_router *r, msub_session s) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (!sc) return;
  msub__gs_peer *p = msub_r_peer(r, s);
  uint64_t until;
  p->row = msub__ps_down(sc->ps, p->row, msub_r_mono(r), &until);
}

uint64_t msub__gs_score_until(const msub_router *r, const msub__gs_peer *p, msub_peer who) {
  const struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  uint32_t row = sc ? msub__ps_row(sc->ps, p->row, who.v) : 0;
  if (!row) return 0;
  uint64_t until = msub__ps_until(sc->ps, row);
  return msub__gs_of(r)->parity ? msub__deadline(until, interval(r)) : until; /* the refresh forgets, until then it counts */
}

void msub__gs_score_forget(msub_router *r, msub_peer who, const msub__gs_peer *p) {
  const struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (sc) msub__ps_forget(sc->ps, msub__ps_row(sc->ps, p->row, who.v));
}

void msub__gs_score_graft(msub_router *r, msub_session s, msub_topic t) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (sc) msub__ps_graft(sc->ps, row_of(r, s), topic_of(r, t), hint_of(r, s, t), msub_r_mono(r));
}

void msub__gs_score_prune(msub_router *r, msub_session s, msub_topic t) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (sc) msub__ps_prune(sc->ps, row_of(r, s), topic_of(r, t), hint_of(r, s, t));
}

void msub__gs_score_arrived(msub_router *r, msub_topic t, const msub_msg *m, msub_session from) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  (void)t;
  if (!from.v && msub__gs_of(r)->parity) return; /* an own message keeps no promise of the reference's: its tracer does not see it */
  if (sc && msub__promises_count(&sc->promises)) msub__promises_keep(&sc->promises, msub_r_hash(r, msub_id(m)));
}

/* The same id in two topics is two messages. */
static uint64_t record_hash(const msub_router *r, msub_topic t, msub_bytes id) {
  return msub_r_hash(r, id) + msub_r_name(r, t) * UINT64_C(0x9e3779b97f4a7c15);
}

static msub__ps_verdict kind_of(msub_verdict v, int reason) {
  switch (reason) {
  case MSUB_R_INVALID_SIGNATURE:
  case MSUB_R_FORBIDDEN_FIELD:
  case MSUB_R_SELF_ORIGIN: return MSUB__PS_FORGED;
  case MSUB_R_REJECTED:
  case MSUB_R_INVALID_AGAIN: return MSUB__PS_INVALID;
  default: return v == MSUB_REJECT ? MSUB__PS_INVALID : MSUB__PS_NOTHING;
  }
}

/* Do copies of a valid message count for anybody? If not, no record of it is needed. */
static bool copies_count(const msub_router *r, const msub_topic_score *p) {
  return msub__gs_of(r)->parity || p->mesh_message_deliveries_weight < 0 || p->mesh_failure_penalty_weight < 0;
}

void msub__gs_score_validated(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t n, msub_verdict v, int reason) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (!sc || n == 0) return;
  uint32_t topic = topic_of(r, t), first = row_of_peer(r, from[0]);
  uint32_t *hint = hint_of(r, msub_r_session_of(r, from[0]), t);
  uint64_t now = msub_r_mono(r);
  if (v == MSUB_ACCEPT) {
    const msub_topic_score *p = msub__ps_topic_params(sc->ps, topic);
    if (!p) return;
    if (!copies_count(r, p)) {
      msub__ps_first(sc->ps, first, topic, hint);
      return;
    }
    uint64_t hash = record_hash(r, t, msub_id(m));
    for (size_t i = 1; i < n; i++) msub__ps_duplicate(sc->ps, hash, row_of_peer(r, from[i]), topic, NULL, now);
    msub__ps_deliver(sc->ps, hash, first, topic, hint, now);
    return;
  }
  msub__ps_verdict kind = kind_of(v, reason);
  if (kind != MSUB__PS_FORGED && !m->borrowed && msub__promises_count(&sc->promises))
    msub__promises_keep(&sc->promises, msub_r_hash(r, msub_id(m)));
  if (kind == MSUB__PS_NOTHING || !topic) return;
  uint64_t hash = m->borrowed ? 0 : record_hash(r, t, msub_id(m));
  if (kind == MSUB__PS_INVALID && m->borrowed) kind = MSUB__PS_FORGED; /* without an id there is no record of it: its sender alone pays */
  for (size_t i = 1; i < n && kind == MSUB__PS_INVALID; i++) msub__ps_duplicate(sc->ps, hash, row_of_peer(r, from[i]), topic, NULL, now);
  msub__ps_reject(sc->ps, hash, first, topic, hint, now, kind);
}

void msub__gs_score_duplicate(msub_router *r, msub_topic t, msub_bytes id, msub_session from) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  uint32_t topic = sc && from.v ? topic_of(r, t) : 0;
  msub_link_view v;
  if (!topic) return;
  bool linked = msub_r_link_view(r, from, t, &v); /* for every copy: both blocks at once */
  uint32_t *hint = linked ? &((msub__gs_scored_link *)v.link)->slot : NULL;
  msub__ps_again(sc->ps, record_hash(r, t, id), linked ? ((const msub__gs_peer *)v.peer)->row : row_of(r, from), topic, hint, msub_r_mono(r));
}

/* As a first delivery (P2 alone), or an invalid message. */
void msub__gs_score_feedback(msub_router *r, msub_topic t, msub_peer p, bool useful) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (!sc) return;
  uint32_t *hint = hint_of(r, msub_r_session_of(r, p), t);
  (useful ? msub__ps_useful : msub__ps_invalid)(sc->ps, row_of_peer(r, p), topic_of(r, t), hint);
}

void msub__gs_score_penalty(msub_router *r, msub_session s, unsigned n) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (sc) msub__ps_penalty(sc->ps, row_of(r, s), n);
}

void msub__gs_score_asked(msub_router *r, msub_session s, const msub_bytes *ids, size_t n) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (!sc || n == 0) return;
  msub_bytes id = ids[msub_r_rand(r, MSUB__GS_RNG_PROMISE, (uint32_t)n)];
  msub__promises_add(&sc->promises, msub_r_mem(r), msub_r_hash(r, id), row_of(r, s),
                     msub__deadline(msub_r_mono(r), msub__gs_opts(r)->iwant_followup_ns));
}

void msub__gs_score_throttled(msub_router *r, msub_session s) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (sc && msub__promises_count(&sc->promises)) msub__promises_release(&sc->promises, row_of(r, s));
}

/* ---- time ---- */

void msub__gs_score_heartbeat(msub_router *r) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (!sc) return;
  for (uint32_t row; (row = msub__promises_broken(&sc->promises, msub_r_mem(r), msub_r_mono(r))) != MSUB__NONE;) msub__ps_penalty(sc->ps, row, 1);
}

void msub__gs_score_hold(msub_router *r, bool on) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (sc) msub__ps_hold(sc->ps, on);
}

void msub__gs_score_release(msub_router *r) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  if (sc) msub__ps_release(sc->ps);
}

uint64_t msub__gs_score_deadline(const msub_router *r) {
  const struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  return sc ? sc->next_refresh : MSUB_NEVER;
}

void msub__gs_score_advance(msub_router *r) {
  struct msub__gs_scores *sc = msub__gs_of(r)->scores;
  uint64_t now = msub_r_mono(r);
  if (!sc || !msub__passed(sc->next_refresh, now)) return;
  /* Missed ones are not made up for: whoever was stopped must not forget faster for it. */
  uint64_t late = (now - sc->next_refresh) / interval(r);
  sc->next_refresh = msub__deadline(sc->next_refresh + late * interval(r), interval(r));
  msub__ps_refresh(sc->ps, now);
  msub__ps_gc(sc->ps, now);
  msub__ps_settle(sc->ps, now);
  for (uint32_t name; (name = msub__ps_topic_gone(sc->ps)) != 0;) msub_r_name_drop(r, name);
}

/* ---- commands ---- */

static int set_app(msub_router *r, struct msub__gs_scores *sc, const msub_gossipsub_app_score *a) {
  if (!(a->value >= -MSUB_SCORE_MAX && a->value <= MSUB_SCORE_MAX)) return MSUB_ERR_INVAL; /* or no number */
  msub_peer p = msub_r_peer_known(r, a->peer_id);
  uint32_t row = p.v ? row_of_peer(r, p) : 0;
  if (!row) return MSUB_ERR_NOTFOUND;
  msub__ps_app(sc->ps, row, a->value);
  return MSUB_OK;
}

static int set_topic(msub_router *r, struct msub__gs_scores *sc, const msub_gossipsub_topic_score *a) {
  char where[96];
  const char *fault = msub_topic_score_fault(&a->params, where);
  if (fault) {
    msub_r_log(r, MSUB_LOG_ERROR, "gossipsub: score parameters of a topic: %s: %s", where, fault);
    return MSUB_ERR_INVAL;
  }
  uint32_t name = msub_r_name_intern(r, a->topic);
  if (!name) return MSUB_ERR_NOMEM;
  bool held = msub__ps_topic_find(sc->ps, name) != 0;
  uint32_t topic = msub__ps_topic(sc->ps, name, &a->params);
  if (!topic || held) msub_r_name_drop(r, name);
  if (!topic) return MSUB_ERR_LIMIT;
  msub__ps_topic_pin(sc->ps, topic);
  msub_topic t = msub_r_topic_of(r, name);
  msub__gs_topic *tt = t.v ? msub__gs_topic_of(r, t) : NULL;
  if (tt && tt->mode == MSUB__GS_MESH) {
    tt->score = (uint16_t)topic;
    tt->probing = 0;
  }
  return MSUB_OK;
}

static int inspect(msub_router *r, struct msub__gs_scores *sc, const msub_gossipsub_inspect *a) {
  size_t cap = msub__ps_topics(sc->ps);
  msub_peer_topic_score *t = msub__zalloc(msub_r_mem(r), cap + 1, sizeof *t);
  if (!t) return MSUB_ERR_NOMEM;
  for (uint32_t row = 1; row <= msub__ps_rows(sc->ps); row++) {
    msub_peer_score s;
    if (msub__ps_look(sc->ps, row, &s, t, cap)) a->peer(a->ud, msub_r_peer_id(r, (msub_peer){ s.peer }), &s);
  }
  msub__free(msub_r_mem(r), t, (cap + 1) * sizeof *t);
  return MSUB_OK;
}

int msub__gs_score_command(msub_router *r, uint32_t what, const void *arg, size_t n) {
  struct msub__gs_scores *sc = need(r);
  if (!sc) return opts_of(r) ? MSUB_ERR_NOMEM : MSUB_ERR_UNSUPPORTED;
  switch (what) {
  case MSUB_GOSSIPSUB_APP_SCORE: return n == sizeof(msub_gossipsub_app_score) ? set_app(r, sc, arg) : MSUB_ERR_INVAL;
  case MSUB_GOSSIPSUB_TOPIC_SCORE: return n == sizeof(msub_gossipsub_topic_score) ? set_topic(r, sc, arg) : MSUB_ERR_INVAL;
  case MSUB_GOSSIPSUB_INSPECT: return n == sizeof(msub_gossipsub_inspect) ? inspect(r, sc, arg) : MSUB_ERR_INVAL;
  default: return MSUB_ERR_UNSUPPORTED;
  }
}
