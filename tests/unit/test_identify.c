/* identify: what is kept of what a peer says, and what we say. Ids in the messages are rows of the project's
 * list of known mistakes with this protocol. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "count_mem.h"
#include "wire/identify.h"

static msub_bytes str(const char *s) { return (msub_bytes){ (const uint8_t *)s, strlen(s) }; }

/* A message written field by field. */
typedef struct message {
  uint8_t p[100000];
  size_t n;
} message;
static void varint(message *m, uint64_t v) {
  for (; v >= 128; v >>= 7) m->p[m->n++] = (uint8_t)(v | 0x80);
  m->p[m->n++] = (uint8_t)v;
}
static message *field(message *m, unsigned number, msub_bytes b) {
  varint(m, number << 3 | 2);
  varint(m, b.n);
  if (b.n > 0) memcpy(m->p + m->n, b.p, b.n);
  m->n += b.n;
  return m;
}
enum { KEY = 1, ADDR = 2, PROTOCOL = 3, OBSERVED = 4, VERSION = 5, AGENT = 6, RECORD = 8 };
static message *framed(message *out, const message *m) {
  varint(out, m->n);
  memcpy(out->p + out->n, m->p, m->n);
  out->n += m->n;
  return out;
}
static msub_bytes all(const message *m) { return (msub_bytes){ m->p, m->n }; }

static msub_bytes addr(unsigned port) {
  static uint8_t out[64][8];
  static unsigned at;
  uint8_t *a = out[at++ % 64];
  memcpy(a, "\x04\x7f\x00\x00\x01\x06", 6);
  a[6] = (uint8_t)(port >> 8);
  a[7] = (uint8_t)port;
  return (msub_bytes){ a, 8 };
}

static msub__identify *decode(const message *m) {
  msub__identify *id = NULL;
  cr_assert_eq(msub__identify_decode(NULL, all(m), &id), MSUB_OK);
  return id;
}

/* Reads framed messages in pieces of `step` bytes. */
static int read_all(const message *m, size_t step, msub__identify **out) {
  msub__identify_reader r;
  int err = MSUB_OK;
  msub__identify_reader_init(&r, NULL);
  for (size_t at = 0; at < m->n && !err; at += step) {
    size_t n = m->n - at < step ? m->n - at : step;
    err = msub__identify_reader_input(&r, (msub_bytes){ m->p + at, n });
    cr_assert(r.merged.cap <= 2 * MSUB__IDENTIFY_MERGED_MAX);
  }
  if (!err) return msub__identify_reader_finish(&r, out);
  msub__identify_reader_fini(&r);
  return err;
}

static msub_key *key_of(unsigned seed) {
  uint8_t s[32];
  msub_key *k;
  memset(s, (int)seed, 32);
  cr_assert_eq(msub_key_from_seed(s, &k), MSUB_OK);
  return k;
}

Test(identify, round_trip) {
  msub_key *k = key_of(1);
  uint8_t record[1024], out[MSUB__IDENTIFY_OWN_MAX];
  msub_bytes protocols[] = { str("/meshsub/1.1.0"), str("/ipfs/ping/1.0.0") },
             addrs[] = { addr(4001), addr(4002) };
  size_t record_n = msub_peer_record_seal(k, 7, addrs, 2, MSUB_RECORD_GO, record, sizeof record);
  msub__identify_own own = { .key = msub_key_public(k),
                             .observed = addr(999),
                             .protocol_version = str("meshsub/1"),
                             .agent = str("test"),
                             .record = { record, record_n },
                             .protocols = protocols,
                             .n_protocols = 2,
                             .addrs = addrs,
                             .n_addrs = 2 };
  int n = msub__identify_encode(NULL, &own, out, sizeof out);
  cr_assert(n > 0);
  for (size_t step = 1; step < 200; step += 33) {
    message m = { .n = (size_t)n };
    memcpy(m.p, out, (size_t)n);
    msub__identify *id;
    cr_assert_eq(read_all(&m, step, &id), MSUB_OK);
    cr_assert_eq(id->present, 127);
    cr_assert(msub_bytes_eq(id->key, own.key) && msub_bytes_eq(id->agent, own.agent));
    cr_assert(msub_bytes_eq(id->protocol_version, own.protocol_version));
    cr_assert(id->n_protocols == 2 && msub_bytes_eq(id->protocols[1], protocols[1]));
    cr_assert(id->n_addrs == 2 && msub_bytes_eq(id->addrs[0], addrs[0]) &&
              msub_bytes_eq(id->addrs[1], addrs[1]));
    cr_assert(msub_bytes_eq(msub__identify_observed(id), own.observed));
    cr_assert(msub__identify_supports(id, str("/ipfs/ping/1.0.0")) &&
              !msub__identify_supports(id, str("/ipfs/ping")));
    msub_peer_record r;
    cr_assert_eq(msub__identify_record(id, msub_key_peer_id(k), &r), MSUB_OK);
    cr_assert(r.seq == 7 && r.n_addrs == 2);
    cr_assert(msub__identify_key_ok(id, msub_key_peer_id(k)));
    msub__identify_free(NULL, id);
  }
  /* our own message stays below rust's 4,096 bytes: addresses go first, then it is an error */
  msub_bytes many[400], long_protocols[64];
  static char text[64][80];
  for (unsigned i = 0; i < 400; i++) many[i] = addrs[0];
  for (unsigned i = 0; i < 64; i++) long_protocols[i] = (snprintf(text[i], 80, "/p/%060u", i), str(text[i]));
  own.addrs = many;
  own.n_addrs = 400;
  n = msub__identify_encode(NULL, &own, out, sizeof out);
  cr_assert(n > 3000 && n <= (int)MSUB__IDENTIFY_OWN_MAX, "%d", n);
  cr_assert_eq(msub__identify_encode(NULL, &own, out, 100), MSUB_ERR_LIMIT);
  own.protocols = long_protocols;
  own.n_protocols = 64;
  cr_assert_eq(msub__identify_encode(NULL, &own, out, sizeof out), MSUB_ERR_LIMIT);
  cr_assert_eq(msub__identify_encode(NULL, &(msub__identify_own){ 0 }, out, sizeof out), 1,
               "an empty message");
  msub_key_free(k);
}

