#include "bench/bench.h"
#include "bench/control.h"
#include <stdlib.h>
#include <string.h>

#define TOPIC "bench"
#define MESH_NS 10000000000

typedef struct rig {
  const bench_kind *kind;
  const arm *arm;
  const settings *set;
  control node[1 + FAN_SUBS]; /* publisher, relay if there is one, subscribers */
  unsigned n, subs;           /* subs: how many of the last ones are measured */
  uint64_t size, window;
} rig;
static control *publisher(rig *p) { return &p->node[0]; }
static control *subscriber(rig *p, unsigned i) { return &p->node[p->n - p->subs + i]; }

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

static json_t *make_cfg(const rig *p) {
  json_t *cfg = json_object();
  json_object_set_new(cfg, "topics", json_pack("[s]", TOPIC));
  json_object_set_new(cfg, "signed", json_boolean(p->kind->sign));
  json_object_set_new(cfg, "msgid", json_string("header16"));
  json_object_set_new(cfg, "queue", json_integer(4096));
  json_object_set_new(cfg, "inbox", json_integer(0)); /* nobody will ask for it */
  const char *router = p->set->router ? p->set->router : "floodsub";
  if (*router) json_object_set_new(cfg, "router", json_string(router));
  if (p->arm->transport) json_object_set_new(cfg, "transport", json_string(p->arm->transport));
  if (p->set->cfg) json_object_update(cfg, p->set->cfg);
  return cfg;
}

/* A chain has each node dial the one before it, all others dial the publisher. */
static bool begin(rig *p, sample *out) {
  const arm *a = p->arm;
  bool chain = p->kind->shape == CHAIN;
  for (unsigned i = 0; i < p->n; i++) {
    const char *name = i == 0 ? "publisher" : chain && i == 1 ? "relay" : "subscriber";
    if (!control_spawn(&p->node[i], name, i + 1 == p->n || i > 1 ? a->sub : a->pub)) return gave_up(&p->node[i], out);
  }
  for (unsigned i = 0; i < p->n; i++)
    if (!control_start(&p->node[i], make_cfg(p)) || !control_do(&p->node[i], "subscribe", NULL)) return gave_up(&p->node[i], out);
  for (unsigned i = 1; i < p->n; i++)
    if (!control_do(&p->node[i], "dial", json_pack("{s:s}", "addr", p->node[chain ? i - 1 : 0].addr))) return gave_up(&p->node[i], out);
  for (unsigned i = 0; i < p->n; i++) {
    unsigned peers = chain ? (i == 1 ? 2 : 1) : i == 0 ? p->n - 1 : 1;
    if (!control_wait_mesh(&p->node[i], TOPIC, peers, MESH_NS)) return gave_up(&p->node[i], out);
  }
  return true;
}

static bool usage_of(control *c, usage *u, sample *out) {
  json_t *reply = control_request(c, "stats", NULL, MESH_NS);
  if (!reply) return gave_up(c, out);
  *u = (usage){ json_number(reply, "cpu_us"), json_number(reply, "rss") };
  json_decref(reply);
  return true;
}

static bool lost(control *c, uint64_t count, sample *out) {
  json_t *reply = control_request(c, "stats", NULL, MESH_NS);
  if (!reply) return gave_up(c, out);
  uint64_t got = (uint64_t)json_number(reply, "recv");
  json_decref(reply);
  out->lost = got < count ? count - got : 0;
  snprintf(out->error, sizeof out->error, "lost %llu of %llu messages", (unsigned long long)out->lost,
           (unsigned long long)count);
  return false;
}

