#include "bench/bench.h"
#include <string.h>

void result_add(result *r, const sample *s) {
  series_add(&r->rate, s->rate);
  series_add(&r->mb_s, s->mb_s);
  series_add(&r->cpu_pub, s->cpu_pub);
  series_add(&r->cpu_relay, s->cpu_relay);
  series_add(&r->cpu_sub, s->cpu_sub);
  series_add(&r->rss_pub, s->rss_pub);
  series_add(&r->rss_sub, s->rss_sub);
  for (int i = 0; i < LATS; i++) series_add(&r->lat[i], s->lat[i]);
  series_add(&r->late, s->late);
  series_add(&r->retries, s->retries);
  for (int i = 0; i < 2; i++) series_add(&r->figure[i], s->figure[i]);
  series_add(&r->other_busy, s->other_busy);
}

/* ---- table ---- */

/* "47.5 (46.0-47.8)" */
static const char *cell(char out[64], const series *s, double scale, int digits) {
  summary v = series_summary(s);
  snprintf(out, 64, "%.*f (%.*f-%.*f)", digits, v.median * scale, digits, v.least * scale, digits,
           v.most * scale);
  return out;
}

static void table_rates(const result *results, size_t n) {
  bool headed = false;
  char a[64], b[64], c[64], d[64], e[64], f[64], g[64];
  for (const result *r = results; r < results + n; r++) {
    if (r->kind->paced || is_idle(r->kind) || r->rate.n == 0) continue;
    if (!headed)
      printf("%-8s %-20s %2s  %-22s %-18s %-20s %-20s %-20s %-18s %-18s %s\n", "bench", "arm", "n", "k msg/s",
             "MB/s", "CPU us/msg pub", "relay", "sub", "RSS MiB pub", "sub", "other busy");
    headed = true;
    printf("%-8s %-20s %2zu  %-22s %-18s %-20s %-20s %-20s %-18s %-18s %.2f\n", r->kind->id, r->arm->name,
           r->rate.n, cell(a, &r->rate, 1e-3, 1), cell(b, &r->mb_s, 1, 0), cell(c, &r->cpu_pub, 1, 2),
           r->kind->shape == CHAIN ? cell(g, &r->cpu_relay, 1, 2) : "-", cell(d, &r->cpu_sub, 1, 2), cell(e, &r->rss_pub, 1, 1), cell(f, &r->rss_sub, 1, 1),
           series_summary(&r->other_busy).most);
  }
}

static void table_latencies(const result *results, size_t n) {
  bool headed = false;
  char a[64], b[64], c[64], d[64], e[64], f[64], g[64];
  for (const result *r = results; r < results + n; r++) {
    if (!r->kind->paced || r->rate.n == 0) continue;
    if (!headed)
      printf("%-8s %-20s %2s  %-16s %-16s %-16s %-18s %-20s %-18s %-18s %s\n", "bench", "arm", "n", "p50 us",
             "p90", "p99", "p99.9", "max", "CPU us/msg pub", "sub", "other busy");
    headed = true;
    printf("%-8s %-20s %2zu  %-16s %-16s %-16s %-18s %-20s %-18s %-18s %.2f\n", r->kind->id, r->arm->name,
           r->rate.n, cell(a, &r->lat[LAT_P50], 1, 0), cell(b, &r->lat[LAT_P90], 1, 0),
           cell(c, &r->lat[LAT_P99], 1, 0), cell(d, &r->lat[LAT_P999], 1, 0), cell(e, &r->lat[LAT_MAX], 1, 0),
           cell(f, &r->cpu_pub, 1, 1), cell(g, &r->cpu_sub, 1, 1), series_summary(&r->other_busy).most);
  }
}

