/* gossipsub: parameters, who is in a mesh or fanout and why, direct peers, backoff. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "gossipsub_world.h"

static void done(void) { world_stop(&w); }
static size_t mesh(msub_topic t) { return gs_count(t, MSUB_ROLE_MESH); }
static void graft(uint8_t first, size_t n, const char *topic) {
  for (size_t i = 0; i < n; i++) gs_from(gs_peer[first + i], MSUB_C_GRAFT, topic, NULL, 0);
}

Test(gossipsub, params) {
  msub_gossipsub_opts p;
  msub_gossipsub_opts_init(&p);
  cr_assert_null(msub_gossipsub_opts_fault(&p));
  cr_assert(p.mesh.d == 6 && p.mesh.flood_publish && p.max_backoff_ns == 3600000 * MS && p.n_protocols == 4);
#define FAULT(change, text)                                                        \
  do {                                                                             \
    msub_gossipsub_opts_init(&p);                                                  \
    change;                                                                        \
    const char *why = msub_gossipsub_opts_fault(&p);                               \
    cr_assert(why && strstr(why, text), "%s: %s", #change, why ? why : "no fault"); \
  } while (0)
  FAULT(p.mesh.dscore = 13, "dscore <= dhi");
  FAULT(p.mesh.dlo = 7, "dlo <= d <= dhi");
  FAULT(p.mesh.dhi = 5, "dlo <= d <= dhi");
  FAULT((p.mesh.dout = 5, p.mesh.d = p.mesh.dhi = 12), "dout < dlo");
  FAULT(p.mesh.dout = 3, "dout < d / 2");
  FAULT(p.mesh.gossip_factor_ppm = 1000001, "gossip_factor_ppm");
  FAULT(p.mesh.dhi = 4097, "dhi");
  FAULT(p.heartbeat_ns = 0, "heartbeat_ns");
  FAULT(p.history = 0, "history");
  FAULT(p.history = 65, "history");
  FAULT(p.history_gossip = 6, "history_gossip");
  FAULT(p.history_gossip = 0, "history_gossip");
  FAULT(p.prune_peers = 65, "prune_peers");
  FAULT(p.max_ihave_length = 0, "max_ihave_length");
  FAULT(p.idontwant_ttl = 17, "idontwant_ttl");
  FAULT(p.direct_ticks = 0, "direct_ticks");
  FAULT((p.n_direct = 1, p.direct = NULL), "direct");
  FAULT(p.size = 3, "size");
  msub_gossipsub_opts_init(&p);
  p.mesh.d = p.mesh.dlo = p.mesh.dhi = p.mesh.dout = p.mesh.dscore = 0;
  cr_assert_null(msub_gossipsub_opts_fault(&p), "a bootstrapper");

  msub_gossipsub_opts_v10(&p);
  cr_assert_null(msub_gossipsub_opts_fault(&p));
  cr_assert(p.n_protocols == 1 && !p.mesh.flood_publish && !p.mesh.dout && !p.opportunistic_ticks && !p.prune_backoff_ns && p.mesh.d == 6);
  msub_gossipsub_opts_go_parity(&p);
  cr_assert_null(msub_gossipsub_opts_fault(&p));
  cr_assert(p.go_parity && !p.mesh.flood_publish && p.iwant_concurrent == 0);

  /* a plan is refused with them; one topic's parameters at join */
  gs_init();
  o.mesh.dlo = 7;
  msub_mem mem = world_mem(&w);
  cr_assert_eq(world_try_start(&w, &msub_gossipsub, &mem), MSUB_ERR_INVAL);
  done();
  gs_begin(false);
  static const msub_gossipsub_mesh bad = { .d = 1, .dhi = 0 };
  static const msub_gossipsub_mesh small = { .d = 2, .dlo = 1, .dhi = 3, .idontwant_bytes = 10 };
  msub_channel_policy policy = gs_ids;
  policy.params = &bad;
  msub_topic t;
  cr_assert_eq(msub_join(w.e, 0, msub_str("bad"), &policy, NULL, &w.now, &t), MSUB_ERR_INVAL);
  policy.params = &small;
  gs_crowd(NULL, 1, 10, V12, false, "t");
  t = world_join(&w, "t", &policy);
  cr_assert_eq(mesh(t), 2, "the topic's own degree");
  msub_topic u = world_join(&w, "u", &gs_ids);
  for (uint8_t i = 1; i <= 10; i++) world_subscribe(&w, gs_peer[i], "u", true);
  gs_heartbeat();
  cr_assert(mesh(t) == 2 && mesh(u) == 6);
  done();
}

Test(gossipsub, defaults_without_options) {
  gs_init();
  w.router_opts = NULL;
  gs_start();
  cr_assert_str_eq(msub_plan_protocol(w.plan, 0), "/meshsub/1.3.0");
  cr_assert_str_eq(msub_plan_protocol(w.plan, 4), FLOOD);
  gs_crowd(NULL, 1, 8, V12, false, "t");
  cr_assert_eq(mesh(world_join(&w, "t", &gs_ids)), 6);
  done();
}

