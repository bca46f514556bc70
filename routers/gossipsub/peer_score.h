/* routers/gossipsub/peer_score.h: the table of scores. It knows rows, topics, times and numbers, nothing of an engine.
 *
 *   rows: one per peer that is connected or remembered         topics: one column block each
 *   ┌───┬──────────────────────────────┐                       ┌───────────────────────────────────────────┐
 *   │ 1 │ P7, app, Σ topics, first ────┼──────────────────────▶│ slot: P2[] P3[] P3b[] P4[] graft[] flags[]  │
 *   │ 2 │ …                            │◀──────────────────────┼── peer[]           next[] ──▶ the peer's next topic
 *   └───┴──────────────────────────────┘                       └───────────────────────────────────────────┘
 *
 * A refresh walks the columns of each topic once: it decays and sums up. In between a counter that changes marks its row, and
 * the sum of a marked row is made again when somebody asks; whether it is above a threshold can often be told without. A freed slot belongs to row 0, which nobody reads.
 *
 *   addresses (score_address.h): how many rows have each
 *   origins (score_origin.h): what those owed who left, by address
 *   records (score_records.c): what became of a message and who brought it, in order of arrival, for record_ttl_ns */
#ifndef MSUB_ROUTERS_GOSSIPSUB_PEER_SCORE_H
#define MSUB_ROUTERS_GOSSIPSUB_PEER_SCORE_H
#include "meshsub/score.h"
#include "routers/gossipsub/score_address.h"

typedef struct msub__ps msub__ps;

/* The parameters and ctx must live as long. parity: P3 goes on after a prune, as in the reference; without it a prune ends it. NULL: no
 * memory. */
msub__ps *msub__ps_new(const msub_mem *mem, const msub_score_params *p, bool parity, msub__sa_hash hash, const void *ctx);
void msub__ps_free(msub__ps *ps);
size_t msub__ps_bytes(const msub__ps *ps);

/* ---- rows: 0 is none ---- */

/* The peer is connected. row: what msub__ps_down() left of it, or 0. tag: the owner's name for the peer. 0: no memory. */
uint32_t msub__ps_up(msub__ps *ps, uint32_t row, uint32_t tag);
/* The row if it still is this peer's; else 0. */
uint32_t msub__ps_row(const msub__ps *ps, uint32_t row, uint32_t tag);
/* Disconnected. *until: when it will be forgotten. 0: forgotten already. */
uint32_t msub__ps_down(msub__ps *ps, uint32_t row, uint64_t now, uint64_t *until);
uint64_t msub__ps_until(const msub__ps *ps, uint32_t row);
void msub__ps_forget(msub__ps *ps, uint32_t row);
/* Addresses (4 or 16 bytes) of its connections; replaces earlier ones. Loopback and allowed ones do not count. */
void msub__ps_addresses(msub__ps *ps, uint32_t row, const msub_bytes *a, size_t n);
/* It has come, from the addresses it has now: what others owed who left from there counts against it, in part. */
void msub__ps_inherit(msub__ps *ps, uint32_t row, uint64_t now);
/* It has other addresses while it is connected: what it owes is left at the old ones, and what is owed at the new ones counts, both once. The same
 * ones again are no move. */
void msub__ps_moved(msub__ps *ps, uint32_t row, const msub_bytes *a, size_t n, uint64_t now);
void msub__ps_app(msub__ps *ps, uint32_t row, double value);
double msub__ps_score(msub__ps *ps, uint32_t row);
/* score >= floor, without making a sum that good deeds have only raised since. */
bool msub__ps_at_least(msub__ps *ps, uint32_t row, double floor);
void msub__ps_penalty(msub__ps *ps, uint32_t row, double n);
/* While held, the score of a row is the one from before its grafts and prunes since the last release, so that it does not matter which
 * topic is looked at first. */
void msub__ps_hold(msub__ps *ps, bool on);
void msub__ps_release(msub__ps *ps);

/* ---- topics: 0 is none ---- */

/* The topic of this name, made if it is new; p: its parameters (copied). Given again, they are changed and counters above new caps
 * are cut. 0: no memory, or too many. */
