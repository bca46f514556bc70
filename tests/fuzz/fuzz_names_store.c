/* tests/fuzz/fuzz_names_store.c: names over a store that holds anything (lww/set.c, lww/ipns/names_keep.c): what a failing disk, a later version or another program
 * may have left.
 *
 * The input: a byte of flags (1: room for few names; 2: a keeper that is open; 4: the store takes nothing from some point on; 8: the clock is years ahead), then rows:
 * a byte, its lowest two bits the kind, the next three the name:
 *   0  any key behind the prefix, and any value: each a length and so many bytes
 *   1  the name's row of wishes: a length and so many bytes
 *   2  the name's record, value as it stands in the input: a length of two bytes and so many bytes
 *   3  the name's record with a check that holds: which of the records below, source, received, 8 bytes; a number of patches, each an offset of two bytes and a byte; a
 *      byte of how much is cut off
 *
 * Whatever that is, the start says that it is of a later version, or works: then names are shown within their bounds, each resolve and each publish ends once, and
 * what was published, taken or wished stands there after the next start. Memory is bounded by the input; every turn ends. */
#include "meshsub/router.h"
#include "meshsub/names.h"
#include "meshsub/sim.h"
#include "tests/fuzz/script.h"

enum { FEW = 1, OPEN = 2, FULL = 4, LATE = 8, NAMES = 8, RECORDS = 5, ROWS = 64, TURNS = 256 };
#define PREFIX "ipns/"
#define DAY (UINT64_C(86400) * MSUB_SIM_S)
#define WALL INT64_C(1704067200000000000) /* 2024-01-01 */

/* ---- names, and records of each ---- */

static msub_key *keys[NAMES];
static struct { uint8_t p[512]; size_t n; } records[NAMES][RECORDS];

static void free_keys(void) {
  for (unsigned i = 0; i < NAMES; i++) msub_key_free(keys[i]);
}
static void make_keys(void) {
  static const struct { int64_t ends_s; uint64_t sequence; bool v2_only; } what[RECORDS] = {
    { WALL / 1000000000 + 172800, 0, false }, { WALL / 1000000000 + 172800, 7, true }, { WALL / 1000000000 - 3600, 3, true },
    { 253402300799, UINT64_MAX >> 1, true },  { -62135596800, 5, true },
  };
  if (keys[0]) return;
  for (unsigned i = 0; i < NAMES; i++) {
    uint8_t seed[32] = { (uint8_t)i, 9 };
    CHECK(msub_key_from_seed(seed, &keys[i]) == MSUB_OK);
    for (unsigned k = 0; k < RECORDS; k++) {
      const msub_ipns_new made = { .value = msub_str("/ipfs/bafkqaaa"), .eol = { what[k].ends_s, 0 }, .sequence = what[k].sequence, .ttl_ns = 60 * MSUB_SIM_S,
                                   .v2_only = what[k].v2_only };
      CHECK(msub_ipns_make(keys[i], &made, records[i][k].p, sizeof records[i][k].p, &records[i][k].n) == MSUB_OK);
    }
  }
  (void)atexit(free_keys);
}
static msub_bytes id_of(unsigned i) { return msub_key_peer_id(keys[i]); }

/* ---- the store ---- */

typedef struct world {
  msub_sim *sim;
  msub_store_memory *kept;
  msub_store store;
  msub_fetch *fetch;
  msub_names *names;
  fuzz_mem mem;
  unsigned flags;
  size_t rows;
  bool later; /* a row of wishes is of a later version */
} world;

static void put_row(world *w, msub_bytes key, msub_bytes value) {
  const msub_store_op op = { true, key, value };
  int rc = w->store.ops->submit(w->store.s, &op, 1, (msub_token){ 0 });
  CHECK(rc == MSUB_OK || (rc == MSUB_ERR_LIMIT && key.n > MSUB_STORE_KEY_MAX));
}

static size_t key_of(const char *table, msub_bytes name, uint8_t out[MSUB_STORE_KEY_MAX]) {
  size_t n = strlen(PREFIX), t = strlen(table);
  memcpy(out, PREFIX, n);
  memcpy(out + n, table, t);
  memcpy(out + n + t, name.p, name.n);
  return n + t + name.n;
}

