/* host/setup.c: options, the making of a host and its end. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "host/anchors.h"
#include "host/book.h"
#include "host/dialer.h"
#include "host/discovery.h"
#include "host/exchange.h"
#include "host/filter.h"
#include "host/gate.h"
#include "host/hints.h"
#include "host/identify.h"
#include "host/lookup.h"
#include "host/manager.h"
#include "host/named.h"
#include "host/neighbours.h"
#include "host/race.h"
#include "host/peers.h"
#include "host/places.h"
#include "host/protect.h"
#include "host/shelf.h"
#include "host/world.h"
#include "meshsub/gossipsub.h"

#ifndef MSUB_VERSION
#define MSUB_VERSION "0.1.0"
#endif

/* ---- options ---- */

void msub_host_opts_init(msub_host_opts *o) {
  *o = (msub_host_opts){
    .size = sizeof *o,
    .agent = "meshsub/" MSUB_VERSION,
    .lane_bytes = { 64u << 10, 4u << 20, 256u << 10, 64u << 10 },
    .lane_rule = { MSUB_OVERFLOW_DISCONNECT, MSUB_OVERFLOW_DROP_NEWEST, MSUB_OVERFLOW_DROP_NEWEST,
                   MSUB_OVERFLOW_DROP_NEWEST },
    .verify_queue = 4096,
    .max_inbound = 128,
    .max_outbound = 32,
    .max_per_peer = 2,
    .max_pending_inbound = 16,
    .max_per_ip = 8,
    .max_per_net = 32,
    .max_dials = 16,
    .handshake_timeout_ns = 15 * MSUB__S,
    .negotiate_timeout_ns = 10 * MSUB__S,
    .write_timeout_ns = 30 * MSUB__S,
    .redial_min_ns = 1 * MSUB__S,
    .redial_max_ns = 300 * MSUB__S,
    .grace_ns = 20 * MSUB__S,
    .dial_hints = true,
    .max_hints = 128,
    .low_water = 112,
    .high_water = 144,
    .anchors = 4,
    .book = { .stored = true, .proved_ns = 7 * 24 * 3600 * MSUB__S, .said_ns = 24 * 3600 * MSUB__S, .delay_ns = 10 * MSUB__S },
    .dns = { .timeout_ns = 5 * MSUB__S },
  };
  msub_engine_opts_init(&o->engine);
}

static const msub_transport_ops *const transports[] = { /* the default first */
#ifdef __linux__
  &msub__transport_split,
#endif
  &msub__transport_nng
};

static const msub_transport_ops *find_transport(const char *name) {
  for (size_t i = 0; i < sizeof transports / sizeof *transports; i++) {
    if (!name || strcmp(transports[i]->name, name) == 0) return transports[i];
  }
  return NULL;
}

static const char *bad_options(const msub_host_opts *o) {
  if (o->size != sizeof *o) return "use msub_host_opts_init(): the size does not match this library";
  if (!o->key) return "an identity key is required";
  if (!find_transport(o->transport)) return "no transport of this name";
  if (o->lane_rule[MSUB_LANE_CONTROL] != MSUB_OVERFLOW_DISCONNECT)
    return "control can only have the rule DISCONNECT";
  if (o->max_per_peer == 0 || o->max_dials == 0 || o->max_pending_inbound == 0 || o->verify_queue == 0)
    return "max_per_peer, max_dials, max_pending_inbound and verify_queue must not be 0";
  if (o->handshake_timeout_ns == 0 || o->negotiate_timeout_ns == 0 || o->write_timeout_ns == 0)
    return "a timeout must not be 0";
  if (o->key_types >= 1u << (MSUB_KEY_ECDSA + 1)) return "key_types names a type that there is not";
  if (o->rsa_bits && (o->rsa_bits < MSUB_RSA_BITS_MIN || o->rsa_bits > MSUB_RSA_BITS_MAX)) return "rsa_bits is 0, or 2048 to 8192";
  if (o->anchors > MSUB__HOST_ANCHORS) return "at most 8 anchors";
  if (o->store.ops && (o->store.ops->abi != MSUB_ABI || o->store.ops->size < sizeof *o->store.ops)) return "the store is of another version";
  if (o->book.proved_ns == 0 || o->book.said_ns == 0) return "a time of the book must not be 0";
  if (o->low_water > o->high_water) return "low_water must not be above high_water";
  msub__tr_addr server;
  if (o->dns.server && !msub__dns_server_parse(o->dns.server, &server)) return "dns.server is IP:PORT, or [IP6]:PORT";
  if (o->dns.timeout_ns == 0) return "dns.timeout_ns must not be 0";
  if (o->redial_min_ns == 0 || o->redial_max_ns < o->redial_min_ns)
    return "redial_max_ns must not be below redial_min_ns, nor that 0";
  return NULL;
}

