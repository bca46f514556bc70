/* tests/host/test_found.c: peers that routers name and protect, discovery, records, messages taken back, the trace: what the
 * host does for the engine beside carrying frames. usage: test_found CASE */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "host/limits.h"
#include "meshsub/gossipsub.h"
#include "meshsub/metrics.h"
#include "meshsub/state.h"
#include "raw_peer.h"
#include "wire/identify.h"

/* ---- a router that does what the test says ---- */

enum { WITHDRAW, HINT, RECORD, PROTECT, WANT };
typedef struct wish {
  msub_bytes id, record;
  msub_topic topic;
  bool on;
  unsigned n;
} wish;
static uint8_t record[16384];
static size_t record_n, record_cap;
static unsigned withdrawn;

static int probe_layout(msub_layout *l, const void *opts) {
  (void)opts;
  return msub_layout_nest(l, &node_content, NULL);
}
static int probe_command(msub_router *r, uint32_t what, const void *arg, size_t n) {
  wish w;
  CHECK(n == sizeof w);
  memcpy(&w, arg, n);
  msub_peer p = msub_r_peer_known(r, w.id);
  switch (what) {
  case WITHDRAW:
    withdrawn = 0;
    for (size_t i = 0; i < msub_r_sessions(r); i++) {
      msub_session s = msub_r_session_at(r, i);
      if (s.v) withdrawn += msub_r_withdraw(r, s, w.id);
    }
    break;
  case HINT: msub_r_connect_hint(r, w.id, w.record); break;
  case RECORD: record_n = p.v ? msub_r_peer_record(r, p, record, record_cap) : 0; break;
  case PROTECT: msub_r_protect(r, p, w.topic, w.on); break;
  case WANT: (void)msub_r_want_peers(r, w.topic, w.n); break;
  default: return MSUB_ERR_UNSUPPORTED;
  }
  return MSUB_OK;
}
static const msub_router_ops probe = {
  .abi = MSUB_ABI, .size = sizeof probe, .name = "probe", .layout = probe_layout, .command = probe_command
};
static const msub_router_ops *const probes[] = { &probe, NULL };

static void tell(node *n, uint32_t what, wish w) {
  MUST(msub_command(msub_host_engine(n->host), 0, what, &w, sizeof w, msub_host_now(n->host)));
}
static void hint(node *n, const node *of, msub_bytes rec) { tell(n, HINT, (wish){ .id = msub_key_peer_id(of->key), .record = rec }); }
static void protect(node *n, const node *of, msub_topic t, bool on) {
  tell(n, PROTECT, (wish){ .id = msub_key_peer_id(of->key), .topic = t, .on = on });
}
static msub_bytes record_of(node *at, const node *of) {
  record_cap = sizeof record;
  tell(at, RECORD, (wish){ .id = msub_key_peer_id(of->key) });
  return (msub_bytes){ record, record_n };
}

/* ---- hosts ---- */

static void init(node *n, const char *name, uint8_t seed) {
  node_init(n, name, seed);
  n->opts.routers = probes;
}
static void start(node *n, const char *name, uint8_t seed, bool listen, bool join) {
  init(n, name, seed);
  node_start(n, listen, join);
}

static bool is_connected(void *ud) { return ((const node *)ud)->connected > 0; }
static bool has_lost(void *ud) { return ((const node *)ud)->disconnected > 0; }

static void part(node *from, node *to, node *const *all, size_t n) {
  from->disconnected = to->disconnected = 0;
  MUST(msub_host_disconnect(from->host, msub_key_peer_id(to->key)));
  CHECK(turn_until(all, n, has_lost, from, 20000) && turn_until(all, n, has_lost, to, 20000));
  from->connected = to->connected = 0;
}
static bool linked(const node *n, const node *to) {
  msub_host_peer p;
  for (size_t i = 0; msub_host_peer_at(n->host, i, &p) == MSUB_OK; i++) {
    if (msub_bytes_eq(p.peer_id, msub_key_peer_id(to->key))) return true;
  }
  return false;
}
static const msub_host_counts *counts(const node *n) { return msub_host_count(n->host); }

/* ---- withdraw ---- */

static bool subscribed(void *ud) { return ((const node *)ud)->joins > 0; }
static bool got_last(void *ud) { return ((const node *)ud)->seen[200] > 0; }

static msub_bytes id_of(uint32_t i, size_t n) {
  static uint8_t id[32];
  uint8_t bytes[60000];
  memset(bytes, (int)(i & 0xff), n);
  memset(bytes, 0, 4);
  bytes[3] = (uint8_t)i;
  bytes[n - 1] = 0xee;
  msub_sha256((msub_bytes){ bytes, n }, id);
  return (msub_bytes){ id, sizeof id };
}

