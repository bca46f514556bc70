#define _GNU_SOURCE /* RTLD_NEXT */
#include "syscalls.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define HERE __attribute__((visibility("default")))
enum { FDS = 256, FILES = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[256];
static struct { bool used, dir, synced; unsigned file; } fds[FDS];
static char *names[FILES];
static unsigned n_names;
static sys_op *ops;
static size_t n_ops, cap_ops;
static bool recording, failing, fail_all;
static uint64_t fail_at, counted, failed;
static int fail_with;

/* ---- what the tests call ---- */

void sys_forget(void) {
  for (size_t i = 0; i < n_ops; i++) free(ops[i].bytes);
  free(ops);
  ops = NULL;
  n_ops = cap_ops = 0;
}

void sys_watch(const char *f) {
  (void)pthread_mutex_lock(&lock);
  sys_forget();
  memset(fds, 0, sizeof fds);
  for (unsigned i = 0; i < n_names; i++) free(names[i]);
  n_names = 0;
  (void)snprintf(folder, sizeof folder, "%s", f ? f : "");
  (void)pthread_mutex_unlock(&lock);
}

void sys_record(bool on) {
  (void)pthread_mutex_lock(&lock);
  recording = on;
  (void)pthread_mutex_unlock(&lock);
}

const sys_op *sys_ops(size_t *n) {
  *n = n_ops;
  return ops;
}

const char *sys_file_name(unsigned file) { return names[file]; }

void sys_fail(uint64_t n, int err, bool all) {
  (void)pthread_mutex_lock(&lock);
  failing = n > 0;
  fail_at = n;
  fail_with = err;
  fail_all = all;
  counted = failed = 0;
  (void)pthread_mutex_unlock(&lock);
}
uint64_t sys_counted(void) { return counted; }
uint64_t sys_failed(void) { return failed; }

/* ---- the lock is held ---- */

static sys_op *add(sys_kind kind, unsigned file) {
  static sys_op nowhere;
  if (!recording) return &nowhere;
  if (n_ops == cap_ops) {
    cap_ops = cap_ops ? 2 * cap_ops : 1024;
    ops = realloc(ops, cap_ops * sizeof *ops);
    if (!ops) abort();
  }
  ops[n_ops] = (sys_op){ .kind = kind, .file = file };
  return &ops[n_ops++];
}

/* -1: not ours. */
static int name_of(const char *path) {
  size_t n = strlen(folder);
  if (n == 0 || strncmp(path, folder, n) != 0 || (path[n] != '/' && path[n])) return -1;
  const char *rest = path[n] ? path + n + 1 : "";
  for (unsigned i = 0; i < n_names; i++)
    if (strcmp(names[i], rest) == 0) return (int)i;
  if (n_names == FILES) abort();
  names[n_names] = strdup(rest);
  return (int)n_names++;
}

/* 0: it goes on; -1: it fails with errno; 1: half of a write. */
static int fate(void) {
  counted++;
  if (!failing || (fail_all ? counted < fail_at : counted != fail_at)) return 0;
  failed++;
  if (fail_with == 0) return 1;
  errno = fail_with;
  return -1;
}

void sys_mark(uint64_t a, uint64_t b) {
  (void)pthread_mutex_lock(&lock);
  sys_op *o = add(SYS_MARK, 0);
  o->at = a;
  o->n = b;
  (void)pthread_mutex_unlock(&lock);
}

/* ---- in place of the C library's ---- */

#define REAL(result, name, ...)                                                                                                    \
  static result (*real)(__VA_ARGS__);                                                                                              \
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, name);

HERE int open(const char *path, int flags, ...) {
  REAL(int, "open", const char *, int, ...)
  mode_t mode = 0;
  if (flags & O_CREAT) {
    va_list ap;
    va_start(ap, flags);
    mode = va_arg(ap, mode_t);
    va_end(ap);
  }
  if (!*folder) return real(path, flags, mode);
  (void)pthread_mutex_lock(&lock);
  int name = name_of(path), fd = -1;
  bool fails = name >= 0 && fate() < 0;
  int error = errno;
  if (!fails) {
    bool there = access(path, F_OK) == 0;
    fd = real(path, flags, mode);
    error = errno;
    if (fd >= 0 && fd < FDS) {
      fds[fd].used = name >= 0;
      fds[fd].dir = flags & O_DIRECTORY;
      fds[fd].synced = flags & O_DSYNC;
      fds[fd].file = name >= 0 ? (unsigned)name : 0;
      if (name >= 0 && !there) (void)add(SYS_CREATE, (unsigned)name);
    }
  }
  (void)pthread_mutex_unlock(&lock);
  errno = error;
  return fd;
}

HERE int close(int fd) {
  REAL(int, "close", int)
  if (*folder && fd >= 0 && fd < FDS) {
    (void)pthread_mutex_lock(&lock);
    fds[fd].used = false;
    (void)pthread_mutex_unlock(&lock);
  }
  return real(fd);
}

