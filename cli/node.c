#include "cli/node.h"
#include "cli/events.h"
#include "cli/ipns_wait.h"
#include "cli/keyring.h"
#include "cli/local.h"
#include "cli/rendezvous.h"
#include "cli/store.h"
#include <errno.h>
#include <fcntl.h>
#include <meshsub/author.h>
#include <meshsub/guard.h>
#include <meshsub/log.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOPIC_MAX 256     /* bytes of a topic's name (engine.h) */
#define KEY_FILE_MAX 8192 /* an RSA key of 8192 bits takes less */

/* ---- keys ---- */

int key_read(const char *program, const char *option, const char *file, msub_key **out) {
  uint8_t bytes[KEY_FILE_MAX + 1];
  int fd = open(file, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
  int error = errno;
  if (fd >= 0) close(fd);
  if (n < 0) {
    say_error(program, "%s%s: cannot be read: %s%s", option, quoted(file), strerror(error),
              error == ENOENT ? "; \"meshsub key new FILE\" makes a key" : "");
    return EXIT_FAILED;
  }
  int err = n > KEY_FILE_MAX ? MSUB_ERR_MALFORMED : msub_key_import((msub_bytes){ bytes, (size_t)n }, out);
  explicit_bzero(bytes, sizeof bytes);
  if (err == MSUB_OK) return -1;
  if (err == MSUB_ERR_UNSUPPORTED)
    say_error(program, "%s%s: a key that cannot sign here: RSA keys of 2048 to 8192 bits and ECDSA keys on P-256, P-384 or P-521 can", option, quoted(file));
  else
    say_error(program, "%s%s: not a libp2p private key (%s); \"meshsub key new FILE\" makes one", option,
              quoted(file), msub_err_text(err));
  return EXIT_FAILED;
}

/* ---- checks of the command line ---- */

static int check_address(const node *n, const char *option, const char *text) {
  msub_multiaddr binary;
  msub_addr a;
  if (msub_multiaddr_parse(text, &binary) != MSUB_OK)
    return usage_error(n->cmd, "%s %s: not a multiaddress; write /ip4/HOST/tcp/PORT or /ip6/HOST/tcp/PORT",
                       option, quoted(text));
  int err = msub_multiaddr_split((msub_bytes){ binary.bytes, binary.n }, &a);
  bool listen = option[2] == 'l';
  if (err == MSUB_OK && listen && a.host != MSUB_ADDR_IP4 && a.host != MSUB_ADDR_IP6 && a.host != MSUB_ADDR_UNIX)
    return usage_error(n->cmd, "%s %s: a name cannot be listened on; write /ip4/HOST/tcp/PORT or /ip6/HOST/tcp/PORT", option, quoted(text));
  if (err == MSUB_OK && a.host == MSUB_ADDR_UNIX) err = MSUB_ERR_UNSUPPORTED;
  if (err != MSUB_OK && !strstr(text, "/tcp/") && !strstr(text, "/udp/"))
    return usage_error(n->cmd, "%s %s: no /tcp part; write %.200s/tcp/PORT", option, quoted(text), text);
  if (err != MSUB_OK)
    return usage_error(n->cmd, "%s %s: only TCP over IP is spoken here; write /ip4/HOST/tcp/PORT", option,
                       quoted(text));
  if (!listen && a.tcp == 0 && a.host != MSUB_ADDR_DNSADDR)
    return usage_error(n->cmd,
                       "%s %s: port 0 cannot be connected to; write the port that the node listens on",
                       option, quoted(text));
  return -1;
}

static int check_topic(const node *n, const char *topic) {
  size_t len = strlen(topic);
  if (len > TOPIC_MAX)
    return usage_error(n->cmd, "topic %.16s...: %zu bytes long; at most %d are allowed", topic, len, TOPIC_MAX);
  return len ? -1 : usage_error(n->cmd, "topic \"\": an empty name; give at least one byte");
}

static bool allowed(void *ud, msub_bytes topic, msub_peer p) {
  const node *n = ud;
  msub_peer_id name;
  if (n->ipns && msub_ipns_topic_parse(topic, &name) == MSUB_OK) {
    ipns_heard(n->ipns, topic, p);
    return true;
  }
  if (!n->allow.n && !n->pattern) return true;
  for (size_t i = 0; i < n->allow.n; i++)
    if (msub_bytes_eq(msub_str(n->allow.v[i]), topic)) return true;
  return n->pattern && msub_topic_pattern_allows(n->pattern, topic, p);
}

static int check_filter(node *n, const text_list *topics) {
  char why[128];
  if (n->pattern_text) {
    int err = msub_topic_pattern_new(n->pattern_text, &n->pattern, why, sizeof why);
    if (err != MSUB_OK)
      return usage_error(n->cmd, "--topics-regex %s: %s", quoted(n->pattern_text), *why ? why : "longer than 1024 bytes");
  }
  if (!n->allow.n && !n->pattern) return -1;
  for (size_t i = 0; i < topics->n + n->relay.n; i++) {
    const char *topic = i < topics->n ? topics->v[i] : n->relay.v[i - topics->n];
    if (!allowed(n, msub_str(topic), (msub_peer){ 0 }))
      return usage_error(n->cmd, "topic %s: neither --topics-allow nor --topics-regex allows it", quoted(topic));
  }
  return -1;
}

static const char *const sign_names[MSUB_SIGN_POLICIES] = { "strict_sign", "strict_no_sign", "strict_no_sign_author", "lax_sign",
                                                            "lax_no_sign" };
static const char *sign_name(const void *ud, size_t i) { return i < MSUB_SIGN_POLICIES ? ((const char *const *)ud)[i] : NULL; }

static int check_sign(node *n) {
  n->sign = n->anonymous ? MSUB_STRICT_NO_SIGN : MSUB_STRICT_SIGN;
  if (!n->sign_name) return -1;
  for (unsigned i = 0; i < MSUB_SIGN_POLICIES; i++) {
    if (strcmp(n->sign_name, sign_names[i]) != 0) continue;
    if (n->anonymous && i != MSUB_STRICT_NO_SIGN)
      return usage_error(n->cmd, "--sign %s: contradicts --unsigned; leave one of them out", n->sign_name);
    n->sign = (msub_sign_policy)i;
    n->anonymous = i == MSUB_STRICT_NO_SIGN;
    return -1;
  }
  const char *meant = nearest(n->sign_name, sign_name, sign_names);
  return usage_error(n->cmd, "--sign %s: no such policy%s%s%s", quoted(n->sign_name), meant ? "; did you mean " : "", meant ? meant : "",
                     meant ? "?" : "");
}

static int check_transport(const node *n) {
  const char *name = n->transport;
  if (!name || strcmp(name, "nng") == 0) return -1;
#ifdef __linux__
  if (strcmp(name, "epoll") == 0) return -1;
  return usage_error(n->cmd, "--transport %s: there are epoll and nng", quoted(name));
#else
  return usage_error(n->cmd, "--transport %s: there is nng", quoted(name));
#endif
}

static void set_limits(const node_limits *l, msub_host_opts *o) {
#define X(member, option, help) if (l->member##_given) o->member = (unsigned)l->member;
  NODE_LIMITS(X)
#undef X
}

static int check_limits(const node *n) {
  msub_host_opts o;
  msub_host_opts_init(&o);
  set_limits(&n->limits, &o);
  if (o.low_water <= o.high_water || o.high_water == 0) return -1;
  return usage_error(n->cmd, "--low-water %u, --high-water %u: the first must not be above the second", o.low_water, o.high_water);
}

int node_check(node *n, const text_list *topics) {
  int code = check_sign(n);
  if (code < 0) code = check_transport(n);
  for (size_t i = 0; i < n->listen.n && code < 0; i++) code = check_address(n, "--listen", n->listen.v[i]);
  for (size_t i = 0; i < n->connect.n && code < 0; i++) code = check_address(n, "--connect", n->connect.v[i]);
  for (size_t i = 0; i < n->rendezvous.n && code < 0; i++) code = check_address(n, "--rendezvous", n->rendezvous.v[i]);
  if (code < 0) code = rendezvous_check(n);
  for (size_t i = 0; i < n->router.direct.n && code < 0; i++)
    code = check_address(n, "--direct", n->router.direct.v[i]);
  for (size_t i = 0; i < topics->n && code < 0; i++) code = check_topic(n, topics->v[i]);
  for (size_t i = 0; i < n->relay.n && code < 0; i++) code = check_topic(n, n->relay.v[i]);
  if (code < 0) code = check_filter(n, topics);
  if (code < 0) code = ipns_check(n);
  if (code < 0) code = check_limits(n);
  return code < 0 ? router_make(&n->router, n->cmd) : code;
}

/* ---- callbacks ---- */

static void log_line(void *ud, msub_log_level level, const char *module, const char *line) {
  const node *n = ud;
  if (log_shows(&n->log, level, module)) log_put(&n->log, n->cmd->program, level, module, line);
  if (n->local) local_log(n->local, level, module, line);
}

size_t node_topic_index(const node *n, msub_topic t) {
  size_t i = 0;
  while (i < n->n_topics && n->topics[i].v != t.v) i++;
  return i;
}

static bool heard(void *ud, msub_host *h, msub_topic t, const msub_msg *m, msub_bytes from) {
  node *n = ud;
  (void)h;
  if (n->local) local_message(n->local, t, m, from);
  size_t i = node_topic_index(n, t);
  return i == n->n_topics || !n->on_message || n->on_message(n, i, m, from);
}

static void happened(void *ud, msub_host *h, const msub_host_event *ev) {
  node *n = ud;
  (void)h;
  if (ev->kind == MSUB_EV_DIAL_FAILED) n->dials_failed++;
  ipns_event(n->ipns, ev);
  if (n->local) local_event(n->local, ev);
  if (n->on_event) n->on_event(n, ev);
}

static void result(void *ud, msub_host *h, msub_token ticket, int err, uint32_t recipients) {
  node *n = ud;
  (void)h;
  (void)ticket;
  if (n->local) local_result(n->local, err, recipients);
  if (n->on_result) n->on_result(n, err, recipients);
}

static void traced(void *ud, msub_host *h, const msub_event *ev) {
  node *n = ud;
  (void)h;
  n->on_trace(n, ev);
}

/* ---- opening ---- */

static const msub_channel_policy anonymous_policy = {
  .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "anonymous", .message_id = msub_id_sha256
};

const msub_channel_policy *node_policy(const node *n) { return n->anonymous ? &anonymous_policy : NULL; }

static int join(node *n, const text_list *topics, bool publish_only) {
  n->names = take(topics->n * sizeof *n->names);
  n->topics = take(topics->n * sizeof *n->topics);
  for (size_t i = 0; i < topics->n; i++) {
    size_t same = 0;
    while (same < n->n_topics && strcmp(n->names[same], topics->v[i]) != 0) same++;
    if (same < n->n_topics) continue; /* named twice */
    int err = (publish_only ? msub_open : msub_join)(msub_host_engine(n->host), 0, msub_str(topics->v[i]),
                                                     node_policy(n), NULL,
                                                     msub_host_now(n->host), &n->topics[n->n_topics]);
    if (err != MSUB_OK) {
      say_error(n->cmd->program, "topic %s: cannot be joined: %s", quoted(topics->v[i]), msub_err_text(err));
      return EXIT_FAILED;
    }
    n->names[n->n_topics++] = topics->v[i];
  }
  return -1;
}

static int relay_all(node *n) {
  n->relayed = take(n->relay.n * sizeof *n->relayed);
  for (size_t i = 0; i < n->relay.n; i++) {
    int err = msub_relay(msub_host_engine(n->host), 0, msub_str(n->relay.v[i]), node_policy(n), NULL,
                         msub_host_now(n->host), &n->relayed[i]);
    if (err == MSUB_OK) continue;
    say_error(n->cmd->program, "topic %s: cannot be relayed: %s", quoted(n->relay.v[i]), msub_err_text(err));
    return EXIT_FAILED;
  }
  return -1;
}

static int set_rules(node *n) {
  size_t bad;
  const char *why;
  int err = msub_host_filter(n->host, n->filter.v, n->filter.n, &bad, &why);
  if (err == MSUB_OK) return -1;
  if (err == MSUB_ERR_INVAL)
    return usage_error(n->cmd, "--filter %s: %s; write \"deny accept 192.0.2.0/24\", \"allow dial 2001:db8::/32\"", quoted(n->filter.v[bad]), why);
  say_error(n->cmd->program, "--filter: %s", why);
  return EXIT_FAILED;
}

static int join_one(const node *n, const char *name, msub_topic *out) {
  int err = msub_join(msub_host_engine(n->host), 0, msub_str(name), node_policy(n), NULL, msub_host_now(n->host), out);
  if (err != MSUB_OK) say_error(n->cmd->program, "topic %s: cannot be joined: %s", quoted(name), msub_err_text(err));
  return err;
}

static int relay_one(const node *n, const char *name, msub_topic *out) {
  int err = msub_relay(msub_host_engine(n->host), 0, msub_str(name), node_policy(n), NULL, msub_host_now(n->host), out);
  if (err != MSUB_OK) say_error(n->cmd->program, "topic %s: cannot be relayed: %s", quoted(name), msub_err_text(err));
  return err;
}

/* The members of `names` that are new are begun, the old ones taken over; had[i].v = 0 marks those. How many members there are. */
static size_t renew(const node *n, const text_list *wanted, const char **names, msub_topic *now, const char *const *old, msub_topic *had, size_t n_old,
                    int (*begin)(const node *n, const char *name, msub_topic *out)) {
  size_t count = 0;
  for (size_t i = 0; i < wanted->n; i++) {
    size_t same = 0, was = 0;
    while (same < count && strcmp(names[same], wanted->v[i]) != 0) same++;
    if (same < count) continue;
    while (was < n_old && (!had[was].v || strcmp(old[was], wanted->v[i]) != 0)) was++;
    if (was < n_old) {
      now[count] = had[was];
      had[was].v = 0;
    } else if (begin(n, wanted->v[i], &now[count]) != MSUB_OK) {
      continue;
    }
    names[count++] = wanted->v[i];
  }
  return count;
}

void node_retopic(node *n, const text_list *topics, const text_list *relay) {
  msub_engine *e = msub_host_engine(n->host);
  const char **names = take(topics->n * sizeof *names), **relay_names = take(relay->n * sizeof *relay_names);
  msub_topic *now = take(topics->n * sizeof *now), *relayed = take(relay->n * sizeof *relayed);
  size_t count = renew(n, topics, names, now, n->names, n->topics, n->n_topics, join_one);
  size_t relays = renew(n, relay, relay_names, relayed, n->relay.v, n->relayed, n->relay.n, relay_one);
  for (size_t i = 0; i < n->n_topics; i++)
    if (n->topics[i].v) (void)msub_leave(e, n->topics[i], msub_host_now(n->host));
  for (size_t i = 0; i < n->relay.n; i++)
    if (n->relayed[i].v) (void)msub_unrelay(e, n->relayed[i], msub_host_now(n->host));
  free(n->names);
  free(n->topics);
  free(n->relay.v);
  free(n->relayed);
  n->names = names;
  n->topics = now;
  n->n_topics = count;
  n->relay = (text_list){ relay_names, relays };
  n->relayed = relayed;
}

static int set_filter(node *n) {
  const msub_topic_filter f = { .abi = MSUB_ABI, .size = sizeof f, .name = "command line", .allows = allowed };
  if (!n->allow.n && !n->pattern && !n->names_on.keep_open) return -1;
  int err = msub_filter_topics(msub_host_engine(n->host), &f, n);
  if (err == MSUB_OK) return -1;
  say_error(n->cmd->program, "the topics cannot be filtered: %s", msub_err_text(err));
  return EXIT_FAILED;
}

static int listen_all(node *n) {
  for (size_t i = 0; i < n->listen.n; i++) {
    const char *why = NULL;
    int err = msub_host_listen(n->host, n->listen.v[i], &why);
    if (err == MSUB_OK) continue;
    say_error(n->cmd->program, "--listen %s: %s", quoted(n->listen.v[i]), why ? why : msub_err_text(err));
    return EXIT_FAILED;
  }
  return -1;
}

static bool durable(void *ud, msub_token token, int result) {
  node *n = ud;
  return (n->numbers && msub_numbers_durable(n->numbers, token, result)) || keyring_durable(n->keys, token, result) || ipns_durable(n->ipns, token, result);
}

/* A disk that is slow or broken must not keep the node from publishing: then it counts on by itself. */
static int next_number(void *ud, uint64_t *number) {
  node *n = ud;
  uint64_t now = wall_ns();
  if (msub_numbers_next(n->numbers, number) != MSUB_OK) *number = now > n->number ? now : n->number + 1;
  n->number = *number;
  return MSUB_OK;
}

/* A node that comes back under its identity, maybe with a clock that went back, must not begin below where it was: its messages would not be taken. */
static int open_numbers(node *n, msub_host_opts *o) {
  const msub_now now = { mono_ns(), (int64_t)wall_ns() };
  msub_numbers_opts no;
  if (!n->store) return -1;
  msub_numbers_opts_init(&no);
  no.store = n->kept;
  no.block = 65536;
  int err = msub_numbers_new(&no, &now, &n->numbers);
  if (err != MSUB_OK) {
    say_error(n->cmd->program, "--store: the sequence numbers in it: %s", msub_err_text(err));
    return EXIT_FAILED;
  }
  o->engine.signing.next_seqno = next_number;
  o->engine.signing.seqno_ud = n;
  store_settle(n->store); /* with them the identity, before anybody sees it */
  return -1;
}

/* The identity: of a file, of the store, or a fresh one. */
static int open_keys(node *n) {
  int code = n->key_file ? key_read(n->cmd->program, "--key ", n->key_file, &n->key) : -1;
  if (code < 0 && n->store) {
    n->keys = keyring_open(n->cmd->program, n->kept);
    store_listen(n->store, durable, n);
    if (n->key) keyring_be(n->keys, n->key);
    else code = keyring_identity(n->keys, n->cmd->program, &n->key);
  } else if (code < 0 && !n->key) {
    code = key_make(n->cmd->program, MSUB_KEY_ED25519, 0, &n->key);
  }
  return code;
}

int node_open(node *n, const text_list *topics, bool publish_only) {
  n->stop_fd = stop_signals(!n->out);
  if (n->stop_fd < 0) {
    say_error(n->cmd->program, "no pipe: %s", strerror(errno));
    return EXIT_FAILED;
  }
  int code, err;
  msub_host_opts o;
  msub_host_opts_init(&o);
  if ((code = store_open(n, &o)) >= 0 || (code = open_keys(n)) >= 0 || (code = open_numbers(n, &o)) >= 0) return code;
  o.key = n->key;
  o.transport = n->transport;
  o.dns.server = n->dns_server;
  if (n->discover.n > 0) list_add(&n->discover, NULL), n->discover.n--; /* the end of the list; the host copies it */
  o.find_at = n->discover.v;
  o.mdns.on = n->mdns;
  o.engine.sign = n->sign;
  set_limits(&n->limits, &o);
  if (o.high_water == 0) o.low_water = 0;
  o.max_bytes = n->max_memory > SIZE_MAX >> 20 ? SIZE_MAX : (size_t)n->max_memory << 20;
  o.engine.topic_counts = n->topic_counts;
  o.ud = n;
  o.on_message = heard;
  o.on_event = happened;
  o.on_result = result;
  if (n->on_trace) o.on_trace = traced;
  router_use(&n->router, &o);
  if (n->verbose || !n->log_given) n->log.level = n->verbose < 4 ? (int)n->verbose : 4;
  /* Lines are few; where the levels may change they are all formatted, and chosen in log_line(). */
  o.log = (msub_log){ .fn = log_line, .ud = n, .level = n->log_changes ? MSUB_LOG_TRACE : (msub_log_level)n->log.level };
  if ((code = rendezvous_new(n, &o)) >= 0) return code;
  const char *why = NULL;
  err = msub_host_new(&o, &n->host, &why);
  if (err != MSUB_OK) {
    say_error(n->cmd->program, "the node cannot start: %s", why ? why : msub_err_text(err));
    return EXIT_FAILED;
  }
  code = n->on_host ? n->on_host(n) : -1;
  if (code < 0) code = rendezvous_start(n);
  if (code < 0) code = ipns_open(n);
  if (code < 0) code = set_rules(n);
  if (code < 0) code = set_filter(n);
  if (code < 0) code = listen_all(n);
  /* Peers are sought for topics that are joined. */
  if (code < 0) code = join(n, topics, publish_only && !n->mdns && !n->discover.n);
  return code < 0 ? relay_all(n) : code;
}

static int connect_all(node *n, const char *option, const text_list *addrs, bool keep) {
  for (size_t i = 0; i < addrs->n; i++) {
    const char *addr = addrs->v[i];
    int err = keep ? msub_host_keep(n->host, addr) : msub_host_dial(n->host, addr, i);
    if (err != MSUB_OK) {
      say_error(n->cmd->program, "%s %s: %s", option, quoted(addr),
                err == MSUB_ERR_REFUSED       ? "the address of this node itself; name another one"
                : err == MSUB_ERR_UNSUPPORTED ? "only TCP over IP is spoken here; write /ip4/HOST/tcp/PORT"
                                              : msub_err_text(err));
      return EXIT_FAILED;
    }
    n->dials++;
  }
  return -1;
}

int node_connect(node *n, bool keep) {
  int code = connect_all(n, "--connect", &n->connect, keep);
  if (code < 0) code = connect_all(n, "--rendezvous", &n->rendezvous, keep);
  return code < 0 ? connect_all(n, "--direct", &n->router.direct, keep) : code;
}

bool node_has_way(const node *n) { return n->connect.n || n->listen.n || n->router.direct.n || n->discover.n || n->rendezvous.n || n->mdns; }

void node_wait(node *n, struct pollfd *fds, size_t n_fds, uint64_t until) {
  uint64_t at = rendezvous_next(n->meeting), of_store = store_next(n->store), of_names = ipns_next(n->ipns);
  if (of_store < at) at = of_store;
  if (of_names < at) at = of_names;
  wait_and_turn(n->host, fds, n_fds, at < until ? at : until);
  rendezvous_turn(n->meeting);
  store_turn(n->store);
  ipns_turn(n->ipns);
}

void node_close(node *n) {
  local_close(n->local);
  n->local = NULL;
  ipns_close(n->ipns);
  close_host(n->host);
  n->host = NULL;
  rendezvous_free(n->meeting);
  n->meeting = NULL;
  msub_numbers_free(n->numbers);
  n->numbers = NULL;
  store_close(n->store); /* what the host has submitted last is written */
  n->store = NULL;
  n->kept = (msub_store){ NULL, NULL };
  keyring_close(n->keys);
  n->keys = NULL;
  wait_end_all(n);
  msub_key_free(n->key);
  n->key = NULL;
  free(n->names);
  free(n->topics);
  free(n->listen.v);
  free(n->connect.v);
  free(n->relay.v);
  free(n->relayed);
  free(n->allow.v);
  free(n->filter.v);
  free(n->discover.v);
  free(n->rendezvous.v);
  free(n->names_on.follow.v);
  free(n->names_on.keep.v);
  msub_topic_pattern_free(n->pattern);
  router_free(&n->router);
}

void node_output_metrics(const node *n, const msub_metrics_opts *o) {
  if (!n->out) return;
  const struct { uint64_t stdout_dropped, stderr_dropped; } counts = { outlet_dropped(n->out), outlet_dropped(n->err) };
#define X(of) o->each(o->ud, &(msub_metric){ .name = "output_" #of "_total", .kind = MSUB_METRIC_COUNTER, .value = counts.of });
  OUTPUT_COUNTS(X)
#undef X
}

/* ---- texts ---- */

void node_dial_failed(const node *n, const msub_host_event *ev, const char *then) {
  const char *text = ev->text && *ev->text ? ev->text : msub_err_text(ev->err);
  const char *hint = ev->err == MSUB_ERR_MISMATCH ? "check the id behind /p2p/"
                                                  : "check the address and that a node listens there";
  say_error(n->cmd->program, "cannot connect to %s: %s; %s", addr_text(ev->addr), text, then ? then : hint);
}

void node_say_listening(const node *n) {
  char text[MSUB_MULTIADDR_TEXT];
  for (size_t i = 0; msub_host_addr(n->host, i, text, sizeof text) == MSUB_OK; i++)
    say_error(n->cmd->program, "listening on %s", text);
}

size_t node_topic_peers(const node *n, size_t topic) {
  return msub_topic_peers(msub_host_engine(n->host), n->topics[topic]);
}

size_t node_peer_count(const node *n) {
  msub_host_peer p;
  size_t i = 0, connected = 0;
  for (; msub_host_peer_at(n->host, i, &p) == MSUB_OK; i++) connected += p.connections > 0;
  return connected;
}

size_t node_queued(const node *n) {
  msub_host_peer p;
  size_t most = 0;
  for (size_t i = 0; msub_host_peer_at(n->host, i, &p) == MSUB_OK; i++)
    if (p.queued_bytes > most) most = p.queued_bytes;
  return most;
}

void node_print_data(FILE *to, const char *topic, msub_bytes data) {
  size_t cap = data.n * 4 + 4; /* "\xNN" is the longest escape */
  char small[4096], *text = cap <= sizeof small ? small : take(cap);
  if (topic) fprintf(to, "%s: ", topic);
  fprintf(to, "%s\n", msub_escape(text, cap, data));
  if (text != small) free(text);
}

void node_print_message(FILE *to, const node *n, size_t topic, const msub_msg *m, msub_bytes from, bool event) {
  if (n->json) {
    put_json(to, message_json(msub_str(n->names[topic]), m, from, event ? "message" : NULL));
    return;
  }
  if (event) fprintf(to, "message from %s on ", msub_from(m).n ? peer_text(msub_from(m)) : "nobody");
  node_print_data(to, event || n->n_topics > 1 ? quoted(n->names[topic]) : NULL, msub_data(m));
}
