/* lww/ipns/names_keep.c: what outlives a restart beside the records: which names are followed and kept, and for whom.
 *
 *   prefix n/ id   ─▶ 1 │ flags │ lifetime, 4 bytes │ peer id of who brought it, or nothing
 *   prefix r/ …       the registers' */
#include "lww/ipns/names_state.h"
#include <string.h>

enum { VERSION = 1, HEAD = 6, MET_MAX = 4096, MET_OF_PEER = 256, MET_TRIES = 4 };
#define MET_AGAIN_NS (2 * MSUB__S)

/* ---- rows ---- */

static msub_bytes key_of(const msub_names *n, msub_bytes id, uint8_t out[MSUB_STORE_KEY_MAX]) {
  memcpy(out, n->prefix, n->prefix_n);
  memcpy(out + n->prefix_n, id.p, id.n);
  return (msub_bytes){ out, n->prefix_n + id.n };
}

int msub__names_row(msub_names *n, uint32_t i, uint64_t *token) {
  const msub__name *e = &n->names[i];
  uint8_t key[MSUB_STORE_KEY_MAX], value[HEAD + MSUB_PEER_ID_MAX] = { VERSION, e->flags & MSUB__NAMES_FLAGS_STORED };
  size_t value_n = HEAD;
  *token = 0;
  if (!n->o.store.ops) return MSUB_OK;
  for (unsigned k = 0; k < 4; k++) value[2 + k] = (uint8_t)(e->lifetime_s >> (24 - 8 * k));
  if (e->giver != MSUB__NONE) {
    const msub_peer_id *by = &n->givers[e->giver].id;
    memcpy(value + HEAD, by->bytes, by->n);
    value_n += by->n;
  }
  msub_store_op op = { (e->flags & MSUB__NAMES_FLAGS_STORED) != 0, key_of(n, msub__name_id(e), key), { value, value_n } };
  if (!op.put) op.value = (msub_bytes){ NULL, 0 };
  uint64_t t = msub__names_token(n);
  int rc = n->o.store.ops->submit(n->o.store.s, &op, 1, (msub_token){ t });
  if (rc == MSUB_OK) *token = t;
  else n->count.store_failed++;
  return rc;
}

static void count_flags(msub_names *n, unsigned flags, uint64_t by) {
  if (flags & MSUB_NAMES_FOLLOWED) n->count.followed += by;
  if (flags & MSUB_NAMES_KEPT) n->count.kept += by;
  if (flags & MSUB_NAMES_KEPT_OPEN) n->count.kept_open += by;
}

int msub__names_mark(msub_names *n, uint32_t i, unsigned set, unsigned clear, uint64_t *token) {
  msub__name *e = &n->names[i];
  uint8_t before = e->flags;
  *token = 0;
  unsigned flags = (before | set) & ~clear;
  /* What the program wants counts in nobody's quota. */
  if (flags & (MSUB_NAMES_OWNED | MSUB_NAMES_FOLLOWED | MSUB_NAMES_KEPT)) flags &= ~(unsigned)MSUB_NAMES_KEPT_OPEN;
  if (flags == before) return MSUB_OK;
  msub__names_unlist(n, i);
  e->flags = (uint8_t)flags;
  int rc = ((flags ^ before) & MSUB__NAMES_FLAGS_STORED) ? msub__names_row(n, i, token) : MSUB_OK;
  if (rc != MSUB_OK) e->flags = before;
  else if (!(flags & MSUB_NAMES_KEPT_OPEN)) msub__giver_leave(n, i);
  count_flags(n, before, UINT64_MAX);
  count_flags(n, e->flags, 1);
  msub__names_list_in(n, i);
  return rc;
}

/* ---- givers ---- */

static bool same_giver(const void *ctx, uint32_t i, const void *key) {
  const msub_names *n = ctx;
  return msub_bytes_eq(msub_peer_id_bytes(&n->givers[i].id), *(const msub_bytes *)key);
}

static uint32_t giver_of(msub_names *n, msub_bytes id) {
  uint64_t hash = msub__hash(&n->hashkey, id);
  uint32_t g = msub__table_find(&n->by_giver, hash, same_giver, n, &id);
  if (g != MSUB__NONE) return g;
  if (n->free_giver == MSUB__NONE && n->n_givers == n->cap_givers) {
    uint32_t cap = n->cap_givers ? n->cap_givers * 2 : 8;
    msub__giver *p = msub__realloc(&n->mem, n->givers, n->cap_givers * sizeof *p, cap * sizeof *p);
    if (!p) return MSUB__NONE;
    n->givers = p;
    n->cap_givers = cap;
  }
  g = n->free_giver != MSUB__NONE ? n->free_giver : n->n_givers;
  if (msub__table_insert(&n->by_giver, &n->mem, hash, g) != MSUB_OK) return MSUB__NONE;
  if (g == n->n_givers) n->n_givers++;
  else n->free_giver = n->givers[g].names.oldest;
  n->givers[g] = (msub__giver){ .id = msub_peer_id_of(id), .names = { MSUB__NONE, MSUB__NONE, 0 } };
  return g;
}

