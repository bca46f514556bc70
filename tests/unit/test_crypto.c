#include <criterion/criterion.h>
#include "base/rng.h"
#include "meshsub/crypto.h"
#include "meshsub/rpc.h"
#include "tests/hex.h"
#include "tests/support/other_keys.h"

/* The Ed25519 key of the libp2p peer-ids specification. */
#define SEED "7e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d"
#define PUB "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
#define ED_PUBLIC "08011220" PUB
#define ED_PRIVATE "08011240" SEED PUB
#define SECP_PUBLIC "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99"

static msub_key *spec_key(void) {
  msub_key *k = NULL;
  cr_assert_eq(msub_key_from_seed(test_hex(SEED).p, &k), MSUB_OK);
  return k;
}
static msub_key *other_key(void) {
  msub_key *k = NULL;
  const uint8_t seed[32] = { 7 };
  cr_assert_eq(msub_key_from_seed(seed, &k), MSUB_OK);
  return k;
}
/* A copy that tests may change. */
static uint8_t *copy_of(msub_bytes b) {
  uint8_t *p = test_keep(b.n);
  memcpy(p, b.p, b.n);
  return p;
}

Test(crypto, hashes) {
  uint8_t out[32];
  msub_sha256(msub_str(""), out);
  cr_assert_str_eq(test_unhex((msub_bytes){ out, 32 }),
                   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  msub_sha256((msub_bytes){ NULL, 0 }, out);
  cr_assert_str_eq(test_unhex((msub_bytes){ out, 32 }),
                   "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  msub_sha256(msub_str("abc"), out);
  cr_assert_str_eq(test_unhex((msub_bytes){ out, 32 }),
                   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

Test(crypto, peer_ids_of_all_key_types) {
  static const struct {
    msub_key_type type;
    const char *public_hex, *id;
  } keys[] = {
    { MSUB_KEY_ED25519, ED_PUBLIC, "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq" },
    { MSUB_KEY_SECP256K1, SECP_PUBLIC, "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY" },
    { MSUB_KEY_ECDSA,
      "0803125b3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83abab44abf316"
      "1f162a4bc9"
      "01d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62",
      "QmVMT29id3TUASyfZZ6k9hmNyc2nYabCo4uMSpDw4zrgDk" },
    { MSUB_KEY_RSA,
      "080012a60430820222300d06092a864886f70d01010105000382020f003082020a0282020100e1beab071d08200bde24"
      "eef00d049449b07770ff9910257b2d7d5dda242ce8f0e2f12e1af4b32d9efd2c090f66b0f29986dbb645dae988008970"
      "4a94e5066d594162ae6ee8892e6ec70701db0a6c445c04778eb3de1293aa1a23c3825b85c6620a2bc3f82f9b0c309bc0"
      "ab3aeb1873282bebd3da03c33e76c21e9beb172fd44c9e43be32e2c99827033cf8d0f0c606f4579326c930eb4e854395"
      "ad941256542c793902185153c474bed109d6ff5141ebf9cd256cf58893a37f83729f97e7cb435ec679d2e33901d27bb3"
      "5aa0d7e20561da08885ef0abbf8e2fb48d6a5487047a9ecb1ad41fa7ed84f6e3e8ecd5d98b3982d2a901b4454991766d"
      "a295ab78822add5612a2df83bcee814cf50973e80d7ef38111b1bd87da2ae92438a2c8cbcc70b31ee319939a3b9c761d"
      "bc13b5c086d6b64bf7ae7dacc14622375d92a8ff9af7eb962162bbddebf90acb32adb5e4e4029f1c96019949ecfbfeff"
      "d7ac1e3fbcc6b6168c34be3d5a2e5999fcbb39bba7adbca78eab09b9bc39f7fa4b93411f4cc175e70c0a083e96bfaefb"
      "04a9580b4753c1738a6a760ae1afd851a1a4bdad231cf56e9284d832483df215a46c1c21bdf0c6cfe951c18f1ee4078c"
      "79c13d63edb6e14feaeffabc90ad317e4875fe648101b0864097e998f0ca3025ef9638cd2b0caecd3770ab54a1d9c6ca"
      "959b0f5dcbc90caeefc4135baca6fd475224269bbe1b0203010001",
      "QmaeANgBs1DTSxWSrPPtobgQuxW8XTfsS4ydbK4rCHzqxG" },
  };
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    msub_bytes pub = test_hex(keys[i].public_hex), data;
    msub_key_type type;
    msub_peer_id id;
    char text[MSUB_PEER_ID_TEXT];
    cr_assert_eq(msub_public_key_split(pub, &type, &data), MSUB_OK, "%s", keys[i].id);
    cr_assert_eq(type, keys[i].type);
    cr_assert(data.p > pub.p && data.p + data.n == pub.p + pub.n, "a view of the end");
    cr_assert_eq(msub_public_key_peer_id(pub, &id), MSUB_OK);
    cr_assert_str_eq(msub_peer_id_text(msub_peer_id_bytes(&id), text), keys[i].id);
    msub_bytes inside = msub_peer_id_public_key(msub_peer_id_bytes(&id));
    if (pub.n <= 42)
      cr_assert(msub_bytes_eq(inside, pub));
    else
      cr_assert_eq(inside.n, 0);
    uint8_t sig[64] = { 0 };
    int rc = msub_verify(pub, msub_str("x"), (msub_bytes){ sig, 64 });
    cr_assert_eq(rc, MSUB_ERR_CRYPTO, "N-05");
  }
  cr_assert_eq(msub_peer_id_public_key(msub_str("garbage")).n, 0);
}

Test(crypto, public_key_encodings) {
  static const char *const refused[] = {
    "",
    "08",
    "0801",
    "1220" PUB, /* parts are missing */
    "08011221" PUB,
    "08011220" PUB "00", /* cut, left over */
    "1220" PUB "0801",   /* other order */
    "0881001220" PUB,
    "080112a000" PUB,      /* padded */
    "08011220" PUB "1801", /* an unknown field */
    "080108011220" PUB,    /* twice */
    "08041220" PUB,
    "08ffffffffffffffffff011220" PUB, /* no such type */
    "0a01011220" PUB,
    "08011001", /* wrong wire types */
  };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    msub_key_type type;
    msub_bytes data, pub = test_hex(refused[i]);
    msub_peer_id id;
    const uint8_t sig[64] = { 0 };
    cr_assert_eq(msub_public_key_split(pub, &type, &data), MSUB_ERR_MALFORMED, "%s", refused[i]);
    cr_assert_eq(msub_public_key_peer_id(pub, &id), MSUB_ERR_MALFORMED, "%s", refused[i]);
    cr_assert_eq(msub_verify(pub, msub_str("x"), (msub_bytes){ sig, 64 }), MSUB_ERR_MALFORMED, "%s",
                 refused[i]);
  }
  /* Well encoded, but no key: no peer id, and nothing verifies. */
  static const char *const no_key[] = {
    "08011200", "0801121faaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "08021221047777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99", "08001200", "08031200"
  };
  for (size_t i = 0; i < sizeof no_key / sizeof *no_key; i++) {
    msub_key_type type;
    msub_bytes data, pub = test_hex(no_key[i]);
    msub_peer_id id;
    cr_assert_eq(msub_public_key_split(pub, &type, &data), MSUB_OK, "%s", no_key[i]);
    cr_assert_eq(msub_public_key_peer_id(pub, &id), MSUB_ERR_MALFORMED, "%s", no_key[i]);
    cr_assert_lt(msub_verify(pub, msub_str("x"), msub_str("y")), 0);
  }
  /* Length: as much as RSA of 8192 bits, no more. */
  static uint8_t big[MSUB_PUBLIC_KEY_MAX + 1] = { 0x08, 0x00, 0x12 };
  for (size_t n = MSUB_PUBLIC_KEY_MAX; n <= MSUB_PUBLIC_KEY_MAX + 1; n++) {
    msub_key_type type;
    msub_bytes data;
    msub_varint_put(big + 3, n - 5);
    int rc = msub_public_key_split((msub_bytes){ big, n }, &type, &data);
    cr_assert_eq(rc, n == MSUB_PUBLIC_KEY_MAX ? MSUB_OK : MSUB_ERR_MALFORMED);
  }
}

Test(crypto, private_keys) {
  msub_key *k = NULL;
  uint8_t out[128];
  cr_assert_eq(msub_key_import(test_hex(ED_PRIVATE), &k), MSUB_OK);
  cr_assert(msub_bytes_eq(msub_key_public(k), test_hex(ED_PUBLIC)));
  cr_assert_eq(msub_key_type_of(k), MSUB_KEY_ED25519);
  cr_assert_eq(msub_key_export(k, NULL, 0), 68);
  cr_assert_eq(msub_key_export(k, out, sizeof out), 68);
  cr_assert(msub_bytes_eq((msub_bytes){ out, 68 }, test_hex(ED_PRIVATE)));
  msub_key_free(k);
  cr_assert_eq(msub_key_import(test_hex("08011260" SEED PUB PUB), &k), MSUB_OK,
               "the old form, public half twice");
  cr_assert(msub_bytes_eq(msub_key_public(k), test_hex(ED_PUBLIC)));
  msub_key_free(k);
  msub_key_free(NULL);
  static const struct {
    const char *hex;
    int rc;
  } refused[] = {
    { "", MSUB_ERR_MALFORMED },
    { "08011240", MSUB_ERR_MALFORMED },
    { "08011220" SEED, MSUB_ERR_MALFORMED },
    { "08011200", MSUB_ERR_MALFORMED },
    { "08091240" SEED PUB, MSUB_ERR_MALFORMED },
    { "08011240" SEED SEED, MSUB_ERR_CRYPTO },
    { "08011260" SEED PUB SEED, MSUB_ERR_CRYPTO },
    { "08001200", MSUB_ERR_MALFORMED },
    { "08031200", MSUB_ERR_MALFORMED },
    { "08021200", MSUB_ERR_MALFORMED },
    { "0802121f" "53dadf1d5a164d6b4acdb15e24aa4c5b1d3461bdbd42abedb0a4404d56ced8", MSUB_ERR_MALFORMED },
    { "08021220" "0000000000000000000000000000000000000000000000000000000000000000", MSUB_ERR_MALFORMED },
    { "08021220" "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", MSUB_ERR_MALFORMED },
    { "0803120430020500", MSUB_ERR_MALFORMED },
  };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    cr_assert_eq(msub_key_import(test_hex(refused[i].hex), &k), refused[i].rc, "%s", refused[i].hex);
    cr_assert_null(k);
  }
  static uint8_t flood[6000]; /* unknown fields: the arena fills up, nothing else happens */
  memset(flood, 0x18, sizeof flood);
  cr_assert_eq(msub_key_import((msub_bytes){ flood, sizeof flood }, &k), MSUB_ERR_MALFORMED);
  cr_assert_eq(msub_key_import((msub_bytes){ flood, SIZE_MAX }, &k), MSUB_ERR_MALFORMED);

  msub_key *one = NULL, *two = NULL;
  cr_assert_eq(msub_key_generate(&one), MSUB_OK);
  cr_assert_eq(msub_key_generate(&two), MSUB_OK);
  cr_assert_not(msub_bytes_eq(msub_key_peer_id(one), msub_key_peer_id(two)));
  msub_key_free(one);
  msub_key_free(two);
  /* Guarded memory is scarce: many keys still work. */
  enum { MANY = 3000 };
  static msub_key *many[MANY];
  for (int i = 0; i < MANY; i++) cr_assert_eq(msub_key_generate(&many[i]), MSUB_OK);
  for (int i = 0; i < MANY; i++) msub_key_free(many[i]);
}

Test(crypto, keys_of_each_type_are_made) {
  static const struct { msub_key_type type; unsigned bits; size_t id; } made[] = {
    { MSUB_KEY_ED25519, 0, 38 }, { MSUB_KEY_SECP256K1, 0, 39 }, { MSUB_KEY_ECDSA, 0, 34 }, { MSUB_KEY_RSA, 0, 34 }, { MSUB_KEY_RSA, 2056, 34 },
  };
  msub_key *k = NULL;
  for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
    msub_key *one = NULL, *two = NULL, *again = NULL;
    uint8_t exported[6000], signature[MSUB_SIG_MAX];
    cr_assert_eq(msub_key_generate_type(made[i].type, made[i].bits, &one), MSUB_OK, "%zu", i);
    cr_assert_eq(msub_key_generate_type(made[i].type, made[i].bits, &two), MSUB_OK, "%zu", i);
    cr_assert_eq(msub_key_type_of(one), made[i].type);
    cr_assert_eq(msub_key_peer_id(one).n, made[i].id, "%zu: %zu", i, msub_key_peer_id(one).n);
    cr_assert_not(msub_bytes_eq(msub_key_peer_id(one), msub_key_peer_id(two)), "%zu", i);
    msub_bytes text = { (const uint8_t *)"a text", 6 };
    int n = msub_key_sign(one, text, signature, sizeof signature);
    cr_assert_gt(n, 0);
    if (made[i].type == MSUB_KEY_RSA) cr_assert_eq(n, made[i].bits ? 257 : 256);
    cr_assert_eq(msub_verify(msub_key_public(one), text, (msub_bytes){ signature, (size_t)n }), MSUB_OK, "%zu", i);
    cr_assert_eq(msub_verify(msub_key_public(two), text, (msub_bytes){ signature, (size_t)n }), MSUB_ERR_CRYPTO, "%zu", i);
    size_t len = msub_key_export(one, exported, sizeof exported);
    cr_assert(len > 0 && len <= sizeof exported);
    cr_assert_eq(msub_key_import((msub_bytes){ exported, len }, &again), MSUB_OK, "%zu", i);
    cr_assert(msub_bytes_eq(msub_key_peer_id(one), msub_key_peer_id(again)), "%zu", i);
    msub_key_free(one), msub_key_free(two), msub_key_free(again);
  }
  static const unsigned refused[] = { 1024, MSUB_RSA_BITS_MIN - 8, MSUB_RSA_BITS_MIN + 1, MSUB_RSA_BITS_MAX + 8, 0xffffffffu };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
    cr_assert_eq(msub_key_generate_type(MSUB_KEY_RSA, refused[i], &k), MSUB_ERR_INVAL, "%u", refused[i]);
  cr_assert_eq(msub_key_generate_type((msub_key_type)4, 0, &k), MSUB_ERR_INVAL);
  cr_assert_null(k);
}

