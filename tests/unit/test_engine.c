/* The engine by itself: the life of a message, publishing, validators, deferred calls. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "engine_world.h"

static world w, other;
static uint8_t buf[1 << 20], buf2[1 << 16];

static msub_bytes signed_rpc(uint8_t author, uint64_t seqno, const char *data) {
  return (msub_bytes){ buf, world_signed_rpc(buf, sizeof buf, author, seqno, "t", msub_str(data)) };
}
static msub_bytes plain_rpc(const char *data) {
  return (msub_bytes){ buf, world_plain_rpc(buf, sizeof buf, "t", msub_str(data)) };
}
static const msub_counts *n(void) { return msub_count(w.e); }
static uint32_t sent_to(uint64_t link) {
  uint32_t k = 0;
  for (size_t i = 0; i < w.n_sent; i++) k += w.sent[i].link == link;
  return k;
}
static bool said(size_t i, const char *data) {
  return msub_bytes_eq(msub_data(w.delivered[i]), msub_str(data));
}
static void anonymous(void) {
  world_init(&w, 9);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
}

Test(engine, life_of_a_message) {
  world_init(&w, 9);
  world_start(&w, NULL);
  world_join(&w, "t", NULL);
  msub_session a = world_peer(&w, 1), b = world_peer(&w, 2), c = world_peer(&w, 3);
  world_subscribe(&w, a, "t", true);
  world_subscribe(&w, b, "t", true);
  world_subscribe(&w, c, "other", true);
  world_clear(&w);
  msub_bytes rpc = signed_rpc(50, 1, "hello");
  cr_assert_eq(world_receive(&w, a, rpc), MSUB_OK);
  cr_assert(w.n_jobs == 1 && w.n_delivered == 0 && w.n_sent == 0, "nothing happens before the signature is verified");
  world_run_jobs(&w);
  cr_assert(w.n_delivered == 1 && said(0, "hello"));
  cr_assert_eq(w.delivered_from[0].v, msub_session_peer(w.e, a).v);
  cr_assert(sent_to(2) == 1 && sent_to(1) == 0 && sent_to(3) == 0, "to the topic's other peer, not back, not elsewhere");
  cr_assert(w.sent[0].lane == MSUB_LANE_FORWARD && msub_bytes_eq((msub_bytes){ w.sent[0].rpc, w.sent[0].n }, rpc), "byte for byte");
  cr_assert_eq(msub_id(w.delivered[0]).n, msub_from(w.delivered[0]).n + 8);

  size_t blocks = w.mem.live_blocks;
  cr_assert_eq(world_receive(&w, b, rpc), MSUB_OK);
  cr_assert(n()->duplicates == 1 && w.n_jobs == 0 && w.mem.live_blocks == blocks, "a duplicate costs no allocation");
  /* seen to the last nanosecond and not longer */
  w.now.mono_ns += w.opts.seen_ttl_ns - 2;
  world_receive(&w, b, rpc);
  cr_assert_eq(n()->duplicates, 2);
  w.now.mono_ns += 2;
  world_receive(&w, b, rpc);
  cr_assert(n()->duplicates == 2 && w.n_jobs == 1, "forgotten exactly at its time");
  world_run_jobs(&w);
  cr_assert_eq(w.n_delivered, 2);

  world_receive(&w, a, (msub_bytes){ buf2, world_signed_rpc(buf2, sizeof buf2, 50, 2, "other", msub_str("x")) });
  cr_assert_eq(n()->unwanted, 1);
  /* nobody sends us our own message; the author does not get its own back */
  msub_bytes own = signed_rpc(9, 5, "mine");
  world_receive(&w, a, own);
  cr_assert_eq(msub_count_reason(w.e, MSUB_R_SELF_ORIGIN), 1);
  world_clear(&w);
  world_receive(&w, a, signed_rpc(2, 7, "of b"));
  world_run_jobs(&w);
  cr_assert(w.n_delivered == 1 && sent_to(2) == 0);
  world_stop(&w);
}