static void test_withdraw(void) {
  enum { SIZE = 60000 };
  node a, b, *pair[2] = { &a, &b }, *only[1] = { &a };
  start(&a, "a", 1, true, true);
  start(&b, "b", 2, true, true);
  node_dial(&a, &b);
  WAIT(pair, subscribed, &a);
  WAIT(pair, subscribed, &b);
  uint32_t n = 0;
  while (n < 250 && node_publish(&a, n, SIZE)) { /* b does not read: its socket and window fill up, then the lane */
    turn_for(only, 1, 0);
    n++;
  }
  CHECK(n > 20 && n < 250);
  tell(&a, WITHDRAW, (wish){ .id = id_of(n - 1, SIZE) });
  CHECK(withdrawn == 1 && counts(&a)->withdrawn == 1);
  tell(&a, WITHDRAW, (wish){ .id = id_of(n - 1, SIZE) });
  CHECK(withdrawn == 0);
  tell(&a, WITHDRAW, (wish){ .id = id_of(n - 3, SIZE) });
  CHECK(withdrawn == 1);
  tell(&a, WITHDRAW, (wish){ .id = id_of(0, SIZE) }); /* is long gone */
  CHECK(withdrawn == 0);
  for (uint64_t end = now_ms() + 20000; b.seen[n - 2] == 0;) { /* the others come, in order */
    CHECK(now_ms() < end);
    turn_for(pair, 2, 1);
  }
  while (!node_publish(&a, 200, SIZE)) turn_for(pair, 2, 1);
  WAIT(pair, got_last, &b);
  for (uint32_t i = 0; i < n; i++) CHECK(b.seen[i] == (i == n - 1 || i == n - 3 ? 0 : 1));
  CHECK(msub_count(msub_host_engine(a.host))->withdrawn == 2);
  node_free(&a);
  node_free(&b);
}

/* ---- records and hints ---- */

static void test_records(void) {
  node a, b, *pair[2] = { &a, &b };
  start(&a, "a", 1, true, false);
  start(&b, "b", 2, true, false);
  CHECK(record_of(&a, &b).n == 0);
  node_meet(pair, 2, &a, &b);
  msub_bytes r = record_of(&a, &b);
  msub_peer_record open;
  MUST(msub_peer_record_open(r, msub_key_peer_id(b.key), &open));
  CHECK(open.n_addrs == 1 && open.dialect == MSUB_RECORD_GO);
  record_cap = r.n - 1;
  tell(&a, RECORD, (wish){ .id = msub_key_peer_id(b.key) });
  CHECK(record_n == 0); /* no room */
  part(&a, &b, pair, 2);
  CHECK(record_of(&a, &b).n == 0);
  node_free(&a);
  node_free(&b);
}

/* A peer that shows somebody else's record, and a record that nobody signed. */
static raw_peer raw;
static msub_key *shown_key;
static bool broken;
static void say_identify(raw_peer *p, raw_stream *s) {
  static uint8_t out[MSUB__IDENTIFY_OWN_MAX], rec[2048];
  if (strcmp(s->protocol, MSUB__IDENTIFY_ID) != 0) return;
  msub_multiaddr a;
  msub_bytes protocol = msub_str("/x/1");
  MUST(msub_multiaddr_parse("/ip4/127.0.0.1/tcp/4001", &a));
  msub_bytes addr = { a.bytes, a.n };
  size_t n = msub_peer_record_seal(shown_key, 5, &addr, 1, MSUB_RECORD_GO, rec, sizeof rec);
  CHECK(n > 0 && n <= sizeof rec);
  if (broken) rec[n - 1] ^= 1;
  msub__identify_own own = { .record = { rec, n }, .protocols = &protocol, .n_protocols = 1 };
  int size = msub__identify_encode(NULL, &own, out, sizeof out);
  CHECK(size > 0);
  raw_write(p, s, out, (size_t)size);
  raw_finish(p, s);
}
static bool raw_identified(raw_peer *p, node *n) {
  (void)p;
  return n->identified > 0;
}

/* I-01: a record that a peer shows of somebody else, or a broken one, is kept of nobody. */
static void test_foreign_record(void) {
  for (unsigned round = 0; round < 3; round++) {
    node n, other;
    start(&n, "n", 1, true, false);
    node_init(&other, "other", 7);
    raw_connect(&raw, &n, 9);
    shown_key = round == 0 ? other.key : raw.key;
    broken = round == 1;
    raw.accepts[0] = MSUB__IDENTIFY_ID;
    raw.accepts[1] = "/floodsub/1.0.0"; /* or the engine does not know it */
    raw.on_agreed = say_identify;
    CHECK(raw_until(&raw, &n, raw_identified, 20000));
    record_cap = sizeof record;
    tell(&n, RECORD, (wish){ .id = msub_key_peer_id(raw.key) });
    CHECK((record_n > 0) == (round == 2));
    raw_close(&raw);
    node_free(&n);
    node_free(&other);
  }
}