/* Made by openssl 3.0: genpkey, pkcs8 -topk8 -v2 aes-128-cbc -iter 1000 -passout pass:secret, ecparam -genkey. */
#define PEM_ED "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIG5UAEwK7Ea/EgLZzRiE2/7lsif1nFba5j/Rew9IDEwm\n-----END PRIVATE KEY-----\n"
#define PEM_ED_ENCRYPTED                                                                                                        \
  "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgCTjMRQZynTwICA+gw\n"                   \
  "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEAQIEENYAqThv82J3RX9jYC89dK0EQOnf\nhiGRGxoVhgPLVY3at3aRK34UQaeAxkLv2ZrfGgNpDJOO8dSA2fmXTz0MWwso6BjH\n" \
  "vjA2t70g4KOc9/jCnfg=\n-----END ENCRYPTED PRIVATE KEY-----\n"
#define PEM_SECP                                                                                                                \
  "-----BEGIN EC PRIVATE KEY-----\nMHQCAQEEICTUTzuXSH/z72xSNKCYCi895jjHOcR8au7avlzehekToAcGBSuBBAAK\n"                          \
  "oUQDQgAE4E1spBA5RxZDPsTnkoCUBSuIxeeRfY5PX49z/KCdsMIzK0Bhqba1vhqM\nZjQyVG9FnuB9Ii44VIhLH2JC3Rn7EQ==\n-----END EC PRIVATE KEY-----\n"
