/* Sessions, hellos, topics, conduct, and what a router sees of them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "engine_world.h"

static world w;
static uint8_t buf[1 << 20];
static const msub_counts *n(void) { return msub_count(w.e); }

/* The topics of all hellos sent on a link, as a sorted count; checks each part's size. */
static unsigned subs_in(uint64_t link, size_t *largest, unsigned *rpcs) {
  unsigned k = 0;
  *largest = *rpcs = 0;
  for (size_t i = 0; i < w.n_sent; i++) {
    if (w.sent[i].link != link) continue;
    msub_rpc_counts c;
    cr_assert_eq(msub_rpc_scan((msub_bytes){ w.sent[i].rpc, w.sent[i].n }, NULL, &c), MSUB_OK);
    cr_assert(c.subscriptions <= 100 && w.sent[i].lane == MSUB_LANE_CONTROL);
    if (w.sent[i].n > *largest) *largest = w.sent[i].n;
    k += (unsigned)c.subscriptions;
    ++*rpcs;
  }
  return k;
}

Test(sessions, hello) {
  world_init(&w, 9);
  world_start(&w, NULL);
  msub_session before = world_peer(&w, 1);
  cr_assert_eq(w.n_sent, 0, "an empty hello is not sent");
  world_join(&w, "first", NULL);
  cr_assert_eq(w.n_sent, 1);
  cr_assert(w.sent[0].session.v == before.v && memcmp(w.sent[0].rpc, "\x0a\x0d\x08\x01\x12\x05" "first\x18\x00\x20\x00", 15) == 0);
  char name[250];
  for (unsigned i = 0; i < 250; i++) {
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    int k = snprintf(name, sizeof name, "%u", i);
    name[k] = i % 2 ? 'x' : 0; /* long and short ones */
    world_join(&w, name, NULL);
  }
  world_clear(&w);
  msub_session s = world_peer(&w, 2);
  size_t largest;
  unsigned rpcs;
  cr_assert_eq(subs_in(2, &largest, &rpcs), 251);
  cr_assert(rpcs >= 3 && largest <= 16384, "split to what the tightest stock peer takes");
  /* offered anew: the whole hello again, on the new link */
  world_clear(&w);
  cr_assert_eq(msub_session_offer(w.e, s, "/floodsub/1.0.0", 77, &w.now), MSUB_OK);
  cr_assert(subs_in(77, &largest, &rpcs) == 251 && subs_in(2, &largest, &rpcs) == 0);
  cr_assert_eq(msub_session_offer(w.e, s, "/other/1.0.0", 78, &w.now), MSUB_ERR_UNSUPPORTED);
  cr_assert_eq(msub_session_agreed(w.e, s, &w.now), MSUB_OK);
  cr_assert_str_eq(msub_session_protocol(w.e, s), "/floodsub/1.0.0");
  world_stop(&w);
}

Test(sessions, handles_and_errors) {
  world_init(&w, 9);
  world_start(&w, NULL);
  msub_session s = world_peer(&w, 1), again, first = s;
  msub_peer_id id = world_peer_id(1);
  msub_session_opts o = { .peer_id = msub_peer_id_bytes(&id), .protocol = "/floodsub/1.0.0" };
  cr_assert_eq(msub_session_up(w.e, &o, &w.now, &again), MSUB_ERR_CLAIMED);
  o.protocol = "/none/1";
  cr_assert_eq(msub_session_up(w.e, &o, &w.now, &again), MSUB_ERR_UNSUPPORTED);
  o.peer_id.n = 0;
  cr_assert_eq(msub_session_up(w.e, &o, &w.now, &again), MSUB_ERR_INVAL);
  for (unsigned i = 0; i < 510; i++) {
    cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
    cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_ERR_STALE);
    s = world_peer(&w, (uint8_t)(i % 200 + 1));
    cr_assert_neq(s.v, first.v, "a stale handle is refused until its slot was used 511 times");
    cr_assert_eq(msub_receive(w.e, first, msub_str(""), &w.now), MSUB_ERR_STALE);
  }
  cr_assert_eq(msub_session_count(w.e), 1);
  for (unsigned i = 0; i < 40; i++) {
    msub_topic t = world_join(&w, "again", NULL);
    cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
    cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_ERR_STALE);
    cr_assert_eq(msub_topic_peers(w.e, t), 0);
  }
  msub_topic t = world_join(&w, "twice", NULL), u = world_join(&w, "twice", NULL);
  cr_assert_eq(t.v, u.v);
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  cr_assert_eq(msub_joined(w.e, NULL, 0), 1, "each join needs a leave");
  memset(buf, 'n', 300);
  cr_assert_eq(msub_join(w.e, 0, (msub_bytes){ buf, 257 }, NULL, NULL, &w.now, &t), MSUB_ERR_INVAL);
  cr_assert_eq(msub_join(w.e, 1, msub_str("x"), NULL, NULL, &w.now, &t), MSUB_ERR_INVAL);
  cr_assert_eq(msub_join(w.e, 0, (msub_bytes){ buf, 256 }, NULL, NULL, &w.now, &t), MSUB_OK);
  world_stop(&w);
}