static void giver_settle(msub_names *n, uint32_t g) {
  msub__giver *v = &n->givers[g];
  if (v->names.n) return;
  (void)msub__table_remove(&n->by_giver, msub__hash(&n->hashkey, msub_peer_id_bytes(&v->id)), g);
  v->names.oldest = n->free_giver;
  n->free_giver = g;
}

void msub__giver_leave(msub_names *n, uint32_t i) {
  msub__name *e = &n->names[i];
  uint32_t g = e->giver;
  if (g == MSUB__NONE) return;
  msub__names_unlist(n, i);
  n->givers[g].bytes -= e->record_n;
  e->giver = MSUB__NONE;
  giver_settle(n, g);
}

void msub__giver_resize(msub_names *n, uint32_t i, uint32_t bytes) {
  const msub__name *e = &n->names[i];
  if (e->giver != MSUB__NONE) n->givers[e->giver].bytes += (size_t)bytes - e->record_n;
}

static void giver_join(msub_names *n, uint32_t i, uint32_t g) {
  msub__name *e = &n->names[i];
  msub__names_unlist(n, i);
  e->giver = g;
  n->givers[g].bytes += e->record_n;
  msub__names_list_in(n, i);
}

/* Somebody may wait for it: then it stays as a name that is only looked for. */
static void unkeep_open(msub_names *n, uint32_t i, const msub_now *now) {
  const msub__name *e = &n->names[i];
  uint64_t token;
  n->count.evicted++;
  if (e->sub == MSUB__NONE || msub__list_empty(&n->subs[e->sub]->resolves)) {
    msub__names_drop(n, i, now);
    return;
  }
  (void)msub__names_mark(n, i, 0, MSUB_NAMES_KEPT_OPEN, &token);
}

/* The oldest of the same peer make room, nobody else's. */
static bool within_quota(msub_names *n, uint32_t g, size_t bytes, const msub_now *now) {
  if (bytes > n->o.bytes_of_peer) return false;
  /* One that somebody waits for stays where it is when the store does not take it out, so each is tried once. */
  for (size_t tries = n->givers[g].names.n;; tries--) {
    msub__giver *v = &n->givers[g];
    if (v->names.n < n->o.names_of_peer && v->bytes + bytes <= n->o.bytes_of_peer) return true;
    /* The giver must not go with its last name while we use it. */
    if (v->names.n == 1 || tries == 0) return false;
    unkeep_open(n, v->names.oldest, now);
  }
}

void msub__keep_opened(msub_names *n, uint32_t i, msub_bytes peer, const msub_now *now) {
  msub__name *e = &n->names[i];
  uint64_t token;
  if (e->flags || !e->record_n || peer.n == 0 || !n->open) return;
  uint32_t g = giver_of(n, peer);
  if (g == MSUB__NONE || !within_quota(n, g, e->record_n, now)) {
    if (g != MSUB__NONE) giver_settle(n, g);
    n->count.open_refused++;
    return;
  }
  giver_join(n, i, g);
  if (msub__names_mark(n, i, MSUB_NAMES_KEPT_OPEN, 0, &token) != MSUB_OK) {
    msub__giver_leave(n, i);
    msub__names_list_in(n, i);
    n->count.open_refused++;
    return;
  }
  n->count.opened++;
  (void)msub__sub_open(n, i, now);
}

/* ---- names that are met ---- */

static void met_free(msub_names *n, msub__names_met *m) {
  msub__list_remove(&m->node);
  m->peer->n_met--;
  n->n_met--;
  msub__free(&n->mem, m, sizeof *m);
}
static void forget(msub_names *n, msub__node *list, const msub__names_peer *p) {
  for (msub__node *x = list->next, *next; x != list; x = next) {
    next = x->next;
    msub__names_met *m = MSUB__OF(x, msub__names_met, node);
    if (!p || m->peer == p) met_free(n, m);
  }
}
void msub__met_forget(msub_names *n, const msub__names_peer *p) {
  forget(n, &n->met, p);
  forget(n, &n->met_later, p);
}

