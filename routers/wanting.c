#include "routers/wanting.h"
#include "base/deadline.h"

#define EVERY (1 * MSUB__S) /* as gossipsub's heartbeat and go-libp2p-pubsub's poll */

void msub__wanting_init(msub__wanting *w) { *w = (msub__wanting){ .at = MSUB_NEVER }; }

void msub__wanting_soon(msub_router *r, msub__wanting *w) {
  if (w->at != MSUB_NEVER || !msub_r_want_peers(r, (msub_topic){ 0 }, 0)) return; /* or nobody looks for peers */
  uint64_t now = msub_r_mono(r), soonest = w->last ? msub__deadline(w->last, EVERY) : now;
  w->at = soonest > now ? soonest : now;
}

void msub__wanting_look(msub_router *r, msub__wanting *w, size_t enough) {
  uint64_t now = msub_r_mono(r);
  bool any = false;
  if (!msub__passed(w->at, now)) return;
  for (size_t i = 0; i < msub_r_topics(r); i++) {
    msub_topic t = msub_r_topic_at(r, i);
    size_t n = t.v && msub_r_joined(r, t) ? msub_r_links(r, t) : enough;
    if (n < enough) any |= msub_r_want_peers(r, t, (unsigned)(enough - n));
  }
  w->last = now;
  w->at = any ? msub__deadline(now, EVERY) : MSUB_NEVER;
}
