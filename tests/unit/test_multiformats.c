#include <criterion/criterion.h>
#include "meshsub/peer_id.h"
#include "meshsub/rpc.h"
#include "multiformats/ip.h"
#include "meshsub/multibase.h"
#include "multiformats/multihash.h"
#include "meshsub/pb.h"
#include "multiformats/varint.h"
#include "base/rng.h"
#include "tests/hex.h"

Test(multiformats, varint) {
  static const struct {
    uint64_t v;
    const char *hex;
  } good[] = {
    { 0, "00" },
    { 1, "01" },
    { 127, "7f" },
    { 128, "8001" },
    { 255, "ff01" },
    { 300, "ac02" },
    { 16384, "808001" },
    { INT64_MAX, "ffffffffffffffff7f" },
    { UINT64_MAX, "ffffffffffffffffff01" },
  };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    uint8_t out[MSUB_FRAME_PREFIX_MAX];
    msub_bytes want = test_hex(good[i].hex), rest = want;
    uint64_t v = 99;
    cr_assert_eq(msub_varint_size(good[i].v), want.n, "%s", good[i].hex);
    cr_assert(msub_bytes_eq((msub_bytes){ out, msub_varint_put(out, good[i].v) }, want), "%s", good[i].hex);
    cr_assert_eq(msub_varint_get(want, &v), (int)want.n);
    cr_assert_eq(v, good[i].v);
    for (size_t n = 0; n < want.n; n++)
      cr_assert_eq(msub_varint_get((msub_bytes){ want.p, n }, &v), 0, "cut");
    cr_assert_eq(msub__uvarint_take(&rest, &v), good[i].v <= INT64_MAX, "multiformats: nine bytes at most");
  }
  uint64_t v = 0;
  cr_assert_eq(msub_varint_get(test_hex("8000"), &v), 2, "protobuf: padding is fine");
  cr_assert_eq(msub_varint_get(test_hex("81808080808080808000"), &v), 10);
  cr_assert_eq(v, 1);
  cr_assert_eq(msub_varint_get(test_hex("ffffffffffffffffff02"), &v), -1, "65 bits");
  cr_assert_eq(msub_varint_get(test_hex("8080808080808080808001"), &v), -1, "eleven bytes");
  static const char *const refused[] = { "", "80", "8000", "ff00", "8180808000", "80808080808080808001" };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    msub_bytes in = test_hex(refused[i]), before = in;
    cr_assert_not(msub__uvarint_take(&in, &v), "%s", refused[i]);
    cr_assert(in.p == before.p && in.n == before.n);
  }
}

Test(multiformats, pb_cursor) {
  msub_bytes in = test_hex("08ac02"
                           "1203616263"
                           "1d01020304"
                           "210102030405060708");
  msub_pb_field f;
  cr_assert(msub_pb_next(&in, &f) && f.number == 1 && f.varint == 300 && !f.is_bytes);
  cr_assert(msub_pb_next(&in, &f) && f.number == 2 && f.is_bytes && msub_bytes_eq(f.bytes, msub_str("abc")));
  cr_assert(msub_pb_next(&in, &f) && f.number == 3 && f.bytes.n == 4 && !f.is_bytes);
  cr_assert(msub_pb_next(&in, &f) && f.number == 4 && f.bytes.n == 8 && in.n == 0);
  static const char *const refused[] = { "00",
                                         "0b",
                                         "0c",
                                         "0e",
                                         "0f",
                                         "08",
                                         "12",
                                         "1204616263",
                                         "1d010203",
                                         "21",
                                         "12ffffffffffffffffff01",
                                         "8080808010",
                                         "ff" };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    in = test_hex(refused[i]);
    cr_assert_not(msub_pb_next(&in, &f), "%s", refused[i]);
  }
}

