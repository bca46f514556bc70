/* tests/host/test_book.c: what a host knows of peers, and how it outlives a restart in a store. usage: test_book CASE
 *
 * The wall clock is wall.h's. */
#define _GNU_SOURCE
#include <string.h>
#include "count_mem.h"
#include "host/book.h"
#include "host/book_value.h"
#include "host/conn.h"
#include "host/shelf.h"
#include "wall.h"
#include "clocked.h" /* last: its names are short */

/* ---- a store that counts, and fails when it is told to ---- */

static msub_store_memory *memory;
static msub_store inner;
static unsigned submits, largest;
static int submit_err, iterate_err;

static int get(void *s, msub_bytes key, msub_bytes *value) { return inner.ops->get(s, key, value); }
static int iterate(void *s, msub_bytes prefix, bool (*fn)(void *ud, msub_bytes key, msub_bytes value), void *ud) {
  return iterate_err ? iterate_err : inner.ops->iterate(s, prefix, fn, ud);
}
static int submit(void *s, const msub_store_op *ops, size_t n, msub_token token) {
  if (submit_err) return submit_err;
  submits++;
  if (n > largest) largest = (unsigned)n;
  return inner.ops->submit(s, ops, n, token);
}
static msub_store_ops counting;

static void use_memory(msub_store_memory *m) {
  memory = m;
  inner = msub_store_memory_store(m);
  counting = *inner.ops;
  counting.get = get;
  counting.iterate = iterate;
  counting.submit = submit;
  submits = largest = 0;
  submit_err = iterate_err = 0;
}
static void open_store(size_t max_waiting) {
  msub_store_memory_opts o;
  msub_store_memory *m;
  const msub_now now = { 0 };
  msub_store_memory_opts_init(&o);
  if (max_waiting) o.max_waiting = max_waiting;
  MUST(msub_store_memory_new(&o, &now, &m));
  use_memory(m);
}
static void settle_store(void) {
  const msub_now now = { 0 };
  inner.ops->turn(inner.s, &now);
}
static bool count_key(void *ud, msub_bytes key, msub_bytes value) {
  unsigned *n = ud;
  (void)key, (void)value;
  ++*n;
  return true;
}
static unsigned stored(void) {
  unsigned n = 0;
  MUST(inner.ops->iterate(inner.s, msub_str("peer/"), count_key, &n));
  return n;
}
static void put(msub_bytes key, msub_bytes value) {
  const msub_store_op op = { true, key, value };
  MUST(inner.ops->submit(inner.s, &op, 1, (msub_token){ 0 }));
  settle_store();
}

/* ---- hosts ---- */

static void prepare(unsigned min_peers) {
  node_init(&a, "a", 1);
  a.opts.store = (msub_store){ &counting, inner.s };
  a.opts.anchors = 0;
  a.opts.min_peers = min_peers;
}
/* All is read. */
static void load(void) {
  start();
  do forward(0);
  while (msub__shelf_step(a.host));
}
static void begin_stored(void) {
  open_store(0);
  prepare(0);
  load();
}
static void again(void) {
  node_free(&a);
  prepare(0);
  load();
}
static void end(void) {
  node_free(&a);
  msub_store_memory_free(memory);
}

/* A key for each number, and what it signs. */
typedef struct someone {
  msub_key *key;
  msub_bytes id;
  uint8_t record[512];
  size_t n;
  msub_peer_record r;
} someone;
static void make(someone *s, unsigned i, uint64_t seq, unsigned first_port, unsigned n) {
  uint8_t seed[32] = { 77, (uint8_t)(i >> 8), (uint8_t)i };
  msub_multiaddr addrs[8];
  msub_bytes views[8];
  MUST(msub_key_from_seed(seed, &s->key));
  s->id = msub_key_peer_id(s->key);
  for (unsigned k = 0; k < n; k++) {
    MUST(msub_multiaddr_tcp((msub_bytes){ (const uint8_t *)"\x7f\0\0\2", 4 }, (uint16_t)(first_port + k), &addrs[k]));
    views[k] = (msub_bytes){ addrs[k].bytes, addrs[k].n };
  }
  s->n = msub_peer_record_seal(s->key, seq, views, n, MSUB_RECORD_GO, s->record, sizeof s->record);
  CHECK(s->n > 0 && s->n <= sizeof s->record);
  MUST(msub_peer_record_open((msub_bytes){ s->record, s->n }, s->id, &s->r));
}
static msub_bytes record_of(const someone *s) { return (msub_bytes){ s->record, s->n }; }
static msub__tr_addr of_network(unsigned x, unsigned y) { return (msub__tr_addr){ .n = 4, .ip = { 10, (uint8_t)(x >> 8), (uint8_t)x, (uint8_t)y }, .port = 7 }; }
static void said(const someone *s, unsigned port, const msub__tr_addr *from) {
  msub__tr_addr at = loopback(2, port);
  msub__book_add(a.host, s->id, &at, MSUB__BOOK_SAID, from);
}
static void proved(const someone *s, unsigned port) {
  msub__tr_addr at = loopback(2, port);
  msub__book_add(a.host, s->id, &at, MSUB__BOOK_PROVED, NULL);
}
/* Its ports in order; 0: it is not known. */
static unsigned ports(const someone *s, unsigned out[MSUB__HOST_BOOK_ADDRS]) {
  const msub__book_entry *e = msub__book_find(a.host, s->id);
  for (unsigned i = 0; e && i < e->n; i++) out[i] = e->addrs[i].at.port;
  return e ? e->n : 0;
}
static bool is_known(const someone *s) { return msub__book_find(a.host, s->id) != NULL; }

