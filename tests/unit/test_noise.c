/* Noise: known answers for the handshake proper, then the libp2p channel with honest and hostile peers. Ids
 * in the messages are rows of the project's list of known mistakes with this protocol. */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include "base/rng.h"
#include "count_mem.h"
#include "wire/noise.h"
#include "wire/noise_payload.h"
#include "wire/noise_state.h"

static size_t unhex(const char *hex, uint8_t *out) {
  size_t n = 0;
  for (; hex[2 * n]; n++) {
    unsigned v;
    sscanf(hex + 2 * n, "%2x", &v);
    out[n] = (uint8_t)v;
  }
  return n;
}

static bool is_hex(const uint8_t *p, size_t n, const char *hex) {
  uint8_t want[512];
  return unhex(hex, want) == n && memcmp(want, p, n) == 0;
}

static void ascending(uint8_t out[32], unsigned from) {
  for (unsigned i = 0; i < 32; i++) out[i] = (uint8_t)(from + i);
}

static msub__noise_kit *kit;
static void setup(void) { cr_assert_eq(msub__noise_kit_new(NULL, &kit), MSUB_OK); }
static void teardown(void) { msub__noise_kit_free(kit); }
TestSuite(noise, .init = setup, .fini = teardown);

/* flynn/noise vectors.txt, Noise_XX_25519_ChaChaPoly_SHA256, empty prologue and payloads */
Test(noise, known_answers) {
  static const char *const messages[] = {
    "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254",
    "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d484663414af878d3e46a2f58911a816d6e8346d4ea17a"
    "6f2a0bb4"
    "ef4ed56c133cff4560a34e36ea82109f26cf2e5a5caf992b608d55c747f615e5a3425a7a19eefb8f",
    "87f864c11ba449f46a0a4f4e2eacbb7b0457784f4fca1937f572c93603e9c4d97e5ea11b16f3968710b23a3be3202dc1b5e1ce3c"
    "96334749"
    "1e74f5c0768a9b42",
  };
  static const struct {
    const char *plain, *cipher;
  } transport[] = {
    { "79656c6c6f777375626d6172696e65", "a52ef02ba60e12696d1d6b9ef4245c88fca757b6134ad6e76b56e310a6adf6" },
    { "7375626d6172696e6579656c6c6f77", "2445aa438ebd649281c636cc7269ca82f1d9023d72520943aeabf909cdf521" },
  };
  uint8_t is[32], rs[32], ie[32], re[32], message[256];
  msub__noise_xx x[2];
  msub__noise_cipher send[2], recv[2];
  msub_bytes payload;
  ascending(is, 0x00);
  ascending(rs, 0x01);
  ascending(ie, 0x20);
  ascending(re, 0x41);
  cr_assert_eq(msub__noise_xx_init(&x[0], kit, true, is, ie, (msub_bytes){ 0 }), MSUB_OK);
  cr_assert_eq(msub__noise_xx_init(&x[1], kit, false, rs, re, (msub_bytes){ 0 }), MSUB_OK);
  for (unsigned step = 0; step < 3; step++) {
    int n = msub__noise_xx_write(&x[step % 2], (msub_bytes){ 0 }, message);
    cr_assert_eq((size_t)n, msub__noise_xx_overhead(step));
    cr_assert(is_hex(message, (size_t)n, messages[step]), "message %u", step);
    cr_assert_eq(msub__noise_xx_read(&x[!(step % 2)], message, (size_t)n, &payload), MSUB_OK);
    cr_assert_eq(payload.n, 0);
  }
  for (int i = 0; i < 2; i++) {
    cr_assert_eq(msub__noise_xx_split(&x[i], &send[i], &recv[i]), MSUB_OK);
    for (size_t k = 0; k < sizeof x[i]; k++)
      cr_assert_eq(((uint8_t *)&x[i])[k], 0, "N-04 the handshake's secrets are wiped");
  }
  for (int i = 0; i < 2; i++) { /* initiator first, then responder */
    size_t n = unhex(transport[i].plain, message);
    cr_assert_eq(msub__noise_encrypt(kit, &send[i], (msub_bytes){ 0 }, message, n), MSUB_OK);
    cr_assert(is_hex(message, n + 16, transport[i].cipher), "transport message %d", i);
    cr_assert_eq(msub__noise_decrypt(kit, &recv[!i], (msub_bytes){ 0 }, message, n), MSUB_OK);
    cr_assert(is_hex(message, n, transport[i].plain));
  }
}

/* N-03: 64 bits of nonce, little-endian behind four zero bytes, checked against another implementation. N-01:
 * the end. */
