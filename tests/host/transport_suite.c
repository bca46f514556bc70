#define _GNU_SOURCE
#include "transport_suite.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/mem.h"
#include "check.h"

#define KIB ((size_t)1024)
#define MIB ((size_t)1024 * 1024)
#define MAX_SEND (4 * MIB) /* as transport.h says */
#define CONNS 2048u
#define WITHIN WITHIN_MS
#define QUIET 150u     /* ms: long enough for what must not happen */
#define BLOCKED 10000u /* ms: a call that waits for a peer which does nothing takes longer */

static const msub_transport_ops *ops;
static bool ws;

/* ---- a side: one transport, and a check of every event against what may happen ---- */

typedef struct life {
  bool live, dialing, credit, sending; /* sending: a SENT is owed */
  bool keep_reading;                   /* credit is given again after each READABLE */
  bool closed_by_us;
  size_t in, out;   /* bytes, checked against the pattern from `seed` on; bytes acknowledged */
  size_t sending_n;
  size_t seed;
  unsigned readables;
  int err; /* of its end */
  unsigned ends;
} life;

typedef struct side {
  void *tr;
  int wake, fd; /* fd: what to sleep on */
  atomic_uint wakes;
  life c[CONNS]; /* by number; the last life of each */
  unsigned accepted, connected, failed, closed, paused, readable, sent;
  uint32_t last_accepted, last_connected;
  uint32_t listener;
  uint16_t port;
  uint64_t cookie;
  msub__tr_addr remote, local; /* of the last ACCEPTED or CONNECTED */
  int err;                     /* of the last DIAL_FAILED */
  bool read_new;               /* credit to every new connection */
} side;

/* The allocator is for the loop's thread only; a thread that is not it is caught by TSan here. */
static size_t live_bytes;
static void *count_alloc(void *ud, size_t n) {
  (void)ud;
  void *p = malloc(n);
  if (p) live_bytes += n;
  return p;
}
static void count_free(void *ud, void *p, size_t n) {
  (void)ud;
  if (p) live_bytes -= n;
  free(p);
}
static const msub_mem counted = { count_alloc, count_free, NULL };

static uint8_t pattern(size_t at) { return (uint8_t)((at * 2654435761u) >> 13 ^ at >> 16); }
static void fill(uint8_t *p, size_t n, size_t at) {
  for (size_t i = 0; i < n; i++) p[i] = pattern(at + i);
}
static bool matches(const uint8_t *p, size_t n, size_t at) {
  for (size_t i = 0; i < n; i++) {
    if (p[i] != pattern(at + i)) return false;
  }
  return true;
}

static void on_wake(void *ud) {
  side *s = ud;
  const uint64_t one = 1;
  atomic_fetch_add(&s->wakes, 1);
  CHECK(write(s->wake, &one, sizeof one) == sizeof one);
}

static side *side_new(void) {
  side *s = calloc(1, sizeof *s);
  CHECK(s);
  s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK(s->wake >= 0);
  MUST(ops->init(&s->tr, &counted, on_wake, s, NULL));
  s->fd = ops->fd ? ops->fd(s->tr, s->wake) : s->wake;
  CHECK(s->fd >= 0);
  return s;
}

static void side_free(side *s) {
  ops->fini(s->tr);
  (void)close(s->wake);
  free(s);
}

static msub__tr_addr loopback(uint16_t port) {
  return (msub__tr_addr){ .n = 4, .ws = ws, .ip = { 127, 0, 0, 1 }, .port = port };
}

static void side_listen(side *s) {
  msub__tr_addr at = loopback(0);
  const char *why = "";
  MUST(ops->listen(s->tr, &at, &s->listener, &s->port, &why));
  CHECK(s->port != 0 && s->listener != 0);
}

static life *life_of(side *s, uint32_t conn) {
  CHECK(conn >= 1 && conn < CONNS);
  return &s->c[conn];
}

static void side_recv(side *s, uint32_t conn) {
  MUST(ops->recv(s->tr, conn));
  life_of(s, conn)->credit = true;
}
static void side_read_on(side *s, uint32_t conn) {
  life_of(s, conn)->keep_reading = true;
  if (!life_of(s, conn)->credit) side_recv(s, conn);
}
static void side_send(side *s, uint32_t conn, const msub_bytes *iov, size_t n) {
  life *c = life_of(s, conn);
  MUST(ops->send(s->tr, conn, iov, n));
  c->sending = true;
  c->sending_n = 0;
  for (size_t i = 0; i < n; i++) c->sending_n += iov[i].n;
}
static void side_close(side *s, uint32_t conn) {
  life_of(s, conn)->closed_by_us = true;
  ops->close(s->tr, conn);
}
static uint32_t side_dial(side *s, uint16_t port, uint64_t cookie) {
  msub__tr_addr to = loopback(port);
  uint32_t conn = 0;
  MUST(ops->dial(s->tr, &to, cookie, &conn));
  life *c = life_of(s, conn);
  CHECK(!c->live && !c->dialing);
  *c = (life){ .dialing = true };
  return conn;
}

static void begin_life(side *s, uint32_t conn, const msub__tr_event *ev) {
  life *c = life_of(s, conn);
  bool closing = c->dialing && c->closed_by_us;
  *c = (life){ .live = true, .closed_by_us = closing };
  s->remote = ev->remote;
  s->local = ev->local;
  CHECK(!closing); /* a dial that was cancelled ends as DIAL_FAILED */
  if (s->read_new) side_read_on(s, conn);
}

