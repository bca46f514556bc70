#include "routers/gossipsub/score.h"

double msub__gs_score(msub_router *r, msub_session s) {
  (void)r, (void)s;
  return 0;
}

const msub__gs_thresholds *msub__gs_thresholds_of(const msub_router *r) {
  static const msub__gs_thresholds none = { 0 };
  (void)r;
  return &none;
}

void msub__gs_score_up(msub_router *r, msub_session s, const msub_session_info *i) { (void)r, (void)s, (void)i; }
void msub__gs_score_down(msub_router *r, msub_session s) { (void)r, (void)s; }
void msub__gs_score_graft(msub_router *r, msub_session s, msub_topic t) { (void)r, (void)s, (void)t; }
void msub__gs_score_prune(msub_router *r, msub_session s, msub_topic t) { (void)r, (void)s, (void)t; }
void msub__gs_score_arrived(msub_router *r, msub_topic t, const msub_msg *m, msub_session from) { (void)r, (void)t, (void)m, (void)from; }
void msub__gs_score_validated(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t n, msub_verdict v, int reason) {
  (void)r, (void)t, (void)m, (void)from, (void)n, (void)v, (void)reason;
}
void msub__gs_score_duplicate(msub_router *r, msub_topic t, msub_bytes id, msub_session from) { (void)r, (void)t, (void)id, (void)from; }
void msub__gs_score_penalty(msub_router *r, msub_session s, unsigned n) { (void)r, (void)s, (void)n; }
void msub__gs_score_asked(msub_router *r, msub_session s, const msub_bytes *ids, size_t n) { (void)r, (void)s, (void)ids, (void)n; }
void msub__gs_score_heartbeat(msub_router *r) { (void)r; }