Test(multiformats, multibase) {
  static const struct {
    const char *plain_hex, *text; /* of the multibase specification, and the empty string */
  } cases[] = {
    { "796573206d616e692021", "f796573206d616e692021" },
    { "796573206d616e692021", "bpfsxgidnmfxgsibb" },
    { "796573206d616e692021", "k2lcpzo5yikidynfl" },
    { "796573206d616e692021", "z7paNL19xttacUY" },
    { "796573206d616e692021", "ueWVzIG1hbmkgIQ" },
    { "00796573206d616e692021", "f00796573206d616e692021" },
    { "00796573206d616e692021", "bab4wk4zanvqw42jaee" },
    { "00796573206d616e692021", "k02lcpzo5yikidynfl" },
    { "00796573206d616e692021", "z17paNL19xttacUY" },
    { "00796573206d616e692021", "uAHllcyBtYW5pICE" },
    { "0000796573206d616e692021", "k002lcpzo5yikidynfl" },
    { "0000796573206d616e692021", "z117paNL19xttacUY" },
    { "", "f" },
    { "", "b" },
    { "", "k" },
    { "", "z" },
    { "", "u" },
    { "00", "z1" },
    { "0000", "k00" },
    { "ffff", "u__8" },
    { "fb", "u-w" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[64];
    uint8_t bytes[64];
    size_t n;
    msub_bytes plain = test_hex(cases[i].plain_hex), want = msub_str(cases[i].text);
    cr_assert_eq(msub_multibase_encode(cases[i].text[0], plain, text, sizeof text, &n), MSUB_OK);
    cr_assert(msub_bytes_eq((msub_bytes){ (uint8_t *)text, n }, want), "%s: %.*s", cases[i].text, (int)n,
              text);
    cr_assert_eq(msub_multibase_encode(cases[i].text[0], plain, text, want.n, &n), MSUB_OK, "just enough");
    cr_assert_eq(msub_multibase_encode(cases[i].text[0], plain, text, want.n - 1, &n), MSUB_ERR_LIMIT);
    cr_assert_eq(msub_multibase_decode(want, bytes, sizeof bytes, &n), MSUB_OK, "%s", cases[i].text);
    cr_assert(msub_bytes_eq((msub_bytes){ bytes, n }, plain), "%s", cases[i].text);
    if (plain.n) cr_assert_eq(msub_multibase_decode(want, bytes, plain.n - 1, &n), MSUB_ERR_LIMIT);
  }
  static const char *const refused[] = {
    "",      "Q",     "m=",        "fA0", "f0", "f0g", "bA",  "bpfsxgidnmfxgsibb=",
    "bp",    "bpfs1", "bpfsxgid8", "bab", /* a bit that is not zero in the filling */
    "z0",    "zO",    "zI",        "zl",  "kA", "uA",  "uAB", "u__9",
    "uAA==", "u+w",   "z7pa NL",
  };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    uint8_t bytes[64];
    size_t n;
    cr_assert_eq(msub_multibase_decode(msub_str(refused[i]), bytes, sizeof bytes, &n), MSUB_ERR_MALFORMED,
                 "%s", refused[i]);
  }
  /* Long input: linear bases have no limit, the others are bounded in time. */
  static uint8_t big[4096];
  static char text[16384];
  size_t n;
  memset(big, 0xff, sizeof big);
  const msub_bytes all = { big, sizeof big }, most = { big, MSUB_RADIX_BYTES_MAX };
  cr_assert_eq(msub_multibase_encode('b', all, text, sizeof text, &n), MSUB_OK);
  cr_assert_eq(msub_multibase_encode('k', all, text, sizeof text, &n), MSUB_ERR_LIMIT);
  cr_assert_eq(msub_multibase_encode('k', most, text, sizeof text, &n), MSUB_OK);
  cr_assert_eq(msub_multibase_decode((msub_bytes){ (uint8_t *)text, n }, big, sizeof big, &n), MSUB_OK);
  cr_assert_eq(n, MSUB_RADIX_BYTES_MAX);
  memset(text, 'z', 10000);
  cr_assert_eq(msub_multibase_decode((msub_bytes){ (uint8_t *)text, 10000 }, big, sizeof big, &n),
               MSUB_ERR_LIMIT);
  cr_assert_eq(msub_base_encode('x', most, text, sizeof text, &n), MSUB_ERR_INVAL);
  cr_assert_eq(msub_base_decode('x', most, big, sizeof big, &n), MSUB_ERR_INVAL);
}

#define ED_ID "0024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"
#define ED_TEXT "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"

