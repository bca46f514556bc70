/* Operations that an outer level forwards: what the inner router is told, what becomes of its answers, what
 * goes on the wire. There are three levels; the one in the middle has no operation, so that each call has to
 * find its way past it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "engine_world.h"
#include "pubsub/limits.h"

#define S UINT64_C(1000000000)
#define COUNT(a) (sizeof(a) / sizeof *(a))

static world w;
static uint8_t buf[1 << 16];

/* ---- what happened ---- */

static char calls[4096]; /* "outer.arrived inner.arrived " */
static struct {
  msub_session s;
  msub_topic t;
  msub_peer from[8];
  size_t n_from, n_ids, n_msgs, n_entries, sent_before;
  char ids[64]; /* "a b " */
  msub_verdict verdict;
  int reason;
  uint32_t n;
  msub_session_info info;
  bool returning;
  unsigned ticks;
} told; /* the inner router; returning: the outer one */

static void note_id(msub_bytes id) {
  size_t n = strlen(told.ids);
  told.n_ids++;
  if (n + id.n + 2 <= sizeof told.ids)
    (void)snprintf(told.ids + n, sizeof told.ids - n, "%.*s ", (int)id.n, (const char *)id.p);
}
static void forget_all(void) {
  calls[0] = 0;
  memset(&told, 0, sizeof told);
  world_clear(&w);
}

/* ---- what the two answer ---- */

typedef struct answers {
  msub_accept accept;
  uint8_t flags, extensions;
  int rc;
  bool ready;
  size_t states;
  uint64_t keep_ns, deadline;
} answers;
static answers inner_says, outer_says;
static bool bare;  /* the inner router has no operation but publish */
static bool alone; /* the outer one does not ask it */

enum { OUTER = 1, MIDDLE, INNER };
static const char *const names[] = { "", "outer.", "middle.", "inner." };

/* Every level marks its own state in init and finds it again: a call with the handle of another level would
 * show. */
static void note(const msub_router *r, const char *op) {
  uint64_t mark = *(const uint64_t *)msub_r_state(r);
  cr_assert(mark == OUTER || mark == INNER);
  cr_assert_lt(strlen(calls) + 40, sizeof calls);
  strcat(strcat(strcat(calls, names[mark]), op), " ");
}
static bool forwards(const msub_router *r, const char *op) {
  cr_assert_eq(*(const uint64_t *)msub_r_state(r), OUTER);
  note(r, op);
  return !alone;
}
static void enter(const msub_router *r, const char *op) {
  cr_assert_eq(*(const uint64_t *)msub_r_state(r), INNER);
  note(r, op);
}

/* ---- the inner router ---- */

