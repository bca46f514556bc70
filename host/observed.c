#include <string.h>
#include "host/identify.h"
#include "host/addrs.h"
#include "host/book.h"
#include "host/observed.h"

static bool fresh(const msub_host *h, const msub__observation *o) {
  return !msub__passed(msub__deadline(o->when, MSUB__HOST_OBSERVED_NS), h->now.mono_ns);
}

static unsigned networks(const msub_host *h, const msub__tr_addr *at) {
  unsigned n = 0;
  for (unsigned i = 0; i < h->observed.n; i++) n += fresh(h, &h->observed.all[i]) && msub__tr_addr_same(&h->observed.all[i].at, at);
  return n;
}

/* Can this be ours, as far as that peer can know? Loopback exists for those who are there themselves. */
static bool plausible(msub_bytes ip, msub_bytes by) {
  bool zero = true;
  for (size_t i = 0; i < ip.n; i++) zero &= ip.p[i] == 0;
  if (zero || (ip.n == 4 ? ip.p[0] >= 224 : ip.p[0] == 0xff)) return false;
  return msub__ip_loopback(ip) == msub__ip_loopback(by);
}

/* The port that a peer sees when we dialled it is the system's choice. */
static bool set_port(const msub_host *h, msub__tr_addr *at) {
  for (size_t i = 0; i < h->n_listeners; i++) {
    if (h->listeners[i].at.n != at->n || h->listeners[i].at.ws != at->ws) continue;
    at->port = h->listeners[i].at.port;
    return true;
  }
  return false;
}

void msub__observed_hear(const msub__conn *c, msub_bytes multiaddr) {
  msub_host *h = c->host;
  msub__observed *o = &h->observed;
  msub__tr_addr at;
  if (!msub__book_parse(multiaddr, h->self, &at)) return;
  if (!plausible(msub__ip(&at), msub__ip(&c->remote)) || (c->outbound && !set_port(h, &at))) return;
  unsigned place = 0, oldest = 0;
  while (place < o->n && !msub__net_same(&o->all[place].by, &c->remote)) {
    if (o->all[place].when < o->all[oldest].when) oldest = place;
    place++;
  }
  if (place == MSUB__HOST_OBSERVED) place = oldest;
  else if (place == o->n) o->n++;
  o->all[place] = (msub__observation){ .at = at, .by = c->remote, .when = h->now.mono_ns };
  if (networks(h, &at) != MSUB__HOST_OBSERVERS) return;
  msub__record_renew(h);
  msub__identify_changed(h);
}

size_t msub__observed_add_to(const msub_host *h, msub_multiaddr *out, size_t cap, size_t n) {
  for (unsigned i = 0; i < h->observed.n && n < cap; i++) {
    const msub__observation *o = &h->observed.all[i];
    if (!fresh(h, o) || networks(h, &o->at) < MSUB__HOST_OBSERVERS) continue;
    msub__addr_multi(&o->at, (msub_bytes){ NULL, 0 }, &out[n]);
    bool known = out[n].n == 0;
    for (size_t k = 0; k < n && !known; k++) known = out[k].n == out[n].n && memcmp(out[k].bytes, out[n].bytes, out[n].n) == 0;
    if (!known) n++;
  }
  return n;
}

int msub_host_observed(const msub_host *h, size_t i, char *out, size_t cap, unsigned *count) {
  size_t seen = 0;
  for (unsigned k = 0; k < h->observed.n; k++) {
    const msub__observation *o = &h->observed.all[k];
    bool first = fresh(h, o);
    for (unsigned e = 0; e < k && first; e++) first = !(fresh(h, &h->observed.all[e]) && msub__tr_addr_same(&h->observed.all[e].at, &o->at));
    if (!first || seen++ < i) continue;
    msub_multiaddr text;
    msub__addr_multi(&o->at, (msub_bytes){ NULL, 0 }, &text);
    *count = networks(h, &o->at);
    return msub_multiaddr_text((msub_bytes){ text.bytes, text.n }, out, cap);
  }
  return MSUB_ERR_NOTFOUND;
}
