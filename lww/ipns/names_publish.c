/* lww/ipns/names_publish.c: own names: signed, made durable, sent; and signed anew before they end. */
#include "lww/ipns/names_state.h"
#include <string.h>

void msub_names_publish_opts_init(msub_names_publish_opts *o) { *o = (msub_names_publish_opts){ .size = sizeof *o, .ttl_ns = MSUB_IPNS_TTL_NS }; }

/* ---- signing ---- */

static msub_ipns_time end_at(int64_t wall_ns, uint64_t lifetime_ns) {
  msub_ipns_time t = msub_ipns_time_of(wall_ns);
  uint64_t ns = t.ns + lifetime_ns % 1000000000;
  t.s += (int64_t)(lifetime_ns / 1000000000) + (int64_t)(ns / 1000000000);
  t.ns = (uint32_t)(ns % 1000000000);
  return t;
}

/* Signs, and hands it to the registers. *p: done() is due when the store has told. */
static int send(msub_names *n, const msub_key *key, uint32_t i, msub_ipns_new *what, uint64_t lifetime_ns, const msub_now *now, msub__names_pending *p) {
  uint8_t record[MSUB_IPNS_RECORD_MAX];
  size_t record_n;
  msub_ipns_fault fault;
  what->eol = end_at(now->wall_ns, lifetime_ns);
  int rc = msub_ipns_make(key, what, record, sizeof record, &record_n);
  if (rc != MSUB_OK) return rc;
  uint64_t token = msub__names_token(n);
  p->record = token; /* before: the registers may tell from inside */
  rc = msub__names_take(n, i, (msub_bytes){ record, record_n }, MSUB_LWW_OWN, (msub_bytes){ NULL, 0 }, true, token, now, &fault);
  if (rc == MSUB_OK) p->record = 0;
  if (rc == MSUB_MORE) rc = MSUB_OK;
  p->sequence = what->sequence;
  return rc == MSUB_ERR_MALFORMED ? MSUB_ERR_CRYPTO : rc;
}

/* The newest that we signed and that the store has not told of. */
static const msub__names_pending *newest(const msub_names *n, uint32_t i) {
  const msub__names_pending *best = NULL;
  for (msub__node *x = n->pending.next; x != &n->pending; x = x->next) {
    const msub__names_pending *p = MSUB__OF(x, msub__names_pending, node);
    if (p->name == i && p->gen == n->names[i].gen && p->value && p->record && (!best || p->sequence >= best->sequence)) best = p;
  }
  return best;
}

/* The same value keeps its sequence, another one takes the next: what has expired counts too, or a sequence would come twice. */
static int sequence_for(msub_names *n, uint32_t i, const msub_names_publish_opts *what, uint64_t *out) {
  char text[MSUB_IPNS_TOPIC_TEXT];
  msub_lww_view v;
  msub_ipns_record r;
  const msub__names_pending *p = newest(n, i);
  bool there = false;
  uint64_t last = 0;
  msub_bytes value = { NULL, 0 };
  int rc = msub_lww_get(n->lww, msub_str(msub_ipns_topic(msub__name_id(&n->names[i]), text)), &v);
  if (rc == MSUB_OK && msub_ipns_read(v.record, &r) == MSUB_IPNS_OK) {
    there = true;
    last = r.sequence;
    value = r.value;
  } else if (rc == MSUB_ERR_IO) {
    return rc;
  }
  if (p && (!there || p->sequence >= last)) {
    there = true;
    last = p->sequence;
    value = (msub_bytes){ p->value, p->value_n };
  }
  *out = what->sequenced ? what->sequence : !there ? 0 : msub_bytes_eq(value, what->value) ? last : last + 1;
  if (!what->sequenced && there && *out < last) return MSUB_ERR_LIMIT; /* 2^64 is reached */
  if (what->sequenced && there && *out < last) return MSUB_ERR_MISMATCH;
  return *out > MSUB__NAMES_SEQ_MAX ? what->sequenced ? MSUB_ERR_INVAL : MSUB_ERR_LIMIT : MSUB_OK;
}

static bool sane(const msub_names_publish_opts *w) {
  return w->size == sizeof *w && w->value.n > 0 && w->value.n <= MSUB__NAMES_VALUE_MAX && w->lifetime_ns <= MSUB__NAMES_LIFE_MAX_NS && w->ttl_ns <= INT64_MAX;
}