/* ---- making: the engine ---- */

/* The ids of one router that the program wants, in its order. The engine knows them: a router may give one up to another. */
static void add_group(msub_host *h, unsigned router, const char *const *wanted) {
  msub__group *g = &h->groups[h->n_groups];
  const char *id;
  *g = (msub__group){ .n = 0 };
  for (size_t w = 0; wanted && wanted[w]; w++) {
    for (size_t i = 0; (id = msub_engine_router_protocol(h->engine, router, i)) && g->n < MSUB__GROUP_IDS; i++) {
      if (strcmp(id, wanted[w]) == 0) g->ids[g->n++] = msub_str(id);
    }
  }
  for (size_t i = 0; !wanted && (id = msub_engine_router_protocol(h->engine, router, i)) && g->n < MSUB__GROUP_IDS; i++)
    g->ids[g->n++] = msub_str(id);
  if (g->n > 0) h->n_groups++;
}

static int make_plans(msub_host *h, const msub_plan **plans, size_t *n, const char **why) {
  static const msub_router_ops *const only_gossipsub[] = { &msub_gossipsub, NULL };
  const msub_router_ops *const *routers = h->o.routers ? h->o.routers : only_gossipsub;
  for (*n = 0; routers[*n]; ++*n) {
    *why = "at most 7 routers";
    if (*n == MSUB__GROUPS) return MSUB_ERR_INVAL;
    const void *opts = h->o.routers && h->o.router_opts ? h->o.router_opts[*n] : NULL;
    int err = msub_plan_new(h->shared, routers[*n], opts, &plans[*n]);
    *why = "a router could not be laid out";
    if (err != MSUB_OK) return err;
  }
  return MSUB_OK;
}

static int make_groups(msub_host *h, size_t routers, const char **why) {
  for (unsigned r = 0; r < routers; r++) add_group(h, r, h->o.protocols);
  size_t wanted = 0, found = 0;
  while (h->o.protocols && h->o.protocols[wanted]) wanted++;
  for (size_t g = 0; g < h->n_groups; g++) found += h->groups[g].n;
  *why = "an id in protocols belongs to no router";
  if (h->o.protocols && found != wanted) return MSUB_ERR_INVAL;
  return MSUB_OK;
}

static int make_engine(msub_host *h, const char **why) {
  uint8_t entropy[32];
  const msub_plan *plans[MSUB__GROUPS];
  size_t n = 0;
  *why = "no random source";
  int err = msub__random(entropy, sizeof entropy);
  if (err != MSUB_OK) return err;
  *why = "out of memory";
  err = msub_shared_new(&h->mem, entropy, &h->shared);
  if (err != MSUB_OK || (err = make_plans(h, plans, &n, why)) != MSUB_OK) return err;
  msub_engine_opts *o = &h->o.engine;
  o->world = h->o.on_trace || h->seek.ops.find || h->find.n > 0 || h->o.mdns.on ? &msub__host_world_traced : &msub__host_world;
  o->w = h;
  o->routers = plans;
  o->n_routers = n;
  o->seed = h->o.seed;
  o->self_id = h->self;
  o->log = h->log;
  /* a topic may be signed though the others are not */
  if (!o->verify) o->verify = h->o.rsa_bits > MSUB_RSA_BITS ? msub_signature_verify_rsa8192 : msub_signature_verify;
  o->key_field = (msub_bytes){ NULL, 0 };
  if (msub_peer_id_public_key(h->self).n == 0) o->key_field = msub_key_public(h->o.key);
  *why = "the engine refused its options";
  err = msub_engine_new(h->shared, o, &h->now, &h->engine);
  o->routers = NULL;
  return err != MSUB_OK ? err : make_groups(h, n, why);
}

