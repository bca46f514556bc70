/* Validators of programs, with their bounds, and the ones that come with the library. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "engine_world.h"
#include "meshsub/validators.h"
#include "pubsub/limits.h"

#define SECOND UINT64_C(1000000000)

static world w;
static msub_topic t;
static msub_session a;
static uint8_t buf[4096];

static void start(void) {
  world_init(&w, 9);
  world_start(&w, NULL);
  t = world_join(&w, "t", NULL);
  a = world_peer(&w, 1);
}

static void send_to(const char *topic, msub_session s, uint8_t author, uint64_t seqno, const char *data) {
  msub_bytes rpc = { buf, world_signed_rpc(buf, sizeof buf, author, seqno, topic, msub_str(data)) };
  cr_assert_eq(world_receive(&w, s, rpc), MSUB_OK);
  for (size_t i = 0; i < w.n_jobs;) /* signatures; jobs of validators stay */
    if (w.jobs[i].job.fn == msub_signature_verify) cr_assert_eq(world_run_job(&w, i), MSUB_OK);
    else i++;
}
static void send(uint8_t author, uint64_t seqno) { send_to("t", a, author, seqno, "x"); }

/* ---- validators of a program ---- */

typedef struct judge { unsigned calls, told, verdicts[6]; msub_verdict answer; msub_token tokens[64]; bool job; } judge;
static msub_verdict job_accepts(const void *arg, size_t n) {
  (void)arg, (void)n;
  return MSUB_ACCEPT;
}
static msub_verdict ask(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job) {
  judge *j = ud;
  (void)m, (void)from;
  j->tokens[j->calls++ % 64] = token;
  if (j->job) job->fn = job_accepts;
  return j->answer;
}
static void hear(void *ud, const msub_msg *m, msub_peer from, msub_verdict v) {
  judge *j = ud;
  (void)m, (void)from;
  j->told++;
  j->verdicts[v]++;
}
static int add(msub_topic at, judge *j, uint64_t timeout, uint32_t concurrency) {
  msub_validator_opts o;
  msub_validator_opts_init(&o);
  o.fn = ask;
  o.ud = j;
  o.timeout_ns = timeout;
  if (concurrency) o.concurrency = concurrency;
  o.concluded = hear;
  return msub_validator_add(w.e, at, &o);
}

Test(validators, timeouts_of_their_own) {
  start();
  judge fast = { .answer = MSUB_PENDING }, slow = { .answer = MSUB_PENDING }, usual = { .answer = MSUB_PENDING };
  msub_topic f = world_join(&w, "f", NULL), s = world_join(&w, "s", NULL);
  cr_assert_eq(add(f, &fast, SECOND, 0), MSUB_OK);
  cr_assert_eq(add(s, &slow, 60 * SECOND, 0), MSUB_OK);
  cr_assert_eq(add(t, &usual, 0, 0), MSUB_OK);
  send_to("s", a, 50, 1, "x");
  send_to("t", a, 50, 2, "x");
  send_to("f", a, 50, 3, "x");
  send_to("f", a, 50, 4, "x");
  uint64_t begin = w.now.mono_ns;
  cr_assert_eq(msub_next_deadline(w.e), begin + SECOND);
  /* Its time: IGNORE, and what it says then is stale. */
  w.now.mono_ns = begin + SECOND - 1;
  msub_advance(w.e, &w.now);
  cr_assert_eq(msub_count(w.e)->timeouts, 0);
  w.now.mono_ns = begin + SECOND;
  msub_advance(w.e, &w.now);
  cr_assert_eq(msub_count(w.e)->timeouts, 2);
  cr_assert_eq(msub_count_reason(w.e, MSUB_R_TIMEOUT), 2);
  cr_assert_eq(fast.verdicts[MSUB_IGNORE], 2);
  cr_assert_eq(msub_complete(w.e, fast.tokens[0], MSUB_ACCEPT, &w.now), MSUB_ERR_STALE);
  cr_assert_eq(w.n_delivered, 0);
  cr_assert_eq(msub_next_deadline(w.e), begin + 10 * SECOND);
  w.now.mono_ns = begin + 10 * SECOND;
  msub_advance(w.e, &w.now);
  cr_assert_eq(usual.verdicts[MSUB_IGNORE], 1);
  cr_assert_eq(msub_complete(w.e, slow.tokens[0], MSUB_ACCEPT, &w.now), MSUB_OK, "the slow one still has time");
  cr_assert_eq(w.n_delivered, 1);
  cr_assert_eq(slow.verdicts[MSUB_ACCEPT], 1);
  cr_assert_eq(msub_next_deadline(w.e), MSUB_NEVER);
  world_stop(&w);
}

