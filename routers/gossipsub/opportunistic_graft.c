/* routers/gossipsub/opportunistic_graft.c: a mesh whose median score is low takes in a few peers that are better than that, so
 * that a mesh full of idle peers does not stay one. */
#include <stdlib.h>
#include "routers/gossipsub/gossipsub.h"

static int rising(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* The element size/2 of the rising order. */
static double median(msub_router *r, const msub__gs_topic *tt) {
  double few[64], *scores = few, out = 0;
  size_t n = tt->n;
  if (n > sizeof few / sizeof *few) scores = msub__zalloc(msub_r_mem(r), n, sizeof *scores);
  if (!scores) return 0;
  for (size_t i = 0; i < n; i++) scores[i] = msub__gs_score(r, tt->s[i]);
  qsort(scores, n, sizeof *scores, rising);
  out = scores[n / 2];
  if (scores != few) msub__free(msub_r_mem(r), scores, n * sizeof *scores);
  return out;
}

void msub__gs_opportunistic_graft(msub_router *r, msub_topic t, msub__gs_topic *tt, msub__gs_actions *a) {
  double m = median(r, tt);
  if (m >= msub__gs_thresholds_of(r)->opportunistic_graft) return;
  msub__gs_picks c;
  msub__gs_picks_init(&c);
  msub__gs_candidates(r, t, MSUB__GS_MIND_BACKOFF | MSUB__GS_ABOVE, m < 0 ? 0 : m, &c);
  (void)msub__gs_graft_some(r, t, tt, &c, msub__gs_opts(r)->opportunistic_peers, a);
  msub__gs_picks_fini(r, &c);
}
