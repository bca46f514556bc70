/* tests/vectors/wire_keys.c: the peer ids, signatures and signed records of wire.json, both ways. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "meshsub/crypto.h"
#include "meshsub/rpc.h"
#include "tests/vectors/vectors.h"

static void done(vec_tally *t, const char *name, bool ok) {
  json_t *c = json_pack("{s:s}", "name", name);
  vec_case(t, c, ok, "differs");
  json_decref(c);
}

static bool is(msub_bytes got, const json_t *want_hex) {
  msub_bytes want = vec_bytes(want_hex);
  bool same = msub_bytes_eq(got, want);
  vec_free(want);
  return same;
}

/* The Ed25519 key of the peer-ids specification, which signs everything derived in wire.json. */
static msub_key *spec_key(void) {
  static const uint8_t seed[32] = { 0x7e, 0x08, 0x30, 0x61, 0x7c, 0x4a, 0x7d, 0xe8, 0x39, 0x25, 0xdf,
                                    0xb2, 0x69, 0x45, 0x56, 0xb1, 0x29, 0x36, 0xc4, 0x77, 0xa0, 0xe1,
                                    0xfe, 0xb2, 0xe1, 0x48, 0xec, 0x9d, 0xa6, 0x0f, 0xee, 0x7d };
  msub_key *k = NULL;
  if (msub_key_from_seed(seed, &k) != MSUB_OK) exit(2);
  return k;
}

/* Signs to the vector's bytes, which verify; with a bit changed they do not. */
static bool signs(const msub_key *k, msub_bytes what, const json_t *signature) {
  uint8_t out[64];
  if (msub_key_sign(k, what, out, sizeof out) != 64 || !is((msub_bytes){ out, 64 }, signature)) return false;
  bool ok = msub_verify(msub_key_public(k), what, (msub_bytes){ out, 64 }) == MSUB_OK;
  out[63] ^= 1;
  return ok && msub_verify(msub_key_public(k), what, (msub_bytes){ out, 64 }) == MSUB_ERR_CRYPTO;
}

/* Node i of the gossipsub interop suite: its seed is i, little end first. */
static void run_interop_nodes(vec_tally *t, const json_t *v) {
  enum { NODES = 10000, LINE = 80 };
  const json_t *ids = json_object_get(v, "ids");
  const json_t *digest = json_object_get(v, "sha256_of_0_to_9999_lines_>{i}:{id}\\n");
  char *lines = malloc((size_t)NODES * LINE);
  size_t n = 0;
  if (!lines) exit(2);
  for (size_t i = 0; i < NODES; i++) {
    char id[MSUB_PEER_ID_TEXT];
    uint8_t seed[32] = { (uint8_t)i, (uint8_t)(i >> 8) }, hash[32];
    msub_peer_id back;
    msub_key *k = NULL;
    if (msub_key_from_seed(seed, &k) != MSUB_OK) exit(2);
    msub_peer_id_text(msub_key_peer_id(k), id);
    bool ok = msub_peer_id_parse(id, &back) == MSUB_OK &&
              msub_bytes_eq(msub_peer_id_bytes(&back), msub_key_peer_id(k));
    msub_key_free(k);
    int used = snprintf(lines + n, LINE, ">%zu:%s\n", i, id);
    if (used < 0 || used >= LINE) exit(2);
    n += (size_t)used;
    const char *want = json_string_value(json_array_get(ids, i));
    if (want)
      done(t, "interop_node_peer_ids id", ok && strcmp(want, id) == 0);
    else if (!ok)
      done(t, "interop_node_peer_ids id", false);
    if (i + 1 < NODES) continue;
    msub_sha256((msub_bytes){ (const uint8_t *)lines, n }, hash);
    done(t, "interop_node_peer_ids digest", is((msub_bytes){ hash, 32 }, digest));
  }
  free(lines);
}

static void run_peer_ids(vec_tally *t, json_t *v) {
  const char *name;
  json_t *c;
  json_object_foreach(v, name, c) {
    char text[MSUB_PEER_ID_TEXT];
    msub_bytes key = vec_bytes(json_object_get(c, "public_key_protobuf"));
    const char *want = json_string_value(json_object_get(c, "peer_id"));
    msub_peer_id id, parsed;
    bool ok =
        want && msub_public_key_peer_id(key, &id) == MSUB_OK && msub_peer_id_parse(want, &parsed) == MSUB_OK;
    ok = ok && strcmp(msub_peer_id_text(msub_peer_id_bytes(&id), text), want) == 0;
    ok = ok && msub_bytes_eq(msub_peer_id_bytes(&id), msub_peer_id_bytes(&parsed));
    done(t, name, ok);
    vec_free(key);
  }
}

