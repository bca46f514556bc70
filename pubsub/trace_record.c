/* pubsub/trace_record.c: an event as a TraceEvent. One pass: a message's length goes in front of it when it is known, and its bytes move
 * behind that; ids are made once. */
#include "meshsub/trace.h"
#include "pubsub/engine.h"
#include "pubsub/rpc_wire.h"
#include "pubsub/trace_schema.h"

/* ---- writing ---- */

typedef struct sink {
  uint8_t *p;
  size_t n, cap; /* n counts on when cap is reached, without writing */
} sink;

static bool fits(const sink *s, size_t n) { return s->n <= s->cap && n <= s->cap - s->n; }

static void put_number(sink *s, uint64_t v) {
  size_t n = msub__varint_size(v);
  if (fits(s, n)) (void)msub__wr_varint(s->p + s->n, v);
  s->n += n;
}
static void put_bytes(sink *s, uint32_t field, msub_bytes b) {
  put_number(s, MSUB__TAG(field, MSUB__LEN));
  put_number(s, b.n);
  if (fits(s, b.n)) (void)msub__wr_bytes(s->p + s->n, b);
  s->n += b.n;
}
static void put_value(sink *s, uint32_t field, uint64_t v) {
  put_number(s, MSUB__TAG(field, MSUB__VARINT));
  put_number(s, v);
}
static void put_text(sink *s, uint32_t field, const char *text) { put_bytes(s, field, msub_str(text)); }

/* Everything since s->n was `at` becomes the content of a field. */
static void wrap(sink *s, size_t at, uint32_t field) {
  size_t body = s->n - at, head = msub__varint_size(MSUB__TAG(field, MSUB__LEN)) + msub__varint_size(body);
  if (fits(s, head)) {
    memmove(s->p + at + head, s->p + at, body);
    (void)msub__wr_varint(msub__wr_varint(s->p + at, MSUB__TAG(field, MSUB__LEN)), body);
  }
  s->n += head;
}

/* ---- metadata of RPCs ---- */

/* As the engine makes it, without telling anybody what is wrong with a function. */
static size_t id_of(const msub_engine *e, unsigned ri, const msub_msg_view *v, uint8_t out[MSUB_MAX_ID]) {
  msub_msg_borrowed m;
  const msub__topic *t = msub__topic_find(e, ri, msub__intern_find(&e->sh->names, &e->sh->key, v->topic));
  msub_channel c;
  const msub_channel_policy *p = t ? MSUB__HOOK(e, t, message_id, &c) : NULL;
  if (p) {
    size_t n = msub__msg_borrow(&m, v, t->name) ? p->message_id(&m.m, out) : 0;
    return n <= MSUB_MAX_ID ? n : 0;
  }
  if (v->from.n > MSUB_MAX_ID || v->seqno.n > MSUB_MAX_ID - v->from.n) return 0;
  return (size_t)(msub__wr_bytes(msub__wr_bytes(out, v->from), v->seqno) - out);
}

static void message_meta(sink *s, msub_bytes id, msub_bytes topic) {
  size_t at = s->n;
  put_bytes(s, 1, id);
  put_bytes(s, 2, topic);
  wrap(s, at, 1);
}
static void sub_meta(sink *s, bool on, msub_bytes topic) {
  size_t at = s->n;
  put_value(s, 1, on);
  put_bytes(s, 2, topic);
  wrap(s, at, 2);
}

static void ids_meta(sink *s, uint32_t field, msub_ids ids) {
  msub_bytes id;
  while (msub_ids_next(&ids, &id)) put_bytes(s, field, id);
}