#define PEM_P256                                                                                                                \
  "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgR3f5EkLXAe7FGvYy\n"                             \
  "p2hYW7f6Cl9JehJWT9yrV94NavihRANCAARNkXcv/vGORl+q0NxV5E9RBaHhuarx\nBCQ8gfme1zlEpccs5FgZc4Zxqam2FC5wSsI3uIXz4e8TNZkmGUK1L22z\n"   \
  "-----END PRIVATE KEY-----\n"

static int from_pem(const char *pem, const char *passphrase, msub_key **out) { return msub_key_from_pem(msub_str(pem), msub_str(passphrase), out); }

Test(crypto, from_pem) {
  static const struct {
    const char *pem, *passphrase, *public_end;
    msub_key_type type;
  } good[] = {
    { PEM_ED, "", "be0f8ad57f276426", MSUB_KEY_ED25519 },
    { PEM_ED, "not asked for", "be0f8ad57f276426", MSUB_KEY_ED25519 },
    { PEM_ED_ENCRYPTED, "secret", "be0f8ad57f276426", MSUB_KEY_ED25519 },
    { "text before it\n" PEM_SECP "and behind", "", "e04d6ca410394716", MSUB_KEY_SECP256K1 },
    { PEM_P256, "", "4d91772ffef18e46", MSUB_KEY_ECDSA },
  };
  msub_key *k;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    cr_assert_eq(from_pem(good[i].pem, good[i].passphrase, &k), MSUB_OK, "%zu", i);
    cr_assert_eq(msub_key_type_of(k), good[i].type);
    cr_assert_neq(strstr(test_unhex(msub_key_public(k)), good[i].public_end), NULL, "%zu", i);
    msub_key_free(k);
  }
  static const struct {
    const char *pem, *passphrase;
    int err;
  } bad[] = {
    { "", "", MSUB_ERR_MALFORMED },
    { "-----BEGIN PRIVATE KEY-----\n", "", MSUB_ERR_MALFORMED },
    { "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIG5U\n-----END PRIVATE KEY-----\n", "", MSUB_ERR_MALFORMED },
    { PEM_ED_ENCRYPTED, "", MSUB_ERR_NOTFOUND },
    { PEM_ED_ENCRYPTED, "Secret", MSUB_ERR_CRYPTO },
    /* X25519 is no signature key */
    { "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIG5UAEwK7Ea/EgLZzRiE2/7lsif1nFba5j/Rew9IDEwm\n-----END PRIVATE KEY-----\n", "",
      MSUB_ERR_UNSUPPORTED },
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) cr_assert_eq(from_pem(bad[i].pem, bad[i].passphrase, &k), bad[i].err, "%zu", i);
  char *large = malloc(16385);
  memset(large, '\n', 16385);
  memcpy(large, PEM_ED, strlen(PEM_ED));
  for (size_t n = 16383; n <= 16385; n++)
    cr_assert_eq(msub_key_from_pem((msub_bytes){ (const uint8_t *)large, n }, msub_str(""), &k), n > 16384 ? MSUB_ERR_MALFORMED : MSUB_OK);
  free(large);
}

