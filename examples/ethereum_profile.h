/* examples/ethereum_profile.h: what the consensus clients of Ethereum run gossipsub with, as a channel policy and options: messages are
 * unsigned, payloads are snappy blocks, and ids are those of the altair fork on. Include it and link libsnappy and libmeshsub-crypto.
 *
 *   id = SHA-256(domain ‖ length of the topic, 8 bytes, little endian ‖ topic ‖ data), 20 bytes of it
 *        domain 01000000, data: the decompressed payload; of a payload that is no snappy block 00000000, and as it came
 *
 * Source: ethereum/consensus-specs, specs/phase0/p2p-interface.md and specs/altair/p2p-interface.md. */
#ifndef ETHEREUM_PROFILE_H
#define ETHEREUM_PROFILE_H
#include <meshsub/crypto.h>
#include <meshsub/engine.h>
#include <meshsub/gossipsub.h>
#include <meshsub/rpc.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>

#define ETHEREUM_PAYLOAD_MAX ((size_t)10 * 1024 * 1024) /* decompressed: MAX_PAYLOAD_SIZE */

/* The decompressed length that a block claims; false: it is no block, or too long. Every element of a block makes at most 64 bytes
 * out of three or more, so a claim beyond that is false, and nothing is allocated for it. */
static inline bool ethereum_length(msub_bytes block, size_t *n) {
  return snappy_uncompressed_length((const char *)block.p, block.n, n) == SNAPPY_OK && *n <= ETHEREUM_PAYLOAD_MAX && *n / 22 <= block.n;
}

static inline size_t ethereum_payload_out(const msub_channel *c, msub_bytes data, uint8_t *to, size_t cap) {
  (void)c;
  if (data.n > ETHEREUM_PAYLOAD_MAX) return SIZE_MAX;
  size_t n = snappy_max_compressed_length(data.n);
  if (n > cap) return n; /* called again with that much room */
  return snappy_compress((const char *)data.p, data.n, (char *)to, &n) == SNAPPY_OK ? n : SIZE_MAX;
}
static inline size_t ethereum_payload_in(const msub_channel *c, msub_bytes block, uint8_t *to, size_t cap) {
  size_t n;
  (void)c;
  if (!ethereum_length(block, &n)) return SIZE_MAX; /* rejected */
  if (n > cap) return n;
  return snappy_uncompress((const char *)block.p, block.n, (char *)to, &n) == SNAPPY_OK ? n : SIZE_MAX;
}

static inline size_t ethereum_hash(const uint8_t domain[4], msub_bytes topic, msub_bytes data, uint8_t out[20]) {
  size_t n = 12 + topic.n + data.n;
  uint8_t *all = (uint8_t *)malloc(n), hash[32];
  if (!all) return 0;
  memcpy(all, domain, 4);
  for (unsigned i = 0; i < 8; i++) all[4 + i] = (uint8_t)((uint64_t)topic.n >> 8 * i);
  if (topic.n) memcpy(all + 12, topic.p, topic.n);
  if (data.n) memcpy(all + 12 + topic.n, data.p, data.n);
  msub_sha256((msub_bytes){ all, n }, hash);
  free(all);
  memcpy(out, hash, 20);
  return 20;
}
/* A message-id function has no context: the topic's name is read from the message itself. 0 (ignored) without memory. */
static inline size_t ethereum_message_id(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  static const uint8_t valid[4] = { 1, 0, 0, 0 }, invalid[4] = { 0, 0, 0, 0 };
  msub_msg_view v;
  size_t n, id;
  if (msub_msg_parse((msub_bytes){ msub_wire(m), m->wire_n }, &v) != MSUB_OK) return 0;
  if (!ethereum_length(v.data, &n)) return ethereum_hash(invalid, v.topic, v.data, out);
  uint8_t *plain = (uint8_t *)malloc(n + 1);
  if (!plain) return 0;
  bool good = snappy_uncompress((const char *)v.data.p, v.data.n, (char *)plain, &n) == SNAPPY_OK;
  id = good ? ethereum_hash(valid, v.topic, (msub_bytes){ plain, n }, out) : ethereum_hash(invalid, v.topic, v.data, out);
  free(plain);
  return id;
}

static const msub_channel_policy ethereum_policy = {
  .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "ethereum", .sign = MSUB_SIGN_NEVER, .message_id = ethereum_message_id,
  .payload_out = ethereum_payload_out, .payload_in = ethereum_payload_in
};

/* Of the engine: payloads of 10 MiB, ids remembered for two epochs. Of the router: the mesh that the specification asks for. */
static inline void ethereum_engine_opts(msub_engine_opts *o) {
  o->sign = MSUB_STRICT_NO_SIGN;
  o->max_message = snappy_max_compressed_length(ETHEREUM_PAYLOAD_MAX) + 1024;
  o->max_rpc = o->max_message + 1024;
  o->seen_ttl_ns = UINT64_C(2) * 32 * 12 * 1000000000; /* epochs of 32 slots of 12 s */
}
static inline void ethereum_gossipsub_opts(msub_gossipsub_opts *o) {
  msub_gossipsub_opts_init(o);
  o->mesh.d = 8;
  o->mesh.dlo = 6;
  o->mesh.dhi = 12;
  o->mesh.dlazy = 6;
  o->heartbeat_ns = UINT64_C(700) * 1000000;
  o->history = 6;
  o->history_gossip = 3;
}
#endif