/* Written apart from what reads it. */
static void checked_record(world *w, script *s, unsigned name) {
  char topic[MSUB_IPNS_TOPIC_TEXT];
  uint8_t key[MSUB_STORE_KEY_MAX], text[MSUB_IPNS_TOPIC_TEXT + 600], hash[32];
  size_t t = strlen(msub_ipns_topic(id_of(name), topic));
  unsigned which = byte(s) % RECORDS;
  uint8_t *value = text + t;
  memcpy(text, topic, t);
  value[0] = 1;
  for (unsigned i = 1; i < 10; i++) value[i] = byte(s);
  size_t n = records[name][which].n;
  memcpy(value + 10, records[name][which].p, n);
  for (unsigned patches = byte(s) % 16; patches; patches--) {
    uint32_t at = word(s);
    value[10 + at % n] = byte(s);
  }
  n -= byte(s) % (n + 1);
  msub_sha256((msub_bytes){ text, t + 10 + n }, hash);
  memcpy(value + 10 + n, hash, 8);
  put_row(w, (msub_bytes){ key, key_of("r/", msub_str(topic), key) }, (msub_bytes){ value, 10 + n + 8 });
}

static void read_row(world *w, script *s) {
  uint8_t head = byte(s), key[MSUB_STORE_KEY_MAX];
  char topic[MSUB_IPNS_TOPIC_TEXT];
  unsigned name = head >> 2 & 7;
  size_t key_n, n;
  uint8_t *any = NULL, *value = NULL;
  switch (head & 3) {
    case 0:
      any = block(s, &key_n);
      value = block(s, &n);
      put_row(w, (msub_bytes){ key, key_of("", (msub_bytes){ any, key_n }, key) }, (msub_bytes){ value, n });
      break;
    case 1:
      value = block(s, &n);
      put_row(w, (msub_bytes){ key, key_of("n/", id_of(name), key) }, (msub_bytes){ value, n });
      break;
    case 2:
      value = block(s, &n);
      put_row(w, (msub_bytes){ key, key_of("r/", msub_str(msub_ipns_topic(id_of(name), topic)), key) }, (msub_bytes){ value, n });
      break;
    default: checked_record(w, s, name);
  }
  free(any);
  free(value);
}

static bool look_at_row(void *ud, msub_bytes key, msub_bytes value) {
  world *w = ud;
  w->rows++;
  if (key.n >= 7 && memcmp(key.p, PREFIX "n/", 7) == 0 && value.n && value.p[0] > 1) w->later = true;
  return true;
}

/* ---- the node ---- */

static const msub_now *now_of(const world *w) { return msub_sim_now(w->sim, 0); }

static void durable(void *ud, msub_token token, int result) {
  const world *w = ud;
  CHECK(!w->names || token.v == 0 || msub_names_durable(w->names, token, result));
}

static void start(world *w) {
  const fuzz_mem before = w->mem;
  const msub_mem mem = { .ud = &w->mem, .alloc = fuzz_alloc, .free = fuzz_free };
  msub_names_opts o;
  CHECK(msub_fetch_new(&mem, msub_sim_exchange(w->sim, 0), &w->fetch) == MSUB_OK);
  msub_names_opts_init(&o);
  o.mem = &mem;
  o.engine = msub_sim_engine(w->sim, 0);
  o.fetch = w->fetch;
  o.store = w->store;
  o.names_of_peer = 2;
  if (w->flags & FEW) o.max_names = 3, o.max_subscribed = 2;
  w->rows = 0;
  w->later = false;
  CHECK(w->store.ops->iterate(w->store.s, msub_str(PREFIX), look_at_row, w) == MSUB_OK);
  int rc = msub_names_new(&o, now_of(w), &w->names);
  CHECK(rc == (w->later ? MSUB_ERR_MALFORMED : MSUB_OK) && (rc == MSUB_OK) == (w->names != NULL));
  if (rc != MSUB_OK) return;
  const msub_names_counts *c = msub_names_count(w->names);
  CHECK(w->mem.live - before.live <= 65536 + w->rows * 4096 && c->names <= w->rows && c->names <= o.max_names && c->subscribed <= o.max_subscribed);
  if (w->flags & OPEN) msub_names_keep_open(w->names, true);
}

