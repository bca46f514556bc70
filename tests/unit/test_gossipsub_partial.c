/* gossipsub 1.3: the extensions of a stream, the test extension, partial messages and their bounds. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "gossipsub_world.h"
#include "meshsub/partial.h"
#include "routers/gossipsub/limits.h"

static void done(void) { world_stop(&w); }
static uint8_t buf[12 << 20];

/* ---- what peers say ---- */

static int raw(msub_session s, const msub_ctl_entry *e, const msub_bytes *names, size_t n) {
  size_t len = msub_ctl_encode(e, names, n, buf, sizeof buf);
  cr_assert_leq(len, sizeof buf);
  return world_receive(&w, s, (msub_bytes){ buf, len });
}
static void say_ext(msub_session s, uint8_t flags) {
  msub_ctl_entry e = { .kind = MSUB_C_EXTENSIONS, .flags = flags };
  msub_bytes none = { NULL, 0 };
  cr_assert_eq(raw(s, &e, &none, 1), MSUB_OK);
}
static void say_test(msub_session s) {
  msub_ctl_entry e = { .kind = MSUB_C_TEST };
  msub_bytes none = { NULL, 0 };
  cr_assert_eq(raw(s, &e, &none, 1), MSUB_OK);
}
static void say_sub(msub_session s, const char *topic, uint8_t flags) {
  msub_ctl_entry e = { .kind = MSUB_C_SUB, .flags = flags };
  msub_bytes name = msub_str(topic);
  cr_assert_eq(raw(s, &e, &name, 1), MSUB_OK);
}
static void say_bytes(msub_session s, const char *topic, msub_bytes group, msub_bytes message, msub_bytes metadata) {
  msub_bytes parts[3] = { group, message, metadata };
  msub_ctl_entry e = { .kind = MSUB_C_PARTIAL, .ids = parts, .n_ids = 3 };
  msub_bytes name = msub_str(topic);
  cr_assert_eq(raw(s, &e, &name, 1), MSUB_OK);
}
static void say_part(msub_session s, const char *topic, const char *group, const char *message, const char *metadata) {
  say_bytes(s, topic, msub_str(group), msub_str(message), msub_str(metadata));
}
static void say_group(msub_session s, const char *topic, unsigned group) {
  char id[16];
  (void)snprintf(id, sizeof id, "g%u", group);
  say_part(s, topic, id, "", "m");
}

/* ---- what was sent ---- */

typedef struct seen {
  size_t rpcs, ext, test, partial; /* RPCs, and parts of them */
  size_t ext_at;                   /* number of the RPC with the extensions, from 0 */
  bool ext_partial, ext_test;
  char last[64];                   /* "topic group message metadata" */
  msub_lane lane;
} seen;
static void cut(char *to, size_t cap, msub_bytes b) { (void)snprintf(to + strlen(to), cap - strlen(to), "%.*s ", (int)b.n, b.n ? (const char *)b.p : ""); }
static seen sent_to(uint64_t link) {
  seen x = { 0 };
  for (size_t i = 0; i < w.n_sent; i++) {
    if (link && w.sent[i].link != link) continue;
    msub_rpc_iter it;
    msub_rpc_part part;
    msub_rpc_begin(&it, (msub_bytes){ w.sent[i].rpc, w.sent[i].n });
    while (msub_rpc_next(&it, &part) != MSUB_P_END) {
      if (part.kind == MSUB_P_EXTENSIONS) {
        x.ext++;
        x.ext_at = x.rpcs;
        x.ext_partial = part.ext_partial;
        x.ext_test = part.ext_test;
      } else if (part.kind == MSUB_P_TEST) x.test++;
      else if (part.kind == MSUB_P_PARTIAL) {
        x.partial++;
        x.lane = w.sent[i].lane;
        x.last[0] = 0;
        cut(x.last, sizeof x.last, part.topic);
        cut(x.last, sizeof x.last, part.group);
        cut(x.last, sizeof x.last, part.part_message);
        cut(x.last, sizeof x.last, part.parts_metadata);
      }
    }
    x.rpcs++;
  }
  return x;
}

/* ---- extensions ---- */

static void start(bool partial, bool test) {
  gs_init();
  o.extensions.partial = partial;
  o.extensions.test = test;
  gs_start();
}

