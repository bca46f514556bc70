/* What a router asks of its engine, and what it takes from its plan: the flags of its peers' subscriptions,
 * whether anybody listens, memory that lives as long as the plan. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "engine_world.h"
#include "meshsub/gossipsub.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static world w;
static uint8_t buf[4096];

/* ---- flags of subscriptions: messages go to those alone who do not ask for parts ---- */

static uint8_t told; /* by the last remote_join */
static unsigned joins;

static int one_protocol(msub_layout *l, const void *opts) {
  (void)opts;
  msub_layout_link(l, 4, 4);
  return msub_layout_protocol(l, "/test/1", 0);
}
static void remote_join(msub_router *r, msub_session s, msub_topic t, uint8_t flags) {
  joins++;
  told = flags;
  size_t i = 0;
  while (msub_r_link_session(r, t, i).v != s.v) i++;
  cr_assert_eq(msub_r_link_flags(r, t, i), flags, "they stand there already");
  *(uint32_t *)msub_r_link_at(r, t, i) = UINT32_MAX; /* what is beside them is the router's */
}
static void publish(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out) {
  (void)m, (void)from;
  size_t n = msub_r_links(r, t);
  for (size_t i = 0; i < n; i++)
    if (!(msub_r_link_flags(r, t, i) & MSUB_SUB_REQUESTS_PARTIAL))
      msub_list_add(out, msub_r_link_session(r, t, i));
  cr_assert_eq(msub_r_link_flags(r, t, n), 0, "past the end");
  cr_assert_eq(msub_r_link_flags(r, (msub_topic){ t.v ^ 1u << 20 }, 0), 0, "of a topic that is no more");
}
static const msub_router_ops whole_only = { .abi = MSUB_ABI,
                                            .size = sizeof whole_only,
                                            .name = "whole only",
                                            .layout = one_protocol,
                                            .remote_join = remote_join,
                                            .publish = publish };

static void subscribe(msub_session s, uint8_t flags) {
  msub_ctl_entry e = { .kind = MSUB_C_SUB, .flags = flags };
  msub_bytes name = msub_str("t");
  size_t n = msub_ctl_encode(&e, &name, 1, buf, sizeof buf);
  cr_assert_eq(world_receive(&w, s, (msub_bytes){ buf, n }), MSUB_OK);
}
/* Links of the peers that got it: bit 1 for link 1. */
static unsigned who_gets(msub_topic t) {
  static unsigned number;
  char data[16];
  unsigned who = 0;
  (void)snprintf(data, sizeof data, "%u", number++);
  world_clear(&w);
  cr_assert_eq(msub_publish(w.e, t, msub_str(data), &w.now, NULL), MSUB_OK);
  for (size_t i = 0; i < w.n_sent; i++) who |= 1u << w.sent[i].link;
  return who;
}

Test(router, flags_of_links) {
  enum { REQUESTS = MSUB_SUB_REQUESTS_PARTIAL, SENDS = MSUB_SUB_SENDS_PARTIAL };
  world_init(&w, 9);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  world_start(&w, &whole_only);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_session s[5];
  for (uint8_t i = 1; i < 5; i++) s[i] = world_peer(&w, i);
  static const uint8_t flags[5] = { 0, 0, REQUESTS, SENDS, REQUESTS | SENDS };
  for (unsigned i = 4; i > 0; i--) { /* the last one first: links move, and their flags with them */
    subscribe(s[i], flags[i]);
    cr_assert_eq(told, flags[i]);
  }
  cr_assert_eq(who_gets(t), 1u << 1 | 1u << 3);

  /* said again as it was, and otherwise */
  joins = 0;
  subscribe(s[2], REQUESTS);
  cr_assert_eq(joins, 0);
  subscribe(s[2], 0);
  subscribe(s[3], SENDS | REQUESTS);
  cr_assert_eq(joins, 2);
  cr_assert_eq(who_gets(t), 1u << 1 | 1u << 2);

  /* a new stream: what was said on the old one holds until the hello was read, and no mark of the engine
   * shows */
  joins = 0;
  cr_assert_eq(msub_session_inbound(w.e, s[2], &w.now), MSUB_OK);
  cr_assert_eq(msub_session_inbound(w.e, s[4], &w.now), MSUB_OK);
  cr_assert_eq(who_gets(t), 1u << 1 | 1u << 2);
  subscribe(s[2], 0);
  subscribe(s[4], REQUESTS);
  cr_assert(joins == 1 && told == REQUESTS, "%u", joins);
  cr_assert_eq(who_gets(t), 1u << 1 | 1u << 2);

  /* one goes: the flags of the others stay theirs */
  cr_assert_eq(msub_session_down(w.e, s[1], &w.now), MSUB_OK);
  cr_assert_eq(who_gets(t), 1u << 2);
  subscribe(s[4], 0);
  cr_assert_eq(who_gets(t), 1u << 2 | 1u << 4);
  world_stop(&w);
}