/* MSUB__TIMEOUTS different ones, the engine's among them. */
Test(validators, timeouts_are_few) {
  start();
  judge j = { .answer = MSUB_ACCEPT };
  for (unsigned i = 0; i < MSUB__TIMEOUTS + 1; i++) { /* the engine's own, then 7 others, then one too many */
    msub_topic at = world_join(&w, (char[]){ 'x', (char)('0' + i), 0 }, NULL);
    cr_expect_eq(add(at, &j, i ? i * SECOND : 10 * SECOND, 0), i < MSUB__TIMEOUTS ? MSUB_OK : MSUB_ERR_LIMIT, "%u", i);
  }
  cr_expect_eq(add(t, &j, 7 * SECOND, 0), MSUB_OK, "one of them again");
  cr_expect_eq(add(t, &j, 0, 0), MSUB_OK);
  world_stop(&w);
}

Test(validators, concurrency) {
  for (unsigned kind = 0; kind < 3; kind++) { /* the bound of the validator, of the topic, of the engine */
    world_init(&w, 9);
    w.opts.validation.pending_per_topic = kind == 1 ? 3 : 100;
    w.opts.validation.pending = kind == 2 ? 3 : 100;
    world_start(&w, NULL);
    t = world_join(&w, "t", NULL);
    a = world_peer(&w, 1);
    msub_topic other = world_join(&w, "o", NULL);
    judge j = { .answer = MSUB_PENDING }, k = { .answer = MSUB_PENDING };
    cr_assert_eq(add(t, &j, 0, kind == 0 ? 3 : 50), MSUB_OK);
    cr_assert_eq(add(other, &k, 0, 50), MSUB_OK);
    for (uint64_t i = 1; i <= 5; i++) send(50, i);
    cr_expect_eq(j.calls, 3, "the others are not asked about");
    cr_expect_eq(msub_count(w.e)->throttled, 2);
    cr_expect_eq(msub_count(w.e)->validators_full, 2);
    cr_expect_eq(j.verdicts[MSUB_THROTTLED], 2);
    send_to("o", a, 50, 10, "x");
    cr_expect_eq(k.calls, 1);
    cr_expect_eq(msub_count(w.e)->validators_full, kind == 2 ? 3 : 2, "it had not said PENDING before, so it was asked");
    /* One answers: there is room for one more, and what was throttled is judged afresh. */
    cr_assert_eq(msub_complete(w.e, j.tokens[0], MSUB_ACCEPT, &w.now), MSUB_OK);
    send(50, 5);
    cr_expect_eq(j.calls, 4);
    /* A timeout frees the place, too, and so does leaving the topic. */
    w.now.mono_ns += 10 * SECOND;
    msub_advance(w.e, &w.now);
    for (uint64_t i = 21; i <= 23; i++) send(50, i);
    cr_expect_eq(j.calls, 7);
    cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
    t = world_join(&w, "t", NULL);
    cr_assert_eq(add(t, &j, 0, 3), MSUB_OK);
    for (uint64_t i = 31; i <= 34; i++) send(50, i);
    cr_expect_eq(j.calls, 10);
    world_stop(&w);
  }
}

/* MSUB__VALIDATING_TOPIC is the default of a topic and of a validator. */
Test(validators, default_bounds) {
  start();
  judge j = { .answer = MSUB_PENDING };
  cr_assert_eq(msub_validator(w.e, t, ask, &j), MSUB_OK);
  for (uint64_t i = 1; i <= MSUB__VALIDATING_TOPIC + 1; i++) {
    send(50, i);
    if (i == MSUB__VALIDATING_TOPIC - 1 || i == MSUB__VALIDATING_TOPIC) cr_assert_eq(msub_count(w.e)->validators_full, 0);
  }
  cr_assert_eq(msub_count(w.e)->validators_full, 1);
  cr_assert_eq(j.calls, MSUB__VALIDATING_TOPIC);
  world_stop(&w);
  msub_engine_opts o;
  msub_engine_opts_init(&o);
  cr_assert_eq(o.validation.pending, MSUB__PENDING_MESSAGES);
  for (unsigned i = 0; i < 2; i++) {
    world_init(&w, 9);
    if (i) w.opts.validation.pending = 0;
    else w.opts.validation.pending_per_topic = 0;
    msub_mem mem = world_mem(&w);
    cr_assert_eq(world_try_start(&w, NULL, &mem), MSUB_ERR_INVAL);
    world_stop(&w);
  }
}

/* A job of a validator counts like an answer to come; one that still runs when its time is over keeps its bytes, not its place. */
Test(validators, jobs) {
  start();
  judge j = { .answer = MSUB_PENDING, .job = true };
  cr_assert_eq(add(t, &j, SECOND, 2), MSUB_OK);
  for (uint64_t i = 1; i <= 3; i++) send(50, i);
  cr_assert_eq(w.n_jobs, 2);
  cr_assert_eq(msub_count(w.e)->validators_full, 1);
  w.jobs[0].running = true;
  w.now.mono_ns += SECOND;
  msub_advance(w.e, &w.now);
  cr_assert_eq(msub_count(w.e)->timeouts, 2);
  cr_assert_eq(w.n_jobs, 1, "the other one was caught");
  send(50, 4);
  cr_assert_eq(w.n_jobs, 2);
  cr_assert_eq(world_run_job(&w, 0), MSUB_ERR_STALE);
  cr_assert_eq(world_run_job(&w, 0), MSUB_OK);
  cr_assert_eq(w.n_delivered, 1);
  world_stop(&w);
}