/* I-01, I-02: only the connected peer's own record counts. */
Test(identify, records) {
  msub_key *k[2] = { key_of(1), key_of(2) };
  for (int dialect = MSUB_RECORD_GO; dialect <= MSUB_RECORD_RFC; dialect++) {
    for (int signer = 0; signer < 2; signer++) {
      for (int connected = 0; connected < 2; connected++) {
        message m = { .n = 0 };
        uint8_t record[512];
        msub_bytes a = addr(1);
        size_t n =
            msub_peer_record_seal(k[signer], 1, &a, 1, (msub_record_dialect)dialect, record, sizeof record);
        field(field(&m, KEY, msub_key_public(k[signer])), RECORD, (msub_bytes){ record, n });
        msub__identify *id = decode(&m);
        msub_peer_record r;
        int err = msub__identify_record(id, msub_key_peer_id(k[connected]), &r);
        cr_assert_eq(err, signer == connected ? MSUB_OK : MSUB_ERR_MISMATCH,
                     "I-01 signer %d, connected %d: %d", signer, connected, err);
        cr_assert_eq(msub__identify_key_ok(id, msub_key_peer_id(k[connected])), signer == connected, "I-02");
        cr_assert_eq(msub__identify_record(id, (msub_bytes){ 0 }, &r), MSUB_ERR_MISMATCH,
                     "I-02 nobody expected is nobody accepted");
        msub__identify_free(NULL, id);
        /* a record relabelled: each byte flipped */
        for (size_t at = 0; at < n; at += 7) {
          record[at] ^= 4;
          m.n = 0;
          id = decode(field(&m, RECORD, (msub_bytes){ record, n }));
          cr_assert(msub__identify_record(id, msub_key_peer_id(k[signer]), &r) < 0, "I-02 byte %zu", at);
          msub__identify_free(NULL, id);
          record[at] ^= 4;
        }
      }
    }
  }
  message none = { .n = 0 };
  msub_peer_record r;
  msub__identify *id = decode(&none);
  cr_assert_eq(msub__identify_record(id, msub_key_peer_id(k[0]), &r), MSUB_ERR_NOTFOUND);
  cr_assert(msub__identify_key_ok(id, msub_key_peer_id(k[0])));
  msub__identify_free(NULL, id);
  msub_key_free(k[0]);
  msub_key_free(k[1]);
}

