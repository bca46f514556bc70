/* tests/support/fail_sync.c: to be preloaded: fdatasync() and fsync() fail with EIO as long as the file that MESHSUB_FAIL_SYNC names is there. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int sync_or_fail(const char *name, int fd) {
  const char *file = getenv("MESHSUB_FAIL_SYNC");
  if (file && access(file, F_OK) == 0) {
    errno = EIO;
    return -1;
  }
  int (*real)(int fd);
  *(void **)&real = dlsym(RTLD_NEXT, name);
  return real(fd);
}

#pragma GCC visibility push(default)
int fdatasync(int fd) { return sync_or_fail("fdatasync", fd); }
int fsync(int fd) { return sync_or_fail("fsync", fd); }
#pragma GCC visibility pop