Test(multiformats, multihash_and_peer_id) {
  /* N-14: truncated, huge, padded, left over, too long for an identity, wrong size for its function. */
  static const char *const refused[] = {
    "",
    "00",
    "0000",
    "1220",
    "12",
    "0005aabbccdd",
    "0003aabbccdd",
    "00ffffffffffffffffff01aa",
    "8000240801",
    ("12a000" ED_ID),
    "121faaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "1221aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "1320aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", /* sha2-512 names no peer */
    "002baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
  };
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    char out[MSUB_PEER_ID_TEXT];
    msub_bytes id = test_hex(refused[i]);
    cr_assert_eq(msub_peer_id_check(id), MSUB_ERR_MALFORMED, "N-14: %s", refused[i]);
    cr_assert_eq(strncmp(msub_peer_id_text(id, out), refused[i], 90), 0,
                 "bytes that are no id come out in hex");
  }
  char out[MSUB_PEER_ID_TEXT];
  uint8_t long_one[80] = { 0 };
  cr_assert_eq(strlen(msub_peer_id_text((msub_bytes){ long_one, sizeof long_one }, out)), 95);
  cr_assert_str_eq(out + 92, "...");
  cr_assert_eq(msub_peer_id_check((msub_bytes){ NULL, 0 }), MSUB_ERR_MALFORMED);
  /* The longest identity: 42 bytes. */
  uint8_t longest[44] = { 0x00, 42 };
  const msub_bytes longest_id = { longest, sizeof longest };
  msub_peer_id id;
  cr_assert_eq(msub_peer_id_check(longest_id), MSUB_OK);
  cr_assert_eq(msub_peer_id_parse(msub_peer_id_text(longest_id, out), &id), MSUB_OK);
  cr_assert(msub_bytes_eq(msub_peer_id_bytes(&id), longest_id));
  msub__multihash h;
  msub_bytes two = test_hex("000161"
                            "000162");
  cr_assert_eq(msub__multihash_parse(two, &h), MSUB_ERR_MALFORMED);
  cr_assert_eq(msub__multihash_take(&two, &h), MSUB_OK);
  cr_assert_eq(msub__multihash_take(&two, &h), MSUB_OK);
  cr_assert(h.code == MSUB__MH_IDENTITY && h.digest.p[0] == 'b' && two.n == 0);

  static const struct {
    const char *id_hex, *base58, *base36, *base32;
  } ids[] = {
    { ED_ID, ED_TEXT, "k51qzi5uqu5dgy8qsq67hbz73jqkw87l3fgf4a91qb0d9b5173tir7n4vxk1oe",
      "bafzaajaiaejcahwr5d5ofrfbis4l5d6uwr57hu5tjodrypfm6yaq6dsc2r2pzyt6" },
    { "002508021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99",
      "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY",
      "kzwfwjn5ji4put13uvtwtc7azzwk42cq2o8ctfnxa6q8n90e72o3pjqbrp3lpcp",
      "bafzaajiiaijcca3xo7uzjzcsyilaj6i54cj44qk7kqzpoao5rti2pjx6udtdbp6kte" },
    { "122068362c312e155f4f7290b67f5cd094a22a0a4fbf20efd8c287934419350d36f7",
      "QmVMT29id3TUASyfZZ6k9hmNyc2nYabCo4uMSpDw4zrgDk",
      "k2k4r8m0iploq6r25jp915xawtnx0qdr0je62jws2kki6votbj5191x3",
      "bafzbeidigywdclqvl5hxfefwp5onbffcfife7pza57mmfb4tiqmtkdjw64" },
  };
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
    msub_bytes want = test_hex(ids[i].id_hex);
    char base16[256] = "f0172";
    strcat(base16, ids[i].id_hex);
    const char *const texts[] = { ids[i].base58, ids[i].base36, ids[i].base32, base16 };
    for (size_t t = 0; t < 4; t++) {
      cr_assert_eq(msub_peer_id_parse(texts[t], &id), MSUB_OK, "%s", texts[t]);
      cr_assert(msub_bytes_eq(msub_peer_id_bytes(&id), want), "%s", texts[t]);
      char cut[256];
      strcpy(cut, texts[t]);
      cut[strlen(cut) - 1] = 0;
      cr_assert_eq(msub_peer_id_parse(cut, &id), MSUB_ERR_MALFORMED, "N-14: %s", cut);
      strcat(cut, "!");
      cr_assert_eq(msub_peer_id_parse(cut, &id), MSUB_ERR_MALFORMED, "N-14: %s", cut);
    }
    cr_assert_str_eq(msub_peer_id_text(want, out), ids[i].base58);
    char cid58[128] = "z";
    uint8_t cid[64] = { 0x01, 0x72 };
    size_t n;
    memcpy(cid + 2, want.p, want.n);
    cr_assert_eq(msub_base_encode('z', (msub_bytes){ cid, want.n + 2 }, cid58 + 1, 120, &n), MSUB_OK);
    cid58[n + 1] = 0;
    cr_assert_eq(msub_peer_id_parse(cid58, &id), MSUB_OK, "%s", cid58);
    cr_assert(msub_bytes_eq(msub_peer_id_bytes(&id), want));
  }
  static char endless[5000];
  memset(endless, '1', sizeof endless - 1);
  const char *const bad_texts[] = {
    NULL,      "",     "1",     "Qm",        "Q",           "k",           "z",           "b",
    "f",       "12D3", "hello", ED_TEXT " ", "f0072" ED_ID, "f0171" ED_ID, "f0155" ED_ID, "f018072" ED_ID,
    "f" ED_ID, endless
  };
  for (size_t i = 0; i < sizeof bad_texts / sizeof *bad_texts; i++) {
    cr_assert_eq(msub_peer_id_parse(bad_texts[i], &id), MSUB_ERR_MALFORMED, "N-14: text %zu", i);
  }
}

