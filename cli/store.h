/* --store: what outlives a restart of the node. */
#ifndef CLI_STORE_H
#define CLI_STORE_H
#include "cli/node.h"
#include <jansson.h>
#include <meshsub/metrics.h>

typedef struct node_store node_store;

/* Of n->store_path, into n->store and the host's options; before the host. -1, or an exit code with the reason said. */
int store_open(node *n, msub_host_opts *o);
/* The time of the next turn; MSUB_NEVER. s may be NULL, as below. */
uint64_t store_next(const node_store *s);
void store_turn(node_store *s);
/* SIGHUP: when nothing is written any more it is tried again; what comes of it is said. */
void store_retry(node_store *s);
/* "store" in `out`: broken, why. */
void store_state(const node_store *s, json_t *out);
/* store_<name>_total for every name of MSUB_STORE_DISK_COUNTS; store_broken and other gauges. */
void store_metrics(node_store *s, const msub_metrics_opts *o);
/* Who hears first what became durable; true: the token was its own. NULL: nobody. A failure is said in any case. */
void store_listen(node_store *s, bool (*durable)(void *ud, msub_token token, int result), void *ud);
msub_store store_of(const node_store *s);
void store_close(node_store *s); /* after the host */

/* Of a command that runs no node. make: the folder is made when it is not there. -1 and *out, or an exit code with the reason said. */
int store_take(const command *c, const char *dir, bool make, node_store **out);
/* Turns it until everything that was submitted is on the disk, or failed. */
void store_settle(node_store *s);

#endif