static void look_at(side *s, const msub__tr_event *ev) {
  if (ev->kind == MSUB__TR_ACCEPT_PAUSED) {
    CHECK(ev->listener == s->listener);
    s->paused++;
    return;
  }
  life *c = life_of(s, ev->conn);
  switch (ev->kind) {
  case MSUB__TR_ACCEPTED:
    CHECK(!c->live && !c->dialing && ev->listener == s->listener);
    s->accepted++;
    s->last_accepted = ev->conn;
    begin_life(s, ev->conn, ev);
    break;
  case MSUB__TR_CONNECTED:
    CHECK(!c->live && c->dialing);
    s->connected++;
    s->last_connected = ev->conn;
    s->cookie = ev->cookie;
    begin_life(s, ev->conn, ev);
    break;
  case MSUB__TR_DIAL_FAILED:
    CHECK(!c->live && c->dialing && ev->text);
    c->dialing = false;
    c->ends++;
    s->failed++;
    s->err = c->err = ev->err;
    s->cookie = ev->cookie;
    break;
  case MSUB__TR_READABLE:
    CHECK(c->live && c->credit && !c->closed_by_us && ev->n > 0 && ev->n <= MSUB__TRANSPORT_READ);
    CHECK(matches(ev->data, ev->n, c->seed + c->in));
    memset(ev->data, 0, ev->n); /* ours to change */
    c->credit = false;
    c->in += ev->n;
    c->readables++;
    s->readable++;
    if (c->keep_reading) side_recv(s, ev->conn);
    break;
  case MSUB__TR_SENT:
    CHECK(c->live && c->sending && !c->closed_by_us && ev->n == c->sending_n);
    c->sending = false;
    c->out += ev->n;
    s->sent++;
    break;
  case MSUB__TR_CLOSED:
    CHECK(c->live && ev->text);
    CHECK(c->closed_by_us == (ev->err == MSUB_OK));
    c->live = false;
    c->ends++;
    c->err = ev->err;
    s->closed++;
    break;
  default: CHECK(false);
  }
}

/* Fetches what is there. The loop's order: the wake is cleared first, the events are fetched after. */
static void side_fetch(side *s) {
  uint64_t count;
  msub__tr_event ev;
  if (read(s->wake, &count, sizeof count) < 0) CHECK(errno == EAGAIN);
  while (ops->next(s->tr, now_ms() * 1000000, &ev)) look_at(s, &ev);
}

typedef bool (*condition)(void *ud);

static int pause_ms(side *const *sides, size_t n, int most) {
  uint64_t now = now_ms() * 1000000;
  for (size_t i = 0; i < n; i++) {
    uint64_t at = ops->next_deadline(sides[i]->tr);
    if (at <= now) return 0;
    if (at != MSUB_NEVER && (at - now) / 1000000 + 1 < (uint64_t)most) most = (int)((at - now) / 1000000 + 1);
  }
  return most;
}

/* Sleeps until a wake: an event without one is found by the time that it takes. step: what else is to be done
 * each time; then the sleep is short. */
static bool run_until(side *const *sides, size_t n, condition until, void *ud, unsigned ms,
                      void (*step)(void *ud)) {
  uint64_t end = now_ms() + ms;
  for (;;) {
    struct pollfd fds[4];
    for (size_t i = 0; i < n; i++) {
      side_fetch(sides[i]);
      fds[i] = (struct pollfd){ .fd = sides[i]->fd, .events = POLLIN };
    }
    if (step) step(ud);
    if (until(ud)) return true;
    uint64_t now = now_ms();
    if (now >= end) return false;
    (void)poll(fds, (nfds_t)n, pause_ms(sides, n, step ? 1 : (int)(end - now)));
  }
}
static bool never(void *ud) {
  (void)ud;
  return false;
}
static bool side_until(side *s, condition until, void *ud) { return run_until(&s, 1, until, ud, WITHIN, NULL); }
static void side_for(side *s, unsigned ms) { (void)run_until(&s, 1, never, NULL, ms, NULL); }

/* ---- a plain socket as the peer ---- */

static int raw_socket(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  return fd;
}

static void set_int(int fd, int level, int name, int value) {
  CHECK(setsockopt(fd, level, name, &value, sizeof value) == 0);
}