/* The same without frames. */
Test(router, flags_of_links_by_reference) {
  world_init(&w, 9);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  world_start(&w, &whole_only);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_session s = world_peer(&w, 1);
  for (unsigned flags = 0; flags < 4; flags++) {
    msub_ctl_entry e = { .kind = MSUB_C_SUB,
                         .flags = (uint8_t)(flags | 0xf0),
                         .topic_name = msub_topic_name(w.e, t) };
    msub_ctl c = { .refs = 1, .n = 1, .e = &e };
    cr_assert_eq(msub_receive_rpc(w.e, s, &(msub_rpc){ .ctl = &c, .wire_size = 10 }, &w.now), MSUB_OK);
    cr_assert_eq(told, flags, "what has no meaning is left out");
    cr_assert_eq(who_gets(t), flags & MSUB_SUB_REQUESTS_PARTIAL ? 0 : 1u << 1);
  }
  world_stop(&w);
}

/* ---- in bulk, and shared: what a router sends and walks ---- */

static msub_router *bulk;

static int bulk_layout(msub_layout *l, const void *opts) {
  const bool *peers = opts;
  if (*peers) msub_layout_peer(l, 4, 4);
  msub_layout_link(l, 12, 4);
  return msub_layout_protocol(l, "/test/1", 0);
}
static int bulk_init(msub_router *r) {
  bulk = r;
  return MSUB_OK;
}
static const msub_router_ops bulky = { .abi = MSUB_ABI, .size = sizeof bulky, .name = "bulky", .layout = bulk_layout, .init = bulk_init };

static bool everybody(const msub_channel *c, msub_session s) {
  (void)c, (void)s;
  return true;
}

