/* gossipsub's gater: what it counts of whom, whom it hears, how long it remembers, and its bounds. Exact numbers: vectors.go-gater. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/deadline.h"
#include "gossipsub_world.h"
#include "routers/gossipsub/limits.h"

#define SEC (1000 * MS)
#define HOUR (3600 * SEC)

static msub_topic t;
static msub_token pending[64];
static size_t n_pending;

/* The verdict is the data's first letter. */
static msub_verdict judge(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job) {
  (void)ud, (void)from, (void)job;
  switch (msub_data(m).p[0]) {
  case 'r': return MSUB_REJECT;
  case 'i': return MSUB_IGNORE;
  case 't': return MSUB_THROTTLED;
  case 'p': pending[n_pending++ % 64] = token; return MSUB_PENDING;
  default: return MSUB_ACCEPT;
  }
}

static void setup(void) {
  gs_init();
  o.gater.on = true;
  n_pending = 0;
}
static void start(void) {
  gs_start();
  cr_assert_eq(msub_validator(w.e, (msub_topic){ 0 }, judge, NULL), MSUB_OK);
  t = world_join(&w, "t", &gs_ids);
}
static void done(void) { world_stop(&w); }

static msub_session up_at(uint8_t seed, const char *address, size_t n) {
  msub_peer_id id = world_peer_id(seed);
  msub_session_opts so = { .peer_id = msub_peer_id_bytes(&id), .protocol = V12, .link = seed, .agreed = true,
                           .address = { (const uint8_t *)address, n } };
  cr_assert_eq(msub_session_up(w.e, &so, &w.now, &gs_peer[seed]), MSUB_OK);
  return gs_peer[seed];
}
#define UP(seed, address) up_at(seed, address, sizeof(address) - 1)
#define MOVE(seed, address) \
  cr_assert_eq(msub_session_address(w.e, gs_peer[seed], (msub_bytes){ (const uint8_t *)(address), sizeof(address) - 1 }, &w.now), MSUB_OK)

static int ask(uint8_t seed, msub_gossipsub_gate *g) {
  static msub_peer_id id;
  id = world_peer_id(seed);
  *g = (msub_gossipsub_gate){ .peer = msub_peer_id_bytes(&id) };
  return msub_command(w.e, 0, MSUB_GOSSIPSUB_GATE, &g, sizeof g, &w.now);
}
static msub_gossipsub_gate gate(uint8_t seed) {
  msub_gossipsub_gate g;
  cr_assert_eq(ask(seed, &g), MSUB_OK);
  return g;
}
static bool is(double a, double b) { return fabs(a - b) < 1e-9; }
#define COUNTERS(seed, d, c, i, r)                                                                                          \
  do {                                                                                                                      \
    msub_gossipsub_gate g_ = gate(seed);                                                                                     \
    cr_assert(is(g_.delivered, d) && is(g_.duplicates, c) && is(g_.ignored, i) && is(g_.rejected, r), "%g %g %g %g", g_.delivered, \
              g_.duplicates, g_.ignored, g_.rejected);                                                                       \
  } while (0)
static unsigned number;
static void says(uint8_t seed, char what) {
  char id[16];
  snprintf(id, sizeof id, "%c%u", what, number++);
  gs_message(gs_peer[seed], "t", id, 9);
}

