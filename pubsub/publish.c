/* pubsub/publish.c: messages that leave: own ones, from the payload to the judgement, and forwards. */
#include "meshsub/author.h"
#include "pubsub/engine.h"
#include <string.h>

static void count_sent(const msub_engine *e, unsigned ri, const msub_rpc *rpc) {
  for (size_t i = 0; i < rpc->n_msgs; i++) {
    const msub__topic *t = msub__topic_find(e, ri, rpc->msgs[i]->topic_name);
    if (!t) continue;
    MSUB__COUNT_TOPIC(t, messages_out, 1);
    MSUB__COUNT_TOPIC(t, bytes_out, rpc->msgs[i]->wire_n);
  }
}

bool msub__send(msub_engine *e, const msub__session *s, msub_session h, const msub_rpc *rpc, msub_lane lane) {
  unsigned ri = msub__handle_router(h.v);
  msub_peer peer = { s->peer };
  if (MSUB__WORLD(e)->send(e->w, s->link, h, rpc, lane) == MSUB_OK) {
    MSUB__COUNT(e, rpcs_out);
    if (rpc->n_msgs) MSUB__COUNT_N(e, messages_out, rpc->n_msgs);
    if (rpc->n_msgs && e->cfg->topic_counts) count_sent(e, ri, rpc);
    MSUB__TRACE(e, ri, .kind = MSUB_T_SEND_RPC, .peer = peer, .rpc = rpc);
    return true;
  }
  MSUB__COUNT(e, refused);
  MSUB__TRACE(e, ri, .kind = MSUB_T_DROP_RPC, .peer = peer, .rpc = rpc, .reason = MSUB_R_QUEUE_FULL);
  MSUB__CALL(e, ri, dropped, h, rpc, MSUB_R_QUEUE_FULL);
  return false;
}

/* ---- messages ---- */

msub_list msub__scratch(msub_engine *e, size_t need) {
  msub__work *w = msub__need_work(e);
  if (!w) return (msub_list){ NULL, 0, 0 };
  if (need > w->scratch_cap) {
    size_t cap = need < 16 ? 16 : need * 2;
    msub_session *p = msub__realloc(msub__mem(e), w->scratch, w->scratch_cap * sizeof *p, cap * sizeof *p);
    if (p) {
      w->scratch = p;
      w->scratch_cap = cap;
    } else {
      MSUB__LOGE(e, MSUB_LOG_ERROR, "no memory for the recipients of a message: it is not forwarded to all");
    }
  }
  return (msub_list){ w->scratch, 0, w->scratch_cap };
}

static bool sent_it(const msub__case *c, uint32_t peer) {
  for (uint32_t i = 0; i < c->n_from; i++)
    if (c->from[i] == peer) return true;
  return false;
}

msub_reach msub__reach_of(const msub__topic *t, const msub_published *p) {
  if (p->recipients) return MSUB_REACH_PEERS;
  if (p->refused) return MSUB_REACH_QUEUES_FULL;
  return t->n_links ? MSUB_REACH_NOT_CHOSEN : MSUB_REACH_NO_PEERS;
}

void msub__forward(msub_engine *e, const msub__case *c, msub_published *p) {
  unsigned ri = msub__handle_router(c->topic.v);
  p->reach = MSUB_REACH_NOT_CHOSEN;
  const msub__topic *t = msub__topic_of(e, c->topic);
  if (!t || !MSUB__HAS(e, ri, publish)) return;
  size_t live = e->routers[ri].live_sessions;
  msub_list out = msub__scratch(e, t->n_links > live ? t->n_links : live);
  MSUB__OPS(e, ri, publish)->publish(MSUB__AT(e, ri, publish), c->topic, c->m, msub__case_from(e, c), &out);
  if (out.n > out.cap) {
    msub__fault(e, MSUB__OPS(e, ri, publish)->name, "publish named more recipients than there is room for");
    return;
  }
  msub_rpc rpc = { &c->m, 1, NULL, msub__message_rpc_size(c->m) };
  for (size_t i = 0; i < out.n; i++) {
    const msub__session *s = msub__handle_router(out.s[i].v) == ri ? msub__session_of(e, out.s[i]) : NULL;
    if (!s) msub__fault(e, MSUB__OPS(e, ri, publish)->name, "publish named a session that does not exist");
    else if (sent_it(c, s->peer) || !msub__may_get(e, t, out.s[i])) continue;
    else if (msub__send(e, s, out.s[i], &rpc, c->own ? MSUB_LANE_OWN : MSUB_LANE_FORWARD)) p->recipients++;
    else p->refused++;
  }
  p->reach = msub__reach_of(t, p);
}

