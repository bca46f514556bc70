/* What goes over the sessions, counted by kind and, on request, written down RPC by RPC. */
#include "bench/peer/peer.h"
#include <meshsub/rpc.h>
#include <stdlib.h>
#include <string.h>

#define IDS_MAX 64 /* of a kind, in the log's entry of an RPC */

/* ---- the log ---- */

typedef struct entry {
  json_t *j, *messages, *subs, *ihave, *iwant, *graft, *prune, *idontwant;
} entry;

static entry entry_new(bool in, msub_bytes peer_id) {
  entry e = { json_object(), json_array(), json_array(), json_array(),
              json_array(),  json_array(), json_array(), json_array() };
  json_object_set_new(e.j, "in", json_boolean(in));
  json_object_set_new(e.j, "peer", json_peer(peer_id));
  json_object_set_new(e.j, "ns", json_integer((json_int_t)mono_ns()));
  json_object_set_new(e.j, "subs", e.subs);
  json_object_set_new(e.j, "messages", e.messages);
  json_object_set_new(e.j, "ihave", e.ihave);
  json_object_set_new(e.j, "iwant", e.iwant);
  json_object_set_new(e.j, "graft", e.graft);
  json_object_set_new(e.j, "prune", e.prune);
  json_object_set_new(e.j, "idontwant", e.idontwant);
  return e;
}

static json_t *topic_text(msub_bytes topic) { return json_stringn((const char *)topic.p, topic.n); }

static void put_id(json_t *list, msub_bytes id) {
  if (json_array_size(list) < IDS_MAX) json_array_append_new(list, json_hex(id));
}

static void put_message(entry *e, msub_bytes data) {
  put_id(e->messages, (msub_bytes){ data.p, data.n < 16 ? data.n : 16 });
}

static void put_sub(entry *e, bool on, msub_bytes topic) {
  json_t *j = json_object();
  json_object_set_new(j, "on", json_boolean(on));
  json_object_set_new(j, "topic", topic_text(topic));
  json_array_append_new(e->subs, j);
}

static json_t *put_prune(entry *e, msub_bytes topic, bool has_backoff, uint64_t backoff) {
  json_t *j = json_object(), *px = json_array();
  json_object_set_new(j, "topic", topic_text(topic));
  json_object_set_new(j, "backoff", has_backoff ? json_integer((json_int_t)backoff) : json_null());
  json_object_set_new(j, "px", px);
  json_array_append_new(e->prune, j);
  return px;
}

static void put_px(json_t *list, const msub_px *px) {
  json_t *j = json_object();
  json_object_set_new(j, "peer", json_peer(px->peer_id));
  json_object_set_new(j, "record", json_integer((json_int_t)px->record.n));
  json_array_append_new(list, j);
}

static json_t *put_ihave(entry *e, msub_bytes topic) {
  json_t *j = json_object(), *ids = json_array();
  json_object_set_new(j, "topic", topic_text(topic));
  json_object_set_new(j, "ids", ids);
  json_array_append_new(e->ihave, j);
  return ids;
}

static void keep(trace *t, entry *e) {
  if (t->limit == 0) {
    json_decref(e->j);
    return;
  }
  if (!t->rpcs) t->rpcs = json_array();
  if (json_array_size(t->rpcs) < t->limit) {
    json_array_append_new(t->rpcs, e->j);
  } else {
    t->dropped++;
    json_decref(e->j);
  }
}

/* ---- received: a frame ---- */

static void put_ids(json_t *list, msub_ids *ids) {
  msub_bytes id;
  while (msub_ids_next(ids, &id)) put_id(list, id);
}

static void put_part(entry *e, msub_part kind, msub_rpc_part *part) {
  msub_px px;
  json_t *list;
  switch (kind) {
  case MSUB_P_SUBSCRIPTION: put_sub(e, part->subscribe, part->topic); break;
  case MSUB_P_MESSAGE: put_message(e, part->msg.data); break;
  case MSUB_P_IHAVE: put_ids(put_ihave(e, part->topic), &part->ids); break;
  case MSUB_P_IWANT: put_ids(e->iwant, &part->ids); break;
  case MSUB_P_IDONTWANT: put_ids(e->idontwant, &part->ids); break;
  case MSUB_P_GRAFT: json_array_append_new(e->graft, topic_text(part->topic)); break;
  case MSUB_P_PRUNE:
    list = put_prune(e, part->topic, part->has_backoff, part->backoff_s);
    while (msub_px_next(&part->px, &px)) put_px(list, &px);
    break;
  default: break;
  }
}

