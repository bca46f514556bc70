/* tests/unit/test_lww.c: the register set: what is taken, what is kept, who is shown what and when, and a stock topic. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine_world.h"
#include "lww_type.h"
#include "meshsub/lww.h"

#define S INT64_C(1000000000)
enum { T0 = 1000 }; /* seconds, Unix */

/* ---- a set over a store in memory, without an engine ---- */

typedef struct told { char topic[64], record[64]; msub_lww_source source; bool durable, restored; } told;
typedef struct kit {
  count_mem mem, store_mem;
  msub_mem counted, store_counted;
  msub_store_memory *store;
  msub_lww *l;
  msub_lww_opts o;
  msub_now now;
  told changed[64];
  size_t n_changed;
  struct { uint64_t token; int result; } stored[64];
  size_t n_stored;
  struct { msub_lww_alarm what; char winner[64], other[64]; } alarms[64];
  size_t n_alarms;
} kit;
static kit k;

static void text(char out[64], msub_bytes b) {
  size_t n = b.n < 63 ? b.n : 63;
  if (n) memcpy(out, b.p, n);
  out[n] = 0;
}
static void changed(void *ud, msub_bytes topic, const msub_lww_view *v) {
  kit *x = ud;
  told *t = &x->changed[x->n_changed++ % 64];
  text(t->topic, topic);
  text(t->record, v->record);
  t->source = v->source;
  t->durable = v->durable;
  t->restored = v->restored;
}
static void stored(void *ud, msub_bytes topic, msub_token token, int result) {
  kit *x = ud;
  (void)topic;
  x->stored[x->n_stored].token = token.v;
  x->stored[x->n_stored++].result = result;
}
static void alarm_(void *ud, msub_bytes topic, msub_lww_alarm what, msub_bytes winner, msub_bytes other) {
  kit *x = ud;
  (void)topic;
  size_t i = x->n_alarms++ % 64;
  x->alarms[i].what = what;
  text(x->alarms[i].winner, winner);
  text(x->alarms[i].other, other);
}

static void durable(void *ud, msub_token token, int result) {
  kit *x = ud;
  if (x->l) cr_assert(msub_lww_durable(x->l, token, result));
}
static void begin(bool with_store) {
  k = (kit){ .now = { 1, T0 * S } };
  k.counted = count_mem_of(&k.mem);
  k.store_counted = count_mem_of(&k.store_mem);
  msub_lww_opts_init(&k.o);
  k.o.mem = &k.counted;
  k.o.ops = &lww_type;
  k.o.ud = &k;
  k.o.changed = changed;
  k.o.stored = stored;
  k.o.alarm = alarm_;
  if (!with_store) return;
  msub_store_memory_opts so;
  msub_store_memory_opts_init(&so);
  so.mem = &k.store_counted;
  cr_assert_eq(msub_store_memory_new(&so, &k.now, &k.store), MSUB_OK);
  k.o.store = msub_store_memory_store(k.store);
  k.o.store.ops->listen(k.o.store.s, durable, &k);
}
static void open_set(void) { cr_assert_eq(msub_lww_new(&k.o, &k.l), MSUB_OK); }
static void close_set(void) {
  msub_lww_free(k.l);
  k.l = NULL;
  cr_assert_eq(k.mem.live_blocks, 0, "%zu blocks are left", k.mem.live_blocks);
}
static void end(void) {
  close_set();
  msub_store_memory_free(k.store);
}
static void turn(void) { k.o.store.ops->turn(k.o.store.s, &k.now); }
/* A power cut: a new set over what was told as durable. */
static void crash(void) {
  msub_store_memory *after;
  cr_assert_eq(msub_store_memory_crashed(k.store, &after), MSUB_OK);
  close_set();
  msub_store_memory_free(k.store);
  k.store = after;
  k.o.store = msub_store_memory_store(after);
  k.o.store.ops->listen(k.o.store.s, durable, &k);
  open_set();
}

static int put_how(const char *topic, const char *record, bool first, uint64_t token) {
  msub_lww_how h;
  msub_lww_how_init(&h);
  h.durable_first = first;
  if (first) h.source = MSUB_LWW_OWN;
  return msub_lww_put(k.l, msub_str(topic), msub_str(record), &h, &k.now, (msub_token){ token });
}
static int put(const char *topic, const char *record) { return put_how(topic, record, false, 0); }
static int own(const char *topic, const char *record, uint64_t token) { return put_how(topic, record, true, token); }
static bool is(const char *topic, const char *record) {
  msub_lww_view v;
  int rc = msub_lww_get(k.l, msub_str(topic), &v);
  if (!record) return rc == MSUB_ERR_NOTFOUND;
  return rc == MSUB_OK && msub_bytes_eq(v.record, msub_str(record));
}
static bool is_durable(const char *topic) {
  msub_lww_view v;
  cr_assert_eq(msub_lww_get(k.l, msub_str(topic), &v), MSUB_OK);
  return v.durable;
}

