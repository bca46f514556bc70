/* Who serves a local socket: one process a path. It is said by a lock on PATH.lock, which the system takes back when a process ends however
 * it ends, so that what a killed one left is taken over. */
#ifndef CLI_HOLD_H
#define CLI_HOLD_H
#include "cli/text.h"

typedef struct hold {
  char *path, *lock_path;
  int lock_fd;
} hold;

/* Makes the socket, mode 0600, and listens. -1 and *fd, or an exit code with the error said: another process holds it (its pid is in the
 * error), something that is no socket stands there, the path is too long or cannot be made. `option`: "--socket ". */
int hold_take(const char *program, const char *option, const char *path, hold *h, int *fd);
/* Takes the socket and the lock away. Fine on a hold that was not taken. */
void hold_release(hold *h);
/* Connects to one. -1 and *fd, or an exit code with the error said. */
int hold_connect(const char *program, const char *path, int *fd);

#endif
