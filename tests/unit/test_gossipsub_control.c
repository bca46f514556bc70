/* gossipsub: IHAVE, IWANT, IDONTWANT, peer exchange, retries, floods of each. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gossipsub_world.h"

static void done(void) { world_stop(&w); }
static const msub_counts *n(void) { return msub_count(w.e); }

/* "x0 x1 … " */
static char text[1 << 19];
static const char *ids(const char *prefix, unsigned from, unsigned n) {
  char *p = text;
  for (unsigned i = 0; i < n; i++) p += sprintf(p, "%s%s%u", i ? " " : "", prefix, from + i);
  if (n == 0) *p = 0;
  return text;
}
static void ihave(uint8_t peer, const char *list) { gs_from(gs_peer[peer], MSUB_C_IHAVE, "t", list, 0); }
static size_t asked(uint8_t peer) { return gs_sent_ids(MSUB_C_IWANT, peer, NULL); }

/* A node in topic t with n quiet peers outside every mesh. */
static msub_topic quiet(bool parity, size_t n) {
  gs_init();
  if (parity) gs_parity();
  o.mesh = (msub_gossipsub_mesh){ .d = 2, .dlo = 0, .dhi = 12, .dlazy = 6, .gossip_factor_ppm = 250000, .idontwant_bytes = 1024 };
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, n, V12, false, "t");
  world_clear(&w);
  return t;
}

Test(gossipsub, ihave_asks_for_what_is_new) {
  for (unsigned parity = 0; parity < 2; parity++) {
    quiet(parity, 3);
    gs_message(gs_peer[3], "t", "seen", 5);
    world_clear(&w);
    ihave(1, "seen a b a");
    cr_assert(asked(1) == 2 && gs_sent_ids(MSUB_C_IWANT, 1, "a") == 1 && gs_sent_rpcs(1) == 1 && w.sent[0].lane == MSUB_LANE_CONTROL);
    gs_from(gs_peer[1], MSUB_C_IHAVE, "elsewhere", "c", 0);
    ihave(1, "");
    cr_assert_eq(gs_sent_rpcs(0), 1);
    /* the same peer again, others: ours asks nobody twice and three at a time, the reference anybody always */
    ihave(1, "a");
    cr_assert_eq(gs_sent_ids(MSUB_C_IWANT, 1, "a"), parity ? 2 : 1);
    gs_crowd(NULL, 10, 4, V11, false, "t");
    for (uint8_t p = 10; p < 14; p++) ihave(p, "a");
    cr_assert_eq(gs_sent_ids(MSUB_C_IWANT, 0, "a"), parity ? 6 : 3);
    /* not answered in time: others may be asked */
    world_clear(&w);
    gs_until(3100);
    ihave(13, "a b");
    cr_assert(gs_sent_ids(MSUB_C_IWANT, 13, "a") == 1 && asked(13) == 2);
    /* one that got lost was not asked for */
    if (!parity) {
      w.refuse = true;
      ihave(12, "z");
      w.refuse = false;
      world_clear(&w);
      for (uint8_t p = 10; p < 14; p++) ihave(p, "z");
      cr_assert_eq(gs_sent_ids(MSUB_C_IWANT, 0, "z"), 3);
      cr_assert_eq(gs_sent_ids(MSUB_C_IWANT, 12, "z"), 1);
    }
    done();
  }
}

Test(gossipsub, ihave_limits) {
  /* RPCs in a heartbeat */
  for (unsigned parity = 0; parity < 2; parity++) {
    quiet(parity, 3);
    char id[16];
    for (unsigned i = 0; i < 12; i++) {
      snprintf(id, sizeof id, "x%u", i);
      ihave(1, id);
    }
    cr_assert_eq(asked(1), 10);
    gs_heartbeat();
    ihave(1, "y");
    cr_assert_eq(asked(1), 11);
    /* what counts against it */
    gs_heartbeat();
    world_clear(&w);
    for (unsigned i = 0; i < 10; i++) gs_from(gs_peer[2], i % 2 ? MSUB_C_IDONTWANT : MSUB_C_IWANT, NULL, "q", 0);
    ihave(2, "r");
    cr_assert_eq(asked(2), parity ? 0 : 1, "only IHAVE, or every control part");
    for (unsigned i = 0; i < 10; i++) world_receive(&w, gs_peer[3], (msub_bytes){ (const uint8_t *)"\x1a\x00", 2 });
    ihave(3, "s");
    cr_assert_eq(asked(3), parity ? 0 : 1);
    done();
  }
  /* ids of an IHAVE, ids asked in a heartbeat */
  quiet(false, 2);
  ihave(1, ids("a", 0, 400));
  cr_assert(asked(1) == 400 && gs_sent_rpcs(1) == 1);
  ihave(1, ids("b", 0, 400));
  cr_assert_eq(asked(1), 500);
  ihave(1, "c");
  cr_assert_eq(asked(1), 500);
  gs_heartbeat();
  world_clear(&w);
  ihave(1, ids("d", 0, 5000));
  cr_assert_eq(asked(1), 500);
  size_t early = 0, late = 0;
  for (unsigned i = 0; i < 5000; i++) {
    char id[16];
    snprintf(id, sizeof id, "d%u", i);
    bool got = gs_sent_ids(MSUB_C_IWANT, 1, id);
    if (i >= 2000) cr_assert(!got, "2,000 are looked at");
    early += got && i < 1000;
    late += got && i >= 1000;
  }
  cr_assert(early > 100 && late > 100, "the choice is random among those: %zu, %zu", early, late);
  gs_heartbeat();
  gs_from(gs_peer[2], MSUB_C_IWANT, NULL, ids("f", 0, 20000), 0);
  world_clear(&w);
  ihave(2, "h");
  cr_assert_eq(asked(2), 0, "20,000 ids are looked at for a peer in a heartbeat, whatever they come in");
  gs_heartbeat();
  ihave(2, "h");
  cr_assert_eq(asked(2), 1);
  done();

  /* the option, when it is less, and as the reference has it */
  gs_init();
  o.max_ihave_length = 20;
  gs_start();
  world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 2, V12, false, NULL);
  ihave(1, ids("a", 0, 18));
  ihave(1, ids("b", 0, 25));
  ihave(1, "c0");
  cr_assert_eq(asked(1), 20);
  done();
  quiet(true, 2);
  ihave(1, ids("a", 0, 5001));
  cr_assert(asked(1) == 5000 && gs_sent_ids(MSUB_C_IWANT, 1, "a5000") == 0);
  ihave(1, "b0");
  cr_assert_eq(asked(1), 5000);
  done();
}