static const char *const reaches[] = {
#define MSUB_X(name, text) text,
  MSUB_REACH_MAP(MSUB_X)
#undef MSUB_X
};
const char *msub_reach_text(int reach) { return reach < 0 || reach >= MSUB_REACHES ? "unknown" : reaches[reach]; }

void msub__tell_published(msub_engine *e, const msub_published *p) {
  msub__work *w = e->work;
  const msub_world_ops *world = MSUB__WORLD(e);
  if (w && w->outcome) {
    *w->outcome = *p;
    w->outcome->id.p = w->outcome_id;
    if (p->id.n) memcpy(w->outcome_id, p->id.p, p->id.n);
  }
  if (e->silent) return;
  if (world->result) world->result(e->w, p->ticket, p->err, p->recipients);
  if (world->published) world->published(e->w, p);
}

bool msub__publish_room(const msub_engine *e, const msub__topic *t, size_t bytes) {
  const msub_world_ops *w = MSUB__WORLD(e);
  if (!w->room) return true;
  unsigned ri = msub__handle_router(t->handle.v);
  for (uint32_t i = 0; i < t->n_links; i++)
    if (!w->room(e->w, msub__session_at(e, ri, msub__link_at(e, t, i)->session)->link, MSUB_LANE_OWN, bytes)) return false;
  return true;
}

uint8_t *msub__room(msub_engine *e, uint8_t **p, size_t *cap, size_t n) {
  if (n > *cap || !*p) {
    size_t more = n < 2048 ? 2048 : n + n / 2;
    msub__free(msub__mem(e), *p, *cap);
    *p = msub__alloc(msub__mem(e), more);
    *cap = *p ? more : 0;
  }
  return *p;
}
static uint8_t *encode_room(msub_engine *e, size_t n) { return msub__room(e, &e->work->encoded, &e->work->encoded_cap, n); }

/* Signs fields 1 to 4 as they are encoded. Length of the signature, or an error. */
static int sign(msub_engine *e, const msub_msg_view *v, uint8_t *out, size_t cap) {
  size_t n = msub_msg_encode(v, NULL, 0);
  uint8_t *p = encode_room(e, n);
  if (!p) return MSUB_ERR_NOMEM;
  msub_msg_encode(v, p, n);
  msub_bytes parts[2] = { msub_str("libp2p-pubsub:"), { p, n } };
  const msub_author *as = e->work->as;
  return as && as->sign ? as->sign(as->sign_ud, parts, 2, out, cap) : MSUB__WORLD(e)->sign(e->w, parts, 2, out, cap);
}

/* A message of ours on its way to be encoded. */
typedef struct draft {
  msub_msg_view v;
  uint8_t seqno[8], signature[1024];
  msub_bytes key_field;
  size_t extra; /* bytes that signing adds, at most */
} draft;

static void begin_draft(msub_engine *e, const msub__topic *t, msub_bytes data, draft *d) {
  memset(&d->v, 0, sizeof d->v);
  d->v.data = data;
  d->v.topic = msub__name_of(e, t->name);
  d->v.present = MSUB_HAS_DATA | MSUB_HAS_TOPIC;
  d->extra = 0;
  d->key_field = (msub_bytes){ NULL, 0 };
  if (!(t->signing & MSUB__S_AUTHOR)) return;
  const msub_author *as = e->work->as;
  bool other = as && as->id.n;
  d->v.from = other ? as->id : msub__intern_bytes(&e->sh->peers, e->self);
  d->v.seqno = (msub_bytes){ d->seqno, sizeof d->seqno };
  d->v.present |= MSUB_HAS_FROM | MSUB_HAS_SEQNO;
  if (!(t->signing & MSUB__S_SIGN)) return;
  d->key_field = other ? as->key_field : e->cfg->key_field;
  d->extra = 80 + 2 * d->key_field.n; /* a signature that needs a key field may be as long as the key, no longer */
}