static struct sockaddr_in to_port(uint16_t port) {
  struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

static void raw_connect_fd(int fd, uint16_t port) {
  struct sockaddr_in a = to_port(port);
  CHECK(connect(fd, (const struct sockaddr *)(const void *)&a, sizeof a) == 0);
}

static uint16_t raw_bind(int fd) {
  struct sockaddr_in a = to_port(0);
  socklen_t n = sizeof a;
  CHECK(bind(fd, (const struct sockaddr *)(const void *)&a, sizeof a) == 0);
  CHECK(getsockname(fd, (struct sockaddr *)(void *)&a, &n) == 0);
  return ntohs(a.sin_port);
}

static void raw_reset(int fd) {
  struct linger hard = { .l_onoff = 1, .l_linger = 0 };
  CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
  (void)close(fd);
}

/* Whether the other side has closed or reset; what it had sent is thrown away. */
static bool raw_ended(int fd) {
  uint8_t bytes[65536];
  for (;;) {
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return true;
    if (n < 0) return false;
  }
}

/* ---- conditions ---- */

typedef struct want {
  side *s;
  uint32_t conn;
  unsigned n;
  size_t bytes;
} want;
static bool has_accepted(void *ud) { return ((const want *)ud)->s->accepted >= ((const want *)ud)->n; }
static bool has_connected(void *ud) { return ((const want *)ud)->s->connected >= ((const want *)ud)->n; }
static bool has_failed(void *ud) { return ((const want *)ud)->s->failed >= ((const want *)ud)->n; }
static bool has_closed(void *ud) { return ((const want *)ud)->s->closed >= ((const want *)ud)->n; }
static bool has_paused(void *ud) { return ((const want *)ud)->s->paused >= ((const want *)ud)->n; }
static bool is_over(void *ud) {
  const want *w = ud;
  return w->s->c[w->conn].ends > 0;
}
static bool has_bytes(void *ud) {
  const want *w = ud;
  return w->s->c[w->conn].in >= w->bytes;
}
static bool was_sent(void *ud) {
  const want *w = ud;
  return !w->s->c[w->conn].sending;
}

/* A listening side and one plain socket connected to it. */
static side *accepted_one(int *fd, uint32_t *conn) {
  side *s = side_new();
  side_listen(s);
  *fd = raw_socket();
  raw_connect_fd(*fd, s->port);
  want w = { .s = s, .n = 1 };
  CHECK(side_until(s, has_accepted, &w));
  *conn = s->last_accepted;
  return s;
}

/* One transport connected to itself. */
static side *connected_pair(uint32_t *dialer, uint32_t *acceptor) {
  side *s = side_new();
  side_listen(s);
  *dialer = side_dial(s, s->port, 1);
  want w = { .s = s, .n = 1 };
  CHECK(side_until(s, has_connected, &w) && side_until(s, has_accepted, &w));
  *acceptor = s->last_accepted;
  return s;
}

/* ---- connecting ---- */

static void test_connect(void) {
  side *s = side_new();
  side_listen(s);
  uint32_t conn = side_dial(s, s->port, 77);
  want w = { .s = s, .n = 1 };
  CHECK(side_until(s, has_connected, &w));
  CHECK(s->cookie == 77 && s->last_connected == conn);
  msub__tr_addr mine = loopback(0);
  CHECK(s->local.n == 4 && memcmp(s->local.ip, mine.ip, 4) == 0 && s->local.port != 0);
  CHECK(side_until(s, has_accepted, &w));
  CHECK(s->remote.n == 4 && memcmp(s->remote.ip, mine.ip, 4) == 0);
  CHECK(ops->recv(s->tr, 999) == MSUB_ERR_STALE && ops->recv(s->tr, 0) == MSUB_ERR_STALE);
  const msub_bytes hi = { (const uint8_t *)"hi", 2 };
  CHECK(ops->send(s->tr, 999, &hi, 1) == MSUB_ERR_STALE);
  ops->close(s->tr, 999); /* nobody: nothing */
  ops->unlisten(s->tr, 999);
  /* the same port again */
  msub__tr_addr at = loopback(s->port);
  uint32_t other;
  uint16_t port;
  const char *why = NULL;
  CHECK(ops->listen(s->tr, &at, &other, &port, &why) == MSUB_ERR_REFUSED && why);
  /* no longer: the connections live on */
  ops->unlisten(s->tr, s->listener);
  uint32_t late = side_dial(s, s->port, 78);
  w.conn = late;
  CHECK(side_until(s, is_over, &w) && s->err == MSUB_ERR_REFUSED && s->cookie == 78);
  CHECK(life_of(s, conn)->live && s->closed == 0);
  side_read_on(s, conn);
  side_read_on(s, s->last_accepted);
  side_send(s, conn, &(msub_bytes){ (const uint8_t[]){ pattern(0) }, 1 }, 1);
  w = (want){ .s = s, .conn = s->last_accepted, .bytes = 1 };
  CHECK(side_until(s, has_bytes, &w));
  side_free(s);
}

static void test_ipv6(void) {
  side *s = side_new();
  msub__tr_addr at = { .n = 16, .ws = ws, .ip = { [15] = 1 } };
  const char *why = "";
  if (ops->listen(s->tr, &at, &s->listener, &s->port, &why) != MSUB_OK) {
    printf("no IPv6 here: %s\n", why);
    side_free(s);
    return;
  }
  uint32_t conn = 0;
  at.port = s->port;
  MUST(ops->dial(s->tr, &at, 1, &conn));
  life_of(s, conn)->dialing = true;
  want w = { .s = s, .n = 1 };
  CHECK(side_until(s, has_connected, &w) && side_until(s, has_accepted, &w));
  CHECK(s->remote.n == 16 && memcmp(s->remote.ip, at.ip, 16) == 0);
  side_free(s);
}

static void test_refused(void) {
  int fd = raw_socket();
  uint16_t port = raw_bind(fd); /* bound, and nobody listens */
  side *s = side_new();
  uint32_t conn = side_dial(s, port, 42);
  want w = { .s = s, .n = 1 };
  CHECK(side_until(s, has_failed, &w));
  CHECK(s->err == MSUB_ERR_REFUSED && s->cookie == 42 && life_of(s, conn)->ends == 1);
  msub__tr_addr nothing = { .n = 0, .port = 1 }, no_port = loopback(0);
  CHECK(ops->dial(s->tr, &nothing, 1, &conn) == MSUB_ERR_INVAL);
  CHECK(ops->dial(s->tr, &no_port, 1, &conn) == MSUB_ERR_INVAL);
  side_for(s, QUIET);
  CHECK(s->failed == 1 && s->connected == 0 && s->closed == 0);
  for (unsigned i = 0; i < 100; i++) {
    s->failed = 0;
    (void)side_dial(s, port, i);
    CHECK(side_until(s, has_failed, &w));
    CHECK(s->err == MSUB_ERR_REFUSED && s->connected == 0 && s->cookie == i);
  }
  side_free(s);
  (void)close(fd);
}

/* ---- bytes ---- */

typedef struct slow_reader {
  side *s;
  uint32_t conn;
  int fd;
  const uint8_t *bytes;
  size_t from, all, got; /* sent up to; of; read */
} slow_reader;

static void slow_step(void *ud) {
  slow_reader *r = ud;
  uint8_t in[96 * 1024];
  life *c = life_of(r->s, r->conn);
  if (!c->sending && r->from < r->all) { /* the next 4 MiB, in eight pieces of unequal size */
    msub_bytes iov[MSUB__TRANSPORT_IOV];
    size_t at = r->from, each = MAX_SEND / MSUB__TRANSPORT_IOV;
    for (size_t i = 0; i < MSUB__TRANSPORT_IOV; i++) {
      size_t n = i == 0 ? each - 1 : i == MSUB__TRANSPORT_IOV - 1 ? each + 1 : each;
      iov[i] = (msub_bytes){ r->bytes + at, n };
      at += n;
    }
    CHECK(at == r->from + MAX_SEND);
    side_send(r->s, r->conn, iov, MSUB__TRANSPORT_IOV);
    CHECK(ops->send(r->s->tr, r->conn, iov, 1) == MSUB_ERR_STATE); /* one at a time */
    r->from = at;
  }
  ssize_t n = recv(r->fd, in, sizeof in, MSG_DONTWAIT);
  if (n <= 0) {
    CHECK(n < 0 && errno == EAGAIN);
    return;
  }
  CHECK(matches(in, (size_t)n, r->got));
  r->got += (size_t)n;
}
static bool slow_done(void *ud) {
  const slow_reader *r = ud;
  return r->got == r->all && !life_of(r->s, r->conn)->sending;
}

static void test_partial(void) {
  slow_reader r = { .all = 16 * MIB };
  uint8_t *bytes = malloc(r.all);
  CHECK(bytes);
  fill(bytes, r.all, 0);
  r.bytes = bytes;
  r.s = side_new();
  side_listen(r.s);
  r.fd = raw_socket();
  set_int(r.fd, SOL_SOCKET, SO_RCVBUF, 32 * 1024); /* before it connects, so that the window stays small */
  raw_connect_fd(r.fd, r.s->port);
  want w = { .s = r.s, .n = 1 };
  CHECK(side_until(r.s, has_accepted, &w));
  r.conn = r.s->last_accepted;
  msub_bytes iov[MSUB__TRANSPORT_IOV + 1];
  for (size_t i = 0; i < MSUB__TRANSPORT_IOV + 1; i++) iov[i] = (msub_bytes){ bytes, 1 };
  CHECK(ops->send(r.s->tr, r.conn, iov, MSUB__TRANSPORT_IOV + 1) == MSUB_ERR_INVAL);
  iov[0] = (msub_bytes){ bytes, MAX_SEND };
  CHECK(ops->send(r.s->tr, r.conn, iov, 2) == MSUB_ERR_INVAL);
  CHECK(run_until(&r.s, 1, slow_done, &r, WITHIN, slow_step));
  CHECK(life_of(r.s, r.conn)->out == r.all && r.s->sent == r.all / MAX_SEND);
  (void)close(r.fd);
  side_free(r.s);
  free(bytes);
}

typedef struct drip {
  side *s;
  uint32_t conn;
  int fd;
  size_t to_us, to_peer, got, all;
  uint8_t byte;
} drip;
static void drip_step(void *ud) {
  drip *d = ud;
  uint8_t b = pattern(d->to_us);
  if (d->to_us < d->all) CHECK(send(d->fd, &b, 1, MSG_NOSIGNAL) == 1);
  if (d->to_us < d->all) d->to_us++;
  if (!life_of(d->s, d->conn)->sending && d->to_peer < d->all) {
    const msub_bytes iov[3] = { { NULL, 0 }, { &d->byte, 1 }, { NULL, 0 } };
    d->byte = pattern(d->to_peer++);
    side_send(d->s, d->conn, iov, 3);
  }
  uint8_t in;
  while (recv(d->fd, &in, 1, MSG_DONTWAIT) == 1) CHECK(in == pattern(d->got++));
}
static bool drip_done(void *ud) {
  const drip *d = ud;
  const life *c = life_of(d->s, d->conn);
  return d->got == d->all && c->in == d->all && c->out == d->all;
}

static void test_one_byte(void) {
  drip d = { .all = 2000 };
  d.s = accepted_one(&d.fd, &d.conn);
  set_int(d.fd, IPPROTO_TCP, TCP_NODELAY, 1);
  side_read_on(d.s, d.conn);
  CHECK(run_until(&d.s, 1, drip_done, &d, WITHIN, drip_step));
  (void)close(d.fd);
  side_free(d.s);
}

/* Eight connections between two transports, both ways at once, pieces of every size. */
typedef struct weave {
  side *a, *b;
  uint32_t conn[2][8]; /* a's, b's */
  size_t at[2][8];
  uint8_t *bytes;
  size_t all;
  uint32_t rng;
} weave;
static uint32_t weave_rand(weave *w) {
  w->rng ^= w->rng << 13;
  w->rng ^= w->rng >> 17;
  return w->rng ^= w->rng << 5;
}
static void weave_step(void *ud) {
  weave *w = ud;
  for (unsigned k = 0; k < 16; k++) {
    side *s = k % 2 ? w->b : w->a;
    uint32_t conn = w->conn[k % 2][k / 2];
    size_t *at = &w->at[k % 2][k / 2], n = 0;
    if (life_of(s, conn)->sending || *at == w->all) continue;
    msub_bytes iov[MSUB__TRANSPORT_IOV];
    unsigned pieces = 1 + weave_rand(w) % MSUB__TRANSPORT_IOV;
    for (unsigned i = 0; i < pieces; i++) {
      size_t size = 1 + weave_rand(w) % (weave_rand(w) % 4 ? 3000 : 100000);
      if (size > w->all - *at - n) size = w->all - *at - n;
      iov[i] = (msub_bytes){ w->bytes + *at + n, size };
      n += size;
    }
    side_send(s, conn, iov, pieces);
    *at += n;
  }
}
static bool weave_done(void *ud) {
  weave *w = ud;
  for (unsigned k = 0; k < 16; k++) {
    if (life_of(k % 2 ? w->b : w->a, w->conn[k % 2][k / 2])->in != w->all) return false;
  }
  return true;
}

static void test_ordering(void) {
  weave w = { .a = side_new(), .b = side_new(), .all = MIB, .rng = 12345 };
  side *both[2] = { w.a, w.b };
  w.bytes = malloc(w.all);
  CHECK(w.bytes);
  fill(w.bytes, w.all, 0);
  side_listen(w.b);
  w.a->read_new = w.b->read_new = true;
  for (unsigned i = 0; i < 8; i++) {
    w.conn[0][i] = side_dial(w.a, w.b->port, i);
    want c = { .s = w.a, .n = i + 1 }, d = { .s = w.b, .n = i + 1 };
    CHECK(run_until(both, 2, has_connected, &c, WITHIN, NULL));
    CHECK(run_until(both, 2, has_accepted, &d, WITHIN, NULL));
    w.conn[1][i] = w.b->last_accepted;
  }
  CHECK(run_until(both, 2, weave_done, &w, WITHIN, weave_step));
  side_free(w.a);
  side_free(w.b);
  free(w.bytes);
}

/* Without credit nothing is read, so the sender stops; with credit all of it comes. */
static void test_back_pressure(void) {
  uint32_t from, to;
  side *s = connected_pair(&from, &to);
  uint8_t *bytes = malloc(MIB);
  CHECK(bytes);
  uint64_t quiet_since = now_ms();
  size_t sent = 0, all = 0;
  while (now_ms() - quiet_since < 2 * QUIET) {
    if (life_of(s, from)->out != sent) quiet_since = now_ms();
    sent = life_of(s, from)->out;
    CHECK(sent < 64 * MIB); /* what the system's buffers take is far less */
    if (!life_of(s, from)->sending) {
      fill(bytes, MIB, all);
      side_send(s, from, &(msub_bytes){ bytes, MIB }, 1);
      all += MIB;
    }
    want w = { .s = s, .conn = from };
    (void)run_until(&s, 1, was_sent, &w, 10, NULL);
  }
  CHECK(s->readable == 0 && all - sent <= MIB);
  side_recv(s, to); /* credit for one */
  CHECK(ops->recv(s->tr, to) == MSUB_ERR_STATE);
  want w = { .s = s, .conn = to, .bytes = 1 };
  CHECK(side_until(s, has_bytes, &w));
  side_for(s, QUIET);
  CHECK(life_of(s, to)->readables == 1);
  side_read_on(s, to);
  w.bytes = all;
  CHECK(side_until(s, has_bytes, &w));
  w.conn = from;
  CHECK(side_until(s, was_sent, &w));
  CHECK(life_of(s, from)->out == all && life_of(s, to)->in == all);
  side_free(s);
  free(bytes);
}

/* Both ends send and neither reads: both stop. Then each gets all of the other's. */
static void test_both_ways(void) {
  uint32_t end[2];
  side *s = connected_pair(&end[0], &end[1]);
  uint8_t *bytes = malloc(64 * MIB);
  CHECK(bytes);
  fill(bytes, 64 * MIB, 0);
  size_t all[2] = { 0, 0 }, out = SIZE_MAX;
  while (life_of(s, end[0])->out + life_of(s, end[1])->out != out) {
    out = life_of(s, end[0])->out + life_of(s, end[1])->out;
    for (unsigned k = 0; k < 2; k++) {
      if (life_of(s, end[k])->sending) continue;
      CHECK(all[k] < 64 * MIB); /* what the system's buffers take is far less */
      side_send(s, end[k], &(msub_bytes){ bytes + all[k], MIB }, 1);
      all[k] += MIB;
    }
    side_for(s, QUIET);
  }
  CHECK(s->readable == 0);
  for (unsigned k = 0; k < 2; k++) side_read_on(s, end[k]);
  for (unsigned k = 0; k < 2; k++) {
    want got = { .s = s, .conn = end[k], .bytes = all[1 - k] }, sent = { .s = s, .conn = end[k] };
    CHECK(side_until(s, has_bytes, &got) && side_until(s, was_sent, &sent));
    CHECK(life_of(s, end[k])->in == all[1 - k] && life_of(s, end[k])->out == all[k]);
  }
  CHECK(s->closed == 0);
  side_free(s);
  free(bytes);
}

/* ---- closing ---- */

enum { RECV = 1, SEND = 2, TWICE = 4, UNREAD = 8 };

/* Fills the way to a peer that does not read, so that a send stays outstanding. */
static void stuff(side *s, uint32_t conn, const uint8_t *bytes) {
  for (unsigned i = 0; i < 64; i++) {
    side_send(s, conn, &(msub_bytes){ bytes, MAX_SEND }, 1);
    want w = { .s = s, .conn = conn };
    if (!run_until(&s, 1, was_sent, &w, QUIET, NULL)) return;
  }
  CHECK(false);
}

static void close_case(unsigned what, const uint8_t *bytes) {
  int fd;
  uint32_t conn;
  side *s = accepted_one(&fd, &conn);
  if (what & RECV) side_recv(s, conn);
  if (what & SEND) stuff(s, conn, bytes);
  if (what & UNREAD) { /* an event that nobody has fetched */
    uint8_t b = pattern(0);
    CHECK(send(fd, &b, 1, 0) == 1);
    sleep_ms(30);
  }
  uint64_t begun = now_ms();
  side_close(s, conn);
  if (what & TWICE) side_close(s, conn);
  CHECK(now_ms() - begun < BLOCKED); /* never waits */
  const msub_bytes hi = { bytes, 1 };
  CHECK(ops->recv(s->tr, conn) == MSUB_ERR_STALE && ops->send(s->tr, conn, &hi, 1) == MSUB_ERR_STALE);
  want w = { .s = s, .conn = conn };
  CHECK(side_until(s, is_over, &w));
  if (what & TWICE) ops->close(s->tr, conn);
  CHECK(ops->recv(s->tr, conn) == MSUB_ERR_STALE);
  side_for(s, 30);
  CHECK(s->closed == 1 && life_of(s, conn)->ends == 1 && s->readable == 0);
  for (uint64_t end = now_ms() + WITHIN; !raw_ended(fd); sleep_ms(1)) CHECK(now_ms() < end);
  (void)close(fd);
  side_free(s);
}

static void test_close(void) {
  uint8_t *bytes = malloc(MAX_SEND);
  CHECK(bytes);
  fill(bytes, MAX_SEND, 0);
  for (unsigned what = 0; what < 8; what++) close_case(what, bytes);
  close_case(RECV | UNREAD, bytes);
  close_case(RECV | SEND | TWICE | UNREAD, bytes);
  free(bytes);
}

/* The same with the transport at both ends: each in turn closes, with bytes under way to it or not. */
static void test_close_pair(void) {
  uint8_t *bytes = malloc(MAX_SEND);
  CHECK(bytes);
  fill(bytes, MAX_SEND, 0);
  for (unsigned what = 0; what < 16; what++) {
    if (ws && what & 4) continue; /* cut off inside a frame, NNG does not tell the other end (docs/operations.md) */
    uint32_t end[2];
    side *s = connected_pair(&end[0], &end[1]);
    uint32_t closes = end[what & 1], other = end[!(what & 1)];
    if (what & 2) side_recv(s, closes);
    if (what & 4) side_send(s, closes, &(msub_bytes){ bytes, MAX_SEND }, 1);
    if (what & 8) side_send(s, other, &(msub_bytes){ bytes, MAX_SEND }, 1);
    side_close(s, closes);
    const msub_bytes hi = { bytes, 1 };
    CHECK(ops->recv(s->tr, closes) == MSUB_ERR_STALE && ops->send(s->tr, closes, &hi, 1) == MSUB_ERR_STALE);
    want w = { .s = s, .conn = closes };
    CHECK(side_until(s, is_over, &w));
    if (life_of(s, other)->live && ops->recv(s->tr, other) == MSUB_OK) /* the end of the peer is found by reading */
      life_of(s, other)->credit = life_of(s, other)->keep_reading = true;
    w.conn = other;
    CHECK(side_until(s, is_over, &w));
    side_for(s, 10);
    CHECK(s->closed == 2 && life_of(s, closes)->ends == 1 && life_of(s, other)->ends == 1);
    side_free(s);
  }
  free(bytes);
}

typedef struct open_door {
  side *s;
  int fd, in[32];
  size_t n;
} open_door;
static void set_nonblocking(int fd) { CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0); }
static void open_step(void *ud) {
  open_door *d = ud;
  int fd = accept(d->fd, NULL, NULL);
  if (fd >= 0) {
    CHECK(d->n < 32);
    d->in[d->n++] = fd;
  }
}
static bool door_passed(void *ud) { return ((const open_door *)ud)->s->connected > 0; }

