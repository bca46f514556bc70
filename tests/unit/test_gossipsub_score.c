/* tests/unit/test_gossipsub_score.c: what scores do to a router, and what the application does to scores; and the table where the recorded vectors do
 * not reach: our own two options, its bounds, lack of memory. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "gossipsub_world.h"
#include "meshsub/guard.h"
#include "routers/gossipsub/limits.h"
#include "routers/gossipsub/peer_score.h"
#include "routers/gossipsub/promises.h"

#define SEC 1000000000ull

static msub_topic_score t_score;
static msub_score_opts s_opts;
static msub_gossipsub_mesh own_mesh;

/* Scores in which nothing counts yet. */
static void plain(void) {
  t_score = (msub_topic_score){ .skip_atomic = true, .weight = 1 };
  s_opts = (msub_score_opts){
    .params = { .skip_atomic = true, .app_specific_weight = 1, .decay_interval_ns = SEC, .decay_to_zero = 0.01, .retain_ns = 10 * SEC, .topic = &t_score },
    .thresholds = { .gossip = -10, .publish = -20, .graylist = -40, .accept_px = 10, .opportunistic_graft = 1 } };
}
static void begin(void) {
  gs_init();
  o.score = &s_opts;
}
static void done(void) { world_stop(&w); }

typedef struct seen { msub_bytes id; msub_peer_score s; msub_peer_topic_score t[4]; bool found; } seen;
static void look(void *ud, msub_bytes id, const msub_peer_score *s) {
  seen *x = ud;
  if (!msub_bytes_eq(id, x->id)) return;
  x->found = true;
  x->s = *s;
  for (size_t i = 0; i < s->n_topics && i < 4; i++) x->t[i] = s->topics[i];
}
static seen of(uint8_t seed) {
  static msub_peer_id id;
  id = world_peer_id(seed);
  seen x = { .id = msub_peer_id_bytes(&id) };
  msub_gossipsub_inspect a = { look, &x };
  cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_INSPECT, &a, sizeof a, &w.now), MSUB_OK);
  return x;
}
static double score(uint8_t seed) { return of(seed).s.score; }
static int app(uint8_t seed, double value) {
  msub_peer_id id = world_peer_id(seed);
  msub_gossipsub_app_score a = { msub_peer_id_bytes(&id), value };
  return msub_command(w.e, 0, MSUB_GOSSIPSUB_APP_SCORE, &a, sizeof a, &w.now);
}
static bool near(double a, double b) { return fabs(a - b) < 1e-9; }

static msub_verdict judge(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job) {
  (void)ud, (void)from, (void)token, (void)job;
  msub_bytes id = msub_id(m);
  return id.p[0] == 'b' ? MSUB_REJECT : id.p[0] == 'i' ? MSUB_IGNORE : MSUB_ACCEPT;
}

/* Ten deliveries are seen by the inspector; ignored messages cost nothing, rejected ones do, and copies of them. */
Test(score, deliveries_and_verdicts) {
  plain();
  t_score.first_message_deliveries_weight = 1;
  t_score.first_message_deliveries_decay = 0.5;
  t_score.first_message_deliveries_cap = 100;
  t_score.invalid_message_deliveries_weight = -1;
  t_score.invalid_message_deliveries_decay = 0.5;
  begin();
  gs_start();
  cr_assert_eq(msub_validator(w.e, (msub_topic){ 0 }, judge, NULL), MSUB_OK);
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 3, V12, false, "t");
  char id[8];
  for (int i = 0; i < 10; i++) {
    snprintf(id, sizeof id, "m%d", i);
    gs_message(gs_peer[1], "t", id, 4);
    gs_message(gs_peer[2], "t", id, 4);
  }
  seen x = of(1);
  cr_assert(x.found && x.s.connected && near(x.s.score, 10) && x.s.n_topics == 1 && near(x.t[0].first_message_deliveries, 10) && !x.t[0].in_mesh);
  cr_assert(near(score(2), 0), "a copy is no first delivery");
  for (int i = 0; i < 10; i++) {
    snprintf(id, sizeof id, "i%d", i);
    gs_message(gs_peer[3], "t", id, 4);
  }
  cr_assert(near(score(3), 0), "IGNORE costs nothing");
  gs_message(gs_peer[3], "t", "b1", 4);
  gs_message(gs_peer[3], "t", "b2", 4);
  cr_assert(near(score(3), -4), "REJECT costs its square");
  gs_message(gs_peer[2], "t", "b1", 4);
  cr_assert(near(score(2), -1), "and so does a copy of it");
  gs_until(1000);
  cr_assert(near(score(1), 5) && near(score(3), -1), "both fade");
  msub_peer p = msub_session_peer(w.e, gs_peer[2]);
  cr_assert_eq(msub_feedback(w.e, t, p, MSUB_USEFUL, &w.now), MSUB_OK);
  cr_assert_eq(msub_feedback(w.e, t, p, MSUB_USEFUL, &w.now), MSUB_OK);
  cr_assert_eq(msub_feedback(w.e, t, p, MSUB_USEFUL, &w.now), MSUB_OK);
  cr_assert(near(score(2), 3 - 0.25), "praise counts: %f", score(2));
  cr_assert_eq(msub_feedback(w.e, t, p, MSUB_INVALID, &w.now), MSUB_OK);
  cr_assert(near(score(2), 3 - 1.5 * 1.5), "blame, too");
  done();
}

/* Below graylist nothing is heard but subscriptions, below publish nothing own is sent, below gossip no IHAVE; a direct peer is served. */
Test(score, thresholds) {
  plain();
  begin();
  o.mesh.flood_publish = true;
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 1, V12, false, "t");
  const struct { double app; bool heard, published; } row[] = { { 0, true, true }, { -20, true, true }, { -20.5, true, false }, { -40, true, false }, { -40.5, false, false } };
  char id[8];
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    cr_assert_eq(app(1, row[i].app), MSUB_OK);
    size_t delivered = w.n_delivered;
    snprintf(id, sizeof id, "in%zu", i);
    gs_message(gs_peer[1], "t", id, 4);
    cr_assert_eq(w.n_delivered - delivered, row[i].heard, "%f", row[i].app);
    world_clear(&w);
    snprintf(id, sizeof id, "out%zu", i);
    cr_assert_eq(gs_publish(t, id, 4), MSUB_OK);
    cr_assert_eq(gs_sent_messages(1, id), row[i].published, "%f", row[i].app);
  }
  world_subscribe(&w, gs_peer[1], "u", true);
  cr_assert_eq(msub_topic_peers(w.e, msub_topic_named(w.e, 0, msub_str("u"))), 1, "what a graylisted peer subscribes to is read");
  msub_peer_id direct = world_peer_id(1);
  cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_ADD_DIRECT, direct.bytes, direct.n, &w.now), MSUB_OK);
  size_t delivered = w.n_delivered;
  gs_message(gs_peer[1], "t", "direct", 8);
  cr_assert_eq(w.n_delivered - delivered, 1);
  done();
}

