/* Names and their keys for programs on this machine: the ops of the local socket that begin with "ipns_" (docs/socket.md). */
#include "cli/ipns_wait.h"
#include "cli/local.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The reasons live as long as it takes to send them. Takes the reference. */
static void tell(waiter *w, json_t *out, const char *why, const char *code) {
  if (w->who == WAITS_SOCKET) local_answer(w->n->local, w->ticket, out, why, code);
  else if (w->who == WAITS_PROGRAM) w->n->on_answer(w->n, out, why, code);
  else json_decref(out);
  wait_end(w);
}

static waiter *wait_with(node *n, const local_question *a) { return wait_begin(n, a->client ? WAITS_SOCKET : WAITS_PROGRAM, a->ticket); }

static const char *wrong(local_question *a, const char *code, const char *text) {
  static char kept[320];
  a->code = code;
  snprintf(kept, sizeof kept, "%s", text);
  return kept;
}

static const char *code_of(int err) {
  static char code[32];
  snprintf(code, sizeof code, "%s", msub_err_name(err) + strlen("MSUB_ERR_"));
  for (char *p = code; *p; p++)
    if (*p >= 'A' && *p <= 'Z') *p = (char)(*p + 32);
  return code;
}

static const char *text_of(const local_question *a, const char *key) { return json_string_value(json_object_get(a->q, key)); }

static const char *name_of(local_question *a, msub_peer_id *out) {
  const char *text = text_of(a, "name");
  if (text && msub_ipns_name_parse(text, out) == MSUB_OK) return NULL;
  return wrong(a, "inval", "\"name\" is missing: k51..., 12D3Koo..., Qm... or bafz...");
}

static json_t *key_json(const keyring_key *k) {
  json_t *j = json_object();
  json_object_set_new(j, "label", json_string(k->label));
  json_object_set_new(j, "name", json_string(ipns_name_of(msub_key_peer_id(k->key))));
  json_object_set_new(j, "peer", json_peer(msub_key_peer_id(k->key)));
  json_object_set_new(j, "type", json_string(key_type_name(msub_key_type_of(k->key))));
  return j;
}

/* ---- keys ---- */

static const char *no_store(local_question *a) {
  return wrong(a, "state", "this node has no store to keep keys in; start it with --store DIR");
}

static void key_kept(void *ud, int result, const keyring_key *k) {
  waiter *w = ud;
  if (result == MSUB_OK) tell(w, key_json(k), NULL, NULL);
  else tell(w, json_object(), "the store could not keep the key; the node's log says why", code_of(result));
}

static const char *add_key(node *n, local_question *a, msub_key *key) {
  char why[160];
  waiter *w = wait_with(n, a);
  int err = keyring_add(n->keys, text_of(a, "label"), key, key_kept, w, why);
  if (err == MSUB_OK) {
    a->later = true;
    return NULL;
  }
  wait_end(w);
  msub_key_free(key);
  return wrong(a, code_of(err), why);
}

static const char *label_wrong(const node *n, local_question *a) {
  const char *label = text_of(a, "label"), *bad = label ? keyring_label_wrong(label) : "\"label\" is missing: what the key is called";
  if (!n->keys) return no_store(a);
  return bad ? wrong(a, "inval", bad) : NULL;
}

/* An RSA key takes too long to be made while everything else waits. */
static const char *key_new(node *n, local_question *a) {
  const char *type_name = text_of(a, "type"), *why = label_wrong(n, a);
  msub_key_type type = MSUB_KEY_ED25519;
  msub_key *key;
  if (why) return why;
  if (type_name && (!key_type_named(type_name, &type) || type == MSUB_KEY_RSA))
    return wrong(a, "inval", "\"type\": ed25519, secp256k1 or ecdsa; make an RSA key yourself, and \"ipns_key_import\" it");
  int err = msub_key_generate_type(type, 0, &key);
  return err == MSUB_OK ? add_key(n, a, key) : wrong(a, code_of(err), msub_err_text(err));
}

static const char *key_import(node *n, local_question *a) {
  const char *why = label_wrong(n, a);
  const json_t *text = json_object_get(a->q, "key_base64");
  uint8_t *bytes;
  size_t size;
  msub_key *key;
  local_secret(a);
  if (why) return why;
  if (!json_is_string(text) || !read_base64(json_string_value(text), json_string_length(text), &bytes, &size))
    return wrong(a, "inval", "\"key_base64\" is missing: a libp2p PrivateKey");
  int err = msub_key_import((msub_bytes){ bytes, size }, &key);
  explicit_bzero(bytes, size);
  free(bytes);
  return err == MSUB_OK ? add_key(n, a, key) : wrong(a, code_of(err), "\"key_base64\": not a libp2p PrivateKey that can sign here");
}

