#include "sim/queue.h"
#include <string.h>
#include "base/assert.h"

#define FIRST_CAP 256u

static bool before(const msub__sim_event *a, const msub__sim_event *b) {
  if (a->time != b->time) return a->time < b->time;
  if (a->way != b->way) return a->way < b->way;
  return a->order < b->order;
}

void msub__simq_fini(msub__simq *q, const msub_mem *m) {
  msub__free(m, q->e, q->cap * sizeof *q->e);
  *q = (msub__simq){ 0 };
}

int msub__simq_push(msub__simq *q, const msub_mem *m, const msub__sim_event *ev) {
  if (q->n == q->cap) {
    size_t cap = q->cap ? q->cap * 2 : FIRST_CAP;
    msub__sim_event *e = msub__realloc(m, q->e, q->cap * sizeof *e, cap * sizeof *e);
    if (!e) return MSUB_ERR_NOMEM;
    q->e = e;
    q->cap = cap;
  }
  size_t i = q->n++;
  while (i > 0) {
    size_t parent = (i - 1) / 4;
    if (!before(ev, &q->e[parent])) break;
    q->e[i] = q->e[parent];
    i = parent;
  }
  q->e[i] = *ev;
  return MSUB_OK;
}

/* Puts ev where the hole at i leads down to. */
static void sink(msub__simq *q, size_t i, const msub__sim_event *ev) {
  for (;;) {
    size_t child = 4 * i + 1, best = child;
    if (child >= q->n) break;
    size_t end = child + 4 < q->n ? child + 4 : q->n;
    for (size_t k = child + 1; k < end; k++)
      if (before(&q->e[k], &q->e[best])) best = k;
    if (!before(&q->e[best], ev)) break;
    q->e[i] = q->e[best];
    i = best;
  }
  q->e[i] = *ev;
}

void msub__simq_pop(msub__simq *q) {
  MSUB__INVARIANT(q->n > 0);
  msub__sim_event last = q->e[--q->n];
  if (q->n) sink(q, 0, &last);
}

size_t msub__simq_prune(msub__simq *q, bool (*dead)(void *ctx, const msub__sim_event *ev), void *ctx) {
  size_t keep = 0, was = q->n;
  for (size_t i = 0; i < was; i++)
    if (!dead(ctx, &q->e[i])) q->e[keep++] = q->e[i];
  q->n = keep;
  for (size_t i = keep / 4 + 1; i-- > 0;) {
    if (4 * i + 1 >= keep) continue;
    msub__sim_event ev = q->e[i];
    sink(q, i, &ev);
  }
  return was - keep;
}
