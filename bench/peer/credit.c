#include "bench/peer/peer.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool credit_open(credit *c) {
  struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t n = sizeof at;
  c->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (c->listener < 0) return false;
  if (bind(c->listener, (struct sockaddr *)&at, sizeof at) != 0 || listen(c->listener, CREDIT_CONNS) != 0 ||
      getsockname(c->listener, (struct sockaddr *)&at, &n) != 0) {
    credit_close(c);
    return false;
  }
  c->port = ntohs(at.sin_port);
  return true;
}

void credit_close(credit *c) {
  if (c->listener >= 0) close(c->listener);
  for (size_t i = 0; i < c->n; i++) close(c->conns[i].fd);
  *c = (credit){ .listener = -1 };
}

void credit_accept(credit *c) {
  int fd;
  while ((fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
    if (c->n == CREDIT_CONNS) {
      close(fd);
      event_error("more than %d credit connections", CREDIT_CONNS);
    } else {
      c->conns[c->n++] = (credit_conn){ .fd = fd };
    }
  }
}

static uint64_t le64(const uint8_t *p) {
  uint64_t v = 0;
  for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
  return v;
}

static void take_bytes(credit_conn *k, const uint8_t *p, size_t n) {
  while (n) {
    size_t part = CREDIT_RECORD - k->have < n ? CREDIT_RECORD - k->have : n;
    memcpy(k->bytes + k->have, p, part);
    k->have += part;
    p += part;
    n -= part;
    if (k->have < CREDIT_RECORD) return;
    k->have = 0;
    k->seed = le64(k->bytes);
    k->count = le64(k->bytes + 8);
  }
}

void credit_read(credit *c, size_t i) {
  credit_conn *k = &c->conns[i];
  uint8_t bytes[4096];
  ssize_t n = recv(k->fd, bytes, sizeof bytes, 0);
  if (n > 0) {
    take_bytes(k, bytes, (size_t)n);
  } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
    close(k->fd);
    k->fd = -1;
  }
}

void credit_drop_closed(credit *c) {
  size_t n = 0;
  for (size_t i = 0; i < c->n; i++)
    if (c->conns[i].fd >= 0) c->conns[n++] = c->conns[i];
  c->n = n;
}

bool credit_of(const credit *c, uint64_t seed, size_t k, uint64_t *count) {
  uint64_t best[CREDIT_CONNS]; /* descending */
  size_t n = 0;
  if (c->n < k) return false;
  for (size_t i = 0; i < c->n; i++) {
    uint64_t v = c->conns[i].seed == seed ? c->conns[i].count : 0;
    size_t at = n++;
    for (; at > 0 && best[at - 1] < v; at--) best[at] = best[at - 1];
    best[at] = v;
  }
  *count = k ? best[k - 1] : UINT64_MAX;
  return true;
}