static const keyring_key *key_of(const node *n, local_question *a, const char *member, const char **why) {
  const char *text = text_of(a, member);
  const keyring_key *k = n->keys && text ? keyring_find(n->keys, text) : NULL;
  if (!n->keys) *why = no_store(a);
  else if (!text) *why = wrong(a, "inval", "\"key\" is missing: a label, or the name of a key that is here");
  else if (!k) *why = wrong(a, "notfound", "there is no such key here; \"ipns_keys\" has them, \"ipns_key_new\" makes one");
  return k;
}

static const char *key_export(node *n, local_question *a) {
  const char *why = NULL;
  const keyring_key *k = key_of(n, a, "key", &why);
  uint8_t bytes[KEY_BYTES_MAX];
  if (!k) return why;
  local_secret(a);
  size_t size = msub_key_export(k->key, bytes, sizeof bytes);
  char *text = base64_text((msub_bytes){ bytes, size });
  json_t *j = key_json(k);
  json_object_update(a->out, j);
  json_decref(j);
  json_object_set_new(a->out, "key_base64", json_string(text));
  explicit_bzero(bytes, sizeof bytes);
  explicit_bzero(text, strlen(text));
  free(text);
  return NULL;
}

static const char *keys(node *n, local_question *a) {
  json_t *all = json_array();
  if (!n->keys) {
    json_decref(all);
    return no_store(a);
  }
  for (size_t i = 0; keyring_at(n->keys, i); i++) json_array_append_new(all, key_json(keyring_at(n->keys, i)));
  json_object_set_new(a->out, "keys", all);
  return NULL;
}

/* ---- records ---- */

static void published(void *ud, int result, const msub_names_view *v) {
  waiter *w = ud;
  if (result == MSUB_OK && v) tell(w, ipns_json(v), NULL, NULL);
  else tell(w, json_object(), "the store could not keep the record, so it was not published; the node's log says why", code_of(result));
}

static bool duration_in(const local_question *a, const char *key, uint64_t *out) {
  return !json_object_get(a->q, key) || local_number(a->q, key, INT64_MAX, out);
}

static const char *publish(node *n, local_question *a) {
  const char *why = NULL;
  const json_t *value = json_object_get(a->q, "value");
  msub_names_publish_opts o;
  const keyring_key *k = key_of(n, a, "key", &why);
  if (!k) return why;
  msub_names_publish_opts_init(&o);
  if (!json_is_string(value) || json_string_length(value) == 0) return wrong(a, "inval", "\"value\" is missing: what the name points to, \"/ipfs/...\"");
  o.value = (msub_bytes){ (const uint8_t *)json_string_value(value), json_string_length(value) };
  o.sequenced = json_object_get(a->q, "sequence") != NULL;
  o.v2_only = json_is_true(json_object_get(a->q, "v2_only"));
  if ((o.sequenced && !local_number(a->q, "sequence", INT64_MAX, &o.sequence)) || !duration_in(a, "lifetime_ns", &o.lifetime_ns) || !duration_in(a, "ttl_ns", &o.ttl_ns))
    return wrong(a, "inval", "\"sequence\", \"lifetime_ns\", \"ttl_ns\": numbers");
  waiter *w = wait_with(n, a);
  msub_names *names = ipns_names(n->ipns);
  const msub_now *now = msub_host_now(n->host);
  int err = msub_names_own(names, k->key, now);
  if (err == MSUB_OK || err == MSUB_ERR_CLAIMED) err = msub_names_publish(names, k->key, &o, now, published, w);
  if (err == MSUB_OK) {
    a->later = true;
    return NULL;
  }
  char text[320];
  ipns_refused(n->ipns, err, msub_key_peer_id(k->key), MSUB_IPNS_OK, (msub_bytes){ NULL, 0 }, text);
  wait_end(w);
  return wrong(a, code_of(err), text);
}

static void resolved(void *ud, const msub_names_resolved *r) {
  waiter *w = ud;
  char why[320];
  ipns_unresolved(r, mono_ns() - w->since_ns, why);
  tell(w, r->v ? ipns_json(r->v) : json_object(), *why ? why : NULL, r->end == MSUB_NAMES_END_NOTHING ? "notfound" : msub_names_end_name((int)r->end));
}

static const char *resolve(node *n, local_question *a) {
  msub_peer_id id;
  msub_names_view v;
  uint64_t timeout = IPNS_RESOLVE_NS;
  const char *why = name_of(a, &id);
  if (why) return why;
  if (json_object_get(a->q, "timeout_ns") && !local_number(a->q, "timeout_ns", IPNS_RESOLVE_MOST_NS, &timeout))
    return wrong(a, "inval", "\"timeout_ns\": up to ten minutes");
  waiter *w = wait_with(n, a);
  int err = msub_names_resolve(ipns_names(n->ipns), msub_peer_id_bytes(&id), w->since_ns + timeout, msub_host_now(n->host), resolved, w, &v, &w->asked);
  if (err == MSUB_MORE) {
    a->later = true;
    return NULL;
  }
  wait_end(w);
  if (err != MSUB_OK) return wrong(a, code_of(err), msub_err_text(err));
  json_t *j = ipns_json(&v);
  json_object_update(a->out, j);
  json_decref(j);
  return NULL;
}

