#define _GNU_SOURCE
#include "raw_peer.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static msub_mem mem;

static uint64_t now_ns(void) { return now_ms() * 1000000u; }

/* ---- streams ---- */

static raw_stream *slot(raw_peer *p) {
  CHECK(p->n < RAW_STREAMS);
  raw_stream *s = &p->s[p->n++];
  memset(s, 0, sizeof *s);
  s->mss = calloc(1, sizeof *s->mss);
  CHECK(s->mss);
  return s;
}

static void drain(raw_stream *s) {
  uint8_t line[256];
  size_t n = s->mss ? msub__mss_output(s->mss, line, sizeof line) : 0;
  if (n > 0) MUST(msub__buf_append(&s->out, &mem, (msub_bytes){ line, n }));
}

static bool accepts(void *ud, msub_bytes token) {
  raw_peer *p = ud;
  for (size_t i = 0; i < 4 && p->accepts[i]; i++) {
    if (msub_bytes_eq(token, msub_str(p->accepts[i]))) return true;
  }
  return false;
}

static bool on_open(void *ud, msub__ystream *y, void **word) {
  raw_peer *p = ud;
  raw_stream *s = slot(p);
  s->inbound = true;
  s->y = y;
  msub__mss_listen(s->mss, accepts, p);
  *word = s;
  return true;
}

static void agreed(raw_peer *p, raw_stream *s, msub_bytes token) {
  (void)snprintf(s->protocol, sizeof s->protocol, "%.*s", (int)token.n, (const char *)token.p);
  free(s->mss);
  s->mss = NULL;
  if (!s->inbound) return;
  p->opened++;
  if (p->on_agreed) p->on_agreed(p, s);
}

/* The id stands in front of what the machine used: the last line. */
static msub_bytes last_line(msub_bytes used) {
  size_t end = used.n - 1, at = end;
  while (at > 0 && used.p[at - 1] >= 0x20) at--;
  return (msub_bytes){ used.p + at, end - at };
}

static size_t on_data(void *ud, msub__ystream *y, msub_bytes in) {
  raw_peer *p = ud;
  raw_stream *s = msub__yamux_word(y);
  size_t at = 0;
  if (s->deaf) return 0;
  while (s->mss) {
    size_t used;
    msub__mss_event e = msub__mss_input(s->mss, (msub_bytes){ in.p + at, in.n - at }, &used);
    msub_bytes token = used > 0 ? last_line((msub_bytes){ in.p + at, used }) : (msub_bytes){ NULL, 0 };
    at += used;
    drain(s);
    if (e == MSUB__MSS_MORE) return at;
    if (e == MSUB__MSS_FAILED) {
      s->refused = true;
      free(s->mss);
      s->mss = NULL;
      if (s->inbound) p->opened++;
      return in.n;
    }
    if (e == MSUB__MSS_AGREED) agreed(p, s, token);
    if (!s->y || s->deaf) return s->y ? at : in.n;
  }
  if (at < in.n) MUST(msub__buf_append(&s->in, &mem, (msub_bytes){ in.p + at, in.n - at }));
  return in.n;
}

static void on_fin(void *ud, msub__ystream *y) {
  (void)ud;
  ((raw_stream *)msub__yamux_word(y))->fin = true;
}
static void on_end(void *ud, msub__ystream *y, int why) {
  (void)ud;
  raw_stream *s = msub__yamux_word(y);
  s->y = NULL;
  s->why = why;
}
static const msub__yamux_ops ops = {
  .on_open = on_open, .on_data = on_data, .on_fin = on_fin, .on_end = on_end
};

raw_stream *raw_open(raw_peer *p, const char *protocol) {
  raw_stream *s = slot(p);
  s->proposal = msub_str(protocol);
  MUST(msub__mss_dial(s->mss, &s->proposal, 1));
  MUST(msub__yamux_open(p->yamux, s, &s->y));
  drain(s);
  return s;
}

void raw_write(raw_peer *p, raw_stream *s, const void *bytes, size_t n) {
  (void)p;
  MUST(msub__buf_append(&s->out, &mem, (msub_bytes){ bytes, n }));
}
void raw_finish(raw_peer *p, raw_stream *s) {
  (void)p;
  s->finish = true;
}
void raw_reset(raw_stream *s) {
  if (s->y) msub__yamux_reset(s->y);
  s->y = NULL;
}
raw_stream *raw_inbound(raw_peer *p, const char *protocol) {
  for (unsigned i = p->n; i-- > 0;) {
    if (p->s[i].inbound && p->s[i].y && strcmp(p->s[i].protocol, protocol) == 0) return &p->s[i];
  }
  return NULL;
}

