#include <string.h>
#include "host/lookup.h"

typedef struct ask { /* one question of a lookup */
  msub__node in_list;
  msub__lookup *of; /* NULL: nobody waits any more */
  msub_host *host;
  msub_addr_host kind;
  uint16_t tcp;
  uint8_t depth;
  bool ws;
  msub_peer_id id;
} ask;

struct msub__lookup {
  msub_host *host;
  msub__node in_lookups, asks;
  msub__timer timer;
  uint64_t deadline;
  unsigned n_names, n;
  msub__place places[MSUB__HOST_RACE_ADDRS];
  int err;
  const char *text;
  msub__lookup_done done;
  void *own;
};

/* ---- ending ---- */

static void forget_asks(msub__lookup *l) {
  for (msub__node *n; (n = msub__list_first(&l->asks));) {
    msub__list_remove(n);
    MSUB__OF(n, ask, in_list)->of = NULL;
    msub__list_push(&l->host->names.orphans, n);
  }
}

void msub__lookup_cancel(msub__lookup *l) {
  msub_host *h = l->host;
  forget_asks(l);
  msub__timer_stop(h->wheel, &l->timer);
  msub__list_remove(&l->in_lookups);
  h->names.n_lookups--;
  msub__free(&h->mem, l, sizeof *l);
}

static void finish(msub__lookup *l) {
  msub_host *h = l->host;
  msub__lookup copy = *l;
  msub__lookup_cancel(l);
  if (copy.n > 0) copy.err = MSUB_OK, copy.text = NULL;
  if (copy.err != MSUB_OK) h->counts.lookups_failed++;
  copy.done(copy.own, copy.err, copy.text, copy.places, copy.n);
}

static void late(msub__timer *t) {
  msub__lookup *l = MSUB__OF(t, msub__lookup, timer);
  l->err = MSUB_ERR_TIMEOUT;
  l->text = "the name was not looked up in time";
  finish(l);
}

/* ---- asking ---- */

static void add_place(msub__lookup *l, const msub__tr_addr *at, const msub_peer_id *id) {
  if (l->n == MSUB__HOST_RACE_ADDRS || at->port == 0) return;
  l->places[l->n++] = (msub__place){ *at, *id };
}

static void answered(void *own, const msub__dns_answer *a);

static int ask_name(msub__lookup *l, const msub_addr *a, unsigned depth) {
  static const char prefix[] = "_dnsaddr.";
  msub_host *h = l->host;
  uint8_t text[sizeof prefix + 255];
  msub_bytes name = a->value;
  msub__dns_kind kind = a->host == MSUB_ADDR_DNS4 ? MSUB__DNS_IP4 : a->host == MSUB_ADDR_DNS6 ? MSUB__DNS_IP6 : MSUB__DNS_IPS;
  if (l->n_names == MSUB__HOST_DNS_NAMES || depth > MSUB__HOST_DNS_DEPTH) return MSUB_ERR_LIMIT;
  ask *k = msub__zalloc(&h->mem, 1, sizeof *k);
  if (!k) return MSUB_ERR_NOMEM;
  *k = (ask){ .of = l, .host = h, .kind = a->host, .tcp = a->tcp, .ws = a->ws, .depth = (uint8_t)depth, .id = msub_peer_id_of(a->peer_id) };
  if (a->host == MSUB_ADDR_DNSADDR) {
    kind = MSUB__DNS_TEXTS;
    memcpy(text, prefix, sizeof prefix - 1);
    memcpy(text + sizeof prefix - 1, name.p, name.n); /* at most 255: peer_id.h */
    name = (msub_bytes){ text, sizeof prefix - 1 + name.n };
  }
  msub__list_init(&k->in_list);
  msub__list_push(&l->asks, &k->in_list);
  l->n_names++;
  h->counts.lookups++;
  int err = msub__dns_look_up(h->names.dns, kind, name, l->deadline, answered, k);
  if (err != MSUB_OK) {
    msub__list_remove(&k->in_list);
    msub__free(&h->mem, k, sizeof *k);
  }
  return err;
}

/* One address of a dnsaddr record, or the one that all began with. */
static int expand(msub__lookup *l, msub_bytes multiaddr, unsigned depth) {
  msub_addr a;
  int err = msub_multiaddr_split(multiaddr, &a);
  if (err != MSUB_OK) return err;
  if (a.peer_id.n > MSUB_PEER_ID_MAX || a.host == MSUB_ADDR_UNIX) return MSUB_ERR_UNSUPPORTED;
  if (a.host != MSUB_ADDR_IP4 && a.host != MSUB_ADDR_IP6) return ask_name(l, &a, a.host == MSUB_ADDR_DNSADDR ? depth + 1 : depth);
  msub__tr_addr at = { .n = (uint8_t)a.value.n, .ws = a.ws, .port = a.tcp };
  msub_peer_id id = msub_peer_id_of(a.peer_id);
  memcpy(at.ip, a.value.p, a.value.n);
  add_place(l, &at, &id);
  return MSUB_OK;
}

