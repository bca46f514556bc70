/* pubsub/rpc_wire.h: protobuf's wire format, read from bytes that a peer chose.
 *
 * Every reader takes [p, end) and returns the byte behind what it read, or NULL when the bytes are
 * malformed or cut off. Nothing is read outside [p, end), nothing is allocated, nothing recurses deeper
 * than the RPC's own nesting. */
#ifndef MSUB_PUBSUB_RPC_WIRE_H
#define MSUB_PUBSUB_RPC_WIRE_H
#include <string.h>
#include "meshsub/rpc.h"

#define MSUB__VARINT 0u
#define MSUB__I64 1u
#define MSUB__LEN 2u
#define MSUB__GROUP 3u
#define MSUB__GROUP_END 4u
#define MSUB__I32 5u
#define MSUB__TAG(number, type) ((uint32_t)(number) << 3 | (type))
#define MSUB__MAX_NUMBER 0x1fffffffu
/* Groups inside groups. protobuf's own implementations stop between 100 and 10,000; pubsub has no groups
 * at all. */
#define MSUB__MAX_GROUPS 100

/* The field number of the experimental extension, in the RPC and in the extensions announcement. */
#define MSUB__TEST_NUMBER 6492434u

/* ---- primitives ---- */

static inline const uint8_t *msub__end(msub_bytes b) { return b.n ? b.p + b.n : b.p; }

const uint8_t *msub__rd_varint_long(const uint8_t *p, const uint8_t *end, uint64_t *v);
const uint8_t *msub__rd_tag_long(const uint8_t *p, const uint8_t *end, uint32_t *tag);
const uint8_t *msub__skip_group(const uint8_t *p, const uint8_t *end, uint32_t number);

static inline const uint8_t *msub__rd_varint(const uint8_t *p, const uint8_t *end, uint64_t *v) {
  if (p < end && *p < 0x80) {
    *v = *p;
    return p + 1;
  }
  if (end - p >= 2 && p[1] < 0x80) {
    *v = (uint64_t)(p[0] & 0x7f) | (uint64_t)p[1] << 7;
    return p + 2;
  }
  return msub__rd_varint_long(p, end, v);
}

static inline const uint8_t *msub__rd_tag(const uint8_t *p, const uint8_t *end, uint32_t *tag) {
  if (p < end && *p < 0x80 && *p >= 8) {
    *tag = *p;
    return p + 1;
  }
  return msub__rd_tag_long(p, end, tag);
}

/* A length and that many bytes. */
static inline const uint8_t *msub__rd_len(const uint8_t *p, const uint8_t *end, msub_bytes *out) {
  uint64_t n;
  p = msub__rd_varint(p, end, &n);
  if (!p || n > (uint64_t)(end - p)) return NULL;
  *out = (msub_bytes){ p, (size_t)n };
  return p + n;
}

/* The value of a field, whatever it is. */
static inline const uint8_t *msub__skip_value(const uint8_t *p, const uint8_t *end, uint32_t tag) {
  uint64_t v;
  msub_bytes b;
  if ((tag & 7) == MSUB__LEN) return msub__rd_len(p, end, &b); /* nearly always */
  switch (tag & 7) {
  case MSUB__VARINT: return msub__rd_varint(p, end, &v);
  case MSUB__I64: return end - p >= 8 ? p + 8 : NULL;
  case MSUB__I32: return end - p >= 4 ? p + 4 : NULL;
  case MSUB__GROUP: return msub__skip_group(p, end, tag >> 3);
  default: return NULL; /* an end without its beginning, or 6 and 7, which do not exist */
  }
}

static inline size_t msub__varint_size(uint64_t v) {
  return ((63u - (unsigned)__builtin_clzll(v | 1)) * 9 + 73) / 64;
}

