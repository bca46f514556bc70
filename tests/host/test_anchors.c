/* tests/host/test_anchors.c: peers that outlive a restart in a store. usage: test_anchors CASE
 *
 * Times: as in clocked.h. */
#define _GNU_SOURCE
#include <string.h>
#include "host/anchors.h"
#include "host/book.h"
#include "host/protect.h"
#include "host_node.h"

#define AHEAD (3600 * MSUB__S)
enum { PEERS = MSUB__HOST_ANCHORS + 1 };

static node a, all[PEERS];
static msub_store_memory *memory;
static msub_store store;

static const msub_host_counts *host(void) { return msub_host_count(a.host); }
static void forward(uint64_t ns) {
  msub_now now = { 0 };
  a.host->now.mono_ns += ns;
  for (unsigned i = 0; i < PEERS; i++)
    if (all[i].host) all[i].host->now.mono_ns += ns; /* they answer as many pings as come in their own time */
  (void)msub_host_turn(a.host, 0);
  now.mono_ns = a.host->now.mono_ns;
  store.ops->turn(store.s, &now);
}
static void turn_all(void) {
  node *nodes[PEERS + 1] = { &a };
  size_t n = 1;
  for (unsigned i = 0; i < PEERS; i++)
    if (all[i].host) nodes[n++] = &all[i];
  turn_for(nodes, n, 1);
}

/* In steps, so that pings are answered. */
static void pass(uint64_t ns) {
  for (uint64_t step = 5 * MSUB__S; ns > 0; ns -= step) {
    if (step > ns) step = ns;
    forward(step);
    for (unsigned i = 0; i < 4; i++) turn_all();
  }
}

static void open_store(size_t max_waiting) {
  msub_store_memory_opts o;
  const msub_now now = { 0 };
  msub_store_memory_opts_init(&o);
  if (max_waiting) o.max_waiting = max_waiting;
  MUST(msub_store_memory_new(&o, &now, &memory));
  store = msub_store_memory_store(memory);
}
static void start(unsigned anchors) {
  node_init(&a, "a", 1);
  a.opts.write_timeout_ns = 3 * AHEAD;
  a.opts.store = store;
  a.opts.anchors = anchors;
  a.opts.book.stored = false;
  node_start(&a, true, true);
  a.host->now.mono_ns = msub__mono() + AHEAD;
}
static void start_peers(unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    node_init(&all[i], "peer", (uint8_t)(10 + i));
    node_start(&all[i], true, true);
    all[i].host->now.mono_ns = msub__mono() + AHEAD;
  }
}
static void end(void) {
  node_free(&a);
  for (unsigned i = 0; i < PEERS; i++)
    if (all[i].key) node_free(&all[i]);
  memset(all, 0, sizeof all);
  msub_store_memory_free(memory);
}
static msub_bytes id_of(const node *n) { return msub_key_peer_id(n->key); }
static void in_mesh(const node *n, bool on) { msub__protect(a.host, id_of(n), (msub_topic){ 1 }, on); }
static void connect_to(unsigned i) {
  unsigned before = a.connected;
  node_dial(&a, &all[i]);
  UNTIL(turn_all(), a.connected == before + 1);
  forward(MSUB__MS); /* in this order */
}

static bool add_bit(void *ud, msub_bytes key, msub_bytes value) {
  unsigned *set = ud;
  (void)value;
  CHECK(key.n > 7 && memcmp(key.p, "anchor/", 7) == 0);
  for (unsigned i = 0; i < PEERS; i++) {
    if (all[i].key && msub_bytes_eq((msub_bytes){ key.p + 7, key.n - 7 }, id_of(&all[i]))) *set |= 1u << i;
  }
  return true;
}
static unsigned stored(void) {
  unsigned set = 0;
  MUST(store.ops->iterate(store.s, msub_str("anchor/"), add_bit, &set));
  return set;
}

/* Whom the host has connected to for a minute, and who is in a mesh; after the restart it knows nobody else. */
static void test_restart(void) {
  open_store(0);
  start(4);
  start_peers(4);
  for (unsigned i = 0; i < 3; i++) connect_to(i);
  unsigned before = a.connected;
  node_dial(&all[3], &a); /* comes in */
  UNTIL(turn_all(), a.connected == before + 1);
  for (unsigned i = 0; i < 4; i++) in_mesh(&all[i], i != 1);
  pass(2 * MSUB__HOST_ANCHOR_NS);
  CHECK(stored() == (1u << 0 | 1u << 2));
  node_free(&a);
  for (unsigned i = 0; i < 4; i++) all[i].connected = 0;
  start(4);
  UNTIL(turn_all(), host()->anchors_connected == 2);
  CHECK(all[0].connected == 1 && all[2].connected == 1 && all[1].connected == 0 && all[3].connected == 0 && host()->anchors_failed == 0);
  /* nobody is in a mesh yet: what stands there stays */
  pass(2 * MSUB__HOST_ANCHOR_NS);
  CHECK(stored() == (1u << 0 | 1u << 2));
  end();
}

