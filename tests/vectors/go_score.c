/* tests/vectors/go_score.c: the table of scores, against what go-libp2p-pubsub computed. Scores must be equal to 1e-12; so must the
 * details, except the time in mesh of a peer outside it (the reference shows its last one) and a topic in which everything is 0, which
 * may be missing. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "routers/gossipsub/peer_score.h"
#include "tests/vectors/score_params.h"
#include "tests/vectors/vectors.h"

#define PEERS 64
#define MUST(c) ((c) ? (void)0 : (fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #c), abort()))

typedef struct peer { const char *name; uint32_t row; double app; const json_t *conns; } peer;
typedef struct run {
  msub__ps *ps;
  msub_score_params p;
  msub_cidr allow[16];
  peer peers[PEERS];
  size_t n_peers;
  const char *topics[16];
  size_t n_topics;
  uint64_t now;
  char why[256];
} run;

static const char *str(const json_t *j) { return json_string_value(j); }
static const json_t *arg(const json_t *e, size_t i) { return json_array_get(e, i); }
static double number(const json_t *j) { return json_number_value(j); }

static uint64_t hash(const void *ctx, msub_bytes b) { /* FNV-1a */
  (void)ctx;
  uint64_t h = 0xcbf29ce484222325;
  for (size_t i = 0; i < b.n; i++) h = (h ^ b.p[i]) * 0x100000001b3;
  return h;
}

static peer *peer_of(run *r, const char *name) {
  for (size_t i = 0; i < r->n_peers; i++)
    if (strcmp(r->peers[i].name, name) == 0) return &r->peers[i];
  MUST(r->n_peers < PEERS);
  r->peers[r->n_peers] = (peer){ .name = name };
  return &r->peers[r->n_peers++];
}
static uint32_t tag(const run *r, const peer *p) { return (uint32_t)(p - r->peers) + 1; }
static uint32_t row(const run *r, peer *p) { return p->row = msub__ps_row(r->ps, p->row, tag(r, p)); }

static uint32_t name_of(run *r, const char *topic) {
  for (size_t i = 0; i < r->n_topics; i++)
    if (strcmp(r->topics[i], topic) == 0) return (uint32_t)i + 1;
  MUST(r->n_topics < 16);
  r->topics[r->n_topics++] = topic;
  return (uint32_t)r->n_topics;
}

static void set_topic(run *r, const char *topic, const json_t *params) {
  msub_topic_score t;
  MUST(vec_topic_score(params, &t));
  MUST(msub__ps_topic(r->ps, name_of(r, topic), &t));
}

static void addresses(run *r, peer *p) {
  uint8_t bytes[32][16];
  msub_bytes a[32];
  size_t n = 0, i;
  json_t *c;
  json_array_foreach(p->conns, i, c) {
    MUST(n < 32);
    if (strncmp(str(c), "limited:", 8) == 0) continue; /* what a host does not tell */
    a[n] = (msub_bytes){ bytes[n], vec_address(str(c), bytes[n]) };
    n++;
  }
  msub__ps_addresses(r->ps, p->row, a, n);
}

static bool close_to(double ours, double theirs) { return fabs(ours - theirs) <= 1e-12 * fabs(theirs); }

static bool nothing(const json_t *w) {
  bool zero = !json_is_true(arg(w, 0)) && !json_is_true(arg(w, 2));
  for (size_t i = 3; i < 7; i++) zero &= !(number(arg(w, i)) > 0);
  return zero;
}

static bool details(run *r, const char *name, peer *p, const json_t *want) {
  msub_peer_topic_score t[16];
  msub_peer_score s;
  bool there = msub__ps_look(r->ps, row(r, p), &s, t, 16);
  if (!there || !json_is_array(want)) return !there && json_is_null(want);
  const json_t *topics = arg(want, 3), *w;
  const char *topic;
  if (s.connected != json_is_true(arg(want, 0)) || !close_to(s.ip_colocation_factor, number(arg(want, 1))) ||
      !close_to(s.behaviour_penalty, number(arg(want, 2)))) {
    snprintf(r->why, sizeof r->why, "%s: connected %d factor %.17g penalty %.17g topics %zu", name, s.connected, s.ip_colocation_factor,
             s.behaviour_penalty, s.n_topics);
    return false;
  }
  json_object_foreach((json_t *)(uintptr_t)topics, topic, w) {
    const msub_peer_topic_score *d = NULL;
    for (size_t i = 0; i < s.n_topics; i++)
      if (t[i].topic_name == name_of(r, topic)) d = &t[i];
    if (!d && nothing(w)) continue;
    if (!d || d->in_mesh != json_is_true(arg(w, 0)) || (d->in_mesh && d->time_in_mesh_ns != (uint64_t)(1e6 * number(arg(w, 1)) + 0.5)) ||
        d->mesh_message_deliveries_active != json_is_true(arg(w, 2)) || !close_to(d->first_message_deliveries, number(arg(w, 3))) ||
        !close_to(d->mesh_message_deliveries, number(arg(w, 4))) || !close_to(d->mesh_failure_penalty, number(arg(w, 5))) ||
        !close_to(d->invalid_message_deliveries, number(arg(w, 6)))) {
      snprintf(r->why, sizeof r->why, "%s in %s: mesh %d for %llu ns, active %d counters %.17g %.17g %.17g %.17g", name, topic, d && d->in_mesh, d ? (unsigned long long)d->time_in_mesh_ns : 0,
               d && d->mesh_message_deliveries_active, d ? d->first_message_deliveries : -1, d ? d->mesh_message_deliveries : -1,
               d ? d->mesh_failure_penalty : -1, d ? d->invalid_message_deliveries : -1);
      return false;
    }
  }
  return true;
}

