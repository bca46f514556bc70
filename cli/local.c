#include "cli/local.h"
#include "cli/events.h"
#include "cli/hold.h"
#include "cli/ipns_wait.h"
#include "cli/state.h"
#include "cli/store.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COOKIES (UINT64_C(1) << 32) /* of dials that clients asked for: no other has such a number */
#define STALLED_NS UINT64_C(60000000000)

typedef struct use {
  msub_topic topic;
  bool subscribed, opened;
} use;
typedef struct dial {
  uint64_t cookie; /* 0: free */
  json_t *id;
} dial;
typedef struct user {
  bool greeted, events;
  int log_level; /* -1: no lines */
  uint64_t credit, dropped, untold; /* messages; in all, and since the last "dropped" event */
  use uses[LOCAL_TOPICS];
  size_t n_uses;
  dial dials[LOCAL_DIALS];
  unsigned asked; /* requests in this turn */
  struct { uint64_t ticket; json_t *id; } later[LOCAL_LATER]; /* ticket 0: free */
  msub_peer_id *names; /* followed */
  size_t n_names;
} user;

struct local {
  node *n;
  hold hold;
  server server;
  uint64_t cookie, asked_at, ticket;
  uint32_t recipients; /* of the publish that is running */
  struct {
#define X(name) uint64_t name;
    LOCAL_COUNTS(X)
#undef X
  } counts;
};

/* ---- frames ---- */

static void put_frame(client *c, const char *text, size_t n) {
  const uint8_t head[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
  client_send(c, head, sizeof head);
  client_send(c, text, n);
}

/* Takes the reference. */
static void put_object(client *c, json_t *object) {
  char *text = json_text(object);
  put_frame(c, text, strlen(text));
  if (c->secret) explicit_bzero(text, strlen(text));
  free(text);
}

static bool has_room(const client *c, size_t n) { return client_waiting(c) == 0 || client_waiting(c) + n <= LOCAL_EVENT_BYTES; }

static void put_event(local *l, client *c, const char *text, size_t n) {
  if (has_room(c, n)) put_frame(c, text, n);
  else l->counts.events_dropped++;
}

/* ---- what requests say ---- */

static const char *name_in(const json_t *q, const char *key, uint8_t **bytes, size_t *n) {
  static char why[160];
  char hex[64];
  snprintf(hex, sizeof hex, "%s_hex", key);
  const json_t *text = json_object_get(q, key), *in_hex = json_object_get(q, hex);
  *bytes = NULL;
  if (text && !in_hex && json_is_string(text)) {
    *n = json_string_length(text);
    *bytes = take(*n + 1);
    memcpy(*bytes, json_string_value(text), *n);
    return NULL;
  }
  if (in_hex && !text && json_is_string(in_hex) && read_hex(json_string_value(in_hex), bytes, n)) return NULL;
  snprintf(why, sizeof why, "\"%s\" is missing: a string, or \"%s\" in hex", key, hex);
  return why;
}

static const char *topic_in(const json_t *q, uint8_t **bytes, size_t *n) {
  const char *why = name_in(q, "topic", bytes, n);
  if (why || (*n >= 1 && *n <= 256)) return why;
  free(*bytes);
  *bytes = NULL;
  return "a topic has 1 to 256 bytes";
}

static const char *data_in(const json_t *q, uint8_t **bytes, size_t *n) {
  const json_t *text = json_object_get(q, "data"), *in_base64 = json_object_get(q, "data_base64");
  *bytes = NULL;
  if (text && !in_base64 && json_is_string(text)) {
    *n = json_string_length(text);
    *bytes = take(*n + 1);
    memcpy(*bytes, json_string_value(text), *n);
    return NULL;
  }
  if (in_base64 && !text && json_is_string(in_base64) && read_base64(json_string_value(in_base64), json_string_length(in_base64), bytes, n)) return NULL;
  return "data is missing: \"data\", a string, or \"data_base64\"";
}

bool local_number(const json_t *q, const char *key, uint64_t most, uint64_t *out) {
  const json_t *v = json_object_get(q, key);
  if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > most) return false;
  *out = (uint64_t)json_integer_value(v);
  return true;
}

/* ---- topics of a client ---- */

