/* What loopback TCP and ChaCha20-Poly1305 alone allow: records as Noise makes them (two bytes of length,
 * 65,519 bytes sealed with a 16-byte tag) from one process to another, each in one write. */
#include "bench/bench.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLAIN 65519
#define TAG 16
#define RECORD (2 + PLAIN + TAG)

/* What each child says at its end. */
typedef struct outcome {
  uint64_t bytes, ns; /* of the receiver: from the first to the last byte */
  double cpu_s, rss_mib;
  bool good;
} outcome;

typedef struct cipher {
  EVP_CIPHER_CTX *ctx;
  uint8_t nonce[12];
  bool seal;
} cipher;

static bool cipher_open(cipher *c, bool seal) {
  static const uint8_t key[32] = { 1 };
  *c = (cipher){ .ctx = EVP_CIPHER_CTX_new(), .seal = seal };
  return c->ctx && EVP_CipherInit_ex(c->ctx, EVP_chacha20_poly1305(), NULL, key, NULL, seal);
}

/* In place; the tag stands behind the text. */
static bool cipher_run(cipher *c, uint8_t *text) {
  int n, rest;
  for (int i = 4; i < 12 && ++c->nonce[i] == 0; i++) {}
  if (!EVP_CipherInit_ex(c->ctx, NULL, NULL, NULL, c->nonce, c->seal)) return false;
  if (!c->seal && !EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_SET_TAG, TAG, text + PLAIN)) return false;
  if (!EVP_CipherUpdate(c->ctx, text, &n, text, PLAIN) || !EVP_CipherFinal_ex(c->ctx, text + n, &rest))
    return false;
  return !c->seal || EVP_CIPHER_CTX_ctrl(c->ctx, EVP_CTRL_AEAD_GET_TAG, TAG, text + PLAIN);
}

static double rss_mib(void) {
  FILE *f = fopen("/proc/self/statm", "r");
  unsigned long long pages = 0;
  if (f && fscanf(f, "%*u %llu", &pages) != 1) pages = 0;
  if (f) fclose(f);
  return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static outcome send_records(const struct sockaddr_in *to, uint64_t ns) {
  static uint8_t record[RECORD] = { (PLAIN + TAG) >> 8, (PLAIN + TAG) & 255 };
  outcome o = { 0 };
  cipher c;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof *to) != 0 || !cipher_open(&c, true)) return o;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  uint64_t until = mono_ns() + ns;
  double cpu = own_cpu();
  while (mono_ns() < until) {
    if (!cipher_run(&c, record + 2)) return o;
    for (size_t done = 0; done < RECORD;) {
      ssize_t n = send(fd, record + done, RECORD - done, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return o;
      done += (size_t)n;
    }
    o.bytes += PLAIN;
  }
  o.cpu_s = own_cpu() - cpu;
  o.rss_mib = rss_mib();
  o.good = true;
  return o;
}

static outcome receive_records(int listener) {
  static uint8_t buf[4 * RECORD];
  outcome o = { 0 };
  cipher c;
  size_t have = 0;
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0 || !cipher_open(&c, false)) return o;
  uint64_t first = mono_ns();
  double cpu = own_cpu();
  for (;;) {
    ssize_t n = recv(fd, buf + have, sizeof buf - have, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return o;
    if (n == 0) break;
    have += (size_t)n;
    size_t at = 0;
    for (; have - at >= RECORD; at += RECORD) {
      if (!cipher_run(&c, buf + at + 2)) return o;
      o.bytes += PLAIN;
    }
    memmove(buf, buf + at, have - at);
    have -= at;
  }
  o.ns = mono_ns() - first;
  o.cpu_s = own_cpu() - cpu;
  o.rss_mib = rss_mib();
  o.good = have == 0;
  return o;
}

/* Runs one side in a child; the descriptor yields its outcome. */
static int fork_side(pid_t *pid, int listener, const struct sockaddr_in *to, uint64_t ns) {
  int out[2];
  if (pipe(out) != 0) return -1;
  fflush(stdout);
  *pid = fork();
  if (*pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    outcome o = to ? send_records(to, ns) : receive_records(listener);
    _exit(write(out[1], &o, sizeof o) == (ssize_t)sizeof o ? 0 : 1);
  }
  close(out[1]);
  return out[0];
}

static bool collect(int fd, pid_t pid, outcome *o) {
  bool good = read(fd, o, sizeof *o) == (ssize_t)sizeof *o && o->good;
  close(fd);
  waitpid(pid, NULL, 0);
  return good;
}

void floor_run(const bench_kind *k, const settings *s, sample *out) {
  struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
  socklen_t n = sizeof at;
  *out = (sample){ 0 };
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&at, n) != 0 || listen(listener, 1) != 0 ||
      getsockname(listener, (struct sockaddr *)&at, &n) != 0) {
    snprintf(out->error, sizeof out->error, "no listener: %s", strerror(errno));
    if (listener >= 0) close(listener);
    return;
  }
  pid_t pids[2] = { 0 };
  outcome pub = { 0 }, sub = { 0 };
  moment from = moment_now();
  double own = own_cpu();
  int sub_fd = fork_side(&pids[0], listener, NULL, 0), pub_fd = fork_side(&pids[1], -1, &at, s->seconds_ns);
  close(listener);
  bool good = collect(pub_fd, pids[1], &pub);
  good = collect(sub_fd, pids[0], &sub) && good;
  moment to = moment_now();
  if (!good || sub.bytes != pub.bytes || sub.ns == 0) {
    snprintf(out->error, sizeof out->error, "a side of the bare connection failed");
    return;
  }
  uint64_t size = s->size ? s->size : k->size;
  double messages = (double)sub.bytes / (double)size;
  out->rate = messages * 1e9 / (double)sub.ns;
  out->mb_s = (double)sub.bytes * 1e3 / (double)sub.ns;
  out->cpu_pub = pub.cpu_s * 1e6 / messages;
  out->cpu_sub = sub.cpu_s * 1e6 / messages;
  out->rss_pub = pub.rss_mib;
  out->rss_sub = sub.rss_mib;
  out->other_busy = other_cores_busy(&from, &to, pub.cpu_s + sub.cpu_s + own_cpu() - own);
}
