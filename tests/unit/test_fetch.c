/* tests/unit/test_fetch.c: the fetch protocol between simulated nodes, and against a hand that writes bytes. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "meshsub/fetch.h"
#include "sim_net.h"
#include "tests/hex.h"

#define MS MSUB_SIM_MS

static net w;
static count_mem mem;
static msub_mem counted;
static msub_fetch *f[3]; /* node 2 has none */

/* ---- what is served ---- */

static uint8_t large[MSUB_FETCH_VALUE_MAX];
static msub_bytes give;
static int with;
static unsigned lookups;
static int lookup(void *ud, msub_bytes peer_id, msub_bytes key, msub_bytes *value) {
  cr_assert(msub_bytes_eq(peer_id, msub_sim_id(w.s, 0)));
  cr_assert(key.n > 0);
  lookups++;
  *value = ud ? msub_str(ud) : give;
  return with;
}

static void begin(void) {
  net_init(&w, false);
  net_start(&w, 3);
  mem = (count_mem){ 0 };
  counted = count_mem_of(&mem);
  lookups = 0;
  with = MSUB_OK;
  give = msub_str("value");
  for (uint32_t i = 1; i < 3; i++) cr_assert_eq(msub_sim_connect(w.s, 0, i, 0), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  for (uint32_t i = 0; i < 2; i++) cr_assert_eq(msub_fetch_new(&counted, msub_sim_exchange(w.s, i), &f[i]), MSUB_OK);
  cr_assert_eq(msub_fetch_serve(f[1], msub_str("/ipns/"), lookup, NULL), MSUB_OK);
}
static void finish(void) {
  for (uint32_t i = 0; i < 2; i++) msub_fetch_free(f[i]);
  net_run(&w, MSUB_SIM_S);
  cr_assert_eq(mem.live_bytes, 0, "%zu bytes are left", mem.live_bytes);
  net_stop(&w);
}

/* ---- asking ---- */

typedef struct outcome { unsigned calls; int result; size_t n; uint8_t first, last; uint64_t at; } outcome;
static void done(void *ud, int result, msub_bytes value) {
  outcome *o = ud;
  *o = (outcome){ o->calls + 1, result, value.n, value.n ? value.p[0] : 0, value.n ? value.p[value.n - 1] : 0, msub_sim_time(w.s) };
}
static outcome ask(uint32_t peer, msub_bytes key, uint64_t deadline) {
  outcome o = { 0 };
  cr_assert_eq(msub_fetch_get(f[0], msub_sim_id(w.s, peer), key, deadline, done, &o, NULL), MSUB_OK);
  cr_assert_eq(o.calls, 0, "never from inside");
  net_run(&w, 120 * MSUB_SIM_S);
  cr_assert_eq(o.calls, 1);
  return o;
}
#define KEY msub_str("/ipns/a name")
static uint64_t soon(void) { return msub_sim_time(w.s) + 10 * MSUB_SIM_S; }

Test(fetch, outcomes) {
  begin();
  uint64_t from = msub_sim_time(w.s);
  outcome o = ask(1, KEY, soon());
  cr_assert(o.result == MSUB_OK && o.n == 5 && o.first == 'v' && o.at == from + 20 * MS, "one round trip: %llu", (unsigned long long)(o.at - from));
  give = (msub_bytes){ NULL, 0 };
  o = ask(1, KEY, soon());
  cr_assert(o.result == MSUB_OK && o.n == 0, "an empty value is one");
  with = MSUB_ERR_NOTFOUND;
  cr_assert_eq(ask(1, KEY, soon()).result, MSUB_ERR_NOTFOUND);
  with = MSUB_ERR_IO;
  cr_assert_eq(ask(1, KEY, soon()).result, MSUB_ERR_REFUSED);
  unsigned before = lookups;
  cr_assert_eq(ask(1, msub_str("/pk/x"), soon()).result, MSUB_ERR_NOTFOUND, "nobody serves it");
  cr_assert_eq(lookups, before);
  cr_assert_eq(ask(2, KEY, soon()).result, MSUB_ERR_UNSUPPORTED);
  outcome none = { 0 };
  cr_assert_eq(msub_fetch_get(f[0], msub_str("nobody's id"), KEY, soon(), done, &none, NULL), MSUB_ERR_NOTFOUND);
  cr_assert_eq(msub_fetch_get(f[0], msub_sim_id(w.s, 1), (msub_bytes){ NULL, 0 }, soon(), done, &none, NULL), MSUB_ERR_INVAL);
  cr_assert_eq(msub_fetch_get(f[0], msub_sim_id(w.s, 1), (msub_bytes){ large, MSUB_FETCH_KEY_MAX + 1 }, soon(), done, &none, NULL), MSUB_ERR_INVAL);
  const msub_fetch_counts *c = msub_fetch_count(f[0]), *s = msub_fetch_count(f[1]);
  cr_assert(c->asked == 6 && c->got == 2 && c->not_found == 2 && c->failed == 2);
  cr_assert(s->served == 2 && s->served_not_found == 2 && s->served_errors == 1 && s->malformed == 0);
  finish();
  cr_assert_eq(none.calls, 0);
}

Test(fetch, values_up_to_the_bound) {
  begin();
  memset(large, 7, sizeof large);
  large[0] = 1;
  for (int over = -1; over <= 1; over++) {
    give = (msub_bytes){ large, (size_t)((long)MSUB_FETCH_VALUE_MAX - 16 + over) };
    outcome o = ask(1, KEY, soon());
    if (over <= 0) cr_assert(o.result == MSUB_OK && o.n == give.n && o.first == 1 && o.last == 7, "%+d", over);
    else cr_assert_eq(o.result, MSUB_ERR_REFUSED);
  }
  uint8_t key[MSUB_FETCH_KEY_MAX] = "/ipns/";
  give = msub_str("v");
  cr_assert_eq(ask(1, (msub_bytes){ key, sizeof key }, soon()).result, MSUB_OK);
  finish();
}

Test(fetch, the_longest_prefix) {
  begin();
  static char own[] = "own", all[] = "all", other[] = "other";
  cr_assert_eq(msub_fetch_serve(f[1], msub_str("/ipns/a"), lookup, own), MSUB_OK);
  cr_assert_eq(msub_fetch_serve(f[1], (msub_bytes){ NULL, 0 }, lookup, all), MSUB_OK);
  cr_assert_eq(ask(1, KEY, soon()).n, 3);
  cr_assert_eq(ask(1, msub_str("/ipns/b"), soon()).n, 5);
  cr_assert_eq(ask(1, msub_str("/pk/x"), soon()).first, 'a');
  cr_assert_eq(msub_fetch_serve(f[1], msub_str("/ipns/a"), lookup, other), MSUB_OK, "in place of the one before");
  cr_assert_eq(ask(1, KEY, soon()).n, 5);
  cr_assert_eq(msub_fetch_serve(f[1], msub_str("/ipns/a"), NULL, NULL), MSUB_OK);
  cr_assert_eq(ask(1, KEY, soon()).first, 'v');
  cr_assert_eq(msub_fetch_serve(f[1], msub_str("never there"), NULL, NULL), MSUB_OK);
  char name[8];
  for (unsigned i = 2; i < MSUB_FETCH_PREFIXES; i++) {
    snprintf(name, sizeof name, "p%u", i);
    cr_assert_eq(msub_fetch_serve(f[1], msub_str(name), lookup, NULL), MSUB_OK, "%u", i);
  }
  cr_assert_eq(msub_fetch_serve(f[1], msub_str("one more"), lookup, NULL), MSUB_ERR_LIMIT);
  cr_assert_eq(msub_fetch_serve(f[1], (msub_bytes){ large, MSUB_FETCH_KEY_MAX + 1 }, lookup, NULL), MSUB_ERR_INVAL);
  msub_fetch *second;
  cr_assert_eq(msub_fetch_new(&counted, msub_sim_exchange(w.s, 1), &second), MSUB_ERR_CLAIMED);
  finish();
}

/* ---- a hand at the other end ---- */

typedef struct hand {
  msub_exchange x;
  msub_stream *s;
  const char *answers; /* of a server: hex, when anything comes; NULL: nothing ever */
  uint8_t got[2048];
  size_t n;
  unsigned ends;
  bool finished;
  msub_end why;
} hand;
static hand h;
static void *hand_open(void *ud, msub_stream *s, msub_bytes peer_id) {
  (void)peer_id;
  h.s = s;
  return ud;
}
static size_t hand_data(void *word, msub_stream *s, msub_bytes b) {
  hand *e = word;
  cr_assert_leq(e->n + b.n, sizeof e->got);
  memcpy(e->got + e->n, b.p, b.n);
  bool first = e->n == 0;
  e->n += b.n;
  if (!first || !e->answers) return b.n;
  (void)e->x.ops->write(e->x.x, s, test_hex(e->answers));
  e->x.ops->finish(e->x.x, s);
  return b.n;
}
static void hand_finish(void *word, msub_stream *s) {
  (void)s;
  ((hand *)word)->finished = true;
}
static void hand_end(void *word, msub_stream *s, msub_end why) {
  hand *e = word;
  (void)s;
  e->ends++;
  e->why = why;
}
static const msub_stream_handler by_hand = { .abi = MSUB_ABI, .size = sizeof(msub_stream_handler), .on_open = hand_open, .on_data = hand_data,
                                             .on_finish = hand_finish, .on_end = hand_end };

/* Writes the request in pieces of so many bytes; what came back as hex, "" when the stream was reset. */
static const char *write_by_hand(const char *hex, size_t piece, bool fin) {
  static char out[2 * sizeof h.got + 1];
  msub_bytes b = test_hex(hex);
  h = (hand){ .x = msub_sim_exchange(w.s, 0) };
  cr_assert_eq(h.x.ops->open(h.x.x, msub_sim_id(w.s, 1), MSUB_FETCH_PROTOCOL, soon(), &by_hand, &h, &h.s), MSUB_OK);
  for (size_t at = 0; at < b.n && !h.ends; at += piece) {
    cr_assert_eq(h.x.ops->write(h.x.x, h.s, (msub_bytes){ b.p + at, b.n - at < piece ? b.n - at : piece }), b.n - at < piece ? b.n - at : piece);
    net_run(&w, 30 * MS);
  }
  if (fin && !h.ends) h.x.ops->finish(h.x.x, h.s);
  net_run(&w, 20 * MSUB_SIM_S);
  cr_assert_eq(h.ends, 1);
  for (size_t i = 0; i < h.n; i++) snprintf(out + 2 * i, 3, "%02x", h.got[i]);
  out[2 * h.n] = '\0';
  return out;
}
#define NAME "2f69706e732f6e"          /* "/ipns/n" */
#define REQUEST "090a07" NAME

Test(fetch, bytes_that_are_served) {
  begin();
  msub_fetch_free(f[0]); /* the hand is node 0 */
  f[0] = NULL;
  cr_assert_str_eq(write_by_hand(REQUEST, 100, true), "07120576616c7565");
  cr_assert(h.finished && h.why == MSUB_END_FINISHED);
  cr_assert_str_eq(write_by_hand(REQUEST, 1, true), "07120576616c7565", "byte by byte");
  cr_assert_str_eq(write_by_hand("0f" "0a0178" "0a07" NAME "1801" "2000", 100, true), "", "more than its length says");
  cr_assert_str_eq(write_by_hand("0e" "0a0178" "0a07" NAME "1801", 100, true), "07120576616c7565", "the last one counts, unknown fields do not");
  with = MSUB_ERR_NOTFOUND;
  cr_assert_str_eq(write_by_hand(REQUEST, 100, true), "020801");
  with = MSUB_ERR_NOMEM;
  cr_assert_str_eq(write_by_hand(REQUEST, 100, true), "020802");
  with = MSUB_OK;
  uint64_t bad = msub_fetch_count(f[1])->malformed;
  static const char *const wrong[] = { "00", "020a00", "021800", "030a0761", "090b07" NAME, "ffffffff7f", "ffffffffffffffffffff01", "80", "090a07" "2f69" };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    cr_assert_str_eq(write_by_hand(wrong[i], 100, true), "", "%s", wrong[i]);
    cr_assert(h.why == MSUB_END_RESET && msub_fetch_count(f[1])->malformed == ++bad, "%s", wrong[i]);
  }
  unsigned before = lookups;
  cr_assert_str_eq(write_by_hand(REQUEST REQUEST, 100, true), "", "one request a stream");
  cr_assert_eq(lookups, before);
  finish();
}

