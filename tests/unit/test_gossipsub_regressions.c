/* tests/unit/test_gossipsub_regressions.c: mistakes that other implementations of gossipsub have made, and what happens here instead. A test
 * bears the id of its row in docs/security-regressions.md, which names those elsewhere, too. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gossipsub_world.h"
#include "meshsub/randomsub.h"
#include "pubsub/limits.h"

static uint8_t buf[4 << 20];
static const msub_counts *n(void) { return msub_count(w.e); }
static msub_usage used(void) {
  msub_usage u;
  msub_usage_of(w.e, &u);
  return u;
}
static void done(void) { world_stop(&w); }
static size_t mesh(msub_topic t) { return gs_count(t, MSUB_ROLE_MESH); }

/* What a peer asks for as backoff, at the usual time and near the end of the clock: the end is at most an hour away, never in the past, and the
 * heartbeats after it, which add their slack, find nothing wrong. */
Test(regressions, G_01_backoffs_of_any_size) {
  static const uint64_t asked[] = { 0, 1, 3600, 3601, UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 53, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX,
                                    UINT64_MAX / 1000000000, UINT64_MAX / 1000000000 - 1, UINT64_MAX / 1000000000 + 1 };
  for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
    gs_init();
    gs_start();
    msub_topic t = world_join(&w, "t", &gs_ids);
    gs_crowd(NULL, 1, 1, V11, false, "t");
    gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
    gs_from(gs_peer[1], MSUB_C_PRUNE, "t", NULL, asked[i]);
    uint64_t end = (asked[i] == 0 ? 60 : asked[i] > 3600 ? 3600 : asked[i]) * 1000;
    cr_assert_eq(gs_backoff(t, 1), end, "%llu", (unsigned long long)asked[i]);
    gs_until(5000);
    cr_assert_eq(gs_backoff(t, 1), end > 5000 ? end : UINT64_MAX, "%llu", (unsigned long long)asked[i]);
    gs_until(3700000);
    cr_assert(gs_backoff(t, 1) == UINT64_MAX && gs_in_mesh(t, 1), "%llu: it ends", (unsigned long long)asked[i]);
    done();
  }
}
Test(regressions, G_02_the_end_of_the_clock) {
  static const uint64_t asked[] = { 0, 1, 3600, UINT64_C(1) << 31, UINT64_C(1) << 53, UINT64_MAX };
  static const uint64_t left[] = { 2, 30, 61, 3599, 3600, 3601, 3603 }; /* seconds until the clock ends */
  for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
    for (size_t k = 0; k < sizeof left / sizeof *left; k++) {
      gs_init();
      w.now.mono_ns = MSUB_NEVER - left[k] * 1000 * MS;
      gs_start();
      msub_topic t = world_join(&w, "t", &gs_ids);
      gs_crowd(NULL, 1, 1, V11, false, "t");
      gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
      gs_from(gs_peer[1], MSUB_C_PRUNE, "t", NULL, asked[i]);
      uint64_t wanted = (asked[i] == 0 ? 60 : asked[i] > 3600 ? 3600 : asked[i]) * 1000, end = gs_backoff(t, 1);
      cr_assert(end == wanted || (wanted >= left[k] * 1000 && end >= left[k] * 1000 - 1 && end <= left[k] * 1000), "%zu, %zu: %llu", i, k, (unsigned long long)end);
      gs_until(1500);
      cr_assert(!gs_in_mesh(t, 1) && (gs_backoff(t, 1) == end || end <= 1500), "%zu, %zu: kept, whatever the slack", i, k);
      done();
    }
}

/* ---- floods, to each router ---- */

static void swallow_send(void) {
  for (size_t i = 0; i < w.n_sent; i++) free(w.sent[i].rpc), w.sent[i].rpc = NULL;
  w.n_sent = 0;
}
static const struct { const msub_router_ops *ops; const char *protocol; } routers[] = {
  { &msub_floodsub, "/floodsub/1.0.0" }, { &msub_randomsub, "/randomsub/1.0.0" },
  { &msub_gossipsub, V10 },              { &msub_gossipsub, V11 },
  { &msub_gossipsub, V12 },              { &msub_gossipsub, V13 },
  { &msub_gossipsub, "/floodsub/1.0.0" },
};
enum { ROUTERS = sizeof routers / sizeof *routers };
static void start_router(size_t r) {
  gs_init();
  if (routers[r].ops != &msub_gossipsub) w.router_opts = NULL;
  gs_start_with(routers[r].ops);
}
/* As many subscriptions to names of `size` digits as fit in `bytes`, from `first` on. */
static size_t subscriptions(size_t bytes, uint32_t first) {
  size_t at = 0;
  for (uint32_t i = first; at + 14 <= bytes; i++) {
    memcpy(buf + at, "\x0a\x0a\x08\x01\x12\x06", 6);
    for (int d = 5, v = (int)i; d >= 0; d--, v /= 10) buf[at + 6 + (size_t)d] = (uint8_t)('0' + v % 10);
    at += 12;
  }
  return at;
}

