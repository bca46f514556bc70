#define _GNU_SOURCE /* usleep, kill, truncate */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/rng.h"
#include "disk_kit.h"
#include "store/disk.h"
#include "store/lmdb.h"

static disk_kit kit;
#define S kit.kit.store.s
#define OPS kit.kit.store.ops

static void fresh(void) { disk_kit_init(&kit); }
static void gone(void) { disk_kit_remove(&kit); }

static void in_kit(void (*run)(store_kit *k)) {
  store_case c = { "", run };
  store_suite_run(&kit.kit, &c);
}

static char why[MSUB_STORE_WHY];

static void on_durable(void *ud, msub_token token, int result) {
  store_kit *k = ud;
  k->told[k->n_told].token = token.v;
  k->told[k->n_told++].result = result;
}

static void reopen(void) {
  cr_assert_eq(disk_kit_open(&kit, why), MSUB_OK, "%s", why);
  kit.kit.n_told = 0;
  OPS->listen(S, on_durable, &kit.kit);
}

static void shut(void) {
  cr_assert_eq(msub_store_disk_free(kit.disk), MSUB_OK);
  cr_assert_eq(kit.heap.live_bytes, 0);
}

static const char *path(const char *name) {
  static char out[4][160];
  static unsigned i;
  (void)snprintf(out[++i % 4], sizeof out[0], "%s/%s", kit.dir, name);
  return out[i % 4];
}

static long size_of(const char *name) {
  struct stat st;
  return stat(path(name), &st) < 0 ? -1 : (long)st.st_size;
}

/* Opening must answer `err` and say what stands behind the folder's name. */
static void refused(int err, const char *text) {
  char want[MSUB_STORE_WHY];
  int got = disk_kit_open(&kit, why);
  (void)snprintf(want, sizeof want, "%s%s", kit.dir, text);
  cr_assert_eq(got, err, "%s: %s", msub_err_name(got), why);
  cr_assert_str_eq(why, want);
  cr_assert_eq(kit.heap.live_bytes, 0);
}

Test(store_disk, suite, .init = fresh, .fini = gone, .timeout = 120) {
  for (size_t i = 0; i < store_suite_n; i++) store_suite_run(&kit.kit, &store_suite[i]);
}

/* ---- groups, bounds, waiting ---- */

static void groups(store_kit *k) {
  msub_store_disk_counts c;
  msub__store_disk_hold(kit.disk, true);
  for (uint64_t i = 0; i < 600; i++) {
    char key[8];
    (void)snprintf(key, sizeof key, "%u", (unsigned)i);
    if (i % 10 == 5)
      cr_assert_eq(OPS->log_sync(S, (msub_token){ i }), MSUB_OK);
    else
      store_put(k, key, "v", i);
  }
  msub_store_disk_count(kit.disk, &c);
  cr_assert(c.waiting == 600 && c.waiting_bytes > 0 && c.batches == 0);
  msub__store_disk_hold(kit.disk, false);
  store_settle(k, 600);
  msub_store_disk_count(kit.disk, &c);
  cr_assert(c.batches == 540 && c.syncs == 60 && c.keys == 540 && c.waiting == 0 && c.waiting_bytes == 0 && c.failed == 0);
  cr_assert_leq(c.commits, 4, "%u transactions for 540 batches", (unsigned)c.commits);
  for (size_t i = 0; i < 600; i++) cr_assert(k->told[i].token == i && k->told[i].result == MSUB_OK);
}
Test(store_disk, groups, .init = fresh, .fini = gone) { in_kit(groups); }

static void waiting_is_bounded(store_kit *k) {
  static uint8_t big[20000];
  msub_store_op op = { true, msub_str("k"), { big, sizeof big } };
  uint64_t at;
  msub_store_disk_counts c;
  msub__store_disk_hold(kit.disk, true);
  for (uint64_t i = 0; i < 5; i++) cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ i }), MSUB_OK);
  cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ 9 }), MSUB_ERR_LIMIT, "over the bytes");
  cr_assert_eq(OPS->log_append(S, op.value, &at), MSUB_ERR_LIMIT);
  for (uint64_t i = 5; i < 8; i++) store_put(k, "small", "v", i);
  cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ 9 }), MSUB_ERR_LIMIT);
  cr_assert_eq(OPS->log_sync(S, (msub_token){ 9 }), MSUB_ERR_LIMIT, "over the number");
  msub_store_disk_count(kit.disk, &c);
  cr_assert(c.refused == 4 && c.waiting == 8);
  msub__store_disk_hold(kit.disk, false);
  store_settle(k, 8);
  cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ 8 }), MSUB_OK);
  cr_assert_eq(OPS->log_append(S, op.value, &at), MSUB_OK);
}
Test(store_disk, waiting_is_bounded, .init = fresh, .fini = gone) {
  kit.o.max_waiting = 8;
  kit.o.max_waiting_bytes = 102000;
  in_kit(waiting_is_bounded);
}

static void deadlines(store_kit *k) {
  msub_now now = { 5000000, 0 };
  OPS->turn(S, &now);
  cr_assert_eq(OPS->next_deadline(S), MSUB_NEVER);
  msub__store_disk_hold(kit.disk, true);
  store_put(k, "a", "1", 1);
  cr_assert_eq(OPS->next_deadline(S), now.mono_ns + 1000000, "nobody watches: look in a millisecond");
  (void)msub_store_disk_fd(kit.disk);
  cr_assert_eq(OPS->next_deadline(S), MSUB_NEVER, "now somebody does");
  msub__store_disk_hold(kit.disk, false);
  for (int i = 0; i < 5000 && OPS->next_deadline(S) != 0; i++) (void)usleep(1000);
  cr_assert_eq(OPS->next_deadline(S), 0);
  OPS->turn(S, &now);
  cr_assert(k->n_told == 1 && OPS->next_deadline(S) == MSUB_NEVER);
}
Test(store_disk, deadlines, .init = fresh, .fini = gone) { in_kit(deadlines); }

/* ---- growth, and its end ---- */

