/* cfg.ipns, {"store":DIR,"keep_open":bool,"rebroadcast_ms","idle_ms"}: the first node publishes, follows and keeps IPNS names (names.h). Requests that wait for a disk or
 * for peers are answered when they are over; as with a dial, no other one is read meanwhile. */
#include "bench/peer/peer.h"
#include <meshsub/guard.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#ifdef MSUB_STORE_DISK
#include <meshsub/store_disk.h>
#endif

#define CHANGES 64

typedef struct label {
  char *text;
  msub_key *key;
} label;

typedef struct change {
  msub_peer_id name;
  uint64_t at;
} change;

struct ipns {
  peer *p;
  msub_names *names;
  msub_fetch *fetch;
#ifdef MSUB_STORE_DISK
  msub_store_disk *disk;
#endif
  label *labels;
  size_t n_labels;
  uint64_t begun;
  change changes[CHANGES]; /* the last ones, in a ring */
  size_t n_changes;
};

/* ---- the store ---- */

#ifdef MSUB_STORE_DISK
static void on_durable(void *ud, msub_token token, int result) { (void)msub_names_durable(((ipns *)ud)->names, token, result); }

static const char *open_store(ipns *x, const char *dir, msub_store *out) {
  static char why[MSUB_STORE_WHY];
  msub_store_disk_opts o;
  if (!dir) return NULL;
  msub_store_disk_opts_init(&o);
  o.dir = dir;
  if (msub_store_disk_open(&o, &x->disk, why) != MSUB_OK) return why;
  *out = msub_store_disk_store(x->disk);
  out->ops->listen(out->s, on_durable, x);
  return NULL;
}

int ipns_fd(const ipns *x) { return x && x->disk ? msub_store_disk_fd(x->disk) : -1; }

static void turn_store(ipns *x, const msub_now *now) {
  if (!x->disk) return;
  msub_store s = msub_store_disk_store(x->disk);
  s.ops->turn(s.s, now);
}

static uint64_t store_next(const ipns *x) {
  if (!x->disk) return MSUB_NEVER;
  msub_store s = msub_store_disk_store(x->disk);
  return s.ops->next_deadline(s.s);
}

static void close_store(ipns *x) {
  if (x->disk && msub_store_disk_free(x->disk) != MSUB_OK) event_error("ipns: the last of it could not be stored");
}
#else
static const char *open_store(ipns *x, const char *dir, msub_store *out) {
  (void)x, (void)out;
  return dir ? "ipns: built without a store on disk" : NULL;
}

int ipns_fd(const ipns *x) { return (void)x, -1; }
static void turn_store(ipns *x, const msub_now *now) { (void)x, (void)now; }
static uint64_t store_next(const ipns *x) { return (void)x, MSUB_NEVER; }
static void close_store(ipns *x) { (void)x; }
#endif

/* ---- life ---- */

static void changed(void *ud, const msub_names_view *v) {
  ipns *x = ud;
  x->changes[x->n_changes++ % CHANGES] = (change){ msub_peer_id_of(v->name), mono_ns() };
}

/* When the record of a name was last replaced by a better one; 0: too long ago. */
static uint64_t changed_at(const ipns *x, msub_bytes name) {
  for (size_t k = x->n_changes; k > 0 && k + CHANGES > x->n_changes; k--) {
    const change *c = &x->changes[(k - 1) % CHANGES];
    msub_bytes known = msub_peer_id_bytes(&c->name);
    if (known.n == name.n && memcmp(known.p, name.p, name.n) == 0) return c->at;
  }
  return 0;
}

static msub_now now_of(const ipns *x) { return *msub_host_now(x->p->nodes[0].host); }

const char *ipns_start(peer *p, const json_t *q) {
  const json_t *cfg = json_object_get(q, "ipns");
  if (!cfg) return NULL;
  msub_host *h = p->nodes[0].host;
  ipns *x = p->ipns.x = take(sizeof *x);
  *x = (ipns){ .p = p };
  msub_names_opts o;
  msub_names_opts_init(&o);
  const char *why = open_store(x, text_of(cfg, "store", NULL), &o.store);
  if (why) return why;
  int err = msub_fetch_new(NULL, msub_host_exchange(h), &x->fetch);
  if (err != MSUB_OK) return "ipns: fetch is served already";
  o.engine = msub_host_engine(h);
  o.fetch = x->fetch;
  if (getrandom(&o.seed, sizeof o.seed, 0) != sizeof o.seed) return "ipns: no random numbers";
  o.rebroadcast_ns = number_of(cfg, "rebroadcast_ms", o.rebroadcast_ns / 1000000) * 1000000;
  o.idle_ns = number_of(cfg, "idle_ms", o.idle_ns / 1000000) * 1000000;
  o.ud = x;
  o.changed = changed;
  msub_now now = now_of(x);
  if ((err = msub_names_new(&o, &now, &x->names)) != MSUB_OK) return msub_err_text(err);
  if (flag_of(cfg, "keep_open", false)) {
    const msub_topic_filter heard = { .abi = MSUB_ABI, .size = sizeof heard, .name = "ipns", .allows = msub_names_heard };
    msub_names_keep_open(x->names, true);
    if (msub_filter_topics(o.engine, &heard, x->names) != MSUB_OK) return "ipns: topics cannot be watched";
  }
  return NULL;
}

