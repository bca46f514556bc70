/* tests/host/test_names.c: names in addresses, address filters, what peers say of our address. usage: test_names CASE */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "dns_server.h"
#include "host/addrs.h"
#include "host/filter.h"
#include "host/lookup.h"
#include "host/observed.h"
#include "host/peers.h"
#include "host/places.h"
#include "meshsub/gossipsub.h"
#include "host_node.h"

static node a, b;
#define BOTH(cond) UNTIL(turn_for((node *const[]){ &a, &b }, 2, 1), cond)
#define ALONE(cond) UNTIL(turn_for((node *const[]){ &a }, 1, 1), cond)

static const msub_host_counts *counts(void) { return msub_host_count(a.host); }
static uint16_t port_of(const node *n) { return n->host->listeners[0].at.port; }
static const char *id_text(const node *n) {
  static char text[MSUB_PEER_ID_TEXT];
  return msub_peer_id_text(msub_key_peer_id(n->key), text);
}
static char *print(char *out, size_t cap, const char *format, ...) __attribute__((format(printf, 3, 4)));
static char *print(char *out, size_t cap, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(out, cap, format, args);
  va_end(args);
  CHECK(n >= 0 && (size_t)n < cap);
  return out;
}

static dns_server *server;
static void begin(const dns_row *rows, size_t n, uint64_t timeout_ns) {
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  server = dns_server_new(rows, n);
  a.opts.dns.server = dns_server_address(server);
  if (timeout_ns) a.opts.dns.timeout_ns = timeout_ns;
  node_start(&a, true, true);
  node_start(&b, true, true);
}
static void finish(void) {
  node_free(&a);
  node_free(&b);
  if (server) dns_server_free(server);
  server = NULL;
}

/* ---- looking up ---- */

static struct { unsigned done, n; int err; const char *text; msub__place places[64]; } got;
static void done(void *own, int err, const char *text, const msub__place *places, size_t n) {
  CHECK(own == &got && n <= MSUB__HOST_RACE_ADDRS && (n > 0) == (err == MSUB_OK));
  got.done++;
  got.err = err;
  got.text = text;
  got.n = (unsigned)n;
  memcpy(got.places, places, n * sizeof *places);
}
static int look(const char *text) {
  msub_multiaddr m;
  msub__lookup *l;
  memset(&got, 0, sizeof got);
  MUST(msub_multiaddr_parse(text, &m));
  int err = msub__lookup_begin(a.host, (msub_bytes){ m.bytes, m.n }, done, &got, &l);
  if (err != MSUB_OK) return err;
  CHECK(got.done == 0);
  ALONE(got.done > 0);
  CHECK(got.done == 1);
  return got.err;
}
static bool is(unsigned i, const char *ip, unsigned port) {
  char text[INET6_ADDRSTRLEN];
  const msub__tr_addr *at = &got.places[i].at;
  CHECK(i < got.n && inet_ntop(at->n == 4 ? AF_INET : AF_INET6, at->ip, text, sizeof text));
  return strcmp(text, ip) == 0 && at->port == port;
}

#define ID_A "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
#define ID_B "12D3KooWHdiAxVd8uMQR1hGWXccidmfCwLqcMpGwR6QcTP6QRMuD"

static void test_look_up(void) {
  static const dns_row rows[] = {
    { .name = "four.test", .type = 1, .value = "192.0.2.1" },
    { .name = "four.test", .type = 1, .value = "192.0.2.2" },
    { .name = "both.test", .type = 1, .value = "192.0.2.3" },
    { .name = "both.test", .type = 28, .value = "2001:db8::3" },
    { .name = "alias.test", .type = 5, .value = "other.test" },
    { .name = "other.test", .type = 5, .value = "four.test" },
    { .name = "big.test", .type = 1, .value = "192.0.2.9", .truncated = true },
    { .name = "refused.test", .rcode = 5 },
    { .name = "silent.test", .silent = true },
    { .name = "_dnsaddr.boot.test", .type = 16, .value = "dnsaddr=/ip4/192.0.2.4/tcp/4001/p2p/" ID_A },
    { .name = "_dnsaddr.boot.test", .type = 16, .value = "dnsaddr=/ip4/192.0.2.5/udp/4001/quic-v1/p2p/" ID_A },
    { .name = "_dnsaddr.boot.test", .type = 16, .value = "v=spf1 -all" },
    { .name = "_dnsaddr.boot.test", .type = 16, .value = "dnsaddr=nonsense" },
    { .name = "_dnsaddr.boot.test", .type = 16, .value = "dnsaddr=/dns4/four.test/tcp/4002/p2p/" ID_B },
    { .name = "_dnsaddr.boot.test", .type = 16, .value = "dnsaddr=/dnsaddr/more.test" },
    { .name = "_dnsaddr.more.test", .type = 16, .value = "dnsaddr=/ip6/2001:db8::5/tcp/4003/p2p/" ID_B },
    { .name = "_dnsaddr.empty.test", .type = 16, .value = "dnsaddr=/ip4/192.0.2.5/udp/1" },
  };
  begin(rows, sizeof rows / sizeof *rows, 1500000000);
  CHECK(look("/dns4/four.test/tcp/7") == MSUB_OK && got.n == 2 && is(0, "192.0.2.1", 7) && is(1, "192.0.2.2", 7) && got.places[0].id.n == 0);
  CHECK(look("/dns/BOTH.test/tcp/8/p2p/" ID_A) == MSUB_OK && got.n == 2 && is(0, "192.0.2.3", 8) && is(1, "2001:db8::3", 8));
  CHECK(got.places[1].id.n > 0 && got.places[1].id.n == got.places[0].id.n);
  CHECK(look("/dns4/both.test/tcp/8") == MSUB_OK && got.n == 1 && is(0, "192.0.2.3", 8));
  CHECK(look("/dns6/both.test/tcp/8") == MSUB_OK && got.n == 1 && is(0, "2001:db8::3", 8));
  CHECK(look("/dns/alias.test/tcp/9") == MSUB_OK && got.n == 2 && is(0, "192.0.2.1", 9));
  CHECK(look("/dns4/big.test/tcp/9") == MSUB_OK && got.n == 1 && is(0, "192.0.2.9", 9)); /* by TCP */
  CHECK(look("/dnsaddr/boot.test") == MSUB_OK && got.n == 4 && is(0, "192.0.2.4", 4001));
  CHECK(look("/dnsaddr/boot.test/p2p/" ID_A) == MSUB_OK && got.n == 1 && is(0, "192.0.2.4", 4001)); /* the inner dnsaddr names nobody */
  CHECK(look("/dnsaddr/boot.test/tcp/4002") == MSUB_OK && got.n == 2 && is(1, "192.0.2.2", 4002));
  uint64_t failed = counts()->lookups_failed;
  CHECK(failed == 0);
  CHECK(look("/dns6/four.test/tcp/7") == MSUB_ERR_NOTFOUND && strcmp(got.text, "the name has no such record") == 0);
  CHECK(look("/dns4/none.test/tcp/7") == MSUB_ERR_NOTFOUND && strcmp(got.text, "no such name") == 0);
  CHECK(look("/dnsaddr/empty.test") == MSUB_ERR_NOTFOUND && strcmp(got.text, "the name leads to no address that TCP can reach") == 0);
  CHECK(look("/dns4/refused.test/tcp/7") == MSUB_ERR_IO);
  CHECK(look("/dns4/a..b/tcp/7") == MSUB_ERR_NOTFOUND);
  uint64_t before = now_ms();
  CHECK(look("/dns4/silent.test/tcp/7") == MSUB_ERR_TIMEOUT && now_ms() - before >= 1400);
  CHECK(counts()->lookups_failed == 6);
  CHECK(look("/ip4/127.0.0.1/tcp/1") == MSUB_ERR_UNSUPPORTED);
  finish();
}

