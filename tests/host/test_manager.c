/* tests/host/test_manager.c: several addresses of a peer, and how many connections a host keeps. usage: test_manager CASE
 *
 * Times: as in test_limits_exchange.c, the clock of `a` stands still, ahead of the real one, and only the test moves it. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "host/book.h"
#include "host/manager.h"
#include "host/peers.h"
#include "host/protect.h"
#include "host/race.h"
#include "host_node.h"
#include "wire/limits.h"

#define AHEAD (3600 * MSUB__S)

static node a, b;
#define ALONE(cond) UNTIL(turn_for((node *const[]){ &a }, 1, 1), cond)
#define BOTH(cond) UNTIL(turn_for((node *const[]){ &a, &b }, 2, 1), cond)

static const msub_host_counts *host(void) { return msub_host_count(a.host); }
static void start(void) {
  a.opts.write_timeout_ns = AHEAD;
  node_start(&a, true, true);
  a.host->now.mono_ns = msub__mono() + AHEAD;
}
static void forward(uint64_t ns) {
  a.host->now.mono_ns += ns;
  (void)msub_host_turn(a.host, 0);
}
static void begin(void) {
  node_init(&a, "a", 1);
  start();
}
static size_t at_most(size_t n, size_t limit) { return n < limit ? n : limit; }

static msub__tr_addr loopback(unsigned host_part, unsigned port) {
  return (msub__tr_addr){ .n = 4, .port = (uint16_t)port, .ip = { 127, 0, 0, (uint8_t)host_part } };
}
static int silent(msub__tr_addr *at) {
  uint16_t port;
  int fd = node_silent_place(&port);
  *at = loopback(1, port);
  return fd;
}
static msub_bytes id_of(const node *n) { return msub_key_peer_id(n->key); }
static msub__tr_addr place_of(const node *n) { return n->host->listeners[0].at; }
static void known(const node *of, const msub__tr_addr *at, bool proved) { msub__book_add(a.host, id_of(of), at, proved); }

/* ---- several addresses ---- */

/* A silent address costs 250 ms, a refused one nothing, and the winner ends the rest. */
static void test_race(void) {
  for (int d = -1; d <= 1; d++) {
    msub__tr_addr mute, good, shut = loopback(2, 1);
    begin();
    node_init(&b, "b", 2);
    node_start(&b, true, true);
    good = place_of(&b);
    int fd = silent(&mute);
    known(&b, &good, true); /* the newest goes first */
    known(&b, &mute, true);
    known(&b, &shut, true);
    MUST(msub_host_dial_peer(a.host, id_of(&b), 9));
    ALONE(host()->dial_failed == 1); /* of shut, and mute is on its way */
    forward(0);
    CHECK(host()->dials == 2 && a.dial_failed == 0);
    forward(MSUB__HOST_RACE_NS + (uint64_t)(int64_t)d);
    CHECK(host()->dials == (d < 0 ? 2 : 3));
    if (d < 0) forward(1);
    BOTH(a.connected == 1 && b.connected == 1);
    CHECK(a.cookie == 9 && a.dial_failed == 0);
    turn_for((node *const[]){ &a, &b }, 2, 20);
    CHECK(host()->half_open == 0 && host()->connections == 1 && msub__list_empty(&a.host->races));
    /* connected already: said once more */
    MUST(msub_host_dial_peer(a.host, id_of(&b), 10));
    ALONE(a.connected == 2);
    CHECK(a.cookie == 10 && host()->connections == 1);
    node_free(&a);
    node_free(&b);
    (void)close(fd);
  }
}

static void test_race_flying(void) {
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_RACE_FLYING + d);
    int fd[MSUB__HOST_RACE_FLYING + 1];
    node_init(&b, "b", 2);
    begin();
    for (unsigned i = 0; i < n; i++) {
      msub__tr_addr at;
      fd[i] = silent(&at);
      known(&b, &at, false);
    }
    MUST(msub_host_dial_peer(a.host, id_of(&b), 9));
    for (unsigned i = 0; i < n; i++) forward(MSUB__HOST_RACE_NS);
    CHECK(host()->dials == at_most(n, MSUB__HOST_RACE_FLYING));
    CHECK(msub_host_disconnect(a.host, id_of(&b)) == MSUB_ERR_NOTFOUND && a.dial_failed == 1); /* given up */
    ALONE(host()->half_open == 0);
    CHECK(a.dial_failed == 1 && a.dial_err == MSUB_ERR_CLOSED && a.cookie == 9);
    for (unsigned i = 0; i < n; i++) (void)close(fd[i]);
    node_free(&a);
    node_free(&b);
  }
}

