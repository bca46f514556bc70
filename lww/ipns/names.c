/* lww/ipns/names.c: the names that are known, and the object around them. */
#include "lww/ipns/names_state.h"
#include <string.h>

static const char *const sources[] = {
#define MSUB_X(name, word) #word,
  MSUB_NAMES_SOURCE_MAP(MSUB_X)
#undef MSUB_X
};
static const char *const alarms[] = {
#define MSUB_X(name, text) text,
  MSUB_NAMES_ALARM_MAP(MSUB_X)
#undef MSUB_X
};
#define COUNT(a) (sizeof(a) / sizeof *(a))
const char *msub_names_source_name(int s) { return s >= 0 && (size_t)s < COUNT(sources) ? sources[s] : "unknown"; }
const char *msub_names_alarm_text(int a) { return a >= 0 && (size_t)a < COUNT(alarms) ? alarms[a] : "unknown"; }

/* ---- lists ---- */

static msub__names_list *list_of(msub_names *n, const msub__name *e) {
  if (e->giver != MSUB__NONE) return &n->givers[e->giver].names;
  return e->flags ? NULL : &n->loose;
}
void msub__names_list_in(msub_names *n, uint32_t i) {
  msub__name *e = &n->names[i];
  msub__names_list *l = list_of(n, e);
  if (!l || e->listed) return;
  e->listed = true;
  e->older = l->newest;
  e->newer = MSUB__NONE;
  *(l->newest == MSUB__NONE ? &l->oldest : &n->names[l->newest].newer) = i;
  l->newest = i;
  l->n++;
}
void msub__names_unlist(msub_names *n, uint32_t i) {
  msub__name *e = &n->names[i];
  if (!e->listed) return;
  msub__names_list *l = list_of(n, e);
  *(e->older == MSUB__NONE ? &l->oldest : &n->names[e->older].newer) = e->newer;
  *(e->newer == MSUB__NONE ? &l->newest : &n->names[e->newer].older) = e->older;
  e->older = e->newer = MSUB__NONE;
  e->listed = false;
  l->n--;
}

/* ---- names ---- */

static bool same(const void *ctx, uint32_t i, const void *key) {
  const msub_names *n = ctx;
  return msub_bytes_eq(msub__name_id(&n->names[i]), *(const msub_bytes *)key);
}
uint32_t msub__names_find(const msub_names *n, msub_bytes id) {
  return msub__table_find(&n->by_id, msub__hash(&n->hashkey, id), same, n, &id);
}

static bool room(msub_names *n) {
  if (n->free_name != MSUB__NONE || n->n_names < n->cap_names) return true;
  uint32_t cap = n->cap_names ? n->cap_names + n->cap_names / 2 : 16;
  if (cap > n->o.max_names) cap = n->o.max_names;
  if (n->cap_dirty < cap) {
    uint32_t *dirty = msub__realloc(&n->mem, n->dirty, n->cap_dirty * sizeof *dirty, cap * sizeof *dirty);
    if (!dirty) return false;
    n->dirty = dirty;
    n->cap_dirty = cap;
  }
  msub__name *p = msub__realloc(&n->mem, n->names, n->cap_names * sizeof *p, cap * sizeof *p);
  if (!p) return false;
  n->names = p;
  n->cap_names = cap;
  return true;
}

int msub__names_add(msub_names *n, msub_bytes id, const msub_now *now, uint32_t *out) {
  *out = MSUB__NONE;
  if (msub_peer_id_check(id) != MSUB_OK || id.n > MSUB__NAMES_ID) return MSUB_ERR_MALFORMED;
  uint32_t i = msub__names_find(n, id);
  if (i == MSUB__NONE) {
    /* The oldest that nobody wants makes room; not one that is looked for now. */
    if (n->count.names >= n->o.max_names) {
      if (n->loading) return MSUB_ERR_LIMIT;
      uint32_t old = n->loose.oldest;
      while (old != MSUB__NONE && n->names[old].sub != MSUB__NONE) old = n->names[old].newer;
      if (old == MSUB__NONE) return MSUB_ERR_LIMIT;
      n->count.evicted++;
      msub__names_drop(n, old, now);
    }
    if (!room(n)) return MSUB_ERR_NOMEM;
    i = n->free_name != MSUB__NONE ? n->free_name : n->n_names;
    if (msub__table_insert(&n->by_id, &n->mem, msub__hash(&n->hashkey, id), i) != MSUB_OK) return MSUB_ERR_NOMEM;
    msub__name *e = &n->names[i];
    uint32_t gen = 0;
    bool dirty = false; /* the slot may stand in the list still */
    if (i == n->n_names) {
      n->n_names++;
    } else {
      gen = e->gen + 1;
      dirty = e->dirty;
      n->free_name = e->older;
    }
    *e = (msub__name){ .id_n = (uint8_t)id.n, .dirty = dirty, .gen = gen, .sub = MSUB__NONE, .giver = MSUB__NONE, .older = MSUB__NONE, .newer = MSUB__NONE, .used_ns = now->wall_ns };
    memcpy(e->id, id.p, id.n);
    msub__names_list_in(n, i);
    n->count.names++;
  }
  *out = i;
  return MSUB_OK;
}

