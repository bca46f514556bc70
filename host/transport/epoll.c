/* host/transport/epoll.c: TCP over non-blocking sockets and one epoll set, all on the loop's thread.
 *
 *   kernel ──edge──▶ poll_kernel(): marks what a socket can do ──▶ active list ──▶ next(): does one thing of it, tells one event
 *                                                                     ▲
 *   recv(), send(), close() ──── what can be done at once ────────────┘
 *
 * Every socket is registered once, edge-triggered, for both directions, so that neither credit nor a send costs a system call of
 * its own. What an edge said is remembered (readable, writable) until the system says EAGAIN, or reads less than was asked for,
 * which says the same; bytes that nobody has credit for stay with the system.
 *
 * A connection or listener is on the active list exactly when it may have an event or something to do. A turn of the loop takes
 * them in order and asks the kernel once more when it is through, or after POLL_EVERY events, so that one busy connection
 * keeps nobody out. */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/assert.h"
#include "base/deadline.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "host/transport/accept_pause.h"
#include "host/transport/read_buf.h"
#include "host/transport/slots.h"
#include "host/transport/transport.h"

#define MODULE "transport"
#define MAX_LISTENERS 256u
#define BACKLOG 1024
#define BATCH 64
#define POLL_EVERY 64u

/* What a descriptor in the epoll set is; the first member of both kinds. */
typedef struct source {
  msub__node in_active;
  int fd;
  bool is_listener, readable;
} source;

typedef enum conn_state { DIALING, OPEN, ENDING } conn_state;

typedef struct conn {
  source src;
  uint32_t id;
  uint8_t state; /* conn_state */
  bool announced; /* ACCEPTED or CONNECTED was fetched */
  bool writable, hung_up; /* hung_up: the end is behind what can be read; no other edge will say so */
  bool credit, sending, sent;
  int err;
  const char *text;
  uint64_t cookie;
  size_t send_n;
  unsigned iov_at, iov_n; /* what of the send has not gone out */
  struct iovec iov[MSUB__TRANSPORT_IOV];
  msub__tr_addr dest;
  msub__read_buf buf;
} conn;

typedef struct listener {
  source src;
  uint32_t id;
  msub__accept_pause pause;
} listener;

typedef struct transport {
  msub_mem mem;
  msub_log log;
  int ep;
  int reserve; /* accept_pause.h */
  uint64_t now, resume_at; /* resume_at: of the first listener that pauses; never later than true */
  msub__node active;
  unsigned since_poll;
  bool polled; /* since next() last answered that there is nothing */
  msub__slots conns;
  listener *listeners[MAX_LISTENERS];
  msub__read_bufs bufs;
} transport;

/* Errors and addresses ---------------------------------------------------------------------------------------------- */

typedef struct reason { int err; const char *text; } reason;

static reason reason_of(int e) {
  switch (e) {
  case 0:
  case EPIPE: return (reason){ MSUB_ERR_CLOSED, "closed by the peer" };
  case ECONNRESET: return (reason){ MSUB_ERR_CLOSED, "reset by the peer" };
  case ECONNABORTED: return (reason){ MSUB_ERR_CLOSED, "aborted" };
  case ECONNREFUSED: return (reason){ MSUB_ERR_REFUSED, "connection refused" };
  case ETIMEDOUT: return (reason){ MSUB_ERR_TIMEOUT, "connection timed out" };
  case ENETUNREACH:
  case EHOSTUNREACH: return (reason){ MSUB_ERR_IO, "network or host unreachable" };
  case EADDRNOTAVAIL:
  case EAFNOSUPPORT: return (reason){ MSUB_ERR_IO, "address not available" };
  case EADDRINUSE: return (reason){ MSUB_ERR_REFUSED, "address in use" };
  case EACCES:
  case EPERM: return (reason){ MSUB_ERR_IO, "permission denied" };
  case EMFILE:
  case ENFILE: return (reason){ MSUB_ERR_IO, "out of file descriptors" };
  case ENOBUFS:
  case ENOMEM: return (reason){ MSUB_ERR_IO, "out of memory in the system" };
  default: return (reason){ MSUB_ERR_IO, "input or output failed" };
  }
}
static bool would_block(int e) { return e == EAGAIN; } /* EWOULDBLOCK is the same on Linux */