Test(router, walks_in_bulk) {
  enum { N = 70 };
  for (unsigned peers = 0; peers < 2; peers++) {
    const bool with_peers = peers;
    static msub_channel_policy filter;
    filter = world_data_ids;
    filter.may_peer = everybody;
    world_init(&w, 9);
    w.opts.sign = MSUB_STRICT_NO_SIGN;
    w.router_opts = &with_peers;
    world_start(&w, &bulky);
    msub_topic t = world_join(&w, "t", &world_data_ids), closed = world_join(&w, "closed", &filter), empty = world_join(&w, "empty", &world_data_ids);
    msub_session s[N];
    for (uint8_t i = 0; i < N; i++) s[i] = world_peer(&w, (uint8_t)(i + 1));
    for (unsigned i = N; i-- > 0;) world_subscribe(&w, s[i], "t", true);
    cr_assert_eq(msub_session_down(w.e, s[3], &w.now), MSUB_OK);
    cr_assert_eq(msub_r_links(bulk, t), N - 1);
    static const size_t caps[] = { 1, 2, 64, N - 2, N - 1, N };
    msub_link_view v[N];
    for (size_t c = 0; c < COUNT(caps); c++) {
      size_t i = 0, n;
      for (; (n = msub_r_link_views(bulk, t, i, v, caps[c])) > 0; i += n) {
        cr_assert_eq(n, N - 1 - i < caps[c] ? N - 1 - i : caps[c]);
        for (size_t k = 0; k < n; k++) {
          cr_assert_eq(v[k].session.v, msub_r_link_session(bulk, t, i + k).v);
          msub_link_view one;
          cr_assert(msub_r_link_view(bulk, v[k].session, t, &one) && one.session.v == v[k].session.v && one.link == v[k].link && one.peer == v[k].peer);
          cr_assert_eq(v[k].link, msub_r_link_at(bulk, t, i + k));
          cr_assert_eq(v[k].peer, with_peers ? msub_r_peer(bulk, v[k].session) : NULL);
          cr_assert_eq(v[k].peer != NULL, with_peers);
        }
      }
      cr_assert_eq(i, N - 1, "all of them, %zu at a time", caps[c]);
    }
    cr_assert(!msub_r_link_view(bulk, s[3], t, v), "of a session that is no more");
    cr_assert(!msub_r_link_view(bulk, s[4], empty, v) && !msub_r_link_view(bulk, s[4], (msub_topic){ t.v ^ 1u << 20 }, v));
    cr_assert_eq(msub_r_link_views(bulk, t, 0, v, 0), 0);
    cr_assert_eq(msub_r_link_views(bulk, t, SIZE_MAX, v, N), 0);
    cr_assert_eq(msub_r_link_views(bulk, empty, 0, v, N), 0);
    cr_assert_eq(msub_r_link_views(bulk, (msub_topic){ t.v ^ 1u << 20 }, 0, v, N), 0, "of a topic that is no more");
    cr_assert(msub_h_peers_filtered(bulk, closed) && !msub_h_peers_filtered(bulk, t) && !msub_h_peers_filtered(bulk, (msub_topic){ t.v ^ 1u << 20 }));
    world_stop(&w);
  }
}

/* Sends the list with a GRAFT on each side of it, or alone, and once more what it was made of: the frames are the same. */
static void same_frames(msub_session s, const msub_ctl_entry *list, const msub_ctl_entry *shared, bool alone) {
  msub_ctl_entry graft = { .kind = MSUB_C_GRAFT, .topic_name = list->topic_name }, e[3] = { graft, *list, graft };
  uint8_t frames[2][sizeof buf];
  size_t n[2] = { 0 };
  for (unsigned i = 0; i < 2; i++) {
    e[1] = i ? *shared : *list;
    world_clear(&w);
    cr_assert_eq(msub_r_send(bulk, &s, 1, alone ? &e[1] : e, alone ? 1 : 3, MSUB_LANE_GOSSIP), 1);
    for (size_t k = 0; k < w.n_sent; k++) {
      cr_assert_leq(n[i] + w.sent[k].n, sizeof buf);
      memcpy(frames[i] + n[i], w.sent[k].rpc, w.sent[k].n);
      n[i] += w.sent[k].n;
    }
  }
  cr_assert(n[0] > 0 && n[0] == n[1] && memcmp(frames[0], frames[1], n[0]) == 0);
}

Test(router, shared_lists) {
  const bool peers = false;
  world_init(&w, 9);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  w.router_opts = &peers;
  world_start(&w, &bulky);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_session s = world_peer(&w, 1);
  world_subscribe(&w, s, "t", true);
  msub_bytes ids[3] = { msub_str("one"), msub_str("another"), msub_str("the third") };
  for (uint8_t kind = MSUB_C_SUB; kind <= MSUB_C_TEST; kind++) {
    msub_ctl_entry e = { .kind = kind, .topic_name = msub_r_name(bulk, t), .ids = ids, .n_ids = 3 };
    const msub_ctl *c = msub_r_ctl_new(bulk, &e);
    cr_assert_eq(c != NULL, kind == MSUB_C_IHAVE || kind == MSUB_C_IWANT || kind == MSUB_C_IDONTWANT, "kind %u", kind);
    if (!c) continue;
    for (unsigned alone = 0; alone < 2; alone++) same_frames(s, &e, &c->e[0], alone);
    msub_r_ctl_drop(bulk, c);
  }
  msub_r_ctl_drop(bulk, NULL);
  world_stop(&w);
}

/* ---- a router that takes the trouble of a trace only when somebody listens ---- */

