/* tests/host/test_host_pair.c: two or three hosts in one process over loopback TCP. usage: test_host_pair
 * CASE */
#define _GNU_SOURCE
#include "host_node.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "host/limits.h"
#include "host/state.h"
#include "meshsub/gossipsub.h"

#define KIB 1024u

/* ---- conditions ---- */

static bool both_ready(void *ud) { /* a pair: streams agreed and topics known both ways */
  node *const *p = ud;
  return p[0]->pubsub > 0 && p[1]->pubsub > 0 && p[0]->joins > 0 && p[1]->joins > 0;
}
static bool identified(void *ud) {
  node *const *p = ud;
  return p[0]->identified > 0 && p[1]->identified > 0;
}
static bool alone(void *ud) {
  const node *n = ud;
  return msub_host_count(n->host)->connections == 0 && n->last > 0;
}
static bool has_joins(void *ud) { return ((const node *)ud)->joins > 0; }
static bool failed_dial(void *ud) { return ((const node *)ud)->dial_failed > 0; }
static bool is_set(void *ud) { return *(const uint64_t *)ud != 0; }

static void connect_pair(node *const pair[2]) {
  node *both[2] = { pair[0], pair[1] };
  node_dial(pair[1], pair[0]);
  WAIT(both, both_ready, both);
}

static void start_pair(node *a, node *b) {
  node *pair[2] = { a, b };
  node_start(a, true, true);
  node_start(b, true, true);
  connect_pair(pair);
}

/* ---- cases ---- */

static void pong(void *ud, uint64_t rtt) { *(uint64_t *)ud = rtt; }

static void test_connect(void) {
  node a, b, *pair[2] = { &a, &b };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  start_pair(&a, &b);
  WAIT(pair, identified, pair);
  CHECK(a.connected == 1 && b.connected == 1 && b.cookie == 7 && a.cookie == 0);
  msub_host_peer p;
  MUST(msub_host_peer_at(a.host, 0, &p));
  CHECK(msub_bytes_eq(p.peer_id, msub_host_peer_id(b.host)));
  CHECK(p.agreed && p.protocol && strcmp(p.protocol, "/floodsub/1.0.0") == 0 && p.connections == 1 &&
        !p.outbound);
  CHECK(strncmp(p.agent, "meshsub/", 8) == 0 && p.n_protocols >= 4);
  CHECK(msub_host_peer_at(a.host, 1, &p) == MSUB_ERR_NOTFOUND);
  uint64_t rtt = 0;
  MUST(msub_host_ping(b.host, msub_host_peer_id(a.host), pong, &rtt));
  WAIT(pair, is_set, &rtt);
  CHECK(rtt != MSUB_NEVER);
  /* dialled again: the connection that stands answers */
  b.connected = 0;
  node_dial(&b, &a);
  UNTIL(turn_for(pair, 2, 1), b.connected > 0);
  turn_for(pair, 2, 50);
  CHECK(b.connected == 1 && msub_host_count(b.host)->connections == 1);
  char own[MSUB_MULTIADDR_TEXT];
  node_addr(&a, own, sizeof own);
  CHECK(msub_host_dial(a.host, own, 0) == MSUB_ERR_REFUSED);
  CHECK(msub_host_dial(a.host, "/ip4/127.0.0.1/udp/1", 0) == MSUB_ERR_UNSUPPORTED);
  CHECK(msub_host_dial(a.host, "nonsense", 0) == MSUB_ERR_MALFORMED);
  node_free(&b);
  WAIT(pair, alone, &a);
  node_free(&a);
}

static void exchange(msub_sign_policy sign, uint32_t count, size_t size) {
  node a, b, *pair[2] = { &a, &b };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  a.opts.engine.sign = b.opts.engine.sign = sign;
  start_pair(&a, &b);
  uint64_t begun = now_ms();
  transfer(pair, 2, &a, &b, 0, count, size);
  transfer(pair, 2, &b, &a, count, count, size);
  uint64_t ms = now_ms() - begun;
  printf("%u messages of %zu bytes both ways in %llu ms\n", count, size, (unsigned long long)ms);
  CHECK(a.disconnected == 0 && b.disconnected == 0);
  node_free(&a);
  node_free(&b);
}
static void test_unsigned(void) { exchange(MSUB_STRICT_NO_SIGN, 10000, KIB); }
static void test_signed(void) { exchange(MSUB_STRICT_SIGN, 10000, KIB); }
static void test_big(void) { exchange(MSUB_STRICT_NO_SIGN, 100, 200 * KIB); }

