/* The router of register sets: who is told what, when, and what nobody is told. Every row of docs/lww.md "The router" has a scenario here. */
#include <stdlib.h>
#include <string.h>
#include "lww_type.h"
#include "meshsub/crypto.h"
#include "scenario.h"

#define T "board"
#define U "other"

enum { MOST = 128 };
typedef struct member { msub_lww *l; uint64_t at; unsigned changes; char record[32]; } member; /* at: of the last change */
static member nodes[MOST];
static sc *now_in;
static uint64_t heard_of[MOST]; /* when a node heard a peer announce T last */

static const char *const speaks_lww[] = { "/meshsub-lww/1.0.0", NULL };

static void changed(void *ud, msub_bytes topic, const msub_lww_view *v) {
  member *m = ud;
  (void)topic;
  m->at = msub_sim_time(now_in->s);
  m->changes++;
  size_t n = v->record.n < sizeof m->record - 1 ? v->record.n : sizeof m->record - 1;
  memcpy(m->record, v->record.p, n);
  m->record[n] = 0;
}
static void on_topic_peer(void *ud, msub_sim *s, uint32_t node, msub_topic t, uint32_t peer, bool joined) {
  (void)ud, (void)t, (void)peer;
  if (joined && node < MOST) heard_of[node] = msub_sim_time(s);
}

/* A set for the node, on this router of it. */
static msub_lww *make(sc *c, uint32_t node, unsigned router) {
  msub_lww_opts o;
  msub_lww_opts_init(&o);
  o.ops = &lww_pooled;
  o.engine = sc_engine(c, node);
  o.router = router;
  o.ud = &nodes[node];
  o.changed = changed;
  msub_lww *l = NULL;
  OK(msub_lww_new(&o, &l));
  return l;
}
static void join(sc *c, uint32_t node, const char *topic) {
  msub_topic t;
  OK(msub_lww_join(nodes[node].l, msub_str(topic), sc_now(c, node), &t));
}
/* Networks of n nodes, which have joined T. */
static void begin(sc *c, uint32_t n) {
  now_in = c;
  memset(nodes, 0, sizeof nodes);
  memset(heard_of, 0, sizeof heard_of);
  c->o.start_wall_ns = INT64_C(1000000000000);
  c->o.link.latency_ns = 10 * MS;
  c->n.up_bytes_s = c->n.down_bytes_s = 0;
  c->n.on_topic_peer = on_topic_peer;
  c->routers[0] = (msub_sim_router){ &msub_lww_router, NULL };
  sc_begin(c);
  if (n) sc_add(c, n);
  for (uint32_t i = 0; i < n; i++) {
    nodes[i].l = make(c, i, 0);
    join(c, i, T);
  }
}
static void end(void) {
  for (uint32_t i = 0; i < MOST; i++) {
    msub_lww_free(nodes[i].l);
    nodes[i].l = NULL;
  }
}
static int put(sc *c, uint32_t node, const char *topic, const char *record) {
  msub_lww_how h;
  msub_lww_how_init(&h);
  h.publish = true;
  return msub_lww_put(nodes[node].l, msub_str(topic), msub_str(record), &h, sc_now(c, node), (msub_token){ 0 });
}
static bool has(uint32_t node, const char *topic, const char *record) {
  msub_lww_view v;
  return msub_lww_get(nodes[node].l, msub_str(topic), &v) == MSUB_OK && msub_bytes_eq(v.record, msub_str(record));
}
static const msub_lww_counts *counts(uint32_t node) { return msub_lww_count(nodes[node].l); }

/* ---- a raw peer ---- */

static uint32_t number_of(const void *p) {
  const uint8_t *b = p;
  return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}
