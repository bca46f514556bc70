/* tests/host/test_race.c: several addresses of a peer. usage: test_race CASE */
#define _GNU_SOURCE
#include <string.h>
#include <unistd.h>
#include "host/book.h"
#include "host/race.h"
#include "clocked.h" /* last: its names are short */

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
  msub__race r = { .id = msub_peer_id_of(id_of(&b)) };
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
      msub__race r = { .id = msub_peer_id_of(id_of(&b)) };
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

int main(int argc, char **argv) {
  static const test_case cases[] = { { "race", test_race }, { "flying", test_race_flying }, { "addrs", test_race_addrs }, { "order", test_order }, { "rest", test_rest } };
  return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
}
