/* meshsub-bench: drives two node programs through the peer control protocol and reports what they reach.
 *
 *   main.c     options, order of the repetitions     pair.c    one repetition of two nodes
 *   report.c   table and JSON                        floor.c   the same bytes without a node: TCP and an AEAD
 *   control.c  the driver's end of the protocol      measure.c medians, load of the machine */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H
#include "bench/measure.h"

typedef struct bench_kind {
  const char *id, *variant, *about;
  bool sign, paced, bare; /* bare: no nodes */
  uint64_t size, window, warm_up;
} bench_kind;

/* Two programs, one publishes and one subscribes. */
typedef struct arm {
  char name[64];
  const char *pub, *sub;
} arm;

typedef struct settings {
  uint64_t size, window, count, rate, timeout_ns, seconds_ns; /* 0: the kind's own */
  const char *router;                                         /* "": not said */
  json_t *cfg;                                                /* more members of cfg, or NULL */
} settings;

enum { LAT_P50, LAT_P90, LAT_P99, LAT_P999, LAT_MAX, LATS };
/* One repetition. */
typedef struct sample {
  double rate, mb_s, cpu_pub, cpu_sub; /* msg/s, us per message */
  double rss_pub, rss_sub;             /* MiB */
  double lat[LATS], late, retries;     /* us */
  double other_busy;
  uint64_t lost;
  char error[1100]; /* "": it worked */
} sample;

void pair_run(const bench_kind *k, const arm *a, const settings *s, sample *out);
void floor_run(const bench_kind *k, const settings *s, sample *out);

/* All repetitions of one kind and arm. */
typedef struct result {
  const bench_kind *kind;
  const arm *arm;
  uint64_t size;
  series rate, mb_s, cpu_pub, cpu_sub, rss_pub, rss_sub, lat[LATS], late, retries, other_busy;
  unsigned noisy, dropped, failures;
  uint64_t lost;
} result;
void result_add(result *r, const sample *s);
void report_table(const result *results, size_t n);
void report_json(const result *r);

#endif
