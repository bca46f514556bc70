#include "bench/alone.h"
#include "bench/bench.h"
#include "cli/options.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOISY 0.1 /* of a core: above it a repetition is marked */
#define ARMS_MAX 8

static const bench_kind kinds[] = {
  { .id = "B1", .variant = "unsigned", .about = "1 -> 1, 1 KiB, anonymous messages, ids from the payload, closed loop",
    .size = 1024, .window = 256, .warm_up = 20000 },
  { .id = "B2", .variant = "signed", .about = "as B1, every message signed and verified (Ed25519)",
    .sign = true, .size = 1024, .window = 256, .warm_up = 5000 },
  { .id = "B3-64", .variant = "unsigned", .about = "as B1 with 64 B, window 4096", .size = 64, .window = 4096, .warm_up = 20000 },
  { .id = "B3-16k", .variant = "unsigned", .about = "as B1 with 16 KiB", .size = 16384, .window = 256, .warm_up = 5000 },
  { .id = "B3-128k", .variant = "unsigned", .about = "as B1 with 128 KiB, window 64", .size = 131072, .window = 64, .warm_up = 1000 },
  { .id = "B4", .variant = "unsigned", .about = "as B1, 1 -> 4, in deliveries", .shape = FAN, .size = 1024, .window = 256, .warm_up = 5000 },
  { .id = "B4s", .variant = "signed", .about = "as B4, signed", .shape = FAN, .sign = true, .size = 1024, .window = 256, .warm_up = 2000 },
  { .id = "B5", .variant = "unsigned", .about = "as B1 through a third node that relays", .shape = CHAIN,
    .size = 1024, .window = 256, .warm_up = 10000 },
  { .id = "B5s", .variant = "signed", .about = "as B5, signed", .shape = CHAIN, .sign = true, .size = 1024, .window = 256, .warm_up = 3000 },
  { .id = "B6", .variant = "unsigned, paced", .about = "latency of 1 -> 1, 1 KiB, anonymous messages at 2000/s",
    .paced = true, .size = 1024, .window = 256, .warm_up = 5000 },
  { .id = "B6s", .variant = "signed, paced", .about = "as B6, signed", .sign = true, .paced = true, .size = 1024, .window = 256, .warm_up = 5000 },
  { .id = "C1", .variant = "idle", .about = "memory of a node that is started and subscribed", .shape = ALONE,
    .figures = { "RSS", "anonymous" }, .unit = "MiB" },
  { .id = "C2", .variant = "200 connections", .about = "memory of a connection whose peer is subscribed, of 200", .shape = HUB,
    .figures = { "RSS", "anonymous" }, .unit = "KiB/connection" },
  { .id = "C7", .variant = "200 connections", .about = "CPU of a node with 200 subscribed connections and nothing to do", .shape = HUB_IDLE,
    .figures = { "CPU", NULL }, .unit = "ms/s" },
  { .id = "floor", .variant = "no nodes", .about = "loopback TCP and ChaCha20-Poly1305 in 65,519-byte records, counted in messages",
    .shape = BARE, .size = 1024 },
};
#define KINDS (sizeof kinds / sizeof *kinds)

static const char *kind_at(const void *ud, size_t i) {
  (void)ud;
  return i < KINDS ? kinds[i].id : alone_at(i - KINDS);
}

static int list(void) {
  for (size_t i = 0; i < KINDS; i++) printf("%-8s %s\n", kinds[i].id, kinds[i].about);
  alone_list();
  return flush_out("meshsub-bench", stdout) ? EXIT_OK : EXIT_FAILED;
}

/* ---- what to run ---- */

typedef struct plan {
  const command *cmd;
  settings set;
  const char *pub, *sub, *cfg_text;
  text_list arm_texts, ids, alone; /* alone: ids of benchmarks without nodes */
  arm arms[ARMS_MAX], bare;
  size_t n_arms, n_results;
  result *results;
  uint64_t reps;
  bool json, quiet_only;
} plan;

/* The program that lies beside this one. */
static const char *own_peer(void) {
  static char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
  if (n < 0) return "meshsub-peer";
  path[n] = 0;
  char *slash = strrchr(path, '/');
  strcpy(slash ? slash + 1 : path, "meshsub-peer");
  return path;
}

static const char *short_name(const char *line) {
  const char *end = line + strcspn(line, " "), *p = end;
  while (p > line && p[-1] != '/') p--;
  return p;
}

