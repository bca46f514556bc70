/* pubsub/deferred.c: calls made from inside a callback, run in order before the outermost call returns. */
#include "pubsub/engine.h"
#include <string.h>

int msub__deferred_push(msub_engine *e, const msub__call *c, msub_bytes payload) {
  if (e->inbox.n >= MSUB__INBOX_CALLS || payload.n > MSUB__INBOX_BYTES - e->inbox_bytes) {
    e->counts.inbox_full++;
    return MSUB_ERR_LIMIT;
  }
  uint8_t *copy = payload.n ? msub__alloc(msub__mem(e), payload.n) : NULL;
  if (payload.n && !copy) return MSUB_ERR_NOMEM;
  msub__call *at = msub__ring_push(&e->inbox, msub__mem(e));
  if (!at) {
    msub__free(msub__mem(e), copy, payload.n);
    return MSUB_ERR_NOMEM;
  }
  if (payload.n) memcpy(copy, payload.p, payload.n);
  *at = *c;
  at->bytes = copy;
  at->n_bytes = payload.n;
  e->inbox_bytes += payload.n;
  return MSUB_OK;
}

static void told_dropped(msub_engine *e, const msub__call *c) {
  e->counts.dropped++;
  unsigned ri = msub__handle_router(c->session.v);
  if (!msub__session_of(e, c->session)) return;
  msub_rpc rpc = { c->msgs, c->n_msgs, c->ctl, c->wire_size };
  if (msub__ops(e, ri)->dropped) msub__ops(e, ri)->dropped(&e->handles[ri], c->session, &rpc, c->arg);
}

static void release(msub_engine *e, msub__call *c) {
  msub__free(msub__mem(e), c->bytes, c->n_bytes);
  e->inbox_bytes -= c->n_bytes;
  for (size_t i = 0; i < c->n_msgs; i++) msub_msg_drop(e->sh, c->msgs[i]);
  msub__free(msub__mem(e), c->msgs, c->n_msgs * sizeof *c->msgs);
  msub_ctl_drop(e->sh, c->ctl);
}

static void run(msub_engine *e, const msub__call *c) {
  switch (c->kind) {
  case MSUB__CALL_JOIN: (void)msub__join_effect(e, c->topic); break;
  case MSUB__CALL_LEAVE: msub__leave_effect(e, c->topic); break;
  case MSUB__CALL_PUBLISH: {
    uint64_t before = e->counts.published;
    int rc = msub__publish(e, c->topic, (msub_bytes){ c->bytes, c->n_bytes }, c->token);
    /* Refused before it became a message: nobody has told the outcome yet. */
    if (rc != MSUB_OK && e->counts.published == before && e->world->result) e->world->result(e->w, c->token, rc, 0);
    break;
  }
  case MSUB__CALL_COMPLETE: (void)msub__question_answer(e, c->token, (msub_verdict)c->arg); break;
  case MSUB__CALL_DROPPED: told_dropped(e, c); break;
  case MSUB__CALL_DISCONNECT:
    e->counts.disconnects++;
    e->world->disconnect(e->w, c->peer, c->arg);
    break;
  }
}

void msub__deferred_run(msub_engine *e) {
  for (unsigned i = 0; i < MSUB__DEFERRED_TURN && e->inbox.n; i++) {
    msub__call c = *(msub__call *)msub__ring_front(&e->inbox);
    msub__ring_pop(&e->inbox);
    run(e, &c);
    release(e, &c);
  }
}

void msub__deferred_fini(msub_engine *e) {
  while (e->inbox.n) {
    release(e, msub__ring_front(&e->inbox));
    msub__ring_pop(&e->inbox);
  }
  msub__ring_fini(&e->inbox, msub__mem(e));
}

/* ---- the deferred calls that have no other home ---- */

static int at_once(msub_engine *e, const msub__call *c, const msub_now *now) {
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  run(e, c);
  msub__leave(e);
  return MSUB_OK;
}

int msub_complete(msub_engine *e, msub_token t, msub_verdict v, const msub_now *now) {
  if (now == NULL) {
    if (!e->inside) return MSUB_ERR_STATE;
    return msub__deferred_push(e, &(msub__call){ .kind = MSUB__CALL_COMPLETE, .token = t, .arg = (int)v }, (msub_bytes){ NULL, 0 });
  }
  if (e->closing && !e->inside) return msub__question_answer(e, t, v); /* only abandoned ones are left: it frees them */
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  rc = msub__question_answer(e, t, v);
  msub__leave(e);
  return rc;
}

int msub_dropped(msub_engine *e, msub_session s, const msub_rpc *rpc, int reason, const msub_now *now) {
  if (!rpc || reason < 0 || reason >= MSUB_REASONS) return MSUB_ERR_INVAL;
  msub__call c = { .kind = MSUB__CALL_DROPPED, .session = s, .arg = reason, .ctl = rpc->ctl, .wire_size = rpc->wire_size };
  if (now) {
    c.msgs = (const msub_msg **)(uintptr_t)rpc->msgs;
    c.n_msgs = rpc->n_msgs;
    return at_once(e, &c, now);
  }
  if (!e->inside) return MSUB_ERR_STATE;
  if (rpc->n_msgs) {
    c.msgs = msub__zalloc(msub__mem(e), rpc->n_msgs, sizeof *c.msgs);
    if (!c.msgs) return MSUB_ERR_NOMEM;
  }
  c.n_msgs = rpc->n_msgs;
  for (size_t i = 0; i < rpc->n_msgs; i++) c.msgs[i] = msub_msg_hold(rpc->msgs[i]);
  if (c.ctl) msub_ctl_hold(c.ctl);
  int rc = msub__deferred_push(e, &c, (msub_bytes){ NULL, 0 });
  if (rc != MSUB_OK) release(e, &c);
  return rc;
}

int msub_disconnect(msub_engine *e, msub_peer p, int reason, const msub_now *now) {
  if (reason < 0 || reason >= MSUB_REASONS) return MSUB_ERR_INVAL;
  msub__call c = { .kind = MSUB__CALL_DISCONNECT, .peer = p, .arg = reason };
  if (now) return at_once(e, &c, now);
  return e->inside ? msub__deferred_push(e, &c, (msub_bytes){ NULL, 0 }) : MSUB_ERR_STATE;
}
