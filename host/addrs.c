#define _DEFAULT_SOURCE /* getifaddrs */
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include "host/addrs.h"
#include "host/observed.h"
#include "multiformats/multiaddr.h"

static const uint8_t v4_in_v6[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

msub_bytes msub__ip(const msub__tr_addr *a) {
  if (a->n == 16 && memcmp(a->ip, v4_in_v6, sizeof v4_in_v6) == 0) return (msub_bytes){ a->ip + 12, 4 };
  if (a->n == 4 || a->n == 16) return (msub_bytes){ a->ip, a->n };
  return (msub_bytes){ NULL, 0 };
}

bool msub__ip_loopback(msub_bytes ip) {
  static const uint8_t v6[16] = { [15] = 1 };
  if (ip.n == 4) return ip.p[0] == 127;
  return ip.n == 16 && memcmp(ip.p, v6, sizeof v6) == 0;
}

bool msub__ip_same(msub_bytes a, msub_bytes b, unsigned bits) {
  if (a.n != b.n || bits > a.n * 8) return false;
  size_t whole = bits / 8;
  if (whole && memcmp(a.p, b.p, whole) != 0) return false;
  unsigned rest = bits % 8;
  return rest == 0 || (a.p[whole] ^ b.p[whole]) >> (8 - rest) == 0;
}

unsigned msub__net_bits(msub_bytes ip) { return ip.n == 4 ? 24 : 48; }
bool msub__net_same(const msub__tr_addr *a, const msub__tr_addr *b) { return msub__ip_same(msub__ip(a), msub__ip(b), msub__net_bits(msub__ip(a))); }

msub__tr_addr msub__network(const msub__tr_addr *a) {
  msub_bytes ip = msub__ip(a);
  msub__tr_addr net = { .n = (uint8_t)ip.n };
  if (ip.n > 0) memcpy(net.ip, ip.p, msub__net_bits(ip) / 8);
  return net;
}

void msub__addr_multi(const msub__tr_addr *a, msub_bytes peer_id, msub_multiaddr *out) {
  msub_bytes ip = msub__ip(a);
  out->n = 0;
  if (ip.n == 0 || msub_multiaddr_tcp(ip, a->port, out) != MSUB_OK) {
    out->n = 0;
    return;
  }
  if (a->ws) out->n = (uint16_t)(out->n + msub_varint_put(out->bytes + out->n, MSUB__MA_CODE_WS)); /* no value; there is room */
  if (peer_id.n > 0) (void)msub_multiaddr_with_peer(out, peer_id);
}

/* Taken apart; *a are views into *whole. */
static int take_apart(const char *text, msub_multiaddr *whole, msub_addr *a, msub__tr_addr *at, msub_peer_id *id, const char **why) {
  *why = "not a multiaddress";
  int err = msub_multiaddr_parse(text, whole);
  if (err != MSUB_OK) return err;
  *why = "not an address that TCP can reach";
  err = msub_multiaddr_split((msub_bytes){ whole->bytes, whole->n }, a);
  if (err != MSUB_OK) return err;
  if (a->host == MSUB_ADDR_UNIX) return MSUB_ERR_UNSUPPORTED;
  id->n = 0;
  if (a->peer_id.n > 0) {
    *why = "the /p2p part is no peer id";
    if (a->peer_id.n > MSUB_PEER_ID_MAX || msub_peer_id_check(a->peer_id) != MSUB_OK) return MSUB_ERR_MALFORMED;
    *id = msub_peer_id_of(a->peer_id);
  }
  *at = (msub__tr_addr){ .ws = a->ws, .port = a->tcp };
  if (a->host == MSUB_ADDR_IP4 || a->host == MSUB_ADDR_IP6) {
    at->n = (uint8_t)a->value.n;
    memcpy(at->ip, a->value.p, a->value.n);
  }
  *why = NULL;
  return MSUB_OK;
}

int msub__addr_parse(const char *text, msub_multiaddr *whole, msub__tr_addr *at, msub_peer_id *id,
                     const char **why) {
  msub_addr a;
  int err = take_apart(text, whole, &a, at, id, why);
  if (err != MSUB_OK || at->n > 0) return err;
  *why = "a name cannot be listened on: use a numeric /ip4 or /ip6 address";
  return MSUB_ERR_UNSUPPORTED;
}

int msub__addr_target(const char *text, msub_multiaddr *whole, msub__tr_addr *at, msub_peer_id *id, const char **why) {
  msub_addr a;
  return take_apart(text, whole, &a, at, id, why);
}

static bool unspecified(const msub__tr_addr *a) {
  for (unsigned i = 0; i < a->n; i++) {
    if (a->ip[i]) return false;
  }
  return true;
}

static bool add(const msub__tr_addr *a, msub_multiaddr *out, size_t cap, size_t *n) {
  if (*n == cap) return false;
  msub__addr_multi(a, (msub_bytes){ NULL, 0 }, &out[*n]);
  if (out[*n].n == 0) return true;
  for (size_t i = 0; i < *n; i++) {
    if (out[i].n == out[*n].n && memcmp(out[i].bytes, out[*n].bytes, out[i].n) == 0) return true;
  }
  ++*n;
  return true;
}

/* The addresses of the interfaces that are up, of the family of `l`; link-local ones need a zone and are left
 * out. */
static void add_interfaces(const msub__listener *l, msub_multiaddr *out, size_t cap, size_t *n) {
  struct ifaddrs *all = NULL;
  if (getifaddrs(&all) != 0) return;
  for (struct ifaddrs *i = all; i; i = i->ifa_next) {
    if (!i->ifa_addr || !(i->ifa_flags & IFF_UP)) continue;
    msub__tr_addr a = { .ws = l->at.ws, .port = l->at.port };
    if (i->ifa_addr->sa_family == AF_INET) {
      struct sockaddr_in in;
      memcpy(&in, i->ifa_addr, sizeof in);
      a.n = 4;
      memcpy(a.ip, &in.sin_addr, 4);
    } else if (i->ifa_addr->sa_family == AF_INET6 && l->at.n == 16) {
      struct sockaddr_in6 in;
      memcpy(&in, i->ifa_addr, sizeof in);
      if (IN6_IS_ADDR_LINKLOCAL(&in.sin6_addr)) continue;
      a.n = 16;
      memcpy(a.ip, &in.sin6_addr, 16);
    }
    if (a.n == l->at.n && !add(&a, out, cap, n)) break;
  }
  freeifaddrs(all);
}

size_t msub__addr_own(const msub_host *h, msub_multiaddr *out, size_t cap) {
  size_t n = 0;
  for (size_t i = 0; i < h->n_listeners; i++) {
    const msub__listener *l = &h->listeners[i];
    if (unspecified(&l->at))
      add_interfaces(l, out, cap, &n);
    else if (!add(&l->at, out, cap, &n))
      break;
  }
  return msub__observed_add_to(h, out, cap, n);
}
