/* lww/register.c: the signed register: an author, a counter, bytes.
 *
 *   version 1 │ counter 8 │ key length 2 │ PublicKey │ value length 4 │ value │ signature          numbers big endian
 *   └──────────────────────── signed, behind the domain and the topic ────────┘
 *
 * Every part has one encoding, so nobody but the author can make another record that says the same. */
#include <string.h>
#include "meshsub/lww.h"
#include "meshsub/rpc.h"

enum { VERSION = 1, KEY_AT = 11 };
static const char domain[] = "meshsub-lww-register:";

static uint64_t number(const uint8_t *p, unsigned n) {
  uint64_t x = 0;
  for (unsigned i = 0; i < n; i++) x = x << 8 | p[i];
  return x;
}
static void put_number(uint8_t *p, uint64_t x, unsigned n) {
  for (unsigned i = 0; i < n; i++) p[i] = (uint8_t)(x >> (8 * (n - 1 - i)));
}

int msub_lww_register_read(msub_bytes record, msub_lww_register *out) {
  if (record.n < KEY_AT || record.p[0] != VERSION) return MSUB_ERR_MALFORMED;
  size_t key = (size_t)number(record.p + 9, 2), left = record.n - KEY_AT;
  if (key == 0 || key > MSUB_PUBLIC_KEY_MAX || left < key + 4) return MSUB_ERR_MALFORMED;
  const uint8_t *p = record.p + KEY_AT + key;
  size_t value = (size_t)number(p, 4);
  left -= key + 4;
  if (value >= left || left - value > MSUB_SIG_MAX) return MSUB_ERR_MALFORMED;
  *out = (msub_lww_register){ .key = { record.p + KEY_AT, key }, .counter = number(record.p + 1, 8), .value = { p + 4, value },
                              .signature = { p + 4 + value, left - value }, .signed_part = { record.p, record.n - (left - value) } };
  return msub_public_key_peer_id(out->key, &out->author);
}

/* What is signed: four parts. length: 2 bytes of the caller's. */
static void signed_parts(msub_bytes topic, msub_bytes part, uint8_t length[2], msub_bytes out[4]) {
  put_number(length, topic.n, 2);
  out[0] = msub_str(domain);
  out[1] = (msub_bytes){ length, 2 };
  out[2] = topic;
  out[3] = part;
}

/* The topic ends in "/" and the author's id as text. */
static bool topic_of(msub_bytes topic, const msub_peer_id *author) {
  char text[MSUB_PEER_ID_TEXT];
  msub_bytes name = msub_str(msub_peer_id_text(msub_peer_id_bytes(author), text));
  return topic.n > name.n && topic.p[topic.n - name.n - 1] == '/' && memcmp(topic.p + topic.n - name.n, name.p, name.n) == 0;
}
static bool listed(const msub_lww_authors *a, const msub_peer_id *author) {
  for (size_t i = 0; a && i < a->n; i++)
    if (msub_bytes_eq(a->ids[i], msub_peer_id_bytes(author))) return true;
  return false;
}

static msub_verdict signature(msub_bytes topic, const msub_lww_register *r) {
  msub_bytes parts[4];
  uint8_t length[2];
  if (topic.n > UINT16_MAX) return MSUB_REJECT;
  signed_parts(topic, r->signed_part, length, parts);
  int rc = msub_verify_parts(r->key, parts, 4, r->signature);
  if (rc == MSUB_ERR_NOMEM) return MSUB_THROTTLED;
  return rc == MSUB_OK ? MSUB_ACCEPT : rc == MSUB_ERR_UNSUPPORTED ? MSUB_IGNORE : MSUB_REJECT;
}

static msub_verdict validate(const void *type, msub_bytes topic, msub_bytes record) {
  (void)type;
  msub_lww_register r;
  if (msub_lww_register_read(record, &r) != MSUB_OK || !topic_of(topic, &r.author)) return MSUB_REJECT;
  return signature(topic, &r);
}
static msub_verdict validate_listed(const void *type, msub_bytes topic, msub_bytes record) {
  msub_lww_register r;
  if (msub_lww_register_read(record, &r) != MSUB_OK || !listed(type, &r.author)) return MSUB_REJECT;
  return signature(topic, &r);
}
static msub_verdict validate_message(const void *wire, size_t n) { return msub_lww_validate_message(&msub_lww_register_ops, NULL, wire, n); }

static int compare(const void *type, msub_bytes topic, msub_bytes a, msub_bytes b) {
  (void)type, (void)topic;
  int x = memcmp(a.p + 1, b.p + 1, 8); /* the counters, big endian */
  if (x == 0) x = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
  return x ? x : (a.n > b.n) - (a.n < b.n);
}
static uint64_t sequence(const void *type, msub_bytes topic, msub_bytes record) {
  (void)type, (void)topic;
  return number(record.p + 1, 8);
}
static bool contradicts(const void *type, msub_bytes topic, msub_bytes a, msub_bytes b) {
  (void)type, (void)topic;
  msub_lww_register x, y;
  return msub_lww_register_read(a, &x) == MSUB_OK && msub_lww_register_read(b, &y) == MSUB_OK && x.counter == y.counter &&
         msub_bytes_eq(x.key, y.key) && !msub_bytes_eq(x.value, y.value);
}

const msub_lww_ops msub_lww_register_ops = { .abi = MSUB_ABI, .size = sizeof(msub_lww_ops), .name = "register", .validate = validate, .compare = compare,
                                             .sequence = sequence, .contradicts = contradicts, .validate_message = validate_message };
const msub_lww_ops msub_lww_register_listed_ops = { .abi = MSUB_ABI, .size = sizeof(msub_lww_ops), .name = "register", .validate = validate_listed,
                                                    .compare = compare, .sequence = sequence, .contradicts = contradicts };

int msub_lww_register_make(const msub_key *k, msub_bytes topic, uint64_t counter, msub_bytes value, uint8_t *out, size_t cap, size_t *n) {
  msub_bytes key = msub_key_public(k), parts[4];
  uint8_t length[2];
  if (topic.n == 0 || topic.n > UINT16_MAX || value.n > UINT32_MAX) return MSUB_ERR_INVAL;
  size_t head = KEY_AT + key.n + 4;
  if (head > cap || value.n > cap - head) return MSUB_ERR_LIMIT;
  out[0] = VERSION;
  put_number(out + 1, counter, 8);
  put_number(out + 9, key.n, 2);
  memcpy(out + KEY_AT, key.p, key.n);
  put_number(out + KEY_AT + key.n, value.n, 4);
  if (value.n) memcpy(out + head, value.p, value.n);
  size_t at = head + value.n;
  signed_parts(topic, (msub_bytes){ out, at }, length, parts);
  int rc = msub_key_sign_parts(k, parts, 4, out + at, cap - at);
  if (rc < 0) return rc;
  *n = at + (size_t)rc;
  return MSUB_OK;
}
