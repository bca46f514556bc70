/* tests/host/test_mdns.c: multicast DNS: its messages, its limits, and hosts on the multicast of a network namespace, which takes root. usage: test_mdns CASE */
#define _GNU_SOURCE /* unshare */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "host/mdns.h"
#include "host/neighbours.h"
#include "host_node.h"
#include "meshsub/gossipsub.h"
#include "wire/dns.h"

static const uint8_t sender[4] = { 10, 9, 8, 7 };
#define SENDER ((msub_bytes){ sender, 4 })
#define ID "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
static msub__mdns_label label, other;
static msub__mdns_heard heard;

static msub_peer_id an_id(unsigned i) {
  msub_key *k;
  msub_peer_id id;
  MUST(msub_key_from_seed((uint8_t[32]){ (uint8_t)i, (uint8_t)(i >> 8), 5 }, &k));
  msub_bytes b = msub_key_peer_id(k);
  id.n = (uint8_t)b.n;
  memcpy(id.bytes, b.p, b.n);
  msub_key_free(k);
  return id;
}
static void labels(void) {
  uint8_t random[MSUB__MDNS_LABEL];
  for (unsigned i = 0; i < sizeof random; i++) random[i] = (uint8_t)(i * 37);
  msub__mdns_label_make(random, &label);
  random[0] ^= 1;
  msub__mdns_label_make(random, &other);
  CHECK(memcmp(&label, &other, sizeof label) != 0);
  for (unsigned i = 0; i < sizeof label.bytes; i++) CHECK((label.bytes[i] >= 'a' && label.bytes[i] <= 'z') || (label.bytes[i] >= '2' && label.bytes[i] <= '7'));
}
static bool hears(const uint8_t *p, size_t n) { return msub__mdns_understand((msub_bytes){ p, n }, SENDER, &label, &heard); }
static msub__dns_name name(const char *text) {
  msub__dns_name n;
  MUST(msub__dns_name_from(msub_str(text), &n));
  return n;
}
static msub__tr_addr ip4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port) { return (msub__tr_addr){ .n = 4, .ip = { a, b, c, d }, .port = port }; }

/* ---- messages ---- */

static void messages(void) {
  uint8_t out[MSUB__MDNS_OUT], more[MSUB__MDNS_OUT];
  msub_peer_id self = an_id(1);
  msub__tr_addr at[3] = { ip4(10, 9, 8, 7, 4001), ip4(192, 168, 1, 2, 4002), { .n = 16, .ip = { 0xfd, 1, [15] = 9 }, .port = 4003 } };
  labels();
  size_t n = msub__mdns_question(out);
  CHECK(n > 0 && hears(out, n) && heard.asks && !heard.asks_services && heard.n == 0);
  for (size_t cut = 0; cut < n; cut++) CHECK(!hears(out, cut));
  n = msub__mdns_services(out);
  CHECK(n > 0 && hears(out, n) && !heard.asks && heard.n == 0);
  n = msub__mdns_answer(&other, msub_peer_id_bytes(&self), at, 3, 77, out);
  CHECK(n > 0 && hears(out, n) && !heard.asks && heard.n == 3 && heard.refused == 0);
  for (unsigned i = 0; i < 3; i++) {
    CHECK(msub__tr_addr_same(&heard.places[i].at, &at[i]) && heard.places[i].ttl_s == 77);
    CHECK(msub_bytes_eq(msub_peer_id_bytes(&heard.places[i].id), msub_peer_id_bytes(&self)));
  }
  for (size_t cut = 0; cut < n; cut++) CHECK(!hears(out, cut) && heard.n == 0);
  CHECK(msub__mdns_answer(&other, msub_peer_id_bytes(&self), at, 0, 77, out) == 0);
  /* What others ask: of any type, of any class, to be answered alone; not another name, type or class. */
  static const struct { const char *name; uint16_t type, class; bool asks, services; } questions[] = {
    { "_p2p._udp.local", MSUB__DNS_ANY, MSUB__DNS_IN, true, false }, { "_P2P._UDP.LOCAL", MSUB__DNS_PTR, MSUB__DNS_IN | MSUB__DNS_TOP, true, false },
    { "_p2p._udp.local", MSUB__DNS_PTR, 255, true, false },          { "_services._dns-sd._udp.local", MSUB__DNS_PTR, MSUB__DNS_IN, false, true },
    { "_p2p._udp.local", MSUB__DNS_TXT, MSUB__DNS_IN, false, false }, { "_p2p._tcp.local", MSUB__DNS_PTR, MSUB__DNS_IN, false, false },
    { "_p2p._udp.local", MSUB__DNS_PTR, 3, false, false } };
  for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
    static const uint16_t flags[] = { 0, MSUB__DNS_RESPONSE, 0x2800, 3 }; /* a response, another operation, an error: no question */
    for (unsigned f = 0; f < 4; f++) {
      msub__dns_writer w;
      msub__dns_name q = name(questions[i].name);
      msub__dns_begin(&w, more, sizeof more, 9, flags[f]);
      msub__dns_ask(&w, &q, questions[i].type, questions[i].class);
      CHECK(!w.full && hears(more, w.n) && heard.asks == (questions[i].asks && f == 0) && heard.asks_services == (questions[i].services && f == 0));
    }
  }
  /* Somebody who knows our answer does not ask; his own answer, or an old one of ours, is another thing. */
  for (unsigned i = 0; i < 4; i++) {
    msub__dns_writer w;
    msub__dns_name service = name("_p2p._udp.local"), mine;
    MUST(msub__dns_name_under((msub_bytes){ i == 1 ? other.bytes : label.bytes, MSUB__MDNS_LABEL }, &service, &mine));
    msub__dns_begin(&w, more, sizeof more, 0, 0);
    msub__dns_ask(&w, &service, MSUB__DNS_PTR, MSUB__DNS_IN);
    CHECK(msub__dns_add(&w, MSUB__DNS_ANSWER, &service, i == 3 ? MSUB__DNS_TXT : MSUB__DNS_PTR, MSUB__DNS_IN, MSUB__HOST_MDNS_TTL_S / 2 - (i == 2),
                        (msub_bytes){ mine.bytes, mine.n }));
    CHECK(hears(more, w.n) && heard.asks == (i > 0));
  }
}