Test(multiformats, ip) {
  static const struct {
    const char *in, *hex, *out;
  } six[] = {
    { "::", "00000000000000000000000000000000", "::" },
    { "::1", "00000000000000000000000000000001", "::1" },
    { "1::", "00010000000000000000000000000000", "1::" },
    { "2001:DB8:0:0:0:0:2:1", "20010db8000000000000000000020001", "2001:db8::2:1" },
    { "2001:db8::2:1", "20010db8000000000000000000020001", "2001:db8::2:1" },
    { "2001:db8:0:1:1:1:1:1", "20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1" },
    { "2001:0:0:1:0:0:0:1", "20010000000000010000000000000001", "2001:0:0:1::1" },
    { "2001:db8:0:0:1:0:0:1", "20010db8000000000001000000000001", "2001:db8::1:0:0:1" },
    { "1:2:3:4:5:6:0:0", "00010002000300040005000600000000", "1:2:3:4:5:6::" },
    { "0:0:3:4:5:6:7:8", "00000000000300040005000600070008", "::3:4:5:6:7:8" },
    { "::2:3:4:5:6:7:8", "00000002000300040005000600070008", "0:2:3:4:5:6:7:8" },
    { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffffffffffffffffffffffffffffffff",
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
    { "::ffff:192.0.2.1", "00000000000000000000ffffc0000201", "::ffff:192.0.2.1" },
    { "::ffff:c000:201", "00000000000000000000ffffc0000201", "::ffff:192.0.2.1" },
    { "64:ff9b::192.0.2.33", "0064ff9b0000000000000000c0000221", "64:ff9b::c000:221" },
    { "1:2:3:4:5:6:7.8.9.10", "0001000200030004000500060708090a", "1:2:3:4:5:6:708:90a" },
  };
  for (size_t i = 0; i < sizeof six / sizeof *six; i++) {
    uint8_t ip[16];
    char text[MSUB__IP6_TEXT + 1];
    cr_assert(msub__ip6_parse(msub_str(six[i].in), ip), "%s", six[i].in);
    cr_assert_str_eq(test_unhex((msub_bytes){ ip, 16 }), six[i].hex, "%s", six[i].in);
    text[msub__ip6_text(ip, text)] = 0;
    cr_assert_str_eq(text, six[i].out);
  }
  static const char *const no_ip6[] = {
    "",
    ":",
    ":::",
    "1",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1::2::3",
    "1:2:3:4:5:6:7:8::",
    "::1:2:3:4:5:6:7:8",
    "1:2:3:4::5:6:7:8",
    ":1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:",
    "12345::",
    "g::",
    "::1.2.3",
    "::1.2.3.4.5",
    "1.2.3.4",
    "1.2.3.4::",
    "::1.2.3.4:5",
    "1:2:3:4:5:6:7:1.2.3.4",
    "fe80::1%eth0",
    " ::1",
    "::01.2.3.4",
    "[::1]",
  };
  uint8_t ip[16];
  for (size_t i = 0; i < sizeof no_ip6 / sizeof *no_ip6; i++) {
    cr_assert_not(msub__ip6_parse(msub_str(no_ip6[i]), ip), "%s", no_ip6[i]);
  }
  static const char *const no_ip4[] = {
    "",       "1",      "1.2.3",    "1.2.3.4.5", "256.1.1.1", "01.2.3.4",         "1.2.3.",
    ".1.2.3", "1..2.3", "1.2.3.4 ", "0x1.2.3.4", "1.2.3.-4",  "1.2.3.99999999999"
  };
  for (size_t i = 0; i < sizeof no_ip4 / sizeof *no_ip4; i++) {
    cr_assert_not(msub__ip4_parse(msub_str(no_ip4[i]), ip), "%s", no_ip4[i]);
  }
  /* Every pattern of zero groups goes out and comes back. */
  for (unsigned zeros = 0; zeros < 256; zeros++) {
    uint8_t back[16];
    char text[MSUB__IP6_TEXT];
    for (unsigned g = 0; g < 8; g++) {
      ip[2 * g] = 0;
      ip[2 * g + 1] = zeros >> g & 1 ? 0 : (uint8_t)(g + 1);
    }
    size_t n = msub__ip6_text(ip, text);
    cr_assert(msub__ip6_parse((msub_bytes){ (uint8_t *)text, n }, back), "%.*s", (int)n, text);
    cr_assert_eq(memcmp(ip, back, 16), 0, "%.*s", (int)n, text);
  }
}

#define CERT "uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g"

Test(multiformats, multiaddr) {
  static const struct {
    const char *text, *hex, *out; /* out NULL: the same text */
  } good[] = {
    { "/ip4/192.0.2.42/tcp/443", "04c000022a0601bb", NULL },   /* published */
    { "/ip4/127.0.0.1/udp/1234", "047f000001910204d2", NULL }, /* published */
    { "/ip4/127.0.0.1/tcp/4001", "047f000001060fa1", NULL },
    { "/ip6/2001:DB8:0::1/tcp/0", "2920010db8000000000000000000000001060000", "/ip6/2001:db8::1/tcp/0" },
    { "/ip6zone/eth0/ip6/fe80::1/tcp/1",
      "2a046574683029fe8000000000000000000000000000010600"
      "01",
      NULL },
    { "/ip4/10.0.0.0/ipcidr/8", "040a0000002b08", NULL },
    { "/dns/example.org/tcp/1", "350b6578616d706c652e6f7267060001", NULL },
    { "/dns4/a/tcp/65535", "36016106ffff", NULL },
    { "/dns6/a", "370161", NULL },
    { "/dnsaddr/bootstrap.libp2p.io", "3813626f6f7473747261702e6c69627032702e696f", NULL },
    { "/ip4/1.2.3.4/tcp/1/p2p/" ED_TEXT, "0401020304060001a50326" ED_ID, NULL },
    { "/ip4/1.2.3.4/tcp/1/ipfs/" ED_TEXT, "0401020304060001a50326" ED_ID, "/ip4/1.2.3.4/tcp/1/p2p/" ED_TEXT },
    { "/p2p/" ED_TEXT "/p2p-circuit", "a50326" ED_ID "a202", NULL },
    { "/unix/tmp/a.sock", "90030b2f746d702f612e736f636b", NULL },
    { "/ip4/1.2.3.4/tcp/1/tls/sni/a.b/ws", "0401020304060001c003c10303612e62dd03", NULL },
    { "/ip4/1.2.3.4/tcp/1/noise", "0401020304060001c603", NULL },
    { "/ip4/1.2.3.4/udp/1/quic", "040102030491020001cc03", NULL },
    { "/ip4/1.2.3.4/udp/1/quic-v1/webtransport", "040102030491020001cd03d103", NULL },
    { "/ip4/1.2.3.4/udp/1/webrtc-direct/certhash/" CERT,
      "0401020304910200019802d203221220c3ab8ff13720e8ad9047dd39466b3c8974e592c2fa383d4a3960714caef0c4f2",
      NULL },
    { "/p2p/" ED_TEXT "/webrtc", "a50326" ED_ID "9902", NULL },
    { "/ip4/1.2.3.4/tcp/1/wss", "0401020304060001de03", NULL },
    { "/ip4/1.2.3.4/tcp/1/http", "0401020304060001e003", NULL },
    { "/memory/1234", "89060431323334", NULL },
  };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    msub_multiaddr a;
    char text[MSUB_MULTIADDR_TEXT];
    cr_assert_eq(msub_multiaddr_parse(good[i].text, &a), MSUB_OK, "%s", good[i].text);
    msub_bytes b = { a.bytes, a.n };
    cr_assert_str_eq(test_unhex(b), good[i].hex, "%s", good[i].text);
    cr_assert_eq(msub_multiaddr_check(b), MSUB_OK);
    cr_assert_eq(msub_multiaddr_text(b, text, sizeof text), MSUB_OK);
    cr_assert_str_eq(text, good[i].out ? good[i].out : good[i].text);
    size_t len = strlen(text);
    cr_assert_eq(msub_multiaddr_text(b, text, len + 1), MSUB_OK, "it just fits");
    for (size_t cap = 0; cap <= len; cap++) cr_assert_eq(msub_multiaddr_text(b, text, cap), MSUB_ERR_LIMIT);
    /* N-14: cut anywhere it is either malformed or the shorter address that ends there. */
    for (size_t n = 0; n < b.n; n++) {
      const msub_bytes cut = { b.p, n };
      if (msub_multiaddr_check(cut) != MSUB_OK) continue;
      msub_multiaddr again;
      cr_assert_eq(msub_multiaddr_text(cut, text, sizeof text), MSUB_OK);
      cr_assert_eq(msub_multiaddr_parse(text, &again), MSUB_OK, "%s", text);
      cr_assert(msub_bytes_eq((msub_bytes){ again.bytes, again.n }, cut), "N-14: %s", text);
    }
  }
  static char endless[4000];
  for (size_t i = 0; i + 13 < sizeof endless; i += 12) memcpy(endless + i, "/p2p-circuit", 13);
  const char *const bad_text[] = {
    NULL,
    "",
    "/",
    "//",
    "ip4/1.2.3.4",
    "/ip4",
    "/ip4/",
    "/ip4/1.2.3.4/",
    "/ip4/1.2.3.4//tcp/1",
    "/ip4/1.2.3/tcp/1",
    "/ip4/1.2.3.4/tcp",
    "/ip4/1.2.3.4/tcp/65536",
    "/ip4/1.2.3.4/tcp/-1",
    "/ip4/1.2.3.4/tcp/01",
    "/ip4/1.2.3.4/tcp/x",
    "/ip5/1.2.3.4",
    "/ip6/fe80::1%eth0",
    "/dns/",
    "/dns/a b",
    "/dns4/\xc3\xa9",
    "/p2p/Qm",
    "/p2p/hello",
    "/unix",
    "/unix/",
    "/unix/a\nb",
    "/ws/x",
    "/certhash/" CERT "x",
    "/certhash/zzz",
    "/ipcidr/256",
    "/IP4/1.2.3.4",
    "/ip4/1.2.3.4/tcp/1 ",
    endless,
  };
  for (size_t i = 0; i < sizeof bad_text / sizeof *bad_text; i++) {
    msub_multiaddr a;
    cr_assert_eq(msub_multiaddr_parse(bad_text[i], &a), MSUB_ERR_MALFORMED, "text %zu: %s", i, bad_text[i]);
  }
  static const char *const bad_bytes[] = {
    "",                       /* nothing */
    "0401",                   /* cut */
    "840001020304",           /* padded code */
    "3580016100",             /* length beyond the end, padded */
    "35810061",               /* padded length */
    "3500",                   /* empty name */
    "3503612f62",             /* a slash in a name */
    "3502610a",               /* a newline in a name */
    "3501e9",                 /* not ASCII */
    "35ffffffffffffffff7f61", /* huge length */
    "a5030400016162",         /* left over behind the peer id's digest */
    "a5032e002caaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "d203021220",     /* half a hash */
    "90030161",       /* a path without its slash */
    "9003022f61dd03", /* something behind a path */
    "9003032f6100",   /* NUL in a path */
    "ff7f",           /* no such protocol */
    "04010203040600", /* half a port */
  };
  for (size_t i = 0; i < sizeof bad_bytes / sizeof *bad_bytes; i++) {
    char text[64];
    msub_addr addr;
    msub_bytes b = test_hex(bad_bytes[i]);
    cr_assert_eq(msub_multiaddr_check(b), MSUB_ERR_MALFORMED, "N-14: %s", bad_bytes[i]);
    cr_assert_eq(msub_multiaddr_text(b, text, sizeof text), MSUB_ERR_MALFORMED);
    cr_assert_eq(msub_multiaddr_split(b, &addr), MSUB_ERR_MALFORMED);
  }
  static uint8_t big[MSUB_MULTIADDR_MAX + 2];
  for (size_t i = 0; i < sizeof big; i += 2) memcpy(big + i, "\xa2\x02", 2);
  cr_assert_eq(msub_multiaddr_check((msub_bytes){ big, MSUB_MULTIADDR_MAX }), MSUB_OK);
  cr_assert_eq(msub_multiaddr_check((msub_bytes){ big, MSUB_MULTIADDR_MAX + 2 }), MSUB_ERR_MALFORMED);
}

