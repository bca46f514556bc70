/* meshsub/rpc.h: the codec of pubsub RPCs (protobuf; /floodsub/1.0.0 and /meshsub/1.0.0 to 1.3.0) and of
 * the frames that carry them, without I/O. For worlds (which put RPCs on a wire) and tools; routers and
 * policies never need it. The codec allocates nothing and copies nothing; only the frame splitter at the
 * end of this header owns a buffer.
 *
 * Decoding has two steps. msub_rpc_scan() walks the whole frame once, checks every length, wire type and
 * count against its limit and creates nothing. Then msub_rpc_next() yields the parts one by one as views
 * into the frame. A frame that passed the scan cannot fail in the second step; on one that did not, the
 * second step ends early and never leaves the frame.
 *
 * Rules, as proto2 has them and as go-libp2p-pubsub decodes (see docs/conformance.md):
 *  - a singular field that comes several times: the last one wins; singular submessages (control,
 *    extensions, partial, test extension) are merged;
 *  - varints of up to ten bytes are accepted however padded; above 64 bits is malformed;
 *  - a known field number in another wire type is an unknown field. One exception: publish (2) in another
 *    wire type is malformed;
 *  - unknown fields of any wire type are kept at every level. They are counted, re-encoded behind the known
 *    ones, and a Message's own are part of what its signature covers;
 *  - malformed: field number 0 or above 2^29-1, wire types 6 and 7, a length beyond the end of the enclosing
 *    message, groups (wire types 3, 4) that are not balanced or nested more than 100 deep;
 *  - topics and ids are bytes: no UTF-8 check, and a zero byte is a byte.
 *
 * A view of a field that is absent is {NULL, 0}; of one that is present and empty {p, 0} with p set. */
#ifndef MESHSUB_RPC_H
#define MESHSUB_RPC_H
#include "message.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a Message field by field ---- */

enum { /* msub_msg_view.present */
  MSUB_HAS_FROM = 1,
  MSUB_HAS_DATA = 2,
  MSUB_HAS_SEQNO = 4,
  MSUB_HAS_TOPIC = 8,
  MSUB_HAS_SIGNATURE = 16,
  MSUB_HAS_KEY = 32
};
/* `raw` is the Message as it stands in the frame. `prefix_n`: when > 0, the first prefix_n bytes of raw
 * are exactly what the author signed (fields 1 to 4 in order, each at most once and minimally encoded,
 * nothing unknown anywhere); 0: the signed bytes have to be made by msub_msg_signed_bytes(). */
typedef struct msub_msg_view {
  msub_bytes raw, from, data, seqno, topic, signature, key;
  uint32_t prefix_n;
  uint8_t present;
  bool has_unknown;
} msub_msg_view;

/* Parses one encoded Message. MALFORMED: `out` is unspecified. */
MSUB_API int msub_msg_parse(msub_bytes raw, msub_msg_view *out);
/* The bytes that the signature covers, without the prefix "libp2p-pubsub:": known fields 1 to 4 ascending
 * as present, then the unknown fields in the order they came (tags minimal, values as they came). Returns
 * the length needed, writes when cap suffices (out NULL: never). The result is never longer than raw:
 * re-encoding only shrinks. */
MSUB_API size_t msub_msg_signed_bytes(const msub_msg_view *v, uint8_t *out, size_t cap);
/* The canonical encoding: known fields ascending as present, then unknown ones. Same contract. */
MSUB_API size_t msub_msg_canonical(const msub_msg_view *v, uint8_t *out, size_t cap);

/* Encodes a Message from fields; a field is written when its bit is in v->present (raw, prefix_n and
 * has_unknown are not read). Returns the length needed; writes when cap suffices. */
MSUB_API size_t msub_msg_encode(const msub_msg_view *v, uint8_t *out, size_t cap);

/* ---- an RPC ---- */

/* Limits of the scan. Over one of them the frame is refused (MSUB_ERR_LIMIT). 0: that limit is off. */
typedef struct msub_rpc_limits {
  size_t frame_bytes; /* the RPC */
  /* Everything except: of each publish entry the length and bytes of its first data field, and partial (field
   * 10, whatever its wire type) as a whole. */
  size_t control_bytes;
  size_t publish;       /* publish entries */
  size_t message_bytes; /* one publish entry */
  size_t subscriptions;
  size_t id_bytes;      /* a message id in IHAVE, IWANT, IDONTWANT */
} msub_rpc_limits;
/* What the scan saw, on all levels. `why` names the limit (as the member of msub_rpc_limits) or the part
 * that was malformed (static text); NULL when accepted. */