/* A peer that was only offered a protocol is not grafted, but may graft us. */
Test(gossipsub, graft_needs_an_agreed_protocol) {
  gs_begin(false);
  msub_topic t = world_join(&w, "t", &gs_ids);
  for (uint8_t seed = 1; seed <= 4; seed++) {
    gs_up(seed, V12, false);
    cr_assert_eq(msub_session_offer(w.e, gs_peer[seed], V12, seed, &w.now), MSUB_OK);
    world_subscribe(&w, gs_peer[seed], "t", true);
  }
  graft(4, 1, "t");
  gs_heartbeat();
  cr_assert(mesh(t) == 1 && gs_in_mesh(t, 4) && gs_sent(MSUB_C_GRAFT, 0, "t") == 0);
  cr_assert_eq(msub_session_agreed(w.e, gs_peer[1], &w.now), MSUB_OK);
  cr_assert_eq(msub_session_offer(w.e, gs_peer[2], FLOOD, 2, &w.now), MSUB_OK);
  cr_assert_eq(msub_session_agreed(w.e, gs_peer[2], &w.now), MSUB_OK);
  gs_heartbeat();
  cr_assert(mesh(t) == 2 && gs_in_mesh(t, 1) && gs_sent(MSUB_C_GRAFT, 1, "t") == 1 && gs_sent(MSUB_C_GRAFT, 0, "t") == 1);
  done();
}

Test(gossipsub, join_grafts_candidates) {
  for (unsigned parity = 0; parity < 2; parity++) {
    for (size_t n = 0; n <= 9; n++) {
      gs_begin(parity);
      gs_crowd(NULL, 1, n, V11, false, "t");
      world_clear(&w);
      msub_topic t = world_join(&w, "t", &gs_ids);
      size_t want = n < 6 ? n : 6;
      cr_assert(mesh(t) == want && gs_sent(MSUB_C_GRAFT, 0, "t") == want && gs_sent(MSUB_C_SUB, 0, "t") == n);
      cr_assert_eq(w.events[MSUB_T_GRAFT], want);
      for (size_t i = 0; i < w.n_sent; i++) cr_assert_eq(w.sent[i].lane, MSUB_LANE_CONTROL);
      done();
    }
    /* not these: another topic, floodsub, direct, in backoff */
    gs_init();
    if (parity) gs_parity();
    msub_peer_id direct = world_peer_id(3);
    msub_bytes list = msub_peer_id_bytes(&direct);
    o.direct = &list;
    o.n_direct = 1;
    gs_start();
    gs_crowd(NULL, 1, 1, V11, false, "u");
    gs_crowd(NULL, 2, 1, FLOOD, false, "t");
    gs_crowd(NULL, 3, 1, V11, false, "t");
    gs_crowd(NULL, 4, 1, V11, false, "t");
    gs_crowd(NULL, 5, 1, V10, false, "t");
    msub_topic t = world_join(&w, "t", &gs_ids);
    gs_from(gs_peer[4], MSUB_C_PRUNE, "t", NULL, 30);
    msub_leave(w.e, t, &w.now);
    world_clear(&w);
    t = world_join(&w, "t", &gs_ids);
    cr_assert_eq(mesh(t), 0, "all in backoff now");
    gs_up(6, V12, true);
    world_subscribe(&w, gs_peer[6], "t", true);
    gs_heartbeat();
    cr_assert(mesh(t) == 1 && gs_in_mesh(t, 6) && gs_role(t, 3) == MSUB_ROLE_DIRECT && (gs_role(t, 6) & MSUB_ROLE_OUTBOUND));
    done();
  }
}

Test(gossipsub, bootstrapper) {
  for (unsigned parity = 0; parity < 2; parity++) {
    gs_init();
    if (parity) gs_parity();
    o.mesh.d = o.mesh.dlo = o.mesh.dhi = o.mesh.dout = o.mesh.dscore = 0;
    gs_start();
    gs_crowd(NULL, 1, 10, V11, false, "t");
    msub_topic t = world_join(&w, "t", &gs_ids);
    cr_assert_eq(mesh(t), parity ? 10 : 0, "the reference takes D = 0 for no limit");
    world_clear(&w);
    gs_heartbeat();
    cr_assert(mesh(t) == 0 && gs_sent(MSUB_C_PRUNE, 0, "t") == (parity ? 10u : 0u));
    gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
    cr_assert(mesh(t) == 0 && gs_sent_backoff(1, "t", NULL) == 60);
    done();
  }
}