static const char *put(node *n, local_question *a) {
  msub_peer_id id;
  msub_ipns_fault fault = MSUB_IPNS_OK;
  uint8_t *bytes;
  size_t size;
  char text[320];
  const char *why = name_of(a, &id);
  const json_t *record = json_object_get(a->q, "record_base64");
  if (why) return why;
  if (!json_is_string(record) || !read_base64(json_string_value(record), json_string_length(record), &bytes, &size))
    return wrong(a, "inval", "\"record_base64\" is missing: a signed record");
  waiter *w = wait_with(n, a);
  msub_bytes r = { bytes, size };
  int err = msub_names_put(ipns_names(n->ipns), msub_peer_id_bytes(&id), r, true, msub_host_now(n->host), published, w, &fault);
  if (err != MSUB_OK) {
    wait_end(w);
    ipns_refused(n->ipns, err, msub_peer_id_bytes(&id), fault, r, text);
    why = wrong(a, code_of(err), text);
  }
  a->later = err == MSUB_OK;
  free(bytes);
  return why;
}

/* ---- wishes ---- */

static void wished(void *ud, int result, const msub_names_view *v) {
  waiter *w = ud;
  (void)v;
  tell(w, json_object(), result == MSUB_OK ? NULL : "the store could not keep the wish; the node's log says why",
               result == MSUB_OK ? NULL : code_of(result));
}

static const struct wish {
  const char *op;
  int (*fn)(msub_names *, msub_bytes, const msub_now *, msub_names_done, void *);
  bool hears, on;
} wishes[] = {
  { "ipns_follow", msub_names_follow, true, true },
  { "ipns_unfollow", msub_names_unfollow, true, false },
  { "ipns_keep", msub_names_keep, false, true },
  { "ipns_unkeep", msub_names_unkeep, false, false },
};

static const char *wish_for(node *n, local_question *a, const struct wish *what) {
  msub_peer_id id;
  const char *why = name_of(a, &id);
  if (why) return why;
  if (what->hears && local_follow(a, msub_peer_id_bytes(&id), what->on) != MSUB_OK) return wrong(a, "limit", "a client follows at most 256 names");
  waiter *w = wait_with(n, a);
  int err = what->fn(ipns_names(n->ipns), msub_peer_id_bytes(&id), msub_host_now(n->host), wished, w);
  if (err == MSUB_OK) {
    a->later = true;
    return NULL;
  }
  wait_end(w);
  if (err == MSUB_ERR_NOTFOUND) return wrong(a, "notfound", "this name was not followed or kept");
  return wrong(a, code_of(err), err == MSUB_ERR_LIMIT ? "as many names are followed or kept as there may be" : msub_err_text(err));
}

typedef struct listing {
  json_t *all;
} listing;

static bool list_one(void *ud, const msub_names_view *v) {
  const listing *l = ud;
  static const struct { unsigned flag; const char *name; } flags[] = { { MSUB_NAMES_OWNED, "owned" }, { MSUB_NAMES_FOLLOWED, "followed" },
    { MSUB_NAMES_KEPT, "kept" }, { MSUB_NAMES_KEPT_OPEN, "kept_open" }, { MSUB_NAMES_SUBSCRIBED, "subscribed" } };
  json_t *j = ipns_json(v), *set = json_array();
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
    if (v->flags & flags[i].flag) json_array_append_new(set, json_string(flags[i].name));
  json_object_set_new(j, "flags", set);
  json_array_append_new(l->all, j);
  return true;
}

static const char *list(node *n, local_question *a) {
  listing l = { json_array() };
  msub_names_iterate(ipns_names(n->ipns), 0, (int64_t)wall_ns(), list_one, &l);
  json_object_set_new(a->out, "names", l.all);
  return NULL;
}

const char *ipns_ask(node *n, local_question *a) {
  static const struct { const char *op; const char *(*answer)(node *n, local_question *a); } ops[] = {
    { "ipns_key_new", key_new }, { "ipns_key_import", key_import }, { "ipns_key_export", key_export }, { "ipns_keys", keys },
    { "ipns_publish", publish }, { "ipns_resolve", resolve }, { "ipns_put", put }, { "ipns_names", list },
  };
  bool of_keys = strncmp(a->op, "ipns_key", 8) == 0;
  if (!n->ipns && !of_keys) return wrong(a, "unsupported", "this node has no names; start it with --ipns, or as \"meshsub ipns serve\"");
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
    if (strcmp(ops[i].op, a->op) == 0) return ops[i].answer(n, a);
  for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++)
    if (strcmp(wishes[i].op, a->op) == 0) return wish_for(n, a, &wishes[i]);
  return wrong(a, "unsupported", "there is no such \"op\"");
}
