/* meshsub node: a node that runs until it is stopped. */
#include "cli/commands.h"
#include "cli/config.h"
#include "cli/events.h"
#include "cli/http.h"
#include "cli/ipns_cmd.h"
#include "cli/ipns_node.h"
#include "cli/local.h"
#include "cli/node.h"
#include "cli/store.h"
#include <errno.h>
#include <meshsub/trace_file.h>
#include <meshsub/trace_peer.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES (1u << 20)
#define QUEUED_MAX (1u << 20) /* bytes for one peer; above it stdin waits */
#define BATCH 64

typedef struct run_state {
  const command *cmd;
  const char *publish;
  text_list topics;
  uint64_t seconds;
  bool limited, quiet, trace;
  const char *trace_path, *socket_path;
  msub_trace_file *trace_file;
  const char *collector;
  msub_trace_peer *trace_peer;
  size_t publish_topic;
  lines in;
  /* configuration */
  const char *config_path, *log_format;
  text_list log_levels;
  bool print_config;
  int argc;
  char **argv;
  config *base, *latest; /* of the start, whose values are used as long as the node runs; of the last SIGHUP */
  int reload_fd;
  http_options metrics;
  http *http;
} run_state;

static bool heard(node *n, size_t topic, const msub_msg *m, msub_bytes from) {
  const run_state *r = n->ud;
  if (from.n && !r->quiet && !n->broken) {
    node_print_message(outlet_begin(n->out), n, topic, m, from, true);
    outlet_end(n->out);
  }
  return true;
}

/* ---- events ---- */

static const char *topic_name(const node *n, msub_topic t) {
  size_t i = node_topic_index(n, t);
  if (i < n->n_topics) return n->names[i];
  for (i = 0; i < n->relay.n; i++)
    if (n->relayed && n->relayed[i].v == t.v) return n->relay.v[i];
  /* One that names use, or a client of the socket. */
  static char text[257];
  msub_engine *e = msub_host_engine(n->host);
  msub_bytes name = msub_name_bytes(msub_engine_shared(e), msub_topic_name(e, t));
  size_t len = name.n < sizeof text ? name.n : sizeof text - 1;
  if (len) memcpy(text, name.p, len);
  text[len] = 0;
  return text;
}

static void print_event_text(FILE *to, const node *n, const msub_host_event *ev) {
  const char *peer = peer_text(ev->peer_id), *text = ev->text ? ev->text : "";
  switch (ev->kind) {
  case MSUB_EV_LISTENING: break;
  case MSUB_EV_CONNECTED:
    fprintf(to, "connected %s %s %s\n", peer, ev->outbound ? "to" : "from", addr_text(ev->addr));
    break;
  case MSUB_EV_DISCONNECTED:
    fprintf(to, "disconnected %s: %s%s\n", peer, text, ev->last ? "" : " (another connection stays)");
    break;
  case MSUB_EV_DIAL_FAILED:
    fprintf(to, "cannot connect to %s: %s; trying again\n", addr_text(ev->addr),
           *text ? text : msub_err_text(ev->err));
    break;
  case MSUB_EV_IDENTIFIED: fprintf(to, "identified %s: %s\n", peer, text); break;
  case MSUB_EV_PUBSUB: fprintf(to, "pubsub %s: %s\n", peer, text); break;
  case MSUB_EV_TOPIC_JOIN: fprintf(to, "joined %s: %s\n", peer, quoted(topic_name(n, ev->topic))); break;
  case MSUB_EV_TOPIC_LEAVE: fprintf(to, "left %s: %s\n", peer, quoted(topic_name(n, ev->topic))); break;
  }
}

static void happened(node *n, const msub_host_event *ev) {
  const run_state *r = n->ud;
  if (r->quiet || n->broken || ev->kind == MSUB_EV_LISTENING) return; /* addresses are printed at the start */
  FILE *to = outlet_begin(n->out);
  if (n->json) put_json(to, event_json(ev, msub_str(topic_name(n, ev->topic))));
  else print_event_text(to, n, ev);
  outlet_end(n->out);
}

