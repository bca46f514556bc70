/* lww/ipns/names_fetch.c: who is asked for what.
 *
 *   a peer announces the topic ───────────┐
 *   we dialled it; it speaks fetch (early)├──▶ task: peer × name ──▶ waits ──▶ runs ──▶ answered ──▶ judged in the turn
 *   a resolve begins ─────────────────────┘          at most fetches, and fetches_of_peer;
 *                                                        one place is left to what a resolve waits for, which goes first
 *
 * A task is in the table as long as it lives, so that nobody is asked for the same twice at a time. */
#include "lww/ipns/names_state.h"
#include <string.h>

/* ---- peers ---- */

static bool same_peer(const void *ctx, uint32_t i, const void *key) {
  const msub_names *n = ctx;
  return msub_bytes_eq(msub_peer_id_bytes(&n->peers[i]->id), *(const msub_bytes *)key);
}

msub__names_peer *msub__names_peer_of(msub_names *n, msub_bytes id, bool add) {
  uint64_t hash = msub__hash(&n->hashkey, id);
  uint32_t i = msub__table_find(&n->by_peer, hash, same_peer, n, &id);
  if (i != MSUB__NONE) return n->peers[i];
  if (!add || id.n == 0 || id.n > MSUB_PEER_ID_MAX) return NULL;
  if (n->n_peers == n->cap_peers) {
    uint32_t cap = n->cap_peers ? n->cap_peers * 2 : 16;
    void *p = msub__realloc(&n->mem, n->peers, n->cap_peers * sizeof *n->peers, cap * sizeof *n->peers);
    if (!p) return NULL;
    n->peers = p;
    n->cap_peers = cap;
  }
  msub__names_peer *p = msub__zalloc(&n->mem, 1, sizeof *p);
  if (!p) return NULL;
  if (msub__table_insert(&n->by_peer, &n->mem, hash, n->n_peers) != MSUB_OK) {
    msub__free(&n->mem, p, sizeof *p);
    return NULL;
  }
  p->id = msub_peer_id_of(id);
  p->hash = hash;
  p->index = n->n_peers;
  msub__list_init(&p->waiting);
  msub__list_init(&p->in_ready);
  n->peers[n->n_peers++] = p;
  return p;
}

/* ---- tasks ---- */

typedef struct question { const msub__names_peer *peer; uint32_t name, gen; } question;
static bool same_task(const void *ctx, uint32_t i, const void *key) {
  const msub_names *n = ctx;
  const msub__names_task *t = n->tasks[i];
  const question *q = key;
  return t->peer == q->peer && t->name == q->name && t->gen == q->gen;
}
static uint64_t hash_of(const msub__names_peer *p, uint32_t name) { return msub__hash_join(name, p->hash); }

static void drop_value(msub__names_task *t) {
  msub__free(&t->n->mem, t->value, t->value_cap);
  t->value = NULL;
  t->value_n = t->value_cap = 0;
}

/* From the table: the peer is gone, or the task is over. */
static void unindex(msub__names_task *t) {
  msub_names *n = t->n;
  if (!t->peer) return;
  (void)msub__table_remove(&n->by_task, hash_of(t->peer, t->name), t->index);
  msub__names_task *last = n->tasks[--n->n_tasks];
  if (last != t) {
    (void)msub__table_update(&n->by_task, hash_of(last->peer, last->name), last->index, t->index);
    last->index = t->index;
    n->tasks[last->index] = last;
  }
}
static void task_free(msub__names_task *t) {
  unindex(t);
  msub__list_remove(&t->in_peer);
  msub__list_remove(&t->in_queue);
  drop_value(t);
  msub__free(&t->n->mem, t, sizeof *t);
}

static void ready(msub_names *n, msub__names_peer *p) {
  if (msub__list_empty(&p->in_ready)) msub__list_push(&n->ready, &p->in_ready);
  msub__names_soon(n, 0);
}

static bool asked_early(const msub__names_peer *p, uint32_t name, uint32_t gen) {
  for (uint32_t i = 0; i < p->n_early; i++)
    if (p->early[i].name == name && p->early[i].gen == gen) return true;
  return false;
}

