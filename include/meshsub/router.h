/* meshsub/router.h: who gets what. A router is a const vtable; what differs between two users of it is in its options, what
 * differs between two engines is in blocks that the engine allocates, zeroes, moves and frees.
 *
 * Threads and re-entry: every operation runs on the engine's thread, inside a call into the engine. An operation may use the
 * msub_r_* and msub_x_* calls below and nothing else of the engine except the calls that engine.h marks [deferred].
 *
 *      state      one per engine and router                            msub_r_state
 *      peer       one per (peer, router), outlives the session         msub_r_peer      (see retain)
 *      session    one per (peer, router) while it is connected         msub_r_session
 *      topic      one per (router, topic name)                         msub_r_topic
 *      link       one per (session, topic that the peer announced)     msub_r_link
 *
 * A block pointer holds until the running operation returns; a stale handle gives NULL.
 *
 * Nesting. A router may name one inner router in layout (msub_layout_nest), up to four deep. An operation that it leaves NULL
 * goes to the router inside it, in the innermost to the default in [brackets]. To add to an operation instead of replacing it,
 * define it and call msub_x_…(msub_r_inner(r), …). Each level has blocks of its own and sees no others. Upwards there is
 * one mechanism: a level brings a channel policy (channel.h), and inner levels call the hooks (msub_h_…) without knowing whose they are.
 *
 *      ┌ outer: layout + the operations it overrides ┐  msub_x_publish(msub_r_inner(r), …)  ┌ inner: gossipsub, say ┐
 *      │ blocks of its own · policy · nests inner     │ ───────────────────────────────────▶ │ blocks of its own      │
 *      └──────────────────────────────────────────────┘ ◀── msub_h_on_graft(r, …): hooks ─── └────────────────────────┘ */
#ifndef MESHSUB_ROUTER_H
#define MESHSUB_ROUTER_H
#include "channel.h"
#include "world.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The handle of one level of one router in one engine. */
typedef struct msub_router {
  struct msub_engine *engine;
  const struct msub_level *level;
  uint32_t index; /* of the router in the engine */
} msub_router;
typedef struct msub_layout msub_layout;
struct msub_peer_score; /* score.h */

typedef struct msub_session_info {
  msub_peer peer;
  const char *protocol; /* offered, later agreed; lives as long as the plan */
  uint16_t features;    /* the bits that the router gave this protocol in layout */
  bool outbound;        /* we dialled */
  bool agreed;          /* the peer has confirmed the protocol of our stream */
  bool returning;       /* the peer block is the one of an earlier session */
  msub_bytes address;   /* 4 or 16 bytes of IP, or empty; a view for the call, in session_up only (later: address_changed) */
} msub_session_info;
/* What an RPC of this session is good for. CONTROL: its messages are ignored (then unheard is called). NONE: only its subscriptions are read. */
typedef enum msub_accept { MSUB_FROM_ALL, MSUB_FROM_CONTROL, MSUB_FROM_NONE } msub_accept;

/* What a router says of a peer in a topic, for people and tests (snapshot). */
enum { MSUB_ROLE_MESH = 1, MSUB_ROLE_FANOUT = 2, MSUB_ROLE_DIRECT = 4, MSUB_ROLE_BACKOFF = 8, MSUB_ROLE_OUTBOUND = 16 };
typedef struct msub_peer_state {
  msub_peer peer;
  uint32_t roles;
  uint64_t backoff_ns; /* MSUB_ROLE_BACKOFF: until when */
  double score;
} msub_peer_state;

/* Somebody else's message whose sender is not connected any more: a handle that names nobody. */
#define MSUB_SESSION_GONE ((msub_session){ UINT32_MAX })

