/* routers/gossipsub/partial.c: partial messages: groups, who is told what of them, what peers write about them. The states are the
 * program's; the router only keeps them, within bounds. */
#include "meshsub/engine.h"
#include "routers/gossipsub/extensions.h"
#include <string.h>

#define HEAD 8u /* of a record; the state follows, aligned */
typedef struct record { uint32_t session, unused; } record;
_Static_assert(sizeof(record) == HEAD, "records");

static record *record_at(const msub__gs_group *g, uint32_t i) { return (record *)(void *)(g->records + (size_t)i * g->stride); }
static void *state_of(const msub__gs_group *g, record *rec) { return g->stride > HEAD ? (uint8_t *)rec + HEAD : NULL; }
static record *record_of(const msub__gs_group *g, msub_session s) {
  for (uint32_t i = 0; i < g->n; i++)
    if (record_at(g, i)->session == s.v) return record_at(g, i);
  return NULL;
}
static msub_bytes id_of(const msub__gs_group *g) { return (msub_bytes){ g->id, g->id_n }; }

/* ---- the modes of both sides ---- */

static bool hooks(msub_router *r, msub_topic t, msub_channel *c, msub_partial_ops *ops) {
  return msub__gs_opts(r)->extensions.partial && msub_h_partial(r, t, c, ops) && ops->mode != MSUB_PARTIAL_NONE;
}
static uint8_t flags_of(msub_partial_mode m) {
  return m == MSUB_PARTIAL_REQUESTS ? MSUB_SUB_REQUESTS_PARTIAL | MSUB_SUB_SENDS_PARTIAL : m == MSUB_PARTIAL_SUPPORTS ? MSUB_SUB_SENDS_PARTIAL : 0;
}

uint8_t msub__gs_announce(msub_router *r, msub_topic t) {
  msub_channel c;
  msub_partial_ops ops;
  return hooks(r, t, &c, &ops) ? flags_of(ops.mode) : 0;
}

int msub__gs_partial_begin(msub_router *r, msub_topic t, msub__gs_topic *tt) {
  msub_channel c;
  msub_partial_ops ops;
  const char *fault = NULL;
  tt->partial = 0;
  if (!msub_h_partial(r, t, &c, &ops) || ops.mode == MSUB_PARTIAL_NONE) return MSUB_OK;
  if (!msub__gs_opts(r)->extensions.partial) fault = "the router's option extensions.partial is off";
  else if (ops.mode != MSUB_PARTIAL_SUPPORTS && ops.mode != MSUB_PARTIAL_REQUESTS) fault = "there is no such mode";
  else if (ops.state_bytes > MSUB__GS_PARTIAL_STATE) fault = "state_bytes <= 1024";
  if (fault) {
    msub_r_log(r, MSUB_LOG_ERROR, "gossipsub: the topic has no partial messages: %s", fault);
    return MSUB_ERR_INVAL;
  }
  tt->partial = flags_of(ops.mode);
  return MSUB_OK;
}

/* The subscription's flags alone decide in the reference. But whoever has not announced the extension would then get nothing. */
static bool counts(const msub_router *r, msub_session s) { return msub__gs_of(r)->parity || msub__gs_partial_with(r, s); }

bool msub__gs_partial_instead(const msub_router *r, msub_session s, const msub__gs_topic *tt, const msub__gs_link *l) {
  return tt->partial & MSUB_SUB_SENDS_PARTIAL && l && l->is & MSUB__GS_REQUESTS && counts(r, s);
}
bool msub__gs_partial_skips_idontwant(const msub_router *r, msub_session s, const msub__gs_topic *tt, const msub__gs_link *l) {
  return tt->partial & MSUB_SUB_REQUESTS_PARTIAL && l && l->is & MSUB__GS_SENDS && counts(r, s);
}

/* ---- groups ---- */

typedef struct key { msub_topic t; msub_bytes id; } key;
static bool same(const void *ctx, uint32_t value, const void *k) {
  const msub__gs_group *g = &((const struct msub__gs_ext *)ctx)->g[value];
  return g->topic.v == ((const key *)k)->t.v && msub_bytes_eq(id_of(g), ((const key *)k)->id);
}
static uint64_t hash_of(const msub_router *r, msub_topic t, msub_bytes id) { return msub_r_hash(r, id) ^ t.v * UINT64_C(0x9e3779b97f4a7c15); }
static msub__gs_group *find(const msub_router *r, msub_topic t, msub_bytes id) {
  const struct msub__gs_ext *x = msub__gs_of(r)->ext;
  key k = { t, id };
  uint32_t i = x && x->table.n ? msub__table_find(&x->table, hash_of(r, t, id), same, x, &k) : MSUB__NONE;
  return i == MSUB__NONE ? NULL : &x->g[i];
}

