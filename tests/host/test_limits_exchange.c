/* tests/host/test_limits_exchange.c: the limits of host/limits.h of the exchange and of peers to be found, one below, at and one
 * above. usage: test_limits_exchange CASE */
#define _GNU_SOURCE
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "host/book.h"
#include "host/discovery.h"
#include "host/exchange_state.h"
#include "host/hints.h"
#include "raw_peer.h"
#include "wire/limits.h"
#include "clocked.h" /* last: its names are short */

#define ECHO "/test/echo/1.0.0"

static raw_peer peer;

#define SOON(cond) UNTIL(raw_turn(&peer, &a), cond)

static void begin_connected(void) {
  begin();
  raw_connect(&peer, &a, 2);
  SOON(a.connected == 1);
}
static void end(void) {
  raw_close(&peer);
  node_free(&a);
}

/* ---- the exchange ---- */

typedef struct talk {
  msub_stream *s;
  unsigned ended, writable;
  msub_end why;
} talk;
static unsigned opened;
static talk served[16];

static void *on_open(void *ud, msub_stream *s, msub_bytes peer_id) {
  (void)ud;
  (void)peer_id;
  CHECK(opened < sizeof served / sizeof *served);
  served[opened] = (talk){ .s = s };
  return &served[opened++];
}
static size_t on_data(void *word, msub_stream *s, msub_bytes in) {
  (void)word;
  (void)s;
  return in.n;
}
static void on_finish(void *word, msub_stream *s) {
  (void)word;
  (void)s;
}
static void on_writable(void *word, msub_stream *s) {
  (void)s;
  ((talk *)word)->writable++;
}
static void on_end(void *word, msub_stream *s, msub_end why) {
  talk *t = word;
  CHECK(t->s == s);
  t->ended++;
  t->why = why;
}
static const msub_stream_handler handler = { .abi = MSUB_ABI,
                                             .size = sizeof(msub_stream_handler),
                                             .on_open = on_open,
                                             .on_data = on_data,
                                             .on_finish = on_finish,
                                             .on_writable = on_writable,
                                             .on_end = on_end };

static int serve(const char *protocol) {
  msub_exchange x = msub_host_exchange(a.host);
  opened = 0;
  return x.ops->serve(x.x, protocol, &handler, NULL);
}
static void ask(talk *t, const char *protocol) {
  msub_exchange x = msub_host_exchange(a.host);
  *t = (talk){ .s = NULL };
  MUST(x.ops->open(x.x, msub_key_peer_id(peer.key), protocol, MSUB_NEVER, &handler, t, &t->s));
}
static size_t take(talk *t, size_t n) {
  static const uint8_t bytes[MSUB__HOST_EXCHANGE_BYTES + 1];
  CHECK(n <= sizeof bytes);
  msub_exchange x = msub_host_exchange(a.host);
  return x.ops->write(x.x, t->s, (msub_bytes){ bytes, n });
}

static void test_running(void) {
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_EXCHANGE_RUNNING + d), run = (unsigned)at_most(n, MSUB__HOST_EXCHANGE_RUNNING);
    talk t[MSUB__HOST_EXCHANGE_RUNNING + 1];
    /* ours */
    begin_connected();
    peer.accepts[0] = ECHO;
    for (unsigned i = 0; i < n; i++) ask(&t[i], ECHO);
    CHECK(host()->exchange_opened == run);
    raw_for(&peer, &a, 20);
    CHECK(host()->exchange_opened == run);
    msub_exchange x = msub_host_exchange(a.host);
    x.ops->reset(x.x, t[0].s); /* who waits gets its place */
    SOON(t[0].ended == 1);
    CHECK(host()->exchange_opened == n);
    /* a peer's */
    MUST(serve(ECHO));
    for (unsigned i = 0; i < n; i++) (void)raw_open(&peer, ECHO);
    SOON(host()->exchange_served + host()->exchange_waited == n);
    CHECK(opened == run && host()->exchange_waited == n - run);
    x.ops->reset(x.x, served[0].s);
    SOON(served[0].ended == 1);
    CHECK(opened == n);
    end();
  }
}

static void test_protocols(void) {
  char name[16];
  begin();
  for (unsigned i = 1; i <= MSUB__HOST_EXCHANGE_PROTOCOLS + 1; i++) {
    (void)snprintf(name, sizeof name, "/p/%u", i);
    CHECK(serve(name) == (i > MSUB__HOST_EXCHANGE_PROTOCOLS ? MSUB_ERR_LIMIT : MSUB_OK));
  }
  node_free(&a);
}

