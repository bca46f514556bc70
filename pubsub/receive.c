/* pubsub/receive.c: what a peer sends: scan, subscriptions, messages up to their judgement, control. Frames come from sockets;
 * structured RPCs from worlds whose engines share messages. */
#include "pubsub/engine.h"
#include <string.h>

/* Who sent what is being read. No session ends, and none moves, while a call about it runs. */
typedef struct sender {
  msub__session *s;
  msub_session h;
  unsigned ri;
  uint32_t slot, peer;
} sender;
static sender sender_of(const msub_engine *e, msub_session h) { /* s NULL: stale */
  msub__session *s = msub__session_of(e, h);
  return (sender){ s, h, msub__handle_router(h.v), msub__handle_slot(h.v), s ? s->peer : 0 };
}

/* A message that is refused before it is copied: told to the router, nothing is remembered. id: empty while it is not known. */
static void refuse(msub_engine *e, const msub__topic *t, const msub_msg *m, msub_bytes id, uint32_t peer, msub_verdict v, int reason) {
  unsigned ri = msub__handle_router(t->handle.v);
  msub__count_reason(e, reason);
  if (v == MSUB_REJECT) MSUB__COUNT(e, rejected);
  else if (v == MSUB_IGNORE) MSUB__COUNT(e, ignored);
  else MSUB__COUNT(e, throttled);
  if (v == MSUB_REJECT) MSUB__COUNT_TOPIC(t, rejected, 1);
  else if (v == MSUB_IGNORE) MSUB__COUNT_TOPIC(t, ignored, 1);
  else MSUB__COUNT_TOPIC(t, throttled, 1);
  msub_peer from = { peer };
  MSUB__TRACE(e, ri, .kind = MSUB_T_REJECT, .topic = t->handle, .id = id, .peer = from, .reason = reason);
  MSUB__CALL(e, ri, validated, t->handle, m, &from, 1, v, reason);
}

/* Which fields the signature policy demands and forbids. NONE: fine. */
static int policy_fault(const msub_engine *e, const msub__topic *t, const msub_msg *m) {
  unsigned any = m->present & (MSUB_HAS_FROM | MSUB_HAS_SEQNO | MSUB_HAS_SIGNATURE | MSUB_HAS_KEY);
  if (t->signing == 0) return any ? MSUB_R_FORBIDDEN_FIELD : MSUB_R_NONE;
  if (!(any & MSUB_HAS_SIGNATURE)) {
    if (t->signing & MSUB__S_DEMAND) return MSUB_R_FORBIDDEN_FIELD;
    return any & MSUB_HAS_SEQNO && m->seqno_n != 8 && !e->cfg->go_parity ? MSUB_R_BAD_SEQNO : MSUB_R_NONE;
  }
  if (!(t->signing & MSUB__S_VERIFY)) return MSUB_R_FORBIDDEN_FIELD;
  if (e->cfg->go_parity) return m->from_n ? MSUB_R_NONE : MSUB_R_INVALID_SIGNATURE; /* of nobody */
  if (!(any & MSUB_HAS_FROM)) return MSUB_R_FORBIDDEN_FIELD;
  return m->seqno_n == 8 ? MSUB_R_NONE : MSUB_R_BAD_SEQNO;
}

static bool bad_before(const msub_engine *e, msub_bytes wire) {
  const msub__work *w = e->work;
  if (w->n_bad == 0) return false;
  uint64_t h = msub__hash(&e->sh->key, wire);
  for (uint32_t i = 0; i < w->n_bad; i++)
    if (w->bad[i] == h) return true;
  return false;
}

static void duplicate(msub_engine *e, const msub__topic *t, msub_bytes id, const sender *by) {
  MSUB__COUNT(e, duplicates);
  MSUB__COUNT_TOPIC(t, duplicates, 1);
  MSUB__TRACE(e, by->ri, .kind = MSUB_T_DUPLICATE, .topic = t->handle, .id = id, .peer = { by->peer });
  MSUB__CALL(e, by->ri, duplicate, t->handle, id, by->h);
}