/* I-03, I-05, I-09: sizes and numbers of messages at the limit and beside it. */
Test(identify, messages) {
  static const struct {
    const char *what;
    unsigned messages;
    size_t each;
    int err;
  } table[] = {
    { "I-09 one", 1, 100, MSUB_OK },
    { "I-03 8 KiB", 1, 8192, MSUB_OK },
    { "I-03 8 KiB + 1", 1, 8193, MSUB_ERR_LIMIT },
    { "I-09 ten", 10, 1000, MSUB_OK },
    { "I-09 eleven", 11, 1000, MSUB_ERR_LIMIT },
    { "I-05 16 KiB in all", 2, 8192, MSUB_OK },
    { "I-05 more", 3, 8192, MSUB_ERR_LIMIT },
    { "I-05 ten times 8 KiB", 10, 8192, MSUB_ERR_LIMIT },
    { "I-09 ten empty ones", 10, 0, MSUB_OK },
    { "I-09 none", 0, 0, MSUB_ERR_MALFORMED },
  };
  static message in, one;
  static uint8_t pad[9000];
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
    for (size_t step = 1; step < 100000; step = step * 50 + 1) {
      msub__identify *id = NULL;
      in.n = one.n = 0;
      if (table[i].each > 0) {
        field(&one, 99,
              (msub_bytes){ pad,
                            table[i].each - (table[i].each > 130 ? 4 : 3) }); /* an unknown field fills it */
        cr_assert_eq(one.n, table[i].each);
      }
      for (unsigned k = 0; k < table[i].messages; k++) framed(&in, &one);
      int err = read_all(&in, step, &id);
      cr_assert_eq(err, table[i].err, "%s, step %zu: %d", table[i].what, step, err);
      msub__identify_free(NULL, id);
    }
  }
  static const struct {
    const char *what, *bytes;
    size_t n;
    int err;
  } prefixes[] = {
    { "I-03 2^31", "\x80\x80\x80\x80\x08", 5, MSUB_ERR_LIMIT },
    { "I-03 2^63", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 10, MSUB_ERR_LIMIT },
    { "I-03 padded", "\x81\x00", 2, MSUB_ERR_MALFORMED },
    { "I-03 cut in the prefix", "\x81", 1, MSUB_ERR_MALFORMED },
    { "I-03 cut in the message",
      "\x05"
      "ab",
      3, MSUB_ERR_MALFORMED },
    { "no protobuf", "\x02\xff\xff", 3, MSUB_ERR_MALFORMED },
    { "wrong wire type", "\x02\x08\x01", 3, MSUB_ERR_MALFORMED },
  };
  for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
    msub__identify *id = NULL;
    in.n = prefixes[i].n;
    memcpy(in.p, prefixes[i].bytes, in.n);
    cr_assert_eq(read_all(&in, 1, &id), prefixes[i].err, "%s", prefixes[i].what);
  }
  /* I-03: memory follows what came, not what was announced */
  msub__identify_reader r;
  msub__identify_reader_init(&r, NULL);
  cr_assert_eq(msub__identify_reader_input(&r, (msub_bytes){ (const uint8_t *)"\x80\x40x", 3 }), MSUB_OK);
  cr_assert(r.merged.cap <= 64, "I-03");
  msub__identify_reader_fini(&r);
}

/* I-04, I-05, I-06, I-08: lists are capped after the merge, each entry once, bad ones left out. */
Test(identify, lists) {
  static message in, one;
  msub__identify *id = NULL;
  char text[300];
  in.n = 0;
  for (unsigned k = 0; k < 10; k++) {
    one.n = 0;
    for (unsigned i = 0; i < 50; i++)
      field(&one, PROTOCOL, (snprintf(text, sizeof text, "/proto/%u", k * 25 + i), str(text)));
    for (unsigned i = 0; i < 10; i++) field(&one, ADDR, addr(k * 5 + i));
    framed(&in, &one);
  }
  cr_assert_eq(read_all(&in, 1000, &id), MSUB_OK);
  cr_assert(id->n_protocols == 64 && id->n_addrs == 16,
            "I-05 64 protocols and 16 addresses of all ten messages");
  for (unsigned i = 0; i < 64; i++) {
    snprintf(text, sizeof text, "/proto/%u", i);
    cr_assert(msub_bytes_eq(id->protocols[i], str(text)), "I-08 in the order sent, each once");
  }
  cr_assert(id->ignored > 0);
  msub__identify_free(NULL, id);

  one.n = 0; /* I-04: a flood is either ignored or refused; 16 KiB of empty entries do not fit the working
                memory */
  while (one.n + 2 <= MSUB__IDENTIFY_MERGED_MAX) field(&one, PROTOCOL, str(""));
  id = NULL;
  cr_assert_eq(msub__identify_decode(NULL, all(&one), &id), MSUB_ERR_LIMIT, "I-04");
  one.n = 0;
  for (unsigned i = 0; i < 1000; i++)
    field(&one, PROTOCOL, (snprintf(text, sizeof text, "/proto/%u", i), str(text)));
  id = decode(&one);
  cr_assert(id->n_protocols == 64 && id->ignored == 936, "I-04 a long list is cut");
  msub__identify_free(NULL, id);

  one.n = 0; /* I-06 */
  memset(text, 'x', sizeof text);
  field(&one, ADDR, str(""));
  field(&one, ADDR, str("not an address"));
  field(&one, ADDR, addr(1));
  field(&one, ADDR, addr(1));
  field(&one, PROTOCOL, str(""));
  field(&one, PROTOCOL, (msub_bytes){ (const uint8_t *)text, 257 });
  field(&one, PROTOCOL, (msub_bytes){ (const uint8_t *)text, 256 });
  field(&one, PROTOCOL, (msub_bytes){ (const uint8_t *)"a\0b", 3 });
  field(&one, PROTOCOL, (msub_bytes){ (const uint8_t *)"a\0c", 3 });
  field(&one, AGENT, (msub_bytes){ (const uint8_t *)text, 300 });
  field(&one, AGENT, (msub_bytes){ (const uint8_t *)text, 200 });
  field(&one, OBSERVED, str("nonsense"));
  id = decode(&one);
  cr_assert(id->n_addrs == 1 && id->n_protocols == 3 && id->ignored == 4, "I-06 %zu %zu %zu", id->n_addrs,
            id->n_protocols, id->ignored);
  cr_assert_eq(id->protocols[2].n, 3, "a NUL does not cut a text");
  cr_assert_eq(id->agent.n, MSUB__IDENTIFY_VERSION_MAX);
  cr_assert_eq(msub__identify_observed(id).n, 0);
  msub__identify_free(NULL, id);
}

