/* Calls that do not go through store/os.h, of LMDB and of the system, fail one by one: while a store is opened, while it is read, while it is written. The
 * linker puts the functions here in their place (--wrap). */
#define _GNU_SOURCE /* mkdtemp */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "disk_kit.h"
#include "store/disk.h"
#include "store/folder.h"
#include "store/os.h"

/* The how-manieth call of this thread from now on fails, once; 0: none. */
static _Thread_local size_t fail_after;
/* The same of mdb_put() and mdb_txn_commit(), in whatever thread, and what they say then. */
static atomic_size_t put_fails, commit_fails;
static atomic_int fails_with;
static atomic_bool no_room; /* says the disk */

static bool fails(void) { return fail_after > 0 && --fail_after == 0; }
static bool fails_anywhere(atomic_size_t *left) {
  size_t n = atomic_load(left);
  if (n == 0) return false;
  atomic_store(left, n - 1);
  return n == 1;
}

/* clang-format off */
#define WRAP(type, name, args, call, failure)                   \
  type __real_##name args;                                      \
  type __wrap_##name args;                                      \
  type __wrap_##name args {                                     \
    if (fails()) return failure;                                \
    return __real_##name call;                                  \
  }
WRAP(int, mdb_env_create, (MDB_env **e), (e), ENOMEM)
WRAP(int, mdb_env_set_maxdbs, (MDB_env *e, MDB_dbi n), (e, n), EINVAL)
WRAP(int, mdb_env_set_mapsize, (MDB_env *e, size_t n), (e, n), ENOMEM)
WRAP(int, mdb_env_open, (MDB_env *e, const char *path, unsigned flags, mdb_mode_t mode), (e, path, flags, mode), EIO)
WRAP(int, mdb_env_info, (MDB_env *e, MDB_envinfo *i), (e, i), EINVAL)
WRAP(int, mdb_reader_check, (MDB_env *e, int *dead), (e, dead), EIO)
WRAP(int, mdb_txn_begin, (MDB_env *e, MDB_txn *p, unsigned flags, MDB_txn **t), (e, p, flags, t), MDB_READERS_FULL)
WRAP(int, mdb_txn_renew, (MDB_txn *t), (t), MDB_BAD_RSLOT)
WRAP(int, mdb_dbi_open, (MDB_txn *t, const char *name, unsigned flags, MDB_dbi *d), (t, name, flags, d), MDB_DBS_FULL)
WRAP(int, mdb_get, (MDB_txn *t, MDB_dbi d, MDB_val *k, MDB_val *v), (t, d, k, v), MDB_PAGE_NOTFOUND)
WRAP(int, mdb_stat, (MDB_txn *t, MDB_dbi d, MDB_stat *s), (t, d, s), EINVAL)
WRAP(int, mdb_cursor_open, (MDB_txn *t, MDB_dbi d, MDB_cursor **c), (t, d, c), ENOMEM)
WRAP(int, mdb_cursor_renew, (MDB_txn *t, MDB_cursor *c), (t, c), EINVAL)
WRAP(int, mdb_cursor_get, (MDB_cursor *c, MDB_val *k, MDB_val *v, MDB_cursor_op op), (c, k, v, op), MDB_CORRUPTED)
WRAP(int, pipe, (int fd[2]), (fd), (errno = EMFILE, -1))
WRAP(int, pthread_sigmask, (int how, const sigset_t *set, sigset_t *old), (how, set, old), EINVAL)
WRAP(int, pthread_create, (pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg), (t, a, fn, arg), EAGAIN)
WRAP(int, fstat, (int fd, struct stat *st), (fd, st), (errno = EIO, -1))
/* clang-format on */

int __real_mdb_put(MDB_txn *t, MDB_dbi d, MDB_val *k, MDB_val *v, unsigned flags);
int __wrap_mdb_put(MDB_txn *t, MDB_dbi d, MDB_val *k, MDB_val *v, unsigned flags);
int __wrap_mdb_put(MDB_txn *t, MDB_dbi d, MDB_val *k, MDB_val *v, unsigned flags) {
  return fails_anywhere(&put_fails) ? atomic_load(&fails_with) : __real_mdb_put(t, d, k, v, flags);
}