/* A response with TXT records of `text`s, by their own name or another one. */
static size_t told(uint8_t *out, size_t cap, const char *owner, const char *ptr, const char *const *texts, size_t n, uint32_t ttl, bool apart) {
  msub__dns_writer w;
  msub__dns_name service = name("_p2p._udp.local"), mine = name(owner), to = name(ptr);
  static uint8_t data[16384];
  size_t used = 0;
  msub__dns_begin(&w, out, cap, 0, MSUB__DNS_RESPONSE);
  CHECK(msub__dns_add(&w, MSUB__DNS_ANSWER, &service, MSUB__DNS_PTR, MSUB__DNS_IN, ttl, (msub_bytes){ to.bytes, to.n }));
  for (size_t i = 0; i < n; i++) {
    size_t len = strlen(texts[i]);
    data[used++] = (uint8_t)len;
    memcpy(data + used, texts[i], len);
    used += len;
    if (!apart && i + 1 < n) continue;
    CHECK(msub__dns_add(&w, MSUB__DNS_ADDITIONAL, &mine, MSUB__DNS_TXT, MSUB__DNS_IN | MSUB__DNS_TOP, ttl, (msub_bytes){ data, used }));
    used = 0;
  }
  return w.n;
}

static void places(void) {
  static uint8_t out[MSUB__HOST_MDNS_PACKET];
  labels();
  static const struct { const char *text; unsigned taken, refused; } rows[] = {
    { "dnsaddr=/ip4/10.1.2.3/tcp/4001/p2p/" ID, 1, 0 },     { "dnsaddr=/ip4/172.15.0.1/tcp/4001/p2p/" ID, 0, 1 },
    { "dnsaddr=/ip4/172.16.0.1/tcp/4001/p2p/" ID, 1, 0 },   { "dnsaddr=/ip4/172.31.0.1/tcp/4001/p2p/" ID, 1, 0 },
    { "dnsaddr=/ip4/172.32.0.1/tcp/4001/p2p/" ID, 0, 1 },   { "dnsaddr=/ip4/192.168.0.1/tcp/4001/p2p/" ID, 1, 0 },
    { "dnsaddr=/ip4/192.169.0.1/tcp/4001/p2p/" ID, 0, 1 },  { "dnsaddr=/ip4/169.254.0.1/tcp/4001/p2p/" ID, 1, 0 },
    { "dnsaddr=/ip4/8.8.8.8/tcp/4001/p2p/" ID, 0, 1 },      { "dnsaddr=/ip4/127.0.0.1/tcp/4001/p2p/" ID, 0, 1 },
    { "dnsaddr=/ip6/fd00::1/tcp/4001/p2p/" ID, 1, 0 },      { "dnsaddr=/ip6/fe80::1/tcp/4001/p2p/" ID, 0, 0 },
    { "dnsaddr=/ip6/2001:db8::1/tcp/4001/p2p/" ID, 0, 1 },  { "dnsaddr=/ip6/::1/tcp/4001/p2p/" ID, 0, 1 },
    { "dnsaddr=/ip4/10.1.2.3/tcp/4001/ws/p2p/" ID, 1, 0 },  { "dnsaddr=/ip4/10.1.2.3/udp/4001/quic-v1/p2p/" ID, 0, 0 },
    { "dnsaddr=/dns4/host.local/tcp/4001/p2p/" ID, 0, 0 },  { "dnsaddr=/ip4/10.1.2.3/tcp/0/p2p/" ID, 0, 0 },
    { "dnsaddr=/ip4/10.1.2.3/tcp/4001", 0, 0 },             { "dnsaddr=/ip4/10.1.2.3/tcp/4001/p2p/Qm", 0, 0 },
    { "dnsaddr=", 0, 0 }, { "", 0, 0 }, { "addr=/ip4/10.1.2.3/tcp/4001/p2p/" ID, 0, 0 }, { "DNSADDR=/ip4/10.1.2.3/tcp/4001/p2p/" ID, 0, 0 },
  };
  const char *all[sizeof rows / sizeof *rows];
  unsigned taken = 0, refused = 0;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    all[i] = rows[i].text;
    taken += rows[i].taken;
    refused += rows[i].refused;
    size_t n = told(out, sizeof out, "me._p2p._udp.local", "me._p2p._udp.local", &rows[i].text, 1, 9, false);
    CHECK(hears(out, n) && heard.n == rows[i].taken && heard.refused == rows[i].refused);
  }
  for (unsigned apart = 0; apart < 2; apart++) { /* in one record, and in one each */
    size_t n = told(out, sizeof out, "me._p2p._udp.local", "me._p2p._udp.local", all, sizeof rows / sizeof *rows, 9, apart);
    CHECK(hears(out, n) && heard.n == taken && heard.refused == refused);
  }
  /* A link-local one of IPv6 never is, not the sender's own either: it would be dialled without its zone. */
  static const struct { const char *text; uint8_t from[16]; unsigned taken, zoneless; } six[] = {
    { "dnsaddr=/ip6/fe80::1/tcp/4001/p2p/" ID, { 0xfe, 0x80, [15] = 1 }, 0, 1 }, { "dnsaddr=/ip6/febf:ffff::1/tcp/4001/p2p/" ID, { 0xfe, 0x80, [15] = 1 }, 0, 1 },
    { "dnsaddr=/ip6/fec0::1/tcp/4001/p2p/" ID, { 0xfe, 0xc0, [15] = 1 }, 1, 0 }, { "dnsaddr=/ip6/fe7f:ffff::1/tcp/4001/p2p/" ID, { 0xfe, 0x80, [15] = 1 }, 0, 0 },
    { "dnsaddr=/ip6/2001:db8::1/tcp/4001/p2p/" ID, { 0x20, 1, 0x0d, 0xb8, [15] = 1 }, 1, 0 }, { "dnsaddr=/ip6/fd00::9/tcp/4001/p2p/" ID, { 0xfe, 0x80, [15] = 1 }, 1, 0 },
    { "dnsaddr=/ip4/169.254.0.1/tcp/4001/p2p/" ID, { 0xfe, 0x80, [15] = 1 }, 1, 0 } };
  for (size_t i = 0; i < sizeof six / sizeof *six; i++) {
    size_t k = told(out, sizeof out, "me._p2p._udp.local", "me._p2p._udp.local", &six[i].text, 1, 9, false);
    CHECK(msub__mdns_understand((msub_bytes){ out, k }, (msub_bytes){ six[i].from, 16 }, &label, &heard));
    CHECK(heard.n == six[i].taken && heard.zoneless == six[i].zoneless && heard.refused == 1 - six[i].taken - six[i].zoneless);
  }
  /* The sender's own address is believed, whatever else it is. */
  static const uint8_t global[4] = { 8, 8, 8, 8 };
  size_t n = told(out, sizeof out, "me._p2p._udp.local", "me._p2p._udp.local", &rows[8].text, 1, 9, false);
  CHECK(msub__mdns_understand((msub_bytes){ out, n }, (msub_bytes){ global, 4 }, &label, &heard) && heard.n == 1 && heard.refused == 0);
  /* Names: below the service's, or the one that its PTR names, as rust's are; no other. */
  static const struct { const char *owner, *ptr; bool taken; } names[] = {
    { "x._p2p._udp.local", "y._p2p._udp.local", true }, { "x", "x", true }, { "x", "y", false }, { "x._p2p._tcp.local", "y", false },
    { "a.b._p2p._udp.local", "y", false }, { "_p2p._udp.local", "y", false } };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    n = told(out, sizeof out, names[i].owner, names[i].ptr, all, 1, 9, false);
    CHECK(hears(out, n) && heard.n == names[i].taken);
  }
  for (uint32_t ttl = MSUB__HOST_MDNS_TTL_S - 1; ttl <= MSUB__HOST_MDNS_TTL_S + 1; ttl++) {
    n = told(out, sizeof out, "me._p2p._udp.local", "me._p2p._udp.local", all, 1, ttl, false);
    CHECK(hears(out, n) && heard.places[0].ttl_s == (ttl < MSUB__HOST_MDNS_TTL_S ? ttl : MSUB__HOST_MDNS_TTL_S));
  }
  for (unsigned k = MSUB__HOST_MDNS_PLACES - 1; k <= MSUB__HOST_MDNS_PLACES + 1; k++) {
    const char *many[MSUB__HOST_MDNS_PLACES + 1];
    for (unsigned i = 0; i < k; i++) many[i] = all[0];
    n = told(out, sizeof out, "me._p2p._udp.local", "me._p2p._udp.local", many, k, 9, false);
    CHECK(hears(out, n) && heard.n == (k < MSUB__HOST_MDNS_PLACES ? k : MSUB__HOST_MDNS_PLACES) && heard.refused == k - heard.n);
  }
}