static void grows(store_kit *k) {
  static uint8_t big[100000];
  msub_bytes v;
  msub_store_disk_counts c;
  store_put(k, "first", "1", 0);
  store_settle(k, 1);
  for (unsigned i = 0; i < 80; i++) {
    char key[8];
    (void)snprintf(key, sizeof key, "k%u", i);
    memset(big, (int)i, sizeof big);
    msub_store_op op = { true, msub_str(key), { big, sizeof big } };
    cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ i + 1 }), MSUB_OK);
    cr_assert_eq(OPS->get(S, msub_str("first"), &v), MSUB_OK);
    (void)usleep(200); /* the thread may need more while the view is held */
    cr_assert(v.n == 1 && *v.p == '1', "the view moved");
    if (i % 8 == 7) store_settle(k, i + 2);
  }
  msub_store_disk_count(kit.disk, &c);
  cr_assert(c.grown >= 5 && c.keys == 81 && c.key_bytes > 8000000, "%u times", (unsigned)c.grown);
  for (unsigned i = 0; i < 80; i++) {
    char key[8];
    (void)snprintf(key, sizeof key, "k%u", i);
    cr_assert_eq(OPS->get(S, msub_str(key), &v), MSUB_OK);
    cr_assert(v.n == sizeof big && v.p[0] == i && v.p[v.n - 1] == i);
  }
}
Test(store_disk, grows, .init = fresh, .fini = gone) { in_kit(grows); }

Test(store_disk, grows_while_it_closes, .init = fresh, .fini = gone) {
  static uint8_t big[2000000];
  reopen();
  msub__store_disk_hold(kit.disk, true);
  msub_store_op op = { true, msub_str("big"), { big, sizeof big } };
  cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ 1 }), MSUB_OK);
  shut();
  reopen();
  msub_bytes v;
  cr_assert(OPS->get(S, op.key, &v) == MSUB_OK && v.n == sizeof big);
  shut();
}

static void full(store_kit *k) {
  static uint8_t big[300000];
  msub_store_op op = { true, msub_str("big"), { big, sizeof big } };
  store_put(k, "a", "1", 1);
  cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ 2 }), MSUB_OK);
  store_settle(k, 2);
  msub__store_disk_hold(kit.disk, true);
  store_put(k, "b", "1", 3);
  op.key = msub_str("huge");
  cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ 4 }), MSUB_OK);
  store_put(k, "c", "1", 5);
  cr_assert_str_eq(store_keys(k, "c"), "c=1");
  msub__store_disk_hold(kit.disk, false);
  store_settle(k, 5);
  static const int results[] = { MSUB_OK, MSUB_OK, MSUB_OK, MSUB_ERR_LIMIT, MSUB_OK };
  for (unsigned i = 0; i < 5; i++) cr_assert(k->told[i].token == i + 1 && k->told[i].result == results[i], "batch %u: %d", i + 1, k->told[i].result);
  char want[MSUB_STORE_WHY];
  (void)snprintf(want, sizeof want,
                 "%s: MDB_MAP_FULL: Environment mapsize limit reached: make room; what was stored is intact, and what comes when there is room will be", kit.dir);
  cr_assert_str_eq(msub_store_disk_why(kit.disk), want);
  msub_bytes v;
  cr_assert_eq(OPS->get(S, msub_str("huge"), &v), MSUB_ERR_NOTFOUND, "undone");
  store_put(k, "big", NULL, 6); /* room is made */
  store_settle(k, 6);
  cr_assert_eq(k->told[5].result, MSUB_OK);
  (void)store_keys(k, "a");
  store_put(k, "d", "1", 7); /* a commit more, before what was freed may be used */
  store_settle(k, 7);
  op.value.n = 200000; /* of what was freed that much is still in one piece */
  cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ 8 }), MSUB_OK);
  store_settle(k, 8);
  cr_assert_eq(k->told[7].result, MSUB_OK, "%s", msub_store_disk_why(kit.disk));
  kit.kit.crash(k);
  cr_assert(store_is(k, "a", "1") && store_is(k, "b", "1") && store_is(k, "c", "1") && store_is(k, "d", "1"));
}
Test(store_disk, full, .init = fresh, .fini = gone) {
  kit.o.max_bytes = 512 << 10;
  in_kit(full);
}

/* ---- who has it ---- */

Test(store_disk, one_at_a_time, .init = fresh, .fini = gone) {
  char text[128];
  reopen();
  msub_store_disk *first = kit.disk;
  (void)snprintf(text, sizeof text, ": process %ld has it open; end that one first, or name another folder", (long)getpid());
  size_t had = kit.heap.live_bytes;
  cr_assert_eq(disk_kit_open(&kit, why), MSUB_ERR_CLAIMED);
  cr_assert(strcmp(why + strlen(kit.dir), text) == 0 && kit.heap.live_bytes == had, "%s", why);
  kit.o.read_only = true;
  cr_assert_eq(disk_kit_open(&kit, why), MSUB_ERR_CLAIMED, "not even to read");
  kit.o.read_only = false;
  char pid[32];
  pid[read_file(path("lock"), pid, sizeof pid - 1)] = '\0';
  cr_assert_eq(atol(pid), getpid(), "who was refused left the lock as it was");
  kit.disk = first;
  shut();
  cr_assert_eq(size_of("lock"), 0);
}

/* Another process, which is killed. */
Test(store_disk, killed_owner, .init = fresh, .fini = gone) {
  int ready[2];
  char byte, text[128];
  cr_assert_eq(pipe(ready), 0);
  pid_t child = fork();
  if (child == 0) {
    if (disk_kit_open(&kit, why) == MSUB_OK) {
      store_put(&kit.kit, "kept", "1", 1);
      while (OPS->next_deadline(S) != 0) (void)usleep(100);
      (void)!write(ready[1], "", 1);
    }
    for (;;) (void)pause();
  }
  cr_assert_eq(read(ready[0], &byte, 1), 1);
  (void)snprintf(text, sizeof text, ": process %ld has it open; end that one first, or name another folder", (long)child);
  refused(MSUB_ERR_CLAIMED, text);
  (void)kill(child, SIGKILL);
  (void)waitpid(child, NULL, 0);
  cr_assert_gt(size_of("lock"), 0, "it left its pid");
  reopen();
  cr_assert(store_is(&kit.kit, "kept", "1"));
  shut();
}

Test(store_disk, read_only, .init = fresh, .fini = gone) {
  kit.o.read_only = true;
  refused(MSUB_ERR_NOTFOUND, ": no store: it has no file \"version\"");
  kit.o.read_only = false;
  reopen();
  uint64_t at;
  store_put(&kit.kit, "a", "1", 1);
  cr_assert_eq(OPS->log_append(S, msub_str("r"), &at), MSUB_OK);
  shut(); /* what was appended is written, though nobody asked */
  kit.o.read_only = true;
  reopen();
  msub_store_disk *first = kit.disk;
  reopen(); /* two who read */
  const msub_store_op op = { true, msub_str("b"), msub_str("1") };
  msub_bytes r;
  cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ 1 }), MSUB_ERR_STATE);
  cr_assert_eq(OPS->log_append(S, op.key, &at), MSUB_ERR_STATE);
  cr_assert_eq(OPS->log_sync(S, (msub_token){ 1 }), MSUB_ERR_STATE);
  cr_assert_eq(OPS->log_truncate(S, 0), MSUB_ERR_STATE);
  cr_assert(store_is(&kit.kit, "a", "1") && OPS->log_read(S, 0, &r) == MSUB_OK && msub_bytes_eq(r, msub_str("r")));
  kit.o.read_only = false;
  msub_store_disk *second = kit.disk;
  cr_assert_eq(disk_kit_open(&kit, why), MSUB_ERR_CLAIMED);
  cr_assert_str_eq(why + strlen(kit.dir), ": another process has it open; end that one first, or name another folder");
  cr_assert_eq(msub_store_disk_free(first), MSUB_OK);
  cr_assert_eq(msub_store_disk_free(second), MSUB_OK);
  cr_assert_eq(kit.heap.live_bytes, 0);
}