/* The longest first, so many of them, and when they are looked at. */
static void test_limits(void) {
  for (int d = -1; d <= 1; d++) {
    unsigned most = (unsigned)((int)MSUB__HOST_ANCHORS + d);
    const char *why;
    open_store(0);
    node_init(&a, "a", 1);
    a.opts.store = store;
    a.opts.anchors = most;
    int err = msub_host_new(&a.opts, &a.host, &why);
    CHECK(err == (d > 0 ? MSUB_ERR_INVAL : MSUB_OK));
    if (d > 0) a.host = NULL;
    node_free(&a);
    if (d <= 0) {
      start(most);
      forward(0);
      start_peers(PEERS);
      for (unsigned i = 0; i < PEERS; i++) {
        connect_to(i);
        in_mesh(&all[i], true);
      }
      pass(MSUB__HOST_LIVED_NS); /* a look, and they are not all a minute old */
      pass(MSUB__HOST_ANCHOR_NS - 1);
      forward(1);
      CHECK(stored() == (1u << most) - 1);
      in_mesh(&all[0], false); /* another one takes its place only when there is one: it is the first to go */
      pass(MSUB__HOST_ANCHOR_NS);
      CHECK(stored() == (1u << (most + 1)) - 2);
      end();
    } else {
      msub_store_memory_free(memory);
    }
  }
}

/* The first look is a minute after the start, not a nanosecond sooner. */
static void test_times(void) {
  for (int d = -1; d <= 1; d++) {
    open_store(0);
    start(4);
    forward(0); /* the clock was set ahead: a look at nobody */
    start_peers(1);
    connect_to(0);
    in_mesh(&all[0], true);
    MSUB__OF(a.host->conns.next, msub__conn, in_conns)->opened -= MSUB__HOST_LIVED_NS;
    uint64_t at = a.host->anchors.timer.deadline;
    CHECK(at > a.host->now.mono_ns && at - a.host->now.mono_ns <= MSUB__HOST_ANCHOR_NS);
    forward(at - a.host->now.mono_ns + (uint64_t)(int64_t)d);
    CHECK(stored() == (d < 0 ? 0u : 1u));
    end();
  }
}

/* What is no record is passed over and taken away; what is one is used all the same. */
static void test_bad(void) {
  static const struct { const char *key; uint8_t value[24]; size_t n; } bad[] = {
    { "anchor/", { 1, 0, 4, 127, 0, 0, 1, 1, 1 }, 9 },
    { "anchor/nobody", { 1, 0, 4, 127, 0, 0, 1, 1, 1 }, 9 },
    { NULL, { 2, 0, 4, 127, 0, 0, 1, 1, 1 }, 9 },  /* another version */
    { NULL, { 1, 2, 4, 127, 0, 0, 1, 1, 1 }, 9 },  /* flags that there are not */
    { NULL, { 1, 0, 5, 127, 0, 0, 1, 1, 1, 1 }, 10 },
    { NULL, { 1, 0, 4, 127, 0, 0, 1, 0, 0 }, 9 },  /* port 0 */
    { NULL, { 1, 0, 4, 127, 0, 0, 1, 1 }, 8 },     /* torn */
    { NULL, { 1, 0, 4, 127, 0, 0, 1, 1, 1, 0 }, 10 },
    { NULL, { 0 }, 0 },
  };
  start_peers(2);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    uint8_t key[7 + MSUB_PEER_ID_MAX], good[9 + 0] = { 1, 0, 4, 127, 0, 0, 1 };
    const msub_now now = { 0 };
    open_store(0);
    memcpy(key, "anchor/", 7);
    memcpy(key + 7, id_of(&all[0]).p, id_of(&all[0]).n);
    msub_store_op op = { true, { key, 7 + id_of(&all[0]).n }, { bad[i].value, bad[i].n } };
    if (bad[i].key) op.key = msub_str(bad[i].key);
    MUST(store.ops->submit(store.s, &op, 1, (msub_token){ 0 }));
    memcpy(key + 7, id_of(&all[1]).p, id_of(&all[1]).n);
    msub__tr_addr at = all[1].host->listeners[0].at;
    good[7] = (uint8_t)(at.port >> 8);
    good[8] = (uint8_t)at.port;
    op = (msub_store_op){ true, { key, 7 + id_of(&all[1]).n }, { good, sizeof good } };
    MUST(store.ops->submit(store.s, &op, 1, (msub_token){ 0 }));
    store.ops->turn(store.s, &now);
    start(4);
    CHECK(host()->anchors_failed == 1);
    UNTIL(turn_all(), host()->anchors_connected == 1);
    CHECK(stored() == 2);
    node_free(&a);
    msub_store_memory_free(memory);
  }
  for (unsigned i = 0; i < 2; i++) node_free(&all[i]);
  memset(all, 0, sizeof all);
}

/* A store that takes nothing now is asked again. */
static void test_full(void) {
  open_store(1);
  start(4);
  forward(0);
  start_peers(2);
  for (unsigned i = 0; i < 2; i++) {
    connect_to(i);
    in_mesh(&all[i], i == 0);
  }
  msub_store_memory_hang(memory, true);
  pass(2 * MSUB__HOST_ANCHOR_NS);
  CHECK(stored() == 1 && host()->anchors_failed == 0); /* waits, and is shown */
  in_mesh(&all[1], true);
  pass(MSUB__HOST_ANCHOR_NS);
  CHECK(stored() == 1 && host()->anchors_failed == 1);
  msub_store_memory_hang(memory, false);
  forward(MSUB__MS);
  pass(MSUB__HOST_ANCHOR_NS);
  CHECK(stored() == 3 && host()->anchors_failed == 1);
  end();
}

int main(int argc, char **argv) {
  static const test_case cases[] = {
    { "restart", test_restart }, { "limits", test_limits }, { "times", test_times }, { "bad", test_bad }, { "full", test_full },
  };
  return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
}
