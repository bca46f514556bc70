/* tests/host/test_ipns_nodes.c: names between hosts over sockets: what leaves first, and what a restart on a disk leaves. usage: test_ipns_nodes CASE */
#define _GNU_SOURCE /* mkdtemp */
#include "host_node.h"
#include "meshsub/gossipsub.h"
#include "meshsub/names.h"
#include "meshsub/store_disk.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct named {
  node n;
  void (*event)(void *ud, msub_host *h, const msub_host_event *ev); /* the node's */
  msub_fetch *fetch;
  msub_names *names;
  msub_store store; /* ops NULL: none */
  unsigned changes, asked_unidentified, served, joined_before;
  bool in_topic;
} named;

static void on_event(void *ud, msub_host *h, const msub_host_event *ev) {
  named *m = ud; /* begins with the node */
  m->event(&m->n, h, ev);
  if (!m->names) return;
  if (ev->kind == MSUB_EV_CONNECTED) msub_names_connected(m->names, ev->peer_id, ev->outbound);
  if (ev->kind == MSUB_EV_DISCONNECTED && ev->last) msub_names_disconnected(m->names, ev->peer_id);
  if (ev->kind == MSUB_EV_TOPIC_JOIN) {
    m->in_topic = true;
    msub_names_announced(m->names, ev->topic, ev->peer_id);
  }
  if (ev->kind != MSUB_EV_IDENTIFIED) return;
  msub_host_peer p;
  bool speaks = false;
  for (size_t i = 0; msub_host_peer_at(h, i, &p) == MSUB_OK; i++) {
    if (!msub_bytes_eq(p.peer_id, ev->peer_id)) continue;
    for (size_t k = 0; k < p.n_protocols; k++) speaks |= strcmp(p.protocols[k], MSUB_FETCH_PROTOCOL) == 0;
  }
  msub_names_identified(m->names, ev->peer_id, speaks);
}
static void on_changed(void *ud, const msub_names_view *v) {
  named *m = ud;
  CHECK(v->has_record && !v->expired);
  m->changes++;
}
static void on_durable(void *ud, msub_token token, int result) {
  named *m = ud;
  CHECK(msub_names_durable(m->names, token, result));
}

static void named_start(named *m, const char *name, uint8_t seed) {
  static const msub_router_ops *const routers[] = { &msub_gossipsub, NULL };
  if (!m->n.name) {
    node_init(&m->n, name, seed);
    m->event = m->n.opts.on_event;
    m->n.opts.on_event = on_event;
    m->n.opts.on_message = NULL;
    m->n.opts.routers = routers;
    m->n.opts.engine.sign = MSUB_STRICT_SIGN;
  }
  node_start(&m->n, true, false);
  msub_names_opts o;
  msub_names_opts_init(&o);
  MUST(msub_fetch_new(&live_mem, msub_host_exchange(m->n.host), &m->fetch));
  o.mem = &live_mem;
  o.engine = msub_host_engine(m->n.host);
  o.fetch = m->fetch;
  o.store = m->store;
  o.seed = seed;
  o.ud = m;
  o.changed = on_changed;
  MUST(msub_names_new(&o, msub_host_now(m->n.host), &m->names));
  if (m->store.ops) m->store.ops->listen(m->store.s, on_durable, m);
}
static void named_stop(named *m) {
  if (m->store.ops) m->store.ops->listen(m->store.s, NULL, NULL);
  msub_names *names = m->names;
  m->names = NULL;
  msub_names_free(names, msub_host_now(m->n.host));
  msub_fetch_free(m->fetch);
  node_stop(&m->n);
}
static void named_turn(named *m) {
  if (!m->names) return;
  if (m->store.ops) m->store.ops->turn(m->store.s, msub_host_now(m->n.host));
  for (unsigned k = 0; k < 16 && msub_names_next_deadline(m->names) <= msub_host_now(m->n.host)->mono_ns; k++) msub_names_turn(m->names, msub_host_now(m->n.host));
}

static named a, b;
static named *const both[] = { &a, &b };
static node *const nodes[] = { &a.n, &b.n };
static bool (*wanted)(void);
static bool turn_names(void *ud) {
  (void)ud;
  for (size_t i = 0; i < 2; i++) named_turn(both[i]);
  if (a.names && a.n.connected && !a.n.identified && msub_fetch_count(a.fetch)->asked) a.asked_unidentified = 1;
  return wanted && wanted();
}
static void until_names(bool (*what)(void)) {
  wanted = what;
  WAIT(nodes, turn_names, NULL);
}

static msub_key *key_of(uint8_t seed) {
  static msub_key *keys[8];
  uint8_t bytes[32] = { seed };
  if (!keys[seed]) MUST(msub_key_from_seed(bytes, &keys[seed]));
  return keys[seed];
}
static void free_key(uint8_t seed) { msub_key_free(key_of(seed)); }

