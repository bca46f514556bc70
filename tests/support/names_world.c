#include "names_world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(c) ((c) ? (void)0 : (fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #c), abort()))
#define MS MSUB_SIM_MS

static names_world *the_world; /* for outcomes, which have the time */

const msub_now *names_now(names_world *w, uint32_t i) { return msub_sim_now(w->s, w->node[i].no); }

static void on_connection(void *ud, msub_sim *s, uint32_t node, msub_sim_what what, uint32_t peer, bool outbound) {
  names_world *w = ud;
  names_node *n = &w->node[node];
  if (!n->n) return;
  msub_bytes id = msub_sim_id(s, peer);
  if (what == MSUB_SIM_DISCONNECTED) msub_names_disconnected(n->n, id);
  if (what != MSUB_SIM_CONNECTED) return;
  msub_names_connected(n->n, id, outbound);
  if (!w->told || n->n_identify == NAMES_NODES) return;
  /* Identify takes a round trip. */
  memcpy(n->to_identify[n->n_identify].peer, id.p, id.n);
  n->to_identify[n->n_identify].peer_n = id.n;
  n->to_identify[n->n_identify++].at = msub_sim_time(s) + 2 * w->so.link.latency_ns;
}
static void on_topic_peer(void *ud, msub_sim *s, uint32_t node, msub_topic t, uint32_t peer, bool joined) {
  names_world *w = ud;
  if (w->told && joined && w->node[node].n && peer != MSUB_SIM_NOBODY) msub_names_announced(w->node[node].n, t, msub_sim_id(s, peer));
}

static void on_changed(void *ud, const msub_names_view *v) {
  names_node *n = ud;
  MUST(v->has_record && n->n_log < NAMES_LOG);
  names_change *c = &n->log[n->n_log++];
  *c = (names_change){ .at = msub_sim_time(the_world->s), .sequence = v->record.sequence, .ends = v->ends_ns, .source = v->source, .durable = v->durable };
  c->value_n = v->record.value.n < sizeof c->value ? v->record.value.n : sizeof c->value;
  memcpy(c->value, v->record.value.p, c->value_n);
}
static void on_alarm(void *ud, msub_names_alarm what, msub_bytes name, msub_bytes record, msub_bytes other) {
  names_node *n = ud;
  MUST(name.n && record.n && (other.n || what == MSUB_NAMES_FAR_END));
  n->alarms[what]++;
}
static void on_durable(void *ud, msub_token token, int result) {
  names_node *n = ud;
  MUST(!n->n || msub_names_durable(n->n, token, result));
}

void names_world_init(names_world *w) {
  memset(w, 0, sizeof *w);
  the_world = w;
  msub_sim_opts_init(&w->so);
  w->so.seed = 5;
  w->so.link.latency_ns = 10 * MS;
  msub_sim_node_opts_init(&w->no);
  msub_gossipsub_opts_init(&w->gs);
  w->routers[0] = (msub_sim_router){ &msub_gossipsub, &w->gs };
  w->no.routers = w->routers;
  w->no.n_routers = 1;
  w->no.ud = w;
  w->no.on_connection = on_connection;
  w->no.on_topic_peer = on_topic_peer;
  w->step = MS;
  w->stores = w->told = true;
  for (uint32_t i = 0; i < NAMES_NODES; i++) msub_names_opts_init(&w->node[i].o);
}

int names_try_start(names_world *w, uint32_t i) {
  names_node *n = &w->node[i];
  n->n_identify = 0;
  int rc = msub_fetch_new(&w->counted, msub_sim_exchange(w->s, n->no), &n->fetch);
  if (rc != MSUB_OK) {
    n->fetch = NULL;
    return rc;
  }
  n->o.mem = &w->counted;
  n->o.engine = msub_sim_engine(w->s, n->no);
  n->o.fetch = n->fetch;
  n->o.store = (msub_store){ NULL, NULL };
  n->o.seed = i + 1;
  n->o.ud = n;
  n->o.changed = on_changed;
  n->o.alarm = on_alarm;
  if (w->stores) {
    if (!n->store) {
      msub_store_memory_opts so;
      msub_store_memory_opts_init(&so);
      so.delay_ns = 2 * MS;
      if (w->store_bytes) so.max_bytes = w->store_bytes;
      MUST(msub_store_memory_new(&so, names_now(w, i), &n->store) == MSUB_OK);
    }
    n->o.store = msub_store_memory_store(n->store);
    n->o.store.ops->listen(n->o.store.s, on_durable, n);
  }
  rc = msub_names_new(&n->o, names_now(w, i), &n->n);
  if (rc != MSUB_OK) {
    msub_fetch_free(n->fetch);
    n->fetch = NULL;
    n->n = NULL;
  }
  return rc;
}
void names_start(names_world *w, uint32_t i) { MUST(names_try_start(w, i) == MSUB_OK); }

void names_world_start(names_world *w, uint32_t nodes) {
  MUST(nodes <= NAMES_NODES && msub_sim_new(&w->so, &w->s) == MSUB_OK);
  w->counted = count_mem_of(&w->mem);
  for (uint32_t i = 0; i < nodes; i++) {
    w->no.id = names_id((uint8_t)(200 + i));
    MUST(msub_sim_add(w->s, &w->no, 1, &w->node[i].no) == MSUB_OK && w->node[i].no == i);
    w->count++;
  }
  for (uint32_t i = 0; i < nodes; i++) names_start(w, i);
}

void names_stop(names_world *w, uint32_t i) {
  names_node *n = &w->node[i];
  if (!n->n) return;
  msub_names *names = n->n;
  n->n = NULL;
  msub_names_free(names, names_now(w, i));
  msub_fetch_free(n->fetch);
  n->fetch = NULL;
}