/* The program wants nothing of who sends it or wrote it: a reason, or NONE. */
static int unwelcome(const msub_engine *e, const msub__topic *t, const msub_msg *m, const sender *by) {
  if (by->s->shut) return MSUB_R_BLOCKED_PEER;
  if (e->listing && msub__list_blocks(e, msub_from(m))) return MSUB_R_BLOCKED_AUTHOR;
  if (!t->peers_filtered || e->cfg->go_parity || msub__may_peer(e, t, by->h)) return MSUB_R_NONE;
  return MSUB_R_FILTERED;
}

/* Takes a message of a wanted topic: borrowed from a frame, or owned by another engine. whole: its fields are as they came. */
static void take_known(msub_engine *e, const msub__topic *t, const msub_msg *m, bool whole, const sender *by) {
  int no = unwelcome(e, t, m, by);
  if (no) { /* whoever brings it is not to blame, or is gone soon */
    refuse(e, t, m, (msub_bytes){ NULL, 0 }, by->peer, MSUB_IGNORE, no);
    return;
  }
  MSUB__COUNT_TOPIC(t, messages_in, 1);
  MSUB__COUNT_TOPIC(t, bytes_in, m->wire_n);
  int fault = policy_fault(e, t, m);
  if (fault == MSUB_R_NONE && !whole) fault = MSUB_R_BAD_SEQNO;
  if (fault != MSUB_R_NONE) {
    refuse(e, t, m, (msub_bytes){ NULL, 0 }, by->peer, fault == MSUB_R_BAD_SEQNO ? MSUB_IGNORE : MSUB_REJECT, fault);
    return;
  }
  bool shared = !m->borrowed && m->id_fn == t->id_fn && t->id_fn != MSUB__ID_NOBODY; /* the same function made its id: it need not run again */
  uint8_t id[MSUB_MAX_ID];
  msub_bytes idb = shared ? msub_id(m) : (msub_bytes){ id, msub__message_id(e, t, m, id) };
  if (idb.n == 0) {
    refuse(e, t, m, (msub_bytes){ NULL, 0 }, by->peer, MSUB_IGNORE, MSUB_R_BAD_ID);
    return;
  }
  msub__work *w = e->work;
  w->about.hash = msub__hash(&e->sh->key, idb);
  w->about.id = idb;
  msub__case c = { .topic = t->handle, .from = { by->peer }, .n_from = 1, .fp = msub__fingerprint(e, t, idb) };
  switch (msub__seen_find(&w->seen, c.fp, e->now.mono_ns)) {
  case MSUB__SEEN_INVALID:
    msub__count_reason(e, MSUB_R_INVALID_AGAIN);
    duplicate(e, t, idb, by);
    return;
  case MSUB__SEEN:
  case MSUB__SEEN_ACCEPTED: duplicate(e, t, idb, by); return;
  default: break;
  }
  msub_bytes wire = { msub_wire(m), m->wire_n };
  if (msub__question_copy(e, c.fp, wire, by->peer)) {
    MSUB__COUNT(e, copies_pending);
    MSUB__COUNT_TOPIC(t, duplicates, 1);
    return;
  }
  if (m->from_n && msub_bytes_eq(msub_from(m), msub__intern_bytes(&e->sh->peers, e->self))) {
    refuse(e, t, m, idb, by->peer, MSUB_REJECT, MSUB_R_SELF_ORIGIN);
    return;
  }
  if (m->data_n > msub__max_data(e, t)) {
    refuse(e, t, m, idb, by->peer, MSUB_IGNORE, MSUB_R_TOO_LARGE);
    return;
  }
  bool verifies = msub__verifies(t, m);
  if (verifies && bad_before(e, wire)) {
    MSUB__COUNT(e, bad_bytes_again);
    refuse(e, t, m, idb, by->peer, MSUB_REJECT, MSUB_R_INVALID_SIGNATURE);
    return;
  }
  bool asks = verifies && MSUB__WORLD(e)->offload;
  if (!asks || msub__question_room(e, m->wire_n, by->s->throttled))
    c.m = shared ? msub_msg_hold(m) : msub__msg_new(e->sh, m, t->id_fn, idb);
  if (!c.m) {
    refuse(e, t, m, idb, by->peer, MSUB_THROTTLED, MSUB_R_THROTTLED);
    return;
  }
  MSUB__COUNT_TOPIC(t, first, 1);
  w->about.id = msub_id(c.m);
  msub__judge(e, &c);
}

