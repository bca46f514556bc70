/* routers/gossipsub/score.h: what the router asks of peer scores and tells them. Without score parameters every score and every
 * threshold is 0, so that no comparison below ever excludes anybody. */
#ifndef MSUB_ROUTERS_GOSSIPSUB_SCORE_H
#define MSUB_ROUTERS_GOSSIPSUB_SCORE_H
#include "meshsub/router.h"

double msub__gs_score(msub_router *r, msub_session s);

typedef struct msub__gs_thresholds {
  double gossip;        /* below: no gossip to it, its IHAVE and IWANT are ignored */
  double publish;       /* below: no own messages to it, not in a fanout */
  double graylist;      /* below: its RPCs are ignored */
  double accept_px;     /* from here on its peer exchange counts */
  double opportunistic; /* median of a mesh below it: look for better peers */
} msub__gs_thresholds;
const msub__gs_thresholds *msub__gs_thresholds_of(const msub_router *r);

/* What happened. */
void msub__gs_score_up(msub_router *r, msub_session s, const msub_session_info *i);
void msub__gs_score_down(msub_router *r, msub_session s);
void msub__gs_score_graft(msub_router *r, msub_session s, msub_topic t);
void msub__gs_score_prune(msub_router *r, msub_session s, msub_topic t);
void msub__gs_score_arrived(msub_router *r, msub_topic t, const msub_msg *m, msub_session from);
void msub__gs_score_validated(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t n, msub_verdict v, int reason);
void msub__gs_score_duplicate(msub_router *r, msub_topic t, msub_bytes id, msub_session from);
void msub__gs_score_penalty(msub_router *r, msub_session s, unsigned n); /* behaviour */
void msub__gs_score_asked(msub_router *r, msub_session s, const msub_bytes *ids, size_t n); /* an IWANT went out: a promise */
void msub__gs_score_heartbeat(msub_router *r); /* broken promises; what follows in this heartbeat sees one set of scores */

#endif
