/* sim/wire.c: the proof that a frame says what the structure says. */
#include "sim/sim.h"
#include <stdio.h>
#include <string.h>

static uint8_t *scratch(msub_sim *s, size_t n) {
  if (n > s->scratch_n) {
    size_t cap = s->scratch_n ? s->scratch_n : 4096;
    while (cap < n) cap *= 2;
    uint8_t *p = msub__alloc(&s->mem, cap);
    if (!p) return NULL;
    msub__free(&s->mem, s->scratch, s->scratch_n);
    s->scratch = p;
    s->scratch_n = cap;
  }
  return s->scratch;
}

const uint8_t *msub__sim_encoded(msub_sim *s, const msub_rpc *rpc) {
  /* Twice the room: the canonical form is made behind the frame. */
  uint8_t *p = scratch(s, 2 * rpc->wire_size + 1);
  if (!p) return NULL;
  size_t n = msub_rpc_encode(rpc, p);
  MSUB__INVARIANT(n == rpc->wire_size && msub_rpc_size(rpc) == n);
  return p;
}

static _Noreturn void differ(const char *what, size_t i, msub_bytes frame) {
  fprintf(stderr, "meshsub: the frame differs from the RPC in %s (number %zu); frame of %zu bytes:", what, i, frame.n);
  for (size_t k = 0; k < frame.n && k < 512; k++) fprintf(stderr, "%s%02x", k % 32 ? "" : "\n  ", frame.p[k]);
  fprintf(stderr, "\n");
  msub__invariant_failed("encoding an RPC and decoding it gives the RPC", __FILE__, __LINE__);
}

static const int kind_of[] = { [MSUB_P_IHAVE] = MSUB_C_IHAVE,
                               [MSUB_P_IWANT] = MSUB_C_IWANT,
                               [MSUB_P_GRAFT] = MSUB_C_GRAFT,
                               [MSUB_P_PRUNE] = MSUB_C_PRUNE,
                               [MSUB_P_IDONTWANT] = MSUB_C_IDONTWANT,
                               [MSUB_P_EXTENSIONS] = MSUB_C_EXTENSIONS,
                               [MSUB_P_PARTIAL] = MSUB_C_PARTIAL,
                               [MSUB_P_TEST] = MSUB_C_TEST };

static bool same_ids(msub_ids it, const msub_ctl_entry *e) {
  msub_bytes id;
  for (uint32_t i = 0; i < e->n_ids; i++)
    if (!msub_ids_next(&it, &id) || !msub_bytes_eq(id, e->ids[i])) return false;
  return !msub_ids_next(&it, &id);
}
static bool same_px(msub_px_iter it, const msub_ctl_entry *e) {
  msub_px px;
  for (uint32_t i = 0; i < e->n_px; i++)
    if (!msub_px_next(&it, &px) || !msub_bytes_eq(px.peer_id, e->px[i].peer_id) ||
        !msub_bytes_eq(px.record, e->px[i].record))
      return false;
  return !msub_px_next(&it, &px);
}

static bool same_entry(const msub_sim *s, const msub_rpc_part *part, const msub_ctl_entry *e) {
  bool named = e->kind != MSUB_C_IWANT && e->kind != MSUB_C_IDONTWANT && e->kind != MSUB_C_EXTENSIONS && e->kind != MSUB_C_TEST;
  if (named && !msub_bytes_eq(part->topic, msub_name_bytes(s->sh, e->topic_name))) return false;
  switch (e->kind) {
  case MSUB_C_SUB:
  case MSUB_C_UNSUB:
    return part->subscribe == (e->kind == MSUB_C_SUB) &&
        part->requests_partial == !!(e->flags & MSUB_SUB_REQUESTS_PARTIAL) &&
           part->sends_partial == !!(e->flags & MSUB_SUB_SENDS_PARTIAL);
  case MSUB_C_GRAFT:
  case MSUB_C_TEST: return true;
  case MSUB_C_EXTENSIONS:
    return part->ext_partial == !!(e->flags & MSUB_EXT_PARTIAL) && part->ext_test == !!(e->flags & MSUB_EXT_TEST);
  case MSUB_C_PARTIAL:
    return e->n_ids == 3 && msub_bytes_eq(part->group, e->ids[0]) && msub_bytes_eq(part->part_message, e->ids[1]) &&
           msub_bytes_eq(part->parts_metadata, e->ids[2]);
  case MSUB_C_PRUNE: return part->backoff_s == e->backoff_s && same_px(part->px, e);
  default: return same_ids(part->ids, e);
  }
}

/* The next entry of these kinds behind *at. */
static const msub_ctl_entry *next_entry(const msub_ctl *c, uint32_t *at, unsigned kinds) {
  for (; c && *at < c->n; ++*at)
    if (kinds & 1u << c->e[*at].kind) return &c->e[(*at)++];
  return NULL;
}

void msub__sim_compare(const msub_sim *s, const msub_rpc *rpc, msub_bytes frame) {
  msub_rpc_counts counts;
  if (msub_rpc_scan(frame, NULL, &counts) != MSUB_OK) differ(counts.why ? counts.why : "its form", 0, frame);
  msub_rpc_iter it;
  msub_rpc_part part;
  size_t msgs = 0, entries = 0;
  uint32_t at[MSUB_C_TEST + 1] = { 0 };
  bool canonical = true;
  msub_rpc_begin(&it, frame);
  for (msub_part k; (k = msub_rpc_next(&it, &part)) != MSUB_P_END;) {
    if (k == MSUB_P_MESSAGE) {
      const msub_msg *m = msgs < rpc->n_msgs ? rpc->msgs[msgs] : NULL;
      if (!m || !msub_bytes_eq(part.raw, (msub_bytes){ msub_wire(m), m->wire_n })) differ("a message", msgs, frame);
      if (msub_msg_canonical(&part.msg, NULL, 0) != part.raw.n || part.msg.prefix_n == 0) canonical = false;
      msgs++;
    } else if (k == MSUB_P_SUBSCRIPTION || (k >= MSUB_P_IHAVE && k <= MSUB_P_TEST && k != MSUB_P_CONTROL)) {
      /* Entries of a kind keep their order, kinds do not. */
      unsigned kinds = k == MSUB_P_SUBSCRIPTION ? 1u << MSUB_C_SUB | 1u << MSUB_C_UNSUB : 1u << kind_of[k];
      const msub_ctl_entry *e = next_entry(rpc->ctl, &at[k == MSUB_P_SUBSCRIPTION ? MSUB_C_SUB : kind_of[k]], kinds);
      if (!e || !same_entry(s, &part, e)) differ("a control entry", entries, frame);
      entries++;
    }
  }
  if (msgs != rpc->n_msgs) differ("the number of messages", msgs, frame);
  if (entries != (rpc->ctl ? rpc->ctl->n : 0)) differ("the number of control entries", entries, frame);
  if (!canonical) return; /* a message goes on as it came */
  uint8_t *again = s->scratch + frame.n;
  if (msub_rpc_canonical(frame, again, s->scratch_n - frame.n) != frame.n || memcmp(again, frame.p, frame.n) != 0)
    differ("its canonical form", 0, frame);
}