/* Mesh sizes at each boundary, without and with outbound members. */
Test(gossipsub, G_16_heartbeat_boundaries) {
  static const struct { size_t in, out, cand_in, cand_out; uint16_t dout; size_t after, out_at_least; } cases[] = {
    { 4, 0, 10, 0, 0, 6, 0 },  { 5, 0, 10, 0, 0, 5, 0 },  { 6, 0, 10, 0, 2, 6, 0 },   { 11, 0, 5, 0, 2, 11, 0 },
    { 12, 0, 5, 0, 2, 6, 0 },  { 12, 1, 0, 0, 2, 6, 1 },  { 12, 4, 0, 0, 2, 6, 2 },   { 6, 0, 6, 5, 2, 8, 2 },
    { 5, 1, 6, 5, 2, 7, 2 },   { 4, 2, 6, 5, 2, 6, 2 },   { 0, 0, 12, 0, 2, 6, 0 },   { 12, 20, 0, 0, 2, 6, 2 },
    { 0, 0, 0, 0, 2, 0, 0 },   { 0, 0, 3, 0, 2, 3, 0 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    gs_init();
    o.mesh.dout = cases[i].dout;
    gs_start();
    msub_topic t = world_join(&w, "t", &gs_ids);
    gs_crowd(NULL, 1, cases[i].in, V11, false, "t");
    gs_crowd(NULL, 40, cases[i].out, V11, true, "t");
    gs_crowd(NULL, 80, cases[i].cand_in, V11, false, "t");
    gs_crowd(NULL, 120, cases[i].cand_out, V11, true, "t");
    graft(1, cases[i].in, "t");
    graft(40, cases[i].out, "t");
    cr_assert_eq(mesh(t), cases[i].in + cases[i].out, "case %zu", i);
    world_clear(&w);
    gs_heartbeat();
    size_t outbound = 0;
    for (unsigned p = 1; p < 250; p++) outbound += gs_peer[p].v && (gs_role(t, (uint8_t)p) & (MSUB_ROLE_MESH | MSUB_ROLE_OUTBOUND)) == (MSUB_ROLE_MESH | MSUB_ROLE_OUTBOUND);
    cr_assert(mesh(t) == cases[i].after && outbound >= cases[i].out_at_least, "case %zu: %zu members, %zu outbound", i, mesh(t), outbound);
    size_t before = cases[i].in + cases[i].out, pruned = before > cases[i].after ? before - cases[i].after : 0;
    cr_assert(gs_sent(MSUB_C_PRUNE, 0, "t") == pruned && gs_count(t, MSUB_ROLE_BACKOFF) == pruned, "case %zu", i);
    cr_assert(gs_sent(MSUB_C_GRAFT, 0, "t") == (cases[i].after > before ? cases[i].after - before : 0), "case %zu", i);
    world_clear(&w);
    gs_heartbeat();
    cr_assert(mesh(t) == cases[i].after && w.n_sent == 0, "case %zu: the second heartbeat finds it as it should be", i);
    done();
  }
}

Test(gossipsub, many_topics_share_an_rpc) {
  gs_begin(false);
  world_join(&w, "t", &gs_ids);
  world_join(&w, "u", &gs_ids);
  gs_crowd(NULL, 1, 4, V11, false, "t");
  for (uint8_t i = 1; i <= 4; i++) world_subscribe(&w, gs_peer[i], "u", true);
  world_clear(&w);
  gs_heartbeat();
  cr_assert(gs_sent(MSUB_C_GRAFT, 0, NULL) == 8 && gs_sent_rpcs(0) == 4);
  cr_assert_eq(w.wanted_peers, 2, "d - 4: discovery is asked while the mesh is below dlo");
  done();
}

Test(gossipsub, G_25_leave_and_rejoin) {
  gs_begin(false);
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 3, V11, false, "t");
  gs_crowd(NULL, 4, 1, V10, false, "t");
  gs_heartbeat();
  cr_assert_eq(mesh(t), 4);
  world_clear(&w);
  gs_until(2500);
  msub_leave(w.e, t, &w.now);
  cr_assert(gs_sent(MSUB_C_PRUNE, 0, "t") == 4 && gs_sent_backoff(1, "t", NULL) == 10 && gs_sent_backoff(4, "t", NULL) == 0);
  cr_assert(w.sent[0].n && gs_sent(MSUB_C_UNSUB, 1, "t") == 1);
  cr_assert(gs_backoff(t, 1) == 12500 && gs_backoff(t, 4) == 12500 && mesh(t) == 0);
  t = world_join(&w, "t", &gs_ids);
  world_clear(&w);
  gs_until(14400); /* 12,500 and two heartbeats of slack */
  cr_assert(mesh(t) == 0 && gs_count(t, MSUB_ROLE_BACKOFF) == 0);
  gs_until(15200);
  cr_assert(mesh(t) == 4 && gs_sent(MSUB_C_GRAFT, 0, "t") == 4);
  done();
}