Test(gossipsub, G_31_iwant) {
  for (unsigned parity = 0; parity < 2; parity++) {
    msub_topic t = quiet(parity, 3);
    gs_publish(t, "m1", 2);
    gs_publish(t, "m2", 2);
    gs_message(gs_peer[3], "t", "m3", 2);
    gs_heartbeat(); /* tells everybody */
    world_clear(&w);
    for (int i = 0; i < 5; i++) gs_from(gs_peer[1], MSUB_C_IWANT, NULL, "m1", 0);
    cr_assert_eq(gs_sent_messages(1, "m1"), 3, "three times each");
    gs_from(gs_peer[1], MSUB_C_IWANT, NULL, "m2 nosuch m2 m3 m2 m2", 0);
    cr_assert(gs_sent_messages(1, "m2") == 1 && gs_sent_messages(1, "m3") == 1, "once in an RPC, however often it is named");
    gs_from(gs_peer[1], MSUB_C_IWANT, NULL, "m2 m3", 0);
    cr_assert(gs_sent_messages(1, "m2") == (parity ? 1 : 2) && gs_sent_messages(1, "m3") == 2, "the reference counts the repetitions");
    gs_from(gs_peer[2], MSUB_C_IWANT, NULL, "m1 m2 m3", 0);
    cr_assert_eq(gs_sent_messages(2, NULL), 3, "each peer by itself");
    gs_crowd(NULL, 9, 1, FLOOD, false, NULL);
    gs_from(gs_peer[9], MSUB_C_IWANT, NULL, "m1", 0);
    cr_assert_eq(gs_sent_messages(9, NULL), parity);
    gs_from(gs_peer[2], MSUB_C_IDONTWANT, NULL, "m2", 0);
    world_clear(&w);
    gs_from(gs_peer[2], MSUB_C_IWANT, NULL, "m2 m3", 0);
    cr_assert(gs_sent_messages(2, "m2") == 0 && gs_sent_messages(2, "m3") == 1, "what it does not want it does not get");
    done();
  }
  /* as long as the history lasts */
  msub_topic t = quiet(false, 1);
  gs_until(150);
  gs_publish(t, "m", 2);
  world_clear(&w);
  gs_until(4950);
  gs_from(gs_peer[1], MSUB_C_IWANT, NULL, "m", 0);
  cr_assert_eq(gs_sent_messages(1, "m"), 1);
  gs_until(5150);
  gs_from(gs_peer[1], MSUB_C_IWANT, NULL, "m", 0);
  cr_assert_eq(gs_sent_messages(1, "m"), 1);
  done();
}

/* What an answer with this much data takes of the budget: all answers here have the same length of id. */
static size_t rpc_size(size_t data) {
  msub_topic t = quiet(false, 1);
  gs_publish(t, "mm", data);
  world_clear(&w);
  size_t size = 0;
  gs_heartbeat();
  gs_from(gs_peer[1], MSUB_C_IWANT, NULL, "mm", 0);
  for (size_t i = 0; i < w.n_sent; i++)
    if (w.sent[i].n > data) size = w.sent[i].n;
  done();
  return size;
}

