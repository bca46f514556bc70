/* Nested routers: which level an operation runs on, whose blocks are whose, whose hooks count; peers that come back. */
#include "engine_world.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static world w;
static uint8_t buf[4096];
static char calls[8192];
static void note(const char *who, const char *what) {
  cr_assert_lt(strlen(calls) + 64, sizeof calls);
  strcat(strcat(strcat(calls, who), what), " ");
}

typedef struct block { uint32_t a, b; } block;
static const char *const names[] = { "outer", "middle", "inner" };

static int blocks(msub_layout *l) {
  msub_layout_state(l, sizeof(block), 4);
  msub_layout_peer(l, sizeof(block), 4);
  msub_layout_session(l, 24, 8);
  msub_layout_topic(l, sizeof(block), 4);
  msub_layout_link(l, 4, 4);
  return MSUB_OK;
}
/* Each level writes its own mark into its own blocks, and finds it again. */
static uint32_t mark(const msub_router *r) { return (uint32_t)(uintptr_t)msub_r_opts(r); }
static const char *name(const msub_router *r) { return names[mark(r) - 1]; }

static int init(msub_router *r) {
  note(name(r), ".init");
  cr_assert_eq(((block *)msub_r_state(r))->a, 0);
  ((block *)msub_r_state(r))->a = mark(r);
  return MSUB_OK;
}
static void fini(msub_router *r) {
  note(name(r), ".fini");
  cr_assert_eq(((block *)msub_r_state(r))->a, mark(r));
}
static int up(msub_router *r, msub_session s, const msub_session_info *i) {
  note(name(r), i->returning ? ".back" : ".up");
  block *p = msub_r_peer(r, s);
  cr_assert_eq(p->a, i->returning ? mark(r) : 0);
  p->a = mark(r);
  *(uint32_t *)msub_r_session(r, s) = mark(r);
  return r->level && mark(r) < 3 ? msub_x_session_up(msub_r_inner(r), s, i) : MSUB_OK;
}
static void down(msub_router *r, msub_session s) {
  note(name(r), ".down");
  cr_assert_eq(*(uint32_t *)msub_r_session(r, s), mark(r));
  if (mark(r) < 3) msub_x_session_down(msub_r_inner(r), s);
}
static uint64_t retain(msub_router *r, msub_session s) {
  (void)s;
  note(name(r), ".retain");
  return msub_r_mono(r) + 5000000000ull;
}
static void forget(msub_router *r, msub_peer p, void *b) {
  note(name(r), ".forget");
  cr_assert(p.v && ((block *)b)->a == mark(r));
}
static void publish(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out) {
  (void)m, (void)from;
  note(name(r), ".publish");
  for (size_t i = 0; i < msub_r_links(r, t); i++) msub_list_add(out, msub_r_link_session(r, t, i));
}
static int join(msub_router *r, msub_topic t) {
  note(name(r), ".join");
  ((block *)msub_r_topic(r, t))->a = mark(r);
  return mark(r) < 3 ? msub_x_join(msub_r_inner(r), t) : MSUB_OK;
}
static void remote_join(msub_router *r, msub_session s, msub_topic t, uint8_t flags) {
  (void)flags;
  *(uint32_t *)msub_r_link(r, s, t) = mark(r);
  if (mark(r) < 3) msub_x_remote_join(msub_r_inner(r), s, t, flags);
}
static void remote_leave(msub_router *r, msub_session s, msub_topic t, bool gone) {
  cr_assert_eq(*(uint32_t *)msub_r_link(r, s, t), mark(r));
  if (mark(r) < 3) msub_x_remote_leave(msub_r_inner(r), s, t, gone);
}
static int command(msub_router *r, uint32_t what, const void *arg, size_t n) {
  note(name(r), ".command");
  return what == 7 && n == 3 && memcmp(arg, "abc", 3) == 0 ? 42 : MSUB_ERR_INVAL;
}

static int inner_layout(msub_layout *l, const void *opts) {
  (void)opts;
  blocks(l);
  return msub_layout_protocol(l, "/inner/1", 5);
}
static const msub_router_ops inner = { .abi = MSUB_ABI, .size = sizeof inner, .name = "inner", .layout = inner_layout, .init = init, .fini = fini,
  .session_up = up, .session_down = down, .forget = forget, .join = join, .remote_join = remote_join, .remote_leave = remote_leave,
  .publish = publish, .command = command };