/* ---- what is in the folder ---- */

Test(store_disk, not_a_store, .init = fresh, .fini = gone) {
  kit.o.must_exist = true;
  refused(MSUB_ERR_NOTFOUND, ": no store: it has no file \"version\"");
  kit.o.must_exist = false;
  write_file(path("notes.txt"), "x", 1);
  refused(MSUB_ERR_MALFORMED, ": no store, and not empty: it has \"notes.txt\"; name a folder that is empty or not there yet");
  cr_assert_eq(size_of("lock"), -1, "nothing was made in it");
  cr_assert_eq(remove(path("notes.txt")), 0);
  reopen();
  store_put(&kit.kit, "a", "1", 1);
  shut();
  write_file(path("notes.txt"), "x", 1); /* a store it is now, whatever else is there */
  write_file(path("data.mdb.new"), "x", 1);
  reopen();
  cr_assert(store_is(&kit.kit, "a", "1") && size_of("data.mdb.new") == -1);
  shut();
  write_file(path("version"), "meshsub store 2\n", 16);
  refused(MSUB_ERR_UNSUPPORTED, ": a store of version 2, and this program knows version 1; use the release that wrote it");
  write_file(path("version"), "meshsub store 1x\n", 17);
  refused(MSUB_ERR_MALFORMED, "/version: not a version of a meshsub store; name another folder");
  write_file(path("version"), "", 0);
  refused(MSUB_ERR_MALFORMED, "/version: not a version of a meshsub store; name another folder");
  cr_assert_eq(remove(path("version")), 0);
  cr_assert_eq(remove(path("notes.txt")), 0);
  refused(MSUB_ERR_MALFORMED, ": its file \"version\" is missing; put it back from a copy, or name another folder");
  write_file(path("version"), "meshsub store 1\n", 16);
  reopen();
  cr_assert(store_is(&kit.kit, "a", "1"));
  shut();
  cr_assert_eq(remove(path("data.mdb")), 0);
  refused(MSUB_ERR_MALFORMED, "/data.mdb: missing or empty, and this is a store: put the folder back from a copy");
  kit.o.dir = "/tmp/meshsub-no/such";
  cr_assert_eq(disk_kit_open(&kit, why), MSUB_ERR_IO);
  cr_assert_str_eq(why, "/tmp/meshsub-no/such: No such file or directory: make the folder above it first");
  kit.o.must_exist = true;
  cr_assert_eq(disk_kit_open(&kit, why), MSUB_ERR_NOTFOUND);
  cr_assert_str_eq(why, "/tmp/meshsub-no/such: no store: there is no such folder");
}

/* The making was killed: what is there was never used. */
Test(store_disk, unfinished, .init = fresh, .fini = gone) {
  write_file(path("version.new"), "meshsub", 7);
  write_file(path("data.mdb"), "half of a page", 14);
  write_file(path("lock"), "1\n", 2);
  reopen();
  store_put(&kit.kit, "a", "1", 1);
  shut();
  cr_assert(size_of("version") == 16 && size_of("version.new") == -1);
  reopen();
  cr_assert(store_is(&kit.kit, "a", "1"));
  shut();
}

Test(store_disk, options, .init = fresh, .fini = gone) {
  static char deep[1100];
  msub_store_disk_opts o;
  msub_store_disk_opts_init(&o);
  cr_assert(o.map_bytes == 64u << 20 && o.segment_bytes == 16u << 20 && o.max_waiting == 1024 && o.max_waiting_bytes == 64u << 20);
  msub_store_disk *d;
  cr_assert_eq(msub_store_disk_open(&o, &d, NULL), MSUB_ERR_INVAL);
  memset(deep, 'x', sizeof deep - 1);
  for (unsigned i = 0; i < 9; i++) {
    msub_store_disk_opts_init(&o);
    o.dir = kit.dir;
    switch (i) {
    case 0: o.size--; break;
    case 1: o.dir = ""; break;
    case 2: o.dir = deep; break;
    case 3: o.map_bytes = (64 << 10) - 1; break;
    case 4: o.max_bytes = o.map_bytes - 1; break;
    case 5: o.segment_bytes = 4095; break;
    case 6: o.segment_bytes = (1u << 30) + 1; break;
    case 7: o.max_waiting = 0; break;
    default: o.max_waiting_bytes = 0; break;
    }
    cr_assert_eq(msub_store_disk_open(&o, &d, why), MSUB_ERR_INVAL, "%u", i);
    cr_assert(*why);
  }
  cr_assert_eq(msub_store_disk_free(NULL), MSUB_OK);
}

/* ---- the log ---- */

