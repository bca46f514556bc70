/* tests/host/test_host_raw.c: a host against a peer that does one thing differently. usage: test_host_raw
 * CASE */
#include "host/limits.h"
#include "meshsub/rpc.h"
#include "raw_peer.h"
#include "wire/identify.h"
#include <string.h>

#define KIB 1024u
#define FLOODSUB "/floodsub/1.0.0"

static node a;
static raw_peer peer;

static void begin(void) { node_init(&a, "a", 1); }
static void begin_connected(void) {
  node_start(&a, true, true);
  raw_connect(&peer, &a, 2);
}
static void end(void) {
  raw_close(&peer);
  node_free(&a);
}

static size_t sessions(void) { return msub_session_count(msub_host_engine(a.host)); }
static bool opened_once(raw_peer *p, node *n) {
  (void)n;
  return p->opened >= 1;
}
static bool has_stream(raw_peer *p, node *n) {
  (void)n;
  return raw_inbound(p, FLOODSUB) != NULL;
}
static bool joined(raw_peer *p, node *n) {
  (void)p;
  return n->joins > 0;
}
static bool left(raw_peer *p, node *n) {
  (void)p;
  return n->leaves > 0;
}
static bool gone(raw_peer *p, node *n) {
  (void)n;
  return p->closed;
}

/* Both turn until it is so. */
#define SOON(cond) UNTIL(raw_turn(&peer, &a), cond)

/* A hello: one subscription to "topic", with its length prefix. */
static const uint8_t subscribe[] = { 11, 0x0a, 9, 0x08, 1, 0x12, 5, 't', 'o', 'p', 'i', 'c' };
static const uint8_t unsubscribe[] = { 11, 0x0a, 9, 0x08, 0, 0x12, 5, 't', 'o', 'p', 'i', 'c' };

/* The frames in what came on a stream. Returns how many; *whole: none is cut off. */
static unsigned frames(const raw_stream *s, size_t *messages) {
  msub_bytes in = msub__buf_unread(&s->in);
  unsigned n = 0;
  *messages = 0;
  for (uint64_t size; in.n > 0; n++) {
    int used = msub_varint_get(in, &size);
    if (used <= 0 || size > in.n - (size_t)used) break;
    msub_rpc_counts counts;
    MUST(msub_rpc_scan((msub_bytes){ in.p + used, (size_t)size }, NULL, &counts));
    *messages += counts.publish;
    in.p += (size_t)used + size;
    in.n -= (size_t)used + size;
  }
  return n;
}

/* The peer speaks no pubsub: no session, the connection stays. Then it opens a stream itself: ours is offered
 * again. */
static void test_refused(void) {
  begin();
  begin_connected();
  CHECK(raw_until(&peer, &a, opened_once, WITHIN_MS));
  SOON(sessions() == 0);
  raw_for(&peer, &a, 500);
  CHECK(sessions() == 0 && !peer.closed && a.pubsub == 0 && peer.opened == 1);
  raw_stream *deaf = raw_open(&peer, FLOODSUB); /* it only talks */
  raw_write(&peer, deaf, subscribe, sizeof subscribe);
  SOON(a.joins == 1);
  raw_for(&peer, &a, 100);
  CHECK(sessions() == 1 && a.joins == 1 && a.pubsub == 0);
  raw_reset(deaf);
  SOON(sessions() == 0);
  CHECK(a.leaves == 1 && !peer.closed);
  a.joins = 0;
  peer.accepts[0] = FLOODSUB;
  raw_stream *s = raw_open(&peer, FLOODSUB);
  raw_write(&peer, s, subscribe, sizeof subscribe);
  CHECK(raw_until(&peer, &a, has_stream, WITHIN_MS) && raw_until(&peer, &a, joined, WITHIN_MS));
  CHECK(sessions() == 1);
  end();
}

static unsigned resets;
static void reset_at_once(raw_peer *p, raw_stream *s) {
  (void)p;
  resets++;
  raw_reset(s);
}

/* Every stream is reset as soon as it was agreed: four more are tried, then nothing until something happens.
 */
