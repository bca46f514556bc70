/* tests/support/host_node.h: hosts for tests: several in one process, turned one after the other by the test's
 * thread. */
#ifndef MSUB_TESTS_HOST_NODE_H
#define MSUB_TESTS_HOST_NODE_H
#include "check.h"
#include "live_mem.h"
#include "meshsub/host.h"

#define MESSAGES_MAX 20000u

typedef struct node {
  const char *name;
  msub_key *key;
  msub_host *host;
  msub_topic topic;
  msub_host_opts opts;
  /* what happened */
  unsigned connected, disconnected, last, dial_failed, identified, pubsub, joins, leaves, results;
  int dial_err;
  char text[128]; /* of the last DISCONNECTED, DIAL_FAILED or PUBSUB */
  uint64_t cookie;
  uint8_t *seen; /* by number: how often it came */
  uint32_t messages, next, out_of_order, wrong;
  size_t size; /* of every message, checked when not 0 */
} node;

/* run_cases(); no case may leave a byte of live_mem, which every host here has. */
int node_run_cases(const test_case *cases, size_t n, int argc, char **argv);

/* Defaults for a test: anonymous messages. Change n->opts before node_start(). seed: of the identity. */
void node_init(node *n, const char *name, uint8_t seed);
void node_start(node *n, bool listen, bool join);
const msub_channel_policy *node_policy(void); /* of anonymous messages */
extern const msub_router_ops node_content;    /* floodsub that wants no more peers, however few there are */
void node_stop(node *n);                      /* frees the host */
void node_free(node *n);                      /* and the rest */
void node_addr(const node *n, char *out, size_t cap);
void node_dial(node *from, const node *to);
/* A place on 127.0.0.1 that takes connections and never answers: a listening socket. */
int node_silent_place(uint16_t *port);
/* Dials, and turns all nodes until both ends know all of each other. */
void node_meet(node *const *all, size_t n, node *from, node *to);

/* Turns the nodes until `until` is true. false: it was not within ms. */
typedef bool (*condition)(void *ud);
bool turn_until(node *const *nodes, size_t n, condition until, void *ud, unsigned ms);
void turn_for(node *const *nodes, size_t n, unsigned ms);
#define WAIT(nodes, cond, ud) CHECK(turn_until((nodes), sizeof(nodes) / sizeof *(nodes), (cond), (ud), WITHIN_MS))

/* Publishes message number i of n bytes; false: refused (LIMIT). */
bool node_publish(node *from, uint32_t i, size_t n);
/* Whatever was done to it before: an honest peer comes, and each has fifty messages of the other. Once in a test. */
void node_still_serves(node *a);
/* Publishes `count` messages from `first` on while the nodes turn, and waits until `to` has got them all,
 * each once. */
void transfer(node *const *nodes, size_t n, node *from, node *to, uint32_t first, uint32_t count,
              size_t size);
#endif