uint32_t msub__ps_topic(msub__ps *ps, uint32_t name, const msub_topic_score *p);
uint32_t msub__ps_topic_find(const msub__ps *ps, uint32_t name);
const msub_topic_score *msub__ps_topic_params(const msub__ps *ps, uint32_t topic);
/* Nobody needs the topic any more; it goes when nothing in it counts. False: take that back. */
void msub__ps_topic_left(msub__ps *ps, uint32_t topic, bool left);
void msub__ps_topic_pin(msub__ps *ps, uint32_t topic); /* it never goes */
bool msub__ps_topic_pinned(const msub__ps *ps, uint32_t topic);
size_t msub__ps_topics(const msub__ps *ps);
uint32_t msub__ps_topic_name(const msub__ps *ps, uint32_t topic); /* 0: free; MSUB__NONE: there are no more */
/* One that went since the last call: its name; 0: none. */
uint32_t msub__ps_topic_gone(msub__ps *ps);

/* ---- what happens. hint: where the owner may keep the slot of (row, topic), zeroed at first; NULL: it has no place ---- */

void msub__ps_graft(msub__ps *ps, uint32_t row, uint32_t topic, uint32_t *hint, uint64_t now);
void msub__ps_prune(msub__ps *ps, uint32_t row, uint32_t topic, uint32_t *hint);
void msub__ps_first(msub__ps *ps, uint32_t row, uint32_t topic, uint32_t *hint);   /* P2 and P3 */
void msub__ps_useful(msub__ps *ps, uint32_t row, uint32_t topic, uint32_t *hint);  /* P2 alone */
void msub__ps_copy(msub__ps *ps, uint32_t row, uint32_t topic, uint32_t *hint);    /* P3 */
void msub__ps_invalid(msub__ps *ps, uint32_t row, uint32_t topic, uint32_t *hint); /* P4 */
void msub__ps_owes(msub__ps *ps, uint32_t row, uint32_t topic, uint32_t *hint, double n); /* P3b */
/* Is a member of the mesh near to owing: has it brought less than twice what P3 asks for? any: some member was, at the last refresh. */
bool msub__ps_any_near_owing(const msub__ps *ps, uint32_t topic);
bool msub__ps_near_owing(const msub__ps *ps, uint32_t row, uint32_t topic, const uint32_t *hint);

/* The same by the records. hash: of the id (and the topic, if ids may meet). */
typedef enum msub__ps_verdict { MSUB__PS_INVALID, MSUB__PS_IGNORED, MSUB__PS_THROTTLED, MSUB__PS_FORGED, MSUB__PS_NOTHING } msub__ps_verdict;
void msub__ps_validate(msub__ps *ps, uint64_t hash, uint64_t now);
void msub__ps_deliver(msub__ps *ps, uint64_t hash, uint32_t row, uint32_t topic, uint32_t *hint, uint64_t now);
void msub__ps_duplicate(msub__ps *ps, uint64_t hash, uint32_t row, uint32_t topic, uint32_t *hint, uint64_t now);
/* FORGED: authenticity; its sender alone pays, no record. NOTHING: not the peer's fault, no record. */
void msub__ps_reject(msub__ps *ps, uint64_t hash, uint32_t row, uint32_t topic, uint32_t *hint, uint64_t now, msub__ps_verdict v);
/* As duplicate, but nothing when there is no record. */
void msub__ps_again(msub__ps *ps, uint64_t hash, uint32_t row, uint32_t topic, uint32_t *hint, uint64_t now);

/* ---- time ---- */

void msub__ps_refresh(msub__ps *ps, uint64_t now);     /* decay; forgets whose time is over */
void msub__ps_gc(msub__ps *ps, uint64_t now);          /* forgets records and debts by their time */
void msub__ps_settle(msub__ps *ps, uint64_t now);      /* forgets records that can change nothing any more */

/* ---- to look at ---- */

uint32_t msub__ps_rows(const msub__ps *ps); /* rows are 1 … this; some are free */
uint32_t msub__ps_origins(const msub__ps *ps); /* addresses with debts */
size_t msub__ps_records(const msub__ps *ps);
/* false: free. out->topics points to `t`, at most cap. */
bool msub__ps_look(msub__ps *ps, uint32_t row, msub_peer_score *out, msub_peer_topic_score *t, size_t cap);
#endif