/* ---- answers ---- */

static void take_texts(msub__lookup *l, const ask *k, const msub__dns_answer *a) {
  static const char key[] = "dnsaddr=";
  char text[MSUB__HOST_DNS_TEXT + 1];
  msub_multiaddr addr;
  msub_addr parts;
  for (unsigned i = 0; i < a->n; i++) {
    const msub__dns_text *t = &a->texts[i];
    if (t->n < sizeof key || memcmp(t->bytes, key, sizeof key - 1) != 0 || memchr(t->bytes, 0, t->n)) continue;
    memcpy(text, t->bytes + sizeof key - 1, t->n - (sizeof key - 1));
    text[t->n - (sizeof key - 1)] = 0;
    if (msub_multiaddr_parse(text, &addr) != MSUB_OK) continue;
    msub_bytes b = { addr.bytes, addr.n };
    if (msub_multiaddr_split(b, &parts) != MSUB_OK) continue; /* udp, quic, …: nothing for us */
    if (k->id.n > 0 && !msub_bytes_eq(parts.peer_id, msub_peer_id_bytes(&k->id))) continue;
    if (k->tcp != 0 && parts.tcp != k->tcp) continue;
    (void)expand(l, b, k->depth); /* what is too much is left out */
  }
}

static void answered(void *own, const msub__dns_answer *a) {
  ask *k = own;
  msub__lookup *l = k->of;
  msub_host *h = k->host;
  ask copy = *k;
  msub__list_remove(&k->in_list);
  msub__free(&h->mem, k, sizeof *k);
  if (!l) return;
  if (a->err != MSUB_OK) {
    l->err = a->err;
    l->text = a->text;
  } else if (copy.kind == MSUB_ADDR_DNSADDR) {
    take_texts(l, &copy, a);
  } else {
    for (unsigned i = 0; i < a->n; i++) {
      msub__tr_addr at = a->ips[i];
      at.port = copy.tcp;
      at.ws = copy.ws;
      add_place(l, &at, &copy.id);
    }
  }
  if (msub__list_empty(&l->asks)) finish(l);
}

/* ---- making ---- */

int msub__lookup_begin(msub_host *h, msub_bytes multiaddr, msub__lookup_done done, void *own, msub__lookup **out) {
  msub_addr a;
  int err = msub_multiaddr_split(multiaddr, &a);
  if (err == MSUB_OK && (a.host == MSUB_ADDR_IP4 || a.host == MSUB_ADDR_IP6)) err = MSUB_ERR_UNSUPPORTED;
  if (err == MSUB_OK && h->names.n_lookups == MSUB__HOST_LOOKUPS) err = MSUB_ERR_LIMIT;
  if (err == MSUB_OK && !h->names.dns) err = msub__dns_new(h->o.dns.server, msub__wake_signal, &h->wake, &h->names.dns);
  if (err != MSUB_OK) return err;
  msub__lookup *l = msub__zalloc(&h->mem, 1, sizeof *l);
  if (!l) return MSUB_ERR_NOMEM;
  *l = (msub__lookup){ .host = h, .err = MSUB_ERR_NOTFOUND, .text = "the name leads to no address that TCP can reach", .done = done, .own = own };
  l->deadline = msub__deadline(h->now.mono_ns, h->o.dns.timeout_ns);
  msub__timer_init(&l->timer, late);
  msub__list_init(&l->in_lookups);
  msub__list_init(&l->asks);
  msub__list_push(&h->names.lookups, &l->in_lookups);
  h->names.n_lookups++;
  msub__timer_start(h->wheel, &l->timer, l->deadline);
  err = expand(l, multiaddr, 0);
  if (err != MSUB_OK) msub__lookup_cancel(l);
  else *out = l;
  return err;
}

void msub__lookup_step(msub_host *h) {
  if (h->names.dns) msub__dns_step(h->names.dns);
}

void msub__lookup_fini(msub_host *h) {
  msub__dns_free(h->names.dns);
  h->names.dns = NULL;
  for (msub__node *n; (n = msub__list_first(&h->names.orphans));) {
    msub__list_remove(n);
    msub__free(&h->mem, MSUB__OF(n, ask, in_list), sizeof(ask));
  }
}