/* G-06: forged messages first, the real one second. */
Test(engine, G_06_forged_ids_suppress_nothing) {
  world_init(&w, 9);
  world_start(&w, NULL);
  world_join(&w, "t", NULL);
  msub_session a = world_peer(&w, 1), b = world_peer(&w, 2);
  size_t len = world_signed_rpc(buf, sizeof buf, 50, 1, "t", msub_str("real"));
  memcpy(buf2, buf, len);
  memcpy(buf2 + 2 + 40 + 2, "fake", 4); /* tag, length, from, tag and length of data */
  cr_assert(memcmp(buf, buf2, len) != 0);
  world_receive(&w, a, (msub_bytes){ buf2, len });
  world_run_jobs(&w);
  cr_assert(n()->rejected == 1 && msub_count_reason(w.e, MSUB_R_INVALID_SIGNATURE) == 1);
  msub_usage u;
  msub_usage_of(w.e, &u);
  cr_assert_eq(u.seen, 0, "G-06: an unverified id is not remembered");
  world_receive(&w, b, (msub_bytes){ buf2, len });
  cr_assert(n()->bad_bytes_again == 1 && w.n_jobs == 0, "the same bad bytes are not verified twice");
  /* both under judgement at once: each by itself */
  buf2[2 + 40 + 2] = 'F';
  world_receive(&w, a, (msub_bytes){ buf2, len });
  world_receive(&w, b, (msub_bytes){ buf, len });
  cr_assert_eq(w.n_jobs, 2);
  world_run_jobs(&w);
  cr_assert(w.n_delivered == 1 && said(0, "real"));
  world_receive(&w, a, (msub_bytes){ buf, len });
  cr_assert(n()->duplicates == 1 && w.n_delivered == 1);
  cr_assert_eq(n()->disconnects, 0, "what another one may have signed wrongly is not the sender's provable fault");
  for (uint32_t i = 0; i < 5000; i++) {
    memcpy(buf2 + 2 + 40 + 2, &i, 4);
    world_receive(&w, a, (msub_bytes){ buf2, len });
    world_run_jobs(&w);
  }
  msub_usage_of(w.e, &u);
  cr_assert_eq(u.seen, 1);
  world_stop(&w);
}

static struct { msub_verdict v; int reason; size_t n; msub_peer from[8]; unsigned calls; } told;
static void note_validated(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t k, msub_verdict v, int reason) {
  (void)r, (void)t, (void)m;
  told.v = v;
  told.reason = reason;
  told.n = k;
  told.calls++;
  memcpy(told.from, from, k * sizeof *from);
}
static msub_router_ops telling(void) {
  msub_router_ops ops = msub_floodsub;
  ops.validated = note_validated;
  return ops;
}

Test(engine, copies_of_a_message_under_judgement) {
  world_init(&w, 9);
  msub_router_ops ops = telling();
  world_start(&w, &ops);
  world_join(&w, "t", NULL);
  msub_session s[12];
  for (uint8_t i = 0; i < 12; i++) {
    s[i] = world_peer(&w, (uint8_t)(i + 1));
    world_subscribe(&w, s[i], "t", true);
  }
  world_clear(&w);
  msub_bytes rpc = signed_rpc(50, 1, "x");
  for (unsigned i = 0; i < 10; i++) world_receive(&w, s[i], rpc);
  world_receive(&w, s[0], rpc); /* the same peer again is the same sender */
  cr_assert(w.n_jobs == 1 && n()->copies_pending == 10 && n()->duplicates == 0);
  world_run_jobs(&w);
  cr_assert(told.calls == 1 && told.v == MSUB_ACCEPT && told.n == 8, "eight senders are remembered");
  for (unsigned i = 0; i < 8; i++) cr_assert_eq(told.from[i].v, msub_session_peer(w.e, s[i]).v);
  cr_assert_eq(w.n_sent, 4, "nobody who sent a copy gets one back");
  /* a sender that is gone when the verdict comes */
  rpc = signed_rpc(50, 2, "y");
  world_receive(&w, s[3], rpc);
  cr_assert_eq(msub_session_down(w.e, s[3], &w.now), MSUB_OK);
  world_run_jobs(&w);
  cr_assert_eq(w.n_delivered, 2);
  world_stop(&w);
}

