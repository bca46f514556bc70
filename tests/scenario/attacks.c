/* Members of a mesh that forward in part, and who crowds around one node: within a minute they are out of every honest mesh, nobody honest is, and
 * every message reaches everybody meanwhile. The attackers are nodes like others but for a router around gossipsub that leaves forwards out. */
#include "scenario.h"
#include <math.h>

#define T "topic"

enum { HONEST = 12, ATTACKERS = 4, ALL = HONEST + ATTACKERS, MINUTE = 60 };

/* ---- who forwards in part ---- */

typedef enum forwards_not { NOTHING, ALL_OF_IT, HALF, OF_ONE } forwards_not;
static forwards_not leaves_out;
static uint32_t dice;
static bool drops(const msub_router *r, const msub_msg *m) {
  (void)r;
  switch (leaves_out) {
  case NOTHING: return false;
  case ALL_OF_IT: return true;
  case HALF: return (dice = dice * 1103515245u + 12345u) >> 16 & 1;
  case OF_ONE: break;
  }
  return msub_data(m).n > 3 && msub_data(m).p[3] == OF_ONE; /* the number says by whom it is, see write() */
}
static void in_part(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out) {
  size_t first = out->n, kept = first;
  msub_x_publish(msub_r_inner(r), t, m, from, out);
  if (!from.v) return;
  for (size_t i = first; i < out->n; i++)
    if (!drops(r, m)) out->s[kept++] = out->s[i];
  out->n = kept;
}
static msub_gossipsub_opts theirs;
static int around_gossipsub(msub_layout *l, const void *opts) { return msub_layout_nest(l, &msub_gossipsub, opts); }
static const msub_router_ops attacker = { .abi = MSUB_ABI, .size = sizeof(msub_router_ops), .name = "attacker", .layout = around_gossipsub, .publish = in_part };

/* ---- a network of both ---- */

typedef struct least { sc *c; double of; } least;
static void look(void *ud, msub_bytes id, const msub_peer_score *s) {
  least *x = ud;
  uint32_t node = msub_sim_find(x->c->s, id);
  if (node < HONEST && s->score < x->of) x->of = s->score;
}
static void nobody_honest_below_0(sc *c) {
  for (uint32_t i = 0; i < HONEST; i++) {
    least x = { c, HUGE_VAL };
    msub_gossipsub_inspect a = { .peer = look, .ud = &x };
    OK(msub_command(sc_engine(c, i), 0, MSUB_GOSSIPSUB_INSPECT, &a, sizeof a, sc_now(c, i)));
    CHECK(x.of >= 0);
  }
}
/* Which attackers are in whose mesh. */
static bool in[HONEST][ATTACKERS];
static bool member(sc *c, uint32_t i, uint32_t k) { return sc_roles(c, i, HONEST + k, T) & MSUB_ROLE_MESH; }
static unsigned inside(void) {
  unsigned n = 0;
  for (uint32_t i = 0; i < HONEST; i++)
    for (uint32_t k = 0; k < ATTACKERS; k++) n += in[i][k];
  return n;
}

static uint32_t number;
static void write(sc *c, size_t n) {
  uint32_t by = number % 4; /* four write, in turn */
  c->n_got = 0;
  sc_publish(c, by, T, number << 8 | by, n);
}
/* Five messages a second. */
static void go_on(sc *c, unsigned seconds, size_t n) {
  for (unsigned k = 0; k < seconds * 5; k++) {
    write(c, n);
    sc_run(c, 200 * MS);
    ALL_GOT(c, 0, HONEST, number << 8 | number % 4);
    number++;
    if (k % 5 == 0) nobody_honest_below_0(c);
  }
}
/* All of them know each other, behave for two minutes, and then do not. Whoever is thrown out may be taken in again when its backoff is over. */
static void attack(sc *c, forwards_not how, size_t n) {
  number = dice = 1;
  leaves_out = NOTHING;
  c->n.up_bytes_s = c->n.down_bytes_s = 0;
  sc_begin(c);
  sc_add(c, HONEST);
  theirs = c->gs;
  theirs.score = NULL;
  c->routers[0] = (msub_sim_router){ &attacker, &theirs };
  sc_add(c, ATTACKERS);
  sc_join_range(c, 0, ALL, T);
  OK(msub_sim_connect_all(c->s, 0, ALL));
  sc_run(c, 2 * SEC);
  go_on(c, 2 * MINUTE, n);
  for (uint32_t i = 0; i < HONEST; i++)
    for (uint32_t k = 0; k < ATTACKERS; k++) in[i][k] = member(c, i, k);
  CHECK(inside() >= HONEST);
  leaves_out = how;
  for (unsigned s = 0; s < MINUTE && inside(); s++) {
    go_on(c, 1, n);
    for (uint32_t i = 0; i < HONEST; i++)
      for (uint32_t k = 0; k < ATTACKERS; k++)
        if (!member(c, i, k)) in[i][k] = false;
  }
  CHECK_EQ(inside(), 0);
}
static void covert_flash(sc *c) { attack(c, ALL_OF_IT, 100); }
static void covert_flash_large(sc *c) { attack(c, ALL_OF_IT, 2048); }
static void degrade(sc *c) { attack(c, HALF, 100); }
static void degrade_large(sc *c) { attack(c, HALF, 2048); }
static void censor(sc *c) { attack(c, OF_ONE, 100); }
static void censor_large(sc *c) { attack(c, OF_ONE, 2048); }

