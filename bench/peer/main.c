#include "bench/peer/peer.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define LINE_MAX_BYTES (40u << 20) /* a `send` of 16 MiB in hex */
#define TURN_NS 2000000
#define RETRY_NS 1000000 /* after a refused publish, when nothing else happens first */

/* The descriptors of one sleep, in this order. */
enum { FD_STDIN, FD_TIMER, FD_LISTENER, FD_CREDIT_OUT, FD_STORE, FD_CREDITS };

typedef struct pollset {
  struct pollfd *fds;
  size_t cap, hosts, n_hosts; /* hosts: where they begin */
} pollset;

/* While a dial is open, or a name is looked for, its reply is the next one: further requests wait. */
static bool held(const peer *p) { return p->dial.running || p->ipns.waiting; }

static size_t fill(pollset *s, peer *p) {
  size_t n = FD_CREDITS + p->credit.n + p->n_nodes;
  if (n > s->cap) {
    s->fds = grow(s->fds, n, sizeof *s->fds);
    s->cap = n;
  }
  struct pollfd *f = s->fds;
  f[FD_STDIN] = (struct pollfd){ .fd = p->in.end ? -1 : STDIN_FILENO, .events = held(p) ? 0 : POLLIN };
  f[FD_TIMER] = (struct pollfd){ .fd = p->publisher.timer, .events = POLLIN };
  f[FD_LISTENER] = (struct pollfd){ .fd = p->credit.listener, .events = POLLIN };
  f[FD_CREDIT_OUT] =
      (struct pollfd){ .fd = counter_wants_write(&p->counter) ? p->counter.fd : -1, .events = POLLOUT };
  f[FD_STORE] = (struct pollfd){ .fd = ipns_fd(p->ipns.x), .events = POLLIN };
  for (size_t i = 0; i < p->credit.n; i++)
    f[FD_CREDITS + i] = (struct pollfd){ .fd = p->credit.conns[i].fd, .events = POLLIN };
  s->hosts = FD_CREDITS + p->credit.n;
  s->n_hosts = p->n_nodes;
  for (size_t i = 0; i < p->n_nodes; i++)
    f[s->hosts + i] = (struct pollfd){ .fd = msub_host_fd(p->nodes[i].host), .events = POLLIN };
  return n;
}

static uint64_t next_wake(peer *p) {
  uint64_t until = p->publisher.refused ? mono_ns() + RETRY_NS : MSUB_NEVER, meet = rendezvous_next(&p->rendezvous);
  uint64_t names = ipns_next(p->ipns.x);
  if (meet < until) until = meet;
  if (names < until) until = names;
  for (size_t i = 0; i < p->n_nodes; i++) {
    uint64_t at = p->nodes[i].busy ? 0 : msub_host_next_deadline(p->nodes[i].host);
    if (at < until) until = at;
  }
  return until;
}

static void read_credits(peer *p, const struct pollfd *f) {
  size_t n = p->credit.n;
  for (size_t i = 0; i < n; i++)
    if (f[FD_CREDITS + i].revents) credit_read(&p->credit, i);
  credit_drop_closed(&p->credit);
  if (f[FD_LISTENER].revents) credit_accept(&p->credit);
}

static void turn_hosts(peer *p, const pollset *s) {
  uint64_t now = mono_ns();
  for (size_t i = 0; i < p->n_nodes; i++) {
    peer_node *n = &p->nodes[i];
    bool ready = n->busy || (i < s->n_hosts && s->fds[s->hosts + i].revents);
    if (ready || msub_host_next_deadline(n->host) <= now) n->busy = msub_host_turn(n->host, TURN_NS);
  }
}

/* What a request asked of the hosts is done in their next turn, which is due at once. */
static void wake_hosts(peer *p) {
  for (size_t i = 0; i < p->n_nodes; i++) p->nodes[i].busy = true;
}

static void read_requests(peer *p) {
  msub_bytes line;
  while (!p->quit && !held(p) && lines_next(&p->in, &line)) {
    if (line.n) request_line(p, line);
    wake_hosts(p);
  }
  if (p->in.too_long) {
    event_error("a request longer than %u bytes", LINE_MAX_BYTES);
    p->quit = true;
  }
  if (p->in.end) p->quit = true;
}

static void continue_dial(peer *p) {
  if (!p->dial.running) return;
  if (dial_work(p)) {
    reply("dial", p->dial_id, NULL, *p->dial.error ? p->dial.error : NULL);
    json_decref(p->dial_id);
    p->dial_id = NULL;
    read_requests(p); /* those that had to wait */
  }
}

/* After it a request may be answered, and then those that had to wait; the node may have something to say then, too. */
static void turn_names(peer *p, bool stored) {
  bool waited = p->ipns.waiting;
  if (!stored && ipns_next(p->ipns.x) > mono_ns()) return;
  ipns_turn(p->ipns.x);
  p->nodes[0].busy = true;
  if (waited && !p->ipns.waiting) read_requests(p);
}

static void clear_timer(const publisher *b) {
  uint64_t expired;
  ssize_t got = read(b->timer, &expired, sizeof expired);
  (void)got;
}

static void loop(peer *p) {
  pollset s = { 0 };
  bool more = false;
  while (!p->quit) {
    size_t n = fill(&s, p);
    wait_fds(s.fds, n, more ? 0 : next_wake(p));
    if (s.fds[FD_TIMER].revents) clear_timer(&p->publisher);
    if (s.fds[FD_CREDIT_OUT].revents) counter_write(&p->counter);
    read_credits(p, s.fds);
    if (s.fds[FD_STDIN].revents) {
      if (!lines_fill(&p->in)) break;
      read_requests(p);
    }
    uint64_t before = p->publisher.i;
    more = publisher_work(p);
    if (p->publisher.i != before) p->nodes[0].busy = true; /* it leaves in this turn */
    turn_hosts(p, &s);
    rendezvous_turn(&p->rendezvous);
    turn_names(p, s.fds[FD_STORE].revents != 0);
    continue_dial(p);
    if (!flush_out(PROGRAM, stdout)) break;
  }
  free(s.fds);
}

static void hello(void) {
  json_t *j = json_object();
  json_object_set_new(j, "proto", json_integer(1));
  json_object_set_new(j, "impl", json_string("meshsub"));
  json_object_set_new(j, "version", json_string(MSUB_VERSION));
  json_object_set_new(j, "caps", json_pack("[s,s,s,s,s,s,s]", "nodes", "interop", "trace", "partial", "score", "ipns", "registers"));
  event("hello", j);
}

int main(int argc, char **argv) {
  if (argc > 1) {
    fprintf(stderr, "usage: %s\nA node driven by JSON lines on stdin; docs/benchmarks.md says which.\n",
            argv[0]);
    return strcmp(argv[1], "--help") == 0 ? EXIT_OK : EXIT_USAGE;
  }
  peer p = { .credit.listener = -1,
             .publisher.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC) };
  if (p.publisher.timer < 0) {
    say_error(PROGRAM, "no timer: %s", strerror(errno));
    return EXIT_FAILED;
  }
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul); /* for the timers of the hosts */
  counter_init(&p.counter);
  lines_init(&p.in, STDIN_FILENO, LINE_MAX_BYTES);
  hello();
  if (flush_out(PROGRAM, stdout)) loop(&p);
  nodes_stop(&p);
  counter_free(&p.counter);
  credit_close(&p.credit);
  free(p.publisher.payload);
  free(p.dial.addr);
  json_decref(p.dial_id);
  for (size_t i = 0; i < p.n_topics; i++) free(p.topics[i]);
  free(p.topics);
  lines_free(&p.in);
  return EXIT_OK;
}
