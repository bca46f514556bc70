#include "bench/peer/peer.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void counter_init(counter *c) { *c = (counter){ .size = SIZE_MAX, .fd = -1, .sent = CREDIT_RECORD }; }

static void disconnect(counter *c) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
  free(c->address);
  c->address = NULL;
  c->sent = CREDIT_RECORD;
  c->owed = 0;
}

void counter_free(counter *c) {
  disconnect(c);
  free(c->latencies);
  counter_init(c);
}

/* ---- the credit channel ---- */

/* Connects once and keeps the connection as long as the address stays. */
static const char *connect_credit(counter *c, const char *address) {
  if (address && c->address && strcmp(address, c->address) == 0) return NULL;
  disconnect(c);
  if (!address) return NULL;
  const char *colon = strrchr(address, ':');
  char host[64];
  uint64_t port;
  struct sockaddr_in to = { .sin_family = AF_INET };
  if (!colon || colon - address >= (ptrdiff_t)sizeof host || !read_number(colon + 1, &port) || port > 65535)
    return "credit: not HOST:PORT";
  memcpy(host, address, (size_t)(colon - address));
  host[colon - address] = 0;
  to.sin_port = htons((uint16_t)port);
  if (inet_pton(AF_INET, host, &to.sin_addr) != 1) return "credit: not an IPv4 address";
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
    if (fd >= 0) close(fd);
    return "credit: cannot connect";
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  c->fd = fd;
  c->address = strdup(address);
  return NULL;
}

static void put_le64(uint8_t *out, uint64_t v) {
  for (int i = 0; i < 8; i++) out[i] = (uint8_t)(v >> (8 * i));
}

bool counter_wants_write(const counter *c) { return c->fd >= 0 && c->sent < CREDIT_RECORD; }

void counter_write(counter *c) {
  while (c->fd >= 0) {
    if (c->sent == CREDIT_RECORD) {
      if (!c->owed) return;
      put_le64(c->record, c->seed);
      put_le64(c->record + 8, c->owed);
      c->owed = 0;
      c->sent = 0;
    }
    ssize_t n = send(c->fd, c->record + c->sent, CREDIT_RECORD - c->sent, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) {
      event_error("credit: %s", strerror(errno));
      disconnect(c);
      return;
    }
    c->sent += (size_t)n;
  }
}

/* ---- counting ---- */

const char *counter_reset(counter *c, const json_t *request) {
  uint64_t size = number_of(request, "size", 0);
  if (size < PAYLOAD_HEADER) return "size: at least 16";
  const char *why = connect_credit(c, text_of(request, "credit", NULL));
  if (why) return why;
  c->seed = (uint32_t)number_of(request, "seed", 0);
  for (int i = 0; i < 4; i++) c->seed_bytes[i] = (uint8_t)(c->seed >> (24 - 8 * i));
  c->size = size;
  c->n = c->first_ns = c->last_ns = c->owed = 0;
  c->expect = number_of(request, "expect", 0);
  c->ack_every = number_of(request, "ack_every", 1);
  if (c->ack_every == 0) c->ack_every = 1;
  c->next_report = c->ack_every;
  c->keep_latencies = flag_of(request, "lat", false);
  if (c->keep_latencies && c->latencies_cap < c->expect && c->expect <= SIZE_MAX / 8) {
    c->latencies = grow(c->latencies, c->expect, sizeof *c->latencies); /* not while messages come in */
    c->latencies_cap = c->expect;
  }
  return NULL;
}

static void keep_latency(counter *c, const uint8_t *payload) {
  uint64_t stamp = 0, now = mono_ns();
  for (int i = 8; i < 16; i++) stamp = stamp << 8 | payload[i];
  if (c->n >= c->latencies_cap) {
    c->latencies_cap = c->latencies_cap * 2 + 4096;
    c->latencies = grow(c->latencies, c->latencies_cap, sizeof *c->latencies);
  }
  c->latencies[c->n] = now > stamp ? now - stamp : 0;
}

static void finish(counter *c) {
  json_t *done = json_object();
  json_object_set_new(done, "seed", json_integer(c->seed));
  json_object_set_new(done, "n", json_integer((json_int_t)c->n));
  json_object_set_new(done, "bytes", json_integer((json_int_t)(c->n * c->size)));
  json_object_set_new(done, "ns", json_integer((json_int_t)(c->last_ns - c->first_ns)));
  event("done", done);
}

void counter_add(counter *c, msub_bytes data) {
  if (data.n != c->size || memcmp(data.p, c->seed_bytes, sizeof c->seed_bytes) != 0) return;
  if (c->keep_latencies) keep_latency(c, data.p);
  if (c->n++ == 0) c->first_ns = mono_ns();
  if (c->n != c->next_report && c->n != c->expect) return;
  if (c->n == c->next_report) c->next_report += c->ack_every;
  if (c->fd >= 0) {
    c->owed = c->n;
    counter_write(c);
  }
  if (c->n != c->expect) return;
  c->last_ns = mono_ns();
  finish(c);
}

static int ascending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* Nearest rank: the smallest value that at least this share of all does not exceed. */
static json_t *rank(const counter *c, uint64_t n, unsigned per_mille) {
  uint64_t i = (n * per_mille + 999) / 1000;
  return n ? json_integer((json_int_t)c->latencies[i ? i - 1 : 0]) : json_null();
}

void counter_latencies(counter *c, json_t *out) {
  uint64_t n = c->keep_latencies ? c->n : 0;
  if (n) qsort(c->latencies, n, sizeof *c->latencies, ascending);
  json_object_set_new(out, "n", json_integer((json_int_t)n));
  json_object_set_new(out, "p50", rank(c, n, 500));
  json_object_set_new(out, "p90", rank(c, n, 900));
  json_object_set_new(out, "p99", rank(c, n, 990));
  json_object_set_new(out, "p999", rank(c, n, 999));
  json_object_set_new(out, "max", rank(c, n, 1000));
}