typedef struct msub_rpc_counts {
  size_t subscriptions, publish, control, ihave, iwant, graft, prune, idontwant, ids, px, unknown; /* control: the field, even empty */
  size_t control_bytes;
  size_t extensions, partial, test; /* fields of extensions, even empty */
  const char *why;
} msub_rpc_counts;
/* OK, MALFORMED or LIMIT. `lim` may be NULL: no limits. `out` is always filled as far as the scan came; it
 * stops at the first thing that is wrong. */
MSUB_API int msub_rpc_scan(msub_bytes frame, const msub_rpc_limits *lim, msub_rpc_counts *out);

/* A list of byte strings inside the frame: the ids of an IHAVE, say. */
typedef struct msub_ids { const uint8_t *p, *end; uint32_t field; } msub_ids;
MSUB_API bool msub_ids_next(msub_ids *it, msub_bytes *id); /* false: the end */
/* The peer exchange entries of a PRUNE. `raw`: the entry that msub_px_next() returned last, as it stands
 * in the frame. */
typedef struct msub_px_iter { const uint8_t *p, *end; msub_bytes raw; } msub_px_iter;
MSUB_API bool msub_px_next(msub_px_iter *it, msub_px *px);

/* An unknown field. `value`: everything behind the tag as it came: of wire type 2 with its length, of a
 * group with its end tag. Its canonical form is the varint number << 3 | type, then value. */
typedef struct msub_field { uint32_t number; uint8_t type; msub_bytes value; } msub_field;

typedef enum msub_part {
  MSUB_P_END,
  MSUB_P_SUBSCRIPTION,
  MSUB_P_MESSAGE,
  MSUB_P_IHAVE,
  MSUB_P_IWANT,
  MSUB_P_GRAFT,
  MSUB_P_PRUNE,
  MSUB_P_IDONTWANT,
  MSUB_P_CONTROL,    /* once, when there was a control field at all, even an empty one */
  MSUB_P_EXTENSIONS, /* once, merged */
  MSUB_P_PARTIAL,    /* once, merged */
  MSUB_P_TEST,       /* the test extension's field; once, merged */
  MSUB_P_UNKNOWN     /* an unknown field of the RPC itself */
} msub_part;
/* One part; only the members named for its kind are set. Parts come in wire order, except CONTROL,
 * EXTENSIONS, PARTIAL and TEST: these come last, in this order. */
typedef struct msub_rpc_part {
  msub_part kind;
  msub_bytes raw;   /* the field's content (P_UNKNOWN: with its tag); not of the parts that come once */
  msub_bytes topic; /* P_SUBSCRIPTION, P_IHAVE, P_GRAFT, P_PRUNE, P_PARTIAL */
  bool has_topic;
  bool subscribe, has_subscribe; /* P_SUBSCRIPTION */
  bool requests_partial, has_requests_partial, sends_partial, has_sends_partial;
  msub_ids ids;       /* P_IHAVE, P_IWANT, P_IDONTWANT */
  msub_px_iter px;    /* P_PRUNE */
  uint64_t backoff_s; /* P_PRUNE; as the peer wrote it */
  bool has_backoff;
  bool ext_partial, has_ext_partial, ext_test, has_ext_test; /* P_EXTENSIONS */
  msub_bytes group, part_message, parts_metadata;            /* P_PARTIAL */
  bool has_group, has_part_message, has_parts_metadata;
  msub_field field;  /* P_UNKNOWN */
  msub_msg_view msg; /* P_MESSAGE */
} msub_rpc_part;
/* The walk over a frame that passed msub_rpc_scan. Opaque; copy it to remember a place. */
typedef struct msub_rpc_iter {
  msub_bytes frame;
  const uint8_t *p, *ctl, *ctl_end;
  uint32_t stage;
} msub_rpc_iter;
MSUB_API void msub_rpc_begin(msub_rpc_iter *it, msub_bytes frame);
MSUB_API msub_part msub_rpc_next(msub_rpc_iter *it, msub_rpc_part *out);

/* The unknown fields of a part (of a merged one: from all places where it stood, in wire order), of the
 * RPC itself (part NULL), of a message, of the peer exchange entry that px returned last. Opaque, without
 * anything to free. */
typedef struct msub_unknown {
  struct { const uint8_t *p, *end; uint32_t tag; } lv[3];
  uint8_t depth, shape;
} msub_unknown;
MSUB_API void msub_unknown_begin(msub_unknown *it, msub_bytes frame, const msub_rpc_part *part);
MSUB_API void msub_unknown_of_msg(msub_unknown *it, const msub_msg_view *v);
MSUB_API void msub_unknown_of_px(msub_unknown *it, const msub_px_iter *px);
MSUB_API bool msub_unknown_next(msub_unknown *it, msub_field *out); /* false: the end */