/* ---- validators ---- */

static msub_verdict answers[4];
static unsigned asked[4];
static msub_token open_token;
static msub_verdict job_verdict(const void *arg, size_t k) {
  (void)k;
  return *(const uint8_t *)arg == 'r' ? MSUB_REJECT : MSUB_ACCEPT;
}
static msub_verdict validator(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job) {
  unsigned i = (unsigned)(uintptr_t)ud;
  (void)from;
  asked[i]++;
  open_token = token;
  if (i == 3 && answers[3] == MSUB_PENDING) *job = (msub_job){ .fn = job_verdict, .arg = msub_data(m).p, .n = msub_data(m).n };
  return answers[i];
}
static void validators(unsigned first, unsigned last, msub_topic t) {
  memset(answers, 0, sizeof answers);
  memset(asked, 0, sizeof asked);
  for (unsigned i = first; i <= last; i++)
    cr_assert_eq(msub_validator(w.e, i == 0 ? (msub_topic){ 0 } : t, validator, (void *)(uintptr_t)i), MSUB_OK);
}

Test(engine, verdicts_of_validators) {
  anonymous();
  msub_router_ops ops = telling();
  world_start(&w, &ops);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_session a = world_peer(&w, 1);
  validators(0, 2, t);
  static const struct { msub_verdict in[3], out; int reason; bool again; } table[] = {
    { { MSUB_ACCEPT, MSUB_ACCEPT, MSUB_ACCEPT }, MSUB_ACCEPT, MSUB_R_NONE, false },
    { { MSUB_ACCEPT, MSUB_REJECT, MSUB_ACCEPT }, MSUB_REJECT, MSUB_R_REJECTED, false },
    { { MSUB_IGNORE, MSUB_ACCEPT, MSUB_ACCEPT }, MSUB_IGNORE, MSUB_R_IGNORED, false },
    { { MSUB_IGNORE, MSUB_ACCEPT, MSUB_REJECT }, MSUB_REJECT, MSUB_R_REJECTED, false }, /* the rest still run */
    { { MSUB_ACCEPT, MSUB_ACCEPT, MSUB_THROTTLED }, MSUB_THROTTLED, MSUB_R_THROTTLED, true },
    { { MSUB_ACCEPT, MSUB_DEFER, MSUB_ACCEPT }, MSUB_IGNORE, MSUB_R_IGNORED, false }, /* not a validator's answer */
    { { (msub_verdict)99, MSUB_ACCEPT, MSUB_ACCEPT }, MSUB_IGNORE, MSUB_R_IGNORED, false },
  };
  for (unsigned i = 0; i < sizeof table / sizeof table[0]; i++) {
    char data[2] = { (char)('a' + i), 0 };
    memcpy(answers, table[i].in, sizeof table[i].in);
    told.calls = 0;
    size_t before = w.n_delivered;
    world_receive(&w, a, plain_rpc(data));
    cr_assert(told.calls == 1 && told.v == table[i].out && told.reason == table[i].reason, "case %u: %d %d", i, told.v, told.reason);
    cr_assert_eq(w.n_delivered - before, table[i].out == MSUB_ACCEPT);
    memset(answers, 0, sizeof answers);
    uint64_t dup = n()->duplicates;
    world_receive(&w, a, plain_rpc(data));
    cr_assert_eq(n()->duplicates - dup, !table[i].again, "case %u: only THROTTLED may come again", i);
  }
  cr_assert_eq(msub_count_reason(w.e, MSUB_R_INVALID_AGAIN), 2);
  msub_usage u;
  msub_usage_of(w.e, &u);
  cr_assert_eq(u.questions, 0);
  /* own publishes pass them too, and hear of it */
  answers[1] = MSUB_REJECT;
  msub_token ticket;
  cr_assert_eq(msub_publish(w.e, t, msub_str("own"), &w.now, &ticket), MSUB_ERR_REFUSED);
  cr_assert(w.n_results == 1 && w.results[0].ticket == ticket.v && w.results[0].err == MSUB_ERR_REFUSED);
  for (unsigned i = 3; i < 9; i++) cr_assert_eq(msub_validator(w.e, t, validator, NULL), MSUB_OK);
  cr_assert_eq(msub_validator(w.e, t, validator, NULL), MSUB_ERR_LIMIT);
  world_stop(&w);
}

