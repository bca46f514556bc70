/* tests/host/test_clock.c: a wall clock that steps by an hour, forward and back, under hosts in a mesh: connections, scores and backoffs are what
 * they were, and messages flow. What records and the book do is in test_push.c and test_book.c. usage: test_clock CASE */
#include <string.h>
#include "host_node.h"
#include "meshsub/gossipsub.h"
#include "meshsub/state.h"
#include "wall.h"

enum { NODES = 3, PER_STEP = 20 };
static node all[NODES];
static node *const nodes[NODES] = { &all[0], &all[1], &all[2] };

static void turn(void) { turn_for(nodes, NODES, 1); }

typedef struct view {
  unsigned mesh, backoffs, sessions;
  uint64_t backoff_ns;
  double score; /* of the one in the mesh */
} view;

static void see_topic(void *ud, const msub_state_topic *s) {
  view *v = ud;
  for (size_t i = 0; i < s->n_peers; i++) {
    if (s->peers[i].roles & MSUB_ROLE_MESH) v->mesh++, v->score = s->peers[i].score;
    if (s->peers[i].roles & MSUB_ROLE_BACKOFF && s->peers[i].backoff_ns > s->now_ns) v->backoffs++, v->backoff_ns = s->peers[i].backoff_ns;
  }
}
static void see_session(void *ud, const msub_state_session *s) {
  (void)s;
  ((view *)ud)->sessions++;
}
static view look(const node *n) {
  view v = { 0 };
  const msub_state_visitor visitor = { .size = sizeof visitor, .ud = &v, .topic = see_topic, .session = see_session };
  MUST(msub_state(msub_host_engine(n->host), &visitor, msub_host_now(n->host)));
  return v;
}

static void test_steps(void) {
  static const msub_router_ops *const routers[] = { &msub_gossipsub, NULL };
  static const int64_t steps[] = { 3600, -3600, 0, -86400 * 365 * 20, 3600 };
  msub_topic_score topic = { .skip_atomic = true, .weight = 1, .time_in_mesh_weight = 1, .time_in_mesh_quantum_ns = 1000000000, .time_in_mesh_cap = 100000 };
  msub_score_opts score = msub_gossipsub_default_score;
  msub_gossipsub_opts o;
  score.params.topic = &topic;
  score.params.topic_score_cap = 0;
  msub_gossipsub_opts_init(&o);
  o.score = &score;
  const void *const opts[] = { &o };
  for (unsigned i = 0; i < NODES; i++) {
    node_init(&all[i], "node", (uint8_t)(1 + i));
    all[i].opts.routers = routers;
    all[i].opts.router_opts = opts;
    all[i].opts.engine.sign = MSUB_STRICT_SIGN; /* with sequence numbers out of the wall clock */
    node_start(&all[i], true, true);
  }
  node_meet(nodes, NODES, &all[0], &all[1]);
  node_meet(nodes, NODES, &all[0], &all[2]);
  UNTIL(turn(), look(&all[0]).mesh == 2 && look(&all[1]).mesh == 1 && look(&all[2]).mesh == 1);
  MUST(msub_leave(msub_host_engine(all[2].host), all[2].topic, msub_host_now(all[2].host))); /* which is a backoff at the first */
  UNTIL(turn(), look(&all[0]).mesh == 1 && look(&all[0]).backoffs == 1);
  UNTIL(turn(), look(&all[0]).score >= 1);
  view before = look(&all[0]);
  uint64_t began = now_ms();
  uint32_t sent = 0;
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    wall_off = steps[i];
    uint64_t beat = now_ms() + 1200; /* a heartbeat at least */
    UNTIL(turn(), now_ms() >= beat);
    transfer(nodes, NODES, &all[0], &all[1], sent, PER_STEP, 100);
    transfer(nodes, NODES, &all[1], &all[0], sent, PER_STEP, 100);
    sent += PER_STEP;
    view now = look(&all[0]);
    double passed = (double)(now_ms() - began) / 1000;
    CHECK(now.mesh == 1 && now.sessions == 2);
    CHECK(now.score >= before.score && now.score <= before.score + passed + 2);
    if (passed < 8) CHECK(now.backoffs == 1 && now.backoff_ns == before.backoff_ns); /* it lasts ten seconds */
    for (unsigned k = 0; k < NODES; k++) CHECK(all[k].disconnected == 0);
    CHECK(msub_host_count(all[0].host)->connections == 2);
  }
  for (unsigned i = 0; i < NODES; i++) node_free(&all[i]);
  wall_off = 0;
}

int main(int argc, char **argv) {
  static const test_case cases[] = { { "steps", test_steps } };
  return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
}
