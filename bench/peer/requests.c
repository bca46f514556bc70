#include "bench/peer/peer.h"
#include <malloc.h>
#include <meshsub/author.h>
#include <meshsub/publish.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* ---- members ---- */

const char *text_of(const json_t *q, const char *name, const char *otherwise) {
  const char *text = json_string_value(json_object_get(q, name));
  return text ? text : otherwise;
}

uint64_t number_of(const json_t *q, const char *name, uint64_t otherwise) {
  const json_t *v = json_object_get(q, name);
  if (json_is_integer(v) && json_integer_value(v) >= 0) return (uint64_t)json_integer_value(v);
  if (json_is_real(v) && json_real_value(v) >= 0 && json_real_value(v) < 9e15)
    return (uint64_t)json_real_value(v);
  return otherwise;
}

bool flag_of(const json_t *q, const char *name, bool otherwise) {
  const json_t *v = json_object_get(q, name);
  return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

/* ---- answers ---- */

void reply(const char *op, json_t *id, json_t *fields, const char *error) {
  json_t *j = json_object();
  json_object_set_new(j, "re", json_string(op));
  json_object_set(j, "id", id ? id : json_null());
  json_object_set_new(j, "ok", json_boolean(!error));
  if (error) {
    char text[400]; /* an error may quote what a peer or driver sent */
    json_object_set_new(j, "error", json_string(msub_escape(text, sizeof text, msub_str(error))));
  } else if (fields) {
    json_object_update(j, fields);
  }
  json_decref(fields);
  put_json(stdout, j);
}

void event(const char *name, json_t *fields) {
  json_t *j = json_object();
  json_object_set_new(j, "ev", json_string(name));
  json_object_update(j, fields);
  json_decref(fields);
  put_json(stdout, j);
}

void event_error(const char *format, ...) {
  char raw[400], text[400];
  va_list args;
  va_start(args, format);
  vsnprintf(raw, sizeof raw, format, args);
  va_end(args);
  json_t *j = json_object();
  json_object_set_new(j, "error", json_string(msub_escape(text, sizeof text, msub_str(raw))));
  event("error", j);
}

/* ---- requests: each fills `out` and returns NULL, or says why not ---- */

typedef const char *request_fn(peer *p, const json_t *q, json_t *out);

static const char *start(peer *p, const json_t *q, json_t *out) {
  if (p->started) return "already started";
  json_t *all = json_deep_copy(q), *cfg = json_object_get(q, "cfg"), *each;
  if (json_is_object(cfg)) json_object_update(all, cfg); /* cfg's members may stand inside or beside */
  config c;
  const char *why = node_config(&c, all);
  if (!why) why = router_read(&p->router, all);
  if (!why) why = partial_read(&p->partials, all, &p->router.gossipsub);
  if (!why) why = rendezvous_read(&p->rendezvous, all, &p->discovery);
  if (!why && !credit_open(&p->credit)) why = "no listener for credit";
  if (!why) why = nodes_start(p, &c);
  if (!why) why = ipns_start(p, all);
  if (!why) why = registers_start(p);
  free(c.protocols);
  if (why) { /* a static text */
    nodes_stop(p);
    credit_close(&p->credit);
    json_decref(all);
    return why;
  }
  json_t *topics = json_object_get(all, "topics");
  size_t i;
  p->topics = take((json_array_size(topics) + 1) * sizeof *p->topics);
  json_array_foreach(topics, i, each) {
    if (json_is_string(each)) p->topics[p->n_topics++] = strdup(json_string_value(each));
  }
  if (!p->n_topics) p->topics[p->n_topics++] = strdup("bench");
  json_decref(all);
  p->started = true;
  char address[32];
  snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)p->credit.port);
  json_object_set_new(out, "peer", json_peer(msub_host_peer_id(p->nodes[0].host)));
  json_object_set_new(out, "credit", json_string(address));
  json_object_set_new(out, "router", json_string(p->router.name));
  return NULL;
}