/* Every member but name and layout may be NULL. */
typedef struct msub_router_ops {
  uint32_t abi, size; /* MSUB_ABI, sizeof(msub_router_ops) */
  const char *name;   /* "gossipsub"; static */
  /* Once per plan, before any instance: states the sizes of the blocks, claims protocol ids, newest first, may nest one inner
   * router. Allocates nothing of its own. OK or an error that msub_plan_new() passes on. */
  int (*layout)(msub_layout *l, const void *opts);
  const msub_channel_policy *policy; /* for this router's topics: under the program's own, over the inner levels' */

  int (*init)(msub_router *r);  /* [ok] every level that has it, inner first; state is zeroed; an error ends msub_engine_new() */
  void (*fini)(msub_router *r); /* every level that has it, outer first */
  int (*session_up)(msub_router *r, msub_session s, const msub_session_info *i); /* [ok] error: the session is refused */
  void (*session_agreed)(msub_router *r, msub_session s, const msub_session_info *i); /* confirmed, maybe another id of this router */
  void (*session_down)(msub_router *r, msub_session s); /* after remote_leave of each topic; blocks still readable */
  /* After session_down: until when (monotonic ns) the peer block is kept for the peer's return [0: not]. The table of departed
   * peers is bounded, what expires soonest goes first, so forget may come earlier. */
  uint64_t (*retain)(msub_router *r, msub_session s);
  /* The end of a peer block; every level that has it. Whatever the router still knows by this peer must go now. */
  void (*forget)(msub_router *r, msub_peer p, void *block);
  int (*join)(msub_router *r, msub_topic t);   /* [ok] the program joined; peers have been told */
  void (*leave)(msub_router *r, msub_topic t); /* peers have been told */
  void (*remote_join)(msub_router *r, msub_session s, msub_topic t, uint8_t flags); /* the link's block is zeroed; again when flags change */
  void (*remote_leave)(msub_router *r, msub_session s, msub_topic t, bool down);    /* the link dies on return; down: with its session */
  uint8_t (*announce)(msub_router *r, msub_topic t);          /* [0] flags (MSUB_SUB_*) of our subscription */
  msub_accept (*accept_from)(msub_router *r, msub_session s); /* [all] asked once for each RPC */
  /* Authentic, not a duplicate, not yet validated. from as in publish. */
  void (*arrived)(msub_router *r, msub_topic t, const msub_msg *m, msub_session from);
  /* The one report of an outcome. from[0] brought the message (n == 0: an own publish), the others sent copies meanwhile. */
  void (*validated)(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t n, msub_verdict v, int reason);
  void (*duplicate)(msub_router *r, msub_topic t, msub_bytes id, msub_session from);
  /* Borrowed for the call; a long list comes in several calls. `more`: this one goes on in the next. The bytes that ids and px
   * point to hold until the last of them returns. */
  void (*control)(msub_router *r, msub_session s, const msub_ctl *c, bool more);
  /* Names the recipients of an accepted message, own (from.v == 0) or forwarded (from: its first sender, MSUB_SESSION_GONE when that one is
   * gone). The engine leaves out whoever sent a copy. [nobody] */
  void (*publish)(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out);
  int (*ask)(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n);   /* IWANT now [UNSUPPORTED] */
  int (*offer)(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n); /* IHAVE now [UNSUPPORTED] */
  /* What was sent did not get there: refused at once, or lost later. Messages and control parts may be held. */
  void (*dropped)(msub_router *r, msub_session s, const msub_rpc *rpc, int reason); /* a msub_reason */
  bool (*ready)(msub_router *r, msub_topic t, uint32_t n); /* [n links] would a publish reach n peers? */
  /* States of the topic's peers; returns how many there are and writes at most cap. [0] */
  size_t (*snapshot)(msub_router *r, msub_topic t, msub_peer_state *out, size_t cap);
  int (*command)(msub_router *r, uint32_t what, const void *arg, size_t n); /* a call of the router's own (msub_command) [UNSUPPORTED] */
  uint64_t (*next_deadline)(msub_router *r); /* [never] monotonic ns */
  void (*advance)(msub_router *r);
  /* The session is carried by another connection now. 4 or 16 bytes of IP, or empty; may be the address that it had. */
  void (*address_changed)(msub_router *r, msub_session s, msub_bytes address);
  /* accept_from answered CONTROL, and the RPC had n > 0 messages that nobody looked at. */
  void (*unheard)(msub_router *r, msub_session s, size_t n);
  /* Extensions (gossipsub 1.3). hello: which ones (MSUB_EXT_*) the first RPC of our stream announces; asked for each stream that is
   * offered, whose protocol msub_r_features() tells. What was said on an older one is over. */
  uint8_t (*hello)(msub_router *r, msub_session s); /* [0] */
  /* What came: EXTENSIONS once for each stream of the peer, with its first RPC (flags 0: it announced none), when the stream ended
   * (flags 0), and for each later announcement (MSUB_EXT_LATE); PARTIAL and TEST. Not of RPCs that accept_from refuses. Views
   * hold for the call. false: not taken, which is counted (and not traced). */
  bool (*extension)(msub_router *r, msub_session s, const msub_ctl_entry *e); /* [false] */
  void (*feedback)(msub_router *r, msub_topic t, msub_peer p, bool useful); /* the program's word on a peer, which may have left (msub_feedback) */
  /* Shows the score of every peer that has one, before it returns (score.h). OK, UNSUPPORTED: it keeps none; NOMEM. */
  int (*scores)(msub_router *r, void (*each)(void *ud, const struct msub_peer_score *s), void *ud); /* [UNSUPPORTED] */
  /* Is the peer, connected or remembered, so bad by its score that it is not heard? Then its faults weigh more (msub_engine_opts.graylisted_weight).
   * Asked when a fault is counted, at any place of a call; changes nothing. */
  bool (*graylisted)(msub_router *r, msub_peer p); /* [false] */
} msub_router_ops;