static bool sample(run *r, const json_t *e) {
  const char *name;
  json_t *want;
  json_object_foreach((json_t *)(uintptr_t)arg(e, 2), name, want) {
    double ours = msub__ps_score(r->ps, row(r, peer_of(r, name)));
    if (close_to(ours, number(want))) continue;
    snprintf(r->why, sizeof r->why, "at %lld: %s has %.17g, not %.17g", (long long)json_integer_value(arg(e, 0)), name, ours, number(want));
    return false;
  }
  json_object_foreach((json_t *)(uintptr_t)arg(e, 3), name, want)
    if (!details(r, name, peer_of(r, name), want)) return false;
  return true;
}

static msub__ps_verdict verdict(const char *reason) {
  static const struct { const char *text; msub__ps_verdict v; } all[] = {
    { "missing signature", MSUB__PS_FORGED }, { "invalid signature", MSUB__PS_FORGED }, { "unexpected signature", MSUB__PS_FORGED },
    { "unexpected auth info", MSUB__PS_FORGED }, { "self originated message", MSUB__PS_FORGED },
    { "blacklisted peer", MSUB__PS_NOTHING }, { "blacklisted source", MSUB__PS_NOTHING }, { "validation queue full", MSUB__PS_NOTHING },
    { "validation throttled", MSUB__PS_THROTTLED }, { "validation ignored", MSUB__PS_IGNORED }, { "validation failed", MSUB__PS_INVALID },
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (strcmp(reason, all[i].text) == 0) return all[i].v;
  fprintf(stderr, "unknown reason %s\n", reason);
  abort();
}

static bool step(run *r, const json_t *e) {
  uint64_t now = (uint64_t)(number(arg(e, 0)) * 1e6), until;
  if (now < r->now) now = r->now; /* written down late: the clock had gone on */
  r->now = now;
  const char *op = str(arg(e, 1)), *first = str(arg(e, 2)), *second = str(arg(e, 3)), *third = str(arg(e, 4));
#define IS(name) (strcmp(op, name) == 0)
  if (IS("sample")) return sample(r, e);
  if (IS("refresh")) msub__ps_refresh(r->ps, now);
  else if (IS("gc")) msub__ps_gc(r->ps, now);
  else if (IS("set_topic")) set_topic(r, first, arg(e, 3));
  else if (IS("refresh_ips")) {
    for (size_t i = 0; i < r->n_peers; i++)
      if (row(r, &r->peers[i])) {
        msub_peer_score s;
        if (msub__ps_look(r->ps, r->peers[i].row, &s, NULL, 0) && s.connected) addresses(r, &r->peers[i]);
      }
  } else if (IS("validate") || IS("deliver") || IS("duplicate") || IS("reject")) {
    uint64_t h = hash(NULL, msub_str(first));
    uint32_t who = row(r, peer_of(r, second)), topic = msub__ps_topic_find(r->ps, name_of(r, third));
    if (IS("validate")) msub__ps_validate(r->ps, h, now);
    else if (IS("deliver")) msub__ps_deliver(r->ps, h, who, topic, NULL, now);
    else if (IS("duplicate")) msub__ps_duplicate(r->ps, h, who, topic, NULL, now);
    else msub__ps_reject(r->ps, h, who, topic, NULL, now, verdict(str(arg(e, 5))));
  } else {
    peer *p = peer_of(r, first);
    uint32_t topic = second ? msub__ps_topic_find(r->ps, name_of(r, second)) : 0;
    if (IS("conns")) p->conns = arg(e, 3);
    else if (IS("connect")) {
      MUST((p->row = msub__ps_up(r->ps, row(r, p), tag(r, p))) != 0);
      msub__ps_app(r->ps, p->row, p->app);
      addresses(r, p);
    } else if (IS("disconnect")) p->row = msub__ps_down(r->ps, row(r, p), now, &until);
    else if (IS("graft")) msub__ps_graft(r->ps, row(r, p), topic, NULL, now);
    else if (IS("prune")) msub__ps_prune(r->ps, row(r, p), topic, NULL);
    else if (IS("penalty")) msub__ps_penalty(r->ps, row(r, p), number(arg(e, 3)));
    else if (IS("app")) msub__ps_app(r->ps, row(r, p), p->app = number(arg(e, 3)));
    else abort(); /* an operation that is not known */
  }
  return true;
}

int main(void) {
  json_t *file = vec_load("go/score.json"), *c, *e;
  vec_tally t = { .file = "go/score.json" };
  size_t i, k;
  json_array_foreach(json_object_get(file, "cases"), i, c) {
    run r = { 0 };
    msub_mem mem = msub__mem_default();
    const json_t *params = json_object_get(c, "params");
    const char *topic;
    json_t *tp;
    MUST(vec_score_params(params, &r.p, r.allow, 16));
    MUST(r.ps = msub__ps_new(&mem, &r.p, true, hash, NULL));
    json_object_foreach(json_object_get(params, "topics"), topic, tp) set_topic(&r, topic, tp);
    bool ok = true;
    json_array_foreach(json_object_get(c, "events"), k, e)
      if (!(ok = step(&r, e))) break;
    vec_case(&t, c, ok, "event %zu: %s", k, r.why);
    msub__ps_free(r.ps);
  }
  json_decref(file);
  return vec_end(&t);
}
