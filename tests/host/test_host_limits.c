/* tests/host/test_host_limits.c: the limits of host/limits.h that nothing else drives, one below, at and one
 * above where that can be told. usage: test_host_limits CASE */
#define _GNU_SOURCE
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "host/budget.h"
#include "host/limits.h"
#include "host/transport/transport.h"
#include "meshsub/rpc.h"
#include "raw_peer.h"
#include "wire/limits.h"

#define KIB 1024u
#define MS(ns) ((ns) / 1000000u)
#define FLOODSUB "/floodsub/1.0.0"
#define IDENTIFY "/ipfs/id/1.0.0"
#define PUSH "/ipfs/id/push/1.0.0"
#define PING "/ipfs/ping/1.0.0"
#define PING_BYTES 32u

static node a, b;
static raw_peer peer, again;

/* Both turn until it is so. */
#define SOON(cond) UNTIL(raw_turn(&peer, &a), cond)

static const uint8_t subscribe[] = { 11, 0x0a, 9, 0x08, 1, 0x12, 5, 't', 'o', 'p', 'i', 'c' };

static const msub_host_counts *host(void) { return msub_host_count(a.host); }
static void begin(void) {
  node_init(&a, "a", 1);
  node_start(&a, true, true);
}
static void begin_connected(void) {
  begin();
  raw_connect(&peer, &a, 2);
  peer.accepts[0] = FLOODSUB;
}
static void end(void) {
  raw_close(&peer);
  node_free(&a);
}
static bool paired(void *ud) {
  (void)ud;
  return b.joins > 0 && b.pubsub > 0 && a.joins > 0 && a.pubsub > 0;
}
static void pair_up(msub_sign_policy sign) {
  node *both[2] = { &a, &b };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  a.opts.engine.sign = b.opts.engine.sign = sign;
  node_start(&a, true, true);
  node_start(&b, true, true);
  node_dial(&b, &a);
  WAIT(both, paired, NULL);
}
static unsigned frames(const raw_stream *s) {
  msub_bytes in = msub__buf_unread(&s->in);
  unsigned n = 0;
  for (uint64_t size; in.n > 0; n++) {
    int used = msub_varint_get(in, &size);
    if (used <= 0 || size > in.n - (size_t)used) break;
    in.p += (size_t)used + size;
    in.n -= (size_t)used + size;
  }
  return n;
}

/* ---- streams of a peer ---- */

static void test_streams(void) {
  static const uint8_t said[] = { 6, 0x32, 4, 'a', 'b', 'c', 'd' };
  begin_connected();
  raw_stream *s[8];
  /* none of them is ended by the peer */
  for (unsigned i = 0; i <= MSUB__HOST_IDENTIFY_INBOUND; i++) s[i] = raw_open(&peer, IDENTIFY);
  SOON(s[MSUB__HOST_IDENTIFY_INBOUND]->refused);
  SOON(s[MSUB__HOST_IDENTIFY_INBOUND - 1]->fin);
  for (unsigned i = 0; i < MSUB__HOST_IDENTIFY_INBOUND; i++) CHECK(!s[i]->refused && s[i]->protocol[0]);
  for (unsigned i = 0; i < MSUB__HOST_IDENTIFY_INBOUND; i++) raw_finish(&peer, s[i]);
  SOON(!s[0]->y && !s[MSUB__HOST_IDENTIFY_INBOUND - 1]->y);
  s[0] = raw_open(&peer, IDENTIFY);
  SOON(s[0]->fin);
  for (unsigned i = 0; i <= MSUB__HOST_PUSH_INBOUND; i++) s[i] = raw_open(&peer, PUSH);
  SOON(s[MSUB__HOST_PUSH_INBOUND]->refused);
  for (unsigned i = 0; i < MSUB__HOST_PUSH_INBOUND; i++) {
    CHECK(!s[i]->refused && s[i]->y);
    raw_write(&peer, s[i], said, sizeof said);
    raw_finish(&peer, s[i]);
    SOON(!s[i]->y);
    CHECK(s[i]->why == MSUB_OK);
  }
  CHECK(a.identified == MSUB__HOST_PUSH_BURST && MSUB__HOST_PUSH_BURST == MSUB__HOST_PUSH_INBOUND);
  s[0] = raw_open(&peer, PUSH); /* there would be room, but it is one too many in a row */
  SOON(!s[0]->y);
  CHECK(!s[0]->refused && s[0]->why != MSUB_OK && a.identified == MSUB__HOST_PUSH_BURST);
  for (unsigned i = 0; i <= MSUB__HOST_PING_INBOUND; i++) s[i] = raw_open(&peer, PING);
  SOON(s[MSUB__HOST_PING_INBOUND]->refused);
  for (unsigned i = 0; i < MSUB__HOST_PING_INBOUND; i++) CHECK(!s[i]->refused && s[i]->protocol[0]);
  CHECK(!peer.closed && host()->protocol_faults == 0);
  end();
}