static void count_frame(traffic *v, msub_bytes frame) {
  msub_rpc_counts c;
  if (msub_rpc_scan(frame, NULL, &c) != MSUB_OK) return;
  v->messages += c.publish;
  v->graft += c.graft;
  v->prune += c.prune;
  v->ihave += c.ihave;
  v->iwant += c.iwant;
  v->idontwant += c.idontwant;
}

static void log_frame(trace *t, msub_bytes peer_id, msub_bytes frame) {
  if (msub_rpc_scan(frame, NULL, &(msub_rpc_counts){ 0 }) != MSUB_OK) return;
  msub_rpc_iter it;
  msub_rpc_part part;
  entry e = entry_new(true, peer_id);
  msub_rpc_begin(&it, frame);
  for (msub_part kind; (kind = msub_rpc_next(&it, &part)) != MSUB_P_END;) put_part(&e, kind, &part);
  keep(t, &e);
}

/* ---- sent: what the engine handed over ---- */

static void put_entry(entry *e, const msub_shared *sh, const msub_ctl_entry *c) {
  msub_bytes topic = msub_name_bytes(sh, c->topic_name);
  json_t *list = NULL;
  switch (c->kind) {
  case MSUB_C_SUB: put_sub(e, true, topic); break;
  case MSUB_C_UNSUB: put_sub(e, false, topic); break;
  case MSUB_C_IHAVE: list = put_ihave(e, topic); break;
  case MSUB_C_IWANT: list = e->iwant; break;
  case MSUB_C_IDONTWANT: list = e->idontwant; break;
  case MSUB_C_GRAFT: json_array_append_new(e->graft, topic_text(topic)); break;
  case MSUB_C_PRUNE:
    list = put_prune(e, topic, c->backoff_s != 0 || c->n_px != 0, c->backoff_s);
    for (size_t i = 0; i < c->n_px; i++) put_px(list, &c->px[i]);
    list = NULL;
    break;
  default: break;
  }
  for (size_t i = 0; list && i < c->n_ids; i++) put_id(list, c->ids[i]);
}

static void count_rpc(traffic *v, const msub_rpc *rpc) {
  v->messages += rpc->n_msgs;
  for (size_t i = 0; rpc->ctl && i < rpc->ctl->n; i++) {
    switch (rpc->ctl->e[i].kind) {
    case MSUB_C_IHAVE: v->ihave++; break;
    case MSUB_C_IWANT: v->iwant++; break;
    case MSUB_C_IDONTWANT: v->idontwant++; break;
    case MSUB_C_GRAFT: v->graft++; break;
    case MSUB_C_PRUNE: v->prune++; break;
    default: break;
    }
  }
}

static void log_rpc(trace *t, const msub_shared *sh, msub_bytes peer_id, const msub_rpc *rpc) {
  entry e = entry_new(false, peer_id);
  for (size_t i = 0; i < rpc->n_msgs; i++) put_message(&e, msub_data(rpc->msgs[i]));
  for (size_t i = 0; rpc->ctl && i < rpc->ctl->n; i++) put_entry(&e, sh, &rpc->ctl->e[i]);
  keep(t, &e);
}

/* ---- all of it ---- */

const char *trace_open(trace *t, const json_t *paths) {
  const json_t *path;
  size_t i;
  if (json_array_size(paths) > TRACE_FILES) return "trace_files: at most 4";
  json_array_foreach(paths, i, path) {
    msub_trace_file_opts o;
    const char *why = "trace_files: not a list of texts";
    msub_trace_file_opts_init(&o);
    o.path = json_string_value(path);
    if (!o.path || msub_trace_file_open(&o, &t->files[t->n_files], &why) != MSUB_OK) return why;
    t->n_files++;
  }
  return NULL;
}