/* The whole life of a peer's stream. */
static void test_life(void) {
  for (int d = -1; d <= 1; d++) {
    begin_connected();
    MUST(serve(ECHO));
    raw_stream *s = raw_open(&peer, ECHO);
    SOON(opened == 1);
    forward(MSUB__HOST_EXCHANGE_NS + (uint64_t)(int64_t)d);
    CHECK(served[0].ended == (d >= 0) && host()->exchange_late == (d >= 0));
    if (d >= 0) {
      CHECK(served[0].why == MSUB_END_DEADLINE);
      SOON(!s->y);
      CHECK(s->why != MSUB_OK);
    }
    CHECK(host()->connections == 1);
    end();
  }
}

static void test_bytes(void) {
  for (int d = -1; d <= 1; d++) { /* not turned: nothing is sent */
    size_t n = MSUB__HOST_EXCHANGE_BYTES + (size_t)d;
    talk t;
    begin_connected();
    peer.accepts[0] = ECHO;
    ask(&t, ECHO);
    CHECK(take(&t, n) == at_most(n, MSUB__HOST_EXCHANGE_BYTES));
    CHECK(take(&t, 2) == (d < 0) && take(&t, 1) == 0);
    SOON(t.writable > 0);
    CHECK(take(&t, MSUB__HOST_EXCHANGE_BYTES) >= MSUB__HOST_EXCHANGE_BYTES / 2 && t.ended == 0);
    end();
  }
}

static void test_peer_bytes(void) {
  enum { FULL = MSUB__HOST_EXCHANGE_PEER_BYTES / MSUB__HOST_EXCHANGE_BYTES };
  for (int d = -1; d <= 1; d++) {
    talk t[FULL], two, more, least[3];
    begin_connected();
    for (unsigned i = 0; i < FULL; i++) {
      size_t n = MSUB__HOST_EXCHANGE_BYTES - (i == 0 && d != 0);
      ask(&t[i], ECHO);
      CHECK(take(&t[i], n) == n);
    }
    ask(&two, ECHO);
    if (d > 0) CHECK(take(&two, 2) == 2); /* the last one below */
    ask(&more, ECHO);
    CHECK(take(&more, MSUB__HOST_EXCHANGE_BYTES) == (d < 0 ? MSUB__HOST_EXCHANGE_BYTES : MSUB__HOST_EXCHANGE_LEAST));
    CHECK(take(&more, 1) == 0 && take(&t[0], 1) == 0); /* they have something to send */
    for (int e = -1; e <= 1; e++) {
      talk *x = &least[e + 1];
      size_t n = MSUB__HOST_EXCHANGE_LEAST + (size_t)e;
      ask(x, ECHO);
      CHECK(take(x, n) == at_most(n, MSUB__HOST_EXCHANGE_LEAST) && take(x, 1) == 0);
    }
    end();
  }
}

/* The connection has no stream for us; when it has one again nobody says so. */
static void test_retry(void) {
  static talk t[MSUB__YAMUX_UNACKED_MAX + 1];
  for (int d = -1; d <= 1; d++) {
    char name[16];
    unsigned n = 0;
    begin_connected();
    do {
      CHECK(n < sizeof t / sizeof *t);
      (void)snprintf(name, sizeof name, "/p/%u", n);
      ask(&t[n++], name);
    } while (host()->exchange_opened == n);
    for (unsigned i = 0; i + 1 < n; i++) SOON(t[i].ended == 1); /* the peer knows none of them */
    raw_for(&peer, &a, 20);
    CHECK(host()->exchange_opened == n - 1 && t[n - 1].ended == 0);
    forward(MSUB__HOST_EXCHANGE_RETRY_NS + (uint64_t)(int64_t)d);
    CHECK(host()->exchange_opened == (d < 0 ? n - 1 : n));
    if (d < 0) forward(1);
    SOON(t[n - 1].ended == 1);
    CHECK(t[n - 1].why == MSUB_END_UNSUPPORTED);
    end();
  }
}

/* ---- hints ---- */

static msub_key *key_of(unsigned i) {
  uint8_t seed[32] = { 77, (uint8_t)i };
  msub_key *key;
  MUST(msub_key_from_seed(seed, &key));
  return key;
}
static const msub_bytes nothing = { NULL, 0 };

