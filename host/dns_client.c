/* host/dns_client.c: a resolver of a few questions: UDP, TCP when the answer did not fit, each server in turn. Answers are believed when
 * they come from the server's address and port (the socket is connected), with our id and our question; ids and ports are random. */
#define _GNU_SOURCE /* SOCK_NONBLOCK */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "host/dns.h"
#include "wire/dns.h"

#define TRIES 4u
#define TRY_NS (1500 * MSUB__MS)

/* ---- servers ---- */

bool msub__dns_server_parse(const char *text, msub__tr_addr *out) {
  char ip[INET6_ADDRSTRLEN + 2];
  const char *colon = strrchr(text, ':');
  char *end;
  if (!colon || (size_t)(colon - text) >= sizeof ip) return false;
  unsigned long port = strtoul(colon + 1, &end, 10);
  if (colon[1] < '0' || colon[1] > '9' || *end || port == 0 || port > UINT16_MAX) return false;
  memcpy(ip, text, (size_t)(colon - text));
  ip[colon - text] = 0;
  *out = (msub__tr_addr){ .port = (uint16_t)port };
  size_t n = strlen(ip);
  if (n > 2 && ip[0] == '[' && ip[n - 1] == ']') {
    ip[n - 1] = 0;
    out->n = 16;
    return inet_pton(AF_INET6, ip + 1, out->ip) == 1;
  }
  out->n = 4;
  return inet_pton(AF_INET, ip, out->ip) == 1;
}

void msub__dns_servers_read(const char *resolv_conf, msub__dns_servers *out) {
  out->n = 0;
  for (const char *line = resolv_conf; *line && out->n < 3;) {
    const char *next = strchr(line, '\n');
    char ip[INET6_ADDRSTRLEN];
    msub__tr_addr a = { .port = 53 };
    if (sscanf(line, "nameserver %45s", ip) == 1) { /* INET6_ADDRSTRLEN - 1; one with a zone is no server for us */
      if (inet_pton(AF_INET, ip, a.ip) == 1) a.n = 4;
      else if (inet_pton(AF_INET6, ip, a.ip) == 1) a.n = 16;
      if (a.n) out->at[out->n++] = a;
    }
    if (!next) break;
    line = next + 1;
  }
  if (out->n == 0) out->at[out->n++] = (msub__tr_addr){ .n = 4, .ip = { 127, 0, 0, 1 }, .port = 53 };
}

static socklen_t sockaddr_of(const msub__tr_addr *a, struct sockaddr_storage *out) {
  memset(out, 0, sizeof *out);
  if (a->n == 4) {
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };
    memcpy(&in.sin_addr, a->ip, 4);
    memcpy(out, &in, sizeof in);
    return sizeof in;
  }
  struct sockaddr_in6 in = { .sin6_family = AF_INET6, .sin6_port = htons(a->port) };
  memcpy(&in.sin6_addr, a->ip, 16);
  memcpy(out, &in, sizeof in);
  return sizeof in;
}

/* ---- waiting ---- */

static uint64_t mono(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * MSUB__S + (uint64_t)t.tv_nsec;
}

/* false: time is over, or everything is. */
static bool wait_for(int fd, short events, int abort_fd, uint64_t until) {
  for (;;) {
    uint64_t now = mono();
    if (now >= until) return false;
    struct pollfd fds[2] = { { .fd = fd, .events = events }, { .fd = abort_fd, .events = POLLIN } };
    uint64_t ms = (until - now + MSUB__MS - 1) / MSUB__MS;
    int n = poll(fds, 2, ms > 60000 ? 60000 : (int)ms);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0 && fds[1].revents) return false;
    if (n > 0 && fds[0].revents) return true;
  }
}

/* ---- answers ---- */

static uint16_t type_of(msub__dns_kind kind) {
  return kind == MSUB__DNS_IP4 ? MSUB__DNS_A : kind == MSUB__DNS_IP6 ? MSUB__DNS_AAAA : MSUB__DNS_TXT;
}

static void take_ip(msub_bytes data, size_t n, msub__dns_answer *a) {
  if (data.n != n || a->n == MSUB__HOST_DNS_ANSWERS) return;
  msub__tr_addr *ip = &a->ips[a->n++];
  *ip = (msub__tr_addr){ .n = (uint8_t)n };
  memcpy(ip->ip, data.p, n);
}

