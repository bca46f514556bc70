/* tests/host/test_trace_peer.c: events for a collector, over an exchange that the test plays: batches, a slow stream, one that ends, a full buffer.
 * usage: test_trace_peer CASE */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "check.h"
#include "count_mem.h"
#include "engine_world.h"
#include "meshsub/rpc.h"
#include "meshsub/trace_peer.h"

#define S UINT64_C(1000000000)
static world w;
static msub_topic topic;
static const uint8_t id[] = { 1, 2, 3 };

/* ---- an exchange of one stream ---- */

static struct {
  const msub_stream_handler *h;
  void *word;
  bool connected, open, finished;
  uint64_t now;
  size_t room; /* of the stream */
  uint8_t *got;
  size_t n;
} x;
static int x_open(void *ud, msub_bytes peer, const char *protocol, uint64_t deadline, const msub_stream_handler *h, void *word, msub_stream **out) {
  (void)ud;
  CHECK(peer.n == 3 && memcmp(peer.p, id, 3) == 0 && strcmp(protocol, "/libp2p/pubsub/tracer/1.0.0") == 0 && deadline > x.now && !x.open);
  if (!x.connected) return MSUB_ERR_NOTFOUND;
  x.h = h;
  x.word = word;
  x.open = true;
  x.finished = false;
  x.n = 0;
  *out = (msub_stream *)(void *)&x;
  return MSUB_OK;
}
static size_t x_write(void *ud, msub_stream *s, msub_bytes b) {
  (void)ud, (void)s;
  size_t k = b.n < x.room ? b.n : x.room;
  CHECK(x.open && !x.finished && b.n);
  x.got = realloc(x.got, x.n + k + 1);
  CHECK(x.got != NULL);
  memcpy(x.got + x.n, b.p, k);
  x.n += k;
  x.room -= k;
  return k;
}
static void x_finish(void *ud, msub_stream *s) {
  (void)ud, (void)s;
  CHECK(x.open && !x.finished);
  x.finished = true;
}
static void x_reset(void *ud, msub_stream *s) { (void)ud, (void)s; }
static uint64_t x_now(void *ud) {
  (void)ud;
  return x.now;
}
static void x_end(msub_end why) {
  x.open = false;
  x.h->on_end(x.word, (msub_stream *)(void *)&x, why);
}
static const msub_exchange_ops ops = { .abi = MSUB_ABI, .size = sizeof ops, .open = x_open, .write = x_write, .finish = x_finish, .reset = x_reset, .now = x_now };

