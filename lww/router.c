/* lww/router.c: the router of register sets: gossipsub, but IHAVE and IWANT speak of a topic's winner.
 *
 *   topic ─▶ entry of the set          link ─▶ the record that the peer is known to have, and what was done for it in this second
 *
 * The router inside makes the meshes, forwards what was accepted, and asks for gossip by hooks; it never sees an IHAVE or an IWANT. A peer's
 * requests stand in its link and in this second, so they are gone when it is. */
#include <string.h>
#include "lww/set.h"

enum {
  GRAFTED = 32,      /* meshes that grew in one operation and are told at its end; more are told at once */
  CHUNK = 32,        /* entries of an RPC */
  SERVED = 3,        /* of a link and second: winners sent, */
  HEARD = 8,         /* IHAVEs looked at, */
  ASKED = 3,         /* IWANTs sent, */
  ASKED_TOPIC = 3,   /* of all links of a topic, for one record */
  LOOKED = 4096,     /* of a session and second: ids looked up */
  SAME = 16          /* topics with the same winner that one IWANT is answered for */
};
#define SECOND UINT64_C(1000000000)

typedef struct grafted { msub_topic t; msub_session s; } grafted;
typedef struct state {
  msub_lww *l;         /* NULL: nobody's */
  grafted grafted[GRAFTED];
  uint32_t n_grafted;
} state;
typedef struct session { uint32_t second, looked; } session;
typedef struct topic {
  msub__lww_entry *e;  /* while it is joined */
  uint64_t asked;      /* hash of the id that was asked for; 0: of the winner, whatever it is */
  uint64_t since;      /* the second, and one, in which that was */
  uint32_t times;
} topic;
typedef struct link {
  uint32_t has[2];     /* hash of the id of the record that the peer is known to have; 0: nothing is known */
  uint32_t second;
  uint8_t served, heard, asked;
  bool told;           /* it was told of our winner in this second */
} link;

static uint64_t has(const link *k) { return (uint64_t)k->has[0] << 32 | k->has[1]; }
static void set_has(link *k, uint64_t hash) {
  k->has[0] = (uint32_t)(hash >> 32);
  k->has[1] = (uint32_t)hash;
}
static uint64_t hash_of(const msub_router *r, msub_bytes id) { return msub_r_hash(r, id) | 1; }
static uint32_t second_of(const msub_router *r) { return (uint32_t)(msub_r_mono(r) / SECOND); }

/* What the link was given in this second. */
static link *link_of(msub_router *r, msub_session s, msub_topic t) {
  link *k = msub_r_link(r, s, t);
  if (!k || k->second == second_of(r)) return k;
  k->second = second_of(r);
  k->served = k->heard = k->asked = 0;
  k->told = false;
  return k;
}

static bool within(msub_lww *l, uint8_t *used, unsigned most) {
  if (*used >= most) {
    l->counts.over_limit++;
    return false;
  }
  ++*used;
  return true;
}

/* The topic's winner, if there is one that may be shown. */
static msub__lww_record *winner(const msub_router *r, const topic *tt) {
  msub__lww_record *w = tt && tt->e ? tt->e->winner : NULL;
  return w && w->id_n && w->expires > msub_engine_now(r->engine)->wall_ns ? w : NULL;
}
static msub_lww *set_of(const msub_router *r) { return ((const state *)msub_r_state(r))->l; }

/* ---- what is said ---- */

static msub_ctl_entry ihave(const msub_router *r, msub_topic t, const msub_bytes *id) {
  return (msub_ctl_entry){ .kind = MSUB_C_IHAVE, .topic_name = msub_r_name(r, t), .ids = id, .n_ids = 1 };
}

/* May the topic ask one more peer for this? hash 0: the winner, whatever it is. */
static bool may_ask(const msub_router *r, topic *tt, uint64_t hash) {
  uint64_t since = (uint64_t)second_of(r) + 1;
  if (tt->asked != hash || tt->since + 1 < since) {
    tt->asked = hash;
    tt->since = since;
    tt->times = 0;
  }
  return tt->times < ASKED_TOPIC;
}

static size_t reserved(const topic *tt, uint8_t out[1 + MSUB__LWW_ROUTER_TOPIC]) {
  out[0] = 0;
  memcpy(out + 1, tt->e->name, tt->e->name_n);
  return (size_t)1 + tt->e->name_n;
}

