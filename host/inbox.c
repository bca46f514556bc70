#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "host/inbox.h"

#define FIRST_CAP 64u

int msub__wake_init(msub__wake *w) {
  atomic_init(&w->set, false);
  w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return w->fd < 0 ? MSUB_ERR_IO : MSUB_OK;
}

void msub__wake_fini(msub__wake *w) {
  if (w->fd >= 0) (void)close(w->fd);
  w->fd = -1;
}

/* Cannot fail: the counter is 64 bits wide and is reset by each clear. */
void msub__wake_signal(void *wake) {
  msub__wake *w = wake;
  if (atomic_exchange_explicit(&w->set, true, memory_order_acq_rel)) return;
  const uint64_t one = 1;
  while (write(w->fd, &one, sizeof one) < 0 && errno == EINTR) {}
}

/* In this order: a signal between the two finds the flag set and writes nothing, but what it announces was queued before, and
 * the caller fetches after. The other way round its write would be swallowed with the flag left set, and nobody would wake. */
void msub__wake_clear(msub__wake *w) {
  uint64_t count;
  while (read(w->fd, &count, sizeof count) < 0 && errno == EINTR) {}
  (void)atomic_exchange_explicit(&w->set, false, memory_order_acq_rel);
}

int msub__inbox_init(msub__inbox *in, msub__wake *wake) {
  *in = (msub__inbox){ .wake = wake };
  return pthread_mutex_init(&in->lock, NULL) == 0 ? MSUB_OK : MSUB_ERR_NOMEM;
}

void msub__inbox_fini(msub__inbox *in) {
  free(in->calls);
  (void)pthread_mutex_destroy(&in->lock);
}

static bool grow(msub__inbox *in) {
  uint32_t cap = in->cap ? in->cap * 2 : FIRST_CAP;
  msub__call *calls = malloc(cap * sizeof *calls);
  if (!calls) return false;
  for (uint32_t i = 0; i < in->n; i++) calls[i] = in->calls[(in->head + i) & (in->cap - 1)];
  free(in->calls);
  in->calls = calls;
  in->cap = cap;
  in->head = 0;
  return true;
}

int msub__inbox_post(msub__inbox *in, msub__call call) {
  int err = MSUB_OK;
  (void)pthread_mutex_lock(&in->lock);
  if (in->n == MSUB__INBOX_MAX) {
    err = MSUB_ERR_LIMIT;
  } else if (in->n == in->cap && !grow(in)) {
    err = MSUB_ERR_NOMEM;
  } else {
    in->calls[(in->head + in->n++) & (in->cap - 1)] = call;
  }
  (void)pthread_mutex_unlock(&in->lock);
  if (err == MSUB_OK) msub__wake_signal(in->wake);
  return err;
}

size_t msub__inbox_take(msub__inbox *in, msub__call *out, size_t max) {
  size_t taken = 0;
  (void)pthread_mutex_lock(&in->lock);
  while (taken < max && in->n > 0) {
    out[taken++] = in->calls[in->head];
    in->head = (in->head + 1) & (in->cap - 1);
    in->n--;
  }
  bool more = in->n > 0;
  (void)pthread_mutex_unlock(&in->lock);
  if (more) msub__wake_signal(in->wake);
  return taken;
}
