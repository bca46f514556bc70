/* base/wheel.h: hierarchical timer wheel. Timers are intrusive, start and stop are O(1), expiry is exact: a timer never fires
 * before its deadline, and fires at the first advance at or after it. Timers of one advance fire in order of (deadline, start
 * order), so two runs with the same calls fire in the same order.
 *
 *   level 0: 256 slots of 2^20 ns (about 1 ms); level k: 64 slots, each as wide as the whole level below; 5 levels, then a list.
 */
#ifndef MSUB_BASE_WHEEL_H
#define MSUB_BASE_WHEEL_H
#include "base/deadline.h"
#include "base/list.h"

typedef struct msub__timer {
  msub__node node;      /* in a slot, or alone */
  uint64_t deadline;
  uint64_t order;
  void (*fire)(struct msub__timer *t); /* may start or stop any timer, this one included; it is stopped when fire begins */
} msub__timer;
typedef struct msub__wheel msub__wheel;
struct msub_mem;
/* now_ns: where it begins. NULL: no memory. */
msub__wheel *msub__wheel_new(const struct msub_mem *m, uint64_t now_ns);
void msub__wheel_free(msub__wheel *w); /* running timers are forgotten, not fired */
void msub__timer_init(msub__timer *t, void (*fire)(msub__timer *));
bool msub__timer_running(const msub__timer *t);
void msub__timer_start(msub__wheel *w, msub__timer *t, uint64_t deadline_ns); /* a running one is moved; MSUB_NEVER only stops it */
void msub__timer_stop(msub__wheel *w, msub__timer *t);                        /* also when it does not run */
uint64_t msub__wheel_next(const msub__wheel *w); /* exact earliest deadline, or MSUB_NEVER */
/* Fires what is due at now_ns, at most `max` timers; true: more are due. */
bool msub__wheel_advance(msub__wheel *w, uint64_t now_ns, unsigned max);
#endif
