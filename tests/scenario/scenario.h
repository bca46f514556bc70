/* tests/scenario/scenario.h: a scenario is a function that builds a simulated network, lets it run and checks what
 * came of it.
 *
 *   PROGRAM               every scenario of the program, each twice, with one trace hash: RPCs by reference, as frames
 *   PROGRAM NAME …        these
 *   PROGRAM --fail STEP   each STEP-th allocation of each scenario fails once: nothing crashes, nothing is left
 *
 * A scenario that fails prints its name and the check. The links are those of the reference's own tests: 1 ms, 20
 * Mbit/s. */
#ifndef MSUB_TESTS_SCENARIO_H
#define MSUB_TESTS_SCENARIO_H
#include "meshsub/gossipsub.h"
#include "meshsub/rpc.h"
#include "meshsub/sim.h"
#include <stdio.h>

#define SC_NODES 1024
#define MS MSUB_SIM_MS
#define SEC MSUB_SIM_S

typedef struct sc_got { uint32_t node, from, number, router; uint64_t at; size_t n; char topic[32]; } sc_got;
/* What a raw node heard: a message (number, n) or an entry of control or subscription. */
typedef struct sc_heard {
  uint32_t node, peer, rpc; /* rpc: which one, counted over all */
  uint64_t at;
  int kind;                 /* msub_ctl_kind, or SC_MESSAGE */
  uint32_t number;          /* of the message; of the entry's first id */
  uint32_t n_ids;
  uint64_t backoff_s;
  size_t rpc_n;             /* bytes of the RPC */
  char topic[32];
} sc_heard;
enum { SC_MESSAGE = 100 };

typedef struct sc {
  msub_sim *s;
  msub_sim_opts o; /* a scenario changes what follows before sc_begin(), and the node's before each sc_add() */
  msub_sim_node_opts n;
  msub_sim_router routers[4];
  msub_engine_opts engine;
  msub_gossipsub_opts gs;
  msub_channel_policy policy; /* of the topics that are joined with it: the id of a message is its number */
  bool numbers;               /* join with `policy`; anonymous messages */
  sc_got *got;
  size_t n_got, cap_got;
  sc_heard *heard;
  size_t n_heard, cap_heard;
  uint32_t rpcs_heard, n_raw;
  bool prune_grafts;          /* raw nodes answer a GRAFT with a PRUNE */
  void (*on_heard)(struct sc *c, const sc_heard *h); /* may send from the raw node */
  bool (*on_got)(struct sc *c, const sc_got *g);     /* NULL: taken */
} sc;

typedef struct sc_scenario { const char *name; void (*run)(sc *c); } sc_scenario;
extern const sc_scenario sc_scenarios[]; /* ends with a NULL name */

/* Ends the scenario. */
_Noreturn void sc_failed(const char *file, int line, const char *what);
#define CHECK(c) ((c) ? (void)0 : sc_failed(__FILE__, __LINE__, #c))
/* Both values are printed. */
#define CHECK_EQ(a, b) sc_check_eq(__FILE__, __LINE__, #a " == " #b, (uint64_t)(a), (uint64_t)(b))
void sc_check_eq(const char *file, int line, const char *what, uint64_t a, uint64_t b);
#define OK(call) sc_ok(__FILE__, __LINE__, #call, (call))
void sc_ok(const char *file, int line, const char *what, int err);

void sc_begin(sc *c);                    /* makes the simulation */
uint32_t sc_add(sc *c, uint32_t count);  /* nodes with c->n; the first one's number */
uint32_t sc_add_floodsub(sc *c, uint32_t count);
/* A raw node; ids: NULL-terminated. */
uint32_t sc_add_raw(sc *c, const char *const *ids);
extern const char *const sc_v12[], *const sc_v11[], *const sc_v10[];

msub_engine *sc_engine(const sc *c, uint32_t node);
const msub_now *sc_now(sc *c, uint32_t node);
msub_topic sc_topic(const sc *c, uint32_t node, const char *name); /* of router 0 */
msub_topic sc_topic_of(const sc *c, uint32_t node, unsigned router, const char *name);
void sc_join(sc *c, uint32_t node, const char *topic);
void sc_join_by(sc *c, uint32_t node, unsigned router, const char *topic);
void sc_join_range(sc *c, uint32_t first, uint32_t n, const char *topic);
void sc_open(sc *c, uint32_t node, const char *topic); /* to publish only */
void sc_leave(sc *c, uint32_t node, const char *topic);
void sc_run(sc *c, uint64_t ns);
void sc_connect(sc *c, uint32_t a, uint32_t b);
uint32_t sc_rand(sc *c, uint32_t below);
/* Publishes a message with a number, padded to n bytes (at least 8). */
void sc_publish(sc *c, uint32_t node, const char *topic, uint32_t number, size_t n);
int sc_try_publish(sc *c, uint32_t node, unsigned router, const char *topic, uint32_t number, size_t n);
/* How often a node got the message. */
unsigned sc_times(const sc *c, uint32_t node, uint32_t number);
const sc_got *sc_find(const sc *c, uint32_t node, uint32_t number); /* NULL */
/* Each of these nodes got it once. */
#define ALL_GOT(c, first, n, number) sc_all_got(__FILE__, __LINE__, c, first, n, number)
void sc_all_got(const char *file, int line, const sc *c, uint32_t first, uint32_t n, uint32_t number);
unsigned sc_total(const sc *c, uint32_t node);
/* `count` messages, numbered from `number`, one after the other by random nodes of the range: each of them reaches
 * each of the range before the next one is sent. */
void sc_traffic(sc *c, uint32_t first, uint32_t n, const char *topic, uint32_t number, uint32_t count);

size_t sc_memory(void); /* bytes that the simulation holds */

/* The router's view. */
uint32_t sc_roles(sc *c, uint32_t node, uint32_t peer, const char *topic); /* MSUB_ROLE_* */
unsigned sc_with_role(sc *c, uint32_t node, const char *topic, uint32_t role);
uint64_t sc_backoff(sc *c, uint32_t node, uint32_t peer, const char *topic); /* ns from now; 0: none */

/* Raw nodes. */
void sc_raw_ctl(sc *c, uint32_t node, uint32_t peer, const msub_ctl_entry *e, const char *const *topics, size_t n);
void sc_raw_sub(sc *c, uint32_t node, uint32_t peer, const char *topic, bool on);
void sc_raw_graft(sc *c, uint32_t node, uint32_t peer, const char *topic);
void sc_raw_prune(sc *c, uint32_t node, uint32_t peer, const char *topic, uint64_t backoff_s);
/* IHAVE, IWANT or IDONTWANT with the ids of these messages, as the policy makes them. */
void sc_raw_ids(sc *c, uint32_t node, uint32_t peer, msub_ctl_kind kind, const char *topic, const uint32_t *numbers,
                size_t n);
void sc_raw_message(sc *c, uint32_t node, uint32_t peer, const char *topic, uint32_t number, size_t n);
/* How much of a kind a raw node heard; topic, number: NULL, SC_ANY. */
#define SC_ANY UINT32_MAX
unsigned sc_heard_count(const sc *c, uint32_t node, int kind, const char *topic, uint32_t number);
const sc_heard *sc_heard_first(const sc *c, uint32_t node, int kind, uint32_t number); /* NULL */
#endif