static uint32_t index_of(const struct msub__gs_ext *x, const msub__gs_group *g) { return (uint32_t)(g - x->g); }

static void no_longer_foreign(struct msub__gs_ext *x, msub__gs_group *g, msub__gs_topic *tt) {
  if (g->beginner == 0) return;
  g->beginner = 0;
  x->foreign--;
  if (tt) tt->foreign--;
}

static void forget_state(msub_router *r, uint32_t session) {
  msub__gs_ext_session *xs = msub__gs_ext_of(r, (msub_session){ session });
  if (xs) xs->states--;
  msub__gs_of(r)->ext->states--;
}

static void free_group(msub_router *r, msub__gs_group *g) {
  struct msub__gs_ext *x = msub__gs_of(r)->ext;
  msub__gs_topic *tt = msub__gs_topic_of(r, g->topic); /* NULL: nobody knows the topic any more */
  uint32_t i = index_of(x, g);
  for (uint32_t k = 0; k < g->n; k++) forget_state(r, record_at(g, k)->session);
  no_longer_foreign(x, g, tt);
  if (g->prev) x->g[g->prev - 1].next = g->next;
  else if (tt) tt->groups = g->next;
  if (g->next) x->g[g->next - 1].prev = g->prev;
  msub__table_remove(&x->table, hash_of(r, g->topic, id_of(g)), i);
  x->bytes -= (size_t)g->cap * g->stride + g->id_n;
  msub__free(msub_r_mem(r), g->records, (size_t)g->cap * g->stride);
  msub__free(msub_r_mem(r), g->id, g->id_n);
  *g = (msub__gs_group){ .next = x->free };
  x->free = i + 1;
  x->live--;
}

static bool grow_groups(msub_router *r, struct msub__gs_ext *x) {
  uint32_t cap = x->cap ? x->cap * 2 : 8;
  if (cap > MSUB__GS_PARTIAL_GROUPS) cap = MSUB__GS_PARTIAL_GROUPS;
  msub__gs_group *more = msub__realloc(msub_r_mem(r), x->g, x->cap * sizeof *more, cap * sizeof *more);
  if (!more) return false;
  x->g = more;
  x->cap = cap;
  return true;
}

/* There is none with this id, and there is room for one more. NULL: no memory. */
static msub__gs_group *new_group(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_bytes id, uint32_t beginner, const msub_partial_ops *ops) {
  struct msub__gs_ext *x = msub__gs_of(r)->ext;
  const msub_mem *m = msub_r_mem(r);
  if (!x->free && x->n == x->cap && !grow_groups(r, x)) return NULL;
  if (msub__table_reserve(&x->table, m) != MSUB_OK) return NULL;
  uint8_t *copy = msub__alloc(m, id.n);
  if (!copy) return NULL;
  memcpy(copy, id.p, id.n);
  uint32_t i = x->free ? x->free - 1 : x->n++;
  msub__gs_group *g = &x->g[i];
  if (x->free) x->free = g->next;
  *g = (msub__gs_group){ .topic = t, .next = tt->groups, .beginner = beginner, .id = copy, .id_n = (uint8_t)id.n,
                         .stride = (uint16_t)(HEAD + ((ops->state_bytes + 7u) & ~7u)) };
  if (tt->groups) x->g[tt->groups - 1].prev = i + 1;
  tt->groups = i + 1;
  x->live++;
  x->bytes += id.n;
  if (beginner) {
    x->foreign++;
    tt->foreign++;
  }
  int rc = msub__table_insert(&x->table, m, hash_of(r, t, id), i);
  MSUB__INVARIANT(rc == MSUB_OK);
  return g;
}

static void live_again(msub__gs_group *g, const msub_partial_ops *ops) { g->ttl = ops->ttl > MSUB__GS_PARTIAL_TTL ? ops->ttl : MSUB__GS_PARTIAL_TTL; }