/* Each answer of a put, and what is counted. Without a store and with one. */
Test(lww, answers) {
  for (int with_store = 0; with_store < 2; with_store++) {
    begin(with_store);
    k.o.limits.topics = 3;
    k.o.limits.record = 20;
    open_set();
    static const struct { const char *topic, *record; int rc; const char *winner; } steps[] = {
      { "a", "g5 five", MSUB_LWW_TAKEN, "g5 five" },          { "a", "g5 five", MSUB_LWW_SAME, "g5 five" },
      { "a", "g4 four", MSUB_ERR_REFUSED, "g5 five" },        { "a", "b9 invalid", MSUB_ERR_MALFORMED, "g5 five" },
      { "a", "i9 nobody knows", MSUB_ERR_UNSUPPORTED, "g5 five" }, { "a", "x9", MSUB_ERR_TIMEOUT, "g5 five" },
      { "a", "g5 gone", MSUB_LWW_TAKEN, "g5 gone" },          { "a", "g5 five", MSUB_ERR_REFUSED, "g5 gone" },
      { "a", "g6 123456789 123456", MSUB_LWW_TAKEN, "g6 123456789 123456" }, { "a", "g6 123456789 1234567", MSUB_LWW_TAKEN, "g6 123456789 1234567" },
      { "a", "g7 123456789 12345678", MSUB_ERR_LIMIT, "g6 123456789 1234567" }, { "b", "b1", MSUB_ERR_MALFORMED, NULL },
      { "b", "x1", MSUB_ERR_TIMEOUT, NULL },                  { "b", "g1", MSUB_LWW_TAKEN, "g1" },
      { "c", "g1", MSUB_LWW_TAKEN, "g1" },                    { "d", "g1", MSUB_ERR_LIMIT, NULL },
      { "", "g1", MSUB_ERR_INVAL, NULL },                     { "b", "g2", MSUB_LWW_TAKEN, "g2" } };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
      cr_assert_eq(put(steps[i].topic, steps[i].record), steps[i].rc, "step %zu", i);
      cr_assert(is(steps[i].topic, steps[i].winner), "step %zu", i);
    }
    const msub_lww_counts *c = msub_lww_count(k.l);
    cr_assert(c->taken == 7 && c->same == 1 && c->worse == 2 && c->invalid == 3 && c->expired == 2 && c->full == 2 && c->topics == 3);
    cr_assert(k.n_changed == 7 && strcmp(k.changed[6].record, "g2") == 0 && strcmp(k.changed[6].topic, "b") == 0);
    char name[258];
    memset(name, 'n', 257);
    name[257] = 0;
    cr_assert_eq(put(name, "g1"), MSUB_ERR_INVAL);
    end();
  }
}

Test(lww, options) {
  begin(true);
  msub_lww *l;
  msub_lww_opts good = k.o;
#define BAD(what) do { k.o = good; what; cr_assert_eq(msub_lww_new(&k.o, &l), MSUB_ERR_INVAL, #what); } while (0)
  BAD(k.o.size--);
  BAD(k.o.ops = NULL);
  BAD(k.o.prefix.n = 0);
  BAD(k.o.prefix.n = 129);
  BAD(k.o.token.v |= 1);
  BAD(k.o.limits.topics = 0);
  BAD(k.o.limits.joined = 0);
  BAD(k.o.limits.record = 0);
  BAD(k.o.limits.record = ((size_t)1 << 20) + 1);
  BAD(k.o.limits.bytes = k.o.limits.record - 1);
  BAD(k.o.limits.waiting = 0);
  BAD(k.o.max_life_ns = -1);
  msub_lww_ops none = lww_type;
  BAD(none.compare = NULL; k.o.ops = &none);
  none = lww_type;
  BAD(none.abi++; k.o.ops = &none);
  k.o = good;
  none = lww_type;
  none.size = offsetof(msub_lww_ops, expires); /* of an older header: it never expires */
  k.o.ops = &none;
  open_set();
  cr_assert_eq(put("a", "x1"), MSUB_LWW_TAKEN);
  msub_topic t;
  cr_assert_eq(msub_lww_join(k.l, msub_str("a"), &k.now, &t), MSUB_ERR_STATE);
  cr_assert(!msub_lww_durable(k.l, (msub_token){ 77 }, MSUB_OK)); /* somebody else's */
  end();
}

/* What is durable is there after a power cut; what is not, is not; and nobody was told otherwise. */
Test(lww, durability) {
  begin(true);
  open_set();
  cr_assert_eq(put_how("a", "g1", false, 7), MSUB_LWW_TAKEN);
  cr_assert(is("a", "g1") && !is_durable("a") && k.n_stored == 0);
  turn();
  cr_assert(is("a", "g1") && is_durable("a") && k.n_stored == 1 && k.stored[0].token == 7 && k.stored[0].result == MSUB_OK);
  cr_assert(k.mem.live_blocks <= 5, "what is stored and not joined takes no memory: %zu blocks", k.mem.live_blocks);
  cr_assert_eq(put("a", "g2"), MSUB_LWW_TAKEN);
  cr_assert(is("a", "g2") && !is_durable("a"));
  crash();
  cr_assert(is("a", "g1") && is_durable("a") && msub_lww_count(k.l)->topics == 1);
  msub_lww_view v;
  cr_assert(msub_lww_get(k.l, msub_str("a"), &v) == MSUB_OK && v.restored && v.source == MSUB_LWW_GIVEN && v.received_ns == T0 * S && v.expires_ns == INT64_MAX);
  cr_assert_eq(put("a", "g0"), MSUB_ERR_REFUSED); /* no way back through a restart */
  end();
}