static void ask(msub_names *n, msub__names_peer *p, uint32_t name, bool early, bool opened, uint8_t tries, bool first) {
  question q = { p, name, n->names[name].gen };
  if (p->mute) return;
  uint32_t i = msub__table_find(&n->by_task, hash_of(p, name), same_task, n, &q);
  if (i != MSUB__NONE) {
    msub__names_task *t = n->tasks[i];
    t->opened |= opened;
    t->again |= t->early && !early && t->state != MSUB__TASK_WAITS;
    if (!first || t->state != MSUB__TASK_WAITS) return;
    msub__list_remove(&t->in_peer);
    msub__list_insert(&p->waiting, &t->in_peer);
    ready(n, p);
    return;
  }
  if (n->n_tasks >= n->o.fetches_waiting) {
    n->count.fetch_dropped++;
    return;
  }
  if (n->n_tasks == n->cap_tasks) {
    uint32_t cap = n->cap_tasks ? n->cap_tasks * 2 : 16;
    void *grown = msub__realloc(&n->mem, n->tasks, n->cap_tasks * sizeof *n->tasks, cap * sizeof *n->tasks);
    if (!grown) {
      n->count.fetch_dropped++;
      return;
    }
    n->tasks = grown;
    n->cap_tasks = cap;
  }
  msub__names_task *t = msub__zalloc(&n->mem, 1, sizeof *t);
  if (!t || msub__table_insert(&n->by_task, &n->mem, hash_of(p, name), n->n_tasks) != MSUB_OK) {
    msub__free(&n->mem, t, sizeof *t);
    n->count.fetch_dropped++;
    return;
  }
  t->n = n;
  t->peer = p;
  t->name = name;
  t->gen = q.gen;
  t->index = n->n_tasks;
  t->early = early;
  t->opened = opened;
  t->tries = tries;
  n->tasks[n->n_tasks++] = t;
  msub__list_init(&t->in_queue);
  msub__list_init(&t->in_peer);
  if (first) msub__list_insert(&p->waiting, &t->in_peer);
  else msub__list_push(&p->waiting, &t->in_peer);
  ready(n, p);
}

void msub__names_ask(msub_names *n, msub__names_peer *p, uint32_t name, bool early, bool first) { ask(n, p, name, early, false, 0, first); }
void msub__names_ask_met(msub_names *n, msub__names_peer *p, uint32_t name, uint8_t tries) { ask(n, p, name, false, true, tries, false); }

/* ---- who is asked ---- */

static bool may_have_early(const msub__names_peer *p) { return !p->mute && (p->outbound || p->identified); }

/* The names that are looked for first, then those of which nothing valid is known, then the others. */
static void ask_early(msub_names *n, msub__names_peer *p, int64_t wall_ns) {
  unsigned asked = 0;
  for (unsigned round = 0; round < 3; round++) {
    for (uint32_t i = 0; i < n->n_subs; i++) {
      const msub__sub *s = n->subs[i];
      unsigned rank = !msub__list_empty(&s->resolves) ? 0 : !msub__names_valid(n, s->name, wall_ns) ? 1 : 2;
      if (rank != round) continue;
      if (asked++ >= n->o.fetches_early) return;
      msub__names_ask(n, p, s->name, true, rank == 0);
    }
  }
}

static void announced(msub_names *n, msub__sub *s, msub__names_peer *p) {
  if (!asked_early(p, s->name, n->names[s->name].gen)) msub__names_ask(n, p, s->name, false, !msub__list_empty(&s->resolves));
}

void msub__sub_ask(msub__sub *s) {
  msub_names *n = s->n;
  size_t peers = msub_topic_peers(n->o.engine, s->t);
  for (size_t i = 0; i < peers; i++) {
    msub__names_peer *p = msub__names_peer_of(n, msub_peer_bytes(msub_engine_shared(n->o.engine), msub_topic_peer(n->o.engine, s->t, i)), true);
    if (p) msub__names_ask(n, p, s->name, false, true);
  }
  for (uint32_t i = 0; i < n->n_peers; i++)
    if (may_have_early(n->peers[i])) msub__names_ask(n, n->peers[i], s->name, true, true);
}

/* ---- told by the program ---- */

static void freshen(msub_names *n, msub__names_peer *p) {
  p->fresh = n->fresh = true;
  msub__names_soon(n, 0);
}