/* N-12: dialled c, met a: nobody is told of a. */
static void test_wrong_id(void) {
  node a, b, c, *all[2] = { &a, &b };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  node_init(&c, "c", 3);
  node_start(&a, true, true);
  node_start(&b, false, true);
  char addr[MSUB_MULTIADDR_TEXT], id[MSUB_PEER_ID_TEXT];
  node_addr(&a, addr, sizeof addr);
  char *p2p = strstr(addr, "/p2p/");
  CHECK(p2p);
  (void)snprintf(p2p, sizeof addr - (size_t)(p2p - addr), "/p2p/%s",
                 msub_peer_id_text(msub_key_peer_id(c.key), id));
  MUST(msub_host_dial(b.host, addr, 9));
  WAIT(all, failed_dial, &b);
  UNTIL(turn_for(all, 2, 1), msub_host_count(a.host)->half_open + msub_host_count(b.host)->half_open == 0);
  CHECK(b.dial_err == MSUB_ERR_MISMATCH && b.connected == 0 && a.connected == 0);
  /* nobody listens */
  b.dial_failed = 0;
  MUST(msub_host_dial(b.host, "/ip4/127.0.0.1/tcp/1", 9));
  WAIT(all, failed_dial, &b);
  node_free(&a);
  node_free(&b);
  node_free(&c);
}

static void test_reconnect(void) {
  node a, b, *pair[2] = { &a, &b };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  b.opts.redial_min_ns = 10000000;
  start_pair(&a, &b);
  for (uint32_t i = 0; i < 4; i++) {
    transfer(pair, 2, &a, &b, i * 200, 100, KIB);
    transfer(pair, 2, &b, &a, i * 200 + 100, 100, KIB);
    node *closer = pair[i % 2];
    a.last = b.last = a.pubsub = b.pubsub = a.joins = b.joins = 0;
    MUST(msub_host_disconnect(closer->host, msub_host_peer_id(pair[1 - i % 2]->host)));
    WAIT(pair, alone, &a);
    WAIT(pair, alone, &b);
    connect_pair(pair);
  }
  /* kept: it comes back by itself */
  char addr[MSUB_MULTIADDR_TEXT];
  node_addr(&a, addr, sizeof addr);
  MUST(msub_host_keep(b.host, addr));
  turn_for(pair, 2, 20);
  for (uint32_t i = 0; i < 3; i++) {
    a.pubsub = b.pubsub = a.joins = b.joins = 0;
    MUST(msub_host_disconnect(a.host, msub_host_peer_id(b.host)));
    WAIT(pair, both_ready, pair);
    transfer(pair, 2, &a, &b, 1000 + i, 1, KIB);
  }
  node_free(&a);
  node_free(&b);
}

/* floodsub, which notes when another connection carries a session. */
static unsigned moved;
static void note_moved(msub_router *r, msub_session s, msub_bytes address) {
  static const uint8_t home[4] = { 127, 0, 0, 1 };
  CHECK(msub_r_session_peer(r, s).v && msub_bytes_eq(address, (msub_bytes){ home, 4 }));
  moved++;
}
static int noting_layout(msub_layout *l, const void *opts) {
  (void)opts;
  return msub_layout_nest(l, &msub_floodsub, NULL);
}
static const msub_router_ops noting = {
  .abi = MSUB_ABI, .size = sizeof noting, .name = "noting", .layout = noting_layout, .address_changed = note_moved
};

/* b stops without a word, its next life connects while a still holds the old connection. */
static void test_superseded(void) {
  static const msub_router_ops *const routers[] = { &noting, NULL };
  node a, b, c, *old[2] = { &a, &b }, *now[2] = { &a, &c };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  node_init(&c, "b again", 2);
  a.opts.routers = routers;
  start_pair(&a, &b);
  transfer(old, 2, &a, &b, 0, 100, KIB);
  CHECK(moved == 0);
  node_start(&c, false, true);
  a.pubsub = a.connected = 0;
  node_dial(&c, &a);
  a.joins = 1; /* the peer is known, so a is told nothing new */
  WAIT(now, both_ready, now);
  CHECK(msub_host_count(a.host)->connections == 2 && moved == 1);
  transfer(now, 2, &a, &c, 100, 500, KIB);
  transfer(now, 2, &c, &a, 600, 500, KIB);
  node_stop(&b);
  UNTIL(turn_for(now, 2, 1), msub_host_count(a.host)->connections == 1);
  transfer(now, 2, &a, &c, 1100, 500, KIB);
  transfer(now, 2, &c, &a, 1600, 500, KIB);
  node_free(&a);
  node_free(&b);
  node_free(&c);
}