static msub_bytes id_of(const char *record) {
  static uint8_t ids[8][32];
  static unsigned at;
  uint8_t *id = ids[at++ % 8];
  msub_sha256(msub_str(record), id);
  return (msub_bytes){ id, 32 };
}
static msub_bytes name_id(const char *topic) {
  static uint8_t id[2][300];
  static unsigned at;
  uint8_t *p = id[at++ % 2];
  p[0] = 0;
  memcpy(p + 1, topic, strlen(topic));
  return (msub_bytes){ p, 1 + strlen(topic) };
}
static void raw_id(sc *c, uint32_t raw, uint32_t peer, msub_ctl_kind kind, const char *topic, msub_bytes id) {
  sc_raw_ctl(c, raw, peer, &(msub_ctl_entry){ .kind = (uint8_t)kind, .n_ids = 1, .ids = &id }, &topic, 1);
}
static void raw_record(sc *c, uint32_t raw, uint32_t peer, const char *topic, const char *record) {
  uint8_t wire[512];
  msub_msg_view v = { .data = msub_str(record), .topic = msub_str(topic), .present = MSUB_HAS_DATA | MSUB_HAS_TOPIC };
  size_t n = msub_msg_encode(&v, NULL, 0);
  CHECK(n < 128);
  wire[0] = 0x12;
  wire[1] = (uint8_t)n;
  msub_msg_encode(&v, wire + 2, n);
  OK(msub_sim_raw_send(c->s, raw, peer, NULL, (msub_bytes){ wire, n + 2 }));
}
static unsigned got(const sc *c, uint32_t raw, const char *record) { return sc_heard_count(c, raw, SC_MESSAGE, NULL, number_of(record)); }
static unsigned told(const sc *c, uint32_t raw, const char *record) { return sc_heard_count(c, raw, MSUB_C_IHAVE, T, number_of(id_of(record).p)); }
static unsigned asked(const sc *c, uint32_t raw, const char *record) {
  return sc_heard_count(c, raw, MSUB_C_IWANT, NULL, number_of(id_of(record).p));
}
/* Node 0 and a raw peer of it, which has announced T or not. */
static uint32_t pair(sc *c, bool announces) {
  begin(c, 1);
  uint32_t raw = sc_add_raw(c, speaks_lww);
  sc_connect(c, raw, 0);
  sc_run(c, 100 * MS);
  if (announces) sc_raw_sub(c, raw, 0, T, true);
  sc_run(c, 100 * MS);
  return raw;
}
static void forget_heard(sc *c) { c->n_heard = 0; }

/* ---- late joiners ---- */

/* One round trip after the peer's stream has opened, or after the join of somebody who was connected before. */
static void late_joiner(sc *c) {
  begin(c, 3);
  CHECK_EQ(put(c, 0, T, "g1 early"), MSUB_LWW_TAKEN);
  sc_run(c, SEC);
  sc_connect(c, 1, 0);
  sc_run(c, SEC);
  CHECK(has(1, T, "g1 early"));
  CHECK_EQ(nodes[1].at - heard_of[1], 20 * MS);
  CHECK_EQ(counts(0)->answered, 1); /* once, whatever was said with the GRAFT */
  /* The dialled one has it, the dialler not; and the other way round. */
  sc_connect(c, 1, 2);
  sc_run(c, SEC);
  CHECK(has(2, T, "g1 early"));
  CHECK_EQ(nodes[2].at - heard_of[2], 20 * MS);
  /* A topic that is joined later. */
  for (uint32_t i = 0; i < 2; i++) join(c, i, U);
  sc_run(c, SEC);
  CHECK_EQ(put(c, 0, U, "g2 other"), MSUB_LWW_TAKEN);
  sc_run(c, SEC);
  uint64_t at = msub_sim_time(c->s);
  join(c, 2, U); /* it is connected with 1 */
  sc_run(c, SEC);
  CHECK(has(2, U, "g2 other"));
  CHECK_EQ(nodes[2].at - at, 20 * MS);
  end();
}

/* The newcomer has the better record: it is the others that get it. */
static void newcomer_knows_better(sc *c) {
  begin(c, 3);
  OK(msub_sim_connect_line(c->s, 0, 2));
  sc_run(c, 2 * SEC);
  CHECK_EQ(put(c, 0, T, "g1 old"), MSUB_LWW_TAKEN);
  CHECK_EQ(put(c, 2, T, "g5 new"), MSUB_LWW_TAKEN);
  sc_run(c, SEC);
  uint64_t at = msub_sim_time(c->s);
  sc_connect(c, 2, 0);
  sc_run(c, SEC);
  for (uint32_t i = 0; i < 3; i++) {
    CHECK(has(i, T, "g5 new"));
    CHECK(i == 2 || nodes[i].at - at <= 60 * MS);
  }
  CHECK_EQ(nodes[2].changes, 1);
  end();
}

/* ---- rows ---- */

