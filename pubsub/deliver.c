/* pubsub/deliver.c: accepted messages on their way to the program: the payload's transformation, and what a full program means. */
#include "pubsub/engine.h"

/* The payload as the program gets it. false: it cannot be made. */
static bool payload_of(msub_engine *e, const msub__topic *t, const msub_msg *m, msub_bytes *out) {
  msub_channel c;
  const msub_channel_policy *p = MSUB__HOOK(e, t, payload_in, &c);
  *out = msub_data(m);
  if (!p) return true;
  msub__work *w = msub__need_work(e);
  if (!w || !msub__room(e, &w->payload, &w->payload_cap, msub_data(m).n + 1)) return false;
  for (unsigned tries = 0; tries < 2; tries++) {
    size_t n = p->payload_in(&c, msub_data(m), w->payload, w->payload_cap);
    if (n > MSUB__PAYLOAD_BYTES) return false;
    if (n <= w->payload_cap) {
      *out = (msub_bytes){ w->payload, n };
      return true;
    }
    if (!msub__room(e, &w->payload, &w->payload_cap, n)) return false;
  }
  msub__fault(e, msub__policy_name(p), "payload_in asked for more room twice");
  return false;
}

static bool offer(msub_engine *e, const msub__topic *t, const msub_msg *m, msub_bytes payload, uint32_t from) {
  msub_channel c;
  const msub_channel_policy *p = MSUB__HOOK(e, t, deliver, &c);
  bool taken = p ? p->deliver(&c, m, payload, (msub_peer){ from }) : MSUB__WORLD(e)->deliver(e->w, t->handle, m, (msub_peer){ from });
  if (taken) MSUB__COUNT(e, delivered);
  else MSUB__COUNT(e, delivery_full);
  return taken;
}

void msub__drop_latest(msub_engine *e, msub__topic_extra *x) {
  msub_msg_drop(e->sh, x->latest);
  if (x->latest_from) msub__intern_drop(&e->sh->peers, msub__mem(e), &e->sh->key, x->latest_from);
  x->latest = NULL;
  x->latest_from = 0;
}

static void keep_latest(msub_engine *e, msub__topic *t, const msub_msg *m, uint32_t from) {
  msub__topic_extra *x = msub__topic_extra_of(e, t);
  if (!x) return; /* as under DROP: counted */
  msub__drop_latest(e, x);
  x->latest = msub_msg_hold(m);
  x->latest_from = from;
  if (from) msub__intern_ref(&e->sh->peers, from);
}

msub__delivery msub__deliver(msub_engine *e, msub__topic *t, const msub_msg *m, uint32_t from) {
  msub_bytes payload;
  if (!payload_of(e, t, m, &payload)) return MSUB__BAD_PAYLOAD;
  msub_topic h = t->handle;
  bool taken = offer(e, t, m, payload, from);
  t = msub__topic_of(e, h);
  if (taken || !t) {
    if (t && t->extra) msub__drop_latest(e, t->extra); /* it is older than what was taken */
    return MSUB__TAKEN;
  }
  switch (msub__full_rule(e, t)) {
  case MSUB_FULL_REFUSE: return MSUB__FULL_REFUSED;
  case MSUB_FULL_LATEST: keep_latest(e, t, m, from); return MSUB__FULL_DROPPED;
  default: return MSUB__FULL_DROPPED;
  }
}

void msub__redeliver(msub_engine *e, msub_topic h) {
  msub__topic *t = msub__topic_of(e, h);
  msub_bytes payload;
  if (!t || !t->extra || !t->extra->latest || !payload_of(e, t, t->extra->latest, &payload)) return;
  if (offer(e, t, t->extra->latest, payload, t->extra->latest_from)) msub__drop_latest(e, t->extra);
}