static void count_end(msub_host *h, const msub__race *r, int err, const char *text) {
  (void)h;
  CHECK(err != MSUB_OK && text);
  ++*(unsigned *)r->own;
}

static void test_race_addrs(void) {
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_RACE_ADDRS + d), ended = 0;
    node_init(&b, "b", 2);
    begin();
    msub__race r = { .done = count_end, .own = &ended };
    CHECK(msub__race_begin(a.host, &r) == MSUB_ERR_NOTFOUND);
    for (unsigned i = 0; i < n; i++) {
      msub__tr_addr at = loopback(2 + i, 1);
      msub__race_add(&r, &at);
      msub__race_add(&r, &at); /* once is enough */
    }
    MUST(msub__race_begin(a.host, &r));
    ALONE(ended == 1);
    CHECK(host()->dials == at_most(n, MSUB__HOST_RACE_ADDRS) && host()->dial_failed == host()->dials && a.dial_failed == 0);
    node_free(&a);
    node_free(&b);
  }
}

/* The order: proved ones first, families in turns. */
static void test_order(void) {
  node_init(&b, "b", 2);
  begin();
  msub__tr_addr v6[2] = { { .n = 16, .ip = { 0x20, 1, [15] = 1 }, .port = 1 }, { .n = 16, .ip = { 0x20, 1, [15] = 2 }, .port = 1 } };
  msub__tr_addr v4[3] = { loopback(2, 1), loopback(3, 1), loopback(4, 1) };
  known(&b, &v4[0], false);
  known(&b, &v6[0], true);
  known(&b, &v6[1], true);
  known(&b, &v4[1], true);
  known(&b, &v4[2], true); /* the newest */
  msub__race r = { .id = { .n = 0 } };
  r.id.n = (uint8_t)id_of(&b).n;
  memcpy(r.id.bytes, id_of(&b).p, r.id.n);
  msub__race_from_book(a.host, &r, false);
  const msub__tr_addr *want[] = { &v4[2], &v6[1], &v4[1], &v6[0], &v4[0] };
  CHECK(r.n == 5);
  for (unsigned i = 0; i < 5; i++) CHECK(r.at[i].n == want[i]->n && memcmp(r.at[i].ip, want[i]->ip, r.at[i].n) == 0);
  node_free(&a);
  node_free(&b);
}

/* An address that failed rests, longer each time, for whoever dials unasked; a connection makes it fresh. */
static void test_rest(void) {
  node_init(&b, "b", 2);
  begin();
  msub__tr_addr at = loopback(2, 1);
  known(&b, &at, true);
  uint64_t rest = MSUB__HOST_REST_NS;
  for (unsigned i = 0; i < 10; i++) {
    msub__book_failed(a.host, id_of(&b), &at);
    for (int d = -1; d <= 0; d++) {
      forward(d < 0 ? rest - 1 : 1);
      msub__race r = { .n = 0 };
      r.id.n = (uint8_t)id_of(&b).n;
      memcpy(r.id.bytes, id_of(&b).p, r.id.n);
      msub__race_from_book(a.host, &r, true);
      CHECK(r.n == (d < 0 ? 0 : 1));
      r.n = 0;
      msub__race_from_book(a.host, &r, false);
      CHECK(r.n == 1);
    }
    rest = at_most(2 * rest, MSUB__HOST_REST_MAX_NS);
  }
  CHECK(rest == MSUB__HOST_REST_MAX_NS);
  msub__book_failed(a.host, id_of(&b), &at);
  msub__book_worked(a.host, id_of(&b), &at);
  CHECK(msub__book_find(a.host, id_of(&b))->addrs[0].rest_until == 0);
  msub__book_failed(a.host, id_of(&b), &at);
  CHECK(msub__book_find(a.host, id_of(&b))->addrs[0].rest_until == a.host->now.mono_ns + MSUB__HOST_REST_NS);
  /* the program insists: one event for all addresses */
  CHECK(msub_host_dial_peer(a.host, msub_str("nobody"), 1) == MSUB_ERR_INVAL);
  CHECK(msub_host_dial_peer(a.host, id_of(&a), 1) == MSUB_ERR_REFUSED);
  node c;
  node_init(&c, "c", 3);
  CHECK(msub_host_dial_peer(a.host, id_of(&c), 1) == MSUB_ERR_NOTFOUND);
  node_free(&c);
  msub__tr_addr other = loopback(3, 1);
  known(&b, &other, false);
  MUST(msub_host_dial_peer(a.host, id_of(&b), 5));
  ALONE(a.dial_failed == 1);
  CHECK(host()->dials == 2 && host()->dial_failed == 2 && a.cookie == 5 && a.dial_err == MSUB_ERR_REFUSED);
  node_free(&a);
  node_free(&b);
}