static use *use_of(user *u, msub_topic t) {
  for (size_t i = 0; i < u->n_uses; i++)
    if (u->uses[i].topic.v == t.v) return &u->uses[i];
  return NULL;
}

static int begin_use(local *l, user *u, msub_bytes name, bool subscribe, use **out) {
  msub_engine *e = msub_host_engine(l->n->host);
  const msub_now *now = msub_host_now(l->n->host);
  const msub_channel_policy *p = node_policy(l->n);
  msub_topic t;
  int err = (subscribe ? msub_join : msub_open)(e, 0, name, p, NULL, now, &t);
  if (err != MSUB_OK) return err;
  use *had = use_of(u, t);
  if (!had && u->n_uses == LOCAL_TOPICS) err = MSUB_ERR_LIMIT;
  if (err != MSUB_OK || (had && (subscribe ? had->subscribed : had->opened))) { /* each join counts: one is enough */
    (void)(subscribe ? msub_leave : msub_close)(e, t, now);
    *out = had;
    return err;
  }
  if (!had) {
    had = &u->uses[u->n_uses++];
    *had = (use){ .topic = t };
  }
  if (subscribe) had->subscribed = true;
  else had->opened = true;
  *out = had;
  return MSUB_OK;
}

static void end_use(local *l, user *u, use *of, bool subscribed, bool opened) {
  msub_engine *e = msub_host_engine(l->n->host);
  const msub_now *now = msub_host_now(l->n->host);
  if (subscribed && of->subscribed) {
    (void)msub_leave(e, of->topic, now);
    of->subscribed = false;
  }
  if (opened && of->opened) {
    (void)msub_close(e, of->topic, now);
    of->opened = false;
  }
  if (!of->subscribed && !of->opened) *of = u->uses[--u->n_uses];
}

/* ---- requests ---- */

typedef struct asked {
  local *l;
  client *c;
  user *u;
  const json_t *q;
  json_t *out;
  const char *code; /* of an error: for programs */
  bool later;       /* the answer comes by itself */
} asked;

static const char *wrong(asked *a, const char *code, const char *text) {
  a->code = code;
  return text;
}
static const char *engine_error(asked *a, int err) {
  static char code[32];
  snprintf(code, sizeof code, "%s", msub_err_name(err) + strlen("MSUB_ERR_"));
  for (char *p = code; *p; p++)
    if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
  return wrong(a, code, msub_err_text(err));
}
static void set_number(asked *a, const char *key, uint64_t n) { json_object_set_new(a->out, key, json_integer((json_int_t)n)); }

static const char *ask_hello(asked *a) {
  uint64_t version;
  if (!local_number(a->q, "version", UINT32_MAX, &version)) return wrong(a, "inval", "\"version\" is missing: the one of \"versions\" that the client speaks");
  if (version != LOCAL_VERSION) return wrong(a, "unsupported", "this version is not spoken here; \"versions\" of the greeting has those that are");
  a->u->greeted = true;
  return NULL;
}

static const char *ask_publish(asked *a) {
  uint8_t *topic, *data;
  size_t topic_n, data_n;
  uint64_t wait = 0;
  use *of = NULL;
  const char *why = topic_in(a->q, &topic, &topic_n);
  if (why) return wrong(a, "inval", why);
  why = data_in(a->q, &data, &data_n);
  if (!why && json_object_get(a->q, "wait") && !local_number(a->q, "wait", 1000000, &wait)) why = "\"wait\": a number of peers, up to 1000000";
  if (why) wrong(a, "inval", why);
  else {
    int err = begin_use(a->l, a->u, (msub_bytes){ topic, topic_n }, false, &of);
    a->l->recipients = 0;
    if (err == MSUB_OK && wait && !msub_ready(msub_host_engine(a->l->n->host), of->topic, (uint32_t)wait))
      why = wrong(a, "late", "fewer peers than \"wait\" have subscribed; ask again later");
    else if (err == MSUB_OK)
      err = msub_publish(msub_host_engine(a->l->n->host), of->topic, (msub_bytes){ data, data_n }, msub_host_now(a->l->n->host), NULL);
    if (err != MSUB_OK) why = engine_error(a, err);
    else if (!why) set_number(a, "recipients", a->l->recipients);
  }
  free(topic);
  free(data);
  return why;
}