/* A dial that hangs (the peer's backlog is full), one that may already stand, and one of which the event
 * waits to be fetched. */
static void test_close_dialing(void) {
  side *s = side_new();
  int door = raw_socket(), in_line[8];
  uint16_t port = raw_bind(door);
  CHECK(listen(door, 0) == 0);
  size_t n = 0;
  for (; n < 8; n++) {
    struct sockaddr_in a = to_port(port);
    in_line[n] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CHECK(in_line[n] >= 0);
    (void)connect(in_line[n], (const struct sockaddr *)(const void *)&a, sizeof a);
  }
  sleep_ms(50);
  for (unsigned i = 0; i < 20; i++) { /* a dial that hangs is not told as one that stands */
    uint32_t hanging = side_dial(s, port, 5);
    side_for(s, 20);
    CHECK(s->connected == 0 && s->failed == 0 && life_of(s, hanging)->dialing);
    side_close(s, hanging);
    want over = { .s = s, .n = 1 };
    CHECK(side_until(s, has_failed, &over) && s->err == MSUB_OK);
    s->failed = 0;
  }
  uint32_t conn = side_dial(s, port, 5);
  side_for(s, QUIET);
  bool hangs = s->connected == 0; /* the kernel may have found room for it */
  CHECK(s->failed == 0 && life_of(s, conn)->dialing == hangs);
  if (hangs) CHECK(ops->recv(s->tr, conn) == MSUB_ERR_STATE);
  uint64_t begun = now_ms();
  side_close(s, conn);
  side_close(s, conn);
  want w = { .s = s, .conn = conn };
  CHECK(side_until(s, is_over, &w));
  CHECK(now_ms() - begun < BLOCKED && s->failed == 1 && s->err == MSUB_OK && s->cookie == 5);
  /* … and stands when there is room: */
  s->failed = 0;
  conn = side_dial(s, port, 6);
  side_for(s, QUIET);
  CHECK(s->connected == 0 && s->failed == 0);
  set_nonblocking(door);
  open_door d = { .s = s, .fd = door };
  CHECK(run_until(&s, 1, door_passed, &d, WITHIN, open_step));
  CHECK(s->last_connected == conn && s->cookie == 6 && s->failed == 0 && s->remote.port == port);
  uint8_t hi = pattern(0);
  side_send(s, conn, &(msub_bytes){ &hi, 1 }, 1);
  w.conn = conn;
  CHECK(side_until(s, was_sent, &w));
  side_close(s, conn);
  CHECK(side_until(s, is_over, &w));
  while (d.n > 0) (void)close(d.in[--d.n]);
  while (n > 0) (void)close(in_line[--n]);
  (void)close(door);
  s->closed = 0;

  side_listen(s);
  for (unsigned i = 0; i < 40; i++) {
    s->failed = s->connected = 0;
    conn = side_dial(s, s->port, i);
    if (i % 4 == 1) sleep_ms(10); /* connected, not fetched */
    if (i % 4 == 2) sleep_ms(1);
    side_close(s, conn);
    w = (want){ .s = s, .n = 1 }; /* not its life by number: that may be another one's already */
    CHECK(side_until(s, has_failed, &w));
    CHECK(s->failed == 1 && s->connected == 0 && s->cookie == i && s->err == MSUB_OK);
  }
  s->read_new = true; /* those that were accepted hear of their end */
  for (uint32_t i = 1; i < CONNS; i++) {
    if (s->c[i].live) side_read_on(s, i);
  }
  w.n = s->accepted;
  CHECK(side_until(s, has_closed, &w));
  side_free(s);
}