/* id = hash of the record: a winner that stands is asked for once, not once for each IHAVE, also when its id is not seen any more. */
static void asked_once(sc *c) {
  uint32_t raw = pair(c, true);
  forget_heard(c);
  raw_id(c, raw, 0, MSUB_C_IHAVE, T, id_of("g1 one"));
  sc_run(c, 50 * MS);
  CHECK_EQ(asked(c, raw, "g1 one"), 1);
  raw_record(c, raw, 0, T, "g1 one");
  sc_run(c, SEC);
  CHECK(has(0, T, "g1 one"));
  for (unsigned i = 0; i < 300; i++) {
    raw_id(c, raw, 0, MSUB_C_IHAVE, T, id_of("g1 one"));
    sc_run(c, SEC);
  }
  CHECK_EQ(asked(c, raw, "g1 one"), 1);
  CHECK_EQ(got(c, raw, "g1 one"), 0);
  CHECK_EQ(nodes[0].changes, 1);
  /* A copy of it after all this time is nothing new either. */
  raw_record(c, raw, 0, T, "g1 one");
  sc_run(c, SEC);
  CHECK_EQ(nodes[0].changes, 1);
  CHECK_EQ(got(c, raw, "g1 one"), 0);
  end();
}

/* Whoever grafts, both are told of the other's winner; who has none asks for it. A peer that is known to have it hears of it by nothing else. */
static void graft_tells(sc *c) {
  uint32_t raw = pair(c, true);
  CHECK_EQ(put(c, 0, T, "g1 mine"), MSUB_LWW_TAKEN);
  raw_id(c, raw, 0, MSUB_C_IHAVE, T, id_of("g1 mine"));
  sc_run(c, 500 * MS);
  forget_heard(c);
  sc_run(c, 5 * SEC); /* a heartbeat grafts it */
  const sc_heard *g = sc_heard_first(c, raw, MSUB_C_GRAFT, SC_ANY), *h = sc_heard_first(c, raw, MSUB_C_IHAVE, number_of(id_of("g1 mine").p));
  CHECK(g && h && h->at == g->at && h->rpc == g->rpc + 1);
  CHECK_EQ(told(c, raw, "g1 mine"), 1);
  end();
}
static void graft_is_told(sc *c) {
  uint32_t raw = pair(c, true);
  CHECK_EQ(put(c, 0, T, "g1 mine"), MSUB_LWW_TAKEN);
  raw_id(c, raw, 0, MSUB_C_IHAVE, T, id_of("g1 mine"));
  sc_run(c, 100 * MS);
  forget_heard(c);
  uint64_t at = msub_sim_time(c->s);
  sc_raw_graft(c, raw, 0, T); /* before the heartbeat does */
  sc_run(c, 100 * MS);
  const sc_heard *h = sc_heard_first(c, raw, MSUB_C_IHAVE, number_of(id_of("g1 mine").p));
  CHECK(h && h->at == at + 20 * MS && sc_heard_count(c, raw, MSUB_C_PRUNE, NULL, SC_ANY) == 0);
  CHECK_EQ(told(c, raw, "g1 mine"), 1);
  end();
}
static void graft_asks(sc *c) {
  for (unsigned theirs = 0; theirs < 2; theirs++) {
    uint32_t raw = pair(c, true);
    forget_heard(c);
    uint64_t at = msub_sim_time(c->s);
    if (theirs) sc_raw_graft(c, raw, 0, T);
    sc_run(c, 2 * SEC);
    const sc_heard *h = sc_heard_first(c, raw, MSUB_C_IWANT, number_of(name_id(T).p)), *g = sc_heard_first(c, raw, MSUB_C_GRAFT, SC_ANY);
    CHECK(h && (theirs ? h->at == at + 20 * MS : g && h->at == g->at && h->rpc == g->rpc + 1));
    CHECK_EQ(sc_heard_count(c, raw, MSUB_C_IWANT, NULL, number_of(name_id(T).p)), 1);
    raw_record(c, raw, 0, T, "g1 theirs");
    sc_run(c, 100 * MS);
    CHECK(has(0, T, "g1 theirs"));
    end();
    if (theirs == 0) {
      OK(msub_sim_free(c->s));
      c->s = NULL;
      c->n_raw = 0;
    }
  }
}

