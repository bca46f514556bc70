/* meshsub ipns publish, resolve, follow, keep: through a running node, or through one of their own that lives as long as the command. Either way a
 * question is the JSON of docs/socket.md, and so is its answer. */
#include "cli/ipns_cmd.h"
#include "cli/ipns_node.h"
#include "cli/local.h"
#include "cli/remote.h"
#include "cli/store.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_NS IPNS_RESOLVE_NS
#define MARGIN_NS UINT64_C(5000000000) /* an answer of the node comes at its own deadline, and takes its way */

typedef struct talk {
  const command *c;
  node n;
  const char *socket;
  uint64_t timeout;
  remote r;
  bool stopped;
  /* the answer of the node of its own */
  bool answered;
  json_t *out;
  char why[400], code[32];
  /* of a publish: to whom it went */
  uint32_t recipients;
  /* of follow */
  uint64_t count, lines;
  bool broken;
} talk;

#define TALK_OPTIONS(t)                                                                                             \
  { "--socket", 0, OPT_TEXT, "PATH", "Through the running node that serves this socket. Default: what\n"            \
    "MESHSUB_SOCKET says, when neither --connect nor --store is there.", &(t)->socket, 0, 0, NULL },                \
  { "--store", 0, OPT_TEXT, "DIR", "Without a running node: the store with keys and records.\n"                     \
    "Made if it is not there.", &(t)->n.store_path, 0, 0, NULL },                                                   \
  NODE_OPTIONS(&(t)->n)

static void answered(node *n, json_t *out, const char *why, const char *code) {
  talk *t = n->ud;
  t->answered = true;
  t->out = out;
  snprintf(t->why, sizeof t->why, "%s", why ? why : "");
  snprintf(t->code, sizeof t->code, "%s", code ? code : "");
}

static void happened(node *n, const msub_host_event *ev) {
  if (ev->kind == MSUB_EV_DIAL_FAILED) node_dial_failed(n, ev, NULL);
}

static void sent(node *n, int err, uint32_t recipients) {
  talk *t = n->ud;
  if (err == MSUB_OK && recipients > t->recipients) t->recipients = recipients;
}

static bool own_node(const talk *t) { return !t->socket && (node_has_way(&t->n) || t->n.store_path); }

/* Once the arguments are read: how is it to be done? -1, or an exit code. */
static int check(talk *t) {
  text_list none = { NULL, 0 };
  t->n.cmd = t->c;
  t->n.ud = t;
  t->n.on_answer = answered;
  t->n.on_event = happened;
  t->n.on_result = sent;
  t->n.names_on.on = true;
  int code = node_check(&t->n, &none);
  if (code < 0 && t->socket && (node_has_way(&t->n) || t->n.store_path))
    code = usage_error(t->c, "--socket has the running node do it; --connect, --listen, --store and the like are that node's");
  if (code < 0 && !t->socket && !own_node(t) && !getenv("MESHSUB_SOCKET"))
    code = usage_error(t->c, "no node to do it; give --socket PATH of a running one (\"meshsub ipns serve\"), or --connect ADDR or --store DIR");
  return code;
}

static int begin(talk *t) {
  if (!own_node(t)) {
    int code = remote_open(&t->r, t->c, t->socket);
    if (code < 0 && (t->r.stop_fd = stop_signals(true)) < 0) code = EXIT_FAILED;
    return code;
  }
  t->r.fd = t->r.stop_fd = -1;
  int code = node_open(&t->n, &(text_list){ NULL, 0 }, true);
  if (code < 0 && t->n.listen.n) node_say_listening(&t->n);
  return code < 0 ? node_connect(&t->n, false) : code;
}

static void end(talk *t) {
  if (own_node(t)) node_close(&t->n);
  else remote_close(&t->r), node_close(&t->n);
  json_decref(t->out);
}