/* A winner that is expired stays as a mark, also through a restart; or, switched off, it is as good as nothing. */
Test(lww, high_water) {
  for (int on = 0; on < 2; on++) {
    begin(true);
    k.o.high_water = on;
    open_set();
    cr_assert_eq(put("a", "e5 a minute"), MSUB_LWW_TAKEN);
    turn();
    k.now.wall_ns += 61 * S;
    msub_lww_view v;
    cr_assert(msub_lww_get(k.l, msub_str("a"), &v) == MSUB_OK && v.expires_ns == (T0 + 60) * S);
    crash();
    cr_assert_eq(put("a", "e5 a minute"), MSUB_ERR_TIMEOUT);
    cr_assert_eq(put("a", "g4 older"), on ? MSUB_ERR_REFUSED : MSUB_LWW_TAKEN);
    cr_assert_eq(put("a", "g6 newer"), MSUB_LWW_TAKEN);
    turn();
    cr_assert(is("a", "g6 newer") && msub_lww_count(k.l)->topics == 1);
    end();
  }
  begin(false);
  k.o.max_life_ns = 10 * S; /* whatever a record says */
  open_set();
  cr_assert(put("a", "g1") == MSUB_LWW_TAKEN && put("b", "e1") == MSUB_LWW_TAKEN);
  msub_lww_view v;
  cr_assert(msub_lww_get(k.l, msub_str("a"), &v) == MSUB_OK && v.expires_ns == (T0 + 10) * S);
  cr_assert(msub_lww_get(k.l, msub_str("b"), &v) == MSUB_OK && v.expires_ns == (T0 + 10) * S);
  end();
}

/* Nobody is shown an owner's record before it is durable. */
Test(lww, owners) {
  begin(true);
  open_set();
  cr_assert(put("a", "g1") == MSUB_LWW_TAKEN);
  turn();
  k.n_changed = 0;
  cr_assert_eq(own("a", "g5", 1), MSUB_LWW_WAITS);
  cr_assert(is("a", "g1") && k.n_changed == 0 && msub_lww_count(k.l)->waiting == 1);
  cr_assert_eq(own("a", "g5", 2), MSUB_LWW_WAITS);
  cr_assert_eq(own("a", "g4", 2), MSUB_ERR_REFUSED);
  cr_assert_eq(msub_lww_forget(k.l, msub_str("a")), MSUB_ERR_STATE);
  cr_assert_eq(put("a", "g3"), MSUB_LWW_TAKEN); /* a follower's, in between: shown, and the store keeps the better one */
  cr_assert(is("a", "g3") && k.n_changed == 1);
  turn();
  cr_assert(is("a", "g5") && is_durable("a") && k.n_changed == 2 && k.changed[1].durable && k.changed[1].source == MSUB_LWW_OWN);
  cr_assert(k.n_stored == 1 && k.stored[0].token == 1 && k.stored[0].result == MSUB_OK);
  /* Two that wait at a time, and a better one from elsewhere. */
  cr_assert(own("a", "g6", 3) == MSUB_LWW_WAITS && own("a", "g7", 4) == MSUB_LWW_WAITS && put("a", "g8") == MSUB_LWW_TAKEN);
  turn();
  cr_assert(is("a", "g8") && is_durable("a") && k.n_stored == 3 && k.stored[2].token == 4);
  crash();
  cr_assert(is("a", "g8"));
  /* What is there and not durable becomes so before it counts as published by its owner. */
  cr_assert(put("a", "g9") == MSUB_LWW_TAKEN && own("a", "g9", 5) == MSUB_LWW_WAITS);
  turn();
  cr_assert(is_durable("a") && k.n_stored == 4 && own("a", "g9", 6) == MSUB_LWW_SAME);
  /* Killed before it was durable: it was never there. */
  cr_assert(own("b", "g1", 8) == MSUB_LWW_WAITS && is("b", NULL) && msub_lww_count(k.l)->topics == 2);
  crash();
  cr_assert(is("b", NULL) && msub_lww_count(k.l)->topics == 1);
  end();
}

/* The store fails: an owner's record is dropped, or goes on in memory when told to; a follower's goes on in memory and is submitted again. */
Test(lww, failing_store) {
  for (int go_on = 0; go_on < 2; go_on++) {
    begin(true);
    k.o.on_store_failure_publish = go_on;
    open_set();
    cr_assert(put("a", "g1") == MSUB_LWW_TAKEN);
    turn();
    msub_store_memory_fail(k.store, 0, MSUB_ERR_IO);
    cr_assert(own("a", "g5", 1) == MSUB_LWW_WAITS && put("a", "g2") == MSUB_LWW_TAKEN && put_how("b", "g1", false, 2) == MSUB_LWW_TAKEN);
    turn();
    cr_assert(is("a", go_on ? "g5" : "g2") && !is_durable("a") && is("b", "g1") && !is_durable("b"));
    cr_assert(k.n_stored == 2 && k.stored[0].result == MSUB_ERR_IO && k.stored[1].result == MSUB_ERR_IO);
    cr_assert(msub_lww_count(k.l)->unsaved == 2 && msub_lww_count(k.l)->store_failed == 2);
    cr_assert_eq(msub_lww_flush(k.l), 0); /* taken, and fails again */
    turn();
    cr_assert_eq(msub_lww_count(k.l)->unsaved, 2);
    msub_store_memory_fail(k.store, 0, MSUB_OK);
    cr_assert(put("c", "g1") == MSUB_LWW_TAKEN);
    turn(); /* the first one that works brings the others */
    cr_assert_eq(msub_lww_count(k.l)->unsaved, 0);
    turn();
    cr_assert(is_durable("a") && is_durable("b"));
    crash();
    cr_assert(is("a", go_on ? "g5" : "g2") && is("b", "g1") && is("c", "g1"));
    end();
  }
  /* It takes no more: owners are told at once, others go on in memory. */
  begin(true);
  k.o.limits.waiting = 2;
  open_set();
  msub_store_memory_hang(k.store, true);
  cr_assert(put("a", "g1") == MSUB_LWW_TAKEN && put("b", "g1") == MSUB_LWW_TAKEN && own("c", "g1", 9) == MSUB_ERR_LIMIT && is("c", NULL));
  cr_assert(put_how("c", "g1", false, 10) == MSUB_LWW_TAKEN && is("c", "g1") && msub_lww_count(k.l)->unsaved == 1);
  cr_assert(k.n_stored == 1 && k.stored[0].token == 10 && k.stored[0].result == MSUB_ERR_LIMIT);
  cr_assert_eq(msub_lww_flush(k.l), 1);
  msub_store_memory_hang(k.store, false);
  turn();
  turn();
  cr_assert(is_durable("c") && msub_lww_count(k.l)->unsaved == 0 && msub_lww_count(k.l)->topics == 3);
  end();
}

