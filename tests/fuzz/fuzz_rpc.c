/* tests/fuzz/fuzz_rpc.c: any bytes as an RPC, under the default limits and under none. */
#include <stdlib.h>
#include <string.h>
#include "meshsub/rpc.h"

#define CHECK(cond) ((cond) ? (void)0 : abort())

static void inside(msub_bytes view, msub_bytes frame) {
  if (view.p)
    CHECK(view.p >= frame.p && view.n <= frame.n && view.p + view.n <= frame.p + frame.n);
  else
    CHECK(view.n == 0);
}

static size_t walk_unknown(msub_unknown it, msub_bytes frame) {
  msub_field f;
  size_t n = 0;
  for (; msub_unknown_next(&it, &f); n++) {
    inside(f.value, frame);
    CHECK(f.number > 0 && f.type <= 5 && f.type != 4);
    CHECK(n < frame.n);
  }
  return n;
}

/* Counts of the parts, to be compared with the scan's. */
static void walk_part(msub_bytes frame, msub_rpc_part *p, msub_rpc_counts *c, uint8_t *space) {
  msub_unknown u;
  msub_bytes id;
  msub_px px;
  inside(p->raw, frame);
  switch (p->kind) {
  case MSUB_P_SUBSCRIPTION: c->subscriptions++; break;
  case MSUB_P_MESSAGE: {
    msub_msg_view again;
    c->publish++;
    inside(p->msg.from, frame);
    inside(p->msg.data, frame);
    inside(p->msg.seqno, frame);
    inside(p->msg.topic, frame);
    inside(p->msg.signature, frame);
    inside(p->msg.key, frame);
    size_t n = msub_msg_signed_bytes(&p->msg, space, frame.n);
    CHECK(n <= p->raw.n);
    if (p->msg.prefix_n) CHECK(p->msg.prefix_n == n && memcmp(space, p->raw.p, n) == 0);
    /* The covered bytes are a message of their own, with the same fields and without a signature. */
    CHECK(msub_msg_parse((msub_bytes){ space, n }, &again) == MSUB_OK);
    CHECK(again.present == (p->msg.present & 15) && again.has_unknown == p->msg.has_unknown);
    CHECK(msub_bytes_eq(again.data, p->msg.data) && msub_bytes_eq(again.topic, p->msg.topic));
    CHECK(msub_msg_canonical(&p->msg, NULL, 0) <= p->raw.n);
    break;
  }
  case MSUB_P_IHAVE: c->ihave++; break;
  case MSUB_P_IWANT: c->iwant++; break;
  case MSUB_P_GRAFT: c->graft++; break;
  case MSUB_P_PRUNE: c->prune++; break;
  case MSUB_P_IDONTWANT: c->idontwant++; break;
  case MSUB_P_PARTIAL:
    inside(p->group, frame);
    inside(p->part_message, frame);
    inside(p->parts_metadata, frame);
    break;
  case MSUB_P_UNKNOWN: c->unknown++; return;
  default: break;
  }
  if (p->kind == MSUB_P_IHAVE || p->kind == MSUB_P_IWANT || p->kind == MSUB_P_IDONTWANT)
    while (msub_ids_next(&p->ids, &id)) {
      inside(id, frame);
      c->ids++;
    }
  if (p->kind == MSUB_P_PRUNE)
    while (msub_px_next(&p->px, &px)) {
      inside(px.peer_id, frame);
      inside(px.record, frame);
      c->px++;
      msub_unknown_of_px(&u, &p->px);
      c->unknown += walk_unknown(u, frame);
    }
  msub_unknown_begin(&u, frame, p);
  c->unknown += walk_unknown(u, frame);
}

static size_t walk(msub_bytes frame, msub_rpc_counts *c, uint8_t *space) {
  msub_rpc_iter it;
  static msub_rpc_part p;
  size_t parts = 0;
  msub_rpc_begin(&it, frame);
  while (msub_rpc_next(&it, &p)) {
    walk_part(frame, &p, c, space);
    CHECK(++parts <= frame.n + 4);
  }
  CHECK(msub_rpc_next(&it, &p) == MSUB_P_END);
  return parts;
}

static uint8_t *space_of(size_t n) {
  uint8_t *p = malloc(n ? n : 1);
  if (!p) abort();
  return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const msub_rpc_limits defaults = { 1u << 20, 512u << 10, 5000, 1u << 20, 0, 128 };
  msub_bytes frame = { data, size };
  msub_rpc_counts c, limited, walked = { 0 };
  uint8_t *space = space_of(size);
  int err = msub_rpc_scan(frame, NULL, &c), err2 = msub_rpc_scan(frame, &defaults, &limited);
  CHECK((err == MSUB_OK) == (c.why == NULL) && (err2 == MSUB_OK) == (limited.why == NULL));
  CHECK(err == MSUB_OK || err == MSUB_ERR_MALFORMED);
  if (err != MSUB_OK) CHECK(err2 != MSUB_OK); /* a limit never makes anything acceptable */
  (void)walk(frame, &walked, space);          /* also of a frame that was refused */
  CHECK(msub_rpc_canonical(frame, NULL, 0) <= size);
  if (err == MSUB_OK) {
    CHECK(c.control_bytes <= size);
    CHECK(walked.subscriptions == c.subscriptions && walked.publish == c.publish && walked.ihave == c.ihave);
    CHECK(walked.iwant == c.iwant && walked.graft == c.graft && walked.prune == c.prune);
    CHECK(walked.idontwant == c.idontwant && walked.ids == c.ids && walked.px == c.px);
    CHECK(walked.unknown == c.unknown);

    uint8_t *again = space_of(size);
    size_t n = msub_rpc_canonical(frame, space, size);
    CHECK(n <= size);
    CHECK(msub_rpc_scan((msub_bytes){ space, n }, NULL, &c) == MSUB_OK);
    CHECK(c.publish == walked.publish && c.ids == walked.ids && c.unknown == walked.unknown);
    CHECK(msub_rpc_canonical((msub_bytes){ space, n }, again, size) == n && memcmp(space, again, n) == 0);
    free(again);
  }
  free(space);
  return 0;
}