/* What does not fit is left out; the rest is whole. */
static void full(void) {
  uint8_t out[MSUB__MDNS_OUT];
  msub_peer_id self = an_id(1);
  msub__tr_addr at[40];
  unsigned before = 0;
  labels();
  for (unsigned i = 0; i < 40; i++) at[i] = ip4(192, 168, 100, (uint8_t)(100 + i), (uint16_t)(40000 + i));
  for (unsigned n = 1; n <= 40; n++) {
    size_t len = msub__mdns_answer(&other, msub_peer_id_bytes(&self), at, n, 120, out);
    CHECK(len > 0 && len <= MSUB__MDNS_OUT && hears(out, len) && heard.n >= before && heard.n <= n);
    before = heard.n;
  }
  CHECK(before > 8 && before < 40);
  CHECK(msub__mdns_next_pause(MSUB__HOST_MDNS_ASK_NS) == 2 * MSUB__HOST_MDNS_ASK_NS);
  for (uint64_t half = MSUB__HOST_MDNS_ASK_MAX_NS / 2 - 1; half <= MSUB__HOST_MDNS_ASK_MAX_NS / 2 + 1; half++)
    CHECK(msub__mdns_next_pause(half) == (half * 2 < MSUB__HOST_MDNS_ASK_MAX_NS ? half * 2 : MSUB__HOST_MDNS_ASK_MAX_NS));
}