/* ---- a peer that does not read ---- */

static uint32_t fill(node *a, uint32_t most) {
  node *only[1] = { a };
  uint32_t i = 0;
  while (i < most && node_publish(a, i, 16 * KIB)) {
    if (++i % 8 == 0) turn_for(only, 1, 1);
  }
  return i;
}

typedef struct want {
  node *n;
  uint32_t i;
} want;
static bool got(void *ud) {
  const want *w = ud;
  return w->n->seen[w->i] > 0;
}
static bool slow_closed(void *ud) { return msub_host_count(((const node *)ud)->host)->slow_closed > 0; }

#define STALLED_MS (MSUB__HOST_STALLED_NS / 1000000u)

/* false: the machine was too slow for it. */
static bool slow_try(msub_overflow rule) {
  node a, b, *pair[2] = { &a, &b };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  a.opts.lane_bytes[MSUB_LANE_OWN] = 512 * KIB;
  a.opts.lane_rule[MSUB_LANE_OWN] = rule;
  start_pair(&a, &b);
  size_t before = live_bytes();
  uint64_t begun = now_ms();
  uint32_t n = fill(&a, 2000);
  if (now_ms() - begun >= STALLED_MS && rule != MSUB_OVERFLOW_DROP_OLDEST && rule != MSUB_OVERFLOW_DISCONNECT) {
    node_free(&a); /* then b passed for one that is gone, and nobody waits for it */
    node_free(&b);
    return false;
  }
  const msub_host_counts *count = msub_host_count(a.host);
  /* window, one send, the lane and the share of the other lanes */
  CHECK(live_bytes() - before < 3u << 20);
  if (rule == MSUB_OVERFLOW_DISCONNECT) {
    node *only[1] = { &a };
    WAIT(only, slow_closed, &a);
    WAIT(only, alone, &a);
  } else {
    /* a full lane holds the publisher up; only the rule that asks for it drops what was taken */
    CHECK((count->lane_dropped > 0) == (rule == MSUB_OVERFLOW_DROP_OLDEST) && a.disconnected == 0);
    want w = { &b, n - 1 };
    if (rule != MSUB_OVERFLOW_DROP_OLDEST)
      CHECK(n < 2000);
    else
      CHECK(n == 2000);
    WAIT(pair, got, &w);
    if (rule != MSUB_OVERFLOW_DROP_OLDEST) {
      for (uint32_t i = 0; i < n; i++) CHECK(b.seen[i] == 1);
    } else {
      CHECK(b.messages < n);
    }
    CHECK(b.out_of_order == 0 && b.wrong == 0);
    transfer(pair, 2, &a, &b, 5000, 100, KIB);
    transfer(pair, 2, &b, &a, 6000, 100, KIB);
  }
  node_free(&a);
  node_free(&b);
  return true;
}

static void slow_case(msub_overflow rule) {
  for (unsigned i = 0; i < 10; i++) {
    if (slow_try(rule)) return;
  }
  printf("the machine is too slow for rule %d\n", (int)rule);
}

static void test_slow(void) {
  slow_case(MSUB_OVERFLOW_DROP_NEWEST);
  slow_case(MSUB_OVERFLOW_DROP_OLDEST);
  slow_case(MSUB_OVERFLOW_BY_LANE);
  slow_case(MSUB_OVERFLOW_DISCONNECT);
  /* bytes stand in front of it for too long */
  node a, b, *only[1] = { &a };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  a.opts.write_timeout_ns = 2000000000;
  start_pair(&a, &b);
  (void)fill(&a, 2000);
  WAIT(only, slow_closed, &a);
  WAIT(only, alone, &a);
  node_free(&a);
  node_free(&b);
}

/* ---- a router with two ids ---- */

static int two_layout(msub_layout *l, const void *opts) {
  (void)opts;
  int err = msub_layout_protocol(l, "/test/2.0.0", 0);
  return err == MSUB_OK ? msub_layout_protocol(l, "/test/1.0.0", 0) : err;
}
static void to_all(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out) {
  (void)m;
  for (size_t i = 0; i < msub_r_links(r, t); i++) {
    msub_session s = msub_r_link_session(r, t, i);
    if (s.v != from.v) (void)msub_list_add(out, s);
  }
}
static const msub_router_ops two = {
  .abi = MSUB_ABI, .size = sizeof two, .name = "two", .layout = two_layout, .publish = to_all
};

