/* tests/host/test_rendezvous.c: the rendezvous protocol: its messages, a point over an exchange that the test plays, and hosts that meet through one. U-06: nothing of it grows without bound.
 * usage: test_rendezvous CASE */
#include <stdio.h>
#include <string.h>
#include "host/limits.h"
#include "host/rate.h"
#include "host_node.h"
#include "meshsub/gossipsub.h"
#include "meshsub/randomsub.h"
#include "meshsub/rendezvous.h"
#include "meshsub/rpc.h"
#include "wire/rendezvous.h"

/* ---- messages ---- */

static msub_bytes text(const char *s) { return msub_str(s); }

static void codec(void) {
  uint8_t out[256];
  msub__rv_message m, back;
  for (unsigned type = 0; type < 5; type++) {
    m = (msub__rv_message){ .type = (msub__rv_type)type, .ns = text("floodsub:a"), .record = text("rec"), .cookie = text("cook"), .limit = 7, .ttl = 300, .status = 0 };
    size_t n = msub__rv_encode(&m, NULL, 0);
    CHECK(n > 2 && msub__rv_encode(&m, out, n) == n && msub__rv_parse((msub_bytes){ out, n }, &back) == MSUB_OK);
    CHECK(back.type == m.type && back.status == 0);
    CHECK(msub_bytes_eq(back.ns, type == 0 || type == 2 || type == 3 ? m.ns : text("")));
    CHECK(back.ttl == (type < 2 ? 300u : 0u) && back.limit == (type == 3 ? 7u : 0u));
    CHECK(msub_bytes_eq(back.cookie, type > 2 ? m.cookie : text("")));
    for (size_t cut = 0; cut < n; cut++) CHECK(msub__rv_parse((msub_bytes){ out, cut }, &back) == MSUB_ERR_MALFORMED);
    out[1] = 5; /* no such type */
    CHECK(msub__rv_parse((msub_bytes){ out, n }, &back) == MSUB_ERR_MALFORMED);
  }
  static const uint8_t bad[][6] = { { 0x08, 0x00, 0x12, 0x01, 0x0a }, { 0x08, 0x00, 0x12, 0x05, 0x0a }, { 0x08, 0x00, 0x1a, 0x00, 0x00 }, { 0x0b, 0x08, 0x00, 0x0c, 0x00 } };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(msub__rv_parse((msub_bytes){ bad[i], 5 }, &back) == MSUB_ERR_MALFORMED);
  static const uint8_t go[] = { 0x08, 0x03, 0x2a, 0x05, 0x0a, 0x01, 'x', 0x10, 0x09 }; /* DISCOVER x, limit 9, by hand */
  CHECK(msub__rv_parse((msub_bytes){ go, sizeof go }, &back) == MSUB_OK && back.limit == 9 && msub_bytes_eq(back.ns, text("x")));
}

/* ---- a point ---- */

static struct {
  const msub_stream_handler *h;
  void *ud;
  uint64_t now;
  uint8_t out[1u << 20];
  size_t n;
  bool reset;
} x;
static int x_serve(void *ud, const char *protocol, const msub_stream_handler *h, void *hud) {
  (void)ud;
  CHECK(strcmp(protocol, "/rendezvous/1.0.0") == 0);
  x.h = h;
  x.ud = hud;
  return MSUB_OK;
}
static size_t x_write(void *ud, msub_stream *s, msub_bytes b) {
  (void)ud, (void)s;
  CHECK(b.n <= sizeof x.out - x.n);
  memcpy(x.out + x.n, b.p, b.n);
  x.n += b.n;
  return b.n;
}
static void x_finish(void *ud, msub_stream *s) { (void)ud, (void)s; }
static void x_reset(void *ud, msub_stream *s) {
  (void)ud, (void)s;
  x.reset = true;
}
static uint64_t x_now(void *ud) {
  (void)ud;
  return x.now;
}
static const msub_exchange_ops ops = { .abi = MSUB_ABI, .size = sizeof ops, .serve = x_serve, .write = x_write, .finish = x_finish, .reset = x_reset, .now = x_now };

enum { KEYS = 4 };
static msub_key *keys[KEYS];
static msub_rendezvous_point *p;
static void begin(unsigned in_all, unsigned of_peer) {
  msub_rendezvous_point_opts o;
  memset(&x, 0, sizeof x);
  x.now = MSUB__S;
  for (unsigned i = 0; i < KEYS; i++) MUST(msub_key_from_seed((uint8_t[32]){ (uint8_t)(i + 1) }, &keys[i]));
  msub_rendezvous_point_opts_init(&o);
  o.exchange = (msub_exchange){ &ops, &x };
  o.max_registrations = in_all;
  o.max_per_peer = of_peer;
  o.mem = &live_mem;
  MUST(msub_rendezvous_point_new(&o, &p));
}
static void end(void) {
  MUST(msub_rendezvous_point_free(p));
  for (unsigned i = 0; i < KEYS; i++) msub_key_free(keys[i]);
}
static msub_rendezvous_point_counts counts(void) {
  msub_rendezvous_point_counts c;
  msub_rendezvous_point_count(p, &c);
  return c;
}
/* A stream of `who`, `times` the bytes on it; the last answer. */
static bool say(unsigned who, const uint8_t *bytes, size_t n, unsigned times, msub__rv_message *back) {
  msub_stream *s = (msub_stream *)(void *)&x;
  void *word = x.h->on_open(x.ud, s, msub_key_peer_id(keys[who]));
  CHECK(word != NULL);
  x.reset = false;
  for (unsigned i = 0; i < times; i++) {
    x.n = 0;
    CHECK(x.h->on_data(word, s, (msub_bytes){ bytes, n }) == n);
  }
  x.h->on_finish(word, s);
  x.h->on_end(word, s, MSUB_END_FINISHED);
  uint64_t size;
  int k = msub_varint_get((msub_bytes){ x.out, x.n }, &size);
  if (x.n == 0 || x.reset) return false;
  CHECK(k > 0 && size == x.n - (size_t)k);
  MUST(msub__rv_parse((msub_bytes){ x.out + k, (size_t)size }, back));
  return true;
}
static bool ask(unsigned who, const msub__rv_message *m, unsigned times, msub__rv_message *back) {
  static uint8_t bytes[32768];
  size_t n = msub__rv_encode(m, NULL, 0), at = msub_varint_put(bytes, n);
  CHECK(at + n <= sizeof bytes);
  (void)msub__rv_encode(m, bytes + at, n);
  return say(who, bytes, at + n, times, back);
}
static uint64_t reg_as(unsigned who, unsigned key, const char *ns, uint64_t ttl) {
  uint8_t record[1024];
  msub_multiaddr a;
  msub__rv_message back;
  MUST(msub_multiaddr_parse("/ip4/192.0.2.1/tcp/4001", &a));
  size_t n = msub_peer_record_seal(keys[key], 1, &(msub_bytes){ a.bytes, a.n }, 1, MSUB_RECORD_GO, record, sizeof record);
  CHECK(n > 0 && n <= sizeof record);
  CHECK(ask(who, &(msub__rv_message){ .type = MSUB__RV_REGISTER, .ns = text(ns), .record = { record, n }, .ttl = ttl }, 1, &back) && back.type == MSUB__RV_REGISTER_RESPONSE);
  CHECK(back.status != MSUB__RV_OK || back.ttl == (ttl ? ttl : 7200));
  return back.status;
}
static uint64_t reg(unsigned who, const char *ns, uint64_t ttl) { return reg_as(who, who, ns, ttl); }
static uint8_t cookie[600];
static size_t cookie_n;
static unsigned seek(const char *ns, uint64_t limit, bool go_on, uint64_t want) {
  msub__rv_message back, one;
  unsigned n = 0;
  CHECK(ask(3, &(msub__rv_message){ .type = MSUB__RV_DISCOVER, .ns = text(ns), .limit = limit, .cookie = { cookie, go_on ? cookie_n : 0 } }, 1, &back));
  CHECK(back.type == MSUB__RV_DISCOVER_RESPONSE && back.status == want);
  for (msub_bytes rest = back.part; msub__rv_registration(&rest, &one); n++) CHECK(msub_bytes_eq(one.ns, text(ns)) && one.ttl > 0);
  if (want == MSUB__RV_OK) {
    CHECK(back.cookie.n > 8 && back.cookie.n <= MSUB__RENDEZVOUS_COOKIE && msub_bytes_eq((msub_bytes){ back.cookie.p + 8, back.cookie.n - 8 }, text(ns)));
    memcpy(cookie, back.cookie.p, cookie_n = back.cookie.n);
  }
  return n;
}