static void trace_log(void *ud, msub_log_level level, const char *module, const char *line) {
  const node *n = ud;
  (void)level, (void)module;
  say_error(n->cmd->program, "%s", line);
}

/* Who comes into a topic's mesh, and who leaves it. */
static void traced(node *n, const msub_event *ev) {
  const run_state *r = n->ud;
  if (r->trace_peer) msub_trace_peer_add(r->trace_peer, msub_host_engine(n->host), ev);
  if (!r->trace) return;
  if (r->trace_file) {
    msub_trace_file_add(r->trace_file, msub_host_engine(n->host), ev);
    return;
  }
  if (n->broken || (ev->kind != MSUB_T_GRAFT && ev->kind != MSUB_T_PRUNE)) return;
  bool in = ev->kind == MSUB_T_GRAFT;
  msub_bytes peer = msub_peer_bytes(msub_engine_shared(msub_host_engine(n->host)), ev->peer);
  FILE *to = outlet_begin(n->out);
  if (n->json) {
    json_t *j = json_object();
    json_object_set_new(j, "ev", json_string(in ? "graft" : "prune"));
    json_object_set_new(j, "peer", json_peer(peer));
    set_name(j, "topic", msub_str(topic_name(n, ev->topic)));
    put_json(to, j);
  } else {
    fprintf(to, "%s %s: %s\n", in ? "grafted" : "pruned", peer_text(peer), quoted(topic_name(n, ev->topic)));
  }
  outlet_end(n->out);
}

static int trace_open(node *n, run_state *r) {
  msub_trace_file_opts o;
  const char *why;
  msub_trace_file_opts_init(&o);
  o.path = r->trace_path;
  o.log = (msub_log){ .fn = trace_log, .ud = n, .level = MSUB_LOG_WARN };
  if (msub_trace_file_open(&o, &r->trace_file, &why) == MSUB_OK) return -1;
  say_error(n->cmd->program, "--trace=%s: %s", quoted(r->trace_path), why);
  return EXIT_FAILED;
}

static int trace_close(const node *n, run_state *r) {
  msub_trace_file_counts c = { .events = 0 };
  int err = msub_trace_file_close(r->trace_file, &c);
  r->trace_file = NULL;
  if (c.lost) say_error(n->cmd->program, "--trace=%s: %" PRIu64 " events are missing in it", quoted(r->trace_path), c.lost);
  else if (err != MSUB_OK) say_error(n->cmd->program, "--trace=%s: the end of the file could not be written", quoted(r->trace_path));
  return err == MSUB_OK ? -1 : EXIT_FAILED;
}

/* ---- --trace-to ---- */

#define LAST_WORDS UINT64_C(1000000000) /* how long a collector may take what is left */

static int collector_open(node *n) {
  run_state *r = n->ud;
  msub_multiaddr binary;
  msub_addr a;
  msub_trace_peer_opts o;
  msub_trace_peer_opts_init(&o);
  int err = msub_multiaddr_parse(r->collector, &binary);
  if (err == MSUB_OK) err = msub_multiaddr_split((msub_bytes){ binary.bytes, binary.n }, &a);
  if (err == MSUB_OK && !a.peer_id.n) {
    say_error(n->cmd->program, "--trace-to %s: no /p2p/ID at its end; a collector is known by its id", quoted(r->collector));
    return EXIT_FAILED;
  }
  if (err == MSUB_OK) {
    o.exchange = msub_host_exchange(n->host);
    o.peer_id = a.peer_id;
    err = msub_trace_peer_new(&o, &r->trace_peer);
  }
  if (err == MSUB_OK) err = msub_host_keep(n->host, r->collector);
  if (err == MSUB_OK) return -1;
  say_error(n->cmd->program, "--trace-to %s: %s", quoted(r->collector), msub_err_text(err));
  return EXIT_FAILED;
}