/* Tells a peer of the topic our winner, and asks for its own: by `id`, or, without one, whatever it is. what: of these. */
enum { TELL = 1, ASK = 2 };
static void say(msub_router *r, msub_session s, msub_topic t, topic *tt, msub_bytes id, unsigned what) {
  msub_lww *l = set_of(r);
  link *k = link_of(r, s, t);
  if (!k || !l) return;
  msub_ctl_entry e[2];
  size_t n = 0;
  msub__lww_record *w = winner(r, tt);
  msub_bytes own = w ? msub__lww_id(w) : (msub_bytes){ NULL, 0 };
  uint8_t name[1 + MSUB__LWW_ROUTER_TOPIC];
  if (what & TELL && w && !k->told) {
    e[n++] = ihave(r, t, &own);
    k->told = true;
    l->counts.announced++;
  }
  uint64_t hash = id.n ? hash_of(r, id) : 0;
  if (what & ASK && may_ask(r, tt, hash) && within(l, &k->asked, ASKED)) {
    tt->times++;
    if (id.n == 0) id = (msub_bytes){ name, reserved(tt, name) };
    e[n++] = (msub_ctl_entry){ .kind = MSUB_C_IWANT, .ids = &id, .n_ids = 1 };
    l->counts.asked++;
  }
  if (n) (void)msub_r_send(r, &s, 1, e, n, MSUB_LANE_CONTROL);
}

/* Behind a hello: the winners of all topics. What the peer has of it, it will say itself. */
static void greet(msub_router *r, msub_session s) {
  const msub_lww *l = set_of(r);
  msub_ctl_entry e[CHUNK];
  msub_bytes ids[CHUNK];
  size_t n = 0;
  for (size_t i = 0; l && i < msub_r_topics(r); i++) {
    msub_topic t = msub_r_topic_at(r, i);
    msub__lww_record *w = t.v ? winner(r, msub_r_topic(r, t)) : NULL;
    if (!w) continue;
    ids[n] = msub__lww_id(w);
    e[n] = ihave(r, t, &ids[n]);
    if (++n < CHUNK) continue;
    (void)msub_r_send(r, &s, 1, e, n, MSUB_LANE_CONTROL);
    set_of(r)->counts.announced += n;
    n = 0;
  }
  if (n == 0) return;
  (void)msub_r_send(r, &s, 1, e, n, MSUB_LANE_CONTROL);
  set_of(r)->counts.announced += n;
}

static void tell_grafted(msub_router *r) {
  state *st = msub_r_state(r);
  for (uint32_t i = 0; i < st->n_grafted; i++) {
    topic *tt = msub_r_topic(r, st->grafted[i].t);
    link *k = msub_r_link(r, st->grafted[i].s, st->grafted[i].t);
    if (!tt || !tt->e || !k) continue;
    k->told = false; /* it is told with each GRAFT, whatever it has heard before */
    say(r, st->grafted[i].s, st->grafted[i].t, tt, (msub_bytes){ NULL, 0 }, winner(r, tt) ? TELL : ASK);
  }
  st->n_grafted = 0;
}

/* Sends the winner. */
static bool serve(msub_router *r, msub_session s, msub_topic t, const msub__lww_record *w, uint64_t *count) {
  msub_lww *l = set_of(r);
  link *k = link_of(r, s, t);
  if (!k || !within(l, &k->served, SERVED)) return false;
  if (msub_r_serve_topic(r, s, t, msub__lww_id(w)) == MSUB_OK) ++*count;
  return true;
}

/* ---- what is heard ---- */

static void heard_ihave(msub_router *r, msub_session s, const msub_ctl_entry *e) {
  msub_lww *l = set_of(r);
  msub_topic t = e->topic_name ? msub_r_topic_of(r, e->topic_name) : (msub_topic){ 0 };
  topic *tt = t.v ? msub_r_topic(r, t) : NULL;
  link *k = tt && tt->e ? link_of(r, s, t) : NULL; /* a peer is asked for topics that it announced */
  if (!k || e->n_ids == 0 || e->ids[0].n == 0 || e->ids[0].n > MSUB_MAX_ID) {
    l->counts.unknown++;
    return;
  }
  if (!within(l, &k->heard, HEARD)) return;
  msub_bytes id = e->ids[0]; /* it has one winner */
  msub__lww_record *w = winner(r, tt);
  set_has(k, hash_of(r, id));
  if ((w && msub_bytes_eq(msub__lww_id(w), id)) || msub_r_seen(r, t, id)) say(r, s, t, tt, id, TELL); /* so that it knows, or learns */
  else say(r, s, t, tt, id, TELL | ASK);
}

