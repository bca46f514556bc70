#include "host/neighbours.h"
#include <string.h>
#include "host/addrs.h"
#include "host/discovery.h"
#include "host/mdns.h"

typedef struct msub__neighbour {
  msub_peer_id id;
  msub__tr_addr at;
  msub__tr_addr by; /* without port */
  uint64_t until;
} neighbour;

int msub__neighbours_init(msub_host *h, const char **why) {
  if (!h->o.mdns.on) return MSUB_OK;
  *why = "out of memory";
  h->near.all = msub__zalloc(&h->mem, MSUB__HOST_MDNS_KNOWN, sizeof *h->near.all);
  return h->near.all ? msub__mdns_new(h->self, msub__wake_signal, &h->wake, &h->near.mdns, why) : MSUB_ERR_NOMEM;
}

void msub__neighbours_listen(msub_host *h) {
  msub__tr_addr at[MSUB__HOST_LISTENERS];
  if (!h->near.mdns) return;
  for (size_t i = 0; i < h->n_listeners; i++) at[i] = h->listeners[i].at;
  msub__mdns_listen(h->near.mdns, at, h->n_listeners);
}

static void expire(msub_host *h) {
  for (size_t i = 0; i < h->near.n;) {
    if (msub__passed(h->near.all[i].until, h->now.mono_ns)) h->near.all[i] = h->near.all[--h->near.n];
    else i++;
  }
}

/* NULL: no room. */
static neighbour *add(msub_host *h, const msub__mdns_place *p, const msub__tr_addr *sender) {
  unsigned of_sender = 0;
  if (h->near.n == MSUB__HOST_MDNS_KNOWN) expire(h);
  for (size_t i = 0; i < h->near.n; i++) of_sender += msub__tr_addr_same(&h->near.all[i].by, sender);
  if (h->near.n == MSUB__HOST_MDNS_KNOWN || of_sender >= MSUB__HOST_MDNS_OF_SENDER) return NULL;
  neighbour *k = &h->near.all[h->near.n++];
  *k = (neighbour){ .id = p->id, .at = p->at, .by = *sender };
  return k;
}

void msub__neighbours_learn(msub_host *h, const msub__mdns_place *p, const msub__tr_addr *sender) {
  msub_bytes id = msub_peer_id_bytes(&p->id);
  neighbour *k = NULL;
  for (size_t i = 0; i < h->near.n && !k; i++) {
    neighbour *one = &h->near.all[i];
    if (msub__tr_addr_same(&one->at, &p->at) && msub_bytes_eq(msub_peer_id_bytes(&one->id), id)) k = one;
  }
  if (p->ttl_s == 0) { /* by its own word, or anybody could take it away */
    if (k && msub__tr_addr_same(&k->by, sender)) *k = h->near.all[--h->near.n];
    return;
  }
  bool fresh = !k || msub__passed(k->until, h->now.mono_ns);
  if (!k && !(k = add(h, p, sender))) {
    h->counts.mdns_dropped++;
    return;
  }
  k->until = msub__deadline(h->now.mono_ns, p->ttl_s * MSUB__S);
  if (!fresh) return;
  h->counts.mdns_heard++;
  msub_multiaddr addr;
  msub__addr_multi(&p->at, (msub_bytes){ NULL, 0 }, &addr);
  msub__discovery_offer(h, id, (msub_bytes){ addr.bytes, addr.n });
}

void msub__neighbours_step(msub_host *h) {
  msub__mdns_place p;
  msub__mdns_counts c;
  msub__tr_addr sender;
  if (!h->near.mdns || !msub__mdns_news(h->near.mdns)) return;
  while (msub__mdns_take(h->near.mdns, &p, &sender)) msub__neighbours_learn(h, &p, &sender); /* no more in a second than the thread looks at */
  msub__mdns_count(h->near.mdns, &c);
  h->counts.mdns_asked = c.asked;
  h->counts.mdns_answered = c.answered;
  h->counts.mdns_malformed = c.malformed;
  h->counts.mdns_refused = c.refused;
  h->counts.mdns_zoneless = c.zoneless;
  h->counts.mdns_dropped += c.dropped - h->near.dropped;
  h->near.dropped = c.dropped;
}

void msub__neighbours_find(msub_host *h, void (*found)(void *ud, msub_bytes peer_id, msub_bytes addr)) {
  if (!h->near.mdns || (h->near.last && !msub__passed(msub__deadline(h->near.last, MSUB__HOST_FIND_NS), h->now.mono_ns))) return;
  h->near.last = h->now.mono_ns;
  msub__mdns_ask(h->near.mdns);
  expire(h);
  for (size_t i = 0; i < h->near.n; i++) {
    msub_multiaddr addr;
    msub__addr_multi(&h->near.all[i].at, (msub_bytes){ NULL, 0 }, &addr);
    found(h, msub_peer_id_bytes(&h->near.all[i].id), (msub_bytes){ addr.bytes, addr.n });
  }
}

void msub__neighbours_fini(msub_host *h) {
  msub__mdns_free(h->near.mdns);
  h->near.mdns = NULL;
  msub__free(&h->mem, h->near.all, MSUB__HOST_MDNS_KNOWN * sizeof *h->near.all);
  h->near.all = NULL;
  h->near.n = 0;
}
