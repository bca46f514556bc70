/* pubsub/batch.c: messages that go out together, their copies in the order of a scheduler. */
#include "pubsub/engine.h"
#include <string.h>

typedef struct item {
  msub_topic topic;
  msub_token ticket;
  uint8_t *data;
  size_t n;
  const msub_msg *m; /* accepted; held */
  msub_published p;
  bool told, measured;
} item;

typedef enum state { OPEN, QUEUED, RUNNING, PUBLISHED } state;
struct msub_batch {
  msub_engine *e;
  msub_batch *next;
  item *it;
  uint32_t n, cap, at; /* at: the one that is being judged */
  size_t bytes;
  state state;
  const msub_scheduler *by;
  void *ud;
  msub_batch_send *sends;
  uint32_t n_sends, cap_sends;
};

/* ---- schedulers ---- */

static size_t round_robin(void *ud, const msub_batch_send *s, size_t n, uint32_t *order) {
  (void)ud;
  size_t done = 0;
  for (uint32_t round = 0; done < n; round++)
    for (size_t i = 0; i < n; i += s[i].copies) /* the copies of a message stand together */
      if (round < s[i].copies) order[done++] = (uint32_t)i + (round + s[i].message) % s[i].copies;
  return done;
}
const msub_scheduler msub_round_robin = { MSUB_ABI, sizeof(msub_scheduler), "round robin", round_robin };

static size_t in_order(void *ud, const msub_batch_send *s, size_t n, uint32_t *order) {
  (void)ud, (void)s;
  for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
  return n;
}
const msub_scheduler msub_in_order = { MSUB_ABI, sizeof(msub_scheduler), "in order", in_order };

/* ---- life ---- */

int msub_batch_new(msub_engine *e, msub_batch **out) {
  msub__extras *x = msub__need_extras(e);
  if (!x) return MSUB_ERR_NOMEM;
  if (x->n_batches == MSUB__BATCHES) return MSUB_ERR_LIMIT;
  msub_batch *b = msub__zalloc(msub__mem(e), 1, sizeof *b);
  if (!b) return MSUB_ERR_NOMEM;
  b->e = e;
  b->next = x->batches;
  x->batches = b;
  x->n_batches++;
  *out = b;
  return MSUB_OK;
}

static void release(msub_batch *b) {
  msub_engine *e = b->e;
  const msub_mem *m = msub__mem(e);
  msub_batch **at = &e->extras->batches;
  while (*at != b) at = &(*at)->next;
  *at = b->next;
  e->extras->n_batches--;
  for (uint32_t i = 0; i < b->n; i++) {
    msub__free(m, b->it[i].data, b->it[i].n);
    msub_msg_drop(e->sh, b->it[i].m);
  }
  msub__free(m, b->it, b->cap * sizeof *b->it);
  msub__free(m, b->sends, b->cap_sends * sizeof *b->sends);
  msub__free(m, b, sizeof *b);
}

int msub_batch_free(msub_batch *b) {
  if (!b) return MSUB_OK;
  if (b->state == QUEUED || b->state == RUNNING) return MSUB_ERR_STATE;
  release(b);
  return MSUB_OK;
}

void msub__batches_fini(msub_engine *e) {
  while (e->extras->batches) release(e->extras->batches);
}

int msub_batch_add(msub_batch *b, msub_topic t, msub_bytes data, msub_token *ticket) {
  msub_engine *e = b->e;
  const msub__topic *at = msub__topic_of(e, t);
  if (b->state != OPEN) return MSUB_ERR_STATE;
  if (!at || (at->joins == 0 && at->opens == 0)) return MSUB_ERR_STALE;
  if (b->n == MSUB__BATCH_MESSAGES || data.n > MSUB__BATCH_BYTES - b->bytes) return MSUB_ERR_LIMIT;
  size_t most = MSUB__HOOK(e, at, payload_out, &(msub_channel){ 0 }) ? MSUB__PAYLOAD_BYTES : msub__max_data(e, at); /* the hook may shorten it */
  if (data.n > most) return MSUB_ERR_LIMIT;
  const msub_mem *m = msub__mem(e);
  if (b->n == b->cap) {
    uint32_t cap = b->cap ? b->cap * 2 : 16;
    item *p = msub__realloc(m, b->it, b->cap * sizeof *p, cap * sizeof *p);
    if (!p) return MSUB_ERR_NOMEM;
    b->it = p;
    b->cap = cap;
  }
  uint8_t *copy = data.n ? msub__alloc(m, data.n) : NULL;
  if (data.n && !copy) return MSUB_ERR_NOMEM;
  if (copy) memcpy(copy, data.p, data.n);
  b->it[b->n++] = (item){ .topic = t, .ticket = { ++e->tickets }, .data = copy, .n = data.n };
  b->bytes += data.n;
  if (ticket) *ticket = b->it[b->n - 1].ticket;
  return MSUB_OK;
}

