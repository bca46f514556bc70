/* Signed and unsigned messages against the verdicts of go-libp2p-pubsub: a fresh engine for each case and policy, in profile
 * go-parity. A case counts once per policy. What is not built yet is read from the case: policies besides StrictSign and
 * StrictNoSign+NoAuthor (strict anonymous); under StrictSign, authors whose key is not Ed25519. */
#include <stdio.h>
#include <string.h>
#include "engine_world.h"
#include "vectors.h"

static json_t *keys;

/* The policy of a name; false: not built. */
static bool policy_of(const char *name, msub_sign_policy *out) {
  *out = strcmp(name, "StrictSign") == 0 ? MSUB_STRICT_SIGN : MSUB_STRICT_NO_SIGN;
  return strcmp(name, "StrictSign") == 0 || strcmp(name, "StrictNoSign+NoAuthor") == 0;
}

/* Whether the message names an author, or carries a key, of a type other than Ed25519. */
static bool other_key_type(msub_bytes rpc) {
  msub_rpc_iter it;
  msub_rpc_part part;
  msub_rpc_begin(&it, rpc);
  while (msub_rpc_next(&it, &part) != MSUB_P_END) {
    if (part.kind != MSUB_P_MESSAGE) continue;
    msub_key_type type;
    msub_bytes data, inside = msub_peer_id_public_key(part.msg.from);
    if (inside.n && msub_public_key_split(inside, &type, &data) == MSUB_OK && type != MSUB_KEY_ED25519) return true;
    if (part.msg.key.n && msub_public_key_split(part.msg.key, &type, &data) == MSUB_OK && type != MSUB_KEY_ED25519) return true;
    if (part.msg.from.n > 2 && part.msg.from.p[0] == 0x12) return true; /* a hashed id: RSA or ECDSA */
    if (part.msg.from.n > MSUB_PEER_ID_MAX) return true;                 /* too long for an Ed25519 key */
  }
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
  if (wall_ns) w->now.wall_ns = wall_ns;
  world_start(w, NULL);
}

static const msub_channel_policy *ids_of(msub_sign_policy policy) {
  static const msub_channel_policy sha = { .abi = MSUB_ABI, .size = sizeof sha, .name = "sha256", .message_id = msub_id_sha256 };
  return policy == MSUB_STRICT_SIGN ? NULL : &sha;
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
    msub_sign_policy policy;
    if (!policy_of(name, &policy) || (policy == MSUB_STRICT_SIGN && other_key_type(rpc))) {
      t->cases++;
      t->skipped++;
      continue;
    }
    static world w;
    set_up(&w, policy, "ed25519_b", 0);
    size_t i;
    json_t *topic;
    json_array_foreach(topics, i, topic) {
      msub_bytes b = vec_bytes(topic);
      msub_topic h;
      if (msub_join(w.e, 0, b, ids_of(policy), NULL, &w.now, &h) != MSUB_OK) exit(1);
      vec_free(b);
    }
    const char *ours = verdict(&w, rpc), *theirs = plain(json_string_value(want));
    bool same_id = policy != MSUB_STRICT_SIGN || w.n_delivered == 0 || msub_bytes_eq(msub_id(w.delivered[0]), id);
    if (policy == MSUB_STRICT_SIGN && strcmp(theirs, "deliver") == 0 && odd_key(rpc) && strcmp(ours, "reject: invalid signature") == 0) {
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
  msub_sign_policy policy;
  bool built = policy_of(json_string_value(json_object_get(c, "policy")), &policy);
  if (!built || (policy == MSUB_STRICT_SIGN && strncmp(key, "ed25519", 7) != 0)) {
    t->cases++;
    t->skipped++;
    return;
  }
  static world w;
  set_up(&w, policy, strncmp(key, "ed25519", 7) == 0 ? key : "ed25519", INT64_C(946684800000000000));
  const char *topic = json_string_value(json_object_get(c, "topic"));
  msub_topic h = world_join(&w, topic, ids_of(policy));
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