static const char *ask_subscribe(asked *a) {
  uint8_t *topic;
  size_t n;
  use *of;
  const char *why = topic_in(a->q, &topic, &n);
  if (why) return wrong(a, "inval", why);
  int err = begin_use(a->l, a->u, (msub_bytes){ topic, n }, true, &of);
  free(topic);
  return err == MSUB_OK ? NULL : engine_error(a, err);
}

static const char *ask_unsubscribe(asked *a) {
  uint8_t *topic;
  size_t n;
  const char *why = topic_in(a->q, &topic, &n);
  if (why) return wrong(a, "inval", why);
  use *of = use_of(a->u, msub_topic_named(msub_host_engine(a->l->n->host), 0, (msub_bytes){ topic, n }));
  free(topic);
  if (!of || !of->subscribed) return wrong(a, "notfound", "this client has not subscribed to it");
  end_use(a->l, a->u, of, true, false);
  return NULL;
}

static const char *ask_credit(asked *a) {
  uint64_t more;
  if (!local_number(a->q, "n", LOCAL_CREDIT, &more)) return wrong(a, "inval", "\"n\" is missing: how many more messages may come, up to 65536");
  a->u->credit = a->u->credit + more < LOCAL_CREDIT ? a->u->credit + more : LOCAL_CREDIT;
  set_number(a, "credit", a->u->credit);
  set_number(a, "dropped", a->u->dropped);
  return NULL;
}

static const char *ask_peers(asked *a) {
  msub_host_peer p;
  json_t *all = json_array();
  for (size_t i = 0; msub_host_peer_at(a->l->n->host, i, &p) == MSUB_OK; i++) {
    if (!p.connections) continue;
    json_t *j = json_object();
    json_object_set_new(j, "peer", json_peer(p.peer_id));
    json_object_set_new(j, "addr", json_string(addr_text(p.addr)));
    json_object_set_new(j, "outbound", json_boolean(p.outbound));
    json_object_set_new(j, "connections", json_integer(p.connections));
    json_object_set_new(j, "protocol", p.protocol ? json_string(p.protocol) : json_null());
    json_object_set_new(j, "agent", json_string(p.agent));
    json_object_set_new(j, "queued_bytes", json_integer((json_int_t)p.queued_bytes));
    json_object_set_new(j, "value", json_integer(p.value));
    json_object_set_new(j, "protected", json_boolean(p.is_protected));
    json_array_append_new(all, j);
  }
  json_object_set_new(a->out, "peers", all);
  return NULL;
}

static const char *state_of(asked *a, json_t **topics) {
  json_t *all = json_object();
  int err = state_json(a->l->n->host, all);
  *topics = json_incref(json_object_get(all, "topics"));
  json_decref(all);
  return err == MSUB_OK ? NULL : engine_error(a, err);
}

static json_int_t integer_of(const json_t *j, const char *key) { return json_integer_value(json_object_get(j, key)); }

static const char *ask_topics(asked *a) {
  json_t *topics, *one, *all = json_array();
  size_t i;
  const char *why = state_of(a, &topics);
  json_array_foreach(topics, i, one) {
    json_t *j = json_object();
    static const char *const copied[] = { "topic", "topic_hex", "joins", "opens", "announced", "cached" };
    for (size_t k = 0; k < sizeof copied / sizeof *copied; k++)
      if (json_object_get(one, copied[k])) json_object_set(j, copied[k], json_object_get(one, copied[k]));
    size_t in_mesh = 0, p;
    json_t *peer, *role;
    json_array_foreach(json_object_get(one, "peers"), p, peer) {
      size_t r;
      json_array_foreach(json_object_get(peer, "roles"), r, role) in_mesh += strcmp(json_string_value(role), "mesh") == 0;
    }
    json_object_set_new(j, "mesh", json_integer((json_int_t)in_mesh));
    json_array_append_new(all, j);
  }
  json_decref(topics);
  json_object_set_new(a->out, "topics", all);
  return why;
}