typedef union sock_addr {
  struct sockaddr any;
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
} sock_addr;

static bool to_system(const msub__tr_addr *a, sock_addr *out, socklen_t *n) {
  memset(out, 0, sizeof *out);
  if (a->n == 4) {
    out->in.sin_family = AF_INET;
    out->in.sin_port = htons(a->port);
    memcpy(&out->in.sin_addr, a->ip, 4);
    *n = sizeof out->in;
  } else if (a->n == 16) {
    out->in6.sin6_family = AF_INET6;
    out->in6.sin6_port = htons(a->port);
    memcpy(&out->in6.sin6_addr, a->ip, 16);
    *n = sizeof out->in6;
  }
  return a->n == 4 || a->n == 16;
}

static msub__tr_addr from_system(const sock_addr *s) {
  msub__tr_addr a = { 0 };
  if (s->any.sa_family == AF_INET) {
    a.n = 4;
    a.port = ntohs(s->in.sin_port);
    memcpy(a.ip, &s->in.sin_addr, 4);
  } else if (s->any.sa_family == AF_INET6) {
    a.n = 16;
    a.port = ntohs(s->in6.sin6_port);
    memcpy(a.ip, &s->in6.sin6_addr, 16);
  }
  return a;
}

static msub__tr_addr local_of(int fd) {
  sock_addr s = { .any = { .sa_family = AF_UNSPEC } };
  socklen_t n = sizeof s;
  return getsockname(fd, &s.any, &n) == 0 ? from_system(&s) : (msub__tr_addr){ 0 };
}

static bool set_on(int fd, int level, int name) {
  const int on = 1;
  return setsockopt(fd, level, name, &on, sizeof on) == 0;
}

/* The active list --------------------------------------------------------------------------------------------------- */

static void activate(transport *t, source *s) {
  if (msub__list_empty(&s->in_active)) msub__list_push(&t->active, &s->in_active);
}

static bool watch(transport *t, source *s, uint32_t events) {
  struct epoll_event ev = { .events = events | EPOLLET, .data = { .ptr = s } };
  return epoll_ctl(t->ep, EPOLL_CTL_ADD, s->fd, &ev) == 0;
}

static void poll_kernel(transport *t) {
  struct epoll_event ev[BATCH];
  int n = epoll_wait(t->ep, ev, BATCH, 0);
  t->since_poll = 0;
  for (int i = 0; i < n; i++) {
    source *s = ev[i].data.ptr;
    if (!s) continue; /* the loop's own descriptor, which the loop looks at */
    uint32_t e = ev[i].events;
    if (e & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) s->readable = true;
    if (!s->is_listener) {
      conn *c = (conn *)s;
      if (e & (EPOLLOUT | EPOLLHUP | EPOLLERR)) c->writable = true;
      if (e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) c->hung_up = true;
    }
    activate(t, s);
  }
}

/* Connections ------------------------------------------------------------------------------------------------------- */

static conn *find(const transport *t, uint32_t id) { return msub__slots_find(&t->conns, id); }

static void shut(source *s) {
  if (s->fd >= 0) (void)close(s->fd); /* which takes it out of the epoll set: nobody else has this socket */
  s->fd = -1;
}

static int conn_new(transport *t, int fd, conn **out) {
  conn *c = msub__zalloc(&t->mem, 1, sizeof *c);
  if (!c) return MSUB_ERR_NOMEM;
  msub__list_init(&c->src.in_active);
  c->src.fd = fd;
  int err = msub__slots_take(&t->conns, &t->mem, c, &c->id);
  if (err != MSUB_OK) {
    msub__free(&t->mem, c, sizeof *c);
    return err;
  }
  *out = c;
  return MSUB_OK;
}