/* ---- bytes ---- */

void raw_record(raw_peer *p, const void *plain, size_t n) {
  uint8_t *room = msub__buf_reserve(&p->out, &mem, n + MSUB__NOISE_OVERHEAD);
  CHECK(room);
  memcpy(room + MSUB__NOISE_HEAD, plain, n);
  int size = msub__noise_seal(p->noise, room, n);
  CHECK(size > 0);
  p->out.end += (size_t)size;
}

static void write_streams(raw_peer *p) {
  static uint8_t frame[MSUB__YAMUX_HEADER + MSUB__YAMUX_FRAME_MAX];
  size_t n;
  for (unsigned i = 0; i < p->n; i++) {
    raw_stream *s = &p->s[i];
    while (s->y && msub__buf_len(&s->out) > 0) {
      n = msub__yamux_room(s->y);
      if (n > msub__buf_len(&s->out)) n = msub__buf_len(&s->out);
      if (n > MSUB__YAMUX_FRAME_MAX) n = MSUB__YAMUX_FRAME_MAX;
      if (n == 0) break;
      MUST(msub__yamux_data_header(s->y, frame, (uint32_t)n));
      memcpy(frame + MSUB__YAMUX_HEADER, msub__buf_unread(&s->out).p, n);
      msub__buf_consume(&s->out, n);
      raw_record(p, frame, MSUB__YAMUX_HEADER + n);
    }
    if (s->y && s->finish && msub__buf_len(&s->out) == 0) {
      s->finish = false;
      msub__yamux_finish(s->y);
    }
  }
  while ((n = msub__yamux_output(p->yamux, now_ns(), frame, sizeof frame)) > 0) raw_record(p, frame, n);
}

static void io(raw_peer *p) {
  uint8_t bytes[65536];
  msub_bytes out = msub__buf_unread(&p->out);
  if (out.n > 0) {
    ssize_t n = send(p->fd, out.p, out.n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
      msub__buf_consume(&p->out, (size_t)n);
    else if (n < 0 && errno != EAGAIN)
      p->closed = true;
  }
  ssize_t n = recv(p->fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN)) p->closed = true;
  if (n > 0) MUST(msub__buf_append(&p->in, &mem, (msub_bytes){ bytes, (size_t)n }));
}

static void read_records(raw_peer *p) {
  for (;;) {
    msub_bytes in = msub__buf_unread(&p->in);
    int size = msub__noise_record_size(in);
    CHECK(size >= 0);
    if (size == 0 || (size_t)size > in.n) break;
    uint8_t *plain;
    size_t n;
    MUST(msub__noise_open(p->noise, p->in.p + p->in.begin, (size_t)size, &plain, &n));
    MUST(msub__buf_append(&p->plain, &mem, (msub_bytes){ plain, n }));
    msub__buf_consume(&p->in, (size_t)size);
  }
  size_t used = 0;
  msub_bytes plain = msub__buf_unread(&p->plain);
  if (plain.n == 0 || !p->yamux) return;
  int err = msub__yamux_input(p->yamux, now_ns(), plain, &used);
  msub__buf_consume(&p->plain, used);
  if (err != MSUB_OK) p->closed = true;
}

void raw_turn(raw_peer *p, node *n) {
  bool more = msub_host_turn(n->host, 2000000);
  if (p->yamux && !p->closed) write_streams(p);
  if (!p->closed) io(p);
  if (p->yamux || p->no_muxer) read_records(p);
  struct pollfd fds[2] = { { .fd = msub_host_fd(n->host), .events = POLLIN },
                           { .fd = p->fd, .events = POLLIN } };
  if (!more) (void)poll(fds, p->closed ? 1 : 2, 1);
}

bool raw_until(raw_peer *p, node *n, bool (*until)(raw_peer *p, node *n), unsigned ms) {
  uint64_t end = now_ms() + ms;
  while (!until(p, n)) {
    if (now_ms() >= end) return false;
    raw_turn(p, n);
  }
  return true;
}
static bool never(raw_peer *p, node *n) {
  (void)p;
  (void)n;
  return false;
}
void raw_for(raw_peer *p, node *n, unsigned ms) { (void)raw_until(p, n, never, ms); }

