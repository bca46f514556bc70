/* DNS messages: names at their limits, compression that is honest and that is not, every cut of a good message. */
#include <criterion/criterion.h>
#include <string.h>
#include "wire/dns.h"

static msub_bytes view(const void *p, size_t n) { return (msub_bytes){ p, n }; }
static msub__dns_name name(const char *text) {
  msub__dns_name n;
  cr_assert_eq(msub__dns_name_from(msub_str(text), &n), MSUB_OK, "%s", text);
  return n;
}

Test(dns, names) {
  static const char *const bad[] = { "", ".", "a..b", ".a", "a..", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
  msub__dns_name n, m;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) cr_assert_eq(msub__dns_name_from(msub_str(bad[i]), &n), MSUB_ERR_MALFORMED, "%s", bad[i]);
  n = name("Example.ORG.");
  m = name("example.org");
  cr_assert(msub__dns_name_eq(&n, &m) && n.n == 13);
  m = name("example.com");
  cr_assert(!msub__dns_name_eq(&n, &m));
  char text[300];
  for (size_t last = 60; last <= 62; last++) { /* 3 * 64 + 1 + last + 1: 254, 255, 256 bytes */
    memset(text, 'a', sizeof text);
    text[63] = text[127] = text[191] = '.';
    text[192 + last] = 0;
    cr_assert_eq(msub__dns_name_from(msub_str(text), &n), last <= 61 ? MSUB_OK : MSUB_ERR_MALFORMED);
  }
  m = name("local");
  for (size_t k = 62; k <= 64; k++) cr_assert_eq(msub__dns_name_under(view(text, k), &m, &n), k < 64 ? MSUB_OK : MSUB_ERR_LIMIT);
  cr_assert_eq(msub__dns_name_under(view(text, 0), &m, &n), MSUB_ERR_LIMIT);
  memset(text, 'a', 63);
  for (size_t k = 1; k <= 3; k++) {
    cr_assert_eq(msub__dns_name_under(view("xyz", 3), &m, &n), MSUB_OK);
    m = n;
  }
  cr_assert_eq(m.n, 4 * 3 + 7);
}

static const uint8_t message[] = "\x12\x34\x81\x80\0\1\0\2\0\0\0\1" "\7example\3org\0\0\x10\0\1"
                                 "\xc0\x0c\0\5\0\1\0\0\0\x3c\0\x04\1y\xc0\x14" "\1y\xc0\x14\0\x10\0\1\0\0\1\0\0\7\5hello\0"
                                 "\xc0\x0c\0\x21\0\1\0\0\0\1\0\x09\0\1\0\2\x0f\xa1\1z\0";

Test(dns, reading) {
  msub__dns_reader r;
  msub__dns_record rec;
  msub__dns_name n, want;
  msub_bytes data, text;
  cr_assert_eq(msub__dns_open(&r, view(message, sizeof message - 1)), MSUB_OK);
  cr_assert(r.id == 0x1234 && (r.flags & MSUB__DNS_RESPONSE) && !(r.flags & MSUB__DNS_TRUNCATED));
  want = name("example.org");
  cr_assert(msub__dns_next(&r, &rec) && rec.section == MSUB__DNS_QUESTION && rec.type == MSUB__DNS_TXT && msub__dns_name_eq(&rec.name, &want));
  cr_assert(msub__dns_next(&r, &rec) && rec.section == MSUB__DNS_ANSWER && rec.type == MSUB__DNS_CNAME && rec.ttl == 60);
  cr_assert(msub__dns_name_eq(&rec.name, &want) && msub__dns_data_name(&r, &rec, 0, &n) == MSUB_OK);
  want = name("y.org");
  cr_assert(msub__dns_name_eq(&n, &want));
  cr_assert(msub__dns_next(&r, &rec) && rec.type == MSUB__DNS_TXT && msub__dns_name_eq(&rec.name, &want) && rec.ttl == 256);
  data = rec.data;
  cr_assert(msub__dns_take_text(&data, &text) && msub_bytes_eq(text, msub_str("hello")));
  cr_assert(msub__dns_take_text(&data, &text) && text.n == 0 && data.n == 0 && !msub__dns_take_text(&data, &text));
  cr_assert(msub__dns_next(&r, &rec) && rec.section == MSUB__DNS_ADDITIONAL && rec.type == MSUB__DNS_SRV);
  want = name("z");
  cr_assert(msub__dns_data_name(&r, &rec, 6, &n) == MSUB_OK && msub__dns_name_eq(&n, &want));
  cr_assert_eq(msub__dns_data_name(&r, &rec, 9, &n), MSUB_ERR_MALFORMED);
  cr_assert(!msub__dns_next(&r, &rec) && !r.bad && r.at == sizeof message - 1);
}

