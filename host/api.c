/* host/api.c: what the program calls, apart from making, running and freeing a host. */
#include <stdlib.h>
#include <string.h>
#include "host/addrs.h"
#include "host/dialer.h"
#include "host/identify.h"
#include "host/manager.h"
#include "host/named.h"
#include "host/neighbours.h"
#include "host/observed.h"
#include "host/peers.h"
#include "host/ping.h"
#include "host/protect.h"
#include "host/race.h"

/* ---- the program's calls ---- */

msub_engine *msub_host_engine(msub_host *h) { return h->engine; }
msub_bytes msub_host_peer_id(const msub_host *h) { return h->self; }

const msub_now *msub_host_now(msub_host *h) {
  if (h->in_engine) return NULL;
  if (!h->in_turn) msub__tick(h);
  return &h->now;
}

int msub_host_listen(msub_host *h, const char *multiaddr, const char **why) {
  msub_multiaddr whole;
  msub__tr_addr at;
  msub_peer_id id;
  const char *text;
  const char **w = why ? why : &text;
  int err = msub__addr_parse(multiaddr, &whole, &at, &id, w);
  if (err != MSUB_OK) return err;
  *w = "16 listeners are open";
  if (h->n_listeners == MSUB__HOST_LISTENERS) return MSUB_ERR_LIMIT;
  msub__listener *l = &h->listeners[h->n_listeners];
  *w = "listening failed";
  err = h->tr->listen(h->tr_self, &at, &l->tr, &at.port, w);
  if (err != MSUB_OK) return err == MSUB_ERR_REFUSED ? MSUB_ERR_IO : err;
  *w = NULL;
  l->at = at;
  h->n_listeners++;
  msub__neighbours_listen(h);
  msub__tick(h);
  msub__record_renew(h);
  msub__addr_multi(&at, h->self, &whole);
  msub_host_event ev = { .kind = MSUB_EV_LISTENING, .addr = { whole.bytes, whole.n } };
  msub__identify_changed(h);
  msub__emit(h, &ev);
  return MSUB_OK;
}

int msub_host_addr(const msub_host *h, size_t i, char *out, size_t cap) {
  msub_multiaddr a;
  if (i >= h->n_listeners) return MSUB_ERR_NOTFOUND;
  msub__addr_multi(&h->listeners[i].at, h->self, &a);
  return msub_multiaddr_text((msub_bytes){ a.bytes, a.n }, out, cap);
}

int msub_host_dial(msub_host *h, const char *multiaddr, uint64_t cookie) {
  return msub__dialer_add(h, multiaddr, cookie);
}

static void peer_dialled(msub_host *h, const msub__race *r, int err, const char *text) {
  if (err == MSUB_OK) return; /* the connection was the event */
  msub__dial d = { .expect = r->id, .cookie = r->cookie };
  if (r->next > 0) msub__addr_multi(&r->at[r->next - 1], msub_peer_id_bytes(&r->id), &d.addr);
  msub__dialer_tell(h, &d, err, text);
}

int msub_host_dial_peer(msub_host *h, msub_bytes peer_id, uint64_t cookie) {
  if (msub_peer_id_check(peer_id) != MSUB_OK) return MSUB_ERR_INVAL;
  if (msub_bytes_eq(peer_id, h->self)) return MSUB_ERR_REFUSED;
  msub__race r = { .id = msub_peer_id_of(peer_id), .cookie = cookie, .done = peer_dialled };
  if (msub__peers_find(h, peer_id)) { /* said in the next turn */
    msub__dial d = { .expect = r.id, .cookie = cookie };
    return msub__dialer_queue(h, &d);
  }
  msub__race_from_book(h, &r, false);
  return msub__race_begin(h, &r);
}

int msub_host_keep(msub_host *h, const char *multiaddr) { return msub__dialer_keep(h, multiaddr); }

int msub_host_disconnect(msub_host *h, msub_bytes peer_id) {
  bool kept = msub__dialer_forget(h, peer_id);
  msub__peer *p = msub__peers_find(h, peer_id);
  msub__named_cancel(h, NULL, peer_id);
  msub__race_cancel(h, peer_id);
  if (p) msub__peer_close(p, MSUB_OK, "the program asked for it");
  return p || kept ? MSUB_OK : MSUB_ERR_NOTFOUND;
}