Test(engine, pending) {
  anonymous();
  msub_router_ops ops = telling();
  world_start(&w, &ops);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_session a = world_peer(&w, 1);
  validators(2, 3, t);
  /* the program answers */
  answers[2] = MSUB_PENDING;
  world_receive(&w, a, plain_rpc("one"));
  cr_assert(w.n_delivered == 0 && asked[3] == 0);
  msub_token first = open_token;
  cr_assert_eq(msub_complete(w.e, first, MSUB_ACCEPT, &w.now), MSUB_OK);
  cr_assert(w.n_delivered == 1 && asked[3] == 1, "the next validator runs after the answer");
  cr_assert_eq(msub_complete(w.e, first, MSUB_ACCEPT, &w.now), MSUB_ERR_STALE);
  cr_assert_eq(msub_complete(w.e, (msub_token){ 12345 }, MSUB_ACCEPT, &w.now), MSUB_ERR_STALE);
  /* a job of the validator, through the world */
  answers[2] = MSUB_ACCEPT;
  answers[3] = MSUB_PENDING;
  world_receive(&w, a, plain_rpc("good"));
  world_receive(&w, a, plain_rpc("rejected"));
  cr_assert_eq(w.n_jobs, 2);
  cr_assert_eq(world_run_job(&w, 1), MSUB_OK);
  cr_assert(told.v == MSUB_REJECT);
  cr_assert_eq(world_run_job(&w, 0), MSUB_OK);
  cr_assert(told.v == MSUB_ACCEPT && w.n_delivered == 2);
  /* no room in the world: throttled, and it may come again */
  w.jobs_max = 0;
  world_receive(&w, a, plain_rpc("later"));
  cr_assert_eq(told.v, MSUB_THROTTLED);
  w.jobs_max = 10;
  world_receive(&w, a, plain_rpc("later"));
  cr_assert_eq(w.n_jobs, 1);
  /* the deadline: IGNORE; a running job keeps its bytes, its answer no longer counts */
  w.jobs[0].running = true;
  uint64_t at = msub_next_deadline(w.e);
  cr_assert_eq(at, w.now.mono_ns + w.opts.validate_timeout_ns);
  w.now.mono_ns = at - 1;
  msub_advance(w.e, &w.now);
  cr_assert_eq(n()->timeouts, 0);
  w.now.mono_ns = at;
  msub_advance(w.e, &w.now);
  cr_assert(n()->timeouts == 1 && told.v == MSUB_IGNORE && told.reason == MSUB_R_TIMEOUT);
  msub_usage u;
  msub_usage_of(w.e, &u);
  cr_assert(u.questions == 1 && w.n_jobs == 1, "pinned while the job runs");
  cr_assert_eq(world_run_job(&w, 0), MSUB_ERR_STALE);
  msub_usage_of(w.e, &u);
  cr_assert(u.questions == 0 && w.n_delivered == 2);
  /* leaving: what is open ends, a queued job is recalled */
  world_receive(&w, a, plain_rpc("left"));
  answers[2] = MSUB_PENDING;
  world_receive(&w, a, plain_rpc("left too"));
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  cr_assert(w.n_jobs == 0 && msub_count_reason(w.e, MSUB_R_LEFT) == 2);
  cr_assert_eq(msub_complete(w.e, open_token, MSUB_ACCEPT, &w.now), MSUB_ERR_STALE);
  world_stop(&w);
}