/* ---- pushes ---- */

static void *never_open(void *ud, msub_stream *s, msub_bytes peer_id) {
  (void)ud, (void)s, (void)peer_id;
  return NULL;
}
static size_t all_read(void *word, msub_stream *s, msub_bytes in) {
  (void)word, (void)s;
  return in.n;
}
static void ended(void *word, msub_stream *s, msub_end why) { (void)word, (void)s, (void)why; }
static bool speaks(const char *protocol) { /* as b knows of a */
  msub_host_peer p;
  CHECK(msub_host_peer_at(b.host, 0, &p) == MSUB_OK);
  for (size_t i = 0; i < p.n_protocols; i++) {
    if (strcmp(p.protocols[i], protocol) == 0) return true;
  }
  return false;
}

/* Changes within a second are told together, then there is a pause. */
static void test_push(void) {
  static const msub_stream_handler handler = { .abi = MSUB_ABI, .size = sizeof handler, .on_open = never_open, .on_data = all_read, .on_end = ended };
  const char *why;
  begin();
  node_init(&b, "b", 2);
  node_start(&b, true, true);
  msub_exchange x = msub_host_exchange(a.host);
  MUST(x.ops->serve(x.x, "/early/1", &handler, NULL)); /* nobody is there to be told */
  forward(10 * MSUB__S);
  node_dial(&a, &b);
  BOTH(a.identified == 1 && b.identified == 1);
  CHECK(speaks("/early/1") && host()->pushes == 0);
  MUST(x.ops->serve(x.x, "/one/1", &handler, NULL));
  MUST(x.ops->serve(x.x, "/two/1", &handler, NULL));
  MUST(msub_host_listen(a.host, "/ip4/127.0.0.1/tcp/0", &why));
  for (int d = -1; d <= 0; d++) {
    forward(d < 0 ? MSUB__HOST_PUSH_WAIT_NS - 1 : 1);
    CHECK(host()->pushes == (d < 0 ? 0 : 1));
  }
  BOTH(b.identified == 2);
  CHECK(speaks("/one/1") && speaks("/two/1") && speaks("/early/1"));
  MUST(x.ops->serve(x.x, "/one/1", NULL, NULL));
  for (int d = -1; d <= 0; d++) {
    forward(d < 0 ? MSUB__IDENTIFY_PUSH_NS - 1 : 1);
    CHECK(host()->pushes == (d < 0 ? 1 : 2));
  }
  BOTH(b.identified == 3);
  CHECK(!speaks("/one/1") && speaks("/two/1"));
  /* the wall clock goes back by an hour: what is signed then is newer all the same */
  uint64_t ahead = a.host->record_seq += UINT64_C(3600) * MSUB__S;
  MUST(msub_host_listen(a.host, "/ip4/127.0.0.1/tcp/0", &why));
  CHECK(a.host->record_seq == ahead + 1);
  forward(MSUB__IDENTIFY_PUSH_NS);
  CHECK(a.host->record_seq == ahead + 2);
  node_free(&a);
  node_free(&b);
}

/* ---- dialled from both sides at once ---- */

static bool both_linked(void) { return a.connected >= 2 && b.connected >= 2; }
static void turn_both(void) { turn_for((node *const[]){ &a, &b }, 2, 1); }

