/* Memory: every allocation of a scenario fails once; the seen set and its bounds; strings as indexes. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "engine_world.h"
#include "pubsub/engine.h"
#include "pubsub/intern.h"
#include "pubsub/seen.h"

static world w;
static uint8_t buf[4096];

static msub_verdict pend(void *ud, const msub_msg *m, msub_peer from, msub_token t, msub_job *job) {
  (void)ud, (void)m, (void)from, (void)job;
  ((world *)ud)->results[0].ticket = t.v;
  return MSUB_ACCEPT;
}

/* A life with everything in it; true: it came to its end without an error that a caller cannot see. */
static bool scenario(void) {
  msub_mem mem = world_mem(&w);
  if (world_try_start(&w, NULL, &mem) != MSUB_OK) return false;
  msub_topic t, u;
  if (msub_join(w.e, 0, msub_str("t"), NULL, NULL, &w.now, &t) != MSUB_OK) return false;
  (void)msub_join(w.e, 0, msub_str("u"), NULL, NULL, &w.now, &u);
  (void)msub_validator(w.e, t, pend, &w);
  msub_session s[6] = { { 0 } };
  for (uint8_t i = 0; i < 6; i++) {
    msub_peer_id id = world_peer_id((uint8_t)(i + 1));
    msub_session_opts o = { .peer_id = msub_peer_id_bytes(&id), .protocol = "/floodsub/1.0.0", .link = i };
    (void)msub_session_up(w.e, &o, &w.now, &s[i]);
    if (msub_session_peer(w.e, s[i]).v == 0) continue;
    world_subscribe(&w, s[i], "t", true);
    world_subscribe(&w, s[i], "elsewhere", true);
  }
  for (uint64_t k = 0; k < 8; k++) {
    size_t len = world_signed_rpc(buf, sizeof buf, 50, k, "t", msub_str("data"));
    for (unsigned i = 0; i < 3; i++)
      if (msub_session_peer(w.e, s[i]).v) world_receive(&w, s[i], (msub_bytes){ buf, len });
    if (k % 2) buf[len - 1] ^= 1, world_receive(&w, s[3], (msub_bytes){ buf, len });
    while (w.n_jobs) (void)world_run_job(&w, 0);
    (void)msub_publish(w.e, t, msub_str("own"), &w.now, NULL);
  }
  if (msub_session_peer(w.e, s[4]).v) world_receive(&w, s[4], msub_str("\x0e"));
  (void)msub_session_down(w.e, s[5], &w.now);
  w.now.mono_ns += UINT64_C(130000000000);
  (void)msub_advance(w.e, &w.now);
  (void)msub_leave(w.e, t, &w.now);
  return true;
}

Test(memory, every_allocation_fails_once) {
  unsigned failures = 0, whole = 0;
  for (size_t at = 1;; at++) {
    world_init(&w, 9);
    w.mem.fail_after = at;
    bool lived = scenario();
    bool failed = w.mem.fail_after == 0;
    failures += failed;
    whole += lived;
    if (w.e == NULL && w.sh == NULL) {
      msub_key_free(w.key);
      cr_assert(w.mem.live_blocks == 0, "allocation %zu: %zu blocks left", at, w.mem.live_blocks);
    } else {
      world_stop(&w); /* checks that nothing is left */
    }
    if (!failed) break;
  }
  cr_assert(failures > 50 && whole > 30, "%u failures", failures);
}

/* ---- the seen set ---- */

