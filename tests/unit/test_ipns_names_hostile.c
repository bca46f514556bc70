/* tests/unit/test_ipns_names_hostile.c: names: records that are none, peers that lie, and which record wins. */
#include "names_kit.h"

/* ---- what peers may do ---- */

/* A peer that serves whatever it likes under any key. */
static uint8_t lie[3 * MSUB_IPNS_RECORD_MAX];
static size_t lie_n;
static int lookup_lie(void *ud, msub_bytes peer_id, msub_bytes key, msub_bytes *value) {
  (void)ud, (void)peer_id, (void)key;
  *value = (msub_bytes){ lie, lie_n };
  return MSUB_OK;
}
static void tell_lie(msub_bytes b) { memcpy(lie, b.p, lie_n = b.n); }

static void liar_at_1(void) {
  begin(2);
  names_stop(&w, 1);
  names_run(&w, S);
  cr_assert_eq(msub_fetch_new(NULL, msub_sim_exchange(w.s, 1), &w.node[1].fetch), MSUB_OK);
  cr_assert_eq(msub_fetch_serve(w.node[1].fetch, NONE, lookup_lie, NULL), MSUB_OK);
  names_connect(&w, 0, 1);
  names_run(&w, S);
}
static void no_liar(void) {
  msub_fetch_free(w.node[1].fetch);
  names_world_stop(&w);
}
static msub_ipns_fault asked_the_liar(uint8_t key) {
  names_outcome o;
  msub_names_view v;
  cr_assert_eq(resolve(0, key, 200 * MS, &o), MSUB_MORE);
  names_run(&w, 300 * MS);
  cr_assert(o.calls == 1 && o.end == MSUB_NAMES_END_INVALID && o.asked == 1, "%s", msub_names_end_name((int)o.end));
  cr_assert_eq(get(0, key, &v), MSUB_ERR_NOTFOUND);
  return o.fault;
}

/* P-01, P-03, P-06: what comes back is judged by the name that was asked for, before anything is done with it. */
Test(ipns_names, P_06_answers_of_a_liar) {
  liar_at_1();
  tell_lie(names_record(&w, 2, "/ipfs/valid for another", 0, DAY_NS));
  cr_assert_eq(asked_the_liar(1), MSUB_IPNS_SIGNATURE);
  msub_bytes good = names_record(&w, 1, "/ipfs/v", 3, DAY_NS);
  tell_lie(good);
  lie[lie_n - 20] ^= 1;
  cr_assert(asked_the_liar(1) != MSUB_IPNS_OK);
  tell_lie(good);
  lie_n = MSUB_IPNS_RECORD_MAX + 1;
  cr_assert_eq(asked_the_liar(1), MSUB_IPNS_TOO_LARGE);
  lie_n = sizeof lie;
  cr_assert_eq(asked_the_liar(1), MSUB_IPNS_TOO_LARGE);
  memset(lie, 0xff, lie_n = 100);
  cr_assert_eq(asked_the_liar(1), MSUB_IPNS_BAD_PROTOBUF);
  names_outcome o;
  lie_n = 0; /* an empty answer is none */
  cr_assert_eq(resolve(0, 1, 200 * MS, &o), MSUB_MORE);
  names_run(&w, 300 * MS);
  cr_assert_eq(o.end, MSUB_NAMES_END_NOTHING);
  tell_lie(names_record(&w, 1, "/ipfs/v", 3, -1000000000));
  cr_assert_eq(resolve(0, 1, 200 * MS, &o), MSUB_MORE);
  names_run(&w, 300 * MS);
  cr_assert(o.end == MSUB_NAMES_END_NOTHING && count(0)->fetched_expired == 1);
  cr_assert_eq(count(0)->fetched_invalid, 5);
  no_liar();
}