/* Who asks and never ends is cut off after ten seconds, and holds nothing then. */
Test(fetch, a_request_that_never_ends) {
  begin();
  msub_fetch_free(f[0]);
  f[0] = NULL;
  net_run(&w, MSUB_SIM_S);
  size_t idle = mem.live_bytes;
  h = (hand){ .x = msub_sim_exchange(w.s, 0) };
  uint64_t from = msub_sim_time(w.s);
  cr_assert_eq(h.x.ops->open(h.x.x, msub_sim_id(w.s, 1), MSUB_FETCH_PROTOCOL, MSUB_NEVER, &by_hand, &h, &h.s), MSUB_OK);
  (void)h.x.ops->write(h.x.x, h.s, test_hex("090a"));
  net_run(&w, 9 * MSUB_SIM_S);
  cr_assert(!h.ends && mem.live_bytes > idle);
  net_run(&w, 2 * MSUB_SIM_S);
  cr_assert(h.ends == 1 && h.why == MSUB_END_RESET && mem.live_bytes == idle && msub_sim_time(w.s) - from < 12 * MSUB_SIM_S);
  finish();
}

static int answer_by_hand(const char *hex) {
  h = (hand){ .x = msub_sim_exchange(w.s, 2), .answers = hex };
  return ask(2, KEY, soon()).result;
}
Test(fetch, bytes_that_are_answered) {
  begin();
  msub_exchange x = msub_sim_exchange(w.s, 2);
  cr_assert_eq(x.ops->serve(x.x, MSUB_FETCH_PROTOCOL, &by_hand, &h), MSUB_OK);
  cr_assert_eq(answer_by_hand("03120161"), MSUB_OK);
  cr_assert(h.n == 15 && memcmp(h.got, "\x0e\x0a\x0c/ipns/a name", 15) == 0 && h.finished, "what a stock peer sends: %zu", h.n);
  cr_assert_eq(answer_by_hand("050800120161"), MSUB_OK, "an explicit zero");
  cr_assert_eq(answer_by_hand("00"), MSUB_OK, "nothing is OK and empty");
  cr_assert_eq(answer_by_hand("020801"), MSUB_ERR_NOTFOUND);
  cr_assert_eq(answer_by_hand("050801120161"), MSUB_ERR_NOTFOUND);
  cr_assert_eq(answer_by_hand("050802120165"), MSUB_ERR_REFUSED, "js says why");
  cr_assert_eq(answer_by_hand("020863"), MSUB_ERR_REFUSED);
  static const char *const wrong[] = { "", "03", "031201", "0312016161", "03120261", "0208", "81804012", "ffffffffffffffffffff01" };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) cr_assert_eq(answer_by_hand(wrong[i]), MSUB_ERR_MALFORMED, "%s", wrong[i]);
  uint64_t from = msub_sim_time(w.s), until = from + 3 * MSUB_SIM_S;
  h = (hand){ .x = x };
  outcome o = ask(2, KEY, until);
  cr_assert(o.result == MSUB_ERR_TIMEOUT && o.at >= until && o.at < until + MSUB_SIM_S);
  outcome lost = { 0 };
  cr_assert_eq(msub_fetch_get(f[0], msub_sim_id(w.s, 2), KEY, soon(), done, &lost, NULL), MSUB_OK);
  net_run(&w, 100 * MS);
  cr_assert_eq(msub_sim_disconnect(w.s, 0, 2, 0), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  cr_assert(lost.calls == 1 && lost.result == MSUB_ERR_CLOSED);
  finish();
}