/* ---- in layout only ---- */

/* align: 1, 2, 4 or 8 (link: at most 4); n == 0: no such block. opts must outlive the plan. Peer blocks are moved by memcpy. */
MSUB_API void msub_layout_state(msub_layout *l, size_t n, size_t align);
MSUB_API void msub_layout_peer(msub_layout *l, size_t n, size_t align);
MSUB_API void msub_layout_session(msub_layout *l, size_t n, size_t align);
MSUB_API void msub_layout_topic(msub_layout *l, size_t n, size_t align);
MSUB_API void msub_layout_link(msub_layout *l, size_t n, size_t align);
/* Claims a protocol id ("/floodsub/1.0.0"), newest first, with features of the router's own. INVAL, LIMIT (8 ids). */
MSUB_API int msub_layout_protocol(msub_layout *l, const char *id, uint16_t features);
/* The same, but the id is given up to another router of the engine that claims it. */
MSUB_API int msub_layout_protocol_weak(msub_layout *l, const char *id, uint16_t features);
/* The engine keeps accepted messages for `windows` calls of msub_h_shift(), and announces those of the newest `gossip` ones; at
 * most `bytes` of them, oldest out first. Without it nothing is kept. INVAL: 0 < gossip <= windows <= 64 does not hold. */
MSUB_API int msub_layout_cache(msub_layout *l, unsigned windows, unsigned gossip, size_t bytes);
/* Puts another router inside; once. INVAL, LIMIT (4 levels), or what its layout answers. */
MSUB_API int msub_layout_nest(msub_layout *l, const msub_router_ops *inner, const void *opts);
/* Zeroed memory that lives as long as the plan: derived options, say. NULL: no memory. */
MSUB_API void *msub_layout_alloc(msub_layout *l, size_t n);

/* ---- this level's blocks ---- */

MSUB_API void *msub_r_state(const msub_router *r);
MSUB_API void *msub_r_peer(const msub_router *r, msub_session s);
MSUB_API void *msub_r_session(const msub_router *r, msub_session s);
MSUB_API void *msub_r_topic(const msub_router *r, msub_topic t);
MSUB_API void *msub_r_link(const msub_router *r, msub_session s, msub_topic t);
/* The peer block of a departed peer; NULL: connected, or not kept. */
MSUB_API void *msub_r_departed(const msub_router *r, msub_peer p);
MSUB_API const void *msub_r_opts(const msub_router *r);
MSUB_API const msub_mem *msub_r_mem(const msub_router *r); /* for what is larger than a block */

/* ---- asking ---- */