static unsigned published;
static void on_published(void *ud, int result, const msub_names_view *v) {
  (void)ud;
  MUST(result);
  CHECK(v && v->has_record);
  published++;
}
static bool is_published(void) { return published > 0; }
static void publish(named *m, uint8_t seed, const char *value) {
  msub_names_publish_opts p;
  msub_names_publish_opts_init(&p);
  p.value = msub_str(value);
  published = 0;
  MUST(msub_names_publish(m->names, key_of(seed), &p, msub_host_now(m->n.host), on_published, NULL));
  until_names(is_published);
}
static msub_names_end ended;
static unsigned ends;
static char value[64];
static void on_resolved(void *ud, const msub_names_resolved *r) {
  (void)ud;
  ended = r->end;
  ends++;
  value[0] = '\0';
  if (r->v) snprintf(value, sizeof value, "%.*s", (int)r->v->record.value.n, (const char *)r->v->record.value.p);
}
static bool is_resolved(void) { return ends > 0; }
static void resolve(named *m, uint8_t seed) {
  ends = 0;
  CHECK(msub_names_resolve(m->names, msub_key_peer_id(key_of(seed)), msub_host_now(m->n.host)->mono_ns + 20000000000u, msub_host_now(m->n.host), on_resolved, NULL, NULL, NULL) == MSUB_MORE);
}

/* A holder that answers only who is in its topic, as Kubo asks only such peers: the seeker's SUB is there before its question. */
static int lookup(void *ud, msub_bytes peer_id, msub_bytes key, msub_bytes *out) {
  msub_peer_id name;
  msub_names_view v;
  (void)ud, (void)peer_id;
  b.served++;
  b.joined_before += b.in_topic;
  MUST(msub_ipns_key_parse(key, &name));
  if (msub_names_get(b.names, msub_peer_id_bytes(&name), msub_host_now(b.n.host) ? msub_host_now(b.n.host)->wall_ns : 0, &v) != MSUB_OK) return MSUB_ERR_NOTFOUND;
  *out = v.record.bytes;
  return MSUB_OK;
}

/* Dial and resolve: the question is on its way before identify has come back, behind the hello. */
static void dial(void) {
  named_start(&a, "a", 1);
  named_start(&b, "b", 2);
  publish(&b, 5, "/ipfs/held");
  MUST(msub_fetch_serve(b.fetch, msub_str("/ipns/"), lookup, NULL));
  resolve(&a, 5);
  wanted = NULL;
  node_dial(&a.n, &b.n);
  until_names(is_resolved);
  CHECK(ended == MSUB_NAMES_END_FOUND && strcmp(value, "/ipfs/held") == 0);
  CHECK(a.asked_unidentified == 1 && b.served == 1 && b.joined_before == 1);
  for (size_t i = 0; i < 2; i++) {
    named_stop(both[i]);
    node_free(&both[i]->n);
  }
  free_key(5);
}

/* On a disk: published, followed, killed (everything is dropped where it stands) and started again. */
static bool b_has_two(void) {
  msub_names_view v;
  return msub_names_get(b.names, msub_key_peer_id(key_of(6)), msub_host_now(b.n.host)->wall_ns, &v) == MSUB_OK && v.record.sequence == 1;
}
static void disk(void) {
  char dir[] = "/tmp/ipns_nodes.XXXXXX", why[MSUB_STORE_WHY];
  msub_store_disk *d;
  msub_store_disk_opts so;
  CHECK(mkdtemp(dir));
  msub_store_disk_opts_init(&so);
  so.dir = dir;
  for (unsigned life = 0; life < 2; life++) {
    int rc = msub_store_disk_open(&so, &d, why);
    if (rc != MSUB_OK) fprintf(stderr, "%s\n", why);
    MUST(rc);
    a.store = msub_store_disk_store(d);
    a.n.connected = a.n.identified = 0;
    named_start(&a, "a", 1);
    named_start(&b, "b", 2);
    if (life == 0) {
      publish(&a, 6, "/ipfs/one");
      MUST(msub_names_follow(a.names, msub_key_peer_id(key_of(7)), msub_host_now(a.n.host), NULL, NULL));
      publish(&a, 6, "/ipfs/two"); /* the wish is older than it, so it is durable, too */
    } else {
      CHECK(msub_names_count(a.names)->followed == 2 && msub_names_count(a.names)->subscribed == 2);
      resolve(&b, 6);
      wanted = NULL;
      node_dial(&b.n, &a.n);
      until_names(is_resolved);
      CHECK(ended == MSUB_NAMES_END_FOUND && strcmp(value, "/ipfs/two") == 0 && b_has_two());
    }
    named_stop(&a);
    named_stop(&b);
    MUST(msub_store_disk_free(d));
    a.store = (msub_store){ NULL, NULL };
  }
  node_free(&a.n);
  node_free(&b.n);
  free_key(6);
  free_key(7);
  char cmd[64];
  snprintf(cmd, sizeof cmd, "rm -r %s", dir);
  CHECK(system(cmd) == 0);
}

int main(int argc, char **argv) {
  static const test_case cases[] = { { "dial", dial }, { "disk", disk } };
  return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
}
