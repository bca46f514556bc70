/* Streams between simulated nodes: order, flow control, turns, deadlines, ends. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sim_net.h"

#define MS MSUB_SIM_MS
#define EQ(a, b) cr_assert_eq((a), (b), "%llu, not %llu", (unsigned long long)(a), (unsigned long long)(b))
#define ECHO "/test/echo/1.0.0"

/* One end of a stream. */
typedef struct end {
  msub_exchange x;
  msub_stream *s;
  uint8_t sum;              /* of what came */
  size_t in, out, to_write; /* bytes */
  size_t takes;             /* on_data takes at most so many at a time; SIZE_MAX: all */
  bool echo, finish_when_done, finished_in, opened;
  unsigned ends, writable;
  msub_end why;
  uint64_t ended_at, finished_at, first_at;
} end;

static end ends[64];
static size_t n_ends;
static size_t most, now_open; /* served at a time */
static bool refuse_all;
static size_t server_takes;

static void fill(end *e) {
  static uint8_t buf[100000];
  while (e->to_write) {
    size_t n = e->to_write < sizeof buf ? e->to_write : sizeof buf;
    for (size_t i = 0; i < n; i++) buf[i] = (uint8_t)((e->out + i) * 7);
    size_t took = e->x.ops->write(e->x.x, e->s, (msub_bytes){ buf, n });
    e->out += took;
    e->to_write -= took;
    if (took < n) return;
  }
  if (e->finish_when_done) e->x.ops->finish(e->x.x, e->s);
}

static void *on_open(void *ud, msub_stream *s, msub_bytes peer_id) {
  net *w = ud;
  cr_assert_neq(msub_sim_find(w->s, peer_id), MSUB_SIM_NOBODY);
  if (refuse_all) return NULL;
  end *e = &ends[n_ends++];
  *e = (end){ .x = msub_sim_exchange(w->s, 1), .s = s, .echo = true, .takes = server_takes, .opened = true };
  if (++now_open > most) most = now_open;
  return e;
}
static size_t on_data(void *word, msub_stream *s, msub_bytes b) {
  end *e = word;
  cr_assert(e->s == s && b.n > 0 && !e->ends && !e->finished_in);
  size_t n = b.n < e->takes ? b.n : e->takes;
  if (e->in == 0) e->first_at = e->x.ops->now(e->x.x);
  if (e->echo) {
    n = e->x.ops->write(e->x.x, s, (msub_bytes){ b.p, n });
  } else {
    for (size_t i = 0; i < n; i++) cr_assert_eq(b.p[i], (uint8_t)((e->in + i) * 7));
  }
  e->in += n;
  return n;
}
static void on_writable(void *word, msub_stream *s) {
  end *e = word;
  cr_assert(e->s == s && !e->ends);
  e->writable++;
  if (e->echo) e->x.ops->want_read(e->x.x, s);
  else fill(e);
}
static void on_finish(void *word, msub_stream *s) {
  end *e = word;
  e->finished_in = true;
  e->finished_at = e->x.ops->now(e->x.x);
  if (e->echo) e->x.ops->finish(e->x.x, s);
}
static void on_end(void *word, msub_stream *s, msub_end why) {
  end *e = word;
  cr_assert(e->s == s);
  e->ends++;
  e->why = why;
  e->ended_at = e->x.ops->now(e->x.x);
  now_open -= e->opened;
}
static const msub_stream_handler handler = { .abi = MSUB_ABI, .size = sizeof(msub_stream_handler), .on_open = on_open,
                                             .on_data = on_data,
                                             .on_finish = on_finish, .on_writable = on_writable, .on_end = on_end };

static void pair(net *w) {
  n_ends = most = now_open = 0;
  refuse_all = false;
  server_takes = SIZE_MAX;
  net_start(w, 2);
  cr_assert_eq(msub_sim_connect(w->s, 0, 1, 0), MSUB_OK);
  net_run(w, MSUB_SIM_S);
  msub_exchange x = msub_sim_exchange(w->s, 1);
  cr_assert_eq(x.ops->serve(x.x, ECHO, &handler, w), MSUB_OK);
}
/* A stream of node 0 that sends n bytes and wants them back. */
static end *request(net *w, size_t n, const char *protocol, uint64_t deadline) {
  end *e = calloc(1, sizeof *e);
  cr_assert_not_null(e);
  *e = (end){ .x = msub_sim_exchange(w->s, 0), .to_write = n, .takes = SIZE_MAX, .finish_when_done = true };
  cr_assert_eq(e->x.ops->open(e->x.x, msub_sim_id(w->s, 1), protocol, deadline, &handler, e, &e->s), MSUB_OK);
  fill(e);
  return e;
}
static void ended(const end *e, msub_end why) {
  cr_assert(e->ends == 1 && e->why == why, "%u ends, %d", e->ends, (int)e->why);
}