Test(sessions, subscriptions_of_a_peer) {
  world_init(&w, 9);
  world_start(&w, NULL);
  msub_topic t = world_join(&w, "t", NULL);
  msub_session a = world_peer(&w, 1), b = world_peer(&w, 2);
  world_subscribe(&w, a, "t", true);
  world_subscribe(&w, a, "t", true);
  world_subscribe(&w, b, "t", true);
  world_subscribe(&w, b, "elsewhere", true);
  cr_assert(msub_topic_peers(w.e, t) == 2 && w.n_peer_events == 2, "a repetition is no event");
  cr_assert(msub_ready(w.e, t, 2) && !msub_ready(w.e, t, 3));
  world_subscribe(&w, a, "t", false);
  world_subscribe(&w, a, "t", false);
  world_subscribe(&w, a, "never", false);
  cr_assert(msub_topic_peers(w.e, t) == 1 && w.n_peer_events == 3 && !w.peer_events[2].joined);
  cr_assert_eq(msub_topic_peer(w.e, t, 0).v, msub_session_peer(w.e, b).v);
  msub_usage u;
  msub_usage_of(w.e, &u);
  cr_assert_eq(u.names, 2);
  /* a new stream: what is not announced again ends with its first RPC */
  cr_assert_eq(msub_session_inbound(w.e, b, &w.now), MSUB_OK);
  cr_assert_eq(msub_topic_peers(w.e, t), 1, "nothing is missing until the hello was read");
  world_subscribe(&w, b, "t", true);
  msub_usage_of(w.e, &u);
  cr_assert(msub_topic_peers(w.e, t) == 1 && u.names == 1 && w.n_peer_events == 3, "the topic that nobody needs is freed");
  /* G-15, G-03: the stream ends, the session ends */
  cr_assert_eq(msub_session_inbound_gone(w.e, b, &w.now), MSUB_OK);
  cr_assert_eq(msub_topic_peers(w.e, t), 0);
  char name[32];
  for (unsigned i = 0; i < 500; i++) {
    snprintf(name, sizeof name, "topic %u", i);
    world_subscribe(&w, b, name, true);
  }
  msub_usage_of(w.e, &u);
  cr_assert(u.names == 501 && u.topics == 501);
  cr_assert_eq(msub_session_down(w.e, b, &w.now), MSUB_OK);
  msub_usage_of(w.e, &u);
  cr_assert(u.names == 1 && u.topics == 1 && u.sessions == 1 && u.peers == 2, "G-03: all is free when the peer is gone");
  world_stop(&w);
}

/* ---- conduct ---- */