static msub_trace_peer *begin(size_t buffer) {
  world_init(&w, 1);
  w.ops.trace = NULL;
  world_start(&w, NULL);
  topic = world_join(&w, "news", NULL);
  memset(&x, 0, sizeof x);
  x.connected = true;
  x.now = S;
  x.room = SIZE_MAX;
  msub_trace_peer_opts o;
  msub_trace_peer *t;
  msub_trace_peer_opts_init(&o);
  o.exchange = (msub_exchange){ &ops, &x };
  o.peer_id = (msub_bytes){ id, 3 };
  if (buffer) o.buffer_bytes = buffer;
  CHECK(msub_trace_peer_new(&o, &t) == MSUB_OK);
  return t;
}
static void end(msub_trace_peer *t) {
  CHECK(msub_trace_peer_free(t) == MSUB_OK);
  world_stop(&w);
  free(x.got);
}
static void add(msub_trace_peer *t, uint32_t i) {
  uint8_t n[4] = { (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
  msub_trace_peer_add(t, w.e, &(msub_event){ .kind = MSUB_T_PUBLISH, .topic = topic, .id = { n, 4 } });
}
static msub_trace_peer_counts counts(const msub_trace_peer *t) {
  msub_trace_peer_counts c;
  msub_trace_peer_count(t, &c);
  return c;
}

/* What the stream has brought, decompressed: batches, and records in them. */
typedef struct brought { unsigned batches, records; bool whole; } brought;
static brought read_all(void) {
  size_t cap = 64u << 20, n;
  uint8_t *plain = malloc(cap);
  z_stream z = { .next_in = x.got, .avail_in = (uInt)x.n, .next_out = plain, .avail_out = (uInt)cap };
  brought b = { 0 };
  CHECK(plain && inflateInit2(&z, 15 + 16) == Z_OK);
  int rc = x.n ? inflate(&z, Z_SYNC_FLUSH) : Z_OK;
  CHECK(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR);
  b.whole = rc == Z_STREAM_END && z.avail_in == 0;
  n = cap - z.avail_out;
  CHECK(inflateEnd(&z) == Z_OK);
  for (size_t at = 0; at < n;) {
    uint64_t len, entry;
    int k = msub_varint_get((msub_bytes){ plain + at, n - at }, &len);
    CHECK(k > 0 && len && len <= n - at - (size_t)k);
    size_t stop = at + (size_t)k + (size_t)len;
    for (at += (size_t)k; at < stop; b.records++) {
      CHECK(plain[at] == 0x0a && (k = msub_varint_get((msub_bytes){ plain + at + 1, stop - at - 1 }, &entry)) > 0);
      at += 1u + (size_t)k + (size_t)entry;
    }
    CHECK(at == stop);
    b.batches++;
  }
  free(plain);
  return b;
}

/* Sixteen events, or a second; nothing before there is a connection. The end is the end of gzip. */
static void batches(void) {
  msub_trace_peer *t = begin(0);
  x.connected = false;
  for (uint32_t i = 0; i < 40; i++) add(t, i);
  msub_trace_peer_turn(t);
  CHECK(!x.open && counts(t).events == 40 && counts(t).lost == 0);
  x.connected = true;
  msub_trace_peer_turn(t);
  brought b = read_all();
  CHECK(x.open && b.batches == 1 && b.records == 40 && counts(t).sent == 40);
  for (uint32_t i = 0; i < 15; i++) add(t, i);
  msub_trace_peer_turn(t);
  CHECK(read_all().records == 40);
  add(t, 15);
  msub_trace_peer_turn(t);
  CHECK(read_all().records == 56 && read_all().batches == 2);
  add(t, 16);
  x.now += S - 1;
  msub_trace_peer_turn(t);
  CHECK(read_all().records == 56);
  x.now++;
  msub_trace_peer_turn(t);
  CHECK(read_all().records == 57);
  add(t, 17);
  CHECK(msub_trace_peer_free(t) == MSUB_ERR_STATE);
  msub_trace_peer_finish(t);
  b = read_all();
  CHECK(b.records == 58 && b.whole && x.finished && !msub_trace_peer_done(t));
  add(t, 18); /* too late */
  x_end(MSUB_END_FINISHED);
  CHECK(msub_trace_peer_done(t) && counts(t).events == 58 && counts(t).sent == 58 && counts(t).lost == 0 && counts(t).bytes == x.n);
  end(t);
}

/* Byte by byte. */
static void slow(void) {
  msub_trace_peer *t = begin(0);
  x.room = 0;
  for (uint32_t i = 0; i < 500; i++) add(t, i);
  msub_trace_peer_turn(t);
  CHECK(x.n == 0);
  msub_trace_peer_finish(t);
  for (unsigned i = 0; !x.finished; i++) {
    CHECK(i < 1000000);
    x.room = 1;
    x.h->on_writable(x.word, (msub_stream *)(void *)&x);
  }
  CHECK(read_all().records == 500 && read_all().whole && counts(t).sent == 500);
  x_end(MSUB_END_FINISHED);
  end(t);
}

/* A full buffer loses the newest, whole; a stream that ends loses its batch, and the next one begins a new gzip. */
static void lost(void) {
  msub_trace_peer *t = begin((size_t)64 << 10);
  x.connected = false;
  for (uint32_t i = 0; i < 5000; i++) add(t, i);
  uint64_t kept = counts(t).events;
  CHECK(kept > 300 && kept + counts(t).lost == 5000);
  x.connected = true;
  x.room = 1;
  msub_trace_peer_turn(t);
  CHECK(counts(t).sent == 0);
  x_end(MSUB_END_RESET);
  CHECK(counts(t).lost == 5000);
  for (uint32_t i = 0; i < 20; i++) add(t, i);
  msub_trace_peer_turn(t);
  CHECK(!x.open); /* not at once */
  x.now += 10 * S;
  x.room = SIZE_MAX;
  msub_trace_peer_turn(t);
  CHECK(read_all().records == 20 && counts(t).sent == 20 && counts(t).streams == 2);
  for (uint32_t i = 0; i < 3; i++) add(t, i);
  x_end(MSUB_END_GONE);
  x.connected = false;
  msub_trace_peer_finish(t);
  CHECK(msub_trace_peer_done(t) && counts(t).lost == 5003 && counts(t).events + 5000 - kept == 5000 + 23);
  end(t);
}

static void options(void) {
  msub_trace_peer *t;
  msub_trace_peer_opts good, o;
  msub_trace_peer_opts_init(&good);
  good.exchange = (msub_exchange){ &ops, &x };
  good.peer_id = (msub_bytes){ id, 3 };
  for (int i = 0; i < 7; i++) {
    o = good;
    if (i == 0) o.size--;
    if (i == 1) o.exchange.ops = NULL;
    if (i == 2) o.peer_id.n = 0;
    if (i == 3) o.peer_id.n = 129;
    if (i == 4) o.buffer_bytes = ((size_t)64 << 10) - 1;
    if (i == 5) o.buffer_bytes = ((size_t)1 << 30) + 1;
    if (i == 6) o.retry_ns = 999999;
    CHECK(msub_trace_peer_new(&o, &t) == MSUB_ERR_INVAL);
  }
  CHECK(msub_trace_peer_free(NULL) == MSUB_OK);
}

int main(int argc, char **argv) {
  static const test_case cases[] = { { "batches", batches }, { "slow", slow }, { "lost", lost }, { "options", options } };
  return run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
}