/* ---- a network of our own ---- */

static void run(const char *command) {
  if (system(command) == 0) return;
  printf("skipped: \"%s\" fails\n", command);
  exit(77);
}
static void own_network(const char *lo) {
  static bool made;
  if (!made && unshare(CLONE_NEWNET) != 0) {
    printf("skipped: a network namespace takes root\n");
    exit(77);
  }
  if (!made) run(lo);
  made = true;
  labels();
}
#define LO "ip link set lo up multicast on && ip addr add 10.9.8.7/24 dev lo"

static int raw_socket(void) {
  struct ip_mreqn q = { .imr_ifindex = (int)if_nametoindex("lo") };
  struct sockaddr_in at = { .sin_family = AF_INET };
  int fd = socket(AF_INET, SOCK_DGRAM, 0), big = 4 << 20;
  memcpy(&at.sin_addr, sender, 4);
  CHECK(fd >= 0 && bind(fd, (struct sockaddr *)(void *)&at, sizeof at) == 0 && setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &q, sizeof q) == 0);
  CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof big) == 0);
  return fd;
}
static void say(int fd, const uint8_t *p, size_t n) {
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(5353), .sin_addr.s_addr = htonl(0xe00000fb) };
  CHECK(sendto(fd, p, n, 0, (struct sockaddr *)(void *)&to, sizeof to) == (ssize_t)n);
}
static void no_wake(void *ud) { (void)ud; }
static msub__mdns_counts counts(msub__mdns *m) {
  msub__mdns_counts c;
  msub__mdns_count(m, &c);
  return c;
}
static msub__mdns *mdns(unsigned self) {
  msub__mdns *m;
  const char *why;
  msub_peer_id id = an_id(self);
  MUST(msub__mdns_new(msub_peer_id_bytes(&id), no_wake, NULL, &m, &why));
  UNTIL(sleep_ms(1), counts(m).asked > 0);
  return m;
}

/* ---- what is remembered ---- */

static void known(void) {
  node a;
  own_network(LO);
  node_init(&a, "a", 1);
  a.opts.mdns.on = true;
  node_start(&a, true, false);
  msub_host *h = a.host;
  const msub_host_counts *c = msub_host_count(h);
  msub__mdns_place p = { .id = an_id(50), .at = ip4(10, 0, 0, 1, 1), .ttl_s = 10 };
  msub__tr_addr by = ip4(10, 9, 8, 1, 0);
  /* By one sender's word; what is said again is no more. */
  for (unsigned i = 1; i <= MSUB__HOST_MDNS_OF_SENDER + 1; i++) {
    p.at.port = (uint16_t)i;
    msub__neighbours_learn(h, &p, &by);
    msub__neighbours_learn(h, &p, &by);
    CHECK(h->near.n == (i < MSUB__HOST_MDNS_OF_SENDER ? i : MSUB__HOST_MDNS_OF_SENDER));
  }
  CHECK(c->mdns_heard == MSUB__HOST_MDNS_OF_SENDER && c->mdns_dropped == 2);
  /* In all. */
  for (unsigned i = MSUB__HOST_MDNS_OF_SENDER + 1; i <= MSUB__HOST_MDNS_KNOWN + 1; i++) {
    by.ip[3] = (uint8_t)(1 + i / MSUB__HOST_MDNS_OF_SENDER + i % 2 * 100);
    p.at.port = (uint16_t)i;
    msub__neighbours_learn(h, &p, &by);
    CHECK(h->near.n == (i < MSUB__HOST_MDNS_KNOWN ? i : MSUB__HOST_MDNS_KNOWN));
  }
  CHECK(c->mdns_dropped == 3);
  /* Gone by the word of who said it, and nobody else's. */
  p.at.port = 1;
  p.ttl_s = 0;
  msub__neighbours_learn(h, &p, &by);
  CHECK(h->near.n == MSUB__HOST_MDNS_KNOWN);
  by.ip[3] = 1;
  msub__neighbours_learn(h, &p, &by);
  CHECK(h->near.n == MSUB__HOST_MDNS_KNOWN - 1);
  /* Or when its time is over: then there is room. */
  h->now.mono_ns += 10 * MSUB__S;
  p.ttl_s = 10;
  for (unsigned i = 1000; i < 1003; i++) {
    by.ip[3] = 200;
    p.at.port = (uint16_t)i;
    msub__neighbours_learn(h, &p, &by);
  }
  CHECK(h->near.n == 3);
  node_free(&a);
}