Test(memory, seen_set) {
  msub_mem mem = msub__mem_default();
  msub__seen s;
  uint64_t evicted = 0;
  msub__seen_init(&s, 1000, 1u << 20);
  for (uint64_t i = 1; i <= 200000; i++) cr_assert_eq(msub__seen_add(&s, &mem, i * 0x9e3779b97f4a7c15u, i % 3 ? MSUB__SEEN : MSUB__SEEN_INVALID, 0, &evicted), MSUB_OK);
  cr_assert(msub__seen_bytes(&s) <= (1u << 20) + 16384 && evicted == 200000 - msub__seen_count(&s), "%zu bytes", msub__seen_bytes(&s));
  cr_assert(msub__seen_count(&s) > 30000);
  cr_assert_eq(msub__seen_find(&s, 1 * 0x9e3779b97f4a7c15u, 1), MSUB__UNSEEN, "the oldest go first");
  cr_assert_eq(msub__seen_find(&s, 200000 * 0x9e3779b97f4a7c15u, 1), MSUB__SEEN);
  cr_assert_eq(msub__seen_find(&s, 199998 * 0x9e3779b97f4a7c15u, 1), MSUB__SEEN_INVALID);
  cr_assert_eq(msub__seen_find(&s, 200000 * 0x9e3779b97f4a7c15u, 1000), MSUB__UNSEEN);
  /* added again after its time, before it was swept */
  cr_assert_eq(msub__seen_add(&s, &mem, 200000 * 0x9e3779b97f4a7c15u, MSUB__SEEN, 1500, &evicted), MSUB_OK);
  cr_assert_eq(msub__seen_find(&s, 200000 * 0x9e3779b97f4a7c15u, 1600), MSUB__SEEN);
  cr_assert_eq(msub__seen_add(&s, &mem, 200000 * 0x9e3779b97f4a7c15u, MSUB__SEEN_ACCEPTED, 1550, &evicted), MSUB_OK);
  cr_assert_eq(msub__seen_add(&s, &mem, 200000 * 0x9e3779b97f4a7c15u, MSUB__SEEN_INVALID, 1550, &evicted), MSUB_OK);
  cr_assert_eq(msub__seen_find(&s, 200000 * 0x9e3779b97f4a7c15u, 1600), MSUB__SEEN_ACCEPTED, "accepted once is accepted");
  msub__seen_sweep(&s, &mem, 1600, 1000000);
  cr_assert(msub__seen_count(&s) == 1 && msub__seen_find(&s, 200000 * 0x9e3779b97f4a7c15u, 2499) == MSUB__SEEN_ACCEPTED, "for as long as before");
  msub__seen_sweep(&s, &mem, 2500, 1000000);
  cr_assert_eq(msub__seen_count(&s), 0);
  msub__seen_fini(&s, &mem);
  /* against a plain array, with random times */
  static uint64_t when[4096];
  memset(when, 0, sizeof when);
  msub__seen_init(&s, 5000, 1u << 24);
  uint64_t now = 1, x = 88172645463325252u;
  for (unsigned i = 0; i < 200000; i++) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    now += x % 7;
    unsigned k = (unsigned)(x >> 20) % 4096;
    bool want = when[k] && now < ((when[k] + 5000) & ~UINT64_C(3));
    uint64_t fp = (k + 1) * 0x9e3779b97f4a7c15u;
    cr_assert_eq(msub__seen_find(&s, fp, now) == MSUB__SEEN, want, "step %u", i);
    if (x & 1) {
      cr_assert_eq(msub__seen_add(&s, &mem, fp, MSUB__SEEN, now, &evicted), MSUB_OK);
      if (!want) when[k] = now;
    }
  }
  msub__seen_fini(&s, &mem);
}

