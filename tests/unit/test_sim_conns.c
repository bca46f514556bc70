/* Connections and sessions: dialling, closing, crashing, negotiation, several routers, raw nodes, hints, discovery. */
#include <criterion/criterion.h>
#include <string.h>
#include "meshsub/rpc.h"
#include "sim_net.h"

#define MS MSUB_SIM_MS
#define EQ(a, b) cr_assert_eq((a), (b), "%llu, not %llu", (unsigned long long)(a), (unsigned long long)(b))

/* The nth event of a kind; node NOBODY: there is none. */
static const net_conn *event(const net *w, uint32_t node, msub_sim_what what, unsigned nth) {
  static const net_conn none = { .node = MSUB_SIM_NOBODY, .peer = MSUB_SIM_NOBODY };
  for (size_t i = 0; i < w->n_conn; i++)
    if (w->conn[i].node == node && w->conn[i].what == what && nth-- == 0) return &w->conn[i];
  return &none;
}
static unsigned events(const net *w, uint32_t node, msub_sim_what what) {
  unsigned n = 0;
  while (event(w, node, what, n)->node == node) n++;
  return n;
}
static size_t sessions(const net *w, uint32_t node) { return msub_session_count(msub_sim_engine(w->s, node)); }

Test(sim_conns, the_other_side_is_connected_after_one_latency_the_dialler_after_two) {
  static net w;
  net_init(&w, false);
  net_start(&w, 2);
  cr_assert_eq(msub_sim_connect(w.s, 1, 0, 2 * MSUB_SIM_S), MSUB_OK);
  net_run(&w, 3 * MSUB_SIM_S);
  const net_conn *a = event(&w, 0, MSUB_SIM_CONNECTED, 0), *b = event(&w, 1, MSUB_SIM_CONNECTED, 0);
  cr_assert(!a->outbound && b->outbound && a->peer == 1 && b->peer == 0);
  EQ(a->at, 2 * MSUB_SIM_S + 10 * MS);
  EQ(b->at, 2 * MSUB_SIM_S + 20 * MS);
  EQ(sessions(&w, 0), 1);
  EQ(msub_sim_session(w.s, 0, 1, 0).v != 0, true);
  EQ(msub_sim_session(w.s, 0, 1, 1).v, 0);
  cr_assert_eq(msub_sim_connect(w.s, 0, 1, 0), MSUB_OK); /* they are already */
  net_run(&w, MSUB_SIM_S);
  EQ(msub_sim_count(w.s)->dials, 1);
  cr_assert_eq(msub_sim_connect(w.s, 0, 0, 0), MSUB_ERR_INVAL);
  cr_assert_eq(msub_sim_connect(w.s, 0, 2, 0), MSUB_ERR_INVAL);
  net_stop(&w);
}

Test(sim_conns, of_two_dials_at_once_one_connection_remains) {
  for (unsigned gap = 0; gap < 3; gap++) { /* at once; while the first is under way; after it has arrived */
    static net w;
    net_init(&w, false);
    net_start(&w, 2);
    net_join_all(&w, "t");
    cr_assert_eq(msub_sim_connect(w.s, 1, 0, 0), MSUB_OK);
    cr_assert_eq(msub_sim_connect(w.s, 0, 1, msub_sim_time(w.s) + gap * 6 * MS), MSUB_OK);
    net_run(&w, MSUB_SIM_S);
    for (uint32_t i = 0; i < 2; i++) {
      EQ(msub_sim_connections(w.s, i), 1);
      EQ(sessions(&w, i), 1);
      EQ(events(&w, i, MSUB_SIM_CONNECTED), 1);
      EQ(events(&w, i, MSUB_SIM_DISCONNECTED) + events(&w, i, MSUB_SIM_DIAL_FAILED), 0);
      EQ(event(&w, i, MSUB_SIM_CONNECTED, 0)->outbound, gap == 2 ? i == 1 : i == 0);
    }
    cr_assert_eq(net_publish(&w, 0, 1, 10), MSUB_OK);
    cr_assert_eq(net_publish(&w, 1, 2, 10), MSUB_OK);
    net_run(&w, MSUB_SIM_S);
    cr_assert(net_find(&w, 1, 1) && net_find(&w, 0, 2));
    net_stop(&w);
  }
}

