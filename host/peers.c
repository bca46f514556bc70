#include <string.h>
#include "base/assert.h"
#include "host/book.h"
#include "host/exchange.h"
#include "host/manager.h"
#include "host/peers.h"

#define ESCAPED 4 /* characters that a byte becomes at most */

static bool same(const void *ctx, uint32_t value, const void *key) {
  const msub_host *h = ctx;
  return msub_bytes_eq(msub__peer_bytes(h->peers[value]), *(const msub_bytes *)key);
}

msub__peer *msub__peers_find(const msub_host *h, msub_bytes id) {
  uint32_t i = msub__table_find(&h->peer_index, msub__hash(&h->hashkey, id), same, h, &id);
  return i == MSUB__NONE ? NULL : h->peers[i];
}

/* ---- making and freeing ---- */

static size_t size_of(size_t n_sess) { return sizeof(msub__peer) + n_sess * sizeof(msub__sess); }

static bool grow(msub_host *h) {
  if (h->n_peers < h->peers_cap) return true;
  size_t cap = h->peers_cap ? h->peers_cap * 2 : 16;
  msub__peer **peers = msub__realloc(&h->mem, h->peers, h->peers_cap * sizeof *peers, cap * sizeof *peers);
  if (!peers) return false;
  h->peers = peers;
  h->peers_cap = cap;
  return true;
}

static msub__peer *make(msub_host *h, msub_bytes id) {
  if (!grow(h)) return NULL;
  msub__peer *p = msub__zalloc(&h->mem, 1, size_of(h->n_groups));
  if (!p) return NULL;
  p->host = h;
  p->id = msub_peer_id_of(id);
  p->hash = msub__hash(&h->hashkey, id);
  p->index = (uint32_t)h->n_peers;
  p->push_at = h->now.mono_ns;
  p->pushes = MSUB__HOST_PUSH_BURST;
  p->n_sess = h->n_groups;
  msub__list_init(&p->conns);
  msub__list_init(&p->exchange);
  if (msub__table_insert(&h->peer_index, &h->mem, p->hash, p->index) != MSUB_OK) {
    msub__free(&h->mem, p, size_of(p->n_sess));
    return NULL;
  }
  for (size_t i = 0; i < p->n_sess; i++) msub__sess_init(&p->sess[i], p, &h->groups[i]);
  h->peers[h->n_peers++] = p;
  return p;
}

static void forget_known(msub__peer *p) {
  const msub_mem *m = &p->host->mem;
  msub__identify_free(m, p->known);
  msub__free(m, p->text, p->text_n);
  msub__free(m, p->protocols, p->n_protocols * sizeof *p->protocols);
  p->known = NULL;
  p->record = (msub_bytes){ NULL, 0 };
  p->text = NULL;
  p->protocols = NULL;
  p->text_n = p->n_protocols = 0;
}

static void unmake(msub__peer *p) {
  msub_host *h = p->host;
  msub__exchange_peer_gone(p);
  for (size_t i = 0; i < p->n_sess; i++) msub__sess_fini(&p->sess[i]);
  forget_known(p);
  msub__manager_forget(p);
  (void)msub__table_remove(&h->peer_index, p->hash, p->index);
  msub__peer *last = h->peers[--h->n_peers];
  if (last != p) {
    (void)msub__table_update(&h->peer_index, last->hash, last->index, p->index);
    last->index = p->index;
    h->peers[last->index] = last;
  }
  msub__free(&h->mem, p, size_of(p->n_sess));
}

void msub__peers_fini(msub_host *h) {
  while (h->n_peers > 0) unmake(h->peers[h->n_peers - 1]);
  msub__free(&h->mem, h->peers, h->peers_cap * sizeof(msub__peer *));
  h->peers = NULL;
  msub__table_fini(&h->peer_index, &h->mem);
}

/* ---- connections ---- */

