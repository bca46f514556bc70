/* The metrics of a node over HTTP, for Prometheus: GET /metrics and nothing else. Off unless asked for; on loopback unless told otherwise in so
 * many words. A request is bounded in size and time, its Host is checked (a page in a browser could have a name that points here), and a
 * connection carries one. */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H
#include "cli/http_wire.h"
#include "cli/node.h"
#include "cli/serve.h"
#include <meshsub/metrics.h>

#define HTTP_SECONDS 10u         /* from accept to the last byte of the answer */

typedef struct http_options {
  const char *listen; /* "127.0.0.1:9090", "[::1]:9090"; port 0: any free one. NULL: off */
  text_list hosts;    /* names that a Host may have besides the address and localhost */
  bool open_to_network;
} http_options;

typedef struct http http;
/* Is the address one that may be used? -1, or an exit code with the error said. */
int http_check(const command *c, const http_options *o);
/* Listens, and says where on stderr. -1 and *out, or an exit code with the error said. */
int http_open(node *n, const http_options *o, http **out);
void http_close(http *h); /* NULL is fine */
server *http_server(http *h);

/* http_<name>_total. requests: answered with 200; the rest by why they were not. */
#define HTTP_COUNTS(X) X(clients_accepted) X(clients_refused) X(late) X(requests) X(requests_malformed) X(requests_too_long) X(hosts_refused) X(not_found)

/* All metrics of a node in the text format 0.0.4, of take(). h: NULL, without the endpoint's own. */
char *metrics_text(node *n, const http *h, size_t *len);
#endif
