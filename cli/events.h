/* What happens in a node, as JSON objects: what "meshsub node --json" prints and the local socket sends. */
#ifndef CLI_EVENTS_H
#define CLI_EVENTS_H
#include "cli/text.h"
#include <meshsub/host.h>

/* A message; `ev` (may be NULL) stands in front. from: who brought it, empty for an own one. */
json_t *message_json(msub_bytes topic, const msub_msg *m, msub_bytes from, const char *ev);
/* An event; topic: the name of ev->topic, when the event has one. */
json_t *event_json(const msub_host_event *ev, msub_bytes topic);

#endif