Test(gossipsub, G_31_iwant_bytes) {
  enum { DATA = 1000, MANY = 10 };
  const size_t one = rpc_size(DATA);
  cr_assert(one > DATA && one < DATA + 100, "%zu", one);
  for (int more = -1; more <= 1; more++)
    for (unsigned parity = 0; parity < 2; parity++) {
      gs_init();
      if (parity) gs_parity();
      o.mesh = (msub_gossipsub_mesh){ .d = 2, .dlo = 0, .dhi = 12, .dlazy = 6, .gossip_factor_ppm = 250000 };
      cr_assert_eq(o.iwant.bytes, parity ? 0 : 32u << 20);
      o.iwant.bytes = (size_t)((long)(4 * one) + more);
      o.history = 8; /* as long as this goes on */
      gs_start();
      msub_topic t = world_join(&w, "t", &gs_ids);
      gs_crowd(NULL, 1, 2, V12, false, "t");
      for (unsigned i = 0; i < MANY; i++) {
        char id[8];
        snprintf(id, sizeof id, "m%u", i);
        gs_publish(t, id, DATA);
      }
      gs_heartbeat();
      world_clear(&w);
      /* over several RPCs; what does not fit is ignored and counted, nobody is blamed */
      const size_t fit = parity ? MANY : more < 0 ? 3 : 4;
      for (unsigned i = 0; i < MANY; i += 2) gs_from(gs_peer[1], MSUB_C_IWANT, NULL, ids("m", i, 2), 0);
      cr_assert_eq(gs_sent_messages(1, NULL), fit);
      cr_assert_eq(n()->asks_over_bytes, MANY - fit);
      cr_assert(n()->blamed == 0 && w.n_disconnected == 0);
      gs_from(gs_peer[2], MSUB_C_IWANT, NULL, ids("m", 0, 3), 0);
      cr_assert_eq(gs_sent_messages(2, NULL), 3, "each peer by itself");
      if (parity) {
        done();
        continue;
      }
      /* a new connection is no new budget */
      msub_session_down(w.e, gs_peer[1], &w.now);
      gs_crowd(NULL, 1, 1, V12, false, "t");
      world_clear(&w);
      gs_from(gs_peer[1], MSUB_C_IWANT, NULL, "m9", 0);
      cr_assert_eq(gs_sent_messages(1, NULL), 0);
      /* a refused ask was none of the three: the message is had three times later on */
      for (unsigned k = 0; k < 4; k++) {
        gs_heartbeat();
        world_clear(&w);
        gs_from(gs_peer[1], MSUB_C_IWANT, NULL, "m9", 0);
        cr_assert_eq(gs_sent_messages(1, "m9"), k < 3, "%u", k);
      }
      done();
    }
  /* whatever its size, the first goes */
  gs_init();
  o.iwant.bytes = 1;
  o.mesh = (msub_gossipsub_mesh){ .d = 2, .dlo = 0, .dhi = 12, .dlazy = 6 };
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 1, V12, false, "t");
  gs_publish(t, "m1", 100000);
  gs_publish(t, "m2", 10);
  gs_heartbeat();
  world_clear(&w);
  gs_from(gs_peer[1], MSUB_C_IWANT, NULL, "m1 m2", 0);
  cr_assert(gs_sent_messages(1, "m1") == 1 && gs_sent_messages(1, "m2") == 0);
  done();
}

/* How often the message is served after `wait` heartbeats. All six peers ask. */
static size_t served_when(bool only, bool parity, unsigned wait, bool offer) {
  gs_init();
  if (parity) gs_parity();
  o.iwant.advertised_only = only;
  o.mesh = (msub_gossipsub_mesh){ .d = 2, .dlo = 0, .dhi = 12, .dlazy = 2, .gossip_factor_ppm = 0 };
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 6, V12, false, "t");
  gs_heartbeat();
  gs_publish(t, "m", 2);
  world_clear(&w);
  for (unsigned i = 0; i < wait; i++) gs_heartbeat();
  size_t told = 0, served = 0;
  msub_bytes id = msub_str("m");
  if (offer) cr_assert_eq(msub_offer(w.e, gs_peer[6], t, &id, 1, &w.now), MSUB_OK);
  bool is_told[7] = { false };
  for (uint8_t p = 1; p <= 6; p++) told += is_told[p] = gs_sent_ids(MSUB_C_IHAVE, p, "m") > 0;
  world_clear(&w);
  for (uint8_t p = 1; p <= 6; p++) {
    gs_from(gs_peer[p], MSUB_C_IWANT, NULL, "m", 0);
    size_t got = gs_sent_messages(p, "m");
    if (only && !parity && wait < 5) cr_assert_eq(got, is_told[p], "peer %u after %u", p, wait);
    served += got;
  }
  if (only && !parity) {
    cr_assert_eq(n()->asks_unadvertised, wait < 5 ? 6 - told : 0);
    cr_assert(n()->blamed == 0);
  } else cr_assert_eq(n()->asks_unadvertised, 0);
  if (wait == 1 && !offer) cr_assert_eq(told, 2);
  done();
  return served;
}
Test(gossipsub, G_31_iwant_unadvertised) {
  cr_assert_eq(served_when(true, false, 0, false), 0, "nobody was told yet");
  cr_assert_eq(served_when(true, false, 0, true), 1);
  cr_assert_eq(served_when(true, false, 1, false), 2);
  for (unsigned wait = 2; wait < 5; wait++) cr_assert(served_when(true, false, wait, false) >= 2, "%u", wait); /* as long as the history holds it */
  cr_assert_eq(served_when(true, false, 6, false), 0);
  cr_assert_eq(served_when(false, false, 0, false), 6, "off");
  cr_assert_eq(served_when(true, true, 0, false), 6, "parity");
  /* gossip of another time or topic is none of this message */
  gs_init();
  o.iwant.advertised_only = true;
  o.mesh = (msub_gossipsub_mesh){ .d = 2, .dlo = 0, .dhi = 12, .dlazy = 6 };
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids), u = world_join(&w, "u", &gs_ids);
  gs_crowd(NULL, 1, 1, V12, false, "t");
  gs_publish(t, "old", 3);
  gs_heartbeat();
  gs_publish(t, "new", 3);
  gs_publish(u, "other", 5);
  world_clear(&w);
  gs_from(gs_peer[1], MSUB_C_IWANT, NULL, "old new other", 0);
  cr_assert(gs_sent_messages(1, "old") == 1 && gs_sent_messages(1, NULL) == 1);
  /* what is known of advertisements goes with the history */
  size_t busy = w.mem.live_bytes;
  for (unsigned i = 0; i < 12; i++) gs_heartbeat();
  cr_assert(w.mem.live_bytes < busy);
  gs_from(gs_peer[1], MSUB_C_IWANT, NULL, "new", 0);
  cr_assert_eq(gs_sent_messages(1, "new"), 0);
  done();
}

