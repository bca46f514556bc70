/* lww/share.c: topics that are shared with peers: joining, publishing, and what a peer's message means. */
#include "lww/set.h"
#include "meshsub/rpc.h"

/* ---- what comes ---- */

msub_verdict msub_lww_validate_message(const msub_lww_ops *ops, const void *type, const void *wire, size_t n) {
  msub_msg_view v;
  if (msub_msg_parse((msub_bytes){ wire, n }, &v) != MSUB_OK) return MSUB_REJECT;
  return ops->validate(type, v.topic, v.data);
}

/* Before admit: whether it is a record at all, in the world's pool. */
static msub_verdict verify(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job) {
  msub_lww *l = ud;
  (void)token;
  msub_bytes data = msub_data(m);
  if (from.v == 0) return MSUB_ACCEPT; /* an own publish: admit takes the winner and nothing else */
  if (data.n > l->o.limits.record) {
    l->counts.full++;
    return MSUB_IGNORE;
  }
  const msub__lww_entry *e = msub__lww_find(l, msub_name_bytes(msub_engine_shared(l->o.engine), m->topic_name));
  if (e && e->winner && msub_bytes_eq(msub__lww_bytes(e->winner), data)) return MSUB_ACCEPT;
  *job = (msub_job){ .fn = l->ops.validate_message, .cost_hint_ns = l->ops.cost_ns ? l->ops.cost_ns : 100000 };
  return MSUB_PENDING;
}
static void verified(void *ud, const msub_msg *m, msub_peer from, msub_verdict v) {
  (void)m, (void)from;
  if (v == MSUB_REJECT) ((msub_lww *)ud)->counts.invalid++;
}

msub_verdict msub__lww_admit(msub_lww *l, msub_bytes topic, const msub_msg *m, msub_session from) {
  const msub__lww_entry *e = msub__lww_find(l, topic);
  msub_bytes data = msub_data(m);
  if (from.v == 0) return e && e->winner && msub_bytes_eq(msub__lww_bytes(e->winner), data) ? MSUB_ACCEPT : MSUB_IGNORE;
  msub_lww_how how;
  msub_lww_how_init(&how);
  how.source = MSUB_LWW_PUBSUB;
  how.from = msub_peer_bytes(msub_engine_shared(l->o.engine), msub_session_peer(l->o.engine, from));
  how.validated = e && e->pool;
  switch (msub__lww_take(l, topic, data, &how, msub_engine_now(l->o.engine)->wall_ns, (msub_token){ 0 })) {
  case MSUB_LWW_TAKEN: return MSUB_ACCEPT;
  case MSUB_ERR_MALFORMED: return MSUB_REJECT;
  case MSUB_ERR_LIMIT: return data.n > l->o.limits.record ? MSUB_IGNORE : MSUB_THROTTLED;
  case MSUB_ERR_NOMEM: return MSUB_THROTTLED;
  default: return MSUB_IGNORE;
  }
}

static msub_verdict admit(const msub_channel *c, const msub_msg *m, msub_session from, msub_token t) {
  (void)t;
  msub_lww *l = c->ctx;
  return msub__lww_admit(l, msub_name_bytes(msub_engine_shared(c->engine), msub_topic_name(c->engine, c->topic)), m, from);
}

static const msub_channel_policy stock = { .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "lww", .admit = admit };
const msub_channel_policy *msub_lww_policy(void) { return &stock; }

/* ---- what goes out ---- */

/* In a callback it goes out later, and by the time that the engine has last heard of. */
static int publish(msub_lww *l, const msub__lww_entry *e, const msub_now *now) {
  msub_now last = now ? *now : *msub_engine_now(l->o.engine);
  msub_token ticket;
  msub__lww_record *r = msub__lww_hold(e->winner); /* what the publish calls may replace it */
  int rc = msub_publish(l->o.engine, e->topic, msub__lww_bytes(r), &last, NULL);
  if (rc == MSUB_ERR_STATE) rc = msub_publish(l->o.engine, e->topic, msub__lww_bytes(r), NULL, &ticket);
  if (rc != MSUB_OK) l->counts.unsent++;
  msub__lww_drop(l, r);
  return rc;
}

void msub__lww_publish(msub_lww *l, msub__lww_entry *e, const msub_now *now) {
  if (e->joined && e->winner) (void)publish(l, e, now);
}