static unsigned segments(char last[64]) {
  DIR *d = opendir(path("log"));
  unsigned n = 0;
  last[0] = '\0';
  for (const struct dirent *e; (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    n++;
    if (strcmp(e->d_name, last) > 0) (void)snprintf(last, 64, "%.40s", e->d_name);
  }
  (void)closedir(d);
  return n;
}

static size_t fill(uint8_t *to, uint64_t i) { /* record i */
  msub__rng r;
  msub__rng_init(&r, 77, (uint32_t)i);
  size_t n = msub__rng_below(&r, 8) ? msub__rng_below(&r, 300) : msub__rng_below(&r, 20000);
  for (size_t k = 0; k < n; k++) to[k] = (uint8_t)(i + k);
  return n;
}

static void record_is(uint64_t i) {
  static uint8_t want[20000];
  msub_bytes r;
  int err = OPS->log_read(S, i, &r);
  cr_assert_eq(err, MSUB_OK, "record %u: %d", (unsigned)i, err);
  cr_assert(msub_bytes_eq(r, (msub_bytes){ want, fill(want, i) }), "record %u", (unsigned)i);
}

static uint64_t add(void) {
  static uint8_t bytes[20000];
  uint64_t first, next, at;
  OPS->log_range(S, &first, &next);
  cr_assert_eq(OPS->log_append(S, (msub_bytes){ bytes, fill(bytes, next) }, &at), MSUB_OK);
  cr_assert_eq(at, next);
  return at;
}

static void sync_log(void) {
  size_t n = kit.kit.n_told;
  cr_assert_eq(OPS->log_sync(S, (msub_token){ 1 }), MSUB_OK);
  store_settle(&kit.kit, n + 1);
  cr_assert_eq(kit.kit.told[n].result, MSUB_OK);
}

Test(store_disk, log_of_many_segments, .init = fresh, .fini = gone) {
  char last[64];
  msub__rng r;
  uint64_t first = 0, next = 0, durable = 0, f, n;
  msub__rng_init(&r, 5, 0);
  reopen();
  for (unsigned round = 0; round < 3000; round++) {
    switch (msub__rng_below(&r, 12)) {
    case 0:
      sync_log();
      durable = next;
      break;
    case 1:
      if (next - first > 300) {
        first += msub__rng_below(&r, 60);
        cr_assert_eq(OPS->log_truncate(S, first), MSUB_OK);
      }
      break;
    case 2:
      if (next > first) record_is(first + msub__rng_below(&r, (uint32_t)(next - first)));
      break;
    case 3:
      if (msub__rng_below(&r, 20)) break;
      if (msub__rng_below(&r, 2)) {
        shut();
        durable = next;
      } else {
        msub__store_disk_abandon(kit.disk);
      }
      reopen();
      OPS->log_range(S, &f, &n);
      cr_assert(n >= durable && n <= next && f <= first, "%u..%u", (unsigned)f, (unsigned)n);
      first = f;
      next = durable = n;
      break;
    default: next = add() + 1; break;
    }
  }
  sync_log();
  cr_assert_gt(segments(last), 10);
  for (uint64_t i = first; i < next; i++) record_is(i);
  for (uint64_t i = next; i-- > first;) record_is(i);
  cr_assert_eq(OPS->log_truncate(S, next), MSUB_OK);
  sync_log();
  cr_assert_leq(segments(last), 2, "what is truncated goes");
  shut();
  reopen();
  OPS->log_range(S, &f, &n);
  cr_assert(f == next && n == next);
  cr_assert_eq(add(), next);
  shut();
}

static void flip(const char *name, long at) {
  FILE *f = fopen(path(name), "r+b");
  cr_assert(f && fseek(f, at, SEEK_SET) == 0);
  int c = fgetc(f);
  cr_assert(c != EOF && fseek(f, at, SEEK_SET) == 0 && fputc(c ^ 1, f) != EOF && fclose(f) == 0);
}

/* Damage is told from a torn tail by what later items, or the table, know. */
Test(store_disk, damaged_log, .init = fresh, .fini = gone) {
  static const char seg[] = "log/0000000000000000.seg";
  char text[256];
  uint64_t f, n, at;
  kit.o.segment_bytes = 1 << 20;
  reopen();
  for (unsigned i = 0; i < 3; i++) {
    cr_assert_eq(OPS->log_append(S, msub_str("12345678"), &at), MSUB_OK);
    sync_log();
  }
  msub__store_disk_abandon(kit.disk); /* the table does not know */
  long whole = size_of(seg);
  cr_assert_eq(whole, 40 + 3 * 40);
  static uint8_t bytes[4096];
  (void)read_file(path(seg), bytes, sizeof bytes);

  flip(seg, 40 + 40 + 32); /* in the second record; the third one knows that two were durable */
  (void)snprintf(text, sizeof text, "/%s: damaged at byte 80: record 1 cannot be read, and 2 were durable", seg);
  refused(MSUB_ERR_MALFORMED, text);
  refused(MSUB_ERR_MALFORMED, text);
  cr_assert_eq(size_of(seg), whole, "nothing was changed");

  write_file(path(seg), bytes, (size_t)whole);
  flip(seg, 40 + 80 + 8); /* in the third: it might never have been told */
  reopen();
  OPS->log_range(S, &f, &n);
  cr_assert(f == 0 && n == 2 && size_of(seg) == 120);
  cr_assert_eq(OPS->log_append(S, msub_str("again"), &at), MSUB_OK);
  cr_assert_eq(at, 2);
  sync_log();
  shut(); /* now the table knows */
  flip(seg, 120 + 32);
  (void)snprintf(text, sizeof text, "/%s: damaged at byte 120: record 2 cannot be read, and 3 were durable", seg);
  refused(MSUB_ERR_MALFORMED, text);
  cr_assert_eq(truncate(path(seg), 120), 0); /* cut where a record ends */
  refused(MSUB_ERR_MALFORMED, text);
  write_file(path(seg), "MSUBLOG1", 8);
  (void)snprintf(text, sizeof text, "/%s: damaged at byte 0: record 0 cannot be read, and 3 were durable", seg);
  refused(MSUB_ERR_MALFORMED, text);
  cr_assert_eq(remove(path(seg)), 0);
  refused(MSUB_ERR_MALFORMED, "/log: 3 records were durable, and 0 are there: segments are missing");
  kit.o.cut_damage = true;
  reopen();
  OPS->log_range(S, &f, &n);
  cr_assert(f == 0 && n == 0);
  cr_assert_eq(OPS->log_append(S, msub_str("new"), &at), MSUB_OK);
  sync_log();
  shut();
  kit.o.cut_damage = false;
  reopen();
  shut();
}

Test(store_disk, damage_within, .init = fresh, .fini = gone) {
  char last[64], name[80];
  msub_bytes r;
  uint64_t n = 0;
  msub_store_disk_counts c;
  reopen();
  while (segments(last) < 4) {
    n = add();
    sync_log();
  }
  shut();
  flip("log/0000000000000000.seg", 40 + 8); /* of the first record, in a segment that is not read at the start */
  reopen();
  cr_assert_eq(OPS->log_read(S, 0, &r), MSUB_ERR_IO);
  record_is(n);
  msub_store_disk_count(kit.disk, &c);
  cr_assert_eq(c.damaged, 1);
  shut();
  kit.o.verify = true;
  refused(MSUB_ERR_MALFORMED, "/log/0000000000000000.seg: record 0 cannot be read");
  kit.o.verify = false;
  cr_assert_eq(remove(path("log/0000000000000000.seg")), 0);
  int err = disk_kit_open(&kit, why);
  cr_assert(err == MSUB_ERR_MALFORMED && strstr(why, "/log: record 0 should be the first, and ") && strstr(why, " is: segments are missing"), "%s", why);
  (void)snprintf(name, sizeof name, "log/%.40s", last);
  cr_assert_gt(size_of(name), 0);
  kit.o.cut_damage = true;
  reopen();
  record_is(n);
  shut();
}

/* ---- the table ---- */

static void some_keys(unsigned n) {
  static uint8_t value[9000];
  for (unsigned i = 0; i < n; i++) {
    char key[16];
    (void)snprintf(key, sizeof key, "key %u", i);
    memset(value, (int)i, sizeof value);
    msub_store_op op = { true, msub_str(key), { value, i % 7 == 0 ? sizeof value : i % 50 } };
    cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ i }), MSUB_OK);
    if (i % 20 == 19) store_settle(&kit.kit, i + 1);
  }
  for (unsigned i = 0; i < n; i += 3) { /* so that something is free */
    char key[16];
    (void)snprintf(key, sizeof key, "key %u", i);
    store_put(&kit.kit, key, NULL, n + i);
  }
  store_settle(&kit.kit, n + (n + 2) / 3);
}

