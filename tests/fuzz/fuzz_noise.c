/* The Noise channel, with fixed keys. Input: a mode byte, then
 *   even mode: triples (message, place, mask) that are applied to an honest handshake and the records after
 * it: whoever received a changed byte must not open anything that was changed, nor know a peer that is not
 * the honest one; odd mode: the rest is the handshake payload of a peer that follows the pattern and says
 * what it likes. Messages 0 to 2 are the handshake's, 3 to 6 records each way. */
#include <string.h>
#include "tests/fuzz/fuzz.h"
#include "wire/noise.h"
#include "wire/noise_payload.h"

static msub__noise_kit *kit;
static msub_key *key[2];
static const msub_bytes muxer = { (const uint8_t *)"/yamux/1.0.0", 12 };

static void once(void) {
  uint8_t seed[32] = { 0 };
  if (kit) return;
  FUZZ_CHECK(msub__noise_kit_new(NULL, &kit) == MSUB_OK);
  for (int i = 0; i < 2; i++) {
    seed[0] = (uint8_t)(i + 1);
    FUZZ_CHECK(msub_key_from_seed(seed, &key[i]) == MSUB_OK);
  }
}

static msub__noise *make(int side) {
  uint8_t st[32], eph[32];
  msub__noise *out;
  memset(st, 3 + side, sizeof st);
  memset(eph, 7 + side, sizeof eph);
  msub__noise_options o = { .kit = kit,
                            .identity = key[side],
                            .muxers = &muxer,
                            .n_muxers = 1,
                            .initiator = side == 0,
                            .static_secret = st,
                            .ephemeral_secret = eph };
  if (side == 0) o.expect = msub_key_peer_id(key[1]);
  FUZZ_CHECK(msub__noise_new(&o, &out) == MSUB_OK);
  return out;
}

/* Whether the message is another one afterwards: two changes may cancel each other. */
static bool change(uint8_t *message, size_t size, unsigned which, const uint8_t *script, size_t n) {
  uint8_t before[MSUB__NOISE_HANDSHAKE_MAX];
  memcpy(before, message, size);
  for (size_t i = 0; i + 4 <= n; i += 4) {
    size_t at = (size_t)(script[i + 1] << 8 | script[i + 2]);
    if (script[i] % 7 == which && at < size) message[at] ^= script[i + 3];
  }
  return memcmp(before, message, size) != 0;
}

static void honest(const uint8_t *script, size_t n) {
  msub__noise *side[2] = { make(0), make(1) };
  uint8_t message[MSUB__NOISE_HANDSHAKE_MAX + 2], *plain;
  bool changed = false;
  size_t used;
  for (unsigned step = 0; step < 3; step++) {
    msub__noise *from = side[step % 2], *to = side[!(step % 2)];
    int size = msub__noise_output(from, message, MSUB__NOISE_HANDSHAKE_MAX);
    if (size < 0) break;
    changed |= change(message, (size_t)size, step, script, n);
    int err = msub__noise_input(to, (msub_bytes){ message, (size_t)size }, &used);
    if (err || used == 0) break;
  }
  for (int i = 0; i < 2; i++) {
    bool ready = msub__noise_turn_of(side[i]) == MSUB__NOISE_READY;
    msub_bytes peer = msub__noise_peer_id(side[i]);
    FUZZ_CHECK(ready ? msub_bytes_eq(peer, msub_key_peer_id(key[!i])) : peer.n == 0);
    FUZZ_CHECK(ready || changed);
  }
  for (unsigned m = 3; m < 7; m++) {
    msub__noise *from = side[m % 2], *to = side[!(m % 2)];
    uint8_t record[40 + MSUB__NOISE_OVERHEAD];
    memset(record, (int)m, sizeof record);
    int size = msub__noise_seal(from, record, 10 * (m - 3));
    if (size < 0) continue;
    bool bad = change(record, (size_t)size, m, script, n),
         over = msub__noise_turn_of(to) == MSUB__NOISE_FAILED;
    int err = msub__noise_open(to, record, (size_t)size, &plain, &used);
    FUZZ_CHECK(!bad || err < 0);
    FUZZ_CHECK(changed || bad || over || err == MSUB_OK);
    FUZZ_CHECK(err || used == 10 * (m - 3));
    for (size_t i = 0; !err && i < used; i++) FUZZ_CHECK(plain[i] == m);
  }
  msub__noise_free(side[0]);
  msub__noise_free(side[1]);
}

static void payload(msub_bytes say, int side) {
  uint8_t st[32], eph[32], message[MSUB__NOISE_HANDSHAKE_MAX + 8192 + 2];
  uint64_t memory[MSUB__NOISE_PAYLOAD_ARENA / 8];
  msub__noise_payload p;
  msub__noise_xx x;
  msub_bytes got;
  size_t used;
  int parsed = msub__noise_payload_parse(say, memory, &p);
  FUZZ_CHECK(parsed || p.n_muxers <= MSUB__NOISE_MUXERS_MAX);
  if (say.n > 8192) return;
  memset(st, 21, sizeof st);
  memset(eph, 22, sizeof eph);
  msub__noise *n = make(side);
  FUZZ_CHECK(msub__noise_xx_init(&x, kit, side == 1, st, eph, (msub_bytes){ 0 }) == MSUB_OK);
  for (unsigned step = 0; step < 3; step++) {
    if ((step % 2 == 0) == (side == 0)) {
      int size = msub__noise_output(n, message, MSUB__NOISE_HANDSHAKE_MAX);
      FUZZ_CHECK(size > 0);
      FUZZ_CHECK(msub__noise_xx_read(&x, message + 2, (size_t)size - 2, &got) == MSUB_OK);
    } else {
      int size = msub__noise_xx_write(&x, step ? say : (msub_bytes){ 0 }, message + 2);
      FUZZ_CHECK(size > 0);
      message[0] = (uint8_t)(size >> 8);
      message[1] = (uint8_t)size;
      if (msub__noise_input(n, (msub_bytes){ message, (size_t)size + 2 }, &used) != MSUB_OK) break;
    }
  }
  if (msub__noise_turn_of(n) == MSUB__NOISE_READY) {
    FUZZ_CHECK(parsed == MSUB_OK && msub_peer_id_check(msub__noise_peer_id(n)) == MSUB_OK);
  }
  msub__noise_free(n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  once();
  if (n < 1) return 0;
  if (data[0] % 2 == 0)
    honest(data + 1, n - 1);
  else
    payload((msub_bytes){ data + 1, n - 1 }, data[0] / 2 % 2);
  return 0;
}
