/* Names in a node: msub_names of names.h over its host and store, the keys of the store, and what serves both: HTTP (http_routing.h) and the local socket. */
#ifndef CLI_IPNS_NODE_H
#define CLI_IPNS_NODE_H
#include "cli/http_routing.h"
#include "cli/keyring.h"
#include "cli/node.h"
#include <meshsub/metrics.h>
#include <meshsub/names.h>

#define IPNS_RESOLVE_NS UINT64_C(10000000000) /* of a resolve that names no time */
#define IPNS_RESOLVE_MOST_NS UINT64_C(600000000000)

typedef struct ipns ipns;

/* Options and names; whether names are on at all (n->names.on). -1, or EXIT_USAGE. */
int ipns_check(node *n);
/* With the host, before it listens; n->ipns is NULL when names are off. -1, or an exit code with the error said. */
int ipns_open(node *n);
/* i may be NULL, below. */
void ipns_close(ipns *i); /* before the host */
void ipns_event(ipns *i, const msub_host_event *ev);
void ipns_heard(ipns *i, msub_bytes topic, msub_peer p); /* from the node's topic filter */
uint64_t ipns_next(const ipns *i);
void ipns_turn(ipns *i);
server *ipns_http(const ipns *i); /* NULL: none */
bool ipns_durable(ipns *i, msub_token token, int result);
/* ipns_<name>_total for every name of MSUB_NAMES_COUNTS, gauges, and routing_metrics(). */
void ipns_metrics(const ipns *i, const msub_metrics_opts *o);

msub_names *ipns_names(const ipns *i);

/* A record as programs are told of it: "name", "value" or "value_hex", "sequence", "source", "from", "age_ns", "valid_until", "ttl_ns", "durable". */
json_t *ipns_json(const msub_names_view *v);
/* Of such an object, until the next call: "sequence 5, by fetch from 12D3Koo…, 12ms old, valid until 2026-…"; the value, printable. */
const char *ipns_story(const json_t *j);
const char *ipns_value(const json_t *j);
const char *ipns_name_of(msub_bytes name);              /* k51…; in turn from two buffers */
/* Why a resolve found nothing, in words with the next step; "" when it did. */
void ipns_unresolved(const msub_names_resolved *r, uint64_t waited_ns, char out[320]);
/* Why a record was not taken (msub_names_put, msub_names_publish). */
void ipns_refused(ipns *i, int err, msub_bytes name, msub_ipns_fault fault, msub_bytes record, char out[320]);

/* Of the local socket (local.h): an op that begins with "ipns_". Answers as the others do: NULL, or what is wrong. */
struct local_question;
const char *ipns_ask(node *n, struct local_question *a);

#endif