/* Re-encodes a scanned frame canonically (known fields ascending, each in the order it came, then unknown
 * fields, on every level). Returns the length needed; writes when cap suffices (out NULL: never). Never
 * longer than the frame. */
MSUB_API size_t msub_rpc_canonical(msub_bytes frame, uint8_t *out, size_t cap);

/* ---- writing ---- */

/* A frame is a varint length and the RPC. Sizes of the pieces that a world writes: */
#define MSUB_FRAME_PREFIX_MAX 10
MSUB_API size_t msub_varint_size(uint64_t v);
MSUB_API size_t msub_varint_put(uint8_t *out, uint64_t v); /* room for msub_varint_size(v) */
/* Reads a varint of up to ten bytes. Returns the bytes used, 0: more input is needed, -1: malformed (over
 * ten bytes or 64 bits). */
MSUB_API int msub_varint_get(msub_bytes in, uint64_t *v);

/* The encoded RPC without its frame prefix: for each message tag 0x12, length, wire; then ctl->wire.
 * Exactly rpc->wire_size bytes. */
MSUB_API size_t msub_rpc_size(const msub_rpc *rpc);
/* Writes the RPC; `out` has room for msub_rpc_size(). Returns the bytes written. */
MSUB_API size_t msub_rpc_encode(const msub_rpc *rpc, uint8_t *out);

/* Encodes control entries as fields of an RPC: subscriptions as field 1, PARTIAL and TEST as fields of their own
 * (at most one of each), the rest inside one field 3, entries of a kind together in the order given, nothing at all
 * for no entries. `names[i]` is the topic of
 * e[i] (empty for IWANT and IDONTWANT). Subscriptions carry fields 3 and 4 explicitly, as go has since
 * v0.16. A PRUNE with backoff_s 0 and no peers is written bare. Returns the length needed; writes when cap
 * suffices (out NULL: never). */
MSUB_API size_t msub_ctl_encode(const msub_ctl_entry *e, const msub_bytes *names, size_t n, uint8_t *out,
                                size_t cap);

/* Extensions, each as fields of an RPC to be written beside what msub_ctl_encode() makes (a receiver
 * merges two control fields): the announcement of which extensions we speak, the test extension's own
 * field, and partial (of `part` the members of P_PARTIAL are read). Same contract. */
MSUB_API size_t msub_ext_encode(bool partial, bool test, uint8_t *out, size_t cap);
MSUB_API size_t msub_test_encode(uint8_t *out, size_t cap);
MSUB_API size_t msub_partial_encode(const msub_rpc_part *part, uint8_t *out, size_t cap);

/* ---- frames out of a stream ---- */

enum { /* flags of msub_frames_init */
  /* A length that is padded or longer than 63 bits is malformed; with this flag it is swallowed once and
   * the bytes behind it are read as a new length, as the go implementation does. */
  MSUB_FRAMES_GO_PARITY = 1
};
/* The inbound bytes of one stream. Initialise, then for every piece that arrives feed it and call next
 * until it returns 0. Opaque. Frames of length zero are skipped. */
typedef struct msub_frames {
  msub_mem mem;
  msub_bytes in;
  uint8_t *buf;
  size_t limit, have, cap;
  uint64_t need;
  unsigned flags, prefix_n;
  int err;
  bool again, shown;
} msub_frames;
/* `limit`: the longest frame (0: any). Nothing is allocated here; fini frees. */
MSUB_API void msub_frames_init(msub_frames *f, const msub_mem *mem, size_t limit, unsigned flags);
MSUB_API void msub_frames_fini(msub_frames *f);
/* Hands in bytes; the piece before must be used up. They stay the caller's and must stay valid until next
 * has returned 0. */
MSUB_API void msub_frames_feed(msub_frames *f, msub_bytes in);
/* 1: `frame` is the next RPC, valid until the next call (a view into the fed bytes when it lies in them
 * wholly). 0: all bytes are used up. < 0: the stream is broken, and every further call says so again:
 * MALFORMED (length), LIMIT (announced longer than the limit; nothing was allocated for it), NOMEM. The
 * buffer grows with what arrives, not with what is announced: it is at most twice the bytes of the
 * incomplete frame (and 1 KiB). */
MSUB_API int msub_frames_next(msub_frames *f, msub_bytes *frame);
/* What next has not looked at yet; whether the stream stands inside a frame (its end would cut one off);
 * the buffer's size. */
MSUB_API msub_bytes msub_frames_rest(const msub_frames *f);
MSUB_API bool msub_frames_inside(const msub_frames *f);
MSUB_API size_t msub_frames_held(const msub_frames *f);

#ifdef __cplusplus
}
#endif
#endif
