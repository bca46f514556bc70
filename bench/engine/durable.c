/* N3, N4: IPNS records verified, and updates that are on the disk: the two bounds of a node that keeps many names. */
#include "bench/engine/engine.h"
#include "meshsub/lww.h"
#include "meshsub/names.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef MSUB_STORE_DISK
#include "meshsub/store_disk.h"
#include <ftw.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>
#endif

#define MUST(c) ((c) ? (void)0 : (fprintf(stderr, "meshsub-bench: %s\n", #c), abort()))

static msub_key *a_key(uint32_t i) {
  uint8_t seed[32] = { 11 };
  msub_key *k;
  memcpy(seed + 1, &i, sizeof i);
  MUST(msub_key_from_seed(seed, &k) == MSUB_OK);
  return k;
}
static size_t a_record(const msub_key *k, uint64_t sequence, bool v2_only, uint8_t out[1024]) {
  size_t n;
  msub_ipns_new what = { .value = msub_str("/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"), .sequence = sequence,
                         .eol = { INT64_C(4102444800), 0 }, .ttl_ns = MSUB_IPNS_TTL_NS, .v2_only = v2_only };
  MUST(msub_ipns_make(k, &what, out, 1024, &n) == MSUB_OK);
  return n;
}

static double verified(bool v2_only) {
  enum { N = 5000 };
  uint8_t bytes[1024];
  msub_ipns_record r;
  msub_key *k = a_key(0);
  size_t n = a_record(k, 1, v2_only, bytes);
  double from = thread_cpu();
  for (unsigned i = 0; i < N; i++) MUST(msub_ipns_verify(msub_key_peer_id(k), (msub_bytes){ bytes, n }, 0, 0, &r) == MSUB_IPNS_OK);
  double per_s = N / (thread_cpu() - from) / 1000;
  msub_key_free(k);
  return per_s;
}
double run_n3_both(void) { return verified(false); }
double run_n3_v2(void) { return verified(true); }

#ifdef MSUB_STORE_DISK
enum { NAMES = 2000, UPDATES = 10, RECORD = 512 };

typedef struct disk {
  msub_store_disk *d;
  msub_store s;
  msub_lww *l;
  size_t durable;
} disk;
static void on_durable(void *ud, msub_token token, int result) { MUST(result == MSUB_OK && msub_lww_durable(((disk *)ud)->l, token, result)); }
static void on_stored(void *ud, msub_bytes topic, msub_token token, int result) {
  (void)topic, (void)token;
  ((disk *)ud)->durable += result == MSUB_OK;
}

/* Records are as IPNS has them, but the order is all that is looked at: N3 is what verifying costs. */
static msub_verdict accept_any(const void *type, msub_bytes topic, msub_bytes record) {
  (void)type, (void)topic, (void)record;
  return MSUB_ACCEPT;
}
static int compare(const void *type, msub_bytes topic, msub_bytes a, msub_bytes b) {
  msub_ipns_record ra, rb;
  (void)type, (void)topic;
  MUST(msub_ipns_read(a, &ra) == MSUB_IPNS_OK && msub_ipns_read(b, &rb) == MSUB_IPNS_OK);
  return msub_ipns_order(&ra, &rb);
}
static const msub_lww_ops ops = { .abi = MSUB_ABI, .size = sizeof ops, .name = "bench", .validate = accept_any, .compare = compare };

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static int take_away(const char *path, const struct stat *st, int kind, struct FTW *at) {
  (void)st, (void)kind, (void)at;
  return remove(path);
}

/* Waits for the disk as a program does: for its descriptor. */
static void wait_for(disk *d, size_t most_waiting) {
  while (msub_lww_count(d->l)->waiting > most_waiting) {
    struct pollfd p = { .fd = msub_store_disk_fd(d->d), .events = POLLIN };
    msub_now now = { 0 };
    (void)poll(&p, 1, 1000);
    d->s.ops->turn(d->s.s, &now);
  }
}

double run_n4(void) {
  char dir[] = "/var/tmp/meshsub-bench-XXXXXX", why[256], path[64];
  static struct { uint32_t n; uint8_t bytes[RECORD]; } record[NAMES];
  static char topic[NAMES][MSUB_IPNS_TOPIC_TEXT];
  static msub_key *key[NAMES];
  disk d = { 0 };
  double spent = 0;
  MUST(mkdtemp(dir));
  (void)snprintf(path, sizeof path, "%s/store", dir);
  msub_store_disk_opts so;
  msub_store_disk_opts_init(&so);
  so.dir = path;
  MUST(msub_store_disk_open(&so, &d.d, why) == MSUB_OK);
  d.s = msub_store_disk_store(d.d);
  msub_lww_opts o;
  msub_lww_opts_init(&o);
  o.ops = &ops;
  o.store = d.s;
  o.ud = &d;
  o.stored = on_stored;
  MUST(msub_lww_new(&o, &d.l) == MSUB_OK);
  d.s.ops->listen(d.s.s, on_durable, &d);
  for (uint32_t i = 0; i < NAMES; i++) {
    key[i] = a_key(i);
    (void)msub_ipns_topic(msub_key_peer_id(key[i]), topic[i]);
  }
  msub_lww_how how;
  msub_lww_how_init(&how);
  how.validated = true;
  const msub_now now = { .wall_ns = INT64_C(1700000000000000000) };
  for (uint64_t k = 0; k < UPDATES; k++) {
    uint8_t bytes[1024];
    for (uint32_t i = 0; i < NAMES; i++) {
      record[i].n = (uint32_t)a_record(key[i], k, false, bytes);
      MUST(record[i].n <= RECORD);
      memcpy(record[i].bytes, bytes, record[i].n);
    }
    double from = seconds();
    for (uint32_t i = 0; i < NAMES; i++) {
      wait_for(&d, o.limits.waiting - 1);
      MUST(msub_lww_put(d.l, msub_str(topic[i]), (msub_bytes){ record[i].bytes, record[i].n }, &how, &now, (msub_token){ i + 1 }) == MSUB_LWW_TAKEN);
    }
    wait_for(&d, 0);
    spent += seconds() - from;
  }
  MUST(d.durable == (size_t)NAMES * UPDATES);
  msub_lww_free(d.l);
  MUST(msub_store_disk_free(d.d) == MSUB_OK);
  for (uint32_t i = 0; i < NAMES; i++) msub_key_free(key[i]);
  MUST(nftw(dir, take_away, 16, FTW_DEPTH | FTW_PHYS) == 0);
  return NAMES * UPDATES / spent / 1000;
}
#endif