static void test_hint(void) {
  node a, b, c, *all[3] = { &a, &b, &c };
  uint8_t own[2048];
  start(&a, "a", 1, true, false);
  start(&b, "b", 2, true, false);
  start(&c, "c", 3, true, false);
  node_meet(all, 3, &b, &a);
  node_meet(all, 3, &c, &a);
  b.connected = c.connected = 0;
  /* what is not worth a dial */
  msub_bytes r = record_of(&a, &b);
  memcpy(own, r.p, r.n);
  hint(&b, &c, (msub_bytes){ own, r.n }); /* a record of another peer */
  hint(&b, &b, r);                         /* ourselves */
  hint(&b, &a, r);                         /* connected */
  hint(&b, &c, (msub_bytes){ NULL, 0 });   /* nobody knows where */
  turn_for(all, 3, 10);
  r = record_of(&a, &c);
  CHECK(r.n > 0);
  record[r.n - 1] ^= 1;
  hint(&b, &c, r); /* not signed */
  record[r.n - 1] ^= 1;
  tell(&b, HINT, (wish){ .id = msub_str("nobody"), .record = r });
  hint(&b, &c, (msub_bytes){ record, sizeof record }); /* cannot be one */
  turn_for(all, 3, 10);
  CHECK(counts(&b)->hints == 7 && counts(&b)->hints_dropped == 7 && counts(&b)->hints_dialled == 0);
  /* and what is */
  hint(&b, &c, r);
  hint(&b, &c, r); /* one of them is enough */
  CHECK(counts(&b)->hints_dropped == 8);
  WAIT(all, is_connected, &b);
  CHECK(linked(&b, &c) && counts(&b)->hints_dialled == 1 && b.cookie == 0);
  CHECK(counts(&b)->hints_connected == 1 && b.dial_failed == 0);
  /* gone: it is remembered where it was */
  part(&b, &c, all, 3);
  CHECK(!linked(&b, &c));
  hint(&b, &c, (msub_bytes){ NULL, 0 });
  WAIT(all, is_connected, &b);
  CHECK(linked(&b, &c));
  node_free(&a);
  node_free(&b);
  node_free(&c);
}

static void test_hints_off(void) {
  node a, b, *pair[2] = { &a, &b };
  init(&a, "a", 1);
  a.opts.dial_hints = false;
  node_start(&a, true, false);
  start(&b, "b", 2, true, false);
  node_meet(pair, 2, &a, &b);
  part(&a, &b, pair, 2);
  hint(&a, &b, (msub_bytes){ NULL, 0 });
  turn_for(pair, 2, 50);
  CHECK(a.connected == 0 && counts(&a)->hints == 0);
  node_free(&a);
  node_free(&b);
}

/* What the program has dialled in vain is known too: a direct peer may come up later. */
static void test_hint_of_dialled(void) {
  node a, b, *pair[2] = { &a, &b };
  char addr[MSUB_MULTIADDR_TEXT];
  start(&a, "a", 1, true, false);
  start(&b, "b", 2, true, false);
  node_addr(&b, addr, sizeof addr);
  node_stop(&b);
  MUST(msub_host_dial(a.host, addr, 1));
  for (uint64_t end = now_ms() + 20000; a.dial_failed == 0;) {
    CHECK(now_ms() < end);
    turn_for(pair, 1, 1);
  }
  node_start(&b, false, false);
  *strstr(addr, "/p2p/") = '\0';
  const char *why;
  MUST(msub_host_listen(b.host, addr, &why));
  hint(&a, &b, (msub_bytes){ NULL, 0 });
  WAIT(pair, is_connected, &a);
  CHECK(linked(&a, &b));
  node_free(&a);
  node_free(&b);
}