/* Stored values that are none are passed over and counted: each bit of one, one of another topic, one of another version. */
Test(lww, damage) {
  begin(true);
  open_set();
  cr_assert(put("a", "g5 a record") == MSUB_LWW_TAKEN);
  turn();
  msub_bytes value;
  uint8_t copy[64], bad[64];
  cr_assert_eq(k.o.store.ops->get(k.o.store.s, msub_str("lww/a"), &value), MSUB_OK);
  size_t n = value.n;
  memcpy(copy, value.p, n);
  uint64_t expect = 0;
  for (size_t i = 0; i < n * 8 + 3; i++) {
    memcpy(bad, copy, n);
    size_t m = n;
    if (i < n * 8) bad[i / 8] ^= (uint8_t)(1u << i % 8);
    else m = i == n * 8 ? 0 : i == n * 8 + 1 ? 17 : n - 1;
    msub_store_op op = { true, msub_str("lww/a"), { bad, m } };
    cr_assert_eq(k.o.store.ops->submit(k.o.store.s, &op, 1, (msub_token){ 0 }), MSUB_OK);
    msub_lww_view v;
    cr_assert_eq(msub_lww_get(k.l, msub_str("a"), &v), MSUB_ERR_MALFORMED, "bit %zu", i);
    cr_assert_eq(msub_lww_count(k.l)->damaged, ++expect);
    msub_lww *other = NULL;
    if (i % 16 == 0) {
      cr_assert_eq(msub_lww_new(&k.o, &other), MSUB_OK);
      cr_assert(msub_lww_count(other)->damaged == 1 && msub_lww_count(other)->topics == 0);
      msub_lww_free(other);
    }
  }
  msub_store_op op = { true, msub_str("lww/b"), { copy, n } }; /* P-06: sound, but of another topic */
  cr_assert_eq(k.o.store.ops->submit(k.o.store.s, &op, 1, (msub_token){ 0 }), MSUB_OK);
  msub_lww_view v;
  cr_assert_eq(msub_lww_get(k.l, msub_str("b"), &v), MSUB_ERR_MALFORMED);
  cr_assert_eq(put("b", "g1"), MSUB_LWW_TAKEN); /* and it is in nobody's way */
  close_set();
  k.o.prefix = msub_str("other/"); /* another set in the same store sees nothing of it */
  k.o.token.v = UINT64_C(99) << 40;
  open_set();
  cr_assert(is("a", NULL) && is("b", NULL) && msub_lww_count(k.l)->topics == 0);
  end();
}

static bool list(void *ud, msub_bytes topic, const msub_lww_view *v) {
  char *out = ud;
  snprintf(out + strlen(out), 256 - strlen(out), "%.*s=%.*s%s;", (int)topic.n, (const char *)topic.p, (int)v->record.n, (const char *)v->record.p,
           v->durable ? "!" : "");
  return strchr(out, '|') == NULL;
}
Test(lww, forget_sweep_iterate) {
  begin(true);
  k.o.high_water = false;
  open_set();
  cr_assert(put("a", "g1") == 0 && put("b", "e1") == 0 && put("c", "e2") == 0 && put("d", "g2") == 0);
  turn();
  cr_assert(put("b", "e3") == 0 && put("e", "e9") == 0 && own("f", "g1", 1) == MSUB_LWW_WAITS);
  char out[256] = "";
  cr_assert_eq(msub_lww_iterate(k.l, list, out), MSUB_OK);
  cr_assert_str_eq(out, "a=g1!;c=e2!;d=g2!;b=e3;e=e9;");
  k.now.wall_ns += 60 * S - 1;
  cr_assert_eq(msub_lww_sweep(k.l, 10, &k.now), 0);
  k.now.wall_ns += 1;
  cr_assert_eq(msub_lww_sweep(k.l, 2, &k.now), 2);
  cr_assert_eq(msub_lww_sweep(k.l, 10, &k.now), 1);
  turn();
  cr_assert_eq(msub_lww_forget(k.l, msub_str("a")), MSUB_OK);
  cr_assert(is("a", NULL) && msub_lww_forget(k.l, msub_str("a")) == MSUB_ERR_NOTFOUND && msub_lww_forget(k.l, msub_str("zz")) == MSUB_ERR_NOTFOUND);
  turn();
  *out = 0;
  cr_assert_eq(msub_lww_iterate(k.l, list, out), MSUB_OK);
  cr_assert_str_eq(out, "d=g2!;f=g1!;");
  cr_assert_eq(msub_lww_count(k.l)->topics, 2);
  crash();
  *out = 0;
  cr_assert_eq(msub_lww_iterate(k.l, list, out), MSUB_OK);
  cr_assert_str_eq(out, "d=g2!;f=g1!;");
  /* Taking away fails: it is back after a restart, unless it is tried again. */
  msub_store_memory_fail(k.store, 0, MSUB_ERR_IO);
  cr_assert_eq(msub_lww_forget(k.l, msub_str("d")), MSUB_OK);
  turn();
  msub_store_memory_fail(k.store, 0, MSUB_OK);
  cr_assert(is("d", NULL) && msub_lww_count(k.l)->unsaved == 1 && msub_lww_flush(k.l) == 0);
  turn();
  crash();
  cr_assert(is("d", NULL) && is("f", "g1"));
  end();
}