/* Messages flow all the while; each comes once, and one connection is left. */
static void test_at_once(void) {
  for (unsigned round = 0; round < 12; round++) {
    node_init(&a, "a", (uint8_t)(1 + round));
    node_init(&b, "b", (uint8_t)(101 + round));
    node_start(&a, true, true);
    node_start(&b, true, true);
    node_dial(&a, &b);
    node_dial(&b, &a);
    UNTIL(turn_both(), a.joins > 0 && b.joins > 0);
    uint32_t n = 0;
    for (uint64_t end = now_ms() + 400; now_ms() < end; n++) {
      while (!node_publish(&a, 2 * n, 100)) turn_both();
      while (!node_publish(&b, 2 * n + 1, 100)) turn_both();
      turn_both();
      CHECK(2 * n + 3 < MESSAGES_MAX);
    }
    UNTIL(turn_both(), a.messages >= n && b.messages >= n);
    CHECK(both_linked());
    UNTIL(turn_both(), msub_host_count(a.host)->connections == 1 && msub_host_count(b.host)->connections == 1);
    for (uint32_t i = 0; i < 2 * n; i++) CHECK(a.seen[i] == i % 2 && b.seen[i] == (i + 1) % 2);
    CHECK(a.last == 0 && b.last == 0 && a.host->conns.next == a.host->conns.prev);
    const msub__conn *left = MSUB__OF(a.host->conns.next, msub__conn, in_conns);
    bool a_is_lesser = memcmp(id_of(&a).p, id_of(&b).p, id_of(&a).n) < 0;
    CHECK(left->outbound == a_is_lesser && !left->spare);
    node_free(&a);
    node_free(&b);
  }
}

/* The times: what is at once, and when the spare one goes. It stays as long as there is a stream on it. */
static void test_spare(void) {
  for (int d = -1; d <= 1; d++) {
    node_init(&b, "b", 2);
    begin();
    node_start(&b, true, true);
    node_dial(&a, &b);
    BOTH(a.connected == 1 && b.connected == 1);
    uint64_t opened = MSUB__OF(a.host->conns.next, msub__conn, in_conns)->opened;
    a.host->now.mono_ns = opened + MSUB__HOST_AT_ONCE_NS + (uint64_t)(int64_t)d;
    char addr[MSUB_MULTIADDR_TEXT];
    node_addr(&a, addr, sizeof addr);
    *strstr(addr, "/p2p/") = '\0'; /* with its id there would be no second connection */
    MUST(msub_host_dial(b.host, addr, 7));
    BOTH(a.connected == 2 && b.connected == 2);
    unsigned spares = 0;
    msub__conn *spare = NULL;
    for (msub__node *k = a.host->conns.next; k != &a.host->conns; k = k->next) {
      msub__conn *c = MSUB__OF(k, msub__conn, in_conns);
      spares += c->spare;
      if (c->spare) spare = c;
    }
    CHECK(spares == (d < 0 ? 1u : 0u));
    if (spare) {
      UNTIL(turn_both(), spare->n_streams == 0);
      uint64_t wait = (spare->outbound ? 1 : 10) * MSUB__HOST_SPARE_NS;
      CHECK(spare->spare_at > a.host->now.mono_ns && spare->spare_at - a.host->now.mono_ns <= wait);
      spare->n_streams++; /* somebody speaks there */
      forward(wait);
      CHECK(host()->connections == 2);
      spare->n_streams--;
      forward(wait - 1);
      CHECK(host()->connections == 2);
      forward(1);
      CHECK(host()->connections == 1);
    }
    node_free(&a);
    node_free(&b);
  }
}

/* ---- tags ---- */

static void test_tags(void) {
  int32_t v = 7;
  begin();
  node_init(&b, "b", 2);
  CHECK(msub_host_tag(a.host, id_of(&b), "useful", 5, 0) == MSUB_ERR_NOTFOUND);
  CHECK(msub_host_tag_value(a.host, id_of(&b), "useful", &v) == MSUB_ERR_NOTFOUND && v == 0);
  node_start(&b, true, true);
  node_dial(&a, &b);
  BOTH(a.connected == 1);
  char name[MSUB__HOST_TAG_NAME + 1];
  for (int d = -1; d <= 1; d++) {
    memset(name, 'x', sizeof name);
    name[(int)MSUB__HOST_TAG_NAME - 1 + d] = '\0'; /* bytes with the NUL: one below, at, above */
    CHECK(msub_host_tag(a.host, id_of(&b), name, 1, 0) == (d > 0 ? MSUB_ERR_INVAL : MSUB_OK));
    MUST(d > 0 ? MSUB_OK : msub_host_tag(a.host, id_of(&b), name, 0, 0));
  }
  CHECK(msub_host_tag(a.host, id_of(&b), "", 1, 0) == MSUB_ERR_INVAL);
  for (unsigned i = 0; i < MSUB__HOST_TAGS + 1; i++) {
    snprintf(name, sizeof name, "t%u", i);
    CHECK(msub_host_tag(a.host, id_of(&b), name, 2, 0) == (i < MSUB__HOST_TAGS ? MSUB_OK : MSUB_ERR_LIMIT));
  }
  msub_host_peer p;
  MUST(msub_host_peer_at(a.host, 0, &p));
  CHECK(p.value == 2 * (int64_t)MSUB__HOST_TAGS && !p.is_protected);
  for (unsigned i = 1; i < MSUB__HOST_TAGS; i++) {
    snprintf(name, sizeof name, "t%u", i);
    MUST(msub_host_tag(a.host, id_of(&b), name, 0, 0));
  }
  MUST(msub_host_tag(a.host, id_of(&b), "half", -101, 10 * MSUB__S));
  int32_t want[] = { -101, -50, -25 };
  for (unsigned i = 0; i < 3; i++) {
    for (int d = -1; d <= 0; d++) {
      if (i > 0) forward(d < 0 ? 10 * MSUB__S - 1 : 1);
      MUST(msub_host_tag_value(a.host, id_of(&b), "half", &v));
      CHECK(v == want[i > 0 && d < 0 ? i - 1 : i]);
    }
  }
  MUST(msub_host_peer_at(a.host, 0, &p));
  CHECK(p.value == 2 - 25);
  forward(400 * MSUB__S);
  MUST(msub_host_tag_value(a.host, id_of(&b), "half", &v));
  CHECK(v == 0);
  node_free(&a);
  node_free(&b);
}