/* How many broken frames until the peer is disconnected; its P5 is `value`. */
static unsigned faults_until_out(unsigned weight, double value, bool parity, bool direct) {
  plain();
  begin();
  if (parity) gs_parity();
  o.score = &s_opts;
  w.opts.graylisted_weight = (uint8_t)weight;
  gs_start();
  gs_crowd(NULL, 1, 2, V12, false, "t");
  msub_peer_id id = world_peer_id(1), other = world_peer_id(2);
  cr_assert_eq(app(1, value), MSUB_OK);
  if (direct) cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_ADD_DIRECT, id.bytes, id.n, &w.now), MSUB_OK);
  w.now.mono_ns += 3600 * SEC;
  cr_assert_eq(w.n_disconnected, 0, "a score alone disconnects nobody");
  unsigned n = 0;
  while (w.n_disconnected == 0 && n < 10) {
    cr_assert_eq(world_receive(&w, gs_peer[1], msub_str("\x0e")), MSUB_ERR_MALFORMED);
    n++;
  }
  uint64_t until;
  cr_assert_eq(msub_allows(w.e, msub_peer_id_bytes(&id), (msub_bytes){ NULL, 0 }, &w.now, &until), MSUB_ERR_REFUSED);
  cr_assert_eq(until, w.now.mono_ns + 60 * SEC);
  cr_assert_eq(msub_allows(w.e, msub_peer_id_bytes(&other), (msub_bytes){ NULL, 0 }, &w.now, NULL), MSUB_OK);
  done();
  return n;
}
Test(score, conduct) {
  cr_assert_eq(faults_until_out(2, 0, false, false), 4);
  cr_assert_eq(faults_until_out(2, -40, false, false), 4, "at the threshold");
  cr_assert_eq(faults_until_out(2, -40.5, false, false), 2, "graylisted");
  cr_assert_eq(faults_until_out(2, 1e9, false, false), 4, "no service pays for a fault that is proven");
  cr_assert_eq(faults_until_out(1, -1e9, false, false), 4, "off");
  cr_assert_eq(faults_until_out(100, -1e9, false, false), 1);
  cr_assert_eq(faults_until_out(2, -1e9, true, false), 4, "parity");
  cr_assert_eq(faults_until_out(2, -1e9, false, true), 4, "direct peers are heard whatever their score");
  /* a departed peer's score is remembered, and so counts against what its connection does before there is a session */
  plain();
  begin();
  gs_start();
  gs_crowd(NULL, 1, 1, V12, false, "t");
  msub_peer_id id = world_peer_id(1);
  msub_bytes peer = msub_peer_id_bytes(&id), none = { NULL, 0 };
  cr_assert_eq(app(1, -50), MSUB_OK);
  cr_assert_eq(msub_session_down(w.e, gs_peer[1], &w.now), MSUB_OK);
  cr_assert_eq(msub_report(w.e, peer, none, MSUB_R_FLOOD, 49, &w.now), MSUB_OK);
  cr_assert_eq(msub_allows(w.e, peer, none, &w.now, NULL), MSUB_OK);
  cr_assert_eq(msub_report(w.e, peer, none, MSUB_R_FLOOD, 1, &w.now), MSUB_OK);
  cr_assert_eq(msub_allows(w.e, peer, none, &w.now, NULL), MSUB_ERR_REFUSED);
  done();
  /* the option's range */
  begin();
  msub_engine_opts e = w.opts;
  cr_assert_eq(e.graylisted_weight, 2);
  for (unsigned k = 0; k < 2; k++) {
    const msub_plan *p;
    msub_engine *none_made = NULL;
    world_start(&w, &msub_gossipsub);
    e = w.opts;
    cr_assert_eq(msub_plan_new(w.sh, &msub_gossipsub, &o, &p), MSUB_OK);
    const msub_plan *const plans[] = { p };
    e.routers = plans;
    e.n_routers = 1;
    e.graylisted_weight = k ? 101 : 0;
    cr_assert_eq(msub_engine_new(w.sh, &e, &w.now, &none_made), MSUB_ERR_INVAL);
    e.graylisted_weight = k ? 100 : 1;
    cr_assert_eq(msub_engine_new(w.sh, &e, &w.now, &none_made), MSUB_OK);
    cr_assert_eq(msub_engine_free(none_made), MSUB_OK);
    world_stop(&w);
    begin();
  }
}

/* GRAFT during the backoff: a PRUNE each, and the price rises until nothing is heard. */
Test(score, graft_during_backoff) {
  plain();
  s_opts.params.behaviour_penalty_weight = -1;
  s_opts.params.behaviour_penalty_decay = 0.99;
  begin();
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 1, V12, true, "t");
  gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
  gs_from(gs_peer[1], MSUB_C_PRUNE, "t", NULL, 60);
  world_clear(&w);
  gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert(gs_sent(MSUB_C_PRUNE, 1, "t") == 1 && near(score(1), -4), "soon after the PRUNE it costs two: %f", score(1));
  gs_until(20000);
  double before = of(1).s.behaviour_penalty;
  gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert(gs_sent(MSUB_C_PRUNE, 1, "t") == 2 && near(of(1).s.behaviour_penalty, before + 1), "later one");
  for (int i = 0; i < 20; i++) gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert(score(1) < -40 && !(gs_role(t, 1) & MSUB_ROLE_MESH));
  world_clear(&w);
  gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert_eq(gs_sent(MSUB_C_PRUNE, 1, "t"), 0, "it is not heard any more");
  done();
}

/* Messages that break the signature policy: rejected, the sender falls below 0, out of the mesh, and cannot come back. */
Test(score, invalid_messages) {
  plain();
  t_score.invalid_message_deliveries_weight = -1;
  t_score.invalid_message_deliveries_decay = 0.99;
  begin();
  w.opts.sign = MSUB_STRICT_SIGN;
  gs_start();
  msub_topic t = world_join(&w, "t", NULL);
  gs_crowd(NULL, 1, 2, V12, false, "t");
  gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert(gs_role(t, 1) & MSUB_ROLE_MESH);
  char id[8];
  for (int i = 0; i < 5; i++) {
    snprintf(id, sizeof id, "m%d", i);
    gs_message(gs_peer[1], "t", id, 4); /* without a signature */
  }
  cr_assert(near(score(1), -25) && near(score(2), 0));
  world_clear(&w);
  gs_heartbeat();
  cr_assert(!(gs_role(t, 1) & MSUB_ROLE_MESH) && gs_sent(MSUB_C_PRUNE, 1, "t") == 1);
  gs_until(62000);
  cr_assert(gs_role(t, 1) == 0 || !(gs_role(t, 1) & MSUB_ROLE_MESH));
  done();
}

static size_t many_backoffs(msub_topic t) { return gs_count(t, MSUB_ROLE_BACKOFF); }

/* A mesh that falls below 0 is pruned whole; the backoffs end when they should. */
Test(score, prune_backoff_time) {
  plain();
  begin();
  o.prune_backoff_ns = 5 * SEC;
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 6, V12, true, "t");
  gs_heartbeat();
  cr_assert_eq(gs_count(t, MSUB_ROLE_MESH), 6);
  for (uint8_t p = 1; p <= 6; p++) app(p, -1);
  gs_heartbeat();
  cr_assert(gs_count(t, MSUB_ROLE_MESH) == 0 && many_backoffs(t) == 6);
  uint64_t until = gs_backoff(t, 1);
  for (uint8_t p = 1; p <= 6; p++) app(p, 0);
  while (w.now.mono_ns / MS < 1 || gs_backoff(t, 1) != UINT64_MAX) {
    gs_heartbeat();
    if (gs_count(t, MSUB_ROLE_MESH)) break;
  }
  for (int i = 0; i < 4 && gs_count(t, MSUB_ROLE_MESH) == 0; i++) gs_heartbeat();
  cr_assert(until >= 5000 && gs_count(t, MSUB_ROLE_MESH) == 6, "they come back: %zu", gs_count(t, MSUB_ROLE_MESH));
  done();
}