/* Identities that know the ids (they had the messages from others) ask for all of them, again and again. */
Test(gossipsub, A_09_iwant_amplification) {
  enum { IDENTITIES = 20, MANY = 10, SIZE = 100000 };
  for (unsigned safe = 0; safe < 2; safe++) {
    gs_init();
    cr_assert(o.iwant.advertised_only, "the default");
    if (!safe) o.iwant.advertised_only = false;
    o.mesh = (msub_gossipsub_mesh){ .d = 2, .dlo = 0, .dhi = 12, .dlazy = 2 };
    gs_start();
    msub_topic t = world_join(&w, "t", &gs_ids);
    gs_crowd(NULL, 1, 1, V12, false, "t");           /* honest */
    gs_crowd(NULL, 10, IDENTITIES, V12, false, NULL); /* hears no gossip, as it is in no topic */
    for (unsigned i = 0; i < MANY; i++) {
      char id[8];
      snprintf(id, sizeof id, "m%u", i);
      gs_publish(t, id, SIZE);
    }
    gs_heartbeat();
    world_clear(&w);
    for (unsigned k = 0; k < 5; k++)
      for (uint8_t p = 10; p < 10 + IDENTITIES; p++) gs_from(gs_peer[p], MSUB_C_IWANT, NULL, ids("m", 0, MANY), 0);
    if (safe) {
      cr_assert(w.n_sent == 0 && n()->served == 0, "not a byte");
      cr_assert(n()->asks_unadvertised == 5u * IDENTITIES * MANY && n()->blamed == 0);
    } else cr_assert_eq(n()->served, 3u * IDENTITIES * MANY, "what the rule is against");
    gs_from(gs_peer[1], MSUB_C_IWANT, NULL, ids("m", 0, MANY), 0);
    cr_assert_eq(gs_sent_messages(1, NULL), MANY, "whoever was told is served");
    done();
  }
  /* the profiles are the reference's */
  for (unsigned v10 = 0; v10 < 2; v10++) {
    msub_gossipsub_opts p;
    (v10 ? msub_gossipsub_opts_v10 : msub_gossipsub_opts_go_parity)(&p);
    cr_assert(!p.iwant.advertised_only && p.iwant.bytes == 0);
  }
}

/* What was said on one connection holds on the next, and for no other peer; what is evicted is not there, and nobody's fault. */
Test(gossipsub, advertised_and_gone) {
  for (uint8_t history = 5; history < 12; history += 2) { /* up to eight are kept with the link */
    gs_init();
    o.mesh = (msub_gossipsub_mesh){ .d = 2, .dlo = 0, .dhi = 12, .dlazy = 6 };
    o.cache_bytes = 20000;
    o.history = history;
    gs_start();
    msub_topic t = world_join(&w, "t", &gs_ids);
    gs_crowd(NULL, 1, 1, V12, false, "t");
    char id[8];
    for (unsigned i = 0; i < history; i++) {
      snprintf(id, sizeof id, "m%u", i);
      gs_publish(t, id, 10);
    }
    gs_heartbeat();
    for (unsigned later = 0; later < history - 1u; later++) { /* as long as it is in the cache */
      if (later == 1) world_subscribe(&w, gs_peer[1], "t", true);
      if (later == 2) world_subscribe(&w, gs_peer[1], "t", false);
      else msub_session_down(w.e, gs_peer[1], &w.now);
      gs_up(2, V12, false); /* takes the place of the one that left */
      if (later != 2) gs_up(1, V12, false); /* and is in no topic now */
      world_clear(&w);
      snprintf(id, sizeof id, "m%u", later);
      gs_from(gs_peer[1], MSUB_C_IWANT, NULL, id, 0);
      gs_from(gs_peer[2], MSUB_C_IWANT, NULL, id, 0);
      cr_assert_eq(gs_sent_messages(1, id), 1, "history %u, later %u", history, later);
      cr_assert_eq(gs_sent_messages(2, NULL), 0, "history %u, later %u", history, later);
      msub_session_down(w.e, gs_peer[2], &w.now);
      gs_heartbeat();
    }
    cr_assert_eq(n()->asks_unadvertised, history - 1u);
    done();
  }

  gs_init();
  o.mesh = (msub_gossipsub_mesh){ .d = 2, .dlo = 0, .dhi = 12, .dlazy = 6 };
  o.cache_bytes = 20000;
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 1, V12, false, "t");
  gs_publish(t, "old", 9000);
  gs_heartbeat();
  cr_assert_eq(gs_sent_ids(MSUB_C_IHAVE, 1, "old"), 1);
  gs_publish(t, "new", 9000);
  gs_publish(t, "newer", 9000);
  world_clear(&w);
  gs_from(gs_peer[1], MSUB_C_IWANT, NULL, "old", 0);
  cr_assert(gs_sent_messages(1, NULL) == 0 && n()->cache_evicted > 0);
  cr_assert(n()->asks_unadvertised == 0 && n()->blamed == 0 && w.n_disconnected == 0);
  done();
}

