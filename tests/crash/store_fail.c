/* crash.store-fail [STEP]: each file operation of a short life of a store fails once, or from there on for ever: with an error, a full disk, half a
 * write. No crash, no batch told that is not there afterwards, words for what happened; and what was stored before is intact. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "disk_kit.h"
#include "store_work.h"
#include "syscalls.h"

enum { BEFORE = 20, BATCHES = 45 };

static uint64_t told;
static int last;

static void on_durable(void *ud, msub_token token, int result) {
  (void)ud;
  last = result;
  if (result == MSUB_OK && token.v > 0) told = token.v;
}

static void wait_for(disk_kit *k) {
  msub_store s = k->kit.store;
  struct pollfd p = { .fd = msub_store_disk_fd(k->disk), .events = POLLIN };
  msub_now now = { 1, 0 };
  msub_store_disk_counts c;
  for (unsigned i = 0; i < 10000; i++) {
    msub_store_disk_count(k->disk, &c);
    if (c.waiting == 0) return;
    (void)poll(&p, 1, 1000);
    s.ops->turn(s.s, &now);
  }
  work_broken("waiting", "nothing is told");
}

/* One batch at a time, so that what is told is what is there; each is tried again a few times, as an owner may. */
static void live(disk_kit *k, uint64_t from, uint64_t to, bool all, const char *where) {
  msub_store s = k->kit.store;
  s.ops->listen(s.s, on_durable, NULL);
  for (uint64_t i = from; i <= to; i++) {
    for (unsigned attempt = 0; attempt < 3 && told < i; attempt++) {
      int err = work_submit(s, i, i);
      if (err != MSUB_OK) work_broken(where, "batch %u is refused: %s", (unsigned)i, msub_err_name(err));
      wait_for(k);
      if (told == i) break;
      if (last != MSUB_ERR_IO && last != MSUB_ERR_LIMIT) work_broken(where, "batch %u: %s", (unsigned)i, msub_err_name(last));
      if (!strstr(msub_store_disk_why(k->disk), k->dir)) work_broken(where, "no words for it");
      msub_bytes v;
      char now[24];
      (void)snprintf(now, sizeof now, "%u", (unsigned)told);
      int err_get = s.ops->get(s.s, msub_str("at"), &v);
      if (err_get == MSUB_ERR_IO && all) continue; /* a disk on which nothing can be opened any more */
      if (err_get != MSUB_OK) work_broken(where, "it cannot be read any more: %s", msub_err_name(err_get));
      if (!msub_bytes_eq(v, msub_str(now))) work_broken(where, "batch %u failed and is shown", (unsigned)i);
    }
    if (told < i) return;
  }
}

static uint64_t retries;
/* The disk is well again: a store that stopped writing goes on, with what was told. */
static void try_again(disk_kit *k, const char *where) {
  char why[MSUB_STORE_WHY];
  if (!msub_store_disk_broken(k->disk)) return;
  if (msub_store_disk_retry(k->disk, why) != MSUB_OK) work_broken(where, "again: %s", why);
  retries++;
  (void)work_check(k->kit.store, told, told + 1, where);
  live(k, told + 1, told + 2, false, where);
}

/* again: not closed and opened, but tried again, where it stopped writing. */
static uint64_t one_life(disk_kit *k, uint64_t n, int err, bool all, bool again) {
  char why[MSUB_STORE_WHY], where[80], path[160];
  (void)snprintf(where, sizeof where, "operation %u%s: %s", (unsigned)n, all ? " and all behind it" : "", err ? strerror(err) : "half a write");
  remove_folder(k->dir);
  told = 0;
  if (disk_kit_open(k, why) != MSUB_OK) work_broken(where, "at first: %s", why);
  live(k, 1, BEFORE, false, where);
  if (told != BEFORE || msub_store_disk_free(k->disk) != MSUB_OK) work_broken(where, "at first");
  if (n % 2) { /* as a kill leaves it: what is read at the start is more */
    (void)snprintf(path, sizeof path, "%s/lock", k->dir);
    write_file(path, "1\n", 2);
  }
  sys_watch(k->dir);
  sys_fail(n, err, all);
  int opened = disk_kit_open(k, why);
  if (opened == MSUB_OK) {
    live(k, BEFORE + 1, BATCHES, all, where);
    if (again && msub_store_disk_broken(k->disk)) (void)msub_store_disk_retry(k->disk, why); /* in vain, when the disk fails for ever */
    if (!again) {
      (void)msub_store_disk_free(k->disk);
      opened = MSUB_ERR_CLOSED;
    }
  } else if (!*why || strncmp(why, k->dir, strlen(k->dir)) != 0) {
    work_broken(where, "not opened, without words: %s", why);
  }
  uint64_t counted = sys_counted();
  bool failed = sys_failed() > 0;
  sys_fail(0, 0, false);
  sys_watch(NULL);
  if (opened == MSUB_OK) {
    if (again) try_again(k, where);
    (void)msub_store_disk_free(k->disk);
  }
  if (k->heap.live_bytes) work_broken(where, "%zu bytes were not given back", k->heap.live_bytes);
  if (!failed && told < BATCHES) work_broken(where, "nothing failed, and %u batches were told", (unsigned)told);
  if (disk_kit_open(k, why) != MSUB_OK) work_broken(where, "afterwards: %s", why);
  (void)work_check(k->kit.store, told, told + 1, where);
  live(k, told + 1, told + 3, false, where);
  if (msub_store_disk_free(k->disk) != MSUB_OK) work_broken(where, "afterwards it cannot be closed");
  return counted;
}

