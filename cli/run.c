/* meshsub node: a node that runs until it is stopped. */
#include "cli/commands.h"
#include "cli/events.h"
#include "cli/local.h"
#include "cli/node.h"
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
} run_state;

static bool heard(node *n, size_t topic, const msub_msg *m, msub_bytes from) {
  const run_state *r = n->ud;
  if (from.n && !r->quiet && !n->broken) node_print_message(n, topic, m, from, true);
  return true;
}

/* ---- events ---- */

static const char *topic_name(const node *n, msub_topic t) {
  size_t i = node_topic_index(n, t);
  if (i < n->n_topics) return n->names[i];
  for (i = 0; i < n->relay.n; i++)
    if (n->relayed && n->relayed[i].v == t.v) return n->relay.v[i];
  return "";
}

static void print_event_text(const node *n, const msub_host_event *ev) {
  const char *peer = peer_text(ev->peer_id), *text = ev->text ? ev->text : "";
  switch (ev->kind) {
  case MSUB_EV_LISTENING: break;
  case MSUB_EV_CONNECTED:
    printf("connected %s %s %s\n", peer, ev->outbound ? "to" : "from", addr_text(ev->addr));
    break;
  case MSUB_EV_DISCONNECTED:
    printf("disconnected %s: %s%s\n", peer, text, ev->last ? "" : " (another connection stays)");
    break;
  case MSUB_EV_DIAL_FAILED:
    printf("cannot connect to %s: %s; trying again\n", addr_text(ev->addr),
           *text ? text : msub_err_text(ev->err));
    break;
  case MSUB_EV_IDENTIFIED: printf("identified %s: %s\n", peer, text); break;
  case MSUB_EV_PUBSUB: printf("pubsub %s: %s\n", peer, text); break;
  case MSUB_EV_TOPIC_JOIN: printf("joined %s: %s\n", peer, quoted(topic_name(n, ev->topic))); break;
  case MSUB_EV_TOPIC_LEAVE: printf("left %s: %s\n", peer, quoted(topic_name(n, ev->topic))); break;
  }
}

static void happened(node *n, const msub_host_event *ev) {
  const run_state *r = n->ud;
  if (r->quiet || n->broken || ev->kind == MSUB_EV_LISTENING) return; /* addresses are printed at the start */
  if (n->json)
    put_json(stdout, event_json(ev, msub_str(topic_name(n, ev->topic))));
  else
    print_event_text(n, ev);
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
  if (!n->json) {
    printf("%s %s: %s\n", in ? "grafted" : "pruned", peer_text(peer), quoted(topic_name(n, ev->topic)));
    return;
  }
  json_t *j = json_object();
  json_object_set_new(j, "ev", json_string(in ? "graft" : "prune"));
  json_object_set_new(j, "peer", json_peer(peer));
  set_name(j, "topic", msub_str(topic_name(n, ev->topic)));
  put_json(stdout, j);
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
    if (n->json) {
      json_t *j = json_object();
      json_object_set_new(j, "ev", json_string("listening"));
      json_object_set_new(j, "peer", json_peer(self));
      json_object_set_new(j, "addr", json_string(addr));
      put_json(stdout, j);
    } else {
      puts(addr);
    }
  }
  if (i == 0 && !n->json) printf("/p2p/%s\n", peer_text(self)); /* it listens nowhere */
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

static uint64_t next_time(const node *n, uint64_t until) {
  uint64_t at = n->local ? server_deadline(local_server(n->local)) : MSUB_NEVER;
  return at < until ? at : until;
}

static int run(node *n, run_state *r) {
  struct pollfd fds[3 + SERVER_FDS] = { { 0 }, { .fd = n->stop_fd, .events = POLLIN }, { .fd = -1, .events = POLLIN } };
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
    size_t n_local = n->local ? server_fds(local_server(n->local), fds + 3) : 0;
    wait_and_turn(n->host, fds, 3 + n_local, !all_out && node_queued(n) < QUEUED_MAX ? 0 : next_time(n, until));
    if (n->local) server_turn(local_server(n->local), fds + 3, n_local);
    if (r->trace_peer) msub_trace_peer_turn(r->trace_peer);
    if (!flush_out(n->cmd->program, stdout)) {
      n->broken = true;
      return EXIT_FAILED;
    }
    if (fds[1].revents || mono_ns() >= until) return EXIT_OK;
    if (fds[2].fd >= 0 && fds[2].revents && !lines_fill(&r->in)) {
      say_error(n->cmd->program, "standard input cannot be read: %s", strerror(errno));
      return EXIT_FAILED;
    }
  }
}