static void conn_free(transport *t, conn *c) {
  shut(&c->src);
  msub__list_remove(&c->src.in_active);
  msub__read_buf_give(&t->bufs, &t->mem, &c->buf);
  msub__slots_give(&t->conns, c->id);
  msub__free(&t->mem, c, sizeof *c);
}

/* The peer hears of it now; its one event is fetched later. */
static void end_conn(transport *t, conn *c, reason why) {
  if (c->state == ENDING) return;
  c->state = ENDING;
  c->err = why.err;
  c->text = why.text;
  shut(&c->src);
  activate(t, &c->src);
}

static bool gone(transport *t, conn *c, msub__tr_event *out) {
  *out = (msub__tr_event){ .kind = c->announced ? MSUB__TR_CLOSED : MSUB__TR_DIAL_FAILED, .conn = c->id,
                           .cookie = c->cookie, .err = c->err, .text = c->text };
  conn_free(t, c);
  return true;
}

/* Listening --------------------------------------------------------------------------------------------------------- */

static bool pause_accept(transport *t, listener *l, const char *text, msub__tr_event *out) {
  bool first = msub__accept_failed(&l->pause, t->now);
  t->resume_at = msub__sooner(t->resume_at, l->pause.resume_at);
  if (!first) return false;
  *out = (msub__tr_event){ .kind = MSUB__TR_ACCEPT_PAUSED, .listener = l->id, .err = MSUB_ERR_LIMIT, .text = text };
  return true;
}

/* With the reserve given up, accept can succeed: accept_one() takes it again or pauses anew. */
static void resume_accepts(transport *t) {
  t->resume_at = MSUB_NEVER;
  for (unsigned i = 0; i < MAX_LISTENERS; i++) {
    listener *l = t->listeners[i];
    if (!l || !l->pause.paused) continue;
    if (!msub__passed(l->pause.resume_at, t->now)) {
      t->resume_at = msub__sooner(t->resume_at, l->pause.resume_at);
      continue;
    }
    msub__reserve_give(&t->reserve);
    l->src.readable = true;
    l->pause.resume_at = 0;
    activate(t, &l->src);
  }
}

static bool accepted(transport *t, const listener *l, int fd, const sock_addr *from, msub__tr_event *out) {
  msub__tr_addr remote = from_system(from);
  conn *c = NULL;
  /* Without a remote address it was reset in the backlog. */
  if (remote.n == 0 || !set_on(fd, IPPROTO_TCP, TCP_NODELAY) || conn_new(t, fd, &c) != MSUB_OK) {
    (void)close(fd);
    return false;
  }
  c->state = OPEN;
  c->announced = true;
  c->writable = true;
  if (!watch(t, &c->src, EPOLLIN | EPOLLOUT | EPOLLRDHUP)) {
    conn_free(t, c);
    return false;
  }
  *out = (msub__tr_event){ .kind = MSUB__TR_ACCEPTED, .conn = c->id, .listener = l->id, .remote = remote, .local = local_of(fd) };
  return true;
}

/* Accepts one connection; while there may be more the listener stays active. */
static bool accept_one(transport *t, listener *l, msub__tr_event *out) {
  sock_addr from = { .any = { .sa_family = AF_UNSPEC } };
  socklen_t n = sizeof from;
  if (!l->src.readable || (l->pause.paused && l->pause.resume_at != 0)) return false;
  int fd = accept4(l->src.fd, &from.any, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0 && would_block(errno)) {
    l->src.readable = false;
    if (!l->pause.paused) return false;
    if (!msub__reserve_take(&t->reserve)) return pause_accept(t, l, reason_of(EMFILE).text, out);
    (void)msub__accept_worked(&l->pause); /* nobody waits, and there are descriptors again */
    return false;
  }
  if (fd < 0 && (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)) {
    activate(t, &l->src);
    return false;
  }
  if (fd < 0) return pause_accept(t, l, reason_of(errno).text, out);
  if (!msub__reserve_take(&t->reserve)) {
    (void)close(fd);
    return pause_accept(t, l, reason_of(EMFILE).text, out);
  }
  if (msub__accept_worked(&l->pause)) MSUB__LOG(&t->log, MSUB_LOG_INFO, MODULE, "accepting again");
  activate(t, &l->src);
  return accepted(t, l, fd, &from, out);
}