void ipns_stop(peer *p) {
  ipns *x = p->ipns.x;
  if (!x) return;
  if (x->names) {
    msub_now now = now_of(x);
    msub_names_free(x->names, &now);
  }
  msub_fetch_free(x->fetch);
  close_store(x);
  for (size_t i = 0; i < x->n_labels; i++) {
    free(x->labels[i].text);
    msub_key_free(x->labels[i].key);
  }
  free(x->labels);
  free(x);
  json_decref(p->ipns.id);
  p->ipns = (ipns_state){ 0 };
}

uint64_t ipns_next(const ipns *x) {
  if (!x || !x->names) return MSUB_NEVER;
  uint64_t a = msub_names_next_deadline(x->names), b = store_next(x);
  return a < b ? a : b;
}

void ipns_turn(ipns *x) {
  if (!x || !x->names) return;
  msub_now now = { mono_ns(), (int64_t)wall_ns() };
  turn_store(x, &now);
  msub_names_turn(x->names, &now);
}

static bool speaks_fetch(msub_host *h, msub_bytes id) {
  msub_host_peer v;
  for (size_t i = 0; msub_host_peer_at(h, i, &v) == MSUB_OK; i++) {
    if (v.peer_id.n != id.n || memcmp(v.peer_id.p, id.p, id.n) != 0) continue;
    for (size_t k = 0; k < v.n_protocols; k++)
      if (strcmp(v.protocols[k], MSUB_FETCH_PROTOCOL) == 0) return true;
  }
  return false;
}

void ipns_event(ipns *x, msub_host *h, const msub_host_event *ev) {
  if (!x || !x->names) return;
  if (ev->kind == MSUB_EV_CONNECTED) msub_names_connected(x->names, ev->peer_id, ev->outbound);
  if (ev->kind == MSUB_EV_IDENTIFIED) msub_names_identified(x->names, ev->peer_id, speaks_fetch(h, ev->peer_id));
  if (ev->kind == MSUB_EV_TOPIC_JOIN) msub_names_announced(x->names, ev->topic, ev->peer_id);
  if (ev->kind == MSUB_EV_DISCONNECTED && ev->last) msub_names_disconnected(x->names, ev->peer_id);
}

/* ---- requests ---- */

static void answer(ipns *x, json_t *out, const char *why) {
  ipns_state *s = &x->p->ipns;
  reply(s->op, s->id, out, why);
  json_decref(s->id);
  s->id = NULL;
  s->waiting = false;
}

static const char *wait_for(ipns *x, int err) {
  if (err == MSUB_OK || err == MSUB_MORE) x->p->ipns.waiting = true;
  return x->p->ipns.waiting ? NULL : msub_err_text(err);
}

static void describe(const msub_names_view *v, json_t *out) {
  char name[MSUB_IPNS_NAME_TEXT];
  json_object_set_new(out, "name", json_string(msub_ipns_name_text(v->name, name)));
  if (!v->has_record) return;
  json_object_set_new(out, "value", json_stringn((const char *)v->record.value.p, v->record.value.n));
  json_object_set_new(out, "sequence", json_integer((json_int_t)v->record.sequence));
  json_object_set_new(out, "source", json_string(msub_names_source_name((int)v->source)));
  json_object_set_new(out, "durable", json_boolean(v->durable));
}

static void done(void *ud, int result, const msub_names_view *v) {
  json_t *out = json_object();
  if (v) describe(v, out);
  json_object_set_new(out, "at_ns", json_integer((json_int_t)mono_ns()));
  answer(ud, out, result == MSUB_OK ? NULL : msub_err_text(result));
}

static void tell_times(const ipns *x, const msub_names_view *v, json_t *out) {
  json_object_set_new(out, "ns", json_integer((json_int_t)(mono_ns() - x->begun)));
  if (v && changed_at(x, v->name)) json_object_set_new(out, "changed_ns", json_integer((json_int_t)changed_at(x, v->name)));
}