static unsigned pongs, lost;
static void pong(void *ud, uint64_t rtt) {
  (void)ud;
  pongs++;
  lost += rtt == MSUB_NEVER;
}

static void test_pings(void) {
  static const uint8_t pings[MSUB__HOST_PING_QUEUED + PING_BYTES];
  begin_connected();
  for (int d = -1; d <= 1; d++) { /* so many at once */
    size_t n = MSUB__HOST_PING_QUEUED + (size_t)d * PING_BYTES;
    raw_stream *s = raw_open(&peer, PING);
    SOON(s->protocol[0]);
    raw_write(&peer, s, pings, n);
    if (d > 0) {
      SOON(!s->y);
      CHECK(s->why != MSUB_OK && msub__buf_len(&s->in) == 0);
    } else {
      SOON(msub__buf_len(&s->in) == n);
      raw_finish(&peer, s);
      SOON(!s->y);
    }
  }
  peer.accepts[1] = PING; /* and never echoes */
  msub_bytes id = msub_key_peer_id(peer.key);
  for (unsigned i = 1; i <= MSUB__HOST_PINGS + 1; i++)
    CHECK(msub_host_ping(a.host, id, pong, NULL) == (i > MSUB__HOST_PINGS ? MSUB_ERR_LIMIT : MSUB_OK));
  raw_for(&peer, &a, 50);
  CHECK(pongs == 0 && !peer.closed);
  (void)shutdown(peer.fd, SHUT_RDWR);
  SOON(pongs == MSUB__HOST_PINGS);
  CHECK(lost == pongs);
  end();
}

static void come_again(void) { raw_write(&peer, raw_open(&peer, FLOODSUB), subscribe, sizeof subscribe); }

/* A peer that comes with new streams gets our hello again, a few times in a row. */
static void test_hellos(void) {
  begin_connected();
  SOON(raw_inbound(&peer, FLOODSUB) && frames(raw_inbound(&peer, FLOODSUB)) == 1);
  const raw_stream *in = raw_inbound(&peer, FLOODSUB);
  for (unsigned try = 0;; try++) {
    CHECK(try < 20);
    unsigned first = frames(in);
    uint64_t begun = now_ms();
    for (unsigned i = 1; i <= MSUB__HOST_HELLOS; i++) {
      come_again();
      SOON(frames(in) == first + i);
    }
    for (unsigned i = 0; i < 2; i++) {
      come_again();
      raw_for(&peer, &a, 50);
    }
    bool slow = now_ms() - begun >= MS(MSUB__HOST_HELLO_NS); /* then they were not in a row */
    if (!slow) CHECK(frames(in) == first + MSUB__HOST_HELLOS);
    raw_for(&peer, &a, (unsigned)MS(MSUB__HOST_HELLO_NS) + 100);
    if (!slow) break;
  }
  unsigned before = frames(in);
  come_again();
  SOON(frames(in) == before + 1);
  CHECK(!peer.closed && raw_inbound(&peer, FLOODSUB) == in);
  end();
}