/* A server that errs or lies. */
static void test_spoilt(void) {
  static const dns_row rows[] = { { .name = "four.test", .type = 1, .value = "192.0.2.1" } };
  begin(rows, 1, 400000000);
  for (int how = 1; how <= 4; how++) {
    dns_server_spoil(server, how);
    int err = look("/dns4/four.test/tcp/7");
    CHECK(err == (how < 3 ? MSUB_ERR_TIMEOUT : MSUB_ERR_MALFORMED));
  }
  dns_server_spoil(server, 5);
  CHECK(look("/dns4/four.test/tcp/7") == MSUB_OK && got.n == 1);
  dns_server_spoil(server, 0);
  /* nobody there at all */
  dns_server_free(server);
  server = NULL;
  CHECK(look("/dns4/four.test/tcp/7") == MSUB_ERR_TIMEOUT);
  finish();
}

/* As the system does it: /etc/hosts. */
static void test_hosts(void) {
  char addr[MSUB_MULTIADDR_TEXT];
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  node_start(&a, true, true);
  node_start(&b, true, true);
  MUST(msub_host_dial(a.host, print(addr, sizeof addr, "/dns4/localhost/tcp/%u/p2p/%s", port_of(&b), id_text(&b)), 9));
  BOTH(a.connected == 1 && b.connected == 1);
  CHECK(a.cookie == 9 && a.dial_failed == 0);
  MUST(msub_host_dial(a.host, addr, 10)); /* it is there already: said, without a look-up */
  BOTH(a.connected == 2);
  CHECK(a.cookie == 10 && counts()->lookups == 1);
  finish();
}

/* ---- dialling ---- */

