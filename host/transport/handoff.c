#define _POSIX_C_SOURCE 200809L
#include "host/transport/handoff.h"

int msub__handoff_init(msub__handoff *q, void (*wake)(void *ud), void *wake_ud) {
  *q = (msub__handoff){ .wake = wake, .wake_ud = wake_ud };
  if (pthread_mutex_init(&q->lock, NULL) != 0) return MSUB_ERR_NOMEM;
  if (pthread_cond_init(&q->more, NULL) == 0) return MSUB_OK;
  (void)pthread_mutex_destroy(&q->lock);
  return MSUB_ERR_NOMEM;
}

void msub__handoff_fini(msub__handoff *q) {
  (void)pthread_cond_destroy(&q->more);
  (void)pthread_mutex_destroy(&q->lock);
}

void msub__handoff_put(msub__handoff *q, msub__hand *h) {
  h->next = NULL;
  (void)pthread_mutex_lock(&q->lock);
  bool empty = q->first == NULL;
  if (empty) q->first = h;
  else q->last->next = h;
  q->last = h;
  (void)pthread_mutex_unlock(&q->lock);
  if (!empty) return;
  if (q->wake) q->wake(q->wake_ud);
  else (void)pthread_cond_signal(&q->more);
}

static msub__hand *take_locked(msub__handoff *q) {
  msub__hand *all = q->first;
  q->first = q->last = NULL;
  return all;
}

msub__hand *msub__handoff_take(msub__handoff *q) {
  (void)pthread_mutex_lock(&q->lock);
  msub__hand *all = take_locked(q);
  (void)pthread_mutex_unlock(&q->lock);
  return all;
}

msub__hand *msub__handoff_wait(msub__handoff *q) {
  (void)pthread_mutex_lock(&q->lock);
  while (!q->first) (void)pthread_cond_wait(&q->more, &q->lock);
  msub__hand *all = take_locked(q);
  (void)pthread_mutex_unlock(&q->lock);
  return all;
}