static void take(msub_engine *e, const msub__topic *t, const msub_msg *m, bool whole, const sender *by) {
  take_known(e, t, m, whole, by);
  e->work->about.id = (msub_bytes){ NULL, 0 };
}

/* Counts a message. Is it for a member? false: also when there is no memory to judge it. */
static bool wanted(msub_engine *e, const msub__topic *t) {
  MSUB__COUNT(e, messages_in);
  if (t && t->joins && msub__need_work(e)) return true;
  MSUB__COUNT(e, unwanted);
  return false;
}

/* The topic of this name. Copies of a message come close behind one another, so it is mostly that of the last message. */
static const msub__topic *topic_named(msub_engine *e, unsigned ri, msub_bytes name) {
  msub__work *w = e->work;
  const msub__topic *t = w && msub__handle_router(w->last.v) == ri ? msub__topic_of(e, w->last) : NULL;
  if (t && msub_bytes_eq(msub__name_of(e, t->name), name)) return t;
  t = msub__topic_find(e, ri, msub__intern_find(&e->sh->names, &e->sh->key, name));
  if (t && w) w->last = t->handle;
  return t;
}

static void take_view(msub_engine *e, const msub_msg_view *v, const sender *by) {
  const msub__topic *t = topic_named(e, by->ri, v->topic);
  if (!wanted(e, t)) return;
  msub_msg_borrowed m;
  bool whole = msub__msg_borrow(&m, v, t->name);
  if (!whole) { /* an author or a sequence number of over 255 bytes is none */
    msub_msg_view none = *v;
    none.from = none.seqno = (msub_bytes){ NULL, 0 };
    msub__msg_borrow(&m, &none, t->name);
  }
  take(e, t, &m.m, whole, by);
}

/* ---- frames ---- */

static void subscriptions(msub_engine *e, const sender *by, msub_bytes frame, size_t n) {
  msub_rpc_iter it;
  msub_rpc_part part;
  size_t examined = 0;
  msub_rpc_begin(&it, frame);
  while (examined < n && msub_rpc_next(&it, &part) != MSUB_P_END) {
    if (part.kind != MSUB_P_SUBSCRIPTION) continue;
    if (examined++ == MSUB__SUBSCRIPTIONS_RPC && !e->cfg->go_parity) break;
    uint32_t flags = (part.requests_partial ? MSUB_SUB_REQUESTS_PARTIAL : 0u) | (part.sends_partial ? MSUB_SUB_SENDS_PARTIAL : 0u);
    if (part.subscribe) msub__session_subscribe(e, by->ri, by->slot, part.topic, flags);
    else msub__session_unsubscribe(e, by->ri, by->slot, part.topic);
  }
}

/* At most MSUB__PUBLISH_TURN messages of the n in it. true: there are more, resume_at says where. */
static bool messages(msub_engine *e, const sender *by, msub_bytes frame, size_t n) {
  msub__session *s = by->s;
  msub_rpc_iter it;
  msub_rpc_part part;
  uint32_t index = 0, taken = 0, first = s->resume_at;
  msub_rpc_begin(&it, frame);
  while (index < n && msub_rpc_next(&it, &part) != MSUB_P_END) {
    if (part.kind != MSUB_P_MESSAGE || index++ < first) continue;
    if (taken++ == MSUB__PUBLISH_TURN) {
      s->resume_at = (uint16_t)(index - 1);
      return true;
    }
    take_view(e, &part.msg, by);
  }
  s->resume_at = 0;
  return false;
}

