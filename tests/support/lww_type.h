/* tests/support/lww_type.h: a type of records for tests. A record is text: a letter, a digit, anything.
 *
 *   g good   e valid until the Unix second 1060   x expired   b invalid   i IGNORE   j good, and its sequence is far up
 *
 * The higher digit wins, then the greater bytes. */
#ifndef MSUB_TESTS_LWW_TYPE_H
#define MSUB_TESTS_LWW_TYPE_H
#include <string.h>
#include "meshsub/lww.h"

static msub_verdict lww_type_validate(const void *type, msub_bytes topic, msub_bytes r) {
  (void)type, (void)topic;
  if (r.n < 2 || !memchr("geixj", r.p[0], 5)) return MSUB_REJECT;
  return r.p[0] == 'i' ? MSUB_IGNORE : MSUB_ACCEPT;
}
static int lww_type_compare(const void *type, msub_bytes topic, msub_bytes a, msub_bytes b) {
  (void)type, (void)topic;
  int x = (int)a.p[1] - (int)b.p[1];
  if (x == 0) x = memcmp(a.p + 1, b.p + 1, (a.n < b.n ? a.n : b.n) - 1);
  if (x == 0) x = (a.n > b.n) - (a.n < b.n);
  return x ? x : (int)a.p[0] - (int)b.p[0];
}
static int64_t lww_type_expires(const void *type, msub_bytes topic, msub_bytes r) {
  (void)type, (void)topic;
  return r.p[0] == 'e' ? INT64_C(1060000000000) : r.p[0] == 'x' ? 1 : INT64_MAX;
}
static uint64_t lww_type_sequence(const void *type, msub_bytes topic, msub_bytes r) {
  (void)type, (void)topic;
  return r.p[1] + (r.p[0] == 'j' ? UINT64_C(1) << 40 : 0);
}
static bool lww_type_contradicts(const void *type, msub_bytes topic, msub_bytes a, msub_bytes b) {
  (void)type, (void)topic;
  return a.p[0] == b.p[0] && a.p[1] == b.p[1];
}
static const msub_lww_ops lww_type = { .abi = MSUB_ABI, .size = sizeof(msub_lww_ops), .name = "test", .validate = lww_type_validate,
                                       .compare = lww_type_compare, .expires = lww_type_expires, .sequence = lww_type_sequence,
                                       .contradicts = lww_type_contradicts };
static unsigned lww_type_jobs; /* verifications of whole messages */
static msub_verdict lww_type_message(const void *wire, size_t n) {
  lww_type_jobs++;
  return msub_lww_validate_message(&lww_type, NULL, wire, n);
}
/* The same, verified in the world's pool. */
static const msub_lww_ops lww_pooled __attribute__((unused)) = { .abi = MSUB_ABI, .size = sizeof(msub_lww_ops), .name = "test", .validate = lww_type_validate,
  .compare = lww_type_compare, .expires = lww_type_expires, .sequence = lww_type_sequence, .contradicts = lww_type_contradicts,
  .validate_message = lww_type_message };
#endif
