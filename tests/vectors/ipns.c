/* tests/vectors/ipns.c: ipns.json: names in all forms, records to take and to refuse and why, the winner of two, records made byte for byte. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lww/ipns/names_state.h"
#include "tests/vectors/vectors.h"

static const char *text(const json_t *o, const char *name) { return json_string_value(json_object_get(o, name)); }
static uint64_t number(const json_t *o, const char *name) { return strtoull(text(o, name), NULL, 10); }
static msub_bytes bytes(const json_t *o, const char *name) { return vec_bytes(json_object_get(o, name)); }

static int64_t moment(const char *rfc3339) {
  msub_ipns_time t;
  if (msub_ipns_time_parse(msub_str(rfc3339), &t) != MSUB_OK) abort();
  return t.s * 1000000000 + t.ns;
}

/* ---- keys: one name in each of its forms ---- */

static bool is(msub_bytes got, const json_t *o, const char *name) {
  msub_bytes want = bytes(o, name);
  bool same = msub_bytes_eq(got, want);
  vec_free(want);
  return same;
}

static bool reads(const char *form, msub_bytes name) {
  char longer[256];
  msub_peer_id a, b;
  snprintf(longer, sizeof longer, "/ipns/%s", form);
  return msub_ipns_name_parse(form, &a) == MSUB_OK && msub_bytes_eq(msub_peer_id_bytes(&a), name) && msub_ipns_name_parse(longer, &b) == MSUB_OK &&
         msub_bytes_eq(msub_peer_id_bytes(&b), name);
}

static bool names(const json_t *k) {
  msub_bytes name = bytes(k, "multihash"), public_key = bytes(k, "public_key_protobuf"), topic = msub_str(text(k, "pubsub_topic"));
  msub_peer_id id;
  char base36[MSUB_IPNS_NAME_TEXT], made[MSUB_IPNS_TOPIC_TEXT];
  uint8_t key[MSUB_IPNS_KEY_MAX];
  size_t n = msub_ipns_key(name, key);
  bool ok = msub_public_key_peer_id(public_key, &id) == MSUB_OK && msub_bytes_eq(msub_peer_id_bytes(&id), name);
  ok = ok && is((msub_bytes){ key, n }, k, "routing_key") && msub_ipns_key_parse((msub_bytes){ key, n }, &id) == MSUB_OK && msub_bytes_eq(msub_peer_id_bytes(&id), name);
  ok = ok && strcmp(msub_ipns_name_text(name, base36), text(k, "name_base36")) == 0 && reads(base36, name) && reads(text(k, "name_base32"), name) &&
       reads(text(k, "name_base58_peer_id"), name);
  ok = ok && msub_bytes_eq(msub_str(msub_ipns_topic(name, made)), topic) && msub_ipns_topic_parse(topic, &id) == MSUB_OK &&
       msub_bytes_eq(msub_peer_id_bytes(&id), name);
  vec_free(name);
  vec_free(public_key);
  return ok;
}

/* ---- records ---- */

/* The name may be none: then the routing key does not parse. */
static msub_ipns_fault judge(msub_bytes key, msub_bytes record, int64_t now, msub_peer_id *name, msub_ipns_record *r) {
  if (msub_ipns_key_parse(key, name) != MSUB_OK) return MSUB_IPNS_BAD_NAME;
  return msub_ipns_verify(msub_peer_id_bytes(name), record, now, MSUB_RSA_BITS_MAX, r);
}

static bool fields_are(const json_t *f, const msub_ipns_record *r) {
  const json_t *value = json_object_get(f, "value"), *ttl = json_object_get(f, "ttl"), *validity = json_object_get(f, "validity");
  if (json_is_string(value) && text(f, "value")[0] == '/' && !msub_bytes_eq(r->value, msub_str(text(f, "value")))) return false;
  if (json_is_string(validity) && !msub_bytes_eq(r->validity, msub_str(text(f, "validity")))) return false;
  if (json_object_get(f, "sequence") && r->sequence != number(f, "sequence")) return false;
  return json_is_string(ttl) ? r->has_ttl && r->ttl_ns == number(f, "ttl") : true;
}

/* What a peer that brings it on the topic is told: only what no implementation takes is its fault, and what a clock decides is not. */
static bool verdict_is_right(msub_bytes name, msub_bytes record, const char *reason, int64_t now) {
  static const char *const rejected[] = { "too_large", "bad_protobuf", "missing_data", "missing_signature_v2", "bad_public_key", "public_key_mismatch", "signature" };
  char topic[MSUB_IPNS_TOPIC_TEXT];
  bool expired = strcmp(reason, "expired") == 0;
  msub_verdict want = expired || strcmp(reason, "ok") == 0 ? MSUB_ACCEPT : MSUB_IGNORE;
  for (size_t i = 0; i < sizeof rejected / sizeof *rejected; i++)
    if (strcmp(reason, rejected[i]) == 0) want = MSUB_REJECT;
  msub_bytes at = msub_str(msub_ipns_topic(name, topic));
  const msub_lww_ops *o = &msub__ipns_lww_ops_8192;
  if (o->validate(&msub__ipns_bits_8192, at, record) != want) return false;
  return want != MSUB_ACCEPT || (o->expires(&msub__ipns_bits_8192, at, record) < now) == expired;
}

