/* host/inbox.h: how other threads reach the loop: one descriptor that wakes it, and a bounded queue of calls to make.
 *
 *   any thread ── post ──▶ inbox ─┐
 *   transport's threads ──────────┼── signal ──▶ wake (eventfd) ──▶ poll ──▶ loop: clear, then fetch from all three
 *   pool's threads ───────────────┘
 *
 * The loop clears first and fetches afterwards, so that what comes in between is seen or signalled again. A loop that stops
 * fetching before a source is empty signals the wake itself: level-triggered means readable while anything is left. */
#ifndef MSUB_HOST_INBOX_H
#define MSUB_HOST_INBOX_H
#include "base/mem.h"
#include <pthread.h>
#include <stdatomic.h>

#define MSUB__INBOX_MAX 65536u

/* Signals coalesce: a burst from many threads is one write. */
typedef struct msub__wake {
  int fd; /* readable from the first signal to the clear */
  atomic_bool set;
} msub__wake;
MSUB_MUST int msub__wake_init(msub__wake *w); /* IO: no descriptor; w is then safe to fini */
void msub__wake_fini(msub__wake *w);
void msub__wake_signal(void *wake); /* any thread; void * so that it can be handed out as a callback */
void msub__wake_clear(msub__wake *w); /* the loop's thread */

struct msub_host;
typedef struct msub__call {
  void (*fn)(struct msub_host *h, void *arg);
  void *arg;
} msub__call;

/* First in, first out. The ring grows on the posting thread, where the host's allocator must not be used: it is malloc's. */
typedef struct msub__inbox {
  pthread_mutex_t lock;
  msub__wake *wake;
  msub__call *calls; /* ring of cap, a power of two or 0 */
  uint32_t cap, head, n;
} msub__inbox;
MSUB_MUST int msub__inbox_init(msub__inbox *in, msub__wake *wake);
void msub__inbox_fini(msub__inbox *in); /* forgets what is left; take it before if args must be freed */
MSUB_MUST int msub__inbox_post(msub__inbox *in, msub__call call); /* any thread. LIMIT: MSUB__INBOX_MAX wait. NOMEM */
/* Moves at most max calls to out, oldest first, and signals the wake when some stay behind. The loop's thread. */
size_t msub__inbox_take(msub__inbox *in, msub__call *out, size_t max);
#endif