Test(sessions, G_27_conduct) {
  world_init(&w, 9);
  world_start(&w, NULL);
  msub_session a = world_peer(&w, 1), b = world_peer(&w, 2);
  msub_peer_id id = world_peer_id(1), other = world_peer_id(2);
  msub_bytes peer = msub_peer_id_bytes(&id), none = { NULL, 0 };
  for (unsigned i = 0; i < 3; i++) cr_assert_eq(world_receive(&w, a, msub_str("\x0e")), MSUB_ERR_MALFORMED);
  cr_assert(n()->rpcs_malformed == 3 && w.n_disconnected == 0);
  cr_assert_eq(world_receive(&w, a, msub_str("\x0a\x64")), MSUB_ERR_MALFORMED);
  cr_assert(w.n_disconnected == 1 && w.disconnected[0].v == msub_session_peer(w.e, a).v && w.disconnect_reason == MSUB_R_MALFORMED_RPC);
  uint64_t until;
  cr_assert_eq(msub_allows(w.e, peer, none, &w.now, &until), MSUB_ERR_REFUSED);
  cr_assert_eq(until, w.now.mono_ns + UINT64_C(60000000000));
  other = world_peer_id(2);
  cr_assert_eq(msub_allows(w.e, msub_peer_id_bytes(&other), none, &w.now, NULL), MSUB_OK);
  msub_session_down(w.e, a, &w.now);
  msub_session_opts o = { .peer_id = peer, .protocol = "/floodsub/1.0.0" };
  cr_assert_eq(msub_session_up(w.e, &o, &w.now, &a), MSUB_ERR_REFUSED);
  w.now.mono_ns = until;
  cr_assert_eq(msub_session_up(w.e, &o, &w.now, &a), MSUB_OK);
  for (unsigned i = 0; i < 4; i++) world_receive(&w, a, msub_str("\x0e"));
  cr_assert_eq(msub_allows(w.e, peer, none, &w.now, &until), MSUB_ERR_REFUSED);
  cr_assert_eq(until, w.now.mono_ns + UINT64_C(120000000000), "the second stay is longer");
  /* a fault now and then is forgiven */
  for (unsigned i = 0; i < 50; i++) {
    w.now.mono_ns += UINT64_C(160000000000);
    world_receive(&w, b, msub_str("\x0e"));
  }
  cr_assert_eq(w.n_disconnected, 2);
  /* resource and disputed reasons never blame */
  for (unsigned i = 0; i < 200; i++) {
    cr_assert_eq(msub_report(w.e, msub_peer_id_bytes(&other), none, MSUB_R_HANDSHAKE, 100, &w.now), MSUB_OK);
    cr_assert_eq(msub_report(w.e, msub_peer_id_bytes(&other), none, MSUB_R_TIMEOUT, 100, &w.now), MSUB_OK);
  }
  cr_assert_eq(w.n_disconnected, 2);
  cr_assert_eq(msub_report(w.e, peer, none, MSUB_REASONS, 1, &w.now), MSUB_ERR_INVAL);
  cr_assert_eq(msub_report(w.e, peer, none, MSUB_R_FLOOD, 101, &w.now), MSUB_ERR_INVAL);
  /* many identities from one address; loopback is nobody's fault */
  uint8_t ip[4] = { 192, 0, 2, 1 }, home[4] = { 127, 0, 0, 1 }, made_up[34] = { 0x12, 0x20 };
  for (uint8_t i = 0; i < 4; i++) {
    made_up[5] = i;
    msub_report(w.e, (msub_bytes){ made_up, 34 }, (msub_bytes){ ip, 4 }, MSUB_R_FLOOD, 99, &w.now);
    msub_report(w.e, (msub_bytes){ made_up, 34 }, (msub_bytes){ home, 4 }, MSUB_R_FLOOD, 99, &w.now);
  }
  cr_assert_eq(msub_allows(w.e, none, (msub_bytes){ ip, 4 }, &w.now, NULL), MSUB_OK);
  msub_report(w.e, none, (msub_bytes){ ip, 4 }, MSUB_R_FLOOD, 50, &w.now);
  cr_assert_eq(msub_allows(w.e, none, (msub_bytes){ ip, 4 }, &w.now, NULL), MSUB_ERR_REFUSED);
  ip[3]++;
  cr_assert_eq(msub_allows(w.e, none, (msub_bytes){ ip, 4 }, &w.now, NULL), MSUB_OK);
  cr_assert_eq(msub_allows(w.e, none, (msub_bytes){ home, 4 }, &w.now, NULL), MSUB_OK);
  /* records are bounded */
  for (uint32_t i = 0; i < 20000; i++) {
    memcpy(made_up + 8, &i, 4);
    msub_report(w.e, (msub_bytes){ made_up, 34 }, none, MSUB_R_FLOOD, 1, &w.now);
  }
  cr_assert(w.mem.live_bytes < (1u << 20));
  cr_assert_eq(msub_allows(w.e, peer, none, &w.now, NULL), MSUB_OK);
  world_stop(&w);
}

/* ---- a router that notes every call ---- */