/* There and back: the same key; encrypted it opens with its passphrase only. */
Test(crypto, to_pem) {
  const char *const private_keys[] = { ED_PRIVATE, SECP_PRIVATE, EC_PRIVATE, RSA_PRIVATE };
  char text[16384];
  for (size_t i = 0; i < 4; i++) {
    msub_key *k, *again;
    cr_assert_eq(msub_key_import(test_hex(private_keys[i]), &k), MSUB_OK);
    for (unsigned sealed = 0; sealed < 2; sealed++) {
      msub_bytes passphrase = msub_str(sealed ? "a b" : "");
      size_t n = msub_key_to_pem(k, passphrase, text, sizeof text);
      cr_assert(n > 0 && n <= sizeof text);
      cr_assert_eq(msub_key_to_pem(k, passphrase, text, 1) > 1, true);
      text[n < sizeof text ? n : 0] = '\0';
      cr_assert_eq(strstr(text, "ENCRYPTED") != NULL, sealed);
      cr_assert_eq(msub_key_from_pem((msub_bytes){ (const uint8_t *)text, n }, passphrase, &again), MSUB_OK, "%zu", i);
      cr_assert(msub_bytes_eq(msub_key_public(k), msub_key_public(again)));
      uint8_t first[6000], second[6000];
      size_t a = msub_key_export(k, first, sizeof first), b = msub_key_export(again, second, sizeof second);
      cr_assert(msub_bytes_eq((msub_bytes){ first, a }, (msub_bytes){ second, b }), "%zu", i);
      msub_key_free(again);
      if (sealed) cr_assert_eq(msub_key_from_pem((msub_bytes){ (const uint8_t *)text, n }, msub_str("a c"), &again), MSUB_ERR_CRYPTO);
    }
    msub_key_free(k);
  }
  msub_key *k = spec_key();
  char *long_one = calloc(1, 1026);
  memset(long_one, 'x', 1025);
  cr_assert(msub_key_to_pem(k, (msub_bytes){ (const uint8_t *)long_one, 1024 }, text, sizeof text) > 0);
  cr_assert_eq(msub_key_to_pem(k, (msub_bytes){ (const uint8_t *)long_one, 1025 }, text, sizeof text), 0);
  free(long_one);
  msub_key_free(k);
}

Test(crypto, sign_and_verify) {
  msub_key *k = spec_key(), *other = other_key();
  static uint8_t text[5000];
  uint8_t sig[64], again[64];
  for (size_t i = 0; i < sizeof text; i++) text[i] = (uint8_t)i;
  const size_t lengths[] = { 0, 1, 63, 1024, 1025, sizeof text };
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    const msub_bytes what = { text, lengths[i] }, s = { sig, sizeof sig };
    cr_assert_eq(msub_key_sign(k, what, sig, sizeof sig), 64);
    cr_assert_eq(msub_verify(msub_key_public(k), what, s), MSUB_OK);
    cr_assert_eq(msub_verify(msub_key_public(other), what, s), MSUB_ERR_CRYPTO, "N-05: another key");
    /* The same bytes in pieces. */
    size_t half = lengths[i] / 2;
    const msub_bytes parts[4] = {
      { text, half }, { NULL, 0 }, { text + half, lengths[i] - half }, { NULL, 0 }
    };
    cr_assert_eq(msub_key_sign_parts(k, parts, 4, again, sizeof again), 64);
    cr_assert_eq(memcmp(sig, again, 64), 0);
    cr_assert_eq(msub_verify_parts(msub_key_public(k), parts, 3, s), MSUB_OK);
    cr_assert_eq(msub_verify_parts(msub_key_public(k), parts, 1, s), lengths[i] ? MSUB_ERR_CRYPTO : MSUB_OK);
    cr_assert_eq(msub_verify_parts(msub_key_public(k), parts, 5, s), MSUB_ERR_INVAL);
    for (size_t bit = 0; bit < 512; bit++) { /* N-05: every bit of the signature counts */
      sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
      cr_assert_eq(msub_verify(msub_key_public(k), what, s), MSUB_ERR_CRYPTO, "N-05: bit %zu", bit);
      sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    if (lengths[i]) {
      text[lengths[i] - 1] ^= 1;
      cr_assert_eq(msub_verify(msub_key_public(k), what, s), MSUB_ERR_CRYPTO, "N-05: another text");
      text[lengths[i] - 1] ^= 1;
    }
    cr_assert_eq(msub_verify(msub_key_public(k), what, (msub_bytes){ sig, 63 }), MSUB_ERR_CRYPTO, "N-05");
    cr_assert_eq(msub_verify(msub_key_public(k), what, (msub_bytes){ NULL, 0 }), MSUB_ERR_CRYPTO, "N-05");
  }
  cr_assert_eq(msub_key_sign(k, msub_str("x"), sig, 63), MSUB_ERR_LIMIT);
  msub_key_free(k);
  msub_key_free(other);
}

/* N-08: the cases of "Taming the many EdDSAs" (published with ed25519-speccheck): implementations differ on
 * them, ours is the rule of libsodium: no small-order or non-canonical key or R, S below L, the equation
 * without cofactor. */
