/* pubsub/verdict.c: the stages of a message's judgement and its outcome. */
#include "pubsub/engine.h"

uint64_t msub__fingerprint(const msub_engine *e, const msub__topic *t, msub_bytes id) {
  return msub__hash2(&e->sh->key, (uint64_t)t->name << 3 | msub__handle_router(t->handle.v), id);
}

/* ---- outcome ---- */

static void report(msub_engine *e, const msub__case *c, msub_verdict v, int reason) {
  unsigned ri = msub__handle_router(c->topic.v);
  const msub_router_ops *ops = msub__ops(e, ri);
  msub_peer from[MSUB__SENDERS];
  for (uint32_t i = 0; i < c->n_from; i++) from[i] = (msub_peer){ c->from[i] };
  if (ops->validated) ops->validated(&e->handles[ri], c->topic, c->m, from, c->n_from, v, reason);
}

static void mark(msub_engine *e, const msub__case *c, bool invalid) {
  /* Without memory the id is not remembered: a copy is judged again, nothing is lost. */
  if (msub__seen_add(&e->seen, msub__mem(e), c->fp, invalid, e->now.mono_ns, &e->counts.seen_evicted) != MSUB_OK)
    MSUB__LOGE(e, MSUB_LOG_WARN, "no memory to remember a message id");
}

static int finish(msub_engine *e, msub__case *c, int err, uint32_t recipients) {
  if (c->own && e->world->result) e->world->result(e->w, c->ticket, err, recipients);
  msub_msg_drop(e->sh, c->m);
  return err;
}

static bool deliver(msub_engine *e, const msub__topic *t, const msub__case *c) {
  if (e->world->deliver(e->w, c->topic, c->m, (msub_peer){ c->n_from ? c->from[0] : 0 })) {
    e->counts.delivered++;
    return true;
  }
  e->counts.delivery_full++;
  return !t->policy || t->policy->full != MSUB_FULL_REFUSE;
}

int msub__conclude(msub_engine *e, msub__case *c, msub_verdict v, int reason) {
  const msub__topic *t = msub__topic_of(e, c->topic);
  if (!t || t->joins == 0) {
    e->reasons[MSUB_R_LEFT]++;
    return finish(e, c, MSUB_ERR_STALE, 0);
  }
  if (v == MSUB_ACCEPT && !deliver(e, t, c)) {
    v = MSUB_THROTTLED;
    reason = MSUB_R_THROTTLED;
  }
  bool verified = c->stage > 0; /* what was not verified marks nothing */
  e->reasons[reason]++;
  switch (v) {
  case MSUB_ACCEPT:
    e->counts.accepted++;
    mark(e, c, false);
    report(e, c, v, reason);
    return finish(e, c, MSUB_OK, msub__forward(e, c));
  case MSUB_REJECT:
    e->counts.rejected++;
    if (verified) mark(e, c, true);
    break;
  case MSUB_IGNORE:
    e->counts.ignored++;
    if (verified && reason != MSUB_R_LEFT) mark(e, c, false);
    break;
  default:
    v = MSUB_THROTTLED;
    e->counts.throttled++;
    break;
  }
  report(e, c, v, reason);
  return finish(e, c, v == MSUB_THROTTLED ? MSUB_ERR_LIMIT : MSUB_ERR_REFUSED, 0);
}

/* ---- stages ---- */

static int throttle(msub_engine *e, msub__case *c) { return msub__conclude(e, c, MSUB_THROTTLED, MSUB_R_THROTTLED); }

static int pending(msub_engine *e, const msub__case *c) { /* the question holds the message now */
  msub_msg_drop(e->sh, c->m);
  return MSUB_OK;
}

/* Has the world run a job for an open question; the case is over or pending. */
static int hand_over(msub_engine *e, msub__case *c, const msub_job *job, msub_token t) {
  if (e->world->offload(e->w, job, t) == MSUB_OK) return pending(e, c);
  msub__question_cancel(e, t);
  return throttle(e, c);
}

static msub_verdict known(msub_verdict v) { return v > MSUB_PENDING || v == MSUB_DEFER ? MSUB_IGNORE : v; }

/* Notes what the validator at c->stage - 1 answered. true: the case is over, with *err. */
static bool note(msub_engine *e, msub__case *c, msub_verdict v, int *err) {
  if (v == MSUB_REJECT) *err = msub__conclude(e, c, v, MSUB_R_REJECTED);
  else if (v == MSUB_THROTTLED) *err = throttle(e, c);
  else {
    if (v != MSUB_ACCEPT) c->ignored = true;
    c->stage++;
    return false;
  }
  return true;
}