/* Topics that the program or a client uses, with the peers that the router has to do with there. */
static const char *ask_mesh(asked *a) {
  json_t *topics, *one, *all = json_array();
  uint8_t *wanted = NULL;
  size_t i, n = 0;
  const char *why = NULL;
  if (json_object_get(a->q, "topic") || json_object_get(a->q, "topic_hex")) why = topic_in(a->q, &wanted, &n);
  if (why) {
    json_decref(all);
    return wrong(a, "inval", why);
  }
  json_t *name = wanted ? json_name((msub_bytes){ wanted, n }) : NULL;
  why = state_of(a, &topics);
  json_array_foreach(topics, i, one) {
    const json_t *text = json_object_get(one, "topic");
    if (!text) text = json_object_get(one, "topic_hex");
    if (name ? !json_equal(name, text) : !integer_of(one, "joins") && !integer_of(one, "opens")) continue;
    json_array_append(all, one);
  }
  bool none = name && json_array_size(all) == 0;
  json_decref(topics);
  json_decref(name);
  free(wanted);
  json_object_set_new(a->out, "topics", all);
  return !why && none ? wrong(a, "notfound", "neither this node nor a peer has this topic") : why;
}

static const char *ask_state(asked *a) {
  json_t *all = json_object();
  int err = state_json(a->l->n->host, all);
  store_state(a->l->n->store, all);
  json_object_set_new(a->out, "state", all);
  return err == MSUB_OK ? NULL : engine_error(a, err);
}

static const char *ask_connect(asked *a) {
  const char *addr = json_string_value(json_object_get(a->q, "addr"));
  if (!addr) return wrong(a, "inval", "\"addr\" is missing: a multiaddress, /ip4/HOST/tcp/PORT, with /p2p/ID to insist on the peer");
  if (json_is_true(json_object_get(a->q, "keep"))) {
    int err = msub_host_keep(a->l->n->host, addr);
    return err == MSUB_OK ? NULL : engine_error(a, err);
  }
  dial *free_one = NULL;
  for (size_t i = 0; i < LOCAL_DIALS && !free_one; i++)
    if (!a->u->dials[i].cookie) free_one = &a->u->dials[i];
  if (!free_one) return wrong(a, "limit", "16 dials of this client are under way");
  uint64_t cookie = COOKIES + ++a->l->cookie;
  int err = msub_host_dial(a->l->n->host, addr, cookie);
  if (err != MSUB_OK) return engine_error(a, err);
  *free_one = (dial){ .cookie = cookie, .id = json_incref(json_object_get(a->q, "id")) };
  a->later = true;
  return NULL;
}

static const char *ask_disconnect(asked *a) {
  msub_peer_id id;
  const char *peer = json_string_value(json_object_get(a->q, "peer"));
  if (!peer || msub_peer_id_parse(peer, &id) != MSUB_OK) return wrong(a, "inval", "\"peer\" is missing: a peer id, as \"peers\" has them");
  int err = msub_host_disconnect(a->l->n->host, msub_peer_id_bytes(&id));
  return err == MSUB_OK ? NULL : err == MSUB_ERR_NOTFOUND ? wrong(a, "notfound", "not connected to this peer") : engine_error(a, err);
}

static const char *ask_log(asked *a) {
  const json_t *level = json_object_get(a->q, "level");
  int found = level && json_is_string(level) ? log_level_named(json_string_value(level)) : -2;
  if (found == -2) return wrong(a, "inval", "\"level\" is missing: off, error, warn, info, debug or trace");
  a->u->log_level = found;
  return NULL;
}

static const char *ask_events(asked *a) {
  const json_t *on = json_object_get(a->q, "on");
  if (!json_is_boolean(on)) return wrong(a, "inval", "\"on\" is missing: true or false");
  a->u->events = json_is_true(on);
  return NULL;
}

static const struct request {
  const char *op;
  const char *(*answer)(asked *a);
} requests[] = {
  { "hello", ask_hello },     { "publish", ask_publish }, { "subscribe", ask_subscribe }, { "unsubscribe", ask_unsubscribe },
  { "credit", ask_credit },   { "peers", ask_peers },     { "topics", ask_topics },       { "mesh", ask_mesh },
  { "state", ask_state },     { "connect", ask_connect }, { "disconnect", ask_disconnect }, { "log", ask_log },
  { "events", ask_events },
};