static void quota(void) {
  begin(4, 2);
  CHECK(reg(0, "a", 0) == 0 && reg(0, "b", 0) == 0 && reg(0, "c", 0) == MSUB__RV_NOT_AUTHORIZED);
  CHECK(reg(0, "a", 0) == 0 && counts().registrations == 2); /* again is no more */
  CHECK(reg(1, "a", 0) == 0 && reg(1, "b", 0) == 0 && reg(2, "a", 0) == MSUB__RV_UNAVAILABLE);
  msub__rv_message back;
  CHECK(!ask(1, &(msub__rv_message){ .type = MSUB__RV_UNREGISTER, .ns = text("b") }, 1, &back) && !x.reset && counts().registrations == 3);
  CHECK(!ask(2, &(msub__rv_message){ .type = MSUB__RV_UNREGISTER, .ns = text("a") }, 1, &back) && counts().registrations == 3); /* not another's */
  CHECK(reg(2, "a", 0) == 0 && counts().refused_peer_full == 1 && counts().refused_full == 1);
  end();
}
static void ttl(void) {
  begin(10, 10);
  CHECK(reg(0, "a", 59) == MSUB__RV_INVALID_TTL && reg(0, "a", 60) == 0 && reg(1, "a", 259200) == 0 && reg(1, "a", 259201) == MSUB__RV_INVALID_TTL);
  x.now += 59 * MSUB__S;
  CHECK(seek("a", 0, false, 0) == 2);
  x.now += MSUB__S;
  CHECK(seek("a", 0, false, 0) == 1 && counts().registrations == 1 && counts().expired == 1);
  end();
}
static void cookies(void) {
  begin(10, 10);
  CHECK(reg(0, "a", 0) == 0 && reg(1, "a", 0) == 0 && reg(2, "b", 0) == 0);
  CHECK(seek("a", 1, false, 0) == 1 && seek("a", 1, true, 0) == 1 && seek("a", 1, true, 0) == 0);
  CHECK(reg(2, "a", 0) == 0 && seek("a", 0, true, 0) == 1 && seek("a", 0, true, 0) == 0 && reg(0, "a", 0) == 0 && seek("a", 0, true, 0) == 1);
  CHECK(seek("b", 0, true, MSUB__RV_INVALID_COOKIE) == 0); /* of another namespace */
  for (size_t i = 0; i < 8; i++) { /* of another life, or a later one */
    cookie[i] ^= 0x80;
    (void)seek("a", 0, true, MSUB__RV_INVALID_COOKIE);
    cookie[i] ^= 0x80;
  }
  cookie_n--;
  (void)seek("a", 0, true, MSUB__RV_INVALID_COOKIE);
  CHECK(counts().refused_cookie == 10);
  end();
}
static void refused(void) {
  char ns[MSUB__RENDEZVOUS_NAMESPACE + 2];
  uint8_t big[MSUB__RENDEZVOUS_REQUEST + 1 + 8];
  msub__rv_message back, d = { .type = MSUB__RV_DISCOVER, .ns = text("a") };
  begin(10, 10);
  CHECK(reg_as(0, 1, "a", 0) == MSUB__RV_INVALID_RECORD && counts().registrations == 0); /* a foreign record */
  for (size_t n = MSUB__RENDEZVOUS_NAMESPACE - 1; n <= MSUB__RENDEZVOUS_NAMESPACE + 1; n++) {
    memset(ns, 'n', n);
    ns[n] = 0;
    CHECK(reg(0, ns, 0) == (n > MSUB__RENDEZVOUS_NAMESPACE ? MSUB__RV_INVALID_NAMESPACE : MSUB__RV_OK));
  }
  (void)seek("", 0, false, MSUB__RV_INVALID_NAMESPACE);
  for (unsigned n = MSUB__RENDEZVOUS_REQUESTS - 1; n <= MSUB__RENDEZVOUS_REQUESTS + 1; n++) CHECK(ask(1, &d, n, &back) == (n <= MSUB__RENDEZVOUS_REQUESTS));
  CHECK(counts().malformed == 1);
  for (size_t n = MSUB__RENDEZVOUS_REQUEST - 1; n <= MSUB__RENDEZVOUS_REQUEST + 1; n++) { /* filled up with an unknown field */
    size_t at = msub_varint_put(big, n), start = at;
    memcpy(big + at, (uint8_t[]){ 0x08, 0x03, 0x2a, 0x03, 0x0a, 0x01, 'a', 0x7a }, 8);
    at += 8;
    size_t left = n - 8 - 2;
    at += msub_varint_put(big + at, left);
    memset(big + at, 0, left);
    CHECK(at + left == start + n);
    CHECK(say(1, big, at + left, 1, &back) == (n <= MSUB__RENDEZVOUS_REQUEST));
  }
  CHECK(counts().malformed == 2);
  end();
}

