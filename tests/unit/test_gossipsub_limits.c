/* gossipsub: the bounds of its tables that take many peers or ids to reach; the smaller ones are where their messages are tested. */
#include <assert.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "gossipsub_world.h"
#include "routers/gossipsub/limits.h"

static void done(void) { world_stop(&w); }
static int swallow(void *ud, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  (void)ud, (void)link, (void)s, (void)rpc, (void)lane;
  return MSUB_OK;
}

#define CROWD 4100u
static msub_session crowd[CROWD];
static void make_crowd(const char *topic) {
  for (uint32_t i = 0; i < CROWD; i++) {
    uint8_t id[6] = { 0x00, 4, 'c', 'r', (uint8_t)(i >> 8), (uint8_t)i };
    msub_session_opts so = { .peer_id = { id, 6 }, .protocol = V12, .link = i + 1, .agreed = true };
    cr_assert_eq(msub_session_up(w.e, &so, &w.now, &crowd[i]), MSUB_OK);
    if (topic) world_subscribe(&w, crowd[i], topic, true);
  }
}

Test(gossipsub, members_4096) {
  gs_init();
  gs_parity(); /* where 0 means any number */
  o.mesh.d = o.mesh.dlo = o.mesh.dhi = o.mesh.dout = o.mesh.dscore = 0;
  w.ops.send = swallow;
  w.ops.protect = NULL;
  gs_start();
  make_crowd("t");
  world_join(&w, "t", &gs_ids);
  cr_assert_eq(w.events[MSUB_T_GRAFT], 4096);
  done();
}

Test(gossipsub, G_36_backoffs_262144) {
  gs_init();
  w.ops.send = swallow;
  gs_start();
  static msub_ctl_entry e[64];
  static msub_bytes names[64];
  static char text[64][8];
  static uint8_t rpc[4096];
  msub_topic t[64];
  for (unsigned i = 0; i < 64; i++) {
    snprintf(text[i], sizeof text[i], "t%u", i);
    names[i] = msub_str(text[i]);
    e[i] = (msub_ctl_entry){ .kind = MSUB_C_PRUNE, .backoff_s = 600 };
    t[i] = world_join(&w, text[i], &gs_ids);
  }
  size_t n = msub_ctl_encode(e, names, 64, rpc, sizeof rpc), idle = w.mem.live_bytes;
  make_crowd(NULL);
  idle = w.mem.live_bytes;
  for (uint32_t i = 0; i < CROWD; i++) world_receive(&w, crowd[i], (msub_bytes){ rpc, n });
  size_t kept = 0;
  for (unsigned i = 0; i < 64; i++) kept += msub_snapshot(w.e, t[i], NULL, 0);
  cr_assert_eq(kept, 262144, "%zu of %u", kept, CROWD * 64);
  cr_assert(w.mem.live_bytes - idle < 16u << 20, "%zu", w.mem.live_bytes - idle);
  for (uint32_t i = 0; i < CROWD; i += 2) msub_session_down(w.e, crowd[i], &w.now);
  gs_until(700 * 1000);
  kept = 0;
  for (unsigned i = 0; i < 64; i++) kept += msub_snapshot(w.e, t[i], NULL, 0);
  cr_assert_eq(kept, 0);
  done();
}

static char text[1 << 19];
static const char *ids(const char *prefix, unsigned from, unsigned n) {
  char *p = text;
  for (unsigned i = 0; i < n; i++) p += sprintf(p, "%s%s%u", i ? " " : "", prefix, from + i);
  return text;
}

Test(gossipsub, asks_16384) {
  for (unsigned over = 0; over < 2; over++) {
    gs_init();
    w.ops.send = swallow;
    gs_start();
    world_join(&w, "t", &gs_ids);
    gs_crowd(NULL, 1, 60, V11, false, NULL);
    gs_from(gs_peer[1], MSUB_C_IHAVE, "t", "first", 0);
    unsigned left = 16383 + over, p = 2;
    for (unsigned at = 0; left; p++) {
      unsigned n = left < 500 ? left : 500;
      gs_from(gs_peer[p], MSUB_C_IHAVE, "t", ids("x", at, n), 0);
      at += n;
      left -= n;
    }
    uint64_t before = msub_count(w.e)->rpcs_out;
    gs_from(gs_peer[1], MSUB_C_IHAVE, "t", "first", 0);
    cr_assert_eq(msub_count(w.e)->rpcs_out - before, over, "the oldest is forgotten, and asked for once more");
    done();
  }
}

