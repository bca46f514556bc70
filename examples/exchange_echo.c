/* examples/exchange_echo.c: a protocol of one's own on byte streams (meshsub/exchange.h), next to pubsub. The functions of the
 * first half know no world; they run here in virtual time and then between two hosts of this process, over TCP.
 *
 *   cc exchange_echo.c $(pkg-config --cflags --libs meshsub-sim meshsub-host) -o echo && ./echo
 *
 * The protocol: whatever one side writes comes back; whoever opened the stream ends it first. Prints the round trip in both
 * worlds. */
#define _POSIX_C_SOURCE 200809L
#include <meshsub/exchange.h>
#include <meshsub/host.h>
#include <meshsub/sim.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define PROTOCOL "/echo/1.0.0"
#define SECOND UINT64_C(1000000000)

/* ---- the side that serves ---- */

static void *served_open(void *ud, msub_stream *s, msub_bytes peer_id) {
  const msub_exchange *x = ud;
  (void)peer_id;
  x->ops->deadline(x->x, s, x->ops->now(x->x) + 10 * SECOND); /* closer than the world's own */
  return ud;                                                  /* one word for all streams will do: nothing is kept of one */
}
/* Takes what it could write; the rest stays with the world, which lets the other side wait. Nothing is buffered here. */
static size_t served_data(void *word, msub_stream *s, msub_bytes b) {
  const msub_exchange *x = word;
  return x->ops->write(x->x, s, b);
}
static void served_writable(void *word, msub_stream *s) {
  const msub_exchange *x = word;
  x->ops->want_read(x->x, s);
}
static void served_finish(void *word, msub_stream *s) { /* everything was echoed by now */
  const msub_exchange *x = word;
  x->ops->finish(x->x, s);
}
static void served_end(void *word, msub_stream *s, msub_end why) { (void)word, (void)s, (void)why; }

static const msub_stream_handler service = { .abi = MSUB_ABI, .size = sizeof(msub_stream_handler), .on_open = served_open,
                                             .on_data = served_data, .on_finish = served_finish, .on_writable = served_writable,
                                             .on_end = served_end };

/* ---- the side that asks ---- */

typedef struct question {
  msub_exchange x;
  msub_stream *s;
  size_t send, sent, got; /* bytes */
  bool wrong, over;
  msub_end why;
  uint64_t began, took_ns;
} question;

static uint8_t byte_at(size_t i) { return (uint8_t)(i * 7 + i / 256); }

/* Writes until nothing is left, or nothing more is taken; then on_writable goes on. */
static void write_on(question *q) {
  uint8_t piece[4096];
  while (q->sent < q->send) {
    size_t n = q->send - q->sent < sizeof piece ? q->send - q->sent : sizeof piece;
    for (size_t i = 0; i < n; i++) piece[i] = byte_at(q->sent + i);
    size_t taken = q->x.ops->write(q->x.x, q->s, (msub_bytes){ piece, n });
    q->sent += taken;
    if (taken < n) return;
  }
  q->x.ops->finish(q->x.x, q->s);
}
static size_t asked_data(void *word, msub_stream *s, msub_bytes b) {
  question *q = word;
  (void)s;
  for (size_t i = 0; i < b.n; i++)
    if (b.p[i] != byte_at(q->got + i)) q->wrong = true;
  q->got += b.n;
  return b.n;
}
static void asked_writable(void *word, msub_stream *s) {
  (void)s;
  write_on(word);
}
static void asked_finish(void *word, msub_stream *s) { (void)word, (void)s; } /* on_end comes, because we have ended too */
static void asked_end(void *word, msub_stream *s, msub_end why) {
  question *q = word;
  (void)s;
  q->over = true;
  q->why = why;
  q->took_ns = q->x.ops->now(q->x.x) - q->began;
}
static const msub_stream_handler asking = { .abi = MSUB_ABI, .size = sizeof(msub_stream_handler), .on_data = asked_data,
                                            .on_finish = asked_finish, .on_writable = asked_writable, .on_end = asked_end };

