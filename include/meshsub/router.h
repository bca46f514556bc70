/* meshsub/router.h: who gets what. A router is a const vtable; what differs between two users of it is in its options, what
 * differs between two engines is in blocks that the engine allocates, zeroes, moves and frees.
 *
 * Threads and re-entry: every operation runs on the engine's thread, inside a call into the engine. An operation may use the
 * msub_r_* calls below and nothing else of the engine except the calls that engine.h marks [deferred].
 *
 *      state      one per engine and router         msub_r_state
 *      session    one per (peer, router)            msub_r_session
 *      topic      one per (router, topic name)      msub_r_topic
 *      link       one per (session, topic that the peer announced)    msub_r_link
 *
 * A block pointer holds until the running operation returns; a stale handle gives NULL. */
#ifndef MESHSUB_ROUTER_H
#define MESHSUB_ROUTER_H
#include "channel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The handle of one router in one engine. */
typedef struct msub_router {
  struct msub_engine *engine;
  const struct msub_level *level;
} msub_router;
typedef struct msub_layout msub_layout;

typedef struct msub_session_info {
  msub_peer peer;
  const char *protocol; /* offered, later agreed; lives as long as the plan */
  uint16_t features;    /* the bits that the router gave this protocol in layout */
  bool outbound;        /* we dialled */
  bool agreed;          /* the peer has confirmed the protocol of our stream */
} msub_session_info;
/* What an RPC of this session is good for. CONTROL: its messages are ignored. NONE: only its subscriptions are read. */
typedef enum msub_accept { MSUB_FROM_ALL, MSUB_FROM_CONTROL, MSUB_FROM_NONE } msub_accept;
/* A list of recipients: the engine's scratch, valid for the call. */
typedef struct msub_list { msub_session *s; size_t n, cap; } msub_list;

/* Every member but name, layout and publish may be NULL: the default in brackets holds. */
typedef struct msub_router_ops {
  uint32_t abi, size; /* MSUB_ABI, sizeof(msub_router_ops) */
  const char *name;   /* "floodsub"; static */
  /* Once per plan, before any instance: states the sizes of the blocks and claims protocol ids, newest first. Allocates nothing. OK or an error that msub_plan_new() passes on. */
  int (*layout)(msub_layout *l, const void *opts);
  int (*init)(msub_router *r);  /* [ok] state is zeroed; an error ends msub_engine_new() */
  void (*fini)(msub_router *r);
  int (*session_up)(msub_router *r, msub_session s, const msub_session_info *i); /* [ok] error: the session is refused */
  void (*session_agreed)(msub_router *r, msub_session s, const msub_session_info *i); /* confirmed, maybe another id of this router */
  void (*session_down)(msub_router *r, msub_session s); /* after remote_leave of each topic; blocks still readable */
  int (*join)(msub_router *r, msub_topic t);            /* [ok] the program joined; peers have been told */
  void (*leave)(msub_router *r, msub_topic t);
  void (*remote_join)(msub_router *r, msub_session s, msub_topic t, uint8_t flags); /* the link's block is zeroed */
  void (*remote_leave)(msub_router *r, msub_session s, msub_topic t, bool down);    /* the link dies on return; down: with its session */
  msub_accept (*accept_from)(msub_router *r, msub_session s); /* [all] */
  /* Authentic, not a duplicate, not yet validated. */
  void (*arrived)(msub_router *r, msub_topic t, const msub_msg *m, msub_session from);
  /* The one report of an outcome. from[0] brought the message (n == 0: an own publish), the others sent copies meanwhile. */
  void (*validated)(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t n, msub_verdict v, int reason);
  void (*duplicate)(msub_router *r, msub_topic t, msub_bytes id, msub_session from);
  void (*control)(msub_router *r, msub_session s, const msub_ctl *c); /* borrowed for the call; long lists come in several calls */
  /* Names the recipients of an accepted message, own (from.v == 0) or forwarded. The engine leaves out whoever sent a copy. */
  void (*publish)(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out);
  void (*dropped)(msub_router *r, msub_session s, const msub_rpc *rpc, int reason); /* an msub_reason */
  bool (*ready)(msub_router *r, msub_topic t, uint32_t n); /* [n links] would a publish reach n peers? */
  uint64_t (*next_deadline)(msub_router *r);               /* [never] monotonic ns */
  void (*advance)(msub_router *r);
} msub_router_ops;

/* In layout only. align: 1, 2, 4 or 8; n == 0: no such block. opts must outlive the plan. */
MSUB_API void msub_layout_state(msub_layout *l, size_t n, size_t align);
MSUB_API void msub_layout_session(msub_layout *l, size_t n, size_t align);
MSUB_API void msub_layout_topic(msub_layout *l, size_t n, size_t align);
MSUB_API void msub_layout_link(msub_layout *l, size_t n, size_t align); /* align at most 4 */
/* Claims a protocol id ("/floodsub/1.0.0"), newest first, with features of the router's own. INVAL, LIMIT (8 ids). */
MSUB_API int msub_layout_protocol(msub_layout *l, const char *id, uint16_t features);

MSUB_API void *msub_r_state(const msub_router *r);
MSUB_API void *msub_r_session(const msub_router *r, msub_session s);
MSUB_API void *msub_r_topic(const msub_router *r, msub_topic t);
MSUB_API void *msub_r_link(const msub_router *r, msub_session s, msub_topic t);
/* The peers of a topic, in ascending order of their session's slot. */
MSUB_API size_t msub_r_links(const msub_router *r, msub_topic t);
MSUB_API msub_session msub_r_link_session(const msub_router *r, msub_topic t, size_t i); /* i < msub_r_links */
MSUB_API void *msub_r_link_at(const msub_router *r, msub_topic t, size_t i);             /* its block */
MSUB_API const void *msub_r_opts(const msub_router *r);
MSUB_API uint64_t msub_r_mono(const msub_router *r); /* time of the running call */
/* Uniform in 0 … below-1, from the stream (0 … 15) of this router. */
MSUB_API uint32_t msub_r_rand(msub_router *r, unsigned stream, uint32_t below);
/* false: stale. */
MSUB_API bool msub_r_info(const msub_router *r, msub_session s, msub_session_info *out);
MSUB_API bool msub_r_joined(const msub_router *r, msub_topic t);
/* The peer with this id if it is known, else {0}. Use it to leave the author of a message out. */
MSUB_API msub_peer msub_r_peer_known(const msub_router *r, msub_bytes id);
MSUB_API msub_peer msub_r_session_peer(const msub_router *r, msub_session s);
/* Appends to the list; false: it is full (which cannot happen for the links of one topic). */
static inline bool msub_list_add(msub_list *l, msub_session s) {
  if (l->n == l->cap) return false;
  l->s[l->n++] = s;
  return true;
}

/* The routers of this library. */
/* floodsub: every message to every peer of its topic, except where it came from and its author. Protocol /floodsub/1.0.0. Options: NULL. */
MSUB_API extern const msub_router_ops msub_floodsub;

#ifdef __cplusplus
}
#endif
#endif