static int next_number(msub_engine *e, uint64_t *number) {
  const msub_signing_opts *s = &e->cfg->signing;
  if (e->work->as && e->work->as->numbered) {
    *number = e->work->as->seqno;
    return MSUB_OK;
  }
  if (!s->next_seqno) {
    *number = ++e->seqno;
    return MSUB_OK;
  }
  int rc = s->next_seqno(s->seqno_ud, number);
  if (rc <= MSUB_OK) return rc;
  msub__fault(e, "next_seqno", "answered something that is no error");
  return MSUB_ERR_INVAL;
}

static int sign_draft(msub_engine *e, draft *d) {
  int n = sign(e, &d->v, d->signature, sizeof d->signature);
  if (n <= 0 || (size_t)n > sizeof d->signature) return n < 0 ? n : MSUB_ERR_CRYPTO;
  d->v.signature = (msub_bytes){ d->signature, (size_t)n };
  d->v.present |= MSUB_HAS_SIGNATURE;
  if (d->key_field.n) {
    d->v.key = d->key_field;
    d->v.present |= MSUB_HAS_KEY;
  }
  return MSUB_OK;
}

/* Numbers, signs and encodes it; *m is borrowed and stands in the engine's buffer. */
static int finish_draft(msub_engine *e, const msub__topic *t, draft *d, msub_msg_borrowed *m) {
  if (t->signing & MSUB__S_AUTHOR) {
    uint64_t number;
    int rc = next_number(e, &number);
    if (rc != MSUB_OK) return rc;
    for (int i = 7; i >= 0; i--, number >>= 8) d->seqno[i] = (uint8_t)number;
    if (t->signing & MSUB__S_SIGN && (rc = sign_draft(e, d)) != MSUB_OK) return rc;
  }
  size_t n = msub_msg_encode(&d->v, NULL, 0);
  uint8_t *p = encode_room(e, n);
  if (!p) return MSUB_ERR_NOMEM;
  msub_msg_encode(&d->v, p, n);
  if (msub_msg_parse((msub_bytes){ p, n }, &d->v) != MSUB_OK || !msub__msg_borrow(m, &d->v, t->name)) return MSUB_ERR_INVAL;
  /* Of another author we know only what the program says: others would take us for a forger. */
  const msub_author *as = e->work->as;
  if (as && as->sign && t->signing & MSUB__S_SIGN && e->cfg->verify(p, n) == MSUB_REJECT) return MSUB_ERR_CRYPTO;
  return n > e->cfg->max_message ? MSUB_ERR_LIMIT : MSUB_OK;
}

/* The payload as it travels. It stands in the payload buffer, which no callback between here and the encoding uses. */
static int transform(msub_engine *e, const msub__topic *t, msub_bytes *data) {
  msub_channel c;
  const msub_channel_policy *p = MSUB__HOOK(e, t, payload_out, &c);
  msub__work *w = e->work;
  if (!p) return MSUB_OK;
  if (!msub__room(e, &w->payload, &w->payload_cap, data->n + 1)) return MSUB_ERR_NOMEM; /* mostly that will do */
  for (unsigned tries = 0; tries < 2; tries++) {
    size_t n = p->payload_out(&c, *data, w->payload, w->payload_cap);
    if (n == SIZE_MAX) return MSUB_ERR_REFUSED;
    if (n > msub__max_data(e, t)) return MSUB_ERR_LIMIT;
    if (n <= w->payload_cap) {
      *data = (msub_bytes){ w->payload, n };
      return MSUB_OK;
    }
    if (!msub__room(e, &w->payload, &w->payload_cap, n)) return MSUB_ERR_NOMEM;
  }
  msub__fault(e, msub__policy_name(p), "payload_out asked for more room twice");
  return MSUB_ERR_REFUSED;
}

