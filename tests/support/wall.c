#define _GNU_SOURCE
#include "wall.h"
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int64_t wall_off;

int clock_gettime(clockid_t which, struct timespec *t) {
  if (syscall(SYS_clock_gettime, which, t) != 0) return -1;
  if (which == CLOCK_REALTIME) t->tv_sec += (time_t)wall_off;
  return 0;
}
