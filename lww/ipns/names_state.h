/* lww/ipns/names_state.h: what msub_names is made of.
 *
 *   names     every name that is known, by index             names.c
 *   lists     names without a flag, and what each peer had kept: the oldest goes first
 *   subs      joined topics, at most max_subscribed           names_topics.c
 *   peers     and what each is to be asked for (tasks)        names_fetch.c
 *   pending   what waits for the store                        names_keep.c
 *   resolves, own keys                                        names_resolve.c, names_publish.c
 *
 * Records are the registers' (lww.h): one a topic. Hooks and answers only write down what happened; msub_names_turn() does the work, with a time and outside of
 * every callback. */
#ifndef MSUB_LWW_NAMES_STATE_H
#define MSUB_LWW_NAMES_STATE_H
#include "base/deadline.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/table.h"
#include "meshsub/lww.h"
#include "meshsub/names.h"

#define MSUB__NAMES_OWN 1000u        /* keys of the republisher */
#define MSUB__NAMES_ID 46            /* bytes of a peer id: an identity one has 44 at most */
#define MSUB__NAMES_SEQ_MAX (UINT64_MAX >> 1)
#define MSUB__NAMES_SWEEP 256u       /* names looked at in a second for what ended */
#define MSUB__NAMES_STEPS 64u        /* answers judged in a turn: a signature each */
#define MSUB__NAMES_LIFE_MAX_NS (UINT64_C(100) * 366 * 24 * 3600 * MSUB__S)
#define MSUB__NAMES_VALUE_MAX 4096u
#define MSUB__NAMES_TOLD 1024u       /* changes told in a turn */
#define MSUB__NAMES_TOKEN UINT64_C(0x6e616d6500000000)     /* of rows, and of what is asked of the registers: "name" */
#define MSUB__NAMES_LWW_TOKEN UINT64_C(0x69706e0000000000) /* of the registers themselves: "ipn" */

enum { MSUB__NAMES_FLAGS_STORED = MSUB_NAMES_FOLLOWED | MSUB_NAMES_KEPT | MSUB_NAMES_KEPT_OPEN };

typedef struct msub__names_list { uint32_t oldest, newest, n; } msub__names_list;

typedef struct msub__name {
  uint8_t id_n, flags; /* id_n 0: free, `older` is the next free one */
  bool listed, dirty;
  uint8_t id[MSUB__NAMES_ID];
  uint32_t gen, sub, giver; /* giver: MSUB__NONE, or whose quota it counts in */
  uint32_t older, newer;    /* in its list */
  uint32_t record_n;        /* bytes of its record; 0: none */
  uint32_t lifetime_s;      /* of own ones; 0: the default */
  int64_t used_ns;          /* wall clock */
} msub__name;

/* Who brought names that are kept open. */
typedef struct msub__giver {
  msub_peer_id id;
  msub__names_list names; /* n 0: free, `oldest` is the next free one */
  size_t bytes;
} msub__giver;

typedef struct msub__sub {
  msub_names *n;
  msub_topic t;
  uint32_t name, index; /* in subs */
  uint64_t used, again; /* monotonic; again: when it is sent once more */
  uint64_t asked;       /* peers that were asked for it */
  msub__node resolves;
} msub__sub;

typedef struct msub__names_early { uint32_t name, gen; } msub__names_early;
typedef struct msub__names_peer {
  msub_peer_id id;
  uint64_t hash;
  uint32_t index;
  bool outbound, identified, fresh; /* fresh: it was not asked early yet */
  bool mute;                        /* it does not speak fetch */
  uint32_t running;
  msub__node waiting; /* tasks */
  msub__node in_ready;     /* waiting is not empty, and it may be asked */
  msub__names_early *early; /* answered before it announced: not asked again when it does */
  uint32_t n_early, n_met;
} msub__names_peer;

typedef enum msub__names_task_state { MSUB__TASK_WAITS, MSUB__TASK_RUNS, MSUB__TASK_ANSWERED } msub__names_task_state;
typedef struct msub__names_task {
  msub_names *n;
  msub__names_peer *peer; /* NULL: it left */
  uint32_t name, gen, index;
  msub__names_task_state state;
  bool early, opened; /* opened: met by the open keeper */
  bool again;         /* the peer announced the topic while it was asked early */
  uint8_t tries;      /* of a name that was met, before this one */
  msub_token token;
  int result;
  uint8_t *value;
  uint32_t value_n, value_cap;
  msub__node in_peer, in_queue; /* waiting of the peer, or answers */
} msub__names_task;

