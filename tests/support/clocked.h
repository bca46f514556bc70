/* tests/support/clocked.h: a host `a` whose clock only the test moves, to the nanosecond, and a peer `b` for it.
 *
 * A host's clock never goes back, so it stands still when a test has set it ahead of the real one. */
#ifndef MSUB_TESTS_CLOCKED_H
#define MSUB_TESTS_CLOCKED_H
#include "host/state.h"
#include "host_node.h"

#define AHEAD (3600 * MSUB__S)
#define ALONE(cond) UNTIL(turn_for((node *const[]){ &a }, 1, 1), cond)
#define BOTH(cond) UNTIL(turn_for((node *const[]){ &a, &b }, 2, 1), cond)

extern node a, b;

const msub_host_counts *host(void); /* of a */
void start(void);                   /* a, with a.opts as they stand */
void begin(void);                   /* a, with the usual ones */
void forward(uint64_t ns);
size_t at_most(size_t n, size_t limit);

msub__tr_addr loopback(unsigned host_part, unsigned port);
int silent(msub__tr_addr *at); /* a place that takes connections and never answers: its descriptor */
msub_bytes id_of(const node *n);
msub__tr_addr place_of(const node *n);
void known(const node *of, const msub__tr_addr *at, bool proved); /* a's book has it */
#endif