/* What extensions brought. */
static void extension(msub_engine *e, const sender *by, const msub_ctl_entry *x) {
  if (x->flags & MSUB_EXT_LATE) MSUB__COUNT(e, extensions_late);
  if (x->kind == MSUB_C_PARTIAL) MSUB__COUNT(e, partials_in);
  bool taken = MSUB__ASK(e, by->ri, extension, false, by->h, x);
  if (x->kind == MSUB_C_EXTENSIONS) return;
  if (!taken) {
    if (x->kind == MSUB_C_PARTIAL) MSUB__COUNT(e, partials_refused);
    return;
  }
  if (x->kind == MSUB_C_TEST) {
    MSUB__TRACE(e, by->ri, .kind = MSUB_T_EXTENSION, .peer = { by->peer }, .text = "test");
    return;
  }
  const msub__topic *t = msub__topic_find(e, by->ri, x->topic_name);
  MSUB__TRACE(e, by->ri, .kind = MSUB_T_EXTENSION, .peer = { by->peer }, .topic = t ? t->handle : (msub_topic){ 0 }, .id = x->ids[0],
              .n = (uint32_t)(x->ids[1].n + x->ids[2].n), .text = "partial");
}

/* Takes note that the first RPC of the stream is here: with these extensions, or (flags 0) none. */
static void announced(msub_engine *e, const sender *by, bool any, uint8_t flags) {
  msub__session *s = by->s;
  msub_ctl_entry x = { .kind = MSUB_C_EXTENSIONS, .flags = flags };
  if (!s->first_due) x.flags |= MSUB_EXT_LATE;
  if (s->first_due || any) extension(e, by, &x);
  s->first_due = false;
}

static void extensions(msub_engine *e, const sender *by, msub_bytes frame) {
  msub_rpc_iter it;
  msub_rpc_part part;
  bool any = false, test = false;
  uint8_t flags = 0;
  msub_ctl_entry partial = { .kind = MSUB_C_PARTIAL };
  msub_bytes views[3];
  msub_rpc_begin(&it, frame);
  while (msub_rpc_next(&it, &part) != MSUB_P_END) {
    if (part.kind == MSUB_P_EXTENSIONS) {
      any = true;
      flags = (uint8_t)((part.ext_partial ? MSUB_EXT_PARTIAL : 0) | (part.ext_test ? MSUB_EXT_TEST : 0));
    } else if (part.kind == MSUB_P_PARTIAL) {
      views[0] = part.group;
      views[1] = part.part_message;
      views[2] = part.parts_metadata;
      partial.ids = views;
      partial.n_ids = 3;
      partial.topic_name = msub__intern_find(&e->sh->names, &e->sh->key, part.topic);
    } else if (part.kind == MSUB_P_TEST) test = true;
  }
  announced(e, by, any, flags);
  if (partial.n_ids) extension(e, by, &partial);
  if (test) extension(e, by, &(msub_ctl_entry){ .kind = MSUB_C_TEST });
}

static msub_accept accepts(msub_engine *e, const sender *by) {
  return MSUB__ASK(e, by->ri, accept_from, MSUB_FROM_ALL, by->h);
}

/* The messages of an RPC that the router does not want to hear. */
static void unheard(msub_engine *e, const sender *by, msub_accept accept, size_t n) {
  if (n == 0) return;
  MSUB__COUNT_N(e, unheard, n);
  if (accept == MSUB_FROM_CONTROL) MSUB__CALL(e, by->ri, unheard, by->h, n);
}

static int refuse_rpc(msub_engine *e, const sender *by, int rc, size_t bytes, const char *why) {
  msub__session *s = by->s;
  s->resume_at = 0;
  if (rc == MSUB_ERR_LIMIT) MSUB__COUNT(e, rpcs_over_limit);
  else MSUB__COUNT(e, rpcs_malformed);
  MSUB__LOGE(e, MSUB_LOG_INFO, "an RPC of %zu bytes is refused: %s", bytes, why ? why : "malformed");
  msub__blame(e, s->peer, s->prefix, rc == MSUB_ERR_LIMIT ? MSUB_R_RPC_OVER_LIMIT : MSUB_R_MALFORMED_RPC, 25);
  return rc;
}

