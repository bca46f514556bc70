#include "host/mdns_message.h"
#include <string.h>
#include "host/addrs.h"
#include "wire/dns.h"

static const char service_text[] = "_p2p._udp.local", services_text[] = "_services._dns-sd._udp.local", local_text[] = "local";
static const char prefix[] = "dnsaddr=";
#define PREFIX (sizeof prefix - 1)
#define TEXT_MAX 255u /* of a string of TXT */
#define LOOKED_AT 64u /* records of TXT, and for each of PTR: no message makes us look at its pairs without end */

static msub__dns_name name_of(const char *text) {
  msub__dns_name n;
  if (msub__dns_name_from(msub_str(text), &n) != MSUB_OK) n.n = 0; /* they are names */
  return n;
}

void msub__mdns_label_make(const uint8_t random[MSUB__MDNS_LABEL], msub__mdns_label *out) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
  for (unsigned i = 0; i < MSUB__MDNS_LABEL; i++) out->bytes[i] = (uint8_t)letters[random[i] & 31];
}

/* ---- writing ---- */

size_t msub__mdns_question(uint8_t out[MSUB__MDNS_OUT]) {
  msub__dns_writer w;
  msub__dns_name service = name_of(service_text);
  msub__dns_begin(&w, out, MSUB__MDNS_OUT, 0, 0);
  msub__dns_ask(&w, &service, MSUB__DNS_PTR, MSUB__DNS_IN);
  return w.full ? 0 : w.n;
}

size_t msub__mdns_services(uint8_t out[MSUB__MDNS_OUT]) {
  msub__dns_writer w;
  msub__dns_name service = name_of(service_text), services = name_of(services_text);
  msub__dns_begin(&w, out, MSUB__MDNS_OUT, 0, MSUB__DNS_RESPONSE | MSUB__DNS_AUTHORITATIVE);
  (void)msub__dns_add(&w, MSUB__DNS_ANSWER, &services, MSUB__DNS_PTR, MSUB__DNS_IN, MSUB__HOST_MDNS_TTL_S, (msub_bytes){ service.bytes, service.n });
  return w.full ? 0 : w.n;
}

/* A string of TXT with its length in front; how many bytes, 0: it does not fit. */
static size_t put_text(const msub__tr_addr *a, msub_bytes self, uint8_t *out, size_t room) {
  msub_multiaddr m;
  char text[MSUB_MULTIADDR_TEXT];
  msub__addr_multi(a, self, &m);
  if (m.n == 0 || msub_multiaddr_text((msub_bytes){ m.bytes, m.n }, text, sizeof text) != MSUB_OK) return 0;
  size_t n = PREFIX + strlen(text);
  if (n > TEXT_MAX || n + 1 > room) return 0;
  out[0] = (uint8_t)n;
  memcpy(out + 1, prefix, PREFIX);
  memcpy(out + 1 + PREFIX, text, n - PREFIX);
  return n + 1;
}