static void resolved(void *ud, const msub_names_resolved *r) {
  ipns *x = ud;
  json_t *out = json_object();
  if (r->end == MSUB_NAMES_END_FOUND) describe(r->v, out);
  tell_times(x, r->v, out);
  answer(x, out, r->end == MSUB_NAMES_END_FOUND ? NULL : msub_names_end_text((int)r->end));
}

static ipns *of(peer *p, const json_t *q, msub_peer_id *name, const char **why) {
  *why = NULL;
  if (!p->ipns.x)
    *why = "no cfg.ipns";
  else if (name && msub_ipns_name_parse(text_of(q, "name", ""), name) != MSUB_OK)
    *why = "name: no IPNS name";
  return p->ipns.x;
}

static label *labelled(ipns *x, const char *text) {
  for (size_t i = 0; i < x->n_labels; i++)
    if (strcmp(x->labels[i].text, text) == 0) return &x->labels[i];
  return NULL;
}

/* Under "label": a new one, or that of "key"; the key stays as long as the node. */
static const char *add_key(ipns *x, const json_t *q, label **out) {
  const char *hex = text_of(q, "key", NULL), *text = text_of(q, "label", hex ? hex : "");
  label *known = labelled(x, text);
  uint8_t *bytes;
  size_t n;
  msub_key *k = NULL;
  *out = known;
  if (known) return hex && strcmp(hex, text) == 0 ? NULL : "label: there is such a key";
  if (!hex) {
    if (msub_key_generate_type(MSUB_KEY_ED25519, 0, &k) != MSUB_OK) return "no key can be made";
  } else {
    if (!read_hex(hex, &bytes, &n)) return "key: not hex";
    int err = msub_key_import((msub_bytes){ bytes, n }, &k);
    explicit_bzero(bytes, n);
    free(bytes);
    if (err != MSUB_OK) return "key: no libp2p private key that can sign here";
  }
  msub_now now = now_of(x);
  int err = msub_names_own(x->names, k, &now);
  if (err != MSUB_OK) {
    msub_key_free(k);
    return msub_err_text(err);
  }
  x->labels = grow(x->labels, x->n_labels + 1, sizeof *x->labels);
  *out = &x->labels[x->n_labels++];
  **out = (label){ strdup(text), k };
  return NULL;
}

const char *ipns_key(peer *p, const json_t *q, json_t *out) {
  const char *why;
  ipns *x = of(p, q, NULL, &why);
  label *l;
  if (why || (why = add_key(x, q, &l))) return why;
  size_t n = msub_key_export(l->key, NULL, 0);
  uint8_t *bytes = take(n);
  char name[MSUB_IPNS_NAME_TEXT];
  n = msub_key_export(l->key, bytes, n);
  json_object_set_new(out, "name", json_string(msub_ipns_name_text(msub_key_peer_id(l->key), name)));
  json_object_set_new(out, "key", json_hex((msub_bytes){ bytes, n }));
  explicit_bzero(bytes, n);
  free(bytes);
  return NULL;
}

const char *ipns_publish(peer *p, const json_t *q, json_t *out) {
  (void)out;
  const char *why;
  ipns *x = of(p, q, NULL, &why);
  if (why) return why;
  label *l = labelled(x, text_of(q, "label", text_of(q, "key", "")));
  if (!l && json_object_get(q, "key") && (why = add_key(x, q, &l))) return why;
  if (!l) return "label: no such key";
  msub_names_publish_opts o;
  msub_names_publish_opts_init(&o);
  o.value = msub_str(text_of(q, "value", ""));
  o.lifetime_ns = number_of(q, "lifetime_ns", o.lifetime_ns);
  o.ttl_ns = number_of(q, "ttl_ns", o.ttl_ns);
  o.sequenced = json_object_get(q, "sequence") != NULL;
  o.sequence = number_of(q, "sequence", 0);
  o.v2_only = flag_of(q, "v2_only", false);
  msub_now now = now_of(x);
  return wait_for(x, msub_names_publish(x->names, l->key, &o, &now, done, x));
}

const char *ipns_resolve(peer *p, const json_t *q, json_t *out) {
  msub_peer_id id;
  const char *why;
  ipns *x = of(p, q, &id, &why);
  if (why) return why;
  msub_names_view v;
  msub_now now = now_of(x);
  x->begun = mono_ns();
  uint64_t deadline = x->begun + number_of(q, "timeout_ms", 5000) * 1000000;
  int err = msub_names_resolve(x->names, msub_peer_id_bytes(&id), deadline, &now, resolved, x, &v, NULL);
  if (err != MSUB_OK) return wait_for(x, err);
  describe(&v, out);
  tell_times(x, &v, out);
  return NULL;
}

