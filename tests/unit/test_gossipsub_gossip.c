/* gossipsub: recipients of messages, IHAVE to whom, hooks that change it, and what happens without memory. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "gossipsub_world.h"

static void done(void) { world_stop(&w); }
static void graft(uint8_t first, size_t n, const char *topic) {
  for (size_t i = 0; i < n; i++) gs_from(gs_peer[first + i], MSUB_C_GRAFT, topic, NULL, 0);
}

/* A mesh of `members`, and others outside that stay there. */
static msub_topic node(bool parity, bool flood, size_t members, size_t others) {
  gs_init();
  if (parity) gs_parity();
  o.mesh.flood_publish = flood;
  o.mesh.dlo = 1;
  o.mesh.dout = 0;
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, members, V11, false, "t");
  graft(1, members, "t");
  gs_crowd(NULL, 100, others, V11, false, "t");
  world_clear(&w);
  return t;
}

Test(gossipsub, recipients) {
  for (unsigned parity = 0; parity < 2; parity++)
    for (unsigned flood = 0; flood < 2; flood++) {
      msub_topic t = node(parity, flood, 3, 4);
      gs_crowd(NULL, 50, 2, FLOOD, false, "t");
      gs_crowd(NULL, 60, 1, V11, false, "u");
      world_clear(&w);
      gs_publish(t, "own", 3);
      cr_assert_eq(gs_sent_messages(0, "own"), flood ? 9u : 5u);
      gs_message(gs_peer[1], "t", "fwd", 3);
      cr_assert(gs_sent_messages(0, "fwd") == 4 && gs_sent_messages(1, "fwd") == 0 && gs_sent_messages(50, "fwd") == 1, "forwards: the mesh and floodsub peers");
      gs_message(gs_peer[100], "t", "fwd2", 3);
      cr_assert(gs_sent_messages(0, "fwd2") == 5 && gs_sent_messages(101, "fwd2") == 0);
      done();
    }
}

/* The sender goes while its message is under judgement: it is no message of ours. */
static msub_verdict later(void *ud, const msub_msg *m, msub_peer from, msub_token t, msub_job *job) {
  (void)m, (void)from, (void)job;
  *(msub_token *)ud = t;
  return MSUB_PENDING;
}
Test(gossipsub, sender_leaves_before_the_verdict) {
  msub_topic t = node(false, true, 3, 4);
  msub_token token;
  cr_assert_eq(msub_validator(w.e, t, later, &token), MSUB_OK);
  gs_message(gs_peer[1], "t", "m", 3);
  msub_session_down(w.e, gs_peer[1], &w.now);
  world_clear(&w);
  cr_assert_eq(msub_complete(w.e, token, MSUB_ACCEPT, &w.now), MSUB_OK);
  cr_assert_eq(gs_sent_messages(0, "m"), 2, "the mesh alone");
  gs_publish(t, "own", 3);
  cr_assert_eq(msub_complete(w.e, token, MSUB_ACCEPT, &w.now), MSUB_OK);
  cr_assert_eq(gs_sent_messages(0, "own"), 6);
  done();
}

Test(gossipsub, G_34_author_is_left_out) {
  gs_init();
  w.opts.sign = MSUB_STRICT_SIGN;
  gs_start();
  world_join(&w, "t", NULL);
  gs_crowd(NULL, 1, 4, V11, false, "t");
  graft(1, 4, "t");
  world_clear(&w);
  static uint8_t buf[512];
  world_receive(&w, gs_peer[1], (msub_bytes){ buf, world_signed_rpc(buf, sizeof buf, 2, 1, "t", msub_str("m")) });
  world_run_jobs(&w);
  cr_assert(gs_sent_messages(0, NULL) == 2 && gs_sent_messages(2, NULL) == 0 && gs_sent_messages(1, NULL) == 0);
  done();
}

Test(gossipsub, gossip_targets) {
  static const struct { size_t others, told; } cases[] = { { 0, 0 }, { 3, 3 }, { 6, 6 }, { 20, 6 }, { 28, 7 }, { 100, 25 } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    msub_topic t = node(false, false, 5, cases[i].others);
    gs_until(150);
    world_clear(&w);
    gs_heartbeat();
    cr_assert_eq(w.n_sent, 0, "nothing to tell");
    gs_publish(t, "m1", 9);
    world_clear(&w);
    gs_heartbeat();
    cr_assert(gs_sent(MSUB_C_IHAVE, 0, "t") == cases[i].told && gs_sent_rpcs(0) == cases[i].told, "case %zu", i);
    for (uint8_t p = 1; p <= 5; p++) cr_assert_eq(gs_sent(MSUB_C_IHAVE, p, "t"), 0);
    for (size_t k = 0; k < w.n_sent; k++) cr_assert_eq(w.sent[k].lane, MSUB_LANE_GOSSIP);
    gs_publish(t, "m2", 9);
    world_clear(&w);
    gs_heartbeat();
    cr_assert_eq(gs_sent_ids(MSUB_C_IHAVE, 0, NULL), 2 * cases[i].told);
    world_clear(&w);
    gs_heartbeat();
    cr_assert_eq(gs_sent_ids(MSUB_C_IHAVE, 0, NULL), 2 * cases[i].told, "three heartbeats long");
    world_clear(&w);
    gs_heartbeat();
    cr_assert_eq(gs_sent_ids(MSUB_C_IHAVE, 0, NULL), cases[i].told);
    world_clear(&w);
    gs_heartbeat();
    cr_assert_eq(w.n_sent, 0);
    done();
  }
}