size_t msub_batch_count(const msub_batch *b) { return b->n; }
const msub_published *msub_batch_result(const msub_batch *b, size_t i) { return b->state == PUBLISHED && i < b->n ? &b->it[i].p : NULL; }

/* ---- sending ---- */

static void send_one(msub_batch *b, const msub_batch_send *s) {
  msub_engine *e = b->e;
  item *it = &b->it[s->message];
  msub_rpc rpc = { &it->m, 1, NULL, msub__message_rpc_size(it->m) };
  const msub__session *to = msub__session_of(e, s->to);
  if (to && msub__send(e, to, s->to, &rpc, MSUB_LANE_OWN)) it->p.recipients++;
  else it->p.refused++;
}

/* Sends what has been gathered. bytes == 0: it is sent. */
static void send_in_order(msub_batch *b, uint32_t *order) {
  size_t n = b->n_sends, named = b->by->order(b->ud, b->sends, n, order), wrong = named > n;
  for (size_t i = 0; i < named && i < n; i++) {
    msub_batch_send *s = order[i] < n ? &b->sends[order[i]] : NULL;
    if (!s || s->bytes == 0) {
      wrong++;
      continue;
    }
    send_one(b, s);
    s->bytes = 0;
  }
  if (wrong) msub__fault(b->e, b->by->name ? b->by->name : "a scheduler without a name", "order named a copy twice, or one that does not exist");
}

static void flush(msub_batch *b) {
  const msub_mem *m = msub__mem(b->e);
  uint32_t *order = b->n_sends ? msub__zalloc(m, b->n_sends, sizeof *order) : NULL;
  if (order) send_in_order(b, order);
  for (uint32_t i = 0; i < b->n_sends; i++) /* without memory, all of them */
    if (b->sends[i].bytes) send_one(b, &b->sends[i]);
  msub__free(m, order, b->n_sends * sizeof *order);
  b->n_sends = 0;
}

/* Room for the copies of one more message; false: no memory, it goes out at once. */
static bool room(msub_batch *b, size_t more) {
  if (b->n_sends && b->n_sends + more > MSUB__BATCH_SENDS) flush(b);
  if (b->n_sends + more <= b->cap_sends) return true;
  size_t cap = b->cap_sends * 2u > b->n_sends + more ? b->cap_sends * 2u : b->n_sends + more;
  msub_batch_send *p = msub__realloc(msub__mem(b->e), b->sends, b->cap_sends * sizeof *p, cap * sizeof *p);
  if (!p) return false;
  b->sends = p;
  b->cap_sends = (uint32_t)cap;
  return true;
}

bool msub__batch_takes(msub_engine *e, const msub__case *c) {
  msub_batch *b = e->extras->batching;
  if (!b || b->at >= b->n || b->it[b->at].ticket.v != c->ticket.v) return false;
  unsigned ri = msub__handle_router(c->topic.v);
  const msub__topic *t = msub__topic_of(e, c->topic);
  if (!t) return false;
  size_t live = e->routers[ri].live_sessions, most = t->n_links > live ? t->n_links : live;
  if (!room(b, most)) return false;
  item *it = &b->it[b->at];
  it->m = msub_msg_hold(c->m);
  if (!MSUB__HAS(e, ri, publish)) return true;
  msub_list out = msub__scratch(e, most);
  MSUB__OPS(e, ri, publish)->publish(MSUB__AT(e, ri, publish), c->topic, c->m, msub__case_from(e, c), &out);
  size_t bytes = msub__message_rpc_size(c->m);
  uint32_t first = b->n_sends;
  for (size_t i = 0; i < out.n && i < out.cap; i++) {
    if (msub__handle_router(out.s[i].v) != ri || !msub__session_of(e, out.s[i]))
      msub__fault(e, MSUB__OPS(e, ri, publish)->name, "publish named a session that does not exist");
    else if (msub__may_get(e, t, out.s[i]))
      b->sends[b->n_sends++] = (msub_batch_send){ .message = b->at, .copy = b->n_sends - first, .bytes = (uint32_t)bytes, .to = out.s[i] };
  }
  for (uint32_t i = first; i < b->n_sends; i++) b->sends[i].copies = b->n_sends - first;
  return true;
}