static inline uint8_t *msub__wr_varint(uint8_t *out, uint64_t v) {
  while (v >= 0x80) {
    *out++ = (uint8_t)(v | 0x80);
    v >>= 7;
  }
  *out++ = (uint8_t)v;
  return out;
}
/* Most of what is written are ids: of 8 to 32 bytes they need no call, but two copies of a fixed size that may overlap. */
static inline uint8_t *msub__wr_bytes(uint8_t *out, msub_bytes b) {
  if (b.n >= 16 && b.n <= 32) {
    memcpy(out, b.p, 16);
    memcpy(out + b.n - 16, b.p + b.n - 16, 16);
  } else if (b.n >= 8 && b.n < 16) {
    memcpy(out, b.p, 8);
    memcpy(out + b.n - 8, b.p + b.n - 8, 8);
  } else if (b.n) {
    memcpy(out, b.p, b.n);
  }
  return out + b.n;
}
/* A length-delimited field. */
static inline size_t msub__field_size(uint32_t tag, size_t n) {
  return msub__varint_size(tag) + msub__varint_size(n) + n;
}
static inline uint8_t *msub__wr_field(uint8_t *out, uint32_t tag, msub_bytes b) {
  return msub__wr_bytes(msub__wr_varint(msub__wr_varint(out, tag), b.n), b);
}

/* ---- shared control entries ---- */

/* Whether the encoded entry may be taken from where it stands: an entry that was changed since stands for itself. */
static inline bool msub__ctl_is_shared(const msub_ctl_entry *e) {
  if (!e->of) return false;
  const msub_ctl_entry *o = e->of->e;
  return o->ids == e->ids && o->n_ids == e->n_ids && o->topic_name == e->topic_name && o->kind == e->kind;
}
/* The content of its control field: the entry as a field. */
static inline msub_bytes msub__ctl_field(const msub_ctl_entry *e) {
  msub_bytes b = { NULL, 0 };
  (void)msub__rd_len(e->of->wire + 1, e->of->wire + e->of->wire_n, &b);
  return b;
}

/* ---- the schema ---- */

typedef enum msub__shape {
  MSUB__S_RPC,
  MSUB__S_SUB,
  MSUB__S_MSG,
  MSUB__S_CTL,
  MSUB__S_IHAVE,
  MSUB__S_IDS,
  MSUB__S_GRAFT,
  MSUB__S_PRUNE,
  MSUB__S_PX,
  MSUB__S_EXT,
  MSUB__S_PARTIAL,
  MSUB__S_TEST,
  MSUB__SHAPES
} msub__shape;
typedef enum msub__how {
  MSUB__BYTES, /* the last one wins */
  MSUB__BOOL,  /* the last one wins */
  MSUB__U64,   /* the last one wins */
  MSUB__EACH,  /* a list of bytes */
  MSUB__SUBS,  /* a list of submessages */
  MSUB__MERGED /* one submessage, however often it comes */
} msub__how;
typedef struct msub__fdesc {
  uint32_t tag;
  uint8_t how, shape;
} msub__fdesc;
#define MSUB__MAX_FIELDS 6
typedef struct msub__mdesc {
  uint64_t low; /* the known tags below 64 */
  unsigned n;
  msub__fdesc f[MSUB__MAX_FIELDS]; /* ascending */
} msub__mdesc;
extern const msub__mdesc msub__schema[MSUB__SHAPES];

/* A field is known by number and wire type; in another wire type it is kept as an unknown one. */
static inline bool msub__is_known(msub__shape s, uint32_t tag) {
  if (tag < 64) return msub__schema[s].low >> tag & 1;
  for (unsigned i = 0; i < msub__schema[s].n; i++)
    if (msub__schema[s].f[i].tag == tag) return true;
  return false;
}

/* ---- walking the fields of a message that may stand in several places ---- */

/* lv[0] runs over the outermost bytes, lv[i] over one occurrence after the other of field lv[i].tag of
 * lv[i-1]. */
typedef msub_unknown msub__walk;
typedef struct msub__field {
  uint32_t tag;
  const uint8_t *value, *end; /* what follows the tag */
} msub__field;
void msub__walk_begin(msub__walk *w, msub_bytes in, msub__shape shape);
void msub__walk_into(msub__walk *w, uint32_t tag, msub__shape shape);
bool msub__walk_next(msub__walk *w, msub__field *f); /* false: the end, or malformed bytes */
/* The content of a length-delimited field that the walk has shown. */
static inline msub_bytes msub__body(const msub__field *f) {
  msub_bytes b = { NULL, 0 };
  (void)msub__rd_len(f->value, f->end, &b);
  return b;
}
#endif