static void table_idle(const result *results, size_t n) {
  bool headed = false;
  char a[64], b[64], figures[2][96] = { { 0 } };
  for (const result *r = results; r < results + n; r++) {
    if (!is_idle(r->kind) || r->rate.n == 0) continue;
    if (!headed) printf("%-8s %-20s %2s  %-36s %-36s %s\n", "bench", "arm", "n", "", "", "other busy");
    headed = true;
    snprintf(figures[0], sizeof figures[0], "%s %s %s", r->kind->figures[0], cell(a, &r->figure[0], 1, 2), r->kind->unit);
    *figures[1] = 0;
    if (r->kind->figures[1]) snprintf(figures[1], sizeof figures[1], "%s %s %s", r->kind->figures[1], cell(b, &r->figure[1], 1, 2), r->kind->unit);
    printf("%-8s %-20s %2zu  %-36s %-36s %.2f\n", r->kind->id, r->arm->name, r->rate.n, figures[0], figures[1], series_summary(&r->other_busy).most);
  }
}

void report_table(const result *results, size_t n) {
  table_rates(results, n);
  table_latencies(results, n);
  table_idle(results, n);
  for (const result *r = results; r < results + n; r++) {
    if (r->noisy)
      printf("%s %s: in %u repetitions other programs used more than 0.1 of a core%s\n", r->kind->id,
             r->arm->name, r->noisy,
             r->dropped ? "; they were run again and do not count" : "; CPU per message is what counts");
    if (r->failures)
      printf("%s %s: %u repetitions failed, lost %llu messages\n", r->kind->id, r->arm->name, r->failures,
             (unsigned long long)r->lost);
  }
}

/* ---- JSON ---- */

static void put_summary(json_t *j, const char *name, const series *s) {
  summary v = series_summary(s);
  json_object_set_new(j, name,
                      json_pack("{s:f, s:f, s:f}", "median", v.median, "min", v.least, "max", v.most));
}

void report_json(const result *r) {
  static const char *const lats[LATS] = { "p50_us", "p90_us", "p99_us", "p999_us", "max_us" };
  bool paced = r->kind->paced;
  const bool idle = is_idle(r->kind);
  summary v = series_summary(idle ? &r->figure[0] : paced ? &r->lat[LAT_P50] : &r->rate);
  char variant[160];
  snprintf(variant, sizeof variant, "%s, %s, %llu B", r->arm->name, r->kind->variant,
           (unsigned long long)r->size);
  json_t *j = json_object(), *busy = json_array();
  json_object_set_new(j, "bench", json_string(r->kind->id));
  json_object_set_new(j, "variant", json_string(variant));
  json_object_set_new(j, "unit", json_string(idle ? r->kind->unit : paced ? "us" : "msg/s"));
  json_object_set_new(j, "value", json_real(v.median));
  json_object_set_new(j, "min", json_real(v.least));
  json_object_set_new(j, "max", json_real(v.most));
  json_object_set_new(j, "n", json_integer((json_int_t)r->rate.n));
  json_object_set_new(j, "arm", json_string(r->arm->name));
  if (idle) {
    for (int i = 0; i < 2; i++)
      if (r->kind->figures[i]) put_summary(j, r->kind->figures[i], &r->figure[i]);
  } else {
    put_summary(j, "rate", &r->rate);
    put_summary(j, "mb_s", &r->mb_s);
    put_summary(j, "cpu_us_pub", &r->cpu_pub);
    if (r->kind->shape == CHAIN) put_summary(j, "cpu_us_relay", &r->cpu_relay);
    put_summary(j, "cpu_us_sub", &r->cpu_sub);
    put_summary(j, "rss_mib_pub", &r->rss_pub);
    put_summary(j, "rss_mib_sub", &r->rss_sub);
    if (paced) {
      for (int i = 0; i < LATS; i++) put_summary(j, lats[i], &r->lat[i]);
      put_summary(j, "late_us", &r->late);
    }
    put_summary(j, "retries", &r->retries);
  }
  for (size_t i = 0; i < r->other_busy.n; i++) json_array_append_new(busy, json_real(r->other_busy.v[i]));
  json_object_set_new(j, "other_cores_busy", busy);
  json_object_set_new(j, "noisy", json_integer(r->noisy));
  json_object_set_new(j, "dropped", json_integer(r->dropped));
  json_object_set_new(j, "failures", json_integer(r->failures));
  json_object_set_new(j, "lost", json_integer((json_int_t)r->lost));
  put_json(stdout, j);
}