static void test_dial(void) {
  char record[256], addr[MSUB_MULTIADDR_TEXT];
  dns_row rows[] = {
    { .name = "b.test", .type = 1, .value = "127.0.0.1" },
    { .name = "_dnsaddr.b.test", .type = 16, .value = record },
    { .name = "wrong.test", .type = 1, .value = "127.0.0.77" },
    { .name = "two.test", .type = 1, .value = "127.0.0.77" },
    { .name = "two.test", .type = 1, .value = "127.0.0.1" },
    { .name = "silent.test", .silent = true },
  };
  begin(rows, sizeof rows / sizeof *rows, 1000000000);
  print(record, sizeof record, "dnsaddr=/ip4/127.0.0.1/tcp/%u/p2p/%s", port_of(&b), id_text(&b));
  dns_server_rows(server, rows, sizeof rows / sizeof *rows); /* the server's thread sees it from here on */
  /* without an id */
  MUST(msub_host_dial(a.host, print(addr, sizeof addr, "/dns4/b.test/tcp/%u", port_of(&b)), 1));
  BOTH(a.connected == 1 && b.connected == 1);
  CHECK(a.cookie == 1);
  MUST(msub_host_disconnect(a.host, msub_key_peer_id(b.key)));
  BOTH(a.last == 1 && b.last == 1);
  /* dnsaddr says who it is */
  MUST(msub_host_dial(a.host, "/dnsaddr/b.test", 2));
  BOTH(a.connected == 2 && b.connected == 2);
  MUST(msub_host_disconnect(a.host, msub_key_peer_id(b.key)));
  BOTH(a.last == 2 && b.last == 2);
  /* the second address */
  MUST(msub_host_dial(a.host, print(addr, sizeof addr, "/dns4/two.test/tcp/%u/p2p/%s", port_of(&b), id_text(&b)), 3));
  BOTH(a.connected == 3 && b.connected == 3);
  MUST(msub_host_disconnect(a.host, msub_key_peer_id(b.key)));
  BOTH(a.last == 3 && b.last == 3);
  CHECK(a.dial_failed == 0 && a.cookie == 3);
  /* another peer than the name says */
  MUST(msub_host_dial(a.host, print(addr, sizeof addr, "/dns4/b.test/tcp/%u/p2p/" ID_A, port_of(&b)), 4));
  BOTH(a.dial_failed == 1);
  CHECK(a.dial_err == MSUB_ERR_MISMATCH && a.cookie == 4);
  MUST(msub_host_dial(a.host, print(addr, sizeof addr, "/dns4/wrong.test/tcp/%u", port_of(&b)), 5));
  BOTH(a.dial_failed == 2);
  CHECK(a.dial_err == MSUB_ERR_REFUSED && a.cookie == 5);
  MUST(msub_host_dial(a.host, "/dns4/none.test/tcp/1", 6));
  BOTH(a.dial_failed == 3);
  CHECK(a.dial_err == MSUB_ERR_NOTFOUND && strcmp(a.text, "no such name") == 0);
  MUST(msub_host_dial(a.host, "/dns4/silent.test/tcp/1", 7));
  BOTH(a.dial_failed == 4);
  CHECK(a.dial_err == MSUB_ERR_TIMEOUT);
  /* ourselves */
  MUST(msub_host_dial(a.host, print(addr, sizeof addr, "/dns4/b.test/tcp/%u", port_of(&a)), 8));
  BOTH(a.dial_failed == 5);
  CHECK(msub_host_dial(a.host, "/unix/x", 1) == MSUB_ERR_UNSUPPORTED);
  /* given up: no word of it */
  MUST(msub_host_dial(a.host, "/dns4/silent.test/tcp/1/p2p/" ID_A, 7));
  msub_peer_id id;
  MUST(msub_peer_id_parse(ID_A, &id));
  (void)msub_host_disconnect(a.host, msub_peer_id_bytes(&id));
  CHECK(a.host->names.n_named == 0 && a.host->names.n_lookups == 0);
  turn_for((node *const[]){ &a, &b }, 2, 1300);
  CHECK(a.dial_failed == 5);
  finish();
}

/* A kept name is looked up anew each time. */
static void test_keep(void) {
  char addr[MSUB_MULTIADDR_TEXT];
  static const dns_row nobody[] = { { .name = "b.test", .type = 1, .value = "127.0.0.77" } };
  static const dns_row there[] = { { .name = "b.test", .type = 1, .value = "127.0.0.1" } };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  server = dns_server_new(nobody, 1);
  a.opts.dns.server = dns_server_address(server);
  a.opts.redial_min_ns = a.opts.redial_max_ns = 50000000;
  node_start(&a, true, true);
  node_start(&b, true, true);
  MUST(msub_host_keep(a.host, print(addr, sizeof addr, "/dns4/b.test/tcp/%u", port_of(&b))));
  BOTH(a.dial_failed >= 2);
  CHECK(a.connected == 0);
  dns_server_rows(server, there, 1);
  BOTH(a.connected == 1 && b.connected == 1);
  unsigned asked = dns_server_asked(server);
  MUST(msub_host_disconnect(b.host, msub_key_peer_id(a.key))); /* the other side, so it is kept */
  BOTH(a.connected == 2 && b.connected == 2);
  CHECK(dns_server_asked(server) > asked);
  /* Ends while it is looked up, and while it is raced. */
  MUST(msub_host_keep(a.host, "/dns4/b.test/tcp/1/p2p/" ID_A));
  msub_peer_id id;
  MUST(msub_peer_id_parse(ID_A, &id));
  MUST(msub_host_disconnect(a.host, msub_peer_id_bytes(&id)));
  CHECK(a.host->names.n_named == 0 && a.host->n_keeps == 1);
  MUST(msub_host_keep(a.host, "/dns4/b.test/tcp/1/p2p/" ID_A));
  BOTH(a.host->names.n_lookups == 0 && a.host->names.n_named == 1);
  MUST(msub_host_disconnect(a.host, msub_peer_id_bytes(&id)));
  CHECK(a.host->names.n_named == 0 && a.host->n_keeps == 1);
  turn_for((node *const[]){ &a, &b }, 2, 50);
  finish();
}

/* A host that ends in the middle. */
static void test_freed(void) {
  static const dns_row rows[] = { { .name = "silent.test", .silent = true } };
  begin(rows, 1, 30000000000);
  for (unsigned i = 0; i < 8; i++) MUST(msub_host_dial(a.host, "/dns/silent.test/tcp/1", i));
  MUST(msub_host_keep(a.host, "/dnsaddr/silent.test"));
  turn_for((node *const[]){ &a }, 1, 50);
  CHECK(dns_server_asked(server) >= MSUB__HOST_DNS_THREADS);
  uint64_t before = now_ms();
  node_stop(&a);
  CHECK(now_ms() - before < 10000); /* not their deadline */
  finish();
}

/* ---- limits ---- */

static unsigned least(unsigned x, unsigned y) { return x < y ? x : y; }

