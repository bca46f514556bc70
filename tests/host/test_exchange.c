/* tests/host/test_exchange.c: the exchange between two hosts, and against a peer that opens what it likes.
 * usage: test_exchange CASE */
#define _POSIX_C_SOURCE 200809L
#include <stdatomic.h>
#include <string.h>
#include "raw_peer.h"

#define KIB 1024u
#define MIB (KIB * KIB)
#define ECHO "/test/echo/1.0.0"
#define SECOND UINT64_C(1000000000)

/* ---- one side of a stream ---- */

struct service;
typedef struct talk {
  struct service *of; /* NULL: we asked */
  msub_exchange x;
  msub_stream *s;
  size_t send, sent, got; /* got: checked bytes */
  bool frugal;            /* takes only what it was allowed */
  size_t allowed;
  bool sends, finishes;   /* by itself, when all is sent */
  bool fin;
  unsigned ended;
  msub_end why;
  struct talk *next;
} talk;

/* Byte i of every transfer. */
static uint8_t byte_at(size_t i) { return (uint8_t)(i * 31 + i / 251); }

static void pump(talk *t) {
  uint8_t chunk[5000];
  while (t->sends && t->sent < t->send && !t->ended) {
    size_t n = t->send - t->sent < sizeof chunk ? t->send - t->sent : sizeof chunk;
    for (size_t i = 0; i < n; i++) chunk[i] = byte_at(t->sent + i);
    size_t taken = t->x.ops->write(t->x.x, t->s, (msub_bytes){ chunk, n });
    CHECK(taken <= n);
    t->sent += taken;
    if (taken < n) return;
  }
  if (t->sends && t->finishes && t->sent == t->send && !t->ended) {
    t->sends = false;
    t->x.ops->finish(t->x.x, t->s);
  }
}

static size_t talk_data(void *word, msub_stream *s, msub_bytes b) {
  talk *t = word;
  CHECK(t->s == s && !t->ended && !t->fin && b.n > 0);
  size_t n = t->frugal && b.n > t->allowed ? t->allowed : b.n;
  t->allowed -= t->frugal ? n : 0;
  for (size_t i = 0; i < n; i++) CHECK(b.p[i] == byte_at(t->got + i));
  t->got += n;
  return n;
}
static void talk_fin(void *word, msub_stream *s) {
  talk *t = word;
  CHECK(t->s == s && !t->ended && !t->fin);
  t->fin = true;
}
static void talk_writable(void *word, msub_stream *s) {
  talk *t = word;
  CHECK(t->s == s && !t->ended);
  pump(t);
}
static void talk_end(void *word, msub_stream *s, msub_end why) {
  talk *t = word;
  CHECK(t->s == s);
  t->ended++;
  t->why = why;
  /* every operation is harmless on a stream that is over */
  CHECK(t->x.ops->write(t->x.x, s, msub_str("late")) == 0);
  t->x.ops->want_read(t->x.x, s);
  t->x.ops->finish(t->x.x, s);
  t->x.ops->deadline(t->x.x, s, 0);
  t->x.ops->reset(t->x.x, s);
}
static const msub_stream_handler asker = { .abi = MSUB_ABI,
                                           .size = sizeof(msub_stream_handler),
                                           .on_data = talk_data,
                                           .on_finish = talk_fin,
                                           .on_writable = talk_writable,
                                           .on_end = talk_end };

/* Sends `send` bytes and its end, and takes an echo. */
static int ask_for(talk *t, node *from, msub_bytes peer, uint64_t after_ns, size_t send) {
  *t = (talk){ .x = msub_host_exchange(from->host), .send = send, .sends = true, .finishes = true };
  uint64_t deadline = after_ns == MSUB_NEVER ? MSUB_NEVER : t->x.ops->now(t->x.x) + after_ns;
  int err = t->x.ops->open(t->x.x, peer, ECHO, deadline, &asker, t, &t->s);
  if (err == MSUB_OK) pump(t);
  return err;
}
static void ask(talk *t, node *from, const node *to, size_t send) {
  MUST(ask_for(t, from, msub_host_peer_id(to->host), 60 * SECOND, send));
}

/* ---- a service that echoes ---- */

typedef struct service {
  msub_exchange x;
  unsigned open, most, served, ends[6];
  bool refuse;          /* on_open says no */
  bool silent;          /* takes nothing, says nothing */
  uint64_t deadline_ns; /* of its streams, from their opening; 0: as they are */
  talk *talks;
} service;