static void answer(local *l, client *c, json_t *id, json_t *out, const char *why, const char *code) {
  if (id) json_object_set(out, "id", id);
  json_object_set_new(out, "ok", json_boolean(!why));
  if (why) {
    l->counts.requests_failed++;
    json_object_set_new(out, "code", json_string(code ? code : "failed"));
    json_object_set_new(out, "error", json_string(why));
  }
  put_object(c, out);
}

void local_answer(local *l, uint64_t ticket, json_t *out, const char *why, const char *code) {
  for (size_t i = 0; l && i < l->server.n; i++) {
    client *c = l->server.clients[i];
    user *u = c->ud;
    for (size_t k = 0; k < LOCAL_LATER && !c->gone; k++) {
      if (u->later[k].ticket != ticket) continue;
      answer(l, c, u->later[k].id, out, why, code);
      json_decref(u->later[k].id);
      u->later[k].ticket = 0;
      return;
    }
  }
  json_decref(out);
}

int local_follow(const local_question *a, msub_bytes name, bool on) {
  if (!a->client) return MSUB_OK;
  user *u = ((client *)a->client)->ud;
  size_t i = 0;
  while (i < u->n_names && !msub_bytes_eq(msub_peer_id_bytes(&u->names[i]), name)) i++;
  if (!on && i < u->n_names) u->names[i] = u->names[--u->n_names];
  if (!on || i < u->n_names) return MSUB_OK;
  if (u->n_names == LOCAL_NAMES) return MSUB_ERR_LIMIT;
  if (!u->names) u->names = take(LOCAL_NAMES * sizeof *u->names);
  u->names[u->n_names++] = msub_peer_id_of(name);
  return MSUB_OK;
}

void local_name(local *l, msub_bytes name, const json_t *record) {
  char *text = NULL;
  for (size_t i = 0; i < l->server.n; i++) {
    client *c = l->server.clients[i];
    const user *u = c->ud;
    size_t k = 0;
    while (k < u->n_names && !msub_bytes_eq(msub_peer_id_bytes(&u->names[k]), name)) k++;
    if (c->gone || c->ending || k == u->n_names) continue;
    if (!text) {
      json_t *ev = json_object();
      json_object_set_new(ev, "ev", json_string("ipns"));
      json_object_update(ev, (json_t *)(uintptr_t)record);
      text = json_text(ev);
    }
    put_event(l, c, text, strlen(text));
  }
  free(text);
}

void local_secret(const local_question *a) {
  if (a->client) ((client *)a->client)->secret = true;
}

/* What is left for later gets a place before it is asked, so that it cannot be without one afterwards. */
static const char *ask_names(asked *a, const char *op) {
  local_question q = { .op = op, .q = a->q, .out = a->out, .client = a->c };
  size_t k = 0;
  while (k < LOCAL_LATER && a->u->later[k].ticket) k++;
  if (k == LOCAL_LATER) return wrong(a, "limit", "64 requests of this client wait for their answers");
  q.ticket = a->u->later[k].ticket = ++a->l->ticket;
  a->u->later[k].id = json_incref(json_object_get(a->q, "id"));
  const char *why = ipns_ask(a->l->n, &q);
  a->code = q.code;
  a->later = q.later && !why;
  if (!a->later) {
    json_decref(a->u->later[k].id);
    a->u->later[k].ticket = 0;
  }
  return why;
}

static void request(local *l, client *c, const json_t *q) {
  const char *op = json_string_value(json_object_get(q, "op")), *why = NULL;
  asked a = { .l = l, .c = c, .u = c->ud, .q = q, .out = json_object() };
  size_t i = 0, n = sizeof requests / sizeof *requests;
  l->counts.requests++;
  while (op && i < n && strcmp(requests[i].op, op) != 0) i++;
  if (!op) why = wrong(&a, "inval", "\"op\" is missing");
  else if (!a.u->greeted && strcmp(op, "hello") != 0) why = wrong(&a, "state", "\"hello\" comes first, with the version that the client speaks");
  else if (strncmp(op, "ipns_", 5) == 0) why = ask_names(&a, op);
  else if (i == n) why = wrong(&a, "unsupported", "there is no such \"op\"");
  else why = requests[i].answer(&a);
  if (a.later) json_decref(a.out);
  else answer(l, c, json_object_get(q, "id"), a.out, why, a.code);
  if (!a.u->greeted) client_end(c); /* who does not agree on a version understands nothing else */
}