static void free_listener(transport *t, listener *l) {
  shut(&l->src);
  msub__list_remove(&l->src.in_active);
  t->listeners[l->id - 1] = NULL;
  msub__free(&t->mem, l, sizeof *l);
}

/* A wildcard of IPv6 is of IPv6 alone, so that both wildcards can have the same port. */
static int bind_and_listen(int fd, const msub__tr_addr *at, const sock_addr *s, socklen_t n) {
  if (!set_on(fd, SOL_SOCKET, SO_REUSEADDR)) return errno;
  if (at->n == 16 && !set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY)) return errno;
  if (bind(fd, &s->any, n) != 0 || listen(fd, BACKLOG) != 0) return errno;
  return 0;
}

static int op_listen(void *self, const msub__tr_addr *at, uint32_t *id, uint16_t *port, const char **why) {
  transport *t = self;
  sock_addr s;
  socklen_t n = 0;
  *why = "invalid address";
  if (!to_system(at, &s, &n)) return MSUB_ERR_INVAL;
  *why = "no WebSocket here";
  if (at->ws) return MSUB_ERR_UNSUPPORTED;
  unsigned i = 0;
  while (i < MAX_LISTENERS && t->listeners[i]) i++;
  *why = "too many listeners";
  if (i == MAX_LISTENERS) return MSUB_ERR_LIMIT;
  *why = "out of memory";
  listener *l = msub__zalloc(&t->mem, 1, sizeof *l);
  if (!l) return MSUB_ERR_NOMEM;
  msub__list_init(&l->src.in_active);
  l->id = i + 1;
  l->src.is_listener = true;
  l->src.fd = socket(s.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int e = l->src.fd < 0 ? errno : bind_and_listen(l->src.fd, at, &s, n);
  if (e == 0 && !watch(t, &l->src, EPOLLIN)) e = errno;
  if (e != 0) {
    shut(&l->src);
    msub__free(&t->mem, l, sizeof *l);
    reason r = reason_of(e);
    *why = r.text;
    return r.err;
  }
  t->listeners[i] = l;
  (void)msub__reserve_take(&t->reserve);
  *id = l->id;
  *port = local_of(l->src.fd).port;
  *why = NULL;
  return MSUB_OK;
}

static void op_unlisten(void *self, uint32_t id) {
  transport *t = self;
  if (id >= 1 && id <= MAX_LISTENERS && t->listeners[id - 1]) free_listener(t, t->listeners[id - 1]);
}

/* Dialing ----------------------------------------------------------------------------------------------------------- */

/* 0, or the system's error. The outcome of a connect that is under way is an edge. */
static int begin_dial(transport *t, conn *c, const sock_addr *s, socklen_t n) {
  c->src.fd = socket(s->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->src.fd < 0 || !set_on(c->src.fd, IPPROTO_TCP, TCP_NODELAY)) return errno;
  if (connect(c->src.fd, &s->any, n) != 0 && errno != EINPROGRESS) return errno;
  return watch(t, &c->src, EPOLLIN | EPOLLOUT | EPOLLRDHUP) ? 0 : errno;
}

static int op_dial(void *self, const msub__tr_addr *to, uint64_t cookie, uint32_t *id) {
  transport *t = self;
  sock_addr s;
  socklen_t n = 0;
  conn *c;
  if (to->port == 0 || !to_system(to, &s, &n)) return MSUB_ERR_INVAL;
  if (to->ws) return MSUB_ERR_UNSUPPORTED;
  int err = conn_new(t, -1, &c);
  if (err) return err;
  c->state = DIALING;
  c->cookie = cookie;
  c->dest = *to;
  *id = c->id;
  int e = begin_dial(t, c, &s, n);
  if (e != 0) end_conn(t, c, reason_of(e));
  return MSUB_OK;
}

static bool dialed(transport *t, conn *c, msub__tr_event *out) {
  if (!c->writable) return false;
  int e = 0;
  socklen_t n = sizeof e;
  if (getsockopt(c->src.fd, SOL_SOCKET, SO_ERROR, &e, &n) != 0) e = errno;
  if (e != 0) {
    end_conn(t, c, reason_of(e));
    return false;
  }
  c->state = OPEN;
  c->announced = true;
  *out = (msub__tr_event){ .kind = MSUB__TR_CONNECTED, .conn = c->id, .cookie = c->cookie, .remote = c->dest, .local = local_of(c->src.fd) };
  return true;
}

/* Bytes ------------------------------------------------------------------------------------------------------------- */

static int op_recv(void *self, uint32_t id) {
  transport *t = self;
  conn *c = find(t, id);
  if (!c || c->state == ENDING) return MSUB_ERR_STALE;
  if (c->state != OPEN || c->credit) return MSUB_ERR_STATE;
  msub__read_buf_give(&t->bufs, &t->mem, &c->buf); /* an idle connection holds none */
  c->credit = true;
  if (c->src.readable) activate(t, &c->src);
  return MSUB_OK;
}

static bool receive(transport *t, conn *c, msub__tr_event *out) {
  if (!msub__read_buf_have(&t->bufs, &t->mem, &c->buf)) {
    end_conn(t, c, reason_of(ENOMEM));
    return false;
  }
  size_t cap = msub__read_buf_cap(&c->buf);
  ssize_t n;
  do n = recv(c->src.fd, c->buf.p, cap, 0);
  while (n < 0 && errno == EINTR);
  if (n > 0) {
    msub__read_buf_learn(&c->buf, (size_t)n);
    c->src.readable = (size_t)n == cap || c->hung_up;
    c->credit = false;
    *out = (msub__tr_event){ .kind = MSUB__TR_READABLE, .conn = c->id, .data = c->buf.p, .n = (size_t)n };
    return true;
  }
  if (n < 0 && would_block(errno)) {
    c->src.readable = false;
    msub__read_buf_give(&t->bufs, &t->mem, &c->buf);
  } else {
    end_conn(t, c, reason_of(n == 0 ? 0 : errno));
  }
  return false;
}

/* Sends what the system takes. That it took less than all says that it is full. */
static void send_rest(transport *t, conn *c) {
  struct msghdr m = { .msg_iov = &c->iov[c->iov_at], .msg_iovlen = c->iov_n - c->iov_at };
  ssize_t n;
  do n = sendmsg(c->src.fd, &m, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0 && !would_block(errno)) {
    end_conn(t, c, reason_of(errno));
    return;
  }
  size_t left = n < 0 ? 0 : (size_t)n;
  while (c->iov_at < c->iov_n && left >= c->iov[c->iov_at].iov_len) left -= c->iov[c->iov_at++].iov_len;
  if (c->iov_at == c->iov_n) {
    c->sent = true;
    activate(t, &c->src);
    return;
  }
  c->writable = false;
  struct iovec *v = &c->iov[c->iov_at];
  v->iov_base = (uint8_t *)v->iov_base + left;
  v->iov_len -= left;
}

static int op_send(void *self, uint32_t id, const msub_bytes *iov, size_t n) {
  transport *t = self;
  conn *c = find(t, id);
  if (!c || c->state == ENDING) return MSUB_ERR_STALE;
  if (c->state != OPEN || c->sending) return MSUB_ERR_STATE;
  if (n > MSUB__TRANSPORT_IOV) return MSUB_ERR_INVAL;
  size_t total = 0;
  unsigned pieces = 0;
  for (size_t i = 0; i < n; i++) {
    if (iov[i].n == 0) continue;
    if (iov[i].n > MSUB__TRANSPORT_SEND - total) return MSUB_ERR_INVAL;
    total += iov[i].n;
    /* The system's type lacks the const; it only reads them. */
    c->iov[pieces++] = (struct iovec){ .iov_base = (void *)(uintptr_t)iov[i].p, .iov_len = iov[i].n };
  }
  if (total == 0) return MSUB_ERR_INVAL;
  c->iov_at = 0;
  c->iov_n = pieces;
  c->send_n = total;
  c->sending = true;
  if (c->writable) send_rest(t, c);
  return MSUB_OK;
}

static void op_close(void *self, uint32_t id) {
  conn *c = find(self, id);
  if (c) end_conn(self, c, (reason){ MSUB_OK, "closed by us" });
}

/* The loop's side --------------------------------------------------------------------------------------------------- */

/* One event of a connection, if it has one. It goes to the end of the list when there may be another. */
static bool work_on(transport *t, conn *c, msub__tr_event *out) {
  if (c->state == DIALING && dialed(t, c, out)) return true;
  if (c->state == OPEN && c->sending && !c->sent && c->writable) send_rest(t, c);
  if (c->state == ENDING) return gone(t, c, out);
  if (c->state != OPEN) return false;
  if (c->sent) {
    c->sent = c->sending = false;
    if (c->credit && c->src.readable) activate(t, &c->src);
    *out = (msub__tr_event){ .kind = MSUB__TR_SENT, .conn = c->id, .n = c->send_n };
    return true;
  }
  return c->credit && c->src.readable && receive(t, c, out);
}

static bool op_next(void *self, uint64_t now_mono_ns, msub__tr_event *out) {
  transport *t = self;
  t->now = now_mono_ns;
  if (msub__passed(t->resume_at, now_mono_ns)) resume_accepts(t);
  for (;;) {
    if (t->since_poll >= POLL_EVERY) poll_kernel(t);
    msub__node *n = msub__list_first(&t->active);
    if (!n && !t->polled) {
      t->polled = true;
      poll_kernel(t);
      n = msub__list_first(&t->active);
    }
    if (!n) {
      t->polled = false;
      return false;
    }
    msub__list_remove(n);
    t->since_poll++;
    source *s = MSUB__OF(n, source, in_active);
    if (s->is_listener ? accept_one(t, (listener *)s, out) : work_on(t, (conn *)s, out)) return true;
  }
}

static uint64_t op_next_deadline(void *self) {
  const transport *t = self;
  return msub__list_empty(&t->active) ? t->resume_at : 0;
}

static int op_fd(void *self, int wake_fd) {
  transport *t = self;
  struct epoll_event ev = { .events = EPOLLIN, .data = { .ptr = NULL } };
  return epoll_ctl(t->ep, EPOLL_CTL_ADD, wake_fd, &ev) == 0 ? t->ep : -1;
}

static int op_init(void **self, const msub_mem *mem, void (*wake)(void *ud), void *wake_ud, const msub_log *log) {
  msub_mem m = mem ? *mem : msub__mem_default();
  (void)wake;
  (void)wake_ud;
  transport *t = msub__zalloc(&m, 1, sizeof *t);
  if (!t) return MSUB_ERR_NOMEM;
  t->mem = m;
  if (log) t->log = *log;
  t->reserve = -1;
  t->resume_at = MSUB_NEVER;
  msub__list_init(&t->active);
  t->ep = epoll_create1(EPOLL_CLOEXEC);
  if (t->ep < 0) {
    msub__free(&m, t, sizeof *t);
    return MSUB_ERR_IO;
  }
  *self = t;
  return MSUB_OK;
}

static void op_fini(void *self) {
  transport *t = self;
  for (unsigned i = 0; i < MAX_LISTENERS; i++)
    if (t->listeners[i]) free_listener(t, t->listeners[i]);
  for (uint32_t id = 1; id <= t->conns.cap; id++)
    if (find(t, id)) conn_free(t, find(t, id));
  msub__read_bufs_fini(&t->bufs, &t->mem);
  msub__slots_fini(&t->conns, &t->mem);
  msub__reserve_give(&t->reserve);
  (void)close(t->ep);
  msub_mem m = t->mem;
  msub__free(&m, t, sizeof *t);
}

const msub_transport_ops msub__transport_epoll = {
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