Test(gater, options) {
  static const msub_gossipsub_topic_weight fine[] = { { { (const uint8_t *)"t", 1 }, 0 }, { { (const uint8_t *)"u", 1 }, 2.5 } };
  static const msub_gossipsub_topic_weight bad[] = { { { (const uint8_t *)"t", 1 }, -1 }, { { (const uint8_t *)"t", 1 }, NAN },
                                                     { { (const uint8_t *)"t", 1 }, INFINITY }, { { NULL, 0 }, 1 } };
  static msub_gossipsub_topic_weight many[MSUB__GS_GATER_TOPICS + 1];
  for (size_t i = 0; i < MSUB__GS_GATER_TOPICS + 1; i++) many[i] = fine[0];
  msub_gossipsub_opts p;
  msub_gossipsub_opts_init(&p);
  cr_assert(!p.gater.on && is(p.gater.threshold, 0.33) && is(p.gater.reject_weight, 16) && p.gater.retain_ns == 6 * HOUR);
  p.gater.on = true;
  cr_assert_null(msub_gossipsub_opts_fault(&p));
#define CHECK(change, text)                                                                            \
  do {                                                                                                 \
    msub_gossipsub_opts_init(&p);                                                                      \
    p.gater.on = true;                                                                                 \
    p.gater.change;                                                                                    \
    char where[96] = "";                                                                               \
    const char *why = msub_gossipsub_opts_fault(&p);                                                   \
    cr_assert_eq(msub_gossipsub_gater_fault(&p.gater, NULL), why);                                     \
    cr_assert_eq(msub_gossipsub_gater_fault(&p.gater, where), why);                                    \
    cr_assert(!why || strncmp(why, "gater: ", 7) == 0);                                                \
    if ((text)[0]) cr_assert(strstr(where, text), "%s: %s", #change, where);                           \
    if ((text)[0]) cr_assert(why && strstr(why, strchr(text, '.') + 1), "%s: %s", #change, why ? why : "no fault"); \
    else cr_assert(!why, "%s: %s", #change, why);                                                      \
    p.gater.on = false;                                                                                \
    cr_assert_null(msub_gossipsub_opts_fault(&p), "off: nobody looks");                                \
  } while (0)
#define CHECK_ALL(field)                                                              \
  do {                                                                                \
    CHECK(field = NAN, "gater." #field);                                              \
    CHECK(field = INFINITY, "gater." #field);                                         \
    CHECK(field = -INFINITY, "gater." #field);                                        \
    CHECK(field = -1, "gater." #field);                                               \
    CHECK(field = 0, "gater." #field);                                                \
  } while (0)
  CHECK_ALL(threshold);
  CHECK_ALL(global_decay);
  CHECK_ALL(source_decay);
  CHECK_ALL(decay_to_zero);
  CHECK_ALL(duplicate_weight);
  CHECK_ALL(ignore_weight);
  CHECK_ALL(reject_weight);
  CHECK(threshold = 2, "");
  CHECK(global_decay = 1, "gater.global_decay");
  CHECK(source_decay = 1, "gater.source_decay");
  CHECK(decay_to_zero = 1, "gater.decay_to_zero");
  CHECK(global_decay = 0.999999, "");
  CHECK(decay_to_zero = 1e-300, "");
  CHECK(duplicate_weight = 1e-300, "");
  CHECK(ignore_weight = 0.99, "gater.ignore_weight");
  CHECK(reject_weight = 0.99, "gater.reject_weight");
  CHECK(reject_weight = 1, "");
  CHECK(decay_interval_ns = SEC - 1, "gater.decay_interval_ns");
  CHECK(decay_interval_ns = UINT64_MAX, "");
  CHECK(quiet_ns = SEC - 1, "gater.quiet_ns");
  CHECK(quiet_ns = SEC, "");
  CHECK(retain_ns = 0, "");
  CHECK(n_topics = 1, "gater.n_topics");
  CHECK(n_topics = 2; p.gater.topics = fine, "");
  for (size_t i = 0; i < 4; i++) CHECK(n_topics = 1; p.gater.topics = &bad[i], "gater.topics");
  char where[96];
  p.gater.on = true;
  p.gater.n_topics = 0;
  p.gater.threshold = -1.5;
  cr_assert_str_eq(msub_gossipsub_gater_fault(&p.gater, where), "gater: threshold > 0");
  cr_assert_str_eq(where, "gater.threshold -1.5");
  for (int d = -1; d <= 1; d++) {
    msub_gossipsub_opts_init(&p);
    p.gater.on = true;
    p.gater.topics = many;
    p.gater.n_topics = (size_t)((int)MSUB__GS_GATER_TOPICS + d);
    cr_assert_eq(!msub_gossipsub_opts_fault(&p), d <= 0);
  }
  setup();
  o.gater.threshold = NAN;
  msub_mem mem = world_mem(&w);
  cr_assert_eq(world_try_start(&w, &msub_gossipsub, &mem), MSUB_ERR_INVAL);
  done();
}

Test(gater, off) {
  gs_init();
  start();
  UP(1, "\x0a\0\0\1");
  msub_gossipsub_gate g;
  cr_assert_eq(ask(1, &g), MSUB_ERR_UNSUPPORTED);
  for (unsigned i = 0; i < 100; i++) says(1, i % 2 ? 't' : 'r');
  cr_assert_eq(msub_count(w.e)->unheard, 0);
  done();
}

/* By address, not by peer; who sent a copy is charged with a copy, whatever the message was worth. */
Test(gater, counters) {
  setup();
  start();
  UP(1, "\x0a\0\0\1");
  UP(2, "\x0a\0\0\1");
  UP(3, "\x0a\0\0\2");
  msub_gossipsub_gate g;
  cr_assert_eq(ask(9, &g), MSUB_ERR_NOTFOUND);
  cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_GATE, &g, 3, &w.now), MSUB_ERR_INVAL);
  says(1, 'a');
  says(2, 'a');
  says(3, 'r');
  says(3, 'i');
  says(1, 't');
  COUNTERS(1, 2, 0, 0, 0);
  COUNTERS(2, 2, 0, 0, 0);
  COUNTERS(3, 0, 0, 1, 1);
  g = gate(1);
  cr_assert(is(g.validated, 5) && is(g.throttled, 1) && g.sessions == 2 && g.addresses == 2);
  for (unsigned i = 0; i < 3; i++) gs_message(gs_peer[3], "t", "again", 9);
  COUNTERS(3, 1, 2, 1, 1);
  for (unsigned i = 0; i < 3; i++) gs_message(gs_peer[3], "t", "rejected", 9);
  COUNTERS(3, 1, 4, 1, 2);
  /* copies while it is judged */
  gs_message(gs_peer[1], "t", "pending", 9);
  gs_message(gs_peer[3], "t", "pending", 9);
  COUNTERS(3, 1, 4, 1, 2);
  cr_assert_eq(msub_complete(w.e, pending[0], MSUB_REJECT, &w.now), MSUB_OK);
  COUNTERS(1, 2, 0, 0, 1);
  COUNTERS(3, 1, 5, 1, 2);
  /* refused before anything began: no author there, no id; no room */
  static uint8_t buf[256];
  size_t n = world_signed_rpc(buf, sizeof buf, 7, 1, "t", msub_str("signed"));
  world_receive(&w, gs_peer[3], (msub_bytes){ buf, n });
  COUNTERS(3, 1, 5, 1, 3);
  gs_message(gs_peer[3], "t", "\0", 9);
  COUNTERS(3, 1, 5, 2, 3);
  /* own ones: what is begun counts, nobody is charged */
  double before = gate(1).validated;
  gs_publish(t, "a own", 9);
  gs_publish(t, "r own", 9);
  cr_assert(is(gate(1).validated, before + 2) && is(gate(1).throttled, 1));
  gs_publish(t, "t own", 9);
  cr_assert(is(gate(1).throttled, 2));
  COUNTERS(1, 2, 0, 0, 1);
  /* a topic that nobody here joined */
  gs_message(gs_peer[1], "u", "elsewhere", 9);
  COUNTERS(1, 2, 0, 0, 1);
  done();
}

/* What is not a peer's fault is not charged: a validator that never answers is one more message without room, a topic that is left nothing. */
Test(gater, nobodys_fault) {
  setup();
  w.opts.validate_timeout_ns = 2 * SEC;
  start();
  UP(1, "\x0a\0\0\1");
  says(1, 'p');
  gs_until(3000);
  cr_assert_eq(msub_count_reason(w.e, MSUB_R_TIMEOUT), 1);
  COUNTERS(1, 0, 0, 0, 0);
  cr_assert(gate(1).throttled > 0.9);
  double before = gate(1).throttled;
  says(1, 'p');
  msub_leave(w.e, t, &w.now);
  COUNTERS(1, 0, 0, 0, 0);
  cr_assert(is(gate(1).throttled, before));
  done();
}

Test(gater, topic_weights) {
  static const msub_gossipsub_topic_weight weights[] = { { { (const uint8_t *)"u", 1 }, 2.5 }, { { (const uint8_t *)"v", 1 }, 0 },
                                                         { { (const uint8_t *)"t", 1 }, 0.25 } };
  setup();
  o.gater.topics = weights;
  o.gater.n_topics = 3;
  start();
  UP(1, "\x0a\0\0\1");
  static const char *const names[] = { "u", "v", "w", "t" };
  for (unsigned i = 0; i < 3; i++) world_join(&w, names[i], &gs_ids);
  for (unsigned round = 1; round <= 3; round++) {
    for (unsigned i = 0; i < 4; i++) {
      char id[16];
      snprintf(id, sizeof id, "%s %u", names[i], round);
      id[0] = 'a';
      id[1] = names[i][0];
      gs_message(gs_peer[1], names[i], id, 9);
    }
    COUNTERS(1, round * (2.5 + 1 + 1 + 0.25), 0, 0, 0);
  }
  done();
}

/* One message in a second cannot be judged, and one address brings nothing but rubbish. */
Test(gater, heard_by_lot) {
  setup();
  start();
  UP(1, "\x0a\0\0\1");
  UP(2, "\x0a\0\0\2");
  UP(3, "\x0a\0\0\3");
  world_subscribe(&w, gs_peer[3], "t", true);
  for (unsigned i = 0; i < 40; i++) says(2, 'a');
  for (unsigned i = 0; i < 3; i++) says(3, 'r');
  cr_assert(is(gate(3).odds, 1), "there is room");
  for (unsigned i = 0; i < 21; i++) says(1, 't');
  cr_assert(is(gate(3).odds, 1), "21 of 64: below the threshold");
  for (unsigned i = 0; i < 10; i++) says(1, 't');
  cr_assert(is(gate(1).odds, 1) && is(gate(2).odds, 1), "of these nothing bad is known");
  cr_assert(is(gate(3).odds, 1 / 49.0));
  cr_assert_eq(msub_count(w.e)->unheard, 0);
  /* RPCs of one peer: each is heard with the odds of its moment */
  unsigned heard = 0;
  double sum = 0, variance = 0;
  for (unsigned i = 0; i < 3000; i++) {
    double p = gate(3).odds;
    sum += p;
    variance += p * (1 - p);
    uint64_t unheard = msub_count(w.e)->unheard;
    says(3, 'i');
    heard += msub_count(w.e)->unheard == unheard;
    if (i % 10 == 0) says(1, 't'), says(1, 't'); /* still no room */
  }
  cr_assert(fabs(heard - sum) < 5 * sqrt(variance), "%u of %g", heard, sum);
  cr_assert(heard > 5 && heard < 300);
  cr_assert_eq(msub_count(w.e)->unheard, 3000 - heard);
  gs_from(gs_peer[3], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert(gs_role(t, 3) & MSUB_ROLE_MESH, "its control always is");
  gs_from(gs_peer[3], MSUB_C_PRUNE, "t", NULL, 1);
  cr_assert(!(gs_role(t, 3) & MSUB_ROLE_MESH));
  /* an honest peer at another address loses nothing */
  uint64_t before = msub_count(w.e)->accepted;
  for (unsigned i = 0; i < 500; i++) says(2, 'a');
  cr_assert_eq(msub_count(w.e)->accepted - before, 500);
  /* quiet: up to its end by lot, after it everybody */
  uint64_t last = w.now.mono_ns;
  says(1, 't');
  for (unsigned i = 0; i < 300; i++) says(3, 'r');
  w.now.mono_ns = last + o.gater.quiet_ns;
  cr_assert(gate(3).odds < 0.1);
  w.now.mono_ns++;
  cr_assert(is(gate(3).odds, 1));
  uint64_t unheard = msub_count(w.e)->unheard;
  for (unsigned i = 0; i < 50; i++) says(3, 'i');
  cr_assert_eq(msub_count(w.e)->unheard, unheard);
  done();
}

Test(gater, direct_peers_are_heard) {
  setup();
  static msub_peer_id id;
  static msub_bytes direct[1];
  id = world_peer_id(3);
  direct[0] = msub_peer_id_bytes(&id);
  o.direct = direct;
  o.n_direct = 1;
  o.gater.threshold = 0.1;
  start();
  UP(3, "\x0a\0\0\3");
  for (unsigned i = 0; i < 50; i++) says(3, 't');
  for (unsigned i = 0; i < 200; i++) says(3, 'r');
  cr_assert(gate(3).odds < 0.01 && msub_count(w.e)->unheard == 0);
  done();
}

static double penalty;
static void show(void *ud, msub_bytes id, const msub_peer_score *s) {
  (void)ud, (void)id;
  penalty += s->behaviour_penalty;
}
/* Of a peer that is not listened to nothing is expected; one that is heard, and does not send what it announced, has broken a promise. */
Test(gater, promises) {
  for (unsigned cut = 0; cut < 2; cut++) {
    setup();
    o.score = &msub_gossipsub_default_score;
    o.gater.threshold = 0.01;
    start();
    UP(1, "\x0a\0\0\1");
    UP(2, "\x0a\0\0\2");
    gs_from(gs_peer[1], MSUB_C_IHAVE, "t", "a1", 0);
    cr_assert_eq(gs_sent_ids(MSUB_C_IWANT, 1, "a1"), 1);
    if (cut) {
      for (unsigned i = 0; i < 40; i++) says(2, 't');
      for (unsigned i = 0; i < 100; i++) says(1, 'i'); /* not worth anything, and no fault either */
      cr_assert_gt(msub_count(w.e)->unheard, 50);
    }
    gs_until(10000);
    penalty = 0;
    msub_gossipsub_inspect inspect = { .peer = show };
    cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_INSPECT, &inspect, sizeof inspect, &w.now), MSUB_OK);
    cr_assert_eq(penalty > 0, !cut, "%g", penalty);
    done();
  }
}

static double crowded;
static void show_address(void *ud, msub_bytes id, const msub_peer_score *s) {
  (void)ud, (void)id;
  crowded += s->ip_colocation_factor;
}
static double crowding(void) {
  msub_gossipsub_inspect inspect = { .peer = show_address };
  crowded = 0;
  cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_INSPECT, &inspect, sizeof inspect, &w.now), MSUB_OK);
  return crowded;
}
/* Scores, too, go by the address that a session has now. */
Test(gater, address_of_a_score) {
  msub_score_opts score = msub_gossipsub_default_score;
  score.params.ip_colocation_factor_weight = -1;
  score.params.ip_colocation_factor_threshold = 1;
  for (unsigned on = 0; on < 2; on++) {
    setup();
    o.gater.on = on;
    o.score = &score;
    start();
    UP(1, "\x0a\0\0\1");
    UP(2, "\x0a\0\0\2");
    cr_assert(is(crowding(), 0));
    MOVE(2, "\x0a\0\0\1");
    cr_assert(is(crowding(), 2), "1 each: %g", crowded);
    MOVE(1, "\x0a\0\0\3");
    cr_assert(is(crowding(), 0));
    done();
  }
}

/* Which peers share counters. */
Test(gater, addresses) {
  for (unsigned parity = 0; parity < 2; parity++) {
    setup();
    if (parity) {
      gs_parity();
      o.gater.on = true;
    }
    start();
    UP(1, "\x0a\0\0\1");
    UP(2, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\1"); /* the same, as IPv6 writes it */
    cr_assert(gate(1).sessions == 2 && gate(1).addresses == 1);
    UP(3, "\x20\1\x0d\xb8\0\0\0\1\0\0\0\0\0\0\0\1");
    UP(4, "\x20\1\x0d\xb8\0\0\0\1\0\0\0\0\0\0\0\2");
    UP(5, "\x20\1\x0d\xb8\0\0\0\2\0\0\0\0\0\0\0\1");
    cr_assert(gate(3).sessions == (parity ? 1 : 2) && gate(5).sessions == 1 && gate(1).addresses == (parity ? 4 : 3));
    UP(6, "\x7f\0\0\1");
    UP(7, "\x7f\0\0\1");
    cr_assert_eq(gate(6).sessions, parity ? 2 : 1);
    UP(8, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1");
    UP(9, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1");
    cr_assert_eq(gate(8).sessions, parity ? 2 : 1);
    UP(10, "");
    UP(11, "");
    cr_assert_eq(gate(10).sessions, 1, "each stands for itself");
    says(10, 'r');
    COUNTERS(10, 0, 0, 0, 1);
    COUNTERS(11, 0, 0, 0, 0);
    /* another connection carries the session */
    says(1, 'r');
    MOVE(1, "\x0a\0\0\1");
    cr_assert_eq(gate(1).sessions, 2, "the same one");
    MOVE(1, "\x0a\0\0\2");
    cr_assert(gate(1).sessions == 1 && gate(2).sessions == 1);
    COUNTERS(1, 0, 0, 0, 0);
    COUNTERS(2, 0, 0, 0, 1);
    says(1, 'i');
    COUNTERS(1, 0, 0, 1, 0);
    MOVE(1, "\x0a\0\0\1");
    COUNTERS(1, 0, 0, 0, 1);
    MOVE(10, "\x0a\0\0\2");
    COUNTERS(10, 0, 0, 1, 0);
    MOVE(10, "");
    COUNTERS(10, 0, 0, 0, 1);
    done();
  }
}

/* Six hours after the last session of an address nothing is known of it; until then it is as it was. */
Test(gater, retention) {
  for (unsigned back = 0; back < 3; back++) {
    setup();
    start();
    UP(1, "\x0a\0\0\1");
    UP(2, "\x0a\0\0\1");
    says(1, 'r');
    gs_until(500);
    COUNTERS(1, 0, 0, 0, 1);
    gs_until(1500);
    double left = gate(1).rejected;
    cr_assert(is(left, o.gater.source_decay));
    msub_session_down(w.e, gs_peer[1], &w.now);
    gs_until(2500);
    cr_assert(is(gate(2).rejected, left * o.gater.source_decay), "somebody is connected: it fades");
    left = gate(2).rejected;
    msub_session_down(w.e, gs_peer[2], &w.now);
    cr_assert(is(gate(1).rejected, left) && gate(1).sessions == 0);
    uint64_t end = w.now.mono_ns + o.gater.retain_ns;
    static const int64_t at[] = { -2000, 500, 2000 };
    UP(3, "\x0a\0\0\3");
    /* the decay at 6 h + 0.5 s is the first one after the end */
    while (w.now.mono_ns + 1000 * SEC < end) {
      w.now.mono_ns += 1000 * SEC;
      cr_assert_eq(msub_advance(w.e, &w.now), MSUB_OK);
    }
    w.now.mono_ns = (uint64_t)((int64_t)end + at[back] * (int64_t)MS);
    msub_advance(w.e, &w.now);
    UP(2, "\x0a\0\0\1");
    if (back == 0) cr_assert(is(gate(2).rejected, left), "it is as it was");
    else COUNTERS(2, 0, 0, 0, 0);
    cr_assert_eq(gate(2).addresses, 2);
    done();
  }
}

/* At its end exactly it is still there. */
Test(gater, retention_to_the_nanosecond) {
  for (unsigned late = 0; late < 2; late++) {
    setup();
    o.gater.retain_ns = 10 * SEC;
    start();
    UP(1, "\x0a\0\0\1");
    says(1, 'r');
    gs_until(1000 - late); /* decays come every whole second */
    msub_session_down(w.e, gs_peer[1], &w.now);
    gs_until(11000);
    msub_gossipsub_gate g;
    cr_assert_eq(ask(1, &g), late ? MSUB_ERR_NOTFOUND : MSUB_OK);
    done();
  }
}

/* Who leaves before the verdict does not get away with it. */
Test(gater, verdict_after_the_session) {
  for (unsigned late = 0; late < 2; late++) {
    setup();
    w.opts.validate_timeout_ns = 1000 * SEC;
    start();
    UP(1, "\x0a\0\0\1");
    UP(2, "\x0a\0\0\1");
    UP(3, "");
    says(1, 'p');
    says(3, 'p');
    msub_session_down(w.e, gs_peer[1], &w.now);
    msub_session_down(w.e, gs_peer[3], &w.now);
    gs_until(MSUB__GS_GATER_LATE / MS - 1000 + late * 3000);
    cr_assert_eq(msub_complete(w.e, pending[0], MSUB_REJECT, &w.now), MSUB_OK);
    cr_assert_eq(msub_complete(w.e, pending[1], MSUB_REJECT, &w.now), MSUB_OK);
    COUNTERS(2, 0, 0, 0, !late);
    UP(3, "");
    COUNTERS(3, 0, 0, 0, !late);
    done();
  }
}

/* A session that an outer router refuses leaves nothing behind. */
static bool refuses;
static int outer_layout(msub_layout *l, const void *opts) { return msub_layout_nest(l, &msub_gossipsub, opts); }
static int outer_up(msub_router *r, msub_session s, const msub_session_info *i) {
  int rc = msub_x_session_up(msub_r_inner(r), s, i);
  return refuses ? MSUB_ERR_REFUSED : rc;
}
static const msub_router_ops outer = { .abi = MSUB_ABI, .size = sizeof(msub_router_ops), .name = "outer", .layout = outer_layout, .session_up = outer_up };

Test(gater, refused_sessions) {
  setup();
  world_start(&w, &outer);
  UP(1, "\x0a\0\0\1");
  refuses = true;
  msub_session s;
  uint8_t ip[4] = { 10, 0, 0, 1 };
  for (uint8_t i = 2; i < 20; i++) {
    msub_peer_id id = world_peer_id(i);
    msub_session_opts so = { .peer_id = msub_peer_id_bytes(&id), .protocol = V12, .address = { ip, 4 } };
    cr_assert_eq(msub_session_up(w.e, &so, &w.now, &s), MSUB_ERR_REFUSED);
  }
  cr_assert_eq(gate(1).sessions, 1);
  refuses = false;
  done();
}

/* ---- the table ---- */

static msub_session many_up(uint32_t i) {
  uint8_t id[6] = { 0, 4, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
  uint8_t ip[4] = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
  msub_session_opts so = { .peer_id = { id, sizeof id }, .protocol = V12, .agreed = true, .address = { ip, 4 } };
  msub_session s = { 0 };
  cr_assert_eq(msub_session_up(w.e, &so, &w.now, &s), MSUB_OK);
  return s;
}
static int many_gate(uint32_t i, msub_gossipsub_gate *g) {
  uint8_t id[6] = { 0, 4, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
  *g = (msub_gossipsub_gate){ .peer = { id, sizeof id } };
  return msub_command(w.e, 0, MSUB_GOSSIPSUB_GATE, &g, sizeof g, &w.now);
}
static int swallow(void *ud, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  (void)ud, (void)link, (void)s, (void)rpc, (void)lane;
  return MSUB_OK;
}
static void rejected(msub_session s) {
  char id[16];
  snprintf(id, sizeof id, "r%u", number++);
  gs_message(s, "t", id, 9);
}

/* MSUB__GS_GATER_SOURCES: with all of them connected, those that come then share one record; one that is left makes room, and of those
 * that were left the first one goes. */
Test(gater, addresses_8192) {
  static msub_session s[MSUB__GS_GATER_SOURCES + 3];
  const uint32_t all = MSUB__GS_GATER_SOURCES;
  msub_gossipsub_gate g;
  setup();
  w.ops.send = swallow;
  w.opts.seen_bytes = 1 << 20;
  start();
  size_t idle = w.mem.live_bytes;
  for (uint32_t i = 0; i < all - 1; i++) s[i] = many_up(i);
  cr_assert(many_gate(0, &g) == MSUB_OK && g.addresses == all - 1);
  s[all - 1] = many_up(all - 1);
  cr_assert(many_gate(all - 1, &g) == MSUB_OK && g.addresses == all && g.sessions == 1);
  s[all] = many_up(all);
  s[all + 1] = many_up(all + 1);
  cr_assert(many_gate(all, &g) == MSUB_OK && g.addresses == all && g.sessions == 2, "the common one");
  rejected(s[all]);
  cr_assert(many_gate(all + 1, &g) == MSUB_OK && is(g.rejected, 1));
  cr_assert(many_gate(all - 1, &g) == MSUB_OK && is(g.rejected, 0));
  cr_assert(w.mem.live_bytes - idle < (size_t)all * 500 + (1u << 20), "%zu", w.mem.live_bytes - idle);
  /* two are left, in this order: the first one's place is taken */
  rejected(s[5]);
  rejected(s[3]);
  msub_session_down(w.e, s[5], &w.now);
  msub_session_down(w.e, s[3], &w.now);
  s[all + 2] = many_up(all + 2);
  cr_assert(many_gate(all + 2, &g) == MSUB_OK && g.sessions == 1 && is(g.rejected, 0) && g.addresses == all);
  cr_assert_eq(many_gate(5, &g), MSUB_ERR_NOTFOUND);
  cr_assert(many_gate(3, &g) == MSUB_OK && is(g.rejected, 1) && g.sessions == 0);
  s[3] = many_up(3);
  cr_assert(many_gate(3, &g) == MSUB_OK && is(g.rejected, 1) && g.sessions == 1, "it came back in time");
  /* who has the common one keeps it; the next session of the address may get a place */
  msub_session_down(w.e, s[7], &w.now);
  cr_assert(many_gate(all, &g) == MSUB_OK && g.sessions == 2);
  msub_session_down(w.e, s[all], &w.now);
  s[all] = many_up(all);
  cr_assert(many_gate(all, &g) == MSUB_OK && g.sessions == 1 && is(g.rejected, 0));
  done();
}

/* Each allocation fails once: the engine is refused whole, or the address shares the common record. */
Test(gater, no_memory) {
  for (size_t at = 1;; at++) {
    setup();
    w.mem.fail_after = at;
    msub_mem mem = world_mem(&w);
    int rc = world_try_start(&w, &msub_gossipsub, &mem);
    w.mem.fail_after = 0;
    if (rc == MSUB_OK) {
      done();
      cr_assert(at > 5);
      break;
    }
    cr_assert_eq(rc, MSUB_ERR_NOMEM);
    done();
  }
  unsigned common = 0;
  for (size_t at = 1; at < 40; at++) {
    setup();
    w.ops.send = swallow;
    gs_start();
    uint32_t i = 0, ups = 3;
    for (; i < 3; i++) many_up(i);
    w.mem.fail_after = at;
    for (; i < 30; i++) {
      uint8_t id[6] = { 0, 4, 0, 0, 0, (uint8_t)i }, ip[4] = { 10, 0, 0, (uint8_t)i };
      msub_session_opts so = { .peer_id = { id, sizeof id }, .protocol = V12, .agreed = true, .address = { ip, 4 } };
      msub_session s = { 0 };
      int rc = msub_session_up(w.e, &so, &w.now, &s);
      cr_assert(rc == MSUB_OK || rc == MSUB_ERR_NOMEM);
      msub_gossipsub_gate g;
      if (rc != MSUB_OK) continue;
      cr_assert_eq(many_gate(i, &g), MSUB_OK);
      common += g.addresses < ++ups;
    }
    w.mem.fail_after = 0;
    done();
  }
  cr_assert(common > 0, "some had to share");
}
