/* Signed and unsigned messages against the verdicts of go-libp2p-pubsub: a fresh engine for each case and policy, in profile
 * go-parity. A case counts once per policy. */
#include <stdio.h>
#include <string.h>
#include "engine_world.h"
#include "vectors.h"

static json_t *keys;

static msub_sign_policy policy_of(const char *name) {
  static const char *const names[MSUB_SIGN_POLICIES] = { "StrictSign", "StrictNoSign+NoAuthor", "StrictNoSign", "LaxSign", "LaxNoSign" };
  for (unsigned i = 0; i < MSUB_SIGN_POLICIES; i++)
    if (strcmp(name, names[i]) == 0) return (msub_sign_policy)i;
  fprintf(stderr, "policy %s?\n", name);
  exit(1);
}

/* A rule: an author has one form. go also takes the identity multihash of a long key. */
static bool odd_author(msub_bytes rpc) {
  msub_rpc_iter it;
  msub_rpc_part part;
  msub_rpc_begin(&it, rpc);
  while (msub_rpc_next(&it, &part) != MSUB_P_END)
    if (part.kind == MSUB_P_MESSAGE && part.msg.from.n > MSUB_PEER_ID_MAX && part.msg.from.p[0] == 0x00) return true;
  return false;
}

/* A rule: a public key has one encoding here, so that it has one peer id. go also takes one with fields that it does not know. */
static bool odd_key(msub_bytes rpc) {
  msub_rpc_iter it;
  msub_rpc_part part;
  msub_rpc_begin(&it, rpc);
  while (msub_rpc_next(&it, &part) != MSUB_P_END) {
    msub_key_type type;
    msub_bytes data;
    if (part.kind == MSUB_P_MESSAGE && part.msg.key.n && msub_public_key_split(part.msg.key, &type, &data) != MSUB_OK) return true;
  }
  return false;
}

static void set_up(world *w, msub_sign_policy policy, const char *key_name, int64_t wall_ns) {
  world_init(w, 9);
  msub_bytes k = vec_bytes(json_object_get(json_object_get(keys, key_name), "private_key"));
  msub_key_free(w->key);
  if (msub_key_import(k, &w->key) != MSUB_OK) {
    fprintf(stderr, "key %s does not import\n", key_name);
    exit(1);
  }
  vec_free(k);
  w->opts.sign = policy;
  w->opts.go_parity = true;
  if (msub_peer_id_public_key(msub_key_peer_id(w->key)).n == 0) w->opts.key_field = msub_key_public(w->key);
  if (wall_ns) w->now.wall_ns = wall_ns;
  world_start(w, NULL);
}

/* The default ids, but where there is none: a message without author and number has the empty id in go, and here another function. */
static const msub_channel_policy *ids_of(msub_sign_policy policy, bool has_id) {
  static const msub_channel_policy sha = { .abi = MSUB_ABI, .size = sizeof sha, .name = "sha256", .message_id = msub_id_sha256 };
  return policy != MSUB_STRICT_NO_SIGN && has_id ? NULL : &sha;
}

/* What became of the one message of the RPC, in the words of the vectors; the id that was made of it. */
static const char *verdict(world *w, msub_bytes rpc) {
  msub_session s = world_peer(w, 77);
  if (world_receive(w, s, rpc) != MSUB_OK) return "reset";
  world_run_jobs(w);
  const msub_counts *n = msub_count(w->e);
  if (n->delivered) return "deliver";
  if (n->unwanted) return "ignored";
  if (msub_count_reason(w->e, MSUB_R_SELF_ORIGIN)) return "reject: self originated message";
  if (msub_count_reason(w->e, MSUB_R_INVALID_SIGNATURE)) return "reject: invalid signature";
  if (msub_count_reason(w->e, MSUB_R_FORBIDDEN_FIELD)) return "reject: policy";
  return "nothing";
}

/* The policy's three complaints are one reason here: which field it was is told by the case itself. */
static const char *plain(const char *theirs) {
  static const char *const policy[] = { "reject: missing signature", "reject: unexpected signature", "reject: unexpected auth info" };
  for (size_t i = 0; i < 3; i++)
    if (strcmp(theirs, policy[i]) == 0) return "reject: policy";
  return theirs;
}

static void received(vec_tally *t, const json_t *c, const json_t *topics) {
  msub_bytes rpc = vec_bytes(json_object_get(c, "rpc")), id = vec_bytes(json_object_get(c, "message_id"));
  const char *name;
  json_t *want;
  json_object_foreach(json_object_get(c, "verdicts"), name, want) {
    msub_sign_policy policy = policy_of(name);
    const msub_channel_policy *ids = ids_of(policy, id.n > 0 || policy == MSUB_STRICT_SIGN);
    static world w;
    set_up(&w, policy, "ed25519_b", 0);
    size_t i;
    json_t *topic;
    json_array_foreach(topics, i, topic) {
      msub_bytes b = vec_bytes(topic);
      msub_topic h;
      if (msub_join(w.e, 0, b, ids, NULL, &w.now, &h) != MSUB_OK) exit(1);
      vec_free(b);
    }
    const char *ours = verdict(&w, rpc), *theirs = plain(json_string_value(want));
    bool same_id = ids || w.n_delivered == 0 || msub_bytes_eq(msub_id(w.delivered[0]), id);
    if (strcmp(theirs, "deliver") == 0 && strcmp(ours, "reject: invalid signature") == 0 && (odd_key(rpc) || odd_author(rpc))) {
      t->cases++;
      t->by_rule++;
    } else
      vec_case(t, c, strcmp(ours, theirs) == 0 && same_id, "%s: %s, go says %s, id %s", name, ours, theirs,
             same_id ? "equal" : "differs");
    world_stop(&w);
  }
  vec_free(rpc);
  vec_free(id);
}

static void published(vec_tally *t, const json_t *c) {
  const char *key = json_string_value(json_object_get(c, "author_key"));
  msub_sign_policy policy = policy_of(json_string_value(json_object_get(c, "policy")));
  static world w;
  set_up(&w, policy, key, INT64_C(946684800000000000));
  const char *topic = json_string_value(json_object_get(c, "topic"));
  msub_topic h = world_join(&w, topic, ids_of(policy, true));
  world_subscribe(&w, world_peer(&w, 77), topic, true);
  world_clear(&w);
  msub_bytes data = vec_bytes(json_object_get(c, "data")), rpc = vec_bytes(json_object_get(c, "rpc"));
  int rc = msub_publish(w.e, h, data, &w.now, NULL);
  bool equal = rc == MSUB_OK && w.n_sent == 1 && msub_bytes_eq((msub_bytes){ w.sent[0].rpc, w.sent[0].n }, rpc);
  vec_case(t, c, equal, "publish answers %s, %zu RPCs", msub_err_name(rc), w.n_sent);
  vec_free(data);
  vec_free(rpc);
  world_stop(&w);
}

int main(void) {
  json_t *file = vec_load("go/signing.json"), *c;
  vec_tally t = { .file = "go/signing.json" };
  keys = json_object_get(file, "keys");
  size_t i;
  json_array_foreach(json_object_get(file, "cases"), i, c) {
    if (json_object_get(c, "verdicts")) received(&t, c, json_object_get(file, "joined_topics_hex"));
    else published(&t, c);
  }
  int status = vec_end(&t);
  json_decref(file);
  return status;
}