/* ---- of the program ---- */

static void test_listeners(void) {
  const char *why;
  begin();
  for (unsigned i = 2; i <= MSUB__HOST_LISTENERS + 1; i++)
    CHECK(msub_host_listen(a.host, "/ip4/127.0.0.1/tcp/0", &why) == (i > MSUB__HOST_LISTENERS ? MSUB_ERR_LIMIT : MSUB_OK));
  char addr[MSUB_MULTIADDR_TEXT];
  MUST(msub_host_addr(a.host, MSUB__HOST_LISTENERS - 1, addr, sizeof addr));
  CHECK(msub_host_addr(a.host, MSUB__HOST_LISTENERS, addr, sizeof addr) == MSUB_ERR_NOTFOUND);
  for (unsigned i = 1; i <= MSUB__HOST_KEEPS + 1; i++) { /* not turned: none is dialled */
    (void)snprintf(addr, sizeof addr, "/ip4/127.0.0.1/tcp/%u", i);
    CHECK(msub_host_keep(a.host, addr) == (i > MSUB__HOST_KEEPS ? MSUB_ERR_LIMIT : MSUB_OK));
  }
  node_free(&a);
}

/* ---- a control lane that nobody empties ---- */

#define LANE KIB
#define FRAME 17u /* of a subscription to six bytes, its length included */

/* The peer takes nothing more, and its window is used up. */
static uint64_t stop_reading(void) {
  node_init(&a, "a", 1);
  a.opts.lane_bytes[MSUB_LANE_CONTROL] = LANE;
  node_start(&a, true, true);
  raw_connect(&peer, &a, 2);
  peer.accepts[0] = FLOODSUB;
  raw_stream *s = raw_open(&peer, FLOODSUB);
  raw_write(&peer, s, subscribe, sizeof subscribe);
  SOON(a.joins == 1 && raw_inbound(&peer, FLOODSUB) && frames(raw_inbound(&peer, FLOODSUB)) >= 1);
  raw_for(&peer, &a, 20);
  raw_inbound(&peer, FLOODSUB)->deaf = true;
  uint64_t begun = now_ms();
  for (uint32_t i = 0; i < 3; i++) CHECK(node_publish(&a, i, 150 * KIB));
  raw_for(&peer, &a, 50);
  return begun;
}
static void join_one(unsigned i) {
  char name[16];
  msub_topic t;
  (void)snprintf(name, sizeof name, "%06u", i);
  MUST(msub_join(msub_host_engine(a.host), 0, msub_str(name), node_policy(), NULL, msub_host_now(a.host), &t));
}

static void test_control(void) {
  /* at so many times the bound at once: the loop has no turn between */
  (void)stop_reading();
  unsigned n = 0;
  while (host()->slow_closed == 0) {
    CHECK(n < 2 * MSUB__HOST_CONTROL_HARD * LANE / FRAME);
    join_one(n++);
  }
  printf("%u subscriptions in %u bytes\n", n - 1, MSUB__HOST_CONTROL_HARD * LANE);
  CHECK((n - 1) * FRAME <= MSUB__HOST_CONTROL_HARD * LANE && n * FRAME > MSUB__HOST_CONTROL_HARD * LANE);
  end();
  /* at the bound: it stays; over it: not for longer than the grace */
  uint64_t begun = stop_reading();
  for (n = 0; n < LANE / FRAME; n++) join_one(n);
  raw_for(&peer, &a, (unsigned)MS(MSUB__HOST_CONTROL_GRACE_NS) + 500);
  CHECK(host()->slow_closed == 0 && !peer.closed);
  join_one(n);
  SOON(host()->slow_closed == 1);
  CHECK(now_ms() - begun >= MS(MSUB__HOST_CONTROL_GRACE_NS));
  end();
  begun = stop_reading();
  for (n = 0; n < 2 * LANE / FRAME; n++) join_one(n);
  SOON(host()->slow_closed == 1);
  CHECK(now_ms() - begun >= MS(MSUB__HOST_CONTROL_GRACE_NS));
  end();
}

