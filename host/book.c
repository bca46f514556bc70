#include <string.h>
#include "base/assert.h"
#include "host/addrs.h"
#include "host/book.h"
#include "host/peers.h"
#include "host/shelf.h"

static bool same(const void *ctx, uint32_t value, const void *key) {
  const msub_host *h = ctx;
  return msub_bytes_eq(msub_peer_id_bytes(&h->book.entries[value]->id), *(const msub_bytes *)key);
}

static msub__book_entry *find(const msub_host *h, msub_bytes id) {
  uint32_t i = msub__table_find(&h->book.index, msub__hash(&h->hashkey, id), same, h, &id);
  return i == MSUB__NONE ? NULL : h->book.entries[i];
}

static msub__node *order_of(msub_host *h, const msub__book_entry *e) { return e->proved ? &h->book.proved : &h->book.said; }

static void to_end(msub_host *h, msub__book_entry *e) {
  msub__list_remove(&e->in_order);
  msub__list_push(order_of(h, e), &e->in_order);
}

/* ---- making and ending entries ---- */

static void forget_record(msub_host *h, msub__book_entry *e) {
  msub__free(&h->mem, e->record, e->record_n);
  e->record = NULL;
  e->record_n = 0;
}

void msub__book_free_entry(msub_host *h, msub__book_entry *e) {
  forget_record(h, e);
  msub__list_remove(&e->in_order);
  msub__list_remove(&e->in_shelf);
  msub__free(&h->mem, e, sizeof *e);
}

static void drop(msub_host *h, msub__book_entry *e) {
  msub__book *b = &h->book;
  (void)msub__table_remove(&b->index, e->hash, e->index);
  msub__book_entry *last = b->entries[--b->n];
  if (last != e) {
    (void)msub__table_update(&b->index, last->hash, last->index, e->index);
    last->index = e->index;
    b->entries[last->index] = last;
  }
  b->n_said -= !e->proved;
  msub__list_remove(&e->in_order);
  msub__shelf_gone(h, e);
}

static msub__book_entry *first(const msub__node *order) {
  msub__node *n = msub__list_first(order);
  return n ? MSUB__OF(n, msub__book_entry, in_order) : NULL;
}

/* Who goes when one more comes of whom nothing is proved; *n: how many there are like it. */
static msub__book_entry *oldest_from(const msub_host *h, const msub__tr_addr *from, unsigned *n) {
  msub__book_entry *oldest = NULL;
  *n = 0;
  if (from->n == 0 || (msub__ip_loopback(msub__ip(from)) && !h->o.count_loopback)) return NULL;
  for (msub__node *k = h->book.said.next; k != &h->book.said; k = k->next) {
    msub__book_entry *e = MSUB__OF(k, msub__book_entry, in_order);
    if (!msub__tr_addr_same(&e->from, from)) continue;
    if (!oldest) oldest = e;
    ++*n;
  }
  return oldest;
}

/* `evict` false: only says whether there is room. */
static bool make_room(msub_host *h, bool proved, const msub__tr_addr *from, bool evict) {
  const msub__book *b = &h->book;
  unsigned alike = 0;
  msub__book_entry *victim = proved ? NULL : oldest_from(h, from, &alike);
  if (alike < MSUB__HOST_BOOK_NET) victim = NULL;
  if (!victim && !proved && b->n_said == MSUB__HOST_BOOK_SAID) victim = first(&b->said);
  if (!victim && b->n == MSUB__HOST_BOOK_PEERS) {
    victim = first(&b->said);
    if (!victim && proved) victim = first(&b->proved);
    if (!victim) return false;
  }
  if (victim && !evict) return false;
  if (victim) drop(h, victim);
  return true;
}

