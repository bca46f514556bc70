/* pubsub/question.c: what waits for an answer from outside: a job that the world runs, a validator or a policy that will say
 * later, a policy's cache that will supply a message.
 *
 *   q[]      ┌ job ┐┌ free ┐┌ deferred ┐┌ later ┐┌ abandoned ┐ …    by_fp: (topic, id) → messages, for copies that come meanwhile
 *   timed.oldest ──▶ … by deadline … ◀── timed.newest                abandoned: over, but its job still reads the bytes
 *   kept.oldest  ──▶ deferred ones, without a deadline
 */
#include "pubsub/engine.h"
#include <string.h>

static msub__questions *questions(const msub_engine *e) { return &e->work->questions; }

static msub_token token_of(const msub_engine *e, uint32_t i) {
  return (msub_token){ (uint64_t)questions(e)->q[i].gen << 32 | (i + 1) };
}
static msub__question *question_of(msub_engine *e, msub_token t, uint32_t *i) {
  *i = (uint32_t)t.v - 1;
  if (!e->work || (uint32_t)t.v == 0 || *i >= questions(e)->n) return NULL;
  msub__question *q = &questions(e)->q[*i];
  return q->state != MSUB__Q_FREE && q->gen == (uint32_t)(t.v >> 32) ? q : NULL;
}

bool msub__question_room(const msub_engine *e, size_t bytes, bool throttled) {
  if (!e->work) return true;
  const msub__questions *qs = questions(e);
  unsigned part = throttled ? 2 : 1; /* a peer with half its budget spent gets half the room */
  return qs->live - qs->deferred < e->cfg->pending_messages / part && qs->bytes + bytes <= e->cfg->pending_bytes / part;
}

static uint32_t take(msub_engine *e) {
  msub__questions *qs = questions(e);
  if (qs->free) {
    uint32_t i = qs->free - 1;
    qs->free = qs->q[i].next;
    return i;
  }
  if (qs->n == qs->cap) {
    uint32_t cap = qs->cap ? qs->cap * 2 : 8;
    msub__question *q = msub__realloc(msub__mem(e), qs->q, qs->cap * sizeof *q, cap * sizeof *q);
    if (!q) return MSUB__NONE;
    qs->q = q;
    qs->cap = cap;
  }
  memset(&qs->q[qs->n], 0, sizeof qs->q[0]);
  return qs->n++;
}

static msub__question_list *timed(msub__questions *qs, unsigned timeout) {
  return timeout == 0 ? &qs->timed : &qs->timeouts->list[timeout - 1];
}
static unsigned timed_lists(const msub__questions *qs) { return qs->timeouts ? 1 + qs->timeouts->n : 1; }
static msub__question_list *list_of(msub__questions *qs, const msub__question *q) {
  return q->state == MSUB__Q_DEFERRED ? &qs->kept : timed(qs, q->timeout);
}
/* The timed one that is due first, as an index + 1; 0: none. */
static uint32_t first_due(const msub__questions *qs) {
  uint32_t first = qs->timed.oldest;
  for (unsigned i = 0; qs->timeouts && i < qs->timeouts->n; i++) {
    uint32_t at = qs->timeouts->list[i].oldest;
    if (at && (!first || qs->q[at - 1].deadline < qs->q[first - 1].deadline)) first = at;
  }
  return first;
}

int msub__question_timeout(msub_engine *e, uint64_t ns) {
  msub__questions *qs = questions(e);
  if (ns == 0 || ns == e->cfg->validate_timeout_ns) return 0;
  if (!qs->timeouts && !(qs->timeouts = msub__zalloc(msub__mem(e), 1, sizeof *qs->timeouts))) return -2;
  for (uint32_t i = 0; i < qs->timeouts->n; i++)
    if (qs->timeouts->ns[i] == ns) return (int)i + 1;
  if (qs->timeouts->n == MSUB__TIMEOUTS - 1) return -1;
  qs->timeouts->ns[qs->timeouts->n++] = ns;
  return (int)qs->timeouts->n;
}
static void link_newest(msub__questions *qs, uint32_t i) {
  msub__question_list *l = list_of(qs, &qs->q[i]);
  qs->q[i].prev = l->newest;
  qs->q[i].next = 0;
  if (l->newest) qs->q[l->newest - 1].next = i + 1;
  else l->oldest = i + 1;
  l->newest = i + 1;
}
static void unlink_question(msub__questions *qs, uint32_t i) {
  msub__question *q = &qs->q[i];
  msub__question_list *l = list_of(qs, q);
  if (q->prev) qs->q[q->prev - 1].next = q->next;
  else l->oldest = q->next;
  if (q->next) qs->q[q->next - 1].prev = q->prev;
  else l->newest = q->prev;
}