/* A turn of the own node, until then at most. false: a signal came, or there is nobody left to wait for. */
static bool turn(talk *t, uint64_t until) {
  struct pollfd fds[2] = { { 0 }, { .fd = t->n.stop_fd, .events = POLLIN } };
  node_wait(&t->n, fds, 2, until);
  if (fds[1].revents) t->stopped = true;
  return !t->stopped;
}

static bool nobody(const talk *t) {
  const node *n = &t->n;
  return n->dials && n->dials_failed >= n->dials && !n->listen.n && !n->discover.n && !n->rendezvous.n && !n->mdns && node_peer_count(n) == 0;
}

/* Takes the reference of q. -1 and *reply (decref it), or an exit code with the error said; code 3 when the answer's code is one of `late`. */
static int ask(talk *t, json_t *q, const char *what, const char *const *late, json_t **reply) {
  int code;
  const char *kind;
  *reply = NULL;
  if (!own_node(t)) {
    t->r.answer_ns = t->timeout + MARGIN_NS;
    code = remote_ask(&t->r, q, what, NULL, reply);
    kind = json_string_value(json_object_get(*reply, "code"));
  } else {
    local_question a = { .op = json_string_value(json_object_get(q, "op")), .q = q, .out = json_object() };
    t->answered = false;
    const char *why = ipns_ask(&t->n, &a);
    if (!why && a.later) {
      json_decref(a.out);
      while (!t->answered && !nobody(t) && turn(t, MSUB_NEVER)) continue;
      a.out = t->out;
      t->out = NULL;
      why = *t->why ? t->why : NULL;
      a.code = t->code;
    } else {
      t->answered = true;
    }
    json_decref(q);
    if (!t->answered) return EXIT_FAILED; /* a signal, or dials that failed and were told */
    *reply = a.out;
    kind = a.code;
    code = why ? EXIT_FAILED : -1;
    if (why) say_error(t->c->program, "%s%s%s", what, *what ? ": " : "", why);
  }
  for (size_t i = 0; code == EXIT_FAILED && kind && late && late[i]; i++)
    if (strcmp(kind, late[i]) == 0) code = EXIT_LATE;
  if (code >= 0) {
    json_decref(*reply);
    *reply = NULL;
  } else {
    json_object_del(*reply, "id");
    json_object_del(*reply, "ok");
  }
  return code;
}

static const char *text_in(const json_t *j, const char *key) {
  const char *text = json_string_value(json_object_get(j, key));
  return text ? text : "";
}

static int print(const talk *t, json_t *reply, bool value_first) {
  if (t->n.json) {
    put_json(stdout, json_incref(reply));
  } else if (value_first) {
    puts(ipns_value(reply));
    if (flush_out(t->c->program, stdout)) fprintf(stderr, "%s\n", ipns_story(reply));
  } else {
    printf("%s %s %s\n", text_in(reply, "name"), ipns_value(reply), ipns_story(reply));
  }
  return flush_out(t->c->program, stdout) ? EXIT_OK : EXIT_FAILED;
}

static int check_name(const command *c, const char *text) {
  msub_peer_id id;
  return msub_ipns_name_parse(text, &id) == MSUB_OK ? -1 : usage_error(c, "%s: not a name; write k51..., 12D3Koo..., Qm... or bafz...", quoted(text));
}

/* ---- resolve ---- */