/* ---- the number of connections ---- */

enum { PEERS = 8 };
static node all[PEERS];

static unsigned linked(void) { /* of bits: who is connected */
  msub_host_peer p;
  unsigned set = 0;
  for (size_t i = 0; msub_host_peer_at(a.host, i, &p) == MSUB_OK; i++) {
    for (unsigned k = 0; k < PEERS; k++) set |= (unsigned)msub_bytes_eq(p.peer_id, id_of(&all[k])) << k;
  }
  return set;
}
static void turn_all(void) {
  node *nodes[PEERS + 1] = { &a };
  for (unsigned i = 0; i < PEERS; i++) nodes[i + 1] = &all[i];
  turn_for(nodes, PEERS + 1, 1);
}

/* They come one second after the other: 0 is the oldest. */
static void crowd(unsigned low, unsigned high) {
  node_init(&a, "a", 1);
  a.opts.low_water = low;
  a.opts.high_water = high;
  a.opts.grace_ns = 20 * MSUB__S;
  start();
  for (unsigned i = 0; i < PEERS; i++) {
    node_init(&all[i], "peer", (uint8_t)(10 + i));
    node_start(&all[i], false, false);
    node_dial(&all[i], &a);
    UNTIL(turn_all(), a.connected == i + 1);
    forward(2 * MSUB__HOST_MANAGE_NS);
  }
}
static void disperse(void) {
  node_free(&a);
  for (unsigned i = 0; i < PEERS; i++) node_free(&all[i]);
}

static void test_trim(void) {
  crowd(3, 5);
  CHECK(linked() == 0xff && host()->trimmed == 0); /* all within their grace */
  MUST(msub_host_tag(a.host, id_of(&all[6]), "good", 10, 0));
  MUST(msub_host_tag(a.host, id_of(&all[0]), "bad", -1, 0));
  MUST(msub_host_protect(a.host, id_of(&all[5]), true));
  msub__protect(a.host, id_of(&all[4]), (msub_topic){ 1 }, true); /* in a mesh */
  forward(10 * MSUB__S);
  CHECK(host()->trimmed >= 1 && !(linked() & 1)); /* those past their grace go, the least valuable among them */
  for (unsigned i = 0; i < 20; i++) forward(MSUB__HOST_MANAGE_NS);
  UNTIL(turn_all(), host()->connections <= 5);
  CHECK((linked() & (1u << 5 | 1u << 4)) == (1u << 5 | 1u << 4)); /* spared; last, and not below the high mark */
  disperse();

  crowd(3, 5);
  MUST(msub_host_tag(a.host, id_of(&all[6]), "good", 10, 0));
  MUST(msub_host_tag(a.host, id_of(&all[0]), "bad", -1, 0));
  MUST(msub_host_protect(a.host, id_of(&all[5]), true));
  msub__protect(a.host, id_of(&all[4]), (msub_topic){ 1 }, true);
  a.host->o.grace_ns = 0; /* all at once */
  forward(MSUB__HOST_MANAGE_NS);
  CHECK(host()->trimmed == 5 && linked() == (1u << 6 | 1u << 5 | 1u << 4));
  disperse();
}