Test(noise, nonces) {
  static const uint64_t at[] = {
    0, 1, 0xffffffff, 0x100000000, 0x100000001, UINT64_C(0x0102030405060708), UINT64_MAX - 1
  };
  msub__noise_cipher c, d;
  ascending(c.key, 7);
  for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
    uint8_t data[5 + 16] = "hello", want[5 + 16], iv[12] = { 0 };
    for (unsigned k = 0; k < 8; k++) iv[4 + k] = (uint8_t)(at[i] >> (8 * k));
    crypto_aead_chacha20poly1305_ietf_encrypt(want, NULL, (const uint8_t *)"hello", 5, (const uint8_t *)"ad",
                                              2, NULL, iv, c.key);
    c.nonce = at[i];
    d = c;
    cr_assert_eq(msub__noise_encrypt(kit, &c, (msub_bytes){ (const uint8_t *)"ad", 2 }, data, 5), MSUB_OK);
    cr_assert_arr_eq(data, want, sizeof want, "N-03 nonce %zu", i);
    cr_assert_eq(c.nonce, at[i] + 1);
    data[0] ^= 1;
    cr_assert_eq(msub__noise_decrypt(kit, &d, (msub_bytes){ (const uint8_t *)"ad", 2 }, data, 5),
                 MSUB_ERR_CRYPTO);
    cr_assert_eq(d.nonce, at[i], "N-02 a record that does not verify leaves the nonce alone");
  }
  uint8_t data[16] = { 0 };
  c.nonce = d.nonce = UINT64_MAX;
  cr_assert_eq(msub__noise_encrypt(kit, &c, (msub_bytes){ 0 }, data, 0), MSUB_ERR_CRYPTO,
               "N-01 the last nonce is never used");
  cr_assert_eq(msub__noise_decrypt(kit, &d, (msub_bytes){ 0 }, data, 0), MSUB_ERR_CRYPTO, "N-01");
}

/* ---- the channel ---- */

static const msub_bytes yamux = { (const uint8_t *)"/yamux/1.0.0", 12 };

typedef struct side {
  msub_key *key;
  msub__noise *n;
  uint8_t buf[8192];
  size_t have;
} side;

static void make(side *s, bool initiator, unsigned seed, msub_bytes expect, const msub_bytes *muxers,
                 size_t n_muxers) {
  uint8_t identity[32], st[32], eph[32];
  memset(identity, (int)seed, 32);
  ascending(st, seed);
  ascending(eph, seed + 64);
  memset(s, 0, sizeof *s);
  cr_assert_eq(msub_key_from_seed(identity, &s->key), MSUB_OK);
  msub__noise_options o = { .kit = kit,
                            .identity = s->key,
                            .expect = expect,
                            .muxers = muxers,
                            .n_muxers = n_muxers,
                            .initiator = initiator,
                            .static_secret = st,
                            .ephemeral_secret = eph };
  cr_assert_eq(msub__noise_new(&o, &s->n), MSUB_OK);
}

static void done(side *s) {
  msub__noise_free(s->n);
  msub_key_free(s->key);
}

/* Lets `from` write its next message into `to`'s buffer. */
static int write_to(side *from, side *to) {
  int n = msub__noise_output(from->n, to->buf + to->have, sizeof to->buf - to->have);
  if (n > 0) to->have += (size_t)n;
  return n;
}

static int read_all(side *s, size_t step) {
  size_t used = 0;
  int err = MSUB_OK;
  for (size_t have = step < s->have ? step : s->have; !err && !used;
       have = have + step < s->have ? have + step : s->have) {
    err = msub__noise_input(s->n, (msub_bytes){ s->buf, have }, &used);
    cr_assert(used == 0 || used <= have);
    if (have == s->have) break;
  }
  memmove(s->buf, s->buf + used, s->have - used);
  s->have -= used;
  return err;
}

static int shake(side *i, side *r, size_t step) {
  int err = MSUB_OK;
  if (write_to(i, r) < 0) return -100;
  if ((err = read_all(r, step)) || (err = write_to(r, i)) < 0) return err;
  if ((err = read_all(i, step)) || (err = write_to(i, r)) < 0) return err;
  return read_all(r, step);
}

