/* routers/gossipsub/gossipsub.h: the router's blocks and what its files ask of each other.
 *
 *   engine's call            file                     what it does
 *   ─────────────            ────                     ────────────
 *   control ──▶ control.c ─┬▶ ihave.c ── asks.c       asks for what is missing (IWANT)
 *                          ├▶ iwant.c ── served.c     answers out of the cache
 *                          ├▶ graft.c ─┐
 *                          ├▶ prune.c ─┼─ px.c        mesh changes that the peer wants
 *                          └▶ idontwant.c             what not to send; also says so for large messages (arrived)
 *   accept_from ──▶ gater.c                           who is heard while there is no room to validate everything
 *   join, leave ──▶ mesh.c ┐
 *   advance ──▶ heartbeat.c┼▶ candidates.c backoff.c  who may come in
 *                    │     └▶ actions.c ── retry.c    GRAFT and PRUNE of one peer in one RPC; what was dropped is sent again
 *                    ├▶ opportunistic_graft.c fanout.c direct.c
 *                    └▶ gossip.c                      IHAVE to peers outside the mesh
 *   anything ──▶ score.c ── peer_score.c promises.c   what it does for the peer's score
 *                     └▶ probe.c                       whether members of the mesh forward
 *   publish ──▶ publish.c ── fanout.c idontwant.c     recipients
 *   hello, extension ──▶ extensions.c ── partial.c    what both sides announced; groups of partial messages
 *
 *   state      heartbeat's time and count; tables, each a pointer until it is used
 *   topic      members of the mesh of a joined topic, or of the fanout of one that is only published on (never both)
 *   session    features; counters of this heartbeat
 *   peer       head of the chain of its backoffs: they outlive the session
 *   link       flags, so that a walk over a topic's peers reads nothing else
 *
 * Time limits of a peer's counters: a counter belongs to the heartbeat in msub__gs_session.tick and counts as 0 in any other. */
#ifndef MSUB_ROUTERS_GOSSIPSUB_GOSSIPSUB_H
#define MSUB_ROUTERS_GOSSIPSUB_GOSSIPSUB_H
#include "base/assert.h"
#include "base/deadline.h"
#include "base/mem.h"
#include "meshsub/gossipsub.h"
#include "routers/gossipsub/gater.h"
#include "routers/gossipsub/limits.h"
#include "routers/gossipsub/score.h"

/* ---- blocks ---- */

typedef struct msub__gs {
  uint64_t next_heartbeat;
  msub_topic *active; /* joined topics and fanouts, in the order in which they became so */
  uint32_t n_active, cap_active;
  struct msub__gs_backoffs *backoffs;
  struct msub__gs_unwanted *unwanted;
  struct msub__gs_asks *asks;
  struct msub__gs_retries *retries;
  struct msub__gs_directs *directs;
  struct msub__gs_gater *gater;
  struct msub__gs_scores *scores; /* made for the first session */
  uint64_t began;
  struct msub__gs_ext *ext;
  struct msub__gs_served *served;   /* in this heartbeat, by peer */
  struct msub__gs_adverts *adverts; /* with iwant.advertised_only; NULL: nobody heard gossip for a while */
  uint32_t probes_out;              /* in all topics (probe.h) */
  uint32_t tick;   /* heartbeats so far */
  /* the control RPC that is being handled; a long one comes in several calls */
  struct msub__gs_wants *wants; /* what its IHAVEs have that we lack */
  uint32_t serial;
  uint32_t rpc_name, rpc_ids; /* topic of its last IHAVE, ids of that looked at */
  uint16_t rpc_unwanted;      /* ids of IDONTWANT taken */
  uint8_t rpc_is;             /* MSUB__GS_RPC_* */
  bool rpc_open;              /* it goes on in the next call */
  bool parity;
  uint16_t hints; /* given to the world in this heartbeat */
} msub__gs;
enum { MSUB__GS_RPC_IHAVE = 1, MSUB__GS_RPC_IDONTWANT = 2 }; /* counted already */