/* What the hello says, by protocol and option; in the first RPC, however long the list of topics is. */
Test(partial, hello) {
  static const struct { const char *protocol; bool partial, test, said; } cases[] = {
    { V13, true, true, true }, { V13, true, false, true }, { V13, false, true, true }, { V13, false, false, false },
    { V12, true, true, false }, { V11, true, true, false }, { FLOOD, true, true, false } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (unsigned topics = 0; topics <= 250; topics += 125) {
      start(cases[i].partial, cases[i].test);
      for (unsigned t = 0; t < topics; t++) {
        char name[16];
        (void)snprintf(name, sizeof name, "t%u", t);
        world_join(&w, name, &gs_ids);
      }
      (void)gs_up(1, cases[i].protocol, false);
      seen x = sent_to(1);
      cr_assert_eq(x.ext, cases[i].said, "case %zu, %u topics", i, topics);
      cr_assert_eq(x.rpcs, (topics + 99) / 100 + (topics == 0 && cases[i].said));
      cr_assert_eq(x.ext_at, 0);
      if (x.ext) cr_assert(x.ext_partial == cases[i].partial && x.ext_test == cases[i].test);
      cr_assert_eq(gs_sent(MSUB_C_SUB, 1, NULL), topics);
      done();
    }
}

/* The hello is said again without the extensions on the stream that stands, with them on a new one, as its protocol has it. */
Test(partial, hello_again) {
  start(true, true);
  world_join(&w, "t", &gs_ids);
  msub_session s = gs_up(1, V13, false);
  world_clear(&w);
  cr_assert_eq(msub_session_hello(w.e, s, &w.now), MSUB_OK);
  cr_assert(sent_to(1).ext == 0 && gs_sent(MSUB_C_SUB, 1, "t") == 1);
  world_clear(&w);
  cr_assert_eq(msub_session_offer(w.e, s, V12, 1, &w.now), MSUB_OK);
  cr_assert(sent_to(1).ext == 0 && gs_sent(MSUB_C_SUB, 1, "t") == 1);
  world_clear(&w);
  cr_assert_eq(msub_session_offer(w.e, s, V13, 1, &w.now), MSUB_OK);
  cr_assert(sent_to(1).ext == 1 && gs_sent(MSUB_C_SUB, 1, "t") == 1);
  msub_session gone = { s.v + (1u << 20) };
  cr_assert_eq(msub_session_hello(w.e, gone, &w.now), MSUB_ERR_STALE);
  done();
}

/* One empty RPC when both sides have announced it, once for each pair of streams; the event tells of the peer's field only. */
Test(partial, test_extension) {
  start(false, true);
  msub_session s = gs_up(1, V13, false);
  world_clear(&w);
  say_ext(s, MSUB_EXT_TEST | MSUB_EXT_PARTIAL);
  cr_assert(sent_to(1).test == 1 && sent_to(1).rpcs == 1);
  cr_assert_eq(w.events[MSUB_T_EXTENSION], 0, "no field came");
  say_test(s);
  cr_assert(sent_to(1).test == 1 && w.events[MSUB_T_EXTENSION] == 1);
  say_sub(s, "t", 0);
  cr_assert(sent_to(1).test == 1 && w.events[MSUB_T_EXTENSION] == 1);
  /* A new stream of the peer: it may have forgotten ours. */
  cr_assert_eq(msub_session_inbound(w.e, s, &w.now), MSUB_OK);
  say_ext(s, MSUB_EXT_TEST);
  cr_assert_eq(sent_to(1).test, 2);
  /* A new stream of ours: once it is agreed. */
  cr_assert_eq(msub_session_offer(w.e, s, V13, 1, &w.now), MSUB_OK);
  cr_assert_eq(sent_to(1).test, 2);
  cr_assert_eq(msub_session_agreed(w.e, s, &w.now), MSUB_OK);
  cr_assert_eq(sent_to(1).test, 3);
  /* The peer's stream ended, and with it what it announced; the next one announces nothing. */
  cr_assert_eq(msub_session_inbound_gone(w.e, s, &w.now), MSUB_OK);
  size_t before = w.events[MSUB_T_EXTENSION];
  cr_assert_eq(msub_session_inbound(w.e, s, &w.now), MSUB_OK);
  say_sub(s, "t", 0);
  say_test(s);
  cr_assert(sent_to(1).test == 3 && w.events[MSUB_T_EXTENSION] == before);
  /* A peer of an older protocol was told nothing, and gets nothing. */
  msub_session old = gs_up(2, V12, false);
  say_ext(old, MSUB_EXT_TEST);
  cr_assert_eq(sent_to(2).test, 0);
  say_test(old);
  cr_assert_eq(w.events[MSUB_T_EXTENSION], before + 1, "its announcement counts all the same");
  cr_assert_eq(msub_count(w.e)->extensions_late, 0);
  done();
}

/* Announced elsewhere than in the first RPC, or again (G-30): counted, nothing changes. Of every version; the options do not matter. */
Test(partial, G_30_late_announcements) {
  static const char *const protocols[] = { V13, V12, V11, FLOOD };
  for (unsigned on = 0; on < 2; on++)
    for (size_t i = 0; i < 4; i++) {
      start(on, on);
      msub_session s = gs_up(1, protocols[i], false);
      say_sub(s, "t", 0);
      say_ext(s, MSUB_EXT_TEST); /* the first RPC announced none */
      cr_assert_eq(msub_count(w.e)->extensions_late, 1);
      say_test(s);
      cr_assert(w.events[MSUB_T_EXTENSION] == 0 && sent_to(1).test == 0);
      msub_session again = gs_up(2, protocols[i], false);
      for (unsigned k = 0; k < 4; k++) say_ext(again, k % 2 ? 0 : MSUB_EXT_TEST); /* flip-flop */
      cr_assert_eq(msub_count(w.e)->extensions_late, 1 + 3);
      say_test(again);
      cr_assert_eq(w.events[MSUB_T_EXTENSION], on, "the first one counts");
      /* A stream begins anew, whatever was negotiated. */
      cr_assert_eq(msub_session_inbound_gone(w.e, again, &w.now), MSUB_OK);
      say_ext(again, MSUB_EXT_TEST);
      cr_assert_eq(msub_count(w.e)->extensions_late, 4);
      cr_assert_eq(msub_session_down(w.e, again, &w.now), MSUB_OK);
      again = gs_up(2, protocols[i], false);
      say_ext(again, MSUB_EXT_TEST);
      cr_assert_eq(msub_count(w.e)->extensions_late, 4);
      cr_assert_eq(w.n_disconnected, 0);
      done();
    }
}

/* ---- a program with partial messages ---- */

typedef struct known { uint8_t told, heard; } known;
static struct {
  size_t takes, gives, gossips;
  char took[64];               /* the last: "group message metadata" */
  msub_verdict answer;
  const char *message, *metadata; /* what give answers */
  bool member, requests, sends, fresh; /* of the last peer; fresh: its state was zero */
} app;
static msub_verdict take(const msub_channel *c, msub_bytes group, msub_partial_peer *p, msub_bytes message, msub_bytes metadata) {
  (void)c;
  known *k = p->state;
  app.takes++;
  app.took[0] = 0;
  cut(app.took, sizeof app.took, group);
  cut(app.took, sizeof app.took, message);
  cut(app.took, sizeof app.took, metadata);
  app.fresh = !k->told && !k->heard;
  app.member = p->member;
  app.requests = p->requests;
  app.sends = p->sends;
  k->heard = 1;
  return app.answer;
}
static void give(const msub_channel *c, msub_bytes group, msub_partial_peer *p, msub_partial_out *out) {
  (void)c, (void)group;
  known *k = p->state;
  app.gives++;
  app.fresh = !k->told && !k->heard;
  app.requests = p->requests;
  k->told = 1;
  out->message = msub_str(app.message);
  out->metadata = msub_str(app.metadata);
}
static void gossip(const msub_channel *c, msub_bytes group, msub_partial_peer *p, msub_partial_out *out) {
  (void)c, (void)group, (void)p;
  app.gossips++;
  out->metadata = msub_str("gossip");
}
static msub_partial_ops ops;
static msub_channel_policy policy;

static msub_topic begin(msub_partial_mode mode, bool join) {
  memset(&app, 0, sizeof app);
  app.message = "parts";
  app.metadata = "have";
  ops = (msub_partial_ops){ .abi = MSUB_ABI, .size = sizeof ops, .mode = mode, .state_bytes = sizeof(known), .take = take, .give = give, .gossip = gossip };
  policy = gs_ids;
  policy.size = sizeof policy;
  policy.partial = &ops;
  gs_init();
  o.extensions.partial = true;
  gs_start();
  if (join) return world_join(&w, "t", &policy);
  msub_topic t;
  cr_assert_eq(msub_open(w.e, 0, msub_str("t"), &policy, NULL, &w.now, &t), MSUB_OK);
  return t;
}
static msub_session partner(uint8_t seed, uint8_t flags) {
  msub_session s = gs_up(seed, V13, false);
  say_ext(s, MSUB_EXT_PARTIAL);
  if (flags != UINT8_MAX) say_sub(s, "t", flags);
  return s;
}
#define REQUESTS MSUB_SUB_REQUESTS_PARTIAL
#define SENDS MSUB_SUB_SENDS_PARTIAL
static void into_mesh(msub_session s) { gs_from(s, MSUB_C_GRAFT, "t", NULL, 0); }
static int publish(msub_topic t, const char *group) { return msub_partial_publish(w.e, t, msub_str(group), NULL, NULL, 0, &w.now); }
static msub_partial_usage usage(void) {
  msub_partial_usage u;
  cr_assert_eq(msub_partial_usage_of(w.e, 0, &w.now, &u), MSUB_OK);
  return u;
}

/* Of each mode: what the subscription says, and what a publish sends to peers of each kind. */
Test(partial, modes) {
  static const struct { msub_partial_mode mode; uint8_t flags; } modes[] = { { MSUB_PARTIAL_SUPPORTS, SENDS }, { MSUB_PARTIAL_REQUESTS, REQUESTS | SENDS } };
  for (size_t m = 0; m < 2; m++) {
    msub_topic t = begin(modes[m].mode, true);
    msub_session req = partner(1, REQUESTS), sup = partner(2, SENDS), none = partner(3, 0);
    msub_session silent = gs_up(4, V13, false), old = gs_up(5, V12, false); /* without the extension */
    say_sub(silent, "t", REQUESTS);
    say_sub(old, "t", REQUESTS);
    msub_rpc_iter it;
    msub_rpc_part part;
    msub_rpc_begin(&it, (msub_bytes){ w.sent[0].rpc, w.sent[0].n });
    cr_assert_eq(msub_rpc_next(&it, &part), MSUB_P_SUBSCRIPTION);
    cr_assert(part.requests_partial == !!(modes[m].flags & REQUESTS) && part.sends_partial);
    msub_session all[] = { req, sup, none, silent, old };
    for (size_t i = 0; i < 5; i++) into_mesh(all[i]);
    world_clear(&w);
    cr_assert_eq(publish(t, "g"), MSUB_OK);
    cr_assert_str_eq(sent_to(1).last, "t g parts have ");
    bool wants = modes[m].mode == MSUB_PARTIAL_REQUESTS; /* then it is told what we lack, and gets no parts: it did not ask for any */
    cr_assert_str_eq(sent_to(2).last, wants ? "t g  have " : "");
    cr_assert(sent_to(3).partial == 0 && sent_to(4).partial == 0 && sent_to(5).partial == 0);
    size_t n = wants ? 2 : 1;
    cr_assert(app.gives == n && usage().sent == n && usage().groups == 1 && usage().states == n && usage().foreign == 0);
    /* Nothing to say is nothing sent; what give did to the state then does not count. */
    app.message = app.metadata = "";
    world_clear(&w);
    cr_assert_eq(publish(t, "h"), MSUB_OK);
    cr_assert_eq(sent_to(0).rpcs, 0);
    app.metadata = "have";
    cr_assert_eq(publish(t, "h"), MSUB_OK);
    cr_assert(app.fresh && sent_to(0).partial == n);
    cr_assert_eq(publish(t, "h"), MSUB_OK);
    cr_assert(!app.fresh);
    done();
  }
}

/* Whole messages, IDONTWANT and IHAVE where parts go. */
Test(partial, whole_messages) {
  for (unsigned requests = 0; requests < 2; requests++)
    for (unsigned flood = 0; flood < 2; flood++) {
      msub_topic t = begin(requests ? MSUB_PARTIAL_REQUESTS : MSUB_PARTIAL_SUPPORTS, false);
      o.mesh.flood_publish = flood;
      cr_assert_eq(msub_join(w.e, 0, msub_str("t"), &policy, NULL, &w.now, &t), MSUB_OK);
      msub_session req = partner(1, REQUESTS), sup = partner(2, SENDS), none = partner(3, 0), silent = gs_up(4, V13, false);
      say_sub(silent, "t", REQUESTS); /* it asks for parts, but cannot get them: no extension */
      msub_session all[] = { req, sup, none, silent };
      for (size_t i = 0; i < 4; i++) into_mesh(all[i]);
      world_clear(&w);
      cr_assert_eq(gs_publish(t, "own", 2000), MSUB_OK);
      cr_assert(gs_sent_messages(1, "own") == 0 && gs_sent_messages(2, "own") == 1 && gs_sent_messages(3, "own") == 1 && gs_sent_messages(4, "own") == 1);
      cr_assert_eq(gs_sent_ids(MSUB_C_IDONTWANT, 1, "own"), !requests, "we request and it sends parts: no whole message comes from it");
      cr_assert_eq(gs_sent_ids(MSUB_C_IDONTWANT, 2, "own"), !requests);
      cr_assert(gs_sent_ids(MSUB_C_IDONTWANT, 3, "own") == 1 && gs_sent_ids(MSUB_C_IDONTWANT, 4, "own") == 1);
      gs_message(none, "t", "fwd", 2000);
      cr_assert(gs_sent_messages(1, "fwd") == 0 && gs_sent_messages(2, "fwd") == 1 && gs_sent_messages(4, "fwd") == 1);
      /* A whole message from one with whom we exchange parts is taken all the same. */
      gs_message(req, "t", "whole", 10);
      cr_assert_eq(msub_count(w.e)->delivered, 3);
      /* Outside the mesh: groups instead of ids. */
      msub_session far_req = partner(5, REQUESTS), far_none = partner(6, 0);
      (void)far_req, (void)far_none;
      cr_assert_eq(publish(t, "g"), MSUB_OK);
      for (size_t i = 0; i < 4; i++) cr_assert_eq(msub_session_down(w.e, gs_peer[i + 1], &w.now), MSUB_OK);
      done();
    }
}

/* A heartbeat tells those outside the mesh of our groups, once; with metadata instead of IHAVE, and with no message in the cache at all. */
Test(partial, gossip_of_groups) {
  for (unsigned cached = 0; cached < 2; cached++) {
    msub_topic t = begin(MSUB_PARTIAL_SUPPORTS, true);
    for (uint8_t i = 1; i <= 6; i++) {
      msub_session s = partner(i, REQUESTS);
      into_mesh(s);
    }
    gs_heartbeat();
    cr_assert_eq(publish(t, "g"), MSUB_OK);
    if (cached) cr_assert_eq(gs_publish(t, "m", 10), MSUB_OK);
    (void)partner(7, REQUESTS);
    msub_session plain = partner(8, 0), foreign = partner(9, REQUESTS);
    (void)plain;
    say_part(foreign, "t", "theirs", "", "m"); /* of a group that others began nobody hears */
    world_clear(&w);
    size_t gossips = app.gossips;
    gs_heartbeat();
    cr_assert_eq(app.gossips, gossips + 2, "7 and 9, of one group");
    cr_assert_str_eq(sent_to(7).last, "t g  gossip ");
    cr_assert_eq(sent_to(7).lane, MSUB_LANE_GOSSIP);
    cr_assert_str_eq(sent_to(9).last, "t g  gossip ");
    cr_assert(sent_to(8).partial == 0 && gs_sent(MSUB_C_IHAVE, 7, NULL) == 0 && gs_sent(MSUB_C_IHAVE, 9, NULL) == 0);
    cr_assert_eq(gs_sent(MSUB_C_IHAVE, 8, "t"), cached);
    gs_heartbeat();
    cr_assert_eq(app.gossips, gossips + 2, "they have heard");
    /* One that came into the mesh since the publish is told, too. */
    msub_session late = partner(10, REQUESTS);
    into_mesh(late);
    gs_heartbeat();
    cr_assert_str_eq(sent_to(10).last, "t g  gossip ");
    done();
  }
}

/* A publisher that has not joined: the fanout; and what those answer. */
Test(partial, fanout) {
  msub_topic t = begin(MSUB_PARTIAL_SUPPORTS, false);
  msub_session a = partner(1, REQUESTS), b = partner(2, SENDS);
  say_part(a, "t", "early", "", "m");
  cr_assert(app.takes == 0 && usage().of_no_use == 1, "nothing was published yet");
  world_clear(&w);
  cr_assert_eq(publish(t, "g"), MSUB_OK);
  cr_assert(gs_role(t, 1) & MSUB_ROLE_FANOUT && gs_role(t, 2) & MSUB_ROLE_FANOUT);
  cr_assert_str_eq(sent_to(1).last, "t g parts have ");
  cr_assert_eq(sent_to(2).partial, 0, "neither of us wants parts");
  say_part(a, "t", "g", "", "want");
  cr_assert(app.takes == 1 && !app.fresh && app.member && app.requests);
  cr_assert_str_eq(app.took, "g  want ");
  (void)b;
  gs_until(70 * 1000); /* the fanout ends, and its groups */
  cr_assert_eq(usage().groups, 0);
  done();
}

/* Peers named by the program, in the mesh or not. */
Test(partial, named_peers) {
  msub_topic t = begin(MSUB_PARTIAL_SUPPORTS, true);
  msub_peer to[3];
  for (uint8_t i = 1; i <= 3; i++) to[i - 1] = msub_session_peer(w.e, partner(i, i == 3 ? UINT8_MAX : REQUESTS));
  world_clear(&w);
  cr_assert_eq(msub_partial_publish(w.e, t, msub_str("g"), NULL, to + 1, 2, &w.now), MSUB_OK);
  cr_assert(sent_to(1).partial == 0 && sent_to(2).partial == 1);
  cr_assert_str_eq(sent_to(3).last, "t g  have ", "it did not subscribe: metadata only");
  cr_assert_eq(msub_partial_publish(w.e, t, msub_str("h"), NULL, to, 0, &w.now), MSUB_OK);
  cr_assert(sent_to(0).partial == 2 && usage().groups == 2);
  done();
}

static bool not_the_first(const msub_channel *c, msub_session s) {
  msub_peer_id id = world_peer_id(1);
  return !msub_bytes_eq(msub_peer_bytes(msub_engine_shared(c->engine), msub_session_peer(c->engine, s)), msub_peer_id_bytes(&id));
}
/* A peer that the topic may not have hears of no part, in the mesh, direct, named or by gossip, and is not listened to. */
Test(partial, may_peer) {
  begin(MSUB_PARTIAL_REQUESTS, false);
  done();
  policy.may_peer = not_the_first;
  for (int direct = 0; direct < 2; direct++) {
    msub_peer_id ids[2] = { world_peer_id(1), world_peer_id(2) };
    msub_bytes bytes[2] = { msub_peer_id_bytes(&ids[0]), msub_peer_id_bytes(&ids[1]) };
    gs_init();
    o.extensions.partial = true;
    o.direct = bytes;
    o.n_direct = direct ? 2 : 0;
    gs_start();
    msub_topic t = world_join(&w, "t", &policy);
    msub_session no = partner(1, REQUESTS | SENDS), yes = partner(2, REQUESTS | SENDS), third = partner(3, REQUESTS | SENDS);
    into_mesh(no);
    into_mesh(yes);
    into_mesh(third);
    world_clear(&w);
    cr_assert_eq(publish(t, "g"), MSUB_OK);
    cr_assert(sent_to(1).partial == 0 && sent_to(2).partial == 1, "direct %d", direct);
    msub_peer to[2] = { msub_session_peer(w.e, no), msub_session_peer(w.e, yes) };
    cr_assert_eq(msub_partial_publish(w.e, t, msub_str("h"), NULL, to, 2, &w.now), MSUB_OK);
    cr_assert(sent_to(1).partial == 0 && sent_to(2).partial == 2, "named");
    size_t takes = app.takes;
    uint64_t of_no_use = usage().of_no_use;
    say_part(no, "t", "g", "x", "m");
    say_part(no, "t", "new", "x", "m");
    cr_assert(app.takes == takes && usage().of_no_use == of_no_use + 2 && usage().groups == 2);
    say_part(yes, "t", "g", "x", "m");
    cr_assert_eq(app.takes, takes + 1);
    gs_until(3000);
    cr_assert(sent_to(1).partial == 0 && sent_to(3).partial > 0, "gossip and the mesh reach the third");
    done();
  }
}

static struct { msub_topic t; int rc, with_time, usage; } inside;
static msub_verdict take_and_publish(const msub_channel *c, msub_bytes group, msub_partial_peer *p, msub_bytes message, msub_bytes metadata) {
  (void)take(c, group, p, message, metadata);
  msub_partial_usage u;
  inside.rc = msub_partial_publish(c->engine, c->topic, group, NULL, NULL, 0, NULL);
  inside.with_time = msub_partial_publish(c->engine, c->topic, group, NULL, NULL, 0, &w.now);
  inside.usage = msub_partial_usage_of(c->engine, 0, &w.now, &u);
  return MSUB_ACCEPT;
}
/* From a hook it is deferred; what it does then is done before the peer's RPC is finished. */
Test(partial, from_a_hook) {
  (void)begin(MSUB_PARTIAL_REQUESTS, true);
  ops.take = take_and_publish;
  msub_session a = partner(1, REQUESTS), b = partner(2, REQUESTS);
  into_mesh(b);
  world_clear(&w);
  say_part(a, "t", "g", "x", "m");
  cr_assert(inside.rc == MSUB_OK && inside.with_time == MSUB_ERR_STATE && inside.usage == MSUB_ERR_STATE);
  cr_assert(sent_to(1).partial == 1 && sent_to(2).partial == 1, "whoever wrote of the group, and the mesh");
  cr_assert(usage().groups == 1 && usage().foreign == 0, "it is ours now");
  done();
}

Test(partial, errors) {
  msub_topic t = begin(MSUB_PARTIAL_SUPPORTS, true), plain = world_join(&w, "plain", &gs_ids);
  static const char longest[130] = { 'x' };
  msub_bytes id = { (const uint8_t *)longest, 128 };
  static msub_peer many[1025];
  cr_assert_eq(msub_partial_publish(w.e, t, id, NULL, NULL, 0, &w.now), MSUB_OK);
  id.n = 129;
  cr_assert_eq(msub_partial_publish(w.e, t, id, NULL, NULL, 0, &w.now), MSUB_ERR_INVAL);
  id.n = 0;
  cr_assert_eq(msub_partial_publish(w.e, t, id, NULL, NULL, 0, &w.now), MSUB_ERR_INVAL);
  id.n = 1;
  cr_assert_eq(msub_partial_publish(w.e, t, id, NULL, many, MSUB__GS_PARTIAL_TO, &w.now), MSUB_OK);
  cr_assert_eq(msub_partial_publish(w.e, t, id, NULL, many, MSUB__GS_PARTIAL_TO + 1, &w.now), MSUB_ERR_INVAL);
  cr_assert_eq(msub_partial_publish(w.e, plain, id, give, NULL, 0, &w.now), MSUB_ERR_INVAL);
  ops.give = NULL;
  cr_assert_eq(msub_partial_publish(w.e, t, id, NULL, NULL, 0, &w.now), MSUB_ERR_INVAL, "nobody says what to give");
  cr_assert_eq(msub_partial_publish(w.e, t, id, give, NULL, 0, &w.now), MSUB_OK);
  cr_assert_eq(msub_partial_publish(w.e, t, id, give, NULL, 0, NULL), MSUB_ERR_STATE);
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  cr_assert_eq(msub_partial_publish(w.e, t, id, give, NULL, 0, &w.now), MSUB_ERR_STALE);
  msub_partial_usage u;
  cr_assert_eq(msub_partial_usage_of(w.e, 0, &w.now, &u), MSUB_OK);
  cr_assert_eq(u.groups, 0, "they went with the topic");
  cr_assert_eq(msub_partial_usage_of(w.e, 1, &w.now, &u), MSUB_ERR_INVAL);
  /* What a policy may not say. */
  ops.state_bytes = MSUB__GS_PARTIAL_STATE;
  cr_assert_eq(msub_join(w.e, 0, msub_str("t"), &policy, NULL, &w.now, &t), MSUB_OK);
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  ops.state_bytes = MSUB__GS_PARTIAL_STATE + 1;
  cr_assert_eq(msub_join(w.e, 0, msub_str("t"), &policy, NULL, &w.now, &t), MSUB_ERR_INVAL);
  ops.state_bytes = 0;
  ops.mode = (msub_partial_mode)3;
  cr_assert_eq(msub_join(w.e, 0, msub_str("t"), &policy, NULL, &w.now, &t), MSUB_ERR_INVAL);
  done();
  start(false, false);
  ops.mode = MSUB_PARTIAL_SUPPORTS;
  cr_assert_eq(msub_join(w.e, 0, msub_str("t"), &policy, NULL, &w.now, &t), MSUB_ERR_INVAL, "the option is off");
  done();
  world_init(&w, 250);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  world_start(&w, NULL);
  cr_assert_eq(msub_join(w.e, 0, msub_str("t"), &policy, NULL, &w.now, &t), MSUB_OK, "floodsub has no use for it");
  cr_assert_eq(msub_partial_publish(w.e, t, id, give, NULL, 0, &w.now), MSUB_ERR_INVAL);
  cr_assert_eq(msub_partial_usage_of(w.e, 0, &w.now, &u), MSUB_ERR_UNSUPPORTED);
  done();
}

/* Who is heard: by the announcement, the topic and the group's id. */
Test(partial, received) {
  (void)begin(MSUB_PARTIAL_SUPPORTS, true);
  world_join(&w, "plain", &gs_ids);
  msub_session a = partner(1, REQUESTS), mute = gs_up(2, V13, false), old = gs_up(3, V11, false);
  say_sub(mute, "t", REQUESTS);
  say_ext(old, MSUB_EXT_PARTIAL);
  say_part(a, "t", "g", "x", "m");
  cr_assert(app.takes == 1 && app.fresh && !app.member && app.requests && app.sends);
  cr_assert_str_eq(app.took, "g x m ");
  say_part(a, "t", "g", "", "");
  cr_assert(app.takes == 2 && !app.fresh);
  say_part(mute, "t", "g", "x", "m");
  say_part(a, "plain", "g", "x", "m");
  say_part(a, "nobody's", "g", "x", "m");
  say_part(a, "t", "", "x", "m");
  cr_assert_eq(app.takes, 2);
  say_part(old, "t", "g", "x", "");
  cr_assert(app.takes == 3 && app.fresh && !app.requests, "an older protocol may announce it");
  cr_assert(w.events[MSUB_T_EXTENSION] == 3 && usage().of_no_use == 4);
  cr_assert(msub_count(w.e)->partials_in == 7 && msub_count(w.e)->partials_refused == 4);
  app.answer = MSUB_REJECT;
  say_part(a, "t", "g", "bad", "");
  cr_assert(usage().rejected == 1 && w.n_disconnected == 0);
  /* Its states end with the topic it gives up, with its stream, with ours, with its session. */
  app.answer = MSUB_ACCEPT;
  for (unsigned how = 0; how < 5; how++) {
    say_part(a, "t", "g", "", "m");
    say_part(a, "t", "g", "", "m");
    cr_assert(!app.fresh);
    size_t states = usage().states;
    if (how == 0) world_subscribe(&w, a, "t", false);
    else if (how == 1) {
      cr_assert_eq(msub_session_inbound(w.e, a, &w.now), MSUB_OK);
      say_ext(a, MSUB_EXT_PARTIAL);
    } else if (how == 2) cr_assert_eq(msub_session_offer(w.e, a, V13, 1, &w.now), MSUB_OK);
    else if (how == 3) {
      cr_assert_eq(msub_session_inbound_gone(w.e, a, &w.now), MSUB_OK);
      say_part(a, "t", "g", "", "m");
      cr_assert_eq(usage().states, states - 1, "nothing is announced any more");
      cr_assert_eq(msub_session_inbound(w.e, a, &w.now), MSUB_OK);
      say_ext(a, MSUB_EXT_PARTIAL);
    } else cr_assert_eq(msub_session_down(w.e, a, &w.now), MSUB_OK);
    cr_assert_eq(usage().states, states - 1, "%u", how);
    if (how == 4) break;
    say_sub(a, "t", REQUESTS);
    say_part(a, "t", "g", "", "m");
    cr_assert(app.fresh);
  }
  done();
}

/* A full queue: the state is what it was. */
Test(partial, refused_by_the_queue) {
  msub_topic t = begin(MSUB_PARTIAL_SUPPORTS, true);
  into_mesh(partner(1, REQUESTS));
  w.refuse = true;
  cr_assert_eq(publish(t, "g"), MSUB_OK);
  cr_assert(usage().unsent == 1 && usage().sent == 0);
  w.refuse = false;
  cr_assert_eq(publish(t, "g"), MSUB_OK);
  cr_assert(app.fresh && usage().sent == 1);
  /* Lost later: it knows nothing. */
  cr_assert_eq(publish(t, "g"), MSUB_OK);
  cr_assert(!app.fresh);
  msub_bytes parts[3] = { msub_str("g"), msub_str("parts"), msub_str("have") };
  msub_ctl_entry e = { .kind = MSUB_C_PARTIAL, .topic_name = msub_topic_name(w.e, t), .ids = parts, .n_ids = 3 };
  msub_ctl ctl = { .refs = 1, .n = 1, .e = &e };
  msub_rpc rpc = { NULL, 0, &ctl, 0 };
  cr_assert_eq(msub_dropped(w.e, gs_peer[1], &rpc, MSUB_R_LOST, &w.now), MSUB_OK);
  cr_assert_eq(publish(t, "g"), MSUB_OK);
  cr_assert(app.fresh);
  done();
}

/* An RPC may be as large as max_rpc. */
Test(partial, size_of_an_rpc) {
  static char big[(1 << 20) + 1];
  memset(big, 'x', sizeof big - 1);
  for (int over = -1; over <= 1; over++) {
    msub_topic t = begin(MSUB_PARTIAL_SUPPORTS, true);
    into_mesh(partner(1, REQUESTS));
    size_t head = 1 + 3 + 3 + 3 + 4; /* field, topic, group, tag and length of the message */
    big[(1 << 20) - (int)head + over] = 0;
    app.message = big;
    app.metadata = "";
    cr_assert_eq(publish(t, "g"), MSUB_OK);
    cr_assert(usage().sent == (over <= 0) && usage().unsent == (over > 0), "%d", over);
    big[(1 << 20) - (int)head + over] = 'x';
    done();
  }
}

/* ---- how long a group lives ---- */

Test(partial, life_of_a_group) {
  static const struct { uint8_t ttl; unsigned lives; } cases[] = { { 0, 3 }, { 3, 3 }, { 4, 4 }, { 10, 10 } };
  for (size_t i = 0; i < 4; i++)
    for (unsigned own = 0; own < 2; own++) {
      msub_topic t = begin(MSUB_PARTIAL_SUPPORTS, true);
      ops.ttl = cases[i].ttl;
      ops.gossip = NULL;
      msub_session a = partner(1, REQUESTS);
      if (own) cr_assert_eq(publish(t, "g"), MSUB_OK);
      else say_part(a, "t", "g", "", "m");
      for (unsigned k = 0; k < cases[i].lives; k++) {
        gs_heartbeat();
        cr_assert_eq(usage().groups, 1, "ttl %u after %u", cases[i].ttl, k + 1);
      }
      gs_heartbeat();
      cr_assert(usage().groups == 0 && usage().states == 0 && usage().foreign == 0);
      /* Published again it begins anew; an own one needs nobody in it, a peer's does. */
      if (own) cr_assert_eq(publish(t, "g"), MSUB_OK);
      else say_part(a, "t", "g", "", "m");
      cr_assert_eq(msub_session_down(w.e, a, &w.now), MSUB_OK);
      gs_heartbeat();
      cr_assert_eq(usage().groups, own);
      done();
    }
}

/* ---- bounds ---- */

static int swallow(void *ud, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  (void)ud, (void)link, (void)s, (void)rpc, (void)lane;
  return MSUB_OK;
}

/* MSUB__GS_PARTIAL_FOREIGN_PEER, MSUB__GS_PARTIAL_FOREIGN: 8 of a peer in a topic, 255 of a topic. */
Test(partial, G_29_groups_of_peers) {
  msub_topic t = begin(MSUB_PARTIAL_SUPPORTS, true), u = world_join(&w, "u", &policy);
  msub_session a = partner(1, REQUESTS);
  for (unsigned i = 0; i < MSUB__GS_PARTIAL_FOREIGN_PEER - 1; i++) say_group(a, "t", i);
  cr_assert(usage().foreign == 7 && usage().over_groups == 0);
  say_group(a, "t", 7);
  cr_assert(usage().foreign == 8 && usage().over_groups == 0);
  say_group(a, "t", 8);
  cr_assert(usage().foreign == 8 && usage().over_groups == 1 && app.takes == 8);
  say_group(a, "t", 3);
  cr_assert_eq(app.takes, 9, "those that are there go on");
  say_group(a, "u", 0);
  cr_assert_eq(usage().foreign, 9, "each topic by itself");
  cr_assert_eq(publish(t, "g3"), MSUB_OK); /* it is ours now: room for one more */
  say_group(a, "t", 9);
  cr_assert(usage().foreign == 9 && usage().groups == 10);
  for (uint8_t p = 2; p <= 40; p++) {
    msub_session s = partner(p, REQUESTS);
    for (unsigned i = 0; i < 8; i++) say_group(s, "t", p * 100u + i);
    size_t of_t = 8 + 8 * (p - 1u);
    cr_assert_eq(usage().foreign, 1 + (of_t < MSUB__GS_PARTIAL_FOREIGN ? of_t : MSUB__GS_PARTIAL_FOREIGN));
  }
  say_group(gs_peer[40], "u", 1);
  cr_assert_eq(usage().foreign, 257, "the other topic has room");
  cr_assert_eq(publish(t, "mine"), MSUB_OK);
  cr_assert_eq(publish(u, "mine"), MSUB_OK);
  for (unsigned i = 0; i < 5; i++) gs_heartbeat();
  cr_assert(usage().groups == 0 && usage().states == 0);
  done();
}

/* MSUB__GS_PARTIAL_FOREIGN_ALL and MSUB__GS_PARTIAL_GROUPS: groups of a node. */
Test(partial, G_29_groups_of_a_node) {
  (void)begin(MSUB_PARTIAL_SUPPORTS, true);
  w.ops.send = swallow;
  done();
  memset(&app, 0, sizeof app);
  app.message = app.metadata = "x";
  ops = (msub_partial_ops){ .abi = MSUB_ABI, .size = sizeof ops, .mode = MSUB_PARTIAL_SUPPORTS, .state_bytes = sizeof(known), .take = take, .give = give };
  gs_init();
  o.extensions.partial = true;
  w.ops.send = swallow;
  gs_start();
  msub_topic t[9];
  char name[8];
  for (unsigned i = 0; i < 9; i++) {
    (void)snprintf(name, sizeof name, "t%u", i);
    t[i] = world_join(&w, name, &policy);
  }
  msub_session s[32];
  for (uint8_t p = 0; p < 32; p++) {
    s[p] = gs_up((uint8_t)(p + 1), V13, false);
    say_ext(s[p], MSUB_EXT_PARTIAL);
  }
  size_t sent = 0;
  for (unsigned i = 0; i < 9; i++) { /* 255 of each topic, but for the last ones */
    (void)snprintf(name, sizeof name, "t%u", i);
    for (unsigned p = 0; p < 32; p++)
      for (unsigned k = 0; k < 8; k++) {
        say_group(s[p], name, p * 8 + k);
        sent++;
        if (usage().foreign == MSUB__GS_PARTIAL_FOREIGN_ALL - 1) cr_assert_eq(i, 8, "%zu", sent);
      }
    size_t want = 255u * (i + 1);
    cr_assert_eq(usage().foreign, want < MSUB__GS_PARTIAL_FOREIGN_ALL ? want : MSUB__GS_PARTIAL_FOREIGN_ALL);
  }
  for (unsigned i = 0; i < MSUB__GS_PARTIAL_GROUPS - MSUB__GS_PARTIAL_FOREIGN_ALL; i++) {
    (void)snprintf(name, sizeof name, "o%u", i);
    cr_assert_eq(msub_partial_publish(w.e, t[0], msub_str(name), NULL, NULL, 0, &w.now), MSUB_OK);
    if (i == MSUB__GS_PARTIAL_GROUPS - MSUB__GS_PARTIAL_FOREIGN_ALL - 2) cr_assert_eq(usage().groups, MSUB__GS_PARTIAL_GROUPS - 1);
  }
  cr_assert_eq(usage().groups, MSUB__GS_PARTIAL_GROUPS);
  cr_assert_eq(msub_partial_publish(w.e, t[0], msub_str("more"), NULL, NULL, 0, &w.now), MSUB_ERR_LIMIT);
  cr_assert_eq(msub_partial_publish(w.e, t[0], msub_str("o7"), NULL, NULL, 0, &w.now), MSUB_OK, "one that is there");
  cr_assert_lt(usage().bytes, 2u << 20, "%zu", usage().bytes);
  for (unsigned i = 0; i < 5; i++) gs_heartbeat();
  cr_assert(usage().groups == 0 && usage().states == 0);
  done();
}

#define MANY 200u
/* MSUB__GS_PARTIAL_STATES_PEER, MSUB__GS_PARTIAL_STATES_IN, MSUB__GS_PARTIAL_STATES: states of a peer, of those who write, of all. */
Test(partial, G_29_states) {
  (void)begin(MSUB_PARTIAL_SUPPORTS, true);
  done();
  ops.gossip = NULL;
  gs_init();
  o.extensions.partial = true;
  w.ops.send = swallow;
  w.ops.trace = NULL;
  gs_start();
  app.message = app.metadata = "x";
  msub_topic t = world_join(&w, "t", &policy), u = world_join(&w, "u", &policy);
  msub_peer to[MANY];
  for (unsigned p = 0; p < MANY; p++) {
    msub_session s = gs_up((uint8_t)(p + 1), V13, false);
    say_ext(s, MSUB_EXT_PARTIAL);
    to[p] = msub_session_peer(w.e, s);
  }
  /* One peer in each of 4,096 groups: that is its share, too. */
  char name[8];
  for (unsigned i = 0; i < MSUB__GS_PARTIAL_STATES_PEER; i++) {
    (void)snprintf(name, sizeof name, "g%u", i);
    cr_assert_eq(msub_partial_publish(w.e, t, msub_str(name), NULL, to, 1, &w.now), MSUB_OK);
    cr_assert_eq(usage().states, i + 1);
  }
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  cr_assert_eq(usage().states, 0);
  /* Those who write, up to their bound; then publishes, up to all. */
  static msub_peer nobody[1];
  unsigned groups = MSUB__GS_PARTIAL_STATES / MANY + 1;
  for (unsigned i = 0; i < groups; i++) {
    (void)snprintf(name, sizeof name, "g%u", i);
    cr_assert_eq(msub_partial_publish(w.e, u, msub_str(name), NULL, nobody, 0, &w.now), MSUB_OK);
  }
  size_t writes = 0;
  for (unsigned i = 0; i < groups; i++)
    for (unsigned p = 0; p < MANY; p++) {
      say_group(gs_peer[p + 1], "u", i);
      writes++;
      if (writes + 1 < MSUB__GS_PARTIAL_STATES_IN || writes > MSUB__GS_PARTIAL_STATES_IN + 1) continue;
      cr_assert_eq(usage().states, writes < MSUB__GS_PARTIAL_STATES_IN ? writes : MSUB__GS_PARTIAL_STATES_IN);
      cr_assert_eq(usage().over_states, writes > MSUB__GS_PARTIAL_STATES_IN);
    }
  cr_assert_eq(usage().states, MSUB__GS_PARTIAL_STATES_IN);
  for (unsigned i = 0; i < groups; i++) {
    (void)snprintf(name, sizeof name, "g%u", i);
    cr_assert_eq(msub_partial_publish(w.e, u, msub_str(name), NULL, to, MANY, &w.now), MSUB_OK);
  }
  cr_assert_eq(usage().states, MSUB__GS_PARTIAL_STATES);
  cr_assert_lt(usage().bytes, 4u << 20, "%zu", usage().bytes);
  done();
}

/* MSUB__GS_PARTIAL_RPCS and MSUB__GS_PARTIAL_BYTES: what a peer may write in a heartbeat. */
Test(partial, G_29_share_of_a_heartbeat) {
  (void)begin(MSUB_PARTIAL_SUPPORTS, true);
  msub_session a = partner(1, REQUESTS), b = partner(2, REQUESTS);
  for (unsigned i = 0; i < MSUB__GS_PARTIAL_RPCS - 1; i++) say_part(a, "t", "g", "", "m");
  cr_assert_eq(app.takes, MSUB__GS_PARTIAL_RPCS - 1);
  say_part(a, "t", "g", "", "m");
  cr_assert(app.takes == MSUB__GS_PARTIAL_RPCS && usage().over_share == 0);
  say_part(a, "t", "g", "", "m");
  cr_assert(app.takes == MSUB__GS_PARTIAL_RPCS && usage().over_share == 1);
  say_part(b, "t", "g", "", "m");
  cr_assert_eq(app.takes, MSUB__GS_PARTIAL_RPCS + 1, "each peer by itself");
  gs_heartbeat();
  say_part(a, "t", "g", "", "m");
  cr_assert_eq(app.takes, MSUB__GS_PARTIAL_RPCS + 2);
  static uint8_t big[MSUB__GS_PARTIAL_BYTES / 16];
  gs_heartbeat();
  size_t takes = app.takes;
  msub_bytes g = msub_str("g"), none = { NULL, 0 }, all = { big, sizeof big };
  for (unsigned i = 0; i < 15; i++) say_bytes(a, "t", g, all, none);
  say_bytes(a, "t", g, (msub_bytes){ big, sizeof big - 1 }, none);
  cr_assert(app.takes == takes + 16, "a byte is left");
  say_bytes(a, "t", g, none, (msub_bytes){ big, 2 });
  cr_assert(app.takes == takes + 16 && usage().over_share == 2);
  say_bytes(a, "t", g, none, (msub_bytes){ big, 1 });
  say_bytes(a, "t", g, none, none);
  cr_assert_eq(app.takes, takes + 18);
  say_bytes(a, "t", g, none, (msub_bytes){ big, 1 });
  cr_assert(app.takes == takes + 18 && usage().over_share == 3);
  cr_assert(w.n_disconnected == 0 && msub_count(w.e)->blamed == 0, "nobody is blamed");
  done();
}

/* MSUB__GS_PARTIAL_ID: a group's id. */
Test(partial, G_29_group_ids) {
  (void)begin(MSUB_PARTIAL_SUPPORTS, true);
  msub_session a = partner(1, REQUESTS);
  static uint8_t id[MSUB__GS_PARTIAL_ID + 1] = { 'i' };
  msub_bytes none = { NULL, 0 };
  for (size_t n = MSUB__GS_PARTIAL_ID - 1; n <= MSUB__GS_PARTIAL_ID + 1; n++) {
    say_bytes(a, "t", (msub_bytes){ id, n }, none, none);
    cr_assert_eq(app.takes, n <= MSUB__GS_PARTIAL_ID ? n - MSUB__GS_PARTIAL_ID + 2 : 2);
  }
  cr_assert_eq(usage().of_no_use, 1);
  done();
}

/* A million group ids, of one peer and of a hundred (G-29): what they leave behind is bounded. */
Test(partial, G_29_a_million_groups, .timeout = 120) {
  static uint8_t frame[64];
  for (unsigned peers = 1; peers <= 100; peers += 99) {
    (void)begin(MSUB_PARTIAL_SUPPORTS, true);
    done();
    gs_init();
    o.extensions.partial = true;
    w.ops.send = swallow;
    w.ops.trace = NULL;
    gs_start();
    world_join(&w, "t", &policy);
    for (unsigned p = 1; p <= peers; p++) say_ext(gs_up((uint8_t)p, V13, false), MSUB_EXT_PARTIAL);
    size_t idle = w.mem.live_bytes, most = 0;
    uint32_t number = 0;
    for (unsigned beat = 0; beat < 20; beat++) {
      for (unsigned i = 0; i < 50000; i++) {
        number++;
        msub_bytes parts[3] = { { (const uint8_t *)&number, sizeof number }, { NULL, 0 }, msub_str("m") };
        msub_ctl_entry e = { .kind = MSUB_C_PARTIAL, .ids = parts, .n_ids = 3 };
        msub_bytes name = msub_str("t");
        size_t n = msub_ctl_encode(&e, &name, 1, frame, sizeof frame);
        cr_assert_eq(msub_receive(w.e, gs_peer[1 + i % peers], (msub_bytes){ frame, n }, &w.now), MSUB_OK);
      }
      if (w.mem.live_bytes > most) most = w.mem.live_bytes;
      cr_assert_leq(usage().groups, peers == 1 ? MSUB__GS_PARTIAL_FOREIGN_PEER : MSUB__GS_PARTIAL_FOREIGN);
      gs_heartbeat();
    }
    cr_assert_lt(most - idle, 128u << 10, "%zu", most - idle);
    cr_assert(msub_count(w.e)->partials_in == 1000000 && msub_count(w.e)->blamed == 0);
    done();
  }
}