int msub__peers_attach(msub_host *h, msub__conn *c, msub_bytes id) {
  msub__peer *p = msub__peers_find(h, id);
  if (!p) p = make(h, id);
  if (!p) return MSUB_ERR_NOMEM;
  c->peer = p;
  msub__list_push(&p->conns, &c->of_peer);
  p->n_conns++;
  return MSUB_OK;
}

bool msub__peers_detach(msub__conn *c) {
  msub__peer *p = c->peer;
  c->peer = NULL;
  msub__list_remove(&c->of_peer);
  p->n_conns--;
  for (size_t i = 0; i < p->n_sess; i++) msub__sess_conn_gone(&p->sess[i]);
  if (p->n_conns > 0) return false;
  unmake(p);
  return true;
}

msub__conn *msub__peer_newest(const msub__peer *p) {
  msub__conn *spare = NULL;
  for (msub__node *n = p->conns.prev; n != &p->conns; n = n->prev) {
    msub__conn *c = MSUB__OF(n, msub__conn, of_peer);
    if (!c->failed && !c->spare) return c;
    if (!c->failed && !spare) spare = c;
  }
  return spare;
}

msub__conn *msub__peer_oldest(const msub__peer *p) {
  for (msub__node *n = p->conns.next; n != &p->conns; n = n->next) {
    msub__conn *c = MSUB__OF(n, msub__conn, of_peer);
    if (!c->failed) return c;
  }
  return NULL;
}

void msub__peer_close(msub__peer *p, int err, const char *text) {
  for (msub__node *n = p->conns.next; n != &p->conns; n = n->next)
    msub__conn_fail(MSUB__OF(n, msub__conn, of_peer), err, text);
}

/* ---- what it says of itself ---- */

/* Agent and protocols as texts that can be printed. Without memory the peer has none. */
static void describe(msub__peer *p) {
  const msub_mem *m = &p->host->mem;
  const msub__identify *id = p->known;
  size_t n = id->agent.n * ESCAPED + 1;
  for (size_t i = 0; i < id->n_protocols; i++) n += id->protocols[i].n * ESCAPED + 1;
  p->text = msub__alloc(m, n);
  p->protocols = id->n_protocols ? msub__zalloc(m, id->n_protocols, sizeof *p->protocols) : NULL;
  if (!p->text) {
    msub__free(m, p->protocols, id->n_protocols * sizeof *p->protocols);
    p->protocols = NULL;
    return;
  }
  p->text_n = n;
  char *at = msub_escape(p->text, n, id->agent);
  if (!p->protocols) return;
  p->n_protocols = id->n_protocols;
  for (size_t i = 0; i < id->n_protocols; i++) {
    at += strlen(at) + 1;
    p->protocols[i] = msub_escape(at, n - (size_t)(at - p->text), id->protocols[i]);
  }
}

/* Where it can be reached: what it has signed, or else only says. A record of anybody else is dropped, and one that is older than what
 * it signed before says nothing. */
static void remember(msub__peer *p) {
  const msub__identify *k = p->known;
  msub_bytes id = msub__peer_bytes(p);
  const msub__conn *c = msub__peer_newest(p);
  msub_peer_record r;
  msub__tr_addr at;
  if (!c) return;
  if (msub__identify_record(k, id, &r) == MSUB_OK) {
    if (msub__book_certify(p->host, &r, k->record, &c->remote)) p->record = k->record;
    else p->host->counts.records_old++;
    return;
  }
  for (size_t i = k->n_addrs < MSUB__HOST_BOOK_ADDRS ? k->n_addrs : MSUB__HOST_BOOK_ADDRS; i-- > 0;) {
    if (msub__book_parse(k->addrs[i], id, &at)) msub__book_add(p->host, id, &at, MSUB__BOOK_SAID, &c->remote);
  }
}

void msub__peer_learn(msub__peer *p, msub__identify *known) {
  forget_known(p);
  p->known = known;
  describe(p);
  remember(p);
}