Test(noise, channel) {
  side i, r;
  for (size_t step = 1; step < 400; step = step * 2 + 1) {
    make(&r, false, 2, (msub_bytes){ 0 }, &yamux, 1);
    make(&i, true, 1, msub_key_peer_id(r.key), &yamux, 1);
    cr_assert_eq(msub__noise_turn_of(i.n), MSUB__NOISE_WRITE);
    cr_assert_eq(msub__noise_turn_of(r.n), MSUB__NOISE_READ);
    cr_assert_eq(msub__noise_peer_id(i.n).n, 0, "nothing is exposed before the end");
    size_t size_before = msub__noise_bytes(i.n);
    cr_assert_eq(shake(&i, &r, step), MSUB_OK, "step %zu", step);
    cr_assert_eq(msub__noise_turn_of(i.n), MSUB__NOISE_READY);
    cr_assert_eq(msub__noise_turn_of(r.n), MSUB__NOISE_READY);
    cr_assert(msub_bytes_eq(msub__noise_peer_id(i.n), msub_key_peer_id(r.key)));
    cr_assert(msub_bytes_eq(msub__noise_peer_id(r.n), msub_key_peer_id(i.key)));
    cr_assert(msub_bytes_eq(msub__noise_peer_key(i.n), msub_key_public(r.key)));
    cr_assert(msub__noise_muxer(i.n) == 0 && msub__noise_muxer(r.n) == 0);
    cr_assert(msub__noise_bytes(i.n) < size_before && msub__noise_bytes(i.n) <= 256,
              "an idle channel is small: %zu", msub__noise_bytes(i.n));
    done(&i);
    done(&r);
  }
  /* sizes that stock peers see: 32, 200 and 168 bytes with an Ed25519 identity, and a muxer is 16 more */
  for (size_t n = 0; n < 2; n++) {
    make(&r, false, 2, (msub_bytes){ 0 }, &yamux, n);
    make(&i, true, 1, (msub_bytes){ 0 }, &yamux, n);
    cr_assert_eq(write_to(&i, &r), 2 + 32);
    cr_assert_eq(read_all(&r, 1000), MSUB_OK);
    cr_assert_eq((size_t)write_to(&r, &i), 2 + 200 + 16 * n);
    cr_assert_eq(read_all(&i, 1000), MSUB_OK);
    cr_assert_eq((size_t)write_to(&i, &r), 2 + 168 + 16 * n);
    cr_assert_eq(read_all(&r, 1000), MSUB_OK);
    cr_assert_eq(msub__noise_muxer(i.n), n ? 0 : -1);
    done(&i);
    done(&r);
  }
  /* wrong turns change nothing */
  uint8_t small[100], out[MSUB__NOISE_HANDSHAKE_MAX];
  size_t used;
  uint8_t *plain;
  make(&r, false, 2, (msub_bytes){ 0 }, &yamux, 1);
  make(&i, true, 1, (msub_bytes){ 0 }, &yamux, 1);
  cr_assert_eq(msub__noise_output(r.n, out, sizeof out), MSUB_ERR_STATE);
  cr_assert_eq(msub__noise_input(i.n, (msub_bytes){ small, 100 }, &used), MSUB_ERR_STATE);
  cr_assert_eq(msub__noise_output(i.n, small, sizeof small), MSUB_ERR_LIMIT);
  cr_assert_eq(msub__noise_seal(i.n, out, 1), MSUB_ERR_STATE);
  cr_assert_eq(msub__noise_open(i.n, out, 40, &plain, &used), MSUB_ERR_STATE);
  cr_assert_eq(shake(&i, &r, 1000), MSUB_OK);
  done(&i);
  done(&r);
}

Test(noise, muxers) {
  msub_bytes a = { (const uint8_t *)"/a", 2 }, b = { (const uint8_t *)"/b", 2 },
             c = { (const uint8_t *)"/c", 2 };
  static const struct {
    int n_i, n_r, i, r;
  } table[] = { { 0, 0, -1, -1 }, { 1, 0, -1, -1 }, { 0, 1, -1, -1 }, { 1, 1, 0, 0 },
                { 1, 2, 0, 1 },   { 2, 1, 1, 0 },   { 2, 2, 0, 1 } };
  msub_bytes of_i[] = { a, b }, of_r_reversed[] = { b, a }, other[] = { c };
  for (size_t k = 0; k < sizeof table / sizeof table[0]; k++) {
    side i, r;
    const msub_bytes *list_r = table[k].n_r == 1 && table[k].n_i == 1 ? of_i : of_r_reversed;
    make(&i, true, 1, (msub_bytes){ 0 }, of_i, (size_t)table[k].n_i);
    make(&r, false, 2, (msub_bytes){ 0 }, list_r, (size_t)table[k].n_r);
    cr_assert_eq(shake(&i, &r, 1000), MSUB_OK);
    cr_assert(msub__noise_muxer(i.n) == table[k].i && msub__noise_muxer(r.n) == table[k].r, "row %zu: %d %d",
              k, msub__noise_muxer(i.n), msub__noise_muxer(r.n));
    done(&i);
    done(&r);
  }
  side i, r;
  make(&i, true, 1, (msub_bytes){ 0 }, of_i, 2);
  make(&r, false, 2, (msub_bytes){ 0 }, other, 1);
  cr_assert_eq(shake(&i, &r, 1000), MSUB_OK, "nothing in common: the caller falls back to multistream");
  cr_assert(msub__noise_muxer(i.n) == -1 && msub__noise_muxer(r.n) == -1);
  done(&i);
  done(&r);
}

Test(noise, expected_peer) {
  side i, r, other;
  make(&other, false, 9, (msub_bytes){ 0 }, &yamux, 1);
  make(&r, false, 2, (msub_bytes){ 0 }, &yamux, 1);
  make(&i, true, 1, msub_key_peer_id(other.key), &yamux, 1);
  write_to(&i, &r);
  cr_assert_eq(read_all(&r, 1000), MSUB_OK);
  write_to(&r, &i);
  cr_assert_eq(read_all(&i, 1000), MSUB_ERR_MISMATCH, "N-12 dialled A, met B");
  cr_assert_eq(msub__noise_turn_of(i.n), MSUB__NOISE_FAILED);
  cr_assert_eq(msub__noise_peer_id(i.n).n, 0, "N-12 B is not exposed");
  uint8_t out[MSUB__NOISE_HANDSHAKE_MAX];
  cr_assert_eq(msub__noise_output(i.n, out, sizeof out), MSUB_ERR_STATE, "N-12 and hears nothing more");
  done(&i);
  done(&r);
  make(&r, false, 2, msub_key_peer_id(other.key), &yamux, 1); /* a listener may expect someone too */
  make(&i, true, 1, (msub_bytes){ 0 }, &yamux, 1);
  cr_assert_eq(shake(&i, &r, 1000), MSUB_ERR_MISMATCH, "N-12 as responder");
  done(&i);
  done(&r);
  done(&other);
}