/* One message is asked of three peers at a time, however many have it; of the next one when these have not answered in time. */
Test(gossipsub, asks_for_one_id) {
  for (unsigned most = 1; most <= 4; most++) {
    gs_init();
    o.iwant_concurrent = (uint8_t)most;
    o.mesh = (msub_gossipsub_mesh){ .d = 2, .dlo = 0, .dhi = 12, .dlazy = 6 };
    gs_start();
    world_join(&w, "t", &gs_ids);
    gs_crowd(NULL, 1, 10, V12, false, "t");
    world_clear(&w);
    size_t sum = 0;
    for (uint8_t p = 1; p <= 10; p++) {
      ihave(p, "x");
      sum += asked(p);
    }
    cr_assert_eq(sum, most);
    gs_until(3500);
    world_clear(&w);
    sum = 0;
    for (uint8_t p = 1; p <= 10; p++) {
      ihave(p, "x");
      sum += asked(p);
    }
    cr_assert_eq(sum, most);
    done();
  }
}

Test(gossipsub, idontwant_out) {
  for (unsigned parity = 0; parity < 2; parity++) {
    msub_topic t = quiet(parity, 0);
    gs_crowd(NULL, 1, 2, V11, false, "t");
    gs_crowd(NULL, 3, 2, V12, false, "t");
    gs_crowd(NULL, 5, 1, V12, false, "t"); /* the source */
    gs_crowd(NULL, 6, 1, V12, false, "t"); /* not in the mesh */
    for (uint8_t p = 1; p <= 5; p++) gs_from(gs_peer[p], MSUB_C_GRAFT, "t", NULL, 0);
    world_clear(&w);
    gs_message(gs_peer[5], "t", "m1", 1023);
    cr_assert_eq(gs_sent(MSUB_C_IDONTWANT, 0, NULL), 0);
    world_clear(&w);
    gs_message(gs_peer[5], "t", "m2", 1024);
    cr_assert(gs_sent_ids(MSUB_C_IDONTWANT, 3, "m2") == 1 && gs_sent_ids(MSUB_C_IDONTWANT, 4, "m2") == 1 && gs_sent(MSUB_C_IDONTWANT, 0, NULL) == 2);
    cr_assert(w.sent[0].lane == MSUB_LANE_CONTROL && gs_sent_messages(0, "m2") == 4);
    cr_assert(w.sent[0].link == 3 && w.sent[1].link == 4 && w.sent[2].lane == MSUB_LANE_FORWARD, "before the message");
    world_clear(&w);
    gs_message(gs_peer[5], "t", "m2", 1024);
    cr_assert_eq(w.n_sent, 0, "not of a duplicate");
    gs_message(gs_peer[6], "t", "m3", 2000);
    cr_assert_eq(gs_sent(MSUB_C_IDONTWANT, 0, NULL), 3);
    world_clear(&w);
    gs_publish(t, "m4", 5000);
    cr_assert(gs_sent(MSUB_C_IDONTWANT, 0, NULL) == 3 && w.sent[0].lane == MSUB_LANE_CONTROL, "own ones too");
    done();
  }
}

