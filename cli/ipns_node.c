#include "cli/ipns_wait.h"
#include "cli/local.h"
#include "cli/store.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HTTP_OPTIONS "--routing", "--routing-open-to-network"

struct ipns {
  node *n;
  msub_fetch *fetch;
  msub_names *names;
  routing *http;
};

msub_names *ipns_names(const ipns *i) { return i->names; }
server *ipns_http(const ipns *i) { return i && i->http ? routing_server(i->http) : NULL; }

/* ---- in words ---- */

const char *ipns_name_of(msub_bytes name) {
  static char text[2][MSUB_IPNS_NAME_TEXT];
  static unsigned at;
  return msub_ipns_name_text(name, text[at++ % 2]);
}

const char *ipns_value(const json_t *j) {
  static char text[4 * MSUB_IPNS_RECORD_MAX + 8];
  const json_t *value = json_object_get(j, "value");
  const char *hex = json_string_value(json_object_get(j, "value_hex"));
  if (!value) snprintf(text, sizeof text, "hex %s", hex ? hex : "");
  else msub_escape(text, sizeof text, (msub_bytes){ (const uint8_t *)json_string_value(value), json_string_length(value) });
  return text;
}

static uint64_t age_of(const msub_names_view *v) {
  int64_t now = (int64_t)wall_ns();
  return now > v->received_ns ? (uint64_t)now - (uint64_t)v->received_ns : 0;
}

/* Coarse: of what is old, the seconds do not matter. */
static const char *age_text(uint64_t ns) {
  uint64_t unit = ns < 1000000 ? 1000 : ns < UINT64_C(10000000000) ? 1000000 : UINT64_C(1000000000);
  return duration_text(ns / unit * unit);
}

const char *ipns_story(const json_t *j) {
  static char text[512];
  const char *source = json_string_value(json_object_get(j, "source")), *from = json_string_value(json_object_get(j, "from"));
  const char *until = json_string_value(json_object_get(j, "valid_until"));
  static const struct { const char *source, *text; } ways[] = { { "own", "published here" }, { "put", "handed in here" }, { "store", "from the store" },
                                                               { "pubsub", "by pubsub" },   { "fetch", "by fetch" } };
  const char *way = "?";
  for (size_t i = 0; source && i < sizeof ways / sizeof *ways; i++)
    if (strcmp(ways[i].source, source) == 0) way = ways[i].text;
  snprintf(text, sizeof text, "sequence %" JSON_INTEGER_FORMAT ", %s%s%.100s, %s old, %s %.40s%s", json_integer_value(json_object_get(j, "sequence")),
           way, from ? " from " : "", from ? from : "",
           age_text((uint64_t)json_integer_value(json_object_get(j, "age_ns"))),
           json_is_true(json_object_get(j, "expired")) ? "expired since" : "valid until", until ? until : "?",
           json_is_true(json_object_get(j, "durable")) ? ", kept" : "");
  return text;
}

json_t *ipns_json(const msub_names_view *v) {
  json_t *j = json_object();
  char until[31];
  json_object_set_new(j, "name", json_string(ipns_name_of(v->name)));
  if (v->has_record) {
    const msub_ipns_record *r = &v->record;
    if (is_text(r->value)) json_object_set_new(j, "value", json_stringn((const char *)r->value.p, r->value.n));
    else json_object_set_new(j, "value_hex", json_hex(r->value));
    (void)msub_ipns_time_text(r->eol, until);
    json_object_set_new(j, "sequence", json_integer((json_int_t)r->sequence));
    json_object_set_new(j, "source", json_string(msub_names_source_name((int)v->source)));
    if (v->from.n) json_object_set_new(j, "from", json_peer(v->from));
    json_object_set_new(j, "age_ns", json_integer((json_int_t)age_of(v)));
    json_object_set_new(j, "valid_until", json_string(until));
    json_object_set_new(j, "ttl_ns", json_integer((json_int_t)(r->ttl_ns < INT64_MAX ? r->ttl_ns : INT64_MAX)));
    json_object_set_new(j, "expired", json_boolean(v->expired));
    json_object_set_new(j, "durable", json_boolean(v->durable));
  }
  return j;
}

