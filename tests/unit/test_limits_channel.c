/* The limits of channels, caches and chains of routers, one below, at and one above each. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "engine_world.h"
#include "meshsub/gossipsub.h"
#include "pubsub/engine.h"

static world w;
static uint8_t buf[4096];
static const msub_counts *n(void) { return msub_count(w.e); }

static void begin(const msub_router_ops *router) {
  world_init(&w, 9);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  w.opts.pending_messages = 1 << 20;
  w.opts.pending_bytes = (size_t)1 << 40;
  world_start(&w, router);
}
#define POLICY .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "limits", .message_id = world_id_of_data

/* ---- deferred bytes of a topic ---- */

static msub_verdict defer(const msub_channel *c, const msub_msg *m, msub_session from, msub_token t) {
  (void)c, (void)m, (void)from, (void)t;
  return MSUB_DEFER;
}
Test(limits_channel, defer_bytes) {
  static const msub_channel_policy p = { POLICY, .admit = defer };
  static uint8_t rpc[1024], data[512];
  enum { EACH = 256, ENVELOPE = 6 }; /* a message's bytes; its tags, lengths and topic */
  cr_assert_eq(MSUB__DEFER_BYTES % EACH, 0);
  for (int d = -1; d <= 1; d++) {
    begin(NULL);
    world_join(&w, "t", &p);
    msub_session s = world_peer(&w, 2);
    for (uint32_t i = 0; i < MSUB__DEFER_BYTES / EACH; i++) {
      memcpy(data, &i, sizeof i);
      size_t size = EACH - ENVELOPE + (size_t)(i == 0 ? d : 0);
      world_receive(&w, s, (msub_bytes){ rpc, world_plain_rpc(rpc, sizeof rpc, "t", (msub_bytes){ data, size }) });
    }
    cr_assert_eq(n()->throttled, d > 0, "%+d", d);
    world_stop(&w);
  }
}

/* ---- ids in a policy's cache ---- */

static unsigned asked;
static void put(const msub_channel *c, const msub_msg *m) { (void)c, (void)m; }
static msub_got get(const msub_channel *c, msub_bytes id, msub_token later, msub_cached *out) {
  (void)c, (void)id, (void)later, (void)out;
  asked++;
  return MSUB_GOT_NONE;
}
static void iwant(msub_session s, uint32_t id) {
  msub_bytes b = { (const uint8_t *)&id, 4 }, none = { NULL, 0 };
  msub_ctl_entry e = { .kind = MSUB_C_IWANT, .n_ids = 1, .ids = &b };
  world_receive(&w, s, (msub_bytes){ buf, msub_ctl_encode(&e, &none, 1, buf, sizeof buf) });
}
Test(limits_channel, offers) {
  static const msub_channel_policy p = { POLICY, .cache_put = put, .cache_get = get };
  for (int d = -1; d <= 1; d++) {
    begin(&msub_gossipsub);
    msub_topic t = world_join(&w, "t", &p);
    msub_session s = world_peer(&w, 2);
    for (uint32_t i = 0; i < MSUB__OFFERS + (uint32_t)d; i++) {
      msub_bytes b = { (const uint8_t *)&i, 4 };
      if (w.n_sent > 4000) world_clear(&w);
      cr_assert_eq(msub_offer(w.e, s, t, &b, 1, &w.now), MSUB_OK);
    }
    world_clear(&w);
    asked = 0;
    iwant(s, 0);
    cr_assert_eq(asked, d > 0 ? 0 : 1, "%+d: the first one is known as long as no more came than there is room for", d);
    iwant(s, 1);
    cr_assert_eq(asked, d > 0 ? 1 : 2);
    world_clear(&w);
    world_stop(&w);
  }
}
Test(limits_channel, open_topics) {
  static const msub_channel_policy p = { POLICY, .cache_get = get, .open_ids = true };
  for (int d = -1; d <= 1; d++) {
    begin(&msub_gossipsub);
    for (uint32_t i = 0; i < MSUB__OPEN_TOPICS + (uint32_t)d; i++) {
      char name[16];
      snprintf(name, sizeof name, "%u", i);
      world_join(&w, name, &p);
    }
    asked = 0;
    iwant(world_peer(&w, 2), 7);
    cr_assert_eq(asked, d > 0 ? MSUB__OPEN_TOPICS : MSUB__OPEN_TOPICS + (unsigned)d);
    world_stop(&w);
  }
}

