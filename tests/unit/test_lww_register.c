/* tests/unit/test_lww_register.c: the signed register: every type of key, damage at every bit, who may write, order. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "meshsub/lww.h"
#include "meshsub/rpc.h"

static uint8_t out[4096];
static char topic[256];

static msub_key *key_of(msub_key_type type) {
  msub_key *key;
  cr_assert_eq(msub_key_generate_type(type, 0, &key), MSUB_OK);
  char text[MSUB_PEER_ID_TEXT];
  snprintf(topic, sizeof topic, "news/%s", msub_peer_id_text(msub_key_peer_id(key), text));
  return key;
}
static msub_bytes make(const msub_key *key, uint64_t counter, const char *value) {
  size_t n = 0;
  cr_assert_eq(msub_lww_register_make(key, msub_str(topic), counter, msub_str(value), out, sizeof out, &n), MSUB_OK);
  return (msub_bytes){ out, n };
}
static msub_verdict judge(const char *t, msub_bytes r) { return msub_lww_register_ops.validate(NULL, msub_str(t), r); }

Test(lww_register, round_trip) {
  static const msub_key_type types[] = { MSUB_KEY_ED25519, MSUB_KEY_SECP256K1, MSUB_KEY_ECDSA, MSUB_KEY_RSA };
  static const char *const values[] = { "", "x", "a value" };
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    msub_key *key = key_of(types[i]);
    for (size_t v = 0; v < 3; v++) {
      msub_bytes r = make(key, UINT64_MAX - v, values[v]);
      msub_lww_register x;
      cr_assert_eq(msub_lww_register_read(r, &x), MSUB_OK);
      cr_assert(x.counter == UINT64_MAX - v && msub_bytes_eq(x.value, msub_str(values[v])) && msub_bytes_eq(x.key, msub_key_public(key)));
      cr_assert(msub_bytes_eq(msub_peer_id_bytes(&x.author), msub_key_peer_id(key)));
      cr_assert_eq(judge(topic, r), MSUB_ACCEPT);
      size_t n;
      for (size_t cap = 0; cap < r.n; cap += 7) {
        uint8_t *small = malloc(cap ? cap : 1); /* exactly so much, for the sanitizer */
        int rc = msub_lww_register_make(key, msub_str(topic), 1, msub_str(values[v]), small, cap, &n);
        cr_assert(rc == MSUB_ERR_LIMIT || (rc == MSUB_OK && n <= cap)); /* signatures of ECDSA differ in length */
        free(small);
      }
      cr_assert_eq(msub_lww_register_make(key, msub_str(""), 1, msub_str("v"), out, sizeof out, &n), MSUB_ERR_INVAL);
    }
    msub_key_free(key);
  }
}