Test(validators, come_and_go) {
  start();
  judge j[10] = { { .answer = MSUB_ACCEPT } };
  for (unsigned i = 0; i < 10; i++) j[i].answer = MSUB_ACCEPT;
  msub_topic none = { 0 };
  for (unsigned i = 0; i < 8; i++) cr_assert_eq(add(none, &j[i], 0, 0), MSUB_OK);
  cr_assert_eq(add(none, &j[8], 0, 0), MSUB_ERR_LIMIT);
  cr_assert_eq(add(t, &j[9], 0, 0), MSUB_OK);
  send(50, 1);
  for (unsigned i = 0; i < 10; i++) cr_assert_eq(j[i].calls, i != 8, "%u", i);
  cr_assert_eq(msub_validator_remove(w.e, none, ask, &j[3]), MSUB_OK);
  cr_assert_eq(msub_validator_remove(w.e, none, ask, &j[3]), MSUB_ERR_NOTFOUND);
  cr_assert_eq(msub_validator_remove(w.e, t, ask, &j[3]), MSUB_ERR_NOTFOUND);
  cr_assert_eq(msub_validator_remove(w.e, (msub_topic){ 99 }, ask, &j[3]), MSUB_ERR_STALE);
  send(50, 2);
  cr_assert_eq(j[3].calls, 1);
  cr_assert_eq(j[3].told, 1);
  cr_assert_eq(j[4].told, 2);
  /* In its place comes the last of the line; a message that waits for one of them keeps the places. */
  j[7].answer = MSUB_PENDING;
  send(50, 3);
  cr_assert_eq(j[9].calls, 2);
  cr_assert_eq(msub_validator_remove(w.e, none, ask, &j[0]), MSUB_OK);
  cr_assert_eq(add(none, &j[8], 0, 0), MSUB_OK, "one place was free at the end");
  cr_assert_eq(add(none, &j[0], 0, 0), MSUB_ERR_LIMIT, "the hole is not closed while somebody waits");
  cr_assert_eq(msub_complete(w.e, j[7].tokens[j[7].calls - 1], MSUB_ACCEPT, &w.now), MSUB_OK);
  cr_assert_eq(j[8].calls, 1, "it stands behind the one that was waited for");
  cr_assert_eq(j[9].calls, 3);
  cr_assert_eq(w.n_delivered, 3);
  cr_assert_eq(add(none, &j[0], 0, 0), MSUB_OK);
  /* One that was taken away still gives its answer. */
  unsigned before = j[0].calls;
  send(50, 4);
  cr_assert_eq(msub_validator_remove(w.e, none, ask, &j[7]), MSUB_OK);
  cr_assert_eq(msub_complete(w.e, j[7].tokens[j[7].calls - 1], MSUB_ACCEPT, &w.now), MSUB_OK);
  cr_assert_eq(j[0].calls, before + 1);
  cr_assert_eq(w.n_delivered, 4);
  msub_validator_opts bad;
  msub_validator_opts_init(&bad);
  cr_assert_eq(msub_validator_add(w.e, t, &bad), MSUB_ERR_INVAL);
  bad.fn = ask;
  bad.concurrency = 0;
  cr_assert_eq(msub_validator_add(w.e, t, &bad), MSUB_ERR_INVAL);
  bad.concurrency = 1;
  bad.size--;
  cr_assert_eq(msub_validator_add(w.e, t, &bad), MSUB_ERR_INVAL);
  cr_assert_eq(msub_validator_remove(w.e, t, NULL, NULL), MSUB_ERR_NOTFOUND);
  world_stop(&w);
}

static int late_rc = 1;
static void try_inside(world *ww, const msub_msg *m) {
  (void)m;
  late_rc = msub_validator_remove(ww->e, t, ask, NULL);
}
Test(validators, not_from_callbacks) {
  start();
  w.on_deliver = try_inside;
  send(50, 1);
  cr_assert_eq(late_rc, MSUB_ERR_STATE);
  world_stop(&w);
}

/* The worst verdict counts and every one is told. */
Test(validators, verdicts_are_told) {
  static const msub_verdict verdicts[] = { MSUB_ACCEPT, MSUB_IGNORE, MSUB_REJECT, MSUB_THROTTLED };
  for (unsigned i = 0; i < 4; i++)
    for (unsigned k = 0; k < 4; k++) {
      start();
      judge x = { .answer = verdicts[i] }, y = { .answer = verdicts[k] };
      cr_assert_eq(add(t, &x, 0, 0), MSUB_OK);
      cr_assert_eq(add(t, &y, 0, 0), MSUB_OK);
      send(50, 1);
      bool first = i >= 2;
      msub_verdict want = first ? verdicts[i] : k >= 2 ? verdicts[k] : i == 1 || k == 1 ? MSUB_IGNORE : MSUB_ACCEPT;
      cr_expect_eq(y.calls, !first);
      cr_expect_eq(x.verdicts[want], 1, "%u %u", i, k);
      cr_expect_eq(y.verdicts[want], 1, "also of one that was not asked");
      /* Not of what nobody has signed. */
      msub_bytes rpc = { buf, world_signed_rpc(buf, sizeof buf, 50, 2, "t", msub_str("x")) };
      buf[rpc.n - 1] ^= 1;
      world_receive(&w, a, rpc);
      world_run_jobs(&w);
      cr_expect_eq(x.told, 1);
      world_stop(&w);
    }
}