static const char *addrs(peer *p, const json_t *q, json_t *out) {
  (void)q;
  char text[MSUB_MULTIADDR_TEXT];
  json_t *list = json_array();
  for (size_t i = 0; msub_host_addr(p->nodes[0].host, i, text, sizeof text) == MSUB_OK; i++)
    json_array_append_new(list, json_string(text));
  json_object_set_new(out, "addrs", list);
  return NULL;
}

/* One address more: the peers hear of it by identify's push. */
static const char *listen_request(peer *p, const json_t *q, json_t *out) {
  const char *why = NULL;
  int err = msub_host_listen(p->nodes[0].host, text_of(q, "addr", ""), &why);
  return err == MSUB_OK ? addrs(p, q, out) : why ? why : msub_err_text(err);
}

static void *refuse(void *ud, msub_stream *s, msub_bytes peer_id) {
  (void)ud, (void)s, (void)peer_id;
  return NULL;
}

static size_t no_data(void *word, msub_stream *s, msub_bytes b) {
  (void)word, (void)s;
  return b.n;
}

static void no_end(void *word, msub_stream *s, msub_end why) { (void)word, (void)s, (void)why; }

static const msub_stream_handler nothing_served = {
  .abi = MSUB_ABI, .size = sizeof(msub_stream_handler), .on_open = refuse, .on_data = no_data, .on_end = no_end
};

/* A protocol on which nothing is to be had: the peers hear of it by identify's push. */
static const char *handle_request(peer *p, const json_t *q, json_t *out) {
  (void)out;
  const char *protocol = text_of(q, "protocol", "");
  msub_exchange x = msub_host_exchange(p->nodes[0].host);
  int err = x.ops->serve(x.x, protocol, flag_of(q, "on", true) ? &nothing_served : NULL, NULL);
  return err == MSUB_OK ? NULL : msub_err_text(err);
}

/* One after the other, of the request or else of cfg. */
static const char *each_topic(peer *p, const json_t *q, const char *(*work)(peer *, const char *)) {
  const char *why = NULL;
  json_t *list = json_object_get(q, "topics"), *each;
  size_t i;
  if (!json_array_size(list)) {
    for (i = 0; i < p->n_topics && !why; i++) why = work(p, p->topics[i]);
    return why;
  }
  json_array_foreach(list, i, each) {
    if (!json_is_string(each)) return "topics: not a list of texts";
    if ((why = work(p, json_string_value(each)))) return why;
  }
  return NULL;
}

static const char *subscribe(peer *p, const json_t *q, json_t *out) {
  (void)out;
  return each_topic(p, q, nodes_subscribe);
}

static const char *unsubscribe(peer *p, const json_t *q, json_t *out) {
  (void)out;
  return each_topic(p, q, nodes_unsubscribe);
}

static const char *mesh(peer *p, const json_t *q, json_t *out) {
  router_mesh(p, node_topic(p, text_of(q, "topic", p->topics[0])), out);
  return NULL;
}

static const char *reset(peer *p, const json_t *q, json_t *out) {
  (void)out;
  return counter_reset(&p->counter, q);
}

static const char *publish(peer *p, const json_t *q, json_t *out) {
  (void)out;
  return publisher_start(p, q);
}

static const char *lat(peer *p, const json_t *q, json_t *out) {
  (void)q;
  counter_latencies(&p->counter, out);
  return NULL;
}

static const char *disconnect(peer *p, const json_t *q, json_t *out) {
  (void)out;
  msub_peer_id id;
  const char *text = text_of(q, "peer", "");
  if (msub_peer_id_parse(text, &id) != MSUB_OK) return "peer: no peer id";
  int err = msub_host_disconnect(p->nodes[0].host, msub_peer_id_bytes(&id));
  return err == MSUB_OK ? NULL : err == MSUB_ERR_NOTFOUND ? "not connected" : msub_err_text(err);
}