/* P-01, P-03, P-05 for puts: each has its own word, and nothing of it is kept. */
Test(ipns_names, P_05_bad_puts) {
  begin(1);
  msub_ipns_fault f;
  msub_names_view v;
  uint8_t copy[MSUB_IPNS_RECORD_MAX + 1] = { 0 };
  msub_bytes good = names_record(&w, 1, "/ipfs/v", 3, DAY_NS);
  memcpy(copy, good.p, good.n);
  for (size_t i = 0; i < good.n * 8; i++) { /* each bit */
    copy[i / 8] ^= (uint8_t)(1 << i % 8);
    int rc = put(0, 1, (msub_bytes){ copy, good.n }, false, &f);
    cr_assert(rc == MSUB_ERR_MALFORMED && f != MSUB_IPNS_OK, "bit %zu: %d, %s", i, rc, msub_ipns_fault_name(f));
    copy[i / 8] ^= (uint8_t)(1 << i % 8);
  }
  cr_assert(put(0, 1, (msub_bytes){ copy, sizeof copy }, false, &f) == MSUB_ERR_MALFORMED && f == MSUB_IPNS_TOO_LARGE);
  cr_assert(put(0, 2, good, false, &f) == MSUB_ERR_MALFORMED && f == MSUB_IPNS_SIGNATURE, "of another name");
  cr_assert(put(0, 1, NONE, false, &f) == MSUB_ERR_MALFORMED);
  cr_assert(msub_names_put(w.node[0].n, msub_str("/ipns/x"), good, false, names_now(&w, 0), NULL, NULL, &f) == MSUB_ERR_MALFORMED && f == MSUB_IPNS_BAD_NAME);
  cr_assert(msub_names_put(w.node[0].n, NONE, good, false, names_now(&w, 0), NULL, NULL, &f) == MSUB_ERR_MALFORMED && f == MSUB_IPNS_BAD_NAME);
  cr_assert(put(0, 1, names_record(&w, 1, "/ipfs/v", 3, -1000000000), false, &f) == MSUB_ERR_TIMEOUT && f == MSUB_IPNS_EXPIRED);
  cr_assert(count(0)->names == 0 && get(0, 1, &v) == MSUB_ERR_NOTFOUND);
  names_outcome o[2] = { { 0 } };
  cr_assert_eq(msub_names_put(w.node[0].n, names_id(1), names_record(&w, 1, "/ipfs/v", 3, DAY_NS), true, names_now(&w, 0), names_done, &o[0], &f), MSUB_OK);
  names_run(&w, 10 * MS);
  cr_assert(o[0].calls == 1 && o[0].durable && o[0].source == MSUB_NAMES_PUT);
  cr_assert(put(0, 1, names_record(&w, 1, "/ipfs/w", 2, DAY_NS), true, &f) == MSUB_ERR_MISMATCH && f == MSUB_IPNS_OK, "older than the one kept");
  names_world_stop(&w);
}

static void fetched(void *ud, int result, msub_bytes value) {
  names_outcome *o = ud;
  (void)value;
  o->calls++;
  o->result = result;
}
/* Fields for old readers prove nothing, and must not say anything else than what is signed. */
Test(ipns_names, P_02_old_fields) {
  begin(1);
  msub_ipns_fault f;
  uint8_t full[MSUB_IPNS_RECORD_MAX], copy[MSUB_IPNS_RECORD_MAX];
  size_t n;
  msub_ipns_new what = { .value = msub_str("/ipfs/v"), .sequence = 5, .eol = msub_ipns_time_of(names_now(&w, 0)->wall_ns + DAY_NS), .ttl_ns = 7 };
  cr_assert_eq(msub_ipns_make(names_key(1), &what, full, sizeof full, &n), MSUB_OK);
  /* Each field alone: its last byte is another one; the data is left as it is. */
  unsigned tried = 0;
  for (size_t at = 0; at < n;) {
    unsigned number = full[at] >> 3, type = full[at] & 7;
    size_t end = at + 1;
    if (type == 2) {
      size_t len = full[end] & 0x7f;
      if (full[end++] & 0x80) len |= (size_t)full[end++] << 7;
      end += len;
    } else {
      while (full[end] & 0x80) end++;
      end++;
    }
    memcpy(copy, full, n);
    copy[end - 1] ^= 1;
    bool counts = number == 1 || (number >= 3 && number <= 6);
    if (counts) {
      tried++;
      cr_assert(put(0, 1, (msub_bytes){ copy, n }, false, &f) == MSUB_ERR_MALFORMED && f == MSUB_IPNS_V1_V2_MISMATCH, "field %u: %s", number, msub_ipns_fault_name(f));
    }
    /* Without data, or without its signature, it is nothing, however good the old signature. */
    if (number >= 8) {
      memcpy(copy, full, at);
      memcpy(copy + at, full + end, n - end);
      cr_assert(put(0, 1, (msub_bytes){ copy, n - (end - at) }, false, &f) == MSUB_ERR_MALFORMED, "%u", number);
      cr_assert_eq(f, number == 8 ? MSUB_IPNS_MISSING_SIGNATURE : MSUB_IPNS_MISSING_DATA);
    }
    at = end;
  }
  cr_assert_eq(tried, 5);
  cr_assert_eq(put(0, 1, (msub_bytes){ full, n }, false, &f), MSUB_OK);
  cr_assert_eq(put(0, 2, names_record(&w, 2, "/ipfs/v", 5, DAY_NS), false, &f), MSUB_OK, "without them it is good");
  names_world_stop(&w);
}