/* One control part, field `kind` of ControlMeta; false: it has no place there. */
static void control_part(sink *s, msub_part kind, const msub_rpc_part *part) {
  size_t at = s->n;
  msub_px px;
  if (kind != MSUB_P_IWANT && kind != MSUB_P_IDONTWANT && part->has_topic) put_bytes(s, 1, part->topic);
  switch (kind) {
  case MSUB_P_IHAVE:
    ids_meta(s, 2, part->ids);
    wrap(s, at, 1);
    break;
  case MSUB_P_IWANT:
    ids_meta(s, 1, part->ids);
    wrap(s, at, 2);
    break;
  case MSUB_P_GRAFT: wrap(s, at, 3); break;
  case MSUB_P_PRUNE:
    for (msub_px_iter it = part->px; msub_px_next(&it, &px);) put_bytes(s, 2, px.peer_id);
    wrap(s, at, 4);
    break;
  default:
    ids_meta(s, 1, part->ids);
    wrap(s, at, 5);
    break;
  }
}
static bool is_control(msub_part kind) {
  return kind == MSUB_P_IHAVE || kind == MSUB_P_IWANT || kind == MSUB_P_GRAFT || kind == MSUB_P_PRUNE || kind == MSUB_P_IDONTWANT;
}

static void frame_meta(sink *s, const msub_engine *e, unsigned ri, msub_bytes frame) {
  uint8_t id[MSUB_MAX_ID];
  msub_rpc_iter it;
  msub_rpc_part part;
  msub_part kind;
  bool has_control = false;
  msub_rpc_begin(&it, frame);
  while ((kind = msub_rpc_next(&it, &part)) != MSUB_P_END) {
    if (kind == MSUB_P_MESSAGE) message_meta(s, (msub_bytes){ id, id_of(e, ri, &part.msg, id) }, part.msg.topic);
    else if (kind == MSUB_P_SUBSCRIPTION) sub_meta(s, part.subscribe, part.topic);
    else if (kind == MSUB_P_CONTROL) has_control = true;
  }
  if (!has_control) return;
  size_t at = s->n;
  msub_rpc_begin(&it, frame);
  while ((kind = msub_rpc_next(&it, &part)) != MSUB_P_END)
    if (is_control(kind)) control_part(s, kind, &part);
  wrap(s, at, 3);
}

static void control_entry(sink *s, const msub_engine *e, const msub_ctl_entry *c) {
  static const uint8_t field[] = { [MSUB_C_IHAVE] = 1, [MSUB_C_IWANT] = 2, [MSUB_C_GRAFT] = 3, [MSUB_C_PRUNE] = 4, [MSUB_C_IDONTWANT] = 5 };
  size_t at = s->n;
  if (c->kind >= sizeof field || field[c->kind] == 0) return;
  bool ids_only = c->kind == MSUB_C_IWANT || c->kind == MSUB_C_IDONTWANT;
  if (!ids_only) put_bytes(s, 1, msub__name_of(e, c->topic_name));
  for (uint32_t i = 0; i < c->n_ids; i++) put_bytes(s, ids_only ? 1 : 2, c->ids[i]);
  for (uint32_t i = 0; i < c->n_px; i++) put_bytes(s, 2, c->px[i].peer_id);
  wrap(s, at, field[c->kind]);
}

static bool is_subscription(const msub_ctl_entry *c) { return c->kind == MSUB_C_SUB || c->kind == MSUB_C_UNSUB; }

static void rpc_meta(sink *s, const msub_engine *e, const msub_rpc *rpc) {
  const msub_ctl *c = rpc->ctl;
  bool has_control = false;
  for (size_t i = 0; i < rpc->n_msgs; i++) message_meta(s, msub_id(rpc->msgs[i]), msub__name_of(e, rpc->msgs[i]->topic_name));
  for (uint32_t i = 0; c && i < c->n; i++) {
    if (is_subscription(&c->e[i])) sub_meta(s, c->e[i].kind == MSUB_C_SUB, msub__name_of(e, c->e[i].topic_name));
    else if (c->e[i].kind != MSUB_C_PARTIAL && c->e[i].kind != MSUB_C_TEST) has_control = true; /* those stand beside it */
  }
  if (!has_control) return;
  size_t at = s->n;
  for (uint32_t i = 0; i < c->n; i++) control_entry(s, e, &c->e[i]);
  wrap(s, at, 3);
}

static void meta(sink *s, const msub_engine *e, const msub_event *ev) {
  size_t at = s->n;
  if (ev->rpc) rpc_meta(s, e, ev->rpc);
  else frame_meta(s, e, ev->router, ev->frame);
  wrap(s, at, 2);
}

/* ---- events ---- */