Test(crypto, ed25519_edge_cases) {
  static const struct {
    const char *why, *message, *key, *sig;
    int rc;
  } cases[] = {
    { "small-order key and R, S = 0", "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a00000000000000000000000000000000000000"
      "00000000000000000000000000",
      MSUB_ERR_CRYPTO },
    { "small-order key", "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
      "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43a5bb704786be79fc476f91d3f3f89b03984d80"
      "68dcf1bb7dfc6637b45450ac04",
      MSUB_ERR_CRYPTO },
    { "small-order R", "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
      "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
      "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa8c4bd45aecaca5b24fb97bc10ac27ac8751a7d"
      "fe1baff8b953ec9f5833ca260e",
      MSUB_ERR_CRYPTO },
    { "mixed order, both equations hold", "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
      "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
      "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f87909e14428a7a1d62e9f22f3d3ad7802db02e"
      "b2e688b6c52fcd6648a98bd009",
      MSUB_OK },
    { "only the equation with cofactor holds",
      "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
      "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
      "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a5892"
      "1d6925e434ab10aa7940551a09",
      MSUB_ERR_CRYPTO },
    { "the same, other scalar", "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
      "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
      "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceee"
      "ddb658d0030494ace586687405",
      MSUB_ERR_CRYPTO },
    { "S > L", "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
      "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
      "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b305"
      "2f7ff0538cb68afb369ba3a514",
      MSUB_ERR_CRYPTO },
    { "S >> L", "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
      "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
      "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b"
      "8bd0d272f42b695dd7e89a8c22",
      MSUB_ERR_CRYPTO },
    { "non-canonical R", "fdaebc429f4a735932a160da1301080c13280eea8bc280d1b392c6b9e6ba3a5a",
      "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f454d370c8d9fc323a41450f8d513eafeb5b069"
      "7390c1e505a0d4ddc71f566607",
      MSUB_ERR_CRYPTO },
    { "non-canonical R, other hash", "84b698d39be126ff55fe45079e6c8bf64a0d7db6994560b4e96b7021eb39c1a1",
      "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f084d5b99c2a9463d9c8bd5026916996984eeec"
      "87ddf1d3be329006ace1b37b09",
      MSUB_ERR_CRYPTO },
    { "non-canonical key", "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
      "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d80"
      "68dcf1bb7dfc6637b45450ac04",
      MSUB_ERR_CRYPTO },
    { "non-canonical key, other hash", "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
      "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dca5bb704786be79fc476f91d3f3f89b03984d80"
      "68dcf1bb7dfc6637b45450ac04",
      MSUB_ERR_CRYPTO },
    /* The identity point as key verifies any message in OpenSSL. */
    { "identity key", "00", "0100000000000000000000000000000000000000000000000000000000000000",
      "010000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
      "00000000000000000000000000",
      MSUB_ERR_CRYPTO },
    { "identity key, non-canonical", "00", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "010000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
      "00000000000000000000000000",
      MSUB_ERR_CRYPTO },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char pub[73] = "08011220";
    strcat(pub, cases[i].key);
    cr_assert_eq(msub_verify(test_hex(pub), test_hex(cases[i].message), test_hex(cases[i].sig)), cases[i].rc,
                 "N-08: %s", cases[i].why);
  }
}

/* ---- the other key types ---- */

static msub_key *imported(const char *hex) {
  msub_key *k = NULL;
  cr_assert_eq(msub_key_import(test_hex(hex), &k), MSUB_OK, "%.20s", hex);
  return k;
}

Test(crypto, other_key_types) {
  static const struct {
    msub_key_type type;
    const char *hex;
    bool same_each_time;
  } keys[] = { { MSUB_KEY_SECP256K1, SECP_PRIVATE, true }, { MSUB_KEY_ECDSA, EC_PRIVATE, false }, { MSUB_KEY_RSA, RSA_PRIVATE, true } };
  msub_key *ed = spec_key();
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    msub_key *k = imported(keys[i].hex);
    uint8_t out[2000], sig[MSUB_SIG_MAX], again[MSUB_SIG_MAX];
    msub_bytes pub = msub_key_public(k), what = msub_str("what is signed");
    cr_assert_eq(msub_key_type_of(k), keys[i].type);
    size_t n = msub_key_export(k, out, sizeof out);
    cr_assert(msub_bytes_eq((msub_bytes){ out, n }, test_hex(keys[i].hex)), "comes out as it went in");
    cr_assert_eq(msub_key_export(k, NULL, 0), n);
    int len = msub_key_sign(k, what, sig, sizeof sig), len2 = msub_key_sign(k, what, again, sizeof again);
    cr_assert_gt(len, 64);
    cr_assert_eq(len == len2 && memcmp(sig, again, (size_t)len) == 0, keys[i].same_each_time);
    msub_bytes s = { sig, (size_t)len };
    cr_assert_eq(msub_verify(pub, what, s), MSUB_OK);
    cr_assert_eq(msub_verify(pub, what, (msub_bytes){ again, (size_t)len2 }), MSUB_OK);
    msub_bytes parts[2] = { { what.p, 5 }, { what.p + 5, what.n - 5 } };
    cr_assert_eq(msub_verify_parts(pub, parts, 2, s), MSUB_OK);
    cr_assert_eq(msub_verify(pub, msub_str("what is signeD"), s), MSUB_ERR_CRYPTO, "N-05: another text");
    cr_assert_lt(msub_verify(msub_key_public(ed), what, s), 0, "N-05: another key");
    for (size_t bit = 0; bit < 8 * s.n; bit += 7) {
      sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
      cr_assert_eq(msub_verify(pub, what, s), MSUB_ERR_CRYPTO, "N-05: type %d, bit %zu", (int)keys[i].type, bit);
      sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t cut = 0; cut < s.n; cut++) cr_assert_eq(msub_verify(pub, what, (msub_bytes){ sig, cut }), MSUB_ERR_CRYPTO, "cut to %zu", cut);
    memset(sig + s.n, 0, 4);
    int rc = msub_verify(pub, what, (msub_bytes){ sig, s.n + 4 });
    cr_assert_eq(rc, keys[i].type == MSUB_KEY_ECDSA ? MSUB_OK : MSUB_ERR_CRYPTO, "bytes behind an ECDSA signature are nobody's fault");
    cr_assert_eq(msub_key_sign(k, what, again, 63), MSUB_ERR_LIMIT);
    /* A peer id of each, which holds the key or its hash. */
    cr_assert_eq(msub_peer_id_public_key(msub_key_peer_id(k)).n, keys[i].type == MSUB_KEY_SECP256K1 ? pub.n : 0);
    msub_key_free(k);
  }
  msub_key_free(ed);
}