/* ---- who crowds around one node ---- */

/* 200 peers of as many addresses connect to one node, a thousand a minute, want into its mesh at once and forward nothing. It has dialled eight of
 * an honest network, none of whom writes. */
enum { NETWORK = 30, VICTIM = NETWORK, CROWD = 200, FRIENDS = 8, WRITERS = NETWORK - FRIENDS };
static void eclipse(sc *c) {
  uint32_t arrived = 0;
  uint64_t since[CROWD] = { 0 };
  c->numbers = true;
  c->n.up_bytes_s = c->n.down_bytes_s = 0;
  sc_begin(c);
  sc_add(c, NETWORK + 1);
  for (uint32_t k = 0; k < CROWD; k++) {
    uint8_t a[4] = { 10, (uint8_t)k, 7, 1 };
    sc_add_raw(c, sc_v12);
    OK(msub_sim_address(c->s, VICTIM + 1 + k, (msub_bytes){ a, 4 }));
  }
  sc_join_range(c, 0, NETWORK + 1, T);
  OK(msub_sim_connect_random(c->s, 0, NETWORK, 6));
  for (uint32_t i = WRITERS; i < NETWORK; i++) sc_connect(c, VICTIM, i);
  sc_run(c, 20 * SEC);
  for (unsigned tick = 0; tick < 5 * 120; tick++) { /* two minutes, of which they come in the first twelve seconds */
    for (unsigned k = 0; k < 4 && arrived < CROWD && tick % 6; k++) sc_connect(c, VICTIM + 1 + arrived++, VICTIM);
    c->n_got = c->n_heard = 0;
    sc_publish(c, tick % WRITERS, T, 1 + tick, 100);
    sc_run(c, 200 * MS);
    ALL_GOT(c, 0, NETWORK + 1, 1 + tick);
    unsigned friends = 0;
    for (uint32_t i = WRITERS; i < NETWORK; i++) friends += (sc_roles(c, VICTIM, i, T) & MSUB_ROLE_MESH) != 0;
    CHECK(friends >= c->gs.mesh.dout);
    for (uint32_t k = 0; k < arrived && tick % 5 == 0; k++) {
      uint32_t who = VICTIM + 1 + k;
      bool in_it = sc_roles(c, VICTIM, who, T) & MSUB_ROLE_MESH;
      if (!since[k]) sc_raw_sub(c, who, VICTIM, T, true);
      if (!since[k]) sc_raw_graft(c, who, VICTIM, T);
      if (!since[k] || !in_it) since[k] = msub_sim_time(c->s);
      CHECK(msub_sim_time(c->s) - since[k] <= MINUTE * SEC);
    }
  }
  CHECK_EQ(arrived, CROWD);
}

/* ---- who cannot forward is left alone ---- */

/* Leaves that know the hub alone bring nothing that is withheld from them. They stay in its mesh, and few messages are late. */
enum { LEAVES = 10, HUB = 0 };
static void star(sc *c, bool numbers) {
  unsigned late = 0, sent = 0;
  c->numbers = numbers;
  sc_begin(c);
  sc_add(c, LEAVES + 1);
  sc_join_range(c, 0, LEAVES + 1, T);
  OK(msub_sim_connect_star(c->s, 0, LEAVES + 1));
  sc_run(c, 3 * SEC);
  for (unsigned k = 0; k < 1200; k++, sent++) {
    c->n_got = 0;
    sc_publish(c, 1 + k % LEAVES, T, 1 + k, 100);
    sc_run(c, 500 * MS);
    for (uint32_t i = 0; i <= LEAVES; i++) late += sc_times(c, i, 1 + k) == 0;
    if (k % 20 == 0) sc_run(c, 3 * SEC);
    if (k % 20 == 0) ALL_GOT(c, 0, LEAVES + 1, 1 + k);
    CHECK_EQ(sc_with_role(c, HUB, T, MSUB_ROLE_MESH), LEAVES);
  }
  CHECK(late * 100 < sent * LEAVES);
}
static void star_signed(sc *c) { star(c, false); }
static void star_anonymous(sc *c) { star(c, true); }

const sc_scenario sc_scenarios[] = { { "attack-covert-flash", covert_flash },
                                     { "attack-covert-flash-large", covert_flash_large },
                                     { "attack-degrade", degrade },
                                     { "attack-degrade-large", degrade_large },
                                     { "attack-censor", censor },
                                     { "attack-censor-large", censor_large },
                                     { "attack-eclipse", eclipse },
                                     { "probe-star", star_signed },
                                     { "probe-star-anonymous", star_anonymous },
                                     { NULL, NULL } };
