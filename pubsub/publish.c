/* pubsub/publish.c: everything that leaves: own messages, forwards, hellos and announcements. */
#include "pubsub/engine.h"
#include <string.h>

bool msub__send(msub_engine *e, unsigned ri, uint32_t slot, const msub_rpc *rpc, msub_lane lane) {
  const msub__session *s = msub__session_at(e, ri, slot);
  msub_session h = msub__session_handle(e, ri, slot);
  if (e->world->send(e->w, s->link, h, rpc, lane) == MSUB_OK) {
    e->counts.rpcs_out++;
    e->counts.messages_out += rpc->n_msgs;
    return true;
  }
  e->counts.refused++;
  const msub_router_ops *ops = msub__ops(e, ri);
  if (ops->dropped) ops->dropped(&e->handles[ri], h, rpc, MSUB_R_QUEUE_FULL);
  return false;
}

/* ---- messages ---- */

static msub_list recipients(msub_engine *e, const msub__topic *t) {
  size_t need = t->n_links > e->routers[msub__handle_router(t->handle.v)].live_sessions
                    ? t->n_links
                    : e->routers[msub__handle_router(t->handle.v)].live_sessions;
  if (need > e->scratch_cap) {
    size_t cap = need < 16 ? 16 : need * 2;
    msub_session *p = msub__realloc(msub__mem(e), e->scratch, e->scratch_cap * sizeof *p, cap * sizeof *p);
    if (p) {
      e->scratch = p;
      e->scratch_cap = cap;
    } else {
      MSUB__LOGE(e, MSUB_LOG_ERROR, "no memory for the recipients of a message: it is not forwarded to all");
    }
  }
  return (msub_list){ e->scratch, 0, e->scratch_cap };
}

static bool sent_it(const msub__case *c, uint32_t peer) {
  for (uint32_t i = 0; i < c->n_from; i++)
    if (c->from[i] == peer) return true;
  return false;
}

static size_t message_rpc_size(const msub_msg *m) { return 1 + msub_varint_size(m->wire_n) + m->wire_n; }

uint32_t msub__forward(msub_engine *e, const msub__case *c) {
  unsigned ri = msub__handle_router(c->topic.v);
  const msub__topic *t = msub__topic_of(e, c->topic);
  uint32_t from = c->n_from ? msub__session_find(e, ri, c->from[0]) : MSUB__NONE;
  msub_list out = recipients(e, t);
  msub__ops(e, ri)->publish(&e->handles[ri], c->topic, c->m,
                            from == MSUB__NONE ? (msub_session){ 0 } : msub__session_handle(e, ri, from), &out);
  msub_rpc rpc = { &c->m, 1, NULL, message_rpc_size(c->m) };
  uint32_t took = 0;
  for (size_t i = 0; i < out.n; i++) {
    const msub__session *s = msub__session_of(e, out.s[i]);
    if (!s || msub__handle_router(out.s[i].v) != ri || sent_it(c, s->peer)) continue;
    took += msub__send(e, ri, msub__handle_slot(out.s[i].v), &rpc, c->own ? MSUB_LANE_OWN : MSUB_LANE_FORWARD);
  }
  return took;
}

static bool room_everywhere(const msub_engine *e, const msub__topic *t, size_t bytes) {
  if (!e->world->room) return true;
  unsigned ri = msub__handle_router(t->handle.v);
  for (uint32_t i = 0; i < t->n_links; i++)
    if (!e->world->room(e->w, msub__session_at(e, ri, msub__link_at(e, t, i)->session)->link, MSUB_LANE_OWN, bytes)) return false;
  return true;
}

static uint8_t *encode_room(msub_engine *e, size_t n) {
  if (n > e->encoded_cap) {
    size_t cap = n < 2048 ? 2048 : n + n / 2;
    msub__free(msub__mem(e), e->encoded, e->encoded_cap);
    e->encoded = msub__alloc(msub__mem(e), cap);
    e->encoded_cap = e->encoded ? cap : 0;
  }
  return e->encoded;
}

/* Signs fields 1 to 4 as they are encoded. Length of the signature, or an error. */
static int sign(msub_engine *e, const msub_msg_view *v, uint8_t *out, size_t cap) {
  size_t n = msub_msg_encode(v, NULL, 0);
  uint8_t *p = encode_room(e, n);
  if (!p) return MSUB_ERR_NOMEM;
  msub_msg_encode(v, p, n);
  msub_bytes parts[2] = { msub_str("libp2p-pubsub:"), { p, n } };
  return e->world->sign(e->w, parts, 2, out, cap);
}

