/* pubsub/author.c: a publish with an author or a number of its own. */
#include "meshsub/author.h"
#include "meshsub/peer_id.h"
#include "pubsub/engine.h"
#include <string.h>

void msub_author_init(msub_author *a) {
  memset(a, 0, sizeof *a);
  a->size = sizeof *a;
}

static int check(const msub__topic *t, const msub_author *a) {
  bool other = a->id.n || a->key_field.n || a->sign;
  if (t->signing == 0) return other || a->numbered ? MSUB_ERR_INVAL : MSUB_OK;
  if (!other) return MSUB_OK;
  if (msub_peer_id_check(a->id) != MSUB_OK || a->id.n > MSUB_PEER_ID_MAX || a->key_field.n > MSUB__AUTHOR_KEY) return MSUB_ERR_INVAL;
  return t->signing & MSUB__S_SIGN && !a->sign ? MSUB_ERR_INVAL : MSUB_OK;
}

static int publish(msub_engine *e, msub_topic t, msub_bytes data, const msub_author *a, msub_token ticket) {
  msub__work *w = msub__need_work(e);
  if (!w) return MSUB_ERR_NOMEM;
  w->as = a;
  int rc = msub__publish(e, t, data, ticket, false);
  w->as = NULL;
  return rc;
}

/* In the inbox: the author, its id, its key, the data. */
int msub__publish_as(msub_engine *e, const msub__call *c) {
  msub_author a;
  memcpy(&a, c->bytes, sizeof a);
  a.id.p = c->bytes + sizeof a;
  a.key_field.p = a.id.p + a.id.n;
  size_t head = sizeof a + a.id.n + a.key_field.n;
  return publish(e, c->topic, (msub_bytes){ c->bytes + head, c->n_bytes - head }, &a, c->token);
}

static int later(msub_engine *e, msub_topic t, msub_bytes data, const msub_author *a, msub_token ticket) {
  size_t n = sizeof *a + a->id.n + a->key_field.n + data.n;
  uint8_t *packed = msub__alloc(msub__mem(e), n), *at = packed;
  if (!packed) return MSUB_ERR_NOMEM;
  memcpy(at, a, sizeof *a);
  at += sizeof *a;
  msub_bytes parts[3] = { a->id, a->key_field, data };
  for (unsigned i = 0; i < 3; at += parts[i++].n)
    if (parts[i].n) memcpy(at, parts[i].p, parts[i].n);
  int rc = msub__deferred_push(e, &(msub__call){ .kind = MSUB__CALL_PUBLISH_AS, .topic = t, .token = ticket }, (msub_bytes){ packed, n });
  msub__free(msub__mem(e), packed, n);
  return rc;
}

int msub_publish_as(msub_engine *e, msub_topic t, msub_bytes data, const msub_author *a, const msub_now *now, msub_token *ticket) {
  if (now == NULL ? !e->inside : e->inside) return MSUB_ERR_STATE;
  const msub__topic *at = msub__topic_of(e, t);
  if (!at || (at->joins == 0 && at->opens == 0)) return MSUB_ERR_STALE;
  int rc = a->size == sizeof *a ? check(at, a) : MSUB_ERR_INVAL;
  if (rc != MSUB_OK) return rc;
  if (data.n > MSUB__PAYLOAD_BYTES) return MSUB_ERR_LIMIT;
  msub_token mine = { 0 };
  if (ticket || now == NULL) mine.v = ++e->tickets;
  if (now == NULL) {
    rc = later(e, t, data, a, mine);
    if (rc == MSUB_OK && ticket) *ticket = mine;
    return rc;
  }
  rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  if (ticket) *ticket = mine;
  rc = publish(e, t, data, a, mine);
  msub__leave(e);
  return rc;
}