static void test_resets(void) {
  begin();
  node_start(&a, true, true);
  raw_connect(&peer, &a, 2);
  peer.accepts[0] = FLOODSUB;
  peer.on_agreed = reset_at_once;
  SOON(resets == 1 + MSUB__HOST_REOPEN_TRIES);
  raw_for(&peer, &a, 2000); /* longer than the wait before one more would be */
  CHECK(resets == 1 + MSUB__HOST_REOPEN_TRIES && !peer.closed && sessions() == 1);
  raw_stream *s = raw_open(&peer, FLOODSUB);
  raw_write(&peer, s, subscribe, sizeof subscribe);
  peer.on_agreed = NULL;
  CHECK(raw_until(&peer, &a, has_stream, WITHIN_MS) && raw_until(&peer, &a, joined, WITHIN_MS));
  CHECK(node_publish(&a, 0, KIB));
  size_t messages = 0;
  SOON(has_stream(&peer, &a) && frames(raw_inbound(&peer, FLOODSUB), &messages) >= 2 && messages == 1);
  end();
}

static void finish_at_once(raw_peer *p, raw_stream *s) { raw_finish(p, s); }

/* A peer that closes its half of every stream that we open: used as it is in the end. */
static void test_half_closes(void) {
  begin();
  node_start(&a, true, true);
  raw_connect(&peer, &a, 2);
  peer.accepts[0] = FLOODSUB;
  peer.on_agreed = finish_at_once;
  raw_stream *s = raw_open(&peer, FLOODSUB);
  raw_write(&peer, s, subscribe, sizeof subscribe);
  CHECK(raw_until(&peer, &a, joined, WITHIN_MS));
  raw_for(&peer, &a, 1500);
  CHECK(node_publish(&a, 0, KIB));
  size_t messages = 0;
  SOON(has_stream(&peer, &a) && frames(raw_inbound(&peer, FLOODSUB), &messages) >= 2 && messages == 1);
  CHECK(!raw_inbound(&peer, FLOODSUB)->fin && peer.opened <= 5);
  end();
}

/* The newest stream counts: what the older one announced ends with the newer hello; frames of the older one
 * are still heard. */
static void test_replaced(void) {
  begin();
  node_start(&a, true, true);
  raw_connect(&peer, &a, 2);
  peer.accepts[0] = FLOODSUB;
  raw_stream *first = raw_open(&peer, FLOODSUB);
  raw_write(&peer, first, subscribe, sizeof subscribe);
  CHECK(raw_until(&peer, &a, joined, WITHIN_MS));
  raw_stream *second = raw_open(&peer, FLOODSUB);
  raw_write(&peer, second, unsubscribe, sizeof unsubscribe); /* a hello without the topic */
  CHECK(raw_until(&peer, &a, left, WITHIN_MS));
  a.joins = a.leaves = 0;
  raw_write(&peer, second, subscribe, sizeof subscribe);
  CHECK(raw_until(&peer, &a, joined, WITHIN_MS));
  raw_reset(first);
  raw_for(&peer, &a, 100);
  CHECK(a.leaves == 0 && sessions() == 1);
  /* the end of the newest ends what it announced */
  raw_reset(second);
  CHECK(raw_until(&peer, &a, left, WITHIN_MS));
  CHECK(sessions() == 1 && !peer.closed);
  /* more streams than are kept: the oldest goes */
  a.joins = 0;
  raw_stream *many[6];
  for (unsigned i = 0; i < 6; i++) {
    many[i] = raw_open(&peer, FLOODSUB);
    raw_write(&peer, many[i], subscribe, sizeof subscribe);
    raw_for(&peer, &a, 20);
  }
  SOON(a.joins == 1 && !many[0]->y && !many[1]->y);
  CHECK(MSUB__HOST_PUBSUB_INBOUND == 4);
  CHECK(!many[0]->y && !many[1]->y && many[2]->y && many[5]->y && a.joins == 1 && a.leaves == 1);
  end();
}