/* What is left goes out, within a second. */
static void collector_finish(node *n, run_state *r) {
  struct pollfd fds[1];
  uint64_t until = mono_ns() + LAST_WORDS;
  if (!r->trace_peer) return;
  for (msub_trace_peer_finish(r->trace_peer); !msub_trace_peer_done(r->trace_peer) && mono_ns() < until;) wait_and_turn(n->host, fds, 1, until);
}

/* The host is gone, and the stream with it. */
static void collector_close(const node *n, run_state *r) {
  msub_trace_peer_counts c;
  if (!r->trace_peer) return;
  msub_trace_peer_count(r->trace_peer, &c);
  (void)msub_trace_peer_free(r->trace_peer);
  if (c.lost) say_error(n->cmd->program, "--trace-to %s: %" PRIu64 " of %" PRIu64 " events were lost", quoted(r->collector), c.lost, c.events);
}

static void print_start(const node *n) {
  char addr[MSUB_MULTIADDR_TEXT];
  msub_bytes self = msub_host_peer_id(n->host);
  size_t i = 0;
  for (; msub_host_addr(n->host, i, addr, sizeof addr) == MSUB_OK; i++) {
    FILE *to = outlet_begin(n->out);
    if (n->json) {
      json_t *j = json_object();
      json_object_set_new(j, "ev", json_string("listening"));
      json_object_set_new(j, "peer", json_peer(self));
      json_object_set_new(j, "addr", json_string(addr));
      put_json(to, j);
    } else {
      fprintf(to, "%s\n", addr);
    }
    outlet_end(n->out);
  }
  if (i == 0 && !n->json) { /* it listens nowhere */
    fprintf(outlet_begin(n->out), "/p2p/%s\n", peer_text(self));
    outlet_end(n->out);
  }
}

/* ---- options ---- */

/* Of a better record of a name. */
static void named(node *n, json_t *j) {
  const run_state *r = n->ud;
  if (r->quiet || n->broken) return;
  FILE *to = outlet_begin(n->out);
  if (n->json) {
    json_t *ev = json_object();
    json_object_set_new(ev, "ev", json_string("ipns"));
    json_object_update(ev, j);
    put_json(to, ev);
  } else {
    fprintf(to, "name %s %s %s\n", json_string_value(json_object_get(j, "name")), ipns_value(j), ipns_story(j));
  }
  outlet_end(n->out);
}

static const command serve_command = {
  "meshsub ipns serve", "[options]",
  "Runs a node for IPNS names until SIGTERM or SIGINT: it publishes those whose keys it has,\n"
  "follows and keeps others, answers who asks for them, and forgets none of it when it\n"
  "is stopped or killed (--store). Prints its addresses first, one a line, then what happens.\n"
  "The same as \"meshsub node --ipns\". Without --listen and --connect it listens on loopback.",
  "JSON: as \"meshsub node\"; {\"ev\":\"ipns\",\"name\",\"value\",\"sequence\",\"source\",…} for a new record.\n\n"
  "Exit codes: 0 stopped by a signal or by --seconds, 1 failed, 2 wrong usage."
};

static const command node_command = {
  "meshsub node", "[options]",
  "Runs a node until SIGTERM or SIGINT. Prints its addresses first, one a line, then what\n"
  "happens: connections, subscriptions of peers, messages. It forwards the messages of the\n"
  "topics that it subscribes to. Without --listen and --connect it listens on loopback.",
  "JSON: {\"ev\":…} with ev listening, connected, disconnected, dial_failed, identified, pubsub,\n"
  "topic_join, topic_leave, message (as \"meshsub sub\" prints it), ipns, dropped (lines that nobody\nread in time); with --trace graft, prune\n(docs/tracing.md has what --trace=FILE writes).\n\n"
  "Exit codes: 0 stopped by a signal or by --seconds, 1 failed, 2 wrong usage."
};