static void test_second_protocol(void) {
  static const msub_router_ops *const routers[] = { &two, NULL };
  static const char *const only_old[] = { "/test/1.0.0", NULL }, *const nobody[] = { "/test/9.0.0", NULL };
  node a, b, *pair[2] = { &a, &b };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  a.opts.routers = b.opts.routers = routers;
  const char *why = NULL;
  b.opts.protocols = nobody;
  CHECK(msub_host_new(&b.opts, &b.host, &why) == MSUB_ERR_INVAL && why);
  b.opts.protocols = only_old;
  start_pair(&a, &b);
  CHECK(strcmp(a.text, "/test/1.0.0") == 0 && strcmp(b.text, "/test/1.0.0") == 0);
  transfer(pair, 2, &a, &b, 0, 500, KIB);
  transfer(pair, 2, &b, &a, 500, 500, KIB);
  node_free(&a);
  node_free(&b);
  /* no id in common: connected, and nothing more */
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  a.opts.routers = routers;
  node_start(&a, true, true);
  node_start(&b, true, true);
  node_dial(&b, &a);
  WAIT(pair, identified, pair);
  turn_for(pair, 2, 300);
  CHECK(a.pubsub == 0 && b.pubsub == 0 && a.disconnected == 0 && b.disconnected == 0);
  CHECK(msub_session_count(msub_host_engine(a.host)) == 0);
  node_free(&a);
  node_free(&b);
}

/* gossipsub under ids of one's own: they run what both have in common, with the features that belong to it. */
static void test_own_protocols(void) {
  static const msub_gossipsub_protocol ids[] = { { "/own/2.0.0", MSUB_F_MESH | MSUB_F_PX | MSUB_F_IDONTWANT }, { "/own/1.0.0", MSUB_F_MESH } };
  static const msub_router_ops *const routers[] = { &msub_gossipsub, NULL };
  static msub_gossipsub_opts newer, older;
  static const void *const opts_newer[] = { &newer }, *const opts_older[] = { &older };
  node a, b, *pair[2] = { &a, &b };
  msub_gossipsub_opts_init(&newer);
  newer.floodsub = false;
  newer.protocols = ids;
  newer.n_protocols = 2;
  older = newer;
  older.protocols = &ids[1];
  older.n_protocols = 1;
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  a.opts.routers = b.opts.routers = routers;
  a.opts.router_opts = opts_newer;
  b.opts.router_opts = opts_older;
  start_pair(&a, &b);
  CHECK(strcmp(a.text, "/own/1.0.0") == 0 && strcmp(b.text, "/own/1.0.0") == 0);
  transfer(pair, 2, &a, &b, 0, 100, KIB);
  transfer(pair, 2, &b, &a, 100, 100, KIB);
  node_free(&a);
  node_free(&b);
}

/* ---- sockets that say nothing ---- */

static int raw_socket(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  return fd;
}

static int port_of(const node *n) {
  char addr[MSUB_MULTIADDR_TEXT];
  node_addr(n, addr, sizeof addr);
  const char *at = strstr(addr, "/tcp/");
  CHECK(at);
  return atoi(at + 5);
}

static void raw_connect(int fd, const node *n) {
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port_of(n)) };
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to) == 0);
}

/* Reads until the other side closes. */
static bool closed(int fd) {
  char bytes[256];
  for (;;) {
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return true;
    if (n < 0) return false;
  }
}

typedef struct socks {
  int fd[64];
  size_t n;
} socks;
static bool all_closed(void *ud) {
  const socks *s = ud;
  for (size_t i = 0; i < s->n; i++) {
    if (!closed(s->fd[i])) return false;
  }
  return true;
}

/* Connections that say nothing, or only begin: each ends at its deadline, and honest ones are not kept out.
 */