Test(multiformats, multiaddr_for_dialers) {
  static const struct {
    const char *text;
    int rc;
    msub_addr_host host;
    size_t value_n;
    uint16_t tcp;
    bool ws, peer;
  } cases[] = {
    { "/ip4/1.2.3.4/tcp/4001", MSUB_OK, MSUB_ADDR_IP4, 4, 4001, false, false },
    { "/ip6/::1/tcp/1/p2p/" ED_TEXT, MSUB_OK, MSUB_ADDR_IP6, 16, 1, false, true },
    { "/dns/a.b/tcp/80/ws", MSUB_OK, MSUB_ADDR_DNS, 3, 80, true, false },
    { "/dns4/a.b/tcp/80/ws/p2p/" ED_TEXT, MSUB_OK, MSUB_ADDR_DNS4, 3, 80, true, true },
    { "/dns6/a.b/tcp/1", MSUB_OK, MSUB_ADDR_DNS6, 3, 1, false, false },
    { "/dnsaddr/a.b", MSUB_OK, MSUB_ADDR_DNSADDR, 3, 0, false, false },
    { "/dnsaddr/a.b/p2p/" ED_TEXT, MSUB_OK, MSUB_ADDR_DNSADDR, 3, 0, false, true },
    { "/unix/a/b", MSUB_OK, MSUB_ADDR_UNIX, 4, 0, false, false },
    { "/ip4/1.2.3.4", MSUB_ERR_UNSUPPORTED, 0, 0, 0, false, false },
    { "/ip4/1.2.3.4/udp/1/quic-v1", MSUB_ERR_UNSUPPORTED, 0, 0, 0, false, false },
    { "/ip4/1.2.3.4/tcp/1/tls/ws", MSUB_ERR_UNSUPPORTED, 0, 0, 0, false, false },
    { "/ip4/1.2.3.4/tcp/1/wss", MSUB_ERR_UNSUPPORTED, 0, 0, 0, false, false },
    { "/ip4/1.2.3.4/tcp/1/tcp/2", MSUB_ERR_UNSUPPORTED, 0, 0, 0, false, false },
    { "/ip4/1.2.3.4/ws", MSUB_ERR_UNSUPPORTED, 0, 0, 0, false, false },
    { "/ip4/1.2.3.4/tcp/1/p2p/" ED_TEXT "/p2p-circuit", MSUB_ERR_UNSUPPORTED, 0, 0, 0, false, false },
    { "/ip4/1.2.3.4/tcp/1/p2p/" ED_TEXT "/p2p/" ED_TEXT, MSUB_ERR_UNSUPPORTED, 0, 0, 0, false, false },
    { "/p2p/" ED_TEXT, MSUB_ERR_UNSUPPORTED, 0, 0, 0, false, false },
    { "/memory/1", MSUB_ERR_UNSUPPORTED, 0, 0, 0, false, false },
  };
  msub_peer_id id, other;
  cr_assert_eq(msub_peer_id_parse(ED_TEXT, &id), MSUB_OK);
  cr_assert_eq(msub_peer_id_parse("QmVMT29id3TUASyfZZ6k9hmNyc2nYabCo4uMSpDw4zrgDk", &other), MSUB_OK);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    msub_multiaddr a;
    msub_addr addr;
    cr_assert_eq(msub_multiaddr_parse(cases[i].text, &a), MSUB_OK, "%s", cases[i].text);
    cr_assert_eq(msub_multiaddr_split((msub_bytes){ a.bytes, a.n }, &addr), cases[i].rc, "%s", cases[i].text);
    if (cases[i].rc != MSUB_OK) continue;
    cr_assert(addr.host == cases[i].host && addr.value.n == cases[i].value_n && addr.tcp == cases[i].tcp,
              "%s", cases[i].text);
    cr_assert(addr.ws == cases[i].ws && (addr.peer_id.n > 0) == cases[i].peer, "%s", cases[i].text);
    if (cases[i].peer) cr_assert(msub_bytes_eq(addr.peer_id, msub_peer_id_bytes(&id)));
    int rc = msub_multiaddr_with_peer(&a, msub_peer_id_bytes(&id));
    cr_assert_eq(rc, addr.host == MSUB_ADDR_UNIX ? MSUB_ERR_UNSUPPORTED : MSUB_OK, "%s", cases[i].text);
    if (rc == MSUB_OK) {
      cr_assert_eq(msub_multiaddr_with_peer(&a, msub_peer_id_bytes(&other)), MSUB_ERR_MISMATCH);
      cr_assert_eq(msub_multiaddr_split((msub_bytes){ a.bytes, a.n }, &addr), MSUB_OK);
      cr_assert(msub_bytes_eq(addr.peer_id, msub_peer_id_bytes(&id)));
    }
  }
  msub_multiaddr a;
  char text[64];
  const uint8_t six[16] = { [15] = 1 };
  cr_assert_eq(msub_multiaddr_tcp((msub_bytes){ six, 16 }, 4001, &a), MSUB_OK);
  cr_assert_eq(msub_multiaddr_text((msub_bytes){ a.bytes, a.n }, text, sizeof text), MSUB_OK);
  cr_assert_str_eq(text, "/ip6/::1/tcp/4001");
  cr_assert_eq(msub_multiaddr_tcp((msub_bytes){ six, 4 }, 65535, &a), MSUB_OK);
  cr_assert_eq(msub_multiaddr_tcp((msub_bytes){ six, 5 }, 1, &a), MSUB_ERR_INVAL);
  cr_assert_eq(msub_multiaddr_with_peer(&a, msub_peer_id_bytes(&id)), MSUB_ERR_MALFORMED, "no address");
  a.n = 0;
  while (a.n + 2 <= MSUB_MULTIADDR_MAX - 20) {
    memcpy(a.bytes + a.n, "\xa2\x02", 2);
    a.n = (uint16_t)(a.n + 2);
  }
  uint16_t before = a.n;
  cr_assert_eq(msub_multiaddr_with_peer(&a, msub_peer_id_bytes(&id)), MSUB_ERR_LIMIT);
  cr_assert_eq(a.n, before);
}