static option_row *make_rows(node *n, run_state *r) {
  const option_row rows[] = {
    { "--topic", 0, OPT_LIST, "TOPIC", "Subscribe to it. Repeatable.", &r->topics, 0, 0, NULL },
    { "--publish", 0, OPT_TEXT, "TOPIC",
      "Subscribe to it and publish every line of stdin on it. The end\n"
      "of stdin does not end the node.",
      &r->publish, 0, 0, NULL },
    { "--relay", 0, OPT_LIST, "TOPIC", "Forward its messages without printing them. Repeatable.", &n->relay, 0, 0,
      NULL },
    { "--topics-allow", 0, OPT_LIST, "TOPIC",
      "Take only this topic from peers: what they announce of others is\n"
      "not kept. Repeatable; with --topics-regex, either will do.",
      &n->allow, 0, 0, NULL },
    { "--topics-regex", 0, OPT_TEXT, "RE", "The same for names that match as a whole (POSIX extended).",
      &n->pattern_text, 0, 0, NULL },
    { "--config", 0, OPT_TEXT, "FILE",
      "Read the options from this file (YAML); what stands here as well\n"
      "wins, and lists are joined. SIGHUP reads it again.",
      &r->config_path, 0, 0, NULL },
    { "--print-config", 0, OPT_FLAG, NULL, "Print what --config and the options come to, and end.", &r->print_config, 0, 0, NULL },
    { "--log", 0, OPT_LIST, "[MODULE=]LEVEL",
      "Log lines to show, of all modules or of one: off, error, warn,\n"
      "info, debug, trace. Repeatable. Default error; -v is for all.",
      &r->log_levels, 0, 0, NULL },
    { "--log-format", 0, OPT_TEXT, "FORMAT", "text (the default) or json.", &r->log_format, 0, 0, NULL },
    { "--seconds", 0, OPT_NUMBER, "N", "Stop by itself after N seconds.", &r->seconds, 1, 1000000000,
      &r->limited },
    { "--quiet", 'q', OPT_FLAG, NULL, "Print the addresses only (and what --trace asks for).", &r->quiet, 0, 0,
      NULL },
    { "--trace", 0, OPT_MAYBE, "FILE",
      "Print who comes into the mesh of a topic and who leaves it; with\n"
      "=FILE write all that happens into it instead: .pb and .json as\n"
      "go-libp2p-pubsub does, .jsonl for people; .gz behind compresses.",
      &r->trace_path, 0, 0, &r->trace },
    { "--socket", 0, OPT_TEXT, "PATH",
      "Serve programs on this machine there (mode 0600): meshsub pub,\n"
      "sub, ipns, peers, topics, mesh, connect, disconnect, log, state.",
      &r->socket_path, 0, 0, NULL },
    { "--metrics", 0, OPT_TEXT, "IP:PORT", "Serve metrics for Prometheus there: GET /metrics. On loopback,\n"
      "unless --metrics-open-to-network.", &r->metrics.listen, 0, 0, NULL },
    { "--metrics-host", 0, OPT_LIST, "NAME", "A name that a request may have for its Host, besides the address\n"
      "and localhost. Repeatable.", &r->metrics.hosts, 0, 0, NULL },
    { "--metrics-open-to-network", 0, OPT_FLAG, NULL, "Let --metrics be reached from other machines, by anybody.",
      &r->metrics.open_to_network, 0, 0, NULL },
    { "--trace-to", 0, OPT_TEXT, "ADDR",
      "Send all that happens to a collector, with /p2p/ID, as\n"
      "go-libp2p-pubsub's remote tracer does.",
      &r->collector, 0, 0, NULL },
    { "--store", 0, OPT_TEXT, "DIR",
      "Keep there what outlives a restart: the identity (unless --key),\n"
      "neighbours to begin with, known peers, IPNS names and their keys.\n"
      "Made if it is not there.", &n->store_path, 0, 0, NULL },
    { "--store-or-memory", 0, OPT_FLAG, NULL, "When --store cannot be opened, say why and go on without it.", &n->store_or_memory, 0, 0, NULL },
    { "--rendezvous", 0, OPT_LIST, "ADDR",
      "Meet the peers of a topic through this rendezvous point, with\n"
      "/p2p/ID: stay connected to it, register there while subscribed,\n"
      "and ask it when the topic has too few. Repeatable, 8 points.", &n->rendezvous, 0, 0, NULL },
    { "--ipns", 0, OPT_FLAG, NULL, "Publish, follow and serve IPNS names (meshsub ipns).", &n->names_on.on, 0, 0, NULL },
    NAMES_OPTIONS(n),
    { "--rendezvous-point", 0, OPT_FLAG, NULL, "Be such a point for others.", &n->rendezvous_point, 0, 0, NULL },
    MESH_OPTIONS(&n->router),
#define X(member, option, help) { option, 0, OPT_NUMBER, "N", help, &n->limits.member, 0, 100000, &n->limits.member##_given },
    NODE_LIMITS(X)
#undef X
    { "--max-memory", 0, OPT_NUMBER, "MIB",
      "What connections, messages and peers may take in all: above it\n"
      "they are refused. Default: no limit.", &n->max_memory, 4, 1000000, &n->max_memory_given },
    NODE_OPTIONS(n),
    { 0 },
  };
  option_row *all = take(sizeof rows);
  memcpy(all, rows, sizeof rows);
  return all;
}