#define HALF_OPEN_MS (4 * STALLED_MS)
static void half_open(unsigned pending, size_t n, size_t refused) {
  node a, b, c, *all[3] = { &a, &b, &c }, *pair[2] = { &a, &b };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  node_init(&c, "c", 3);
  a.opts.handshake_timeout_ns = (HALF_OPEN_MS + 1000) * UINT64_C(1000000); /* silent ones make room before */
  a.opts.max_pending_inbound = pending;
  start_pair(&a, &b);
  node_start(&c, false, true);
  size_t fds = open_fds();
  uint64_t begun = now_ms();
  socks s = { .n = n };
  for (size_t i = 0; i < s.n; i++) {
    s.fd[i] = raw_socket();
    raw_connect(s.fd[i], &a);
    if (i % 2) CHECK(send(s.fd[i], "\x13/multistream/1.0.0\n", 20, 0) == 20);
    turn_for(pair, 1, 2);
  }
  turn_for(pair, 2, 50);
  const msub_host_counts *count = msub_host_count(a.host);
  if (now_ms() - begun < STALLED_MS) /* none has had its time */
    CHECK(count->half_open == n - refused && count->accept_refused + count->handshakes_late == refused);
  CHECK(count->half_open + count->accept_refused + count->handshakes_late == n && a.connected == 1);
  transfer(pair, 2, &a, &b, 0, 200, KIB);
  node_dial(&c, &a); /* waits for a place, not for the end of those that have one */
  WAIT(all, has_joins, &c);
  if (now_ms() - begun < HALF_OPEN_MS) CHECK(msub_host_count(a.host)->half_open > 0);
  WAIT(all, all_closed, &s);
  for (size_t i = 0; i < s.n; i++) (void)close(s.fd[i]);
  count = msub_host_count(a.host);
  CHECK(count->half_open == 0 && count->handshakes_late + count->accept_refused == n &&
        count->connections == 2);
  transfer(pair, 2, &b, &a, 200, 200, KIB);
  UNTIL(turn_for(all, 3, 5), open_fds() == fds + 2); /* both ends of c's */
  node_free(&a);
  node_free(&b);
  node_free(&c);
}

static void test_half_open(void) {
  half_open(16, 40, 0);
  half_open(2, 40, 8); /* 32 may wait; silent ones make room */
  node a, b, *pair[2] = { &a, &b };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  start_pair(&a, &b);
  /* garbage instead of a handshake */
  int fd = raw_socket();
  raw_connect(fd, &a);
  CHECK(send(fd, "\x05hello", 6, 0) == 6); /* a line without its newline */
  socks s = { .n = 1, .fd = { fd } };
  WAIT(pair, all_closed, &s);
  (void)close(fd);
  CHECK(msub_host_count(a.host)->handshakes_failed > 0);
  node_free(&a);
  node_free(&b);
}

static bool paused(void *ud) { return msub_host_count(((const node *)ud)->host)->accept_paused > 0; }
/* 1: it was greeted; 0: it was turned away; -1: nothing yet. */
static int greeted(int fd) {
  char byte;
  ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
  return n == 1 ? 1 : n == 0 || errno != EAGAIN ? 0 : -1;
}

/* U-04: without descriptors those that are connected are served, and accepting goes on when there are some. */
static void test_no_descriptors(void) {
  node a, b, *pair[2] = { &a, &b };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  start_pair(&a, &b);
  int fd = raw_socket();
  struct rlimit before, low;
  CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  low = before;
  low.rlim_cur = (rlim_t)fd + 1; /* every number below is taken */
  int spare[64];
  size_t n = 0;
  while (n < 64 && (spare[n] = dup(0)) >= 0 && spare[n] < fd) n++;
  if (n < 64 && spare[n] >= 0) (void)close(spare[n]);
  CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
  raw_connect(fd, &a);
  WAIT(pair, paused, &a);
  transfer(pair, 2, &a, &b, 0, 500, KIB);
  transfer(pair, 2, &b, &a, 500, 500, KIB);
  CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
  while (n > 0) (void)close(spare[--n]);
  /* turned away while there were none, or accepted after all */
  (void)send(fd, "\x13/multistream/1.0.0\n", 20, MSG_NOSIGNAL);
  UNTIL(turn_for(pair, 2, 1), greeted(fd) >= 0);
  (void)close(fd);
  fd = raw_socket();
  raw_connect(fd, &a);
  CHECK(send(fd, "\x13/multistream/1.0.0\n", 20, 0) == 20);
  UNTIL(turn_for(pair, 2, 1), greeted(fd) >= 0);
  CHECK(greeted(fd) == 1);
  (void)close(fd);
  CHECK(a.disconnected == 0 && b.disconnected == 0);
  node_free(&a);
  node_free(&b);
}

/* ---- threads of their own ---- */

static void *run(void *arg) {
  node *n = arg;
  MUST(msub_host_run(n->host));
  return NULL;
}

/* One second at most for what is queued; the rest is for a machine that does other things too. */
#define STOP_MS ((MSUB__HOST_STOP_NS + MSUB__HOST_RUN_TURN_NS) / 1000000u + 3000u)

