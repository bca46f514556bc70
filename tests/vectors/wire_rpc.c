/* tests/vectors/wire_rpc.c: the RPC encodings, rejections and StrictSign bytes of wire.json, both ways. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "meshsub/rpc.h"
#include "tests/vectors/vectors.h"

static json_t *named(const char *name) { return json_pack("{s:s}", "name", name); }

static void done(vec_tally *t, const char *name, bool ok) {
  json_t *c = named(name);
  vec_case(t, c, ok, "differs");
  json_decref(c);
}

static bool is(msub_bytes got, const json_t *want_hex) {
  msub_bytes want = vec_bytes(want_hex);
  bool same = msub_bytes_eq(got, want);
  vec_free(want);
  return same;
}

/* Our encoding of the entry is the vector, and so is the canonical form of the vector. */
static bool both_ways(msub_ctl_entry e, msub_bytes topic, const json_t *hex) {
  uint8_t out[256];
  size_t n = msub_ctl_encode(&e, &topic, 1, out, sizeof out);
  return n <= sizeof out && is((msub_bytes){ out, n }, hex);
}

static bool canonical(const json_t *hex) {
  msub_bytes frame = vec_bytes(hex);
  msub_rpc_counts counts;
  uint8_t out[512];
  bool ok = msub_rpc_scan(frame, NULL, &counts) == MSUB_OK;
  size_t n = msub_rpc_canonical(frame, out, sizeof out);
  ok = ok && n <= sizeof out && msub_bytes_eq((msub_bytes){ out, n }, frame);
  vec_free(frame);
  return ok;
}

/* The vectors of wire.json are those of an older writer: a subscription has no fields 3 and 4. Ours has: read
 * back, both say the same, and ours is the vector with four bytes more. */
static bool subscription(bool subscribe, msub_bytes topic, const json_t *hex) {
  uint8_t out[256];
  msub_ctl_entry e = { .kind = subscribe ? MSUB_C_SUB : MSUB_C_UNSUB };
  msub_bytes theirs = vec_bytes(hex), ours = { out, msub_ctl_encode(&e, &topic, 1, out, sizeof out) };
  msub_rpc_iter a, b;
  msub_rpc_part pa, pb;
  msub_rpc_begin(&a, theirs);
  msub_rpc_begin(&b, ours);
  bool ok = msub_rpc_next(&a, &pa) == MSUB_P_SUBSCRIPTION && msub_rpc_next(&b, &pb) == MSUB_P_SUBSCRIPTION;
  ok = ok && pa.subscribe == subscribe && pb.subscribe == subscribe && msub_bytes_eq(pa.topic, topic) &&
       msub_bytes_eq(pb.topic, topic) && !pa.has_requests_partial && pb.has_requests_partial &&
       pb.has_sends_partial;
  ok = ok && ours.n == theirs.n + 4 && memcmp(ours.p + 2, theirs.p + 2, theirs.n - 2) == 0 &&
       memcmp(ours.p + theirs.n, "\x18\x00\x20\x00", 4) == 0;
  vec_free(theirs);
  return ok;
}

