#include "host/addrs.h"
#include "host/gate.h"
#include "wire/limits.h"

#define PENDING_PER_NET 4u

/* Prefix of one user, and of one network: /32 and /24, or /64 and /48. */
static unsigned user_bits(msub_bytes ip) { return ip.n == 4 ? 32 : 64; }
static unsigned net_bits(msub_bytes ip) { return ip.n == 4 ? 24 : 48; }

typedef struct tally {
  unsigned ip, net, pending_net;
} tally;

/* Inbound connections that share a prefix with this address. There are at most a few hundred. */
static tally count(const msub_host *h, msub_bytes ip) {
  tally t = { 0, 0, 0 };
  for (msub__node *n = h->conns.next; n != &h->conns; n = n->next) {
    const msub__conn *c = MSUB__OF(n, msub__conn, in_conns);
    if (c->outbound || c->failed) continue;
    msub_bytes other = msub__ip(&c->remote);
    if (!msub__ip_same(ip, other, net_bits(ip))) continue;
    t.net++;
    if (c->state < MSUB__CONN_OPEN) t.pending_net++;
    if (msub__ip_same(ip, other, user_bits(ip))) t.ip++;
  }
  return t;
}

static const char *by_address(const msub_host *h, msub_bytes ip) {
  if (ip.n == 0 || (!h->o.count_loopback && msub__ip_loopback(ip))) return NULL;
  tally t = count(h, ip);
  if (t.ip >= h->o.max_per_ip) return "too many connections from this address";
  if (t.net >= h->o.max_per_net) return "too many connections from this network";
  if (t.pending_net >= PENDING_PER_NET) return "too many unfinished connections from this network";
  return NULL;
}

/* The oldest pending connection that is still silent: an honest dialer speaks first and at once. */
static bool evict_silent(msub_host *h) {
  for (msub__node *n = h->conns.next; n != &h->conns; n = n->next) {
    msub__conn *c = MSUB__OF(n, msub__conn, in_conns);
    if (c->outbound || c->failed || c->heard || c->state != MSUB__CONN_SECURITY) continue;
    if (h->now.mono_ns - c->begun < MSUB__HOST_SILENT_NS) return false; /* they stand in order of age */
    h->counts.handshakes_late++;
    msub__conn_fail(c, MSUB_ERR_LIMIT, "nothing was said while others wait");
    return true;
  }
  return false;
}

const char *msub__gate_accept(msub_host *h, const msub__tr_addr *remote) {
  msub_bytes ip = msub__ip(remote);
  if (h->stopping) return "the host is stopping";
  if (h->inbound >= h->o.max_inbound) return "too many inbound connections";
  const char *why = by_address(h, ip);
  if (why) return why;
  if (msub_allows(h->engine, (msub_bytes){ NULL, 0 }, ip, &h->now, NULL) == MSUB_ERR_REFUSED)
    return "the address is in cool-down";
  if (h->pending_in >= h->o.max_pending_inbound && !evict_silent(h)) return "too many unfinished connections";
  return NULL;
}

int msub__gate_open(msub_host *h, const msub__conn *c, msub_bytes peer_id, const char **why) {
  *why = "the peer has our own id";
  if (msub_bytes_eq(peer_id, h->self)) return MSUB_ERR_REFUSED;
  *why = "the peer is in cool-down";
  if (msub_allows(h->engine, peer_id, msub__ip(&c->remote), &h->now, NULL) == MSUB_ERR_REFUSED)
    return MSUB_ERR_REFUSED;
  *why = "too many connections";
  if (c->outbound ? h->outbound >= h->o.max_outbound : h->inbound >= h->o.max_inbound) return MSUB_ERR_LIMIT;
  *why = NULL;
  return MSUB_OK;
}
