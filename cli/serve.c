#include "cli/serve.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536u
#define ACCEPT_PAUSE_NS 100000000u
#define KEPT_BYTES 65536u /* of an empty buffer */

void server_init(server *s, int fd, void *ud) {
  *s = (server){ .fd = fd, .ud = ud, .in_max = 65536, .out_high = 65536 };
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void wipe(const client *c) {
  if (!c->secret) return;
  if (c->in) explicit_bzero(c->in, c->in_cap);
  if (c->out) explicit_bzero(c->out, c->out_cap);
}

static void drop(server *s, size_t i) {
  client *c = s->clients[i];
  s->clients[i] = s->clients[--s->n];
  if (s->closed) s->closed(c);
  close(c->fd);
  wipe(c);
  free(c->in);
  free(c->out);
  free(c);
}

void server_close(server *s) {
  while (s->n) drop(s, s->n - 1);
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
}

size_t client_waiting(const client *c) { return c->out_n - c->out_at; }
void client_end(client *c) { c->ending = true; }
static bool reads(const client *c) {
  if (c->shut) return !c->input_ended;
  return !c->ending && !c->input_ended && client_waiting(c) < c->server->out_high && c->in_n < c->server->in_max;
}

void client_send(client *c, const void *bytes, size_t n) {
  if (c->gone || n == 0) return;
  if (client_waiting(c) == 0) {
    c->out_at = c->out_n = 0;
    c->moved_ns = mono_ns();
  }
  if (c->out_cap - c->out_n < n && c->out_at) {
    memmove(c->out, c->out + c->out_at, client_waiting(c));
    c->out_n -= c->out_at;
    c->out_at = 0;
  }
  if (c->out_cap - c->out_n < n) {
    uint8_t *old = c->out;
    size_t cap = c->out_n + n + 4096;
    c->out = c->secret ? take(cap) : grow(old, cap, 1);
    if (c->secret && old) { /* realloc() would leave a copy */
      memcpy(c->out, old, c->out_n);
      explicit_bzero(old, c->out_cap);
      free(old);
    }
    c->out_cap = cap;
  }
  memcpy(c->out + c->out_n, bytes, n);
  c->out_n += n;
}

size_t server_fds(const server *s, struct pollfd *fds) {
  bool pauses = s->accept_at > mono_ns();
  fds[0] = (struct pollfd){ .fd = pauses ? -1 : s->fd, .events = POLLIN };
  for (size_t i = 0; i < s->n; i++) {
    const client *c = s->clients[i];
    short events = 0;
    if (reads(c)) events |= POLLIN;
    if (client_waiting(c)) events |= POLLOUT;
    fds[i + 1] = (struct pollfd){ .fd = c->fd, .events = events };
  }
  return s->n + 1;
}

/* Of one client; MSUB_NEVER. */
static uint64_t deadline(const server *s, const client *c) {
  uint64_t at = s->whole_ns ? c->since_ns + s->whole_ns : MSUB_NEVER;
  if (s->write_ns && client_waiting(c) && c->moved_ns + s->write_ns < at) at = c->moved_ns + s->write_ns;
  if (c->shut && c->moved_ns + s->linger_ns < at) at = c->moved_ns + s->linger_ns;
  bool done = c->ending && !client_waiting(c) && (!c->shut || c->input_ended);
  return c->gone || c->again || done ? 0 : at;
}

uint64_t server_deadline(const server *s) {
  uint64_t at = s->accept_at ? s->accept_at : MSUB_NEVER;
  for (size_t i = 0; i < s->n; i++) {
    uint64_t of = deadline(s, s->clients[i]);
    if (of < at) at = of;
  }
  return at;
}

static void throw_away(client *c) {
  uint8_t bytes[16384];
  ssize_t got = read(c->fd, bytes, sizeof bytes);
  if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) c->input_ended = true;
}

static void take_input(client *c) {
  server *s = c->server;
  if (c->shut) {
    throw_away(c);
    return;
  }
  size_t room = s->in_max - c->in_n;
  if (room > READ_BYTES) room = READ_BYTES;
  if (c->in_cap < c->in_n + room) {
    c->in_cap = c->in_n + room;
    c->in = grow(c->in, c->in_cap, 1);
  }
  ssize_t got = read(c->fd, c->in + c->in_n, room);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got < 0) c->gone = true;
  else if (got == 0) c->input_ended = true;
  else c->in_n += (size_t)got;
}

