/* tests/host/test_host_bad.c: bytes that no honest peer sends, at every layer, over real sockets. usage:
 * test_host_bad CASE */
#define _GNU_SOURCE
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "host/limits.h"
#include "meshsub/rpc.h"
#include "pubsub/limits.h"
#include "raw_peer.h"
#include "wire/limits.h"

#define KIB 1024u
#define FLOODSUB "/floodsub/1.0.0"
#define HEADER "\x13/multistream/1.0.0\n"

static node a, b;
static raw_peer peer;
static uint8_t next_seed = 10;

/* Both turn until it is so. */
#define SOON(cond) UNTIL(raw_turn(&peer, &a), cond)

static void turn_a(void) {
  node *only[1] = { &a };
  turn_for(only, 1, 1);
}
static void begin(void) {
  node_init(&a, "a", 1);
  node_start(&a, true, true);
}
static const msub_counts *engine(void) { return msub_count(msub_host_engine(a.host)); }
static const msub_host_counts *host(void) { return msub_host_count(a.host); }

static void end_served(void) {
  node_still_serves(&a);
  node_free(&a);
}

static void write_frame(raw_stream *s, uint64_t announced, size_t n) {
  uint8_t head[10], *body = calloc(1, n + 1);
  raw_write(&peer, s, head, msub_varint_put(head, announced));
  raw_write(&peer, s, body, n);
  free(body);
}

/* ---- a peer that goes on with it ---- */

/* Each frame that is no RPC resets its stream and counts. With the budget spent the peer is out, and refused
 * when it comes back; another one is not. */
static void test_budget(void) {
  begin();
  raw_connect(&peer, &a, 66);
  unsigned n = 0;
  while (!peer.closed) {
    CHECK(n < 6);
    raw_stream *s = raw_open(&peer, FLOODSUB);
    write_frame(s, 4, 4); /* field number 0 */
    n++;
    SOON(!s->y || peer.closed);
    CHECK(engine()->rpcs_malformed == n);
    raw_for(&peer, &a, 20);
  }
  CHECK(n >= 4 && engine()->disconnects == 1); /* 25 of 100 each, which come back slowly */
  SOON(a.disconnected == 1 && host()->connections == 0);
  raw_close(&peer);
  /* as soon as it has said who it is */
  for (unsigned i = 0; i < 3; i++) {
    uint64_t failed = host()->handshakes_failed;
    raw_connect(&peer, &a, 66);
    SOON(peer.closed);
    CHECK(a.connected == 1 && msub_session_count(msub_host_engine(a.host)) == 0);
    CHECK(host()->connections == 0 && host()->handshakes_failed == failed + 1);
    raw_close(&peer);
  }
  /* nor do we dial it */
  char addr[MSUB_MULTIADDR_TEXT], id[MSUB_PEER_ID_TEXT];
  uint8_t seed[32];
  msub_key *key;
  memset(seed, 66, sizeof seed);
  MUST(msub_key_from_seed(seed, &key));
  (void)snprintf(addr, sizeof addr, "/ip4/127.0.0.1/tcp/9/p2p/%s", msub_peer_id_text(msub_key_peer_id(key), id));
  CHECK(msub_host_dial(a.host, addr, 1) == MSUB_ERR_REFUSED);
  msub_key_free(key);
  end_served();
}

/* The same by lengths that are over the limit: MSUB__HOST_BLAME_STREAM each. */
static void test_budget_of_lengths(void) {
  begin();
  raw_connect(&peer, &a, 67);
  unsigned n = 0;
  while (!peer.closed) {
    CHECK(n < 100 / MSUB__HOST_BLAME_STREAM + 2);
    raw_stream *s = raw_open(&peer, FLOODSUB);
    write_frame(s, MSUB__RPC_BYTES + 1 + n * 1000000, 0);
    n++;
    SOON(!s->y || peer.closed);
    CHECK(host()->protocol_faults == n);
    raw_for(&peer, &a, 20);
  }
  CHECK(n >= 100 / MSUB__HOST_BLAME_STREAM && engine()->disconnects == 1);
  raw_close(&peer);
  end_served();
}

/* ---- before there is a connection ---- */

/* These bytes and nothing more: the other side ends it. */
static void say(const char *what, const void *bytes, size_t n) {
  uint64_t failed = host()->handshakes_failed;
  int fd = raw_tcp(&a);
  CHECK(send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n);
  UNTIL(turn_a(), raw_tcp_ended(fd));
  (void)close(fd);
  UNTIL(turn_a(), host()->half_open == 0);
  if (host()->handshakes_failed != failed + 1) fprintf(stderr, "%s is no failed handshake\n", what);
  CHECK(host()->handshakes_failed == failed + 1 && host()->handshakes_late == 0 && a.connected == 0);
}
#define SAY(what, text) say(what, text, sizeof(text) - 1)