Test(fetch, many_and_cancelled) {
  begin();
  outcome o[20] = { { 0 } }, never[2] = { { 0 } };
  msub_token t[20], gone;
  for (unsigned i = 0; i < 20; i++) cr_assert_eq(msub_fetch_get(f[0], msub_sim_id(w.s, 1), KEY, soon(), done, &o[i], &t[i]), MSUB_OK);
  cr_assert_eq(msub_fetch_get(f[0], msub_sim_id(w.s, 1), KEY, soon(), done, &never[0], &gone), MSUB_OK);
  msub_fetch_cancel(f[0], gone);
  msub_fetch_cancel(f[0], gone);
  net_run(&w, 5 * MSUB_SIM_S);
  for (unsigned i = 0; i < 20; i++) cr_assert(o[i].calls == 1 && o[i].result == MSUB_OK && o[i].n == 5, "%u", i);
  msub_fetch_cancel(f[0], t[3]); /* long over */
  cr_assert_eq(msub_fetch_get(f[0], msub_sim_id(w.s, 1), KEY, soon(), done, &never[1], NULL), MSUB_OK);
  const msub_fetch_counts c = *msub_fetch_count(f[0]);
  cr_assert(c.asked == 22 && c.got == 20 && c.failed == 0);
  finish(); /* with one under way */
  cr_assert(never[0].calls == 0 && never[1].calls == 0);
}