int ipns_cmd_resolve(int argc, char **argv) {
  static const command c = {
    "meshsub ipns resolve", "NAME [options]",
    "Prints what an IPNS name points to; on standard error, where the answer came from, how\n"
    "old it is and how long it is valid. What is not known is asked of the peers.",
    "JSON: {\"name\",\"value\" or \"value_hex\",\"sequence\",\"source\",\"from\",\"age_ns\",\"valid_until\",\"ttl_ns\",\n"
    "\"expired\",\"durable\"}; source: own, store, pubsub, fetch or put.\n\n"
    "Exit codes: 0 found, 1 failed, 2 wrong usage, 3 nobody has a valid record of it."
  };
  static const char *const late[] = { "notfound", "expired", "invalid", "nobody", "nothing", "timeout", NULL };
  talk t = { .c = &c, .timeout = TIMEOUT_NS, .r = { .fd = -1, .stop_fd = -1 } };
  const option_row rows[] = { { "--timeout", 0, OPT_DURATION, "TIME", "How long to look for it. Default 10s, at most 10m.", &t.timeout, 0, 0, NULL },
                              TALK_OPTIONS(&t), { 0 } };
  text_list args = { 0 };
  json_t *reply = NULL;
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 1) code = usage_error(&c, args.n ? "one NAME at a time" : "NAME is missing: k51..., 12D3Koo..., Qm... or bafz...");
  if (code < 0) code = check_name(&c, args.v[0]);
  if (code < 0 && t.timeout > IPNS_RESOLVE_MOST_NS) code = usage_error(&c, "--timeout: at most 10m");
  if (code < 0) code = check(&t);
  if (own_node(&t) && !node_has_way(&t.n)) t.timeout = 0; /* what the store has, and nobody to ask */
  if (code < 0) code = begin(&t);
  if (code < 0) {
    json_t *q = remote_request("ipns_resolve");
    json_object_set_new(q, "name", json_string(args.v[0]));
    json_object_set_new(q, "timeout_ns", json_integer((json_int_t)t.timeout));
    code = ask(&t, q, quoted(args.v[0]), late, &reply);
  }
  if (code < 0) code = print(&t, reply, true);
  json_decref(reply);
  end(&t);
  free(args.v);
  return code;
}

/* ---- publish ---- */

/* The record is in the store; now somebody is to have it, too. */
static int hand_out(talk *t) {
  uint64_t until = mono_ns() + t->timeout;
  const msub_names_counts *counts = msub_names_count(ipns_names(t->n.ipns));
  while (!t->recipients && !counts->served && mono_ns() < until && !nobody(t) && turn(t, until)) continue;
  if (t->recipients || counts->served) return EXIT_OK;
  if (t->stopped) return EXIT_FAILED;
  say_error(t->c->program, "signed%s, but no peer took it within %s; connect to one that follows or keeps the name, or leave \"meshsub ipns serve\" running",
            t->n.store ? " and kept in the store" : "", duration_text(t->timeout));
  return EXIT_LATE;
}