static void *echo_open(void *ud, msub_stream *s, msub_bytes peer_id) {
  service *v = ud;
  CHECK(msub_peer_id_check(peer_id) == MSUB_OK);
  if (v->refuse) return NULL;
  talk *t = calloc(1, sizeof *t);
  CHECK(t);
  *t = (talk){ .of = v, .x = v->x, .s = s, .next = v->talks };
  v->talks = t;
  v->served++;
  if (++v->open > v->most) v->most = v->open;
  if (v->deadline_ns) v->x.ops->deadline(v->x.x, s, v->x.ops->now(v->x.x) + v->deadline_ns);
  return t;
}
/* Takes what it can write. */
static size_t echo_data(void *word, msub_stream *s, msub_bytes b) {
  talk *t = word;
  CHECK(t->s == s && !t->ended);
  if (t->of->silent) return 0;
  size_t n = t->x.ops->write(t->x.x, s, b);
  t->got += n;
  return n;
}
static void echo_fin(void *word, msub_stream *s) {
  talk *t = word;
  t->fin = true;
  if (!t->of->silent) t->x.ops->finish(t->x.x, s);
}
static void echo_writable(void *word, msub_stream *s) {
  talk *t = word;
  t->x.ops->want_read(t->x.x, s);
}
static void echo_end(void *word, msub_stream *s, msub_end why) {
  talk *t = word;
  CHECK(t->s == s && t->of->open > 0);
  t->of->open--;
  t->of->ends[why]++;
  for (talk **at = &t->of->talks; *at; at = &(*at)->next) {
    if (*at != t) continue;
    *at = t->next;
    free(t);
    return;
  }
  CHECK(false);
}
static const msub_stream_handler echo = { .abi = MSUB_ABI,
                                          .size = sizeof(msub_stream_handler),
                                          .on_open = echo_open,
                                          .on_data = echo_data,
                                          .on_finish = echo_fin,
                                          .on_writable = echo_writable,
                                          .on_end = echo_end };

static void serve(service *v, node *n) {
  *v = (service){ .x = msub_host_exchange(n->host) };
  MUST(v->x.ops->serve(v->x.x, ECHO, &echo, v));
}

/* ---- hosts ---- */

static bool both_connected(void *ud) {
  node *const *p = ud;
  return p[0]->connected > 0 && p[1]->connected > 0;
}
static bool both_parted(void *ud) {
  node *const *p = ud;
  return p[0]->last > 0 && p[1]->last > 0;
}

static void start_pair(node *a, node *b, service *v) {
  node *pair[2] = { a, b };
  node_init(a, "a", 1);
  node_init(b, "b", 2);
  node_start(a, true, false);
  node_start(b, true, false);
  if (v) serve(v, b);
  node_meet(pair, 2, a, b); /* nothing else is under way */
}

static bool heard_fin(void *ud) { return ((const talk *)ud)->fin; }
static bool is_over(void *ud) { return ((const talk *)ud)->ended > 0; }

typedef struct group {
  talk *t;
  size_t n;
} group;
static bool are_over(void *ud) {
  const group *g = ud;
  for (size_t i = 0; i < g->n; i++) {
    if (!g->t[i].ended) return false;
  }
  return true;
}
static bool serves(void *ud) { return ((const service *)ud)->open > 0; }
static bool serves_four(void *ud) { return ((const service *)ud)->open == 4; }
static bool serves_none(void *ud) { return ((const service *)ud)->open == 0; }

static void check_echo(const talk *t) {
  CHECK(t->ended == 1 && t->why == MSUB_END_FINISHED && t->fin && t->got == t->send);
}

/* ---- cases: in order ---- */

static void test_echo(void) {
  node a, b, *pair[2] = { &a, &b };
  service at_a, at_b;
  talk t[3];
  start_pair(&a, &b, &at_b);
  serve(&at_a, &a);
  ask(&t[0], &a, &b, 100);
  CHECK(t[0].sent == 100 && t[0].ended == 0); /* at once, before anybody agreed */
  WAIT(pair, is_over, &t[0]);
  check_echo(&t[0]);
  ask(&t[1], &b, &a, 3000); /* the other way, on a connection that the other side made */
  ask(&t[2], &a, &b, 0);
  WAIT(pair, is_over, &t[1]);
  WAIT(pair, is_over, &t[2]);
  check_echo(&t[1]);
  check_echo(&t[2]);
  WAIT(pair, serves_none, &at_a);
  WAIT(pair, serves_none, &at_b);
  CHECK(at_a.served == 1 && at_b.served == 2 && at_a.ends[MSUB_END_FINISHED] == 1 && at_b.ends[MSUB_END_FINISHED] == 2);
  CHECK(msub_host_count(a.host)->exchange_opened == 2 && msub_host_count(b.host)->exchange_served == 2);
  CHECK(msub_host_count(b.host)->exchange_waited == 0 && msub_host_count(b.host)->streams_reset == 0);
  node_free(&a);
  node_free(&b);
}

static bool has_protocol(node *n, const char *protocol) {
  msub_host_peer p;
  MUST(msub_host_peer_at(n->host, 0, &p));
  for (size_t i = 0; i < p.n_protocols; i++) {
    if (strcmp(p.protocols[i], protocol) == 0) return true;
  }
  return false;
}