/* ---- hosts ---- */

static void start_both(node *both[2], bool join, const char *address) {
  static const msub_router_ops *const routers[] = { &msub_gossipsub, NULL };
  for (unsigned i = 0; i < 2; i++) {
    node_init(both[i], i ? "b" : "a", (uint8_t)(i + 1));
    both[i]->opts.routers = routers;
    both[i]->opts.mdns.on = true;
    node_start(both[i], false, join);
    const char *why;
    MUST(msub_host_listen(both[i]->host, address, &why));
  }
}

/* Two that know nothing of each other: found, and messages pass. Who wants nobody dials nobody. */
static void hosts(void) {
  node a, b, *both[2] = { &a, &b };
  own_network(LO);
  start_both(both, false, "/ip4/0.0.0.0/tcp/0");
  for (unsigned turns = 0; a.host->near.n == 0 || b.host->near.n == 0; turns++) {
    CHECK(turns < 10000);
    turn_for(both, 2, 1);
  }
  turn_for(both, 2, 200);
  CHECK(a.connected == 0 && b.connected == 0);
  for (unsigned i = 0; i < 2; i++)
    MUST(msub_join(msub_host_engine(both[i]->host), 0, msub_str("topic"), node_policy(), NULL, msub_host_now(both[i]->host), &both[i]->topic));
  for (unsigned turns = 0; a.joins == 0 || b.joins == 0; turns++) {
    CHECK(turns < 10000);
    turn_for(both, 2, 1);
  }
  transfer(both, 2, &a, &b, 0, 20, 100);
  for (unsigned i = 0; i < 2; i++) {
    const msub_host_counts *c = msub_host_count(both[i]->host);
    CHECK(c->mdns_asked > 0 && c->mdns_answered > 0 && c->mdns_heard > 0 && c->mdns_malformed == 0 && c->mdns_refused == 0 && c->mdns_dropped == 0);
  }
  node_free(&a);
  node_free(&b);
}

/* One that ends says so, and is forgotten. */
static void goodbye(void) {
  node a, b, *both[2] = { &a, &b };
  own_network(LO);
  for (unsigned i = 0; i < 2; i++) {
    node_init(both[i], i ? "b" : "a", (uint8_t)(i + 1));
    both[i]->opts.mdns.on = true;
    node_start(both[i], false, false);
    const char *why;
    MUST(msub_host_listen(both[i]->host, "/ip4/10.9.8.7/tcp/0", &why));
  }
  for (unsigned turns = 0; a.host->near.n == 0; turns++) {
    CHECK(turns < 10000);
    turn_for(both, 2, 1);
  }
  node_free(&b);
  for (unsigned turns = 0; a.host->near.n > 0; turns++) {
    CHECK(turns < 10000);
    turn_for(both, 1, 1);
  }
  node_free(&a);
}

/* ---- what comes in ---- */