void msub_names_connected(msub_names *n, msub_bytes peer_id, bool outbound) {
  msub__names_peer *p = msub__names_peer_of(n, peer_id, true);
  if (!p || !outbound || p->outbound) return;
  p->outbound = true;
  if (!p->identified) freshen(n, p);
}

/* What a peer says of itself does not take back that it answered: stock peers list fetch late. */
void msub_names_identified(msub_names *n, msub_bytes peer_id, bool speaks_fetch) {
  msub__names_peer *p = msub__names_peer_of(n, peer_id, true);
  if (!p || !speaks_fetch || p->identified) return;
  bool was_mute = p->mute;
  p->identified = true;
  p->mute = false;
  if (!p->outbound || was_mute) freshen(n, p);
}

void msub_names_announced(msub_names *n, msub_topic t, msub_bytes peer_id) {
  msub_bytes topic = msub_name_bytes(msub_engine_shared(n->o.engine), msub_topic_name(n->o.engine, t));
  msub_peer_id name;
  if (msub_ipns_topic_parse(topic, &name) != MSUB_OK) return;
  uint32_t i = msub__names_find(n, msub_peer_id_bytes(&name));
  if (i == MSUB__NONE || n->names[i].sub == MSUB__NONE) return;
  msub__names_peer *p = msub__names_peer_of(n, peer_id, true);
  if (p) announced(n, n->subs[n->names[i].sub], p);
}

void msub_names_disconnected(msub_names *n, msub_bytes peer_id) {
  msub__names_peer *p = msub__names_peer_of(n, peer_id, false);
  if (!p) return;
  for (uint32_t i = n->n_tasks; i-- > 0;) {
    msub__names_task *t = n->tasks[i];
    if (t->peer != p) continue;
    if (t->state == MSUB__TASK_ANSWERED) { /* it counts all the same */
      unindex(t);
      t->peer = NULL;
      continue;
    }
    if (t->state == MSUB__TASK_RUNS) {
      msub_fetch_cancel(n->o.fetch, t->token);
      n->count.fetch_failed++;
      n->count.fetching--;
      n->running--;
    }
    task_free(t);
  }
  if (!msub__list_empty(&n->ready)) msub__names_soon(n, 0);
  if (p->n_met) msub__met_forget(n, p);
  msub__list_remove(&p->in_ready);
  (void)msub__table_remove(&n->by_peer, p->hash, p->index);
  msub__names_peer *last = n->peers[--n->n_peers];
  if (last != p) {
    (void)msub__table_update(&n->by_peer, last->hash, last->index, p->index);
    last->index = p->index;
    n->peers[last->index] = last;
  }
  msub__free(&n->mem, p->early, n->o.fetches_early * sizeof *p->early);
  msub__free(&n->mem, p, sizeof *p);
}

/* ---- answers ---- */

static void answered(void *ud, int result, msub_bytes value) {
  msub__names_task *t = ud;
  msub_names *n = t->n;
  n->running--;
  n->count.fetching--;
  if (t->peer) {
    t->peer->running--;
    if (!msub__list_empty(&t->peer->waiting)) ready(n, t->peer);
  }
  t->state = MSUB__TASK_ANSWERED;
  t->result = result;
  /* One byte more than a record may have says as much as all of them. */
  size_t size = value.n > MSUB_IPNS_RECORD_MAX ? MSUB_IPNS_RECORD_MAX + 1 : value.n;
  if (result == MSUB_OK && size) {
    t->value = msub__alloc(&n->mem, size);
    if (t->value) {
      memcpy(t->value, value.p, size);
      t->value_n = t->value_cap = (uint32_t)size;
    } else {
      t->result = MSUB_ERR_NOMEM;
    }
  }
  msub__list_push(&n->answers, &t->in_queue);
  msub__names_soon(n, 0);
}

static void remember_early(msub__names_task *t) {
  msub_names *n = t->n;
  msub__names_peer *p = t->peer;
  if (!p || !t->early) return;
  if (!p->early) p->early = msub__zalloc(&n->mem, n->o.fetches_early, sizeof *p->early);
  if (p->early && p->n_early < n->o.fetches_early) p->early[p->n_early++] = (msub__names_early){ t->name, t->gen };
}