static void test_serve(void) {
  node a, b, *pair[2] = { &a, &b };
  service v;
  msub_stream_handler bad = echo;
  start_pair(&a, &b, &v);
  const msub_exchange_ops *ops = v.x.ops;
  CHECK(has_protocol(&a, ECHO) && !has_protocol(&b, ECHO));
  CHECK(ops->serve(v.x.x, ECHO, &echo, &v) == MSUB_ERR_CLAIMED);
  CHECK(ops->serve(v.x.x, "/ipfs/id/1.0.0", &echo, &v) == MSUB_ERR_CLAIMED);
  CHECK(ops->serve(v.x.x, "/floodsub/1.0.0", &echo, &v) == MSUB_ERR_CLAIMED);
  CHECK(ops->serve(v.x.x, "", &echo, &v) == MSUB_ERR_INVAL && ops->serve(v.x.x, "/a\n", &echo, &v) == MSUB_ERR_INVAL);
  bad.on_open = NULL;
  CHECK(ops->serve(v.x.x, "/other", &bad, &v) == MSUB_ERR_INVAL);
  bad = echo;
  bad.abi++;
  CHECK(ops->serve(v.x.x, "/other", &bad, &v) == MSUB_ERR_INVAL);
  bad = echo;
  bad.size = (uint32_t)offsetof(msub_stream_handler, on_end); /* made before there was an end */
  CHECK(ops->serve(v.x.x, "/other", &bad, &v) == MSUB_ERR_INVAL);
  char name[200];
  memset(name, 'p', sizeof name - 1);
  name[160] = '\0';
  for (unsigned i = 1; i < 64; i++) { /* far more text than identify can tell */
    (void)snprintf(name, 8, "/p/%03u", i);
    name[7] = 'p';
    name[6] = 'p';
    MUST(ops->serve(v.x.x, name, &echo, &v));
  }
  CHECK(ops->serve(v.x.x, "/one/more", &echo, &v) == MSUB_ERR_LIMIT);
  MUST(ops->serve(v.x.x, name, NULL, NULL));
  MUST(ops->serve(v.x.x, name, NULL, NULL)); /* twice is fine */
  MUST(ops->serve(v.x.x, "/one/more", &echo, &v));
  MUST(msub_host_disconnect(a.host, msub_host_peer_id(b.host)));
  WAIT(pair, both_parted, pair);
  node_meet(pair, 2, &a, &b);
  CHECK(has_protocol(&a, ECHO) && has_protocol(&a, "/floodsub/1.0.0")); /* as many as fit, ours first */
  /* no longer */
  talk t;
  MUST(ops->serve(v.x.x, ECHO, NULL, NULL));
  ask(&t, &a, &b, 10);
  WAIT(pair, is_over, &t);
  CHECK(t.why == MSUB_END_UNSUPPORTED && t.ended == 1 && v.served == 0);
  node_free(&a);
  node_free(&b);
}

static void test_open(void) {
  node a, b, *pair[2] = { &a, &b };
  service v;
  talk t;
  msub_stream *s;
  start_pair(&a, &b, &v);
  msub_exchange x = msub_host_exchange(a.host);
  msub_bytes to = msub_host_peer_id(b.host);
  msub_stream_handler bad = asker;
  bad.on_data = NULL;
  CHECK(x.ops->open(x.x, to, ECHO, MSUB_NEVER, &bad, &t, &s) == MSUB_ERR_INVAL);
  CHECK(x.ops->open(x.x, to, ECHO, MSUB_NEVER, NULL, &t, &s) == MSUB_ERR_INVAL);
  CHECK(x.ops->open(x.x, to, "", MSUB_NEVER, &asker, &t, &s) == MSUB_ERR_INVAL);
  CHECK(x.ops->open(x.x, msub_host_peer_id(a.host), ECHO, MSUB_NEVER, &asker, &t, &s) == MSUB_ERR_NOTFOUND);
  MUST(ask_for(&t, &a, to, MSUB_NEVER, 10)); /* no deadline */
  WAIT(pair, is_over, &t);
  check_echo(&t);
  CHECK(strcmp(msub_end_name(MSUB_END_FINISHED), "finished") == 0 && strcmp(msub_end_name(MSUB_END_CANCELLED), "cancelled") == 0);
  CHECK(strcmp(msub_end_name(-1), "unknown") == 0 && strcmp(msub_end_name(99), "unknown") == 0);
  node_free(&a);
  node_free(&b);
}

static void test_big(void) {
  node a, b, *pair[2] = { &a, &b };
  service v;
  talk t[6];
  start_pair(&a, &b, &v);
  for (size_t i = 0; i < 6; i++) ask(&t[i], &a, &b, 2 * MIB);
  group all = { t, 6 };
  CHECK(turn_until(pair, 2, are_over, &all, 60000));
  for (size_t i = 0; i < 6; i++) check_echo(&t[i]);
  CHECK(v.most == 4 && v.served == 6);
  node_free(&a);
  node_free(&b);
}

/* A reader that takes little at a time, and only when it likes: what waits for it stays bounded on both sides. */
static void test_slow_reader(void) {
  node a, b, *pair[2] = { &a, &b };
  service v;
  talk t;
  start_pair(&a, &b, &v);
  size_t before = live_bytes();
  ask(&t, &a, &b, 4 * MIB);
  t.frugal = true;
  turn_for(pair, 2, 300);
  CHECK(t.got == 0 && t.sent < 3 * MIB && t.ended == 0);
  size_t held = live_bytes() - before;
  printf("held for a reader that does not read: %zu KiB\n", held / KIB);
  CHECK(held < 4 * MIB);
  for (uint64_t end = now_ms() + 60000; !t.ended;) {
    CHECK(now_ms() < end);
    size_t got = t.got;
    t.allowed = 100 * KIB;
    t.x.ops->want_read(t.x.x, t.s);
    CHECK(t.got == got); /* not from inside */
    turn_for(pair, 2, 0);
  }
  check_echo(&t);
  node_free(&a);
  node_free(&b);
}