/* ---- over a restart ---- */

enum { PEERS = 4 };
static node all[PEERS];
static void turn_all(void) {
  node *nodes[PEERS + 1] = { &a };
  for (unsigned i = 0; i < PEERS; i++) nodes[i + 1] = &all[i];
  turn_for(nodes, PEERS + 1, 1);
}
static void meet_all(void) {
  for (unsigned i = 0; i < PEERS; i++) {
    node_init(&all[i], "peer", (uint8_t)(10 + i));
    node_start(&all[i], true, false);
    if (i < 2) node_dial(&a, &all[i]);
    else node_dial(&all[i], &a);
    UNTIL(turn_all(), a.identified == i + 1);
  }
}
static void end_all(void) {
  for (unsigned i = 0; i < PEERS; i++) node_free(&all[i]);
  end();
}

/* Nobody tells the host anything the second time; it finds those whom it dialled, and those that came to it. */
static void test_restart(void) {
  begin_stored();
  meet_all();
  CHECK(a.host->book.n == PEERS && a.host->book.n_said == 2);
  node_free(&a); /* what waits is written */
  settle_store();
  CHECK(stored() == PEERS && submits == 1 && largest == PEERS);
  for (unsigned i = 0; i < PEERS; i++) UNTIL(turn_for((node *const[]){ &all[i] }, 1, 1), all[i].last == 1);
  prepare(PEERS);
  start();
  UNTIL((forward(MSUB__HOST_MANAGE_NS), turn_all()), host()->connections == PEERS);
  CHECK(host()->book_loaded == PEERS && host()->book_passed_over == 0 && host()->book_failed == 0);
  for (unsigned i = 0; i < PEERS; i++) CHECK(msub__book_find(a.host, id_of(&all[i]))->record_n > 0);
  end_all();
}

/* What was written before the power went is there, with the delay in between, and no more than that. */
static void test_crash(void) {
  for (int d = -1; d <= 1; d++) {
    msub_store_memory *after;
    begin_stored();
    meet_all();
    uint64_t at = a.host->now.mono_ns; /* the clock stands: the first change was now */
    forward(a.opts.book.delay_ns + (uint64_t)(int64_t)d);
    CHECK(a.host->now.mono_ns == at + a.opts.book.delay_ns + (uint64_t)(int64_t)d && submits == (d < 0 ? 0u : 1u));
    settle_store();
    MUST(msub_store_memory_crashed(memory, &after));
    node_free(&a);
    msub_store_memory_free(memory);
    use_memory(after);
    CHECK(stored() == (d < 0 ? 0u : PEERS));
    prepare(2);
    start();
    for (unsigned i = 0; i < 6; i++) {
      forward(MSUB__HOST_MANAGE_NS);
      for (unsigned k = 0; k < 5; k++) turn_all();
    }
    CHECK(host()->connections == (d < 0 ? 0u : 2u)); /* so many were wanted, of those that were dialled before */
    if (d >= 0) CHECK(all[0].connected == 2 && all[1].connected == 2);
    end_all();
  }
}

/* ---- records ---- */

static size_t shown(const someone *s, uint8_t *out, size_t cap) { /* as the book has it */
  const msub__book_entry *e = msub__book_find(a.host, s->id);
  CHECK(e && e->record_n <= cap);
  memcpy(out, e->record, e->record_n);
  return e->record_n;
}

static void test_seq(void) {
  someone old, now, new;
  unsigned p[MSUB__HOST_BOOK_ADDRS];
  uint8_t kept[MSUB__HOST_BOOK_RECORD];
  const msub__tr_addr from = of_network(1, 1);
  begin_stored();
  make(&old, 1, 4, 100, 2);
  make(&now, 1, 5, 200, 3);
  make(&new, 1, 6, 202, 2);
  CHECK(msub__book_certify(a.host, &now.r, record_of(&now), &from));
  CHECK(ports(&now, p) == 3 && p[0] == 200 && p[1] == 201 && p[2] == 202);
  CHECK(!msub__book_certify(a.host, &old.r, record_of(&old), &from));
  CHECK(ports(&now, p) == 3 && p[0] == 200);
  CHECK(msub__book_certify(a.host, &now.r, record_of(&now), &from)); /* the same again */
  proved(&now, 201);
  said(&now, 300, &from);
  CHECK(msub__book_certify(a.host, &new.r, record_of(&new), &from));
  /* 200 stood in the record only; 201 is proved; 300 was never signed */
  CHECK(ports(&now, p) == 4 && p[0] == 202 && p[1] == 203 && p[2] == 300 && p[3] == 201);
  for (unsigned round = 0; round < 2; round++) {
    CHECK(!msub__book_certify(a.host, &now.r, record_of(&now), &from));
    CHECK(shown(&new, kept, sizeof kept) == new.n && memcmp(kept, new.record, new.n) == 0);
    CHECK(msub__book_find(a.host, new.id)->seq == 6);
    if (round == 0) again();
  }
  CHECK(ports(&now, p) == 4 && p[0] == 202 && p[1] == 203 && p[2] == 300 && p[3] == 201);
  /* a record without an address that TCP can reach leaves what is proved or said beside it */
  someone none;
  make(&none, 1, 7, 1, 0);
  CHECK(msub__book_certify(a.host, &none.r, record_of(&none), &from) && ports(&now, p) == 2 && p[0] == 300 && p[1] == 201);
  /* and takes away all the rest */
  someone other, other_none;
  make(&other, 2, 7, 400, 1);
  make(&other_none, 2, 8, 1, 0);
  CHECK(msub__book_certify(a.host, &other.r, record_of(&other), &from) && is_known(&other));
  CHECK(msub__book_certify(a.host, &other_none.r, record_of(&other_none), &from) && !is_known(&other));
  msub_key *const keys[] = { old.key, now.key, new.key, none.key, other.key, other_none.key };
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) msub_key_free(keys[i]);
  end();
}