/* Sends `count` messages through; *ns is the time from the request to the last delivery. */
static bool transfer(rig *p, uint64_t count, uint64_t rate, bool lat, uint64_t *ns, sample *out) {
  unsigned seed = next_seed();
  for (unsigned i = 0; i < p->subs; i++) {
    json_t *reset =
        json_pack("{s:i, s:I, s:I, s:I, s:b}", "seed", (int)seed, "size", (json_int_t)p->size, "expect",
                  (json_int_t)count, "ack_every", (json_int_t)(p->window / 4 ? p->window / 4 : 1), "lat", lat);
    json_object_set_new(reset, "credit", rate ? json_null() : json_string(publisher(p)->credit));
    if (!control_do(subscriber(p, i), "reset", reset)) return gave_up(subscriber(p, i), out);
  }
  json_t *publish = json_pack("{s:i, s:I, s:I, s:I, s:I, s:i}", "seed", (int)seed, "count", (json_int_t)count,
                              "size", (json_int_t)p->size, "window", (json_int_t)p->window, "rate",
                              (json_int_t)rate, "receivers", rate ? 0 : (int)p->subs);
  uint64_t from = mono_ns();
  if (!control_do(publisher(p), "publish", publish)) return gave_up(publisher(p), out);
  for (unsigned i = 0; i < p->subs; i++) {
    control *c = subscriber(p, i);
    json_t *done = control_event(c, "done", seed, p->set->timeout_ns);
    if (!done) return c->from.end ? gave_up(c, out) : lost(c, count, out);
    json_decref(done);
  }
  *ns = mono_ns() - from;
  json_t *published = control_event(publisher(p), "published", seed, MESH_NS);
  if (!published) return gave_up(publisher(p), out);
  out->retries = (double)json_number(published, "retries");
  out->late = (double)json_number(published, "late_ns") / 1e3;
  json_decref(published);
  return true;
}

/* As many as fill the time that is wanted, by the speed of the warm-up. */
static uint64_t run_length(const rig *p, uint64_t warm_ns, uint64_t rate) {
  double seconds = (double)p->set->seconds_ns / 1e9;
  double per_second = rate ? (double)rate : (double)p->kind->warm_up * 1e9 / (double)(warm_ns ? warm_ns : 1);
  double n = per_second * seconds;
  if (p->set->count) return p->set->count;
  return n < 100 ? 100 : n > 2e7 ? 20000000 : (uint64_t)n;
}

static bool latencies(rig *p, sample *out) {
  static const char *const names[LATS] = { "p50", "p90", "p99", "p999", "max" };
  json_t *lat = control_request(subscriber(p, 0), "lat", NULL, MESH_NS);
  if (!lat) return gave_up(subscriber(p, 0), out);
  for (int i = 0; i < LATS; i++) out->lat[i] = (double)json_number(lat, names[i]) / 1e3;
  json_decref(lat);
  return true;
}

static bool measure(rig *p, sample *out) {
  uint64_t warm_ns, ns, rate = p->kind->paced ? (p->set->rate ? p->set->rate : 2000) : 0;
  if (!transfer(p, p->kind->warm_up, 0, false, &warm_ns, out)) return false;
  uint64_t count = run_length(p, warm_ns, rate);
  usage before[1 + FAN_SUBS], after[1 + FAN_SUBS];
  for (unsigned i = 0; i < p->n; i++)
    if (!usage_of(&p->node[i], &before[i], out)) return false;
  moment from = moment_now();
  double own = own_cpu(), all = 0;
  if (!transfer(p, count, rate, p->kind->paced, &ns, out)) return false;
  moment to = moment_now();
  own = own_cpu() - own;
  for (unsigned i = 0; i < p->n; i++)
    if (!usage_of(&p->node[i], &after[i], out)) return false;
  if (p->kind->paced && !latencies(p, out)) return false;
  for (unsigned i = 0; i < p->n; i++) {
    double cpu = (double)(after[i].cpu_us - before[i].cpu_us), each = cpu / (double)count;
    all += cpu;
    if (i == 0) out->cpu_pub = each;
    else if (i >= p->n - p->subs) out->cpu_sub += each / p->subs;
    else out->cpu_relay = each;
  }
  out->rate = (double)count * p->subs * 1e9 / (double)ns;
  out->mb_s = out->rate * (double)p->size / 1e6;
  out->rss_pub = (double)after[0].rss / (1 << 20);
  out->rss_sub = (double)after[p->n - 1].rss / (1 << 20);
  out->other_busy = other_cores_busy(&from, &to, all / 1e6 + own);
  return true;
}

void nodes_run(const bench_kind *k, const arm *a, const settings *s, sample *out) {
  rig p = { .kind = k, .arm = a, .set = s, .n = k->shape == FAN ? 1 + FAN_SUBS : k->shape == CHAIN ? 3 : 2, .subs = k->shape == FAN ? FAN_SUBS : 1 };
  for (unsigned i = 0; i < p.n; i++) p.node[i] = (control){ .to = -1, .from = { .fd = -1 } };
  p.size = s->size ? s->size : k->size;
  p.window = s->window ? s->window : k->window;
  *out = (sample){ 0 };
  if (begin(&p, out) && !measure(&p, out) && !*out->error)
    snprintf(out->error, sizeof out->error, "failed");
  for (unsigned i = p.n; i-- > 0;) control_end(&p.node[i]);
}