static void test_hint_dials(void) {
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_HINT_DIALS + d), first = (unsigned)at_most(n, MSUB__HOST_HINT_DIALS);
    msub__tr_addr at;
    int fd = silent(&at);
    begin();
    for (unsigned i = 0; i < n; i++) {
      msub_key *key = key_of(i);
      msub__hints_add(a.host, msub_key_peer_id(key), nothing, &at);
      msub_key_free(key);
    }
    ALONE(host()->dials == first);
    forward(0);
    CHECK(host()->hints_dialled == first && host()->dials == first && host()->hints_dropped == 0);
    forward(a.opts.handshake_timeout_ns); /* they have failed: there is room for the next */
    ALONE(host()->dials == n && host()->dial_failed == first);
    CHECK(host()->hints_dialled == n);
    node_free(&a);
    (void)close(fd);
  }
}

/* The first address fails after so long: is there time for the second? */
static void test_hint_time(void) {
  for (int d = -1; d <= 1; d++) {
    msub__tr_addr at, other = loopback(2, 1);
    int fd = silent(&at), conn;
    msub_key *key = key_of(0);
    node_init(&a, "a", 1);
    a.opts.handshake_timeout_ns = 2 * MSUB__HOST_HINT_NS;
    start();
    msub__book_add(a.host, msub_key_peer_id(key), &other, MSUB__BOOK_PROVED, NULL);
    msub__hints_add(a.host, msub_key_peer_id(key), nothing, &at);
    ALONE((conn = accept(fd, NULL, NULL)) >= 0);
    CHECK(host()->dials == 1 && host()->hints_dialled == 1);
    forward(MSUB__HOST_HINT_NS + (uint64_t)(int64_t)d);
    CHECK(host()->dial_failed == 0);
    (void)close(conn);
    ALONE(a.host->hints.n_dialled == 0);
    CHECK(host()->dials == (d < 0 ? 2 : 1) && host()->dial_failed == host()->dials);
    node_free(&a);
    msub_key_free(key);
    (void)close(fd);
  }
}

static void test_hint_addrs(void) {
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_HINT_ADDRS + d);
    uint8_t rec[4096];
    msub_multiaddr at[MSUB__HOST_HINT_ADDRS + 1];
    msub_bytes addrs[MSUB__HOST_HINT_ADDRS + 1];
    msub_key *key = key_of(0);
    for (unsigned i = 0; i < n; i++) { /* nobody listens there */
      msub__tr_addr to = loopback(2 + i, 1);
      MUST(msub_multiaddr_tcp((msub_bytes){ to.ip, 4 }, to.port, &at[i]));
      addrs[i] = (msub_bytes){ at[i].bytes, at[i].n };
    }
    size_t size = msub_peer_record_seal(key, 1, addrs, n, MSUB_RECORD_GO, rec, sizeof rec);
    CHECK(size > 0 && size <= sizeof rec);
    begin();
    msub__hints_add(a.host, msub_key_peer_id(key), (msub_bytes){ rec, size }, NULL);
    ALONE(host()->hints_dialled == 1 && a.host->hints.n_dialled == 0);
    CHECK(host()->dials == at_most(n, MSUB__HOST_HINT_ADDRS) && host()->dial_failed == host()->dials);
    node_free(&a);
    msub_key_free(key);
  }
}

/* A record that an unknown field makes as long as this. */
static void test_hint_record(void) {
  for (int d = -1; d <= 1; d++) {
    static uint8_t rec[MSUB__HOST_HINT_RECORD + 1];
    size_t n = MSUB__HOST_HINT_RECORD + (size_t)d;
    msub_multiaddr at;
    msub__tr_addr to = loopback(2, 1);
    msub_key *key = key_of(0);
    MUST(msub_multiaddr_tcp((msub_bytes){ to.ip, 4 }, to.port, &at));
    msub_bytes addr = { at.bytes, at.n };
    memset(rec, 0, sizeof rec);
    size_t used = msub_peer_record_seal(key, 1, &addr, 1, MSUB_RECORD_GO, rec, sizeof rec), rest = n - used - 3;
    CHECK(used > 0 && rest >= 1u << 7 && rest < 1u << 14);
    rec[used] = 15 << 3 | 2;
    rec[used + 1] = (uint8_t)(rest & 0x7f) | 0x80;
    rec[used + 2] = (uint8_t)(rest >> 7);
    begin();
    msub__hints_add(a.host, msub_key_peer_id(key), (msub_bytes){ rec, n }, NULL);
    CHECK(host()->hints == 1 && host()->hints_dropped == (d > 0));
    if (d <= 0) ALONE(host()->dial_failed == 1);
    CHECK(host()->hints_dialled == (d <= 0) && host()->hints_dropped == (d > 0));
    node_free(&a);
    msub_key_free(key);
  }
}