static int init_inner(msub_router *r) {
  *(uint64_t *)msub_r_state(r) = INNER;
  return MSUB_OK;
}
static void inner_agreed(msub_router *r, msub_session s, const msub_session_info *i) {
  enter(r, "session_agreed");
  told.s = s;
  told.info = *i;
}
static uint64_t inner_retain(msub_router *r, msub_session s) {
  enter(r, "retain");
  told.s = s;
  return inner_says.keep_ns ? msub_r_mono(r) + inner_says.keep_ns : 0;
}
static void inner_leave(msub_router *r, msub_topic t) {
  enter(r, "leave");
  told.t = t;
  told.sent_before = w.n_sent;
  cr_assert_not_null(msub_r_topic(r, t));
  msub_ctl_entry e = { .kind = MSUB_C_PRUNE, .topic_name = msub_r_name(r, t) };
  for (size_t i = 0; i < msub_r_links(r, t); i++) {
    msub_session s = msub_r_link_session(r, t, i);
    cr_assert_eq(msub_r_send(r, &s, 1, &e, 1, MSUB_LANE_CONTROL), 1);
  }
}
static uint8_t inner_announce(msub_router *r, msub_topic t) {
  enter(r, "announce");
  told.t = t;
  return inner_says.flags;
}
static uint8_t inner_hello(msub_router *r, msub_session s) {
  enter(r, "hello");
  told.s = s;
  return inner_says.extensions;
}
static bool inner_extension(msub_router *r, msub_session s, const msub_ctl_entry *e) {
  enter(r, "extension");
  told.s = s;
  told.n_entries++;
  told.n = e->flags;
  for (uint32_t i = 0; i < e->n_ids; i++) note_id(e->ids[i]);
  return inner_says.ready;
}
static msub_accept inner_accept_from(msub_router *r, msub_session s) {
  enter(r, "accept_from");
  told.s = s;
  return inner_says.accept;
}
static void inner_arrived(msub_router *r, msub_topic t, const msub_msg *m, msub_session from) {
  enter(r, "arrived");
  told.t = t;
  told.s = from;
  note_id(msub_id(m));
}
static void inner_validated(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t n,
                            msub_verdict v, int reason) {
  enter(r, "validated");
  told.t = t;
  told.n_from = n;
  cr_assert_leq(n, COUNT(told.from));
  if (n) memcpy(told.from, from, n * sizeof *from);
  told.verdict = v;
  told.reason = reason;
  if (!m->borrowed) note_id(msub_id(m));
}
static void inner_duplicate(msub_router *r, msub_topic t, msub_bytes id, msub_session from) {
  enter(r, "duplicate");
  told.t = t;
  told.s = from;
  note_id(id);
}
static void inner_control(msub_router *r, msub_session s, const msub_ctl *c, bool more) {
  enter(r, "control");
  told.s = s;
  told.n_entries += c->n;
  cr_assert_not(more);
}
static void inner_publish(msub_router *r, msub_topic t, const msub_msg *m, msub_session from,
                          msub_list *out) {
  (void)m, (void)from;
  for (size_t i = 0; i < msub_r_links(r, t); i++) msub_list_add(out, msub_r_link_session(r, t, i));
}
static int send_ids(msub_router *r, msub_session s, msub_topic t, uint8_t kind, const msub_bytes *ids,
                    size_t n) {
  told.s = s;
  told.t = t;
  for (size_t i = 0; i < n; i++) note_id(ids[i]);
  msub_ctl_entry e = { .kind = kind, .n_ids = (uint32_t)n, .ids = ids };
  if (kind == MSUB_C_IHAVE) e.topic_name = msub_r_name(r, t);
  if (inner_says.rc == MSUB_OK) cr_assert_eq(msub_r_send(r, &s, 1, &e, 1, MSUB_LANE_GOSSIP), 1);
  return inner_says.rc;
}
static int inner_ask(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n) {
  enter(r, "ask");
  return send_ids(r, s, t, MSUB_C_IWANT, ids, n);
}
static int inner_offer(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n) {
  enter(r, "offer");
  return send_ids(r, s, t, MSUB_C_IHAVE, ids, n);
}
static void inner_dropped(msub_router *r, msub_session s, const msub_rpc *rpc, int reason) {
  enter(r, "dropped");
  told.s = s;
  told.reason = reason;
  told.n_msgs += rpc->n_msgs;
  for (size_t i = 0; i < rpc->n_msgs; i++) note_id(msub_id(rpc->msgs[i]));
  told.n_entries += rpc->ctl ? rpc->ctl->n : 0;
}
static bool inner_ready(msub_router *r, msub_topic t, uint32_t n) {
  enter(r, "ready");
  told.t = t;
  told.n = n;
  return inner_says.ready;
}
static size_t inner_snapshot(msub_router *r, msub_topic t, msub_peer_state *out, size_t cap) {
  enter(r, "snapshot");
  told.t = t;
  for (size_t i = 0; i < inner_says.states && i < cap; i++)
    out[i] = (msub_peer_state){ .peer = { (uint32_t)i + 1 }, .roles = MSUB_ROLE_MESH };
  return inner_says.states;
}
static uint64_t inner_next_deadline(msub_router *r) {
  cr_assert_eq(*(const uint64_t *)msub_r_state(r), INNER);
  return inner_says.deadline;
}
static void inner_advance(msub_router *r) {
  enter(r, "advance");
  if (inner_says.deadline > msub_r_mono(r)) return;
  told.ticks++;
  inner_says.deadline = MSUB_NEVER;
}
static void inner_address_changed(msub_router *r, msub_session s, msub_bytes address) {
  enter(r, "address_changed");
  told.s = s;
  note_id(address);
}
static void inner_unheard(msub_router *r, msub_session s, size_t n) {
  enter(r, "unheard");
  told.s = s;
  told.n = (uint32_t)n;
}
static int inner_layout(msub_layout *l, const void *opts) {
  (void)opts;
  msub_layout_state(l, 8, 8);
  msub_layout_peer(l, 8, 8);
  msub_layout_topic(l, 4, 4);
  int rc = msub_layout_protocol(l, "/inner/2", 3);
  return rc == MSUB_OK ? msub_layout_protocol(l, "/inner/1", 1) : rc;
}
static const msub_router_ops full_inner = {
  .abi = MSUB_ABI,
  .size = sizeof full_inner,
  .name = "inner",
  .layout = inner_layout,
  .init = init_inner,
  .session_agreed = inner_agreed,
  .retain = inner_retain,
  .leave = inner_leave,
  .announce = inner_announce,
  .hello = inner_hello,
  .extension = inner_extension,
  .accept_from = inner_accept_from,
  .arrived = inner_arrived,
  .validated = inner_validated,
  .duplicate = inner_duplicate,
  .control = inner_control,
  .publish = inner_publish,
  .ask = inner_ask,
  .offer = inner_offer,
  .dropped = inner_dropped,
  .ready = inner_ready,
  .snapshot = inner_snapshot,
  .next_deadline = inner_next_deadline,
  .advance = inner_advance,
  .address_changed = inner_address_changed,
  .unheard = inner_unheard,
};
static const msub_router_ops bare_inner = {
  .abi = MSUB_ABI, .size = sizeof bare_inner, .name = "bare", .layout = inner_layout, .publish = inner_publish
};

/* ---- the one in the middle, and the outer one: it adds a word of its own to each answer ---- */

static int middle_layout(msub_layout *l, const void *opts) {
  (void)opts;
  msub_layout_state(l, 40, 8);
  msub_layout_topic(l, 24, 8);
  return msub_layout_nest(l, bare ? &bare_inner : &full_inner, NULL);
}
static int init_middle(msub_router *r) {
  *(uint64_t *)msub_r_state(r) = MIDDLE;
  return MSUB_OK;
}
static const msub_router_ops middle = {
  .abi = MSUB_ABI, .size = sizeof middle, .name = "middle", .layout = middle_layout, .init = init_middle
};