/* The peer's record; made when it is new. in: it wrote. NULL: over a limit, or no memory. */
static record *record_for(msub_router *r, msub__gs_group *g, msub_session s, bool in) {
  struct msub__gs_ext *x = msub__gs_of(r)->ext;
  record *rec = record_of(g, s);
  if (rec) return rec;
  msub__gs_ext_session *xs = msub__gs_ext_of(r, s);
  if (!xs) return NULL;
  if (x->states >= (in ? MSUB__GS_PARTIAL_STATES_IN : MSUB__GS_PARTIAL_STATES) || xs->states >= MSUB__GS_PARTIAL_STATES_PEER) {
    x->counts.over_states++;
    return NULL;
  }
  if (g->n == g->cap) {
    uint32_t cap = g->cap ? g->cap * 2 : 4;
    uint8_t *more = msub__realloc(msub_r_mem(r), g->records, (size_t)g->cap * g->stride, (size_t)cap * g->stride);
    if (!more) return NULL;
    x->bytes += (size_t)(cap - g->cap) * g->stride;
    g->records = more;
    g->cap = cap;
  }
  rec = record_at(g, g->n++);
  memset(rec, 0, g->stride);
  rec->session = s.v;
  x->states++;
  xs->states++;
  return rec;
}

static void remove_record(msub_router *r, msub__gs_group *g, msub_session s) {
  record *rec = record_of(g, s);
  if (!rec) return;
  uint8_t *at = (uint8_t *)rec, *end = g->records + (size_t)g->n * g->stride;
  memmove(at, at + g->stride, (size_t)(end - at) - g->stride);
  g->n--;
  forget_state(r, s.v);
}

void msub__gs_partial_forget(msub_router *r, msub_session s) {
  struct msub__gs_ext *x = msub__gs_of(r)->ext;
  const msub__gs_ext_session *xs = msub__gs_ext_of(r, s);
  for (uint32_t i = 0; xs && xs->states && i < x->n; i++)
    if (x->g[i].topic.v) remove_record(r, &x->g[i], s);
}

void msub__gs_partial_unlink(msub_router *r, msub_session s, msub_topic t) {
  const struct msub__gs_ext *x = msub__gs_of(r)->ext;
  const msub__gs_topic *tt = msub__gs_topic_of(r, t);
  for (uint32_t i = tt->groups; i; i = x->g[i - 1].next) remove_record(r, &x->g[i - 1], s);
}

void msub__gs_partial_end(msub_router *r, msub_topic t, msub__gs_topic *tt) {
  (void)t;
  while (tt->groups) free_group(r, &msub__gs_of(r)->ext->g[tt->groups - 1]);
  tt->partial = 0;
}

void msub__gs_partial_heartbeat(msub_router *r) {
  struct msub__gs_ext *x = msub__gs_of(r)->ext;
  for (uint32_t i = 0; x && i < x->n && x->live; i++) {
    msub__gs_group *g = &x->g[i];
    const msub__gs_topic *tt = g->topic.v ? msub__gs_topic_of(r, g->topic) : NULL;
    if (g->topic.v && (!tt || tt->mode == MSUB__GS_NONE || g->ttl == 0 || (g->n == 0 && g->beginner))) free_group(r, g);
    else if (g->topic.v) g->ttl--;
  }
}

void msub__gs_partial_fini(msub_router *r) {
  struct msub__gs_ext *x = msub__gs_of(r)->ext;
  const msub_mem *m = msub_r_mem(r);
  for (uint32_t i = 0; i < x->n; i++) {
    msub__free(m, x->g[i].records, (size_t)x->g[i].cap * x->g[i].stride);
    msub__free(m, x->g[i].id, x->g[i].id_n);
  }
  msub__free(m, x->g, x->cap * sizeof *x->g);
  msub__table_fini(&x->table, m);
}

/* ---- out ---- */

typedef struct job {
  msub_router *r;
  msub_topic t;
  msub__gs_topic *tt;
  msub_channel c;
  msub_partial_ops ops;
} job;

static msub_partial_peer view(const job *j, const msub__gs_group *g, record *rec) {
  msub_session s = { rec->session };
  const msub__gs_link *l = msub_r_link(j->r, s, j->t);
  return (msub_partial_peer){ .peer = msub_r_session_peer(j->r, s), .requests = l && l->is & MSUB__GS_REQUESTS,
                              .sends = l && l->is & MSUB__GS_SENDS, .member = msub__gs_is_member(j->tt, s), .state = state_of(g, rec) };
}