/* A score outlives the connection: for its time, whatever it was; a good one is forgotten at once. */
Test(score, G_23_retention) {
  plain();
  begin();
  gs_start();
  world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 2, V12, false, "t");
  app(1, -5);
  app(2, 5);
  for (uint8_t p = 1; p <= 2; p++) cr_assert_eq(msub_session_down(w.e, gs_peer[p], &w.now), MSUB_OK);
  cr_assert(of(1).found && !of(1).s.connected && near(score(1), -5) && !of(2).found);
  cr_assert(app(1, -6) == MSUB_OK && app(2, 1) == MSUB_ERR_NOTFOUND, "a remembered peer has a score");
  gs_until(5000);
  gs_up(1, V12, false);
  cr_assert(of(1).s.connected && near(score(1), -6));
  cr_assert_eq(msub_session_down(w.e, gs_peer[1], &w.now), MSUB_OK);
  gs_until(17000);
  cr_assert_not(of(1).found);
  gs_up(1, V12, false);
  cr_assert(near(score(1), 0));
  done();
}

/* Parameters of a topic: by its policy, by command, at once; what is wrong is refused and named. */
Test(score, topic_parameters) {
  plain();
  static msub_topic_score of_policy;
  of_policy = (msub_topic_score){ .skip_atomic = true, .weight = 2, .first_message_deliveries_weight = 1, .first_message_deliveries_decay = 0.5, .first_message_deliveries_cap = 10 };
  begin();
  gs_start();
  own_mesh = o.mesh;
  own_mesh.score = &of_policy;
  msub_channel_policy p = gs_ids;
  p.params = &own_mesh;
  msub_topic t = world_join(&w, "t", &p);
  gs_crowd(NULL, 1, 1, V12, false, "t");
  for (char c = 'a'; c < 'g'; c++) gs_message(gs_peer[1], "t", (char[2]){ c, 0 }, 1);
  cr_assert(near(score(1), 12));
  msub_gossipsub_topic_score set = { msub_str("t"), of_policy };
  set.params.weight = 1;
  set.params.first_message_deliveries_cap = 4;
  cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_TOPIC_SCORE, &set, sizeof set, &w.now), MSUB_OK);
  cr_assert(near(score(1), 4), "at once, and cut");
  set.params.first_message_deliveries_decay = NAN;
  cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_TOPIC_SCORE, &set, sizeof set, &w.now), MSUB_ERR_INVAL);
  cr_assert(app(1, INFINITY) == MSUB_ERR_INVAL && app(1, NAN) == MSUB_ERR_INVAL && app(1, -1.01 * MSUB_SCORE_MAX) == MSUB_ERR_INVAL && app(9, 1) == MSUB_ERR_NOTFOUND);
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  static msub_topic_score bad;
  bad = of_policy;
  bad.weight = -1;
  own_mesh.score = &bad;
  msub_topic u;
  cr_assert_eq(msub_join(w.e, 0, msub_str("u"), &p, NULL, &w.now, &u), MSUB_ERR_INVAL);
  done();
  begin();
  o.score = NULL;
  gs_start();
  cr_assert_eq(app(1, 1), MSUB_ERR_UNSUPPORTED, "there are none");
  done();
  char where[96];
  cr_assert_str_eq(msub_topic_score_fault(&bad, where), "must not be negative");
  cr_assert_str_eq(where, "weight -1");
  s_opts.params.behaviour_penalty_threshold = INFINITY;
  s_opts.params.behaviour_penalty_weight = -1;
  s_opts.params.behaviour_penalty_decay = 0.5;
  cr_assert(msub_score_params_fault(&s_opts.params, where) && strstr(where, "behaviour_penalty_threshold inf"), "%s", where);
  s_opts.thresholds.publish = -5;
  cr_assert(msub_score_thresholds_fault(&s_opts.thresholds, where) && strstr(where, "publish"));
}

/* Peers at one address, and one that moves away. */
Test(score, addresses) {
  plain();
  s_opts.params.ip_colocation_factor_weight = -1;
  s_opts.params.ip_colocation_factor_threshold = 1;
  begin();
  gs_start();
  static const uint8_t one[4] = { 9, 1, 1, 1 }, two[4] = { 9, 1, 1, 2 };
  for (uint8_t p = 1; p <= 3; p++) {
    msub_peer_id id = world_peer_id(p);
    msub_session_opts so = { .peer_id = msub_peer_id_bytes(&id), .protocol = V12, .link = p, .agreed = true, .address = { one, 4 } };
    cr_assert_eq(msub_session_up(w.e, &so, &w.now, &gs_peer[p]), MSUB_OK);
  }
  cr_assert(near(score(1), -4) && near(score(3), -4));
  cr_assert_eq(msub_session_address(w.e, gs_peer[3], (msub_bytes){ two, 4 }, &w.now), MSUB_OK);
  cr_assert(near(score(1), -1) && near(score(3), 0));
  done();
}

/* An announced message that does not come: its announcer broke a promise. Who brings it, or anybody else, keeps it. */
Test(score, promises) {
  plain();
  s_opts.params.behaviour_penalty_weight = -1;
  s_opts.params.behaviour_penalty_decay = 0.999;
  begin();
  gs_start();
  world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 3, V12, false, "t");
  gs_from(gs_peer[1], MSUB_C_IHAVE, "t", "a", 0);
  gs_from(gs_peer[2], MSUB_C_IHAVE, "t", "b", 0);
  gs_message(gs_peer[3], "t", "b", 1);
  gs_until(5000);
  cr_assert(of(1).s.behaviour_penalty > 0.9 && of(1).s.behaviour_penalty <= 1 && near(score(2), 0), "%f", of(1).s.behaviour_penalty);
  done();
}

/* Two gossipsub instances in one engine: what a peer does in one is nothing to the other. */
Test(score, two_instances) {
  static const uint8_t entropy[32] = { 6 };
  static const msub_gossipsub_protocol mine[] = { { "/mine/1.0.0", MSUB_F_MESH | MSUB_F_PX } };
  plain();
  begin();
  msub_gossipsub_opts second = o;
  second.protocols = mine;
  second.n_protocols = 1;
  second.floodsub = false;
  const msub_plan *two[2];
  msub_mem mem = world_mem(&w);
  cr_assert_eq(msub_shared_new(&mem, entropy, &w.sh), MSUB_OK);
  cr_assert_eq(msub_plan_new(w.sh, &msub_gossipsub, &o, &two[0]), MSUB_OK);
  cr_assert_eq(msub_plan_new(w.sh, &msub_gossipsub, &second, &two[1]), MSUB_OK);
  w.opts.world = &w.ops;
  w.opts.w = &w;
  w.opts.self_id = msub_key_peer_id(w.key);
  w.opts.routers = two;
  w.opts.n_routers = 2;
  cr_assert_eq(msub_engine_new(w.sh, &w.opts, &w.now, &w.e), MSUB_OK);
  msub_peer_id id = world_peer_id(1);
  msub_session s[2];
  for (unsigned i = 0; i < 2; i++) {
    msub_topic t;
    cr_assert_eq(msub_join(w.e, i, msub_str("t"), &gs_ids, NULL, &w.now, &t), MSUB_OK);
    msub_session_opts so = { .peer_id = msub_peer_id_bytes(&id), .protocol = i ? mine[0].id : V12, .link = i, .agreed = true };
    cr_assert_eq(msub_session_up(w.e, &so, &w.now, &s[i]), MSUB_OK);
  }
  msub_gossipsub_app_score a = { msub_peer_id_bytes(&id), -100 };
  cr_assert_eq(msub_command(w.e, 1, MSUB_GOSSIPSUB_APP_SCORE, &a, sizeof a, &w.now), MSUB_OK);
  cr_assert(near(score(1), 0), "of the first instance");
  gs_message(s[0], "t", "m", 1);
  cr_assert_eq(w.n_delivered, 1);
  gs_message(s[1], "t", "n", 1);
  cr_assert_eq(w.n_delivered, 1, "graylisted in the second");
  cr_assert_eq(msub_session_down(w.e, s[0], &w.now), MSUB_OK);
  cr_assert_eq(msub_session_down(w.e, s[1], &w.now), MSUB_OK);
  seen x = { .id = msub_peer_id_bytes(&id) };
  msub_gossipsub_inspect in = { look, &x };
  cr_assert_eq(msub_command(w.e, 1, MSUB_GOSSIPSUB_INSPECT, &in, sizeof in, &w.now), MSUB_OK);
  cr_assert(x.found && !x.s.connected && near(x.s.score, -100));
  done();
}

