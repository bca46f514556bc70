/* tests/unit/test_ipns.c: what the vectors of IPNS do not have: times, bounds, records of every type of key, damage at every byte. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "meshsub/ipns.h"
#include "tests/hex.h"

static msub_ipns_time at(const char *text) {
  msub_ipns_time t;
  cr_assert_eq(msub_ipns_time_parse(msub_str(text), &t), MSUB_OK, "%s", text);
  return t;
}

Test(ipns, times) {
  static const struct { const char *text, *canonical; int64_t s; } good[] = {
    { "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000000Z", 0 },
    { "1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500000000Z", -1 },
    { "2000-02-29T12:00:00.000000001Z", "2000-02-29T12:00:00.000000001Z", 951825600 },
    { "2126-11-23T02:00:00.694052+02:00", "2126-11-23T00:00:00.694052000Z", 4951065600 },
    { "2126-11-22T20:30:00-03:30", "2126-11-23T00:00:00.000000000Z", 4951065600 },
    { "2126-11-23T00:00:00.1234567899Z", "2126-11-23T00:00:00.123456789Z", 4951065600 },
    { "0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000000000Z", INT64_C(-62167219200) },
    { "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z", INT64_C(253402300799) } };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    char out[31];
    msub_ipns_time t = at(good[i].text);
    cr_assert_eq(t.s, good[i].s, "%s is %lld", good[i].text, (long long)t.s);
    cr_assert(msub_ipns_time_text(t, out) == MSUB_OK && strcmp(out, good[i].canonical) == 0, "%s: %s", good[i].text, out);
  }
  static const char *const bad[] = { "", "2126-11-23", "2126-11-23T00:00:00", "2126-13-23T00:00:00Z", "2126-00-23T00:00:00Z", "2126-11-31T00:00:00Z",
    "2125-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2126-11-23T24:00:00Z", "2126-11-23T00:60:00Z", "2126-11-23T00:00:60Z", "2126-11-23T00:00:00.Z",
    "2126-11-23T00:00:00z", "2126-11-23 00:00:00Z", "2126-11-23T00:00:00+0200", "2126-11-23T00:00:00+24:00", "2126-11-23T00:00:00+02:60",
    "2126-11-23T00:00:00ZZ", "+126-11-23T00:00:00Z", "2126-11-23T00:00:00+", "2126-1-23T00:00:00Z", "12126-11-23T00:00:00Z" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    msub_ipns_time t;
    cr_assert_eq(msub_ipns_time_parse(msub_str(bad[i]), &t), MSUB_ERR_MALFORMED, "%s", bad[i]);
  }
  char out[31];
  cr_assert_eq(msub_ipns_time_text((msub_ipns_time){ INT64_C(253402300800), 0 }, out), MSUB_ERR_INVAL);
  cr_assert_eq(msub_ipns_time_text((msub_ipns_time){ INT64_C(-62167219201), 0 }, out), MSUB_ERR_INVAL);
  cr_assert_eq(msub_ipns_time_text((msub_ipns_time){ 0, 1000000000 }, out), MSUB_ERR_INVAL);
  /* Each day of four centuries there and back. */
  for (int64_t day = -146097; day < 146097 * 2; day++) {
    msub_ipns_time t = { day * 86400 + 86399, 5 };
    cr_assert_eq(msub_ipns_time_text(t, out), MSUB_OK);
    msub_ipns_time back = at(out);
    cr_assert(back.s == t.s && back.ns == 5, "%s", out);
  }
  msub_ipns_time t = msub_ipns_time_of(-1);
  cr_assert(t.s == -1 && t.ns == 999999999);
}

/* To the nanosecond: a record is valid at its end of life, and not after it. */
Test(ipns, expiry) {
  msub_ipns_record r = { .eol = { 100, 7 } };
  cr_assert(!msub_ipns_expired(&r, INT64_C(100000000006)) && !msub_ipns_expired(&r, INT64_C(100000000007)) && msub_ipns_expired(&r, INT64_C(100000000008)));
  r.eol = at("9999-12-31T23:59:59Z");
  cr_assert(!msub_ipns_expired(&r, INT64_MAX));
  r.eol = at("0001-01-01T00:00:00Z");
  cr_assert(msub_ipns_expired(&r, INT64_MIN));
}