/* N-10: every byte of every message mutated, every truncation: the handshake fails (or, for the
 * unauthenticated first message, the next one does), is over, and exposes nobody. */
Test(noise, mutated_handshakes) {
  side i, r;
  size_t sizes[3] = { 34, 218, 186 };
  for (unsigned which = 0; which < 3; which++) {
    for (size_t at = 0; at < sizes[which]; at += which ? 3 : 1) {
      make(&r, false, 2, (msub_bytes){ 0 }, &yamux, 1);
      make(&i, true, 1, (msub_bytes){ 0 }, &yamux, 1);
      int err = MSUB_OK;
      for (unsigned step = 0; step < 3 && !err; step++) {
        side *from = step % 2 ? &r : &i, *to = step % 2 ? &i : &r;
        if (write_to(from, to) < 0) break;
        if (step == which) {
          cr_assert_eq(to->have, sizes[which]);
          to->buf[at] ^= 0x10;
        }
        err = read_all(to, 1000);
        if (!err && step == which && to->have > 0) err = 1; /* it waits for more: the deadline ends it */
      }
      cr_assert_neq(err, MSUB_OK, "N-10 message %u byte %zu", which, at);
      side *victim = which == 1 ? &i : &r;
      cr_assert(which == 0 || msub__noise_turn_of(victim->n) != MSUB__NOISE_READY);
      cr_assert_eq(msub__noise_peer_id(victim->n).n, 0);
      done(&i);
      done(&r);
    }
  }
  static const struct {
    const char *what;
    uint8_t head[2];
    int err;
  } lengths[] = {
    { "N-10 empty message", { 0, 0 }, MSUB_ERR_MALFORMED },
    { "N-10 31 bytes", { 0, 31 }, MSUB_ERR_MALFORMED },
    { "N-10 a payload of 4 KiB", { 0x10, 0x20 }, MSUB_OK },
    { "N-10 one byte more", { 0x10, 0x21 }, MSUB_ERR_LIMIT },
    { "N-10 64 KiB", { 0xff, 0xff }, MSUB_ERR_LIMIT },
  };
  for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
    size_t used;
    make(&r, false, 2, (msub_bytes){ 0 }, &yamux, 1);
    cr_assert_eq(msub__noise_input(r.n, (msub_bytes){ lengths[k].head, 2 }, &used), lengths[k].err, "%s",
                 lengths[k].what);
    cr_assert_eq(used, 0);
    done(&r);
  }
}

/* A peer with its own idea of the payload: XX by hand as initiator against our responder, and as responder
 * against our initiator. */
static int meet(msub_bytes payload, bool we_initiate, msub_bytes expect) {
  uint8_t st[32], eph[32], message[8192], out[MSUB__NOISE_HANDSHAKE_MAX];
  msub__noise_xx x;
  msub_bytes got;
  side s;
  size_t used;
  ascending(st, 100);
  ascending(eph, 140);
  cr_assert_eq(msub__noise_xx_init(&x, kit, !we_initiate, st, eph, (msub_bytes){ 0 }), MSUB_OK);
  make(&s, we_initiate, 3, expect, &yamux, 1);
  int err = MSUB_OK;
  for (unsigned step = 0; step < 3 && !err; step++) {
    if ((step % 2 == 0) == we_initiate) {
      int n = msub__noise_output(s.n, out, sizeof out);
      cr_assert(n > 0);
      cr_assert_eq(msub__noise_xx_read(&x, out + 2, (size_t)n - 2, &got), MSUB_OK);
    } else {
      int n = msub__noise_xx_write(&x, step ? payload : (msub_bytes){ 0 }, message + 2);
      cr_assert(n > 0 && n < 8000);
      message[0] = (uint8_t)(n >> 8);
      message[1] = (uint8_t)n;
      err = msub__noise_input(s.n, (msub_bytes){ message, (size_t)n + 2 }, &used);
    }
  }
  cr_assert((err != MSUB_OK) == (msub__noise_turn_of(s.n) == MSUB__NOISE_FAILED));
  cr_assert(err == MSUB_OK || msub__noise_peer_id(s.n).n == 0);
  done(&s);
  return err;
}

static int meet_both(msub_bytes payload) {
  int a = meet(payload, true, (msub_bytes){ 0 }), b = meet(payload, false, (msub_bytes){ 0 });
  cr_assert_eq(a, b, "both roles judge alike: %d %d", a, b);
  return a;
}