/* ---- the handshake ---- */

int raw_tcp(const node *to) {
  char addr[MSUB_MULTIADDR_TEXT];
  node_addr(to, addr, sizeof addr);
  const char *at = strstr(addr, "/tcp/");
  CHECK(at);
  struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(at + 5)) };
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0 && connect(fd, (const struct sockaddr *)(const void *)&in, sizeof in) == 0);
  return fd;
}

bool raw_tcp_ended(int fd) {
  char bytes[4096];
  for (;;) {
    ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) return true;
    if (n < 0) return false;
  }
}

static void noise_say(raw_peer *p) {
  uint8_t out[MSUB__NOISE_HANDSHAKE_MAX];
  int n = msub__noise_output(p->noise, out, sizeof out);
  CHECK(n > 0);
  MUST(msub__buf_append(&p->out, &mem, (msub_bytes){ out, (size_t)n }));
}

/* Up to Noise; the muxer is offered inside it. */
static void secure(raw_peer *p, node *to, uint8_t seed, const char *muxer_id) {
  static const uint8_t hello[] = "\x13/multistream/1.0.0\n\x07/noise\n";
  uint8_t bytes[32], secrets[64];
  msub_bytes muxer = msub_str(muxer_id);
  mem = msub__mem_default();
  memset(p, 0, sizeof *p);
  memset(bytes, seed, sizeof bytes);
  MUST(msub_key_from_seed(bytes, &p->key));
  MUST(msub__noise_kit_new(&mem, &p->kit));
  CHECK(getrandom(secrets, sizeof secrets, 0) == sizeof secrets);
  msub__noise_options o = { .kit = p->kit,
                            .identity = p->key,
                            .expect = msub_host_peer_id(to->host),
                            .muxers = &muxer,
                            .n_muxers = 1,
                            .initiator = true,
                            .static_secret = secrets,
                            .ephemeral_secret = secrets + 32 };
  MUST(msub__noise_new(&o, &p->noise));
  p->fd = raw_tcp(to);
  MUST(msub__buf_append(&p->out, &mem, (msub_bytes){ hello, sizeof hello - 1 }));
  noise_say(p);
  bool lines = false;
  for (uint64_t end = now_ms() + WITHIN_MS; msub__noise_turn_of(p->noise) != MSUB__NOISE_READY;) {
    CHECK(now_ms() < end && !p->closed);
    raw_turn(p, to);
    if (!lines && msub__buf_len(&p->in) >= sizeof hello - 1) {
      CHECK(memcmp(msub__buf_unread(&p->in).p, hello, sizeof hello - 1) == 0);
      msub__buf_consume(&p->in, sizeof hello - 1);
      lines = true;
    }
    size_t used = 0;
    if (!lines || msub__buf_len(&p->in) == 0) continue;
    MUST(msub__noise_input(p->noise, msub__buf_unread(&p->in), &used));
    msub__buf_consume(&p->in, used);
    if (msub__noise_turn_of(p->noise) == MSUB__NOISE_WRITE) noise_say(p);
  }
}

void raw_connect(raw_peer *p, node *to, uint8_t seed) {
  secure(p, to, seed, MSUB__YAMUX_ID);
  CHECK(msub__noise_muxer(p->noise) == 0);
  msub__yamux_options y = { .ops = &ops, .ud = p, .initiator = true, .max_inbound = RAW_STREAMS };
  MUST(msub__yamux_new(&y, now_ns(), &p->yamux));
}

void raw_connect_muxer(raw_peer *p, node *to, uint8_t seed, const char *muxer) {
  secure(p, to, seed, muxer);
  CHECK(msub__noise_muxer(p->noise) == -1);
  p->no_muxer = true;
}

void raw_close(raw_peer *p) {
  if (p->yamux) (void)msub__yamux_close(p->yamux, MSUB_OK);
  if (p->yamux) msub__yamux_free(p->yamux);
  msub__noise_free(p->noise);
  msub__noise_kit_free(p->kit);
  msub_key_free(p->key);
  for (unsigned i = 0; i < p->n; i++) {
    free(p->s[i].mss);
    msub__buf_fini(&p->s[i].in, &mem);
    msub__buf_fini(&p->s[i].out, &mem);
  }
  msub__buf_fini(&p->in, &mem);
  msub__buf_fini(&p->plain, &mem);
  msub__buf_fini(&p->out, &mem);
  (void)close(p->fd);
}