static void malformed(local *l, client *c, const char *why) {
  json_t *j = json_object();
  l->counts.frames_malformed++;
  json_object_set_new(j, "ev", json_string("error"));
  json_object_set_new(j, "error", json_string(why));
  put_object(c, j);
  client_end(c);
}

/* ---- clients ---- */

static size_t came(client *c) {
  local *l = c->server->ud;
  user *u = c->ud;
  if (u->asked >= LOCAL_REQUESTS) {
    u->asked = 0;
    c->again = true;
    return 0;
  }
  if (c->in_n < 4) return 0;
  size_t n = (size_t)c->in[0] << 24 | (size_t)c->in[1] << 16 | (size_t)c->in[2] << 8 | c->in[3];
  if (n > LOCAL_FRAME_BYTES) {
    l->counts.frames_over_limit++;
    malformed(l, c, "a frame has at most 2097152 bytes");
    l->counts.frames_malformed--;
    return c->in_n;
  }
  if (c->in_n - 4 < n) return 0;
  json_error_t error;
  json_t *q = json_loadb((const char *)c->in + 4, n, JSON_REJECT_DUPLICATES, &error);
  u->asked++;
  if (json_is_object(q)) request(l, c, q);
  else malformed(l, c, "a frame is a JSON object in UTF-8, without duplicate keys and NUL characters");
  json_decref(q);
  return 4 + n;
}

static bool opened(client *c) {
  local *l = c->server->ud;
  user *u = take(sizeof *u);
  json_t *j = json_object(), *versions = json_array();
  u->log_level = -1;
  c->ud = u;
  json_array_append_new(versions, json_integer(LOCAL_VERSION));
  json_object_set_new(j, "ev", json_string("hello"));
  json_object_set_new(j, "versions", versions);
  json_object_set_new(j, "peer", json_peer(msub_host_peer_id(l->n->host)));
  json_object_set_new(j, "agent", json_string("meshsub/" MSUB_VERSION));
  json_object_set_new(j, "pid", json_integer(getpid()));
  json_object_set_new(j, "max_frame", json_integer(LOCAL_FRAME_BYTES));
  json_object_set_new(j, "max_credit", json_integer(LOCAL_CREDIT));
  put_object(c, j);
  return true;
}

static void closed(client *c) {
  local *l = c->server->ud;
  user *u = c->ud;
  for (size_t i = u->n_uses; i-- > 0;) end_use(l, u, &u->uses[i], true, true);
  for (size_t i = 0; i < LOCAL_DIALS; i++) json_decref(u->dials[i].id);
  for (size_t i = 0; i < LOCAL_LATER; i++)
    if (u->later[i].ticket) {
      wait_gone(l->n, WAITS_SOCKET, u->later[i].ticket);
      json_decref(u->later[i].id);
    }
  free(u->names);
  free(u);
}

int local_open(node *n, const char *path, local **out) {
  local *l = take(sizeof *l);
  int fd, code = hold_take(n->cmd->program, "--socket ", path, &l->hold, &fd);
  if (code >= 0) {
    free(l);
    return code;
  }
  l->n = n;
  if (n->keys) json_wipe(); /* keys may come and go as JSON */
  server_init(&l->server, fd, l);
  l->server.in_max = 4 + LOCAL_FRAME_BYTES;
  l->server.out_high = LOCAL_EVENT_BYTES;
  l->server.write_ns = STALLED_NS;
  l->server.opened = opened;
  l->server.came = came;
  l->server.closed = closed;
  *out = l;
  return -1;
}

void local_close(local *l) {
  if (!l) return;
  server_close(&l->server);
  hold_release(&l->hold);
  free(l);
}

server *local_server(local *l) { return &l->server; }

/* ---- from the node ---- */

static bool wants(user *u, msub_topic t) {
  const use *of = use_of(u, t);
  return of && of->subscribed;
}

static void tell_dropped(client *c, user *u) {
  json_t *j = json_object();
  json_object_set_new(j, "ev", json_string("dropped"));
  json_object_set_new(j, "n", json_integer((json_int_t)u->untold));
  put_object(c, j);
  u->untold = 0;
}