static void test_limits_answers(void) {
  static dns_row rows[MSUB__HOST_DNS_ANSWERS + 1];
  static char ips[MSUB__HOST_DNS_ANSWERS + 1][32], texts[MSUB__HOST_DNS_ANSWERS + 1][64];
  begin(rows, 0, 0);
  for (unsigned n = MSUB__HOST_DNS_ANSWERS - 1; n <= MSUB__HOST_DNS_ANSWERS + 1; n++) {
    dns_server_rows(server, NULL, 0);
    for (unsigned i = 0; i < n; i++) rows[i] = (dns_row){ .name = "x.test", .type = 1, .value = print(ips[i], sizeof ips[i], "192.0.2.%u", i + 1) };
    dns_server_rows(server, rows, n);
    CHECK(look("/dns4/x.test/tcp/1") == MSUB_OK && got.n == least(n, MSUB__HOST_DNS_ANSWERS));
    dns_server_rows(server, NULL, 0);
    for (unsigned i = 0; i < n; i++)
      rows[i] = (dns_row){ .name = "_dnsaddr.x.test", .type = 16, .value = print(texts[i], sizeof texts[i], "dnsaddr=/ip4/192.0.2.%u/tcp/1", i + 1) };
    dns_server_rows(server, rows, n);
    CHECK(look("/dnsaddr/x.test") == MSUB_OK && got.n == least(n, least(MSUB__HOST_DNS_ANSWERS, MSUB__HOST_RACE_ADDRS)));
  }
  /* places of several names together */
  for (unsigned n = MSUB__HOST_RACE_ADDRS - 1; n <= MSUB__HOST_RACE_ADDRS + 1; n++) {
    dns_server_rows(server, NULL, 0);
    for (unsigned i = 0; i < n; i++) rows[i] = (dns_row){ .name = i < 3 ? "x.test" : "_dnsaddr.x.test", .type = i < 3 ? 1 : 16, .value = i < 3 ? ips[i] : texts[i] };
    for (unsigned i = 3; i < n; i++) print(texts[i], sizeof texts[i], "dnsaddr=/ip4/192.0.2.%u/tcp/1", i);
    print(texts[n - 1], sizeof texts[0], "dnsaddr=/dns4/x.test/tcp/2");
    dns_server_rows(server, rows, n); /* n - 4 addresses, and three by the name */
    CHECK(look("/dnsaddr/x.test") == MSUB_OK && got.n == least(n - 1, MSUB__HOST_RACE_ADDRS));
  }
  finish();
}

/* A chain of dnsaddr, and many names behind one. */
static void test_limits_names(void) {
  static dns_row rows[MSUB__HOST_DNS_NAMES + 4];
  static char names[MSUB__HOST_DNS_NAMES + 4][64], texts[MSUB__HOST_DNS_NAMES + 4][64];
  begin(rows, 0, 0);
  for (unsigned n = MSUB__HOST_DNS_DEPTH - 1; n <= MSUB__HOST_DNS_DEPTH + 1; n++) {
    dns_server_rows(server, NULL, 0);
    for (unsigned i = 0; i < n; i++) {
      print(names[i], sizeof names[i], "_dnsaddr.n%u.test", i);
      print(texts[i], sizeof texts[i], i + 1 < n ? "dnsaddr=/dnsaddr/n%u.test" : "dnsaddr=/ip4/192.0.2.1/tcp/%u", i + 1);
      rows[i] = (dns_row){ .name = names[i], .type = 16, .value = texts[i] };
    }
    dns_server_rows(server, rows, n);
    CHECK(look("/dnsaddr/n0.test") == (n <= MSUB__HOST_DNS_DEPTH ? MSUB_OK : MSUB_ERR_NOTFOUND));
  }
  for (unsigned n = MSUB__HOST_DNS_NAMES - 1; n <= MSUB__HOST_DNS_NAMES + 1; n++) {
    dns_server_rows(server, NULL, 0); /* with the first one */
    uint64_t before = counts()->lookups;
    for (unsigned i = 0; i < n; i++) {
      const char *of = i < 10 ? "_dnsaddr.m.test" : "_dnsaddr.m2.test"; /* one answer would not hold them all */
      print(texts[i], sizeof texts[i], i == 9 ? "dnsaddr=/dnsaddr/m2.test" : "dnsaddr=/dns4/h%u.test/tcp/1", i);
      rows[i] = (dns_row){ .name = of, .type = 16, .value = texts[i] };
    }
    dns_server_rows(server, rows, n - 1);
    CHECK(look("/dnsaddr/m.test") == MSUB_ERR_NOTFOUND); /* h… do not exist */
    CHECK(counts()->lookups - before == least(n, MSUB__HOST_DNS_NAMES));
  }
  finish();
}