/* One deadline covers everything from here to the last byte. What goes wrong later is told to on_end. */
static int ask(question *q, msub_exchange x, msub_bytes peer_id, size_t bytes) {
  *q = (question){ .x = x, .send = bytes, .began = x.ops->now(x.x) };
  int err = x.ops->open(x.x, peer_id, PROTOCOL, q->began + 5 * SECOND, &asking, q, &q->s);
  if (err == MSUB_OK) write_on(q);
  return err;
}
static bool report(const char *world, const question *q) {
  bool good = q->over && q->why == MSUB_END_FINISHED && q->got == q->send && !q->wrong;
  printf("%-12s %7zu bytes there, %7zu back in %7.3f ms: %s\n", world, q->sent, q->got, (double)q->took_ns / 1e6,
         q->over ? msub_end_name((int)q->why) : "not over");
  return good;
}

/* ---- virtual time ---- */

static bool in_virtual_time(size_t bytes) {
  static const msub_sim_router router = { &msub_floodsub, NULL };
  msub_sim_opts o;
  msub_sim_node_opts n;
  msub_sim *s;
  msub_sim_opts_init(&o);
  o.link.latency_ns = 10 * MSUB_SIM_MS;
  msub_sim_node_opts_init(&n);
  n.routers = &router;
  n.n_routers = 1;
  if (msub_sim_new(&o, &s) != MSUB_OK || msub_sim_add(s, &n, 2, NULL) != MSUB_OK) return false;
  msub_exchange there = msub_sim_exchange(s, 1);
  there.ops->serve(there.x, PROTOCOL, &service, &there);
  msub_sim_connect(s, 0, 1, 0);
  msub_sim_run_for(s, SECOND);
  question q;
  int err = ask(&q, msub_sim_exchange(s, 0), msub_sim_id(s, 1), bytes);
  if (err != MSUB_OK) printf("%s\n", msub_err_text(err));
  msub_sim_run_for(s, 10 * SECOND);
  bool good = report("virtual time", &q);
  return msub_sim_free(s) == MSUB_OK && good;
}

/* ---- two hosts ---- */

static msub_host *new_host(uint8_t seed, msub_key **key) {
  const uint8_t bytes[32] = { seed };
  msub_host_opts o;
  msub_host *h;
  const char *why;
  if (msub_key_from_seed(bytes, key) != MSUB_OK) exit(1); /* a real node has a key of its own: msub_key_generate() */
  msub_host_opts_init(&o);
  o.key = *key;
  if (msub_host_new(&o, &h, &why) != MSUB_OK || msub_host_listen(h, "/ip4/127.0.0.1/tcp/0", &why) != MSUB_OK) {
    printf("%s\n", why);
    exit(1);
  }
  return h;
}
/* Turns both until the condition holds, 10 s at most. */
static void run_both(msub_host *a, msub_host *b, bool (*done)(void *ud), void *ud) {
  for (int i = 0; i < 10000 && !done(ud); i++) {
    struct pollfd p[2] = { { .fd = msub_host_fd(a), .events = POLLIN }, { .fd = msub_host_fd(b), .events = POLLIN } };
    bool more = msub_host_turn(a, SECOND / 1000);
    if (!msub_host_turn(b, SECOND / 1000) && !more) poll(p, 2, 1);
  }
}
static bool connected(void *ud) {
  msub_host_peer p;
  return msub_host_peer_at(ud, 0, &p) == MSUB_OK && p.n_protocols > 0; /* and identify told what it speaks */
}
static bool is_over(void *ud) { return ((const question *)ud)->over; }

static bool over_tcp(size_t bytes) {
  msub_key *key_a, *key_b;
  msub_host *a = new_host(1, &key_a), *b = new_host(2, &key_b);
  char addr[256];
  msub_exchange there = msub_host_exchange(b);
  there.ops->serve(there.x, PROTOCOL, &service, &there); /* before the first connection: identify tells it to the peer */
  if (msub_host_addr(b, 0, addr, sizeof addr) != MSUB_OK || msub_host_dial(a, addr, 0) != MSUB_OK) return false;
  run_both(a, b, connected, a);
  question q;
  int err = ask(&q, msub_host_exchange(a), msub_host_peer_id(b), bytes);
  if (err != MSUB_OK) printf("%s\n", msub_err_text(err));
  else run_both(a, b, is_over, &q);
  bool good = report("over TCP", &q);
  msub_host_free(a);
  msub_host_free(b);
  msub_key_free(key_a);
  msub_key_free(key_b);
  return good;
}

int main(void) {
  bool good = true;
  for (size_t bytes = 5; bytes <= 5000000; bytes *= 1000) good = in_virtual_time(bytes) && over_tcp(bytes) && good;
  return good ? 0 : 1;
}