/* ---- time ---- */

static void test_expiry(void) {
  someone s, t;
  unsigned p[MSUB__HOST_BOOK_ADDRS];
  const msub__tr_addr from = of_network(1, 1);
  make(&s, 1, 1, 100, 1);
  make(&t, 2, 1, 100, 1);
  for (int d = -1; d <= 1; d++) {
    begin_stored();
    CHECK(msub__book_certify(a.host, &s.r, record_of(&s), &from));
    proved(&s, 200);
    proved(&t, 300);
    forward(a.opts.book.delay_ns);
    CHECK(stored() == 2);
    uint64_t began = a.host->now.mono_ns - a.opts.book.delay_ns;
    a.host->now.mono_ns = began + a.opts.book.said_ns + MSUB__HOST_BOOK_CLOCK_NS + (uint64_t)(int64_t)d;
    CHECK(ports(&s, p) == (d < 0 ? 2u : 1u) && p[0] == 200);
    a.host->now.mono_ns = began + a.opts.book.proved_ns + MSUB__HOST_BOOK_CLOCK_NS + (uint64_t)(int64_t)d;
    CHECK(is_known(&s) == (d < 0) && is_known(&t) == (d < 0));
    forward(a.opts.book.delay_ns); /* what is over goes from the store, too */
    if (d >= 0) CHECK(stored() == 0 && a.host->book.n == 0);
    end();
  }
  /* unasked, at the next look; as long as it is connected nothing ends */
  begin_stored();
  proved(&t, 300);
  node_init(&b, "b", 2);
  node_start(&b, true, false);
  b.host->now.mono_ns = a.host->now.mono_ns; /* its pings are answered */
  node_dial(&a, &b);
  BOTH(a.identified == 1);
  forward(a.opts.book.delay_ns);
  settle_store();
  CHECK(stored() == 2);
  uint64_t look = a.host->book.timer.deadline;
  CHECK(look - a.host->now.mono_ns <= MSUB__HOST_BOOK_LOOK_NS);
  msub__book_entry *e = a.host->book.entries[0];
  CHECK(msub_bytes_eq(msub_peer_id_bytes(&e->id), t.id));
  e->addrs[0].proved_until = look;
  for (unsigned i = 0; i < a.host->book.entries[1]->n; i++) { /* it would be over too */
    if (a.host->book.entries[1]->addrs[i].proved_until) a.host->book.entries[1]->addrs[i].proved_until = look;
    if (a.host->book.entries[1]->addrs[i].said_until) a.host->book.entries[1]->addrs[i].said_until = look;
  }
  for (int d = -1; d <= 0; d++) {
    if (d < 0) forward(look - 1 - a.host->now.mono_ns);
    else forward(1);
    CHECK(a.host->book.n == (d < 0 ? 2u : 1u));
  }
  CHECK(msub__book_find(a.host, id_of(&b))->addrs[0].proved_until == look + a.opts.book.proved_ns + MSUB__HOST_BOOK_CLOCK_NS);
  forward(a.opts.book.delay_ns);
  forward(1);
  CHECK(stored() == 1);
  node_free(&b);
  end();
  msub_key_free(s.key);
  msub_key_free(t.key);
}