int ipns_cmd_publish(int argc, char **argv) {
  static const command c = {
    "meshsub ipns publish", "LABEL | NAME PATH [options]",
    "Has the name of a key point to PATH, \"/ipfs/...\". The key is one of the store's, by its\n"
    "label or its name (\"meshsub ipns key new LABEL\"); \"self\" is the node's own. The record is\n"
    "on the disk before it is told to anybody, and is signed anew every four hours as long as\n"
    "a node with this store runs.",
    "JSON: as \"meshsub ipns resolve\".\n\n"
    "Exit codes: 0 published, 1 failed, 2 wrong usage, 3 no peer took it within --timeout."
  };
  talk t = { .c = &c, .timeout = TIMEOUT_NS, .r = { .fd = -1, .stop_fd = -1 } };
  uint64_t lifetime = 0, ttl = 0, sequence = 0;
  bool lifetime_given = false, ttl_given = false, sequence_given = false, v2_only = false;
  const option_row rows[] = {
    { "--lifetime", 0, OPT_DURATION, "TIME", "How long the record is valid. Default 48h.", &lifetime, 0, 0, &lifetime_given },
    { "--ttl", 0, OPT_DURATION, "TIME", "How long others may go without asking anew. Default 5m.", &ttl, 0, 0, &ttl_given },
    { "--sequence", 0, OPT_NUMBER, "N", "Its sequence. Default: one more than before when PATH is another.", &sequence, 0, INT64_MAX, &sequence_given },
    { "--v2-only", 0, OPT_FLAG, NULL, "Without the copies for readers of before 2021.", &v2_only, 0, 0, NULL },
    { "--timeout", 0, OPT_DURATION, "TIME", "With --connect: how long to wait until a peer has it. Default 10s.", &t.timeout, 0, 0, NULL },
    TALK_OPTIONS(&t), { 0 },
  };
  text_list args = { 0 };
  json_t *reply = NULL;
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 2)
    code = usage_error(&c, "%s", args.n > 2 ? "one LABEL or NAME and one PATH only" : args.n ? "PATH is missing: what the name is to point to, /ipfs/..."
                                                                                      : "LABEL or NAME, and PATH are missing");
  if (code < 0 && args.v[1][0] != '/') code = usage_error(&c, "%s: not a path; write /ipfs/CID or /ipns/NAME", quoted(args.v[1]));
  if (code < 0) code = check(&t);
  if (code < 0 && own_node(&t) && !t.n.store_path)
    code = usage_error(&c, "--connect alone has no keys; give --store DIR as well, where \"meshsub ipns key new\" made one");
  if (code < 0) code = begin(&t);
  if (code < 0) {
    json_t *q = remote_request("ipns_publish");
    json_object_set_new(q, "key", json_string(args.v[0]));
    json_object_set_new(q, "value", json_string(args.v[1]));
    if (lifetime_given) json_object_set_new(q, "lifetime_ns", json_integer((json_int_t)lifetime));
    if (ttl_given) json_object_set_new(q, "ttl_ns", json_integer((json_int_t)ttl));
    if (sequence_given) json_object_set_new(q, "sequence", json_integer((json_int_t)sequence));
    json_object_set_new(q, "v2_only", json_boolean(v2_only));
    code = ask(&t, q, quoted(args.v[0]), NULL, &reply);
  }
  if (code < 0 && t.n.json) code = print(&t, reply, false);
  else if (code < 0) {
    printf("published %s: %s, sequence %" JSON_INTEGER_FORMAT ", valid until %s\n", text_in(reply, "name"), ipns_value(reply),
           json_integer_value(json_object_get(reply, "sequence")), text_in(reply, "valid_until"));
    code = flush_out(c.program, stdout) ? EXIT_OK : EXIT_FAILED;
  }
  if (code == EXIT_OK && own_node(&t) && node_has_way(&t.n)) code = hand_out(&t);
  json_decref(reply);
  end(&t);
  free(args.v);
  return code;
}

/* ---- follow ---- */

static void line(talk *t, json_t *j) {
  if (t->broken || (t->count && t->lines >= t->count)) return;
  json_object_del(j, "ev");
  t->lines++;
  if (print(t, j, false) != EXIT_OK) t->broken = true;
}

static void event(void *ud, json_t *j) {
  if (strcmp(text_in(j, "ev"), "ipns") == 0) line(ud, j);
}

static void named(node *n, json_t *j) { line(n->ud, j); }

