#include <string.h>
#include "host/addrs.h"
#include "host/lookup.h"
#include "host/places.h"

typedef struct msub__find_at {
  msub_host *host;
  msub_multiaddr addr;
  msub__tr_addr at; /* n == 0: a name */
  msub_peer_id id;
  msub__lookup *lookup; /* under way */
  void (*found)(void *ud, msub_bytes peer_id, msub_bytes addr);
} find_at;

int msub__places_init(msub_host *h, const char **why) {
  const char *const *texts = h->o.find_at;
  size_t n = 0;
  msub_addr a;
  while (texts && texts[n]) n++;
  *why = "at most 64 addresses in find_at";
  if (n > MSUB__HOST_FIND_AT) return MSUB_ERR_LIMIT;
  if (n == 0) return MSUB_OK;
  *why = "out of memory";
  h->find.all = msub__zalloc(&h->mem, n, sizeof *h->find.all);
  if (!h->find.all) return MSUB_ERR_NOMEM;
  h->find.n = n;
  for (size_t i = 0; i < n; i++) {
    find_at *p = &h->find.all[i];
    p->host = h;
    *why = "find_at: not an address that TCP can reach";
    if (msub__addr_target(texts[i], &p->addr, &p->at, &p->id, why) != MSUB_OK) return MSUB_ERR_INVAL;
    *why = "find_at: an address needs /p2p/ID, unless it is a /dnsaddr";
    if (msub_multiaddr_split((msub_bytes){ p->addr.bytes, p->addr.n }, &a) != MSUB_OK) return MSUB_ERR_INVAL;
    if (p->id.n == 0 && a.host != MSUB_ADDR_DNSADDR) return MSUB_ERR_INVAL;
  }
  return MSUB_OK;
}

static void looked_up(void *own, int err, const char *text, const msub__place *places, size_t n) {
  find_at *p = own;
  p->lookup = NULL;
  if (err != MSUB_OK) MSUB__LOG(p->host->log, MSUB_LOG_INFO, "host", "no peers are found at an address of find_at: %s", text);
  for (size_t i = 0; i < n; i++) {
    msub_multiaddr addr;
    if (places[i].id.n == 0) continue;
    msub__addr_multi(&places[i].at, (msub_bytes){ NULL, 0 }, &addr);
    p->found(p->host, msub_peer_id_bytes(&places[i].id), (msub_bytes){ addr.bytes, addr.n });
  }
}

void msub__places_find(msub_host *h, void (*found)(void *ud, msub_bytes peer_id, msub_bytes addr)) {
  if (h->find.n == 0 || (h->find.last && !msub__passed(msub__deadline(h->find.last, MSUB__HOST_FIND_NS), h->now.mono_ns))) return;
  h->find.last = h->now.mono_ns;
  for (size_t i = 0; i < h->find.n; i++) {
    find_at *p = &h->find.all[i];
    p->found = found;
    if (p->at.n > 0) found(h, msub_peer_id_bytes(&p->id), (msub_bytes){ p->addr.bytes, p->addr.n });
    else if (!p->lookup && msub__lookup_begin(h, (msub_bytes){ p->addr.bytes, p->addr.n }, looked_up, p, &p->lookup) != MSUB_OK) p->lookup = NULL;
  }
}

void msub__places_fini(msub_host *h) {
  for (size_t i = 0; i < h->find.n; i++) {
    if (h->find.all[i].lookup) msub__lookup_cancel(h->find.all[i].lookup);
  }
  msub__free(&h->mem, h->find.all, h->find.n * sizeof *h->find.all);
  h->find.n = 0;
}