Test(gossipsub, idontwant_in) {
  for (unsigned parity = 0; parity < 2; parity++) {
    msub_topic t = quiet(parity, 3);
    for (uint8_t p = 1; p <= 2; p++) gs_from(gs_peer[p], MSUB_C_GRAFT, "t", NULL, 0);
    gs_until(150);
    gs_from(gs_peer[1], MSUB_C_IDONTWANT, NULL, "m1 m2 x", 0);
    gs_message(gs_peer[3], "t", "m1", 9);
    cr_assert(gs_sent_messages(1, "m1") == 0 && gs_sent_messages(2, "m1") == 1);
    gs_until(3050);
    gs_publish(t, "m2", 9);
    cr_assert(gs_sent_messages(1, "m2") == 0 && gs_sent_messages(2, "m2") == 1, "for three heartbeats");
    gs_until(3150);
    gs_publish(t, "x", 9);
    cr_assert_eq(gs_sent_messages(1, "x"), 1);
    /* ten ids of an RPC, over all its entries */
    gs_from(gs_peer[1], MSUB_C_IDONTWANT, NULL, ids("n", 0, 11), 0);
    for (unsigned i = 0; i < 11; i++) {
      char id[8];
      snprintf(id, sizeof id, "n%u", i);
      gs_publish(t, id, 9);
      cr_assert_eq(gs_sent_messages(1, id), i == 10);
    }
    done();
  }
  /* of whom it is asked */
  for (unsigned parity = 0; parity < 2; parity++) {
    gs_init();
    if (parity) gs_parity();
    msub_peer_id direct = world_peer_id(2);
    msub_bytes list = msub_peer_id_bytes(&direct);
    o.direct = &list;
    o.n_direct = 1;
    o.mesh.flood_publish = true;
    gs_start();
    msub_topic t = world_join(&w, "t", &gs_ids);
    gs_crowd(NULL, 1, 2, V12, false, "t");
    gs_crowd(NULL, 4, 2, V12, false, "t");
    for (uint8_t p = 1; p <= 5; p++)
      if (p != 3) gs_from(gs_peer[p], MSUB_C_IDONTWANT, NULL, "m", 0);
    gs_publish(t, "m", 1);
    cr_assert_eq(gs_sent_messages(0, "m"), parity ? 4 : 0, "the reference floods its own all the same");
    gs_from(gs_peer[2], MSUB_C_IDONTWANT, NULL, "n", 0);
    gs_message(gs_peer[1], "t", "n", 1);
    cr_assert_eq(gs_sent_messages(2, "n"), parity ? 1 : 0, "and direct peers");
    done();
  }
  /* a copy that waits in the queue is taken back */
  msub_topic t = quiet(false, 2);
  for (uint8_t p = 1; p <= 2; p++) gs_from(gs_peer[p], MSUB_C_GRAFT, "t", NULL, 0);
  world_clear(&w);
  gs_publish(t, "m", 9);
  cr_assert_eq(gs_sent_messages(1, "m"), 1);
  gs_from(gs_peer[1], MSUB_C_IDONTWANT, NULL, "m", 0);
  cr_assert(gs_sent_messages(1, "m") == 0 && gs_sent_messages(2, "m") == 1 && msub_count(w.e)->withdrawn == 1);
  done();
}

Test(gossipsub, idontwant_flood) {
  gs_init();
  o.max_idontwant_messages = 4;
  gs_start();
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 1, V12, false, "t");
  gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
  char id[8];
  gs_from(gs_peer[1], MSUB_C_IDONTWANT, NULL, "", 0);
  for (unsigned i = 0; i < 4; i++) {
    snprintf(id, sizeof id, "m%u", i);
    gs_from(gs_peer[1], MSUB_C_IDONTWANT, NULL, id, 0);
  }
  for (unsigned i = 0; i < 4; i++) {
    snprintf(id, sizeof id, "m%u", i);
    gs_publish(t, id, 9);
  }
  cr_assert(gs_sent_messages(1, NULL) == 1 && gs_sent_messages(1, "m3") == 1, "the fifth RPC of a heartbeat is ignored");
  gs_heartbeat();
  gs_from(gs_peer[1], MSUB_C_IDONTWANT, NULL, "n", 0);
  gs_publish(t, "n", 9);
  cr_assert_eq(gs_sent_messages(1, "n"), 0);
  done();

  /* 200 peers, 1,000 RPCs each and heartbeat: bounded, and gone when it is over */
  gs_begin(false);
  world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 200, V12, false, NULL);
  gs_from(gs_peer[1], MSUB_C_IDONTWANT, NULL, "warm", 0); /* the engine keeps its room for control parts */
  gs_until(5000);
  size_t idle = w.mem.live_bytes;
  for (unsigned i = 0; i < 200 * 450; i++) gs_from(gs_peer[1 + i % 200], MSUB_C_IDONTWANT, NULL, ids("z", i * 10, 10), 0);
  cr_assert(w.mem.live_bytes - idle < 5u << 20, "%zu", w.mem.live_bytes - idle);
  gs_until(10000);
  cr_assert(w.mem.live_bytes < idle + 4096, "%zu", w.mem.live_bytes - idle);
  done();
}

/* What floods of the other kinds leave behind. */
Test(gossipsub, floods_are_bounded) {
  gs_begin(false);
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 100, V12, false, "t");
  for (uint8_t p = 1; p <= 100; p++) gs_from(gs_peer[p], MSUB_C_IHAVE, "t", "warm", 0);
  gs_until(5000);
  world_clear(&w);
  size_t idle = w.mem.live_bytes;
  for (unsigned round = 0; round < 10; round++)
    for (uint8_t p = 1; p <= 100; p++) {
      gs_from(gs_peer[p], MSUB_C_IHAVE, "t", ids("x", (round * 100 + p) * 300, 300), 0);
      world_clear(&w);
    }
  cr_assert(w.mem.live_bytes - idle < 2u << 20, "%zu", w.mem.live_bytes - idle);
  for (unsigned i = 0; i < 3000; i++) {
    gs_from(gs_peer[1 + i % 100], MSUB_C_PRUNE, "t", NULL, i);
    gs_from(gs_peer[1 + i % 100], MSUB_C_GRAFT, "t", NULL, 0);
    gs_from(gs_peer[1 + i % 100], MSUB_C_IWANT, NULL, ids("nothing", 0, 100), 0);
    world_clear(&w);
  }
  for (uint8_t p = 1; p <= 100; p++) msub_session_down(w.e, gs_peer[p], &w.now);
  gs_until(20000);
  msub_leave(w.e, t, &w.now);
  gs_until(4000 * 1000);
  msub_usage u;
  msub_usage_of(w.e, &u);
  cr_assert(u.sessions == 0 && u.topics == 0 && u.peers == 1 && u.names == 0, "%zu peers, %zu names", u.peers, u.names);
  done();
}