typedef struct msub__names_resolve {
  msub__node in_sub, in_all;
  uint64_t token, deadline, asked;
  uint32_t name;
  msub_names_resolve_done done;
  void *ud;
  msub_ipns_fault fault;
  bool invalid;
} msub__names_resolve;

/* A call whose outcome the store tells. */
typedef struct msub__names_pending {
  msub__node node;
  uint64_t row, record; /* tokens that are awaited; 0: none */
  uint32_t name, gen;
  int result;
  bool shows;  /* done is shown the record */
  bool again;  /* the republisher's */
  uint64_t sequence; /* of an own record that waits: the next one counts on from it */
  uint8_t *value;
  size_t value_n;
  msub_names_done done;
  void *ud;
} msub__names_pending;

typedef struct msub__names_own { const msub_key *key; uint32_t name, gen; uint64_t at; bool busy; } msub__names_own;

/* A topic that a peer announced, for the open keeper: it may be announced before there is a record, so who has none is asked again. */
typedef struct msub__names_met {
  msub__node node; /* of met, or of met_later until `at`: in that order */
  msub__names_peer *peer;
  msub_peer_id name;
  uint64_t at;
  uint8_t tries;
} msub__names_met;

struct msub_names {
  msub_mem mem;
  msub_names_opts o;
  msub__hashkey hashkey;
  msub__rng rng;
  msub_lww *lww;
  msub_names_counts count;
  bool open, loading; /* loading: nothing is evicted */
  msub_now last;      /* of the last turn */
  char prefix[72];    /* of rows */
  size_t prefix_n;

  msub__name *names;
  uint32_t n_names, cap_names, free_name, swept; /* n_names: of the array that were ever used */
  msub__table by_id;
  uint32_t *dirty, n_dirty, cap_dirty; /* names whose record changed; room for all */
  msub__names_list loose;
  msub__giver *givers;
  uint32_t n_givers, cap_givers, free_giver;
  msub__table by_giver;

  msub__sub **subs;
  uint32_t n_subs, cap_subs;

  msub__names_peer **peers;
  uint32_t n_peers, cap_peers;
  msub__table by_peer;
  msub__names_task **tasks;
  uint32_t n_tasks, cap_tasks, running;
  msub__table by_task;
  msub__node ready, answers, met, met_later;
  uint32_t n_met;
  bool fresh; /* a peer is */

  msub__node resolves, pending;
  uint64_t last_token;
  bool settled; /* something pending is */
  msub__names_own *own;
  uint32_t n_own, cap_own;
  uint64_t subs_at, resolves_at, own_at, sweep_at; /* monotonic: when each looks again */
  uint64_t next;
};

/* ---- names.c ---- */

static inline msub_bytes msub__name_id(const msub__name *e) { return (msub_bytes){ e->id, e->id_n }; }
static inline bool msub__name_is(const msub_names *n, uint32_t i, uint32_t gen) { return i < n->n_names && n->names[i].id_n && n->names[i].gen == gen; }
uint32_t msub__names_find(const msub_names *n, msub_bytes id); /* MSUB__NONE */
/* The one there is, or a new one without flags. LIMIT, NOMEM. */
int msub__names_add(msub_names *n, msub_bytes id, const msub_now *now, uint32_t *out);
/* With its record, its topic and its row. Not one that is followed or kept by the program. */
void msub__names_drop(msub_names *n, uint32_t i, const msub_now *now);
void msub__names_use(msub_names *n, uint32_t i, const msub_now *now); /* it was asked for */
/* Around a change of its flags or its giver: the list it stands in follows from them. */
void msub__names_unlist(msub_names *n, uint32_t i);
void msub__names_list_in(msub_names *n, uint32_t i);
void msub__names_soon(msub_names *n, uint64_t at);
bool msub__names_view(msub_names *n, uint32_t i, int64_t wall_ns, msub_names_view *out); /* false: no record; flags are set all the same */
bool msub__names_valid(msub_names *n, uint32_t i, int64_t wall_ns);
uint64_t msub__names_token(msub_names *n);