static ssize_t write_at(int fd, const void *from, size_t n, int64_t at) {
  REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)
  bool ours = *folder && fd >= 0 && fd < FDS && fds[fd].used;
  if (!ours) return real(fd, from, n, at);
  (void)pthread_mutex_lock(&lock);
  int f = fate(), error = errno;
  ssize_t r = -1;
  if (f == 1) n = n > 1 ? n / 2 : n;
  if (f >= 0) {
    r = real(fd, from, n, at);
    error = errno;
    if (r > 0 && recording) {
      sys_op *o = add(SYS_WRITE, fds[fd].file);
      o->at = (uint64_t)at;
      o->n = (uint64_t)r;
      o->synced = fds[fd].synced;
      o->bytes = malloc((size_t)r);
      if (!o->bytes) abort();
      memcpy(o->bytes, from, (size_t)r);
    }
  }
  (void)pthread_mutex_unlock(&lock);
  errno = error;
  return r;
}

HERE ssize_t pwrite(int fd, const void *from, size_t n, off_t at) { return write_at(fd, from, n, at); }

HERE ssize_t write(int fd, const void *from, size_t n) {
  REAL(ssize_t, "write", int, const void *, size_t)
  if (!*folder || fd < 0 || fd >= FDS || !fds[fd].used) return real(fd, from, n);
  off_t at = lseek(fd, 0, SEEK_CUR);
  ssize_t r = write_at(fd, from, n, at);
  if (r > 0) (void)lseek(fd, at + r, SEEK_SET);
  return r;
}

/* LMDB writes pages that stand together by one of these. */
HERE ssize_t writev(int fd, const struct iovec *v, int n) {
  REAL(ssize_t, "writev", int, const struct iovec *, int)
  if (!*folder || fd < 0 || fd >= FDS || !fds[fd].used) return real(fd, v, n);
  off_t at = lseek(fd, 0, SEEK_CUR);
  size_t all = 0;
  for (int i = 0; i < n; i++) all += v[i].iov_len;
  uint8_t *bytes = malloc(all);
  if (!bytes) abort();
  all = 0;
  for (int i = 0; i < n; i++) {
    memcpy(bytes + all, v[i].iov_base, v[i].iov_len);
    all += v[i].iov_len;
  }
  ssize_t r = write_at(fd, bytes, all, at);
  free(bytes);
  if (r > 0) (void)lseek(fd, at + r, SEEK_SET);
  return r;
}

static int sync_fd(int fd, int (*real)(int)) {
  if (!*folder || fd < 0 || fd >= FDS || !fds[fd].used) return real(fd);
  (void)pthread_mutex_lock(&lock);
  int r = fate() < 0 ? -1 : real(fd), error = errno;
  if (r == 0) (void)add(fds[fd].dir ? SYS_SYNC_DIR : SYS_SYNC, fds[fd].file);
  (void)pthread_mutex_unlock(&lock);
  errno = error;
  return r;
}
HERE int fdatasync(int fd) {
  REAL(int, "fdatasync", int)
  return sync_fd(fd, real);
}
HERE int fsync(int fd) {
  REAL(int, "fsync", int)
  return sync_fd(fd, real);
}

HERE int ftruncate(int fd, off_t size) {
  REAL(int, "ftruncate", int, off_t)
  if (!*folder || fd < 0 || fd >= FDS || !fds[fd].used) return real(fd, size);
  (void)pthread_mutex_lock(&lock);
  int r = fate() < 0 ? -1 : real(fd, size), error = errno;
  if (r == 0) add(SYS_TRUNCATE, fds[fd].file)->at = (uint64_t)size;
  (void)pthread_mutex_unlock(&lock);
  errno = error;
  return r;
}

HERE int unlink(const char *path) {
  REAL(int, "unlink", const char *)
  if (!*folder) return real(path);
  (void)pthread_mutex_lock(&lock);
  int name = name_of(path), r = name >= 0 && fate() < 0 ? -1 : real(path), error = errno;
  if (r == 0 && name >= 0) (void)add(SYS_REMOVE, (unsigned)name);
  (void)pthread_mutex_unlock(&lock);
  errno = error;
  return r;
}

/* Failed, not recorded: nothing is renamed or made while a test records. */
HERE int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *)
  if (!*folder) return real(from, to);
  (void)pthread_mutex_lock(&lock);
  int r = name_of(to) >= 0 && fate() < 0 ? -1 : real(from, to), error = errno;
  (void)pthread_mutex_unlock(&lock);
  errno = error;
  return r;
}

HERE int mkdir(const char *path, mode_t mode) {
  REAL(int, "mkdir", const char *, mode_t)
  if (!*folder) return real(path, mode);
  (void)pthread_mutex_lock(&lock);
  int r = name_of(path) >= 0 && fate() < 0 ? -1 : real(path, mode), error = errno;
  (void)pthread_mutex_unlock(&lock);
  errno = error;
  return r;
}

HERE ssize_t pread(int fd, void *to, size_t n, off_t at) {
  REAL(ssize_t, "pread", int, void *, size_t, off_t)
  if (!*folder || fd < 0 || fd >= FDS || !fds[fd].used) return real(fd, to, n, at);
  (void)pthread_mutex_lock(&lock);
  int f = fate(), error = errno;
  (void)pthread_mutex_unlock(&lock);
  if (f < 0) {
    errno = error;
    return -1;
  }
  return real(fd, to, f == 1 && n > 1 ? n / 2 : n, at);
}