/* ---- cases: many ---- */

/* Opened by the exchange: four at a time are on the wire. */
static void test_many(void) {
  node a, b, *pair[2] = { &a, &b };
  service v;
  enum { N = 300 };
  static talk t[N];
  start_pair(&a, &b, &v);
  for (size_t i = 0; i < N; i++) ask(&t[i], &a, &b, 100 + i);
  CHECK(msub_host_count(a.host)->exchange_opened == 4);
  group all = { t, N };
  WAIT(pair, are_over, &all);
  for (size_t i = 0; i < N; i++) check_echo(&t[i]);
  WAIT(pair, serves_none, &v);
  CHECK(v.served == N && v.most <= 4 && v.ends[MSUB_END_FINISHED] == N);
  CHECK(msub_host_count(b.host)->streams_reset == 0);
  node_free(&a);
  node_free(&b);
}

static raw_peer raw;

static bool raw_acked(raw_peer *p, node *n) {
  msub__yamux_counts c;
  (void)n;
  msub__yamux_count(p->yamux, &c);
  return c.unacked == 0;
}
static unsigned raw_answered(const raw_peer *p) {
  unsigned n = 0;
  for (unsigned i = 0; i < p->n; i++) n += !p->s[i].inbound && !p->s[i].y && msub__buf_len(&p->s[i].in) == 7;
  return n;
}
static unsigned raw_wanted;
static bool raw_all_answered(raw_peer *p, node *n) {
  (void)n;
  return raw_answered(p) >= raw_wanted;
}

static bool raw_all_wait(raw_peer *p, node *n) {
  (void)p;
  return msub_host_count(n->host)->exchange_waited >= raw_wanted;
}

static void raw_ask(raw_peer *p) {
  raw_stream *s = raw_open(p, ECHO);
  raw_write(p, s, "request", 7);
  raw_finish(p, s);
}

/* Opened all at once by a peer: four at a time are served, the others wait and none is reset. */
static void test_crowd(void) {
  enum { N = 300, FIRST = 250 };
  node n;
  service v;
  node_init(&n, "n", 1);
  node_start(&n, true, false);
  serve(&v, &n);
  v.silent = true;
  raw_connect(&raw, &n, 9);
  raw_for(&raw, &n, 100);
  uint64_t resets = msub_host_count(n.host)->streams_reset; /* it speaks nothing that the host would open */
  for (unsigned i = 0; i < FIRST; i++) raw_ask(&raw);
  CHECK(raw_until(&raw, &n, raw_acked, 20000)); /* yamux lets no more of them be unacknowledged */
  for (unsigned i = FIRST; i < N; i++) raw_ask(&raw);
  CHECK(raw_until(&raw, &n, raw_acked, 20000));
  raw_wanted = N - 4;
  CHECK(raw_until(&raw, &n, raw_all_wait, 20000));
  raw_for(&raw, &n, 50);
  CHECK(v.served == 4 && v.open == 4 && raw_answered(&raw) == 0);
  CHECK(msub_host_count(n.host)->exchange_waited == N - 4);
  v.silent = false;
  for (talk *t = v.talks; t; t = t->next) v.x.ops->want_read(v.x.x, t->s);
  raw_wanted = N;
  CHECK(raw_until(&raw, &n, raw_all_answered, 20000));
  CHECK(v.served == N && v.most == 4 && v.ends[MSUB_END_RESET] == 0);
  CHECK(msub_host_count(n.host)->streams_reset == resets && msub_host_count(n.host)->protocol_faults == 0);
  for (unsigned i = 0; i < raw.n; i++) CHECK(raw.s[i].inbound || raw.s[i].why == MSUB_OK);
  raw_close(&raw);
  node_free(&n);
}

/* What is written to a peer that does not read is bounded over all its streams; each can still go on. */
static void test_budget(void) {
  enum { N = 40 };
  node a, b, *pair[2] = { &a, &b };
  service v;
  static talk t[N];
  start_pair(&a, &b, &v);
  v.silent = true;
  size_t total = 0, sent = 0;
  for (size_t i = 0; i < N; i++) {
    ask(&t[i], &a, &b, 200 * KIB);
    total += t[i].sent;
  }
  printf("taken: %zu KiB\n", total / KIB);
  CHECK(total >= 2 * MIB && total <= 2 * MIB + N * 16 * KIB);
  turn_for(pair, 2, 200);
  for (size_t i = 0; i < N; i++) sent += t[i].sent;
  CHECK(sent <= 2 * MIB + N * 16 * KIB + 4 * MIB); /* and what the four windows took */
  v.silent = false;
  for (talk *s = v.talks; s; s = s->next) v.x.ops->want_read(v.x.x, s->s);
  group all = { t, N };
  CHECK(turn_until(pair, 2, are_over, &all, 60000));
  for (size_t i = 0; i < N; i++) check_echo(&t[i]);
  node_free(&a);
  node_free(&b);
}

/* ---- cases: deadlines ---- */

