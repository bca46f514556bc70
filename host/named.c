#include <string.h>
#include "host/book.h"
#include "host/lookup.h"
#include "host/named.h"
#include "host/race.h"

typedef struct named {
  msub__node in_list;
  msub_host *host;
  msub__dial like;
  msub__lookup *lookup; /* NULL: it is over */
  msub__place places[MSUB__HOST_RACE_ADDRS];
  bool tried[MSUB__HOST_RACE_ADDRS];
  uint8_t n;
  int err;
  const char *text;
} named;

static void free_named(named *n) {
  msub__list_remove(&n->in_list);
  n->host->names.n_named--;
  msub__free(&n->host->mem, n, sizeof *n);
}

static void failed(named *n) {
  msub__dial d = n->like;
  msub_host *h = n->host;
  int err = n->err;
  const char *text = n->text;
  free_named(n);
  msub__dialer_over(h, &d, err, text);
}

static void raced(msub_host *h, const msub__race *r, int err, const char *text);

/* The next peer whose addresses were not tried: all of them. false: there is none. */
static bool try_peer(named *n) {
  msub_host *h = n->host;
  for (unsigned first = 0; first < n->n; first++) {
    if (n->tried[first]) continue;
    msub__race r = { .id = n->places[first].id, .cookie = n->like.cookie, .keep = n->like.keep, .done = raced, .own = n };
    msub_bytes id = msub_peer_id_bytes(&r.id);
    for (unsigned i = first; i < n->n; i++) {
      if (n->tried[i] || !msub_bytes_eq(msub_peer_id_bytes(&n->places[i].id), id)) continue;
      n->tried[i] = true;
      msub__race_add(&r, &n->places[i].at);
      msub__book_add(h, id, &n->places[i].at, MSUB__BOOK_PROVED, NULL);
    }
    if (msub_bytes_eq(id, h->self)) {
      n->err = MSUB_ERR_REFUSED;
      n->text = "the name leads to this node itself";
      continue;
    }
    int err = msub__race_begin(h, &r);
    if (err == MSUB_OK) return true;
    n->err = err;
    n->text = "none of its addresses may be dialled now";
  }
  return false;
}

static void raced(msub_host *h, const msub__race *r, int err, const char *text) {
  named *n = r->own;
  (void)h;
  if (!n) return;
  if (err == MSUB_OK) {
    free_named(n);
    return;
  }
  n->err = err;
  n->text = text;
  if (!try_peer(n)) failed(n);
}

static void looked_up(void *own, int err, const char *text, const msub__place *places, size_t count) {
  named *n = own;
  n->lookup = NULL;
  n->err = err;
  n->text = text;
  n->n = (uint8_t)count;
  if (count > 0) { /* from a random one on: those that ask share the peers of a name among themselves */
    size_t from = n->like.expect.n ? 0 : msub__rng_below(&n->host->rng, (uint32_t)count);
    for (size_t i = 0; i < count; i++) n->places[i] = places[(from + i) % count];
  }
  if (!try_peer(n)) failed(n);
}

int msub__named_begin(msub_host *h, const msub__dial *like) {
  if (h->names.n_named == MSUB__HOST_LOOKUPS) return MSUB_ERR_LIMIT;
  named *n = msub__zalloc(&h->mem, 1, sizeof *n);
  if (!n) return MSUB_ERR_NOMEM;
  n->host = h;
  n->like = *like;
  msub__list_init(&n->in_list);
  msub__list_push(&h->names.named, &n->in_list);
  h->names.n_named++;
  int err = msub__lookup_begin(h, (msub_bytes){ like->addr.bytes, like->addr.n }, looked_up, n, &n->lookup);
  if (err != MSUB_OK) free_named(n);
  return err;
}

static void give_up(named *n) {
  if (n->lookup) msub__lookup_cancel(n->lookup);
  for (msub__node *i = n->host->races.next; i != &n->host->races; i = i->next) {
    msub__race *r = MSUB__OF(i, msub__race, in_races);
    if (r->own == n) r->own = NULL, r->keep = NULL; /* it goes on for nobody */
  }
  free_named(n);
}

void msub__named_cancel(msub_host *h, const msub__keep *k, msub_bytes peer_id) {
  for (msub__node *i = h->names.named.next, *next; i != &h->names.named; i = next) {
    named *n = MSUB__OF(i, named, in_list);
    next = i->next;
    bool meant = k ? n->like.keep == k : msub_bytes_eq(msub_peer_id_bytes(&n->like.expect), peer_id);
    if (meant) give_up(n);
  }
}

void msub__named_fini(msub_host *h) {
  for (msub__node *i; (i = msub__list_first(&h->names.named));) give_up(MSUB__OF(i, named, in_list));
}