Test(gossipsub, unwanted_4096_of_a_peer) {
  gs_init();
  o.max_idontwant_length = 6000;
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 1, V12, false, "t");
  gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
  gs_from(gs_peer[1], MSUB_C_IDONTWANT, NULL, ids("n", 0, 4098), 0);
  static const struct { const char *id; size_t sent; } cases[] = { { "n0", 0 }, { "n4094", 0 }, { "n4095", 0 }, { "n4096", 1 }, { "n4097", 1 } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    gs_publish(t, cases[i].id, 9);
    cr_assert_eq(gs_sent_messages(1, cases[i].id), cases[i].sent, "%s", cases[i].id);
  }
  gs_heartbeat();
  gs_from(gs_peer[1], MSUB_C_IDONTWANT, NULL, "z", 0);
  gs_publish(t, "z", 9);
  cr_assert_eq(gs_sent_messages(1, "z"), 0, "a new heartbeat, new room");
  done();
}

static size_t large_record(void *ud, msub_peer p, uint8_t *out, size_t cap) {
  (void)ud;
  if (cap < 3000) return 0;
  memset(out, (int)p.v, 3000);
  return 3000;
}
Test(gossipsub, records_8192_bytes) {
  gs_init();
  o.peer_exchange = true;
  w.ops.peer_record = large_record;
  gs_start();
  world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 12, V11, false, "t");
  gs_crowd(NULL, 20, 8, V11, false, "t");
  for (uint8_t p = 1; p <= 12; p++) gs_from(gs_peer[p], MSUB_C_GRAFT, "t", NULL, 0);
  world_clear(&w);
  gs_from(gs_peer[20], MSUB_C_GRAFT, "t", NULL, 0);
  size_t px;
  cr_assert(gs_sent_backoff(20, "t", &px) == 60 && px == 16 && w.n_sent == 1 && w.sent[0].n > 6000 && w.sent[0].n < 9000,
            "two records fit, the others go by their id alone: %zu", w.sent[0].n);
  done();
}

/* Pairs of peer and topic that heard gossip: one more is not told, and what it was not told it does not get. */
static size_t pairs_told;
static int count_pairs(void *ud, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  (void)ud, (void)link, (void)s, (void)lane;
  for (uint32_t i = 0; rpc->ctl && i < rpc->ctl->n; i++) pairs_told += rpc->ctl->e[i].kind == MSUB_C_IHAVE;
  return MSUB_OK;
}
Test(gossipsub, adverts_262144) {
  enum { TOPICS = 64, PEERS = MSUB__GS_ADVERTS / TOPICS };
  static_assert(PEERS < CROWD, "room for all");
  char name[8];
  for (int over = -1; over <= 1; over++) {
    gs_init();
    w.ops.send = count_pairs;
    w.ops.topic_peer = NULL;
    o.mesh = (msub_gossipsub_mesh){ .d = 2, .dlo = 0, .dhi = 12, .dlazy = 6, .gossip_factor_ppm = 1000000 };
    o.history = 9; /* one more than a link has room for */
    gs_start();
    make_crowd(NULL);
    size_t pairs = 0, wanted = (size_t)((long)MSUB__GS_ADVERTS + over);
    for (unsigned i = 0; i < TOPICS; i++) {
      snprintf(name, sizeof name, "t%u", i);
      msub_topic t = world_join(&w, name, &gs_ids);
      size_t left = i + 1 < TOPICS ? PEERS : wanted - pairs;
      for (size_t k = 0; k < left; k++) world_subscribe(&w, crowd[k], name, true);
      pairs += left;
      gs_publish(t, name, 9);
    }
    cr_assert_eq(pairs, wanted);
    size_t before = w.mem.live_bytes;
    pairs_told = 0;
    gs_heartbeat();
    cr_assert_eq(pairs_told, over > 0 ? wanted - 1 : wanted, "%+d", over);
    size_t full = w.mem.live_bytes;
    cr_assert(full - before < 16u << 20, "%zu", full - before);
    /* told and served are the same ones */
    uint64_t served = msub_count(w.e)->served;
    for (size_t k = 0; k < PEERS + 1; k++) gs_from(crowd[k], MSUB_C_IWANT, NULL, name, 0);
    served = msub_count(w.e)->served - served;
    size_t of_last = wanted - (size_t)(TOPICS - 1) * PEERS;
    cr_assert_eq(served, over > 0 ? of_last - 1 : of_last, "%+d: %llu", over, (unsigned long long)served);
    for (unsigned i = 0; i < 3 + 9; i++) gs_heartbeat(); /* of gossip, of history */
    cr_assert_lt(w.mem.live_bytes, full - MSUB__GS_ADVERTS * 24, "over with the history: %zu of %zu are left", w.mem.live_bytes, full);
    done();
  }
}

