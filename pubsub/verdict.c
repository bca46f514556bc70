/* pubsub/verdict.c: the stages of a message's judgement and its outcome. */
#include "pubsub/engine.h"

uint64_t msub__fingerprint(const msub_engine *e, const msub__topic *t, msub_bytes id) {
  return msub__hash_join((uint64_t)t->name << 3 | msub__handle_router(t->handle.v), msub__id_hash(e, id));
}

/* ---- outcome ---- */

static void report(msub_engine *e, const msub__case *c, msub_verdict v, int reason) {
  unsigned ri = msub__handle_router(c->topic.v);
  msub_peer from[MSUB__SENDERS];
  for (uint32_t i = 0; i < c->n_from; i++) from[i] = (msub_peer){ c->from[i] };
  MSUB__CALL(e, ri, validated, c->topic, c->m, from, c->n_from, v, reason);
}

static void mark(msub_engine *e, const msub__case *c, msub__seen_state as) {
  msub__work *w = msub__need_work(e);
  /* Without memory the id is not remembered: a copy is judged again, nothing is lost. */
  if (!w || msub__seen_add(&w->seen, msub__mem(e), c->fp, as, e->now.mono_ns, &w->counts.seen_evicted) != MSUB_OK)
    MSUB__LOGE(e, MSUB_LOG_WARN, "no memory to remember a message id");
}

static int finish(msub_engine *e, msub__case *c, int err, msub_published *p) {
  if (c->own) {
    p->ticket = c->ticket;
    p->topic = c->topic;
    p->err = err;
    p->id = msub_id(c->m);
    if (err != MSUB_OK) p->reach = MSUB_REACH_NOT_PUBLISHED;
    msub__tell_published(e, p);
  }
  msub_msg_drop(e->sh, c->m);
  return err;
}

msub_session msub__case_from(const msub_engine *e, const msub__case *c) {
  unsigned ri = msub__handle_router(c->topic.v);
  if (c->n_from == 0) return (msub_session){ 0 };
  uint32_t slot = msub__session_find(e, ri, c->from[0]);
  return slot == MSUB__NONE ? MSUB_SESSION_GONE : msub__session_handle(e, ri, slot);
}

static msub_peer first_sender(const msub__case *c) { return (msub_peer){ c->n_from ? c->from[0] : 0 }; }

/* Hands an accepted message to the program; what comes of it may change the verdict. */
static msub_verdict deliver(msub_engine *e, msub__topic *t, const msub__case *c, int *reason) {
  if (!msub__listens(t)) return MSUB_ACCEPT; /* opened to publish, or relayed, only */
  switch (msub__deliver(e, t, c->m, c->n_from ? c->from[0] : 0)) {
  case MSUB__FULL_REFUSED: *reason = MSUB_R_THROTTLED; return MSUB_THROTTLED;
  case MSUB__BAD_PAYLOAD: *reason = MSUB_R_REJECTED; return MSUB_REJECT;
  default: return MSUB_ACCEPT;
  }
}

static int accept(msub_engine *e, msub__case *c) {
  unsigned ri = msub__handle_router(c->topic.v);
  MSUB__COUNT(e, accepted);
  mark(e, c, MSUB__SEEN_ACCEPTED);
  MSUB__TRACE(e, ri, .kind = MSUB_T_DELIVER, .topic = c->topic, .id = msub_id(c->m), .peer = first_sender(c));
  report(e, c, MSUB_ACCEPT, MSUB_R_NONE);
  msub__topic *t = msub__topic_of(e, c->topic); /* a callback may have left it: deferred, so not yet */
  MSUB__INVARIANT(t);
  msub_published p = { .reach = MSUB_REACH_LOCAL_ONLY };
  if (!c->local) {
    msub__cache_put(e, t, c->m);
    if (c->own && e->extras && msub__batch_takes(e, c)) { /* sent, and told, with the others */
      msub_msg_drop(e->sh, c->m);
      return MSUB_OK;
    }
    msub__forward(e, c, &p);
  }
  return finish(e, c, MSUB_OK, &p);
}