static msub_bytes named(msub_multiaddr *a, size_t len) {
  char name[64], whole[128];
  memset(name, 'h', len);
  name[len] = 0;
  CHECK(snprintf(whole, sizeof whole, "/dns4/%s/tcp/4001", name) > 0);
  MUST(msub_multiaddr_parse(whole, a));
  return (msub_bytes){ a->bytes, a->n };
}
/* A record of exactly `want` bytes: names of 58 letters, then the first ones are lengthened. */
static msub_bytes record_sized(const msub_key *k, size_t want) {
  static uint8_t out[MSUB__RENDEZVOUS_RECORD + 256];
  static msub_multiaddr a[MSUB_RECORD_ADDRS + 1];
  msub_bytes addrs[MSUB_RECORD_ADDRS + 1];
  size_t n = 0, size = 0;
  while (n < MSUB_RECORD_ADDRS) {
    addrs[n] = named(&a[n], 58);
    size_t more = msub_peer_record_seal(k, 1, addrs, n + 1, MSUB_RECORD_GO, out, sizeof out);
    if (more == 0 || more > want) break;
    size = more;
    n++;
  }
  CHECK(n > 2 && want - size <= 80);
  for (size_t left = want - size, i = 0; left > 0; i++) {
    size_t more = left < 5 ? left : 5;
    addrs[i] = named(&a[i], 58 + more);
    left -= more;
  }
  CHECK(msub_peer_record_seal(k, 1, addrs, n, MSUB_RECORD_GO, out, sizeof out) == want);
  return (msub_bytes){ out, want };
}
static void sizes(void) {
  enum { PEERS = 60 };
  msub__rv_message back, m = { .type = MSUB__RV_REGISTER, .ns = text("s") };
  begin(100, 1);
  for (size_t n = MSUB__RENDEZVOUS_RECORD - 1; n <= MSUB__RENDEZVOUS_RECORD + 1; n++) {
    m.record = record_sized(keys[0], n);
    CHECK(ask(0, &m, 1, &back) && back.status == (n <= MSUB__RENDEZVOUS_RECORD ? MSUB__RV_OK : MSUB__RV_INVALID_RECORD));
  }
  size_t one = 0;
  msub_key *mine = keys[1];
  for (unsigned i = 0; i < PEERS; i++) {
    MUST(msub_key_from_seed((uint8_t[32]){ 100, (uint8_t)i }, &keys[1]));
    m.record = record_sized(keys[1], MSUB__RENDEZVOUS_RECORD);
    one = msub__rv_encode_registration(m.ns, m.record, 7200, NULL, 0);
    CHECK(ask(1, &m, 1, &back) && back.status == MSUB__RV_OK);
    msub_key_free(keys[1]);
  }
  keys[1] = mine;
  size_t fit = MSUB__RENDEZVOUS_SAYS / one; /* so many and not one more; the rest follows */
  CHECK(fit < PEERS && seek("s", 0, false, 0) == fit && seek("s", 0, true, 0) == PEERS + 1 - fit && seek("s", 0, true, 0) == 0);
  end();
}

/* ---- how often ---- */

static uint8_t home[KEYS][16];
static size_t home_n[KEYS];
static size_t ip_of(void *ud, msub_bytes peer_id, uint8_t out[16]) {
  CHECK(ud == &home);
  for (unsigned i = 0; i < KEYS; i++) {
    if (!msub_bytes_eq(peer_id, msub_key_peer_id(keys[i]))) continue;
    memcpy(out, home[i], 16);
    return home_n[i];
  }
  return 0;
}
static void at_home(unsigned who, const char *multiaddr) {
  msub_multiaddr m;
  msub_addr a;
  MUST(msub_multiaddr_parse(multiaddr, &m));
  MUST(msub_multiaddr_split((msub_bytes){ m.bytes, m.n }, &a));
  memcpy(home[who], a.value.p, home_n[who] = a.value.n);
}

/* Keys come and go; a key that is not there has all its tokens. */
static void rate_keys(void) {
  msub__rate r;
  uint64_t now = 5;
  uint8_t key[4] = { 0 };
  msub__rate_init(&r, &live_mem, 2, 10, MSUB__RENDEZVOUS_RATES);
  CHECK(!msub__rate_find(&r, (msub_bytes){ NULL, 0 }, now));
  for (unsigned i = 0; i <= MSUB__RENDEZVOUS_RATES; i++) {
    key[0] = (uint8_t)(i * 37); /* in no order */
    key[1] = (uint8_t)(i >> 8);
    key[2] = (uint8_t)i;
    msub__rate_row *row = msub__rate_find(&r, (msub_bytes){ key, 3 + i % 2 }, now);
    CHECK((row != NULL) == (i < MSUB__RENDEZVOUS_RATES)); /* the last one has no place */
    if (row) msub__rate_take(&r, row, now);
  }
  CHECK(r.n == MSUB__RENDEZVOUS_RATES);
  for (size_t i = 1; i < r.n; i++) CHECK(memcmp(r.rows[i - 1].key, r.rows[i].key, 4) < 0 || r.rows[i - 1].n < r.rows[i].n);
  CHECK(!msub__rate_find(&r, (msub_bytes){ key, 3 }, now + 9));
  CHECK(msub__rate_find(&r, (msub_bytes){ key, 3 }, now + 10) && r.n == 1); /* those that are full make room */
  msub__rate_fini(&r);
}