int __real_mdb_txn_commit(MDB_txn *t);
int __wrap_mdb_txn_commit(MDB_txn *t);
int __wrap_mdb_txn_commit(MDB_txn *t) {
  bool here = fails(), there = fails_anywhere(&commit_fails);
  if (!here && !there) return __real_mdb_txn_commit(t);
  mdb_txn_abort(t); /* a commit that fails frees it, too */
  return here ? EIO : atomic_load(&fails_with);
}

int __real_fcntl(int fd, int what, int arg);
int __wrap_fcntl(int fd, int what, ...);
int __wrap_fcntl(int fd, int what, ...) {
  va_list args;
  va_start(args, what);
  int arg = va_arg(args, int);
  va_end(args);
  if (fails()) {
    errno = EINVAL;
    return -1;
  }
  return __real_fcntl(fd, what, arg);
}

int __real_statvfs(const char *path, struct statvfs *s);
int __wrap_statvfs(const char *path, struct statvfs *s);
int __wrap_statvfs(const char *path, struct statvfs *s) {
  int r = __real_statvfs(path, s);
  if (r == 0 && atomic_load(&no_room)) s->f_bavail = 0;
  return r;
}

/* ---- the cases ---- */

static disk_kit kit;
static char why[MSUB_STORE_WHY];
#define S kit.kit.store.s
#define OPS kit.kit.store.ops
enum { KEYS = 20 };

static void on_durable(void *ud, msub_token token, int result) {
  store_kit *k = ud;
  k->told[k->n_told].token = token.v;
  k->told[k->n_told++].result = result;
}

static int open_again(void) {
  int err = disk_kit_open(&kit, why);
  if (err != MSUB_OK) return err;
  kit.kit.n_told = 0;
  OPS->listen(S, on_durable, &kit.kit);
  return err;
}

static void shut(void) {
  cr_assert_eq(msub_store_disk_free(kit.disk), MSUB_OK);
  cr_assert_eq(kit.heap.live_bytes, 0);
}

static msub_bytes key_of(uint8_t k, char out[8]) {
  (void)snprintf(out, 8, "key%02u", k);
  return msub_str(out);
}

/* One batch with the keys from … to - 1; what became of it. */
static int put(uint8_t from, uint8_t to, const char *value) {
  msub_store_op ops[KEYS];
  char text[KEYS][8];
  for (uint8_t k = from; k < to; k++) ops[k - from] = (msub_store_op){ true, key_of(k, text[k - from]), msub_str(value) };
  unsigned told = (unsigned)kit.kit.n_told;
  int err = OPS->submit(S, ops, (size_t)(to - from), (msub_token){ 1 });
  if (err != MSUB_OK) return err;
  while (kit.kit.n_told == told) kit.kit.turn(&kit.kit);
  return kit.kit.told[told].result;
}

static void expect(const char *value) {
  msub_bytes v;
  char text[8];
  for (uint8_t k = 0; k < KEYS; k++) {
    cr_assert_eq(OPS->get(S, key_of(k, text), &v), MSUB_OK, "%s", text);
    cr_assert(msub_bytes_eq(v, msub_str(value)), "%s", text);
  }
}

static void begin(void) {
  disk_kit_init(&kit);
  cr_assert_eq(open_again(), MSUB_OK, "%s", why);
  cr_assert_eq(put(0, KEYS, "one"), MSUB_OK);
  shut();
}
static void end(void) { disk_kit_remove(&kit); }

/* It is refused, in words, and leaves nothing behind; or it opens all the same, and everything is there. */
static unsigned open_failing(bool read_only) {
  unsigned refused = 0;
  kit.o.read_only = read_only;
  for (size_t n = 1;; n++) {
    fail_after = n;
    int err = open_again();
    bool failed = fail_after == 0;
    fail_after = 0;
    if (err != MSUB_OK) {
      cr_assert(failed, "%s", why);
      cr_assert(strncmp(why, kit.dir, strlen(kit.dir)) == 0 && strlen(why) > strlen(kit.dir) + 2, "%zu: %s: %s", n, msub_err_name(err), why);
      cr_assert_eq(kit.heap.live_bytes, 0, "%zu", n);
      refused++;
      cr_assert_eq(open_again(), MSUB_OK, "after %zu: %s", n, why);
    }
    expect("one");
    shut();
    if (!failed) break;
    cr_assert(n < 200);
  }
  kit.o.read_only = false;
  return refused;
}