static void test_multistream(void) {
  begin();
  uint8_t line[MSUB__MSS_LINE_MAX + 4], many[64 * 16];
  /* lines as long as their first bytes say: 71 and 22 */
  SAY("another protocol", "GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: a peer of something else\r\n\r\n");
  SAY("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
             "0123456789abcdef0123456789abcdef");
  SAY("a line of nothing", "\x00");
  SAY("a line without its newline", "\x05hello");
  SAY("an endless length", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
  SAY("another header", "\x13/multistream/9.0.0\n");
  memset(line, 'x', sizeof line);
  line[0] = 0x81; /* 1,025 */
  line[1] = 0x08;
  say("a line over the limit", line, sizeof line);
  size_t n = 0;
  for (unsigned i = 0; i <= MSUB__MSS_PROPOSALS_MAX; i++)
    n += (size_t)snprintf((char *)many + n, sizeof many - n, "%c/tls/1.0.%c\n", 11, 'a' + (int)i);
  uint8_t all[sizeof HEADER + sizeof many];
  memcpy(all, HEADER, sizeof HEADER - 1);
  memcpy(all + sizeof HEADER - 1, many, n);
  say("proposals over the limit", all, sizeof HEADER - 1 + n);
  end_served();
}

#define TO_NOISE HEADER "\x07/noise\n"

static void test_noise(void) {
  begin();
  uint8_t bytes[sizeof TO_NOISE + 2 + 5000] = TO_NOISE;
  uint8_t *at = bytes + sizeof TO_NOISE - 1;
  SAY("an empty message", TO_NOISE "\x00\x00");
  SAY("half a key", TO_NOISE "\x00\x10"
                             "0123456789abcdef");
  memset(at + 2, 7, 5000);
  at[0] = 4500 >> 8;
  at[1] = 4500 & 0xff;
  say("a payload over the limit", bytes, sizeof TO_NOISE - 1 + 2 + 4500);
  /* a key; then, whatever we answered, what cannot be the third message */
  at[0] = 0;
  at[1] = 32;
  memset(at + 34, 9, 100);
  at[34] = 0;
  at[35] = 64;
  say("a third message that nobody sealed", bytes, sizeof TO_NOISE - 1 + 34 + 2 + 64);
  memset(at + 2, 0, 32);
  say("the key of all zeros", bytes, sizeof TO_NOISE - 1 + 34 + 2 + 64);
  end_served();
}

/* ---- on a connection ---- */

/* The connection ends, with a fault that was counted. */
static void ends_with_fault(const char *what) {
  uint64_t faults = host()->protocol_faults;
  SOON(peer.closed);
  SOON(host()->connections == 0);
  if (host()->protocol_faults == faults) fprintf(stderr, "%s is no fault\n", what);
  CHECK(host()->protocol_faults == faults + 1 && engine()->disconnects == 0);
  raw_close(&peer);
}
static void connect_new(void) {
  raw_connect(&peer, &a, next_seed++);
  SOON(host()->connections == 1);
}

static void test_records(void) {
  begin();
  msub_mem mem = msub__mem_default();
  static const uint8_t not_sealed[] = { 0, 32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
                                        16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32 };
  static const uint8_t no_tag[] = { 0, 3, 1, 2, 3 }, empty[] = { 0, 0 };
  static const struct {
    const char *what;
    const uint8_t *p;
    size_t n;
  } cases[] = { { "a record that nobody sealed", not_sealed, sizeof not_sealed },
                { "a record without room for a tag", no_tag, sizeof no_tag },
                { "an empty record", empty, sizeof empty } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    connect_new();
    MUST(msub__buf_append(&peer.out, &mem, (msub_bytes){ cases[i].p, cases[i].n }));
    ends_with_fault(cases[i].what);
  }
  end_served();
}

static void frame_of(uint8_t *f, uint8_t version, uint8_t type, uint16_t flags, uint32_t stream, uint32_t n) {
  const uint8_t head[MSUB__YAMUX_HEADER] = {
    version,
    type,
    (uint8_t)(flags >> 8),
    (uint8_t)flags,
    (uint8_t)(stream >> 24),
    (uint8_t)(stream >> 16),
    (uint8_t)(stream >> 8),
    (uint8_t)stream,
    (uint8_t)(n >> 24),
    (uint8_t)(n >> 16),
    (uint8_t)(n >> 8),
    (uint8_t)n,
  };
  memcpy(f, head, sizeof head);
}

static void test_yamux(void) {
  enum { DATA, WINDOW, PING, GOAWAY };
  enum { SYN = 1, ACK = 2 };
  static const struct {
    const char *what;
    uint8_t version, type;
    uint16_t flags;
    uint32_t stream, n;
  } cases[] = { { "another version", 1, DATA, SYN, 1, 0 },
                { "a type that there is not", 0, 9, 0, 1, 0 },
                { "data of the session", 0, DATA, 0, 0, 4 },
                { "a stream with our parity", 0, WINDOW, SYN, 2, 0 },
                { "a frame beyond its stream's window", 0, DATA, SYN, 1, MSUB__YAMUX_WINDOW + 1 } };
  begin();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint8_t frame[MSUB__YAMUX_HEADER];
    connect_new();
    frame_of(frame, cases[i].version, cases[i].type, cases[i].flags, cases[i].stream, cases[i].n);
    raw_record(&peer, frame, sizeof frame);
    ends_with_fault(cases[i].what);
  }
  /* a window that grows over 32 bits */
  connect_new();
  uint8_t two[2 * MSUB__YAMUX_HEADER];
  frame_of(two, 0, WINDOW, SYN, 1, 0);
  frame_of(two + MSUB__YAMUX_HEADER, 0, WINDOW, 0, 1, UINT32_MAX);
  raw_record(&peer, two, sizeof two);
  ends_with_fault("a window over 32 bits");
  end_served();
}