enum { RIGHT, UNREADABLE = 3, WRONG, MISSING };
/* As some_keys(n) left it? The worst of its keys. */
static int keys_are(unsigned n) {
  int worst = RIGHT;
  for (unsigned i = 0; i < n; i++) {
    char key[16];
    msub_bytes v = { NULL, 0 };
    (void)snprintf(key, sizeof key, "key %u", i);
    int err = OPS->get(S, msub_str(key), &v), is = RIGHT;
    if (err == MSUB_ERR_IO) is = UNREADABLE;
    else if ((err == MSUB_ERR_NOTFOUND) != (i % 3 == 0)) is = err ? MISSING : WRONG;
    else if (err == MSUB_OK && v.n != (i % 7 == 0 ? 9000 : i % 50)) is = WRONG;
    for (size_t k = 0; k < v.n && is == RIGHT; k++)
      if (v.p[k] != (uint8_t)i) is = WRONG;
    if (is != RIGHT && worst != WRONG) worst = is;
  }
  return worst;
}

Test(store_disk, cut_short, .init = fresh, .fini = gone) {
  reopen();
  some_keys(200);
  shut();
  long whole = size_of("data.mdb");
  copy_file(path("data.mdb"), path("copy"));
  unsigned refusals = 0;
  for (long n = whole - 4096; n > 0; n -= 4096) {
    copy_file(path("copy"), path("data.mdb"));
    cr_assert_eq(truncate(path("data.mdb"), n), 0);
    if (disk_kit_open(&kit, why) == MSUB_OK) { /* the pages at the end were free */
      cr_assert_eq(keys_are(200), RIGHT, "at %ld of %ld", n, whole);
      shut();
      continue;
    }
    refusals++;
    cr_assert(strstr(why, "/data.mdb: cut short: page ") && strstr(why, "; nothing was changed: put the folder back from a copy"), "%s", why);
    cr_assert_eq(size_of("data.mdb"), n);
  }
  cr_assert_gt(refusals, 10);
  copy_file(path("copy"), path("data.mdb"));
  reopen();
  cr_assert_eq(keys_are(200), RIGHT);
  shut();
}

/* A flipped bit anywhere: refused, or an answer that is right or IO; LMDB is not made to crash. In a child, in case it is. */
Test(store_disk, flipped_bits, .init = fresh, .fini = gone, .timeout = 300) {
  reopen();
  some_keys(120);
  shut();
  long whole = size_of("data.mdb");
  copy_file(path("data.mdb"), path("copy"));
  msub__rng r;
  msub__rng_init(&r, 3, 0);
  unsigned refused_n = 0, unreadable = 0;
  for (unsigned i = 0; i < 400; i++) {
    long at = i < 40 ? (long)i * 4 : i % 2 ? (long)msub__rng_below(&r, (uint32_t)whole) : (long)msub__rng_below(&r, (uint32_t)whole / 4096) * 4096 + (long)msub__rng_below(&r, 64);
    copy_file(path("copy"), path("data.mdb"));
    flip("data.mdb", at);
    write_file(path("lock"), "1\n", 2); /* not closed properly: it is looked at */
    pid_t child = fork();
    if (child == 0) {
      kit.o.verify = i % 4 == 0;
      if (disk_kit_open(&kit, why) != MSUB_OK) _exit(2);
      int is = keys_are(120);
      store_put(&kit.kit, "new", "1", 1);
      (void)msub_store_disk_free(kit.disk);
      _exit(is);
    }
    int status;
    (void)waitpid(child, &status, 0);
    cr_assert(WIFEXITED(status), "byte %ld: killed by signal %d", at, WTERMSIG(status));
    int is = WEXITSTATUS(status);
    cr_assert_neq(is, WRONG, "byte %ld: a wrong answer", at);
    cr_assert(is != MISSING || i % 4, "byte %ld: a key that is another one now is found by looking at all", at);
    refused_n += is == 2;
    unreadable += is == UNREADABLE;
  }
  cr_assert(refused_n > 20 && unreadable > 20, "%u refused, %u with unreadable values", refused_n, unreadable);
}

/* ---- again, after a failure ---- */

static msub__os frail; /* the system's, but for what is told to fail */
static bool fail_sync, fail_open, fail_uncache, fail_list;
static unsigned uncached;
static int frail_open(void *ud, const char *name, msub__os_mode mode) { return fail_open ? -EIO : msub__os_posix.open(ud, name, mode); }
static int frail_sync(void *ud, int fd) { return fail_sync ? -EIO : msub__os_posix.sync(ud, fd); }
static int frail_uncache(void *ud, int fd) {
  uncached++;
  return fail_uncache ? -EIO : msub__os_posix.uncache(ud, fd);
}
static int frail_list(void *ud, const char *dir, bool (*fn)(void *fud, const char *name), void *fud) {
  return fail_list ? -EACCES : msub__os_posix.list(ud, dir, fn, fud);
}
static void open_frail(void) {
  frail = msub__os_posix;
  frail.open = frail_open;
  frail.sync = frail_sync;
  frail.uncache = frail_uncache;
  frail.list = frail_list;
  fail_sync = fail_open = fail_uncache = fail_list = false;
  cr_assert_eq(msub__store_disk_open(&kit.o, &frail, &kit.disk, why), MSUB_OK, "%s", why);
  kit.kit.store = msub_store_disk_store(kit.disk);
  kit.kit.n_told = 0;
  OPS->listen(S, on_durable, &kit.kit);
}
static int retried_inside;
static void on_durable_retry(void *ud, msub_token token, int result) {
  on_durable(ud, token, result);
  retried_inside = msub_store_disk_retry(kit.disk, NULL);
}
/* A sync of the log fails. */
static void break_it(void) {
  size_t n = kit.kit.n_told;
  fail_sync = true;
  (void)add();
  cr_assert_eq(OPS->log_sync(S, (msub_token){ 5 }), MSUB_OK);
  store_settle(&kit.kit, n + 1);
  cr_assert(kit.kit.told[n].result == MSUB_ERR_IO && msub_store_disk_broken(kit.disk));
  fail_sync = false;
}