/* I-08: a push replaces what it names and leaves the rest; the old block is untouched. */
Test(identify, push) {
  msub_key *k = key_of(3);
  message m = { .n = 0 };
  field(field(field(&m, KEY, msub_key_public(k)), PROTOCOL, str("/a")), PROTOCOL, str("/b"));
  field(field(field(&m, ADDR, addr(1)), AGENT, str("agent")), OBSERVED, addr(5));
  msub__identify *old = decode(&m), *push, *merged;
  m.n = 0;
  push = decode(field(&m, PROTOCOL, str("/c")));
  cr_assert_eq(msub__identify_merge(NULL, old, push, &merged), MSUB_OK);
  cr_assert(merged->n_protocols == 1 && msub_bytes_eq(merged->protocols[0], str("/c")),
            "I-08 replaced, not appended");
  cr_assert(merged->n_addrs == 1 && msub_bytes_eq(merged->agent, str("agent")) &&
            msub_bytes_eq(merged->key, old->key));
  cr_assert(old->n_protocols == 2);
  msub__identify_free(NULL, old);
  msub__identify_free(NULL, push);
  cr_assert(msub_bytes_eq(merged->observed, addr(5)), "the new block stands alone");
  m.n = 0;
  push = decode(&m);
  msub__identify *again;
  cr_assert_eq(msub__identify_merge(NULL, merged, push, &again), MSUB_OK);
  cr_assert(again->present == merged->present && again->n_protocols == 1, "an empty push changes nothing");
  msub__identify_free(NULL, again);
  cr_assert_eq(msub__identify_merge(NULL, NULL, push, &again), MSUB_OK);
  cr_assert_eq(again->present, 0);
  msub__identify_free(NULL, again);
  msub__identify_free(NULL, merged);
  msub__identify_free(NULL, push);
  msub__identify_free(NULL, NULL);
  msub_key_free(k);
}

Test(identify, out_of_memory) {
  count_mem c = { .live_blocks = 0 };
  msub_mem mem = count_mem_of(&c);
  message m = { .n = 0 }, in = { .n = 0 };
  uint8_t out[4096];
  msub_bytes protocol = str("/a");
  msub__identify_own own = { .protocols = &protocol, .n_protocols = 1 };
  framed(&in, field(&m, PROTOCOL, protocol));
  for (size_t at = 1; at <= 4; at++) {
    msub__identify_reader r;
    msub__identify *id = NULL;
    msub__identify_reader_init(&r, &mem);
    c.fail_after = at;
    int err = msub__identify_reader_input(&r, all(&in));
    if (!err) err = msub__identify_reader_finish(&r, &id);
    cr_assert_eq(err, at < 4 ? MSUB_ERR_NOMEM : MSUB_OK, "allocation %zu", at);
    msub__identify_reader_fini(&r);
    msub__identify_free(&mem, id);
    cr_assert_eq(c.live_blocks, 0);
  }
  c.fail_after = 1;
  cr_assert_eq(msub__identify_encode(&mem, &own, out, sizeof out), MSUB_ERR_NOMEM);
  cr_assert_eq(msub__identify_encode(&mem, &own, out, sizeof out), 5);
}
