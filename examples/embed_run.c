/* examples/embed_run.c: a program that gives a thread to the host: msub_host_run() until somebody says stop.
 *
 *   cc embed_run.c $(pkg-config --cflags --libs meshsub-host) -o embed_run
 *   ./embed_run                          prints its address
 *   ./embed_run /ip4/127.0.0.1/tcp/…     in another terminal: the address that the first one printed
 *
 * The host has the main thread, and all callbacks run there. A second thread does the program's work: it waits for a listener,
 * publishes a line a few times a second and then ends the host. From other threads only msub_host_post, msub_host_publish and
 * msub_host_stop may be called. */
#define _POSIX_C_SOURCE 200809L
#include <meshsub/gossipsub.h>
#include <meshsub/host.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

enum { LINES = 10, PAUSE_MS = 200, PATIENCE = 150 /* pauses */ };

typedef struct program {
  msub_host *host;
  msub_topic topic;
  unsigned heard;        /* the host's thread only */
  atomic_bool listeners; /* both */
} program;

static bool on_message(void *ud, msub_host *h, msub_topic t, const msub_msg *m, msub_bytes from) {
  program *p = ud;
  (void)h, (void)t;
  if (from.n == 0) return true; /* our own */
  p->heard++;
  printf("heard: %.*s\n", (int)msub_data(m).n, (const char *)msub_data(m).p);
  return true;
}

static void on_event(void *ud, msub_host *h, const msub_host_event *ev) {
  program *p = ud;
  (void)h;
  if (ev->kind == MSUB_EV_TOPIC_JOIN) atomic_store(&p->listeners, true);
  if (ev->kind == MSUB_EV_DIAL_FAILED) printf("no connection: %s\n", ev->text);
  if (ev->kind == MSUB_EV_PUBSUB) printf("a peer speaks %s\n", ev->text);
}

/* On the host's thread, because another one posted it. Here every call is allowed, with the time of the turn. */
static void count_peers(msub_host *h, void *arg) {
  const program *p = arg;
  printf("peers in the topic: %zu\n", msub_topic_peers(msub_host_engine(h), p->topic));
}

static void *work(void *arg) {
  program *p = arg;
  const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
  char line[64];
  for (int i = 0; i < PATIENCE && !atomic_load(&p->listeners); i++) nanosleep(&pause, NULL);
  for (int i = 0; i < LINES; i++) {
    nanosleep(&pause, NULL);
    int n = snprintf(line, sizeof line, "line %d", i);
    msub_bytes data = { (const uint8_t *)line, (size_t)n };
    int err = msub_host_publish(p->host, p->topic, data); /* copied; what becomes of it is told by on_result */
    if (err != MSUB_OK) printf("%s\n", msub_err_text(err));
  }
  msub_host_post(p->host, count_peers, p);
  msub_host_stop(p->host); /* what is queued still goes out */
  return NULL;
}

int main(int argc, char **argv) {
  static const msub_router_ops *const routers[] = { &msub_gossipsub, NULL };
  program p = { 0 };
  msub_key *key;
  msub_host_opts o;
  const char *why;
  char addr[256];
  pthread_t thread;

  if (msub_key_generate(&key) != MSUB_OK) return 1; /* a real node keeps it: msub_key_export() */
  msub_host_opts_init(&o);
  o.key = key;
  o.routers = routers; /* without it: floodsub */
  o.ud = &p;
  o.on_message = on_message;
  o.on_event = on_event;
  if (msub_host_new(&o, &p.host, &why) != MSUB_OK || msub_host_listen(p.host, "/ip4/127.0.0.1/tcp/0", &why) != MSUB_OK) {
    fprintf(stderr, "%s\n", why);
    return 1;
  }
  if (msub_join(msub_host_engine(p.host), 0, msub_str("lines"), NULL, NULL, msub_host_now(p.host), &p.topic) != MSUB_OK) return 1;
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (msub_host_addr(p.host, 0, addr, sizeof addr) == MSUB_OK) puts(addr);
  if (argc > 1 && msub_host_keep(p.host, argv[1]) != MSUB_OK) return 1;

  if (pthread_create(&thread, NULL, work, &p) != 0) return 1;
  int err = msub_host_run(p.host);
  pthread_join(thread, NULL);
  printf("heard %u lines\n", p.heard);
  msub_host_free(p.host);
  msub_key_free(key);
  return err == MSUB_OK ? 0 : 1;
}
