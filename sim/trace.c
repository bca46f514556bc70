/* sim/trace.c: the hash of what engines do. Each node has a hash of its own events in their order; these are put
 * together by number, so that it does not matter which events of different nodes came first within one instant.
 * Everything is hashed by value: names and ids as bytes, peers as node numbers; handles would differ from run to
 * run. */
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "sim/sim.h"
#include <string.h>

static uint64_t turned(uint64_t x, unsigned by) { return x << by | x >> (64 - by); }

static void fold(uint64_t h[2], uint64_t word) {
  h[0] = turned((h[0] ^ word) * UINT64_C(0x9fb21c651e98df25), 29) + h[1];
  h[1] = turned((h[1] + word) * UINT64_C(0xd6e8feb86659fd93), 31) ^ h[0];
}
static void fold_bytes(uint64_t h[2], msub_bytes b) {
  fold(h, b.n);
  if (b.n) fold(h, XXH3_64bits(b.p, b.n));
}

static void fold_rpc(uint64_t h[2], const msub_rpc *rpc) {
  fold(h, rpc->wire_size);
  fold(h, rpc->n_msgs);
  for (size_t i = 0; i < rpc->n_msgs; i++) fold_bytes(h, msub_id(rpc->msgs[i]));
  if (rpc->ctl) fold_bytes(h, (msub_bytes){ rpc->ctl->wire, rpc->ctl->wire_n });
}

static void hash_event(msub__sim_node *n, const msub_event *ev) {
  msub_sim *s = n->sim;
  uint64_t *h = n->hash;
  n->traced++;
  fold(h, s->now.mono_ns);
  fold(h, (uint64_t)ev->kind << 32 | ev->router);
  fold(h, (uint64_t)(uint32_t)ev->reason << 32 | ev->n);
  fold(h, ev->peer.v ? msub_sim_node_of(s, ev->peer) : MSUB_SIM_NOBODY);
  fold_bytes(h, ev->topic.v ? msub_name_bytes(s->sh, msub_topic_name(n->e, ev->topic)) : (msub_bytes){ NULL, 0 });
  fold_bytes(h, ev->id);
  /* what is in it was hashed when it was sent */
  if (ev->kind == MSUB_T_RECV_RPC) fold(h, ev->rpc ? ev->rpc->wire_size : ev->frame.n);
  else if (ev->rpc) fold_rpc(h, ev->rpc);
  if (ev->text) fold_bytes(h, msub_str(ev->text));
}

void msub__sim_trace(msub__sim_node *n, const msub_event *ev) {
  msub_sim *s = n->sim;
  if (!n->e) return; /* it is being made, or taken down */
  if (s->o.hash) hash_event(n, ev);
  if (n->wants && ev->kind == MSUB_T_JOIN) msub__sim_advertise(n, ev->topic, true);
  if (n->wants && ev->kind == MSUB_T_LEAVE) msub__sim_advertise(n, ev->topic, false);
  if (!s->o.on_trace) return;
  msub__sim_in(n);
  s->o.on_trace(s->o.ud, s, n->no, ev);
  msub__sim_out(n);
}

void msub_sim_hash(const msub_sim *s, uint8_t out[16]) {
  uint64_t h[2] = { 0, 0 };
  for (uint32_t i = 0; s->o.hash && i < s->n_nodes; i++) {
    const msub__sim_node *n = msub__sim_node_at(s, i);
    fold(h, n->traced);
    fold(h, n->hash[0]);
    fold(h, n->hash[1]);
  }
  for (unsigned i = 0; i < 16; i++) out[i] = (uint8_t)(h[i / 8] >> 8 * (i % 8));
}

/* ---- signatures ---- */

void msub_sim_checksum(const msub_bytes *parts, size_t n, uint8_t out[64]) {
  XXH3_state_t st;
  XXH3_INITSTATE(&st);
  XXH3_64bits_reset(&st);
  for (size_t i = 0; i < n; i++) XXH3_64bits_update(&st, parts[i].p, parts[i].n);
  uint64_t sum = XXH3_64bits_digest(&st);
  for (unsigned i = 0; i < 64; i++) {
    if (i % 8 == 0) sum = msub__sim_mix(sum);
    out[i] = (uint8_t)(sum >> 8 * (i % 8));
  }
}

msub_verdict msub_sim_verify(const void *wire, size_t n) {
  msub_msg_view v;
  uint8_t sum[64], made[4096];
  if (msub_msg_parse((msub_bytes){ wire, n }, &v) != MSUB_OK || v.signature.n != sizeof sum) return MSUB_REJECT;
  msub_bytes parts[2] = { msub_str("libp2p-pubsub:"), { v.raw.p, v.prefix_n } };
  if (v.prefix_n == 0) { /* fields out of order: only a raw node makes such, and no long ones */
    size_t len = msub_msg_signed_bytes(&v, made, sizeof made);
    if (len > sizeof made) return MSUB_REJECT;
    parts[1] = (msub_bytes){ made, len };
  }
  msub_sim_checksum(parts, 2, sum);
  return memcmp(sum, v.signature.p, sizeof sum) == 0 ? MSUB_ACCEPT : MSUB_REJECT;
}
