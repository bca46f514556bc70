/* IDONTWANT and fragmentation, with peers that speak frames by hand. Node 0 is ours; the id of a message is its
 * number. */
#include "scenario.h"

#define T "foobar"
#define LARGE 2048
#define SMALL 512

/* Node 0 joined to T, and so many raw peers that are connected and subscribed. The first one has the number 1. */
static void with_raw(sc *c, uint32_t n, const char *const *ids) {
  c->numbers = true;
  sc_begin(c);
  sc_add(c, 1);
  sc_join(c, 0, T);
  for (uint32_t i = 1; i <= n; i++) {
    sc_add_raw(c, ids);
    sc_connect(c, i, 0);
  }
  sc_run(c, 50 * MS);
  for (uint32_t i = 1; i <= n; i++) sc_raw_sub(c, i, 0, T, true);
  sc_run(c, 2 * SEC); /* heartbeats graft them, up to d */
}

/* Verdicts that do not come before they are given. */
static msub_token waiting[16];
static size_t n_waiting;
static msub_verdict later(void *ud, const msub_msg *m, msub_peer from, msub_token t, msub_job *job) {
  (void)ud, (void)m, (void)from, (void)job;
  if (n_waiting < 16) waiting[n_waiting++] = t;
  return MSUB_PENDING;
}

static void send_one_per_message(sc *c) {
  with_raw(c, 2, sc_v12);
  n_waiting = 0;
  OK(msub_validator(sc_engine(c, 0), sc_topic(c, 0, T), later, NULL));
  for (uint32_t i = 1; i <= 10; i++) sc_raw_message(c, 1, 0, T, i, LARGE);
  sc_run(c, SEC);
  CHECK_EQ(n_waiting, 10); /* nothing is judged yet, nothing forwarded */
  CHECK_EQ(sc_heard_count(c, 2, SC_MESSAGE, T, SC_ANY), 0);
  for (uint32_t i = 1; i <= 10; i++) CHECK_EQ(sc_heard_count(c, 2, MSUB_C_IDONTWANT, NULL, i), 1);
  for (size_t i = 0; i < n_waiting; i++) OK(msub_complete(sc_engine(c, 0), waiting[i], MSUB_ACCEPT, sc_now(c, 0)));
  sc_run(c, SEC);
  for (uint32_t i = 1; i <= 10; i++) CHECK_EQ(sc_heard_count(c, 2, SC_MESSAGE, T, i), 1);
  CHECK_EQ(sc_heard_count(c, 2, MSUB_C_IDONTWANT, NULL, SC_ANY), 10);
}

static void receive(sc *c) {
  with_raw(c, 3, sc_v12);
  for (uint32_t i = 1; i <= 3; i++) CHECK(sc_roles(c, 0, i, T) & MSUB_ROLE_MESH);
  sc_raw_ids(c, 2, 0, MSUB_C_IDONTWANT, NULL, (const uint32_t[]){ 77 }, 1);
  sc_run(c, 100 * MS);
  sc_raw_message(c, 1, 0, T, 77, LARGE);
  sc_raw_message(c, 1, 0, T, 78, LARGE);
  sc_run(c, 200 * MS);
  CHECK_EQ(sc_heard_count(c, 2, SC_MESSAGE, T, 77), 0);
  CHECK_EQ(sc_heard_count(c, 3, SC_MESSAGE, T, 77), 1);
  CHECK_EQ(sc_heard_count(c, 2, SC_MESSAGE, T, 78), 1);
}

/* A message that waits for a slow uplink is taken back. */
static void withdraws_what_is_queued(sc *c) {
  c->n.up_bytes_s = 20000;
  with_raw(c, 3, sc_v12);
  for (uint32_t i = 1; i <= 10; i++) sc_raw_message(c, 1, 0, T, i, 4096); /* two seconds for each peer */
  sc_run(c, 100 * MS);
  sc_raw_ids(c, 2, 0, MSUB_C_IDONTWANT, NULL, (const uint32_t[]){ 8, 9 }, 2);
  sc_run(c, 10 * SEC);
  CHECK_EQ(sc_heard_count(c, 3, SC_MESSAGE, T, 8), 1);
  CHECK(sc_heard_count(c, 2, SC_MESSAGE, T, 8) == 0 && sc_heard_count(c, 2, SC_MESSAGE, T, 9) == 0);
  CHECK_EQ(sc_heard_count(c, 2, SC_MESSAGE, T, 10), 1);
  CHECK_EQ(msub_sim_count(c->s)->withdrawn, 2);
}