/* ---- the table ---- */

static uint64_t hash(const void *ctx, msub_bytes b) {
  (void)ctx;
  uint64_t h = 7;
  for (size_t i = 0; i < b.n; i++) h = (h ^ b.p[i]) * 0x100000001b3;
  return h;
}

/* P3 by a share of the median: a silent member owes what is left of it, in a quiet mesh nobody owes anything. */
Test(score, share_of_the_median) {
  plain();
  t_score = *msub_gossipsub_default_score.params.topic;
  t_score.time_in_mesh_weight = 0;
  t_score.first_message_deliveries_weight = 0;
  msub_mem mem = msub__mem_default();
  msub__ps *ps = msub__ps_new(&mem, &s_opts.params, false, hash, NULL);
  uint32_t topic = msub__ps_topic(ps, 1, &t_score), row[5];
  for (uint32_t i = 0; i < 5; i++) {
    row[i] = msub__ps_up(ps, 0, i + 1);
    msub__ps_graft(ps, row[i], topic, NULL, 0);
  }
  msub__ps_refresh(ps, 31 * SEC);
  for (uint32_t i = 0; i < 5; i++) cr_assert(near(msub__ps_score(ps, row[i]), 0), "quiet");
  for (uint32_t i = 0; i < 4; i++)
    for (int k = 0; k < 10; k++) msub__ps_first(ps, row[i], topic, NULL);
  msub__ps_refresh(ps, 32 * SEC);
  double most = t_score.mesh_message_deliveries_threshold * t_score.mesh_message_deliveries_threshold;
  double share = 10 * t_score.mesh_message_deliveries_decay * t_score.mesh_message_deliveries_share;
  cr_assert(near(msub__ps_score(ps, row[4]), share * share * t_score.mesh_message_deliveries_weight) && near(msub__ps_score(ps, row[0]), 0));
  for (uint32_t i = 0; i < 4; i++)
    for (int k = 0; k < 600; k++) msub__ps_first(ps, row[i], topic, NULL);
  msub__ps_refresh(ps, 33 * SEC);
  cr_assert(near(msub__ps_score(ps, row[4]), most * t_score.mesh_message_deliveries_weight), "at most the threshold");
  msub__ps_prune(ps, row[4], topic, NULL);
  cr_assert(near(msub__ps_score(ps, row[4]), most * t_score.mesh_failure_penalty_weight), "a prune ends P3 and leaves P3b");
  msub__ps_topic_left(ps, topic, true);
  for (uint32_t i = 0; i < 5; i++) msub__ps_prune(ps, row[i], topic, NULL);
  uint64_t at = 34;
  for (; msub__ps_topic_gone(ps) == 0 && at < 2000; at++) msub__ps_refresh(ps, at * SEC);
  cr_assert(at < 2000 && msub__ps_topic_find(ps, 1) == 0, "a topic that was left goes when nothing counts there");
  msub__ps_free(ps);
}

/* Held, a row's score is the one from before its grafts and prunes, until the release; nothing else is held. */
Test(score, held) {
  plain();
  t_score.mesh_failure_penalty_weight = -1;
  t_score.mesh_failure_penalty_decay = 0.5;
  t_score.mesh_message_deliveries_threshold = 2;
  t_score.mesh_message_deliveries_cap = 5;
  t_score.mesh_message_deliveries_decay = 0.5;
  t_score.mesh_message_deliveries_activation_ns = SEC;
  msub_mem mem = msub__mem_default();
  msub__ps *ps = msub__ps_new(&mem, &s_opts.params, false, hash, NULL);
  uint32_t topic = msub__ps_topic(ps, 1, &t_score), row[3];
  for (uint32_t i = 0; i < 3; i++) {
    row[i] = msub__ps_up(ps, 0, i + 1);
    msub__ps_app(ps, row[i], 1);
    msub__ps_graft(ps, row[i], topic, NULL, 0);
  }
  msub__ps_refresh(ps, 2 * SEC);
  msub__ps_prune(ps, row[0], topic, NULL);
  msub__ps_hold(ps, true);
  msub__ps_prune(ps, row[1], topic, NULL);
  msub__ps_graft(ps, row[1], topic, NULL, 2 * SEC);
  msub__ps_app(ps, row[1], 7);
  msub__ps_app(ps, row[2], 8);
  cr_assert(near(msub__ps_score(ps, row[0]), -3), "changed before");
  cr_assert(near(msub__ps_score(ps, row[1]), 1) && msub__ps_at_least(ps, row[1], 1) && !msub__ps_at_least(ps, row[1], 1.5));
  cr_assert(near(msub__ps_score(ps, row[2]), 8), "neither grafted nor pruned");
  msub__ps_hold(ps, false);
  cr_assert(near(msub__ps_score(ps, row[1]), 3) && msub__ps_at_least(ps, row[1], 3) && !msub__ps_at_least(ps, row[1], 3.5));
  msub__ps_prune(ps, row[2], topic, NULL);
  msub__ps_hold(ps, true);
  cr_assert(near(msub__ps_score(ps, row[1]), 1) && near(msub__ps_score(ps, row[2]), 4), "held again, of the same; not what came in between");
  uint64_t until;
  cr_assert_eq(msub__ps_down(ps, row[1], 3 * SEC, &until), 0, "3 is above 0: forgotten at once, whatever was held");
  cr_assert(near(msub__ps_score(ps, row[1]), 0));
  msub__ps_prune(ps, row[2], topic, NULL);
  msub__ps_release(ps);
  msub__ps_hold(ps, true);
  cr_assert(near(msub__ps_score(ps, row[2]), 4), "released");
  msub__ps_app(ps, row[2], 0);
  cr_assert(near(msub__ps_score(ps, row[2]), -4));
  cr_assert_eq(msub__ps_down(ps, row[2], 3 * SEC, &until), row[2]);
  cr_assert_eq(until, 13 * SEC);
  cr_assert_eq(msub__ps_until(ps, row[2]), until);
  msub__ps_free(ps);
}

/* A heartbeat prunes who is one too many in a topic; what that costs shows in its other topics from the next one on. Leaving prunes one
 * after the other, and who owes for that already is not recommended to the next. */