static const char *peers(peer *p, const json_t *q, json_t *out) {
  (void)q;
  msub_host_peer v;
  json_t *list = json_array();
  for (size_t i = 0; msub_host_peer_at(p->nodes[0].host, i, &v) == MSUB_OK; i++) {
    json_t *one = json_object(), *protocols = json_array();
    for (size_t k = 0; k < v.n_protocols; k++) json_array_append_new(protocols, json_string(v.protocols[k]));
    json_object_set_new(one, "peer", json_peer(v.peer_id));
    json_object_set_new(one, "protocol", json_string(v.protocol ? v.protocol : ""));
    json_object_set_new(one, "addr", json_string(v.addr.n ? addr_text(v.addr) : ""));
    json_object_set_new(one, "inbound", json_boolean(!v.outbound));
    json_object_set_new(one, "agent", json_string(v.agent ? v.agent : ""));
    json_object_set_new(one, "protocols", protocols);
    json_object_set_new(one, "conns", json_integer(v.connections));
    json_object_set_new(one, "agreed", json_boolean(v.agreed));
    json_object_set_new(one, "queued_bytes", json_integer((json_int_t)v.queued_bytes));
    json_array_append_new(list, one);
  }
  json_object_set_new(out, "peers", list);
  return NULL;
}

static const char *topics(peer *p, const json_t *q, json_t *out) {
  (void)q;
  const peer_node *n = &p->nodes[0];
  const msub_engine *e = msub_host_engine(n->host);
  json_t *all = json_object();
  for (size_t i = 0; i < n->n_topics; i++) {
    json_t *list = json_array();
    for (size_t k = 0; k < msub_topic_peers(e, n->topics[i].t); k++) {
      msub_peer peer_of_topic = msub_topic_peer(e, n->topics[i].t, k);
      json_array_append_new(list, json_peer(msub_peer_bytes(msub_engine_shared(e), peer_of_topic)));
    }
    json_object_set_new(all, n->topics[i].name, list);
  }
  json_object_set_new(out, "topics", all);
  return NULL;
}

/* Joins the topic when it must, because only members publish. A "seqno" is what the message says, whatever came before. */
static const char *send_one(peer *p, const json_t *q, json_t *out) {
  const char *topic = text_of(q, "topic", p->topics[0]);
  uint8_t *data;
  size_t n;
  if (!read_hex(text_of(q, "data", ""), &data, &n)) return "data: not hex";
  const char *why = node_topic(p, topic) ? NULL : nodes_subscribe(p, topic);
  if (!why) {
    msub_host *h = p->nodes[0].host;
    p->recipients = 0;
    msub_author as;
    msub_author_init(&as);
    as.numbered = json_object_get(q, "seqno") != NULL;
    as.seqno = number_of(q, "seqno", 0);
    int err = msub_publish_as(msub_host_engine(h), node_topic(p, topic)->t, (msub_bytes){ data, n }, &as, msub_host_now(h), NULL);
    if (err != MSUB_OK) why = msub_err_text(err);
    json_object_set_new(out, "recipients", json_integer(p->recipients));
  }
  free(data);
  return why;
}