static const char *module_name(const void *ud, size_t i) {
  (void)ud;
  return i < N_LOG_MODULES ? log_module_names[i] : NULL;
}

static int make_log(node *n, const run_state *r) {
  n->log = (log_rules){ .level = MSUB_LOG_ERROR };
  n->log_given = r->log_levels.n > 0;
  for (size_t i = 0; i < r->log_levels.n; i++) {
    const char *text = r->log_levels.v[i], *equals = strchr(text, '=');
    int level = log_level_named(equals ? equals + 1 : text);
    if (level == -2) return usage_error(n->cmd, "--log %s: the levels are off, error, warn, info, debug and trace", quoted(text));
    if (!equals) {
      n->log.level = level;
      continue;
    }
    size_t m = 0, len = (size_t)(equals - text);
    while (m < N_LOG_MODULES && (strlen(log_module_names[m]) != len || strncmp(log_module_names[m], text, len) != 0)) m++;
    if (m == N_LOG_MODULES) {
      char name[64];
      snprintf(name, sizeof name, "%.*s", (int)(len < 63 ? len : 63), text);
      const char *meant = nearest(name, module_name, NULL);
      return usage_error(n->cmd, "--log %s: no such module%s%s%s", quoted(text), meant ? "; did you mean " : "; docs/cli.md has their names", meant ? meant : "",
                         meant ? "?" : "");
    }
    n->log.has[m] = true;
    n->log.of[m] = level;
  }
  if (r->log_format && strcmp(r->log_format, "text") != 0 && strcmp(r->log_format, "json") != 0)
    return usage_error(n->cmd, "--log-format %s: there are text and json", quoted(r->log_format));
  n->log.json = r->log_format && strcmp(r->log_format, "json") == 0;
  return -1;
}

/* File and command line, checked. -1, or an exit code with the error said. `k`: NULL, there is no file. */
static int read_all(node *n, run_state *r, const option_row *rows, const config *k) {
  text_list args = { 0 };
  int code = k ? config_apply(k, n->cmd, rows) : -1;
  if (code < 0) code = options_read(n->cmd, rows, r->argc, r->argv, &args);
  if (code < 0 && args.n)
    code = usage_error(n->cmd, "%s is no option; topics are named by --topic", quoted(args.v[0]));
  free(args.v);
  if (code < 0 && r->publish) list_add(&r->topics, r->publish);
  if (code < 0 && !node_has_way(n)) list_add(&n->listen, "/ip4/127.0.0.1/tcp/0");
  if (code < 0) code = make_log(n, r);
  if (code < 0) code = http_check(n->cmd, &r->metrics);
  return code < 0 ? node_check(n, &r->topics) : code;
}