/* ---- one step of the loop ---- */

static unsigned called;
static void call(msub_host *h, void *arg) {
  (void)h;
  (void)arg;
  called++;
}

static void test_steps(void) {
  /* calls of other threads */
  begin();
  for (int d = -1; d <= 1; d++) {
    unsigned n = (unsigned)((int)MSUB__HOST_STEP_CALLS + d);
    called = 0;
    for (unsigned i = 0; i < n; i++) MUST(msub_host_post(a.host, call, NULL));
    (void)msub_host_turn(a.host, 0);
    CHECK(called == (d > 0 ? MSUB__HOST_STEP_CALLS : n));
    while (msub_host_turn(a.host, 0)) {}
    CHECK(called == n);
  }
  node_free(&a);
  /* events of the transport: dials that are refused */
  node_init(&a, "a", 1);
  a.opts.max_dials = 3 * MSUB__HOST_STEP_EVENTS;
  a.opts.max_outbound = 1000;
  node_start(&a, false, true);
  for (unsigned i = 0; i < a.opts.max_dials; i++) MUST(msub_host_dial(a.host, "/ip4/127.0.0.1/tcp/1", i));
  unsigned most = 0;
  while (a.dial_failed < a.opts.max_dials) {
    unsigned before = a.dial_failed;
    sleep_ms(50);
    (void)msub_host_turn(a.host, 0);
    if (a.dial_failed - before > most) most = a.dial_failed - before;
  }
  printf("at most %u events in a step\n", most);
  CHECK(most <= MSUB__HOST_STEP_EVENTS);
  node_free(&a);
  /* bytes, then verdicts */
  node *only_b[1] = { &b };
  pair_up(MSUB_STRICT_SIGN);
  for (uint32_t i = 0; i < 100; i++) {
    CHECK(node_publish(&b, i, 10 * KIB));
    turn_for(only_b, 1, 0);
  }
  turn_for(only_b, 1, 50);
  uint64_t bytes = 0;
  while (a.messages < 100) {
    uint64_t before = host()->bytes_in;
    (void)msub_host_turn(a.host, 0);
    if (host()->bytes_in - before > bytes) bytes = host()->bytes_in - before;
    turn_for(only_b, 1, 0);
  }
  printf("at most %llu bytes in a step\n", (unsigned long long)bytes);
  CHECK(bytes <= MSUB__HOST_STEP_BYTES + MSUB__TRANSPORT_READ);
  most = 0;
  for (uint32_t i = 100, all = 100 + 3 * MSUB__HOST_STEP_VERDICTS; a.messages < all;) {
    uint32_t before = a.messages;
    for (unsigned k = 0; k < 50 && i < all; k++) i += node_publish(&b, i, 100);
    turn_for(only_b, 1, 0);
    (void)msub_host_turn(a.host, 0);
    if (a.messages - before > most) most = a.messages - before;
  }
  printf("at most %u verdicts in a step\n", most);
  CHECK(most <= MSUB__HOST_STEP_VERDICTS);
  node_free(&a);
  node_free(&b);
  /* timers: many handshakes whose time is over */
  enum { CROWD = 300 };
  int fd[CROWD];
  node *only_a[1] = { &a };
  node_init(&a, "a", 1);
  a.opts.max_inbound = CROWD + 10;
  a.opts.max_pending_inbound = CROWD;
  a.opts.handshake_timeout_ns = 2 * MSUB__S;
  node_start(&a, true, true);
  for (unsigned i = 0; i < CROWD; i++) {
    fd[i] = raw_tcp(&a);
    UNTIL(turn_for(only_a, 1, 1), host()->accepted + 32 > i);
  }
  UNTIL(turn_for(only_a, 1, 1), host()->accepted == CROWD);
  sleep_ms(2100);
  uint64_t late = 0;
  while (host()->handshakes_late < CROWD) {
    uint64_t before = host()->handshakes_late;
    (void)msub_host_turn(a.host, 0);
    if (host()->handshakes_late - before > late) late = host()->handshakes_late - before;
  }
  printf("at most %llu timers in a step\n", (unsigned long long)late);
  CHECK(late <= MSUB__HOST_STEP_TIMERS);
  for (unsigned i = 0; i < CROWD; i++) (void)close(fd[i]);
  node_free(&a);
}

