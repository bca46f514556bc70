/* tests/vectors/go_gater.c: what the gater counts and how likely it hears a peer, against go-libp2p-pubsub, to the last digit.
 *
 * An engine with gossipsub, whose peers have sessions and addresses as the script says; the reports of messages go to the gater as the
 * router's operations hand them on, and a decay happens where the script has one. A peer that the script never opened a stream to is one
 * whose session ended before the verdict on its messages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine_world.h"
#include "meshsub/gossipsub.h"
#include "pubsub/engine.h"
#include "routers/gossipsub/gater.h"
#include "tests/vectors/vectors.h"

#define MUST(c) ((c) ? (void)0 : (fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #c), abort()))
#define MS UINT64_C(1000000)
#define PEERS 8

typedef struct peer {
  const char *name, *ip;    /* for the next session */
  const char *bound;        /* of its last session */
  msub_peer_id id;
  msub_session s;
} peer;
static world w;
static msub_gossipsub_opts opts;
static msub_gossipsub_topic_weight weights[8];
static peer peers[PEERS];
static size_t n_peers;
static char why[256];

static const char *str(const json_t *a, size_t i) { return json_string_value(json_array_get(a, i)); }
static double num(const json_t *o, const char *name) {
  const json_t *v = json_object_get(o, name);
  MUST(json_is_number(v));
  return json_number_value(v);
}
static uint64_t ns(const json_t *o, const char *name) { return (uint64_t)num(o, name) * MS; }
static bool equal(double a, double b) { return !(a < b || a > b); }
static msub_router *router(void) { return &w.e->routers[0].handles[0]; }

static void options(const json_t *p) {
  msub_gossipsub_gater *g = &opts.gater;
  const char *topic;
  json_t *weight;
  msub_gossipsub_opts_go_parity(&opts);
  *g = (msub_gossipsub_gater){ .on = true, .threshold = num(p, "threshold"), .global_decay = num(p, "global_decay"),
    .source_decay = num(p, "source_decay"), .decay_to_zero = num(p, "decay_to_zero"), .decay_interval_ns = ns(p, "decay_interval_ms"),
    .quiet_ns = ns(p, "quiet_ms"), .retain_ns = ns(p, "retain_stats_ms"), .duplicate_weight = num(p, "duplicate_weight"),
    .ignore_weight = num(p, "ignore_weight"), .reject_weight = num(p, "reject_weight"), .topics = weights };
  json_object_foreach(json_object_get(p, "topic_delivery_weights"), topic, weight) {
    MUST(g->n_topics < 8);
    weights[g->n_topics++] = (msub_gossipsub_topic_weight){ msub_str(topic), json_number_value(weight) };
  }
  MUST(!msub_gossipsub_opts_fault(&opts));
}

/* ---- peers ---- */

static peer *peer_of(const char *name) {
  for (size_t i = 0; i < n_peers; i++)
    if (strcmp(peers[i].name, name) == 0) return &peers[i];
  MUST(n_peers < PEERS);
  peers[n_peers] = (peer){ .name = name, .id = world_peer_id((uint8_t)name[0]) };
  return &peers[n_peers++];
}

static void up(peer *p) {
  unsigned a[4];
  MUST(p->ip && !p->s.v && sscanf(p->ip, "%u.%u.%u.%u", &a[0], &a[1], &a[2], &a[3]) == 4);
  uint8_t ip[4] = { (uint8_t)a[0], (uint8_t)a[1], (uint8_t)a[2], (uint8_t)a[3] };
  msub_session_opts o = { .peer_id = msub_peer_id_bytes(&p->id), .protocol = "/meshsub/1.2.0", .address = { ip, 4 }, .agreed = true };
  MUST(msub_session_up(w.e, &o, &w.now, &p->s) == MSUB_OK);
  p->bound = p->ip;
}
static void down(peer *p) {
  MUST(msub_session_down(w.e, p->s, &w.now) == MSUB_OK);
  p->s = (msub_session){ 0 };
}