static struct {
  unsigned init, fini, up, agreed, down, join, leave, remote_join, remote_leave, remote_leave_down, accept, arrived, validated,
      duplicate, control, publish, dropped, ready, advance, moved, unheard;
  unsigned entries, ids;
  size_t address_n, unheard_n;
  uint64_t deadline;
  msub_accept answer;
  bool refuse;
} r;
typedef struct blocks { uint64_t magic; } blocks;
static int r_layout(msub_layout *l, const void *opts) {
  (void)opts;
  msub_layout_state(l, sizeof(blocks), 8);
  msub_layout_session(l, sizeof(blocks), 8);
  msub_layout_topic(l, sizeof(blocks), 8);
  msub_layout_link(l, 12, 4);
  cr_assert_eq(msub_layout_protocol(l, "/test/2", 3), MSUB_OK);
  return msub_layout_protocol(l, "/test/1", 1);
}
static int r_init(msub_router *x) {
  r.init++;
  cr_assert_eq(((blocks *)msub_r_state(x))->magic, 0);
  ((blocks *)msub_r_state(x))->magic = 42;
  return MSUB_OK;
}
static void r_fini(msub_router *x) {
  r.fini++;
  cr_assert_eq(((blocks *)msub_r_state(x))->magic, 42);
}
static int r_up(msub_router *x, msub_session s, const msub_session_info *i) {
  r.up++;
  cr_assert(strcmp(i->protocol, "/test/2") == 0 && i->features == 3 && !i->agreed);
  cr_assert_eq(((blocks *)msub_r_session(x, s))->magic, 0, "blocks come zeroed, in used slots too");
  ((blocks *)msub_r_session(x, s))->magic = s.v;
  return r.refuse ? MSUB_ERR_REFUSED : MSUB_OK;
}
static void r_agreed(msub_router *x, msub_session s, const msub_session_info *i) {
  (void)x, (void)s;
  r.agreed++;
  cr_assert(i->agreed);
}
static void r_down(msub_router *x, msub_session s) {
  r.down++;
  cr_assert_eq(((blocks *)msub_r_session(x, s))->magic, s.v);
}
static int r_join(msub_router *x, msub_topic t) {
  r.join++;
  ((blocks *)msub_r_topic(x, t))->magic = t.v;
  return MSUB_OK;
}
static void r_leave(msub_router *x, msub_topic t) {
  r.leave++;
  cr_assert_eq(((blocks *)msub_r_topic(x, t))->magic, t.v);
}
static void r_remote_join(msub_router *x, msub_session s, msub_topic t, uint8_t flags) {
  r.remote_join++;
  uint32_t *block = msub_r_link(x, s, t);
  cr_assert(block[0] == 0 && flags == 0);
  block[0] = s.v;
}
static void r_remote_leave(msub_router *x, msub_session s, msub_topic t, bool down) {
  r.remote_leave++;
  r.remote_leave_down += down;
  cr_assert_eq(((uint32_t *)msub_r_link(x, s, t))[0], s.v);
}
static msub_accept r_accept(msub_router *x, msub_session s) {
  (void)x, (void)s;
  r.accept++;
  return r.answer;
}
static void r_arrived(msub_router *x, msub_topic t, const msub_msg *m, msub_session from) {
  (void)x, (void)t, (void)m, (void)from;
  r.arrived++;
}
static void r_validated(msub_router *x, msub_topic t, const msub_msg *m, const msub_peer *from, size_t k, msub_verdict v, int reason) {
  (void)x, (void)t, (void)m, (void)from, (void)k, (void)v, (void)reason;
  r.validated++;
}
static void r_duplicate(msub_router *x, msub_topic t, msub_bytes id, msub_session from) {
  (void)x, (void)t, (void)id, (void)from;
  r.duplicate++;
}
static void r_control(msub_router *x, msub_session s, const msub_ctl *c, bool more) {
  (void)x, (void)s, (void)more;
  r.control++;
  for (uint32_t i = 0; i < c->n; i++) {
    r.entries++;
    r.ids += c->e[i].n_ids;
    for (uint32_t k = 0; k < c->e[i].n_ids; k++) cr_assert_eq(c->e[i].ids[k].n, 4);
  }
}
static void r_publish(msub_router *x, msub_topic t, const msub_msg *m, msub_session from, msub_list *out) {
  (void)m, (void)from;
  r.publish++;
  for (size_t i = 0; i < msub_r_links(x, t); i++) {
    cr_assert_eq(((uint32_t *)msub_r_link_at(x, t, i))[0], msub_r_link_session(x, t, i).v, "blocks move with their links");
    msub_list_add(out, msub_r_link_session(x, t, i));
  }
  msub_list_add(out, (msub_session){ 12345 }); /* nonsense is left out */
}
static void r_dropped(msub_router *x, msub_session s, const msub_rpc *rpc, int reason) {
  (void)x, (void)s;
  r.dropped += (unsigned)rpc->n_msgs;
  cr_assert(reason == MSUB_R_QUEUE_FULL || reason == MSUB_R_GONE);
}
static bool r_ready(msub_router *x, msub_topic t, uint32_t k) {
  (void)x, (void)t, (void)k;
  r.ready++;
  return false;
}
static uint64_t r_deadline(msub_router *x) {
  (void)x;
  return r.deadline;
}
static void r_advance(msub_router *x) {
  r.advance++;
  r.deadline = msub_r_mono(x) + 1000;
}
static void r_moved(msub_router *x, msub_session s, msub_bytes address) {
  (void)x;
  r.moved++;
  r.address_n = address.n;
  cr_assert(s.v && (address.n == 0 || address.p[address.n - 1] == 7));
}
static void r_unheard(msub_router *x, msub_session s, size_t k) {
  (void)x;
  cr_assert(s.v && k);
  r.unheard++;
  r.unheard_n += k;
}
static const msub_router_ops noting = {
  .abi = MSUB_ABI, .size = sizeof(msub_router_ops), .name = "noting", .layout = r_layout, .init = r_init, .fini = r_fini,
  .session_up = r_up, .session_agreed = r_agreed, .session_down = r_down, .join = r_join, .leave = r_leave,
  .remote_join = r_remote_join, .remote_leave = r_remote_leave, .accept_from = r_accept, .arrived = r_arrived,
  .validated = r_validated, .duplicate = r_duplicate, .control = r_control, .publish = r_publish, .dropped = r_dropped,
  .ready = r_ready, .next_deadline = r_deadline, .advance = r_advance, .address_changed = r_moved, .unheard = r_unheard };

