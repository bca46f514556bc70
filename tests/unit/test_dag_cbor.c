/* tests/unit/test_dag_cbor.c: what is strict DAG-CBOR and what is not; the writer writes what the reader takes. */
#include <criterion/criterion.h>
#include <float.h>
#include <string.h>
#include "meshsub/dag_cbor.h"
#include "tests/hex.h"

static int check(const char *hex, bool sorted) {
  msub_bytes b = test_hex(hex);
  return msub_cbor_check(b, sorted);
}

/* Mostly of RFC 8949, appendix A. */
Test(dag_cbor, one_item) {
  static const struct { const char *hex; msub_cbor_type type; uint64_t n; } good[] = {
    { "00", MSUB_CBOR_UINT, 0 }, { "17", MSUB_CBOR_UINT, 23 }, { "1818", MSUB_CBOR_UINT, 24 }, { "18ff", MSUB_CBOR_UINT, 255 },
    { "190100", MSUB_CBOR_UINT, 256 }, { "1a00010000", MSUB_CBOR_UINT, 65536 }, { "1b0000000100000000", MSUB_CBOR_UINT, UINT64_C(1) << 32 },
    { "1bffffffffffffffff", MSUB_CBOR_UINT, UINT64_MAX }, { "20", MSUB_CBOR_NINT, 0 }, { "3863", MSUB_CBOR_NINT, 99 },
    { "3bffffffffffffffff", MSUB_CBOR_NINT, UINT64_MAX }, { "f4", MSUB_CBOR_BOOL, 0 }, { "f5", MSUB_CBOR_BOOL, 1 }, { "f6", MSUB_CBOR_NULL, 0 },
    { "80", MSUB_CBOR_ARRAY, 0 }, { "83010203", MSUB_CBOR_ARRAY, 3 }, { "a0", MSUB_CBOR_MAP, 0 }, { "a2616101616202", MSUB_CBOR_MAP, 2 } };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    msub_bytes in = test_hex(good[i].hex), rest = in;
    msub_cbor_item item;
    cr_assert_eq(msub_cbor_next(&rest, &item), MSUB_OK, "%s", good[i].hex);
    cr_assert(item.type == good[i].type && item.n == good[i].n, "%s: type %d, %llu", good[i].hex, item.type, (unsigned long long)item.n);
    cr_assert_eq(msub_cbor_check(in, true), MSUB_OK, "%s", good[i].hex);
  }
  msub_bytes in = test_hex("4401020304");
  msub_cbor_item item;
  cr_assert(msub_cbor_next(&in, &item) == MSUB_OK && item.type == MSUB_CBOR_BYTES && item.bytes.n == 4 && item.bytes.p[3] == 4 && in.n == 0);
  in = test_hex("6449455446");
  cr_assert(msub_cbor_next(&in, &item) == MSUB_OK && item.type == MSUB_CBOR_TEXT && msub_bytes_eq(item.bytes, msub_str("IETF")));
  in = test_hex("fb3ff199999999999a");
  cr_assert(msub_cbor_next(&in, &item) == MSUB_OK && item.type == MSUB_CBOR_FLOAT && item.real > 1.09 && item.real < 1.11);
  in = test_hex("d82a4300aabb");
  cr_assert(msub_cbor_next(&in, &item) == MSUB_OK && item.type == MSUB_CBOR_LINK && item.bytes.n == 2 && item.bytes.p[0] == 0xaa && in.n == 0);
}

Test(dag_cbor, refused) {
  static const char *const bad[] = {
    "", "18", "1817", "1900ff", "1a0000ffff", "1b00000000ffffffff", "3817", "19", "1b00000000000000", /* no head, cut, not the shortest */
    "1c", "1d", "1e", "1f", "5f42010243030405ff", "7f657374726561646d696e67ff", "9fff", "bfff", "ff",  /* reserved, indefinite */
    "44010203", "6161ff", "62c328", "61ff", "63eda080", "64f8888080", "62c080", "64f4908080", "63e08080", /* cut; not UTF-8: a loose byte, a surrogate, overlong, too large */
    "f0", "f7", "f818", "f800", "f90000", "fa47c35000", "fb7ff0000000000000", "fbfff0000000000000", "fb7ff8000000000000", /* simple values, short floats, not finite */
    "c074323031332d30332d32315432303a30343a30305a", "d82a420101", "d82a41", "d82a4100", "d82a6200aa", "d82b4300aabb", "d9002a4300aabb", /* tags; a link is 00 and a CID in bytes */
    "81", "8201", "a1", "a161", "a16161", "a2616101", "9b7fffffffffffffff", "bb7fffffffffffffff", "9bffffffffffffffff00", "bbffffffffffffffff0000", /* too little in it */
    "a10101", "a1f600", "a1410000", "a28001f401", /* keys that are no text */
    "a2616101616102", "a3616101616202616103", "82a261610161610200", "0000", "8000" }; /* twice; something behind */
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    for (int sorted = 0; sorted < 2; sorted++) cr_assert_eq(check(bad[i], sorted), MSUB_ERR_MALFORMED, "%s", bad[i]);
}