static void rate(void) {
  begin(100, 100);
  MUST(msub_rendezvous_point_free(p));
  msub_rendezvous_point_opts o;
  msub_rendezvous_point_opts_init(&o);
  o.exchange = (msub_exchange){ &ops, &x };
  o.mem = &live_mem;
  o.ip = ip_of;
  o.ip_ud = &home;
  o.peer_burst = 3;
  o.peer_ns = 2 * MSUB__S;
  o.net_burst = 5;
  o.net_ns = 10 * MSUB__S;
  MUST(msub_rendezvous_point_new(&o, &p));
  at_home(0, "/ip4/192.0.2.1/tcp/1");
  at_home(1, "/ip4/192.0.2.250/tcp/1"); /* the same /24 */
  at_home(2, "/ip4/192.0.3.1/tcp/1");
  home_n[3] = 0;                        /* on no network that is counted */
  for (unsigned i = 1; i <= 4; i++) CHECK(reg(0, "a", 0) == (i <= 3 ? 0 : MSUB__RV_UNAVAILABLE)); /* one peer: the third is the last */
  CHECK(counts().refused_peer_rate == 1 && counts().refused_net_rate == 0);
  CHECK(reg(0, "", 0) == MSUB__RV_INVALID_NAMESPACE && reg(0, "a", 1) == MSUB__RV_INVALID_TTL && counts().refused_peer_rate == 1); /* costs no token */
  x.now += 2 * MSUB__S - 1;
  CHECK(reg(0, "a", 0) == MSUB__RV_UNAVAILABLE && counts().refused_peer_rate == 2);
  x.now++;
  CHECK(reg_as(0, 1, "a", 0) == MSUB__RV_INVALID_RECORD); /* one that is refused costs one too */
  CHECK(reg(0, "a", 0) == MSUB__RV_UNAVAILABLE && counts().refused_peer_rate == 3);
  CHECK(reg(1, "a", 0) == 0); /* its network: four are gone, this is the fifth */
  CHECK(reg(1, "a", 0) == MSUB__RV_UNAVAILABLE && counts().refused_net_rate == 1);
  CHECK(reg(2, "a", 0) == 0 && reg(3, "a", 0) == 0);
  x.now += 8 * MSUB__S - 1;
  CHECK(reg(1, "a", 0) == MSUB__RV_UNAVAILABLE && counts().refused_net_rate == 2);
  x.now++;
  CHECK(reg(1, "a", 0) == 0);
  /* IPv6: /48. */
  at_home(0, "/ip6/2001:db8:1:1::1/tcp/1");
  at_home(1, "/ip6/2001:db8:1:ffff::1/tcp/1");
  at_home(2, "/ip6/2001:db8:2::1/tcp/1");
  x.now += 100 * MSUB__S;
  for (unsigned i = 0; i < 3; i++) CHECK(reg(0, "a", 0) == 0);
  for (unsigned i = 1; i <= 3; i++) CHECK(reg(1, "a", 0) == (i <= 2 ? 0 : MSUB__RV_UNAVAILABLE));
  CHECK(counts().refused_net_rate == 3 && counts().refused_peer_rate == 3 && reg(2, "a", 0) == 0);
  end();
  rate_keys();
  msub_rendezvous_point *none;
  for (unsigned i = 0; i < 6; i++) {
    msub_rendezvous_point_opts_init(&o);
    o.exchange = (msub_exchange){ &ops, &x };
    if (i == 0) o.peer_burst = 0;
    if (i == 1) o.peer_burst = 1000001;
    if (i == 2) o.net_burst = 0;
    if (i == 3) o.net_burst = 1000001;
    if (i == 4) o.peer_ns = MSUB__MS - 1;
    if (i == 5) o.net_ns = MSUB__MS - 1;
    CHECK(msub_rendezvous_point_new(&o, &none) == MSUB_ERR_INVAL);
  }
}

/* ---- who asks, over an exchange that the test plays ---- */

static struct { const msub_stream_handler *h; void *word; uint64_t deadline; bool open; } y;
static int y_open(void *ud, msub_bytes peer, const char *protocol, uint64_t deadline, const msub_stream_handler *h, void *word, msub_stream **out) {
  (void)ud;
  CHECK(!y.open && msub_bytes_eq(peer, msub_key_peer_id(keys[3])) && strcmp(protocol, MSUB_RENDEZVOUS_PROTOCOL) == 0);
  y.h = h;
  y.word = word;
  y.deadline = deadline;
  y.open = true;
  x.n = 0;
  *out = (msub_stream *)(void *)&y;
  return MSUB_OK;
}
static const msub_exchange_ops asking = { .abi = MSUB_ABI, .size = sizeof asking, .open = y_open, .write = x_write, .finish = x_finish, .reset = x_reset, .now = x_now };
static size_t no_record(void *ud, msub_record_dialect dialect, uint8_t *out, size_t cap) {
  (void)dialect, (void)ud, (void)out, (void)cap;
  return 0;
}
static size_t some_record(void *ud, msub_record_dialect dialect, uint8_t *out, size_t cap) {
  (void)ud, (void)cap;
  memset(out, dialect == MSUB_RECORD_RFC ? 1 : 2, 5);
  return 5;
}
static unsigned met;
static void found(void *ud, msub_bytes peer_id, msub_bytes addr) {
  (void)ud;
  CHECK(msub_bytes_eq(peer_id, msub_key_peer_id(keys[1])) && addr.n > 0);
  met++;
}
static void y_end(msub_end why) {
  y.open = false;
  y.h->on_end(y.word, (msub_stream *)(void *)&y, why);
}
/* The question that is on the stream. */
static msub__rv_message question(void) {
  msub__rv_message m;
  uint64_t n;
  int k = msub_varint_get((msub_bytes){ x.out, x.n }, &n);
  CHECK(y.open && k > 0 && n == x.n - (size_t)k);
  MUST(msub__rv_parse((msub_bytes){ x.out + k, (size_t)n }, &m));
  return m;
}
/* An answer with the record of key 1, forged or not, and a cookie of n bytes. */
static void say_found(bool forged, size_t n) {
  static const uint8_t zeros[MSUB__RENDEZVOUS_COOKIE + 1];
  uint8_t record[1024], body[2048], out[2100], head[MSUB__RV_HEAD];
  msub_multiaddr a;
  MUST(msub_multiaddr_parse("/ip4/192.0.2.1/tcp/4001", &a));
  size_t r = msub_peer_record_seal(keys[1], 1, &(msub_bytes){ a.bytes, a.n }, 1, MSUB_RECORD_GO, record, sizeof record);
  if (forged) record[r - 1] ^= 1;
  size_t b = msub__rv_encode_registration(text("floodsub:t"), (msub_bytes){ record, r }, 60, body, sizeof body);
  b += msub__rv_encode_discovered(MSUB__RV_OK, (msub_bytes){ zeros, n }, body + b, sizeof body - b);
  size_t h = msub__rv_encode_head(b, head), at = msub_varint_put(out, h + b);
  memcpy(out + at, head, h);
  memcpy(out + at + h, body, b);
  CHECK(y.h->on_data(y.word, (msub_stream *)(void *)&y, (msub_bytes){ out, at + h + b }) == at + h + b);
  y_end(MSUB_END_FINISHED);
}