/* Both halves of the range of s are taken; zero, the order itself and more are not. */
Test(crypto, secp256k1_signatures) {
  msub_key *k = imported(SECP_PRIVATE);
  uint8_t sig[80];
  int n = msub_key_sign(k, msub_str("x"), sig, sizeof sig);
  cr_assert(n >= 68 && n <= 72);
  static const struct { const char *hex; } bad[] = {
    { "" }, { "30" }, { "3000" }, { "3006020100020100" }, { "3006020101020100" }, { "300602010102010100" }, { "3080020101020101" },
    { "300702020001020101" }, { "30060201810201ff" }, { "3106020101020101" },
    { "3046022100fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141022100fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141" },
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    cr_assert_eq(msub_verify(msub_key_public(k), msub_str("x"), test_hex(bad[i].hex)), MSUB_ERR_CRYPTO, "%s", bad[i].hex);
  /* Only compressed points on the curve are keys. */
  uint8_t pub[37];
  memcpy(pub, msub_key_public(k).p, sizeof pub);
  pub[4] ^= 1; /* the other root */
  cr_assert_eq(msub_verify((msub_bytes){ pub, sizeof pub }, msub_str("x"), (msub_bytes){ sig, (size_t)n }), MSUB_ERR_CRYPTO);
  memset(pub + 5, 0xff, 32);
  cr_assert_eq(msub_verify((msub_bytes){ pub, sizeof pub }, msub_str("x"), (msub_bytes){ sig, (size_t)n }), MSUB_ERR_CRYPTO);
  msub_key_free(k);
}

/* An RSA public key of `bits` bits and this exponent, of the right form only. */
static msub_bytes rsa_of(unsigned bits, const char *exponent_hex) {
  static uint8_t out[3000];
  uint8_t integers[2600], info[2800];
  msub_bytes e = test_hex(exponent_hex);
  size_t mod = (bits + 7) / 8, lead = bits % 8 == 0, n = 0;
#define LONG(to, at, tag, len) ((to)[at] = (tag), (to)[at + 1] = 0x82, (to)[at + 2] = (uint8_t)((len) >> 8), (to)[at + 3] = (uint8_t)(len), 4)
  n += (size_t)LONG(integers, n, 0x02, mod + lead);
  if (lead) integers[n++] = 0;
  memset(integers + n, 0xc5, mod);
  integers[n] = (uint8_t)(0x80 >> (7 - (bits + 7) % 8)); /* the highest bit */
  n += mod;
  integers[n++] = 0x02;
  integers[n++] = (uint8_t)e.n;
  memcpy(integers + n, e.p, e.n);
  n += e.n;
  size_t at = 0;
  memcpy(info + at, "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00", 15);
  at += 15;
  at += (size_t)LONG(info, at, 0x03, n + 5);
  info[at++] = 0;
  at += (size_t)LONG(info, at, 0x30, n);
  memcpy(info + at, integers, n);
  at += n;
  size_t head = 0;
  out[head++] = 0x08, out[head++] = 0x00, out[head++] = 0x12;
  head += msub_varint_put(out + head, at + 4);
  head += (size_t)LONG(out, head, 0x30, at);
  memcpy(out + head, info, at);
  return (msub_bytes){ out, head + at };
}

/* N-06: which RSA keys are looked at at all. */
Test(crypto, N_06_rsa_sizes) {
  static const struct { unsigned bits; const char *e; int rc, rc8192; } cases[] = {
    { 1024, "010001", MSUB_ERR_CRYPTO, MSUB_ERR_CRYPTO },
    { 2047, "010001", MSUB_ERR_CRYPTO, MSUB_ERR_CRYPTO },
    { 4096, "010001", MSUB_ERR_CRYPTO, MSUB_ERR_CRYPTO },
    { 4097, "010001", MSUB_ERR_UNSUPPORTED, MSUB_ERR_CRYPTO },
    { 8192, "010001", MSUB_ERR_UNSUPPORTED, MSUB_ERR_CRYPTO },
    { 8193, "010001", MSUB_ERR_CRYPTO, MSUB_ERR_CRYPTO },
    { 16384, "010001", MSUB_ERR_CRYPTO, MSUB_ERR_CRYPTO },
    { 4097, "01", MSUB_ERR_CRYPTO, MSUB_ERR_CRYPTO },         /* exponents: one, */
    { 4097, "010000", MSUB_ERR_CRYPTO, MSUB_ERR_CRYPTO },     /* even, */
    { 4097, "7fffffff", MSUB_ERR_UNSUPPORTED, MSUB_ERR_CRYPTO }, /* the longest, */
    { 4097, "0080000001", MSUB_ERR_CRYPTO, MSUB_ERR_CRYPTO }, /* too long, */
    { 4097, "0003", MSUB_ERR_CRYPTO, MSUB_ERR_CRYPTO },       /* padded, */
    { 4097, "81", MSUB_ERR_CRYPTO, MSUB_ERR_CRYPTO },         /* negative */
    { 4097, "03", MSUB_ERR_UNSUPPORTED, MSUB_ERR_CRYPTO },
  };
  static const uint8_t sig[1024] = { 0x11 };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    msub_bytes pub = rsa_of(cases[i].bits, cases[i].e), what = msub_str("x"), s = { sig, (cases[i].bits + 7) / 8 < 1024 ? (cases[i].bits + 7) / 8 : 1024 };
    if (cases[i].bits <= 8193) { /* beyond, it is no PublicKey that is read */
      cr_assert_eq(msub_verify(pub, what, s), cases[i].rc, "%u bits, e %s", cases[i].bits, cases[i].e);
      cr_assert_eq(msub_verify_parts_rsa(pub, &what, 1, s, MSUB_RSA_BITS_MAX), cases[i].rc8192, "%u bits, e %s", cases[i].bits, cases[i].e);
    } else
      cr_assert_lt(msub_verify(pub, what, s), 0);
  }
}

/* N-07: what is not strict DER is no key: every cut, every changed byte of the frame around modulus and point. */
Test(crypto, N_07_der_is_strict) {
  static const char *const keys[] = { EC_PRIVATE, RSA_PRIVATE };
  for (size_t i = 0; i < 2; i++) {
    msub_key *k = imported(keys[i]);
    msub_key_type type;
    msub_bytes data, what = msub_str("x");
    uint8_t sig[MSUB_SIG_MAX], pub[400];
    int n = msub_key_sign(k, what, sig, sizeof sig);
    msub_bytes s = { sig, (size_t)n };
    cr_assert_eq(msub_public_key_split(msub_key_public(k), &type, &data), MSUB_OK);
    for (size_t at = 0; at < data.n; at++) {
      if (type == MSUB_KEY_RSA && at == 40) at = data.n - 6; /* within the modulus any change is another modulus */
      if (type == MSUB_KEY_ECDSA && at == 30) at = data.n - 6;
      for (unsigned bit = 0; bit < 8; bit++) {
        memcpy(pub, msub_key_public(k).p, msub_key_public(k).n);
        pub[msub_key_public(k).n - data.n + at] ^= (uint8_t)(1u << bit);
        cr_assert_neq(msub_verify((msub_bytes){ pub, msub_key_public(k).n }, what, s), MSUB_OK, "byte %zu, bit %u", at, bit);
      }
    }
    for (size_t len = 0; len < data.n + 2; len++) { /* cut, and with bytes behind it */
      if (len == data.n) continue;
      size_t head = 0;
      pub[head++] = 0x08, pub[head++] = (uint8_t)type, pub[head++] = 0x12;
      head += msub_varint_put(pub + head, len);
      memset(pub + head, 0, sizeof pub - head);
      memcpy(pub + head, data.p, len < data.n ? len : data.n);
      cr_assert_eq(msub_verify((msub_bytes){ pub, head + len }, what, s), MSUB_ERR_CRYPTO, "%zu bytes", len);
    }
    msub_key_free(k);
  }
  /* Another curve, which others may know. */
  msub_bytes other = test_hex("08031250304e301006072a8648ce3d020106052b81040021033a0004"
                              "b70e0cbd6bb4bf7f321390b94a03c1d356c21122343280d6115c1d21bd376388b5f723fb4c22dfe6cd4375a05a07476444d5819985007e34");
  uint8_t sig[8] = { 0x30, 6, 2, 1, 1, 2, 1, 1 };
  cr_assert_eq(msub_verify(other, msub_str("x"), (msub_bytes){ sig, 8 }), MSUB_ERR_UNSUPPORTED);
}