/* Wall clock times in the store, and clocks that are wrong. */
static void test_clock(void) {
  const int64_t hour = (int64_t)MSUB__HOST_BOOK_CLOCK_NS;
  const msub_now now = { .mono_ns = 1000 * MSUB__S, .wall_ns = 100 * hour };
  const uint64_t ttl = 10 * MSUB__HOST_BOOK_CLOCK_NS;
  for (int d = -1; d <= 1; d++) { /* over an hour ago: it is over */
    uint64_t until = msub__shelf_until(&now, now.wall_ns - hour - d, ttl);
    CHECK(until == (d < 0 ? now.mono_ns + 1 : 0));
  }
  CHECK(msub__shelf_until(&now, now.wall_ns, ttl) == now.mono_ns + MSUB__HOST_BOOK_CLOCK_NS);
  CHECK(msub__shelf_until(&now, now.wall_ns + 1, ttl) == now.mono_ns + MSUB__HOST_BOOK_CLOCK_NS + 1);
  for (int d = -1; d <= 1; d++) /* nothing lasts longer than it may */
    CHECK(msub__shelf_until(&now, now.wall_ns + (int64_t)ttl + d, ttl) == now.mono_ns + ttl + MSUB__HOST_BOOK_CLOCK_NS - (d < 0 ? 1 : 0));
  CHECK(msub__shelf_until(&now, INT64_MAX, ttl) == now.mono_ns + ttl + MSUB__HOST_BOOK_CLOCK_NS);
  CHECK(msub__shelf_until(&now, INT64_MAX, MSUB_NEVER) < MSUB_NEVER && msub__shelf_until(&now, INT64_MIN, ttl) == 0);
  const msub_now early = { .mono_ns = 1, .wall_ns = INT64_MIN }, late = { .mono_ns = 1, .wall_ns = INT64_MAX };
  CHECK(msub__shelf_until(&early, INT64_MAX, ttl) == 1 + ttl + MSUB__HOST_BOOK_CLOCK_NS && msub__shelf_until(&late, INT64_MIN, ttl) == 0);
  CHECK(msub__shelf_wall(&late, MSUB_NEVER - 1) == INT64_MAX);
  static const uint64_t left[] = { 1, 3599 * MSUB__S, 3600 * MSUB__S, 36000 * MSUB__S };
  for (size_t i = 0; i < sizeof left / sizeof *left; i++) { /* there and back */
    int64_t wall = msub__shelf_wall(&now, now.mono_ns + left[i]);
    CHECK(msub__shelf_until(&now, wall, ttl) == now.mono_ns + left[i]);
  }
  /* over a restart, with a day and an hour to live */
  someone s;
  make(&s, 1, 1, 100, 1);
  static const struct { int64_t off; bool there; } steps[] = {
    { 0, true }, { 3600, true }, { -3600, true }, { 24 * 3600 - 60, true }, { 25 * 3600 - 60, true }, { 25 * 3600 + 60, false }, { -1000000, true } };
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    const msub__tr_addr from = of_network(1, 1);
    begin_stored();
    CHECK(msub__book_certify(a.host, &s.r, record_of(&s), &from));
    wall_off = 0;
    node_free(&a);
    settle_store();
    CHECK(stored() == 1);
    wall_off = steps[i].off;
    prepare(0);
    start();
    forward(0);
    CHECK(is_known(&s) == steps[i].there && host()->book_passed_over == 0);
    CHECK(stored() == steps[i].there);
    if (is_known(&s)) CHECK(msub__book_find(a.host, s.id)->addrs[0].said_until <= a.host->now.mono_ns + a.opts.book.said_ns + MSUB__HOST_BOOK_CLOCK_NS);
    /* while the host runs the wall clock means nothing */
    wall_off += 3600;
    forward(1);
    wall_off -= 7200;
    forward(1);
    CHECK(is_known(&s) == steps[i].there);
    wall_off = 0;
    end();
  }
  msub_key_free(s.key);
}

/* ---- bounds ---- */

enum { CROWD = MSUB__HOST_BOOK_PEERS + 2 };
static someone crowd[CROWD];
static void make_crowd(void) {
  for (unsigned i = 0; i < CROWD; i++) { /* ids will do */
    static uint8_t ids[CROWD][34];
    ids[i][0] = 0x12, ids[i][1] = 0x20, ids[i][2] = (uint8_t)(i >> 8), ids[i][3] = (uint8_t)i;
    crowd[i].id = (msub_bytes){ ids[i], 34 };
  }
}
static unsigned in_book(unsigned from, unsigned to) {
  unsigned n = 0;
  for (unsigned i = from; i < to; i++) n += is_known(&crowd[i]);
  return n;
}