static void test_close_accepted(void) {
  side *s = side_new();
  side_listen(s);
  for (unsigned i = 0; i < 50; i++) {
    int fd = raw_socket();
    raw_connect_fd(fd, s->port);
    if (i % 3 == 0) raw_reset(fd); /* gone before it was looked at */
    want w = { .s = s, .n = 1 };
    s->accepted = s->closed = 0;
    if (i % 3 == 0) {
      (void)run_until(&s, 1, has_accepted, &w, 20, NULL); /* may be dropped in the backlog */
      if (s->accepted == 0) continue;
    } else {
      CHECK(side_until(s, has_accepted, &w));
    }
    side_close(s, s->last_accepted);
    CHECK(side_until(s, has_closed, &w));
    side_for(s, 1);
    CHECK(s->closed == 1);
    if (i % 3) (void)close(fd);
  }
  side_free(s);
}

/* All that the peer had sent comes before its end. */
static void test_peer_close(void) {
  int fd;
  uint32_t conn;
  side *s = accepted_one(&fd, &conn);
  uint8_t bytes[20000];
  fill(bytes, sizeof bytes, 0);
  CHECK(send(fd, bytes, sizeof bytes, 0) == sizeof bytes);
  (void)close(fd);
  side_for(s, 50);
  CHECK(s->closed == 0 && s->readable == 0); /* nothing is read without credit */
  side_read_on(s, conn);
  want w = { .s = s, .conn = conn };
  CHECK(side_until(s, is_over, &w));
  CHECK(life_of(s, conn)->in == sizeof bytes && life_of(s, conn)->err == MSUB_ERR_CLOSED);
  side_for(s, QUIET);
  CHECK(s->closed == 1);
  side_close(s, conn); /* gone: nothing */
  side_for(s, 30);
  CHECK(s->closed == 1);
  side_free(s);
}