Test(gossipsub, long_lists_are_divided) {
  gs_init();
  o.mesh.dlo = 1;
  o.mesh.dout = 0;
  o.max_ihave_length = 5;
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 1, V11, false, "t");
  graft(1, 1, "t");
  gs_crowd(NULL, 100, 3, V11, false, "t");
  char id[8];
  for (unsigned i = 0; i < 100; i++) {
    snprintf(id, sizeof id, "m%u", i);
    gs_publish(t, id, 9);
  }
  world_clear(&w);
  gs_heartbeat();
  cr_assert_eq(gs_sent_ids(MSUB_C_IHAVE, 0, NULL), 15);
  size_t different = 0;
  for (unsigned i = 0; i < 100; i++) {
    snprintf(id, sizeof id, "m%u", i);
    size_t n = gs_sent_ids(MSUB_C_IHAVE, 0, id);
    different += n > 0;
  }
  cr_assert(different > 8, "each hears of others: %zu", different);
  done();
}

/* Many topics: a peer hears of all of them in few RPCs, because stock peers count RPCs. */
Test(gossipsub, many_topics_are_merged) {
  for (unsigned topics = 4; topics <= 40; topics += 12) {
    gs_init();
    o.mesh.dlo = 1;
    o.mesh.dout = 0;
    gs_start();
    char name[8];
    msub_topic t[40];
    for (unsigned i = 0; i < topics; i++) {
      snprintf(name, sizeof name, "t%u", i);
      t[i] = world_join(&w, name, &gs_ids);
      for (uint8_t p = 1; p <= 5; p++) {
        if (!gs_peer[p].v) gs_up(p, V11, false);
        world_subscribe(&w, gs_peer[p], name, true);
        if (p == 1) graft(1, 1, name);
      }
    }
    for (unsigned i = 0; i < topics; i++) {
      snprintf(name, sizeof name, "m%u", i);
      gs_publish(t[i], name, 9);
    }
    world_clear(&w);
    gs_heartbeat();
    for (uint8_t p = 2; p <= 5; p++) {
      cr_assert_eq(gs_sent_ids(MSUB_C_IHAVE, p, NULL), topics);
      cr_assert_eq(gs_sent(MSUB_C_IHAVE, p, NULL), topics);
      cr_assert(gs_sent_rpcs(p) <= 6, "%u topics in %zu RPCs", topics, gs_sent_rpcs(p));
      for (unsigned i = 0; i < topics; i++) {
        snprintf(name, sizeof name, "t%u", i);
        cr_assert_eq(gs_sent(MSUB_C_IHAVE, p, name), 1);
      }
    }
    done();
  }
}

Test(gossipsub, ask_and_offer) {
  msub_topic t = node(false, false, 1, 1);
  gs_crowd(NULL, 50, 1, FLOOD, false, "t");
  world_clear(&w);
  msub_bytes two[2] = { msub_str("a"), msub_str("b") };
  cr_assert_eq(msub_ask(w.e, gs_peer[100], t, two, 2, &w.now), MSUB_OK);
  cr_assert(gs_sent_ids(MSUB_C_IWANT, 100, NULL) == 2 && w.sent[0].lane == MSUB_LANE_CONTROL);
  cr_assert_eq(msub_offer(w.e, gs_peer[100], t, two, 2, &w.now), MSUB_OK);
  cr_assert(gs_sent_ids(MSUB_C_IHAVE, 100, NULL) == 2 && gs_sent(MSUB_C_IHAVE, 100, "t") == 1 && w.sent[1].lane == MSUB_LANE_GOSSIP);
  cr_assert_eq(msub_ask(w.e, gs_peer[50], t, two, 2, &w.now), MSUB_ERR_UNSUPPORTED);
  w.refuse = true;
  cr_assert_eq(msub_offer(w.e, gs_peer[100], t, two, 2, &w.now), MSUB_ERR_LIMIT);
  w.refuse = false;
  /* who was asked is not asked again by gossip */
  world_clear(&w);
  gs_from(gs_peer[100], MSUB_C_IHAVE, "t", "a c", 0);
  cr_assert(gs_sent_ids(MSUB_C_IWANT, 100, NULL) == 1 && gs_sent_ids(MSUB_C_IWANT, 100, "c") == 1);
  done();
}

/* ---- hooks ---- */