/* What is queued shares a send, up to so many records of it. */
static void test_records(void) {
  node *both[2] = { &a, &b };
  pair_up(MSUB_STRICT_NO_SIGN);
  transfer(both, 2, &a, &b, 0, 100, 200 * KIB);
  printf("%llu records in %llu writes\n", (unsigned long long)host()->records_out, (unsigned long long)host()->writes);
  CHECK(host()->records_out <= host()->writes * MSUB__HOST_SEND_RECORDS && host()->records_out > 2 * host()->writes);
  node_free(&a);
  node_free(&b);
}

/* ---- blame ---- */

static void test_blame(void) {
  static const uint8_t no_yamux[MSUB__YAMUX_HEADER] = { 1 };
  node *only[1] = { &a };
  begin();
  unsigned n = 0;
  for (; msub_count(msub_host_engine(a.host))->disconnects == 0; n++) {
    CHECK(n < 100 / MSUB__HOST_BLAME_CONNECTION + 1);
    raw_connect(&peer, &a, 66);
    raw_record(&peer, no_yamux, sizeof no_yamux);
    SOON(peer.closed);
    raw_close(&peer);
    UNTIL(turn_for(only, 1, 1), host()->connections == 0);
    CHECK(host()->protocol_faults == n + 1);
  }
  CHECK(n >= 100 / MSUB__HOST_BLAME_CONNECTION);
  raw_connect(&peer, &a, 66);
  SOON(peer.closed && host()->half_open == 0);
  CHECK(a.connected == n);
  end();
}

/* Handshakes that fail are counted and cost nobody anything, whatever MSUB__HOST_BLAME_HANDSHAKE says: who comes
 * from an address is not proven. */
static void test_handshakes(void) {
  node *only[1] = { &a };
  begin();
  unsigned n = 4 * 100 / MSUB__HOST_BLAME_HANDSHAKE + 20;
  for (unsigned i = 0; i < n; i++) {
    int fd = raw_tcp(&a);
    CHECK(send(fd, "\x05hello", 6, MSG_NOSIGNAL) == 6);
    UNTIL(turn_for(only, 1, 1), raw_tcp_ended(fd) && host()->half_open == 0);
    (void)close(fd);
  }
  CHECK(msub_count_reason(msub_host_engine(a.host), MSUB_R_HANDSHAKE) == n && host()->handshakes_failed == n);
  CHECK(host()->accept_refused == 0 && host()->accepted == n);
  raw_connect(&peer, &a, 2);
  SOON(a.connected == 1);
  end();
}

/* ---- times, from below: what has to last may last longer on a busy machine ---- */

static unsigned resets, let_live;
static void reset_some(raw_peer *p, raw_stream *s) {
  (void)p;
  if (strcmp(s->protocol, FLOODSUB) != 0 || ++resets == let_live) return;
  raw_reset(s);
}

