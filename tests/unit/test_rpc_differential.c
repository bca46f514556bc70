/* tests/unit/test_rpc_differential.c: our decoder against protobuf-c on random RPCs, field by field. Every
 * difference must have one of the reasons below; a reason is a property of the bytes, found by a third reader
 * that knows only the wire format. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "meshsub/rpc.h"
#include "rpc.pb-c.h"
#include "tests/unit/rpc_random.h"

#define RUNS 300000

typedef enum verdict { ONLY_OURS, ONLY_ORACLE, CONTENT, VERDICTS } verdict;
static const char *const verdict_names[VERDICTS] = { "only ours accepts", "only protobuf-c accepts",
                                                     "content differs" };

/* In wire_facts.seen. */
enum {
  GROUP = 1,
  WRONG_TYPE = 2,
  LONG_TAG = 4,
  LONG_LENGTH = 8,
  NUMBER = 16,
  OVERFLOW = 32,
  MERGED_UNKNOWN = 64,
  MERGED_EMPTY = 128,
  BOOL_TYPE = 256
};
static struct {
  verdict verdict;
  unsigned fact;
  const char *why;
  unsigned count;
} reasons[] = {
  { ONLY_OURS, WRONG_TYPE,
    "a known field in another wire type: protobuf-c refuses, we keep it as unknown, as go does", 0 },
  { ONLY_OURS, GROUP, "protobuf-c has no groups, we skip balanced ones", 0 },
  { ONLY_OURS, LONG_TAG, "protobuf-c takes tags of up to five bytes, we of ten", 0 },
  { ONLY_OURS, LONG_LENGTH, "protobuf-c takes lengths of up to five bytes, we of ten", 0 },
  { ONLY_ORACLE, NUMBER, "protobuf-c takes field number 0 and those above 2^29-1", 0 },
  { ONLY_ORACLE, OVERFLOW, "protobuf-c drops the bits of a varint above the 64th", 0 },
  { CONTENT, BOOL_TYPE, "protobuf-c reads a bool from any wire type, we keep it as unknown", 0 },
  { CONTENT, MERGED_UNKNOWN, "merging, protobuf-c loses unknown fields of all submessages but the last", 0 },
  { CONTENT, MERGED_EMPTY, "merging, protobuf-c takes empty bytes for absent ones", 0 },
};
#define N_REASONS (sizeof reasons / sizeof *reasons)

/* ---- the third reader ---- */

typedef enum level {
  L_RPC,
  L_SUB,
  L_MSG,
  L_CTL,
  L_IHAVE,
  L_IDS,
  L_GRAFT,
  L_PRUNE,
  L_PX,
  L_EXT,
  L_PARTIAL,
  L_TEST
} level;
/* Known numbers: wire type, and the level of what is inside (0: bytes or a number). */
static const struct {
  level at;
  uint32_t number;
  unsigned type;
  level inside;
} known[] = {
  { L_RPC, 1, 2, L_SUB },
  { L_RPC, 2, 2, L_MSG },
  { L_RPC, 3, 2, L_CTL },
  { L_RPC, 10, 2, L_PARTIAL },
  { L_RPC, 6492434, 2, L_TEST },
  { L_SUB, 1, 0, 0 },
  { L_SUB, 2, 2, 0 },
  { L_SUB, 3, 0, 0 },
  { L_SUB, 4, 0, 0 },
  { L_MSG, 1, 2, 0 },
  { L_MSG, 2, 2, 0 },
  { L_MSG, 3, 2, 0 },
  { L_MSG, 4, 2, 0 },
  { L_MSG, 5, 2, 0 },
  { L_MSG, 6, 2, 0 },
  { L_CTL, 1, 2, L_IHAVE },
  { L_CTL, 2, 2, L_IDS },
  { L_CTL, 3, 2, L_GRAFT },
  { L_CTL, 4, 2, L_PRUNE },
  { L_CTL, 5, 2, L_IDS },
  { L_CTL, 6, 2, L_EXT },
  { L_IHAVE, 1, 2, 0 },
  { L_IHAVE, 2, 2, 0 },
  { L_IDS, 1, 2, 0 },
  { L_GRAFT, 1, 2, 0 },
  { L_PRUNE, 1, 2, 0 },
  { L_PRUNE, 2, 2, L_PX },
  { L_PRUNE, 3, 0, 0 },
  { L_PX, 1, 2, 0 },
  { L_PX, 2, 2, 0 },
  { L_EXT, 10, 0, 0 },
  { L_EXT, 6492434, 0, 0 },
  { L_PARTIAL, 1, 2, 0 },
  { L_PARTIAL, 2, 2, 0 },
  { L_PARTIAL, 3, 2, 0 },
  { L_PARTIAL, 4, 2, 0 },
};