static void stop(world *w) {
  msub_names *names = w->names;
  w->names = NULL;
  msub_names_free(names, now_of(w));
  msub_fetch_free(w->fetch);
  w->fetch = NULL;
}

/* Until there is nothing to do now. */
static void turns(world *w) {
  unsigned n = 0;
  for (; w->store.ops->next_deadline(w->store.s) <= now_of(w)->mono_ns || msub_names_next_deadline(w->names) <= now_of(w)->mono_ns; n++) {
    CHECK(n < TURNS);
    w->store.ops->turn(w->store.s, now_of(w));
    msub_names_turn(w->names, now_of(w));
  }
}
static void pass(world *w, uint64_t ns) {
  CHECK(msub_sim_run_for(w->sim, ns) == MSUB_OK);
  turns(w);
}

/* ---- what is shown ---- */

typedef struct shown {
  unsigned flags;
  bool has_record, goes; /* goes: nobody's wish, and its record has ended */
  uint8_t hash[32];
} shown;

static void check_view(const world *w, const msub_names_view *v) {
  msub_ipns_record r;
  CHECK(msub_peer_id_check(v->name) == MSUB_OK && v->flags < 32);
  CHECK(!(v->flags & MSUB_NAMES_KEPT_OPEN) || !(v->flags & (MSUB_NAMES_OWNED | MSUB_NAMES_FOLLOWED | MSUB_NAMES_KEPT)));
  if (!v->has_record) return;
  CHECK(msub_ipns_read(v->record.bytes, &r) == MSUB_IPNS_OK && r.sequence == v->record.sequence && msub_bytes_eq(r.value, v->record.value));
  CHECK(v->expired == (v->ends_ns < now_of(w)->wall_ns) && msub_names_fresh_ns(v, now_of(w)->wall_ns, DAY) <= (v->expired ? 0 : DAY));
}

static shown shown_of(world *w, unsigned name) {
  msub_names_view v;
  shown s = { 0 };
  int rc = msub_names_get(w->names, id_of(name), now_of(w)->wall_ns, &v);
  CHECK((rc == MSUB_OK || rc == MSUB_ERR_NOTFOUND) && (rc == MSUB_OK) == v.has_record && msub_bytes_eq(v.name, id_of(name)));
  check_view(w, &v);
  s.flags = v.flags & (MSUB_NAMES_FOLLOWED | MSUB_NAMES_KEPT | MSUB_NAMES_KEPT_OPEN);
  s.has_record = v.has_record;
  s.goes = s.flags == MSUB_NAMES_KEPT_OPEN && v.has_record && v.expired;
  if (v.has_record) msub_sha256(v.record.bytes, s.hash);
  return s;
}

typedef struct walk {
  const world *w;
  uint64_t names, with[5]; /* with: this bit of the flags */
} walk;
static bool each(void *ud, const msub_names_view *v) {
  walk *x = ud;
  check_view(x->w, v);
  x->names++;
  for (unsigned bit = 0; bit < 5; bit++) x->with[bit] += v->flags >> bit & 1;
  return true;
}
static void check_all(const world *w) {
  const msub_names_counts *c = msub_names_count(w->names);
  walk x = { .w = w };
  msub_names_iterate(w->names, 0, now_of(w)->wall_ns, each, &x);
  CHECK(x.names == c->names && x.with[0] == c->owned && x.with[1] == c->followed && x.with[2] == c->kept && x.with[3] == c->kept_open && x.with[4] == c->subscribed);
}

/* ---- what is done ---- */