Test(store_calls, opening, .init = begin, .fini = end, .timeout = 60) {
  unsigned n = open_failing(false);
  cr_assert(n >= 15, "%u", n);
  n = open_failing(true);
  cr_assert(n >= 9, "%u", n);
}

typedef struct walk { unsigned n; } walk;
static bool seen(void *ud, msub_bytes key, msub_bytes value) {
  (void)key;
  cr_assert(msub_bytes_eq(value, msub_str("one")));
  ((walk *)ud)->n++;
  return true;
}

/* What cannot be read is IO, never another answer; the next time it is there. */
Test(store_calls, reading, .init = begin, .fini = end, .timeout = 60) {
  unsigned failures = 0;
  bool failed = true;
  for (size_t n = 1; failed; n++) {
    cr_assert_eq(open_again(), MSUB_OK, "%s", why);
    fail_after = n;
    msub_bytes v;
    char text[8];
    int err = OPS->get(S, key_of(3, text), &v);
    cr_assert(err == MSUB_ERR_IO || (err == MSUB_OK && msub_bytes_eq(v, msub_str("one"))), "%zu: %s", n, msub_err_name(err));
    failures += err != MSUB_OK;
    kit.kit.turn(&kit.kit); /* the snapshot ends */
    walk w = { 0 };
    err = OPS->iterate(S, msub_str("key"), seen, &w);
    cr_assert(err == MSUB_ERR_IO || (err == MSUB_OK && w.n == KEYS), "%zu: %s, %u", n, msub_err_name(err), w.n);
    failures += err != MSUB_OK;
    kit.kit.turn(&kit.kit);
    msub_store_disk_counts c;
    msub_store_disk_count(kit.disk, &c);
    failed = fail_after == 0;
    fail_after = 0;
    kit.kit.turn(&kit.kit);
    expect("one");
    shut();
    cr_assert(n < 400);
  }
  cr_assert(failures >= KEYS, "%u", failures);
}

/* A batch whose second value, or whose commit, LMDB does not take. */
Test(store_calls, writing, .init = begin, .fini = end, .timeout = 60) {
  for (unsigned by_commit = 0; by_commit < 2; by_commit++) {
    for (unsigned full = 0; full < 2; full++) {
      cr_assert_eq(open_again(), MSUB_OK, "%s", why);
      atomic_store(&fails_with, EIO);
      atomic_store(&no_room, full);
      atomic_store(by_commit ? &commit_fails : &put_fails, by_commit ? 1 : 2);
      int err = put(0, KEYS, "two");
      cr_assert_eq(err, full ? MSUB_ERR_LIMIT : MSUB_ERR_IO, "%s", msub_err_name(err));
      atomic_store(&no_room, false);
      cr_assert(msub_store_disk_broken(kit.disk) == !full);
      expect("one");
      err = put(0, KEYS, "one"); /* where there is room again it goes on; where it is broken it does not */
      cr_assert_eq(err, full ? MSUB_OK : MSUB_ERR_IO, "%s", msub_err_name(err));
      if (!full) {
        cr_assert_eq(msub_store_disk_retry(kit.disk, why), MSUB_OK, "%s", why);
        cr_assert_eq(put(0, KEYS, "one"), MSUB_OK);
      }
      expect("one");
      (void)msub_store_disk_free(kit.disk);
      cr_assert_eq(kit.heap.live_bytes, 0);
    }
  }
}

