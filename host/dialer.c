#include <string.h>
#include "host/addrs.h"
#include "host/book.h"
#include "host/dialer.h"
#include "host/filter.h"
#include "host/named.h"
#include "host/peers.h"
#include "host/protect.h"
#include "host/race.h"
#include "host/upgrade.h"

/* ---- events ---- */

void msub__dialer_tell(msub_host *h, const msub__dial *d, int err, const char *text) {
  msub_host_event ev = { .kind = MSUB_EV_DIAL_FAILED,
                         .peer_id = msub_peer_id_bytes(&d->expect),
                         .addr = { d->addr.bytes, d->addr.n },
                         .outbound = true,
                         .err = err,
                         .text = text,
                         .cookie = d->cookie };
  msub__emit(h, &ev);
}

static void free_dial(msub_host *h, msub__dial *d) { msub__free(&h->mem, d, sizeof *d); }

/* ---- keeping ---- */

static void keep_dial(msub__keep *k) {
  msub__dial d = { .addr = k->addr, .at = k->at, .expect = k->expect, .keep = k };
  k->busy = (k->at.n ? msub__dialer_queue(k->host, &d) : msub__named_begin(k->host, &d)) == MSUB_OK;
  if (!k->busy)
    msub__timer_start(k->host->wheel, &k->timer,
                      msub__deadline(k->host->now.mono_ns, k->host->o.redial_min_ns));
}

static void keep_due(msub__timer *t) { keep_dial(MSUB__OF(t, msub__keep, timer)); }

/* The first time at once, then doubling, between half and all of it. */
static void keep_later(msub__keep *k) {
  msub_host *h = k->host;
  uint64_t pause = 0;
  if (k->losses > 0) {
    unsigned doublings = k->losses - 1 < 32 ? k->losses - 1 : 32;
    pause = msub__sat_mul_u64(h->o.redial_min_ns, UINT64_C(1) << doublings);
    if (pause > h->o.redial_max_ns) pause = h->o.redial_max_ns;
    pause = pause / 2 +
            (uint64_t)((double)(pause / 2) * ((double)msub__rng_below(&h->rng, 1u << 20) / (1u << 20)));
  }
  k->losses++;
  msub__timer_start(h->wheel, &k->timer, msub__deadline(h->now.mono_ns, pause));
}

void msub__dialer_lost(msub_host *h, msub__keep *k, msub_bytes peer_id, uint64_t lived_ns) {
  for (msub__node *n = h->keeps.next; n != &h->keeps && !k; n = n->next) {
    msub__keep *other = MSUB__OF(n, msub__keep, in_keeps);
    if (other->expect.n > 0 && msub_bytes_eq(msub_peer_id_bytes(&other->expect), peer_id)) k = other;
  }
  if (!k || k->busy || h->stopping || msub__timer_running(&k->timer)) return;
  if (lived_ns >= MSUB__HOST_LIVED_NS) k->losses = 0;
  keep_later(k);
}

static void free_keep(msub__keep *k) {
  msub_host *h = k->host;
  msub__timer_stop(h->wheel, &k->timer);
  msub__list_remove(&k->in_keeps);
  h->n_keeps--;
  for (msub__node *n = h->dials.next; n != &h->dials; n = n->next) {
    msub__dial *d = MSUB__OF(n, msub__dial, in_dials);
    if (d->keep == k) d->keep = NULL;
  }
  for (msub__node *n = h->conns.next; n != &h->conns; n = n->next) {
    msub__conn *c = MSUB__OF(n, msub__conn, in_conns);
    if (c->keep == k) c->keep = NULL;
    if (c->dial && c->dial->keep == k) c->dial->keep = NULL;
  }
  msub__named_cancel(h, k, (msub_bytes){ NULL, 0 });
  msub__free(&h->mem, k, sizeof *k);
}

bool msub__dialer_forget(msub_host *h, msub_bytes peer_id) {
  bool any = false;
  for (msub__node *n = h->keeps.next, *next; n != &h->keeps; n = next) {
    msub__keep *k = MSUB__OF(n, msub__keep, in_keeps);
    next = n->next;
    if (!msub_bytes_eq(msub_peer_id_bytes(&k->expect), peer_id)) continue;
    free_keep(k);
    any = true;
  }
  return any;
}

