/* meshsub-bench: drives node programs through the peer control protocol and reports what they reach.
 *
 *   main.c     options, order of the repetitions     nodes.c   one repetition of nodes that send messages
 *   report.c   table and JSON                        idle.c    … of a node that has nothing to do
 *                                                    floor.c   the same bytes without a node: TCP and an AEAD
 *   control.c  the driver's end of the protocol      measure.c medians, load of the machine */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H
#include "bench/measure.h"

typedef enum shape {
  PAIR,  /* publisher ─ subscriber */
  FAN,   /* publisher ─ FAN_SUBS subscribers */
  CHAIN, /* publisher ─ relay ─ subscriber */
  BARE,  /* no nodes */
  ALONE, /* a started node */
  HUB,   /* a node with HUB_PEERS connections, all subscribed */
  HUB_IDLE
} shape;
enum { FAN_SUBS = 4, HUB_PEERS = 200 };
typedef struct bench_kind {
  const char *id, *variant, *about;
  shape shape;
  bool sign, paced;
  uint64_t size, window, warm_up;
  const char *figures[2], *unit; /* of ALONE and HUB */
} bench_kind;
static inline bool is_idle(const bench_kind *k) { return k->shape >= ALONE; }

/* Two programs, one publishes and one subscribes. */
typedef struct arm {
  char name[64];
  const char *pub, *sub;
  const char *transport; /* of ours; NULL: its own choice */
} arm;

typedef struct settings {
  uint64_t size, window, count, rate, timeout_ns, seconds_ns; /* 0: the kind's own */
  const char *router;                                         /* "": not said; NULL: the kind's own */
  json_t *cfg;                                                /* more members of cfg, or NULL */
} settings;

enum { LAT_P50, LAT_P90, LAT_P99, LAT_P999, LAT_MAX, LATS };
/* One repetition. */
typedef struct sample {
  double rate, mb_s;                   /* deliveries/s */
  double cpu_pub, cpu_relay, cpu_sub;  /* us per message; of several subscribers the mean */
  double rss_pub, rss_sub;             /* MiB */
  double lat[LATS], late, retries;     /* us */
  double figure[2];                    /* of an idle node */
  double other_busy;
  uint64_t lost;
  char error[1100]; /* "": it worked */
} sample;

void nodes_run(const bench_kind *k, const arm *a, const settings *s, sample *out);
void idle_run(const bench_kind *k, const arm *a, const settings *s, const char *ours, sample *out); /* ours: meshsub-peer, to be its peers */
void floor_run(const bench_kind *k, const settings *s, sample *out);

/* All repetitions of one kind and arm. */
typedef struct result {
  const bench_kind *kind;
  const arm *arm;
  uint64_t size;
  series rate, mb_s, cpu_pub, cpu_relay, cpu_sub, rss_pub, rss_sub, lat[LATS], late, retries, figure[2], other_busy;
  unsigned noisy, dropped, failures;
  uint64_t lost;
} result;
void result_add(result *r, const sample *s);
void report_table(const result *results, size_t n);
void report_json(const result *r);

#endif