/* ---- making: the rest ---- */

static unsigned cores(void) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : n > 8 ? 8 : (unsigned)n;
}

static int make_parts(msub_host *h, const char **why) {
  uint8_t entropy[32];
  *why = "discovery has no find, or is of another version";
  int err = msub__discovery_init(h);
  if (err != MSUB_OK) return err;
  err = msub__places_init(h, why);
  if (err != MSUB_OK) return err;
  *why = "no random source";
  err = msub__random(entropy, sizeof entropy);
  if (err == MSUB_OK && h->o.seed == 0) err = msub__random((uint8_t *)&h->o.seed, sizeof h->o.seed);
  if (err != MSUB_OK) return err;
  msub__hashkey_init(&h->hashkey, entropy);
  msub__rng_init(&h->rng, h->o.seed, 15);
  *why = "no event descriptor";
  err = msub__wake_init(&h->wake);
  if (err != MSUB_OK) return err;
  *why = "out of memory";
  err = msub__inbox_init(&h->inbox, &h->wake);
  h->has_inbox = err == MSUB_OK;
  if (err == MSUB_OK && !(h->wheel = msub__wheel_new(&h->mem, h->now.mono_ns))) err = MSUB_ERR_NOMEM;
  if (err != MSUB_OK) return err;
  unsigned threads = h->o.verify_threads ? h->o.verify_threads : cores();
  *why = "the verification pool could not be made";
  err = msub__pool_new(&h->mem, threads, h->o.verify_queue, msub__wake_signal, &h->wake, &h->pool);
  if (err != MSUB_OK) return err;
  *why = "no cipher";
  err = msub__noise_kit_new(&h->mem, &h->kit);
  if (err != MSUB_OK) return err;
  size_t n = strlen(h->o.agent) + 1;
  *why = "out of memory";
  err = msub__shelf_new(h);
  if (err != MSUB_OK) return err;
  h->agent = msub__alloc(&h->mem, n);
  if (!h->agent) return MSUB_ERR_NOMEM;
  memcpy(h->agent, h->o.agent, n);
  h->agent_n = n;
  err = make_engine(h, why);
  if (err != MSUB_OK) return err;
  *why = "the transport could not be started";
  msub__manager_changed(h);
  err = h->tr->init(&h->tr_self, &h->mem, msub__wake_signal, &h->wake, h->log);
  h->fd = h->wake.fd;
  if (err == MSUB_OK && h->tr->fd) h->fd = h->tr->fd(h->tr_self, h->wake.fd);
  if (err == MSUB_OK && h->fd < 0) err = MSUB_ERR_IO;
  return err == MSUB_OK ? msub__neighbours_init(h, why) : err;
}

static void release(msub_host *h);

int msub_host_new(const msub_host_opts *o, msub_host **out, const char **why) {
  const char *text = NULL;
  const char **w = why ? why : &text;
  *w = bad_options(o);
  if (*w) return MSUB_ERR_INVAL;
  *w = "out of memory";
  msub_mem mem = o->mem ? *o->mem : msub__mem_default();
  msub_host *h = msub__zalloc(&mem, 1, sizeof *h);
  if (!h) return MSUB_ERR_NOMEM;
  h->mem = mem;
  if (o->max_bytes > 0) {
    msub__budget_init(&h->budget, &mem, o->max_bytes, sizeof *h);
    h->mem = msub__budget_mem(&h->budget);
  }
  h->o = *o;
  h->log = &h->o.log;
  if (!h->o.agent) h->o.agent = "meshsub/" MSUB_VERSION;
  h->self = msub_key_peer_id(o->key);
  h->tr = find_transport(o->transport);
  h->wake.fd = -1;
  atomic_init(&h->stop, false);
  msub__node *const lists[] = { &h->conns,  &h->dirty,  &h->ready, &h->closing,
                                &h->resume, &h->parked, &h->dials, &h->keeps, &h->races,
                                &h->seek.due, &h->names.lookups, &h->names.orphans, &h->names.named, &h->hints.waiting, &h->hints.dialled };
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) msub__list_init(lists[i]);
  msub__timer_init(&h->gate, msub__gate_fired);
  msub__exchange_init(h);
  msub__manager_init(h);
  msub__anchors_init(h);
  msub__book_init(h);
  msub__identify_init(h);
  msub__tick(h);
  h->record_seq = (uint64_t)h->now.wall_ns;
  int err = make_parts(h, w);
  h->o.routers = NULL;
  h->o.router_opts = NULL;
  h->o.protocols = NULL;
  h->o.agent = h->agent;
  if (err != MSUB_OK) {
    release(h);
    return err;
  }
  msub__anchors_start(h);
  msub__book_start(h);
  *w = NULL;
  *out = h;
  return MSUB_OK;
}