/* The most unique topics that fit into 4 MB, and into what is taken as one RPC: the first is refused as a whole; what the second leaves is less than
 * twice its size. 10,000 times connected, subscribed and gone: nothing is left. */
Test(regressions, G_03_subscriptions_of_a_peer_are_bounded) {
  gs_init();
  gs_start();
  gs_up(1, V12, false);
  swallow_send();
  size_t idle = w.mem.live_bytes, len = subscriptions(sizeof buf, 0);
  cr_assert(len > (4u << 20) - 20);
  cr_assert_eq(world_receive(&w, gs_peer[1], (msub_bytes){ buf, len }), MSUB_ERR_LIMIT);
  cr_assert(n()->rpcs_over_limit == 1 && w.mem.live_bytes - idle < 4096 && used().topics == 0, "%zu", w.mem.live_bytes - idle);
  for (uint32_t i = 0; i < 30; i++) {
    len = subscriptions(500u << 10, i * 40000);
    world_receive(&w, gs_peer[1], (msub_bytes){ buf, len });
    cr_assert(w.mem.live_bytes - idle < 2 * len && used().topics <= MSUB__PEER_TOPICS, "%zu of %zu", w.mem.live_bytes - idle, len);
  }
  cr_assert(n()->subscriptions_over_limit > 0 && used().topics == MSUB__PEER_TOPICS);
  msub_session_down(w.e, gs_peer[1], &w.now);
  cr_assert_eq(used().topics, 0);

  size_t first = 0;
  for (unsigned i = 0; i < 10000; i++) {
    gs_up(1, V12, i % 2);
    world_receive(&w, gs_peer[1], (msub_bytes){ buf, subscriptions(2400, i) });
    msub_session_down(w.e, gs_peer[1], &w.now);
    w.now.mono_ns += 10 * MS;
    msub_advance(w.e, &w.now);
    swallow_send();
    w.n_peer_events = 0;
    if (i == 100) first = w.mem.live_bytes;
  }
  msub_usage u = used();
  cr_assert(u.topics == 0 && u.names == 0 && u.sessions == 0 && w.mem.live_bytes <= first + 4096, "%zu, %zu", w.mem.live_bytes, first);
  done();
}

/* The same flood, whichever router and protocol it comes by. */
Test(regressions, G_03b_for_every_router) {
  for (size_t r = 0; r < ROUTERS; r++) {
    start_router(r);
    gs_up(1, routers[r].protocol, false);
    size_t idle = w.mem.live_bytes, len = 0;
    for (uint32_t i = 0; i < 10; i++) {
      len = subscriptions(500u << 10, i * 40000);
      world_receive(&w, gs_peer[1], (msub_bytes){ buf, len });
      cr_assert(w.mem.live_bytes - idle < 2 * len && used().topics <= MSUB__PEER_TOPICS, "%s", routers[r].protocol);
    }
    cr_assert(used().topics == MSUB__PEER_TOPICS && n()->subscriptions_over_limit > 0, "%s", routers[r].protocol);
    msub_session_down(w.e, gs_peer[1], &w.now);
    cr_assert(used().topics == 0 && used().names == 0, "%s", routers[r].protocol);
    done();
  }
}