Test(gossipsub, peer_exchange) {
  for (unsigned parity = 0; parity < 2; parity++) {
    gs_init();
    if (parity) gs_parity();
    o.peer_exchange = true;
    gs_start();
    world_join(&w, "t", &gs_ids);
    gs_crowd(NULL, 1, 12, V11, false, "t");
    gs_crowd(NULL, 20, 8, V11, false, "t");
    gs_crowd(NULL, 30, 1, FLOOD, false, "t");
    gs_crowd(NULL, 40, 4, V11, false, "t");
    gs_crowd(NULL, 50, 1, V10, false, "t");
    for (uint8_t p = 1; p <= 12; p++) gs_from(gs_peer[p], MSUB_C_GRAFT, "t", NULL, 0);
    world_clear(&w);
    size_t px;
    gs_from(gs_peer[40], MSUB_C_GRAFT, "t", NULL, 0);
    cr_assert(gs_sent_backoff(40, "t", &px) == 60 && px == 16);
    gs_from(gs_peer[50], MSUB_C_GRAFT, "t", NULL, 0);
    cr_assert(gs_sent_backoff(50, "t", &px) == 0 && px == 0, "1.0 knows none");
    /* an unknown topic in the RPC takes it from the others, as the reference does it */
    uint8_t both[64];
    msub_ctl_entry e[2] = { { .kind = MSUB_C_GRAFT }, { .kind = MSUB_C_GRAFT } };
    msub_bytes names[2] = { msub_str("t"), msub_str("nowhere") };
    world_receive(&w, gs_peer[41], (msub_bytes){ both, msub_ctl_encode(e, names, 2, both, sizeof both) });
    cr_assert(gs_sent_backoff(41, "t", &px) == 60 && px == (parity ? 0 : 16));
    gs_from(gs_peer[40], MSUB_C_GRAFT, "t", NULL, 0);
    cr_assert(gs_sent_backoff(40, "t", &px) == 60 && px == 0, "not while in backoff");
    /* in the heartbeat's PRUNEs */
    world_clear(&w);
    gs_heartbeat();
    uint8_t who[256];
    size_t n = gs_who(MSUB_C_PRUNE, "t", who);
    cr_assert_eq(n, 6);
    for (size_t i = 0; i < n; i++) cr_assert(gs_sent_backoff(who[i], "t", &px) == 60 && px == 16);
    cr_assert_eq(gs_sent_rpcs(who[0]), 1);
    done();
  }
}

static void prune_with(msub_session s, const msub_px *px, uint16_t n) {
  static uint8_t buf[1 << 14];
  msub_ctl_entry e = { .kind = MSUB_C_PRUNE, .backoff_s = 30, .px = px, .n_px = n };
  msub_bytes name = msub_str("t");
  world_receive(&w, s, (msub_bytes){ buf, msub_ctl_encode(&e, &name, 1, buf, sizeof buf) });
}
Test(gossipsub, peer_exchange_received) {
  msub_topic t = quiet(false, 2);
  gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
  msub_px px[24];
  uint8_t name[24][4];
  msub_peer_id known = world_peer_id(2);
  for (uint8_t i = 0; i < 24; i++) {
    memcpy(name[i], "\x00\x02q", 3);
    name[i][3] = i;
    px[i] = (msub_px){ { name[i], 4 }, { (const uint8_t *)"rec", i % 2 ? 3 : 0 } };
    if (i % 2 == 0) px[i].record.p = NULL;
  }
  px[0].peer_id = msub_peer_id_bytes(&known);
  prune_with(gs_peer[1], px, 4);
  cr_assert(!gs_in_mesh(t, 1) && w.n_hints == 3 && w.hints[0].record_n == 3 && w.hints[1].record_n == 0, "known ones are left out");
  prune_with(gs_peer[2], px + 1, 20);
  cr_assert_eq(w.n_hints, 3 + 16, "sixteen of a PRUNE");
  for (int i = 0; i < 20; i++) prune_with(gs_peer[2], px + 1, 20);
  cr_assert_eq(w.n_hints, 128, "of a heartbeat");
  gs_heartbeat();
  prune_with(gs_peer[2], px + 1, 20);
  cr_assert_eq(w.n_hints, 144);
  done();
}

/* ---- what was dropped ---- */