static int run_validators(msub_engine *e, msub__case *c) {
  for (;;) {
    const msub__topic *t = msub__topic_of(e, c->topic);
    const msub__validator *val = t && t->joins ? msub__validator_at(e, t, c->stage - 1) : NULL;
    if (!val) return c->ignored ? msub__conclude(e, c, MSUB_IGNORE, MSUB_R_IGNORED) : msub__conclude(e, c, MSUB_ACCEPT, MSUB_R_NONE);
    msub_token q = msub__question_room(e, c->m->wire_n, false) ? msub__question_open(e, c, MSUB__Q_PROGRAM) : (msub_token){ 0 };
    if (q.v == 0) return throttle(e, c);
    msub_job job = { NULL, NULL, 0, 0 };
    msub_verdict v = known(val->fn(val->ud, c->m, (msub_peer){ c->n_from ? c->from[0] : 0 }, q, &job));
    if (v == MSUB_PENDING) {
      if (!job.fn) return pending(e, c); /* the program answers */
      if (!job.arg) {
        job.arg = c->m->wire;
        job.n = c->m->wire_n;
      }
      if (e->world->offload) {
        e->questions.q[(uint32_t)q.v - 1].state = MSUB__Q_JOB;
        return hand_over(e, c, &job, q);
      }
      v = known(job.fn(job.arg, job.n));
      if (v == MSUB_PENDING) v = MSUB_IGNORE;
    }
    msub__question_cancel(e, q);
    int err;
    if (note(e, c, v, &err)) return err;
  }
}

static void remember_bad(msub_engine *e, const msub_msg *m) {
  if (!e->bad) e->bad = msub__zalloc(msub__mem(e), MSUB__BAD_BYTES, sizeof *e->bad);
  if (!e->bad) return;
  e->bad[e->next_bad] = msub__hash(&e->sh->key, (msub_bytes){ m->wire, m->wire_n });
  e->next_bad = (e->next_bad + 1) % MSUB__BAD_BYTES;
  if (e->n_bad < MSUB__BAD_BYTES) e->n_bad++;
}

static int authentic(msub_engine *e, msub__case *c) {
  unsigned ri = msub__handle_router(c->topic.v);
  c->stage = 1;
  const msub_router_ops *ops = msub__ops(e, ri);
  if (ops->arrived) {
    uint32_t slot = c->n_from ? msub__session_find(e, ri, c->from[0]) : MSUB__NONE;
    ops->arrived(&e->handles[ri], c->topic, c->m, slot == MSUB__NONE ? (msub_session){ 0 } : msub__session_handle(e, ri, slot));
  }
  return run_validators(e, c);
}

static int after_signature(msub_engine *e, msub__case *c, msub_verdict v) {
  if (v == MSUB_REJECT) remember_bad(e, c->m);
  if (v == MSUB_THROTTLED) return throttle(e, c);
  if (v != MSUB_ACCEPT) return msub__conclude(e, c, v == MSUB_REJECT ? v : MSUB_IGNORE, MSUB_R_INVALID_SIGNATURE);
  /* Another message with this id may have been accepted while this one was verified. */
  if (msub__seen_find(&e->seen, c->fp, e->now.mono_ns) != MSUB__UNSEEN) {
    e->counts.duplicates++;
    msub_msg_drop(e->sh, c->m);
    return MSUB_OK;
  }
  return authentic(e, c);
}

int msub__judge(msub_engine *e, msub__case *c) {
  if (c->own || e->sign == MSUB_STRICT_NO_SIGN) return authentic(e, c);
  if (!e->world->offload) return after_signature(e, c, e->verify(c->m->wire, c->m->wire_n));
  msub_token q = msub__question_open(e, c, MSUB__Q_JOB);
  if (q.v == 0) return throttle(e, c);
  msub_job job = { e->verify, c->m->wire, c->m->wire_n, e->verify_cost_ns };
  return hand_over(e, c, &job, q);
}

int msub__resume(msub_engine *e, msub__case *c, msub_verdict v) {
  const msub__topic *t = msub__topic_of(e, c->topic);
  if (!t || t->joins == 0) return msub__conclude(e, c, MSUB_IGNORE, MSUB_R_LEFT);
  v = known(v);
  if (v == MSUB_PENDING) v = MSUB_IGNORE;
  if (c->stage == 0) return after_signature(e, c, v);
  int err;
  return note(e, c, v, &err) ? err : run_validators(e, c);
}