/* Is the peer told anything, or heard, of parts of the topic? */
static bool takes_part(msub_router *r, msub_topic t, msub_session s) { return msub__gs_partial_with(r, s) && msub_h_may_peer(r, t, s); }

/* Asks for what goes to the peer, and sends it. What the program wrote into the state counts only if it went. */
static void give(const job *j, const msub__gs_group *g, record *rec, msub_partial_fn fn, msub_lane lane) {
  struct msub__gs_ext *x = msub__gs_of(j->r)->ext;
  msub_session s = { rec->session };
  uint8_t before[MSUB__GS_PARTIAL_STATE + 8];
  size_t n = g->stride - HEAD;
  if (!takes_part(j->r, j->t, s)) return;
  msub_partial_peer p = view(j, g, rec);
  msub_partial_out out = { { NULL, 0 }, { NULL, 0 } };
  if (n) memcpy(before, p.state, n);
  fn(&j->c, id_of(g), &p, &out);
  msub_bytes parts[3] = { id_of(g), p.requests ? out.message : (msub_bytes){ NULL, 0 }, out.metadata };
  msub_ctl_entry e = { .kind = MSUB_C_PARTIAL, .topic_name = msub_r_name(j->r, j->t), .ids = parts, .n_ids = 3 };
  bool any = parts[1].n || parts[2].n;
  if (any && msub__gs_send(j->r, &s, 1, &e, 1, lane)) {
    x->counts.sent++;
    return;
  }
  if (any) x->counts.unsent++;
  if (n) memcpy(state_of(g, rec), before, n);
}

/* Peers that the group is for: of the mesh or fanout, and direct ones; one side wants parts that the other one sends. */
static bool concerns(const job *j, msub_session s, const msub__gs_link *l) {
  bool gets = j->tt->partial & MSUB_SUB_SENDS_PARTIAL && l->is & MSUB__GS_REQUESTS;
  bool gives = j->tt->partial & MSUB_SUB_REQUESTS_PARTIAL && l->is & MSUB__GS_SENDS;
  if (!gets && !gives) return false;
  const msub__gs_session *ss = msub__gs_session_of(j->r, s);
  return (l->is & MSUB__GS_MEMBER || (ss && ss->is & MSUB__GS_IS_DIRECT)) && takes_part(j->r, j->t, s);
}

static int own_group(const job *j, msub_bytes id, msub__gs_group **out) {
  struct msub__gs_ext *x = msub__gs_of(j->r)->ext;
  msub__gs_group *g = find(j->r, j->t, id);
  if (!g) {
    if (x->live >= MSUB__GS_PARTIAL_GROUPS) {
      x->counts.over_groups++;
      return MSUB_ERR_LIMIT;
    }
    g = new_group(j->r, j->t, j->tt, id, 0, &j->ops);
    if (!g) return MSUB_ERR_NOMEM;
  }
  no_longer_foreign(x, g, j->tt);
  live_again(g, &j->ops);
  *out = g;
  return MSUB_OK;
}

static int publish(msub_router *r, msub_topic t, msub_bytes id, msub_partial_fn fn, const msub_peer *to, size_t n_to) {
  job j = { .r = r, .t = t, .tt = msub__gs_topic_of(r, t) };
  if (!j.tt) return MSUB_ERR_STALE;
  if (!hooks(r, t, &j.c, &j.ops)) return MSUB_ERR_INVAL;
  if (!fn) fn = j.ops.give;
  if (!fn || j.ops.state_bytes > MSUB__GS_PARTIAL_STATE) return MSUB_ERR_INVAL;
  if (j.tt->mode != MSUB__GS_MESH) msub__gs_fanout_use(r, t, j.tt);
  if (j.tt->mode == MSUB__GS_NONE || !msub__gs_ext_need(r)) return MSUB_ERR_NOMEM;
  msub__gs_group *g;
  int rc = own_group(&j, id, &g);
  if (rc != MSUB_OK) return rc;
  for (size_t i = 0; to && i < n_to; i++) {
    msub_session s = msub_r_session_of(r, to[i]);
    record *rec = s.v && takes_part(r, t, s) ? record_for(r, g, s, false) : NULL;
    if (rec) give(&j, g, rec, fn, MSUB_LANE_FORWARD);
  }
  if (to) return MSUB_OK;
  for (size_t i = 0, n = msub_r_links(r, t); i < n; i++) {
    msub_session s = msub_r_link_session(r, t, i);
    if (concerns(&j, s, msub_r_link_at(r, t, i))) (void)record_for(r, g, s, false);
  }
  for (uint32_t i = 0; i < g->n; i++) give(&j, g, record_at(g, i), fn, MSUB_LANE_FORWARD);
  return MSUB_OK;
}