static int init_outer(msub_router *r) {
  *(uint64_t *)msub_r_state(r) = OUTER;
  return MSUB_OK;
}
static int outer_up(msub_router *r, msub_session s, const msub_session_info *i) {
  told.returning = i->returning;
  return msub_x_session_up(msub_r_inner(r), s, i);
}
static void outer_agreed(msub_router *r, msub_session s, const msub_session_info *i) {
  if (forwards(r, "session_agreed")) msub_x_session_agreed(msub_r_inner(r), s, i);
}
static uint64_t outer_retain(msub_router *r, msub_session s) {
  uint64_t theirs = forwards(r, "retain") ? msub_x_retain(msub_r_inner(r), s) : 0;
  uint64_t mine = outer_says.keep_ns ? msub_r_mono(r) + outer_says.keep_ns : 0;
  return theirs > mine ? theirs : mine;
}
static void outer_leave(msub_router *r, msub_topic t) {
  if (forwards(r, "leave")) msub_x_leave(msub_r_inner(r), t);
}
static uint8_t outer_announce(msub_router *r, msub_topic t) {
  return (uint8_t)((forwards(r, "announce") ? msub_x_announce(msub_r_inner(r), t) : 0) | outer_says.flags);
}
static uint8_t outer_hello(msub_router *r, msub_session s) {
  return (uint8_t)((forwards(r, "hello") ? msub_x_hello(msub_r_inner(r), s) : 0) | outer_says.extensions);
}
static bool outer_extension(msub_router *r, msub_session s, const msub_ctl_entry *e) {
  return forwards(r, "extension") ? msub_x_extension(msub_r_inner(r), s, e) : outer_says.ready;
}
static msub_accept outer_accept_from(msub_router *r, msub_session s) {
  msub_accept theirs = forwards(r, "accept_from") ? msub_x_accept_from(msub_r_inner(r), s) : MSUB_FROM_ALL;
  return theirs > outer_says.accept ? theirs : outer_says.accept;
}
static void outer_arrived(msub_router *r, msub_topic t, const msub_msg *m, msub_session from) {
  if (forwards(r, "arrived")) msub_x_arrived(msub_r_inner(r), t, m, from);
}
static void outer_validated(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t n,
                            msub_verdict v, int reason) {
  if (forwards(r, "validated")) msub_x_validated(msub_r_inner(r), t, m, from, n, v, reason);
}
static void outer_duplicate(msub_router *r, msub_topic t, msub_bytes id, msub_session from) {
  if (forwards(r, "duplicate")) msub_x_duplicate(msub_r_inner(r), t, id, from);
}
static int outer_ask(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n) {
  return forwards(r, "ask") ? msub_x_ask(msub_r_inner(r), s, t, ids, n) : outer_says.rc;
}
static int outer_offer(msub_router *r, msub_session s, msub_topic t, const msub_bytes *ids, size_t n) {
  return forwards(r, "offer") ? msub_x_offer(msub_r_inner(r), s, t, ids, n) : outer_says.rc;
}
static void outer_dropped(msub_router *r, msub_session s, const msub_rpc *rpc, int reason) {
  if (forwards(r, "dropped")) msub_x_dropped(msub_r_inner(r), s, rpc, reason);
}
static bool outer_ready(msub_router *r, msub_topic t, uint32_t n) {
  return (forwards(r, "ready") ? msub_x_ready(msub_r_inner(r), t, n) : true) && outer_says.ready;
}
static size_t outer_snapshot(msub_router *r, msub_topic t, msub_peer_state *out, size_t cap) {
  size_t n = forwards(r, "snapshot") ? msub_x_snapshot(msub_r_inner(r), t, out, cap) : 0;
  for (size_t i = 0; i < outer_says.states; i++, n++)
    if (n < cap) out[n] = (msub_peer_state){ .peer = { 100 }, .roles = MSUB_ROLE_DIRECT };
  return n;
}
static uint64_t outer_next_deadline(msub_router *r) {
  uint64_t theirs = alone ? MSUB_NEVER : msub_x_next_deadline(msub_r_inner(r));
  return theirs < outer_says.deadline ? theirs : outer_says.deadline;
}
static void outer_advance(msub_router *r) {
  if (outer_says.deadline <= msub_r_mono(r)) outer_says.deadline = MSUB_NEVER;
  if (forwards(r, "advance")) msub_x_advance(msub_r_inner(r));
}
static void outer_address_changed(msub_router *r, msub_session s, msub_bytes address) {
  if (forwards(r, "address_changed")) msub_x_address_changed(msub_r_inner(r), s, address);
}
static void outer_unheard(msub_router *r, msub_session s, size_t n) {
  if (forwards(r, "unheard")) msub_x_unheard(msub_r_inner(r), s, n);
}
static int outer_layout(msub_layout *l, const void *opts) {
  (void)opts;
  msub_layout_state(l, 16, 8);
  msub_layout_topic(l, 8, 8);
  return msub_layout_nest(l, &middle, NULL);
}
static const msub_router_ops outer = {
  .abi = MSUB_ABI,
  .size = sizeof outer,
  .name = "outer",
  .layout = outer_layout,
  .init = init_outer,
  .session_up = outer_up,
  .session_agreed = outer_agreed,
  .retain = outer_retain,
  .leave = outer_leave,
  .announce = outer_announce,
  .hello = outer_hello,
  .extension = outer_extension,
  .accept_from = outer_accept_from,
  .arrived = outer_arrived,
  .validated = outer_validated,
  .duplicate = outer_duplicate,
  .ask = outer_ask,
  .offer = outer_offer,
  .dropped = outer_dropped,
  .ready = outer_ready,
  .snapshot = outer_snapshot,
  .next_deadline = outer_next_deadline,
  .advance = outer_advance,
  .address_changed = outer_address_changed,
  .unheard = outer_unheard,
};

/* ---- a node with up to three peers ---- */

static msub_topic t;
static msub_session peer[3]; /* links 1, 2, 3 */

static const answers silent = { .deadline = MSUB_NEVER };
static void reset(void) {
  bare = alone = false;
  inner_says = outer_says = silent;
}
static void start(void) {
  world_init(&w, 9);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  world_start(&w, &outer);
  forget_all();
}
static void start_joined(size_t peers) {
  start();
  t = world_join(&w, "t", &world_data_ids);
  for (size_t i = 0; i < peers; i++) {
    peer[i] = world_peer(&w, (uint8_t)(i + 1));
    cr_assert_eq(world_subscribe(&w, peer[i], "t", true), MSUB_OK);
  }
  forget_all();
}
static void stop(void) {
  alone = true; /* nobody is asked any more */
  world_stop(&w);
}
static uint32_t peer_of(msub_session s) { return msub_session_peer(w.e, s).v; }
static size_t times(const char *call) {
  size_t n = 0;
  for (const char *p = calls; (p = strstr(p, call)) != NULL; p++) n++;
  return n;
}