static size_t middle_id(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  size_t n = world_id_of_data(m, out);
  out[0] = 'M';
  return n;
}
static const msub_channel_policy middle_policy = { .abi = MSUB_ABI, .size = sizeof middle_policy, .name = "middle", .message_id = middle_id,
                                                   .sign = MSUB_SIGN_NEVER };
static int middle_layout(msub_layout *l, const void *opts) {
  (void)opts;
  blocks(l);
  return msub_layout_nest(l, &inner, (void *)3);
}
/* Overrides retain only, and brings a policy; everything else goes through. */
static const msub_router_ops middle = { .abi = MSUB_ABI, .size = sizeof middle, .name = "middle", .layout = middle_layout, .policy = &middle_policy,
                                        .retain = retain };
static size_t outer_id(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  size_t n = world_id_of_data(m, out);
  out[0] = 'O';
  return n;
}
static const msub_channel_policy outer_policy = { .abi = MSUB_ABI, .size = sizeof outer_policy, .name = "outer", .message_id = outer_id };
static int outer_layout(msub_layout *l, const void *opts) {
  (void)opts;
  blocks(l);
  return msub_layout_nest(l, &middle, (void *)2);
}
static const msub_router_ops outer = { .abi = MSUB_ABI, .size = sizeof outer, .name = "outer", .layout = outer_layout, .policy = &outer_policy,
  .init = init, .fini = fini, .session_up = up, .session_down = down, .forget = forget, .join = join, .remote_join = remote_join,
  .remote_leave = remote_leave };

static void pass(uint64_t ns) {
  w.now.mono_ns += ns;
  cr_assert_eq(msub_advance(w.e, &w.now), MSUB_OK);
}

Test(nest, three_levels) {
  calls[0] = 0;
  world_init(&w, 1);
  w.router_opts = (void *)1;
  world_start(&w, &outer);
  cr_assert_str_eq(calls, "inner.init outer.init ");
  calls[0] = 0;

  msub_session_opts o = { .peer_id = msub_str("peer a"), .protocol = "/inner/1", .link = 7 };
  msub_session s;
  cr_assert_eq(msub_session_up(w.e, &o, &w.now, &s), MSUB_OK);
  cr_assert_str_eq(calls, "outer.up inner.up ", "the middle has none: its turn goes through");
  calls[0] = 0;
  msub_topic t;
  cr_assert_eq(msub_join(w.e, 0, msub_str("t"), NULL, NULL, &w.now, &t), MSUB_OK, "the middle's policy says that nothing is signed");
  cr_assert_str_eq(calls, "outer.join inner.join ");
  world_subscribe(&w, s, "t", true);
  calls[0] = 0;
  cr_assert_eq(msub_publish(w.e, t, msub_str("xyz"), &w.now, NULL), MSUB_OK);
  cr_assert_str_eq(calls, "inner.publish ");
  cr_assert(msub_bytes_eq(msub_id(w.delivered[0]), msub_str("Oyz")), "the outer policy's id function hides the middle's");
  cr_assert_eq(msub_command(w.e, 0, 7, "abc", 3, &w.now), 42);
  cr_assert_eq(msub_command(w.e, 0, 8, NULL, 0, &w.now), MSUB_ERR_INVAL);

  /* The peer goes and comes back: its block is the same. Then it stays away. */
  calls[0] = 0;
  cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
  cr_assert_str_eq(calls, "outer.down inner.down middle.retain ");
  pass(4000000000ull);
  calls[0] = 0;
  cr_assert_eq(msub_session_up(w.e, &o, &w.now, &s), MSUB_OK);
  cr_assert_str_eq(calls, "outer.back inner.back ");
  cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
  calls[0] = 0;
  msub_usage u;
  msub_usage_of(w.e, &u);
  size_t peers = u.peers;
  cr_assert_neq(msub_next_deadline(w.e), MSUB_NEVER);
  pass(6000000000ull);
  cr_assert_str_eq(calls, "outer.forget inner.forget ");
  msub_usage_of(w.e, &u);
  cr_assert_eq(u.peers, peers - 1);
  cr_assert_eq(msub_session_up(w.e, &o, &w.now, &s), MSUB_OK);
  cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
  calls[0] = 0;
  world_stop(&w);
  cr_assert_str_eq(calls, "outer.forget inner.forget outer.fini inner.fini ");
}