/* The one who sent something. */
static msub_peer sender(const char *name) {
  peer *p = peer_of(name);
  if (!p->bound) {
    up(p);
    down(p);
  }
  msub_peer known = msub_r_peer_known(router(), msub_peer_id_bytes(&p->id));
  MUST(known.v);
  return known;
}

/* ---- samples ---- */

static bool sampled_peer(const char *name, const json_t *want) {
  msub_gossipsub_gate g = { .peer = msub_peer_id_bytes(&peer_of(name)->id) }, *to = &g;
  const json_t *accept = json_array_get(want, 0), *c = json_array_get(want, 1);
  bool found = msub_command(w.e, 0, MSUB_GOSSIPSUB_GATE, &to, sizeof to, &w.now) == MSUB_OK;
  double p = json_is_string(accept) ? 1 : json_number_value(accept);
  double odds = msub__gs_gater_odds(router(), msub_r_peer_known(router(), g.peer));
  if (!equal(odds, p) || (found && !equal(g.odds, odds))) {
    snprintf(why, sizeof why, "%s is heard with %.17g, not %.17g", name, odds, p);
    return false;
  }
  if (json_is_null(c)) return !found;
  const double ours[5] = { g.sessions, g.delivered, g.duplicates, g.ignored, g.rejected };
  for (size_t i = 0; i < 5; i++)
    if (!found || !equal(ours[i], json_number_value(json_array_get(c, i)))) {
      snprintf(why, sizeof why, "counter %zu of %s is %.17g, not %.17g", i, name, ours[i], json_number_value(json_array_get(c, i)));
      return false;
    }
  return true;
}

/* An address has statistics as long as a peer whose last session it had finds some. */
static bool sampled_addresses(const json_t *list) {
  size_t n = 0;
  for (size_t i = 0; i < n_peers; i++) {
    msub_gossipsub_gate g = { .peer = msub_peer_id_bytes(&peers[i].id) }, *to = &g;
    bool listed = false;
    for (size_t k = 0; k < json_array_size(list); k++) listed |= peers[i].bound && strcmp(str(list, k), peers[i].bound) == 0;
    bool found = msub_command(w.e, 0, MSUB_GOSSIPSUB_GATE, &to, sizeof to, &w.now) == MSUB_OK;
    if (found) n = g.addresses;
    if (found != listed) {
      snprintf(why, sizeof why, "%s has %sstatistics", peers[i].name, found ? "" : "no ");
      return false;
    }
  }
  snprintf(why, sizeof why, "%zu addresses", n);
  return n == json_array_size(list);
}

static bool sample(const json_t *e) {
  const char *name;
  const json_t *want;
  json_object_foreach(json_array_get(e, 5), name, want)
    if (!sampled_peer(name, want)) return false;
  if (!sampled_addresses(json_array_get(e, 4))) return false;
  double validated = json_number_value(json_array_get(e, 2)), throttled = json_number_value(json_array_get(e, 3));
  msub_gossipsub_gate g = { 0 }, *to = &g;
  for (size_t i = 0; i < n_peers && !g.peer.p; i++) {
    g.peer = msub_peer_id_bytes(&peers[i].id);
    if (msub_command(w.e, 0, MSUB_GOSSIPSUB_GATE, &to, sizeof to, &w.now) != MSUB_OK) g.peer.p = NULL;
  }
  if (!g.peer.p) return json_array_size(json_array_get(e, 4)) == 0; /* nobody through whom to ask */
  snprintf(why, sizeof why, "validated %.17g, throttled %.17g", g.validated, g.throttled);
  return equal(g.validated, validated) && equal(g.throttled, throttled);
}

/* ---- events ---- */