static void rst_case(unsigned what, const uint8_t *bytes) {
  int fd;
  uint32_t conn;
  side *s = accepted_one(&fd, &conn);
  if (what & RECV) side_recv(s, conn);
  if (what & SEND) stuff(s, conn, bytes);
  if (what & UNREAD) {
    uint8_t b[3000];
    fill(b, sizeof b, 0);
    CHECK(send(fd, b, sizeof b, 0) == sizeof b);
    side_for(s, 20);
  }
  raw_reset(fd);
  if (!(what & (RECV | SEND))) { /* nobody listens: it is told with the next credit */
    side_for(s, 20);
    side_read_on(s, conn);
  }
  want w = { .s = s, .conn = conn };
  CHECK(side_until(s, is_over, &w));
  CHECK(life_of(s, conn)->err == MSUB_ERR_CLOSED);
  side_for(s, 50);
  CHECK(s->closed == 1 && life_of(s, conn)->ends == 1);
  side_free(s);
}

static void test_peer_reset(void) {
  uint8_t *bytes = malloc(MAX_SEND);
  CHECK(bytes);
  fill(bytes, MAX_SEND, 0);
  for (unsigned i = 0; i < 3; i++) {
    rst_case(RECV, bytes);
    rst_case(SEND, bytes);
    rst_case(RECV | SEND, bytes);
    rst_case(0, bytes);
    rst_case(UNREAD, bytes);
    rst_case(UNREAD | SEND, bytes);
  }
  free(bytes);
}

