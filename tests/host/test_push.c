/* tests/host/test_push.c: what a host tells when it changed, and what becomes of connections that were dialled from both sides at once.
 * usage: test_push CASE */
#define _GNU_SOURCE
#include <string.h>
#include "host/conn.h"
#include "wire/limits.h"
#include "clocked.h" /* last: its names are short */

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

int main(int argc, char **argv) {
  static const test_case cases[] = { { "push", test_push }, { "at_once", test_at_once }, { "spare", test_spare } };
  return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
}
