/* gossipsub inside a router that forwards every operation by hand: what it does on the wire it does as
 * without one, and does not when the operation is kept from it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "forwarding.h"
#include "gossipsub_world.h"

static msub_topic t;

/* Peers 1 and 2 come into the mesh at the join. */
static void two_in_mesh(void) {
  gs_crowd(NULL, 1, 2, V12, false, "t");
  t = world_join(&w, "t", &gs_ids);
}
/* All that is due in three heartbeats, however the router tells when. */
static void heartbeats(void) {
  for (unsigned i = 0; i < 3; i++) {
    w.now.mono_ns += 1000 * MS;
    cr_assert_eq(msub_advance(w.e, &w.now), MSUB_OK);
  }
}

/* ---- each: sets its scene, and says whether the operation did what gossipsub does in it ---- */

static bool grafts_at_join(void) {
  two_in_mesh();
  return gs_sent(MSUB_C_GRAFT, 1, "t") == 1 && gs_sent(MSUB_C_GRAFT, 2, "t") == 1;
}
static bool prunes_at_leave(void) {
  two_in_mesh();
  world_clear(&w);
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  cr_assert_eq(gs_sent(MSUB_C_UNSUB, 0, "t"), 2);
  return gs_sent(MSUB_C_PRUNE, 1, "t") == 1 && gs_sent(MSUB_C_PRUNE, 2, "t") == 1;
}
static bool grafts_in_a_heartbeat(void) {
  t = world_join(&w, "t", &gs_ids);
  gs_crowd(NULL, 1, 2, V12, false, "t");
  world_clear(&w);
  heartbeats();
  return gs_sent(MSUB_C_GRAFT, 1, "t") == 1 && gs_sent(MSUB_C_GRAFT, 2, "t") == 1;
}
static bool tells_when_a_heartbeat_is_due(void) {
  return msub_next_deadline(w.e) == w.now.mono_ns + o.heartbeat_delay_ns;
}
static bool says_idontwant(void) {
  two_in_mesh();
  world_clear(&w);
  gs_message(gs_peer[1], "t", "m", 2000);
  cr_assert_eq(w.n_delivered, 1);
  return gs_sent_ids(MSUB_C_IDONTWANT, 2, "m") == 1 && gs_sent(MSUB_C_IDONTWANT, 1, NULL) == 0;
}
static bool forwards_a_message(void) {
  two_in_mesh();
  world_clear(&w);
  gs_message(gs_peer[1], "t", "m", 10);
  cr_assert_eq(w.n_delivered, 1);
  return gs_sent_messages(2, "m") == 1;
}
static bool answers_control(void) {
  two_in_mesh();
  world_clear(&w);
  gs_from(gs_peer[1], MSUB_C_IHAVE, "t", "x", 0);
  return gs_sent_ids(MSUB_C_IWANT, 1, "x") == 1;
}
static bool asks(void) {
  two_in_mesh();
  world_clear(&w);
  msub_bytes id = msub_str("x");
  int rc = msub_ask(w.e, gs_peer[2], t, &id, 1, &w.now);
  cr_assert_eq(rc, w.n_sent ? MSUB_OK : MSUB_ERR_UNSUPPORTED);
  return w.n_sent == 1 && gs_sent_ids(MSUB_C_IWANT, 2, "x") == 1;
}
static bool offers(void) {
  two_in_mesh();
  world_clear(&w);
  msub_bytes id = msub_str("x");
  int rc = msub_offer(w.e, gs_peer[2], t, &id, 1, &w.now);
  cr_assert_eq(rc, w.n_sent ? MSUB_OK : MSUB_ERR_UNSUPPORTED);
  return w.n_sent == 1 && gs_sent(MSUB_C_IHAVE, 2, "t") == 1 && gs_sent_ids(MSUB_C_IHAVE, 2, "x") == 1;
}
static bool grafts_again_what_was_dropped(void) {
  w.refuse = true;
  two_in_mesh();
  w.refuse = false;
  cr_assert(w.n_sent == 0 && msub_count(w.e)->refused > 2);
  heartbeats();
  return gs_sent(MSUB_C_GRAFT, 1, "t") == 1 && gs_sent(MSUB_C_GRAFT, 2, "t") == 1;
}
/* Peers that are not in the mesh do not count. */
static bool is_ready_by_mesh(void) {
  two_in_mesh();
  gs_from(gs_peer[1], MSUB_C_PRUNE, "t", NULL, 60);
  cr_assert(msub_ready(w.e, t, 1));
  return !msub_ready(w.e, t, 2);
}
static bool shows_roles(void) {
  two_in_mesh();
  return gs_count(t, MSUB_ROLE_MESH) == 2 && msub_snapshot(w.e, t, NULL, 0) == 2;
}
static bool remembers_a_backoff(void) {
  two_in_mesh();
  gs_from(gs_peer[1], MSUB_C_PRUNE, "t", NULL, 60);
  cr_assert_eq(msub_session_down(w.e, gs_peer[1], &w.now), MSUB_OK);
  gs_crowd(NULL, 1, 1, V12, false, "t");
  bool backed_off = gs_backoff(t, 1) != UINT64_MAX;
  world_clear(&w);
  heartbeats();
  cr_assert_eq(gs_sent(MSUB_C_GRAFT, 1, "t"), backed_off ? 0 : 1);
  return backed_off;
}
static bool sees_what_was_agreed(void) {
  gs_crowd(NULL, 1, 1, V12, false, "t");
  cr_assert_eq(msub_session_offer(w.e, gs_peer[1], FLOOD, 1, &w.now), MSUB_OK);
  t = world_join(&w, "t", &gs_ids);
  cr_assert_eq(msub_session_agreed(w.e, gs_peer[1], &w.now), MSUB_OK);
  world_clear(&w);
  heartbeats();
  cr_assert_eq(gs_publish(t, "m", 1), MSUB_OK);
  return gs_sent(MSUB_C_GRAFT, 1, "t") == 0 && gs_sent_messages(1, "m") == 1;
}
static bool knows_what_a_peer_speaks(void) {
  gs_crowd(NULL, 1, 1, V12, true, "t");
  t = world_join(&w, "t", &gs_ids);
  return gs_sent(MSUB_C_GRAFT, 1, "t") == 1 && gs_role(t, 1) == (MSUB_ROLE_MESH | MSUB_ROLE_OUTBOUND);
}
static bool takes_commands(void) {
  two_in_mesh();
  msub_peer_id id = world_peer_id(1);
  int rc = msub_command(w.e, 0, MSUB_GOSSIPSUB_ADD_DIRECT, id.bytes, id.n, &w.now);
  cr_assert(rc == MSUB_OK || rc == MSUB_ERR_UNSUPPORTED);
  return rc == MSUB_OK && gs_role(t, 1) & MSUB_ROLE_DIRECT;
}