Test(score, scores_of_a_heartbeat) {
  for (unsigned parity = 0; parity < 2; parity++) {
    plain();
    t_score.mesh_failure_penalty_weight = -1;
    t_score.mesh_failure_penalty_decay = 0.99;
    t_score.mesh_message_deliveries_threshold = 2;
    t_score.mesh_message_deliveries_cap = 5;
    t_score.mesh_message_deliveries_decay = 0.5;
    t_score.mesh_message_deliveries_activation_ns = SEC;
    begin();
    if (parity) gs_parity();
    o.score = &s_opts;
    o.peer_exchange = true;
    o.mesh.d = o.mesh.dlo = o.mesh.dscore = 4;
    o.mesh.dhi = 5;
    o.mesh.dout = 0;
    gs_start();
    msub_topic t = world_join(&w, "t", &gs_ids), u = world_join(&w, "u", &gs_ids);
    gs_crowd(NULL, 1, 1, V12, false, "t");
    world_subscribe(&w, gs_peer[1], "u", true);
    gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
    gs_from(gs_peer[1], MSUB_C_GRAFT, "u", NULL, 0);
    cr_assert_eq(app(1, 1), MSUB_OK);
    gs_until(4050);
    gs_crowd(NULL, 2, 4, V12, false, "t");
    for (uint8_t p = 2; p <= 5; p++) {
      cr_assert_eq(app(p, 2), MSUB_OK);
      gs_from(gs_peer[p], MSUB_C_GRAFT, "t", NULL, 0);
    }
    world_clear(&w);
    gs_heartbeat();
    cr_assert(gs_sent(MSUB_C_PRUNE, 1, "t") == 1 && gs_sent(MSUB_C_PRUNE, 0, NULL) == 1, "the worst of five");
    cr_assert(score(1) < 0 && gs_count(u, MSUB_ROLE_MESH) == 1);
    world_clear(&w);
    gs_heartbeat();
    cr_assert(gs_sent(MSUB_C_PRUNE, 1, "u") == 1 && gs_count(u, MSUB_ROLE_MESH) == 0);
    gs_until(9050);
    world_clear(&w);
    cr_assert_eq(gs_count(t, MSUB_ROLE_MESH), 4);
    cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
    unsigned sizes = 0;
    for (uint8_t p = 2; p <= 5; p++) {
      size_t px;
      cr_assert(gs_sent_backoff(p, "t", &px) != UINT64_MAX);
      sizes |= 1u << px;
    }
    cr_assert_eq(sizes, 0xf, "0, 1, 2 and 3 peers");
    done();
  }
}

/* The cap on what is positive: good deeds elsewhere never pay for a topic with none. */
Test(score, cap_what_is_positive) {
  for (int ours = 0; ours < 2; ours++) {
    plain();
    s_opts.params.topic_score_cap = 10;
    s_opts.params.cap_what_is_positive = ours;
    t_score.first_message_deliveries_weight = 1;
    t_score.first_message_deliveries_decay = 0.5;
    t_score.first_message_deliveries_cap = 100;
    t_score.invalid_message_deliveries_weight = -15;
    t_score.invalid_message_deliveries_decay = 0.5;
    msub_mem mem = msub__mem_default();
    msub__ps *ps = msub__ps_new(&mem, &s_opts.params, false, hash, NULL);
    uint32_t good = msub__ps_topic(ps, 1, &t_score), bad = msub__ps_topic(ps, 2, &t_score), row = msub__ps_up(ps, 0, 1);
    for (int i = 0; i < 100; i++) msub__ps_first(ps, row, good, NULL);
    msub__ps_invalid(ps, row, bad, NULL);
    cr_assert(near(msub__ps_score(ps, row), ours ? -5 : 10), "%f", msub__ps_score(ps, row));
    msub__ps_refresh(ps, SEC);
    cr_assert(near(msub__ps_score(ps, row), ours ? 10 - 15 * 0.25 : 10), "made by the refresh, too");
    cr_assert(msub__ps_at_least(ps, row, 0) && !msub__ps_at_least(ps, row, 11));
    msub__ps_free(ps);
  }
}

/* The checker on profiles of two topics, by hand: cap 5 of P1 and P2 each; deficit 4 squared times the weight. */
static void keep(void *ud, const msub_score_finding *f) {
  msub_score_finding **to = ud;
  *(*to)++ = *f;
}
Test(score, G_26_check) {
  msub_score_params p = { .topic_score_cap = 100, .decay_interval_ns = SEC, .decay_to_zero = 0.01 };
  msub_topic_score s = { .weight = 1, .time_in_mesh_weight = 1, .time_in_mesh_quantum_ns = SEC, .time_in_mesh_cap = 5, .first_message_deliveries_weight = 1,
                         .first_message_deliveries_cap = 15, .mesh_message_deliveries_weight = -1, .mesh_message_deliveries_threshold = 4,
                         .mesh_message_deliveries_activation_ns = 9 * SEC };
  msub_score_of_topic t[2] = { { "a", s }, { "b", s } };
  msub_score_finding f[2], *to = f;
  cr_assert_eq(msub_score_check(&p, t, 2, false, SEC, keep, &to), 2);
  cr_assert(f[0].refused && near(f[0].here, 5 - 16) && near(f[0].others, 20) && f[0].heartbeats == 10);
  t[1].score.mesh_message_deliveries_weight = 0;
  to = f;
  cr_assert_eq(msub_score_check(&p, t, 2, false, SEC / 2, keep, &to), 1);
  cr_assert(f[0].refused && !f[1].refused && f[1].heartbeats == UINT64_MAX && f[0].heartbeats == 20);
  p.cap_what_is_positive = true;
  p.topic_score_cap = 10;
  to = f;
  cr_assert_eq(msub_score_check(&p, t, 2, true, SEC, keep, &to), 0);
  cr_assert(near(f[0].others, 10));
  p.cap_what_is_positive = false;
  cr_assert_eq(msub_score_check(&p, t, 1, true, SEC, NULL, NULL), 1, "any number of topics brings any score");
  const msub_score_of_topic ours = { "any", *msub_gossipsub_default_score.params.topic };
  to = f;
  cr_assert_eq(msub_score_check(&msub_gossipsub_default_score.params, &ours, 1, true, SEC, keep, &to), 0);
  cr_assert(f[0].heartbeats == 31 && f[0].here < 0);
}