static void client(void) {
  msub_rendezvous_opts o;
  msub_rendezvous *r;
  msub_rendezvous_counts c;
  msub_bytes ids[MSUB__RENDEZVOUS_POINTS + 1];
  begin(1, 1);
  msub_rendezvous_opts_init(&o);
  for (unsigned i = 0; i <= MSUB__RENDEZVOUS_POINTS; i++) ids[i] = msub_key_peer_id(keys[3]);
  o.points = ids;
  o.mem = &live_mem;
  for (o.n_points = MSUB__RENDEZVOUS_POINTS - 1; o.n_points <= MSUB__RENDEZVOUS_POINTS + 1; o.n_points++) {
    CHECK(msub_rendezvous_new(&o, &r) == (o.n_points <= MSUB__RENDEZVOUS_POINTS ? MSUB_OK : MSUB_ERR_INVAL));
    if (o.n_points <= MSUB__RENDEZVOUS_POINTS) MUST(msub_rendezvous_free(r));
  }
  o.n_points = 1;
  MUST(msub_rendezvous_new(&o, &r));
  MUST(msub_rendezvous_start(r, (msub_exchange){ &asking, &y }, msub_key_peer_id(keys[0]), no_record, NULL));
  msub_discovery d = msub_rendezvous_discovery(r);
  d.ops->find(d.d, text("t"), 3, found, NULL);
  msub_rendezvous_turn(r);
  CHECK(msub_bytes_eq(question().ns, text("floodsub:t")) && question().cookie.n == 0 && y.deadline == x.now + MSUB__RENDEZVOUS_NS);
  CHECK(msub_rendezvous_free(r) == MSUB_ERR_STATE);
  say_found(false, MSUB__RENDEZVOUS_COOKIE);
  CHECK(met == 1);
  uint64_t anew = x.now + MSUB__RENDEZVOUS_ANEW_NS;
  x.now = anew - 1; /* about what is new, then about all */
  msub_rendezvous_turn(r);
  CHECK(question().cookie.n == MSUB__RENDEZVOUS_COOKIE);
  say_found(true, MSUB__RENDEZVOUS_COOKIE);
  msub_rendezvous_count(r, &c);
  CHECK(met == 1 && c.bad == 1 && c.found == 1);
  x.now = anew - 1 + 10 * MSUB__S;
  msub_rendezvous_turn(r);
  CHECK(question().cookie.n == 0);
  say_found(false, MSUB__RENDEZVOUS_COOKIE + 1);
  for (size_t n = MSUB__RENDEZVOUS_ANSWER - 1; n <= MSUB__RENDEZVOUS_ANSWER + 1; n++) {
    uint8_t prefix[10];
    x.now += 10 * MSUB__S;
    x.reset = false;
    msub_rendezvous_turn(r);
    CHECK(question().cookie.n == 0); /* one that is too long is as none */
    (void)y.h->on_data(y.word, (msub_stream *)(void *)&y, (msub_bytes){ prefix, msub_varint_put(prefix, n) });
    CHECK(x.reset == (n > MSUB__RENDEZVOUS_ANSWER));
    y_end(MSUB_END_RESET);
  }
  d.ops->cancel(d.d, text("t"));
  x.now += 100 * MSUB__S;
  msub_rendezvous_turn(r);
  CHECK(!y.open);
  MUST(msub_rendezvous_free(r));
  end();
}

/* A client of one point. */
static msub_rendezvous *of_one_point(void) {
  msub_rendezvous_opts o;
  msub_rendezvous *r;
  begin(1, 1);
  msub_bytes id = msub_key_peer_id(keys[3]);
  msub_rendezvous_opts_init(&o);
  o.points = &id;
  o.n_points = 1;
  o.mem = &live_mem;
  MUST(msub_rendezvous_new(&o, &r));
  return r;
}

/* It advertises a topic. */
static msub_rendezvous *advertises(void) {
  msub_rendezvous *r = of_one_point();
  msub_discovery d = msub_rendezvous_discovery(r);
  d.ops->advertise(d.d, text("t"), true);
  MUST(msub_rendezvous_start(r, (msub_exchange){ &asking, &y }, msub_key_peer_id(keys[0]), some_record, NULL));
  return r;
}

/* Registered anew when half of the time that the point gave is over; unregistered when the topic is left. */
static void refresh(void) {
  static const uint8_t ok[] = { 11, 0x08, 0x01, 0x1a, 0x07, 0x08, 0x00, 0x18, 0xd0, 0x0f, 0x20, 0x00 }; /* REGISTER_RESPONSE: OK, 2,000 s, an unknown field */
  msub_rendezvous *r = advertises();
  for (unsigned i = 0; i < 3; i++) {
    msub_rendezvous_turn(r);
    CHECK(question().type == MSUB__RV_REGISTER && question().ttl == 7200 && question().record.n == 5);
    CHECK(y.h->on_data(y.word, (msub_stream *)(void *)&y, (msub_bytes){ ok, 1 }) == 1);
    (void)y.h->on_data(y.word, (msub_stream *)(void *)&y, (msub_bytes){ ok + 1, 11 });
    y_end(MSUB_END_FINISHED);
    x.now += 1000 * MSUB__S - 1;
    msub_rendezvous_turn(r);
    CHECK(!y.open);
    CHECK(msub_rendezvous_next(r) == x.now + 1);
    x.now++;
  }
  msub_discovery d = msub_rendezvous_discovery(r);
  d.ops->advertise(d.d, text("t"), false);
  msub_rendezvous_turn(r);
  CHECK(question().type == MSUB__RV_UNREGISTER && msub_bytes_eq(question().ns, text("floodsub:t")));
  y_end(MSUB_END_FINISHED);
  msub_rendezvous_turn(r);
  CHECK(!y.open && msub_rendezvous_next(r) == MSUB_NEVER);
  MUST(msub_rendezvous_free(r));
  end();
}