/* More announcements than the filter lets through. */
static bool over_filter(msub_engine *e, size_t subscriptions) {
  uint32_t most = e->extras->filter.max_per_rpc;
  if (most == 0 || subscriptions <= most) return false;
  MSUB__COUNT(e, rpcs_filtered);
  return true;
}

static int take_frame(msub_engine *e, const sender *by, msub_bytes frame) {
  msub__session *s = by->s;
  msub_rpc_limits lim = { .frame_bytes = e->cfg->max_rpc, .control_bytes = MSUB__CONTROL_BYTES, .publish = MSUB__PUBLISH_ENTRIES,
                          .message_bytes = e->cfg->max_message };
  msub_rpc_counts n;
  int rc = msub_rpc_scan(frame, &lim, &n);
  if (rc != MSUB_OK) return refuse_rpc(e, by, rc, frame.n, n.why);
  if (s->shut) return messages(e, by, frame, n.publish) ? MSUB_MORE : MSUB_OK; /* each is refused */
  if (s->resume_at == 0) {
    if (e->inspecting && !msub__inspected(e, by->h, by->peer, frame, &n)) return MSUB_OK;
    if (e->filtering && over_filter(e, n.subscriptions)) return MSUB_OK;
    MSUB__COUNT(e, rpcs_in);
    MSUB__TRACE(e, by->ri, .kind = MSUB_T_RECV_RPC, .peer = { by->peer }, .frame = frame);
    if (n.subscriptions) subscriptions(e, by, frame, n.subscriptions);
    if (s->hello_due) msub__session_hello_read(e, by->ri, by->slot);
  }
  msub_accept accept = s->resume_at ? MSUB_FROM_ALL : accepts(e, by); /* asked once */
  if (accept != MSUB_FROM_ALL) unheard(e, by, accept, n.publish);
  if (accept == MSUB_FROM_NONE) return MSUB_OK;
  if (s->resume_at == 0 && (n.extensions || n.partial || n.test)) extensions(e, by, frame);
  else if (s->resume_at == 0 && s->first_due) announced(e, by, false, 0);
  if (accept == MSUB_FROM_ALL && n.publish && messages(e, by, frame, n.publish)) return MSUB_MORE;
  if (MSUB__HAS(e, by->ri, control) && n.control) {
    if (n.graft | n.prune) e->stirred = true;
    msub__control(e, by->ri, by->slot, frame);
  }
  return MSUB_OK;
}

int msub_receive(msub_engine *e, msub_session h, msub_bytes frame, const msub_now *now) {
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  const sender by = sender_of(e, h);
  rc = by.s ? take_frame(e, &by, frame) : MSUB_ERR_STALE;
  msub__leave(e);
  return rc;
}

/* ---- structured ---- */

static uint8_t subscription_flags(const msub_ctl_entry *c) { return c->flags & (MSUB_SUB_REQUESTS_PARTIAL | MSUB_SUB_SENDS_PARTIAL); }

/* The sender has kept to its own limits; ours may be closer. */
static const char *over_limit(const msub_engine *e, const msub_rpc *rpc) {
  if (rpc->wire_size > e->cfg->max_rpc) return "frame_bytes";
  if (rpc->n_msgs > MSUB__PUBLISH_ENTRIES) return "publish";
  for (size_t i = 0; i < rpc->n_msgs; i++)
    if (rpc->msgs[i]->wire_n > e->cfg->max_message) return "message_bytes";
  return NULL;
}

static size_t subscriptions_of(const msub_ctl *c) {
  size_t n = 0;
  while (c && n < c->n && (c->e[n].kind == MSUB_C_SUB || c->e[n].kind == MSUB_C_UNSUB)) n++;
  return n;
}

