/* C3 to C5: bytes, malloc's own overhead included. */
#include "bench/engine/engine.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double run_c3_idle(void) { /* T-E8: an instance */
  enum { N = 1000 };
  rig r;
  rig_init(&r);
  r.gossip.score = NULL;
  rig_start(&r, 0, false);
  size_t before = r.live;
  msub_engine *e[N];
  for (int i = 0; i < N; i++)
    if (msub_engine_new(r.sh, &r.opts, &r.now, &e[i]) != MSUB_OK) abort();
  double bytes = (double)(r.live - before) / N;
  for (int i = 0; i < N; i++) msub_engine_free(e[i]);
  rig_free(&r);
  return bytes;
}

/* Brings a peer of the rig (by number) into another engine of the same shared. */
static msub_session same_peer(msub_engine *e, const rig *r, size_t i) {
  char id[32];
  snprintf(id, sizeof id, "peer number %zu", i);
  msub_session_opts o = { .peer_id = msub_str(id), .protocol = "/meshsub/1.2.0", .agreed = true, .outbound = i % 2 };
  msub_session s;
  if (msub_session_up(e, &o, &r->now, &s) != MSUB_OK) abort();
  return s;
}

double run_c3_session(void) { /* the peer ids lie in the shared, once for all engines */
  enum { N = 10000 };
  rig r;
  rig_init(&r);
  r.gossip.score = NULL;
  rig_start(&r, 1, false);
  rig_peers(&r, N, 0, false);
  msub_engine *other;
  if (msub_engine_new(r.sh, &r.opts, &r.now, &other) != MSUB_OK) abort();
  size_t before = r.live;
  for (size_t i = 0; i < N; i++) same_peer(other, &r, i);
  double bytes = (double)(r.live - before) / N;
  msub_engine_free(other);
  rig_free(&r);
  return bytes;
}

/* scored: all peers are in the meshes; what the table of scores keeps of them. */
static double link_bytes(const msub_score_opts *score, bool in_mesh) {
  rig r;
  rig_init(&r);
  r.gossip.score = score;
  r.gossip.mesh.dhi = 2000;
  rig_start(&r, 100, false);
  rig_peers(&r, 1000, 0, false);
  size_t before = r.live;
  for (size_t p = 0; p < r.n_peers; p++)
    for (size_t t = 0; t < 100; t++) {
      msub_ctl_entry e[2] = { { .kind = MSUB_C_SUB }, { .kind = MSUB_C_GRAFT } };
      rig_control(&r, r.peers[p], e, in_mesh ? 2 : 1, msub_str(rig_topic(t)));
    }
  double bytes = (double)(r.live - before) / (1000.0 * 100);
  rig_free(&r);
  return bytes;
}
double run_c3_link(void) { return link_bytes(NULL, false); }
double run_c3_scored(void) { return link_bytes(&msub_gossipsub_default_score, true) - link_bytes(NULL, true); }

double run_c3_many(void) { /* T-E9: engines with 20 sessions on one topic, the mesh formed */
  enum { N = 2000, P = 20 };
  rig r;
  rig_init(&r);
  r.gossip.score = NULL;
  rig_start(&r, 1, false);
  rig_peers(&r, P, 1, false);
  static msub_engine *e[N];
  size_t before = r.live;
  for (int i = 0; i < N; i++) {
    r.opts.seed = (uint64_t)i;
    if (msub_engine_new(r.sh, &r.opts, &r.now, &e[i]) != MSUB_OK) abort();
    msub_topic t;
    if (msub_join(e[i], 0, msub_str(rig_topic(0)), &rig_policy, NULL, &r.now, &t) != MSUB_OK) abort();
    for (size_t k = 0; k < P; k++) {
      msub_session s = same_peer(e[i], &r, k);
      uint8_t buf[64];
      msub_ctl_entry c = { .kind = MSUB_C_SUB };
      msub_bytes topic = msub_str(rig_topic(0));
      if (msub_receive(e[i], s, (msub_bytes){ buf, msub_ctl_encode(&c, &topic, 1, buf, sizeof buf) }, &r.now) != MSUB_OK) abort();
    }
  }
  for (int h = 0; h < 3; h++) {
    r.now.mono_ns += 1000000000;
    for (int i = 0; i < N; i++) msub_advance(e[i], &r.now);
  }
  double bytes = (double)(r.live - before) / N;
  for (int i = 0; i < N; i++) msub_engine_free(e[i]);
  rig_free(&r);
  return bytes;
}

/* Of a cached message: what is held beyond its encoded bytes and id, and beyond what the seen set keeps of it. */
static double cached(size_t data_n) {
  enum { N = 12000 };
  rig r;
  rig_init(&r);
  r.gossip.score = NULL; /* its records are no part of the cache */
  rig_start(&r, 1, false);
  rig_peers(&r, 8, 1, false);
  rig_pass(&r, 1500000000);
  uint8_t *frame = malloc(data_n + 512), *counter;
  size_t n = rig_message(frame, data_n + 512, 0, data_n, &counter);
  msub_usage u;
  msub_usage_of(r.e, &u);
  size_t seen = u.seen_bytes, before = r.live;
  for (uint64_t i = 1; i <= N; i++) {
    memcpy(counter, &i, sizeof i);
    rig_receive(&r, r.peers[0], (msub_bytes){ frame, n });
  }
  msub_usage_of(r.e, &u);
  msub_rpc_iter it;
  msub_rpc_part part;
  msub_rpc_begin(&it, (msub_bytes){ frame, n });
  if (msub_rpc_next(&it, &part) != MSUB_P_MESSAGE) abort();
  double bytes = (double)(r.live - before - (u.seen_bytes - seen)) / N - (double)part.msg.raw.n - 16;
  free(frame);
  rig_free(&r);
  return bytes;
}
double run_c4_small(void) { return cached(64); }
double run_c4_1k(void) { return cached(1024); }

static double seen(unsigned n) {
  rig r;
  rig_init(&r);
  r.opts.seen_bytes = (size_t)1 << 30;
  rig_start(&r, 1, false);
  rig_peers(&r, 8, 1, false);
  rig_pass(&r, 1500000000);
  uint8_t frame[512], *counter;
  size_t len = rig_message(frame, sizeof frame, 0, 64, &counter);
  for (uint64_t i = 1; i <= n; i++) {
    memcpy(counter, &i, sizeof i);
    rig_receive(&r, r.peers[0], (msub_bytes){ frame, len });
  }
  msub_usage u;
  msub_usage_of(r.e, &u);
  double bytes = (double)u.seen_bytes / (double)u.seen;
  rig_free(&r);
  return bytes;
}
/* The index doubles: the mean over a doubling, and just after one. */
double run_c5(void) {
  double sum = 0;
  unsigned n = 0;
  for (unsigned k = 100000; k <= 196000; k += 12000, n++) sum += seen(k);
  return sum / n;
}
double run_c5_grown(void) { return seen(98400); }