static void run_strict_sign(vec_tally *t, const msub_key *k, const json_t *v) {
  msub_bytes what = vec_bytes(json_object_get(v, "signed_bytes"));
  done(t, "strict_sign signature", signs(k, what, json_object_get(v, "signature")));
  vec_free(what);
}

/* What is signed is the prefix and the static key; the payload begins with the public key. */
static void run_noise(vec_tally *t, const msub_key *k, const json_t *v) {
  static const char prefix[] = "noise-libp2p-static-key:";
  uint8_t what[sizeof prefix - 1 + 32];
  msub_bytes static_key = vec_bytes(json_object_get(v, "static_public"));
  msub_bytes payload = vec_bytes(json_object_get(v, "payload")), own = msub_key_public(k);
  memcpy(what, prefix, sizeof prefix - 1);
  memcpy(what + sizeof prefix - 1, static_key.p, 32);
  done(t, "noise_payload signature",
       static_key.n == 32 && signs(k, (msub_bytes){ what, sizeof what }, json_object_get(v, "signature")));
  done(t, "noise_payload identity", msub_bytes_eq((msub_bytes){ payload.p + 2, own.n }, own));
  vec_free(static_key);
  vec_free(payload);
}

static void run_peer_record(vec_tally *t, const msub_key *k, const json_t *v) {
  const msub_bytes domain = msub_str("libp2p-peer-record");
  static msub_peer_record r;
  uint8_t out[512];
  msub_envelope e;
  msub_multiaddr addr;
  if (msub_multiaddr_parse("/ip4/127.0.0.1/tcp/4001", &addr) != MSUB_OK) exit(2);
  const msub_bytes addr_bytes = { addr.bytes, addr.n };

  size_t n = msub_peer_record_seal(k, 1, &addr_bytes, 1, MSUB_RECORD_GO, out, sizeof out);
  done(t, "peer_record envelope",
       n <= sizeof out && is((msub_bytes){ out, n }, json_object_get(v, "envelope")));

  msub_bytes theirs = vec_bytes(json_object_get(v, "envelope"));
  bool ok = msub_envelope_parse(theirs, &e) == MSUB_OK;
  done(t, "peer_record record", ok && is(e.payload, json_object_get(v, "record")));
  done(t, "peer_record envelope signature", ok && is(e.signature, json_object_get(v, "signature")));
  done(t, "peer_record envelope verifies", ok && msub_envelope_verify(&e, domain) == MSUB_OK);

  /* The signed bytes, put together here from their definition. */
  const msub_bytes parts[3] = { domain, e.payload_type, e.payload };
  n = 0;
  for (size_t i = 0; ok && i < 3; i++) {
    n += msub_varint_put(out + n, parts[i].n);
    memcpy(out + n, parts[i].p, parts[i].n);
    n += parts[i].n;
  }
  done(t, "peer_record signed_bytes", is((msub_bytes){ out, n }, json_object_get(v, "signed_bytes")));
  done(t, "peer_record signature", signs(k, (msub_bytes){ out, n }, json_object_get(v, "signature")));

  ok = msub_peer_record_open(theirs, msub_key_peer_id(k), &r) == MSUB_OK;
  done(t, "peer_record opens",
       ok && r.dialect == MSUB_RECORD_GO && r.seq == 1 && r.n_addrs == 1 &&
           msub_bytes_eq(r.addrs[0], addr_bytes) &&
           msub_bytes_eq(msub_peer_id_bytes(&r.peer), msub_key_peer_id(k)));
  vec_free(theirs);
}

int main(void) {
  vec_tally t = { .file = "wire.json" };
  json_t *root = vec_load(t.file);
  msub_key *k = spec_key();
  run_interop_nodes(&t, json_object_get(root, "interop_node_peer_ids"));
  run_peer_ids(&t, json_object_get(root, "peer_ids"));
  run_strict_sign(&t, k, json_object_get(root, "strict_sign"));
  run_noise(&t, k, json_object_get(root, "noise_payload"));
  run_peer_record(&t, k, json_object_get(root, "peer_record_go_dialect"));
  msub_key_free(k);
  json_decref(root);
  return vec_end(&t);
}