void trace_close(trace *t, json_t *out) {
  json_t *files = json_array();
  for (size_t i = 0; i < t->n_files; i++) {
    msub_trace_file_counts c;
    json_t *j = json_object(), *kinds = json_object();
    json_object_set_new(j, "whole", json_boolean(msub_trace_file_close(t->files[i], &c) == MSUB_OK));
    json_object_set_new(j, "events", json_integer((json_int_t)c.events));
    json_object_set_new(j, "lost", json_integer((json_int_t)c.lost));
    json_object_set_new(j, "bytes", json_integer((json_int_t)c.bytes));
    for (int k = 0; k < MSUB_EVENTS; k++) json_object_set_new(kinds, msub_event_name(k), json_integer((json_int_t)c.kinds[k]));
    json_object_set_new(j, "kinds", kinds);
    json_array_append_new(files, j);
  }
  t->n_files = 0;
  if (out) json_object_set(out, "files", files);
  json_decref(files);
}

void trace_event(trace *t, msub_host *h, const msub_event *ev) {
  for (size_t i = 0; i < t->n_files; i++) msub_trace_file_add(t->files[i], msub_host_engine(h), ev);
  const msub_shared *sh = msub_engine_shared(msub_host_engine(h));
  switch (ev->kind) {
  case MSUB_T_RECV_RPC:
    t->received.rpcs++;
    if (ev->frame.n) count_frame(&t->received, ev->frame);
    if (ev->frame.n && t->limit) log_frame(t, msub_peer_bytes(sh, ev->peer), ev->frame);
    break;
  case MSUB_T_SEND_RPC:
    t->sent.rpcs++;
    if (ev->rpc) count_rpc(&t->sent, ev->rpc);
    if (ev->rpc && t->limit) log_rpc(t, sh, msub_peer_bytes(sh, ev->peer), ev->rpc);
    break;
  case MSUB_T_DROP_RPC: t->dropped_rpcs++; break;
  case MSUB_T_DUPLICATE: t->duplicates++; break;
  case MSUB_T_DELIVER: t->delivered++; break;
  case MSUB_T_EXTENSION: t->tests += strcmp(ev->text, "test") == 0; break;
  case MSUB_T_WITHDRAW: t->withdrawn += ev->n; break;
  default: break;
  }
}

static json_t *traffic_json(const traffic *v) {
  json_t *j = json_object();
  json_object_set_new(j, "rpcs", json_integer((json_int_t)v->rpcs));
  json_object_set_new(j, "messages", json_integer((json_int_t)v->messages));
  json_object_set_new(j, "graft", json_integer((json_int_t)v->graft));
  json_object_set_new(j, "prune", json_integer((json_int_t)v->prune));
  json_object_set_new(j, "ihave", json_integer((json_int_t)v->ihave));
  json_object_set_new(j, "iwant", json_integer((json_int_t)v->iwant));
  json_object_set_new(j, "idontwant", json_integer((json_int_t)v->idontwant));
  return j;
}

void trace_counters(const trace *t, json_t *out) {
  json_object_set_new(out, "sent", traffic_json(&t->sent));
  json_object_set_new(out, "received", traffic_json(&t->received));
  json_object_set_new(out, "delivered", json_integer((json_int_t)t->delivered));
  json_object_set_new(out, "duplicates", json_integer((json_int_t)t->duplicates));
  json_object_set_new(out, "withdrawn", json_integer((json_int_t)t->withdrawn));
  json_t *drops = json_object();
  json_object_set_new(drops, "queue_full", json_integer((json_int_t)t->dropped_rpcs));
  json_object_set_new(out, "drops", drops);
}

void trace_take(trace *t, json_t *out) {
  json_object_set_new(out, "rpcs", t->rpcs ? t->rpcs : json_array());
  json_object_set_new(out, "dropped", json_integer((json_int_t)t->dropped));
  t->rpcs = NULL;
  t->dropped = 0;
}

void trace_clear(trace *t) {
  json_decref(t->rpcs);
  trace_close(t, NULL);
  *t = (trace){ 0 };
}