static size_t bytes_of(const msub__question *q) { return q->c.m ? q->c.m->wire_n : 0; }

/* A slot with this case, linked; MSUB__NONE: no memory. */
static uint32_t open_slot(msub_engine *e, const msub__case *c, msub__question_state st, unsigned timeout) {
  uint32_t i = take(e);
  if (i == MSUB__NONE) return i;
  msub__questions *qs = questions(e);
  msub__question *q = &qs->q[i];
  q->c = *c;
  q->id = NULL;
  q->gen = q->gen == UINT32_MAX ? 1 : q->gen + 1;
  q->state = (uint8_t)st;
  q->timeout = (uint8_t)timeout;
  q->validator = 0;
  q->deadline = msub__deadline(e->now.mono_ns, timeout ? qs->timeouts->ns[timeout - 1] : e->cfg->validate_timeout_ns);
  if (c->m) msub_msg_hold(c->m);
  for (uint32_t k = 0; k < c->n_from; k++) msub__intern_ref(&e->sh->peers, c->from[k]);
  link_newest(qs, i);
  qs->live++;
  qs->bytes += bytes_of(q);
  return i;
}

msub_token msub__question_open(msub_engine *e, const msub__case *c, msub__question_state st, unsigned timeout) {
  if (!msub__need_work(e) || msub__table_reserve(&questions(e)->by_fp, msub__mem(e)) != MSUB_OK) return (msub_token){ 0 };
  uint32_t i = open_slot(e, c, st, timeout);
  if (i == MSUB__NONE) return (msub_token){ 0 };
  int rc = msub__table_insert(&questions(e)->by_fp, msub__mem(e), c->fp, i);
  MSUB__INVARIANT(rc == MSUB_OK);
  return token_of(e, i);
}

msub_token msub__question_later(msub_engine *e, msub_topic t, uint32_t peer, msub_bytes id) {
  if (!msub__need_work(e) || !msub__question_room(e, 0, false)) return (msub_token){ 0 };
  uint8_t *copy = msub__alloc(msub__mem(e), 1 + id.n);
  msub__case c = { .topic = t, .from = { peer }, .n_from = 1 };
  uint32_t i = copy ? open_slot(e, &c, MSUB__Q_LATER, 0) : MSUB__NONE;
  if (i == MSUB__NONE) {
    msub__free(msub__mem(e), copy, 1 + id.n);
    return (msub_token){ 0 };
  }
  copy[0] = (uint8_t)id.n;
  memcpy(copy + 1, id.p, id.n);
  questions(e)->q[i].id = copy;
  return token_of(e, i);
}

void msub__question_counted(msub_engine *e, msub_token t, unsigned validator) {
  msub__question *q = &questions(e)->q[(uint32_t)t.v - 1];
  q->validator = (uint8_t)(validator + 1);
  msub__validator_count(e, msub__topic_of(e, q->c.topic), validator, true);
}

/* Out of the list and the index; its slot and message stay. */
static void detach(msub_engine *e, uint32_t i) {
  msub__questions *qs = questions(e);
  msub__question *q = &qs->q[i];
  if (q->validator) msub__validator_count(e, msub__topic_of(e, q->c.topic), q->validator - 1u, false);
  q->validator = 0;
  unlink_question(qs, i);
  if (qs->q[i].c.m) msub__table_remove(&qs->by_fp, qs->q[i].c.fp, i);
}