void ipns_unresolved(const msub_names_resolved *r, uint64_t waited_ns, char out[320]) {
  char until[31] = "";
  *out = 0;
  switch (r->end) {
  case MSUB_NAMES_END_FOUND: break;
  case MSUB_NAMES_END_EXPIRED:
    if (r->v) (void)msub_ipns_time_text(r->v->record.eol, until);
    snprintf(out, 320, "expired since %s (sequence %" PRIu64 "), and nobody has a newer record; its owner has to publish again", until,
             r->v ? r->v->record.sequence : 0);
    break;
  case MSUB_NAMES_END_INVALID:
    snprintf(out, 320, "whoever answered has no valid record of it: %s; connect to a node that follows the name", msub_ipns_fault_text(r->fault));
    break;
  case MSUB_NAMES_END_NOBODY:
    snprintf(out, 320, "nothing found within %s: no peer could be asked; connect to a node that follows the name", age_text(waited_ns));
    break;
  default:
    snprintf(out, 320, "nothing found within %s, with %u peer%s asked; wait longer (--timeout), or connect to a node that follows the name", age_text(waited_ns),
             r->asked, r->asked == 1 ? "" : "s");
  }
}

void ipns_refused(ipns *i, int err, msub_bytes name, msub_ipns_fault fault, msub_bytes record, char out[320]) {
  msub_names_view v;
  msub_ipns_record r;
  char until[31] = "";
  bool there = i && msub_names_get(i->names, name, (int64_t)wall_ns(), &v) == MSUB_OK && v.has_record;
  if (err == MSUB_ERR_MALFORMED) {
    snprintf(out, 320, "%s", msub_ipns_fault_text(fault == MSUB_IPNS_OK ? MSUB_IPNS_BAD_NAME : fault));
  } else if (err == MSUB_ERR_TIMEOUT) {
    if (record.n && msub_ipns_read(record, &r) == MSUB_IPNS_OK) (void)msub_ipns_time_text(r.eol, until);
    snprintf(out, 320, "expired since %s; its owner has to publish again", until);
  } else if (err == MSUB_ERR_MISMATCH && there) {
    (void)msub_ipns_time_text(v.record.eol, until);
    snprintf(out, 320, "older than the one that is kept here, which has sequence %" PRIu64 " and is valid until %s; publish with a higher sequence", v.record.sequence,
             until);
  } else if (err == MSUB_ERR_LIMIT) {
    snprintf(out, 320, "no room for one more name here, or its sequence is at its end");
  } else {
    snprintf(out, 320, "%s", msub_err_text(err));
  }
}

/* ---- HTTP ---- */

static void reply(const ipns *i, uint64_t token, int result, const char *why, const msub_names_view *v) {
  routing_reply r = { .result = result, .why = why };
  if (result == MSUB_OK && v) {
    r.record = &v->record;
    r.received_ns = v->received_ns;
    r.ends_ns = v->ends_ns;
  }
  routing_answer(i->http, token, &r);
}

static void reply_later(waiter *w, int result, const char *why, const msub_names_view *v) {
  if (w->who == WAITS_HTTP) reply(w->n->ipns, w->ticket, result, why, v);
  wait_end(w);
}

static void resolved(void *ud, const msub_names_resolved *r) {
  waiter *w = ud;
  char why[320];
  ipns_unresolved(r, mono_ns() - w->since_ns, why);
  reply_later(w, r->end == MSUB_NAMES_END_FOUND ? MSUB_OK : MSUB_ERR_NOTFOUND, *why ? why : NULL, r->v);
}

static void http_get(void *ud, msub_bytes name, uint64_t token) {
  ipns *i = ud;
  msub_names_view v;
  waiter *w = wait_begin(i->n, WAITS_HTTP, token);
  int err = msub_names_resolve(i->names, name, w->since_ns + IPNS_RESOLVE_NS, msub_host_now(i->n->host), resolved, w, &v, &w->asked);
  if (err != MSUB_MORE) reply_later(w, err, NULL, err == MSUB_OK ? &v : NULL);
}

static void was_put(void *ud, int result, const msub_names_view *v) {
  (void)v;
  reply_later(ud, result, result == MSUB_OK ? NULL : "taken, but the store could not keep it; the node's log says why", NULL);
}