/* The end of the transport with connections in every state: nothing is left, and nothing is waited for. */
static void test_fini(void) {
  uint8_t *bytes = malloc(MAX_SEND);
  CHECK(bytes);
  fill(bytes, MAX_SEND, 0);
  for (unsigned i = 0; i < 4; i++) {
    int fd;
    uint32_t conn;
    side *s = accepted_one(&fd, &conn);
    side_recv(s, conn);
    if (i % 2) stuff(s, conn, bytes);
    if (i > 1) side_close(s, conn);
    (void)side_dial(s, s->port, 1);
    (void)side_dial(s, s->port, 2);
    if (i == 1) sleep_ms(20);
    uint64_t begun = now_ms();
    side_free(s);
    CHECK(now_ms() - begun < BLOCKED);
    (void)close(fd);
  }
  free(bytes);
}

/* ---- descriptors ---- */

static void exchange_one(side *s, uint32_t a, uint32_t b) {
  uint8_t byte = pattern(life_of(s, b)->in);
  want w = { .s = s, .conn = b, .bytes = life_of(s, b)->in + 1 };
  side_send(s, a, &(msub_bytes){ &byte, 1 }, 1);
  CHECK(side_until(s, has_bytes, &w));
  w.conn = a;
  CHECK(side_until(s, was_sent, &w));
}

typedef struct both {
  side *s;
  int fd;
} both;
static bool accepted_or_ended(void *ud) {
  const both *b = ud;
  return b->s->accepted > 0 || raw_ended(b->fd);
}

static size_t first_fds; /* of the program, before any case */
static void fds_are(size_t n) {
  for (uint64_t end = now_ms() + WITHIN; open_fds() != n; sleep_ms(2)) CHECK(now_ms() < end);
}