static void not_to_the_sender(sc *c) {
  with_raw(c, 2, sc_v12);
  sc_raw_message(c, 1, 0, T, 5, LARGE);
  sc_run(c, SEC);
  CHECK_EQ(sc_heard_count(c, 1, MSUB_C_IDONTWANT, NULL, SC_ANY), 0);
  CHECK_EQ(sc_heard_count(c, 2, MSUB_C_IDONTWANT, NULL, 5), 1);
}

static void before_first_publish(sc *c) {
  with_raw(c, 1, sc_v12);
  sc_publish(c, 0, T, 5, LARGE);
  sc_run(c, SEC);
  const sc_heard *said = sc_heard_first(c, 1, MSUB_C_IDONTWANT, 5), *sent = sc_heard_first(c, 1, SC_MESSAGE, 5);
  CHECK(said && sent && said->rpc < sent->rpc);
}

static void not_outside_the_mesh(sc *c) {
  with_raw(c, 10, sc_v12);
  unsigned in = 0;
  for (uint32_t i = 1; i <= 10; i++) in += (sc_roles(c, 0, i, T) & MSUB_ROLE_MESH) != 0;
  CHECK_EQ(in, 6);
  uint32_t sender = 1;
  sc_raw_message(c, sender, 0, T, 5, LARGE);
  sc_run(c, 200 * MS);
  for (uint32_t i = 1; i <= 10; i++)
    CHECK_EQ(sc_heard_count(c, i, MSUB_C_IDONTWANT, NULL, 5), i != sender &&
             (sc_roles(c, 0, i, T) & MSUB_ROLE_MESH) != 0);
}

static void not_to_older_peers(sc *c) {
  with_raw(c, 2, sc_v11);
  CHECK(sc_roles(c, 0, 2, T) & MSUB_ROLE_MESH);
  sc_raw_message(c, 1, 0, T, 5, LARGE);
  sc_run(c, SEC);
  CHECK_EQ(sc_heard_count(c, 2, MSUB_C_IDONTWANT, NULL, SC_ANY), 0);
  CHECK_EQ(sc_heard_count(c, 2, SC_MESSAGE, T, 5), 1);
}

static void not_for_small_messages(sc *c) {
  with_raw(c, 2, sc_v12);
  sc_raw_message(c, 1, 0, T, 5, SMALL);
  sc_raw_message(c, 1, 0, T, 6, 1023);
  sc_raw_message(c, 1, 0, T, 7, 1024);
  sc_run(c, SEC);
  CHECK(sc_heard_count(c, 2, MSUB_C_IDONTWANT, NULL, 7) == 1 &&
        sc_heard_count(c, 2, MSUB_C_IDONTWANT, NULL, SC_ANY) == 1);
  for (uint32_t i = 5; i <= 7; i++) CHECK_EQ(sc_heard_count(c, 2, SC_MESSAGE, T, i), 1);
}

/* A peer outside the mesh, which hears of the message by IHAVE. */
static void with_outsider(sc *c) {
  c->prune_grafts = true;
  with_raw(c, 2, sc_v12);
  CHECK(!(sc_roles(c, 0, 2, T) & MSUB_ROLE_MESH));
}

