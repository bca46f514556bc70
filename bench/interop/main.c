#include "bench/interop/interop.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEEP 16 /* conditions in conditions */

static const char *run(interop *x, const json_t *instruction, unsigned depth);

static const char *begin(interop *x, const json_t *q) {
  static msub_gossipsub_opts o; /* the router reads them as long as it lives */
  if (x->self.host) return "initGossipSub: it has begun";
  msub_gossipsub_opts_init(&o);
  o.score = NULL;
  const char *why = partial_read(&x->p.partials, json_object_get(q, "partials"), &o);
  if (!why) why = params_read(json_object_get(q, "gossipSubParams"), &o);
  return why ? why : node_start(x, &o);
}

static const char *connect_to(interop *x, const json_t *q) {
  const json_t *list = json_object_get(q, "connectTo"), *each;
  size_t i;
  const char *why = json_is_array(list) ? NULL : "connect: connectTo is no list";
  json_array_foreach(list, i, each) {
    if (!why) why = json_is_integer(each) ? node_connect(x, (uint64_t)json_integer_value(each)) : "connect: no node number";
  }
  return why;
}

/* The driver's names for what the parts are asked by. */
static json_t *parts_request(const json_t *q) {
  json_t *j = json_object(), *to = json_object_get(q, "publishToNodeIDs"), *each, *names;
  size_t i;
  json_object_set(j, "topic", json_object_get(q, "topicID"));
  json_object_set(j, "group", json_object_get(q, "groupID"));
  json_object_set(j, "parts", json_object_get(q, "parts"));
  if (!json_array_size(to)) return j;
  json_object_set_new(j, "to", names = json_array());
  json_array_foreach(to, i, each) {
    msub_key *k = node_key((uint64_t)json_integer_value(each));
    if (k) json_array_append_new(names, json_peer(msub_key_peer_id(k)));
    msub_key_free(k);
  }
  return j;
}

static const char *parts(interop *x, const json_t *q, const char *(*work)(peer *, const json_t *, json_t *)) {
  json_t *request = parts_request(q), *out = json_object();
  const char *why = work(&x->p, request, out);
  json_decref(request);
  json_decref(out);
  return why;
}

static const char *set_delay(interop *x, const char *topic, const json_t *seconds) {
  topic_state *s = node_topic_state(x, topic);
  if (!s || !json_is_number(seconds) || !(json_number_value(seconds) >= 0 && json_number_value(seconds) < 1e6)) return "setTopicValidationDelay: delaySeconds";
  s->delay_ns = (uint64_t)(json_number_value(seconds) * 1e9);
  return NULL;
}

static const char *run(interop *x, const json_t *q, unsigned depth) {
  const char *type = text_of(q, "type", ""), *topic = text_of(q, "topicID", NULL);
  if (depth > DEEP) return "ifNodeIDEquals: too deep";
  if (strcmp(type, "ifNodeIDEquals") == 0) {
    const json_t *id = json_object_get(q, "nodeID");
    if (!json_is_integer(id)) return "ifNodeIDEquals: nodeID";
    return json_integer_value(id) == (json_int_t)x->number ? run(x, json_object_get(q, "instruction"), depth + 1) : NULL;
  }
  if (strcmp(type, "initGossipSub") == 0) return begin(x, q);
  if (!x->self.host) return "the script does not begin with initGossipSub";
  if (strcmp(type, "connect") == 0) return connect_to(x, q);
  if (strcmp(type, "waitUntil") == 0) {
    node_run(x, x->begin + number_of(q, "elapsedSeconds", 0) * 1000000000u);
    return NULL;
  }
  if (!topic) return "an instruction of no known type, or without topicID";
  if (strcmp(type, "subscribeToTopic") == 0) return node_subscribe(x, topic, flag_of(q, "partial", false));
  if (strcmp(type, "setTopicValidationDelay") == 0) return set_delay(x, topic, json_object_get(q, "delaySeconds"));
  if (strcmp(type, "publish") == 0)
    return node_publish(x, topic, number_of(q, "messageID", 0), (size_t)number_of(q, "messageSizeBytes", 0));
  if (strcmp(type, "addPartialMessage") == 0) return parts(x, q, partial_add);
  if (strcmp(type, "publishPartial") == 0) return parts(x, q, partial_publish);
  return "an instruction of no known type";
}

