/* host/lanes.h: what a session has to send: RPCs as references, in lanes by urgency, each bounded in bytes.
 *
 *   hello ──────────┐ the RPCs that the engine sent while it offered a protocol; they belong to one stream
 *   again ──────────┤ one that a broken stream had begun
 *   control ────────┤
 *   own ────────────┼──▶ active: the RPC that is being written; once begun it is finished first
 *   forwarded ──────┤
 *   gossip ─────────┘
 *
 * When the stream breaks, the active RPC is written again from its beginning on the next one, behind its
 * hello; the old hello is dropped, because the engine makes a new one. An RPC counts as the bytes of its
 * frame. In the forwarded and gossip lanes what the transport still holds counts too, so that a peer which
 * does not read costs no more than the bound. */
#ifndef MSUB_HOST_LANES_H
#define MSUB_HOST_LANES_H
#include "base/ring.h"
#include "meshsub/host.h"

/* One RPC. A forward is one message, which needs no array. */
typedef struct msub__ref {
  union {
    const msub_msg *one;   /* n == 1 */
    const msub_msg **many; /* n > 1: an array of n */
  } msgs;
  const msub_ctl *ctl;
  uint32_t n;
  uint32_t wire; /* encoded bytes without the length prefix */
} msub__ref;

#define MSUB__LANE_HELLO MSUB_LANES
typedef struct msub__lanes {
  msub__ring q[MSUB_LANES + 1];
  size_t bytes[MSUB_LANES + 1]; /* of frames in the rings */
  size_t flying[MSUB_LANES];    /* copied into the send that is outstanding */
  msub__ref active;
  uint32_t active_lane;
  size_t active_n, active_at; /* bytes of its frame; written. active_n == 0: none */
  msub__ref again;            /* was begun on a stream that broke: first after the hello */
  uint32_t again_lane;
  size_t again_n; /* 0: none */
} msub__lanes;

typedef struct msub__lanes_bounds {
  size_t bytes[MSUB_LANES];
  msub_overflow rule[MSUB_LANES];
} msub__lanes_bounds;
/* Told what is dropped although it had been taken; rpc dies with the call. */
typedef void (*msub__lanes_dropped)(void *ud, const msub_rpc *rpc);

void msub__lanes_init(msub__lanes *l);
/* Gives everything back without telling. */
void msub__lanes_fini(msub__lanes *l, const msub_mem *m, msub_shared *sh);

typedef enum msub__lanes_answer {
  MSUB__LANES_TAKEN,
  MSUB__LANES_FULL,
  MSUB__LANES_TOO_SLOW,
  MSUB__LANES_NOMEM
} msub__lanes_answer;
/* Queues an RPC: holds its parts. lane: MSUB__LANE_HELLO too, which has no bound. TOO_SLOW: not taken, the
 * rule is DISCONNECT. */
msub__lanes_answer msub__lanes_push(msub__lanes *l, const msub_mem *m, msub_shared *sh,
                                    const msub__lanes_bounds *b, unsigned lane, const msub_rpc *rpc,
                                    msub__lanes_dropped dropped, void *ud);
/* Whether it would fit without anything being dropped. */
bool msub__lanes_fits(const msub__lanes *l, const msub__lanes_bounds *b, unsigned lane, const msub_rpc *rpc);

/* What waits in each lane; the RPC that is being written belongs to its own. */
void msub__lanes_by_lane(const msub__lanes *l, size_t bytes[MSUB_LANES]);
/* Bytes that may be written now: all, or only the hello (and what was begun of it). */
size_t msub__lanes_pending(const msub__lanes *l, bool all);
/* The next n of them; n <= pending. */
void msub__lanes_pull(msub__lanes *l, const msub_mem *m, msub_shared *sh, uint8_t *dst, size_t n);
void msub__lanes_sent(msub__lanes *l); /* the transport has nothing of ours any more */

/* Takes out RPCs of exactly one message, the one with this id, of which no byte stands on the stream in use; tells
 * nobody. How many. */
unsigned msub__lanes_withdraw(msub__lanes *l, const msub_mem *m, msub_shared *sh, msub_bytes id);

/* Another stream will be used: see above. */
void msub__lanes_restart(msub__lanes *l, const msub_mem *m, msub_shared *sh);
/* Drops all, telling of what is no hello. */
void msub__lanes_drop(msub__lanes *l, const msub_mem *m, msub_shared *sh, msub__lanes_dropped dropped,
                      void *ud);
/* Gives back memory of empty rings. */
void msub__lanes_trim(msub__lanes *l, const msub_mem *m);
size_t msub__lanes_queued(const msub__lanes *l);
#endif
