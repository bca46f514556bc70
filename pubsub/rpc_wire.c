/* pubsub/rpc_wire.c: the long ways of the readers, the schema's table, and the walk. */
#include "pubsub/rpc_wire.h"

const uint8_t *msub__rd_varint_long(const uint8_t *p, const uint8_t *end, uint64_t *v) {
  uint64_t x = 0;
  for (unsigned shift = 0; shift < 70 && p < end; shift += 7) {
    uint8_t b = *p++;
    if (shift == 63 && b > 1) return NULL; /* more than 64 bits */
    x |= (uint64_t)(b & 0x7f) << shift;
    if (b < 0x80) {
      *v = x;
      return p;
    }
  }
  return NULL;
}

const uint8_t *msub__rd_tag_long(const uint8_t *p, const uint8_t *end, uint32_t *tag) {
  uint64_t v;
  p = msub__rd_varint(p, end, &v);
  if (!p || v >> 3 == 0 || v >> 3 > MSUB__MAX_NUMBER) return NULL;
  *tag = (uint32_t)v;
  return p;
}

const uint8_t *msub__skip_group(const uint8_t *p, const uint8_t *end, uint32_t number) {
  uint32_t open[MSUB__MAX_GROUPS];
  unsigned depth = 0;
  open[depth++] = number;
  while (depth > 0) {
    uint64_t v;
    p = msub__rd_varint(p, end, &v);
    /* Inside a group the reference accepts numbers up to 31 bits: it skips these fields unseen. */
    if (!p || v >> 3 == 0 || v >> 3 > INT32_MAX) return NULL;
    uint32_t inner = (uint32_t)(v >> 3);
    switch (v & 7) {
    case MSUB__GROUP:
      if (depth == MSUB__MAX_GROUPS) return NULL;
      open[depth++] = inner;
      break;
    case MSUB__GROUP_END:
      if (open[--depth] != inner) return NULL;
      break;
    default:
      p = msub__skip_value(p, end, (uint32_t)(v & 7));
      if (!p) return NULL;
    }
  }
  return p;
}

#define BIT(tag) ((uint64_t)1 << (tag))
#define BYTES(tag)                                                                                           \
  { tag, MSUB__BYTES, 0 }
#define BOOL(tag)                                                                                            \
  { tag, MSUB__BOOL, 0 }
#define EACH(tag)                                                                                            \
  { tag, MSUB__EACH, 0 }
#define SUBS(tag, shape)                                                                                     \
  { tag, MSUB__SUBS, shape }
#define MERGED(tag, shape)                                                                                   \
  { tag, MSUB__MERGED, shape }
#define TEST_LEN MSUB__TAG(MSUB__TEST_NUMBER, MSUB__LEN)
#define TEST_VARINT MSUB__TAG(MSUB__TEST_NUMBER, MSUB__VARINT)
#define FIELDS_1_TO_2 (BIT(0x0a) | BIT(0x12))
#define FIELDS_1_TO_4 (FIELDS_1_TO_2 | BIT(0x1a) | BIT(0x22))
#define FIELDS_1_TO_6 (FIELDS_1_TO_4 | BIT(0x2a) | BIT(0x32))

/* clang-format off */
const msub__mdesc msub__schema[MSUB__SHAPES] = {
  [MSUB__S_RPC] = { FIELDS_1_TO_2 | BIT(0x1a), 5,
                    { SUBS(0x0a, MSUB__S_SUB), SUBS(0x12, MSUB__S_MSG), MERGED(0x1a, MSUB__S_CTL),
                      MERGED(0x52, MSUB__S_PARTIAL), MERGED(TEST_LEN, MSUB__S_TEST) } },
  [MSUB__S_SUB] = { BIT(0x08) | BIT(0x12) | BIT(0x18) | BIT(0x20), 4,
                    { BOOL(0x08), BYTES(0x12), BOOL(0x18), BOOL(0x20) } },
  [MSUB__S_MSG] = { FIELDS_1_TO_6, 6,
                    { BYTES(0x0a), BYTES(0x12), BYTES(0x1a), BYTES(0x22), BYTES(0x2a), BYTES(0x32) } },
  [MSUB__S_CTL] = { FIELDS_1_TO_6, 6,
                    { SUBS(0x0a, MSUB__S_IHAVE), SUBS(0x12, MSUB__S_IDS), SUBS(0x1a, MSUB__S_GRAFT),
                      SUBS(0x22, MSUB__S_PRUNE), SUBS(0x2a, MSUB__S_IDS), MERGED(0x32, MSUB__S_EXT) } },
  [MSUB__S_IHAVE] = { FIELDS_1_TO_2, 2, { BYTES(0x0a), EACH(0x12) } },
  [MSUB__S_IDS] = { BIT(0x0a), 1, { EACH(0x0a) } },
  [MSUB__S_GRAFT] = { BIT(0x0a), 1, { BYTES(0x0a) } },
  [MSUB__S_PRUNE] = { FIELDS_1_TO_2 | BIT(0x18), 3,
                      { BYTES(0x0a), SUBS(0x12, MSUB__S_PX), { 0x18, MSUB__U64, 0 } } },
  [MSUB__S_PX] = { FIELDS_1_TO_2, 2, { BYTES(0x0a), BYTES(0x12) } },
  [MSUB__S_EXT] = { 0, 2, { BOOL(0x50), BOOL(TEST_VARINT) } },
  [MSUB__S_PARTIAL] = { FIELDS_1_TO_4, 4, { BYTES(0x0a), BYTES(0x12), BYTES(0x1a), BYTES(0x22) } },
  [MSUB__S_TEST] = { 0, 0, { { 0, 0, 0 } } },
};
/* clang-format on */

void msub__walk_begin(msub__walk *w, msub_bytes in, msub__shape shape) {
  *w = (msub__walk){ .shape = (uint8_t)shape };
  w->lv[0].p = in.p;
  w->lv[0].end = msub__end(in);
}

void msub__walk_into(msub__walk *w, uint32_t tag, msub__shape shape) {
  w->depth++;
  w->lv[w->depth].p = w->lv[w->depth].end = NULL;
  w->lv[w->depth].tag = tag;
  w->shape = (uint8_t)shape;
}

static bool next_at(msub__walk *w, unsigned depth, msub__field *f) {
  for (;;) {
    if (w->lv[depth].p < w->lv[depth].end) {
      const uint8_t *p = msub__rd_tag(w->lv[depth].p, w->lv[depth].end, &f->tag);
      f->value = p;
      f->end = p ? msub__skip_value(p, w->lv[depth].end, f->tag) : NULL;
      if (!f->end) {
        w->lv[depth].p = w->lv[depth].end;
        return false;
      }
      w->lv[depth].p = f->end;
      return true;
    }
    if (depth == 0) return false;
    msub__field up;
    do {
      if (!next_at(w, depth - 1, &up)) return false;
    } while (up.tag != w->lv[depth].tag);
    msub_bytes body = msub__body(&up);
    w->lv[depth].p = body.p;
    w->lv[depth].end = msub__end(body);
  }
}

bool msub__walk_next(msub__walk *w, msub__field *f) { return next_at(w, w->depth, f); }
