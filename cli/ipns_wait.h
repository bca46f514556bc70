/* Questions to the names and keys of a node that are answered later: of clients of the local socket, of HTTP, and of the program itself. One list a node.
 *
 * Who asks for something begins a waiter and gives it as the ud of a done callback (names.h, keyring.h); the callback answers whoever waits, and ends the
 * waiter. When a client goes away, so does its question: a resolve is taken back, and what is being written is answered to nobody. What is left when the
 * node is closed goes with it. */
#ifndef CLI_IPNS_WAIT_H
#define CLI_IPNS_WAIT_H
#include "cli/ipns_node.h"

typedef enum waits { WAITS_NOBODY, WAITS_PROGRAM, WAITS_SOCKET, WAITS_HTTP } waits; /* the answer goes to: nobody any more, n->on_answer, local.h, http_routing.h */

typedef struct waiter {
  node *n;
  struct waiter *next, **before;
  waits who;
  uint64_t ticket;   /* of local.h or http_routing.h: which client, and which question */
  uint64_t since_ns; /* mono_ns() of the question */
  msub_token asked;  /* set by who asked msub_names_resolve(): it can be taken back. v 0: its end comes */
} waiter;

waiter *wait_begin(node *n, waits who, uint64_t ticket);
void wait_end(waiter *w);
/* The client with this question is gone. Of one that is answered nothing happens. Not from inside a callback of the names. */
void wait_gone(node *n, waits who, uint64_t ticket);
void wait_end_all(node *n); /* names, keys and store are closed: no done comes any more */

#endif