/* The host stops: all that is registered is taken back at once, beside what is under way, and nothing is sent twice. */
enum { LEAVING = 6 };
static struct { const msub_stream_handler *h; void *word; uint8_t out[64]; size_t n; bool open; } z[LEAVING];
static unsigned z_opened, z_refuse; /* the how-manieth is refused */
static size_t z_room;
static int z_open(void *ud, msub_bytes peer, const char *protocol, uint64_t deadline, const msub_stream_handler *h, void *word, msub_stream **out) {
  (void)ud, (void)peer, (void)protocol, (void)deadline;
  if (++z_opened == z_refuse) return MSUB_ERR_NOTFOUND;
  unsigned i = 0;
  while (z[i].open) i++;
  CHECK(i < LEAVING);
  z[i].h = h;
  z[i].word = word;
  z[i].n = 0;
  z[i].open = true;
  *out = (msub_stream *)(void *)&z[i];
  return MSUB_OK;
}
static size_t z_write(void *ud, msub_stream *s, msub_bytes b) {
  size_t i = (size_t)((char *)(void *)s - (char *)z) / sizeof *z, n = b.n < z_room ? b.n : z_room;
  (void)ud;
  memcpy(z[i].out + z[i].n, b.p, n);
  z[i].n += n;
  return n;
}
static const msub_exchange_ops leaving = { .abi = MSUB_ABI, .size = sizeof leaving, .open = z_open, .write = z_write, .finish = x_finish, .reset = x_reset, .now = x_now };
static void z_end(unsigned i, msub_end why) {
  z[i].open = false;
  z[i].h->on_end(z[i].word, (msub_stream *)(void *)&z[i], why);
}
static void stops(void) {
  static const uint8_t ok[] = { 8, 0x08, 0x01, 0x1a, 0x04, 0x08, 0x00, 0x18, 0x3c };
  static const char *const names[] = { "a", "b", "c", "d", "e" };
  msub_rendezvous *r = of_one_point();
  msub_rendezvous_counts c;
  msub_discovery d = msub_rendezvous_discovery(r);
  CHECK(!d.ops->wind_up(d.d)); /* it was not started */
  MUST(msub_rendezvous_start(r, (msub_exchange){ &leaving, &z }, msub_key_peer_id(keys[0]), some_record, NULL));
  CHECK(!d.ops->wind_up(d.d) && z_opened == 0);
  z_room = sizeof z[0].out;
  for (unsigned i = 0; i < 5; i++) {
    d.ops->advertise(d.d, text(names[i]), true);
    msub_rendezvous_turn(r);
    CHECK(z[0].open);
    if (i == 4) break; /* this one is under way when the host stops */
    CHECK(z[0].h->on_data(z[0].word, (msub_stream *)(void *)&z[0], (msub_bytes){ ok, sizeof ok }) == sizeof ok);
    z_end(0, MSUB_END_FINISHED);
  }
  z_opened = 0;
  z_refuse = 4;
  z_room = 5; /* the rest when there is room */
  for (unsigned i = 0; i < 5; i++) d.ops->advertise(d.d, text(names[i]), false);
  CHECK(d.ops->wind_up(d.d) && z_opened == 4 && d.ops->wind_up(d.d) && z_opened == 4);
  z_room = sizeof z[0].out;
  for (unsigned i = 1; i < 4; i++) {
    msub__rv_message m;
    CHECK(z[i].open && z[i].n == 5);
    z[i].h->on_writable(z[i].word, (msub_stream *)(void *)&z[i]);
    MUST(msub__rv_parse((msub_bytes){ z[i].out + 1, z[i].n - 1u }, &m));
    CHECK(m.type == MSUB__RV_UNREGISTER && z[i].out[0] == z[i].n - 1u && m.ns.n == 10 && memcmp(m.ns.p, "floodsub:", 9) == 0 && m.ns.p[9] == names[i - 1][0]);
    CHECK(z[i].h->on_data(z[i].word, (msub_stream *)(void *)&z[i], (msub_bytes){ ok, 3 }) == 3); /* nobody listens */
  }
  CHECK(msub_rendezvous_free(r) == MSUB_ERR_STATE);
  z_end(1, MSUB_END_FINISHED);
  z_end(2, MSUB_END_RESET); /* as rust's points end it */
  z_end(3, MSUB_END_DEADLINE);
  msub_rendezvous_count(r, &c);
  CHECK(c.unregistered == 2 && c.failed == 2 && c.registered == 4);
  CHECK(d.ops->wind_up(d.d) && z_opened == 4); /* the one that was under way is answered, and taken back too */
  CHECK(z[0].h->on_data(z[0].word, (msub_stream *)(void *)&z[0], (msub_bytes){ ok, sizeof ok }) == sizeof ok);
  z_end(0, MSUB_END_FINISHED);
  CHECK(d.ops->wind_up(d.d) && z_opened == 5);
  z_end(0, MSUB_END_FINISHED);
  CHECK(!d.ops->wind_up(d.d) && z_opened == 5);
  msub_rendezvous_count(r, &c);
  CHECK(c.unregistered == 3 && c.failed == 2 && c.registered == 5);
  MUST(msub_rendezvous_free(r));
  end();
}