static msub_verdict judgement;
static msub_token question;
static msub_verdict judge(void *ud, const msub_msg *m, msub_peer from, msub_token q, msub_job *job) {
  (void)ud, (void)m, (void)from, (void)job;
  question = q;
  return judgement;
}
static void receive(msub_session s, const char *data) {
  msub_bytes frame = { buf, world_plain_rpc(buf, sizeof buf, "t", msub_str(data)) };
  cr_assert_eq(world_receive(&w, s, frame), MSUB_OK);
}
/* The first part of what was sent. */
static msub_part sent(size_t i, msub_rpc_part *out) {
  msub_rpc_iter it;
  cr_assert_lt(i, w.n_sent);
  msub_rpc_begin(&it, (msub_bytes){ w.sent[i].rpc, w.sent[i].n });
  return msub_rpc_next(&it, out);
}

/* ---- messages ---- */

#define ACCEPTS "outer.accept_from inner.accept_from "
#define ARRIVES "outer.arrived inner.arrived "
#define IS_JUDGED "outer.validated inner.validated "

Test(chain, arrived_and_validated) {
  reset();
  start_joined(3);
  judgement = MSUB_ACCEPT;
  cr_assert_eq(msub_validator(w.e, t, judge, NULL), MSUB_OK);
  receive(peer[0], "m1");
  cr_assert_str_eq(calls, ACCEPTS ARRIVES IS_JUDGED);
  cr_assert(told.t.v == t.v && told.s.v == peer[0].v && strcmp(told.ids, "m1 m1 ") == 0);
  cr_assert(told.n_from == 1 && told.from[0].v == peer_of(peer[0]));
  cr_assert(told.verdict == MSUB_ACCEPT && told.reason == MSUB_R_NONE);
  cr_assert(w.n_delivered == 1 && w.n_sent == 2 && w.sent[0].link == 2 && w.sent[1].link == 3);

  /* our own */
  forget_all();
  cr_assert_eq(msub_publish(w.e, t, msub_str("own"), &w.now, NULL), MSUB_OK);
  cr_assert_str_eq(calls, ARRIVES IS_JUDGED);
  cr_assert(told.s.v == 0 && told.n_from == 0 && strcmp(told.ids, "own own ") == 0 && w.n_sent == 3);

  /* two senders while it is judged: both are named, the first one first */
  forget_all();
  judgement = MSUB_PENDING;
  receive(peer[1], "m2");
  cr_assert_str_eq(calls, ACCEPTS ARRIVES);
  receive(peer[0], "m2");
  calls[0] = 0;
  cr_assert_eq(msub_complete(w.e, question, MSUB_ACCEPT, &w.now), MSUB_OK);
  cr_assert_str_eq(calls, IS_JUDGED);
  cr_assert(told.n_from == 2 && told.from[0].v == peer_of(peer[1]) && told.from[1].v == peer_of(peer[0]));
  cr_assert(w.n_sent == 1 && w.sent[0].link == 3);

  static const struct {
    msub_verdict v;
    int reason;
  } bad[] = { { MSUB_REJECT, MSUB_R_REJECTED },
              { MSUB_IGNORE, MSUB_R_IGNORED },
              { MSUB_THROTTLED, MSUB_R_THROTTLED } };
  for (size_t i = 0; i < COUNT(bad); i++) {
    char data[] = { 'b', (char)('0' + i), 0 };
    forget_all();
    judgement = bad[i].v;
    receive(peer[2], data);
    cr_assert_str_eq(calls, ACCEPTS ARRIVES IS_JUDGED);
    cr_assert(told.verdict == bad[i].v && told.reason == bad[i].reason && told.from[0].v == peer_of(peer[2]),
              "%zu", i);
    cr_assert(w.n_delivered == 0 && w.n_sent == 0, "%zu", i);
  }

  /* refused before it arrived: the topic is anonymous */
  forget_all();
  msub_bytes frame = { buf, world_signed_rpc(buf, sizeof buf, 5, 1, "t", msub_str("signed")) };
  cr_assert_eq(world_receive(&w, peer[0], frame), MSUB_OK);
  cr_assert_str_eq(calls, ACCEPTS IS_JUDGED);
  cr_assert(told.verdict == MSUB_REJECT && told.reason == MSUB_R_FORBIDDEN_FIELD && told.n_from == 1 &&
            told.n_ids == 0);

  /* kept to itself */
  forget_all();
  alone = true;
  judgement = MSUB_ACCEPT;
  receive(peer[0], "m3");
  cr_assert_str_eq(calls, "outer.accept_from outer.arrived outer.validated ");
  cr_assert_eq(w.n_sent, 2, "publish goes in by itself");
  stop();
}

Test(chain, duplicate) {
  reset();
  start_joined(3);
  receive(peer[0], "m1");
  forget_all();
  receive(peer[1], "m1");
  cr_assert_str_eq(calls, ACCEPTS "outer.duplicate inner.duplicate ");
  cr_assert(told.t.v == t.v && told.s.v == peer[1].v && strcmp(told.ids, "m1 ") == 0);
  cr_assert(w.n_delivered == 0 && w.n_sent == 0 && msub_count(w.e)->duplicates == 1);
  forget_all();
  alone = true;
  receive(peer[2], "m1");
  cr_assert(strcmp(calls, "outer.accept_from outer.duplicate ") == 0 && msub_count(w.e)->duplicates == 2);
  stop();
}

