/* A1 to A4: messages and their copies through the whole engine. Time goes on by 1 ms with each unique message, so that heartbeats
 * and the window of the cache are in the figures. */
#include "bench/engine/engine.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEERS 8

typedef struct hot {
  rig r;
  size_t n_topics;
  uint8_t *frames[RIG_TOPICS], *counters[RIG_TOPICS];
  size_t lengths[RIG_TOPICS];
  uint64_t next;
} hot;

static void begin(hot *h, size_t n_topics, size_t data_n) {
  memset(h, 0, sizeof *h);
  rig_init(&h->r);
  rig_start(&h->r, n_topics, false);
  rig_peers(&h->r, PEERS, n_topics, true);
  rig_pass(&h->r, 1500000000); /* the mesh stands: all eight grafted us */
  h->n_topics = n_topics;
  for (size_t t = 0; t < n_topics; t++) {
    h->frames[t] = malloc(data_n + 512);
    if (!h->frames[t]) abort();
    h->lengths[t] = rig_message(h->frames[t], data_n + 512, t, data_n, &h->counters[t]);
  }
}
static void end(hot *h) {
  for (size_t t = 0; t < h->n_topics; t++) free(h->frames[t]);
  rig_free(&h->r);
}

/* n unique messages, each from `copies` of the peers in turn. */
static void unique(hot *h, unsigned n, unsigned copies) {
  for (unsigned i = 0; i < n; i++) {
    size_t t = h->next % h->n_topics;
    uint64_t number = ++h->next;
    memcpy(h->counters[t], &number, sizeof number);
    for (unsigned k = 0; k < copies; k++)
      rig_receive(&h->r, h->r.peers[(h->next + k) % PEERS], (msub_bytes){ h->frames[t], h->lengths[t] });
    rig_pass(&h->r, 1000000);
  }
}

/* Seven forwards of each message, and with IDONTWANT seven of those; one less where a member of the mesh is tested. */
static void check(const hot *h, uint64_t before, unsigned n) {
  uint64_t forwards = h->r.messages - before;
  if (forwards <= (uint64_t)n * (PEERS - 1) && forwards >= (uint64_t)n * (PEERS - 2)) return;
  fprintf(stderr, "meshsub-bench: %u messages led to %llu forwards\n", n, (unsigned long long)(h->r.messages - before));
  exit(1);
}

static double measure(size_t n_topics, size_t data_n, unsigned copies, unsigned n) {
  hot h;
  begin(&h, n_topics, data_n);
  unique(&h, n / 4, copies);
  uint64_t before = h.r.messages;
  double from = thread_cpu();
  unique(&h, n, copies);
  double us = (thread_cpu() - from) * 1e6 / n;
  check(&h, before, n);
  end(&h);
  return us;
}
double run_a1(void) { return measure(1, 1024, PEERS, 100000); }
double run_a2(void) { return measure(64, 256, PEERS, 100000); }
double run_a3(void) { return measure(1, 1024, 1, 100000); }

/* What one more copy costs: seven of them against none. */
double run_dup(void) {
  double with = measure(1, 1024, PEERS, 100000), without = measure(1, 1024, 1, 100000);
  return (with - without) / (PEERS - 1);
}

/* alone: the verification of each, without the engine; tells the speed of the machine in the same run. */
static double signed_messages(bool alone) {
  enum { N = 3000, EACH = 1400 };
  rig r;
  uint8_t seed[32] = { 9 };
  msub_key *key;
  rig_init(&r);
  rig_start(&r, 1, true);
  rig_peers(&r, PEERS, 1, true);
  rig_pass(&r, 1500000000);
  uint8_t *frames = malloc((size_t)N * EACH), data[1024] = { 0 };
  size_t *lengths = malloc(N * sizeof *lengths);
  if (!frames || !lengths || msub_key_from_seed(seed, &key) != MSUB_OK) abort();
  msub_bytes id = msub_key_peer_id(key);
  for (size_t i = 0; i < N; i++) {
    uint8_t seqno[8] = { 0, 0, 0, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i }, signature[64];
    msub_msg_view v = { .from = id, .data = { data, sizeof data }, .seqno = { seqno, 8 }, .topic = msub_str(rig_topic(0)),
                        .present = MSUB_HAS_FROM | MSUB_HAS_DATA | MSUB_HAS_SEQNO | MSUB_HAS_TOPIC };
    uint8_t *f = frames + i * EACH, body[EACH];
    size_t n = msub_msg_encode(&v, body, sizeof body);
    msub_bytes parts[2] = { msub_str("libp2p-pubsub:"), { body, n } };
    if (msub_key_sign_parts(key, parts, 2, signature, sizeof signature) != 64) abort();
    v.signature = (msub_bytes){ signature, 64 };
    v.present |= MSUB_HAS_SIGNATURE;
    n = msub_msg_encode(&v, body, sizeof body);
    size_t at = 0;
    f[at++] = 0x12;
    at += msub_varint_put(f + at, n);
    memcpy(f + at, body, n);
    lengths[i] = at + n;
  }
  double from = thread_cpu();
  for (size_t i = 0; i < N; i++) {
    if (alone) {
      msub_rpc_iter it;
      msub_rpc_part part;
      msub_rpc_begin(&it, (msub_bytes){ frames + i * EACH, lengths[i] });
      if (msub_rpc_next(&it, &part) != MSUB_P_MESSAGE || msub_signature_verify(part.msg.raw.p, part.msg.raw.n) != MSUB_ACCEPT) abort();
      continue;
    }
    for (unsigned k = 0; k < PEERS; k++) rig_receive(&r, r.peers[(i + k) % PEERS], (msub_bytes){ frames + i * EACH, lengths[i] });
    rig_pass(&r, 1000000);
  }
  double us = (thread_cpu() - from) * 1e6 / N;
  if (r.messages != (alone ? 0 : N * (PEERS - 1))) {
    fprintf(stderr, "meshsub-bench: %d signed messages led to %llu forwards\n", N, (unsigned long long)r.messages);
    exit(1);
  }
  msub_key_free(key);
  free(frames);
  free(lengths);
  rig_free(&r);
  return us;
}
double run_a4(void) { return signed_messages(false); }
double run_a4_alone(void) { return signed_messages(true); }

static void work(size_t n_topics, size_t data_n, unsigned copies, unsigned n) {
  hot h;
  begin(&h, n_topics, data_n);
  unique(&h, n, copies);
  end(&h);
}
void work_a1(unsigned n) { work(1, 1024, PEERS, n); }
void work_a2(unsigned n) { work(64, 256, PEERS, n); }
void work_a3(unsigned n) { work(1, 1024, 1, n); }