static void test_deadline(void) {
  node a, b, *pair[2] = { &a, &b };
  service v;
  talk t[7];
  start_pair(&a, &b, &v);
  v.silent = true;
  msub_bytes to = msub_host_peer_id(b.host);
  for (size_t i = 0; i < 4; i++) ask(&t[i], &a, &b, 10);
  WAIT(pair, serves_four, &v);
  for (size_t i = 0; i < 4; i++) {
    msub_exchange x = t[i].x;
    x.ops->deadline(x.x, t[i].s, x.ops->now(x.x) + SECOND / 5 + i * SECOND / 100);
  }
  MUST(ask_for(&t[4], &a, to, SECOND / 10, 10)); /* gets no place in time */
  MUST(ask_for(&t[5], &a, to, 0, 10));           /* over before it began */
  CHECK(t[5].ended == 0);
  group all = { t, 6 };
  WAIT(pair, are_over, &all);
  for (size_t i = 0; i < 6; i++) CHECK(t[i].ended == 1 && t[i].why == MSUB_END_DEADLINE);
  WAIT(pair, serves_none, &v);
  CHECK(v.served == 4 && v.ends[MSUB_END_RESET] == 4);
  CHECK(msub_host_count(a.host)->exchange_late == 6);
  /* the server's own */
  v.deadline_ns = SECOND / 20;
  ask(&t[6], &a, &b, 10);
  WAIT(pair, is_over, &t[6]);
  CHECK(t[6].why == MSUB_END_RESET && v.ends[MSUB_END_DEADLINE] == 1);
  /* moved: sooner, and away */
  v.deadline_ns = 0;
  ask(&t[0], &a, &b, 10);
  MUST(ask_for(&t[1], &a, to, SECOND / 20, 10));
  t[0].x.ops->deadline(t[0].x.x, t[0].s, t[0].x.ops->now(t[0].x.x) + SECOND / 50);
  t[1].x.ops->deadline(t[1].x.x, t[1].s, MSUB_NEVER);
  WAIT(pair, is_over, &t[0]);
  CHECK(t[0].why == MSUB_END_DEADLINE);
  turn_for(pair, 2, 100);
  CHECK(t[1].ended == 0);
  v.silent = false;
  for (talk *s = v.talks; s; s = s->next) {
    v.x.ops->want_read(v.x.x, s->s);
    if (s->fin) v.x.ops->finish(v.x.x, s->s);
  }
  WAIT(pair, is_over, &t[1]);
  check_echo(&t[1]);
  node_free(&a);
  node_free(&b);
}

/* ---- cases: ends ---- */

static void test_unsupported(void) {
  node a, b, *pair[2] = { &a, &b };
  talk t[10];
  start_pair(&a, &b, NULL);
  for (size_t i = 0; i < 10; i++) ask(&t[i], &a, &b, i * 10000);
  group all = { t, 10 };
  WAIT(pair, are_over, &all);
  for (size_t i = 0; i < 10; i++) CHECK(t[i].ended == 1 && t[i].why == MSUB_END_UNSUPPORTED && t[i].got == 0);
  CHECK(msub_host_count(b.host)->protocol_faults == 0 && a.disconnected == 0);
  node_free(&a);
  node_free(&b);
}

/* U-07: what was asked of a peer, or by one, ends with its connection. */
static void test_gone(void) {
  node a, b, *pair[2] = { &a, &b };
  service v;
  talk t[8];
  start_pair(&a, &b, &v);
  v.silent = true;
  for (size_t i = 0; i < 6; i++) ask(&t[i], &a, &b, 1000);
  WAIT(pair, serves_four, &v);
  node_stop(&b); /* with four streams open */
  CHECK(v.open == 0 && v.ends[MSUB_END_GONE] == 4);
  group all = { t, 6 };
  WAIT(pair, are_over, &all);
  for (size_t i = 0; i < 6; i++) CHECK(t[i].ended == 1 && t[i].why == MSUB_END_GONE);
  CHECK(ask_for(&t[6], &a, msub_key_peer_id(b.key), SECOND, 10) == MSUB_ERR_NOTFOUND);
  /* the program ends the connection */
  node_start(&b, true, false);
  serve(&v, &b);
  node_meet(pair, 2, &a, &b);
  v.silent = true;
  ask(&t[6], &a, &b, 1000);
  WAIT(pair, serves, &v);
  MUST(msub_host_disconnect(a.host, msub_host_peer_id(b.host)));
  CHECK(ask_for(&t[7], &a, msub_host_peer_id(b.host), SECOND, 10) == MSUB_ERR_NOTFOUND); /* it is as good as gone */
  WAIT(pair, is_over, &t[6]);
  CHECK(t[6].why == MSUB_END_GONE && t[6].ended == 1);
  WAIT(pair, serves_none, &v);
  CHECK(v.ends[MSUB_END_GONE] == 1);
  node_free(&a);
  node_free(&b);
}