/* NULL: no room, or no memory. */
static msub__book_entry *make(msub_host *h, msub_bytes id, bool proved, const msub__tr_addr *from, bool evict) {
  msub__book *b = &h->book;
  if (msub__table_reserve(&b->index, &h->mem) != MSUB_OK) return NULL;
  msub__book_entry *e = msub__zalloc(&h->mem, 1, sizeof *e);
  if (!e) return NULL;
  msub__list_init(&e->in_order);
  msub__list_init(&e->in_shelf);
  if (!make_room(h, proved, from, evict)) {
    msub__free(&h->mem, e, sizeof *e);
    return NULL;
  }
  e->id = msub_peer_id_of(id);
  e->hash = msub__hash(&h->hashkey, id);
  e->index = b->n;
  e->proved = proved;
  e->from = *from;
  int err = msub__table_insert(&b->index, &h->mem, e->hash, e->index);
  MSUB__INVARIANT(err == MSUB_OK); /* there was room for one more */
  b->entries[b->n++] = e;
  b->n_said += !proved;
  msub__list_push(order_of(h, e), &e->in_order);
  return e;
}

/* Into the order of its kind. What is proved no longer takes a place among the others only when there is one. false: it is gone. */
static bool settle(msub_host *h, msub__book_entry *e) {
  bool proved = false;
  for (unsigned i = 0; i < e->n; i++) proved |= msub__book_proved(&e->addrs[i]);
  if (e->n == 0 || (e->proved && !proved && h->book.n_said == MSUB__HOST_BOOK_SAID)) {
    drop(h, e);
    return false;
  }
  if (proved != e->proved) {
    e->proved = proved;
    if (proved) h->book.n_said--;
    else h->book.n_said++;
    to_end(h, e);
  }
  return true;
}

/* ---- addresses ---- */

/* Which one makes room: what a peer says of itself does not push out what is proved. n: none. */
static unsigned victim_of(const msub__book_entry *e, bool proved) {
  for (unsigned i = e->n; i-- > 0;) {
    if (!msub__book_proved(&e->addrs[i])) return i;
  }
  return proved ? e->n - 1 : e->n;
}

/* e->n: it is not there. */
static unsigned place_of(const msub__book_entry *e, const msub__tr_addr *at) {
  unsigned i = 0;
  while (i < e->n && !msub__tr_addr_same(&e->addrs[i].at, at)) i++;
  return i;
}

static void take_out(msub__book_entry *e, unsigned i) {
  e->n--;
  memmove(&e->addrs[i], &e->addrs[i + 1], (e->n - i) * sizeof e->addrs[0]);
}

/* What is over. false: so is the entry. */
static bool expire(msub_host *h, msub__book_entry *e) {
  bool changed = false;
  for (unsigned i = e->n; i-- > 0;) {
    msub__book_addr *a = &e->addrs[i];
    if (a->said_until && msub__passed(a->said_until, h->now.mono_ns)) a->said_until = 0, a->is_signed = false, changed = true;
    if (a->proved_until && msub__passed(a->proved_until, h->now.mono_ns)) a->proved_until = 0, changed = true;
    if (!a->said_until && !a->proved_until) take_out(e, i);
  }
  if (!changed) return true;
  if (!settle(h, e)) return false;
  msub__shelf_changed(h, e, true);
  return true;
}

/* So long from now on. Clocks that disagree by less than MSUB__HOST_BOOK_CLOCK_NS let nothing end too early (shelf.c). */
static uint64_t from_now(const msub_host *h, uint64_t ns) { return msub__deadline(h->now.mono_ns, msub__sat_add_u64(ns, MSUB__HOST_BOOK_CLOCK_NS)); }

/* It is said or proved from now on; true: it was not. */
static bool mark(const msub_host *h, msub__book_addr *a, msub__book_source source) {
  uint64_t *until = source == MSUB__BOOK_PROVED ? &a->proved_until : &a->said_until;
  bool is_new = *until == 0 || (source == MSUB__BOOK_SIGNED && !a->is_signed);
  *until = from_now(h, source == MSUB__BOOK_PROVED ? h->o.book.proved_ns : h->o.book.said_ns);
  a->is_signed |= source == MSUB__BOOK_SIGNED;
  return is_new;
}

static void add(msub_host *h, msub__book_entry *e, const msub__tr_addr *at, msub__book_source source) {
  bool proved = source == MSUB__BOOK_PROVED;
  unsigned place = place_of(e, at);
  msub__book_addr new = { .at = *at };
  bool is_new = place == e->n;
  if (!is_new) new = e->addrs[place];
  else if (e->n < MSUB__HOST_BOOK_ADDRS) e->n++;
  else if ((place = victim_of(e, proved)) == e->n) return;
  is_new |= mark(h, &new, source);
  memmove(e->addrs + 1, e->addrs, place * sizeof e->addrs[0]);
  e->addrs[0] = new;
  (void)settle(h, e); /* it has an address, and is not less than it was */
  msub__shelf_changed(h, e, is_new);
}

