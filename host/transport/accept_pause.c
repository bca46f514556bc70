#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <unistd.h>
#include "base/deadline.h"
#include "host/transport/accept_pause.h"

#define PAUSE_MIN (50 * MSUB__MS)
#define PAUSE_MAX (1 * MSUB__S)

bool msub__accept_failed(msub__accept_pause *p, uint64_t now_mono_ns) {
  bool first = !p->paused;
  p->paused = true;
  p->backoff = p->backoff == 0 ? PAUSE_MIN : p->backoff * 2 > PAUSE_MAX ? PAUSE_MAX : p->backoff * 2;
  p->resume_at = msub__deadline(now_mono_ns, p->backoff);
  return first;
}

bool msub__accept_worked(msub__accept_pause *p) {
  bool was = p->paused;
  p->paused = false;
  p->backoff = 0;
  return was;
}

bool msub__reserve_take(int *fd) {
  if (*fd < 0) *fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  return *fd >= 0;
}

void msub__reserve_give(int *fd) {
  if (*fd >= 0) (void)close(*fd);
  *fd = -1;
}