static int make_arms(plan *p) {
  const char *ours = own_peer();
  snprintf(p->bare.name, sizeof p->bare.name, "tcp + aead");
  if (p->pub || p->sub || !p->arm_texts.n) {
    arm *a = &p->arms[p->n_arms++];
    a->pub = p->pub ? p->pub : ours;
    a->sub = p->sub ? p->sub : ours;
    const char *x = short_name(a->pub), *y = short_name(a->sub);
    if (strcmp(a->pub, a->sub) == 0)
      snprintf(a->name, sizeof a->name, "%.20s", x);
    else
      snprintf(a->name, sizeof a->name, "%.20s -> %.20s", x, y);
  }
  for (size_t i = 0; i < p->arm_texts.n; i++) {
    const char *text = p->arm_texts.v[i], *equals = strchr(text, '=');
    if (!equals || equals == text || !equals[1])
      return usage_error(p->cmd, "--arm %s: write NAME=COMMAND", quoted(text));
    if (p->n_arms == ARMS_MAX) return usage_error(p->cmd, "more than %d arms", ARMS_MAX);
    arm *a = &p->arms[p->n_arms++];
    snprintf(a->name, sizeof a->name, "%.*s", (int)(equals - text), text);
    a->pub = a->sub = equals + 1;
    if (strncmp(equals + 1, "ours", 4) != 0 || (equals[5] && equals[5] != ':')) continue;
    a->pub = a->sub = ours;
    if (equals[5]) a->transport = equals + 6;
  }
  return -1;
}

static const bench_kind *find_kind(const char *id) {
  for (size_t i = 0; i < KINDS; i++)
    if (strcmp(kinds[i].id, id) == 0) return &kinds[i];
  return NULL;
}

static int make_results(plan *p) {
  p->results = take(p->ids.n * (p->n_arms + 1) * sizeof *p->results);
  p->alone.v = take(p->ids.n * sizeof *p->alone.v);
  for (size_t i = 0; i < p->ids.n; i++) {
    if (alone_is(p->ids.v[i])) {
      p->alone.v[p->alone.n++] = p->ids.v[i];
      continue;
    }
    const bench_kind *k = find_kind(p->ids.v[i]);
    if (!k) {
      const char *meant = nearest(p->ids.v[i], kind_at, NULL);
      return usage_error(p->cmd, "unknown benchmark %s; %s%s%s\"meshsub-bench list\" names them",
                         quoted(p->ids.v[i]), meant ? "did you mean " : "", meant ? meant : "",
                         meant ? "? " : "");
    }
    uint64_t size = p->set.size ? p->set.size : k->size;
    for (size_t a = 0; a < (k->shape == BARE ? 1 : p->n_arms); a++)
      p->results[p->n_results++] =
          (result){ .kind = k, .arm = k->shape == BARE ? &p->bare : &p->arms[a], .size = size };
  }
  return -1;
}

/* ---- running ---- */

static void run_once(const plan *p, const result *r, sample *s) {
  if (r->kind->shape == BARE) floor_run(r->kind, &p->set, s);
  else if (is_idle(r->kind)) idle_run(r->kind, r->arm, &p->set, own_peer(), s);
  else nodes_run(r->kind, r->arm, &p->set, s);
}

static void take_sample(plan *p, result *r, const sample *s, unsigned repetition) {
  bool noisy = s->other_busy > NOISY;
  if (*s->error) {
    r->failures++;
    r->lost += s->lost;
    say_error("meshsub-bench", "%s %s, repetition %u: %s", r->kind->id, r->arm->name, repetition, s->error);
    return;
  }
  r->noisy += noisy;
  if (noisy && p->quiet_only)
    r->dropped++;
  else
    result_add(r, s);
  if (is_idle(r->kind)) {
    fprintf(stderr, "%s %s, repetition %u: %.2f %s, other cores busy %.2f%s\n", r->kind->id, r->arm->name, repetition, s->figure[0], r->kind->unit,
            s->other_busy, noisy ? " (noisy)" : "");
    return;
  }
  fprintf(stderr, "%s %s, repetition %u: %.1f k msg/s, CPU %.2f / %.2f us, other cores busy %.2f%s\n",
          r->kind->id, r->arm->name, repetition, s->rate / 1e3, s->cpu_pub, s->cpu_sub, s->other_busy,
          noisy ? " (noisy)" : "");
}

/* Everything once, then everything again: what the machine does meanwhile meets all alike. Noisy repetitions
 * are run again, so that there are at most twice as many. */
static int run_all(plan *p) {
  for (unsigned rep = 1; rep <= p->reps * (p->quiet_only ? 2 : 1); rep++) {
    for (size_t i = 0; i < p->n_results; i++) {
      result *r = &p->results[i];
      if (r->rate.n + r->failures >= p->reps) continue;
      sample s;
      run_once(p, r, &s);
      take_sample(p, r, &s, rep);
    }
  }
  bool failed = false;
  for (size_t i = 0; i < p->n_results; i++) {
    const result *r = &p->results[i];
    failed |= r->failures > 0 || r->rate.n == 0;
    if (r->lost)
      say_error("meshsub-bench", "%s %s: lost %llu", r->kind->id, r->arm->name, (unsigned long long)r->lost);
    if (p->json && r->rate.n) report_json(r);
  }
  if (!p->json) report_table(p->results, p->n_results);
  failed |= !alone_run(&p->alone, (unsigned)p->reps, p->json);
  return flush_out("meshsub-bench", stdout) && !failed ? EXIT_OK : EXIT_FAILED;
}

