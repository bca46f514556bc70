/* --rendezvous, --rendezvous-point: peers found through a point, and being one. */
#ifndef CLI_RENDEZVOUS_H
#define CLI_RENDEZVOUS_H
#include "cli/node.h"
#include <meshsub/metrics.h>

typedef struct rendezvous rendezvous;

/* Of n->rendezvous and n->rendezvous_point. -1, or EXIT_USAGE. */
int rendezvous_check(const node *n);
/* Before the host: NULL in n->meeting when there is nothing to do. -1, or an exit code. */
int rendezvous_new(node *n, msub_host_opts *o);
/* With the host. -1, or an exit code. */
int rendezvous_start(node *n);
/* The time of the next turn; MSUB_NEVER. r may be NULL, as below. */
uint64_t rendezvous_next(const rendezvous *r);
void rendezvous_turn(rendezvous *r);
/* rendezvous_<name>_total for every name of MSUB_RENDEZVOUS_COUNTS, rendezvous_point_… likewise, as far as there is one. */
void rendezvous_metrics(const rendezvous *r, const msub_metrics_opts *o);
void rendezvous_free(rendezvous *r); /* after the host */

#endif
