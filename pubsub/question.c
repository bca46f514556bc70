/* pubsub/question.c: messages whose judgement waits for somebody: a job that the world runs, or the program.
 *
 *   q[]      ┌ open ┐┌ free ┐┌ open ┐┌ abandoned ┐ …      by_fp: (topic, id) → open ones, for copies that come meanwhile
 *   oldest ──▶ … by deadline … ◀── newest                  abandoned: over, but its job still reads the bytes
 */
#include "pubsub/engine.h"
#include <string.h>

static msub_token token_of(const msub_engine *e, uint32_t i) {
  return (msub_token){ (uint64_t)e->questions.q[i].gen << 32 | (i + 1) };
}
static msub__question *question_of(msub_engine *e, msub_token t, uint32_t *i) {
  *i = (uint32_t)t.v - 1;
  if ((uint32_t)t.v == 0 || *i >= e->questions.n) return NULL;
  msub__question *q = &e->questions.q[*i];
  return q->state != MSUB__Q_FREE && q->gen == (uint32_t)(t.v >> 32) ? q : NULL;
}

bool msub__question_room(const msub_engine *e, size_t bytes, bool throttled) {
  const msub__questions *qs = &e->questions;
  unsigned part = throttled ? 2 : 1; /* a peer with half its budget spent gets half the room */
  return qs->live < e->pending_messages / part && qs->bytes + bytes <= e->pending_bytes / part;
}

static uint32_t take(msub_engine *e) {
  msub__questions *qs = &e->questions;
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

static void link_newest(msub__questions *qs, uint32_t i) {
  qs->q[i].prev = qs->newest;
  qs->q[i].next = 0;
  if (qs->newest) qs->q[qs->newest - 1].next = i + 1;
  else qs->oldest = i + 1;
  qs->newest = i + 1;
}

static void unlink_question(msub__questions *qs, uint32_t i) {
  msub__question *q = &qs->q[i];
  if (q->prev) qs->q[q->prev - 1].next = q->next;
  else qs->oldest = q->next;
  if (q->next) qs->q[q->next - 1].prev = q->prev;
  else qs->newest = q->prev;
}

msub_token msub__question_open(msub_engine *e, const msub__case *c, msub__question_state st) {
  msub__questions *qs = &e->questions;
  if (msub__table_reserve(&qs->by_fp, msub__mem(e)) != MSUB_OK) return (msub_token){ 0 };
  uint32_t i = take(e);
  if (i == MSUB__NONE) return (msub_token){ 0 };
  msub__question *q = &qs->q[i];
  q->c = *c;
  q->gen = q->gen == UINT32_MAX ? 1 : q->gen + 1;
  q->state = (uint8_t)st;
  q->deadline = msub__deadline(e->now.mono_ns, e->validate_timeout_ns);
  msub_msg_hold(c->m);
  for (uint32_t k = 0; k < c->n_from; k++) msub__intern_ref(&e->sh->peers, c->from[k]);
  link_newest(qs, i);
  int rc = msub__table_insert(&qs->by_fp, msub__mem(e), c->fp, i);
  MSUB__INVARIANT(rc == MSUB_OK);
  qs->live++;
  qs->bytes += c->m->wire_n;
  return token_of(e, i);
}

/* Out of the list and the index; its slot and message stay. */
static void detach(msub_engine *e, uint32_t i) {
  msub__questions *qs = &e->questions;
  unlink_question(qs, i);
  msub__table_remove(&qs->by_fp, qs->q[i].c.fp, i);
}

static void drop_peers(msub_engine *e, const msub__case *c) {
  for (uint32_t k = 0; k < c->n_from; k++) msub__intern_drop(&e->sh->peers, msub__mem(e), &e->sh->key, c->from[k]);
}

static void free_question(msub_engine *e, uint32_t i) {
  msub__questions *qs = &e->questions;
  msub__question *q = &qs->q[i];
  qs->live--;
  qs->bytes -= q->c.m->wire_n;
  msub_msg_drop(e->sh, q->c.m);
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

typedef struct copy_key { uint64_t fp; msub_bytes wire; } copy_key;
static bool same_bytes(const void *ctx, uint32_t value, const void *key) {
  const msub__case *c = &((const msub_engine *)ctx)->questions.q[value].c;
  const copy_key *k = key;
  return c->fp == k->fp && c->m->wire_n == k->wire.n && memcmp(c->m->wire, k->wire.p, k->wire.n) == 0;
}

bool msub__question_copy(msub_engine *e, uint64_t fp, msub_bytes wire, uint32_t peer) {
  if (e->questions.by_fp.n == 0) return false;
  copy_key k = { fp, wire };
  uint32_t i = msub__table_find(&e->questions.by_fp, fp, same_bytes, e, &k);
  if (i == MSUB__NONE) return false;
  msub__case *c = &e->questions.q[i].c;
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
  msub__question *q = &e->questions.q[i];
  msub__case c = q->c;
  detach(e, i);
  msub_msg_hold(c.m);
  if (job_runs) q->state = MSUB__Q_ABANDONED;
  else free_question(e, i);
  return c;
}

int msub__question_answer(msub_engine *e, msub_token t, msub_verdict v) {
  uint32_t i;
  msub__question *q = question_of(e, t, &i);
  if (!q) {
    e->counts.stale++;
    return MSUB_ERR_STALE;
  }
  if (q->state == MSUB__Q_ABANDONED) {
    free_question(e, i);
    e->counts.stale++;
    return MSUB_ERR_STALE;
  }
  msub__case c = close_question(e, i, false);
  msub__case peers = c;
  msub__resume(e, &c, v);
  drop_peers(e, &peers);
  return MSUB_OK;
}

static bool job_runs(msub_engine *e, uint32_t i) {
  return e->questions.q[i].state == MSUB__Q_JOB && !e->world->recall(e->w, token_of(e, i));
}

static void give_up(msub_engine *e, uint32_t i, int reason) {
  msub__case c = close_question(e, i, job_runs(e, i));
  msub__case peers = c;
  msub__conclude(e, &c, MSUB_IGNORE, reason);
  drop_peers(e, &peers);
}

void msub__questions_of_topic(msub_engine *e, msub_topic t) {
  for (uint32_t at = e->questions.oldest; at;) {
    uint32_t i = at - 1;
    at = e->questions.q[i].next;
    if (e->questions.q[i].c.topic.v == t.v) give_up(e, i, MSUB_R_LEFT);
  }
}

void msub__questions_expire(msub_engine *e) {
  while (e->questions.oldest && msub__passed(e->questions.q[e->questions.oldest - 1].deadline, e->now.mono_ns)) {
    e->counts.timeouts++;
    give_up(e, e->questions.oldest - 1, MSUB_R_TIMEOUT);
  }
}

uint64_t msub__questions_deadline(const msub_engine *e) {
  return e->questions.oldest ? e->questions.q[e->questions.oldest - 1].deadline : MSUB_NEVER;
}

bool msub__questions_recall_all(msub_engine *e) {
  while (e->questions.oldest) {
    uint32_t i = e->questions.oldest - 1;
    msub__case c = close_question(e, i, job_runs(e, i));
    drop_peers(e, &c);
    msub_msg_drop(e->sh, c.m);
  }
  return e->questions.live == 0;
}

void msub__questions_fini(msub_engine *e) {
  msub__free(msub__mem(e), e->questions.q, e->questions.cap * sizeof *e->questions.q);
  msub__table_fini(&e->questions.by_fp, msub__mem(e));
}
