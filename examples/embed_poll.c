/* examples/embed_poll.c: a program with a poll loop of its own, in which the host is one descriptor among others. One thread, a
 * chat: a line that you type is published, what others say is printed; at the end of the input the program ends.
 *
 *   cc embed_poll.c $(pkg-config --cflags --libs meshsub-host) -o embed_poll
 *   ./embed_poll                          prints its address
 *   ./embed_poll /ip4/127.0.0.1/tcp/…     in another terminal: the address that the first one printed
 *
 * The loop's contract: wait until msub_host_fd() is readable or msub_host_next_deadline() has come, then give the host a turn;
 * it never sleeps itself. While a turn says that more is waiting, do not wait at all. */
#define _POSIX_C_SOURCE 200809L
#include <meshsub/gossipsub.h>
#include <meshsub/host.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TURN_NS 2000000 /* of the host's work at a time, so that the input is looked at meanwhile */

static bool on_message(void *ud, msub_host *h, msub_topic t, const msub_msg *m, msub_bytes from) {
  char who[MSUB_PEER_ID_TEXT];
  (void)ud, (void)h, (void)t;
  if (from.n == 0) return true; /* our own */
  msub_peer_id_text(msub_from(m), who);
  printf("%.12s… %.*s\n", who, (int)msub_data(m).n, (const char *)msub_data(m).p);
  return true;
}

static void on_event(void *ud, msub_host *h, const msub_host_event *ev) {
  (void)ud, (void)h;
  if (ev->kind == MSUB_EV_TOPIC_JOIN) puts("* somebody joined");
  if (ev->kind == MSUB_EV_TOPIC_LEAVE) puts("* somebody left");
  if (ev->kind == MSUB_EV_DIAL_FAILED) printf("* no connection: %s\n", ev->text);
}

static uint64_t monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
/* Milliseconds to a deadline, rounded up: too early would mean turns that have nothing to do. */
static int wait_ms(uint64_t deadline) {
  uint64_t now = monotonic_ns();
  if (deadline == MSUB_NEVER) return -1;
  if (deadline <= now) return 0;
  uint64_t ms = (deadline - now + 999999) / 1000000;
  return ms < 60000 ? (int)ms : 60000;
}

/* Publishes the lines that came; false: the input has ended. */
static bool read_input(msub_host *h, msub_topic t) {
  static char line[1024];
  static size_t have;
  ssize_t n = read(STDIN_FILENO, line + have, sizeof line - have);
  if (n <= 0) return false;
  have += (size_t)n;
  for (char *end; (end = memchr(line, '\n', have)) != NULL || have == sizeof line;) {
    size_t len = end ? (size_t)(end - line) : have, used = end ? len + 1 : len;
    int err = msub_publish(msub_host_engine(h), t, (msub_bytes){ (const uint8_t *)line, len }, msub_host_now(h), NULL);
    if (err != MSUB_OK) printf("* not sent: %s\n", msub_err_text(err));
    have -= used;
    memmove(line, line + used, have);
  }
  return true;
}

int main(int argc, char **argv) {
  static const msub_router_ops *const routers[] = { &msub_gossipsub, NULL };
  msub_key *key;
  msub_host_opts o;
  msub_host *host;
  msub_topic topic;
  const char *why;
  char addr[256];

  if (msub_key_generate(&key) != MSUB_OK) return 1;
  msub_host_opts_init(&o);
  o.key = key;
  o.routers = routers;
  o.on_message = on_message;
  o.on_event = on_event;
  if (msub_host_new(&o, &host, &why) != MSUB_OK || msub_host_listen(host, "/ip4/127.0.0.1/tcp/0", &why) != MSUB_OK) {
    fprintf(stderr, "%s\n", why);
    return 1;
  }
  if (msub_join(msub_host_engine(host), 0, msub_str("chat"), NULL, NULL, msub_host_now(host), &topic) != MSUB_OK) return 1;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (msub_host_addr(host, 0, addr, sizeof addr) == MSUB_OK) puts(addr);
  if (argc > 1 && msub_host_keep(host, argv[1]) != MSUB_OK) return 1;

  for (bool open = true, more = true; open;) {
    struct pollfd fds[2] = { { .fd = msub_host_fd(host), .events = POLLIN }, { .fd = STDIN_FILENO, .events = POLLIN } };
    poll(fds, 2, more ? 0 : wait_ms(msub_host_next_deadline(host)));
    if (fds[1].revents) open = read_input(host, topic);
    more = msub_host_turn(host, TURN_NS);
  }
  msub_host_free(host);
  msub_key_free(key);
  return 0;
}