Test(store_disk, tried_again, .init = fresh, .fini = gone) {
  uint64_t first, next;
  msub_store_disk_counts c;
  open_frail();
  some_keys(30);
  for (unsigned i = 0; i < 5; i++) (void)add();
  sync_log();
  cr_assert(!msub_store_disk_broken(kit.disk) && msub_store_disk_retry(kit.disk, why) == MSUB_ERR_STATE, "nothing is wrong");
  break_it();
  size_t n = kit.kit.n_told;
  store_put(&kit.kit, "in vain", "x", 9);
  cr_assert_eq(msub_store_disk_retry(kit.disk, why), MSUB_ERR_STATE, "something waits");
  OPS->listen(S, on_durable_retry, &kit.kit);
  store_settle(&kit.kit, n + 1);
  cr_assert(kit.kit.told[n].result == MSUB_ERR_IO && retried_inside == MSUB_ERR_STATE, "from inside");
  OPS->listen(S, on_durable, &kit.kit);
  /* In vain: each time with words, and afterwards it can be tried again. */
  bool *const fails[] = { &fail_open, &fail_uncache, &fail_list };
  for (unsigned i = 0; i < 3; i++) {
    msub_bytes v;
    *fails[i] = true;
    int err = msub_store_disk_retry(kit.disk, why);
    cr_assert(err == MSUB_ERR_IO && strncmp(why, kit.dir, strlen(kit.dir)) == 0, "%u: %d %s", i, err, why);
    cr_assert(msub_store_disk_broken(kit.disk));
    cr_assert_eq(OPS->get(S, msub_str("key 1"), &v), i < 2 ? MSUB_ERR_IO : MSUB_OK, "what was not verified is not shown");
    *fails[i] = false;
  }
  uncached = 0;
  cr_assert_eq(msub_store_disk_retry(kit.disk, why), MSUB_OK, "%s", why);
  cr_assert(!msub_store_disk_broken(kit.disk) && uncached >= 2 && *why == '\0');
  cr_assert_eq(keys_are(30), RIGHT);
  OPS->log_range(S, &first, &next);
  cr_assert(first == 0 && next >= 5 && next <= 6, "the one that was not told is there, or not");
  for (uint64_t i = 0; i < next; i++) record_is(i);
  /* It goes on. */
  n = kit.kit.n_told;
  store_put(&kit.kit, "afterwards", "x", 10);
  store_settle(&kit.kit, n + 1);
  cr_assert_eq(kit.kit.told[n].result, MSUB_OK);
  (void)add();
  sync_log();
  msub_store_disk_count(kit.disk, &c);
  cr_assert(c.retried == 1 && c.failed == 2);
  shut();
  reopen();
  cr_assert_eq(keys_are(30), RIGHT);
  OPS->log_range(S, &first, &n);
  for (uint64_t i = 0; i < n; i++) record_is(i);
  cr_assert_eq(n, next + 1);
  msub_bytes v;
  cr_assert_eq(OPS->get(S, msub_str("afterwards"), &v), MSUB_OK);
  shut();
}

/* What was told and is not there any more is never made do without. */
Test(store_disk, tried_again_on_damage, .init = fresh, .fini = gone) {
  enum { KEYS, TABLE, OLDER, LOG, CASES };
  for (unsigned i = 0; i < CASES; i++) {
    static char bytes[1 << 20];
    char last[64];
    remove_folder(kit.dir);
    open_frail();
    some_keys(30);
    for (unsigned k = 0; k < 5; k++) (void)add();
    sync_log();
    size_t n = kit.kit.n_told;
    size_t before = read_file(path("data.mdb"), bytes, sizeof bytes);
    store_put(&kit.kit, "newest", "x", 11);
    store_settle(&kit.kit, n + 1);
    break_it();
    if (i == KEYS) for (long at = 4096; at < size_of("data.mdb"); at += 512) flip("data.mdb", at + 200);
    if (i == TABLE) cr_assert_eq(truncate(path("data.mdb"), 3 * 4096), 0);
    if (i == OLDER) write_file(path("data.mdb"), bytes, before); /* whole, and from before the newest batch */
    if (i == LOG) {
      (void)segments(last);
      char name[80];
      (void)snprintf(name, sizeof name, "log/%s", last);
      cr_assert_eq(truncate(path(name), 60), 0);
    }
    int err = msub_store_disk_retry(kit.disk, why);
    cr_assert(err == MSUB_ERR_MALFORMED && *why, "%u: %d, %s", i, err, why);
    cr_assert(i != OLDER || strstr(why, "was durable, and the newest is"), "%s", why);
    cr_assert(msub_store_disk_broken(kit.disk));
    msub_store_op op = { true, msub_str("k"), msub_str("v") };
    n = kit.kit.n_told;
    cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ 1 }), MSUB_OK);
    store_settle(&kit.kit, n + 1);
    cr_assert_eq(kit.kit.told[n].result, MSUB_ERR_IO);
    cr_assert_neq(msub_store_disk_free(kit.disk), MSUB_OK);
    cr_assert_eq(kit.heap.live_bytes, 0);
  }
}

Test(store_disk, compact, .init = fresh, .fini = gone) {
  uint64_t before, after;
  reopen();
  some_keys(900);
  for (unsigned i = 200; i < 900; i++) {
    char key[16];
    (void)snprintf(key, sizeof key, "key %u", i);
    store_put(&kit.kit, key, NULL, i);
    if (i % 100 == 99) store_settle(&kit.kit, kit.kit.n_told + 100);
  }
  (void)add();
  cr_assert_eq(msub_store_disk_compact(&kit.o, &before, &after, why), MSUB_ERR_CLAIMED);
  shut();
  cr_assert_eq(msub_store_disk_compact(&kit.o, &before, &after, why), MSUB_OK, "%s", why);
  cr_assert(before > 2 * after && size_of("data.mdb") == (long)after && size_of("data.mdb.new") == -1, "%u to %u", (unsigned)before, (unsigned)after);
  kit.o.verify = true;
  reopen();
  cr_assert_eq(keys_are(200), RIGHT);
  record_is(0);
  store_put(&kit.kit, "after", "1", 1);
  store_settle(&kit.kit, 1);
  shut();
}

/* ---- no memory ---- */

