/* host/transport/accept_pause.h: what a listener does when descriptors are out (or the system refuses for another reason).
 *
 * It tries again after 50 ms, then after twice as long each time, at most 1 s. For the try the transport gives up a descriptor
 * held in reserve, so accept can succeed: when the reserve can then be taken again there are descriptors, and the connection
 * stays; when not, it is closed, which tells its peer better than silence in a backlog that nobody drains. Connections that
 * live notice nothing. */
#ifndef MSUB_HOST_ACCEPT_PAUSE_H
#define MSUB_HOST_ACCEPT_PAUSE_H
#include "meshsub/base.h"

typedef struct msub__accept_pause {
  bool paused;
  uint64_t backoff, resume_at;
} msub__accept_pause;
bool msub__accept_failed(msub__accept_pause *p, uint64_t now_mono_ns); /* true: the pause begins, and is to be told */
bool msub__accept_worked(msub__accept_pause *p);                       /* true: there was one */

/* The reserve: a descriptor, or -1. */
bool msub__reserve_take(int *fd); /* false: descriptors are out */
void msub__reserve_give(int *fd);
#endif