/* 10,240 bytes, and one more or less, by put and by fetch. */
Test(ipns_names, P_03_sizes) {
  static char value[MSUB_IPNS_RECORD_MAX];
  static uint8_t out[MSUB_IPNS_RECORD_MAX + 1];
  liar_at_1();
  for (int over = -1; over <= 1; over++) {
    msub_ipns_fault f;
    size_t n = 0, want = (size_t)((int)MSUB_IPNS_RECORD_MAX + over), value_n = 10000;
    memset(value, 'x', sizeof value);
    uint8_t key = (uint8_t)(10 + over);
    msub_ipns_new what = { .eol = msub_ipns_time_of(names_now(&w, 0)->wall_ns + DAY_NS), .v2_only = true };
    for (unsigned k = 0; n != (over > 0 ? want - 1 : want); k++) {
      cr_assert_lt(k, 10);
      what.value = (msub_bytes){ (const uint8_t *)value, value_n };
      cr_assert_eq(msub_ipns_make(names_key(key), &what, out, MSUB_IPNS_RECORD_MAX, &n), MSUB_OK);
      value_n += (over > 0 ? want - 1 : want) - n;
    }
    if (over > 0) { /* an unknown field makes it larger, and is no fault as such */
      value_n -= 2;
      what.value.n = value_n;
      cr_assert_eq(msub_ipns_make(names_key(key), &what, out, MSUB_IPNS_RECORD_MAX, &n), MSUB_OK);
      out[n] = 15 << 3;
      out[n + 1] = 0x80;
      out[n + 2] = 0;
      n += 3;
    }
    cr_assert_eq(n, want);
    cr_assert_eq(put(0, key, (msub_bytes){ out, n }, false, &f), over > 0 ? MSUB_ERR_MALFORMED : MSUB_OK, "%+d: %s", over, msub_ipns_fault_name(f));
    if (over > 0) cr_assert_eq(f, MSUB_IPNS_TOO_LARGE);
    tell_lie((msub_bytes){ out, n });
    names_outcome o;
    msub_names_view v;
    int rc = resolve(0, key, 200 * MS, &o);
    names_run(&w, 300 * MS);
    if (over > 0) cr_assert(o.end == MSUB_NAMES_END_INVALID && o.fault == MSUB_IPNS_TOO_LARGE && get(0, key, &v) == MSUB_ERR_NOTFOUND);
    else cr_assert(rc == MSUB_OK && get(0, key, &v) == MSUB_OK && v.record.bytes.n == n);
  }
  no_liar();
}