static int open_and_run(node *n, run_state *r) {
  n->log_changes = r->socket_path != NULL;
  int code = node_open(n, &r->topics, false);
  if (code < 0 && r->socket_path) code = local_open(n, r->socket_path, &n->local);
  if (code >= 0) return code;
  for (size_t i = 0; r->publish && i < n->n_topics; i++)
    if (strcmp(n->names[i], r->publish) == 0) r->publish_topic = i;
  print_start(n);
  if (!flush_out(n->cmd->program, stdout)) return EXIT_FAILED;
  code = node_connect(n, true);
  if (code >= 0) return code;
  lines_init(&r->in, STDIN_FILENO, LINE_MAX_BYTES);
  code = run(n, r);
  collector_finish(n, r);
  lines_free(&r->in);
  return code;
}

int cmd_node(int argc, char **argv) {
  static const command c = {
    "meshsub node", "[options]",
    "Runs a node until SIGTERM or SIGINT. Prints its addresses first, one a line, then what\n"
    "happens: connections, subscriptions of peers, messages. It forwards the messages of the\n"
    "topics that it subscribes to. Without --listen and --connect it listens on loopback.",
    "JSON: {\"ev\":…} with ev listening, connected, disconnected, dial_failed, identified, pubsub,\n"
    "topic_join, topic_leave, message (as \"meshsub sub\" prints it); with --trace graft, prune\n(docs/tracing.md has what --trace=FILE writes).\n\n"
    "Exit codes: 0 stopped by a signal or by --seconds, 1 failed, 2 wrong usage."
  };
  run_state r = { 0 };
  node n = { .cmd = &c, .ud = &r, .on_message = heard, .on_event = happened };
  const option_row rows[] = {
    { "--topic", 0, OPT_LIST, "TOPIC", "Subscribe to it. Repeatable.", &r.topics, 0, 0, NULL },
    { "--publish", 0, OPT_TEXT, "TOPIC",
      "Subscribe to it and publish every line of stdin on it. The end\n"
      "of stdin does not end the node.",
      &r.publish, 0, 0, NULL },
    { "--relay", 0, OPT_LIST, "TOPIC", "Forward its messages without printing them. Repeatable.", &n.relay, 0, 0,
      NULL },
    { "--topics-allow", 0, OPT_LIST, "TOPIC",
      "Take only this topic from peers: what they announce of others is\n"
      "not kept. Repeatable; with --topics-regex, either will do.",
      &n.allow, 0, 0, NULL },
    { "--topics-regex", 0, OPT_TEXT, "RE", "The same for names that match as a whole (POSIX extended).",
      &n.pattern_text, 0, 0, NULL },
    { "--seconds", 0, OPT_NUMBER, "N", "Stop by itself after N seconds.", &r.seconds, 1, 1000000000,
      &r.limited },
    { "--quiet", 'q', OPT_FLAG, NULL, "Print the addresses only (and what --trace asks for).", &r.quiet, 0, 0,
      NULL },
    { "--trace", 0, OPT_MAYBE, "FILE",
      "Print who comes into the mesh of a topic and who leaves it; with\n"
      "=FILE write all that happens into it instead: .pb and .json as\n"
      "go-libp2p-pubsub does, .jsonl for people; .gz behind compresses.",
      &r.trace_path, 0, 0, &r.trace },
    { "--socket", 0, OPT_TEXT, "PATH",
      "Serve programs on this machine there (mode 0600): meshsub pub,\n"
      "sub, peers, topics, mesh, connect, disconnect, log, state.",
      &r.socket_path, 0, 0, NULL },
    { "--trace-to", 0, OPT_TEXT, "ADDR",
      "Send all that happens to a collector, with /p2p/ID, as\n"
      "go-libp2p-pubsub's remote tracer does.",
      &r.collector, 0, 0, NULL },
    MESH_OPTIONS(&n.router),
    NODE_OPTIONS(&n),
    { 0 },
  };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n)
    code = usage_error(&c, "%s is no option; topics are named by --topic", quoted(args.v[0]));
  if (code < 0 && r.publish) list_add(&r.topics, r.publish);
  if (r.trace || r.collector) n.on_trace = traced;
  if (r.collector) n.on_host = collector_open;
  if (code < 0 && !node_has_way(&n)) list_add(&n.listen, "/ip4/127.0.0.1/tcp/0");
  if (code < 0) code = node_check(&n, &r.topics);
  if (code < 0 && r.trace_path) code = trace_open(&n, &r);
  if (code < 0) code = open_and_run(&n, &r);
  node_close(&n);
  collector_close(&n, &r);
  int trace_code = trace_close(&n, &r);
  if (code == EXIT_OK && trace_code >= 0) code = trace_code;
  free(args.v);
  free(r.topics.v);
  return code;
}
