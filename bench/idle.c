/* A node that has nothing to do: what it takes alone, and with connections that are subscribed. */
#include "bench/bench.h"
#include "bench/control.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TOPIC "bench"
#define UP_NS 60000000000
#define SETTLE_NS 3000000000
#define IDLE_NS 10000000000

typedef struct usage {
  double cpu_us, rss, anonymous; /* bytes */
} usage;

static bool gave_up(const control *c, sample *out) {
  if (!*out->error) snprintf(out->error, sizeof out->error, "%s", c->error);
  return false;
}

/* Of the process and its children: the program may be started by a script. */
static double anonymous(pid_t pid) {
  char path[64], line[256];
  double kib = 0;
  snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
  FILE *f = fopen(path, "r");
  while (f && fgets(line, sizeof line, f))
    if (strncmp(line, "Anonymous:", 10) == 0) kib += strtod(line + 10, NULL);
  if (f) fclose(f);
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
  double below = 0;
  int child;
  f = fopen(path, "r");
  while (f && fscanf(f, "%d", &child) == 1) below += anonymous(child);
  if (f) fclose(f);
  return kib * 1024 + below;
}

static bool usage_of(control *c, usage *u, sample *out) {
  json_t *reply = control_request(c, "stats", json_pack("{s:b}", "gc", 1), UP_NS);
  if (!reply) return gave_up(c, out);
  *u = (usage){ (double)json_number(reply, "cpu_us"), (double)json_number(reply, "rss"), anonymous(c->pid) };
  json_decref(reply);
  return true;
}

static json_t *make_cfg(const settings *s, const char *transport, unsigned nodes) {
  json_t *cfg = json_pack("{s:[s], s:b, s:s, s:i, s:i}", "topics", TOPIC, "signed", 0, "msgid", "header16", "inbox", 0, "nodes", (int)nodes);
  if (s->router && *s->router) json_object_set_new(cfg, "router", json_string(s->router));
  if (transport) json_object_set_new(cfg, "transport", json_string(transport));
  if (s->cfg) json_object_update(cfg, s->cfg);
  return cfg;
}

static bool start(control *c, const char *name, const char *command, json_t *cfg, sample *out) {
  return (control_spawn(c, name, command) && control_start(c, cfg) && control_do(c, "subscribe", NULL)) || gave_up(c, out);
}

static void pass(uint64_t ns) { nanosleep(&(struct timespec){ .tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000) }, NULL); }

static bool all_here(control *hub, sample *out) {
  uint64_t deadline = mono_ns() + UP_NS;
  for (;;) {
    json_t *reply = control_request(hub, "mesh", json_pack("{s:s}", "topic", TOPIC), UP_NS);
    if (!reply) return gave_up(hub, out);
    int64_t subs = json_number(reply, "subs"), conns = json_number(reply, "conns");
    json_decref(reply);
    if (subs >= HUB_PEERS && conns >= HUB_PEERS) return true;
    if (mono_ns() >= deadline) {
      snprintf(out->error, sizeof out->error, "%s: %lld of %d peers are subscribed, %lld connected", hub->name, (long long)subs, HUB_PEERS, (long long)conns);
      return false;
    }
    pass(50000000);
  }
}

static bool measure(const bench_kind *k, control *hub, control *peers, const char *ours, const settings *s, sample *out) {
  usage alone, full, later;
  pass(1000000000);
  if (!usage_of(hub, &alone, out)) return false;
  if (k->shape == ALONE) {
    out->figure[0] = alone.rss / (1 << 20);
    out->figure[1] = alone.anonymous / (1 << 20);
    return true;
  }
  settings plain = { .router = s->router };
  if (!start(peers, "peers", ours, make_cfg(&plain, NULL, HUB_PEERS), out)) return false;
  if (!control_do(peers, "dial", json_pack("{s:s}", "addr", hub->addr))) return gave_up(peers, out);
  if (!all_here(hub, out)) return false;
  pass(SETTLE_NS);
  if (!usage_of(hub, &full, out)) return false;
  out->figure[0] = (full.rss - alone.rss) / 1024 / HUB_PEERS;
  out->figure[1] = (full.anonymous - alone.anonymous) / 1024 / HUB_PEERS;
  if (k->shape == HUB) return true;
  uint64_t from = mono_ns();
  pass(IDLE_NS);
  double s_passed = (double)(mono_ns() - from) / 1e9;
  if (!usage_of(hub, &later, out)) return false;
  out->figure[0] = (later.cpu_us - full.cpu_us) / 1e3 / s_passed;
  out->figure[1] = 0;
  return true;
}

void idle_run(const bench_kind *k, const arm *a, const settings *s, const char *ours, sample *out) {
  control hub = { .to = -1, .from = { .fd = -1 } }, peers = hub;
  *out = (sample){ 0 };
  moment from = moment_now();
  double own = own_cpu(), used = 0;
  if (start(&hub, "node", a->pub, make_cfg(s, a->transport, 1), out) && !measure(k, &hub, &peers, ours, s, out) && !*out->error)
    snprintf(out->error, sizeof out->error, "failed");
  if (!*out->error) {
    control *const both[] = { &hub, &peers };
    for (int i = 0; i < (peers.pid ? 2 : 1); i++) {
      usage u;
      if (usage_of(both[i], &u, out)) used += u.cpu_us / 1e6;
    }
    moment to = moment_now();
    out->other_busy = other_cores_busy(&from, &to, used + own_cpu() - own);
  }
  control_end(&peers);
  control_end(&hub);
}
