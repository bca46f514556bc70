/* The driver's end of the peer control protocol: one node program as a child process. */
#ifndef BENCH_CONTROL_H
#define BENCH_CONTROL_H
#include "cli/text.h"
#include <sys/types.h>

typedef struct control {
  char name[64];
  pid_t pid; /* 0: none */
  int to;
  lines from;
  json_t *events; /* that nobody waited for yet */
  uint64_t next_id;
  json_t *hello;
  char peer[128], credit[64], addr[512]; /* addr: "" without a listener */
  char error[1024];                      /* why the last call failed */
} control;

/* Runs the program (a path, or a command line for sh) and waits for its hello. Like all calls below: false or
 * NULL and `error`, which names the node. The child dies with its parent. */
bool control_spawn(control *c, const char *name, const char *command);
/* `start` with this cfg (taken), then `addrs`. */
bool control_start(control *c, json_t *cfg);
/* Sends a request (fields are taken, may be NULL) and returns the reply. */
json_t *control_request(control *c, const char *op, json_t *fields, uint64_t timeout_ns);
/* The same when the reply's fields do not matter. */
bool control_do(control *c, const char *op, json_t *fields);
/* Waits for an event of this kind; seed: of this run, or -1. */
json_t *control_event(control *c, const char *kind, int64_t seed, uint64_t timeout_ns);
/* Until `mesh` says that at least this many peers are in the mesh and subscribed. */
bool control_wait_mesh(control *c, const char *topic, unsigned peers, uint64_t timeout_ns);
/* Asks the program to stop, ends it when it does not, and reaps it. Fine for one that never ran. */
void control_end(control *c);

int64_t json_number(const json_t *object, const char *name);

#endif