/* A stream that breaks in the middle of a message: the message comes whole on the next one. */
static void test_again(void) {
  begin();
  a.opts.lane_bytes[MSUB_LANE_OWN] = 4u << 20;
  node_start(&a, true, true);
  raw_connect(&peer, &a, 2);
  peer.accepts[0] = FLOODSUB;
  raw_stream *s = raw_open(&peer, FLOODSUB);
  raw_write(&peer, s, subscribe, sizeof subscribe);
  CHECK(raw_until(&peer, &a, joined, WITHIN_MS) && raw_until(&peer, &a, has_stream, WITHIN_MS));
  raw_for(&peer, &a, 50);
  raw_stream *in = raw_inbound(&peer, FLOODSUB);
  in->deaf = true; /* the window fills up */
  for (uint32_t i = 0; i < 3; i++) CHECK(node_publish(&a, i, 200 * KIB));
  raw_for(&peer, &a, 200);
  raw_reset(in);
  /* the first was written as a whole, the second begun */
  size_t messages = 0;
  SOON(has_stream(&peer, &a) && frames(raw_inbound(&peer, FLOODSUB), &messages) >= 3 && messages == 2);
  raw_for(&peer, &a, 50);
  (void)frames(raw_inbound(&peer, FLOODSUB), &messages);
  CHECK(messages == 2);
  end();
}

static void write_frame(raw_stream *s, uint64_t announced, size_t n) {
  uint8_t head[10], *body = calloc(1, n + 1);
  raw_write(&peer, s, head, msub_varint_put(head, announced));
  raw_write(&peer, s, body, n);
  free(body);
}

/* Bytes that no peer sends: the stream ends, the connection and the other streams stay, until it is too much.
 */
static void test_faults(void) {
  begin();
  node_start(&a, true, true);
  raw_connect(&peer, &a, 2);
  peer.accepts[0] = FLOODSUB;
  raw_stream *s = raw_open(&peer, FLOODSUB); /* a frame over the limit is refused by its length */
  write_frame(s, (1u << 20) + 1, 0);
  SOON(!s->y);
  CHECK(s->why == MSUB_ERR_CLOSED);
  s = raw_open(&peer, FLOODSUB); /* no RPC */
  write_frame(s, 4, 4);
  SOON(!s->y);
  uint64_t faults = msub_host_count(a.host)->protocol_faults;
  CHECK(faults >= 1);
  s = raw_open(&peer, FLOODSUB);
  s->out.begin = s->out.end = 0;
  raw_write(&peer, s, "\x05hello", 6); /* no multistream: a line without its newline */
  SOON(!s->y);
  CHECK(msub_host_count(a.host)->protocol_faults == faults + 1);
  end();
}

/* ---- other protocols ---- */