static void records(vec_tally *t, const json_t *all) {
  size_t i;
  json_t *v;
  json_array_foreach((json_t *)(uintptr_t)all, i, v) {
    msub_bytes key = bytes(v, "routing_key"), record = bytes(v, "record");
    msub_peer_id name;
    msub_ipns_record r = { 0 };
    msub_ipns_fault f = judge(key, record, moment(text(v, "now")), &name, &r);
    const char *want = text(v, "reason"), *got = msub_ipns_fault_name(f);
    bool ok = strcmp(got, want) == 0 && (f == MSUB_IPNS_OK) == (strcmp(text(v, "expected"), "valid") == 0);
    const json_t *fields = json_object_get(v, "fields");
    if (ok && f == MSUB_IPNS_OK && fields) ok = fields_are(fields, &r);
    if (ok && f != MSUB_IPNS_BAD_NAME) ok = verdict_is_right(msub_peer_id_bytes(&name), record, want, moment(text(v, "now")));
    vec_case(t, v, ok, "%s: %s instead of %s", text(v, "id"), got, want);
    vec_free(key);
    vec_free(record);
  }
}

static void selections(vec_tally *t, const json_t *all, int64_t now) {
  size_t i;
  json_t *v;
  json_array_foreach((json_t *)(uintptr_t)all, i, v) {
    msub_bytes key = bytes(v, "routing_key");
    const json_t *list = json_object_get(v, "records");
    size_t n = json_array_size(list), best = 0;
    msub_bytes *raw = calloc(n, sizeof *raw);
    msub_ipns_record *r = calloc(n, sizeof *r);
    msub_peer_id name;
    bool ok = raw && r;
    for (size_t k = 0; ok && k < n; k++) {
      raw[k] = vec_bytes(json_array_get(list, k));
      ok = judge(key, raw[k], now, &name, &r[k]) == MSUB_IPNS_OK;
      if (ok && msub_ipns_order(&r[k], &r[best]) > 0) best = k;
      ok = ok && msub_ipns_order(&r[k], &r[k]) == 0;
      if (k) ok = ok && (msub_ipns_order(&r[k], &r[0]) > 0) == (msub_ipns_order(&r[0], &r[k]) < 0);
    }
    ok = ok && best == (size_t)json_integer_value(json_object_get(v, "expected_index"));
    vec_case(t, v, ok, "%s: %zu wins", text(v, "id"), best);
    for (size_t k = 0; raw && k < n; k++) vec_free(raw[k]);
    free(raw);
    free(r);
    vec_free(key);
  }
}

static void creations(vec_tally *t, const json_t *all, const json_t *keys, int64_t now) {
  size_t i;
  json_t *v;
  json_array_foreach((json_t *)(uintptr_t)all, i, v) {
    msub_bytes private = bytes(json_object_get(keys, text(v, "key")), "private_key_protobuf");
    msub_key *k = NULL;
    uint8_t out[MSUB_IPNS_RECORD_MAX];
    size_t n = 0;
    msub_ipns_new what = { .value = msub_str(text(v, "value")), .sequence = number(v, "sequence"), .ttl_ns = number(v, "ttl_ns"),
                           .v2_only = json_is_false(json_object_get(v, "v1_compatible")) };
    msub_ipns_record r;
    bool ok = msub_key_import(private, &k) == MSUB_OK && msub_ipns_time_parse(msub_str(text(v, "validity")), &what.eol) == MSUB_OK &&
              msub_ipns_make(k, &what, out, sizeof out, &n) == MSUB_OK;
    ok = ok && is((msub_bytes){ out, n }, v, "record") && msub_ipns_verify(msub_key_peer_id(k), (msub_bytes){ out, n }, now, 0, &r) == MSUB_IPNS_OK;
    vec_case(t, v, ok, "a record of %zu bytes", n);
    msub_key_free(k);
    vec_free(private);
  }
}

int main(void) {
  vec_tally t = { .file = "ipns.json" };
  json_t *all = vec_load("ipns.json");
  json_t *keys = json_object_get(all, "keys"), *v;
  const char *label;
  int64_t now = moment(text(all, "now"));
  /* ECDSA by js is in an encoding of its own (no SubjectPublicKeyInfo), from which nobody else makes a name. */
  json_object_foreach(keys, label, v) vec_case(&t, v, names(v), "%s: the forms of its name", label);
  records(&t, json_object_get(all, "vectors"));
  selections(&t, json_object_get(all, "selection"), now);
  creations(&t, json_object_get(all, "creation"), keys, now);
  json_decref(all);
  return vec_end(&t);
}