/* P-13: jumps and equivocation are told, with both records, whichever wins. */
Test(lww, alarms) {
  begin(false);
  open_set();
  cr_assert(put("a", "g1 this") == 0 && put("a", "g1 that") == MSUB_ERR_REFUSED && put("a", "g1 thus") == MSUB_LWW_TAKEN);
  cr_assert(k.n_alarms == 2 && k.alarms[0].what == MSUB_LWW_EQUIVOCAL && strcmp(k.alarms[0].winner, "g1 this") == 0 && strcmp(k.alarms[0].other, "g1 that") == 0);
  cr_assert(put("a", "j2 far") == 0 && k.n_alarms == 3 && k.alarms[2].what == MSUB_LWW_JUMP);
  cr_assert(msub_lww_count(k.l)->jumps == 1 && msub_lww_count(k.l)->equivocal == 2);
  end();
}

/* P-13: every order of the same records leaves the same winner, with restarts in between. */
static void permute(unsigned *p, unsigned n, unsigned at, unsigned *runs) {
  static const char *const records[] = { "g1 a", "g3 b", "g3 bb", "g3 c", "g2 z", "e3 b" };
  if (at < n) {
    for (unsigned i = at; i < n; i++) {
      unsigned x = p[at];
      p[at] = p[i], p[i] = x;
      permute(p, n, at + 1, runs);
      x = p[at];
      p[at] = p[i], p[i] = x;
    }
    return;
  }
  char topic[16];
  snprintf(topic, sizeof topic, "t%u", (*runs)++);
  for (unsigned i = 0; i < n; i++) {
    int rc = p[i] % 2 ? own(topic, records[p[i]], 0) : put(topic, records[p[i]]);
    cr_assert(rc == MSUB_LWW_TAKEN || rc == MSUB_LWW_WAITS || rc == MSUB_ERR_REFUSED);
    if ((*runs + i) % 3 == 0) turn();
  }
  turn();
  cr_assert(is(topic, "g3 c"), "%s", topic);
}
Test(lww, order_independence) {
  begin(true);
  k.o.limits.waiting = 100000;
  open_set();
  unsigned p[] = { 0, 1, 2, 3, 4, 5 }, runs = 0;
  permute(p, 6, 0, &runs);
  cr_assert_eq(runs, 720);
  crash();
  for (unsigned i = 0; i < runs; i++) {
    char topic[16];
    snprintf(topic, sizeof topic, "t%u", i);
    cr_assert(is(topic, "g3 c"));
  }
  end();
}

/* T-I7, of this layer: a hundred thousand stored records take no memory that grows with them. */
Test(lww, hundred_thousand, .timeout = 60) {
  begin(true);
  open_set();
  char topic[32];
  for (unsigned i = 0; i < 100000; i++) {
    snprintf(topic, sizeof topic, "/record/%u", i);
    cr_assert_eq(put(topic, "g1 some record"), MSUB_LWW_TAKEN, "%u", i);
    if (i % 500 == 499) turn();
  }
  turn();
  cr_assert_eq(msub_lww_count(k.l)->topics, 100000);
  cr_assert(k.mem.live_bytes < 512 * 1024, "%zu bytes", k.mem.live_bytes);
  cr_assert(put("one more", "g1") == MSUB_ERR_LIMIT && put("/record/5", "g2") == MSUB_LWW_TAKEN && is("/record/99999", "g1 some record"));
  end();
}

/* Every allocation of a life fails once: an error or less, never a wrong winner, nothing lost or left. */
Test(lww, every_allocation_fails_once) {
  unsigned failures = 0;
  for (size_t at = 1;; at++) {
    begin(true);
    k.mem.fail_after = at;
    if (msub_lww_new(&k.o, &k.l) == MSUB_OK) {
      int rc[8] = { put("a", "g1"), own("a", "g2", 1), put("b", "g1"), put("b", "g2"), own("c", "g1", 2) };
      turn();
      char want[8] = "";
      msub_lww_view v;
      if (rc[1] == MSUB_LWW_WAITS) strcpy(want, "g2");
      else if (rc[0] == MSUB_LWW_TAKEN) strcpy(want, "g1");
      int got = msub_lww_get(k.l, msub_str("a"), &v);
      if (*want && got == MSUB_OK) cr_assert(msub_bytes_eq(v.record, msub_str(want)), "allocation %zu", at);
      else cr_assert(got != MSUB_OK || at > 0);
      rc[5] = put("a", "g3");
      rc[6] = msub_lww_forget(k.l, msub_str("b"));
      (void)msub_lww_flush(k.l);
      turn();
      turn();
      bool failed = k.mem.fail_after == 0;
      k.mem.fail_after = 0;
      if (rc[5] == MSUB_LWW_TAKEN) cr_assert(is("a", "g3"), "allocation %zu", at);
      cr_assert(rc[6] != MSUB_OK || is("b", NULL), "allocation %zu", at);
      cr_assert(put("a", "g4") == MSUB_LWW_TAKEN && put("b", "g5") == MSUB_LWW_TAKEN); /* it goes on */
      turn();
      failures += failed;
      at = failed ? at : SIZE_MAX - 1;
    } else failures++;
    end();
    if (at == SIZE_MAX - 1) break;
  }
  cr_assert(failures > 15, "%u", failures);
}

/* ---- a stock topic ---- */

static world w;
static msub_topic topic;
static msub_lww *set;
static msub_store_memory *disk;
static unsigned n_changed;
static char last_changed[64];

