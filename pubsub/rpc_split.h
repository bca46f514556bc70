/* pubsub/rpc_split.h: cuts an RPC that is to be sent into RPCs that a receiver takes.
 *
 * A *load* is what one RPC carries, not encoded yet. A *fragment* is a load that fits, and its size. A load that
 * fits is handed on as it is. Otherwise it is packed greedily, in this order:
 *
 *     load:       message …                  ext  sub  graft  prune  iwant  idontwant  ihave    partial  test
 *                 ├── messages only ───────┤ ├── the rest: one fragment if it fits, otherwise packed too ───┤
 *     fragments:  [m m m] [m m] [m m m] [m]  [ext sub sub graft] [graft prune iwant] [iwant ihave partial test]
 *
 * Nothing gets lost and nothing is sent twice. The pieces that are not cut further: a message, a subscription, the
 * extensions, a GRAFT, a PRUNE, one id of a list, partial, test. Pieces of one kind keep their order.
 *
 *  - The ids of all IWANTs are one list in each fragment, those of all IDONTWANTs another one. (Beyond
 *    MSUB__SPLIT_IDS ids that come from several entries: one list for each further entry.)
 *  - An IHAVE that is cut has its topic in each fragment; two IHAVEs are never joined. One that came without ids
 *    stays. Apart from that no list without ids, no empty control and no empty fragment is made; a load with
 *    nothing in it has no fragments.
 *  - A packed fragment has at most MSUB__SPLIT_ENTRIES entries.
 *  - The extensions come in the first fragment that is not messages only: a receiver looks for them in the first RPC
 *    of a stream only. So the load that opens a stream has no messages.
 *  - A piece that is over a limit alone is shown alone, in its place, with `too_large`: not to be sent, the caller
 *    reports it as dropped. Of a list that is over a limit without any id (an IHAVE's topic is too long) that is the
 *    whole rest of the entry.
 *  - A PRUNE that is over a limit alone loses peers (px) from its end until it fits, and goes alone; px_cut tells
 *    how many it lost. It does not become two, because each would be a PRUNE of its own to the receiver, and it is
 *    not dropped, because its sender has left the mesh already; the peers are a hint only.
 *
 * Time is linear in the pieces; the bytes behind views are not read. Nothing is allocated; 24 KiB of stack. Sizes
 * saturate: what is as large as SIZE_MAX is too large, with all limits off too. */
#ifndef MSUB_PUBSUB_RPC_SPLIT_H
#define MSUB_PUBSUB_RPC_SPLIT_H
#include "meshsub/rpc.h"

#define MSUB__SPLIT_ENTRIES 256u
#define MSUB__SPLIT_IDS 512u

/* Views. names[i] is the topic of e[i], as in msub_ctl_encode(); an entry of no known kind is left out. */
typedef struct msub__load {
  const msub_msg *const *msgs;     /* of a message only wire_n is read */
  size_t n_msgs;
  const msub_ctl_entry *e;
  const msub_bytes *names;
  size_t n;
  const msub_rpc_part *partial;    /* as msub_partial_encode() reads it; NULL: none */
  bool ext, ext_partial, ext_test; /* announce extensions, and which */
  bool test;                       /* the test extension's own field */
} msub__load;

/* 0: that limit is off. */
typedef struct msub__split_limits {
  size_t frame_bytes;   /* of a fragment */
  size_t batch_bytes;   /* of a fragment of more than one piece. At the control limit of a receiver that counts a
                         * message's envelope as control, many small messages cannot exceed it together, and one
                         * large message still goes */
  size_t control_bytes; /* subscriptions and control, encoded; partial and test are not in it */
  size_t messages;      /* of a fragment */
  size_t subscriptions; /* of a fragment */
  size_t idontwant_ids; /* of a fragment, not only of an entry: receivers count per RPC */
} msub__split_limits;

typedef struct msub__fragment {
  msub__load load;     /* views into the load that was given, and arrays that live until the callback returns */
  size_t size;         /* encoded, without the length prefix: messages, and msub__rest_encode() */
  size_t control_size; /* what control_bytes limits */
  size_t px_cut;
  bool too_large;
} msub__fragment;

/* false: stop. May call anything, msub__rpc_split() too. */
typedef bool msub__split_fn(void *ud, const msub__fragment *f);

/* Shows every fragment in order. `lim` may be NULL. false: the callback stopped it. */
bool msub__rpc_split(const msub__load *load, const msub__split_limits *lim, msub__split_fn *fn, void *ud);

/* Everything but the messages, as fields of an RPC: what msub_ctl_encode() makes, with the extensions inside the
 * same control field (not every receiver merges two), then partial, then test. Ready to be msub_ctl.wire. Returns
 * the length needed; writes when cap suffices (out NULL: never). */
size_t msub__rest_encode(const msub__load *load, uint8_t *out, size_t cap);
#endif