static void before_iwant(sc *c) {
  with_outsider(c);
  sc_raw_message(c, 1, 0, T, 5, LARGE);
  sc_run(c, 1500 * MS);
  CHECK(sc_heard_count(c, 2, MSUB_C_IHAVE, T, 5) > 0 && sc_heard_count(c, 2, SC_MESSAGE, T, 5) == 0);
  sc_raw_ids(c, 2, 0, MSUB_C_IDONTWANT, NULL, (const uint32_t[]){ 5 }, 1);
  sc_raw_ids(c, 2, 0, MSUB_C_IWANT, NULL, (const uint32_t[]){ 5 }, 1);
  sc_run(c, 200 * MS);
  CHECK_EQ(sc_heard_count(c, 2, SC_MESSAGE, T, 5), 0);
}

static void cleared(sc *c) {
  with_outsider(c);
  sc_run(c, 100 * MS); /* a heartbeat has just been: the cache keeps the message for five */
  sc_raw_message(c, 1, 0, T, 5, LARGE);
  sc_run(c, 100 * MS);
  sc_raw_ids(c, 2, 0, MSUB_C_IDONTWANT, NULL, (const uint32_t[]){ 5 }, 1);
  sc_run(c, 2 * SEC);
  sc_raw_ids(c, 2, 0, MSUB_C_IWANT, NULL, (const uint32_t[]){ 5 }, 1);
  sc_run(c, SEC);
  CHECK_EQ(sc_heard_count(c, 2, SC_MESSAGE, T, 5), 0);
  sc_run(c, SEC); /* four heartbeats have passed */
  sc_raw_ids(c, 2, 0, MSUB_C_IWANT, NULL, (const uint32_t[]){ 5 }, 1);
  sc_run(c, 200 * MS);
  CHECK_EQ(sc_heard_count(c, 2, SC_MESSAGE, T, 5), 1);
}

/* ---- one IWANT for a thousand messages of 20 kB ---- */

enum { MANY = 1000, BYTES = 20000 };
static void fragmentation(sc *c) {
  static uint32_t numbers[MANY];
  c->prune_grafts = true;
  c->numbers = true;
  c->n.up_bytes_s = c->n.down_bytes_s = 0;
  sc_begin(c);
  sc_add(c, 1);
  uint32_t raw = sc_add_raw(c, sc_v10);
  sc_join(c, 0, T);
  sc_connect(c, raw, 0);
  sc_run(c, 50 * MS);
  sc_raw_sub(c, raw, 0, T, true);
  sc_run(c, SEC);
  for (uint32_t i = 0; i < MANY; i++) {
    numbers[i] = i;
    sc_publish(c, 0, T, i, BYTES);
  }
  sc_run(c, 2 * SEC);
  CHECK_EQ(sc_heard_count(c, raw, SC_MESSAGE, T, SC_ANY), 0);
  for (uint32_t i = 0; i < MANY; i++) CHECK(sc_heard_count(c, raw, MSUB_C_IHAVE, T, i) > 0);
  uint32_t before = c->rpcs_heard;
  sc_raw_ids(c, raw, 0, MSUB_C_IWANT, NULL, numbers, MANY);
  sc_run(c, SEC);
  for (uint32_t i = 0; i < MANY; i++) CHECK_EQ(sc_heard_count(c, raw, SC_MESSAGE, T, i), 1);
  CHECK(c->rpcs_heard - before >= (uint64_t)MANY * BYTES / c->engine.max_rpc);
  for (size_t i = 0; i < c->n_heard; i++) CHECK(c->heard[i].rpc_n <= c->engine.max_rpc);
}

const sc_scenario sc_scenarios[] = { { "idontwant-send", send_one_per_message },
                                     { "idontwant-receive", receive },
                                     { "idontwant-withdraw", withdraws_what_is_queued },
                                     { "idontwant-not-to-sender", not_to_the_sender },
                                     { "idontwant-before-first-publish", before_first_publish },
                                     { "idontwant-non-mesh", not_outside_the_mesh },
                                     { "idontwant-incompat", not_to_older_peers },
                                     { "idontwant-small-message", not_for_small_messages },
                                     { "idontwant-before-iwant", before_iwant },
                                     { "idontwant-clear", cleared },
                                     { "rpc-fragmentation", fragmentation },
                                     { NULL, NULL } };