static void told_changed(void *ud, msub_bytes t, const msub_lww_view *v) {
  (void)ud, (void)t;
  n_changed++;
  text(last_changed, v->record);
}
static void told_durable(void *ud, msub_token token, int result) {
  (void)ud;
  if (set) cr_assert(msub_lww_durable(set, token, result));
}
static void start(const msub_lww_ops *ops, bool with_disk) {
  world_init(&w, 1);
  world_start(&w, NULL);
  w.now.wall_ns = T0 * S;
  n_changed = 0;
  msub_lww_opts o;
  msub_lww_opts_init(&o);
  msub_mem mem = world_mem(&w);
  o.mem = &mem;
  o.ops = ops;
  o.engine = w.e;
  o.changed = told_changed;
  msub_store_memory_opts so;
  msub_store_memory_opts_init(&so);
  disk = NULL;
  set = NULL;
  if (with_disk) {
    cr_assert_eq(msub_store_memory_new(&so, &w.now, &disk), MSUB_OK);
    o.store = msub_store_memory_store(disk);
    o.store.ops->listen(o.store.s, told_durable, NULL);
  }
  cr_assert_eq(msub_lww_new(&o, &set), MSUB_OK);
  cr_assert_eq(msub_lww_join(set, msub_str("t"), &w.now, &topic), MSUB_OK);
}
static void stop(void) {
  msub_lww_free(set);
  set = NULL;
  msub_store_memory_free(disk);
  world_stop(&w);
}
static void disk_turn(void) { msub_store_memory_store(disk).ops->turn(disk, &w.now); }
/* How many of the RPCs sent since the last call hold this text. */
static unsigned sent(const char *record) {
  unsigned n = 0;
  size_t len = strlen(record);
  for (size_t i = 0; i < w.n_sent; i++)
    for (size_t at = 0; at + len <= w.sent[i].n; at++)
      if (memcmp(w.sent[i].rpc + at, record, len) == 0) {
        n++;
        break;
      }
  world_clear(&w);
  return n;
}
static void brings(msub_session s, const char *record) {
  static uint64_t seqno = 100;
  static uint8_t buf[4096];
  size_t n = world_signed_rpc(buf, sizeof buf, 50, ++seqno, "t", msub_str(record));
  cr_assert_eq(world_receive(&w, s, (msub_bytes){ buf, n }), MSUB_OK);
  world_run_jobs(&w);
}
static const char *winner(void) {
  static char out[64];
  msub_lww_view v;
  if (msub_lww_get(set, msub_str("t"), &v) != MSUB_OK) return "";
  text(out, v.record);
  return out;
}

Test(lww_stock, peers) {
  for (int pooled = 0; pooled < 2; pooled++) {
    start(pooled ? &lww_pooled : &lww_type, true);
    lww_type_jobs = 0;
    msub_session a = world_peer(&w, 2), b = world_peer(&w, 3);
    world_subscribe(&w, a, "t", true);
    world_subscribe(&w, b, "t", true);
    world_clear(&w);
    static const struct { const char *record; unsigned forwarded; const char *winner; } steps[] = {
      { "b1 invalid", 0, "" },  { "x1 expired", 0, "" },   { "i1 unknown", 0, "" },     { "g3 three", 1, "g3 three" }, { "g3 three", 0, "g3 three" },
      { "g2 two", 0, "g3 three" }, { "b9 invalid", 0, "g3 three" }, { "g4 four", 1, "g4 four" }, { "x9", 0, "g4 four" } };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
      brings(a, steps[i].record);
      cr_assert_eq(sent(steps[i].record), steps[i].forwarded, "step %zu", i);
      cr_assert_str_eq(winner(), steps[i].winner);
    }
    cr_assert(n_changed == 2 && strcmp(last_changed, "g4 four") == 0);
    const msub_counts *c = msub_count(w.e);
    cr_assert(c->accepted == 2 && c->rejected == 2 && c->ignored == 5);
    cr_assert_eq(lww_type_jobs, pooled ? 8 : 0); /* verified in the pool, but what stands already */
    cr_assert_eq(msub_lww_count(set)->invalid, pooled ? 2 : 3);
    msub_lww_view v;
    cr_assert(msub_lww_get(set, msub_str("t"), &v) == MSUB_OK && v.source == MSUB_LWW_PUBSUB && !v.durable);
    msub_peer_id id = world_peer_id(2);
    cr_assert(msub_bytes_eq(v.from, msub_peer_id_bytes(&id)));
    disk_turn();
    cr_assert(msub_lww_get(set, msub_str("t"), &v) == MSUB_OK && v.durable);
    stop();
  }
}