/* Whatever the parameters that are allowed, a score is a number: the largest ones, and decays of counters that count for nothing. */
Test(score, always_a_number) {
  const double most = MSUB_SCORE_MAX;
  msub_topic_score t = { .weight = most, .time_in_mesh_weight = most, .time_in_mesh_quantum_ns = 1, .time_in_mesh_cap = most, .first_message_deliveries_weight = most,
    .first_message_deliveries_decay = 0.5, .first_message_deliveries_cap = most, .mesh_message_deliveries_weight = -most, .mesh_message_deliveries_decay = 0.5,
    .mesh_message_deliveries_cap = most, .mesh_message_deliveries_threshold = most, .mesh_message_deliveries_activation_ns = SEC,
    .mesh_failure_penalty_weight = -most, .mesh_failure_penalty_decay = 0.9, .invalid_message_deliveries_weight = -most, .invalid_message_deliveries_decay = 0.9 };
  msub_score_params p = { .app_specific_weight = -most, .behaviour_penalty_weight = -most, .behaviour_penalty_decay = 0.9, .decay_interval_ns = SEC, .decay_to_zero = 0.01 };
  char where[96];
  cr_assert(!msub_topic_score_fault(&t, where) && !msub_score_params_fault(&p, where), "%s", where);
  double *const numbers[] = { &t.weight, &t.time_in_mesh_cap, &t.mesh_message_deliveries_threshold, &t.first_message_deliveries_weight };
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    *numbers[i] = nextafter(most, INFINITY);
    cr_assert_str_eq(msub_topic_score_fault(&t, where), "at most 1e30");
    *numbers[i] = most;
  }
  p.topic_score_cap = 2 * most;
  cr_assert_str_eq(msub_score_params_fault(&p, where), "at most 1e30");
  cr_assert_str_eq(where, "topic_score_cap 2e+30");
  p.topic_score_cap = 0;
  const msub_mem mem = msub__mem_default();
  for (int off = 0; off < 2; off++) {
    if (off) {
      t.first_message_deliveries_weight = t.mesh_message_deliveries_weight = t.mesh_failure_penalty_weight = p.behaviour_penalty_weight = 0;
      t.first_message_deliveries_decay = t.mesh_message_deliveries_decay = t.mesh_failure_penalty_decay = p.behaviour_penalty_decay = 1e9;
      cr_assert(!msub_topic_score_fault(&t, where) && !msub_score_params_fault(&p, where), "%s", where);
    }
    msub__ps *ps = msub__ps_new(&mem, &p, false, hash, NULL);
    uint32_t topic = msub__ps_topic(ps, 1, &t), row = msub__ps_up(ps, 0, 1);
    msub__ps_app(ps, row, most);
    for (uint64_t s = 0; s < 500; s++) {
      msub__ps_graft(ps, row, topic, NULL, s * SEC);
      msub__ps_first(ps, row, topic, NULL);
      msub__ps_invalid(ps, row, topic, NULL);
      msub__ps_penalty(ps, row, 1);
      msub__ps_refresh(ps, (s + 3) * SEC);
      cr_assert(isfinite(msub__ps_score(ps, row)), "off %d, after %d s: %g", off, (int)s, msub__ps_score(ps, row));
      msub__ps_prune(ps, row, topic, NULL);
    }
    msub__ps_free(ps);
  }
}

/* A peer whose row could not be made may be noted as having brought a message: nobody is charged. */
Test(score, no_row_at_all) {
  msub_topic_score t = { .skip_atomic = true, .weight = 1 };
  msub_score_params p = { .skip_atomic = true };
  const msub_mem mem = msub__mem_default();
  for (int v = 0; v < 2; v++) {
    msub__ps *ps = msub__ps_new(&mem, &p, false, hash, NULL);
    uint32_t topic = msub__ps_topic(ps, 1, &t);
    msub__ps_duplicate(ps, 5, 0, topic, NULL, 0);
    if (v) msub__ps_deliver(ps, 5, 0, topic, NULL, 0);
    else msub__ps_reject(ps, 5, 0, topic, NULL, 0, MSUB__PS_INVALID);
    cr_assert_eq(msub__ps_rows(ps), 0);
    msub__ps_free(ps);
  }
}

/* The bounds of the tables, one below, at, one above. */
Test(score, bounds) {
  plain();
  msub_mem mem = msub__mem_default();
  msub__ps *ps = msub__ps_new(&mem, &s_opts.params, false, hash, NULL);
  uint32_t topic = msub__ps_topic(ps, 1, &t_score), row = msub__ps_up(ps, 0, 1);
  for (uint64_t i = 1; i <= MSUB__GS_RECORDS + 1; i++) {
    msub__ps_deliver(ps, i * 0x9e3779b97f4a7c15, row, topic, NULL, i);
    if (i >= MSUB__GS_RECORDS - 1) cr_assert_eq(msub__ps_records(ps), i < MSUB__GS_RECORDS ? i : MSUB__GS_RECORDS);
  }
  size_t full = msub__ps_bytes(ps);
  msub__ps_settle(ps, SEC * 1000);
  msub__ps_gc(ps, SEC * 1000);
  cr_assert(msub__ps_records(ps) == 0 && msub__ps_bytes(ps) < full / 20, "what they took is given back");
  for (uint32_t i = 2; i <= MSUB__GS_SCORED_TOPICS + 1; i++)
    cr_assert_eq(msub__ps_topic(ps, i, &t_score) != 0, i <= MSUB__GS_SCORED_TOPICS, "%u", i);
  s_opts.params.ip_colocation_factor_weight = -1;
  s_opts.params.ip_colocation_factor_threshold = 1;
  msub_bytes a[MSUB__GS_PEER_ADDRESSES * 2 + 1];
  uint8_t bytes[MSUB__GS_PEER_ADDRESSES * 2 + 1][4];
  for (uint8_t i = 0; i < MSUB__GS_PEER_ADDRESSES * 2 + 1; i++) {
    memcpy(bytes[i], (uint8_t[]){ 8, 8, 8, i }, 4);
    a[i] = (msub_bytes){ bytes[i], 4 };
  }
  uint32_t other = msub__ps_up(ps, 0, 2);
  for (int d = -1; d <= 1; d++) {
    msub__ps_addresses(ps, row, a, (size_t)((int)MSUB__GS_PEER_ADDRESSES * 2 + d));
    msub__ps_addresses(ps, other, a, MSUB__GS_PEER_ADDRESSES * 2 + 1);
    double n = (double)(MSUB__GS_PEER_ADDRESSES * 2) + (d < 0 ? -1 : 0);
    cr_assert(near(msub__ps_score(ps, row), -n), "%d: %f", d, msub__ps_score(ps, row));
  }
  msub__ps_free(ps);
  msub__promises pr;
  msub__promises_init(&pr);
  for (uint64_t i = 1; i <= MSUB__GS_PROMISES + 1; i++) msub__promises_add(&pr, &mem, i * 0x9e3779b97f4a7c15, 1, i);
  cr_assert_eq(msub__promises_count(&pr), MSUB__GS_PROMISES);
  size_t broken = 0;
  while (msub__promises_broken(&pr, &mem, UINT64_MAX) != MSUB__NONE) broken++;
  cr_assert(broken == MSUB__GS_PROMISES && pr.ring.cap == 0);
  msub_cidr allow[MSUB__GS_ALLOW + 1];
  memset(allow, 0, sizeof allow);
  for (size_t i = 0; i <= MSUB__GS_ALLOW; i++) allow[i] = (msub_cidr){ .n = 4, .bits = 32 };
  for (int d = -1; d <= 1; d++) {
    s_opts.params.ip_allow = allow;
    s_opts.params.n_ip_allow = (size_t)((int)MSUB__GS_ALLOW + d);
    cr_assert_eq(msub_score_params_fault(&s_opts.params, NULL) != NULL, d > 0);
  }
}

/* A peer of a table of its own that comes from an address, and one that goes with so much of P7. */
static uint32_t comes(msub__ps *ps, uint32_t row, uint32_t tag, const uint8_t *a, size_t n, uint64_t now) {
  row = msub__ps_up(ps, row, tag);
  msub__ps_addresses(ps, row, &(msub_bytes){ a, n }, 1);
  msub__ps_inherit(ps, row, now);
  return row;
}
static uint32_t goes(msub__ps *ps, uint32_t row, double behaviour, uint64_t now) {
  uint64_t until;
  msub__ps_penalty(ps, row, behaviour);
  return msub__ps_down(ps, row, now, &until);
}
static void heirs(void) {
  plain();
  s_opts.params.behaviour_penalty_weight = -1;
  s_opts.params.behaviour_penalty_decay = 0.5;
  s_opts.params.address_share = 0.25;
  s_opts.params.address_most = 10;
  s_opts.params.address_decay = 0.5;
}