int msub__dialer_keep(msub_host *h, const char *text) {
  msub__keep *k = msub__zalloc(&h->mem, 1, sizeof *k);
  const char *why;
  if (!k) return MSUB_ERR_NOMEM;
  int err = msub__addr_target(text, &k->addr, &k->at, &k->expect, &why);
  if (err == MSUB_OK && msub_bytes_eq(msub_peer_id_bytes(&k->expect), h->self)) err = MSUB_ERR_REFUSED;
  if (err == MSUB_OK && h->n_keeps >= MSUB__HOST_KEEPS) err = MSUB_ERR_LIMIT;
  if (err != MSUB_OK) {
    msub__free(&h->mem, k, sizeof *k);
    return err;
  }
  k->host = h;
  msub__book_add(h, msub_peer_id_bytes(&k->expect), &k->at, MSUB__BOOK_PROVED, NULL);
  msub__timer_init(&k->timer, keep_due);
  msub__list_push(&h->keeps, &k->in_keeps);
  h->n_keeps++;
  keep_dial(k);
  return MSUB_OK;
}

/* ---- dialling ---- */

int msub__dialer_queue(msub_host *h, const msub__dial *like) {
  if (h->n_dials_queued >= MSUB__HOST_DIALS_QUEUED) return MSUB_ERR_LIMIT;
  msub__dial *d = msub__alloc(&h->mem, sizeof *d);
  if (!d) return MSUB_ERR_NOMEM;
  *d = *like;
  msub__list_push(&h->dials, &d->in_dials);
  h->n_dials_queued++;
  msub__wake_signal(&h->wake);
  return MSUB_OK;
}

void msub__dialer_drop_attempt(msub_host *h, msub__dial *d, const msub__race *r) {
  if (d->race != r) return;
  msub__list_remove(&d->in_dials);
  h->n_dials_queued--;
  free_dial(h, d);
}

int msub__dialer_add(msub_host *h, const char *text, uint64_t cookie) {
  msub__dial d = { .cookie = cookie };
  const char *why;
  int err = msub__addr_target(text, &d.addr, &d.at, &d.expect, &why);
  if (err != MSUB_OK) return err;
  msub_bytes id = msub_peer_id_bytes(&d.expect);
  if (msub_bytes_eq(id, h->self)) return MSUB_ERR_REFUSED;
  if (!h->in_engine && msub_allows(h->engine, id, msub__ip(&d.at), &h->now, NULL) == MSUB_ERR_REFUSED)
    return MSUB_ERR_REFUSED;
  if (d.at.n == 0 && !(id.n > 0 && msub__peers_find(h, id))) return msub__named_begin(h, &d);
  msub__book_add(h, id, &d.at, MSUB__BOOK_PROVED, NULL);
  return msub__dialer_queue(h, &d);
}

/* Already connected: nothing to do but say so. */
static bool have(msub_host *h, const msub__dial *d) {
  msub__peer *p = d->expect.n ? msub__peers_find(h, msub_peer_id_bytes(&d->expect)) : NULL;
  msub__conn *c = p ? msub__peer_newest(p) : NULL;
  if (!c) return false;
  if (d->hinted) return true;
  if (d->keep) {
    if (!c->keep) c->keep = d->keep;
    return true;
  }
  msub_multiaddr addr;
  msub__conn_addr(c, &addr);
  msub_host_event ev = { .kind = MSUB_EV_CONNECTED,
                         .peer_id = msub__peer_bytes(p),
                         .addr = { addr.bytes, addr.n },
                         .outbound = c->outbound,
                         .cookie = d->cookie };
  msub__emit(h, &ev);
  return true;
}

/* Room for what the program or a direct peer needs is made at the cost of what was found, once it is connected. */
static bool outbound_room(const msub_host *h, const msub__dial *d) {
  if (h->outbound < h->o.max_outbound) return true;
  return (!d->hinted || msub__protect_has(h, msub_peer_id_bytes(&d->expect))) && msub__protect_spare(h, true);
}