static void test_limits_message(void) {
  static dns_row rows[MSUB__HOST_DNS_CHAIN + 2];
  static char names[MSUB__HOST_DNS_CHAIN + 3][32], text[MSUB__HOST_DNS_TEXT + 2], filler[256];
  begin(rows, 0, 0);
  for (unsigned n = MSUB__HOST_DNS_CHAIN - 1; n <= MSUB__HOST_DNS_CHAIN + 1; n++) {
    dns_server_rows(server, NULL, 0);
    for (unsigned i = 0; i <= n; i++) print(names[i], sizeof names[i], "c%u.test", i);
    for (unsigned i = 0; i < n; i++) rows[i] = (dns_row){ .name = names[i], .type = 5, .value = names[i + 1] };
    rows[n] = (dns_row){ .name = names[n], .type = 1, .value = "192.0.2.1" };
    dns_server_rows(server, rows, n + 1);
    CHECK(look("/dns4/c0.test/tcp/1") == (n <= MSUB__HOST_DNS_CHAIN ? MSUB_OK : MSUB_ERR_NOTFOUND));
  }
  /* A text of so many bytes; what stands behind the address makes it none, so a text that is taken is found out by the client itself. */
  msub__dns_servers at = { .n = 1 };
  msub__dns_answer *ans = malloc(sizeof *ans);
  int quiet[2];
  CHECK(ans && pipe(quiet) == 0 && msub__dns_server_parse(dns_server_address(server), &at.at[0]));
  for (unsigned n = MSUB__HOST_DNS_TEXT - 1; n <= MSUB__HOST_DNS_TEXT + 1; n++) {
    dns_server_rows(server, NULL, 0);
    memset(text, 'x', n);
    text[n] = 0;
    rows[0] = (dns_row){ .name = "t.test", .type = 16, .value = text };
    dns_server_rows(server, rows, 1);
    msub__dns_query(&at, MSUB__DNS_TEXTS, msub_str("t.test"), msub__mono() + 5 * MSUB__S, quiet[0], ans);
    CHECK(ans->n == (n <= MSUB__HOST_DNS_TEXT) && (ans->n == 0 || ans->texts[0].n == n));
  }
  /* An answer of so many bytes, by TCP: 12 of header, 12 of question, 12 of record, strings of 251 bytes and one that fills it up. */
  memset(filler, 'x', 250);
  for (unsigned n = MSUB__HOST_DNS_MESSAGE - 1; n <= MSUB__HOST_DNS_MESSAGE + 1; n++) {
    dns_server_rows(server, NULL, 0);
    unsigned rest = n - 36, whole = rest / 251 - 1, left = rest - whole * 251;
    static char last[512];
    memset(last, 'x', left);
    last[left > 256 ? left - 2 : left - 1] = 0; /* two strings, or one */
    rows[0] = (dns_row){ .name = "t.test", .type = 16, .value = filler, .times = whole, .truncated = true };
    rows[1] = (dns_row){ .name = "t.test", .type = 16, .value = last };
    /* one more record: 12 bytes, taken out of the filling */
    last[strlen(last) - 12] = 0;
    dns_server_rows(server, rows, 2);
    msub__dns_query(&at, MSUB__DNS_TEXTS, msub_str("t.test"), msub__mono() + 5 * MSUB__S, quiet[0], ans);
    CHECK(ans->err == (n <= MSUB__HOST_DNS_MESSAGE ? MSUB_OK : MSUB_ERR_MALFORMED));
  }
  (void)close(quiet[0]), (void)close(quiet[1]);
  free(ans);
  finish();
}

static void count_done(void *own, int err, const char *text, const msub__place *places, size_t n) {
  (void)own, (void)err, (void)text, (void)places, (void)n;
  got.done++;
}

static void test_limits_many(void) {
  static const dns_row rows[] = { { .name = "silent.test", .silent = true } };
  begin(rows, 1, 300000000);
  msub_multiaddr m;
  msub__lookup *l[MSUB__HOST_LOOKUPS + 1];
  MUST(msub_multiaddr_parse("/dns4/silent.test/tcp/1", &m));
  memset(&got, 0, sizeof got);
  for (unsigned i = 0; i <= MSUB__HOST_LOOKUPS; i++) {
    int err = msub__lookup_begin(a.host, (msub_bytes){ m.bytes, m.n }, count_done, &got, &l[i]);
    CHECK(err == (i < MSUB__HOST_LOOKUPS ? MSUB_OK : MSUB_ERR_LIMIT));
  }
  msub__lookup_cancel(l[0]);
  MUST(msub__lookup_begin(a.host, (msub_bytes){ m.bytes, m.n }, count_done, &got, &l[0]));
  ALONE(got.done == MSUB__HOST_LOOKUPS);
  CHECK(dns_server_asked(server) >= 1);
  /* dials count on their own */
  for (unsigned i = 0; i <= MSUB__HOST_LOOKUPS; i++)
    CHECK(msub_host_dial(a.host, "/dns4/silent.test/tcp/1", i) == (i < MSUB__HOST_LOOKUPS ? MSUB_OK : MSUB_ERR_LIMIT));
  ALONE(a.dial_failed == MSUB__HOST_LOOKUPS);
  finish();
}

/* As many questions stand at the server as there are threads. */
static void test_limits_threads(void) {
  static const dns_row rows[] = { { .name = "silent.test", .silent = true } };
  for (unsigned n = MSUB__HOST_DNS_THREADS - 1; n <= MSUB__HOST_DNS_THREADS + 1; n++) {
    begin(rows, 1, 1200000000);
    for (unsigned i = 0; i < n; i++) MUST(msub_host_dial(a.host, "/dns4/silent.test/tcp/1", i));
    unsigned want = least(n, MSUB__HOST_DNS_THREADS);
    ALONE(dns_server_asked(server) >= want);
    turn_for((node *const[]){ &a }, 1, 100);
    CHECK(dns_server_asked(server) == want);
    finish();
  }
}

/* ---- resolv.conf, servers ---- */

static void test_servers(void) {
  static const struct { const char *text; unsigned n; uint8_t first[4]; } files[] = {
    { "", 1, { 127, 0, 0, 1 } },
    { "# nothing\nsearch example.org\n", 1, { 127, 0, 0, 1 } },
    { "nameserver 192.0.2.1\n", 1, { 192, 0, 2, 1 } },
    { "nameserver 192.0.2.1", 1, { 192, 0, 2, 1 } },
    { "nameserver nonsense\nnameserver fe80::1%eth0\nnameserver\t192.0.2.7\noptions ndots:5\nnameserver 2001:db8::1\n", 2, { 192, 0, 2, 7 } },
    { "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n", 3, { 192, 0, 2, 1 } },
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    msub__dns_servers s;
    msub__dns_servers_read(files[i].text, &s);
    CHECK(s.n == files[i].n && memcmp(s.at[0].ip, files[i].first, 4) == 0 && s.at[0].port == 53);
  }
  msub__tr_addr at;
  static const char *const good[] = { "127.0.0.1:53", "[::1]:5353", "192.0.2.1:65535" };
  static const char *const bad[] = { "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "::1:53", "[::1]", "name:53", "127.0.0.1:53x",
                                     "127.0.0.1:-1", "127.0.0.1: 5", "[::1:53" };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) CHECK(msub__dns_server_parse(good[i], &at));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!msub__dns_server_parse(bad[i], &at));
  node_init(&a, "a", 1);
  const char *why;
  a.opts.dns.server = "nonsense";
  CHECK(msub_host_new(&a.opts, &a.host, &why) == MSUB_ERR_INVAL && strstr(why, "dns.server"));
  a.opts.dns.server = NULL;
  a.opts.dns.timeout_ns = 0;
  CHECK(msub_host_new(&a.opts, &a.host, &why) == MSUB_ERR_INVAL && strstr(why, "dns.timeout_ns"));
  a.host = NULL;
  node_free(&a);
}