/* What is said of itself: the stream ends, the connection stays. */
static unsigned answers;
static void answer_garbage(raw_peer *p, raw_stream *s) {
  static const uint8_t garbage[] = { 5, 0x0a, 200, 1, 2, 3 };
  if (strcmp(s->protocol, "/ipfs/id/1.0.0") != 0) return;
  answers++;
  raw_write(p, s, garbage, sizeof garbage);
  raw_finish(p, s);
}

static void test_identify(void) {
  begin();
  raw_connect(&peer, &a, next_seed++);
  peer.accepts[0] = "/ipfs/id/1.0.0";
  peer.on_agreed = answer_garbage;
  SOON(answers == 1 && host()->protocol_faults == 1);
  static const uint8_t garbage[] = { 5, 0x0a, 200, 1, 2, 3 };
  raw_stream *s = raw_open(&peer, "/ipfs/id/push/1.0.0");
  raw_write(&peer, s, garbage, sizeof garbage);
  raw_finish(&peer, s);
  SOON(!s->y);
  CHECK(host()->protocol_faults == 2);
  s = raw_open(&peer, "/ipfs/id/push/1.0.0");
  write_frame(s, MSUB__IDENTIFY_MESSAGE_MAX + 1, 0);
  SOON(!s->y);
  CHECK(host()->protocol_faults == 3);
  CHECK(a.identified == 0 && a.disconnected == 0 && !peer.closed);
  raw_close(&peer);
  end_served();
}

/* On a pubsub stream. */
static void test_rpc(void) {
  static const uint8_t endless[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
  static const uint8_t cut[] = { 3, 0x12, 9, 0 }, group[] = { 2, 0x0b, 0x0b };
  static const struct {
    const char *what;
    const uint8_t *p;
    size_t n;
  } cases[] = { { "an endless length", endless, sizeof endless },
                { "a message beyond its RPC", cut, sizeof cut },
                { "a group without its end", group, sizeof group } };
  begin();
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    connect_new();
    raw_stream *s = raw_open(&peer, FLOODSUB);
    raw_write(&peer, s, cases[i].p, cases[i].n);
    SOON(!s->y);
    if (engine()->rpcs_malformed + host()->protocol_faults != i + 1) fprintf(stderr, "%s: no fault\n", cases[i].what);
    CHECK(engine()->rpcs_malformed + host()->protocol_faults == i + 1 && !peer.closed);
    raw_close(&peer);
    UNTIL(turn_a(), host()->connections == 0);
  }
  /* G-11: the greatest frame is announced and never comes: it costs nothing */
  connect_new();
  raw_for(&peer, &a, 100);
  size_t before = live_bytes();
  for (unsigned i = 0; i < MSUB__HOST_PUBSUB_INBOUND; i++) write_frame(raw_open(&peer, FLOODSUB), MSUB__RPC_BYTES, 1);
  raw_for(&peer, &a, 200);
  printf("%zu bytes for %u frames of 1 MiB of which one byte came\n", live_bytes() - before, MSUB__HOST_PUBSUB_INBOUND);
  CHECK(live_bytes() - before < 64 * KIB && !peer.closed && host()->streams >= MSUB__HOST_PUBSUB_INBOUND);
  raw_close(&peer);
  end_served();
}