/* One decoder and one set of limits for all routers: too long, too much control, too many messages, malformed. */
Test(regressions, G_37_one_set_of_limits_for_all_routers) {
  for (size_t r = 0; r < ROUTERS; r++) {
    start_router(r);
    msub_session s = gs_up(1, routers[r].protocol, false);
    size_t idle = w.mem.live_bytes;
    memset(buf, 0, sizeof buf);
    cr_assert_eq(world_receive(&w, s, (msub_bytes){ buf, MSUB__RPC_BYTES + 1 }), MSUB_ERR_LIMIT, "%s: length", routers[r].protocol);
    size_t at = 4; /* control of one IWANT with ids of a byte each, more than is taken */
    size_t ids = MSUB__CONTROL_BYTES / 3 + 1, inner = 3 * ids, head = inner + 4;
    memset(buf, 0, 16);
    uint8_t *p = buf;
    *p++ = 0x1a;
    for (size_t v = head; ; v >>= 7) { *p++ = (uint8_t)(v & 0x7f) | (v > 0x7f ? 0x80 : 0); if (v <= 0x7f) break; }
    *p++ = 0x12;
    for (size_t v = inner; ; v >>= 7) { *p++ = (uint8_t)(v & 0x7f) | (v > 0x7f ? 0x80 : 0); if (v <= 0x7f) break; }
    at = (size_t)(p - buf);
    cr_assert_eq(at, 8);
    for (size_t i = 0; i < ids; i++, at += 3) memcpy(buf + at, "\x0a\x01x", 3);
    cr_assert_eq(world_receive(&w, s, (msub_bytes){ buf, at }), MSUB_ERR_LIMIT, "%s: control", routers[r].protocol);
    for (size_t i = 0; i <= MSUB__PUBLISH_ENTRIES; i++) memcpy(buf + 6 * i, "\x12\x04\x12\x02hi", 6);
    cr_assert_eq(world_receive(&w, s, (msub_bytes){ buf, 6 * (MSUB__PUBLISH_ENTRIES + 1) }), MSUB_ERR_LIMIT, "%s: publish", routers[r].protocol);
    cr_assert_eq(world_receive(&w, s, msub_str("\x1a\x05\x0a")), MSUB_ERR_MALFORMED, "%s", routers[r].protocol);
    cr_assert(n()->rpcs_over_limit == 3 && n()->rpcs_malformed == 1 && w.mem.live_bytes - idle < 4096, "%s: %zu", routers[r].protocol, w.mem.live_bytes - idle);
    done();
  }
}

/* Sessions whose stream to the peer never comes about, while the peer's own does: all of it goes with the session. */
Test(regressions, G_15_streams_of_one_direction) {
  gs_init();
  gs_start();
  world_join(&w, "t", &gs_ids);
  size_t first = 0;
  for (unsigned i = 0; i < 100000; i++) {
    msub_peer_id id = { .n = 34 };
    id.bytes[0] = 0x12, id.bytes[1] = 0x20;
    memcpy(id.bytes + 2, &i, sizeof i);
    msub_session_opts so = { .peer_id = msub_peer_id_bytes(&id), .protocol = V12, .link = 1 };
    msub_session s;
    cr_assert_eq(msub_session_up(w.e, &so, &w.now, &s), MSUB_OK);
    cr_assert_eq(msub_session_inbound(w.e, s, &w.now), MSUB_OK);
    world_subscribe(&w, s, "t", true);
    gs_from(s, MSUB_C_GRAFT, "t", NULL, 0);
    gs_from(s, MSUB_C_IDONTWANT, NULL, "a b c", 0);
    if (i % 2) cr_assert_eq(msub_session_inbound_gone(w.e, s, &w.now), MSUB_OK);
    cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
    swallow_send();
    w.n_peer_events = w.n_protects = 0;
    if (i == 20000) first = w.mem.live_bytes;
  }
  msub_usage u = used();
  cr_assert(u.sessions == 0 && u.peers <= 4096 && u.topics == 1, "%zu peers", u.peers);
  cr_assert(w.mem.live_bytes <= first + 65536, "%zu, %zu", w.mem.live_bytes, first);
  done();
}

/* ---- gossip ---- */