/* Keys that are no names are answered by NOT_FOUND, whatever they look like. */
Test(ipns_names, P_05_keys_of_other_kinds) {
  begin(2);
  names_connect(&w, 1, 0);
  cr_assert_eq(put(0, 1, names_record(&w, 1, "/ipfs/v", 3, DAY_NS), false, NULL), MSUB_OK);
  names_run(&w, S);
  uint8_t key[MSUB_IPNS_KEY_MAX + 1];
  size_t n = msub_ipns_key(names_id(1), key);
  struct { msub_bytes key; int want; } cases[] = {
    { { key, n }, MSUB_OK }, { { key, n - 1 }, MSUB_ERR_NOTFOUND }, { { key, n + 1 }, MSUB_ERR_NOTFOUND }, { { key, 6 }, MSUB_ERR_NOTFOUND }, { { key, 1 }, MSUB_ERR_NOTFOUND },
    { { key + 6, n - 6 }, MSUB_ERR_NOTFOUND }, { msub_str("/pk/x"), MSUB_ERR_NOTFOUND }, { msub_str("foo"), MSUB_ERR_NOTFOUND }, { msub_str("/ipns/"), MSUB_ERR_NOTFOUND }
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    names_outcome o = { 0 };
    key[n] = 1;
    cr_assert_eq(msub_fetch_get(w.node[1].fetch, msub_sim_id(w.s, 0), cases[i].key, msub_sim_time(w.s) + S, fetched, &o, NULL), MSUB_OK);
    names_run(&w, 200 * MS);
    cr_assert(o.calls == 1 && o.result == cases[i].want, "%zu: %d", i, o.result);
  }
  cr_assert(count(0)->served == 1);
  names_world_stop(&w);
}
/* An old record is not taken, here or after a restart, even when the newest has expired. */
Test(ipns_names, P_12_no_roll_back) {
  begin(2);
  names_connect(&w, 0, 1);
  cr_assert_eq(msub_names_follow(w.node[0].n, names_id(1), names_now(&w, 0), NULL, NULL), MSUB_OK);
  names_run(&w, S);
  cr_assert_eq(put(0, 1, names_record(&w, 1, "/ipfs/new", 9, 2 * (int64_t)S), true, NULL), MSUB_OK);
  names_run(&w, S);
  for (unsigned round = 0; round < 2; round++) {
    cr_assert_eq(put(0, 1, names_record(&w, 1, "/ipfs/old", 8, DAY_NS), true, NULL), MSUB_ERR_MISMATCH);
    cr_assert_eq(put(1, 1, names_record(&w, 1, "/ipfs/old", 8 - round, DAY_NS), true, NULL), round ? MSUB_ERR_MISMATCH : MSUB_OK, "this one never saw the new one");
    names_run(&w, 3 * S); /* by then it has expired */
    msub_names_view v;
    cr_assert(get(0, 1, &v) == MSUB_OK && v.record.sequence == 9 && v.expired, "%llu", (unsigned long long)v.record.sequence);
    if (round == 0) names_crash(&w, 0);
    names_connect(&w, 0, 1);
    names_run(&w, S);
  }
  names_outcome o;
  cr_assert_eq(resolve(0, 1, 200 * MS, &o), MSUB_MORE);
  names_run(&w, S);
  cr_assert_eq(o.end, MSUB_NAMES_END_EXPIRED, "rather than the old one");
  names_world_stop(&w);
}

/* A TTL is a hint of the owner's: it never makes an answer live longer than its record, or than the reader lets it. */
Test(ipns_names, P_04_time_to_live) {
  begin(1);
  msub_names_view v;
  static const struct { uint64_t ttl, most; int64_t ends_in, after; uint64_t want; } cases[] = {
    { 300000000000, UINT64_MAX, DAY_NS, 0, 300000000000 },
    { 300000000000, 60000000000, DAY_NS, 0, 60000000000 },
    { INT64_MAX, UINT64_MAX, DAY_NS, 0, 86400000000000 },
    { INT64_MAX, UINT64_MAX, DAY_NS, DAY_NS - 1, 1 },
    { INT64_MAX, UINT64_MAX, DAY_NS, DAY_NS, 0 },
    { INT64_MAX, UINT64_MAX, DAY_NS, DAY_NS + 1, 0 },
    { 0, UINT64_MAX, DAY_NS, 0, 0 },
  };
  int64_t now = names_now(&w, 0)->wall_ns;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    msub_names_publish_opts p;
    msub_names_publish_opts_init(&p);
    p.value = msub_str("/ipfs/v");
    p.ttl_ns = cases[i].ttl;
    p.lifetime_ns = (uint64_t)cases[i].ends_in;
    cr_assert_eq(msub_names_publish(w.node[0].n, names_key((uint8_t)(i + 1)), &p, names_now(&w, 0), NULL, NULL), MSUB_OK);
    int64_t at = names_now(&w, 0)->wall_ns;
    names_run(&w, 10 * MS);
    cr_assert_eq(get(0, (uint8_t)(i + 1), &v), MSUB_OK);
    cr_assert_eq(msub_names_fresh_ns(&v, at + cases[i].after, cases[i].most), cases[i].want, "%zu", i);
  }
  msub_names_publish_opts p;
  msub_names_publish_opts_init(&p);
  p.value = msub_str("/ipfs/v");
  p.ttl_ns = UINT64_C(1) << 63;
  cr_assert_eq(msub_names_publish(w.node[0].n, names_key(99), &p, names_now(&w, 0), NULL, NULL), MSUB_ERR_INVAL);
  v = (msub_names_view){ .has_record = false };
  cr_assert_eq(msub_names_fresh_ns(&v, now, UINT64_MAX), 0);
  v = (msub_names_view){ .has_record = true, .ends_ns = INT64_MAX, .record = { .ttl_ns = UINT64_MAX } };
  cr_assert_eq(msub_names_fresh_ns(&v, INT64_MIN, 5), 5);
  names_world_stop(&w);
}