Test(memory, interned_strings) {
  msub_mem mem = msub__mem_default();
  msub__hashkey key;
  static const uint8_t entropy[32] = { 3 };
  msub__hashkey_init(&key, entropy);
  msub__interns t;
  memset(&t, 0, sizeof t);
  char text[16];
  for (unsigned round = 0; round < 3; round++) {
    for (unsigned i = 0; i < 1000; i++) {
      snprintf(text, sizeof text, "%u", i);
      cr_assert_eq(msub__intern_find(&t, &key, msub_str(text)), 0);
      uint32_t a = msub__intern_hold(&t, &mem, &key, msub_str(text));
      cr_assert(a && msub__intern_hold(&t, &mem, &key, msub_str(text)) == a && msub__intern_find(&t, &key, msub_str(text)) == a);
      cr_assert(msub_bytes_eq(msub__intern_bytes(&t, a), msub_str(text)));
    }
    uint32_t empty = msub__intern_hold(&t, &mem, &key, msub_str(""));
    cr_assert(empty && msub__intern_find(&t, &key, msub_str("")) == empty && t.live == 1001 && t.n <= 1024);
    msub__intern_drop(&t, &mem, &key, empty);
    for (unsigned i = 0; i < 1000; i++) {
      snprintf(text, sizeof text, "%u", i);
      uint32_t a = msub__intern_find(&t, &key, msub_str(text));
      msub__intern_drop(&t, &mem, &key, a);
      cr_assert_eq(msub__intern_find(&t, &key, msub_str(text)), a);
      msub__intern_drop(&t, &mem, &key, a);
      cr_assert_eq(msub__intern_bytes(&t, a).n, 0);
    }
    cr_assert(t.live == 0 && t.bytes == 0);
  }
  msub__interns_fini(&t, &mem);
}

/* A list that is shared: the same bytes as copies, its ids in one place, alive as long as somebody needs it. */
Test(memory, shared_lists) {
  world_init(&w, 9);
  msub_mem mem = world_mem(&w);
  cr_assert_eq(world_try_start(&w, NULL, &mem), MSUB_OK);
  uint32_t name = msub__intern_hold(&w.sh->names, &w.sh->mem, &w.sh->key, msub_str("t"));
  const msub_bytes ids[3] = { msub_str("one"), msub_str("the second id"), msub_str("an id of more than sixteen bytes") };
  for (uint8_t kind = MSUB_C_IHAVE; kind <= MSUB_C_IWANT; kind++) {
    msub_ctl_entry graft = { .kind = MSUB_C_GRAFT, .topic_name = name }, list = { .kind = kind, .topic_name = name, .ids = ids, .n_ids = 3 };
    const msub_ctl *c = msub__ctl_shared(w.sh, &list);
    cr_assert(c && c->n == 1 && c->refs == 1 && c->e[0].of == c);
    const msub_ctl *alone = msub__ctl_new(w.sh, c->e, 1);
    cr_assert(alone == c && c->refs == 2, "alone it is itself");
    msub_ctl_drop(w.sh, alone);
    msub_ctl_entry with[3] = { graft, c->e[0], c->e[0] }, plain[3] = { graft, list, list };
    w.mem.fail_after = 1;
    cr_assert(!msub__ctl_new(w.sh, with, 3) && c->refs == 1, "without memory nothing is held");
    const msub_ctl *a = msub__ctl_new(w.sh, with, 3), *b = msub__ctl_new(w.sh, plain, 3);
    cr_assert(a && b && c->refs == 3 && a->wire_n == b->wire_n && memcmp(a->wire, b->wire, a->wire_n) == 0);
    cr_assert(a->e[1].ids == c->e[0].ids && b->e[1].ids != c->e[0].ids && !b->e[1].of);
    with[1].n_ids = 2; /* changed: it stands for itself */
    plain[1].n_ids = 2;
    const msub_ctl *cut = msub__ctl_new(w.sh, with, 2), *cut_plain = msub__ctl_new(w.sh, plain, 2);
    cr_assert(cut && cut_plain && !cut->e[1].of && cut->wire_n == cut_plain->wire_n && memcmp(cut->wire, cut_plain->wire, cut->wire_n) == 0);
    msub_ctl_drop(w.sh, c);
    cr_assert(msub_bytes_eq(a->e[2].ids[2], ids[2]), "what holds it keeps it");
    const msub_ctl *all[] = { a, b, cut, cut_plain };
    for (size_t i = 0; i < 4; i++) msub_ctl_drop(w.sh, all[i]);
    cr_assert_eq(w.sh->controls, 0);
  }
  msub__intern_drop(&w.sh->names, &w.sh->mem, &w.sh->key, name);
  world_stop(&w);
}