Test(gossipsub, graft_received) {
  gs_begin(false);
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 12, V11, false, "t");
  gs_crowd(NULL, 20, 1, V11, false, "t");
  gs_crowd(NULL, 21, 1, V11, true, "t");
  gs_crowd(NULL, 22, 1, V10, false, "t");
  gs_crowd(NULL, 23, 1, FLOOD, false, "t");
  world_clear(&w);
  gs_from(gs_peer[1], MSUB_C_GRAFT, "nowhere", NULL, 0);
  cr_assert_eq(w.n_sent, 0, "an unknown topic gets no answer");
  graft(1, 12, "t");
  graft(1, 12, "t");
  cr_assert(mesh(t) == 12 && w.n_sent == 0, "accepted silently, repeated or not");
  gs_from(gs_peer[20], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert(gs_sent_backoff(20, "t", NULL) == 60 && gs_backoff(t, 20) == 60000 && mesh(t) == 12, "full");
  gs_from(gs_peer[21], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert(gs_in_mesh(t, 21), "we dialled it: it comes in whatever dhi says");
  gs_from(gs_peer[22], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert_eq(gs_sent_backoff(22, "t", NULL), 0, "1.0 knows no backoff");
  world_clear(&w);
  gs_from(gs_peer[23], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert(!gs_in_mesh(t, 23) && w.n_sent == 0, "floodsub has no control part");
  /* in backoff: refused, and it begins anew */
  w.now.mono_ns += 5000 * MS;
  gs_from(gs_peer[20], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert(gs_sent(MSUB_C_PRUNE, 20, "t") == 1 && gs_backoff(t, 20) == 65000);
  /* twice in an RPC is one answer */
  uint8_t twice[64];
  msub_ctl_entry e[2] = { { .kind = MSUB_C_GRAFT }, { .kind = MSUB_C_GRAFT } };
  msub_bytes names[2] = { msub_str("t"), msub_str("t") };
  world_receive(&w, gs_peer[20], (msub_bytes){ twice, msub_ctl_encode(e, names, 2, twice, sizeof twice) });
  cr_assert_eq(gs_sent(MSUB_C_PRUNE, 20, "t"), 2);
  world_clear(&w);
  for (int i = 0; i < 2000; i++) gs_from(gs_peer[20], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert_eq(gs_sent(MSUB_C_PRUNE, 20, "t"), 509, "512 refusals in a heartbeat get an answer");
  done();

  gs_begin(true);
  t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 1, FLOOD, false, NULL);
  graft(1, 1, "t");
  cr_assert(gs_in_mesh(t, 1), "the reference takes it of anybody");
  gs_publish(t, "m", 1);
  cr_assert_eq(gs_sent_messages(1, "m"), 0, "nobody has announced the topic");
  gs_crowd(NULL, 2, 1, V11, false, "t");
  gs_publish(t, "n", 1);
  cr_assert_eq(gs_sent_messages(1, "n"), 1);
  done();
}

Test(gossipsub, peers_that_never_subscribed) {
  for (unsigned parity = 0; parity < 2; parity++) {
    gs_begin(parity);
    msub_topic t = world_join(&w, "t", &gs_ids);
    gs_crowd(NULL, 1, 2, V11, false, "t");
    gs_up(3, V11, true);
    graft(1, 3, "t");
    cr_assert(mesh(t) == 3 && gs_in_mesh(t, 3));
    world_subscribe(&w, gs_peer[3], "t", true);
    gs_heartbeat();
    cr_assert_eq(mesh(t), 3);
    world_subscribe(&w, gs_peer[3], "t", false);
    world_subscribe(&w, gs_peer[2], "t", false);
    cr_assert_eq(mesh(t), parity ? 3 : 1, "who gives the topic up leaves the mesh; the reference waits for a PRUNE");
    world_subscribe(&w, gs_peer[3], "t", true);
    cr_assert_eq(gs_in_mesh(t, 3), parity);
    if (parity) {
      gs_from(gs_peer[2], MSUB_C_PRUNE, "t", NULL, 10);
      cr_assert_eq(mesh(t), 2);
      cr_assert_eq(w.events[MSUB_T_PRUNE], 1);
      gs_from(gs_peer[2], MSUB_C_PRUNE, "t", NULL, 10);
      cr_assert_eq(w.events[MSUB_T_PRUNE], 2, "traced although it was not in");
    } else {
      size_t prunes = w.events[MSUB_T_PRUNE];
      gs_from(gs_peer[2], MSUB_C_PRUNE, "t", NULL, 10);
      cr_assert_eq(w.events[MSUB_T_PRUNE], prunes, "only what happens is traced");
    }
    msub_session_down(w.e, gs_peer[3], &w.now);
    msub_session_down(w.e, gs_peer[1], &w.now);
    cr_assert_eq(mesh(t), 0);
    done();
  }
}

Test(gossipsub, G_01_backoff_of_a_received_prune) {
  static const struct { uint64_t seconds, ours, parity; } cases[] = { /* ms, at 150 */
    { 30, 30150, 30150 }, { 0, 60150, 60150 }, { 1, 1150, 1150 }, { 3600, 3600150, 3600150 }, { 3601, 3600150, 3601150 },
    { UINT64_MAX, 3600150, 0 }, { UINT64_C(1) << 55, 3600150, 150 }, { UINT64_C(1) << 40, 3600150, 0 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (unsigned parity = 0; parity < 2; parity++) {
      gs_init();
      if (parity) gs_parity();
      w.now.mono_ns = UINT64_C(100000000) * 1000 * MS; /* a wrapped backoff ends before the start, not before 0 */
      gs_start();
      msub_topic t = world_join(&w, "t", &gs_ids);
      gs_crowd(NULL, 1, 1, V11, false, "t");
      graft(1, 1, "t");
      gs_until(150);
      gs_from(gs_peer[1], MSUB_C_PRUNE, "t", NULL, cases[i].seconds);
      cr_assert(mesh(t) == 0 && gs_backoff(t, 1) == (parity ? cases[i].parity : cases[i].ours), "case %zu: %llu", i, (unsigned long long)gs_backoff(t, 1));
      gs_until(14050);
      bool back = gs_in_mesh(t, 1);
      cr_assert_eq(back, !parity && cases[i].ours < 12000, "case %zu: exact with slack, or until the sweep", i);
      gs_until(14150);
      cr_assert_eq(gs_in_mesh(t, 1), (parity ? cases[i].parity : cases[i].ours) < 12000, "case %zu", i);
      done();
    }

  gs_begin(false);
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 1, V11, false, "t");
  graft(1, 1, "t");
  gs_from(gs_peer[1], MSUB_C_PRUNE, "u", NULL, 50);
  cr_assert_eq(gs_backoff(t, 1), UINT64_MAX);
  gs_from(gs_peer[1], MSUB_C_PRUNE, "t", NULL, 50);
  gs_from(gs_peer[1], MSUB_C_PRUNE, "t", NULL, 10);
  cr_assert_eq(gs_backoff(t, 1), 50000, "only ever extended");
  gs_from(gs_peer[1], MSUB_C_PRUNE, "t", NULL, 0);
  cr_assert_eq(gs_backoff(t, 1), 60000);
  /* it outlives the session, and its end frees everything */
  msub_session_down(w.e, gs_peer[1], &w.now);
  cr_assert_eq(gs_backoff(t, 1), 60000);
  gs_crowd(NULL, 1, 1, V11, false, "t");
  gs_heartbeat();
  cr_assert_eq(mesh(t), 0);
  gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert(mesh(t) == 0 && gs_sent(MSUB_C_PRUNE, 1, "t") == 1);
  gs_until(59000);
  msub_session_down(w.e, gs_peer[1], &w.now);
  gs_until(90000);
  cr_assert_eq(gs_backoff(t, 1), UINT64_MAX);
  done();
}

/* Backoffs of many peers and topics, connected and gone, swept in any order. */
Test(gossipsub, backoff_table) {
  gs_begin(false);
  char name[8];
  msub_topic t[40];
  for (int i = 0; i < 40; i++) {
    snprintf(name, sizeof name, "t%d", i);
    t[i] = world_join(&w, name, &gs_ids);
  }
  gs_crowd(NULL, 1, 60, V11, false, NULL);
  for (int i = 0; i < 40; i++)
    for (uint8_t p = 1; p <= 60; p++) {
      snprintf(name, sizeof name, "t%d", i);
      gs_from(gs_peer[p], MSUB_C_PRUNE, name, NULL, (uint64_t)(1 + (i * 7 + p * 13) % 60));
    }
  for (int i = 0; i < 40; i++) cr_assert_eq(gs_count(t[i], MSUB_ROLE_BACKOFF), 60);
  for (uint8_t p = 1; p <= 30; p++) msub_session_down(w.e, gs_peer[p], &w.now);
  for (int i = 0; i < 40; i++) cr_assert_eq(gs_count(t[i], MSUB_ROLE_BACKOFF), 60, "t%d", i);
  gs_until(31100);
  for (int i = 0; i < 40; i++)
    for (uint8_t p = 1; p <= 60; p++) {
      uint64_t end = (uint64_t)(1 + (i * 7 + p * 13) % 60) * 1000;
      cr_assert_eq(gs_backoff(t[i], p), end > 31100 ? end : UINT64_MAX);
    }
  gs_until(90000);
  for (int i = 0; i < 40; i++) cr_assert_eq(gs_count(t[i], MSUB_ROLE_BACKOFF), 0);
  for (uint8_t p = 31; p <= 60; p++) msub_session_down(w.e, gs_peer[p], &w.now);
  for (int i = 0; i < 40; i++) msub_leave(w.e, t[i], &w.now);
  done();
}

Test(gossipsub, profile_v10) {
  gs_init();
  msub_gossipsub_opts_v10(&o);
  gs_start();
  cr_assert_str_eq(msub_plan_protocol(w.plan, 0), V10);
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 4, V10, true, "t");
  gs_heartbeat();
  cr_assert_eq(mesh(t), 4);
  gs_from(gs_peer[1], MSUB_C_PRUNE, "t", NULL, 0);
  gs_from(gs_peer[2], MSUB_C_PRUNE, "t", NULL, 100);
  cr_assert(mesh(t) == 2 && gs_count(t, MSUB_ROLE_BACKOFF) == 0);
  gs_heartbeat();
  cr_assert_eq(mesh(t), 4, "no backoff");
  msub_leave(w.e, t, &w.now);
  t = world_join(&w, "t", &gs_ids);
  cr_assert_eq(mesh(t), 4);
  done();
}

Test(gossipsub, offered_and_agreed) {
  gs_begin(false);
  msub_topic t = world_join(&w, "t", &gs_ids);
  msub_peer_id id = world_peer_id(1);
  msub_session_opts so = { .peer_id = msub_peer_id_bytes(&id), .protocol = V12, .link = 1, .outbound = true };
  cr_assert_eq(msub_session_up(w.e, &so, &w.now, &gs_peer[1]), MSUB_OK);
  world_subscribe(&w, gs_peer[1], "t", true);
  gs_heartbeat();
  cr_assert_eq(mesh(t), 0, "not before it has agreed");
  graft(1, 1, "t");
  cr_assert_eq(mesh(t), 1);
  /* it speaks floodsub only: out of the mesh, and served all the same */
  cr_assert_eq(msub_session_offer(w.e, gs_peer[1], FLOOD, 1, &w.now), MSUB_OK);
  cr_assert_eq(msub_session_agreed(w.e, gs_peer[1], &w.now), MSUB_OK);
  world_clear(&w);
  cr_assert_eq(mesh(t), 0);
  gs_publish(t, "m", 1);
  gs_heartbeat();
  cr_assert(gs_sent_messages(1, "m") == 1 && w.n_sent == 1, "and hears no control");
  cr_assert_eq(msub_session_offer(w.e, gs_peer[1], V12, 1, &w.now), MSUB_OK);
  cr_assert_eq(msub_session_agreed(w.e, gs_peer[1], &w.now), MSUB_OK);
  gs_heartbeat();
  cr_assert_eq(mesh(t), 1);
  done();
}

Test(gossipsub, fanout) {
  gs_init();
  o.fanout_ttl_ns = 2000 * MS;
  gs_start();
  gs_crowd(NULL, 1, 20, V11, false, "t");
  gs_crowd(NULL, 30, 1, FLOOD, false, "t");
  msub_topic t;
  cr_assert_eq(msub_open(w.e, 0, msub_str("t"), &gs_ids, NULL, &w.now, &t), MSUB_OK);
  world_clear(&w);
  gs_until(101);
  gs_publish(t, "m1", 2);
  cr_assert(gs_sent_messages(0, "m1") == 7 && gs_sent_messages(30, "m1") == 1 && gs_count(t, MSUB_ROLE_FANOUT) == 6 && gs_count(t, MSUB_ROLE_MESH) == 0);
  uint8_t got[256], again[256];
  size_t n = 0;
  for (uint8_t i = 1; i <= 20; i++)
    if (gs_sent_messages(i, "m1")) got[n++] = i;
  gs_until(200);
  gs_publish(t, "m2", 2);
  n = 0;
  for (uint8_t i = 1; i <= 20; i++)
    if (gs_sent_messages(i, "m2")) again[n++] = i;
  cr_assert(n == 6 && memcmp(got, again, 6) == 0, "the same ones");
  gs_heartbeat();
  cr_assert_eq(gs_sent(MSUB_C_IHAVE, 0, "t"), 6, "gossip to others");
  for (size_t i = 0; i < 6; i++) cr_assert_eq(gs_sent(MSUB_C_IHAVE, got[i], "t"), 0);
  /* members that go are replaced at the heartbeat */
  world_subscribe(&w, gs_peer[got[0]], "t", false);
  msub_session_down(w.e, gs_peer[got[1]], &w.now);
  cr_assert_eq(gs_count(t, MSUB_ROLE_FANOUT), 4);
  gs_heartbeat();
  cr_assert_eq(gs_count(t, MSUB_ROLE_FANOUT), 6);
  gs_until(2150);
  cr_assert_eq(gs_count(t, MSUB_ROLE_FANOUT), 6);
  gs_until(3150); /* 200 + 2,000 < 3,100 */
  cr_assert_eq(gs_count(t, MSUB_ROLE_FANOUT), 0);
  gs_publish(t, "m3", 2);
  cr_assert_eq(gs_count(t, MSUB_ROLE_FANOUT), 6);
  /* joining turns it into a mesh */
  n = 0;
  for (uint8_t i = 1; i <= 20; i++)
    if (gs_role(t, i) & MSUB_ROLE_FANOUT) got[n++] = i;
  world_clear(&w);
  t = world_join(&w, "t", &gs_ids);
  n = gs_who(MSUB_C_GRAFT, "t", again);
  cr_assert(n == 6 && memcmp(got, again, 6) == 0 && mesh(t) == 6 && gs_count(t, MSUB_ROLE_FANOUT) == 0);
  done();

  /* a topic that everybody forgets takes its fanout along */
  gs_begin(false);
  gs_crowd(NULL, 1, 3, V11, false, "t");
  cr_assert_eq(msub_open(w.e, 0, msub_str("t"), &gs_ids, NULL, &w.now, &t), MSUB_OK);
  gs_publish(t, "m1", 2);
  msub_close(w.e, t, &w.now);
  for (uint8_t i = 1; i <= 3; i++) msub_session_down(w.e, gs_peer[i], &w.now);
  gs_until(10000);
  msub_usage u;
  msub_usage_of(w.e, &u);
  cr_assert(u.topics == 0 && u.names == 0);
  done();

  /* with nobody there, the first who comes gets the next one */
  gs_begin(false);
  cr_assert_eq(msub_open(w.e, 0, msub_str("t"), &gs_ids, NULL, &w.now, &t), MSUB_OK);
  gs_publish(t, "m1", 2);
  gs_crowd(NULL, 1, 1, V11, false, "t");
  gs_publish(t, "m2", 2);
  cr_assert(gs_sent_messages(1, "m2") == 1 && gs_sent_messages(1, "m1") == 0);
  done();
}

Test(gossipsub, direct_peers) {
  for (unsigned parity = 0; parity < 2; parity++) {
    gs_init();
    if (parity) gs_parity();
    msub_peer_id ids[2] = { world_peer_id(1), world_peer_id(2) };
    msub_bytes list[3] = { msub_peer_id_bytes(&ids[0]), msub_peer_id_bytes(&ids[1]), msub_peer_id_bytes(&ids[0]) };
    o.direct = list;
    o.n_direct = 3;
    o.direct_ticks = 3;
    gs_start();
    gs_crowd(NULL, 1, 1, V11, false, "t");
    gs_until(999);
    cr_assert_eq(w.n_hints, 0);
    gs_until(1000);
    cr_assert(w.n_hints == 1 && w.hints[0].peer_n == list[1].n && memcmp(w.hints[0].peer, list[1].p, list[1].n) == 0, "the absent one");
    gs_until(2099);
    cr_assert_eq(w.n_hints, 1);
    gs_until(2100);
    cr_assert_eq(w.n_hints, 2);
    gs_crowd(NULL, 2, 1, V11, false, "t");
    gs_crowd(NULL, 3, 8, V11, false, "t");
    gs_until(5200);
    cr_assert_eq(w.n_hints, 2);
    /* served beside the mesh, once; never grafted; told no gossip */
    msub_topic t = world_join(&w, "t", &gs_ids);
    gs_until(6200);
    cr_assert(mesh(t) == 6 && !gs_in_mesh(t, 1) && !gs_in_mesh(t, 2) && gs_role(t, 1) == MSUB_ROLE_DIRECT);
    world_clear(&w);
    gs_publish(t, "m", 3);
    cr_assert(gs_sent_messages(1, "m") == 1 && gs_sent_messages(2, "m") == 1 && gs_sent_messages(0, "m") == 8);
    gs_message(gs_peer[1], "t", "n", 3);
    cr_assert(gs_sent_messages(2, "n") == 1 && gs_sent_messages(1, "n") == 0);
    gs_heartbeat();
    cr_assert(gs_sent(MSUB_C_IHAVE, 0, "t") == 2 && gs_sent(MSUB_C_IHAVE, 1, "t") == 0);
    world_clear(&w);
    gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
    size_t px;
    cr_assert(gs_sent_backoff(1, "t", &px) == 60 && px == 0 && gs_backoff(t, 1) == UINT64_MAX, "refused, without a backoff here");
    /* at run time */
    uint8_t member = 3;
    while (!gs_in_mesh(t, member)) member++;
    msub_peer_id m = world_peer_id(member), gone = world_peer_id(99);
    world_clear(&w);
    cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_ADD_DIRECT, m.bytes, m.n, &w.now), MSUB_OK);
    cr_assert(gs_in_mesh(t, member) == (bool)parity && gs_sent(MSUB_C_PRUNE, member, "t") == !parity);
    gs_publish(t, "p", 3);
    cr_assert_eq(gs_sent_messages(member, "p"), 1, "once");
    w.n_hints = 0;
    cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_ADD_DIRECT, gone.bytes, gone.n, &w.now), MSUB_OK);
    cr_assert_eq(w.n_hints, parity ? 0 : 1);
    cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_REMOVE_DIRECT, gone.bytes, gone.n, &w.now), MSUB_OK);
    cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_REMOVE_DIRECT, gone.bytes, gone.n, &w.now), MSUB_ERR_NOTFOUND);
    cr_assert_eq(msub_command(w.e, 0, 77, gone.bytes, gone.n, &w.now), MSUB_ERR_UNSUPPORTED);
    for (uint8_t i = 1; i <= 2; i++) cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_REMOVE_DIRECT, ids[i - 1].bytes, ids[i - 1].n, &w.now), MSUB_OK);
    gs_heartbeat();
    gs_heartbeat();
    world_clear(&w);
    gs_publish(t, "q", 3);
    cr_assert_eq(gs_sent_messages(1, "q"), gs_in_mesh(t, 1), "no longer beside the mesh");
    done();
  }
  /* the table is bounded */
  gs_begin(false);
  int rc = MSUB_OK;
  unsigned n = 0;
  for (; rc == MSUB_OK && n < 300; n++) {
    uint8_t id[4] = { 0x00, 2, (uint8_t)(n >> 8), (uint8_t)n };
    rc = msub_command(w.e, 0, MSUB_GOSSIPSUB_ADD_DIRECT, id, sizeof id, &w.now);
    w.n_hints = 0;
  }
  cr_assert(rc == MSUB_ERR_LIMIT && n == 257);
  done();
}