/* *text stays as it is, or says more. */
static int start(msub_host *h, msub__dial *d, const char **text) {
  uint32_t tr;
  msub__conn *c;
  if (!outbound_room(h, d)) return MSUB_ERR_LIMIT;
  if (msub_allows(h->engine, msub_peer_id_bytes(&d->expect), msub__ip(&d->at), &h->now, NULL) ==
      MSUB_ERR_REFUSED) {
    return MSUB_ERR_REFUSED;
  }
  if (!msub__ipfilter_allows(h, &d->at, MSUB__FILTER_DIAL)) {
    *text = MSUB__FILTER_WHY;
    return MSUB_ERR_REFUSED;
  }
  int err = h->tr->dial(h->tr_self, &d->at, d->cookie, &tr);
  if (err != MSUB_OK) return err;
  h->counts.dials++;
  err = msub__conn_new(h, tr, true, &c);
  if (err != MSUB_OK) {
    h->tr->close(h->tr_self, tr);
    return err;
  }
  c->remote = d->at;
  err = msub__upgrade_new(c, &d->expect);
  if (err != MSUB_OK) msub__conn_fail(c, err, msub_err_text(err));
  c->dial = d;
  c->keep = d->keep;
  c->hinted = d->hinted;
  h->n_dials++;
  return MSUB_OK;
}

void msub__dialer_over(msub_host *h, const msub__dial *d, int err, const char *text) {
  if (d->keep) {
    d->keep->busy = false;
    if (d->keep->losses == 0) d->keep->losses = 1; /* nothing was lost, so nothing is done at once */
    if (!h->stopping) keep_later(d->keep);
  }
  msub__dialer_tell(h, d, err, text); /* last: the program may stop keeping the peer here */
}

/* The dial is over, or was never begun. */
static void failed(msub_host *h, msub__dial *d, int err, const char *text) {
  if (!d->quiet) {
    h->counts.dial_failed++;
    msub__count_by(h->counts.dial_failed_by, err);
  }
  if (d->race) {
    MSUB__LOG(h->log, MSUB_LOG_DEBUG, "host", "an address of a peer cannot be reached: %s", text);
    msub__race_failed(d->race, &d->at, err, text);
  }
  if (d->race || d->quiet) {
    free_dial(h, d);
    return;
  }
  msub__dialer_over(h, d, err, text);
  free_dial(h, d);
}

static void succeeded(msub_host *h, msub__dial *d) {
  if (d->keep) d->keep->busy = false;
  if (d->race) msub__race_won(d->race);
  free_dial(h, d);
}

bool msub__dialer_pump(msub_host *h) {
  for (unsigned i = 0; i < MSUB__HOST_STEP_CALLS && h->n_dials < h->o.max_dials && !h->stopping; i++) {
    msub__node *n = msub__list_first(&h->dials);
    if (!n) return false;
    msub__dial *d = MSUB__OF(n, msub__dial, in_dials);
    msub__list_remove(n);
    h->n_dials_queued--;
    if (have(h, d)) {
      succeeded(h, d);
      continue;
    }
    const char *text = NULL;
    int err = start(h, d, &text);
    if (err != MSUB_OK) failed(h, d, err, text ? text : msub_err_text(err));
  }
  return !msub__list_empty(&h->dials) && h->n_dials < h->o.max_dials;
}

void msub__dialer_connected(msub__conn *c) {
  msub__dial *d = c->dial;
  c->dial = NULL;
  c->host->n_dials--;
  succeeded(c->host, d);
}

void msub__dialer_failed(msub__conn *c, int err, const char *text) {
  msub__dial *d = c->dial;
  c->dial = NULL;
  c->host->n_dials--;
  failed(c->host, d, err, text);
}

void msub__dialer_fini(msub_host *h) {
  for (msub__node *n; (n = msub__list_first(&h->dials));) {
    msub__list_remove(n);
    free_dial(h, MSUB__OF(n, msub__dial, in_dials));
  }
  for (msub__node *n; (n = msub__list_first(&h->keeps));) free_keep(MSUB__OF(n, msub__keep, in_keeps));
}