/* Those that only name themselves have half of it, and the newest of these; what is proved pushes them out, never the other way round. */
static void test_sources(void) {
  make_crowd();
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_BOOK_SAID + d);
    begin_stored();
    for (unsigned i = 0; i < n; i++) {
      const msub__tr_addr from = of_network(i, 1);
      said(&crowd[i], 1, &from);
    }
    CHECK(a.host->book.n == at_most(n, MSUB__HOST_BOOK_SAID) && a.host->book.n_said == a.host->book.n);
    CHECK(is_known(&crowd[0]) == (d <= 0) && in_book(1, n) == n - 1);
    end();
  }
  begin_stored();
  for (unsigned i = 0; i < MSUB__HOST_BOOK_PEERS; i++) {
    const msub__tr_addr from = of_network(i, 1);
    if (i < MSUB__HOST_BOOK_SAID) said(&crowd[i], 1, &from);
    else proved(&crowd[i], 1);
  }
  CHECK(a.host->book.n == MSUB__HOST_BOOK_PEERS && a.host->book.n_said == MSUB__HOST_BOOK_SAID);
  proved(&crowd[MSUB__HOST_BOOK_PEERS], 1); /* full: of the others the oldest */
  CHECK(a.host->book.n == MSUB__HOST_BOOK_PEERS && a.host->book.n_said == MSUB__HOST_BOOK_SAID - 1);
  for (unsigned i = 0; i < MSUB__HOST_BOOK_SAID; i++) proved(&crowd[i], 2); /* all are proved now */
  CHECK(a.host->book.n == MSUB__HOST_BOOK_PEERS && a.host->book.n_said == 0 && in_book(0, MSUB__HOST_BOOK_SAID) == MSUB__HOST_BOOK_SAID);
  unsigned before = in_book(0, CROWD);
  const msub__tr_addr from = of_network(1, 1);
  said(&crowd[MSUB__HOST_BOOK_PEERS + 1], 1, &from);
  CHECK(!is_known(&crowd[MSUB__HOST_BOOK_PEERS + 1]) && in_book(0, CROWD) == before);
  proved(&crowd[MSUB__HOST_BOOK_PEERS + 1], 1);
  CHECK(is_known(&crowd[MSUB__HOST_BOOK_PEERS + 1]) && a.host->book.n == MSUB__HOST_BOOK_PEERS);
  /* all of it goes through the store, in batches */
  node_free(&a);
  settle_store();
  CHECK(stored() == MSUB__HOST_BOOK_PEERS && largest == MSUB__HOST_BOOK_BATCH && submits == MSUB__HOST_BOOK_PEERS / MSUB__HOST_BOOK_BATCH);
  prepare(0);
  load();
  CHECK(a.host->book.n == MSUB__HOST_BOOK_PEERS && host()->book_loaded == MSUB__HOST_BOOK_PEERS && submits == MSUB__HOST_BOOK_PEERS / MSUB__HOST_BOOK_BATCH);
  /* those that make room go from the store */
  proved(&crowd[MSUB__HOST_BOOK_SAID], 5);
  for (unsigned i = 0; i < CROWD; i++)
    if (!is_known(&crowd[i])) proved(&crowd[i], 3);
  forward(a.opts.book.delay_ns);
  forward(1);
  CHECK(stored() == MSUB__HOST_BOOK_PEERS);
  /* what is not proved any more takes a place among the others only when there is one */
  for (unsigned i = 0; i < MSUB__HOST_BOOK_PEERS; i++) a.host->book.entries[i]->addrs[0].said_until = MSUB_NEVER - 1;
  for (unsigned i = 0; i < MSUB__HOST_BOOK_PEERS; i++)
    for (unsigned k = 0; k < a.host->book.entries[i]->n; k++) a.host->book.entries[i]->addrs[k].proved_until = 1;
  forward(MSUB__HOST_BOOK_LOOK_NS);
  CHECK(a.host->book.n == MSUB__HOST_BOOK_SAID && a.host->book.n_said == MSUB__HOST_BOOK_SAID);
  end();
}

/* A network displaces its own kind; loopback is none. */
static void test_network(void) {
  make_crowd();
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_BOOK_NET + d);
    const msub__tr_addr other = of_network(9, 1);
    begin_stored();
    said(&crowd[200], 1, &other);
    for (unsigned i = 0; i < n; i++) {
      const msub__tr_addr from = of_network(5, i); /* one /24 */
      said(&crowd[i], 1, &from);
    }
    CHECK(is_known(&crowd[200]) && is_known(&crowd[0]) == (d <= 0) && in_book(1, n) == n - 1);
    again(); /* and the store knows it, too */
    const msub__tr_addr from = of_network(5, 77);
    CHECK(in_book(0, n) == at_most(n, MSUB__HOST_BOOK_NET));
    said(&crowd[100], 1, &from);
    CHECK(is_known(&crowd[100]) && in_book(0, n) == at_most(n, MSUB__HOST_BOOK_NET - 1) && is_known(&crowd[200]));
    end();
    msub__tr_addr here = loopback(3, 1);
    begin_stored();
    for (unsigned i = 0; i < n; i++) said(&crowd[i], 1, &here);
    CHECK(in_book(0, n) == n);
    end();
    open_store(0);
    prepare(0);
    a.opts.count_loopback = true;
    start();
    for (unsigned i = 0; i < n; i++) said(&crowd[i], 1, &here);
    CHECK(in_book(0, n) == at_most(n, MSUB__HOST_BOOK_NET));
    end();
  }
}