typedef enum msub__gs_mode { MSUB__GS_NONE, MSUB__GS_MESH, MSUB__GS_FANOUT } msub__gs_mode;
typedef struct msub__gs_topic {
  msub_session *s;       /* members, ascending */
  struct msub__gs_probes *probes; /* beside them; NULL: nobody is asked */
  uint64_t last_publish; /* fanout: when it was used */
  uint32_t answered;     /* serial of the last control RPC that got a PRUNE for this topic */
  uint32_t apart;        /* links that are MSUB__GS_APART */
  uint32_t out_free;     /* links to outbound peers that are no members */
  uint16_t n, cap;
  uint16_t outbound;     /* members */
  uint16_t score;        /* of the joined topic in the table of scores; see score.c */
  uint8_t mode;
  uint8_t partial;       /* MSUB_SUB_*: how we take part in partial messages of it */
  uint16_t weight; /* gater.c: place of its weight in the options, + 1; 0: not looked up */
  uint32_t groups;       /* of partial messages: the first one, index + 1 */
  uint16_t foreign;      /* those that peers began */
  uint8_t probing;       /* probe.c: whether the profile of its score has probes; 0: not looked up */
} msub__gs_topic;

typedef struct msub__gs_session {
  uint32_t tick;
  uint32_t chain; /* scratch of actions.c and gossip.c; 0 outside */
  uint16_t asked, looked, ihaves, idontwants, unwanted, refused; /* in heartbeat `tick` */
  uint16_t member_of; /* meshes and fanouts */
  uint8_t is;
  uint8_t unwanted_tick; /* low bits of the heartbeat of its last IDONTWANT, if MSUB__GS_IS_UNWANTED */
} msub__gs_session;
/* msub__gs_session.is: the low four bits are MSUB_F_*. */
enum { MSUB__GS_IS_DIRECT = 16, MSUB__GS_IS_OUT = 32, MSUB__GS_IS_RETRY = 64, MSUB__GS_IS_UNWANTED = 128 };
#define MSUB__GS_FEATURES 15u

typedef struct msub__gs_peer {
  uint32_t backoffs; /* index + 1 of its newest; 0: none */
  uint32_t row;      /* in the table of scores; there with scores only */
} msub__gs_peer;

typedef struct msub__gs_link {
  uint8_t is;
  uint8_t heard;     /* served.c: in which of the last heartbeats it heard gossip, the newest of them in the lowest bit: */
  uint16_t heard_at; /* that one, modulo 2^16 */
} msub__gs_link;
typedef struct msub__gs_scored_link { msub__gs_link l; uint32_t slot; } msub__gs_scored_link; /* slot: a hint of the table of scores */
enum {
  MSUB__GS_LINKED = 1,  /* remote_join was here */
  MSUB__GS_MEMBER = 2,
  MSUB__GS_OUT = 4,     /* we dialled */
  MSUB__GS_APART = 8,   /* served beside the mesh: direct, or speaks no mesh protocol */
  MSUB__GS_BACKED = 16, /* may have a backoff; without it, it has none */
  MSUB__GS_REQUESTS = 32, /* the peer's subscription requests partial messages */
  MSUB__GS_SENDS = 64     /* … supports sending them, or requests them, too */
};

/* A draw added for one purpose does not shift the others. */
enum {
  MSUB__GS_RNG_GRAFT, MSUB__GS_RNG_PRUNE, MSUB__GS_RNG_FANOUT, MSUB__GS_RNG_GOSSIP, MSUB__GS_RNG_IWANT, MSUB__GS_RNG_PX, MSUB__GS_RNG_GATER,
  MSUB__GS_RNG_PROMISE,
  MSUB__GS_RNG_PROBE = MSUB__GS_RNG_GATER /* there are eight; the gater is rarely on */
};

static inline msub__gs *msub__gs_of(const msub_router *r) { return msub_r_state(r); }
static inline msub__gs_topic *msub__gs_topic_of(const msub_router *r, msub_topic t) { return msub_r_topic(r, t); }
static inline msub__gs_session *msub__gs_session_of(const msub_router *r, msub_session s) { return msub_r_session(r, s); }

/* ---- params.c ---- */

extern const msub_gossipsub_opts msub__gs_defaults;
static inline const msub_gossipsub_opts *msub__gs_opts(const msub_router *r) {
  const msub_gossipsub_opts *o = msub_r_opts(r);
  return o ? o : &msub__gs_defaults;
}
static inline const msub_gossipsub_mesh *msub__gs_params(const msub_router *r, msub_topic t) {
  const msub_gossipsub_mesh *m = msub_r_params(r, t);
  return m ? m : &msub__gs_opts(r)->mesh;
}
const char *msub__gs_mesh_fault(const msub_gossipsub_mesh *m); /* NULL: fine */

