#include "bench/bench.h"
#include "bench/control.h"
#include <stdlib.h>
#include <string.h>

#define TOPIC "bench"
#define MESH_NS 10000000000

typedef struct pair {
  const bench_kind *kind;
  const settings *set;
  control pub, sub;
  uint64_t size, window;
} pair;

typedef struct usage {
  int64_t cpu_us, rss;
} usage;

static unsigned next_seed(void) {
  static unsigned seed;
  return ++seed;
}

/* false: the text of the node that failed becomes the sample's. */
static bool gave_up(const control *c, sample *out) {
  if (!*out->error) snprintf(out->error, sizeof out->error, "%s", c->error);
  return false;
}

static json_t *make_cfg(const pair *p) {
  json_t *cfg = json_object();
  json_object_set_new(cfg, "topics", json_pack("[s]", TOPIC));
  json_object_set_new(cfg, "signed", json_boolean(p->kind->sign));
  json_object_set_new(cfg, "msgid", json_string("header16"));
  json_object_set_new(cfg, "queue", json_integer(4096));
  json_object_set_new(cfg, "inbox", json_integer(0)); /* nobody will ask for it */
  if (*p->set->router) json_object_set_new(cfg, "router", json_string(p->set->router));
  if (p->set->cfg) json_object_update(cfg, p->set->cfg);
  return cfg;
}

static bool begin(pair *p, const arm *a, sample *out) {
  control *nodes[] = { &p->pub, &p->sub };
  if (!control_spawn(&p->pub, "publisher", a->pub)) return gave_up(&p->pub, out);
  if (!control_spawn(&p->sub, "subscriber", a->sub)) return gave_up(&p->sub, out);
  for (int i = 0; i < 2; i++)
    if (!control_start(nodes[i], make_cfg(p)) || !control_do(nodes[i], "subscribe", NULL))
      return gave_up(nodes[i], out);
  if (!control_do(&p->sub, "dial", json_pack("{s:s}", "addr", p->pub.addr))) return gave_up(&p->sub, out);
  for (int i = 0; i < 2; i++)
    if (!control_wait_mesh(nodes[i], TOPIC, 1, MESH_NS)) return gave_up(nodes[i], out);
  return true;
}

static bool usage_of(control *c, usage *u, sample *out) {
  json_t *reply = control_request(c, "stats", NULL, MESH_NS);
  if (!reply) return gave_up(c, out);
  *u = (usage){ json_number(reply, "cpu_us"), json_number(reply, "rss") };
  json_decref(reply);
  return true;
}

static bool lost(pair *p, uint64_t count, sample *out) {
  json_t *reply = control_request(&p->sub, "stats", NULL, MESH_NS);
  if (!reply) return gave_up(&p->sub, out);
  uint64_t got = (uint64_t)json_number(reply, "recv");
  json_decref(reply);
  out->lost = got < count ? count - got : 0;
  snprintf(out->error, sizeof out->error, "lost %llu of %llu messages", (unsigned long long)out->lost,
           (unsigned long long)count);
  return false;
}

/* Sends `count` messages through; *ns is the time from the request to the last delivery. */
static bool transfer(pair *p, uint64_t count, uint64_t rate, bool lat, uint64_t *ns, sample *out) {
  unsigned seed = next_seed();
  json_t *reset =
      json_pack("{s:i, s:I, s:I, s:I, s:b}", "seed", (int)seed, "size", (json_int_t)p->size, "expect",
                (json_int_t)count, "ack_every", (json_int_t)(p->window / 4 ? p->window / 4 : 1), "lat", lat);
  json_object_set_new(reset, "credit", rate ? json_null() : json_string(p->pub.credit));
  if (!control_do(&p->sub, "reset", reset)) return gave_up(&p->sub, out);
  json_t *publish = json_pack("{s:i, s:I, s:I, s:I, s:I, s:i}", "seed", (int)seed, "count", (json_int_t)count,
                              "size", (json_int_t)p->size, "window", (json_int_t)p->window, "rate",
                              (json_int_t)rate, "receivers", rate ? 0 : 1);
  uint64_t from = mono_ns();
  if (!control_do(&p->pub, "publish", publish)) return gave_up(&p->pub, out);
  json_t *done = control_event(&p->sub, "done", seed, p->set->timeout_ns);
  *ns = mono_ns() - from;
  if (!done) return p->sub.from.end ? gave_up(&p->sub, out) : lost(p, count, out);
  json_decref(done);
  json_t *published = control_event(&p->pub, "published", seed, MESH_NS);
  if (!published) return gave_up(&p->pub, out);
  out->retries = (double)json_number(published, "retries");
  out->late = (double)json_number(published, "late_ns") / 1e3;
  json_decref(published);
  return true;
}