void msub__names_drop(msub_names *n, uint32_t i, const msub_now *now) {
  msub__name *e = &n->names[i];
  char topic[MSUB_IPNS_TOPIC_TEXT];
  uint64_t token;
  if (e->sub != MSUB__NONE) msub__sub_close(n->subs[e->sub], now);
  msub__names_unlist(n, i);
  msub__giver_leave(n, i);
  if (e->flags & MSUB__NAMES_FLAGS_STORED) {
    n->count.kept_open -= (e->flags & MSUB_NAMES_KEPT_OPEN) != 0;
    e->flags = 0;
    (void)msub__names_row(n, i, &token);
  }
  if (e->record_n) (void)msub_lww_forget(n->lww, msub_str(msub_ipns_topic(msub__name_id(e), topic)));
  (void)msub__table_remove(&n->by_id, msub__hash(&n->hashkey, msub__name_id(e)), i);
  e->id_n = 0;
  e->older = n->free_name;
  n->free_name = i;
  n->count.names--;
}

void msub__names_use(msub_names *n, uint32_t i, const msub_now *now) {
  msub__name *e = &n->names[i];
  e->used_ns = now->wall_ns;
  if (e->sub != MSUB__NONE) n->subs[e->sub]->used = now->mono_ns;
  if (e->giver != MSUB__NONE || n->loose.newest == i) return;
  msub__names_unlist(n, i);
  msub__names_list_in(n, i);
}

void msub__names_soon(msub_names *n, uint64_t at) {
  if (at < n->next) n->next = at;
}

uint64_t msub__names_token(msub_names *n) { return MSUB__NAMES_TOKEN | (++n->last_token & UINT32_MAX); }

/* ---- views ---- */

/* What the registers hold of it. */
static int record_of(msub_names *n, const msub__name *e, msub_lww_view *out) {
  char topic[MSUB_IPNS_TOPIC_TEXT];
  return msub_lww_get(n->lww, msub_str(msub_ipns_topic(msub__name_id(e), topic)), out);
}

bool msub__names_valid(msub_names *n, uint32_t i, int64_t wall_ns) {
  msub_lww_view v;
  return n->names[i].record_n && record_of(n, &n->names[i], &v) == MSUB_OK && v.expires_ns >= wall_ns;
}

static msub_names_source source_of(const msub_lww_view *v) {
  if (v->restored) return MSUB_NAMES_STORE;
  return v->source == MSUB_LWW_OWN ? MSUB_NAMES_OWN : v->source == MSUB_LWW_PUBSUB ? MSUB_NAMES_PUBSUB : v->source == MSUB_LWW_FETCHED ? MSUB_NAMES_FETCH : MSUB_NAMES_PUT;
}

bool msub__names_view(msub_names *n, uint32_t i, int64_t wall_ns, msub_names_view *out) {
  const msub__name *e = &n->names[i];
  msub_lww_view v;
  *out = (msub_names_view){ .name = msub__name_id(e), .flags = e->flags | (e->sub != MSUB__NONE ? (unsigned)MSUB_NAMES_SUBSCRIBED : 0) };
  if (!e->record_n || record_of(n, e, &v) != MSUB_OK || msub_ipns_read(v.record, &out->record) != MSUB_IPNS_OK) return false;
  out->has_record = true;
  out->source = source_of(&v);
  out->from = v.from;
  out->received_ns = v.received_ns;
  out->ends_ns = v.expires_ns;
  out->expired = v.expires_ns < wall_ns;
  out->durable = v.durable;
  return true;
}

int msub_names_get(msub_names *n, msub_bytes name, int64_t wall_ns, msub_names_view *out) {
  uint32_t i = msub__names_find(n, name);
  if (i != MSUB__NONE) return msub__names_view(n, i, wall_ns, out) ? MSUB_OK : MSUB_ERR_NOTFOUND;
  *out = (msub_names_view){ .name = name };
  return msub_peer_id_check(name) == MSUB_OK ? MSUB_ERR_NOTFOUND : MSUB_ERR_MALFORMED;
}

