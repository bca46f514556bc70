#define _GNU_SOURCE
#include "dns_server.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include "check.h"

#define MOST 65000u

struct dns_server {
  pthread_t thread;
  pthread_mutex_t lock;
  const dns_row *rows;
  size_t n;
  int udp, tcp, how;
  char address[32];
  atomic_uint asked;
  atomic_bool stop;
  uint8_t out[MOST + 1024];
};

static size_t put_name(uint8_t *out, const char *text) {
  size_t n = 0;
  while (*text) {
    size_t len = strcspn(text, ".");
    out[n++] = (uint8_t)len;
    memcpy(out + n, text, len);
    n += len;
    text += len + (text[len] == '.');
  }
  out[n++] = 0;
  return n;
}

static size_t get_name(const uint8_t *p, size_t n, char *out) {
  size_t at = 0, k = 0;
  while (at < n && p[at]) {
    if (k) out[k++] = '.';
    CHECK(p[at] < 64 && at + 1 + p[at] < n && k + p[at] < 255);
    memcpy(out + k, p + at + 1, p[at]);
    k += p[at];
    at += 1u + p[at];
  }
  out[k] = 0;
  return at + 1;
}

static size_t put_data(const dns_row *r, uint8_t *out) {
  if (r->type == 1) return inet_pton(AF_INET, r->value, out) == 1 ? 4 : 0;
  if (r->type == 28) return inet_pton(AF_INET6, r->value, out) == 1 ? 16 : 0;
  if (r->type == 5) return put_name(out, r->value);
  size_t n = 0, len = strlen(r->value);
  for (unsigned i = 0; i < (r->times ? r->times : 1); i++) { /* a string of at most 255 bytes each */
    for (size_t at = 0; at < len;) {
      size_t k = len - at < 255 ? len - at : 255;
      out[n++] = (uint8_t)k;
      memcpy(out + n, r->value + at, k);
      n += k;
      at += k;
    }
  }
  return n;
}

/* 0: no answer. */
static size_t answer(dns_server *s, const uint8_t *q, size_t n, bool tcp, uint8_t *out) {
  char name[256], at_name[256];
  CHECK(n > 12 && n < 600);
  size_t end = 12 + get_name(q + 12, n - 12, name), count = 0, size;
  int type = q[end] << 8 | q[end + 1];
  atomic_fetch_add(&s->asked, 1);
  memcpy(out, q, end + 4);
  out[2] = 0x81, out[3] = 3;
  memset(out + 6, 0, 6);
  size = end + 4;
  (void)snprintf(at_name, sizeof at_name, "%s", name);
  bool truncated = false;
  for (unsigned hops = 0; hops < 20; hops++) {
    bool alias = false;
    for (size_t i = 0; i < s->n; i++) {
      const dns_row *r = &s->rows[i];
      if (strcasecmp(r->name, at_name) != 0) continue;
      out[3] = (uint8_t)r->rcode;
      if (r->silent) return 0;
      truncated |= r->truncated && !tcp;
      if ((r->type != type && r->type != 5) || r->rcode || truncated) continue;
      if (hops == 0) out[size++] = 0xc0, out[size++] = 12;
      else size += put_name(out + size, at_name);
      uint8_t *p = out + size;
      size_t len = put_data(r, p + 10);
      CHECK(size + len < MOST);
      p[0] = 0, p[1] = (uint8_t)r->type, p[2] = 0, p[3] = 1, p[4] = p[5] = p[6] = 0, p[7] = 60;
      p[8] = (uint8_t)(len >> 8), p[9] = (uint8_t)len;
      size += 10 + len;
      count++;
      if (r->type != 5) continue;
      (void)snprintf(at_name, sizeof at_name, "%s", r->value);
      alias = true;
      break;
    }
    if (!alias) break;
  }
  if (truncated) out[2] |= 2;
  out[7] = (uint8_t)count;
  if (s->how == 1) out[0] ^= 1;
  if (s->how == 2) out[end - 2] ^= 1;
  if (s->how == 3) size -= 3;
  if (s->how == 4) {
    out[end + 4] = 0xc0;
    out[end + 5] = (uint8_t)(end + 4);
  }
  return size;
}