Test(sim_exchange, a_request_and_its_answer_take_a_round_trip) {
  static net w;
  net_init(&w, false);
  pair(&w);
  uint64_t t = msub_sim_time(w.s);
  end *e = request(&w, 1000, ECHO, MSUB_NEVER);
  cr_assert_eq(msub_sim_run_idle(w.s, MSUB_SIM_S), MSUB_OK);
  ended(e, MSUB_END_FINISHED);
  ended(&ends[0], MSUB_END_FINISHED);
  EQ(e->in, 1000);
  EQ(ends[0].first_at, t + 10 * MS);
  EQ(e->first_at, t + 20 * MS);
  EQ(e->ended_at, t + 20 * MS);
  free(e);
  net_stop(&w);
}

Test(sim_exchange, a_megabyte_goes_through_windows_and_comes_back_whole) {
  for (unsigned form = 0; form < 4; form++) {
    static net w;
    net_init(&w, false);
    if (form == 1) w.o.link.loss_ppm = 200000;
    if (form == 2) w.n.up_bytes_s = w.n.down_bytes_s = 1000000;
    if (form == 3) w.o.link.jitter_ns = 30 * MS;
    pair(&w);
    server_takes = 5000;
    uint64_t t = msub_sim_time(w.s);
    end *e = request(&w, 1 << 20, ECHO, MSUB_NEVER);
    cr_assert(e->out <= 600000 && e->to_write > 0); /* what is under way and ahead is bounded */
    for (unsigned i = 0; i < 600 && !e->ends; i++) {
      /* it takes 5,000 bytes at a time */
      if (n_ends && !ends[0].ends) ends[0].x.ops->want_read(ends[0].x.x, ends[0].s);
      net_run(&w, 2 * MS);
    }
    for (unsigned i = 0; i < 20000 && !e->ends; i++) {
      if (!ends[0].ends) ends[0].x.ops->want_read(ends[0].x.x, ends[0].s);
      net_run(&w, 2 * MS);
    }
    ended(e, MSUB_END_FINISHED);
    EQ(e->in, 1 << 20);
    cr_assert_gt(e->writable, 0);
    if (form == 2) cr_assert_gt(e->ended_at, t + UINT64_C(1048576) * 1000); /* there while it comes back */
    cr_assert_eq(msub_sim_run_idle(w.s, MSUB_SIM_S), MSUB_OK);
    free(e);
    net_stop(&w);
  }
}

Test(sim_exchange, bandwidth_is_shared_with_pubsub) {
  static net w;
  net_init(&w, false);
  w.n.up_bytes_s = 100000;
  pair(&w);
  net_join_all(&w, "t");
  net_run(&w, MSUB_SIM_S);
  uint64_t t = msub_sim_time(w.s);
  end *e = request(&w, 100000, ECHO, MSUB_NEVER);
  cr_assert_eq(net_publish(&w, 0, 1, 10000), MSUB_OK);
  net_run(&w, 10 * MSUB_SIM_S);
  ended(e, MSUB_END_FINISHED);
  cr_assert_lt(net_find(&w, 1, 1)->at, t + 500 * MS); /* behind one or two segments, not behind a second of them */
  cr_assert_gt(ends[0].finished_at, t + 1000 * MS);
  free(e);
  net_stop(&w);
}

Test(sim_exchange, four_are_served_at_a_time_the_others_wait_their_turn) {
  static net w;
  net_init(&w, false);
  pair(&w);
  end *e[10];
  uint64_t t = msub_sim_time(w.s);
  for (unsigned i = 0; i < 10; i++) e[i] = request(&w, 100, ECHO, MSUB_NEVER);
  net_run(&w, MSUB_SIM_S);
  for (unsigned i = 0; i < 10; i++) {
    ended(e[i], MSUB_END_FINISHED);
    EQ(e[i]->in, 100);
    EQ(e[i]->ended_at, t + 20 * MS * (1 + i / 4)); /* the opener keeps four open, too */
    free(e[i]);
  }
  EQ(most, 4);
  net_stop(&w);
}