typedef struct wire_facts {
  unsigned seen;
  unsigned count[L_TEST + 1];   /* submessages of each level */
  unsigned unknown[L_TEST + 1]; /* unknown fields in them */
  unsigned empty;               /* empty bytes in partial */
} wire_facts;

/* Bytes of the varint at p, 0: cut off or longer than ten. Bits above the 64th are dropped. */
static size_t raw_varint(const uint8_t *p, size_t n, uint64_t *v) {
  *v = 0;
  for (size_t i = 0; i < n && i < 10; i++) {
    *v |= (uint64_t)(p[i] & 0x7f) << 7 * i;
    if (p[i] < 0x80) return i + 1;
  }
  return 0;
}

static void facts(wire_facts *f, const uint8_t *p, size_t n, level at);

/* One field's value; how many bytes, 0: nothing sensible. */
static size_t value_facts(wire_facts *f, const uint8_t *p, size_t n, unsigned type, level inside,
                          bool in_partial) {
  uint64_t v;
  size_t used = raw_varint(p, n, &v);
  switch (type) {
  case 0:
    if (used == 10 && p[9] > 1) f->seen |= OVERFLOW;
    return used;
  case 1: return n >= 8 ? 8 : 0;
  case 5: return n >= 4 ? 4 : 0;
  case 2:
    if (used == 0) return 0;
    if (used > 5) f->seen |= LONG_LENGTH;
    if (v > n - used) return 0;
    if (v == 0 && in_partial) f->empty++;
    if (inside) facts(f, p + used, (size_t)v, inside);
    return used + (size_t)v;
  default:
    f->seen |= GROUP;
    return 0; /* both stop here: the rest is nobody's doing, except that a group may go on */
  }
}

static void facts(wire_facts *f, const uint8_t *p, size_t n, level at) {
  f->count[at]++;
  while (n > 0) {
    uint64_t tag;
    size_t used = raw_varint(p, n, &tag);
    if (used == 0) return;
    if (used > 5) f->seen |= LONG_TAG;
    if (used == 10 && p[9] > 1) f->seen |= OVERFLOW;
    if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff) f->seen |= NUMBER;
    unsigned type = (unsigned)(tag & 7);
    uint32_t number = (uint32_t)(tag >> 3); /* as protobuf-c reads it */
    level inside = 0;
    bool is_known = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
      if (known[i].at != at || known[i].number != number) continue;
      if (known[i].type != type)
        f->seen |= known[i].type == 0 ? WRONG_TYPE | BOOL_TYPE : WRONG_TYPE;
      else
        is_known = true;
      if (is_known) inside = known[i].inside;
    }
    if (!is_known) f->unknown[at]++;
    p += used;
    n -= used;
    used = value_facts(f, p, n, type, inside, at == L_PARTIAL);
    if (used == 0) return;
    p += used;
    n -= used;
  }
}

static unsigned facts_of(msub_bytes frame) {
  wire_facts f = { 0 };
  facts(&f, frame.p, frame.n, L_RPC);
  static const level merged[] = { L_CTL, L_EXT, L_PARTIAL, L_TEST };
  for (size_t i = 0; i < sizeof merged / sizeof *merged; i++)
    if (f.count[merged[i]] > 1 && f.unknown[merged[i]] > 0) f.seen |= MERGED_UNKNOWN;
  if (f.count[L_PARTIAL] > 1 && f.empty > 0) f.seen |= MERGED_EMPTY;
  return f.seen;
}

/* ---- comparing ---- */

static bool same_bytes(msub_bytes ours, bool has, ProtobufCBinaryData theirs) {
  return (ours.p != NULL) == has && (!has || msub_bytes_eq(ours, (msub_bytes){ theirs.data, theirs.len }));
}
static bool same_bool(bool has_ours, bool ours, int has, int theirs) {
  return has_ours == (has != 0) && (!has_ours || ours == (theirs != 0));
}
static bool same_unknown(msub_unknown it, const ProtobufCMessage *theirs) {
  msub_field f;
  unsigned i = 0;
  for (; msub_unknown_next(&it, &f); i++) {
    if (i >= theirs->n_unknown_fields) return false;
    const ProtobufCMessageUnknownField *u = &theirs->unknown_fields[i];
    if (u->tag != f.number || (unsigned)u->wire_type != f.type) return false;
    if (!msub_bytes_eq(f.value, (msub_bytes){ u->data, u->len })) return false;
  }
  return i == theirs->n_unknown_fields;
}
static bool same_ids(msub_ids it, size_t n, const ProtobufCBinaryData *theirs) {
  msub_bytes id;
  size_t i = 0;
  for (; msub_ids_next(&it, &id); i++)
    if (i >= n || !same_bytes(id, true, theirs[i])) return false;
  return i == n;
}