/* ---- publishing ---- */

/* Do the queues take all messages of each topic? */
static bool room_for_all(const msub_batch *b) {
  for (uint32_t i = 0; i < b->n; i++) b->it[i].measured = false;
  for (uint32_t i = 0; i < b->n; i++) {
    if (b->it[i].measured) continue;
    const msub__topic *t = msub__topic_of(b->e, b->it[i].topic);
    size_t bytes = 0;
    for (uint32_t k = i; k < b->n; k++)
      if (b->it[k].topic.v == b->it[i].topic.v) {
        b->it[k].measured = true;
        bytes += b->it[k].n + 256; /* its envelope */
      }
    if (t && !msub__publish_room(b->e, t, bytes)) return false;
  }
  return true;
}

/* Makes and judges one; afterwards it has its outcome, or its copies are noted. */
static void make(msub_batch *b, item *it) {
  msub_engine *e = b->e;
  e->work->outcome = &it->p;
  int rc = msub__publish(e, it->topic, (msub_bytes){ it->data, it->n }, it->ticket, false);
  e->work->outcome = NULL;
  it->told = it->p.err != MSUB_MORE || it->p.reach != MSUB_REACH_NOT_PUBLISHED;
  if (rc != MSUB_OK && !it->told) it->p.err = rc;
  it->p.id = (msub_bytes){ NULL, 0 };
}

static void conclude(msub_batch *b, item *it) {
  msub_engine *e = b->e;
  if (it->m) {
    const msub__topic *t = msub__topic_of(e, it->topic);
    it->p.err = MSUB_OK;
    it->p.id = msub_id(it->m);
    it->p.reach = t ? msub__reach_of(t, &it->p) : MSUB_REACH_NOT_CHOSEN;
  }
  if (!it->told && it->p.err != MSUB_MORE) msub__tell_published(e, &it->p);
}

static int publish(msub_batch *b) {
  msub_engine *e = b->e;
  b->state = OPEN;
  if (!msub__need_work(e)) return MSUB_ERR_NOMEM;
  if (!room_for_all(b)) return MSUB_ERR_LIMIT;
  b->state = RUNNING;
  e->extras->batching = b;
  for (b->at = 0; b->at < b->n; b->at++) {
    item *it = &b->it[b->at];
    it->p = (msub_published){ .ticket = it->ticket, .topic = it->topic, .err = MSUB_MORE, .reach = MSUB_REACH_NOT_PUBLISHED };
    make(b, it);
  }
  flush(b);
  e->extras->batching = NULL;
  for (uint32_t i = 0; i < b->n; i++) conclude(b, &b->it[i]);
  b->state = PUBLISHED;
  return MSUB_OK;
}

void msub__batch_deferred(msub_batch *b) {
  int rc = publish(b);
  for (uint32_t i = 0; rc != MSUB_OK && i < b->n; i++)
    msub__tell_published(b->e, &(msub_published){ .ticket = b->it[i].ticket, .topic = b->it[i].topic, .err = rc, .reach = MSUB_REACH_NOT_PUBLISHED });
}

int msub_batch_publish(msub_batch *b, const msub_scheduler *s, void *ud, const msub_now *now) {
  msub_engine *e = b->e;
  if (!s) s = &msub_round_robin;
  if (s->abi != MSUB_ABI || s->size < sizeof *s || !s->order) return MSUB_ERR_INVAL;
  if (now == NULL ? !e->inside : e->inside) return MSUB_ERR_STATE;
  if (b->state != OPEN) return MSUB_ERR_STATE;
  b->by = s;
  b->ud = ud;
  if (!now) {
    int rc = msub__deferred_push(e, &(msub__call){ .kind = MSUB__CALL_BATCH, .batch = b }, (msub_bytes){ NULL, 0 });
    if (rc == MSUB_OK) b->state = QUEUED;
    return rc;
  }
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  rc = publish(b);
  msub__leave(e);
  return rc;
}