typedef struct outcome {
  unsigned calls;
  int result;
  msub_names_end end;
  uint64_t sequence;
} outcome;
static void done(void *ud, int result, const msub_names_view *v) {
  outcome *o = ud;
  o->calls++;
  o->result = result;
  o->sequence = v ? v->record.sequence : 0;
}
static void resolved(void *ud, const msub_names_resolved *r) {
  outcome *o = ud;
  o->calls++;
  o->end = r->end;
}

/* No room, or a sequence at its end; else it is published, and better than what was there, whatever that is. */
static void publish(world *w, unsigned name) {
  msub_names_publish_opts p;
  outcome o = { 0 };
  char value[32];
  (void)snprintf(value, sizeof value, "/ipfs/bafkqaab-%u", name);
  msub_names_publish_opts_init(&p);
  p.value = msub_str(value);
  int rc = msub_names_publish(w->names, keys[name], &p, now_of(w), done, &o);
  CHECK(rc == MSUB_OK || rc == MSUB_ERR_LIMIT);
  if (rc != MSUB_OK) return;
  CHECK(o.calls == 0);
  turns(w);
  CHECK(o.calls == 1 && (o.result == MSUB_OK || w->flags & FULL));
  msub_names_view v;
  if (o.result != MSUB_OK) return;
  CHECK(msub_names_get(w->names, id_of(name), now_of(w)->wall_ns, &v) == MSUB_OK && v.durable && v.source == MSUB_NAMES_OWN && v.record.sequence == o.sequence);
  CHECK(msub_bytes_eq(v.record.value, p.value) && v.flags & MSUB_NAMES_FOLLOWED && !v.expired);
}

static void put(world *w, unsigned name) {
  uint8_t record[512];
  size_t n;
  outcome o = { 0 };
  msub_ipns_fault fault;
  const msub_ipns_new what = { .value = msub_str("/ipfs/bafkqaac"), .eol = msub_ipns_time_of(now_of(w)->wall_ns + (int64_t)DAY), .sequence = UINT64_C(1) << 62,
                               .ttl_ns = MSUB_IPNS_TTL_NS };
  CHECK(msub_ipns_make(keys[name], &what, record, sizeof record, &n) == MSUB_OK);
  const msub_bytes bytes = { record, n };
  int rc = msub_names_put(w->names, id_of(name), bytes, true, now_of(w), done, &o, &fault);
  CHECK((rc == MSUB_OK || rc == MSUB_ERR_LIMIT || rc == MSUB_ERR_MISMATCH) && fault == MSUB_IPNS_OK);
  if (rc != MSUB_OK) return;
  turns(w);
  msub_names_view v;
  CHECK(o.calls == 1 && (o.result == MSUB_OK || w->flags & FULL));
  CHECK(msub_names_get(w->names, id_of(name), now_of(w)->wall_ns, &v) == MSUB_OK && v.source == MSUB_NAMES_PUT && msub_bytes_eq(v.record.bytes, bytes));
}

static void wish(world *w, unsigned name, int (*fn)(msub_names *, msub_bytes, const msub_now *, msub_names_done, void *), unsigned flag) {
  outcome o = { 0 };
  int rc = fn(w->names, id_of(name), now_of(w), done, &o);
  CHECK(rc == MSUB_OK || rc == MSUB_ERR_LIMIT || (rc == MSUB_ERR_NOTFOUND && !flag));
  if (rc != MSUB_OK) return;
  turns(w);
  CHECK(o.calls == 1 && (o.result == MSUB_OK || w->flags & FULL) && (shown_of(w, name).flags & flag) == flag);
}

static void resolve(world *w, unsigned name) {
  outcome o = { 0 };
  msub_names_view v;
  int rc = msub_names_resolve(w->names, id_of(name), now_of(w)->mono_ns + MSUB_SIM_S, now_of(w), resolved, &o, &v, NULL);
  CHECK(rc == MSUB_OK || rc == MSUB_MORE || rc == MSUB_ERR_LIMIT);
  if (rc == MSUB_OK) CHECK(msub_bytes_eq(v.name, id_of(name)) && v.has_record && !v.expired);
  pass(w, 2 * MSUB_SIM_S);
  CHECK(o.calls == (rc == MSUB_MORE) && (rc != MSUB_MORE || o.end == MSUB_NAMES_END_NOBODY || o.end == MSUB_NAMES_END_EXPIRED));
}

