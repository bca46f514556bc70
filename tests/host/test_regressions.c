/* tests/host/test_regressions.c: mistakes of others, over the wire, by the ids of docs/security-regressions.md; more of them stand beside what
 * they are about. usage: test_regressions CASE */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "host/limits.h"
#include "raw_peer.h"
#include "wire/limits.h"

#define KIB 1024u
#define MS(ns) ((ns) / 1000000u)
#define FLOODSUB "/floodsub/1.0.0"
#define IDENTIFY "/ipfs/id/1.0.0"
#define PUSH "/ipfs/id/push/1.0.0"
#define HEADER "\x13/multistream/1.0.0\n"

enum { DATA, WINDOW, PING };
enum { SYN = 1, ACK = 2, FIN = 4, RST = 8 };

static node a, b;
static raw_peer peer;

/* Both turn until it is so. */
#define SOON(cond) UNTIL(raw_turn(&peer, &a), cond)

static const msub_host_counts *host(void) { return msub_host_count(a.host); }
static void turn_a(void) {
  node *only[1] = { &a };
  turn_for(only, 1, 1);
}
static void begin(void) {
  node_init(&a, "a", 1);
  node_start(&a, true, true);
  turn_a();
}
static void end_served(void) {
  node_still_serves(&a);
  node_free(&a);
}