void local_message(local *l, msub_topic t, const msub_msg *m, msub_bytes from) {
  char *text = NULL;
  size_t n = 0;
  for (size_t i = 0; i < l->server.n; i++) {
    client *c = l->server.clients[i];
    user *u = c->ud;
    if (c->gone || c->ending || !wants(u, t)) continue;
    if (!text) {
      msub_engine *e = msub_host_engine(l->n->host);
      text = json_text(message_json(msub_name_bytes(msub_engine_shared(e), msub_topic_name(e, t)), m, from, "message"));
      n = strlen(text);
    }
    if (u->credit == 0 || !has_room(c, n + 64)) {
      l->counts.messages_dropped++;
      u->dropped++;
      u->untold++;
      continue;
    }
    if (u->untold) tell_dropped(c, u);
    put_frame(c, text, n);
    u->credit--;
    l->counts.messages++;
  }
  free(text);
}

static void dialled(client *c, const msub_host_event *ev) {
  local *l = c->server->ud;
  user *u = c->ud;
  for (size_t i = 0; i < LOCAL_DIALS; i++) {
    dial *d = &u->dials[i];
    if (d->cookie != ev->cookie) continue;
    json_t *out = json_object();
    const char *why = NULL;
    if (ev->peer_id.n) json_object_set_new(out, "peer", json_peer(ev->peer_id));
    if (ev->addr.n) json_object_set_new(out, "addr", json_string(addr_text(ev->addr)));
    if (ev->kind == MSUB_EV_DIAL_FAILED) why = ev->text && *ev->text ? ev->text : msub_err_text(ev->err);
    answer(l, c, d->id, out, why, "failed");
    json_decref(d->id);
    *d = (dial){ 0 };
  }
}

void local_event(local *l, const msub_host_event *ev) {
  char *text = NULL;
  for (size_t i = 0; i < l->server.n; i++) {
    client *c = l->server.clients[i];
    user *u = c->ud;
    if (c->gone || c->ending) continue;
    if (ev->cookie && (ev->kind == MSUB_EV_CONNECTED || ev->kind == MSUB_EV_DIAL_FAILED)) dialled(c, ev);
    if (!u->events) continue;
    if (!text) {
      msub_engine *e = msub_host_engine(l->n->host);
      text = json_text(event_json(ev, msub_name_bytes(msub_engine_shared(e), msub_topic_name(e, ev->topic))));
    }
    put_event(l, c, text, strlen(text));
  }
  free(text);
}

void local_log(local *l, msub_log_level level, const char *module, const char *line) {
  char *text = NULL;
  for (size_t i = 0; i < l->server.n; i++) {
    client *c = l->server.clients[i];
    if (c->gone || c->ending || (int)level > ((const user *)c->ud)->log_level) continue;
    if (!text) {
      json_t *j = log_json(level, module, line);
      json_t *ev = json_object();
      json_object_set_new(ev, "ev", json_string("log"));
      json_object_update(ev, j);
      json_decref(j);
      text = json_text(ev);
    }
    put_event(l, c, text, strlen(text));
  }
  free(text);
}

void local_result(local *l, int err, uint32_t recipients) {
  if (err == MSUB_OK) l->recipients = recipients;
}

int local_log_level(const local *l) {
  int most = -1;
  for (size_t i = 0; i < l->server.n; i++) {
    const user *u = l->server.clients[i]->ud;
    if (u->log_level > most) most = u->log_level;
  }
  return most;
}

void local_metrics(const local *l, const msub_metrics_opts *o) {
  struct local now = *l;
  now.counts.clients_accepted = l->server.accepted;
  now.counts.clients_refused = l->server.refused;
  now.counts.clients_stalled = l->server.late;
#define X(of) o->each(o->ud, &(msub_metric){ .name = "socket_" #of "_total", .kind = MSUB_METRIC_COUNTER, .value = now.counts.of });
  LOCAL_COUNTS(X)
#undef X
  o->each(o->ud, &(msub_metric){ .name = "socket_clients", .kind = MSUB_METRIC_GAUGE, .value = l->server.n });
}