/* An owner's record leaves when it is durable and not before; what is published past the set is refused. */
Test(lww_stock, owner) {
  start(&lww_pooled, true);
  msub_session a = world_peer(&w, 2);
  world_subscribe(&w, a, "t", true);
  world_clear(&w);
  msub_lww_how h;
  msub_lww_how_init(&h);
  h.source = MSUB_LWW_OWN;
  h.publish = h.durable_first = true;
  cr_assert_eq(msub_lww_put(set, msub_str("t"), msub_str("g1 mine"), &h, &w.now, (msub_token){ 0 }), MSUB_LWW_WAITS);
  cr_assert_eq(sent("g1 mine"), 0);
  cr_assert_str_eq(winner(), "");
  disk_turn();
  cr_assert_eq(sent("g1 mine"), 1);
  cr_assert_str_eq(winner(), "g1 mine");
  /* A better one comes while ours waits: ours is not published. */
  cr_assert_eq(msub_lww_put(set, msub_str("t"), msub_str("g2 mine"), &h, &w.now, (msub_token){ 0 }), MSUB_LWW_WAITS);
  brings(a, "g5 theirs");
  disk_turn();
  cr_assert(sent("g2 mine") == 0);
  cr_assert_str_eq(winner(), "g5 theirs");
  h.durable_first = false;
  cr_assert_eq(msub_lww_put(set, msub_str("t"), msub_str("g6 at once"), &h, &w.now, (msub_token){ 0 }), MSUB_LWW_TAKEN);
  cr_assert_eq(sent("g6 at once"), 1);
  cr_assert_eq(msub_publish(w.e, topic, msub_str("g9 past it"), &w.now, NULL), MSUB_ERR_REFUSED);
  cr_assert_eq(sent("g9 past it"), 0);
  cr_assert_str_eq(winner(), "g6 at once");
  /* Again: a new message of ours, once a second. */
  cr_assert_eq(msub_lww_rebroadcast(set, msub_str("t"), &w.now), MSUB_OK);
  cr_assert_eq(sent("g6 at once"), 1);
  cr_assert_eq(msub_lww_rebroadcast(set, msub_str("t"), &w.now), MSUB_ERR_LIMIT);
  cr_assert_eq(msub_lww_put(set, msub_str("t"), msub_str("g6 at once"), &h, &w.now, (msub_token){ 0 }), MSUB_LWW_SAME);
  world_pass(&w, (uint64_t)S - 1);
  cr_assert_eq(msub_lww_rebroadcast(set, msub_str("t"), &w.now), MSUB_ERR_LIMIT);
  world_pass(&w, 1);
  cr_assert_eq(sent("g6 at once"), 0);
  cr_assert_eq(msub_lww_put(set, msub_str("t"), msub_str("g6 at once"), &h, &w.now, (msub_token){ 0 }), MSUB_LWW_SAME);
  cr_assert_eq(sent("g6 at once"), 1);
  cr_assert_eq(msub_lww_count(set)->resent, 2);
  cr_assert_eq(msub_lww_rebroadcast(set, msub_str("u"), &w.now), MSUB_ERR_NOTFOUND);
  cr_assert_eq(msub_lww_put(set, msub_str("t"), msub_str("e7 a minute"), &h, &w.now, (msub_token){ 0 }), MSUB_LWW_TAKEN);
  world_pass(&w, (uint64_t)S * 61);
  cr_assert_eq(msub_lww_rebroadcast(set, msub_str("t"), &w.now), MSUB_ERR_TIMEOUT);
  stop();
}

/* Joining and leaving: once, bounded, and what stays. */
Test(lww_stock, membership) {
  for (int with_disk = 0; with_disk < 2; with_disk++) {
    start(&lww_pooled, with_disk);
    msub_topic again, more[3];
    cr_assert(msub_lww_join(set, msub_str("t"), &w.now, &again) == MSUB_OK && again.v == topic.v && msub_lww_count(set)->joined == 1);
    msub_lww_how h;
    msub_lww_how_init(&h);
    cr_assert_eq(msub_lww_put(set, msub_str("t"), msub_str("g1"), &h, &w.now, (msub_token){ 0 }), MSUB_LWW_TAKEN);
    cr_assert_eq(msub_lww_put(set, msub_str("u"), msub_str("g7"), &h, &w.now, (msub_token){ 0 }), MSUB_LWW_TAKEN);
    if (with_disk) disk_turn();
    cr_assert_eq(msub_lww_join(set, msub_str("u"), &w.now, &more[0]), MSUB_OK);
    msub_lww_view v;
    cr_assert(msub_lww_get(set, msub_str("u"), &v) == MSUB_OK && v.restored == (with_disk != 0));
    cr_assert_eq(msub_lww_leave(set, msub_str("t"), false, &w.now), MSUB_OK);
    cr_assert_eq(msub_lww_leave(set, msub_str("u"), true, &w.now), MSUB_OK);
    cr_assert(msub_lww_leave(set, msub_str("u"), true, &w.now) == MSUB_ERR_NOTFOUND && msub_lww_count(set)->joined == 0);
    cr_assert_eq(msub_lww_get(set, msub_str("t"), &v), with_disk ? MSUB_OK : MSUB_ERR_NOTFOUND);
    cr_assert_eq(msub_lww_get(set, msub_str("u"), &v), MSUB_OK);
    cr_assert_eq(msub_joined(w.e, more, 3), 0);
    stop();
  }
}

/* ---- the router: no memory ---- */

static void hears(msub_session s, uint8_t kind, const char *t, msub_bytes id) {
  uint8_t frame[256];
  msub_ctl_entry e = { .kind = kind, .n_ids = id.n != 0, .ids = &id };
  msub_bytes name = t ? msub_str(t) : (msub_bytes){ NULL, 0 };
  size_t n = msub_ctl_encode(&e, &name, 1, frame, sizeof frame);
  if (msub_session_peer(w.e, s).v) (void)world_receive(&w, s, (msub_bytes){ frame, n });
}
static void brings_plain(msub_session s, const char *record) {
  uint8_t frame[256];
  size_t n = world_plain_rpc(frame, sizeof frame, "t", msub_str(record));
  if (msub_session_peer(w.e, s).v) (void)world_receive(&w, s, (msub_bytes){ frame, n });
  while (w.n_jobs) (void)world_run_job(&w, 0);
}