static void went_mute(msub__names_peer *p) {
  if (!p) return;
  p->mute = true;
  for (msub__node *x; (x = msub__list_first(&p->waiting));) task_free(MSUB__OF(x, msub__names_task, in_peer));
}

static void judge(msub__names_task *t, const msub_now *now) {
  msub_names *n = t->n;
  msub_peer_id from = t->peer ? t->peer->id : (msub_peer_id){ 0 };
  if (t->result == MSUB_ERR_NOTFOUND) n->count.fetched_none++;
  else if (t->result != MSUB_OK) n->count.fetch_failed++;
  if (t->result == MSUB_ERR_UNSUPPORTED) went_mute(t->peer);
  if (t->result != MSUB_OK || !msub__name_is(n, t->name, t->gen)) return;
  if (t->value_n == 0) { /* stock peers take it for nothing */
    n->count.fetched_none++;
    return;
  }
  msub_ipns_fault fault = MSUB_IPNS_OK;
  uint32_t sub = n->names[t->name].sub;
  int rc = msub__names_take(n, t->name, (msub_bytes){ t->value, t->value_n }, MSUB_LWW_FETCHED, msub_peer_id_bytes(&from), sub != MSUB__NONE, 0, now, &fault);
  if (rc == MSUB_OK) n->count.fetched++;
  else if (rc == MSUB_ERR_MALFORMED) n->count.fetched_invalid++;
  else if (rc == MSUB_ERR_TIMEOUT) n->count.fetched_expired++;
  else n->count.fetched_same++;
  if (rc == MSUB_OK || rc == MSUB_ERR_MISMATCH) remember_early(t);
  if (rc == MSUB_ERR_MALFORMED && sub != MSUB__NONE) msub__resolves_invalid(n->subs[sub], fault);
  if (t->opened && (rc == MSUB_OK || rc == MSUB_ERR_MISMATCH)) msub__keep_opened(n, t->name, msub_peer_id_bytes(&from), now);
}

/* A name that was met, and nothing came of it so far. */
static void leave_met(msub__names_task *t, const msub_now *now) {
  msub_names *n = t->n;
  if (!t->opened || !msub__name_is(n, t->name, t->gen)) return;
  const msub__name *e = &n->names[t->name];
  if (e->record_n || e->flags || e->sub != MSUB__NONE) return;
  if (t->peer && t->result == MSUB_ERR_NOTFOUND) msub__met_later(n, t->peer, msub__name_id(e), (uint8_t)(t->tries + 1), now);
  msub__names_drop(n, t->name, now);
}

/* What it announced since, it may answer now: it had no record when it was asked, or did not get to it. */
static void ask_again(const msub__names_task *t) {
  msub_names *n = t->n;
  if (t->again && t->peer && t->value_n == 0 && msub__name_is(n, t->name, t->gen) && n->names[t->name].sub != MSUB__NONE) msub__names_ask(n, t->peer, t->name, false, false);
}

/* ---- the turn ---- */

/* Whether the first that waits gets a place at the peer, and one of all. A resolve is not to wait for a round trip of names that are fetched because they are followed: a peer
 * that comes back is asked for all of those. */
typedef enum places { NONE_OF_PEER, NONE_OF_ALL, FREE } places;
static places place_for(const msub_names *n, const msub__names_peer *p, const msub__names_task *t) {
  uint32_t sub = msub__name_is(n, t->name, t->gen) ? n->names[t->name].sub : MSUB__NONE;
  unsigned left = sub != MSUB__NONE && !msub__list_empty(&n->subs[sub]->resolves) ? 0 : 1;
  unsigned all = n->o.fetches, of_peer = n->o.fetches_of_peer;
  if (p->running >= (of_peer > left ? of_peer - left : 1)) return NONE_OF_PEER;
  return n->running < (all > left ? all - left : 1) ? FREE : NONE_OF_ALL;
}

