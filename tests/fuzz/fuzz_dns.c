/* tests/fuzz/fuzz_dns.c: the input as a DNS message, and as a name. What was read is written, uncompressed, and read again as the same. */
#include <string.h>
#include "tests/fuzz/fuzz.h"
#include "wire/dns.h"

static void names_in(const msub__dns_reader *r, const msub__dns_record *rec) {
  msub__dns_name name;
  for (size_t skip = 0; skip < 8; skip++) {
    if (msub__dns_data_name(r, rec, skip, &name) != MSUB_OK) continue;
    FUZZ_CHECK(name.n > 0 && name.bytes[name.n - 1] == 0);
  }
}

static void texts_in(msub_bytes data) {
  msub_bytes text;
  size_t n = data.n;
  const uint8_t *end = data.p + data.n;
  while (msub__dns_take_text(&data, &text)) {
    FUZZ_CHECK(text.p + text.n <= end && data.n + 1 + text.n == n);
    n = data.n;
  }
}

static void message(msub_bytes in) {
  static uint8_t out[1u << 20];
  static msub__dns_record rec, back;
  msub__dns_reader r, again;
  msub__dns_writer w;
  if (msub__dns_open(&r, in) != MSUB_OK) return;
  msub__dns_begin(&w, out, sizeof out, r.id, r.flags);
  unsigned n = 0;
  while (msub__dns_next(&r, &rec)) {
    names_in(&r, &rec);
    texts_in(rec.data);
    if (rec.section == MSUB__DNS_QUESTION) msub__dns_ask(&w, &rec.name, rec.type, rec.class);
    else (void)msub__dns_add(&w, rec.section, &rec.name, rec.type, rec.class, rec.ttl, rec.data);
    if (w.full) return;
    n++;
  }
  FUZZ_CHECK(r.at <= in.n);
  FUZZ_CHECK(msub__dns_open(&r, in) == MSUB_OK && msub__dns_open(&again, (msub_bytes){ out, w.n }) == MSUB_OK);
  while (msub__dns_next(&again, &back)) {
    FUZZ_CHECK(msub__dns_next(&r, &rec) && rec.section == back.section && rec.type == back.type && rec.class == back.class);
    FUZZ_CHECK(rec.ttl == back.ttl && msub_bytes_eq(rec.data, back.data) && msub__dns_name_eq(&rec.name, &back.name));
    n--;
  }
  FUZZ_CHECK(n == 0 && !again.bad && again.at == w.n);
}

static void name(msub_bytes in) {
  msub__dns_name whole, part;
  if (msub__dns_name_from(in, &whole) != MSUB_OK) return;
  FUZZ_CHECK(msub__dns_name_eq(&whole, &whole) && whole.bytes[whole.n - 1] == 0);
  msub_bytes label = { whole.bytes + 1, whole.bytes[0] };
  part.n = (uint8_t)(whole.n - 1 - label.n);
  memcpy(part.bytes, whole.bytes + 1 + label.n, part.n);
  msub__dns_name joined;
  FUZZ_CHECK(msub__dns_name_under(label, &part, &joined) == MSUB_OK && msub__dns_name_eq(&joined, &whole));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  message((msub_bytes){ data, size });
  name((msub_bytes){ data, size });
  return 0;
}
