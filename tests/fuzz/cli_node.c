#include "tests/fuzz/cli_node.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cli/ipns_node.h"
#include "cli/keyring.h"
#include "cli/local.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/live_mem.h"

#define PIECES 64u /* at most, so that a long input is as fast as a short one */
#define QUIET 3u /* rounds without a byte: nothing moves any more */

static const command fuzz_command = { "meshsub node", "", "", NULL };

static bool heard(void *ud, msub_host *h, msub_topic t, const msub_msg *m, msub_bytes from) {
  const node *n = ud;
  (void)h;
  if (n->local) local_message(n->local, t, m, from);
  return true;
}
static void happened(void *ud, msub_host *h, const msub_host_event *ev) {
  const node *n = ud;
  (void)h;
  ipns_event(n->ipns, ev);
  if (n->local) local_event(n->local, ev);
}
static void resulted(void *ud, msub_host *h, msub_token ticket, int err, uint32_t recipients) {
  const node *n = ud;
  (void)h, (void)ticket;
  if (n->local) local_result(n->local, err, recipients);
}

static void end(void) {
  FUZZ_CHECK(msub_host_free(fuzz_node()->host) == MSUB_OK && live_bytes() == 0);
  msub_key_free(fuzz_node()->key);
}

node *fuzz_node(void) {
  static const char *const nobody[] = { "deny 0.0.0.0/0", "deny ::/0" };
  static const uint8_t seed[32] = { 4 };
  static node n;
  msub_host_opts o;
  const char *why;
  if (n.host) return &n;
  n.cmd = &fuzz_command;
  msub_host_opts_init(&o);
  FUZZ_CHECK(msub_key_from_seed(seed, &n.key) == MSUB_OK);
  o.key = n.key;
  o.mem = &live_mem_kept; /* the host keeps things from one input to the next; at the end nothing may be left */
  o.seed = 1;
  o.verify_threads = 1;
  o.dns.server = "127.0.0.1:1";
  o.dns.timeout_ns = 1000000;
  o.ud = &n;
  o.on_message = heard;
  o.on_event = happened;
  o.on_result = resulted;
  FUZZ_CHECK(msub_host_new(&o, &n.host, &why) == MSUB_OK && msub_host_filter(n.host, nobody, 2, NULL, NULL) == MSUB_OK);
  (void)atexit(end);
  return &n;
}

/* ---- names ---- */

static msub_store_memory *kept;

static void durable(void *ud, msub_token token, int result) {
  const node *n = ud;
  FUZZ_CHECK(result == MSUB_OK && (keyring_durable(n->keys, token, result) || ipns_durable(n->ipns, token, result)));
}

static void turn_names(node *n) {
  if (!n->ipns) return;
  n->kept.ops->turn(n->kept.s, msub_host_now(n->host));
  ipns_turn(n->ipns);
}

static void open_names(node *n) {
  n->keys = keyring_open(n->cmd->program, n->kept);
  n->names_on.on = true;
  FUZZ_CHECK(ipns_open(n) < 0);
}
static void close_names(node *n) {
  ipns_close(n->ipns);
  keyring_close(n->keys);
  n->keys = NULL;
}

void fuzz_names_begin(void) {
  node *n = fuzz_node();
  msub_store_memory_opts o;
  uint8_t seed[32], bytes[KEY_BYTES_MAX];
  msub_key *own;
  msub_store_memory_opts_init(&o);
  FUZZ_CHECK(msub_store_memory_new(&o, msub_host_now(n->host), &kept) == MSUB_OK);
  n->kept = msub_store_memory_store(kept);
  memset(seed, FUZZ_OWN_KEY, sizeof seed);
  FUZZ_CHECK(msub_key_from_seed(seed, &own) == MSUB_OK);
  const msub_store_op op = { true, msub_str(KEYRING_PREFIX "own"), { bytes, msub_key_export(own, bytes, sizeof bytes) } };
  FUZZ_CHECK(n->kept.ops->submit(n->kept.s, &op, 1, (msub_token){ 0 }) == MSUB_OK);
  msub_key_free(own);
  n->kept.ops->turn(n->kept.s, msub_host_now(n->host));
  n->kept.ops->listen(n->kept.s, durable, n);
  open_names(n);
}

