/* Lines to standard output or standard error, from a program that must not wait for who reads them: what the reader has no room for waits here, up to
 * OUTLET_BYTES; then whole lines are dropped and counted, and as soon as there is room again one line in their place tells how many.
 *
 *   FILE *to = outlet_begin(o); print a line to it; outlet_end(o)      any number of times
 *   outlet_fd(o)    poll it for POLLOUT                                outlet_turn(o)   writes what there is room for
 *
 * A pipe or terminal is opened once more for this, without blocking: others that have the same end of it see nothing of that. Where that cannot be done (no
 * /proc, somebody else's), each write to a pipe has PIPE_BUF bytes or less and comes after a poll(), and a terminal does not block for the time of a write. Files and the like are written as they are: they block for no
 * reader. */
#ifndef CLI_OUTLET_H
#define CLI_OUTLET_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define OUTLET_BYTES (1u << 20) /* that wait; an empty queue takes a line of any size */
#define OUTLET_LAST_NS UINT64_C(500000000) /* how long outlet_close() waits for the reader */

typedef struct outlet outlet;
/* tell prints the line about count lines that were dropped. prompt: a line is written at once if there is room, not only in a turn. */
outlet *outlet_open(int fd, bool prompt, void (*tell)(void *ud, FILE *to, uint64_t count), void *ud);
void outlet_close(outlet *o); /* what waits goes out if it is read within OUTLET_LAST_NS. NULL is fine */

/* Print one line, with its newline, before the other call. Valid until then. */
FILE *outlet_begin(outlet *o);
void outlet_end(outlet *o);

void outlet_write(outlet *o); /* what there is room for */
int outlet_fd(const outlet *o); /* -1: nothing waits */
/* As outlet_write(). 0; or, once, the errno of a write that failed: what is printed from then on is dropped. EPIPE, ECONNRESET: the reader is gone. */
int outlet_turn(outlet *o);
uint64_t outlet_dropped(const outlet *o); /* lines, in all */

#endif