/* The newest of two connections is used; what runs on the other goes with it, what waits goes on. */
static void test_two_connections(void) {
  node a, b, *pair[2] = { &a, &b };
  service v;
  talk t[6];
  start_pair(&a, &b, &v);
  v.silent = true;
  for (size_t i = 0; i < 6; i++) ask(&t[i], &a, &b, 1000);
  WAIT(pair, serves_four, &v);
  char addr[MSUB_MULTIADDR_TEXT];
  node_addr(&b, addr, sizeof addr);
  char *p2p = strstr(addr, "/p2p/");
  CHECK(p2p);
  *p2p = '\0'; /* without the id it is no address that is connected already */
  a.connected = b.connected = 0;
  MUST(msub_host_dial(a.host, addr, 0));
  WAIT(pair, both_connected, pair);
  MUST(msub_host_dial(a.host, addr, 0)); /* a third one takes the place of the first */
  v.silent = false;
  group all = { t, 6 };
  WAIT(pair, are_over, &all);
  unsigned gone = 0;
  for (size_t i = 0; i < 6; i++) gone += t[i].why == MSUB_END_GONE;
  CHECK(gone == 4);
  check_echo(&t[4]);
  check_echo(&t[5]);
  node_free(&a);
  node_free(&b);
}

static unsigned resets_at;
static msub_exchange resetter_x;
static void *resetter_open(void *ud, msub_stream *s, msub_bytes peer_id) {
  (void)peer_id;
  if (resets_at == 0) resetter_x.ops->reset(resetter_x.x, s);
  return ud;
}
static size_t resetter_data(void *word, msub_stream *s, msub_bytes b) {
  (void)word;
  if (resets_at == 1) resetter_x.ops->reset(resetter_x.x, s);
  return b.n;
}
static void resetter_fin(void *word, msub_stream *s) {
  (void)word;
  if (resets_at == 2) resetter_x.ops->reset(resetter_x.x, s);
}
static void resetter_end(void *word, msub_stream *s, msub_end why) {
  service *v = word;
  (void)s;
  v->ends[why]++;
}
static const msub_stream_handler resetter = { .abi = MSUB_ABI,
                                              .size = sizeof(msub_stream_handler),
                                              .on_open = resetter_open,
                                              .on_data = resetter_data,
                                              .on_finish = resetter_fin,
                                              .on_end = resetter_end };

static void test_resets(void) {
  node a, b, *pair[2] = { &a, &b };
  service v;
  talk t[4];
  start_pair(&a, &b, &v);
  v.silent = true;
  ask(&t[0], &a, &b, 1000);
  ask(&t[1], &a, &b, 1000);
  t[1].x.ops->reset(t[1].x.x, t[1].s); /* before anybody heard of it */
  CHECK(t[1].ended == 0);
  WAIT(pair, is_over, &t[1]);
  CHECK(t[1].ended == 1 && t[1].why == MSUB_END_CANCELLED);
  WAIT(pair, serves, &v);
  t[0].x.ops->reset(t[0].x.x, t[0].s);
  t[0].x.ops->reset(t[0].x.x, t[0].s);
  CHECK(t[0].ended == 0); /* not from inside */
  WAIT(pair, is_over, &t[0]);
  CHECK(t[0].ended == 1 && t[0].why == MSUB_END_CANCELLED);
  WAIT(pair, serves_none, &v);
  CHECK(v.ends[MSUB_END_RESET] >= 1);
  /* by the server */
  ask(&t[0], &a, &b, 1000);
  WAIT(pair, serves, &v);
  v.x.ops->reset(v.x.x, v.talks->s);
  WAIT(pair, is_over, &t[0]);
  CHECK(t[0].why == MSUB_END_RESET && t[0].got == 0);
  WAIT(pair, serves_none, &v);
  CHECK(v.ends[MSUB_END_CANCELLED] == 1);
  v.refuse = true;
  ask(&t[0], &a, &b, 1000);
  WAIT(pair, is_over, &t[0]);
  CHECK(t[0].why == MSUB_END_RESET);
  /* from inside each callback */
  resetter_x = v.x;
  MUST(v.x.ops->serve(v.x.x, ECHO, NULL, NULL));
  MUST(v.x.ops->serve(v.x.x, ECHO, &resetter, &v));
  unsigned cancelled = v.ends[MSUB_END_CANCELLED];
  for (resets_at = 0; resets_at < 3; resets_at++) {
    ask(&t[0], &a, &b, 1000);
    WAIT(pair, is_over, &t[0]);
    CHECK(t[0].why == MSUB_END_RESET && t[0].ended == 1);
    turn_for(pair, 2, 0); /* the turn after the one in which the reset was sent */
    CHECK(v.ends[MSUB_END_CANCELLED] == cancelled + resets_at + 1);
  }
  CHECK(a.disconnected == 0);
  node_free(&a);
  node_free(&b);
}

/* ---- cases: finish ---- */