/* An RPC with a subscription, a message and a GRAFT: what of it is taken. */
Test(chain, accept_from) {
  static const struct {
    bool bare, alone;
    msub_accept inner, outer;
    unsigned messages, control;
  } cases[] = {
    { .inner = MSUB_FROM_ALL, .messages = 1, .control = 1 },
    { .inner = MSUB_FROM_CONTROL, .control = 1 },
    { .inner = MSUB_FROM_NONE },
    { .inner = MSUB_FROM_ALL, .outer = MSUB_FROM_CONTROL, .control = 1 },
    { .inner = MSUB_FROM_NONE, .outer = MSUB_FROM_CONTROL },
    { .alone = true, .inner = MSUB_FROM_NONE, .messages = 1, .control = 1 },
    { .bare = true, .messages = 1 }, /* it has no control */
    { .bare = true, .outer = MSUB_FROM_NONE },
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    reset();
    bare = cases[i].bare;
    start_joined(2);
    alone = cases[i].alone;
    inner_says.accept = cases[i].inner;
    outer_says.accept = cases[i].outer;
    msub_ctl_entry e[2] = { { .kind = MSUB_C_SUB }, { .kind = MSUB_C_GRAFT } };
    msub_bytes subjects[2] = { msub_str("u"), msub_str("t") };
    size_t n = msub_ctl_encode(e, subjects, 2, buf, sizeof buf);
    n += world_plain_rpc(buf + n, sizeof buf - n, "t", msub_str("m"));
    cr_assert_eq(world_receive(&w, peer[1], (msub_bytes){ buf, n }), MSUB_OK);
    cr_assert_eq(times("outer.accept_from"), 1);
    cr_assert_eq(times("inner.accept_from"), bare || alone ? 0 : 1, "case %zu", i);
    cr_assert_eq(w.n_delivered, cases[i].messages, "case %zu", i);
    cr_assert_eq(w.n_sent, cases[i].messages, "case %zu: to the other peer", i);
    cr_assert_eq(times("inner.control"), cases[i].control, "case %zu", i);
    cr_assert_eq(told.n_entries, cases[i].control, "case %zu", i);
    if (cases[i].control) cr_assert_eq(told.s.v, peer[1].v);
    cr_assert_eq(msub_topic_peers(w.e, msub_topic_named(w.e, 0, msub_str("u"))), 1, "case %zu: always read",
                 i);
    stop();
  }
}

Test(chain, unheard_and_address_changed) {
  static const struct { bool bare, alone; unsigned told; } cases[] = { { .told = 1 }, { .bare = true }, { .alone = true } };
  for (size_t i = 0; i < COUNT(cases); i++) {
    reset();
    bare = cases[i].bare;
    start_joined(2);
    alone = cases[i].alone;
    outer_says.accept = MSUB_FROM_CONTROL;
    size_t n = world_plain_rpc(buf, sizeof buf, "t", msub_str("m1"));
    n += world_plain_rpc(buf + n, sizeof buf - n, "t", msub_str("m2"));
    cr_assert_eq(world_receive(&w, peer[1], (msub_bytes){ buf, n }), MSUB_OK);
    cr_assert(times("outer.unheard") == 1 && w.n_delivered == 0 && msub_count(w.e)->unheard == 2);
    cr_assert_eq(times("inner.unheard"), cases[i].told);
    if (cases[i].told) cr_assert(told.s.v == peer[1].v && told.n == 2);
    /* without messages, and when nothing is taken, there is nothing to tell */
    forget_all();
    cr_assert_eq(world_subscribe(&w, peer[1], "u", true), MSUB_OK);
    outer_says.accept = MSUB_FROM_NONE;
    receive(peer[1], "m3");
    cr_assert(times("unheard") == 0 && msub_count(w.e)->unheard == 3);

    forget_all();
    cr_assert_eq(msub_session_address(w.e, peer[0], msub_str("four"), &w.now), MSUB_OK);
    cr_assert_eq(times("outer.address_changed"), 1);
    cr_assert_eq(times("inner.address_changed"), cases[i].told);
    if (cases[i].told) cr_assert(told.s.v == peer[0].v && strcmp(told.ids, "four ") == 0);
    stop();
  }
}

/* ---- topics ---- */

static void check_sub(size_t i, uint64_t link, uint8_t flags) {
  msub_rpc_part p;
  cr_assert(sent(i, &p) == MSUB_P_SUBSCRIPTION && p.subscribe && w.sent[i].link == link);
  cr_assert_eq(p.requests_partial, (flags & MSUB_SUB_REQUESTS_PARTIAL) != 0);
  cr_assert_eq(p.sends_partial, (flags & MSUB_SUB_SENDS_PARTIAL) != 0);
}
Test(chain, announce) {
  static const struct {
    bool bare, alone;
    uint8_t inner, outer, sent;
  } cases[] = {
    { .sent = 0 },
    { .inner = MSUB_SUB_REQUESTS_PARTIAL, .sent = MSUB_SUB_REQUESTS_PARTIAL },
    { .inner = MSUB_SUB_SENDS_PARTIAL, .sent = MSUB_SUB_SENDS_PARTIAL },
    { .inner = MSUB_SUB_REQUESTS_PARTIAL, .outer = MSUB_SUB_SENDS_PARTIAL, .sent = 3 },
    { .alone = true, .inner = 3, .sent = 0 },
    { .bare = true, .sent = 0 },
    { .bare = true, .outer = MSUB_SUB_SENDS_PARTIAL, .sent = MSUB_SUB_SENDS_PARTIAL },
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    reset();
    bare = cases[i].bare;
    alone = cases[i].alone;
    inner_says.flags = cases[i].inner;
    outer_says.flags = cases[i].outer;
    start();
    (void)world_peer(&w, 1);
    t = world_join(&w, "t", &world_data_ids);
    check_sub(0, 1, cases[i].sent);
    (void)world_peer(&w, 2);
    check_sub(1, 2, cases[i].sent); /* in a hello as well */
    cr_assert(w.n_sent == 2 && times("outer.announce") == 2);
    cr_assert_eq(times("inner.announce"), bare || alone ? 0 : 2, "case %zu", i);
    if (!bare && !alone) cr_assert_eq(told.t.v, t.v);
    stop();
  }
}