/* ---- members.c: the sorted set of a topic ---- */

bool msub__gs_is_member(const msub__gs_topic *tt, msub_session s);
/* Keeps link, session and topic counts in step. add: false: it is in, or no memory, or full. */
bool msub__gs_member_add(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_session s);
bool msub__gs_member_remove(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_session s);
void msub__gs_members_free(msub_router *r, msub_topic t, msub__gs_topic *tt); /* removes all */
/* The list of joined topics and fanouts. */
MSUB_MUST bool msub__gs_activate(msub_router *r, msub_topic t);
void msub__gs_deactivate(msub_router *r, msub_topic t);

/* ---- candidates.c ---- */

/* A list of sessions for one operation. */
typedef struct msub__gs_picks {
  msub_session *s;
  size_t n, cap;
  msub_session few[32];
} msub__gs_picks;
void msub__gs_picks_init(msub__gs_picks *p);
void msub__gs_picks_fini(msub_router *r, msub__gs_picks *p);
MSUB_MUST bool msub__gs_picks_room(msub_router *r, msub__gs_picks *p, size_t n); /* for n in all; empties it */
void msub__gs_picks_add(msub__gs_picks *p, msub_session s);               /* there is room */
/* Puts a random one of those from i on at i. */
msub_session msub__gs_picks_draw(msub_router *r, msub__gs_picks *p, size_t i, unsigned stream);

enum {
  MSUB__GS_ONLY_OUT = 1,     /* outbound ones */
  MSUB__GS_MIND_BACKOFF = 2, /* without those in backoff */
  MSUB__GS_MEMBERS_TOO = 4,
  MSUB__GS_ABOVE = 8,        /* score > floor instead of >= */
  MSUB__GS_UNFILTERED = 16,  /* may_peer is not asked */
  MSUB__GS_DIRECT_TOO = 32   /* goes with MEMBERS_TOO */
};
/* The topic's peers that speak the mesh protocol, are not direct and no members, by rising slot. On no memory: none. */
void msub__gs_candidates(msub_router *r, msub_topic t, unsigned how, double floor, msub__gs_picks *out);

/* ---- actions.c: GRAFTs and PRUNEs to be sent, gathered by peer ---- */

typedef struct msub__gs_action {
  msub_session s;
  msub_topic t;
  uint32_t next;
  uint8_t kind; /* MSUB_C_GRAFT, MSUB_C_PRUNE */
  bool px, leaving;
} msub__gs_action;
typedef struct msub__gs_actions {
  msub__gs_action *a;
  size_t n, cap;
  msub__gs_action few[16];
} msub__gs_actions;
void msub__gs_actions_init(msub__gs_actions *a);
void msub__gs_actions_fini(msub_router *r, msub__gs_actions *a); /* sends what is in it */
/* Never fails: without memory what is there is sent. px: with peer exchange, if that is on. leaving: the shorter backoff. */
void msub__gs_act(msub_router *r, msub__gs_actions *a, msub_session s, msub_topic t, uint8_t kind, bool px, bool leaving);
void msub__gs_actions_flush(msub_router *r, msub__gs_actions *a);
/* Sends control entries; before them, what waits to be sent again to these peers. */
size_t msub__gs_send(msub_router *r, const msub_session *to, size_t n_to, const msub_ctl_entry *e, size_t n, msub_lane lane);

/* ---- mesh.c ---- */

/* The peer is in now (false: it could not be put in) / out. `ours`: we grafted. */
bool msub__gs_mesh_add(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_session s, bool ours);
bool msub__gs_mesh_remove(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_session s);
bool msub__gs_mesh_lost(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_session s); /* it is disconnected: not a prune for its score */
/* Grafts up to `want` of the candidates, at random; may_graft is asked. Returns how many. */
size_t msub__gs_graft_some(msub_router *r, msub_topic t, msub__gs_topic *tt, msub__gs_picks *from, size_t want, msub__gs_actions *a);
/* We put the peer out: PRUNE and backoff. */
void msub__gs_prune(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_session s, bool px, msub__gs_actions *a);
int msub__gs_join(msub_router *r, msub_topic t);
void msub__gs_leave(msub_router *r, msub_topic t);

/* ---- heartbeat.c, gossip.c, opportunistic_graft.c, fanout.c ---- */