/* One address after the other; a failure is nobody's event. */
static void test_hint_addresses(void) {
  node a, b, *pair[2] = { &a, &b };
  static uint8_t rec[4096];
  static const char *const texts[] = { "/ip4/127.0.0.1/tcp/1", "/dns4/example.org/tcp/4001", "/ip4/127.0.0.1/udp/4001",
                                       "/ip4/0.0.0.0/tcp/4001", "/ip4/224.0.0.1/tcp/4001" };
  msub_multiaddr at[6];
  msub_bytes addrs[6];
  char own[MSUB_MULTIADDR_TEXT];
  start(&a, "a", 1, true, false);
  start(&b, "b", 2, true, false);
  for (size_t i = 0; i < 5; i++) MUST(msub_multiaddr_parse(texts[i], &at[i]));
  node_addr(&b, own, sizeof own);
  MUST(msub_multiaddr_parse(own, &at[5]));
  for (size_t i = 0; i < 6; i++) addrs[i] = (msub_bytes){ at[i].bytes, at[i].n };
  size_t n = msub_peer_record_seal(b.key, 1, addrs, 5, MSUB_RECORD_RFC, rec, sizeof rec); /* without the good one */
  CHECK(n > 0 && n <= sizeof rec);
  hint(&a, &b, (msub_bytes){ rec, n });
  for (uint64_t end = now_ms() + 20000; counts(&a)->dial_failed == 0;) {
    CHECK(now_ms() < end);
    turn_for(pair, 2, 1);
  }
  turn_for(pair, 2, 10);
  CHECK(counts(&a)->dials == 1 && a.dial_failed == 0 && counts(&a)->half_open == 0);
  n = msub_peer_record_seal(b.key, 2, addrs, 6, MSUB_RECORD_GO, rec, sizeof rec);
  hint(&a, &b, (msub_bytes){ rec, n });
  WAIT(pair, is_connected, &a);
  CHECK(counts(&a)->dials == 3 && counts(&a)->hints_dialled == 2 && a.dial_failed == 0);
  node_free(&a);
  node_free(&b);
}

/* Many names, all of a place that never answers. */
static void test_hint_flood(void) {
  node a, *only[1] = { &a };
  init(&a, "a", 1);
  a.opts.handshake_timeout_ns = 100000000;
  node_start(&a, true, false);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in in = { .sin_family = AF_INET };
  socklen_t len = sizeof in;
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(fd >= 0 && bind(fd, (struct sockaddr *)(void *)&in, sizeof in) == 0 && listen(fd, 64) == 0);
  CHECK(getsockname(fd, (struct sockaddr *)(void *)&in, &len) == 0);
  msub_multiaddr m;
  MUST(msub_multiaddr_tcp((msub_bytes){ (const uint8_t *)&in.sin_addr, 4 }, ntohs(in.sin_port), &m));
  msub_bytes addr = { m.bytes, m.n };
  for (unsigned i = 0; i < 200; i++) {
    uint8_t seed[32] = { 77, (uint8_t)i }, rec[1024];
    msub_key *key;
    MUST(msub_key_from_seed(seed, &key));
    size_t n = msub_peer_record_seal(key, 1, &addr, 1, MSUB_RECORD_GO, rec, sizeof rec);
    tell(&a, HINT, (wish){ .id = msub_key_peer_id(key), .record = { rec, n } });
    msub_key_free(key);
  }
  CHECK(counts(&a)->hints == 200 && counts(&a)->hints_dropped == 72);
  uint64_t most = 0;
  for (uint64_t end = now_ms() + 60000; counts(&a)->dial_failed < 24;) {
    CHECK(now_ms() < end);
    turn_for(only, 1, 1);
    if (counts(&a)->half_open > most) most = counts(&a)->half_open;
  }
  CHECK(most == 8);
  node_free(&a);
  (void)close(fd);
}

/* ---- with gossipsub ---- */

static const msub_router_ops *const mesh_routers[] = { &msub_gossipsub, NULL };
enum { LEAVES = 4 };

static bool have_met(void *ud) { /* every leaf another one */
  node *const *leaf = ud;
  for (unsigned i = 0; i < LEAVES; i++) {
    if (counts(leaf[i])->connections < 2) return false;
  }
  return true;
}

/* A hub that wants nobody in its mesh names the others to each, with what they signed. */
static void test_star(void) {
  node hub, leaf[LEAVES], *all[LEAVES + 1] = { &hub };
  msub_gossipsub_opts at_hub, at_leaf;
  msub_gossipsub_opts_init(&at_hub);
  at_hub.heartbeat_ns = 100000000;
  at_leaf = at_hub;
  at_hub.mesh.d = at_hub.mesh.dlo = at_hub.mesh.dhi = at_hub.mesh.dscore = at_hub.mesh.dout = 0;
  at_hub.peer_exchange = true;
  const void *hub_opts[] = { &at_hub }, *leaf_opts[] = { &at_leaf };
  for (unsigned i = 0; i <= LEAVES; i++) {
    node *n = i == 0 ? &hub : &leaf[i - 1];
    node_init(n, i == 0 ? "hub" : "leaf", (uint8_t)(20 + i));
    n->opts.routers = mesh_routers;
    n->opts.router_opts = i == 0 ? hub_opts : leaf_opts;
    node_start(n, true, true);
    all[i] = n;
  }
  for (unsigned i = 0; i < LEAVES; i++) node_dial(&leaf[i], &hub);
  CHECK(turn_until(all, LEAVES + 1, have_met, all + 1, 60000));
  uint64_t dialled = 0;
  for (unsigned i = 0; i < LEAVES; i++) dialled += counts(&leaf[i])->hints_connected;
  CHECK(dialled > 0 && counts(&hub)->hints == 0);
  for (unsigned i = 0; i <= LEAVES; i++) node_free(all[i]);
}