uint64_t msub_names_fresh_ns(const msub_names_view *v, int64_t wall_ns, uint64_t most_ns) {
  if (!v->has_record || v->ends_ns < wall_ns) return 0;
  uint64_t left = v->ends_ns == INT64_MAX ? UINT64_MAX : (uint64_t)v->ends_ns - (uint64_t)wall_ns;
  uint64_t ns = v->record.ttl_ns < left ? v->record.ttl_ns : left;
  return ns < most_ns ? ns : most_ns;
}

void msub_names_iterate(msub_names *n, unsigned flags, int64_t wall_ns, bool (*fn)(void *ud, const msub_names_view *v), void *ud) {
  for (uint32_t i = 0; i < n->n_names; i++) {
    const msub__name *e = &n->names[i];
    unsigned has = e->flags | (e->sub != MSUB__NONE ? (unsigned)MSUB_NAMES_SUBSCRIBED : 0);
    msub_names_view v;
    if (!e->id_n || (has & flags) != flags) continue;
    (void)msub__names_view(n, i, wall_ns, &v);
    if (!fn(ud, &v)) return;
  }
}

const msub_names_counts *msub_names_count(const msub_names *n) { return &n->count; }
msub_lww *msub_names_lww(msub_names *n) { return n->lww; }

/* ---- the object ---- */

#define HOUR (UINT64_C(3600) * MSUB__S)

void msub_names_opts_init(msub_names_opts *o) {
  *o = (msub_names_opts){ .size = sizeof *o,
                          .prefix = "ipns/",
                          .seed = 1,
                          .max_names = 100000,
                          .max_subscribed = 1000,
                          .max_resolving = 1024,
                          .fetches = 64,
                          .fetches_of_peer = 4,
                          .fetches_early = 64,
                          .fetches_waiting = 65536,
                          .fetch_ns = 10 * MSUB__S,
                          .rebroadcast_ns = 60 * MSUB__S,
                          .margin_ns = 5 * MSUB__S,
                          .idle_ns = 48 * HOUR,
                          .most_life_ns = 366 * 24 * HOUR,
                          .lifetime_ns = 48 * HOUR,
                          .republish_first_ns = 60 * MSUB__S,
                          .republish_ns = 4 * HOUR,
                          .republish_failed_ns = 300 * MSUB__S,
                          .names_of_peer = 1000,
                          .bytes_of_peer = (size_t)1 << 20 };
}

static bool within(uint64_t v, uint64_t least, uint64_t most) { return v >= least && v <= most; }

static bool sane(const msub_names_opts *o) {
  return o->size == sizeof *o && o->engine && o->fetch && o->prefix && within(strlen(o->prefix), 1, 64) && within(o->max_names, 1, 10000000) &&
         within(o->max_subscribed, 1, 10000) && within(o->max_resolving, 1, 65536) && within(o->fetches, 1, 1024) && within(o->fetches_of_peer, 1, 64) &&
         within(o->fetches_early, 1, 1024) && within(o->fetches_waiting, 1, 1048576) && o->fetch_ns > 0 && o->rebroadcast_ns >= MSUB__S && o->idle_ns > 0 &&
         o->most_life_ns > 0 && within(o->lifetime_ns, 1, MSUB__NAMES_LIFE_MAX_NS) && o->republish_first_ns > 0 && o->republish_ns > 0 && o->republish_failed_ns > 0 &&
         o->names_of_peer > 0 && o->bytes_of_peer > 0 && (!o->store.ops || o->store.ops->abi == MSUB_ABI);
}

/* The tables' keys: strangers choose names and topics. */
static void unpredictable(msub_names *n, uint8_t out[32]) {
  for (unsigned i = 0; i < 32; i++) out[i] = (uint8_t)msub__rng_u64(&n->rng);
}

static int registers(msub_names *n) {
  msub_lww_opts o;
  char prefix[72];
  msub_lww_opts_init(&o);
  unpredictable(n, o.entropy);
  o.mem = &n->mem;
  o.ops = n->o.rsa8192 ? &msub__ipns_lww_ops_8192 : &msub__ipns_lww_ops;
  o.type = n->o.rsa8192 ? &msub__ipns_bits_8192 : &msub__ipns_bits;
  o.engine = n->o.engine;
  o.router = n->o.router;
  o.store = n->o.store;
  size_t k = strlen(n->o.prefix);
  memcpy(prefix, n->o.prefix, k);
  memcpy(prefix + k, "r/", 2);
  o.prefix = (msub_bytes){ (const uint8_t *)prefix, k + 2 };
  o.token = (msub_token){ MSUB__NAMES_LWW_TOKEN };
  o.limits.topics = n->o.max_names;
  o.limits.joined = n->o.max_subscribed;
  o.limits.record = MSUB_IPNS_RECORD_MAX;
  o.high_water = true;
  o.max_life_ns = n->o.most_life_ns > INT64_MAX ? 0 : (int64_t)n->o.most_life_ns;
  o.ud = n;
  o.changed = msub__names_changed;
  o.stored = msub__names_stored;
  o.alarm = msub__names_alarmed;
  return msub_lww_new(&o, &n->lww);
}