/* An RSA key as a PublicKey protobuf, of `bits` bits; only its form is right. */
static size_t rsa_key(unsigned bits, uint8_t *out) {
  size_t mod = bits / 8 + 1, integers = 4 + mod + 5, bit_string = 4 + integers + 1,
         body = 15 + 4 + bit_string, at = 0;
  static const uint8_t rsa_oid[] = { 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86,
                                     0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00 };
  uint8_t *der = out + 5;
#define LONG(tag, n)                                                                                         \
  (der[at] = (tag), der[at + 1] = 0x82, der[at + 2] = (uint8_t)((n) >> 8), der[at + 3] = (uint8_t)(n),       \
   at += 4)
  LONG(0x30, body);
  memcpy(der + at, rsa_oid, 15);
  at += 15;
  LONG(0x03, bit_string);
  der[at++] = 0;
  LONG(0x30, integers);
  LONG(0x02, mod);
  der[at] = 0;
  memset(der + at + 1, 0xc5, mod - 1);
  at += mod;
  memcpy(der + at, "\x02\x03\x01\x00\x01", 5);
  at += 5;
  out[0] = 0x08, out[1] = 0x00, out[2] = 0x12, out[3] = (uint8_t)(at | 0x80), out[4] = (uint8_t)(at >> 7);
  return at + 5;
}

Test(noise, hostile_identities) {
  uint8_t seed[32] = { 77 }, st[32], st_pub[32], sig[MSUB_SIG_MAX], buf[8192], zero[64] = { 0 };
  msub_key *key;
  msub__noise_payload p = { 0 };
  cr_assert_eq(msub_key_from_seed(seed, &key), MSUB_OK);
  ascending(st, 100);
  crypto_scalarmult_curve25519_base(st_pub, st);
  int n = msub__noise_sign_static(key, st_pub, sig);
  cr_assert_eq(n, 64);
#define SAY() meet_both((msub_bytes){ buf, msub__noise_payload_encode(&p, buf, sizeof buf) })
  p.key = msub_key_public(key);
  p.signature = (msub_bytes){ sig, 64 };
  cr_assert_eq(SAY(), MSUB_OK, "the honest one");

  p.signature = (msub_bytes){ zero, 64 };
  cr_assert_eq(SAY(), MSUB_ERR_CRYPTO, "N-05 a signature of zeros");
  uint8_t noise_sig[64];
  memset(noise_sig, 0x5a, 64);
  p.signature = (msub_bytes){ noise_sig, 64 };
  cr_assert_eq(SAY(), MSUB_ERR_CRYPTO, "N-05 random bytes");
  for (size_t bit = 0; bit < 512; bit += 37) {
    sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
    p.signature = (msub_bytes){ sig, 64 };
    cr_assert_eq(SAY(), MSUB_ERR_CRYPTO, "N-05 bit %zu of the signature", bit);
    sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
  }
  for (size_t cut = 0; cut < 64; cut += 21) {
    p.signature = (msub_bytes){ sig, cut };
    cr_assert(SAY() < 0, "N-05 %zu bytes of signature", cut);
  }
  msub_bytes other_msg[2] = { { (const uint8_t *)"noise-libp2p-static-key:", 24 }, { st, 32 } };
  uint8_t other_sig[MSUB_SIG_MAX];
  cr_assert_eq(msub_key_sign_parts(key, other_msg, 2, other_sig, sizeof other_sig), 64);
  p.signature = (msub_bytes){ other_sig, 64 };
  cr_assert_eq(SAY(), MSUB_ERR_CRYPTO, "N-04 a signature over another static key");
  cr_assert_eq(msub_key_sign(key, (msub_bytes){ st_pub, 32 }, other_sig, sizeof other_sig), 64);
  cr_assert_eq(SAY(), MSUB_ERR_CRYPTO, "N-05 without the prefix");

  p.signature = (msub_bytes){ sig, 64 };
  p.key = (msub_bytes){ 0 };
  cr_assert(SAY() < 0, "N-10 no key");
  uint8_t bad_key[64];
  memcpy(bad_key, msub_key_public(key).p, 36);
  static const uint8_t small_order[32] = { 1 };
  memcpy(bad_key + 4, small_order, 32);
  p.key = (msub_bytes){ bad_key, 36 };
  cr_assert(SAY() < 0, "N-08 an identity key of small order");
  for (size_t cut = 0; cut < 36; cut += 5) {
    p.key = (msub_bytes){ msub_key_public(key).p, cut };
    cr_assert(SAY() < 0, "N-14 a key cut to %zu", cut);
  }
  static const unsigned bits[] = { 1024, 2048, 4096, 8192, 16384 };
  static uint8_t rsa[4096];
  for (size_t i = 0; i < 5; i++) {
    memset(noise_sig, 0x11, sizeof noise_sig);
    static uint8_t long_sig[1024];
    memset(long_sig, 0x11, sizeof long_sig);
    p.key = (msub_bytes){ rsa, rsa_key(bits[i], rsa) };
    p.signature = (msub_bytes){ long_sig, bits[i] / 8 < 1024 ? bits[i] / 8 : 1024 };
    cr_assert(SAY() < 0, "N-06 an RSA key of %u bits that signed nothing", bits[i]);
  }
  /* payloads that are no payloads; and one that is as large as it may be */
  static uint8_t junk[MSUB__NOISE_PAYLOAD_MAX + 1];
  cr_assert(meet_both((msub_bytes){ 0 }) < 0, "N-10 empty payload");
  memset(junk, 0xff, sizeof junk);
  cr_assert_eq(meet_both((msub_bytes){ junk, 100 }), MSUB_ERR_MALFORMED, "N-10 no protobuf");
  for (size_t i = 0; i + 1 < sizeof junk; i += 2) memcpy(junk + i, "\x22\x00", 2);
  cr_assert(meet_both((msub_bytes){ junk, 4096 }) < 0, "N-10 2,048 empty extensions");
  p.key = msub_key_public(key);
  p.signature = (msub_bytes){ sig, 64 };
  size_t used = msub__noise_payload_encode(&p, junk, sizeof junk);
  size_t pad = MSUB__NOISE_PAYLOAD_MAX - used - 3;
  junk[used] = 0x7a; /* an unknown field */
  junk[used + 1] = (uint8_t)(pad | 0x80);
  junk[used + 2] = (uint8_t)(pad >> 7);
  cr_assert_eq(meet_both((msub_bytes){ junk, MSUB__NOISE_PAYLOAD_MAX }), MSUB_OK,
               "a payload of exactly 4 KiB");
  cr_assert_eq(meet_both((msub_bytes){ junk, MSUB__NOISE_PAYLOAD_MAX + 1 }), MSUB_ERR_LIMIT, "one byte more");
  msub_key_free(key);
}