Test(engine, free_waits_for_a_running_job) {
  world_init(&w, 9);
  world_start(&w, NULL);
  world_join(&w, "t", NULL);
  msub_session a = world_peer(&w, 1);
  world_receive(&w, a, signed_rpc(50, 1, "x"));
  world_receive(&w, a, signed_rpc(50, 2, "y"));
  w.jobs[1].running = true;
  cr_assert_eq(msub_engine_free(w.e), MSUB_ERR_STATE);
  cr_assert_eq(w.n_jobs, 1, "the queued one was recalled");
  msub_topic t;
  cr_assert_eq(msub_join(w.e, 0, msub_str("u"), NULL, NULL, &w.now, &t), MSUB_ERR_STATE);
  cr_assert_eq(msub_advance(w.e, &w.now), MSUB_ERR_STATE);
  cr_assert_eq(msub_next_deadline(w.e), MSUB_NEVER);
  cr_assert_eq(world_run_job(&w, 0), MSUB_ERR_STALE);
  world_stop(&w);
}

Test(engine, full_table_throttles) {
  world_init(&w, 9);
  w.opts.pending_messages = 4;
  world_start(&w, NULL);
  world_join(&w, "t", NULL);
  msub_session a = world_peer(&w, 1);
  for (uint64_t i = 0; i < 10; i++) world_receive(&w, a, signed_rpc(50, i, "x"));
  cr_assert(w.n_jobs == 4 && n()->throttled == 6);
  world_run_jobs(&w);
  for (uint64_t i = 0; i < 10; i++) {
    world_receive(&w, a, signed_rpc(50, i, "x"));
    world_run_jobs(&w);
  }
  cr_assert_eq(w.n_delivered, 10, "what was throttled was not marked");
  world_stop(&w);
}

/* ---- policies ---- */

Test(engine, signature_policies) {
  anonymous();
  world_start(&w, NULL);
  msub_topic t;
  cr_assert_eq(msub_join(w.e, 0, msub_str("t"), NULL, NULL, &w.now, &t), MSUB_ERR_INVAL, "anonymous topics need an id function");
  t = world_join(&w, "t", &world_data_ids);
  msub_session a = world_peer(&w, 1);
  static const uint8_t fields[] = { MSUB_HAS_FROM, MSUB_HAS_SEQNO, MSUB_HAS_SIGNATURE, MSUB_HAS_KEY };
  for (unsigned i = 0; i < 4; i++) {
    msub_msg_view v = { .data = msub_str("d"), .topic = msub_str("t"), .from = msub_str("f"), .seqno = msub_str("12345678"),
                        .signature = msub_str("s"), .key = msub_str("k"), .present = (uint8_t)(MSUB_HAS_DATA | MSUB_HAS_TOPIC | fields[i]) };
    buf[0] = 0x12;
    size_t k = msub_msg_encode(&v, buf + 2, sizeof buf - 2);
    buf[1] = (uint8_t)k;
    world_receive(&w, a, (msub_bytes){ buf, k + 2 });
    cr_assert_eq(msub_count_reason(w.e, MSUB_R_FORBIDDEN_FIELD), i + 1);
  }
  cr_assert_eq(w.n_delivered, 0);
  world_receive(&w, a, plain_rpc("d"));
  cr_assert_eq(w.n_delivered, 1);
  world_subscribe(&w, a, "t", true);
  world_clear(&w);
  cr_assert_eq(msub_publish(w.e, t, msub_str("p"), &w.now, NULL), MSUB_OK);
  cr_assert(w.n_sent == 1 && w.sent[0].n == world_plain_rpc(buf, sizeof buf, "t", msub_str("p")) && memcmp(buf, w.sent[0].rpc, w.sent[0].n) == 0);
  world_stop(&w);

  world_init(&w, 9);
  world_start(&w, NULL);
  world_join(&w, "t", NULL);
  a = world_peer(&w, 1);
  world_receive(&w, a, plain_rpc("unsigned"));
  cr_assert_eq(msub_count_reason(w.e, MSUB_R_FORBIDDEN_FIELD), 1);
  cr_assert(w.n_jobs == 0 && w.n_delivered == 0);
  world_stop(&w);
}

/* ---- publishing ---- */

