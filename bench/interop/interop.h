/* meshsub-interop --params FILE: a node of the gossipsub-interop experiments of libp2p/test-plans. It is told who it is by its host name
 * (node0, node1, ...), follows the file's script, and writes what it sees as lines of JSON.
 *
 *   main.c    the script      node.c    host, topics, the log      params.c  gossipSubParams
 *
 * What a run demands of such a node is in docs/interop.md. One thread. */
#ifndef BENCH_INTEROP_H
#define BENCH_INTEROP_H
#include "bench/peer/peer.h"

#undef PROGRAM
#define PROGRAM "meshsub-interop"
#define INTEROP_PORT 9000
#define INTEROP_TOPICS 64

/* Parameters of the file over o, which has defaults. NULL, or what is wrong ("D: 0 to 4096"). */
const char *params_read(const json_t *params, msub_gossipsub_opts *o);

/* The identity of a node. */
msub_key *node_key(uint64_t number);

typedef struct held { /* a message under the validation delay of its topic */
  msub_token t;
  uint64_t due;
} held;
typedef struct topic_state {
  char *name;
  msub_topic t;
  bool joined, open;
  uint64_t delay_ns;
  struct interop *of;
} topic_state;
typedef struct interop {
  peer p; /* first, for partial.c: its parts */
  uint64_t number, begin; /* begin: when the process began, mono_ns() */
  peer_node self;
  topic_state topics[INTEROP_TOPICS];
  size_t n_topics;
  held *held; /* in order of arrival, which with a delay for each topic is not that of `due` */
  size_t n_held;
  unsigned dials, failed; /* that have ended; of which failed */
} interop;

void node_log(const char *msg, json_t *fields); /* takes fields, may be NULL */
/* NULL, or why not. */
const char *node_start(interop *x, const msub_gossipsub_opts *o);
void node_stop(interop *x);
/* Turns the host until then. */
void node_run(interop *x, uint64_t until);
/* Dials a node and waits until it is connected. */
const char *node_connect(interop *x, uint64_t number);
topic_state *node_topic_state(interop *x, const char *name); /* made when there is none; NULL: too many */
const char *node_subscribe(interop *x, const char *topic, bool partial);
const char *node_publish(interop *x, const char *topic, uint64_t id, size_t size);
#endif