/* ---- size ---- */

Test(validators, size) {
  static const msub_verdict verdicts[] = { MSUB_IGNORE, MSUB_REJECT };
  for (unsigned k = 0; k < 2; k++) {
    msub_size_rule rule = { 2, 4, verdicts[k] };
    start();
    msub_validator_opts v = msub_size_validator(&rule);
    cr_assert_eq(msub_validator_add(w.e, t, &v), MSUB_OK);
    static const char *const data[] = { "", "1", "12", "1234", "12345" };
    for (unsigned i = 0; i < 5; i++) send_to("t", a, 50, i + 1, data[i]);
    cr_expect_eq(w.n_delivered, 2);
    cr_expect_eq(k ? msub_count(w.e)->rejected : msub_count(w.e)->ignored, 3);
    cr_expect_eq(msub_publish(w.e, t, msub_str("12345"), &w.now, NULL), MSUB_ERR_REFUSED, "own ones too");
    rule.max = 5;
    cr_expect_eq(msub_publish(w.e, t, msub_str("12345"), &w.now, NULL), MSUB_OK);
    world_stop(&w);
  }
}

/* ---- allow list ---- */

Test(validators, allow) {
  msub_peer_id author = world_peer_id(50), sender = world_peer_id(1);
  for (unsigned kind = 1; kind < 4; kind++)
    for (unsigned listed = 0; listed < 4; listed++) {
      start();
      msub_allowlist_opts o;
      msub_allowlist_opts_init(&o);
      o.authors = kind & 1;
      o.senders = kind & 2;
      o.shared = w.sh;
      msub_mem mem = world_mem(&w);
      o.mem = &mem;
      msub_allowlist *list;
      cr_assert_eq(msub_allowlist_new(&o, &list), MSUB_OK);
      if (listed & 1) cr_assert_eq(msub_allowlist_add(list, msub_peer_id_bytes(&author)), MSUB_OK);
      if (listed & 2) cr_assert_eq(msub_allowlist_add(list, msub_peer_id_bytes(&sender)), MSUB_OK);
      msub_validator_opts v = msub_allowlist_validator(list);
      cr_assert_eq(msub_validator_add(w.e, t, &v), MSUB_OK);
      send(50, 1);
      bool good = (kind & listed) == kind;
      cr_expect_eq(w.n_delivered, good, "kind %u, listed %u", kind, listed);
      cr_expect_eq(msub_count(w.e)->ignored, !good);
      cr_expect_eq(msub_count(w.e)->blamed, 0);
      cr_expect_eq(msub_publish(w.e, t, msub_str("own"), &w.now, NULL), MSUB_OK);
      msub_allowlist_free(list);
      cr_assert_eq(msub_validator_remove(w.e, t, v.fn, v.ud), MSUB_OK);
      world_stop(&w);
    }
  /* The list itself. */
  msub_allowlist_opts o;
  msub_allowlist_opts_init(&o);
  msub_allowlist *list;
  o.max_peers = 60;
  cr_assert_eq(msub_allowlist_new(&o, &list), MSUB_OK);
  cr_assert_eq(msub_allowlist_add(list, msub_str("no id")), MSUB_ERR_INVAL);
  for (unsigned turn = 0; turn < 2; turn++)
    for (unsigned i = 0; i < 61; i++) {
      msub_peer_id id = world_peer_id((uint8_t)(i * 37));
      cr_assert_eq(msub_allowlist_add(list, msub_peer_id_bytes(&id)), i < 60 ? MSUB_OK : MSUB_ERR_LIMIT);
    }
  cr_assert_eq(msub_allowlist_count(list), 60);
  for (unsigned i = 0; i < 61; i++) {
    msub_peer_id id = world_peer_id((uint8_t)(i * 37));
    cr_assert_eq(msub_allowlist_remove(list, msub_peer_id_bytes(&id)), i < 60 ? MSUB_OK : MSUB_ERR_NOTFOUND);
    cr_assert_eq(msub_allowlist_remove(list, msub_peer_id_bytes(&id)), MSUB_ERR_NOTFOUND);
  }
  cr_assert_eq(msub_allowlist_count(list), 0);
  msub_allowlist_free(list);
  msub_allowlist_free(NULL);
  o.authors = false;
  cr_assert_eq(msub_allowlist_new(&o, &list), MSUB_ERR_INVAL);
  o.senders = true;
  cr_assert_eq(msub_allowlist_new(&o, &list), MSUB_ERR_INVAL, "no shared");
  o = (msub_allowlist_opts){ .size = sizeof o, .authors = true, .verdict = MSUB_PENDING, .max_peers = 1 };
  cr_assert_eq(msub_allowlist_new(&o, &list), MSUB_ERR_INVAL);
}