int msub_lww_rebroadcast(msub_lww *l, msub_bytes topic, const msub_now *now) {
  msub__lww_entry *e = msub__lww_find(l, topic);
  if (!e || !e->joined || !e->winner) return MSUB_ERR_NOTFOUND;
  if (e->winner->expires <= now->wall_ns) return MSUB_ERR_TIMEOUT;
  if (e->resent && now->mono_ns - e->resent < MSUB__LWW_RESEND_NS) return MSUB_ERR_LIMIT;
  if (l->with_router) {
    int told = msub_command(l->o.engine, l->o.router, MSUB__LWW_RETELL, &e->topic, sizeof e->topic, now);
    return told == MSUB_ERR_STATE ? msub_command(l->o.engine, l->o.router, MSUB__LWW_RETELL, &e->topic, sizeof e->topic, NULL) : told;
  }
  e->resent = now->mono_ns ? now->mono_ns : 1;
  e->pins++;
  int rc = publish(l, e, now);
  msub__lww_unpin(l, e);
  if (rc == MSUB_OK) l->counts.resent++;
  return rc;
}

/* ---- membership ---- */

static int pool(msub_lww *l, msub__lww_entry *e) {
  if (!l->ops.validate_message) return MSUB_OK;
  msub_validator_opts o;
  msub_validator_opts_init(&o);
  o.name = "lww";
  o.fn = verify;
  o.concluded = verified;
  o.ud = l;
  int rc = msub_validator_add(l->o.engine, e->topic, &o);
  e->pool = rc == MSUB_OK;
  return rc;
}

static int leave(msub_lww *l, msub__lww_entry *e, const msub_now *now) {
  int rc = MSUB_OK;
  if (e->pool) rc = msub_validator_remove(l->o.engine, e->topic, verify, l);
  if (rc == MSUB_ERR_STATE) return rc;
  rc = msub_leave(l->o.engine, e->topic, now);
  if (rc == MSUB_ERR_STATE) return rc;
  e->joined = e->pool = false;
  msub__lww_index(l, e);
  e->topic = (msub_topic){ 0 };
  l->counts.joined--;
  return MSUB_OK;
}

int msub_lww_join(msub_lww *l, msub_bytes topic, const msub_now *now, msub_topic *out) {
  if (!l->o.engine) return MSUB_ERR_STATE;
  if (topic.n == 0 || topic.n > (l->with_router ? MSUB__LWW_ROUTER_TOPIC : MSUB__LWW_TOPIC)) return MSUB_ERR_INVAL;
  msub__lww_entry *e = msub__lww_find(l, topic);
  if (e && e->joined) {
    *out = e->topic;
    return MSUB_OK;
  }
  if (l->counts.joined >= l->o.limits.joined) return MSUB_ERR_LIMIT;
  if (!(e = msub__lww_entry_get(l, topic))) return MSUB_ERR_NOMEM;
  e->joined = true; /* what the join calls finds it so */
  l->counts.joined++;
  msub__lww_index(l, e);
  const msub_channel_policy *policy = !l->with_router ? &stock : l->own.abi ? &l->own : NULL;
  int rc = msub_join(l->o.engine, l->o.router, topic, policy, l, now, &e->topic);
  if (rc != MSUB_OK) {
    e->joined = false;
    msub__lww_index(l, e);
    l->counts.joined--;
  } else if ((rc = pool(l, e)) != MSUB_OK) (void)leave(l, e, now);
  if (rc == MSUB_OK) *out = e->topic;
  msub__lww_unpin(l, e);
  return rc;
}

int msub_lww_leave(msub_lww *l, msub_bytes topic, bool keep, const msub_now *now) {
  msub__lww_entry *e = msub__lww_find(l, topic);
  if (!e || !e->joined) return MSUB_ERR_NOTFOUND;
  e->pins++;
  int rc = leave(l, e, now);
  if (rc == MSUB_OK && !keep && !msub__lww_stored(l)) msub__lww_set_winner(l, e, NULL);
  msub__lww_unpin(l, e);
  return rc;
}

void msub__lww_leave_all(msub_lww *l) {
  for (uint32_t i = 0; i < l->n; i++)
    if (l->entries[i]->joined) (void)leave(l, l->entries[i], msub_engine_now(l->o.engine));
}