typedef struct wanted { size_t followed, kept, records, keys; } wanted;
/* What has a key here is followed again at a start, if it was published. */
static bool want(void *ud, const msub_names_view *v) {
  wanted *w = ud;
  w->records += v->has_record;
  w->kept += (v->flags & MSUB_NAMES_KEPT) != 0;
  w->followed += v->flags & MSUB_NAMES_FOLLOWED && !keyring_find(fuzz_node()->keys, ipns_name_of(v->name));
  return true;
}
static wanted wanted_of(const node *n) {
  wanted w = { 0 };
  msub_names_iterate(ipns_names(n->ipns), 0, msub_host_now(n->host)->wall_ns, want, &w);
  while (keyring_at(n->keys, w.keys)) w.keys++;
  return w;
}

void fuzz_names_end(void) {
  node *n = fuzz_node();
  while (n->kept.ops->next_deadline(n->kept.s) != MSUB_NEVER) turn_names(n);
  turn_names(n);
  FUZZ_CHECK(!n->waiters); /* every question was answered, or went with its client */
  wanted before = wanted_of(n);
  close_names(n);
  open_names(n);
  wanted after = wanted_of(n);
  FUZZ_CHECK(before.followed == after.followed && before.kept == after.kept && before.records == after.records && before.keys == after.keys);
  close_names(n);
  msub_store_memory_free(kept);
  n->kept = (msub_store){ NULL, NULL };
}

/* ---- clients ---- */

void talk_begin(talk *t, server *s, const uint8_t *in, size_t n, size_t piece) {
  int pair[2];
  *t = (talk){ .in = in, .n = n, .piece = piece < n / PIECES ? n / PIECES : piece };
  FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
  t->fd = pair[0];
  server_adopt(s, pair[1]);
}

/* true: a byte moved. */
static bool say(talk *t) {
  size_t n = t->n - t->at < t->piece ? t->n - t->at : t->piece;
  if (n == 0 || t->ended) return false;
  ssize_t put = send(t->fd, t->in + t->at, n, MSG_NOSIGNAL);
  FUZZ_CHECK(put > 0 || errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
  if (put < 0 && errno != EAGAIN) t->at = t->n; /* nobody hears it */
  if (put > 0) t->at += (size_t)put;
  return put > 0;
}

static bool hear(talk *t) {
  bool any = false;
  while (!t->ended) {
    if (t->out_cap - t->out_n < 65536) {
      t->out_cap = t->out_cap * 2 + 65536;
      t->out = realloc(t->out, t->out_cap);
      FUZZ_CHECK(t->out && t->out_cap < (size_t)256 << 20);
    }
    ssize_t got = recv(t->fd, t->out + t->out_n, t->out_cap - t->out_n, 0);
    if (got < 0 && errno == EAGAIN) break;
    t->ended = got <= 0;
    if (got > 0) t->out_n += (size_t)got;
    any = true;
  }
  return any;
}

void (*talk_turn)(void);

static void turn(server *s) {
  struct pollfd fds[SERVER_FDS];
  if (talk_turn) talk_turn();
  size_t n = server_fds(s, fds);
  FUZZ_CHECK(n <= SERVER_FDS && poll(fds, n, 0) >= 0);
  server_turn(s, fds, n);
  (void)msub_host_turn(fuzz_node()->host, 0);
  turn_names(fuzz_node());
}

static void settle(talk *all, size_t n, server *s) {
  for (unsigned quiet = 0; quiet < QUIET;) {
    bool moved = false;
    for (size_t i = 0; i < n; i++) moved |= say(&all[i]);
    turn(s);
    for (size_t i = 0; i < n; i++) moved |= hear(&all[i]);
    quiet = moved ? 0 : quiet + 1;
  }
}

void talk_all(talk *all, size_t n, server *s) {
  settle(all, n, s);
  for (size_t i = 0; i < n; i++) (void)shutdown(all[i].fd, SHUT_WR);
  settle(all, n, s);
  for (size_t i = 0; i < n; i++) FUZZ_CHECK(all[i].ended);
  FUZZ_CHECK(s->n == 0);
}

void talk_end(talk *t) {
  (void)close(t->fd);
  free(t->out);
}
