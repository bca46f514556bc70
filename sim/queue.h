/* sim/queue.h: the events of a simulation in their order. All that the rest knows of the queue is here, so that
 * another one can take its place.
 *
 * The order is (time, way, order), and no two events are equal in it: `way` is destination and source, `order` the
 * number of the event at its source. The queue is a 4-ary heap of the events themselves, 32 bytes each, so that a
 * node's children lie in two cache lines. Nothing is taken out of the middle: an event that is called off stays
 * until its time, or until prune. */
#ifndef MSUB_SIM_QUEUE_H
#define MSUB_SIM_QUEUE_H
#include "base/mem.h"

typedef struct msub__sim_event {
  uint64_t time, way, order; /* order: number << 8 | kind */
  uint64_t arg;
} msub__sim_event;

typedef struct msub__simq {
  msub__sim_event *e;
  size_t n, cap;
} msub__simq;
void msub__simq_fini(msub__simq *q, const msub_mem *m);
MSUB_MUST int msub__simq_push(msub__simq *q, const msub_mem *m, const msub__sim_event *ev); /* NOMEM */
static inline size_t msub__simq_count(const msub__simq *q) { return q->n; }
/* The first event: NULL when empty; valid until the next push or pop. */
static inline const msub__sim_event *msub__simq_first(const msub__simq *q) { return q->n ? q->e : NULL; }
void msub__simq_pop(msub__simq *q); /* must not be empty */
/* Takes out what `dead` says is dead; how many. */
size_t msub__simq_prune(msub__simq *q, bool (*dead)(void *ctx, const msub__sim_event *ev), void *ctx);
#endif