MSUB_API uint64_t msub_r_mono(const msub_router *r); /* time of the running call */
/* Uniform in 0 … below-1, from the stream (0 … 7) of this level. */
MSUB_API uint32_t msub_r_rand(msub_router *r, unsigned stream, uint32_t below);
/* A hash that no peer can predict; the same for all routers of the shared. */
MSUB_API uint64_t msub_r_hash(const msub_router *r, msub_bytes b);
/* The peers of a topic, in ascending order of their session's slot. */
MSUB_API size_t msub_r_links(const msub_router *r, msub_topic t);
MSUB_API msub_session msub_r_link_session(const msub_router *r, msub_topic t, size_t i); /* i < msub_r_links */
MSUB_API void *msub_r_link_at(const msub_router *r, msub_topic t, size_t i);             /* its block */
MSUB_API uint8_t msub_r_link_flags(const msub_router *r, msub_topic t, size_t i);        /* MSUB_SUB_* of the peer */
/* The same in bulk, to walk all of them: out[0..] of the links first, first + 1, …; how many (0: no more, or stale). */
typedef struct msub_link_view { msub_session session; void *link, *peer; } msub_link_view; /* blocks; NULL: there is none */
MSUB_API size_t msub_r_link_views(const msub_router *r, msub_topic t, size_t first, msub_link_view *out, size_t cap);
MSUB_API bool msub_r_link_view(const msub_router *r, msub_session s, msub_topic t, msub_link_view *out); /* of one; false: it has no link */
MSUB_API bool msub_r_linked(const msub_router *r, msub_session s, msub_topic t);
/* false: stale. */
MSUB_API bool msub_r_info(const msub_router *r, msub_session s, msub_session_info *out);
MSUB_API uint16_t msub_r_features(const msub_router *r, msub_session s); /* of its protocol; 0: stale */
MSUB_API bool msub_r_outbound(const msub_router *r, msub_session s);
MSUB_API size_t msub_r_sessions(const msub_router *r);                       /* slots in use or free */
MSUB_API msub_session msub_r_session_at(const msub_router *r, size_t i);     /* i < msub_r_sessions; {0}: free */
MSUB_API msub_session msub_r_session_of(const msub_router *r, msub_peer p);  /* {0}: none */
MSUB_API msub_peer msub_r_session_peer(const msub_router *r, msub_session s);
MSUB_API size_t msub_r_topics(const msub_router *r);                         /* slots in use or free */
MSUB_API msub_topic msub_r_topic_at(const msub_router *r, size_t i);         /* i < msub_r_topics; {0}: free */
MSUB_API bool msub_r_joined(const msub_router *r, msub_topic t);
MSUB_API uint32_t msub_r_name(const msub_router *r, msub_topic t);           /* index in the shared; 0: stale */
MSUB_API msub_bytes msub_r_name_bytes(const msub_router *r, uint32_t name);  /* the name itself; empty: unknown */
MSUB_API msub_topic msub_r_topic_of(const msub_router *r, uint32_t name);    /* {0}: not known here */
/* topic_params: msub_channel_policy.params of the topic, by the usual look-up; NULL: none. */
MSUB_API const void *msub_r_params(const msub_router *r, msub_topic t);
MSUB_API bool msub_r_seen(const msub_router *r, msub_topic t, msub_bytes id);
MSUB_API bool msub_r_go_parity(const msub_router *r); /* msub_engine_opts.go_parity */
/* The peer with this id if it is known, else {0}. Use it to leave the author of a message out. */
MSUB_API msub_peer msub_r_peer_known(const msub_router *r, msub_bytes id);
MSUB_API msub_bytes msub_r_peer_id(const msub_router *r, msub_peer p);
/* Keeps an index of a peer or a name valid (and the same) until the drop. peer_hold: {0}: no memory. */
MSUB_API msub_peer msub_r_peer_hold(msub_router *r, msub_bytes id);
MSUB_API void msub_r_peer_drop(msub_router *r, msub_peer p);
MSUB_API uint32_t msub_r_name_intern(msub_router *r, msub_bytes name); /* held; 0: no memory, or longer than a topic's name may be */
MSUB_API void msub_r_name_hold(msub_router *r, uint32_t name);
MSUB_API void msub_r_name_drop(msub_router *r, uint32_t name);

/* ---- doing ---- */