Test(ipns, names) {
  msub_peer_id id;
  char text[MSUB_IPNS_NAME_TEXT], topic[MSUB_IPNS_TOPIC_TEXT];
  uint8_t key[MSUB_IPNS_KEY_MAX];
  static const char *const bad[] = { "", "/ipns/", "k51", "bafkqaaa", "/ipfs/k51qzi5uqu5dgy8qsq67hbz73jqkw87l3fgf4a91qb0d9b5173tir7n4vxk1oe",
    "/ipns//ipns/k51qzi5uqu5dgy8qsq67hbz73jqkw87l3fgf4a91qb0d9b5173tir7n4vxk1oe", "K51QZI5UQU5DGY8QSQ67HBZ73JQKW87L3FGF4A91QB0D9B5173TIR7N4VXK1OE" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) cr_assert_eq(msub_ipns_name_parse(bad[i], &id), MSUB_ERR_MALFORMED, "%s", bad[i]);
  msub_bytes none = { NULL, 0 }, odd = test_hex("1300");
  cr_assert(msub_ipns_key(none, key) == 0 && msub_ipns_key(odd, key) == 0 && !*msub_ipns_name_text(odd, text) && !*msub_ipns_topic(odd, topic));
  cr_assert(msub_ipns_key_parse(msub_str("/ipns/"), &id) == MSUB_ERR_MALFORMED && msub_ipns_key_parse(msub_str("/ipnz/12345678"), &id) == MSUB_ERR_MALFORMED);
  cr_assert(msub_ipns_topic_parse(msub_str("/record/"), &id) == MSUB_ERR_MALFORMED && msub_ipns_topic_parse(msub_str("/record/AAAA"), &id) == MSUB_ERR_MALFORMED &&
            msub_ipns_topic_parse(msub_str("news"), &id) == MSUB_ERR_MALFORMED);
}

static size_t make(const msub_key *k, uint64_t sequence, bool v2_only, uint8_t *out) {
  size_t n = 0;
  msub_ipns_new what = { .value = msub_str("/ipfs/bafkqaaa"), .sequence = sequence, .eol = at("2126-11-23T00:00:00Z"), .ttl_ns = MSUB_IPNS_TTL_NS, .v2_only = v2_only };
  cr_assert_eq(msub_ipns_make(k, &what, out, MSUB_IPNS_RECORD_MAX, &n), MSUB_OK);
  return n;
}

Test(ipns, every_type_of_key) {
  static const msub_key_type types[] = { MSUB_KEY_ED25519, MSUB_KEY_SECP256K1, MSUB_KEY_ECDSA, MSUB_KEY_RSA };
  uint8_t buf[MSUB_IPNS_RECORD_MAX];
  msub_key *other = NULL;
  cr_assert_eq(msub_key_generate(&other), MSUB_OK);
  for (size_t i = 0; i < 4; i++)
    for (int v2 = 0; v2 < 2; v2++) {
      msub_key *k = NULL;
      msub_ipns_record r;
      cr_assert_eq(msub_key_generate_type(types[i], 0, &k), MSUB_OK);
      size_t n = make(k, 7, v2, buf);
      msub_bytes name = msub_key_peer_id(k), bytes = { buf, n };
      cr_assert_eq(msub_ipns_verify(name, bytes, 0, 0, &r), MSUB_IPNS_OK, "type %d", types[i]);
      cr_assert(r.sequence == 7 && msub_bytes_eq(r.value, msub_str("/ipfs/bafkqaaa")) && r.has_ttl && r.ttl_ns == MSUB_IPNS_TTL_NS &&
                msub_bytes_eq(r.public_key, msub_key_public(k)));
      bool hashed = types[i] == MSUB_KEY_ECDSA || types[i] == MSUB_KEY_RSA;
      cr_assert_eq(msub_ipns_verify(msub_key_peer_id(other), bytes, 0, 0, &r), hashed ? MSUB_IPNS_PUBLIC_KEY_MISMATCH : MSUB_IPNS_SIGNATURE);
      cr_assert_eq(msub_ipns_verify(name, bytes, INT64_C(5000000000) * 1000000000, 0, &r), MSUB_IPNS_EXPIRED);
      cr_assert_eq(r.sequence, 7, "an expired one can be shown");
      msub_key_free(k);
    }
  msub_key_free(other);
}

