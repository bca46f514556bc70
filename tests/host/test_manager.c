/* tests/host/test_manager.c: what a peer is worth, and how many connections a host keeps. usage: test_manager CASE */
#define _GNU_SOURCE
#include <string.h>
#include <unistd.h>
#include "host/manager.h"
#include "host/protect.h"
#include "clocked.h" /* last: its names are short */

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
  static const test_case cases[] = { { "tags", test_tags }, { "trim", test_trim }, { "trim_mesh", test_trim_mesh }, { "trim_off", test_trim_off }, { "min_peers", test_min_peers } };
  return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
}