Test(chain, hello) {
  static const struct {
    bool bare, alone;
    uint8_t inner, outer, sent;
  } cases[] = {
    { .sent = 0 },
    { .inner = MSUB_EXT_TEST, .sent = MSUB_EXT_TEST },
    { .inner = MSUB_EXT_TEST, .outer = MSUB_EXT_PARTIAL, .sent = 3 },
    { .alone = true, .inner = 3, .sent = 0 },
    { .bare = true, .outer = MSUB_EXT_PARTIAL, .sent = MSUB_EXT_PARTIAL },
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    reset();
    bare = cases[i].bare;
    alone = cases[i].alone;
    inner_says.extensions = cases[i].inner;
    outer_says.extensions = cases[i].outer;
    start();
    msub_session s = world_peer(&w, 1);
    cr_assert(times("outer.hello") == 1 && times("inner.hello") == (bare || alone ? 0 : 1), "case %zu", i);
    cr_assert_eq(w.n_sent, cases[i].sent != 0);
    msub_rpc_iter it;
    msub_rpc_part p = { .ext_partial = false };
    if (w.n_sent) msub_rpc_begin(&it, (msub_bytes){ w.sent[0].rpc, w.sent[0].n });
    while (w.n_sent && msub_rpc_next(&it, &p) != MSUB_P_EXTENSIONS) cr_assert_neq(p.kind, MSUB_P_END);
    cr_assert_eq((p.ext_partial ? MSUB_EXT_PARTIAL : 0) | (p.ext_test ? MSUB_EXT_TEST : 0), cases[i].sent);
    if (!bare && !alone) cr_assert_eq(told.s.v, s.v);
    stop();
  }
}

/* The first RPC of a stream is told whatever is in it, a later announcement as late, each field by itself; the end of the stream. */
Test(chain, extension) {
  for (unsigned how = 0; how < 4; how++) { /* forwarded, not taken, kept, nobody there */
    reset();
    bare = how == 3;
    start();
    alone = how == 2;
    inner_says.ready = how == 0;
    msub_session s = world_peer(&w, 1);
    forget_all();
    cr_assert_eq(world_subscribe(&w, s, "t", true), MSUB_OK);
    bool asked = how < 2;
    cr_assert(times("outer.extension") == 1 && times("inner.extension") == (asked ? 1 : 0));
    if (asked) cr_assert(told.n == 0 && told.s.v == s.v);
    cr_assert_eq(world_subscribe(&w, s, "t", true), MSUB_OK);
    cr_assert_eq(times("outer.extension"), 1);
    msub_bytes parts[3] = { msub_str("g"), msub_str("x"), msub_str("m") }, of[3] = { { NULL, 0 }, msub_str("t"), { NULL, 0 } };
    msub_ctl_entry e[3] = { { .kind = MSUB_C_EXTENSIONS, .flags = MSUB_EXT_PARTIAL }, { .kind = MSUB_C_PARTIAL, .ids = parts, .n_ids = 3 },
                            { .kind = MSUB_C_TEST } };
    size_t n = msub_ctl_encode(e, of, 3, buf, sizeof buf);
    forget_all();
    uint64_t late = msub_count(w.e)->extensions_late;
    size_t events = w.events[MSUB_T_EXTENSION];
    cr_assert_eq(world_receive(&w, s, (msub_bytes){ buf, n }), MSUB_OK);
    cr_assert(times("outer.extension") == 3 && times("inner.extension") == (asked ? 3 : 0));
    cr_assert_eq(msub_count(w.e)->extensions_late, late + 1);
    cr_assert_eq(msub_count(w.e)->partials_in, 1);
    cr_assert_eq(msub_count(w.e)->partials_refused, how != 0);
    cr_assert_eq(w.events[MSUB_T_EXTENSION] - events, how == 0 ? 2 : 0, "what was taken");
    if (asked) cr_assert_str_eq(told.ids, "g x m ");
    inner_says.accept = MSUB_FROM_NONE; /* who is not heard says nothing */
    bool refuses = asked;
    forget_all();
    alone = how == 2;
    cr_assert_eq(world_receive(&w, s, (msub_bytes){ buf, n }), MSUB_OK);
    cr_assert_eq(times("outer.extension"), refuses ? 0 : 3);
    inner_says.accept = MSUB_FROM_ALL;
    forget_all();
    cr_assert_eq(msub_session_inbound_gone(w.e, s, &w.now), MSUB_OK);
    cr_assert_eq(times("outer.extension"), 1, "it announces nothing any more");
    if (asked) cr_assert_eq(told.n, 0);
    cr_assert_eq(world_receive(&w, s, (msub_bytes){ buf, n }), MSUB_OK);
    if (asked) cr_assert_eq(told.n_entries, 4);
    cr_assert_eq(msub_count(w.e)->extensions_late, late + 1 + (refuses ? 0 : 1), "the first of the next stream");
    stop();
  }
}

Test(chain, leave) {
  for (unsigned i = 0; i < 3; i++) { /* forwarded, kept, nobody there */
    msub_rpc_part p;
    reset();
    bare = i == 2;
    start_joined(2);
    alone = i == 1;
    cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
    cr_assert_str_eq(calls, i == 0 ? "outer.leave inner.leave " : "outer.leave ");
    cr_assert_eq(w.n_sent, i == 0 ? 4 : 2);
    for (size_t k = 0; k < 2; k++)
      cr_assert(sent(k, &p) == MSUB_P_SUBSCRIPTION && !p.subscribe && w.sent[k].link == k + 1);
    if (i == 0) cr_assert(told.t.v == t.v && told.sent_before == 2, "the peers have been told");
    for (size_t k = 2; k < w.n_sent; k++) {
      cr_assert(sent(k, &p) == MSUB_P_PRUNE && msub_bytes_eq(p.topic, msub_str("t")) &&
                w.sent[k].link == k - 1);
    }
    stop();
  }
}

/* ---- sessions ---- */

Test(chain, session_agreed) {
  for (unsigned i = 0; i < 3; i++) {
    reset();
    bare = i == 2;
    start();
    alone = i == 1;
    msub_session s = world_peer(&w, 1);
    forget_all();
    cr_assert_eq(msub_session_offer(w.e, s, "/inner/1", 7, &w.now), MSUB_OK);
    cr_assert_str_eq(calls, i == 0 ? "outer.hello inner.hello " : "outer.hello ");
    forget_all();
    cr_assert_eq(msub_session_agreed(w.e, s, &w.now), MSUB_OK);
    cr_assert_str_eq(calls, i == 0 ? "outer.session_agreed inner.session_agreed " : "outer.session_agreed ");
    if (i == 0) {
      cr_assert(told.s.v == s.v && told.info.peer.v == peer_of(s) && told.info.agreed && !told.info.outbound);
      cr_assert(strcmp(told.info.protocol, "/inner/1") == 0 && told.info.features == 1);
    }
    stop();
  }
}