/* A forged message says what its id is: nobody is told not to send it before its signature was verified. */
Test(regressions, G_07_forged_messages_tell_nobody_anything) {
  gs_init();
  w.opts.sign = MSUB_STRICT_SIGN;
  gs_start();
  msub_topic t = world_join(&w, "t", NULL);
  gs_crowd(NULL, 1, 5, V12, false, "t");
  for (uint8_t p = 1; p <= 5; p++) gs_from(gs_peer[p], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert_eq(mesh(t), 5);
  world_clear(&w);
  static uint8_t data[2048], forged[4096];
  size_t len = world_signed_rpc(buf, sizeof buf, 9, 1, "t", (msub_bytes){ data, sizeof data });
  memcpy(forged, buf, len);
  forged[len / 2] ^= 1; /* in the data: author, number and so the id are those of the real one */
  world_receive(&w, gs_peer[1], (msub_bytes){ forged, len });
  cr_assert_eq(w.n_sent, 0, "not while it is verified");
  world_run_jobs(&w);
  cr_assert(w.n_sent == 0 && n()->rejected == 1, "nor when it was");
  world_receive(&w, gs_peer[2], (msub_bytes){ buf, len });
  cr_assert_eq(w.n_sent, 0);
  world_run_jobs(&w);
  cr_assert(w.n_delivered == 1 && gs_sent(MSUB_C_IDONTWANT, 0, NULL) == 4 && gs_sent(MSUB_C_IDONTWANT, 2, NULL) == 0, "one to each member but who sent it");
  for (uint64_t p = 1; p <= 5; p++) cr_assert_eq(gs_sent(MSUB_C_IDONTWANT, p, NULL), p != 2);
  done();
}

/* Many entries in an RPC, each below the bound of an entry: the sum of them counts. */
Test(regressions, G_08_ids_count_over_all_entries) {
  gs_init();
  gs_start();
  world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 1, V12, false, NULL);
  enum { ENTRIES = 20, EACH = 499 }; /* two such RPCs are below the 20,000 ids that are looked at in a heartbeat */
  static char text[ENTRIES * EACH][8];
  static msub_bytes ids[ENTRIES * EACH], names[ENTRIES];
  static msub_ctl_entry e[ENTRIES];
  for (unsigned i = 0; i < ENTRIES * EACH; i++) {
    snprintf(text[i], sizeof text[i], "%05u", i);
    ids[i] = msub_str(text[i]);
  }
  for (unsigned i = 0; i < ENTRIES; i++) {
    names[i] = msub_str("t");
    e[i] = (msub_ctl_entry){ .kind = MSUB_C_IHAVE, .ids = ids + i * EACH, .n_ids = EACH };
  }
  size_t len = msub_ctl_encode(e, names, ENTRIES, buf, sizeof buf);
  cr_assert(len <= MSUB__CONTROL_BYTES);
  world_clear(&w);
  cr_assert_eq(world_receive(&w, gs_peer[1], (msub_bytes){ buf, len }), MSUB_OK);
  cr_assert_eq(gs_sent_ids(MSUB_C_IWANT, 1, NULL), 500, "%zu", gs_sent_ids(MSUB_C_IWANT, 1, NULL));
  for (unsigned i = 0; i < ENTRIES * EACH; i++) text[i][0] = 'x'; /* others */
  len = msub_ctl_encode(e, names, ENTRIES, buf, sizeof buf);
  cr_assert_eq(world_receive(&w, gs_peer[1], (msub_bytes){ buf, len }), MSUB_OK);
  cr_assert_eq(gs_sent_ids(MSUB_C_IWANT, 1, NULL), 500, "nor does another RPC add to it");
  done();
}

/* ---- meshes ---- */

/* Leaving and joining again, by each version: no GRAFT within the backoff that we promised, one when it is over. */
Test(regressions, G_25_no_path_grafts_in_backoff) {
  static const char *const version[] = { V10, V11, V12, V13 };
  for (size_t v = 0; v < 4; v++) {
    gs_init();
    gs_start();
    msub_topic t = world_join(&w, "t", &gs_ids);
    gs_crowd(NULL, 1, 4, version[v], true, "t");
    gs_heartbeat();
    cr_assert_eq(mesh(t), 4, "%s", version[v]);
    uint64_t at = 1500;
    for (unsigned churn = 0; churn < 5; churn++, at += 1700) {
      gs_until(at);
      msub_leave(w.e, t, &w.now);
      world_clear(&w);
      t = world_join(&w, "t", &gs_ids);
      gs_publish(t, churn % 2 ? "a" : "b", 1);
      gs_until(at + 1600);
      cr_assert(mesh(t) == 0 && gs_sent(MSUB_C_GRAFT, 0, "t") == 0, "%s, %u", version[v], churn);
    }
    /* what the versions from 1.1 on have is there in all of them: a backoff is said in a PRUNE */
    gs_until(30000);
    cr_assert_eq(mesh(t), 4, "%s: it comes back", version[v]);
    world_clear(&w);
    msub_leave(w.e, t, &w.now);
    cr_assert_eq(gs_sent_backoff(1, "t", NULL), v == 0 ? 0 : 10, "%s", version[v]);
    t = world_join(&w, "t", &gs_ids);
    static char big[2001];
    memset(big, 'x', 2000);
    gs_until(60000);
    world_clear(&w);
    gs_message(gs_peer[1], "t", "large", 2000);
    cr_assert_eq(gs_sent(MSUB_C_IDONTWANT, 0, NULL), v >= 2 ? 3 : 0, "%s: IDONTWANT from 1.2 on", version[v]);
    done();
  }
}

