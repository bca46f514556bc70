/* pubsub/mcache.h: the sliding window of accepted messages out of which IWANT is answered and IHAVE is made.
 *
 *   ring of entries, in order of arrival; an entry's number never changes
 *     first                                           next
 *     ┌─────────┬─────────┬─────────┬─────────┬─────────┐      entry: message, window, the next one of its topic
 *     │ w 3  t ─┼─────────┼▶ w 4  t─┼─▶ w 5 t │  w 5  u │      index: id → number
 *     └─────────┴─────────┴─────────┴─────────┴─────────┘      topic: number of its first entry, how many
 *       goes at the next shift when there are 3 windows
 *
 * Who asked for what how often is counted beside it, for the few messages that somebody asked for. */
#ifndef MSUB_PUBSUB_MCACHE_H
#define MSUB_PUBSUB_MCACHE_H
#include "base/table.h"
#include "meshsub/message.h"

struct msub_shared;
typedef struct msub__mcache msub__mcache;
/* Told of each message that leaves; `number` is its entry. */
typedef void (*msub__mcache_gone)(void *ud, uint32_t topic_name, uint32_t next_of_topic);

/* gossip <= windows. NULL: no memory. */
msub__mcache *msub__mcache_new(struct msub_shared *sh, unsigned windows, unsigned gossip, size_t max_bytes, msub__mcache_gone gone, void *ud);
void msub__mcache_free(msub__mcache *c, struct msub_shared *sh);
/* Puts a message (held) behind the topic's last one (number `last`, when `chain`). Evicts the oldest until it fits: *evicted counts. Its number, or
 * MSUB__NONE: there (the id of this topic) already, larger than all the room, or no memory. */
uint32_t msub__mcache_put(msub__mcache *c, const msub_msg *m, bool chain, uint32_t last, uint64_t *evicted);
/* The message with this id, of whatever topic; NULL. */
const msub_msg *msub__mcache_get(const msub__mcache *c, msub_bytes id);
/* The same, and counts that the peer asked: *times becomes how often it has. `peer`: any number that stays the peer's. */
const msub_msg *msub__mcache_ask(msub__mcache *c, msub_bytes id, uint32_t peer, uint32_t *times);
void msub__mcache_unask(msub__mcache *c, msub_bytes id, uint32_t peer); /* the last ask did not count */
const msub_msg *msub__mcache_age(const msub__mcache *c, msub_bytes id, uint32_t *age); /* how many shifts ago it came; NULL: not here */
/* The ids of a topic's messages in the newest `gossip` windows, newest window first, in order of arrival within one. At most max. */
size_t msub__mcache_gossip(const msub__mcache *c, uint32_t first, uint32_t n, msub_bytes *ids, size_t max);
/* A heartbeat passed: a new window begins, the oldest one goes. */
void msub__mcache_shift(msub__mcache *c);
size_t msub__mcache_count(const msub__mcache *c);
size_t msub__mcache_counters(const msub__mcache *c); /* messages with counters of askers */
#endif
