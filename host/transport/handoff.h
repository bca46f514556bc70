/* host/transport/handoff.h: a queue between threads whose links live in what is queued, so that putting something in needs no
 * memory and cannot fail. A node is on at most one queue at a time. */
#ifndef MSUB_HOST_HANDOFF_H
#define MSUB_HOST_HANDOFF_H
#include "meshsub/base.h"
#include <pthread.h>

typedef struct msub__hand {
  struct msub__hand *next;
  void *owner; /* what it is part of */
  int what;    /* the users' word */
} msub__hand;

typedef struct msub__handoff {
  pthread_mutex_t lock;
  pthread_cond_t more;
  msub__hand *first, *last;
  void (*wake)(void *ud); /* NULL: the taker sleeps in wait() */
  void *wake_ud;
} msub__handoff;
MSUB_MUST int msub__handoff_init(msub__handoff *q, void (*wake)(void *ud), void *wake_ud); /* NOMEM */
void msub__handoff_fini(msub__handoff *q);
/* Any thread. Wakes only when the queue was empty. The node may be taken, and put again, before this returns. */
void msub__handoff_put(msub__handoff *q, msub__hand *h);
msub__hand *msub__handoff_take(msub__handoff *q); /* all there is, oldest first, or NULL */
msub__hand *msub__handoff_wait(msub__handoff *q); /* the same, but waits until there is something */
#endif