static void drop_peers(msub_engine *e, const msub__case *c) {
  for (uint32_t k = 0; k < c->n_from; k++) msub__intern_drop(&e->sh->peers, msub__mem(e), &e->sh->key, c->from[k]);
}

static void undefer(msub_engine *e, const msub__question *q) {
  if (q->state != MSUB__Q_DEFERRED) return;
  msub__topic *t = msub__topic_of(e, q->c.topic);
  if (t && t->extra) t->extra->deferred_bytes -= q->c.m->wire_n;
  questions(e)->deferred--;
  questions(e)->bytes += q->c.m->wire_n; /* what free_question takes off */
}

static void free_question(msub_engine *e, uint32_t i) {
  msub__questions *qs = questions(e);
  msub__question *q = &qs->q[i];
  undefer(e, q);
  qs->live--;
  qs->bytes -= bytes_of(q);
  msub_msg_drop(e->sh, q->c.m);
  if (q->id) msub__free(msub__mem(e), q->id, 1u + q->id[0]);
  q->id = NULL;
  q->state = MSUB__Q_FREE;
  q->next = qs->free;
  qs->free = i + 1;
}

void msub__question_cancel(msub_engine *e, msub_token t) {
  uint32_t i;
  msub__question *q = question_of(e, t, &i);
  MSUB__INVARIANT(q && q->state != MSUB__Q_ABANDONED);
  detach(e, i);
  drop_peers(e, &q->c);
  free_question(e, i);
}

bool msub__question_defer(msub_engine *e, msub_token token) {
  uint32_t i;
  msub__question *q = question_of(e, token, &i);
  MSUB__INVARIANT(q && q->state == MSUB__Q_PROGRAM);
  msub__topic *t = msub__topic_of(e, q->c.topic);
  msub__topic_extra *x = t ? msub__topic_extra_of(e, t) : NULL;
  if (!x || x->deferred_bytes + q->c.m->wire_n > msub__defer_bytes(e, t)) return false;
  msub__questions *qs = questions(e);
  unlink_question(qs, i);
  q->state = MSUB__Q_DEFERRED;
  q->deadline = MSUB_NEVER;
  link_newest(qs, i);
  x->deferred_bytes += q->c.m->wire_n;
  qs->bytes -= q->c.m->wire_n;
  qs->deferred++;
  return true;
}

typedef struct copy_key { uint64_t fp; msub_bytes wire; } copy_key;
static bool same_bytes(const void *ctx, uint32_t value, const void *key) {
  const msub__case *c = &((const msub__questions *)ctx)->q[value].c;
  const copy_key *k = key;
  return c->fp == k->fp && c->m->wire_n == k->wire.n && memcmp(msub_wire(c->m), k->wire.p, k->wire.n) == 0;
}

bool msub__question_copy(msub_engine *e, uint64_t fp, msub_bytes wire, uint32_t peer) {
  if (questions(e)->by_fp.n == 0) return false;
  copy_key k = { fp, wire };
  uint32_t i = msub__table_find(&questions(e)->by_fp, fp, same_bytes, questions(e), &k);
  if (i == MSUB__NONE) return false;
  msub__case *c = &questions(e)->q[i].c;
  if (c->own) return true;
  for (uint32_t n = 0; n < c->n_from; n++)
    if (c->from[n] == peer) return true;
  if (c->n_from == MSUB__SENDERS) return true;
  c->from[c->n_from++] = peer;
  msub__intern_ref(&e->sh->peers, peer);
  return true;
}

/* Ends an open question; the case with its references (message, peers) is the caller's. */
static msub__case close_question(msub_engine *e, uint32_t i, bool job_runs) {
  msub__question *q = &questions(e)->q[i];
  msub__case c = q->c;
  detach(e, i);
  if (c.m) msub_msg_hold(c.m);
  if (job_runs) q->state = MSUB__Q_ABANDONED;
  else free_question(e, i);
  return c;
}