/* ---- envelopes and records ---- */

static msub_bytes sealed(const msub_key *k, const char *domain, msub_bytes type, msub_bytes payload) {
  static uint8_t out[17000];
  size_t n = msub_envelope_seal(k, msub_str(domain), type, payload, out, sizeof out);
  cr_assert(n > 0 && n <= sizeof out);
  return (msub_bytes){ copy_of((msub_bytes){ out, n }), n };
}

Test(crypto, envelopes) {
  msub_key *k = spec_key(), *other = other_key();
  msub_envelope e;
  msub_bytes in = sealed(k, "domain", msub_str("type"), msub_str("payload"));
  cr_assert_eq(msub_envelope_seal(k, msub_str("domain"), msub_str("type"), msub_str("payload"), NULL, 0),
               in.n);
  cr_assert_eq(msub_envelope_parse(in, &e), MSUB_OK);
  cr_assert(msub_bytes_eq(e.public_key, msub_key_public(k)));
  cr_assert(msub_bytes_eq(e.payload_type, msub_str("type")) && msub_bytes_eq(e.payload, msub_str("payload")));
  cr_assert(e.payload.p > in.p && e.payload.p < in.p + in.n, "views into the input");
  cr_assert_eq(msub_envelope_verify(&e, msub_str("domain")), MSUB_OK);
  cr_assert_eq(msub_envelope_verify(&e, msub_str("domains")), MSUB_ERR_CRYPTO, "N-05: another domain");
  msub_envelope moved = e; /* the border between type and payload is signed too */
  moved.payload_type.n++;
  cr_assert_eq(msub_envelope_verify(&moved, msub_str("domain")), MSUB_ERR_CRYPTO, "N-05");
  moved = e;
  moved.public_key = msub_key_public(other);
  cr_assert_eq(msub_envelope_verify(&moved, msub_str("domain")), MSUB_ERR_CRYPTO, "N-05: another key");

  /* Empty parts, and the largest that fits. */
  msub_bytes empty = sealed(k, "", (msub_bytes){ NULL, 0 }, (msub_bytes){ NULL, 0 });
  cr_assert_eq(msub_envelope_parse(empty, &e), MSUB_OK);
  cr_assert_eq(msub_envelope_verify(&e, msub_str("")), MSUB_OK);
  static uint8_t big[17000];
  const size_t around = 2 + 36 + 2 + 64 + 3; /* key, signature, head of the payload */
  msub_bytes most = sealed(k, "d", (msub_bytes){ NULL, 0 }, (msub_bytes){ big, 16384 - around });
  cr_assert_eq(most.n, 16384);
  cr_assert_eq(msub_envelope_parse(most, &e), MSUB_OK);
  cr_assert_eq(msub_envelope_verify(&e, msub_str("d")), MSUB_OK);
  cr_assert_eq(
      msub_envelope_seal(k, msub_str("d"), msub_str(""), (msub_bytes){ big, 16385 - around }, NULL, 0), 0);
  cr_assert_eq(msub_envelope_parse((msub_bytes){ big, sizeof big }, &e), MSUB_ERR_MALFORMED,
               "over the limit");

  /* Cut anywhere it is refused: the signature stands at the end. */
  for (size_t n = 0; n < in.n; n++)
    cr_assert_eq(msub_envelope_parse((msub_bytes){ in.p, n }, &e), MSUB_ERR_MALFORMED);
  /* Unknown fields are skipped; a flood of them is refused. */
  memcpy(big, in.p, in.n);
  memcpy(big + in.n, "\x20\x01\x32\x01x", 5);
  cr_assert_eq(msub_envelope_parse((msub_bytes){ big, in.n + 5 }, &e), MSUB_OK);
  cr_assert_eq(msub_envelope_verify(&e, msub_str("domain")), MSUB_OK);
  memset(big + in.n, 0x20, 16000);
  cr_assert_eq(msub_envelope_parse((msub_bytes){ big, in.n + 16000 }, &e), MSUB_ERR_MALFORMED);
  static const char *const refused[] = { "0801",         "0a03616263",     "2a0161",
                                         "0a0161280102", "0a01612a0161ff", "0a01611001" };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    cr_assert_eq(msub_envelope_parse(test_hex(refused[i]), &e), MSUB_ERR_MALFORMED, "%s", refused[i]);
  }
  msub_key_free(k);
  msub_key_free(other);
}

/* A record that names `id`, sealed by `k`. */
static msub_bytes record_of(const msub_key *k, msub_bytes id, const char *domain, const char *type) {
  uint8_t payload[128] = { 0x0a, (uint8_t)id.n };
  memcpy(payload + 2, id.p, id.n);
  memcpy(payload + 2 + id.n, "\x10\x05\x1a\x0a\x0a\x08\x04\x7f\x00\x00\x01\x06\x0f\xa1", 14);
  return sealed(k, domain, msub_str(type), (msub_bytes){ payload, id.n + 16 });
}