/* Many batches in one transaction on a disk that is full: each is tried alone. */
Test(store_calls, alone, .init = begin, .fini = end, .timeout = 60) {
  cr_assert_eq(open_again(), MSUB_OK, "%s", why);
  msub__store_disk_hold(kit.disk, true);
  for (uint8_t k = 0; k < 3; k++) {
    char text[8];
    msub_store_op op = { true, key_of(k, text), msub_str("one") };
    cr_assert_eq(OPS->submit(S, &op, 1, (msub_token){ k + 1u }), MSUB_OK);
  }
  atomic_store(&fails_with, EIO);
  atomic_store(&no_room, true);
  atomic_store(&commit_fails, 1);
  msub__store_disk_hold(kit.disk, false);
  while (kit.kit.n_told < 3) kit.kit.turn(&kit.kit);
  for (unsigned i = 0; i < 3; i++) cr_assert_eq(kit.kit.told[i].result, MSUB_OK, "%u", i);
  atomic_store(&no_room, false);
  expect("one");
  shut();
}

/* Trying again after a failure: each call of that fails once, and it stays as it was. */
Test(store_calls, again, .init = begin, .fini = end, .timeout = 60) {
  unsigned refused = 0;
  cr_assert_eq(open_again(), MSUB_OK, "%s", why);
  atomic_store(&fails_with, EIO);
  atomic_store(&commit_fails, 1);
  cr_assert_eq(put(0, KEYS, "two"), MSUB_ERR_IO);
  for (size_t n = 1; n < 200; n++) {
    fail_after = n;
    int err = msub_store_disk_retry(kit.disk, why);
    bool failed = fail_after == 0;
    fail_after = 0;
    cr_assert_eq(err != MSUB_OK, msub_store_disk_broken(kit.disk), "%zu: %s", n, why);
    if (err == MSUB_OK) {
      cr_assert(refused >= 8 || failed, "%u", refused);
      break;
    }
    cr_assert(strncmp(why, kit.dir, strlen(kit.dir)) == 0 && !strstr(why, "0 of"), "%zu: %s", n, why);
    refused++;
  }
  cr_assert(!msub_store_disk_broken(kit.disk) && refused >= 8, "%u: %s", refused, why);
  cr_assert_eq(put(0, KEYS, "one"), MSUB_OK);
  expect("one");
  shut();
}

/* The file operations themselves, where the system says no. */
Test(store_calls, system) {
  const msub__os *os = &msub__os_posix;
  char dir[] = "/tmp/meshsub-calls-XXXXXX", path[64], byte;
  cr_assert(mkdtemp(dir));
  (void)snprintf(path, sizeof path, "%s/f", dir);
  int fd = os->open(os->ud, path, MSUB__OS_CREATE);
  cr_assert(fd >= 0);
  cr_assert_eq(msub__os_read_all(os, fd, &byte, 1, 0), -EIO, "the file ended");
  cr_assert_eq(os->size(os->ud, fd), 0);
  fail_after = 1;
  cr_assert_eq(os->size(os->ud, fd), -EIO);
  cr_assert_eq(os->close(os->ud, fd), 0);
  cr_assert_eq(os->size(os->ud, fd), -EBADF);
  cr_assert(os->free_bytes(os->ud, dir) > 0);
  cr_assert_eq(os->free_bytes(os->ud, path + sizeof dir), -ENOENT);
  cr_assert(os->alive(os->ud, os->pid(os->ud)));
  cr_assert(!os->alive(os->ud, 0) && !os->alive(os->ud, -1) && !os->alive(os->ud, INT64_C(1) << 40) && !os->alive(os->ud, INT32_MAX));
  remove_folder(dir);
}

Test(store_calls, options) {
  static char longest[MSUB__FOLDER_PATH + 2];
  disk_kit_init(&kit);
  const char *dir = kit.o.dir;
  memset(longest, 'a', MSUB__FOLDER_PATH + 1);
  const char *bad[] = { NULL, "", longest };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    kit.o.dir = bad[i];
    cr_assert_eq(disk_kit_open(&kit, why), MSUB_ERR_INVAL);
    cr_assert(*why);
  }
  kit.o.dir = dir;
  kit.o.max_bytes = SIZE_MAX;
  cr_assert_eq(disk_kit_open(&kit, why), MSUB_ERR_INVAL);
  cr_assert_eq(kit.heap.live_bytes, 0);
  disk_kit_remove(&kit);
}
