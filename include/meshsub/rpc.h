/* meshsub/rpc.h: the codec of pubsub RPCs (protobuf, /floodsub/1.0.0 and /meshsub/1.0.0 to 1.3.0), without I/O and without
 * allocation. For worlds (which put RPCs on a wire) and tools; routers and policies never need it.
 *
 * Decoding has two steps. msub_rpc_scan() walks the whole frame once, checks every length, wire type and count against its
 * limit and creates nothing. Then msub_rpc_next() yields the parts one by one as views into the frame. A frame that passed the
 * scan cannot fail in the second step.
 *
 * Rules (proto2, as the go implementation decodes; see docs/conformance.md): a field that is repeated although it is singular: the last one wins, sub-messages
 * are merged; varints of up to ten bytes are accepted however padded; unknown fields are skipped and counted, and are part of what a signature covers; groups (wire types 3, 4) are skipped when
 * balanced; field number 0, wire types 6 and 7, a known field in a wrong wire type, and lengths beyond the end are malformed. Ids and topics are bytes: no UTF-8 check. */
#ifndef MESHSUB_RPC_H
#define MESHSUB_RPC_H
#include "message.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a Message field by field ---- */

enum { /* msub_msg_view.present */
  MSUB_HAS_FROM = 1, MSUB_HAS_DATA = 2, MSUB_HAS_SEQNO = 4, MSUB_HAS_TOPIC = 8, MSUB_HAS_SIGNATURE = 16, MSUB_HAS_KEY = 32
};
/* `raw` is the Message as it stands in the frame. `prefix_n`: when > 0, the first prefix_n bytes of raw are exactly what the
 * author signed (fields 1 to 4 in order, each once and minimally encoded, nothing unknown); 0: the signed bytes have to be made by msub_msg_signed_bytes(). */
typedef struct msub_msg_view {
  msub_bytes raw, from, data, seqno, topic, signature, key;
  uint32_t prefix_n;
  uint8_t present;
  bool has_unknown;
} msub_msg_view;

/* Parses one encoded Message. MALFORMED: `out` is unspecified. */
MSUB_API int msub_msg_parse(msub_bytes raw, msub_msg_view *out);
/* The bytes that the signature covers, without the prefix "libp2p-pubsub:": known fields 1 to 4 ascending as present, then the
 * unknown fields as they came. Returns the length needed, writes when cap suffices. The result is never longer than raw (minimal
 * re-encoding only shrinks). */
MSUB_API size_t msub_msg_signed_bytes(const msub_msg_view *v, uint8_t *out, size_t cap);
/* The canonical encoding: known fields ascending as present, then unknown ones. Same contract. */
MSUB_API size_t msub_msg_canonical(const msub_msg_view *v, uint8_t *out, size_t cap);

/* Encodes a Message from fields; a field is written when its bit is in v->present (raw, prefix_n are not read). Returns the
 * length needed; writes when cap suffices. */
MSUB_API size_t msub_msg_encode(const msub_msg_view *v, uint8_t *out, size_t cap);

/* ---- an RPC ---- */

/* Limits of the scan. Over one of them the frame is refused (MSUB_ERR_LIMIT). 0: that limit is off. */
typedef struct msub_rpc_limits {
  size_t frame_bytes;   /* the RPC */
  size_t control_bytes; /* everything except: per publish entry, the length prefix and bytes of its first data field; partial as a whole */
  size_t publish;       /* publish entries */
  size_t message_bytes; /* one publish entry */
  size_t subscriptions;
  size_t id_bytes;      /* a message id in IHAVE, IWANT, IDONTWANT */
} msub_rpc_limits;
/* What the scan saw; `why` names the limit or rule that refused the frame (static text), NULL when accepted. */
typedef struct msub_rpc_counts {
  size_t subscriptions, publish, ihave, iwant, graft, prune, idontwant, ids, px, unknown;
  size_t control_bytes;
  const char *why;
} msub_rpc_counts;
/* OK, MALFORMED or LIMIT. `lim` may be NULL: no limits. `out` is always filled as far as the scan came. */
MSUB_API int msub_rpc_scan(msub_bytes frame, const msub_rpc_limits *lim, msub_rpc_counts *out);