Test(gossipsub, ready) {
  gs_begin(true);
  msub_topic t = world_join(&w, "t", &gs_ids);
  cr_assert(!msub_ready(w.e, t, 0) && !msub_ready(w.e, t, 1));
  gs_crowd(NULL, 1, 4, V11, false, "t");
  graft(1, 4, "t");
  cr_assert(msub_ready(w.e, t, 4) && !msub_ready(w.e, t, 0) && !msub_ready(w.e, t, 5));
  gs_crowd(NULL, 5, 1, FLOOD, false, "t");
  cr_assert(msub_ready(w.e, t, 0) && !msub_ready(w.e, t, 20));
  gs_crowd(NULL, 6, 8, V11, false, "t");
  graft(6, 8, "t");
  cr_assert(msub_ready(w.e, t, 100), "more than dhi never are");
  done();
  gs_begin(false);
  msub_topic u;
  cr_assert_eq(msub_open(w.e, 0, msub_str("u"), &gs_ids, NULL, &w.now, &u), MSUB_OK);
  cr_assert(!msub_ready(w.e, u, 1));
  gs_crowd(NULL, 1, 3, V11, false, "u");
  cr_assert(msub_ready(w.e, u, 3) && !msub_ready(w.e, u, 4), "a fanout would reach them");
  done();
}

