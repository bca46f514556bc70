/* bench/engine: the engine and its router alone: prepared RPCs in, framed bytes out into a buffer, no network.
 *
 *   rig.c        the world, peers, messages     hot.c      A1 to A4: messages and their copies
 *   control.c    A8 to A11: control, churn      heartbeat.c A5
 *   memory.c     C3 to C5: bytes                names.c    N1, N2: IPNS names
 *   durable.c    N3, N4: records and a disk      list.c    what there is, one repetition
 *
 * A figure is CPU time of the thread; virtual time goes on as fast as it is told to. */
#ifndef BENCH_ENGINE_ENGINE_H
#define BENCH_ENGINE_ENGINE_H
#include "meshsub/crypto.h"
#include "meshsub/engine.h"
#include "meshsub/gossipsub.h"
#include "meshsub/rpc.h"

#define RIG_TOPICS 100
typedef struct rig {
  msub_shared *sh;
  const msub_plan *plan;
  msub_engine *e;
  msub_now now;
  msub_gossipsub_opts gossip;
  msub_engine_opts opts;
  msub_session *peers;
  size_t n_peers, n_topics;
  msub_topic topics[RIG_TOPICS];
  uint64_t rpcs, bytes, messages; /* sent */
  uint8_t *out;                   /* where framed bytes go */
  size_t live;                    /* bytes of the counting allocator, with what malloc adds */
} rig;

extern const msub_channel_policy rig_policy;
/* Make: defaults; change gossip and opts before start. Anonymous messages, ids from the first 16 bytes of the payload. */
void rig_init(rig *r);
void rig_start(rig *r, size_t n_topics, bool signed_);
void rig_free(rig *r);
/* Adds peers that speak 1.2; each announces the first n_topics topics, and grafts us when told so. */
void rig_peers(rig *r, size_t n, size_t n_topics, bool graft);
/* Time goes on; heartbeats that are due run. */
void rig_pass(rig *r, uint64_t ns);
void rig_receive(rig *r, msub_session s, msub_bytes frame);
/* One entry as an RPC from a peer. */
void rig_control(rig *r, msub_session s, const msub_ctl_entry *e, size_t n, msub_bytes topic);
const char *rig_topic(size_t i);
/* An RPC with one anonymous message; *counter points to the 8 bytes that make it unique. */
size_t rig_message(uint8_t *out, size_t cap, size_t topic, size_t data_n, uint8_t **counter);
double thread_cpu(void); /* seconds */

typedef struct engine_bench {
  const char *id, *variant, *unit, *about;
  double (*run)(void); /* one repetition: the figure */
  void (*work)(unsigned n); /* for instruction counts: set up, then n units of the path; or NULL */
} engine_bench;
extern const engine_bench engine_benches[];
extern const size_t n_engine_benches;

double run_a1(void), run_a2(void), run_a3(void), run_a4(void), run_a4_alone(void), run_dup(void);
void work_a1(unsigned n), work_a2(unsigned n), work_a3(unsigned n);
double run_a5_10(void), run_a5_100(void), run_a5_10k(void), run_a5_scored(void), run_a5_first(void);
double run_a6(void), run_a7_full(void), run_a7_unchanged(void);
void work_a6(unsigned n);
double run_a8(void), run_a8_go(void), run_a9(void), run_a10_one(void), run_a10_many(void), run_a11(void);
void work_a10(unsigned n);
double run_c3_idle(void), run_c3_session(void), run_c3_link(void), run_c3_scored(void), run_c3_many(void), run_c4_small(void), run_c4_1k(void), run_c5(void), run_c5_grown(void);
double run_n3_both(void), run_n3_v2(void), run_n4(void);
double run_n1_followed(void), run_n1_stored(void), run_n2_bytes(void), run_n2_start(void);
#endif