/* Groups of ours that the peer has not heard of. */
static void tell(const job *j, msub_session s) {
  const struct msub__gs_ext *x = msub__gs_of(j->r)->ext;
  for (uint32_t i = j->tt->groups; i; i = x->g[i - 1].next) {
    msub__gs_group *g = &x->g[i - 1];
    record *rec = g->beginner || record_of(g, s) ? NULL : record_for(j->r, g, s, false);
    if (rec) give(j, g, rec, j->ops.gossip, MSUB_LANE_GOSSIP);
  }
}

void msub__gs_partial_gossip(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_list *to) {
  job j = { .r = r, .t = t, .tt = tt };
  bool any = tt->groups && hooks(r, t, &j.c, &j.ops) && j.ops.gossip;
  size_t left = 0;
  for (size_t i = 0; i < to->n; i++) {
    msub_session s = to->s[i];
    if (!msub__gs_partial_instead(r, s, tt, msub_r_link(r, s, t))) to->s[left++] = s;
    else if (any) tell(&j, s);
  }
  to->n = left;
  for (uint32_t i = 0; any && !msub__gs_of(r)->parity && i < tt->n; i++) {
    const msub__gs_link *l = msub_r_link(r, tt->s[i], t);
    if (l && concerns(&j, tt->s[i], l)) tell(&j, tt->s[i]); /* in the mesh since, perhaps */
  }
}

void msub__gs_partial_dropped(msub_router *r, msub_session s, const msub_ctl_entry *e) {
  msub_topic t = msub_r_topic_of(r, e->topic_name);
  msub__gs_group *g = t.v && e->n_ids == 3 ? find(r, t, e->ids[0]) : NULL;
  record *rec = g ? record_of(g, s) : NULL;
  if (rec && g->stride > HEAD) memset(state_of(g, rec), 0, g->stride - HEAD);
}

/* ---- in ---- */

static bool no_use(struct msub__gs_ext *x) {
  x->counts.of_no_use++;
  return false;
}

/* Within the peer's share of this heartbeat? */
static bool shares(const msub__gs *g, msub__gs_ext_session *xs, size_t bytes) {
  if (xs->tick != g->tick) xs->rpcs = xs->bytes = 0;
  xs->tick = g->tick;
  if (xs->rpcs >= MSUB__GS_PARTIAL_RPCS || bytes > MSUB__GS_PARTIAL_BYTES - xs->bytes) return false;
  xs->rpcs++;
  xs->bytes += (uint32_t)bytes;
  return true;
}

/* May this peer begin one more group? */
static bool may_begin(const job *j, msub_session s) {
  const struct msub__gs_ext *x = msub__gs_of(j->r)->ext;
  unsigned of_peer = 0;
  if (j->tt->foreign >= MSUB__GS_PARTIAL_FOREIGN || x->foreign >= MSUB__GS_PARTIAL_FOREIGN_ALL || x->live >= MSUB__GS_PARTIAL_GROUPS) return false;
  for (uint32_t i = j->tt->groups; i; i = x->g[i - 1].next) of_peer += x->g[i - 1].beginner == s.v;
  return of_peer < MSUB__GS_PARTIAL_FOREIGN_PEER;
}