/* ---- names_topics.c ---- */

extern const msub_lww_ops msub__ipns_lww_ops, msub__ipns_lww_ops_8192;
extern const unsigned msub__ipns_bits, msub__ipns_bits_8192; /* their types */
static inline unsigned msub__names_bits(const msub_names *n) { return n->o.rsa8192 ? msub__ipns_bits_8192 : msub__ipns_bits; }
/* Joins the topic if that is not so, and asks who may have the record. LIMIT: no room. */
int msub__sub_open(msub_names *n, uint32_t i, const msub_now *now);
void msub__sub_close(msub__sub *s, const msub_now *now);
void msub__subs_turn(msub_names *n, const msub_now *now); /* rebroadcast and idle ones; sets the next time */
/* Judges and takes it. OK; MALFORMED, *fault; TIMEOUT: expired; MISMATCH: not better; or what the registers say. MSUB_MORE: the store tells `token`. */
int msub__names_take(msub_names *n, uint32_t i, msub_bytes record, msub_lww_source source, msub_bytes from, bool publish, uint64_t token, const msub_now *now,
                     msub_ipns_fault *fault);
/* Of the registers. */
void msub__names_changed(void *names, msub_bytes topic, const msub_lww_view *winner);
void msub__names_alarmed(void *names, msub_bytes topic, msub_lww_alarm what, msub_bytes winner, msub_bytes other);

/* ---- names_fetch.c ---- */

int msub__fetch_lookup(void *ud, msub_bytes peer_id, msub_bytes key, msub_bytes *value);
msub__names_peer *msub__names_peer_of(msub_names *n, msub_bytes id, bool add);
void msub__names_ask(msub_names *n, msub__names_peer *p, uint32_t name, bool early, bool first);
void msub__names_ask_met(msub_names *n, msub__names_peer *p, uint32_t name, uint8_t tries);
void msub__sub_ask(msub__sub *s); /* everybody who may have it */
void msub__fetch_turn(msub_names *n, const msub_now *now);
void msub__fetch_fini(msub_names *n);

/* ---- names_keep.c ---- */

int msub__names_load(msub_names *n, const msub_now *now);
/* Writes what is to outlast a restart. *token: awaited; 0: there is no store. */
int msub__names_row(msub_names *n, uint32_t i, uint64_t *token);
int msub__pending_new(msub_names *n, uint32_t i, msub_names_done done, void *ud, msub__names_pending **out);
void msub__pending_drop(msub_names *n, msub__names_pending *p);
bool msub__pending_told(msub_names *n, uint64_t token, int result);
void msub__names_stored(void *names, msub_bytes topic, msub_token token, int result); /* of the registers */
void msub__pending_turn(msub_names *n, const msub_now *now);
/* Sets and clears flags, and keeps counts, lists and the row in step; errors undo it. */
int msub__names_mark(msub_names *n, uint32_t i, unsigned set, unsigned clear, uint64_t *token);
void msub__keep_turn(msub_names *n, const msub_now *now);
void msub__keep_fini(msub_names *n);
void msub__keep_opened(msub_names *n, uint32_t i, msub_bytes peer, const msub_now *now);
void msub__met_forget(msub_names *n, const msub__names_peer *p);
void msub__met_later(msub_names *n, msub__names_peer *p, msub_bytes name, uint8_t tries, const msub_now *now);
/* Its record has another length now. */
void msub__giver_resize(msub_names *n, uint32_t i, uint32_t bytes);
void msub__giver_leave(msub_names *n, uint32_t i);

/* ---- names_resolve.c, names_publish.c ---- */

void msub__resolves_wake(msub_names *n, uint32_t name, int64_t wall_ns);
void msub__resolves_invalid(msub__sub *s, msub_ipns_fault fault);
void msub__resolves_turn(msub_names *n, const msub_now *now);
void msub__own_turn(msub_names *n, const msub_now *now);
void msub__own_told(msub_names *n, const msub__names_pending *p, const msub_now *now);
void msub__own_fini(msub_names *n);
void msub__resolves_fini(msub_names *n);
#endif
