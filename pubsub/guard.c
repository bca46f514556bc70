/* pubsub/guard.c: the program's word on topics, RPCs and peers: filter, inspector, feedback. Peers' lists: lists.c. */
#include "pubsub/engine.h"
#include <string.h>

/* ---- topics ---- */

int msub_filter_topics(msub_engine *e, const msub_topic_filter *f, void *ud) {
  if (e->inside) return MSUB_ERR_STATE;
  if (f && f->abi != MSUB_ABI) return MSUB_ERR_INVAL;
  if (!f) {
    e->filtering = false;
    return MSUB_OK;
  }
  msub__extras *x = msub__need_extras(e);
  if (!x) return MSUB_ERR_NOMEM;
  memset(&x->filter, 0, sizeof x->filter);
  memcpy(&x->filter, f, f->size < sizeof x->filter ? f->size : sizeof x->filter);
  x->filter_ud = ud;
  e->filtering = true;
  return MSUB_OK;
}

bool msub__filter_allows(const msub_engine *e, msub_bytes topic, uint32_t peer) {
  const msub__extras *x = e->extras;
  return !x->filter.allows || x->filter.allows(x->filter_ud, topic, (msub_peer){ peer });
}

bool msub_topic_list_allows(void *ud, msub_bytes topic, msub_peer p) {
  const msub_topic_list *l = ud;
  (void)p;
  for (size_t i = 0; i < l->n; i++)
    if (msub_bytes_eq(l->topics[i], topic)) return true;
  return false;
}

/* ---- RPCs ---- */

int msub_inspector(msub_engine *e, msub_inspect_fn f, void *ud) {
  if (e->inside) return MSUB_ERR_STATE;
  msub__extras *x = f ? msub__need_extras(e) : e->extras;
  if (f && !x) return MSUB_ERR_NOMEM;
  if (x) {
    x->inspect = f;
    x->inspect_ud = ud;
  }
  e->inspecting = f != NULL;
  return MSUB_OK;
}

bool msub__inspected(msub_engine *e, msub_session h, uint32_t peer, msub_bytes frame, const msub_rpc_counts *n) {
  msub_inspection i = { h, { peer }, frame, n };
  int why = e->extras->inspect(e->extras->inspect_ud, &i);
  if (why == MSUB_R_NONE) return true;
  MSUB__COUNT(e, rpcs_inspected_out);
  if (why < 0 || why >= MSUB_REASONS) msub__fault(e, "the inspector", "answered something that is no reason");
  else msub__count_reason(e, why);
  return false;
}

bool msub__inspected_rpc(msub_engine *e, msub_session h, uint32_t peer, const msub_rpc *rpc) {
  msub__work *w = msub__need_work(e);
  uint8_t *p = w ? msub__room(e, &w->encoded, &w->encoded_cap, rpc->wire_size + 1) : NULL;
  msub_rpc_counts n;
  if (!p) { /* what was not looked at is not let in */
    MSUB__COUNT(e, rpcs_inspected_out);
    return false;
  }
  msub_bytes frame = { p, msub_rpc_encode(rpc, p) };
  return msub_rpc_scan(frame, NULL, &n) == MSUB_OK && msub__inspected(e, h, peer, frame, &n);
}

/* ---- a topic's peers ---- */

bool msub__may_peer(const msub_engine *e, const msub__topic *t, msub_session s) {
  msub_channel c;
  const msub_channel_policy *p = MSUB__HOOK(e, t, may_peer, &c);
  return !p || p->may_peer(&c, s);
}

bool msub__may_have(const msub_engine *e, unsigned ri, uint32_t slot, uint32_t name) {
  const msub__topic *t = msub__topic_find(e, ri, name);
  return !t || !t->peers_filtered || msub__may_peer(e, t, msub__session_handle(e, ri, slot));
}

/* ---- afterwards ---- */

#define INVALID_COSTS 5u /* points of 100 */

int msub__feedback_effect(msub_engine *e, const msub__call *c) {
  msub_bytes id = msub__intern_bytes(&e->sh->peers, c->peer.v);
  if (id.n == 0 || (c->topic.v && !msub__topic_of(e, c->topic))) return MSUB_ERR_STALE;
  bool useful = c->arg == MSUB_USEFUL;
  if (useful) MSUB__COUNT(e, feedback_useful);
  else MSUB__COUNT(e, feedback_invalid);
  if (c->topic.v) MSUB__CALL(e, msub__handle_router(c->topic.v), feedback, c->topic, c->peer, useful);
  if (useful) return MSUB_OK;
  uint64_t prefix = 0;
  for (unsigned ri = 0; ri < e->n_routers && !prefix; ri++) {
    uint32_t slot = msub__session_find(e, ri, c->peer.v);
    if (slot != MSUB__NONE) prefix = msub__session_at(e, ri, slot)->prefix;
  }
  msub__blame(e, c->peer.v, prefix, MSUB_R_FEEDBACK, INVALID_COSTS);
  return MSUB_OK;
}

int msub_feedback(msub_engine *e, msub_topic t, msub_peer p, msub_opinion o, const msub_now *now) {
  if (o != MSUB_USEFUL && o != MSUB_INVALID) return MSUB_ERR_INVAL;
  if (now == NULL ? !e->inside : e->inside) return MSUB_ERR_STATE;
  if (msub__intern_bytes(&e->sh->peers, p.v).n == 0 || (t.v && !msub__topic_of(e, t))) return MSUB_ERR_STALE;
  msub__call c = { .kind = MSUB__CALL_FEEDBACK, .topic = t, .peer = p, .arg = (int)o };
  if (!now) {
    int rc = msub__deferred_push(e, &c, (msub_bytes){ NULL, 0 });
    if (rc == MSUB_OK) msub__intern_ref(&e->sh->peers, p.v); /* until it runs */
    return rc;
  }
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  rc = msub__feedback_effect(e, &c);
  msub__leave(e);
  return rc;
}