static unsigned came, went, worked;

static void trace_if_heard(msub_router *r, msub_event_kind k, msub_session s) {
  if (!msub_r_traced(r)) return;
  worked++;
  msub_r_trace(r, k, (msub_topic){ 0 }, msub_r_session_peer(r, s));
}
static int tracing_up(msub_router *r, msub_session s, const msub_session_info *i) {
  (void)i;
  came++;
  trace_if_heard(r, MSUB_T_GRAFT, s);
  return MSUB_OK;
}
static void tracing_down(msub_router *r, msub_session s) {
  went++;
  trace_if_heard(r, MSUB_T_PRUNE, s);
}
static const msub_router_ops tracing = { .abi = MSUB_ABI,
                                         .size = sizeof tracing,
                                         .name = "tracing",
                                         .layout = one_protocol,
                                         .session_up = tracing_up,
                                         .session_down = tracing_down };

Test(router, traced) {
  for (unsigned heard = 0; heard < 2; heard++) {
    came = went = worked = 0;
    world_init(&w, 9);
    if (!heard) w.ops.trace = NULL;
    world_start(&w, &tracing);
    msub_session s = world_peer(&w, 1);
    (void)world_peer(&w, 2);
    cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
    cr_assert(came == 2 && went == 1);
    cr_assert_eq(worked, heard ? 3 : 0);
    cr_assert_eq(w.events[MSUB_T_GRAFT], heard ? 2 : 0);
    cr_assert_eq(w.events[MSUB_T_PRUNE], heard ? 1 : 0);
    world_stop(&w); /* the end of an engine is not told: peer 2 goes without a word */
    cr_assert(went == 2 && worked == (heard ? 3 : 0) && w.events[MSUB_T_PRUNE] == (heard ? 1 : 0));
  }
}

/* ---- memory of the plan: options that are made out of others, for the router inside ---- */

typedef struct crowd_opts {
  uint16_t degree;
  size_t spare; /* bytes besides */
  int answer;   /* of layout, in the end */
} crowd_opts;

static int crowd_layout(msub_layout *l, const void *opts) {
  const crowd_opts *from = opts;
  msub_gossipsub_opts *o = msub_layout_alloc(l, sizeof *o);
  uint8_t *spare = msub_layout_alloc(l, from->spare);
  if (!o || !spare) return MSUB_OK; /* careless: the plan is refused all the same */
  cr_assert((uintptr_t)o % 8 == 0 && (uintptr_t)spare % 8 == 0);
  for (size_t i = 0; i < sizeof *o; i++) cr_assert_eq(((uint8_t *)o)[i], 0);
  for (size_t i = 0; i < from->spare; i++) cr_assert_eq(spare[i], 0);
  memset(spare, 0xa5, from->spare);
  msub_gossipsub_opts_init(o);
  o->mesh.d = o->mesh.dlo = o->mesh.dhi = o->mesh.dscore = from->degree;
  o->mesh.dout = 0;
  int rc = msub_layout_nest(l, &msub_gossipsub, o);
  return rc == MSUB_OK ? from->answer : rc;
}
static const msub_router_ops crowd = {
  .abi = MSUB_ABI, .size = sizeof crowd, .name = "crowd", .layout = crowd_layout
};