/* The bytes that are held, whether or not they have expired. */
const char *ipns_record(peer *p, const json_t *q, json_t *out) {
  msub_peer_id id;
  const char *why;
  ipns *x = of(p, q, &id, &why);
  msub_names_view v;
  if (why) return why;
  if (msub_names_get(x->names, msub_peer_id_bytes(&id), now_of(x).wall_ns, &v) != MSUB_OK) return NULL;
  describe(&v, out);
  json_object_set_new(out, "expired", json_boolean(v.expired));
  json_object_set_new(out, "record", json_hex(v.record.bytes));
  return NULL;
}

static const char *wish(peer *p, const json_t *q, int (*fn)(msub_names *n, msub_bytes name, const msub_now *now, msub_names_done done, void *ud)) {
  msub_peer_id id;
  const char *why;
  ipns *x = of(p, q, &id, &why);
  if (why) return why;
  msub_now now = now_of(x);
  return wait_for(x, fn(x->names, msub_peer_id_bytes(&id), &now, done, x));
}

const char *ipns_follow(peer *p, const json_t *q, json_t *out) {
  (void)out;
  return wish(p, q, msub_names_follow);
}

const char *ipns_keep(peer *p, const json_t *q, json_t *out) {
  (void)out;
  return wish(p, q, msub_names_keep);
}

const char *ipns_put(peer *p, const json_t *q, json_t *out) {
  (void)out;
  msub_peer_id id;
  const char *why;
  ipns *x = of(p, q, &id, &why);
  uint8_t *bytes;
  size_t n;
  msub_ipns_fault fault = MSUB_IPNS_OK;
  if (why) return why;
  if (!read_hex(text_of(q, "record", ""), &bytes, &n)) return "record: not hex";
  msub_now now = now_of(x);
  int err = msub_names_put(x->names, msub_peer_id_bytes(&id), (msub_bytes){ bytes, n }, true, &now, done, x, &fault);
  free(bytes);
  return err == MSUB_ERR_MALFORMED ? msub_ipns_fault_text(fault) : wait_for(x, err);
}

static bool list_one(void *ud, const msub_names_view *v) {
  static const struct { unsigned flag; const char *list; } lists[] = {
    { MSUB_NAMES_SUBSCRIBED, "follows" }, { MSUB_NAMES_KEPT, "kept" }, { MSUB_NAMES_KEPT_OPEN, "kept_open" }, { MSUB_NAMES_OWNED, "owned" }
  };
  char name[MSUB_IPNS_NAME_TEXT];
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
    if (v->flags & lists[i].flag) json_array_append_new(json_object_get(ud, lists[i].list), json_string(msub_ipns_name_text(v->name, name)));
  return true;
}

/* Who has announced the topic of a name. */
static json_t *subscribers(msub_engine *e, msub_bytes name) {
  char text[MSUB_IPNS_TOPIC_TEXT];
  json_t *list = json_array();
  msub_topic t = msub_topic_named(e, 0, msub_str(msub_ipns_topic(name, text)));
  for (size_t i = 0; t.v && i < msub_topic_peers(e, t); i++)
    json_array_append_new(list, json_peer(msub_peer_bytes(msub_engine_shared(e), msub_topic_peer(e, t, i))));
  return list;
}

const char *ipns_names(peer *p, const json_t *q, json_t *out) {
  msub_peer_id id;
  const char *why;
  bool one = json_object_get(q, "name") != NULL;
  ipns *x = of(p, q, one ? &id : NULL, &why);
  if (why) return why;
  if (one) json_object_set_new(out, "subscribers", subscribers(msub_host_engine(p->nodes[0].host), msub_peer_id_bytes(&id)));
  static const char *const lists[] = { "follows", "kept", "kept_open", "owned" };
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) json_object_set_new(out, lists[i], json_array());
  msub_names_iterate(x->names, 0, now_of(x).wall_ns, list_one, out);
  const msub_names_counts *c = msub_names_count(x->names);
  json_t *counts = json_object();
#define MSUB_X(name) json_object_set_new(counts, #name, json_integer((json_int_t)c->name));
  MSUB_NAMES_COUNTS(MSUB_X)
#undef MSUB_X
  json_object_set_new(out, "counts", counts);
  return NULL;
}
