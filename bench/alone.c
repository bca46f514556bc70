/* bench/alone.c: benchmarks of the engine alone: each repetition in a process of its own, so that every one begins with the same memory. */
#include "bench/alone.h"
#include "bench/engine/engine.h"
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct figure {
  const engine_bench *b;
  series v, busy;
  unsigned noisy, failures;
} figure;

bool alone_is(const char *id) {
  for (size_t i = 0; i < n_engine_benches; i++)
    if (strcmp(engine_benches[i].id, id) == 0) return true;
  return false;
}
const char *alone_at(size_t i) { return i < n_engine_benches ? engine_benches[i].id : NULL; }

void alone_list(void) {
  for (size_t i = 0; i < n_engine_benches; i++)
    if (*engine_benches[i].about) printf("%-8s %s\n", engine_benches[i].id, engine_benches[i].about);
}

/* false: the child died. */
static bool repeat(figure *f) {
  int fd[2];
  if (pipe(fd) != 0) return false;
  moment from = moment_now();
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    close(fd[0]);
    double own[2] = { f->b->run(), 0 };
    own[1] = own_cpu();
    _exit(write(fd[1], own, sizeof own) == (ssize_t)sizeof own ? 0 : 1);
  }
  close(fd[1]);
  double got[2];
  bool ok = child > 0 && read(fd[0], got, sizeof got) == (ssize_t)sizeof got;
  close(fd[0]);
  int status;
  if (child > 0 && waitpid(child, &status, 0) == child && status != 0) ok = false;
  moment to = moment_now();
  if (!ok) return false;
  double busy = other_cores_busy(&from, &to, got[1]);
  series_add(&f->v, got[0]);
  series_add(&f->busy, busy);
  f->noisy += busy > 0.1;
  return true;
}

static void put(const figure *f, bool json) {
  summary v = series_summary(&f->v);
  if (!json) {
    printf("%-5s %-36s %-15s %10.4g  (%.4g-%.4g)  n %zu  other busy %.2f\n", f->b->id, f->b->variant, f->b->unit, v.median, v.least, v.most,
           f->v.n, series_summary(&f->busy).most);
    return;
  }
  json_t *j = json_pack("{s:s, s:s, s:s, s:f, s:f, s:f, s:I, s:i}", "bench", f->b->id, "variant", f->b->variant, "unit", f->b->unit, "value",
                        v.median, "min", v.least, "max", v.most, "n", (json_int_t)f->v.n, "noisy", (int)f->noisy);
  json_t *busy = json_array();
  for (size_t i = 0; i < f->busy.n; i++) json_array_append_new(busy, json_real(f->busy.v[i]));
  json_object_set_new(j, "other_cores_busy", busy);
  put_json(stdout, j);
}

bool alone_run(const text_list *ids, unsigned reps, bool json) {
  figure *all = take(n_engine_benches * sizeof *all);
  size_t n = 0;
  for (size_t k = 0; k < ids->n; k++)
    for (size_t i = 0; i < n_engine_benches; i++)
      if (strcmp(engine_benches[i].id, ids->v[k]) == 0) all[n++] = (figure){ .b = &engine_benches[i] };
  bool ok = true;
  for (unsigned rep = 0; rep < reps; rep++)
    for (size_t i = 0; i < n; i++)
      if (!repeat(&all[i])) {
        all[i].failures++;
        ok = false;
        say_error("meshsub-bench", "%s %s: repetition %u failed", all[i].b->id, all[i].b->variant, rep + 1);
      }
  for (size_t i = 0; i < n; i++)
    if (all[i].v.n) put(&all[i], json);
  free(all);
  return ok;
}

int alone_work(const char *id, unsigned n) {
  for (size_t i = 0; i < n_engine_benches; i++)
    if (strcmp(engine_benches[i].id, id) == 0 && engine_benches[i].work) {
      engine_benches[i].work(n);
      return 0;
    }
  return -1;
}
