#include "bench/engine/engine.h"

const engine_bench engine_benches[] = {
  { "A1", "8 copies, 1 KiB", "us/unique", "engine: 8 copies of each 1 KiB message in, 7 forwards and 7 IDONTWANT out", run_a1, work_a1 },
  { "A1", "one more copy", "us/duplicate", "", run_dup, NULL },
  { "A2", "8 copies, 64 topics, 256 B", "us/unique", "engine: as A1 on 64 topics, 256 B, too small for IDONTWANT", run_a2, work_a2 },
  { "A3", "1 copy, 1 KiB", "us/unique", "engine: as A1 without the duplicates", run_a3, work_a3 },
  { "A4", "8 copies, signed", "us/unique", "engine: as A1, signed: one Ed25519 verification", run_a4, NULL },
  { "A4", "the verification alone", "us/unique", "", run_a4_alone, NULL },
  { "A5", "1,000 peers x 10 topics, steady", "ms/heartbeat", "engine: heartbeat with nothing cached", run_a5_10, NULL },
  { "A5", "1,000 peers x 100 topics, steady", "ms/heartbeat", "", run_a5_100, NULL },
  { "A5", "10,000 peers x 100 topics, steady", "ms/heartbeat", "", run_a5_10k, NULL },
  { "A5", "1,000 peers x 100 topics, the first", "ms/heartbeat", "", run_a5_first, NULL },
  { "A8", "IHAVE of 5,000, work limits", "us/id", "engine: unknown ids of 20 B in an IHAVE, per id looked at", run_a8, NULL },
  { "A8", "IHAVE of 5,000, go parity", "us/id", "", run_a8_go, NULL },
  { "A9", "IWANT of 5,000, 1 KiB", "us/id", "engine: cached ids asked for, 1 KiB each", run_a9, NULL },
  { "A10", "1 peer x 1,000 topics", "us/subscription", "engine: subscriptions, per (peer, topic)", run_a10_one, NULL },
  { "A10", "1,000 peers x 100 topics", "us/subscription", "", run_a10_many, NULL },
  { "A11", "1,000 peers", "us/peer", "engine: connect, subscribe, graft, prune, disconnect", run_a11, NULL },
  { "C3", "idle instance", "B", "memory: an engine, a session, a link, an engine with 20 sessions and a mesh", run_c3_idle, NULL },
  { "C3", "session", "B", "", run_c3_session, NULL },
  { "C3", "link", "B", "", run_c3_link, NULL },
  { "C3", "20 sessions, mesh formed", "B", "", run_c3_many, NULL },
  { "C4", "64 B", "B", "memory: a cached message beyond its encoded bytes and id", run_c4_small, NULL },
  { "C4", "1 KiB", "B", "", run_c4_1k, NULL },
  { "C5", "mean", "B", "memory: a seen id", run_c5, NULL },
  { "C5", "just after growth", "B", "", run_c5_grown, NULL },
};
const size_t n_engine_benches = sizeof engine_benches / sizeof *engine_benches;
