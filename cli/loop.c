#include "cli/loop.h"
#include "cli/text.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TURN_NS 2000000 /* a turn's share before the program's own descriptors are looked at */

static int stop_pipe[2] = { -1, -1 };
static int stdout_flags = -1; /* of a pipe or socket; -1: it is something else */

static void on_stop(int signal_number) {
  int saved = errno;
  ssize_t written = write(stop_pipe[1], "", 1);
  (void)written;
  stop_asked = 1;
  /* Somebody who does not read our output must not keep us from ending. */
  if (stdout_flags != -1) fcntl(STDOUT_FILENO, F_SETFL, stdout_flags | O_NONBLOCK);
  signal(signal_number, SIG_DFL);
  errno = saved;
}

int stop_signals(bool prints) {
  if (pipe(stop_pipe) != 0) return -1;
  for (int i = 0; i < 2; i++) {
    fcntl(stop_pipe[i], F_SETFD, FD_CLOEXEC);
    fcntl(stop_pipe[i], F_SETFL, O_NONBLOCK);
  }
  struct stat out;
  if (prints && fstat(STDOUT_FILENO, &out) == 0 && (S_ISFIFO(out.st_mode) || S_ISSOCK(out.st_mode))) stdout_flags = fcntl(STDOUT_FILENO, F_GETFL);
  struct sigaction stop = { .sa_handler = on_stop }, /* what it interrupts need not begin again */
                   ignore = { .sa_handler = SIG_IGN };
  sigemptyset(&stop.sa_mask);
  sigemptyset(&ignore.sa_mask);
  sigaction(SIGINT, &stop, NULL);
  sigaction(SIGTERM, &stop, NULL);
  sigaction(SIGPIPE, &ignore, NULL);
  return stop_pipe[0];
}

static int reload_pipe[2] = { -1, -1 };

static void on_reload(int signal_number) {
  int saved = errno;
  ssize_t written = write(reload_pipe[1], "", 1);
  (void)written, (void)signal_number;
  errno = saved;
}

int reload_signals(void) {
  if (pipe(reload_pipe) != 0) return -1;
  for (int i = 0; i < 2; i++) {
    fcntl(reload_pipe[i], F_SETFD, FD_CLOEXEC);
    fcntl(reload_pipe[i], F_SETFL, O_NONBLOCK);
  }
  struct sigaction reload = { .sa_handler = on_reload, .sa_flags = SA_RESTART };
  sigemptyset(&reload.sa_mask);
  sigaction(SIGHUP, &reload, NULL);
  return reload_pipe[0];
}

void wait_fds(struct pollfd *fds, size_t n, uint64_t until) {
  struct timespec left = { 0 }, *timeout = NULL;
  if (until != MSUB_NEVER) {
    uint64_t now = mono_ns(), ns = until > now ? until - now : 0;
    left.tv_sec = (time_t)(ns / 1000000000);
    left.tv_nsec = (long)(ns % 1000000000);
    timeout = &left;
  }
  if (ppoll(fds, n, timeout, NULL) < 0)
    for (size_t i = 0; i < n; i++) fds[i].revents = 0;
}

void wait_and_turn(msub_host *host, struct pollfd *fds, size_t n, uint64_t until) {
  uint64_t timer = msub_host_next_deadline(host);
  if (timer < until) until = timer;
  fds[0] = (struct pollfd){ .fd = msub_host_fd(host), .events = POLLIN };
  wait_fds(fds, n, until);
  msub_host_turn(host, TURN_NS);
}

void close_host(msub_host *host) {
  if (!host) return;
  msub_host_stop(host);
  msub_host_run(host);
  msub_host_free(host);
}