static void pass(uint64_t ns) {
  w.now.mono_ns += ns;
  cr_assert_eq(msub_advance(w.e, &w.now), MSUB_OK);
}
Test(chain, retain) {
  static const struct {
    bool bare, alone;
    uint64_t inner, outer, kept; /* seconds */
  } cases[] = {
    { .kept = 0 },
    { .inner = 5, .kept = 5 },
    { .outer = 5, .kept = 5 },
    { .inner = 9, .outer = 5, .kept = 9 },
    { .inner = 2, .outer = 5, .kept = 5 },
    { .alone = true, .inner = 5, .kept = 0 },
    { .alone = true, .inner = 9, .outer = 5, .kept = 5 },
    { .bare = true, .kept = 0 },
    { .bare = true, .outer = 5, .kept = 5 },
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    reset();
    bare = cases[i].bare;
    alone = cases[i].alone;
    inner_says.keep_ns = cases[i].inner * S;
    outer_says.keep_ns = cases[i].outer * S;
    start();
    for (unsigned late = 0; late < 2; late++) { /* comes back just before the end, and just after */
      msub_session s = world_peer(&w, 1);
      forget_all();
      cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
      cr_assert_str_eq(calls, bare || alone ? "outer.retain " : "outer.retain inner.retain ");
      if (!bare && !alone) cr_assert_eq(told.s.v, s.v);
      pass(late ? cases[i].kept * S : cases[i].kept ? cases[i].kept * S - 1 : 0);
      s = world_peer(&w, 1);
      cr_assert_eq(told.returning, cases[i].kept && !late, "case %zu, %u", i, late);
      cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
      pass(20 * S);
    }
    stop();
  }
}

/* ---- asking and offering ---- */

Test(chain, ask_and_offer) {
  static const struct {
    bool bare, alone;
    int inner, outer, answer;
  } cases[] = {
    { .inner = MSUB_OK, .answer = MSUB_OK },
    { .inner = MSUB_ERR_LIMIT, .answer = MSUB_ERR_LIMIT },
    { .inner = MSUB_ERR_UNSUPPORTED, .answer = MSUB_ERR_UNSUPPORTED },
    { .alone = true, .inner = MSUB_OK, .outer = MSUB_ERR_REFUSED, .answer = MSUB_ERR_REFUSED },
    { .bare = true, .answer = MSUB_ERR_UNSUPPORTED },
  };
  static msub_bytes many[MSUB__ASK_IDS + 1];
  for (size_t i = 0; i < COUNT(many); i++) many[i] = msub_str("id");
  for (size_t i = 0; i < COUNT(cases); i++)
    for (unsigned offer = 0; offer < 2; offer++) {
      int (*call)(msub_engine *, msub_session, msub_topic, const msub_bytes *, size_t, const msub_now *) =
          offer ? msub_offer : msub_ask;
      const char *const in = offer ? "inner.offer " : "inner.ask ", *const out =
                                                                        offer ? "outer.offer " : "outer.ask ";
      const msub_bytes ids[2] = { msub_str("x"), msub_str("yy") };
      reset();
      bare = cases[i].bare;
      start_joined(2);
      alone = cases[i].alone;
      inner_says.rc = cases[i].inner;
      outer_says.rc = cases[i].outer;
      cr_assert_eq(call(w.e, peer[1], t, ids, 2, &w.now), cases[i].answer, "case %zu", i);
      cr_assert_eq(times(out), 1);
      cr_assert_eq(times(in), bare || alone ? 0 : 1);
      if (!bare && !alone)
        cr_assert(told.s.v == peer[1].v && told.t.v == t.v && strcmp(told.ids, "x yy ") == 0);
      cr_assert_eq(w.n_sent, cases[i].answer == MSUB_OK ? 1 : 0);
      if (w.n_sent) {
        msub_rpc_part p;
        msub_bytes id;
        cr_assert_eq(sent(0, &p), offer ? MSUB_P_IHAVE : MSUB_P_IWANT);
        cr_assert(w.sent[0].link == 2 && (!offer || msub_bytes_eq(p.topic, msub_str("t"))));
        for (size_t k = 0; k < 2; k++) cr_assert(msub_ids_next(&p.ids, &id) && msub_bytes_eq(id, ids[k]));
        cr_assert_not(msub_ids_next(&p.ids, &id));
      }
      /* a long list comes in two calls; the second is not made when the first has failed */
      forget_all();
      cr_assert_eq(call(w.e, peer[1], t, many, COUNT(many), &w.now), cases[i].answer);
      cr_assert_eq(times(out), cases[i].answer == MSUB_OK ? 2 : 1);
      if (cases[i].answer == MSUB_OK) cr_assert_eq(told.n_ids, COUNT(many));
      stop();
    }
}

/* ---- what did not get there ---- */

Test(chain, dropped) {
  for (unsigned i = 0; i < 3; i++) {
    reset();
    bare = i == 2;
    start_joined(3);
    alone = i == 1;
    bool in = !bare && !alone;
    w.refuse = true;
    receive(peer[0], "m1");
    w.refuse = false;
    cr_assert_eq(times("outer.dropped"), 2);
    cr_assert_eq(times("inner.dropped"), in ? 2 : 0);
    cr_assert(w.n_sent == 0 && w.n_delivered == 1 && msub_count(w.e)->refused == 2);
    if (in) cr_assert(told.n_msgs == 2 && told.s.v == peer[2].v && told.reason == MSUB_R_QUEUE_FULL);
    /* and what the world lost later: a message and a GRAFT */
    const msub_msg *m = msub_msg_hold(w.delivered[0]);
    forget_all();
    msub_ctl_entry graft = { .kind = MSUB_C_GRAFT };
    msub_ctl c = { .refs = 1, .n = 1, .e = &graft };
    msub_rpc rpc = { &m, 1, &c, 50 };
    cr_assert_eq(msub_dropped(w.e, peer[1], &rpc, MSUB_R_LOST, &w.now), MSUB_OK);
    cr_assert_str_eq(calls, in ? "outer.dropped inner.dropped " : "outer.dropped ");
    if (in) {
      cr_assert(told.s.v == peer[1].v && told.reason == MSUB_R_LOST);
      cr_assert(told.n_msgs == 1 && told.n_entries == 1 && strcmp(told.ids, "m1 ") == 0);
    }
    cr_assert_eq(msub_count(w.e)->dropped, 1);
    msub_msg_drop(w.sh, m);
    stop();
  }
}

