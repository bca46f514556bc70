/* unit.store-threads: the store on disk as a plain program, so that the thread sanitizer can look: the suite, then an owner who reads, writes,
 * syncs and truncates as fast as it can while the thread commits and the map grows. */
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include "base/rng.h"
#include "disk_kit.h"

static uint64_t told, failed;

static void on_durable(void *ud, msub_token token, int result) {
  (void)ud;
  STORE_CHECK(token.v == ++told);
  failed += result != MSUB_OK;
}

static bool count(void *ud, msub_bytes key, msub_bytes value) {
  (void)key, (void)value;
  return ++*(unsigned *)ud < 50;
}
static bool count_records(void *ud, uint64_t offset, msub_bytes record) {
  (void)offset, (void)record;
  return ++*(unsigned *)ud < 50;
}

static void load(disk_kit *k) {
  static uint8_t value[4000];
  char why[MSUB_STORE_WHY], key[16];
  msub__rng r;
  msub__rng_init(&r, 1, 0);
  if (disk_kit_open(k, why) != MSUB_OK) store_broken(why, __FILE__, __LINE__);
  msub_store s = k->kit.store;
  s.ops->listen(s.s, on_durable, NULL);
  struct pollfd p = { .fd = msub_store_disk_fd(k->disk), .events = POLLIN };
  msub_now now = { 1, 0 };
  uint64_t begun = 0, offset, first, next;
  for (unsigned i = 0; i < 20000; i++) {
    msub_bytes v;
    unsigned n = 0;
    (void)snprintf(key, sizeof key, "k%u", msub__rng_below(&r, 400));
    msub_store_op op = { msub__rng_below(&r, 5) > 0, msub_str(key), { value, msub__rng_below(&r, sizeof value) } };
    switch (msub__rng_below(&r, 8)) {
    case 0:
    case 1:
    case 2: begun += s.ops->submit(s.s, &op, 1, (msub_token){ begun + 1 }) == MSUB_OK; break;
    case 3: STORE_CHECK(s.ops->get(s.s, op.key, &v) != MSUB_ERR_IO); break;
    case 4: (void)s.ops->log_append(s.s, (msub_bytes){ value, msub__rng_below(&r, 900) }, &offset); break;
    case 5: begun += s.ops->log_sync(s.s, (msub_token){ begun + 1 }) == MSUB_OK; break;
    case 6:
      STORE_CHECK(s.ops->iterate(s.s, msub_str("k1"), count, &n) == MSUB_OK);
      s.ops->log_range(s.s, &first, &next);
      STORE_CHECK(s.ops->log_iterate(s.s, first, count_records, &n) == MSUB_OK);
      if (next - first > 500) STORE_CHECK(s.ops->log_truncate(s.s, next - 200) == MSUB_OK);
      break;
    default:
      if (begun - told > 100) (void)poll(&p, 1, 5);
      now.mono_ns++;
      s.ops->turn(s.s, &now);
    }
  }
  while (told < begun) {
    (void)poll(&p, 1, 100);
    s.ops->turn(s.s, &now);
  }
  msub_store_disk_counts c;
  msub_store_disk_count(k->disk, &c);
  STORE_CHECK(failed == 0 && c.failed == 0 && c.damaged == 0 && c.batches + c.syncs == begun && c.grown > 0);
  printf("%u batches in %u transactions, %u syncs\n", (unsigned)c.batches, (unsigned)c.commits, (unsigned)c.syncs);
  STORE_CHECK(msub_store_disk_free(k->disk) == MSUB_OK && k->heap.live_bytes == 0);
}

int main(void) {
  static disk_kit k;
  disk_kit_init(&k);
  for (size_t i = 0; i < store_suite_n; i++) store_suite_run(&k.kit, &store_suite[i]);
  load(&k);
  disk_kit_remove(&k);
  return 0;
}