/* The order is total: whatever comes first, all have the same in the end. */
Test(ipns_names, P_13_order) {
  static const struct { const char *value; uint64_t sequence; int64_t ends; } r[] = {
    { "/ipfs/a", 1, DAY_NS }, { "/ipfs/b", 1, DAY_NS }, { "/ipfs/c", 1, 2 * DAY_NS }, { "/ipfs/d", 2, DAY_NS / 2 }, { "/ipfs/e", 2, DAY_NS / 2 }
  };
  uint64_t rng = 1;
  char first[64] = "";
  for (unsigned round = 0; round < 12; round++) {
    begin(1);
    unsigned order[5] = { 0, 1, 2, 3, 4 };
    for (unsigned i = 4; i > 0; i--) {
      rng = rng * 6364136223846793005u + 1442695040888963407u;
      unsigned k = (unsigned)(rng >> 33) % (i + 1), t = order[i];
      order[i] = order[k];
      order[k] = t;
    }
    for (unsigned i = 0; i < 5; i++) (void)put(0, 1, names_record(&w, 1, r[order[i]].value, r[order[i]].sequence, r[order[i]].ends), false, NULL);
    msub_names_view v;
    cr_assert(get(0, 1, &v) == MSUB_OK && v.record.sequence == 2);
    if (!round) memcpy(first, v.record.value.p, v.record.value.n);
    cr_assert(memcmp(first, v.record.value.p, v.record.value.n) == 0, "%u", round);
    names_run(&w, S);
    cr_assert(w.node[0].alarms[MSUB_NAMES_EQUIVOCATION] > 0 && count(0)->equivocations == w.node[0].alarms[MSUB_NAMES_EQUIVOCATION]);
    names_world_stop(&w);
  }
}

/* Far ends are cut, jumps and contradictions are reported. */
Test(ipns_names, P_13_bounds) {
  names_world_init(&w);
  for (uint32_t i = 0; i < 2; i++) w.node[i].o.most_life_ns = 2 * HOUR;
  names_world_start(&w, 2);
  w.step = 10 * MS;
  names_connect(&w, 0, 1);
  names_run(&w, S);
  cr_assert_eq(put(0, 1, names_record(&w, 1, "/ipfs/far", 0, 200 * 365 * DAY_NS), true, NULL), MSUB_OK);
  names_run(&w, S);
  msub_names_view v;
  int64_t now = names_now(&w, 0)->wall_ns;
  cr_assert(get(0, 1, &v) == MSUB_OK && !v.expired && v.ends_ns <= now + (int64_t)(2 * HOUR) && v.ends_ns > now + (int64_t)HOUR);
  cr_assert(w.node[0].alarms[MSUB_NAMES_FAR_END] == 1 && count(0)->far_ends == 1);
  names_outcome o;
  cr_assert_eq(resolve(1, 1, S, &o), MSUB_MORE);
  names_run(&w, S);
  cr_assert_eq(o.end, MSUB_NAMES_END_FOUND, "it is passed on as it is");
  w.step = 10 * S;
  names_run(&w, 3 * HOUR);
  cr_assert(get(0, 1, &v) == MSUB_OK && v.expired, "and believed for two hours");
  w.step = 10 * MS;
  cr_assert_eq(put(0, 2, names_record(&w, 2, "/ipfs/a", 0, (int64_t)HOUR), true, NULL), MSUB_OK);
  cr_assert_eq(put(0, 2, names_record(&w, 2, "/ipfs/b", UINT64_C(1) << 32, (int64_t)HOUR), true, NULL), MSUB_OK);
  cr_assert_eq(count(0)->jumps, 0, "2^32 is no jump yet");
  cr_assert_eq(put(0, 2, names_record(&w, 2, "/ipfs/c", (UINT64_C(1) << 33) + 1, (int64_t)HOUR), true, NULL), MSUB_OK);
  cr_assert(count(0)->jumps == 1 && w.node[0].alarms[MSUB_NAMES_SEQUENCE_JUMP] == 1);
  cr_assert_eq(count(0)->equivocations, 0);
  (void)put(0, 2, names_record(&w, 2, "/ipfs/d", (UINT64_C(1) << 33) + 1, (int64_t)HOUR / 2), true, NULL);
  cr_assert(count(0)->equivocations == 1 && w.node[0].alarms[MSUB_NAMES_EQUIVOCATION] == 1);
  /* Renewed is not contradicted. */
  cr_assert_eq(put(0, 2, names_record(&w, 2, "/ipfs/c", (UINT64_C(1) << 33) + 1, (int64_t)HOUR + 5), true, NULL), MSUB_OK);
  cr_assert_eq(count(0)->equivocations, 1);
  names_world_stop(&w);
}
