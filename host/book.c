#include <string.h>
#include "base/assert.h"
#include "host/book.h"

static bool same(const void *ctx, uint32_t value, const void *key) {
  const msub_host *h = ctx;
  return msub_bytes_eq(msub_peer_id_bytes(&h->book.entries[value]->id), *(const msub_bytes *)key);
}

static msub__book_entry *find(const msub_host *h, msub_bytes id) {
  uint32_t i = msub__table_find(&h->book.index, msub__hash(&h->hashkey, id), same, h, &id);
  return i == MSUB__NONE ? NULL : h->book.entries[i];
}

static void to_end(msub_host *h, msub__book_entry *e) {
  msub__list_remove(&e->in_order);
  msub__list_push(&h->book.order, &e->in_order);
}

/* Takes an entry out of the index; its place in the array stays its own. */
static void unlist(msub_host *h, msub__book_entry *e) {
  (void)msub__table_remove(&h->book.index, e->hash, e->index);
  msub__list_remove(&e->in_order);
}

static msub__book_entry *entry_for(msub_host *h, msub_bytes id) {
  msub__book *b = &h->book;
  msub__book_entry *e = find(h, id);
  if (e) return e;
  if (b->n == MSUB__HOST_BOOK_PEERS) {
    msub__node *oldest = msub__list_first(&b->order);
    MSUB__INVARIANT(oldest);
    e = MSUB__OF(oldest, msub__book_entry, in_order);
    unlist(h, e);
  } else {
    e = msub__zalloc(&h->mem, 1, sizeof *e);
    if (!e) return NULL;
    e->index = b->n;
    b->entries[b->n++] = e;
    msub__list_init(&e->in_order);
  }
  e->n = 0;
  e->id.n = (uint8_t)id.n;
  memcpy(e->id.bytes, id.p, id.n);
  e->hash = msub__hash(&h->hashkey, id);
  if (msub__table_insert(&b->index, &h->mem, e->hash, e->index) == MSUB_OK) return e;
  b->entries[e->index] = b->entries[--b->n]; /* no memory: one peer less */
  if (e->index < b->n) {
    msub__book_entry *moved = b->entries[e->index];
    (void)msub__table_update(&b->index, moved->hash, moved->index, e->index);
    moved->index = e->index;
  }
  msub__free(&h->mem, e, sizeof *e);
  return NULL;
}

/* Which one makes room: what a peer says of itself does not push out what has worked. n: none. */
static unsigned victim(const msub__book_entry *e, bool proved) {
  for (unsigned i = e->n; i-- > 0;) {
    if (!e->addrs[i].proved) return i;
  }
  return proved ? e->n - 1 : e->n;
}

/* e->n: it is not there. */
static unsigned place_of(const msub__book_entry *e, const msub__tr_addr *at) {
  unsigned i = 0;
  while (i < e->n && !msub__tr_addr_same(&e->addrs[i].at, at)) i++;
  return i;
}

void msub__book_add(msub_host *h, msub_bytes peer_id, const msub__tr_addr *at, bool proved) {
  if (peer_id.n == 0 || peer_id.n > MSUB_PEER_ID_MAX || at->n == 0 || at->port == 0) return;
  msub__book_entry *e = entry_for(h, peer_id);
  if (!e) return;
  to_end(h, e);
  unsigned place = place_of(e, at);
  msub__book_addr new = { .at = *at, .proved = proved };
  if (place < e->n) {
    new = e->addrs[place];
    new.proved |= proved;
  } else if (e->n < MSUB__HOST_BOOK_ADDRS) {
    e->n++;
  } else if ((place = victim(e, proved)) == e->n) {
    return;
  }
  memmove(e->addrs + 1, e->addrs, place * sizeof e->addrs[0]);
  e->addrs[0] = new;
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
  msub__book_add(h, peer_id, at, true);
  msub__book_entry *e = find(h, peer_id);
  unsigned place = e ? place_of(e, at) : 0;
  if (e && place < e->n) e->addrs[place].failures = 0, e->addrs[place].rest_until = 0;
}

const msub__book_entry *msub__book_find(msub_host *h, msub_bytes peer_id) {
  msub__book_entry *e = find(h, peer_id);
  if (e) to_end(h, e);
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

void msub__book_fini(msub_host *h) {
  msub__book *b = &h->book;
  while (b->n > 0) {
    msub__book_entry *e = b->entries[--b->n];
    unlist(h, e);
    msub__free(&h->mem, e, sizeof *e);
  }
  msub__table_fini(&b->index, &h->mem);
}