/* ---- the channel's word ---- */

static unsigned asked_graft, told_graft, told_ours;
static bool only_even(const msub_channel *c, msub_session s) {
  (void)c;
  asked_graft++;
  for (unsigned i = 1; i < 256; i++)
    if (gs_peer[i].v == s.v) return i % 2 == 0;
  return false;
}
static void note_graft(const msub_channel *c, msub_session s, bool ours) {
  (void)c, (void)s;
  told_graft++;
  told_ours += ours;
}
Test(gossipsub, may_graft_and_on_graft) {
  gs_begin(false);
  msub_channel_policy p = gs_ids;
  p.may_graft = only_even;
  p.on_graft = note_graft;
  gs_crowd(NULL, 1, 20, V11, false, "t");
  msub_topic t = world_join(&w, "t", &p);
  cr_assert(mesh(t) == 6 && told_graft == 6 && told_ours == 6);
  for (uint8_t i = 1; i <= 20; i += 2) cr_assert(!gs_in_mesh(t, i));
  uint8_t odd = 1, even = 2;
  while (gs_in_mesh(t, even)) even += 2;
  world_clear(&w);
  gs_from(gs_peer[odd], MSUB_C_GRAFT, "t", NULL, 0);
  size_t px;
  cr_assert(gs_sent_backoff(odd, "t", &px) == 60 && px == 0 && gs_backoff(t, odd) == 60000 && !gs_in_mesh(t, odd));
  gs_from(gs_peer[even], MSUB_C_GRAFT, "t", NULL, 0);
  cr_assert(gs_in_mesh(t, even) && told_graft == 7 && told_ours == 6);
  done();
}