/* Whatever bit of a record is another: it is refused, or says the same. (Nobody looks at the signature of old times, and a copy that says 0 may be missing.) */
Test(ipns, damage) {
  uint8_t buf[MSUB_IPNS_RECORD_MAX], seed[32] = { 5 };
  msub_key *k = NULL;
  msub_ipns_record r, whole;
  unsigned taken = 0;
  cr_assert_eq(msub_key_from_seed(seed, &k), MSUB_OK);
  size_t n = make(k, 1, false, buf);
  msub_bytes name = msub_key_peer_id(k);
  cr_assert_eq(msub_ipns_verify(name, (msub_bytes){ buf, n }, 0, 0, &whole), MSUB_IPNS_OK);
  for (size_t i = 0; i < n; i++) {
    for (unsigned bit = 0; bit < 8; bit++) {
      buf[i] ^= (uint8_t)(1u << bit);
      if (msub_ipns_verify(name, (msub_bytes){ buf, n }, 0, 0, &r) == MSUB_IPNS_OK) {
        taken++;
        cr_assert(msub_bytes_eq(r.data, whole.data) && msub_bytes_eq(r.value, msub_str("/ipfs/bafkqaaa")) && r.sequence == 1 && r.eol.s == whole.eol.s &&
                  r.eol.ns == whole.eol.ns && r.ttl_ns == whole.ttl_ns, "byte %zu, bit %u", i, bit);
      }
      buf[i] ^= (uint8_t)(1u << bit);
    }
    cr_assert_neq(msub_ipns_verify(name, (msub_bytes){ buf, i }, 0, 0, &r), MSUB_IPNS_OK, "cut at %zu", i);
  }
  cr_assert(taken >= 64 * 8 && taken < 64 * 8 + 32, "%u: the old signature, and hardly more", taken);
  msub_key_free(k);
}

Test(ipns, bounds_of_making) {
  static uint8_t value[MSUB_IPNS_RECORD_MAX + 1];
  uint8_t buf[MSUB_IPNS_RECORD_MAX + 1], seed[32] = { 5 };
  size_t n;
  msub_key *k = NULL;
  msub_ipns_record r;
  cr_assert_eq(msub_key_from_seed(seed, &k), MSUB_OK);
  msub_ipns_new what = { .value = msub_str("/ipfs/bafkqaaa"), .sequence = INT64_MAX, .eol = at("2126-11-23T00:00:00Z") };
  cr_assert_eq(msub_ipns_make(k, &what, buf, sizeof buf, &n), MSUB_OK);
  for (size_t cap = n - 1; cap <= n; cap++) {
    size_t m;
    cr_assert(msub_ipns_make(k, &what, buf, cap, &m) == (cap < n ? MSUB_ERR_LIMIT : MSUB_OK) && m == n);
  }
  what.sequence++;
  cr_assert_eq(msub_ipns_make(k, &what, buf, sizeof buf, &n), MSUB_ERR_INVAL, "stock readers hold it in 63 bits");
  what.sequence = 0;
  what.value.n = 0;
  cr_assert_eq(msub_ipns_make(k, &what, buf, sizeof buf, &n), MSUB_ERR_INVAL);
  /* The longest value that fits makes a record of the size that is allowed, to the byte. */
  size_t fits = 0;
  for (size_t len = MSUB_IPNS_RECORD_MAX - 300; len <= MSUB_IPNS_RECORD_MAX; len++) {
    what.value = (msub_bytes){ value, len };
    what.v2_only = true;
    int rc = msub_ipns_make(k, &what, buf, sizeof buf, &n);
    cr_assert_eq(rc, n <= MSUB_IPNS_RECORD_MAX && rc == MSUB_OK ? MSUB_OK : MSUB_ERR_LIMIT);
    if (rc == MSUB_OK) fits = n;
  }
  cr_assert_eq(fits, MSUB_IPNS_RECORD_MAX);
  what.value = (msub_bytes){ value, sizeof value };
  cr_assert_eq(msub_ipns_make(k, &what, buf, sizeof buf, &n), MSUB_ERR_LIMIT);
  memset(buf, 0, sizeof buf);
  cr_assert_eq(msub_ipns_verify(msub_key_peer_id(k), (msub_bytes){ buf, sizeof buf }, 0, 0, &r), MSUB_IPNS_TOO_LARGE, "looked at first");
  msub_key_free(k);
}

Test(ipns, faults_have_words) {
  for (int f = MSUB_IPNS_OK; f <= MSUB_IPNS_EXPIRED; f++)
    for (int g = MSUB_IPNS_OK; g < f; g++)
      cr_assert(strcmp(msub_ipns_fault_name((msub_ipns_fault)f), msub_ipns_fault_name((msub_ipns_fault)g)) != 0 &&
                strcmp(msub_ipns_fault_text((msub_ipns_fault)f), msub_ipns_fault_text((msub_ipns_fault)g)) != 0);
}