/* Whichever allocation fails, at either end: one outcome, and the next request is answered. */
Test(fetch, no_memory) {
  begin();
  size_t n = 1;
  for (bool failed = true; failed; n++) {
    outcome o = { 0 };
    mem.fail_after = n;
    int rc = msub_fetch_get(f[0], msub_sim_id(w.s, 1), KEY, soon(), done, &o, NULL);
    net_run(&w, 12 * MSUB_SIM_S);
    failed = mem.fail_after == 0;
    mem.fail_after = 0;
    cr_assert(rc == MSUB_OK || (failed && rc == MSUB_ERR_NOMEM), "%zu: %d", n, rc);
    cr_assert_eq(o.calls, rc == MSUB_OK, "%zu", n);
    if (!failed) cr_assert_eq(o.result, MSUB_OK);
    cr_assert_eq(ask(1, KEY, soon()).result, MSUB_OK, "%zu", n);
  }
  cr_assert(n > 6, "%zu allocations", n);
  finish();
}

/* ---- how much, over an exchange that the test plays ---- */

static struct {
  const msub_stream_handler *h;
  void *ud;
  uint64_t now;
  uint8_t out[16384];
  size_t n;
  bool reset;
} x;
static int x_serve(void *ud, const char *protocol, const msub_stream_handler *handler, void *word) {
  (void)ud, (void)protocol;
  x.h = handler;
  x.ud = word;
  return MSUB_OK;
}
static size_t x_write(void *ud, msub_stream *s, msub_bytes b) {
  (void)ud, (void)s;
  cr_assert_leq(x.n + b.n, sizeof x.out);
  memcpy(x.out + x.n, b.p, b.n);
  x.n += b.n;
  return b.n;
}
static void x_nothing(void *ud, msub_stream *s) { (void)ud, (void)s; }
static void x_reset(void *ud, msub_stream *s) { (void)ud, (void)s, x.reset = true; }
static void x_deadline(void *ud, msub_stream *s, uint64_t at) { (void)ud, (void)s, (void)at; }
static uint64_t x_now(void *ud) { return (void)ud, x.now; }
static const msub_exchange_ops x_ops = { .abi = MSUB_ABI, .size = sizeof x_ops, .serve = x_serve, .write = x_write, .want_read = x_nothing, .finish = x_nothing,
                                         .reset = x_reset, .deadline = x_deadline, .now = x_now };