static void packets(void) {
  static uint8_t big[MSUB__HOST_MDNS_PACKET + 1];
  own_network(LO);
  msub__mdns *m = mdns(1);
  int fd = raw_socket();
  /* Sizes: a whole message, filled up with a TXT record of nobody. */
  for (size_t n = MSUB__HOST_MDNS_PACKET - 1; n <= MSUB__HOST_MDNS_PACKET + 1; n++) {
    msub__dns_writer w;
    msub__dns_name q = name("x.local");
    static uint8_t zeros[MSUB__HOST_MDNS_PACKET];
    msub__dns_begin(&w, big, sizeof big, 0, MSUB__DNS_RESPONSE);
    CHECK(msub__dns_add(&w, MSUB__DNS_ANSWER, &q, 99, MSUB__DNS_IN, 1, (msub_bytes){ zeros, n - MSUB__DNS_HEAD - q.n - 10u }) && w.n == n);
    uint64_t before = counts(m).malformed;
    say(fd, big, n);
    say(fd, big, 3); /* malformed too: when it was looked at, so was the other */
    UNTIL(sleep_ms(1), counts(m).malformed > before);
    sleep_ms(20);
    CHECK(counts(m).malformed - before == (n > MSUB__HOST_MDNS_PACKET ? 2u : 1u));
  }
  msub__mdns_free(m);
  /* So many in a second. */
  msub__mdns_budget b = { 0 };
  uint64_t now = 5 * MSUB__S;
  for (unsigned i = 1; i <= MSUB__HOST_MDNS_PACKETS + 1; i++) CHECK(msub__mdns_budget_has(&b, now + i, true) == (i <= MSUB__HOST_MDNS_PACKETS));
  CHECK(!msub__mdns_budget_has(&b, b.since + MSUB__S - 1, false) && msub__mdns_budget_has(&b, b.since + MSUB__S, false));
  /* More than that come: it is noticed, and in no time are more looked at than the seconds that it touches allow. */
  m = mdns(1);
  uint64_t began = now_ms();
  UNTIL(say(fd, big, 3), counts(m).dropped > 0);
  uint64_t seen = counts(m).malformed, seconds = (now_ms() - began) / 1000 + 2;
  CHECK(seen <= seconds * MSUB__HOST_MDNS_PACKETS);
  UNTIL(say(fd, big, 3), counts(m).malformed > seen); /* and it goes on when the second is over */
  msub__mdns_free(m);
  (void)close(fd);
}

static void queue(void) {
  uint8_t out[MSUB__MDNS_OUT];
  msub__tr_addr by;
  msub__mdns_place p;
  own_network(LO);
  int fd = raw_socket();
  msub_peer_id id = an_id(2), self = an_id(1);
  msub__tr_addr at = ip4(10, 9, 8, 7, 4001);
  size_t mine = msub__mdns_answer(&other, msub_peer_id_bytes(&self), &at, 1, 120, out);
  for (unsigned n = MSUB__HOST_MDNS_QUEUED - 1; n <= MSUB__HOST_MDNS_QUEUED + 1; n++) {
    msub__mdns *m = mdns(1);
    say(fd, out, mine); /* of ourselves: never */
    for (unsigned i = 0; i < n; i++) {
      uint8_t one[MSUB__MDNS_OUT];
      at.port = (uint16_t)(i + 1);
      say(fd, one, msub__mdns_answer(&other, msub_peer_id_bytes(&id), &at, 1, 120, one));
    }
    at.port = 4001;
    say(fd, (const uint8_t *)"x", 1); /* behind all of them */
    UNTIL(sleep_ms(1), counts(m).malformed == 1);
    CHECK(counts(m).dropped == (n > MSUB__HOST_MDNS_QUEUED) && msub__mdns_news(m));
    for (unsigned i = 0; i < n && i < MSUB__HOST_MDNS_QUEUED; i++) CHECK(msub__mdns_take(m, &p, &by) && p.at.port == i + 1 && by.n == 4 && by.port == 0 && memcmp(by.ip, sender, 4) == 0);
    CHECK(!msub__mdns_take(m, &p, &by) && !msub__mdns_news(m));
    msub__mdns_free(m);
  }
  /* Private addresses of elsewhere are taken from a neighbour; nothing is from a stranger. */
  msub__mdns *m = mdns(1);
  (void)close(fd);
  run("ip addr add 203.0.113.1/32 dev lo");
  struct ip_mreqn q = { .imr_ifindex = (int)if_nametoindex("lo") };
  struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0xcb007101) };
  CHECK((fd = socket(AF_INET, SOCK_DGRAM, 0)) >= 0 && bind(fd, (struct sockaddr *)(void *)&from, sizeof from) == 0);
  CHECK(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &q, sizeof q) == 0);
  say(fd, out, msub__mdns_answer(&other, msub_peer_id_bytes(&id), &at, 1, 120, out)); /* the interfaces were looked at before it had this address */
  UNTIL(sleep_ms(1), counts(m).refused == 1);
  CHECK(!msub__mdns_take(m, &p, &by));
  msub__mdns_free(m);
  (void)close(fd);
}

/* ---- IPv6 ---- */

#define SIX "ip link set lo up && ip link add v0 type veth peer name v1 && ip addr add fd09::7/64 dev v0 nodad && ip link set v0 up multicast on && ip link set v1 multicast off && ip link set v1 up"
static const struct in6_addr group6 = { .s6_addr = { 0xff, 2, [15] = 0xfb } };
static int six_socket(const char *from) {
  int fd = socket(AF_INET6, SOCK_DGRAM, 0), on = (int)if_nametoindex("v0");
  struct sockaddr_in6 at = { .sin6_family = AF_INET6 };
  CHECK(inet_pton(AF_INET6, from, &at.sin6_addr) == 1);
  CHECK(fd >= 0 && bind(fd, (struct sockaddr *)(void *)&at, sizeof at) == 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &on, sizeof on) == 0);
  return fd;
}
static void say6(int fd, const uint8_t *p, size_t n) {
  struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(5353), .sin6_addr = group6, .sin6_scope_id = if_nametoindex("v0") };
  CHECK(sendto(fd, p, n, 0, (struct sockaddr *)(void *)&to, sizeof to) == (ssize_t)n);
}