/* A list of byte strings inside the frame: the ids of an IHAVE, say. */
typedef struct msub_ids { const uint8_t *p, *end; uint32_t field; } msub_ids;
MSUB_API bool msub_ids_next(msub_ids *it, msub_bytes *id); /* false: the end */
/* The peer exchange entries of a PRUNE. */
typedef struct msub_px_iter { const uint8_t *p, *end; } msub_px_iter;
MSUB_API bool msub_px_next(msub_px_iter *it, msub_px *px);

typedef enum msub_part {
  MSUB_P_END, MSUB_P_SUBSCRIPTION, MSUB_P_MESSAGE, MSUB_P_IHAVE, MSUB_P_IWANT, MSUB_P_GRAFT, MSUB_P_PRUNE, MSUB_P_IDONTWANT,
  MSUB_P_CONTROL,    /* once, when there was a control field at all, even an empty one */
  MSUB_P_EXTENSIONS, /* once, merged; after the control parts */
  MSUB_P_PARTIAL,    /* once, merged */
  MSUB_P_TEST,       /* the test extension's field */
  MSUB_P_UNKNOWN     /* an unknown field of the RPC itself */
} msub_part;
/* One part; only the members named for its kind are set. Parts come in wire order, except those that are merged: these come last, in the order of the enum. */
typedef struct msub_rpc_part {
  msub_part kind;
  msub_bytes raw;         /* the field's content (of P_UNKNOWN: tag included) */
  bool has_topic, subscribe, has_subscribe;      /* P_SUBSCRIPTION */
  bool requests_partial, has_requests_partial, sends_partial, has_sends_partial;
  msub_bytes topic;       /* P_SUBSCRIPTION, P_IHAVE, P_GRAFT, P_PRUNE, P_PARTIAL */
  msub_ids ids;           /* P_IHAVE, P_IWANT, P_IDONTWANT */
  msub_px_iter px;        /* P_PRUNE */
  uint64_t backoff_s; bool has_backoff;          /* P_PRUNE */
  bool ext_partial, has_ext_partial, ext_test, has_ext_test;      /* P_EXTENSIONS */
  msub_bytes group, part_message, parts_metadata; bool has_group, has_part_message, has_parts_metadata; /* P_PARTIAL */
  msub_msg_view msg;      /* P_MESSAGE */
} msub_rpc_part;
/* The walk over a frame that passed msub_rpc_scan. Opaque; copy it to remember a place. */
typedef struct msub_rpc_iter { msub_bytes frame; const uint8_t *p, *ctl, *ctl_end; uint32_t stage; } msub_rpc_iter;
MSUB_API void msub_rpc_begin(msub_rpc_iter *it, msub_bytes frame);
MSUB_API msub_part msub_rpc_next(msub_rpc_iter *it, msub_rpc_part *out);

/* Re-encodes a scanned frame canonically (known fields ascending, each in the order it came, then unknown fields, on every level).
 * Returns the length needed; writes when cap suffices. Never longer than the frame. */
MSUB_API size_t msub_rpc_canonical(msub_bytes frame, uint8_t *out, size_t cap);

/* ---- writing ---- */

/* A frame is a varint length and the RPC. Sizes of the pieces that a world writes: */
#define MSUB_FRAME_PREFIX_MAX 10
MSUB_API size_t msub_varint_size(uint64_t v);
MSUB_API size_t msub_varint_put(uint8_t *out, uint64_t v); /* room for msub_varint_size(v) */
/* Reads a varint of up to ten bytes. Returns the bytes used, 0: more input is needed, -1: malformed (over ten bytes or 64 bits). */
MSUB_API int msub_varint_get(msub_bytes in, uint64_t *v);

/* The encoded RPC without its frame prefix: for each message tag 0x12, length, wire; then ctl->wire. Exactly rpc->wire_size bytes. */
MSUB_API size_t msub_rpc_size(const msub_rpc *rpc);
/* Writes the RPC; `out` has room for msub_rpc_size(). Returns the bytes written. */
MSUB_API size_t msub_rpc_encode(const msub_rpc *rpc, uint8_t *out);

/* Encodes control entries as fields of an RPC (subscriptions as field 1, the rest inside one field 3). `names[i]` is the topic of
 * e[i] (empty for IWANT and IDONTWANT). Subscriptions carry fields 3 and 4 explicitly, as go has since v0.16. A PRUNE with backoff_s 0 and no
 * peers is written bare. Returns the length needed; writes when cap suffices. */
MSUB_API size_t msub_ctl_encode(const msub_ctl_entry *e, const msub_bytes *names, size_t n, uint8_t *out, size_t cap);

#ifdef __cplusplus
}
#endif
#endif
