#define _GNU_SOURCE /* SOCK_CLOEXEC */
#include "host_node.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* ---- memory ---- */

static void nothing_left(const char *name) {
  size_t left = live_bytes();
  if (left) fprintf(stderr, "%s: %zu bytes were not freed\n", name, left);
  CHECK(left == 0);
}
int node_run_cases(const test_case *cases, size_t n, int argc, char **argv) {
  return run_cases_with(cases, n, argc, argv, nothing_left);
}

/* ---- what the host tells ---- */

static uint32_t number_of(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool on_message(void *ud, msub_host *h, msub_topic t, const msub_msg *m, msub_bytes from) {
  node *n = ud;
  msub_bytes d = msub_data(m);
  (void)h;
  (void)t;
  if (from.n == 0) return true; /* our own */
  if (d.n < 4 || (n->size && d.n != n->size) || number_of(d.p) >= MESSAGES_MAX ||
      d.p[d.n - 1] != (d.n > 4 ? 0xee : d.p[3])) {
    n->wrong++;
    return true;
  }
  uint32_t i = number_of(d.p);
  if (i < n->next) n->out_of_order++;
  n->next = i + 1;
  n->seen[i]++;
  n->messages++;
  return true;
}

static void on_event(void *ud, msub_host *h, const msub_host_event *ev) {
  node *n = ud;
  (void)h;
  if (getenv("MESHSUB_TEST_TRACE")) {
    fprintf(stderr, "%s: event %d err %d last %d %s\n", n->name, (int)ev->kind, ev->err, ev->last,
            ev->text ? ev->text : "");
  }
  switch (ev->kind) {
  case MSUB_EV_CONNECTED:
    n->connected++;
    n->cookie = ev->cookie;
    break;
  case MSUB_EV_DISCONNECTED:
    n->disconnected++;
    if (ev->last) n->last++;
    (void)snprintf(n->text, sizeof n->text, "%s", ev->text);
    break;
  case MSUB_EV_DIAL_FAILED:
    n->dial_failed++;
    n->cookie = ev->cookie;
    n->dial_err = ev->err;
    (void)snprintf(n->text, sizeof n->text, "%s", ev->text);
    break;
  case MSUB_EV_IDENTIFIED: n->identified++; break;
  case MSUB_EV_PUBSUB:
    n->pubsub++;
    (void)snprintf(n->text, sizeof n->text, "%s", ev->text);
    break;
  case MSUB_EV_TOPIC_JOIN: n->joins++; break;
  case MSUB_EV_TOPIC_LEAVE: n->leaves++; break;
  default: break;
  }
}

static void on_result(void *ud, msub_host *h, msub_token ticket, int err, uint32_t recipients) {
  node *n = ud;
  (void)h;
  (void)ticket;
  (void)err;
  (void)recipients;
  n->results++;
}

static void on_log(void *ud, msub_log_level level, const char *module, const char *line) {
  const node *n = ud;
  (void)level;
  fprintf(stderr, "%s: %s: %s\n", n->name, module, line);
}

/* ---- nodes ---- */

static int content_layout(msub_layout *l, const void *opts) {
  (void)opts;
  return msub_layout_nest(l, &msub_floodsub, NULL);
}
static uint64_t never_again(msub_router *r) { return (void)r, MSUB_NEVER; }
static void nothing(msub_router *r) { (void)r; }
const msub_router_ops node_content = { .abi = MSUB_ABI, .size = sizeof node_content, .name = "content", .layout = content_layout,
                                       .next_deadline = never_again, .advance = nothing };

void node_init(node *n, const char *name, uint8_t seed) {
  static const msub_router_ops *const routers[] = { &msub_floodsub, NULL };
  uint8_t bytes[32];
  memset(bytes, seed, sizeof bytes);
  memset(n, 0, sizeof *n);
  n->name = name;
  n->seen = calloc(MESSAGES_MAX, 1);
  CHECK(n->seen);
  MUST(msub_key_from_seed(bytes, &n->key));
  msub_host_opts *o = &n->opts;
  msub_host_opts_init(o);
  o->key = n->key;
  o->transport = getenv("MESHSUB_TEST_TRANSPORT");
  o->routers = routers; /* no heartbeats and no mesh beside what is tested */
  o->mem = &live_mem;
  o->ud = n;
  o->on_message = on_message;
  o->on_event = on_event;
  o->on_result = on_result;
  o->engine.sign = MSUB_STRICT_NO_SIGN;
  if (getenv("MESHSUB_TEST_TRACE")) o->log = (msub_log){ on_log, n, MSUB_LOG_DEBUG };
}

static const msub_channel_policy by_hash = {
  .abi = MSUB_ABI, .size = sizeof by_hash, .name = "by hash", .message_id = msub_id_sha256
};

const msub_channel_policy *node_policy(void) { return &by_hash; }

void node_start(node *n, bool listen, bool join) {
  const char *why = NULL;
  int err = msub_host_new(&n->opts, &n->host, &why);
  if (err != MSUB_OK) fprintf(stderr, "%s: %s\n", n->name, why);
  MUST(err);
  if (listen) MUST(msub_host_listen(n->host, getenv("MESHSUB_TEST_WS") ? "/ip4/127.0.0.1/tcp/0/ws" : "/ip4/127.0.0.1/tcp/0", &why));
  if (!join) return;
  const msub_channel_policy *policy = n->opts.engine.sign == MSUB_STRICT_NO_SIGN ? &by_hash : NULL;
  MUST(msub_join(msub_host_engine(n->host), 0, msub_str("topic"), policy, NULL, msub_host_now(n->host), &n->topic));
}

void node_stop(node *n) {
  if (n->host) MUST(msub_host_free(n->host));
  n->host = NULL;
}

void node_free(node *n) {
  node_stop(n);
  msub_key_free(n->key);
  free(n->seen);
}

void node_addr(const node *n, char *out, size_t cap) { MUST(msub_host_addr(n->host, 0, out, cap)); }

void node_dial(node *from, const node *to) {
  char addr[MSUB_MULTIADDR_TEXT];
  node_addr(to, addr, sizeof addr);
  MUST(msub_host_dial(from->host, addr, 7));
}

int node_silent_place(uint16_t *port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  struct sockaddr_in in = { .sin_family = AF_INET };
  socklen_t len = sizeof in;
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(fd >= 0 && bind(fd, (struct sockaddr *)(void *)&in, sizeof in) == 0 && listen(fd, 64) == 0);
  CHECK(getsockname(fd, (struct sockaddr *)(void *)&in, &len) == 0);
  *port = ntohs(in.sin_port);
  return fd;
}

/* ---- turning ---- */

static int pause_ms(node *const *nodes, size_t n, uint64_t end) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  uint64_t now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec, at = now + 5000000u;
  for (size_t i = 0; i < n; i++) {
    uint64_t next = nodes[i]->host ? msub_host_next_deadline(nodes[i]->host) : MSUB_NEVER;
    if (next < at) at = next;
  }
  (void)end;
  return at <= now ? 0 : (int)((at - now + 999999u) / 1000000u);
}