/* "Your winner, unless it is the one that I announced", and only of topics that are shared with that peer. */
static void reserved_id(sc *c) {
  uint32_t raw = pair(c, true);
  raw_id(c, raw, 0, MSUB_C_IWANT, NULL, name_id(T));
  sc_run(c, 2 * SEC); /* there is none */
  CHECK_EQ(counts(0)->answered, 0);
  join(c, 0, U);
  CHECK_EQ(put(c, 0, U, "g9 of another topic"), MSUB_LWW_TAKEN);
  raw_id(c, raw, 0, MSUB_C_IHAVE, T, id_of("g1 mine")); /* it is asked for, and not brought */
  sc_run(c, SEC);
  CHECK_EQ(put(c, 0, T, "g1 mine"), MSUB_LWW_TAKEN);
  sc_run(c, 2 * SEC);
  forget_heard(c);
  raw_id(c, raw, 0, MSUB_C_IWANT, NULL, name_id(T));
  sc_run(c, SEC);
  CHECK_EQ(got(c, raw, "g1 mine"), 0); /* it was the one */
  CHECK_EQ(put(c, 0, T, "g2 newer"), MSUB_LWW_TAKEN);
  sc_run(c, 2 * SEC);
  forget_heard(c);
  raw_id(c, raw, 0, MSUB_C_IWANT, NULL, name_id(T));
  sc_run(c, SEC);
  CHECK_EQ(got(c, raw, "g2 newer"), 1);
  raw_id(c, raw, 0, MSUB_C_IWANT, NULL, id_of("g2 newer")); /* by its own id, too */
  sc_run(c, SEC);
  CHECK_EQ(got(c, raw, "g2 newer"), 2);
  uint64_t unknown = counts(0)->unknown;
  raw_id(c, raw, 0, MSUB_C_IWANT, NULL, name_id(U)); /* which the peer has not announced */
  raw_id(c, raw, 0, MSUB_C_IWANT, NULL, name_id("nobody's"));
  raw_id(c, raw, 0, MSUB_C_IWANT, NULL, id_of("g1 mine")); /* which is not the winner any more */
  raw_id(c, raw, 0, MSUB_C_IWANT, NULL, id_of("g9 of another topic"));
  sc_run(c, SEC);
  CHECK_EQ(counts(0)->unknown - unknown, 4);
  CHECK_EQ(got(c, raw, "g9 of another topic"), 0);
  end();
}

/* A loser goes nowhere; its sender gets the winner. Records that are none are nobody's, the first one neither, and where implementations differ nobody is blamed. */
static void losers(sc *c) {
  begin(c, 2);
  uint32_t raw = sc_add_raw(c, speaks_lww), other = sc_add_raw(c, speaks_lww);
  sc_connect(c, raw, 0);
  sc_connect(c, other, 0);
  sc_connect(c, 1, 0);
  sc_run(c, SEC);
  sc_raw_sub(c, raw, 0, T, true);
  sc_raw_sub(c, other, 0, T, true);
  sc_run(c, 3 * SEC);
  const msub_counts *e = msub_count(sc_engine(c, 0));
  raw_record(c, raw, 0, T, "b9 invalid");
  raw_record(c, raw, 0, T, "i9 for some");
  raw_record(c, raw, 0, T, "x9 expired");
  sc_run(c, SEC);
  CHECK(e->rejected == 1 && e->ignored == 2 && nodes[0].changes == 0);
  raw_record(c, raw, 0, T, "g5 winner");
  sc_run(c, SEC);
  CHECK(has(0, T, "g5 winner") && has(1, T, "g5 winner"));
  CHECK_EQ(got(c, other, "g5 winner"), 1);
  CHECK_EQ(got(c, raw, "g5 winner"), 0);
  raw_record(c, raw, 0, T, "g4 loser");
  sc_run(c, SEC);
  CHECK_EQ(got(c, other, "g4 loser"), 0);
  CHECK_EQ(got(c, raw, "g5 winner"), 1);
  CHECK_EQ(counts(0)->corrected, 1);
  raw_record(c, raw, 0, T, "g4 loser"); /* which was seen before */
  sc_run(c, SEC);
  CHECK_EQ(got(c, raw, "g5 winner"), 2);
  raw_record(c, raw, 0, T, "b9 invalid 2"); /* who brings nonsense is not answered */
  sc_run(c, SEC);
  CHECK_EQ(got(c, raw, "g5 winner"), 2);
  for (unsigned i = 0; i < 20; i++) raw_record(c, raw, 0, T, "g3 loser"); /* and nobody is answered without end */
  sc_run(c, 100 * MS);
  CHECK(got(c, raw, "g5 winner") <= 2 + 6);
  CHECK(counts(0)->over_limit >= 14);
  CHECK_EQ(nodes[1].changes, 1);
  end();
}