static void test_stop(void) {
  node a, b;
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  start_pair(&a, &b);
  pthread_t ta, tb;
  CHECK(pthread_create(&ta, NULL, run, &a) == 0 && pthread_create(&tb, NULL, run, &b) == 0);
  uint8_t bytes[KIB] = { 0 };
  uint64_t end = now_ms() + 500;
  uint32_t i = 0;
  while (now_ms() < end) {
    for (unsigned k = 0; k < 100; k++, i++) {
      memcpy(bytes, &i, sizeof i);
      (void)msub_host_publish(i % 2 ? a.host : b.host, i % 2 ? a.topic : b.topic,
                              (msub_bytes){ bytes, sizeof bytes });
    }
  }
  uint64_t begun = now_ms();
  msub_host_stop(a.host);
  CHECK(pthread_join(ta, NULL) == 0);
  uint64_t one = now_ms() - begun;
  msub_host_stop(b.host);
  CHECK(pthread_join(tb, NULL) == 0);
  uint64_t both = now_ms() - begun;
  node_free(&a);
  node_free(&b);
  printf("%u published; stopped in %llu and %llu ms\n", i, (unsigned long long)one,
         (unsigned long long)(both - one));
  CHECK(one < STOP_MS && both - one < STOP_MS && now_ms() - begun < 3 * STOP_MS);
}

/* ---- what a connection costs ---- */

static size_t hub_live; /* one thread allocates */
static void *hub_alloc(void *ud, size_t n) {
  (void)ud;
  void *p = malloc(n ? n : 1);
  if (p) hub_live += n;
  return p;
}
static void hub_free(void *ud, void *p, size_t n) {
  (void)ud;
  if (p) hub_live -= n;
  free(p);
}

typedef struct crowd {
  node hub, peers[24];
  unsigned n;
} crowd;
static bool crowd_ready(void *ud) {
  const crowd *c = ud;
  for (unsigned i = 0; i < c->n; i++) {
    if (c->peers[i].joins == 0 || c->peers[i].identified == 0) return false;
  }
  return c->hub.joins == c->n && c->hub.pubsub == c->n && c->hub.identified == c->n;
}

static void test_idle(void) {
  static const msub_mem hub_mem = { hub_alloc, hub_free, NULL };
  static crowd c;
  node *nodes[25] = { &c.hub };
  node_init(&c.hub, "hub", 100);
  c.hub.opts.mem = &hub_mem;
  node_start(&c.hub, true, true);
  size_t before[25];
  for (c.n = 0; c.n < 24;) {
    node *p = &c.peers[c.n];
    before[c.n++] = hub_live;
    node_init(p, "peer", (uint8_t)c.n);
    node_start(p, false, true);
    nodes[c.n] = p;
    node_dial(p, &c.hub);
    CHECK(turn_until(nodes, c.n + 1, crowd_ready, &c, WITHIN_MS));
    turn_for(nodes, c.n + 1, 5);
  }
  size_t each = (hub_live - before[4]) / (c.n - 4);
  printf("%zu bytes for each idle connection\n", each);
  CHECK(each <= 16 * KIB);
  for (unsigned i = 0; i < c.n; i++) node_free(&c.peers[i]);
  node_free(&c.hub);
  CHECK(hub_live == 0);
}

static bool hub_has_all(void *ud) {
  const crowd *c = ud;
  return c->hub.joins == c->n && c->hub.pubsub == c->n;
}

/* nodes[0] is the hub, nodes[n - 1] publishes. */
typedef struct flow {
  node *const *nodes;
  size_t n;
  uint32_t last;
} flow;
static bool all_got(void *ud) {
  const flow *f = ud;
  for (size_t k = 1; k + 1 < f->n; k++) {
    if (f->nodes[k]->seen[f->last] == 0) return false;
  }
  return true;
}
/* Publishes, at most so many and for so long, and waits for each fifty at every peer; *rate: messages a second.
 * Returns the number of the next one. */
static uint32_t feed(node *const *nodes, size_t n, uint32_t from, uint32_t to, unsigned ms, unsigned *rate) {
  uint64_t begun = now_ms();
  uint32_t i = from;
  for (; i < to && now_ms() - begun < ms; i += 50) {
    for (uint32_t k = 0; k < 50; k++) CHECK(node_publish(nodes[n - 1], i + k, KIB));
    flow f = { nodes, n, i + 49 };
    CHECK(turn_until(nodes, n, all_got, &f, WITHIN_MS));
  }
  *rate = (unsigned)((i - from) * 1000u / (now_ms() - begun + 1));
  return i;
}

static long kept_by(const node *hub) {
  msub_usage u;
  msub_usage_of(msub_host_engine(hub->host), &u);
  return (long)hub_live - (long)u.seen_bytes;
}