Test(engine, publish) {
  world_init(&w, 9);
  world_start(&w, NULL);
  msub_topic t = world_join(&w, "t", NULL);
  msub_token ticket;
  cr_assert_eq(msub_publish(w.e, t, msub_str(""), &w.now, &ticket), MSUB_OK);
  cr_assert(w.n_results == 1 && w.results[0].recipients == 0 && w.n_delivered == 1 && w.delivered_from[0].v == 0, "to nobody, and to us");
  msub_session a = world_peer(&w, 1), b = world_peer(&w, 2);
  world_subscribe(&w, a, "t", true);
  world_subscribe(&w, b, "t", true);
  world_clear(&w);
  cr_assert_eq(msub_publish(w.e, t, msub_str("x"), &w.now, &ticket), MSUB_OK);
  cr_assert(w.n_sent == 2 && w.results[0].recipients == 2 && w.sent[0].lane == MSUB_LANE_OWN);
  cr_assert(msub_bytes_eq((msub_bytes){ w.sent[0].rpc, w.sent[0].n }, (msub_bytes){ w.sent[1].rpc, w.sent[1].n }));
  /* another engine takes it */
  world_init(&other, 8);
  world_start(&other, NULL);
  world_join(&other, "t", NULL);
  msub_session from = world_peer(&other, 9);
  cr_assert_eq(world_receive(&other, from, (msub_bytes){ w.sent[0].rpc, w.sent[0].n }), MSUB_OK);
  world_run_jobs(&other);
  cr_assert(other.n_delivered == 1 && msub_bytes_eq(msub_data(other.delivered[0]), msub_str("x")));
  cr_assert(msub_bytes_eq(msub_from(other.delivered[0]), w.opts.self_id) && msub_seqno(other.delivered[0]).n == 8);
  world_stop(&other);
  /* no room: nothing has happened */
  world_clear(&w);
  w.no_room = true;
  uint64_t published = n()->published;
  cr_assert_eq(msub_publish(w.e, t, msub_str("wait"), &w.now, &ticket), MSUB_ERR_LIMIT);
  cr_assert(w.n_sent == 0 && w.n_delivered == 0 && n()->published == published);
  w.no_room = false;
  cr_assert_eq(msub_publish(w.e, t, msub_str("wait"), &w.now, &ticket), MSUB_OK);
  /* refused by the world: dropped, told by the count */
  world_clear(&w);
  w.refuse = true;
  cr_assert_eq(msub_publish(w.e, t, msub_str("lost"), &w.now, &ticket), MSUB_OK);
  cr_assert(w.results[0].recipients == 0 && n()->refused == 2);
  w.refuse = false;
  cr_assert_eq(msub_publish(w.e, t, (msub_bytes){ buf, w.opts.max_message }, &w.now, NULL), MSUB_ERR_LIMIT);
  cr_assert_eq(msub_publish(w.e, (msub_topic){ 0 }, msub_str("x"), &w.now, NULL), MSUB_ERR_STALE);
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  cr_assert_eq(msub_publish(w.e, t, msub_str("x"), &w.now, NULL), MSUB_ERR_STALE);
  world_stop(&w);
}

static bool never(void *ud, msub_topic t, const msub_msg *m, msub_peer from) {
  (void)t, (void)m, (void)from;
  ((world *)ud)->n_results += 0;
  return false;
}

Test(engine, full_delivery) {
  for (unsigned i = 0; i < 2; i++) {
    anonymous();
    w.ops.deliver = never;
    world_start(&w, NULL);
    msub_channel_policy p = world_data_ids;
    p.full = i == 0 ? MSUB_FULL_DROP : MSUB_FULL_REFUSE;
    msub_topic t = world_join(&w, "t", &p);
    msub_session a = world_peer(&w, 1), b = world_peer(&w, 2);
    world_subscribe(&w, b, "t", true);
    world_clear(&w);
    world_receive(&w, a, plain_rpc("x"));
    world_receive(&w, a, plain_rpc("x"));
    cr_assert_eq(n()->delivery_full, i == 0 ? 1 : 2);
    cr_assert_eq(n()->duplicates, i == 0 ? 1 : 0, "REFUSE marks nothing");
    cr_assert_eq(w.n_sent, i == 0 ? 1 : 0);
    cr_assert_eq(msub_publish(w.e, t, msub_str("own"), &w.now, NULL), i == 0 ? MSUB_OK : MSUB_ERR_LIMIT);
    world_stop(&w);
  }
}