static bool one_life(size_t fail) {
  uint64_t at;
  bool whole = false;
  remove_folder(kit.dir);
  kit.heap.fail_after = fail;
  int err = disk_kit_open(&kit, why);
  if (err == MSUB_OK) {
    const msub_store_op ops[] = { { true, msub_str("a"), msub_str("1") }, { false, msub_str("b"), { NULL, 0 } }, { true, msub_str("a"), msub_str("2") } };
    OPS->listen(S, on_durable, &kit.kit);
    kit.kit.n_told = 0;
    err = OPS->submit(S, ops, 3, (msub_token){ 1 });
    cr_assert(err == MSUB_OK || err == MSUB_ERR_NOMEM);
    whole = err == MSUB_OK;
    cr_assert(store_is(&kit.kit, "a", whole ? "2" : NULL), "all or nothing");
    size_t wanted = whole;
    err = OPS->log_append(S, msub_str("record"), &at);
    whole &= err == MSUB_OK;
    uint64_t first, next;
    OPS->log_range(S, &first, &next);
    cr_assert_eq(next, err == MSUB_OK);
    if (err == MSUB_OK) (void)OPS->log_truncate(S, 1);
    err = OPS->log_sync(S, (msub_token){ 2 });
    wanted += err == MSUB_OK;
    whole &= err == MSUB_OK;
    store_settle(&kit.kit, wanted);
    msub_bytes r;
    err = OPS->log_append(S, msub_str("another"), &at);
    if (err == MSUB_OK) {
      err = OPS->log_sync(S, (msub_token){ 3 });
      whole &= err == MSUB_OK;
      store_settle(&kit.kit, wanted + (err == MSUB_OK));
      err = OPS->log_read(S, at, &r);
      whole &= err == MSUB_OK;
    } else {
      whole = false;
    }
    kit.heap.fail_after = 0;
    store_put(&kit.kit, "c", "1", 3);
    cr_assert_eq(msub_store_disk_free(kit.disk), MSUB_OK, "it is still usable");
  } else {
    cr_assert(err == MSUB_ERR_NOMEM && *why, "%s", why);
  }
  kit.heap.fail_after = 0;
  cr_assert_eq(kit.heap.live_bytes, 0);
  return whole;
}
Test(store_disk, every_allocation_fails_once, .init = fresh, .fini = gone) {
  size_t n = 1;
  while (!one_life(n)) n++;
  cr_assert_gt(n, 12);
}

/* ---- at the edges of each call ---- */

static void turn_inside(void *ud, msub_token token, int result) {
  const msub_now now = { 5, 0 };
  on_durable(ud, token, result);
  OPS->turn(S, &now); /* nothing: it is under way */
}

static unsigned seen_keys;
static bool one_only(void *ud, msub_bytes key, msub_bytes value) {
  (void)ud, (void)key, (void)value;
  return ++seen_keys == 0;
}
static bool one_record(void *ud, uint64_t offset, msub_bytes record) {
  (void)ud, (void)record;
  return offset == 0; /* and the second one, which ends it */
}

Test(store_disk, edges, .init = fresh, .fini = gone) {
  static uint8_t key[MSUB_STORE_KEY_MAX + 1], large[MSUB_STORE_VALUE_MAX + 1];
  msub_bytes v;
  uint64_t at;
  memset(key, 'k', sizeof key);
  kit.o.max_waiting_bytes = (size_t)64 << 20;
  reopen();
  for (size_t n = MSUB_STORE_KEY_MAX - 1; n <= MSUB_STORE_KEY_MAX + 1; n++) {
    msub_store_op op = { true, { key, n }, msub_str("x") };
    cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ n }), n > MSUB_STORE_KEY_MAX ? MSUB_ERR_LIMIT : MSUB_OK);
  }
  store_settle(&kit.kit, 2);
  for (size_t n = MSUB_STORE_KEY_MAX - 1; n <= MSUB_STORE_KEY_MAX + 1; n++) {
    cr_assert_eq(OPS->get(S, (msub_bytes){ key, n }, &v), n > MSUB_STORE_KEY_MAX ? MSUB_ERR_NOTFOUND : MSUB_OK);
    seen_keys = 0;
    cr_assert_eq(OPS->iterate(S, (msub_bytes){ key, n }, one_only, NULL), MSUB_OK);
    cr_assert_eq(seen_keys, n <= MSUB_STORE_KEY_MAX, "until it answers false, or nothing begins so");
  }
  cr_assert_eq(OPS->get(S, (msub_bytes){ NULL, 0 }, &v), MSUB_ERR_NOTFOUND);
  cr_assert_eq(OPS->log_append(S, (msub_bytes){ large, sizeof large }, &at), MSUB_ERR_LIMIT);
  cr_assert_eq(OPS->log_append(S, (msub_bytes){ large, sizeof large - 1 }, &at), MSUB_OK);
  (void)add();
  (void)add();
  OPS->listen(S, turn_inside, &kit.kit);
  sync_log();
  cr_assert_eq(OPS->log_iterate(S, 0, one_record, NULL), MSUB_OK);
  OPS->listen(S, NULL, NULL);
  store_put(&kit.kit, "unheard", "x", 1);
  msub_store_disk_counts c;
  do {
    const msub_now now = { 7, 0 };
    OPS->turn(S, &now);
    msub_store_disk_count(kit.disk, &c);
  } while (c.waiting > 0);
  shut();
  /* A folder of the log has what it has; none of these is a segment, or makes the log one of other numbers. */
  static const char *const names[] = { "0000000000000000.sex", "000000000000000g.seg", "000000000000000A.seg", "00000000000000.seg", "8000000000000000.seg", "x", "000000000000000:.seg",
                                       "0000000000000000seg" };
  char name[80];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    (void)snprintf(name, sizeof name, "log/%s", names[i]);
    write_file(path(name), "x", 1);
  }
  /* Whose lock it was: no process, or one that there cannot be. */
  static const char *const pids[] = { "0\n", "-1\n", "99999999999\n", "no number", "1\n" };
  for (size_t i = 0; i < sizeof pids / sizeof *pids; i++) {
    write_file(path("lock"), pids[i], strlen(pids[i]));
    reopen();
    msub_store_disk *second;
    cr_assert_eq(msub_store_disk_open(&kit.o, &second, NULL), MSUB_ERR_CLAIMED);
    write_file(path("lock"), pids[i], strlen(pids[i]));
    cr_assert_eq(msub_store_disk_open(&kit.o, &second, why), MSUB_ERR_CLAIMED);
    cr_assert_eq(strstr(why, "process 1 ") != NULL, i == 4, "%s", why);
    cr_assert(i == 4 || strstr(why, "another process"), "%s", why);
    shut();
  }
  uint64_t before, after;
  cr_assert_eq(msub_store_disk_compact(&kit.o, &before, &after, NULL), MSUB_OK);
  cr_assert_eq(remove(path("lock")), 0); /* to be read it takes none */
  kit.o.read_only = kit.o.must_exist = true;
  reopen();
  cr_assert_eq(OPS->get(S, msub_str("unheard"), &v), MSUB_OK);
  shut();
}