int msub__question_answer(msub_engine *e, msub_token t, msub_verdict v) {
  uint32_t i;
  msub__question *q = question_of(e, t, &i);
  if (!q || q->state == MSUB__Q_LATER) {
    MSUB__COUNT(e, stale);
    return MSUB_ERR_STALE;
  }
  if (q->state == MSUB__Q_ABANDONED) {
    free_question(e, i);
    MSUB__COUNT(e, stale);
    return MSUB_ERR_STALE;
  }
  msub__case c = close_question(e, i, false);
  msub__case peers = c;
  msub__resume(e, &c, v);
  drop_peers(e, &peers);
  return MSUB_OK;
}

bool msub__question_supplied(msub_engine *e, msub_token t, msub_topic *topic, uint32_t *peer, uint8_t *id) {
  uint32_t i;
  msub__question *q = question_of(e, t, &i);
  if (!q || q->state != MSUB__Q_LATER) return false;
  *topic = q->c.topic;
  *peer = q->c.from[0];
  memcpy(id, q->id, 1u + q->id[0]);
  (void)close_question(e, i, false); /* the peer's reference is the caller's now */
  return true;
}

static bool job_runs(msub_engine *e, uint32_t i) {
  return questions(e)->q[i].state == MSUB__Q_JOB && !MSUB__WORLD(e)->recall(e->w, token_of(e, i));
}

/* The policy's token is worth nothing any more. */
static void tell_released(msub_engine *e, const msub__question *q, msub_token token, int reason) {
  const msub__topic *t = msub__topic_of(e, q->c.topic);
  if (!t || (q->state != MSUB__Q_LATER && q->c.stage != MSUB__STAGE_ADMIT)) return;
  msub_channel c;
  const msub_channel_policy *p = MSUB__HOOK(e, t, released, &c);
  if (p) p->released(&c, token, reason);
}

static void give_up(msub_engine *e, uint32_t i, int reason) {
  tell_released(e, &questions(e)->q[i], token_of(e, i), reason);
  msub__case c = close_question(e, i, job_runs(e, i));
  msub__case peers = c;
  if (c.m) msub__conclude(e, &c, MSUB_IGNORE, reason);
  drop_peers(e, &peers);
}

static void give_up_of_topic(msub_engine *e, uint32_t at, msub_topic t) {
  while (at) {
    uint32_t i = at - 1;
    at = questions(e)->q[i].next;
    if (questions(e)->q[i].c.topic.v == t.v) give_up(e, i, MSUB_R_LEFT);
  }
}

void msub__questions_of_topic(msub_engine *e, msub_topic t) {
  for (unsigned i = 0; i < timed_lists(questions(e)); i++) give_up_of_topic(e, timed(questions(e), i)->oldest, t);
  give_up_of_topic(e, questions(e)->kept.oldest, t);
}

void msub__questions_expire(msub_engine *e) {
  msub__questions *qs = questions(e);
  for (uint32_t at; (at = first_due(qs)) && msub__passed(qs->q[at - 1].deadline, e->now.mono_ns);) {
    MSUB__COUNT(e, timeouts);
    give_up(e, at - 1, MSUB_R_TIMEOUT);
  }
}

uint64_t msub__questions_deadline(const msub_engine *e) {
  const msub__questions *qs = questions(e);
  uint32_t at = first_due(qs);
  return at ? qs->q[at - 1].deadline : MSUB_NEVER;
}

bool msub__questions_recall_all(msub_engine *e) {
  msub__questions *qs = questions(e);
  for (uint32_t at; (at = first_due(qs)) || (at = qs->kept.oldest);) {
    uint32_t i = at - 1;
    tell_released(e, &qs->q[i], token_of(e, i), MSUB_R_GONE);
    msub__case c = close_question(e, i, job_runs(e, i));
    drop_peers(e, &c);
    msub_msg_drop(e->sh, c.m);
  }
  return qs->live == 0;
}

void msub__questions_fini(msub_engine *e) {
  msub__free(msub__mem(e), questions(e)->q, questions(e)->cap * sizeof *questions(e)->q);
  msub__table_fini(&questions(e)->by_fp, msub__mem(e));
  msub__free(msub__mem(e), questions(e)->timeouts, sizeof *questions(e)->timeouts);
}