/* N-14: random bytes and mutated good ones never crash, and what is accepted comes back the same. */
Test(multiformats, mutations) {
  static const char *const seeds[] = {
    "0401020304060001a50326" ED_ID, "9003022f61", "3813626f6f7473747261702e6c69627032702e696f",
    "2a046574683029fe80000000000000000000000000000106000ad203221220c3ab8ff13720e8ad9047dd39466b3c"
    "8974e592c2fa383d4a3960714caef0c4f2"
  };
  msub__rng rng;
  msub__rng_init(&rng, 14, 1);
  msub_bytes decoded[4];
  for (size_t i = 0; i < 4; i++) decoded[i] = test_hex(seeds[i]);
  size_t accepted = 0;
  for (int i = 0; i < 200000; i++) {
    uint8_t b[128];
    msub_bytes seed = decoded[msub__rng_below(&rng, 4)];
    size_t n = seed.n;
    memcpy(b, seed.p, n);
    for (uint32_t k = msub__rng_below(&rng, 3); k > 0; k--)
      b[msub__rng_below(&rng, (uint32_t)n)] = (uint8_t)msub__rng_u64(&rng);
    if (msub__rng_below(&rng, 8) == 0) n = msub__rng_below(&rng, (uint32_t)n + 1);
    const msub_bytes in = { b, n };
    char text[MSUB_MULTIADDR_TEXT];
    msub_multiaddr back;
    if (msub_multiaddr_check(in) != MSUB_OK) continue;
    accepted++;
    cr_assert_eq(msub_multiaddr_text(in, text, sizeof text), MSUB_OK);
    cr_assert_eq(msub_multiaddr_parse(text, &back), MSUB_OK, "N-14: %s", text);
    cr_assert(msub_bytes_eq((msub_bytes){ back.bytes, back.n }, in), "N-14: %s", text);
  }
  cr_assert_gt(accepted, 10000);
}