Test(sim_exchange, each_end_has_its_reason) {
  static net w;
  net_init(&w, false);
  pair(&w);
  uint64_t t = msub_sim_time(w.s);

  end *e = request(&w, 10, "/nobody/knows", MSUB_NEVER);
  net_run(&w, MSUB_SIM_S);
  ended(e, MSUB_END_UNSUPPORTED);
  EQ(e->ended_at, t + 20 * MS);
  free(e);

  refuse_all = true;
  e = request(&w, 10, ECHO, MSUB_NEVER);
  net_run(&w, MSUB_SIM_S);
  ended(e, MSUB_END_RESET);
  free(e);
  refuse_all = false;

  server_takes = 0;
  t = msub_sim_time(w.s);
  e = request(&w, 10, ECHO, t + 500 * MS);
  net_run(&w, 505 * MS);
  ended(e, MSUB_END_DEADLINE);
  EQ(e->ended_at, t + 500 * MS);
  EQ(ends[0].ends, 0);
  net_run(&w, MSUB_SIM_S);
  ended(&ends[0], MSUB_END_RESET);
  free(e);

  e = request(&w, 10, ECHO, MSUB_NEVER);
  net_run(&w, 100 * MS);
  e->x.ops->reset(e->x.x, e->s);
  EQ(e->ends, 0); /* not from inside */
  net_run(&w, MSUB_SIM_S);
  ended(e, MSUB_END_CANCELLED);
  ended(&ends[1], MSUB_END_RESET);
  free(e);

  e = request(&w, 10, ECHO, MSUB_NEVER);
  net_run(&w, 59 * MSUB_SIM_S);
  EQ(ends[2].ends, 0);
  net_run(&w, 2 * MSUB_SIM_S); /* the server's own deadline */
  ended(&ends[2], MSUB_END_DEADLINE);
  ended(e, MSUB_END_RESET);
  free(e);

  e = request(&w, 10, ECHO, MSUB_NEVER);
  net_run(&w, 100 * MS);
  ends[3].x.ops->deadline(ends[3].x.x, ends[3].s, msub_sim_time(w.s) + MSUB_SIM_S);
  net_run(&w, 2 * MSUB_SIM_S);
  ended(&ends[3], MSUB_END_DEADLINE);
  free(e);

  e = request(&w, 10, ECHO, MSUB_NEVER);
  net_run(&w, 100 * MS);
  cr_assert_eq(msub_sim_disconnect(w.s, 0, 1, 0), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  ended(e, MSUB_END_GONE);
  ended(&ends[4], MSUB_END_GONE);
  msub_stream *none;
  cr_assert_eq(e->x.ops->open(e->x.x, msub_sim_id(w.s, 1), ECHO, MSUB_NEVER, &handler, e, &none), MSUB_ERR_NOTFOUND);
  free(e);

  cr_assert_eq(msub_sim_connect(w.s, 0, 1, 0), MSUB_OK);
  net_run(&w, MSUB_SIM_S);
  e = request(&w, 10, ECHO, MSUB_NEVER);
  net_run(&w, 100 * MS);
  cr_assert_eq(msub_sim_crash(w.s, 1), MSUB_OK);
  ended(&ends[5], MSUB_END_GONE);
  net_run(&w, MSUB_SIM_S);
  ended(e, MSUB_END_GONE);
  free(e);
  EQ(msub_sim_count(w.s)->streams, 8);
  EQ(msub_sim_count(w.s)->streams_unfinished, 8);
  net_stop(&w);
}

Test(sim_exchange, a_waiting_request_has_its_deadline_as_well) {
  static net w;
  net_init(&w, false);
  pair(&w);
  server_takes = 0;
  uint64_t t = msub_sim_time(w.s);
  end *e[6];
  for (unsigned i = 0; i < 6; i++) e[i] = request(&w, 10, ECHO, t + (i < 4 ? 5 : 1) * MSUB_SIM_S);
  net_run(&w, 2 * MSUB_SIM_S);
  for (unsigned i = 0; i < 6; i++) EQ(e[i]->ends, i >= 4);
  ended(e[5], MSUB_END_DEADLINE);
  net_run(&w, 5 * MSUB_SIM_S);
  for (unsigned i = 0; i < 6; i++) {
    ended(e[i], MSUB_END_DEADLINE);
    free(e[i]);
  }
  EQ(n_ends, 4);
  net_stop(&w);
}

Test(sim_exchange, a_protocol_is_served_once_and_no_longer_when_told_so) {
  static net w;
  net_init(&w, false);
  pair(&w);
  msub_exchange x = msub_sim_exchange(w.s, 1);
  cr_assert_eq(x.ops->serve(x.x, ECHO, &handler, &w), MSUB_ERR_CLAIMED);
  cr_assert_eq(x.ops->serve(x.x, "", &handler, &w), MSUB_ERR_INVAL);
  end *e = request(&w, 10, ECHO, MSUB_NEVER);
  server_takes = 0;
  net_run(&w, 15 * MS);
  cr_assert_eq(x.ops->serve(x.x, ECHO, NULL, NULL), MSUB_OK); /* what is open stays */
  ends[0].x.ops->want_read(ends[0].x.x, ends[0].s);
  ends[0].takes = SIZE_MAX;
  net_run(&w, MSUB_SIM_S);
  ended(e, MSUB_END_FINISHED);
  free(e);
  e = request(&w, 10, ECHO, MSUB_NEVER);
  net_run(&w, MSUB_SIM_S);
  ended(e, MSUB_END_UNSUPPORTED);
  free(e);
  for (unsigned i = 0; i < 64; i++) {
    char name[32];
    snprintf(name, sizeof name, "/p/%u", i);
    cr_assert_eq(x.ops->serve(x.x, name, &handler, &w), MSUB_OK);
  }
  cr_assert_eq(x.ops->serve(x.x, "/one/more", &handler, &w), MSUB_ERR_LIMIT);
  net_stop(&w);
}

/* The handler of a server that answers with nothing. */
static size_t swallow(void *word, msub_stream *s, msub_bytes b) {
  (void)word, (void)s;
  return b.n;
}
static const msub_stream_handler quiet = { .abi = MSUB_ABI, .size = sizeof(msub_stream_handler), .on_open = on_open,
                                           .on_data = swallow,
                                           .on_end = on_end };
Test(sim_exchange, without_on_finish_the_answer_ends_with_the_request) {
  static net w;
  net_init(&w, false);
  pair(&w);
  msub_exchange x = msub_sim_exchange(w.s, 1);
  cr_assert_eq(x.ops->serve(x.x, "/quiet", &quiet, &w), MSUB_OK);
  end *e = request(&w, 1000, "/quiet", MSUB_NEVER);
  net_run(&w, MSUB_SIM_S);
  ended(e, MSUB_END_FINISHED);
  EQ(e->in, 0);
  ended(&ends[0], MSUB_END_FINISHED);
  free(e);
  net_stop(&w);
}

/* A handler that takes a byte at a time and asks for the next one at once. */
static size_t nibbled;
static size_t nibble(void *word, msub_stream *s, msub_bytes b) {
  end *e = word;
  (void)b;
  nibbled++;
  e->x.ops->want_read(e->x.x, s);
  return 1;
}
static const msub_stream_handler nibbler = { .abi = MSUB_ABI, .size = sizeof(msub_stream_handler), .on_open = on_open,
                                             .on_data = nibble,
                                             .on_end = on_end };
Test(sim_exchange, want_read_counts_from_inside_on_data_too) {
  static net w;
  net_init(&w, false);
  pair(&w);
  msub_exchange x = msub_sim_exchange(w.s, 1);
  cr_assert_eq(x.ops->serve(x.x, "/nibble", &nibbler, &w), MSUB_OK);
  end *e = request(&w, 1000, "/nibble", MSUB_NEVER);
  cr_assert_eq(msub_sim_run_idle(w.s, MSUB_SIM_S), MSUB_OK);
  EQ(nibbled, 1000);
  ended(e, MSUB_END_FINISHED);
  free(e);
  net_stop(&w);
}