Test(crypto, peer_records) {
  msub_key *k = spec_key(), *other = other_key();
  const uint8_t four[] = { 4, 127, 0, 0, 1, 6, 0x0f, 0xa1 };
  msub_bytes addrs[MSUB_RECORD_ADDRS + 1];
  for (size_t i = 0; i <= MSUB_RECORD_ADDRS; i++) addrs[i] = (msub_bytes){ four, sizeof four };
  addrs[1] = msub_str("no address");
  static msub_peer_record r;
  static uint8_t out[17000];
  for (msub_record_dialect d = MSUB_RECORD_GO; d <= MSUB_RECORD_RFC; d++) {
    size_t n = msub_peer_record_seal(k, 77, addrs, 3, d, out, sizeof out);
    cr_assert_eq(msub_peer_record_seal(k, 77, addrs, 3, d, NULL, 0), n);
    const msub_bytes in = { out, n };
    cr_assert_eq(msub_peer_record_open(in, msub_key_peer_id(k), &r), MSUB_OK);
    cr_assert(r.dialect == d && r.seq == 77 && r.n_addrs == 2, "malformed addresses are left out");
    cr_assert(msub_bytes_eq(r.addrs[1], addrs[2]));
    cr_assert(msub_bytes_eq(msub_peer_id_bytes(&r.peer), msub_key_peer_id(k)));
    cr_assert_eq(msub_peer_record_open(in, (msub_bytes){ NULL, 0 }, &r), MSUB_OK, "nobody in particular");
    cr_assert_eq(msub_peer_record_open(in, msub_key_peer_id(other), &r), MSUB_ERR_MISMATCH, "I-01");
    uint8_t *changed =
        copy_of(in); /* every byte counts: never another record, never the same with another content */
    for (size_t i = 0; i < n; i++) {
      changed[i] ^= 0x01;
      cr_assert_lt(msub_peer_record_open((msub_bytes){ changed, n }, (msub_bytes){ NULL, 0 }, &r), 0,
                   "I-02: byte %zu", i);
      changed[i] ^= 0x01;
    }
  }
  cr_assert_gt(msub_peer_record_seal(k, 0, addrs, 0, MSUB_RECORD_GO, out, sizeof out), 0);
  size_t n = msub_peer_record_seal(k, UINT64_MAX, addrs, MSUB_RECORD_ADDRS, MSUB_RECORD_GO, out, sizeof out);
  cr_assert_eq(msub_peer_record_open((msub_bytes){ out, n }, msub_key_peer_id(k), &r), MSUB_OK);
  cr_assert(r.seq == UINT64_MAX && r.n_addrs == MSUB_RECORD_ADDRS - 1);
  cr_assert_eq(msub_peer_record_seal(k, 1, addrs, MSUB_RECORD_ADDRS + 1, MSUB_RECORD_GO, out, sizeof out), 0);

  /* I-02: the matrix of envelope key, id in the payload and id that was asked for. Only one id passes, and
   * only that comes out. */
  const msub_key *keys[2] = { k, other };
  for (int signer = 0; signer < 2; signer++) {
    for (int named = 0; named < 2; named++) {
      for (int asked = 0; asked < 3; asked++) {
        msub_bytes in =
            record_of(keys[signer], msub_key_peer_id(keys[named]), "libp2p-peer-record", "\x03\x01");
        msub_bytes expect = asked == 2 ? (msub_bytes){ NULL, 0 } : msub_key_peer_id(keys[asked]);
        bool good = signer == named && (asked == 2 || asked == signer);
        cr_assert_eq(msub_peer_record_open(in, expect, &r), good ? MSUB_OK : MSUB_ERR_MISMATCH,
                     "I-02: %d %d %d", signer, named, asked);
        if (good)
          cr_assert(msub_bytes_eq(msub_peer_id_bytes(&r.peer), msub_key_peer_id(keys[signer])), "I-02");
      }
    }
  }
  /* A domain of one dialect with the type of the other, and an unknown type. */
  msub_bytes id = msub_key_peer_id(k), any = { NULL, 0 };
  msub_bytes mixed = record_of(k, id, "libp2p-routing-state", "\x03\x01");
  cr_assert_eq(msub_peer_record_open(mixed, any, &r), MSUB_ERR_CRYPTO);
  mixed = record_of(k, id, "libp2p-peer-record", "/libp2p/routing-state-record");
  cr_assert_eq(msub_peer_record_open(mixed, any, &r), MSUB_ERR_CRYPTO);
  mixed = record_of(k, id, "libp2p-peer-record", "/other");
  cr_assert_eq(msub_peer_record_open(mixed, any, &r), MSUB_ERR_MALFORMED);

  /* More addresses than are kept, and more than the decoder has memory for. */
  static uint8_t payload[16000];
  for (size_t count = 200; count <= 1200; count += 1000) {
    payload[0] = 0x0a;
    payload[1] = (uint8_t)id.n;
    memcpy(payload + 2, id.p, id.n);
    for (size_t i = 0; i < count; i++)
      memcpy(payload + 2 + id.n + 12 * i, "\x1a\x0a\x0a\x08\x04\x7f\x00\x00\x01\x06\x0f\xa1", 12);
    msub_bytes in =
        sealed(k, "libp2p-peer-record", msub_str("\x03\x01"), (msub_bytes){ payload, 2 + id.n + 12 * count });
    int rc = msub_peer_record_open(in, any, &r);
    cr_assert_eq(rc, count == 200 ? MSUB_OK : MSUB_ERR_MALFORMED, "%zu addresses", count);
    if (rc == MSUB_OK) cr_assert(r.n_addrs == MSUB_RECORD_ADDRS && r.seq == 0);
  }
  /* Another type of key, which did not sign it. */
  uint8_t secp[200] = { 0x0a, 37 };
  memcpy(secp + 2, test_hex(SECP_PUBLIC).p, 37);
  memcpy(secp + 39, "\x12\x02\x03\x01\x1a\x01x\x2a\x01y", 10);
  cr_assert_eq(msub_peer_record_open((msub_bytes){ secp, 49 }, any, &r), MSUB_ERR_CRYPTO);
  msub_key_free(k);
  msub_key_free(other);
}

/* I-01: a stream of well-made records of others is refused, each at the price of one hash. */
Test(crypto, foreign_records) {
  msub_key *k = spec_key(), *other = other_key();
  const uint8_t four[] = { 4, 127, 0, 0, 1, 6, 0x0f, 0xa1 };
  const msub_bytes addr = { four, sizeof four };
  uint8_t out[512];
  static msub_peer_record r;
  size_t n = msub_peer_record_seal(other, 1, &addr, 1, MSUB_RECORD_GO, out, sizeof out);
  for (int i = 0; i < 100000; i++) {
    int rc = msub_peer_record_open((msub_bytes){ out, n }, msub_key_peer_id(k), &r);
    cr_assert_eq(rc, MSUB_ERR_MISMATCH, "I-01");
  }
  msub_key_free(k);
  msub_key_free(other);
}