/* An engine of this plan with ten peers: how many are grafted. */
static size_t mesh_of(msub_shared *sh, const msub_plan *p) {
  msub_now now = { 1000000000, 0 };
  msub_engine *e;
  msub_topic t;
  size_t n = 0;
  w.opts.world = &w.ops;
  w.opts.w = &w;
  w.opts.self_id = msub_str("me");
  w.opts.routers = &p;
  w.opts.n_routers = 1;
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  cr_assert_eq(msub_engine_new(sh, &w.opts, &now, &e), MSUB_OK);
  for (unsigned i = 0; i < 10; i++) {
    char id[8];
    (void)snprintf(id, sizeof id, "peer %u", i);
    msub_session_opts so = { .peer_id = msub_str(id), .protocol = "/meshsub/1.2.0", .agreed = true };
    msub_session s;
    cr_assert_eq(msub_session_up(e, &so, &now, &s), MSUB_OK);
    msub_ctl_entry sub = { .kind = MSUB_C_SUB };
    msub_bytes name = msub_str("t");
    size_t len = msub_ctl_encode(&sub, &name, 1, buf, sizeof buf);
    cr_assert_eq(msub_receive(e, s, (msub_bytes){ buf, len }, &now), MSUB_OK);
  }
  cr_assert_eq(msub_join(e, 0, msub_str("t"), &world_data_ids, NULL, &now, &t), MSUB_OK);
  msub_peer_state states[10];
  cr_assert_eq(msub_snapshot(e, t, states, 10), 10);
  for (size_t i = 0; i < 10; i++) n += states[i].roles == MSUB_ROLE_MESH;
  world_clear(&w);
  cr_assert_eq(msub_engine_free(e), MSUB_OK);
  return n;
}

Test(router, memory_of_the_plan) {
  static const uint8_t entropy[32] = { 1 };
  static const crowd_opts three = { .degree = 3, .spare = 1 }, eight = { .degree = 8, .spare = 100000 };
  msub_mem mem = count_mem_of(&w.mem);
  const msub_plan *a, *b;
  world_init(&w, 9);
  cr_assert_eq(msub_shared_new(&mem, entropy, &w.sh), MSUB_OK);
  size_t before = w.mem.live_bytes;
  cr_assert_eq(msub_plan_new(w.sh, &crowd, &three, &a), MSUB_OK);
  cr_assert_eq(msub_plan_new(w.sh, &crowd, &eight, &b), MSUB_OK);
  cr_assert_geq(w.mem.live_bytes - before, 100001 + 2 * sizeof(msub_gossipsub_opts));
  for (unsigned i = 0; i < 2; i++) { /* each plan has its own, and a second engine finds them as they were */
    cr_assert_eq(mesh_of(w.sh, a), 3);
    cr_assert_eq(mesh_of(w.sh, b), 8);
  }
  cr_assert_eq(msub_shared_free(w.sh), MSUB_OK);
  cr_assert(w.mem.live_bytes == 0 && w.mem.live_blocks == 0);
  msub_key_free(w.key);
}

Test(router, memory_of_a_plan_that_fails) {
  static const uint8_t entropy[32] = { 1 };
  static const crowd_opts fine = { .degree = 3, .spare = 500 };
  static const struct {
    crowd_opts opts;
    int err;
  } cases[] = {
    { { .degree = 3, .answer = MSUB_ERR_REFUSED }, MSUB_ERR_REFUSED },
    { { .degree = 5000 }, MSUB_ERR_INVAL }, /* gossipsub will not have it */
  };
  msub_mem mem = count_mem_of(&w.mem);
  const msub_plan *p = NULL;
  cr_assert_eq(msub_shared_new(&mem, entropy, &w.sh), MSUB_OK);
  size_t blocks = w.mem.live_blocks, bytes = w.mem.live_bytes;
  for (size_t i = 0; i < COUNT(cases); i++) {
    cr_assert_eq(msub_plan_new(w.sh, &crowd, &cases[i].opts, &p), cases[i].err, "case %zu", i);
    cr_assert(w.mem.live_blocks == blocks && w.mem.live_bytes == bytes, "case %zu: all of it is given back",
              i);
  }
  size_t failed = 0;
  for (size_t at = 1;; at++, failed++) {
    w.mem.fail_after = at;
    int rc = msub_plan_new(w.sh, &crowd, &fine, &p);
    if (w.mem.fail_after) break;
    cr_assert_eq(rc, MSUB_ERR_NOMEM, "allocation %zu", at);
    cr_assert(w.mem.live_blocks == blocks && w.mem.live_bytes == bytes, "allocation %zu", at);
  }
  cr_assert_geq(failed, 3, "the plan, and twice its memory");
  w.mem.fail_after = 0;
  cr_assert_eq(msub_shared_free(w.sh), MSUB_OK);
  cr_assert_eq(w.mem.live_blocks, 0);
}