static uint32_t state = 5;
static uint32_t draw(uint32_t below) {
  state = state * 1664525 + 1013904223;
  return (uint32_t)((uint64_t)state * below >> 32);
}

/* Parameters at random: those that are refused are refused at the start; with the others a network of peers that come, go, graft and prune runs a
 * hundred heartbeats. */
Test(regressions, G_18_any_parameters, .timeout = 120) {
  unsigned refused = 0, ran = 0;
  for (unsigned config = 0; config < 400; config++) {
    gs_init();
    o.mesh.d = (uint16_t)draw(9);
    o.mesh.dlo = (uint16_t)draw(o.mesh.d + 2);
    o.mesh.dhi = (uint16_t)(o.mesh.d + draw(6));
    o.mesh.dscore = (uint16_t)draw(o.mesh.d + 2);
    o.mesh.dout = (uint16_t)draw(3);
    o.mesh.dlazy = (uint16_t)draw(8);
    o.mesh.gossip_factor_ppm = draw(1100000);
    o.mesh.flood_publish = draw(2);
    o.history = (uint8_t)draw(7);
    o.history_gossip = (uint8_t)draw(5);
    o.prune_peers = (uint16_t)draw(66);
    o.peer_exchange = draw(2);
    o.retransmissions = (uint8_t)draw(4);
    o.cache_bytes = draw(3) ? 64u << 20 : draw(300);
    o.prune_backoff_ns = draw(5) * 1000 * MS;
    o.unsubscribe_backoff_ns = draw(5) * 1000 * MS;
    o.fanout_ttl_ns = draw(5) * 1000 * MS;
    o.max_ihave_length = draw(50);
    o.idontwant_ttl = (uint8_t)draw(6);
    o.opportunistic_ticks = draw(4);
    o.opportunistic_peers = (uint16_t)draw(4);
    o.score = draw(2) ? &msub_gossipsub_default_score : NULL;
    msub_mem mem = world_mem(&w);
    const char *why = msub_gossipsub_opts_fault(&o);
    if (why) {
      cr_assert_eq(world_try_start(&w, &msub_gossipsub, &mem), MSUB_ERR_INVAL, "%s", why);
      refused++;
      done();
      continue;
    }
    ran++;
    gs_start();
    static const char *const version[] = { V10, V11, V12, V13, "/floodsub/1.0.0" };
    msub_topic t = world_join(&w, "t", &gs_ids);
    gs_crowd(NULL, 1, 12, version[config % 5], false, "t");
    gs_crowd(NULL, 20, 4, V12, true, "t");
    char id[16];
    for (unsigned beat = 0; beat < 100; beat++) {
      uint8_t p = (uint8_t)(draw(2) ? 1 + draw(12) : 20 + draw(4));
      snprintf(id, sizeof id, "m%u", beat);
      switch (draw(8)) {
      case 0: gs_from(gs_peer[p], MSUB_C_GRAFT, "t", NULL, 0); break;
      case 1: gs_from(gs_peer[p], MSUB_C_PRUNE, "t", NULL, draw(4)); break;
      case 2: gs_from(gs_peer[p], MSUB_C_IHAVE, "t", "x y m1 m2 m3", 0); break;
      case 3: gs_from(gs_peer[p], MSUB_C_IWANT, NULL, "m1 m2 m3 m40", 0); break;
      case 4:
        msub_session_down(w.e, gs_peer[p], &w.now);
        gs_crowd(NULL, p, 1, p < 20 ? version[config % 5] : V12, p >= 20, "t");
        break;
      case 5: gs_message(gs_peer[p], "t", id, 20); break;
      case 6:
        msub_leave(w.e, t, &w.now);
        gs_publish(t, id, 9);
        t = world_join(&w, "t", &gs_ids);
        break;
      default: gs_publish(t, id, 1500);
      }
      gs_heartbeat();
      cr_assert(mesh(t) <= 16, "%u", config);
      world_clear(&w);
    }
    done();
  }
  cr_assert(refused > 50 && ran > 50, "%u refused, %u ran", refused, ran);
}