int msub_names_new(const msub_names_opts *o, const msub_now *now, msub_names **out) {
  *out = NULL;
  if (!sane(o)) return MSUB_ERR_INVAL;
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  msub_names *n = msub__zalloc(&mem, 1, sizeof *n);
  if (!n) return MSUB_ERR_NOMEM;
  n->mem = mem;
  n->o = *o;
  n->o.mem = NULL;
  n->last = *now;
  uint8_t entropy[32];
  msub__rng_init(&n->rng, o->seed, 0);
  unpredictable(n, entropy);
  msub__hashkey_init(&n->hashkey, entropy);
  n->prefix_n = strlen(o->prefix) + 2;
  memcpy(n->prefix, o->prefix, n->prefix_n - 2);
  memcpy(n->prefix + n->prefix_n - 2, "n/", 2);
  n->free_name = n->free_giver = n->loose.oldest = n->loose.newest = MSUB__NONE;
  msub__list_init(&n->ready);
  msub__list_init(&n->answers);
  msub__list_init(&n->met);
  msub__list_init(&n->met_later);
  msub__list_init(&n->resolves);
  msub__list_init(&n->pending);
  n->resolves_at = MSUB_NEVER;
  int rc = registers(n);
  if (rc == MSUB_OK) rc = msub__names_load(n, now);
  if (rc == MSUB_OK) rc = msub_fetch_serve(o->fetch, msub_str("/ipns/"), msub__fetch_lookup, n);
  if (rc != MSUB_OK) {
    n->o.fetch = NULL;
    msub_names_free(n, now);
    return rc;
  }
  *out = n;
  return MSUB_OK;
}

void msub_names_free(msub_names *n, const msub_now *now) {
  if (!n) return;
  if (n->o.fetch) (void)msub_fetch_serve(n->o.fetch, msub_str("/ipns/"), NULL, NULL);
  msub__fetch_fini(n);
  msub__resolves_fini(n);
  msub__keep_fini(n);
  for (msub__node *x; (x = msub__list_first(&n->pending));) msub__pending_drop(n, MSUB__OF(x, msub__names_pending, node));
  while (n->n_subs) msub__sub_close(n->subs[n->n_subs - 1], now);
  msub_lww_free(n->lww);
  msub__own_fini(n);
  msub_mem mem = n->mem;
  msub__free(&mem, n->subs, n->cap_subs * sizeof *n->subs);
  msub__free(&mem, n->names, n->cap_names * sizeof *n->names);
  msub__free(&mem, n->dirty, n->cap_dirty * sizeof *n->dirty);
  msub__table_fini(&n->by_id, &mem);
  msub__free(&mem, n, sizeof *n);
}

/* ---- the turn ---- */

static void tell_changed(msub_names *n, const msub_now *now) {
  for (unsigned k = 0; k < MSUB__NAMES_TOLD && n->n_dirty; k++) {
    uint32_t i = n->dirty[--n->n_dirty];
    msub_names_view v;
    n->names[i].dirty = false;
    if (!n->names[i].id_n || !msub__names_view(n, i, now->wall_ns, &v)) continue;
    uint32_t gen = n->names[i].gen;
    if (n->o.changed) n->o.changed(n->o.ud, &v);
    if (msub__name_is(n, i, gen)) msub__resolves_wake(n, i, now->wall_ns);
  }
  if (n->n_dirty) msub__names_soon(n, 0);
}

void msub_names_turn(msub_names *n, const msub_now *now) {
  n->last = *now;
  n->next = MSUB_NEVER;
  msub__keep_turn(n, now);
  msub__fetch_turn(n, now);
  tell_changed(n, now);
  msub__pending_turn(n, now);
  msub__resolves_turn(n, now);
  msub__own_turn(n, now);
  msub__subs_turn(n, now);
}

uint64_t msub_names_next_deadline(const msub_names *n) { return n->next; }

bool msub_names_durable(msub_names *n, msub_token token, int result) {
  if (token.v >> 32 == MSUB__NAMES_TOKEN >> 32) {
    if (!msub__pending_told(n, token.v, result) && result != MSUB_OK) n->count.store_failed++;
    return true;
  }
  bool ours = msub_lww_durable(n->lww, token, result);
  if (ours) msub__names_soon(n, 0);
  return ours;
}
