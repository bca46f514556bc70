/* routers/gossipsub/extensions.h: what extensions.c and partial.c share. Made when an extension is switched on and the first session
 * needs it.
 *
 *   by slot   what a session announced and was told; its share of work
 *   groups    partial messages: an array, found by (topic, id); those of a topic are chained, newest first
 *
 *     topic.groups ─▶ ┌ group ──────────────────────┐ ─ next ─▶ …
 *                     │ topic, id, ttl, whose       │
 *                     │ ┌─────────┬───────┐┌─────── │  records, in the order in which peers came; stride bytes each
 *                     │ │ session │ state ││ …      │
 *                     └─┴─────────┴───────┴┴────────┘ */
#ifndef MSUB_ROUTERS_GOSSIPSUB_EXTENSIONS_H
#define MSUB_ROUTERS_GOSSIPSUB_EXTENSIONS_H
#include "base/table.h"
#include "meshsub/partial.h"
#include "routers/gossipsub/gossipsub.h"

typedef struct msub__gs_ext_session {
  uint32_t session;    /* 0: none in this slot */
  uint32_t tick;       /* heartbeat that rpcs and bytes belong to */
  uint32_t rpcs, bytes;
  uint32_t states;     /* in groups */
  uint8_t theirs;      /* MSUB_EXT_*: the peer's, by its newest stream */
  uint8_t said;        /* ours, in the hello of our stream */
  bool agreed, tested; /* the peer has confirmed our stream; the test RPC went out */
} msub__gs_ext_session;

typedef struct msub__gs_group {
  msub_topic topic;     /* 0: free */
  uint32_t prev, next;  /* of its topic, index + 1; next: free list */
  uint32_t beginner;    /* the session that began it; 0: ours */
  uint32_t n, cap;
  uint16_t stride;
  uint8_t ttl, id_n;
  uint8_t *id, *records;
} msub__gs_group;

struct msub__gs_ext {
  msub__gs_ext_session *by_slot;
  uint32_t n_slots;
  msub__gs_group *g;
  uint32_t n, cap, free, live, foreign; /* groups: used so far; free list, index + 1 */
  msub__table table;
  uint32_t states;
  size_t bytes;         /* of records and ids */
  msub_partial_usage counts; /* only what is counted for ever */
};

struct msub__gs_ext *msub__gs_ext_need(msub_router *r); /* NULL: no memory */
/* NULL: there is nothing known of it. */
msub__gs_ext_session *msub__gs_ext_of(const msub_router *r, msub_session s);
/* Are partial messages in use with this peer? */
bool msub__gs_partial_with(const msub_router *r, msub_session s);
bool msub__gs_partial_in(msub_router *r, msub_session s, msub__gs_ext_session *x, const msub_ctl_entry *e);
void msub__gs_partial_forget(msub_router *r, msub_session s); /* its states in all groups go */
void msub__gs_partial_fini(msub_router *r);
#endif