static msub_bytes message(const char *data) {
  return (msub_bytes){ buf, world_plain_rpc(buf, sizeof buf, "t", msub_str(data)) };
}

Test(sessions, what_a_router_sees) {
  memset(&r, 0, sizeof r);
  r.deadline = MSUB_NEVER;
  world_init(&w, 9);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  world_start(&w, &noting);
  cr_assert(r.init == 1 && strcmp(msub_engine_protocol(w.e, 1), "/test/1") == 0 && msub_engine_protocol(w.e, 2) == NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_session s[9];
  for (uint8_t i = 9; i-- > 0;) s[i] = world_peer(&w, (uint8_t)(i + 1));
  for (unsigned i = 0; i < 9; i++) world_subscribe(&w, s[i * 5 % 9], "t", true); /* out of order: links are kept sorted */
  cr_assert(r.up == 9 && r.join == 1 && r.remote_join == 9);
  msub_session_agreed(w.e, s[0], &w.now);
  world_clear(&w);
  world_receive(&w, s[4], message("m"));
  cr_assert(r.accept > 0 && r.arrived == 1 && r.validated == 1 && r.publish == 1 && w.n_sent == 8);
  world_receive(&w, s[4], message("m"));
  cr_assert_eq(r.duplicate, 1);
  r.answer = MSUB_FROM_CONTROL;
  unsigned asked = r.accept;
  world_receive(&w, s[4], message("not taken"));
  cr_assert(r.arrived == 1 && r.accept == asked + 1);
  cr_assert(r.unheard == 1 && r.unheard_n == 1 && n()->unheard == 1);
  /* control comes in portions, and whole */
  msub_bytes ids[700], names[3] = { msub_str("t"), { NULL, 0 }, msub_str("t") };
  for (unsigned i = 0; i < 700; i++) ids[i] = msub_str("four");
  msub_ctl_entry e[3] = { { .kind = MSUB_C_IHAVE, .n_ids = 700, .ids = ids }, { .kind = MSUB_C_IWANT, .n_ids = 3, .ids = ids }, { .kind = MSUB_C_GRAFT } };
  world_receive(&w, s[4], (msub_bytes){ buf, msub_ctl_encode(e, names, 3, buf, sizeof buf) });
  cr_assert(r.control >= 3 && r.ids == 703 && r.entries >= 5, "%u calls, %u ids", r.control, r.ids);
  r.answer = MSUB_FROM_NONE;
  unsigned before = r.control;
  world_receive(&w, s[4], (msub_bytes){ buf, msub_ctl_encode(e, names, 3, buf, sizeof buf) });
  cr_assert_eq(r.control, before);
  world_receive(&w, s[4], message("not taken"));
  cr_assert(r.unheard == 1 && n()->unheard == 2, "of a peer that nothing is taken from the router need not be told");
  r.answer = MSUB_FROM_ALL;
  /* another connection carries the session */
  uint8_t ip[17] = { 192, 0, 2, 7 };
  cr_assert_eq(msub_session_address(w.e, s[4], (msub_bytes){ ip, 4 }, &w.now), MSUB_OK);
  cr_assert(r.moved == 1 && r.address_n == 4);
  ip[15] = 7;
  cr_assert_eq(msub_session_address(w.e, s[4], (msub_bytes){ ip, 16 }, &w.now), MSUB_OK);
  cr_assert_eq(msub_session_address(w.e, s[4], (msub_bytes){ NULL, 0 }, &w.now), MSUB_OK);
  cr_assert(r.moved == 3 && r.address_n == 0);
  static const size_t lengths[] = { 1, 3, 5, 15, 17 };
  for (unsigned i = 0; i < 5; i++) cr_assert_eq(msub_session_address(w.e, s[4], (msub_bytes){ ip, lengths[i] }, &w.now), MSUB_ERR_INVAL);
  cr_assert_eq(msub_session_address(w.e, (msub_session){ 0 }, (msub_bytes){ ip, 4 }, &w.now), MSUB_ERR_STALE);
  cr_assert_eq(r.moved, 3);
  /* what the world refuses, and what it loses later */
  w.refuse = true;
  world_receive(&w, s[4], message("refused"));
  cr_assert_eq(r.dropped, 8);
  w.refuse = false;
  msub_rpc rpc = { &w.delivered[0], 1, NULL, 10 };
  cr_assert_eq(msub_dropped(w.e, s[0], &rpc, MSUB_R_GONE, &w.now), MSUB_OK);
  cr_assert(r.dropped == 9 && n()->dropped == 1);
  cr_assert(!msub_ready(w.e, t, 1) && r.ready == 1);
  r.deadline = w.now.mono_ns + 500;
  cr_assert_eq(msub_next_deadline(w.e), w.now.mono_ns + 500);
  msub_advance(w.e, &w.now);
  cr_assert_eq(r.advance, 0);
  w.now.mono_ns += 500;
  msub_advance(w.e, &w.now);
  cr_assert_eq(r.advance, 1);
  world_subscribe(&w, s[3], "t", false);
  cr_assert(r.remote_leave == 1 && r.remote_leave_down == 0);
  world_receive(&w, s[4], message("after"));
  msub_session_down(w.e, s[3], &w.now);
  msub_session_down(w.e, s[0], &w.now);
  cr_assert(r.down == 2 && r.remote_leave_down == 1);
  r.refuse = true;
  msub_peer_id id = world_peer_id(100);
  msub_session_opts o = { .peer_id = msub_peer_id_bytes(&id), .protocol = "/test/2" };
  cr_assert_eq(msub_session_up(w.e, &o, &w.now, &s[0]), MSUB_ERR_REFUSED);
  msub_leave(w.e, t, &w.now);
  cr_assert_eq(r.leave, 1);
  world_stop(&w);
  cr_assert(r.fini == 1 && r.down == 9);
}

/* ---- plans ---- */

static int layout_nothing(msub_layout *l, const void *o) { (void)l, (void)o; return MSUB_OK; }
static int layout_many(msub_layout *l, const void *o) {
  (void)o;
  int rc = MSUB_OK;
  for (char id[] = "/a"; id[1] < 'j'; id[1]++) rc = msub_layout_protocol(l, id, 0);
  return rc;
}
static int layout_large(msub_layout *l, const void *o) {
  (void)o;
  msub_layout_session(l, 70000, 8);
  return msub_layout_protocol(l, "/a", 0);
}
static int layout_align(msub_layout *l, const void *o) {
  (void)o;
  msub_layout_link(l, 8, 8);
  return msub_layout_protocol(l, "/a", 0);
}

Test(sessions, plans) {
  static const uint8_t entropy[32] = { 0 };
  msub_shared *sh;
  const msub_plan *p, *two[2];
  cr_assert_eq(msub_shared_new(NULL, entropy, &sh), MSUB_OK);
  msub_router_ops ops = msub_floodsub;
  static const struct { int (*layout)(msub_layout *, const void *); int rc; } table[] = {
    { NULL, MSUB_ERR_INVAL }, { layout_nothing, MSUB_ERR_INVAL }, { layout_many, MSUB_ERR_LIMIT }, { layout_large, MSUB_ERR_LIMIT }, { layout_align, MSUB_ERR_INVAL } };
  for (unsigned i = 0; i < 5; i++) {
    ops.layout = table[i].layout;
    cr_assert_eq(msub_plan_new(sh, &ops, NULL, &p), table[i].rc, "case %u", i);
  }
  ops = msub_floodsub;
  ops.abi = MSUB_ABI + 1;
  cr_assert_eq(msub_plan_new(sh, &ops, NULL, &p), MSUB_ERR_INVAL);
  ops.abi = MSUB_ABI;
  ops.size = offsetof(msub_router_ops, ready); /* a plug-in that was compiled before `ready` existed */
  cr_assert_eq(msub_plan_new(sh, &ops, NULL, &two[0]), MSUB_OK);
  cr_assert_eq(msub_plan_new(sh, &msub_floodsub, NULL, &two[1]), MSUB_OK);
  world_init(&w, 9);
  w.opts.world = &w.ops;
  w.opts.self_id = msub_key_peer_id(w.key);
  w.opts.routers = two;
  w.opts.n_routers = 2;
  cr_assert_eq(msub_engine_new(sh, &w.opts, &w.now, &w.e), MSUB_ERR_CLAIMED, "one protocol id, two routers");
  w.opts.n_routers = 1;
  w.opts.verify = NULL;
  cr_assert_eq(msub_engine_new(sh, &w.opts, &w.now, &w.e), MSUB_ERR_INVAL);
  w.opts.verify = msub_signature_verify;
  cr_assert_eq(msub_engine_new(sh, &w.opts, &w.now, &w.e), MSUB_OK);
  cr_assert_eq(msub_shared_free(sh), MSUB_ERR_STATE);
  cr_assert_eq(msub_engine_free(w.e), MSUB_OK);
  cr_assert_eq(msub_shared_free(sh), MSUB_OK);
  msub_key_free(w.key);
}

/* Two routers in one engine: names of one never meet the other's. */
Test(sessions, two_routers) {
  static const uint8_t entropy[32] = { 5 };
  const msub_plan *two[2];
  memset(&r, 0, sizeof r);
  r.deadline = MSUB_NEVER;
  world_init(&w, 9);
  msub_mem mem = world_mem(&w);
  cr_assert_eq(msub_shared_new(&mem, entropy, &w.sh), MSUB_OK);
  cr_assert_eq(msub_plan_new(w.sh, &msub_floodsub, NULL, &two[0]), MSUB_OK);
  cr_assert_eq(msub_plan_new(w.sh, &noting, NULL, &two[1]), MSUB_OK);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  w.opts.world = &w.ops;
  w.opts.w = &w;
  w.opts.self_id = msub_key_peer_id(w.key);
  w.opts.routers = two;
  w.opts.n_routers = 2;
  cr_assert_eq(msub_engine_new(w.sh, &w.opts, &w.now, &w.e), MSUB_OK);
  msub_topic t[2];
  msub_session s[2];
  msub_peer_id id = world_peer_id(1);
  for (unsigned i = 0; i < 2; i++) {
    cr_assert_eq(msub_join(w.e, i, msub_str("t"), &world_data_ids, NULL, &w.now, &t[i]), MSUB_OK);
    msub_session_opts o = { .peer_id = msub_peer_id_bytes(&id), .protocol = i ? "/test/2" : "/floodsub/1.0.0", .link = i };
    cr_assert_eq(msub_session_up(w.e, &o, &w.now, &s[i]), MSUB_OK);
  }
  cr_assert_neq(t[0].v, t[1].v);
  world_subscribe(&w, s[1], "t", true);
  cr_assert(msub_topic_peers(w.e, t[0]) == 0 && msub_topic_peers(w.e, t[1]) == 1);
  world_receive(&w, s[0], message("x"));
  world_receive(&w, s[1], message("x"));
  cr_assert(w.n_delivered == 2 && n()->duplicates == 0, "equal ids of two topics are two messages");
  cr_assert_eq(msub_session_offer(w.e, s[0], "/test/2", 9, &w.now), MSUB_ERR_UNSUPPORTED, "an id of another router");
  world_stop(&w);
}

/* ---- long RPCs ---- */

Test(sessions, many_messages_in_an_rpc) {
  world_init(&w, 9);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  world_start(&w, NULL);
  world_join(&w, "t", &world_data_ids);
  msub_session a = world_peer(&w, 1);
  size_t at = 0;
  char data[8];
  for (unsigned i = 0; i < 1300; i++) {
    snprintf(data, sizeof data, "%u", i);
    at += world_plain_rpc(buf + at, sizeof buf - at, "t", msub_str(data));
  }
  msub_bytes rpc = { buf, at };
  cr_assert_eq(msub_receive(w.e, a, rpc, &w.now), MSUB_MORE);
  cr_assert_eq(w.n_delivered, 512);
  cr_assert_eq(msub_receive(w.e, a, rpc, &w.now), MSUB_MORE);
  cr_assert_eq(msub_receive(w.e, a, rpc, &w.now), MSUB_OK);
  cr_assert(w.n_delivered == 1300 && n()->duplicates == 0 && n()->rpcs_in == 1);
  for (unsigned i = 0; i < 1300; i++) {
    snprintf(data, sizeof data, "%u", i);
    cr_assert(msub_bytes_eq(msub_data(w.delivered[i]), msub_str(data)), "in order");
  }
  world_stop(&w);
}

/* What the router said at its beginning holds for the whole of it. */
Test(sessions, a_long_rpc_is_asked_about_once) {
  memset(&r, 0, sizeof r);
  r.deadline = MSUB_NEVER;
  world_init(&w, 9);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  world_start(&w, &noting);
  world_join(&w, "t", &world_data_ids);
  msub_session a = world_peer(&w, 1);
  size_t at = 0;
  char data[8];
  for (unsigned i = 0; i < 600; i++) {
    snprintf(data, sizeof data, "%u", i);
    at += world_plain_rpc(buf + at, sizeof buf - at, "t", msub_str(data));
  }
  cr_assert_eq(msub_receive(w.e, a, (msub_bytes){ buf, at }, &w.now), MSUB_MORE);
  r.answer = MSUB_FROM_CONTROL;
  cr_assert_eq(msub_receive(w.e, a, (msub_bytes){ buf, at }, &w.now), MSUB_OK);
  cr_assert(w.n_delivered == 600 && r.accept == 1 && r.unheard == 0);
  cr_assert_eq(msub_receive(w.e, a, (msub_bytes){ buf, at }, &w.now), MSUB_OK);
  cr_assert(r.accept == 2 && r.unheard == 1 && r.unheard_n == 600 && n()->unheard == 600 && n()->duplicates == 0);
  world_stop(&w);
}

/* Blame goes to the address that the session has now. */
Test(sessions, another_address) {
  world_init(&w, 9);
  world_start(&w, NULL);
  uint8_t old[4] = { 192, 0, 2, 1 }, now[4] = { 192, 0, 2, 2 };
  for (uint8_t i = 1; i <= 4; i++) {
    msub_peer_id id = world_peer_id(i);
    msub_session_opts o = { .peer_id = msub_peer_id_bytes(&id), .protocol = "/floodsub/1.0.0", .address = { old, 4 }, .link = i };
    msub_session s;
    cr_assert_eq(msub_session_up(w.e, &o, &w.now, &s), MSUB_OK);
    cr_assert_eq(msub_session_address(w.e, s, (msub_bytes){ now, 4 }, &w.now), MSUB_OK);
    for (unsigned k = 0; k < 4; k++) world_receive(&w, s, msub_str("\x0e"));
  }
  msub_bytes none = { NULL, 0 };
  cr_assert_eq(msub_allows(w.e, none, (msub_bytes){ old, 4 }, &w.now, NULL), MSUB_OK);
  cr_assert_eq(msub_allows(w.e, none, (msub_bytes){ now, 4 }, &w.now, NULL), MSUB_ERR_REFUSED);
  world_stop(&w);
}