/* The strings of a record joined; one that is too long is left out. */
static void take_texts(msub_bytes data, msub__dns_answer *a) {
  msub_bytes piece;
  if (a->n == MSUB__HOST_DNS_ANSWERS) return;
  msub__dns_text *t = &a->texts[a->n];
  t->n = 0;
  while (msub__dns_take_text(&data, &piece)) {
    if (piece.n > sizeof t->bytes - t->n) return;
    if (piece.n > 0) memcpy(t->bytes + t->n, piece.p, piece.n);
    t->n = (uint16_t)(t->n + piece.n);
  }
  if (data.n == 0) a->n++;
}

/* Where the aliases of the answer lead. */
static void follow(const msub__dns_reader *begin, msub__dns_name *name) {
  for (unsigned i = 0; i < MSUB__HOST_DNS_CHAIN; i++) {
    msub__dns_reader r = *begin;
    msub__dns_record rec;
    msub__dns_name to;
    bool found = false;
    while (!found && msub__dns_next(&r, &rec)) {
      found = rec.section == MSUB__DNS_ANSWER && rec.type == MSUB__DNS_CNAME && rec.class == MSUB__DNS_IN &&
              msub__dns_name_eq(&rec.name, name) && msub__dns_data_name(&r, &rec, 0, &to) == MSUB_OK;
    }
    if (!found) return;
    *name = to;
  }
}

static void settle(msub__dns_answer *a, int err, const char *text) { a->err = err, a->text = text; }

static void collect(const msub__dns_reader *begin, msub__dns_kind kind, const msub__dns_name *question, msub__dns_answer *a) {
  msub__dns_name name = *question;
  msub__dns_reader r = *begin;
  msub__dns_record rec;
  unsigned before = a->n;
  follow(begin, &name);
  while (msub__dns_next(&r, &rec)) {
    if (rec.section != MSUB__DNS_ANSWER || rec.type != type_of(kind) || rec.class != MSUB__DNS_IN || !msub__dns_name_eq(&rec.name, &name))
      continue;
    if (kind == MSUB__DNS_TEXTS) take_texts(rec.data, a);
    else take_ip(rec.data, kind == MSUB__DNS_IP4 ? 4 : 16, a);
  }
  if (r.bad) a->n = before;
  if (r.bad) settle(a, MSUB_ERR_MALFORMED, "the name server's answer is malformed");
  else if (a->n > before) settle(a, MSUB_OK, NULL);
  else settle(a, MSUB_ERR_NOTFOUND, "the name has no such record");
}

bool msub__dns_understand(msub_bytes response, uint16_t id, msub__dns_kind kind, msub_bytes text, msub__dns_answer *a, bool *truncated) {
  msub__dns_reader r;
  msub__dns_record q;
  msub__dns_name name;
  if (msub__dns_open(&r, response) != MSUB_OK || r.id != id || !(r.flags & MSUB__DNS_RESPONSE) || r.left[0] != 1) return false;
  if (msub__dns_name_from(text, &name) != MSUB_OK || !msub__dns_next(&r, &q)) return false;
  if (q.type != type_of(kind) || q.class != MSUB__DNS_IN || !msub__dns_name_eq(&q.name, &name)) return false;
  *truncated = r.flags & MSUB__DNS_TRUNCATED;
  if (*truncated) return true;
  switch (r.flags & MSUB__DNS_RCODE) {
  case 0: collect(&r, kind, &name, a); break;
  case 3: settle(a, MSUB_ERR_NOTFOUND, "no such name"); break;
  default: settle(a, MSUB_ERR_IO, "the name server refuses or fails"); break;
  }
  return true;
}

/* ---- asking ---- */

typedef struct question {
  msub__dns_kind kind;
  msub_bytes name;
  uint64_t until;
  int abort_fd;
  uint16_t id;
  uint8_t bytes[2 + 512]; /* with TCP's length in front */
  size_t n;
} question;

static bool write_question(question *q) {
  msub__dns_name name;
  msub__dns_writer w;
  if (msub__dns_name_from(q->name, &name) != MSUB_OK) return false;
  if (getrandom(&q->id, sizeof q->id, 0) != sizeof q->id) return false;
  msub__dns_begin(&w, q->bytes + 2, sizeof q->bytes - 2, q->id, MSUB__DNS_RECURSE);
  msub__dns_ask(&w, &name, type_of(q->kind), MSUB__DNS_IN);
  q->n = w.n;
  q->bytes[0] = (uint8_t)(w.n >> 8);
  q->bytes[1] = (uint8_t)w.n;
  return !w.full;
}

