#include "cli/hold.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16

static bool address_of(const char *path, struct sockaddr_un *a) {
  *a = (struct sockaddr_un){ .sun_family = AF_UNIX };
  if (!*path || strlen(path) >= sizeof a->sun_path) return false;
  strcpy(a->sun_path, path);
  return true;
}

static int failed(const char *program, const char *option, const char *path, const char *what) {
  say_error(program, "%s%s: %s: %s", option, quoted(path), what, strerror(errno));
  return EXIT_FAILED;
}

static int too_long(const char *program, const char *option, const char *path) {
  say_error(program, "%s%s: a socket's path has 1 to %zu bytes; choose a shorter one", option, quoted(path), sizeof ((struct sockaddr_un *)0)->sun_path - 1);
  return EXIT_FAILED;
}

static int held_by(const char *program, const char *option, const char *path, long pid) {
  char who[32] = "another process";
  if (pid > 0) snprintf(who, sizeof who, "process %ld", pid);
  say_error(program, "%s%s: held by %s; stop it, or choose another path", option, quoted(path), who);
  return EXIT_FAILED;
}

/* -1: the lock is ours. The file may be taken away by its last holder between open and lock: then it is another file. */
static int lock(const char *program, const char *option, hold *h) {
  for (int tries = 0; tries < 100; tries++) {
    int fd = open(h->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return failed(program, option, h->path, "its lock cannot be made");
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (fcntl(fd, F_SETLK, &whole) != 0) {
      struct flock other = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
      bool known = fcntl(fd, F_GETLK, &other) == 0;
      close(fd);
      if (known && other.l_type == F_UNLCK) continue; /* it went away in between */
      return held_by(program, option, h->path, known ? (long)other.l_pid : 0);
    }
    struct stat ours, there;
    if (fstat(fd, &ours) == 0 && stat(h->lock_path, &there) == 0 && ours.st_ino == there.st_ino && ours.st_dev == there.st_dev) {
      h->lock_fd = fd;
      return -1;
    }
    close(fd);
  }
  return held_by(program, option, h->path, 0);
}

/* Does somebody listen there who took no lock of ours? Its pid, 0: it does not say, -1: nobody. */
static long listener_of(const struct sockaddr_un *a) {
  long pid = -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof *a) == 0) {
    pid = 0;
#ifdef SO_PEERCRED
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0) pid = (long)who.pid;
#endif
  }
  if (fd >= 0) close(fd);
  return pid;
}

/* -1: nothing stands in the way any more. */
static int clear_place(const char *program, const char *option, const char *path, const struct sockaddr_un *a) {
  struct stat st;
  if (lstat(path, &st) != 0) return errno == ENOENT ? -1 : failed(program, option, path, "cannot be made");
  if (!S_ISSOCK(st.st_mode)) {
    say_error(program, "%s%s: exists and is no socket; take it away, or choose another path", option, quoted(path));
    return EXIT_FAILED;
  }
  long pid = listener_of(a);
  if (pid >= 0) return held_by(program, option, path, pid);
  return unlink(path) == 0 ? -1 : failed(program, option, path, "what a process left there cannot be taken away");
}

static int listen_there(const char *program, const char *option, const char *path, const struct sockaddr_un *a, int *out) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  mode_t before = umask(0177);
  bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)a, sizeof *a) == 0;
  int error = errno;
  umask(before);
  if (bound && listen(fd, BACKLOG) == 0) {
    *out = fd;
    return -1;
  }
  if (bound) {
    error = errno;
    unlink(path);
  }
  if (fd >= 0) close(fd);
  errno = error;
  return failed(program, option, path, "cannot be made");
}

int hold_take(const char *program, const char *option, const char *path, hold *h, int *fd) {
  struct sockaddr_un a;
  if (!address_of(path, &a)) return too_long(program, option, path);
  *h = (hold){ .path = take(strlen(path) + 1), .lock_path = take(strlen(path) + 6), .lock_fd = -1 };
  strcpy(h->path, path);
  strcpy(h->lock_path, path);
  strcat(h->lock_path, ".lock");
  int code = lock(program, option, h);
  if (code < 0) code = clear_place(program, option, path, &a);
  if (code < 0) code = listen_there(program, option, path, &a, fd);
  if (code < 0) return -1;
  free(h->path);
  h->path = NULL; /* what stands there is not ours */
  hold_release(h);
  return code;
}

void hold_release(hold *h) {
  if (h->path) unlink(h->path);
  if (h->lock_path && h->lock_fd >= 0) {
    unlink(h->lock_path); /* before the lock ends: the next one makes a file of its own */
    close(h->lock_fd);
  }
  free(h->path);
  free(h->lock_path);
  *h = (hold){ .lock_fd = -1 };
}

int hold_connect(const char *program, const char *path, int *out) {
  struct sockaddr_un a;
  if (!address_of(path, &a)) return too_long(program, "--socket ", path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof a) == 0) {
    *out = fd;
    return -1;
  }
  int error = errno;
  if (fd >= 0) close(fd);
  say_error(program, "--socket %s: no node serves it (%s); start one with \"meshsub node --socket PATH\"", quoted(path), strerror(error));
  return EXIT_FAILED;
}
