/* meshsub peers, topics, connect, disconnect, state: one question to a running node. */
#include "cli/commands.h"
#include "cli/remote.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *text_in(const json_t *j, const char *key) {
  const char *text = json_string_value(json_object_get(j, key));
  return text ? text : "";
}
static json_int_t int_in(const json_t *j, const char *key) { return json_integer_value(json_object_get(j, key)); }

typedef struct question {
  const command *c;
  const char *path;
  bool json;
  void (*print)(const json_t *reply); /* the text */
  const char *list;                   /* with --json: each of this array on a line; NULL: all of the answer */
} question;

static int flush(const question *q) { return flush_out(q->c->program, stdout) ? EXIT_OK : EXIT_FAILED; }

static void print_json(const question *q, json_t *reply) {
  size_t i;
  json_t *one;
  json_t *all = q->list ? json_object_get(reply, q->list) : NULL;
  if (q->list && !json_is_array(all)) {
    put_json(stdout, json_incref(all));
    return;
  }
  json_array_foreach(all, i, one) put_json(stdout, json_incref(one));
  if (q->list) return;
  json_object_del(reply, "id");
  put_json(stdout, json_incref(reply));
}

static int ask(const question *q, json_t *request) {
  remote r;
  json_t *reply = NULL;
  int code = remote_open(&r, q->c, q->path);
  if (code < 0) code = remote_ask(&r, request, "", NULL, &reply);
  else json_decref(request);
  if (code < 0) {
    if (q->json) print_json(q, reply);
    else q->print(reply);
    code = flush(q);
  }
  json_decref(reply);
  remote_close(&r);
  return code;
}

/* Of a command without arguments of its own. */
static int simple(int argc, char **argv, question *q, const char *op) {
  const option_row rows[] = { SOCKET_OPTION(&q->path), { "--json", 0, OPT_FLAG, NULL, "JSON objects, one a line.", &q->json, 0, 0, NULL }, { 0 } };
  text_list args = { 0 };
  int code = options_read(q->c, rows, argc, argv, &args);
  if (code < 0 && args.n) code = usage_error(q->c, "%s: no argument is wanted here", quoted(args.v[0]));
  free(args.v);
  return code < 0 ? ask(q, remote_request(op)) : code;
}

static void print_peers(const json_t *reply) {
  size_t i;
  json_t *p;
  json_array_foreach(json_object_get(reply, "peers"), i, p)
    printf("%s %s %s %s %s\n", text_in(p, "peer"), json_is_true(json_object_get(p, "outbound")) ? "to" : "from", text_in(p, "addr"),
           *text_in(p, "protocol") ? text_in(p, "protocol") : "-", quoted(text_in(p, "agent")));
}

int cmd_peers(int argc, char **argv) {
  static const command c = { "meshsub peers", "[options]",
                             "Prints the peers that a running node is connected to, one a line: peer id, who dialled,\n"
                             "address, pubsub protocol, agent.",
                             "JSON: {\"peer\",\"addr\",\"outbound\",\"connections\",\"protocol\",\"agent\",\"queued_bytes\",\"value\",\"protected\"}\n"
                             "for each.\n\nExit codes: 0 done, 1 no node serves the socket, 2 wrong usage." };
  question q = { .c = &c, .print = print_peers, .list = "peers" };
  return simple(argc, argv, &q, "peers");
}

static const char *topic_text(const json_t *t) {
  return json_object_get(t, "topic") ? quoted(text_in(t, "topic")) : text_in(t, "topic_hex");
}

static void print_topics(const json_t *reply) {
  size_t i;
  json_t *t;
  json_array_foreach(json_object_get(reply, "topics"), i, t)
    printf("%s: %s, %" JSON_INTEGER_FORMAT " peers, %" JSON_INTEGER_FORMAT " in the mesh, %" JSON_INTEGER_FORMAT " messages cached\n", topic_text(t),
           int_in(t, "joins") ? "joined" : int_in(t, "opens") ? "opened" : "of peers only", int_in(t, "announced"), int_in(t, "mesh"), int_in(t, "cached"));
}

int cmd_topics(int argc, char **argv) {
  static const command c = { "meshsub topics", "[options]",
                             "Prints the topics that a running node knows of: its own, and those that peers announced.",
                             "JSON: {\"topic\" or \"topic_hex\",\"joins\",\"opens\",\"announced\",\"mesh\",\"cached\"} for each.\n\n"
                             "Exit codes: 0 done, 1 no node serves the socket, 2 wrong usage." };
  question q = { .c = &c, .print = print_topics, .list = "topics" };
  return simple(argc, argv, &q, "topics");
}

static void print_state(const json_t *reply) {
  char *text = json_dumps(json_object_get(reply, "state"), JSON_INDENT(2));
  puts(text ? text : "");
  free(text);
}

int cmd_state(int argc, char **argv) {
  static const command c = { "meshsub state", "[options]",
                             "Prints everything that a running node knows at one moment, as JSON: routers, sessions with\n"
                             "their queues, topics with mesh, fanout and backoffs, scores. docs/socket.md has the members.",
                             "JSON: the same on one line.\n\nExit codes: 0 done, 1 no node serves the socket, 2 wrong usage." };
  question q = { .c = &c, .print = print_state, .list = "state" };
  return simple(argc, argv, &q, "state");
}

static void print_connected(const json_t *reply) {
  if (*text_in(reply, "peer")) printf("connected %s\n", text_in(reply, "peer"));
  else puts("kept");
}

int cmd_connect(int argc, char **argv) {
  static const command c = { "meshsub connect", "ADDR [options]",
                             "Has a running node connect to ADDR: /ip4/HOST/tcp/PORT, with /p2p/ID to insist on its\n"
                             "identity. Waits for the outcome.",
                             "JSON: {\"peer\",\"addr\",\"ok\"}.\n\nExit codes: 0 connected, 1 it failed, or no node serves the socket, 2 wrong usage." };
  question q = { .c = &c, .print = print_connected };
  bool keep = false;
  const option_row rows[] = { { "--keep", 0, OPT_FLAG, NULL, "Keep it: connect again whenever it is lost. Does not wait.", &keep, 0, 0, NULL },
                              SOCKET_OPTION(&q.path), { "--json", 0, OPT_FLAG, NULL, "One JSON object.", &q.json, 0, 0, NULL }, { 0 } };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 1) code = usage_error(&c, args.n ? "one ADDR only" : "ADDR is missing; name the address to connect to");
  if (code < 0) {
    json_t *request = remote_request("connect");
    json_object_set_new(request, "addr", json_string(args.v[0]));
    json_object_set_new(request, "keep", json_boolean(keep));
    code = ask(&q, request);
  }
  free(args.v);
  return code;
}

static void print_nothing(const json_t *reply) { (void)reply; }

int cmd_disconnect(int argc, char **argv) {
  static const command c = { "meshsub disconnect", "PEER [options]",
                             "Has a running node close its connections to PEER, and stop keeping them.",
                             "Exit codes: 0 done, 1 it was not connected, or no node serves the socket, 2 wrong usage." };
  question q = { .c = &c, .print = print_nothing };
  const option_row rows[] = { SOCKET_OPTION(&q.path), { "--json", 0, OPT_FLAG, NULL, "One JSON object.", &q.json, 0, 0, NULL }, { 0 } };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 1) code = usage_error(&c, args.n ? "one PEER only" : "PEER is missing; \"meshsub peers\" has their ids");
  if (code < 0) {
    json_t *request = remote_request("disconnect");
    json_object_set_new(request, "peer", json_string(args.v[0]));
    code = ask(&q, request);
  }
  free(args.v);
  return code;
}