/* On an interface that has IPv6 alone: what is asked, heard, refused; then two hosts. */
static void six(void) {
  uint8_t out[MSUB__MDNS_OUT], wrong[MSUB__MDNS_OUT];
  msub__mdns_place p;
  msub__tr_addr by, at = { .n = 16, .ip = { 0xfd, 9, [15] = 9 }, .port = 4001 }, link = { .n = 16, .ip = { 0xfe, 0x80, [15] = 9 }, .port = 4001 };
  msub_peer_id id = an_id(2);
  own_network(SIX);
  msub__mdns *m = mdns(1);
  int near = six_socket("fd09::7");
  run("ip addr add fd0a::7/64 dev v0 nodad"); /* behind the look at the interfaces: of another network */
  int far = six_socket("fd0a::7");
  size_t n = msub__mdns_answer(&other, msub_peer_id_bytes(&id), &at, 1, 120, out);
  size_t k = msub__mdns_answer(&other, msub_peer_id_bytes(&id), &link, 1, 120, wrong);
  say6(far, out, n);
  UNTIL(sleep_ms(1), counts(m).refused == 1);
  CHECK(!msub__mdns_take(m, &p, &by));
  say6(near, wrong, k);
  UNTIL(sleep_ms(1), counts(m).zoneless == 1);
  CHECK(!msub__mdns_take(m, &p, &by) && counts(m).refused == 1);
  say6(near, out, n);
  UNTIL(sleep_ms(1), msub__mdns_take(m, &p, &by));
  CHECK(msub__tr_addr_same(&p.at, &at) && by.n == 16 && by.port == 0 && by.ip[0] == 0xfd && by.ip[15] == 7);
  (void)close(near);
  (void)close(far);
  msub__mdns_free(m);
  run("ip addr del fd0a::7/64 dev v0");
  node a, b, *both[2] = { &a, &b };
  start_both(both, true, "/ip6/::/tcp/0");
  for (unsigned turns = 0; a.joins == 0 || b.joins == 0; turns++) {
    CHECK(turns < 10000);
    turn_for(both, 2, 1);
  }
  transfer(both, 2, &a, &b, 0, 20, 100);
  for (unsigned i = 0; i < 2; i++) {
    const msub_host_counts *c = msub_host_count(both[i]->host);
    CHECK(c->mdns_asked > 0 && c->mdns_malformed == 0 && c->mdns_refused == 0 && c->mdns_zoneless == 0 && c->mdns_dropped == 0);
  }
  /* The interface goes and comes again: it is spoken on again. */
  node_free(&b);
  run("ip link set v0 down && ip link set v0 up && ip addr replace fd09::7/64 dev v0 nodad");
  m = mdns(3);
  msub__mdns_listen(m, &at, 1);
  UNTIL(sleep_ms(1), counts(m).asked >= 2);
  msub__mdns_free(m);
  node_free(&a);
}

/* ---- what goes out ---- */

static int ear(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
  struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(5353), .sin_addr.s_addr = htonl(0xe00000fb) };
  CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) == 0);
  CHECK(bind(fd, (struct sockaddr *)(void *)&at, sizeof at) == 0);
  struct ip_mreqn q = { .imr_multiaddr.s_addr = htonl(0xe00000fb), .imr_ifindex = (int)if_nametoindex("lo") };
  CHECK(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &q, sizeof q) == 0);
  return fd;
}
/* The next answer with places, in `heard`; or of services. false: none within ms. */
static bool next_answer(int fd, unsigned ms, bool services) {
  uint8_t in[MSUB__HOST_MDNS_PACKET];
  for (uint64_t end = now_ms() + ms; now_ms() < end; sleep_ms(1)) {
    ssize_t n = recv(fd, in, sizeof in, MSG_DONTWAIT);
    if (n <= 0 || !hears(in, (size_t)n) || !(in[2] & 0x80)) continue;
    if (services ? heard.n == 0 && memmem(in, (size_t)n, "_dns-sd", 7) != NULL : heard.n > 0) return true;
  }
  return false;
}