int msub__publish(msub_engine *e, msub_topic h, msub_bytes data, msub_token ticket) {
  msub__topic *t = msub__topic_of(e, h);
  if (!t || t->joins == 0) return MSUB_ERR_STALE;
  uint8_t seqno[8], signature[1024];
  msub_msg_view v;
  memset(&v, 0, sizeof v);
  v.data = data;
  v.topic = msub__intern_bytes(&e->sh->names, t->name);
  v.present = MSUB_HAS_DATA | MSUB_HAS_TOPIC;
  size_t extra = 0;
  if (e->sign == MSUB_STRICT_SIGN) {
    v.from = msub__intern_bytes(&e->sh->peers, e->self);
    v.seqno = (msub_bytes){ seqno, sizeof seqno };
    v.present |= MSUB_HAS_FROM | MSUB_HAS_SEQNO;
    extra = 80 + e->key_field_n;
  }
  if (data.n > e->max_message || msub_msg_encode(&v, NULL, 0) + extra > e->max_message) return MSUB_ERR_LIMIT;
  if (!room_everywhere(e, t, data.n + v.topic.n + extra + 64)) return MSUB_ERR_LIMIT;
  if (e->sign == MSUB_STRICT_SIGN) {
    uint64_t number = ++e->seqno;
    for (int i = 7; i >= 0; i--, number >>= 8) seqno[i] = (uint8_t)number;
    int n = sign(e, &v, signature, sizeof signature);
    if (n <= 0) return n < 0 ? n : MSUB_ERR_CRYPTO;
    v.signature = (msub_bytes){ signature, (size_t)n };
    v.present |= MSUB_HAS_SIGNATURE;
    if (e->key_field_n) {
      v.key = (msub_bytes){ e->key_field, e->key_field_n };
      v.present |= MSUB_HAS_KEY;
    }
  }
  size_t n = msub_msg_encode(&v, NULL, 0);
  uint8_t *p = encode_room(e, n);
  if (!p) return MSUB_ERR_NOMEM;
  msub_msg_encode(&v, p, n);
  if (msub_msg_parse((msub_bytes){ p, n }, &v) != MSUB_OK) return MSUB_ERR_INVAL;

  uint8_t id[MSUB_MAX_ID];
  msub_msg m;
  if (!msub__msg_borrow(&m, &v, t->name)) return MSUB_ERR_INVAL;
  size_t id_n = msub__message_id(t, &m, id);
  if (id_n == 0) {
    e->reasons[MSUB_R_BAD_ID]++;
    return MSUB_ERR_REFUSED;
  }
  msub__case c = { .topic = h, .own = true, .ticket = ticket };
  c.fp = msub__fingerprint(e, t, (msub_bytes){ id, id_n });
  e->counts.published++;
  if (msub__seen_find(&e->seen, c.fp, e->now.mono_ns) != MSUB__UNSEEN) { /* it has been everywhere already */
    e->counts.duplicates++;
    if (e->world->result) e->world->result(e->w, ticket, MSUB_OK, 0);
    return MSUB_OK;
  }
  c.m = msub__msg_new(e->sh, &v, t->name, t->policy ? (const void *)(uintptr_t)t->policy->message_id : NULL, (msub_bytes){ id, id_n });
  if (!c.m) return MSUB_ERR_NOMEM;
  return msub__judge(e, &c);
}

int msub_publish(msub_engine *e, msub_topic t, msub_bytes data, const msub_now *now, msub_token *ticket) {
  if (now == NULL ? !e->inside : e->inside) return MSUB_ERR_STATE;
  msub_token mine = { 0 };
  if (ticket || now == NULL) mine.v = ++e->tickets;
  if (now == NULL) {
    const msub__topic *at = msub__topic_of(e, t);
    if (!at || at->joins == 0) return MSUB_ERR_STALE;
    if (data.n > e->max_message) return MSUB_ERR_LIMIT;
    int rc = msub__deferred_push(e, &(msub__call){ .kind = MSUB__CALL_PUBLISH, .topic = t, .token = mine }, data);
    if (rc == MSUB_OK && ticket) *ticket = mine;
    return rc;
  }
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  if (ticket) *ticket = mine;
  rc = msub__publish(e, t, data, mine);
  msub__leave(e);
  return rc;
}

/* ---- subscriptions ---- */

static void send_control(msub_engine *e, unsigned ri, uint32_t slot, const msub_ctl *c) {
  msub_rpc rpc = { NULL, 0, c, c->wire_n };
  msub__send(e, ri, slot, &rpc, MSUB_LANE_CONTROL);
}

void msub__announce(msub_engine *e, const msub__topic *t, bool joined) {
  unsigned ri = msub__handle_router(t->handle.v);
  if (e->routers[ri].live_sessions == 0) return;
  msub_ctl_entry entry = { .kind = joined ? MSUB_C_SUB : MSUB_C_UNSUB, .topic_name = t->name };
  const msub_ctl *c = msub__ctl_new(e->sh, &entry, 1);
  if (!c) {
    MSUB__LOGE(e, MSUB_LOG_ERROR, "no memory to announce a topic");
    return;
  }
  for (uint32_t s = 0; s < e->routers[ri].n_sessions; s++)
    if (msub__session_at(e, ri, s)->peer) send_control(e, ri, s, c);
  msub_ctl_drop(e->sh, c);
}

static void send_hello_part(msub_engine *e, unsigned ri, uint32_t slot, const msub_ctl_entry *entries, size_t n) {
  const msub_ctl *c = msub__ctl_new(e->sh, entries, n);
  if (!c) {
    MSUB__LOGE(e, MSUB_LOG_ERROR, "no memory for a hello");
    return;
  }
  send_control(e, ri, slot, c);
  msub_ctl_drop(e->sh, c);
}

void msub__send_hello(msub_engine *e, unsigned ri, uint32_t slot) {
  msub_ctl_entry entries[MSUB__SEND_SUBSCRIPTIONS];
  size_t n = 0, bytes = 0;
  const msub__router *r = &e->routers[ri];
  for (uint32_t i = 0; i < r->n_topics; i++) {
    const msub__topic *t = r->topics[i];
    if (!t || !t->in_router) continue;
    size_t size = msub__intern_bytes(&e->sh->names, t->name).n + 16; /* tags, lengths and flags */
    if (n == MSUB__SEND_SUBSCRIPTIONS || bytes + size > MSUB__SEND_CONTROL_BYTES) {
      send_hello_part(e, ri, slot, entries, n);
      n = bytes = 0;
    }
    entries[n++] = (msub_ctl_entry){ .kind = MSUB_C_SUB, .topic_name = t->name };
    bytes += size;
  }
  if (n) send_hello_part(e, ri, slot, entries, n);
}