/* ---- freeing ---- */

static void forget_calls(msub_host *h) {
  msub__call calls[MSUB__HOST_STEP_CALLS];
  for (size_t n; (n = msub__inbox_take(&h->inbox, calls, MSUB__HOST_STEP_CALLS)) > 0;) {
    for (size_t i = 0; i < n; i++) {
      if (calls[i].fn == msub__publish_now) free(calls[i].arg);
    }
  }
}

/* A job that runs is waited for here: this is the one place where the host may block. */
static void free_engine(msub_host *h) {
  while (msub_engine_free(h->engine) == MSUB_ERR_STATE) {
    struct timespec pause = { .tv_nsec = 100000 };
    if (!h->pool) return;
    while (msub__world_verdicts(h)) {}
    (void)nanosleep(&pause, NULL);
  }
  h->engine = NULL;
}

static void release_conns(msub_host *h) {
  for (size_t i = 0; i < h->by_tr_cap; i++) {
    if (h->by_tr[i]) msub__conn_free(h->by_tr[i]);
  }
  msub__free(&h->mem, h->by_tr, h->by_tr_cap * sizeof(msub__conn *));
  msub__dialer_fini(h);
  msub__manager_fini(h);
  msub__anchors_fini(h);
  msub__named_fini(h);
  if (h->wheel) msub__timer_stop(h->wheel, &h->push.timer);
  msub__race_fini(h);
  msub__hints_fini(h);
  msub__peers_fini(h);
}

/* Works on a host that is only half made, too. */
static void release(msub_host *h) {
  msub_mem mem = h->mem, own = h->o.max_bytes > 0 ? h->budget.in : h->mem;
  h->stopping = true;
  msub__conn_close_all(h, "the host ends");
  msub__exchange_fini(h);
  msub__discovery_fini(h);
  if (h->tr_self) h->tr->fini(h->tr_self);
  release_conns(h);
  if (h->engine) free_engine(h);
  msub__pool_free(h->pool);
  if (h->has_inbox) {
    forget_calls(h);
    msub__inbox_fini(&h->inbox);
  }
  if (h->shared) (void)msub_shared_free(h->shared);
  msub__protect_fini(h);
  msub__places_fini(h);
  msub__neighbours_fini(h);
  msub__lookup_fini(h);
  msub__ipfilter_fini(h);
  msub__shelf_finish(h);
  msub__book_fini(h);
  msub__noise_kit_free(h->kit);
  msub__wheel_free(h->wheel);
  msub__wake_fini(&h->wake);
  for (msub__block *b = h->spare, *next; b; b = next) {
    next = b->next;
    msub__free(&mem, b, sizeof *b);
  }
  msub__free(&mem, h->agent, h->agent_n);
  msub__free(&own, h, sizeof *h);
}

int msub_host_free(msub_host *h) {
  if (!h) return MSUB_OK;
  if (h->in_turn || h->in_engine) return MSUB_ERR_STATE;
  msub__tick(h);
  h->in_turn = true; /* connections end with events, whose callbacks must not start a turn */
  release(h);
  return MSUB_OK;
}