/* A record of so many bytes, of so many addresses; options that are none. */
static void test_limits(void) {
  static uint8_t bytes[MSUB__HOST_BOOK_RECORD + 1];
  someone s;
  const msub__tr_addr from = of_network(1, 1);
  make(&s, 1, 1, 100, 8);
  for (int d = -1; d <= 1; d++) {
    begin_stored();
    CHECK(msub__book_certify(a.host, &s.r, (msub_bytes){ bytes, (size_t)((int)MSUB__HOST_BOOK_RECORD + d) }, &from));
    const msub__book_entry *e = msub__book_find(a.host, s.id);
    CHECK(e && e->n == MSUB__HOST_BOOK_ADDRS && e->has_seq && e->record_n == (d > 0 ? 0 : (size_t)((int)MSUB__HOST_BOOK_RECORD + d)));
    forward(a.opts.book.delay_ns);
    CHECK(stored() == 1 && host()->book_failed == 0);
    end();
  }
  for (unsigned i = 0; i < 2; i++) {
    const char *why;
    node_init(&a, "a", 1);
    *(i ? &a.opts.book.said_ns : &a.opts.book.proved_ns) = 0;
    CHECK(msub_host_new(&a.opts, &a.host, &why) == MSUB_ERR_INVAL && strcmp(why, "a time of the book must not be 0") == 0);
    a.host = NULL;
    node_free(&a);
  }
  /* without a store, or told not to: the book is there all the same */
  for (unsigned i = 0; i < 2; i++) {
    open_store(0);
    prepare(0);
    if (i) a.opts.book.stored = false;
    else a.opts.store = (msub_store){ NULL, NULL };
    start();
    CHECK(msub__book_certify(a.host, &s.r, record_of(&s), &from) && is_known(&s) && msub__book_find(a.host, s.id)->record == NULL);
    forward(a.opts.book.delay_ns);
    node_free(&a);
    CHECK(submits == 0 && stored() == 0);
    msub_store_memory_free(memory);
  }
  msub_key_free(s.key);
}

/* ---- reading ---- */

static size_t write_one(unsigned i, uint8_t *key, uint8_t *value, size_t *value_n) {
  msub__book_value v = { .id = msub_peer_id_of(crowd[i].id), .n = 1 };
  v.addrs[0].at = loopback(2, 1 + i % 60000);
  v.addrs[0].proved = true;
  v.addrs[0].proved_until = INT64_MAX;
  *value_n = msub__book_value_write(&v, value);
  return msub__book_value_key(&v.id, key);
}

/* So many in a step, and at a start; what is left stays where it is. */
static void test_stepwise(void) {
  uint8_t key[MSUB__BOOK_KEY_MAX], value[MSUB__BOOK_VALUE_MAX];
  size_t value_n;
  make_crowd();
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_BOOK_LOAD + d);
    open_store(0);
    for (unsigned i = 0; i < n; i++) {
      size_t key_n = write_one(i, key, value, &value_n);
      put((msub_bytes){ key, key_n }, (msub_bytes){ value, value_n });
    }
    prepare(0);
    start();
    CHECK(host()->book_loaded == 0);
    CHECK(msub__shelf_step(a.host) == (d > 0));
    CHECK(a.host->book.n == at_most(n, MSUB__HOST_BOOK_LOAD) && host()->book_loaded == a.host->book.n);
    forward(0);
    CHECK(a.host->book.n == n && in_book(0, n) == n && !msub__shelf_step(a.host));
    end();
  }
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_BOOK_READ + d);
    open_store(0);
    for (unsigned i = 0; i < n; i++) {
      char name[16];
      (void)snprintf(name, sizeof name, "peer/x%05u", i);
      put(msub_str(name), msub_str("foreign"));
    }
    prepare(0);
    load();
    CHECK(host()->book_passed_over == at_most(n, MSUB__HOST_BOOK_READ) && stored() == (d > 0));
    end();
  }
  /* too many: who has no room is passed over, and goes */
  open_store(0);
  for (unsigned i = 0; i < CROWD; i++) {
    size_t key_n = write_one(i, key, value, &value_n);
    put((msub_bytes){ key, key_n }, (msub_bytes){ value, value_n });
  }
  prepare(0);
  load();
  CHECK(host()->book_loaded == MSUB__HOST_BOOK_PEERS && host()->book_passed_over == 2 && stored() == MSUB__HOST_BOOK_PEERS);
  end();
  /* what is learned before all is read is not lost, and costs nothing of what is there */
  open_store(0);
  for (unsigned i = 0; i < 2 * MSUB__HOST_BOOK_LOAD; i++) {
    size_t key_n = write_one(i, key, value, &value_n);
    put((msub_bytes){ key, key_n }, (msub_bytes){ value, value_n });
  }
  prepare(0);
  start();
  const msub__tr_addr from = of_network(1, 1);
  for (unsigned i = 0; i < 2 * MSUB__HOST_BOOK_LOAD; i++) said(&crowd[i], 50000 + i, &from);
  a.host->now.mono_ns += a.opts.book.delay_ns;
  forward(0);
  forward(a.opts.book.delay_ns);
  for (unsigned round = 0; round < 2; round++) {
    for (unsigned i = 0; i < 2 * MSUB__HOST_BOOK_LOAD; i++) {
      unsigned p[MSUB__HOST_BOOK_ADDRS];
      CHECK(ports(&crowd[i], p) == 2 && p[0] == 50000 + i && p[1] == 1 + i);
    }
    if (round == 0) again();
  }
  end();
}

static void flip(size_t at, const uint8_t *key, size_t key_n, const uint8_t *value, size_t n, unsigned *taken) {
  uint8_t bad[MSUB__BOOK_VALUE_MAX];
  memcpy(bad, value, n);
  bad[at] ^= 0x80;
  open_store(0);
  put((msub_bytes){ key, key_n }, (msub_bytes){ bad, n });
  prepare(0);
  start();
  forward(0);
  CHECK(host()->book_passed_over + host()->book_loaded + (stored() == 0 && a.host->book.n == 0 && host()->book_passed_over == 0) == 1);
  CHECK(stored() == a.host->book.n);
  *taken += a.host->book.n;
  end();
}

