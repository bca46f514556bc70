/* Names over HTTP, for those who speak no pubsub: GET, HEAD, PUT and OPTIONS of /routing/v1/ipns/{name}.
 *
 *   GET  ─▶ ops.get(name)          ─▶ routing_answer ─▶ 200 and the record │ 404
 *   PUT  ─▶ ops.put(name, record)  ─▶ routing_answer ─▶ 200 │ 400, 409 …   (a browser asks by OPTIONS first)
 *
 * Any page in a browser may ask (that is what CORS says here), so whoever runs it off loopback serves everybody. A body is bounded before it is read, a
 * connection in time, and it carries one request. What a record is worth is for the ops to say: nothing is verified here.
 * Source: IPFS specifications, "Delegated Routing V1 HTTP API"; where it leaves things open, boxo. */
#ifndef CLI_HTTP_ROUTING_H
#define CLI_HTTP_ROUTING_H
#include "cli/http_wire.h"
#include "cli/serve.h"
#include <meshsub/ipns.h>
#include <meshsub/metrics.h>

#define ROUTING_TYPE "application/vnd.ipfs.ipns-record"
#define ROUTING_SECONDS 30u      /* from accept to the last byte of the answer */
#define ROUTING_LINGER_NS UINT64_C(1000000000)
#define ROUTING_AGE_S 60u        /* for caches, of a record without a TTL */
#define ROUTING_MISSING_AGE_S 15u /* of "not found" */

/* What came of a get or a put. */
typedef struct routing_reply {
  /* get: OK; NOTFOUND, TIMEOUT: nobody has it. put: OK; MALFORMED, TIMEOUT: it is invalid, or has expired; MISMATCH: the one there is is better.
   * Both: LIMIT: ask later; anything else: not now. */
  int result;
  const char *why; /* a sentence without its end; NULL: that of the status */
  /* Of get, OK: views for the call. */
  const msub_ipns_record *record;
  int64_t received_ns, ends_ns; /* wall clock; ends_ns: it is not served any longer. INT64_MAX: after 2262 */
} routing_reply;

typedef struct routing_ops {
  /* Each is answered by one routing_answer() with the token, from inside or later. name and record are views for the call. */
  void (*get)(void *ud, msub_bytes name, uint64_t token);
  void (*put)(void *ud, msub_bytes name, msub_bytes record, uint64_t token);
  /* The client went away: an answer is not wanted any more, and harmless. */
  void (*gone)(void *ud, uint64_t token);
} routing_ops;

typedef struct routing_options {
  const char *listen; /* NULL: off */
  bool open_to_network;
} routing_options;

typedef struct routing routing;
/* Is the address one that may be used? `option`, `open_option`: as the command line has them. -1, or an exit code with the error said. */
int routing_check(const command *c, const char *option, const char *open_option, const routing_options *o);
/* Listens, and says where on stderr; ops must outlive it. -1 and *out, or an exit code with the error said. */
int routing_open(const command *c, const char *option, const char *open_option, const routing_options *o, const routing_ops *ops, void *ud, routing **out);
void routing_close(routing *r); /* NULL is fine */
server *routing_server(routing *r);
void routing_answer(routing *r, uint64_t token, const routing_reply *reply);

/* routing_<name>_total. gets, puts: requests that reached the ops; found, taken: answered with 200 (or 304). */
#define ROUTING_COUNTS(X)                                                                                           \
  X(clients_accepted) X(clients_refused) X(late) X(gets) X(found) X(puts) X(taken) X(preflights) X(malformed) X(too_long) X(not_acceptable) X(unknown)
void routing_metrics(const routing *r, const msub_metrics_opts *o);

#endif