int msub_host_ping(msub_host *h, msub_bytes peer_id, void (*done)(void *ud, uint64_t rtt_ns), void *ud) {
  msub__peer *p = msub__peers_find(h, peer_id);
  msub__conn *c = p ? msub__peer_newest(p) : NULL;
  if (!c) return MSUB_ERR_NOTFOUND;
  return msub__ping_send(c, done, ud);
}

int msub_host_peer_at(msub_host *h, size_t i, msub_host_peer *out) {
  if (i >= h->n_peers) return MSUB_ERR_NOTFOUND;
  const msub__peer *p = h->peers[i];
  const msub__conn *c = msub__peer_newest(p);
  *out = (msub_host_peer){ .peer_id = msub__peer_bytes(p),
                           .agent = p->text ? p->text : "",
                           .protocols = p->protocols,
                           .n_protocols = p->n_protocols,
                           .connections = p->n_conns,
                           .value = msub__manager_value(p),
                           .is_protected = msub__protect_has(h, msub__peer_bytes(p)) };
  if (c) {
    msub__conn_addr(c, &h->addr_view);
    out->addr = (msub_bytes){ h->addr_view.bytes, h->addr_view.n };
    out->outbound = c->outbound;
  }
  for (size_t g = 0; g < p->n_sess; g++) {
    const msub__sess *s = &p->sess[g];
    out->queued_bytes += msub__lanes_queued(&s->lanes);
    if (out->protocol || !s->out) continue;
    out->protocol = (const char *)s->group->ids[s->proto].p;
    out->agreed = s->agreed;
  }
  return MSUB_OK;
}

size_t msub_host_peer_ip(void *host, msub_bytes peer_id, uint8_t out[16]) {
  msub_host *h = host;
  const msub__peer *p = msub__peers_find(h, peer_id);
  const msub__conn *c = p ? msub__peer_newest(p) : NULL;
  msub_bytes ip = c ? msub__ip(&c->remote) : (msub_bytes){ NULL, 0 };
  if (ip.n == 0 || (!h->o.count_loopback && msub__ip_loopback(ip))) return 0;
  memcpy(out, ip.p, ip.n);
  return ip.n;
}

const msub_host_counts *msub_host_count(msub_host *h) {
  h->counts.connections = h->inbound + h->outbound;
  h->counts.half_open = h->pending_in + h->n_dials;
  if (h->o.max_bytes > 0) {
    h->counts.memory_bytes = atomic_load_explicit(&h->budget.used, memory_order_relaxed);
    h->counts.memory_refused = atomic_load_explicit(&h->budget.refused, memory_order_relaxed);
  }
  return &h->counts;
}

/* ---- from other threads ---- */

int msub_host_post(msub_host *h, void (*fn)(msub_host *, void *), void *arg) {
  return msub__inbox_post(&h->inbox, (msub__call){ fn, arg });
}

typedef struct published {
  msub_topic topic;
  size_t n;
  uint8_t bytes[];
} published;

void msub__publish_now(msub_host *h, void *arg) {
  published *p = arg;
  int err = msub_publish(h->engine, p->topic, (msub_bytes){ p->bytes, p->n }, &h->now, NULL);
  if (err != MSUB_OK && h->o.on_result) h->o.on_result(h->o.ud, h, (msub_token){ 0 }, err, 0);
  free(p);
}

int msub_host_publish(msub_host *h, msub_topic t, msub_bytes data) {
  if (data.n > h->o.engine.max_message) return MSUB_ERR_LIMIT;
  published *p = malloc(sizeof *p + data.n);
  if (!p) return MSUB_ERR_NOMEM;
  p->topic = t;
  p->n = data.n;
  if (data.n > 0) memcpy(p->bytes, data.p, data.n);
  int err = msub_host_post(h, msub__publish_now, p);
  if (err != MSUB_OK) free(p);
  return err;
}