/* ---- deferred calls ---- */

static unsigned echoes;
static msub_topic echo_topic;
static void echo(world *x, const msub_msg *m) {
  char text[16];
  (void)m;
  if (echoes >= 1000) return;
  int k = snprintf(text, sizeof text, "echo %u", echoes++);
  cr_assert_eq(msub_publish(x->e, echo_topic, (msub_bytes){ (const uint8_t *)text, (size_t)k }, &x->now, NULL), MSUB_ERR_STATE,
               "a time from inside a callback");
  cr_assert_eq(msub_publish(x->e, echo_topic, (msub_bytes){ (const uint8_t *)text, (size_t)k }, NULL, NULL), MSUB_OK);
  memset(text, 0, sizeof text); /* it was copied */
  cr_assert_eq(msub_advance(x->e, &x->now), MSUB_ERR_STATE);
  cr_assert_eq(msub_receive(x->e, (msub_session){ 1 }, msub_str(""), &x->now), MSUB_ERR_STATE);
  cr_assert_eq(msub_engine_free(x->e), MSUB_ERR_STATE);
  cr_assert_eq(msub_validator(x->e, (msub_topic){ 0 }, validator, NULL), MSUB_ERR_STATE);
}

Test(engine, deferred_calls_come_in_order_and_do_not_hang) {
  anonymous();
  w.on_deliver = echo;
  world_start(&w, NULL);
  echo_topic = world_join(&w, "t", &world_data_ids);
  msub_session a = world_peer(&w, 1);
  echoes = 0;
  world_receive(&w, a, plain_rpc("start"));
  cr_assert_eq(w.n_delivered, 257, "256 before the outermost call returns");
  cr_assert_eq(msub_next_deadline(w.e), w.now.mono_ns, "now");
  for (unsigned i = 0; i < 10 && msub_next_deadline(w.e) != MSUB_NEVER; i++) msub_advance(w.e, &w.now);
  cr_assert(w.n_delivered == 1001 && said(1, "echo 0") && said(1000, "echo 999"));
  cr_assert_eq(msub_publish(w.e, echo_topic, msub_str("x"), NULL, NULL), MSUB_ERR_STATE, "deferred calls are for callbacks");
  cr_assert_eq(msub_complete(w.e, (msub_token){ 1 }, MSUB_ACCEPT, NULL), MSUB_ERR_STATE);
  world_stop(&w);
}

static void join_and_leave(world *x, const msub_msg *m) {
  msub_topic t, u;
  (void)m;
  x->on_deliver = NULL;
  cr_assert_eq(msub_join(x->e, 0, msub_str("new"), &world_data_ids, NULL, NULL, &t), MSUB_OK);
  cr_assert_eq(msub_publish(x->e, t, msub_str("in the new topic"), NULL, NULL), MSUB_OK);
  cr_assert_eq(msub_join(x->e, 0, msub_str("short"), &world_data_ids, NULL, NULL, &u), MSUB_OK);
  cr_assert_eq(msub_leave(x->e, u, NULL), MSUB_OK);
  cr_assert_eq(msub_disconnect(x->e, (msub_peer){ 1 }, MSUB_R_REQUESTED, NULL), MSUB_OK);
  cr_assert(x->n_sent == 0, "nothing leaves before the callback is over");
}

Test(engine, join_from_a_callback) {
  anonymous();
  w.on_deliver = join_and_leave;
  world_start(&w, NULL);
  world_join(&w, "t", &world_data_ids);
  msub_session a = world_peer(&w, 1);
  world_clear(&w);
  world_receive(&w, a, plain_rpc("go"));
  msub_topic joined[4];
  cr_assert_eq(msub_joined(w.e, joined, 4), 2);
  cr_assert(w.n_delivered == 2 && said(1, "in the new topic") && w.n_disconnected == 1);
  cr_assert(w.n_sent == 1 && w.sent[0].lane == MSUB_LANE_CONTROL, "the topic that was left again was never announced");
  world_stop(&w);
}