/* With nobody else left a mesh makes room down to the high mark; who is protected or kept does not. */
static void test_trim_mesh(void) {
  crowd(0, 2);
  for (unsigned i = 0; i < PEERS; i++) {
    if (i < 3) MUST(msub_host_protect(a.host, id_of(&all[i]), true));
    else msub__protect(a.host, id_of(&all[i]), (msub_topic){ 1 }, true);
  }
  a.host->o.grace_ns = 0;
  forward(MSUB__HOST_MANAGE_NS);
  CHECK(linked() == 7 && host()->trimmed == 5);
  for (unsigned i = 0; i < 5; i++) forward(MSUB__HOST_MANAGE_NS);
  CHECK(linked() == 7);
  MUST(msub_host_protect(a.host, id_of(&all[1]), false));
  forward(MSUB__HOST_MANAGE_NS);
  CHECK(linked() == 5);
  disperse();
}

/* Off, and never an error. */
static void test_trim_off(void) {
  crowd(0, 0);
  a.host->o.grace_ns = 0;
  forward(100 * MSUB__S);
  CHECK(linked() == 0xff && host()->trimmed == 0);
  disperse();
  node_init(&a, "a", 1);
  a.opts.low_water = a.opts.high_water + 1;
  const char *why;
  CHECK(msub_host_new(&a.opts, &a.host, &why) == MSUB_ERR_INVAL && strstr(why, "low_water"));
  a.host = NULL;
  node_free(&a);
}

/* Below min_peers the book is dialled, a few at a time, until there are enough. */
static void test_min_peers(void) {
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_MIN_DIALS + d);
    int fd[MSUB__HOST_MIN_DIALS + 1];
    node_init(&a, "a", 1);
    a.opts.min_peers = PEERS;
    start();
    forward(0); /* its first look, at nobody */
    for (unsigned i = 0; i < n; i++) { /* places that do not answer */
      msub__tr_addr at;
      node_init(&all[i], "peer", (uint8_t)(10 + i));
      fd[i] = silent(&at);
      known(&all[i], &at, false);
    }
    CHECK(host()->dials == 0);
    forward(MSUB__HOST_MANAGE_NS - 1);
    CHECK(host()->dials == 0);
    forward(1);
    forward(0);
    CHECK(host()->dials == at_most(n, MSUB__HOST_MIN_DIALS));
    for (unsigned i = 0; i < n; i++) {
      (void)close(fd[i]);
      node_free(&all[i]);
    }
    node_free(&a);
  }
  node_init(&a, "a", 1);
  a.opts.min_peers = 5;
  start();
  for (unsigned i = 0; i < PEERS; i++) {
    node_init(&all[i], "peer", (uint8_t)(10 + i));
    node_start(&all[i], true, false);
    msub__tr_addr at = place_of(&all[i]);
    known(&all[i], &at, false);
  }
  for (unsigned i = 0; i < 2; i++) {
    forward(MSUB__HOST_MANAGE_NS);
    for (unsigned k = 0; k < 50; k++) turn_all();
  }
  UNTIL(turn_all(), host()->connections == 5);
  forward(10 * MSUB__HOST_MANAGE_NS);
  for (unsigned k = 0; k < 50; k++) turn_all();
  CHECK(host()->connections == 5 && host()->dials == 5);
  /* one of them goes: another one, or the same, comes */
  for (unsigned i = 0; i < PEERS; i++) {
    if (!(linked() & 1u << i)) continue;
    node_stop(&all[i]);
    break;
  }
  UNTIL(turn_for((node *const[]){ &a }, 1, 1), host()->connections == 4);
  node *left[PEERS + 1] = { &a };
  size_t n_left = 1;
  for (unsigned i = 0; i < PEERS; i++)
    if (all[i].host) left[n_left++] = &all[i];
  UNTIL((forward(MSUB__HOST_MANAGE_NS), turn_for(left, n_left, 5)), host()->connections == 5);
  disperse();
}

int main(int argc, char **argv) {
  static const test_case cases[] = {
    { "race", test_race }, { "race_flying", test_race_flying }, { "race_addrs", test_race_addrs }, { "order", test_order },
    { "rest", test_rest }, { "push", test_push }, { "at_once", test_at_once }, { "spare", test_spare }, { "tags", test_tags }, { "trim", test_trim }, { "trim_mesh", test_trim_mesh },
    { "trim_off", test_trim_off }, { "min_peers", test_min_peers },
  };
  return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
}