/* ---- filters ---- */

static void rules(const char *const *list, size_t n) { MUST(msub_host_filter(a.host, list, n, NULL, NULL)); }
static bool allows(const char *ip, unsigned what) {
  msub__tr_addr at = { .n = strchr(ip, ':') ? 16 : 4, .port = 1 };
  CHECK(inet_pton(at.n == 4 ? AF_INET : AF_INET6, ip, at.ip) == 1);
  return msub__ipfilter_allows(a.host, &at, what);
}

static void test_filter(void) {
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  node_start(&a, true, true);
  node_start(&b, true, true);
  static const char *const list[] = { "allow 192.0.2.7", "deny dial 192.0.2.0/25", "deny accept 2001:db8::/32", "deny 10.0.0.0/8", "allow ::ffff:0:0/96" };
  rules(list, 5);
  CHECK(allows("192.0.2.7", MSUB__FILTER_DIAL) && !allows("192.0.2.8", MSUB__FILTER_DIAL) && allows("192.0.2.8", MSUB__FILTER_ACCEPT));
  CHECK(allows("192.0.2.128", MSUB__FILTER_DIAL) && !allows("192.0.2.127", MSUB__FILTER_DIAL));
  CHECK(!allows("2001:db8:ffff::1", MSUB__FILTER_ACCEPT) && allows("2001:db8::1", MSUB__FILTER_DIAL) && allows("2001:db9::1", MSUB__FILTER_ACCEPT));
  CHECK(!allows("10.255.0.1", MSUB__FILTER_ACCEPT) && !allows("10.0.0.0", MSUB__FILTER_DIAL) && allows("11.0.0.0", MSUB__FILTER_DIAL));
  CHECK(!allows("::ffff:10.0.0.1", MSUB__FILTER_DIAL));
  static const char *const bad[] = { "", "allow", "refuse 10.0.0.0/8", "deny 10.0.0.0/33", "deny 10.0.0.0/", "deny 10.0.0.1/8", "deny both 10.0.0.0/8",
                                     "deny dial", "deny ::/129", "deny 10.0.0/8", "deny 10.0.0.0/8 x", "deny 10.0.0.0/+8" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *two[] = { "allow 10.0.0.0/8", bad[i] }, *why = NULL;
    size_t which = 9;
    CHECK(msub_host_filter(a.host, two, 2, &which, &why) == MSUB_ERR_INVAL && which == 1 && why);
  }
  CHECK(!allows("10.0.0.0", MSUB__FILTER_DIAL)); /* the old ones stay */
  static const char *many[MSUB__HOST_FILTER_RULES + 1];
  for (size_t i = 0; i <= MSUB__HOST_FILTER_RULES; i++) many[i] = "deny 10.0.0.0/8";
  for (size_t n = MSUB__HOST_FILTER_RULES - 1; n <= MSUB__HOST_FILTER_RULES + 1; n++)
    CHECK(msub_host_filter(a.host, many, n, NULL, NULL) == (n <= MSUB__HOST_FILTER_RULES ? MSUB_OK : MSUB_ERR_LIMIT));
  /* over the wire */
  static const char *const no_dial[] = { "deny dial 127.0.0.0/8" }, *const no_accept[] = { "deny accept 127.0.0.0/8" };
  rules(no_dial, 1);
  uint64_t before = counts()->dials_filtered;
  node_dial(&a, &b);
  BOTH(a.dial_failed == 1);
  CHECK(a.dial_err == MSUB_ERR_REFUSED && strcmp(a.text, "an address filter refuses it") == 0 && counts()->dials_filtered == before + 1);
  char addr[MSUB_MULTIADDR_TEXT];
  MUST(msub_host_dial(a.host, print(addr, sizeof addr, "/dns4/localhost/tcp/%u", port_of(&b)), 1)); /* the name is no way round it */
  BOTH(a.dial_failed == 2);
  CHECK(b.connected == 0);
  node_meet((node *const[]){ &a, &b }, 2, &b, &a);
  MUST(msub_host_disconnect(a.host, msub_key_peer_id(b.key)));
  BOTH(a.last == 1 && b.last == 1);
  rules(no_accept, 1);
  before = counts()->accepts_filtered;
  node_dial(&b, &a);
  BOTH(b.dial_failed == 1);
  CHECK(counts()->accepts_filtered == before + 1);
  rules(NULL, 0);
  node_meet((node *const[]){ &a, &b }, 2, &a, &b);
  finish();
}

/* ---- what peers see ---- */