static void verdict(const json_t *e) {
  static const struct { const char *text; msub_verdict v; int reason; } table[] = {
    { "validation queue full", MSUB_THROTTLED, MSUB_R_THROTTLED }, { "validation throttled", MSUB_THROTTLED, MSUB_R_THROTTLED },
    { "validation ignored", MSUB_IGNORE, MSUB_R_IGNORED },         { "validation failed", MSUB_REJECT, MSUB_R_REJECTED },
    { "invalid signature", MSUB_REJECT, MSUB_R_INVALID_SIGNATURE }, { "missing signature", MSUB_REJECT, MSUB_R_FORBIDDEN_FIELD },
    { "unexpected signature", MSUB_REJECT, MSUB_R_FORBIDDEN_FIELD }, { "unexpected auth info", MSUB_REJECT, MSUB_R_FORBIDDEN_FIELD },
    { "self originated message", MSUB_REJECT, MSUB_R_SELF_ORIGIN }, { "blacklisted peer", MSUB_REJECT, MSUB_R_REJECTED },
    { "blacklisted source", MSUB_REJECT, MSUB_R_REJECTED } };
  msub_peer from = sender(str(e, 2));
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (strcmp(table[i].text, str(e, 4)) == 0) {
      msub_topic t = msub_topic_named(w.e, 0, msub_str(str(e, 3)));
      MUST(t.v);
      msub__gs_gater_validated(router(), t, &from, 1, table[i].v, table[i].reason);
      return;
    }
  abort(); /* a reason that is not in the table */
}

static bool event(const json_t *e) {
  const char *op = str(e, 1), *name = str(e, 2);
  w.now.mono_ns = 1000 * MS + (uint64_t)json_integer_value(json_array_get(e, 0)) * MS;
  w.e->now = w.now;
  if (strcmp(op, "sample") == 0) return sample(e);
  if (strcmp(op, "decay") == 0) msub__gs_gater_decay(router());
  else if (strcmp(op, "ip") == 0) {
    MUST(!peer_of(name)->s.v);
    peer_of(name)->ip = str(e, 3);
  } else if (strcmp(op, "open_out") == 0) up(peer_of(name));
  else if (strcmp(op, "close_out") == 0) down(peer_of(name));
  else if (strcmp(op, "close_in") == 0) MUST(peer_of(name)->bound && !peer_of(name)->s.v); /* its end has come already */
  else if (strcmp(op, "validate") == 0) {
    (void)sender(name);
    msub__gs_gater_arrived(router());
  } else if (strcmp(op, "duplicate") == 0) {
    MUST(peer_of(name)->s.v);
    msub__gs_gater_duplicate(router(), peer_of(name)->s);
  } else if (strcmp(op, "deliver") == 0) {
    msub_peer from = sender(name);
    msub__gs_gater_validated(router(), msub_topic_named(w.e, 0, msub_str(str(e, 3))), &from, 1, MSUB_ACCEPT, MSUB_R_NONE);
  } else {
    MUST(strcmp(op, "reject") == 0);
    verdict(e);
  }
  return true;
}

static void one(vec_tally *t, const json_t *c) {
  static const char *const topics[] = { "t", "u", "v", "w" };
  options(json_object_get(c, "params"));
  n_peers = 0;
  world_init(&w, 250);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  w.router_opts = &opts;
  world_start(&w, &msub_gossipsub);
  for (size_t i = 0; i < 4; i++) (void)world_join(&w, topics[i], &world_data_ids);
  json_t *e;
  size_t i, bad = SIZE_MAX, samples = 0;
  json_array_foreach(json_object_get(c, "events"), i, e) {
    samples += strcmp(str(e, 1), "sample") == 0;
    if (!event(e) && bad == SIZE_MAX) {
      bad = i;
      vec_case(t, c, false, "event %zu: %s", i, why);
    }
  }
  if (bad == SIZE_MAX) vec_case(t, c, samples > 0, "no sample");
  world_stop(&w);
}

int main(void) {
  vec_tally t = { .file = "go/gater.json" };
  json_t *root = vec_load(t.file), *c;
  size_t i;
  json_array_foreach(json_object_get(root, "cases"), i, c) one(&t, c);
  json_decref(root);
  return vec_end(&t);
}