/* ---- looking ---- */

Test(chain, ready) {
  static const struct {
    bool bare, alone, inner, outer;
    uint32_t n;
    bool answer;
  } cases[] = {
    { .inner = true, .outer = true, .n = 7, .answer = true }, /* more than there are: its word counts */
    { .inner = false, .outer = true, .n = 1, .answer = false },
    { .inner = true, .outer = false, .n = 1, .answer = false },
    { .alone = true, .inner = false, .outer = true, .n = 1, .answer = true },
    { .bare = true, .outer = true, .n = 2, .answer = true }, /* by the number of peers */
    { .bare = true, .outer = true, .n = 3, .answer = false },
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    reset();
    bare = cases[i].bare;
    start_joined(2);
    alone = cases[i].alone;
    inner_says.ready = cases[i].inner;
    outer_says.ready = cases[i].outer;
    cr_assert_eq(msub_ready(w.e, t, cases[i].n), cases[i].answer, "case %zu", i);
    cr_assert_str_eq(calls, bare || alone ? "outer.ready " : "outer.ready inner.ready ");
    if (!bare && !alone) cr_assert(told.t.v == t.v && told.n == cases[i].n);
    stop();
  }
}

Test(chain, snapshot) {
  static const struct {
    bool bare, alone;
    size_t inner, outer;
  } cases[] = { { .inner = 0 },
                { .inner = 2 },
                { .inner = 2, .outer = 1 },
                { .alone = true, .inner = 2, .outer = 1 },
                { .bare = true },
                { .bare = true, .outer = 1 } };
  for (size_t i = 0; i < COUNT(cases); i++)
    for (size_t cap = 0; cap < 5; cap++) {
      reset();
      bare = cases[i].bare;
      start_joined(1);
      alone = cases[i].alone;
      inner_says.states = cases[i].inner;
      outer_says.states = cases[i].outer;
      size_t inner = bare || alone ? 0 : cases[i].inner, all = inner + cases[i].outer;
      msub_peer_state out[5];
      for (size_t k = 0; k < COUNT(out); k++) out[k] = (msub_peer_state){ .roles = 999 };
      cr_assert_eq(msub_snapshot(w.e, t, out, cap), all, "case %zu, %zu", i, cap);
      cr_assert_str_eq(calls, bare || alone ? "outer.snapshot " : "outer.snapshot inner.snapshot ");
      for (size_t k = 0; k < COUNT(out); k++) {
        bool written = k < all && k < cap;
        cr_assert_eq(out[k].roles,
                     !written    ? 999
                     : k < inner ? MSUB_ROLE_MESH
                                 : MSUB_ROLE_DIRECT,
                     "case %zu, %zu, %zu", i, cap, k);
        if (written && k < inner) cr_assert_eq(out[k].peer.v, k + 1);
      }
      if (!bare && !alone) cr_assert_eq(told.t.v, t.v);
      stop();
    }
}

/* ---- time ---- */

Test(chain, next_deadline_and_advance) {
  static const struct {
    bool bare, alone;
    uint64_t inner, outer; /* from now; 0: never */
  } cases[] = { { .inner = 0 },
                { .inner = 500 },
                { .outer = 300 },
                { .inner = 500, .outer = 300 },
                { .inner = 500, .outer = 700 },
                { .inner = 400, .outer = 400 },
                { .alone = true, .inner = 500 },
                { .alone = true, .inner = 500, .outer = 700 },
                { .bare = true },
                { .bare = true, .outer = 300 } };
  for (size_t i = 0; i < COUNT(cases); i++) {
    reset();
    bare = cases[i].bare;
    start_joined(1);
    alone = cases[i].alone;
    uint64_t began = w.now.mono_ns, in = cases[i].inner ? began + cases[i].inner : MSUB_NEVER;
    uint64_t out = cases[i].outer ? began + cases[i].outer : MSUB_NEVER;
    inner_says.deadline = in;
    outer_says.deadline = out;
    if (bare || alone) in = MSUB_NEVER;
    unsigned calls_due = 0;
    for (;;) {
      uint64_t due = in < out ? in : out;
      cr_assert_eq(msub_next_deadline(w.e), due, "case %zu", i);
      if (due == MSUB_NEVER) break;
      w.now.mono_ns = due - 1;
      cr_assert_eq(msub_advance(w.e, &w.now), MSUB_OK);
      cr_assert_eq(times("outer.advance"), calls_due, "case %zu: not yet", i);
      w.now.mono_ns = due;
      cr_assert_eq(msub_advance(w.e, &w.now), MSUB_OK);
      cr_assert_eq(times("outer.advance"), ++calls_due, "case %zu", i);
      cr_assert_eq(times("inner.advance"), bare || alone ? 0 : calls_due, "case %zu", i);
      if (in == due) in = MSUB_NEVER;
      if (out == due) out = MSUB_NEVER;
    }
    cr_assert_eq(told.ticks, !bare && !alone && cases[i].inner ? 1 : 0, "case %zu", i);
    w.now.mono_ns += S;
    cr_assert_eq(msub_advance(w.e, &w.now), MSUB_OK);
    cr_assert_eq(times("outer.advance"), calls_due, "case %zu: nobody waits for anything", i);
    stop();
  }
}