static int any_lookup(void *ud, msub_bytes peer_id, msub_bytes key, msub_bytes *value) {
  (void)ud, (void)peer_id, (void)key;
  lookups++;
  *value = give;
  return with;
}
/* One request of that peer. OK, NOTFOUND, REFUSED: as it is answered; CLOSED: reset. */
static int visit(msub_fetch *served, unsigned peer) {
  static const uint8_t request[] = { 9, 0x0a, 7, '/', 'i', 'p', 'n', 's', '/', 'n' };
  msub_stream *s = (msub_stream *)(void *)&x;
  uint8_t id[4] = { 1, 2, (uint8_t)(peer >> 8), (uint8_t)peer };
  (void)served;
  x.n = 0;
  x.reset = false;
  void *word = x.h->on_open(x.ud, s, (msub_bytes){ id, sizeof id });
  if (!word) return MSUB_ERR_CLOSED;
  cr_assert_eq(x.h->on_data(word, s, (msub_bytes){ request, sizeof request }), sizeof request);
  int answer = x.reset ? MSUB_ERR_CLOSED : x.n == 3 && x.out[1] == 8 ? (x.out[2] == 1 ? MSUB_ERR_NOTFOUND : MSUB_ERR_REFUSED) : MSUB_OK;
  x.h->on_end(word, s, MSUB_END_FINISHED);
  return answer;
}
static msub_fetch *limited(uint64_t burst, uint64_t per_s) {
  msub_fetch *one;
  mem = (count_mem){ 0 };
  counted = count_mem_of(&mem);
  x.now = 1000 * MSUB_SIM_S;
  with = MSUB_OK;
  give = msub_str("value");
  lookups = 0;
  cr_assert_eq(msub_fetch_new(&counted, (msub_exchange){ &x_ops, &x }, &one), MSUB_OK);
  cr_assert_eq(msub_fetch_serve(one, msub_str("/ipns/"), any_lookup, NULL), MSUB_OK);
  cr_assert_eq(msub_fetch_limit(one, burst, per_s), MSUB_OK);
  return one;
}
static void ended(msub_fetch *one) {
  msub_fetch_free(one);
  cr_assert_eq(mem.live_bytes, 0);
}
enum { COST = 10 + 8 }; /* bytes of the request and of the answer */