/* Damaged and foreign ones are passed over, and taken away; those beside them are used. */
static void test_bad(void) {
  uint8_t key[MSUB__BOOK_KEY_MAX], value[MSUB__BOOK_VALUE_MAX], good_key[MSUB__BOOK_KEY_MAX], good[MSUB__BOOK_VALUE_MAX];
  size_t good_n, good_key_n;
  someone s, t;
  make(&s, 1, 1, 100, 2);
  make(&t, 2, 1, 100, 2);
  make_crowd();
  good_key_n = write_one(0, good_key, good, &good_n);
  msub__book_value v = { .id = msub_peer_id_of(s.id), .record = record_of(&s), .n = 2 };
  for (unsigned i = 0; i < 2; i++) {
    v.addrs[i].at = loopback(2, 100 + i);
    v.addrs[i].said = v.addrs[i].is_signed = true;
    v.addrs[i].said_until = INT64_MAX;
  }
  size_t key_n = msub__book_value_key(&v.id, key), whole = msub__book_value_write(&v, value);
  enum { GOOD, TORN, EMPTY, LONGER, VERSION, NO_ADDRS, MANY, FLAGS, PORT, TWICE, NOBODYS, OTHERS, NO_RECORD, NOT_IN_IT, NO_ID, SELF, NETWORK, KINDS };
  for (unsigned kind = GOOD; kind < KINDS; kind++) {
    msub__book_value w = v;
    uint8_t bad[MSUB__BOOK_VALUE_MAX + 1];
    msub_bytes at = { key, key_n };
    uint8_t own[MSUB__BOOK_KEY_MAX];
    if (kind == TWICE) w.addrs[1].at = w.addrs[0].at;
    if (kind == PORT) w.addrs[1].at.port = 0;
    if (kind == OTHERS) w.record = record_of(&t);
    if (kind == NO_RECORD) w.record = (msub_bytes){ NULL, 0 };
    if (kind == NOT_IN_IT) w.addrs[1].at.port = 99;
    if (kind == NOBODYS) w.addrs[1].said = w.addrs[1].is_signed = false;
    if (kind == NETWORK) w.from = loopback(7, 0); /* a host part */
    size_t n = msub__book_value_write(&w, bad);
    CHECK(kind != GOOD || n == whole);
    if (kind == TORN) n--;
    if (kind == EMPTY) n = 0;
    if (kind == LONGER) bad[n++] = 0;
    if (kind == VERSION) bad[0] = 2;
    if (kind == NO_ADDRS) bad[2] = 0;
    if (kind == MANY) bad[2] = MSUB__HOST_BOOK_ADDRS + 1;
    if (kind == FLAGS) bad[3] |= 16;
    if (kind == NO_ID) at = msub_str("peer/nobody");
    if (kind == SELF) {
      msub_key *me;
      uint8_t seed[32];
      memset(seed, 1, sizeof seed); /* a's */
      MUST(msub_key_from_seed(seed, &me));
      w.id = msub_peer_id_of(msub_key_peer_id(me));
      msub_key_free(me);
      at = (msub_bytes){ own, msub__book_value_key(&w.id, own) };
    }
    open_store(0);
    put(at, (msub_bytes){ bad, n });
    put((msub_bytes){ good_key, good_key_n }, (msub_bytes){ good, good_n });
    put(msub_str("peers"), msub_str("not ours"));
    prepare(0);
    start();
    forward(0);
    CHECK(host()->book_passed_over == (kind != GOOD) && host()->book_loaded == 1 + (kind == GOOD) && host()->book_failed == 0);
    CHECK(is_known(&crowd[0]) && is_known(&s) == (kind == GOOD) && stored() == 1u + (kind == GOOD));
    msub_bytes theirs;
    MUST(inner.ops->get(inner.s, msub_str("peers"), &theirs));
    end();
  }
  unsigned taken = 0;
  for (size_t at = 0; at < whole; at++) flip(at, key, key_n, value, whole, &taken); /* a bit that flipped in each byte */
  CHECK(taken > 0 && taken < 2 * 20); /* of a time, or where the record does not say where its end is */
  msub_key_free(s.key);
  msub_key_free(t.key);
}

/* ---- writing ---- */

static void test_batch(void) {
  make_crowd();
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_BOOK_BATCH + d);
    begin_stored();
    for (unsigned round = 0; round < 3; round++) /* the same again is nothing new */
      for (unsigned i = 0; i < n; i++) proved(&crowd[i], 1);
    CHECK(submits == 0);
    forward(a.opts.book.delay_ns - 1);
    CHECK(submits == 0);
    forward(1);
    CHECK(submits == 1 && largest == at_most(n, MSUB__HOST_BOOK_BATCH));
    forward(1);
    CHECK(submits == (d > 0 ? 2u : 1u) && stored() == n && host()->book_written == n);
    /* that it lasts longer is written now and then */
    uint64_t pause = a.opts.book.said_ns / 8, since = a.host->book.entries[0]->stored_at;
    for (int k = -1; k <= 1; k++) {
      unsigned before = submits;
      a.host->now.mono_ns = since + pause + (uint64_t)(int64_t)k;
      proved(&crowd[0], 1);
      CHECK(msub__list_empty(&a.host->book.entries[0]->in_shelf) == (k < 0));
      if (k >= 0) forward(a.opts.book.delay_ns);
      CHECK(submits == before + (k >= 0));
      since = a.host->book.entries[0]->stored_at;
      if (k == 0) since += 0;
    }
    end();
  }
}

