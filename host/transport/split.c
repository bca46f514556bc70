/* host/transport/split.c: epoll for TCP, and NNG for WebSocket once somebody needs it: two transports as one. Their numbers share one
 * space: even ones are epoll's, odd ones NNG's.
 *
 *              ┌─▶ epoll ──▶ its descriptor ─┐
 *   loop ──▶ split                           ├─▶ loop sleeps on epoll's, which shows the wake's too
 *              └─▶ NNG   ──▶ wake ───────────┘
 */
#include "base/deadline.h"
#include "base/mem.h"
#include "host/transport/transport.h"

#define EPOLL (&msub__transport_epoll)
#define NNG (&msub__transport_nng)

typedef struct split {
  msub_mem mem;
  msub_log log;
  bool has_log, turn; /* turn: whose event is fetched first next time */
  void (*wake)(void *ud);
  void *wake_ud;
  void *of[2]; /* epoll, NNG (NULL: not made) */
} split;

static const msub_transport_ops *which(uint32_t id) { return id & 1 ? NNG : EPOLL; }
static void *self_of(const split *s, uint32_t id) { return s->of[id & 1]; }
static uint32_t outer(uint32_t inner, unsigned k) { return inner << 1 | k; } /* slots.h: at most 2^20 */

static int op_init(void **self, const msub_mem *mem, void (*wake)(void *ud), void *wake_ud, const msub_log *log) {
  msub_mem m = mem ? *mem : msub__mem_default();
  split *s = msub__zalloc(&m, 1, sizeof *s);
  if (!s) return MSUB_ERR_NOMEM;
  *s = (split){ .mem = m, .wake = wake, .wake_ud = wake_ud, .has_log = log != NULL };
  if (log) s->log = *log;
  int err = EPOLL->init(&s->of[0], mem, wake, wake_ud, log);
  if (err != MSUB_OK) msub__free(&m, s, sizeof *s);
  else *self = s;
  return err;
}

static void op_fini(void *self) {
  split *s = self;
  msub_mem m = s->mem;
  if (s->of[1]) NNG->fini(s->of[1]);
  EPOLL->fini(s->of[0]);
  msub__free(&m, s, sizeof *s);
}

/* The transport for an address, made when it is not there. */
static int have(split *s, bool ws) {
  if (s->of[ws]) return MSUB_OK;
  return NNG->init(&s->of[1], &s->mem, s->wake, s->wake_ud, s->has_log ? &s->log : NULL);
}

static int op_listen(void *self, const msub__tr_addr *at, uint32_t *listener, uint16_t *port, const char **why) {
  split *s = self;
  *why = "out of memory";
  int err = have(s, at->ws);
  if (err == MSUB_OK) err = which(at->ws)->listen(s->of[at->ws], at, listener, port, why);
  if (err == MSUB_OK) *listener = outer(*listener, at->ws);
  return err;
}

static void op_unlisten(void *self, uint32_t listener) {
  if (self_of(self, listener)) which(listener)->unlisten(self_of(self, listener), listener >> 1);
}

static int op_dial(void *self, const msub__tr_addr *to, uint64_t cookie, uint32_t *conn) {
  split *s = self;
  int err = have(s, to->ws);
  if (err == MSUB_OK) err = which(to->ws)->dial(s->of[to->ws], to, cookie, conn);
  if (err == MSUB_OK) *conn = outer(*conn, to->ws);
  return err;
}

static int op_send(void *self, uint32_t conn, const msub_bytes *iov, size_t n) {
  void *of = self_of(self, conn);
  return of ? which(conn)->send(of, conn >> 1, iov, n) : MSUB_ERR_STALE;
}

static int op_recv(void *self, uint32_t conn) {
  void *of = self_of(self, conn);
  return of ? which(conn)->recv(of, conn >> 1) : MSUB_ERR_STALE;
}

static void op_close(void *self, uint32_t conn) {
  void *of = self_of(self, conn);
  if (of) which(conn)->close(of, conn >> 1);
}

static bool next_of(split *s, unsigned k, uint64_t now, msub__tr_event *out) {
  if (!s->of[k] || !which(k)->next(s->of[k], now, out)) return false;
  if (out->conn) out->conn = outer(out->conn, k);
  if (out->listener) out->listener = outer(out->listener, k);
  return true;
}

static bool op_next(void *self, uint64_t now, msub__tr_event *out) {
  split *s = self;
  unsigned first = s->turn;
  s->turn = !s->turn && s->of[1];
  return next_of(s, first, now, out) || next_of(s, !first, now, out);
}

static uint64_t op_next_deadline(void *self) {
  const split *s = self;
  uint64_t at = EPOLL->next_deadline(s->of[0]);
  return s->of[1] ? msub__sooner(at, NNG->next_deadline(s->of[1])) : at;
}

static int op_fd(void *self, int wake_fd) {
  const split *s = self;
  return EPOLL->fd(s->of[0], wake_fd);
}

const msub_transport_ops msub__transport_split = {
  .abi = MSUB_ABI,
  .size = sizeof(msub_transport_ops),
  .name = "epoll",
  .init = op_init,
  .fini = op_fini,
  .listen = op_listen,
  .unlisten = op_unlisten,
  .dial = op_dial,
  .send = op_send,
  .recv = op_recv,
  .close = op_close,
  .next = op_next,
  .next_deadline = op_next_deadline,
  .fd = op_fd,
};