/* A direct peer that was lost is called again, where it was. */
static void test_direct(void) {
  node a, b, *pair[2] = { &a, &b };
  msub_gossipsub_opts o;
  msub_gossipsub_opts_init(&o);
  o.heartbeat_ns = 50000000;
  o.direct_ticks = 2;
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  msub_bytes direct = msub_key_peer_id(b.key);
  o.direct = &direct;
  o.n_direct = 1;
  const void *opts[] = { &o };
  a.opts.routers = b.opts.routers = mesh_routers;
  a.opts.router_opts = opts;
  node_start(&a, true, true);
  node_start(&b, true, true);
  node_meet(pair, 2, &a, &b);
  a.connected = 0;
  MUST(msub_host_disconnect(b.host, msub_key_peer_id(a.key)));
  WAIT(pair, is_connected, &a);
  CHECK(counts(&a)->hints_connected >= 1); /* on a slow machine it is called for twice before it answers */
  node_free(&a);
  node_free(&b);
}

/* ---- protect ---- */

static bool failed_or_lost(void *ud) {
  const node *n = ud;
  return n->dial_failed > 0 || n->disconnected > 0;
}

static void test_protect_inbound(void) {
  node s, n[5], *all[6] = { &s };
  init(&s, "s", 1);
  s.opts.max_inbound = 2;
  s.opts.grace_ns = 0;
  node_start(&s, true, true);
  for (unsigned i = 0; i < 5; i++) {
    start(&n[i], "n", (uint8_t)(10 + i), false, false);
    all[i + 1] = &n[i];
  }
  msub_topic any = { 0 };
  node_meet(all, 6, &n[0], &s);
  protect(&s, &n[0], any, true); /* whatever happens */
  node_meet(all, 6, &n[1], &s);
  node_meet(all, 6, &n[2], &s); /* takes the place of n[1] */
  WAIT(all, has_lost, &n[1]);
  CHECK(linked(&s, &n[0]) && linked(&s, &n[2]) && !linked(&s, &n[1]));
  /* by topic, as often as it was said; and known before the peer comes */
  protect(&s, &n[2], s.topic, true);
  protect(&s, &n[2], s.topic, true);
  protect(&s, &n[2], s.topic, false);
  node_dial(&n[3], &s);
  WAIT(all, failed_or_lost, &n[3]);
  CHECK(linked(&s, &n[0]) && linked(&s, &n[2]) && !linked(&s, &n[3]));
  protect(&s, &n[2], s.topic, false);
  protect(&s, &n[2], s.topic, false); /* once too often */
  node_meet(all, 6, &n[4], &s);
  WAIT(all, has_lost, &n[2]);
  protect(&s, &n[0], any, false);
  n[3].dial_failed = n[3].disconnected = 0;
  node_meet(all, 6, &n[3], &s); /* of the two the younger one goes */
  WAIT(all, has_lost, &n[4]);
  CHECK(linked(&s, &n[0]) && linked(&s, &n[3]));
  for (unsigned i = 0; i < 5; i++) node_free(&n[i]);
  node_free(&s);
}

static void test_grace(void) {
  node s, n[3], *all[4] = { &s };
  init(&s, "s", 1);
  s.opts.max_inbound = 2; /* and 20 s of grace */
  node_start(&s, true, false);
  for (unsigned i = 0; i < 3; i++) {
    start(&n[i], "n", (uint8_t)(10 + i), false, false);
    all[i + 1] = &n[i];
  }
  node_meet(all, 4, &n[0], &s);
  node_meet(all, 4, &n[1], &s);
  node_dial(&n[2], &s);
  WAIT(all, failed_or_lost, &n[2]);
  CHECK(linked(&s, &n[0]) && linked(&s, &n[1]));
  for (unsigned i = 0; i < 3; i++) node_free(&n[i]);
  node_free(&s);
}

