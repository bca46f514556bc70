/* pubsub/deferred.c: calls made from inside a callback, run in order before the outermost call returns. */
#include "pubsub/engine.h"
#include <string.h>

int msub__deferred_push(msub_engine *e, const msub__call *c, msub_bytes payload) {
  msub__work *w = msub__need_work(e);
  if (!w) return MSUB_ERR_NOMEM;
  if (w->inbox.n >= MSUB__INBOX_CALLS || payload.n > MSUB__INBOX_BYTES - w->inbox_bytes) {
    MSUB__COUNT(e, inbox_full);
    return MSUB_ERR_LIMIT;
  }
  uint8_t *copy = payload.n ? msub__alloc(msub__mem(e), payload.n) : NULL;
  if (payload.n && !copy) return MSUB_ERR_NOMEM;
  msub__call *at = msub__ring_push(&e->work->inbox, msub__mem(e));
  if (!at) {
    msub__free(msub__mem(e), copy, payload.n);
    return MSUB_ERR_NOMEM;
  }
  if (payload.n) memcpy(copy, payload.p, payload.n);
  *at = *c;
  at->bytes = copy;
  at->n_bytes = payload.n;
  e->work->inbox_bytes += payload.n;
  return MSUB_OK;
}

static void told_dropped(msub_engine *e, const msub__call *c) {
  MSUB__COUNT(e, dropped);
  unsigned ri = msub__handle_router(c->session.v);
  const msub__session *s = msub__session_of(e, c->session);
  if (!s) return;
  msub_rpc rpc = { c->msgs, c->n_msgs, c->ctl, c->wire_size };
  MSUB__TRACE(e, ri, .kind = MSUB_T_DROP_RPC, .peer = { s->peer }, .rpc = &rpc, .reason = c->arg);
  MSUB__CALL(e, ri, dropped, c->session, &rpc, c->arg);
}

static void release(msub_engine *e, msub__call *c) {
  msub__free(msub__mem(e), c->bytes, c->n_bytes);
  e->work->inbox_bytes -= c->n_bytes;
  for (size_t i = 0; i < c->n_msgs; i++) msub_msg_drop(e->sh, c->msgs[i]);
  msub__free(msub__mem(e), c->msgs, c->n_msgs * sizeof *c->msgs);
  msub_ctl_drop(e->sh, c->ctl);
  if (c->kind == MSUB__CALL_FEEDBACK) msub__intern_drop(&e->sh->peers, msub__mem(e), &e->sh->key, c->peer.v);
}

/* ASK and OFFER: bytes holds the ids, each behind its length. */
static int ask(msub_engine *e, const msub__call *c) {
  unsigned ri = msub__handle_router(c->session.v);
  msub__topic *t = msub__topic_of(e, c->topic);
  if (!msub__session_of(e, c->session) || !t || msub__handle_router(c->topic.v) != ri) return MSUB_ERR_STALE;
  msub_bytes ids[MSUB__ASK_IDS];
  const uint8_t *p = c->bytes;
  for (uint32_t i = 0; i < c->n_ids; i++, p += 1 + p[0]) ids[i] = (msub_bytes){ p + 1, p[0] };
  if (c->kind == MSUB__CALL_ASK) return MSUB__ASK(e, ri, ask, MSUB_ERR_UNSUPPORTED, c->session, c->topic, ids, c->n_ids);
  msub__offered(e, t, ids, c->n_ids);
  return MSUB__ASK(e, ri, offer, MSUB_ERR_UNSUPPORTED, c->session, c->topic, ids, c->n_ids);
}

static int supply(msub_engine *e, const msub__call *c) {
  msub_cached got = { c->n_msgs ? c->msgs[0] : NULL, { c->bytes, c->n_bytes } };
  return msub__supply(e, c->token, c->has ? &got : NULL);
}

static int command(msub_engine *e, const msub__call *c) {
  return MSUB__ASK(e, c->router, command, MSUB_ERR_UNSUPPORTED, (uint32_t)c->arg, c->bytes, c->n_bytes);
}

static void run(msub_engine *e, const msub__call *c) {
  switch (c->kind) {
  case MSUB__CALL_JOIN: (void)msub__join_effect(e, c->topic); break;
  case MSUB__CALL_LEAVE: msub__leave_effect(e, c->topic); break;
  case MSUB__CALL_CLOSE: msub__close_effect(e, c->topic); break;
  case MSUB__CALL_PUBLISH:
  case MSUB__CALL_PUBLISH_AS: {
    uint64_t before = e->work->counts.published;
    int rc = c->kind == MSUB__CALL_PUBLISH_AS ? msub__publish_as(e, c)
                                              : msub__publish(e, c->topic, (msub_bytes){ c->bytes, c->n_bytes }, c->token, false);
    /* Refused before it became a message: nobody has told the outcome yet. */
    if (rc != MSUB_OK && e->work->counts.published == before)
      msub__tell_published(e, &(msub_published){ .ticket = c->token, .topic = c->topic, .err = rc, .reach = MSUB_REACH_NOT_PUBLISHED });
    break;
  }
  case MSUB__CALL_PUBLISH_WITH: (void)msub__publish_with_effect(e, c); break;
  case MSUB__CALL_AWAIT: (void)msub__await_effect(e, c); break;
  case MSUB__CALL_LIST: (void)msub__list_effect(e, c); break;
  case MSUB__CALL_FEEDBACK: (void)msub__feedback_effect(e, c); break;
  case MSUB__CALL_BATCH: msub__batch_deferred(c->batch); break;
  case MSUB__CALL_COMPLETE: (void)msub__question_answer(e, c->token, (msub_verdict)c->arg); break;
  case MSUB__CALL_DROPPED: told_dropped(e, c); break;
  case MSUB__CALL_DISCONNECT:
    MSUB__COUNT(e, disconnects);
    MSUB__WORLD(e)->disconnect(e->w, c->peer, c->arg);
    break;
  case MSUB__CALL_ASK: (void)ask(e, c); break;
  case MSUB__CALL_OFFER: (void)ask(e, c); break;
  case MSUB__CALL_SUPPLY: (void)supply(e, c); break;
  case MSUB__CALL_REDELIVER: msub__redeliver(e, c->topic); break;
  case MSUB__CALL_COMMAND: (void)command(e, c); break;
  }
}