/* (A PARTIAL or a TEST goes alone, n == 1; a PARTIAL that is larger than max_rpc goes to nobody.)
 * Sends control entries to each of the sessions: encoded once, split without loss to what any stock peer takes. What is refused
 * comes back by dropped() before this returns. Returns to how many all of it went. `ids`, `px` are copied. */
MSUB_API size_t msub_r_send(msub_router *r, const msub_session *to, size_t n_to, const msub_ctl_entry *e, size_t n, msub_lane lane);
/* A list of ids (IHAVE, IWANT, IDONTWANT) that goes to many, with different company: encoded once here. c->e[0] may be given to
 * msub_r_send() any number of times, alone or among other entries, as long as the router holds c; what is sent shares its ids
 * and copies its bytes. Where it must be cut, it is treated as any other entry. NULL: no memory, or an entry of another kind. */
MSUB_API const msub_ctl *msub_r_ctl_new(msub_router *r, const msub_ctl_entry *e);
MSUB_API void msub_r_ctl_drop(msub_router *r, const msub_ctl *c); /* NULL is allowed; what was sent stays */
/* Answers an IWANT for one id out of the topic's cache, now or when the policy supplies it. OK: sent, or LATER. NOTFOUND. LIMIT: this
 * peer has asked more than max_times (0: no limit; every call counts). REFUSED: the queue did not take it (dropped() was told). */
MSUB_API int msub_r_serve(msub_router *r, msub_session s, msub_bytes id, unsigned max_times);
/* The same within bounds. An answer larger than what is left goes nowhere and is counted (msub_counts.asks_over_bytes, LIMIT), and that ask does not
 * count against max_times; the first answer goes whatever its size, so that the largest message can be had. What a policy supplies later
 * takes nothing off. `may` is asked about messages of topics without open_ids (channel.h): age is how many msub_h_shift() ago it came, or
 * MSUB_AGE_UNKNOWN when a policy's cache has it; false: NOTFOUND (msub_counts.asks_unadvertised). */
#define MSUB_AGE_UNKNOWN UINT32_MAX
typedef struct msub_serving {
  unsigned max_times; /* 0: no limit */
  size_t bytes, left; /* bytes 0: no limit; left is bytes at first, and becomes less */
  bool (*may)(msub_router *r, msub_session s, uint32_t topic_name, unsigned age); /* NULL: all may */
} msub_serving;
MSUB_API int msub_r_serve_within(msub_router *r, msub_session s, msub_bytes id, msub_serving *how);
/* For a router that knows which topic an id is of: answers out of that topic's policy (cache_get of channel.h), now or when it supplies it. As msub_r_serve(),
 * but without the look-up of ids, and not counted by peer; STALE. */