void msub__book_add(msub_host *h, msub_bytes peer_id, const msub__tr_addr *at, msub__book_source source, const msub__tr_addr *from) {
  const msub__tr_addr net = from ? msub__network(from) : (msub__tr_addr){ .n = 0 };
  if (peer_id.n == 0 || peer_id.n > MSUB_PEER_ID_MAX || at->n == 0 || at->port == 0) return;
  msub__book_entry *e = find(h, peer_id);
  if (e && !expire(h, e)) e = NULL;
  if (!e) e = make(h, peer_id, source == MSUB__BOOK_PROVED, &net, true);
  if (!e) return;
  if (from) e->from = net;
  to_end(h, e);
  add(h, e, at, source);
}

void msub__book_failed(msub_host *h, msub_bytes peer_id, const msub__tr_addr *at) {
  msub__book_entry *e = find(h, peer_id);
  unsigned place = e ? place_of(e, at) : 0;
  if (!e || place == e->n) return;
  msub__book_addr *a = &e->addrs[place];
  uint64_t rest = MSUB__HOST_REST_NS << (a->failures < 8 ? a->failures : 8);
  if (rest > MSUB__HOST_REST_MAX_NS) rest = MSUB__HOST_REST_MAX_NS;
  if (a->failures < UINT8_MAX) a->failures++;
  a->rest_until = msub__deadline(h->now.mono_ns, rest);
}

void msub__book_worked(msub_host *h, msub_bytes peer_id, const msub__tr_addr *at) {
  msub__book_add(h, peer_id, at, MSUB__BOOK_PROVED, NULL);
  msub__book_entry *e = find(h, peer_id);
  unsigned place = e ? place_of(e, at) : 0;
  if (e && place < e->n) e->addrs[place].failures = 0, e->addrs[place].rest_until = 0;
}

const msub__book_entry *msub__book_find(msub_host *h, msub_bytes peer_id) {
  msub__book_entry *e = find(h, peer_id);
  if (!e || !expire(h, e)) return NULL;
  to_end(h, e);
  return e;
}

bool msub__book_parse(msub_bytes multiaddr, msub_bytes peer_id, msub__tr_addr *out) {
  msub_addr a;
  if (msub_multiaddr_check(multiaddr) != MSUB_OK || msub_multiaddr_split(multiaddr, &a) != MSUB_OK) return false;
  if (a.tcp == 0 || (a.host != MSUB_ADDR_IP4 && a.host != MSUB_ADDR_IP6)) return false;
  if (a.peer_id.n > 0 && !msub_bytes_eq(a.peer_id, peer_id)) return false;
  *out = (msub__tr_addr){ .n = (uint8_t)a.value.n, .ws = a.ws, .port = a.tcp };
  memcpy(out->ip, a.value.p, a.value.n);
  return true;
}

/* ---- records ---- */

/* Kept as it came, for the next start. Without memory there is none. */
static void keep_record(msub_host *h, msub__book_entry *e, const msub_peer_record *r, msub_bytes envelope) {
  bool is_new = !e->has_seq || r->seq > e->seq;
  if (!is_new && e->record) return;
  forget_record(h, e);
  e->has_seq = true;
  e->seq = r->seq;
  if (!h->shelf || envelope.n > MSUB__HOST_BOOK_RECORD || !(e->record = msub__alloc(&h->mem, envelope.n))) return;
  memcpy(e->record, envelope.p, envelope.n);
  e->record_n = envelope.n;
}

/* What stood in the record before stands there no longer unless it comes again. */
static void unsign(msub__book_entry *e) {
  for (unsigned i = e->n; i-- > 0;) {
    msub__book_addr *a = &e->addrs[i];
    if (!a->is_signed) continue;
    a->is_signed = false;
    a->said_until = 0;
    if (!a->proved_until) take_out(e, i);
  }
}