bool turn_until(node *const *nodes, size_t n, condition until, void *ud, unsigned ms) {
  uint64_t end = now_ms() + ms;
  struct pollfd fds[32];
  for (;;) {
    bool more = false;
    if (until(ud)) return true;
    nfds_t k = 0;
    for (size_t i = 0; i < n; i++) {
      if (!nodes[i]->host) continue;
      more |= msub_host_turn(nodes[i]->host, 2000000);
      fds[k++] = (struct pollfd){ .fd = msub_host_fd(nodes[i]->host), .events = POLLIN };
    }
    if (until(ud)) return true;
    if (now_ms() >= end) return false;
    if (!more) (void)poll(fds, k, pause_ms(nodes, n, end));
  }
}

static bool never(void *ud) {
  (void)ud;
  return false;
}
void turn_for(node *const *nodes, size_t n, unsigned ms) { (void)turn_until(nodes, n, never, NULL, ms); }

static bool have_met(void *ud) {
  node *const *p = ud;
  return p[0]->connected > 0 && p[1]->connected > 0 && p[0]->identified > 0 && p[1]->identified > 0;
}
void node_meet(node *const *all, size_t n, node *from, node *to) {
  node *ends[2] = { from, to };
  from->connected = to->connected = from->identified = to->identified = 0;
  node_dial(from, to);
  CHECK(turn_until(all, n, have_met, ends, WITHIN_MS));
}