static void http_put(void *ud, msub_bytes name, msub_bytes record, uint64_t token) {
  ipns *i = ud;
  char why[320];
  msub_names_view v;
  msub_ipns_fault fault = MSUB_IPNS_OK;
  waiter *w = wait_begin(i->n, WAITS_HTTP, token);
  int err = msub_names_put(i->names, name, record, true, msub_host_now(i->n->host), was_put, w, &fault);
  if (err == MSUB_OK) return;
  /* Who sends again what is there has what he wants. */
  if (err == MSUB_ERR_MISMATCH && msub_names_get(i->names, name, (int64_t)wall_ns(), &v) == MSUB_OK && msub_bytes_eq(v.record.bytes, record)) err = MSUB_OK;
  ipns_refused(i, err, name, fault, record, why);
  reply_later(w, err, why, NULL);
}

static void http_gone(void *ud, uint64_t token) {
  const ipns *i = ud;
  wait_gone(i->n, WAITS_HTTP, token);
}

static const routing_ops http_ops = { http_get, http_put, http_gone };

/* ---- opening ---- */

int ipns_check(node *n) {
  names_options *o = &n->names_on;
  msub_peer_id id;
  if (o->follow.n || o->keep.n || o->keep_open || o->http.listen) o->on = true;
  for (size_t k = 0; k < o->follow.n + o->keep.n; k++) {
    const char *text = k < o->follow.n ? o->follow.v[k] : o->keep.v[k - o->follow.n];
    if (msub_ipns_name_parse(text, &id) != MSUB_OK)
      return usage_error(n->cmd, "%s %s: not a name; write k51..., 12D3Koo..., Qm... or bafz...", k < o->follow.n ? "--follow" : "--keep", quoted(text));
  }
  return routing_check(n->cmd, HTTP_OPTIONS, &o->http);
}

static void changed(void *ud, const msub_names_view *v) {
  ipns *i = ud;
  json_t *j = ipns_json(v);
  if (i->n->local) local_name(i->n->local, v->name, j);
  if (i->n->on_name) i->n->on_name(i->n, j);
  json_decref(j);
}

static void alarm_text(void *ud, msub_names_alarm what, msub_bytes name, msub_bytes record, msub_bytes other) {
  const ipns *i = ud;
  (void)record, (void)other;
  say_error(i->n->cmd->program, "%s: %s", ipns_name_of(name), msub_names_alarm_text((int)what));
}

static int failed(const node *n, const char *what, int err) {
  say_error(n->cmd->program, "%s: %s", what,
            err == MSUB_ERR_MALFORMED ? "what the store holds of names is of a later version; use the release that wrote it" : msub_err_text(err));
  return EXIT_FAILED;
}

/* The wishes of the command line, for good. */
static int wish(const ipns *i, const text_list *names, const char *option,
                int (*fn)(msub_names *, msub_bytes, const msub_now *, msub_names_done, void *)) {
  msub_peer_id id;
  for (size_t k = 0; k < names->n; k++) {
    int err = msub_ipns_name_parse(names->v[k], &id);
    if (err == MSUB_OK) err = fn(i->names, msub_peer_id_bytes(&id), msub_host_now(i->n->host), NULL, NULL);
    if (err == MSUB_OK) continue;
    say_error(i->n->cmd->program, "%s %s: %s", option, quoted(names->v[k]), msub_err_text(err));
    return EXIT_FAILED;
  }
  return -1;
}

