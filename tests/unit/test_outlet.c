/* cli/outlet.h: lines for a reader that does not read, reads late, or is gone. */
#include "cli/outlet.h"
#include "cli/text.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define LINE 500 /* bytes, with the newline */

typedef enum kind { PIPE, SOCKET, TERMINAL, KINDS } kind;
static const char *const kinds[KINDS] = { "pipe", "socket", "terminal" };

/* fds[0] is read, without blocking, fds[1] written. */
static void make(kind k, int fds[2]) {
  if (k == PIPE) {
    cr_assert(pipe(fds) == 0 && fcntl(fds[1], F_SETPIPE_SZ, 4096) >= 4096);
  } else if (k == SOCKET) {
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  } else {
    struct termios t;
    fds[0] = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert(fds[0] >= 0 && grantpt(fds[0]) == 0 && unlockpt(fds[0]) == 0);
    fds[1] = open(ptsname(fds[0]), O_RDWR | O_NOCTTY);
    cr_assert(fds[1] >= 0 && tcgetattr(fds[1], &t) == 0);
    cfmakeraw(&t);
    cr_assert(tcsetattr(fds[1], TCSANOW, &t) == 0);
  }
  fcntl(fds[0], F_SETFL, O_NONBLOCK);
}

static void tell(void *ud, FILE *to, uint64_t count) {
  (void)ud;
  fprintf(to, "dropped %" PRIu64 "\n", count);
}

static void put(outlet *o, unsigned number, int width) {
  fprintf(outlet_begin(o), "%0*u\n", width - 1, number);
  outlet_end(o);
}

typedef struct heard {
  char text[4 << 20];
  size_t n, at;
} heard;

static bool hear(heard *h, int fd) {
  ssize_t got = read(fd, h->text + h->n, sizeof h->text - h->n - 1);
  if (got > 0) h->n += (size_t)got;
  return got > 0;
}

/* All that is there, and that comes when there is room. */
static void hear_all(heard *h, int fd, outlet *o) {
  do {
    cr_assert(outlet_turn(o) == 0);
    for (unsigned idle = 0; idle < 20; idle++) /* a terminal takes its time */
      if (hear(h, fd)) idle = 0;
      else if (outlet_fd(o) < 0) usleep(500);
      else break;
  } while (outlet_fd(o) >= 0);
}

/* The next line, NUL-terminated; NULL: none. */
static char *next_line(heard *h) {
  char *line = h->text + h->at, *end = memchr(line, '\n', h->n - h->at);
  if (!end) return NULL;
  *end = 0;
  h->at = (size_t)(end - h->text) + 1;
  return line;
}

static void expect_lines(heard *h, unsigned from, unsigned until, int width) {
  for (unsigned i = from; i < until; i++) {
    char wanted[8192];
    const char *line = next_line(h);
    snprintf(wanted, sizeof wanted, "%0*u", width - 1, i);
    cr_assert(line && strcmp(line, wanted) == 0, "line %u: %.80s", i, line ? line : "(none)");
  }
}