/* After a kill there is what was told as durable, and nothing else. */
static void restart(world *w) {
  shown before[NAMES];
  msub_store_memory *after_kill;
  for (unsigned i = 0; i < NAMES; i++) before[i] = shown_of(w, i);
  CHECK(msub_store_memory_crashed(w->kept, &after_kill) == MSUB_OK);
  stop(w);
  msub_store_memory_free(w->kept);
  w->kept = after_kill;
  w->store = msub_store_memory_store(w->kept);
  w->store.ops->listen(w->store.s, durable, w);
  start(w);
  CHECK(w->names);
  turns(w);
  for (unsigned i = 0; i < NAMES && !(w->flags & (FEW | FULL)); i++) {
    shown after = shown_of(w, i);
    if (!before[i].goes) CHECK(after.flags == before[i].flags && after.has_record == before[i].has_record && memcmp(after.hash, before[i].hash, 32) == 0);
  }
}

static void work(world *w) {
  static const uint64_t waits[] = { 0, MSUB_SIM_S, 100 * MSUB_SIM_S, 3 * DAY, 400 * DAY };
  turns(w);
  check_all(w);
  for (unsigned i = 0; i < NAMES; i++) (void)shown_of(w, i);
  if (w->flags & FULL) msub_store_memory_fail(w->kept, 3, MSUB_ERR_IO);
  resolve(w, 0);
  publish(w, 1);
  put(w, 2);
  wish(w, 3, msub_names_follow, MSUB_NAMES_FOLLOWED);
  wish(w, 4, msub_names_keep, MSUB_NAMES_KEPT);
  wish(w, 5, msub_names_unkeep, 0);
  wish(w, 6, msub_names_unfollow, 0);
  int rc = msub_names_own(w->names, keys[7], now_of(w));
  CHECK(rc == MSUB_OK || rc == MSUB_ERR_LIMIT);
  if (rc == MSUB_OK) CHECK(msub_names_disown(w->names, id_of(7)) == MSUB_OK && msub_names_own(w->names, keys[7], now_of(w)) == MSUB_OK);
  turns(w);
  check_all(w);
  restart(w);
  check_all(w);
  rc = msub_names_own(w->names, keys[1], now_of(w));
  CHECK(rc == MSUB_OK || rc == MSUB_ERR_LIMIT);
  for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) pass(w, waits[i]);
  publish(w, 1);
  restart(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  script s = { data, data + size };
  world w = { .flags = byte(&s) };
  msub_sim_opts so;
  msub_sim_node_opts no;
  msub_store_memory_opts mo;
  uint32_t first;
  make_keys();
  const msub_sim_router router = { &msub_floodsub, NULL };
  msub_sim_opts_init(&so);
  so.start_wall_ns = w.flags & LATE ? WALL + INT64_C(3000) * (int64_t)DAY : WALL;
  msub_sim_node_opts_init(&no);
  no.routers = &router;
  no.n_routers = 1;
  CHECK(msub_sim_new(&so, &w.sim) == MSUB_OK && msub_sim_add(w.sim, &no, 1, &first) == MSUB_OK);
  msub_store_memory_opts_init(&mo);
  CHECK(msub_store_memory_new(&mo, now_of(&w), &w.kept) == MSUB_OK);
  w.store = msub_store_memory_store(w.kept);
  for (unsigned rows = 0; s.p < s.end && rows < ROWS; rows++) read_row(&w, &s);
  w.store.ops->listen(w.store.s, durable, &w);
  w.store.ops->turn(w.store.s, now_of(&w));
  start(&w);
  if (w.names) work(&w);
  stop(&w);
  CHECK(msub_sim_run_for(w.sim, 20 * MSUB_SIM_S) == MSUB_OK && msub_sim_free(w.sim) == MSUB_OK);
  msub_store_memory_free(w.kept);
  fuzz_mem_empty(&w.mem);
  return 0;
}