static msub__names_met *met_new(msub_names *n, msub__names_peer *p, const msub_peer_id *name) {
  msub__names_met *m = p && p->n_met < MET_OF_PEER && n->n_met < MET_MAX ? msub__zalloc(&n->mem, 1, sizeof *m) : NULL;
  if (!m) {
    n->count.open_refused++;
    return NULL;
  }
  m->peer = p;
  m->name = *name;
  p->n_met++;
  n->n_met++;
  return m;
}

void msub__met_later(msub_names *n, msub__names_peer *p, msub_bytes name, uint8_t tries, const msub_now *now) {
  const msub_peer_id id = msub_peer_id_of(name);
  msub__names_met *m = tries < MET_TRIES ? met_new(n, p, &id) : NULL;
  if (!m) return;
  m->tries = tries;
  m->at = msub__deadline(now->mono_ns, MET_AGAIN_NS);
  msub__list_push(&n->met_later, &m->node);
  msub__names_soon(n, m->at);
}

bool msub_names_heard(void *names, msub_bytes topic, msub_peer peer) {
  msub_names *n = names;
  msub_peer_id name;
  if (!n->open || peer.v == 0 || msub_ipns_topic_parse(topic, &name) != MSUB_OK) return true;
  uint32_t i = msub__names_find(n, msub_peer_id_bytes(&name));
  if (i != MSUB__NONE && (n->names[i].flags || n->names[i].sub != MSUB__NONE)) return true;
  msub__names_peer *p = msub__names_peer_of(n, msub_peer_bytes(msub_engine_shared(n->o.engine), peer), true);
  msub__names_met *m = met_new(n, p, &name);
  if (!m) return true;
  msub__list_push(&n->met, &m->node);
  msub__names_soon(n, 0);
  return true;
}

void msub_names_keep_open(msub_names *n, bool on) { n->open = on; }

static void meet(msub_names *n, const msub__names_met *m, const msub_now *now) {
  uint32_t i = msub__names_find(n, msub_peer_id_bytes(&m->name));
  /* Names that somebody asked for are not put out for it, and there is room for more of them, however many peers come. */
  if (n->count.kept_open >= n->o.max_names - n->o.max_names / 4 || (i == MSUB__NONE && n->count.names >= n->o.max_names)) {
    n->count.open_refused++;
    return;
  }
  if (i == MSUB__NONE && msub__names_add(n, msub_peer_id_bytes(&m->name), now, &i) != MSUB_OK) {
    n->count.open_refused++;
    return;
  }
  msub__names_ask_met(n, m->peer, i, m->tries);
}

/* Those whose record ended long ago; one that is only a little late may be renewed. */
static void sweep(msub_names *n, const msub_now *now) {
  for (unsigned k = 0; k < MSUB__NAMES_SWEEP && n->n_names; k++) {
    uint32_t i = n->swept++ % n->n_names;
    const msub__name *e = &n->names[i];
    msub_lww_view v;
    char text[MSUB_IPNS_TOPIC_TEXT];
    if (!e->id_n || e->flags != MSUB_NAMES_KEPT_OPEN) continue;
    if (msub_lww_get(n->lww, msub_str(msub_ipns_topic(msub__name_id(e), text)), &v) != MSUB_OK || v.expires_ns >= now->wall_ns) continue;
    if ((uint64_t)now->wall_ns - (uint64_t)v.expires_ns > n->o.idle_ns) unkeep_open(n, i, now);
  }
  while (n->loose.oldest != MSUB__NONE) {
    const msub__name *e = &n->names[n->loose.oldest];
    if (e->sub != MSUB__NONE || now->wall_ns < e->used_ns || (uint64_t)(now->wall_ns - e->used_ns) <= n->o.idle_ns) break;
    n->count.evicted++;
    msub__names_drop(n, n->loose.oldest, now);
  }
}

void msub__keep_turn(msub_names *n, const msub_now *now) {
  msub__node *x;
  while ((x = msub__list_first(&n->met_later)) && msub__passed(MSUB__OF(x, msub__names_met, node)->at, now->mono_ns)) {
    msub__list_remove(x);
    msub__list_push(&n->met, x);
  }
  if (x) msub__names_soon(n, MSUB__OF(x, msub__names_met, node)->at);
  for (unsigned k = 0; k < MSUB__NAMES_STEPS && (x = msub__list_first(&n->met)); k++) {
    msub__names_met *m = MSUB__OF(x, msub__names_met, node);
    meet(n, m, now);
    met_free(n, m);
  }
  if (msub__passed(n->sweep_at, now->mono_ns)) {
    n->sweep_at = msub__deadline(now->mono_ns, n->count.kept_open ? MSUB__S : 60 * MSUB__S);
    sweep(n, now);
  }
  if (n->n_names) msub__names_soon(n, n->sweep_at);
  if (!msub__list_empty(&n->met)) msub__names_soon(n, 0);
}