/* ---- rate ---- */

static msub_rate *rate_of(msub_rate_opts *o) {
  msub_rate *r;
  o->engine = w.e;
  cr_assert_eq(msub_rate_new(o, &r), MSUB_OK);
  msub_validator_opts v = msub_rate_validator(r);
  cr_assert_eq(msub_validator_add(w.e, (msub_topic){ 0 }, &v), MSUB_OK);
  return r;
}

Test(validators, rate) {
  start();
  world_join(&w, "u", NULL);
  msub_session b = world_peer(&w, 2);
  msub_rate_opts o;
  msub_rate_opts_init(&o);
  o.sender_interval_ns = SECOND;
  o.sender_burst = 3;
  o.topic_interval_ns = SECOND / 10;
  o.topic_burst = 5;
  msub_rate *r = rate_of(&o);
  uint64_t n = 0;
  for (unsigned i = 0; i < 6; i++) send(50, ++n);
  cr_assert_eq(w.n_delivered, 3, "the burst of a sender");
  cr_assert_eq(msub_count(w.e)->throttled, 3);
  cr_assert_eq(msub_rate_refused(r), 3);
  for (unsigned i = 0; i < 3; i++) send_to("t", b, 51, ++n, "x");
  cr_assert_eq(w.n_delivered, 5, "another sender has a burst of his own, the topic has room for five");
  send_to("u", b, 51, ++n, "x");
  cr_assert_eq(w.n_delivered, 6, "another topic too; what found no token in one has taken none of the other");
  /* What was throttled comes again when there is a token. */
  send(50, 4);
  cr_assert_eq(w.n_delivered, 6);
  w.now.mono_ns += SECOND - 1;
  send(50, 4);
  cr_assert_eq(w.n_delivered, 6);
  w.now.mono_ns += 1;
  send(50, 4);
  cr_assert_eq(w.n_delivered, 7);
  send(50, 5);
  cr_assert_eq(w.n_delivered, 7);
  /* A long pause fills the bucket, no more. */
  w.now.mono_ns += 3600 * SECOND;
  for (unsigned i = 0; i < 9; i++) send(50, 100 + i);
  cr_assert_eq(w.n_delivered, 10);
  for (unsigned i = 0; i < 9; i++) cr_assert_eq(msub_publish(w.e, t, msub_str("own"), &w.now, NULL), MSUB_OK, "own ones need no token");
  world_stop(&w);
  msub_rate_free(r);
  msub_rate_free(NULL);
}

/* Over ten seconds a sender gets what the interval says, whatever he does, and at the end of time nothing breaks. */
Test(validators, rate_over_time) {
  start();
  msub_rate_opts o;
  msub_rate_opts_init(&o);
  o.sender_interval_ns = SECOND / 4;
  o.sender_burst = 2;
  msub_rate *r = rate_of(&o);
  for (uint64_t i = 1; i <= 1000; i++, w.now.mono_ns += SECOND / 100) send(50, i);
  cr_assert_eq(w.n_delivered, 2 + 39);
  w.now.mono_ns = UINT64_MAX - 1;
  for (uint64_t i = 2001; i <= 2010; i++) send(50, i);
  cr_assert_geq(w.n_delivered, 43);
  world_stop(&w);
  msub_rate_free(r);
}

Test(validators, rate_of_many_senders) {
  start();
  msub_rate_opts o;
  msub_rate_opts_init(&o);
  o.sender_burst = 1;
  o.sender_interval_ns = SECOND;
  o.max_senders = 8;
  msub_rate *r = rate_of(&o);
  msub_session s[40];
  for (uint8_t i = 0; i < 40; i++) s[i] = world_peer(&w, (uint8_t)(100 + i));
  for (unsigned round = 0; round < 3; round++) {
    w.now.mono_ns += 2 * SECOND;
    size_t before = w.n_delivered;
    for (unsigned i = 0; i < 40; i++) send_to("t", s[i], 50, 1000 * round + i + 1, "x");
    cr_assert_eq(w.n_delivered, before + 40, "more senders than are remembered: nobody is shut out");
  }
  world_stop(&w);
  msub_rate_free(r);
  static const msub_rate_opts bad[] = { { .sender_burst = 0 }, { .topic_burst = 0 }, { .max_senders = 0 }, { .max_topics = 0 },
                                        { .sender_interval_ns = UINT64_MAX }, { .verdict = MSUB_REJECT } };
  for (unsigned i = 0; i < 6; i++) {
    msub_rate_opts_init(&o);
    o.engine = (const msub_engine *)(uintptr_t)1;
    if (i == 0) o.sender_burst = bad[i].sender_burst;
    if (i == 1) o.topic_burst = bad[i].topic_burst;
    if (i == 2) o.max_senders = bad[i].max_senders;
    if (i == 3) o.max_topics = bad[i].max_topics;
    if (i == 4) o.sender_interval_ns = bad[i].sender_interval_ns;
    if (i == 5) o.verdict = bad[i].verdict;
    cr_assert_eq(msub_rate_new(&o, &r), MSUB_ERR_INVAL, "%u", i);
  }
  msub_rate_opts_init(&o);
  cr_assert_eq(msub_rate_new(&o, &r), MSUB_ERR_INVAL, "no engine");
}