void msub__deferred_run(msub_engine *e) {
  for (unsigned i = 0; i < MSUB__DEFERRED_TURN && e->work->inbox.n; i++) {
    msub__call c = *(msub__call *)msub__ring_front(&e->work->inbox);
    msub__ring_pop(&e->work->inbox);
    run(e, &c);
    release(e, &c);
  }
}

void msub__deferred_fini(msub_engine *e) {
  while (e->work->inbox.n) {
    release(e, msub__ring_front(&e->work->inbox));
    msub__ring_pop(&e->work->inbox);
  }
  msub__ring_fini(&e->work->inbox, msub__mem(e));
}

/* ---- the deferred calls that have no other home ---- */

/* One that answers nothing, now or later. */
static int at_once(msub_engine *e, const msub__call *c, const msub_now *now) {
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  run(e, c);
  msub__leave(e);
  return MSUB_OK;
}

/* One that answers, called from outside: `fn` on a call that is borrowed. */
static int answer_at_once(msub_engine *e, const msub__call *c, int (*fn)(msub_engine *, const msub__call *), const msub_now *now) {
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  rc = fn(e, c);
  msub__leave(e);
  return rc;
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

/* At most MSUB__ASK_IDS ids in one call of the router; more make several. */
static int ask_or_offer(msub_engine *e, msub__call_kind kind, msub_session s, msub_topic t, const msub_bytes *ids, size_t n, const msub_now *now) {
  if (now ? e->inside : !e->inside) return MSUB_ERR_STATE;
  for (size_t i = 0; i < n; i++)
    if (ids[i].n == 0 || ids[i].n > MSUB_MAX_ID) return MSUB_ERR_INVAL;
  if (!msub__session_of(e, s) || !msub__topic_of(e, t)) return MSUB_ERR_STALE;
  int rc = MSUB_OK;
  for (size_t at = 0; rc == MSUB_OK && at < n;) {
    uint8_t packed[MSUB__ASK_IDS * (1 + MSUB_MAX_ID)];
    msub__call c = { .kind = kind, .session = s, .topic = t };
    for (; at < n && c.n_ids < MSUB__ASK_IDS; at++, c.n_ids++) {
      packed[c.n_bytes] = (uint8_t)ids[at].n;
      memcpy(packed + c.n_bytes + 1, ids[at].p, ids[at].n);
      c.n_bytes += 1 + ids[at].n;
    }
    c.bytes = packed;
    rc = now ? answer_at_once(e, &c, ask, now) : msub__deferred_push(e, &c, (msub_bytes){ packed, c.n_bytes });
  }
  return rc;
}
int msub_ask(msub_engine *e, msub_session s, msub_topic t, const msub_bytes *ids, size_t n, const msub_now *now) {
  return ask_or_offer(e, MSUB__CALL_ASK, s, t, ids, n, now);
}
int msub_offer(msub_engine *e, msub_session s, msub_topic t, const msub_bytes *ids, size_t n, const msub_now *now) {
  return ask_or_offer(e, MSUB__CALL_OFFER, s, t, ids, n, now);
}

int msub_supply(msub_engine *e, msub_token t, const msub_cached *got, const msub_now *now) {
  const msub_msg *m = got ? got->msg : NULL;
  msub__call c = { .kind = MSUB__CALL_SUPPLY, .token = t, .has = got != NULL };
  if (now) {
    c.msgs = &m;
    c.n_msgs = m != NULL;
    c.bytes = got && !m ? (uint8_t *)(uintptr_t)got->payload.p : NULL;
    c.n_bytes = got && !m ? got->payload.n : 0;
    return answer_at_once(e, &c, supply, now);
  }
  if (!e->inside) return MSUB_ERR_STATE;
  if (m) {
    c.msgs = msub__zalloc(msub__mem(e), 1, sizeof *c.msgs);
    if (!c.msgs) return MSUB_ERR_NOMEM;
    c.msgs[0] = msub_msg_hold(m);
    c.n_msgs = 1;
  }
  int rc = msub__deferred_push(e, &c, got && !m ? got->payload : (msub_bytes){ NULL, 0 });
  if (rc != MSUB_OK && m) release(e, &c);
  return rc;
}

int msub_redeliver(msub_engine *e, msub_topic t, const msub_now *now) {
  msub__call c = { .kind = MSUB__CALL_REDELIVER, .topic = t };
  if (now) return at_once(e, &c, now);
  return e->inside ? msub__deferred_push(e, &c, (msub_bytes){ NULL, 0 }) : MSUB_ERR_STATE;
}

int msub_command(msub_engine *e, unsigned router, uint32_t what, const void *arg, size_t n, const msub_now *now) {
  if (router >= e->n_routers || what > INT32_MAX) return MSUB_ERR_INVAL;
  msub__call c = { .kind = MSUB__CALL_COMMAND, .router = router, .arg = (int)what };
  if (!now) return e->inside ? msub__deferred_push(e, &c, (msub_bytes){ arg, n }) : MSUB_ERR_STATE;
  c.bytes = (uint8_t *)(uintptr_t)arg;
  c.n_bytes = n;
  return answer_at_once(e, &c, command, now);
}