static void serve_udp(dns_server *s) {
  uint8_t q[600];
  struct sockaddr_in from;
  socklen_t len = sizeof from;
  ssize_t n = recvfrom(s->udp, q, sizeof q, MSG_DONTWAIT, (struct sockaddr *)(void *)&from, &len);
  if (n <= 0) return;
  if (s->how == 5) (void)sendto(s->udp, "noise", 5, 0, (struct sockaddr *)(void *)&from, len);
  size_t size = answer(s, q, (size_t)n, false, s->out);
  if (size) (void)sendto(s->udp, s->out, size, 0, (struct sockaddr *)(void *)&from, len);
}

static void serve_tcp(dns_server *s) {
  uint8_t q[602];
  int fd = accept(s->tcp, NULL, NULL);
  if (fd < 0) return;
  ssize_t n = recv(fd, q, 2, MSG_WAITALL);
  if (n == 2) n = recv(fd, q, (size_t)(q[0] << 8 | q[1]), MSG_WAITALL);
  size_t size = n > 2 ? answer(s, q, (size_t)n, true, s->out + 2) : 0;
  s->out[0] = (uint8_t)(size >> 8), s->out[1] = (uint8_t)size;
  if (size) (void)send(fd, s->out, size + 2, MSG_NOSIGNAL);
  (void)close(fd);
}

static void *run(void *arg) {
  dns_server *s = arg;
  while (!atomic_load(&s->stop)) {
    struct pollfd fds[2] = { { .fd = s->udp, .events = POLLIN }, { .fd = s->tcp, .events = POLLIN } };
    (void)poll(fds, 2, 20);
    (void)pthread_mutex_lock(&s->lock);
    if (fds[0].revents) serve_udp(s);
    if (fds[1].revents) serve_tcp(s);
    (void)pthread_mutex_unlock(&s->lock);
  }
  return NULL;
}

dns_server *dns_server_new(const dns_row *rows, size_t n) {
  dns_server *s = calloc(1, sizeof *s);
  struct sockaddr_in in = { .sin_family = AF_INET };
  socklen_t len = sizeof in;
  CHECK(s);
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int tries = 0;; tries++) { /* one port for both */
    CHECK(tries < 50);
    in.sin_port = 0;
    s->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(s->tcp >= 0 && s->udp >= 0 && bind(s->tcp, (struct sockaddr *)(void *)&in, sizeof in) == 0 && listen(s->tcp, 16) == 0);
    CHECK(getsockname(s->tcp, (struct sockaddr *)(void *)&in, &len) == 0);
    if (bind(s->udp, (struct sockaddr *)(void *)&in, sizeof in) == 0) break;
    (void)close(s->tcp), (void)close(s->udp);
  }
  (void)snprintf(s->address, sizeof s->address, "127.0.0.1:%u", ntohs(in.sin_port));
  s->rows = rows;
  s->n = n;
  CHECK(pthread_mutex_init(&s->lock, NULL) == 0 && pthread_create(&s->thread, NULL, run, s) == 0);
  return s;
}

void dns_server_free(dns_server *s) {
  atomic_store(&s->stop, true);
  (void)pthread_join(s->thread, NULL);
  (void)pthread_mutex_destroy(&s->lock);
  (void)close(s->udp), (void)close(s->tcp);
  free(s);
}

const char *dns_server_address(const dns_server *s) { return s->address; }
unsigned dns_server_asked(const dns_server *s) { return atomic_load(&((dns_server *)(uintptr_t)s)->asked); }

void dns_server_rows(dns_server *s, const dns_row *rows, size_t n) {
  (void)pthread_mutex_lock(&s->lock);
  s->rows = rows, s->n = n;
  (void)pthread_mutex_unlock(&s->lock);
}
void dns_server_spoil(dns_server *s, int how) {
  (void)pthread_mutex_lock(&s->lock);
  s->how = how;
  (void)pthread_mutex_unlock(&s->lock);
}