/* Another id from the same address begins with a part of what was owed, however often it changes; nobody else does. */
Test(score, G_23_addresses) {
  static const uint8_t a[4] = { 192, 0, 2, 1 }, b[4] = { 192, 0, 2, 2 }, here[4] = { 127, 0, 0, 1 }, friend[4] = { 198, 51, 100, 9 };
  static const uint8_t six[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, [15] = 1 }, near6[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, [15] = 2 },
                       base6[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1 }, far6[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 2, [15] = 1 }, here6[16] = { [15] = 1 };
  static const msub_cidr allow[2] = { { { 198, 51, 100 }, 4, 24 }, { { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, [15] = 2 }, 16, 128 } };
  heirs();
  s_opts.params.ip_allow = allow;
  s_opts.params.n_ip_allow = 2;
  msub_mem mem = msub__mem_default();
  msub__ps *ps = msub__ps_new(&mem, &s_opts.params, false, hash, NULL);
  uint32_t bad = comes(ps, 0, 1, a, 4, 0), honest = comes(ps, 0, 2, a, 4, 0), tag = 10;
  bad = goes(ps, bad, 4, 0); /* owes 16 */
  cr_assert(near(msub__ps_score(ps, honest), 0), "who is there already does not pay");
  uint32_t heir = comes(ps, 0, 3, a, 4, 0);
  cr_assert(near(msub__ps_score(ps, heir), -4) && near(msub__ps_score(ps, comes(ps, 0, 4, b, 4, 0)), 0), "a quarter, and only there");
  msub__ps_refresh(ps, SEC);
  cr_assert(near(msub__ps_score(ps, heir), -2), "it fades while it is connected");
  heir = goes(ps, heir, 0, SEC);
  cr_assert_eq(msub__ps_origins(ps), 1);
  cr_assert(near(msub__ps_score(ps, comes(ps, 0, 5, a, 4, SEC * 5)), -2), "what was inherited is not told on; half of the time, half of the debt");
  bad = comes(ps, bad, 1, a, 4, SEC * 5);
  cr_assert(near(msub__ps_score(ps, bad), -16), "its own debt is not inherited besides");
  bad = goes(ps, bad, 0, SEC * 5);
  cr_assert(near(msub__ps_score(ps, comes(ps, 0, 6, a, 4, SEC * 5)), -2), "nor told a second time by coming and going");
  for (; tag < 20; tag++) (void)goes(ps, comes(ps, 0, tag, a, 4, SEC * 5), 100, SEC * 5);
  cr_assert(near(msub__ps_score(ps, comes(ps, 0, tag++, a, 4, SEC * 5)), -10), "strangers cost ten at most, however many and bad");
  uint32_t clean = goes(ps, comes(ps, 0, tag, b, 4, SEC * 5), 0, SEC * 5);
  (void)goes(ps, comes(ps, 0, 40, b, 4, SEC * 5), 4, SEC * 5);
  cr_assert(near(msub__ps_score(ps, comes(ps, clean, tag++, b, 4, SEC * 5)), -4), "to have been there before helps nobody");
  uint32_t known = msub__ps_origins(ps);
  (void)goes(ps, comes(ps, 0, tag++, here, 4, 0), 100, 0);
  (void)goes(ps, comes(ps, 0, tag++, friend, 4, 0), 100, 0);
  (void)goes(ps, comes(ps, 0, tag++, here6, 16, 0), 100, 0);
  (void)goes(ps, comes(ps, 0, tag++, near6, 16, 0), 100, 0);
  (void)goes(ps, comes(ps, 0, tag++, NULL, 0, 0), 100, 0);
  cr_assert_eq(msub__ps_origins(ps), known, "loopback and what is allowed has no debts, though its /64 may");
  (void)goes(ps, comes(ps, 0, tag++, six, 16, SEC * 5), 4, SEC * 5);
  cr_assert_eq(msub__ps_origins(ps), known + 1);
  cr_assert(near(msub__ps_score(ps, comes(ps, 0, tag++, base6, 16, SEC * 5)), -4) && near(msub__ps_score(ps, comes(ps, 0, tag++, near6, 16, SEC * 5)), 0) &&
            near(msub__ps_score(ps, comes(ps, 0, tag++, far6, 16, SEC * 5)), 0), "a /64 is one address");
  uint32_t boss = comes(ps, 0, tag++, far6, 16, SEC * 5);
  msub__ps_app(ps, boss, -1000);
  (void)goes(ps, boss, 0, SEC * 5);
  cr_assert_eq(msub__ps_origins(ps), known + 1, "the program's opinion is of one peer");
  msub__ps_gc(ps, SEC * 15 - 1);
  cr_assert(msub__ps_origins(ps) > 0);
  msub__ps_gc(ps, SEC * 15);
  cr_assert_eq(msub__ps_origins(ps), 0);
  cr_assert(near(msub__ps_score(ps, comes(ps, 0, tag++, a, 4, SEC * 15)), 0));
  msub__ps_free(ps);
  for (int off = 0; off < 2; off++) { /* parity, or no share */
    if (off) s_opts.params.address_share = 0;
    ps = msub__ps_new(&mem, &s_opts.params, !off, hash, NULL);
    (void)goes(ps, comes(ps, 0, 1, a, 4, 0), 100, 0);
    cr_assert(near(msub__ps_score(ps, comes(ps, 0, 2, a, 4, 0)), 0) && msub__ps_origins(ps) == 0);
    msub__ps_free(ps);
  }
}