/* N-09: the points of small order, as ephemeral key and as static key. */
Test(noise, small_order_points) {
  static const char *const points[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  };
  for (size_t k = 0; k < 7; k++) {
    side i, r;
    uint8_t message[34] = { 0, 32 }, out[MSUB__NOISE_HANDSHAKE_MAX];
    size_t used;
    make(&r, false, 2, (msub_bytes){ 0 }, &yamux, 1);
    unhex(points[k], message + 2);
    cr_assert_eq(msub__noise_input(r.n, (msub_bytes){ message, 34 }, &used), MSUB_OK);
    cr_assert_eq(msub__noise_output(r.n, out, sizeof out), MSUB_ERR_CRYPTO, "N-09 ephemeral %zu", k);
    cr_assert_eq(msub__noise_turn_of(r.n), MSUB__NOISE_FAILED);
    done(&r);

    make(&i, true, 1, (msub_bytes){ 0 }, &yamux, 1);
    cr_assert(msub__noise_output(i.n, out, sizeof out) > 0);
    uint8_t second[2 + 200] = { 0, 200 };
    unhex(points[k], second + 2);
    cr_assert_eq(msub__noise_input(i.n, (msub_bytes){ second, sizeof second }, &used), MSUB_ERR_CRYPTO,
                 "N-09 answer %zu", k);
    done(&i);

    /* as a static key: a peer that follows the pattern up to it */
    uint8_t st[32], eph[32], m[256];
    msub__noise_xx x;
    msub_bytes got;
    ascending(st, 100);
    ascending(eph, 140);
    cr_assert_eq(msub__noise_xx_init(&x, kit, true, st, eph, (msub_bytes){ 0 }), MSUB_OK);
    unhex(points[k], x.s_pub);
    make(&r, false, 2, (msub_bytes){ 0 }, &yamux, 1);
    int n = msub__noise_xx_write(&x, (msub_bytes){ 0 }, m + 2);
    m[0] = 0, m[1] = (uint8_t)n;
    cr_assert_eq(msub__noise_input(r.n, (msub_bytes){ m, (size_t)n + 2 }, &used), MSUB_OK);
    n = msub__noise_output(r.n, out, sizeof out);
    cr_assert_eq(msub__noise_xx_read(&x, out + 2, (size_t)n - 2, &got), MSUB_OK);
    n = msub__noise_xx_write(&x, (msub_bytes){ 0 }, m + 2);
    m[0] = 0, m[1] = (uint8_t)n;
    cr_assert_eq(msub__noise_input(r.n, (msub_bytes){ m, (size_t)n + 2 }, &used), MSUB_ERR_CRYPTO,
                 "N-09 static %zu", k);
    done(&r);
  }
}