static void unread(kind k, bool reopens, bool prompt) {
  heard *h = calloc(1, sizeof *h);
  int fds[2];
  struct rlimit was, tight;
  const unsigned count = 2 * OUTLET_BYTES / LINE + 200;
  make(k, fds);
  cr_assert(getrlimit(RLIMIT_NOFILE, &was) == 0);
  tight = was;
  tight.rlim_cur = 3; /* what is open stays open, and nothing else can be opened */
  if (!reopens) cr_assert(setrlimit(RLIMIT_NOFILE, &tight) == 0);
  int flags = fcntl(fds[1], F_GETFL);
  outlet *o = outlet_open(fds[1], prompt, tell, NULL);
  cr_assert(setrlimit(RLIMIT_NOFILE, &was) == 0);
  cr_assert(outlet_fd(o) < 0);
  for (unsigned i = 0; i < count; i++) put(o, i, LINE);
  cr_assert(outlet_turn(o) == 0);
  unsigned lost = (unsigned)outlet_dropped(o), kept = count - lost;
  cr_assert(outlet_fd(o) >= 0 && kept * LINE > OUTLET_BYTES - LINE && kept * LINE < OUTLET_BYTES + (512u << 10), "%s: %u of %u lines", kinds[k], kept, count);
  /* The gap is told once, behind what there was room for, and without another line. */
  hear_all(h, fds[0], o);
  expect_lines(h, 0, kept, LINE);
  char wanted[40];
  snprintf(wanted, sizeof wanted, "dropped %u", lost);
  const char *line = next_line(h);
  cr_assert(line && strcmp(line, wanted) == 0 && h->at == h->n, "%s: %s", kinds[k], line ? line : "(none)");
  /* With room for half of it lines are taken again, though not all was read: behind the gap. */
  for (unsigned i = 0; i < count; i++) put(o, i, LINE);
  unsigned more = (unsigned)outlet_dropped(o) - lost;
  h->n = h->at = 0;
  while (h->n < OUTLET_BYTES * 3 / 4) {
    cr_assert(outlet_turn(o) == 0);
    hear(h, fds[0]);
  }
  cr_assert(outlet_fd(o) >= 0);
  put(o, count, LINE);
  hear_all(h, fds[0], o);
  expect_lines(h, 0, count - more, LINE);
  snprintf(wanted, sizeof wanted, "dropped %u", more);
  line = next_line(h);
  cr_assert(line && strcmp(line, wanted) == 0, "%s: %s", kinds[k], line ? line : "(none)");
  expect_lines(h, count, count + 1, LINE);
  cr_assert(h->at == h->n && outlet_dropped(o) == lost + more);
  cr_assert(fcntl(fds[1], F_GETFL) == flags, "others see nothing of it");
  outlet_close(o);
  close(fds[0]);
  close(fds[1]);
  free(h);
}

Test(outlet, unread) {
  for (unsigned k = 0; k < KINDS; k++)
    for (unsigned i = 0; i < 4; i++) unread((kind)k, i & 1, i & 2);
}

/* Whoever else writes whole lines to the pipe finds them between ours, and ours between theirs. */
Test(outlet, shared) {
  heard *h = calloc(1, sizeof *h);
  int fds[2];
  make(PIPE, fds);
  outlet *o = outlet_open(fds[1], false, tell, NULL);
  unsigned ours = 0, theirs = 0;
  for (unsigned i = 0; i < 300; i++) put(o, i, 1000);
  while (outlet_fd(o) >= 0 || hear(h, fds[0])) {
    cr_assert(outlet_turn(o) == 0);
    hear(h, fds[0]);
    cr_assert(write(fds[1], "theirs\n", 7) == 7);
    hear(h, fds[0]);
    theirs++;
    if (theirs > 10000) break;
    if (outlet_fd(o) < 0) break;
  }
  hear_all(h, fds[0], o);
  for (const char *line; (line = next_line(h));) {
    if (strcmp(line, "theirs") == 0) theirs--;
    else cr_assert(strlen(line) == 999 && (unsigned)atoi(line) == ours++, "%.80s", line);
  }
  cr_assert(ours == 300 && theirs == 0 && h->at == h->n, "%u %u", ours, theirs);
  outlet_close(o);
  close(fds[0]);
  close(fds[1]);
  free(h);
}

/* Lines longer than a pipe, than the queue, and than what is kept of buffers. */
Test(outlet, long_lines) {
  heard *h = calloc(1, sizeof *h);
  int fds[2];
  make(PIPE, fds);
  outlet *o = outlet_open(fds[1], false, tell, NULL);
  const size_t sizes[] = { 3u << 20, PIPE_BUF - 1, PIPE_BUF, PIPE_BUF + 1, 65536, 100000, 1, 2 };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    FILE *to = outlet_begin(o);
    for (size_t k = 1; k < sizes[i]; k++) putc('a' + (int)(k % 26), to);
    putc('\n', to);
    outlet_end(o);
    if (i == 0) {
      cr_assert(outlet_dropped(o) == 0, "an empty queue takes any");
      put(o, 1, LINE);
      cr_assert(outlet_dropped(o) == 1);
    }
    hear_all(h, fds[0], o);
    const char *line = next_line(h);
    cr_assert(line && strlen(line) == sizes[i] - 1, "%zu bytes", sizes[i]);
    for (size_t k = 1; k < sizes[i]; k++) cr_assert(line[k - 1] == 'a' + (int)(k % 26));
    if (i == 0) cr_assert(strcmp(next_line(h), "dropped 1") == 0);
    cr_assert(h->at == h->n);
    h->n = h->at = 0;
  }
  outlet_close(o);
  close(fds[0]);
  close(fds[1]);
  free(h);
}