/* As many as fill the time that is wanted, by the speed of the warm-up. */
static uint64_t run_length(const pair *p, uint64_t warm_ns, uint64_t rate) {
  double seconds = (double)p->set->seconds_ns / 1e9;
  double per_second = rate ? (double)rate : (double)p->kind->warm_up * 1e9 / (double)(warm_ns ? warm_ns : 1);
  double n = per_second * seconds;
  if (p->set->count) return p->set->count;
  return n < 100 ? 100 : n > 2e7 ? 20000000 : (uint64_t)n;
}

static bool latencies(pair *p, sample *out) {
  static const char *const names[LATS] = { "p50", "p90", "p99", "p999", "max" };
  json_t *lat = control_request(&p->sub, "lat", NULL, MESH_NS);
  if (!lat) return gave_up(&p->sub, out);
  for (int i = 0; i < LATS; i++) out->lat[i] = (double)json_number(lat, names[i]) / 1e3;
  json_decref(lat);
  return true;
}

static bool measure(pair *p, sample *out) {
  uint64_t warm_ns, ns, rate = p->kind->paced ? (p->set->rate ? p->set->rate : 2000) : 0;
  if (!transfer(p, p->kind->warm_up, 0, false, &warm_ns, out)) return false;
  uint64_t count = run_length(p, warm_ns, rate);
  usage pub[2], sub[2];
  if (!usage_of(&p->pub, &pub[0], out) || !usage_of(&p->sub, &sub[0], out)) return false;
  moment from = moment_now();
  double own = own_cpu();
  if (!transfer(p, count, rate, p->kind->paced, &ns, out)) return false;
  moment to = moment_now();
  own = own_cpu() - own;
  if (!usage_of(&p->pub, &pub[1], out) || !usage_of(&p->sub, &sub[1], out)) return false;
  if (p->kind->paced && !latencies(p, out)) return false;
  double cpu_pub = (double)(pub[1].cpu_us - pub[0].cpu_us), cpu_sub = (double)(sub[1].cpu_us - sub[0].cpu_us);
  out->rate = (double)count * 1e9 / (double)ns;
  out->mb_s = out->rate * (double)p->size / 1e6;
  out->cpu_pub = cpu_pub / (double)count;
  out->cpu_sub = cpu_sub / (double)count;
  out->rss_pub = (double)pub[1].rss / (1 << 20);
  out->rss_sub = (double)sub[1].rss / (1 << 20);
  out->other_busy = other_cores_busy(&from, &to, (cpu_pub + cpu_sub) / 1e6 + own);
  return true;
}

void pair_run(const bench_kind *k, const arm *a, const settings *s, sample *out) {
  pair p = {
    .kind = k, .set = s, .pub = { .to = -1, .from = { .fd = -1 } }, .sub = { .to = -1, .from = { .fd = -1 } }
  };
  p.size = s->size ? s->size : k->size;
  p.window = s->window ? s->window : k->window;
  *out = (sample){ 0 };
  if (begin(&p, a, out) && !measure(&p, out) && !*out->error)
    snprintf(out->error, sizeof out->error, "failed");
  control_end(&p.sub);
  control_end(&p.pub);
}
