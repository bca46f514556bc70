/* One poll loop around a host, for all programs. */
#ifndef CLI_LOOP_H
#define CLI_LOOP_H
#include <meshsub/host.h>
#include <poll.h>

/* SIGINT and SIGTERM make this descriptor readable from now on; a second one ends the program at once.
 * SIGPIPE is ignored, so that a closed pipe is an error of write(). -1: errno.
 * prints: the program waits for who reads its stdout; from the signal on it does not. */
int stop_signals(bool prints);
/* SIGHUP makes this descriptor readable from now on, with a byte for each; without a call it ends the program. -1: errno. */
int reload_signals(void);
/* Sleeps until one of the n descriptors is ready, or `until` (CLOCK_MONOTONIC, ns, MSUB_NEVER) has come. */
void wait_fds(struct pollfd *fds, size_t n, uint64_t until);
/* Sleeps as wait_fds() until the host has work, then turns it once: whatever the turn brought (a message, an
 * answer) the caller sees before the next sleep. fds[0] is the host's and is filled in here. */
void wait_and_turn(msub_host *host, struct pollfd *fds, size_t n, uint64_t until);
/* Lets what is queued go out, at most a second, and frees the host. */
void close_host(msub_host *host);

#endif