/* What has no reader takes everything. */
Test(outlet, file) {
  FILE *f = tmpfile();
  outlet *o = outlet_open(fileno(f), false, tell, NULL);
  const unsigned count = 3 * OUTLET_BYTES / LINE;
  for (unsigned i = 0; i < count; i++) put(o, i, LINE);
  cr_assert(outlet_fd(o) < 0 && outlet_turn(o) == 0 && outlet_dropped(o) == 0);
  outlet_close(o);
  cr_assert(fseek(f, 0, SEEK_SET) == 0);
  char line[LINE + 1], wanted[LINE + 1];
  for (unsigned i = 0; i < count; i++) {
    snprintf(wanted, sizeof wanted, "%0*u\n", LINE - 1, i);
    cr_assert(fgets(line, sizeof line, f) && strcmp(line, wanted) == 0);
  }
  cr_assert(!fgets(line, sizeof line, f));
  fclose(f);
}

/* An error is told once; after it lines go nowhere. */
static void breaks(int fd, int error, bool prompt) {
  outlet *o = outlet_open(fd, prompt, tell, NULL);
  put(o, 1, LINE);
  int told = outlet_turn(o);
  cr_assert(told == error, "%s", strerror(told));
  for (unsigned i = 0; i < 10000; i++) put(o, i, LINE);
  cr_assert(outlet_fd(o) < 0 && outlet_turn(o) == 0 && outlet_dropped(o) == 10000);
  outlet_close(o);
}

Test(outlet, gone) {
  signal(SIGPIPE, SIG_IGN);
  for (unsigned i = 0; i < 2; i++) {
    int fds[2], full = open("/dev/full", O_WRONLY);
    make(PIPE, fds);
    close(fds[0]);
    breaks(fds[1], EPIPE, i);
    close(fds[1]);
    make(SOCKET, fds);
    close(fds[0]);
    breaks(fds[1], EPIPE, i);
    close(fds[1]);
    breaks(full, ENOSPC, i);
    close(full);
    breaks(-1, EBADF, i);
  }
}

/* Closing waits a moment for who reads, and for nobody longer. */
Test(outlet, closed) {
  int fds[2];
  make(PIPE, fds);
  outlet *o = outlet_open(fds[1], false, tell, NULL);
  for (unsigned i = 0; i < 5000; i++) put(o, i, LINE);
  unsigned kept = 5000 - (unsigned)outlet_dropped(o);
  pid_t reader = fork();
  if (reader == 0) {
    heard *h = calloc(1, sizeof *h);
    close(fds[1]);
    fcntl(fds[0], F_SETFL, 0);
    usleep(100000);
    char last[40];
    snprintf(last, sizeof last, "dropped %u\n", 5000 - kept);
    alarm(10);
    while (h->n < kept * LINE + strlen(last) && hear(h, fds[0])) continue; /* no end comes: what the outlet opened is open here, too */
    _exit(h->n == kept * LINE + strlen(last) && strcmp(h->text + kept * LINE, last) == 0 ? 0 : 1);
  }
  close(fds[0]);
  outlet_close(o);
  close(fds[1]);
  int status;
  cr_assert(waitpid(reader, &status, 0) == reader && status == 0, "%x", (unsigned)status);

  make(PIPE, fds);
  o = outlet_open(fds[1], false, tell, NULL);
  for (unsigned i = 0; i < 100; i++) put(o, i, LINE);
  uint64_t began = mono_ns();
  outlet_close(o);
  uint64_t took = mono_ns() - began;
  cr_assert(took >= OUTLET_LAST_NS && took < 4 * OUTLET_LAST_NS, "%" PRIu64, took);
  outlet_close(NULL);
  close(fds[0]);
  close(fds[1]);
}