/* Requests die with the peer; a topic's peers are asked in turn, and only for topics that they announced. */
static void requests(sc *c) {
  uint32_t raw = pair(c, true), other = sc_add_raw(c, speaks_lww);
  forget_heard(c);
  raw_id(c, raw, 0, MSUB_C_IHAVE, U, id_of("g1 elsewhere")); /* a topic that is not joined, */
  sc_run(c, 100 * MS);
  CHECK(counts(0)->asked <= 1 && counts(0)->unknown == 1);
  raw_id(c, raw, 0, MSUB_C_IHAVE, T, id_of("g1 one"));
  sc_run(c, 100 * MS);
  CHECK_EQ(asked(c, raw, "g1 one"), 1);
  OK(msub_sim_disconnect(c->s, raw, 0, 0));
  sc_run(c, 2 * SEC);
  sc_connect(c, other, 0);
  sc_run(c, 100 * MS);
  forget_heard(c);
  raw_id(c, other, 0, MSUB_C_IHAVE, T, id_of("g1 one")); /* one that the peer has not announced, */
  sc_run(c, 100 * MS);
  CHECK_EQ(asked(c, other, "g1 one"), 0);
  CHECK_EQ(counts(0)->unknown, 2);
  sc_raw_sub(c, other, 0, T, true);
  raw_id(c, other, 0, MSUB_C_IHAVE, T, id_of("g1 one")); /* and one that is in order */
  sc_run(c, 100 * MS);
  CHECK_EQ(asked(c, other, "g1 one"), 1);
  raw_record(c, other, 0, T, "g1 one");
  sc_run(c, 100 * MS);
  CHECK(has(0, T, "g1 one"));
  /* A peer that announces without end is not asked without end. */
  uint64_t before = counts(0)->asked;
  for (unsigned i = 0; i < 1000; i++) {
    char record[32];
    snprintf(record, sizeof record, "g9 %u", i);
    raw_id(c, other, 0, MSUB_C_IHAVE, T, id_of(record));
  }
  sc_run(c, 500 * MS);
  CHECK(counts(0)->asked - before <= 6);
  end();
}

/* A topic ends with its membership, an expired winner is not shown to anybody, and there are as many as the limit says. */
static void end_of_life(sc *c) {
  uint32_t raw = pair(c, true);
  CHECK_EQ(put(c, 0, T, "e1 a minute"), MSUB_LWW_TAKEN);
  sc_run(c, 30 * SEC);
  raw_id(c, raw, 0, MSUB_C_IWANT, NULL, name_id(T));
  sc_run(c, SEC);
  CHECK(got(c, raw, "e1 a minute") >= 1);
  sc_run(c, 40 * SEC);
  forget_heard(c);
  raw_id(c, raw, 0, MSUB_C_IWANT, NULL, name_id(T));
  raw_id(c, raw, 0, MSUB_C_IWANT, NULL, id_of("e1 a minute"));
  sc_run(c, 5 * SEC);
  CHECK(got(c, raw, "e1 a minute") == 0 && told(c, raw, "e1 a minute") == 0);
  CHECK_EQ(put(c, 0, T, "g2 for ever"), MSUB_LWW_TAKEN);
  sc_run(c, 2 * SEC);
  OK(msub_lww_leave(nodes[0].l, msub_str(T), false, sc_now(c, 0)));
  CHECK_EQ(counts(0)->topics, 0);
  forget_heard(c);
  raw_id(c, raw, 0, MSUB_C_IWANT, NULL, name_id(T));
  sc_run(c, 5 * SEC);
  CHECK(got(c, raw, "g2 for ever") == 0 && told(c, raw, "g2 for ever") == 0);
  end();
}

