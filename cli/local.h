/* The local application socket: programs on this machine use a running node through it. docs/socket.md is its protocol: frames of a length
 * and a JSON object, version 1. Nothing here waits: a client that does not read loses messages of its own, counted, and is not read. */
#ifndef CLI_LOCAL_H
#define CLI_LOCAL_H
#include "cli/node.h"
#include "cli/serve.h"
#include <meshsub/metrics.h>

#define LOCAL_VERSION 1
#define LOCAL_FRAME_BYTES (2u << 20) /* of a request: 1 MiB of data in base64, and more */
#define LOCAL_EVENT_BYTES (1u << 20) /* events that wait for a client; above it they are dropped, an empty queue takes one of any size */
#define LOCAL_CREDIT 65536u          /* messages that a client may have asked for */
#define LOCAL_TOPICS 256u            /* of a client: subscribed to or published on */
#define LOCAL_DIALS 16u              /* of a client under way */
#define LOCAL_LATER 64u          /* requests of a client whose answer comes by itself, beside dials */
#define LOCAL_NAMES 256u         /* that a client follows */
#define LOCAL_REQUESTS 64u           /* of a client in a turn of the loop */

typedef struct local local;
/* Takes the path (hold.h) and listens. -1 and *out, or an exit code with the error said. The node must be open, and outlive it. */
int local_open(node *n, const char *path, local **out);
void local_close(local *l); /* NULL is fine */

/* Of the program's poll loop, as in serve.h. */
server *local_server(local *l);

/* A request that another part of the command answers (ipns_node.h). */
typedef struct local_question {
  const char *op;
  const json_t *q;  /* its members */
  json_t *out;      /* of the answer */
  const char *code; /* of an error: for programs */
  bool later;       /* set: local_answer() comes, with this ticket */
  uint64_t ticket;
  void *client;     /* local.c's; NULL: the question came from the program itself */
} local_question;
/* The answer of a question that was left for later. Takes the reference of out; why NULL: it went well. Of a client that is gone nothing happens. */
void local_answer(local *l, uint64_t ticket, json_t *out, const char *why, const char *code);
/* The client hears of this name's records from now on, or no longer. LIMIT: LOCAL_NAMES. */
int local_follow(const local_question *a, msub_bytes name, bool on);
void local_name(local *l, msub_bytes name, const json_t *record); /* a better record is there (ipns_json) */
/* A frame of this client brings or takes away a secret: nothing of it is left in the buffers. */
void local_secret(const local_question *a);
bool local_number(const json_t *q, const char *key, uint64_t most, uint64_t *out); /* false: not there, or no such number */

/* From the node's callbacks. */
void local_message(local *l, msub_topic t, const msub_msg *m, msub_bytes from);
void local_event(local *l, const msub_host_event *ev);
void local_log(local *l, msub_log_level level, const char *module, const char *line);
void local_result(local *l, int err, uint32_t recipients);

/* The most talkative level that a client asked for; -1: nobody asked. */
int local_log_level(const local *l);
/* socket_<name>_total for every name of LOCAL_COUNTS, socket_clients; in the order of metrics.h. */
#define LOCAL_COUNTS(X) X(clients_accepted) X(clients_refused) X(clients_stalled) X(requests) X(requests_failed) X(frames_malformed) X(frames_over_limit) X(messages) X(messages_dropped) X(events_dropped)
void local_metrics(const local *l, const msub_metrics_opts *o);

#endif
