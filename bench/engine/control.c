/* A8 to A11: IHAVE, IWANT, subscriptions, churn. */
#include "bench/engine/engine.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDS = 5000, ID = 20 };
static uint8_t id_bytes[IDS][ID];
static msub_bytes ids[IDS];

static void make_ids(uint32_t round) {
  for (uint32_t i = 0; i < IDS; i++) {
    uint64_t x = (uint64_t)round << 32 | i;
    memset(id_bytes[i], 0x55, ID);
    memcpy(id_bytes[i], &x, sizeof x);
    ids[i] = (msub_bytes){ id_bytes[i], ID };
  }
}

/* us per id that is looked at. */
static double ihave(bool go, size_t looked_at) {
  rig r;
  rig_init(&r);
  if (go) {
    msub_gossipsub_opts_go_parity(&r.gossip);
    r.opts.go_parity = true;
  }
  rig_start(&r, 1, false);
  rig_peers(&r, 8, 1, false);
  rig_pass(&r, 1500000000);
  enum { N = 60 };
  double sum = 0;
  for (uint32_t i = 0; i < N; i++) {
    make_ids(i);
    msub_ctl_entry e = { .kind = MSUB_C_IHAVE, .ids = ids, .n_ids = IDS };
    double from = thread_cpu();
    rig_control(&r, r.peers[i % 8], &e, 1, msub_str(rig_topic(0)));
    sum += thread_cpu() - from;
    rig_pass(&r, 1000000000);
  }
  rig_free(&r);
  return sum * 1e6 / (N * (double)looked_at);
}
double run_a8(void) { return ihave(false, 2000); }
double run_a8_go(void) { return ihave(true, IDS); }

double run_a9(void) {
  rig r;
  rig_init(&r);
  rig_start(&r, 1, false);
  rig_peers(&r, 8, 1, false);
  rig_pass(&r, 1500000000);
  static uint8_t frame[2048];
  uint8_t *counter;
  size_t n = rig_message(frame, sizeof frame, 0, 1024, &counter);
  for (uint64_t i = 0; i < IDS; i++) {
    memcpy(counter, &i, sizeof i);
    memcpy(id_bytes[i], counter, 16);
    ids[i] = (msub_bytes){ id_bytes[i], 16 };
    rig_receive(&r, r.peers[0], (msub_bytes){ frame, n });
  }
  /* told of the topic, so that they may ask */
  for (int k = 1; k < 8; k++) {
    if (msub_offer(r.e, r.peers[k], r.topics[0], ids, 1, &r.now) == MSUB_OK) continue;
    fprintf(stderr, "meshsub-bench: a peer cannot be told\n");
    exit(1);
  }
  msub_ctl_entry e = { .kind = MSUB_C_IWANT, .ids = ids, .n_ids = IDS };
  uint64_t before = r.messages;
  double from = thread_cpu();
  for (int k = 1; k < 8; k++) rig_control(&r, r.peers[k], &e, 1, (msub_bytes){ NULL, 0 });
  double us = (thread_cpu() - from) * 1e6 / (7.0 * IDS);
  if (r.messages - before != 7u * IDS) {
    fprintf(stderr, "meshsub-bench: %llu of %d messages were served\n", (unsigned long long)(r.messages - before), 7 * IDS);
    exit(1);
  }
  rig_free(&r);
  return us;
}

/* CPU us for all of them. */
static double subscribe_once(size_t peers, size_t topics, size_t joined) {
  rig r;
  rig_init(&r);
  rig_start(&r, joined, false);
  rig_peers(&r, peers, 0, false);
  msub_ctl_entry e[100];
  msub_bytes names[100];
  static char text[100][32];
  static uint8_t buf[8192];
  double sum = 0;
  for (size_t p = 0; p < peers; p++)
    for (size_t t = 0; t < topics; t += 100) {
      for (size_t i = 0; i < 100; i++) {
        snprintf(text[i], sizeof text[i], "topic %zu", t + i);
        names[i] = msub_str(text[i]);
        e[i] = (msub_ctl_entry){ .kind = MSUB_C_SUB };
      }
      size_t n = msub_ctl_encode(e, names, 100, buf, sizeof buf);
      double from = thread_cpu();
      rig_receive(&r, r.peers[p], (msub_bytes){ buf, n });
      sum += thread_cpu() - from;
    }
  rig_free(&r);
  return sum * 1e6;
}
static double subscribe(size_t peers, size_t topics, size_t joined, unsigned times) {
  double sum = 0;
  for (unsigned i = 0; i < times; i++) sum += subscribe_once(peers, topics, joined);
  return sum / (double)(times * peers * topics);
}
double run_a10_one(void) { return subscribe(1, 1000, 1, 50); } /* one of them is over before the caches know the code */
double run_a10_many(void) { return subscribe(1000, 100, 100, 1); }
void work_a10(unsigned n) { (void)subscribe_once(n / 100, 100, 100); }

/* us for the whole life of a peer: connect, subscribe, graft, prune, disconnect. */
double run_a11(void) {
  rig r;
  rig_init(&r);
  rig_start(&r, 1, false);
  enum { N = 1000, ROUNDS = 20 };
  static msub_session s[N];
  double from = thread_cpu();
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < N; i++) {
      char id[32];
      snprintf(id, sizeof id, "peer %d", i);
      msub_session_opts o = { .peer_id = msub_str(id), .protocol = "/meshsub/1.2.0", .agreed = true, .outbound = i % 2 };
      if (msub_session_up(r.e, &o, &r.now, &s[i]) != MSUB_OK) abort();
      msub_ctl_entry e[2] = { { .kind = MSUB_C_SUB }, { .kind = MSUB_C_GRAFT } };
      rig_control(&r, s[i], e, 2, msub_str(rig_topic(0)));
    }
    for (int i = 0; i < N; i++) {
      msub_ctl_entry e = { .kind = MSUB_C_PRUNE, .backoff_s = 60 };
      rig_control(&r, s[i], &e, 1, msub_str(rig_topic(0)));
      if (msub_session_down(r.e, s[i], &r.now) != MSUB_OK) abort();
    }
    rig_pass(&r, 1000000000);
  }
  double us = (thread_cpu() - from) * 1e6 / (N * ROUNDS);
  rig_free(&r);
  return us;
}