/* A point that cannot read our record, says so or hangs up, is tried with the other dialect at once, and then after a while. */
static void dialects(void) {
  static const uint8_t no[] = { 9, 0x08, 0x01, 0x1a, 0x05, 0x08, 0x65, 0x12, 0x01, 'x' }; /* REGISTER_RESPONSE: E_INVALID_SIGNED_PEER_RECORD */
  static const uint8_t full[] = { 7, 0x08, 0x01, 0x1a, 0x03, 0x08, 0x90, 0x03 };          /* E_UNAVAILABLE */
  static const uint8_t ok[] = { 8, 0x08, 0x01, 0x1a, 0x04, 0x08, 0x00, 0x18, 0x3c };      /* OK, 60 s */
  struct { const uint8_t *says; size_t n; msub_end end; uint8_t dialect; uint64_t after; } row[] = { /* dialect: of the record that is sent */
    { no, sizeof no, MSUB_END_FINISHED, 1, MSUB__S }, { NULL, 0, MSUB_END_RESET, 2, MSUB__RENDEZVOUS_REFUSED_NS },
    { NULL, 0, MSUB_END_FINISHED, 1, MSUB__S }, { ok, sizeof ok, MSUB_END_FINISHED, 2, 30 * MSUB__S }, { full, sizeof full, MSUB_END_FINISHED, 2, MSUB__RENDEZVOUS_REFUSED_NS },
    { NULL, 0, MSUB_END_GONE, 2, MSUB__S }, { NULL, 0, MSUB_END_DEADLINE, 2, MSUB__S }, { NULL, 0, MSUB_END_UNSUPPORTED, 2, MSUB__S },
    { NULL, 0, MSUB_END_RESET, 2, MSUB__S }, { ok, sizeof ok, MSUB_END_FINISHED, 1, 30 * MSUB__S } };
  msub_rendezvous *r = advertises();
  msub_rendezvous_turn(r);
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    CHECK(question().record.n == 5 && question().record.p[0] == row[i].dialect);
    if (row[i].says) CHECK(y.h->on_data(y.word, (msub_stream *)(void *)&y, (msub_bytes){ row[i].says, row[i].n }) == row[i].n);
    y_end(row[i].end);
    x.now += row[i].after - 1;
    msub_rendezvous_turn(r);
    CHECK(!y.open);
    x.now++;
    msub_rendezvous_turn(r);
  }
  y_end(MSUB_END_GONE);
  MUST(msub_rendezvous_free(r));
  end();
}

/* ---- no memory ---- */

static unsigned long calls, fail_at; /* 0: none fails */
static void *frail_alloc(void *ud, size_t n) { return ++calls == fail_at ? NULL : live_mem.alloc(ud, n); }
static void frail_free(void *ud, void *q, size_t n) { live_mem.free(ud, q, n); }
static const msub_mem frail = { frail_alloc, frail_free, NULL };

/* A stream that may have no memory: it is refused, reset, or answered. */
static bool say_frail(unsigned who, const msub__rv_message *m, msub__rv_message *back) {
  uint8_t bytes[2048];
  size_t n = msub__rv_encode(m, NULL, 0), at = msub_varint_put(bytes, n);
  msub_stream *s = (msub_stream *)(void *)&x;
  CHECK(at + n <= sizeof bytes && msub__rv_encode(m, bytes + at, n) == n);
  void *word = x.h->on_open(x.ud, s, msub_key_peer_id(keys[who]));
  if (!word) return false;
  x.reset = false;
  x.n = 0;
  for (size_t i = 0; i < at + n; i += 7) (void)x.h->on_data(word, s, (msub_bytes){ bytes + i, at + n - i < 7 ? at + n - i : 7 }); /* in pieces, which are put together */
  x.h->on_finish(word, s);
  x.h->on_end(word, s, x.reset ? MSUB_END_CANCELLED : MSUB_END_FINISHED);
  uint64_t size;
  int k = msub_varint_get((msub_bytes){ x.out, x.n }, &size);
  if (x.reset || x.n == 0) return false;
  CHECK(k > 0 && size == x.n - (size_t)k);
  MUST(msub__rv_parse((msub_bytes){ x.out + k, (size_t)size }, back));
  return true;
}

/* The k-th allocation of a point's life fails: what it answers is right all the same, or nothing, and it works afterwards. */
static bool point_without_memory(unsigned long k) {
  msub_rendezvous_point_opts o;
  uint8_t record[KEYS][512];
  size_t n[KEYS];
  msub_multiaddr a;
  msub__rv_message back, one;
  unsigned taken = 0, found_n = 0;
  MUST(msub_multiaddr_parse("/ip4/192.0.2.1/tcp/4001", &a));
  msub_rendezvous_point_opts_init(&o);
  o.exchange = (msub_exchange){ &ops, &x };
  o.mem = &frail;
  o.ip = ip_of;
  o.ip_ud = &home;
  for (unsigned i = 0; i < KEYS; i++) {
    at_home(i, "/ip4/192.0.2.1/tcp/1");
    CHECK((n[i] = msub_peer_record_seal(keys[i], 1, &(msub_bytes){ a.bytes, a.n }, 1, MSUB_RECORD_GO, record[i], sizeof record[i])) > 0);
  }
  calls = 0;
  fail_at = k;
  int err = msub_rendezvous_point_new(&o, &p);
  CHECK(err == MSUB_OK || err == MSUB_ERR_NOMEM);
  if (err != MSUB_OK) MUST(msub_rendezvous_point_new(&o, &p));
  for (unsigned i = 0; i < 24; i++) { /* more than the arrays begin with */
    char ns[] = { (char)('a' + i / 3), 0 };
    msub__rv_message m = { .type = MSUB__RV_REGISTER, .ns = text(ns), .record = { record[i % 3], n[i % 3] } };
    if (!say_frail(i % 3, &m, &back)) continue;
    CHECK(back.status == MSUB__RV_OK || back.status == MSUB__RV_UNAVAILABLE);
    taken += back.status == MSUB__RV_OK;
  }
  CHECK(taken >= 23 && counts().registrations >= taken && counts().registrations <= 24); /* one may be taken whose answer had no memory */
  for (unsigned i = 0; i < 8; i++) {
    char ns[] = { (char)('a' + i), 0 };
    msub__rv_message m = { .type = MSUB__RV_DISCOVER, .ns = text(ns) };
    if (!say_frail(3, &m, &back) && !say_frail(3, &m, &back)) CHECK(false); /* once at most */
    CHECK(back.status == MSUB__RV_OK);
    for (msub_bytes rest = back.part; msub__rv_registration(&rest, &one);) found_n++;
  }
  CHECK(found_n == counts().registrations);
  bool was_it = calls >= k;
  fail_at = 0;
  for (unsigned i = 0; i < 3; i++) CHECK(say_frail(i, &(msub__rv_message){ .type = MSUB__RV_UNREGISTER, .ns = text("a") }, &back) == false);
  CHECK(counts().registrations >= taken - 3);
  x.now += 7200 * MSUB__S;
  CHECK(say_frail(0, &(msub__rv_message){ .type = MSUB__RV_REGISTER, .ns = text("a"), .record = { record[0], n[0] } }, &back) && back.status == MSUB__RV_OK);
  CHECK(counts().registrations == 1);
  MUST(msub_rendezvous_point_free(p));
  return was_it;
}