/* Of twenty subscribers one stops reading. What is held for it has a bound, and the others get everything. */
static void test_stalled(void) {
  enum { PEERS = 20 };
  static const msub_mem hub_mem = { hub_alloc, hub_free, NULL };
  static crowd c;
  node pub, *nodes[PEERS + 2] = { &c.hub }, *moving[PEERS + 1] = { &c.hub };
  node_init(&c.hub, "hub", 100);
  c.hub.opts.mem = &hub_mem;
  c.hub.opts.write_timeout_ns = MSUB_NEVER; /* however long it takes: it stays */
  node_start(&c.hub, true, true);
  for (c.n = 0; c.n <= PEERS;) {
    node *p = c.n == PEERS ? &pub : &c.peers[c.n];
    node_init(p, "peer", (uint8_t)(++c.n));
    node_start(p, false, true);
    nodes[c.n] = p;
    node_dial(p, &c.hub);
    turn_for(nodes, c.n + 1, 10);
  }
  for (unsigned i = 1; i <= PEERS; i++) moving[i] = i < PEERS ? &c.peers[i] : &pub;
  WAIT(nodes, hub_has_all, &c);
  unsigned with, without;
  uint32_t all = feed(nodes, PEERS + 2, 0, 2000, 10000, &with);
  turn_for(nodes, PEERS + 2, 100);
  long before = kept_by(&c.hub);
  /* peers[0] is not turned; not for so long that it would be asked whether it is alive */
  all = feed(moving, PEERS + 1, all, all + 4000, 20000, &without);
  turn_for(moving, PEERS + 1, 50);
  long held = kept_by(&c.hub) - before; /* buffers kept for the next time may have gone meanwhile */
  printf("%u messages/s with all of them, %u with one that does not read; %ld bytes held for it\n", with, without,
         held);
  CHECK(held <= 320 * (long)KIB && msub_host_count(c.hub.host)->lane_dropped > 0 && c.hub.disconnected == 0);
  for (unsigned k = 1; k < PEERS; k++) {
    for (uint32_t i = 0; i < all; i++) CHECK(c.peers[k].seen[i] == 1);
  }
  for (unsigned i = 0; i < PEERS; i++) node_free(&c.peers[i]);
  node_free(&pub);
  node_free(&c.hub);
  CHECK(hub_live == 0);
}

/* ---- no memory ---- */

static unsigned long calls, fail_at; /* 0: none fails */
static void *frail_alloc(void *ud, size_t n) {
  if (++calls == fail_at) return NULL;
  return hub_alloc(ud, n);
}

typedef struct ready_or_dead {
  node *a, *b;
} ready_or_dead;
static bool settled(void *ud) {
  const ready_or_dead *r = ud;
  return (r->a->joins && r->b->joins && r->a->pubsub && r->b->pubsub) || r->a->disconnected ||
         r->b->disconnected || r->b->dial_failed;
}

/* What is still being made ends as well. */
static void part(node *a, node *b) {
  node *both[2] = { a, b };
  (void)msub_host_disconnect(b->host, msub_host_peer_id(a->host));
  turn_for(both, 2, 1);
}
static bool nobody_left(const node *n) {
  const msub_host_counts *c = msub_host_count(n->host);
  return c->connections == 0 && c->half_open == 0;
}

/* A life of a host in which one allocation fails: something may not happen, but the host lives and works
 * afterwards. */
static void frail_life(node *b, unsigned long at) {
  static const msub_mem frail = { frail_alloc, hub_free, NULL };
  node a, *both[2] = { &a, b };
  const char *why;
  node_init(&a, "a", 1);
  a.opts.mem = &frail;
  b->joins = b->pubsub = b->last = b->disconnected = b->dial_failed = 0;
  memset(b->seen, 0, MESSAGES_MAX);
  b->size = 0;
  b->next = b->out_of_order = 0;
  calls = 0;
  fail_at = at;
  int err = msub_host_new(&a.opts, &a.host, &why);
  CHECK(err == MSUB_OK || (err == MSUB_ERR_NOMEM && why));
  if (err == MSUB_OK) {
    if (msub_host_listen(a.host, "/ip4/127.0.0.1/tcp/0", &why) != MSUB_OK)
      MUST(msub_host_listen(a.host, "/ip4/127.0.0.1/tcp/0", &why));
    msub_engine *e = msub_host_engine(a.host);
    if (msub_join(e, 0, msub_str("topic"), node_policy(), NULL, msub_host_now(a.host), &a.topic) != MSUB_OK)
      MUST(msub_join(e, 0, msub_str("topic"), node_policy(), NULL, msub_host_now(a.host), &a.topic));
    ready_or_dead r = { &a, b };
    node_dial(b, &a);
    (void)turn_until(both, 2, settled, &r, 300);
    uint8_t small[KIB] = { [KIB - 1] = 0xee };
    for (unsigned i = 0; i < 3; i++, small[3]++)
      (void)msub_publish(e, a.topic, (msub_bytes){ small, sizeof small }, msub_host_now(a.host), NULL);
    turn_for(both, 2, 3);
    fail_at = 0;
    UNTIL(part(&a, b), nobody_left(&a) && nobody_left(b));
    a.joins = a.pubsub = b->joins = b->pubsub = 0;
    a.disconnected = b->disconnected = b->dial_failed = 0;
    node_dial(b, &a);
    WAIT(both, both_ready, both);
    uint32_t first = 100 + 2 * (uint32_t)at; /* b has seen those of the lives before */
    transfer(both, 2, &a, b, first, 1, KIB);
    transfer(both, 2, b, &a, first + 1, 1, KIB);
  }
  node_free(&a);
  CHECK(hub_live == 0);
  turn_for(&both[1], 1, 1);
}