bool msub__gs_partial_in(msub_router *r, msub_session s, msub__gs_ext_session *xs, const msub_ctl_entry *e) {
  msub__gs *gs = msub__gs_of(r);
  struct msub__gs_ext *x = gs->ext;
  job j = { .r = r, .t = e->topic_name ? msub_r_topic_of(r, e->topic_name) : (msub_topic){ 0 } };
  j.tt = j.t.v ? msub__gs_topic_of(r, j.t) : NULL;
  msub_bytes id = e->ids[0];
  if (!(xs->theirs & MSUB_EXT_PARTIAL) || !j.tt || !j.tt->partial || j.tt->mode == MSUB__GS_NONE || id.n == 0 || id.n > MSUB__GS_PARTIAL_ID) return no_use(x);
  if (!hooks(r, j.t, &j.c, &j.ops) || !msub_h_may_peer(r, j.t, s)) return no_use(x);
  if (!shares(gs, xs, e->ids[1].n + e->ids[2].n)) {
    x->counts.over_share++;
    return false;
  }
  msub__gs_group *g = find(r, j.t, id);
  if (!g) {
    if (!may_begin(&j, s)) {
      x->counts.over_groups++;
      return false;
    }
    g = new_group(r, j.t, j.tt, id, s.v, &j.ops);
    if (!g) return false;
    live_again(g, &j.ops);
  }
  record *rec = record_for(r, g, s, true);
  if (!rec) { /* a group without anybody in it goes at the next heartbeat */
    return false;
  }
  msub_partial_peer p = view(&j, g, rec);
  msub_verdict v = j.ops.take ? j.ops.take(&j.c, id_of(g), &p, e->ids[1], e->ids[2]) : MSUB_ACCEPT;
  if (v == MSUB_REJECT) {
    x->counts.rejected++;
    msub__gs_score_penalty(r, s, 1);
  }
  return true;
}

/* ---- calls of the program ---- */

enum { COMMAND_PUBLISH = 0x70617274, COMMAND_USAGE }; /* no other header's */
#define ALL UINT32_MAX
typedef struct request {
  msub_partial_fn give;
  msub_topic t;
  uint32_t n_to, group_n; /* ALL: to everybody; the peers and the group's id follow */
} request;

int msub__gs_partial_command(msub_router *r, uint32_t what, const void *arg, size_t n) {
  if (what == COMMAND_PUBLISH) {
    request q;
    if (n < sizeof q) return MSUB_ERR_INVAL;
    memcpy(&q, arg, sizeof q);
    msub_peer to[MSUB__GS_PARTIAL_TO];
    const uint8_t *p = (const uint8_t *)arg + sizeof q;
    size_t n_to = q.n_to == ALL ? 0 : q.n_to;
    if (n_to > MSUB__GS_PARTIAL_TO || n != sizeof q + n_to * sizeof *to + q.group_n) return MSUB_ERR_INVAL;
    if (n_to) memcpy(to, p, n_to * sizeof *to);
    return publish(r, q.t, (msub_bytes){ p + n_to * sizeof *to, q.group_n }, q.give, q.n_to == ALL ? NULL : to, n_to);
  }
  if (what != COMMAND_USAGE) return MSUB_ERR_UNSUPPORTED;
  msub_partial_usage *out;
  if (n != sizeof out) return MSUB_ERR_INVAL;
  memcpy(&out, arg, sizeof out);
  const struct msub__gs_ext *x = msub__gs_of(r)->ext;
  *out = x ? x->counts : (msub_partial_usage){ 0 };
  if (!x) return MSUB_OK;
  out->groups = x->live;
  out->foreign = x->foreign;
  out->states = x->states;
  out->bytes = x->bytes + x->cap * sizeof *x->g + x->n_slots * sizeof *x->by_slot + msub__table_bytes(&x->table);
  return MSUB_OK;
}

int msub_partial_publish(msub_engine *e, msub_topic t, msub_bytes group, msub_partial_fn fn, const msub_peer *to, size_t n_to, const msub_now *now) {
  uint8_t packed[sizeof(request) + MSUB__GS_PARTIAL_TO * sizeof(msub_peer) + MSUB__GS_PARTIAL_ID];
  if (group.n == 0 || group.n > MSUB__GS_PARTIAL_ID || n_to > MSUB__GS_PARTIAL_TO) return MSUB_ERR_INVAL;
  if (msub_topic_name(e, t) == 0) return MSUB_ERR_STALE;
  request q = { .give = fn, .t = t, .n_to = to ? (uint32_t)n_to : ALL, .group_n = (uint32_t)group.n };
  size_t n = sizeof q;
  memcpy(packed, &q, sizeof q);
  if (to && n_to) {
    memcpy(packed + n, to, n_to * sizeof *to);
    n += n_to * sizeof *to;
  }
  memcpy(packed + n, group.p, group.n);
  int rc = msub_command(e, t.v >> 29, COMMAND_PUBLISH, packed, n + group.n, now);
  return rc == MSUB_ERR_UNSUPPORTED ? MSUB_ERR_INVAL : rc;
}

int msub_partial_usage_of(msub_engine *e, unsigned router, const msub_now *now, msub_partial_usage *out) {
  return now ? msub_command(e, router, COMMAND_USAGE, &out, sizeof out, now) : MSUB_ERR_INVAL;
}