/* ---- ids of one ask, of one IDONTWANT ---- */

static int layout(msub_layout *l, const void *opts) {
  (void)opts;
  return msub_layout_protocol(l, "/floodsub/1.0.0", 0);
}
static unsigned calls, longest;
static int ask(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t count) {
  (void)r, (void)s, (void)t, (void)ids;
  calls++;
  if (count > longest) longest = (unsigned)count;
  return MSUB_OK;
}
Test(limits_channel, ids_of_an_ask) {
  static const msub_router_ops ops = { .abi = MSUB_ABI, .size = sizeof ops, .name = "asks", .layout = layout, .ask = ask };
  static uint8_t bytes[MSUB__ASK_IDS + 1][2];
  msub_bytes ids[MSUB__ASK_IDS + 1];
  for (unsigned i = 0; i < MSUB__ASK_IDS + 1; i++) {
    bytes[i][0] = (uint8_t)i;
    ids[i] = (msub_bytes){ bytes[i], 2 };
  }
  static const msub_channel_policy p = { POLICY };
  begin(&ops);
  msub_topic t = world_join(&w, "t", &p);
  msub_session s = world_peer(&w, 2);
  for (int d = -1; d <= 1; d++) {
    calls = longest = 0;
    cr_assert_eq(msub_ask(w.e, s, t, ids, (size_t)((int)MSUB__ASK_IDS + d), &w.now), MSUB_OK);
    cr_assert(calls == (d > 0 ? 2u : 1u) && longest <= MSUB__ASK_IDS, "%+d", d);
  }
  world_stop(&w);
}

static unsigned wanted_ids;
static void on_up(msub_router *r, msub_session s, const msub_session_info *i) {
  (void)i;
  static uint8_t bytes[64];
  msub_bytes ids[64];
  for (unsigned k = 0; k < wanted_ids; k++) {
    bytes[k] = (uint8_t)k;
    ids[k] = (msub_bytes){ &bytes[k], 1 };
  }
  msub_ctl_entry e = { .kind = MSUB_C_IDONTWANT, .n_ids = wanted_ids, .ids = ids };
  cr_assert_eq(msub_r_send(r, &s, 1, &e, 1, MSUB_LANE_CONTROL), 1);
}
Test(limits_channel, send_idontwant) {
  static const msub_router_ops ops = { .abi = MSUB_ABI, .size = sizeof ops, .name = "sends", .layout = layout, .session_agreed = on_up };
  for (int d = -1; d <= 1; d++) {
    begin(&ops);
    wanted_ids = MSUB__SEND_IDONTWANT + (unsigned)d;
    msub_session s = world_peer(&w, 2);
    world_clear(&w);
    cr_assert_eq(msub_session_agreed(w.e, s, &w.now), MSUB_OK);
    cr_assert_eq(w.n_sent, d > 0 ? 2 : 1, "%+d", d);
    world_clear(&w);
    world_stop(&w);
  }
}

/* ---- transformed payloads ---- */

static size_t in_n;
static size_t grow(const msub_channel *c, msub_bytes data, uint8_t *to, size_t cap) {
  (void)c, (void)data;
  if (in_n <= cap) memset(to, 1, in_n);
  return in_n;
}
static size_t delivered;
static bool take(const msub_channel *c, const msub_msg *m, msub_bytes payload, msub_peer from) {
  (void)c, (void)m, (void)from;
  delivered = payload.n;
  return true;
}
Test(limits_channel, payload_bytes) {
  static const msub_channel_policy p = { POLICY, .payload_in = grow, .deliver = take };
  for (int d = -1; d <= 1; d++) {
    begin(NULL);
    world_join(&w, "t", &p);
    in_n = MSUB__PAYLOAD_BYTES + (size_t)d;
    delivered = 0;
    world_receive(&w, world_peer(&w, 2), (msub_bytes){ buf, world_plain_rpc(buf, sizeof buf, "t", msub_str("x")) });
    cr_assert(delivered == (d > 0 ? 0 : in_n) && n()->rejected == (d > 0), "%+d", d);
    world_stop(&w);
  }
}

/* ---- chains, caches, departed peers ---- */