void names_crash(names_world *w, uint32_t i) {
  names_node *n = &w->node[i];
  msub_store_memory *after = NULL;
  if (n->store) MUST(msub_store_memory_crashed(n->store, &after) == MSUB_OK);
  if (n->store) n->store = NULL, n->o.store.ops->listen(n->o.store.s, NULL, NULL);
  names_stop(w, i); /* what it still writes goes to the old store */
  if (after) msub_store_memory_free(n->o.store.s);
  n->store = after;
  MUST(msub_sim_crash(w->s, n->no) == MSUB_OK);
  MUST(msub_sim_run_for(w->s, 100 * MS) == MSUB_OK);
  MUST(msub_sim_restart(w->s, n->no) == MSUB_OK);
  n->n_log = 0;
  names_start(w, i);
}

static void turn(names_world *w, uint32_t i) {
  names_node *n = &w->node[i];
  if (w->each_turn) w->each_turn(w->ud, i);
  if (!n->n) return;
  for (size_t k = n->n_identify; k-- > 0;) {
    if (n->to_identify[k].at > msub_sim_time(w->s)) continue;
    msub_names_identified(n->n, (msub_bytes){ n->to_identify[k].peer, n->to_identify[k].peer_n }, true);
    n->to_identify[k] = n->to_identify[--n->n_identify];
  }
  if (n->store) n->o.store.ops->turn(n->o.store.s, names_now(w, i));
  for (unsigned k = 0; k < 64 && msub_names_next_deadline(n->n) <= msub_sim_time(w->s); k++) msub_names_turn(n->n, names_now(w, i));
}

static void step(names_world *w, uint64_t until) {
  for (uint32_t i = 0; i < w->count; i++) turn(w, i);
  uint64_t now = msub_sim_time(w->s), to = now + w->step;
  MUST(msub_sim_run_until(w->s, to < until ? to : until) == MSUB_OK);
}
void names_run(names_world *w, uint64_t ns) {
  uint64_t until = msub_sim_time(w->s) + ns;
  while (msub_sim_time(w->s) < until) step(w, until);
  for (uint32_t i = 0; i < w->count; i++) turn(w, i);
}
bool names_run_until(names_world *w, bool (*ready)(void *ud), void *ud, uint64_t ns) {
  uint64_t until = msub_sim_time(w->s) + ns;
  while (!ready(ud) && msub_sim_time(w->s) < until) step(w, until);
  return ready(ud);
}

void names_connect(names_world *w, uint32_t a, uint32_t b) { MUST(msub_sim_connect(w->s, w->node[a].no, w->node[b].no, 0) == MSUB_OK); }

void names_world_stop(names_world *w) {
  for (uint32_t i = 0; i < w->count; i++) names_stop(w, i);
  MUST(msub_sim_run_for(w->s, 20 * MSUB_SIM_S) == MSUB_OK);
  MUST(msub_sim_free(w->s) == MSUB_OK);
  for (uint32_t i = 0; i < w->count; i++)
    if (w->node[i].store) msub_store_memory_free(w->node[i].store);
  if (w->mem.live_bytes) fprintf(stderr, "%zu bytes in %zu blocks are left\n", w->mem.live_bytes, w->mem.live_blocks), abort();
}

/* ---- keys and records ---- */

msub_key *names_key(uint8_t seed) {
  static msub_key *keys[256];
  uint8_t bytes[32] = { seed, 77 };
  if (!keys[seed]) MUST(msub_key_from_seed(bytes, &keys[seed]) == MSUB_OK);
  return keys[seed];
}
msub_bytes names_id(uint8_t seed) { return msub_key_peer_id(names_key(seed)); }

msub_bytes names_record(names_world *w, uint8_t seed, const char *value, uint64_t sequence, int64_t ends_in_ns) {
  static uint8_t out[MSUB_IPNS_RECORD_MAX];
  size_t n;
  msub_ipns_new what = { .value = msub_str(value), .sequence = sequence, .eol = msub_ipns_time_of(names_now(w, 0)->wall_ns + ends_in_ns), .ttl_ns = MSUB_IPNS_TTL_NS, .v2_only = true };
  MUST(msub_ipns_make(names_key(seed), &what, out, sizeof out, &n) == MSUB_OK);
  return (msub_bytes){ out, n };
}

/* ---- outcomes ---- */

static void take(names_outcome *o, const msub_names_view *v) {
  o->calls++;
  o->at = msub_sim_time(the_world->s);
  if (!v) return;
  o->sequence = v->record.sequence;
  o->source = v->source;
  o->durable = v->durable;
  size_t n = v->record.value.n < sizeof o->value ? v->record.value.n : sizeof o->value - 1;
  memcpy(o->value, v->record.value.p, n);
  o->value[n] = '\0';
}
void names_resolved(void *outcome, const msub_names_resolved *r) {
  names_outcome *o = outcome;
  take(o, r->v);
  o->end = r->end;
  o->asked = r->asked;
  o->fault = r->fault;
}
void names_done(void *outcome, int result, const msub_names_view *v) {
  names_outcome *o = outcome;
  take(o, v);
  o->result = result;
}
int names_publish(names_world *w, uint32_t i, uint8_t seed, const char *value, names_outcome *o) {
  msub_names_publish_opts p;
  msub_names_publish_opts_init(&p);
  p.value = msub_str(value);
  return msub_names_publish(w->node[i].n, names_key(seed), &p, names_now(w, i), o ? names_done : NULL, o);
}