int msub_names_publish(msub_names *n, const msub_key *key, const msub_names_publish_opts *what, const msub_now *now, msub_names_done done, void *ud) {
  uint32_t i;
  uint64_t row = 0, sequence = 0;
  msub__names_pending *p = NULL;
  if (!sane(what)) return MSUB_ERR_INVAL;
  msub_bytes name = msub_key_peer_id(key);
  bool is_new = msub__names_find(n, name) == MSUB__NONE;
  int rc = msub__names_add(n, name, now, &i);
  if (rc != MSUB_OK) return rc;
  msub__name *e = &n->names[i];
  uint8_t before = e->flags;
  uint32_t life_before = e->lifetime_s;
  uint64_t lifetime = what->lifetime_ns ? what->lifetime_ns : n->o.lifetime_ns;
  if (!(before & MSUB_NAMES_FOLLOWED) && n->count.followed >= n->o.max_subscribed) rc = MSUB_ERR_LIMIT;
  if (rc == MSUB_OK) rc = sequence_for(n, i, what, &sequence);
  if (rc == MSUB_OK) rc = msub__pending_new(n, i, done, ud, &p);
  if (rc == MSUB_OK && !(p->value = msub__alloc(&n->mem, what->value.n))) rc = MSUB_ERR_NOMEM;
  if (rc == MSUB_OK) {
    memcpy(p->value, what->value.p, p->value_n = what->value.n);
    p->shows = true;
    e->lifetime_s = (uint32_t)(what->lifetime_ns / MSUB__S);
    bool rewrite = before & MSUB_NAMES_FOLLOWED && e->lifetime_s != life_before;
    rc = rewrite ? msub__names_row(n, i, &row) : msub__names_mark(n, i, MSUB_NAMES_FOLLOWED, 0, &row);
  }
  if (rc == MSUB_OK) rc = msub__sub_open(n, i, now);
  if (rc == MSUB_OK) {
    msub_ipns_new made = { .value = what->value, .sequence = sequence, .ttl_ns = what->ttl_ns, .v2_only = what->v2_only };
    p->row = row;
    rc = send(n, key, i, &made, lifetime, now, p);
  }
  if (rc != MSUB_OK) {
    uint64_t token;
    if (p) msub__pending_drop(n, p);
    n->names[i].lifetime_s = life_before;
    if (!(before & MSUB_NAMES_FOLLOWED)) (void)msub__names_mark(n, i, 0, MSUB_NAMES_FOLLOWED, &token);
    if (is_new) msub__names_drop(n, i, now);
    return rc;
  }
  n->count.published++;
  msub__names_use(n, i, now);
  msub__names_soon(n, 0);
  return MSUB_OK;
}

/* ---- records that others signed ---- */

int msub_names_put(msub_names *n, msub_bytes name, msub_bytes record, bool publish, const msub_now *now, msub_names_done done, void *ud, msub_ipns_fault *fault) {
  msub_ipns_fault unused;
  msub__names_pending *p;
  msub_ipns_record r;
  uint32_t i;
  if (!fault) fault = &unused;
  *fault = MSUB_IPNS_OK;
  /* Judged before anything is made for it. */
  *fault = msub_ipns_verify(name, record, now->wall_ns, msub__names_bits(n), &r);
  if (*fault != MSUB_IPNS_OK) {
    *(*fault == MSUB_IPNS_EXPIRED ? &n->count.expired : &n->count.invalid) += 1;
    return *fault == MSUB_IPNS_EXPIRED ? MSUB_ERR_TIMEOUT : MSUB_ERR_MALFORMED;
  }
  bool is_new = msub__names_find(n, name) == MSUB__NONE;
  int rc = msub__names_add(n, name, now, &i);
  if (rc != MSUB_OK) return rc;
  rc = publish ? msub__sub_open(n, i, now) : MSUB_OK;
  if (rc == MSUB_OK) rc = msub__pending_new(n, i, done, ud, &p);
  if (rc == MSUB_OK) {
    uint64_t token = msub__names_token(n);
    p->shows = true;
    p->record = token;
    rc = msub__names_take(n, i, record, MSUB_LWW_GIVEN, (msub_bytes){ NULL, 0 }, publish, token, now, fault);
    if (rc == MSUB_OK) p->record = 0;
    if (rc == MSUB_MORE) rc = MSUB_OK;
    if (rc != MSUB_OK) msub__pending_drop(n, p);
  }
  if (rc != MSUB_OK) {
    if (is_new) msub__names_drop(n, i, now);
    return rc;
  }
  msub__names_use(n, i, now);
  msub__names_soon(n, 0);
  return MSUB_OK;
}

/* ---- the republisher ---- */

static msub__names_own *own_of(msub_names *n, msub_bytes name) {
  for (uint32_t k = 0; k < n->n_own; k++)
    if (msub_bytes_eq(msub_key_peer_id(n->own[k].key), name)) return &n->own[k];
  return NULL;
}

