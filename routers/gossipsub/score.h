/* routers/gossipsub/score.h: what the router asks of peer scores and tells them. With scores off every score and every threshold
 * is 0, so that no comparison ever excludes anybody. */
#ifndef MSUB_ROUTERS_GOSSIPSUB_SCORE_H
#define MSUB_ROUTERS_GOSSIPSUB_SCORE_H
#include "meshsub/gossipsub.h"

struct msub__gs_peer;

void msub__gs_score_fini(msub_router *r);

double msub__gs_score(msub_router *r, msub_session s);
struct msub__ps *msub__gs_scores_table(const msub_router *r); /* for a walk of many, by their rows; NULL: every score is 0 */
bool msub__gs_score_is(msub_router *r, msub_session s, double floor); /* at least that; cheaper than to compare */
bool msub__gs_graylisted(msub_router *r, msub_peer p); /* and not direct; never with parity */
const msub_score_thresholds *msub__gs_thresholds_of(const msub_router *r);
/* A member that IDONTWANT would keep from bringing what it is about to owe; is there any? */
bool msub__gs_score_wants_any_copies(msub_router *r, msub_topic t);
bool msub__gs_score_wants_copies(msub_router *r, msub_session s, msub_topic t);

/* What P3b counts for a member that failed its probes (probe.h); 0: nobody is asked. */
double msub__gs_score_probe_penalty(msub_router *r, msub_topic t);

/* What happened. */
void msub__gs_score_owes(msub_router *r, msub_session s, msub_topic t); /* it did */
void msub__gs_score_up(msub_router *r, msub_session s, const msub_session_info *i);
void msub__gs_score_moved(msub_router *r, msub_session s, msub_bytes address);
void msub__gs_score_down(msub_router *r, msub_session s); /* the session is out of all meshes, but no prune was told */
uint64_t msub__gs_score_until(const msub_router *r, const struct msub__gs_peer *p, msub_peer who); /* the score is remembered; 0: it is not */
void msub__gs_score_forget(msub_router *r, msub_peer who, const struct msub__gs_peer *p);
void msub__gs_score_leave(msub_router *r, msub_topic t);
void msub__gs_score_graft(msub_router *r, msub_session s, msub_topic t);
void msub__gs_score_prune(msub_router *r, msub_session s, msub_topic t);
void msub__gs_score_arrived(msub_router *r, msub_topic t, const msub_msg *m, msub_session from);
void msub__gs_score_validated(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t n, msub_verdict v, int reason);
void msub__gs_score_duplicate(msub_router *r, msub_topic t, msub_bytes id, msub_session from);
void msub__gs_score_feedback(msub_router *r, msub_topic t, msub_peer p, bool useful);
void msub__gs_score_penalty(msub_router *r, msub_session s, unsigned n); /* behaviour */
void msub__gs_score_asked(msub_router *r, msub_session s, const msub_bytes *ids, size_t n); /* an IWANT went out: a promise */
void msub__gs_score_throttled(msub_router *r, msub_session s); /* we do not listen to its messages, so it may not keep its promises */

void msub__gs_score_heartbeat(msub_router *r); /* broken promises */
/* A heartbeat decides by the scores that it begins with, as the reference's, whichever topic comes first: on around its decisions,
 * released at its end. Gossip goes by what the scores are by then. */
void msub__gs_score_hold(msub_router *r, bool on);
void msub__gs_score_release(msub_router *r);
uint64_t msub__gs_score_deadline(const msub_router *r);
void msub__gs_score_advance(msub_router *r);
int msub__gs_score_command(msub_router *r, uint32_t what, const void *arg, size_t n);

#endif