static void moves(msub__ps *ps, uint32_t row, const uint8_t *a, size_t n, uint64_t now) { msub__ps_moved(ps, row, &(msub_bytes){ a, n }, a ? 1 : 0, now); }
/* An address that is learnt later, or another one, is as good as one at the beginning: inherited once, and left with what is owed. */
Test(score, G_23_addresses_later) {
  static const uint8_t a[4] = { 192, 0, 2, 1 }, b[4] = { 192, 0, 2, 2 }, c[4] = { 192, 0, 2, 3 }, here[4] = { 127, 0, 0, 1 },
                       six[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, [15] = 1 }, near6[16] = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, [15] = 2 };
  heirs();
  msub_mem mem = msub__mem_default();
  msub__ps *ps = msub__ps_new(&mem, &s_opts.params, false, hash, NULL);
  (void)goes(ps, comes(ps, 0, 1, a, 4, 0), 4, 0);  /* leaves 4 at a */
  (void)goes(ps, comes(ps, 0, 2, b, 4, 0), 5, 0);  /* 6.25 at b */
  uint32_t late = comes(ps, 0, 3, NULL, 0, 0);
  cr_assert(near(msub__ps_score(ps, late), 0));
  moves(ps, late, a, 4, 0);
  cr_assert(near(msub__ps_score(ps, late), -4), "as at the opening");
  msub__ps_refresh(ps, SEC);
  moves(ps, late, a, 4, SEC);
  cr_assert(near(msub__ps_score(ps, late), -2), "once: the same address again is no news");
  /* twice: the larger debt counts, not the sum, and going back brings at most what is left there */
  moves(ps, late, b, 4, 0);
  cr_assert(near(msub__ps_score(ps, late), -6.25));
  moves(ps, late, here, 4, 0);
  moves(ps, late, a, 4, 0);
  cr_assert(near(msub__ps_score(ps, late), -6.25));
  moves(ps, late, c, 4, 0);
  cr_assert(near(msub__ps_score(ps, late), -6.25), "a clean address takes nothing off");
  cr_assert_eq(msub__ps_origins(ps), 2, "what was inherited is left nowhere");
  (void)goes(ps, late, 0, 0);
  cr_assert_eq(msub__ps_origins(ps), 2);
  /* what is owed stays where it was run up, once */
  uint32_t bad = comes(ps, 0, 4, c, 4, 0);
  msub__ps_penalty(ps, bad, 4);
  moves(ps, bad, NULL, 0, 0);
  cr_assert(near(msub__ps_score(ps, comes(ps, 0, 5, c, 4, 0)), -4), "nobody moves away from it");
  moves(ps, bad, c, 4, 0);
  cr_assert(near(msub__ps_score(ps, bad), -16), "nor inherits it oneself");
  moves(ps, bad, here, 4, 0);
  (void)goes(ps, bad, 0, 0);
  cr_assert(near(msub__ps_score(ps, comes(ps, 0, 6, c, 4, 0)), -4));
  /* a /64 is one address; who is well off leaves nothing */
  bad = comes(ps, 0, 7, six, 16, 0);
  msub__ps_penalty(ps, bad, 4);
  moves(ps, bad, near6, 16, 0);
  cr_assert_eq(msub__ps_origins(ps), 3, "no move");
  uint32_t good = comes(ps, 0, 8, (uint8_t[]){ 8, 8, 8, 8 }, 4, 0);
  msub__ps_app(ps, good, 1000);
  msub__ps_penalty(ps, good, 4);
  moves(ps, good, NULL, 0, 0);
  cr_assert_eq(msub__ps_origins(ps), 3);
  moves(ps, 0, a, 4, 0);
  moves(ps, 1000, a, 4, 0);
  msub__ps_free(ps);
  for (int off = 0; off < 2; off++) { /* parity, or no share */
    if (off) s_opts.params.address_share = 0;
    ps = msub__ps_new(&mem, &s_opts.params, !off, hash, NULL);
    (void)goes(ps, comes(ps, 0, 1, a, 4, 0), 100, 0);
    late = comes(ps, 0, 2, NULL, 0, 0);
    moves(ps, late, a, 4, 0);
    cr_assert(near(msub__ps_score(ps, late), 0) && msub__ps_origins(ps) == 0);
    msub__ps_free(ps);
  }
  /* by the engine */
  heirs();
  begin();
  gs_start();
  for (uint8_t p = 1; p <= 2; p++) {
    msub_peer_id id = world_peer_id(p);
    msub_session_opts so = { .peer_id = msub_peer_id_bytes(&id), .protocol = V12, .link = p, .agreed = true, .address = { a, p == 1 ? 4 : 0 } };
    cr_assert_eq(msub_session_up(w.e, &so, &w.now, &gs_peer[p]), MSUB_OK);
  }
  world_join(&w, "t", &gs_ids);
  gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
  gs_from(gs_peer[1], MSUB_C_PRUNE, "t", NULL, 60);
  for (int i = 0; i < 2; i++) gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
  double owed = score(1);
  cr_assert_lt(owed, -3);
  msub_session_down(w.e, gs_peer[1], &w.now);
  cr_assert(near(score(2), 0));
  for (int i = 0; i < 2; i++) {
    cr_assert_eq(msub_session_address(w.e, gs_peer[2], (msub_bytes){ a, 4 }, &w.now), MSUB_OK);
    cr_assert(near(score(2), owed / 4 < -10 ? -10 : owed / 4), "%g of %g", score(2), owed);
  }
  done();
}

/* MSUB__GS_ORIGINS: full, the address that has been quiet longest goes, and no other. */
Test(score, addresses_with_debts) {
  heirs();
  msub_mem mem = msub__mem_default();
  msub__ps *ps = msub__ps_new(&mem, &s_opts.params, false, hash, NULL);
  size_t empty = msub__ps_bytes(ps);
  for (uint32_t i = 1; i <= MSUB__GS_ORIGINS + 1; i++) {
    if (i == MSUB__GS_ORIGINS + 1) (void)goes(ps, comes(ps, 0, 9, (uint8_t[]){ 8, 0, 0, 1 }, 4, i), 2, i); /* the first is heard of again */
    uint32_t row = goes(ps, comes(ps, 0, i, (uint8_t[]){ 8, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i }, 4, i), 2, i);
    msub__ps_forget(ps, row);
    if (i >= MSUB__GS_ORIGINS - 1) cr_assert_eq(msub__ps_origins(ps), i < MSUB__GS_ORIGINS ? i : MSUB__GS_ORIGINS);
  }
  cr_assert(msub__ps_score(ps, comes(ps, 0, 1, (uint8_t[]){ 8, 0, 0, 1 }, 4, 0)) < 0);
  cr_assert(near(msub__ps_score(ps, comes(ps, 0, 1, (uint8_t[]){ 8, 0, 0, 2 }, 4, 0)), 0), "the second was quiet longest");
  cr_assert(msub__ps_score(ps, comes(ps, 0, 1, (uint8_t[]){ 8, 0, 0, 3 }, 4, 0)) < 0);
  size_t full = msub__ps_bytes(ps);
  msub__ps_gc(ps, SEC * 100);
  cr_assert(msub__ps_origins(ps) == 0 && msub__ps_bytes(ps) < full - MSUB__GS_ORIGINS * 40 && msub__ps_bytes(ps) > empty, "given back");
  msub__ps_free(ps);
}

/* What is inherited may cost the mesh, never gossip: other parameters are refused. */
Test(score, inherited_parameters) {
  heirs();
  char where[96];
  cr_assert(!msub_score_params_fault(&s_opts.params, where));
  for (int k = 0; k < 5; k++) {
    heirs();
    if (k == 0) s_opts.params.address_share = 1.01;
    if (k == 1) s_opts.params.address_share = NAN;
    if (k == 2) s_opts.params.address_most = -1;
    if (k == 3) s_opts.params.address_decay = 1;
    if (k == 4) s_opts.params.address_decay = 0;
    cr_assert(msub_score_params_fault(&s_opts.params, where) && strstr(where, "address_"), "%d: %s", k, where);
  }
  heirs();
  begin();
  gs_start();
  for (int k = 0; k < 2; k++) { /* at the threshold for gossip, and beyond it */
    s_opts.params.address_most = k ? 10.01 : 10;
    const msub_plan *p;
    cr_assert_eq(msub_plan_new(w.sh, &msub_gossipsub, &o, &p), k ? MSUB_ERR_INVAL : MSUB_OK);
  }
  done();
}

/* A sender noted in a record is the peer that it was: whoever gets its row later does not pay. */
Test(score, rows_are_not_mixed_up) {
  plain();
  t_score.invalid_message_deliveries_weight = -1;
  t_score.invalid_message_deliveries_decay = 0.5;
  s_opts.params.retain_ns = 0;
  msub_mem mem = msub__mem_default();
  msub__ps *ps = msub__ps_new(&mem, &s_opts.params, false, hash, NULL);
  uint32_t topic = msub__ps_topic(ps, 1, &t_score), a = msub__ps_up(ps, 0, 1), b = msub__ps_up(ps, 0, 2);
  uint64_t until;
  msub__ps_validate(ps, 77, 0);
  msub__ps_duplicate(ps, 77, b, topic, NULL, 0);
  msub__ps_forget(ps, b);
  uint32_t c = msub__ps_up(ps, 0, 3);
  cr_assert_eq(c, b, "the row is used again");
  msub__ps_reject(ps, 77, a, topic, NULL, 0, MSUB__PS_INVALID);
  cr_assert(near(msub__ps_score(ps, a), -1) && near(msub__ps_score(ps, c), 0));
  cr_assert(msub__ps_row(ps, b, 2) == 0 && msub__ps_row(ps, c, 3) == c);
  cr_assert(msub__ps_down(ps, a, 5, &until) == a && until == 5);
  msub__ps_refresh(ps, 6);
  cr_assert_eq(msub__ps_row(ps, a, 1), 0);
  msub__ps_free(ps);
}
