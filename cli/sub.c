/* meshsub sub: prints what comes in on topics. */
#include "cli/commands.h"
#include "cli/node.h"
#include "cli/remote.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct sub {
  uint64_t wait, count, timeout;
  bool waits, counts, limited;
  uint64_t printed;
  const char *socket_path;
  /* through a running node */
  bool json, several, broken;
  uint64_t credit, dropped;
  const char *program;
} sub;

#define CREDIT 1024 /* messages on their way from a running node */

/* Writes at once: a reader of stdout that is slow slows the node, which slows its peers; nothing is lost. */
static bool heard(node *n, size_t topic, const msub_msg *m, msub_bytes from) {
  sub *s = n->ud;
  if (from.n == 0 || n->broken || (s->counts && s->printed == s->count)) return true;
  node_print_message(stdout, n, topic, m, from, false);
  s->printed++;
  return true;
}

static void happened(node *n, const msub_host_event *ev) {
  if (ev->kind == MSUB_EV_DIAL_FAILED) node_dial_failed(n, ev, "trying again");
}

static size_t fewest_peers(const node *n) {
  size_t fewest = SIZE_MAX;
  for (size_t i = 0; i < n->n_topics; i++) {
    size_t peers = node_topic_peers(n, i);
    if (peers < fewest) fewest = peers;
  }
  return fewest;
}

/* Whether the wait for peers is over; from then on the deadline is that of the messages. */
static int run(node *n, sub *s) {
  struct pollfd fds[2] = { { 0 }, { .fd = n->stop_fd, .events = POLLIN } };
  uint64_t deadline = s->limited ? mono_ns() + s->timeout : MSUB_NEVER;
  bool waiting = s->waits;
  for (;;) {
    if (waiting && fewest_peers(n) >= s->wait) {
      waiting = false;
      if (!s->counts) deadline = MSUB_NEVER;
    }
    wait_and_turn(n->host, fds, 2, deadline);
    if (!flush_out(n->cmd->program, stdout)) {
      n->broken = true;
      return EXIT_FAILED;
    }
    if (s->counts && s->printed == s->count) return EXIT_OK;
    if (fds[1].revents) {
      if (!s->counts) return EXIT_OK;
      say_error(n->cmd->program, "stopped after %" PRIu64 " of %" PRIu64 " messages", s->printed, s->count);
      return EXIT_FAILED;
    }
    if (mono_ns() < deadline) continue;
    if (waiting && fewest_peers(n) < s->wait)
      say_error(n->cmd->program,
                "%zu of %" PRIu64
                " peers of the topic within %s (%zu connected); start them, or raise --timeout",
                fewest_peers(n), s->wait, duration_text(s->timeout), node_peer_count(n));
    else if (s->counts)
      say_error(n->cmd->program,
                "%" PRIu64 " of %" PRIu64 " messages within %s; raise --timeout, or lower --count",
                s->printed, s->count, duration_text(s->timeout));
    else
      continue;
    return EXIT_LATE;
  }
}

static int open_and_run(node *n, sub *s, const text_list *topics) {
  int code = node_open(n, topics, false);
  if (code < 0) {
    if (n->listen.n) node_say_listening(n);
    code = node_connect(n, true);
  }
  return code < 0 ? run(n, s) : code;
}

/* ---- through a running node ---- */

static void shown(void *ud, json_t *j) {
  sub *s = ud;
  const char *ev = json_string_value(json_object_get(j, "ev")), *text;
  if (ev && strcmp(ev, "dropped") == 0) {
    uint64_t n = (uint64_t)json_integer_value(json_object_get(j, "n"));
    s->dropped += n;
    say_error(s->program, "%" PRIu64 " messages were lost: standard output is read too slowly", n);
  }
  if (!ev || strcmp(ev, "message") != 0 || (s->counts && s->printed == s->count)) return;
  s->credit--;
  s->printed++;
  if (s->json) {
    json_object_del(j, "ev");
    put_json(stdout, json_incref(j));
  } else {
    uint8_t *bytes = NULL;
    msub_bytes data = { NULL, 0 };
    const json_t *topic = json_object_get(j, "topic"), *plain = json_object_get(j, "data"), *base64 = json_object_get(j, "data_base64");
    if (plain) data = (msub_bytes){ (const uint8_t *)json_string_value(plain), json_string_length(plain) };
    else if (base64 && read_base64(json_string_value(base64), json_string_length(base64), &bytes, &data.n)) data.p = bytes;
    text = topic ? quoted(json_string_value(topic)) : json_string_value(json_object_get(j, "topic_hex"));
    node_print_data(stdout, s->several ? text : NULL, data);
    free(bytes);
  }
  if (!flush_out(s->program, stdout)) s->broken = true;
}