static size_t wanted, offered;
static void to_all(const msub_channel *c, size_t want, msub_list *io) {
  (void)c;
  wanted = want;
  offered = io->n;
}
static size_t heads(const msub_channel *c, msub_bytes *out, size_t max) {
  static char text[300][8];
  (void)c;
  size_t n = max < 300 ? max : 300;
  for (size_t i = 0; i < n; i++) {
    snprintf(text[i], sizeof text[i], "h%zu", i);
    out[i] = msub_str(text[i]);
  }
  return n;
}
Test(gossipsub, hooks_of_gossip) {
  gs_init();
  o.mesh.dlo = 1;
  o.mesh.dout = 0;
  gs_start();
  msub_channel_policy p = gs_ids;
  p.emit = to_all;
  p.gossip_ids = heads;
  p.emit_mesh_too = true;
  world_join(&w, "t", &p);
  gs_crowd(NULL, 1, 3, V11, false, "t");
  graft(1, 3, "t");
  gs_crowd(NULL, 100, 20, V11, false, "t");
  gs_crowd(NULL, 50, 1, FLOOD, false, "t");
  world_clear(&w);
  gs_heartbeat();
  cr_assert(offered == 23 && wanted == 6, "members too: %zu, %zu", offered, wanted);
  cr_assert_eq(gs_sent_ids(MSUB_C_IHAVE, 0, NULL), 23 * 300);
  cr_assert(gs_sent(MSUB_C_IHAVE, 1, "t") >= 1 && gs_sent(MSUB_C_IHAVE, 50, "t") == 0);
  done();
}

/* ---- without memory ---- */

static void scenario(void) {
  msub_topic t, u;
  const char *topics[] = { "t", "u", "v" };
  for (uint8_t p = 1; p <= 16; p++) {
    msub_peer_id id = world_peer_id(p);
    msub_session_opts so = { .peer_id = msub_peer_id_bytes(&id), .protocol = p % 5 ? V12 : FLOOD, .link = p, .outbound = p % 3 == 0, .agreed = true };
    gs_peer[p].v = 0;
    if (msub_session_up(w.e, &so, &w.now, &gs_peer[p]) != MSUB_OK) continue;
    for (int i = 0; i < 3; i++) world_subscribe(&w, gs_peer[p], topics[i], true);
  }
  int joined = msub_join(w.e, 0, msub_str("t"), &gs_ids, NULL, &w.now, &t), opened = msub_open(w.e, 0, msub_str("u"), &gs_ids, NULL, &w.now, &u);
  msub_peer_id direct = world_peer_id(2);
  (void)msub_command(w.e, 0, MSUB_GOSSIPSUB_ADD_DIRECT, direct.bytes, direct.n, &w.now);
  for (int i = 0; i < 6; i++) {
    char id[8];
    snprintf(id, sizeof id, "m%d", i);
    if (joined == MSUB_OK) (void)gs_publish(t, id, i % 2 ? 2000 : 10);
    if (opened == MSUB_OK) (void)gs_publish(u, id, 10);
    for (uint8_t p = 1; p <= 16; p++) {
      if (!gs_peer[p].v) continue;
      msub_session s = gs_peer[p];
      w.refuse = i == 3 && p % 2;
      gs_from(s, i % 2 ? MSUB_C_GRAFT : MSUB_C_PRUNE, "t", NULL, (uint64_t)i);
      gs_from(s, MSUB_C_IHAVE, "t", "a b c d e f g", 0);
      gs_from(s, MSUB_C_IWANT, NULL, "m0 m1", 0);
      gs_from(s, MSUB_C_IDONTWANT, NULL, "m4 m5", 0);
      w.refuse = false;
    }
    uint64_t d = msub_next_deadline(w.e);
    w.now.mono_ns = d == MSUB_NEVER ? w.now.mono_ns + 1000 * MS : d;
    (void)msub_advance(w.e, &w.now);
    world_clear(&w);
    w.n_hints = w.n_protects = 0;
  }
  for (uint8_t p = 1; p <= 8; p++)
    if (gs_peer[p].v) (void)msub_session_down(w.e, gs_peer[p], &w.now);
  if (joined == MSUB_OK) (void)msub_leave(w.e, t, &w.now);
}
Test(gossipsub, every_allocation_fails_once) {
  size_t failures = 0;
  for (size_t at = 1;; at += at < 400 ? 1 : 7) {
    gs_init();
    o.peer_exchange = true;
    o.score = &msub_gossipsub_default_score;
    msub_mem mem = world_mem(&w);
    w.mem.fail_after = at;
    int rc = world_try_start(&w, &msub_gossipsub, &mem);
    if (rc != MSUB_OK) cr_assert_eq(rc, MSUB_ERR_NOMEM);
    else scenario();
    bool over = w.mem.fail_after != 0;
    w.mem.fail_after = 0;
    if (w.sh) done();
    else {
      msub_key_free(w.key);
      cr_assert_eq(w.mem.live_blocks, 0);
    }
    if (over) break;
    failures++;
  }
  cr_assert(failures > 200, "%zu", failures);
}