static void test_seconds(void) {
  /* "na" may be read for a while */
  begin_connected();
  uint64_t begun = now_ms();
  raw_stream *s = raw_open(&peer, "/nothing/1.0.0");
  SOON(!s->y);
  CHECK(s->refused && now_ms() - begun >= MS(MSUB__HOST_REFUSED_NS));
  /* a ping that is not answered */
  peer.accepts[1] = PING;
  uint64_t pinged = now_ms();
  pongs = lost = 0;
  MUST(msub_host_ping(a.host, msub_key_peer_id(peer.key), pong, NULL));
  /* a stream that was replaced by one on a newer connection, and that the peer does not end */
  s = raw_inbound(&peer, FLOODSUB);
  CHECK(s);
  raw_connect(&again, &a, 2);
  again.accepts[0] = FLOODSUB;
  uint64_t replaced = now_ms();
  UNTIL((raw_turn(&peer, &a), raw_turn(&again, &a)), s->fin && raw_inbound(&again, FLOODSUB));
  CHECK(s->y);
  UNTIL((raw_turn(&peer, &a), raw_turn(&again, &a)), !s->y);
  CHECK(now_ms() - replaced >= MS(MSUB__HOST_RETIRE_NS));
  UNTIL((raw_turn(&peer, &a), raw_turn(&again, &a)), pongs == 1);
  CHECK(lost == 1 && now_ms() - pinged >= MS(MSUB__HOST_PING_NS));
  raw_close(&again);
  end();
}

/* Streams that break are opened again, more slowly each time, and not for ever; one that has lived for a
 * while has all its tries again. */
static void test_steady(void) {
  begin();
  uint64_t begun = now_ms();
  raw_connect(&peer, &a, 2);
  peer.accepts[0] = FLOODSUB;
  peer.on_agreed = reset_some;
  let_live = MSUB__HOST_REOPEN_TRIES;
  SOON(resets == let_live);
  CHECK(now_ms() - begun >= MS(MSUB__HOST_REOPEN_NS) * ((1u << (MSUB__HOST_REOPEN_TRIES - 1)) - 1));
  raw_for(&peer, &a, (unsigned)MS(MSUB__HOST_STEADY_NS) + 100);
  CHECK(resets == let_live && raw_inbound(&peer, FLOODSUB));
  raw_reset(raw_inbound(&peer, FLOODSUB));
  begun = now_ms();
  SOON(resets == let_live + MSUB__HOST_REOPEN_TRIES);
  CHECK(now_ms() - begun >= MS(MSUB__HOST_REOPEN_NS) * ((1u << MSUB__HOST_REOPEN_TRIES) - 1));
  raw_for(&peer, &a, 2000);
  CHECK(resets == let_live + MSUB__HOST_REOPEN_TRIES && !peer.closed);
  end();
}

static void all_turn(void) {
  node *both[2] = { &a, &b };
  raw_turn(&peer, &a);
  turn_for(both, 2, 0);
}

/* A ping stream without a ping; and an address that is kept: a connection that has lived long forgets that
 * the ones before it had not. */
static void test_minute(void) {
  begin_connected();
  raw_stream *s = raw_open(&peer, PING);
  SOON(s->protocol[0]);
  uint64_t idle = now_ms();
  node_init(&b, "b", 3);
  b.opts.redial_min_ns = 5 * MSUB__S;
  node_start(&b, false, true);
  char addr[MSUB_MULTIADDR_TEXT];
  node_addr(&a, addr, sizeof addr);
  MUST(msub_host_keep(b.host, addr));
  msub_bytes id = msub_host_peer_id(b.host);
  for (unsigned i = 1; i <= 3; i++) { /* lost twice at once */
    UNTIL(all_turn(), b.connected == i);
    if (i < 3) UNTIL(all_turn(), msub_host_disconnect(a.host, id) == MSUB_OK);
    if (i < 3) UNTIL(all_turn(), b.disconnected == i);
  }
  uint64_t lived = now_ms();
  while (now_ms() - lived < MS(MSUB__HOST_LIVED_NS) + 100) {
    all_turn();
    CHECK(s->y || now_ms() - idle >= MS(MSUB__HOST_PING_IDLE_NS));
    sleep_ms(2);
  }
  MUST(msub_host_disconnect(a.host, id));
  uint64_t lost_at = now_ms();
  UNTIL(all_turn(), b.connected == 4);
  printf("connected again after %llu ms\n", (unsigned long long)(now_ms() - lost_at));
  CHECK(now_ms() - lost_at < MS(b.opts.redial_min_ns)); /* the next pause would be twice that, half of it at least */
  UNTIL(all_turn(), !s->y);
  CHECK(now_ms() - idle >= MS(MSUB__HOST_PING_IDLE_NS) && !peer.closed);
  node_free(&b);
  end();
}

