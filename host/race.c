#include <string.h>
#include "host/addrs.h"
#include "host/book.h"
#include "host/filter.h"
#include "host/race.h"


void msub__race_add(msub__race *like, const msub__tr_addr *at) {
  if (at->n == 0 || at->port == 0 || like->n == MSUB__HOST_RACE_ADDRS) return;
  for (unsigned i = 0; i < like->n; i++) {
    if (msub__tr_addr_same(&like->at[i], at)) return;
  }
  like->at[like->n++] = *at;
}

/* Of the addresses that are (not) proved: one of a family, one of the other, … */
static void add_in_turns(msub__race *like, const msub__book_entry *e, bool proved, bool rested, uint64_t now) {
  bool taken[MSUB__HOST_BOOK_ADDRS] = { false };
  uint8_t last = 0;
  for (unsigned k = 0; k < e->n; k++) {
    unsigned best = e->n;
    for (unsigned i = 0; i < e->n; i++) {
      const msub__book_addr *a = &e->addrs[i];
      if (taken[i] || msub__book_proved(a) != proved || (rested && !msub__passed(a->rest_until, now))) continue;
      if (best == e->n || (e->addrs[best].at.n == last && a->at.n != last)) best = i;
    }
    if (best == e->n) return;
    taken[best] = true;
    last = e->addrs[best].at.n;
    msub__race_add(like, &e->addrs[best].at);
  }
}

void msub__race_from_book(msub_host *h, msub__race *like, bool rested) {
  const msub__book_entry *e = msub__book_find(h, msub_peer_id_bytes(&like->id));
  if (!e) return;
  add_in_turns(like, e, true, rested, h->now.mono_ns);
  add_in_turns(like, e, false, rested, h->now.mono_ns);
}

bool msub__race_under_way(const msub_host *h, msub_bytes peer_id) {
  for (msub__node *n = h->races.next; n != &h->races; n = n->next) {
    if (msub_bytes_eq(msub_peer_id_bytes(&MSUB__OF(n, msub__race, in_races)->id), peer_id)) return true;
  }
  return false;
}

static void end(msub__race *r, int err, const char *text) {
  msub_host *h = r->host;
  msub__list_remove(&r->in_races);
  msub__timer_stop(h->wheel, &r->timer);
  r->done(h, r, err, text);
  msub__free(&h->mem, r, sizeof *r);
}

/* false: no attempt was begun. */
static bool launch(msub__race *r) {
  msub_host *h = r->host;
  msub_bytes id = msub_peer_id_bytes(&r->id);
  while (r->next < r->n && r->flying < MSUB__HOST_RACE_FLYING && !h->stopping && !msub__passed(r->until, h->now.mono_ns)) {
    msub__dial d = { .at = r->at[r->next++], .expect = r->id, .cookie = r->cookie, .race = r, .keep = r->keep, .hinted = r->hinted };
    if (msub_allows(h->engine, id, msub__ip(&d.at), &h->now, NULL) == MSUB_ERR_REFUSED) continue;
    if (!msub__ipfilter_allows(h, &d.at, MSUB__FILTER_DIAL)) continue;
    msub__addr_multi(&d.at, id, &d.addr);
    if (msub__dialer_queue(h, &d) != MSUB_OK) return false;
    r->flying++;
    if (r->next < r->n) msub__timer_start(h->wheel, &r->timer, msub__deadline(h->now.mono_ns, MSUB__HOST_RACE_NS));
    return true;
  }
  return false;
}

static void next_due(msub__timer *t) { (void)launch(MSUB__OF(t, msub__race, timer)); }

int msub__race_begin(msub_host *h, const msub__race *like) {
  if (like->n == 0) return MSUB_ERR_NOTFOUND;
  msub__race *r = msub__alloc(&h->mem, sizeof *r);
  if (!r) return MSUB_ERR_NOMEM;
  *r = *like;
  r->host = h;
  r->next = r->flying = 0;
  r->err = MSUB_ERR_LIMIT;
  r->text = "none of its addresses may be dialled now";
  r->until = msub__deadline(h->now.mono_ns, MSUB__HOST_HINT_NS);
  msub__timer_init(&r->timer, next_due);
  msub__list_init(&r->in_races);
  msub__list_push(&h->races, &r->in_races);
  if (launch(r)) return MSUB_OK;
  msub__list_remove(&r->in_races);
  msub__free(&h->mem, r, sizeof *r);
  return MSUB_ERR_LIMIT;
}

/* The attempts that are left end without a word. */
static void give_up(msub__race *r, const char *text) {
  msub_host *h = r->host;
  for (msub__node *n = h->dials.next, *next; n != &h->dials; n = next) {
    next = n->next;
    msub__dialer_drop_attempt(h, MSUB__OF(n, msub__dial, in_dials), r);
  }
  for (msub__node *n = h->conns.next; n != &h->conns; n = n->next) {
    msub__conn *c = MSUB__OF(n, msub__conn, in_conns);
    if (!c->dial || c->dial->race != r) continue;
    c->dial->race = NULL;
    c->dial->keep = c->keep = NULL;
    c->dial->quiet = true;
    msub__conn_fail(c, MSUB_OK, text);
  }
}

void msub__race_won(msub__race *r) {
  give_up(r, "another address was faster");
  end(r, MSUB_OK, NULL);
}

void msub__race_failed(msub__race *r, const msub__tr_addr *at, int err, const char *text) {
  msub__book_failed(r->host, msub_peer_id_bytes(&r->id), at);
  r->flying--;
  r->err = err;
  r->text = text;
  if (!launch(r) && r->flying == 0) end(r, r->err, r->text);
}

void msub__race_cancel(msub_host *h, msub_bytes peer_id) {
  for (msub__node *n = h->races.next, *next; n != &h->races; n = next) {
    msub__race *r = MSUB__OF(n, msub__race, in_races);
    next = n->next;
    if (!msub_bytes_eq(msub_peer_id_bytes(&r->id), peer_id)) continue;
    give_up(r, "given up");
    end(r, MSUB_ERR_CLOSED, "given up");
  }
}

void msub__race_fini(msub_host *h) {
  for (msub__node *n; (n = msub__list_first(&h->races));) {
    msub__race *r = MSUB__OF(n, msub__race, in_races);
    msub__list_remove(n);
    msub__timer_stop(h->wheel, &r->timer);
    msub__free(&h->mem, r, sizeof *r);
  }
}