bool msub__book_certify(msub_host *h, const msub_peer_record *r, msub_bytes envelope, const msub__tr_addr *from) {
  msub_bytes id = msub_peer_id_bytes(&r->peer);
  const msub__tr_addr net = msub__network(from);
  msub__tr_addr at[MSUB__HOST_BOOK_ADDRS];
  unsigned n = 0;
  msub__book_entry *e = find(h, id);
  if (e && !expire(h, e)) e = NULL;
  if (e && e->has_seq && r->seq < e->seq) return false;
  for (size_t i = 0; i < r->n_addrs && n < MSUB__HOST_BOOK_ADDRS; i++) n += msub__book_parse(r->addrs[i], id, &at[n]);
  if (!e && n > 0) e = make(h, id, false, &net, true);
  if (!e) return true;
  e->from = net;
  to_end(h, e);
  if (r->seq > e->seq || !e->has_seq) {
    unsign(e);
    msub__shelf_changed(h, e, true);
  }
  for (unsigned i = n; i-- > 0;) add(h, e, &at[i], MSUB__BOOK_SIGNED); /* its first address first */
  if (settle(h, e)) keep_record(h, e, r, envelope);
  return true;
}

bool msub__book_restore(msub_host *h, const msub__book_entry *like, const msub_peer_record *r, msub_bytes envelope) {
  msub_bytes id = msub_peer_id_bytes(&like->id);
  msub__book_entry *e = find(h, id);
  bool older = e && e->has_seq && (!r || r->seq < e->seq);
  if (e) msub__shelf_changed(h, e, true);
  else if (!(e = make(h, id, like->proved, &like->from, false))) return false;
  e->stored = true;
  for (unsigned i = 0; i < like->n && e->n < MSUB__HOST_BOOK_ADDRS; i++) {
    const msub__book_addr *a = &like->addrs[i];
    if (place_of(e, &a->at) < e->n || (older && a->is_signed && !a->proved_until)) continue;
    e->addrs[e->n] = *a;
    if (older) e->addrs[e->n].is_signed = false;
    e->n++;
  }
  if (r && !older) keep_record(h, e, r, envelope);
  msub__list_remove(&e->in_order); /* those of this time are newer */
  (void)settle(h, e);
  msub__list_remove(&e->in_order);
  msub__list_insert(order_of(h, e), &e->in_order);
  return true;
}

/* ---- time ---- */

/* Whoever is connected can be reached. */
static void renew(msub_host *h, const msub__peer *p) {
  msub_bytes id = msub__peer_bytes(p);
  msub__book_entry *e = find(h, id);
  for (unsigned i = 0; e && i < e->n; i++) {
    if (e->addrs[i].said_until) e->addrs[i].said_until = from_now(h, h->o.book.said_ns);
  }
  if (e) msub__shelf_changed(h, e, false);
  for (msub__node *n = p->conns.next; n != &p->conns; n = n->next) {
    const msub__conn *c = MSUB__OF(n, msub__conn, of_peer);
    if (c->outbound && !c->failed) msub__book_add(h, id, &c->remote, MSUB__BOOK_PROVED, NULL);
  }
}

static void look(msub__timer *t) {
  msub_host *h = MSUB__OF(t, msub_host, book.timer);
  if (h->stopping) return;
  for (size_t i = 0; i < h->n_peers; i++) renew(h, h->peers[i]);
  for (uint32_t i = h->book.n; i-- > 0;) {
    if (i < h->book.n) (void)expire(h, h->book.entries[i]);
  }
  msub__timer_start(h->wheel, t, msub__deadline(h->now.mono_ns, MSUB__HOST_BOOK_LOOK_NS));
}

void msub__book_init(msub_host *h) {
  msub__list_init(&h->book.said);
  msub__list_init(&h->book.proved);
  msub__timer_init(&h->book.timer, look);
}

void msub__book_start(msub_host *h) { msub__timer_start(h->wheel, &h->book.timer, msub__deadline(h->now.mono_ns, MSUB__HOST_BOOK_LOOK_NS)); }

void msub__book_fini(msub_host *h) {
  msub__book *b = &h->book;
  if (h->wheel) msub__timer_stop(h->wheel, &b->timer);
  while (b->n > 0) msub__book_free_entry(h, b->entries[--b->n]);
  msub__table_fini(&b->index, &h->mem);
}