/* U-01: all that the host allocates together. */
static void budget(void) {
  static const size_t L = 1000;
  for (int over = -1; over <= 1; over++) {
    msub__budget one;
    msub__budget_init(&one, &live_mem, L, 100);
    msub_mem m = msub__budget_mem(&one);
    void *p = m.alloc(m.ud, 400), *q = m.alloc(m.ud, (size_t)((int)(L - 500) + over));
    CHECK(p && (q != NULL) == (over <= 0) && atomic_load(&one.refused) == (over > 0));
    CHECK(atomic_load(&one.used) == (over > 0 ? 500 : (size_t)((int)L + over)));
    void *r = m.alloc(m.ud, 1);
    CHECK((r != NULL) == (over != 0));
    m.free(m.ud, r, 1);
    m.free(m.ud, q, (size_t)((int)(L - 500) + over));
    m.free(m.ud, p, 400);
    m.free(m.ud, NULL, 7);
    CHECK(atomic_load(&one.used) == 100 && m.alloc(m.ud, SIZE_MAX) == NULL && m.alloc(m.ud, 901) == NULL && atomic_load(&one.used) == 100);
    CHECK((p = m.alloc(m.ud, 900)) != NULL);
    m.free(m.ud, p, 900);
  }
}
static void *none(void *ud, size_t n) { return (void)ud, (void)n, NULL; }
static void test_memory(void) {
  enum { MANY = 420 };
  int fds[MANY];
  const msub_mem empty = { none, live_mem.free, NULL };
  msub__budget one;
  budget();
  msub__budget_init(&one, &empty, 100, 0); /* what it cannot have does not count */
  msub_mem m = msub__budget_mem(&one);
  CHECK(!m.alloc(m.ud, 50) && atomic_load(&one.used) == 0 && atomic_load(&one.refused) == 0);
  /* A host that may have so much more than it begins with: whoever comes, it is not more; and afterwards it serves. */
  begin();
  size_t had = live_bytes();
  CHECK(host()->memory_bytes == 0 && host()->memory_refused == 0);
  node_free(&a);
  node_init(&a, "a", 1);
  a.opts.max_bytes = had / 2;
  const char *why = NULL;
  CHECK(msub_host_new(&a.opts, &a.host, &why) == MSUB_ERR_NOMEM && why && a.host == NULL);
  a.opts.max_bytes = had + 400 * KIB;
  a.opts.max_pending_inbound = 64;
  node_start(&a, true, true);
  CHECK(host()->memory_bytes > had / 2 && host()->memory_bytes <= a.opts.max_bytes);
  node *alone[1] = { &a };
  for (unsigned i = 0; i < MANY; i++) {
    fds[i] = raw_tcp(&a);
    turn_for(alone, 1, 1);
    CHECK(live_bytes() <= a.opts.max_bytes && host()->memory_bytes <= a.opts.max_bytes);
  }
  turn_for(alone, 1, 50);
  CHECK(host()->memory_refused > 0);
  for (unsigned i = 0; i < MANY; i++) (void)close(fds[i]);
  turn_for(alone, 1, 200);
  uint64_t refused = host()->memory_refused;
  raw_connect(&peer, &a, 3);
  peer.accepts[0] = FLOODSUB;
  raw_for(&peer, &a, 50);
  CHECK(!peer.closed && host()->memory_refused == refused);
  end();
}

static const test_case cases[] = {
  { "U_01_memory", test_memory },
  { "streams", test_streams },     { "pings", test_pings },     { "hellos", test_hellos },
  { "listeners", test_listeners }, { "control", test_control }, { "steps", test_steps },
  { "records", test_records },     { "blame", test_blame },     { "handshakes", test_handshakes },
  { "seconds", test_seconds },     { "steady", test_steady },   { "minute", test_minute },
};

int main(int argc, char **argv) { return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv); }
