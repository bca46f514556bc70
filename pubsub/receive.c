/* pubsub/receive.c: what a peer sends: scan, subscriptions, messages up to their judgement, control. */
#include "pubsub/engine.h"
#include <string.h>

/* A message that is refused before it is copied: told to the router, nothing is remembered. */
static void refuse(msub_engine *e, const msub__topic *t, const msub_msg *m, uint32_t peer, msub_verdict v, int reason) {
  unsigned ri = msub__handle_router(t->handle.v);
  const msub_router_ops *ops = msub__ops(e, ri);
  e->reasons[reason]++;
  if (v == MSUB_REJECT) e->counts.rejected++;
  else if (v == MSUB_IGNORE) e->counts.ignored++;
  else e->counts.throttled++;
  msub_peer from = { peer };
  if (ops->validated) ops->validated(&e->handles[ri], t->handle, m, &from, 1, v, reason);
}

/* Which fields the signature policy demands and forbids. NONE: fine. */
static int policy_fault(const msub_engine *e, const msub_msg_view *v) {
  unsigned any = v->present & (MSUB_HAS_FROM | MSUB_HAS_SEQNO | MSUB_HAS_SIGNATURE | MSUB_HAS_KEY);
  if (e->sign == MSUB_STRICT_NO_SIGN) return any ? MSUB_R_FORBIDDEN_FIELD : MSUB_R_NONE;
  if (!(any & MSUB_HAS_SIGNATURE)) return MSUB_R_FORBIDDEN_FIELD;
  if (e->go_parity) return v->from.n ? MSUB_R_NONE : MSUB_R_INVALID_SIGNATURE; /* of nobody */
  if (!(any & MSUB_HAS_FROM)) return MSUB_R_FORBIDDEN_FIELD;
  return v->seqno.n == 8 ? MSUB_R_NONE : MSUB_R_BAD_SEQNO;
}

static bool bad_before(const msub_engine *e, msub_bytes wire) {
  if (e->n_bad == 0) return false;
  uint64_t h = msub__hash(&e->sh->key, wire);
  for (uint32_t i = 0; i < e->n_bad; i++)
    if (e->bad[i] == h) return true;
  return false;
}

static void duplicate(msub_engine *e, const msub__topic *t, msub_bytes id, unsigned ri, uint32_t slot) {
  e->counts.duplicates++;
  const msub_router_ops *ops = msub__ops(e, ri);
  if (ops->duplicate) ops->duplicate(&e->handles[ri], t->handle, id, msub__session_handle(e, ri, slot));
}

static void take_message(msub_engine *e, unsigned ri, uint32_t slot, const msub_msg_view *v) {
  const msub__session *s = msub__session_at(e, ri, slot);
  e->counts.messages_in++;
  msub__topic *t = msub__topic_find(e, ri, msub__intern_find(&e->sh->names, &e->sh->key, v->topic));
  if (!t || t->joins == 0) {
    e->counts.unwanted++;
    return;
  }
  msub_msg m;
  bool whole = msub__msg_borrow(&m, v, t->name);
  if (!whole) { /* an author or a sequence number of over 255 bytes is none */
    msub_msg_view none = *v;
    none.from = none.seqno = (msub_bytes){ NULL, 0 };
    msub__msg_borrow(&m, &none, t->name);
  }
  int fault = policy_fault(e, v);
  if (fault == MSUB_R_NONE && !whole) fault = MSUB_R_BAD_SEQNO;
  if (fault != MSUB_R_NONE) {
    refuse(e, t, &m, s->peer, fault == MSUB_R_BAD_SEQNO ? MSUB_IGNORE : MSUB_REJECT, fault);
    return;
  }
  uint8_t id[MSUB_MAX_ID];
  msub_bytes idb = { id, msub__message_id(t, &m, id) };
  if (idb.n == 0) {
    refuse(e, t, &m, s->peer, MSUB_IGNORE, MSUB_R_BAD_ID);
    return;
  }
  msub__case c = { .topic = t->handle, .from = { s->peer }, .n_from = 1, .fp = msub__fingerprint(e, t, idb) };
  switch (msub__seen_find(&e->seen, c.fp, e->now.mono_ns)) {
  case MSUB__SEEN_INVALID:
    e->reasons[MSUB_R_INVALID_AGAIN]++;
    duplicate(e, t, idb, ri, slot);
    return;
  case MSUB__SEEN: duplicate(e, t, idb, ri, slot); return;
  default: break;
  }
  if (msub__question_copy(e, c.fp, v->raw, s->peer)) {
    e->counts.copies_pending++;
    return;
  }
  if (v->from.n && msub_bytes_eq(v->from, msub__intern_bytes(&e->sh->peers, e->self))) {
    refuse(e, t, &m, s->peer, MSUB_REJECT, MSUB_R_SELF_ORIGIN);
    return;
  }
  if (e->sign == MSUB_STRICT_SIGN && bad_before(e, v->raw)) {
    e->counts.bad_bytes_again++;
    refuse(e, t, &m, s->peer, MSUB_REJECT, MSUB_R_INVALID_SIGNATURE);
    return;
  }
  bool asks = e->sign == MSUB_STRICT_SIGN && e->world->offload;
  if (asks && !msub__question_room(e, v->raw.n, s->throttled)) {
    refuse(e, t, &m, s->peer, MSUB_THROTTLED, MSUB_R_THROTTLED);
    return;
  }
  c.m = msub__msg_new(e->sh, v, t->name, t->policy ? (const void *)(uintptr_t)t->policy->message_id : NULL, idb);
  if (!c.m) {
    refuse(e, t, &m, s->peer, MSUB_THROTTLED, MSUB_R_THROTTLED);
    return;
  }
  msub__judge(e, &c);
}

