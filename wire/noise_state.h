/* wire/noise_state.h: what a channel consists of, for noise.c and its tests. What only the handshake needs
 * lies in a block of its own and goes, wiped, when it is over; an idle connection keeps two keys, two
 * counters and the peer's id. */
#ifndef MSUB_WIRE_NOISE_STATE_H
#define MSUB_WIRE_NOISE_STATE_H
#include "wire/noise.h"

typedef struct msub__noise_hs {
  msub__noise_xx xx;
  const msub_key *identity;
  const msub_bytes *muxers;
  size_t n_muxers;
  msub_peer_id expect; /* n 0: anyone */
  bool initiator;
  unsigned key_types, rsa_bits;
} msub__noise_hs;

struct msub__noise {
  msub_mem mem;
  msub__noise_kit *kit;
  msub__noise_hs *hs; /* NULL when READY or FAILED */
  msub__noise_cipher send, recv;
  uint8_t *key; /* the peer's public key when its id is a hash of it; otherwise NULL */
  uint16_t key_n;
  int8_t muxer;
  uint8_t turn;
  msub_peer_id peer;
};
#endif