Test(noise, records) {
  static uint8_t record[MSUB__NOISE_PLAIN_MAX + MSUB__NOISE_OVERHEAD + 1];
  static const size_t sizes[] = { 0, 1, 16, 1000, MSUB__NOISE_PLAIN_MAX - 1, MSUB__NOISE_PLAIN_MAX };
  side i, r;
  uint8_t *plain;
  size_t n;
  make(&r, false, 2, (msub_bytes){ 0 }, &yamux, 1);
  make(&i, true, 1, (msub_bytes){ 0 }, &yamux, 1);
  cr_assert_eq(shake(&i, &r, 1000), MSUB_OK);
  for (unsigned round = 0; round < 40; round++) {
    size_t size = sizes[round % 6];
    msub__noise *from = round & 8 ? r.n : i.n, *to = round & 8 ? i.n : r.n;
    for (size_t k = 0; k < size; k++) record[2 + k] = (uint8_t)(k * 7 + round);
    int total = msub__noise_seal(from, record, size);
    cr_assert_eq((size_t)total, size + MSUB__NOISE_OVERHEAD);
    cr_assert_eq(msub__noise_record_size((msub_bytes){ record, 1 }), 0);
    cr_assert_eq(msub__noise_record_size((msub_bytes){ record, 2 }), total);
    cr_assert_eq(msub__noise_open(to, record, (size_t)total, &plain, &n), MSUB_OK);
    cr_assert(plain == record + 2 && n == size);
    for (size_t k = 0; k < size; k++) cr_assert_eq(record[2 + k], (uint8_t)(k * 7 + round));
  }
  cr_assert_eq(msub__noise_seal(i.n, record, MSUB__NOISE_PLAIN_MAX + 1), MSUB_ERR_LIMIT, "65,520 bytes");
  cr_assert_eq(msub__noise_record_size((msub_bytes){ (const uint8_t *)"\0\x0f", 2 }), MSUB_ERR_MALFORMED);
  cr_assert_eq(msub__noise_record_size((msub_bytes){ (const uint8_t *)"\0\x10", 2 }), 18);
  done(&i);
  done(&r);
  /* N-01: each byte of a record flipped, a replay, a swap: the connection is over and no plaintext comes any
   * more */
  for (size_t at = 0; at < 5 + 18 + 3; at++) {
    uint8_t first[5 + 18], second[5 + 18];
    make(&r, false, 2, (msub_bytes){ 0 }, &yamux, 1);
    make(&i, true, 1, (msub_bytes){ 0 }, &yamux, 1);
    cr_assert_eq(shake(&i, &r, 1000), MSUB_OK);
    memcpy(first + 2, "hello", 5);
    memcpy(second + 2, "world", 5);
    cr_assert_eq(msub__noise_seal(i.n, first, 5), 23);
    cr_assert_eq(msub__noise_seal(i.n, second, 5), 23);
    if (at < 23) {
      first[at] ^= 0x40;
      cr_assert(msub__noise_open(r.n, first, 23, &plain, &n) < 0, "N-01 byte %zu", at);
    } else if (at == 23) {
      uint8_t again[23];
      memcpy(again, first, 23);
      cr_assert_eq(msub__noise_open(r.n, first, 23, &plain, &n), MSUB_OK);
      cr_assert_eq(msub__noise_open(r.n, again, 23, &plain, &n), MSUB_ERR_CRYPTO, "N-01 replay");
    } else if (at == 24) {
      cr_assert_eq(msub__noise_open(r.n, second, 23, &plain, &n), MSUB_ERR_CRYPTO, "N-01 out of order");
      for (size_t k = 0; k < 23; k++)
        cr_assert_eq(second[k], 0, "what did not verify is not left lying about");
    } else {
      cr_assert_eq(msub__noise_open(i.n, first, 23, &plain, &n), MSUB_ERR_CRYPTO, "N-01 reflected");
      cr_assert_eq(msub__noise_open(i.n, second, 23, &plain, &n), MSUB_ERR_STATE, "N-01 over");
      done(&i);
      done(&r);
      continue;
    }
    cr_assert_eq(msub__noise_open(r.n, second, 23, &plain, &n), MSUB_ERR_STATE,
                 "N-01 no further plaintext after byte %zu", at);
    cr_assert_eq(msub__noise_seal(r.n, second, 5), MSUB_ERR_STATE);
    done(&i);
    done(&r);
  }
  /* N-01: the end is far below the nonce's, and is the end of the connection, each way */
  for (int sending = 0; sending < 2; sending++) {
    uint8_t data[2][18];
    make(&r, false, 2, (msub_bytes){ 0 }, &yamux, 1);
    make(&i, true, 1, (msub_bytes){ 0 }, &yamux, 1);
    cr_assert_eq(shake(&i, &r, 1000), MSUB_OK);
    i.n->send.nonce = r.n->recv.nonce = MSUB__NOISE_RECORDS_MAX - 1;
    cr_assert_eq(msub__noise_seal(i.n, data[0], 0), 18, "N-01 the last record");
    cr_assert_eq(msub__noise_open(r.n, data[0], 18, &plain, &n), MSUB_OK);
    if (sending) {
      cr_assert_eq(msub__noise_seal(i.n, data[1], 0), MSUB_ERR_CRYPTO, "N-01 one more");
      cr_assert_eq(msub__noise_turn_of(i.n), MSUB__NOISE_FAILED);
    } else {
      cr_assert_eq(msub__noise_encrypt(kit, &i.n->send, (msub_bytes){ 0 }, data[1] + 2, 0), MSUB_OK);
      data[1][0] = 0, data[1][1] = 16;
      cr_assert_eq(msub__noise_open(r.n, data[1], 18, &plain, &n), MSUB_ERR_CRYPTO, "N-01 one more received");
      cr_assert_eq(msub__noise_turn_of(r.n), MSUB__NOISE_FAILED);
    }
    done(&i);
    done(&r);
  }
}