static uint64_t full_link; /* this peer's queue takes nothing */
static int (*real_send)(void *, uint64_t, msub_session, const msub_rpc *, msub_lane);
static unsigned drops;
static int picky(void *ud, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  if (link != full_link) return real_send(ud, link, s, rpc, lane);
  drops++;
  return MSUB_ERR_LIMIT;
}
static msub_topic full_queue(bool parity) {
  gs_init();
  if (parity) gs_parity();
  real_send = w.ops.send;
  w.ops.send = picky;
  gs_start();
  full_link = 0;
  msub_topic t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 1, V11, false, "t");
  full_link = 1;
  drops = 0;
  world_clear(&w);
  return t;
}
Test(gossipsub, dropped_graft) {
  for (unsigned parity = 0; parity < 2; parity++) {
    msub_topic t = full_queue(parity);
    gs_until(150);
    cr_assert(gs_in_mesh(t, 1) && drops == (parity ? 2 : 1), "the reference tries twice in the first heartbeat");
    gs_until(1150);
    cr_assert_eq(drops, parity ? 3 : 2);
    full_link = 0;
    gs_until(2150);
    cr_assert(gs_sent(MSUB_C_GRAFT, 1, "t") == 1 && gs_sent_rpcs(1) == 1);
    gs_until(5150);
    cr_assert_eq(gs_sent_rpcs(1), 1, "once");
    done();
    /* before the next thing that goes there */
    t = full_queue(parity);
    gs_until(150);
    full_link = 0;
    gs_publish(t, "m", 1);
    cr_assert(w.n_sent == 2 && gs_sent(MSUB_C_GRAFT, 1, "t") == 1 && w.sent[0].lane == MSUB_LANE_CONTROL && w.sent[1].lane == MSUB_LANE_OWN);
    done();
    /* no longer true */
    t = full_queue(parity);
    gs_until(150);
    gs_from(gs_peer[1], MSUB_C_PRUNE, "t", NULL, 30);
    full_link = 0;
    gs_from(gs_peer[1], MSUB_C_IHAVE, "t", "x", 0);
    cr_assert(gs_sent(MSUB_C_GRAFT, 1, "t") == 0 && gs_sent(MSUB_C_IWANT, 1, NULL) == 1);
    gs_until(2150);
    cr_assert_eq(gs_sent(MSUB_C_GRAFT, 1, "t"), 0);
    done();
    /* its session ends */
    full_queue(parity);
    gs_until(150);
    msub_session_down(w.e, gs_peer[1], &w.now);
    gs_until(2150);
    done();
  }
}
Test(gossipsub, dropped_prune) {
  for (unsigned parity = 0; parity < 2; parity++) {
    msub_topic t = full_queue(parity);
    full_link = 0;
    gs_until(150);
    cr_assert(gs_in_mesh(t, 1));
    full_link = 1;
    world_clear(&w);
    msub_leave(w.e, t, &w.now);
    full_link = 0;
    gs_until(1150);
    cr_assert(gs_sent(MSUB_C_PRUNE, 1, "t") == 1 && gs_sent_backoff(1, "t", NULL) == 10);
    /* it is in the mesh again: no PRUNE any more, except that the reference does not look */
    t = world_join(&w, "t", &gs_ids);
    gs_until(30150);
    cr_assert(gs_in_mesh(t, 1));
    full_link = 1;
    msub_leave(w.e, t, &w.now);
    t = world_join(&w, "t", &gs_ids);
    w.now.mono_ns += 10500 * MS;
    full_link = 0;
    world_clear(&w);
    gs_from(gs_peer[1], MSUB_C_GRAFT, "t", NULL, 0);
    cr_assert(gs_in_mesh(t, 1));
    gs_until(w.now.mono_ns / MS);
    cr_assert_eq(gs_sent(MSUB_C_PRUNE, 1, "t"), parity ? 1 : 0);
    done();
  }
}
/* Each drop is remembered once, the table is bounded. */
Test(gossipsub, many_drops) {
  gs_begin(false);
  char name[16];
  for (unsigned i = 0; i < 60; i++) {
    snprintf(name, sizeof name, "t%u", i);
    world_join(&w, name, &gs_ids);
  }
  gs_crowd(NULL, 1, 100, V12, false, NULL);
  size_t idle = w.mem.live_bytes;
  w.refuse = true;
  for (uint8_t p = 1; p <= 100; p++)
    for (unsigned i = 0; i < 60; i++) {
      snprintf(name, sizeof name, "t%u", i);
      gs_from(gs_peer[p], MSUB_C_GRAFT, name, NULL, 0);
      gs_from(gs_peer[p], MSUB_C_GRAFT, name, NULL, 0);
    }
  /* twelve of a hundred are in; what the others were answered is kept, up to 4,096 */
  cr_assert(w.mem.live_bytes < idle + (1u << 20), "%zu", w.mem.live_bytes - idle);
  w.refuse = false;
  world_clear(&w);
  gs_heartbeat();
  cr_assert_eq(gs_sent(MSUB_C_PRUNE, 0, NULL), 4096 + 60 * 6, "%zu", gs_sent(MSUB_C_PRUNE, 0, NULL));
  cr_assert(gs_sent_rpcs(0) <= 200, "one RPC a peer, and one of the heartbeat's own: %zu", gs_sent_rpcs(0));
  w.refuse = true;
  for (uint8_t p = 1; p <= 100; p++) gs_from(gs_peer[p], MSUB_C_GRAFT, "t0", NULL, 0);
  for (uint8_t p = 1; p <= 100; p++) msub_session_down(w.e, gs_peer[p], &w.now);
  done();
}