static unsigned depth;
static int chain(msub_layout *l, const void *opts);
static const msub_router_ops link_ops = { .abi = MSUB_ABI, .size = sizeof link_ops, .name = "link", .layout = chain };
static int chain(msub_layout *l, const void *opts) {
  if (--depth) return msub_layout_nest(l, &link_ops, opts);
  return msub_layout_protocol(l, "/chain", 0);
}
static unsigned windows;
static int cached(msub_layout *l, const void *opts) {
  (void)opts;
  msub_layout_cache(l, windows, 1, 1000);
  return msub_layout_protocol(l, "/cache", 0);
}
Test(limits_channel, plans) {
  static const msub_router_ops cache_ops = { .abi = MSUB_ABI, .size = sizeof cache_ops, .name = "cache", .layout = cached };
  uint8_t entropy[32] = { 1 };
  msub_shared *sh;
  const msub_plan *p;
  cr_assert_eq(msub_shared_new(NULL, entropy, &sh), MSUB_OK);
  for (int d = -1; d <= 1; d++) {
    depth = MSUB__LEVELS + (unsigned)d;
    cr_assert_eq(msub_plan_new(sh, &link_ops, NULL, &p), d > 0 ? MSUB_ERR_LIMIT : MSUB_OK);
    windows = MSUB__CACHE_WINDOWS + (unsigned)d;
    cr_assert_eq(msub_plan_new(sh, &cache_ops, NULL, &p), d > 0 ? MSUB_ERR_INVAL : MSUB_OK);
  }
  cr_assert_eq(msub_shared_free(sh), MSUB_OK);
}

static uint64_t retain(msub_router *r, msub_session s) {
  (void)s;
  return msub_r_mono(r) + 1000000000000ull;
}
static unsigned forgotten;
static void forget(msub_router *r, msub_peer p, void *block) {
  (void)r, (void)p, (void)block;
  forgotten++;
}
static int with_peer(msub_layout *l, const void *opts) {
  msub_layout_peer(l, 8, 8);
  return layout(l, opts);
}
Test(limits_channel, departed) {
  static const msub_router_ops ops = { .abi = MSUB_ABI, .size = sizeof ops, .name = "keeps", .layout = with_peer, .retain = retain, .forget = forget };
  for (int d = -1; d <= 1; d++) {
    begin(&ops);
    forgotten = 0;
    for (unsigned i = 0; i < MSUB__DEPARTED + (unsigned)d; i++) {
      char id[16];
      snprintf(id, sizeof id, "peer %u", i);
      msub_session_opts o = { .peer_id = msub_str(id), .protocol = "/floodsub/1.0.0" };
      msub_session s;
      w.now.mono_ns += 1000;
      cr_assert_eq(msub_session_up(w.e, &o, &w.now, &s), MSUB_OK);
      cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
    }
    cr_assert_eq(forgotten, d > 0 ? 1 : 0, "%+d", d);
    world_stop(&w);
  }
}

/* Who has asked for what: past the bound a new pair is served no more. */
Test(limits_channel, cache_askers) {
  uint8_t entropy[32] = { 1 };
  msub_shared *sh;
  cr_assert_eq(msub_shared_new(NULL, entropy, &sh), MSUB_OK);
  msub__mcache *c = msub__mcache_new(sh, 5, 3, 1 << 20, NULL, NULL);
  uint32_t name = msub__intern_hold(&sh->names, &sh->mem, &sh->key, msub_str("t"));
  msub_msg_borrowed like = { { .topic_name = name & 0xffffffu, .borrowed = true }, buf };
  const msub_msg *m = msub__msg_new(sh, &like.m, 0, msub_str("id"));
  uint64_t evicted = 0;
  cr_assert_neq(msub__mcache_put(c, m, false, 0, &evicted), MSUB__NONE);
  uint32_t times, last = 0;
  for (uint32_t peer = 1; peer <= MSUB__CACHE_ASKERS + 1; peer++) {
    cr_assert_not_null(msub__mcache_ask(c, msub_str("id"), peer, &times));
    if (times == 1) last = peer;
    else cr_assert_eq(times, UINT32_MAX);
  }
  cr_assert_eq(last, MSUB__CACHE_ASKERS);
  msub_msg_drop(sh, m);
  msub__mcache_free(c, sh);
  msub__intern_drop(&sh->names, &sh->mem, &sh->key, name);
  cr_assert_eq(msub_shared_free(sh), MSUB_OK);
}