static int open_socket(const msub__tr_addr *server, int type) {
  struct sockaddr_storage to;
  socklen_t n = sockaddr_of(server, &to);
  int fd = socket(server->n == 4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  if (connect(fd, (const struct sockaddr *)(const void *)&to, n) == 0 || errno == EINPROGRESS) return fd;
  (void)close(fd);
  return -1;
}

static bool move_all(question *q, int fd, uint8_t *p, size_t n, bool out) {
  while (n > 0) {
    ssize_t k = out ? send(fd, p, n, MSG_NOSIGNAL) : recv(fd, p, n, 0);
    if (k > 0) {
      p += k;
      n -= (size_t)k;
    } else if (k == 0 || (errno != EAGAIN && errno != EINTR && errno != ENOTCONN)) {
      return false;
    } else if (!wait_for(fd, out ? POLLOUT : POLLIN, q->abort_fd, q->until)) {
      return false;
    }
  }
  return true;
}

static bool by_tcp(question *q, const msub__tr_addr *server, uint8_t *buf, msub__dns_answer *a) {
  uint8_t len[2];
  bool truncated = false, ok = false;
  int fd = open_socket(server, SOCK_STREAM);
  if (fd < 0) return false;
  if (wait_for(fd, POLLOUT, q->abort_fd, q->until) && move_all(q, fd, q->bytes, q->n + 2, true) && move_all(q, fd, len, 2, false)) {
    size_t n = (size_t)(len[0] << 8 | len[1]);
    ok = n <= MSUB__HOST_DNS_MESSAGE && move_all(q, fd, buf, n, false) &&
         msub__dns_understand((msub_bytes){ buf, n }, q->id, q->kind, q->name, a, &truncated) && !truncated;
    if (n > MSUB__HOST_DNS_MESSAGE) {
      settle(a, MSUB_ERR_MALFORMED, "the name server's answer is too long");
      ok = true;
    }
  }
  (void)close(fd);
  return ok;
}

/* false: another server may know. */
static bool by_udp(question *q, const msub__tr_addr *server, uint64_t until, uint8_t *buf, msub__dns_answer *a) {
  bool truncated = false, ok = false;
  int fd = open_socket(server, SOCK_DGRAM);
  if (fd < 0) return false;
  if (send(fd, q->bytes + 2, q->n, MSG_NOSIGNAL) == (ssize_t)q->n) {
    while (!ok && wait_for(fd, POLLIN, q->abort_fd, until)) {
      ssize_t n = recv(fd, buf, MSUB__HOST_DNS_MESSAGE, 0);
      if (n < 0 && errno != EAGAIN && errno != EINTR) break; /* nobody is there */
      if (n > 0) ok = msub__dns_understand((msub_bytes){ buf, (size_t)n }, q->id, q->kind, q->name, a, &truncated);
    }
  }
  (void)close(fd);
  return ok && truncated ? by_tcp(q, server, buf, a) : ok;
}

static void ask(const msub__dns_servers *servers, question *q, uint8_t *buf, msub__dns_answer *a) {
  settle(a, MSUB_ERR_TIMEOUT, "no name server answers");
  if (!write_question(q)) {
    settle(a, MSUB_ERR_NOTFOUND, "no name that can be looked up");
    return;
  }
  for (unsigned i = 0; i < TRIES && mono() < q->until; i++) {
    uint64_t until = mono() + TRY_NS;
    bool ok = by_udp(q, &servers->at[i % servers->n], until < q->until ? until : q->until, buf, a);
    if (ok && a->err != MSUB_ERR_IO) return;
  }
}

void msub__dns_query(const msub__dns_servers *servers, msub__dns_kind kind, msub_bytes name, uint64_t deadline, int abort_fd,
                     msub__dns_answer *out) {
  static const msub__dns_kind kinds[] = { MSUB__DNS_IP4, MSUB__DNS_IP6, MSUB__DNS_TEXTS };
  uint8_t *buf = malloc(MSUB__HOST_DNS_MESSAGE);
  out->n = 0;
  settle(out, MSUB_ERR_NOMEM, "out of memory");
  if (!buf) return;
  for (unsigned i = 0; i < 3; i++) {
    if (!(kind & kinds[i])) continue;
    question q = { .kind = kinds[i], .name = name, .until = deadline, .abort_fd = abort_fd };
    ask(servers, &q, buf, out);
  }
  if (out->n > 0) settle(out, MSUB_OK, NULL); /* of one family */
  free(buf);
}
