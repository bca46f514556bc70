#include "store_work.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 32 };

void work_broken(const char *where, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  (void)fprintf(stderr, "not ok: %s: ", where);
  (void)vfprintf(stderr, format, ap);
  (void)fputc('\n', stderr);
  va_end(ap);
  abort();
}

static size_t fill(uint8_t to[6000], uint64_t i, unsigned salt) {
  uint64_t n = i * 2654435761u % (i % 11 ? 200 : 6000);
  for (size_t k = 0; k < n; k++) to[k] = (uint8_t)(i * salt + k);
  return (size_t)n;
}

uint64_t work_records(uint64_t i) { return i / WORK_LOG_EVERY; }

int work_submit(msub_store s, uint64_t i, uint64_t token) {
  static uint8_t value[6000], record[6000];
  char at[24], key[16], gone[16], log[24];
  (void)snprintf(at, sizeof at, "%" PRIu64, i);
  (void)snprintf(key, sizeof key, "k%u", (unsigned)(i % KEYS));
  (void)snprintf(gone, sizeof gone, "k%u", (unsigned)((i + 7) % KEYS));
  (void)snprintf(log, sizeof log, "%" PRIu64, work_records(i));
  int err = MSUB_OK;
  if (i % WORK_LOG_EVERY == 0) {
    uint64_t offset, first, next;
    s.ops->log_range(s.s, &first, &next);
    if (next < work_records(i)) err = s.ops->log_append(s.s, (msub_bytes){ record, fill(record, work_records(i) - 1, 3) }, &offset);
    if (err == MSUB_OK && next > first + 2 * WORK_KEEP) err = s.ops->log_truncate(s.s, next - WORK_KEEP);
    if (err == MSUB_OK) err = s.ops->log_sync(s.s, (msub_token){ 0 });
    if (err != MSUB_OK) return err;
  }
  const msub_store_op ops[] = { { true, msub_str("at"), msub_str(at) },
                                { true, msub_str("log"), msub_str(log) },
                                { true, msub_str(key), { value, fill(value, i, 5) } },
                                { false, msub_str(gone), { NULL, 0 } } };
  return s.ops->submit(s.s, ops, i % 5 == 0 ? 4 : 3, (msub_token){ token });
}

static uint64_t number(msub_store s, const char *key, const char *where) {
  char text[24] = "";
  msub_bytes v;
  int err = s.ops->get(s.s, msub_str(key), &v);
  if (err == MSUB_ERR_NOTFOUND) return 0;
  if (err != MSUB_OK || v.n >= sizeof text) work_broken(where, "\"%s\" cannot be read: %s", key, msub_err_name(err));
  memcpy(text, v.p, v.n);
  return strtoull(text, NULL, 10);
}

uint64_t work_check(msub_store s, uint64_t told, uint64_t begun, const char *where) {
  static uint8_t want[6000];
  uint64_t at = number(s, "at", where), owner[KEYS] = { 0 }, first, next;
  if (at < told || at > begun) work_broken(where, "batch %" PRIu64 " is the last one, %" PRIu64 " were told, %" PRIu64 " begun", at, told, begun);
  for (uint64_t i = at > 8 * KEYS ? at - 8 * KEYS : 1; i <= at; i++) {
    owner[i % KEYS] = i;
    if (i % 5 == 0) owner[(i + 7) % KEYS] = 0;
  }
  for (unsigned k = 0; k < KEYS; k++) {
    char key[16];
    msub_bytes v;
    (void)snprintf(key, sizeof key, "k%u", k);
    int err = s.ops->get(s.s, msub_str(key), &v);
    if ((err == MSUB_ERR_NOTFOUND) != (owner[k] == 0) || (err != MSUB_OK && owner[k])) work_broken(where, "%s after batch %" PRIu64 ": %s", key, at, msub_err_name(err));
    if (owner[k] && !msub_bytes_eq(v, (msub_bytes){ want, fill(want, owner[k], 5) })) work_broken(where, "%s after batch %" PRIu64 " is torn", key, at);
  }
  if (number(s, "log", where) != work_records(at)) work_broken(where, "\"log\" after batch %" PRIu64 " is torn", at);
  s.ops->log_range(s.s, &first, &next);
  if (next < work_records(at) || next > work_records(begun)) work_broken(where, "%" PRIu64 " records after batch %" PRIu64, next, at);
  if (first > 0 && next - first < WORK_KEEP) work_broken(where, "records %" PRIu64 " to %" PRIu64, first, next);
  for (uint64_t i = first; i < next; i++) {
    msub_bytes r;
    int err = s.ops->log_read(s.s, i, &r);
    if (err != MSUB_OK || !msub_bytes_eq(r, (msub_bytes){ want, fill(want, i, 3) })) work_broken(where, "record %" PRIu64 ": %s", i, msub_err_name(err));
  }
  return at;
}