/* ---- messages ---- */

bool node_publish(node *from, uint32_t i, size_t n) {
  static uint8_t bytes[1u << 20];
  CHECK(n >= 5 && n <= sizeof bytes);
  memset(bytes, (int)(i & 0xff), n);
  bytes[0] = (uint8_t)(i >> 24);
  bytes[1] = (uint8_t)(i >> 16);
  bytes[2] = (uint8_t)(i >> 8);
  bytes[3] = (uint8_t)i;
  bytes[n - 1] = 0xee;
  int err = msub_publish(msub_host_engine(from->host), from->topic, (msub_bytes){ bytes, n },
                         msub_host_now(from->host), NULL);
  if (err == MSUB_ERR_LIMIT) return false;
  MUST(err);
  return true;
}

typedef struct target {
  const node *to;
  uint32_t first, count;
} target;
static bool all_there(void *ud) {
  const target *t = ud;
  for (uint32_t i = t->first; i < t->first + t->count; i++) {
    if (t->to->seen[i] == 0) return false;
  }
  return true;
}

#define UNDER_WAY (2u << 20)
void transfer(node *const *nodes, size_t n, node *from, node *to, uint32_t first, uint32_t count,
              size_t size) {
  target t = { to, first, count };
  to->next = 0;
  to->size = size;
  /* No more under way than the lane takes: a peer that took nothing for a second, as on a busy machine, does not
   * hold the publisher up, and what does not fit is lost then. */
  uint32_t got_before = to->messages, most = UNDER_WAY / (uint32_t)size;
  uint64_t end = now_ms() + 2 * WITHIN_MS;
  for (uint32_t i = 0; i < count && now_ms() < end;) {
    unsigned burst = 64;
    while (burst-- > 0 && i < count && i < to->messages - got_before + most && node_publish(from, first + i, size))
      i++;
    turn_for(nodes, n, 0);
  }
  if (!turn_until(nodes, n, all_there, &t, WITHIN_MS)) {
    uint32_t missing = 0;
    for (uint32_t i = first; i < first + count; i++) missing += to->seen[i] == 0;
    fprintf(stderr, "%s: %u of %u messages of %zu bytes did not come from %s\n", to->name, missing, count,
            size, from->name);
    exit(1);
  }
  for (uint32_t i = first; i < first + count; i++) CHECK(to->seen[i] == 1);
  CHECK(to->wrong == 0);
  if (to->opts.engine.sign == MSUB_STRICT_NO_SIGN) CHECK(to->out_of_order == 0); /* verified side by side */
}

static bool paired(void *ud) {
  node *const *both = ud;
  return both[0]->joins > 0 && both[0]->pubsub > 0 && both[1]->joins > 0 && both[1]->pubsub > 0;
}
void node_still_serves(node *a) {
  static node honest;
  node *both[2] = { a, &honest };
  a->joins = a->pubsub = 0;
  node_init(&honest, "honest", 2);
  node_start(&honest, false, true);
  node_dial(&honest, a);
  WAIT(both, paired, both);
  transfer(both, 2, a, &honest, 0, 50, 1024);
  transfer(both, 2, &honest, a, 50, 50, 1024);
  node_free(&honest);
}