/* No byte of it can be changed, none can be missing, none can follow. */
Test(lww_register, damage) {
  msub_key *key = key_of(MSUB_KEY_ED25519);
  uint8_t copy[512];
  msub_bytes r = make(key, 7, "a value");
  memcpy(copy, r.p, r.n);
  for (size_t bit = 0; bit < r.n * 8; bit++) {
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    cr_assert_eq(judge(topic, (msub_bytes){ copy, r.n }), MSUB_REJECT, "bit %zu", bit);
    copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  for (size_t n = 0; n < r.n; n++) {
    uint8_t *part = malloc(n ? n : 1);
    memcpy(part, copy, n);
    cr_assert_eq(judge(topic, (msub_bytes){ part, n }), MSUB_REJECT, "%zu bytes", n);
    free(part);
  }
  cr_assert_eq(judge(topic, (msub_bytes){ copy, r.n + 1 }), MSUB_REJECT);
  cr_assert_eq(judge(topic, (msub_bytes){ copy, r.n }), MSUB_ACCEPT);
  msub_key_free(key);
}

/* P-05, P-06: a topic that names nobody takes nothing; one that names somebody else neither; and what is good on one topic is so on no other. */
Test(lww_register, who_may_write) {
  msub_key *other = key_of(MSUB_KEY_ED25519);
  char others[256];
  strcpy(others, topic);
  msub_key *key = key_of(MSUB_KEY_ED25519);
  msub_bytes r = make(key, 1, "v");
  char text[MSUB_PEER_ID_TEXT];
  msub_peer_id_text(msub_key_peer_id(key), text);
  char more[6][256];
  snprintf(more[0], sizeof *more, "%s", text);
  snprintf(more[1], sizeof *more, "/%s", text);       /* may be written by this author, but this record is not of it */
  snprintf(more[2], sizeof *more, "news/%s/", text);
  snprintf(more[3], sizeof *more, "news%s", text);
  snprintf(more[4], sizeof *more, "%s", "");
  snprintf(more[5], sizeof *more, "news/x%s", text);
  for (unsigned i = 0; i < 6; i++) cr_assert_eq(judge(more[i], r), MSUB_REJECT, "%s", more[i]);
  cr_assert_eq(judge(others, r), MSUB_REJECT);
  cr_assert_eq(judge(topic, r), MSUB_ACCEPT);
  const msub_lww_ops *listed = &msub_lww_register_listed_ops;
  msub_bytes ids[2] = { msub_key_peer_id(other), msub_key_peer_id(key) };
  msub_lww_authors nobody = { ids, 0 }, one = { ids, 1 }, both = { ids, 2 };
  cr_assert_eq(listed->validate(NULL, msub_str(topic), r), MSUB_REJECT);
  cr_assert_eq(listed->validate(&nobody, msub_str(topic), r), MSUB_REJECT);
  cr_assert_eq(listed->validate(&one, msub_str(topic), r), MSUB_REJECT);
  cr_assert_eq(listed->validate(&both, msub_str(topic), r), MSUB_ACCEPT);
  cr_assert_eq(listed->validate(&both, msub_str(others), r), MSUB_REJECT); /* signed for another topic */
  /* The same in a Message. */
  uint8_t wire[1024];
  msub_msg_view v = { .data = r, .topic = msub_str(topic), .present = MSUB_HAS_DATA | MSUB_HAS_TOPIC };
  size_t n = msub_msg_encode(&v, wire, sizeof wire);
  cr_assert_eq(msub_lww_register_ops.validate_message(wire, n), MSUB_ACCEPT);
  v.topic = msub_str(others);
  n = msub_msg_encode(&v, wire, sizeof wire);
  cr_assert_eq(msub_lww_register_ops.validate_message(wire, n), MSUB_REJECT);
  cr_assert_eq(msub_lww_register_ops.validate_message("\xff", 1), MSUB_REJECT);
  msub_key_free(key);
  msub_key_free(other);
}

/* P-13: a total order; who contradicts themselves is known. */
Test(lww_register, order) {
  static const struct { uint64_t counter; const char *value; } what[] = { { 0, "" }, { 1, "a" }, { 1, "b" }, { 1, "bb" }, { 255, "a" }, { 256, "" },
                                                                          { UINT64_C(1) << 63, "a" }, { UINT64_MAX, "" } };
  enum { N = sizeof what / sizeof *what };
  msub_key *key = key_of(MSUB_KEY_ED25519), *other = NULL;
  cr_assert_eq(msub_key_generate(&other), MSUB_OK);
  uint8_t bytes[N][256];
  msub_bytes r[N];
  for (unsigned i = 0; i < N; i++) {
    r[i] = make(key, what[i].counter, what[i].value);
    memcpy(bytes[i], r[i].p, r[i].n);
    r[i].p = bytes[i];
  }
  const msub_lww_ops *ops = &msub_lww_register_ops;
  msub_bytes t = msub_str(topic);
  for (unsigned i = 0; i < N; i++)
    for (unsigned j = 0; j < N; j++) {
      int x = ops->compare(NULL, t, r[i], r[j]), y = ops->compare(NULL, t, r[j], r[i]);
      cr_assert((x > 0) == (y < 0) && (x == 0) == (i == j), "%u %u", i, j);
      if (what[i].counter != what[j].counter) cr_assert_eq(x > 0, what[i].counter > what[j].counter);
      for (unsigned m = 0; m < N; m++) cr_assert(!(x > 0 && ops->compare(NULL, t, r[j], r[m]) > 0) || ops->compare(NULL, t, r[i], r[m]) > 0);
      cr_assert_eq(ops->contradicts(NULL, t, r[i], r[j]), i != j && what[i].counter == what[j].counter);
      cr_assert_eq(ops->sequence(NULL, t, r[i]), what[i].counter);
    }
  size_t n;
  uint8_t theirs[256];
  cr_assert_eq(msub_lww_register_make(other, t, 1, msub_str("c"), theirs, sizeof theirs, &n), MSUB_OK);
  cr_assert(!ops->contradicts(NULL, t, r[1], (msub_bytes){ theirs, n }));
  msub_key_free(key);
  msub_key_free(other);
}