/* Who asks in one heartbeat. Its bytes are counted by peer, so whoever leaves stays counted. */
Test(gossipsub, served_65536) {
  for (int over = -1; over <= 1; over++) {
    gs_init();
    w.ops.send = swallow;
    o.iwant.advertised_only = false;
    gs_start();
    gs_publish(world_join(&w, "t", &gs_ids), "t", 9);
    const uint32_t asking = (uint32_t)((long)MSUB__GS_SERVED + over);
    uint64_t served = msub_count(w.e)->served;
    size_t before = w.mem.live_bytes;
    for (uint32_t i = 0; i < asking; i++) {
      uint8_t id[7] = { 0x00, 5, 'a', 's', (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
      msub_session_opts so = { .peer_id = { id, sizeof id }, .protocol = V12, .link = i + 1, .agreed = true };
      msub_session s;
      cr_assert_eq(msub_session_up(w.e, &so, &w.now, &s), MSUB_OK);
      gs_from(s, MSUB_C_IWANT, NULL, "t", 9);
      cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
    }
    served = msub_count(w.e)->served - served;
    cr_assert_eq(served, over > 0 ? asking - 1 : asking, "%+d: %llu", over, (unsigned long long)served);
    cr_assert_lt(w.mem.live_bytes - before, 8u << 20);
    gs_heartbeat(); /* and the next one counts anew */
    gs_up(1, V12, false);
    served = msub_count(w.e)->served;
    gs_from(gs_peer[1], MSUB_C_IWANT, NULL, "t", 9);
    cr_assert_eq(msub_count(w.e)->served, served + 1);
    done();
  }
}

/* More than is gathered at a time: all of it goes out all the same. */
static size_t many_ids(const msub_channel *c, msub_bytes *out, size_t max) {
  static char id[20000][8];
  (void)c;
  size_t n = max < 20000 ? max : 20000;
  for (size_t i = 0; i < n; i++) {
    snprintf(id[i], sizeof id[i], "h%zu", i);
    out[i] = msub_str(id[i]);
  }
  return n;
}
static uint64_t ihave_bytes;
static int weigh(void *ud, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  (void)ud, (void)link, (void)s;
  if (lane == MSUB_LANE_GOSSIP) ihave_bytes += rpc->wire_size;
  return MSUB_OK;
}
Test(gossipsub, gossip_of_long_lists) {
  gs_init();
  w.ops.send = weigh;
  gs_start();
  msub_channel_policy p = gs_ids;
  p.gossip_ids = many_ids;
  char name[8];
  for (unsigned i = 0; i < 20; i++) {
    snprintf(name, sizeof name, "t%u", i);
    world_join(&w, name, &p);
    for (uint8_t k = 1; k <= 14; k++) {
      if (!gs_peer[k].v) gs_up(k, V11, false);
      world_subscribe(&w, gs_peer[k], name, true);
    }
  }
  size_t idle = w.mem.live_bytes;
  ihave_bytes = 0;
  gs_heartbeat();
  /* 20 topics to 6 of 8 peers, 5,000 of 20,000 ids each, 8 bytes a piece */
  cr_assert(ihave_bytes > 20u * 6 * 5000 * 6 && ihave_bytes < 20u * 6 * 5000 * 10, "%llu", (unsigned long long)ihave_bytes);
  cr_assert(w.mem.live_bytes < idle + (1u << 16), "nothing of it stays: %zu", w.mem.live_bytes - idle);
  done();
}