/* Parts of one kind, from the iterator's place on. */
static void subscriptions(msub_engine *e, unsigned ri, uint32_t slot, msub_bytes frame) {
  msub_rpc_iter it;
  msub_rpc_part part;
  unsigned examined = 0;
  msub_rpc_begin(&it, frame);
  while (msub_rpc_next(&it, &part) != MSUB_P_END) {
    if (part.kind != MSUB_P_SUBSCRIPTION) continue;
    if (examined++ == MSUB__SUBSCRIPTIONS_RPC && !e->go_parity) break;
    uint32_t flags = (part.requests_partial ? MSUB_SUB_REQUESTS_PARTIAL : 0u) | (part.sends_partial ? MSUB_SUB_SENDS_PARTIAL : 0u);
    if (part.subscribe) msub__session_subscribe(e, ri, slot, part.topic, flags);
    else msub__session_unsubscribe(e, ri, slot, part.topic);
  }
}

/* At most MSUB__PUBLISH_TURN messages. true: there are more, resume_at says where. */
static bool messages(msub_engine *e, unsigned ri, uint32_t slot, msub_bytes frame) {
  msub__session *s = msub__session_at(e, ri, slot);
  msub_rpc_iter it;
  msub_rpc_part part;
  uint32_t index = 0, taken = 0, first = s->resume_at;
  msub_rpc_begin(&it, frame);
  while (msub_rpc_next(&it, &part) != MSUB_P_END) {
    if (part.kind != MSUB_P_MESSAGE || index++ < first) continue;
    if (taken++ == MSUB__PUBLISH_TURN) {
      s->resume_at = index - 1;
      return true;
    }
    take_message(e, ri, slot, &part.msg);
  }
  s->resume_at = 0;
  return false;
}

static int take_frame(msub_engine *e, unsigned ri, uint32_t slot, msub_bytes frame) {
  msub__session *s = msub__session_at(e, ri, slot);
  msub_rpc_limits lim = { .frame_bytes = e->max_rpc, .control_bytes = MSUB__CONTROL_BYTES, .publish = MSUB__PUBLISH_ENTRIES,
                          .message_bytes = e->max_message };
  msub_rpc_counts n;
  int rc = msub_rpc_scan(frame, &lim, &n);
  if (rc != MSUB_OK) {
    s->resume_at = 0;
    if (rc == MSUB_ERR_LIMIT) e->counts.rpcs_over_limit++;
    else e->counts.rpcs_malformed++;
    MSUB__LOGE(e, MSUB_LOG_INFO, "an RPC of %zu bytes is refused: %s", frame.n, n.why ? n.why : "malformed");
    msub__blame(e, s->peer, s->prefix, rc == MSUB_ERR_LIMIT ? MSUB_R_RPC_OVER_LIMIT : MSUB_R_MALFORMED_RPC, 25);
    return rc;
  }
  if (s->resume_at == 0) {
    e->counts.rpcs_in++;
    if (n.subscriptions) subscriptions(e, ri, slot, frame);
    if (s->hello_due) msub__session_hello_read(e, ri, slot);
  }
  const msub_router_ops *ops = msub__ops(e, ri);
  msub_accept accept = ops->accept_from ? ops->accept_from(&e->handles[ri], msub__session_handle(e, ri, slot)) : MSUB_FROM_ALL;
  if (accept == MSUB_FROM_NONE) return MSUB_OK;
  if (accept == MSUB_FROM_ALL && n.publish && messages(e, ri, slot, frame)) return MSUB_MORE;
  if (ops->control && n.ihave + n.iwant + n.graft + n.prune + n.idontwant) msub__control(e, ri, slot, frame);
  return MSUB_OK;
}

int msub_receive(msub_engine *e, msub_session h, msub_bytes frame, const msub_now *now) {
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  if (!msub__session_of(e, h)) rc = MSUB_ERR_STALE;
  else rc = take_frame(e, msub__handle_router(h.v), msub__handle_slot(h.v), frame);
  msub__leave(e);
  return rc;
}