size_t msub__mdns_answer(const msub__mdns_label *label, msub_bytes self, const msub__tr_addr *addrs, size_t n, uint32_t ttl_s, uint8_t out[MSUB__MDNS_OUT]) {
  uint8_t data[MSUB__MDNS_OUT];
  msub__dns_writer w;
  msub__dns_name service = name_of(service_text), local = name_of(local_text), mine, machine;
  msub_bytes first = { label->bytes, sizeof label->bytes };
  size_t texts = 0;
  bool four = false, six = false;
  if (n == 0 || msub__dns_name_under(first, &service, &mine) != MSUB_OK || msub__dns_name_under(first, &local, &machine) != MSUB_OK) return 0;
  msub__dns_begin(&w, out, MSUB__MDNS_OUT, 0, MSUB__DNS_RESPONSE | MSUB__DNS_AUTHORITATIVE);
  (void)msub__dns_add(&w, MSUB__DNS_ANSWER, &service, MSUB__DNS_PTR, MSUB__DNS_IN, ttl_s, (msub_bytes){ mine.bytes, mine.n });
  memset(data, 0, 4); /* priority, weight */
  data[4] = (uint8_t)(addrs[0].port >> 8);
  data[5] = (uint8_t)addrs[0].port;
  memcpy(data + 6, machine.bytes, machine.n);
  (void)msub__dns_add(&w, MSUB__DNS_ADDITIONAL, &mine, MSUB__DNS_SRV, MSUB__DNS_IN, ttl_s, (msub_bytes){ data, 6u + machine.n });
  for (size_t i = 0; i < n; i++) { /* one of each kind: it is what others look for, and not what they use */
    msub_bytes ip = msub__ip(&addrs[i]);
    bool *had = ip.n == 4 ? &four : &six;
    if (ip.n == 0 || *had) continue;
    *had = msub__dns_add(&w, MSUB__DNS_ADDITIONAL, &machine, ip.n == 4 ? MSUB__DNS_A : MSUB__DNS_AAAA, MSUB__DNS_IN, ttl_s, ip);
  }
  size_t room = w.full || w.cap - w.n < mine.n + 10u ? 0 : w.cap - w.n - mine.n - 10u;
  for (size_t i = 0; i < n; i++) texts += put_text(&addrs[i], self, data + texts, room - texts);
  if (texts == 0) return 0;
  (void)msub__dns_add(&w, MSUB__DNS_ADDITIONAL, &mine, MSUB__DNS_TXT, MSUB__DNS_IN, ttl_s, (msub_bytes){ data, texts });
  return w.full ? 0 : w.n;
}

/* ---- reading ---- */

bool msub__mdns_budget_has(msub__mdns_budget *b, uint64_t now, bool take) {
  if (msub__passed(msub__deadline(b->since, MSUB__S), now)) *b = (msub__mdns_budget){ .since = now };
  if (b->n >= MSUB__HOST_MDNS_PACKETS) return false;
  b->n += take;
  return true;
}

bool msub__mdns_private(msub_bytes ip) {
  if (ip.n == 4)
    return ip.p[0] == 10 || (ip.p[0] == 172 && (ip.p[1] & 0xf0) == 16) || (ip.p[0] == 192 && ip.p[1] == 168) || (ip.p[0] == 169 && ip.p[1] == 254);
  return ip.n == 16 && (ip.p[0] & 0xfe) == 0xfc;
}

bool msub__mdns_link_local(msub_bytes ip) { return ip.n == 16 && ip.p[0] == 0xfe && (ip.p[1] & 0xc0) == 0x80; }

static bool is_class(uint16_t class) {
  class &= (uint16_t)~MSUB__DNS_TOP;
  return class == MSUB__DNS_IN || class == MSUB__DNS_ANY;
}

static bool is_under(const msub__dns_name *n, const msub__dns_name *service) {
  size_t label = n->n > 0 ? n->bytes[0] + 1u : 0;
  if (label <= 1 || n->n != label + service->n) return false;
  msub__dns_name rest = { .n = service->n };
  memcpy(rest.bytes, n->bytes + label, service->n);
  return msub__dns_name_eq(&rest, service);
}

/* Does a PTR of the service in this message lead there? Programs on rust-libp2p have names that are not below the service's. */
static bool is_named(msub_bytes message, const msub__dns_name *service, const msub__dns_name *name) {
  msub__dns_reader r;
  msub__dns_record rec;
  msub__dns_name to;
  if (msub__dns_open(&r, message) != MSUB_OK) return false;
  for (unsigned i = 0; i < LOOKED_AT && msub__dns_next(&r, &rec); i++)
    if (rec.section == MSUB__DNS_ANSWER && rec.type == MSUB__DNS_PTR && is_class(rec.class) && msub__dns_name_eq(&rec.name, service) &&
        msub__dns_data_name(&r, &rec, 0, &to) == MSUB_OK && msub__dns_name_eq(&to, name))
      return true;
  return false;
}