void msub__keep_fini(msub_names *n) {
  msub__met_forget(n, NULL);
  msub__free(&n->mem, n->givers, n->cap_givers * sizeof *n->givers);
  msub__table_fini(&n->by_giver, &n->mem);
}

/* ---- what waits for the store ---- */

int msub__pending_new(msub_names *n, uint32_t i, msub_names_done done, void *ud, msub__names_pending **out) {
  msub__names_pending *p = msub__zalloc(&n->mem, 1, sizeof *p);
  if (!p) return MSUB_ERR_NOMEM;
  p->name = i;
  p->gen = n->names[i].gen;
  p->done = done;
  p->ud = ud;
  msub__list_push(&n->pending, &p->node);
  *out = p;
  return MSUB_OK;
}

void msub__pending_drop(msub_names *n, msub__names_pending *p) {
  msub__list_remove(&p->node);
  msub__free(&n->mem, p->value, p->value_n);
  msub__free(&n->mem, p, sizeof *p);
}

bool msub__pending_told(msub_names *n, uint64_t token, int result) {
  for (msub__node *x = n->pending.next; x != &n->pending; x = x->next) {
    msub__names_pending *p = MSUB__OF(x, msub__names_pending, node);
    if (p->row != token && p->record != token) continue;
    if (p->row == token) p->row = 0;
    else p->record = 0;
    if (result != MSUB_OK && p->result == MSUB_OK) p->result = result;
    if (result != MSUB_OK) n->count.store_failed++;
    msub__names_soon(n, 0);
    return true;
  }
  return false;
}

void msub__names_stored(void *names, msub_bytes topic, msub_token token, int result) {
  (void)topic;
  (void)msub__pending_told(names, token.v, result);
}

void msub__pending_turn(msub_names *n, const msub_now *now) {
  msub__node round;
  msub__list_insert(&n->pending, &round);
  msub__list_remove(&n->pending);
  for (msub__node *x; (x = msub__list_first(&round));) {
    msub__names_pending *p = MSUB__OF(x, msub__names_pending, node);
    msub_names_view v;
    msub__list_remove(x);
    if (p->row || p->record) {
      msub__list_push(&n->pending, x);
      continue;
    }
    bool there = p->shows && p->result == MSUB_OK && msub__name_is(n, p->name, p->gen) && msub__names_view(n, p->name, now->wall_ns, &v);
    if (p->again) msub__own_told(n, p, now);
    else if (p->done) p->done(p->ud, p->result, there ? &v : NULL);
    msub__pending_drop(n, p);
  }
}

/* ---- follow, keep ---- */

/* One that became nothing by it goes. */
static int wish(msub_names *n, msub_bytes name, unsigned set, unsigned clear, const msub_now *now, msub_names_done done, void *ud) {
  uint32_t i = msub__names_find(n, name);
  msub__names_pending *p;
  uint64_t token = 0;
  if (i == MSUB__NONE && clear) return MSUB_ERR_NOTFOUND;
  bool is_new = i == MSUB__NONE;
  int rc = is_new ? msub__names_add(n, name, now, &i) : MSUB_OK;
  if (rc != MSUB_OK) return rc;
  if (clear && !(n->names[i].flags & clear)) return MSUB_ERR_NOTFOUND;
  if (set == MSUB_NAMES_FOLLOWED && !(n->names[i].flags & set) && n->count.followed >= n->o.max_subscribed) rc = MSUB_ERR_LIMIT;
  if (rc == MSUB_OK) rc = msub__pending_new(n, i, done, ud, &p);
  if (rc == MSUB_OK && (rc = msub__names_mark(n, i, set, clear, &token)) != MSUB_OK) msub__pending_drop(n, p);
  if (rc == MSUB_OK && set == MSUB_NAMES_FOLLOWED && (rc = msub__sub_open(n, i, now)) != MSUB_OK) {
    msub__pending_drop(n, p);
    (void)msub__names_mark(n, i, 0, set, &token);
  }
  if (rc != MSUB_OK) {
    if (is_new) msub__names_drop(n, i, now);
    return rc;
  }
  p->row = token;
  if (set == MSUB_NAMES_KEPT) (void)msub__sub_open(n, i, now);
  msub__names_use(n, i, now);
  msub__names_soon(n, 0);
  n->subs_at = 0;
  return MSUB_OK;
}