static bool same_prune(const msub_rpc_part *p, const Oracle__Prune *t) {
  msub_px_iter it = p->px;
  msub_px px;
  size_t i = 0;
  for (; msub_px_next(&it, &px); i++) {
    msub_unknown u;
    if (i >= t->n_peers) return false;
    msub_unknown_of_px(&u, &it);
    if (!same_bytes(px.peer_id, t->peers[i]->has_peer_id, t->peers[i]->peer_id) ||
        !same_bytes(px.record, t->peers[i]->has_record, t->peers[i]->record) ||
        !same_unknown(u, &t->peers[i]->base))
      return false;
  }
  return i == t->n_peers && same_bytes(p->topic, t->has_topic, t->topic) &&
         p->has_backoff == (t->has_backoff != 0) && (!p->has_backoff || p->backoff_s == t->backoff);
}

static bool same_message(const msub_msg_view *v, const Oracle__Message *t) {
  unsigned present = (t->has_from ? MSUB_HAS_FROM : 0u) | (t->has_data ? MSUB_HAS_DATA : 0u) |
                     (t->has_seqno ? MSUB_HAS_SEQNO : 0u) | (t->has_topic ? MSUB_HAS_TOPIC : 0u) |
                     (t->has_signature ? MSUB_HAS_SIGNATURE : 0u) | (t->has_key ? MSUB_HAS_KEY : 0u);
  return v->present == present && v->has_unknown == (t->base.n_unknown_fields > 0) &&
         same_bytes(v->from, t->has_from, t->from) && same_bytes(v->data, t->has_data, t->data) &&
         same_bytes(v->seqno, t->has_seqno, t->seqno) && same_bytes(v->topic, t->has_topic, t->topic) &&
         same_bytes(v->signature, t->has_signature, t->signature) && same_bytes(v->key, t->has_key, t->key);
}

/* Compares one part; `n` counts the parts of each kind. Sets *base to the oracle's message that it stands
 * for. */
static bool same_part(const msub_rpc_part *p, const Oracle__Rpc *r, const size_t *n,
                      const ProtobufCMessage **base) {
  const Oracle__Control *c = r->control;
  size_t i = n[p->kind];
  if (p->kind >= MSUB_P_IHAVE && p->kind <= MSUB_P_EXTENSIONS && !c) return false;
  switch (p->kind) {
  case MSUB_P_SUBSCRIPTION: {
    if (i >= r->n_subscriptions) return false;
    const Oracle__Rpc__Sub *s = r->subscriptions[i];
    *base = &s->base;
    return same_bool(p->has_subscribe, p->subscribe, s->has_subscribe, s->subscribe) &&
           same_bytes(p->topic, s->has_topic, s->topic) && p->has_topic == (s->has_topic != 0) &&
           same_bool(p->has_requests_partial, p->requests_partial, s->has_requests_partial,
                     s->requests_partial) &&
           same_bool(p->has_sends_partial, p->sends_partial, s->has_sends_partial, s->sends_partial);
  }
  case MSUB_P_MESSAGE:
    if (i >= r->n_publish) return false;
    *base = &r->publish[i]->base;
    return same_message(&p->msg, r->publish[i]);
  case MSUB_P_IHAVE:
    if (i >= c->n_ihave) return false;
    *base = &c->ihave[i]->base;
    return same_bytes(p->topic, c->ihave[i]->has_topic, c->ihave[i]->topic) &&
           same_ids(p->ids, c->ihave[i]->n_ids, c->ihave[i]->ids);
  case MSUB_P_IWANT:
    if (i >= c->n_iwant) return false;
    *base = &c->iwant[i]->base;
    return same_ids(p->ids, c->iwant[i]->n_ids, c->iwant[i]->ids);
  case MSUB_P_IDONTWANT:
    if (i >= c->n_idontwant) return false;
    *base = &c->idontwant[i]->base;
    return same_ids(p->ids, c->idontwant[i]->n_ids, c->idontwant[i]->ids);
  case MSUB_P_GRAFT:
    if (i >= c->n_graft) return false;
    *base = &c->graft[i]->base;
    return same_bytes(p->topic, c->graft[i]->has_topic, c->graft[i]->topic);
  case MSUB_P_PRUNE:
    if (i >= c->n_prune) return false;
    *base = &c->prune[i]->base;
    return same_prune(p, c->prune[i]);
  case MSUB_P_CONTROL: *base = &c->base; return true;
  case MSUB_P_EXTENSIONS:
    if (!c->extensions) return false;
    *base = &c->extensions->base;
    return same_bool(p->has_ext_partial, p->ext_partial, c->extensions->has_partial,
                     c->extensions->partial) &&
           same_bool(p->has_ext_test, p->ext_test, c->extensions->has_test, c->extensions->test);
  case MSUB_P_PARTIAL:
    if (!r->partial) return false;
    *base = &r->partial->base;
    return same_bytes(p->topic, r->partial->has_topic, r->partial->topic) &&
           same_bytes(p->group, r->partial->has_group, r->partial->group) &&
           same_bytes(p->part_message, r->partial->has_part, r->partial->part) &&
           same_bytes(p->parts_metadata, r->partial->has_metadata, r->partial->metadata);
  case MSUB_P_TEST:
    if (!r->test) return false;
    *base = &r->test->base;
    return true;
  default: return false;
  }
}