/* A topic that nobody gave to the set, a name that is no id, a router of somebody else's set: errors, and nothing by default. */
static void unknown_is_an_error(sc *c) {
  begin(c, 2);
  msub_topic t;
  CHECK_EQ(msub_join(sc_engine(c, 0), 0, msub_str("past the set"), NULL, NULL, sc_now(c, 0), &t), MSUB_ERR_NOTFOUND);
  char name[129];
  memset(name, 'n', 128);
  name[128] = 0;
  CHECK_EQ(msub_lww_join(nodes[0].l, msub_str(name), sc_now(c, 0), &t), MSUB_ERR_INVAL);
  name[127] = 0;
  CHECK_EQ(msub_lww_join(nodes[0].l, msub_str(name), sc_now(c, 0), &t), MSUB_OK);
  CHECK_EQ(put(c, 0, name, "g1 long name"), MSUB_LWW_TAKEN);
  join(c, 1, name);
  sc_connect(c, 0, 1);
  sc_run(c, SEC);
  CHECK(has(1, name, "g1 long name"));
  msub_lww_opts o;
  msub_lww_opts_init(&o);
  o.ops = &lww_pooled;
  o.engine = sc_engine(c, 0);
  msub_lww *l = NULL;
  CHECK_EQ(msub_lww_new(&o, &l), MSUB_ERR_CLAIMED);
  o.router = 1;
  CHECK_EQ(msub_lww_new(&o, &l), MSUB_ERR_INVAL);
  msub_lww_free(nodes[0].l); /* then it is free for another one */
  o.router = 0;
  OK(msub_lww_new(&o, &nodes[0].l));
  join(c, 0, T);
  sc_run(c, SEC);
  CHECK_EQ(put(c, 1, T, "g1 again"), MSUB_LWW_TAKEN);
  sc_run(c, SEC);
  CHECK(has(0, T, "g1 again"));
  end();
}

/* A topic of 31 bytes: 00 ‖ topic is as long as the id of a record, and is looked up as a topic first. */
static void name_as_long_as_an_id(sc *c) {
  static const char name[] = "a topic of thirty-one bytes, so";
  CHECK_EQ(strlen(name), 31);
  begin(c, 2);
  sc_connect(c, 0, 1);
  join(c, 0, name);
  CHECK_EQ(put(c, 0, name, "g1 long"), MSUB_LWW_TAKEN);
  sc_run(c, 2 * SEC);
  join(c, 1, name);
  sc_run(c, 100 * MS);
  CHECK(has(1, name, "g1 long"));
  end();
}

/* Who speaks which protocol is a matter of topic and peer: two nodes share a topic on each of two routers, a third one only the stock one. */
static void two_protocols(sc *c) {
  msub_lww *stock[3];
  now_in = c;
  memset(nodes, 0, sizeof nodes);
  c->o.link.latency_ns = 10 * MS;
  c->routers[0] = (msub_sim_router){ &msub_lww_router, NULL };
  c->routers[1] = (msub_sim_router){ &msub_gossipsub, &c->gs };
  c->n.n_routers = 2;
  sc_begin(c);
  sc_add(c, 2);
  c->routers[0] = c->routers[1];
  c->n.n_routers = 1;
  sc_add(c, 1);
  OK(msub_sim_connect_all(c->s, 0, 3));
  for (uint32_t i = 0; i < 3; i++) {
    stock[i] = make(c, i, i < 2);
    msub_topic t;
    OK(msub_lww_join(stock[i], msub_str(U), sc_now(c, i), &t));
    if (i == 2) break;
    nodes[i].l = make(c, i, 0);
    join(c, i, T);
  }
  sc_run(c, 3 * SEC);
  CHECK_EQ(put(c, 0, T, "g1 on ours"), MSUB_LWW_TAKEN);
  msub_lww_how h;
  msub_lww_how_init(&h);
  h.publish = true;
  CHECK_EQ(msub_lww_put(stock[2], msub_str(U), msub_str("g2 on stock"), &h, sc_now(c, 2), (msub_token){ 0 }), MSUB_LWW_TAKEN);
  sc_run(c, 3 * SEC);
  CHECK(has(1, T, "g1 on ours"));
  msub_lww_view v;
  for (uint32_t i = 0; i < 3; i++) CHECK(msub_lww_get(stock[i], msub_str(U), &v) == MSUB_OK && msub_bytes_eq(v.record, msub_str("g2 on stock")));
  for (uint32_t i = 0; i < 3; i++) CHECK_EQ(msub_lww_count(stock[i])->topics, 1);
  for (uint32_t i = 0; i < 3; i++) msub_lww_free(stock[i]);
  end();
}