static int give_credit(sub *s, remote *r) {
  json_t *q, *reply;
  uint64_t n = CREDIT - s->credit;
  if (s->counts && s->count - s->printed - s->credit < n) n = s->count - s->printed - s->credit;
  if (n == 0) return -1;
  q = remote_request("credit");
  json_object_set_new(q, "n", json_integer((json_int_t)n));
  s->credit += n;
  int code = remote_ask(r, q, "", NULL, &reply);
  json_decref(reply);
  return code;
}

static int subscribe_through(const node *n, sub *s, const text_list *topics) {
  remote r;
  int code = remote_open(&r, n->cmd, s->socket_path);
  uint64_t deadline = s->limited ? mono_ns() + s->timeout : MSUB_NEVER;
  s->json = n->json;
  s->several = topics->n > 1;
  s->program = n->cmd->program;
  r.event = shown;
  r.ud = s;
  if (code < 0 && (r.stop_fd = stop_signals(true)) < 0) code = EXIT_FAILED;
  if (code < 0) code = give_credit(s, &r);
  for (size_t i = 0; i < topics->n && code < 0; i++) {
    json_t *q = remote_request("subscribe"), *reply;
    set_name(q, "topic", msub_str(topics->v[i]));
    code = remote_ask(&r, q, quoted(topics->v[i]), NULL, &reply);
    json_decref(reply);
  }
  while (code < 0 && !s->broken && !(s->counts && s->printed == s->count)) {
    code = remote_wait(&r, deadline);
    if (code < 0 && s->credit <= CREDIT / 2) code = give_credit(s, &r);
    if (code < 0 && mono_ns() >= deadline && !(s->counts && s->printed == s->count)) {
      say_error(s->program, "%" PRIu64 " of %" PRIu64 " messages within %s; raise --timeout, or lower --count", s->printed, s->count,
                duration_text(s->timeout));
      code = EXIT_LATE;
    }
  }
  if (r.stopped && s->counts) say_error(s->program, "stopped after %" PRIu64 " of %" PRIu64 " messages", s->printed, s->count);
  if (s->broken) code = EXIT_FAILED;
  else if (code < 0 || (r.stopped && !s->counts)) code = EXIT_OK;
  remote_close(&r);
  return code;
}

int cmd_sub(int argc, char **argv) {
  static const command c = {
    "meshsub sub", "TOPIC... [options]",
    "Subscribes to topics and prints every message, one a line. Text mode escapes bytes that\n"
    "are not printable ASCII (\\xNN). A connection that is lost is made again.",
    "JSON: {\"topic\",\"from\",\"seqno\",\"id\",\"received_from\",\"data\" or \"data_base64\",\"ns\"}; ns is "
    "Unix time.\n\n"
    "Exit codes: 0 stopped by a signal or --count messages came, 1 failed, 2 wrong usage,\n"
    "3 peers or messages did not come within --timeout."
  };
  sub s = { 0 };
  node n = { .cmd = &c, .ud = &s, .on_message = heard, .on_event = happened };
  const option_row rows[] = {
    { "--count", 0, OPT_NUMBER, "N", "Exit with 0 after N messages.", &s.count, 1, UINT64_MAX, &s.counts },
    { "--wait", 0, OPT_NUMBER, "N", "Insist on N peers of each topic; with --timeout.", &s.wait, 1, 1000000,
      &s.waits },
    { "--timeout", 0, OPT_DURATION, "TIME",
      "Give up, with exit code 3, when the peers of --wait or the\n"
      "messages of --count are not there in time.",
      &s.timeout, 0, 0, &s.limited },
    { "--socket", 0, OPT_TEXT, "PATH", "Subscribe through the running node that serves this socket, as\n"
      "that node; then --count and --timeout are all that counts.", &s.socket_path, 0, 0, NULL },
    NODE_OPTIONS(&n),
    { 0 },
  };
  text_list topics = { 0 };
  int code = options_read(&c, rows, argc, argv, &topics);
  if (code < 0 && !topics.n) code = usage_error(&c, "TOPIC is missing; name at least one topic");
  if (code < 0) code = node_check(&n, &topics);
  if (code < 0 && s.socket_path && node_has_way(&n))
    code = usage_error(&c, "--socket has the running node subscribe; --connect, --listen and --direct are that node's");
  if (code < 0 && s.socket_path && s.waits) code = usage_error(&c, "--wait is not for --socket; \"meshsub topics\" has the peers of a topic");
  if (code < 0 && !s.socket_path && !node_has_way(&n))
    code = usage_error(&c, "no way to peers; give --connect ADDR, --listen ADDR or --socket PATH");
  if (code < 0 && s.limited && !s.counts && !s.waits)
    code = usage_error(&c, "--timeout is for --wait or --count; give one of them");
  if (code < 0) code = s.socket_path ? subscribe_through(&n, &s, &topics) : open_and_run(&n, &s, &topics);
  node_close(&n);
  free(topics.v);
  return code;
}