/* ---- each word of data.mdb, and each read of the log ---- */

/* Every second byte of every page is made another number: it is refused with words, or what can be read of it is right or IO (flipped_bits). */
Test(store_disk, other_words, .init = fresh, .fini = gone, .timeout = 300) {
  static uint8_t whole[1 << 20];
  static const uint16_t other[] = { 0, 1, 3, 0x00ff, 0x7fff, 0xffff };
  msub_mem mem = count_mem_of(&kit.heap);
  reopen();
  some_keys(12);
  shut();
  reopen(); /* so that there are free pages, and lists of them */
  for (unsigned i = 0; i < 6; i++) store_put(&kit.kit, "key 7", i % 2 ? "x" : NULL, 100 + i), store_settle(&kit.kit, i + 1);
  shut();
  size_t n = read_file(path("data.mdb"), whole, sizeof whole);
  int fd = msub__os_posix.open(NULL, path("data.mdb"), MSUB__OS_WRITE);
  cr_assert(fd >= 0 && n % 4096 == 0 && n >= 8 * 4096);
  unsigned refused_n = 0, passed = 0;
  char file[160];
  (void)snprintf(file, sizeof file, "%s", path("data.mdb"));
  for (size_t at = 0; at < n; at += 2) {
    bool head = at % 4096 < 160 || at < 2 * 4096;
    if (!head && at % 4096 < 3700 && at % 34) continue; /* of values not every word */
    for (size_t k = 0; k < sizeof other / sizeof *other; k++) {
      uint8_t bytes[2] = { (uint8_t)other[k], (uint8_t)(other[k] >> 8) };
      cr_assert_eq(msub__os_write_all(&msub__os_posix, fd, bytes, 2, at), 0);
      *why = '\0';
      int err = msub__lmdb_check(&msub__os_posix, &mem, file, why, sizeof why);
      cr_assert(err == MSUB_OK || (err == MSUB_ERR_MALFORMED && *why), "byte %zu, %u: %d", at, other[k], err);
      refused_n += err != MSUB_OK;
      passed += err == MSUB_OK;
    }
    cr_assert_eq(msub__os_write_all(&msub__os_posix, fd, whole + at, 2, at), 0);
  }
  cr_assert(refused_n > 500 && passed > 500, "%u, %u", refused_n, passed);
  for (size_t fail = 1;; fail++) { /* and without memory */
    kit.heap.fail_after = fail;
    int err = msub__lmdb_check(&msub__os_posix, &mem, file, why, sizeof why);
    bool failed = kit.heap.fail_after == 0;
    kit.heap.fail_after = 0;
    cr_assert_eq(err, failed ? MSUB_ERR_NOMEM : MSUB_OK);
    if (!failed) break;
  }
  cr_assert_eq(msub__os_posix.close(NULL, fd), 0);
  cr_assert_eq(kit.heap.live_bytes, 0);
}

static size_t fail_at; /* the how-manieth file operation from now on fails; 0: none */
static bool is_failing(void) { return fail_at > 0 && --fail_at == 0; }
static int nth_open(void *ud, const char *name, msub__os_mode mode) { return is_failing() ? -EMFILE : msub__os_posix.open(ud, name, mode); }
static int64_t nth_size(void *ud, int fd) { return is_failing() ? -EIO : msub__os_posix.size(ud, fd); }
static int64_t nth_read(void *ud, int fd, void *to, size_t n, uint64_t at) {
  if (is_failing()) return n % 2 ? 0 : -EIO; /* or the file is shorter than it was */
  return msub__os_posix.read(ud, fd, to, n, at);
}
static int nth_remove(void *ud, const char *name) { return is_failing() ? -EACCES : msub__os_posix.remove(ud, name); }
static int nth_list(void *ud, const char *dir, bool (*fn)(void *fud, const char *name), void *fud) {
  return is_failing() ? -EIO : msub__os_posix.list(ud, dir, fn, fud);
}

/* A log of many segments is opened and read, while a file operation or an allocation fails: no record is another one, and the next look is right. */
Test(store_disk, log_reads_fail, .init = fresh, .fini = gone, .timeout = 300) {
  static uint8_t want[20000];
  uint64_t first, next;
  reopen();
  for (unsigned i = 0; i < 60; i++) {
    (void)add();
    if (i % 5 == 4) sync_log();
  }
  shut();
  for (unsigned of_memory = 0; of_memory < 2; of_memory++) {
    bool failed = true;
    size_t lives = 0;
    for (size_t n = 1; failed; n++, lives++) {
      frail = msub__os_posix;
      frail.open = nth_open;
      frail.size = nth_size;
      frail.read = nth_read;
      frail.remove = nth_remove;
      frail.list = nth_list;
      fail_at = of_memory ? 0 : n;
      kit.heap.fail_after = of_memory ? n : 0;
      int err = msub__store_disk_open(&kit.o, &frail, &kit.disk, why);
      cr_assert(err == MSUB_OK || *why, "%zu: %d", n, err);
      if (err == MSUB_OK) {
        kit.kit.store = msub_store_disk_store(kit.disk);
        OPS->log_range(S, &first, &next);
        for (unsigned round = 0; round < 2; round++) {
          for (uint64_t i = next; i-- > first;) { /* backwards: each segment is looked through anew */
            msub_bytes r;
            int got = OPS->log_read(S, i, &r);
            cr_assert(got == MSUB_OK || got == MSUB_ERR_IO || got == MSUB_ERR_NOMEM, "%zu: %d", n, got);
            cr_assert(got != MSUB_OK || msub_bytes_eq(r, (msub_bytes){ want, fill(want, i) }), "%zu: record %u", n, (unsigned)i);
            cr_assert(got == MSUB_OK || (fail_at == 0 && kit.heap.fail_after == 0), "%zu: nothing failed", n);
          }
        }
        (void)OPS->log_truncate(S, next / 2);
        failed = of_memory ? kit.heap.fail_after == 0 : fail_at == 0;
        fail_at = kit.heap.fail_after = 0;
        cr_assert_eq(next, 60);
        for (uint64_t i = next / 2; i < next; i++) record_is(i);
        msub__store_disk_abandon(kit.disk); /* what was truncated comes again */
      }
      fail_at = kit.heap.fail_after = 0;
      cr_assert_eq(kit.heap.live_bytes, 0, "%zu", n);
      cr_assert_lt(n, 3000);
    }
    cr_assert_gt(lives, 10, "%zu", lives);
  }
}