static bool same_content(msub_bytes frame, const msub_rpc_counts *counts, const Oracle__Rpc *r) {
  size_t n[MSUB_P_UNKNOWN + 1] = { 0 };
  msub_rpc_iter it;
  msub_rpc_part p;
  msub_unknown u;
  msub_rpc_begin(&it, frame);
  while (msub_rpc_next(&it, &p)) {
    const ProtobufCMessage *base = NULL;
    if (p.kind != MSUB_P_UNKNOWN) {
      if (!same_part(&p, r, n, &base)) return false;
      msub_unknown_begin(&u, frame, &p);
      if (!same_unknown(u, base)) return false;
    }
    n[p.kind]++;
  }
  msub_unknown_begin(&u, frame, NULL);
  if (!same_unknown(u, &r->base) || n[MSUB_P_UNKNOWN] != r->base.n_unknown_fields) return false;
  const Oracle__Control none = ORACLE__CONTROL__INIT, *c = r->control ? r->control : &none;
  return n[MSUB_P_SUBSCRIPTION] == r->n_subscriptions && n[MSUB_P_MESSAGE] == r->n_publish &&
         n[MSUB_P_IHAVE] == c->n_ihave && n[MSUB_P_IWANT] == c->n_iwant && n[MSUB_P_GRAFT] == c->n_graft &&
         n[MSUB_P_PRUNE] == c->n_prune && n[MSUB_P_IDONTWANT] == c->n_idontwant &&
         (n[MSUB_P_CONTROL] == 1) == (r->control != NULL) &&
         (n[MSUB_P_EXTENSIONS] == 1) == (c->extensions != NULL) &&
         (n[MSUB_P_PARTIAL] == 1) == (r->partial != NULL) && (n[MSUB_P_TEST] == 1) == (r->test != NULL) &&
         counts->subscriptions == r->n_subscriptions && counts->publish == r->n_publish &&
         counts->ihave == c->n_ihave && counts->iwant == c->n_iwant && counts->graft == c->n_graft &&
         counts->prune == c->n_prune && counts->idontwant == c->n_idontwant;
}

/* True: the difference has a reason, which is counted. */
static bool explained(verdict v, msub_bytes frame) {
  unsigned seen = facts_of(frame);
  for (size_t i = 0; i < N_REASONS; i++) {
    if (reasons[i].verdict != v || !(reasons[i].fact & seen)) continue;
    reasons[i].count++;
    return true;
  }
  (void)printf("unexplained, %s: ", verdict_names[v]);
  for (size_t i = 0; i < frame.n; i++) (void)printf("%02x", frame.p[i]);
  (void)printf("\n");
  return false;
}

int main(void) {
  static rpc_random random;
  unsigned both = 0, neither = 0, bad = 0;
  for (unsigned run = 0; run < RUNS && bad < 20; run++) {
    msub_bytes in = rpc_random_next(&random);
    uint8_t *exact = malloc(in.n ? in.n : 1); /* so that a sanitizer sees every byte read behind the frame */
    if (!exact) return 1;
    memcpy(exact, in.p, in.n);
    msub_bytes frame = { exact, in.n };
    msub_rpc_counts counts;
    bool ours = msub_rpc_scan(frame, NULL, &counts) == MSUB_OK;
    Oracle__Rpc *theirs = oracle__rpc__unpack(NULL, frame.n, frame.p);
    if (ours && theirs) {
      both++;
      if (!same_content(frame, &counts, theirs) && !explained(CONTENT, frame)) bad++;
    } else if (ours || theirs) {
      if (!explained(ours ? ONLY_OURS : ONLY_ORACLE, frame)) bad++;
    } else {
      neither++;
    }
    if (theirs) oracle__rpc__free_unpacked(theirs, NULL);
    free(exact);
  }
  (void)printf("%u RPCs: both accept %u, both refuse %u\n", RUNS, both, neither);
  unsigned unused = 0;
  for (size_t i = 0; i < N_REASONS; i++) {
    (void)printf("%7u  %s: %s\n", reasons[i].count, verdict_names[reasons[i].verdict], reasons[i].why);
    if (reasons[i].count == 0) unused++; /* either it is not needed, or the generator has lost it */
  }
  (void)printf("%u unexplained, %u reasons unused\n", bad, unused);
  return bad == 0 && unused == 0 && both > RUNS / 10 && neither > RUNS / 10 ? 0 : 1;
}
