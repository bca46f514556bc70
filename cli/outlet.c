#include "cli/outlet.h"
#include "cli/text.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOW_BYTES (OUTLET_BYTES / 2) /* room again: otherwise a reader that is a little too slow would get as many gaps as lines */
#define SOON_BYTES 32768u            /* written before the turn's end */
#define KEPT_BYTES 65536u            /* of an empty buffer */

struct outlet {
  int fd;
  bool opened;     /* fd is our own */
  bool whole;      /* no reader to wait for */
  bool is_socket, polls, prompt, broken;
  bool lends;      /* does not block for the time of a write: a terminal can have less room than poll() says */
  size_t most;     /* bytes of a write */
  int error;       /* to be told by outlet_turn() */
  FILE *line;      /* to text, n bytes of it when flushed */
  char *text;
  size_t n;
  char *queue;     /* at … end wait */
  size_t at, end, cap;
  uint64_t untold, dropped;
  void (*tell)(void *ud, FILE *to, uint64_t count);
  void *ud;
};

/* The same pipe or terminal under a description of our own, so that it does not block; -1. */
static int open_again(int fd, const struct stat *was) {
  char path[40];
  struct stat is;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int again = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (again >= 0 && (fstat(again, &is) != 0 || is.st_dev != was->st_dev || is.st_ino != was->st_ino)) {
    close(again);
    again = -1;
  }
  return again;
}

outlet *outlet_open(int fd, bool prompt, void (*tell)(void *ud, FILE *to, uint64_t count), void *ud) {
  struct stat is = { 0 };
  outlet *o = take(sizeof *o);
  bool pipe = fstat(fd, &is) == 0 && S_ISFIFO(is.st_mode), terminal = isatty(fd);
  *o = (outlet){ .fd = fd, .prompt = prompt, .tell = tell, .ud = ud, .most = PIPE_BUF };
  if (pipe || terminal) {
    int again = open_again(fd, &is);
    o->opened = again >= 0;
    o->polls = again < 0 && pipe;
    o->lends = again < 0 && !pipe;
    if (again >= 0) o->fd = again;
  } else if (S_ISSOCK(is.st_mode)) {
    o->is_socket = true;
  } else {
    o->whole = true;
    o->most = SIZE_MAX;
  }
  return o;
}

static size_t waiting(const outlet *o) { return o->end - o->at; }

/* Whole lines where they fit a write: so they stay whole though others write to the same pipe. */
static size_t next_write(const outlet *o) {
  size_t n = waiting(o);
  if (n <= o->most) return n;
  const char *from = o->queue + o->at, *last = memrchr(from, '\n', o->most);
  return last ? (size_t)(last - from) + 1 : o->most;
}

static bool has_room(const outlet *o) {
  struct pollfd p = { .fd = o->fd, .events = POLLOUT };
  return !o->polls || poll(&p, 1, 0) > 0;
}

static ssize_t write_now(const outlet *o, const char *bytes, size_t n) {
  if (o->is_socket) return send(o->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
  int flags = o->lends ? fcntl(o->fd, F_GETFL) : -1;
  if (flags >= 0) fcntl(o->fd, F_SETFL, flags | O_NONBLOCK);
  ssize_t got = write(o->fd, bytes, n);
  int error = errno;
  if (flags >= 0) fcntl(o->fd, F_SETFL, flags);
  errno = error;
  return got;
}

static void write_some(outlet *o) {
  while (waiting(o) && !o->broken && has_room(o)) {
    size_t n = next_write(o);
    ssize_t got = write_now(o, o->queue + o->at, n);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) {
      o->broken = true;
      o->error = errno;
      o->at = o->end;
    } else {
      o->at += (size_t)got;
    }
  }
  if (waiting(o)) return;
  o->at = o->end = 0;
  if (o->cap > KEPT_BYTES) {
    free(o->queue);
    o->queue = NULL;
    o->cap = 0;
  }
}

static void queue(outlet *o, const char *text, size_t n) {
  if (o->cap - o->end < n && o->at) {
    memmove(o->queue, o->queue + o->at, waiting(o));
    o->end -= o->at;
    o->at = 0;
  }
  if (o->cap - o->end < n) {
    o->cap = o->end + n + 4096;
    o->queue = grow(o->queue, o->cap, 1);
  }
  memcpy(o->queue + o->end, text, n);
  o->end += n;
}

static void drop_line(outlet *o) {
  if (o->line) fclose(o->line);
  free(o->text);
  o->line = NULL;
  o->text = NULL;
}

static FILE *begin(outlet *o) {
  if (!o->line) o->line = open_memstream(&o->text, &o->n);
  if (!o->line) no_memory();
  return o->line;
}

/* What was printed; false: there was no memory for it. */
static bool printed(outlet *o) { return fflush(o->line) == 0 && !ferror(o->line) && o->n > 0; }

static void end(outlet *o, bool good) {
  if (!good || o->n > KEPT_BYTES) drop_line(o);
  else rewind(o->line);
}

/* Once there is room again. */
static void tell_dropped(outlet *o) {
  if (!o->untold || o->broken || waiting(o) > LOW_BYTES) return;
  o->tell(o->ud, begin(o), o->untold);
  bool good = printed(o);
  if (good) {
    queue(o, o->text, o->n);
    o->untold = 0;
  }
  end(o, good);
}

FILE *outlet_begin(outlet *o) {
  tell_dropped(o);
  return begin(o);
}

void outlet_end(outlet *o) {
  bool good = printed(o);
  if (good && waiting(o) + o->n > OUTLET_BYTES) write_some(o);
  if (good && !o->broken && !o->untold && (waiting(o) == 0 || waiting(o) + o->n <= OUTLET_BYTES)) {
    queue(o, o->text, o->n);
  } else {
    o->dropped++;
    o->untold++;
  }
  end(o, good);
  if (o->prompt || o->whole || waiting(o) >= SOON_BYTES) write_some(o);
}

int outlet_fd(const outlet *o) { return waiting(o) ? o->fd : -1; }
uint64_t outlet_dropped(const outlet *o) { return o->dropped; }

void outlet_write(outlet *o) {
  write_some(o);
  if (!o->untold) return;
  tell_dropped(o);
  write_some(o);
}

int outlet_turn(outlet *o) {
  outlet_write(o);
  int error = o->error;
  o->error = 0;
  return error;
}

void outlet_close(outlet *o) {
  if (!o) return;
  uint64_t now = mono_ns(), until = now + OUTLET_LAST_NS;
  for (outlet_turn(o); waiting(o) && now < until; outlet_turn(o), now = mono_ns()) {
    struct pollfd p = { .fd = o->fd, .events = POLLOUT };
    (void)poll(&p, 1, (int)((until - now) / 1000000) + 1);
  }
  drop_line(o);
  if (o->opened) close(o->fd);
  free(o->queue);
  free(o);
}