/* A store that takes nothing, or whose batches come to nothing, or cannot be read. */
static void test_failing(void) {
  make_crowd();
  begin_stored();
  proved(&crowd[0], 1);
  submit_err = MSUB_ERR_LIMIT;
  uint64_t pause = a.opts.book.delay_ns;
  for (unsigned i = 0; i < 9; i++) { /* less often each time, up to 64 times as long */
    forward(pause - 1);
    CHECK(host()->book_failed == i);
    forward(1);
    CHECK(host()->book_failed == i + 1 && stored() == 0);
    pause = (uint64_t)at_most((size_t)(a.opts.book.delay_ns << (i + 1)), (size_t)(a.opts.book.delay_ns << 6));
  }
  submit_err = 0;
  forward(pause);
  CHECK(stored() == 1 && host()->book_failed == 9);
  proved(&crowd[1], 1);
  forward(a.opts.book.delay_ns);
  CHECK(stored() == 2);
  /* those that are gone while it takes nothing are taken away when it does */
  submit_err = MSUB_ERR_IO;
  a.host->book.entries[0]->addrs[0].proved_until = 1;
  CHECK(!is_known(&crowd[0]));
  forward(a.opts.book.delay_ns);
  CHECK(stored() == 2);
  submit_err = 0;
  forward(2 * a.opts.book.delay_ns);
  CHECK(stored() == 1);
  end();

  /* it is not told what became of a batch: what is new is written all the same */
  begin_stored();
  proved(&crowd[0], 1);
  msub_store_memory_fail(memory, 0, MSUB_ERR_IO);
  forward(a.opts.book.delay_ns);
  settle_store();
  CHECK(stored() == 0);
  msub_store_memory_fail(memory, 0, 0);
  proved(&crowd[0], 2);
  forward(a.opts.book.delay_ns);
  settle_store();
  CHECK(stored() == 1 && host()->book_failed == 0);
  end();

  begin_stored();
  proved(&crowd[0], 1);
  again();
  node_free(&a);
  iterate_err = MSUB_ERR_IO;
  prepare(0);
  start();
  forward(0);
  CHECK(host()->book_failed == 1 && host()->book_loaded == 0 && a.host->book.n == 0);
  proved(&crowd[1], 1); /* and goes on */
  forward(a.opts.book.delay_ns);
  iterate_err = 0;
  CHECK(stored() == 2);
  end();

  /* what is damaged cannot be taken away: at the next start */
  open_store(0);
  put(msub_str("peer/x"), msub_str("?"));
  submit_err = MSUB_ERR_LIMIT;
  prepare(0);
  start();
  forward(0);
  CHECK(host()->book_passed_over == 1 && host()->book_failed == 1 && stored() == 1);
  submit_err = 0;
  again();
  CHECK(host()->book_passed_over == 1 && host()->book_failed == 0 && stored() == 0);
  end();
}

/* Memory that runs out at each place in turn: something is not known, and nothing else. */
static void test_no_memory(void) {
  static count_mem counted;
  someone s, t;
  const msub__tr_addr from = of_network(1, 1);
  make(&s, 1, 1, 100, 2);
  make(&t, 2, 1, 100, 2);
  bool failed = true;
  for (size_t k = 1; failed; k++) {
    begin_stored();
    CHECK(msub__book_certify(a.host, &s.r, record_of(&s), &from));
    node_free(&a);
    const msub_mem mem = count_mem_of(&counted);
    settle_store();
    prepare(0);
    a.opts.mem = &mem;
    start();
    counted.fail_after = k;
    (void)msub__shelf_step(a.host);
    CHECK(msub__book_certify(a.host, &t.r, record_of(&t), &from));
    proved(&t, 300);
    a.host->now.mono_ns += a.opts.book.delay_ns;
    (void)msub__wheel_advance(a.host->wheel, a.host->now.mono_ns, 100);
    failed = counted.fail_after == 0;
    counted.fail_after = 0;
    if (!failed) CHECK(is_known(&s) && is_known(&t) && stored() == 2 && k > 6);
    forward(2 * a.opts.book.delay_ns);
    CHECK(stored() == a.host->book.n);
    end();
    CHECK(counted.live_bytes == 0 && counted.live_blocks == 0);
  }
  msub_key_free(s.key);
  msub_key_free(t.key);
}

int main(int argc, char **argv) {
  static const test_case cases[] = {
    { "restart", test_restart }, { "crash", test_crash }, { "seq", test_seq }, { "expiry", test_expiry }, { "clock", test_clock },
    { "sources", test_sources }, { "network", test_network }, { "limits", test_limits }, { "stepwise", test_stepwise }, { "bad", test_bad },
    { "batch", test_batch }, { "failing", test_failing }, { "no_memory", test_no_memory },
  };
  return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
}