/* The joined topics whose winner has an id. An id names a record, and one record may be the winner of several topics. */
typedef struct meant {
  msub_router *r;
  msub_session s;
  msub_topic t[SAME];
  uint32_t n;
} meant;
static bool note(void *ud, const msub__lww_entry *e) {
  meant *m = ud;
  if (m->n < SAME && msub_r_linked(m->r, m->s, e->topic)) m->t[m->n++] = e->topic;
  return false; /* go on */
}

static void heard_iwant(msub_router *r, msub_session s, msub_bytes id) {
  msub_lww *l = set_of(r);
  session *ss = msub_r_session(r, s);
  if (ss->second != second_of(r)) *ss = (session){ second_of(r), 0 };
  if (ss->looked++ >= LOOKED) {
    ss->looked = LOOKED;
    l->counts.over_limit++;
    return;
  }
  meant m = { .r = r, .s = s };
  if (id.n > 1 && id.p[0] == 0) {
    const msub__lww_entry *e = msub__lww_find(l, (msub_bytes){ id.p + 1, id.n - 1 });
    if (e && e->joined) (void)note(&m, e);
  }
  const bool whatever = m.n > 0;
  if (!whatever && id.n) (void)msub__lww_by_id(l, id, note, &m);
  if (m.n == 0) l->counts.unknown++;
  for (uint32_t i = 0; i < m.n; i++) {
    const link *k = link_of(r, s, m.t[i]);
    const msub__lww_record *w = winner(r, msub_r_topic(r, m.t[i]));
    /* Who asks for an id may have lost what it was sent; but of several topics it means those whose record it lacks. */
    if (!k || !w || ((whatever || m.n > 1) && has(k) == hash_of(r, msub__lww_id(w)))) continue;
    (void)serve(r, s, m.t[i], w, &l->counts.answered);
  }
}

static void control(msub_router *r, msub_session s, const msub_ctl *c, bool more) {
  if (!set_of(r)) return;
  for (uint32_t i = 0; i < c->n; i++)
    if (c->e[i].kind == MSUB_C_IHAVE) heard_ihave(r, s, &c->e[i]);
  for (uint32_t i = 0; i < c->n; i++)
    for (uint32_t n = 0; c->e[i].kind == MSUB_C_IWANT && n < c->e[i].n_ids; n++) heard_iwant(r, s, c->e[i].ids[n]);
  msub_ctl_entry rest[CHUNK];
  msub_ctl part = { .e = rest };
  for (uint32_t i = 0; i < c->n; i++) {
    if (c->e[i].kind == MSUB_C_IHAVE || c->e[i].kind == MSUB_C_IWANT) continue;
    rest[part.n++] = c->e[i];
    if (part.n < CHUNK) continue;
    msub_x_control(msub_r_inner(r), s, &part, true);
    part.n = 0;
  }
  msub_x_control(msub_r_inner(r), s, &part, more);
  tell_grafted(r);
}

/* A copy of a record: whoever sends it has it. */
static void has_it(msub_router *r, msub_session s, msub_topic t, msub_bytes id) {
  link *k = s.v && s.v != MSUB_SESSION_GONE.v ? link_of(r, s, t) : NULL;
  if (k) set_has(k, hash_of(r, id));
}
static void duplicate(msub_router *r, msub_topic t, msub_bytes id, msub_session from) {
  const topic *tt = msub_r_topic(r, t);
  const msub__lww_record *w = winner(r, tt);
  has_it(r, from, t, id);
  /* A loser that was seen before: its sender still has to learn. */
  if (w && from.v && from.v != MSUB_SESSION_GONE.v && !msub_bytes_eq(msub__lww_id(w), id)) (void)serve(r, from, t, w, &set_of(r)->counts.corrected);
  msub_x_duplicate(msub_r_inner(r), t, id, from);
}

/* ---- the channel's hooks ---- */

static size_t message_id(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  msub_sha256(msub_data(m), out);
  return 32;
}