int ipns_open(node *n) {
  const names_options *on = &n->names_on;
  msub_names_opts o;
  if (!on->on) return -1;
  ipns *i = take(sizeof *i);
  *i = (ipns){ .n = n };
  n->ipns = i;
  int err = msub_fetch_new(NULL, msub_host_exchange(n->host), &i->fetch);
  if (err != MSUB_OK) return failed(n, "the fetch protocol", err);
  msub_names_opts_init(&o);
  o.engine = msub_host_engine(n->host);
  o.fetch = i->fetch;
  o.store = n->kept;
  if (getentropy(&o.seed, sizeof o.seed) != 0) return failed(n, "names: no random source", MSUB_ERR_IO);
  o.ud = i;
  o.changed = changed;
  o.alarm = alarm_text;
  err = msub_names_new(&o, msub_host_now(n->host), &i->names);
  if (err != MSUB_OK) return failed(n, "names", err);
  for (size_t k = 0; n->keys && keyring_at(n->keys, k); k++) {
    msub_names_view v;
    /* One that was never published has nothing to be signed anew. */
    if (msub_names_get(i->names, msub_key_peer_id(keyring_at(n->keys, k)->key), (int64_t)wall_ns(), &v) != MSUB_OK) continue;
    err = msub_names_own(i->names, keyring_at(n->keys, k)->key, msub_host_now(n->host));
    if (err != MSUB_OK && err != MSUB_ERR_CLAIMED) return failed(n, "the keys of the store", err);
  }
  int code = wish(i, &on->follow, "--follow", msub_names_follow);
  if (code < 0) code = wish(i, &on->keep, "--keep", msub_names_keep);
  if (on->keep_open) msub_names_keep_open(i->names, true);
  if (code < 0 && on->http.listen) code = routing_open(n->cmd, HTTP_OPTIONS, &on->http, &http_ops, i, &i->http);
  return code;
}

void ipns_close(ipns *i) {
  if (!i) return;
  node *n = i->n;
  routing_close(i->http);
  msub_names_free(i->names, msub_host_now(n->host));
  msub_fetch_free(i->fetch);
  free(i);
  n->ipns = NULL;
}

/* ---- from the node ---- */

static bool speaks_fetch(const node *n, msub_bytes peer) {
  msub_host_peer p;
  for (size_t i = 0; msub_host_peer_at(n->host, i, &p) == MSUB_OK; i++) {
    if (!msub_bytes_eq(p.peer_id, peer)) continue;
    for (size_t k = 0; k < p.n_protocols; k++)
      if (strcmp(p.protocols[k], MSUB_FETCH_PROTOCOL) == 0) return true;
    return false;
  }
  return false;
}

void ipns_event(ipns *i, const msub_host_event *ev) {
  if (!i || !i->names) return;
  if (ev->kind == MSUB_EV_CONNECTED) msub_names_connected(i->names, ev->peer_id, ev->outbound);
  else if (ev->kind == MSUB_EV_IDENTIFIED) msub_names_identified(i->names, ev->peer_id, speaks_fetch(i->n, ev->peer_id));
  else if (ev->kind == MSUB_EV_TOPIC_JOIN) msub_names_announced(i->names, ev->topic, ev->peer_id);
  else if (ev->kind == MSUB_EV_DISCONNECTED && ev->last) msub_names_disconnected(i->names, ev->peer_id);
}

void ipns_heard(ipns *i, msub_bytes topic, msub_peer p) {
  if (i && i->names) (void)msub_names_heard(i->names, topic, p);
}

uint64_t ipns_next(const ipns *i) {
  if (!i) return MSUB_NEVER;
  uint64_t of_names = msub_names_next_deadline(i->names), of_http = i->http ? server_deadline(routing_server(i->http)) : MSUB_NEVER;
  return of_http < of_names ? of_http : of_names;
}

void ipns_turn(ipns *i) {
  if (i) msub_names_turn(i->names, msub_host_now(i->n->host));
}

bool ipns_durable(ipns *i, msub_token token, int result) { return i && i->names && msub_names_durable(i->names, token, result); }

void ipns_metrics(const ipns *i, const msub_metrics_opts *o) {
  if (!i) return;
  const msub_names_counts *c = msub_names_count(i->names);
#define MSUB_X(of) o->each(o->ud, &(msub_metric){ .name = "ipns_" #of "_total", .kind = MSUB_METRIC_COUNTER, .value = c->of });
  MSUB_NAMES_COUNTS(MSUB_X)
#undef MSUB_X
#define GAUGE(of) o->each(o->ud, &(msub_metric){ .name = "ipns_" #of, .kind = MSUB_METRIC_GAUGE, .value = c->of })
  GAUGE(names), GAUGE(followed), GAUGE(kept), GAUGE(kept_open), GAUGE(owned), GAUGE(subscribed), GAUGE(resolving), GAUGE(fetching);
#undef GAUGE
  if (i->http) routing_metrics(i->http, o);
}