/* true: it comes again when somebody else's place is free; false: with its next answer, or nothing waits. */
static bool start(msub_names *n, msub__names_peer *p, const msub_now *now) {
  msub__node *w;
  while ((w = msub__list_first(&p->waiting))) {
    msub__names_task *t = MSUB__OF(w, msub__names_task, in_peer);
    places is = place_for(n, p, t);
    if (is != FREE) return is == NONE_OF_ALL;
    uint8_t key[MSUB_IPNS_KEY_MAX];
    msub__list_remove(&t->in_peer);
    if (!msub__name_is(n, t->name, t->gen)) {
      task_free(t);
      continue;
    }
    msub__name *e = &n->names[t->name];
    size_t key_n = msub_ipns_key(msub__name_id(e), key);
    t->state = MSUB__TASK_RUNS;
    int rc = msub_fetch_get(n->o.fetch, msub_peer_id_bytes(&p->id), (msub_bytes){ key, key_n }, msub__deadline(now->mono_ns, n->o.fetch_ns), answered, t, &t->token);
    if (rc != MSUB_OK) {
      n->count.fetch_failed++;
      task_free(t);
      continue;
    }
    if (e->sub != MSUB__NONE) n->subs[e->sub]->asked++;
    n->running++;
    n->count.fetching++;
    p->running++;
  }
  return false;
}

void msub__fetch_turn(msub_names *n, const msub_now *now) {
  msub__node *a;
  for (unsigned i = 0; i < MSUB__NAMES_STEPS && (a = msub__list_first(&n->answers)); i++) {
    msub__names_task *t = MSUB__OF(a, msub__names_task, in_queue);
    msub__list_remove(&t->in_queue);
    judge(t, now);
    leave_met(t, now);
    unindex(t);
    ask_again(t);
    t->peer = NULL;
    task_free(t);
  }
  if (n->fresh) {
    n->fresh = false;
    for (uint32_t i = 0; i < n->n_peers; i++) {
      if (!n->peers[i]->fresh) continue;
      n->peers[i]->fresh = false;
      ask_early(n, n->peers[i], now->wall_ns);
    }
  }
  /* Each peer in its turn. */
  msub__node round;
  msub__list_insert(&n->ready, &round);
  msub__list_remove(&n->ready);
  for (msub__node *x; (x = msub__list_first(&round));) {
    msub__names_peer *p = MSUB__OF(x, msub__names_peer, in_ready);
    msub__list_remove(x);
    if (start(n, p, now)) msub__list_push(&n->ready, x);
  }
  if (!msub__list_empty(&n->answers)) msub__names_soon(n, 0);
}

/* ---- serving ---- */

/* Keys under "/ipns/" only; whatever is held, subscribed or not, as long as it is valid. */
int msub__fetch_lookup(void *ud, msub_bytes peer_id, msub_bytes key, msub_bytes *value) {
  msub_names *n = ud;
  msub_peer_id name;
  msub_names_view v;
  (void)peer_id;
  n->count.served_none++;
  if (msub_ipns_key_parse(key, &name) != MSUB_OK) return MSUB_ERR_NOTFOUND;
  uint32_t i = msub__names_find(n, msub_peer_id_bytes(&name));
  int64_t wall = msub_engine_now(n->o.engine)->wall_ns;
  if (i == MSUB__NONE || !msub__names_view(n, i, wall > n->last.wall_ns ? wall : n->last.wall_ns, &v) || v.expired) return MSUB_ERR_NOTFOUND;
  *value = v.record.bytes;
  n->count.served_none--;
  n->count.served++;
  return MSUB_OK;
}

void msub__fetch_fini(msub_names *n) {
  while (n->n_peers) {
    msub__names_peer *p = n->peers[n->n_peers - 1];
    for (uint32_t i = n->n_tasks; i-- > 0;) {
      msub__names_task *t = n->tasks[i];
      if (t->peer != p) continue;
      if (t->state == MSUB__TASK_RUNS) msub_fetch_cancel(n->o.fetch, t->token);
      task_free(t);
    }
    msub_names_disconnected(n, msub_peer_id_bytes(&p->id));
  }
  for (msub__node *x; (x = msub__list_first(&n->answers));) task_free(MSUB__OF(x, msub__names_task, in_queue));
  msub__free(&n->mem, n->peers, n->cap_peers * sizeof *n->peers);
  msub__free(&n->mem, n->tasks, n->cap_tasks * sizeof *n->tasks);
  msub__table_fini(&n->by_peer, &n->mem);
  msub__table_fini(&n->by_task, &n->mem);
}