/* A peer whose id is a hash of its key (ECDSA): the key is kept, and counted. */
static size_t ecdsa_payload(const uint8_t static_key[32], uint8_t *out, size_t cap, uint8_t *key,
                            size_t *key_n) {
  static uint8_t signature[128];
  uint8_t what[24 + 32], *der = NULL;
  EVP_PKEY *k = EVP_EC_gen("P-256");
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  int der_n = i2d_PUBKEY(k, &der);
  size_t signature_n = sizeof signature;
  cr_assert(der_n > 0 && der_n < 128);
  memcpy(key, (uint8_t[]){ 0x08, 0x03, 0x12, (uint8_t)der_n }, 4);
  memcpy(key + 4, der, (size_t)der_n);
  *key_n = 4 + (size_t)der_n;
  memcpy(what, "noise-libp2p-static-key:", 24);
  memcpy(what + 24, static_key, 32);
  cr_assert_eq(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k), 1);
  cr_assert_eq(EVP_DigestSign(ctx, signature, &signature_n, what, sizeof what), 1);
  msub__noise_payload p = { .key = { key, *key_n }, .signature = { signature, signature_n } };
  OPENSSL_free(der);
  EVP_MD_CTX_free(ctx);
  EVP_PKEY_free(k);
  return msub__noise_payload_encode(&p, out, cap);
}

Test(noise, hashed_ids_and_memory) {
  count_mem c = { .live_blocks = 0 };
  msub_mem mem = count_mem_of(&c);
  uint8_t st[32], eph[32], seed[32] = { 5 }, payload[1024], key[200], message[2048],
                           out[MSUB__NOISE_HANDSHAKE_MAX];
  msub_key *identity;
  msub__noise_xx x;
  msub_bytes got;
  size_t key_n, used;
  cr_assert_eq(msub_key_from_seed(seed, &identity), MSUB_OK);
  for (size_t at = 1; at <= 4; at++) { /* three allocations: object, handshake, key */
    msub__noise *n = NULL;
    ascending(st, 100);
    ascending(eph, 140);
    cr_assert_eq(msub__noise_xx_init(&x, kit, true, st, eph, (msub_bytes){ 0 }), MSUB_OK);
    size_t payload_n = ecdsa_payload(x.s_pub, payload, sizeof payload, key, &key_n);
    ascending(st, 1);
    ascending(eph, 2);
    msub__noise_options o = {
      .mem = &mem, .kit = kit, .identity = identity, .static_secret = st, .ephemeral_secret = eph
    };
    c.fail_after = at;
    int err = msub__noise_new(&o, &n);
    cr_assert_eq(err, at < 3 ? MSUB_ERR_NOMEM : MSUB_OK);
    for (unsigned step = 0; step < 3 && !err; step++) {
      if (step == 1) {
        int size = msub__noise_output(n, out, sizeof out);
        cr_assert(size > 0);
        cr_assert_eq(msub__noise_xx_read(&x, out + 2, (size_t)size - 2, &got), MSUB_OK);
      } else {
        int size = msub__noise_xx_write(&x, (msub_bytes){ payload, step ? payload_n : 0 }, message + 2);
        message[0] = (uint8_t)(size >> 8);
        message[1] = (uint8_t)size;
        err = msub__noise_input(n, (msub_bytes){ message, (size_t)size + 2 }, &used);
      }
    }
    /* a build that cannot check this kind of key refuses it */
    if (err != MSUB_ERR_UNSUPPORTED)
      cr_assert_eq(err, at < 4 ? MSUB_ERR_NOMEM : MSUB_OK, "allocation %zu: %d", at, err);
    cr_assert(!err || !n || msub__noise_turn_of(n) == MSUB__NOISE_FAILED);
    if (!err) {
      msub_peer_id id;
      cr_assert_eq(msub_public_key_peer_id((msub_bytes){ key, key_n }, &id), MSUB_OK);
      cr_assert(id.n == 34 && msub_bytes_eq(msub__noise_peer_id(n), msub_peer_id_bytes(&id)));
      cr_assert(msub_bytes_eq(msub__noise_peer_key(n), (msub_bytes){ key, key_n }));
      cr_assert(msub__noise_bytes(n) > key_n);
    }
    msub__noise_free(n);
    cr_assert_eq(c.live_blocks, 0);
  }
  msub__noise_options o = { .kit = kit, .identity = identity, .static_secret = st, .ephemeral_secret = eph };
  msub__noise *n;
  for (int i = 0; i < 6; i++) {
    msub__noise_options bad = o;
    if (i == 0) bad.kit = NULL;
    if (i == 1) bad.identity = NULL;
    if (i == 2) bad.static_secret = NULL;
    if (i == 3) bad.ephemeral_secret = NULL;
    if (i == 4) bad.expect = (msub_bytes){ payload, MSUB_PEER_ID_MAX + 1 };
    if (i == 5) bad.n_muxers = MSUB__NOISE_MUXERS_MAX + 1;
    cr_assert_eq(msub__noise_new(&bad, &n), MSUB_ERR_INVAL, "option %d", i);
  }
  cr_assert_eq(msub__noise_new(&o, &n), MSUB_OK);
  msub__noise_free(n);
  msub__noise_free(NULL);
  msub__noise_kit *k;
  c.fail_after = 1;
  cr_assert_eq(msub__noise_kit_new(&mem, &k), MSUB_ERR_NOMEM);
  msub__noise_kit_free(NULL);
  msub_key_free(identity);
}