static void test_protocols(void) {
  begin();
  node_start(&a, true, true);
  raw_connect(&peer, &a, 2);
  peer.accepts[0] = FLOODSUB;
  uint8_t ping[64];
  memset(ping, 7, sizeof ping);
  raw_stream *p[3];
  for (unsigned i = 0; i < 3; i++) p[i] = raw_open(&peer, "/ipfs/ping/1.0.0");
  raw_write(&peer, p[0], ping, 64);
  raw_write(&peer, p[1], ping, 33);
  SOON(msub__buf_len(&p[0]->in) >= 64 && msub__buf_len(&p[1]->in) >= 32 && p[2]->refused);
  raw_for(&peer, &a, 20);
  CHECK(msub__buf_len(&p[0]->in) == 64 && msub__buf_len(&p[1]->in) == 32);
  raw_finish(&peer, p[0]);
  SOON(!p[0]->y);
  CHECK(p[0]->why == MSUB_OK);
  /* early bytes behind an id that nobody speaks: "na", and no blame */
  raw_stream *x = raw_open(&peer, "/nothing/1.0.0");
  raw_write(&peer, x, ping, 64);
  SOON(x->refused);
  raw_for(&peer, &a, 20);
  CHECK(msub_host_count(a.host)->protocol_faults == 0);
  /* identify */
  raw_stream *id = raw_open(&peer, "/ipfs/id/1.0.0");
  SOON(id->fin);
  CHECK(msub__buf_len(&id->in) > 100);
  msub__identify_reader reader;
  msub__identify *said;
  msub_mem mem = { .alloc = NULL };
  mem = msub__mem_default();
  msub__identify_reader_init(&reader, &mem);
  MUST(msub__identify_reader_input(&reader, msub__buf_unread(&id->in)));
  MUST(msub__identify_reader_finish(&reader, &said));
  CHECK(said->n_protocols == 4 && said->n_addrs == 1 && msub__identify_supports(said, msub_str(FLOODSUB)));
  msub_peer_record record;
  MUST(msub__identify_record(said, msub_host_peer_id(a.host), &record));
  CHECK(record.n_addrs == 1 && msub__identify_key_ok(said, msub_host_peer_id(a.host)));
  CHECK(msub__identify_observed(said).n > 0);
  msub__identify_free(&mem, said);
  msub__identify_reader_fini(&reader);
  /* pushes: a few in a row are read, the rest is refused */
  static const uint8_t push[] = { 6, 0x32, 4, 'a', 'b', 0xff, 'd' };
  unsigned reset = 0;
  a.identified = 0;
  for (unsigned i = 0; i < 10; i++) {
    raw_stream *s = raw_open(&peer, "/ipfs/id/push/1.0.0");
    raw_write(&peer, s, push, sizeof push);
    raw_finish(&peer, s);
    SOON(!s->y);
    reset += s->why != MSUB_OK;
  }
  CHECK(a.identified == 4 && reset == 6 && !peer.closed);
  msub_host_peer seen;
  MUST(msub_host_peer_at(a.host, 0, &seen));
  CHECK(strcmp(seen.agent, "ab\\xffd") == 0);
  end();
}

/* More streams than one connection may have. */
static void test_streams(void) {
  begin();
  a.opts.negotiate_timeout_ns = 2000000000;
  node_start(&a, true, true);
  raw_connect(&peer, &a, 2);
  peer.accepts[0] = FLOODSUB;
  CHECK(raw_until(&peer, &a, has_stream, WITHIN_MS));
  for (unsigned i = 0; i < 256; i++) {
    msub__ystream *y;
    raw_stream *s = &peer.s[peer.n++];
    memset(s, 0, sizeof *s);
    MUST(msub__yamux_open(peer.yamux, s, &y));
    s->y = y;
    msub__yamux_announce(y); /* opened, and nothing said */
  }
  SOON(msub_host_count(a.host)->streams >= 256);
  SOON(msub_host_count(a.host)->streams <= 2); /* each had its time */
  CHECK(!peer.closed);
  end();
}

static void test_gone(void) {
  begin();
  node_start(&a, true, true);
  raw_connect(&peer, &a, 2);
  uint8_t zeros[64] = { 1 };
  msub__buf *out = &peer.out;
  raw_for(&peer, &a, 100);
  msub_mem mem = msub__mem_default();
  uint8_t *room = msub__buf_reserve(out, &mem, sizeof zeros + MSUB__NOISE_OVERHEAD);
  CHECK(room);
  memcpy(room + MSUB__NOISE_HEAD, zeros, sizeof zeros); /* no yamux: version 1 */
  int size = msub__noise_seal(peer.noise, room, sizeof zeros);
  CHECK(size > 0);
  out->end += (size_t)size;
  CHECK(raw_until(&peer, &a, gone, WITHIN_MS));
  SOON(a.disconnected == 1);
  CHECK(a.last == 1 && msub_host_count(a.host)->protocol_faults == 1 && sessions() == 0);
  end();
}

static const test_case cases[] = {
  { "refused", test_refused },     { "resets", test_resets },   { "half_closes", test_half_closes },
  { "replaced", test_replaced },   { "again", test_again },     { "faults", test_faults },
  { "protocols", test_protocols }, { "streams", test_streams }, { "gone", test_gone }
};

int main(int argc, char **argv) { return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv); }
