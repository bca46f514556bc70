#include "host/addrs.h"
#include "host/filter.h"
#include "host/gate.h"
#include "host/protect.h"
#include "wire/limits.h"

#define PENDING_PER_NET 4u

/* Prefix of one user. */
static unsigned user_bits(msub_bytes ip) { return ip.n == 4 ? 32 : 64; }

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
    if (!msub__ip_same(ip, other, msub__net_bits(ip))) continue;
    t.net++;
    if (c->state < MSUB__CONN_OPEN) t.pending_net++;
    if (msub__ip_same(ip, other, user_bits(ip))) t.ip++;
  }
  return t;
}

/* Why a connection is refused: one of MSUB_HOST_REFUSALS each. */
static const char why_stopping[] = "the host is stopping";
static const char why_inbound[] = "too many inbound connections";
static const char why_address[] = "too many connections from this address";
static const char why_network[] = "too many connections from this network";
static const char why_unfinished_network[] = "too many unfinished connections from this network";
static const char why_cooldown[] = "the address is in cool-down";
static const char why_unfinished[] = "too many unfinished connections";
static const char why_filter[] = MSUB__FILTER_WHY;

void msub__gate_refused(msub_host *h, const char *why) {
  static const char *const why_memory = NULL;
#define MSUB_X(name) if (why == why_##name) h->counts.refused.name++;
  MSUB_HOST_REFUSALS(MSUB_X)
#undef MSUB_X
}

static const char *by_address(const msub_host *h, msub_bytes ip) {
  if (ip.n == 0 || (!h->o.count_loopback && msub__ip_loopback(ip))) return NULL;
  tally t = count(h, ip);
  if (t.ip >= h->o.max_per_ip) return why_address;
  if (t.net >= h->o.max_per_net) return why_network;
  if (t.pending_net >= PENDING_PER_NET) return why_unfinished_network;
  return NULL;
}

/* ---- places ---- */

static void evict(msub__conn *c, const char *text) {
  c->host->counts.handshakes_late++;
  msub__conn_fail(c, MSUB_ERR_LIMIT, text);
}

/* The oldest connection that has not said anything: an honest dialer speaks first and at once. */
static bool evict_silent(msub_host *h) {
  for (msub__node *n = h->conns.next; n != &h->conns; n = n->next) { /* in order of age */
    msub__conn *c = MSUB__OF(n, msub__conn, in_conns);
    if (c->outbound || c->failed || c->heard_at || c->state != MSUB__CONN_SECURITY) continue;
    evict(c, "nothing was said while others wait");
    return true;
  }
  return false;
}

/* As many as others wait. */
static void evict_stalled(msub_host *h) {
  msub__node *waits = h->parked.next;
  for (msub__node *n = h->conns.next; n != &h->conns && waits != &h->parked; n = n->next) {
    msub__conn *c = MSUB__OF(n, msub__conn, in_conns);
    if (!c->admitted || c->failed || h->now.mono_ns - c->heard_at < MSUB__HOST_STALLED_NS) continue;
    evict(c, "the handshake stands still while others wait");
    waits = waits->next;
  }
}

void msub__gate_fired(msub__timer *t) {
  msub_host *h = MSUB__OF(t, msub_host, gate);
  evict_stalled(h);
  if (!msub__list_empty(&h->parked))
    msub__timer_start(h->wheel, t, msub__deadline(h->now.mono_ns, MSUB__HOST_STALLED_NS / 8));
}

const char *msub__gate_accept(msub_host *h, const msub__tr_addr *remote) {
  msub_bytes ip = msub__ip(remote);
  uint64_t most = msub__sat_mul_u64(h->o.max_pending_inbound, MSUB__HOST_WAITING);
  if (h->stopping) return why_stopping;
  if (h->inbound >= h->o.max_inbound && !msub__protect_spare(h, false)) return why_inbound;
  if (!msub__ipfilter_allows(h, remote, MSUB__FILTER_ACCEPT)) return why_filter;
  const char *why = by_address(h, ip);
  if (why) return why;
  if (msub_allows(h->engine, (msub_bytes){ NULL, 0 }, ip, &h->now, NULL) == MSUB_ERR_REFUSED)
    return why_cooldown;
  if (h->pending_in >= most && !evict_silent(h)) return why_unfinished;
  return NULL;
}

bool msub__gate_handshake(msub__conn *c) {
  msub_host *h = c->host;
  c->heard_at = h->now.mono_ns;
  if (c->outbound || c->admitted || c->state == MSUB__CONN_OPEN) return true;
  if (h->handshakes >= h->o.max_pending_inbound) {
    msub__list_push(&h->parked, &c->in_parked);
    if (!msub__timer_running(&h->gate)) msub__timer_start(h->wheel, &h->gate, h->now.mono_ns);
    return false;
  }
  c->admitted = true;
  h->handshakes++;
  return true;
}

void msub__gate_left(msub__conn *c) {
  msub_host *h = c->host;
  if (c->outbound) return;
  h->pending_in--;
  msub__list_remove(&c->in_parked);
  if (!c->admitted) return;
  c->admitted = false;
  h->handshakes--;
  msub__node *n = msub__list_first(&h->parked);
  if (!n) return;
  msub__list_remove(n);
  msub__conn *next = MSUB__OF(n, msub__conn, in_parked);
  next->admitted = true;
  h->handshakes++;
  msub__conn_resume(next);
}

/* A place for c, which has proved who it is. */
static bool place_for(msub_host *h, const msub__conn *c, msub_bytes peer_id) {
  if (c->outbound ? h->outbound < h->o.max_outbound : h->inbound < h->o.max_inbound) return true;
  bool gives_way = c->hinted && !msub__protect_has(h, peer_id);
  msub__conn *spare = gives_way ? NULL : msub__protect_spare(h, c->outbound);
  if (spare) msub__conn_fail(spare, MSUB_ERR_LIMIT, MSUB__PROTECT_WHY);
  return spare != NULL;
}

int msub__gate_open(msub_host *h, const msub__conn *c, msub_bytes peer_id, const char **why) {
  *why = "the peer has our own id";
  if (msub_bytes_eq(peer_id, h->self)) return MSUB_ERR_REFUSED;
  *why = "the peer is in cool-down";
  if (msub_allows(h->engine, peer_id, msub__ip(&c->remote), &h->now, NULL) == MSUB_ERR_REFUSED)
    return MSUB_ERR_REFUSED;
  *why = "too many connections";
  if (!place_for(h, c, peer_id)) return MSUB_ERR_LIMIT;
  *why = NULL;
  return MSUB_OK;
}