/* The gater. The verdict is the data's first letter. */
static msub_verdict judge(void *ud, const msub_msg *m, msub_peer from, msub_token q, msub_job *job) {
  (void)ud, (void)from, (void)q, (void)job;
  uint8_t first = msub_data(m).p[0];
  return first == 'r' ? MSUB_REJECT : first == 't' ? MSUB_THROTTLED : MSUB_ACCEPT;
}
static void two_judged(void) {
  two_in_mesh();
  cr_assert_eq(msub_validator(w.e, t, judge, NULL), MSUB_OK);
}
static msub_gossipsub_gate gate(uint8_t seed) {
  msub_peer_id id = world_peer_id(seed);
  msub_gossipsub_gate g = { .peer = msub_peer_id_bytes(&id) }, *to = &g;
  cr_assert_eq(msub_command(w.e, 0, MSUB_GOSSIPSUB_GATE, &to, sizeof to, &w.now), MSUB_OK);
  return g;
}
static void says(uint8_t seed, char what, unsigned times) {
  static unsigned number;
  char id[16];
  for (; times; times--) {
    snprintf(id, sizeof id, "%c%u", what, number++);
    gs_message(gs_peer[seed], "t", id, 9);
  }
}
static bool hears_by_lot(void) {
  two_judged();
  says(1, 't', 40);
  says(2, 'r', 40);
  cr_assert(gate(2).odds < 0.1);
  return msub_count(w.e)->unheard > 20;
}
static bool charges_for_verdicts(void) {
  two_judged();
  says(2, 'r', 3);
  return gate(2).rejected > 2.9;
}
static bool charges_for_copies(void) {
  two_in_mesh();
  for (unsigned i = 0; i < 3; i++) gs_message(gs_peer[2], "t", "m", 9);
  return gate(2).duplicates > 1.9;
}
static bool counts_by_address(void) {
  two_judged();
  uint8_t ip[4] = { 192, 0, 2, 1 };
  for (uint8_t i = 1; i <= 2; i++) cr_assert_eq(msub_session_address(w.e, gs_peer[i], (msub_bytes){ ip, 4 }, &w.now), MSUB_OK);
  says(2, 'r', 1);
  return gate(1).rejected > 0.9 && gate(1).sessions == 2;
}
/* A session that it was not shown is heard, and its end, shown or not, is the end of it. */
static bool shown_is_gated(void) {
  two_judged();
  says(1, 't', 40);
  says(2, 'r', 40);
  uint64_t unheard = msub_count(w.e)->unheard;
  cr_assert_eq(msub_session_down(w.e, gs_peer[2], &w.now), MSUB_OK);
  gs_crowd(NULL, 2, 1, V12, false, "t");
  gs_message(gs_peer[2], "t", "m", 9);
  gs_message(gs_peer[2], "t", "m", 9);
  return unheard > 20;
}
static bool ends_are_seen(void) {
  two_judged();
  uint8_t ip[4] = { 192, 0, 2, 1 };
  for (uint8_t i = 1; i <= 2; i++) cr_assert_eq(msub_session_address(w.e, gs_peer[i], (msub_bytes){ ip, 4 }, &w.now), MSUB_OK);
  cr_assert_eq(msub_session_down(w.e, gs_peer[2], &w.now), MSUB_OK);
  return gate(1).sessions == 1;
}
static bool says_extensions(void) {
  msub_ctl_entry e = { .kind = MSUB_C_EXTENSIONS, .flags = MSUB_EXT_TEST };
  uint8_t want[16];
  size_t n = msub_ctl_encode(&e, &(msub_bytes){ NULL, 0 }, 1, want, sizeof want);
  gs_up(1, "/meshsub/1.3.0", false);
  return w.n_sent == 1 && w.sent[0].n == n && memcmp(w.sent[0].rpc, want, n) == 0;
}
static bool hears_the_test_extension(void) {
  uint8_t rpc[32];
  msub_ctl_entry e[2] = { { .kind = MSUB_C_EXTENSIONS, .flags = MSUB_EXT_TEST }, { .kind = MSUB_C_TEST } };
  msub_bytes none[2] = { { NULL, 0 }, { NULL, 0 } };
  size_t n = msub_ctl_encode(e, none, 2, rpc, sizeof rpc);
  gs_up(1, "/meshsub/1.3.0", false);
  cr_assert_eq(world_receive(&w, gs_peer[1], (msub_bytes){ rpc, n }), MSUB_OK);
  return w.events[MSUB_T_EXTENSION] == 1;
}