/* ---- replayed numbers ---- */

static const uint8_t entropy[32] = { 3, 1, 4 };
static msub_store_memory *disk;
static msub_replay *replay;

static void told(void *ud, msub_token token, int result) {
  (void)ud;
  cr_assert(msub_replay_durable(replay, token, result));
}
static int open_replay(msub_replay_rule rule, uint32_t max) {
  msub_replay_opts o;
  msub_replay_opts_init(&o);
  o.entropy = entropy;
  o.rule = rule;
  if (max) o.max_authors = max;
  if (disk) o.store = msub_store_memory_store(disk);
  int rc = msub_replay_new(&o, &replay);
  if (rc == MSUB_OK && disk) o.store.ops->listen(o.store.s, told, NULL);
  return rc;
}
static void start_replay(msub_replay_rule rule, uint32_t max) {
  start();
  cr_assert_eq(open_replay(rule, max), MSUB_OK);
  msub_validator_opts v = msub_replay_validator(replay);
  cr_assert_eq(msub_validator_add(w.e, t, &v), MSUB_OK);
}
static void stop_replay(void) {
  world_stop(&w);
  msub_replay_free(replay);
}
static void turn_disk(void) {
  msub_store s = msub_store_memory_store(disk);
  s.ops->turn(s.s, &w.now);
}
static msub_replay_counts counts(void) {
  msub_replay_counts c;
  msub_replay_count(replay, &c);
  return c;
}
static void after_seen(void) { w.now.mono_ns += 121 * SECOND; }

/* G-20: replayed when the seen set has forgotten it, after a restart, and out of order: delivered once; and nobody is blamed. */
Test(validators, G_20_replays_are_delivered_once) {
  for (unsigned rule = MSUB_REPLAY_SHOWN; rule <= MSUB_REPLAY_ALWAYS; rule++) {
    msub_store_memory_opts o;
    msub_store_memory_opts_init(&o);
    msub_now zero = { 0, 0 };
    cr_assert_eq(msub_store_memory_new(&o, &zero, &disk), MSUB_OK);
    start_replay((msub_replay_rule)rule, 0);
    enum { COUNT = 192 };
    for (uint64_t i = 0; i < COUNT; i++) send(50, 1000 + (i | 31) - i % 32); /* in each 32 the last one first */
    cr_assert_eq(w.n_delivered, COUNT, "out of order is no loss");
    for (uint64_t i = 0; i < COUNT; i++) send(50, 1000 + i); /* within the life of the seen set, and after it, twice */
    for (unsigned again = 0; again < 2; again++) {
      after_seen();
      for (uint64_t i = 0; i < COUNT; i++) send(50, 1000 + i);
    }
    cr_assert_eq(w.n_delivered, COUNT, "delivered once");
    cr_assert_gt(counts().replayed, 100);
    cr_assert_eq(msub_count(w.e)->rejected + msub_count(w.e)->blamed, 0);
    turn_disk();
    /* The process is killed and begins anew. */
    stop_replay();
    msub_store_memory *after;
    cr_assert_eq(msub_store_memory_crashed(disk, &after), MSUB_OK);
    msub_store_memory_free(disk);
    disk = after;
    start_replay((msub_replay_rule)rule, 0);
    cr_assert_eq(counts().authors, 1);
    cr_assert_eq(counts().shown, 1);
    for (uint64_t i = 0; i < COUNT; i++) send(50, 1000 + i);
    cr_assert_eq(w.n_delivered, 0, "after a restart, too");
    send(50, 1200);
    cr_assert_eq(w.n_delivered, 1, "and new ones arrive");
    cr_assert_eq(msub_count(w.e)->rejected + msub_count(w.e)->blamed, 0);
    stop_replay();
    msub_store_memory_free(disk);
    disk = NULL;
  }
}

/* The edges of the window. */
Test(validators, G_20_window) {
  static const struct { uint64_t back; bool taken; } cases[] = { { 1, true }, { 62, true }, { 63, true }, { 64, false }, { 65, false }, { 5000, false } };
  for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
    start_replay(MSUB_REPLAY_ALWAYS, 0);
    send(50, 10000);
    send(50, 10000 - cases[i].back);
    cr_expect_eq(w.n_delivered, cases[i].taken ? 2 : 1, "%zu below", (size_t)cases[i].back);
    after_seen();
    send(50, 10000 - cases[i].back);
    send(50, 10000);
    cr_expect_eq(w.n_delivered, cases[i].taken ? 2 : 1);
    send(50, UINT64_MAX);
    send(50, 10001);
    cr_expect_eq(w.n_delivered, cases[i].taken ? 3 : 2, "the highest number there is");
    stop_replay();
  }
}