/* A life with everything in it; whether it came to its end. */
static bool router_life(void) {
  msub_mem mem = world_mem(&w);
  set = NULL;
  if (world_try_start(&w, &msub_lww_router, &mem) != MSUB_OK) return false;
  w.now.wall_ns = T0 * S;
  msub_lww_opts o;
  msub_lww_opts_init(&o);
  o.mem = &mem;
  o.ops = &lww_pooled;
  o.engine = w.e;
  if (msub_lww_new(&o, &set) != MSUB_OK) return false;
  (void)msub_lww_join(set, msub_str("t"), &w.now, &topic);
  msub_session s[3] = { { 0 } };
  for (uint8_t i = 0; i < 3; i++) {
    msub_peer_id id = world_peer_id((uint8_t)(i + 1));
    msub_session_opts so = { .peer_id = msub_peer_id_bytes(&id), .protocol = "/meshsub-lww/1.0.0", .link = i, .agreed = true };
    (void)msub_session_up(w.e, &so, &w.now, &s[i]);
    if (msub_session_peer(w.e, s[i]).v) (void)world_subscribe(&w, s[i], "t", true);
  }
  hears(s[0], MSUB_C_GRAFT, "t", (msub_bytes){ NULL, 0 });
  hears(s[1], MSUB_C_IHAVE, "t", msub_str("12345678901234567890123456789012"));
  brings_plain(s[0], "g5 winner");
  brings_plain(s[1], "g4 loser");
  hears(s[2], MSUB_C_IWANT, NULL, (msub_bytes){ (const uint8_t *)"\0t", 2 });
  hears(s[2], MSUB_C_IHAVE, "t", msub_str("another one that is not a record"));
  msub_lww_how h;
  msub_lww_how_init(&h);
  h.publish = true;
  int rc = msub_lww_put(set, msub_str("t"), msub_str("g7 mine"), &h, &w.now, (msub_token){ 0 });
  msub_lww_view v;
  if (rc == MSUB_LWW_TAKEN) cr_assert(msub_lww_get(set, msub_str("t"), &v) == MSUB_OK && msub_bytes_eq(v.record, msub_str("g7 mine")));
  for (unsigned i = 0; i < 3; i++) {
    w.now.mono_ns += (uint64_t)S;
    w.now.wall_ns += S;
    (void)msub_advance(w.e, &w.now);
  }
  (void)msub_lww_rebroadcast(set, msub_str("t"), &w.now);
  (void)msub_session_down(w.e, s[0], &w.now);
  (void)msub_lww_leave(set, msub_str("t"), false, &w.now);
  return true;
}

Test(lww_router, every_allocation_fails_once, .timeout = 120) {
  unsigned failures = 0, whole = 0;
  for (size_t at = 1;; at++) {
    world_init(&w, 9);
    w.opts.sign = MSUB_STRICT_NO_SIGN;
    w.mem.fail_after = at;
    whole += router_life();
    bool failed = w.mem.fail_after == 0;
    failures += failed;
    w.mem.fail_after = 0;
    msub_lww_free(set);
    set = NULL;
    if (w.e == NULL && w.sh == NULL) {
      msub_key_free(w.key);
      cr_assert(w.mem.live_blocks == 0, "allocation %zu: %zu blocks left", at, w.mem.live_blocks);
    } else world_stop(&w); /* checks that nothing is left */
    if (!failed) break;
  }
  cr_assert(failures > 60 && whole > 40, "%u failures, %u whole", failures, whole);
}

/* Options, and ids of a type's own. */
static size_t short_id(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  msub_bytes d = msub_data(m);
  if (d.n < 2) return 0;
  memcpy(out, "id:", 3);
  memcpy(out + 3, d.p, 2);
  return 5;
}
Test(lww_router, options) {
  msub_lww_router_opts o;
  const msub_plan *plan;
  world_init(&w, 1);
  world_start(&w, NULL);
  msub_lww_router_opts_init(&o);
  o.size--;
  cr_assert_eq(msub_plan_new(w.sh, &msub_lww_router, &o, &plan), MSUB_ERR_INVAL);
  o.size++;
  o.protocol = "";
  cr_assert_eq(msub_plan_new(w.sh, &msub_lww_router, &o, &plan), MSUB_ERR_INVAL);
  o.protocol = "/mine/2.0.0";
  msub_gossipsub_opts gs;
  msub_gossipsub_opts_init(&gs);
  o.gossipsub = &gs;
  cr_assert_eq(msub_plan_new(w.sh, &msub_lww_router, &o, &plan), MSUB_OK);
  cr_assert(strcmp(msub_plan_protocol(plan, 0), "/mine/2.0.0") == 0 && msub_plan_protocol(plan, 1) == NULL);
  world_stop(&w);
  world_init(&w, 1);
  world_start_plain(&w, &msub_lww_router);
  msub_lww_ops ops = lww_type;
  ops.message_id = short_id;
  msub_lww_opts lo;
  msub_lww_opts_init(&lo);
  lo.ops = &ops;
  lo.engine = w.e;
  cr_assert_eq(msub_lww_new(&lo, &set), MSUB_OK);
  cr_assert_eq(msub_lww_join(set, msub_str("t"), &w.now, &topic), MSUB_OK);
  msub_peer_id id = world_peer_id(7);
  msub_session s;
  msub_session_opts so = { .peer_id = msub_peer_id_bytes(&id), .protocol = "/meshsub-lww/1.0.0", .link = 7, .agreed = true };
  cr_assert_eq(msub_session_up(w.e, &so, &w.now, &s), MSUB_OK);
  world_subscribe(&w, s, "t", true);
  msub_lww_how h;
  msub_lww_how_init(&h);
  cr_assert_eq(msub_lww_put(set, msub_str("t"), msub_str("g7 mine"), &h, &w.now, (msub_token){ 0 }), MSUB_LWW_TAKEN);
  world_clear(&w);
  hears(s, MSUB_C_IWANT, NULL, msub_str("id:g7"));
  cr_assert_eq(sent("g7 mine"), 1);
  hears(s, MSUB_C_IWANT, NULL, msub_str("id:g8"));
  cr_assert_eq(sent("g7 mine"), 0);
  msub_lww_free(set);
  set = NULL;
  world_stop(&w);
}