static void run_rpcs(vec_tally *t, json_t *rpc) {
  const char *name = json_string_value(json_object_get(rpc, "topic"));
  msub_bytes topic = msub_str(name ? name : ""), none = { NULL, 0 }, ids[2];
  uint8_t aa[20], bb[20], out[64];
  memset(aa, 0xaa, sizeof aa);
  memset(bb, 0xbb, sizeof bb);
  ids[0] = (msub_bytes){ aa, sizeof aa };
  ids[1] = (msub_bytes){ bb, sizeof bb };
  const char *key;
  json_t *hex;
  json_object_foreach(rpc, key, hex) {
    bool ok;
    if (strcmp(key, "topic") == 0) continue;
    if (strcmp(key, "subscribe") == 0)
      ok = subscription(true, topic, hex);
    else if (strcmp(key, "unsubscribe") == 0)
      ok = subscription(false, topic, hex);
    else if (strcmp(key, "graft") == 0)
      ok = both_ways((msub_ctl_entry){ .kind = MSUB_C_GRAFT }, topic, hex);
    else if (strcmp(key, "prune_backoff_60") == 0)
      ok = both_ways((msub_ctl_entry){ .kind = MSUB_C_PRUNE, .backoff_s = 60 }, topic, hex);
    else if (strcmp(key, "ihave_aa_bb") == 0)
      ok = both_ways((msub_ctl_entry){ .kind = MSUB_C_IHAVE, .ids = ids, .n_ids = 2 }, topic, hex);
    else if (strcmp(key, "iwant_aa") == 0)
      ok = both_ways((msub_ctl_entry){ .kind = MSUB_C_IWANT, .ids = ids, .n_ids = 1 }, none, hex);
    else if (strcmp(key, "idontwant_aa") == 0)
      ok = both_ways((msub_ctl_entry){ .kind = MSUB_C_IDONTWANT, .ids = ids, .n_ids = 1 }, none, hex);
    else if (strcmp(key, "extensions_test") == 0)
      ok = is((msub_bytes){ out, msub_ext_encode(false, true, out, sizeof out) }, hex);
    else if (strcmp(key, "extensions_partial_and_test") == 0)
      ok = is((msub_bytes){ out, msub_ext_encode(true, true, out, sizeof out) }, hex);
    else if (strcmp(key, "test_extension_rpc") == 0)
      ok = is((msub_bytes){ out, msub_test_encode(out, sizeof out) }, hex);
    else
      ok = false;
    done(t, key, ok && canonical(hex));
  }
}

static void run_strict_sign(vec_tally *t, const json_t *v) {
  static const char domain[] = "libp2p-pubsub:";
  enum { DOMAIN = sizeof domain - 1 };
  msub_bytes frame = vec_bytes(json_object_get(v, "rpc"));
  msub_rpc_counts counts;
  msub_rpc_iter it;
  msub_rpc_part p;
  uint8_t out[512];
  bool ok = msub_rpc_scan(frame, NULL, &counts) == MSUB_OK && counts.publish == 1;
  msub_rpc_begin(&it, frame);
  done(t, "strict_sign rpc",
       ok && msub_rpc_next(&it, &p) == MSUB_P_MESSAGE && canonical(json_object_get(v, "rpc")));
  if (ok) {
    memcpy(out, domain, DOMAIN);
    size_t n = msub_msg_signed_bytes(&p.msg, out + DOMAIN, sizeof out - DOMAIN);
    done(t, "strict_sign signed_bytes",
         p.msg.prefix_n == n && is((msub_bytes){ out, DOMAIN + n }, json_object_get(v, "signed_bytes")));
    done(t, "strict_sign signature", is(p.msg.signature, json_object_get(v, "signature")));
    memcpy(out, p.msg.from.p, p.msg.from.n);
    memcpy(out + p.msg.from.n, p.msg.seqno.p, p.msg.seqno.n);
    done(t, "strict_sign go_default_message_id",
         is((msub_bytes){ out, p.msg.from.n + p.msg.seqno.n }, json_object_get(v, "go_default_message_id")));
    /* The other direction: the fields encode to the RPC. */
    msub_msg_borrowed m = { { .borrowed = true }, out };
    m.m.wire_n = (uint32_t)msub_msg_encode(&p.msg, out, sizeof out / 2);
    const msub_msg *msgs[] = { &m.m };
    msub_rpc rpc = { .msgs = msgs, .n_msgs = 1 };
    uint8_t *whole = malloc(msub_rpc_size(&rpc));
    if (!whole) abort();
    size_t written = msub_rpc_encode(&rpc, whole);
    done(t, "strict_sign encoded",
         written == msub_rpc_size(&rpc) && msub_bytes_eq((msub_bytes){ whole, written }, frame));
    free(whole);
  }
  vec_free(frame);
}

int main(void) {
  vec_tally t = { .file = "wire.json" };
  json_t *root = vec_load(t.file), *hex;
  size_t i;
  run_rpcs(&t, json_object_get(root, "rpc"));
  json_array_foreach(json_object_get(root, "rpc_must_reject"), i, hex) {
    msub_bytes frame = vec_bytes(hex);
    msub_rpc_counts counts;
    done(&t, "rpc_must_reject", msub_rpc_scan(frame, NULL, &counts) == MSUB_ERR_MALFORMED && counts.why);
    vec_free(frame);
  }
  run_strict_sign(&t, json_object_get(root, "strict_sign"));
  json_decref(root);
  return vec_end(&t);
}