int msub__conclude(msub_engine *e, msub__case *c, msub_verdict v, int reason) {
  msub__topic *t = msub__topic_of(e, c->topic);
  if (!t || (t->joins == 0 && !(c->own && t->opens))) {
    msub__count_reason(e, MSUB_R_LEFT);
    return finish(e, c, MSUB_ERR_STALE, &(msub_published){ 0 });
  }
  if (v == MSUB_ACCEPT) v = deliver(e, t, c, &reason);
  bool verified = c->stage != MSUB__STAGE_SIGNATURE; /* what was not verified marks nothing */
  msub__count_reason(e, reason);
  if (e->work->concluders && verified) msub__validators_concluded(e, t, c, v <= MSUB_THROTTLED ? v : MSUB_THROTTLED);
  if (v == MSUB_ACCEPT) MSUB__COUNT_TOPIC(t, accepted, 1);
  if (v == MSUB_ACCEPT) return accept(e, c);
  switch (v) {
  case MSUB_REJECT:
    MSUB__COUNT_TOPIC(t, rejected, 1);
    MSUB__COUNT(e, rejected);
    if (verified) mark(e, c, MSUB__SEEN_INVALID);
    break;
  case MSUB_IGNORE:
    MSUB__COUNT_TOPIC(t, ignored, 1);
    MSUB__COUNT(e, ignored);
    if (verified && reason != MSUB_R_LEFT) mark(e, c, MSUB__SEEN);
    break;
  default:
    v = MSUB_THROTTLED;
    MSUB__COUNT_TOPIC(t, throttled, 1);
    MSUB__COUNT(e, throttled);
    break;
  }
  MSUB__TRACE(e, msub__handle_router(c->topic.v), .kind = MSUB_T_REJECT, .topic = c->topic, .id = msub_id(c->m), .peer = first_sender(c),
              .reason = reason);
  report(e, c, v, reason);
  return finish(e, c, v == MSUB_THROTTLED ? MSUB_ERR_LIMIT : MSUB_ERR_REFUSED, &(msub_published){ 0 });
}

/* ---- stages ---- */

static int throttle(msub_engine *e, msub__case *c) { return msub__conclude(e, c, MSUB_THROTTLED, MSUB_R_THROTTLED); }

static int pending(msub_engine *e, const msub__case *c) { /* the question holds the message now */
  msub_msg_drop(e->sh, c->m);
  return MSUB_OK;
}

/* Has the world run a job for an open question; the case is over or pending. */
static int hand_over(msub_engine *e, msub__case *c, const msub_job *job, msub_token t) {
  if (MSUB__WORLD(e)->offload(e->w, job, t) == MSUB_OK) return pending(e, c);
  msub__question_cancel(e, t);
  return throttle(e, c);
}

/* A validator's answer, or a late one of a policy: DEFER is for admit at once only. */
static msub_verdict known(msub_verdict v) { return v > MSUB_PENDING || v == MSUB_DEFER ? MSUB_IGNORE : v; }

/* ---- the channel's admit ---- */

static int after_admit(msub_engine *e, msub__case *c, msub_verdict v) {
  switch (v) {
  case MSUB_ACCEPT: return msub__conclude(e, c, v, MSUB_R_NONE);
  case MSUB_REJECT: return msub__conclude(e, c, v, MSUB_R_REJECTED);
  case MSUB_THROTTLED: return throttle(e, c);
  default: return msub__conclude(e, c, MSUB_IGNORE, MSUB_R_IGNORED);
  }
}

static int admit(msub_engine *e, msub__case *c) {
  c->stage = MSUB__STAGE_ADMIT;
  const msub__topic *t = msub__topic_of(e, c->topic);
  msub_channel ch;
  const msub_channel_policy *p = t ? MSUB__HOOK(e, t, admit, &ch) : NULL;
  if (!p) return after_admit(e, c, MSUB_ACCEPT);
  msub_token q = msub__question_room(e, c->m->wire_n, false) ? msub__question_open(e, c, MSUB__Q_PROGRAM, 0) : (msub_token){ 0 };
  if (q.v == 0) return throttle(e, c);
  unsigned ri = msub__handle_router(c->topic.v);
  msub_verdict v = p->admit(&ch, c->m, msub__case_from(e, c), q);
  if (v == MSUB_PENDING) return pending(e, c);
  if (v == MSUB_DEFER && msub__question_defer(e, q)) {
    MSUB__COUNT(e, deferred);
    MSUB__TRACE(e, ri, .kind = MSUB_T_DEFER, .topic = c->topic, .id = msub_id(c->m), .peer = first_sender(c));
    return pending(e, c);
  }
  msub__question_cancel(e, q);
  if (v == MSUB_DEFER) { /* over the quota: the policy has a token that is worth nothing */
    if (p->released) p->released(&ch, q, MSUB_R_THROTTLED);
    return throttle(e, c);
  }
  if (v > MSUB_PENDING) msub__fault(e, msub__policy_name(p), "admit answered something that is no verdict");
  return after_admit(e, c, known(v));
}

/* ---- validators ---- */

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

static int full(msub_engine *e, msub__case *c) {
  MSUB__COUNT(e, validators_full);
  return throttle(e, c);
}