static void test_protect_outbound(void) {
  node a, n[4], *all[5] = { &a };
  init(&a, "a", 1);
  a.opts.max_outbound = 2;
  a.opts.grace_ns = 0;
  node_start(&a, true, false);
  for (unsigned i = 0; i < 4; i++) {
    start(&n[i], "n", (uint8_t)(10 + i), true, false);
    all[i + 1] = &n[i];
  }
  node_meet(all, 5, &a, &n[0]); /* the program's own */
  node_meet(all, 5, &n[1], &a); /* so that its addresses are known */
  part(&a, &n[1], all, 5);
  node_meet(all, 5, &n[2], &a);
  part(&a, &n[2], all, 5);
  hint(&a, &n[1], (msub_bytes){ NULL, 0 });
  WAIT(all, is_connected, &n[1]);
  hint(&a, &n[2], (msub_bytes){ NULL, 0 }); /* does not push out another one */
  turn_for(all, 5, 20);
  CHECK(linked(&a, &n[1]) && !linked(&a, &n[2]));
  node_meet(all, 5, &a, &n[3]);
  WAIT(all, has_lost, &n[1]);
  CHECK(linked(&a, &n[0]) && linked(&a, &n[3]));
  a.dial_failed = a.disconnected = 0;
  node_dial(&a, &n[1]); /* nobody makes room */
  WAIT(all, failed_or_lost, &a);
  CHECK(a.dial_err == MSUB_ERR_LIMIT && linked(&a, &n[0]) && linked(&a, &n[3]));
  for (unsigned i = 0; i < 4; i++) node_free(&n[i]);
  node_free(&a);
}

/* ---- discovery ---- */

static struct {
  unsigned advertised, withdrawn, finds, cancels, n, wound_up, busy;
  void (*found)(void *ud, msub_bytes peer_id, msub_bytes addr);
  void *ud;
  msub_host *host;
} disco;
static void advertise(void *d, msub_bytes topic, bool on) {
  CHECK(d == &disco && msub_bytes_eq(topic, msub_str("topic")));
  CHECK(!disco.host || msub_host_now(disco.host) != NULL); /* not from inside the engine */
  if (on)
    disco.advertised++;
  else
    disco.withdrawn++;
}
static void find(void *d, msub_bytes topic, unsigned n, void (*found)(void *ud, msub_bytes peer_id, msub_bytes addr), void *ud) {
  CHECK(d == &disco && msub_bytes_eq(topic, msub_str("topic")));
  disco.finds++;
  disco.n = n;
  disco.found = found;
  disco.ud = ud;
}
static void cancel(void *d, msub_bytes topic) {
  CHECK(d == &disco && msub_bytes_eq(topic, msub_str("topic")));
  disco.cancels++;
}
static bool wind_up(void *d) {
  CHECK(d == &disco && disco.withdrawn == disco.advertised);
  disco.wound_up++;
  return disco.wound_up < disco.busy;
}
static const msub_discovery_ops disco_ops = {
  .abi = MSUB_ABI, .size = sizeof disco_ops, .advertise = advertise, .find = find, .cancel = cancel, .wind_up = wind_up
};
static bool found_twice(void *ud) {
  (void)ud;
  return disco.finds == 2;
}
static bool asked(void *ud) {
  (void)ud;
  return disco.finds == 1;
}
static bool cancelled(void *ud) {
  (void)ud;
  return disco.cancels == 1 && disco.withdrawn == 1;
}

static void test_discovery(void) {
  node a, b, *pair[2] = { &a, &b };
  msub_host *none;
  msub_discovery_ops bad = disco_ops;
  memset(&disco, 0, sizeof disco);
  init(&a, "a", 1);
  bad.find = NULL;
  a.opts.discovery = (msub_discovery){ &bad, &disco };
  CHECK(msub_host_new(&a.opts, &none, NULL) == MSUB_ERR_INVAL);
  a.opts.discovery = (msub_discovery){ &disco_ops, &disco };
  node_start(&a, true, true);
  start(&b, "b", 2, true, true);
  disco.host = a.host;
  turn_for(pair, 2, 5);
  CHECK(disco.advertised == 1 && disco.withdrawn == 0 && disco.finds == 0);
  for (unsigned i = 0; i < 20; i++) { /* as a heartbeat would, too often */
    tell(&a, WANT, (wish){ .topic = a.topic, .n = 3 + i });
    if (i == 0) WAIT(pair, asked, NULL);
  }
  uint64_t begun = now_ms();
  CHECK(disco.n == 3);
  WAIT(pair, found_twice, NULL);
  CHECK(disco.n == 22 && now_ms() - begun >= 500); /* a second after the first */
  /* what is found is dialled */
  char text[MSUB_MULTIADDR_TEXT];
  msub_multiaddr m;
  node_addr(&b, text, sizeof text);
  MUST(msub_multiaddr_parse(text, &m));
  disco.found(disco.ud, msub_key_peer_id(b.key), (msub_bytes){ m.bytes, m.n });
  WAIT(pair, is_connected, &a);
  CHECK(linked(&a, &b) && counts(&a)->found == 1 && counts(&a)->sought == 2);
  part(&a, &b, pair, 2);
  disco.found(disco.ud, msub_key_peer_id(b.key), (msub_bytes){ NULL, 0 }); /* only the id */
  WAIT(pair, is_connected, &a);
  /* left */
  MUST(msub_leave(msub_host_engine(a.host), a.topic, msub_host_now(a.host)));
  WAIT(pair, cancelled, NULL);
  CHECK(disco.finds == 2 && disco.advertised == 1);
  /* the host ends in the middle */
  MUST(msub_join(msub_host_engine(a.host), 0, msub_str("topic"), node_policy(), NULL, msub_host_now(a.host), &a.topic));
  tell(&a, WANT, (wish){ .topic = a.topic, .n = 1 });
  for (uint64_t end = now_ms() + 20000; disco.finds < 3;) {
    CHECK(now_ms() < end);
    turn_for(pair, 2, 1);
  }
  disco.host = NULL;
  node_free(&a);
  CHECK(disco.advertised == 2 && disco.withdrawn == 2 && disco.cancels == 2);
  node_free(&b);
}