/* Messages that go out together, by the batch of publish.h. */
static const char *batch(peer *p, const json_t *q, json_t *out) {
  const char *topic = text_of(q, "topic", p->topics[0]);
  json_t *list = json_object_get(q, "messages"), *each;
  size_t i, n = json_array_size(list);
  if (!n) return "messages: not a list of hex";
  const char *why = node_topic(p, topic) ? NULL : nodes_subscribe(p, topic);
  if (why) return why;
  msub_host *h = p->nodes[0].host;
  msub_topic t = node_topic(p, topic)->t;
  msub_batch *b;
  int err = msub_batch_new(msub_host_engine(h), &b);
  if (err != MSUB_OK) return msub_err_text(err);
  json_array_foreach(list, i, each) {
    msub_bytes data;
    uint8_t *bytes;
    if (!json_is_string(each) || !read_hex(json_string_value(each), &bytes, &data.n)) {
      why = "messages: not a list of hex";
      break;
    }
    data.p = bytes;
    err = msub_batch_add(b, t, data, NULL);
    free(bytes);
    if (err != MSUB_OK) break;
  }
  if (!why && err == MSUB_OK) err = msub_batch_publish(b, NULL, NULL, msub_host_now(h));
  uint64_t recipients = 0;
  for (i = 0; !why && err == MSUB_OK && i < n; i++) {
    const msub_published *r = msub_batch_result(b, i);
    err = r ? r->err : MSUB_ERR_STATE;
    if (err == MSUB_OK) recipients += r->recipients;
  }
  json_object_set_new(out, "recipients", json_integer((json_int_t)recipients));
  msub_batch_free(b);
  return why ? why : err == MSUB_OK ? NULL : msub_err_text(err);
}

static const char *scores(peer *p, const json_t *q, json_t *out) {
  (void)q;
  return score_report(p, out);
}

static const char *inbox_request(peer *p, const json_t *q, json_t *out) {
  inbox_take(&p->inbox, msub_engine_shared(msub_host_engine(p->nodes[0].host)), q, out);
  return NULL;
}

static const char *counters(peer *p, const json_t *q, json_t *out) {
  (void)q;
  const msub_engine *e = msub_host_engine(p->nodes[0].host);
  const msub_counts *c = msub_count(e);
  const msub_host_counts *h = msub_host_count(p->nodes[0].host);
  json_t *engine = json_object(), *host = json_object(), *reasons = json_object();
#define MSUB_X(name) json_object_set_new(engine, #name, json_integer((json_int_t)c->name));
  MSUB_COUNTS(MSUB_X)
#undef MSUB_X
#define MSUB_X(name) json_object_set_new(host, #name, json_integer((json_int_t)h->name));
  MSUB_HOST_COUNTS(MSUB_X)
#undef MSUB_X
  for (int r = 0; r < MSUB_REASONS; r++) {
    uint64_t n = msub_count_reason(e, r);
    if (n) json_object_set_new(reasons, msub_reason_name(r), json_integer((json_int_t)n));
  }
  json_object_set_new(out, "engine", engine);
  json_object_set_new(out, "host", host);
  json_object_set_new(out, "reasons", reasons);
  if (p->trace.on) trace_counters(&p->trace, out);
  return NULL;
}

static const char *rpcs(peer *p, const json_t *q, json_t *out) {
  (void)q;
  trace_take(&p->trace, out);
  return NULL;
}

/* Ends the files of cfg.trace_files. */
static const char *trace_request(peer *p, const json_t *q, json_t *out) {
  (void)q;
  trace_close(&p->trace, out);
  return NULL;
}

static const char *control(peer *p, const json_t *q, json_t *out) {
  (void)out;
  return router_control(p, q);
}

/* ---- the process ---- */

static void memory(json_t *out) {
  FILE *f = fopen("/proc/self/status", "r");
  char line[256];
  unsigned long long kib;
  while (f && fgets(line, sizeof line, f)) {
    if (sscanf(line, "VmRSS: %llu", &kib) == 1)
      json_object_set_new(out, "rss", json_integer((json_int_t)(kib << 10)));
    if (sscanf(line, "VmHWM: %llu", &kib) == 1)
      json_object_set_new(out, "hwm", json_integer((json_int_t)(kib << 10)));
  }
  if (f) fclose(f);
  struct mallinfo2 heap = mallinfo2();
  json_object_set_new(out, "heap", json_integer((json_int_t)(heap.uordblks + heap.hblkhd)));
}