/* What another stage did not let through is no number that was used. */
Test(validators, G_20_only_what_was_accepted_counts) {
  start();
  judge later = { .answer = MSUB_THROTTLED };
  cr_assert_eq(open_replay(MSUB_REPLAY_ALWAYS, 0), MSUB_OK);
  msub_validator_opts v = msub_replay_validator(replay);
  cr_assert_eq(msub_validator_add(w.e, t, &v), MSUB_OK);
  cr_assert_eq(add(t, &later, 0, 0), MSUB_OK);
  send(50, 5);
  cr_assert_eq(counts().authors, 0);
  later.answer = MSUB_ACCEPT;
  send(50, 5);
  cr_assert_eq(w.n_delivered, 1, "the copy that came again");
  later.answer = MSUB_PENDING;
  send(50, 6);
  send(50, 7);
  cr_assert_eq(msub_complete(w.e, later.tokens[later.calls - 1], MSUB_ACCEPT, &w.now), MSUB_OK);
  cr_assert_eq(msub_complete(w.e, later.tokens[later.calls - 2], MSUB_ACCEPT, &w.now), MSUB_OK);
  cr_assert_eq(w.n_delivered, 3);
  stop_replay();
}

/* G-21: an author who draws his numbers at random is not cut off, unless the topic says that all count; never is anybody blamed. */
Test(validators, G_21_random_numbers) {
  for (unsigned rule = MSUB_REPLAY_SHOWN; rule <= MSUB_REPLAY_ALWAYS; rule++) {
    start_replay((msub_replay_rule)rule, 0);
    uint64_t x = 88172645463325252u, numbers[30];
    for (unsigned i = 0; i < 30; i++) {
      x ^= x << 13, x ^= x >> 7, x ^= x << 17;
      numbers[i] = x;
      send(60, x);
    }
    if (rule == MSUB_REPLAY_SHOWN) cr_assert_eq(w.n_delivered, 30);
    else cr_assert_lt(w.n_delivered, 30);
    cr_assert_eq(msub_count(w.e)->rejected + msub_count(w.e)->blamed, 0);
    cr_assert_eq(counts().shown, rule == MSUB_REPLAY_ALWAYS);
    /* Of such an author the last eight are known. */
    size_t before = w.n_delivered;
    after_seen();
    for (unsigned i = 22; i < 30; i++) send(60, numbers[i]);
    cr_assert_eq(w.n_delivered, before);
    /* One who counts is found out after five messages, at any speed up to two years a step. */
    for (uint64_t i = 1; i <= 5; i++) send(61, i << 55);
    cr_assert_eq(counts().shown, rule == MSUB_REPLAY_ALWAYS ? 2 : 1);
    send(61, 3);
    cr_assert_eq(w.n_delivered, before + 5);
    stop_replay();
  }
}

/* What has no verified author or number is not counted. */
Test(validators, G_22_what_is_not_counted) {
  for (unsigned rule = MSUB_REPLAY_SHOWN; rule <= MSUB_REPLAY_ALWAYS; rule++) {
    world_init(&w, 9);
    w.opts.sign = MSUB_LAX_SIGN;
    w.opts.go_parity = true; /* numbers of any length come as far as here */
    world_start(&w, NULL);
    t = world_join(&w, "t", &world_data_ids);
    a = world_peer(&w, 1);
    disk = NULL;
    cr_assert_eq(open_replay((msub_replay_rule)rule, 0), MSUB_OK);
    msub_validator_opts v = msub_replay_validator(replay);
    cr_assert_eq(msub_validator_add(w.e, t, &v), MSUB_OK);
    msub_peer_id id = world_peer_id(50);
    static const uint8_t number[33] = { 1 };
    for (size_t n = 0; n <= 33; n++) {
      char data[8] = { 'm', (char)('A' + n), 0 };
      msub_msg_view m = { .from = msub_peer_id_bytes(&id), .data = msub_str(data), .seqno = { number, n }, .topic = msub_str("t"),
                          .present = MSUB_HAS_FROM | MSUB_HAS_DATA | MSUB_HAS_TOPIC | (n < 33 ? MSUB_HAS_SEQNO : 0) };
      if (n == 33) m.seqno.n = 0;
      size_t len = msub_msg_encode(&m, NULL, 0);
      buf[0] = 0x12;
      size_t head = 1 + msub_varint_put(buf + 1, len);
      msub_msg_encode(&m, buf + head, len);
      cr_assert_eq(world_receive(&w, a, (msub_bytes){ buf, head + len }), MSUB_OK);
    }
    cr_assert_eq(w.n_delivered, rule == MSUB_REPLAY_SHOWN ? 34 : 0);
    cr_assert_eq(counts().not_counted, rule == MSUB_REPLAY_SHOWN ? 0 : 34);
    cr_assert_eq(counts().authors, 0, "nobody can use up somebody else's numbers");
    cr_assert_eq(msub_count(w.e)->rejected, 0);
    stop_replay();
  }
}