static void hears(unsigned net, unsigned host_part, const char *text, bool outbound) {
  msub_multiaddr m;
  msub__conn c = { .host = a.host, .outbound = outbound, .remote = { .n = 4, .port = 9, .ip = { 198, (uint8_t)(net >> 8), (uint8_t)net, (uint8_t)host_part } } };
  MUST(msub_multiaddr_parse(text, &m));
  msub__observed_hear(&c, (msub_bytes){ m.bytes, m.n });
}
static unsigned networks(size_t i, const char *want) {
  char text[MSUB_MULTIADDR_TEXT];
  unsigned n;
  if (msub_host_observed(a.host, i, text, sizeof text, &n) != MSUB_OK) return 0;
  CHECK(!want || strcmp(text, want) == 0);
  return n;
}
static bool announced(const char *text) {
  msub_multiaddr own[16], m;
  size_t n = msub__addr_own(a.host, own, 16);
  MUST(msub_multiaddr_parse(text, &m));
  for (size_t i = 0; i < n; i++) {
    if (own[i].n == m.n && memcmp(own[i].bytes, m.bytes, m.n) == 0) return true;
  }
  return false;
}

static void test_observed(void) {
  static const char us[] = "/ip4/203.0.113.5/tcp/4001";
  char text[64];
  node_init(&a, "a", 1);
  node_start(&a, true, true);
  a.host->now.mono_ns += 10 * MSUB__S;
  uint64_t before = a.host->record_seq;
  for (unsigned i = 1; i <= MSUB__HOST_OBSERVERS + 1; i++) {
    hears(i, 1, us, false);
    hears(i, 2, us, false); /* the same network again */
    CHECK(networks(0, us) == i && announced(us) == (i >= MSUB__HOST_OBSERVERS));
  }
  CHECK(a.host->record_seq > before); /* what we sign says more now */
  /* They see another one now. */
  for (unsigned i = 1; i <= 2; i++) hears(i, 1, "/ip4/203.0.113.6/tcp/4001", false);
  CHECK(!announced(us) && networks(0, NULL) == 2 && networks(1, us) == MSUB__HOST_OBSERVERS - 1);
  for (unsigned i = 1; i <= MSUB__HOST_OBSERVERS; i++) hears(i, 1, us, false);
  CHECK(announced(us));
  /* By peers that we dialled: with our own port. */
  print(text, sizeof text, "/ip4/203.0.113.9/tcp/%u", port_of(&a));
  for (unsigned i = 11; i < 11 + MSUB__HOST_OBSERVERS; i++) hears(i, 1, "/ip4/203.0.113.9/tcp/55555", true);
  CHECK(announced(text) && !announced("/ip4/203.0.113.9/tcp/55555"));
  for (unsigned i = 21; i < 21 + MSUB__HOST_OBSERVERS; i++) hears(i, 1, "/ip6/2001:db8::1/tcp/55555", true); /* we listen on none */
  CHECK(!announced("/ip6/2001:db8::1/tcp/55555"));
  /* No address, or none that can be ours. */
  static const char *const nonsense[] = { "/ip4/127.0.0.1/tcp/4001", "/ip4/0.0.0.0/tcp/4001", "/ip4/224.0.0.1/tcp/1", "/ip4/203.0.113.5/udp/4001",
                                          "/dns4/example.org/tcp/1", "/ip4/203.0.113.5/tcp/0" };
  unsigned n = a.host->observed.n;
  for (unsigned i = 0; i < 6; i++) hears(31 + i, 1, nonsense[i], false);
  CHECK(a.host->observed.n == n);
  /* After an hour. */
  uint64_t said = a.host->observed.all[0].when;
  a.host->now.mono_ns = said + MSUB__HOST_OBSERVED_NS - 1;
  CHECK(announced(us));
  a.host->now.mono_ns = said + MSUB__HOST_OBSERVED_NS;
  CHECK(!announced(us));
  a.host->now.mono_ns++;
  CHECK(!announced(us) && networks(0, NULL) == 0);
  /* As many networks as there is room for; the oldest goes. */
  a.host->observed.n = 0;
  for (unsigned i = 0; i < MSUB__HOST_OBSERVED + 1; i++) {
    a.host->now.mono_ns++;
    hears(1000 + i, 1, us, false);
    CHECK(networks(0, us) == least(i + 1, MSUB__HOST_OBSERVED));
  }
  CHECK(a.host->observed.all[0].by.ip[2] == (uint8_t)(1000 + MSUB__HOST_OBSERVED));
  node_free(&a);
}

/* Over the wire, each peer on a network of its own. */
static void test_observed_wire(void) {
  node peer[MSUB__HOST_OBSERVERS], *all[MSUB__HOST_OBSERVERS + 1] = { &a };
  char text[MSUB_MULTIADDR_TEXT];
  const char *why;
  unsigned n = 0;
  node_init(&a, "a", 1);
  node_start(&a, false, true);
  MUST(msub_host_listen(a.host, "/ip4/127.0.9.1/tcp/0", &why));
  for (unsigned i = 0; i < MSUB__HOST_OBSERVERS; i++) {
    node_init(&peer[i], "peer", (uint8_t)(10 + i));
    node_start(&peer[i], false, true);
    MUST(msub_host_listen(peer[i].host, print(text, sizeof text, "/ip4/127.0.%u.1/tcp/0", 20 + i), &why));
    all[i + 1] = &peer[i];
  }
  for (unsigned i = 0; i < MSUB__HOST_OBSERVERS; i++) {
    node_meet(all, MSUB__HOST_OBSERVERS + 1, &a, &peer[i]);
    CHECK(msub_host_observed(a.host, 0, text, sizeof text, &n) == MSUB_OK && n == i + 1);
  }
  char want[64];
  print(want, sizeof want, "/ip4/127.0.0.1/tcp/%u", port_of(&a)); /* where our dials come from, with our port */
  CHECK(strcmp(text, want) == 0 && announced(want));
  for (unsigned i = 0; i < MSUB__HOST_OBSERVERS; i++) node_free(&peer[i]);
  node_free(&a);
}