/* The same of who asks: it tries again, and all that it was told to do is done in the end. */
static bool client_without_memory(unsigned long k) {
  static const uint8_t ok[] = { 8, 0x08, 0x01, 0x1a, 0x04, 0x08, 0x00, 0x18, 0x3c }; /* REGISTER_RESPONSE: OK, 60 s */
  msub_rendezvous_opts o;
  msub_rendezvous *r;
  msub_rendezvous_counts c;
  msub_bytes id = msub_key_peer_id(keys[3]);
  bool registered = false, asked = false;
  msub_rendezvous_opts_init(&o);
  o.points = &id;
  o.n_points = 1;
  o.mem = &frail;
  calls = 0;
  fail_at = k;
  int err = msub_rendezvous_new(&o, &r);
  CHECK(err == MSUB_OK || err == MSUB_ERR_NOMEM);
  if (err != MSUB_OK) MUST(msub_rendezvous_new(&o, &r));
  MUST(msub_rendezvous_start(r, (msub_exchange){ &asking, &y }, msub_key_peer_id(keys[0]), some_record, NULL));
  msub_discovery d = msub_rendezvous_discovery(r);
  for (unsigned round = 0; round < 2; round++) d.ops->advertise(d.d, text("t"), true); /* again: what was left out may be told again */
  for (unsigned turn = 0; turn < 20 && !(registered && asked); turn++) {
    d.ops->find(d.d, text("t"), 3, found, NULL); /* as the host does, each second */
    x.now += MSUB__S;
    msub_rendezvous_turn(r);
    if (!y.open) continue;
    msub__rv_type type = question().type;
    if (type == MSUB__RV_DISCOVER) {
      unsigned before = met;
      say_found(false, 20);
      asked |= met > before;
    } else {
      CHECK(type == MSUB__RV_REGISTER);
      (void)y.h->on_data(y.word, (msub_stream *)(void *)&y, (msub_bytes){ ok, 3 });
      if (y.open) (void)y.h->on_data(y.word, (msub_stream *)(void *)&y, (msub_bytes){ ok + 3, sizeof ok - 3 });
      msub_rendezvous_count(r, &c);
      registered = c.registered > 0;
      y_end(registered ? MSUB_END_FINISHED : MSUB_END_CANCELLED);
    }
  }
  CHECK(registered && asked);
  bool was_it = calls >= k;
  fail_at = 0;
  d.ops->cancel(d.d, text("t"));
  d.ops->advertise(d.d, text("t"), false);
  x.now += 2 * MSUB__S;
  msub_rendezvous_turn(r);
  if (y.open) y_end(MSUB_END_FINISHED);
  MUST(msub_rendezvous_free(r));
  return was_it;
}

static void no_memory(void) {
  unsigned long of_point = 0, of_asking = 0;
  begin(10, 10);
  MUST(msub_rendezvous_point_free(p));
  while (point_without_memory(of_point + 1)) of_point++;
  while (client_without_memory(of_asking + 1)) of_asking++;
  printf("%lu allocations of a point, %lu of who asks\n", of_point, of_asking);
  CHECK(of_point > 60 && of_asking > 5);
  for (unsigned i = 0; i < KEYS; i++) msub_key_free(keys[i]);
}

/* ---- hosts ---- */

/* Two that know the point only: each is found by the other, and messages pass. */
static void partitions_of(const msub_router_ops *router) {
  const msub_router_ops *const routers[] = { router, NULL };
  node a, b, point, *all[3] = { &a, &b, &point }, *both[2] = { &a, &b };
  msub_rendezvous *rv[2];
  msub_rendezvous_point_opts po;
  msub_rendezvous_opts ro;
  node_init(&point, "point", 9);
  node_start(&point, true, false);
  msub_bytes id = msub_key_peer_id(point.key);
  msub_rendezvous_point_opts_init(&po);
  po.exchange = msub_host_exchange(point.host);
  po.mem = &live_mem;
  MUST(msub_rendezvous_point_new(&po, &p));
  msub_rendezvous_opts_init(&ro);
  ro.points = &id;
  ro.n_points = 1;
  ro.find_ns = 200 * MSUB__MS;
  ro.mem = &live_mem;
  for (unsigned i = 0; i < 2; i++) {
    MUST(msub_rendezvous_new(&ro, &rv[i]));
    node_init(both[i], i ? "b" : "a", (uint8_t)(i + 1));
    both[i]->opts.routers = routers;
    both[i]->opts.discovery = msub_rendezvous_discovery(rv[i]);
    node_start(both[i], true, true);
    MUST(msub_rendezvous_start(rv[i], msub_host_exchange(both[i]->host), msub_host_peer_id(both[i]->host), msub_host_record, both[i]->host));
    CHECK(msub_rendezvous_start(rv[i], msub_host_exchange(both[i]->host), id, msub_host_record, both[i]->host) == MSUB_ERR_STATE);
    node_dial(both[i], &point);
  }
  for (unsigned turns = 0; a.joins == 0 || b.joins == 0; turns++) {
    CHECK(turns < 4000);
    turn_for(all, 3, 1);
    for (unsigned i = 0; i < 2; i++) msub_rendezvous_turn(rv[i]);
  }
  transfer(all, 3, &a, &b, 0, 20, 100);
  CHECK(counts().registrations == 2 && counts().refused_record == 0 && counts().malformed == 0);
  msub_rendezvous_counts c[2];
  for (unsigned i = 0; i < 2; i++) {
    msub_rendezvous_count(rv[i], &c[i]);
    CHECK(c[i].registered == 1 && c[i].bad == 0 && c[i].refused == 0 && c[i].left_out == 0);
  }
  CHECK(c[0].found + c[1].found > 0);
  for (unsigned i = 0; i < 2; i++) {
    node_free(both[i]);
    MUST(msub_rendezvous_free(rv[i]));
  }
  node_free(&point);
  MUST(msub_rendezvous_point_free(p));
}

static void partitions(void) {
  partitions_of(&msub_gossipsub);
  partitions_of(&msub_floodsub);
  partitions_of(&msub_randomsub);
}

int main(int argc, char **argv) {
  static const test_case cases[] = { { "codec", codec }, { "quota", quota }, { "ttl", ttl }, { "cookies", cookies }, { "refused", refused }, { "sizes", sizes }, { "rate", rate }, { "client", client }, { "refresh", refresh }, { "stops", stops }, { "dialects", dialects }, { "no_memory", no_memory }, { "partitions", partitions } };
  return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
}