Test(dns, cuts) {
  for (size_t n = 0; n < sizeof message - 1; n++) {
    msub__dns_reader r;
    msub__dns_record rec;
    int err = msub__dns_open(&r, view(message, n));
    cr_assert_eq(err, n < MSUB__DNS_HEAD ? MSUB_ERR_MALFORMED : MSUB_OK);
    if (err != MSUB_OK) continue;
    unsigned k = 0;
    while (msub__dns_next(&r, &rec)) k++;
    cr_assert(k < 4 && r.bad && !msub__dns_next(&r, &rec), "%zu", n);
  }
}

/* Pointers forwards, to themselves, into the header, and a ladder of them that would be longer than a name. */
Test(dns, pointers) {
  uint8_t m[2048] = { [5] = 1 };
  msub__dns_reader r;
  msub__dns_record rec;
  static const uint8_t targets[] = { 0, 11, 12, 13, 200 };
  for (size_t i = 0; i < sizeof targets; i++) {
    m[12] = 0xc0, m[13] = targets[i];
    cr_assert_eq(msub__dns_open(&r, view(m, 64)), MSUB_OK);
    cr_assert(!msub__dns_next(&r, &rec) && r.bad);
  }
  for (size_t steps = 62; steps <= 64; steps++) { /* labels of three bytes, each behind the one in front: 4 * n + 1 <= 255 */
    size_t at = 12;
    memset(m, 0, sizeof m);
    m[5] = 2;
    m[at++] = 0; /* the root, as a question */
    at += 4;
    size_t to = 12;
    for (size_t i = 0; i < steps; i++) {
      size_t here = at;
      memcpy(m + at, "\3abc", 4);
      m[at + 4] = (uint8_t)(0xc0 | to >> 8);
      m[at + 5] = (uint8_t)to;
      to = here;
      at += 6;
    }
    /* The second question begins where the ladder's last step stands. */
    cr_assert_eq(msub__dns_open(&r, view(m, at + 4)), MSUB_OK);
    cr_assert(msub__dns_next(&r, &rec) && rec.name.n == 1);
    r.at = to;
    bool ok = msub__dns_next(&r, &rec);
    cr_assert_eq(ok, steps <= 63, "%zu", steps);
    if (ok) cr_assert_eq(rec.name.n, 4 * steps + 1);
  }
}

Test(dns, writing) {
  uint8_t out[512];
  msub__dns_writer w;
  msub__dns_name n = name("_p2p._udp.local");
  msub__dns_reader r;
  msub__dns_record rec;
  for (size_t cap = 0; cap < 12 + 17 + 4; cap++) {
    msub__dns_begin(&w, out, cap, 1, 0);
    msub__dns_ask(&w, &n, MSUB__DNS_PTR, MSUB__DNS_IN | MSUB__DNS_TOP);
    cr_assert(w.full && w.n <= cap);
  }
  msub__dns_begin(&w, out, sizeof out, 7, MSUB__DNS_RESPONSE | MSUB__DNS_AUTHORITATIVE);
  msub__dns_ask(&w, &n, MSUB__DNS_PTR, MSUB__DNS_IN);
  cr_assert(msub__dns_add(&w, MSUB__DNS_ANSWER, &n, MSUB__DNS_TXT, MSUB__DNS_IN, 0x01020304, view("\3abc", 4)));
  size_t before = w.n;
  static const uint8_t big[600];
  cr_assert(!msub__dns_add(&w, MSUB__DNS_ANSWER, &n, MSUB__DNS_TXT, MSUB__DNS_IN, 1, view(big, sizeof big)) && w.full && w.n == before);
  cr_assert_eq(msub__dns_open(&r, view(out, w.n)), MSUB_OK);
  cr_assert(r.id == 7 && r.flags == 0x8400 && msub__dns_next(&r, &rec) && rec.type == MSUB__DNS_PTR);
  cr_assert(msub__dns_next(&r, &rec) && rec.ttl == 0x01020304 && rec.data.n == 4 && !msub__dns_next(&r, &rec) && !r.bad);
}