static msub_verdict admit(const msub_channel *c, const msub_msg *m, msub_session from, msub_token token) {
  (void)token;
  msub_router *r = c->r;
  msub_lww *l = set_of(r);
  const topic *tt = msub_r_topic(r, c->topic);
  if (!l || !tt || !tt->e) return MSUB_IGNORE;
  msub_verdict v = msub__lww_admit(l, msub__lww_name(tt->e), m, from);
  if (v == MSUB_REJECT || v == MSUB_THROTTLED) return v;
  has_it(r, from, c->topic, msub_id(m));
  const msub__lww_record *w = winner(r, tt);
  if (v == MSUB_IGNORE && w && from.v && from.v != MSUB_SESSION_GONE.v && !msub_bytes_eq(msub__lww_bytes(w), msub_data(m)))
    (void)serve(r, from, c->topic, w, &l->counts.corrected);
  return v;
}

static void cache_put(const msub_channel *c, const msub_msg *m) { (void)c, (void)m; } /* the set has it */
static msub_got cache_get(const msub_channel *c, msub_bytes id, msub_token later, msub_cached *out) {
  (void)later;
  const msub__lww_record *w = winner(c->r, msub_r_topic(c->r, c->topic));
  if (!w || !msub_bytes_eq(msub__lww_id(w), id)) return MSUB_GOT_NONE;
  out->payload = msub__lww_bytes(w);
  return MSUB_GOT_PAYLOAD;
}
static size_t gossip_ids(const msub_channel *c, msub_bytes *ids, size_t max) {
  const msub__lww_record *w = winner(c->r, msub_r_topic(c->r, c->topic));
  if (!w || max == 0) return 0;
  ids[0] = msub__lww_id(w);
  return 1;
}
/* Those that are not known to have it, by lot. */
static void emit(const msub_channel *c, size_t want, msub_list *io) {
  msub_router *r = c->r;
  const msub__lww_record *w = winner(r, msub_r_topic(r, c->topic));
  uint64_t hash = w ? hash_of(r, msub__lww_id(w)) : 0;
  size_t n = 0;
  for (size_t i = 0; i < io->n; i++) {
    link *k = w ? link_of(r, io->s[i], c->topic) : NULL;
    if (k && has(k) != hash) io->s[n++] = io->s[i];
  }
  for (size_t i = 0; i < want && i + 1 < n; i++) {
    size_t k = i + msub_r_rand(r, 0, (uint32_t)(n - i));
    msub_session s = io->s[k];
    io->s[k] = io->s[i];
    io->s[i] = s;
  }
  io->n = n < want ? n : want;
  for (size_t i = 0; i < io->n; i++) link_of(r, io->s[i], c->topic)->told = true;
}
static void on_graft(const msub_channel *c, msub_session s, bool ours) {
  (void)ours;
  state *st = msub_r_state(c->r);
  if (st->n_grafted == GRAFTED) tell_grafted(c->r);
  st->grafted[st->n_grafted++] = (grafted){ c->topic, s };
}

static const msub_channel_policy policy = {
  .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "lww router", .sign = MSUB_SIGN_NEVER, .message_id = message_id, .admit = admit,
  .cache_put = cache_put, .cache_get = cache_get, .gossip_ids = gossip_ids, .emit = emit, .emit_mesh_too = true, .on_graft = on_graft,
};

/* ---- topics and sessions ---- */

static int join(msub_router *r, msub_topic t) {
  msub_lww *l = set_of(r);
  topic *tt = msub_r_topic(r, t);
  msub_bytes name = msub_r_name_bytes(r, msub_r_name(r, t));
  if (name.n > MSUB__LWW_ROUTER_TOPIC) return MSUB_ERR_INVAL;
  msub__lww_entry *e = l ? msub__lww_find(l, name) : NULL;
  if (!e || !e->joined) return MSUB_ERR_NOTFOUND; /* past the set */
  *tt = (topic){ .e = e };
  e->topic = t;
  int rc = msub_x_join(msub_r_inner(r), t);
  if (rc != MSUB_OK) {
    tt = msub_r_topic(r, t);
    if (tt) tt->e = NULL;
    ((state *)msub_r_state(r))->n_grafted = 0;
    return rc;
  }
  /* Who announced it before may have a better one; a few are asked, beginning with the mesh, and they are told of ours. */
  tell_grafted(r);
  size_t n = msub_r_links(r, t), at = n ? msub_r_rand(r, 1, (uint32_t)n) : 0;
  for (size_t i = 0; i < n && may_ask(r, tt, 0); i++)
    say(r, msub_r_link_session(r, t, (at + i) % n), t, tt, (msub_bytes){ NULL, 0 }, TELL | ASK);
  return MSUB_OK;
}
static void leave(msub_router *r, msub_topic t) {
  topic *tt = msub_r_topic(r, t);
  msub_x_leave(msub_r_inner(r), t);
  if (tt) tt->e = NULL;
}