static uint8_t *frame(uint8_t *f, uint8_t type, uint16_t flags, uint32_t stream, uint32_t n) {
  const uint8_t head[MSUB__YAMUX_HEADER] = { 0, type, (uint8_t)(flags >> 8), (uint8_t)flags, (uint8_t)(stream >> 24), (uint8_t)(stream >> 16),
                                             (uint8_t)(stream >> 8), (uint8_t)stream, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
  memcpy(f, head, sizeof head);
  return f + sizeof head;
}

/* Writes what is sealed and reads nothing; the node turns. false: the other side has ended it. */
static bool push(void) {
  for (;;) {
    msub_bytes out = msub__buf_unread(&peer.out);
    if (out.n == 0) return true;
    ssize_t n = send(peer.fd, out.p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return false;
    if (n > 0) msub__buf_consume(&peer.out, (size_t)n);
    turn_a();
    if (host()->connections == 0) return false;
  }
}
static size_t more_than(size_t before) { return live_bytes() > before ? live_bytes() - before : 0; }

/* A peer that accepts nothing; the streams that the node proposed to it are over. */
static void connect_quiet(uint8_t seed) {
  raw_connect(&peer, &a, seed);
  SOON(peer.n >= 2 && host()->streams == 0); /* identify and pubsub */
}

/* ---- yamux ---- */

/* Streams and pings from somebody who reads nothing: memory stays flat, the connection ends. */
static void test_never_reading(void) {
  static uint8_t frames[2 * 200 * MSUB__YAMUX_HEADER];
  begin();
  connect_quiet(2);
  size_t before = live_bytes(), most = 0;
  uint64_t begun = now_ms();
  uint32_t id = 1;
  bool open = true;
  for (unsigned i = 0; i < 10000 && open; i++) {
    uint8_t *at = frames;
    for (unsigned k = 0; k < 200; k++, id += 2) at = frame(frame(at, WINDOW, SYN, id, 0), PING, SYN, 0, id);
    raw_record(&peer, frames, (size_t)(at - frames));
    open = push();
    if (more_than(before) > most) most = more_than(before);
  }
  uint64_t ms = now_ms() - begun;
  printf("%u streams, ended after %llu ms, %zu bytes more\n", id / 2, (unsigned long long)ms, most);
  CHECK(!open && ms < 30000 && most < 2048 * KIB);
  UNTIL(turn_a(), host()->connections == 0);
  raw_close(&peer);
  end_served();
}

/* A frame as long as a window allows, of which a byte comes now and then: it costs what came. */
static void test_drip(void) {
  begin();
  raw_connect(&peer, &a, 2);
  raw_stream *s = raw_open(&peer, FLOODSUB);
  SOON(s->protocol[0]);
  raw_for(&peer, &a, 50);
  size_t before = live_bytes();
  uint8_t head[MSUB__YAMUX_HEADER];
  (void)frame(head, DATA, 0, 1, 200 * KIB); /* the first stream that we opened */
  raw_record(&peer, head, sizeof head);
  for (unsigned i = 0; i < 50; i++) {
    raw_record(&peer, i == 0 ? "\xff" : i == 1 ? "\x0f" : "x", 1); /* an RPC of 2,047 bytes */
    raw_for(&peer, &a, 5);
  }
  printf("%zu bytes for 200 KiB of which 50 came\n", more_than(before));
  CHECK(!peer.closed && s->y && more_than(before) < 64 * KIB && host()->protocol_faults == 0);
  node_still_serves(&a);
  raw_close(&peer);
  node_free(&a);
}

static void test_pings(void) {
  enum { MANY = 200000, OF_RECORD = 1000 };
  static uint8_t frames[OF_RECORD * MSUB__YAMUX_HEADER];
  begin();
  connect_quiet(2);
  size_t before = live_bytes(), most = 0;
  uint64_t begun = now_ms(), out = host()->bytes_out;
  for (uint32_t i = 0; i < MANY; i += OF_RECORD) {
    uint8_t *at = frames;
    for (uint32_t k = 0; k < OF_RECORD; k++) at = frame(at, PING, SYN, 0, i + k);
    raw_record(&peer, frames, sizeof frames);
    CHECK(push());
    if (more_than(before) > most) most = more_than(before);
  }
  for (unsigned i = 0; i < 50; i++) turn_a();
  uint64_t ms = now_ms() - begun, replies = 2 + ms / MS(MSUB__YAMUX_PING_GAP_NS);
  printf("%d pings in %llu ms: %llu bytes answered, %zu bytes more\n", MANY, (unsigned long long)ms, (unsigned long long)(host()->bytes_out - out), most);
  CHECK(host()->bytes_out - out <= (replies + 1) * (MSUB__YAMUX_HEADER + MSUB__NOISE_OVERHEAD) && most < 256 * KIB);
  CHECK(host()->connections == 1);
  raw_close(&peer);
  end_served();
}

/* Frames that change nothing, and streams that are reset at once: the bucket empties, and the connection ends with a fault. */
static void test_rapid(void) {
  static const struct { const char *what; unsigned burst; uint8_t type; uint16_t first, second; } rows[] = {
    { "empty Data", MSUB__YAMUX_EMPTY_BURST, DATA, 0, 0 }, { "SYN, then RST", MSUB__YAMUX_RESET_BURST, WINDOW, SYN, RST },
  };
  begin();
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    uint64_t faults = host()->protocol_faults;
    connect_quiet((uint8_t)(10 + i));
    size_t before = live_bytes();
    unsigned n = 0;
    for (bool open = true; open; n++) {
      uint8_t two[2 * MSUB__YAMUX_HEADER], *at = two;
      CHECK(n < 10 * rows[i].burst);
      if (rows[i].first) at = frame(at, rows[i].type, rows[i].first, 1 + 2 * n, 0);
      at = frame(at, rows[i].type, rows[i].second, rows[i].first ? 1 + 2 * n : 1, 0);
      raw_record(&peer, two, (size_t)(at - two));
      open = n % 50 || push();
      CHECK(more_than(before) < 512 * KIB);
    }
    printf("%s: ended within %u\n", rows[i].what, n);
    CHECK(n >= rows[i].burst && host()->protocol_faults == faults + 1);
    UNTIL(turn_a(), host()->connections == 0);
    raw_close(&peer);
  }
  end_served();
}

/* U-02, U-03: as many streams as there may be and more, again and again on new connections: each costs little, one too many is refused, and
 * nothing is left. */
static void test_stream_flood(void) {
  enum { MORE = 64, ALL = MSUB__YAMUX_INBOUND_MAX + MORE };
  static uint8_t frames[ALL * MSUB__YAMUX_HEADER];
  begin();
  size_t idle = 0;
  for (unsigned round = 0; round < 20; round++) {
    connect_quiet(2);
    size_t before = live_bytes();
    uint8_t *at = frames;
    for (uint32_t i = 0; i < ALL; i++) at = frame(at, WINDOW, SYN, 1 + 2 * i, 0);
    raw_record(&peer, frames, sizeof frames);
    SOON(host()->streams == MSUB__YAMUX_INBOUND_MAX);
    raw_for(&peer, &a, 20);
    CHECK(host()->streams == MSUB__YAMUX_INBOUND_MAX && !peer.closed);
    if (round == 0) printf("%zu bytes a stream\n", more_than(before) / MSUB__YAMUX_INBOUND_MAX);
    CHECK(more_than(before) < MSUB__YAMUX_INBOUND_MAX * 2 * KIB);
    raw_close(&peer);
    UNTIL(turn_a(), host()->connections == 0 && host()->streams == 0);
    if (round == 0) idle = live_bytes(); /* with what grows once */
  }
  printf("%zu bytes more after 20 of them\n", more_than(idle));
  CHECK(more_than(idle) < 16 * KIB);
  end_served();
}

/* A peer that has mplex alone: it is told that there is none, and may have yamux. */
static void test_only_yamux(void) {
  static const char *const refused[] = { "\x0d/mplex/6.7.0\n", "\x0d/yamux/9.9.9\n" };
  begin();
  raw_connect_muxer(&peer, &a, 2, "/mplex/6.7.0");
  raw_record(&peer, HEADER, sizeof HEADER - 1);
  SOON(msub__buf_len(&peer.plain) == sizeof HEADER - 1);
  for (size_t i = 0; i < 2; i++) {
    size_t had = msub__buf_len(&peer.plain);
    raw_record(&peer, refused[i], 14);
    SOON(msub__buf_len(&peer.plain) == had + 4);
    CHECK(memcmp(msub__buf_unread(&peer.plain).p + had, "\x03na\n", 4) == 0 && a.connected == 0);
  }
  raw_record(&peer, "\x0d/yamux/1.0.0\n", 14);
  SOON(a.connected == 1);
  raw_close(&peer);
  end_served();
}

/* ---- multistream-select ---- */

static uint64_t streams_now(void) { return host()->streams; }
static void say(uint32_t id, const char *bytes, size_t n) {
  uint8_t f[MSUB__YAMUX_HEADER + 256];
  memcpy(frame(f, DATA, 0, id, (uint32_t)n), bytes, n);
  raw_record(&peer, f, MSUB__YAMUX_HEADER + n);
}

/* Proposals without end: seventeen are too many, and one after the other there is a time for all of them. */
static void test_proposals(void) {
  uint8_t syn[MSUB__YAMUX_HEADER];
  node_init(&a, "a", 1);
  CHECK(a.opts.negotiate_timeout_ns == 10 * MSUB__S);
  a.opts.negotiate_timeout_ns = 3 * MSUB__S;
  node_start(&a, true, true);
  connect_quiet(2);
  uint64_t streams = streams_now(), begun;
  (void)frame(syn, WINDOW, SYN, 1001, 0);
  raw_record(&peer, syn, sizeof syn);
  say(1001, HEADER, sizeof HEADER - 1);
  SOON(streams_now() == streams + 1);
  for (unsigned i = 0; i < MSUB__MSS_PROPOSALS_MAX; i++) say(1001, "\x03/x\n", 4);
  raw_for(&peer, &a, 50);
  CHECK(streams_now() == streams + 1);
  say(1001, "\x03/x\n", 4);
  SOON(streams_now() == streams);
  CHECK(!peer.closed);
  begun = now_ms();
  (void)frame(syn, WINDOW, SYN, 1003, 0);
  raw_record(&peer, syn, sizeof syn);
  say(1003, HEADER, sizeof HEADER - 1);
  SOON(streams_now() == streams + 1);
  for (unsigned i = 0; streams_now() == streams + 1; i++) {
    CHECK(i < MSUB__MSS_PROPOSALS_MAX);
    say(1003, "\x03/x\n", 4);
    raw_for(&peer, &a, 300);
  }
  uint64_t ms = now_ms() - begun;
  printf("a negotiation that goes on ended after %llu ms\n", (unsigned long long)ms);
  CHECK(ms + 20 >= 3000 && !peer.closed);
  raw_close(&peer);
  end_served();
}

/* "na", and then the stream stays open: ours ends at once all the same. */
static void test_hangs(void) {
  begin();
  connect_quiet(2);
  CHECK(!peer.closed && host()->connections == 1 && msub_session_count(msub_host_engine(a.host)) == 0);
  raw_close(&peer);
  end_served();
}

/* ---- the time before there is a connection ---- */

/* A byte now and then does not extend it: the deadline is of the whole handshake. */
static void test_slow_handshake(void) {
  static const char bytes[] = HEADER "\x07/noise\n";
  node_init(&a, "a", 1);
  a.opts.handshake_timeout_ns = 2 * MSUB__S;
  node_start(&a, true, true);
  size_t fds = open_fds();
  uint64_t begun = now_ms();
  int fd = raw_tcp(&a);
  for (size_t i = 0; i < sizeof bytes - 1 && !raw_tcp_ended(fd); i++) {
    if (send(fd, bytes + i, 1, MSG_NOSIGNAL) < 0) break;
    uint64_t until = now_ms() + 150;
    UNTIL(turn_a(), now_ms() >= until);
  }
  UNTIL(turn_a(), host()->handshakes_late == 1);
  uint64_t ms = now_ms() - begun;
  printf("ended after %llu ms\n", (unsigned long long)ms);
  CHECK(ms + 20 >= 2000 && ms < (sizeof bytes - 1) * 150 && host()->half_open == 0);
  UNTIL(turn_a(), raw_tcp_ended(fd));
  (void)close(fd);
  UNTIL(turn_a(), open_fds() == fds);
  end_served();
}

/* Each way in which a connection may fail to be gives its place back: places of one, used up many times over. */
static void test_places(void) {
  char addr[MSUB_MULTIADDR_TEXT], id[MSUB_PEER_ID_TEXT];
  static const char *const garbage[] = { "\x05hello", HEADER "\x07/noise\n" "\x00\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "" };
  node_init(&a, "a", 1);
  a.opts.max_pending_inbound = 1;
  a.opts.max_dials = 1;
  a.opts.handshake_timeout_ns = 2 * MSUB__S;
  node_start(&a, true, true);
  for (unsigned i = 0; i < 60; i++) {
    const char *said = garbage[i % 4];
    uint64_t failed = host()->handshakes_failed;
    int fd = raw_tcp(&a);
    if (*said) CHECK(send(fd, said, i % 4 == 1 ? sizeof HEADER - 1 + 9 : strlen(said), MSG_NOSIGNAL) > 0);
    if (!*said || i % 4 == 1) (void)shutdown(fd, SHUT_RDWR);
    UNTIL(turn_a(), host()->handshakes_failed == failed + 1 && host()->half_open == 0);
    (void)close(fd);
  }
  uint16_t port;
  int silent = node_silent_place(&port), stranger;
  node_init(&b, "b", 3); /* nobody here has the id that is dialled */
  node_start(&b, true, false);
  for (unsigned round = 0; round < 3; round++)
    for (unsigned how = 0; how < 4; how++) {
      unsigned before = a.dial_failed;
      if (how == 0) (void)snprintf(addr, sizeof addr, "/ip4/127.0.0.1/tcp/1");
      else if (how == 1) (void)snprintf(addr, sizeof addr, "/ip4/127.0.0.1/tcp/%u", port);
      else node_addr(&b, addr, sizeof addr);
      if (how == 2) {
        char *p2p = strstr(addr, "/p2p/");
        CHECK(p2p);
        (void)snprintf(p2p, sizeof addr - (size_t)(p2p - addr), "/p2p/%s", msub_peer_id_text(msub_key_peer_id(a.key), id));
      }
      if (how == 3) { /* it is closed while it shakes hands */
        (void)snprintf(addr, sizeof addr, "/ip4/127.0.0.1/tcp/%u", port);
        if (msub_host_dial(a.host, addr, 1) != MSUB_OK) continue;
        struct pollfd p = { .fd = silent, .events = POLLIN };
        while (poll(&p, 1, 0) == 1 && (stranger = accept(silent, NULL, NULL)) >= 0) (void)close(stranger);
      } else if (msub_host_dial(a.host, addr, 1) != MSUB_OK) { /* to itself: it is refused at once */
        continue;
      }
      node *both[2] = { &a, &b };
      UNTIL(turn_for(both, 2, 1), a.dial_failed == before + 1);
    }
  node_dial(&a, &b);
  node *both[2] = { &a, &b };
  UNTIL(turn_for(both, 2, 1), a.connected == 1);
  CHECK(host()->half_open == 0 && host()->dial_failed >= 6);
  node_free(&b);
  (void)close(silent);
  end_served();
}

/* ---- identify ---- */

static unsigned answers;
static raw_stream *answering;
static void begin_answer(raw_peer *p, raw_stream *s) {
  static const uint8_t most[] = { 0xc0, 0x3e, 0x0a }; /* 8,000 bytes, of which there is one */
  if (strcmp(s->protocol, IDENTIFY) != 0) return;
  answers++;
  answering = s;
  raw_write(p, s, most, sizeof most);
}

/* An answer that was announced and comes a byte at a time: it costs what came, and has its time. */
static void test_slow_identify(void) {
  begin();
  raw_connect(&peer, &a, 2);
  peer.accepts[0] = IDENTIFY;
  peer.on_agreed = begin_answer;
  SOON(answers == 1);
  uint64_t begun = now_ms();
  size_t before = live_bytes();
  while (answering->y) {
    CHECK(now_ms() - begun < WITHIN_MS && more_than(before) < 64 * KIB);
    raw_write(&peer, answering, "x", 1);
    raw_for(&peer, &a, 100);
  }
  uint64_t ms = now_ms() - begun;
  printf("ended after %llu ms\n", (unsigned long long)ms);
  CHECK(ms + 50 >= MS(MSUB__IDENTIFY_NS) && a.identified == 0 && !peer.closed && host()->connections == 1);
  raw_close(&peer);
  end_served();
}

/* Pushes without end: a few in a row are read, then one in ten seconds. */
static void test_pushes(void) {
  enum { MANY = 200 };
  static const uint8_t said[] = { 6, 0x32, 4, 'a', 'b', 'c', 'd' };
  begin();
  connect_quiet(2);
  uint64_t begun = now_ms();
  size_t before = live_bytes();
  for (unsigned i = 0; i < MANY; i++) {
    raw_stream *s = raw_open(&peer, PUSH);
    raw_write(&peer, s, said, sizeof said);
    raw_finish(&peer, s);
    SOON(!s->y || peer.closed);
    CHECK(!peer.closed);
  }
  unsigned most = MSUB__HOST_PUSH_BURST + 1 + (unsigned)((now_ms() - begun) / MS(MSUB__IDENTIFY_PUSH_NS));
  printf("%u of %d pushes were read, %zu bytes more\n", a.identified, MANY, more_than(before));
  CHECK(a.identified >= MSUB__HOST_PUSH_BURST && a.identified <= most && more_than(before) < 64 * KIB);
  raw_close(&peer);
  end_served();
}

static const test_case cases[] = {
  { "Y_01_never_reading", test_never_reading },
  { "Y_05_drip", test_drip },
  { "Y_08_pings", test_pings },
  { "Y_13_rapid", test_rapid },
  { "Y_16_only_yamux", test_only_yamux },
  { "M_06_proposals", test_proposals },
  { "M_07_hangs", test_hangs },
  { "N_11_slow_handshake", test_slow_handshake },
  { "I_03_slow_identify", test_slow_identify },
  { "I_07_pushes", test_pushes },
  { "U_02_stream_flood", test_stream_flood },
  { "U_05_places", test_places },
};

int main(int argc, char **argv) { return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv); }