/* ---- the channel's may_peer ---- */

static bool odd_only(const msub_channel *c, msub_session s) {
  (void)c;
  for (unsigned seed = 2; seed < 256; seed += 2)
    if (gs_peer[seed].v == s.v) return false;
  return true;
}
/* Half of the peers are denied the topic: in no mesh, no fanout and no peer exchange, and nothing of theirs counts, silently. */
Test(mesh, peer_filter) {
  static msub_channel_policy p;
  p = gs_ids;
  p.may_peer = odd_only;
  gs_init();
  o.peer_exchange = true;
  o.mesh.flood_publish = false;
  gs_start();
  msub_topic t = world_join(&w, "t", &p), u;
  msub_session s[9];
  gs_crowd(s, 1, 8, "/meshsub/1.1.0", true, "t");
  gs_heartbeat();
  cr_assert_eq(gs_count(t, MSUB_ROLE_MESH), 4);
  for (uint8_t i = 1; i <= 8; i++) cr_assert_eq(!!(gs_role(t, i) & MSUB_ROLE_MESH), i % 2 == 1, "peer %u", i);
  world_clear(&w);

  /* GRAFT, IHAVE and a message of one that is denied: no answer. */
  gs_from(s[1], MSUB_C_GRAFT, "t", "", 0);
  gs_from(s[1], MSUB_C_IHAVE, "t", "x y", 0);
  gs_message(s[1], "t", "theirs", 10);
  cr_assert(gs_sent_rpcs(2) == 0 && w.n_delivered == 0 && !(gs_role(t, 2) & MSUB_ROLE_MESH) && msub_count_reason(w.e, MSUB_R_FILTERED) == 1);
  gs_from(s[0], MSUB_C_IHAVE, "t", "x y", 0);
  cr_assert_eq(gs_sent(MSUB_C_IWANT, 1, NULL), 1);

  /* Ours go to the others only, however they are asked for. */
  cr_assert_eq(gs_publish(t, "ours", 10), MSUB_OK);
  gs_from(s[1], MSUB_C_IWANT, NULL, "ours", 0);
  gs_heartbeat();
  for (uint8_t i = 1; i <= 8; i++) cr_assert_eq(gs_sent_messages(i, "ours"), i % 2);
  for (uint8_t i = 2; i <= 8; i += 2) cr_assert_eq(gs_sent(MSUB_C_IHAVE, i, "t"), 0);

  /* Peer exchange at leaving names none of them. */
  world_clear(&w);
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  size_t n_px = 0;
  (void)gs_sent_backoff(1, "t", &n_px);
  cr_assert_eq(n_px, 3, "the other odd ones");

  /* A fanout. */
  cr_assert_eq(msub_open(w.e, 0, msub_str("u"), &p, NULL, &w.now, &u), MSUB_OK);
  for (size_t i = 0; i < 8; i++) world_subscribe(&w, s[i], "u", true);
  cr_assert_eq(gs_publish(u, "fan", 10), MSUB_OK);
  for (uint8_t i = 1; i <= 8; i++) cr_assert_eq(gs_sent_messages(i, "fan"), i % 2);
  world_stop(&w);
}

/* The reference's reach: peers that are denied are kept out of the mesh, but hear gossip and are heard. */
Test(mesh, peer_filter_parity) {
  static msub_channel_policy p;
  p = gs_ids;
  p.may_peer = odd_only;
  gs_init();
  gs_parity();
  gs_start();
  msub_topic t = world_join(&w, "t", &p);
  msub_session s[2];
  gs_crowd(s, 1, 2, "/meshsub/1.1.0", true, "t");
  gs_heartbeat();
  cr_assert(gs_role(t, 1) & MSUB_ROLE_MESH && !(gs_role(t, 2) & MSUB_ROLE_MESH));
  world_clear(&w);
  gs_message(s[1], "t", "theirs", 10);
  cr_assert(w.n_delivered == 1 && gs_sent_messages(1, "theirs") == 1);
  gs_heartbeat();
  cr_assert_eq(gs_sent(MSUB_C_IHAVE, 2, "t"), 1);
  world_stop(&w);
}