const msub_msg *msub__wrap(msub_engine *e, msub__topic *t, msub_bytes data, msub_bytes want, int *err) {
  draft d;
  msub_msg_borrowed m;
  uint8_t id[MSUB_MAX_ID];
  *err = MSUB_ERR_NOMEM;
  if (!msub__need_work(e)) return NULL;
  begin_draft(e, t, data, &d);
  *err = data.n > msub__max_data(e, t) || msub_msg_encode(&d.v, NULL, 0) + d.extra > e->cfg->max_message ? MSUB_ERR_LIMIT : finish_draft(e, t, &d, &m);
  if (*err != MSUB_OK) return NULL;
  msub_bytes idb = { id, msub__message_id(e, t, &m.m, id) };
  *err = MSUB_ERR_INVAL;
  if (idb.n == 0 || (want.n && !msub_bytes_eq(idb, want))) return NULL;
  *err = MSUB_ERR_NOMEM;
  return msub__msg_new(e->sh, &m.m, t->id_fn, idb);
}

int msub__publish(msub_engine *e, msub_topic h, msub_bytes data, msub_token ticket, bool local) {
  msub__topic *t = msub__topic_of(e, h);
  if (!t || (t->joins == 0 && t->opens == 0)) return MSUB_ERR_STALE;
  if (!msub__need_work(e)) return MSUB_ERR_NOMEM;
  int rc = transform(e, t, &data);
  if (rc != MSUB_OK) return rc;
  draft d;
  begin_draft(e, t, data, &d);
  if (data.n > msub__max_data(e, t) || msub_msg_encode(&d.v, NULL, 0) + d.extra > e->cfg->max_message) return MSUB_ERR_LIMIT;
  if (!local && !msub__publish_room(e, t, data.n + d.v.topic.n + d.extra + 64)) return MSUB_ERR_LIMIT;
  msub_msg_borrowed m;
  rc = finish_draft(e, t, &d, &m);
  if (rc != MSUB_OK) return rc;

  uint8_t id[MSUB_MAX_ID];
  msub_bytes idb = { id, msub__message_id(e, t, &m.m, id) };
  if (idb.n == 0) {
    msub__count_reason(e, MSUB_R_BAD_ID);
    return MSUB_ERR_REFUSED;
  }
  msub__case c = { .topic = h, .own = true, .local = local, .ticket = ticket };
  c.fp = msub__fingerprint(e, t, idb);
  MSUB__COUNT(e, published);
  MSUB__COUNT_TOPIC(t, published, 1);
  MSUB__TRACE(e, msub__handle_router(h.v), .kind = MSUB_T_PUBLISH, .topic = h, .id = idb);
  if (msub__seen_find(&e->work->seen, c.fp, e->now.mono_ns) == MSUB__SEEN_ACCEPTED) { /* it has been everywhere already */
    MSUB__COUNT(e, duplicates);
    MSUB__COUNT_TOPIC(t, duplicates, 1);
    MSUB__TRACE(e, msub__handle_router(h.v), .kind = MSUB_T_DUPLICATE, .topic = h, .id = idb);
    msub__tell_published(e, &(msub_published){ .ticket = ticket, .topic = h, .reach = MSUB_REACH_PUBLISHED_BEFORE, .id = idb });
    return MSUB_OK;
  }
  c.m = msub__msg_new(e->sh, &m.m, t->id_fn, idb);
  if (!c.m) return MSUB_ERR_NOMEM;
  return msub__judge(e, &c);
}

int msub_publish(msub_engine *e, msub_topic t, msub_bytes data, const msub_now *now, msub_token *ticket) {
  if (now == NULL ? !e->inside : e->inside) return MSUB_ERR_STATE;
  msub_token mine = { 0 };
  if (ticket || now == NULL) mine.v = ++e->tickets;
  if (now == NULL) {
    const msub__topic *at = msub__topic_of(e, t);
    if (!at || (at->joins == 0 && at->opens == 0)) return MSUB_ERR_STALE;
    if (data.n > MSUB__PAYLOAD_BYTES || (data.n > e->cfg->max_message && !MSUB__HOOK(e, at, payload_out, &(msub_channel){ 0 }))) return MSUB_ERR_LIMIT;
    int rc = msub__deferred_push(e, &(msub__call){ .kind = MSUB__CALL_PUBLISH, .topic = t, .token = mine }, data);
    if (rc == MSUB_OK && ticket) *ticket = mine;
    return rc;
  }
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  if (ticket) *ticket = mine;
  rc = msub__publish(e, t, data, mine, false);
  msub__leave(e);
  return rc;
}