/* What an error has to say for itself. */
static void with_words(const disk_kit *k, const char *why, const char *where) {
  if (!*why || strncmp(why, k->dir, strlen(k->dir)) != 0) work_broken(where, "an error without words: %s", why);
}

/* The folder is made: what was not made to the end is made anew. */
static uint64_t one_making(disk_kit *k, uint64_t n, int err, bool all) {
  char why[MSUB_STORE_WHY], where[80];
  (void)snprintf(where, sizeof where, "making, operation %u%s: %s", (unsigned)n, all ? " and all behind it" : "", err ? strerror(err) : "half a write");
  remove_folder(k->dir);
  told = 0;
  sys_watch(k->dir);
  sys_fail(n, err, all);
  int opened = disk_kit_open(k, why);
  uint64_t counted = sys_counted();
  sys_fail(0, 0, false);
  sys_watch(NULL);
  if (opened == MSUB_OK) (void)msub_store_disk_free(k->disk);
  else with_words(k, why, where);
  if (k->heap.live_bytes) work_broken(where, "%zu bytes were not given back", k->heap.live_bytes);
  if (disk_kit_open(k, why) != MSUB_OK) work_broken(where, "afterwards: %s", why);
  live(k, 1, 3, false, where);
  if (told != 3 || msub_store_disk_free(k->disk) != MSUB_OK) work_broken(where, "afterwards");
  return counted;
}

/* It is opened to be read, and all of it is read; then it is written anew. Whatever fails, what is in it stays. */
static uint64_t one_look(disk_kit *k, uint64_t n, int err, bool all) {
  char why[MSUB_STORE_WHY], where[80];
  uint64_t before, after;
  msub_store_disk *disk;
  msub_store_disk_opts o = k->o;
  (void)snprintf(where, sizeof where, "looking, operation %u%s: %s", (unsigned)n, all ? " and all behind it" : "", err ? strerror(err) : "half a write");
  sys_watch(k->dir);
  sys_fail(n, err, all);
  o.read_only = o.must_exist = o.verify = true;
  int opened = msub_store_disk_open(&o, &disk, why);
  if (opened == MSUB_OK) (void)msub_store_disk_free(disk);
  else with_words(k, why, where);
  int compacted = msub_store_disk_compact(&k->o, &before, &after, why);
  if (compacted != MSUB_OK) with_words(k, why, where);
  uint64_t counted = sys_counted();
  if (sys_failed() == 0 && (opened != MSUB_OK || compacted != MSUB_OK)) work_broken(where, "nothing failed, and %d, %d: %s", opened, compacted, why);
  sys_fail(0, 0, false);
  sys_watch(NULL);
  if (k->heap.live_bytes) work_broken(where, "%zu bytes were not given back", k->heap.live_bytes);
  if (disk_kit_open(k, why) != MSUB_OK) work_broken(where, "afterwards: %s", why);
  (void)work_check(k->kit.store, told, told, where);
  if (msub_store_disk_free(k->disk) != MSUB_OK) work_broken(where, "afterwards it cannot be closed");
  return counted;
}

int main(int argc, char **argv) {
  static disk_kit kit;
  static const struct { int err; bool all; } ways[] = { { EIO, false }, { EIO, true }, { ENOSPC, false }, { ENOSPC, true }, { EINTR, false }, { 0, false }, { EROFS, true } };
  uint64_t step = argc > 1 ? strtoul(argv[1], NULL, 10) : 1, lives = 0;
  disk_kit_init(&kit);
  for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
    uint64_t counted = one_life(&kit, 0, 0, false, false);
    if (counted < 100) work_broken("counting", "%u operations", (unsigned)counted);
    for (uint64_t n = 1 + w % step; n <= counted + 10; n += step, lives++) (void)one_life(&kit, n, ways[w].err, ways[w].all, lives % 2);
    printf("%s%s: about %u operations\n", ways[w].err ? strerror(ways[w].err) : "half a write", ways[w].all ? ", for ever" : "", (unsigned)counted);
  }
  uint64_t makings = 0, looks = 0;
  for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
    uint64_t counted = one_making(&kit, 0, 0, false);
    for (uint64_t n = 1 + w % step; n <= counted + 1; n += step, makings++) (void)one_making(&kit, n, ways[w].err, ways[w].all);
  }
  remove_folder(kit.dir);
  char why[MSUB_STORE_WHY];
  told = 0;
  if (disk_kit_open(&kit, why) != MSUB_OK) work_broken("looking", "%s", why);
  live(&kit, 1, BEFORE, false, "looking");
  if (told != BEFORE || msub_store_disk_free(kit.disk) != MSUB_OK) work_broken("looking", "at first");
  for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
    uint64_t counted = one_look(&kit, 0, 0, false);
    for (uint64_t n = 1 + w % step; n <= counted + 1; n += step, looks++) (void)one_look(&kit, n, ways[w].err, ways[w].all);
  }
  printf("%u makings, %u looks\n", (unsigned)makings, (unsigned)looks);
  printf("%u lives, %u tried again\n", (unsigned)lives, (unsigned)retries);
  if (step == 1 && retries == 0) work_broken("at the end", "none was tried again");
  disk_kit_remove(&kit);
  return 0;
}
