/* meshsub/message.h: messages, control parts and RPCs as the engine, routers, policies and worlds see them.
 *
 * A message is encoded once in its life: what a peer sent is kept as it came and forwarded byte for byte, an own publish is
 * encoded at publish. Messages and control parts are immutable, reference counted (plain counts: one thread) and come from the
 * allocator of their msub_shared, so every engine of that shared may hold them. */
#ifndef MESHSUB_MESSAGE_H
#define MESHSUB_MESSAGE_H
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MSUB_MAX_ID 128 /* bytes of a message id */

/* One block: this header, the encoded Message (`wire`), then the id.
 *
 *     ┌─────── msub_msg, 28 bytes ───────┐┌──────────── wire (wire_n bytes) ────────────┐┌─ id ─┐
 *     │ refs, offsets into wire, lengths ││ 0a <from> 12 <data> 1a <seqno> 22 <topic> … ││ id_n │
 *     └──────────────────────────────────┘└─────────────────────────────────────────────┘└──────┘
 *
 * Offsets have 24 bits: no RPC is longer than 16 MiB, so nothing in it lies further.
 * A *borrowed* message (a message-id function is shown one) has its wire in the received frame and no id; it dies with the call.
 * Read a message with the functions below only. */
typedef struct msub_msg {
  uint32_t refs;
  uint32_t wire_n;
  uint32_t topic_name : 24; /* index of the topic's name in the shared: msub_name_bytes() */
  uint32_t id_fn : 8; /* whose function made the id (an index in the shared): another engine with the same one need not run it */
  uint32_t data_n : 24, id_n : 8;
  uint32_t data_at : 24, from_n : 8;
  uint32_t from_at : 24, seqno_n : 8;
  uint32_t seqno_at : 24;
  uint32_t present : 7;  /* MSUB_HAS_* (rpc.h): which fields are there, even empty */
  uint32_t borrowed : 1; /* it is the first member of a msub_msg_borrowed */
} msub_msg;
typedef struct msub_msg_borrowed {
  msub_msg m;
  const uint8_t *wire;
} msub_msg_borrowed;

/* The encoded Message, wire_n bytes. */
static inline const uint8_t *msub_wire(const msub_msg *m) {
  return m->borrowed ? ((const msub_msg_borrowed *)(const void *)m)->wire : (const uint8_t *)(m + 1);
}

/* The fields; {p, 0} when the field is absent or empty. Views, valid as long as the message is held. */
static inline msub_bytes msub_data(const msub_msg *m) { return (msub_bytes){ msub_wire(m) + m->data_at, m->data_n }; }
static inline msub_bytes msub_from(const msub_msg *m) { return (msub_bytes){ msub_wire(m) + m->from_at, m->from_n }; }
static inline msub_bytes msub_seqno(const msub_msg *m) { return (msub_bytes){ msub_wire(m) + m->seqno_at, m->seqno_n }; }
/* The id; only of a message that is not borrowed. */
static inline msub_bytes msub_id(const msub_msg *m) { return (msub_bytes){ msub_wire(m) + m->wire_n, m->id_n }; }

/* A part of an RPC that is no message. Topics are named by their index in the shared (msub_name_bytes); 0: a name that nobody
 * here knows. ids and px are views: into the frame, or into the msub_ctl that holds the entry, or that it holds (`of`). */
typedef enum msub_ctl_kind {
  MSUB_C_SUB,   /* flags: MSUB_SUB_* */
  MSUB_C_UNSUB,
  MSUB_C_IHAVE,
  MSUB_C_IWANT, /* no topic */
  MSUB_C_GRAFT,
  MSUB_C_PRUNE, /* backoff_s; peer exchange entries travel in px */
  MSUB_C_IDONTWANT,
  MSUB_C_EXTENSIONS, /* flags: MSUB_EXT_*; no topic. Said once, in the first RPC of a stream */
  MSUB_C_PARTIAL,    /* n_ids = 3: group, partial message, parts metadata; of the last two an empty one is none */
  MSUB_C_TEST        /* the test extension's own field; no topic */
} msub_ctl_kind;
enum { MSUB_SUB_REQUESTS_PARTIAL = 1, MSUB_SUB_SENDS_PARTIAL = 2 };
/* Extensions of gossipsub 1.3. LATE: received, but not in the first RPC of the peer's stream, where it belongs. */
enum { MSUB_EXT_PARTIAL = 1, MSUB_EXT_TEST = 2, MSUB_EXT_LATE = 128 };
typedef struct msub_px { msub_bytes peer_id, record; } msub_px; /* record: signed envelope, may be empty */
typedef struct msub_ctl_entry {
  uint8_t kind, flags;
  uint16_t n_px;
  uint32_t n_ids;
  uint32_t topic_name;
  uint64_t backoff_s; /* as the peer wrote it: clamp before use */
  const msub_bytes *ids;
  const msub_px *px;
  /* The entry is e[0] of this one, unchanged: its bytes and views are there already (msub_r_ctl_new). NULL: it stands for itself; so in a copy that outlives this one. */
  const struct msub_ctl *of;
} msub_ctl_entry;
/* What one call carries: subscriptions first, what extensions bring (EXTENSIONS, PARTIAL, TEST) last. One IHAVE serves all its targets: it is encoded once and shared. Borrowed ones (a router's `control` is
 * shown some) have no wire and die with the call. */
typedef struct msub_ctl {
  uint32_t refs;
  uint32_t n;
  const msub_ctl_entry *e;
  const uint8_t *wire; /* the entries as fields of an RPC, ready to be sent; NULL in a received one */
  uint32_t wire_n;
} msub_ctl;

/* An RPC to be sent: a view that lives on the caller's stack for one call. On the wire messages go first, control last. */
typedef struct msub_rpc {
  const msub_msg *const *msgs;
  size_t n_msgs;
  const msub_ctl *ctl; /* NULL: none */
  size_t wire_size;    /* encoded bytes, without the length prefix of the frame */
} msub_rpc;

struct msub_shared;
/* hold: keep a message after the call that showed it; returns it. Not for a borrowed message (returns NULL). Cannot fail
 * otherwise. drop: give it back; the last one frees. NULL is allowed in both drops. */
MSUB_API const msub_msg *msub_msg_hold(const msub_msg *m);
MSUB_API const msub_ctl *msub_ctl_hold(const msub_ctl *c);
MSUB_API void msub_msg_drop(struct msub_shared *sh, const msub_msg *m);
MSUB_API void msub_ctl_drop(struct msub_shared *sh, const msub_ctl *c);

#ifdef __cplusplus
}
#endif
#endif