static const char *reject_reason(const msub_engine *e, const msub_event *ev) {
  const msub__topic *t = msub__topic_of(e, ev->topic);
  switch (ev->reason) {
  case MSUB_R_FORBIDDEN_FIELD: return t && t->signing & MSUB__S_DEMAND ? "missing signature" : "unexpected auth info";
  case MSUB_R_INVALID_SIGNATURE: return "invalid signature";
  case MSUB_R_SELF_ORIGIN: return "self originated message";
  case MSUB_R_REJECTED: return "validation failed";
  case MSUB_R_IGNORED:
  case MSUB_R_TIMEOUT: return "validation ignored";
  case MSUB_R_THROTTLED: return "validation throttled";
  default: return msub_reason_text(ev->reason);
  }
}

size_t msub_trace_record(const msub_engine *e, const msub_event *ev, bool all, uint8_t *out, size_t cap) {
  sink sk = { out, 0, out ? cap : 0 }, *s = &sk;
  msub_bytes self = msub__intern_bytes(&e->sh->peers, e->self);
  msub_bytes peer = ev->peer.v ? msub_peer_bytes(e->sh, ev->peer) : self;
  msub_bytes topic = msub__name_of(e, msub_topic_name(e, ev->topic));
  unsigned type = msub__trace_type(ev->kind);
  if ((unsigned)ev->kind >= MSUB_EVENTS || (type >= MSUB__TRACE_OURS && !all)) return 0;
  put_value(s, 1, type);
  put_bytes(s, 2, self);
  put_value(s, 3, (uint64_t)e->now.wall_ns);
  size_t at = s->n;
  switch (ev->kind) {
  case MSUB_T_PUBLISH:
    put_bytes(s, 1, ev->id);
    put_bytes(s, 2, topic);
    break;
  case MSUB_T_REJECT:
    put_bytes(s, 1, ev->id);
    put_bytes(s, 2, peer);
    put_text(s, 3, reject_reason(e, ev));
    put_bytes(s, 4, topic);
    if (all) put_text(s, MSUB__TRACE_REASON, msub_reason_name(ev->reason));
    break;
  case MSUB_T_DUPLICATE:
    put_bytes(s, 1, ev->id);
    put_bytes(s, 2, peer);
    put_bytes(s, 3, topic);
    break;
  case MSUB_T_DELIVER:
  case MSUB_T_DEFER:
    put_bytes(s, 1, ev->id);
    put_bytes(s, 2, topic);
    put_bytes(s, 3, peer);
    break;
  case MSUB_T_ADD_PEER:
    put_bytes(s, 1, peer);
    put_text(s, 2, ev->text ? ev->text : "");
    break;
  case MSUB_T_REMOVE_PEER: put_bytes(s, 1, peer); break;
  case MSUB_T_RECV_RPC:
  case MSUB_T_SEND_RPC:
  case MSUB_T_DROP_RPC:
    put_bytes(s, 1, peer);
    meta(s, e, ev);
    if (ev->kind == MSUB_T_DROP_RPC && all) put_text(s, MSUB__TRACE_REASON, msub_reason_name(ev->reason));
    break;
  case MSUB_T_JOIN: put_bytes(s, 1, topic); break;
  case MSUB_T_LEAVE: put_bytes(s, 2, topic); break; /* the schema's number */
  case MSUB_T_GRAFT:
  case MSUB_T_PRUNE:
    put_bytes(s, 1, peer);
    put_bytes(s, 2, topic);
    break;
  case MSUB_T_WITHDRAW:
    put_bytes(s, 1, peer);
    put_bytes(s, 2, ev->id);
    put_value(s, 3, ev->n);
    break;
  case MSUB_T_EXTENSION:
    put_bytes(s, 1, peer);
    put_text(s, 2, ev->text ? ev->text : "");
    if (ev->topic.v) put_bytes(s, 3, topic);
    put_bytes(s, 4, ev->id);
    put_value(s, 5, ev->n);
    break;
  default: put_text(s, 1, ev->text ? ev->text : ""); break; /* FAULT */
  }
  wrap(s, at, type + 4);
  return s->n;
}