typedef struct msub__gs_gossip {
  struct msub__gs_told *told;   /* (peer, topic) */
  struct msub__gs_subject *subject; /* topics */
  uint8_t *ids;                 /* each behind its length */
  size_t n_told, cap_told, n_subjects, cap_subjects, n_bytes, cap_bytes, n_ids;
} msub__gs_gossip;
void msub__gs_gossip_emit(msub_router *r, msub__gs_gossip *g, msub_topic t);
void msub__gs_gossip_flush(msub_router *r, msub__gs_gossip *g); /* sends all; frees */
void msub__gs_heartbeat(msub_router *r);
void msub__gs_opportunistic_graft(msub_router *r, msub_topic t, msub__gs_topic *tt, msub__gs_actions *a);
void msub__gs_fanout_use(msub_router *r, msub_topic t, msub__gs_topic *tt); /* makes one if there is none */
void msub__gs_fanout_heartbeat(msub_router *r, msub__gs_gossip *g);
void msub__gs_fanout_end(msub_router *r, msub_topic t, msub__gs_topic *tt);

/* ---- backoff.c ---- */

/* From now on for `ns`; what is there is only ever extended. */
void msub__gs_backoff_add(msub_router *r, msub_session s, msub_topic t, uint64_t ns);
void msub__gs_backoff_until(msub_router *r, msub_session s, msub_topic t, uint64_t until);
/* Until when; false: no entry. */
bool msub__gs_backoff_find(const msub_router *r, msub_session s, msub_topic t, uint64_t *until);
bool msub__gs_backoff_blocks(msub_router *r, msub_session s, msub_topic t, msub__gs_link *l); /* may we graft? l: its link */
void msub__gs_backoff_sweep(msub_router *r);
uint64_t msub__gs_backoff_last(const msub_router *r, const msub__gs_peer *p); /* end of its longest with slack; 0: none */
void msub__gs_backoff_forget(msub_router *r, msub__gs_peer *p);
void msub__gs_backoff_fini(msub_router *r);
/* Entries of a topic, for the snapshot: from *at on; false: no more. */
bool msub__gs_backoff_next(const msub_router *r, msub_topic t, size_t *at, msub_peer *p, uint64_t *until);

/* ---- control.c and what it calls: one RPC of a peer, or a part of it ---- */

void msub__gs_control(msub_router *r, msub_session s, const msub_ctl *c, bool more);
void msub__gs_roll(const msub__gs *g, msub__gs_session *ss); /* counters of an older heartbeat become 0 */
void msub__gs_ihave(msub_router *r, msub_session s, const msub_ctl *c, bool more);
void msub__gs_ihave_fini(msub_router *r);
void msub__gs_iwant(msub_router *r, msub_session s, const msub_ctl *c);
void msub__gs_graft(msub_router *r, msub_session s, const msub_ctl *c, msub__gs_actions *a);
void msub__gs_pruned(msub_router *r, msub_session s, const msub_ctl *c);
void msub__gs_idontwant(msub_router *r, msub_session s, const msub_ctl *c);
int msub__gs_ask(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n);
int msub__gs_offer(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n);

/* ---- asks.c: IWANTs without an answer yet ---- */

/* May the peer be asked for this id (hash) now? */
bool msub__gs_may_ask(const msub_router *r, msub_session s, uint64_t hash);
void msub__gs_asked(msub_router *r, msub_session s, uint64_t hash);
void msub__gs_unasked(msub_router *r, msub_session s, msub_bytes id); /* the IWANT did not get there */
void msub__gs_asks_expire(msub_router *r);
void msub__gs_asks_fini(msub_router *r);

/* ---- served.c: what IWANT may have ---- */

/* What is left of the peer's bytes; NULL: no memory, then it gets nothing. Holds until the next call. */
size_t *msub__gs_served_left(msub_router *r, msub_session s);
/* The peer hears an IHAVE of the topic in this heartbeat; offered: of any of its messages. False: that cannot be remembered, so it is not to hear it. */
bool msub__gs_advertised(msub_router *r, msub_session s, msub_topic t);
bool msub__gs_offered(msub_router *r, msub_session s, msub_topic t);
void msub__gs_advertised_unlink(msub_router *r, msub_session s, msub_topic t, const msub__gs_link *l); /* the link goes */
bool msub__gs_was_advertised(msub_router *r, msub_session s, uint32_t name, unsigned age);
void msub__gs_served_heartbeat(msub_router *r); /* before its gossip */
void msub__gs_served_fini(msub_router *r);