static void test_no_memory(void) {
  node b;
  node_init(&b, "b", 2);
  node_start(&b, true, true);
  frail_life(&b, 0);
  unsigned long n = calls, step = 1, done = 0;
  const char *from = getenv("MESHSUB_TEST_FROM");
  for (unsigned long i = from ? strtoul(from, NULL, 10) : 1; i <= n; i += step, done++) frail_life(&b, i);
  printf("%lu of about %lu allocations failed, one at a time\n", done, n);
  node_free(&b);
}

/* ---- nothing stays behind ---- */

/* Record buffers that the host and its transport keep for the next time. */
#define SPARE (MSUB__HOST_SPARE_BLOCKS * 88 * KIB)

/* gossipsub gives /floodsub/1.0.0 up to a floodsub router of the same host: each offers its own ids. */
static void test_two_routers(void) {
  static const msub_router_ops *const both[] = { &msub_gossipsub, &msub_floodsub, NULL };
  static const void *const none[] = { NULL, NULL };
  node a;
  node_init(&a, "a", 1);
  a.opts.routers = both;
  a.opts.router_opts = none;
  a.opts.protocols = NULL;
  node_start(&a, false, false);
  CHECK(a.host->n_groups == 2 && a.host->groups[0].n == 4 && a.host->groups[1].n == 1);
  CHECK(msub_bytes_eq(a.host->groups[0].ids[0], msub_str("/meshsub/1.3.0")));
  CHECK(msub_bytes_eq(a.host->groups[1].ids[0], msub_str("/floodsub/1.0.0")));
  node_free(&a);
}

static void test_baseline(void) {
  node a, b, *pair[2] = { &a, &b };
  size_t nothing = live_bytes();
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  node_start(&a, true, true);
  size_t idle = 0, fds = 0;
  for (uint32_t round = 0; round < 6; round++) {
    a.pubsub = a.joins = a.last = b.pubsub = b.joins = 0;
    node_start(&b, false, true);
    connect_pair(pair);
    transfer(pair, 2, &a, &b, round * 1000, 500, KIB);
    transfer(pair, 2, &b, &a, round * 1000 + 500, 500, KIB);
    node_stop(&b);
    WAIT(pair, alone, &a);
    turn_for(pair, 2, 100);
    if (round > 2) UNTIL(turn_for(pair, 1, 5), open_fds() <= fds);
    msub_usage u;
    msub_usage_of(msub_host_engine(a.host), &u);
    CHECK(u.sessions == 0 && u.peers <= 1);
    size_t bytes = live_bytes() - u.seen_bytes;
    if (round == 2) idle = bytes, fds = open_fds();
    if (round > 2) printf("round %u: %zu bytes, at first %zu\n", round, bytes, idle);
    if (round > 2) CHECK(bytes < idle + SPARE);
  }
  node_free(&a);
  node_free(&b);
  CHECK(live_bytes() == nothing);
}

static const test_case cases[] = {
  { "connect", test_connect },
  { "unsigned", test_unsigned },
  { "signed", test_signed },
  { "big", test_big },
  { "wrong_id", test_wrong_id },
  { "reconnect", test_reconnect },
  { "superseded", test_superseded },
  { "slow", test_slow },
  { "second_protocol", test_second_protocol },
  { "own_protocols", test_own_protocols },
  { "half_open", test_half_open },
  { "no_descriptors", test_no_descriptors },
  { "stop", test_stop },
  { "idle", test_idle },
  { "stalled", test_stalled },
  { "no_memory", test_no_memory },
  { "baseline", test_baseline },
  { "two_routers", test_two_routers },
};

int main(int argc, char **argv) { return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv); }