MSUB_API int msub_r_serve_topic(msub_router *r, msub_session s, msub_topic t, msub_bytes id);
/* Takes queued copies of a message out of a session's queue; how many. */
MSUB_API unsigned msub_r_withdraw(msub_router *r, msub_session s, msub_bytes id);
MSUB_API void msub_r_connect_hint(msub_router *r, msub_bytes peer_id, msub_bytes record); /* peer exchange: a peer worth dialling */
MSUB_API size_t msub_r_peer_record(msub_router *r, msub_peer p, uint8_t *out, size_t cap); /* its signed record; 0: none held */
MSUB_API void msub_r_protect(msub_router *r, msub_peer p, msub_topic t, bool on);          /* its connection is worth keeping */
MSUB_API bool msub_r_want_peers(msub_router *r, msub_topic t, unsigned n);                 /* n more would do the topic good; false: the world has nobody who looks (t {0}: only asks that) */
MSUB_API void msub_r_trace(msub_router *r, msub_event_kind k, msub_topic t, msub_peer p);
MSUB_API bool msub_r_traced(const msub_router *r); /* does anybody listen? */
MSUB_API void msub_r_log(msub_router *r, msub_log_level level, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* ---- down the chain: r's operation, or the first further in that has one, or the default ---- */

static inline msub_router *msub_r_inner(msub_router *r) { return r + 1; } /* only of a level that nested one */
MSUB_API int msub_x_session_up(msub_router *r, msub_session s, const msub_session_info *i);
MSUB_API void msub_x_session_agreed(msub_router *r, msub_session s, const msub_session_info *i);
MSUB_API void msub_x_session_down(msub_router *r, msub_session s);
MSUB_API uint64_t msub_x_retain(msub_router *r, msub_session s);
MSUB_API int msub_x_join(msub_router *r, msub_topic t);
MSUB_API void msub_x_leave(msub_router *r, msub_topic t);
MSUB_API void msub_x_remote_join(msub_router *r, msub_session s, msub_topic t, uint8_t flags);
MSUB_API void msub_x_remote_leave(msub_router *r, msub_session s, msub_topic t, bool down);
MSUB_API uint8_t msub_x_announce(msub_router *r, msub_topic t);
MSUB_API msub_accept msub_x_accept_from(msub_router *r, msub_session s);
MSUB_API void msub_x_arrived(msub_router *r, msub_topic t, const msub_msg *m, msub_session from);
MSUB_API void msub_x_validated(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t n, msub_verdict v, int reason);
MSUB_API void msub_x_duplicate(msub_router *r, msub_topic t, msub_bytes id, msub_session from);
MSUB_API void msub_x_control(msub_router *r, msub_session s, const msub_ctl *c, bool more);
MSUB_API void msub_x_publish(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out);
MSUB_API int msub_x_ask(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n);
MSUB_API int msub_x_offer(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n);
MSUB_API void msub_x_dropped(msub_router *r, msub_session s, const msub_rpc *rpc, int reason);
MSUB_API bool msub_x_ready(msub_router *r, msub_topic t, uint32_t n);
MSUB_API size_t msub_x_snapshot(msub_router *r, msub_topic t, msub_peer_state *out, size_t cap);
MSUB_API int msub_x_command(msub_router *r, uint32_t what, const void *arg, size_t n);
MSUB_API int msub_x_scores(msub_router *r, void (*each)(void *ud, const struct msub_peer_score *s), void *ud);
MSUB_API bool msub_x_graylisted(msub_router *r, msub_peer p);
MSUB_API uint64_t msub_x_next_deadline(msub_router *r);
MSUB_API void msub_x_advance(msub_router *r);
MSUB_API void msub_x_address_changed(msub_router *r, msub_session s, msub_bytes address);
MSUB_API void msub_x_unheard(msub_router *r, msub_session s, size_t n);
MSUB_API uint8_t msub_x_hello(msub_router *r, msub_session s);
MSUB_API bool msub_x_extension(msub_router *r, msub_session s, const msub_ctl_entry *e);
MSUB_API void msub_x_feedback(msub_router *r, msub_topic t, msub_peer p, bool useful);

/* ---- the topic's hooks, as a router calls them ---- */

MSUB_API void msub_h_emit(msub_router *r, msub_topic t, size_t want, msub_list *io); /* io: candidates in, targets out */
MSUB_API bool msub_h_emit_mesh_too(msub_router *r, msub_topic t);
MSUB_API size_t msub_h_gossip_ids(msub_router *r, msub_topic t, msub_bytes *ids, size_t max);
MSUB_API bool msub_h_may_graft(msub_router *r, msub_topic t, msub_session s);
MSUB_API bool msub_h_may_peer(msub_router *r, msub_topic t, msub_session s); /* the engine asks for messages itself */
MSUB_API bool msub_h_peers_filtered(msub_router *r, msub_topic t); /* false: may_peer would say yes of everybody */
MSUB_API void msub_h_on_graft(msub_router *r, msub_topic t, msub_session s, bool ours);
/* The topic's partial messages (channel.h partial); what an older table lacks is 0. false: it has none. */
MSUB_API bool msub_h_partial(msub_router *r, msub_topic t, msub_channel *c, struct msub_partial_ops *out);
MSUB_API void msub_h_shift(msub_router *r); /* all joined topics, and the router's window */

/* ---- the routers of this library (gossipsub: gossipsub.h) ---- */

/* floodsub: every message to every peer of its topic, except where it came from and its author. Protocol /floodsub/1.0.0. Options: NULL. Wants
 * peers while a joined topic has fewer than 5. */
MSUB_API extern const msub_router_ops msub_floodsub;

#ifdef __cplusplus
}
#endif
#endif