/* ---- scores ---- */

static double score_of;
static msub_bytes wanted;
static void look(void *ud, msub_bytes id, const msub_peer_score *s) {
  (void)ud;
  if (msub_bytes_eq(id, wanted)) score_of = s->score;
}
static double score(uint8_t seed) {
  static msub_peer_id ids[256];
  if (!ids[seed].n) ids[seed] = world_peer_id(seed);
  wanted = msub_peer_id_bytes(&ids[seed]);
  score_of = 0;
  msub_gossipsub_inspect a = { look, NULL };
  cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_INSPECT, &a, sizeof a, &w.now), MSUB_OK);
  return score_of;
}
static int app(uint8_t seed, double value) {
  msub_peer_id id = world_peer_id(seed);
  msub_gossipsub_app_score a = { msub_peer_id_bytes(&id), value };
  return msub_command(w.e, 0, MSUB_GOSSIPSUB_APP_SCORE, &a, sizeof a, &w.now);
}

/* Eight honest members that bring every message, each in turn first, for an hour, with the scores of the defaults: a copy is never held against
 * anybody. */
Test(regressions, G_19_copies_are_no_fault, .timeout = 120) {
  gs_init();
  o.score = &msub_gossipsub_default_score;
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 8, V12, true, "t");
  for (uint8_t p = 1; p <= 8; p++) gs_from(gs_peer[p], MSUB_C_GRAFT, "t", NULL, 0);
  char id[16];
  for (unsigned second = 0; second < 3600; second++) {
    gs_until(second * 1000 + 200);
    snprintf(id, sizeof id, "m%u", second);
    for (unsigned k = 0; k < 8; k++) gs_message(gs_peer[1 + (second + k) % 8], "t", id, 10);
    if (second % 60 == 0) for (uint8_t p = 1; p <= 8; p++) cr_assert(score(p) >= 0, "%u s, peer %u: %f", second, p, score(p));
    world_clear(&w);
  }
  cr_assert_eq(mesh(t), 8);
  for (uint8_t p = 1; p <= 8; p++) cr_assert(score(p) > 0, "%f", score(p));
  cr_assert_eq(n()->duplicates, 7 * 3600);
  done();
}

/* GRAFTs of peers below 0 are refused; of a mesh that is too large those with the best scores stay, Dout of them dialled by us. From 1 to 40 members
 * with scores at random. */
