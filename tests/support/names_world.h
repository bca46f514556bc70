/* tests/support/names_world.h: simulated nodes with IPNS names on a gossipsub router, each with a store in memory that it keeps over a crash. */
#ifndef MSUB_TESTS_NAMES_WORLD_H
#define MSUB_TESTS_NAMES_WORLD_H
#include "meshsub/gossipsub.h"
#include "meshsub/names.h"
#include "meshsub/sim.h"
#include "count_mem.h"

#define NAMES_NODES 40
#define NAMES_LOG 256

typedef struct names_change { uint64_t at, sequence; int64_t ends; uint8_t value[64]; size_t value_n; msub_names_source source; bool durable; } names_change;
typedef struct names_node {
  uint32_t no;
  msub_fetch *fetch;
  msub_names *n;
  msub_store_memory *store; /* NULL: none */
  msub_names_opts o;        /* for the next start */
  names_change log[NAMES_LOG];
  size_t n_log, alarms[3];
  struct { uint8_t peer[64]; size_t peer_n; uint64_t at; } to_identify[NAMES_NODES];
  size_t n_identify;
} names_node;

typedef struct names_world {
  msub_sim *s;
  msub_sim_opts so;          /* may be changed before names_world_start */
  msub_sim_node_opts no;
  msub_gossipsub_opts gs;
  msub_sim_router routers[1];
  names_node node[NAMES_NODES];
  uint32_t count;
  uint64_t step;             /* at most so long between two turns of a node: 1 ms */
  bool stores;               /* nodes have one; true */
  size_t store_bytes;        /* of each; 0: the default */
  void (*each_turn)(void *ud, uint32_t i); /* NULL: nothing */
  void *ud;
  bool told;                 /* of the identified and announced peers; true */
  count_mem mem;             /* of names, fetch and registers of all nodes */
  msub_mem counted;
} names_world;

void names_world_init(names_world *w);
void names_world_start(names_world *w, uint32_t nodes); /* and starts the names of each. Their ids are those of names_key(200 + i) */
void names_start(names_world *w, uint32_t i);           /* with node[i].o */
int names_try_start(names_world *w, uint32_t i);
void names_stop(names_world *w, uint32_t i);
/* Everything that was not durable is lost, the process too; then it is there again, connected to nobody. */
void names_crash(names_world *w, uint32_t i);
void names_run(names_world *w, uint64_t ns);
bool names_run_until(names_world *w, bool (*ready)(void *ud), void *ud, uint64_t ns); /* as soon as it is so; false: it was not */
void names_connect(names_world *w, uint32_t a, uint32_t b);
void names_world_stop(names_world *w); /* checks that nothing is left */
const msub_now *names_now(names_world *w, uint32_t i);

msub_key *names_key(uint8_t seed);
msub_bytes names_id(uint8_t seed); /* of that key */
/* A record of the key, by hand: end in ns from now of the first node. A view until the next call. */
msub_bytes names_record(names_world *w, uint8_t seed, const char *value, uint64_t sequence, int64_t ends_in_ns);

typedef struct names_outcome { unsigned calls; int result; msub_names_end end; uint64_t at, sequence; char value[64]; msub_names_source source; unsigned asked; bool durable; msub_ipns_fault fault; } names_outcome;
void names_resolved(void *outcome, const msub_names_resolved *r);
void names_done(void *outcome, int result, const msub_names_view *v);
int names_publish(names_world *w, uint32_t i, uint8_t seed, const char *value, names_outcome *o);
#endif