/* A host that stops takes everything back and waits for its discovery, but not for ever; after that it may be run again. */
static void test_discovery_stops(void) {
  node a, *all[1] = { &a };
  msub_discovery_ops old = disco_ops;
  for (unsigned row = 0; row < 3; row++) { /* it is done at its third look; never; it does not know of it */
    memset(&disco, 0, sizeof disco);
    disco.busy = row == 0 ? 3 : UINT32_MAX;
    old.size = row == 2 ? offsetof(msub_discovery_ops, wind_up) : sizeof old;
    init(&a, "a", 1);
    a.opts.discovery = (msub_discovery){ &old, &disco };
    node_start(&a, true, true);
    disco.host = a.host;
    tell(&a, WANT, (wish){ .topic = a.topic, .n = 3 });
    WAIT(all, asked, NULL);
    CHECK(disco.advertised == 1 && disco.withdrawn == 0);
    uint64_t begun = now_ms();
    msub_host_stop(a.host);
    MUST(msub_host_run(a.host));
    uint64_t took = now_ms() - begun;
    CHECK(disco.withdrawn == 1 && disco.cancels == 1 && disco.advertised == 1);
    if (row == 0) CHECK(disco.wound_up >= 3);
    if (row == 1) CHECK(took + 5 >= MSUB__HOST_STOP_NS / MSUB__MS && took < MSUB__HOST_STOP_NS / MSUB__MS + 3000);
    if (row == 2) CHECK(disco.wound_up == 0);
    turn_for(all, 1, 5);
    CHECK(disco.advertised == 2 && disco.withdrawn == 1);
    disco.host = NULL;
    node_free(&a);
    CHECK(disco.withdrawn == 2);
  }
}

/* ---- trace ---- */

static unsigned traced[MSUB_EVENTS];
static void on_trace(void *ud, msub_host *h, const msub_event *ev) {
  (void)ud;
  CHECK(msub_host_now(h) == NULL); /* in the engine */
  CHECK(ev->kind < MSUB_EVENTS);
  traced[ev->kind]++;
}

static void test_trace(void) {
  node a, b, *pair[2] = { &a, &b };
  init(&a, "a", 1);
  a.opts.on_trace = on_trace;
  node_start(&a, true, true);
  start(&b, "b", 2, true, true);
  node_dial(&a, &b);
  WAIT(pair, subscribed, &a);
  WAIT(pair, subscribed, &b);
  transfer(pair, 2, &a, &b, 0, 10, 100);
  transfer(pair, 2, &b, &a, 10, 5, 100);
  CHECK(traced[MSUB_T_JOIN] == 1 && traced[MSUB_T_PUBLISH] == 10 && traced[MSUB_T_ADD_PEER] == 1);
  CHECK(traced[MSUB_T_DELIVER] >= 5 && traced[MSUB_T_RECV_RPC] >= 5 && traced[MSUB_T_SEND_RPC] >= 10);
  MUST(msub_leave(msub_host_engine(a.host), a.topic, msub_host_now(a.host)));
  CHECK(traced[MSUB_T_LEAVE] == 1);
  node_free(&a);
  node_free(&b);
}