int msub_names_follow(msub_names *n, msub_bytes name, const msub_now *now, msub_names_done done, void *ud) {
  return wish(n, name, MSUB_NAMES_FOLLOWED, 0, now, done, ud);
}
int msub_names_unfollow(msub_names *n, msub_bytes name, const msub_now *now, msub_names_done done, void *ud) {
  return wish(n, name, 0, MSUB_NAMES_FOLLOWED, now, done, ud);
}
int msub_names_keep(msub_names *n, msub_bytes name, const msub_now *now, msub_names_done done, void *ud) {
  return wish(n, name, MSUB_NAMES_KEPT, 0, now, done, ud);
}
int msub_names_unkeep(msub_names *n, msub_bytes name, const msub_now *now, msub_names_done done, void *ud) {
  return wish(n, name, 0, MSUB_NAMES_KEPT, now, done, ud);
}

/* ---- after a restart ---- */

typedef struct loading { msub_names *n; const msub_now *now; int result; } loading;

static bool load_row(void *ud, msub_bytes key, msub_bytes value) {
  loading *l = ud;
  msub_names *n = l->n;
  uint32_t i;
  msub_bytes id = { key.p + n->prefix_n, key.n - n->prefix_n };
  if (value.n >= 1 && value.p[0] > VERSION) {
    l->result = MSUB_ERR_MALFORMED;
    return false;
  }
  if (value.n < HEAD || value.n > HEAD + MSUB_PEER_ID_MAX || value.p[0] != VERSION) return true; /* damaged: not ours to end the program for */
  int rc = msub__names_add(n, id, l->now, &i);
  if (rc == MSUB_ERR_NOMEM) l->result = rc;
  if (rc != MSUB_OK) return l->result == MSUB_OK;
  msub__name *e = &n->names[i];
  msub__names_unlist(n, i);
  e->flags = value.p[1] & MSUB__NAMES_FLAGS_STORED;
  if (e->flags & (MSUB_NAMES_FOLLOWED | MSUB_NAMES_KEPT)) e->flags &= (uint8_t)~MSUB_NAMES_KEPT_OPEN; /* as msub__names_mark() has it */
  for (unsigned k = 0; k < 4; k++) e->lifetime_s = e->lifetime_s << 8 | value.p[2 + k];
  count_flags(n, e->flags, 1);
  uint32_t g = value.n > HEAD && e->flags == MSUB_NAMES_KEPT_OPEN ? giver_of(n, (msub_bytes){ value.p + HEAD, value.n - HEAD }) : MSUB__NONE;
  if (g != MSUB__NONE) giver_join(n, i, g);
  else msub__names_list_in(n, i);
  return true;
}

static bool load_record(void *ud, msub_bytes topic, const msub_lww_view *v) {
  loading *l = ud;
  msub_names *n = l->n;
  msub_peer_id name;
  uint32_t i;
  if (msub_ipns_topic_parse(topic, &name) != MSUB_OK) return true;
  int rc = msub__names_add(n, msub_peer_id_bytes(&name), l->now, &i);
  if (rc == MSUB_ERR_NOMEM) l->result = rc;
  if (rc != MSUB_OK) return l->result == MSUB_OK;
  msub__giver_resize(n, i, (uint32_t)v->record.n);
  n->names[i].record_n = (uint32_t)v->record.n;
  return true;
}

int msub__names_load(msub_names *n, const msub_now *now) {
  loading l = { n, now, MSUB_OK };
  int rc = MSUB_OK;
  n->loading = true;
  if (n->o.store.ops) rc = n->o.store.ops->iterate(n->o.store.s, (msub_bytes){ (const uint8_t *)n->prefix, n->prefix_n }, load_row, &l);
  if (rc == MSUB_OK && l.result == MSUB_OK) rc = msub_lww_iterate(n->lww, load_record, &l);
  n->loading = false;
  if (rc == MSUB_OK) rc = l.result;
  if (rc != MSUB_OK) return rc;
  /* Followed ones first: kept ones only take what is left. */
  static const unsigned order[] = { MSUB_NAMES_FOLLOWED, MSUB_NAMES_KEPT, MSUB_NAMES_KEPT_OPEN };
  for (unsigned k = 0; k < 3; k++) {
    for (uint32_t i = 0; i < n->n_names && n->n_subs < n->o.max_subscribed; i++) {
      if (!n->names[i].id_n || !(n->names[i].flags & order[k])) continue;
      rc = msub__sub_open(n, i, now);
      if (rc == MSUB_ERR_NOMEM) return rc;
    }
  }
  return MSUB_OK;
}
