/* multiformats/multiaddr_dial.c: addresses as a dialer takes them apart and a listener puts them together. */
#include "multiformats/multiaddr.h"

static bool host_of(uint16_t code, msub_addr_host *out) {
  switch (code) {
  case MSUB__MA_CODE_IP4: *out = MSUB_ADDR_IP4; return true;
  case MSUB__MA_CODE_IP6: *out = MSUB_ADDR_IP6; return true;
  case MSUB__MA_CODE_DNS: *out = MSUB_ADDR_DNS; return true;
  case MSUB__MA_CODE_DNS4: *out = MSUB_ADDR_DNS4; return true;
  case MSUB__MA_CODE_DNS6: *out = MSUB_ADDR_DNS6; return true;
  case MSUB__MA_CODE_DNSADDR: *out = MSUB_ADDR_DNSADDR; return true;
  case MSUB__MA_CODE_UNIX: *out = MSUB_ADDR_UNIX; return true;
  default: return false;
  }
}

/* host [tcp [ws]] [p2p]: whatever else stands there is no address for a TCP dialer. */
int msub_multiaddr_split(msub_bytes b, msub_addr *out) {
  const msub__ma_proto *p;
  msub_bytes v;
  bool has_tcp = false;
  if (msub_multiaddr_check(b) != MSUB_OK) return MSUB_ERR_MALFORMED;
  *out = (msub_addr){ .tcp = 0 };
  if (!msub__ma_take(&b, &p, &out->value)) return MSUB_ERR_MALFORMED;
  if (!host_of(p->code, &out->host)) return MSUB_ERR_UNSUPPORTED;
  while (b.n > 0) {
    if (!msub__ma_take(&b, &p, &v)) return MSUB_ERR_MALFORMED;
    if (p->code == MSUB__MA_CODE_TCP && !has_tcp) {
      has_tcp = true;
      out->tcp = (uint16_t)(v.p[0] << 8 | v.p[1]);
    } else if (p->code == MSUB__MA_CODE_WS && has_tcp && !out->ws) {
      out->ws = true;
    } else if (p->code == MSUB__MA_CODE_P2P && b.n == 0) {
      out->peer_id = v;
    } else {
      return MSUB_ERR_UNSUPPORTED;
    }
  }
  bool needs_tcp = out->host != MSUB_ADDR_DNSADDR && out->host != MSUB_ADDR_UNIX;
  return needs_tcp && !has_tcp ? MSUB_ERR_UNSUPPORTED : MSUB_OK;
}

int msub_multiaddr_tcp(msub_bytes ip, uint16_t port, msub_multiaddr *out) {
  uint8_t port_bytes[2] = { (uint8_t)(port >> 8), (uint8_t)port };
  out->n = 0;
  if (ip.n != 4 && ip.n != 16) return MSUB_ERR_INVAL;
  int rc = msub__ma_append(out, ip.n == 4 ? MSUB__MA_CODE_IP4 : MSUB__MA_CODE_IP6, ip);
  if (rc != MSUB_OK) return rc;
  return msub__ma_append(out, MSUB__MA_CODE_TCP, (msub_bytes){ port_bytes, 2 });
}

int msub_multiaddr_with_peer(msub_multiaddr *a, msub_bytes peer_id) {
  const msub__ma_proto *p = NULL;
  msub_bytes rest = { a->bytes, a->n }, v = { NULL, 0 };
  if (msub_peer_id_check(peer_id) != MSUB_OK || msub_multiaddr_check(rest) != MSUB_OK)
    return MSUB_ERR_MALFORMED;
  while (rest.n > 0) {
    if (!msub__ma_take(&rest, &p, &v)) return MSUB_ERR_MALFORMED;
  }
  if (p && p->code == MSUB__MA_CODE_P2P) return msub_bytes_eq(v, peer_id) ? MSUB_OK : MSUB_ERR_MISMATCH;
  if (p && p->code == MSUB__MA_CODE_UNIX) return MSUB_ERR_UNSUPPORTED; /* nothing can follow a path */
  return msub__ma_append(a, MSUB__MA_CODE_P2P, peer_id);
}
