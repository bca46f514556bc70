/* Series of figures, and what else the machine did meanwhile. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H
#include "cli/text.h"

#define SERIES_MAX 128
typedef struct series {
  double v[SERIES_MAX];
  size_t n;
} series;
void series_add(series *s, double v);
typedef struct summary {
  double median, least, most;
} summary;
summary series_summary(const series *s);

/* Cores used by processes that are not ours, between two moments. Taken from the idle column of /proc/stat:
 * the busy columns are sampled by ticks and misjudge paced work. */
typedef struct moment {
  uint64_t ns, idle_ns;
} moment;
moment moment_now(void);
double other_cores_busy(const moment *from, const moment *to, double our_cpu_seconds);
/* CPU seconds of this process so far. */
double own_cpu(void);

#endif