static void test_no_descriptors(void) {
  fds_are(first_fds); /* none is given back while they have to be out */
  uint32_t dialer, acceptor;
  side *s = connected_pair(&dialer, &acceptor);
  side_read_on(s, dialer);
  side_read_on(s, acceptor);
  exchange_one(s, dialer, acceptor);
  for (unsigned round = 1; round <= 2; round++) {
    int fd = raw_socket(), spare[64];
    struct rlimit before, low;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    low = before;
    low.rlim_cur = (rlim_t)fd + 1; /* and every number below is taken */
    size_t n = 0;
    while (n < 64 && (spare[n] = dup(0)) >= 0 && spare[n] < fd) n++;
    CHECK(n < 64);
    if (spare[n] >= 0) (void)close(spare[n]);
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
    s->accepted = 0;
    raw_connect_fd(fd, s->port);
    want w = { .s = s, .n = round };
    CHECK(side_until(s, has_paused, &w));
    unsigned wakes = atomic_load(&s->wakes);
    for (unsigned i = 0; i < 20; i++) {
      exchange_one(s, i % 2 ? dialer : acceptor, i % 2 ? acceptor : dialer);
      side_for(s, 20);
    }
    CHECK(s->paused == round && s->closed == 0); /* told once */
    CHECK(atomic_load(&s->wakes) - wakes < 200); /* and no busy loop */
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    while (n > 0) (void)close(spare[--n]);
    both b = { s, fd };
    CHECK(side_until(s, accepted_or_ended, &b)); /* turned away while there were none, or served now */
    (void)close(fd);
    fd = raw_socket();
    s->accepted = 0;
    raw_connect_fd(fd, s->port);
    w.n = 1;
    CHECK(side_until(s, has_accepted, &w));
    exchange_one(s, dialer, acceptor);
    (void)close(fd);
  }
  CHECK(s->paused == 2 && s->closed == 0);
  side_free(s);
}

/* Nor can one dial then; later one can. */
static void test_dial_no_descriptors(void) {
  fds_are(first_fds);
  uint32_t dialer, acceptor;
  side *s = connected_pair(&dialer, &acceptor);
  side_read_on(s, dialer);
  side_read_on(s, acceptor);
  struct rlimit before, low;
  CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  low = before;
  low.rlim_cur = 3;
  CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
  for (unsigned i = 0; i < 3; i++) {
    s->failed = 0;
    (void)side_dial(s, s->port, i);
    want w = { .s = s, .n = 1 };
    CHECK(side_until(s, has_failed, &w));
    CHECK(s->err == MSUB_ERR_IO && s->cookie == i);
    exchange_one(s, i % 2 ? dialer : acceptor, i % 2 ? acceptor : dialer);
  }
  CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
  s->connected = 0;
  (void)side_dial(s, s->port, 9);
  want w = { .s = s, .n = 1 };
  CHECK(side_until(s, has_connected, &w) && s->cookie == 9 && s->closed == 0);
  side_free(s);
}

static bool all_in(void *ud) {
  const want *w = ud;
  size_t sum = 0;
  for (uint32_t i = 1; i < CONNS; i++) sum += w->s->c[i].live ? w->s->c[i].in : 0;
  return sum == w->bytes && w->s->sent == w->n;
}

static void test_many(void) {
  struct rlimit lim;
  CHECK(getrlimit(RLIMIT_NOFILE, &lim) == 0);
  if (lim.rlim_cur < 2048) {
    lim.rlim_cur = lim.rlim_max < 2048 ? lim.rlim_max : 2048;
    CHECK(setrlimit(RLIMIT_NOFILE, &lim) == 0);
  }
  fds_are(first_fds);
  side *s = side_new();
  side_listen(s);
  s->read_new = true;
  size_t fds = open_fds();
  for (unsigned round = 0; round < 2; round++) {
    uint32_t conn[500];
    s->accepted = s->connected = s->closed = 0;
    for (unsigned i = 0; i < 500; i++) {
      conn[i] = side_dial(s, s->port, i);
      if (i % 50) continue;
      want w = { .s = s, .n = i };
      CHECK(side_until(s, has_connected, &w));
    }
    want w = { .s = s, .n = 500 };
    CHECK(side_until(s, has_connected, &w) && side_until(s, has_accepted, &w));
    uint8_t bytes[1000];
    fill(bytes, sizeof bytes, 0);
    s->sent = 0;
    for (unsigned i = 0; i < 500; i++) side_send(s, conn[i], &(msub_bytes){ bytes, sizeof bytes }, 1);
    w = (want){ .s = s, .n = 500, .bytes = 500 * sizeof bytes };
    CHECK(side_until(s, all_in, &w));
    for (unsigned i = 0; i < 500; i++) side_close(s, conn[i]);
    w.n = 1000; /* ours, and the other ends of them */
    CHECK(side_until(s, has_closed, &w));
    for (uint64_t end = now_ms() + WITHIN; open_fds() > fds; side_for(s, 5)) CHECK(now_ms() < end);
    CHECK(s->closed == 1000);
  }
  side_free(s);
}

/* ---- */

static const test_case cases[] = {
  { "connect", test_connect },
  { "ipv6", test_ipv6 },
  { "refused", test_refused },
  { "partial", test_partial },
  { "one-byte", test_one_byte },
  { "ordering", test_ordering },
  { "back-pressure", test_back_pressure },
  { "both-ways", test_both_ways },
  { "close", test_close },
  { "close-pair", test_close_pair },
  { "close-dialing", test_close_dialing },
  { "close-accepted", test_close_accepted },
  { "peer-close", test_peer_close },
  { "peer-reset", test_peer_reset },
  { "fini", test_fini },
  { "no-descriptors", test_no_descriptors },
  { "dial-no-descriptors", test_dial_no_descriptors },
  { "many", test_many },
};

/* Those that have no raw socket at one end. */
static const test_case cases_ws[] = {
  { "connect", test_connect },         { "ipv6", test_ipv6 }, { "refused", test_refused },
  { "ordering", test_ordering },       { "both-ways", test_both_ways }, { "close-pair", test_close_pair },
  { "many", test_many },
};

int transport_suite_ws(const msub_transport_ops *which, int argc, char **argv) {
  ops = which;
  ws = true;
  side_free(side_new());
  first_fds = open_fds();
  return run_cases(cases_ws, sizeof cases_ws / sizeof *cases_ws, argc, argv);
}

int transport_suite(const msub_transport_ops *which, int argc, char **argv) {
  ops = which;
  CHECK(ops->abi == MSUB_ABI && ops->size == sizeof *ops);
  side_free(side_new()); /* what an implementation sets up once for the process stays */
  first_fds = open_fds();
  int rc = run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
  CHECK(live_bytes == 0);
  fds_are(first_fds);
  return rc;
}