Test(regressions, G_24_meshes_prefer_good_peers) {
  static msub_topic_score topic = { .skip_atomic = true, .weight = 1 };
  static const msub_score_opts opts = {
    .params = { .skip_atomic = true, .app_specific_weight = 1, .decay_interval_ns = UINT64_C(1000000000), .decay_to_zero = 0.01, .topic = &topic },
    .thresholds = { .gossip = -1000, .publish = -2000, .graylist = -4000 } };
  for (uint8_t members = 1; members <= 40; members++) {
    gs_init();
    o.score = &opts;
    o.opportunistic_ticks = 0;
    gs_start();
    msub_topic t = world_join(&w, "t", &gs_ids);
    uint8_t outbound = (uint8_t)(members / 3);
    gs_crowd(NULL, 1, outbound, V12, true, "t");
    gs_crowd(NULL, (uint8_t)(1 + outbound), (size_t)(members - outbound), V12, false, "t");
    double s[41];
    for (uint8_t p = 1; p <= members; p++) { /* they graft while they are good, so far as there is room */
      gs_from(gs_peer[p], MSUB_C_GRAFT, "t", NULL, 0);
    }
    size_t before = 0, good = 0, good_out = 0;
    for (uint8_t p = 1; p <= members; p++) {
      s[p] = (double)draw(1000) - 300 + p / 100.0;
      cr_assert_eq(app(p, s[p]), MSUB_OK);
      if (!gs_in_mesh(t, p)) continue;
      before++;
      good += s[p] >= 0;
      good_out += s[p] >= 0 && p <= outbound;
    }
    bool was[41];
    for (uint8_t p = 1; p <= members; p++) was[p] = gs_in_mesh(t, p);
    world_clear(&w);
    gs_heartbeat();
    size_t out = 0;
    for (uint8_t p = 1; p <= members; p++) {
      if (gs_in_mesh(t, p)) cr_assert(s[p] >= 0, "%u: %f is in the mesh", members, s[p]);
      out += gs_in_mesh(t, p) && p <= outbound;
    }
    if (good >= o.mesh.dhi) {
      cr_assert_eq(mesh(t), o.mesh.d, "%u: %zu", members, mesh(t));
      for (uint8_t p = 1; p <= members; p++) { /* the dscore best of them stay */
        size_t better = 0;
        for (uint8_t q = 1; q <= members; q++) better += was[q] && s[q] > s[p];
        if (was[p] && s[p] >= 0 && better < o.mesh.dscore) cr_assert(gs_in_mesh(t, p), "%u: the best stay", members);
      }
      cr_assert(out >= (good_out < o.mesh.dout ? good_out : o.mesh.dout), "%u: %zu outbound", members, out);
    }
    world_clear(&w);
    for (uint8_t p = 1; p <= members; p++) {
      if (s[p] >= 0) continue;
      gs_from(gs_peer[p], MSUB_C_GRAFT, "t", NULL, 0);
      cr_assert(!gs_in_mesh(t, p) && gs_sent(MSUB_C_PRUNE, p, "t") == 1, "%u: below 0 nobody comes in", members);
    }
    /* two that nobody has met before, whom no backoff and no lack of room holds: only the score differs */
    msub_topic u = world_join(&w, "u", &gs_ids);
    gs_crowd(NULL, 100, 2, V12, false, NULL);
    cr_assert(app(100, -0.01) == MSUB_OK && app(101, 0) == MSUB_OK);
    for (uint8_t p = 100; p <= 101; p++) {
      gs_from(gs_peer[p], MSUB_C_GRAFT, "u", NULL, 0);
      cr_assert(gs_in_mesh(u, p) == (p == 101) && gs_sent(MSUB_C_PRUNE, p, "u") == (p == 100), "%u", p);
    }
    done();
  }
}

/* What peers made us want, or keep for them, is over when they are gone: nothing grows by coming and going. */
Test(regressions, U_07_wants_end_with_the_peer) {
  enum { PEERS = 50, IDS = 500 };
  static char text[IDS * 16];
  gs_init();
  o.iwant_concurrent = 1;
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids);
  size_t idle = 0, most = 0;
  for (unsigned round = 0; round < 6; round++) {
    gs_crowd(NULL, 1, PEERS, V12, false, "t");
    gs_publish(t, "here", 100);
    gs_heartbeat();
    world_clear(&w);
    for (uint8_t p = 1; p <= PEERS; p++) {
      char *at = text;
      for (unsigned i = 0; i < IDS; i++) at += sprintf(at, "%sr%up%ui%u", i ? " " : "", round, p, i);
      gs_from(gs_peer[p], MSUB_C_IHAVE, "t", text, 0);
      gs_from(gs_peer[p], MSUB_C_IDONTWANT, NULL, "a b c d e f g h i j", 0);
      gs_from(gs_peer[p], MSUB_C_IWANT, NULL, "here", 0);
      world_clear(&w);
    }
    if (w.mem.live_bytes > most) most = w.mem.live_bytes;
    for (uint8_t p = 1; p <= PEERS; p++) msub_session_down(w.e, gs_peer[p], &w.now);
    uint64_t ms = (uint64_t)(round + 1) * 400000;
    gs_until(ms);
    gs_up(1, V12, false);
    world_subscribe(&w, gs_peer[1], "t", true);
    world_clear(&w);
    char fresh[16]; /* asked of somebody who is gone: he keeps nobody else from being asked */
    snprintf(fresh, sizeof fresh, "r%up2i7", round);
    gs_from(gs_peer[1], MSUB_C_IHAVE, "t", fresh, 0);
    cr_assert_eq(gs_sent_ids(MSUB_C_IWANT, 1, fresh), 1);
    msub_session_down(w.e, gs_peer[1], &w.now);
    world_clear(&w);
    gs_until(ms + 100000);
    if (round == 0) idle = w.mem.live_bytes;
    cr_assert(w.mem.live_bytes <= idle, "round %u: %zu, %zu", round, w.mem.live_bytes, idle);
  }
  cr_assert_gt(most, idle + PEERS * IDS * 8);
  done();
}