static void take_place(msub_bytes text, msub_bytes sender, uint32_t ttl, msub__mdns_heard *out) {
  char addr[TEXT_MAX + 1];
  msub_multiaddr m;
  msub_addr a;
  if (text.n <= PREFIX || text.n > TEXT_MAX || memcmp(text.p, prefix, PREFIX) != 0 || memchr(text.p, 0, text.n)) return;
  memcpy(addr, text.p + PREFIX, text.n - PREFIX);
  addr[text.n - PREFIX] = 0;
  if (msub_multiaddr_parse(addr, &m) != MSUB_OK || msub_multiaddr_split((msub_bytes){ m.bytes, m.n }, &a) != MSUB_OK) return;
  if ((a.host != MSUB_ADDR_IP4 && a.host != MSUB_ADDR_IP6) || a.tcp == 0 || a.peer_id.n == 0 || msub_peer_id_check(a.peer_id) != MSUB_OK) return;
  if (msub__mdns_link_local(a.value)) {
    out->zoneless++;
    return;
  }
  if (out->n == MSUB__HOST_MDNS_PLACES || !(msub__mdns_private(a.value) || msub_bytes_eq(a.value, sender))) {
    out->refused++;
    return;
  }
  msub__mdns_place *p = &out->places[out->n++];
  *p = (msub__mdns_place){ .at = { .n = (uint8_t)a.value.n, .ws = a.ws, .port = a.tcp }, .ttl_s = ttl < MSUB__HOST_MDNS_TTL_S ? ttl : MSUB__HOST_MDNS_TTL_S };
  memcpy(p->at.ip, a.value.p, a.value.n);
  p->id.n = (uint8_t)a.peer_id.n;
  memcpy(p->id.bytes, a.peer_id.p, a.peer_id.n);
}

bool msub__mdns_understand(msub_bytes message, msub_bytes sender, const msub__mdns_label *label, msub__mdns_heard *out) {
  msub__dns_reader r;
  msub__dns_record rec;
  msub__dns_name service = name_of(service_text), services = name_of(services_text), mine, known;
  out->asks = out->asks_services = false;
  out->n = out->refused = out->zoneless = 0;
  if (msub__dns_open(&r, message) != MSUB_OK || msub__dns_name_under((msub_bytes){ label->bytes, sizeof label->bytes }, &service, &mine) != MSUB_OK) return false;
  bool response = r.flags & MSUB__DNS_RESPONSE;
  unsigned n_texts = 0;
  if (r.flags & (0x7800 | MSUB__DNS_RCODE)) return true; /* another operation, or an error: nothing to us */
  while (msub__dns_next(&r, &rec)) {
    if (!is_class(rec.class)) continue;
    if (rec.section == MSUB__DNS_QUESTION) {
      if (response || (rec.type != MSUB__DNS_PTR && rec.type != MSUB__DNS_ANY)) continue;
      out->asks |= msub__dns_name_eq(&rec.name, &service);
      out->asks_services |= msub__dns_name_eq(&rec.name, &services);
    } else if (!response) {
      if (rec.section == MSUB__DNS_ANSWER && rec.type == MSUB__DNS_PTR && rec.ttl >= MSUB__HOST_MDNS_TTL_S / 2 && msub__dns_name_eq(&rec.name, &service) &&
          msub__dns_data_name(&r, &rec, 0, &known) == MSUB_OK && msub__dns_name_eq(&known, &mine))
        out->asks = false;
    } else if (rec.type == MSUB__DNS_TXT && n_texts++ < LOOKED_AT && (is_under(&rec.name, &service) || is_named(message, &service, &rec.name))) {
      msub_bytes data = rec.data, text;
      while (msub__dns_take_text(&data, &text)) take_place(text, sender, rec.ttl, out);
    }
  }
  if (r.bad) *out = (msub__mdns_heard){ 0 };
  return !r.bad;
}
