/* What is inside a node at one moment, as JSON: msub_state(). docs/socket.md has the members. */
#ifndef CLI_STATE_H
#define CLI_STATE_H
#include "cli/text.h"
#include <meshsub/host.h>

/* Adds peer, ns, usage, routers, sessions, topics and scores to an object. Not from a callback (STATE). */
int state_json(msub_host *h, json_t *out);
#endif