/* Shorter keys first, then by their bytes. */
Test(dag_cbor, order_of_keys) {
  static const struct { const char *hex; bool sorted; } maps[] = {
    { "a2616101616202", true }, { "a2616202616101", false }, { "a261620262616101", true }, { "a262616101616202", false },
    { "a3616101616203616302", true }, { "a3616101616302616203", false }, { "81a2616202616101", false } };
  for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
    cr_assert_eq(check(maps[i].hex, true), maps[i].sorted ? MSUB_OK : MSUB_ERR_MALFORMED, "%s", maps[i].hex);
    cr_assert_eq(check(maps[i].hex, false), MSUB_OK, "%s", maps[i].hex);
  }
  cr_assert_eq(check("a3616202616101616203", false), MSUB_ERR_MALFORMED, "twice, one of them out of order");
  cr_assert_eq(check("a2616200a1616100", false), MSUB_ERR_MALFORMED, "a map is no key");
  /* The value between holds arrays and maps: the look for a key steps over them. */
  cr_assert_eq(check("a3616283a1617800f582f6f6616102616202", false), MSUB_ERR_MALFORMED);
  cr_assert_eq(check("a3616283a1617800f582f6f6616102616302", false), MSUB_OK);
}

/* n keys of two chars, the first one last. */
static size_t unsorted(uint8_t *out, size_t cap, unsigned n) {
  msub_cbor_out o = { out, cap, 0 };
  msub_cbor_put_map(&o, n);
  for (unsigned i = 0; i < n; i++) {
    uint8_t key[2] = { (uint8_t)('a' + (n - 1 - i) / 16), (uint8_t)('a' + (n - 1 - i) % 16) };
    msub_cbor_put_text(&o, (msub_bytes){ key, 2 });
    msub_cbor_put_null(&o);
  }
  return o.n;
}

Test(dag_cbor, P_07_bounds) {
  uint8_t buf[4096];
  for (unsigned n = MSUB_CBOR_UNSORTED - 1; n <= MSUB_CBOR_UNSORTED + 1; n++) {
    size_t bytes = unsorted(buf, sizeof buf, n);
    cr_assert_eq(msub_cbor_check((msub_bytes){ buf, bytes }, false), n <= MSUB_CBOR_UNSORTED ? MSUB_OK : MSUB_ERR_LIMIT, "%u keys", n);
  }
  for (unsigned n = MSUB_CBOR_DEPTH - 1; n <= MSUB_CBOR_DEPTH + 1; n++) {
    memset(buf, 0x81, n);
    buf[n] = 0x01;
    cr_assert_eq(msub_cbor_check((msub_bytes){ buf, n + 1 }, true), n <= MSUB_CBOR_DEPTH ? MSUB_OK : MSUB_ERR_LIMIT, "%u deep", n);
    for (unsigned i = 0; i < n; i++) memcpy(buf + 3 * i, "\xa1\x61k", 3);
    buf[3 * n] = 0x01;
    cr_assert_eq(msub_cbor_check((msub_bytes){ buf, 3 * n + 1 }, true), n <= MSUB_CBOR_DEPTH ? MSUB_OK : MSUB_ERR_LIMIT, "%u maps deep", n);
  }
}

Test(dag_cbor, skip_takes_one) {
  msub_bytes in = test_hex("a26161820102616283f5f6d82a4300aabb" "18ff"), rest = in, whole;
  cr_assert_eq(msub_cbor_skip(&rest, true, &whole), MSUB_OK);
  cr_assert(whole.p == in.p && whole.n == in.n - 2 && rest.n == 2);
  cr_assert(msub_cbor_skip(&rest, true, NULL) == MSUB_OK && rest.n == 0);
}

static void write_all(msub_cbor_out *o) {
  static const uint64_t heads[] = { 0, 23, 24, 255, 256, 65535, 65536, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX };
  msub_cbor_put_array(o, 2 * sizeof heads / sizeof *heads + 7);
  for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
    msub_cbor_put_uint(o, heads[i]);
    msub_cbor_put_nint(o, heads[i]);
  }
  msub_cbor_put_bytes(o, msub_str("bytes"));
  msub_cbor_put_text(o, msub_str("text"));
  msub_cbor_put_link(o, msub_str("cid"));
  msub_cbor_put_bool(o, true);
  msub_cbor_put_null(o);
  msub_cbor_put_float(o, DBL_MAX);
  msub_cbor_put_map(o, 1);
  msub_cbor_put_text(o, msub_str("k"));
  msub_cbor_put_float(o, 0);
}

Test(dag_cbor, written_and_read) {
  uint8_t buf[512], small[512];
  msub_cbor_out o = { buf, sizeof buf, 0 }, count = { 0 };
  write_all(&o);
  write_all(&count);
  cr_assert(o.n <= sizeof buf && count.n == o.n);
  cr_assert_eq(msub_cbor_check((msub_bytes){ buf, o.n }, true), MSUB_OK);
  for (size_t cap = 0; cap < o.n; cap++) {
    memset(small, 0xee, sizeof small);
    msub_cbor_out cut = { small, cap, 0 };
    write_all(&cut);
    cr_assert(cut.n == o.n && small[cap] == 0xee, "nothing behind %zu", cap);
  }
  cr_assert(msub_cbor_key_order(msub_str("b"), msub_str("aa")) < 0 && msub_cbor_key_order(msub_str("aa"), msub_str("ab")) < 0 &&
            msub_cbor_key_order(msub_str(""), msub_str("")) == 0);
}
