#define _DEFAULT_SOURCE /* flock */
#include "store/os.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int answer(int r) { return r < 0 ? -errno : r; }

static int os_open(void *ud, const char *path, msub__os_mode mode) {
  static const int flags[] = { [MSUB__OS_READ] = O_RDONLY, [MSUB__OS_WRITE] = O_RDWR, [MSUB__OS_CREATE] = O_RDWR | O_CREAT };
  (void)ud;
  int fd;
  do fd = open(path, flags[mode] | O_CLOEXEC, 0600);
  while (fd < 0 && errno == EINTR);
  return answer(fd);
}

static int os_close(void *ud, int fd) {
  (void)ud;
  return answer(close(fd));
}

static int64_t os_size(void *ud, int fd) {
  struct stat st;
  (void)ud;
  return fstat(fd, &st) < 0 ? -errno : (int64_t)st.st_size;
}

static int64_t os_read(void *ud, int fd, void *to, size_t n, uint64_t at) {
  ssize_t r;
  (void)ud;
  do r = pread(fd, to, n, (off_t)at);
  while (r < 0 && errno == EINTR);
  return r < 0 ? -errno : (int64_t)r;
}

static int64_t os_write(void *ud, int fd, const void *from, size_t n, uint64_t at) {
  ssize_t r;
  (void)ud;
  do r = pwrite(fd, from, n, (off_t)at);
  while (r < 0 && errno == EINTR);
  return r < 0 ? -errno : (int64_t)r;
}

static int os_truncate(void *ud, int fd, uint64_t size) {
  (void)ud;
  return answer(ftruncate(fd, (off_t)size));
}

static int os_sync(void *ud, int fd) {
  (void)ud;
  return answer(fdatasync(fd)); /* the size is part of it */
}

/* After a failed sync the kernel may have marked pages clean that are not on the disk. */
static int os_uncache(void *ud, int fd) {
  (void)ud;
  return -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int os_sync_dir(void *ud, const char *dir) {
  (void)ud;
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int r = answer(fsync(fd));
  (void)close(fd);
  return r == -EINVAL ? 0 : r; /* a file system that has no such thing */
}

static int os_make_dir(void *ud, const char *dir) {
  (void)ud;
  return answer(mkdir(dir, 0700));
}

static int os_remove(void *ud, const char *path) {
  (void)ud;
  return answer(unlink(path));
}

static int os_rename(void *ud, const char *from, const char *to) {
  (void)ud;
  return answer(rename(from, to));
}

static int os_list(void *ud, const char *dir, bool (*fn)(void *fud, const char *name), void *fud) {
  (void)ud;
  DIR *d = opendir(dir);
  if (!d) return -errno;
  const struct dirent *e;
  for (errno = 0; (e = readdir(d)); errno = 0) {
    if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !fn(fud, e->d_name)) break;
  }
  int r = e ? 0 : -errno;
  (void)closedir(d);
  return r;
}

/* Of the open file, not of the process: a second store of the same process is kept out as well, and what dies lets go. */
static int os_lock(void *ud, int fd, bool shared) {
  (void)ud;
  return answer(flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB));
}

static bool os_alive(void *ud, int64_t pid) {
  (void)ud;
  return pid > 0 && pid <= INT32_MAX && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

static int64_t os_pid(void *ud) {
  (void)ud;
  return getpid();
}

static int64_t os_free_bytes(void *ud, const char *dir) {
  struct statvfs s;
  (void)ud;
  return statvfs(dir, &s) < 0 ? -errno : (int64_t)((uint64_t)s.f_bavail * s.f_frsize);
}

const msub__os msub__os_posix = { .open = os_open,
                                  .close = os_close,
                                  .size = os_size,
                                  .read = os_read,
                                  .write = os_write,
                                  .truncate = os_truncate,
                                  .sync = os_sync,
                                  .uncache = os_uncache,
                                  .sync_dir = os_sync_dir,
                                  .make_dir = os_make_dir,
                                  .remove = os_remove,
                                  .rename = os_rename,
                                  .list = os_list,
                                  .lock = os_lock,
                                  .alive = os_alive,
                                  .pid = os_pid,
                                  .free_bytes = os_free_bytes };

int msub__os_read_all(const msub__os *os, int fd, void *to, size_t n, uint64_t at) {
  for (size_t done = 0; done < n;) {
    int64_t r = os->read(os->ud, fd, (uint8_t *)to + done, n - done, at + done);
    if (r <= 0) return r < 0 ? (int)r : -EIO;
    done += (size_t)r;
  }
  return 0;
}

int msub__os_write_all(const msub__os *os, int fd, const void *from, size_t n, uint64_t at) {
  for (size_t done = 0; done < n;) {
    int64_t r = os->write(os->ud, fd, (const uint8_t *)from + done, n - done, at + done);
    if (r <= 0) return r < 0 ? (int)r : -EIO;
    done += (size_t)r;
  }
  return 0;
}

int msub__os_err(int negative) {
  switch (-negative) {
  case 0: return MSUB_OK;
  case ENOSPC:
#ifdef EDQUOT
  case EDQUOT:
#endif
  case EFBIG: return MSUB_ERR_LIMIT;
  case ENOMEM: return MSUB_ERR_NOMEM;
  default: return MSUB_ERR_IO;
  }
}