int ipns_cmd_follow(int argc, char **argv) {
  static const command c = {
    "meshsub ipns follow", "NAME... [options]",
    "Prints what IPNS names point to, and a line for each change from then on, until SIGTERM,\n"
    "SIGINT or --count: name, value, sequence, where it came from. A running node, or a store,\n"
    "follows the names from now on, also after a restart, until --stop.",
    "JSON: as \"meshsub ipns resolve\", a line for each change.\n\n"
    "Exit codes: 0 stopped by a signal or --count changes were printed, 1 failed, 2 wrong usage."
  };
  talk t = { .c = &c, .timeout = TIMEOUT_NS, .r = { .fd = -1, .stop_fd = -1 } };
  bool stop = false;
  const option_row rows[] = { { "--count", 0, OPT_NUMBER, "N", "Exit with 0 after N lines.", &t.count, 1, UINT64_MAX, NULL },
                              { "--stop", 0, OPT_FLAG, NULL, "Follow them no longer; prints nothing.", &stop, 0, 0, NULL }, TALK_OPTIONS(&t), { 0 } };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && !args.n) code = usage_error(&c, "NAME is missing; name at least one");
  for (size_t i = 0; i < args.n && code < 0; i++) code = check_name(&c, args.v[i]);
  if (code < 0) code = check(&t);
  if (!stop) t.n.on_name = named;
  if (code < 0) code = begin(&t);
  t.r.event = event;
  t.r.ud = &t;
  for (size_t i = 0; i < args.n && code < 0; i++) {
    json_t *q = remote_request(stop ? "ipns_unfollow" : "ipns_follow"), *reply;
    json_object_set_new(q, "name", json_string(args.v[i]));
    code = ask(&t, q, quoted(args.v[i]), NULL, &reply);
    if (code < 0 && !stop && json_object_get(reply, "sequence")) line(&t, reply); /* what it pointed to before */
    json_decref(reply);
  }
  while (code < 0 && !stop && !t.broken && !t.stopped && !(t.count && t.lines >= t.count)) {
    if (own_node(&t)) {
      if (!turn(&t, MSUB_NEVER)) break;
      if (nobody(&t)) code = EXIT_FAILED;
    } else {
      code = remote_wait(&t.r, MSUB_NEVER);
    }
  }
  if (t.r.stopped) code = EXIT_OK;
  if (code < 0) code = t.broken ? EXIT_FAILED : EXIT_OK;
  end(&t);
  free(args.v);
  return code;
}

/* ---- keep ---- */

int ipns_cmd_keep(int argc, char **argv) {
  static const command c = {
    "meshsub ipns keep", "NAME... [options]",
    "Has a running node, or a store, keep IPNS names alive: their records stay and are served\n"
    "to whoever asks, whoever else is gone, until they expire. Needs no key. With --connect\n"
    "it looks for the records, too.",
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 with --connect: nobody has a record of it."
  };
  static const char *const late[] = { "notfound", "expired", "invalid", "nobody", "nothing", "timeout", NULL };
  talk t = { .c = &c, .timeout = TIMEOUT_NS, .r = { .fd = -1, .stop_fd = -1 } };
  bool stop = false;
  const option_row rows[] = { { "--stop", 0, OPT_FLAG, NULL, "Keep them no longer.", &stop, 0, 0, NULL },
                              { "--timeout", 0, OPT_DURATION, "TIME", "With --connect: how long to look for each. Default 10s.", &t.timeout, 0, 0, NULL },
                              TALK_OPTIONS(&t), { 0 } };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && !args.n) code = usage_error(&c, "NAME is missing; name at least one");
  for (size_t i = 0; i < args.n && code < 0; i++) code = check_name(&c, args.v[i]);
  if (code < 0) code = check(&t);
  if (code < 0 && own_node(&t) && !t.n.store_path) code = usage_error(&c, "nothing would be kept: give --store DIR, or --socket PATH of a running node");
  if (code < 0) code = begin(&t);
  for (size_t i = 0; i < args.n && code < 0; i++) {
    json_t *q = remote_request(stop ? "ipns_unkeep" : "ipns_keep"), *reply;
    json_object_set_new(q, "name", json_string(args.v[i]));
    code = ask(&t, q, quoted(args.v[i]), NULL, &reply);
    json_decref(reply);
    if (code >= 0 || stop || !own_node(&t) || !node_has_way(&t.n)) continue;
    q = remote_request("ipns_resolve");
    json_object_set_new(q, "name", json_string(args.v[i]));
    json_object_set_new(q, "timeout_ns", json_integer((json_int_t)t.timeout));
    code = ask(&t, q, quoted(args.v[i]), late, &reply);
    if (code < 0 && print(&t, reply, false) != EXIT_OK) code = EXIT_FAILED;
    json_decref(reply);
  }
  end(&t);
  free(args.v);
  return code < 0 ? EXIT_OK : code;
}