/* ---- find_at ---- */

static const msub_router_ops *const mesh_routers[] = { &msub_gossipsub, NULL };
static bool linked(const node *x, const node *y) {
  msub_host_peer p;
  for (size_t i = 0; msub_host_peer_at(x->host, i, &p) == MSUB_OK; i++) {
    if (p.connections > 0 && msub_bytes_eq(p.peer_id, msub_key_peer_id(y->key))) return true;
  }
  return false;
}

/* Two halves of a network that know nothing of each other; a name that one of them may ask joins them. */
static void test_find_partitions(void) {
  node n[4], *all[4] = { &n[0], &n[1], &n[2], &n[3] };
  char record[256];
  dns_row rows[] = { { .name = "_dnsaddr.net.test", .type = 16, .value = record } };
  static const char *const find_at[] = { "/dnsaddr/net.test", NULL };
  server = dns_server_new(rows, 0); /* nothing there yet */
  for (unsigned i = 0; i < 4; i++) {
    node_init(&n[i], "n", (uint8_t)(30 + i));
    n[i].opts.routers = mesh_routers;
    n[i].opts.dns.server = dns_server_address(server);
    if (i == 0) n[i].opts.find_at = find_at;
    node_start(&n[i], true, true);
  }
  node_meet(all, 4, &n[0], &n[1]);
  node_meet(all, 4, &n[2], &n[3]);
  UNTIL(turn_for(all, 4, 1), dns_server_asked(server) > 0);
  CHECK(!linked(&n[0], &n[2]) && !linked(&n[0], &n[3]));
  print(record, sizeof record, "dnsaddr=/ip4/127.0.0.1/tcp/%u/p2p/%s", port_of(&n[2]), id_text(&n[2]));
  dns_server_rows(server, rows, 1);
  UNTIL(turn_for(all, 4, 1), linked(&n[0], &n[2]));
  CHECK(n[0].dial_failed == 0 && msub_host_count(n[0].host)->sought > 0 && msub_host_count(n[0].host)->found > 0);
  /* From one end to the other. */
  UNTIL(turn_for(all, 4, 1), n[0].joins >= 2 && n[2].joins >= 2);
  uint32_t i = 0;
  uint64_t next = 0;
  UNTIL({ if (now_ms() >= next && i < 100) { (void)node_publish(&n[1], i++, 100); next = now_ms() + 200; } turn_for(all, 4, 5); }, n[3].messages > 0);
  for (unsigned k = 0; k < 4; k++) node_free(&n[k]);
  dns_server_free(server);
  server = NULL;
}

static unsigned found_n;
static msub_peer_id found_id;
static void on_found(void *ud, msub_bytes peer_id, msub_bytes addr) {
  CHECK(ud == a.host && addr.n > 0);
  found_n++;
  found_id.n = (uint8_t)peer_id.n;
  memcpy(found_id.bytes, peer_id.p, peer_id.n);
}

static void test_find_limits(void) {
  static char texts[MSUB__HOST_FIND_AT + 1][128];
  const char *list[MSUB__HOST_FIND_AT + 2] = { NULL }, *why;
  node_init(&a, "a", 1);
  static const char *const bad[] = { "nonsense", "/ip4/127.0.0.1/tcp/1", "/dns4/x.test/tcp/1", "/ip4/127.0.0.1/udp/1" };
  a.opts.find_at = list;
  for (unsigned i = 0; i < 4; i++) {
    list[0] = bad[i];
    CHECK(msub_host_new(&a.opts, &a.host, &why) == MSUB_ERR_INVAL && why);
  }
  for (unsigned i = 0; i <= MSUB__HOST_FIND_AT; i++) list[i] = print(texts[i], sizeof texts[i], "/ip4/192.0.2.%u/tcp/1/p2p/" ID_A, i + 1);
  for (unsigned n = MSUB__HOST_FIND_AT + 1; n >= MSUB__HOST_FIND_AT - 1; n--) {
    list[n] = NULL;
    int err = msub_host_new(&a.opts, &a.host, &why);
    CHECK(err == (n <= MSUB__HOST_FIND_AT ? MSUB_OK : MSUB_ERR_LIMIT));
    if (err != MSUB_OK) continue;
    uint64_t t = a.host->now.mono_ns + MSUB__S;
    a.host->now.mono_ns = t;
    found_n = 0;
    msub__places_find(a.host, on_found);
    CHECK(found_n == n && found_id.n > 0);
    a.host->now.mono_ns = t + MSUB__HOST_FIND_NS - 1;
    msub__places_find(a.host, on_found);
    CHECK(found_n == n);
    a.host->now.mono_ns = t + MSUB__HOST_FIND_NS;
    msub__places_find(a.host, on_found);
    CHECK(found_n == 2 * n);
    node_stop(&a);
  }
  node_free(&a);
}

int main(int argc, char **argv) {
  static const test_case cases[] = {
    { "look_up", test_look_up },
    { "spoilt", test_spoilt },
    { "hosts", test_hosts },
    { "dial", test_dial },
    { "keep", test_keep },
    { "freed", test_freed },
    { "limits_answers", test_limits_answers },
    { "limits_names", test_limits_names },
    { "limits_message", test_limits_message },
    { "limits_many", test_limits_many },
    { "limits_threads", test_limits_threads },
    { "servers", test_servers },
    { "filter", test_filter },
    { "observed", test_observed },
    { "observed_wire", test_observed_wire },
    { "find_partitions", test_find_partitions },
    { "find_limits", test_find_limits },
  };
  return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
}