static void test_finish(void) {
  node a, b, *pair[2] = { &a, &b };
  service v;
  talk t;
  start_pair(&a, &b, &v);
  /* the server first, then the client */
  v.silent = true;
  t = (talk){ .x = msub_host_exchange(a.host) };
  MUST(t.x.ops->open(t.x.x, msub_host_peer_id(b.host), ECHO, MSUB_NEVER, &asker, &t, &t.s));
  WAIT(pair, serves, &v); /* a stream without a byte of its own is opened too */
  v.x.ops->finish(v.x.x, v.talks->s);
  CHECK(v.x.ops->write(v.x.x, v.talks->s, msub_str("more")) == 0);
  WAIT(pair, heard_fin, &t);
  CHECK(!t.ended);
  CHECK(t.x.ops->write(t.x.x, t.s, msub_str("still")) == 5);
  t.x.ops->finish(t.x.x, t.s);
  WAIT(pair, is_over, &t);
  CHECK(t.why == MSUB_END_FINISHED); /* for the client all is said */
  CHECK(v.open == 1 && !v.talks->fin); /* but the server has not taken it */
  v.x.ops->reset(v.x.x, v.talks->s);
  WAIT(pair, serves_none, &v);
  CHECK(v.ends[MSUB_END_CANCELLED] == 1);
  v.silent = false;
  /* both at once; a handler that does not care for the peer's end answers it with its own */
  static msub_stream_handler plain;
  plain = asker;
  plain.on_finish = NULL;
  for (unsigned first = 0; first < 2; first++) {
    t = (talk){ .x = msub_host_exchange(a.host) };
    unsigned finished = v.ends[MSUB_END_FINISHED];
    MUST(t.x.ops->open(t.x.x, msub_host_peer_id(b.host), ECHO, MSUB_NEVER, &plain, &t, &t.s));
    WAIT(pair, serves, &v);
    v.x.ops->finish(v.x.x, v.talks->s);
    if (first) t.x.ops->finish(t.x.x, t.s);
    WAIT(pair, is_over, &t);
    CHECK(t.why == MSUB_END_FINISHED);
    WAIT(pair, serves_none, &v);
    CHECK(v.ends[MSUB_END_FINISHED] == finished + 1);
  }
  node_free(&a);
  node_free(&b);
}

/* The end of a stream that the peer finished while it waited for its place. */
static void test_finished_early(void) {
  node n;
  service v;
  node_init(&n, "n", 1);
  node_start(&n, true, false);
  serve(&v, &n);
  v.silent = true;
  raw_connect(&raw, &n, 9);
  for (unsigned i = 0; i < 4; i++) raw_ask(&raw);
  raw_stream *empty = raw_open(&raw, ECHO);
  raw_finish(&raw, empty);
  raw_stream *dropped = raw_open(&raw, ECHO);
  raw_write(&raw, dropped, "request", 7);
  raw_wanted = 2;
  CHECK(raw_until(&raw, &n, raw_all_wait, 20000));
  raw_reset(dropped); /* given up before it was served: nobody hears of it */
  uint64_t resets = msub_host_count(n.host)->streams;
  for (uint64_t end = now_ms() + 20000; msub_host_count(n.host)->streams == resets;) {
    CHECK(now_ms() < end);
    raw_turn(&raw, &n);
  }
  CHECK(v.served == 4);
  v.silent = false;
  for (talk *t = v.talks; t; t = t->next) v.x.ops->want_read(v.x.x, t->s);
  raw_wanted = 4;
  CHECK(raw_until(&raw, &n, raw_all_answered, 20000));
  for (uint64_t end = now_ms() + 20000; empty->y || v.open > 0;) {
    CHECK(now_ms() < end);
    raw_turn(&raw, &n);
  }
  CHECK(empty->why == MSUB_OK && v.served == 5);
  CHECK(v.ends[MSUB_END_FINISHED] == 5);
  raw_close(&raw);
  node_free(&n);
}

static bool raw_four_reset(raw_peer *p, node *n) {
  unsigned reset = 0;
  (void)n;
  for (unsigned i = 0; i < p->n; i++) reset += !p->s[i].inbound && !p->s[i].y && p->s[i].why == MSUB_ERR_CLOSED;
  return reset == 4;
}

static void test_unserve(void) {
  node n;
  service v;
  node_init(&n, "n", 1);
  node_start(&n, true, false);
  serve(&v, &n);
  v.silent = true;
  raw_connect(&raw, &n, 9);
  for (unsigned i = 0; i < 8; i++) raw_ask(&raw);
  raw_wanted = 4;
  CHECK(raw_until(&raw, &n, raw_all_wait, 20000));
  CHECK(v.served == 4);
  MUST(v.x.ops->serve(v.x.x, ECHO, NULL, NULL));
  CHECK(raw_until(&raw, &n, raw_four_reset, 20000)); /* who waited is told */
  CHECK(v.open == 4);                                /* who is served stays */
  v.silent = false;
  for (talk *t = v.talks; t; t = t->next) v.x.ops->want_read(v.x.x, t->s);
  raw_wanted = 4;
  CHECK(raw_until(&raw, &n, raw_all_answered, 20000));
  for (uint64_t end = now_ms() + 20000; v.open > 0;) {
    CHECK(now_ms() < end);
    raw_turn(&raw, &n);
  }
  CHECK(v.served == 4 && v.ends[MSUB_END_FINISHED] == 4);
  raw_close(&raw);
  node_free(&n);
}