static int run(int argc, char **argv) {
  static const command c = {
    "meshsub-bench run", "ID... [options]",
    "Runs benchmarks (\"meshsub-bench list\" names them), each repetition with fresh processes, the\n"
    "arms in turn, and prints median (min-max).",
    "An arm is a publisher and a subscriber: programs that speak the peer control protocol.\n"
    "Load of other programs is measured in each repetition (\"other busy\", in cores).\n\n"
    "Exit codes: 0 all repetitions ran, 1 one failed or lost messages, 2 wrong usage."
  };
  plan p = { .cmd = &c,
             .reps = 5,
             .set = { .timeout_ns = 60000000000, .seconds_ns = 2500000000 } };
  const option_row rows[] = {
    { "--pub", 0, OPT_TEXT, "CMD", "Program that publishes. Default: meshsub-peer beside this one.", &p.pub,
      0, 0, NULL },
    { "--sub", 0, OPT_TEXT, "CMD", "Program that subscribes. Default: the same.", &p.sub, 0, 0, NULL },
    { "--arm", 0, OPT_LIST, "NAME=CMD", "One more arm, CMD to CMD (\"ours\": meshsub-peer; \"ours:nng\",\n\"ours:epoll\": by that transport). Repeatable.",
      &p.arm_texts, 0, 0, NULL },
    { "--reps", 0, OPT_NUMBER, "N", "Repetitions. Default 5.", &p.reps, 1, SERIES_MAX / 2, NULL },
    { "--size", 0, OPT_NUMBER, "BYTES", "Of a message.", &p.set.size, 16, 1000000, NULL },
    { "--window", 0, OPT_NUMBER, "N", "Messages outstanding at most.", &p.set.window, 1, 1000000, NULL },
    { "--count", 0, OPT_NUMBER, "N", "Messages of a repetition. Default: what fills --seconds.", &p.set.count,
      1, 100000000, NULL },
    { "--seconds", 0, OPT_DURATION, "TIME", "Length of a repetition. Default 2.5s.", &p.set.seconds_ns, 0, 0,
      NULL },
    { "--rate", 0, OPT_NUMBER, "N", "Messages per second of the paced ones. Default 2000.", &p.set.rate, 1,
      1000000, NULL },
    { "--router", 0, OPT_TEXT, "NAME", "cfg.router of all. Default floodsub, of C1 to C7 and with \"\" the\nprogram's own.",
      &p.set.router, 0, 0, NULL },
    { "--cfg", 0, OPT_TEXT, "JSON", "More members of cfg for both.", &p.cfg_text, 0, 0, NULL },
    { "--timeout", 0, OPT_DURATION, "TIME", "Until messages count as lost. Default 60s.", &p.set.timeout_ns,
      0, 0, NULL },
    { "--quiet-only", 0, OPT_FLAG, NULL,
      "Repetitions with more than 0.1 of a core used by others do\n"
      "not count and are run again, as often as --reps says.",
      &p.quiet_only, 0, 0, NULL },
    { "--json", 0, OPT_FLAG, NULL, "One JSON object per benchmark and arm.", &p.json, 0, 0, NULL },
    { 0 },
  };
  int code = options_read(&c, rows, argc, argv, &p.ids);
  if (code < 0 && !p.ids.n)
    code = usage_error(&c, "ID is missing; \"meshsub-bench list\" names the benchmarks");
  if (code < 0) code = make_arms(&p);
  if (code < 0) code = make_results(&p);
  if (code < 0 && p.cfg_text && !json_is_object(p.set.cfg = json_loads(p.cfg_text, 0, NULL)))
    code = usage_error(&c, "--cfg %s: not a JSON object", quoted(p.cfg_text));
  if (code < 0) code = run_all(&p);
  json_decref(p.set.cfg);
  free(p.results);
  free(p.ids.v);
  free(p.alone.v);
  free(p.arm_texts.v);
  return code;
}

/* What scripts/check-instructions runs under callgrind, twice: the difference is what n units take. */
static int work(int argc, char **argv) {
  char *end;
  unsigned long n = argc == 3 ? strtoul(argv[2], &end, 10) : 0;
  if (n && !*end && n <= 10000000 && alone_work(argv[1], (unsigned)n) == 0) return EXIT_OK;
  say_error("meshsub-bench", "usage: meshsub-bench work A1|A2|A3|A6|A10 N");
  return EXIT_USAGE;
}

static int help(void) {
  puts("usage: meshsub-bench list | run ID... [options] | work ID N\n\n"
       "Measures node programs. \"meshsub-bench run --help\" says more.\n\n"
       "Exit codes: 0 done, 1 a repetition failed or lost messages, 2 wrong usage.");
  return flush_out("meshsub-bench", stdout) ? EXIT_OK : EXIT_FAILED;
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : "";
  signal(SIGPIPE, SIG_IGN);
  if (strcmp(name, "list") == 0) return list();
  if (strcmp(name, "run") == 0) return run(argc - 1, argv + 1);
  if (strcmp(name, "work") == 0) return work(argc - 1, argv + 1);
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return help();
  if (strcmp(name, "--version") == 0) return puts("meshsub-bench " MSUB_VERSION) < 0;
  if (*name)
    say_error("meshsub-bench", "unknown command %s; there are list and run", quoted(name));
  else
    say_error("meshsub-bench", "what to do is missing; say list or run");
  return EXIT_USAGE;
}
