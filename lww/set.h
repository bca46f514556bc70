/* lww/set.h: what the files of the register set share.
 *
 *   msub_lww ── entries[] ◀── table (name)          a topic has an entry while it is joined, while something of it waits for the store, or, without
 *      │            └─ entry { winner, staged }      a store, as long as it has a winner; an entry that is there knows everything, and then nobody asks
 *      │                                             the store
 *      └─ waiting: ring of what was submitted, in order; each holds its record and pins its entry */
#ifndef MSUB_LWW_SET_H
#define MSUB_LWW_SET_H
#include "base/list.h"
#include "base/ring.h"
#include "base/table.h"
#include "meshsub/lww.h"

#define MSUB__LWW_TOPIC 256u     /* bytes of a topic's name */
#define MSUB__LWW_RESEND_NS UINT64_C(1000000000)
#define MSUB__LWW_JUMP (UINT64_C(1) << 32)
#define MSUB__LWW_ROUTER_TOPIC 127u /* bytes of a name with the router: behind a 0 it is an id */

typedef struct msub__lww_record {
  uint32_t refs;
  uint32_t n;
  int64_t received, expires;
  uint8_t source, from_n, id_n; /* id_n 0: no id; the set is not with the router */
  bool restored;
  uint8_t bytes[]; /* the record, then from, then the id */
} msub__lww_record;

typedef struct msub__lww_entry {
  msub__node unsaved;         /* in the set's list, or alone */
  msub__lww_record *winner;   /* NULL: none */
  msub__lww_record *staged;   /* the newest owner's record that waits to be durable */
  uint64_t hash, resent;      /* of the name; mono time of the last repetition */
  msub_topic topic;           /* while it is joined */
  uint32_t index, pins;       /* in entries; reasons to stay: what waits, and calls under way */
  bool joined, pool;          /* pool: its records were verified before admit */
  bool durable;               /* the winner is */
  bool counted;               /* among the set's topics */
  bool by_id;                 /* the winner is in the set's ids */
  uint16_t name_n;
  uint8_t name[];
} msub__lww_entry;

typedef struct msub__lww_waiting {
  uint64_t token;
  msub__lww_entry *e;
  msub__lww_record *r; /* NULL: the topic is forgotten */
  msub_token user;
  bool owner, publish;
} msub__lww_waiting;

struct msub_lww {
  msub_mem mem;
  msub_lww_opts o;
  uint8_t prefix[128];
  msub_lww_ops ops;           /* what an older table lacks is NULL */
  msub__hashkey key;
  msub__table table;
  msub__lww_entry **entries;
  uint32_t n, cap;
  msub__ring waiting;         /* msub__lww_waiting */
  msub__node unsaved;
  uint64_t last_token;
  uint8_t *scratch;           /* topic, then a stored value */
  size_t scratch_cap;
  bool with_router;           /* the engine's router is msub_lww_router */
  msub__table ids;            /* with it: of the winners of joined topics */
  msub_channel_policy own;    /* with it and a message_id of the type: says that, and leaves the rest to the router */
  msub_lww_counts counts;
};

static inline msub_bytes msub__lww_name(const msub__lww_entry *e) { return (msub_bytes){ e->name, e->name_n }; }
static inline msub_bytes msub__lww_bytes(const msub__lww_record *r) { return (msub_bytes){ r->bytes, r->n }; }
static inline msub_bytes msub__lww_from(const msub__lww_record *r) { return (msub_bytes){ r->bytes + r->n, r->from_n }; }
static inline msub_bytes msub__lww_id(const msub__lww_record *r) { return (msub_bytes){ r->bytes + r->n + r->from_n, r->id_n }; }
static inline bool msub__lww_stored(const msub_lww *l) { return l->o.store.ops != NULL; }

/* ---- set.c ---- */
typedef struct msub__lww_origin { msub_lww_source source; msub_bytes from; int64_t received; bool restored; } msub__lww_origin;
msub__lww_record *msub__lww_record_new(msub_lww *l, msub_bytes topic, msub_bytes bytes, const msub__lww_origin *o); /* NULL: no memory */
msub__lww_record *msub__lww_hold(msub__lww_record *r);
void msub__lww_drop(msub_lww *l, msub__lww_record *r); /* NULL is fine */
msub__lww_entry *msub__lww_find(const msub_lww *l, msub_bytes topic);
/* The entry of a topic, made and filled from the store if need be; pinned. NULL: no memory. */
msub__lww_entry *msub__lww_entry_get(msub_lww *l, msub_bytes topic);
void msub__lww_unpin(msub_lww *l, msub__lww_entry *e); /* it goes when nothing keeps it */
void msub__lww_set_winner(msub_lww *l, msub__lww_entry *e, msub__lww_record *r); /* takes r over; NULL: none */
void msub__lww_recount(msub_lww *l, msub__lww_entry *e); /* after winner or staged became another one */
/* The stored winner; views hold until the next call into the store. NOTFOUND; IO, MALFORMED: counted as damaged. */
typedef struct msub__lww_stored_record { msub_bytes record; msub_lww_source source; int64_t received; } msub__lww_stored_record;
int msub__lww_load(msub_lww *l, msub_bytes topic, msub__lww_stored_record *out);
bool msub__lww_value_read(msub_lww *l, msub_bytes topic, msub_bytes value, msub__lww_stored_record *out);
int msub__lww_submit(msub_lww *l, msub__lww_entry *e, msub__lww_record *r, bool owner, bool publish, msub_token user); /* r NULL: the topic goes */
int64_t msub__lww_expires(const msub_lww *l, msub_bytes topic, msub_bytes record, int64_t received);
msub_lww_view msub__lww_view_of(const msub__lww_entry *e);

/* ---- put.c ---- */
/* A put, but that nothing is published. */
int msub__lww_take(msub_lww *l, msub_bytes topic, msub_bytes record, const msub_lww_how *how, int64_t wall, msub_token user);

/* A joined entry with this id as its winner's that `fits`; NULL. Shows one after the other until one does. */
msub__lww_entry *msub__lww_by_id(const msub_lww *l, msub_bytes id, bool (*fits)(void *ud, const msub__lww_entry *e), void *ud);
void msub__lww_index(msub_lww *l, msub__lww_entry *e); /* after the winner, or `joined`, became another one */

/* ---- router.c ---- */
enum { MSUB__LWW_ATTACH = 0x6c777701, MSUB__LWW_DETACH, MSUB__LWW_GREET, MSUB__LWW_RETELL }; /* msub_command(): arg is a msub_lww *, a msub_session, a msub_topic */

/* ---- share.c ---- */
void msub__lww_publish(msub_lww *l, msub__lww_entry *e, const msub_now *now); /* the winner, if the topic is joined */
void msub__lww_leave_all(msub_lww *l);
/* What a message's record means for the set, and so for the message. from.v == 0: an own publish. */
msub_verdict msub__lww_admit(msub_lww *l, msub_bytes topic, const msub_msg *m, msub_session from);
#endif