/* ---- SIGHUP ---- */

static const char *const reloadable[] = { "--topic", "--relay", "--connect", "--log", "--log-format", NULL };

static void needs_restart(void *ud, const char *key, unsigned line) {
  const run_state *r = ud;
  const char *program = r->cmd->program;
  if (line) say_error(program, "%s, line %u: %s has changed; that takes a restart", quoted(r->config_path), line, key);
  else say_error(program, "%s: %s is gone; that takes a restart", quoted(r->config_path), key);
}

static bool contains(const text_list *l, const char *text) {
  size_t i = 0;
  while (i < l->n && strcmp(l->v[i], text) != 0) i++;
  return i < l->n;
}

static void reconnect(node *n, const text_list *now) {
  for (size_t i = 0; i < now->n; i++) {
    int err = contains(&n->connect, now->v[i]) ? MSUB_OK : msub_host_keep(n->host, now->v[i]);
    if (err != MSUB_OK) say_error(n->cmd->program, "--connect %s: %s", quoted(now->v[i]), msub_err_text(err));
  }
  for (size_t i = 0; i < n->connect.n; i++) {
    msub_multiaddr binary;
    msub_addr a;
    if (contains(now, n->connect.v[i]) || msub_multiaddr_parse(n->connect.v[i], &binary) != MSUB_OK ||
        msub_multiaddr_split((msub_bytes){ binary.bytes, binary.n }, &a) != MSUB_OK)
      continue;
    if (a.peer_id.n) (void)msub_host_disconnect(n->host, a.peer_id);
    else say_error(n->cmd->program, "connect %s is gone, but has no /p2p/ID to be known by; a restart ends it", quoted(n->connect.v[i]));
  }
}

static void reload(node *n, run_state *r) {
  store_retry(n->store);
  if (!r->base) return;
  node next = { .cmd = n->cmd };
  run_state wanted = { .cmd = r->cmd, .argc = r->argc, .argv = r->argv };
  option_row *rows = make_rows(&next, &wanted);
  config *k = config_read(n->cmd, r->config_path);
  bool good = k && read_all(&next, &wanted, rows, k) < 0;
  origins_begin(NULL);
  if (good) {
    config_compare(r->latest, k, reloadable, needs_restart, r);
    node_retopic(n, &wanted.topics, &next.relay);
    reconnect(n, &next.connect);
    free(n->connect.v);
    n->connect = next.connect;
    next.connect = (text_list){ NULL, 0 };
    n->log = next.log;
    n->log_given = next.log_given;
    if (n->verbose || !n->log_given) n->log.level = n->verbose < 4 ? (int)n->verbose : 4;
    for (size_t i = 0; r->publish && i < n->n_topics; i++)
      if (strcmp(n->names[i], r->publish) == 0) r->publish_topic = i;
    if (r->latest != r->base) config_free(r->latest);
    r->latest = k;
    say_error(n->cmd->program, "%s was read again", quoted(r->config_path));
  } else {
    config_free(k);
    say_error(n->cmd->program, "%s: nothing was changed", quoted(r->config_path));
  }
  node_close(&next);
  free(wanted.topics.v);
  free(wanted.log_levels.v);
  free(wanted.metrics.hosts.v);
  free(rows);
}

/* ---- running ---- */

/* Publishes what is in hand, at most a batch. false: more is there, or the peers have to take something
 * first. */