static void use_input(client *c) {
  server *s = c->server;
  size_t at = 0, used = 1;
  c->again = false;
  while (used && at < c->in_n && !c->gone && !c->ending && client_waiting(c) < s->out_high) {
    uint8_t *base = c->in;
    size_t all = c->in_n;
    c->in += at; /* the callback sees what is left */
    c->in_n -= at;
    used = s->came(c);
    c->in = base;
    c->in_n = all;
    at += used;
  }
  if (at) memmove(c->in, c->in + at, c->in_n - at);
  c->in_n -= at;
  if (c->secret && c->in) explicit_bzero(c->in + c->in_n, c->in_cap - c->in_n);
  if (c->in_n == 0 && c->in_cap > KEPT_BYTES) {
    free(c->in);
    c->in = NULL;
    c->in_cap = 0;
  }
  if (used == 0 && !c->again && c->in_n >= s->in_max && !c->gone && !c->ending) {
    s->overlong++;
    c->gone = true;
  }
  /* Half-closed: what it asked is answered, then it is done. */
  if (c->input_ended && !c->again && !c->owed && client_waiting(c) < s->out_high) client_end(c);
}

static void put_output(client *c) {
  while (client_waiting(c) && !c->gone) {
    ssize_t n = send(c->fd, c->out + c->out_at, client_waiting(c), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      c->gone = true;
      return;
    }
    c->out_at += (size_t)n;
    c->moved_ns = mono_ns();
  }
  if (client_waiting(c) == 0) {
    c->out_at = c->out_n = 0;
    if (c->secret && c->out) explicit_bzero(c->out, c->out_cap);
    if (c->out_cap > KEPT_BYTES) {
      free(c->out);
      c->out = NULL;
      c->out_cap = 0;
    }
  }
  if (c->ending && client_waiting(c) == 0 && c->server->linger_ns && !c->shut && !c->gone) {
    c->shut = true;
    c->moved_ns = mono_ns();
    (void)shutdown(c->fd, SHUT_WR);
  }
}

void server_adopt(server *s, int fd) {
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  if (s->n == SERVER_CLIENTS) {
    s->refused++;
    close(fd);
    return;
  }
  client *c = take(sizeof *c);
  *c = (client){ .server = s, .fd = fd, .since_ns = mono_ns(), .moved_ns = mono_ns() };
  s->clients[s->n++] = c;
  s->accepted++;
  if (s->opened && !s->opened(c)) c->gone = true;
}

static void take_clients(server *s) {
  for (;;) {
    int fd = accept(s->fd, NULL, NULL);
    if (fd >= 0) {
      server_adopt(s, fd);
      continue;
    }
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) s->accept_at = mono_ns() + ACCEPT_PAUSE_NS;
    return;
  }
}

void server_turn(server *s, const struct pollfd *fds, size_t n) {
  uint64_t now = mono_ns();
  if (s->fd < 0) return;
  for (size_t i = 0; i + 1 < n && i < s->n; i++) {
    client *c = s->clients[i];
    if (fds[i + 1].revents & POLLNVAL) c->gone = true;
    if (fds[i + 1].revents & (POLLIN | POLLHUP | POLLERR)) {
      if (reads(c)) take_input(c);
      else if (fds[i + 1].revents & POLLERR) c->gone = true;
    }
  }
  if (s->accept_at && s->accept_at <= now) {
    s->accept_at = 0;
    take_clients(s);
  } else if (n && fds[0].revents) {
    take_clients(s);
  }
  for (size_t i = 0; i < s->n; i++) {
    client *c = s->clients[i];
    use_input(c);
    put_output(c);
  }
  for (size_t i = s->n; i-- > 0;) {
    client *c = s->clients[i];
    uint64_t at = deadline(s, c);
    if (at > now || (c->again && !c->gone)) continue;
    if (at && !c->shut) s->late++;
    drop(s, i);
  }
}