Test(fetch, a_peer_gets_so_many_bytes) {
  for (int over = -1; over <= 1; over++) { /* what it had has to be less than the burst */
    msub_fetch *one = limited((uint64_t)(3 * COST + over), 1);
    for (unsigned i = 0; i < 3; i++) cr_assert_eq(visit(one, 1), MSUB_OK);
    cr_assert_eq(visit(one, 1), over > 0 ? MSUB_OK : MSUB_ERR_REFUSED, "%+d", over);
    cr_assert_eq(visit(one, 1), MSUB_ERR_REFUSED);
    cr_assert_eq(visit(one, 2), MSUB_OK, "another peer has its own");
    const msub_fetch_counts *c = msub_fetch_count(one);
    cr_assert(c->served == lookups && c->served_limited == (over > 0 ? 1 : 2) && c->malformed == 0);
    ended(one);
  }
  /* It is paid off at the rate; what is refused costs something, too. */
  msub_fetch *one = limited(COST, 10);
  cr_assert_eq(visit(one, 1), MSUB_OK);
  cr_assert_eq(visit(one, 1), MSUB_ERR_REFUSED); /* 13 bytes */
  x.now += MSUB_SIM_S * 13 / 10;
  cr_assert_eq(visit(one, 1), MSUB_ERR_REFUSED);
  x.now += MSUB_SIM_S * 13 / 10 + 1;
  cr_assert_eq(visit(one, 1), MSUB_OK);
  with = MSUB_ERR_NOTFOUND;
  x.now += 100 * MSUB_SIM_S;
  cr_assert_eq(visit(one, 1), MSUB_ERR_NOTFOUND);
  cr_assert_eq(visit(one, 1), MSUB_ERR_NOTFOUND, "13 of 18 bytes");
  cr_assert_eq(visit(one, 1), MSUB_ERR_REFUSED);
  cr_assert_eq(msub_fetch_limit(one, 0, 1), MSUB_OK);
  for (unsigned i = 0; i < 100; i++) cr_assert_eq(visit(one, 1), MSUB_ERR_NOTFOUND, "no limit");
  ended(one);
  /* From the start: 300 records of 10 KiB at once, and more; not without end. */
  static uint8_t record[10240];
  cr_assert_eq(msub_fetch_new(&counted, (msub_exchange){ &x_ops, &x }, &one), MSUB_OK);
  cr_assert_eq(msub_fetch_serve(one, msub_str("/ipns/"), any_lookup, NULL), MSUB_OK);
  with = MSUB_OK;
  give = (msub_bytes){ record, sizeof record };
  unsigned served = 0;
  while (visit(one, 7) == MSUB_OK) served++;
  cr_assert(served > 300 && served <= 2 * 1024, "%u", served);
  cr_assert_eq(msub_fetch_limit(one, (uint64_t)8 << 30, 1), MSUB_OK);
  cr_assert_eq(msub_fetch_limit(one, ((uint64_t)8 << 30) + 1, 1), MSUB_ERR_INVAL);
  cr_assert_eq(msub_fetch_limit(one, 1, (uint64_t)1 << 40), MSUB_OK);
  cr_assert_eq(msub_fetch_limit(one, 1, ((uint64_t)1 << 40) + 1), MSUB_ERR_INVAL);
  cr_assert_eq(msub_fetch_limit(one, 1, 0), MSUB_ERR_INVAL);
  ended(one);
}

