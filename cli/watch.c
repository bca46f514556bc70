/* meshsub mesh, log: a running node, looked at for a while. */
#include "cli/commands.h"
#include "cli/log.h"
#include "cli/loop.h"
#include "cli/remote.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *text_in(const json_t *j, const char *key) {
  const char *text = json_string_value(json_object_get(j, key));
  return text ? text : "";
}

/* ---- mesh ---- */

static void print_peer(const json_t *p) {
  size_t i;
  json_t *role;
  printf("  %s ", text_in(p, "peer"));
  if (json_array_size(json_object_get(p, "roles")) == 0) putchar('-');
  json_array_foreach(json_object_get(p, "roles"), i, role) printf("%s%s", i ? "," : "", json_string_value(role));
  json_t *backoff = json_object_get(p, "backoff_ms");
  if (backoff) printf(" backoff %" JSON_INTEGER_FORMAT "ms", json_integer_value(backoff));
  printf(" score %.2f\n", json_real_value(json_object_get(p, "score")));
}

static void print_mesh(const json_t *topics) {
  size_t i, k;
  json_t *t, *p;
  if (json_array_size(topics) == 0) puts("no topic is joined or opened");
  json_array_foreach(topics, i, t) {
    printf("%s: %" JSON_INTEGER_FORMAT " peers\n", json_object_get(t, "topic") ? quoted(text_in(t, "topic")) : text_in(t, "topic_hex"),
           json_integer_value(json_object_get(t, "announced")));
    json_array_foreach(json_object_get(t, "peers"), k, p) print_peer(p);
  }
}

typedef struct mesh_options {
  const char *path, *topic;
  bool json, watch;
  uint64_t every;
} mesh_options;

static int watch_mesh(const command *c, const mesh_options *o) {
  remote r;
  int code = remote_open(&r, c, o->path);
  bool screen = o->watch && !o->json && isatty(STDOUT_FILENO);
  if (code < 0 && o->watch && (r.stop_fd = stop_signals(true)) < 0) code = EXIT_FAILED;
  while (code < 0) {
    json_t *q = remote_request("mesh"), *reply = NULL, *topic;
    size_t i;
    if (o->topic) set_name(q, "topic", msub_str(o->topic));
    code = remote_ask(&r, q, o->topic ? quoted(o->topic) : "", NULL, &reply);
    if (code < 0) {
      const json_t *topics = json_object_get(reply, "topics");
      if (screen) fputs("\033[H\033[2J", stdout);
      if (!o->json) print_mesh(topics);
      else json_array_foreach(topics, i, topic) put_json(stdout, json_incref(topic));
      if (!flush_out(c->program, stdout)) code = EXIT_FAILED;
      else if (!o->watch) code = EXIT_OK;
    }
    json_decref(reply);
    uint64_t until = mono_ns() + o->every;
    while (code < 0 && mono_ns() < until) code = remote_wait(&r, until);
  }
  if (r.stopped) code = EXIT_OK;
  remote_close(&r);
  return code;
}

int cmd_mesh(int argc, char **argv) {
  static const command c = { "meshsub mesh", "[TOPIC] [options]",
                             "Prints the peers of the topics that a running node uses, or of TOPIC: who is in the mesh, in\n"
                             "the fanout, direct, kept out by a backoff; and their scores.",
                             "JSON: {\"topic\" or \"topic_hex\",\"announced\",\"peers\":[{\"peer\",\"roles\",\"backoff_ms\",\"score\"}],…} for each.\n\n"
                             "Exit codes: 0 done, or --watch stopped by a signal, 1 nobody has the topic, or no node\nserves the socket, 2 wrong usage." };
  mesh_options o = { .every = 1000000000 };
  const option_row rows[] = { { "--watch", 'w', OPT_FLAG, NULL, "Again and again until a signal.", &o.watch, 0, 0, NULL },
                              { "--every", 0, OPT_DURATION, "TIME", "Between two looks of --watch. Default 1s.", &o.every, 0, 0, NULL },
                              SOCKET_OPTION(&o.path),
                              { "--json", 0, OPT_FLAG, NULL, "JSON objects, one a line.", &o.json, 0, 0, NULL },
                              { 0 } };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n > 1) code = usage_error(&c, "one TOPIC only");
  if (code < 0) {
    o.topic = args.n ? args.v[0] : NULL;
    code = watch_mesh(&c, &o);
  }
  free(args.v);
  return code;
}

/* ---- log ---- */

typedef struct log_view {
  const command *c;
  bool json, broken;
} log_view;

static void show(void *ud, json_t *j) {
  log_view *v = ud;
  const char *ev = text_in(j, "ev");
  if (v->json) put_json(stdout, json_incref(j));
  else if (strcmp(ev, "log") == 0) printf("%s %s: %s\n", text_in(j, "level"), text_in(j, "module"), text_in(j, "text"));
  else {
    json_object_del(j, "ev");
    char *text = json_dumps(j, JSON_COMPACT);
    printf("%s %s\n", ev, text ? text : "");
    free(text);
  }
  if (!flush_out(v->c->program, stdout)) v->broken = true;
}

int cmd_log(int argc, char **argv) {
  static const command c = { "meshsub log", "[options]",
                             "Prints the log lines of a running node as they come, until a signal, whatever the node itself\n"
                             "shows.",
                             "JSON: {\"ev\":\"log\",\"ns\",\"level\",\"module\",\"text\"}; with --events also the objects of \"meshsub node --json\".\n\n"
                             "Exit codes: 0 stopped by a signal, 1 the node ended, or none serves the socket,\n2 wrong usage." };
  log_view v = { .c = &c };
  const char *path = NULL, *level = "info";
  bool events = false;
  const option_row rows[] = { { "--level", 0, OPT_TEXT, "LEVEL", "off, error, warn, info (the default), debug or trace.", &level, 0, 0, NULL },
                              { "--events", 0, OPT_FLAG, NULL, "Connections, subscriptions of peers and the like as well.", &events, 0, 0, NULL },
                              SOCKET_OPTION(&path),
                              { "--json", 0, OPT_FLAG, NULL, "JSON objects, one a line.", &v.json, 0, 0, NULL },
                              { 0 } };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n) code = usage_error(&c, "%s: no argument is wanted here", quoted(args.v[0]));
  if (code < 0 && log_level_named(level) == -2) code = usage_error(&c, "--level %s: there are off, error, warn, info, debug and trace", quoted(level));
  free(args.v);
  if (code >= 0) return code;
  remote r;
  json_t *reply = NULL;
  code = remote_open(&r, &c, path);
  r.event = show;
  r.ud = &v;
  if (code < 0 && (r.stop_fd = stop_signals(true)) < 0) code = EXIT_FAILED;
  if (code < 0) {
    json_t *q = remote_request("log");
    json_object_set_new(q, "level", json_string(level));
    code = remote_ask(&r, q, "", NULL, &reply);
    json_decref(reply);
  }
  if (code < 0 && events) {
    json_t *q = remote_request("events");
    json_object_set_new(q, "on", json_true());
    code = remote_ask(&r, q, "", NULL, &reply);
    json_decref(reply);
  }
  while (code < 0 && !v.broken) code = remote_wait(&r, MSUB_NEVER);
  if (r.stopped) code = EXIT_OK;
  else if (v.broken) code = EXIT_FAILED;
  remote_close(&r);
  return code;
}