/* When all have it nobody says anything any more, and a repetition is for those who lack it. */
static void quiet(sc *c) {
  begin(c, 20);
  OK(msub_sim_connect_regular(c->s, 0, 20, 6));
  sc_run(c, 3 * SEC);
  CHECK_EQ(put(c, 3, T, "g1 news"), MSUB_LWW_TAKEN);
  sc_run(c, 20 * SEC);
  uint64_t sent = msub_sim_count(c->s)->sent;
  sc_run(c, 60 * SEC);
  CHECK_EQ(msub_sim_count(c->s)->sent, sent);
  for (uint32_t i = 0; i < 20; i++) CHECK(has(i, T, "g1 news"));
  OK(msub_lww_rebroadcast(nodes[3].l, msub_str(T), sc_now(c, 3)));
  sc_run(c, 20 * SEC);
  CHECK(msub_sim_count(c->s)->sent > sent);
  sent = msub_sim_count(c->s)->sent;
  sc_run(c, 60 * SEC);
  CHECK_EQ(msub_sim_count(c->s)->sent, sent);
  end();
}

/* ---- whole networks ---- */

static bool parted;
static void halves(void *ud, uint32_t from, uint32_t to, msub_sim_link *io) {
  (void)ud;
  io->loss_ppm = parted && from % 2 != to % 2 ? 1000000 : 200000;
}
/* One RPC in five is lost, and for a minute everything between two halves; each half has a writer. */
static void partition(sc *c) {
  enum { N = 60 };
  parted = false;
  c->o.link_of = halves;
  begin(c, N);
  OK(msub_sim_connect_regular(c->s, 0, N, 10));
  sc_run(c, 5 * SEC);
  parted = true;
  CHECK_EQ(put(c, 0, T, "g1 even"), MSUB_LWW_TAKEN);
  CHECK_EQ(put(c, 1, T, "g2 odd"), MSUB_LWW_TAKEN);
  sc_run(c, 60 * SEC);
  for (uint32_t i = 0; i < N; i++) CHECK(has(i, T, i % 2 ? "g2 odd" : "g1 even"));
  parted = false;
  uint64_t healed = msub_sim_time(c->s);
  sc_run(c, 10 * SEC);
  for (uint32_t i = 0; i < N; i++) {
    CHECK(has(i, T, "g2 odd"));
    CHECK(nodes[i].at <= healed + 4 * SEC);
  }
  end();
}

/* One after the other goes and comes back with nothing; whoever comes is told. */
static void churn(sc *c) {
  enum { N = 24 };
  begin(c, N);
  OK(msub_sim_connect_regular(c->s, 0, N, 6));
  sc_run(c, 3 * SEC);
  char record[32] = "";
  for (uint32_t i = 0; i < N; i++) {
    msub_lww_free(nodes[i].l);
    nodes[i].l = NULL;
    OK(msub_sim_crash(c->s, i));
    sc_run(c, 500 * MS);
    uint32_t writer = (i + 1 + sc_rand(c, N - 1)) % N;
    snprintf(record, sizeof record, "g%c %u", (char)('0' + i), i);
    CHECK_EQ(put(c, writer, T, record), MSUB_LWW_TAKEN);
    OK(msub_sim_restart(c->s, i));
    nodes[i].l = make(c, i, 0);
    join(c, i, T);
    for (unsigned k = 0; k < 8; k++) {
      uint32_t peer = sc_rand(c, N);
      if (peer != i) sc_connect(c, i, peer);
    }
    sc_run(c, SEC);
    for (uint32_t m = 0; m < N; m++) CHECK(has(m, T, record));
  }
  end();
}

const sc_scenario sc_scenarios[] = { { "lww-late-joiner", late_joiner },
                                     { "lww-newcomer-knows-better", newcomer_knows_better },
                                     { "lww-asked-once", asked_once },
                                     { "lww-graft-tells", graft_tells },
                                     { "lww-graft-is-told", graft_is_told },
                                     { "lww-graft-asks", graft_asks },
                                     { "lww-reserved-id", reserved_id },
                                     { "lww-losers", losers },
                                     { "lww-requests", requests },
                                     { "lww-end-of-life", end_of_life },
                                     { "lww-unknown-is-an-error", unknown_is_an_error },
                                     { "lww-name-as-long-as-an-id", name_as_long_as_an_id },
                                     { "lww-two-protocols", two_protocols },
                                     { "lww-quiet", quiet },
                                     { "lww-partition", partition },
                                     { "lww-churn", churn },
                                     { NULL, NULL } };