/* ---- idontwant.c ---- */

void msub__gs_idontwant_send(msub_router *r, msub_topic t, const msub_msg *m, msub_session from);
bool msub__gs_unwanted(const msub_router *r, msub_session s, const msub__gs_session *ss, msub_bytes id);
void msub__gs_unwanted_rotate(msub_router *r); /* a heartbeat */
void msub__gs_unwanted_fini(msub_router *r);

/* ---- px.c ---- */

/* Fills px (MSUB__GS_PX_PEERS of them) for a PRUNE of this peer; buf: MSUB__GS_PX_BYTES. */
size_t msub__gs_px_make(msub_router *r, msub_topic t, msub_session target, msub_px *px, uint8_t *buf);
void msub__gs_px_take(msub_router *r, const msub_ctl_entry *e);

/* ---- direct.c ---- */

int msub__gs_direct_init(msub_router *r);
bool msub__gs_is_direct(const msub_router *r, msub_peer p);
void msub__gs_direct_connect(msub_router *r); /* asks for the absent ones */
uint64_t msub__gs_direct_deadline(const msub_router *r);
void msub__gs_direct_advance(msub_router *r);
int msub__gs_command(msub_router *r, uint32_t what, const void *arg, size_t n);
void msub__gs_direct_fini(msub_router *r);
/* The session's features or its being direct changed: how its links count. */
void msub__gs_reclassify(msub_router *r, msub_session s);

/* ---- retry.c ---- */

void msub__gs_dropped(msub_router *r, msub_session s, const msub_rpc *rpc, int reason);
void msub__gs_retry(msub_router *r, msub_session s); /* before something else goes to this peer */
void msub__gs_retry_all(msub_router *r);             /* at the end of a heartbeat */
void msub__gs_retry_forget(msub_router *r, msub_session s);
void msub__gs_retry_fini(msub_router *r);

/* ---- extensions.c: what both sides announced ---- */

uint8_t msub__gs_hello(msub_router *r, msub_session s);
bool msub__gs_extension(msub_router *r, msub_session s, const msub_ctl_entry *e);
void msub__gs_ext_agreed(msub_router *r, msub_session s);
void msub__gs_ext_down(msub_router *r, msub_session s);
void msub__gs_ext_fini(msub_router *r);

/* ---- partial.c ---- */

uint8_t msub__gs_announce(msub_router *r, msub_topic t);
/* The topic is joined, or gets a fanout: notes how we take part. Not OK: what the policy says does not hold. */
int msub__gs_partial_begin(msub_router *r, msub_topic t, msub__gs_topic *tt);
void msub__gs_partial_end(msub_router *r, msub_topic t, msub__gs_topic *tt); /* its groups go */
void msub__gs_partial_unlink(msub_router *r, msub_session s, msub_topic t);  /* the peer gave the topic up */
/* tt->partial is set. May the peer (link l, or NULL) be left to partial messages: does it request what we send, and (skips_idontwant)
 * do we request what it sends? */
bool msub__gs_partial_instead(const msub_router *r, msub_session s, const msub__gs_topic *tt, const msub__gs_link *l);
bool msub__gs_partial_skips_idontwant(const msub_router *r, msub_session s, const msub__gs_topic *tt, const msub__gs_link *l);
/* A heartbeat's gossip of the topic: takes those of `to` out who hear of groups instead of ids, and tells them and new members. */
void msub__gs_partial_gossip(msub_router *r, msub_topic t, msub__gs_topic *tt, msub_list *to);
void msub__gs_partial_heartbeat(msub_router *r); /* groups grow old */
void msub__gs_partial_dropped(msub_router *r, msub_session s, const msub_ctl_entry *e);
int msub__gs_partial_command(msub_router *r, uint32_t what, const void *arg, size_t n); /* UNSUPPORTED: not one of its own */

/* ---- publish.c, snapshot.c ---- */

void msub__gs_publish(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out);
bool msub__gs_ready(msub_router *r, msub_topic t, uint32_t n);
int msub__gs_show_scores(msub_router *r, void (*each)(void *ud, const msub_peer_score *s), void *ud);
size_t msub__gs_snapshot(msub_router *r, msub_topic t, msub_peer_state *out, size_t cap);

#endif