static const struct {
  forwarding_op op;
  const char *name;
  bool (*happens)(void);
} cases[] = {
#define CASE(op, f)                                                                                          \
  { KEEPS_##op, #f, f }
  CASE(session_up, knows_what_a_peer_speaks),
  CASE(session_agreed, sees_what_was_agreed),
  CASE(retain, remembers_a_backoff),
  CASE(join, grafts_at_join),
  CASE(leave, prunes_at_leave),
  CASE(arrived, says_idontwant),
  CASE(control, answers_control),
  CASE(publish, forwards_a_message),
  CASE(ask, asks),
  CASE(offer, offers),
  CASE(dropped, grafts_again_what_was_dropped),
  CASE(ready, is_ready_by_mesh),
  CASE(snapshot, shows_roles),
  CASE(command, takes_commands),
  CASE(next_deadline, tells_when_a_heartbeat_is_due),
  CASE(advance, grafts_in_a_heartbeat),
  CASE(accept_from, hears_by_lot),
  CASE(validated, charges_for_verdicts),
  CASE(duplicate, charges_for_copies),
  CASE(address_changed, counts_by_address),
  CASE(session_up, shown_is_gated),
  CASE(hello, says_extensions),
  CASE(extension, hears_the_test_extension),
#undef CASE
};

static bool happens(size_t i, const msub_router_ops *router, forwarding_op keeps) {
  forwarding_opts nest = { .inner = &msub_gossipsub, .inner_opts = &o, .keeps = keeps };
  gs_init();
  o.gater.on = true;
  o.extensions.test = true;
  if (router == &forwarding) w.router_opts = &nest;
  gs_start_with(router);
  bool it_did = cases[i].happens();
  world_stop(&w);
  return it_did;
}

/* Whether it hears of the end by session_down or by retain or forget: the gater lets go of the session once. */
Test(gossipsub, ends_of_gated_sessions) {
  static const forwarding_op keeps[] = { KEEPS_NONE, KEEPS_session_down, KEEPS_retain, KEEPS_accept_from };
  for (size_t i = 0; i < sizeof keeps / sizeof *keeps; i++) {
    forwarding_opts nest = { .inner = &msub_gossipsub, .inner_opts = &o, .keeps = keeps[i] };
    gs_init();
    o.gater.on = true;
    w.router_opts = &nest;
    gs_start_with(&forwarding);
    cr_assert(ends_are_seen(), "%zu", i);
    world_stop(&w);
  }
}

Test(gossipsub, nested) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cr_assert(happens(i, &msub_gossipsub, KEEPS_NONE), "%s: alone", cases[i].name);
    cr_assert(happens(i, &forwarding, KEEPS_NONE), "%s: nested", cases[i].name);
    cr_assert_not(happens(i, &forwarding, cases[i].op), "%s: with the operation kept", cases[i].name);
  }
}