/* More authors than there is room for: those go first who were not shown to count, then the longest silent. */
Test(validators, authors_are_bounded) {
  msub_store_memory_opts o;
  msub_store_memory_opts_init(&o);
  msub_now zero = { 0, 0 };
  cr_assert_eq(msub_store_memory_new(&o, &zero, &disk), MSUB_OK);
  start_replay(MSUB_REPLAY_SHOWN, 8);
  for (uint8_t author = 50; author < 54; author++)
    for (uint64_t i = 1; i <= 6; i++) send(author, i);
  cr_assert_eq(counts().shown, 4);
  for (uint8_t author = 100; author < 140; author++) send(author, 7);
  cr_assert_eq(counts().authors, 8);
  cr_assert_eq(counts().shown, 4);
  cr_assert_eq(counts().forgotten, 36);
  size_t before = w.n_delivered;
  after_seen();
  for (uint8_t author = 50; author < 54; author++) send(author, 3);
  cr_assert_eq(w.n_delivered, before, "a crowd of new authors does not wash them out");
  turn_disk();
  /* The store has as many, and a smaller table takes what fits. */
  msub_replay_free(replay);
  cr_assert_eq(open_replay(MSUB_REPLAY_SHOWN, 8), MSUB_OK);
  cr_assert_eq(counts().authors, 8);
  msub_replay_free(replay);
  cr_assert_eq(open_replay(MSUB_REPLAY_SHOWN, 3), MSUB_OK);
  cr_assert_eq(counts().authors, 3);
  turn_disk();
  msub_replay_free(replay);
  cr_assert_eq(open_replay(MSUB_REPLAY_SHOWN, 8), MSUB_OK);
  cr_assert_eq(counts().authors, 3, "the rest was taken away");
  /* What is no record. */
  msub_store s = msub_store_memory_store(disk);
  static const char *const values[] = { "", "x", "\1\1\0\0aaaaaaaabbbbbbb", "\2\0\0\0aaaaaaaabbbbbbbb", "\1\2\0\0aaaaaaaabbbbbbbb", "\1\0\0\11aaaaaaaabbbbbbbb" };
  static const size_t lengths[] = { 0, 1, 19, 20, 20, 20 };
  for (unsigned i = 0; i < 6; i++) {
    msub_store_op op = { true, msub_str((char[]){ 'm', 's', 'u', 'b', '/', 'r', 'e', 'p', 'l', 'a', 'y', '/', (char)('a' + i), 0 }), { (const uint8_t *)values[i], lengths[i] } };
    cr_assert_eq(s.ops->submit(s.s, &op, 1, (msub_token){ UINT64_C(0x7265706c6179) }), MSUB_OK);
  }
  turn_disk();
  msub_replay_free(replay);
  cr_assert_eq(open_replay(MSUB_REPLAY_SHOWN, 8), MSUB_OK);
  cr_assert_eq(counts().bad_records, 6);
  cr_assert_eq(counts().authors, 3);
  turn_disk();
  msub_replay_free(replay);
  cr_assert_eq(open_replay(MSUB_REPLAY_SHOWN, 8), MSUB_OK);
  cr_assert_eq(counts().bad_records, 0);
  stop_replay();
  msub_store_memory_free(disk);
}

/* A disk that hangs or fails is counted and holds nothing up. */
Test(validators, replay_and_a_bad_disk) {
  msub_store_memory_opts o;
  msub_store_memory_opts_init(&o);
  o.max_waiting = 4;
  msub_now zero = { 0, 0 };
  cr_assert_eq(msub_store_memory_new(&o, &zero, &disk), MSUB_OK);
  start_replay(MSUB_REPLAY_ALWAYS, 0);
  msub_store_memory_hang(disk, true);
  for (uint64_t i = 1; i <= 10; i++) send(50, i);
  cr_assert_eq(w.n_delivered, 10);
  cr_assert_eq(counts().not_written, 6);
  msub_store_memory_hang(disk, false);
  turn_disk();
  msub_store_memory_fail(disk, 0, MSUB_ERR_IO);
  send(50, 11);
  turn_disk();
  cr_assert_eq(counts().not_written, 7);
  msub_store_memory_fail(disk, 0, MSUB_OK);
  send(50, 12);
  turn_disk();
  msub_replay_free(replay);
  cr_assert_eq(open_replay(MSUB_REPLAY_ALWAYS, 0), MSUB_OK);
  cr_assert_eq(counts().authors, 1);
  cr_assert_not(msub_replay_durable(replay, (msub_token){ 1 }, MSUB_OK));
  stop_replay();
  msub_store_memory_free(disk);
  disk = NULL;
  msub_replay_opts bad;
  msub_replay_opts_init(&bad);
  cr_assert_eq(msub_replay_new(&bad, &replay), MSUB_ERR_INVAL, "no entropy");
  bad.entropy = entropy;
  bad.max_authors = 0;
  cr_assert_eq(msub_replay_new(&bad, &replay), MSUB_ERR_INVAL);
}