static int run_validators(msub_engine *e, msub__case *c) {
  for (;;) {
    msub__topic *t = msub__topic_of(e, c->topic);
    uint32_t place = c->stage - MSUB__STAGE_VALIDATORS;
    msub__validator *val = t && (e->work->validators || t->extra) ? msub__validator_next(e, t, &place) : NULL;
    if (!val) return c->ignored ? msub__conclude(e, c, MSUB_IGNORE, MSUB_R_IGNORED) : admit(e, c);
    c->stage = MSUB__STAGE_VALIDATORS + place;
    if (val->pends && !msub__validator_room(e, t, val)) return full(e, c);
    msub_token q = msub__question_room(e, c->m->wire_n, false) ? msub__question_open(e, c, MSUB__Q_PROGRAM, val->timeout) : (msub_token){ 0 };
    if (q.v == 0) return throttle(e, c);
    msub_job job = { .fn = NULL };
    msub_verdict v = known(val->fn(val->ud, c->m, (msub_peer){ c->n_from ? c->from[0] : 0 }, q, &job));
    if (v == MSUB_PENDING && (!job.fn || MSUB__WORLD(e)->offload)) {
      val->pends = true; /* callbacks cannot take it away */
      if (!msub__validator_room(e, t, val) || !msub__topic_extra_of(e, t)) {
        msub__question_cancel(e, q);
        return full(e, c);
      }
      msub__question_counted(e, q, place);
    }
    if (v == MSUB_PENDING) {
      if (!job.fn) return pending(e, c); /* the program answers */
      if (!job.arg) {
        job.arg = msub_wire(c->m);
        job.n = c->m->wire_n;
      }
      if (MSUB__WORLD(e)->offload) {
        e->work->questions.q[(uint32_t)q.v - 1].state = MSUB__Q_JOB;
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
  msub__work *w = msub__need_work(e);
  if (w && !w->bad) w->bad = msub__zalloc(msub__mem(e), MSUB__BAD_BYTES, sizeof *w->bad);
  if (!w || !w->bad) return;
  w->bad[w->next_bad] = msub__hash(&e->sh->key, (msub_bytes){ msub_wire(m), m->wire_n });
  w->next_bad = (w->next_bad + 1) % MSUB__BAD_BYTES;
  if (w->n_bad < MSUB__BAD_BYTES) w->n_bad++;
}

static int authentic(msub_engine *e, msub__case *c) {
  c->stage = MSUB__STAGE_VALIDATORS;
  if (!c->local) MSUB__CALL(e, msub__handle_router(c->topic.v), arrived, c->topic, c->m, msub__case_from(e, c)); /* a router may tell peers of it */
  return run_validators(e, c);
}

static int after_signature(msub_engine *e, msub__case *c, msub_verdict v) {
  if (v == MSUB_REJECT) remember_bad(e, c->m);
  if (v == MSUB_THROTTLED) return throttle(e, c);
  if (v != MSUB_ACCEPT) return msub__conclude(e, c, v == MSUB_REJECT ? v : MSUB_IGNORE, MSUB_R_INVALID_SIGNATURE);
  /* Another message with this id may have been accepted while this one was verified. */
  if (msub__seen_find(&e->work->seen, c->fp, e->now.mono_ns) != MSUB__UNSEEN) {
    const msub__topic *t = msub__topic_of(e, c->topic);
    MSUB__COUNT(e, duplicates);
    if (t) MSUB__COUNT_TOPIC(t, duplicates, 1);
    msub_msg_drop(e->sh, c->m);
    return MSUB_OK;
  }
  return authentic(e, c);
}

int msub__judge(msub_engine *e, msub__case *c) {
  const msub__topic *t = msub__topic_of(e, c->topic);
  if (c->own || !msub__verifies(t, c->m)) return authentic(e, c);
  if (!MSUB__WORLD(e)->offload) return after_signature(e, c, e->cfg->verify(msub_wire(c->m), c->m->wire_n));
  msub_token q = msub__question_open(e, c, MSUB__Q_JOB, 0);
  if (q.v == 0) return throttle(e, c);
  msub_job job = { e->cfg->verify, msub_wire(c->m), c->m->wire_n, e->cfg->verify_cost_ns, e->cfg->signing.verify_many };
  return hand_over(e, c, &job, q);
}

int msub__resume(msub_engine *e, msub__case *c, msub_verdict v) {
  const msub__topic *t = msub__topic_of(e, c->topic);
  if (!t || (t->joins == 0 && !(c->own && t->opens))) return msub__conclude(e, c, MSUB_IGNORE, MSUB_R_LEFT);
  v = known(v);
  if (v == MSUB_PENDING) v = MSUB_IGNORE;
  if (c->stage == MSUB__STAGE_SIGNATURE) return after_signature(e, c, v);
  if (c->stage == MSUB__STAGE_ADMIT) return after_admit(e, c, v);
  int err;
  return note(e, c, v, &err) ? err : run_validators(e, c);
}