static size_t n_metrics;
static const char *last_name;
static uint64_t metric_sum;
static size_t metric_hits;
static void count_metric(void *ud, const msub_metric *m) {
  const char *wanted = ud;
  n_metrics++;
  last_name = m->name;
  if (wanted && strcmp(m->name, wanted) == 0) {
    metric_hits++;
    metric_sum += m->value;
  }
  CHECK((m->label == NULL) == (m->value_of_label.p == NULL));
}
static size_t metric_named(node *n, unsigned modules, const char *name, uint64_t *value) {
  msub_metrics_opts mo;
  msub_metrics_opts_init(&mo);
  mo.modules = modules;
  mo.each = count_metric;
  mo.ud = (void *)(uintptr_t)name;
  n_metrics = 0;
  metric_sum = metric_hits = 0;
  MUST(msub_host_metrics(n->host, &mo));
  *value = metric_sum;
  return n_metrics;
}
static size_t state_sessions, state_queued;
static void on_state_session(void *ud, const msub_state_session *s) {
  (void)ud;
  CHECK(s->has_queues);
  state_sessions++;
  for (unsigned l = 0; l < MSUB_LANES; l++) state_queued += s->queued[l];
}

static bool dial_is_over(void *ud) { return msub_host_count(((node *)ud)->host)->dial_failed == 1; }
static bool alone(void *ud) { return msub_host_count(((node *)ud)->host)->connections == 0; }

/* Every counter of the host has a metric, and what waits in lanes is the same in metrics, state and peer list. */
static void test_metrics(void) {
  node a, b, *pair[2] = { &a, &b };
  init(&a, "a", 1);
  node_start(&a, true, true);
  start(&b, "b", 2, true, true);
  node_dial(&a, &b);
  WAIT(pair, subscribed, &a);
  WAIT(pair, subscribed, &b);
  transfer(pair, 2, &a, &b, 0, 10, 100);
  const msub_host_counts *c = msub_host_count(a.host);
  uint64_t v;
  size_t counters = 0;
#define MSUB_X(name) \
  metric_named(&a, MSUB_METRICS_HOST, "host_" #name "_total", &v); \
  CHECK(metric_hits == 1 && v == c->name); \
  counters++;
  MSUB_HOST_COUNTS(MSUB_X)
#undef MSUB_X
#define MSUB_X(name) counters++;
  MSUB_HOST_REFUSALS(MSUB_X)
#undef MSUB_X
  counters += 3 * MSUB_HOST_ERRORS;
  CHECK(metric_named(&a, MSUB_METRICS_HOST, NULL, &v) == counters + 3 + MSUB_LANES && strcmp(last_name, "gossipsub_queue_bytes") == 0);
  metric_named(&a, MSUB_METRICS_HOST, "host_bytes_out_total", &v);
  CHECK(v > 0 && v == c->bytes_out);
  metric_named(&a, MSUB_METRICS_ALL, "gossipsub_published_total", &v);
  CHECK(v == 10);
  for (uint32_t i = 10; i < 30; i++) CHECK(node_publish(&a, i, 5000));
  metric_named(&a, MSUB_METRICS_HOST, "gossipsub_queue_bytes", &v);
  CHECK(v > 10 * 5000);
  msub_state_visitor visit = { .size = sizeof visit, .session = on_state_session };
  MUST(msub_state(msub_host_engine(a.host), &visit, msub_host_now(a.host)));
  CHECK(state_sessions == 1 && state_queued == v);
  msub_host_peer p;
  MUST(msub_host_peer_at(a.host, 0, &p));
  CHECK(p.queued_bytes == v);
  /* A dial that fails, a connection that ends: each has its reason, and the reasons add up. */
  MUST(msub_host_dial(a.host, "/ip4/127.0.0.1/tcp/1", 1));
  WAIT(pair, dial_is_over, &a);
  CHECK(c->dial_failed == 1 && c->dial_failed_by[-MSUB_ERR_REFUSED] == 1);
  MUST(msub_host_disconnect(a.host, msub_host_peer_id(b.host)));
  WAIT(pair, alone, &a);
  metric_named(&a, MSUB_METRICS_HOST, "host_disconnects_total", &v);
  CHECK(v == 1 && c->connections_closed == 1);
  metric_named(&a, MSUB_METRICS_HOST, "host_dial_failures_total", &v);
  CHECK(v == 1);
  node_free(&a);
  node_free(&b);
}

static const test_case cases[] = { { "withdraw", test_withdraw },
              { "records", test_records },
              { "foreign_record", test_foreign_record },
              { "hint", test_hint },
              { "hints_off", test_hints_off },
              { "hint_of_dialled", test_hint_of_dialled },
              { "hint_addresses", test_hint_addresses },
              { "hint_flood", test_hint_flood },
              { "star", test_star },
              { "direct", test_direct },
              { "protect_inbound", test_protect_inbound },
              { "protect_outbound", test_protect_outbound },
              { "grace", test_grace },
              { "discovery", test_discovery },
              { "discovery_stops", test_discovery_stops },
              { "trace", test_trace },
              { "metrics", test_metrics } };

int main(int argc, char **argv) { return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv); }