/* Whether the script has to do with partial messages anywhere: only then is the extension announced. */
static bool has_parts(const json_t *j) {
  const char *name, *type = json_is_object(j) ? text_of(j, "type", "") : "";
  json_t *each;
  size_t i;
  if (strcmp(type, "addPartialMessage") == 0 || strcmp(type, "publishPartial") == 0 || (*type && flag_of(j, "partial", false))) return true;
  json_array_foreach(j, i, each) if (has_parts(each)) return true;
  json_object_foreach((json_t *)(uintptr_t)j, name, each) if (json_is_object(each) && has_parts(each)) return true;
  return false;
}

static bool own_number(uint64_t *out) {
  char name[256] = "", *end;
  if (gethostname(name, sizeof name - 1) != 0 || strncmp(name, "node", 4) != 0 || name[4] < '0' || name[4] > '9') return false;
  *out = strtoull(name + 4, &end, 10);
  return *end == '\0' || *end == '.';
}

static int fail(const char *why, size_t at) {
  fflush(stdout);
  say_error(PROGRAM, "instruction %zu: %s", at, why);
  return EXIT_FAILED;
}

/* The identities of nodes 0 to n - 1, as the experiment's own check of them takes them. */
static int identities(uint64_t n) {
  for (uint64_t i = 0; i < n; i++) {
    msub_key *k = node_key(i);
    if (!k) return EXIT_FAILED;
    printf("%llu:%s\n", (unsigned long long)i, peer_text(msub_key_peer_id(k)));
    msub_key_free(k);
  }
  return EXIT_OK;
}

int main(int argc, char **argv) {
  static interop x;
  json_error_t error;
  x.begin = mono_ns();
  if (argc == 3 && strcmp(argv[1], "--identities") == 0) return identities(strtoull(argv[2], NULL, 10));
  size_t n = argc == 3 ? strlen(argv[2]) : 0;
  if (argc != 3 || strcmp(argv[1], "--params") != 0 || n < 5 || strcmp(argv[2] + n - 5, ".json") != 0) {
    fprintf(stderr, "usage: %s --params FILE.json | --identities N\n", argv[0]);
    return EXIT_USAGE;
  }
  if (!own_number(&x.number)) {
    say_error(PROGRAM, "the host's name is not node0, node1, ...");
    return EXIT_FAILED;
  }
  json_t *file = json_load_file(argv[2], 0, &error), *script = json_object_get(file, "script"), *each;
  if (!json_is_array(script)) {
    say_error(PROGRAM, "%s: %s", argv[2], file ? "no script" : error.text);
    return EXIT_FAILED;
  }
  signal(SIGPIPE, SIG_IGN);
  x.self.key = node_key(x.number);
  x.self.peer = &x.p;
  json_t *id = json_object();
  json_object_set_new(id, "id", json_peer(msub_key_peer_id(x.self.key)));
  json_object_set_new(id, "node_id", json_integer((json_int_t)x.number));
  node_log("PeerID", id);
  json_t *with = json_object();
  json_object_set_new(with, "partial", json_boolean(has_parts(script)));
  int code = EXIT_OK;
  size_t i;
  json_array_foreach(script, i, each) {
    json_t *q = each, *inner = json_object_get(each, "instruction");
    if (inner && strcmp(text_of(inner, "type", ""), "initGossipSub") == 0) json_object_set(inner, "partials", with);
    json_object_set(q, "partials", with);
    const char *why = run(&x, q, 0);
    if (!why) continue;
    code = fail(why, i);
    break;
  }
  json_decref(with);
  json_decref(file);
  node_stop(&x);
  return code;
}