static void take_messages(msub_engine *e, const sender *by, const msub_rpc *rpc) {
  for (size_t i = 0; i < rpc->n_msgs; i++) {
    const msub__topic *t = msub__topic_find(e, by->ri, rpc->msgs[i]->topic_name);
    if (wanted(e, t)) take(e, t, rpc->msgs[i], true, by);
  }
}

static int take_rpc(msub_engine *e, const sender *by, const msub_rpc *rpc) {
  msub__session *s = by->s;
  const char *why = over_limit(e, rpc);
  if (why) return refuse_rpc(e, by, MSUB_ERR_LIMIT, rpc->wire_size, why);
  if (e->inspecting && !s->shut && !msub__inspected_rpc(e, by->h, by->peer, rpc)) return MSUB_OK;
  if (e->filtering && !s->shut && over_filter(e, subscriptions_of(rpc->ctl))) return MSUB_OK;
  if (s->shut) {
    take_messages(e, by, rpc); /* each is refused */
    return MSUB_OK;
  }
  MSUB__COUNT(e, rpcs_in);
  MSUB__TRACE(e, by->ri, .kind = MSUB_T_RECV_RPC, .peer = { by->peer }, .rpc = rpc);
  const msub_ctl *c = rpc->ctl;
  uint32_t n = c ? c->n : 0, first = 0, ext;
  for (; first < n && (c->e[first].kind == MSUB_C_SUB || c->e[first].kind == MSUB_C_UNSUB); first++) {
    if (first >= MSUB__SUBSCRIPTIONS_RPC && !e->cfg->go_parity) continue;
    msub_bytes name = msub__name_of(e, c->e[first].topic_name);
    if (c->e[first].kind == MSUB_C_SUB) msub__session_subscribe(e, by->ri, by->slot, name, subscription_flags(&c->e[first]));
    else msub__session_unsubscribe(e, by->ri, by->slot, name);
  }
  if (s->hello_due) msub__session_hello_read(e, by->ri, by->slot);
  msub_accept accept = accepts(e, by);
  if (accept != MSUB_FROM_ALL) unheard(e, by, accept, rpc->n_msgs);
  if (accept == MSUB_FROM_NONE) return MSUB_OK;
  for (ext = n; ext > first && c->e[ext - 1].kind >= MSUB_C_EXTENSIONS; ext--) {}
  const msub_ctl_entry *said = ext < n && c->e[ext].kind == MSUB_C_EXTENSIONS ? &c->e[ext] : NULL;
  if (said || s->first_due) announced(e, by, said != NULL, said ? said->flags & (MSUB_EXT_PARTIAL | MSUB_EXT_TEST) : 0);
  for (uint32_t i = ext; i < n; i++)
    if (&c->e[i] != said) extension(e, by, &c->e[i]);
  n = ext;
  if (accept == MSUB_FROM_ALL) take_messages(e, by, rpc);
  if (first == n || !MSUB__HAS(e, by->ri, control)) return MSUB_OK;
  e->stirred = true;
  msub_ctl rest = { .refs = 1, .n = n - first, .e = c->e + first };
  MSUB__CALL(e, by->ri, control, by->h, &rest, false);
  return MSUB_OK;
}

int msub_receive_rpc(msub_engine *e, msub_session h, const msub_rpc *rpc, const msub_now *now) {
  int rc = msub__enter(e, now);
  if (rc != MSUB_OK) return rc;
  const sender by = sender_of(e, h);
  rc = by.s ? take_rpc(e, &by, rpc) : MSUB_ERR_STALE;
  msub__leave(e);
  return rc;
}

void msub_prefetch(const msub_engine *e, msub_session h) {
#if defined(__GNUC__)
  unsigned ri = msub__handle_router(h.v);
  uint32_t slot = msub__handle_slot(h.v);
  if (h.v == 0 || ri >= e->n_routers || slot >= e->routers[ri].n_sessions) return;
  __builtin_prefetch(e->work);
  __builtin_prefetch(msub__session_at(e, ri, slot));
#else
  (void)e, (void)h;
#endif
}
