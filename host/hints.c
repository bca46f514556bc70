#include <string.h>
#include "host/addrs.h"
#include "host/book.h"
#include "host/hints.h"
#include "host/peers.h"
#include "host/protect.h"
#include "host/race.h"

static void free_hint(msub_host *h, msub__hint *k) {
  msub__list_remove(&k->in_list);
  msub__free(&h->mem, k->record, k->record_n);
  msub__free(&h->mem, k, sizeof *k);
}

static void drop(msub_host *h, msub__hint *k) {
  h->counts.hints_dropped++;
  free_hint(h, k);
}

/* ---- taking ---- */

static bool is_waiting(const msub_host *h, msub_bytes id) {
  for (msub__node *n = h->hints.waiting.next; n != &h->hints.waiting; n = n->next) {
    if (msub_bytes_eq(msub_peer_id_bytes(&MSUB__OF(n, msub__hint, in_list)->id), id)) return true;
  }
  return false;
}

static bool wanted(const msub_host *h, msub_bytes id, size_t record_n) {
  return msub_peer_id_check(id) == MSUB_OK && !msub_bytes_eq(id, h->self) && record_n <= MSUB__HOST_HINT_RECORD &&
         h->hints.n_waiting < h->o.max_hints && !msub__peers_find(h, id) && !is_waiting(h, id) && !msub__race_under_way(h, id) && !h->stopping;
}

void msub__hints_add(msub_host *h, msub_bytes peer_id, msub_bytes record, const msub__tr_addr *at) {
  h->counts.hints++;
  msub__hint *k = wanted(h, peer_id, record.n) ? msub__zalloc(&h->mem, 1, sizeof *k) : NULL;
  if (k && record.n > 0 && !(k->record = msub__alloc(&h->mem, record.n))) {
    msub__free(&h->mem, k, sizeof *k);
    k = NULL;
  }
  if (!k) {
    h->counts.hints_dropped++;
    return;
  }
  if (record.n > 0) memcpy(k->record, record.p, record.n);
  k->record_n = record.n;
  k->id = msub_peer_id_of(peer_id);
  if (at) k->at[k->n++] = *at;
  msub__list_init(&k->in_list);
  msub__list_push(&h->hints.waiting, &k->in_list);
  h->hints.n_waiting++;
  if (!h->in_turn) msub__wake_signal(&h->wake);
}

/* ---- addresses ---- */

/* Is this a place where a stranger may send us? A loopback address is, for nodes that live there themselves: else anybody
 * could have us knock at this machine's own doors. */
static bool may_dial(const msub_host *h, const msub__tr_addr *at) {
  msub_bytes ip = msub__ip(at);
  bool zero = true;
  for (size_t i = 0; i < ip.n; i++) zero &= ip.p[i] == 0;
  if (ip.n == 0 || at->port == 0 || zero || (ip.n == 4 ? ip.p[0] >= 224 : ip.p[0] == 0xff)) return false;
  if (!msub__ip_loopback(ip)) return true;
  for (size_t i = 0; i < h->n_listeners; i++) {
    if (msub__ip_loopback(msub__ip(&h->listeners[i].at))) return true;
  }
  return h->n_listeners == 0;
}

static void add_addr(const msub_host *h, msub__hint *k, const msub__tr_addr *at, bool proved) {
  if (k->n == MSUB__HOST_HINT_ADDRS || (!proved && !may_dial(h, at))) return;
  for (unsigned i = 0; i < k->n; i++) {
    if (msub__tr_addr_same(&k->at[i], at)) return;
  }
  k->at[k->n++] = *at;
}

/* A record that does not verify makes the whole hint worthless. */
static bool open_record(msub_host *h, msub__hint *k) {
  msub_peer_record r;
  msub__tr_addr at;
  msub_bytes id = msub_peer_id_bytes(&k->id);
  if (k->record_n == 0) return true;
  if (msub_peer_record_open((msub_bytes){ k->record, k->record_n }, id, &r) != MSUB_OK) return false;
  const msub__book_entry *e = msub__book_find(h, id);
  if (e && e->has_seq && r.seq < e->seq) { /* the peer has told us better since */
    h->counts.records_old++;
    return true;
  }
  for (size_t i = 0; i < r.n_addrs; i++) {
    if (msub__book_parse(r.addrs[i], id, &at)) add_addr(h, k, &at, false);
  }
  return true;
}

static bool find_addresses(msub_host *h, msub__hint *k, msub__race *r) {
  if (!open_record(h, k)) return false;
  msub__free(&h->mem, k->record, k->record_n);
  k->record = NULL;
  k->record_n = 0;
  const msub__book_entry *e = msub__book_find(h, msub_peer_id_bytes(&k->id));
  for (unsigned i = 0; e && i < e->n; i++) {
    if (msub__passed(e->addrs[i].rest_until, h->now.mono_ns)) add_addr(h, k, &e->addrs[i].at, msub__book_proved(&e->addrs[i]));
  }
  for (unsigned i = 0; i < k->n; i++) msub__race_add(r, &k->at[i]);
  return k->n > 0;
}

/* ---- dialling ---- */

static void over(msub_host *h, const msub__race *r, int err, const char *text) {
  (void)text;
  h->hints.n_dialled--;
  if (err == MSUB_OK) h->counts.hints_connected++;
  free_hint(h, r->own);
}

static void begin(msub_host *h, msub__hint *k) {
  msub__list_remove(&k->in_list);
  h->hints.n_waiting--;
  msub_bytes id = msub_peer_id_bytes(&k->id);
  bool full = h->outbound >= h->o.max_outbound && !msub__protect_has(h, id);
  msub__race r = { .id = k->id, .hinted = true, .done = over, .own = k };
  if (full || msub__peers_find(h, id) || !find_addresses(h, k, &r) || msub__race_begin(h, &r) != MSUB_OK) {
    drop(h, k);
    return;
  }
  msub__list_push(&h->hints.dialled, &k->in_list);
  h->hints.n_dialled++;
  h->counts.hints_dialled++;
}

void msub__hints_pump(msub_host *h) {
  for (msub__node *n; h->hints.n_dialled < MSUB__HOST_HINT_DIALS && (n = msub__list_first(&h->hints.waiting));)
    begin(h, MSUB__OF(n, msub__hint, in_list));
}

void msub__hints_fini(msub_host *h) {
  msub__node *const lists[] = { &h->hints.waiting, &h->hints.dialled };
  for (size_t i = 0; i < 2; i++) {
    for (msub__node *n; (n = msub__list_first(lists[i]));) free_hint(h, MSUB__OF(n, msub__hint, in_list));
  }
}
