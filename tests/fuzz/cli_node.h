/* tests/fuzz/cli_node.h: a node of the command for the fuzzers of what it serves, and clients for its servers. It listens nowhere, dials nobody, and
 * the one name server that it knows is not there. */
#ifndef MSUB_TESTS_CLI_NODE_H
#define MSUB_TESTS_CLI_NODE_H
#include "cli/node.h"
#include "cli/serve.h"

/* Made once, for all inputs of a run. */
node *fuzz_node(void);

/* It has keys and names from now on, on an empty store in memory but for the key "own" there; and until here. Looked at then: no question waits any more, and what
 * was wished and which keys were made is there again when somebody else opens that store. */
#define FUZZ_OWN_KEY 5 /* each byte of its seed */
void fuzz_names_begin(void);
void fuzz_names_end(void);

typedef struct talk {
  int fd; /* ours; -1: ended */
  const uint8_t *in; /* what it will send */
  size_t n, at, piece; /* piece: bytes at a time */
  uint8_t *out;        /* what came back */
  size_t out_n, out_cap;
  bool ended;          /* the server closed it */
} talk;

/* A client of the server that sends these bytes. They outlive it. */
void talk_begin(talk *t, server *s, const uint8_t *in, size_t n, size_t piece);
/* Turns server and node until nothing moves any more; then the clients say that they are done, and leave. */
void talk_all(talk *all, size_t n, server *s);
void talk_end(talk *t);
/* Called in each turn before the server's, when it is set. */
extern void (*talk_turn)(void);
#endif