Test(sim_conns, a_disconnection_is_known_here_at_once_and_there_a_latency_later) {
  static net w;
  net_init(&w, false);
  net_start(&w, 2);
  net_join_all(&w, "t");
  cr_assert_eq(msub_sim_connect(w.s, 0, 1, 0), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  uint64_t t = msub_sim_time(w.s);
  cr_assert_eq(net_publish(&w, 0, 1, 10), MSUB_OK); /* on its way before the end is */
  cr_assert_eq(net_publish(&w, 1, 2, 10), MSUB_OK); /* arrives when its receiver has gone */
  cr_assert_eq(msub_sim_disconnect(w.s, 0, 1, 0), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  EQ(event(&w, 0, MSUB_SIM_DISCONNECTED, 0)->at, t);
  EQ(event(&w, 1, MSUB_SIM_DISCONNECTED, 0)->at, t + 10 * MS);
  cr_assert(net_find(&w, 1, 1) && !net_find(&w, 0, 2));
  cr_assert(sessions(&w, 0) == 0 && sessions(&w, 1) == 0 && msub_sim_connections(w.s, 0) == 0);
  EQ(msub_topic_peers(msub_sim_engine(w.s, 0), w.t[0]), 0);
  cr_assert_eq(msub_sim_connect(w.s, 1, 0, 0), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  EQ(msub_topic_peers(msub_sim_engine(w.s, 0), w.t[0]), 1);
  EQ(event(&w, 1, MSUB_SIM_CONNECTED, 1)->outbound, true);
  net_stop(&w);
}

Test(sim_conns, what_waited_for_an_uplink_is_told_as_dropped_when_the_connection_ends) {
  static net w;
  net_init(&w, false);
  w.n.up_bytes_s = 10000;
  net_start(&w, 2);
  net_join_all(&w, "t");
  cr_assert_eq(msub_sim_connect(w.s, 0, 1, 0), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  for (uint8_t i = 0; i < 5; i++) cr_assert_eq(net_publish(&w, 0, i, 10000), MSUB_OK);
  cr_assert_eq(msub_sim_disconnect(w.s, 1, 0, 0), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  EQ(msub_count(msub_sim_engine(w.s, 0))->dropped, 4); /* one had begun */
  net_stop(&w);
}

Test(sim_conns, a_dial_fails_at_a_node_that_is_down_or_full) {
  static net w;
  net_init(&w, false);
  w.n.max_connections = 2;
  net_start(&w, 5);
  cr_assert_eq(msub_sim_crash(w.s, 4), MSUB_OK);
  cr_assert_eq(msub_sim_connect(w.s, 0, 4, 0), MSUB_OK);
  for (uint32_t i = 1; i < 4; i++) cr_assert_eq(msub_sim_connect(w.s, i, 0, 0), MSUB_OK);
  uint64_t t = msub_sim_time(w.s);
  net_run(&w, MSUB_SIM_S);
  EQ(event(&w, 0, MSUB_SIM_DIAL_FAILED, 0)->at, t + 20 * MS);
  EQ(msub_sim_connections(w.s, 0), 2);
  EQ(events(&w, 3, MSUB_SIM_DIAL_FAILED), 1);
  EQ(msub_sim_count(w.s)->dials_failed, 2);
  net_stop(&w);
}

/* ---- crash and restart ---- */

Test(sim_conns, a_crash_is_noticed_and_the_same_identity_comes_back) {
  for (unsigned late = 0; late < 2; late++) {
    static net w;
    net_init(&w, false);
    if (late) w.o.crash_notice_ns = 5 * MSUB_SIM_S;
    net_start(&w, 3);
    net_join_all(&w, "t");
    cr_assert_eq(msub_sim_connect_star(w.s, 0, 3), MSUB_OK);
    net_run(&w, MSUB_SIM_S);
    uint64_t t = msub_sim_time(w.s);
    cr_assert_eq(msub_sim_crash(w.s, 0), MSUB_OK);
    cr_assert_eq(msub_sim_crash(w.s, 0), MSUB_ERR_STATE);
    cr_assert(!msub_sim_engine(w.s, 0) && !msub_sim_up(w.s, 0));
    net_run(&w, MSUB_SIM_S);
    EQ(events(&w, 1, MSUB_SIM_DISCONNECTED), !late);
    if (!late) EQ(event(&w, 1, MSUB_SIM_DISCONNECTED, 0)->at, t + 10 * MS);
    cr_assert_eq(msub_sim_restart(w.s, 0), MSUB_OK);
    cr_assert_eq(msub_sim_restart(w.s, 0), MSUB_ERR_STATE);
    EQ(msub_session_count(msub_sim_engine(w.s, 0)), 0);
    net_join(&w, 0, "t");
    for (uint32_t i = 1; i < 3; i++) cr_assert_eq(msub_sim_connect(w.s, 0, i, 0), MSUB_OK);
    net_run(&w, MSUB_SIM_S);
    EQ(events(&w, 1, MSUB_SIM_DISCONNECTED), 1); /* a new connection says it too */
    cr_assert_eq(net_publish(&w, 1, 1, 10), MSUB_OK);
    net_run(&w, 10 * MSUB_SIM_S); /* the late notice is of the old connection */
    cr_assert(net_find(&w, 0, 1) && net_find(&w, 2, 1));
    EQ(events(&w, 1, MSUB_SIM_DISCONNECTED), 1);
    EQ(msub_topic_peers(msub_sim_engine(w.s, 1), w.t[1]), 1);
    net_stop(&w);
  }
}

Test(sim_conns, a_crash_while_dialling_and_being_dialled_leaves_nothing_behind) {
  for (uint64_t at = 0; at <= 30; at += 5)
    for (uint32_t who = 0; who < 2; who++) {
      static net w;
      net_init(&w, false);
      net_start(&w, 2);
      net_join_all(&w, "t");
      cr_assert_eq(msub_sim_connect(w.s, 0, 1, 0), MSUB_OK);
      cr_assert_eq(msub_sim_connect(w.s, 1, 0, msub_sim_time(w.s) + 3 * MS), MSUB_OK);
      net_run(&w, at * MS);
      cr_assert_eq(msub_sim_crash(w.s, who), MSUB_OK);
      net_run(&w, MSUB_SIM_S);
      EQ(msub_sim_connections(w.s, 1 - who), 0);
      EQ(sessions(&w, 1 - who), 0);
      cr_assert_eq(msub_sim_restart(w.s, who), MSUB_OK);
      cr_assert_eq(msub_sim_connect(w.s, 1 - who, who, 0), MSUB_OK);
      net_run(&w, MSUB_SIM_S);
      EQ(msub_sim_connections(w.s, who), 1);
      EQ(sessions(&w, 0), 1);
      EQ(sessions(&w, 1), 1);
      net_stop(&w);
    }
}

/* ---- protocols ---- */

static const char *protocol(const net *w, uint32_t node, uint32_t peer) {
  const char *p = msub_session_protocol(msub_sim_engine(w->s, node), msub_sim_session(w->s, node, peer, 0));
  return p ? p : "";
}

Test(sim_conns, the_newest_protocol_that_both_speak_runs) {
  for (unsigned negotiate = 0; negotiate < 2; negotiate++)
    for (unsigned wire = 0; wire < 2; wire++) {
      static net w;
      net_init(&w, true);
      w.o.negotiate = negotiate;
      w.o.wire = wire;
      net_start(&w, 2); /* 0 and 1: gossipsub up to 1.3 */
      static msub_gossipsub_opts v10;
      msub_gossipsub_opts_init(&v10);
      msub_gossipsub_opts_v10(&v10);
      w.routers[0].opts = &v10;
      net_add(&w, 1); /* 2: gossipsub 1.0 */
      w.routers[0] = (msub_sim_router){ &msub_floodsub, NULL };
      net_add(&w, 1); /* 3 */
      net_join_all(&w, "t");
      cr_assert_eq(msub_sim_connect_all(w.s, 0, 4), MSUB_OK);
      net_run(&w, 3 * MSUB_SIM_S);
      cr_assert_str_eq(protocol(&w, 0, 1), "/meshsub/1.3.0");
      cr_assert_str_eq(protocol(&w, 0, 2), "/meshsub/1.0.0");
      cr_assert_str_eq(protocol(&w, 2, 0), "/meshsub/1.0.0");
      cr_assert_str_eq(protocol(&w, 2, 3), "/floodsub/1.0.0");
      cr_assert_str_eq(protocol(&w, 0, 3), "/floodsub/1.0.0");
      cr_assert_str_eq(protocol(&w, 3, 0), "/floodsub/1.0.0");
      for (uint8_t i = 0; i < 4; i++) cr_assert_eq(net_publish(&w, i, i, 10), MSUB_OK);
      net_run(&w, 3 * MSUB_SIM_S);
      for (uint32_t i = 0; i < 4; i++) EQ(net_count(&w, i), 4);
      net_stop(&w);
    }
}

Test(sim_conns, an_id_is_offered_and_the_hello_goes_with_it) {
  static net w;
  net_init(&w, true);
  w.o.negotiate = true;
  net_start(&w, 1);
  w.routers[0] = (msub_sim_router){ &msub_floodsub, NULL };
  net_add(&w, 1);
  net_join_all(&w, "t");
  cr_assert_eq(msub_sim_connect(w.s, 0, 1, 0), MSUB_OK);
  uint64_t t = msub_sim_time(w.s);
  /* Connected at 20 ms; each refusal takes 20 ms: 1.3, 1.2, 1.1 and 1.0 are refused. */
  cr_assert_eq(msub_sim_run_until(w.s, t + 35 * MS), MSUB_OK);
  cr_assert_str_eq(protocol(&w, 0, 1), "/meshsub/1.3.0");
  EQ(msub_topic_peers(msub_sim_engine(w.s, 1), w.t[1]), 0); /* what came with the refused id is no hello */
  cr_assert_eq(msub_sim_run_until(w.s, t + 45 * MS), MSUB_OK);
  cr_assert_str_eq(protocol(&w, 0, 1), "/meshsub/1.2.0");
  cr_assert_eq(msub_sim_run_until(w.s, t + 109 * MS), MSUB_OK);
  cr_assert_str_eq(protocol(&w, 0, 1), "/floodsub/1.0.0");
  EQ(msub_topic_peers(msub_sim_engine(w.s, 1), w.t[1]), 0);
  cr_assert_eq(msub_sim_run_until(w.s, t + 110 * MS), MSUB_OK);
  EQ(msub_topic_peers(msub_sim_engine(w.s, 1), w.t[1]), 1);
  cr_assert_eq(net_publish(&w, 0, 1, 10), MSUB_OK); /* agreed at 120 ms: it waits */
  cr_assert_eq(msub_sim_run_until(w.s, t + 129 * MS), MSUB_OK);
  cr_assert_null(net_find(&w, 1, 1));
  net_run(&w, MSUB_SIM_S);
  EQ(net_find(&w, 1, 1)->at, t + 130 * MS);
  net_stop(&w);
}

Test(sim_conns, nodes_without_a_common_protocol_have_a_connection_and_no_session) {
  static net w;
  net_init(&w, false);
  net_start(&w, 1);
  static msub_gossipsub_opts g;
  msub_gossipsub_opts_init(&g);
  g.floodsub = false;
  w.routers[0] = (msub_sim_router){ &msub_gossipsub, &g };
  net_add(&w, 1);
  cr_assert_eq(msub_sim_connect(w.s, 0, 1, 0), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  cr_assert(msub_sim_connected(w.s, 0, 1) && sessions(&w, 0) == 0 && sessions(&w, 1) == 0);
  net_stop(&w);
}

/* Nodes 0, 1: gossipsub and floodsub; 2: gossipsub, which leaves floodsub to nobody; 3: floodsub. */
Test(sim_conns, several_routers_of_a_pair_have_a_session_each) {
  static net w;
  net_init(&w, true);
  w.routers[1] = (msub_sim_router){ &msub_floodsub, NULL };
  w.n.n_routers = 2;
  net_start(&w, 2);
  w.n.n_routers = 1;
  net_add(&w, 1);
  w.routers[0] = w.routers[1];
  net_add(&w, 1);
  cr_assert_eq(msub_sim_connect_all(w.s, 0, 4), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  msub_engine *e = msub_sim_engine(w.s, 0);
  EQ(sessions(&w, 0), 4);
  cr_assert_str_eq(msub_session_protocol(e, msub_sim_session(w.s, 0, 1, 0)), "/meshsub/1.3.0");
  cr_assert_str_eq(msub_session_protocol(e, msub_sim_session(w.s, 0, 1, 1)), "/floodsub/1.0.0");
  cr_assert_str_eq(msub_session_protocol(e, msub_sim_session(w.s, 0, 2, 0)), "/meshsub/1.3.0");
  EQ(msub_sim_session(w.s, 0, 2, 1).v, 0);
  EQ(msub_sim_session(w.s, 0, 3, 0).v, 0);
  cr_assert_str_eq(msub_session_protocol(e, msub_sim_session(w.s, 0, 3, 1)), "/floodsub/1.0.0");
  net_stop(&w);
}

/* ---- raw nodes ---- */

static char heard[32][128];
static size_t n_heard;
static unsigned resets, ups, downs;
static void on_session(void *ud, msub_sim *s, uint32_t node, uint32_t peer, const char *id, bool up) {
  (void)ud, (void)s, (void)node, (void)peer;
  cr_assert_str_eq(id, "/floodsub/1.0.0");
  *(up ? &ups : &downs) += 1;
}
static void on_frame(void *ud, msub_sim *s, uint32_t node, uint32_t peer, const char *id, msub_bytes frame) {
  (void)ud, (void)s, (void)node, (void)peer, (void)id;
  cr_assert(n_heard < 32 && msub_rpc_scan(frame, NULL, &(msub_rpc_counts){ 0 }) == MSUB_OK);
  size_t n = frame.n < 127 ? frame.n : 127;
  memcpy(heard[n_heard], frame.p, n);
  heard[n_heard++][n] = 0;
}
static void on_reset(void *ud, msub_sim *s, uint32_t node, uint32_t peer, const char *id) {
  (void)ud, (void)s, (void)node, (void)peer, (void)id;
  resets++;
}
static const msub_sim_raw raw = { .abi = MSUB_ABI, .size = sizeof(msub_sim_raw), .on_session = on_session,
                                  .on_frame = on_frame,
                                  .on_reset = on_reset };
static const char *const floodsub_only[] = { "/floodsub/1.0.0", NULL };

static void add_raw(net *w) {
  n_heard = resets = ups = downs = 0;
  w->n.raw = &raw;
  w->n.raw_protocols = floodsub_only;
  w->n.n_routers = 0;
  net_add(w, 1);
}
static size_t subscribe(uint8_t *out, size_t cap, const char *topic) {
  msub_ctl_entry e = { .kind = MSUB_C_SUB };
  msub_bytes name = msub_str(topic);
  return msub_ctl_encode(&e, &name, 1, out, cap);
}

Test(sim_conns, a_raw_node_speaks_frames) {
  for (unsigned form = 0; form < 4; form++) {
    static net w;
    uint8_t buf[2000];
    net_init(&w, false);
    w.o.wire = form & 1;
    w.o.negotiate = form & 2;
    net_start(&w, 1);
    net_join(&w, 0, "t");
    add_raw(&w);
    cr_assert_eq(msub_sim_connect(w.s, 0, 1, 0), MSUB_OK);
    net_run(&w, MSUB_SIM_S);
    EQ(ups, 1);
    EQ(n_heard, 1);
    cr_assert_not_null(strstr(heard[0] + 4, "t")); /* the hello */
    size_t n = subscribe(buf, sizeof buf, "t");
    cr_assert_eq(msub_sim_raw_send(w.s, 1, 0, NULL, (msub_bytes){ buf, n }), MSUB_OK);
    net_run(&w, MSUB_SIM_S);
    EQ(msub_topic_peers(msub_sim_engine(w.s, 0), w.t[0]), 1);
    cr_assert_eq(net_publish(&w, 0, 'x', 10), MSUB_OK);
    net_run(&w, MSUB_SIM_S);
    EQ(n_heard, 2);
    cr_assert_eq(msub_sim_raw_send(w.s, 1, 0, "/meshsub/1.0.0", (msub_bytes){ buf, n }), MSUB_ERR_NOTFOUND);
    cr_assert_eq(msub_sim_raw_send(w.s, 0, 1, NULL, (msub_bytes){ buf, n }), MSUB_ERR_NOTFOUND);
    /* A broken frame: the stream is reset, what was announced on it ends; the next frame opens a new one. */
    cr_assert_eq(msub_sim_raw_send(w.s, 1, 0, NULL, msub_str("\x0a\xff")), MSUB_OK);
    cr_assert_eq(msub_sim_raw_send(w.s, 1, 0, NULL, (msub_bytes){ buf, n }), MSUB_OK); /* behind it: gone with it */
    net_run(&w, 15 * MS);
    EQ(msub_topic_peers(msub_sim_engine(w.s, 0), w.t[0]), 0);
    net_run(&w, MSUB_SIM_S);
    EQ(resets, 1);
    EQ(msub_topic_peers(msub_sim_engine(w.s, 0), w.t[0]), 0);
    cr_assert_eq(msub_sim_raw_send(w.s, 1, 0, NULL, (msub_bytes){ buf, n }), MSUB_OK);
    net_run(&w, MSUB_SIM_S);
    EQ(msub_topic_peers(msub_sim_engine(w.s, 0), w.t[0]), 1);
    /* Too many of these and the engine wants no more of it. */
    for (unsigned i = 0; i < 40; i++) {
      (void)msub_sim_raw_send(w.s, 1, 0, NULL, msub_str("\x0a\xff"));
      net_run(&w, 100 * MS);
    }
    cr_assert(!msub_sim_connected(w.s, 0, 1) && downs == 1);
    cr_assert_eq(msub_sim_connect(w.s, 1, 0, 0), MSUB_OK);
    net_run(&w, MSUB_SIM_S);
    EQ(events(&w, 1, MSUB_SIM_DIAL_FAILED), 1);
    net_stop(&w);
  }
}

Test(sim_conns, a_signature_of_nothing_is_rejected_a_checksum_is_taken) {
  static net w;
  uint8_t plain[512], rpc[600], sum[64] = { 0 };
  net_init(&w, false);
  net_start(&w, 1);
  net_join(&w, 0, "t");
  add_raw(&w);
  cr_assert_eq(msub_sim_connect(w.s, 0, 1, 0), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  for (unsigned good = 0; good < 2; good++) {
    uint8_t seqno[8] = { (uint8_t)good };
    msub_msg_view v = { .from = msub_sim_id(w.s, 1), .data = msub_str("hi"), .seqno = { seqno, 8 },
                        .topic = msub_str("t"),
                        .present = MSUB_HAS_FROM | MSUB_HAS_DATA | MSUB_HAS_SEQNO | MSUB_HAS_TOPIC };
    size_t n = msub_msg_encode(&v, plain, sizeof plain);
    msub_bytes parts[2] = { msub_str("libp2p-pubsub:"), { plain, n } };
    if (good) msub_sim_checksum(parts, 2, sum);
    v.signature = (msub_bytes){ sum, 64 };
    v.present |= MSUB_HAS_SIGNATURE;
    n = msub_msg_encode(&v, plain, sizeof plain);
    rpc[0] = 0x12;
    size_t head = 1 + msub_varint_put(rpc + 1, n);
    memcpy(rpc + head, plain, n);
    cr_assert_eq(msub_sim_raw_send(w.s, 1, 0, NULL, (msub_bytes){ rpc, head + n }), MSUB_OK);
    net_run(&w, MSUB_SIM_S);
    EQ(net_count(&w, 0), good);
  }
  EQ(msub_count_reason(msub_sim_engine(w.s, 0), MSUB_R_INVALID_SIGNATURE), 1);
  net_stop(&w);
}

Test(sim_conns, a_stream_that_a_peer_resets_is_offered_again_so_many_times) {
  static net w;
  net_init(&w, false);
  net_start(&w, 1);
  w.engine.max_rpc = 2000;
  w.engine.max_message = 1900;
  net_add(&w, 1);
  net_join_all(&w, "t");
  cr_assert_eq(msub_sim_connect(w.s, 0, 1, 0), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  for (uint8_t i = 1; i <= 5; i++) {
    cr_assert_eq(net_publish(&w, 0, i, 5000), MSUB_OK); /* more than node 1 takes */
    net_run(&w, 30 * MS);
    EQ(msub_topic_peers(msub_sim_engine(w.s, 1), w.t[1]), 0);
    EQ(msub_sim_count(w.s)->resets, i);
    net_run(&w, 3 * MSUB_SIM_S);
    EQ(msub_topic_peers(msub_sim_engine(w.s, 1), w.t[1]), i < 5);
    if (!msub_sim_connected(w.s, 0, 1)) break; /* the engine has had enough before */
  }
  net_stop(&w);
}

/* ---- addresses, hints, discovery ---- */

Test(sim_conns, addresses_are_four_or_sixteen_bytes) {
  static net w;
  net_init(&w, false);
  net_start(&w, 1);
  cr_assert_eq(msub_sim_address(w.s, 0, msub_str("abc")), MSUB_ERR_INVAL);
  cr_assert_eq(msub_sim_address(w.s, 1, msub_str("abcd")), MSUB_ERR_INVAL);
  cr_assert_eq(msub_sim_address(w.s, 0, msub_str("abcd")), MSUB_OK);
  cr_assert_eq(msub_sim_address(w.s, 0, msub_str("abcdefghijklmnop")), MSUB_OK);
  net_stop(&w);
}

Test(sim_conns, the_rendezvous_brings_nodes_of_a_topic_together) {
  static net w;
  net_init(&w, true);
  w.n.rendezvous = true;
  net_start(&w, 12);
  for (uint32_t i = 0; i < 10; i++) net_join(&w, i, "t");
  net_join(&w, 10, "u");
  net_run(&w, 10 * MSUB_SIM_S);
  cr_assert_gt(msub_sim_count(w.s)->wanted, 0);
  for (uint32_t i = 0; i < 10; i++)
    cr_assert_geq(msub_sim_connections(w.s, i), 4, "node %u: %zu", i, msub_sim_connections(w.s, i));
  cr_assert(msub_sim_connections(w.s, 10) == 0 && msub_sim_connections(w.s, 11) == 0);
  cr_assert_eq(net_publish(&w, 0, 1, 10), MSUB_OK);
  net_run(&w, 3 * MSUB_SIM_S);
  for (uint32_t i = 1; i < 10; i++) EQ(net_count(&w, i), 1);
  cr_assert_eq(msub_sim_crash(w.s, 3), MSUB_OK);
  net_run(&w, 5 * MSUB_SIM_S);
  net_stop(&w);
}

static unsigned finds, cancels, adverts;
static void advertise(void *d, msub_bytes topic, bool on) {
  (void)d, (void)topic;
  adverts += on ? 1 : 100;
}
static void find(void *d, msub_bytes topic, unsigned n,
                 void (*found)(void *found_ud, msub_bytes peer_id, msub_bytes addr), void *found_ud) {
  net *w = d;
  cr_assert(msub_bytes_eq(topic, msub_str("t")) && n > 0);
  finds++;
  found(found_ud, msub_str("nobody"), (msub_bytes){ NULL, 0 });
  for (uint32_t i = 0; i < w->count; i++) found(found_ud, msub_sim_id(w->s, i), (msub_bytes){ NULL, 0 });
}
static void cancel(void *d, msub_bytes topic) {
  (void)d, (void)topic;
  cancels++;
}
static const msub_discovery_ops finder = { .abi = MSUB_ABI, .size = sizeof(msub_discovery_ops), .advertise = advertise,
                                           .find = find,
                                           .cancel = cancel };
static msub_discovery discovery_of(void *ud, msub_sim *s, uint32_t node) {
  (void)s, (void)node;
  return (msub_discovery){ &finder, ud };
}

Test(sim_conns, a_discovery_of_ones_own_is_asked_and_followed_within_limits) {
  static net w;
  finds = cancels = adverts = 0;
  net_init(&w, true);
  net_start(&w, 8);
  w.n.discovery = discovery_of;
  w.n.max_hint_dials = 3;
  w.n.max_connections = 5;
  net_add(&w, 1);
  for (uint32_t i = 0; i < 9; i++) net_join(&w, i, "t");
  net_run(&w, 10 * MSUB_SIM_S);
  cr_assert(finds >= 2 && finds <= 10 && adverts == 1, "%u", finds);
  EQ(msub_sim_connections(w.s, 8), 5);
  cr_assert(msub_sim_count(w.s)->hints_over_limit > 0 && msub_sim_count(w.s)->hints_dialled == 5);
  EQ(msub_sim_count(w.s)->hints_bad, finds);
  cr_assert_eq(msub_leave(msub_sim_engine(w.s, 8), w.t[8], msub_sim_now(w.s, 8)), MSUB_OK);
  cr_assert(adverts == 101 && cancels == 1);
  net_stop(&w);
}