/* Asked for each stream, so each hello is followed by the winners: as soon as it has gone out. */
static uint8_t hello(msub_router *r, msub_session s) {
  if (set_of(r)) (void)msub_command(r->engine, r->index, MSUB__LWW_GREET, &s, sizeof s, NULL);
  return msub_x_hello(msub_r_inner(r), s);
}

static void advance(msub_router *r) {
  msub_x_advance(msub_r_inner(r));
  tell_grafted(r);
}

static int command(msub_router *r, uint32_t what, const void *arg, size_t n) {
  state *st = msub_r_state(r);
  msub_lww *l;
  msub_session s;
  msub_topic t;
  switch (what) {
  case MSUB__LWW_ATTACH:
  case MSUB__LWW_DETACH:
    if (n != sizeof l) return MSUB_ERR_INVAL;
    memcpy(&l, arg, n);
    if (what == MSUB__LWW_ATTACH && st->l) return MSUB_ERR_CLAIMED;
    if (what == MSUB__LWW_ATTACH) st->l = l;
    else if (st->l == l) st->l = NULL;
    return MSUB_OK;
  case MSUB__LWW_GREET:
    if (n != sizeof s) return MSUB_ERR_INVAL;
    memcpy(&s, arg, n);
    greet(r, s);
    return MSUB_OK;
  case MSUB__LWW_RETELL:
    if (n != sizeof t) return MSUB_ERR_INVAL;
    memcpy(&t, arg, n);
    for (size_t i = 0; i < msub_r_links(r, t); i++) set_has(msub_r_link_at(r, t, i), 0);
    return MSUB_OK;
  default: return msub_x_command(msub_r_inner(r), what, arg, n);
  }
}

/* ---- the table ---- */

void msub_lww_router_opts_init(msub_lww_router_opts *o) { *o = (msub_lww_router_opts){ .size = sizeof *o, .protocol = "/meshsub-lww/1.0.0" }; }

typedef struct inner_opts { /* lives as long as the plan */
  msub_gossipsub_opts gossipsub;
  msub_gossipsub_protocol protocol;
  msub_score_opts score;
  msub_topic_score topic;
} inner_opts;

static int layout(msub_layout *l, const void *opts) {
  msub_lww_router_opts defaults;
  msub_lww_router_opts_init(&defaults);
  const msub_lww_router_opts *o = opts ? opts : &defaults;
  if (o->size != sizeof *o || !o->protocol || !*o->protocol) return MSUB_ERR_INVAL;
  inner_opts *in = msub_layout_alloc(l, sizeof *in);
  if (!in) return MSUB_ERR_NOMEM;
  if (o->gossipsub) in->gossipsub = *o->gossipsub;
  else {
    msub_gossipsub_opts_init(&in->gossipsub);
    in->score = msub_gossipsub_default_score;
    if (in->score.params.topic) {
      in->topic = *in->score.params.topic;
      in->topic.mesh_probe_penalty = 0;
      in->score.params.topic = &in->topic;
    }
    in->gossipsub.score = &in->score;
  }
  in->protocol = (msub_gossipsub_protocol){ o->protocol, MSUB_F_MESH | MSUB_F_PX | MSUB_F_IDONTWANT };
  in->gossipsub.protocols = &in->protocol;
  in->gossipsub.n_protocols = 1;
  in->gossipsub.floodsub = false;
  in->gossipsub.iwant.advertised_only = false; /* it sees no IWANT */
  msub_layout_state(l, sizeof(state), _Alignof(state));
  msub_layout_session(l, sizeof(session), _Alignof(session));
  msub_layout_topic(l, sizeof(topic), _Alignof(topic));
  msub_layout_link(l, sizeof(link), _Alignof(link));
  return msub_layout_nest(l, &msub_gossipsub, &in->gossipsub);
}

const msub_router_ops msub_lww_router = { .abi = MSUB_ABI, .size = sizeof(msub_router_ops), .name = "lww", .layout = layout, .policy = &policy,
                                          .join = join, .leave = leave, .duplicate = duplicate, .control = control, .hello = hello, .advance = advance,
                                          .command = command };