/* Of so many peers it is known; of more, of those who had the most. */
Test(fetch, as_many_peers_are_known) {
  for (int over = -1; over <= 1; over++) {
    unsigned n = (unsigned)((int)MSUB_FETCH_RATED + over);
    msub_fetch *one = limited(COST - 1, 1);
    for (unsigned i = 1; i <= n; i++, x.now += 1000) cr_assert_eq(visit(one, i), MSUB_OK); /* the first is the nearest to have paid */
    unsigned refused = 0;
    for (unsigned i = n; i >= 1; i--) refused += visit(one, i) == MSUB_ERR_REFUSED;
    cr_assert_eq(refused, over > 0 ? n - 1 : n, "%+d: %u", over, refused);
    x.now += 1000 * MSUB_SIM_S;
    cr_assert_eq(visit(one, 1000), MSUB_OK, "all have paid, and are forgotten");
    ended(one);
  }
}

Test(fetch, no_memory_for_what_a_peer_had) {
  bool failed = true;
  for (size_t n = 1; failed; n++) {
    msub_fetch *one = limited(COST, 1);
    mem.fail_after = n;
    int first = visit(one, 1);
    failed = mem.fail_after == 0;
    mem.fail_after = 0;
    cr_assert(first == MSUB_OK || (failed && first == MSUB_ERR_CLOSED), "%zu: %d", n, first);
    if (!failed) cr_assert_eq(visit(one, 1), MSUB_ERR_REFUSED);
    ended(one);
  }
}