static void answers(void) {
  uint8_t question[MSUB__MDNS_OUT], meta[MSUB__MDNS_OUT];
  own_network(LO);
  int out = raw_socket(), in = ear();
  size_t n = msub__mdns_question(question);
  msub__dns_writer w;
  msub__dns_name q = name("_services._dns-sd._udp.local");
  msub__dns_begin(&w, meta, sizeof meta, 0, 0);
  msub__dns_ask(&w, &q, MSUB__DNS_PTR, MSUB__DNS_IN);
  msub__mdns *m = mdns(1);
  msub__tr_addr at = ip4(10, 9, 8, 7, 4001), ws = at;
  ws.ws = true;
  say(out, question, n);
  CHECK(!next_answer(in, 300, false)); /* there is nothing to be told */
  msub__mdns_listen(m, &ws, 1);
  CHECK(!next_answer(in, 300, false)); /* nor is WebSocket */
  msub__mdns_listen(m, &at, 1);
  uint64_t before = now_ms();
  for (unsigned i = 0; i < 2; i++) CHECK(next_answer(in, WITHIN_MS, false) && heard.n == 1 && msub__tr_addr_same(&heard.places[0].at, &at)); /* told unasked, twice */
  CHECK(now_ms() - before >= MSUB__HOST_MDNS_ANSWER_NS / MSUB__MS);
  for (unsigned late = 0; next_answer(in, 1500, false); late++) CHECK(late == 0); /* once more, to the question from before, when its thread had not come to it */
  /* However many ask: at once, and then a second later, not sooner. */
  before = now_ms();
  unsigned told_n = 0;
  for (; told_n < 2; told_n++) {
    for (unsigned i = 0; i < 20; i++) say(out, question, n);
    CHECK(next_answer(in, WITHIN_MS, false) && now_ms() - before + 5 >= told_n * (MSUB__HOST_MDNS_ANSWER_NS / MSUB__MS));
  }
  for (; next_answer(in, 1500, false); told_n++) CHECK(now_ms() - before + 5 >= told_n * (MSUB__HOST_MDNS_ANSWER_NS / MSUB__MS)); /* to a question that was late */
  say(out, meta, w.n);
  CHECK(next_answer(in, WITHIN_MS, true));
  msub__mdns_free(m); /* the last word: it is gone */
  CHECK(next_answer(in, WITHIN_MS, false) && heard.places[0].ttl_s == 0);
  (void)close(in);
  (void)close(out);
}

/* At once, after a second, then later and later. */
static void asks(void) {
  own_network(LO);
  uint64_t began = now_ms();
  msub__mdns *m = mdns(1);
  UNTIL(sleep_ms(1), counts(m).asked == 2);
  uint64_t took = now_ms() - began;
  CHECK(took + 5 >= MSUB__HOST_MDNS_ASK_NS / MSUB__MS);
  msub__mdns_ask(m); /* is not sooner: it has asked a moment ago */
  sleep_ms(300);
  uint64_t asked = counts(m).asked;
  CHECK(asked == 2 || now_ms() - began - took > 1900);
  UNTIL(sleep_ms(1), counts(m).asked == 3);
  CHECK(now_ms() - began + 5 >= 3 * MSUB__HOST_MDNS_ASK_NS / MSUB__MS);
  msub__mdns_free(m);
}

static void interfaces(void) {
  char command[256];
  own_network("ip link set lo up multicast off");
  unsigned there = 0;
  for (unsigned n = MSUB__HOST_MDNS_INTERFACES - 1; n <= MSUB__HOST_MDNS_INTERFACES + 1; n++) {
    for (; there < n; there++) {
      CHECK(snprintf(command, sizeof command, "ip link add i%u type veth peer name o%u && ip addr add 10.1.%u.1/24 dev i%u && ip link set i%u up", there, there, there, there, there) > 0);
      run(command);
    }
    msub__mdns *m = mdns(1);
    CHECK(counts(m).asked == (n < MSUB__HOST_MDNS_INTERFACES ? n : MSUB__HOST_MDNS_INTERFACES));
    msub__mdns_free(m);
  }
}

static void addresses(void) {
  char command[128];
  own_network("ip link set lo up multicast on");
  unsigned there = 0;
  msub__tr_addr any = { .n = 4, .port = 4001 };
  for (unsigned n = MSUB__HOST_MDNS_INTERFACE_ADDRS - 1; n <= MSUB__HOST_MDNS_INTERFACE_ADDRS + 1; n++) {
    for (; there < n; there++) {
      CHECK(snprintf(command, sizeof command, "ip addr add 10.9.8.%u/24 dev lo", 7 + there) > 0);
      run(command);
    }
    int in = ear();
    msub__mdns *m = mdns(1);
    msub__mdns_listen(m, &any, 1);
    CHECK(next_answer(in, WITHIN_MS, false));
    CHECK(heard.n == (n < MSUB__HOST_MDNS_INTERFACE_ADDRS ? n : MSUB__HOST_MDNS_INTERFACE_ADDRS));
    msub__mdns_free(m);
    (void)close(in);
  }
}

int main(int argc, char **argv) {
  static const test_case cases[] = { { "messages", messages }, { "places", places }, { "full", full }, { "known", known }, { "hosts", hosts }, { "packets", packets }, { "queue", queue },
    { "answers", answers }, { "asks", asks }, { "interfaces", interfaces }, { "addresses", addresses }, { "goodbye", goodbye }, { "six", six } };
  return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
}
