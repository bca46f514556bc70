#include "bench/measure.h"
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void series_add(series *s, double v) {
  if (s->n < SERIES_MAX) s->v[s->n++] = v;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

summary series_summary(const series *s) {
  series c = *s;
  if (c.n == 0) return (summary){ 0 };
  qsort(c.v, c.n, sizeof *c.v, ascending);
  double median = c.n % 2 ? c.v[c.n / 2] : (c.v[c.n / 2 - 1] + c.v[c.n / 2]) / 2;
  return (summary){ median, c.v[0], c.v[c.n - 1] };
}

moment moment_now(void) {
  moment m = { .ns = mono_ns() };
  FILE *f = fopen("/proc/stat", "r");
  unsigned long long idle = 0, iowait = 0;
  if (f && fscanf(f, "cpu %*u %*u %*u %llu %llu", &idle, &iowait) != 2) idle = iowait = 0;
  if (f) fclose(f);
  m.idle_ns = (uint64_t)((double)(idle + iowait) * 1e9 / (double)sysconf(_SC_CLK_TCK));
  return m;
}

double other_cores_busy(const moment *from, const moment *to, double our_cpu_seconds) {
  double wall = (double)(to->ns - from->ns) / 1e9, idle = (double)(to->idle_ns - from->idle_ns) / 1e9;
  double busy = (wall * (double)sysconf(_SC_NPROCESSORS_ONLN) - idle - our_cpu_seconds) / wall;
  return wall > 0 && busy > 0 ? busy : 0; /* ticks are coarse: a little below zero is zero */
}

double own_cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}