static const char *stats(peer *p, const json_t *q, json_t *out) {
  struct rusage u;
  if (flag_of(q, "gc", false)) malloc_trim(0);
  getrusage(RUSAGE_SELF, &u);
  int64_t user = (int64_t)u.ru_utime.tv_sec * 1000000 + u.ru_utime.tv_usec;
  int64_t sys = (int64_t)u.ru_stime.tv_sec * 1000000 + u.ru_stime.tv_usec;
  json_object_set_new(out, "cpu_us", json_integer(user + sys));
  json_object_set_new(out, "user_us", json_integer(user));
  json_object_set_new(out, "sys_us", json_integer(sys));
  json_object_set_new(out, "recv", json_integer((json_int_t)p->counter.n));
  memory(out);
  return NULL;
}

static const char *stop(peer *p, const json_t *q, json_t *out) {
  (void)q, (void)out;
  p->quit = true;
  return NULL;
}

/* The reply comes when the last dial has ended (main.c). */
static const char *dial_request(peer *p, const json_t *q, json_t *out) {
  (void)out;
  return dial_begin(p, text_of(q, "addr", NULL));
}

static const char *connect_direct(peer *p, const json_t *q, json_t *out) {
  (void)out;
  const char *addr = text_of(q, "addr", NULL), *why = router_add_direct(p, addr);
  return why ? why : dial_begin(p, addr);
}

static const struct request {
  const char *op;
  request_fn *run;
  bool before_start;
} requests[] = {
  { "start", start, true },
  { "stats", stats, true },
  { "stop", stop, true },
  { "addrs", addrs, false },
  { "dial", dial_request, false },
  { "listen", listen_request, false },
  { "handle", handle_request, false },
  { "subscribe", subscribe, false },
  { "unsubscribe", unsubscribe, false },
  { "mesh", mesh, false },
  { "reset", reset, false },
  { "publish", publish, false },
  { "lat", lat, false },
  { "disconnect", disconnect, false },
  { "peers", peers, false },
  { "topics", topics, false },
  { "send", send_one, false },
  { "batch", batch, false },
  { "scores", scores, false },
  { "inbox", inbox_request, false },
  { "counters", counters, false },
  { "connect_direct", connect_direct, false },
  { "control", control, false },
  { "rpcs", rpcs, false },
  { "partial_add", partial_add, false },
  { "partial_publish", partial_publish, false },
  { "partial_state", partial_state, false },
  { "trace", trace_request, false },
  { "state", state_request, false },
  { "metrics", metrics_request, false },
  { "rendezvous", rendezvous_counts, false },
  { "ipns_key", ipns_key, false },
  { "ipns_publish", ipns_publish, false },
  { "ipns_resolve", ipns_resolve, false },
  { "ipns_record", ipns_record, false },
  { "ipns_follow", ipns_follow, false },
  { "ipns_keep", ipns_keep, false },
  { "ipns_put", ipns_put, false },
  { "ipns_names", ipns_names, false },
  { "register_join", register_join, false },
  { "register_put", register_put, false },
  { "register_get", register_get, false },
};

static const struct request *find_request(const char *op) {
  for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
    if (strcmp(requests[i].op, op) == 0) return &requests[i];
  return NULL;
}

void request_line(peer *p, msub_bytes line) {
  json_error_t where;
  json_t *q = json_loadb((const char *)line.p, line.n, 0, &where);
  if (!json_is_object(q)) {
    event_error("request is no JSON object: %s", q ? "another value" : where.text);
    json_decref(q);
    return;
  }
  const char *op = text_of(q, "op", ""), *why;
  json_t *id = json_object_get(q, "id"), *out = json_object();
  const struct request *r = find_request(op);
  if (!r)
    why = "unknown request";
  else if (!p->started && !r->before_start)
    why = "not started";
  else
    why = r->run(p, q, out);
  if (!why && p->dial.running && !p->dial_id) {
    p->dial_id = id ? json_incref(id) : json_null();
    json_decref(out);
  } else if (!why && p->ipns.waiting && !p->ipns.id) {
    p->ipns.op = r->op;
    p->ipns.id = id ? json_incref(id) : json_null();
    json_decref(out);
  } else {
    reply(op, id, out, why);
  }
  json_decref(q);
}