static bool publish_some(node *n, run_state *r) {
  msub_bytes line;
  for (int i = 0; i < BATCH; i++) {
    if (node_queued(n) >= QUEUED_MAX || !lines_next(&r->in, &line)) return node_queued(n) < QUEUED_MAX;
    int err = msub_publish(msub_host_engine(n->host), n->topics[r->publish_topic], line,
                           msub_host_now(n->host), NULL);
    if (err != MSUB_OK)
      say_error(n->cmd->program, "a line of %zu bytes was not published: %s", line.n, msub_err_text(err));
  }
  return false;
}

static bool took_byte(int fd) {
  char bytes[64];
  return read(fd, bytes, sizeof bytes) > 0; /* several signals are one */
}

static uint64_t next_time(const node *n, const run_state *r, uint64_t until) {
  uint64_t at = n->local ? server_deadline(local_server(n->local)) : MSUB_NEVER, of_http = r->http ? server_deadline(http_server(r->http)) : MSUB_NEVER;
  if (of_http < at) at = of_http;
  return at < until ? at : until;
}

/* false: stdout cannot be written, and the node is not to go on. Without a reader it goes on: others need it. */
static bool put_out(node *n) {
  int error = outlet_turn(n->out);
  (void)outlet_turn(n->err); /* nobody to tell */
  if (!error) return true;
  n->broken = true;
  bool alone = error == EPIPE || error == ECONNRESET;
  if (alone) say_error(n->cmd->program, "nobody reads standard output any more; the node goes on without it");
  else say_error(n->cmd->program, "standard output cannot be written: %s", strerror(error));
  return alone;
}

#define OWN_FDS 6 /* host, stop, stdin, reload, stdout, stderr */

static int run(node *n, run_state *r) {
  struct pollfd fds[OWN_FDS + 3 * SERVER_FDS] = { { 0 }, { .fd = n->stop_fd, .events = POLLIN }, { .fd = -1, .events = POLLIN },
                                               { .fd = r->reload_fd, .events = POLLIN }, { .events = POLLOUT }, { .events = POLLOUT } };
  uint64_t until = r->limited ? mono_ns() + r->seconds * 1000000000 : MSUB_NEVER;
  for (;;) {
    bool all_out = true;
    if (r->publish) {
      all_out = publish_some(n, r);
      if (r->in.too_long) {
        say_error(n->cmd->program,
                  "a line of stdin is longer than %u bytes, the most that a message may have",
                  LINE_MAX_BYTES);
        return EXIT_FAILED;
      }
      fds[2].fd = all_out && !r->in.end ? STDIN_FILENO : -1;
    }
    size_t n_local = n->local ? server_fds(local_server(n->local), fds + OWN_FDS) : 0;
    size_t n_http = r->http ? server_fds(http_server(r->http), fds + OWN_FDS + n_local) : 0;
    server *names = ipns_http(n->ipns);
    size_t before = OWN_FDS + n_local + n_http, n_names = names ? server_fds(names, fds + before) : 0;
    fds[4].fd = outlet_fd(n->out);
    fds[5].fd = outlet_fd(n->err);
    node_wait(n, fds, before + n_names, !all_out && node_queued(n) < QUEUED_MAX ? 0 : next_time(n, r, until));
    if (n->local) server_turn(local_server(n->local), fds + OWN_FDS, n_local);
    if (r->http) server_turn(http_server(r->http), fds + OWN_FDS + n_local, n_http);
    if (names) server_turn(names, fds + before, n_names);
    if (r->trace_peer) msub_trace_peer_turn(r->trace_peer);
    if (fds[3].revents && took_byte(r->reload_fd)) reload(n, r);
    if (!put_out(n)) return EXIT_FAILED;
    if (fds[1].revents || mono_ns() >= until) return EXIT_OK;
    if (fds[2].fd >= 0 && fds[2].revents && !lines_fill(&r->in)) {
      say_error(n->cmd->program, "standard input cannot be read: %s", strerror(errno));
      return EXIT_FAILED;
    }
  }
}

