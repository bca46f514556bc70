/* N1, N2: names (names.h): what a program waits for when it asks for one, and what they take. */
#include "bench/engine/engine.h"
#include "meshsub/names.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(c) ((c) ? (void)0 : (fprintf(stderr, "meshsub-bench: %s\n", #c), abort()))

/* An exchange with nobody at the other end. */
static int no_serve(void *x, const char *protocol, const msub_stream_handler *h, void *ud) {
  (void)x, (void)protocol, (void)h, (void)ud;
  return MSUB_OK;
}
static int no_open(void *x, msub_bytes peer, const char *protocol, uint64_t deadline, const msub_stream_handler *h, void *word, msub_stream **out) {
  (void)x, (void)peer, (void)protocol, (void)deadline, (void)h, (void)word, (void)out;
  return MSUB_ERR_NOTFOUND;
}
static const msub_exchange_ops nobody = { .abi = MSUB_ABI, .size = sizeof nobody, .serve = no_serve, .open = no_open };

typedef struct held {
  rig r;
  msub_store_memory *store;
  msub_fetch *fetch;
  msub_names *n;
  size_t live; /* of names, registers and fetch */
  msub_mem mem;
} held;

static void *count_alloc(void *ud, size_t n) {
  void *p = malloc(n);
  if (p) ((held *)ud)->live += n;
  return p;
}
static void count_free(void *ud, void *p, size_t n) {
  if (p) ((held *)ud)->live -= n;
  free(p);
}

static void on_durable(void *ud, msub_token token, int result) {
  const held *h = ud;
  MUST(result == MSUB_OK && (!h->n || msub_names_durable(h->n, token, result)));
}

static void start(held *h) {
  msub_names_opts o;
  h->mem = (msub_mem){ count_alloc, count_free, h };
  MUST(msub_fetch_new(&h->mem, (msub_exchange){ &nobody, NULL }, &h->fetch) == MSUB_OK);
  msub_names_opts_init(&o);
  o.mem = &h->mem;
  o.engine = h->r.e;
  o.fetch = h->fetch;
  o.store = msub_store_memory_store(h->store);
  o.store.ops->listen(o.store.s, on_durable, h);
  MUST(msub_names_new(&o, &h->r.now, &h->n) == MSUB_OK);
}
static void stop(held *h) {
  msub_names *n = h->n;
  h->n = NULL;
  msub_names_free(n, &h->r.now);
  msub_fetch_free(h->fetch);
}

static msub_bytes name_at(uint32_t i, uint8_t out[38]) {
  static const uint8_t head[6] = { 0, 36, 8, 1, 18, 32 };
  memset(out, 0, 38);
  memcpy(out, head, sizeof head);
  memcpy(out + 6, &i, sizeof i);
  return (msub_bytes){ out, 38 };
}

/* Names with a record each, followed as far as that goes. Records are taken as they are: one signature serves all. */
static void begin(held *h, uint32_t names, uint32_t followed) {
  static const uint8_t seed[32] = { 9 };
  uint8_t record[MSUB_IPNS_RECORD_MAX], id[38];
  size_t n;
  char topic[MSUB_IPNS_TOPIC_TEXT];
  msub_key *key;
  msub_store_memory_opts so;
  memset(h, 0, sizeof *h);
  rig_init(&h->r);
  rig_start(&h->r, 0, true);
  msub_store_memory_opts_init(&so);
  so.max_bytes = (size_t)1 << 30;
  MUST(msub_store_memory_new(&so, &h->r.now, &h->store) == MSUB_OK);
  start(h);
  MUST(msub_key_from_seed(seed, &key) == MSUB_OK);
  msub_ipns_new what = { .value = msub_str("/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"), .eol = msub_ipns_time_of(h->r.now.wall_ns + INT64_C(172800000000000)), .ttl_ns = MSUB_IPNS_TTL_NS };
  MUST(msub_ipns_make(key, &what, record, sizeof record, &n) == MSUB_OK);
  msub_key_free(key);
  msub_lww_how how;
  msub_lww_how_init(&how);
  how.validated = true;
  msub_store s = msub_store_memory_store(h->store);
  for (uint32_t i = 0; i < names; i++) {
    msub_bytes name = name_at(i, id);
    if (i < followed) MUST(msub_names_follow(h->n, name, &h->r.now, NULL, NULL) == MSUB_OK);
    MUST(msub_lww_put(msub_names_lww(h->n), msub_str(msub_ipns_topic(name, topic)), (msub_bytes){ record, n }, &how, &h->r.now, (msub_token){ 0 }) == MSUB_LWW_TAKEN);
    if (i % 256 == 255) s.ops->turn(s.s, &h->r.now);
  }
  while (s.ops->next_deadline(s.s) != MSUB_NEVER) {
    h->r.now.mono_ns++;
    s.ops->turn(s.s, &h->r.now);
  }
  stop(h);
  MUST(h->live == 0);
  start(h);
}
static void end(held *h) {
  stop(h);
  msub_store_memory_free(h->store);
  rig_free(&h->r);
}

static double get(uint32_t names, uint32_t followed) {
  enum { N = 200000 };
  held h;
  uint8_t id[38];
  msub_names_view v;
  begin(&h, names, followed);
  double from = thread_cpu();
  for (uint32_t i = 0; i < N; i++) MUST(msub_names_get(h.n, name_at(i * 7919 % names, id), h.r.now.wall_ns, &v) == MSUB_OK);
  double us = (thread_cpu() - from) * 1e6 / N;
  end(&h);
  return us;
}
double run_n1_followed(void) { return get(1000, 1000); }
double run_n1_stored(void) { return get(100000, 0); }

double run_n2_bytes(void) {
  held h;
  begin(&h, 100000, 0);
  double mib = (double)h.live / (1 << 20);
  end(&h);
  return mib;
}
double run_n2_start(void) {
  held h;
  begin(&h, 1000, 1000);
  stop(&h);
  double from = thread_cpu();
  start(&h);
  double ms = (thread_cpu() - from) * 1e3;
  end(&h);
  return ms;
}