/* ---- many ---- */

static void descriptors(rlim_t n) {
  struct rlimit lim;
  CHECK(getrlimit(RLIMIT_NOFILE, &lim) == 0);
  if (lim.rlim_cur >= n) return;
  if (lim.rlim_max < n) {
    printf("skipped: %llu descriptors are needed, %llu allowed\n", (unsigned long long)n,
           (unsigned long long)lim.rlim_max);
    exit(77);
  }
  lim.rlim_cur = n;
  CHECK(setrlimit(RLIMIT_NOFILE, &lim) == 0);
}

#define CROWD 2000u

/* N-11: two thousand that connect and say nothing, or only begin: each ends at its deadline and its descriptor
 * comes back. */
static void test_half_open(void) {
  static int fd[CROWD];
  node *only[1] = { &a };
  descriptors(2 * CROWD + 200);
  node_init(&a, "a", 1);
  a.opts.max_inbound = CROWD + 10;
  a.opts.max_pending_inbound = CROWD / MSUB__HOST_WAITING + 1;
  a.opts.handshake_timeout_ns = 10 * MSUB__S;
  node_start(&a, true, true);
  turn_for(only, 1, 10);
  size_t fds = open_fds(), bytes = live_bytes();
  for (unsigned i = 0; i < CROWD; i++) {
    fd[i] = raw_tcp(&a);
    if (i % 2) CHECK(send(fd[i], TO_NOISE, i % 4 == 1 ? sizeof TO_NOISE - 1 : 20, MSG_NOSIGNAL) > 0);
    UNTIL(turn_a(), host()->accepted + 32 > i); /* its backlog is short */
  }
  UNTIL(turn_a(), host()->accepted == CROWD);
  printf("%llu half open, %zu bytes each\n", (unsigned long long)host()->half_open, (live_bytes() - bytes) / CROWD);
  CHECK(host()->accept_refused == 0 && host()->half_open + host()->handshakes_late == CROWD);
  uint64_t begun = now_ms();
  UNTIL(turn_a(), host()->half_open == 0);
  CHECK(host()->handshakes_late == CROWD && host()->connections == 0);
  UNTIL(turn_a(), open_fds() == fds + CROWD); /* ours are still open */
  uint64_t ms = now_ms() - begun;
  printf("all ended, and their descriptors were back, after %llu ms\n", (unsigned long long)ms);
  CHECK(ms < 20000);
  for (unsigned i = 0; i < CROWD; i++) {
    CHECK(raw_tcp_ended(fd[i]));
    (void)close(fd[i]);
  }
  CHECK(open_fds() == fds);
  end_served();
}

/* U-05, the other way: as many dials as there may be, to somebody who never answers. */
static void test_mute(void) {
  node *only[1] = { &a };
  unsigned all = MSUB__HOST_DIALS_QUEUED;
  descriptors(2 * all + 200);
  node_init(&a, "a", 1);
  a.opts.max_outbound = all + 10;
  a.opts.max_dials = all;
  a.opts.handshake_timeout_ns = 3 * MSUB__S;
  node_start(&a, true, true);
  node_init(&b, "mute", 3); /* never turned: its system accepts */
  node_start(&b, true, false);
  char addr[MSUB_MULTIADDR_TEXT];
  node_addr(&b, addr, sizeof addr);
  turn_for(only, 1, 10);
  size_t fds = open_fds();
  for (unsigned i = 0; i < all; i++) MUST(msub_host_dial(a.host, addr, i));
  CHECK(msub_host_dial(a.host, addr, 0) == MSUB_ERR_LIMIT);
  UNTIL(turn_a(), a.dial_failed == all);
  CHECK(host()->half_open == 0 && host()->dials == all && a.connected == 0);
  node_free(&b);
  UNTIL(turn_a(), open_fds() <= fds);
  end_served();
}

static const test_case cases[] = { { "budget", test_budget },
                                   { "lengths", test_budget_of_lengths },
                                   { "multistream", test_multistream },
                                   { "noise", test_noise },
                                   { "records", test_records },
                                   { "yamux", test_yamux },
                                   { "identify", test_identify },
                                   { "rpc", test_rpc },
                                   { "half_open", test_half_open },
                                   { "mute", test_mute } };

int main(int argc, char **argv) { return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv); }