/* ---- the book ---- */

static msub_bytes id_no(unsigned i) {
  static uint8_t id[34];
  id[0] = (uint8_t)(i >> 8);
  id[1] = (uint8_t)i;
  return (msub_bytes){ id, sizeof id };
}

static void test_book_peers(void) {
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_BOOK_PEERS + d);
    begin();
    for (unsigned i = 0; i < n; i++) {
      msub__tr_addr at = loopback(1, 1 + i);
      msub__book_add(a.host, id_no(i), &at, MSUB__BOOK_PROVED, NULL);
    }
    CHECK(a.host->book.n == at_most(n, MSUB__HOST_BOOK_PEERS));
    for (unsigned i = 0; i < n; i++) { /* the oldest makes room */
      const msub__book_entry *e = msub__book_find(a.host, id_no(i));
      CHECK((e == NULL) == (d > 0 && i == 0));
      CHECK(!e || (e->n == 1 && e->addrs[0].at.port == 1 + i));
    }
    node_free(&a);
  }
}

static void test_book_addrs(void) {
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_BOOK_ADDRS + d);
    begin();
    for (unsigned i = 1; i <= n; i++) {
      msub__tr_addr at = loopback(1, i);
      msub__book_add(a.host, id_no(0), &at, MSUB__BOOK_PROVED, NULL);
    }
    const msub__book_entry *e = msub__book_find(a.host, id_no(0));
    CHECK(e && e->n == at_most(n, MSUB__HOST_BOOK_ADDRS));
    for (unsigned i = 0; i < e->n; i++) CHECK(e->addrs[i].at.port == n - i); /* the newest first */
    msub__tr_addr said = loopback(1, 1000); /* what the peer says of itself pushes out nothing that has worked */
    msub__book_add(a.host, id_no(0), &said, MSUB__BOOK_SAID, NULL);
    CHECK(e->n == MSUB__HOST_BOOK_ADDRS && (e->addrs[0].at.port == said.port) == (d < 0));
    node_free(&a);
  }
}

/* ---- discovery ---- */

static unsigned finds, cancels;
static void find(void *d, msub_bytes topic, unsigned n, void (*found)(void *ud, msub_bytes peer_id, msub_bytes addr), void *ud) {
  (void)d;
  (void)topic;
  (void)found;
  (void)ud;
  CHECK(n > 0);
  finds++;
}
static void cancel(void *d, msub_bytes topic) {
  (void)d;
  (void)topic;
  cancels++;
}
static const msub_discovery_ops disco_ops = { .abi = MSUB_ABI, .size = sizeof disco_ops, .find = find, .cancel = cancel };

static void want(void) {
  msub__discovery_want(a.host, msub_str("topic"), 3);
  forward(0);
}
static void begin_wanting(void) {
  static const msub_router_ops *const routers[] = { &node_content, NULL };
  node_init(&a, "a", 1);
  a.opts.routers = routers;
  a.opts.discovery = (msub_discovery){ &disco_ops, NULL };
  start();
  finds = cancels = 0;
  want();
  CHECK(finds == 1);
}

static void test_seek(void) {
  for (int d = -1; d <= 1; d++) {
    begin_wanting();
    want();
    CHECK(finds == 1);
    forward(MSUB__HOST_SEEK_NS + (uint64_t)(int64_t)d);
    CHECK(finds == (d < 0 ? 1 : 2));
    want();
    CHECK(finds == (d < 0 ? 1 : 2) && cancels == 0);
    node_free(&a);
    CHECK(cancels == 1);
    begin_wanting();
    forward(MSUB__HOST_SEEK_LAPSE_NS + (uint64_t)(int64_t)d);
    CHECK(finds == 1 && cancels == (d >= 0));
    node_free(&a);
    CHECK(cancels == 1);
  }
}

static const test_case cases[] = {
  { "running", test_running },       { "protocols", test_protocols },   { "life", test_life },
  { "bytes", test_bytes },           { "peer_bytes", test_peer_bytes }, { "retry", test_retry },
  { "hint_dials", test_hint_dials }, { "hint_time", test_hint_time },   { "hint_addrs", test_hint_addrs },
  { "hint_record", test_hint_record }, { "book_peers", test_book_peers }, { "book_addrs", test_book_addrs },
  { "seek", test_seek },
};

int main(int argc, char **argv) { return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv); }
