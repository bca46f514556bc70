#include "host/exchange.h"
#include "host/handlers.h"
#include "host/identify.h"
#include "host/ping.h"
#include "host/session.h"

/* Streams of one kind that a connection may have open to us. */
static bool full(const msub__conn *c, const msub__stream_ops *ops) {
  if (ops == &msub__identify_serve_ops) return c->identify_in >= MSUB__HOST_IDENTIFY_INBOUND;
  if (ops == &msub__identify_push_ops) return c->push_in >= MSUB__HOST_PUSH_INBOUND;
  if (ops == &msub__ping_serve_ops) return c->ping_in >= MSUB__HOST_PING_INBOUND;
  return false;
}

static const struct {
  const char *id;
  const msub__stream_ops *ops;
} fixed[] = {
  { MSUB__IDENTIFY_ID, &msub__identify_serve_ops },
  { MSUB__IDENTIFY_PUSH_ID, &msub__identify_push_ops },
  { MSUB__PING_ID, &msub__ping_serve_ops },
};
#define FIXED (sizeof fixed / sizeof *fixed)

const msub__stream_ops *msub__handlers_find(const msub__conn *c, msub_bytes token, msub_bytes *id) {
  for (size_t i = 0; i < FIXED; i++) {
    *id = msub_str(fixed[i].id);
    if (msub_bytes_eq(token, *id)) return full(c, fixed[i].ops) ? NULL : fixed[i].ops;
  }
  for (size_t g = 0; g < c->host->n_groups; g++) {
    const msub__group *group = &c->host->groups[g];
    for (size_t i = 0; i < group->n; i++) {
      *id = group->ids[i];
      if (msub_bytes_eq(token, *id)) return &msub__pubsub_in_ops;
    }
  }
  return msub__exchange_find(c->host, token, id);
}

bool msub__handlers_own(const msub_host *h, msub_bytes id) {
  for (size_t i = 0; i < FIXED; i++) {
    if (msub_bytes_eq(id, msub_str(fixed[i].id))) return true;
  }
  return msub__handlers_group(h, id) != NULL;
}

size_t msub__handlers_list(const msub_host *h, msub_bytes *out, size_t cap, size_t *of_exchange) {
  size_t n = 0;
  for (size_t i = 0; i < FIXED && n < cap; i++) out[n++] = msub_str(fixed[i].id);
  for (size_t g = 0; g < h->n_groups; g++) {
    for (size_t i = 0; i < h->groups[g].n && n < cap; i++) out[n++] = h->groups[g].ids[i];
  }
  *of_exchange = msub__exchange_list(h, out + n, cap - n);
  return n + *of_exchange;
}

const msub__group *msub__handlers_group(const msub_host *h, msub_bytes id) {
  for (size_t g = 0; g < h->n_groups; g++) {
    for (size_t i = 0; i < h->groups[g].n; i++) {
      if (msub_bytes_eq(h->groups[g].ids[i], id)) return &h->groups[g];
    }
  }
  return NULL;
}