static int open_and_run(node *n, run_state *r) {
  int code = node_open(n, &r->topics, false);
  if (code < 0 && r->socket_path) code = local_open(n, r->socket_path, &n->local);
  if (code < 0 && r->metrics.listen) code = http_open(n, &r->metrics, &r->http);
  if (code >= 0) return code;
  for (size_t i = 0; r->publish && i < n->n_topics; i++)
    if (strcmp(n->names[i], r->publish) == 0) r->publish_topic = i;
  print_start(n);
  if (!put_out(n)) return EXIT_FAILED;
  code = node_connect(n, true);
  if (code >= 0) return code;
  origins_begin(NULL); /* what is wrong with the options has been said */
  lines_init(&r->in, STDIN_FILENO, LINE_MAX_BYTES);
  code = run(n, r);
  collector_finish(n, r);
  lines_free(&r->in);
  return code;
}

static void dropped(void *ud, FILE *to, uint64_t count) {
  const node *n = ud;
  if (n->json) {
    json_t *j = json_object();
    json_object_set_new(j, "ev", json_string("dropped"));
    json_object_set_new(j, "n", json_integer((json_int_t)count));
    put_json(to, j);
  } else {
    fprintf(to, "dropped %" PRIu64 " lines: nobody read them in time\n", count);
  }
}

static void dropped_errors(void *ud, FILE *to, uint64_t count) {
  const node *n = ud;
  char text[80];
  snprintf(text, sizeof text, "%" PRIu64 " lines of the log were dropped: nobody read them in time", count);
  if (n->log.json) put_json(to, log_json(MSUB_LOG_WARN, "log", text));
  else fprintf(to, "%s: %s\n", n->cmd->program, text);
}

static int run_as(const command *c, bool names, int argc, char **argv) {
  run_state r = { .cmd = c, .argc = argc, .argv = argv, .reload_fd = -1 };
  node n = { .cmd = c, .ud = &r, .on_message = heard, .on_event = happened, .on_name = named, .names_on.on = names };
  option_row *rows = make_rows(&n, &r);
  const char *file = option_value(rows, argc, argv, "--config");
  int code = -1;
  if (file && !(r.base = r.latest = config_read(n.cmd, file))) code = EXIT_FAILED;
  if (code < 0) code = read_all(&n, &r, rows, r.base);
  if (code < 0 && r.print_config) {
    config_print(rows);
    code = flush_out(n.cmd->program, stdout) ? EXIT_OK : EXIT_FAILED;
  }
  if (code < 0) {
    n.out = outlet_open(STDOUT_FILENO, false, dropped, &n);
    n.err = outlet_open(STDERR_FILENO, true, dropped_errors, &n);
    errors_through(n.err, n.out);
  }
  if (r.trace || r.collector) n.on_trace = traced;
  if (r.collector) n.on_host = collector_open;
  if (code < 0 && r.trace_path) code = trace_open(&n, &r);
  if (code < 0 && (r.base || n.store_path) && (r.reload_fd = reload_signals()) < 0) code = EXIT_FAILED;
  n.topic_counts = r.metrics.listen != NULL;
  n.log_changes = r.socket_path || r.base || n.log_given;
  if (code < 0) code = open_and_run(&n, &r);
  http_close(r.http);
  node_close(&n);
  collector_close(&n, &r);
  int trace_code = trace_close(&n, &r);
  if (code == EXIT_OK && trace_code >= 0) code = trace_code;
  errors_through(NULL, NULL);
  outlet_close(n.out);
  outlet_close(n.err);
  free(r.topics.v);
  free(r.log_levels.v);
  free(r.metrics.hosts.v);
  origins_begin(NULL);
  if (r.latest != r.base) config_free(r.latest);
  config_free(r.base);
  free(rows);
  return code;
}

int cmd_node(int argc, char **argv) { return run_as(&node_command, false, argc, argv); }
int cmd_ipns_serve(int argc, char **argv) { return run_as(&serve_command, true, argc, argv); }