/* A host is freed in the middle of everything. */
static void test_freed(void) {
  for (unsigned round = 0; round < 8; round++) {
    node a, b, *pair[2] = { &a, &b };
    service v;
    talk t[10];
    start_pair(&a, &b, &v);
    v.silent = round & 1;
    for (size_t i = 0; i < 10; i++) ask(&t[i], &a, &b, 100 * KIB);
    turn_for(pair, 2, round * 2);
    if (round & 2) node_stop(&b);
    if (round & 4) turn_for(pair, 2, 5);
    node_free(&a);
    for (size_t i = 0; i < 10; i++) CHECK(t[i].ended == 1 && (t[i].why == MSUB_END_GONE || t[i].why == MSUB_END_FINISHED));
    node_free(&b);
    CHECK(v.open == 0 && !v.talks);
  }
}

/* ---- cases: from the engine's callbacks ---- */

static struct {
  node *self;
  msub_bytes peer;
  talk *t;
  msub_stream *victim;
  msub_exchange x;
  unsigned calls;
} inside;

static bool message_came(void *ud, msub_host *h, msub_topic t, const msub_msg *m, msub_bytes from) {
  (void)ud;
  (void)t;
  (void)m;
  if (from.n == 0) return true;
  CHECK(msub_host_now(h) == NULL); /* in the engine */
  if (inside.calls++ > 0) return true;
  MUST(ask_for(inside.t, inside.self, inside.peer, 60 * SECOND, 70000));
  inside.x.ops->reset(inside.x.x, inside.victim);
  return true;
}
static bool subscribed(void *ud) {
  node *const *p = ud;
  return p[0]->joins > 0 && p[1]->joins > 0;
}

static void test_inside(void) {
  node a, b, *pair[2] = { &a, &b };
  service v;
  talk victim, t = { .s = NULL };
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  a.opts.on_message = message_came;
  node_start(&a, true, true);
  node_start(&b, true, true);
  serve(&v, &b);
  node_dial(&a, &b);
  WAIT(pair, subscribed, pair);
  v.silent = true;
  ask(&victim, &a, &b, 10);
  WAIT(pair, serves, &v);
  v.silent = false;
  memset(&inside, 0, sizeof inside);
  inside.self = &a;
  inside.peer = msub_host_peer_id(b.host);
  inside.t = &t;
  inside.victim = victim.s;
  inside.x = victim.x;
  CHECK(node_publish(&b, 1, 100));
  WAIT(pair, is_over, &victim);
  CHECK(victim.why == MSUB_END_CANCELLED && victim.ended == 1);
  WAIT(pair, is_over, &t);
  check_echo(&t);
  CHECK(inside.calls == 1);
  node_free(&a);
  node_free(&b);
}

/* ---- cases: no memory ---- */

static atomic_int fails_in; /* < 0: never */
static void *failing_alloc(void *ud, size_t n) {
  (void)ud;
  if (atomic_load(&fails_in) >= 0 && atomic_fetch_sub(&fails_in, 1) == 0) return NULL;
  return live_mem.alloc(NULL, n);
}
static void failing_free(void *ud, void *p, size_t n) {
  (void)ud;
  live_mem.free(NULL, p, n);
}
static const msub_mem failing = { failing_alloc, failing_free, NULL };

static void test_no_memory(void) {
  node a, b, *pair[2] = { &a, &b };
  service v;
  unsigned failed = 0;
  atomic_store(&fails_in, -1);
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  a.opts.mem = b.opts.mem = &failing;
  node_start(&a, true, false);
  node_start(&b, true, false);
  serve(&v, &b);
  for (int k = 0; k < 60; k++) {
    talk t[6];
    size_t n = 0;
    msub_host_peer p;
    atomic_store(&fails_in, -1);
    if (msub_host_peer_at(a.host, 0, &p) != MSUB_OK) { /* a connection may have been lost to it */
      turn_for(pair, 2, 20);
      node_meet(pair, 2, &a, &b);
    }
    atomic_store(&fails_in, k);
    for (size_t i = 0; i < 6; i++) {
      int err = ask_for(&t[n], &a, msub_key_peer_id(b.key), 60 * SECOND, 30 * KIB);
      CHECK(err == MSUB_OK || err == MSUB_ERR_NOMEM || err == MSUB_ERR_NOTFOUND);
      n += err == MSUB_OK;
      failed += err != MSUB_OK;
    }
    group all = { t, n };
    WAIT(pair, are_over, &all);
    for (size_t i = 0; i < n; i++) {
      CHECK(t[i].ended == 1);
      if (t[i].why == MSUB_END_FINISHED)
        check_echo(&t[i]);
      else
        failed++;
    }
  }
  atomic_store(&fails_in, -1);
  WAIT(pair, serves_none, &v);
  printf("%u streams failed\n", failed);
  CHECK(failed > 5);
  node_free(&a);
  node_free(&b);
}

static const test_case cases[] = { { "echo", test_echo },
              { "serve", test_serve },
              { "open", test_open },
              { "big", test_big },
              { "slow_reader", test_slow_reader },
              { "many", test_many },
              { "crowd", test_crowd },
              { "budget", test_budget },
              { "deadline", test_deadline },
              { "unsupported", test_unsupported },
              { "gone", test_gone },
              { "two_connections", test_two_connections },
              { "resets", test_resets },
              { "finish", test_finish },
              { "finished_early", test_finished_early },
              { "unserve", test_unserve },
              { "freed", test_freed },
              { "inside", test_inside },
              { "no_memory", test_no_memory } };

int main(int argc, char **argv) { return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv); }