int msub_names_own(msub_names *n, const msub_key *key, const msub_now *now) {
  msub_bytes name = msub_key_peer_id(key);
  uint32_t i;
  uint64_t token;
  if (own_of(n, name)) return MSUB_ERR_CLAIMED;
  if (n->n_own >= MSUB__NAMES_OWN) return MSUB_ERR_LIMIT;
  if (n->n_own == n->cap_own) {
    uint32_t cap = n->cap_own ? n->cap_own * 2 : 8;
    void *p = msub__realloc(&n->mem, n->own, n->cap_own * sizeof *n->own, cap * sizeof *n->own);
    if (!p) return MSUB_ERR_NOMEM;
    n->own = p;
    n->cap_own = cap;
  }
  bool is_new = msub__names_find(n, name) == MSUB__NONE;
  int rc = msub__names_add(n, name, now, &i);
  if (rc != MSUB_OK) return rc;
  if (!(n->names[i].flags & MSUB_NAMES_FOLLOWED) && n->count.followed >= n->o.max_subscribed) rc = MSUB_ERR_LIMIT;
  if (rc == MSUB_OK) rc = msub__names_mark(n, i, MSUB_NAMES_FOLLOWED | MSUB_NAMES_OWNED, 0, &token);
  if (rc == MSUB_OK && (rc = msub__sub_open(n, i, now)) != MSUB_OK) (void)msub__names_mark(n, i, 0, MSUB_NAMES_FOLLOWED | MSUB_NAMES_OWNED, &token);
  if (rc != MSUB_OK) {
    if (is_new) msub__names_drop(n, i, now);
    return rc;
  }
  n->own[n->n_own++] = (msub__names_own){ key, i, n->names[i].gen, msub__deadline(now->mono_ns, n->o.republish_first_ns), false };
  n->count.owned = n->n_own;
  n->own_at = 0;
  msub__names_soon(n, 0);
  return MSUB_OK;
}

int msub_names_disown(msub_names *n, msub_bytes name) {
  msub__names_own *o = own_of(n, name);
  uint64_t token;
  if (!o) return MSUB_ERR_NOTFOUND;
  if (msub__name_is(n, o->name, o->gen)) (void)msub__names_mark(n, o->name, 0, MSUB_NAMES_OWNED, &token);
  *o = n->own[--n->n_own];
  n->count.owned = n->n_own;
  return MSUB_OK;
}

static void later(msub_names *n, msub__names_own *o, bool ok, const msub_now *now) {
  o->busy = false;
  o->at = msub__deadline(now->mono_ns, ok ? n->o.republish_ns : n->o.republish_failed_ns);
  n->own_at = msub__sooner(n->own_at, o->at);
  *(ok ? &n->count.republished : &n->count.republish_failed) += 1;
}

void msub__own_told(msub_names *n, const msub__names_pending *p, const msub_now *now) {
  if (!msub__name_is(n, p->name, p->gen)) return;
  msub__names_own *o = own_of(n, msub__name_id(&n->names[p->name]));
  if (o && o->busy) later(n, o, p->result == MSUB_OK, now);
}

/* The same value and sequence with a later end, whoever wrote it, expired or not: as stock peers do, for whom that is the better one. */
static void renew(msub_names *n, msub__names_own *o, const msub_now *now) {
  char text[MSUB_IPNS_TOPIC_TEXT];
  uint8_t value[MSUB_IPNS_RECORD_MAX];
  msub_lww_view v;
  msub_ipns_record r;
  msub__names_pending *p;
  const msub__name *e = &n->names[o->name];
  int rc = msub_lww_get(n->lww, msub_str(msub_ipns_topic(msub__name_id(e), text)), &v);
  if (rc == MSUB_ERR_NOTFOUND) { /* nothing was ever published */
    o->at = msub__deadline(now->mono_ns, n->o.republish_first_ns);
    return;
  }
  if (rc == MSUB_OK && msub_ipns_read(v.record, &r) != MSUB_IPNS_OK) rc = MSUB_ERR_MALFORMED;
  if (rc == MSUB_OK && r.sequence > MSUB__NAMES_SEQ_MAX) rc = MSUB_ERR_LIMIT;
  if (rc == MSUB_OK) rc = msub__pending_new(n, o->name, NULL, NULL, &p);
  if (rc != MSUB_OK) {
    later(n, o, false, now);
    return;
  }
  memcpy(value, r.value.p, r.value.n);
  /* Copies for old readers begin a record that has them. */
  msub_ipns_new what = { .value = { value, r.value.n }, .sequence = r.sequence, .ttl_ns = r.ttl_ns, .v2_only = r.bytes.p[0] != 0x0a };
  p->again = true;
  o->busy = true;
  rc = send(n, o->key, o->name, &what, e->lifetime_s ? e->lifetime_s * MSUB__S : n->o.lifetime_ns, now, p);
  if (rc == MSUB_OK) return;
  msub__pending_drop(n, p);
  later(n, o, rc == MSUB_ERR_MISMATCH, now); /* it ends later already */
}

void msub__own_turn(msub_names *n, const msub_now *now) {
  if (msub__passed(n->own_at, now->mono_ns)) {
    n->own_at = MSUB_NEVER;
    for (uint32_t k = 0; k < n->n_own; k++) {
      msub__names_own *o = &n->own[k];
      if (!o->busy && msub__passed(o->at, now->mono_ns)) renew(n, o, now);
      if (!o->busy) n->own_at = msub__sooner(n->own_at, o->at);
    }
  }
  msub__names_soon(n, n->own_at);
}

void msub__own_fini(msub_names *n) { msub__free(&n->mem, n->own, n->cap_own * sizeof *n->own); }