/* The table of departed peers is bounded; what expires soonest goes first. */
static unsigned forgotten;
static void count_forget(msub_router *r, msub_peer p, void *b) {
  (void)r, (void)p, (void)b;
  forgotten++;
}
static uint64_t long_retain(msub_router *r, msub_session s) {
  (void)s;
  return msub_r_mono(r) + 1000000000000ull;
}
static int small_layout(msub_layout *l, const void *opts) {
  (void)opts;
  msub_layout_peer(l, 8, 8);
  return msub_layout_protocol(l, "/floodsub/1.0.0", 0);
}
Test(nest, departed_are_bounded) {
  static const msub_router_ops small = { .abi = MSUB_ABI, .size = sizeof small, .name = "small", .layout = small_layout, .retain = long_retain,
                                         .forget = count_forget };
  forgotten = 0;
  world_init(&w, 1);
  world_start(&w, &small);
  for (unsigned i = 0; i < 4100; i++) {
    char id[32];
    snprintf(id, sizeof id, "peer %u", i);
    msub_session_opts o = { .peer_id = msub_str(id), .protocol = "/floodsub/1.0.0" };
    msub_session s;
    w.now.mono_ns += 1000;
    cr_assert_eq(msub_session_up(w.e, &o, &w.now, &s), MSUB_OK);
    cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
  }
  cr_assert_eq(forgotten, 4, "4,096 are kept");
  msub_session_opts o = { .peer_id = msub_str("peer 3"), .protocol = "/floodsub/1.0.0" };
  msub_session s;
  cr_assert_eq(msub_session_up(w.e, &o, &w.now, &s), MSUB_OK);
  cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
  cr_assert_eq(forgotten, 5, "the oldest had gone: one more was new");
  world_stop(&w);
}

/* What a layout may not do. */
static int twice(msub_layout *l, const void *opts) {
  (void)opts;
  msub_layout_nest(l, &inner, (void *)3);
  return msub_layout_nest(l, &inner, (void *)3);
}
static int deep(msub_layout *l, const void *opts);
static const msub_router_ops endless = { .abi = MSUB_ABI, .size = sizeof endless, .name = "endless", .layout = deep };
static int deep(msub_layout *l, const void *opts) { return msub_layout_nest(l, &endless, opts); }
static int huge(msub_layout *l, const void *opts) {
  (void)opts;
  msub_layout_state(l, 65 * 1024, 8);
  return msub_layout_protocol(l, "/x", 0);
}
static int bad_align(msub_layout *l, const void *opts) {
  (void)opts;
  msub_layout_link(l, 8, 8);
  return msub_layout_protocol(l, "/x", 0);
}
static int no_protocol(msub_layout *l, const void *opts) {
  (void)l, (void)opts;
  return MSUB_OK;
}
static int bad_cache(msub_layout *l, const void *opts) {
  (void)opts;
  msub_layout_cache(l, 3, 5, 100);
  return msub_layout_protocol(l, "/x", 0);
}
Test(nest, layouts_that_are_refused) {
  static const struct { int (*layout)(msub_layout *, const void *); int err; } cases[] = {
    { twice, MSUB_ERR_INVAL }, { deep, MSUB_ERR_LIMIT }, { huge, MSUB_ERR_LIMIT }, { bad_align, MSUB_ERR_INVAL },
    { no_protocol, MSUB_ERR_INVAL }, { bad_cache, MSUB_ERR_INVAL } };
  uint8_t entropy[32] = { 0 };
  msub_shared *sh;
  cr_assert_eq(msub_shared_new(NULL, entropy, &sh), MSUB_OK);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    msub_router_ops ops = { .abi = MSUB_ABI, .size = sizeof ops, .name = "bad", .layout = cases[i].layout };
    const msub_plan *p;
    cr_assert_eq(msub_plan_new(sh, &ops, NULL, &p), cases[i].err, "case %zu", i);
  }
  cr_assert_eq(msub_shared_free(sh), MSUB_OK);
}

/* A table of an older header: members past its size do not exist. */
Test(nest, older_tables) {
  uint8_t entropy[32] = { 0 };
  msub_shared *sh;
  const msub_plan *p;
  msub_router_ops old = inner;
  old.size = offsetof(msub_router_ops, session_up); /* init and fini, nothing behind */
  cr_assert_eq(msub_shared_new(NULL, entropy, &sh), MSUB_OK);
  cr_assert_eq(msub_plan_new(sh, &old, (void *)3, &p), MSUB_OK);
  cr_assert_eq(msub_shared_free(sh), MSUB_OK);
  (void)buf;
}
