/* A running node, through its local socket: the client's side of docs/socket.md, as the subcommands use it. Waits. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H
#include "cli/options.h"

/* Of every subcommand that can use a running node; `to` is a const char *. */
#define SOCKET_OPTION(to) { "--socket", 0, OPT_TEXT, "PATH", "The socket of a running node (its own --socket). Default: what\n" \
  "MESHSUB_SOCKET says.", to, 0, 0, NULL }

typedef struct remote {
  const char *program, *path;
  int fd, stop_fd; /* stop_fd: readable when the program was asked to stop; -1: not looked at */
  bool stopped;
  uint64_t answer_ns; /* how long an answer may take; 0: a minute */
  uint64_t id;
  uint8_t *in;
  size_t n, cap;
  json_t *greeting;
  /* Of an event that came; j is lent. NULL: they are left. */
  void (*event)(void *ud, json_t *j);
  void *ud;
} remote;

/* `path` NULL: MESHSUB_SOCKET. -1, or an exit code with the error said; remote_close() either way. */
int remote_open(remote *r, const command *c, const char *path);
void remote_close(remote *r);
/* Asks, takes the reference, and waits for the answer: -1 and *reply (decref it), which says "ok":true; otherwise an exit code. An answer that says no
 * is told with `what` in front ("" for none), and *reply is it, too: look at "code"; with quiet_code it is not told when "code" is that. A stop
 * (stopped) is an exit code without a word. */
int remote_ask(remote *r, json_t *request, const char *what, const char *quiet_code, json_t **reply);
/* Waits for an event until a time (mono_ns) and tells it: -1 (one was told, or the time has come), or an exit code. */
int remote_wait(remote *r, uint64_t until);
json_t *remote_request(const char *op);
#endif
